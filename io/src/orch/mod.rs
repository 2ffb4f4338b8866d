//! The orchestrator of one shard in this process: the driver of [`weir_core::orch::orchestrator`].
//!
//! It carries what tablets say to the machine, its orders to the tablets, and its questions to the [`Topology`]. Start with
//! [`Driver::run`].

mod entry;
mod service;

pub use entry::{adopt, forget_history};

use crate::clock;
use crate::recorder::Recorder;
use crate::tablet::orders::{FromTablet, ToTablet};
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};
use weir_core::mutants::Mutants;
use weir_core::orch::analysis::{Code, Problem};
use weir_core::orch::durability::Policy;
use weir_core::orch::lock::{self, Entry};
use weir_core::orch::orchestrator::{Counters, Input, News, Orchestrator, Output, Quarantine};
use weir_core::orch::rebuild::{Errant, Progress};
use weir_core::orch::recovery::{Cohort, Reign, Step};
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// A change of primary that people ask for has come to its end by then, or they are told that it has not.
const REPARENT_TIME_MAX: Duration = Duration::from_secs(45);

/// One at a time.
const UNDER_WAY: &str = "another change of primary or policy is under way";

/// What came of a wish, or why nothing did, in words for people.
type Answer<T> = oneshot::Sender<Result<T, String>>;

/// What somebody wants.
#[derive(Debug)]
pub enum Wish {
    /// This tablet is to be primary; the term that it is primary in.
    Primary(TabletAlias, Answer<u64>),
    /// This durability policy is to be in force; the term from which on it is.
    Policy(Policy, Answer<u64>),
    /// The server of this tablet is to get the data of another.
    Rebuilt(TabletAlias, Answer<()>),
    /// To know how far that is.
    Progress(TabletAlias, Answer<Progress>),
    /// To know who is best to take this tablet's place, if that is primary.
    Successor(TabletAlias, Answer<Option<TabletAlias>>),
    /// This tablet is to be out of service (true), or in it.
    Drained(TabletAlias, bool, Answer<()>),
    /// To know how the shard is.
    Report(Answer<Report>),
}

/// A shard as an orchestrator sees it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// It holds the shard's lock: what people want it does.
    pub in_charge: bool,
    /// What the topology has of the shard, as it was read or written last.
    pub entry: Option<Entry>,
    /// What is wrong. Only who is in charge knows.
    pub problems: Vec<Problem>,
    /// Who stays out until a person has looked at it. Only who is in charge knows.
    pub quarantined: BTreeMap<TabletAlias, Quarantine>,
    /// What it has done since it started.
    pub counters: Counters,
}

impl Wish {
    /// It does not come true.
    fn refuse(self, why: String) {
        // Whoever asked may have left.
        match self {
            Self::Primary(_, answer) => _ = answer.send(Err(why)),
            Self::Policy(_, answer) => _ = answer.send(Err(why)),
            Self::Rebuilt(_, answer) | Self::Drained(_, _, answer) => _ = answer.send(Err(why)),
            Self::Progress(_, answer) => _ = answer.send(Err(why)),
            Self::Successor(_, answer) => _ = answer.send(Err(why)),
            Self::Report(answer) => _ = answer.send(Err(why)),
        }
    }
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
        self.ask(|answer| Wish::Primary(to, answer)).await
    }

    /// Has writes count as safe by another policy, without losing anything; the term from which on it is in force.
    ///
    /// # Errors
    /// Why it is not, in words for people.
    pub async fn change_policy(&self, policy: Policy) -> Result<u64, String> {
        self.ask(|answer| Wish::Policy(policy, answer)).await
    }

    /// Begins to give the server of a tablet the data of another.
    ///
    /// # Errors
    /// Why that is not begun, in words for people.
    pub async fn rebuild(&self, tablet: TabletAlias) -> Result<(), String> {
        self.ask(|answer| Wish::Rebuilt(tablet, answer)).await
    }

    /// How far that is.
    ///
    /// # Errors
    /// Why nobody can say.
    pub async fn progress(&self, tablet: TabletAlias) -> Result<Progress, String> {
        self.ask(|answer| Wish::Progress(tablet, answer)).await
    }

    /// Who is best to take this tablet's place; `None` when that is not primary.
    ///
    /// # Errors
    /// Why there is nobody, in words for people.
    pub async fn successor(&self, of: TabletAlias) -> Result<Option<TabletAlias>, String> {
        self.ask(|answer| Wish::Successor(of, answer)).await
    }

    /// Writes down that a tablet is out of service, or in it.
    ///
    /// # Errors
    /// Why it is not, in words for people.
    pub async fn drain(&self, tablet: TabletAlias, out: bool) -> Result<(), String> {
        self.ask(|answer| Wish::Drained(tablet, out, answer)).await
    }

    /// How the shard is.
    ///
    /// # Errors
    /// Why nobody can say.
    pub async fn report(&self) -> Result<Report, String> {
        self.ask(Wish::Report).await
    }

    async fn ask<T>(&self, wish: impl FnOnce(Answer<T>) -> Wish) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the orchestrator has stopped".to_owned();
        self.0.send(wish(answer)).await.map_err(|_| gone())?;
        let late = || format!("it is not done after {} s, and goes on", REPARENT_TIME_MAX.as_secs());
        let answered = tokio::time::timeout(REPARENT_TIME_MAX, answered).await.map_err(|_| late())?;
        answered.unwrap_or_else(|_| Err(gone()))
    }
}

/// Questions to the topology that wait for it, at most; one that does not fit fails.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// The topology, as the orchestrator of one shard asks it.
#[derive(Debug)]
pub struct Topology {
    /// Where questions go.
    pub asks: mpsc::Sender<(u64, lock::Request)>,
    /// Where they are answered.
    pub answers: mpsc::Receiver<(u64, lock::Answer)>,
    /// What it has of the shard.
    pub entry: watch::Receiver<Option<Entry>>,
}

/// What an orchestrator is made of.
#[derive(Debug)]
pub struct Setup {
    /// The shard as it is to be when the topology does not know it.
    pub cohort: Cohort,
    /// What becomes of servers with transactions of their own.
    pub errant: Errant,
    /// Whom it asks for the lock, and what it writes to.
    pub topology: Topology,
    /// Where each tablet takes orders.
    pub tablets: BTreeMap<TabletAlias, mpsc::Sender<ToTablet>>,
    /// Where they answer.
    pub answers: mpsc::Sender<FromTablet>,
    /// What they say.
    pub said: mpsc::Receiver<FromTablet>,
    /// What people want.
    pub wishes: mpsc::Receiver<Wish>,
    /// What is open on a primary that is to be succeeded in order may take so long to end.
    pub drain_time: Duration,
    /// What keeps what it is told.
    pub recorder: Recorder,
}

/// The orchestrator. See the module.
pub struct Driver {
    machine: Orchestrator,
    recorder: Recorder,
    topology: Topology,
    tablets: BTreeMap<TabletAlias, mpsc::Sender<ToTablet>>,
    answers: mpsc::Sender<FromTablet>,
    said: mpsc::Receiver<FromTablet>,
    wishes: mpsc::Receiver<Wish>,
    wish: Option<(TabletAlias, Answer<u64>)>,
    policy: Option<Answer<u64>>,
    /// Heard by the machine in this very turn.
    to_rebuild: Option<Answer<()>>,
    /// Who is to be out of service, or in it.
    drains: Vec<(TabletAlias, Answer<()>)>,
    /// Questions that could not be asked.
    unasked: VecDeque<u64>,
}

impl Driver {
    /// An orchestrator that has heard nothing yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { cohort, errant, topology, tablets, answers, said, wishes, drain_time, recorder } = setup;
        let machine = Orchestrator::new(cohort, Mutants::NONE).with_errant(errant).draining_for(drain_time);
        let (wish, policy, to_rebuild, drains, unasked) = (None, None, None, Vec::new(), VecDeque::new());
        Self { machine, recorder, topology, tablets, answers, said, wishes, wish, policy, to_rebuild, drains, unasked }
    }

    /// Runs until the tablets are gone.
    pub async fn run(mut self) {
        let mut input = Some(Input::Timeout);
        while let Some(next) = input {
            for output in self.recorder.decide(&mut self.machine, clock::now(), next) {
                self.carry_out(output);
            }
            if let Some(asked) = self.to_rebuild.take() {
                // Whoever asked may have left.
                let _ = asked.send(Ok(()));
            }
            input = self.next().await;
        }
    }

    /// The next thing to tell the machine; `None` at the end.
    async fn next(&mut self) -> Option<Input> {
        loop {
            if let Some(id) = self.unasked.pop_front() {
                let busy = lock::Answer::Failed("too many questions wait for the topology".to_owned());
                return Some(Input::Topology(lock::Input::Answered(id, busy)));
            }
            let deadline = clock::to_tokio(self.machine.poll_timeout().unwrap_or(Instant::MAX));
            tokio::select! {
                said = self.said.recv() => return said.map(|said| match said {
                    FromTablet::State(tablet, state) => Input::Told(tablet, state),
                    FromTablet::Answered(id, outcome) => Input::Answered { id, outcome },
                }),
                Some((id, answer)) = self.topology.answers.recv() => {
                    return Some(Input::Topology(lock::Input::Answered(id, answer)));
                }
                Some(wish) = self.wishes.recv() => if let Some(input) = self.consider(wish) {
                    return Some(input);
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
                    let _ = orders.try_send(ToTablet { id, term, order, answer: self.answers.clone() });
                }
            }
            Output::Ask { id, request } => {
                if self.topology.asks.try_send((id, request)).is_err() {
                    self.unasked.push_back(id);
                }
            }
            Output::News(news) => self.tell(&news),
        }
    }

    // People.

    /// What the machine is to be told; what it need not hear of is answered at once.
    fn consider(&mut self, wish: Wish) -> Option<Input> {
        if !self.machine.is_in_charge() && !matches!(wish, Wish::Report(_)) {
            wish.refuse(
                "this orchestrator does not hold the shard's lock; the one that does is to be asked".to_owned(),
            );
            return None;
        }
        match wish {
            Wish::Report(answer) => _ = answer.send(Ok(self.report())),
            Wish::Primary(to, answer) => match self.consider_primary(&to) {
                Some(said) => _ = answer.send(said),
                None => {
                    self.wish = Some((to.clone(), answer));
                    return Some(Input::Reparent(to));
                }
            },
            Wish::Policy(policy, answer) => {
                if self.wish.is_some() || self.policy.is_some() {
                    let _ = answer.send(Err(UNDER_WAY.to_owned()));
                    return None;
                }
                self.policy = Some(answer);
                return Some(Input::Policy(policy));
            }
            Wish::Rebuilt(tablet, answer) => match self.unknown(&tablet) {
                Some(why) => _ = answer.send(Err(why)),
                None => {
                    self.to_rebuild = Some(answer);
                    return Some(Input::Rebuild(tablet));
                }
            },
            Wish::Drained(tablet, out, answer) => match self.unknown(&tablet) {
                Some(why) => _ = answer.send(Err(why)),
                None => {
                    self.drains.push((tablet.clone(), answer));
                    return Some(Input::Drain(tablet, out));
                }
            },
            Wish::Successor(of, answer) => {
                let said = self.unknown(&of).map_or_else(|| self.successor(&of), Err);
                let _ = answer.send(said);
            }
            Wish::Progress(tablet, answer) => {
                let progress = self.machine.rebuilding(clock::now(), &tablet);
                let _ = answer.send(progress.ok_or_else(|| "the primary is being changed".to_owned()));
            }
        }
        None
    }

    fn report(&self) -> Report {
        Report {
            in_charge: self.machine.is_in_charge(),
            entry: self.topology.entry.borrow().clone(),
            problems: self.machine.problems().cloned().collect(),
            quarantined: self.machine.quarantined(),
            counters: self.machine.counters().clone(),
        }
    }

    fn successor(&self, of: &TabletAlias) -> Result<Option<TabletAlias>, String> {
        let reign = self.settled().ok_or("the primary is being changed already")?;
        if reign.primary != *of {
            return Ok(None);
        }
        let nobody = || format!("{of} is primary, and no other tablet can take its place now");
        self.machine.best_successor(clock::now()).map(Some).ok_or_else(nobody)
    }

    /// Answers those who have asked for this of a tablet.
    fn drained(&mut self, tablet: &TabletAlias, outcome: &Result<(), String>) {
        for (_, answer) in self.drains.extract_if(.., |(other, _)| other == tablet) {
            // Whoever asked may have left.
            let _ = answer.send(outcome.clone());
        }
    }

    fn answer_policy(&mut self, said: Result<u64, String>) {
        if let Some(answer) = self.policy.take() {
            // Whoever asked may have left.
            let _ = answer.send(said);
        }
    }

    fn unknown(&self, tablet: &TabletAlias) -> Option<String> {
        let known: Vec<String> = self.tablets.keys().map(ToString::to_string).collect();
        let is_known = self.tablets.contains_key(tablet);
        (!is_known).then(|| format!("there is no tablet {tablet}: they are {}", known.join(", ")))
    }

    /// What needs no change of primary.
    fn consider_primary(&self, to: &TabletAlias) -> Option<Result<u64, String>> {
        if let Some(why) = self.unknown(to) {
            return Some(Err(why));
        }
        match self.settled() {
            _ if self.wish.is_some() || self.policy.is_some() => Some(Err(UNDER_WAY.to_owned())),
            _ if self.topology.entry.borrow().as_ref().is_some_and(|entry| entry.drained.contains(to)) => {
                Some(Err(format!("{to} is out of service: put it back first (weir ctl undrain)")))
            }
            None => Some(Err("the primary is being changed already".to_owned())),
            Some(reign) if reign.primary == *to => Some(Ok(reign.term)),
            Some(_) => None,
        }
    }

    fn settled(&self) -> Option<Reign> {
        let entry = self.topology.entry.borrow();
        let record = &entry.as_ref()?.record;
        record.reigns.last().filter(|_| record.step == Step::Settled).cloned()
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
                if let Some((to, answer)) = self.wish.take() {
                    let outcome = if reign.primary == to { Ok(reign.term) } else { Err(news.to_string()) };
                    let _ = answer.send(outcome);
                }
            }
            News::NotHandedOver(..) => {
                warn!("{news}");
                if let Some((_, answer)) = self.wish.take() {
                    let _ = answer.send(Err(news.to_string()));
                }
            }
            News::NotRebuilt(..) => {
                if let Some(answer) = self.to_rebuild.take() {
                    let _ = answer.send(Err(news.to_string()));
                }
            }
            News::Drained(tablet, _) => {
                warn!("{news}");
                self.drained(tablet, &Ok(()));
            }
            News::NotDrained(tablet) => {
                warn!("{news}");
                self.drained(tablet, &Err(news.to_string()));
            }
            News::PolicyChanged(_, term) => {
                warn!("{news}");
                self.answer_policy(Ok(*term));
            }
            News::NotChanged(..) => {
                warn!("{news}");
                self.answer_policy(Err(news.to_string()));
            }
            News::Undecided(_) | News::Rebuilding(..) | News::Rebuilt(_) => warn!("{news}"),
            News::Lock(false) => {
                info!("{news}");
                let lost =
                    "this orchestrator has lost the shard's lock meanwhile: who holds it now says what came of it";
                if let Some((_, answer)) = self.wish.take() {
                    let _ = answer.send(Err(lost.to_owned()));
                }
                self.answer_policy(Err(lost.to_owned()));
            }
            News::Found(_) | News::Begun(_) | News::Lock(true) => info!("{news}"),
        }
    }
}

/// Weir does not end this by itself.
const fn needs_a_person(code: Code) -> bool {
    matches!(
        code,
        Code::DeadPrimaryAndReplicas
            | Code::DeadPrimaryWithoutReplicas
            | Code::ErrantGtidDetected
            | Code::ReplicaCannotFollow
    )
}
