//! Asks gateways and orchestrators how they are, again and again.

use crate::ctl::add_up;
use std::time::Duration;
use tokio::sync::watch;
use weir_io::admin::messages::{GatewayStatus, OrchestratorStatus, Tablet};
use weir_io::admin::{Asked, Cluster, Gateway};

/// What was said at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Nothing has been asked before it is.
    pub(super) is_there: bool,
    /// KEYSPACE/SHARD.
    pub(super) shard: String,
    /// What the orchestrator says that holds the lock, if one does.
    pub(super) holder: Option<OrchestratorStatus>,
    /// The tablets as all gateways see them together.
    pub(super) tablets: Vec<Tablet>,
    /// The gateways, or why one has not answered.
    pub(super) gateways: Asked<GatewayStatus>,
    /// What could not be asked, and why.
    pub(super) trouble: Vec<String>,
}

/// Until nobody looks any more.
pub(super) async fn run(cluster: Cluster, every: Duration, told: watch::Sender<Snapshot>) {
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !told.is_closed() {
        due.tick().await;
        told.send_replace(look(&cluster).await);
    }
}

async fn look(cluster: &Cluster) -> Snapshot {
    let shard = cluster.shard().map(ToString::to_string).unwrap_or_default();
    let trouble = cluster.trouble().map(|why| format!("the topology is not reached: {why}"));
    let mut snapshot = Snapshot { is_there: true, shard, trouble: Vec::from_iter(trouble), ..Snapshot::default() };
    match cluster.gateways() {
        Ok(gateways) => {
            let (statuses, tablets) =
                tokio::join!(Gateway::each(&gateways, Gateway::status), Gateway::each(&gateways, Gateway::tablets));
            snapshot.gateways = statuses;
            // Why one does not answer stands with it already.
            snapshot.tablets = add_up(tablets.into_iter().filter_map(|(_, tablets)| tablets.ok()));
        }
        Err(why) => snapshot.trouble.push(why),
    }
    match cluster.orchestrators().await {
        Ok(asked) => {
            for (name, status) in asked {
                match status {
                    Ok(status) => {
                        snapshot.shard.clone_from(&status.shard);
                        if status.holds_lock {
                            snapshot.holder = Some(status);
                        }
                    }
                    Err(why) => snapshot.trouble.push(format!("{name}: {why}")),
                }
            }
        }
        Err(why) => snapshot.trouble.push(why),
    }
    snapshot
}
