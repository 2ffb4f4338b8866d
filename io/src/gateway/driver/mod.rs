//! The driver of one client session: carries bytes between the client, the session machine and the connection it holds.
//!
//! The whole loop is [`Driver::poll`]: take bytes wherever a socket is ready, do what the session asks, send what there is to send, until
//! nothing moves. It decides nothing.

mod seldom;

use super::Shared;
use super::buffer::Buffering;
use super::compression::Compressed;
use super::freshness::Freshening;
use super::kill::Seat;
use super::listener::Stage;
use super::others::{Asker, Told};
use super::tablets::{Doing, Lent, Pending};
use crate::clock;
use crate::net::{Stream, Timer};
use seldom::{Seldom, Telling, telling};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{oneshot, watch};
use weir_core::error::Error;
use weir_core::gateway::config::SessionConfig;
use weir_core::gateway::processes::Powers;
use weir_core::gateway::session::{Event, Fate, Peer, Reason, Session};
use weir_core::link::Interrupt;
use weir_core::sql::Show;
use weir_core::tablet::accounts::{Account, Rights};
use weir_core::time::Instant;

/// Output that the client has not taken, in bytes, beyond which nothing more is read from the server.
pub(super) const OUTPUT_HIGH_BYTES: usize = 256 * 1024;
/// Client bytes that the session does not take yet, beyond which nothing more is read from the client.
const INPUT_HIGH_BYTES: usize = 64 * 1024;
/// Bytes of a client's file that the server has not taken, beyond which the session gets no more of it.
pub(crate) const FILE_HIGH_BYTES: usize = 256 * 1024;
/// What buffers of an idle session keep, in bytes.
const BUFFER_KEPT_BYTES: usize = 1024;
/// How long a client may take to read the last bytes before it is cut off.
const LINGER: Duration = Duration::from_secs(5);

/// Why the loop stopped.
enum Stop {
    /// The client wants TLS.
    Tls,
    /// The session is over.
    Closed(Reason),
}

/// What came of a kill.
type Outcome = Result<(), Error>;

/// What is known of a client's password, once a server has told.
type Finding = Doing<Result<Option<Account>, Error>>;

pub(super) struct Driver {
    shared: Arc<Shared>,
    session: Session,
    /// When the task was woken.
    now: Instant,
    /// Nothing more was to be had of the client when it was looked at last, and its socket will wake the task.
    client_is_silent: bool,
    /// What is polled with its own waker; the task that it wakes.
    seldom: Arc<Seldom>,
    task: Waker,
    /// Of the configuration that the session has.
    config_version: u32,
    client: Stream,
    /// The client closed its side, or it broke.
    client_gone: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    /// The compressed protocol is spoken: then what the client says and what it is told pass through here.
    compressed: Option<Box<Compressed>>,
    lease: Option<Lent>,
    pending: Option<Pending>,
    freshening: Option<Freshening>,
    /// Its statement waits for a primary.
    buffering: Option<Buffering>,
    /// The client's account is being looked up.
    finding: Option<Finding>,
    /// What the account may do that was found last.
    rights: Option<Rights>,
    /// What it may do to clients of others: the one that was found last, that it is, and that it was before.
    powers_found: Powers,
    powers: Powers,
    powers_before: Powers,
    /// What the others see of the session, and what they want of it.
    seat: Seat,
    shown: (u64, &'static str),
    /// A server is being told to end what runs on the lease.
    interrupting: Option<Doing<Outcome>>,
    /// Who waits for that.
    killers: Vec<oneshot::Sender<Outcome>>,
    /// What became of the lease's connection is being found out.
    inquiring: Option<Doing<bool>>,
    /// Another session that this one kills.
    killing: Option<Doing<Outcome>>,
    /// A user whose sessions this one kills.
    killing_user: Option<Doing<Result<u64, Error>>>,
    /// Other gateways are asked for their clients, for a SHOW or for what a statement reads.
    listing: Option<(Option<Show>, Doing<Told>)>,
    /// SET GLOBAL is under way.
    setting: Option<Doing<Result<Arc<SessionConfig>, Error>>>,
    /// RELOAD USERS is under way.
    reloading: Option<Doing<Result<Option<&'static str>, Error>>>,
    timer: Timer,
    /// The lease's own deadline.
    lease_timer: Timer,
    /// How long the client may take nothing of the output, when it must have taken some, and the timer for it.
    write_time_max: Duration,
    write_deadline: Option<Instant>,
    write_timer: Timer,
    admitted: bool,
    /// Until the session is to be finished, then until it is to be ended.
    stopping: Option<(Stage, Telling)>,
    stop: Option<Stop>,
}

impl Driver {
    /// `head`: what was read of the client already.
    pub(super) fn new(
        shared: Arc<Shared>,
        client: Stream,
        head: Vec<u8>,
        peer: Peer,
        seat: Seat,
        stopped: watch::Receiver<Stage>,
    ) -> Self {
        let mut config_version = 0;
        let _ = shared.newer_config(&mut config_version);
        let config = shared.session_config();
        let write_time_max = config.limits.write_time_max;
        let now = clock::now();
        let session = Session::new(config, shared.view(), peer, now);
        Self {
            shared,
            session,
            now,
            client_is_silent: false,
            seldom: Arc::default(),
            task: Waker::noop().clone(),
            config_version,
            client,
            client_gone: false,
            input: head,
            output: Vec::new(),
            written: 0,
            compressed: None,
            lease: None,
            pending: None,
            freshening: None,
            buffering: None,
            finding: None,
            rights: None,
            powers_found: Powers::default(),
            powers: Powers::default(),
            powers_before: Powers::default(),
            seat,
            shown: (u64::MAX, ""),
            interrupting: None,
            killers: Vec::new(),
            inquiring: None,
            killing: None,
            killing_user: None,
            listing: None,
            setting: None,
            reloading: None,
            timer: Timer::default(),
            lease_timer: Timer::default(),
            write_time_max,
            write_deadline: None,
            write_timer: Timer::default(),
            admitted: false,
            stopping: Some(telling(stopped, Stage::Stopping)),
            stop: None,
        }
    }

    /// Runs the session to its end and says why it ended.
    pub(super) async fn run(&mut self) -> Reason {
        loop {
            match poll_fn(|cx| self.poll(cx)).await {
                // Its state is as large as all the rest, and needed once.
                Stop::Tls => Box::pin(self.start_tls()).await,
                Stop::Closed(reason) => {
                    self.linger().await;
                    return reason;
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            self.seldom.wakes(cx.waker());
            self.seldom.begin();
        }
        self.now = clock::now();
        self.client_is_silent = false;
        loop {
            let mut moved = self.seldom.take() && self.poll_seldom().is_ready();
            moved |= self.poll_lease(cx).is_ready();
            moved |= self.poll_read_server(cx).is_ready();
            moved |= self.poll_read_client(cx).is_ready();
            self.obey(cx);
            // Nothing comes between the two: by the time that a client reads of its write, all sessions know of it.
            moved |= self.poll_write_client(cx).is_ready();
            if let Some(stop) = self.stop.take() {
                return Poll::Ready(stop);
            }
            moved |= self.poll_write_server(cx).is_ready();
            if !moved && !self.seldom.has_happened() && self.poll_new_deadlines().is_pending() {
                self.show();
                return Poll::Pending;
            }
        }
    }

    /// Does what the session asks, in order.
    fn obey(&mut self, cx: &mut Context<'_>) {
        loop {
            self.feed_input();
            self.session.collect(sink(&mut self.compressed, &mut self.output), &[]);
            let Some(event) = self.session.poll_event() else { return };
            match event {
                Event::StartTls => self.stop = Some(Stop::Tls),
                Event::StartCompression { level } => {
                    self.compressed = Some(Box::new(Compressed::new(level, std::mem::take(&mut self.input))));
                }
                Event::DecryptRsa(ciphertext) => self.session.decrypted(self.shared.rsa_decrypt(&ciphertext)),
                Event::FindUser(user) => {
                    let host = self.session.peer_host().to_owned();
                    self.finding = Some(Box::pin(Arc::clone(&self.shared).find_user(user, host)));
                    self.seldom.begin();
                }
                Event::Admit { user, before, proof } => {
                    let config = self.shared.session_config();
                    let own_max = config.users.connections_max(&user);
                    let admitted = {
                        let mut admission = self.shared.admission();
                        if let Some(before) = before {
                            admission.leave_user(&before);
                        }
                        let account = self.shared.account_of(&user, proof, self.rights);
                        account.and_then(|account| admission.enter_user(&user, own_max).map(|()| account))
                    };
                    self.admitted = admitted.is_ok();
                    let powers = config.users.powers(&user).unwrap_or(self.powers_found);
                    self.powers_before = std::mem::replace(&mut self.powers, powers);
                    self.session.admitted(self.now, admitted);
                }
                Event::Readmit { user, instead_of } => {
                    let own_max = self.shared.session_config().users.connections_max(&user);
                    let mut admission = self.shared.admission();
                    admission.leave_user(&instead_of);
                    self.admitted = admission.enter_user(&user, own_max).is_ok();
                    self.powers = self.powers_before;
                }
                Event::Acknowledged(written) => self.shared.acknowledged(written),
                Event::Freshen(scope) => {
                    self.freshening = Some(self.shared.freshen(scope));
                    self.seldom.begin();
                }
                Event::CancelFreshen => self.freshening = None,
                Event::Buffer(hold) => {
                    self.buffering = Some(self.shared.buffer(hold));
                    self.seldom.begin();
                }
                Event::CancelBuffer => self.buffering = None,
                Event::Acquire(acquire) => match self.shared.tablet(acquire.tablet) {
                    Some(tablet) => {
                        self.pending = Some(tablet.acquire(self.now, &acquire, &self.session));
                        let _ = self.poll_lease(cx);
                    }
                    None => self.session.lease_refused(self.now, super::no_such_tablet()),
                },
                Event::CancelAcquire => self.pending = None,
                Event::Doubt { tablet, within } => {
                    if let Some(tablet) = self.shared.tablet(tablet) {
                        tablet.doubt(within);
                    }
                }
                Event::Rest(rests) => {
                    if let Some(lease) = &self.lease {
                        lease.rest(rests);
                    }
                }
                Event::Submit(request) => {
                    if let Some(lease) = &mut self.lease {
                        lease.submit(self.now, *request);
                    }
                    // A connection that broke while nothing ran on it answers at once.
                    self.pass_replies();
                }
                Event::ClientData(packets) => {
                    if let Some(lease) = &mut self.lease {
                        lease.client_data(packets);
                    }
                }
                Event::Interrupt(interrupt) => self.interrupt(interrupt),
                Event::Inquire => {
                    let nothing = || -> Doing<bool> { Box::pin(std::future::ready(false)) };
                    self.inquiring = Some(self.lease.as_ref().map_or_else(nothing, Lent::was_killed));
                    self.seldom.begin();
                }
                Event::CancelInquire => self.inquiring = None,
                Event::Kill { id, interrupt } => match self.shared.kill(&self.asker(), id, interrupt) {
                    Ok(killing) => {
                        self.killing = Some(killing);
                        self.seldom.begin();
                    }
                    Err(error) => self.session.kill_answered(self.now, Err(error)),
                },
                Event::KillUser { user, host, interrupt } => {
                    match self.shared.kill_user(&self.asker(), &user, host.as_deref(), interrupt) {
                        Ok(killing) => {
                            self.killing_user = Some(killing);
                            self.seldom.begin();
                        }
                        Err(error) => self.session.user_killed(self.now, Err(error)),
                    }
                }
                Event::ListClients => self.list(None),
                Event::Release(fate) => self.release(fate),
                Event::Ended(outcome, trace) => {
                    self.shared.count(self.now, &outcome, &self.session, trace.as_deref());
                }
                Event::Audited(line) => self.shared.audit(line),
                Event::Replayed(what) => self.shared.count_replayed(what),
                Event::Show(show @ Show::Processes { .. }) => self.list(Some(show)),
                Event::Show(Show::Digests) => self.show_digests(),
                Event::Show(show) => self.tell_clients(Some(show), &Told::default()),
                Event::SetDefaults(assignments) => {
                    self.setting = Some(Box::pin(Arc::clone(&self.shared).set_globals(assignments)));
                    self.seldom.begin();
                }
                Event::ReloadUsers => {
                    let Asker { user, powers } = self.asker();
                    self.reloading = Some(Box::pin(Arc::clone(&self.shared).reload_users(user, powers)));
                    self.seldom.begin();
                }
                Event::ResetDigests => {
                    let may = self.shared.session_config().users.check_resets_digests(self.powers);
                    let done = may.map(|()| self.shared.digests.clear());
                    self.session.order_done(self.now, done.map(|()| None));
                }
                Event::Closed(reason) => self.stop = Some(Stop::Closed(reason)),
            }
        }
    }

    /// Whether the client's next bytes have a place to go to.
    fn takes_input(&self) -> bool {
        let server_is_behind = |lease: &Lent| lease.unsent_bytes() > FILE_HIGH_BYTES;
        self.session.wants_input() && !self.lease.as_ref().is_some_and(server_is_behind)
    }

    /// Offers the client's bytes that are waiting.
    fn feed_input(&mut self) {
        while self.takes_input() {
            if self.input.is_empty() {
                self.inflate();
            }
            if self.input.is_empty() {
                return self.input.shrink_to(BUFFER_KEPT_BYTES);
            }
            self.bring_up_to_date();
            let taken = self.session.handle_bytes(self.now, &self.input);
            self.input.drain(..taken);
            if taken == 0 || self.compressed.is_none() {
                return;
            }
            self.session.collect(sink(&mut self.compressed, &mut self.output), &[]);
        }
    }

    /// Makes input of what was received compressed.
    fn inflate(&mut self) {
        let Some(compressed) = &mut self.compressed else { return };
        if let Err(error) = compressed.inflate(&mut self.input, self.session.awaits_command()) {
            self.input.clear();
            self.session.input_broken(&error);
        }
    }

    /// Statements go by the view and the defaults of the moment they arrive.
    fn bring_up_to_date(&mut self) {
        self.session.set_view(self.shared.view());
        if let Some(config) = self.shared.newer_config(&mut self.config_version) {
            self.session.set_config(config);
        }
    }

    fn release(&mut self, fate: Fate) {
        if let Some(lease) = self.lease.take() {
            lease.release(self.now, fate);
        }
    }

    fn show(&mut self) {
        let activity = self.session.activity();
        if self.shown != activity {
            self.shown = activity;
            let thread = self.lease.as_ref().and_then(Lent::thread_of);
            self.seat.show(|process| {
                self.session.describe(process);
                process.thread = thread;
            });
        }
    }

    /// Who asks other gateways.
    fn asker(&self) -> Asker {
        Asker { user: self.session.user().to_vec(), powers: self.powers }
    }

    fn list(&mut self, shown: Option<Show>) {
        if !self.shared.has_others() {
            return self.tell_clients(shown, &Told::default());
        }
        self.listing = Some((shown, Box::pin(Arc::clone(&self.shared).processes_elsewhere(self.asker()))));
        self.seldom.begin();
    }

    fn show_digests(&mut self) {
        match self.shared.session_config().users.check_sees_digests(self.powers) {
            Ok(()) => {
                let (table, warning) = super::show::digests(&self.shared);
                self.session.shown(self.now, &table, warning);
            }
            Err(error) => self.session.show_refused(self.now, &error),
        }
    }

    /// Gives the session what it shows, or who is connected; the clients of other gateways are these.
    fn tell_clients(&mut self, shown: Option<Show>, elsewhere: &Told) {
        self.show();
        match shown {
            Some(show) => {
                let viewer = self.session.user();
                let table = super::show::table(&self.shared, viewer, self.powers, show, &elsewhere.processes);
                let warning = super::show::warning(&elsewhere.silent);
                self.session.shown(self.now, &table, warning.as_deref());
            }
            None => {
                let mut processes = self.shared.processes();
                processes.extend_from_slice(&elsewhere.processes);
                self.session.listed(self.now, &processes, self.powers);
            }
        }
    }

    fn interrupt(&mut self, interrupt: Interrupt) {
        let nothing = || -> Doing<Outcome> { Box::pin(std::future::ready(Ok(()))) };
        self.interrupting = Some(self.lease.as_ref().map_or_else(nothing, |lease| lease.kill(interrupt)));
        self.seldom.begin();
    }

    fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pending) = &mut self.pending else { return Poll::Pending };
        let granted = ready!(pending.poll(cx));
        self.pending = None;
        let now = self.now;
        match granted {
            Ok(lent) => {
                let lease = lent.lease();
                self.lease = Some(lent);
                self.session.lease_granted(now, lease);
            }
            Err(error) => self.session.lease_refused(now, error),
        }
        Poll::Ready(())
    }

    fn poll_write_server(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(lease) = &mut self.lease else { return Poll::Pending };
        ready!(lease.poll_write(cx));
        // A connection that broke answers at once.
        self.pass_replies();
        Poll::Ready(())
    }

    fn poll_read_server(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_full = |compressed: &Compressed| compressed.plain.len() > compressed.plain_bytes_max();
        let behind = self.output.len() - self.written > OUTPUT_HIGH_BYTES;
        if behind || self.compressed.as_deref().is_some_and(is_full) {
            return Poll::Pending;
        }
        let Some(lease) = &mut self.lease else { return Poll::Pending };
        let (session, output, now) = (&mut self.session, sink(&mut self.compressed, &mut self.output), self.now);
        lease.poll_receive(cx, now, |reply, piece| {
            session.handle_reply(now, reply);
            session.collect(output, piece);
        })
    }

    /// Hands on what the connection answers without having received anything.
    fn pass_replies(&mut self) {
        while let Some(lease) = &mut self.lease {
            let Some(reply) = lease.poll_reply() else { return };
            self.session.handle_reply(self.now, reply);
            self.session.collect(sink(&mut self.compressed, &mut self.output), &[]);
        }
    }

    /// Makes output of what waits to be compressed, once the client has taken what was.
    fn deflate(&mut self) {
        if let Some(compressed) = &mut self.compressed
            && self.written == self.output.len()
            && !compressed.plain.is_empty()
        {
            self.output.clear();
            self.written = 0;
            compressed.deflate(&mut self.output);
        }
    }

    fn poll_write_client(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        debug_assert!(!self.session.has_events(), "the client would read of what the others do not know yet");
        self.deflate();
        if self.written == self.output.len() || self.client_gone {
            self.output.clear();
            self.output.shrink_to(BUFFER_KEPT_BYTES);
            if let Some(compressed) = &mut self.compressed {
                compressed.let_go();
            }
            self.written = 0;
            // TLS keeps back what the socket did not take; what is wrong with it is found when reading.
            if !self.client_gone && Pin::new(&mut self.client).poll_flush(cx).is_pending() {
                self.write_deadline.get_or_insert_with(|| clock::now() + self.write_time_max);
            } else {
                self.write_deadline = None;
            }
            return Poll::Pending;
        }
        match Pin::new(&mut self.client).poll_write(cx, &self.output[self.written..]) {
            Poll::Pending => {
                self.write_deadline.get_or_insert_with(|| self.now + self.write_time_max);
                return Poll::Pending;
            }
            Poll::Ready(Ok(written)) if written > 0 => self.written += written,
            Poll::Ready(_) => self.lose_client(),
        }
        self.write_deadline = None;
        Poll::Ready(())
    }

    fn poll_read_client(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let received_bytes = self.compressed.as_ref().map_or(0, |compressed| compressed.received_bytes());
        if self.client_gone || self.client_is_silent || self.input.len() + received_bytes >= INPUT_HIGH_BYTES {
            return Poll::Pending;
        }
        let mut client = std::mem::replace(&mut self.client, Stream::Gone);
        let received = client.poll_receive(cx, |bytes| {
            self.take_input(bytes);
            !bytes.is_empty()
        });
        self.client = client;
        match received {
            Poll::Pending => {
                self.client_is_silent = true;
                return Poll::Pending;
            }
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Ok(false) | Err(_)) => self.lose_client(),
        }
        Poll::Ready(())
    }

    /// Bytes are copied only when the session cannot take them now.
    fn take_input(&mut self, bytes: &[u8]) {
        if let Some(compressed) = &mut self.compressed {
            return compressed.receive(bytes);
        }
        let mut taken = 0;
        if self.input.is_empty() && self.takes_input() {
            self.bring_up_to_date();
            taken = self.session.handle_bytes(self.now, bytes);
        }
        self.input.extend_from_slice(&bytes[taken..]);
    }

    fn lose_client(&mut self) {
        self.client_gone = true;
        self.input.clear();
        self.session.client_closed();
    }

    async fn start_tls(&mut self) {
        let before = std::mem::replace(&mut self.client, Stream::Gone);
        let head = std::mem::take(&mut self.input);
        // TLS is part of the login, and has only as much time.
        let until = clock::to_tokio(self.session.poll_timeout().unwrap_or(Instant::MAX));
        match tokio::time::timeout_at(until, self.shared.accept_tls(before, head)).await {
            Ok(Ok(client)) => {
                let tls = client.tls();
                self.client = client;
                self.session.tls_started(tls);
            }
            Ok(Err(_)) | Err(_) => self.lose_client(),
        }
    }

    /// Gives the client a little time to read what it was told last.
    async fn linger(&mut self) {
        if self.client_gone {
            return;
        }
        let mut rest = std::mem::take(&mut self.output);
        if let Some(compressed) = &mut self.compressed {
            compressed.deflate_all(&mut rest);
        }
        let goodbye = async {
            self.client.write_all(&rest[self.written..]).await?;
            self.client.shutdown().await
        };
        let _: Result<io::Result<()>, _> = tokio::time::timeout(LINGER, goodbye).await;
    }
}

/// Where what the session has for the client goes.
fn sink<'a>(compressed: &'a mut Option<Box<Compressed>>, output: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
    compressed.as_mut().map_or(output, |compressed| &mut compressed.plain)
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.release(Fate::Close);
        self.audit_end();
        let mut admission = self.shared.admission();
        if self.admitted {
            admission.leave_user(self.session.user());
        }
        admission.leave();
    }
}
