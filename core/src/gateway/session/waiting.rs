//! A statement that no primary takes now: it waits in the gateway's [`buffer`], and is tried again.
//!
//! Only what provably did not run may wait: nothing of it was sent, it changes nothing, or a server refused it as a whole. What runs in a transaction,
//! or on state that lives on one connection, has nowhere else to go. A statement on a primary that has a successor and is not
//! heard of any more is given up: its answer could not be trusted, should it ever come.

use super::job::{Job, Origin};
use super::{Event, Fate, Phase, Session};
use crate::error::{Component, Error, Kind};
use crate::gateway::buffer::{Hold, Primary, Refusal, Serving};
use crate::gateway::cluster::WithoutReplica;
use crate::marks::Mark;
use crate::sql::Effects;
use crate::time::Instant;
use crate::topo::Role;

impl Session {
    /// `job` was not executed, for no tablet takes it now: it waits for a primary, or the client reads why.
    pub(super) fn wait_or_fail(&mut self, now: Instant, mut job: Box<Job>, error: Error) {
        if !self.may_wait(&job, &error) {
            return self.fail(now, &job, &error);
        }
        let since = *job.waits_since.get_or_insert(now);
        let hold = Hold { since, bytes: job.command.bytes(), refused_by: job.primary };
        job.last_error = Some(error);
        if let Some(trace) = &mut self.tally.trace {
            trace.buffered(now);
        }
        self.events.push_back(Event::Buffer(hold));
        self.phase = Phase::Buffered(job);
    }

    fn may_wait(&self, job: &Job, error: &Error) -> bool {
        let for_client = matches!(job.origin, Origin::Client | Origin::Login);
        let by_primary = job.role == Role::Primary || self.view.rules().without_replica == WithoutReplica::UsePrimary;
        let is_lost = Serving::in_view(&self.view).is_none() || is_sign(error);
        for_client && by_primary && !job.needs_list && is_lost
    }

    /// The answer to [`Event::Buffer`]: `job` is tried again, by the view set last, or given up.
    pub fn resumed(&mut self, now: Instant, outcome: Result<(), Refusal>) {
        let mut job = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Buffered(job) => job,
            other => {
                // It is not wanted any more.
                self.phase = other;
                return;
            }
        };
        if let Some(trace) = &mut self.tally.trace {
            trace.resumed(now);
        }
        let reason = job.last_error.take();
        match (outcome, reason) {
            (Err(refusal), Some(reason)) if self.has_to_catch_up() => {
                let error = Error::new(Component::Gateway, Kind::Unavailable, refusal.why(&reason));
                self.fail(now, &job, &error);
            }
            (Err(refusal), Some(reason)) => self.fail(now, &job, &refusal.explain(reason)),
            _ if self.lease.is_some() => self.stay(now, job),
            _ => {
                job.tried.clear();
                self.choose(now, job);
            }
        }
    }

    /// The primary refuses a write although it was taken for one that takes writes, and nothing of `job` was done.
    pub(super) fn is_refused_by_old_primary(&self, job: &Job, error: &Error) -> bool {
        let as_a_whole = !job.effects.intersects(Effects::MULTI | Effects::RUNS_STORED_CODE);
        let alone = self.state.pins.is_empty() && !self.state.in_transaction();
        let may_change = !self.view.rules().alone;
        may_change && (alone || self.could_begin_again()) && as_a_whole && !job.answered && takes_no_writes(error)
    }

    /// A server that does not take writes any more has refused `job`.
    pub(super) fn leave_old_primary(&mut self, now: Instant, mut job: Box<Job>, error: Error) {
        Mark::PrimaryRefusesWrite.hit();
        if self.is_open() || self.has_to_catch_up() {
            self.leave_transaction(&mut job);
        }
        self.release(Fate::Close);
        let error = Error { component: Component::Tablet, ..error };
        self.wait_or_fail(now, job, error);
    }

    /// `tablet` was the primary of this term, and another is of a later one.
    pub(super) fn has_successor(&self, old: Primary) -> bool {
        self.view.primary().is_some_and(|primary| primary.term > old.term && primary.id != old.tablet)
    }
}

/// The error says that the primary is lost, changes, or is not known; not that it is busy, or does not take the account.
fn is_sign(error: &Error) -> bool {
    let kinds = [Kind::Unavailable, Kind::ReadOnly, Kind::ServerLost, Kind::OutcomeUnknown, Kind::Shutdown];
    kinds.iter().any(|kind| error.is(*kind)) || takes_no_writes(error)
}

/// A server refuses all that writes, as no primary does, and has done nothing: it is read-only, or a part of its group without
/// the quorum. ER_READ_ONLY_MODE; ER_OPTION_PREVENTS_STATEMENT by the option `read_only`, for other options have the same number.
pub(super) fn takes_no_writes(error: &Error) -> bool {
    let names_option = || {
        let message = String::from_utf8_lossy(&error.message);
        message.contains("read-only") || message.contains("read_only")
    };
    error.code == 1836 || (error.code == 1290 && names_option()) || takes_nothing(error)
}

/// A member of a Galera cluster that is not ready refuses every statement on a table, and COMMIT. Its number,
/// ER_UNKNOWN_COM_ERROR, has other uses.
pub(super) fn takes_nothing(error: &Error) -> bool {
    error.code == 1047 && error.message.starts_with(b"WSREP")
}
