//! A primary's tablet asks the others whether its term is current: the driver of [`weir_core::tablet::proof`].

use crate::clock;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use weir_core::orch::durability::Tablets;
use weir_core::tablet::orders::Input;
use weir_core::tablet::proof::{self, Proof};
use weir_core::time::Instant;
use weir_core::topo::TabletAlias;

/// Another tablet asks whether a term is current.
#[derive(Debug)]
pub struct Question {
    /// Names the question in its answer.
    pub(crate) id: u64,
    /// Which term.
    pub(crate) term: u64,
    /// Where the number and the answer go.
    pub(crate) answer: mpsc::Sender<(u64, bool)>,
}

/// Where the tablets of the shard are asked.
pub type Vouchers = BTreeMap<TabletAlias, mpsc::Sender<Question>>;

/// See the module.
pub(super) struct Proving {
    machine: Proof,
    others: Vouchers,
    answer: mpsc::Sender<(u64, bool)>,
    answers: mpsc::Receiver<(u64, bool)>,
}

impl Proving {
    /// Of the tablet `own` among these.
    pub(super) fn new(own: &TabletAlias, tablets: &Tablets, others: Vouchers) -> Self {
        let machine = Proof::new(own.clone(), tablets);
        let (answer, answers) = mpsc::channel(super::QUEUE_MAX);
        Self { machine, others, answer, answers }
    }

    /// Takes one input; the proof, if it is one.
    pub(super) fn handle(&mut self, input: proof::Input) -> Option<Input> {
        self.machine.handle(clock::now(), input);
        let mut proven = None;
        while let Some(output) = self.machine.poll_output() {
            match output {
                proof::Output::Ask { tablet, id, term } => {
                    if let Some(other) = self.others.get(&tablet) {
                        // One that is lost proves nothing; the next comes soon.
                        let _ = other.try_send(Question { id, term, answer: self.answer.clone() });
                    }
                }
                proof::Output::Proven { term, since } => proven = Some(Input::Proven { term, since }),
            }
        }
        proven
    }

    /// The next thing to tell it.
    pub(super) async fn next(&mut self) -> proof::Input {
        let deadline = clock::to_tokio(self.machine.poll_timeout().unwrap_or(Instant::MAX));
        tokio::select! {
            Some((id, vouches)) = self.answers.recv() => proof::Input::Answered(id, vouches),
            () = tokio::time::sleep_until(deadline) => proof::Input::Timeout,
        }
    }
}
