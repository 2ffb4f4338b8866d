//! Carries statements that wait for a primary to the buffer, and back.

use super::Shared;
use crate::clock;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{Notify, oneshot};
use weir_core::gateway::buffer::{Buffer, Config, Counters, Hold, Input, Output, Refusal, Serving, Ticket};
use weir_core::mutants::Mutants;
use weir_core::time::Instant;

/// What becomes of a statement that waited.
type Outcome = Result<(), Refusal>;

/// The machine and the sessions whose statements wait.
pub(super) struct Waiters {
    state: Mutex<State>,
    /// The machine wants to be woken earlier than before.
    earlier: Notify,
}

struct State {
    machine: Buffer,
    waiting: BTreeMap<Ticket, oneshot::Sender<Outcome>>,
    last_ticket: u64,
}

impl Waiters {
    pub(super) fn new(config: Config) -> Self {
        let state = State { machine: Buffer::new(config, Mutants::NONE), waiting: BTreeMap::new(), last_ticket: 0 };
        Self { state: Mutex::new(state), earlier: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has waited, what waits now, its bytes, and how much may.
    pub(super) fn told(&self) -> (Counters, (usize, usize), Config) {
        let machine = &self.state().machine;
        (machine.counters(), machine.holds(), machine.config().clone())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.state().machine.poll_timeout()
    }

    fn handle(&self, input: Input) {
        let mut state = self.state();
        state.machine.handle(clock::now(), input);
        state.drain(None);
    }
}

impl State {
    /// Tells those whose waits are over; returns what becomes of `own`, if it is among them.
    fn drain(&mut self, own: Option<Ticket>) -> Option<Outcome> {
        let mut answer = None;
        while let Some(Output::Over(ticket, outcome)) = self.machine.poll_output() {
            if own == Some(ticket) {
                answer = Some(outcome);
            } else if let Some(session) = self.waiting.remove(&ticket) {
                let _ = session.send(outcome);
            }
        }
        answer
    }
}

/// A wait for a primary.
pub(super) enum Buffering {
    /// It is over at once.
    Over(Outcome),
    /// It has begun.
    Waiting { shared: Arc<Shared>, ticket: Ticket, over: oneshot::Receiver<Outcome> },
}

impl Buffering {
    /// Ready when it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self {
            Self::Over(outcome) => Poll::Ready(*outcome),
            Self::Waiting { over, .. } => Pin::new(over).poll(cx).map(|over| over.unwrap_or(Err(Refusal::Disabled))),
        }
    }
}

impl Drop for Buffering {
    fn drop(&mut self) {
        if let Self::Waiting { shared, ticket, .. } = self {
            let mut state = shared.waiters.state();
            // One whose wait is over is not there any more.
            if state.waiting.remove(ticket).is_some() {
                state.machine.handle(clock::now(), Input::Forget(*ticket));
            }
        }
    }
}

impl Shared {
    /// A statement begins to wait for a primary.
    pub(super) fn buffer(self: &Arc<Self>, hold: Hold) -> Buffering {
        let mut state = self.waiters.state();
        let view = self.view();
        state.last_ticket += 1;
        let (ticket, deadline) = (Ticket(state.last_ticket), state.machine.poll_timeout());
        state.machine.handle(clock::now(), Input::Primary(Serving::in_view(&view)));
        state.machine.handle(clock::now(), Input::Hold(ticket, hold));
        if let Some(outcome) = state.drain(Some(ticket)) {
            return Buffering::Over(outcome);
        }
        if state.machine.poll_timeout() != deadline {
            self.waiters.earlier.notify_one();
        }
        let (sender, over) = oneshot::channel();
        state.waiting.insert(ticket, sender);
        Buffering::Waiting { shared: Arc::clone(self), ticket, over }
    }

    /// Tells the buffer of every view, and of the time.
    pub(super) async fn mind_the_buffer(self: Arc<Self>) {
        let mut view = self.view.clone();
        loop {
            let deadline = clock::to_tokio(self.waiters.poll_timeout().unwrap_or(Instant::MAX));
            tokio::select! {
                changed = view.changed() => match changed {
                    Ok(()) => {
                        let serving = Serving::in_view(&view.borrow_and_update());
                        self.waiters.handle(Input::Primary(serving));
                    }
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(deadline) => self.waiters.handle(Input::Timeout),
                () = self.waiters.earlier.notified() => {}
            }
        }
    }
}
