//! What a statement came to, for those who count: one small record when it has ended, made of what the session knows anyway.
//!
//! A statement is a command that gets an answer. It begins when the session takes it in and ends when its answer does; whatever the
//! session does for itself afterwards is no part of it. Times are those of wake-ups: what is answered in the wake-up that brought it
//! took no time. Start with [`Outcome`].

use super::form::Source;
use super::job::{Job, Origin};
use super::state::Pins;
use super::traced::Trace;
use super::{Event, Phase, Session};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::cluster::TabletId;
use crate::gateway::variables::Consistency;
use crate::link::{Command, Ended};
use crate::sql::{Effects, Fingerprint};
use crate::time::{Duration, Instant};
use crate::topo::Role;
use crate::trace::Context;

macro_rules! named {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As metrics name it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

pub(super) use named;

named! {
    /// What a statement does, as far as its text tells.
    Class {
        /// It reads, and may lock what it reads.
        Read = "read",
        /// It may change something.
        Write = "write",
        /// It begins or ends a transaction, or a part of one.
        Transaction = "transaction",
        /// It prepares another statement.
        Prepare = "prepare",
        /// It is about the session (`SET`, `USE`, a cursor), or the gateway answers it.
        Session = "session",
    }
}

named! {
    /// Where a statement was to run before anything was tried.
    Plan {
        /// The gateway answers it.
        Local = "local",
        /// On the primary.
        Primary = "primary",
        /// On a replica.
        Replica = "replica",
        /// On a server for batch reads.
        RdOnly = "rdonly",
        /// On the connection that the session keeps, for a transaction or a pin.
        Kept = "kept",
    }
}

named! {
    /// How a statement ended, for its client.
    Verdict {
        /// Without an error.
        Ok = "ok",
        /// With an error of its server's.
        ServerError = "server_error",
        /// Weir does not serve it.
        Refused = "refused",
        /// A limit of Weir's own: a pool is full. Nothing was executed.
        Busy = "busy",
        /// No server could take it. Nothing was executed.
        Unavailable = "unavailable",
        /// Somebody has killed it.
        Interrupted = "interrupted",
        /// Its transaction was lost with a server.
        TransactionLost = "transaction_lost",
        /// Its server was lost, and nobody knows whether it was executed.
        OutcomeUnknown = "outcome_unknown",
        /// Its server was lost in the middle of the answer.
        CutOff = "cut_off",
        /// Its client went away.
        Abandoned = "abandoned",
    }
}

named! {
    /// How a read on a replica came to see what it must see.
    Sight {
        /// It must see nothing in particular.
        Unneeded = "unneeded",
        /// Its server was known to have it.
        Hit = "hit",
        /// It waited until its server had it.
        Waited = "waited",
        /// The primary answered it: no replica had it in time, or none serves, or nobody could tell how far it must see.
        Fallback = "fallback",
    }
}

impl Verdict {
    fn of(error: &Error) -> Self {
        if error.component == Component::Server {
            return Self::ServerError;
        }
        let is = |kind| error.is(kind);
        if error.effect == Effect::Unknown || is(Kind::OutcomeUnknown) {
            Self::OutcomeUnknown
        } else if is(Kind::TransactionLost) {
            Self::TransactionLost
        } else if is(Kind::Interrupted) || is(Kind::Killed) {
            Self::Interrupted
        } else if is(Kind::Busy) {
            Self::Busy
        } else if error.component == Component::Tablet
            || [Kind::Unavailable, Kind::ServerLost, Kind::ReadOnly].into_iter().any(is)
        {
            Self::Unavailable
        } else {
            Self::Refused
        }
    }
}

/// A statement that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it was.
    pub class: Class,
    /// Where it was to run.
    pub plan: Plan,
    /// What the server was that it was sent to last; `None` when it was sent to none.
    pub server: Option<Role>,
    /// How it ended.
    pub verdict: Verdict,
    /// From its coming to the end of its answer; `None` when nobody waited for that any more.
    pub took: Option<Duration>,
    /// How long it waited for connections, if it needed one.
    pub pool_wait: Option<Duration>,
    /// How long servers had it, if one did.
    pub server_time: Option<Duration>,
    /// Of a read that may run on a replica: its level, how it came to see what it must, and how long that took.
    pub sight: Option<(Consistency, Sight, Duration)>,
    /// How often it was tried elsewhere.
    pub retries: u32,
    /// For what the session keeps its connection from now on, and did not before.
    pub pinned: Pins,
    /// Which form it has, when it is text or prepared and digests are wanted.
    pub fingerprint: Option<Fingerprint>,
    /// Rows that servers sent.
    pub rows_sent: u64,
    /// Rows that servers say it affected.
    pub rows_affected: u64,
}

/// What is known of the statement under way.
#[derive(Debug)]
pub(super) struct Tally {
    begun: Option<Instant>,
    class: Class,
    plan: Plan,
    server: Option<Role>,
    verdict: Verdict,
    /// The error that its client read last.
    error: Option<(u16, [u8; 5])>,
    /// Since when, and whether its tablet may keep the wish back until its server has what it must see.
    asked: Option<(Instant, bool)>,
    sent_at: Option<Instant>,
    answered_at: Option<Instant>,
    pool_wait: Option<Duration>,
    server_time: Option<Duration>,
    /// Since when it has been looked for what it must see, and until when.
    sought: Option<(Consistency, Instant)>,
    found_at: Option<Instant>,
    sight: Option<Sight>,
    waits: bool,
    retries: u32,
    /// Which form it has, and where the text of that is.
    pub(super) form: Option<(Fingerprint, Source)>,
    rows_sent: u64,
    rows_affected: u64,
    /// For what the session kept its connection when the last one ended.
    pins: Pins,
    /// What its client has said of its trace, in an attribute.
    pub(super) parent: Option<Context>,
    /// When it did what, if its trace is known.
    pub(super) trace: Option<Box<Trace>>,
    /// Whose server has it.
    sent_to: TabletId,
}

impl Tally {
    pub(super) const fn new() -> Self {
        Self {
            begun: None,
            class: Class::Session,
            plan: Plan::Local,
            server: None,
            verdict: Verdict::Ok,
            error: None,
            asked: None,
            sent_at: None,
            answered_at: None,
            pool_wait: None,
            server_time: None,
            sought: None,
            found_at: None,
            sight: None,
            waits: false,
            retries: 0,
            form: None,
            rows_sent: 0,
            rows_affected: 0,
            pins: Pins::empty(),
            parent: None,
            trace: None,
            sent_to: TabletId(0),
        }
    }

    /// A command has come.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self { begun: Some(now), pins: self.pins, ..Self::new() };
    }

    /// It gets no answer.
    pub(super) const fn forget(&mut self) {
        self.begun = None;
    }

    /// It is to run there.
    pub(super) fn place(&mut self, job: &Job, keeps: bool) {
        self.class = class(job);
        self.plan = match job.role {
            _ if keeps => Plan::Kept,
            Role::Replica => Plan::Replica,
            Role::RdOnly => Plan::RdOnly,
            Role::Primary | Role::Unknown => Plan::Primary,
        };
    }

    /// It is an error that the client reads.
    pub(super) fn failed(&mut self, error: &Error) {
        self.verdict = Verdict::of(error);
        self.error = Some((error.code, error.sqlstate));
        if let Some(trace) = &mut self.trace {
            trace.error = Some(error.code);
        }
    }

    /// Whose server had it last, if one had it, and the error that its client read.
    pub(super) const fn last(&self) -> (TabletId, Option<(u16, [u8; 5])>) {
        (self.sent_to, self.error)
    }

    /// A connection of this tablet is asked for; `waits`: perhaps until its server has what the statement must see.
    pub(super) fn asked(&mut self, now: Instant, waits: bool, tablet: TabletId, role: Role) {
        self.asked = Some((now, waits));
        if let Some(trace) = &mut self.trace {
            trace.asked(tablet, role);
        }
    }

    /// It came, or does not. One that came at once was not kept back.
    pub(super) fn granted(&mut self, now: Instant, came: bool) {
        let Some((since, waits)) = self.asked.take() else { return };
        self.waits |= waits && now > since;
        add(&mut self.pool_wait, Some(since), now);
        if let Some(trace) = &mut self.trace {
            trace.granted(since, now, came);
        }
    }

    /// It has to see what this level demands.
    pub(super) const fn seeks(&mut self, now: Instant, level: Consistency) {
        self.sought = Some((level, now));
    }

    /// That is known, is there, or is waited for no longer.
    pub(super) const fn found(&mut self, now: Instant) {
        self.found_at = Some(now);
    }

    /// It is sent to a tablet's server of this role. `sees`: something in particular; `waits`: for that, there.
    pub(super) fn sent(&mut self, now: Instant, (tablet, role): (TabletId, Role), sees: bool, waits: bool) {
        (self.server, self.sent_at, self.answered_at, self.sent_to) = (Some(role), Some(now), None, tablet);
        self.waits |= waits;
        if self.sought.is_none() {
            return;
        }
        let went_to_primary = role == Role::Primary && self.plan != Plan::Primary;
        self.sight = Some(if !sees && self.found_at.is_none() {
            Sight::Unneeded
        } else if went_to_primary {
            Sight::Fallback
        } else if self.waits {
            Sight::Waited
        } else {
            Sight::Hit
        });
    }

    /// Its server says something.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.waits && self.sight == Some(Sight::Waited) {
            (self.waits, self.found_at) = (false, Some(now));
        }
    }

    /// Its server is done with it; `answered`: and that was the answer.
    fn ended(&mut self, now: Instant, answered: bool) {
        let sent_at = self.sent_at.take();
        add(&mut self.server_time, sent_at, now);
        self.answered_at = answered.then_some(now);
        if let (Some(trace), Some(since), Some(role)) = (&mut self.trace, sent_at, self.server) {
            trace.served(since, Some(now), (self.sent_to, role), answered);
        }
    }

    /// It is tried on another server, because of this.
    pub(super) fn retried(&mut self, now: Instant, error: Option<&Error>) {
        self.retries += 1;
        if let Some(trace) = &mut self.trace {
            trace.retried(now, error);
        }
    }

    /// A part of its answer is complete: a result of so many rows, or so many that were affected.
    pub(super) const fn counted(&mut self, rows: Option<u64>, affected: u64) {
        match rows {
            Some(rows) => self.rows_sent = self.rows_sent.saturating_add(rows),
            None => self.rows_affected = self.rows_affected.saturating_add(affected),
        }
    }

    /// The statement under way is over: `now` if somebody waited for it.
    fn end(&mut self, now: Option<Instant>, pins: Pins) -> Option<Event> {
        let begun = self.begun.take()?;
        let sight = self.sought.zip(self.sight).map(|((level, since), sight)| {
            let until = self.found_at.unwrap_or(since);
            (level, sight, until.since(since))
        });
        let pinned = pins - std::mem::replace(&mut self.pins, pins);
        let ended = now.map(|now| self.answered_at.unwrap_or(now));
        let mut trace = self.trace.take();
        if let Some(trace) = &mut trace {
            trace.ended = ended;
            if let (Some(since), Some(role)) = (self.sent_at, self.server) {
                trace.served(since, ended, (self.sent_to, role), false);
            }
            if let (Some((level, since)), Some(sight)) = (self.sought, self.sight) {
                trace.saw(since, self.found_at.unwrap_or(since), level, sight);
            }
        }
        let outcome = Outcome {
            class: self.class,
            plan: self.plan,
            server: self.server,
            verdict: self.verdict,
            took: ended.map(|ended| ended.since(begun)),
            pool_wait: self.pool_wait,
            server_time: self.server_time,
            sight,
            retries: self.retries,
            pinned,
            fingerprint: self.form.map(|(fingerprint, _)| fingerprint),
            rows_sent: self.rows_sent,
            rows_affected: self.rows_affected,
        };
        Some(Event::Ended(outcome, trace))
    }
}

fn add(total: &mut Option<Duration>, since: Option<Instant>, now: Instant) {
    if let Some(since) = since {
        *total = Some(total.unwrap_or_default() + now.since(since));
    }
}

fn class(job: &Job) -> Class {
    let of_transaction = Effects::OPENS_TRANSACTION | Effects::ENDS_TRANSACTION;
    let of_session = Effects::CHANGES_SCHEMA
        | Effects::SETS_VARIABLES
        | Effects::PINS_USER_VARIABLE
        | Effects::PINS_PREPARE
        | Effects::PINS_NEXT_TRANSACTION
        | Effects::PINS_OTHER;
    if job.prepares.is_some() {
        Class::Prepare
    } else if job.effects.contains(Effects::WRITES) {
        Class::Write
    } else if job.effects.intersects(of_transaction) {
        Class::Transaction
    } else if job.effects.intersects(of_session) || !matches!(job.command, Command::Plain(_) | Command::Execute { .. })
    {
        Class::Session
    } else {
        Class::Read
    }
}

impl Session {
    /// The answer to the statement under way, if there is one, is complete.
    pub(super) fn end_statement(&mut self, now: Instant) {
        let ended = self.tally.end(Some(now), self.state.pins);
        self.tell_ended(ended);
    }

    /// Nobody waits any more for the answer to the statement under way, if there is one; `verdict` unless an error has told.
    pub(super) fn abandon_statement(&mut self, verdict: Verdict) {
        if self.tally.verdict == Verdict::Ok {
            self.tally.verdict = verdict;
        }
        let ended = self.tally.end(None, self.state.pins);
        self.tell_ended(ended);
    }

    fn tell_ended(&mut self, ended: Option<Event>) {
        self.audit_ended(ended.as_ref());
        self.events.extend(ended);
    }

    /// The server behind is done with a request.
    pub(super) fn note_end(&mut self, now: Instant, ended: &Ended) {
        if let Phase::Running(job) | Phase::Infile(job) = &self.phase
            && job.origin == Origin::Client
        {
            self.tally.ended(now, matches!(ended, Ended::Answered) && !job.refused_write);
        }
    }
}
