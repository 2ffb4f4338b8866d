//! The server's side: one mysqld's connections, pool, role and health.
//!
//! Owns everything that is about one server. It may not know clients, sessions or other tablets. [`conn`] is one connection
//! to it, [`pool`] says who gets which; [`probe`] what to ask the server about itself, [`heartbeat`] how its replicas find out
//! how late they are; [`manager`] whether the tablet serves, and as what; `waits` which reader waits for its position, and who with it; [`killer`] how what runs on a connection is ended;
//! [`drain`] how what is open on a primary comes to its end before another takes its place; [`orders`] carries out what an orchestrator wants of it, by the statements of [`operations`], and [`proof`] says whether its term is
//! current; [`accounts`] says who may
//! log in there, and [`acl`] who may do what to its tables.

pub mod accounts;
pub mod acl;
pub mod conn;
pub mod drain;
pub mod heartbeat;
pub mod killer;
pub mod manager;
mod marks;
pub mod operations;
pub mod orders;
pub mod pool;
pub mod probe;
pub mod proof;
mod waits;
