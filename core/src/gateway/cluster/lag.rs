//! How far a replica is behind, by heartbeats.
//!
//! Heartbeats are numbers ([`crate::tablet::heartbeat`]); their times are when this gateway first heard of them from anybody, by
//! its own steady clock. A replica that lacks a beat is behind by the time since that beat was first heard of: so no clock is
//! compared with another, and neither a clock that is set nor a change of primary makes a lag. What it costs: a lag is known
//! to within one heartbeat and one probe, and of beats from before this gateway's start only the interval is known.

use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Beats whose time is remembered; before that the interval tells.
const REMEMBERED_MAX: usize = 256;

/// What was heard of a shard's heartbeat. Start with [`Beats::lag`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Beats {
    /// By rising number, each with when it was first heard of.
    heard: VecDeque<(u64, Instant)>,
}

impl Beats {
    /// A tablet has this beat, as it was seen at `at`.
    pub(super) fn hear(&mut self, beat: u64, at: Instant, from_primary: bool) {
        match self.heard.back() {
            Some((newest, heard)) if beat <= *newest => {
                // The primary counts on from what it has: a new table, or a new primary that never got some of them.
                // By one less it may have been read before the newest was written.
                if from_primary && beat + 1 < *newest && at > *heard {
                    self.heard.clear();
                    self.heard.push_back((beat, at));
                }
            }
            _ => {
                self.heard.push_back((beat, at));
                if self.heard.len() > REMEMBERED_MAX {
                    self.heard.pop_front();
                }
            }
        }
    }

    /// How far a server is behind that had `beat` at `at`; `None` when no beat was ever heard of.
    pub(super) fn lag(&self, beat: u64, at: Instant, interval: Duration) -> Option<Duration> {
        let (newest, _) = self.heard.back()?;
        if beat >= *newest {
            return Some(Duration::ZERO);
        }
        let first = self.heard.partition_point(|(heard, _)| *heard <= beat);
        let (lacking, heard_at) = self.heard[first];
        let unheard = u32::try_from(lacking - beat - 1).unwrap_or(u32::MAX);
        Some(at.since(heard_at).saturating_add(interval.saturating_mul(unheard)))
    }

    /// When the newest was first heard of.
    pub(super) fn newest_at(&self) -> Option<Instant> {
        self.heard.back().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + SECOND * seconds as u32
    }

    fn beats(from: u64, to: u64) -> Beats {
        let mut beats = Beats::default();
        (from..=to).for_each(|n| beats.hear(n, at(n), true));
        beats
    }

    #[test]
    fn a_replica_is_behind_since_the_first_beat_it_lacks() {
        let beats = beats(10, 20);
        for (beat, seen_at, lag) in [(20, 25, 0), (21, 25, 0), (19, 20, 0), (19, 23, 3), (12, 20, 7), (5, 20, 14)] {
            assert_eq!(beats.lag(beat, at(seen_at), SECOND), Some(SECOND * lag), "beat {beat} at {seen_at}");
        }
        assert_eq!(Beats::default().lag(7, at(9), SECOND), None);
    }

    #[test]
    fn beats_older_than_what_is_remembered_count_by_the_interval() {
        let beats = beats(1, 2000);
        assert_eq!(beats.lag(500, at(2000), SECOND), Some(SECOND * 1499));
        assert_eq!(beats.heard.len(), REMEMBERED_MAX);
    }

    #[test]
    fn the_primarys_word_begins_anew_and_a_late_one_does_not() {
        let mut heard = beats(10, 20);
        heard.hear(19, at(30), true);
        heard.hear(15, at(20), true);
        heard.hear(12, at(30), false);
        assert_eq!(heard.lag(19, at(30), SECOND), Some(SECOND * 10), "nothing changed");
        heard.hear(3, at(30), true);
        assert_eq!(heard.lag(3, at(31), SECOND), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn more_beats_never_mean_more_lag(a in 0u64..40, b in 0u64..40, seen_at in 0u64..60) {
            let beats = beats(10, 30);
            let lag = |beat| beats.lag(beat, at(seen_at), SECOND).expect("beats were heard");
            prop_assert!(lag(a.max(b)) <= lag(a.min(b)));
        }
    }
}
