//! Drivers of the machines: they carry bytes and time to `weir-core` and decide nothing.
//!
//! Where to start reading: [`embedded`] puts a gateway and its tablets into one process; [`gateway`] serves clients,
//! [`tablet`] keeps the connections to one server, [`topology`] knows who is primary, [`orch`] changes that, and [`recorder`] keeps what it saw; [`admin`] is what operators ask; [`http`] is what their browsers and watchers do; [`store`] is where all processes find what is kept. [`servers`] starts MariaDB servers for
//! `weir up` and for tests.

pub mod admin;
pub mod audit;
mod clock;
mod crypto;
mod durable;
pub mod embedded;
mod failover;
pub mod gateway;
mod grpc;
pub mod handover;
pub mod health;
pub mod http;
pub mod metrics;
pub mod net;
pub mod orch;
mod picture;
pub mod processes;
pub mod recorder;
mod scratch;
pub mod servers;
pub mod store;
#[cfg_attr(feature = "simulated", path = "simulated.rs")]
mod system;
pub mod tablet;
pub mod tls;
pub mod topology;
pub mod traces;
mod uring;

pub use crypto::{CryptoError, RsaKey, fill_random};
pub use durable::Unusable;
pub use uring::Rings;
