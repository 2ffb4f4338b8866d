//! The orchestrator of one shard in this process: the driver of [`weir_core::orch::orchestrator`].
//!
//! It carries what tablets say to the machine, its orders to the tablets, and its questions to the [`EntryFile`]. Start with
//! [`Driver::run`].

mod store;

pub use store::{EntryFile, forget_history};

use crate::clock;
use crate::tablet::orders::{FromTablet, ToTablet};
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};
use weir_core::mutants::Mutants;
use weir_core::orch::analysis::Code;
use weir_core::orch::lock::{self, Entry};
use weir_core::orch::orchestrator::{Input, News, Orchestrator, Output};
use weir_core::orch::recovery::{Cohort, Reign, Step};
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// A change of primary that people ask for has come to its end by then, or they are told that it has not.
const REPARENT_TIME_MAX: Duration = Duration::from_secs(30);

/// Somebody wants this tablet to be primary.
#[derive(Debug)]
pub struct Wish {
    /// Whom.
    pub to: TabletAlias,
    /// Where it is heard what came of it.
    pub answer: oneshot::Sender<Result<u64, String>>,
}

/// Where people say whom they want to be primary.
#[derive(Clone, Debug)]
pub struct Wishes(mpsc::Sender<Wish>);

impl Wishes {
    /// Said to whoever receives these.
    #[must_use]
    pub const fn new(wishes: mpsc::Sender<Wish>) -> Self {
        Self(wishes)
    }

    /// Makes a tablet primary in order, without losing anything; the term that it is primary in.
    ///
    /// # Errors
    /// Why it is not, in words for people.
    pub async fn reparent(&self, to: TabletAlias) -> Result<u64, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the orchestrator has stopped".to_owned();
        self.0.send(Wish { to, answer }).await.map_err(|_| gone())?;
        let late = || format!("it is not done after {} s, and goes on", REPARENT_TIME_MAX.as_secs());
        let answered = tokio::time::timeout(REPARENT_TIME_MAX, answered).await.map_err(|_| late())?;
        answered.unwrap_or_else(|_| Err(gone()))
    }
}

/// What an orchestrator is made of.
#[derive(Debug)]
pub struct Setup {
    /// The shard as it is to be when the topology does not know it.
    pub cohort: Cohort,
    /// What the topology has.
    pub store: EntryFile,
    /// Where each tablet takes orders.
    pub tablets: BTreeMap<TabletAlias, mpsc::Sender<ToTablet>>,
    /// What they say.
    pub said: mpsc::Receiver<FromTablet>,
    /// What people want.
    pub wishes: mpsc::Receiver<Wish>,
    /// What is open on a primary that is to be succeeded in order may take so long to end.
    pub drain_time: Duration,
}

/// The orchestrator. See the module.
pub struct Driver {
    machine: Orchestrator,
    store: EntryFile,
    entry: watch::Sender<Option<Entry>>,
    tablets: BTreeMap<TabletAlias, mpsc::Sender<ToTablet>>,
    said: mpsc::Receiver<FromTablet>,
    wishes: mpsc::Receiver<Wish>,
    wish: Option<Wish>,
    /// What the topology has answered and the machine has not been told yet.
    answers: VecDeque<(u64, lock::Answer)>,
}

impl Driver {
    /// An orchestrator that has heard nothing yet, and where the shard's entry will be seen.
    #[must_use]
    pub fn new(setup: Setup) -> (Self, watch::Receiver<Option<Entry>>) {
        let Setup { cohort, store, tablets, said, wishes, drain_time } = setup;
        let (entry, seen) = watch::channel(store.entry().cloned());
        let machine = Orchestrator::new(cohort, Mutants::NONE).draining_for(drain_time);
        (Self { machine, store, entry, tablets, said, wishes, wish: None, answers: VecDeque::new() }, seen)
    }

    /// Runs until the tablets are gone. To be run where threads may block.
    pub async fn run(mut self) {
        let mut input = Some(Input::Timeout);
        while let Some(next) = input {
            self.machine.handle(clock::now(), next);
            while let Some(output) = self.machine.poll_output() {
                self.carry_out(output);
            }
            input = self.next().await;
        }
    }

    /// The next thing to tell the machine; `None` at the end.
    async fn next(&mut self) -> Option<Input> {
        loop {
            if let Some((id, answer)) = self.answers.pop_front() {
                return Some(Input::Topology(lock::Input::Answered(id, answer)));
            }
            let deadline = clock::to_tokio(self.machine.poll_timeout().unwrap_or(Instant::MAX));
            tokio::select! {
                said = self.said.recv() => return said.map(|said| match said {
                    FromTablet::State(tablet, state) => Input::Told(tablet, state),
                    FromTablet::Answered(id, outcome) => Input::Answered { id, outcome },
                }),
                Some(wish) = self.wishes.recv() => if let Some(to) = self.consider(wish) {
                    return Some(Input::Reparent(to));
                },
                () = tokio::time::sleep_until(deadline) => return Some(Input::Timeout),
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Order { tablet, id, term, order } => {
                info!(%tablet, term, ?order, "orders");
                if let Some(orders) = self.tablets.get(&tablet) {
                    // One that is lost is given again.
                    let _ = orders.try_send(ToTablet { id, term, order });
                }
            }
            Output::Ask { id, request } => {
                let is_write = matches!(request, lock::Request::Write { .. });
                let answer = tokio::task::block_in_place(|| self.store.answer(request));
                if is_write {
                    self.entry.send_replace(self.store.entry().cloned());
                }
                self.answers.push_back((id, answer));
            }
            Output::News(news) => self.tell(&news),
        }
    }

    // People.

    /// Whom the machine is to be told of; what needs no change of primary is answered at once.
    fn consider(&mut self, wish: Wish) -> Option<TabletAlias> {
        let refused = match self.settled() {
            _ if !self.tablets.contains_key(&wish.to) => {
                let known: Vec<String> = self.tablets.keys().map(ToString::to_string).collect();
                Err(format!("there is no tablet {}: they are {}", wish.to, known.join(", ")))
            }
            _ if self.wish.is_some() => Err("another change of primary is under way".to_owned()),
            None => Err("the primary is being changed already".to_owned()),
            Some(reign) if reign.primary == wish.to => Ok(reign.term),
            Some(_) => {
                let to = wish.to.clone();
                self.wish = Some(wish);
                return Some(to);
            }
        };
        // Whoever asked may have left.
        let _ = wish.answer.send(refused);
        None
    }

    fn settled(&self) -> Option<&Reign> {
        let record = &self.store.entry()?.record;
        record.reigns.last().filter(|_| record.step == Step::Settled)
    }

    fn tell(&mut self, news: &News) {
        match news {
            News::Found(problem) if needs_a_person(problem.code) => warn!("{news}"),
            News::Begun(term) if *term > 1 => warn!("{news}"),
            News::Settled(reign) => {
                if reign.term > 1 {
                    warn!("{news}")
                } else {
                    info!("{news}")
                }
                if let Some(wish) = self.wish.take() {
                    let outcome = if reign.primary == wish.to { Ok(reign.term) } else { Err(news.to_string()) };
                    let _ = wish.answer.send(outcome);
                }
            }
            News::NotHandedOver(..) => {
                warn!("{news}");
                if let Some(wish) = self.wish.take() {
                    let _ = wish.answer.send(Err(news.to_string()));
                }
            }
            News::Undecided(_) => warn!("{news}"),
            News::Found(_) | News::Begun(_) | News::Lock(_) => info!("{news}"),
        }
    }
}

/// Weir does not end this by itself.
const fn needs_a_person(code: Code) -> bool {
    matches!(code, Code::DeadPrimaryAndReplicas | Code::DeadPrimaryWithoutReplicas | Code::ErrantGtidDetected)
}
