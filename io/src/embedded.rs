//! A gateway with its tablets in one process: what `weir up` runs.

use crate::admin::{Cluster as Operated, UP, local};
use crate::crypto;
use crate::durable::Unusable;
pub use crate::failover::Policies;

use crate::failover::{self, Failover};
use crate::gateway::{self, Admin, Listening, Tablet};
use crate::health::Readiness;
use crate::metrics::{Program, Sources};
use crate::net::Address;
use crate::orch;
use crate::processes::shard::Shard as Followed;
use crate::recorder::{self, Recorder};
use crate::servers::{Account, Kept};
use crate::store::{Embedded, Topology};
use crate::tablet::{Accounts, Connector, Described, Encryption, LocalTablet, Own, TableGuard};
use crate::topology::{EmbeddedShard, Member, Roles};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;
use weir_core::error::{Component, Error};
use weir_core::gateway::cluster::{self, Cluster, TabletId, View};
use weir_core::gateway::users::Users;
use weir_core::link::ConnectionClass;
use weir_core::mysql::auth::Secret;
use weir_core::tablet::manager;
use weir_core::tablet::pool::ConnId;
use weir_core::time::Duration;
use weir_core::topo::{Cell, Keyspace, Shard, ShardName, TabletAlias};

/// How long a server may take to accept and log in a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long its own store may take to be known.
const KNOWN_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// SQLSTATE of a login that is refused.
const ACCESS_DENIED: [u8; 5] = *b"28000";
/// Reports of tablets that wait to be heard.
const NEWS_MAX: usize = 1024;

/// One of the servers.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: Address,
    /// Where it runs.
    pub cell: Cell,
    /// Its share of the reads among the replicas, relative to the others'. None at 0.
    pub weight: u32,
}

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// The servers of the one shard.
    pub servers: Vec<Backend>,
    /// The same, when they are Weir's own: they are started again when they die.
    pub kept: Option<Arc<Kept>>,
    /// How, if Weir changes the primary of its own servers; `None`: it finds roles, and changes none.
    pub failover: Option<Policies>,
    /// Where its machines keep what they are told, if anywhere.
    pub record: Option<recorder::Options>,
    /// The account that statements run under on the servers, unless clients bring their own.
    pub application: Account,
    /// The account that watches the servers.
    pub monitor: Account,
    /// How each tablet is run.
    pub tablet: manager::Config,
    /// Prepared statements kept on one server connection, at most.
    pub statements_per_connection_max: usize,
    /// How hard to compress the statements of clients on their way to the servers: see [`Connector::compression`].
    pub server_compression: Option<u32>,
    /// How connections to the servers are encrypted.
    pub encryption: Option<Encryption>,
    /// What says which statements of clients may touch their tables; `None` for all.
    pub guard: Option<Arc<TableGuard>>,
    /// How the shard is seen.
    pub cluster: cluster::Config,
    /// How clients are served.
    pub gateway: gateway::Options,
    /// How long to wait for a primary at the start.
    pub primary_time_max: Duration,
}

/// Why it did not start.
#[derive(Debug)]
pub enum StartError {
    /// No server can be reached with the monitor's account; each with what it said.
    NoServer(Vec<(Address, Error)>),
    /// A server refuses the account that statements run under: its user, where, and what the server said.
    Application(String, Address, Error),
    /// The servers can be reached, but none of them is the primary.
    NoPrimary(String),
    /// The gateway's address cannot be listened on.
    Listen(SocketAddr, std::io::Error),
    /// The system has no randomness.
    Crypto(crypto::CryptoError),
    /// It is not known what was promised.
    Promise(Unusable),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer(errors) => {
                f.write_str("no server can be used:")?;
                errors.iter().try_for_each(|(address, error)| write!(f, "\n  {address}: {error}"))
            }
            Self::Application(user, address, error) => {
                write!(f, "{address} refuses --user '{user}', as which all statements would run: {error}")
            }
            Self::NoPrimary(why) => write!(f, "no primary was found: {why}"),
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Crypto(error) => write!(f, "{error}"),
            Self::Promise(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A gateway that serves.
pub struct Running {
    gateway: Listening,
    tablets: Vec<Arc<LocalTablet>>,
    shard: JoinHandle<()>,
    failover: Option<Failover>,
    keeping: JoinSet<()>,
    /// The gateway, as operators ask it.
    admin: Arc<OnceLock<Admin>>,
    _asked: JoinSet<()>,
    /// Its own store, where it has one.
    followed: Option<Followed>,
}

impl Running {
    /// Starts the tablets, waits until a primary serves, and listens.
    ///
    /// # Errors
    /// When no server answers, none is primary, or the address cannot be listened on.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let server = first_server(&options).await?;
        let rsa = crypto::RsaKey::generate().map_err(StartError::Crypto)?;
        let (news_out, news) = mpsc::channel(NEWS_MAX);
        let application = accounts(&options.application);
        check_application(&options, &application).await?;
        let members = start_tablets(&options, &application, &news_out)?;
        let store = match &options.kept {
            Some(kept) => Some(Embedded::open(kept.data_dir()).map_err(StartError::Promise)?),
            None => None,
        };
        let failover = match (&options.kept, &store) {
            (Some(kept), Some(store)) => start_failover(&options, (kept, store), &members, &news_out)?,
            _ => None,
        };
        drop(news_out);
        let keeping = look_after(&options, &members, failover.as_ref());
        let admin = Arc::new(OnceLock::new());
        let asked = let_operators_ask(&options, failover.as_ref(), &admin);
        let roles = if failover.is_some() { Roles::Ordered } else { Roles::Found };
        let tablets: Vec<_> = members.iter().map(|member| Arc::clone(&member.tablet)).collect();
        let ShardName { keyspace, shard } = place();
        let entry = failover.as_ref().map_or_else(|| watch::channel(None).1, |failover| failover.entry().clone());
        let recorder = Recorder::open_if_possible::<Cluster>(options.record.as_ref(), UP, &place().to_string());
        let cluster = (options.cluster.clone(), recorder);
        let (shard, mut view) = EmbeddedShard::new(keyspace, shard, roles, cluster, members, news, entry);
        let shard = tokio::spawn(shard.run());
        wait_for_primary(&mut view, options.primary_time_max).await?;
        let by_id = tablets.iter().map(|tablet| (tablet.id(), Tablet::Local(Arc::clone(tablet)))).collect();
        // They are these for as long as it runs.
        let by_id = watch::channel(Arc::new(by_id)).1;
        let (followed, globals) = keep_globals(store).await;
        let cell = options.cluster.cell.clone();
        let part = vec![("service.name", "weir".to_owned())];
        let gateway = gateway::Options { globals, part, ..options.gateway };
        let listen = gateway.listen;
        let gateway = Listening::start(gateway, &server, application, rsa, view, by_id)
            .map_err(|error| StartError::Listen(listen, error))?;
        // It is set once.
        let _ = admin.set(gateway.admin(UP.to_owned(), cell));
        Ok(Self { gateway, tablets, shard, failover, keeping, admin, _asked: asked, followed })
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

    /// Itself, for those who operate it from within this process.
    #[must_use]
    pub fn operated(&self) -> Operated {
        let wishes = self.failover.as_ref().map(|failover| failover.wishes().clone());
        let (channel, answering) = local::within(place(), wishes, Arc::clone(&self.admin));
        Operated::within(channel, answering)
    }

    /// What it counts.
    pub fn metrics(&self) -> Sources {
        let sources = Sources::new(Program::Up, place()).with(self.gateway.metrics());
        let sources = match &self.followed {
            Some(followed) => sources.with(followed.metrics()),
            None => sources,
        };
        sources.with_orchestrator(self.failover.as_ref().map(|failover| failover.wishes().clone()))
    }

    /// Lets clients finish for up to `patience`, then stops.
    pub async fn stop(mut self, patience: Duration) {
        self.gateway.stop(patience).await;
        // Servers that stop from now on are neither started again nor replaced.
        self.keeping.shutdown().await;
        self.failover = None;
        self.tablets.iter().for_each(|tablet| tablet.stop());
        self.shard.abort();
    }
}

/// The one shard that a process without a topology service has.
fn place() -> ShardName {
    let keyspace = "default".parse::<Keyspace>().unwrap_or_else(|_| unreachable!("a plain name"));
    ShardName { keyspace, shard: Shard::unsharded() }
}

/// Where it is kept what SET GLOBAL sets: in Weir's own store, where it has one.
async fn keep_globals(store: Option<Embedded>) -> (Option<Followed>, gateway::Kept) {
    let Some(topology) = store.map(Topology::Embedded) else { return (None, gateway::Kept::default()) };
    let shard = place();
    let followed = Followed::follow(&topology, shard.clone());
    followed.wait_until_known(KNOWN_TIME_MAX).await;
    let now = followed.globals.clone();
    (Some(followed), gateway::Kept::Topology { topology, keyspace: shard.keyspace, now })
}

fn start_tablets(
    options: &Options,
    application: &Arc<Accounts>,
    news: &mpsc::Sender<crate::tablet::News>,
) -> Result<Vec<Member>, StartError> {
    let monitor = accounts(&options.monitor);
    // On Weir's own servers the application may write the table of heartbeats as well.
    let beats = if options.kept.is_some() { application } else { &monitor };
    let connector = |address, accounts, statements_max| connector(options, address, accounts, statements_max);
    let mut members = Vec::new();
    let mut own = options.kept.iter().flat_map(|kept| kept.keepers());
    for (number, Backend { address, cell, weight }) in (1..).zip(&options.servers) {
        let ShardName { keyspace, shard } = place();
        // Weir's own servers run beside it.
        let keeper = own.next();
        let nearest = keeper.map_or_else(|| address.clone(), |keeper| Address::Unix(keeper.socket().to_owned()));
        let alias = TabletAlias { cell: cell.clone(), uid: number };
        let identity = manager::Identity { alias: alias.clone(), keyspace, shard };
        let mut seed = [0; 8];
        crypto::fill_random(&mut seed).map_err(StartError::Crypto)?;
        let tablet = LocalTablet::start(
            TabletId(number),
            identity,
            options.tablet.clone(),
            Connector {
                compression: options.server_compression,
                guard: options.guard.clone(),
                on_rings: options.gateway.rings.is_some(),
                address: nearest,
                ..connector(address, application, options.statements_per_connection_max)
            },
            Own { monitor: connector(address, &monitor, 0), beats: connector(address, beats, 0) },
            news.clone(),
            u64::from_le_bytes(seed),
        );
        members.push(Member { tablet, alias, address: address.clone(), weight: *weight });
    }
    Ok(members)
}

fn start_failover(
    options: &Options,
    (kept, store): (&Arc<Kept>, &Embedded),
    members: &[Member],
    news: &mpsc::Sender<crate::tablet::News>,
) -> Result<Option<Failover>, StartError> {
    let shard = place();
    let Some(policies) = options.failover else {
        orch::forget_history(store, &shard).map_err(StartError::Promise)?;
        return Ok(None);
    };
    let service = accounts(kept.service_account());
    let connector = |member: &Member| connector(options, &member.address, &service, 0);
    let record = options.record.as_ref();
    Failover::start(kept, (store.clone(), shard), policies, record, members, connector, news)
        .map(Some)
        .map_err(StartError::Promise)
}

/// Whoever may write to the data directory of Weir's own servers may ask, even while it starts.
fn let_operators_ask(options: &Options, failover: Option<&Failover>, admin: &Arc<OnceLock<Admin>>) -> JoinSet<()> {
    let mut asked = JoinSet::new();
    let Some(kept) = &options.kept else { return asked };
    match local::listen(kept.data_dir()) {
        Ok(listener) => {
            let wishes = failover.map(|failover| failover.wishes().clone());
            asked.spawn(local::serve(listener, place(), wishes, Arc::clone(admin)));
        }
        Err(error) => warn!("`weir ctl` cannot reach this Weir: {error}"),
    }
    asked
}

fn look_after(options: &Options, members: &[Member], failover: Option<&Failover>) -> JoinSet<()> {
    let nobody = watch::channel(None).1;
    let entry = failover.map_or(&nobody, Failover::entry);
    let aliases = members.iter().map(|member| member.alias.clone());
    options.kept.as_ref().map_or_else(JoinSet::new, |kept| failover::look_after(kept, aliases, entry))
}

fn accounts(own: &Account) -> Arc<Accounts> {
    Arc::new(Accounts::own(own.user.as_bytes(), Secret::new(own.password.as_bytes())))
}

fn connector(options: &Options, address: &Address, accounts: &Arc<Accounts>, statements_max: usize) -> Connector {
    Connector {
        address: address.clone(),
        accounts: Arc::clone(accounts),
        connect_time_max: CONNECT_TIME_MAX,
        statements_max,
        compression: None,
        encryption: options.encryption.clone(),
        on_rings: false,
        guard: None,
    }
}

/// Asks the first server that answers.
async fn first_server(options: &Options) -> Result<Described, StartError> {
    let mut errors = Vec::new();
    for Backend { address, .. } in &options.servers {
        match Described::ask(&connector(options, address, &accounts(&options.monitor), 0)).await {
            Ok(server) => return Ok(server),
            Err(error) => errors.push((address.clone(), error)),
        }
    }
    Err(StartError::NoServer(errors))
}

/// An account that is refused now would be refused to every statement.
async fn check_application(options: &Options, application: &Arc<Accounts>) -> Result<(), StartError> {
    if matches!(options.gateway.live.users, Users::OfServers) {
        return Ok(());
    }
    for Backend { address, .. } in &options.servers {
        let connector = connector(options, address, application, 0);
        match connector.connect(ConnId(0), ConnectionClass::PLAIN).await {
            Ok(_) => return Ok(()),
            Err(error) if error.component == Component::Server && error.sqlstate == ACCESS_DENIED => {
                return Err(StartError::Application(options.application.user.clone(), address.clone(), error));
            }
            // That may pass.
            Err(_) => {}
        }
    }
    Ok(())
}

async fn wait_for_primary(view: &mut watch::Receiver<Arc<View>>, limit: Duration) -> Result<(), StartError> {
    let found = view.wait_for(|view| view.primary().is_some_and(|primary| primary.serving.is_yes()));
    if tokio::time::timeout(limit, found).await.is_ok_and(|found| found.is_ok()) {
        return Ok(());
    }
    let told = view.borrow();
    let states: Vec<String> = told
        .tablets()
        .iter()
        .map(|tablet| format!("{} is {} and {}", tablet.alias, tablet.role, tablet.serving))
        .collect();
    Err(StartError::NoPrimary(format!("after {} s, {}", limit.as_secs(), states.join("; "))))
}
