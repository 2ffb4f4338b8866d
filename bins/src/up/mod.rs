//! `weir up`: everything in one process.

mod args;
mod tls;
mod users;

pub use args::{Args, Auth, Durability, Errant};

use std::fmt::Display;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use weir_core::gateway::admission::AdmissionLimits;
use weir_core::gateway::buffer;
use weir_core::gateway::cluster;
use weir_core::gateway::cluster::rotation::{self, Outliers};
use weir_core::gateway::config::SessionLimits;
use weir_core::gateway::users::Users;
use weir_core::gateway::variables::Variables;
use weir_core::mysql::auth::{Credential, Secret};
use weir_core::orch::durability::Policy;
use weir_core::orch::rebuild;
use weir_core::tablet::{manager, pool};
use weir_io::embedded::{Backend, Options, Policies, Running};
use weir_io::net::Address;
use weir_io::servers::{self, Account, Cluster, Kept, Roles};

/// How long the roles may take to be found at the start.
const PRIMARY_TIME_MAX: Duration = Duration::from_secs(30);
/// So many heartbeats may be missing until replicas' lags are what their servers reckon.
const BEATS_MISSED_MAX: u32 = 5;
/// Weight of a server of which nothing is said.
const WEIGHT: u32 = 100;

/// Runs until it is told to stop. Exit codes: 0 stopped in order, 1 could not start or stop, 2 wrong usage.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say_error(&message);
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> Result<(), String> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| format!("--log {}: {error}", args.log))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(usize::from(threads));
    }
    let runtime = runtime.enable_all().build().map_err(|error| format!("cannot start threads: {error}"))?;
    runtime.block_on(up(args))
}

async fn up(args: Args) -> Result<(), String> {
    let begun = Instant::now();
    // Installed first: a signal that comes while the servers start must not leave them behind.
    let mut stop = StopSignals::install()?;
    let application = Account::new(&args.user, &args.password);
    let users = users(&args)?;
    let own = if args.attach.is_empty() { Some(start_servers(&args, &application, &mut stop).await?) } else { None };
    let options = options(&args, own.as_ref(), application, users)?;
    let served = serve(options, &args, own.as_deref(), &mut stop, begun).await;
    if let Some(own) = own {
        let stopped = tokio::task::spawn_blocking(move || own.stop()).await;
        match stopped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
    served
}

async fn serve(
    options: Options,
    args: &Args,
    own: Option<&Kept>,
    stop: &mut StopSignals,
    begun: Instant,
) -> Result<(), String> {
    let socket = options.socket.clone();
    let running = tokio::select! {
        running = Running::start(options) => running.map_err(|error| error.to_string())?,
        () = stop.wait() => return Ok(()),
    };
    say_ready(args, &running, own, socket, begun.elapsed());
    while stop.wait_or_hang_up().await {
        read_again(args, &running);
    }
    say("stopping (once more to stop at once)");
    tokio::select! {
        () = running.stop(Duration::from_millis(args.drain_time_ms)) => {}
        () = stop.wait() => {}
    }
    Ok(())
}

/// On SIGHUP: what files say now counts; what they do not say rightly changes nothing.
fn read_again(args: &Args, running: &Running) {
    match users(args) {
        Ok(users) => {
            running.set_users(users);
            info!("who may log in has been read again");
        }
        Err(error) => warn!("who may log in stays as it was: {error}"),
    }
}

async fn start_servers(args: &Args, application: &Account, stop: &mut StopSignals) -> Result<Arc<Kept>, String> {
    let mut options = servers::Options::new(&args.data_dir, args.servers, application.clone());
    if failover(args).is_some() {
        options.roles = Roles::Ordered;
    }
    say(&format!("starting {} MariaDB servers in {}", args.servers, args.data_dir.display()));
    let starting = tokio::task::spawn_blocking(move || Cluster::start(&options));
    let started = starting.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    if stop.told() {
        return Err("stopped while the servers were starting".to_owned());
    }
    Ok(Arc::new(started.kept()))
}

/// How Weir changes the primary, if it does.
fn failover(args: &Args) -> Option<Policies> {
    let is_safe = args.durability == Durability::SemiSync && args.servers > 1;
    let durability = if is_safe { Policy::SemiSync { acks: 1 } } else { Policy::None };
    let errant = match args.errant {
        Errant::Quarantine => rebuild::Errant::Quarantine,
        Errant::Rebuild => rebuild::Errant::Rebuild,
    };
    let policies = Policies { durability, errant, rebuild_throttle: args.rebuild_throttle };
    (args.attach.is_empty() && !args.no_failover).then_some(policies)
}

fn options(args: &Args, own: Option<&Arc<Kept>>, application: Account, users: Users) -> Result<Options, String> {
    let (servers, monitor, socket) = match own {
        Some(own) => {
            let servers = own.keepers().iter().map(|keeper| {
                let at = keeper.address();
                Address::Tcp(at.ip().to_string(), at.port())
            });
            let socket = args.socket.clone().unwrap_or_else(|| args.data_dir.join("weir.sock"));
            (servers.collect(), own.service_account().clone(), Some(socket))
        }
        None => {
            let user = args.monitor_user.as_ref().unwrap_or(&args.user);
            let password = args.monitor_password.as_ref().unwrap_or(&args.password);
            (args.attach.clone(), Account::new(user, password), args.socket.clone())
        }
    };
    Ok(Options {
        servers: backends(args, servers)?,
        kept: own.cloned(),
        failover: failover(args),
        drain_time: Duration::from_millis(args.reparent_drain_ms),
        application,
        users,
        monitor,
        listen: SocketAddr::new(args.host, args.port),
        socket,
        admission: AdmissionLimits {
            connections_max: args.max_connections,
            connections_per_user_max: args.max_user_connections.unwrap_or(usize::MAX),
        },
        session: SessionLimits {
            login_time_max: Duration::from_millis(args.login_time_ms),
            read_time_max: Duration::from_millis(args.read_time_ms),
            write_time_max: Duration::from_millis(args.write_time_ms),
            statements_max: args.max_prepared_statements,
            ..SessionLimits::default()
        },
        buffer: buffer::Config {
            enabled: args.buffer_max_wait_ms > 0,
            buffer_max_wait: Duration::from_millis(args.buffer_max_wait_ms),
            buffer_max_sessions: args.buffer_max_sessions,
            buffer_max_bytes: args.buffer_max_bytes,
        },
        packet_bytes_max: args.max_allowed_packet.map(|bytes| bytes as usize),
        variables: Variables {
            splitting: args.policy,
            consistency: args.consistency,
            monotonic_reads: args.monotonic_reads,
            transaction_replay: args.transaction_replay,
            read_after_write_timeout: Duration::from_millis(args.read_after_write_timeout_ms),
            ..Variables::default()
        },
        tablet: manager::Config {
            pool: pool::Config {
                connections_max: args.pool_size,
                wait_queue_max: args.wait_queue,
                wait_time_max: Duration::from_millis(args.wait_time_ms),
                ..pool::Config::default()
            },
            beat_interval: beat_interval(args),
            ..manager::Config::default()
        },
        statements_per_connection_max: args.statements_per_connection as usize,
        cluster: cluster_config(args),
        tls: args
            .tls_cert
            .as_deref()
            .zip(args.tls_key.as_deref())
            .map(|(cert, key)| tls::load(cert, key))
            .transpose()?,
        tls_required: args.tls_required,
        compression: (args.compression > 0).then_some(args.compression),
        proxies: args.proxy_protocol_from.clone(),
        primary_time_max: PRIMARY_TIME_MAX,
    })
}

/// The servers with what was said of each in its place.
fn backends(args: &Args, servers: Vec<Address>) -> Result<Vec<Backend>, String> {
    for (flag, said) in [("--cells", args.cells.len()), ("--weights", args.weights.len())] {
        if said != 0 && said != servers.len() {
            return Err(format!("{flag} speaks of {said} servers, but there are {}", servers.len()));
        }
    }
    let backend = |(number, address)| Backend {
        address,
        cell: args.cells.get(number).unwrap_or(&args.cell).clone(),
        weight: args.weights.get(number).copied().unwrap_or(WEIGHT),
    };
    Ok(servers.into_iter().enumerate().map(backend).collect())
}

/// Who may log in.
fn users(args: &Args) -> Result<Users, String> {
    match (args.auth, &args.users_file) {
        (Auth::Static, Some(file)) => users::load(file),
        (Auth::MysqlBased, _) => Ok(Users::OfServers),
        (Auth::Own | Auth::Static, _) => {
            let password = Secret::new(args.password.as_bytes());
            Ok(Users::one(args.user.as_bytes(), Credential::from_password(&password)))
        }
    }
}

fn cluster_config(args: &Args) -> cluster::Config {
    let beat_interval = beat_interval(args).unwrap_or_default();
    let ejection_time_min = Duration::from_millis(args.ejection_time_ms);
    let outliers = Outliers {
        ejection_time_min,
        ejection_time_max: Outliers::default().ejection_time_max.max(ejection_time_min),
        ..Outliers::default()
    };
    let default = cluster::Config::default();
    cluster::Config {
        cell: Some(args.cell.clone()),
        beat_interval,
        beat_timeout: default.beat_timeout.max(beat_interval * BEATS_MISSED_MAX),
        rotation: rotation::Config {
            warm_up: Duration::from_millis(args.warm_up_ms),
            outliers: (!ejection_time_min.is_zero()).then_some(outliers),
        },
        rules: cluster::Rules {
            max_replication_lag: args.max_replication_lag_ms.map(Duration::from_millis),
            without_replica: args.without_replica,
        },
        ..default
    }
}

/// A server alone has nobody to tell.
fn beat_interval(args: &Args) -> Option<Duration> {
    let servers = if args.attach.is_empty() { usize::from(args.servers) } else { args.attach.len() };
    (args.heartbeat_interval_ms > 0 && servers > 1).then(|| Duration::from_millis(args.heartbeat_interval_ms))
}

fn say_ready(args: &Args, running: &Running, own: Option<&Kept>, socket: Option<PathBuf>, took: Duration) {
    let at = running.address();
    let mut text = format!("ready after {:.1} s: {} in front of", took.as_secs_f64(), at);
    match own {
        Some(own) => own.keepers().iter().for_each(|server| text += &format!(" {}", server.address())),
        None => args.attach.iter().for_each(|server| text += &format!(" {server}")),
    }
    text += &format!("\n\n  mariadb -h {} -P {} -u {} -p", at.ip(), at.port(), args.user);
    if let Some(socket) = socket {
        text += &format!("\n  mariadb -S {} -u {} -p", socket.display(), args.user);
    }
    text += "\n\n  SHOW WEIR TABLETS;   shows the servers behind; Ctrl-C stops.\n";
    say(&text);
}

#[expect(clippy::print_stdout, reason = "what the user runs the command to read")]
fn say(text: &str) {
    println!("weir: {text}");
    // Nobody may be reading any more, which is no reason to stop.
    let _ = std::io::stdout().flush();
}

#[expect(clippy::print_stderr, reason = "the reason why the command failed")]
fn say_error(message: &impl Display) {
    eprintln!("weir: {message}");
}

/// SIGINT and SIGTERM, and SIGHUP, which does not stop.
struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn install() -> Result<Self, String> {
        let install = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hang_up: install(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Whether SIGHUP came first.
    async fn wait_or_hang_up(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.terminate.recv() => false,
            _ = self.hang_up.recv() => true,
        }
    }

    /// A signal has come already.
    fn told(&mut self) -> bool {
        use std::task::{Context, Poll, Waker};
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.interrupt.poll_recv(&mut cx), Poll::Ready(_))
            || matches!(self.terminate.poll_recv(&mut cx), Poll::Ready(_))
    }
}
