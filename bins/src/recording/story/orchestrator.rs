//! What an orchestrator was told and what it decided, in words.
//!
//! What says nothing new is left out: a tablet that is as it was, the renewal of a lease, time that has passed.

use super::{Kind, Mark, Moment, Story, describe, milliseconds, position, words};
use std::collections::BTreeMap;
use weir_core::gtid::Position;
use weir_core::orch::analysis::{RULES, Remedy, Rule};
use weir_core::orch::choose::Choice;
use weir_core::orch::lock::{self, Answer, Entry, Request};
use weir_core::orch::orchestrator::{Input, News, Orchestrator, Output};
use weir_core::orch::recovery::Step;
use weir_core::tablet::orders::{Order, Refusal, Report, State};
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// A tablet that was not heard for so long is silent.
const SILENT_AFTER: Duration = Duration::from_millis(750);

/// An order on its way.
#[derive(Debug)]
struct Given {
    tablet: TabletAlias,
    at: Instant,
    order: Order,
}

/// What was told so far. See the module.
#[derive(Debug, Default)]
pub(crate) struct OfOrchestrator {
    /// When each tablet was heard last, and what it said.
    heard: BTreeMap<TabletAlias, (Instant, String)>,
    orders: BTreeMap<u64, Given>,
    /// Writes on their way to the topology.
    writes: BTreeMap<u64, Step>,
    /// Who has promised the term that is being begun, and what it has.
    promised: BTreeMap<TabletAlias, Position>,
    moments: Vec<Moment>,
    now: Instant,
}

impl Story for OfOrchestrator {
    type Machine = Orchestrator;

    /// What it has heard is told when it says something else.
    fn begin(&mut self, _: Instant, _: &Orchestrator) -> Vec<Moment> {
        Vec::new()
    }

    fn tell(&mut self, at: Instant, input: &Input, decided: &[Output]) -> Vec<Moment> {
        self.now = at;
        self.input(input);
        for output in decided {
            self.output(output);
        }
        core::mem::take(&mut self.moments)
    }
}

impl OfOrchestrator {
    fn say(&mut self, kind: Kind, text: String) {
        self.moments.push(Moment { at: self.now, kind, text, mark: None });
    }

    fn mark(&mut self, kind: Kind, text: String, mark: Mark) {
        self.moments.push(Moment { at: self.now, kind, text, mark: Some(mark) });
    }

    fn wish(&mut self, text: String) {
        self.mark(Kind::Seen, text, Mark::Wish);
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::Told(tablet, state) => self.hear(tablet, state),
            Input::Answered { id, outcome } => self.answered(*id, outcome),
            Input::Topology(lock::Input::Answered(id, answer)) => self.topology_said(*id, answer),
            Input::Topology(lock::Input::Disconnected) => {
                self.say(Kind::Seen, "the connection to the topology broke".to_owned());
            }
            Input::Topology(lock::Input::Timeout) | Input::Timeout => {}
            Input::Reparent(tablet) => self.wish(format!("somebody wants {tablet} to be primary")),
            Input::Rebuild(tablet) => self.say(Kind::Seen, format!("somebody wants {tablet} to be rebuilt")),
            Input::Policy(policy) => self.wish(format!("somebody wants the policy {policy}")),
            Input::Drain(tablet, true) => self.say(Kind::Seen, format!("somebody takes {tablet} out of service")),
            Input::Drain(tablet, false) => self.say(Kind::Seen, format!("somebody puts {tablet} back into service")),
        }
    }

    fn hear(&mut self, tablet: &TabletAlias, state: &State) {
        let says = describe(state);
        let before = self.heard.insert(tablet.clone(), (self.now, says.clone()));
        if before.is_none_or(|(_, said)| said != says) {
            self.mark(Kind::Seen, format!("{tablet} says: {says}"), Mark::Sign(tablet.clone()));
        }
    }

    fn answered(&mut self, id: u64, outcome: &Result<Report, Refusal>) {
        let Some(Given { tablet, at, order }) = self.orders.remove(&id) else { return };
        let (what, took) = (words(&order), milliseconds(self.now.since(at)));
        match outcome {
            Ok(report) => {
                if order == Order::Recruit {
                    self.promised.insert(tablet.clone(), report.position.clone());
                }
                let text = format!("{tablet} has obeyed after {took} ({what}), and has {}", position(&report.position));
                match order {
                    Order::Lead { .. } => self.mark(Kind::Done, text, Mark::Leads),
                    _ => self.say(Kind::Done, text),
                }
            }
            Err(why) => self.say(Kind::Done, format!("{tablet} does not obey, after {took} ({what}): {why}")),
        }
    }

    fn topology_said(&mut self, id: u64, answer: &Answer) {
        let write = self.writes.remove(&id);
        match (answer, write) {
            (Answer::Written(_), Some(Step::Recruiting)) => {
                self.mark(Kind::Done, "the topology has the new term".to_owned(), Mark::Recorded);
            }
            (Answer::Written(_), Some(_)) => self.say(Kind::Done, "the topology has it".to_owned()),
            (Answer::Refused, _) => {
                self.say(Kind::Seen, "the topology refuses: somebody else has written, or the lock is lost".to_owned());
            }
            (Answer::LeaseGone, _) => self.say(Kind::Seen, "the lease is gone".to_owned()),
            (Answer::Failed(why), _) => self.say(Kind::Seen, format!("the topology could not say: {why}")),
            _ => {}
        }
    }

    fn output(&mut self, output: &Output) {
        match output {
            Output::Order { tablet, id, term, order } => {
                self.say(Kind::Done, format!("orders {tablet} in term {term} to {}", words(order)));
                self.orders.insert(*id, Given { tablet: tablet.clone(), at: self.now, order: order.clone() });
            }
            Output::Ask { id, request: Request::Write { entry, .. } } => self.writes(*id, entry),
            Output::Ask { .. } => {}
            Output::News(news) => self.news(news),
        }
    }

    fn writes(&mut self, id: u64, entry: &Entry) {
        let step = entry.record.step.clone();
        let term = entry.record.term;
        match &step {
            Step::Recruiting => self.say(Kind::Done, format!("writes down that term {term} is begun")),
            Step::Promoting(choice) => self.chooses(term, choice),
            Step::Settled => self.say(Kind::Done, format!("writes down that term {term} is settled")),
        }
        self.writes.insert(id, step);
    }

    fn chooses(&mut self, term: u64, choice: &Choice) {
        let Choice { tablet, begins_at, errant } = choice;
        let promised = self.promised.iter().map(|(tablet, has)| format!("{tablet} (has {})", position(has)));
        let promised = promised.collect::<Vec<_>>().join(", ");
        let mut why = format!("of those that have promised term {term}, {promised}, it has everything");
        for (tablet, extra) in errant {
            why += &format!("; {tablet} has {extra} besides, which nobody acknowledged");
        }
        let text = format!("chooses {tablet}: {why}; the term begins at {}", position(begins_at));
        let (tablet, begins_at) = (tablet.clone(), begins_at.clone());
        self.mark(Kind::Decided, text, Mark::Chosen { tablet, why, begins_at });
    }

    fn news(&mut self, news: &News) {
        let mark = match news {
            News::Found(problem) => {
                self.tell_silence(&problem.tablet);
                let takes_term = |rule: &&Rule| {
                    rule.code == problem.code && matches!(rule.remedy, Remedy::Reparent | Remedy::HandOver)
                };
                RULES.iter().find(takes_term).map(|_| Mark::Found(problem.tablet.clone()))
            }
            News::Begun(term) => {
                self.promised.clear();
                Some(Mark::Begun(*term))
            }
            News::Settled(reign) => Some(Mark::Settled(reign.term)),
            News::Lock(false) => Some(Mark::LostLock),
            _ => None,
        };
        self.moments.push(Moment { at: self.now, kind: Kind::Decided, text: news.to_string(), mark });
    }

    fn tell_silence(&mut self, tablet: &TabletAlias) {
        let Some((heard_at, _)) = self.heard.get(tablet) else { return };
        let silent = self.now.since(*heard_at);
        if silent >= SILENT_AFTER {
            self.say(Kind::Seen, format!("{tablet} has not been heard for {}", milliseconds(silent)));
        }
    }
}
