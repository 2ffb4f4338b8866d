//! Carries statements that wait for a primary to the buffer, and back.

use std::collections::{BTreeMap, VecDeque};
use weir_core::gateway::buffer::{Buffer, Config, Hold, Input, Output, Refusal, Serving, Ticket};
use weir_core::gateway::cluster::View;
use weir_core::mutants::Mutants;
use weir_core::time::Instant;

/// The machine and the sessions whose statements wait.
#[derive(Debug)]
pub(super) struct Waiters {
    machine: Buffer,
    /// Sessions, by ticket.
    waiting: BTreeMap<Ticket, u32>,
    last_ticket: u64,
    over: VecDeque<Over>,
}

/// A wait for a primary.
pub(super) enum Buffering {
    /// It is over at once.
    Over(Result<(), Refusal>),
    /// It has begun.
    Waiting(Ticket),
}

/// A wait that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) session: u32,
    pub(super) ticket: Ticket,
    pub(super) outcome: Result<(), Refusal>,
}

impl Waiters {
    pub(super) fn new(config: Config, mutants: Mutants) -> Self {
        let machine = Buffer::new(config, mutants);
        Self { machine, waiting: BTreeMap::new(), last_ticket: 0, over: VecDeque::new() }
    }

    /// A statement begins to wait.
    pub(super) fn hold(&mut self, now: Instant, view: &View, session: u32, hold: Hold) -> Buffering {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.see(now, view);
        self.machine.handle(now, Input::Hold(ticket, hold));
        match self.drain(Some(ticket)) {
            Some(outcome) => Buffering::Over(outcome),
            None => {
                self.waiting.insert(ticket, session);
                Buffering::Waiting(ticket)
            }
        }
    }

    /// Its client has gone.
    pub(super) fn forget(&mut self, now: Instant, ticket: Ticket) {
        if self.waiting.remove(&ticket).is_some() {
            self.machine.handle(now, Input::Forget(ticket));
        }
    }

    /// The cluster looks like this now.
    pub(super) fn see(&mut self, now: Instant, view: &View) {
        self.machine.handle(now, Input::Primary(Serving::in_view(view)));
        self.drain(None);
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        self.machine.handle(now, Input::Timeout);
        self.drain(None);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// A wait that is over.
    pub(super) fn poll_over(&mut self) -> Option<Over> {
        self.over.pop_front()
    }

    /// Statements that wait.
    pub(super) fn count(&self) -> usize {
        self.machine.holds().0
    }

    /// Notes whose waits are over; returns what becomes of `own`, if it is among them.
    fn drain(&mut self, own: Option<Ticket>) -> Option<Result<(), Refusal>> {
        let mut answer = None;
        while let Some(Output::Over(ticket, outcome)) = self.machine.poll_output() {
            if own == Some(ticket) {
                answer = Some(outcome);
            } else if let Some(session) = self.waiting.remove(&ticket) {
                self.over.push_back(Over { session, ticket, outcome });
            }
        }
        answer
    }
}
