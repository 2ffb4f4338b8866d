//! What a tablet was ordered, what it has promised and done to its server, and how that was.

use super::{Kind, Moment, Story, acknowledgements, describe, milliseconds, position, words};
use std::collections::BTreeMap;
use weir_core::tablet::orders::{
    Action, Copy, Input, Order, Orders, Output, Promise, Refusal, Report, Stage, State, Status,
};
use weir_core::time::Instant;
use weir_core::topo::{Role, TabletAlias};

/// What is under way outside of the machine.
#[derive(Debug)]
enum UnderWay {
    Persisting,
    Looking,
    Acting(Action),
}

/// What was told so far. See the module.
#[derive(Debug, Default)]
pub(crate) struct OfTablet {
    orders: BTreeMap<u64, (Instant, Order)>,
    under_way: Option<(Instant, UnderWay)>,
    promised: u64,
    role: Role,
    /// Whether its server answers, when that is known.
    answers: Option<bool>,
    /// Whether clients can write there.
    writable: Option<bool>,
    /// From whom it receives, and whether it does.
    source: Option<(TabletAlias, bool)>,
    copy: Option<(TabletAlias, u64, &'static str)>,
    moments: Vec<Moment>,
    now: Instant,
}

impl Story for OfTablet {
    type Machine = Orders;

    fn begin(&mut self, at: Instant, machine: &Orders) -> Vec<Moment> {
        let state = machine.state(at);
        *self = Self { now: at, promised: state.promised, role: state.role, ..Self::default() };
        let text = match &state.status {
            Some(status) => {
                self.remember(status);
                describe(&state)
            }
            None => format!("has promised term {}", state.promised),
        };
        self.say(Kind::Seen, text);
        core::mem::take(&mut self.moments)
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

impl OfTablet {
    fn say(&mut self, kind: Kind, text: String) {
        self.moments.push(Moment { at: self.now, kind, text, mark: None });
    }

    fn input(&mut self, input: &Input) {
        match input {
            // Asked again and again, and answered at once.
            Input::Order { order: Order::Vouch, .. } | Input::Proven { .. } => {}
            Input::Order { id, term, order } => {
                self.say(Kind::Seen, format!("is ordered in term {term} to {}", words(order)));
                self.orders.insert(*id, (self.now, order.clone()));
            }
            Input::Persisted => self.done(&Ok(())),
            Input::Acted(outcome) => self.done(outcome),
            Input::Looked(status) => {
                self.under_way = None;
                self.looks(status);
            }
            Input::Copied(copy) => self.copied(copy),
            Input::Leaving => self.say(Kind::Seen, "its process is told to stop".to_owned()),
            Input::Open { .. } | Input::LenderLost(_) | Input::Timeout => {}
        }
    }

    fn done(&mut self, outcome: &Result<(), String>) {
        let Some((since, what)) = self.under_way.take() else { return };
        let took = milliseconds(self.now.since(since));
        let what = match (what, outcome) {
            (UnderWay::Looking, Ok(())) => return,
            (UnderWay::Looking, Err(why)) => {
                if self.answers.replace(false) != Some(false) {
                    self.say(Kind::Seen, format!("its server does not answer: {why}"));
                }
                return;
            }
            (UnderWay::Persisting, _) => format!("that is on the disk, after {took}"),
            (UnderWay::Acting(action), Ok(())) => format!("that is done, after {took} ({})", deed(&action)),
            (UnderWay::Acting(action), Err(why)) => format!("that failed, after {took} ({}): {why}", deed(&action)),
        };
        self.say(Kind::Done, what);
    }

    fn looks(&mut self, status: &Status) {
        let (answers, writable, source) = (self.answers, self.writable, self.source.clone());
        self.remember(status);
        if answers == Some(false) {
            self.say(Kind::Seen, "its server answers again".to_owned());
        }
        if self.writable != writable {
            let can =
                if status.read_only { "clients cannot write on its server" } else { "clients can write on its server" };
            self.say(Kind::Seen, format!("{can} from now on"));
        }
        if self.source != source {
            let text = match &self.source {
                Some((of, true)) => format!("its server receives from {of}"),
                Some((of, false)) if status.receiver_running => format!("its server has lost its connection to {of}"),
                Some((of, false)) => format!("its server does not receive from {of}"),
                None => "its server is nobody's replica".to_owned(),
            };
            self.say(Kind::Seen, text);
        }
    }

    fn remember(&mut self, status: &Status) {
        self.answers = Some(true);
        self.writable = Some(!status.read_only);
        self.source = status.source.clone().map(|source| (source, status.receiver_connected));
    }

    /// How many bytes have come is not told each time.
    fn copied(&mut self, copy: &Copy) {
        let stage = match copy.stage {
            Stage::UnderWay(_) => "under way",
            Stage::Ready => "ready",
            Stage::Broken(_) => "broken",
        };
        let now = (copy.from.clone(), copy.term, stage);
        if self.copy.as_ref() != Some(&now) {
            self.copy = Some(now);
            self.say(Kind::Seen, copy.to_string());
        }
    }

    fn output(&mut self, output: &Output) {
        match output {
            Output::Persist(promise) => self.persists(promise),
            Output::Look => self.under_way = Some((self.now, UnderWay::Looking)),
            Output::Act(action) => {
                self.say(Kind::Done, format!("has its server {}", deed(action)));
                self.under_way = Some((self.now, UnderWay::Acting(action.clone())));
            }
            Output::Copy { from, .. } => self.say(Kind::Done, format!("begins to copy the data of {from}")),
            Output::Answer { id, outcome } => self.answered(*id, outcome),
            Output::State(state) => self.is(state),
        }
    }

    fn persists(&mut self, promise: &Promise) {
        let text = match promise.promised > core::mem::replace(&mut self.promised, promise.promised) {
            true => format!("promises to obey no order of a term before {}, and writes that down", promise.promised),
            false => "writes down what its server has".to_owned(),
        };
        self.say(Kind::Done, text);
        self.under_way = Some((self.now, UnderWay::Persisting));
    }

    fn answered(&mut self, id: u64, outcome: &Result<Report, Refusal>) {
        let Some((since, order)) = self.orders.remove(&id) else { return };
        let (what, took) = (words(&order), milliseconds(self.now.since(since)));
        let text = match outcome {
            Ok(report) => format!("has obeyed after {took} ({what}), and has {}", position(&report.position)),
            Err(why) => format!("does not obey, after {took} ({what}): {why}"),
        };
        self.say(Kind::Done, text);
    }

    fn is(&mut self, state: &State) {
        let was = core::mem::replace(&mut self.role, state.role);
        if was == state.role {
            return;
        }
        let text = match (was, state.role) {
            (Role::Primary, Role::Unknown) => {
                "does not serve as PRIMARY any more: it does not lead, or cannot prove that its term is current"
                    .to_owned()
            }
            (_, Role::Unknown) => format!("does not serve as {was} any more"),
            (_, role) => format!("serves as {role}, having promised term {}", state.promised),
        };
        self.say(Kind::Decided, text);
    }
}

/// What is done to a server, after "has its server".
fn deed(action: &Action) -> String {
    match action {
        Action::Fence => "let no client write".to_owned(),
        Action::Rest => "let no client write, if that can be at once".to_owned(),
        Action::Slow(true) => "commit slowly".to_owned(),
        Action::Slow(false) => "commit at full speed".to_owned(),
        Action::StopReceiver => "stop receiving".to_owned(),
        Action::StartApplier => "apply what it has received".to_owned(),
        Action::Detach => "forget its source".to_owned(),
        Action::WaitForAcks(0) => "wait for no acknowledgements".to_owned(),
        Action::WaitForAcks(acks) => format!("wait for {}", acknowledgements(*acks)),
        Action::Acknowledge(true) => "acknowledge what it receives".to_owned(),
        Action::Acknowledge(false) => "acknowledge nothing".to_owned(),
        Action::Open => "let clients write".to_owned(),
        Action::Follow { source } => format!("follow {source}"),
        Action::StartReplication => "go on with replication".to_owned(),
        Action::Restore => "start with the copy in the place of its data".to_owned(),
    }
}
