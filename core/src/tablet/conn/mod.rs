//! One connection to a server: opens it, runs one request at a time on it, and closes it.
//!
//! Owns the wire towards one server: the handshake, the state that holds there (schema, variables, prepared statements,
//! transaction), and how that state is made to be what a request needs. It may not know who asks, why, or which other
//! connections there are: lending it out is [`super::pool`]'s work.
//!
//! Where to start reading: [`BackendConn::submit`], then `request` for the life of a request, `prefix` for what must be true before its
//! command runs, `flight` for the commands whose
//! answers are due, `settings` for the way from one set of variables to another.
//!
//! **One write.** What a request needs first (schema, variables, a position) goes to the server in front of the command
//! and in the same write, and its answers are swallowed. A command that may write waits for those answers; a read does
//! not: if one of them fails, its result is thrown away.
//!
//! **Driving.** After every call drain `poll_transmit`, `poll_reply` and `poll_event`. The runs in the replies drained after
//! [`BackendConn::handle_bytes`] add up to exactly the bytes that were handed in, whatever the connection was doing.
//!
//! **What trackers leave out.** A server's trackers do not say everything: after an error they are silent until the next
//! statement, `SET NAMES ... COLLATE` reports no collation, and what stored code restores is reported as if it had stayed. In
//! these cases the connection asks after the answer, and passes on what it learns as [`Reply::Tracked`]. In the same write goes the
//! question for what the command left: counts and warnings ([`Reply::Left`]). The client has its answer by then, save for one end:
//! without DEPRECATE_EOF the end of rows has no room for trackers. When a command that may write has reported something, that
//! end waits for it, since nobody may hear of a write before its position is known.

mod after;
mod bytes;
mod config;
mod event;
mod flight;
mod infile;
mod open;
mod prefix;
mod request;
mod settings;
mod statements;
#[cfg(test)]
mod tests;
mod tracked;
mod wait;

pub use config::{
    BASELINE_COLLATION, BackendConfig, CONNECT_TIMEOUT, HEARD_BYTES_MAX, OUTPUT_KEPT_BYTES, RESET_TIMEOUT,
    SET_BYTES_MAX, STATEMENTS_MAX, WAIT_GRACE_MAX, capabilities,
};
pub use event::{CloseReason, Event, TimerCause};

use crate::error::{Component, Effect, Error, Kind};
use crate::gtid::Position;
use crate::link::{Command, Ended, Reply, Request, Settings};
use crate::mysql::ProtocolError;
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::command::ClientCommand;
use crate::mysql::frame::write_with;
use crate::mysql::handshake::{ClientHandshake, ServerInfo};
use crate::mysql::reply::Pieces;
use crate::time::Instant;
use flight::{Flight, Purpose};
use request::Busy;
use statements::Statements;
use std::collections::VecDeque;
use std::sync::Arc;
use tracked::Tracked;

/// One connection to a server.
#[derive(Debug)]
pub struct BackendConn {
    config: Arc<BackendConfig>,
    life: Life,
    /// What the server said of itself; known once the handshake is done.
    server: Option<Box<ServerInfo>>,
    tracked: Tracked,
    statements: Statements,
    flight: Flight,
    /// Bytes for the server.
    out: Vec<u8>,
    replies: Pieces,
    /// The pieces of one step, between walker and client.
    step: Pieces,
    events: VecDeque<Event>,
    timer: Option<(Instant, TimerCause)>,
    uses: u64,
    /// What the server had executed when it last answered a wait.
    executed: Option<Position>,
}

/// What the connection is doing.
#[derive(Debug)]
enum Life {
    Connecting(Box<ClientHandshake>),
    /// The session trackers are being turned on.
    SettingUp,
    Idle,
    Busy(Box<Busy>),
    Closed,
}

impl BackendConn {
    /// A connection whose transport the driver has just opened, or is opening: the server speaks first.
    #[must_use]
    pub fn new(config: Arc<BackendConfig>, now: Instant) -> Self {
        Self {
            life: Life::Connecting(Box::new(ClientHandshake::new(config.handshake.clone()))),
            server: None,
            tracked: Tracked::new(config.handshake.schema.clone()),
            statements: Statements::new(config.statements_max),
            flight: Flight::default(),
            out: Vec::new(),
            replies: Pieces::default(),
            step: Pieces::default(),
            events: VecDeque::new(),
            timer: Some((now + config.connect_timeout, TimerCause::Connect)),
            uses: 0,
            executed: None,
            config,
        }
    }

    /// TLS is up: what comes and goes from now on is what it carries. Answers [`Event::StartTls`].
    pub fn tls_started(&mut self) {
        if let Life::Connecting(handshake) = &mut self.life {
            handshake.tls_started();
            self.poll_handshake();
        }
    }

    /// The encrypted password; `None` when the key is unusable. Answers [`Event::EncryptRsa`].
    pub fn encrypted(&mut self, ciphertext: Option<Vec<u8>>) {
        if let Life::Connecting(handshake) = &mut self.life {
            handshake.encrypted(ciphertext);
            self.poll_handshake();
        }
    }

    /// Runs a request. Its pieces come from [`BackendConn::poll_reply`], [`Reply::End`] last. One at a time.
    pub fn submit(&mut self, now: Instant, request: Request) {
        debug_assert!(!matches!(self.life, Life::Busy(_) | Life::Connecting(_) | Life::SettingUp), "not ready");
        if !matches!(self.life, Life::Idle) {
            // It closed between being lent out and being used.
            let error = self.error(Kind::ServerLost, "was closed before the statement was sent", Effect::None);
            self.replies.push(Reply::End(Ended::Failed(error)));
            return;
        }
        self.uses += 1;
        self.timer = match request.command {
            Command::ResetConnection => Some((now + self.config.reset_timeout, TimerCause::Reset)),
            _ => self.config.request_timeout.map(|timeout| (now + timeout, TimerCause::Request)),
        };
        let limit = self.server.as_ref().and_then(|server| wait::limit(request.wait.as_ref()?, server));
        self.life = Life::Busy(Box::new(Busy::new(request, self.timer)));
        if let Some(limit) = limit {
            let until = (now + limit, TimerCause::Wait);
            self.timer = Some(self.timer.map_or(until, |timer| timer.min(until)));
        }
        self.begin();
    }

    /// Answers a request with an error, and asks no server. What holds on the connection still does.
    pub fn deny(&mut self, error: Error) {
        debug_assert!(self.is_idle(), "one request at a time");
        self.replies.push(Reply::Err { seq: 1, error });
        self.replies.push(Reply::End(Ended::Answered));
    }

    /// Relays the client's packets of a file that the server asked for, in any pieces, sequence ids fitted in place. Returns how
    /// many bytes were the file's: what follows its empty packet is not, and nothing is once the server has answered.
    pub fn client_data(&mut self, data: &mut [u8]) -> usize {
        let Life::Busy(busy) = &mut self.life else { return 0 };
        let Some(file) = &mut busy.file else { return 0 };
        let taken = file.relay(data);
        if let Some(next) = file.next_sequence() {
            self.flight.continue_at(next);
        }
        self.out.extend_from_slice(&data[..taken]);
        taken
    }

    /// The server's bytes, all of which are taken.
    pub fn handle_bytes(&mut self, _now: Instant, input: &mut [u8]) {
        let mut at = 0;
        while at < input.len() {
            let rest = &mut input[at..];
            at += match &self.life {
                Life::Connecting(_) => self.handshake_bytes(rest),
                Life::SettingUp | Life::Busy(_) => self.answer_bytes(rest),
                Life::Idle => self.unasked_bytes(rest),
                Life::Closed => self.skip_all(rest),
            };
        }
    }

    /// The transport has ended, on either side.
    pub fn transport_closed(&mut self, _now: Instant) {
        self.close_because(CloseReason::Lost);
    }

    /// Closes the connection. What is left to transmit is for the server, and then the transport can be closed.
    pub fn close(&mut self) {
        if matches!(self.life, Life::Idle) {
            self.command(&ClientCommand::Quit);
        }
        self.close_because(CloseReason::Asked);
    }

    /// The driver's clock has reached [`BackendConn::poll_timeout`]. Does nothing when called too early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((at, cause)) = self.timer
            && at <= now
        {
            if cause == TimerCause::Wait && matches!(self.life, Life::Busy(_)) {
                // The server does not even say that it waited in vain; nothing of the read was passed on.
                self.flight.clear();
                self.conclude(Ended::WaitTimedOut);
            }
            self.close_because(CloseReason::TimedOut(cause));
        }
    }

    /// When to call [`BackendConn::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer.map(|(at, _)| at)
    }

    /// Why the timer is set.
    #[must_use]
    pub fn timer_cause(&self) -> Option<TimerCause> {
        self.timer.map(|(_, cause)| cause)
    }

    /// Appends what must be sent to the server; false when there is nothing. From then on it counts as sent.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        if let Life::Busy(busy) = &mut self.life {
            busy.handed_over();
        }
        let any = !self.out.is_empty();
        out.append(&mut self.out);
        self.out.shrink_to(OUTPUT_KEPT_BYTES);
        any
    }

    /// How many bytes wait for [`BackendConn::poll_transmit`].
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.out.len()
    }

    /// The next piece of the current request's answer.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        self.replies.pop()
    }

    /// Hands each piece of the answer to `take`, with what it counts of `input`, which [`BackendConn::handle_bytes`] has taken.
    pub fn hand_out(&mut self, input: &[u8], mut take: impl FnMut(Reply, &[u8])) {
        let mut rest = input;
        while let Some(reply) = self.poll_reply() {
            let len = match reply {
                Reply::Forward { len } | Reply::Skip { len } => len,
                _ => 0,
            };
            let (piece, after) = rest.split_at(len);
            rest = after;
            take(reply, piece);
        }
    }

    /// The next thing to do or to know. [`Event::Closed`] is last, exactly once.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the server said of itself: version, capabilities, connection id (for KILL). Known from [`Event::Ready`] on.
    #[must_use]
    pub fn server_info(&self) -> Option<&ServerInfo> {
        self.server.as_deref()
    }

    /// Schema and variables that hold on the server.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        self.tracked.settings()
    }

    /// SERVER_STATUS_* bits of the server's last word.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.tracked.status()
    }

    /// A transaction is open, as far as the server has said.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.tracked.in_transaction()
    }

    /// The server reports changes of session state. Without it a session that changes any must stay on its connection,
    /// and the connection be reset after it.
    #[must_use]
    pub fn tracks_session(&self) -> bool {
        self.capabilities().contains(CapabilityFlags::CLIENT_SESSION_TRACK)
    }

    /// An end of rows has no room for what the trackers report.
    fn rows_end_untracked(&self) -> bool {
        self.tracks_session() && !self.capabilities().contains(CapabilityFlags::CLIENT_DEPRECATE_EOF)
    }

    /// A request may be submitted, though it is answered at once when the connection is closed.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        matches!(self.life, Life::Idle | Life::Closed)
    }

    /// A request can be submitted.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.life, Life::Idle)
    }

    /// Closed for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.life, Life::Closed)
    }

    /// Another session can use it as it is: no transaction, no open cursor, no request, nothing unknown.
    ///
    /// User variables, temporary tables and locks are not seen here; who leaves any behind resets the connection.
    #[must_use]
    pub fn is_idle_and_clean(&self) -> bool {
        self.is_idle() && self.tracked.is_clean() && !self.statements.has_cursor()
    }

    /// What the server had executed when it answered a wait for a position, in time or not; told once.
    pub fn take_executed(&mut self) -> Option<Position> {
        self.executed.take()
    }

    /// Requests that were submitted so far.
    #[must_use]
    pub fn uses(&self) -> u64 {
        self.uses
    }

    fn capabilities(&self) -> CapabilityFlags {
        self.server.as_ref().map_or(CapabilityFlags::empty(), |server| server.capabilities)
    }

    /// Puts a command into the next write; returns the sequence id that its answer starts with.
    fn command(&mut self, command: &ClientCommand<'_>) -> u8 {
        let mut sequence = 0;
        write_with(&mut self.out, &mut sequence, |payload| command.encode(payload));
        sequence
    }

    /// Puts a command into the next write, and notes that its answer is due.
    fn ask(&mut self, command: &ClientCommand<'_>, purpose: Purpose) {
        let sequence = self.command(command);
        self.flight.expect(purpose, sequence);
    }

    fn fail_protocol(&mut self, error: ProtocolError) {
        self.close_because(CloseReason::Protocol(error));
    }

    fn close_because(&mut self, reason: CloseReason) {
        if matches!(self.life, Life::Closed) {
            return;
        }
        if let Life::Busy(busy) = core::mem::replace(&mut self.life, Life::Closed) {
            let ended = busy.progress().ended_by_loss(|kind, what, effect| self.error(kind, what, effect));
            self.replies.push(Reply::End(ended));
        }
        self.flight.clear();
        self.timer = None;
        self.events.push_back(Event::Closed { reason });
    }

    /// An error of this connection's own; `what` follows "the connection to server ...".
    fn error(&self, kind: Kind, what: &str, effect: Effect) -> Error {
        let message = format!("weir-tablet: the connection to server {} {what}", self.config.server);
        Error::new(Component::Tablet, kind, message).with_effect(effect)
    }
}
