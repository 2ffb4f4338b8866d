//! How a server is, as its tablet sees it.

use crate::gtid::Position;
use crate::topo::TabletAlias;
use serde::{Deserialize, Serialize};

/// How the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Status {
    /// Differs for each start of the server.
    pub incarnation: u64,
    /// What it has executed.
    pub executed: Position,
    /// What it is at, and will have executed: on MySQL, what waits for acknowledgements. On MariaDB that counts as executed.
    #[serde(default)]
    pub waiting: Position,
    /// What it has received, applied or not.
    pub received: Position,
    /// Clients cannot write.
    pub read_only: bool,
    /// Its configured source, when that is of the shard.
    pub source: Option<TabletAlias>,
    /// It has one that is not, or that is at another address since.
    #[serde(default)]
    pub follows_stranger: bool,
    /// The receiving thread is on.
    pub receiver_running: bool,
    /// And it is connected.
    pub receiver_connected: bool,
    /// The applying thread is on.
    pub applier_running: bool,
    /// It acknowledges what it receives.
    pub acknowledges: bool,
    /// As a primary it waits for so many acknowledgements.
    pub acks: u32,
    /// It commits in groups some time apart.
    #[serde(default)]
    pub slowed: bool,
    /// Its replication has stopped with an error that goes on however often it is started: what it receives does not fit what
    /// it has, or its source lacks what it needs next.
    #[serde(default)]
    pub cannot_follow: bool,
}

impl Status {
    /// It has a source, whoever that is.
    #[must_use]
    pub fn has_source(&self) -> bool {
        self.source.is_some() || self.follows_stranger
    }

    pub(super) fn position(&self) -> Position {
        self.executed.union(&self.received).unwrap_or_else(|_| self.executed.clone())
    }
}
