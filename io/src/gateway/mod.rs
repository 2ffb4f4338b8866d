//! A running gateway: listeners, one task per client session, and what the sessions share.

mod admin;
mod asked;
mod audited;
mod buffer;
mod compression;
mod digests;
mod driver;
mod freshness;
mod globals;
mod kill;
mod listener;
mod metrics;
mod others;
mod proxied;
mod show;
mod slow;
mod tablets;
mod traced;
mod users;

use crate::Rings;
use crate::audit::Log;
use crate::clock;
use crate::crypto::RsaKey;
use crate::handover::Sockets;
use crate::metrics::Statements;
use crate::net::Stream;
use crate::tablet::{Accounts, Described};
use crate::tls::Certificates;
use crate::traces::{self, Tracer};
use buffer::Waiters;
use digests::Counted;
use freshness::Readers;
use kill::SessionEntry;
use slow::Slow;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use traced::Traced;
use users::Users;
use weir_core::error::{Component, Error, Kind};
use weir_core::gateway::admission::{Admission, AdmissionLimits};
use weir_core::gateway::audit::Rules;
use weir_core::gateway::buffer as buffering;
use weir_core::gateway::cluster::{TabletId, View};
use weir_core::gateway::config::{Greeting, SessionConfig, SessionLimits};
use weir_core::gateway::ids::Ids;
use weir_core::gateway::proxied::Network;
use weir_core::gateway::session::{Reason, Replayed};
use weir_core::gateway::variables::Variables;
use weir_core::mutants::Mutants;
use weir_core::mysql::auth::{AuthPlugin, Secret};
use weir_core::time::{Duration, Instant};

pub(crate) use admin::Admin;
pub use globals::Kept;
pub use listener::Listening;
pub use others::Others;
pub use tablets::{Tablet, Tablets};
pub(crate) use traced::address_attributes;
pub use users::ReadUsers;

/// How long the primary may take to tell its position before reads go to it themselves.
const ASK_TIME_MAX: Duration = Duration::from_secs(1);

/// utf8mb4_general_ci: what clients that do not choose are greeted with.
const COLLATION: u16 = 45;

/// What may change while a gateway serves.
#[derive(Clone, Debug)]
pub struct Live {
    /// Who may log in.
    pub users: weir_core::gateway::users::Users,
    /// How they are read anew, where a file names them.
    pub read_users: Option<ReadUsers>,
    /// How many clients may be connected.
    pub admission: AdmissionLimits,
    /// What a session may do.
    pub session: SessionLimits,
    /// Defaults of Weir's own variables, where SET GLOBAL has set none.
    pub variables: Variables,
    /// Statements that take so long are logged; `None`: none is.
    pub slow: Option<Duration>,
    /// Of statements whose client says nothing of a trace, this share is sampled, where spans are made at all.
    pub trace_ratio: f64,
    /// What is logged of whom, where there is an audit log.
    pub audit: Rules,
}

/// How clients are served.
#[derive(Debug)]
pub struct Options {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where clients on this machine may connect too.
    pub socket: Option<PathBuf>,
    /// What may change while it serves.
    pub live: Live,
    /// How much may wait for a primary.
    pub buffer: buffering::Config,
    /// The longest packet taken from a client, in bytes; `None` for what the servers take.
    pub packet_bytes_max: Option<usize>,
    /// Where it is kept what SET GLOBAL has set.
    pub globals: Kept,
    /// Sockets of a gateway that this one succeeds: they are listened on where they are the ones that are wanted.
    pub inherited: Sockets,
    /// Certificate and key for clients that want TLS.
    pub tls: Option<Certificates>,
    /// Clients over TCP must use TLS.
    pub tls_required: bool,
    /// How hard to compress for clients that ask for it: see [`Greeting::compression`].
    pub compression: Option<u32>,
    /// Load balancers, each of whose connections begins with a PROXY header.
    pub proxies: Vec<Network>,
    /// The other gateways of the shard.
    pub others: Others,
    /// Threads that carry the bytes of clients, and of servers' connections in this process; without them tokio does.
    pub rings: Option<Rings>,
    /// How many forms of statements each thread counts by themselves; 0: none.
    pub digests_max: usize,
    /// Who gets spans of statements; `None`: nobody, and none are made.
    pub traces: Option<traces::Options>,
    /// Whose they are.
    pub part: traces::Part,
    /// Where it is logged what clients do.
    pub audit: Option<Log>,
}

impl Options {
    /// What every session is made with, in front of servers that describe themselves so.
    fn session_config(&self, server: &Described, rsa: &RsaKey, tracer: Option<&Tracer>) -> SessionConfig {
        SessionConfig {
            greeting: Greeting {
                server_version: server.version.clone().into(),
                of_mariadb: server.of_mariadb,
                collation: COLLATION,
                plugin: AuthPlugin::Native,
                tls_available: self.tls.is_some(),
                compression: self.compression,
                tls_required: self.tls_required,
                rsa_public_key: Some(rsa.public_pem()),
            },
            users: self.live.users.clone(),
            variables: self.globals.now().over(&self.live.variables),
            limits: SessionLimits {
                packet_bytes_max: self.packet_bytes_max.unwrap_or(server.packet_bytes_max),
                ..self.live.session
            },
            digests: self.digests_max > 0 || self.live.slow.is_some() || tracer.is_some(),
            traces: tracer.map(|tracer| Arc::clone(tracer.sampler())),
            audit: audited::by(self.audit.as_ref(), &self.live.audit),
            mutants: Mutants::NONE,
        }
    }
}

/// What the sessions of a gateway share.
pub(crate) struct Shared {
    session_config: Mutex<Arc<SessionConfig>>,
    /// Defaults of Weir's own variables, where SET GLOBAL has set none.
    configured: Mutex<Variables>,
    globals: Kept,
    /// Counts the changes of `session_config`, so that sessions look at it only after one.
    config_version: AtomicU32,
    tls: Option<Certificates>,
    proxies: Vec<Network>,
    /// Sessions run there, if there are any.
    rings: Option<Rings>,
    rsa: RsaKey,
    view: watch::Receiver<Arc<View>>,
    tablets: watch::Receiver<Tablets>,
    admission: Mutex<Admission>,
    users: Users,
    readers: Readers,
    waiters: Waiters,
    ids: Mutex<Ids>,
    others: Others,
    sessions: Mutex<BTreeMap<u32, SessionEntry>>,
    counters: Counters,
    statements: Statements,
    digests: Counted,
    slow: Slow,
    traced: Option<Traced>,
    audit: Option<Log>,
    started: Instant,
}

/// Counts since the gateway started.
#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    /// Clients for which there was no room.
    over_limit: AtomicU64,
    /// Connections of load balancers that did not say whom they speak for.
    without_header: AtomicU64,
    /// Sessions that have ended, by [`Reason`], in its order.
    ended: [AtomicU64; Reason::ALL.len()],
    /// By [`Replayed`], in its order.
    replayed: [AtomicU64; Replayed::ALL.len()],
}

impl Counters {
    fn ended(&self, reason: Reason) -> u64 {
        self.ended[reason as usize].load(Ordering::Relaxed)
    }

    /// Clients that were not let in.
    fn refused(&self) -> u64 {
        let before = [&self.over_limit, &self.without_header].map(|count| count.load(Ordering::Relaxed));
        before.iter().sum::<u64>() + self.ended(Reason::Refused)
    }
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        server: &Described,
        accounts: Arc<Accounts>,
        rsa: RsaKey,
        view: watch::Receiver<Arc<View>>,
        tablets: watch::Receiver<Tablets>,
    ) -> Self {
        let traced = Traced::start(&options, server);
        let tracer = traced.as_ref().map(Traced::tracer);
        Self {
            session_config: Mutex::new(Arc::new(options.session_config(server, &rsa, tracer))),
            configured: Mutex::new(options.live.variables.clone()),
            globals: options.globals,
            config_version: AtomicU32::new(0),
            tls: options.tls,
            proxies: options.proxies,
            rings: options.rings,
            rsa,
            view,
            tablets,
            admission: Mutex::new(Admission::new(options.live.admission)),
            users: Users::new(accounts, options.live.read_users),
            readers: Readers::new(ASK_TIME_MAX),
            waiters: Waiters::new(options.buffer),
            ids: Mutex::new(Ids::new(options.others.own())),
            others: options.others,
            sessions: Mutex::default(),
            counters: Counters::default(),
            statements: Statements::default(),
            digests: Counted::new(options.digests_max),
            slow: Slow::new(options.live.slow),
            traced,
            audit: options.audit,
            started: clock::now(),
        }
    }

    fn session_config(&self) -> Arc<SessionConfig> {
        Arc::clone(&self.session_config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The configuration, when it is another than that of `version`, which is brought up to date.
    fn newer_config(&self, version: &mut u32) -> Option<Arc<SessionConfig>> {
        let newest = self.config_version.load(Ordering::Acquire);
        (std::mem::replace(version, newest) != newest).then(|| self.session_config())
    }

    /// What SET GLOBAL has set holds from now on.
    fn take_globals(&self) {
        let mut config = self.session_config.lock().unwrap_or_else(PoisonError::into_inner);
        let variables = self.variables();
        if config.variables != variables {
            *config = Arc::new(SessionConfig { variables, ..SessionConfig::clone(&config) });
            self.config_version.fetch_add(1, Ordering::Release);
        }
    }

    fn variables(&self) -> Variables {
        self.globals.now().over(&self.configured.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_live(&self, live: Live) {
        self.admission().set_limits(live.admission);
        let mut config = self.session_config.lock().unwrap_or_else(PoisonError::into_inner);
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = live.variables;
        self.users.read_from(live.read_users);
        self.slow.set(live.slow);
        if let Some(traced) = &self.traced {
            traced.tracer().sampler().set_ratio(live.trace_ratio);
        }
        *config = Arc::new(SessionConfig {
            variables: self.variables(),
            users: live.users,
            audit: audited::by(self.audit.as_ref(), &live.audit),
            digests: self.digests.is_on() || live.slow.is_some() || self.traced.is_some(),
            // The longest packet is what the servers take, too, who are not asked again.
            limits: SessionLimits { packet_bytes_max: config.limits.packet_bytes_max, ..live.session },
            ..SessionConfig::clone(&config)
        });
        self.config_version.fetch_add(1, Ordering::Release);
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// The tablet that the view named, unless it is not part of the shard any more.
    fn tablet(&self, id: TabletId) -> Option<Tablet> {
        self.tablets.borrow().get(&id).cloned()
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u32, SessionEntry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rsa_decrypt(&self, ciphertext: &[u8]) -> Option<Secret> {
        self.rsa.decrypt(ciphertext)
    }

    async fn accept_tls(&self, stream: Stream, head: Vec<u8>) -> io::Result<Stream> {
        match self.tls.as_ref().and_then(Certificates::server) {
            Some(config) => stream.accept_tls(head, &TlsAcceptor::from(config)).await,
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn count_replayed(&self, what: Replayed) {
        self.counters.replayed[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn count_end(&self, reason: Reason) {
        self.counters.ended[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

fn no_such_tablet() -> Error {
    let what = "weir-gateway: the tablet is not part of this gateway any more";
    Error::unexecuted(Component::Gateway, Kind::Unavailable, what)
}
