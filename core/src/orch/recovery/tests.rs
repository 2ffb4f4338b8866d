//! Plans against tablets with their own machines: messages are lost, late and twice, tablets and orchestrators die.

use super::super::lock::Entry;
use super::*;
use crate::rng::Rng;
use crate::tablet::orders::{self, Action, Orders, Promise, Status};
use std::collections::BTreeSet;

/// Who wrote a transaction, and its number there.
type Write = (u32, u64);

fn alias(uid: u32) -> TabletAlias {
    format!("a-{uid}").parse().expect("an alias")
}

fn position(writes: &[Write]) -> Position {
    let mut all = Position::default();
    for (uid, seq) in writes {
        let mut uuid = [0; 16];
        uuid[15] = *uid as u8;
        all.merge(&Position::mysql(crate::gtid::mysql::Source::new(uuid), *seq)).expect("few writes");
    }
    all
}

/// A server and its tablet.
struct Node {
    disk: Promise,
    machine: Orders,
    log: Vec<Write>,
    /// Of the log, how much is applied; the rest is in the relay log.
    applied: usize,
    server: Status,
    written: u64,
    /// The term in which it was opened to clients last.
    reign: u64,
    dead: bool,
    /// Its tablet is gone, and its server goes on.
    asleep: bool,
}

enum Message {
    Order(TabletAlias, u64, Asked, Order, u64),
    Answer(u64, TabletAlias, u64, Asked, Result<Report, Refusal>),
}

/// One shard, its topology, and orchestrators of which some may think that they hold the lock.
struct Shard {
    rng: Rng,
    now: Instant,
    mutants: Mutants,
    cohort: Cohort,
    nodes: BTreeMap<TabletAlias, Node>,
    stored: (u64, Record),
    /// With the revision that each has read, its number, and the policy that it writes.
    plans: Vec<(u64, u64, Policy, Recovery)>,
    begun: u64,
    /// Somebody wants another policy now and then.
    changes_policy: bool,
    settled_under: BTreeSet<Policy>,
    mail: Vec<Message>,
    asked: BTreeMap<u64, (u64, TabletAlias, u64, Asked)>,
    orders: u64,
    acknowledged: Vec<Write>,
    /// Who has acknowledged in which term.
    reigned: BTreeSet<(u64, TabletAlias)>,
    broken: Option<String>,
    ends: Vec<End>,
}

impl Shard {
    /// A shard whose first tablet is primary in term 1.
    fn new(seed: u64, size: u32, policy: Policy, mutants: Mutants) -> Self {
        let tablets: Tablets = (1..=size).map(alias).collect();
        let disk = Promise::of_the_first_term();
        let node = |tablet: &TabletAlias| {
            let leads = *tablet == alias(1);
            let server = Status {
                read_only: !leads,
                source: (!leads).then(|| alias(1)),
                receiver_running: !leads,
                receiver_connected: !leads,
                applier_running: true,
                acknowledges: !leads,
                acks: if leads { policy.acks() } else { 0 },
                ..Status::default()
            };
            let machine = Orders::new(disk.clone(), None, mutants);
            (
                tablet.clone(),
                Node {
                    disk: disk.clone(),
                    machine,
                    log: vec![],
                    applied: 0,
                    server,
                    written: 0,
                    reign: 1,
                    dead: false,
                    asleep: false,
                },
            )
        };
        let nodes = tablets.iter().map(node).collect();
        let record = Record {
            term: 1,
            reigns: vec![Reign { term: 1, primary: alias(1), begins_at: Position::default(), under: None }],
            step: Step::Settled,
        };
        Self {
            rng: Rng::new(seed),
            now: Instant::ZERO,
            mutants,
            cohort: Cohort { tablets, policy, promotion: BTreeMap::new() },
            nodes,
            stored: (1, record),
            plans: Vec::new(),
            begun: 0,
            changes_policy: false,
            settled_under: BTreeSet::new(),
            mail: Vec::new(),
            asked: BTreeMap::new(),
            orders: 0,
            acknowledged: Vec::new(),
            reigned: BTreeSet::new(),
            broken: None,
            ends: Vec::new(),
        }
    }

    fn any(&mut self) -> TabletAlias {
        let at = self.rng.index(self.nodes.len());
        self.nodes.keys().nth(at).expect("an index in range").clone()
    }

    /// A new orchestrator takes the lock; those before it do not know yet.
    fn begin(&mut self, cause: &Cause) {
        self.begin_under(self.cohort.policy, cause);
    }

    /// The same, with another policy from the new term on.
    fn begin_under(&mut self, policy: Policy, cause: &Cause) {
        self.begun += 1;
        let mut entry = Entry::new(self.cohort.clone(), self.stored.1.clone());
        if policy != self.cohort.policy {
            entry = entry.under(policy, self.mutants);
        }
        let plan = Recovery::new(self.now, entry.record, entry.cohort, cause, self.mutants);
        self.plans.push((self.begun, self.stored.0, policy, plan));
    }

    fn drain_plans(&mut self) {
        let mut plans = core::mem::take(&mut self.plans);
        for (id, revision, policy, plan) in &mut plans {
            while let Some(output) = plan.poll_output() {
                match output {
                    Output::Record(record) => {
                        let written = self.stored.0 == *revision;
                        if written {
                            if record.step == Step::Settled {
                                assert!(record.reigns.iter().all(|reign| reign.under.is_none()), "one policy is left");
                                self.settled_under.insert(*policy);
                            }
                            *revision += 1;
                            (self.stored, self.cohort.policy) = ((*revision, record), *policy);
                        }
                        plan.handle(self.now, Input::Recorded(written));
                    }
                    Output::Order { tablet, term, asked, order } => {
                        self.mail.push(Message::Order(tablet, term, asked, order, *id));
                    }
                    Output::Ended(end) => self.ends.push(end),
                    Output::Undecided(_) => {}
                }
            }
        }
        plans.append(&mut self.plans);
        self.plans = plans;
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Order(tablet, term, asked, order, plan) => {
                self.orders += 1;
                let id = self.orders;
                self.asked.insert(id, (plan, tablet.clone(), term, asked));
                let now = self.now;
                if let Some(node) = self.nodes.get_mut(&tablet).filter(|node| !node.dead && !node.asleep) {
                    node.machine.handle(now, orders::Input::Order { id, term, order });
                }
            }
            Message::Answer(id, tablet, term, to, outcome) => {
                if let Some((.., plan)) = self.plans.iter_mut().find(|(plan, ..)| *plan == id) {
                    plan.handle(self.now, Input::Answered { tablet, term, to, outcome });
                }
            }
        }
    }

    /// A tablet does one thing that its machine wants.
    fn work(&mut self, tablet: &TabletAlias) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(tablet).filter(|node| !node.dead && !node.asleep) else { return };
        node.machine.handle(now, orders::Input::Timeout);
        let input = match node.machine.poll_output() {
            None | Some(orders::Output::State(_) | orders::Output::Copy { .. }) => return,
            Some(orders::Output::Persist(promise)) => {
                node.disk = promise;
                orders::Input::Persisted
            }
            Some(orders::Output::Look) => {
                node.server.executed = position(&node.log[..node.applied]);
                node.server.received = position(&node.log);
                orders::Input::Looked(node.server.clone())
            }
            Some(orders::Output::Act(action)) => {
                node.act(&action);
                orders::Input::Acted(Ok(()))
            }
            Some(orders::Output::Answer { id, outcome }) => {
                if let Some((plan, tablet, term, asked)) = self.asked.remove(&id) {
                    self.mail.push(Message::Answer(plan, tablet, term, asked, outcome));
                }
                return;
            }
        };
        node.machine.handle(now, input);
    }

    /// A client writes to a server, knowing nothing of terms; some replicas get it.
    fn write(&mut self, primary: &TabletAlias) {
        let node = &self.nodes[primary];
        if node.dead || node.server.read_only {
            return;
        }
        let (term, acks) = (node.reign, node.server.acks);
        let node = self.nodes.get_mut(primary).expect("it is there");
        node.written += 1;
        let write = (primary.uid, node.written);
        node.log.push(write);
        node.applied = node.log.len();
        let replicas: Vec<_> = self.cohort.tablets.iter().filter(|tablet| *tablet != primary).cloned().collect();
        let mut ackers = Tablets::new();
        for replica in replicas {
            let share = self.rng.index(8);
            self.replicate(&replica, share);
            let node = &self.nodes[&replica];
            if node.server.acknowledges && node.server.source.as_ref() == Some(primary) && node.log.contains(&write) {
                ackers.insert(replica);
            }
        }
        if ackers.len() >= acks as usize {
            self.acknowledged.push(write);
            self.reigned.insert((term, primary.clone()));
            let primaries = self.reigned.iter().filter(|(of, _)| *of == term).count();
            if primaries > 1 {
                self.broken = Some(format!("{primaries} primaries in term {term}"));
            }
        }
    }

    /// A replica receives up to `count` transactions in the order of its source's log.
    fn replicate(&mut self, replica: &TabletAlias, count: usize) {
        let node = &self.nodes[replica];
        let Some(source) = node.server.source.clone().filter(|_| node.server.receiver_running && !node.dead) else {
            return;
        };
        let source = &self.nodes[&source];
        if source.dead {
            return;
        }
        let new: Vec<_> =
            source.log[..source.applied].iter().filter(|w| !node.log.contains(w)).take(count).copied().collect();
        let node = self.nodes.get_mut(replica).expect("it is there");
        node.log.extend(new);
    }

    /// A server applies some of what it has received, whether it still receives or not.
    fn apply(&mut self, tablet: &TabletAlias) {
        let Some(node) = self.nodes.get_mut(tablet).filter(|node| !node.dead) else { return };
        let unapplied = node.log.len() - node.applied;
        node.applied += self.rng.index(unapplied + 1);
    }

    /// Its server and tablet die and start again.
    fn restart(&mut self, tablet: &TabletAlias) {
        let mutants = self.mutants;
        let Some(node) = self.nodes.get_mut(tablet) else { return };
        node.log.truncate(node.applied);
        node.server.incarnation += 1;
        (node.server.read_only, node.server.receiver_running, node.server.receiver_connected) = (true, false, false);
        node.machine = Orders::new(node.disk.clone(), None, mutants);
        (node.dead, node.asleep) = (false, false);
    }

    /// A tablet falls asleep, or starts again.
    fn doze(&mut self, tablet: &TabletAlias) {
        let mutants = self.mutants;
        let Some(node) = self.nodes.get_mut(tablet) else { return };
        node.machine = Orders::new(node.disk.clone(), None, mutants);
        node.asleep = !node.asleep;
    }

    /// One random event.
    fn step(&mut self, trouble: bool) {
        self.now += Duration::from_millis(self.rng.below(40));
        match self.rng.below(if trouble { 20 } else { 12 }) {
            0..4 => {
                let tablet = self.any();
                (0..3).for_each(|_| self.work(&tablet));
            }
            4..8 if !self.mail.is_empty() => {
                let at = self.rng.index(self.mail.len());
                let message = self.mail.swap_remove(at);
                if !trouble || self.rng.chance(0.9) {
                    self.deliver(message);
                }
            }
            8 | 9 => {
                let tablet = self.any();
                self.replicate(&tablet, 3);
                self.apply(&tablet);
            }
            10 | 11 => {
                let now = self.now;
                let due = |plan: &Recovery| plan.poll_timeout().is_some_and(|at| at <= now);
                self.plans
                    .iter_mut()
                    .filter(|(.., plan)| due(plan))
                    .for_each(|(.., plan)| plan.handle(now, Input::Timeout));
            }
            12..16 => {
                let tablet = self.any();
                self.write(&tablet);
            }
            16 if self.rng.chance(0.1) => {
                let cause = if self.rng.chance(0.5) { Cause::Emergency } else { Cause::Planned(self.any()) };
                let changes = self.changes_policy && self.stored.1.step == Step::Settled && self.rng.chance(0.5);
                let policy = if changes { any_policy(&mut self.rng) } else { self.cohort.policy };
                self.begin_under(policy, &cause);
            }
            17 if !self.plans.is_empty() && self.rng.chance(0.05) => {
                let at = self.rng.index(self.plans.len());
                self.plans.remove(at);
            }
            18 if self.rng.chance(0.05) => {
                let tablet = self.any();
                self.restart(&tablet);
            }
            19 if self.rng.chance(0.05) => {
                let tablet = self.any();
                self.doze(&tablet);
            }
            _ => {}
        }
        self.drain_plans();
        self.check();
    }

    /// Whoever is primary of the settled term has every acknowledged write.
    fn check(&mut self) {
        if let (Step::Settled, Some(reign)) = (&self.stored.1.step, self.stored.1.reigns.last()) {
            let log = &self.nodes[&reign.primary].log;
            if let Some(lost) = self.acknowledged.iter().find(|write| !log.contains(write)) {
                self.broken = Some(format!("{lost:?} is lost in term {}", reign.term));
            }
        }
    }
}

impl Node {
    fn act(&mut self, action: &Action) {
        let server = &mut self.server;
        match action {
            Action::Fence | Action::Rest => server.read_only = true,
            Action::Slow(slowly) => server.slowed = *slowly,
            Action::Open => (server.read_only, self.reign) = (false, self.disk.promised),
            Action::StopReceiver => (server.receiver_running, server.receiver_connected) = (false, false),
            Action::StartApplier => self.applied = self.log.len(),
            Action::Detach => server.source = None,
            Action::WaitForAcks(acks) => server.acks = *acks,
            Action::Acknowledge(on) => server.acknowledges = *on,
            Action::Follow { source } => {
                server.source = Some(source.clone());
                (server.receiver_running, server.receiver_connected) = (true, true);
                self.log.truncate(self.applied);
            }
            Action::StartReplication => (server.receiver_running, server.receiver_connected) = (true, true),
            Action::Restore => unreachable!("nobody is rebuilt here"),
        }
    }
}

fn any_policy(rng: &mut Rng) -> Policy {
    Policy::SemiSync { acks: 1 + rng.below(3) as u32 }
}

const SEMI_SYNC: Policy = Policy::SemiSync { acks: 1 };

/// What breaks within a seed's run of random events.
fn chaos(seed: u64, size: u32, policy: Policy, mutants: Mutants) -> Result<Shard, String> {
    run(Shard::new(seed, size, policy, mutants))
}

/// The same, while somebody wants another policy now and then: from the least strict to the strictest, and back.
fn chaos_of_policies(seed: u64, mutants: Mutants) -> Result<Shard, String> {
    let mut shard = Shard::new(seed, 4 + (seed % 2) as u32, SEMI_SYNC, mutants);
    shard.changes_policy = true;
    run(shard)
}

fn run(mut shard: Shard) -> Result<Shard, String> {
    for _ in 0..4_000 {
        shard.step(true);
        if let Some(broken) = shard.broken.take() {
            return Err(broken);
        }
    }
    Ok(shard)
}

#[test]
fn no_acknowledged_write_is_lost_and_no_term_has_two_primaries() {
    let (mut acknowledged, mut terms) = (0, 0);
    for seed in 0..150 {
        let (size, acks) = ([3, 4, 5][seed as usize % 3], 1 + (seed as u32 / 3) % 2);
        let shard = chaos(seed, size, Policy::SemiSync { acks }, Mutants::NONE)
            .unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        acknowledged += shard.acknowledged.len();
        terms += shard.ends.iter().filter(|end| matches!(end, End::Settled(_))).count();
    }
    assert!(acknowledged > 1_000 && terms > 50, "{acknowledged} writes, {terms} terms: nothing was tried");
}

#[test]
fn the_policy_none_loses_writes_so_the_check_is_alive() {
    assert!((0..100).any(|seed| chaos(seed, 3, Policy::None, Mutants::NONE).is_err()));
}

#[test]
fn no_acknowledged_write_is_lost_when_policies_change() {
    let (mut acknowledged, mut settled) = (0, BTreeSet::new());
    for seed in 0..300 {
        let mut shard = chaos_of_policies(seed, Mutants::NONE).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        acknowledged += shard.acknowledged.len();
        settled.append(&mut shard.settled_under);
    }
    assert!(acknowledged > 1_000 && settled.len() == 3, "{acknowledged} writes, {settled:?}: nothing was tried");
}

#[cfg(feature = "mutants")]
#[test]
fn who_forgets_under_which_policy_writes_were_acknowledged_loses_them() {
    let found = (0..4_000).find(|seed| chaos_of_policies(*seed, Mutants::only(Mutant::ForgetPolicy)).is_err());
    assert!(found.is_some());
}

/// From one acknowledgement to two, whoever carries it on, with the only acknowledging replica away.
#[test]
fn until_a_stricter_policy_is_in_force_the_old_one_says_who_must_be_asked() {
    for stops_at in (0..1_000).step_by(5) {
        let mut shard = Shard::new(11, 4, SEMI_SYNC, Mutants::NONE);
        (3..=4).for_each(|uid| shard.nodes.get_mut(&alias(uid)).expect("it is there").server.receiver_running = false);
        (0..20).for_each(|_| shard.write(&alias(1)));
        assert!(!shard.acknowledged.is_empty(), "the second has them");
        shard.begin_under(Policy::SemiSync { acks: 2 }, &Cause::Planned(alias(1)));
        (0..stops_at).for_each(|_| shard.step(false));
        let settled = shard.stored.1.step == Step::Settled && shard.stored.1.term > 1;
        shard.plans.clear();
        (1..=2).for_each(|uid| shard.nodes.get_mut(&alias(uid)).expect("it is there").dead = true);
        shard.begin(&Cause::Emergency);
        finish(&mut shard);
        // Two of three replicas are enough under the new policy, and have everything once the term is settled.
        let promoted = shard.stored.1.step != Step::Recruiting;
        assert_eq!((promoted, shard.broken.as_ref()), (settled, None), "after {stops_at} steps");
        if settled {
            return;
        }
    }
    panic!("the policy is changed at some time");
}

#[cfg(feature = "mutants")]
#[test]
fn every_broken_rule_is_found() {
    // With as many servers as make it show most often: in one seed of five hundred at least.
    for (mutant, servers) in [
        (Mutant::SkipIntersection, 4),
        (Mutant::SkipRecheck, 4),
        (Mutant::IgnorePromise, 4),
        (Mutant::PromoteWithoutRecruiting, 4),
        (Mutant::ForgetLoss, 3),
    ] {
        let found = (0..4_000).any(|seed| chaos(seed, servers, SEMI_SYNC, Mutants::only(mutant)).is_err());
        assert!(found, "{mutant}");
    }
}

/// Runs without trouble until the plan is at its end.
fn finish(shard: &mut Shard) -> Option<End> {
    shard.ends.clear();
    for _ in 0..20_000 {
        shard.step(false);
        if let Some(end) = shard.ends.pop() {
            return Some(end);
        }
    }
    None
}

#[test]
fn whoever_dies_at_whichever_step_is_succeeded() {
    for cause in [Cause::Emergency, Cause::Planned(alias(2))] {
        let mut whole = Shard::new(7, 3, SEMI_SYNC, Mutants::NONE);
        (0..20).for_each(|_| whole.write(&alias(1)));
        whole.begin(&cause);
        finish(&mut whole).expect("it ends");
        let steps = 1_000;
        for dies_at in (0..steps).step_by(3) {
            let mut shard = Shard::new(7, 3, SEMI_SYNC, Mutants::NONE);
            (0..20).for_each(|_| shard.write(&alias(1)));
            shard.nodes.get_mut(&alias(1)).expect("it is there").dead = cause == Cause::Emergency;
            shard.begin(&cause);
            (0..dies_at).for_each(|_| shard.step(false));
            shard.plans.clear();
            shard.begin(&Cause::Emergency);
            let end = finish(&mut shard);
            assert!(matches!(end, Some(End::Settled(_))), "{cause:?} died at {dies_at}: {end:?}");
            assert_eq!(shard.broken, None);
            assert!(!shard.acknowledged.is_empty());
        }
    }
}

#[test]
fn a_planned_change_hands_over_to_the_one_wanted() {
    let mut shard = Shard::new(3, 3, SEMI_SYNC, Mutants::NONE);
    (0..20).for_each(|_| shard.write(&alias(1)));
    shard.begin(&Cause::Planned(alias(3)));
    let Some(End::Settled(reign)) = finish(&mut shard) else { panic!("it ends") };
    assert_eq!((reign.term, reign.primary), (2, alias(3)));
    assert_eq!(shard.broken, None);
    assert!(!shard.nodes[&alias(3)].server.read_only && shard.nodes[&alias(1)].server.read_only);
}

/// An account that may write on a read-only server does so after the old primary has said where it is.
#[test]
fn what_the_wanted_one_receives_after_its_beginning_is_not_errant() {
    for steps in 0..120 {
        let mut shard = Shard::new(3, 3, SEMI_SYNC, Mutants::NONE);
        (0..20).for_each(|_| shard.write(&alias(1)));
        shard.begin(&Cause::Planned(alias(3)));
        (0..steps).for_each(|_| shard.step(false));
        let receives = |uid| {
            let server = &shard.nodes[&alias(uid)].server;
            server.receiver_running && server.source == Some(alias(1))
        };
        if shard.nodes[&alias(1)].server.read_only && receives(2) && receives(3) {
            shard.nodes.get_mut(&alias(1)).expect("it is there").server.read_only = false;
            shard.write(&alias(1));
            shard.nodes.get_mut(&alias(1)).expect("it is there").server.read_only = true;
            (2..=3).for_each(|uid| shard.replicate(&alias(uid), usize::MAX));
        }
        if shard.ends.is_empty() {
            finish(&mut shard);
        }
        assert_eq!(shard.stored.1.step, Step::Settled, "after {steps} steps");
    }
}

#[test]
fn what_only_one_has_that_must_not_be_primary_is_passed_on() {
    for seed in 0..20 {
        let mut shard = Shard::new(seed, 3, SEMI_SYNC, Mutants::NONE);
        shard.cohort.promotion.insert(alias(3), Promotion::MustNot);
        shard.nodes.get_mut(&alias(2)).expect("it is there").server.receiver_running = false;
        (0..20).for_each(|_| shard.write(&alias(1)));
        shard.nodes.get_mut(&alias(1)).expect("it is there").dead = true;
        shard.begin(&Cause::Emergency);
        let Some(End::Settled(reign)) = finish(&mut shard) else { panic!("it ends") };
        assert_eq!((reign.primary, shard.broken.as_ref()), (alias(2), None));
        assert!(!shard.acknowledged.is_empty());
    }
}

/// Its server acknowledges what the same primary writes in a term of which its tablet has not heard.
#[test]
fn what_was_acknowledged_while_a_tablet_was_asleep_is_kept() {
    for (seed, loses) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut shard = Shard::new(seed, 4, SEMI_SYNC, Mutants::NONE);
        (0..20).for_each(|_| shard.write(&alias(1)));
        shard.doze(&alias(2));
        shard.begin(&Cause::Planned(alias(1)));
        assert!(matches!(finish(&mut shard), Some(End::Settled(Reign { term: 2, .. }))));
        assert_eq!(shard.stored.1.reigns[0].primary, alias(1));
        (3..=4).for_each(|uid| shard.nodes.get_mut(&alias(uid)).expect("it is there").server.receiver_running = false);
        let before = shard.acknowledged.len();
        (0..20).for_each(|_| shard.write(&alias(1)));
        assert!(shard.acknowledged.len() > before, "nobody but the sleeper can have acknowledged");
        if loses {
            shard.restart(&alias(2));
        } else {
            shard.doze(&alias(2));
        }
        shard.plans.clear();
        shard.nodes.get_mut(&alias(1)).expect("it is there").dead = true;
        shard.begin(&Cause::Emergency);
        let end = finish(&mut shard);
        let settled = matches!(end, Some(End::Settled(_)));
        assert_eq!((settled, shard.broken.as_ref()), (!loses, None), "seed {seed}: {:?}", shard.stored.1);
    }
}

#[test]
fn without_enough_recruits_nobody_is_promoted() {
    let mut shard = Shard::new(5, 3, SEMI_SYNC, Mutants::NONE);
    for uid in [1, 2] {
        shard.nodes.get_mut(&alias(uid)).expect("it is there").dead = true;
    }
    shard.begin(&Cause::Emergency);
    assert_eq!(finish(&mut shard), None);
    assert!(shard.nodes[&alias(3)].server.read_only);
    assert_eq!(shard.stored.1.step, Step::Recruiting);
    shard.restart(&alias(1));
    assert!(matches!(finish(&mut shard), Some(End::Settled(_))));
}

/// The old primary may serve reads for as long as somebody's word lasts that its term is current, unless its tablet has promised the new
/// one, whatever its server does.
#[test]
fn a_new_term_begins_when_the_last_proof_of_the_old_one_is_over() {
    let tablets: Tablets = (1..=3).map(alias).collect();
    let cohort = Cohort { tablets, policy: Policy::SemiSync { acks: 1 }, promotion: BTreeMap::new() };
    let reign = Reign { term: 1, primary: alias(1), begins_at: Position::default(), under: None };
    let record = Record { term: 1, reigns: vec![reign], step: Step::Settled };
    let start = Instant(10_000_000_000);
    let dead = Refusal::Failed("it is gone".into());
    let cases: [(_, &[Refusal], _); 4] =
        [([2, 3], &[], true), ([2, 3], &[Refusal::Superseded], true), ([2, 3], &[dead], false), ([1, 2], &[], false)];
    for (answering, refusals, waits) in cases {
        let mut plan = Recovery::new(start, record.clone(), cohort.clone(), &Cause::Emergency, Mutants::NONE);
        plan.handle(start, Input::Recorded(true));
        let mut answered = |uid, outcome| {
            plan.handle(start, Input::Answered { tablet: alias(uid), term: 2, to: Asked::Recruit, outcome })
        };
        refusals.iter().for_each(|refusal| answered(1, Err(refusal.clone())));
        for uid in answering {
            let vouched = Some(Duration::from_millis(100));
            answered(uid, Ok(Report { promised: 2, intact: true, vouched, ..Report::default() }));
        }
        let mut promotes = |at: Instant| {
            plan.handle(at, Input::Timeout);
            let record = |output| matches!(output, Output::Record(Record { step: Step::Promoting(_), .. }));
            core::iter::from_fn(|| plan.poll_output()).any(record)
        };
        assert_eq!(promotes(start + RECRUIT_GRACE), !waits, "{refusals:?}");
        if waits {
            assert!(!promotes(start + Duration::from_millis(999)));
            assert!(promotes(start + Duration::from_millis(1000)));
        }
    }
}

/// Two acknowledgements are needed, and one replica has not been heard of: the term is not settled when its primary dies.
#[test]
fn a_new_primary_that_dies_before_its_term_is_settled_is_succeeded() {
    let tablets: Tablets = (1..=4).map(alias).collect();
    let cohort = Cohort { tablets, policy: Policy::SemiSync { acks: 2 }, promotion: BTreeMap::new() };
    let reign = |term, uid| Reign { term, primary: alias(uid), begins_at: Position::default(), under: None };
    let choice = Choice { tablet: alias(2), begins_at: Position::default(), errant: BTreeMap::new() };
    let record = Record { term: 2, reigns: vec![reign(1, 1), reign(2, 2)], step: Step::Promoting(choice) };
    let mut now = Instant(10_000_000_000);
    let mut plan = Recovery::new(now, record, cohort, &Cause::Emergency, Mutants::NONE);
    let mut told = |now, uid, to| {
        let report = Report { promised: 2, followed: 2, intact: true, ..Report::default() };
        plan.handle(now, Input::Answered { tablet: alias(uid), term: 2, to, outcome: Ok(report) });
        plan.handle(now, Input::Timeout);
        let records = core::iter::from_fn(|| plan.poll_output()).filter_map(|output| match output {
            Output::Record(record) => Some((record.term, record.reigns.len(), record.step)),
            _ => None,
        });
        records.last()
    };
    for _ in 0..40 {
        now += RETRY_INTERVAL;
        assert_eq!(told(now, 2, Asked::Lead), None, "it is there");
        assert_eq!(told(now, 3, Asked::Follow), None, "one has its beginning, and two are needed");
    }
    assert_eq!(told(now + LEAD_PATIENCE / 2, 3, Asked::Follow), None);
    let next = told(now + LEAD_PATIENCE, 3, Asked::Follow);
    assert_eq!(next, Some((3, 2, Step::Recruiting)), "both reigns must be covered");
}
