//! The simulator: the machines of `weir-core` in one thread of virtual time.
//!
//! [`world`] is the virtual world that everything else lives in: start there. [`mysql`] is the model server, [`etcd`] the
//! model topology store, and [`check`] says what must be true of what clients saw.

#![forbid(unsafe_code)]

pub mod check;
pub mod etcd;
pub mod mysql;
pub mod processes;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod view;
pub mod workload;
pub mod world;
