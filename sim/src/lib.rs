//! The simulator: the machines of `weir-core` in one thread of virtual time.
//!
//! [`world`] is the virtual world that everything else lives in. Start there.

#![forbid(unsafe_code)]

pub mod mysql;
pub mod world;
