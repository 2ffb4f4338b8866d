//! The driver of one client session: carries bytes between the client, the session machine and the connection it holds.

use super::super::connection::Connection;
use super::super::killer::{Errand, Verdict, Want};
use super::super::tablet::Wished;
use super::buffer::Buffering;
use super::freshness::Freshening;
use super::lane::{self, Lane};
use super::{Grant, Hands, Owner, Shared, Timed};
use crate::world::{ConnId as Stream, Ctx, TimerId};
use std::sync::Arc;
use weir_core::error::{Component, Error, Kind};
use weir_core::gateway::buffer;
use weir_core::gateway::cluster::TabletId;
use weir_core::gateway::config::SessionConfig;
use weir_core::gateway::freshness;
use weir_core::gateway::processes::Powers;
use weir_core::gateway::session::{Event, Fate, Lease, LeaseKey, Peer, Reason, Session};
use weir_core::link::{AccountId, Ended, Interrupt, Reply};
use weir_core::mysql::auth::{NONCE_BYTES, Nonce};
use weir_core::mysql::handshake::Transport;
use weir_core::mysql::resultset::TextResultSet;
use weir_core::rng::Rng;
use weir_core::tablet::killer;
use weir_core::tablet::pool::Ticket;
use weir_core::time::{Duration, Instant, earliest};

/// Output that the client has not taken, in bytes, beyond which nothing more is read from the server.
const OUTPUT_HIGH_BYTES: usize = 256 * 1024;
/// How long a client may take to read the last bytes before it is cut off.
const LINGER: Duration = Duration::from_secs(5);

pub(super) struct Driver {
    id: u32,
    session: Session,
    /// `None` once it closed or broke.
    client: Option<Stream>,
    output: Vec<u8>,
    lease: Option<(TabletId, Box<Connection>)>,
    pending: Option<(TabletId, Ticket)>,
    lane: Lane,
    /// It waits to know how far a read must see.
    freshening: Option<freshness::Ticket>,
    /// Its statement waits for a primary.
    buffered: Option<buffer::Ticket>,
    /// Sessions that wait until what they killed here has ended.
    killers: Vec<u32>,
    /// What became of a connection is being found out, on this errand.
    inquiring: Option<u64>,
    errands: u64,
    rng: Rng,
    timer: TimerId,
    admitted: bool,
    ended: Option<Reason>,
    linger_until: Option<Instant>,
}

impl Driver {
    pub(super) fn new(ctx: &mut Ctx<'_>, shared: &Shared, id: u32, client: Stream, from: u16) -> Self {
        let mut rng = ctx.fork_rng();
        let mut random = [0; NONCE_BYTES];
        random.iter_mut().for_each(|byte| *byte = rng.next_u64() as u8);
        let peer = Peer {
            id,
            host: format!("host{from}"),
            transport: Transport::Plain,
            nonce: Nonce::from_random(random),
            seed: rng.next_u64(),
        };
        let session = Session::new(Arc::clone(&shared.config), Arc::clone(&shared.view), peer, ctx.now());
        Self {
            id,
            session,
            client: Some(client),
            output: Vec::new(),
            lease: None,
            pending: None,
            lane: Lane::Quiet,
            rng,
            freshening: None,
            buffered: None,
            killers: Vec::new(),
            inquiring: None,
            errands: 0,
            timer: ctx.timer(Timed::Session(id).token()),
            admitted: false,
            ended: None,
            linger_until: None,
        }
    }

    /// The session has ended, and the client has been told all there is to tell.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() && (self.client.is_none() || self.output.is_empty())
    }

    pub(super) fn user(&self) -> &[u8] {
        self.session.user()
    }

    /// Gives everything back.
    pub(super) fn bury(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        self.answer_killers(hands, Ok(()));
        self.cancel(hands, shared);
        self.cancel_freshening(hands, shared);
        self.cancel_buffered(hands, shared);
        self.release(hands, shared, Fate::Close);
        if let Some(client) = self.client.take() {
            hands.owners.remove(&client);
            hands.ctx.close(client);
        }
        hands.ctx.free_timer(self.timer);
        if self.admitted {
            shared.admission.leave_user(self.session.user());
        }
        shared.admission.leave();
    }

    /// Does what there is to do: for the client's bytes, and for room towards it.
    pub(super) fn go_on(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        loop {
            self.lose_lane(hands, shared);
            self.obey(hands, shared);
            let room_before = self.has_room();
            self.write_client(hands.ctx);
            if let Some((_, connection)) = &mut self.lease {
                connection.write(hands.ctx);
            }
            let room_again = !room_before && self.has_room();
            if !room_again || !self.receive_all(hands, shared) {
                break;
            }
        }
        let deadline = if self.ended.is_some() {
            let now = hands.ctx.now();
            Some(*self.linger_until.get_or_insert(now + LINGER))
        } else {
            let of_lease = self.lease.as_ref().and_then(|(_, connection)| connection.machine.poll_timeout());
            earliest(self.session.poll_timeout(), of_lease)
        };
        hands.ctx.arm(self.timer, deadline);
    }

    pub(super) fn server_ready(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        if self.has_room() {
            self.receive_all(hands, shared);
        }
        self.go_on(hands, shared);
    }

    pub(super) fn server_lost(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        self.receive_all(hands, shared);
        if let Some((_, connection)) = &mut self.lease {
            connection.lose(hands.ctx.now());
        }
        self.pass_replies(hands.ctx.now());
        self.go_on(hands, shared);
    }

    pub(super) fn client_lost(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        // What it said last is still there to be read.
        self.obey(hands, shared);
        self.client = None;
        self.output.clear();
        self.session.client_closed();
        self.go_on(hands, shared);
    }

    pub(super) fn on_time(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        let now = hands.ctx.now();
        if self.linger_until.is_some_and(|until| until <= now) {
            self.output.clear();
        }
        if self.ended.is_none() {
            self.session.set_view(Arc::clone(&shared.view));
            self.session.handle_timeout(now);
        }
        if let Some((_, connection)) = &mut self.lease {
            connection.machine.handle_timeout(now);
        }
        self.pass_replies(now);
        self.go_on(hands, shared);
    }

    /// The gateway is about to stop.
    pub(super) fn finish(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        self.session.finish();
        self.go_on(hands, shared);
    }

    /// It stops.
    pub(super) fn shut_down(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        self.session.shut_down();
        self.go_on(hands, shared);
    }

    /// A connection that was waited for, or why there is none.
    pub(super) fn granted(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared, grant: Grant) {
        if self.pending != Some((grant.tablet, grant.ticket)) {
            // The wish was given up while the grant was on its way.
            if let (Ok(connection), Some(tablet)) = (grant.outcome, shared.tablets.get_mut(&grant.tablet)) {
                tablet.release(hands, connection, Fate::Keep);
            }
            return;
        }
        self.pending = None;
        self.take_lease(hands, grant.tablet, grant.outcome);
        self.go_on(hands, shared);
    }

    /// How far a read must see that waited to know.
    pub(super) fn freshened(
        &mut self,
        hands: &mut Hands<'_, '_>,
        shared: &mut Shared,
        ticket: freshness::Ticket,
        told: freshness::Told,
    ) {
        if self.freshening == Some(ticket) {
            self.freshening = None;
            self.session.freshened(hands.ctx.now(), told);
            self.go_on(hands, shared);
        }
    }

    /// The wait for a primary is over.
    pub(super) fn resumed(
        &mut self,
        hands: &mut Hands<'_, '_>,
        shared: &mut Shared,
        ticket: buffer::Ticket,
        outcome: Result<(), buffer::Refusal>,
    ) {
        if self.buffered == Some(ticket) {
            self.buffered = None;
            self.session.set_view(Arc::clone(&shared.view));
            self.session.resumed(hands.ctx.now(), outcome);
            self.go_on(hands, shared);
        }
    }

    fn cancel_buffered(&mut self, hands: &Hands<'_, '_>, shared: &mut Shared) {
        if let Some(ticket) = self.buffered.take() {
            shared.waiters.forget(hands.ctx.now(), ticket);
        }
    }

    fn cancel_freshening(&mut self, hands: &Hands<'_, '_>, shared: &mut Shared) {
        if let Some(ticket) = self.freshening.take() {
            shared.readers.forget(hands.ctx.now(), ticket);
        }
    }

    /// Another session has this one killed, or what it runs.
    pub(super) fn killed(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared, killer: u32, what: Interrupt) {
        self.session.killed(hands.ctx.now(), what);
        self.killers.push(killer);
        if !self.session.is_interrupting() {
            self.answer_killers(hands, Ok(()));
        }
        self.go_on(hands, shared);
    }

    /// What came of a KILL that this session's client said.
    pub(super) fn kill_answered(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared, outcome: Result<(), Error>) {
        self.session.kill_answered(hands.ctx.now(), outcome);
        self.go_on(hands, shared);
    }

    fn answer_killers(&mut self, hands: &mut Hands<'_, '_>, outcome: Result<(), Error>) {
        self.killers.drain(..).for_each(|killer| hands.kills.answer(killer, outcome.clone()));
    }

    /// Has the server of the lease do something about its connection. Which errand it is; none when there is no connection.
    fn send_errand(
        &mut self,
        hands: &mut Hands<'_, '_>,
        shared: &mut Shared,
        want: Want,
        limit: Duration,
    ) -> Option<u64> {
        let (tablet, connection) = self.lease.as_ref()?;
        let (thread, until) = (connection.thread()?, hands.ctx.now() + limit);
        self.errands += 1;
        let errand = Errand { session: self.id, number: self.errands, thread, want, until };
        shared.tablets.get_mut(tablet)?.send(hands, errand);
        Some(self.errands)
    }

    pub(super) fn errand_done(
        &mut self,
        hands: &mut Hands<'_, '_>,
        shared: &mut Shared,
        errand: Errand,
        verdict: Verdict,
    ) {
        let now = hands.ctx.now();
        match errand.want {
            Want::End(_) => {
                self.session.interrupted(now);
                self.answer_killers(hands, verdict.map(drop));
            }
            Want::Fate if self.inquiring == Some(errand.number) => {
                self.inquiring = None;
                self.session.inquired(now, verdict.unwrap_or(false));
            }
            Want::Fate => {}
        }
        self.go_on(hands, shared);
    }

    fn take_lease(&mut self, hands: &mut Hands<'_, '_>, tablet: TabletId, outcome: Result<Box<Connection>, Error>) {
        let now = hands.ctx.now();
        let lane = std::mem::take(&mut self.lane);
        match outcome {
            Ok(mut connection) => {
                let key = LeaseKey { tablet, connection: connection.id.0, epoch: connection.epoch };
                let executed = connection.executed.clone();
                let lease = Lease { key, tracks: connection.machine.tracks_session(), executed, ran: None };
                hands.own(connection.stream, Owner::Lease(self.id));
                if let Lane::Wished(request) = lane {
                    connection.machine.submit(now, (*request).clone());
                    self.lease = Some((tablet, connection));
                    self.lane = Lane::run(request, lease, now, &mut self.rng);
                    self.pass_replies(now);
                } else {
                    self.lease = Some((tablet, connection));
                    self.session.lease_granted(now, lease);
                }
            }
            Err(error) => self.session.lease_refused(now, error),
        }
    }

    /// Does what the session asks, in order.
    fn obey(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        loop {
            self.feed_input(hands.ctx, shared);
            self.session.collect(&mut self.output, &[]);
            let Some(event) = self.session.poll_event() else { return };
            let now = hands.ctx.now();
            match event {
                Event::StartTls => debug_assert!(false, "no TLS was offered"),
                Event::StartCompression { .. } => debug_assert!(false, "no compression was offered"),
                Event::DecryptRsa(_) => self.session.decrypted(None),
                Event::FindUser(_) => self.session.user_found(Ok(None)),
                Event::Admit { user, before, proof: _ } => {
                    if let Some(before) = before {
                        shared.admission.leave_user(&before);
                    }
                    let admitted = shared.admission.enter_user(&user, None);
                    self.admitted = admitted.is_ok();
                    self.session.admitted(now, admitted.map(|()| AccountId::OWN));
                }
                Event::Readmit { user, instead_of } => {
                    shared.admission.leave_user(&instead_of);
                    self.admitted = shared.admission.enter_user(&user, None).is_ok();
                }
                Event::Acquire(acquire) => match shared.tablets.get_mut(&acquire.tablet) {
                    Some(tablet) => {
                        let ahead = self.session.ahead(now).filter(|_| shared.lanes);
                        self.lane = ahead.map_or(Lane::Quiet, |request| Lane::Wished(Box::new(request)));
                        match tablet.acquire(hands, self.id, &acquire) {
                            Wished::Now(outcome) => self.take_lease(hands, acquire.tablet, outcome),
                            Wished::Later(ticket) => self.pending = Some((acquire.tablet, ticket)),
                        }
                    }
                    None => self.session.lease_refused(now, no_such_tablet()),
                },
                Event::Acknowledged(written) => shared.readers.acknowledged(now, written),
                Event::Freshen(scope) => match shared.readers.freshen(now, &shared.view, self.id, scope) {
                    Freshening::Ready(told) => self.session.freshened(now, told),
                    Freshening::Waiting(ticket) => self.freshening = Some(ticket),
                },
                Event::CancelFreshen => self.cancel_freshening(hands, shared),
                Event::CancelAcquire => {
                    self.cancel(hands, shared);
                    if matches!(std::mem::take(&mut self.lane), Lane::Runs { .. } | Lane::Lost) {
                        self.release(hands, shared, Fate::Close);
                    }
                }
                Event::Buffer(hold) => match shared.waiters.hold(now, &shared.view, self.id, hold) {
                    Buffering::Over(outcome) => {
                        self.session.set_view(Arc::clone(&shared.view));
                        self.session.resumed(now, outcome);
                    }
                    Buffering::Waiting(ticket) => self.buffered = Some(ticket),
                },
                Event::CancelBuffer => self.cancel_buffered(hands, shared),
                Event::Doubt { tablet, within } => {
                    if let Some(tablet) = shared.tablets.get_mut(&tablet) {
                        tablet.doubt(hands, within);
                    }
                }
                Event::Rest(rests) => {
                    if let Some((tablet, connection)) = &self.lease
                        && let Some(tablet) = shared.tablets.get_mut(tablet)
                    {
                        tablet.rest(hands, connection.id, rests);
                    }
                }
                Event::Submit(request) => {
                    if self.lane.has_sent(&request) {
                        continue;
                    }
                    debug_assert!(self.lease.is_some(), "a request on a connection that was given back");
                    if let Some((_, connection)) = &mut self.lease {
                        connection.machine.submit(now, *request);
                    }
                    // A connection that broke while nothing ran on it answers at once.
                    self.pass_replies(now);
                }
                Event::ClientData(mut packets) => {
                    if let Some((_, connection)) = &mut self.lease {
                        connection.machine.client_data(&mut packets);
                    }
                }
                Event::Interrupt(interrupt) => {
                    if self.send_errand(hands, shared, Want::End(interrupt), killer::TIME_MAX).is_none() {
                        self.session.interrupted(now);
                        self.answer_killers(hands, Ok(()));
                    }
                }
                Event::Kill { id, interrupt } => hands.kills.order(self.id, id, interrupt),
                Event::KillUser { .. } => {
                    debug_assert!(false, "no workload says KILL USER");
                    self.session.user_killed(now, Ok(0));
                }
                Event::ListClients => self.session.listed(now, &[], Powers::default()),
                Event::Inquire => {
                    self.inquiring = self.send_errand(hands, shared, Want::Fate, killer::INQUIRY_TIME_MAX);
                    if self.inquiring.is_none() {
                        self.session.inquired(now, false);
                    }
                }
                Event::CancelInquire => self.inquiring = None,
                Event::Release(fate) => self.release(hands, shared, fate),
                Event::Ended(..) | Event::Replayed(_) | Event::Audited(_) => {}
                Event::Show(_) => self.session.shown(now, &TextResultSet::default(), None),
                Event::SetDefaults(assignments) => {
                    let outcome = shared.globals.assign(&assignments).map(|globals| {
                        let variables = globals.over(&shared.configured);
                        shared.globals = globals;
                        shared.config = Arc::new(SessionConfig { variables, ..SessionConfig::clone(&shared.config) });
                        Arc::clone(&shared.config)
                    });
                    self.session.defaults_set(now, outcome);
                }
                Event::ReloadUsers => {
                    debug_assert!(false, "no workload says RELOAD USERS");
                    self.session.order_done(now, Ok(None));
                }
                Event::ResetDigests => {
                    debug_assert!(false, "no workload says RESET WEIR DIGESTS");
                    self.session.order_done(now, Ok(None));
                }
                Event::Closed(reason) => self.ended = Some(reason),
            }
        }
    }

    /// Offers the client's bytes that are waiting.
    fn feed_input(&mut self, ctx: &mut Ctx<'_>, shared: &Shared) {
        let Some(client) = self.client else { return };
        if ctx.peek(client).is_empty() || !self.session.wants_input() {
            return;
        }
        self.session.set_view(Arc::clone(&shared.view));
        self.session.set_config(Arc::clone(&shared.config));
        let taken = self.session.handle_bytes(ctx.now(), ctx.peek(client));
        ctx.consume(client, taken);
    }

    fn cancel(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        if let Some((tablet, ticket)) = self.pending.take()
            && let Some(tablet) = shared.tablets.get_mut(&tablet)
        {
            tablet.cancel(hands, ticket);
        }
    }

    fn release(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared, fate: Fate) {
        if let Some((tablet, connection)) = self.lease.take()
            && let Some(tablet) = shared.tablets.get_mut(&tablet)
        {
            tablet.release(hands, connection, fate);
        }
    }

    fn has_room(&self) -> bool {
        self.output.len() <= OUTPUT_HIGH_BYTES
    }

    /// Takes what the server has sent; whether anything came.
    fn receive_all(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) -> bool {
        let now = hands.ctx.now();
        let (mut any, mut is_whole) = (false, matches!(self.lane, Lane::Runs { .. }));
        let (session, output, lane) = (&mut self.session, &mut self.output, &mut self.lane);
        if let Some((tablet, connection)) = &mut self.lease {
            connection.receive(hands.ctx, hands.scratch, |reply, piece| {
                any = true;
                is_whole &= !matches!(&reply, Reply::End(ended) if *ended != Ended::Answered);
                if lane.tell(session, now) {
                    session.handle_reply(now, reply);
                    session.collect(output, piece);
                }
            });
            if let Some(executed) = connection.machine.take_executed()
                && let Some(tablet) = shared.tablets.get_mut(tablet)
            {
                tablet.waited(hands, connection.id, executed);
            }
            // Told of the connection with all of the answer, a gateway finds it given back.
            if any && is_whole && connection.machine.is_idle_and_clean() && self.lane.is_told_of_read() {
                self.release(hands, shared, Fate::Keep);
            }
        }
        any
    }

    /// The lane is lost, and the connection with it.
    fn lose_lane(&mut self, hands: &mut Hands<'_, '_>, shared: &mut Shared) {
        if matches!(self.lane, Lane::Lost) {
            self.lane = Lane::Quiet;
            self.release(hands, shared, Fate::Close);
            self.session.lease_refused(hands.ctx.now(), lane::lost());
        }
    }

    /// Hands on what the connection answers without having received anything.
    fn pass_replies(&mut self, now: Instant) {
        while let Some((_, connection)) = &mut self.lease {
            let Some(reply) = connection.machine.poll_reply() else { return };
            if self.lane.tell(&mut self.session, now) {
                self.session.handle_reply(now, reply);
                self.session.collect(&mut self.output, &[]);
            }
        }
    }

    fn write_client(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(client) = self.client.filter(|_| !self.output.is_empty()) {
            let taken = ctx.write(client, &self.output);
            self.output.drain(..taken);
        }
    }
}

fn no_such_tablet() -> Error {
    Error::new(Component::Gateway, Kind::Unavailable, "weir-gateway: the tablet is gone; retry is safe")
}
