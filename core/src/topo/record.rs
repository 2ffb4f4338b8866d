//! What is kept of a shard: its term, who holds it, and the last verdict.

use super::discover::{Conflict, Evidence, Note, Primary, Verdict, discover_broken};
use super::{Keyspace, Role, Shard, TabletAlias};
use crate::mutants::Mutants;
use crate::time::Instant;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A shard's entry in the embedded topology.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardRecord {
    /// The keyspace it is a part of.
    pub keyspace: Keyspace,
    /// Its name.
    pub shard: Shard,
    /// Counts the primaries it has had. 0 before the first; a tablet that comes back from being held or gone keeps its term.
    pub term: u64,
    /// Who is or was primary in this term. Not forgotten while there is no primary.
    pub holder: Option<TabletAlias>,
    /// The last verdict.
    pub verdict: Verdict,
    /// The last judgement changed nothing: from the same evidence another would not, either.
    #[serde(skip)]
    settled: bool,
}

/// Something that changed in a shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Change {
    /// Who is primary, or whether it serves. The term is higher than before if it is another tablet than the last holder.
    Primary {
        /// The term from now on.
        term: u64,
        /// Until now.
        before: Primary,
        /// From now on.
        after: Primary,
    },
    /// A tablet's role.
    Role {
        /// Whose.
        tablet: TabletAlias,
        /// Until now.
        before: Role,
        /// From now on.
        after: Role,
    },
    /// Something an operator should look at began.
    Noted(Note),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary { term, before, after } => write!(f, "term {term}: primary was {before}, is {after}"),
            Self::Role { tablet, before, after } => write!(f, "{tablet} was {before}, is {after}"),
            Self::Noted(note) => write!(f, "{note}"),
        }
    }
}

impl ShardRecord {
    /// A shard of which nothing is known yet.
    #[must_use]
    pub fn new(keyspace: Keyspace, shard: Shard) -> Self {
        let primary = Primary::None(Conflict::NothingSeen);
        let verdict = Verdict { primary, roles: BTreeMap::new(), notes: Vec::new() };
        Self { keyspace, shard, term: 0, holder: None, verdict, settled: false }
    }

    /// Who takes writes in this term.
    #[must_use]
    pub fn serving_primary(&self) -> Option<&TabletAlias> {
        self.verdict.primary.serving()
    }

    /// A tablet's role; UNKNOWN for one that is not of the shard.
    #[must_use]
    pub fn role(&self, tablet: &TabletAlias) -> Role {
        self.verdict.roles.get(tablet).copied().unwrap_or_default()
    }

    /// Judges the evidence as of `now`, keeps the verdict, and says what changed: roles in order of alias, then the primary,
    /// then notes. To be called whenever a tablet answered, failed to, was added or was removed.
    pub fn judge(&mut self, now: Instant, evidence: &Evidence) -> Vec<Change> {
        self.judge_broken(now, evidence, Mutants::NONE)
    }

    /// The same, by rules of which one may be broken.
    pub fn judge_broken(&mut self, now: Instant, evidence: &Evidence, mutants: Mutants) -> Vec<Change> {
        let verdict = discover_broken(now, evidence, self.holder.as_ref(), &self.verdict.roles, mutants);
        let before = core::mem::replace(&mut self.verdict, verdict);
        self.advance_term();
        let changes = self.changes_since(before);
        self.settled = changes.is_empty();
        changes
    }

    /// As [`Self::judge`], when all that has happened is that a tablet answered; `repeated` is what [`Sighting::answered`]
    /// returned. Most answers say what was said before: then nothing has to be judged.
    ///
    /// [`Sighting::answered`]: super::Sighting::answered
    pub fn judge_answer(&mut self, now: Instant, evidence: &Evidence, repeated: bool) -> Vec<Change> {
        if repeated && self.settled && evidence.values().all(|sighting| sighting.is_plain(now)) {
            debug_assert!(self.clone().judge(now, evidence).is_empty(), "the same evidence is judged in the same way");
            return Vec::new();
        }
        self.judge(now, evidence)
    }

    fn advance_term(&mut self) {
        if let Some(primary) = self.verdict.primary.tablet().filter(|primary| self.holder.as_ref() != Some(*primary)) {
            self.holder = Some(primary.clone());
            self.term += 1;
        }
    }

    fn changes_since(&self, before: Verdict) -> Vec<Change> {
        let mut changes = Vec::new();
        let tablets: BTreeMap<_, _> = before.roles.iter().chain(&self.verdict.roles).collect();
        for tablet in tablets.into_keys() {
            let (before, after) = (before.roles.get(tablet).copied().unwrap_or_default(), self.role(tablet));
            if before != after {
                changes.push(Change::Role { tablet: tablet.clone(), before, after });
            }
        }
        if before.primary != self.verdict.primary {
            changes.push(Change::Primary {
                term: self.term,
                before: before.primary,
                after: self.verdict.primary.clone(),
            });
        }
        let new_notes = self.verdict.notes.iter().filter(|note| !before.notes.contains(note));
        changes.extend(new_notes.cloned().map(Change::Noted));
        changes
    }
}
