//! The plan that changes a shard's primary, step by step, so that whoever takes the lock next can carry it on.
//!
//! Owns the order of the steps: a new term is *recorded*, the cohort *recruited*, a candidate chosen and *recorded*, then
//! *promoted*; the others *follow*; the end is *recorded*. A step is in the topology before anything is done under it, and is
//! written only if nobody else has written since, so an orchestrator that lost its lock stops there; what it still orders is of
//! an older term, or just what its successor orders. The driver holds the lock and carries orders and answers.
//!
//! Start with [`Record`] (what a successor needs to know), then [`Recovery::new`], which is also how a plan is carried on.

#[cfg(test)]
mod tests;

use super::choose::{Choice, Promotion, Reports, Undecided, choose};
use super::durability::{Policy, Tablets};
use crate::gtid::Position;
use crate::marks::Mark;
use crate::mutants::{Mutant, Mutants};
use crate::tablet::orders::{Order, Refusal, Report};
use crate::tablet::proof::PROOF_OVER;
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Orders without an answer are given again this often.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// One that has answered and lacks the beginning of the term is asked again after this.
pub const BEHIND_INTERVAL: Duration = Duration::from_millis(20);
/// When enough have been recruited, the others are waited for this long: one of them may be a better candidate.
pub const RECRUIT_GRACE: Duration = Duration::from_millis(200);
/// A planned change waits this long for the wanted tablet to have everything.
pub const HANDOVER_PATIENCE: Duration = Duration::from_secs(10);
/// A candidate that has not been promoted by then is given up.
pub const PROMOTE_PATIENCE: Duration = Duration::from_secs(10);
/// One that has been promoted, and has not said so again for this long while the others turn to it, is given up.
pub const LEAD_PATIENCE: Duration = Duration::from_secs(3);

/// A primary and its term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reign {
    /// The term.
    pub term: u64,
    /// Who.
    pub primary: TabletAlias,
    /// Where the term begins: everything that was acknowledged before is in it.
    pub begins_at: Position,
    /// Under which policy it may have acknowledged writes, where that is not the cohort's any more. Only amid a change of policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<Policy>,
}

/// Where the change of a primary stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// The last reign's primary has a durable beginning: nothing is under way.
    Settled,
    /// The cohort is asked to promise the term; nobody has been promoted in it.
    Recruiting,
    /// The last reign's primary is being promoted, and the others are to follow it.
    Promoting(Choice),
}

/// What the topology keeps of a shard's failovers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// The highest term that was begun.
    pub term: u64,
    /// Who may have acknowledged writes that a candidate must have: the primary, and those before it until its own
    /// beginning is durable.
    pub reigns: Vec<Reign>,
    /// Where the change stands.
    pub step: Step,
}

/// Whom a plan is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cohort {
    /// All tablets of the shard whose acknowledgements may count.
    pub tablets: Tablets,
    /// When a write is acknowledged.
    pub policy: Policy,
    /// Who should be primary; neutral when absent.
    pub promotion: BTreeMap<TabletAlias, Promotion>,
}

impl Cohort {
    /// Nobody has said that it must not be primary.
    #[must_use]
    pub fn may_lead(&self, tablet: &TabletAlias) -> bool {
        self.promotion.get(tablet) != Some(&Promotion::MustNot)
    }

    /// Everything that any of these reigns can have acknowledged, each under its own policy, is on one of the recruited, and it can
    /// acknowledge nothing any more without them. Who chooses that a primary acknowledges alone accepts that its writes may be lost.
    #[must_use]
    pub fn is_covered_by(&self, reigns: &[Reign], recruited: &Tablets) -> bool {
        let covered = |reign: &Reign| {
            let policy = reign.under.unwrap_or(self.policy);
            policy == Policy::None || policy.is_covered_by(&self.tablets, &reign.primary, recruited)
        };
        !recruited.is_empty() && reigns.iter().all(covered)
    }
}

/// Why the primary is changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// It is gone.
    Emergency,
    /// Somebody wants it: the old primary is drained first, and the plan begins when this tablet has all it has.
    Planned(TabletAlias),
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// The record is written (true), or somebody else wrote one since it was read, or the lock is lost (false).
    Recorded(bool),
    /// A tablet has answered an order of this term.
    Answered {
        /// Who.
        tablet: TabletAlias,
        /// The order's term.
        term: u64,
        /// To which kind of order.
        to: Asked,
        /// What.
        outcome: Result<Report, Refusal>,
    },
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// The kinds of orders, so that an answer is not taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Asked {
    /// To promise.
    Recruit,
    /// To be primary.
    Lead,
    /// To be a replica.
    Follow,
    /// To have executed everything.
    Reach,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this if the record is still the last one read or written here, and the lock is held.
    Record(Record),
    /// Give a tablet an order.
    Order {
        /// Whom.
        tablet: TabletAlias,
        /// In which term.
        term: u64,
        /// The kind of `order`.
        asked: Asked,
        /// What.
        order: Order,
    },
    /// There is no safe choice among those recruited so far; they are asked again.
    Undecided(Undecided),
    /// The plan is at its end; nothing follows.
    Ended(End),
}

/// How a plan ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum End {
    /// There is a primary whose beginning is durable.
    Settled(Reign),
    /// Somebody else carries on.
    Superseded,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The record is being written.
    Recording,
    Recruiting,
    Leading(Choice),
    Following(Choice),
    Ended,
}

/// A plan under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recovery {
    cohort: Cohort,
    wanted: Option<TabletAlias>,
    record: Record,
    stage: Stage,
    reports: Reports,
    /// Who has promised the term, though its server does not answer: it serves nobody, and proves no earlier term any more.
    #[serde(default)]
    silenced: Tablets,
    /// Who has been found to have the term's beginning.
    followers: Tablets,
    enough_since: Option<Instant>,
    /// It has everything and must not be primary: it passes on what it has.
    passes_on: Option<TabletAlias>,
    /// The old primary has stopped where the term begins, so that nobody has more than that.
    handed_over: bool,
    /// When the last proof of an earlier term is over that one of the recruited has helped with.
    proofs_end: Instant,
    began: Instant,
    /// The new primary has said last that it leads.
    led_at: Instant,
    ask_at: Instant,
    mutants: Mutants,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Recovery {
    /// Begins a plan, or carries on the one that `record` tells of. It must have been read under the lock.
    #[must_use]
    pub fn new(now: Instant, record: Record, cohort: Cohort, cause: &Cause, mutants: Mutants) -> Self {
        let wanted = if let Cause::Planned(to) = cause { Some(to.clone()) } else { None };
        let mut plan = Self {
            cohort,
            wanted,
            record,
            stage: Stage::Recording,
            reports: Reports::new(),
            silenced: Tablets::new(),
            followers: Tablets::new(),
            enough_since: None,
            passes_on: None,
            handed_over: false,
            proofs_end: now,
            began: now,
            led_at: now,
            ask_at: now,
            mutants,
            outputs: VecDeque::new(),
        };
        match plan.record.step.clone() {
            Step::Promoting(choice) => plan.enter(now, Stage::Leading(choice)),
            Step::Settled | Step::Recruiting => plan.begin_term(),
        }
        plan
    }

    /// Take one input; then drain [`Recovery::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Recorded(written) => self.recorded(now, written),
            Input::Answered { tablet, term, to, outcome } if term == self.record.term => match outcome {
                Ok(report) => self.reported(now, tablet, to, report),
                Err(refusal) => self.refused(tablet, to, &refusal),
            },
            // Of an earlier term.
            Input::Answered { .. } => {}
            Input::Timeout => self.time_out(now),
        }
        if self.stage == Stage::Recruiting {
            self.decide(now);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let grace = self.enough_since.map_or(Instant::MAX, |since| since + RECRUIT_GRACE);
        match self.stage {
            Stage::Recording | Stage::Ended => None,
            Stage::Recruiting => {
                let proofs = self.enough_since.map_or(Instant::MAX, |_| self.proofs_end);
                let next = if proofs > grace { proofs } else { grace };
                Some(self.ask_at.min(next))
            }
            Stage::Leading(_) | Stage::Following(_) => Some(self.ask_at),
        }
    }

    fn begin_term(&mut self) {
        self.handed_over = false;
        let reigns = self.record.reigns.clone();
        self.write(Record { term: self.record.term + 1, reigns, step: Step::Recruiting });
    }

    fn write(&mut self, record: Record) {
        self.record = record.clone();
        self.stage = Stage::Recording;
        self.outputs.push_back(Output::Record(record));
    }

    fn recorded(&mut self, now: Instant, written: bool) {
        if self.stage != Stage::Recording {
            return;
        }
        if !written && !self.mutants.breaks(Mutant::SkipRecheck) {
            return self.end(End::Superseded);
        }
        match self.record.step.clone() {
            Step::Recruiting => self.enter(now, Stage::Recruiting),
            Step::Promoting(choice) => self.enter(now, Stage::Leading(choice)),
            Step::Settled => match self.record.reigns.last().cloned() {
                Some(reign) => self.end(End::Settled(reign)),
                None => self.end(End::Superseded),
            },
        }
    }

    fn enter(&mut self, now: Instant, stage: Stage) {
        self.stage = stage;
        (self.began, self.enough_since, self.proofs_end) = (now, None, now);
        self.reports.clear();
        self.silenced.clear();
        self.passes_on = None;
        self.followers.clear();
        self.ask(now);
    }

    fn end(&mut self, end: End) {
        self.stage = Stage::Ended;
        self.outputs.push_back(Output::Ended(end));
    }

    // Asking.

    fn ask(&mut self, now: Instant) {
        self.ask_at = now + RETRY_INTERVAL;
        match self.stage.clone() {
            Stage::Recruiting => self.ask_recruits(now),
            Stage::Leading(choice) => {
                self.ask_leader(&choice);
                // Its clients wait for their acknowledgements.
                if self.handed_over {
                    self.ask_followers(&choice);
                }
            }
            Stage::Following(choice) => {
                // It may die before anybody has the beginning of its term.
                self.ask_leader(&choice);
                self.ask_followers(&choice);
            }
            Stage::Recording | Stage::Ended => {}
        }
    }

    fn ask_leader(&mut self, choice: &Choice) {
        let order = Order::lead(self.cohort.policy, choice.begins_at.clone(), false);
        self.order(choice.tablet.clone(), Asked::Lead, order);
    }

    fn ask_followers(&mut self, choice: &Choice) {
        let others = self.cohort.tablets.iter().filter(|tablet| **tablet != choice.tablet);
        for tablet in others.cloned().collect::<Vec<_>>() {
            let order = self.follow(&choice.tablet, &tablet, choice.begins_at.clone());
            self.order(tablet, Asked::Follow, order);
        }
    }

    fn follow(&self, source: &TabletAlias, tablet: &TabletAlias, begins_at: Position) -> Order {
        let acknowledges = self.cohort.policy.counts(source, tablet);
        Order::Follow { source: source.clone(), begins_at, caught_up_at: None, acknowledges }
    }

    fn ask_recruits(&mut self, now: Instant) {
        if let Some((old, wanted)) = self.handover(now) {
            return match self.reports.get(&old).map(|report| report.position.clone()) {
                None => self.order(old, Asked::Recruit, Order::Recruit),
                Some(begins_at) => {
                    let order = self.follow(&old, &wanted, begins_at);
                    self.order(wanted, Asked::Follow, order);
                }
            };
        }
        let missing = self.cohort.tablets.iter().filter(|tablet| !self.reports.contains_key(*tablet));
        for tablet in missing.cloned().collect::<Vec<_>>() {
            self.order(tablet, Asked::Recruit, Order::Recruit);
        }
        self.ask_heirs();
    }

    /// Those that may be primary receive what they lack, in the new term, from one that must not. That one lets nobody write.
    fn ask_heirs(&mut self) {
        let Some(from) = self.passes_on.clone() else { return };
        let Some(begins_at) = self.reports.get(&from).map(|report| report.position.clone()) else { return };
        for heir in self.heirs() {
            let order = self.follow(&from, &heir, begins_at.clone());
            self.order(heir, Asked::Follow, order);
        }
    }

    fn heirs(&self) -> Vec<TabletAlias> {
        self.reports.keys().filter(|tablet| self.cohort.may_lead(tablet)).cloned().collect()
    }

    /// Planned: first the old primary lets no client write; then the wanted one receives the rest from it, in the new term,
    /// which begins where the old primary has stopped. Given up after a while: then all are recruited, and the old
    /// primary, which has everything, may well be chosen again.
    fn handover(&self, now: Instant) -> Option<(TabletAlias, TabletAlias)> {
        // One whose own beginning is not durable need not have everything.
        let [Reign { primary: old, .. }] = self.record.reigns.as_slice() else { return None };
        let (old, wanted) = (old.clone(), self.wanted.clone()?);
        let intact = self.reports.get(&old).is_none_or(|report| report.intact);
        let known = self.cohort.tablets.contains(&old) && self.cohort.tablets.contains(&wanted) && old != wanted;
        (known && intact && now < self.began + HANDOVER_PATIENCE).then_some((old, wanted))
    }

    fn order(&mut self, tablet: TabletAlias, asked: Asked, order: Order) {
        self.outputs.push_back(Output::Order { tablet, term: self.record.term, asked, order });
    }

    // Answers.

    fn reported(&mut self, now: Instant, tablet: TabletAlias, to: Asked, report: Report) {
        match (self.stage.clone(), to) {
            (Stage::Recruiting, Asked::Recruit) => {
                if let Some(ago) = report.vouched.filter(|ago| *ago < PROOF_OVER) {
                    self.proofs_end = self.proofs_end.max(now + (PROOF_OVER - ago));
                }
                let report = self.with_its_source(report);
                self.reports.insert(tablet, report);
                if self.handover(now).is_some() {
                    self.ask(now);
                }
            }
            // It has all of the old primary's. Once that is executed it does not lose it any more, whoever restarts.
            (Stage::Recruiting, Asked::Follow) if report.followed >= self.record.term => match self.handover(now) {
                Some((_, wanted)) if tablet == wanted => {
                    self.order(tablet, Asked::Reach, Order::Reach(report.position));
                }
                Some(_) => {}
                // Or all of the one that passes on what it has.
                None => _ = self.reports.insert(tablet, report),
            },
            (Stage::Recruiting, Asked::Reach) if report.followed >= self.record.term => {
                self.reports.insert(tablet, report);
            }
            (Stage::Leading(choice), Asked::Lead) if tablet == choice.tablet => {
                self.leads(now, choice, report.position)
            }
            (Stage::Following(choice), Asked::Lead) if tablet == choice.tablet => self.led_at = now,
            (Stage::Leading(choice) | Stage::Following(choice), Asked::Follow) if tablet != choice.tablet => {
                if report.followed >= self.record.term && report.position.contains(&choice.begins_at).unwrap_or(false) {
                    self.followers.insert(tablet);
                    self.settle();
                } else if matches!(self.stage, Stage::Following(_)) {
                    self.ask_soon(now);
                }
            }
            (Stage::Recruiting, Asked::Follow) if self.handover(now).is_some() => self.ask_soon(now),
            _ => {}
        }
    }

    /// It is at it.
    fn ask_soon(&mut self, now: Instant) {
        self.ask_at = self.ask_at.min(now + BEHIND_INTERVAL);
    }

    fn leads(&mut self, now: Instant, choice: Choice, begins_at: Position) {
        self.led_at = now;
        let as_chosen = choice.begins_at == begins_at;
        // What it received after it was chosen is of the shard's history as well, not errant.
        if let Some(reign) = self.record.reigns.last_mut() {
            reign.begins_at = begins_at.clone();
        }
        let following = Stage::Following(Choice { begins_at, ..choice });
        if self.handed_over && as_chosen {
            // They are at it.
            self.stage = following;
        } else {
            self.enter(now, following);
        }
        self.settle();
    }

    /// A tablet may have slept through the beginning of a term in which its server's source went on as primary. The server has
    /// that beginning all the same, and may have acknowledged what came after.
    fn with_its_source(&self, mut report: Report) -> Report {
        for reign in &self.record.reigns {
            let has_beginning = report.position.contains(&reign.begins_at).unwrap_or(false);
            if has_beginning && report.source.as_ref() == Some(&reign.primary) {
                report.followed = report.followed.max(reign.term);
            }
        }
        report
    }

    fn refused(&mut self, tablet: TabletAlias, to: Asked, refusal: &Refusal) {
        match refusal {
            Refusal::Failed(_) if self.stage == Stage::Recruiting && to == Asked::Recruit => {
                self.silenced.insert(tablet);
            }
            Refusal::OldTerm(_) if self.stage != Stage::Recording => self.end(End::Superseded),
            Refusal::Behind(_) if to == Asked::Lead && matches!(self.stage, Stage::Leading(_)) => self.begin_term(),
            // Asked again in time; those with errant transactions stay out.
            _ => {}
        }
    }

    fn time_out(&mut self, now: Instant) {
        if now < self.ask_at {
            return;
        }
        let given_up = match self.stage {
            Stage::Leading(_) => now >= self.began + PROMOTE_PATIENCE,
            Stage::Following(_) => now >= self.led_at + LEAD_PATIENCE && !self.mutants.breaks(Mutant::AwaitSuccessor),
            Stage::Recording | Stage::Recruiting | Stage::Ended => false,
        };
        if given_up {
            return self.begin_term();
        }
        self.ask(now);
    }

    // Deciding.

    fn decide(&mut self, now: Instant) {
        let handover = self.handover(now);
        if !self.is_enough() || handover.as_ref().is_some_and(|(_, wanted)| !self.reports.contains_key(wanted)) {
            return;
        }
        let since = *self.enough_since.get_or_insert(now);
        let all = self.reports.len() == self.cohort.tablets.len() || handover.is_some();
        if !all && now < since + RECRUIT_GRACE {
            return;
        }
        if now < self.proofs_end && self.may_be_served() {
            Mark::ProofsAwaited.hit();
            return;
        }
        let mut reports = self.reports.clone();
        let promotion =
            if self.mutants.breaks(Mutant::IgnorePromotion) { BTreeMap::new() } else { self.cohort.promotion.clone() };
        if self.mutants.breaks(Mutant::ThrowAwayRestarted) {
            reports.retain(|_, report| report.intact);
        }
        if let Err(Undecided::Incomparable(_, other)) = choose(&reports, &promotion, None)
            && self.mutants.breaks(Mutant::SilentWinner)
        {
            reports.remove(&other);
        }
        match choose(&reports, &promotion, self.wanted.as_ref()) {
            Ok(choice) => {
                self.handed_over = handover.is_some();
                self.chosen(choice);
            }
            Err(why) => {
                self.enough_since = Some(now);
                self.undecided(why);
            }
        }
    }

    fn undecided(&mut self, why: Undecided) {
        match &why {
            Undecided::NoneMay(complete) if !self.heirs().is_empty() => {
                let passes_on = complete.first().cloned();
                if core::mem::replace(&mut self.passes_on, passes_on.clone()) != passes_on {
                    self.ask_heirs();
                }
            }
            _ => self.outputs.push_back(Output::Undecided(why)),
        }
    }

    /// The tablet of an earlier primary has not said that it has promised this term, and may hold a proof of its own.
    fn may_be_served(&self) -> bool {
        let has_promised = |tablet| self.reports.contains_key(tablet) || self.silenced.contains(tablet);
        !self.record.reigns.iter().all(|reign| has_promised(&reign.primary))
    }

    /// Everything that any reign can have acknowledged is on a recruited tablet.
    fn is_enough(&self) -> bool {
        let recruited = self.reports.iter().filter(|(_, report)| report.intact).map(|(tablet, _)| tablet.clone());
        let recruited: Tablets = recruited.collect();
        if self.mutants.breaks(Mutant::SkipIntersection) {
            return !recruited.is_empty();
        }
        // Of a shard without history anybody may have one of its own.
        if self.record.reigns.is_empty() && self.reports.len() < self.cohort.tablets.len() {
            return false;
        }
        self.cohort.is_covered_by(&self.record.reigns, &recruited)
    }

    fn chosen(&mut self, choice: Choice) {
        let term = self.record.term;
        let mut reigns = self.record.reigns.clone();
        let (primary, begins_at) = (choice.tablet.clone(), choice.begins_at.clone());
        reigns.push(Reign { term, primary, begins_at, under: None });
        self.write(Record { term, reigns, step: Step::Promoting(choice) });
    }

    /// Once enough replicas have the term's beginning, the reigns before it need not be asked any more.
    fn settle(&mut self) {
        let Some(reign) = self.record.reigns.last().cloned() else { return };
        if matches!(self.stage, Stage::Following(_))
            && self.cohort.policy.is_acknowledged_by(&reign.primary, &self.followers)
        {
            self.write(Record { term: self.record.term, reigns: vec![reign], step: Step::Settled });
        }
    }
}
