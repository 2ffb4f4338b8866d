//! A session that keeps its server connection while the primary behind it is drained.
//!
//! Who has no connection is refused one by the tablet, and waits in the [`buffer`](crate::gateway::buffer). Who keeps one for another
//! reason than a transaction waits all the same with what would begin there, and does not count as open: temporary tables and the like
//! keep nobody from anything, and go with the primary. But what ends a wait of others goes on: a session with locks of its own
//! (`LOCK TABLES`, `GET_LOCK`, XA) is never held, and one with locked tables counts as open until it unlocks them.

use super::job::{Job, Origin};
use super::{Event, Pins, Session};
use crate::error::{Component, Error, Kind};
use crate::gateway::cluster::Serving;
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::sql::Effects;
use crate::time::Instant;
use crate::topo::{NotServing, Role};

/// With one of these, others may wait for what the session does next.
const LOCKS: Pins = Pins::TABLE_LOCK.union(Pins::USER_LOCK).union(Pins::XA);

impl Session {
    /// Runs `job` on the lease that the session keeps, or has it wait until the primary there is drained no more.
    pub(super) fn go_on_with_lease(&mut self, now: Instant, job: Box<Job>) {
        if !self.would_begin_on_drained(&job) {
            return self.submit(now, job);
        }
        Mark::PinnedHeld.hit();
        let what = format!("weir-gateway: the primary does not take this now: {}", NotServing::Draining);
        self.wait_or_fail(now, job, Error::unexecuted(Component::Gateway, Kind::Unavailable, what));
    }

    fn would_begin_on_drained(&self, job: &Job) -> bool {
        let Some(lease) = self.lease.filter(|lease| lease.role == Role::Primary) else { return false };
        let is_drained =
            || self.view.get(lease.key.tablet).is_some_and(|t| t.serving == Serving::No(NotServing::Draining));
        job.origin == Origin::Client && !self.is_amid_something() && self.begins(job) && is_drained()
    }

    pub(super) fn is_amid_something(&self) -> bool {
        let in_transaction = self.state.in_transaction() && !self.config.mutants.breaks(Mutant::DrainHoldsOpen);
        in_transaction || self.state.pins.intersects(LOCKS)
    }

    /// It may take locks that a transaction keeps, or wait for them.
    fn begins(&self, job: &Job) -> bool {
        let writes = job.effects.intersects(Effects::WRITES | Effects::OPENS_TRANSACTION);
        writes || (!self.state.autocommit() && !job.effects.contains(Effects::ENDS_TRANSACTION))
    }

    /// Between two requests: tells the tablet when nothing is open on the lease that is kept.
    pub(super) fn note_what_is_open(&mut self) {
        let rests = !self.state.in_transaction() && !self.state.pins.contains(Pins::TABLE_LOCK);
        if let Some(lease) = &mut self.lease
            && rests
            && !lease.rests
        {
            lease.rests = true;
            self.events.push_back(Event::Rest(true));
        }
    }

    /// Something is about to run on the lease.
    pub(super) fn end_rest(&mut self) {
        if let Some(lease) = &mut self.lease
            && core::mem::take(&mut lease.rests)
        {
            self.events.push_back(Event::Rest(false));
        }
    }
}
