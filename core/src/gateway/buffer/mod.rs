//! Statements that wait for a primary.
//!
//! Owns who waits while a shard's primary changes, is lost, or is not known yet; for how long, and how much of it there may be.
//! It may not know sessions or statements: whoever waits is a [`Ticket`] of so many bytes, and sessions decide what may wait at
//! all: only what provably did not run, and outside of transactions.
//!
//! **Who goes on when.** As soon as a primary serves that is not the one which did not take the statement: another tablet, or the
//! same one in a newer term. Or the very same, once it was looked at *after* it had not, and serves: a connection broke, and
//! nothing else was wrong. So a statement comes back at most once for every look at a server.
//!
//! **In order.** Each session has one statement at a time, so its order is kept; sessions go on in the order in which they began to
//! wait, all at once. The pool of the new primary is what holds them back.
//!
//! Start with [`Input`]; the rule is `may_go_on`.

#[cfg(test)]
mod tests;

use super::cluster::{TabletId, View};
use crate::error::{Component, Error, Kind, RETRY_IS_SAFE};
use crate::marks::Mark;
use crate::mutants::{Mutant, Mutants};
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How much may wait, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Statements wait for a primary at all; else their clients read at once that there is none.
    pub enabled: bool,
    /// How long one statement may wait in all, however often it has to begin anew.
    pub buffer_max_wait: Duration,
    /// How many sessions may wait at once.
    pub buffer_max_sessions: usize,
    /// Bytes of statements that may wait at once.
    pub buffer_max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            buffer_max_wait: Duration::from_secs(10),
            buffer_max_sessions: 10_000,
            buffer_max_bytes: 256 * 1024 * 1024,
        }
    }
}

/// A statement that waits. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A server taken for the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Primary {
    /// Which tablet.
    pub tablet: TabletId,
    /// Since which term.
    pub term: u64,
}

/// The primary that serves, as far as the gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serving {
    /// Which.
    pub primary: Primary,
    /// When its server was last looked at.
    pub seen_at: Instant,
}

impl Serving {
    /// Of a view.
    #[must_use]
    pub fn in_view(view: &View) -> Option<Self> {
        let tablet = view.primary().filter(|tablet| tablet.serving.is_yes())?;
        Some(Self { primary: Primary { tablet: tablet.id, term: tablet.term }, seen_at: tablet.observed_at })
    }
}

/// What is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// When the statement began to wait for the first time.
    pub since: Instant,
    /// Its length.
    pub bytes: usize,
    /// The primary that was asked last and did not take it.
    pub refused_by: Option<Primary>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// A statement is to wait.
    Hold(Ticket, Hold),
    /// Its client has gone, or somebody has killed it.
    Forget(Ticket),
    /// Who is primary now and serves, as far as the gateway knows. To be told with every view, and before `Hold`.
    Primary(Option<Serving>),
    /// The time of `poll_timeout` has come. At any other time it does nothing.
    Timeout,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The statement's wait is over: it may be tried again, by the newest view, or not.
    Over(Ticket, Result<(), Refusal>),
}

/// Why a statement waits no longer, and is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Nothing waits here.
    Disabled,
    /// `buffer_max_sessions` of them wait already.
    TooMany(usize),
    /// It does not fit into what is left of `buffer_max_bytes`.
    TooLarge(usize),
    /// It has waited for `buffer_max_wait`.
    Late(Duration),
}

impl Refusal {
    /// What the client reads; `reason` is why the statement had to wait.
    #[must_use]
    pub fn explain(self, reason: Error) -> Error {
        if self == Self::Disabled {
            return reason;
        }
        let what = self.why(&reason);
        let reason = String::from_utf8_lossy(&reason.message);
        let message = format!("weir-gateway: {what}{RETRY_IS_SAFE}. The reason: {reason}");
        Error::new(Component::Gateway, Kind::Unavailable, message)
    }

    /// In short.
    pub(super) fn why(self, reason: &Error) -> String {
        match self {
            Self::Disabled => String::from_utf8_lossy(&reason.message).into_owned(),
            Self::TooMany(max) => format!("{max} sessions wait for a primary already (buffer_max_sessions)"),
            Self::TooLarge(max) => format!("statements that wait for a primary fill {max} bytes (buffer_max_bytes)"),
            Self::Late(max) => format!("no primary took it within {} ms (buffer_max_wait)", max.as_millis()),
        }
    }
}

/// What has waited since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Statements that had to wait.
    pub held: u64,
    /// Those that were tried again.
    pub resumed: u64,
    /// Those that waited in vain.
    pub late: u64,
    /// Those for which there was no room.
    pub refused: u64,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    refused_by: Option<Primary>,
    /// Since when it waits this time.
    began: Instant,
    until: Instant,
}

/// One shard's buffer. See the module.
#[derive(Debug)]
pub struct Buffer {
    config: Config,
    held: BTreeMap<Ticket, Held>,
    /// When each of them has waited for too long.
    deadlines: BTreeSet<(Instant, Ticket)>,
    bytes: usize,
    serving: Option<Serving>,
    counters: Counters,
    outputs: VecDeque<Output>,
    mutants: Mutants,
}

impl Buffer {
    /// Nobody waits, and no primary is known.
    #[must_use]
    pub fn new(config: Config, mutants: Mutants) -> Self {
        let (held, deadlines, outputs) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        let counters = Counters { held: 0, resumed: 0, late: 0, refused: 0 };
        Self { config, held, deadlines, bytes: 0, serving: None, counters, outputs, mutants }
    }

    /// Takes one input; then drain [`Buffer::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Hold(ticket, hold) => self.hold(now, ticket, hold),
            Input::Forget(ticket) => self.remove(ticket),
            Input::Primary(serving) => self.follow(now, serving),
            Input::Timeout => self.time_out(now),
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`]: somebody has waited for too long then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Statements that wait now, and their bytes.
    #[must_use]
    pub fn holds(&self) -> (usize, usize) {
        (self.held.len(), self.bytes)
    }

    /// The limits.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Counts since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn hold(&mut self, now: Instant, ticket: Ticket, hold: Hold) {
        let endless = self.mutants.breaks(Mutant::BufferForever);
        let until = if endless { Instant::MAX } else { hold.since + self.config.buffer_max_wait };
        let held = Held { bytes: hold.bytes, refused_by: hold.refused_by, began: now, until };
        if let Some(refusal) = self.refusal(now, &held) {
            Mark::BufferRefuses.hit();
            self.counters.refused += 1;
            return self.outputs.push_back(Output::Over(ticket, Err(refusal)));
        }
        Mark::BufferHolds.hit();
        self.counters.held += 1;
        if self.may_go_on(&held) {
            // The news has come before it.
            return self.resume(ticket);
        }
        self.bytes += held.bytes;
        self.deadlines.insert((until, ticket));
        let before = self.held.insert(ticket, held);
        debug_assert!(before.is_none(), "a ticket is used once");
    }

    fn refusal(&self, now: Instant, held: &Held) -> Option<Refusal> {
        let Config { enabled, buffer_max_wait, buffer_max_sessions, buffer_max_bytes } = self.config;
        if !enabled || self.mutants.breaks(Mutant::NoBuffer) {
            Some(Refusal::Disabled)
        } else if held.until <= now {
            Some(Refusal::Late(buffer_max_wait))
        } else if self.held.len() >= buffer_max_sessions {
            Some(Refusal::TooMany(buffer_max_sessions))
        } else if held.bytes > buffer_max_bytes - self.bytes {
            Some(Refusal::TooLarge(buffer_max_bytes))
        } else {
            None
        }
    }

    fn remove(&mut self, ticket: Ticket) {
        if let Some(held) = self.held.remove(&ticket) {
            self.deadlines.remove(&(held.until, ticket));
            self.bytes -= held.bytes;
        }
    }

    /// Lets go whom this primary may serve, in the order in which they came.
    fn follow(&mut self, now: Instant, serving: Option<Serving>) {
        if std::mem::replace(&mut self.serving, serving) == serving {
            return;
        }
        let free = self.held.iter().filter(|(_, held)| held.until > now && self.may_go_on(held));
        for ticket in free.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            self.remove(ticket);
            self.resume(ticket);
        }
    }

    fn resume(&mut self, ticket: Ticket) {
        Mark::BufferDrains.hit();
        self.counters.resumed += 1;
        self.outputs.push_back(Output::Over(ticket, Ok(())));
    }

    fn may_go_on(&self, held: &Held) -> bool {
        let Some(serving) = self.serving else { return false };
        let is_another = held.refused_by != Some(serving.primary);
        is_another || serving.seen_at > held.began
    }

    fn time_out(&mut self, now: Instant) {
        while let Some((until, ticket)) = self.deadlines.first().copied()
            && until <= now
        {
            Mark::BufferLate.hit();
            self.counters.late += 1;
            self.remove(ticket);
            let refusal = Refusal::Late(self.config.buffer_max_wait);
            self.outputs.push_back(Output::Over(ticket, Err(refusal)));
        }
    }
}
