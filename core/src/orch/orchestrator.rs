//! One orchestrator's work on one shard: hear the tablets, take the lock, find what is wrong, and put it right.
//!
//! Owns the evidence, and which of its parts acts: the plan of a change ([`recovery`]), what comes before a
//! planned one ([`handover`]), [`repairs`], or `rebuilding`; `service` has who is out of
//! service. It may not know connections or where tablets are: a driver carries orders to tablets, brings back what they say, and
//! asks the topology.
//!
//! Several orchestrators hear the same; the one with the lock acts. It reads the entry under the lock, applies the rules of
//! [`analysis`](super::analysis) to it again and again, and begins a [`Recovery`] or orders repairs. Repairs never keep a recovery waiting: they
//! are orders of the settled term, which any recovery outdates.

mod changing;
mod counters;
mod rebuilding;
mod service;

pub use changing::Obstacle as PolicyObstacle;
pub use counters::{Analysis, Counters, Ending};

use super::analysis::{Code, Facts, Problem, Remedy, Rule, Sighting, analyse};
use super::choose::Undecided;
use super::durability::Policy;
use super::handover::{self, Handover, Obstacle};
use super::lock::{self, Entry, Event, Request, ShardLock};
use super::rebuild::{self, Errant};
use super::recovery::{self, Asked, Cause, Cohort, End, Record, Recovery, Reign, Step};
use super::repairs::{self, Errand, Repairs};
use crate::gtid::Position;
use crate::mutants::{Mutant, Mutants};
use crate::recording::Recorded;
use crate::tablet::orders::{Order, Refusal, Report, State};
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The rules are applied this often.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Orders that wait for their answer, at most; the oldest is forgotten.
const PENDING_MAX: usize = 256;

/// What an orchestrator is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// A tablet says how it is.
    Told(TabletAlias, Box<State>),
    /// A tablet has answered an order.
    Answered {
        /// Which order.
        id: u64,
        /// What came of it.
        outcome: Result<Report, Refusal>,
    },
    /// Something about the topology.
    Topology(lock::Input),
    /// Somebody wants this tablet to be primary. Only the holder of the lock obeys.
    Reparent(TabletAlias),
    /// Somebody wants this tablet's server to get another's data. Only the holder of the lock obeys.
    Rebuild(TabletAlias),
    /// Somebody wants another durability policy. Only the holder of the lock obeys.
    Policy(Policy),
    /// Somebody takes a tablet out of service (true), or puts it back. Only the holder of the lock obeys; the primary stays in service.
    Drain(TabletAlias, bool),
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Give a tablet an order.
    Order {
        /// Whom.
        tablet: TabletAlias,
        /// Names the order in its answer.
        id: u64,
        /// In which term.
        term: u64,
        /// What.
        order: Order,
    },
    /// Ask the topology.
    Ask {
        /// Names the question in its answer.
        id: u64,
        /// What.
        request: Request,
    },
    /// Something that people should know.
    News(News),
}

/// What people should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// The lock is held (true) or lost.
    Lock(bool),
    /// This is wrong from now on.
    Found(Problem),
    /// A term is being begun.
    Begun(u64),
    /// There is a primary.
    Settled(Reign),
    /// Somebody wanted this tablet to be primary, and the primary stays.
    NotHandedOver(TabletAlias, Obstacle),
    /// A tablet is out of service from now on (true), or in it.
    Drained(TabletAlias, bool),
    /// Somebody wanted that, and it stays as it was.
    NotDrained(TabletAlias),
    /// This policy is in force from now on, in this term.
    PolicyChanged(Policy, u64),
    /// Somebody wanted this policy, and it stays as it was.
    NotChanged(Policy, PolicyObstacle),
    /// Nobody can be promoted safely: an operator has to decide.
    Undecided(Undecided),
    /// The first tablet begins to copy the data of the second.
    Rebuilding(TabletAlias, TabletAlias),
    /// It has them. What it had is kept aside.
    Rebuilt(TabletAlias),
    /// Somebody wants it to be rebuilt, and it is not.
    NotRebuilt(TabletAlias, rebuild::Obstacle),
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(true) => f.write_str("holds the lock"),
            Self::Lock(false) => f.write_str("has lost the lock"),
            Self::Found(problem) => write!(f, "found {problem}"),
            Self::Begun(term) => write!(f, "begins term {term}"),
            Self::Settled(reign) => write!(f, "{} is primary in term {}", reign.primary, reign.term),
            Self::NotHandedOver(to, why) => write!(f, "{to} does not become primary: {why}"),
            Self::Drained(tablet, true) => write!(f, "{tablet} is out of service"),
            Self::Drained(tablet, false) => write!(f, "{tablet} is in service again"),
            Self::NotDrained(tablet) => {
                write!(f, "{tablet} stays as it was: it is primary, or that could not be written down")
            }
            Self::PolicyChanged(policy, term) => write!(f, "the policy is {policy} in term {term}"),
            Self::NotChanged(policy, why) => write!(f, "the policy does not become {policy}: {why}"),
            Self::Undecided(why) => write!(f, "nobody can be promoted: {why}"),
            Self::Rebuilding(tablet, from) => write!(f, "{tablet} is being rebuilt from {from}"),
            Self::Rebuilt(tablet) => write!(f, "{tablet} was rebuilt: what it had is kept aside"),
            Self::NotRebuilt(tablet, why) => write!(f, "{tablet} is not rebuilt: {why}"),
        }
    }
}

/// Why a tablet stays out until a person has looked at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// It has these transactions, which the shard's history has not.
    Errant(Position),
    /// What it has does not fit what it receives.
    CannotFollow,
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errant(extra) => write!(f, "it has {extra}, which the shard's history has not"),
            Self::CannotFollow => f.write_str("its replication stops again and again: what it has does not fit"),
        }
    }
}

/// What an order was for.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Purpose {
    Plan {
        tablet: TabletAlias,
        term: u64,
        to: Asked,
    },
    Repair(Errand),
    /// To get another's data, or to put them in place (true).
    Rebuild {
        tablet: TabletAlias,
        restores: bool,
    },
    /// Of a change that has not begun yet.
    Handover(u64),
}

/// The machine. Serialised after its outputs were drained, it goes on from there as it would have.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orchestrator {
    /// For a shard that the topology does not know yet.
    initial: Cohort,
    lock: ShardLock,
    /// What the topology has, since it was read under the lock.
    entry: Option<Entry>,
    /// On its way there.
    writing: Option<Entry>,
    plan: Option<Recovery>,
    seen: BTreeMap<TabletAlias, Sighting>,
    /// What is wrong, and since when.
    #[serde(with = "crate::recording::pairs")]
    problems: BTreeMap<Problem, Instant>,
    repairs: Repairs,
    wanted: Option<TabletAlias>,
    errants: Errant,
    /// Whom somebody wants to be rebuilt.
    to_rebuild: BTreeSet<TabletAlias>,
    rebuilt_at: BTreeMap<TabletAlias, Instant>,
    /// Who is to be out of service, or in it.
    drains: BTreeMap<TabletAlias, bool>,
    handover: Option<Handover>,
    /// When a handover was given up last.
    declined_at: Option<Instant>,
    /// The policy that somebody wants, and the one under which a term is being begun for that.
    policy: Option<Policy>,
    changing: Option<Policy>,
    /// What is open on a primary that is to be succeeded in order may take so long to end.
    drain_time: Duration,
    pending: BTreeMap<u64, Purpose>,
    orders: u64,
    look_at: Instant,
    /// Nothing is decided by them.
    #[serde(skip)]
    counters: Counters,
    mutants: Mutants,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Orchestrator {
    /// An orchestrator that has heard nothing yet; its first timer is due at once. `initial` is written to the topology
    /// when that does not know the shard.
    #[must_use]
    pub fn new(initial: Cohort, mutants: Mutants) -> Self {
        Self {
            initial,
            lock: ShardLock::new(mutants),
            entry: None,
            writing: None,
            plan: None,
            seen: BTreeMap::new(),
            problems: BTreeMap::new(),
            repairs: Repairs::new(mutants),
            wanted: None,
            errants: Errant::default(),
            to_rebuild: BTreeSet::new(),
            rebuilt_at: BTreeMap::new(),
            drains: BTreeMap::new(),
            handover: None,
            declined_at: None,
            policy: None,
            changing: None,
            drain_time: handover::DRAIN_TIME,
            pending: BTreeMap::new(),
            orders: 0,
            look_at: Instant::ZERO,
            counters: Counters::default(),
            mutants,
            outputs: VecDeque::new(),
        }
    }

    /// What the topology has, as far as it is known here: only while the lock is held.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// What it has done since it was made.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is wrong now.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.keys()
    }

    /// Who stays out until a person has looked at it, and why. Only who is in charge knows.
    #[must_use]
    pub fn quarantined(&self) -> BTreeMap<TabletAlias, Quarantine> {
        let stuck = self.problems().filter(|problem| problem.code == Code::ReplicaCannotFollow);
        let stuck = stuck.map(|problem| (problem.tablet.clone(), Quarantine::CannotFollow));
        let errant = self.repairs.errant().iter();
        let errant = errant.map(|(tablet, extra)| (tablet.clone(), Quarantine::Errant(extra.clone())));
        // What is known more exactly comes last, and counts.
        stuck.chain(errant).filter(|_| self.is_in_charge()).collect()
    }

    /// Take one input; then drain [`Orchestrator::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Told(tablet, state) => self.hear(now, tablet, *state),
            Input::Answered { id, outcome } => self.answered(now, id, outcome),
            Input::Topology(input) => self.lock.handle(now, input),
            Input::Reparent(to) => self.wanted = Some(to).filter(|_| self.is_in_charge()),
            Input::Policy(policy) => self.want_policy(policy),
            Input::Rebuild(tablet) => self.want_rebuilt(now, tablet),
            Input::Drain(tablet, out) if self.is_in_charge() => _ = self.drains.insert(tablet, out),
            Input::Drain(tablet, _) => self.news(News::NotDrained(tablet)),
            Input::Timeout => self.time_out(now),
        }
        self.settle(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let plan = self.plan.as_ref().and_then(Recovery::poll_timeout);
        let look = self.is_in_charge().then_some(self.look_at);
        let handover = self.handover.as_ref().and_then(Handover::poll_timeout);
        [self.lock.poll_timeout(), plan, handover, look].into_iter().flatten().min()
    }

    /// It holds the lock and has read the entry under it: only then it does what people want.
    #[must_use]
    pub fn is_in_charge(&self) -> bool {
        self.lock.is_held() && self.entry.is_some()
    }

    fn hear(&mut self, now: Instant, tablet: TabletAlias, state: State) {
        let known = self.entry.as_ref().map_or(&self.initial, |entry| &entry.cohort);
        if known.tablets.contains(&tablet) {
            self.seen.insert(tablet, Sighting { heard_at: now, state });
        }
    }

    fn time_out(&mut self, now: Instant) {
        self.lock.handle(now, lock::Input::Timeout);
        if let Some(plan) = &mut self.plan {
            plan.handle(now, recovery::Input::Timeout);
        }
        if let Some(handover) = &mut self.handover {
            handover.time_out(now);
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_INTERVAL;
            self.look(now);
        }
    }

    /// Carries on what one input has set going.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(event) = self.lock.poll_event() {
                self.topology_said(now, event);
            } else if let Some(output) = self.repairs.poll_output() {
                self.repair_wants(output);
            } else if let Some(output) = self.plan.as_mut().and_then(Recovery::poll_output) {
                self.plan_wants(now, output);
            } else if let Some(output) = self.handover.as_mut().and_then(Handover::poll_output) {
                self.handover_wants(now, output);
            } else {
                break;
            }
        }
        while let Some((id, request)) = self.lock.poll_request() {
            self.outputs.push_back(Output::Ask { id, request });
        }
    }

    // The topology.

    fn topology_said(&mut self, now: Instant, event: Event) {
        match event {
            Event::Held => {
                self.news(News::Lock(true));
                self.lock.read(now);
            }
            Event::Lost => {
                self.news(News::Lock(false));
                self.step_back();
            }
            Event::Read(entry) => {
                let record = Record { term: 0, reigns: Vec::new(), step: Step::Settled };
                let unknown = || Entry::new(self.initial.clone(), record);
                self.entry = Some(entry.map_or_else(unknown, |entry| *entry));
                self.look_at = now;
            }
            Event::Written(written) => {
                let Some(after) = self.writing.take() else { return };
                self.tell_who_is_drained(&after, written);
                if let Some(entry) = self.entry.as_mut().filter(|_| written) {
                    *entry = after;
                }
                if let Some(plan) = &mut self.plan {
                    plan.handle(now, recovery::Input::Recorded(written));
                }
            }
        }
    }

    /// Somebody else may act from now on.
    fn step_back(&mut self) {
        (self.entry, self.writing, self.wanted, self.handover) = (None, None, None, None);
        (self.policy, self.changing) = (None, None);
        for tablet in core::mem::take(&mut self.drains).into_keys() {
            self.news(News::NotDrained(tablet));
        }
        self.to_rebuild.clear();
        self.problems.clear();
        self.counters.ended(None, Ending::LostLock);
        if let Some(plan) = self.plan.take()
            && self.mutants.breaks(Mutant::SkipRecheck)
        {
            self.plan = Some(plan);
        }
    }

    // The plan.

    fn begin(&mut self, now: Instant, analysis: Analysis, cause: &Cause) {
        let Some(entry) = self.entry.clone() else { return };
        let entry = self.as_wanted(entry, cause);
        let (cohort, record) = (entry.cohort_in_service(), entry.record);
        self.handover = None;
        let record = self.as_far_as_promised(record);
        self.counters.begun(now, analysis);
        self.news(News::Begun(record.term + 1));
        self.problems.clear();
        self.plan = Some(Recovery::new(now, record, cohort, cause, self.mutants));
    }

    /// A record that tablets have promised more than was lost, or comes from a backup: nobody knows who may have acknowledged
    /// what, so everybody is asked, as in a shard without history, and the term is new to all.
    fn as_far_as_promised(&self, record: Record) -> Record {
        let promised = self.seen.values().map(|sighting| sighting.state.promised).max().unwrap_or(0);
        if promised <= record.term || self.mutants.breaks(Mutant::TrustRecord) {
            return record;
        }
        Record { term: promised, reigns: Vec::new(), step: Step::Settled }
    }

    fn plan_wants(&mut self, now: Instant, output: recovery::Output) {
        match output {
            recovery::Output::Record(record) => {
                let unknown = || Entry::new(self.initial.clone(), record.clone());
                let mut entry =
                    self.entry.as_ref().map_or_else(unknown, |entry| Entry { record: record.clone(), ..entry.clone() });
                // Nothing is ordered under it before it is written.
                entry.cohort.policy = self.changing.unwrap_or(entry.cohort.policy);
                self.write(now, entry);
            }
            recovery::Output::Order { tablet, term, asked, order } => {
                let purpose = Purpose::Plan { tablet: tablet.clone(), term, to: asked };
                self.order(tablet, term, order, purpose);
            }
            recovery::Output::Undecided(why) => {
                self.counters.undecided += 1;
                self.news(News::Undecided(why));
            }
            recovery::Output::Ended(end) => {
                self.plan = None;
                self.repairs.begin_anew();
                match end {
                    End::Settled(reign) => {
                        self.counters.ended(Some(now), Ending::Settled);
                        let term = reign.term;
                        self.news(News::Settled(reign));
                        self.tell_policy(Some(term));
                    }
                    End::Superseded => {
                        self.counters.ended(None, Ending::Superseded);
                        self.tell_policy(None);
                        self.entry = None;
                        if self.lock.is_held() {
                            self.lock.read(now);
                        }
                    }
                }
            }
        }
    }

    // Analysis.

    fn look(&mut self, now: Instant) {
        // What is being written is answered soon.
        if self.writing.is_some() || self.puts_back(now) || self.plan.is_some() {
            return;
        }
        let Some(entry) = self.entry.as_ref().filter(|_| self.lock.is_held()) else { return };
        let facts = Facts { now, entry, seen: &self.seen, errant: self.repairs.errant() };
        let is_seen = |(rule, _): &(&Rule, Problem)| !self.mutants.breaks(Mutant::Blind(rule.code));
        let found: Vec<(&'static Rule, Problem)> = analyse(&facts).filter(is_seen).collect();
        let before = core::mem::take(&mut self.problems);
        for (_, problem) in &found {
            let since = before.get(problem).copied();
            if since.is_none() {
                self.counters.found(problem.code);
                self.news(News::Found(problem.clone()));
            }
            self.problems.insert(problem.clone(), since.unwrap_or(now));
        }
        let confirmed = found.into_iter().filter(|(rule, problem)| now >= self.problems[problem] + rule.confirm);
        let confirmed: Vec<_> = confirmed.collect();
        if let Some((rule, _)) = confirmed.iter().find(|(rule, _)| rule.remedy == Remedy::Reparent)
            && !self.hesitates()
        {
            return self.begin(now, Analysis::Found(rule.code), &Cause::Emergency);
        }
        if self.mutants.breaks(Mutant::TrustSilence) && self.is_wrong(Code::UnreachablePrimary) {
            return self.begin(now, Analysis::Found(Code::UnreachablePrimary), &Cause::Emergency);
        }
        if self.mutants.breaks(Mutant::RepairInOrder) && self.is_wrong(Code::LockedSemiSyncPrimary) {
            return;
        }
        self.put_right(now, &confirmed);
        if self.handover.is_none() {
            self.rebuild(now, &confirmed);
            self.relieve(now, &confirmed);
            self.hand_over(now);
            self.take_out(now);
            self.change_policy(now);
        }
    }

    /// Orders of a repair and of a change would take each other's place: while one is prepared, that one alone is put right which it waits for.
    fn put_right(&mut self, now: Instant, confirmed: &[(&'static Rule, Problem)]) {
        let leaves = self.mutants.breaks(Mutant::LeaveSuccessor);
        let handover = self.handover.as_ref();
        let may = |tablet| handover.is_none_or(|handover| handover.waits_for(tablet) && !leaves);
        let Some(entry) = &self.entry else { return };
        for (rule, problem) in confirmed.iter().filter(|(_, problem)| may(&problem.tablet)) {
            self.repairs.put_right(now, entry, &self.seen, rule.remedy, problem.tablet.clone());
        }
    }

    fn is_wrong(&self, code: Code) -> bool {
        self.problems.keys().any(|problem| problem.code == code)
    }

    /// A repair that was made lately comes first, as broken rules have it.
    fn hesitates(&self) -> bool {
        self.mutants.breaks(Mutant::CoolDown) && self.repairs.has_repaired()
    }

    /// Somebody wants another primary, and nothing more urgent is wrong.
    fn hand_over(&mut self, now: Instant) {
        let Some(entry) = &self.entry else { return };
        let current = entry.record.reigns.last().map(|reign| &reign.primary);
        let may = |to: &TabletAlias| entry.cohort.tablets.contains(to) && entry.may_lead(to);
        match self.wanted.take().filter(|to| Some(to) != current && may(to)) {
            Some(to) if entry.record.step == Step::Settled => {
                let Some(reign) = entry.record.reigns.last() else { return };
                let slowly = repairs::lead(entry, reign, true);
                self.handover = Some(Handover::new(now, reign.primary.clone(), slowly, to, self.drain_time));
            }
            _ => {}
        }
    }

    fn handover_wants(&mut self, now: Instant, output: handover::Output) {
        let Some(term) = self.entry.as_ref().map(|entry| entry.record.term) else { return };
        match output {
            handover::Output::Order { tablet, number, order } => {
                self.order(tablet, term, order, Purpose::Handover(number));
            }
            handover::Output::Ended(outcome) => {
                let Some(to) = self.handover.take().map(|handover| handover.to().clone()) else { return };
                let Err(why) = outcome else { return self.begin(now, Analysis::Planned, &Cause::Planned(to)) };
                self.counters.declined();
                self.declined_at = Some(now);
                let is_led = self.entry.as_ref().is_some_and(|entry| entry.is_led_by(&to));
                match self.policy.take_if(|_| is_led) {
                    Some(policy) => self.news(News::NotChanged(policy, PolicyObstacle::Handover(why))),
                    None => self.news(News::NotHandedOver(to, why)),
                }
            }
        }
    }

    fn repair_wants(&mut self, output: repairs::Output) {
        let repairs::Output { tablet, term, order, errand } = output;
        let purpose = match errand {
            // While a term is being settled, who follows is of interest to the plan.
            Errand::Obey { tablet } if self.plan.is_some() => Purpose::Plan { tablet, term, to: Asked::Follow },
            errand => Purpose::Repair(errand),
        };
        self.order(tablet, term, order, purpose);
    }

    // Orders.

    fn order(&mut self, tablet: TabletAlias, term: u64, order: Order, purpose: Purpose) {
        self.orders += 1;
        let id = self.orders;
        self.pending.insert(id, purpose);
        if self.pending.len() > PENDING_MAX {
            self.pending.pop_first();
        }
        self.outputs.push_back(Output::Order { tablet, id, term, order });
    }

    fn answered(&mut self, now: Instant, id: u64, outcome: Result<Report, Refusal>) {
        let Some(purpose) = self.pending.remove(&id) else { return };
        match (purpose, outcome) {
            (Purpose::Plan { tablet, to: Asked::Follow, .. }, Err(Refusal::Errant(extra))) => {
                self.repairs.judge(self.entry.as_ref(), tablet, extra);
            }
            (Purpose::Plan { tablet, term, to }, outcome) => {
                if to == Asked::Follow && outcome.is_ok() {
                    self.repairs.obeyed(&tablet);
                }
                if let Some(plan) = &mut self.plan {
                    plan.handle(now, recovery::Input::Answered { tablet, term, to, outcome });
                }
            }
            (Purpose::Handover(number), outcome) => {
                if let Some(handover) = &mut self.handover {
                    handover.answered(now, number, outcome);
                }
            }
            (Purpose::Repair(errand), outcome) => self.repairs.answered(self.entry.as_ref(), errand, outcome),
            (Purpose::Rebuild { tablet, restores }, outcome) => self.rebuild_answered(tablet, restores, &outcome),
        }
    }

    fn news(&mut self, news: News) {
        self.outputs.push_back(Output::News(news));
    }
}

impl Recorded for Orchestrator {
    const KIND: &'static str = "orchestrator";
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }
}
