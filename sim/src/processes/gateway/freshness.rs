//! Carries readers' wishes to the freshness machine, and its questions to the primary's tablet.

use std::collections::{BTreeMap, VecDeque};
use weir_core::gateway::cluster::View;
use weir_core::gateway::freshness::{AskId, Freshness, Input, Output, Primary, Scope, Ticket, Told, Written};
use weir_core::gtid::Position;
use weir_core::mutants::Mutants;
use weir_core::time::{Duration, Instant};
use weir_core::topo::Role;

/// The machine and the readers who wait for it.
#[derive(Debug)]
pub(super) struct Readers {
    machine: Freshness,
    /// Sessions, by ticket.
    waiting: BTreeMap<Ticket, u32>,
    last_ticket: u64,
    questions: VecDeque<(AskId, Primary)>,
    ready: VecDeque<Ready>,
}

/// A reader's wish.
pub(super) enum Freshening {
    /// It is answered.
    Ready(Told),
    /// The primary is being asked.
    Waiting(Ticket),
}

/// The answer to a reader that waited.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) session: u32,
    pub(super) ticket: Ticket,
    pub(super) told: Told,
}

impl Readers {
    pub(super) fn new(ask_timeout: Duration, mutants: Mutants) -> Self {
        Self {
            machine: Freshness::new(ask_timeout).breaking(mutants),
            waiting: BTreeMap::new(),
            last_ticket: 0,
            questions: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// A write went through.
    pub(super) fn acknowledged(&mut self, now: Instant, written: Written) {
        self.machine.handle(now, Input::Acknowledged(written));
    }

    /// A read begins.
    pub(super) fn freshen(&mut self, now: Instant, view: &View, session: u32, scope: Scope) -> Freshening {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.machine.handle(now, Input::Primary(primary(view)));
        self.machine.handle(now, Input::Want(ticket, scope));
        match self.drain(Some(ticket)) {
            Some(told) => Freshening::Ready(told),
            None => {
                self.waiting.insert(ticket, session);
                Freshening::Waiting(ticket)
            }
        }
    }

    /// A reader has gone.
    pub(super) fn forget(&mut self, now: Instant, ticket: Ticket) {
        // One that was answered is not there any more.
        if self.waiting.remove(&ticket).is_some() {
            self.machine.handle(now, Input::Forget(ticket));
            self.drain(None);
        }
    }

    /// A tablet has answered, or cannot.
    pub(super) fn answered(&mut self, now: Instant, view: &View, ask: AskId, position: Option<Position>) {
        self.machine.handle(now, Input::Primary(primary(view)));
        self.machine.handle(now, position.map_or(Input::Failed(ask), |position| Input::Answered(ask, position)));
        self.drain(None);
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        self.machine.handle(now, Input::Timeout);
        self.drain(None);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// A question for a tablet, in the order in which they were asked.
    pub(super) fn poll_question(&mut self) -> Option<(AskId, Primary)> {
        self.questions.pop_front()
    }

    /// An answer for a session.
    pub(super) fn poll_ready(&mut self) -> Option<Ready> {
        self.ready.pop_front()
    }

    /// Does what the machine wants; returns the answer to `own`, if it is among it.
    fn drain(&mut self, own: Option<Ticket>) -> Option<Told> {
        let mut answer = None;
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Ask { ask, primary } => self.questions.push_back((ask, primary)),
                Output::Ready(ticket, told) if own == Some(ticket) => answer = Some(told),
                Output::Ready(ticket, told) => {
                    if let Some(session) = self.waiting.remove(&ticket) {
                        self.ready.push_back(Ready { session, ticket, told });
                    }
                }
            }
        }
        answer
    }
}

fn primary(view: &View) -> Option<Primary> {
    let tablet = view.primary().filter(|tablet| tablet.role == Role::Primary && tablet.serving.is_yes())?;
    Some(Primary { tablet: tablet.id, term: tablet.term })
}
