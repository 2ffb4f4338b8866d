//! Members of a group that talk over a network which loses, delays and cuts: what was decided stays, and everybody agrees.

use super::super::storage::Transaction;
use super::super::tables::Change;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use weir_core::rng::Rng;
use weir_core::time::Instant;

struct Bench {
    now: Instant,
    rng: Rng,
    config: Config,
    members: BTreeMap<u32, Member>,
    /// Servers that stand still.
    paused: BTreeSet<u32>,
    /// Nothing passes from the first to the second.
    cut: BTreeSet<(u32, u32)>,
    /// Messages under way: when they come, the order in which they were sent, from whom, to whom.
    mail: BTreeMap<(Instant, u64), (Seat, u32, Message)>,
    sent: u64,
    loss: f64,
    /// What was decided, by number: whatever a member says, all others must say as well.
    decided: BTreeMap<u64, Rc<Transaction>>,
}

impl Bench {
    fn new(seed: u64, servers: u32) -> Self {
        let all = (1..=servers).map(|id| (id, 50)).collect();
        let config = Config {
            name: [7; 16],
            servers: all,
            member_expel_timeout: EXPEL_TIMEOUT,
            unreachable_majority_timeout: None,
        };
        let mut bench = Self {
            now: Instant(1_000_000_000),
            rng: Rng::new(seed),
            config,
            members: BTreeMap::new(),
            paused: BTreeSet::new(),
            cut: BTreeSet::new(),
            mail: BTreeMap::new(),
            sent: 0,
            loss: 0.0,
            decided: BTreeMap::new(),
        };
        (1..=servers).for_each(|id| bench.start(id, Vec::new()));
        let now = bench.now;
        bench.member(1).bootstrap(now);
        bench.run(6000);
        assert!(bench.is_whole(), "{:?}", bench.member(1));
        bench
    }

    fn start(&mut self, id: u32, log: Vec<Rc<Transaction>>) {
        let me = Seat { id, start: self.now.0 };
        self.members.insert(id, Member::new(self.now, self.config.clone(), me, 0, log));
    }

    /// Kills a server and starts it again: it has what it had applied, which is some of what was decided.
    fn restart(&mut self, id: u32) {
        let member = &self.members[&id];
        let applied = self.rng.below(member.decided() + 1);
        let log = member.entries(1, applied);
        self.start(id, log);
    }

    fn member(&mut self, id: u32) -> &mut Member {
        self.members.get_mut(&id).expect("it is there")
    }

    fn is_whole(&self) -> bool {
        let newest = self.members.values().filter_map(Member::view).max_by_key(|view| view.number);
        let has_it = |member: &Member| member.view() == newest && member.state() == State::Online;
        newest.is_some_and(|view| view.seats.len() == self.members.len()) && self.members.values().all(has_it)
    }

    fn propose(&mut self, id: u32, what: &str) -> Option<u64> {
        let mut changes = vec![Change::CreateSchema(what.to_owned())];
        self.member(id).propose(&mut changes)
    }

    fn collect(&mut self) {
        let ids: Vec<u32> = self.members.keys().copied().filter(|id| !self.paused.contains(id)).collect();
        for id in ids {
            let seat = self.members[&id].seat();
            while let Some((to, message)) = self.member(id).poll_output() {
                let delay = Duration::from_millis(1 + self.rng.below(20));
                self.sent += 1;
                if !self.cut.contains(&(id, to)) && !self.rng.chance(self.loss) {
                    self.mail.insert((self.now + delay, self.sent), (seat, to, message));
                }
            }
            let member = &self.members[&id];
            for number in 1..=member.decided() {
                let Some(entry) = member.entry(number) else { continue };
                let known = self.decided.entry(number).or_insert_with(|| Rc::clone(entry));
                assert_eq!(known, entry, "transaction {number} at server {id}");
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.now += Duration::from_millis(5);
            let now = self.now;
            while let Some(((at, n), _)) = self.mail.first_key_value().filter(|((at, _), _)| *at <= now) {
                let key = (*at, *n);
                let (from, to, message) = self.mail.remove(&key).expect("it is there");
                if self.paused.contains(&to) {
                    self.mail.insert((now + Duration::from_millis(1), key.1), (from, to, message));
                    continue;
                }
                self.member(to).handle(now, from, message);
            }
            let awake: Vec<u32> = self.members.keys().copied().filter(|id| !self.paused.contains(id)).collect();
            for id in awake {
                let member = self.member(id);
                member.note_applied(member.decided());
                member.take_left();
                member.tick(now);
            }
            self.collect();
        }
    }

    fn isolate(&mut self, id: u32) {
        let others: Vec<u32> = self.members.keys().copied().filter(|other| *other != id).collect();
        self.cut.extend(others.iter().flat_map(|other| [(id, *other), (*other, id)]));
    }

    fn primary(&self) -> u32 {
        let views = self.members.values().filter_map(Member::view);
        views.max_by_key(|view| view.number).map_or(0, |view| view.primary.id)
    }
}

#[test]
fn a_transaction_is_decided_when_a_majority_has_it() {
    let mut bench = Bench::new(1, 3);
    assert_eq!(bench.propose(2, "of a secondary"), None);
    bench.isolate(1);
    assert_eq!(bench.propose(1, "unheard"), Some(1));
    bench.run(500);
    assert_eq!(bench.member(1).decided(), 0);
    bench.cut.clear();
    bench.run(500);
    assert_eq!(bench.members.values().map(Member::decided).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_primary_that_is_cut_off_is_succeeded_and_decides_nothing_alone() {
    let mut bench = Bench::new(2, 3);
    bench.propose(1, "a");
    bench.run(100);
    bench.isolate(1);
    bench.propose(1, "lost");
    bench.run(1500);
    let seat = bench.members[&2].seat();
    assert!(!bench.members[&1].has_majority());
    assert_eq!(bench.members[&1].state_of(seat), None, "unreachable");
    assert!(bench.members[&1].is_primary(), "it knows of nobody else");
    bench.run(2500);
    assert_eq!(bench.primary(), 2);
    assert_eq!(bench.propose(2, "b"), Some(2));
    bench.run(500);
    assert_eq!((bench.members[&1].decided(), bench.members[&3].decided()), (1, 2));
    bench.cut.clear();
    bench.run(5000);
    assert!(bench.is_whole());
    assert_eq!((bench.primary(), bench.members[&1].decided()), (2, 2));
}

#[test]
fn what_a_majority_may_have_is_carried_over() {
    let mut bench = Bench::new(3, 5);
    bench.propose(1, "a");
    bench.collect();
    bench.run(30);
    // Others have it; that they have reaches nobody.
    bench.isolate(1);
    bench.run(5000);
    assert_eq!((bench.primary(), bench.members[&5].decided()), (2, 1));
}

#[test]
fn a_minority_does_not_elect() {
    let mut bench = Bench::new(4, 5);
    [1, 2, 3].into_iter().for_each(|id| bench.isolate(id));
    bench.run(8000);
    assert_eq!(bench.primary(), 1);
    assert!((4..=5).all(|id| !bench.members[&id].has_majority()));
    bench.cut.clear();
    bench.run(8000);
    assert!(bench.is_whole());
}

#[test]
fn a_member_without_the_majority_leaves_where_that_is_wanted() {
    let mut bench = Bench::new(5, 3);
    bench.config.unreachable_majority_timeout = Some(Duration::from_secs(1));
    (1..=3).for_each(|id| bench.member(id).config.unreachable_majority_timeout = Some(Duration::from_secs(1)));
    bench.isolate(1);
    bench.propose(1, "rolled back");
    bench.run(2500);
    let member = bench.member(1);
    assert!(matches!(member.state(), State::Error | State::Offline) && member.view().is_none());
    assert_eq!(member.end(), 0);
    bench.cut.clear();
    bench.run(5000);
    assert!(bench.is_whole());
}

#[test]
fn the_heaviest_is_elected() {
    let mut bench = Bench::new(6, 3);
    (1..=3).for_each(|id| bench.member(id).config.servers = vec![(1, 50), (2, 50), (3, 90)]);
    bench.isolate(1);
    bench.run(5000);
    assert_eq!(bench.primary(), 3);
}

#[test]
fn under_any_faults_all_agree_and_in_the_end_the_group_is_whole() {
    for seed in 0..20 {
        let servers = 3 + 2 * (seed % 2) as u32;
        let mut bench = Bench::new(100 + seed, servers);
        let mut acknowledged = 0;
        for n in 0..12 {
            let victim = 1 + bench.rng.below(servers.into()) as u32;
            let other = 1 + bench.rng.below(servers.into()) as u32;
            bench.loss = [0.0, 0.2][bench.rng.index(2)];
            match bench.rng.below(4) {
                0 => bench.isolate(victim),
                1 => _ = bench.paused.insert(victim),
                2 => _ = bench.cut.insert((victim, other)),
                _ => bench.restart(victim),
            }
            for part in 0..10 {
                let primary = bench.primary();
                if !bench.paused.contains(&primary) {
                    bench.propose(primary, &format!("{seed}-{n}-{part}"));
                }
                let ms = bench.rng.below(400);
                bench.run(ms);
            }
            acknowledged = acknowledged.max(bench.decided.len());
            bench.cut.clear();
            bench.paused.clear();
            bench.loss = 0.0;
            bench.run(8000);
            assert!(bench.is_whole(), "seed {seed}: {:#?}", bench.members);
        }
        assert!(acknowledged > 20, "seed {seed}: {acknowledged}");
    }
}
