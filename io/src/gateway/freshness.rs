//! Carries readers' wishes to the freshness machine, and its questions to the primary's tablet.

use super::Shared;
use crate::clock;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use weir_core::gateway::cluster::View;
use weir_core::gateway::freshness::{AskId, Freshness, Input, Output, Primary, Scope, Ticket, Told, Written};
use weir_core::time::Duration;
use weir_core::topo::Role;

/// The machine and the readers who wait for it.
pub(super) struct Readers {
    state: Mutex<State>,
}

struct State {
    machine: Freshness,
    waiting: BTreeMap<Ticket, oneshot::Sender<Told>>,
    last_ticket: u64,
}

impl Readers {
    pub(super) fn new(ask_timeout: Duration) -> Self {
        let state = State { machine: Freshness::new(ask_timeout), waiting: BTreeMap::new(), last_ticket: 0 };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's wish on its way.
pub(super) enum Freshening {
    /// It is answered.
    Ready(Told),
    /// The primary is being asked.
    Waiting { shared: Arc<Shared>, ticket: Ticket, answer: oneshot::Receiver<Told> },
}

impl Freshening {
    /// Ready with how far the read must see.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Told> {
        match self {
            Self::Ready(told) => Poll::Ready(std::mem::take(told)),
            Self::Waiting { answer, .. } => Pin::new(answer).poll(cx).map(Result::unwrap_or_default),
        }
    }
}

impl Drop for Freshening {
    fn drop(&mut self) {
        if let Self::Waiting { shared, ticket, .. } = self {
            let mut state = shared.readers.state();
            // One that was answered is not there any more.
            if state.waiting.remove(ticket).is_some() {
                state.machine.handle(clock::now(), Input::Forget(*ticket));
                shared.drain_readers(&mut state, None);
            }
        }
    }
}

impl Shared {
    /// A write went through.
    pub(super) fn acknowledged(&self, written: Written) {
        self.readers.state().machine.handle(clock::now(), Input::Acknowledged(written));
    }

    /// A read begins.
    pub(super) fn freshen(self: &Arc<Self>, scope: Scope) -> Freshening {
        let mut state = self.readers.state();
        state.last_ticket += 1;
        let ticket = Ticket(state.last_ticket);
        let now = clock::now();
        state.machine.handle(now, Input::Primary(primary(&self.view())));
        state.machine.handle(now, Input::Want(ticket, scope));
        match self.drain_readers(&mut state, Some(ticket)) {
            Some(told) => Freshening::Ready(told),
            None => {
                let (sender, answer) = oneshot::channel();
                state.waiting.insert(ticket, sender);
                Freshening::Waiting { shared: Arc::clone(self), ticket, answer }
            }
        }
    }

    /// Does what the machine wants; returns the answer to `own`, if it is among it.
    fn drain_readers(self: &Arc<Self>, state: &mut State, own: Option<Ticket>) -> Option<Told> {
        let mut answer = None;
        while let Some(output) = state.machine.poll_output() {
            match output {
                Output::Ask { ask, primary } => {
                    tokio::spawn(Arc::clone(self).ask(ask, primary));
                }
                Output::Ready(ticket, told) if own == Some(ticket) => answer = Some(told),
                Output::Ready(ticket, told) => {
                    if let Some(reader) = state.waiting.remove(&ticket) {
                        let _ = reader.send(told);
                    }
                }
            }
        }
        answer
    }

    async fn ask(self: Arc<Self>, ask: AskId, primary: Primary) {
        let deadline = self.readers.state().machine.poll_timeout().unwrap_or_else(clock::now);
        let answer = async {
            match self.tablet(primary.tablet) {
                Some(tablet) => tablet.primary_position(primary.term).await.ok(),
                None => None,
            }
        };
        let input = match tokio::time::timeout_at(clock::to_tokio(deadline), answer).await {
            Ok(Some(position)) => Input::Answered(ask, position),
            Ok(None) => Input::Failed(ask),
            Err(_) => Input::Timeout,
        };
        let mut state = self.readers.state();
        state.machine.handle(clock::now(), Input::Primary(self::primary(&self.view())));
        state.machine.handle(clock::now(), input);
        self.drain_readers(&mut state, None);
    }
}

fn primary(view: &View) -> Option<Primary> {
    let tablet = view.primary().filter(|tablet| tablet.role == Role::Primary && tablet.serving.is_yes())?;
    Some(Primary { tablet: tablet.id, term: tablet.term })
}
