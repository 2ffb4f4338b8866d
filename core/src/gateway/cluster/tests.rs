//! What becomes of what tablets and topology say.

use super::*;
use crate::gateway::balance::{Chooser, Wish, pick};
use crate::gtid::Position;
use crate::recording::Recorded;
use crate::topo::{Load, Shard, Target};
use proptest::prelude::*;

const A: TabletId = TabletId(1);
const B: TabletId = TabletId(2);

fn alias(id: TabletId) -> TabletAlias {
    format!("zone{}-{}", id.0, id.0).parse().expect("an alias")
}

fn record(id: TabletId, role: Role, term: u64) -> Health {
    let keyspace = "shop".parse().expect("a keyspace");
    Health {
        tablet: alias(id),
        target: Target { keyspace, shard: Shard::unsharded(), role },
        term,
        not_serving: None,
        position: Position::mariadb(0, 1, 7),
        position_age: Duration::from_secs(1),
        lag: Some(Duration::ZERO),
        beat: None,
        in_group: false,
        load: Load::default(),
        version: None,
    }
}

/// What comes of an input; and of one that was written down before it the same comes, always.
fn decide(cluster: &mut Cluster, now: Instant, input: Input) -> Vec<Output> {
    let text = serde_json::to_string(cluster).expect("it can be written");
    let mut twin: Cluster = serde_json::from_str(&text).expect("it can be read");
    assert_eq!((twin.view(), twin.poll_timeout()), (cluster.view(), cluster.poll_timeout()));
    let decided = Recorded::decide(cluster, now, input.clone());
    assert_eq!(Recorded::decide(&mut twin, now, input), decided);
    assert_eq!((twin.view(), twin.poll_timeout()), (cluster.view(), cluster.poll_timeout()));
    decided
}

struct Bench {
    cluster: Cluster,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::within(Rules::default())
    }

    fn within(rules: Rules) -> Self {
        let config = Config { cell: Some("zone1".parse().expect("a cell")), rules, ..Config::default() };
        let mut bench = Self { cluster: Cluster::new(config), now: Instant::ZERO + Duration::from_secs(100) };
        for id in [A, B] {
            bench.feed(Input::TabletAdded { id, alias: alias(id), weight: 100 });
        }
        bench
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        decide(&mut self.cluster, self.now, input)
    }

    fn hear(&mut self, id: TabletId, role: Role, term: u64) -> Vec<Output> {
        self.feed(Input::Health(id, record(id, role, term)))
    }

    fn roles(&self) -> Vec<Role> {
        self.cluster.view().tablets().iter().map(|tablet| tablet.role).collect()
    }
}

#[test]
fn a_tablet_is_seen_but_does_not_serve_until_it_is_heard() {
    let mut bench = Bench::new();
    assert_eq!(bench.cluster.view().tablets()[0].serving, Serving::Unheard);
    assert_eq!(bench.hear(A, Role::Replica, 1).len(), 1);
    let tablet = bench.cluster.view().get(A).expect("it was added").clone();
    assert!(tablet.serving.is_yes() && tablet.is_local);
    assert_eq!(tablet.observed_at, bench.now.before(Duration::from_secs(1)));
    assert!(!bench.cluster.view().get(B).expect("it was added").is_local);
}

#[test]
fn a_view_is_put_out_only_when_something_changed() {
    let mut bench = Bench::new();
    assert_eq!(bench.hear(A, Role::Replica, 1).len(), 1);
    let before = Arc::clone(bench.cluster.view());
    assert_eq!(bench.hear(A, Role::Replica, 1), []);
    assert_eq!(bench.feed(Input::Timeout), []);
    assert!(Arc::ptr_eq(&before, bench.cluster.view()));
}

#[test]
fn a_silent_tablet_is_taken_out_and_comes_back_when_it_speaks() {
    let mut bench = Bench::new();
    bench.hear(A, Role::Replica, 1);
    bench.now = bench.cluster.poll_timeout().expect("it may fall silent");
    let outputs = bench.feed(Input::Timeout);
    assert_eq!(outputs.len(), 1);
    assert_eq!(bench.cluster.view().get(A).expect("known").serving, Serving::Silent);
    assert_eq!(bench.cluster.poll_timeout(), None);
    bench.hear(A, Role::Replica, 1);
    assert!(bench.cluster.view().get(A).expect("known").serving.is_yes());
}

#[test]
fn a_primary_of_an_older_term_is_none() {
    let mut bench = Bench::new();
    bench.hear(A, Role::Primary, 4);
    assert_eq!(bench.cluster.view().primary().map(|tablet| tablet.id), Some(A));
    bench.hear(B, Role::Primary, 5);
    assert_eq!(bench.roles(), [Role::Unknown, Role::Primary]);
    bench.hear(A, Role::Replica, 5);
    assert_eq!(bench.roles(), [Role::Replica, Role::Primary]);
}

#[test]
fn two_primaries_of_one_term_are_none() {
    let mut bench = Bench::new();
    bench.hear(A, Role::Primary, 5);
    bench.hear(B, Role::Primary, 5);
    assert_eq!(bench.cluster.view().primary(), None);
    bench.feed(Input::TabletRemoved(B));
    assert_eq!(bench.cluster.view().primary().map(|tablet| tablet.id), Some(A));
}

#[test]
fn the_topology_counts_when_it_speaks_of_a_newer_term() {
    let mut bench = Bench::new();
    bench.hear(A, Role::Primary, 4);
    bench.hear(B, Role::Replica, 4);
    bench.feed(Input::RoleAssigned { id: B, role: Role::Primary, term: 5 });
    assert_eq!(bench.roles(), [Role::Unknown, Role::Primary]);
    bench.hear(B, Role::Replica, 5);
    assert_eq!(bench.roles(), [Role::Unknown, Role::Replica], "it knows the term, and is not ready");
    bench.hear(B, Role::Primary, 5);
    assert_eq!(bench.roles(), [Role::Unknown, Role::Primary]);
    bench.feed(Input::RoleAssigned { id: B, role: Role::Replica, term: 4 });
    assert_eq!(bench.roles(), [Role::Unknown, Role::Primary], "yesterday's news");
}

#[test]
fn a_record_that_came_late_does_not_bring_an_old_term_back() {
    let mut bench = Bench::new();
    bench.hear(A, Role::Replica, 5);
    assert_eq!(bench.hear(A, Role::Primary, 4), []);
    assert_eq!(bench.roles()[0], Role::Replica);
}

#[test]
fn a_removed_tablet_is_not_heard() {
    let mut bench = Bench::new();
    bench.feed(Input::TabletRemoved(A));
    assert_eq!(bench.hear(A, Role::Primary, 9), []);
    assert_eq!(bench.cluster.view().tablets().len(), 1);
}

#[test]
fn there_is_a_limit_to_tablets() {
    let mut bench = Bench::new();
    for id in (3..).map(TabletId).take(TABLETS_MAX - 2) {
        bench.feed(Input::TabletAdded { id, alias: alias(id), weight: 1 });
    }
    let one_more = TabletId(9999);
    let outputs = bench.feed(Input::TabletAdded { id: one_more, alias: alias(one_more), weight: 1 });
    assert_eq!(outputs, [Output::TooManyTablets(one_more)]);
    assert_eq!(bench.cluster.view().tablets().len(), TABLETS_MAX);
}

proptest! {
    #[test]
    fn there_is_never_more_than_one_primary_and_it_has_the_newest_term(
        events in prop::collection::vec((0u32..4, 0u8..3, 0u64..4, any::<bool>()), 1..60)
    ) {
        let mut cluster = Cluster::new(Config::default());
        for id in (0..4).map(TabletId) {
            decide(&mut cluster, Instant::ZERO, Input::TabletAdded { id, alias: alias(id), weight: 1 });
        }
        let mut newest = 0;
        for (id, role, term, told) in events {
            let id = TabletId(id);
            let role = [Role::Primary, Role::Replica, Role::Unknown][usize::from(role)];
            newest = newest.max(term);
            let input = match told {
                true => Input::Health(id, record(id, role, term)),
                false => Input::RoleAssigned { id, role, term },
            };
            decide(&mut cluster, Instant::ZERO, input);
            let primaries = cluster.view().tablets().iter().filter(|tablet| tablet.role == Role::Primary);
            let terms: Vec<u64> = primaries.map(|tablet| tablet.term).collect();
            prop_assert!(terms.is_empty() || terms == [newest], "{terms:?}, newest {newest}");
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A primary and a replica, in a shard whose replicas may be 10 seconds behind.
struct Beating {
    bench: Bench,
    beat: u64,
    /// What the replica has.
    applied: u64,
    reckoned: Option<Duration>,
}

impl Beating {
    fn new() -> Self {
        let bench = Bench::within(Rules { max_replication_lag: Some(SECOND * 10), ..Rules::default() });
        let mut beating = Self { bench, beat: 100, applied: 100, reckoned: Some(SECOND * 7) };
        beating.tell();
        beating
    }

    fn tell(&mut self) {
        let position_age = Duration::ZERO;
        let primary = Health { beat: Some(self.beat), lag: None, position_age, ..record(A, Role::Primary, 1) };
        let lag = self.reckoned;
        let replica = Health { beat: Some(self.applied), lag, position_age, ..record(B, Role::Replica, 1) };
        self.bench.feed(Input::Health(A, primary));
        self.bench.feed(Input::Health(B, replica));
    }

    /// A second passes, in which both may get on.
    fn tick(&mut self, beats: u64, applies: u64) -> &TabletView {
        self.bench.now += SECOND;
        self.beat += beats;
        self.applied = (self.applied + applies).min(self.beat);
        self.tell();
        self.bench.cluster.view().get(B).expect("it was added")
    }
}

#[test]
fn a_replica_whose_applier_stands_still_is_later_and_later_and_returns_when_it_has_caught_up() {
    let mut beating = Beating::new();
    for _ in 0..5 {
        let replica = beating.tick(1, 1);
        assert_eq!((replica.lag, replica.lag_by), (Some(Duration::ZERO), LagBy::Heartbeat));
    }
    for behind in 0..20 {
        let replica = beating.tick(1, 0);
        assert_eq!(replica.lag, Some(SECOND * behind));
        assert_eq!(replica.rotation == Rotation::Late, behind > 10, "{behind} s");
    }
    let mut next = || {
        let seen = beating.tick(1, 3);
        (seen.lag, seen.rotation)
    };
    let caught_up: Vec<_> = (0..12).map(|_| next()).collect();
    let returned = caught_up.iter().position(|(_, rotation)| *rotation != Rotation::Late).expect("it returns");
    assert!(caught_up[returned - 1].0 > Some(SECOND * 5) && caught_up[returned].0 <= Some(SECOND * 5), "{caught_up:?}");
    assert!(matches!(caught_up[returned].1, Rotation::WarmingUp { .. }));
}

#[test]
fn without_heartbeats_the_servers_own_reckoning_counts_again() {
    let mut beating = Beating::new();
    let told: Vec<_> = (0..15).map(|_| beating.tick(0, 0).lag_by).collect();
    assert_eq!(told.iter().filter(|by| **by == LagBy::Heartbeat).count(), 9, "until the timeout: {told:?}");
    assert_eq!(beating.tick(0, 0).lag, Some(SECOND * 7));
    assert_eq!(beating.tick(1, 1).lag_by, LagBy::Heartbeat);
}

#[test]
fn of_a_primary_that_is_gone_no_heartbeat_is_expected() {
    let mut beating = Beating::new();
    beating.tick(1, 1);
    let replica = Health { beat: Some(beating.applied), lag: None, ..record(B, Role::Replica, 1) };
    for _ in 0..30 {
        beating.bench.now += SECOND;
        beating.bench.feed(Input::Health(B, replica.clone()));
    }
    let seen = beating.bench.cluster.view().get(B).expect("it was added");
    assert_eq!((seen.lag, seen.rotation), (Some(Duration::ZERO), Rotation::In), "it has all there is");
}

#[test]
fn one_of_two_replicas_is_ejected_and_returns_but_never_both() {
    let mut bench = Bench::new();
    bench.hear(A, Role::Replica, 1);
    bench.hear(B, Role::Replica, 1);
    let failing = Sample { requests: 9, failures: 9, ..Sample::default() };
    bench.feed(Input::Measured(vec![(A, failing), (B, failing)]));
    let takes = |bench: &Bench| bench.cluster.view().tablets().iter().map(|t| t.rotation).collect::<Vec<_>>();
    assert_eq!(takes(&bench), [Rotation::Ejected(rotation::Fault::Failing), Rotation::In]);
    let mut looks = 0;
    while takes(&bench)[0] != Rotation::In {
        bench.now = bench.cluster.poll_timeout().expect("it returns");
        bench.hear(A, Role::Replica, 1);
        bench.hear(B, Role::Replica, 1);
        bench.feed(Input::Timeout);
        looks += 1;
        assert!(looks < 50, "{:?}", takes(&bench));
    }
    assert_eq!(bench.now.since(Instant::ZERO), Duration::from_secs(115), "5 s out, 10 s to warm up");
}

#[test]
fn a_tablet_that_is_drained_gets_no_reads_and_comes_back_as_any_other() {
    let mut bench = Bench::new();
    bench.hear(A, Role::Primary, 1);
    bench.hear(B, Role::Replica, 1);
    let takes_reads = |bench: &Bench| {
        let policy = crate::gateway::balance::Policy::Random;
        let wish = Wish { role: Role::Replica, policy, stick: Some(B), position: None, exclude: &[], now: bench.now };
        let picked = pick(bench.cluster.view(), &wish, &mut Chooser::new(1));
        picked.is_ok_and(|pick| pick.tablet == B)
    };
    assert!(takes_reads(&bench));
    bench.feed(Input::Drained(B, true));
    assert!(!takes_reads(&bench));
    assert_eq!(bench.cluster.view().tablets()[1].rotation, Rotation::Drained);
    bench.feed(Input::Drained(B, false));
    assert!(takes_reads(&bench));
    assert!(matches!(bench.cluster.view().tablets()[1].rotation, Rotation::WarmingUp { .. }));
}
