//! `weir-gateway`: a gateway in front of tablets in other processes.

use crate::args::{
    AdminArgs, ConsoleArgs, GatewayArgs, LIVE_OF_GATEWAYS, ProcessArgs, RecordArgs, Reread, TopologyArgs, WireArgs, say,
};
use crate::console::{Console, Whose};
use crate::life::{Life, Told};
use crate::succession::Succession;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing::warn;
use weir_core::topo::ShardName;
use weir_io::admin::Target;
use weir_io::handover::Sockets;
use weir_io::http::Served;
use weir_io::processes::gateway::{Options, Running};

/// A gateway of Weir: applications connect to it as to one MySQL server, and it runs their statements on the tablets of a shard.
#[derive(Debug, Parser)]
#[command(
    name = "weir-gateway",
    version,
    after_help = "\
Example:
  weir-gateway --etcd http://10.0.0.1:2379 --shard shop/0 --cell zone1 --host 0.0.0.0"
)]
pub struct Args {
    /// The shard that is served, KEYSPACE/SHARD; an unsharded keyspace has the shard 0.
    #[arg(long, value_name = "KEYSPACE/SHARD", env = "WEIR_SHARD")]
    pub shard: ShardName,

    /// How often primaries write heartbeats, in milliseconds, as the tablets have it; 0 for never.
    #[arg(long, default_value_t = 1_000, value_name = "MS", env = "WEIR_HEARTBEAT_INTERVAL_MS")]
    pub heartbeat_interval_ms: u64,

    /// How long a first tablet may take to be found at the start, in milliseconds.
    #[arg(long, default_value_t = 60_000, value_name = "MS", env = "WEIR_TABLET_TIME_MS")]
    pub tablet_time_ms: u64,

    /// Where a successor of this process takes the sockets that clients connect to, and where this one takes those of the process that
    /// offers them there now, if there is one: a unix socket. On SIGUSR2 it starts its program again as its successor.
    #[arg(long, value_name = "PATH", env = "WEIR_HANDOVER")]
    pub handover: Option<PathBuf>,

    /// Its recording.
    #[command(flatten)]
    pub record: RecordArgs,

    /// Its topology.
    #[command(flatten)]
    pub topology: TopologyArgs,

    /// Its identity.
    #[command(flatten)]
    pub wire: WireArgs,

    /// Its operators.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Their browsers.
    #[command(flatten)]
    pub console: ConsoleArgs,

    /// Its clients.
    #[command(flatten)]
    pub gateway: GatewayArgs,

    /// Its process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl AsRef<ProcessArgs> for Args {
    fn as_ref(&self) -> &ProcessArgs {
        &self.process
    }
}

/// Runs until it is told to stop. Exit codes: 0 stopped in order, 1 could not start or stop, 2 wrong usage.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    args.process.run(gateway(args))
}

async fn gateway(args: &Args) -> Result<(), String> {
    let mut succession = Succession::begin(args.handover.as_deref()).await?;
    let reread = Reread::new(Some::<Args>);
    let mut life = Life::succeed(&args.process, reread, LIVE_OF_GATEWAYS, succession.inherited.health.take()).await?;
    let console = Console::open(&args.console, succession.inherited.console.take())?;
    let mut gateway = args.gateway.options(None, args.process.threads)?;
    life.rotate(gateway.audit.clone());
    gateway.inherited = std::mem::take(&mut succession.inherited);
    let options = Options {
        topology: args.topology.enter().await?,
        shard: args.shard.clone(),
        cluster: args.gateway.cluster(Duration::from_millis(args.heartbeat_interval_ms)),
        identity: args.wire.identity()?,
        admin: args.admin.options(&args.wire)?,
        gateway,
        tablet_time_max: Duration::from_millis(args.tablet_time_ms),
        record: args.record.options(),
    };
    let of_console = console.as_ref().and_then(Console::certificates);
    let certificates =
        [options.gateway.tls.clone(), options.identity.clone(), options.topology.certificates(), of_console];
    life.follow(certificates.into_iter().flatten());
    let (topology, identity) = (options.topology.clone(), options.identity.clone());
    let mut running = tokio::select! {
        running = Running::start(options) => running.map_err(|error| error.to_string())?,
        () = life.told_to_stop() => return Ok(()),
    };
    say(&format!("gateway of {} is at {}", args.shard, running.address()));
    life.ready(running.readiness(), running.metrics())?;
    let shard = Whose::Found(Target::Processes { topology, shard: Some(args.shard.clone()), identity });
    let mut console = console.map(|console| console.serve("weir-gateway", shard, None)).transpose()?;
    let offered = || {
        let console = console.as_ref().map(Served::socket).transpose()?;
        Ok(Sockets { health: life.health_socket()?, console, ..running.sockets()? })
    };
    succession.serve(offered).await?;
    if args.handover.is_some() {
        life.heed_replacement()?;
    }
    let mut drain_time = args.gateway.drain_time_ms;
    loop {
        let told = tokio::select! {
            told = life.next() => told,
            () = succession.replaced() => {
                say("a successor serves whoever connects from now on; those who are connected go on for a while");
                life.hand_over();
                console = None;
                tokio::select! {
                    () = running.hand_over(Duration::from_millis(drain_time)) => {}
                    () = life.told_to_stop() => {}
                }
                Told::Stop
            }
        };
        match told {
            Told::Stop => break,
            Told::Replace => succession.start(),
            Told::Options(new) => {
                match new.gateway.live() {
                    Ok(live) => running.set_live(live),
                    Err(error) => warn!("who may log in stays as it was: {error}"),
                }
                drain_time = new.gateway.drain_time_ms;
            }
        }
    }
    life.stopping(!succession.is_over());
    succession.withdraw().await;
    drop(console);
    tokio::select! {
        () = running.stop(Duration::from_millis(drain_time)) => {}
        () = life.told_to_stop() => {}
    }
    Ok(())
}
