//! Another durability policy for a shard that runs.
//!
//! Owns when it may be had. A policy belongs to a term: so it changes as a primary does, by beginning a term, in which the same tablet is
//! primary as before. Those who decide on a promotion need nothing new: the reigns before the term are covered by the policy that they
//! were under, and the term is settled by those who have its beginning under its own. What is still ordered under the old policy is of a
//! lower term, and is refused.

use super::super::analysis::Facts;
use super::super::durability::Policy;
use super::super::handover::{self, Handover};
use super::super::lock::Entry;
use super::super::recovery::{Cause, Step};
use super::super::repairs;
use super::{Analysis, News, Orchestrator};
use crate::time::Instant;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Why the policy stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// There is no primary now, or it is being changed.
    Unsettled,
    /// Whose acknowledgements count for the same primary would change, and one whose tablet is away would go on as before.
    CrossCell,
    /// MariaDB waits for one acknowledgement, and so many are wanted.
    OneAcknowledgement(u32),
    /// So many replicas receive from the primary, and so many are needed.
    TooFew(usize, u32),
    /// The primary could not be drained, as before any planned change.
    Handover(handover::Obstacle),
    /// Another change of primary or policy came first.
    Overtaken,
    /// It had begun, and could not be written down, or not for certain; or somebody else carries on.
    Unknown,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsettled => f.write_str("there is no primary now, or it is being changed"),
            Self::CrossCell => f.write_str("cross_cell cannot be chosen while the shard runs"),
            Self::OneAcknowledgement(wanted) => {
                write!(f, "MariaDB waits for one acknowledgement, and {wanted} are wanted")
            }
            Self::TooFew(receiving, wanted) => write!(
                f,
                "{receiving} replicas receive from the primary, and {wanted} must acknowledge: nobody could write"
            ),
            Self::Handover(why) => why.fmt(f),
            Self::Overtaken => f.write_str("another change of primary or policy came first"),
            Self::Unknown => f.write_str("or it does: ask again once there is a primary"),
        }
    }
}

impl Orchestrator {
    /// Somebody wants another policy. Who is not in charge leaves that to whoever is.
    pub(super) fn want_policy(&mut self, policy: Policy) {
        let Some(entry) = self.entry.as_ref().filter(|_| self.lock.is_held()) else { return };
        if self.plan.is_some() || entry.record.step != Step::Settled {
            return self.news(News::NotChanged(policy, Obstacle::Unsettled));
        }
        // The one before was looked at, and this one is not.
        if self.policy.is_some() {
            return self.news(News::NotChanged(policy, Obstacle::Overtaken));
        }
        self.policy = Some(policy);
    }

    /// Nothing more urgent is wrong.
    pub(super) fn change_policy(&mut self, now: Instant) {
        let Some(policy) = self.policy.filter(|_| self.handover.is_none() && self.plan.is_none()) else { return };
        let Some(entry) = self.entry.as_ref() else { return };
        let facts = Facts { now, entry, seen: &self.seen, errant: self.repairs.errant() };
        let said = match obstacle(&facts, policy) {
            _ if policy == entry.cohort.policy => Some(News::PolicyChanged(policy, entry.record.term)),
            why => why.map(|why| News::NotChanged(policy, why)),
        };
        if let Some(said) = said {
            self.policy = None;
            return self.news(said);
        }
        let Some(reign) = entry.record.reigns.last() else { return };
        let primary = reign.primary.clone();
        if facts.ackers_under(entry.cohort.policy) < entry.cohort.policy.acks() as usize {
            // Its clients wait for acknowledgements that do not come: nothing that is open there would end.
            return self.begin(now, Analysis::Planned, &Cause::Planned(primary));
        }
        let slowly = repairs::lead(entry, reign, true);
        self.handover = Some(Handover::new(now, primary.clone(), slowly, primary, self.drain_time));
    }

    /// The entry with which a term begins: under the policy that somebody wants, if it is begun for that.
    pub(super) fn as_wanted(&mut self, entry: Entry, cause: &Cause) -> Entry {
        let Some(policy) = self.policy.take() else { return entry };
        let primary = entry.record.reigns.last().map(|reign| reign.primary.clone());
        if !matches!(cause, Cause::Planned(to) if Some(to) == primary.as_ref()) {
            self.news(News::NotChanged(policy, Obstacle::Overtaken));
            return entry;
        }
        self.changing = Some(policy);
        entry.under(policy, self.mutants)
    }

    /// A term is settled (`Some`), or somebody else carries on.
    pub(super) fn tell_policy(&mut self, term: Option<u64>) {
        match (self.changing.take(), term) {
            (Some(policy), Some(term)) => self.news(News::PolicyChanged(policy, term)),
            (Some(policy), None) => self.news(News::NotChanged(policy, Obstacle::Unknown)),
            (None, _) => {}
        }
    }
}

/// What stands against it, as the shard is now.
fn obstacle(facts: &Facts<'_>, policy: Policy) -> Option<Obstacle> {
    let Some(primary) = facts.primary().and_then(|primary| facts.state(primary)) else {
        return Some(Obstacle::Unsettled);
    };
    let is_mariadb = primary.status.as_ref().is_some_and(|status| status.executed.as_mariadb().is_some());
    let (acks, receiving) = (policy.acks(), facts.ackers_under(policy));
    match policy {
        Policy::CrossCell => Some(Obstacle::CrossCell),
        _ if is_mariadb && acks > 1 => Some(Obstacle::OneAcknowledgement(acks)),
        _ if receiving < acks as usize => Some(Obstacle::TooFew(receiving, acks)),
        _ => None,
    }
}
