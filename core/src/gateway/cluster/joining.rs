//! A replica that joins the ones that serve, at the gateway's start or after it was away, gets no reads before it has what its
//! primary had by then. What it lacks may be hours old, and a lag is known only once it has been heard of for a while.

use crate::gtid::Position;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// A replica that has not caught up after so long gets reads all the same, as far as `max_replication_lag` allows: its
/// replication may have stopped for good, and that is what the limit is for.
pub(super) const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// How far one tablet has come.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) enum Joining {
    /// It does not serve.
    #[default]
    Away,
    /// It serves, and what its primary has is not known yet.
    Met(Instant),
    /// It lacks something of this.
    Behind(Instant, Position),
    /// It had everything, or had its time.
    Joined,
}

impl Joining {
    /// Looks at it again: whether it serves and where it is, and where its primary is, if that serves. When it does not, old
    /// data is better than none.
    pub(super) fn look(&mut self, now: Instant, serves: bool, position: &Position, primary: Option<&Position>) {
        let has = |all: &Position| position.contains(all).unwrap_or(true);
        *self = match (std::mem::take(self), primary) {
            _ if !serves => Self::Away,
            (Self::Met(since) | Self::Behind(since, _), _) if since + CATCH_UP_MAX <= now => Self::Joined,
            (Self::Behind(since, _), None) => Self::Met(since),
            (Self::Behind(_, all), _) if has(&all) => Self::Joined,
            (Self::Away | Self::Met(_), Some(all)) if has(all) => Self::Joined,
            (Self::Away, Some(all)) => Self::Behind(now, all.clone()),
            (Self::Met(since), Some(all)) => Self::Behind(since, all.clone()),
            (Self::Away, None) => Self::Met(now),
            (unchanged, _) => unchanged,
        };
    }

    pub(super) const fn is_behind(&self) -> bool {
        matches!(self, Self::Behind(..))
    }

    /// When it gets reads at the latest.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        if let Self::Behind(since, _) = self { Some(*since + CATCH_UP_MAX) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gtid::Flavor;

    fn at(seconds: u32) -> Instant {
        Instant::ZERO + Duration::from_secs(1) * seconds
    }

    fn writes(n: u64) -> Position {
        Position::mariadb(0, 1, n)
    }

    #[test]
    fn who_joins_needs_what_the_primary_had_then_and_no_more() {
        let mut joining = Joining::default();
        joining.look(at(1), true, &writes(5), Some(&writes(7)));
        assert!(joining.is_behind());
        joining.look(at(2), true, &writes(6), Some(&writes(9)));
        assert!(joining.is_behind());
        joining.look(at(3), true, &writes(7), Some(&writes(20)));
        assert!(!joining.is_behind());
        joining.look(at(4), true, &writes(7), Some(&writes(90)));
        assert!(!joining.is_behind(), "how late it may be from now on is another rule's");
        joining.look(at(5), false, &writes(7), Some(&writes(90)));
        joining.look(at(6), true, &writes(7), Some(&writes(90)));
        assert!(joining.is_behind(), "it was away");
    }

    #[test]
    fn without_a_primary_nobody_is_behind_and_with_one_that_comes_soon_it_is() {
        let mut joining = Joining::default();
        joining.look(at(1), true, &writes(5), None);
        assert!(!joining.is_behind());
        joining.look(at(3), true, &writes(5), Some(&writes(7)));
        assert!(joining.is_behind());
        assert_eq!(joining.ends_at(), Some(at(11)));
        joining.look(at(11), true, &writes(5), Some(&writes(7)));
        assert!(!joining.is_behind(), "it had its time");
        let mut joining = Joining::default();
        joining.look(at(1), true, &writes(5), Some(&writes(7)));
        joining.look(at(2), true, &writes(5), None);
        assert!(!joining.is_behind(), "the primary is gone");
        let mut joining = Joining::default();
        joining.look(at(1), true, &writes(5), None);
        joining.look(at(12), true, &writes(5), Some(&writes(7)));
        assert!(!joining.is_behind(), "it has served for long");
    }

    #[test]
    fn positions_that_cannot_be_compared_keep_nobody_out() {
        let mut joining = Joining::default();
        let other = Position::parse(Flavor::MySql, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5").expect("a set");
        joining.look(at(1), true, &other, Some(&writes(7)));
        assert!(!joining.is_behind());
    }
}
