//! Who is chosen: by table for the rules, by number for the policies, by property for what must never be.

use super::*;
use crate::gateway::cluster::rotation::Fault;
use crate::gateway::cluster::{Rotation, Rules, Serving};
use crate::time::Instant;
use crate::topo::NotServing;
use proptest::prelude::*;
use std::collections::BTreeMap;

const REPLICA: Role = Role::Replica;

fn tablet(id: u32, role: Role) -> TabletView {
    let alias = format!("zone1-{id}").parse().expect("an alias");
    let serving = Serving::Yes;
    TabletView { role, serving, lag: Some(Duration::ZERO), ..TabletView::new(TabletId(id), alias, 100) }
}

fn at(seq: u64) -> Position {
    Position::mariadb(0, 1, seq)
}

fn replica_at(id: u32, seq: u64) -> TabletView {
    TabletView { position: at(seq), ..tablet(id, REPLICA) }
}

fn wish(role: Role) -> Wish<'static> {
    Wish { role, policy: Policy::Random, position: None, stick: None, exclude: &[], now: Instant::ZERO }
}

/// Of the first `picks` choices, how many fell on each tablet.
fn tally(view: &View, wish: &Wish<'_>, picks: u32) -> BTreeMap<u32, u32> {
    let mut chooser = Chooser::new(3);
    let mut tally = BTreeMap::new();
    for _ in 0..picks {
        let pick = pick(view, wish, &mut chooser).expect("a tablet");
        *tally.entry(pick.tablet.0).or_default() += 1;
    }
    tally
}

/// Whoever is chosen in a hundred picks.
fn chosen(view: &View, wish: &Wish<'_>) -> Vec<u32> {
    tally(view, wish, 100).into_keys().collect()
}

#[test]
fn only_a_tablet_that_has_the_role_and_serves_is_chosen() {
    let idle = TabletView { serving: Serving::No(NotServing::Unreachable), ..tablet(4, REPLICA) };
    let unweighted = TabletView { weight: 0, ..tablet(5, REPLICA) };
    let tablets = vec![
        tablet(1, Role::Primary),
        tablet(2, REPLICA),
        tablet(3, Role::RdOnly),
        idle,
        unweighted,
        tablet(6, REPLICA),
    ];
    let view = View::new(tablets, Rules::default());
    assert_eq!(chosen(&view, &wish(REPLICA)), [2, 6]);
    assert_eq!(chosen(&view, &wish(Role::RdOnly)), [3]);
    assert_eq!(chosen(&view, &wish(Role::Primary)), [1]);
    assert_eq!(chosen(&view, &Wish { exclude: &[TabletId(2)], ..wish(REPLICA) }), [6]);
}

#[test]
fn one_that_has_reached_the_position_comes_first_even_from_another_cell() {
    let local = TabletView { is_local: true, ..replica_at(1, 5) };
    let view = View::new(vec![local, replica_at(2, 9)], Rules::default());
    let mut chooser = Chooser::new(1);
    let position = at(7);
    let picked = pick(&view, &Wish { position: Some(&position), ..wish(REPLICA) }, &mut chooser).expect("a replica");
    assert_eq!(picked, Pick { tablet: TabletId(2), role: REPLICA, reached: true });
    assert_eq!(chosen(&view, &wish(REPLICA)), [1], "without a position the own cell counts");
}

#[test]
fn when_none_has_reached_it_the_read_waits_where_it_waits_least() {
    let position = at(99);
    let needs = Wish { position: Some(&position), ..wish(REPLICA) };
    let seen_at = |tablet: TabletView, seconds: u64| TabletView { observed_at: Instant(seconds), ..tablet };
    let lagging = |tablet: TabletView, lag_s: u64| TabletView { lag: Some(Duration::from_secs(lag_s)), ..tablet };
    let unknown = TabletView { lag: None, ..replica_at(3, 90) };
    for (name, tablets, expected) in [
        (
            "one had more already before the other was looked at",
            vec![(replica_at(1, 9), 2), (replica_at(2, 5), 3)],
            vec![1],
        ),
        ("looked at later, one naturally has more", vec![(replica_at(1, 9), 3), (replica_at(2, 5), 2)], vec![1, 2]),
        ("the same is the same", vec![(replica_at(1, 9), 2), (replica_at(2, 9), 2)], vec![1, 2]),
        ("less lag", vec![(lagging(replica_at(1, 9), 4), 3), (replica_at(2, 5), 2)], vec![2]),
        ("a known lag", vec![(replica_at(1, 9), 2), (unknown, 2)], vec![1]),
    ] {
        let tablets = tablets.into_iter().map(|(tablet, seconds)| seen_at(tablet, seconds)).collect();
        let view = View::new(tablets, Rules::default());
        assert_eq!(chosen(&view, &needs), expected, "{name}");
        let picked = pick(&view, &needs, &mut Chooser::new(1)).expect("a replica");
        assert!(!picked.reached, "{name}");
    }
}

#[test]
fn a_position_of_another_kind_of_server_is_never_reached() {
    let view = View::new(vec![replica_at(1, 9)], Rules::default());
    let foreign: Position = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".parse().expect("a position");
    let picked = pick(&view, &Wish { position: Some(&foreign), ..wish(REPLICA) }, &mut Chooser::new(1));
    assert!(!picked.expect("a replica").reached);
}

#[test]
fn replicas_beyond_the_lag_limit_or_of_unknown_lag_take_no_reads() {
    let rules = Rules { max_replication_lag: Some(Duration::from_secs(10)), ..Rules::default() };
    let lag = |id, lag: Option<u64>| TabletView { lag: lag.map(Duration::from_secs), ..tablet(id, REPLICA) };
    let tablets = vec![lag(1, Some(10)), lag(2, Some(11)), lag(3, None)];
    assert_eq!(chosen(&View::new(tablets.clone(), rules), &wish(REPLICA)), [1]);
    assert_eq!(chosen(&View::new(tablets, Rules::default()), &wish(REPLICA)), [1, 2, 3], "no limit");
}

#[test]
fn without_a_replica_a_read_goes_to_the_primary_or_fails_as_configured() {
    let tablets = vec![tablet(1, Role::Primary), TabletView { lag: None, ..tablet(2, REPLICA) }];
    let max_replication_lag = Some(Duration::from_secs(10));
    let rules = Rules { max_replication_lag, without_replica: WithoutReplica::UsePrimary, alone: false };
    let view = View::new(tablets.clone(), rules.clone());
    let picked = pick(&view, &wish(REPLICA), &mut Chooser::new(1)).expect("the primary");
    assert_eq!(picked, Pick { tablet: TabletId(1), role: Role::Primary, reached: true });
    let view = View::new(tablets, Rules { without_replica: WithoutReplica::Fail, ..rules });
    let error = pick(&view, &wish(REPLICA), &mut Chooser::new(1)).expect_err("configured so");
    assert_eq!(
        error.to_string(),
        "ERROR 1053 (08S01): weir-gateway: no REPLICA can take this now; zone1-0000000001 is PRIMARY; \
         zone1-0000000002 does not know how far it is behind. Nothing was executed: a retry is safe"
    );
}

#[test]
fn a_primary_that_was_tried_is_not_tried_again() {
    let view = View::new(vec![tablet(1, Role::Primary)], Rules::default());
    let tried = Wish { exclude: &[TabletId(1)], ..wish(Role::Primary) };
    let error = pick(&view, &tried, &mut Chooser::new(1)).expect_err("it was tried");
    assert!(error.to_string().contains("zone1-0000000001 has been tried"), "{error}");
}

fn weighted(weights: &[u32]) -> View {
    let of = |(id, weight): (u32, &u32)| TabletView { weight: *weight, ..tablet(id, REPLICA) };
    View::new((1..).zip(weights).map(of).collect(), Rules::default())
}

#[test]
fn random_is_even_and_follows_the_weights() {
    for (weights, expected) in [(&[100, 100][..], &[0.5, 0.5][..]), (&[300, 100, 100], &[0.6, 0.2, 0.2])] {
        for (share, count) in expected.iter().zip(tally(&weighted(weights), &wish(REPLICA), 10_000).values()) {
            let expected = 10_000.0 * share;
            assert!((f64::from(*count) - expected).abs() < 200.0, "{weights:?}: {count} for {expected}");
        }
    }
}

#[test]
fn round_robin_is_exact_over_a_cycle_and_spreads_the_turns() {
    let turns = Wish { policy: Policy::RoundRobin, ..wish(REPLICA) };
    for (weights, cycle) in [(&[7, 7][..], 2), (&[100, 100, 100], 3), (&[300, 100], 4), (&[5, 3, 1], 9), (&[9, 10], 19)]
    {
        let counts: Vec<u32> = tally(&weighted(weights), &turns, cycle * 10).into_values().collect();
        let unit = weights.iter().sum::<u32>() / cycle;
        assert_eq!(counts, weights.iter().map(|weight| weight / unit * 10).collect::<Vec<_>>(), "{weights:?}");
    }
    let view = weighted(&[500, 500]);
    let mut chooser = Chooser::new(1);
    let mut next = || pick(&view, &turns, &mut chooser).expect("a tablet").tablet;
    let (first, second) = (next(), next());
    assert_ne!(first, second);
    assert_eq!([next(), next()], [first, second]);
}

#[test]
fn sessions_begin_their_turns_apart() {
    let view = weighted(&[1, 1, 1]);
    let turns = Wish { policy: Policy::RoundRobin, ..wish(REPLICA) };
    let mut firsts = BTreeMap::<u32, u32>::new();
    for seed in 0..300 {
        let first = pick(&view, &turns, &mut Chooser::new(seed)).expect("a tablet");
        *firsts.entry(first.tablet.0).or_default() += 1;
    }
    assert!(firsts.len() == 3 && firsts.values().all(|count| (70..130).contains(count)), "{firsts:?}");
}

/// A view of replicas with these weights, on each of which so many connections are in use.
fn used(weights: &[u32], leases: &[usize]) -> (View, Vec<Leased>) {
    let view = weighted(weights);
    let counts = view.tablets().iter().zip(leases);
    let held = counts.flat_map(|(tablet, count)| (0..*count).map(|_| tablet.meter.lease())).collect();
    (view, held)
}

#[test]
fn least_connections_takes_the_least_used_for_its_weight_and_draws_among_equals() {
    for (weights, leases, expected) in [
        (&[1, 1, 1][..], [3, 2, 4], vec![2]),
        (&[1, 1, 1], [2, 5, 2], vec![1, 3]),
        (&[1, 3, 1], [2, 5, 2], vec![2]),
        (&[1, 1, 1], [2, 2, 2], vec![1, 2, 3]),
    ] {
        let (view, _held) = used(weights, &leases);
        let tally = tally(&view, &Wish { policy: Policy::LeastConnections, ..wish(REPLICA) }, 1000);
        assert_eq!(tally.keys().copied().collect::<Vec<_>>(), expected, "{weights:?} {leases:?}");
        let even = 1000 / expected.len() as u32;
        assert!(tally.values().all(|count| count.abs_diff(even) < 80), "{tally:?}");
    }
}

const BEGUN: Instant = Instant(1_000_000_000);

/// Each of the replicas has answered in so many milliseconds.
fn answering_in(latencies: &[u64]) -> View {
    let view = weighted(&vec![100; latencies.len()]);
    for (tablet, took) in view.tablets().iter().zip(latencies) {
        tablet.meter.begin(BEGUN, true).answered(BEGUN + Duration::from_millis(*took));
    }
    view
}

#[test]
fn least_rt_avoids_the_slow_one() {
    let view = answering_in(&[10, 10, 90]);
    let least_rt = Wish { policy: Policy::LeastRt, now: BEGUN, ..wish(REPLICA) };
    let tally = tally(&view, &least_rt, 3000);
    assert!(!tally.contains_key(&3), "of two it is always the worse: {tally:?}");
    assert!(tally.values().all(|count| count.abs_diff(1500) < 150), "{tally:?}");
}

#[test]
fn least_qps_evens_out_what_tablets_get() {
    let view = weighted(&[100, 100, 100]);
    // The first has had a hundred statements already.
    (0..100).for_each(|_| drop(view.tablets()[0].meter.begin(BEGUN, true)));
    let mut chooser = Chooser::new(1);
    for _ in 0..200 {
        let least_qps = Wish { policy: Policy::LeastQps, now: BEGUN, ..wish(REPLICA) };
        let pick = pick(&view, &least_qps, &mut chooser).expect("a tablet");
        drop(view.get(pick.tablet).expect("of the view").meter.begin(BEGUN, true));
    }
    let requests: Vec<u64> = view.tablets().iter().map(|tablet| tablet.meter.sample(BEGUN).requests).collect();
    assert!(requests.iter().all(|count| count.abs_diff(100) < 10), "{requests:?}");
}

#[test]
fn least_behind_primary_takes_the_nearest_and_those_about_as_near() {
    let lagging =
        |(id, lag_ms): (u32, u64)| TabletView { lag: Some(Duration::from_millis(lag_ms)), ..tablet(id, REPLICA) };
    let mut tablets: Vec<_> = [(1, 4000), (2, 100), (3, 900)].map(lagging).to_vec();
    tablets.push(TabletView { lag: None, ..tablet(4, REPLICA) });
    let view = View::new(tablets, Rules::default());
    let tally = tally(&view, &Wish { policy: Policy::LeastBehindPrimary, ..wish(REPLICA) }, 1000);
    assert_eq!(tally.keys().copied().collect::<Vec<_>>(), [2, 3]);
    assert!(tally.values().all(|count| count.abs_diff(500) < 80), "{tally:?}");
}

#[test]
fn many_that_choose_before_anything_comes_back_do_not_run_to_the_same_one() {
    // The third was the fastest when it was last heard of, and idle, as all are.
    let view = answering_in(&[12, 12, 10]);
    for policy in Policy::ALL {
        let mut held = Vec::new();
        let mut counts = [0_u32; 3];
        for seed in 0..300 {
            let wish = Wish { policy, now: BEGUN, ..wish(REPLICA) };
            let pick = pick(&view, &wish, &mut Chooser::new(seed)).expect("a tablet");
            held.push(view.get(pick.tablet).expect("of the view").meter.lease());
            counts[pick.tablet.0 as usize - 1] += 1;
        }
        assert!(counts.iter().all(|count| (70..140).contains(count)), "{policy:?}: {counts:?}");
    }
}

#[test]
fn one_that_warms_up_gets_its_part_of_a_share_whatever_the_policy() {
    for policy in Policy::ALL {
        let cold = TabletView { rotation: Rotation::WarmingUp { share: 20 }, ..tablet(1, REPLICA) };
        let view = View::new(vec![cold.clone(), tablet(2, REPLICA)], Rules::default());
        let tally = tally(&view, &Wish { policy, ..wish(REPLICA) }, 2000);
        assert!((140..260).contains(&tally[&1]), "{policy:?}: a fifth of a half: {tally:?}");
        assert_eq!(chosen(&View::new(vec![cold], Rules::default()), &wish(REPLICA)), [1], "better than nobody");
    }
}

#[test]
fn one_that_is_ejected_or_not_yet_back_takes_no_reads() {
    let ejected = TabletView { rotation: Rotation::Ejected(Fault::Slow), ..tablet(1, REPLICA) };
    let late = TabletView { rotation: Rotation::Late, lag: Some(Duration::from_secs(8)), ..tablet(2, REPLICA) };
    let rules = Rules { max_replication_lag: Some(Duration::from_secs(10)), ..Rules::default() };
    let view = View::new(vec![ejected, late, tablet(3, REPLICA), tablet(4, Role::Primary)], rules);
    assert_eq!(chosen(&view, &wish(REPLICA)), [3]);
    let (_, candidates) = explain(&view, &wish(REPLICA), &mut Chooser::new(1));
    let told: Vec<&str> = candidates.iter().map(|candidate| candidate.why.as_str()).collect();
    assert_eq!(
        told,
        [
            "is ejected: it was slow where others were not",
            "was too far behind and is still 8000 ms behind (max_replication_lag is 10000 ms)",
            "is chosen by the policy",
            "is PRIMARY"
        ]
    );
}

#[test]
fn the_same_seed_chooses_the_same() {
    let view = weighted(&[3, 2, 1]);
    for policy in Policy::ALL {
        let wish = Wish { policy, ..wish(REPLICA) };
        let run = |seed| {
            let mut chooser = Chooser::new(seed);
            (0..50).map(|_| pick(&view, &wish, &mut chooser).expect("a tablet").tablet.0).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}

fn any_tablet() -> impl Strategy<Value = TabletView> {
    let role =
        prop_oneof![1 => Just(Role::Primary), 4 => Just(REPLICA), 1 => Just(Role::RdOnly), 1 => Just(Role::Unknown)];
    let lag = prop::option::weighted(0.8, 0u64..20);
    (role, any::<bool>(), 0u64..9, 0u64..4, lag, 0u32..4, any::<bool>()).prop_map(
        |(role, serves, seq, seen_at, lag, weight, is_local)| TabletView {
            serving: if serves { Serving::Yes } else { Serving::Silent },
            position: at(seq + 1),
            observed_at: Instant(seen_at),
            lag: lag.map(Duration::from_secs),
            weight,
            is_local,
            ..tablet(0, role)
        },
    )
}

proptest! {
    #[test]
    fn whatever_the_view_no_wrong_tablet_is_chosen_and_a_right_one_is_not_missed(
        tablets in prop::collection::vec(any_tablet(), 0..8),
        policy in prop::sample::select(Policy::ALL.to_vec()),
        needed in prop::option::of(1u64..9),
        exclude in prop::collection::vec((0u32..8).prop_map(TabletId), 0..4),
        leases in prop::collection::vec(0usize..4, 8),
        limited in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let name = |(id, tablet)| TabletView { id: TabletId(id), ..tablet };
        let tablets: Vec<_> = (0..).zip(tablets).map(name).collect();
        let limit = limited.then_some(Duration::from_secs(10));
        let rules = Rules { max_replication_lag: limit, without_replica: WithoutReplica::UsePrimary, alone: false };
        let view = View::new(tablets, rules);
        let position = needed.map(at);
        let counts = view.tablets().iter().zip(&leases);
        let _held: Vec<_> = counts.flat_map(|(tablet, count)| (0..*count).map(|_| tablet.meter.lease())).collect();
        let wish = Wish { role: REPLICA, policy, position: position.as_ref(), stick: None, exclude: &exclude, now: BEGUN };

        let may = |tablet: &&TabletView| tablet.serving.is_yes() && !exclude.contains(&tablet.id);
        let near = |tablet: &&TabletView| limit.is_none_or(|limit| tablet.lag.is_some_and(|lag| lag <= limit));
        let right = |tablet: &&TabletView| may(tablet) && near(tablet) && tablet.role == REPLICA && tablet.weight > 0;
        let far_enough = |tablet: &TabletView| position.as_ref().is_none_or(|needed| tablet.has_reached(needed));
        let replicas: Vec<_> = view.tablets().iter().filter(right).collect();
        let has_primary = view.tablets().iter().any(|tablet| tablet.role == Role::Primary && may(&tablet));

        let explained = explain(&view, &wish, &mut Chooser::new(seed));
        let chosen: Vec<_> = explained.1.iter().filter(|candidate| candidate.chosen).map(|c| c.tablet).collect();
        prop_assert_eq!(chosen, explained.0.iter().map(|pick| pick.tablet).collect::<Vec<_>>());
        match pick(&view, &wish, &mut Chooser::new(seed)) {
            Ok(picked) => {
                let tablet = view.get(picked.tablet).expect("a tablet of the view");
                prop_assert!(may(&tablet));
                prop_assert_eq!(tablet.role, picked.role);
                if picked.role == REPLICA {
                    prop_assert!(right(&tablet));
                    prop_assert_eq!(picked.reached, far_enough(tablet));
                    prop_assert_eq!(picked.reached, replicas.iter().any(|replica| far_enough(replica)));
                } else {
                    prop_assert!(replicas.is_empty() && picked.reached);
                }
            }
            Err(error) => {
                prop_assert!(replicas.is_empty() && !has_primary);
                prop_assert_eq!(error.effect, crate::error::Effect::None);
            }
        }
    }
}
