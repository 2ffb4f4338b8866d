//! Servers that get another's data: when one is begun or gone on with, and what comes of it.
//!
//! Owns who was asked for, and when each was begun last. Whether it may be, and from whom, is [`rebuild`]'s to say.

use super::super::analysis::{Code, Facts, Problem, Remedy, Rule};
use super::super::rebuild::{self, Errant};
use super::super::repairs::REPAIR_INTERVAL;
use super::{News, Orchestrator, Purpose};
use crate::tablet::orders::{Order, Refusal, Report, Stage};
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use std::collections::BTreeSet;

/// A copy that came to nothing is begun again after this.
const RECOPY_INTERVAL: Duration = Duration::from_secs(10);
/// One that was rebuilt and is not whole after this is rebuilt again, when nobody has to ask for it.
const REBUILD_INTERVAL: Duration = Duration::from_secs(60);

impl Orchestrator {
    /// The same, doing this about servers with transactions of their own.
    #[must_use]
    pub fn with_errant(self, errants: Errant) -> Self {
        Self { errants, ..self }
    }

    /// How far a tablet is that is being rebuilt, as far as it is known here: only while the lock is held.
    #[must_use]
    pub fn rebuilding(&self, now: Instant, tablet: &TabletAlias) -> Option<rebuild::Progress> {
        let facts = Facts { now, entry: self.entry.as_ref()?, seen: &self.seen, errant: self.repairs.errant() };
        Some(rebuild::progress(&facts, tablet, self.to_rebuild.contains(tablet)))
    }

    pub(super) fn want_rebuilt(&mut self, now: Instant, tablet: TabletAlias) {
        match self.next_to_rebuild(now, &tablet) {
            None => {}
            Some(Ok(_)) => _ = self.to_rebuild.insert(tablet),
            Some(Err(why)) => self.news(News::NotRebuilt(tablet, why)),
        }
    }

    fn next_to_rebuild(&self, now: Instant, tablet: &TabletAlias) -> Option<Result<rebuild::Next, rebuild::Obstacle>> {
        let entry = self.entry.as_ref().filter(|_| self.is_in_charge())?;
        let facts = Facts { now, entry, seen: &self.seen, errant: self.repairs.errant() };
        Some(rebuild::next(&facts, tablet, self.mutants))
    }

    /// Goes on with the first that is to be rebuilt and can be.
    pub(super) fn rebuild(&mut self, now: Instant, confirmed: &[(&'static Rule, Problem)]) {
        let found = confirmed.iter().filter(|(rule, problem)| self.may_rebuild(now, rule, problem));
        let found = found.map(|(_, problem)| problem.tablet.clone());
        let candidates: BTreeSet<TabletAlias> = found.chain(self.to_rebuild.iter().cloned()).collect();
        for tablet in candidates {
            let copy = self.seen.get(&tablet).and_then(|sighting| sighting.state.copy.as_ref());
            let is_broken = copy.is_some_and(|copy| matches!(copy.stage, Stage::Broken(_)));
            let pause = if is_broken { RECOPY_INTERVAL } else { REPAIR_INTERVAL };
            if self.rebuilt_at.get(&tablet).is_some_and(|at| now < *at + pause) {
                continue;
            }
            let (order, restores) = match self.next_to_rebuild(now, &tablet) {
                Some(Ok(rebuild::Next::Copy(from))) => {
                    self.news(News::Rebuilding(tablet.clone(), from.clone()));
                    (Order::Copy { from }, false)
                }
                Some(Ok(rebuild::Next::Restore)) => (Order::Restore, true),
                Some(Ok(rebuild::Next::Wait) | Err(_)) | None => continue,
            };
            let Some(term) = self.entry.as_ref().map(|entry| entry.record.term) else { return };
            self.rebuilt_at.insert(tablet.clone(), now);
            self.order(tablet.clone(), term, order, Purpose::Rebuild { tablet, restores });
            // One at a time.
            return;
        }
    }

    /// Nobody has to be asked: it was begun, or there is nothing to lose, or the operator has said so once for all.
    fn may_rebuild(&self, now: Instant, rule: &Rule, problem: &Problem) -> bool {
        let state = self.seen.get(&problem.tablet).map(|sighting| &sighting.state);
        let is_empty = state.and_then(|state| state.status.as_ref()).is_some_and(|status| status.executed.is_empty());
        let lately = self.rebuilt_at.get(&problem.tablet).is_some_and(|at| now < *at + REBUILD_INTERVAL);
        let allowed = self.errants == Errant::Rebuild || is_empty;
        rule.remedy == Remedy::Rebuild && (problem.code == Code::UnfinishedRebuild || allowed && !lately)
    }

    pub(super) fn rebuild_answered(&mut self, tablet: TabletAlias, restores: bool, outcome: &Result<Report, Refusal>) {
        if outcome.is_err() {
            return;
        }
        // From now on it is on the tablet's disk that it is wanted.
        self.to_rebuild.remove(&tablet);
        if restores {
            self.seen.remove(&tablet);
            self.repairs.forget(&tablet);
            self.news(News::Rebuilt(tablet));
        }
    }
}
