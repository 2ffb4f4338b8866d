//! What is put right within a settled term, and the judging of replicas that have more than their term began with.
//!
//! Owns who is errant, and when each tablet was repaired last. It may not know plans, locks or which finding asks for a repair:
//! [`orchestrator`](super::orchestrator) says what is to be put right, and brings answers back with their [`Errand`]. Orders are of
//! the record's term, so that any change of primary outdates them.

use super::analysis::{Remedy, Sighting};
use super::lock::Entry;
use super::recovery::{Reign, Step};
use crate::gtid::Position;
use crate::mutants::{Mutant, Mutants};
use crate::tablet::orders::{CatchUp, Order, Refusal, Report};
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A repair is ordered again after this, when it did not help.
pub const REPAIR_INTERVAL: Duration = Duration::from_secs(1);
/// A tablet that cannot follow is asked again after this: somebody may have rebuilt it.
pub const QUARANTINE_INTERVAL: Duration = Duration::from_secs(5);

/// What an order was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// The tablet is to lead, or to follow.
    Obey {
        /// Which.
        tablet: TabletAlias,
    },
    /// The primary is asked where it is, for a replica's sake.
    CatchUp {
        /// Whose.
        replica: TabletAlias,
        /// The start of its server.
        incarnation: u64,
        /// In which term.
        term: u64,
    },
    /// The primary is asked where it is: a replica has this beyond the beginning of the term.
    Judge {
        /// Which.
        replica: TabletAlias,
        /// What.
        extra: Position,
        /// In which term.
        term: u64,
    },
}

/// An order to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Whom.
    pub tablet: TabletAlias,
    /// In which term.
    pub term: u64,
    /// What.
    pub order: Order,
    /// Why.
    pub errand: Errand,
}

/// The machine. The entry it is called with is the one that was read under the lock.
#[derive(Debug, Serialize, Deserialize)]
pub struct Repairs {
    errant: BTreeMap<TabletAlias, Position>,
    repair_at: BTreeMap<TabletAlias, Instant>,
    mutants: Mutants,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Repairs {
    /// One that has repaired nothing yet.
    #[must_use]
    pub fn new(mutants: Mutants) -> Self {
        Self { errant: BTreeMap::new(), repair_at: BTreeMap::new(), mutants, outputs: VecDeque::new() }
    }

    /// Who has refused to follow, and was found to have these transactions alone.
    #[must_use]
    pub fn errant(&self) -> &BTreeMap<TabletAlias, Position> {
        &self.errant
    }

    /// Something was repaired since the last change of primary.
    #[must_use]
    pub fn has_repaired(&self) -> bool {
        !self.repair_at.is_empty()
    }

    /// The primary has changed: what was repaired before may be wrong again at once.
    pub fn begin_anew(&mut self) {
        self.repair_at.clear();
    }

    /// A tablet's server has other data now: whatever was known of it counts for nothing.
    pub fn forget(&mut self, tablet: &TabletAlias) {
        self.errant.remove(tablet);
        self.repair_at.remove(tablet);
    }

    /// The next order to give, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Orders what a finding about a tablet asks for, unless that was done lately.
    pub fn put_right(
        &mut self,
        now: Instant,
        entry: &Entry,
        seen: &BTreeMap<TabletAlias, Sighting>,
        remedy: Remedy,
        tablet: TabletAlias,
    ) {
        let Some(reign) = entry.record.reigns.last() else { return };
        let term = entry.record.term;
        if self.repair_at.get(&tablet).is_some_and(|at| now < *at) {
            return;
        }
        let lead = lead(entry, reign, false);
        match remedy {
            Remedy::Lead => self.order(tablet.clone(), term, lead, Errand::Obey { tablet: tablet.clone() }),
            Remedy::Follow => self.follow(entry, tablet.clone(), term, reign.begins_at.clone(), None),
            Remedy::CatchUp => {
                let status = seen.get(&tablet).and_then(|sighting| sighting.state.status.as_ref());
                let Some(incarnation) = status.map(|status| status.incarnation) else { return };
                let errand = Errand::CatchUp { replica: tablet.clone(), incarnation, term };
                self.order(reign.primary.clone(), term, lead, errand);
            }
            Remedy::Reparent | Remedy::HandOver | Remedy::Rebuild | Remedy::Gather | Remedy::Alert => return,
        }
        let status = seen.get(&tablet).and_then(|sighting| sighting.state.status.as_ref());
        let is_stuck = status.is_some_and(|status| status.cannot_follow) || self.errant.contains_key(&tablet);
        let pause = if is_stuck { QUARANTINE_INTERVAL } else { REPAIR_INTERVAL };
        self.repair_at.insert(tablet, now + pause);
    }

    /// It follows, or leads.
    pub fn obeyed(&mut self, tablet: &TabletAlias) {
        self.errant.remove(tablet);
    }

    /// What came of an order. Without an entry nobody is in charge here any more.
    pub fn answered(&mut self, entry: Option<&Entry>, errand: Errand, outcome: Result<Report, Refusal>) {
        match (errand, outcome) {
            (Errand::Obey { tablet }, Ok(_)) => self.obeyed(&tablet),
            (Errand::Obey { tablet }, Err(Refusal::Errant(extra))) => self.judge(entry, tablet, extra),
            (Errand::CatchUp { replica, incarnation, term }, Ok(report)) => {
                self.catch_up(entry, replica, incarnation, term, report.position);
            }
            (Errand::Judge { replica, extra, term }, Ok(report)) => self.judged(entry, replica, extra, term, report),
            (Errand::Obey { .. } | Errand::CatchUp { .. } | Errand::Judge { .. }, Err(_)) => {}
        }
    }

    /// Beyond the beginning of the term, a replica has what others passed on to it after that, or what nobody else has.
    pub fn judge(&mut self, entry: Option<&Entry>, replica: TabletAlias, extra: Position) {
        // While a change has not come to its new primary, the last one stays as it is.
        let Some(entry) = entry.filter(|entry| entry.record.step != Step::Recruiting) else { return };
        let Some(reign) = entry.record.reigns.last() else { return };
        let (term, lead) = (entry.record.term, lead(entry, reign, false));
        self.order(reign.primary.clone(), term, lead, Errand::Judge { replica, extra, term });
    }

    /// The primary has said where it is, and the replica stands still: what it has is of that history, or errant. What waits
    /// at the primary may wait for this very replica.
    fn judged(&mut self, entry: Option<&Entry>, replica: TabletAlias, extra: Position, term: u64, report: Report) {
        let mut history = report.position;
        if !self.mutants.breaks(Mutant::OverlookWaiting) {
            // Of another flavour, or too large: then there is none of it.
            let _ = history.merge(&report.waiting);
        }
        let passed_on = !self.mutants.breaks(Mutant::CondemnUnheard) && history.explains(&extra);
        match entry {
            // A later place in the same term does as well as its beginning.
            Some(entry) if passed_on => self.follow(entry, replica, term, history, None),
            None if passed_on => {}
            _ => _ = self.errant.insert(replica, extra),
        }
    }

    /// The primary has said where it is: the replica has everything once it is there as well.
    fn catch_up(
        &mut self,
        entry: Option<&Entry>,
        replica: TabletAlias,
        incarnation: u64,
        term: u64,
        position: Position,
    ) {
        let Some(entry) = entry else { return };
        let Some(reign) = entry.record.reigns.last() else { return };
        self.follow(entry, replica, term, reign.begins_at.clone(), Some(CatchUp { incarnation, position }));
    }

    /// Orders a replica of the term to follow its primary, unless there is another term by now.
    fn follow(
        &mut self,
        entry: &Entry,
        replica: TabletAlias,
        term: u64,
        begins_at: Position,
        caught_up_at: Option<CatchUp>,
    ) {
        let is_led = entry.record.term == term && entry.record.step != Step::Recruiting;
        let Some(Reign { primary: source, .. }) = entry.record.reigns.last().filter(|_| is_led).cloned() else {
            return;
        };
        let acknowledges = entry.cohort.policy.counts(&source, &replica);
        let order = Order::Follow { source, begins_at, caught_up_at, acknowledges };
        self.order(replica.clone(), term, order, Errand::Obey { tablet: replica });
    }

    fn order(&mut self, tablet: TabletAlias, term: u64, order: Order, errand: Errand) {
        self.outputs.push_back(Output { tablet, term, order, errand });
    }
}

/// How the primary of the settled term is to be one.
pub(super) fn lead(entry: &Entry, reign: &Reign, slowly: bool) -> Order {
    Order::lead(entry.cohort.policy, reign.begins_at.clone(), slowly)
}

#[cfg(test)]
mod tests {
    use super::super::durability::Policy;
    use super::super::recovery::{Cohort, Record};
    use super::*;

    const A: &str = "00000000-0000-0000-0000-00000000000a";

    fn alias(uid: u32) -> TabletAlias {
        format!("a-{uid}").parse().expect("an alias")
    }

    fn position(text: &str) -> Position {
        text.parse().expect("a position")
    }

    /// The first tablet of three is primary since `begins_at`.
    fn entry(begins_at: &str) -> Entry {
        let reign = Reign { term: 4, primary: alias(1), begins_at: position(begins_at), under: None };
        let policy = Policy::SemiSync { acks: 1 };
        let cohort = Cohort { tablets: (1..=3).map(alias).collect(), policy, promotion: BTreeMap::new() };
        Entry::new(cohort, Record { term: 4, reigns: vec![reign], step: Step::Settled })
    }

    /// Whom the first of the orders goes to, and what comes of it when the primary reports so.
    fn verdict(repairs: &mut Repairs, entry: &Entry, extra: &str, report: Report) -> Option<Order> {
        let errand = Errand::Obey { tablet: alias(2) };
        repairs.answered(Some(entry), errand, Err(Refusal::Errant(position(extra))));
        let asked = repairs.poll_output().expect("the primary is asked");
        assert_eq!((asked.tablet, asked.term), (alias(1), 4));
        repairs.answered(Some(entry), asked.errand, Ok(report));
        repairs.poll_output().map(|output| output.order)
    }

    #[test]
    fn what_the_primary_has_or_is_at_is_no_reason_to_stay_out() {
        let entry = entry(&format!("{A}:1-5"));
        let [six, seven] = [6, 7].map(|last| position(&format!("{A}:1-{last}")));
        for (waiting, follows) in [(Position::default(), false), (position(&format!("{A}:7")), true)] {
            let mut repairs = Repairs::new(Mutants::NONE);
            let report = Report { position: six.clone(), waiting, ..Report::default() };
            let order = verdict(&mut repairs, &entry, &format!("{A}:6-7"), report);
            let begins_at = match order {
                Some(Order::Follow { begins_at, .. }) => Some(begins_at),
                _ => None,
            };
            assert_eq!(begins_at, follows.then(|| seven.clone()));
            assert_eq!(repairs.errant().contains_key(&alias(2)), !follows);
        }
    }

    #[test]
    fn a_number_that_another_used_explains_nothing() {
        let mut repairs = Repairs::new(Mutants::NONE);
        let report = Report { position: position("0-2-9"), ..Report::default() };
        assert_eq!(verdict(&mut repairs, &entry("0-1-5"), "0-1-7", report), None);
        assert_eq!(repairs.errant(), &BTreeMap::from([(alias(2), position("0-1-7"))]));
        repairs.obeyed(&alias(2));
        assert!(repairs.errant().is_empty(), "somebody has rebuilt it");
    }

    #[test]
    fn a_repair_is_not_ordered_twice_at_once_and_one_in_quarantine_less_often() {
        let (mut repairs, entry, seen) = (Repairs::new(Mutants::NONE), entry("0-1-5"), BTreeMap::new());
        let orders = |repairs: &mut Repairs, ms| {
            let now = Instant::ZERO + Duration::from_millis(ms);
            repairs.put_right(now, &entry, &seen, Remedy::Follow, alias(2));
            core::iter::from_fn(|| repairs.poll_output()).count()
        };
        assert_eq!([0, 999, 1000].map(|ms| orders(&mut repairs, ms)), [1, 0, 1]);
        repairs.errant.insert(alias(2), position("0-3-1"));
        assert_eq!([2000, 6999, 7000].map(|ms| orders(&mut repairs, ms)), [1, 0, 1]);
        repairs.begin_anew();
        assert_eq!(orders(&mut repairs, 7001), 1);
    }
}
