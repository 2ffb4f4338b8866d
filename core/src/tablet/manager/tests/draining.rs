//! What a drained primary takes, and what it tells.

use super::*;
use crate::tablet::drain::{Drain, Open};

fn drain(number: u64) -> Input {
    Input::Drain(Some(Drain { number, left: Duration::from_secs(3) }))
}

/// A primary that serves, and lends one connection.
fn lending() -> Bench {
    let mut bench = Bench::serving(Role::Primary);
    bench.acquire(Role::Primary, Some(5));
    bench.feed(Input::Pool(pool::Input::Opened { conn: ConnId(1) }));
    bench
}

fn give_back(bench: &mut Bench) -> Vec<Output> {
    let (conn, settings) = (ConnId(1), Arc::default());
    bench.feed(Input::Pool(pool::Input::Release { conn, settings, epoch: 1, fate: Fate::Keep }))
}

fn open(outputs: &[Output]) -> Option<(u64, u32)> {
    outputs.iter().find_map(|output| match output {
        Output::Open(Open { drain, transactions, .. }) => Some((*drain, *transactions)),
        _ => None,
    })
}

#[test]
fn nothing_begins_on_a_drained_primary_and_what_is_open_goes_on() {
    let mut bench = lending();
    assert_eq!(open(&bench.feed(drain(1))), Some((1, 1)));
    assert_eq!(bench.health().not_serving, Some(NotServing::Draining));
    let said = bench.reply(Role::Primary, Some(5));
    assert!(said.contains("it is drained before another takes its place. Nothing was executed"), "{said}");
    assert!(bench.tablet.vouch(5).is_ok(), "readers may still ask it how far they must see");
    assert_eq!(open(&bench.feed(drain(1))), None, "what has not changed is not told again");
    assert_eq!(open(&give_back(&mut bench)), Some((1, 0)));
}

#[test]
fn a_connection_that_is_kept_without_need_does_not_count() {
    let mut bench = lending();
    bench.feed(drain(1));
    let mut rest = |rests| open(&bench.feed(Input::Pool(pool::Input::Rest { conn: ConnId(1), rests })));
    assert_eq!((rest(true), rest(false)), (Some((1, 0)), Some((1, 1))));
}

#[test]
fn after_a_drain_connections_are_lent_as_before() {
    let mut bench = lending();
    bench.feed(drain(1));
    give_back(&mut bench);
    bench.feed(Input::Drain(None));
    assert_eq!(bench.health().not_serving, None);
    let outputs = bench.acquire(Role::Primary, Some(5));
    assert!(
        outputs.iter().any(|o| matches!(o, Output::Pool(pool::Output::Granted { conn: ConnId(1), .. }))),
        "{outputs:?}"
    );
}

#[test]
fn who_waits_for_a_connection_is_refused_as_well() {
    let mut bench = Bench::serving(Role::Primary);
    assert_eq!(bench.reply(Role::Primary, Some(5)), "taken");
    let refused = |o: &Output| matches!(o, Output::Pool(pool::Output::Refused { .. }));
    assert!(bench.feed(drain(1)).iter().any(refused));
}

#[test]
fn a_drain_of_which_nothing_more_is_heard_ends_by_itself() {
    let mut bench = lending();
    bench.feed(drain(1));
    let began = bench.now;
    while bench.health().not_serving.is_some() {
        let probe = bench.wake().iter().find_map(|output| match output {
            Output::Probe { probe, .. } => Some(*probe),
            _ => None,
        });
        if let Some(probe) = probe {
            bench.feed(Input::Observed { probe, observation: seen(7, false, &[]) });
        }
    }
    assert_eq!(bench.now, began + Duration::from_secs(3));
}

#[test]
fn a_replica_has_nothing_to_drain_and_says_so() {
    let mut bench = Bench::serving(Role::Replica);
    assert_eq!(bench.reply(Role::Replica, None), "taken");
    assert_eq!(open(&bench.feed(drain(1))), Some((1, 0)));
    assert_eq!(bench.reply(Role::Replica, None), "taken");
}

#[test]
fn a_drained_primary_that_loses_its_role_is_drained_no_more() {
    let mut bench = lending();
    bench.feed(drain(1));
    bench.feed(Input::RoleAssigned { role: Role::Replica, term: 6 });
    bench.answer(seen(7, true, &[seconds(0)]));
    assert_eq!((bench.health().not_serving, bench.reply(Role::Replica, None).as_str()), (None, "taken"));
}
