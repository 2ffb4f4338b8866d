use super::explanation::explain;
use super::story::{Kind, Mark, Story};
use super::*;
use weir_core::mutants::Mutants;
use weir_core::orch::analysis::{Code, Problem};
use weir_core::orch::durability::Policy;
use weir_core::orch::orchestrator::News;
use weir_core::orch::recovery::Cohort;
use weir_core::recording::{Line, Source};
use weir_core::tablet::orders::{Order, Report, State, Status};
use weir_core::topo::TabletAlias;

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
fn times_are_told_by_the_calendar() {
    // The last second of a leap day.
    assert_eq!(calendar(1_709_251_199_000_000_000, at(250)), "2024-02-29 23:59:59.250 UTC");
    assert_eq!(calendar(u64::MAX, Instant::MAX), "3139-02-09 23:09:07.419 UTC");
}

#[test]
fn what_is_as_it_was_is_not_told_again() {
    let mut story = Story::default();
    assert_eq!(story.tell(at(1), &told("0-1-7", true), &[]).len(), 1);
    assert_eq!(story.tell(at(2), &told("0-1-8", true), &[]), [], "positions move all the time");
    assert_eq!(story.tell(at(2), &Input::Timeout, &[]), []);
    let [moment] = &story.tell(at(3), &told("0-1-8", false), &[])[..] else { panic!("one") };
    assert_eq!((moment.at, moment.kind, &moment.mark), (at(3), Kind::Seen, &Some(Mark::Sign(alias(1)))));
    assert!(moment.text.contains("clients can write"), "{}", moment.text);
}

#[test]
fn a_tablet_that_is_not_heard_is_told_with_what_is_found() {
    let mut story = Story::default();
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
    let mut story = Story::default();
    let order = Output::Order { tablet: alias(1), id: 5, term: 2, order: Order::Recruit };
    story.tell(at(10), &Input::Timeout, &[order]);
    let report = Report { position: "0-1-7".parse().unwrap(), ..Report::default() };
    let moments = story.tell(at(14), &Input::Answered { id: 5, outcome: Ok(report.clone()) }, &[]);
    assert_eq!(moments[0].text, "zone1-0000000001 has obeyed after 4.0 ms (help no earlier term), and has 0-1-7");
    assert_eq!(story.tell(at(15), &Input::Answered { id: 5, outcome: Ok(report) }, &[]), [], "once");
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
