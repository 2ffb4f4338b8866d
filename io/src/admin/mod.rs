//! What operators ask of gateways and orchestrators: the services, and how their tool finds and asks them.
//!
//! Owns no rule: what is asked for is done by [`orch`](crate::orch) and [`gateway`](crate::gateway). Start with `io/proto/weir/admin.v1.proto`,
//! then [`Cluster`] for the side that asks; what serves is `orchestrator`, `gateway::admin`, and `local` for `weir up`.

mod cluster;
pub(crate) mod local;
pub(crate) mod orchestrator;

pub use cluster::{Asked, Cluster, Gateway, Holder, Target};

/// The messages of `weir.admin.v1`, as `io/proto` describes them.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::wildcard_imports)]
pub mod messages {
    tonic::include_proto!("weir.admin.v1");
}

/// What `weir up` is called, where processes of their own have names.
pub(crate) const UP: &str = "up";
