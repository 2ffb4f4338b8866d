//! Drivers of the machines: they carry bytes and time to `weir-core` and decide nothing.
//!
//! Where to start reading: [`embedded`] puts a gateway and its tablets into one process; [`gateway`] serves clients,
//! [`tablet`] keeps the connections to one server, [`topology`] finds who is primary. [`servers`] starts MariaDB servers for
//! `weir up` and for tests.

mod clock;
mod crypto;
pub mod embedded;
pub mod gateway;
pub mod net;
mod scratch;
pub mod servers;
pub mod tablet;
pub mod topology;

pub use crypto::RsaKey;
