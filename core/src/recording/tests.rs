use super::*;
use crate::mutants::Mutants;
use crate::orch::durability::Policy;
use crate::orch::lock::{self, Answer, Request};
use crate::orch::orchestrator::{Input, News, Orchestrator, Output};
use crate::orch::recovery::Cohort;
use crate::tablet::orders::{Order, Report, State, Status};
use crate::time::Duration;
use crate::topo::TabletAlias;
use std::collections::VecDeque;

const NOWHERE: [usize; 0] = [];

type Replayed = Result<Event<Input, Output>, Unreadable>;

/// An orchestrator whose topology and tablets do as they are told, and which is recorded.
struct Shard {
    machine: Orchestrator,
    lines: Vec<String>,
    number: u64,
    now: Instant,
    inputs: VecDeque<Input>,
    decided: Vec<Output>,
}

impl Shard {
    fn new() -> Self {
        let tablets = (1..=3).map(alias).collect();
        let cohort = Cohort { tablets, policy: Policy::SemiSync { acks: 1 }, promotion: Default::default() };
        let machine = Orchestrator::new(cohort, Mutants::NONE);
        let (inputs, decided) = (VecDeque::new(), Vec::new());
        let mut shard = Self { machine, lines: Vec::new(), number: 0, now: Instant(7), inputs, decided };
        shard.start();
        shard
    }

    /// The machine as it is.
    fn start(&mut self) {
        let source = Source { program: "1".into(), name: "one".into(), of: "shop/0".into(), run: 42 };
        let line = Line::start(&self.machine, source, self.number, (self.now, 1_000)).expect("a line");
        self.lines.push(line.text().expect("text"));
    }

    fn tell(&mut self, input: Input) {
        let (decided, line) = Line::step(&mut self.machine, self.now, input);
        self.number += 1;
        self.lines.push(line.and_then(|line| line.text()).expect("text"));
        for output in &decided {
            match output {
                Output::Ask { id, request } => {
                    let answer = match request {
                        Request::Grant { .. } => Answer::Granted(1),
                        Request::Renew { .. } => Answer::Renewed,
                        Request::Lock { .. } => Answer::Locked(5),
                        Request::Read => Answer::Read(None, 0),
                        Request::Write { .. } => Answer::Written(6),
                    };
                    self.inputs.push_back(Input::Topology(lock::Input::Answered(*id, answer)));
                }
                Output::Order { id, term, order, .. } => {
                    let position = "0-1-7".parse().expect("a position");
                    let followed = if *order == Order::Recruit { 0 } else { *term };
                    let writable = matches!(order, Order::Lead { .. });
                    let receives_from = matches!(order, Order::Follow { .. }).then(|| alias(1));
                    let report = Report {
                        promised: *term,
                        followed,
                        position,
                        intact: true,
                        writable,
                        receives_from,
                        ..Report::default()
                    };
                    self.inputs.push_back(Input::Answered { id: *id, outcome: Ok(report) });
                }
                Output::News(_) => {}
            }
        }
        self.decided.extend(decided);
        self.now += Duration::from_millis(1);
    }

    /// Until there is a primary; a start after every `again` inputs.
    fn elect(mut self, again: u64) -> Self {
        let is_settled = |output: &Output| matches!(output, Output::News(News::Settled(_)));
        while !self.decided.iter().any(is_settled) {
            assert!(self.number < 1000, "it comes to an end");
            match self.inputs.pop_front() {
                Some(input) => self.tell(input),
                None => {
                    for number in 1..=3 {
                        let status = Status { read_only: true, ..Status::default() };
                        let state = State { intact: true, status: Some(status), ..State::default() };
                        self.tell(Input::Told(alias(number), Box::new(state)));
                    }
                    self.now = self.machine.poll_timeout().map_or(self.now, |at| at.max(self.now));
                    self.tell(Input::Timeout);
                }
            }
            if self.number.is_multiple_of(again) {
                self.start();
            }
        }
        self
    }
}

fn alias(number: u32) -> TabletAlias {
    format!("a-{number}").parse().expect("an alias")
}

fn replay(lines: &[String]) -> Vec<Replayed> {
    let mut replay = Replay::<Orchestrator>::default();
    lines.iter().map(|line| replay.take(line)).collect()
}

/// The places at which it comes to something else.
fn differences(lines: &[String]) -> Vec<usize> {
    let differs = |event: Replayed| match event.expect("it can be read") {
        Event::Started { differs, .. } | Event::Told { differs, .. } => differs.is_some(),
    };
    let each = replay(lines).into_iter().enumerate();
    each.filter_map(|(place, event)| differs(event).then_some(place)).collect()
}

#[test]
fn what_is_told_again_is_decided_again() {
    let shard = Shard::new().elect(u64::MAX);
    assert_eq!(differences(&shard.lines), NOWHERE);
    let decided = replay(&shard.lines).into_iter().flat_map(|event| match event {
        Ok(Event::Told { decided, .. }) => decided,
        _ => Vec::new(),
    });
    assert_eq!(decided.collect::<Vec<_>>(), shard.decided, "what was decided is in it");
}

#[test]
fn a_machine_that_was_written_down_goes_on_as_it_would_have() {
    for again in 1..20 {
        let shard = Shard::new().elect(again);
        assert_eq!(differences(&shard.lines), NOWHERE, "written down after every {again} inputs");
        let is_start = |line: &String| line.starts_with("{\"start\"");
        let last = shard.lines.iter().rposition(is_start).expect("there is one");
        assert_eq!(differences(&shard.lines[last..]), NOWHERE, "alone from the last on");
    }
}

#[test]
fn an_input_that_is_missing_is_noticed() {
    let shard = Shard::new().elect(u64::MAX);
    // The lock's: without it nothing more is done.
    let granted = shard.lines.iter().position(|line| line.contains("Locked")).expect("it was said");
    let mut lines = shard.lines.clone();
    lines.remove(granted);
    assert!(!differences(&lines).is_empty());
}

#[test]
fn an_input_that_was_changed_is_noticed() {
    let shard = Shard::new().elect(u64::MAX);
    let says = |line: &String| line.contains("\"position\":\"0-1-7\"") && line.contains("Answered");
    let place = shard.lines.iter().position(says).expect("somebody was recruited");
    let mut lines = shard.lines.clone();
    lines[place] = lines[place].replace("0-1-7", "0-1-8");
    let first = *differences(&lines).first().expect("another beginning of the term");
    assert!(first > place, "what is decided differs only later: {first}, {place}");
}

#[test]
fn a_decision_that_was_changed_is_noticed_where_it_is() {
    let shard = Shard::new().elect(u64::MAX);
    let place = shard.lines.iter().position(|line| line.contains("\"Recruit\"")).expect("somebody was recruited");
    let mut lines = shard.lines.clone();
    lines[place] = lines[place].replace("\"Recruit\"", "\"Vouch\"");
    assert_eq!(differences(&lines), [place]);
}

#[test]
fn a_gap_is_told_and_does_not_matter_after_it() {
    let shard = Shard::new().elect(10);
    let is_start = |line: &&String| line.starts_with("{\"start\"");
    let starts: Vec<usize> = (0..shard.lines.len()).filter(|place| is_start(&&shard.lines[*place])).collect();
    let mut lines = shard.lines.clone();
    lines.drain(starts[1] - 3..starts[1]);
    assert_eq!(differences(&lines), NOWHERE);
    let missed = |event: Replayed| match event {
        Ok(Event::Started { missed, .. }) => Some(missed),
        _ => None,
    };
    let missed: Vec<u64> = replay(&lines).into_iter().filter_map(missed).collect();
    assert_eq!(missed[..2], [0, 3]);
    assert!(missed[2..].iter().all(|missed| *missed == 0), "{missed:?}");
}

#[test]
fn a_machine_that_is_not_what_it_became_is_noticed() {
    let mut shard = Shard::new();
    shard.tell(Input::Timeout);
    shard.start();
    let last = shard.lines.len() - 1;
    assert_eq!(differences(&shard.lines), NOWHERE);
    shard.lines[last] = shard.lines[last].replace("\"asked\":1", "\"asked\":2");
    assert_eq!(differences(&shard.lines), [last]);
}

#[test]
fn what_cannot_be_read_is_said_and_over_with_the_next_start() {
    let mut shard = Shard::new();
    shard.tell(Input::Timeout);
    let [start, step] = [0, 1].map(|place| shard.lines[place].clone());
    let lines = [
        step.clone(),
        "no line".to_owned(),
        start.replace("\"format\":1", "\"format\":2"),
        start.replace("orchestrator", "gateway"),
        start.replace("\"seen\"", "\"heard\""),
        start.clone(),
        step.replace("\"Timeout\"", "\"Earthquake\""),
        step.clone(),
        start,
        step,
    ];
    let said: Vec<Option<String>> =
        replay(&lines).into_iter().map(|event| event.err().map(|why| why.to_string())).collect();
    let says = |place: usize, what: &str| said[place].as_ref().is_some_and(|said| said.contains(what));
    assert!(says(0, "there is no machine before it"), "{said:?}");
    assert!(says(1, "it is no line of a recording"), "{said:?}");
    assert!(says(2, "format 2"), "{said:?}");
    assert!(says(3, "of the kind \"gateway\""), "{said:?}");
    assert!(says(4, "machine differs: missing field `seen`"), "{said:?}");
    assert!(says(6, "Earthquake"), "{said:?}");
    assert!(says(7, "there is no machine before it"), "what follows is not told to one that missed something");
    assert_eq!((&said[5], &said[8], &said[9]), (&None, &None, &None));
}
