//! Servers that elect their primary by themselves.

use super::Span;
use serde::{Deserialize, Serialize};

/// A group of MySQL servers: each is a member, server 1 has founded it, and nobody of Weir's changes the primary.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Servers that should rather be primary than others, by number (`group_replication_member_weight`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<u16>,
    /// How long after it is suspected a member is expelled (`group_replication_member_expel_timeout`); two seconds when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_expel_timeout: Option<Span>,
    /// A member that has lost the majority for this long leaves and rolls back what waits; when not said, it waits on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable_majority_timeout: Option<Span>,
}
