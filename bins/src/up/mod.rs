//! `weir up`: everything in one process.

mod args;

pub use args::{Args, Durability, Errant};

use crate::args::{GatewayArgs, LIVE_OF_GATEWAYS, ProcessArgs, Reread, mib, say};
use crate::console::{Console, Whose};
use crate::life::{Life, Told};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;
use weir_core::orch::durability::Policy;
use weir_core::orch::rebuild;
use weir_core::tablet::manager;
use weir_io::embedded::{Backend, Options, Policies, Running};
use weir_io::gateway;
use weir_io::net::Address;
use weir_io::recorder;
use weir_io::servers::{self, Account, Cluster, Kept, Roles};

/// How long the roles may take to be found at the start.
const PRIMARY_TIME_MAX: Duration = Duration::from_secs(30);
/// Weight of a server of which nothing is said.
const WEIGHT: u32 = 100;

/// Runs until it is told to stop. Exit codes: 0 stopped in order, 1 could not start or stop, 2 wrong usage.
#[must_use]
pub fn run(args: &Args, reread: Reread<Args>) -> ExitCode {
    args.process.run(up(args, reread))
}

impl AsRef<ProcessArgs> for Args {
    fn as_ref(&self) -> &ProcessArgs {
        &self.process
    }
}

/// Its options that are taken without a restart, on SIGHUP: those of gateways, but for the account of `--user`, as which connections are open.
pub(crate) fn live_of_up() -> Vec<&'static str> {
    LIVE_OF_GATEWAYS.iter().copied().filter(|name| !matches!(*name, "auth" | "user" | "password")).collect()
}

async fn up(args: &Args, reread: Reread<Args>) -> Result<(), String> {
    let begun = Instant::now();
    let mut life = Life::begin(&args.process, reread, &live_of_up()).await?;
    let console = Console::open(&args.console, None)?;
    let application = Account::new(&args.gateway.user, &args.gateway.password);
    let encryption = args.tablet.encryption.encryption()?;
    if encryption.is_some() && args.attach.is_empty() {
        return Err(
            "--server-tls: servers that Weir starts on this machine have no certificate; it is for those of --attach"
                .to_owned(),
        );
    }
    let guard = args.tablet.guard()?;
    let socket = args.attach.is_empty().then(|| args.data_dir.join("weir.sock"));
    let gateway = args.gateway.options(socket, args.process.threads)?;
    life.rotate(gateway.audit.clone());
    let own = if args.attach.is_empty() { Some(start_servers(args, &application, &mut life).await?) } else { None };
    let options = Options { encryption, guard, ..options(args, own.as_ref(), application, gateway)? };
    let served = serve(options, console, args, own.as_deref(), &mut life, begun).await;
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
    console: Option<Console>,
    args: &Args,
    own: Option<&Kept>,
    life: &mut Life<Args>,
    begun: Instant,
) -> Result<(), String> {
    let socket = options.gateway.socket.clone();
    let guard = options.guard.clone();
    let of_servers = options.encryption.as_ref().map(|encryption| encryption.certificates.clone());
    let of_console = console.as_ref().and_then(Console::certificates);
    life.follow([options.gateway.tls.clone(), of_servers, of_console].into_iter().flatten());
    let running = tokio::select! {
        running = Running::start(options) => running.map_err(|error| error.to_string())?,
        () = life.told_to_stop() => return Ok(()),
    };
    say_ready(args, &running, own, socket, begun.elapsed());
    life.ready(running.readiness(), running.metrics())?;
    // Whoever changes no primary has nothing to tell of that.
    let recordings = recordings(args).filter(|_| failover(args).is_some()).map(|record| record.dir);
    let open = |console: Console| console.serve("weir up", Whose::Own(running.operated()), recordings);
    let console = console.map(open).transpose()?;
    let mut drain_time = args.gateway.drain_time_ms;
    while let Told::Options(new) = life.next().await {
        // What holds from the next start on does not hold for these, either.
        let gateway = GatewayArgs {
            auth: args.gateway.auth,
            user: args.gateway.user.clone(),
            password: args.gateway.password.clone(),
            ..new.gateway
        };
        // The file that it was started with.
        args.tablet.reload(guard.as_deref());
        match gateway.live() {
            Ok(live) => running.set_live(live),
            Err(error) => warn!("who may log in stays as it was: {error}"),
        }
        drain_time = gateway.drain_time_ms;
    }
    life.stopping(true);
    drop(console);
    tokio::select! {
        () = running.stop(Duration::from_millis(drain_time)) => {}
        () = life.told_to_stop() => {}
    }
    Ok(())
}

async fn start_servers(args: &Args, application: &Account, life: &mut Life<Args>) -> Result<Arc<Kept>, String> {
    let mut options = servers::Options::new(&args.data_dir, args.servers, application.clone());
    if failover(args).is_some() {
        options.roles = Roles::Ordered;
    }
    say(&format!("starting {} MariaDB servers in {}", args.servers, args.data_dir.display()));
    let starting = tokio::task::spawn_blocking(move || Cluster::start(&options));
    let started = starting.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    if life.was_told_to_stop() {
        return Err("stopped while the servers were starting".to_owned());
    }
    Ok(Arc::new(started.kept()))
}

/// Where its machines are recorded: beside the data of servers of its own.
fn recordings(args: &Args) -> Option<recorder::Options> {
    let is_recorded = args.attach.is_empty() && args.record_max_mib > 0;
    let dir = || args.data_dir.join(recorder::DIR);
    is_recorded.then(|| recorder::Options { dir: dir(), bytes_max: mib(args.record_max_mib) })
}

/// How Weir changes the primary, if it does.
fn failover(args: &Args) -> Option<Policies> {
    let is_safe = args.durability == Durability::SemiSync && args.servers > 1;
    let durability = if is_safe { Policy::SemiSync { acks: 1 } } else { Policy::None };
    let errant = match args.errant {
        Errant::Quarantine => rebuild::Errant::Quarantine,
        Errant::Rebuild => rebuild::Errant::Rebuild,
    };
    let drain_time = Duration::from_millis(args.reparent_drain_ms);
    let policies = Policies { durability, errant, rebuild_throttle: args.rebuild_throttle, drain_time };
    (args.attach.is_empty() && !args.no_failover).then_some(policies)
}

fn options(
    args: &Args,
    own: Option<&Arc<Kept>>,
    application: Account,
    gateway: gateway::Options,
) -> Result<Options, String> {
    let (servers, monitor) = match own {
        Some(own) => {
            let servers = own.keepers().iter().map(|keeper| {
                let at = keeper.address();
                Address::Tcp(at.ip().to_string(), at.port())
            });
            (servers.collect(), own.service_account().clone())
        }
        None => {
            let user = args.monitor_user.as_ref().unwrap_or(&args.gateway.user);
            let password = args.monitor_password.as_ref().unwrap_or(&args.gateway.password);
            (args.attach.clone(), Account::new(user, password))
        }
    };
    let is_alone = servers.len() == 1;
    // Nobody here changes what somebody else's only server is.
    let alone = is_alone && !args.attach.is_empty();
    let beat_interval = args.tablet.beat_interval().filter(|_| !is_alone).unwrap_or_default();
    let mut cluster = args.gateway.cluster(beat_interval);
    cluster.rules.alone = alone;
    Ok(Options {
        servers: backends(args, servers)?,
        kept: own.cloned(),
        failover: failover(args),
        record: recordings(args),
        application,
        monitor,
        tablet: manager::Config { alone, ..args.tablet.config(is_alone) },
        statements_per_connection_max: args.tablet.statements_per_connection as usize,
        server_compression: args.tablet.server_compression(),
        encryption: None,
        guard: None,
        cluster,
        gateway,
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
        cell: args.cells.get(number).unwrap_or(&args.gateway.cell).clone(),
        weight: args.weights.get(number).copied().unwrap_or(WEIGHT),
    };
    Ok(servers.into_iter().enumerate().map(backend).collect())
}

fn say_ready(args: &Args, running: &Running, own: Option<&Kept>, socket: Option<PathBuf>, took: Duration) {
    let at = running.address();
    let mut text = format!("ready after {:.1} s: {} in front of", took.as_secs_f64(), at);
    match own {
        Some(own) => own.keepers().iter().for_each(|server| text += &format!(" {}", server.address())),
        None => args.attach.iter().for_each(|server| text += &format!(" {server}")),
    }
    text += &format!("\n\n  mariadb -h {} -P {} -u {} -p", at.ip(), at.port(), args.gateway.user);
    if let Some(socket) = socket {
        text += &format!("\n  mariadb -S {} -u {} -p", socket.display(), args.gateway.user);
    }
    text += "\n\n  SHOW WEIR TABLETS;   shows the servers behind; Ctrl-C stops.\n";
    say(&text);
}
