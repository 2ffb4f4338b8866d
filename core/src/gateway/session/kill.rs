//! KILL, from both ends: a session that is killed, and one that kills.
//!
//! What runs is ended on the server, by a second connection. Until the server has answered that, the session keeps the
//! connection it runs on, and nothing else is sent there: a kill that comes too late finds the end of the statement
//! it was meant for, never the next one, and never another session's.
//!
//! Servers are killed by their own administrators, too: a read whose connection is gone while its server lives was killed, and
//! is not run anywhere else.
//!
//! A client that goes away while a statement runs is treated likewise, so that nothing keeps running for nobody.

use super::commands::payload_of;
use super::job::{BROKEN_MAX, Job, Origin};
use super::{Event, Fate, Phase, Reason, Session};
use crate::error::{Component, Error, Kind};
use crate::gtid::Flavor;
use crate::link::{AccountId, Command, Interrupt};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;
use crate::sql::{Effects, Kill, Victim};
use crate::time::{Duration, Instant};

/// Around an expression it makes a number of it, by the server's own rules, and ends nothing: no query has a negative number, and
/// that is what it is asked for, whatever the expression is; NULL would be query 0, which threads of the server itself have.
const QUESTION: (&[u8], &[u8]) =
    (b"KILL QUERY ID -1-CAST(LEAST(GREATEST(0,COALESCE((", b"),0)),4294967295) AS SIGNED)");
/// ER_NO_SUCH_QUERY (MariaDB).
const NO_SUCH_QUERY: u16 = 1957;

/// A connection that breaks sooner than this under a read was broken before.
const RAN_TIME_MIN: Duration = Duration::from_millis(250);

impl Session {
    /// This session's client says KILL.
    pub(super) fn on_kill(&mut self, now: Instant, kill: &Kill<'_>, payload: &[u8]) {
        let interrupt = Interrupt { query: kill.query, soft: kill.soft };
        let is_mariadb = self.servers.is_some_and(|servers| servers.flavor == Flavor::MariaDb);
        match &kill.victim {
            Victim::Expression(text) if is_mariadb => {
                let question = [QUESTION.0, text, QUESTION.1].concat();
                let command = Command::Plain(payload_of(&ClientCommand::Query(&question)));
                let mut job = Job::new(command, Origin::Client);
                job.kills = Some(interrupt);
                self.run(now, job);
            }
            Victim::User { name, host } => {
                let (user, host) = (name.to_vec(), host.as_deref().map(<[u8]>::to_vec));
                self.phase = Phase::Killing;
                self.events.push_back(Event::KillUser { user, host, interrupt });
            }
            // The server knows which of its connections runs it, and whether this account may end that.
            Victim::QueryId if is_mariadb && self.account != AccountId::OWN => {
                self.run(now, Job::new(Command::Plain(payload.to_vec()), Origin::Client));
            }
            Victim::Unserved | Victim::Expression(_) | Victim::QueryId => self.refuse(
                Kind::NotSupported,
                "weir-gateway: KILL takes the number that CONNECTION_ID() shows, CONNECTION_ID() itself or a user, and stands alone; \
                 in front of MariaDB also an expression and, with the servers' own accounts, QUERY ID",
            ),
            Victim::Id(id) => self.kill(*id, interrupt),
            Victim::Itself => self.kill(self.peer.id.into(), interrupt),
        }
    }

    fn kill(&mut self, id: u64, interrupt: Interrupt) {
        if id != u64::from(self.peer.id) {
            self.phase = Phase::Killing;
            self.events.push_back(Event::Kill { id, interrupt });
        } else if interrupt.query {
            self.write_error(&interrupted());
        } else {
            let error = Error::new(Component::Gateway, Kind::Killed, "Connection was killed");
            self.break_off(&error, Reason::Killed);
        }
    }

    /// What a server made of the expression in [`QUESTION`], if it is that which it says.
    pub(super) fn asked_for_victim(job: &mut Job, error: &Error) -> bool {
        if job.kills.is_none() || error.code != NO_SUCH_QUERY {
            return false;
        }
        // "Unknown query id: -8", in whichever language.
        let text = String::from_utf8_lossy(&error.message);
        let digits = text.len() - text.bytes().rev().take_while(u8::is_ascii_digit).count();
        let said = text.get(digits..).and_then(|number| number.parse::<u64>().ok());
        let is_negative = text.get(..digits).is_some_and(|before| before.ends_with('-'));
        job.victim = Some(said.filter(|_| is_negative).and_then(|said| said.checked_sub(1)).unwrap_or(0));
        true
    }

    /// The server has told whom the client means.
    pub(super) fn victim_told(&mut self, now: Instant, id: u64, interrupt: Interrupt) {
        if self.state.pins.is_empty() && !self.state.in_transaction() {
            self.release(Fate::Keep);
        }
        self.become_idle(now);
        if matches!(self.phase, Phase::Idle) {
            self.kill(id, interrupt);
        }
    }

    /// The answer to [`Event::Kill`].
    pub fn kill_answered(&mut self, now: Instant, outcome: Result<(), Error>) {
        if !matches!(self.phase, Phase::Killing) {
            return;
        }
        match outcome {
            Ok(()) => self.write_own_ok(),
            Err(error) => self.write_error(&error),
        }
        self.become_idle(now);
    }

    /// The answer to [`Event::KillUser`]: how many there were.
    pub fn user_killed(&mut self, now: Instant, outcome: Result<u64, Error>) {
        if !matches!(self.phase, Phase::Killing) {
            return;
        }
        match outcome {
            Ok(affected_rows) => {
                self.diagnostics.note_ok();
                self.write_ok(&OkPacket { affected_rows, status: self.state.status, ..OkPacket::default() });
            }
            Err(error) => self.write_error(&error),
        }
        self.become_idle(now);
    }

    /// Somebody who may do so kills this session, or what it runs. It is done once [`Session::is_interrupting`] is false.
    pub fn killed(&mut self, now: Instant, interrupt: Interrupt) {
        if !interrupt.query {
            return self.leave(Reason::Killed);
        }
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Freshening(job) if job.origin == Origin::Client => {
                self.events.push_back(Event::CancelFreshen);
                self.fail(now, &job, &interrupted());
            }
            Phase::Waiting(job) if job.origin == Origin::Client => {
                self.events.push_back(Event::CancelAcquire);
                self.fail(now, &job, &interrupted());
            }
            Phase::Buffered(job) if job.origin == Origin::Client => {
                self.events.push_back(Event::CancelBuffer);
                self.fail(now, &job, &interrupted());
            }
            Phase::Running(mut job) if job.origin == Origin::Client => {
                job.killed = true;
                self.phase = Phase::Running(job);
                self.interrupt(interrupt);
            }
            Phase::Infile(mut job) if job.origin == Origin::Client => {
                job.killed = true;
                self.phase = Phase::Infile(job);
                self.interrupt(interrupt);
            }
            Phase::Inquiring(job, _) => {
                self.events.push_back(Event::CancelInquire);
                self.fail(now, &job, &interrupted());
            }
            // It is too late for that: COMMIT was sent.
            Phase::Running(job) if job.origin == Origin::Settle => self.phase = Phase::Running(job),
            // Nothing of the client's runs; what is to run next never will.
            other => {
                self.phase = other;
                if self.then.take().is_some() {
                    self.write_error(&interrupted());
                }
            }
        }
    }

    /// The server has been told of [`Event::Interrupt`], or could not be within the time for it.
    pub fn interrupted(&mut self, now: Instant) {
        debug_assert!(self.interrupting, "nothing was to be interrupted");
        self.interrupting = false;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Held(job, ended) => {
                if let Some(lease) = &mut self.lease
                    && !job.failed
                {
                    // It came too late for the statement. Servers drop such a kill; nobody's next statement shall depend on it.
                    lease.unclean = true;
                }
                self.phase = Phase::Running(job);
                self.on_end(now, ended);
            }
            Phase::Leaving => {
                self.release(Fate::Close);
                self.phase = Phase::Closed;
                self.events.push_back(Event::Closed(self.leaving));
            }
            // It still runs: its answer tells how it ended.
            other => self.phase = other,
        }
    }

    /// A server is being told to end what this session runs: its connection must be left as it is.
    #[must_use]
    pub const fn is_interrupting(&self) -> bool {
        self.interrupting
    }

    /// Has the server told, unless it is being told already.
    pub(super) fn interrupt(&mut self, interrupt: Interrupt) {
        if !self.interrupting {
            self.interrupting = true;
            self.events.push_back(Event::Interrupt(interrupt));
        }
    }

    /// The connection is gone under a statement that would be tried elsewhere, a read or one of a transaction that is replayed, and that
    /// may be what somebody did not want.
    pub(super) fn may_have_been_killed(&self, now: Instant, job: &Job) -> bool {
        let ran = job.granted_at.is_some_and(|since| now.since(since) >= RAN_TIME_MIN);
        let alone = !self.state.in_transaction() && self.state.pins.is_empty();
        let goes_on = !job.answered && !job.killed && job.broken < BROKEN_MAX;
        let would_run_again = if alone { job.read_only } else { self.could_begin_again() };
        let ends = job.effects.contains(Effects::ENDS_TRANSACTION);
        job.origin == Origin::Client && ran && goes_on && would_run_again && !ends
    }

    /// The answer to [`Event::Inquire`].
    pub fn inquired(&mut self, now: Instant, killed: bool) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Inquiring(job, _) if killed => self.fail(now, &job, &killed_on_its_server()),
            Phase::Inquiring(job, error) => self.try_elsewhere(now, job, error),
            other => self.phase = other,
        }
    }

    /// A killed statement is not tried anywhere else.
    pub(super) fn is_cut_short(&mut self, now: Instant, job: &Job) -> bool {
        if job.killed {
            self.fail(now, job, &interrupted());
        }
        job.killed
    }
}

fn interrupted() -> Error {
    Error::new(Component::Gateway, Kind::Interrupted, "Query execution was interrupted")
}

fn killed_on_its_server() -> Error {
    let message = "Query execution was interrupted (weir-gateway: its connection was killed on the server)";
    Error::new(Component::Gateway, Kind::Interrupted, message)
}
