//! Every decision of Weir, as state machines that take bytes, time and randomness as parameters.
//!
//! Two shapes of machine live here, and no third:
//!
//! - **Data plane** (one per client session, one per backend connection): `handle_bytes`, `handle_timeout`,
//!   then drain `poll_transmit` and `poll_event`/`poll_reply` until they are empty; `poll_timeout` says when to wake it.
//! - **Control plane** (pools, tablets, the gateway's cluster view): `handle(now, Input)`, then drain
//!   `poll_output`; `poll_timeout` says when to wake it.
//!
//! Nothing in this crate knows a clock, a socket, a thread or a lock. A driver in `weir-io` carries bytes and time;
//! `weir-sim` drives the same machines in virtual time.
//!
//! Where to start reading: [`link`] is what a gateway asks of a tablet; [`gateway`] is the client's side of it,
//! [`tablet`] the server's; [`mysql`] is the wire format both speak, [`sql`] decides what a statement is.

#![forbid(unsafe_code)]

pub mod console;
pub mod error;
pub mod gateway;
pub mod gtid;
pub mod histogram;
pub mod link;
pub mod marks;
pub mod mutants;
pub mod mysql;
pub mod orch;
pub mod recording;
pub mod rng;
pub mod sql;
pub mod tablet;
pub mod time;
pub mod topo;
pub mod trace;
