//! Durability policies: which servers must have a write before it is acknowledged, and so, which servers must be asked
//! to be sure to find it again.

use crate::topo::TabletAlias;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Servers of a shard.
pub type Tablets = BTreeSet<TabletAlias>;

/// Who must have a write before its client hears OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Policy {
    /// The primary alone. A failover without it may lose acknowledged writes; who chooses this policy accepts that.
    None,
    /// The primary and this many replicas (MariaDB offers one).
    SemiSync {
        /// At least 1.
        acks: u32,
    },
    /// The primary and a replica in another cell.
    CrossCell,
}

impl Policy {
    /// Whether a write of `primary` that these replicas have received may be acknowledged.
    #[must_use]
    pub fn is_acknowledged_by(self, primary: &TabletAlias, replicas: &Tablets) -> bool {
        let mut others = replicas.iter().filter(|replica| *replica != primary);
        match self {
            Self::None => true,
            Self::SemiSync { acks } => others.count() >= acks.max(1) as usize,
            Self::CrossCell => others.any(|replica| replica.cell != primary.cell),
        }
    }

    /// Whether every write that `primary` can have acknowledged is on one of the recruited, and it can acknowledge
    /// none any more: the rest of the cohort is not enough to acknowledge anything without them.
    #[must_use]
    pub fn is_covered_by(self, cohort: &Tablets, primary: &TabletAlias, recruited: &Tablets) -> bool {
        let rest = cohort.difference(recruited).cloned().collect();
        recruited.contains(primary) || !self.is_acknowledged_by(primary, &rest)
    }

    /// Whether a replica's acknowledgement counts for this primary: the others have semi-sync off.
    #[must_use]
    pub fn counts(self, primary: &TabletAlias, replica: &TabletAlias) -> bool {
        match self {
            Self::None => false,
            Self::SemiSync { .. } => primary != replica,
            Self::CrossCell => primary.cell != replica.cell,
        }
    }

    /// Acknowledgements for which the primary's server waits; 0 is asynchronous.
    #[must_use]
    pub fn acks(self) -> u32 {
        match self {
            Self::None => 0,
            Self::SemiSync { acks } => acks.max(1),
            Self::CrossCell => 1,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::SemiSync { acks } => write!(f, "semi_sync ({acks} acks)"),
            Self::CrossCell => f.write_str("cross_cell"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICIES: [Policy; 5] = [
        Policy::None,
        Policy::SemiSync { acks: 1 },
        Policy::SemiSync { acks: 2 },
        Policy::SemiSync { acks: 3 },
        Policy::CrossCell,
    ];

    /// Every cohort of 1 to 5 servers in up to 3 cells, and no two alike but for names.
    fn cohorts() -> impl Iterator<Item = Vec<TabletAlias>> {
        (1..=5_u32).flat_map(|size| {
            (0..3_u32.pow(size)).map(move |cells| {
                let name = |uid: u32| format!("cell{}-{uid}", cells / 3_u32.pow(uid) % 3).parse().expect("an alias");
                (0..size).map(name).collect()
            })
        })
    }

    fn subset(cohort: &[TabletAlias], bits: u32) -> Tablets {
        (0..cohort.len()).filter(|at| bits & (1 << at) != 0).map(|at| cohort[at].clone()).collect()
    }

    /// What must hold, word for word: each set that can acknowledge has a member among the recruited.
    fn meets_every_quorum(policy: Policy, cohort: &[TabletAlias], recruited: &Tablets) -> bool {
        let primary = &cohort[0];
        (0..1 << cohort.len()).map(|bits| subset(cohort, bits)).all(|acknowledging| {
            let is_quorum = acknowledging.contains(primary) && policy.is_acknowledged_by(primary, &acknowledging);
            !is_quorum || !acknowledging.is_disjoint(recruited)
        })
    }

    #[test]
    fn the_recruited_cover_what_was_acknowledged_exactly_when_they_meet_every_quorum() {
        let (mut covered, mut not) = (0, 0);
        for cohort in cohorts() {
            let all: Tablets = cohort.iter().cloned().collect();
            for (policy, bits) in POLICIES.into_iter().flat_map(|p| (0..1 << cohort.len()).map(move |bits| (p, bits))) {
                let recruited = subset(&cohort, bits);
                let said = policy.is_covered_by(&all, &cohort[0], &recruited);
                assert_eq!(said, meets_every_quorum(policy, &cohort, &recruited), "{policy} {cohort:?} {recruited:?}");
                *(if said { &mut covered } else { &mut not }) += 1;
            }
        }
        assert!(covered > 1_000 && not > 1_000, "{covered} {not}");
    }

    #[test]
    fn only_replicas_whose_acknowledgement_counts_make_a_difference() {
        for cohort in cohorts() {
            let primary = &cohort[0];
            for (policy, bits) in POLICIES.into_iter().flat_map(|p| (0..1 << cohort.len()).map(move |bits| (p, bits))) {
                let replicas = subset(&cohort, bits);
                let count = replicas.iter().filter(|replica| policy.counts(primary, replica)).count();
                let enough = count >= policy.acks() as usize;
                assert_eq!(enough, policy.is_acknowledged_by(primary, &replicas), "{policy} {primary} {replicas:?}");
            }
        }
    }

    #[test]
    fn with_k_acks_of_n_replicas_all_but_k_minus_1_must_be_recruited() {
        let cohort: Tablets = (0..5).map(|uid| format!("a-{uid}").parse().expect("an alias")).collect();
        let primary: TabletAlias = "a-0".parse().expect("an alias");
        for acks in 1..=4 {
            for n in 1..=4 {
                let recruited = cohort.iter().skip(1).take(n).cloned().collect();
                let covered = Policy::SemiSync { acks }.is_covered_by(&cohort, &primary, &recruited);
                assert_eq!(covered, n as u32 > 4 - acks);
            }
        }
    }
}
