//! `weir-gateway`: a gateway in front of tablets in other processes.

use crate::args::{AdminArgs, GatewayArgs, ProcessArgs, StopSignals, TopologyArgs, WireArgs, say};
use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use tracing::{info, warn};
use weir_core::gateway::users::Users;
use weir_core::topo::ShardName;
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

    /// Its topology.
    #[command(flatten)]
    pub topology: TopologyArgs,

    /// Its identity.
    #[command(flatten)]
    pub wire: WireArgs,

    /// Its operators.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Its clients.
    #[command(flatten)]
    pub gateway: GatewayArgs,

    /// Its process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Runs until it is told to stop. Exit codes: 0 stopped in order, 1 could not start or stop, 2 wrong usage.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    args.process.run(gateway(args))
}

async fn gateway(args: &Args) -> Result<(), String> {
    let mut stop = StopSignals::install()?;
    let gateway = args.gateway.options(None)?;
    if matches!(gateway.users, Users::OfServers) {
        return Err(
            "--auth mysqlbased: the servers' own accounts are not served to gateways in processes of their own yet; \
                    use own or static"
                .to_owned(),
        );
    }
    let options = Options {
        topology: args.topology.open()?,
        shard: args.shard.clone(),
        cluster: args.gateway.cluster(Duration::from_millis(args.heartbeat_interval_ms)),
        identity: args.wire.identity()?,
        admin: args.admin.options(&args.wire)?,
        gateway,
        tablet_time_max: Duration::from_millis(args.tablet_time_ms),
    };
    let running = tokio::select! {
        running = Running::start(options) => running.map_err(|error| error.to_string())?,
        () = stop.wait() => return Ok(()),
    };
    say(&format!("gateway of {} is at {}", args.shard, running.address()));
    while stop.wait_or_hang_up().await {
        match args.gateway.users() {
            Ok(users) => {
                running.set_users(users);
                info!("who may log in has been read again");
            }
            Err(error) => warn!("who may log in stays as it was: {error}"),
        }
    }
    say("stopping (once more to stop at once)");
    tokio::select! {
        () = running.stop(Duration::from_millis(args.gateway.drain_time_ms)) => {}
        () = stop.wait() => {}
    }
    Ok(())
}
