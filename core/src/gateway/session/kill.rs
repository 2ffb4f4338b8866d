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

use super::answer::BROKEN_MAX;
use super::job::{Job, Origin};
use super::{Event, Fate, Phase, Reason, Session};
use crate::error::{Component, Error, Kind};
use crate::link::Interrupt;
use crate::sql::{Effects, Kill, Victim};
use crate::time::{Duration, Instant};

/// A connection that breaks sooner than this under a read was broken before.
const RAN_TIME_MIN: Duration = Duration::from_millis(250);

impl Session {
    /// This session's client says KILL.
    pub(super) fn on_kill(&mut self, kill: Kill) {
        let interrupt = Interrupt { query: kill.query, soft: kill.soft };
        match kill.victim {
            Victim::Unserved => self.refuse(
                Kind::NotSupported,
                "weir-gateway: KILL takes the number that CONNECTION_ID() shows, or CONNECTION_ID() itself, and stands alone; \
                 KILL USER, KILL QUERY ID and expressions are not served",
            ),
            Victim::Id(id) if id != u64::from(self.peer.id) => {
                self.phase = Phase::Killing;
                self.events.push_back(Event::Kill { id, interrupt });
            }
            Victim::Id(_) | Victim::Itself if kill.query => self.write_error(&interrupted()),
            Victim::Id(_) | Victim::Itself => {
                let error = Error::new(Component::Gateway, Kind::Killed, "Connection was killed");
                self.break_off(&error, Reason::Killed);
            }
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
