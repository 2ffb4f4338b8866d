//! `weir-tablet`: a tablet, with its server.

use crate::args::{ProcessArgs, RecordArgs, Reread, TabletArgs, TopologyArgs, TraceArgs, WireArgs, say};
use crate::life::{Life, Told};
use clap::Parser;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use weir_core::topo::{ShardName, TabletAlias};
use weir_io::processes::tablet::{Options, Running};
use weir_io::servers::{self, Account, Listens, Roles};

/// A tablet of Weir: starts a MariaDB server, keeps it alive, lends its connections to gateways, and does to it what orchestrators
/// order.
#[derive(Debug, Parser)]
#[command(
    name = "weir-tablet",
    version,
    after_help = "\
Example:
  weir-tablet --etcd http://10.0.0.1:2379 --shard shop/0 --alias zone1-1 --data-dir /var/lib/weir"
)]
pub struct Args {
    /// Its shard, KEYSPACE/SHARD; an unsharded keyspace has the shard 0.
    #[arg(long, value_name = "KEYSPACE/SHARD", env = "WEIR_SHARD")]
    pub shard: ShardName,

    /// Its name, CELL-NUMBER: the cell that it runs in, and a number from 1 to 65535 that is its server's server_id.
    #[arg(long, value_name = "CELL-NUMBER", env = "WEIR_ALIAS")]
    pub alias: TabletAlias,

    /// Where the server's data is kept, from one start to the next.
    #[arg(long, value_name = "DIR", env = "WEIR_DATA_DIR")]
    pub data_dir: PathBuf,

    /// The address that gateways, orchestrators and other tablets connect to.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP", env = "WEIR_GRPC_HOST")]
    pub grpc_host: IpAddr,

    /// The port for them; 0 for any free one.
    #[arg(long, default_value_t = 15_999, value_name = "PORT", env = "WEIR_GRPC_PORT")]
    pub grpc_port: u16,

    /// The address that the server listens on: replicas on other machines connect to it.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP", env = "WEIR_MYSQL_HOST")]
    pub mysql_host: IpAddr,

    /// The server's port; 0 for any free one, which is kept.
    #[arg(long, default_value_t = 3306, value_name = "PORT", env = "WEIR_MYSQL_PORT")]
    pub mysql_port: u16,

    /// The host under which others reach both, where that is not the addresses listened on.
    #[arg(long, value_name = "HOST", env = "WEIR_ADVERTISE")]
    pub advertise: Option<String>,

    /// The account that clients' statements run under. It is made on the server, without SUPER and READ_ONLY ADMIN.
    #[arg(long, default_value = "weir", env = "WEIR_USER")]
    pub user: String,

    /// Its password. Better given by the environment, where other users of the machine cannot see it.
    #[arg(long, env = "WEIR_PASSWORD", hide_env_values = true)]
    pub password: String,

    /// The password by which replicas log in to each other, the same at all tablets of the shard.
    #[arg(long, value_name = "PASSWORD", env = "WEIR_REPLICATION_PASSWORD", hide_env_values = true)]
    pub replication_password: String,

    /// Lines added to the server's options, such as max-connections=1000, separated by semicolons.
    #[arg(long = "set", value_name = "LINE", env = "WEIR_SERVER_SETTINGS", value_delimiter = ';')]
    pub settings: Vec<String>,

    /// Its share of the reads among its like; 0: none.
    #[arg(long, default_value_t = 100, value_name = "N", env = "WEIR_WEIGHT", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub weight: u32,

    /// Names for people, NAME=VALUE, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAME=VALUE,...", env = "WEIR_LABELS", value_parser = label)]
    pub labels: Vec<(String, String)>,

    /// How long a primary that is told to stop waits until another is, in milliseconds. 0: it stops at once, and is replaced then.
    #[arg(long, default_value_t = 20_000, value_name = "MS", env = "WEIR_HANDOVER_TIME_MS")]
    pub handover_time_ms: u64,

    /// Its recording.
    #[command(flatten)]
    pub record: RecordArgs,

    /// Its topology.
    #[command(flatten)]
    pub topology: TopologyArgs,

    /// Its identity.
    #[command(flatten)]
    pub wire: WireArgs,

    /// Its connections.
    #[command(flatten)]
    pub tablet: TabletArgs,

    /// The traces that it adds to.
    #[command(flatten)]
    pub traces: TraceArgs,

    /// Its process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl AsRef<ProcessArgs> for Args {
    fn as_ref(&self) -> &ProcessArgs {
        &self.process
    }
}

/// Runs until it is told to stop. Exit codes: 0 stopped in order, 1 could not start or stop, 2 wrong usage.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    args.process.run(tablet(args))
}

async fn tablet(args: &Args) -> Result<(), String> {
    let mut life = Life::begin(&args.process, Reread::new(Some::<Args>), &[]).await?;
    let options = options(args).await?;
    let guard = options.guard.clone();
    let of_server = options.encryption.as_ref().map(|encryption| encryption.certificates.clone());
    life.follow([options.identity.clone(), options.topology.certificates(), of_server].into_iter().flatten());
    say(&format!("starting a MariaDB server in {}", args.data_dir.display()));
    let mut running = tokio::select! {
        running = Running::start(options) => running.map_err(|error| error.to_string())?,
        () = life.told_to_stop() => return Ok(()),
    };
    say(&format!("tablet {} is at {}, its server at {}", args.alias, running.address(), running.server()));
    life.ready(running.readiness(), running.metrics())?;
    let failed = loop {
        tokio::select! {
            told = life.next() => match told {
                Told::Stop => break None,
                // The file that it was started with.
                Told::Options(_) => args.tablet.reload(guard.as_deref()),
                Told::Replace => {}
            },
            why = running.failed() => break Some(why),
        }
    };
    life.stopping(true);
    let patience = Duration::from_millis(if failed.is_none() { args.handover_time_ms } else { 0 });
    let stopped = tokio::select! {
        stopped = stop(running, patience) => stopped,
        () = life.told_to_stop() => Ok(()),
    };
    failed.map_or(stopped, Err)
}

async fn stop(mut running: Running, patience: Duration) -> Result<(), String> {
    if running.is_to_be_succeeded() && !patience.is_zero() {
        say(&format!("it is primary: another takes its place first, within {patience:?}"));
        let told = match running.hand_over(patience).await {
            true => "another is primary",
            false => "nobody has taken its place: writes wait until somebody does",
        };
        say(told);
    }
    running.stop().await
}

async fn options(args: &Args) -> Result<Options, String> {
    args.wire.check(args.grpc_host)?;
    let number = u16::try_from(args.alias.uid).ok().filter(|number| *number > 0);
    let first = number.ok_or_else(|| format!("--alias {}: its number must be from 1 to 65535", args.alias))?;
    let application = Account::new(&args.user, &args.password);
    let server = servers::Options {
        first,
        listens: Listens { host: args.mysql_host, port: Some(args.mysql_port).filter(|port| *port > 0) },
        replication_password: Some(args.replication_password.clone()),
        settings: args.settings.clone(),
        roles: Roles::Ordered,
        ..servers::Options::new(&args.data_dir, 1, application)
    };
    Ok(Options {
        topology: args.topology.enter().await?,
        shard: args.shard.clone(),
        alias: args.alias.clone(),
        weight: args.weight,
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        listen: SocketAddr::new(args.grpc_host, args.grpc_port),
        advertised: args.advertise.clone(),
        identity: args.wire.identity()?,
        server,
        tablet: args.tablet.config(false),
        statements_per_connection_max: args.tablet.statements_per_connection as usize,
        server_compression: args.tablet.server_compression(),
        encryption: args.tablet.encryption.encryption()?,
        guard: args.tablet.guard()?,
        // What is sampled, gateways say.
        traces: args.traces.options(0.0),
        record: args.record.options(),
    })
}
