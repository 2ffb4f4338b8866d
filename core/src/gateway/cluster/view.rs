//! What a session knows of the tablets when it routes a statement.

use super::rotation::Rotation;
use crate::gateway::balance::{Meter, Sample};
use crate::gtid::Position;
use crate::time::{Duration, Instant};
use crate::topo::{Load, NotServing, Role, TabletAlias};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A tablet, as one gateway process numbers them. Never used twice for different tablets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TabletId(pub u32);

/// The tablets of a shard at one moment. Immutable: sessions share it, and get a new one when something changes. In a recording it is without what
/// meters show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// By ascending id.
    pub(super) tablets: Vec<TabletView>,
    pub(super) rules: Rules,
}

/// One tablet at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletView {
    /// Names it in this process.
    pub id: TabletId,
    /// Names it in the cluster.
    pub alias: TabletAlias,
    /// What it is; `Unknown` when what it claims is of an older term or contested.
    pub role: Role,
    /// Since when it is that.
    pub term: u64,
    /// Whether it takes requests.
    pub serving: Serving,
    /// What its server is known to have executed. It may have executed more.
    pub position: Position,
    /// When it had.
    pub observed_at: Instant,
    /// How far it was behind its primary then; `None` when that is not known.
    pub lag: Option<Duration>,
    /// How that is known.
    pub lag_by: LagBy,
    /// Whether it takes reads, if it serves.
    pub rotation: Rotation,
    /// What this gateway's sessions do with it at this moment.
    #[serde(skip)]
    pub meter: Meter,
    /// How busy its pool was when it told.
    pub load: Load,
    /// Its share of the reads, relative to the others'. None at 0.
    pub weight: u32,
    /// It is in the gateway's own cell.
    pub is_local: bool,
    /// Its server is a member of a group that elects by itself.
    pub in_group: bool,
}

/// By which measure a lag is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LagBy {
    /// The primary's heartbeats.
    Heartbeat,
    /// The replica's server, in whole seconds (`Seconds_Behind_Master`), for want of heartbeats.
    #[default]
    Server,
}

impl LagBy {
    /// As `SHOW WEIR TABLETS` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Server => "server",
        }
    }
}

/// Whether a tablet takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Serving {
    /// It does.
    Yes,
    /// It says that it does not, and why.
    No(NotServing),
    /// It has not said anything yet.
    Unheard,
    /// It has said nothing for `health_timeout`.
    Silent,
}

impl Serving {
    /// It does.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("serves"),
            Self::No(why) => write!(f, "does not serve: {why}"),
            Self::Unheard => f.write_str("has not been heard of yet"),
            Self::Silent => f.write_str("is no longer heard of"),
        }
    }
}

/// What holds for every choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Replicas further behind, or of unknown lag, get no reads. `None`: any lag will do.
    pub max_replication_lag: Option<Duration>,
    /// What a read does when no replica can take it.
    pub without_replica: WithoutReplica,
    /// There is one server and nobody who promotes another: what it refuses is refused, and nothing is waited for.
    #[serde(default)]
    pub alone: bool,
}

/// What a read does when no replica can take it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WithoutReplica {
    /// It goes to the primary.
    #[default]
    UsePrimary,
    /// It fails.
    Fail,
}

impl View {
    /// A view made up by hand.
    #[must_use]
    pub fn new(mut tablets: Vec<TabletView>, rules: Rules) -> Self {
        tablets.sort_by_key(|tablet| tablet.id);
        Self { tablets, rules }
    }

    /// Every tablet, by ascending id.
    #[must_use]
    pub fn tablets(&self) -> &[TabletView] {
        &self.tablets
    }

    /// What holds for every choice.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// One tablet.
    #[must_use]
    pub fn get(&self, id: TabletId) -> Option<&TabletView> {
        self.tablets.binary_search_by_key(&id, |tablet| tablet.id).ok().map(|at| &self.tablets[at])
    }

    /// What every tablet's meter shows now, for [`Input::Measured`](super::Input::Measured).
    #[must_use]
    pub fn samples(&self, now: Instant) -> Vec<(TabletId, Sample)> {
        self.tablets.iter().map(|tablet| (tablet.id, tablet.meter.sample(now))).collect()
    }

    /// The primary, serving or not.
    #[must_use]
    pub fn primary(&self) -> Option<&TabletView> {
        self.tablets.iter().find(|tablet| tablet.role == Role::Primary)
    }
}

impl TabletView {
    /// A tablet of which nothing is known yet.
    #[must_use]
    pub fn new(id: TabletId, alias: TabletAlias, weight: u32) -> Self {
        Self::measured_by(Meter::default(), id, alias, weight)
    }

    /// As [`Self::new`], with a meter that there is.
    pub(super) fn measured_by(meter: Meter, id: TabletId, alias: TabletAlias, weight: u32) -> Self {
        Self {
            id,
            alias,
            role: Role::Unknown,
            term: 0,
            serving: Serving::Unheard,
            position: Position::default(),
            observed_at: Instant::ZERO,
            lag: None,
            lag_by: LagBy::default(),
            rotation: Rotation::default(),
            meter,
            load: Load::default(),
            weight,
            is_local: false,
            in_group: false,
        }
    }

    /// Its server is known to have executed everything in `position`.
    #[must_use]
    pub fn has_reached(&self, position: &Position) -> bool {
        self.position.contains(position).unwrap_or(false)
    }
}
