//! One client connection: protocol, session state, and where each statement goes.
//!
//! A data-plane machine. The driver feeds it the client's bytes and the tablet's [`Reply`](crate::link::Reply) pieces, and drains
//! [`Session::poll_transmit`] and [`Session::poll_event`] after every call. It never runs two requests at once: while one
//! is under way the client's further bytes are left unconsumed, which is the back-pressure.
//!
//! Life: `Login` → `Idle` ⇄ (`Freshening` → `Waiting` for a lease, or `Buffered` → `Running` a request) → `Closed`. Start with
//! `Phase`, then `commands` (what a client may say), `job` (how a request gets a server connection) and `answer`
//! (what comes back, and when the connection is given back).

mod activity;
mod ahead;
mod answer;
mod audited;
mod carrier;
mod clients;
mod commands;
mod diagnostics;
mod draining;
mod explain;
mod follow;
mod form;
mod freshness;
mod history;
mod insert_id;
mod job;
mod kill;
mod login;
mod lost;
mod outcome;
mod prepared;
mod query;
mod replay;
mod settle;
mod silence;
mod state;
mod statements;
#[cfg(test)]
mod tests;
mod traced;
mod tracking;
mod transmit;
mod usage;
mod waiting;

pub use carrier::Tls;
pub use outcome::{Class, Outcome, Plan, Sight, Verdict};
pub use replay::Replayed;
pub use state::Pins;
pub use traced::{Did, Step, Trace};
pub use transmit::Transmit;

use crate::error::{Component, Error, Kind};
use crate::gateway::audit::Line;
use crate::gateway::balance::Chooser;
use crate::gateway::buffer::Hold;
use crate::gateway::cluster::{TabletId, View};
use crate::gateway::config::SessionConfig;
use crate::gateway::freshness::{Scope, Written};
use crate::gateway::variables::Variables;
use crate::link::{AccountId, ClientName, Ended, Interrupt, Request};
use crate::mutants::Mutant;
use crate::mysql::ProtocolError;
use crate::mysql::auth::{Nonce, Proof};
use crate::mysql::capability::{CapabilityFlags, MariaDbCapabilities};
use crate::mysql::frame::{self, PacketReader};
use crate::mysql::handshake::{ServerHandshake, Transport};
use crate::mysql::packet::{self, OkHeader, OkPacket};
use crate::rng::Rng;
use crate::sql::{Show, Verdicts};
use crate::time::{Duration, Instant};
use crate::topo::ServerVersion;
use activity::Activity;
use audited::Audited;
use diagnostics::Diagnostics;
pub use job::{Acquire, Lease, LeaseKey};
use job::{Held, Job};
use login::Before;
use outcome::Tally;
use replay::Replay;
use state::State;
use statements::Statements;
use std::collections::VecDeque;
use std::sync::Arc;
use tracking::Tracking;
use transmit::Outbox;
use usage::Usage;

/// What the driver knows of a client when it connects.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The id that `CONNECTION_ID()` shows and KILL takes.
    pub id: u32,
    /// The client's address as it stands in "Access denied for user 'u'@'host'".
    pub host: String,
    /// How it is connected.
    pub transport: Transport,
    /// The authentication's challenge: unpredictable.
    pub nonce: Nonce,
    /// Seed for choices among servers.
    pub seed: u64,
}

/// What the session wants of its driver, in order.
#[derive(Debug)]
pub enum Event {
    /// Begin TLS as the server; then call [`Session::tls_started`].
    StartTls,
    /// From here on both directions are compressed ([`crate::mysql::compressed`]); what [`Session::poll_transmit`] gave before is
    /// not.
    StartCompression {
        /// zlib's level.
        level: u32,
    },
    /// Decrypt with the gateway's RSA key (OAEP); then call [`Session::decrypted`].
    DecryptRsa(Vec<u8>),
    /// Look the user up on the servers; then call [`Session::user_found`].
    FindUser(Vec<u8>),
    /// Count this user against its limit, and the one that it was before (COM_CHANGE_USER) no more; then call
    /// [`Session::admitted`].
    Admit {
        /// Who it is now.
        user: Vec<u8>,
        /// Who it was.
        before: Option<Vec<u8>>,
        /// What opens the servers for it, when its statements run under its own account there.
        proof: Option<Proof>,
    },
    /// COM_CHANGE_USER was refused after [`Event::Admit`]: count the user that it was before, and the other one no more.
    Readmit {
        /// Who it is again.
        user: Vec<u8>,
        /// Who it is not.
        instead_of: Vec<u8>,
    },
    /// A write went through. To be passed on before anything that [`Session::poll_transmit`] gave goes to the client, so that
    /// whoever hears of it finds it taken in.
    Acknowledged(Written),
    /// Find out how far a read must see; then call [`Session::freshened`].
    Freshen(Scope),
    /// The answer to [`Event::Freshen`] is not wanted any more.
    CancelFreshen,
    /// Get a server connection; then call [`Session::lease_granted`] or [`Session::lease_refused`].
    Acquire(Acquire),
    /// The lease asked for is not wanted any more: when it comes, give it back.
    CancelAcquire,
    /// No primary takes the statement now: have it wait in the gateway's buffer; then, with the newest view set, call
    /// [`Session::resumed`].
    Buffer(Hold),
    /// The statement that waits in the buffer is not wanted any more.
    CancelBuffer,
    /// A replica's server says nothing: find out at once whether it lives. The next view tells.
    Doubt {
        /// Whose server.
        tablet: TabletId,
        /// How long it may take to say anything.
        within: Duration,
    },
    /// Nothing is open any more on the lease, though it is kept (true), or something is about to be again. At first something is.
    Rest(bool),
    /// Run a request on the lease.
    Submit(Box<Request>),
    /// Pass packets of the client's file on to the server.
    ClientData(Vec<u8>),
    /// Have the server end what runs on the lease, by another connection, within a time limit; then call
    /// [`Session::interrupted`], whatever came of it. Until then the lease stays as it is.
    Interrupt(Interrupt),
    /// Find out whether the connection of the lease, which broke, was killed on its server; then call [`Session::inquired`].
    /// Comes before the lease is given back, and goes on after that.
    Inquire,
    /// The answer to [`Event::Inquire`] is not wanted any more.
    CancelInquire,
    /// End another session, or what it runs; then call [`Session::kill_answered`].
    Kill {
        /// Whose: what `CONNECTION_ID()` shows.
        id: u64,
        /// What of it.
        interrupt: Interrupt,
    },
    /// End the sessions of a user, or what they run; then call [`Session::user_killed`].
    KillUser {
        /// Whose.
        user: Vec<u8>,
        /// Only those that come from there.
        host: Option<Vec<u8>>,
        /// What of it.
        interrupt: Interrupt,
    },
    /// Tell who is connected; then call [`Session::listed`].
    ListClients,
    /// Give the lease back.
    Release(Fate),
    /// Count a statement that has ended; and make spans of it, if its trace is sampled.
    Ended(Outcome, Option<Box<Trace>>),
    /// Write this to the audit log.
    Audited(Box<Line>),
    /// Count what became of a transaction whose primary was lost.
    Replayed(Replayed),
    /// Collect the rows of `SHOW WEIR ...` and its kin; then call [`Session::shown`].
    Show(Show),
    /// Make these the gateway's defaults ([`Globals`](crate::gateway::globals::Globals)), for every session; then call
    /// [`Session::defaults_set`].
    SetDefaults(Vec<(String, String)>),
    /// Look anew at who may log in; then call [`Session::order_done`].
    ReloadUsers,
    /// Forget what was counted by form; then call [`Session::order_done`].
    ResetDigests,
    /// Flush, then close the client's connection. Nothing follows.
    Closed(Reason),
}

/// What becomes of a server connection that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes back to the pool.
    Keep,
    /// Its state is unknown: it is closed.
    Close,
}

outcome::named! {
    /// Why a session ended.
    Reason {
        /// COM_QUIT.
        Quit = "quit",
        /// The client's connection broke or was closed without COM_QUIT.
        ClientGone = "client_gone",
        /// The client was not let in.
        Refused = "refused",
        /// The client broke the protocol.
        ProtocolError = "protocol_error",
        /// A time limit of the client's passed.
        TimedOut = "timed_out",
        /// The answer was cut off in its middle by the loss of a server connection.
        ServerLost = "server_lost",
        /// Session state that cannot be re-established was lost with its server connection.
        StateLost = "state_lost",
        /// KILL ended it.
        Killed = "killed",
        /// The gateway stops.
        Shutdown = "shutdown",
    }
}

/// What a timer of the session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// The client must finish logging in.
    Login,
    /// The client may be silent this long (`wait_timeout`).
    Idle,
    /// The client may be silent this long in the middle of a packet (`net_read_timeout`).
    Read,
    /// It is looked whether the server under a read still lives.
    Silence,
}

#[derive(Debug)]
enum Phase {
    /// Greeting, authentication, admission.
    Login(Box<ServerHandshake>),
    /// Authenticated; the user's limit is being checked.
    Admitting,
    /// A command may come.
    Idle,
    /// It is being found out how far a request must see.
    Freshening(Box<Job>),
    /// A request waits for a server connection.
    Waiting(Box<Job>),
    /// A request waits for a primary.
    Buffered(Box<Job>),
    /// A request runs on the lease.
    Running(Box<Job>),
    /// The server reads the client's file for LOAD DATA LOCAL.
    Infile(Box<Job>),
    /// A request has ended, and a kill that was meant for it has not arrived yet.
    Held(Box<Job>, Ended),
    /// A read's connection broke, and it is being found out whether somebody killed it.
    Inquiring(Box<Job>, Error),
    /// The driver collects rows for `SHOW WEIR` and its kin.
    Showing(Show),
    /// The driver tells who is connected, for a statement that asks for clients.
    Listing(Box<Job>),
    /// The driver kills another session for this one.
    Killing,
    /// The session is over, and what it ran is being ended on the server.
    Leaving,
    /// The driver sets the gateway's defaults; then these are the session's own values.
    SettingDefaults(Box<(Variables, Tracking)>),
    /// The driver looks at who may log in, or forgets what it has counted.
    Ordered,
    /// Over.
    Closed,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    /// What the servers are, by the version that clients read.
    servers: Option<ServerVersion>,
    view: Arc<View>,
    peer: Peer,
    /// Once it is up.
    tls: Option<Box<Tls>>,
    phase: Phase,
    user: Vec<u8>,
    /// The user and where it comes from, for those who judge its statements.
    named: Arc<ClientName>,
    /// Whom its statements run as on the servers.
    account: AccountId,
    capabilities: CapabilityFlags,
    /// What carries its packets is compressed.
    compressed: bool,
    /// What it took of MariaDB's own.
    of_mariadb: MariaDbCapabilities,
    /// The longest packet that the client accepts, in bytes.
    max_packet_bytes: u32,
    /// Sequence id of the next packet to the client.
    sequence: u8,
    state: State,
    statements: Statements,
    /// What is known of texts like those that the client has sent.
    verdicts: Verdicts,
    /// The form of the last text of which no verdict is kept.
    last_form: Vec<u8>,
    reader: PacketReader,
    out: Outbox,
    events: VecDeque<Event>,
    lease: Option<Held>,
    usage: Usage,
    tally: Tally,
    /// The client's request that runs on this lease once a request of the session's own is done.
    then: Option<Box<Job>>,
    /// The schema named at login, until it is checked.
    wish_schema: Option<Vec<u8>>,
    /// Who it was, while it becomes somebody else.
    changing: Option<Box<Before>>,
    /// How often that was refused.
    changes_refused: u8,
    /// Why the session is ending, while it cleans up.
    leaving: Reason,
    /// What is known of the last statement's warnings and counts.
    diagnostics: Diagnostics,
    /// A server is being told to end what runs on the lease.
    interrupting: bool,
    activity: Activity,
    audited: Audited,
    /// An open transaction was lost with its server connection, and the client has not acknowledged it yet.
    transaction_lost: bool,
    /// What is done for transactions with `transaction_replay`; nothing without.
    replay: Option<Box<Replay>>,
    /// It ends as soon as it is amid nothing.
    finishing: bool,
    timer: Option<(Instant, Timer)>,
    rng: Rng,
    chooser: Chooser,
}

impl Session {
    /// A client connected: its greeting is ready to be sent.
    #[must_use]
    pub fn new(config: Arc<SessionConfig>, view: Arc<View>, peer: Peer, now: Instant) -> Self {
        let mut rng = Rng::new(peer.seed);
        let handshake = ServerHandshake::new(login::handshake_config(&config, &peer));
        let mut session = Self {
            servers: ServerVersion::parse(&config.greeting.server_version),
            phase: Phase::Login(Box::new(handshake)),
            tls: None,
            user: Vec::new(),
            named: Arc::new(ClientName { user: Vec::new(), host: peer.host.clone() }),
            account: AccountId::OWN,
            capabilities: CapabilityFlags::empty(),
            compressed: false,
            of_mariadb: MariaDbCapabilities::empty(),
            max_packet_bytes: 0,
            sequence: 0,
            state: State::new(0, config.variables.clone()),
            statements: Statements::new(config.limits.statements_max),
            verdicts: Verdicts::default(),
            last_form: Vec::new(),
            reader: PacketReader::new(config.limits.packet_bytes_max),
            out: Outbox::default(),
            events: VecDeque::new(),
            lease: None,
            usage: Usage::default(),
            tally: Tally::new(),
            then: None,
            wish_schema: None,
            changing: None,
            changes_refused: 0,
            leaving: Reason::Quit,
            diagnostics: Diagnostics::default(),
            interrupting: false,
            activity: Activity::new(now),
            audited: Audited::default(),
            transaction_lost: false,
            replay: None,
            finishing: false,
            timer: Some((now + config.limits.login_time_max, Timer::Login)),
            chooser: Chooser::new(rng.next_u64()),
            rng,
            view,
            config,
            peer,
        };
        session.pump_login();
        session
    }

    /// The cluster as it is now; statements are routed by the view set last.
    pub fn set_view(&mut self, view: Arc<View>) {
        self.view = view;
    }

    /// The gateway's configuration as it is now: another session may have set its defaults.
    pub fn set_config(&mut self, config: Arc<SessionConfig>) {
        self.config = config;
    }

    /// Takes in bytes of the client and returns how many; the rest must be offered again after the next call that ends a
    /// request (see [`Self::wants_input`]).
    pub fn handle_bytes(&mut self, now: Instant, input: &[u8]) -> usize {
        let mut rest = input;
        while !rest.is_empty() && self.wants_input() {
            if let Phase::Login(handshake) = &mut self.phase {
                let taken = handshake.handle_bytes(rest);
                rest = &rest[taken..];
                self.pump_login();
                if taken == 0 {
                    break;
                }
                continue;
            }
            let mut reader = std::mem::replace(&mut self.reader, PacketReader::new(0));
            match reader.next(&mut rest) {
                Ok(Some(packet)) => {
                    self.sequence = packet.last_sequence.wrapping_add(1);
                    self.on_packet(now, packet.payload);
                }
                Ok(None) => {}
                Err(error) => {
                    self.sequence = reader.expected_sequence();
                    self.break_off(&error.raised_by(Component::Gateway), Reason::ProtocolError);
                }
            }
            reader.let_go();
            // A command starts a new count; the packets of a file go on with theirs.
            if reader.is_between_packets() && !matches!(self.phase, Phase::Infile(_)) {
                reader.expect_sequence(0);
            }
            self.reader = reader;
        }
        if matches!(self.phase, Phase::Idle) {
            self.note_rest(now);
            self.arm_idle(now);
        }
        input.len() - rest.len()
    }

    fn on_packet(&mut self, now: Instant, payload: &[u8]) {
        if matches!(self.phase, Phase::Infile(_)) {
            self.on_file_data(payload);
        } else {
            self.on_command(now, payload);
            if matches!(self.phase, Phase::Idle) {
                self.end_statement(now);
            }
        }
    }

    /// False while a request is under way: the client's bytes must wait.
    #[must_use]
    pub const fn wants_input(&self) -> bool {
        matches!(self.phase, Phase::Login(_) | Phase::Idle | Phase::Infile(_))
    }

    /// The next byte of the client's begins a command.
    #[must_use]
    pub const fn awaits_command(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.reader.is_between_packets()
    }

    /// What carries the client's packets makes no sense: tells it, and ends.
    pub fn input_broken(&mut self, error: &ProtocolError) {
        let error = match error {
            ProtocolError::Malformed(_) => {
                Error::new(Component::Gateway, Kind::Uncompress, "Couldn't uncompress communication packet")
            }
            other => other.raised_by(Component::Gateway),
        };
        self.sequence = self.reader.expected_sequence();
        self.break_off(&error, Reason::ProtocolError);
    }

    /// True while no request is under way and nothing of one is half read: a good moment to stop.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.lease.is_none() && self.reader.is_between_packets()
    }

    /// The client closed its connection, or it broke.
    pub fn client_closed(&mut self) {
        self.leave(Reason::ClientGone);
    }

    /// The gateway is about to stop: the session ends as soon as it is amid nothing, no request, no transaction and no locks.
    pub fn finish(&mut self) {
        self.finishing = true;
        self.end_if_finished();
    }

    fn end_if_finished(&mut self) {
        let cuts = self.config.mutants.breaks(Mutant::StopAmidTransactions);
        if self.finishing && matches!(self.phase, Phase::Idle) && (cuts || !self.is_amid_something()) {
            self.shut_down();
        }
    }

    /// The gateway stops: tells the client, and ends.
    pub fn shut_down(&mut self) {
        if matches!(self.phase, Phase::Idle) {
            self.sequence = 0;
            self.write_error(&Error::new(Component::Gateway, Kind::Shutdown, "Server shutdown in progress"));
        }
        self.leave(Reason::Shutdown);
    }

    /// Time has come; a spurious call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some((at, timer)) = self.timer else { return };
        if now < at {
            return;
        }
        self.timer = None;
        match timer {
            Timer::Login => self.break_off_login(&read_timeout()),
            Timer::Idle => {
                self.sequence = 0;
                self.break_off(&read_timeout(), Reason::TimedOut);
            }
            Timer::Read => {
                self.sequence = self.reader.expected_sequence();
                self.break_off(&read_timeout(), Reason::TimedOut);
            }
            Timer::Silence => self.look_for_life(now),
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer.map(|(at, _)| at)
    }

    /// The next piece of output to the client; the session's own bytes are appended to `buf`.
    pub fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.out.poll(buf)
    }

    /// Appends all output to the client to `buf`; what is forwarded or skipped is of `piece`, the server's input.
    pub fn collect(&mut self, buf: &mut Vec<u8>, mut piece: &[u8]) {
        while let Some(transmit) = self.poll_transmit(buf) {
            match transmit {
                Transmit::Own { .. } => {}
                Transmit::Forward { len } => {
                    let (forwarded, rest) = piece.split_at(len);
                    buf.extend_from_slice(forwarded);
                    piece = rest;
                }
                Transmit::Skip { len } => piece = &piece[len..],
            }
        }
    }

    /// The driver has not done everything yet. Until it has, the client is told nothing more.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next thing the driver must do.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The client's host, as "Access denied" names it.
    #[must_use]
    pub fn peer_host(&self) -> &str {
        &self.peer.host
    }

    /// The authenticated user; empty before.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// The default schema.
    #[must_use]
    pub fn schema(&self) -> Option<&[u8]> {
        self.state.schema()
    }

    /// Why the session keeps its server connection.
    #[must_use]
    pub const fn pins(&self) -> Pins {
        self.state.pins
    }

    /// True while a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.state.in_transaction()
    }

    fn write_ok(&mut self, ok: &OkPacket) {
        let (capabilities, sequence) = (self.capabilities, &mut self.sequence);
        self.out.write(|b| frame::write_with(b, sequence, |b| ok.encode(b, OkHeader::Ok, capabilities)));
    }

    /// An OK for something that the gateway did itself.
    fn write_own_ok(&mut self) {
        self.diagnostics.note_ok();
        self.write_ok(&OkPacket { status: self.state.status, ..OkPacket::default() });
    }

    fn write_error(&mut self, error: &Error) {
        self.tally.failed(error);
        self.audit_error(error);
        self.note_error(error);
        let (capabilities, sequence) = (self.capabilities, &mut self.sequence);
        self.out.write(|b| frame::write_with(b, sequence, |b| packet::encode_err(error, b, capabilities)));
    }

    /// Answers with an error; the session goes on.
    fn refuse(&mut self, kind: Kind, message: impl Into<String>) {
        self.write_error(&Error::new(Component::Gateway, kind, message));
    }

    /// Answers with an error that ends the session.
    fn break_off(&mut self, error: &Error, reason: Reason) {
        self.write_error(error);
        self.leave(reason);
    }
}

fn read_timeout() -> Error {
    Error::new(Component::Gateway, Kind::ReadTimeout, "Got timeout reading communication packets")
}
