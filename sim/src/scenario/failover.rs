//! Who changes the primary in a scenario, and by which policy.

use super::Span;
use serde::{Deserialize, Serialize};
use weir_core::orch::choose::Promotion;
use weir_core::orch::durability;
use weir_core::orch::rebuild;

/// Orchestrators, tablets and a topology: without them, a primary that is gone stays gone.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// How many orchestrators.
    pub orchestrators: u16,
    /// When a write is acknowledged.
    pub policy: Policy,
    /// For `semi-sync`: by how many replicas.
    pub acks: u32,
    /// The servers are in so many cells, in turn.
    pub cells: u16,
    /// Servers that should rather be primary than others that are as far, by number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<u16>,
    /// Servers that must not be primary, by number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub must_not: Vec<u16>,
    /// What becomes of servers with transactions of their own.
    pub errant: Errant,
    /// How long a primary that is to be succeeded may take to be drained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_time: Option<Span>,
    /// So many planned changes are declined, and all others come about; nobody else changes the primary. When not said, it may be
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declines: Option<u16>,
    /// The first orchestrator, and every second tablet from the first on, are of the next release.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub upgrading: bool,
    /// The first orchestrator dies after it has said so many things while it changed the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orchestrator_dies_after: Option<u64>,
}

/// What becomes of servers with transactions of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Errant {
    /// They stay apart.
    #[default]
    Quarantine,
    /// They get the data of another.
    Rebuild,
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// When the primary has it.
    None,
    /// When replicas have it as well.
    #[default]
    SemiSync,
    /// When a replica in another cell has it as well.
    CrossCell,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            orchestrators: 2,
            policy: Policy::SemiSync,
            acks: 1,
            cells: 1,
            prefer: Vec::new(),
            must_not: Vec::new(),
            errant: Errant::default(),
            drain_time: None,
            declines: None,
            upgrading: false,
            orchestrator_dies_after: None,
        }
    }
}

impl Failover {
    /// What the operator says of a server, by its number.
    #[must_use]
    pub fn promotion(&self, number: u16) -> Promotion {
        match number {
            _ if self.must_not.contains(&number) => Promotion::MustNot,
            _ if self.prefer.contains(&number) => Promotion::Prefer,
            _ => Promotion::Neutral,
        }
    }

    /// What becomes of servers with transactions of their own, as orchestrators have it.
    #[must_use]
    pub fn errant(&self) -> rebuild::Errant {
        match self.errant {
            Errant::Quarantine => rebuild::Errant::Quarantine,
            Errant::Rebuild => rebuild::Errant::Rebuild,
        }
    }

    /// As orchestrators have it.
    #[must_use]
    pub fn policy(&self) -> durability::Policy {
        match self.policy {
            Policy::None => durability::Policy::None,
            Policy::SemiSync => durability::Policy::SemiSync { acks: self.acks },
            Policy::CrossCell => durability::Policy::CrossCell,
        }
    }
}
