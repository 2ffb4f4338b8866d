//! The model MySQL: a server that is honest about what a real one does, in both flavours.
//!
//! [`Server`] is a machine like those of `weir-core`: statements in, outcomes out, with time, syncs and acknowledgements
//! as inputs. It knows nothing of connections; [`wire`] does.
//!
//! What it promises: row-level write locks with queues, deadlock detection and timeouts; READ COMMITTED and
//! REPEATABLE READ snapshots as InnoDB has them (a locking read or a write sees the last committed version); a two-phase
//! commit between redo and binary log, each with its own durability; GTIDs; a replica's receiver and applier, apart;
//! semi-sync at both wait points; and [`group`] replication, where the servers elect their primary by themselves.
//!
//! What it leaves out, on purpose: gap locks, metadata locks (a definition does not wait for transactions that
//! use its table), dirty reads, secondary keys, joins and subqueries, collations other than binary.

mod commit;
mod error;
mod exec;
pub mod group;
pub mod host;
mod locks;
mod named;
mod replica;
mod semisync;
mod server;
mod session;
mod sessions;
pub mod sql;
mod storage;
mod tables;
mod value;
mod variables;
mod waits;
pub mod wire;

pub use error::SqlError;
pub use replica::ThreadError;
pub use server::{Config, Output, Server};
pub use session::{
    Body, Column, Outcome, Rows, STATUS_AUTOCOMMIT, STATUS_IN_TRANS, STATUS_IN_TRANS_READONLY, SessionId, Tracked,
};
pub use storage::{SourceConfig, Storage, Transaction, UseGtid};
pub use tables::{Change, TableDef, TableRef, Tables};
pub use value::{Row, Value};

#[cfg(test)]
mod tests;
