//! One tablet of a gateway's process: its machine, its idle connections, and those being opened.

use super::connection::{Connection, Connector, Dialing};
use super::gateway::{Grant, Hands, Line, Owner, Timed};
use super::killer::Errand;
use super::probe::{Outcome, Prober, Wish, given_up};
use crate::world::TimerId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use weir_core::error::Error;
use weir_core::gateway::cluster::TabletId;
use weir_core::gateway::freshness::AskId;
use weir_core::gateway::session::{Acquire, Fate};
use weir_core::gtid::Position;
use weir_core::link::ConnectionClass;
use weir_core::rng::Rng;
use weir_core::tablet::drain::{Drain, Open};
use weir_core::tablet::killer::WAITING_MAX;
use weir_core::tablet::manager::{Config, Identity, Input, Output, ProbeId, Tablet};
use weir_core::tablet::pool::{self, CloseReason, ConnId, Counters, Preferred, Ticket};
use weir_core::time::Duration;
use weir_core::topo::{Health, Observation, Role, TabletAlias};

/// What a tablet tells the cluster.
#[derive(Debug)]
pub(super) enum News {
    /// Its state, for routing.
    Health(TabletId, Health),
    /// What its server said, for finding roles.
    Observed(TabletId, Box<Observation>),
    /// Its server did not answer.
    Silent(TabletId),
    /// What is open on its connections, for whoever drains the server.
    Open(TabletId, Open),
}

/// See the module.
#[derive(Debug)]
pub(super) struct LocalTablet {
    id: TabletId,
    alias: TabletAlias,
    connector: Connector,
    machine: Tablet,
    idle: BTreeMap<ConnId, Box<Connection>>,
    opening: BTreeMap<ConnId, Dialing>,
    /// Sessions that wait, by ticket.
    waiting: BTreeMap<Ticket, u32>,
    next_ticket: u64,
    timer: TimerId,
    prober: Prober,
    /// Reads the position for others, so that a slow probe keeps nobody waiting.
    positions: Prober,
    /// Writes heartbeats, so that a commit that hangs keeps no probe waiting.
    beats: Prober,
    /// Ends what runs on connections of the pool, outside of the pool.
    killer: Prober,
    /// Errands that wait for their turn.
    errands: VecDeque<Errand>,
}

/// What a wish for a connection comes to at once.
pub(super) enum Wished {
    Now(Result<Box<Connection>, Error>),
    Later(Ticket),
}

impl LocalTablet {
    pub(super) fn start(
        hands: &mut Hands<'_, '_>,
        id: TabletId,
        identity: Identity,
        config: Config,
        connector: Connector,
        monitor: Connector,
        rng: Rng,
    ) -> Self {
        let timer = hands.ctx.timer(Timed::Tablet(id).token());
        let mut prober = |line, login| {
            Prober::new(login, hands.ctx.timer(Timed::Probe(id, line).token()), Timed::ProbeDial(id, line).token())
        };
        let (watch, positions) = (prober(Line::Watch, monitor.clone()), prober(Line::Position, monitor.clone()));
        let (beats, killer) = (prober(Line::Beat, monitor), prober(Line::Kill, connector.clone()));
        let mut tablet = Self {
            id,
            alias: identity.alias.clone(),
            connector,
            machine: Tablet::new(identity, config, rng),
            idle: BTreeMap::new(),
            opening: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            timer,
            prober: watch,
            positions,
            beats,
            killer,
            errands: VecDeque::new(),
        };
        tablet.arm(hands);
        tablet
    }

    pub(super) fn alias(&self) -> &TabletAlias {
        &self.alias
    }

    pub(super) fn counters(&self) -> Counters {
        self.machine.counters()
    }

    /// Monitoring connections that are open or being opened.
    pub(super) fn monitoring(&self) -> usize {
        [&self.prober, &self.positions, &self.beats, &self.killer]
            .into_iter()
            .filter(|prober| prober.has_stream())
            .count()
    }

    /// The topology says what it is.
    pub(super) fn assign(&mut self, hands: &mut Hands<'_, '_>, role: Role, term: u64) {
        self.handle(hands, Input::RoleAssigned { role, term });
    }

    /// The server's own tablet says whether it is drained.
    pub(super) fn told_of_drain(&mut self, hands: &mut Hands<'_, '_>, drain: Option<Drain>) {
        self.handle(hands, Input::Drain(drain));
    }

    /// The time of the machine has come.
    pub(super) fn on_time(&mut self, hands: &mut Hands<'_, '_>) {
        self.handle(hands, Input::Timeout);
    }

    /// Asks for a connection.
    pub(super) fn acquire(&mut self, hands: &mut Hands<'_, '_>, session: u32, wish: &Acquire) -> Wished {
        loop {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            let prefer = wish.prefer.map(|key| Preferred { conn: ConnId(key.connection), epoch: key.epoch });
            let (class, settings) = (wish.class, Arc::clone(&wish.settings));
            let request =
                pool::Acquire { ticket, holder: wish.holder, class, settings, prefer, deadline: wish.deadline };
            let input = Input::Acquire { role: wish.role, term: wish.term, needs: wish.needs.clone(), request };
            self.machine.handle(hands.ctx.now(), input);
            match self.drain(hands, Some(ticket)) {
                None => {
                    self.waiting.insert(ticket, session);
                    return Wished::Later(ticket);
                }
                // The server closed it while it was idle: it is not even tried.
                Some(Ok(connection)) if connection.is_stale(hands.ctx) => {
                    let lost = pool::Input::Lost { conn: connection.id };
                    hands.drop_connection(*connection);
                    self.machine.handle(hands.ctx.now(), Input::Pool(lost));
                    self.drain(hands, None);
                }
                Some(Ok(mut connection)) => {
                    // Back to the one who had it last, it is as it was left.
                    connection.epoch +=
                        u64::from(!prefer.is_some_and(|p| p.conn == connection.id && p.epoch == connection.epoch));
                    connection.executed = self.machine.executed().clone();
                    return Wished::Now(Ok(connection));
                }
                Some(refused) => return Wished::Now(refused),
            }
        }
    }

    /// A session hears nothing of the server.
    pub(super) fn doubt(&mut self, hands: &mut Hands<'_, '_>, within: Duration) {
        self.handle(hands, Input::Doubt { within });
    }

    /// A wait for a position was answered on a connection.
    pub(super) fn waited(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId, executed: Position) {
        self.handle(hands, Input::Waited { conn, executed });
    }

    /// Nothing is open on a connection that a session keeps, or something is again.
    pub(super) fn rest(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId, rests: bool) {
        self.handle(hands, Input::Pool(pool::Input::Rest { conn, rests }));
    }

    /// Takes a connection back.
    pub(super) fn release(&mut self, hands: &mut Hands<'_, '_>, connection: Box<Connection>, fate: Fate) {
        let clean = fate == Fate::Keep && connection.is_reusable();
        let conn = connection.id;
        let release = pool::Input::Release {
            conn,
            settings: Arc::clone(connection.machine.settings()),
            epoch: connection.epoch,
            fate: if clean { pool::Fate::Keep } else { pool::Fate::Close(why_closed(&connection, fate)) },
        };
        if clean {
            hands.own(connection.stream, Owner::Idle(self.id, conn));
            self.idle.insert(conn, connection);
        } else {
            hands.drop_connection(*connection);
        }
        self.handle(hands, Input::Pool(release));
    }

    /// A session no longer waits.
    pub(super) fn cancel(&mut self, hands: &mut Hands<'_, '_>, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.handle(hands, Input::Pool(pool::Input::CancelAcquire { ticket }));
    }

    fn handle(&mut self, hands: &mut Hands<'_, '_>, input: Input) {
        self.machine.handle(hands.ctx.now(), input);
        self.drain(hands, None);
    }

    fn arm(&mut self, hands: &mut Hands<'_, '_>) {
        hands.ctx.arm(self.timer, self.machine.poll_timeout());
    }

    /// Does what the machine wants; returns the answer to `own`, if it is among it.
    fn drain(&mut self, hands: &mut Hands<'_, '_>, own: Option<Ticket>) -> Option<Result<Box<Connection>, Error>> {
        let mut answer = None;
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Pool(pool::Output::Granted { ticket, conn }) => {
                    let Some(connection) = self.idle.remove(&conn) else {
                        debug_assert!(false, "granted a connection that is not idle");
                        continue;
                    };
                    if own == Some(ticket) {
                        answer = Some(Ok(connection));
                    } else {
                        self.hand_over(hands, ticket, connection);
                    }
                }
                Output::Pool(pool::Output::Refused { ticket, error }) => {
                    if own == Some(ticket) {
                        answer = Some(Err(error));
                    } else if let Some(session) = self.waiting.remove(&ticket) {
                        hands.grants.push_back(Grant { tablet: self.id, session, ticket, outcome: Err(error) });
                    }
                }
                Output::Pool(pool::Output::Open { conn, class, .. }) => self.open(hands, conn, class),
                Output::Pool(pool::Output::Close { conn, .. }) => {
                    if let Some(connection) = self.idle.remove(&conn) {
                        hands.drop_connection(*connection);
                    }
                }
                Output::Pool(pool::Output::Drained) => {}
                Output::Probe { probe, timeout } => self.probe(hands, probe, timeout),
                Output::Beat { beat, plan, timeout } => {
                    self.find_out(hands, Line::Beat, Wish::Beat(beat, plan), timeout)
                }
                Output::BeatFails(_) => {}
                Output::Open(open) => hands.news.push_back(News::Open(self.id, open)),
                Output::Health(health) => hands.news.push_back(News::Health(self.id, health)),
            }
        }
        self.arm(hands);
        answer
    }

    fn hand_over(&mut self, hands: &mut Hands<'_, '_>, ticket: Ticket, mut connection: Box<Connection>) {
        connection.epoch += 1;
        connection.executed = self.machine.executed().clone();
        match self.waiting.remove(&ticket) {
            Some(session) => {
                hands.grants.push_back(Grant { tablet: self.id, session, ticket, outcome: Ok(connection) });
            }
            None => self.release(hands, connection, Fate::Keep),
        }
    }

    // Opening.

    fn open(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId, class: ConnectionClass) {
        let token = Timed::Dial(self.id, conn).token();
        let dialing = Dialing::begin(hands.ctx, &self.connector, conn, class, token);
        hands.own(Some(dialing.stream), Owner::Opening(self.id, conn));
        self.opening.insert(conn, dialing);
    }

    pub(super) fn dial_connected(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId) {
        if let Some(dialing) = self.opening.get_mut(&conn) {
            dialing.connected(hands.ctx, &self.connector);
        }
    }

    pub(super) fn dial_advance(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId) {
        let Some(dialing) = self.opening.get_mut(&conn) else { return };
        if let Some(outcome) = dialing.advance(hands.ctx, &self.connector, hands.scratch) {
            self.dialled(hands, conn, outcome);
        }
    }

    pub(super) fn dial_timed_out(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId) {
        let Some(dialing) = self.opening.get_mut(&conn) else { return };
        match dialing.timed_out(&self.connector) {
            Some(error) => self.dialled(hands, conn, Err(error)),
            None => self.dial_advance(hands, conn),
        }
    }

    pub(super) fn dial_lost(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId) {
        let Some(dialing) = self.opening.get_mut(&conn) else { return };
        let error = dialing.lost(hands.ctx, &self.connector, hands.scratch);
        self.dialled(hands, conn, Err(error));
    }

    fn dialled(&mut self, hands: &mut Hands<'_, '_>, conn: ConnId, outcome: Result<Box<Connection>, Error>) {
        if let Some(dialing) = self.opening.remove(&conn) {
            if outcome.is_err() {
                hands.owners.remove(&dialing.stream);
            }
            dialing.end(hands.ctx, outcome.is_ok());
        }
        let input = match outcome {
            Ok(connection) => {
                hands.own(connection.stream, Owner::Idle(self.id, conn));
                self.idle.insert(conn, connection);
                pool::Input::Opened { conn }
            }
            Err(error) => pool::Input::OpenFailed { conn, error },
        };
        self.handle(hands, Input::Pool(input));
    }

    /// The server closed a connection at rest. Nobody looks at those until they are wanted.
    pub(super) fn idle_lost(&mut self, hands: &Hands<'_, '_>, conn: ConnId) {
        if let Some(connection) = self.idle.get_mut(&conn) {
            connection.lose(hands.ctx.now());
        }
    }

    // Asking the server about itself.

    fn probe(&mut self, hands: &mut Hands<'_, '_>, probe: ProbeId, limit: Duration) {
        self.find_out(hands, Line::Watch, Wish::Probe(probe), limit);
    }

    /// What its server has executed, as the primary of `term`: the answer comes in [`Hands::positions`].
    pub(super) fn primary_position(&mut self, hands: &mut Hands<'_, '_>, ask: AskId, term: u64, limit: Duration) {
        match self.machine.vouch(term) {
            Ok(()) => {
                let in_group = self.machine.in_group();
                self.find_out(hands, Line::Position, Wish::Position { ask, term, in_group }, limit);
            }
            Err(_) => hands.positions.push_back((ask, None)),
        }
    }

    /// Has something done about one of the server's connections: what comes of it is in [`Hands::kills`].
    pub(super) fn send(&mut self, hands: &mut Hands<'_, '_>, errand: Errand) {
        if self.errands.len() >= WAITING_MAX {
            return hands.kills.done(errand, Err(given_up("too many others wait")));
        }
        self.errands.push_back(errand);
        self.next_errand(hands);
    }

    fn next_errand(&mut self, hands: &mut Hands<'_, '_>) {
        while !self.killer.is_busy() {
            let now = hands.ctx.now();
            match self.errands.pop_front() {
                Some(errand) if errand.until <= now => {
                    hands.kills.done(errand, Err(given_up("it did not answer in time")));
                }
                Some(errand) => {
                    return self.find_out(hands, Line::Kill, Wish::Errand(errand), errand.until.since(now));
                }
                None => {
                    // Its connection is kept only while there is more to do.
                    self.killer.forget(hands.ctx);
                    return self.disown(hands, Line::Kill);
                }
            }
        }
    }

    fn find_out(&mut self, hands: &mut Hands<'_, '_>, line: Line, wish: Wish, limit: Duration) {
        let opened = self.line(line).begin(hands.ctx, wish, limit);
        if opened.is_none() {
            return self.probe_advance(hands, line);
        }
        self.disown(hands, line);
        hands.own(opened, Owner::Probe(self.id, line));
    }

    const fn line(&mut self, line: Line) -> &mut Prober {
        match line {
            Line::Watch => &mut self.prober,
            Line::Position => &mut self.positions,
            Line::Beat => &mut self.beats,
            Line::Kill => &mut self.killer,
        }
    }

    pub(super) fn probe_connected(&mut self, hands: &mut Hands<'_, '_>, line: Line) {
        self.line(line).connected(hands.ctx);
    }

    pub(super) fn probe_advance(&mut self, hands: &mut Hands<'_, '_>, line: Line) {
        let outcome = self.line(line).advance(hands.ctx, hands.scratch);
        self.found_out(hands, line, outcome);
    }

    pub(super) fn probe_lost(&mut self, hands: &mut Hands<'_, '_>, line: Line) {
        let outcome = self.line(line).lost(hands.ctx, hands.scratch);
        self.found_out(hands, line, outcome);
    }

    pub(super) fn probe_timed_out(&mut self, hands: &mut Hands<'_, '_>, line: Line) {
        let outcome = self.line(line).timed_out(hands.ctx);
        self.found_out(hands, line, outcome);
    }

    fn found_out(&mut self, hands: &mut Hands<'_, '_>, line: Line, outcome: Option<Outcome>) {
        match outcome {
            None => return,
            Some(Outcome::Position { ask, term, answer }) => {
                let position = answer.and_then(|position| self.machine.vouch(term).map(|()| position));
                hands.positions.push_back((ask, position.ok()));
            }
            Some(Outcome::Errand(errand, verdict)) => hands.kills.done(errand, verdict),
            Some(Outcome::Beat(beat, outcome)) => self.handle(hands, Input::BeatEnded { beat, outcome }),
            Some(Outcome::Probe(probe, Ok(observation))) => {
                self.handle(hands, Input::Observed { probe, observation: observation.clone() });
                hands.news.push_back(News::Observed(self.id, Box::new(observation)));
            }
            Some(Outcome::Probe(probe, Err(error))) => {
                self.handle(hands, Input::ProbeFailed { probe, error });
                hands.news.push_back(News::Silent(self.id));
            }
        }
        if !self.line(line).has_stream() {
            // Its connection was dropped with what failed on it.
            self.disown(hands, line);
        }
        if line == Line::Kill {
            self.next_errand(hands);
        }
    }

    fn disown(&self, hands: &mut Hands<'_, '_>, line: Line) {
        hands.owners.retain(|_, owner| *owner != Owner::Probe(self.id, line));
    }
}

fn why_closed(connection: &Connection, fate: Fate) -> CloseReason {
    if connection.machine.is_closed() {
        CloseReason::Broken
    } else if fate == Fate::Close {
        CloseReason::ClientGone
    } else {
        CloseReason::Unclean
    }
}
