//! An orchestrator of one shard in a process of its own.

use super::admin::{Admin, Serving};
use super::peers::Peers;
use super::shard::Shard;
use super::wire::{self, Identity};
use super::{StartError, presence};
use crate::admin::orchestrator::Orders;
use crate::grpc::follow;
use crate::health::Readiness;
use crate::metrics::{Program, Sources};
use crate::orch::{self, Driver, Wishes};
use crate::recorder::{self, Recorder};
use crate::store::Topology;
use crate::tablet::orders::QUEUE_MAX;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::info;
use weir_core::orch::orchestrator::Orchestrator;
use weir_core::orch::rebuild::Errant;
use weir_core::orch::recovery::Cohort;
use weir_core::time::Duration;
use weir_core::topo::store::{OrchestratorRecord, Record};
use weir_core::topo::{ProcessName, ShardName};

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// Where the shard's entry and lock are, and where its tablets are found.
    pub topology: Topology,
    /// Which shard.
    pub shard: ShardName,
    /// Who takes part, and when a write counts as safe, when the topology does not know the shard yet.
    pub cohort: Cohort,
    /// What becomes of servers with transactions of their own.
    pub errant: Errant,
    /// How long transactions may take to end before a planned change of primary.
    pub drain_time: Duration,
    /// Who this process is to others.
    pub identity: Option<Identity>,
    /// Where operators reach it.
    pub admin: Admin,
    /// Where it keeps what it is told, if anywhere.
    pub record: Option<recorder::Options>,
}

/// An orchestrator that watches, and acts while it holds the shard's lock. Dropped, it stops: its lock ends with its lease.
#[derive(Debug)]
pub struct Running {
    wishes: Wishes,
    name: ProcessName,
    watched: ShardName,
    shard: Shard,
    serving: Serving,
    _tasks: JoinSet<()>,
}

impl Running {
    /// Starts it, and makes it known.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options { topology, shard: name, cohort, errant, drain_time, identity, admin, record } = options;
        let admin = admin.open(None, identity.as_ref()).await?;
        let shard = Shard::follow(&topology, name.clone());
        let peers = Arc::new(Peers::new(shard.tablets.clone(), identity));
        let mut tasks = JoinSet::new();
        let (answers, said) = mpsc::channel(QUEUE_MAX);
        let mut tablets = BTreeMap::new();
        for alias in &cohort.tablets {
            let (orders_in, orders) = mpsc::channel(QUEUE_MAX);
            tasks.spawn(follow::order(alias.clone(), peers.reach(alias), orders, answers.clone()));
            tablets.insert(alias.clone(), orders_in);
        }
        let (wishes_in, wishes) = mpsc::channel(1);
        let wishes_in = Wishes::new(wishes_in);
        let own_name = admin.name.clone();
        let router = wire::server().add_service(Orders::service(own_name.to_string(), name.clone(), wishes_in.clone()));
        let sign = OrchestratorRecord {
            name: own_name.clone(),
            grpc: admin.grpc.clone(),
            shard: name.clone(),
            presence: presence(),
        };
        let serving = admin.serve(router, &topology, &Record::Orchestrator(Box::new(sign)));
        info!("watches {name}");
        let watched = name.clone();
        // What it has written comes back from the topology, like what others have.
        let topology = topology.serve(name, None);
        let recorder =
            Recorder::open_if_possible::<Orchestrator>(record.as_ref(), &own_name.to_string(), &watched.to_string());
        let setup = orch::Setup { cohort, errant, topology, tablets, answers, said, wishes, drain_time, recorder };
        tasks.spawn(Driver::new(setup).run());
        Ok(Self { wishes: wishes_in, name: own_name, watched, shard, serving, _tasks: tasks })
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &ProcessName {
        &self.name
    }

    /// Stops it: its lock ends with its lease.
    pub async fn stop(self) {
        self.serving.withdraw().await;
    }

    /// Whether the topology is reached.
    pub fn readiness(&self) -> impl Fn() -> Readiness + Send + use<> {
        let (trouble, tablets) = (self.shard.trouble.clone(), self.shard.tablets.clone());
        move || match &*trouble.borrow() {
            None => Ok(format!("the topology is reached, tablets: {}", tablets.borrow().len())),
            Some(why) => Err(format!("the topology is not reached: {why}")),
        }
    }

    /// What it counts.
    pub fn metrics(&self) -> Sources {
        let sources = Sources::new(Program::Orchestrator, self.watched.clone()).with(self.shard.metrics());
        sources.with_orchestrator(Some(self.wishes.clone()))
    }

    /// Where people say what they want.
    #[must_use]
    pub const fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// The topology has the shard's tablets.
    pub async fn wait_for_tablets(&mut self) {
        // It is followed for as long as this is there.
        let _ = self.shard.tablets.wait_for(|tablets| !tablets.is_empty()).await;
    }
}
