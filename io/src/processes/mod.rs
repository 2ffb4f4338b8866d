//! What each of Weir's separate processes runs: a gateway, a tablet beside its server, an orchestrator.
//!
//! They find each other in the topology and talk over gRPC; what each does is done by the same machines as in one process. Start
//! with [`tablet::Running`], [`gateway::Running`] and [`orchestrator::Running`].

mod admin;
pub mod gateway;
pub mod orchestrator;
pub(crate) mod peers;
pub(crate) mod shard;
#[cfg(feature = "simulated")]
pub mod simulated;
pub mod tablet;
pub(crate) mod wire;

pub use admin::Admin;
pub use wire::Identity;

use std::fmt;
use weir_core::time::Duration;
use weir_core::topo::store::Presence;

/// A process of which the topology hears nothing for so long does not run.
const PRESENCE_TTL: Duration = Duration::from_secs(10);

/// This process.
fn presence() -> Presence {
    Presence { binary: env!("CARGO_PKG_VERSION").to_owned(), process: std::process::id() }
}

/// Why a process did not start, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(String);

impl StartError {
    fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}
