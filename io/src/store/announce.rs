//! The driver of [`weir_core::topo::store::Announcement`].

use super::Topology;
use crate::clock;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use weir_core::time::{Duration, Instant};
use weir_core::topo::store::Record;
use weir_core::topo::store::announcement::{Announcement, Input, Progress};

/// A process makes itself known for as long as this is there.
#[derive(Debug)]
pub struct Announced {
    progress: watch::Receiver<Progress>,
    stop: Option<oneshot::Sender<()>>,
    driver: JoinHandle<()>,
}

impl Announced {
    pub(super) fn start(topology: Topology, record: Option<&Record>, sign: &Record, ttl: Duration) -> Self {
        let machine = Announcement::new(topology.layout(), record, sign, ttl);
        let (told, progress) = watch::channel(machine.progress().clone());
        let (stop, stopped) = oneshot::channel();
        let driver = tokio::spawn(run(topology, machine, told, stopped));
        Self { progress, stop: Some(stop), driver }
    }

    /// How far that is.
    #[must_use]
    pub const fn progress(&self) -> &watch::Receiver<Progress> {
        &self.progress
    }

    /// Takes the sign away that the process runs; what stays of it stays. Without this it goes with its lease.
    pub async fn withdraw(mut self) {
        drop(self.stop.take());
        // It ends by itself, and has nothing to say.
        let _ = (&mut self.driver).await;
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if self.stop.is_some() {
            self.driver.abort();
        }
    }
}

async fn run(
    topology: Topology,
    mut machine: Announcement,
    told: watch::Sender<Progress>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut input = Input::Timeout;
    loop {
        machine.handle(clock::now(), input);
        told.send_if_modified(|progress| {
            let is_new = progress != machine.progress();
            if is_new {
                progress.clone_from(machine.progress());
            }
            is_new
        });
        input = match machine.poll_call() {
            // A lease that is granted must be known, or it could not be taken back: calls are not broken off.
            Some(call) => Input::Answered(topology.call(&call).await),
            None => {
                let deadline = clock::to_tokio(machine.poll_timeout().unwrap_or(Instant::MAX));
                tokio::select! {
                    () = tokio::time::sleep_until(deadline) => Input::Timeout,
                    _ = &mut stopped => break,
                }
            }
        };
    }
    if let Some(call) = machine.farewell() {
        // The lease ends by itself otherwise.
        let _ = topology.call(&call).await;
    }
}
