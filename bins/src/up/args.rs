//! The command line of `weir up`.

use crate::args::{ConsoleArgs, GatewayArgs, ProcessArgs, TabletArgs};
use clap::Args as ClapArgs;
use std::path::PathBuf;
use weir_core::topo::Cell;
use weir_io::net::Address;

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

    /// With --attach: the account that watches the servers (SLAVE MONITOR or REPLICATION CLIENT) [default: --user].
    #[arg(long, value_name = "USER", env = "WEIR_MONITOR_USER", requires = "attach")]
    pub monitor_user: Option<String>,

    /// Its password [default: --password].
    #[arg(long, value_name = "PASSWORD", env = "WEIR_MONITOR_PASSWORD", hide_env_values = true, requires = "attach")]
    pub monitor_password: Option<String>,

    /// How long transactions may take to end before a planned change of primary, in milliseconds; else it is declined. Whatever would begin
    /// waits for as long: keep it well below --buffer-max-wait-ms.
    #[arg(long, default_value_t = 5_000, value_name = "MS", env = "WEIR_REPARENT_DRAIN_MS",
          value_parser = clap::value_parser!(u64).range(100..=20_000))]
    pub reparent_drain_ms: u64,

    /// How much is kept of what the orchestrator, the gateway and each tablet were told and decided, in MiB for each of them, in `recordings`
    /// of --data-dir, for `weir-sim replay` and `weir ctl explain-failover`; the oldest goes. 0: nothing.
    #[arg(long, default_value_t = 64, value_name = "MIB", env = "WEIR_RECORD_MAX_MIB", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub record_max_mib: u32,

    /// How clients are served.
    #[command(flatten)]
    pub gateway: GatewayArgs,

    /// How connections to servers are kept.
    #[command(flatten)]
    pub tablet: TabletArgs,

    /// What operators see in a browser.
    #[command(flatten)]
    pub console: ConsoleArgs,

    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}
