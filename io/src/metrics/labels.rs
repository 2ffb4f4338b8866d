//! What tells the series of a metric apart. Every label has a [`Range`] that nobody outside can widen: the values of an enum, or the
//! names of parts of the cluster that somebody has configured.

use super::catalogue::Program;
use weir_core::gateway::cluster::LagBy;
use weir_core::gateway::session::{Class, Pins, Plan, Reason, Replayed, Sight, Verdict};
use weir_core::gateway::variables::Consistency;
use weir_core::orch::analysis::Code;
use weir_core::orch::orchestrator::{Analysis, Ending};
use weir_core::tablet::pool::CloseReason;
use weir_core::topo::{Role, ShardName, TabletAlias};

/// A server that a statement was sent to: none.
pub(super) const NO_ROLE: &str = "none";

/// The value of a label. There is none for text that somebody has sent.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// One of those that the program knows.
    Is(&'static str),
    /// A tablet's name.
    Tablet(&'a TabletAlias),
    /// A shard's name.
    Shard(&'a ShardName),
}

/// What has a name by configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A tablet.
    Tablet,
    /// The shard that a process serves: one.
    Shard,
}

/// Which values a label may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// These.
    OneOf(Vec<&'static str>),
    /// The names of these, as they are configured.
    Configured(Named),
}

/// A label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The program.
    Program,
    /// Its version.
    Version,
    /// The shard that it serves.
    Shard,
    /// A tablet.
    Tablet,
    /// What a statement does.
    Class,
    /// Where it was to run.
    Plan,
    /// What the server was that it was sent to.
    ServerRole,
    /// How it ended.
    Verdict,
    /// How fresh a read must be.
    Level,
    /// How it came to be that.
    Sight,
    /// For what a connection is kept.
    Pin,
    /// What became of a transaction that lost its primary.
    Replayed,
    /// What became of a statement that waits for a primary.
    Buffered,
    /// Why a client was not let in.
    Refused,
    /// Why a session ended.
    Ended,
    /// What became of a span.
    Traced,
    /// What a tablet is.
    Role,
    /// How a lag is known.
    LagBy,
    /// What a connection of a pool is doing.
    PoolState,
    /// What came of a request to a pool.
    PoolOutcome,
    /// Why a connection was closed.
    CloseReason,
    /// Whether something was done.
    Done,
    /// What is wrong with a shard.
    Problem,
    /// Why a primary was changed.
    Analysis,
    /// What came of that.
    Ending,
}

/// What a tablet may be.
pub(crate) const ROLES: [Role; 4] = [Role::Primary, Role::Replica, Role::RdOnly, Role::Unknown];
/// States of a pool's connections.
pub(crate) const POOL_STATES: [&str; 3] = ["busy", "idle", "opening"];
/// What comes of a request to a pool, connections first.
pub(crate) const POOL_OUTCOMES: [&str; 9] = [
    "preferred",
    "same_settings",
    "other_settings",
    "waited",
    "queue_full",
    "timed_out",
    "cannot_connect",
    "draining",
    "cancelled",
];
/// What becomes of a statement that waits for a primary.
pub(crate) const BUFFERED: [&str; 4] = ["held", "resumed", "timed_out", "refused"];
/// Why clients are not let in.
pub(crate) const REFUSED: [&str; 3] = ["limit", "proxy_header", "login"];
/// What becomes of spans.
pub(crate) const TRACED: [&str; 2] = ["exported", "dropped"];
/// Whether something was done.
pub(crate) const DONE: [&str; 2] = ["done", "failed"];

impl Label {
    /// As it stands in a series.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Version => "version",
            Self::Shard => "shard",
            Self::Tablet => "tablet",
            Self::Class => "class",
            Self::Plan => "plan",
            Self::ServerRole | Self::Role => "role",
            Self::Verdict => "result",
            Self::Level => "level",
            Self::Sight | Self::Replayed | Self::Traced | Self::PoolOutcome | Self::Done | Self::Ending => "outcome",
            Self::Pin | Self::Refused | Self::CloseReason => "cause",
            Self::Buffered => "event",
            Self::Ended => "reason",
            Self::LagBy => "by",
            Self::PoolState => "state",
            Self::Problem | Self::Analysis => "analysis",
        }
    }

    /// Which values it may have.
    #[must_use]
    pub fn range(self) -> Range {
        fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Range {
            Range::OneOf(all.iter().map(|value| name(*value)).collect())
        }
        match self {
            Self::Program => names(&Program::ALL, Program::name),
            Self::Version => Range::OneOf(vec![env!("CARGO_PKG_VERSION")]),
            Self::Shard => Range::Configured(Named::Shard),
            Self::Tablet => Range::Configured(Named::Tablet),
            Self::Class => names(Class::ALL, Class::name),
            Self::Plan => names(Plan::ALL, Plan::name),
            Self::ServerRole => Range::OneOf(SERVER_ROLES.map(server_role).to_vec()),
            Self::Verdict => names(Verdict::ALL, Verdict::name),
            Self::Level => names(&Consistency::ALL, Consistency::name),
            Self::Sight => names(Sight::ALL, Sight::name),
            Self::Pin => Range::OneOf(Pins::all().iter_names().map(|(name, _)| name).collect()),
            Self::Replayed => names(Replayed::ALL, Replayed::outcome),
            Self::Buffered => Range::OneOf(BUFFERED.to_vec()),
            Self::Refused => Range::OneOf(REFUSED.to_vec()),
            Self::Traced => Range::OneOf(TRACED.to_vec()),
            Self::Ended => Range::OneOf(ended().map(Reason::name).collect()),
            Self::Role => names(&ROLES, Role::name),
            Self::LagBy => names(&[LagBy::Heartbeat, LagBy::Server], LagBy::name),
            Self::PoolState => Range::OneOf(POOL_STATES.to_vec()),
            Self::PoolOutcome => Range::OneOf(POOL_OUTCOMES.to_vec()),
            Self::CloseReason => names(&CloseReason::ALL, CloseReason::name),
            Self::Done => Range::OneOf(DONE.to_vec()),
            Self::Problem => names(Code::ALL, Code::name),
            Self::Analysis => {
                let found = Code::ALL.iter().map(|code| Analysis::Found(*code));
                Range::OneOf(std::iter::once(Analysis::Planned).chain(found).map(Analysis::name).collect())
            }
            Self::Ending => names(&Ending::ALL, Ending::name),
        }
    }
}

/// Why sessions end: whoever is not let in has none.
pub(crate) fn ended() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| *reason != Reason::Refused)
}

/// What a statement may be sent to.
pub(super) const SERVER_ROLES: [Option<Role>; 4] = [Some(Role::Primary), Some(Role::Replica), Some(Role::RdOnly), None];

pub(super) const fn server_role(role: Option<Role>) -> &'static str {
    match role {
        Some(role) => role.name(),
        None => NO_ROLE,
    }
}

/// Its place among [`SERVER_ROLES`].
pub(super) const fn place_of(role: Option<Role>) -> usize {
    match role {
        Some(Role::Primary) => 0,
        Some(Role::Replica) => 1,
        Some(Role::RdOnly) => 2,
        Some(Role::Unknown) | None => 3,
    }
}
