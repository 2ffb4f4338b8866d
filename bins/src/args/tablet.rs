//! How the connections to a server are kept.

use super::ServerTlsArgs;
use clap::Args as ClapArgs;
use std::time::Duration;
use weir_core::tablet::{manager, pool};

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
