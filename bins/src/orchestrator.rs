//! `weir-orch`: an orchestrator of one shard.

use crate::args::{AdminArgs, ConsoleArgs, ProcessArgs, RecordArgs, Reread, TopologyArgs, WireArgs, say};
use crate::console::{Console, Whose};
use crate::life::{Life, Told};
use crate::up::{Durability, Errant};
use clap::Parser;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use weir_core::orch::durability::Policy;
use weir_core::orch::rebuild;
use weir_core::orch::recovery::Cohort;
use weir_core::topo::{ShardName, TabletAlias};
use weir_io::admin::Target;
use weir_io::processes::orchestrator::{Options, Running};

/// An orchestrator of Weir: watches the tablets of a shard, finds what is wrong, and puts it right. Run three, for one that dies; the
/// one that holds the shard's lock acts.
#[derive(Debug, Parser)]
#[command(
    name = "weir-orch",
    version,
    after_help = "\
Example:
  weir-orch --etcd http://10.0.0.1:2379 --shard shop/0 --cohort zone1-1,zone1-2,zone2-3"
)]
pub struct Args {
    /// Its shard, KEYSPACE/SHARD; an unsharded keyspace has the shard 0.
    #[arg(long, value_name = "KEYSPACE/SHARD", env = "WEIR_SHARD")]
    pub shard: ShardName,

    /// The tablets that may be primary or acknowledge writes. It counts when the topology does not know the shard yet; give the same to
    /// each orchestrator.
    #[arg(long, value_delimiter = ',', value_name = "TABLET,...", env = "WEIR_COHORT", required = true)]
    pub cohort: Vec<TabletAlias>,

    /// When a write counts as safe: none, once the primary has it, so that a failover may lose writes; or semi_sync, once a replica has
    /// it as well, so that none does: MariaDB waits for one. It counts when the topology does not know the shard yet.
    #[arg(long, default_value = "semi_sync", value_name = "none|semi_sync", env = "WEIR_DURABILITY")]
    pub durability: Durability,

    /// What becomes of a server that has transactions which the shard's history has not, or that cannot follow any more: quarantine, until
    /// somebody has looked at it; or rebuild.
    #[arg(long, default_value = "quarantine", value_name = "quarantine|rebuild", env = "WEIR_ERRANT")]
    pub errant: Errant,

    /// How long transactions may take to end before a planned change of primary, in milliseconds; else it is declined.
    #[arg(long, default_value_t = 5_000, value_name = "MS", env = "WEIR_REPARENT_DRAIN_MS", value_parser = clap::value_parser!(u64).range(100..=20_000))]
    pub reparent_drain_ms: u64,

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
    args.process.run(orchestrate(args))
}

async fn orchestrate(args: &Args) -> Result<(), String> {
    let mut life = Life::begin(&args.process, Reread::new(Some::<Args>), &[]).await?;
    let console = Console::open(&args.console, None)?;
    let policy = match args.durability {
        Durability::None => Policy::None,
        Durability::SemiSync => Policy::SemiSync { acks: 1 },
    };
    if policy.acks() as usize >= args.cohort.len() {
        return Err(format!(
            "--cohort names {} tablets: with {} acknowledgements there must be at least {}",
            args.cohort.len(),
            policy.acks(),
            policy.acks() + 1
        ));
    }
    let errant = match args.errant {
        Errant::Quarantine => rebuild::Errant::Quarantine,
        Errant::Rebuild => rebuild::Errant::Rebuild,
    };
    let options = Options {
        topology: args.topology.enter().await?,
        shard: args.shard.clone(),
        cohort: Cohort { tablets: args.cohort.iter().cloned().collect(), policy, promotion: BTreeMap::new() },
        errant,
        drain_time: Duration::from_millis(args.reparent_drain_ms),
        identity: args.wire.identity()?,
        admin: args.admin.options(&args.wire)?,
        record: args.record.options(),
    };
    let certificates = console.as_ref().and_then(Console::certificates);
    life.follow([options.identity.clone(), options.topology.certificates(), certificates].into_iter().flatten());
    let (topology, identity) = (options.topology.clone(), options.identity.clone());
    let running = Running::start(options).await.map_err(|error| error.to_string())?;
    say(&format!("orchestrator of {} is {}", args.shard, running.name()));
    life.ready(running.readiness(), running.metrics())?;
    let shard = Whose::Found(Target::Processes { topology, shard: Some(args.shard.clone()), identity });
    let console =
        console.map(|console| console.serve("weir-orch", shard, args.record.record_dir.clone())).transpose()?;
    while !matches!(life.next().await, Told::Stop) {}
    life.stopping(true);
    drop(console);
    running.stop().await;
    Ok(())
}
