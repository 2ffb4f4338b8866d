//! The server's side: one mysqld's connections, pool, role and health.
//!
//! Owns everything that is about one server. It may not know clients, sessions or other tablets. [`pool`] says who gets
//! which connection; [`health`] is what others learn.

pub mod health;
pub mod pool;
