//! A tablet that takes orders: the driver of [`weir_core::tablet::orders`] beside one server.
//!
//! Its promise is a file, its line to the server a connection of its own; whoever gives orders and whoever listens are
//! reached by channels that lose what they have no room for, as a network would. Start with [`Obedience::run`].

mod copying;
mod line;
mod proving;

pub use copying::Donors;
pub use proving::{Question, Vouchers};

use super::connection::Connector;
use super::local::News;
use crate::clock;
use crate::durable::{Unusable, ValueFile};
use crate::recorder::Recorder;
use crate::servers::Keeper;
use copying::Copying;
use line::Line;
use proving::Proving;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};
use weir_core::gateway::cluster::TabletId;
use weir_core::mutants::Mutants;
use weir_core::orch::durability::{Policy, Tablets};
use weir_core::orch::recovery::Cohort;
use weir_core::tablet::drain::Open;
use weir_core::tablet::operations::{Servers, SourceLogin};
use weir_core::tablet::orders::{
    Action, Input, Order, Orders, Output, Promise, Refusal, Report, State, WATCH_INTERVAL,
};
use weir_core::tablet::proof;
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// Orders and questions that wait for one tablet, and what it has said and was not heard yet, at most.
pub const QUEUE_MAX: usize = 256;

/// The pool of this process is the only one that lends connections.
const LENDER: u64 = 0;

/// A promise that cannot be written is tried again after this.
const PERSIST_RETRY: Duration = Duration::from_millis(500);

/// An order for a tablet.
#[derive(Debug)]
pub struct ToTablet {
    /// Names the order in its answer.
    pub id: u64,
    /// In which term.
    pub term: u64,
    /// What.
    pub order: Order,
    /// Where the answer goes.
    pub answer: mpsc::Sender<FromTablet>,
}

/// What a tablet tells an orchestrator.
#[derive(Debug)]
pub enum FromTablet {
    /// How it is.
    State(TabletAlias, Box<State>),
    /// The answer to an order.
    Answered(u64, Result<Report, Refusal>),
}

/// What a tablet that takes orders is made of.
#[derive(Debug)]
pub struct Setup {
    /// Its name in this process.
    pub id: TabletId,
    /// Its name in the cluster.
    pub alias: TabletAlias,
    /// How to reach its server, with every right there.
    pub connector: Connector,
    /// Who looks after its server's process.
    pub keeper: Arc<Keeper>,
    /// Whose data it may get.
    pub donors: Donors,
    /// Where the servers of the shard are.
    pub servers: watch::Receiver<Servers>,
    /// How replicas log in to their source.
    pub login: SourceLogin,
    /// The file of its promise.
    pub promise: PathBuf,
    /// The term of the shard, for one that has not promised anything.
    pub term: u64,
    /// Who takes part, and when a write counts as safe; `None` when the shard does not know yet, and so has no primary.
    pub cohort: Option<Cohort>,
    /// Where its orders come from.
    pub orders: mpsc::Receiver<ToTablet>,
    /// What other tablets ask.
    pub questions: mpsc::Receiver<Question>,
    /// Where it asks them.
    pub others: Vouchers,
    /// What is open on the connections that are lent to its server.
    pub open: watch::Receiver<Open>,
    /// True once its process is told to stop.
    pub leaving: watch::Receiver<bool>,
    /// Who is told how it is.
    pub orchestrator: mpsc::Sender<FromTablet>,
    /// Who keeps the gateway's view of it.
    pub shard: mpsc::Sender<News>,
    /// What keeps what it is told.
    pub recorder: Recorder,
}

/// What is under way outside of the machine. It brings the line back, if it had taken it.
type Work = Pin<Box<dyn Future<Output = (Option<Line>, Input)> + Send>>;

/// Who gave an order, and under which number.
enum Asker {
    Orchestrator(u64, mpsc::Sender<FromTablet>),
    Tablet(Question),
}

/// One tablet's obedience. See the module.
pub struct Obedience {
    id: TabletId,
    alias: TabletAlias,
    machine: Orders,
    recorder: Recorder,
    promise: ValueFile,
    line: Option<Line>,
    work: Option<Work>,
    proving: Proving,
    copying: Copying,
    orders: mpsc::Receiver<ToTablet>,
    questions: mpsc::Receiver<Question>,
    open: watch::Receiver<Open>,
    leaving: watch::Receiver<bool>,
    /// Who waits for which answer of the machine.
    asked: BTreeMap<u64, Asker>,
    /// Orders and questions so far.
    numbers: u64,
    orchestrator: mpsc::Sender<FromTablet>,
    shard: mpsc::Sender<News>,
}

impl Obedience {
    /// A tablet with what its file holds.
    ///
    /// # Errors
    /// When that cannot be read: without it the tablet might break its promise.
    pub fn new(setup: Setup) -> Result<Self, Unusable> {
        let Setup { id, alias, connector, keeper, donors, servers, login, promise, .. } = setup;
        let promise = ValueFile::new(promise);
        let promised = promise.read()?.unwrap_or_else(|| Promise::of_a_newcomer(setup.term));
        let copy = keeper.copy().map_err(|why| promise.unusable(why))?;
        // Nobody vouches for the term of a shard whose cohort is not known.
        let unknown = (Tablets::new(), Policy::SemiSync { acks: 1 });
        let (tablets, policy) = setup.cohort.map_or(unknown, |cohort| (cohort.tablets, cohort.policy));
        let machine = Orders::new(promised, None, Mutants::NONE).watching(WATCH_INTERVAL).with_copy(copy).under(policy);
        let proving = Proving::new(&alias, &tablets, setup.others);
        Ok(Self {
            id,
            alias,
            machine,
            recorder: setup.recorder,
            promise,
            copying: Copying::new(Arc::clone(&keeper), donors),
            line: Some(Line { connector, keeper, servers, login, connection: None }),
            work: None,
            proving,
            orders: setup.orders,
            questions: setup.questions,
            open: setup.open,
            leaving: setup.leaving,
            asked: BTreeMap::new(),
            numbers: 0,
            orchestrator: setup.orchestrator,
            shard: setup.shard,
        })
    }

    /// Runs until nobody can give orders any more.
    pub async fn run(mut self) {
        self.handle(Input::Timeout);
        self.hear_what_is_open();
        self.hear_whether_it_leaves();
        loop {
            let deadline = clock::to_tokio(self.machine.poll_timeout().unwrap_or(Instant::MAX));
            tokio::select! {
                ordered = self.orders.recv() => match ordered {
                    Some(ToTablet { id, term, order, answer }) => self.take(Asker::Orchestrator(id, answer), term, order),
                    None => return,
                },
                Some(question) = self.questions.recv() => {
                    let term = question.term;
                    self.take(Asker::Tablet(question), term, Order::Vouch);
                }
                Ok(()) = self.open.changed() => self.hear_what_is_open(),
                Ok(()) = self.leaving.changed() => self.hear_whether_it_leaves(),
                input = self.proving.next() => self.prove(input),
                Some(copy) = self.copying.next() => self.handle(Input::Copied(copy)),
                (line, done) = finished(&mut self.work) => {
                    self.work = None;
                    self.line = self.line.take().or(line);
                    self.handle(done);
                }
                () = tokio::time::sleep_until(deadline) => self.handle(Input::Timeout),
            }
        }
    }

    fn hear_what_is_open(&mut self) {
        let open = self.open.borrow_and_update().clone();
        self.handle(Input::Open { lender: LENDER, open });
    }

    fn hear_whether_it_leaves(&mut self) {
        if *self.leaving.borrow_and_update() {
            self.handle(Input::Leaving);
        }
    }

    fn take(&mut self, asker: Asker, term: u64, order: Order) {
        self.numbers += 1;
        let id = self.numbers;
        self.asked.insert(id, asker);
        self.handle(Input::Order { id, term, order });
    }

    fn handle(&mut self, input: Input) {
        for output in self.recorder.decide(&mut self.machine, clock::now(), input) {
            self.carry_out(output);
        }
        self.prove(proof::Input::Leads(self.machine.proves()));
    }

    /// Serves as primary for as long as the term is proven.
    fn prove(&mut self, input: proof::Input) {
        if let Some(proven) = self.proving.handle(input) {
            self.handle(proven);
        }
    }

    fn answer(&mut self, id: u64, outcome: Result<Report, Refusal>) {
        match self.asked.remove(&id) {
            Some(Asker::Orchestrator(id, answer)) => {
                match &outcome {
                    Err(refusal @ Refusal::Errant(_)) => warn!("{} does not follow: {refusal}", self.alias),
                    Err(refusal) => info!("{} does not obey: {refusal}", self.alias),
                    Ok(_) => {}
                }
                // One that is lost is asked for again.
                let _ = answer.try_send(FromTablet::Answered(id, outcome));
            }
            Some(Asker::Tablet(question)) => _ = question.answer.try_send((question.id, outcome.is_ok())),
            None => debug_assert!(false, "answered what nobody has asked"),
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist(promise) => self.work = Some(Box::pin(persist(self.promise.clone(), promise))),
            Output::Look => self.begin(None),
            Output::Act(action) => {
                info!(tablet = %self.alias, ?action, "acts on its server");
                self.begin(Some(action));
            }
            Output::Copy { from, term } => self.copying.begin(from, term),
            Output::Answer { id, outcome } => self.answer(id, outcome),
            Output::State(state) => {
                let state = Box::new(state);
                let _ = self.shard.try_send(News::State(self.id, state.clone()));
                let _ = self.orchestrator.try_send(FromTablet::State(self.alias.clone(), state));
            }
        }
    }

    /// Looks at the server, or does something to it.
    fn begin(&mut self, action: Option<Action>) {
        let Some(mut line) = self.line.take() else { return debug_assert!(false, "one thing at a time") };
        let alias = self.alias.clone();
        self.work = Some(Box::pin(async move {
            let began = clock::now();
            let input = match &action {
                None => line.look().await,
                Some(action) => line.act(action).await,
            };
            debug!(tablet = %alias, ?action, took = ?clock::now().since(began), "is done: {input:?}");
            (Some(line), input)
        }));
    }
}

/// Waits for ever when nothing is under way.
async fn finished(work: &mut Option<Work>) -> (Option<Line>, Input) {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Nothing is done or answered under a term before it is on the disk.
async fn persist(file: ValueFile, promise: Promise) -> (Option<Line>, Input) {
    loop {
        let (file, promise) = (file.clone(), promise.clone());
        let writing = tokio::task::spawn_blocking(move || file.write(&promise).map_err(|error| (file, error)));
        match writing.await {
            Ok(Ok(())) => return (None, Input::Persisted),
            Ok(Err((file, why))) => error!("cannot write {}: {why}", file.path().display()),
            Err(why) => error!("cannot write a promise: {why}"),
        }
        tokio::time::sleep(PERSIST_RETRY).await;
    }
}

/// What people are to know of a server that is not as it should be.
pub(crate) fn note(state: &State) -> Option<String> {
    let stuck = state.status.as_ref().is_some_and(|status| status.cannot_follow);
    let copy = state.copy.as_ref().map(ToString::to_string);
    copy.or_else(|| stuck.then(|| "what it has does not fit what it receives".to_owned()))
}
