//! What Weir keeps in a topology's store, and how it follows that.
//!
//! Owns the keys ([`Layout`]), the values ([`Record`]), the requests by which one of them is changed ([`Call`]), and the
//! machine that knows them all at any time ([`directory`]). A store is etcd, the one embedded in a process, or the
//! simulator's model; each carries the same calls. Nothing here may know which.
//!
//! Start with [`Place`]: everything that is kept has one.

pub mod announcement;
mod call;
pub mod directory;
pub mod embedded;
pub mod globals;
mod layout;
pub mod numbers;
pub mod question;
mod records;

pub use announcement::Announcement;
pub use call::{Call, CallError, Condition, KeyValue, Put, Reply};
pub use directory::Directory;
pub use layout::{DEFAULT_PREFIX, Layout, Place, Prefix};
pub use records::{
    CellRecord, GatewayRecord, KeyspaceRecord, OrchestratorRecord, Presence, RECORD_BYTES_MAX, Record, Stored,
    TabletRecord, Unreadable, decode, encode,
};
