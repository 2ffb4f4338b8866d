//! What a tablet answers to an order.

use crate::gtid::Position;
use crate::tablet::drain::Open;
use crate::time::Duration;
use crate::topo::TabletAlias;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a tablet says when it has obeyed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Report {
    /// The highest term it has promised.
    pub promised: u64,
    /// The highest term whose beginning it has.
    pub followed: u64,
    /// Everything it has, received or executed.
    pub position: Position,
    /// What its server is at besides, as [`Status::waiting`](crate::tablet::orders::Status::waiting) has it.
    #[serde(default)]
    pub waiting: Position,
    /// It still has everything that it ever acknowledged.
    pub intact: bool,
    /// Its clients can write.
    pub writable: bool,
    /// Whose replica its server is, connected or not.
    #[serde(default)]
    pub source: Option<TabletAlias>,
    /// Whom it is connected to as a replica.
    pub receives_from: Option<TabletAlias>,
    /// How long ago it vouched for a primary last, or may have; `None`: never.
    #[serde(default)]
    pub vouched: Option<Duration>,
}

/// Why a tablet does not obey.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// It has promised this higher term.
    OldTerm(u64),
    /// It lacks some of what the term begins with; it has this.
    Behind(Position),
    /// It has these transactions that the term's beginning does not have.
    Errant(Position),
    /// This is still open on its server.
    Open(Open),
    /// Another order took its place.
    Superseded,
    /// The server does not do it.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldTerm(term) => write!(f, "it has promised term {term}"),
            Self::Behind(position) => write!(f, "it has only {position}"),
            Self::Errant(extra) => write!(f, "it has {extra}, which the shard's history has not"),
            Self::Open(open) => write!(f, "{open}"),
            Self::Superseded => f.write_str("another order took its place"),
            Self::Failed(why) => write!(f, "its server failed: {why}"),
        }
    }
}
