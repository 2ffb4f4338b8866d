//! The processes that change a shard's primary: tablets beside their servers, orchestrators, and the topology.
//!
//! [`tablet`] carries orders out on its server and tells whoever listens how it is; [`orchestrator`] listens to all of them
//! and gives the orders; [`topology`] is the model etcd behind the questions of [`weir_core::orch::lock`]. They speak
//! [`mail`] to one another. [`findings`] keeps what they found wrong.

mod copying;
pub mod findings;
mod line;
pub(super) mod links;
pub mod mail;
pub mod orchestrator;
pub mod tablet;
pub mod topology;
