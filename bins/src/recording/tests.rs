use super::explanation::{Explanation, explain};
use super::others::Without;
use super::*;
use weir_core::gateway::cluster::{self, TabletId};
use weir_core::mutants::Mutants;
use weir_core::orch::durability::Policy;
use weir_core::orch::lock::{self, Answer};
use weir_core::orch::orchestrator::{Input, Orchestrator};
use weir_core::orch::recovery::Cohort;
use weir_core::recording::{Line, Source};
use weir_core::tablet::orders::{self, Order, Promise, State, Status};
use weir_core::time::Duration;
use weir_core::topo::{Health, NotServing, Role, Shard, TabletAlias, Target};

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn alias(number: u32) -> TabletAlias {
    TabletAlias { cell: "zone1".parse().unwrap(), uid: number }
}

#[test]
fn times_are_told_by_the_calendar() {
    // The last second of a leap day.
    assert_eq!(calendar(1_709_251_199_000_000_000, at(250)), "2024-02-29 23:59:59.250 UTC");
    assert_eq!(calendar(u64::MAX, Instant::MAX), "3139-02-09 23:09:07.419 UTC");
}

#[test]
fn recordings_without_a_change_of_primary_explain_nothing() {
    let cohort = Cohort { tablets: [alias(1)].into(), policy: Policy::None, promotion: [].into() };
    let mut machine = Orchestrator::new(cohort, Mutants::NONE);
    let source = Source { program: "1".into(), name: "one".into(), of: "shop/0".into(), run: 1 };
    let start = Line::start(&machine, source, 0, (at(0), 0)).unwrap();
    let (_, step) = Line::step(&mut machine, at(0), Input::Timeout);
    let lines = [start, step.unwrap()].map(|line| Ok(line.text().unwrap()));
    let why = explain([lines.into_iter()].into_iter(), None).unwrap_err();
    assert!(why.contains("know nothing of a change of primary"), "{why}");
}

/// A recording of one machine of a kind, of the shard shop/0, whose clock was zero at this Unix time.
fn recording<M: Recorded>(
    mut machine: M,
    name: &str,
    origin_ms: u64,
    told: Vec<(u64, M::Input)>,
) -> Vec<std::io::Result<String>> {
    let source = Source { program: "1".into(), name: name.into(), of: "shop/0".into(), run: origin_ms };
    let start = Line::start(&machine, source, 0, (at(0), origin_ms * 1_000_000)).unwrap();
    let mut lines = vec![start.text().unwrap()];
    for (ms, input) in told {
        lines.push(Line::step(&mut machine, at(ms), input).1.unwrap().text().unwrap());
    }
    lines.into_iter().map(Ok).collect()
}

fn health(role: Role, term: u64, not_serving: Option<NotServing>) -> cluster::Input {
    let target = Target { keyspace: "shop".parse().unwrap(), shard: Shard::unsharded(), role };
    let health = Health {
        tablet: alias(1),
        target,
        term,
        not_serving,
        position: Default::default(),
        position_age: Duration::ZERO,
        lag: None,
        beat: None,
        load: Default::default(),
        in_group: false,
        version: None,
    };
    cluster::Input::Health(TabletId(1), health)
}

/// The orchestrator begins the first term when its clock shows 0 ms, Unix time 100 s.
fn begins_a_term() -> Vec<std::io::Result<String>> {
    let cohort = Cohort { tablets: [alias(1)].into(), policy: Policy::None, promotion: [].into() };
    let mut told = vec![(0, Input::Timeout)];
    for (id, answer) in [(1, Answer::Granted(1)), (2, Answer::Locked(5)), (3, Answer::Read(None, 0))] {
        told.push((id, Input::Topology(lock::Input::Answered(id, answer))));
    }
    let status = Some(Status { read_only: true, ..Status::default() });
    told.push((4, Input::Told(alias(1), Box::new(State { intact: true, status, ..State::default() }))));
    told.extend((1..200).map(|n| (n * 100, Input::Timeout)));
    recording(Orchestrator::new(cohort, Mutants::NONE), "one", 100_000, told)
}

fn explained(more: Vec<Vec<std::io::Result<String>>>) -> Explanation {
    let all = std::iter::once(begins_a_term()).chain(more);
    explain(all.map(Vec::into_iter), None).unwrap()
}

/// The Unix time at which it begins it, in milliseconds.
fn begun_ms() -> u64 {
    let told = explained(Vec::new());
    let first = told.happened.first().expect("what it saw").seconds;
    100_000 + told.stretch.from.0 / 1_000_000 + (-first * 1e3).round() as u64
}

/// A gateway that knows a primary from 1 s to 3 s and from 4.5 s on.
fn gateway(origin_ms: u64) -> Vec<std::io::Result<String>> {
    let told = vec![
        (0, cluster::Input::TabletAdded { id: TabletId(1), alias: alias(1), weight: 1 }),
        (1_000, health(Role::Primary, 1, None)),
        (3_000, health(Role::Primary, 1, Some(NotServing::Unreachable))),
        (4_500, health(Role::Primary, 2, None)),
        (4_600, cluster::Input::Timeout),
    ];
    recording(Cluster::new(cluster::Config::default()), "gate", origin_ms, told)
}

#[test]
fn what_clients_felt_is_told_by_the_gateways_own_clock() {
    let begun = explained(Vec::new());
    assert_eq!(begun.clients, []);
    assert!(begun.text().contains("none of that time is here"), "{}", begun.text());
    // The gateway's clock was 3 s on when the term was begun.
    let told = explained(vec![gateway(begun_ms() - 3_000)]);
    let [felt] = &told.clients[..] else { panic!("{:?}", told.clients) };
    let without = |from, until| Without { from, until: Some(until) };
    assert_eq!((felt.gateway.as_str(), felt.seconds), ("gate", 2.5));
    assert_eq!(felt.without, [without(-3.0, -2.0), without(0.0, 1.5)]);
    let said = "2500.0 ms  gate knew no primary that takes writes: from -3.000 to -2.000, from +0.000 to +1.500";
    assert!(told.text().contains(said), "{}", told.text());
    assert_eq!(explained(vec![gateway(900_000)]).clients, [], "it was another time");
}

#[test]
fn what_tablets_did_at_the_time_is_told() {
    let order = orders::Input::Order { id: 1, term: 1, order: Order::Recruit };
    let told = vec![(1, orders::Input::Timeout), (20, order), (60_000, orders::Input::Leaving)];
    let machine = Orders::new(Promise::default(), None, Mutants::NONE);
    let told = explained(vec![recording(machine, "zone1-0000000001", begun_ms(), told)]);
    let what: Vec<_> = told.tablets.iter().map(|deed| (deed.seconds, deed.what.as_str())).collect();
    let promises = "promises to obey no order of a term before 1, and writes that down";
    let ordered = "is ordered in term 1 to help no earlier term";
    assert_eq!(what, [(0.0, "has promised term 0"), (0.02, ordered), (0.02, promises)], "not what was a minute later");
    assert!(told.text().contains("+0.020  zone1-0000000001: is ordered in term 1"), "{}", told.text());
}

#[test]
fn a_recording_of_another_kind_of_machine_is_not_told() {
    let lines = vec![Ok(r#"{"start":{"kind":"kettle"}}"#.to_owned()), Ok(r#"{"step":{"at":1,"input":1}}"#.to_owned())];
    let told: Vec<_> = tell(lines.into_iter()).map(|told| told.unwrap()).collect();
    let [Told::Unreadable(Unreadable::Kind(kind))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(kind, "kettle");
}
