//! What becomes of what tablets and topology say.

use super::*;
use crate::gtid::Position;
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
        load: Load::default(),
        version: None,
    }
}

struct Bench {
    cluster: Cluster,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let config = Config { cell: Some("zone1".parse().expect("a cell")), ..Config::default() };
        let mut bench = Self { cluster: Cluster::new(config), now: Instant::ZERO + Duration::from_secs(100) };
        for id in [A, B] {
            bench.feed(Input::TabletAdded { id, alias: alias(id), weight: 100 });
        }
        bench
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        self.cluster.handle(self.now, input);
        std::iter::from_fn(|| self.cluster.poll_output()).collect()
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
            cluster.handle(Instant::ZERO, Input::TabletAdded { id, alias: alias(id), weight: 1 });
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
            cluster.handle(Instant::ZERO, input);
            let primaries = cluster.view().tablets().iter().filter(|tablet| tablet.role == Role::Primary);
            let terms: Vec<u64> = primaries.map(|tablet| tablet.term).collect();
            prop_assert!(terms.is_empty() || terms == [newest], "{terms:?}, newest {newest}");
        }
    }
}
