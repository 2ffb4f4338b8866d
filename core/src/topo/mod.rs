//! Cells, keyspaces, shards, tablets and their roles.
//!
//! Owns the words every component uses for *where* something is, and the rules by which roles are found from the servers
//! themselves. Knows nothing of connections, pools or clients.
//!
//! Start with [`Target`] and [`Role`] for the words; with [`discover`](mod@discover) for the rules, which judge the
//! [`Observation`]s of all tablets of a shard; with [`group`] for servers that elect by themselves; with [`ShardRecord`] for what is kept of the verdicts. [`Health`] is what a
//! tablet tells gateways. [`store`] is what of all that is kept where every process finds it.

pub mod discover;
mod evidence;
pub mod group;
mod health;
mod names;
mod record;
mod role;
pub mod store;
mod target;
mod version;

pub use evidence::{Address, Observation, Receiver, Sighting, SourceLink};
pub use group::Membership;
pub use health::{Health, Load, NotServing};
pub use names::{Cell, Keyspace, NameError, ProcessName, Shard, ShardName, TabletAlias};
pub use record::{Change, ShardRecord};
pub use role::Role;
pub use target::{Target, TargetString};
pub use version::ServerVersion;
