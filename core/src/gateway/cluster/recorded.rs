//! A cluster machine in a recording.
//!
//! What follows from the rest is not in it twice: the view is what is seen of the tablets at the time of the last look, and when to
//! look again follows from their places. So one that was written down holds the very view that was put out last: it puts it out no second
//! time, and keeps back none that is new.

use super::{Beats, Cluster, Config, Input, Output, Tablet, TabletId};
use crate::recording::Recorded;
use crate::time::Instant;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What is in a recording.
#[derive(Deserialize)]
pub(super) struct Known {
    config: Config,
    tablets: BTreeMap<TabletId, Tablet>,
    beats: Beats,
    seen_at: Instant,
}

impl From<Known> for Cluster {
    fn from(known: Known) -> Self {
        let Known { config, tablets, beats, seen_at } = known;
        let (view, outputs) = (Arc::default(), VecDeque::new());
        let mut cluster = Self { config, tablets, beats, seen_at, wake_at: None, view, outputs };
        cluster.view = Arc::new(cluster.view_at(seen_at));
        cluster.wake_at = cluster.next_change(seen_at);
        cluster
    }
}

impl Recorded for Cluster {
    const KIND: &'static str = "gateway";
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }
}
