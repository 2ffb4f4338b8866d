//! A gateway's picture of its shard: the driver of [`weir_core::gateway::cluster`].
//!
//! It tells the machine what its owner has heard, and lets sessions see the view. The owner says when: what one event leads to is seen together.

use crate::clock;
use crate::recorder::Recorder;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use tracing::warn;
use weir_core::gateway::cluster::{Cluster, Config, Input, Output, View};
use weir_core::time::{Duration, Instant};

/// How often outliers are looked for.
pub(crate) const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Picture {
    machine: Cluster,
    recorder: Recorder,
    /// What it wants done, and was not yet.
    outputs: VecDeque<Output>,
    view: watch::Sender<Arc<View>>,
}

impl Picture {
    /// Of a shard of which nothing is known yet, and where it will be seen.
    pub(crate) fn new(config: Config, recorder: Recorder) -> (Self, watch::Receiver<Arc<View>>) {
        let machine = Cluster::new(config);
        let (view, seen) = watch::channel(Arc::clone(machine.view()));
        (Self { machine, recorder, outputs: VecDeque::new(), view }, seen)
    }

    /// Takes something in. Nobody sees what comes of it before [`Picture::publish`].
    pub(crate) fn tell(&mut self, now: Instant, input: Input) {
        self.outputs.extend(self.recorder.decide(&mut self.machine, now, input));
    }

    /// Takes in what sessions have seen of the tablets.
    pub(crate) fn measure(&mut self) {
        let now = clock::now();
        let samples = self.machine.view().samples(now);
        self.tell(now, Input::Measured(samples));
    }

    /// Waits until it has to be told [`Input::Timeout`].
    pub(crate) fn timeout(&self) -> impl Future<Output = ()> + Send + use<> {
        tokio::time::sleep_until(clock::to_tokio(self.machine.poll_timeout().unwrap_or(Instant::MAX)))
    }

    /// Lets everybody see it.
    pub(crate) fn publish(&mut self) {
        while let Some(output) = self.outputs.pop_front() {
            match output {
                Output::View(view) => _ = self.view.send(view),
                Output::TooManyTablets(id) => warn!("tablet {} is one too many and is not used", id.0),
            }
        }
    }
}
