//! A tablet that takes orders: the driver of [`weir_core::tablet::orders`] beside one server.
//!
//! Its promise is a file, its line to the server a connection of its own; whoever gives orders and whoever listens are
//! reached by channels that lose what they have no room for, as a network would. Start with [`Obedience::run`].

mod line;

use super::connection::Connector;
use super::local::News;
use crate::clock;
use crate::durable::{Unusable, ValueFile};
use crate::servers::Keeper;
use line::Line;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};
use weir_core::gateway::cluster::TabletId;
use weir_core::mutants::Mutants;
use weir_core::tablet::operations::{Servers, SourceLogin};
use weir_core::tablet::orders::{
    Action, Input, Order, Orders, Output, Promise, Refusal, Report, State, WATCH_INTERVAL,
};
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

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
    /// Where the servers of the shard are.
    pub servers: Servers,
    /// How replicas log in to their source.
    pub login: SourceLogin,
    /// The file of its promise.
    pub promise: PathBuf,
    /// The term of the shard, for one that has not promised anything.
    pub term: u64,
    /// Where its orders come from.
    pub orders: mpsc::Receiver<ToTablet>,
    /// Who gives them.
    pub orchestrator: mpsc::Sender<FromTablet>,
    /// Who keeps the gateway's view of it.
    pub shard: mpsc::Sender<News>,
}

/// What is under way outside of the machine. It brings the line back, if it had taken it.
type Work = Pin<Box<dyn Future<Output = (Option<Line>, Input)> + Send>>;

/// One tablet's obedience. See the module.
pub struct Obedience {
    id: TabletId,
    alias: TabletAlias,
    machine: Orders,
    promise: ValueFile,
    line: Option<Line>,
    work: Option<Work>,
    orders: mpsc::Receiver<ToTablet>,
    orchestrator: mpsc::Sender<FromTablet>,
    shard: mpsc::Sender<News>,
}

impl Obedience {
    /// A tablet with what its file holds.
    ///
    /// # Errors
    /// When that cannot be read: without it the tablet might break its promise.
    pub fn new(setup: Setup) -> Result<Self, Unusable> {
        let Setup { id, alias, connector, keeper, servers, login, promise, term, orders, orchestrator, shard } = setup;
        let promise = ValueFile::new(promise);
        let promised = promise.read()?.unwrap_or_else(|| Promise::of_a_newcomer(term));
        let machine = Orders::new(promised, None, Mutants::NONE).watching(WATCH_INTERVAL);
        let line = Some(Line { connector, keeper, servers, login, connection: None });
        Ok(Self { id, alias, machine, promise, line, work: None, orders, orchestrator, shard })
    }

    /// Runs until nobody can give orders any more.
    pub async fn run(mut self) {
        let mut input = Input::Timeout;
        loop {
            self.machine.handle(clock::now(), input);
            while let Some(output) = self.machine.poll_output() {
                self.carry_out(output);
            }
            let deadline = clock::to_tokio(self.machine.poll_timeout().unwrap_or(Instant::MAX));
            input = tokio::select! {
                ordered = self.orders.recv() => match ordered {
                    Some(ToTablet { id, term, order }) => Input::Order { id, term, order },
                    None => return,
                },
                (line, done) = finished(&mut self.work) => {
                    self.work = None;
                    self.line = self.line.take().or(line);
                    done
                }
                () = tokio::time::sleep_until(deadline) => Input::Timeout,
            };
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
            Output::Answer { id, outcome } => {
                match &outcome {
                    Err(refusal @ Refusal::Errant(_)) => warn!("{} does not follow: {refusal}", self.alias),
                    Err(refusal) => info!("{} does not obey: {refusal}", self.alias),
                    Ok(_) => {}
                }
                // One that is lost is asked for again.
                let _ = self.orchestrator.try_send(FromTablet::Answered(id, outcome));
            }
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
