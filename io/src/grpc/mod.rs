//! Tablets in other processes, over gRPC: what gateways, orchestrators and other tablets say to them.
//!
//! The messages are those of `weir_core::link` and of the machines; here they are put on the wire ([`convert`]), carried with
//! back-pressure ([`outbox`]), and handed to the same tablet that a gateway in its process would use ([`lend`]). Start with
//! [`remote::RemoteTablet`] for the gateway's side, and [`serve`] for the tablet's.

pub(crate) mod control;
pub(crate) mod convert;
pub(crate) mod follow;
mod lend;
mod outbox;
pub(crate) mod remote;
mod secrets;
pub(crate) mod serve;
mod traced;

/// Made of `io/proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::wildcard_imports)]
pub(crate) mod proto {
    /// What gateways ask of a tablet for their clients' statements.
    pub(crate) mod query {
        tonic::include_proto!("weir.query.v1");
    }
    /// What gateways ask of each other.
    pub(crate) mod peers {
        tonic::include_proto!("weir.peers.v1");
    }
    /// Health and orders.
    pub(crate) mod control {
        tonic::include_proto!("weir.control.v1");
    }
}
