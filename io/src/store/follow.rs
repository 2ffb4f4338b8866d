//! The driver of [`weir_core::topo::store::Directory`]: it reads and watches for the machine, and hands its news on.

use super::Topology;
use crate::clock;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use weir_core::time::Instant;
use weir_core::topo::store::Directory;
use weir_core::topo::store::directory::{Input, News, Output};

/// News that wait to be taken, at most; then the watch waits.
const NEWS_MAX: usize = 1024;
/// Inputs that wait for the machine, at most; then the watch waits.
const INPUTS_MAX: usize = 16;

/// News of the topology, in order. It is not followed any more when this is dropped.
#[derive(Debug)]
pub struct Following {
    news: mpsc::Receiver<News>,
    _driver: JoinSet<()>,
}

impl Following {
    pub(super) fn start(topology: Topology) -> Self {
        let (told, news) = mpsc::channel(NEWS_MAX);
        let mut driver = JoinSet::new();
        driver.spawn(run(topology, told));
        Self { news, _driver: driver }
    }

    /// The next news. Whoever applies them in order knows what the store has, as it was when it was reached last.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

async fn run(topology: Topology, told: mpsc::Sender<News>) {
    let mut machine = Directory::new(topology.layout().clone());
    let (heard, mut inputs) = mpsc::channel(INPUTS_MAX);
    let mut tasks = JoinSet::new();
    let mut attempt_task: Option<AbortHandle> = None;
    let mut input = Input::Timeout;
    loop {
        machine.handle(clock::now(), input);
        while let Some(output) = machine.poll_output() {
            let task = match output {
                Output::News(news) => match told.send(news).await {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                Output::Read { attempt } => tasks.spawn(read(topology.clone(), attempt, heard.clone())),
                Output::Watch { attempt, after } => {
                    let (topology, heard) = (topology.clone(), heard.clone());
                    tasks.spawn(async move { topology.watch(attempt, after, &heard).await })
                }
            };
            if let Some(before) = attempt_task.replace(task) {
                before.abort();
            }
        }
        while tasks.try_join_next().is_some() {}
        let deadline = clock::to_tokio(machine.poll_timeout().unwrap_or(Instant::MAX));
        input = tokio::select! {
            Some(input) = inputs.recv() => input,
            () = tokio::time::sleep_until(deadline) => Input::Timeout,
            () = told.closed() => return,
        };
    }
}

async fn read(topology: Topology, attempt: u64, heard: mpsc::Sender<Input>) {
    let input = topology.read_all(attempt).await;
    // Nobody listens when nobody follows any more.
    let _ = heard.send(input).await;
}
