//! What is concluded of a shard, and in which words an operator reads it.

use crate::topo::{Role, TabletAlias};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was concluded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Verdict {
    /// Who is primary.
    pub primary: Primary,
    /// The role of every tablet; at most one is PRIMARY, the one that `primary` names.
    pub roles: BTreeMap<TabletAlias, Role>,
    /// What an operator should look at, though the rules cope with it.
    pub notes: Vec<Note>,
}

/// Who takes the shard's writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Primary {
    /// This tablet, and it can be written to.
    Serving(TabletAlias),
    /// This tablet, but it takes no writes now.
    Held(TabletAlias, Hold),
    /// Nobody.
    None(Conflict),
}

impl Primary {
    /// The primary, serving or not.
    #[must_use]
    pub fn tablet(&self) -> Option<&TabletAlias> {
        match self {
            Self::Serving(tablet) | Self::Held(tablet, _) => Some(tablet),
            Self::None(_) => None,
        }
    }

    /// Who can be written to.
    #[must_use]
    pub fn serving(&self) -> Option<&TabletAlias> {
        if let Self::Serving(tablet) = self { Some(tablet) } else { None }
    }
}

impl fmt::Display for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving(tablet) => write!(f, "{tablet}"),
            Self::Held(tablet, hold) => write!(f, "{tablet}, not serving: {hold}"),
            Self::None(conflict) => write!(f, "none: {conflict}"),
        }
    }
}

/// Why a primary takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hold {
    /// Its server is `read_only`.
    ReadOnly,
    /// There is no recent evidence of it.
    Gone,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "it is read_only",
            Self::Gone => "there is no recent report of it",
        })
    }
}

/// Why there is no primary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Conflict {
    /// Not all tablets have been asked yet, and who was primary before is not known. These are missing.
    StillAsking(Vec<TabletAlias>),
    /// No tablet has been seen lately.
    NothingSeen,
    /// Nobody is followed. These are writable and have no source, which is not enough, as a former primary that came
    /// back looks the same.
    NobodyFollowed {
        /// Who could be primary.
        writable: Vec<TabletAlias>,
    },
    /// Replicas follow different servers.
    Split(Vec<TabletAlias>),
    /// Replicas are connected to this one, of which there is no recent evidence.
    FollowedButGone(TabletAlias),
    /// Replicas follow this one, but with them it is no more than half of the shard's tablets.
    Minority {
        /// Who is followed.
        leader: TabletAlias,
        /// Itself and its replicas.
        with_it: usize,
        /// Tablets of the shard.
        tablets: usize,
    },
    /// Replicas follow this one, which is `read_only`, while another was primary last.
    FollowedButReadOnly(TabletAlias),
    /// No tablet answers from a part of the group that has the quorum.
    NoQuorum,
    /// These are members of groups, and not of one.
    SeveralGroups(Vec<TabletAlias>),
    /// Of these, some take themselves for members of a view that others cannot be in: parts of a group that each were told to go
    /// on without the other.
    SplitGroup(Vec<TabletAlias>),
    /// The group has the quorum, but no member that answers is online.
    NobodyOnline,
    /// Each of these says that the group has elected it.
    SeveralElected(Vec<TabletAlias>),
    /// The group has elected nobody yet, or no tablet of the shard.
    ElectedUnseen,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StillAsking(missing) => write!(f, "still waiting for the first report of {}", List(missing)),
            Self::NothingSeen => f.write_str("no server has been seen lately"),
            Self::NobodyFollowed { writable } if writable.is_empty() => {
                f.write_str("no server is both writable and without a source, and no replica that is seen follows one")
            }
            Self::NobodyFollowed { writable } => {
                write!(f, "writable and without a source: {}; but no replica that is seen follows one", List(writable))
            }
            Self::Split(leaders) => write!(f, "replicas follow different servers: {}", List(leaders)),
            Self::FollowedButGone(tablet) => {
                write!(f, "replicas are connected to {tablet}, which Weir itself has not seen lately")
            }
            Self::Minority { leader, with_it, tablets } => {
                write!(f, "replicas follow {leader}, but only {with_it} of {tablets} tablets are seen to be with it")
            }
            Self::FollowedButReadOnly(tablet) => {
                write!(f, "replicas follow {tablet}, which is read_only and was not primary before")
            }
            Self::NoQuorum => f.write_str("no server answers from a part of the group with the quorum"),
            Self::SeveralGroups(tablets) => write!(f, "members of different groups: {}", List(tablets)),
            Self::SplitGroup(tablets) => {
                write!(
                    f,
                    "two parts of the group both claim the quorum; members of one or the other: {}",
                    List(tablets)
                )
            }
            Self::NobodyOnline => f.write_str("the group has the quorum, but no member that answers is online"),
            Self::SeveralElected(tablets) => write!(f, "each says that the group has elected it: {}", List(tablets)),
            Self::ElectedUnseen => f.write_str("the group has not elected a primary that Weir can see"),
        }
    }
}

/// Something odd.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Note {
    /// Writable and without a source, but not primary: perhaps a former primary that came back.
    Stray(TabletAlias),
    /// It replicates from a server that is not the primary.
    Astray {
        /// The replica.
        replica: TabletAlias,
        /// Where its chain of sources ends.
        follows: TabletAlias,
    },
    /// Its chain of sources does not end at a tablet of the shard.
    Outside(TabletAlias),
    /// It is a replica that applications can write to.
    WritableReplica(TabletAlias),
    /// It may not be asked for its sources: grant REPLICATION CLIENT (MariaDB: SLAVE MONITOR).
    SourcesHidden(TabletAlias),
    /// Two servers have one `server_id`.
    SameServerId(TabletAlias, TabletAlias),
    /// The shard's others are members of a group, and it is not.
    NotInGroup(TabletAlias),
    /// Its part of the group has not the quorum.
    WithoutQuorum(TabletAlias),
    /// It says that it has the quorum, but the group has gone on without it.
    LeftBehind(TabletAlias),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stray(tablet) => write!(f, "{tablet} is writable and has no source, but is not the primary"),
            Self::Astray { replica, follows } => write!(f, "{replica} follows {follows}, which is not the primary"),
            Self::Outside(tablet) => write!(f, "{tablet} follows a server outside the shard, or a circle of servers"),
            Self::WritableReplica(tablet) => write!(f, "{tablet} is a replica without read_only"),
            Self::SourcesHidden(tablet) => {
                write!(f, "{tablet} does not tell its sources; grant REPLICATION CLIENT or SLAVE MONITOR")
            }
            Self::SameServerId(one, other) => write!(f, "{one} and {other} have the same server_id"),
            Self::NotInGroup(tablet) => write!(f, "{tablet} is not a member of the group that others are in"),
            Self::WithoutQuorum(tablet) => write!(f, "{tablet} is in a part of its group without the quorum"),
            Self::LeftBehind(tablet) => write!(f, "{tablet} is in a view that its group has left"),
        }
    }
}

struct List<'a>(&'a [TabletAlias]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, tablet) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            write!(f, "{tablet}")?;
        }
        Ok(())
    }
}
