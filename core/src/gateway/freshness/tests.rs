//! Every short history of a shard, against what the levels promise.

use super::{AskId, Freshness, Input, Output, Primary, Scope, Ticket, Told, Written};
use crate::gateway::cluster::TabletId;
use crate::gtid::Position;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

const ASK_TIMEOUT: Duration = Duration::from_secs(1);
const STEPS_MAX: usize = 7;
const READERS_MAX: u64 = 3;

fn position(seq: u64) -> Position {
    if seq == 0 { Position::default() } else { Position::mariadb(0, 1, seq) }
}

fn primary(term: u64) -> Primary {
    Primary { tablet: TabletId(term as u32), term }
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Another gateway's client is told that its write is done.
    WriteElsewhere,
    /// A client of this gateway is told that its write is done.
    Write,
    /// The same, but the server did not tell where the write is.
    WriteUntracked,
    Read(Scope),
    /// The tablet reads the position for the question that is under way.
    ServerReads,
    /// What it read arrives.
    AnswerArrives,
    Refuse,
    /// The primary dies; a new one is found.
    NewTerm,
    NoPrimary,
    TimeOut,
    Leave,
}

const STEPS: [Step; 12] = [
    Step::WriteElsewhere,
    Step::Write,
    Step::WriteUntracked,
    Step::Read(Scope::Gateway),
    Step::Read(Scope::Shard),
    Step::ServerReads,
    Step::AnswerArrives,
    Step::Refuse,
    Step::NewTerm,
    Step::NoPrimary,
    Step::TimeOut,
    Step::Leave,
];

/// The shard around the machine, and what the machine owes.
struct World {
    machine: Freshness,
    now: Instant,
    /// The sequence number of the last write that somebody was told of, and of the last one of this gateway.
    written: u64,
    written_here: u64,
    term: u64,
    has_primary: bool,
    /// The question under way, and what the server read for it.
    asked: Option<(AskId, Primary, Option<u64>)>,
    asked_count: u64,
    readers: u64,
    /// What each waiting reader must see.
    owed: BTreeMap<Ticket, u64>,
}

impl World {
    fn new() -> Self {
        let mut machine = Freshness::new(ASK_TIMEOUT);
        machine.handle(Instant::ZERO, Input::Primary(Some(primary(1))));
        Self {
            machine,
            now: Instant::ZERO,
            // By whoever ran here before.
            written: 1,
            written_here: 1,
            term: 1,
            has_primary: true,
            asked: None,
            asked_count: 0,
            readers: 0,
            owed: BTreeMap::new(),
        }
    }

    /// False when the step cannot happen now.
    fn take(&mut self, step: Step) -> bool {
        let input = match step {
            Step::WriteElsewhere | Step::Write | Step::WriteUntracked if !self.has_primary => return false,
            Step::WriteElsewhere => {
                self.written += 1;
                return true;
            }
            Step::Write | Step::WriteUntracked => {
                self.written += 1;
                self.written_here = self.written;
                let told = step == Step::Write;
                Input::Acknowledged(if told { Written::At(position(self.written)) } else { Written::Unknown })
            }
            Step::Read(_) if self.readers == READERS_MAX => return false,
            Step::Read(scope) => {
                self.readers += 1;
                let must_see = if scope == Scope::Shard { self.written } else { self.written_here };
                self.owed.insert(Ticket(self.readers), must_see);
                Input::Want(Ticket(self.readers), scope)
            }
            Step::ServerReads => {
                // The tablet reads only while it is primary of the term it was asked for.
                let (term, has_primary, written) = (self.term, self.has_primary, self.written);
                let Some((_, asked, read @ None)) = &mut self.asked else { return false };
                if !has_primary || asked.term != term {
                    return false;
                }
                *read = Some(written);
                return true;
            }
            Step::AnswerArrives => {
                let Some((ask, _, Some(read))) = self.asked else { return false };
                self.asked = None;
                Input::Answered(ask, position(read))
            }
            Step::Refuse => match self.asked.take() {
                Some((ask, ..)) => Input::Failed(ask),
                None => return false,
            },
            Step::NewTerm => {
                self.term += 1;
                self.has_primary = true;
                Input::Primary(Some(primary(self.term)))
            }
            Step::NoPrimary => {
                self.has_primary = false;
                Input::Primary(None)
            }
            Step::TimeOut => {
                let Some(at) = self.machine.poll_timeout() else { return false };
                self.now = at;
                Input::Timeout
            }
            Step::Leave => match self.owed.pop_first() {
                Some((reader, _)) => Input::Forget(reader),
                None => return false,
            },
        };
        self.machine.handle(self.now, input);
        self.check(step);
        true
    }

    fn check(&mut self, step: Step) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Ask { ask, primary: asked } => {
                    assert!(self.has_primary && asked == primary(self.term), "asked whoever is no primary");
                    assert!(!self.owed.is_empty(), "asked for nobody");
                    self.asked_count += 1;
                    self.asked = Some((ask, asked, None));
                }
                Output::Ready(reader, seen) => {
                    let must_see = self.owed.remove(&reader).expect("each reader is told once, and none that left");
                    assert!(
                        seen.by.is_none_or(|by| self.has_primary && by == primary(self.term)),
                        "told by whoever is no primary"
                    );
                    if let Some(seen) = seen.position {
                        assert!(seen.contains(&position(must_see)).unwrap(), "{step:?}: {reader:?} misses {must_see}");
                    }
                }
            }
        }
        let waits = !self.owed.is_empty();
        assert!(!waits || self.machine.poll_timeout().is_some(), "a reader waits for nothing");
        assert!(self.asked_count <= self.readers + self.term, "a question too many");
    }
}

#[test]
fn no_short_history_breaks_a_promise() {
    fn explore(history: &mut Vec<Step>, count: &mut u64) {
        *count += 1;
        if history.len() == STEPS_MAX {
            return;
        }
        for step in STEPS {
            // The machine cannot be cloned half-way by the driver either: a history is run from its start.
            let mut world = World::new();
            let possible = history.iter().all(|step| world.take(*step)) && world.take(step);
            // Nothing that comes after a history without readers and writes is new.
            let idle = history.len() >= 2 && world.readers == 0;
            if possible && !idle {
                history.push(step);
                explore(history, count);
                history.pop();
            }
        }
    }
    let mut count = 0;
    explore(&mut Vec::new(), &mut count);
    assert!(count > 10_000, "only {count} histories");
}

struct Bench(Freshness);

impl Bench {
    fn new() -> Self {
        let mut machine = Freshness::new(ASK_TIMEOUT);
        machine.handle(Instant::ZERO, Input::Primary(Some(primary(1))));
        Self(machine)
    }

    fn take(&mut self, input: Input) -> Vec<Output> {
        self.0.handle(Instant::ZERO, input);
        core::iter::from_fn(|| self.0.poll_output()).collect()
    }
}

/// Of a position, if not 0, by the primary of a term, if not 0.
fn told(seq: u64, term: u64) -> Told {
    let by = (term > 0).then(|| primary(term));
    Told { position: (seq > 0).then(|| position(seq)), by }
}

fn asked(outputs: &[Output]) -> AskId {
    match outputs {
        [.., Output::Ask { ask, .. }] => *ask,
        other => panic!("no question in {other:?}"),
    }
}

#[test]
fn one_question_serves_all_who_waited_when_it_was_sent_and_nobody_later() {
    let mut bench = Bench::new();
    let first = asked(&bench.take(Input::Want(Ticket(1), Scope::Shard)));
    for reader in 2..=64 {
        assert_eq!(bench.take(Input::Want(Ticket(reader), Scope::Shard)), []);
    }
    let outputs = bench.take(Input::Answered(first, position(5)));
    assert_eq!(outputs[0], Output::Ready(Ticket(1), told(5, 1)));
    assert_eq!(outputs.len(), 2, "one reader and one question");
    let outputs = bench.take(Input::Answered(asked(&outputs), position(6)));
    assert_eq!(outputs.len(), 63);
}

#[test]
fn what_this_gateway_acknowledged_is_known_without_asking() {
    let mut bench = Bench::new();
    let ask = asked(&bench.take(Input::Want(Ticket(1), Scope::Gateway)));
    bench.take(Input::Answered(ask, position(5)));
    bench.take(Input::Acknowledged(Written::At(position(7))));
    bench.take(Input::Acknowledged(Written::At(position(6))));
    let ready = Output::Ready(Ticket(2), told(7, 0));
    assert_eq!(bench.take(Input::Want(Ticket(2), Scope::Gateway)), [ready]);
}

#[test]
fn what_was_acknowledged_before_the_start_is_asked_for() {
    let mut bench = Bench::new();
    bench.take(Input::Acknowledged(Written::At(position(3))));
    let ask = asked(&bench.take(Input::Want(Ticket(1), Scope::Gateway)));
    assert_eq!(bench.take(Input::Answered(ask, position(5))), [Output::Ready(Ticket(1), told(5, 1))]);
    assert_eq!(bench.take(Input::Want(Ticket(2), Scope::Gateway)), [Output::Ready(Ticket(2), told(5, 0))]);
}

#[test]
fn a_write_of_unknown_position_is_asked_for_once() {
    let mut bench = Bench::new();
    bench.take(Input::Acknowledged(Written::Unknown));
    let ask = asked(&bench.take(Input::Want(Ticket(1), Scope::Gateway)));
    bench.take(Input::Answered(ask, position(9)));
    let ready = Output::Ready(Ticket(2), told(9, 0));
    assert_eq!(bench.take(Input::Want(Ticket(2), Scope::Gateway)), [ready]);
}

#[test]
fn without_positions_or_a_primary_only_the_primary_is_far_enough() {
    let mut bench = Bench::new();
    let ask = asked(&bench.take(Input::Want(Ticket(1), Scope::Shard)));
    assert_eq!(bench.take(Input::Answered(ask, Position::default())), [Output::Ready(Ticket(1), told(0, 1))]);
    bench.take(Input::Primary(None));
    assert_eq!(bench.take(Input::Want(Ticket(2), Scope::Shard)), [Output::Ready(Ticket(2), told(0, 0))]);
}

#[test]
fn whoever_waited_for_an_old_primary_waits_for_the_new_one() {
    let mut bench = Bench::new();
    let first = asked(&bench.take(Input::Want(Ticket(1), Scope::Shard)));
    let second = asked(&bench.take(Input::Primary(Some(primary(2)))));
    assert_eq!(bench.take(Input::Answered(first, position(3))), [], "the old one's word does not count");
    assert_eq!(bench.take(Input::Answered(second, position(4))), [Output::Ready(Ticket(1), told(4, 2))]);
}
