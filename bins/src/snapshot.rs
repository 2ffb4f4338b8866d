//! How a shard is at one time, as its gateways and orchestrators say: what `weir top` draws, and the web console shows.

use crate::ctl::add_up;
use weir_io::admin::messages::{GatewayStatus, OrchestratorStatus, Tablet};
use weir_io::admin::{Asked, Cluster, Gateway};

/// What was said at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Nothing has been asked before it is.
    pub(crate) is_there: bool,
    /// KEYSPACE/SHARD.
    pub(crate) shard: String,
    /// What the orchestrator says that holds the lock, if one does.
    pub(crate) holder: Option<OrchestratorStatus>,
    /// The orchestrators, or why one has not answered.
    pub(crate) orchestrators: Asked<OrchestratorStatus>,
    /// The tablets as all gateways see them together.
    pub(crate) tablets: Vec<Tablet>,
    /// The gateways, or why one has not answered.
    pub(crate) gateways: Asked<GatewayStatus>,
    /// What could not be asked, and why.
    pub(crate) trouble: Vec<String>,
}

/// Asks all at once.
pub(crate) async fn look(cluster: &Cluster) -> Snapshot {
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
            for (name, status) in &asked {
                match status {
                    Ok(status) => {
                        snapshot.shard.clone_from(&status.shard);
                        if status.holds_lock {
                            snapshot.holder = Some(status.clone());
                        }
                    }
                    Err(why) => snapshot.trouble.push(format!("{name}: {why}")),
                }
            }
            snapshot.orchestrators = asked;
        }
        Err(why) => snapshot.trouble.push(why),
    }
    snapshot
}
