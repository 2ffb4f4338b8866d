//! What an orchestrator counts of its work.

use crate::histogram::Histogram;
use crate::orch::analysis::Code;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Why a primary is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Analysis {
    /// Somebody wants it.
    Planned,
    /// This was found.
    Found(Code),
}

impl Analysis {
    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "Planned",
            Self::Found(code) => code.name(),
        }
    }
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// There is a primary.
    Settled,
    /// Another orchestrator had begun a later one.
    Superseded,
    /// The shard's lock was lost: who has it now goes on.
    LostLock,
    /// It was not begun: what was open on the primary did not end in time, or nobody could take its place.
    Declined,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Settled, Self::Superseded, Self::LostLock, Self::Declined];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Superseded => "superseded",
            Self::LostLock => "lost_lock",
            Self::Declined => "declined",
        }
    }
}

/// Totals since the orchestrator was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Changes of primary.
    pub changes: BTreeMap<(Analysis, Ending), u64>,
    /// From the beginning of a change to a primary that leads: of those that settled.
    pub change_time: Histogram,
    /// What was found to be wrong; as often as it had not been so before.
    pub found: BTreeMap<Code, u64>,
    /// How often nobody could be promoted safely.
    pub undecided: u64,
    under_way: Option<(Analysis, Instant)>,
}

impl Counters {
    pub(super) fn begun(&mut self, now: Instant, analysis: Analysis) {
        self.under_way = Some((analysis, now));
    }

    /// The change under way has ended, if there is one: at `now`, if with a primary.
    pub(super) fn ended(&mut self, now: Option<Instant>, ending: Ending) {
        let Some((analysis, since)) = self.under_way.take() else { return };
        *self.changes.entry((analysis, ending)).or_default() += 1;
        if let Some(now) = now {
            self.change_time.observe(now.since(since));
        }
    }

    pub(super) fn declined(&mut self) {
        *self.changes.entry((Analysis::Planned, Ending::Declined)).or_default() += 1;
    }

    pub(super) fn found(&mut self, code: Code) {
        *self.found.entry(code).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_change_is_counted_once_by_why_it_began_and_how_it_ended() {
        let mut counters = Counters::default();
        let (dead, at) = (Analysis::Found(Code::DeadPrimary), |ms: u64| Instant(ms * 1_000_000));
        counters.ended(None, Ending::LostLock);
        assert_eq!(counters, Counters::default(), "none was under way");
        counters.begun(at(1), dead);
        counters.ended(Some(at(31)), Ending::Settled);
        counters.ended(None, Ending::LostLock);
        counters.begun(at(40), Analysis::Planned);
        counters.ended(None, Ending::Superseded);
        counters.declined();
        let expected = [
            ((Analysis::Planned, Ending::Superseded), 1),
            ((Analysis::Planned, Ending::Declined), 1),
            ((dead, Ending::Settled), 1),
        ];
        assert_eq!(counters.changes, BTreeMap::from(expected));
        assert_eq!(counters.change_time.sum, Duration::from_millis(30), "only of the one that settled");
    }
}
