//! The client's side: sessions, authentication, routing.
//!
//! Owns what a client sees: one [`Session`] machine per client connection, who may connect ([`users`], [`admission`]) and from where ([`proxied`]),
//! where a statement goes ([`routing`], one table), how far a read must see ([`freshness`]), what waits for a primary ([`buffer`]), and what is known of the tablets behind ([`cluster`], [`balance`]), who may end whom ([`processes`]) and by which ids ([`ids`]). It
//! may not know how a server connection is opened, pooled or made ready: it asks a tablet through [`crate::link`].
//! Start with [`session`].

pub mod admission;
pub mod audit;
pub mod balance;
pub mod buffer;
pub mod cluster;
pub mod config;
pub mod digests;
pub mod freshness;
pub mod globals;
pub mod hint;
pub mod ids;
pub mod processes;
pub mod proxied;
pub mod routing;
pub mod session;
pub mod users;
pub mod variables;

pub use session::Session;
