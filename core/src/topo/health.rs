//! What a tablet tells gateways of itself, again and again.

use super::{ServerVersion, TabletAlias, Target};
use crate::gtid::Position;
use crate::time::Duration;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A tablet's health as of when it was sent. The receiver notes when it came: silence is for it to judge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Health {
    /// Whose health.
    pub tablet: TabletAlias,
    /// The keyspace, shard and role it serves.
    pub target: Target,
    /// The term it knows of. A gateway takes a claim to be primary only at the highest term it has seen.
    pub term: u64,
    /// Why it takes no requests of its role; `None` when it does.
    pub not_serving: Option<NotServing>,
    /// What its server has executed.
    pub position: Position,
    /// How long before the sending the server said so; `Duration::MAX` when it never did.
    pub position_age: Duration,
    /// How far a replica is behind its primary as its server reckons; `None` when that is not known, and for a primary.
    pub lag: Option<Duration>,
    /// The highest heartbeat that its server is known to have: the primary writes them, replicas get them.
    pub beat: Option<u64>,
    /// How busy it is.
    pub load: Load,
    /// Its server is a member of a group that elects by itself: it may have been succeeded without knowing.
    pub in_group: bool,
    /// Its server; `None` before the first contact.
    pub version: Option<ServerVersion>,
}

/// How busy a tablet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Load {
    /// Server connections lent to sessions.
    pub connections_in_use: u32,
    /// Most server connections it may have.
    pub connections_max: u32,
    /// Sessions that wait for a connection.
    pub waiting: u32,
}

/// Why a tablet takes no requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NotServing {
    /// Its role is UNKNOWN.
    NoRole,
    /// Its server cannot be reached.
    Unreachable,
    /// Its server's part of the group has not the quorum.
    WithoutQuorum,
    /// Its server is a member of a group, and not online there.
    NotOnline,
    /// It is primary, and its server is `read_only`.
    ReadOnly,
    /// It is primary and will be succeeded: what is open there ends, and nothing else begins.
    Draining,
    /// It is shutting down.
    Stopping,
}

impl fmt::Display for NotServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRole => "its role is not known",
            Self::Unreachable => "its server cannot be reached",
            Self::WithoutQuorum => "its server's part of the group has not the quorum",
            Self::NotOnline => "its server is not online in its group",
            Self::ReadOnly => "its server is read_only",
            Self::Draining => "it is drained before another takes its place",
            Self::Stopping => "it is shutting down",
        })
    }
}
