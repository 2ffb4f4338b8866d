//! How clients are served.

use super::{AuditArgs, TraceArgs, users};
use clap::Args as ClapArgs;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;
use weir_core::gateway::admission::AdmissionLimits;
use weir_core::gateway::buffer;
use weir_core::gateway::cluster::rotation::{self, Outliers};
use weir_core::gateway::cluster::{self, WithoutReplica};
use weir_core::gateway::config::SessionLimits;
use weir_core::gateway::proxied::Network;
use weir_core::gateway::users::Users;
use weir_core::gateway::variables::{Consistency, Splitting, Variables};
use weir_core::mysql::auth::{Credential, Secret};
use weir_core::topo::Cell;
use weir_io::Rings;
use weir_io::gateway;
use weir_io::handover::Sockets;
use weir_io::tls::{Certificates, Files, Purpose};
use weir_io::traces;

/// So many heartbeats may be missing until replicas' lags are what their servers reckon.
const BEATS_MISSED_MAX: u32 = 5;

/// Whose accounts clients log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    /// The one of `--user`.
    Own,
    /// Those of a file.
    Static,
    /// The servers'.
    #[value(name = "mysqlbased")]
    MysqlBased,
}

/// What carries the bytes of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IoDriver {
    /// io_uring where the kernel has it, else tokio.
    Auto,
    /// Completions, many to a system call.
    #[value(name = "io_uring")]
    IoUring,
    /// Readiness.
    Tokio,
}

/// Those of [`GatewayArgs`] that are taken without a restart, on SIGHUP.
pub const LIVE_OF_GATEWAYS: &[&str] = &[
    "audit-events",
    "audit-except-users",
    "audit-on-failure",
    "audit-text",
    "audit-text-max-bytes",
    "audit-users",
    "auth",
    "consistency",
    "drain-time-ms",
    "login-time-ms",
    "max-connections",
    "max-prepared-statements",
    "max-user-connections",
    "monotonic-reads",
    "password",
    "policy",
    "read-after-write-timeout-ms",
    "read-time-ms",
    "slow-query-ms",
    "trace-ratio",
    "transaction-replay",
    "user",
    "users-file",
    "write-time-ms",
];

/// Options of whatever serves clients.
#[derive(Debug, ClapArgs)]
pub struct GatewayArgs {
    /// The cell (zone, data centre) in which this gateway runs: reads go to replicas of the same cell, if there are any.
    #[arg(long, default_value = "local", value_name = "CELL", env = "WEIR_CELL")]
    pub cell: Cell,

    /// The address that clients connect to.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP", env = "WEIR_HOST")]
    pub host: IpAddr,

    /// The port that clients connect to; 0 for any free one.
    #[arg(long, default_value_t = 15306, env = "WEIR_PORT")]
    pub port: u16,

    /// A unix socket for clients on this machine [default with servers of its own: weir.sock in the data directory].
    #[arg(long, value_name = "PATH", env = "WEIR_SOCKET")]
    pub socket: Option<PathBuf>,

    /// The account that clients log in with, and under which their statements run on the servers. Keep it without SUPER and
    /// READ_ONLY ADMIN, which write on read-only replicas.
    #[arg(long, default_value = "weir", env = "WEIR_USER")]
    pub user: String,

    /// Its password. Better given by the environment, where other users of the machine cannot see it.
    #[arg(long, default_value = "weir", env = "WEIR_PASSWORD", hide_env_values = true)]
    pub password: String,

    /// Whose accounts clients log in with: own (--user and --password); static (those of --users-file); or mysqlbased: the
    /// servers' own, under which the statements of each client run there. These are looked up at each login, for which the
    /// account that watches the servers needs SELECT ON mysql.*.
    #[arg(long, default_value = "own", value_name = "own|static|mysqlbased", env = "WEIR_AUTH")]
    pub auth: Auth,

    /// With --auth static: who may log in, and hashes of their passwords; their statements run under --user on the servers. Read
    /// again on SIGHUP. A TOML file with a table `users` of lines such as name = "*40 digits, as PASSWORD() prints", or
    /// name = { password = "*40 digits", max_connections = 5, admin = true, subject = "/CN=name" } for a limit of its own, for who may
    /// end clients of others and say RELOAD USERS, and for a certificate that its clients must show (or require = "x509" or "ssl").
    #[arg(long, value_name = "FILE", env = "WEIR_USERS_FILE", required_if_eq("auth", "static"))]
    pub users_file: Option<PathBuf>,

    /// Client connections, at most.
    #[arg(long, default_value_t = 20_000, value_name = "N", env = "WEIR_MAX_CONNECTIONS")]
    pub max_connections: usize,

    /// Client connections of one user, at most [default: no limit of its own].
    #[arg(long, value_name = "N", env = "WEIR_MAX_USER_CONNECTIONS")]
    pub max_user_connections: Option<usize>,

    /// How long a client may take to log in, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS", env = "WEIR_LOGIN_TIME_MS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub login_time_ms: u64,

    /// How long a client may be silent in the middle of a packet, in milliseconds.
    #[arg(long, default_value_t = 30_000, value_name = "MS", env = "WEIR_READ_TIME_MS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub read_time_ms: u64,

    /// How long a client may take nothing of an answer that waits for it, in milliseconds.
    #[arg(long, default_value_t = 60_000, value_name = "MS", env = "WEIR_WRITE_TIME_MS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub write_time_ms: u64,

    /// The longest packet taken from a client, in bytes [default: the servers' max_allowed_packet].
    #[arg(long, value_name = "BYTES", env = "WEIR_MAX_ALLOWED_PACKET",
          value_parser = clap::value_parser!(u32).range(1024..=1 << 30))]
    pub max_allowed_packet: Option<u32>,

    /// Prepared statements of one client, at most.
    #[arg(long, default_value_t = 16_382, value_name = "N", env = "WEIR_MAX_PREPARED_STATEMENTS")]
    pub max_prepared_statements: usize,

    /// How fresh reads are unless a session says otherwise: EVENTUAL, SESSION, INSTANCE or GLOBAL.
    #[arg(long, default_value = "SESSION", value_name = "LEVEL", env = "WEIR_CONSISTENCY", value_parser = consistency)]
    pub consistency: Consistency,

    /// Let no session read older data than it has read before, at any level, unless it says otherwise.
    #[arg(long, env = "WEIR_MONOTONIC_READS")]
    pub monotonic_reads: bool,

    /// Begin transactions whose primary is lost again on the next one, unless a session says otherwise. It keeps their statements, and
    /// costs a row in the table weir.transactions for each that writes.
    #[arg(long, env = "WEIR_TRANSACTION_REPLAY")]
    pub transaction_replay: bool,

    /// How long a read may wait on a replica for what it must see, before it goes to the primary, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_name = "MS", env = "WEIR_READ_AFTER_WRITE_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub read_after_write_timeout_ms: u64,

    /// How reads choose among replicas: random, round_robin, least_connections, least_rt, least_qps, least_behind_primary;
    /// disable sends them to the primary.
    #[arg(long, default_value = "random", value_name = "POLICY", env = "WEIR_POLICY", value_parser = policy)]
    pub policy: Splitting,

    /// Replicas further behind get no reads, in milliseconds [default: however far].
    #[arg(long, value_name = "MS", env = "WEIR_MAX_REPLICATION_LAG_MS")]
    pub max_replication_lag_ms: Option<u64>,

    /// What a read does when no replica can take it: primary, or error.
    #[arg(long, default_value = "primary", value_name = "primary|error", env = "WEIR_WITHOUT_REPLICA", value_parser = without_replica)]
    pub without_replica: WithoutReplica,

    /// How long a replica that returns takes to its full share of the reads, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS", env = "WEIR_WARM_UP_MS",
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub warm_up_ms: u64,

    /// How long a replica that fails, or is slow where others are not, gets no reads, in milliseconds; each time in a row twice
    /// as long. 0: it gets them all the same.
    #[arg(long, default_value_t = 5_000, value_name = "MS", env = "WEIR_EJECTION_TIME_MS",
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub ejection_time_ms: u64,

    /// How long a statement may wait for a primary, while that changes or is lost, in milliseconds. 0: it does not wait.
    #[arg(long, default_value_t = 10_000, value_name = "MS", env = "WEIR_BUFFER_MAX_WAIT_MS",
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub buffer_max_wait_ms: u64,

    /// Sessions whose statements may wait for a primary, at most.
    #[arg(long, default_value_t = 10_000, value_name = "N", env = "WEIR_BUFFER_MAX_SESSIONS")]
    pub buffer_max_sessions: usize,

    /// Bytes of statements that may wait for a primary, at most.
    #[arg(long, default_value_t = 256 * 1024 * 1024, value_name = "BYTES", env = "WEIR_BUFFER_MAX_BYTES")]
    pub buffer_max_bytes: usize,

    /// Forms of statements (their texts without values) that each thread counts by themselves, for SHOW WEIR DIGESTS and `weir ctl
    /// digests`; the rest is counted together. Each takes 1.5 KiB at most. 0: nothing is counted by form.
    #[arg(long, default_value_t = 1_000, value_name = "N", env = "WEIR_DIGESTS_MAX",
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub digests_max: u32,

    /// Log each statement that takes so long or longer, in milliseconds, by its form, which has none of its values: at most ten lines a second.
    /// 0: none is.
    #[arg(long, default_value_t = 0, value_name = "MS", env = "WEIR_SLOW_QUERY_MS",
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub slow_query_ms: u64,

    /// The traces that are made.
    #[command(flatten)]
    pub traces: TraceArgs,

    /// With --trace-endpoint: of statements whose client says nothing of a trace, this share is traced, from 0 to 1. A client says it by a
    /// comment /*traceparent='...'*/ of the statement, or a query attribute of that name; what it says of sampling holds.
    #[arg(long, default_value_t = 0.01, value_name = "RATIO", env = "WEIR_TRACE_RATIO", value_parser = ratio)]
    pub trace_ratio: f64,

    /// What is logged of what clients do.
    #[command(flatten)]
    pub audit: AuditArgs,

    /// What carries the bytes of clients, and of this process's connections to servers: io_uring (Linux 6.1 or later, where it is not
    /// forbidden), tokio (epoll), or auto: the first that there is.
    #[arg(long, default_value = "auto", value_name = "auto|io_uring|tokio", env = "WEIR_IO_DRIVER")]
    pub io_driver: IoDriver,

    /// Certificate chain (PEM) for clients that want TLS.
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key (PEM) of the certificate.
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Refuse clients over TCP that do not use TLS.
    #[arg(long, env = "WEIR_TLS_REQUIRED", requires = "tls_cert")]
    pub tls_required: bool,

    /// Certificates (PEM) of authorities: clients over TCP must use TLS and show a certificate that one of these vouches for, beside their
    /// password.
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// With --tls-client-ca: clients whose account does not ask for it need neither use TLS nor show a certificate.
    #[arg(long, env = "WEIR_TLS_CLIENT_OPTIONAL", requires = "tls_client_ca")]
    pub tls_client_optional: bool,

    /// How hard Weir compresses what it sends to clients that ask for compression, from 1 (fast) to 9 (small); 0 offers none.
    #[arg(long, default_value_t = 1, value_name = "LEVEL", env = "WEIR_COMPRESSION",
          value_parser = clap::value_parser!(u32).range(0..=9))]
    pub compression: u32,

    /// Networks of load balancers (address or address/bits): connections from there must begin with a PROXY header, version 1 or 2.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', env = "WEIR_PROXY_PROTOCOL_FROM")]
    pub proxy_protocol_from: Vec<Network>,

    /// How long clients may take to finish when the gateway stops, in milliseconds.
    #[arg(long, default_value_t = 5_000, value_name = "MS", env = "WEIR_DRAIN_TIME_MS")]
    pub drain_time_ms: u64,
}

impl GatewayArgs {
    /// What they say, with `socket` where they say nothing of one.
    ///
    /// # Errors
    /// When a file cannot be read or makes no sense, by its name.
    pub fn options(&self, socket: Option<PathBuf>, threads: Option<u16>) -> Result<gateway::Options, String> {
        Ok(gateway::Options {
            live: self.live()?,
            listen: SocketAddr::new(self.host, self.port),
            socket: self.socket.clone().or(socket),
            buffer: buffer::Config {
                enabled: self.buffer_max_wait_ms > 0,
                buffer_max_wait: Duration::from_millis(self.buffer_max_wait_ms),
                buffer_max_sessions: self.buffer_max_sessions,
                buffer_max_bytes: self.buffer_max_bytes,
            },
            globals: gateway::Kept::default(),
            inherited: Sockets::default(),
            packet_bytes_max: self.max_allowed_packet.map(|bytes| bytes as usize),
            tls: self
                .tls_cert
                .clone()
                .zip(self.tls_key.clone())
                .map(|own| {
                    Certificates::load(
                        Files { own: Some(own), authority: self.tls_client_ca.clone() },
                        Purpose::Clients { must_show: !self.tls_client_optional },
                    )
                })
                .transpose()
                .map_err(|error| error.to_string())?,
            // Without TLS nobody shows anything.
            tls_required: self.tls_required || (self.tls_client_ca.is_some() && !self.tls_client_optional),
            compression: (self.compression > 0).then_some(self.compression),
            proxies: self.proxy_protocol_from.clone(),
            others: gateway::Others::default(),
            rings: self.rings(threads)?,
            digests_max: self.digests_max as usize,
            traces: self.traces.options(self.trace_ratio),
            part: traces::Part::new(),
            audit: self.audit.open()?,
        })
    }

    /// One for each processor, unless it is said how many.
    fn rings(&self, threads: Option<u16>) -> Result<Option<Rings>, String> {
        if self.io_driver == IoDriver::Tokio {
            return Ok(None);
        }
        let all = || std::thread::available_parallelism().map_or(1, NonZero::get);
        match Rings::start(threads.map_or_else(all, usize::from)) {
            Ok(rings) => Ok(Some(rings)),
            Err(why) if self.io_driver == IoDriver::Auto => {
                info!("no io_uring, so tokio carries the bytes: {why}");
                Ok(None)
            }
            Err(why) => Err(format!(
                "--io-driver io_uring: {why}; it needs Linux 6.1 or later, and leave (see kernel.io_uring_disabled, and what forbids system \
                 calls to containers)"
            )),
        }
    }

    /// What may change while it serves.
    ///
    /// # Errors
    /// When the file of users cannot be read or makes no sense.
    pub fn live(&self) -> Result<gateway::Live, String> {
        Ok(gateway::Live {
            users: self.users()?,
            read_users: self.read_users(),
            variables: Variables {
                splitting: self.policy,
                consistency: self.consistency,
                monotonic_reads: self.monotonic_reads,
                transaction_replay: self.transaction_replay,
                read_after_write_timeout: Duration::from_millis(self.read_after_write_timeout_ms),
                ..Variables::default()
            },
            trace_ratio: self.trace_ratio,
            audit: self.audit.rules()?,
            slow: Some(Duration::from_millis(self.slow_query_ms)).filter(|slow| !slow.is_zero()),
            admission: AdmissionLimits {
                connections_max: self.max_connections,
                connections_per_user_max: self.max_user_connections.unwrap_or(usize::MAX),
            },
            session: SessionLimits {
                login_time_max: Duration::from_millis(self.login_time_ms),
                read_time_max: Duration::from_millis(self.read_time_ms),
                write_time_max: Duration::from_millis(self.write_time_ms),
                statements_max: self.max_prepared_statements,
                ..SessionLimits::default()
            },
        })
    }

    /// How that is read anew, where a file says it.
    fn read_users(&self) -> Option<gateway::ReadUsers> {
        let file = self.users_file.clone().filter(|_| self.auth == Auth::Static)?;
        let offers = self.offers();
        Some(gateway::ReadUsers(Arc::new(move || users::load(&file, offers))))
    }

    /// What clients can do for an account that asks for it.
    fn offers(&self) -> users::Offers {
        users::Offers { tls: self.tls_cert.is_some(), certificates: self.tls_client_ca.is_some() }
    }

    /// Who may log in.
    fn users(&self) -> Result<Users, String> {
        match (self.auth, &self.users_file) {
            (Auth::Static, Some(file)) => users::load(file, self.offers()),
            (Auth::MysqlBased, _) => Ok(Users::OfServers),
            (Auth::Own | Auth::Static, _) => {
                let password = Secret::new(self.password.as_bytes());
                Ok(Users::one(self.user.as_bytes(), Credential::from_password(&password)))
            }
        }
    }

    /// How it sees a shard whose primary writes heartbeats this often.
    #[must_use]
    pub fn cluster(&self, beat_interval: Duration) -> cluster::Config {
        let ejection_time_min = Duration::from_millis(self.ejection_time_ms);
        let outliers = Outliers {
            ejection_time_min,
            ejection_time_max: Outliers::default().ejection_time_max.max(ejection_time_min),
            ..Outliers::default()
        };
        let default = cluster::Config::default();
        cluster::Config {
            cell: Some(self.cell.clone()),
            beat_interval,
            beat_timeout: default.beat_timeout.max(beat_interval * BEATS_MISSED_MAX),
            rotation: rotation::Config {
                warm_up: Duration::from_millis(self.warm_up_ms),
                outliers: (!ejection_time_min.is_zero()).then_some(outliers),
            },
            rules: cluster::Rules {
                max_replication_lag: self.max_replication_lag_ms.map(Duration::from_millis),
                without_replica: self.without_replica,
                ..cluster::Rules::default()
            },
            ..default
        }
    }
}

fn consistency(text: &str) -> Result<Consistency, &'static str> {
    Consistency::parse(text).ok_or("one of EVENTUAL, SESSION, INSTANCE, GLOBAL")
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or("a number from 0 to 1")
}

fn policy(text: &str) -> Result<Splitting, &'static str> {
    Splitting::parse(text)
        .ok_or("one of random, round_robin, least_connections, least_rt, least_qps, least_behind_primary, disable")
}

fn without_replica(text: &str) -> Result<WithoutReplica, &'static str> {
    match text {
        "primary" => Ok(WithoutReplica::UsePrimary),
        "error" => Ok(WithoutReplica::Fail),
        _ => Err("primary or error"),
    }
}
