//! Asks gateways and orchestrators how they are, again and again.

use crate::snapshot::{Snapshot, look};
use std::time::Duration;
use tokio::sync::watch;
use weir_io::admin::Cluster;

/// Until nobody looks any more.
pub(super) async fn run(cluster: Cluster, every: Duration, told: watch::Sender<Snapshot>) {
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !told.is_closed() {
        due.tick().await;
        told.send_replace(look(&cluster).await);
    }
}
