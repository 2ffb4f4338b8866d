//! A tablet beside its server, in a process of its own.

use super::peers::Peers;
use super::shard::Shard;
use super::wire::{self, Identity};
use super::{PRESENCE_TTL, StartError};
use crate::crypto;
use crate::failover::{has_heir, look_after};
use crate::grpc::control::{Control, Heard};
use crate::grpc::{follow, serve::Queries};
use crate::health::Readiness;
use crate::metrics::{Page, Program, Sources};
use crate::net::Address;
use crate::recorder::{self, Recorder};
use crate::servers::{self, Account, Cluster, Keeper, Kept};
use crate::store::{Announced, Topology};
use crate::tablet::metrics::{Seen, pool};
use crate::tablet::orders::{self, Donors, FromTablet, Obedience, Question, ToTablet};
use crate::tablet::{Accounts, Connector, Described, Encryption, LocalTablet, News, Own, TableGuard};
use crate::traces::{self, Tracer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::info;
use weir_core::gateway::cluster::TabletId;
use weir_core::mysql::auth::Secret;
use weir_core::orch::lock::Entry;
use weir_core::tablet::manager::{self, Identity as Name};
use weir_core::tablet::operations::{Servers, SourceLogin};
use weir_core::tablet::orders::{Orders, State};
use weir_core::time::Duration;
use weir_core::topo::store::{Record, TabletRecord};
use weir_core::topo::{self, Health, NotServing, Role, ShardName, TabletAlias};

/// How long a server may take to accept and log in a connection.
pub(super) const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Reports of the tablet that wait to be heard.
pub(super) const NEWS_MAX: usize = 256;
/// How long a collector of spans may take for the last ones.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// The one tablet of the process.
pub(super) const ID: TabletId = TabletId(1);

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// Where the tablet makes itself known, and finds the others.
    pub topology: Topology,
    /// Its shard.
    pub shard: ShardName,
    /// Its name.
    pub alias: TabletAlias,
    /// Its share of the reads.
    pub weight: u32,
    /// Names that operators give it.
    pub labels: BTreeMap<String, String>,
    /// Where gateways and orchestrators connect.
    pub listen: SocketAddr,
    /// The host under which others reach the tablet and its server, where that is not the address listened on.
    pub advertised: Option<String>,
    /// Who this process is to others.
    pub identity: Option<Identity>,
    /// Its server.
    pub server: servers::Options,
    /// How connections to it are kept.
    pub tablet: manager::Config,
    /// Prepared statements kept on one server connection, at most.
    pub statements_per_connection_max: usize,
    /// How hard to compress the statements of clients on their way to the server: see [`Connector::compression`].
    pub server_compression: Option<u32>,
    /// How connections to it are encrypted.
    pub encryption: Option<Encryption>,
    /// What says which statements of clients may touch their tables; `None` for all.
    pub guard: Option<Arc<TableGuard>>,
    /// Who gets spans of what gateways ask for within a trace; `None`: nobody.
    pub traces: Option<traces::Options>,
    /// Where it keeps what it is ordered and what it does, if anywhere.
    pub record: Option<recorder::Options>,
}

/// A tablet that serves.
pub struct Running {
    address: SocketAddr,
    server: topo::Address,
    tablet: Arc<LocalTablet>,
    kept: Arc<Kept>,
    announced: Announced,
    /// Says that it is about to stop.
    leave: watch::Sender<bool>,
    stop: oneshot::Sender<()>,
    failures: mpsc::Receiver<String>,
    heard: Heard,
    tasks: JoinSet<()>,
    name: ShardName,
    shard: Shard,
    tracer: Option<Arc<Tracer>>,
}

impl Running {
    /// Starts the server, then the tablet, and makes it known.
    ///
    /// # Errors
    /// When the server does not start, the address cannot be listened on, or what was promised cannot be read.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let (incoming, address) = wire::listen(options.listen, options.identity.as_ref())
            .await
            .map_err(|why| StartError(format!("cannot listen on {}: {why}", options.listen)))?;
        let shard = Shard::follow(&options.topology, options.shard.clone());
        let takes_back = options.server.has_crashed() && has_heir(&options.alias, shard.entry.clone()).await;
        let kept = start_server(servers::Options { takes_back, ..options.server.clone() }).await?;
        let keeper = Arc::clone(&kept.keepers()[0]);
        let name = Place { shard: options.shard.clone(), alias: options.alias.clone() };
        let (news_in, news) = mpsc::channel(NEWS_MAX);
        let encryption = options.encryption.clone();
        let reach = Reach { kept: Arc::clone(&kept), application: options.server.application.clone(), encryption };
        reach.check().await?;
        let described = Arc::new(reach.service());
        let tablet = start_tablet(&options, &name, &reach, news_in.clone())?;
        let peers = Arc::new(Peers::new(shard.tablets.clone(), options.identity.clone()));
        let (heard, telling) = hear(Arc::clone(&tablet), news);
        let mut tasks = JoinSet::new();
        tasks.spawn(telling);
        let (orders_in, orders) = mpsc::channel(orders::QUEUE_MAX);
        let (questions_in, questions) = mpsc::channel(orders::QUEUE_MAX);
        let server = topo::Address { host: advertised(&options, keeper.address().ip()), port: keeper.address().port() };
        let servers = servers_of(shard.tablets.clone(), name.alias.clone(), server.clone(), &mut tasks);
        let (failed, failures) = mpsc::channel(2);
        let (leave, leaving) = watch::channel(false);
        let (news, records) = (news_in, options.record.clone());
        let obeying = Obeying { name, reach, servers, peers, tablet: Arc::clone(&tablet), news, leaving, records };
        let (entry, told) = (shard.entry.clone(), failed.clone());
        tasks.spawn(async move {
            if let Err(why) = obeying.run(entry, orders, questions).await {
                // Without what it has promised the tablet might break it.
                let _ = told.send(format!("it takes no orders: {why}")).await;
            }
        });
        tasks.spawn(keep(Arc::clone(&kept), options.alias.clone(), shard.entry.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let process = random()?;
        let tracer = start_tracer(&options)?;
        let serving = wire::server()
            .add_service(Queries::service(Arc::clone(&tablet), process, described, tracer.clone()))
            .add_service(Control::service(Arc::clone(&tablet), heard.clone(), Some((orders_in, questions_in))))
            .serve_with_incoming_shutdown(incoming, async move { _ = stopped.await });
        tasks.spawn(async move {
            if let Err(why) = serving.await {
                let _ = failed.send(format!("other processes are not served: {why}")).await;
            }
        });
        let record = record(&options, address, server.clone());
        let sign = Record::Presence(options.alias.clone(), super::presence());
        let announced = options.topology.publish(Some(&Record::Tablet(Box::new(record))), &sign, PRESENCE_TTL);
        let name = options.shard;
        Ok(Self { address, server, tablet, kept, announced, leave, stop, failures, heard, tasks, name, shard, tracer })
    }

    /// Where other processes connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its server listens.
    #[must_use]
    pub const fn server(&self) -> &topo::Address {
        &self.server
    }

    /// Whether its server is up, and it takes orders.
    pub fn readiness(&self) -> impl Fn() -> Readiness + Send + use<> {
        let Heard { health, state } = self.heard.clone();
        move || match &*health.borrow() {
            _ if state.borrow().is_none() => Err("it takes no orders yet".to_owned()),
            None => Err("its server has not answered yet".to_owned()),
            Some(Health { not_serving: Some(why @ (NotServing::Unreachable | NotServing::Stopping)), .. }) => {
                Err(why.to_string())
            }
            Some(Health { not_serving: Some(why), .. }) => Ok(format!("its server is up and it takes orders; {why}")),
            Some(health) => Ok(format!("serves as {}", health.target.role)),
        }
    }

    /// What it counts.
    pub fn metrics(&self) -> Sources {
        let (tablet, health) = (Arc::clone(&self.tablet), self.heard.health.clone());
        let tracer = self.tracer.clone();
        let own = move |page: &mut Page| {
            if let Some(health) = &*health.borrow() {
                Seen::of(health).fill(tablet.alias(), page);
            }
            pool(&tablet, page);
            traces::fill(tracer.as_deref(), page);
        };
        Sources::new(Program::Tablet, self.name.clone()).with(own).with(self.shard.metrics())
    }

    /// Why it cannot go on; it is to be stopped then.
    pub async fn failed(&mut self) -> String {
        match self.failures.recv().await {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// The shard's primary, and not its only tablet: when it is to stop, another has to take its place.
    #[must_use]
    pub fn is_to_be_succeeded(&self) -> bool {
        let leads = |entry: &Entry| entry.is_led_by(self.tablet.alias()) && entry.cohort.tablets.len() > 1;
        self.shard.entry.borrow().as_ref().is_some_and(leads)
    }

    /// Asks orchestrators for another primary, and waits until there is one; false when there is none for `patience`. Nobody chooses this tablet
    /// from now on.
    pub async fn hand_over(&mut self, patience: Duration) -> bool {
        self.leave.send_replace(true);
        let alias = self.tablet.alias();
        let is_led = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.is_led_by_another(alias));
        matches!(tokio::time::timeout(patience, self.shard.entry.wait_for(is_led)).await, Ok(Ok(_)))
    }

    /// Stops the tablet, then its server.
    ///
    /// # Errors
    /// When the server had to be killed.
    pub async fn stop(mut self) -> Result<(), String> {
        self.announced.withdraw().await;
        self.tablet.stop();
        // Those who are served hear of it when the process ends.
        drop(self.stop);
        self.tasks.shutdown().await;
        if let Some(tracer) = &self.tracer {
            tracer.flush(FLUSH_TIME_MAX).await;
        }
        let kept = self.kept;
        let stopping = tokio::task::spawn_blocking(move || kept.stop());
        stopping.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// What it is called.
#[derive(Clone)]
struct Place {
    shard: ShardName,
    alias: TabletAlias,
}

/// How its server is reached.
#[derive(Clone)]
struct Reach {
    kept: Arc<Kept>,
    application: Account,
    encryption: Option<Encryption>,
}

impl Reach {
    fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.kept.keepers()[0])
    }

    fn connector(&self, account: &Account, statements_max: usize) -> Connector {
        let at = self.keeper().address();
        Connector {
            address: Address::Tcp(at.ip().to_string(), at.port()),
            accounts: Arc::new(Accounts::own(account.user.as_bytes(), Secret::new(account.password.as_bytes()))),
            connect_time_max: CONNECT_TIME_MAX,
            statements_max,
            compression: None,
            encryption: self.encryption.clone(),
            on_rings: false,
            guard: None,
        }
    }

    fn service(&self) -> Connector {
        self.connector(self.kept.service_account(), 0)
    }

    /// A certificate that would keep the tablet from its server for good keeps it from starting.
    async fn check(&self) -> Result<(), StartError> {
        match self.encryption {
            Some(_) => Described::ask(&self.service()).await.map(|_| ()).map_err(StartError::new),
            None => Ok(()),
        }
    }
}

async fn start_server(options: servers::Options) -> Result<Arc<Kept>, StartError> {
    let starting = tokio::task::spawn_blocking(move || Cluster::start(&options));
    let started = starting.await.map_err(StartError::new)?.map_err(StartError::new)?;
    Ok(Arc::new(started.kept()))
}

fn start_tablet(
    options: &Options,
    name: &Place,
    reach: &Reach,
    news: mpsc::Sender<News>,
) -> Result<Arc<LocalTablet>, StartError> {
    let ShardName { keyspace, shard } = name.shard.clone();
    let identity = Name { alias: name.alias.clone(), keyspace, shard };
    let application = Connector {
        compression: options.server_compression,
        guard: options.guard.clone(),
        ..reach.connector(&reach.application, options.statements_per_connection_max)
    };
    // What is to be encrypted goes over TCP.
    let application = match application.encryption {
        None => Connector { address: Address::Unix(reach.keeper().socket().to_owned()), ..application },
        Some(_) => application,
    };
    let own = Own { monitor: reach.service(), beats: reach.connector(&reach.application, 0) };
    Ok(LocalTablet::start(ID, identity, options.tablet.clone(), application, own, news, random()?))
}

fn start_tracer(options: &Options) -> Result<Option<Arc<Tracer>>, StartError> {
    let part = vec![
        ("service.name", "weir-tablet".to_owned()),
        ("service.instance.id", options.alias.to_string()),
        ("weir.shard", options.shard.to_string()),
    ];
    options.traces.clone().map(|traces| Tracer::start(traces, &part)).transpose().map_err(StartError::new)
}

fn random() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    crypto::fill_random(&mut bytes).map_err(StartError::new)?;
    Ok(u64::from_le_bytes(bytes))
}

fn advertised(options: &Options, bound: std::net::IpAddr) -> String {
    options.advertised.clone().unwrap_or_else(|| bound.to_string())
}

fn record(options: &Options, address: SocketAddr, mysql: topo::Address) -> TabletRecord {
    let ShardName { keyspace, shard } = options.shard.clone();
    TabletRecord {
        alias: options.alias.clone(),
        grpc: topo::Address { host: advertised(options, address.ip()), port: address.port() },
        mysql,
        keyspace,
        shard,
        role: Role::Replica,
        labels: options.labels.clone(),
        weight: options.weight,
        binary: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Starts the server again when it dies.
async fn keep(kept: Arc<Kept>, alias: TabletAlias, entry: watch::Receiver<Option<Entry>>) {
    let mut tasks = look_after(&kept, [alias], &entry);
    while tasks.join_next().await.is_some() {}
}

/// Where the servers of the shard are, its own at least.
fn servers_of(
    mut tablets: watch::Receiver<super::shard::Tablets>,
    own: TabletAlias,
    address: topo::Address,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<Servers> {
    let (told, servers) = watch::channel(Servers::from([(own.clone(), address.clone())]));
    tasks.spawn(async move {
        loop {
            let known = Arc::clone(&tablets.borrow_and_update());
            let mut servers: Servers =
                known.values().map(|record| (record.alias.clone(), record.mysql.clone())).collect();
            servers.insert(own.clone(), address.clone());
            told.send_replace(servers);
            if tablets.changed().await.is_err() {
                return;
            }
        }
    });
    servers
}

/// What the tablet says of itself reaches its pool, and whoever listens.
pub(super) fn hear(
    tablet: Arc<LocalTablet>,
    mut news: mpsc::Receiver<News>,
) -> (Heard, impl Future<Output = ()> + Send) {
    let (health_told, health) = watch::channel::<Option<Health>>(None);
    let (state_told, state) = watch::channel::<Option<Box<State>>>(None);
    let telling = async move {
        let mut told = (Role::Unknown, 0);
        while let Some(news) = news.recv().await {
            match news {
                News::Health(_, health) => _ = health_told.send_replace(Some(health)),
                News::State(_, state) => {
                    tablet.note(orders::note(&state));
                    tablet.told_of_drain(state.draining);
                    let now = (state.role, state.promised);
                    // What is said of an earlier term came late.
                    if now != told && now.1 >= told.1 {
                        info!("term {}: was {}, is {}", now.1, told.0, now.0);
                        told = now;
                        tablet.assign(now.0, now.1);
                    }
                    state_told.send_replace(Some(state));
                }
                // Roles are ordered.
                News::Observed(..) | News::Silent(_) => {}
            }
        }
    };
    (Heard { health, state }, telling)
}

/// Takes orders among the tablets that the topology names: among others it begins anew, from what it has promised. A policy comes with
/// the order to lead.
struct Obeying {
    name: Place,
    reach: Reach,
    servers: watch::Receiver<Servers>,
    peers: Arc<Peers>,
    tablet: Arc<LocalTablet>,
    news: mpsc::Sender<News>,
    leaving: watch::Receiver<bool>,
    records: Option<recorder::Options>,
}

impl Obeying {
    async fn run(
        self,
        mut entry: watch::Receiver<Option<Entry>>,
        mut orders: mpsc::Receiver<ToTablet>,
        mut questions: mpsc::Receiver<Question>,
    ) -> Result<(), crate::Unusable> {
        loop {
            let known = entry.borrow_and_update().clone();
            let tablets = known.as_ref().map(|entry| entry.cohort.tablets.clone());
            let mut tasks = JoinSet::new();
            let (orders_in, taken) = mpsc::channel(orders::QUEUE_MAX);
            let (questions_in, asked) = mpsc::channel(orders::QUEUE_MAX);
            let obedience = self.obedience(known, taken, asked, &mut tasks)?;
            tasks.spawn(obedience.run());
            loop {
                tokio::select! {
                    // What does not fit is lost, as on a network.
                    order = orders.recv() => match order {
                        Some(order) => _ = orders_in.try_send(order),
                        None => return Ok(()),
                    },
                    Some(question) = questions.recv() => {
                        let _ = questions_in.try_send(question);
                    }
                    changed = entry.changed() => {
                        if changed.is_err() {
                            return Ok(());
                        }
                        if entry.borrow_and_update().as_ref().map(|entry| &entry.cohort.tablets) != tablets.as_ref() {
                            break;
                        }
                    }
                }
            }
            info!("the shard has other tablets");
            tasks.shutdown().await;
        }
    }

    fn obedience(
        &self,
        entry: Option<Entry>,
        orders: mpsc::Receiver<ToTablet>,
        questions: mpsc::Receiver<Question>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Obedience, crate::Unusable> {
        let (keeper, kept, alias) = (self.reach.keeper(), &self.reach.kept, self.name.alias.clone());
        let mut others = BTreeMap::new();
        for other in entry.iter().flat_map(|entry| &entry.cohort.tablets).filter(|other| **other != alias) {
            let (ask, asked) = mpsc::channel(orders::QUEUE_MAX);
            tasks.spawn(follow::vouch(self.peers.reach(other), asked));
            others.insert(other.clone(), ask);
        }
        let (called, of) = (alias.to_string(), self.name.shard.to_string());
        let recorder = Recorder::open_if_possible::<Orders>(self.records.as_ref(), &called, &of);
        let replication = kept.replication_account();
        let password = Secret::new(replication.password.as_bytes());
        // Whoever listens hears it from the news.
        let nobody: mpsc::Sender<FromTablet> = mpsc::channel(1).0;
        Obedience::new(orders::Setup {
            id: ID,
            alias,
            connector: self.reach.service(),
            promise: kept.promise_file(keeper.number()),
            keeper,
            donors: Donors { keepers: BTreeMap::new(), throttle: 0 },
            servers: self.servers.clone(),
            login: SourceLogin { user: replication.user.clone(), password },
            term: entry.as_ref().map_or(0, |entry| entry.record.term),
            cohort: entry.map(|entry| entry.cohort),
            orders,
            questions,
            others,
            open: self.tablet.what_is_open(),
            leaving: self.leaving.clone(),
            orchestrator: nobody,
            shard: self.news.clone(),
            recorder,
        })
    }
}
