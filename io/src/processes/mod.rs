//! What each of Weir's separate processes runs: a gateway, a tablet beside its server, an orchestrator.
//!
//! They find each other in the topology and talk over gRPC; what each does is done by the same machines as in one process. Start
//! with [`tablet::Running`], [`gateway::Running`] and [`orchestrator::Running`].

pub mod gateway;
pub mod orchestrator;
mod peers;
pub(crate) mod shard;
pub mod tablet;
mod wire;

pub use wire::Identity;

use std::fmt;

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
