//! Tablets that an operator takes out of service, and puts back, and primaries whose process is told to stop.
//!
//! Owns who is out of service, as it stands in the entry, and who succeeds a primary when nobody has said who is to. A tablet out of service goes on replicating and acknowledging for as long as its server
//! runs, and is repaired like any other; it is not made primary, and gateways send nothing there. The primary is never out of service:
//! another takes its place first.

use super::super::analysis::{EVIDENCE_AGE_MAX, Problem, Remedy, Rule};
use super::super::handover::REST_INTERVAL;
use super::super::lock::Entry;
use super::super::recovery::Step;
use super::{News, Orchestrator};
use crate::mutants::Mutant;
use crate::tablet::orders::{State, Status};
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;

impl Orchestrator {
    /// The same; what is open on a primary that is to be succeeded in order may take this long to end.
    #[must_use]
    pub fn draining_for(self, drain_time: Duration) -> Self {
        Self { drain_time, ..self }
    }

    /// Who would succeed the primary best now: one that is in service, replicates, has everything it ever acknowledged, and is as far as
    /// any; the operator's rules decide among those.
    #[must_use]
    pub fn best_successor(&self, now: Instant) -> Option<TabletAlias> {
        let entry = self.entry.as_ref()?;
        let primary = entry.record.reigns.last().map(|reign| &reign.primary)?;
        let fit = |tablet: &&TabletAlias| {
            let sighting = self.seen.get(*tablet).filter(|seen| now.since(seen.heard_at) <= EVIDENCE_AGE_MAX);
            let state = sighting.map(|sighting| &sighting.state);
            let follows = |status: &Status| status.source.as_ref() == Some(primary) && status.receiver_connected;
            let stays = |state: &State| !state.leaving || self.mutants.breaks(Mutant::ChooseLeaving);
            *tablet != primary
                && entry.may_lead(tablet)
                && state.is_some_and(|state| state.intact && stays(state) && state.status.as_ref().is_some_and(follows))
        };
        let rule = |tablet: &&TabletAlias| entry.cohort.promotion.get(*tablet).copied().unwrap_or_default();
        entry.cohort.tablets.iter().filter(fit).min_by_key(rule).cloned()
    }

    /// A primary that is about to stop is succeeded, by whoever is wanted or else by the best there is; as long as there is nobody, it stays. One
    /// that could not rest is asked again after a while, as its clients have waited for it.
    pub(super) fn relieve(&mut self, now: Instant, confirmed: &[(&Rule, Problem)]) {
        let leaves = confirmed.iter().any(|(rule, _)| rule.remedy == Remedy::HandOver);
        let declined = self.declined_at.is_some_and(|at| now < at + REST_INTERVAL);
        if leaves && !declined && self.wanted.is_none() {
            self.wanted = self.best_successor(now);
        }
    }

    /// Somebody is to be in service again: that is written down at once. A plan under way is begun anew, for it may have waited for the very
    /// one. Returns whether there was anything to write.
    pub(super) fn puts_back(&mut self, now: Instant) -> bool {
        let Some(mut entry) = self.entry.clone().filter(|_| self.lock.is_held()) else { return false };
        let back: Vec<TabletAlias> =
            self.drains.iter().filter(|(_, out)| !**out).map(|(back, _)| back.clone()).collect();
        for tablet in &back {
            self.drains.remove(tablet);
            if !entry.drained.remove(tablet) {
                self.news(News::Drained(tablet.clone(), false));
            }
        }
        let is_news = self.entry.as_ref() != Some(&entry);
        if is_news {
            self.plan = None;
            self.write(now, entry);
        }
        is_news
    }

    /// Somebody is to be out of service: that is written down once nothing more urgent is under way.
    pub(super) fn take_out(&mut self, now: Instant) {
        let waits = self.plan.is_some() || self.handover.is_some() || self.drains.is_empty();
        let Some(before) = self.entry.clone().filter(|entry| !waits && entry.record.step == Step::Settled) else {
            return;
        };
        let mut after = before.clone();
        for tablet in core::mem::take(&mut self.drains).into_keys() {
            if !before.cohort.tablets.contains(&tablet) || before.is_led_by(&tablet) {
                self.news(News::NotDrained(tablet));
            } else if !after.drained.insert(tablet.clone()) {
                self.news(News::Drained(tablet, true));
            }
        }
        if after != before {
            self.write(now, after);
        }
    }

    /// An entry that was to be written is, or is not.
    pub(super) fn tell_who_is_drained(&mut self, after: &Entry, written: bool) {
        let Some(before) = &self.entry else { return };
        let changed: Vec<_> = before.drained.symmetric_difference(&after.drained).cloned().collect();
        for tablet in changed {
            let out = after.drained.contains(&tablet);
            self.news(if written { News::Drained(tablet, out) } else { News::NotDrained(tablet) });
        }
    }

    pub(super) fn write(&mut self, now: Instant, entry: Entry) {
        self.writing = Some(entry.clone());
        self.lock.write(now, entry);
    }
}
