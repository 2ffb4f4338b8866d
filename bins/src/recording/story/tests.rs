use super::*;
use weir_core::gateway::cluster::{self, Cluster, TabletId};
use weir_core::mutants::Mutants;
use weir_core::orch::analysis::{Code, Problem};
use weir_core::orch::orchestrator::{Input, News, Output};
use weir_core::tablet::orders::{self, Orders, Promise, Report, Status};
use weir_core::topo::{Health, Load, NotServing, Role, Shard, Target};

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn alias(number: u32) -> TabletAlias {
    TabletAlias { cell: "zone1".parse().unwrap(), uid: number }
}

fn told(executed: &str, read_only: bool) -> Input {
    let status = Status { executed: executed.parse().unwrap(), read_only, ..Status::default() };
    Input::Told(alias(1), Box::new(State { status: Some(status), ..State::default() }))
}

#[test]
fn what_is_as_it_was_is_not_told_again() {
    let mut story = OfOrchestrator::default();
    assert_eq!(story.tell(at(1), &told("0-1-7", true), &[]).len(), 1);
    assert_eq!(story.tell(at(2), &told("0-1-8", true), &[]), [], "positions move all the time");
    assert_eq!(story.tell(at(2), &Input::Timeout, &[]), []);
    let [moment] = &story.tell(at(3), &told("0-1-8", false), &[])[..] else { panic!("one") };
    assert_eq!((moment.at, moment.kind, &moment.mark), (at(3), Kind::Seen, &Some(Mark::Sign(alias(1)))));
    assert!(moment.text.contains("clients can write"), "{}", moment.text);
}

#[test]
fn a_tablet_that_is_not_heard_is_told_with_what_is_found() {
    let mut story = OfOrchestrator::default();
    story.tell(at(0), &told("0-1-7", true), &[]);
    let found = Output::News(News::Found(Problem { code: Code::DeadPrimary, tablet: alias(1) }));
    let moments = story.tell(at(1600), &Input::Timeout, &[found]);
    let told: Vec<&str> = moments.iter().map(|moment| moment.text.as_str()).collect();
    assert_eq!(told, ["zone1-0000000001 has not been heard for 1600.0 ms", "found DeadPrimary: zone1-0000000001"]);
    assert_eq!(moments[1].mark, Some(Mark::Found(alias(1))));
    let repaired = Output::News(News::Found(Problem { code: Code::ReplicationStopped, tablet: alias(1) }));
    assert_eq!(story.tell(at(1600), &Input::Timeout, &[repaired])[1].mark, None, "it takes no new term");
}

#[test]
fn an_answer_says_what_was_ordered_and_how_long_ago() {
    let mut story = OfOrchestrator::default();
    let order = Output::Order { tablet: alias(1), id: 5, term: 2, order: Order::Recruit };
    story.tell(at(10), &Input::Timeout, &[order]);
    let report = Report { position: "0-1-7".parse().unwrap(), ..Report::default() };
    let moments = story.tell(at(14), &Input::Answered { id: 5, outcome: Ok(report.clone()) }, &[]);
    assert_eq!(moments[0].text, "zone1-0000000001 has obeyed after 4.0 ms (help no earlier term), and has 0-1-7");
    assert_eq!(story.tell(at(15), &Input::Answered { id: 5, outcome: Ok(report) }, &[]), [], "once");
}

/// A machine and what is told of it.
struct Bench<S: Story> {
    machine: S::Machine,
    story: S,
}

impl<S: Story> Bench<S> {
    fn new(machine: S::Machine) -> Self {
        Self { machine, story: S::default() }
    }

    fn begin(&mut self, ms: u64) -> Vec<String> {
        self.story.begin(at(ms), &self.machine).into_iter().map(|moment| moment.text).collect()
    }

    fn tell(&mut self, ms: u64, input: <S::Machine as Recorded>::Input) -> Vec<String> {
        let decided = self.machine.decide(at(ms), input.clone());
        self.story.tell(at(ms), &input, &decided).into_iter().map(|moment| moment.text).collect()
    }
}

fn health(number: u32, role: Role, term: u64, not_serving: Option<NotServing>) -> cluster::Input {
    let target = Target { keyspace: "shop".parse().unwrap(), shard: Shard::unsharded(), role };
    let health = Health {
        tablet: alias(number),
        target,
        term,
        not_serving,
        position: "0-1-7".parse().unwrap(),
        position_age: Duration::ZERO,
        lag: Some(Duration::ZERO),
        beat: None,
        load: Load::default(),
        in_group: false,
        version: None,
    };
    cluster::Input::Health(TabletId(number), health)
}

fn gateway() -> Bench<OfGateway> {
    let mut bench = Bench::<OfGateway>::new(Cluster::new(cluster::Config::default()));
    assert_eq!(bench.begin(0), ["nobody is known to take writes"]);
    for number in 1..=2 {
        let (id, alias) = (TabletId(number), alias(number));
        let told = bench.tell(0, cluster::Input::TabletAdded { id, alias: alias.clone(), weight: 100 });
        assert_eq!(told, [format!("{alias} is part of the shard")]);
    }
    bench
}

#[test]
fn a_gateway_tells_who_takes_writes_and_how_long_nobody_did() {
    let mut bench = gateway();
    let first = bench.tell(10, health(1, Role::Primary, 1, None));
    let takes = "zone1-0000000001 is primary in term 1 and takes writes, after 10.0 ms in which nobody did";
    assert_eq!(first, ["zone1-0000000001 says: PRIMARY in term 1, serves", takes]);
    assert_eq!(bench.tell(20, health(1, Role::Primary, 1, None)), [""; 0], "it is as it was");
    let gone = bench.tell(30, health(1, Role::Primary, 1, Some(NotServing::Unreachable)));
    let nobody = "zone1-0000000001 takes no writes any more, and nobody does: \
                  it does not serve: its server cannot be reached";
    assert_eq!(gone[1..], [nobody]);
    bench.tell(40, health(2, Role::Replica, 1, None));
    let other = bench.tell(1530, health(2, Role::Primary, 2, None));
    assert!(other[1].ends_with("takes writes, after 1500.0 ms in which nobody did"), "{other:?}");
    assert_eq!(bench.begin(1540), ["zone1-0000000002 takes writes"], "it is told where it begins amid all that");
}

#[test]
fn a_gateway_tells_who_falls_silent_who_is_drained_and_who_comes_back() {
    let mut bench = gateway();
    bench.tell(10, health(1, Role::Primary, 1, None));
    bench.tell(10, health(2, Role::Replica, 1, None));
    assert_eq!(bench.tell(20, cluster::Input::Drained(TabletId(2), false)), [""; 0]);
    let out = bench.tell(20, cluster::Input::Drained(TabletId(2), true));
    let why = "zone1-0000000002 gets no reads, it is out: drained by an operator";
    assert_eq!(out, ["an operator takes zone1-0000000002 out of service", why]);
    let back = bench.tell(30, cluster::Input::Drained(TabletId(2), false));
    assert_eq!(back[1..], ["zone1-0000000002 comes back into the rotation, with a share that grows"]);
    let silent = bench.tell(6_000, cluster::Input::Timeout);
    let silence = |number: u32| format!("{} is not heard any more", alias(number));
    assert!(silent.contains(&silence(1)) && silent.contains(&silence(2)), "{silent:?}");
    assert!(silent.iter().any(|told| told.ends_with("nobody does: it is no longer heard of")), "{silent:?}");
    let heard = bench.tell(6_001, health(1, Role::Primary, 1, None));
    assert_eq!(heard[0], "zone1-0000000001 is heard again");
    let removed = bench.tell(6_002, cluster::Input::TabletRemoved(TabletId(1)));
    assert!(
        removed[0].contains("is not part of the shard any more") && removed[1].ends_with("it is gone"),
        "{removed:?}"
    );
}

fn status(read_only: bool) -> orders::Input {
    orders::Input::Looked(Status { executed: "0-1-7".parse().unwrap(), read_only, ..Status::default() })
}

#[test]
fn a_tablet_tells_what_it_is_ordered_promises_and_does_to_its_server() {
    let machine = Orders::new(Promise::default(), None, Mutants::NONE).watching(orders::WATCH_INTERVAL);
    let mut bench = Bench::<OfTablet>::new(machine);
    assert_eq!(bench.begin(0), ["has promised term 0"]);
    bench.tell(0, orders::Input::Timeout);
    let told = bench.tell(1, status(false));
    assert_eq!(told, ["clients can write on its server from now on", "writes down what its server has"]);
    assert_eq!(bench.tell(2, orders::Input::Persisted), ["that is on the disk, after 1.0 ms"]);
    let told = bench.tell(10, orders::Input::Order { id: 1, term: 2, order: Order::Recruit });
    let promises = "promises to obey no order of a term before 2, and writes that down";
    assert_eq!(told, ["is ordered in term 2 to help no earlier term", promises]);
    let mut all = bench.tell(13, orders::Input::Persisted);
    all.extend(bench.tell(14, status(false)));
    all.extend(bench.tell(16, orders::Input::Acted(Ok(()))));
    all.extend(bench.tell(17, status(true)));
    let expected = [
        "that is on the disk, after 3.0 ms",
        "has its server let no client write",
        "that is done, after 2.0 ms (let no client write)",
        "clients cannot write on its server from now on",
        "has obeyed after 7.0 ms (help no earlier term), and has 0-1-7",
    ];
    assert_eq!(all, expected);
    assert_eq!(
        bench.tell(18, orders::Input::Order { id: 2, term: 2, order: Order::Vouch }),
        [""; 0],
        "that is asked all the time"
    );
    bench.tell(300, orders::Input::Timeout);
    let gone = || orders::Input::Acted(Err("no answer".into()));
    assert_eq!(bench.tell(800, gone()), ["its server does not answer: no answer"]);
    bench.tell(1_100, orders::Input::Timeout);
    assert_eq!(bench.tell(1_200, gone()), [""; 0], "it was said");
    bench.tell(1_500, orders::Input::Timeout);
    assert_eq!(bench.tell(1_501, status(true)), ["its server answers again"]);
}
