//! The command line of `weir up`.

use clap::Args as ClapArgs;
use std::net::IpAddr;
use std::path::PathBuf;
use weir_core::gateway::cluster::WithoutReplica;
use weir_core::gateway::proxied::Network;
use weir_core::gateway::variables::{Consistency, Splitting};
use weir_core::topo::Cell;
use weir_io::net::Address;

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

/// When a write counts as safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Durability {
    /// The primary has it.
    None,
    /// A replica has it as well.
    #[value(name = "semi_sync")]
    SemiSync,
}

/// What becomes of servers with transactions that the shard's history has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Errant {
    /// They stay out, as they are.
    Quarantine,
    /// They get the data of another.
    Rebuild,
}

/// Arguments of `weir up`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  weir up                                      a primary and two replicas of its own, in .weir
  weir up --attach db1:3306,db2:3306           in front of servers that already run
  weir up --servers 5 --port 3307              five servers of its own, clients on port 3307")]
pub struct Args {
    /// Servers to start: one primary, the rest replicas.
    #[arg(long, default_value_t = 3, value_name = "N", env = "WEIR_SERVERS",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(weir_io::servers::SERVERS_MAX)))]
    pub servers: u16,

    /// Start no servers: use these, HOST:PORT or /path/of.sock, separated by commas. Roles are found by asking them.
    #[arg(long, value_delimiter = ',', value_name = "SERVER,...", env = "WEIR_ATTACH", conflicts_with_all = ["servers", "data_dir"])]
    pub attach: Vec<Address>,

    /// When a write to servers of its own counts as safe: none, once the primary has it, so that a failover may lose writes; or
    /// semi_sync, once a replica has it as well, so that none does. A server alone has none.
    #[arg(
        long,
        default_value = "semi_sync",
        value_name = "none|semi_sync",
        env = "WEIR_DURABILITY",
        conflicts_with = "attach"
    )]
    pub durability: Durability,

    /// What becomes of a server of its own that has transactions which the shard's history has not, or that cannot follow any more:
    /// quarantine, until somebody has looked at it and asks for `weir ctl rebuild`; or rebuild: it gets the data of another, and what it
    /// had is kept aside.
    #[arg(
        long,
        default_value = "quarantine",
        value_name = "quarantine|rebuild",
        env = "WEIR_ERRANT",
        conflicts_with = "attach"
    )]
    pub errant: Errant,

    /// How often a second a server reads and writes, up to 1 MiB each time, to give its data to another; 0: as often as it can.
    #[arg(long, default_value_t = 200, value_name = "N", env = "WEIR_REBUILD_THROTTLE", conflicts_with = "attach")]
    pub rebuild_throttle: u32,

    /// Do not change the primary of servers of its own. Of others' servers (--attach) it never does.
    #[arg(long, env = "WEIR_NO_FAILOVER")]
    pub no_failover: bool,

    /// The cell (zone, data centre) in which this gateway runs: reads go to replicas of the same cell, if there are any.
    #[arg(long, default_value = "local", value_name = "CELL", env = "WEIR_CELL")]
    pub cell: Cell,

    /// The cells of the servers, in their order [default: all in the gateway's].
    #[arg(long, value_delimiter = ',', value_name = "CELL,...", env = "WEIR_CELLS")]
    pub cells: Vec<Cell>,

    /// The servers' shares of the reads, in their order, each relative to the others'; 0: none, 1000 at most [default: 100 each].
    #[arg(long, value_delimiter = ',', value_name = "N,...", env = "WEIR_WEIGHTS",
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub weights: Vec<u32>,

    /// Where the data of Weir's own servers is kept, from one start to the next.
    #[arg(long, default_value = ".weir", value_name = "DIR", env = "WEIR_DATA_DIR")]
    pub data_dir: PathBuf,

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
    /// again on SIGHUP. A TOML file with a table `users` of lines such as name = "*40 digits, as PASSWORD() prints".
    #[arg(long, value_name = "FILE", env = "WEIR_USERS_FILE", required_if_eq("auth", "static"))]
    pub users_file: Option<PathBuf>,

    /// With --attach: the account that watches the servers (SLAVE MONITOR or REPLICATION CLIENT) [default: --user].
    #[arg(long, value_name = "USER", env = "WEIR_MONITOR_USER", requires = "attach")]
    pub monitor_user: Option<String>,

    /// Its password [default: --password].
    #[arg(long, value_name = "PASSWORD", env = "WEIR_MONITOR_PASSWORD", hide_env_values = true, requires = "attach")]
    pub monitor_password: Option<String>,

    /// Connections to each server, at most.
    #[arg(long, default_value_t = 100, value_name = "N", env = "WEIR_POOL_SIZE",
          value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub pool_size: u32,

    /// Statements that may wait for a connection to one server, at most.
    #[arg(long, default_value_t = 10_000, value_name = "N", env = "WEIR_WAIT_QUEUE")]
    pub wait_queue: u32,

    /// How long a statement may wait for a connection, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS", env = "WEIR_WAIT_TIME_MS")]
    pub wait_time_ms: u64,

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

    /// Prepared statements kept on one server connection, at most.
    #[arg(long, default_value_t = 256, value_name = "N", env = "WEIR_STATEMENTS_PER_CONNECTION",
          value_parser = clap::value_parser!(u32).range(1..=16_382))]
    pub statements_per_connection: u32,

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

    /// How often the primary gets a heartbeat, by which replicas tell how far they are behind, in milliseconds; 0 for never. It
    /// is a row in the table weir.heartbeat, made when it is missing (never on a server alone), and needs SELECT, INSERT, UPDATE, CREATE ON weir.* for the
    /// account that watches the servers.
    #[arg(long, default_value_t = 1_000, value_name = "MS", env = "WEIR_HEARTBEAT_INTERVAL_MS",
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub heartbeat_interval_ms: u64,

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

    /// How long transactions may take to end before a planned change of primary, in milliseconds; else it is declined. Whatever would begin
    /// waits for as long: keep it well below --buffer-max-wait-ms.
    #[arg(long, default_value_t = 5_000, value_name = "MS", env = "WEIR_REPARENT_DRAIN_MS",
          value_parser = clap::value_parser!(u64).range(100..=20_000))]
    pub reparent_drain_ms: u64,

    /// Sessions whose statements may wait for a primary, at most.
    #[arg(long, default_value_t = 10_000, value_name = "N", env = "WEIR_BUFFER_MAX_SESSIONS")]
    pub buffer_max_sessions: usize,

    /// Bytes of statements that may wait for a primary, at most.
    #[arg(long, default_value_t = 256 * 1024 * 1024, value_name = "BYTES", env = "WEIR_BUFFER_MAX_BYTES")]
    pub buffer_max_bytes: usize,

    /// Certificate chain (PEM) for clients that want TLS.
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key (PEM) of the certificate.
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Refuse clients over TCP that do not use TLS.
    #[arg(long, env = "WEIR_TLS_REQUIRED", requires = "tls_cert")]
    pub tls_required: bool,

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

    /// Threads that serve clients [default: one for each processor].
    #[arg(long, value_name = "N", env = "WEIR_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// What is logged on standard error: error, warn, info, debug, or a filter such as weir_io=debug.
    #[arg(long, default_value = "warn", value_name = "FILTER", env = "WEIR_LOG")]
    pub log: String,
}

fn consistency(text: &str) -> Result<Consistency, &'static str> {
    Consistency::parse(text).ok_or("one of EVENTUAL, SESSION, INSTANCE, GLOBAL")
}

fn policy(text: &str) -> Result<Splitting, &'static str> {
    Splitting::parse(text).ok_or("no such policy")
}

fn without_replica(text: &str) -> Result<WithoutReplica, &'static str> {
    match text {
        "primary" => Ok(WithoutReplica::UsePrimary),
        "error" => Ok(WithoutReplica::Fail),
        _ => Err("primary or error"),
    }
}
