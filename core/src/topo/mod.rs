//! Cells, keyspaces, shards, tablets and their roles.
//!
//! Owns the words every component uses for *where* something is. Knows nothing of connections, pools or clients.
//! Start with [`Target`] and [`Role`].

mod names;
mod role;
mod target;
mod version;

pub use names::{Cell, Keyspace, NameError, Shard, TabletAlias};
pub use role::Role;
pub use target::{Target, TargetString};
pub use version::ServerVersion;
