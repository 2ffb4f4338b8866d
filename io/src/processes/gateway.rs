//! A gateway in a process of its own, in front of tablets in theirs.

use super::admin::{Admin, Serving};
use super::peers::{Channels, Peers};
use super::shard::{Shard, Tablets as Records};
use super::wire::{self, Identity};
use super::{StartError, presence};
use crate::clock;
use crate::crypto;
use crate::gateway::{self, Kept, Listening, Others, Tablet, Tablets};
use crate::grpc::follow;
use crate::grpc::remote::RemoteTablet;
use crate::handover::Sockets;
use crate::health::Readiness;
use crate::metrics::{Program, Sources};
use crate::picture::{MEASURE_EVERY, Picture};
use crate::recorder::{self, Recorder};
use crate::store::Topology;
use crate::tablet::{Accounts, Described, News};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};
use weir_core::error::Error;
use weir_core::gateway::cluster::{self, Cluster, Input, TabletId, View};
use weir_core::gateway::ids::GatewayNumber;
use weir_core::mysql::auth::Secret;
use weir_core::orch::lock::Entry;
use weir_core::time::Duration;
use weir_core::topo::store::{GatewayRecord, Record, Reply, TabletRecord, numbers};
use weir_core::topo::{Address, Role, ShardName, TabletAlias};

/// Reports of tablets that wait to be heard.
const NEWS_MAX: usize = 1024;
/// How long the rest of the topology may take to be known, once a tablet is.
const KNOWN_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(1);
/// How long the topology may take to give the gateway a number.
const NUMBER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// Pause before it is asked once more.
const NUMBER_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
/// How long other tablets have to describe their server once one has.
const DESCRIBE_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(500);
/// Pause before tablets are asked again to describe their server.
const DESCRIBE_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// Where the tablets are found.
    pub topology: Topology,
    /// Which shard is served.
    pub shard: ShardName,
    /// How it is seen.
    pub cluster: cluster::Config,
    /// Who this process is to the tablets.
    pub identity: Option<Identity>,
    /// How clients are served.
    pub gateway: gateway::Options,
    /// Where operators reach it.
    pub admin: Admin,
    /// How long to wait for a first tablet at the start.
    pub tablet_time_max: std::time::Duration,
    /// Where it keeps what it is told of the tablets, if anywhere.
    pub record: Option<recorder::Options>,
}

/// A gateway that serves.
pub struct Running {
    gateway: Listening,
    /// Operators, until a successor does.
    serving: Option<Serving>,
    tasks: JoinSet<()>,
    name: ShardName,
    shard: Shard,
}

impl Running {
    /// Finds the tablets, waits until one describes its server, and listens.
    ///
    /// # Errors
    /// When no tablet does in time, or the address cannot be listened on.
    pub async fn start(mut options: Options) -> Result<Self, StartError> {
        let inherited = options.gateway.inherited.operators.take();
        let admin = options.admin.open(inherited, options.identity.as_ref()).await?;
        let cell = options.cluster.cell.clone().ok_or_else(|| StartError("a gateway has a cell".to_owned()))?;
        let shard = Shard::follow(&options.topology, options.shard.clone());
        let channels = Channels::new(options.identity.clone());
        let accounts = accounts();
        let recorder = Recorder::open_if_possible::<Cluster>(
            options.record.as_ref(),
            &admin.name.to_string(),
            &options.shard.to_string(),
        );
        let (tasks, view, tablets) = reach(&shard, (options.cluster, recorder), options.identity, &accounts);
        let described = tokio::time::timeout(options.tablet_time_max, describe(tablets.clone())).await;
        let described = described.map_err(|_| nobody(&options.shard, &shard, options.tablet_time_max))?;
        let rsa = crypto::RsaKey::generate().map_err(StartError::new)?;
        shard.wait_until_known(KNOWN_TIME_MAX).await;
        let (topology, keyspace) = (options.topology.clone(), options.shard.keyspace.clone());
        let globals = Kept::Topology { topology, keyspace, now: shard.globals.clone() };
        let number = number(&options.topology, &options.shard, &shard).await;
        let others = Others::new(number, shard.gateways.clone(), channels);
        let part = vec![
            ("service.name", "weir-gateway".to_owned()),
            ("service.instance.id", admin.name.to_string()),
            ("weir.shard", options.shard.to_string()),
        ];
        let serves = gateway::Options { globals, others, part, ..options.gateway };
        let listen = serves.listen;
        let gateway = Listening::start(serves, &described, accounts, rsa, view, tablets)
            .map_err(|why| StartError(format!("cannot listen on {listen}: {why}")))?;
        let asked = Arc::new(OnceLock::from(gateway.admin(admin.name.to_string(), Some(cell.clone()))));
        let sign = GatewayRecord {
            name: admin.name.clone(),
            cell,
            grpc: admin.grpc.clone(),
            mysql: Address { host: admin.client_host(gateway.address()), port: gateway.address().port() },
            shard: options.shard.clone(),
            number,
            presence: presence(),
        };
        let router = wire::server()
            .add_service(gateway::Admin::service(Arc::clone(&asked)))
            .add_service(gateway::Admin::served(asked).for_others());
        let serving = admin.serve(router, &options.topology, &Record::Gateway(Box::new(sign)));
        Ok(Self { gateway, serving: Some(serving), tasks, name: options.shard, shard })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// From now on these hold. Whoever is in stays.
    pub fn set_live(&self, live: gateway::Live) {
        self.gateway.set_live(live);
    }

    /// Whether statements find a server.
    pub fn readiness(&self) -> impl Fn() -> Readiness + Send + use<> {
        self.gateway.readiness()
    }

    /// What it counts.
    pub fn metrics(&self) -> Sources {
        Sources::new(Program::Gateway, self.name.clone()).with(self.gateway.metrics()).with(self.shard.metrics())
    }

    /// The sockets that clients connect to, for a successor.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn sockets(&self) -> std::io::Result<Sockets> {
        let operators = self.serving.as_ref().map(Serving::socket).transpose()?;
        Ok(Sockets { operators, ..self.gateway.sockets()? })
    }

    /// A successor serves whoever connects from now on: see [`Listening::hand_over`].
    pub async fn hand_over(&mut self, patience: Duration) {
        self.retire().await;
        self.gateway.hand_over(patience).await;
    }

    /// Operators find another, or nobody.
    async fn retire(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.withdraw().await;
        }
    }

    /// Lets clients finish for up to `patience`, then stops.
    pub async fn stop(mut self, patience: Duration) {
        self.retire().await;
        self.gateway.stop(patience).await;
        self.tasks.shutdown().await;
    }
}

/// A number among the gateways of the shard; none when the topology gives none in time: clients are served all the same.
async fn number(topology: &Topology, name: &ShardName, shard: &Shard) -> GatewayNumber {
    let mut why = "the topology has not answered".to_owned();
    let trying = async {
        loop {
            match take_number(topology, name, shard).await {
                Ok(number) => return number,
                Err(refused) => why = refused,
            }
            tokio::time::sleep(NUMBER_PAUSE).await;
        }
    };
    if let Ok(number) = tokio::time::timeout(NUMBER_TIME_MAX, trying).await {
        return number;
    }
    warn!("this gateway has no number: others neither list its clients nor kill them: {why}");
    GatewayNumber::NONE
}

async fn take_number(topology: &Topology, name: &ShardName, shard: &Shard) -> Result<GatewayNumber, String> {
    let layout = topology.layout();
    let mut found = match topology.call(&numbers::read(layout, name)).await {
        Ok(Reply::Found(found)) => found,
        Ok(other) => return Err(format!("the store's reply is of another call: {other:?}")),
        Err(why) => return Err(why.to_string()),
    };
    loop {
        let shown = shard.gateways.borrow().values().map(|gateway| gateway.number).collect();
        let taken = numbers::take(layout, name, found.as_ref(), &shown).map_err(|why| why.to_string())?;
        let (call, number) = taken.ok_or_else(|| format!("{} gateways have one", shown.len()))?;
        // One that may have been taken is not taken again: the next is.
        found = match topology.call(&call).await {
            Ok(Reply::Done(_)) => return Ok(number),
            Ok(Reply::Refused(now)) => now,
            Ok(other) => return Err(format!("the store's reply is of another call: {other:?}")),
            Err(why) => return Err(why.to_string()),
        };
    }
}

/// Why there is no gateway without tablets.
fn nobody(name: &ShardName, shard: &Shard, limit: std::time::Duration) -> StartError {
    let why = match &*shard.trouble.borrow() {
        Some(why) => format!("the topology is not reached: {why}"),
        None => match shard.tablets.borrow().len() {
            0 => "the topology knows none: is --shard right, and does a weir-tablet run?".to_owned(),
            known => format!("the topology knows {known}, but none could be asked: --log info says why"),
        },
    };
    StartError(format!("no tablet of {name} after {} s: {why}", limit.as_secs_f64()))
}

/// The tablets of a shard as it is seen, for as long as the tasks are kept.
pub(super) fn reach(
    shard: &Shard,
    cluster: (cluster::Config, Recorder),
    identity: Option<Identity>,
    accounts: &Arc<Accounts>,
) -> (JoinSet<()>, watch::Receiver<Arc<View>>, watch::Receiver<Tablets>) {
    let peers = Arc::new(Peers::new(shard.tablets.clone(), identity));
    let (remote, view, tablets) = RemoteShard::new(cluster, shard, peers, Arc::clone(accounts));
    let mut tasks = JoinSet::new();
    tasks.spawn(remote.run());
    (tasks, view, tablets)
}

/// Statements run under the tablets' own account, or under clients' own as these log in.
pub(super) fn accounts() -> Arc<Accounts> {
    Arc::new(Accounts::own(Vec::new(), Secret::new(Vec::new())))
}

/// What the first tablet says that answers.
pub(super) async fn describe(tablets: watch::Receiver<Tablets>) -> Described {
    loop {
        let mut asked = JoinSet::new();
        for tablet in tablets.borrow().values() {
            if let Tablet::Remote(tablet) = tablet {
                let tablet = Arc::clone(tablet);
                asked.spawn(async move { (tablet.describe().await, tablet) });
            }
        }
        if let Some(described) = what_all_say(asked).await {
            return described;
        }
        tokio::time::sleep(DESCRIBE_PAUSE).await;
    }
}

/// As the first one describes its server; clients are offered what all know who answer soon after it.
async fn what_all_say(mut asked: JoinSet<(Result<Described, Error>, Arc<RemoteTablet>)>) -> Option<Described> {
    let mut described: Option<Described> = None;
    let mut until = None;
    loop {
        let next = match until {
            Some(until) => tokio::time::timeout_at(until, asked.join_next()).await.unwrap_or(None),
            None => asked.join_next().await,
        };
        match next {
            Some(Ok((Ok(its), _))) => match &mut described {
                Some(first) => first.of_mariadb &= its.of_mariadb,
                None => {
                    described = Some(its);
                    until = Some(tokio::time::Instant::now() + DESCRIBE_TIME_MAX);
                }
            },
            Some(Ok((Err(error), tablet))) => info!("tablet {}: {error}", tablet.alias()),
            Some(Err(_)) => {}
            None => return described,
        }
    }
}

/// A shard whose tablets are other processes.
struct RemoteShard {
    picture: Picture,
    records: watch::Receiver<Records>,
    entry: watch::Receiver<Option<Entry>>,
    peers: Arc<Peers>,
    accounts: Arc<Accounts>,
    known: BTreeMap<TabletAlias, Known>,
    last_id: u32,
    watching: JoinSet<()>,
    news_in: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    tablets: watch::Sender<Tablets>,
}

/// A tablet that is part of it.
struct Known {
    id: TabletId,
    record: TabletRecord,
    tablet: Arc<RemoteTablet>,
    watching: AbortHandle,
    /// What it has said it is.
    told: (Role, u64),
}

impl RemoteShard {
    fn new(
        (config, recorder): (cluster::Config, Recorder),
        shard: &Shard,
        peers: Arc<Peers>,
        accounts: Arc<Accounts>,
    ) -> (Self, watch::Receiver<Arc<View>>, watch::Receiver<Tablets>) {
        let (picture, seen) = Picture::new(config, recorder);
        let (tablets, reached) = watch::channel(Tablets::default());
        let (news_in, news) = mpsc::channel(NEWS_MAX);
        let remote = Self {
            picture,
            records: shard.tablets.clone(),
            entry: shard.entry.clone(),
            peers,
            accounts,
            known: BTreeMap::new(),
            last_id: 0,
            watching: JoinSet::new(),
            news_in,
            news,
            tablets,
        };
        (remote, seen, reached)
    }

    async fn run(mut self) {
        let mut measure = tokio::time::interval(MEASURE_EVERY);
        self.look_who_is_there();
        loop {
            tokio::select! {
                Some(news) = self.news.recv() => self.hear(news),
                changed = self.records.changed() => match changed {
                    Ok(()) => self.look_who_is_there(),
                    Err(_) => return,
                },
                Ok(()) = self.entry.changed() => self.look_who_is_drained(),
                _ = measure.tick() => self.picture.measure(),
                () = self.picture.timeout() => self.picture.tell(clock::now(), Input::Timeout),
            }
            self.picture.publish();
        }
    }

    fn look_who_is_there(&mut self) {
        let records = Arc::clone(&self.records.borrow_and_update());
        let has_moved = |(alias, known): &(&TabletAlias, &Known)| {
            records.get(*alias).is_none_or(|record| record.grpc != known.record.grpc)
        };
        let gone: Vec<TabletAlias> = self.known.iter().filter(has_moved).map(|(alias, _)| alias.clone()).collect();
        for alias in gone {
            let Some(known) = self.known.remove(&alias) else { continue };
            info!("tablet {alias} is not at {} any more", known.record.grpc);
            known.watching.abort();
            self.picture.tell(clock::now(), Input::TabletRemoved(known.id));
        }
        for (alias, record) in records.iter() {
            self.meet(alias, record);
        }
        let reached = self.known.values().map(|known| (known.id, Tablet::Remote(Arc::clone(&known.tablet))));
        self.tablets.send_replace(Arc::new(reached.collect()));
        self.look_who_is_drained();
        self.picture.publish();
    }

    fn meet(&mut self, alias: &TabletAlias, record: &TabletRecord) {
        let id = match self.known.get_mut(alias) {
            Some(known) => {
                known.record.clone_from(record);
                known.id
            }
            None => {
                let Some(channel) = self.peers.channel(alias) else { return };
                self.last_id += 1;
                let id = TabletId(self.last_id);
                let tablet = RemoteTablet::new(id, alias.clone(), channel.clone(), Arc::clone(&self.accounts));
                let watching =
                    follow::watch(Arc::clone(&tablet), channel, "a gateway".to_owned(), self.news_in.clone());
                let watching = self.watching.spawn(watching);
                info!("tablet {alias} is at {}", record.grpc);
                let told = (Role::Unknown, 0);
                self.known.insert(alias.clone(), Known { id, record: record.clone(), tablet, watching, told });
                id
            }
        };
        let added = Input::TabletAdded { id, alias: alias.clone(), weight: record.weight };
        self.picture.tell(clock::now(), added);
    }

    fn look_who_is_drained(&mut self) {
        let drained = self.entry.borrow_and_update().as_ref().map(|entry| entry.drained.clone()).unwrap_or_default();
        for (alias, known) in &self.known {
            self.picture.tell(clock::now(), Input::Drained(known.id, drained.contains(alias)));
        }
    }

    fn hear(&mut self, news: News) {
        let now = clock::now();
        match news {
            News::Health(id, health) => self.picture.tell(now, Input::Health(id, health)),
            News::State(id, state) => {
                let Some(known) = self.known.values_mut().find(|known| known.id == id) else { return };
                let told = (state.role, state.promised);
                // What is said of an earlier term came late.
                if known.told != told && told.1 >= known.told.1 {
                    info!("term {}: {} was {}, is {}", told.1, known.record.alias, known.told.0, told.0);
                    known.told = told;
                    self.picture.tell(now, Input::RoleAssigned { id, role: told.0, term: told.1 });
                }
            }
            News::Observed(..) | News::Silent(_) => {}
        }
    }
}
