//! The processes of a simulated cluster: the machines of `weir-core` between the world's byte streams.
//!
//! Owns what `weir-io` owns in production: it carries bytes and time between machines and the world, and decides nothing.
//! The two are kept alike on purpose, function for function, since what is found here must hold there.
//!
//! [`gateway`] runs sessions, tablets and the embedded topology; [`client`] speaks MySQL to gateways on behalf of a
//! workload; [`failover`] has what changes a shard's
//! primary; [`operator`] does to servers what people do to them. Model servers are in [`crate::mysql::host`].

pub mod client;
mod connection;
pub mod failover;
pub mod gateway;
mod killer;
pub mod operator;
mod probe;
mod shadow;
mod tablet;
