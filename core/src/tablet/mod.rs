//! The server's side: one mysqld's connections, pool, role and health.

pub mod pool;
