//! How the connections to a server are kept.

use super::{ServerTlsArgs, table_acl};
use clap::Args as ClapArgs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;
use weir_core::tablet::{manager, pool};
use weir_io::tablet::TableGuard;

/// Options of whatever keeps connections to a server.
#[derive(Debug, ClapArgs)]
pub struct TabletArgs {
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

    /// Prepared statements kept on one server connection, at most.
    #[arg(long, default_value_t = 256, value_name = "N", env = "WEIR_STATEMENTS_PER_CONNECTION",
          value_parser = clap::value_parser!(u32).range(1..=16_382))]
    pub statements_per_connection: u32,

    /// How hard the statements of clients are compressed on their way to the servers, from 1 (fast) to 9 (small); these are asked to
    /// compress their answers (zlib), too, if they can. 0: nothing is. For servers in another data centre.
    #[arg(long, default_value_t = 0, value_name = "LEVEL", env = "WEIR_SERVER_COMPRESSION",
          value_parser = clap::value_parser!(u32).range(0..=9))]
    pub server_compression: u32,

    /// Who may touch which tables, where clients share the account of --user: a TOML file of groups, [groups.NAME] with `tables`
    /// (schema.table, schema.prefix*, schema.*, *) and the users (or *) that are its `readers`, `writers` and `admins`; and `admins` above all groups,
    /// who may do anything. What no group names is refused to all others. Read again on SIGHUP.
    #[arg(long, value_name = "FILE", env = "WEIR_TABLE_ACL")]
    pub table_acl: Option<PathBuf>,

    /// How they are encrypted.
    #[command(flatten)]
    pub encryption: ServerTlsArgs,

    /// How often the primary gets a heartbeat, by which replicas tell how far they are behind, in milliseconds; 0 for never. It
    /// is a row in the table weir.heartbeat, made when it is missing (never on a server alone), and needs SELECT, INSERT, UPDATE, CREATE ON weir.* for the
    /// account that watches the servers.
    #[arg(long, default_value_t = 1_000, value_name = "MS", env = "WEIR_HEARTBEAT_INTERVAL_MS",
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub heartbeat_interval_ms: u64,
}

impl TabletArgs {
    /// How a tablet is run. A server alone (`is_alone`) has nobody to tell of heartbeats.
    #[must_use]
    pub fn config(&self, is_alone: bool) -> manager::Config {
        manager::Config {
            pool: pool::Config {
                connections_max: self.pool_size,
                wait_queue_max: self.wait_queue,
                wait_time_max: Duration::from_millis(self.wait_time_ms),
                ..pool::Config::default()
            },
            beat_interval: self.beat_interval().filter(|_| !is_alone),
            ..manager::Config::default()
        }
    }

    /// What keeps clients from tables, if anything is to.
    ///
    /// # Errors
    /// What is wrong in the file, with its name and the line.
    pub fn guard(&self) -> Result<Option<Arc<TableGuard>>, String> {
        Ok(self.table_acl.as_deref().map(table_acl::load).transpose()?.map(TableGuard::new))
    }

    /// Has `guard` go by what the file says now. A file that is wrong changes nothing.
    pub fn reload(&self, guard: Option<&TableGuard>) {
        let (Some(guard), Some(file)) = (guard, &self.table_acl) else { return };
        match table_acl::load(file) {
            Ok(acl) => guard.replace(acl),
            Err(why) => warn!("who may touch which tables stays as it was: {why}"),
        }
    }

    /// How hard to compress towards the servers; `None` for not at all.
    #[must_use]
    pub fn server_compression(&self) -> Option<u32> {
        (self.server_compression > 0).then_some(self.server_compression)
    }

    /// How often the primary writes a heartbeat.
    #[must_use]
    pub fn beat_interval(&self) -> Option<Duration> {
        (self.heartbeat_interval_ms > 0).then(|| Duration::from_millis(self.heartbeat_interval_ms))
    }
}
