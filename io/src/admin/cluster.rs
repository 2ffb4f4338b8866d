//! The side that asks: finds the gateways and orchestrators of a shard, and among these the one that holds its lock.

use super::local;
use super::messages as pb;
use super::messages::gateway_client::GatewayClient;
use super::messages::orchestrator_client::OrchestratorClient;
use crate::processes::{Identity, wire};
use crate::store::{Following, Topology};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use weir_core::topo::store::directory::News;
use weir_core::topo::store::{GatewayRecord, OrchestratorRecord, Place, Record, TabletRecord};
use weir_core::topo::{Address, ShardName, TabletAlias};

/// The topology is known by then, or the command fails.
const TOPOLOGY_TIME_MAX: Duration = Duration::from_secs(5);
/// A process has answered by then what takes no work.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// What takes work has been answered by then; whoever is well answers much earlier.
const WORK_TIME_MAX: Duration = Duration::from_secs(120);
/// The lock of an orchestrator that died has been taken by another by then.
const HOLDER_TIME_MAX: Duration = Duration::from_secs(10);
/// It is asked this often who holds it.
const HOLDER_EVERY: Duration = Duration::from_millis(250);
/// Whoever uses a tablet that is taken out of service is waited for this long.
const LAST_USERS_TIME_MAX: Duration = Duration::from_secs(10);
/// It is looked this often whether they have gone.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which Weir is asked.
#[derive(Clone, Debug)]
pub enum Target {
    /// `weir up`, by its data directory.
    Up(PathBuf),
    /// Processes of their own.
    Processes {
        /// Where they are found.
        topology: Topology,
        /// Of which shard; `None`: of the one that there is.
        shard: Option<ShardName>,
        /// Who asks.
        identity: Option<Identity>,
    },
}

/// The longest answer, in bytes: that of a gateway with very many clients.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What was asked of several: each with its name.
pub type Asked<T> = Vec<(String, Result<T, String>)>;

/// A shard, for those who operate it.
#[derive(Debug)]
pub struct Cluster(Reach);

#[derive(Debug)]
enum Reach {
    /// It is called so to people; what answers within this process is kept for as long.
    Up {
        called: String,
        channel: Channel,
        _answering: JoinSet<()>,
    },
    Processes {
        shard: ShardName,
        known: watch::Receiver<Known>,
        identity: Option<Identity>,
        _following: JoinSet<()>,
    },
}

/// What the topology has, and why it is not reached now.
#[derive(Clone, Debug, Default)]
struct Known {
    records: Arc<BTreeMap<Place, Record>>,
    is_complete: bool,
    trouble: Option<String>,
}

/// A gateway that can be asked.
#[derive(Clone, Debug)]
pub struct Gateway {
    name: String,
    /// `None` for that of `weir up`.
    at: Option<Address>,
    client: GatewayClient<Channel>,
}

/// The orchestrator that does what it is asked.
#[derive(Clone, Debug)]
pub struct Holder {
    client: OrchestratorClient<Channel>,
    /// How the shard is, as it says.
    pub status: pb::OrchestratorStatus,
}

impl Cluster {
    /// Finds it.
    ///
    /// # Errors
    /// Why it is not found, in words for people.
    pub async fn find(target: Target) -> Result<Self, String> {
        match target {
            Target::Up(data_dir) => {
                let socket = local::socket(&data_dir);
                let path = socket.to_str().ok_or_else(|| format!("{}: no text", socket.display()))?;
                let nowhere = |why: &dyn std::fmt::Display| format!("no Weir runs in {}: {why}", data_dir.display());
                // Whether anybody listens is known at once, and said better than by the transport.
                drop(std::os::unix::net::UnixStream::connect(&socket).map_err(|why| nowhere(&why))?);
                let endpoint = Endpoint::from_shared(format!("unix://{path}")).map_err(|why| nowhere(&why))?;
                let called = format!("the Weir in {}", data_dir.display());
                Ok(Self(Reach::Up { called, channel: endpoint.connect_lazy(), _answering: JoinSet::new() }))
            }
            Target::Processes { topology, shard, identity } => {
                let (told, mut known) = watch::channel(Known::default());
                let mut following = JoinSet::new();
                following.spawn(follow(topology.follow(), told));
                let complete = known.wait_for(|known| known.is_complete);
                let in_time = tokio::time::timeout(TOPOLOGY_TIME_MAX, complete).await.is_ok_and(|known| known.is_ok());
                let now = known.borrow().clone();
                if !in_time {
                    let why = now.trouble.unwrap_or_else(|| format!("no answer in {} s", TOPOLOGY_TIME_MAX.as_secs()));
                    return Err(format!("the topology is not reached: {why}"));
                }
                let shard = match shard {
                    Some(shard) => shard,
                    None => the_only_one(&now.records)?,
                };
                Ok(Self(Reach::Processes { shard, known, identity, _following: following }))
            }
        }
    }

    /// The one of this process, `weir up`.
    pub(crate) fn within(channel: Channel, answering: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut kept = JoinSet::new();
        kept.spawn(answering);
        Self(Reach::Up { called: "this Weir".to_owned(), channel, _answering: kept })
    }

    /// Which shard it is; `None` for that of `weir up`.
    #[must_use]
    pub const fn shard(&self) -> Option<&ShardName> {
        match &self.0 {
            Reach::Up { .. } => None,
            Reach::Processes { shard, .. } => Some(shard),
        }
    }

    /// Why the topology is not reached now, if it is not: what is known of it counts.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.0 {
            Reach::Up { .. } => None,
            Reach::Processes { known, .. } => known.borrow().trouble.clone(),
        }
    }

    /// The tablets that the topology has of the shard, and whether the process of each runs; none for `weir up`.
    #[must_use]
    pub fn tablets(&self) -> Vec<(TabletRecord, bool)> {
        let records = self.records();
        let runs = |alias: &TabletAlias| records.contains_key(&Place::Presence(alias.clone()));
        let tablet = |record: &Record| match record {
            Record::Tablet(tablet) if Some(&tablet.shard_name()) == self.shard() => {
                Some((TabletRecord::clone(tablet), runs(&tablet.alias)))
            }
            _ => None,
        };
        records.values().filter_map(tablet).collect()
    }

    /// The gateways that run, as the topology has them; none for `weir up`.
    #[must_use]
    pub fn gateway_records(&self) -> Vec<GatewayRecord> {
        let gateway = |record: &Record| match record {
            Record::Gateway(gateway) if Some(&gateway.shard) == self.shard() => Some(GatewayRecord::clone(gateway)),
            _ => None,
        };
        self.records().values().filter_map(gateway).collect()
    }

    /// The orchestrators that run, as the topology has them; none for `weir up`.
    #[must_use]
    pub fn orchestrator_records(&self) -> Vec<OrchestratorRecord> {
        let orchestrator = |record: &Record| match record {
            Record::Orchestrator(it) if Some(&it.shard) == self.shard() => Some(OrchestratorRecord::clone(it)),
            _ => None,
        };
        self.records().values().filter_map(orchestrator).collect()
    }

    fn records(&self) -> Arc<BTreeMap<Place, Record>> {
        match &self.0 {
            Reach::Up { .. } => Arc::default(),
            Reach::Processes { known, .. } => Arc::clone(&known.borrow().records),
        }
    }

    /// All gateways that run.
    ///
    /// # Errors
    /// When there is none, or the address of one makes no sense.
    pub fn gateways(&self) -> Result<Vec<Gateway>, String> {
        let (shard, identity) = match &self.0 {
            Reach::Up { channel, .. } => {
                let client = gateway_client(channel.clone());
                return Ok(vec![Gateway { name: super::UP.to_owned(), at: None, client }]);
            }
            Reach::Processes { shard, identity, .. } => (shard, identity.as_ref()),
        };
        let gateway = |record: GatewayRecord| {
            let name = record.name.to_string();
            Ok(Gateway { client: gateway_client(channel(&name, &record.grpc, identity)?), at: Some(record.grpc), name })
        };
        let gateways: Vec<Gateway> = self.gateway_records().into_iter().map(gateway).collect::<Result<_, String>>()?;
        if gateways.is_empty() {
            return Err(format!("no gateway of {shard} runs, as far as the topology knows"));
        }
        Ok(gateways)
    }

    /// How every orchestrator is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn orchestrators(&self) -> Result<Asked<pb::OrchestratorStatus>, String> {
        Ok(each(self.orchestrator_clients()?, orchestrator_status).await)
    }

    fn orchestrator_clients(&self) -> Result<Clients<OrchestratorClient<Channel>>, String> {
        let (shard, identity) = match &self.0 {
            Reach::Up { channel, .. } => {
                return Ok(vec![(super::UP.to_owned(), None, OrchestratorClient::new(channel.clone()))]);
            }
            Reach::Processes { shard, identity, .. } => (shard, identity.as_ref()),
        };
        let client = |record: OrchestratorRecord| {
            let name = record.name.to_string();
            let client = OrchestratorClient::new(channel(&name, &record.grpc, identity)?);
            Ok((name, Some(record.grpc), client))
        };
        let clients: Vec<_> = self.orchestrator_records().into_iter().map(client).collect::<Result<_, String>>()?;
        if clients.is_empty() {
            return Err(format!("no orchestrator of {shard} runs, as far as the topology knows"));
        }
        Ok(clients)
    }

    /// The orchestrator that holds the shard's lock. While nobody does it is waited for.
    ///
    /// # Errors
    /// Who was asked, and what each said.
    pub async fn holder(&self) -> Result<Holder, String> {
        let begun = Instant::now();
        loop {
            let clients = self.orchestrator_clients()?;
            let asked = each(clients.clone(), orchestrator_status).await;
            let (mut said, mut is_hopeless) = (String::new(), false);
            for (name, status) in asked {
                match status {
                    Ok(status) if status.holds_lock => {
                        let Some((.., client)) = clients.iter().find(|(other, ..)| *other == name) else { continue };
                        return Ok(Holder { client: client.clone(), status });
                    }
                    Ok(_) => said.push_str(&format!("\n  {name} does not hold it")),
                    Err(why) => {
                        // It is not one of several.
                        is_hopeless = matches!(self.0, Reach::Up { .. });
                        said.push_str(&format!("\n  {name}: {why}"));
                    }
                }
            }
            if is_hopeless || begun.elapsed() >= HOLDER_TIME_MAX {
                return Err(match &self.0 {
                    Reach::Up { called, .. } => format!("{called} does not change its primary:{said}"),
                    Reach::Processes { shard, .. } => format!("nobody holds the lock of {shard}:{said}"),
                });
            }
            tokio::time::sleep(HOLDER_EVERY).await;
        }
    }

    /// Takes a tablet out of service, and waits until nobody uses it.
    ///
    /// # Errors
    /// Why it is not out of service, or who still uses it, in words for people.
    pub async fn drain(&self, tablet: &TabletAlias) -> Result<pb::DrainResponse, String> {
        let mut client = self.holder().await?.client;
        let done = work(client.drain(pb::DrainRequest { tablet: tablet.to_string() })).await?;
        self.wait_until_unused(tablet).await?;
        Ok(done)
    }

    async fn wait_until_unused(&self, tablet: &TabletAlias) -> Result<(), String> {
        // Without gateways there are no clients.
        let Ok(gateways) = self.gateways() else { return Ok(()) };
        let (begun, tablet) = (Instant::now(), tablet.to_string());
        loop {
            let asked = Gateway::each(&gateways, Gateway::tablets).await;
            let running = self.gateways().unwrap_or_default();
            let using = asked.into_iter().filter_map(|(name, tablets)| match tablets {
                Ok(tablets) => {
                    let seen = tablets.iter().find(|seen| seen.tablet == tablet)?;
                    match seen.sessions {
                        0 if seen.drained => None,
                        sessions => Some(format!("{sessions} sessions of gateway {name} have a connection there")),
                    }
                }
                // One that has ended meanwhile has no clients.
                Err(_) if !running.iter().any(|gateway| gateway.name == name) => None,
                Err(why) => Some(format!("gateway {name} does not say whether it uses it: {why}")),
            });
            let using: Vec<String> = using.collect();
            if using.is_empty() {
                return Ok(());
            }
            if begun.elapsed() >= LAST_USERS_TIME_MAX {
                let seconds = LAST_USERS_TIME_MAX.as_secs();
                return Err(format!("{tablet} is out of service, but after {seconds} s {}", using.join(", ")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Holder {
    /// Makes a tablet primary, in order; the term that it is primary in.
    ///
    /// # Errors
    /// Why it is not, in words for people.
    pub async fn reparent(&mut self, tablet: &TabletAlias) -> Result<u64, String> {
        let asked = self.client.reparent(pb::ReparentRequest { tablet: tablet.to_string() });
        work(asked).await.map(|done| done.term)
    }

    /// Has writes count as safe by another policy; the term from which on it is in force.
    ///
    /// # Errors
    /// Why it is not, in words for people.
    pub async fn change_policy(&mut self, policy: pb::Policy) -> Result<u64, String> {
        let asked = self.client.change_policy(pb::ChangePolicyRequest { policy: Some(policy) });
        work(asked).await.map(|done| done.term)
    }

    /// Gives the server of a tablet the data of another, and tells how far it is, until it follows.
    ///
    /// # Errors
    /// Why it does not, in words for people.
    pub async fn rebuild(&mut self, tablet: &TabletAlias, tell: &mut dyn FnMut(&str)) -> Result<(), String> {
        let mut progress = work(self.client.rebuild(pb::RebuildRequest { tablet: tablet.to_string() })).await?;
        while let Some(pb::RebuildProgress { stage, done }) = progress.message().await.map_err(said)? {
            tell(&stage);
            if done {
                return Ok(());
            }
        }
        Err("the orchestrator that was asked has ended; the rebuild goes on".to_owned())
    }

    /// Puts a tablet back into service.
    ///
    /// # Errors
    /// Why it is not, in words for people.
    pub async fn undrain(&mut self, tablet: &TabletAlias) -> Result<(), String> {
        work(self.client.undrain(pb::UndrainRequest { tablet: tablet.to_string() })).await.map(|_| ())
    }
}

impl Gateway {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks several at once.
    pub async fn each<T, F>(gateways: &[Self], ask: impl Fn(Self) -> F) -> Asked<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Status>> + Send + 'static,
    {
        let all = gateways.iter().map(|gateway| (gateway.name.clone(), gateway.at.clone(), gateway.clone()));
        each(all.collect(), ask).await
    }

    /// Who it is, and its counters.
    ///
    /// # Errors
    /// What it said.
    pub async fn status(mut self) -> Result<pb::GatewayStatus, Status> {
        self.client.status(pb::StatusRequest {}).await.map(tonic::Response::into_inner)
    }

    /// The tablets as it sees them.
    ///
    /// # Errors
    /// What it said.
    pub async fn tablets(mut self) -> Result<Vec<pb::Tablet>, Status> {
        self.client.tablets(pb::TabletsRequest {}).await.map(|answer| answer.into_inner().tablets)
    }

    /// Its clients.
    ///
    /// # Errors
    /// What it said.
    pub async fn sessions(mut self) -> Result<Vec<pb::Session>, Status> {
        self.client.sessions(pb::SessionsRequest {}).await.map(|answer| answer.into_inner().sessions)
    }

    /// What statements came to, by form.
    ///
    /// # Errors
    /// What it said.
    pub async fn digests(mut self) -> Result<pb::DigestsResponse, Status> {
        self.client.digests(pb::DigestsRequest {}).await.map(tonic::Response::into_inner)
    }

    /// Forgets that.
    ///
    /// # Errors
    /// What it said.
    pub async fn reset_digests(mut self) -> Result<(), Status> {
        self.client.reset_digests(pb::ResetDigestsRequest {}).await.map(|_| ())
    }

    /// What Weir's own variables are for its clients.
    ///
    /// # Errors
    /// What it said.
    pub async fn variables(mut self) -> Result<Vec<pb::Variable>, Status> {
        self.client.variables(pb::VariablesRequest {}).await.map(|answer| answer.into_inner().variables)
    }

    /// Sets Weir's own variables for all gateways of the keyspace, as SET GLOBAL does: all of them, or none.
    ///
    /// # Errors
    /// Why not, in words for people.
    pub async fn set_variables(&self, variables: Vec<pb::Variable>) -> Result<(), String> {
        let mut client = self.client.clone();
        work(client.set_variables(pb::SetVariablesRequest { variables })).await.map(|_| ())
    }

    /// Ends a client's connection, or what it runs (`query`).
    ///
    /// # Errors
    /// Why not, in words for people.
    pub async fn kill(&self, id: u32, query: bool) -> Result<(), String> {
        let mut client = self.client.clone();
        work(client.kill(pb::KillRequest { id, query })).await.map(|_| ())
    }
}

async fn follow(mut following: Following, told: watch::Sender<Known>) {
    while let Some(news) = following.next().await {
        told.send_modify(|known| match news {
            News::Added(record) | News::Changed(record) => {
                _ = Arc::make_mut(&mut known.records).insert(record.place(), record);
            }
            News::Removed(place) => _ = Arc::make_mut(&mut known.records).remove(&place),
            News::Current => (known.is_complete, known.trouble) = (true, None),
            News::Lost(why) => known.trouble = Some(why),
            News::Unreadable(..) => {}
        });
    }
}

/// The shard that is meant when none is named.
fn the_only_one(records: &BTreeMap<Place, Record>) -> Result<ShardName, String> {
    let shard = |record: &Record| match record {
        Record::Entry(shard, _) => Some(shard.clone()),
        Record::Tablet(tablet) => Some(tablet.shard_name()),
        Record::Gateway(gateway) => Some(gateway.shard.clone()),
        Record::Orchestrator(orchestrator) => Some(orchestrator.shard.clone()),
        Record::Numbers(shard, _) => Some(shard.clone()),
        Record::Cell(_) | Record::Keyspace(_) | Record::Globals(..) | Record::Presence(..) => None,
    };
    let shards: BTreeSet<ShardName> = records.values().filter_map(shard).collect();
    let mut all = shards.iter();
    match (all.next(), all.next()) {
        (Some(shard), None) => Ok(shard.clone()),
        (None, _) => Err("the topology knows no shard: is --etcd-prefix right?".to_owned()),
        (Some(_), Some(_)) => {
            let names: Vec<String> = shards.iter().map(ToString::to_string).collect();
            Err(format!("the topology knows {}: --shard says which is meant", names.join(", ")))
        }
    }
}

fn channel(name: &str, address: &Address, identity: Option<&Identity>) -> Result<Channel, String> {
    wire::channel(address, identity).map_err(|why| format!("{name} cannot be reached at {address}: {why}"))
}

fn gateway_client(channel: Channel) -> GatewayClient<Channel> {
    GatewayClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

async fn orchestrator_status(mut client: OrchestratorClient<Channel>) -> Result<pb::OrchestratorStatus, Status> {
    client.status(pb::StatusRequest {}).await.map(tonic::Response::into_inner)
}

/// Processes of one kind: their names, where they are, and how they are asked.
type Clients<C> = Vec<(String, Option<Address>, C)>;

/// Asks all at once; their answers in the same order.
async fn each<C, T, F>(clients: Clients<C>, ask: impl Fn(C) -> F) -> Asked<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let asking: Vec<_> = clients
        .into_iter()
        .map(|(name, at, client)| (name, at, tokio::spawn(tokio::time::timeout(ANSWER_TIME_MAX, ask(client)))))
        .collect();
    let mut asked = Vec::new();
    for (name, at, answer) in asking {
        let answer = match answer.await {
            Ok(Ok(answer)) => answer.map_err(said),
            Ok(Err(_)) => Err(format!("no answer in {} s", ANSWER_TIME_MAX.as_secs())),
            Err(why) => Err(why.to_string()),
        };
        let placed = |why: String| at.map_or_else(|| why.clone(), |at| format!("at {at}: {why}"));
        asked.push((name, answer.map_err(placed)));
    }
    asked
}

async fn work<T>(asking: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, String> {
    let late = || format!("no answer in {} s; whether it goes on is not known", WORK_TIME_MAX.as_secs());
    let answer = tokio::time::timeout(WORK_TIME_MAX, asking).await.map_err(|_| late())?;
    answer.map(tonic::Response::into_inner).map_err(said)
}

/// What a process or the transport said, for people.
fn said(status: Status) -> String {
    match status.code() {
        Code::Unimplemented => "it does not know what is asked: it runs without failover, or is older".to_owned(),
        Code::FailedPrecondition | Code::InvalidArgument | Code::NotFound => status.message().to_owned(),
        _ => {
            // The transport says the outermost of its reasons, which tells nobody anything: the innermost does.
            let mut why = status.source();
            while let Some(inner) = why.and_then(|why| why.source()) {
                why = Some(inner);
            }
            why.map_or_else(|| status.message().to_owned(), ToString::to_string)
        }
    }
}
