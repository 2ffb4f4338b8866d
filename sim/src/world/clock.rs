//! What a host believes the time to be.
//!
//! Each host has a monotonic clock that runs a little too fast or too slow, and a wall clock that is off by some
//! amount and may jump. True time is known to the world alone.

use weir_core::time::{Duration, Instant};

const BILLION: i128 = 1_000_000_000;

/// A host's clocks as functions of true time.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock {
    /// How much faster than true time the monotonic clock runs, in parts per billion (negative: slower).
    drift_ppb: i64,
    /// True time and local time at which the drift last changed.
    anchor_true: Instant,
    anchor_local: Instant,
    /// Wall clock minus true time, in nanoseconds.
    wall_offset_ns: i64,
}

impl HostClock {
    /// The monotonic clock at true time `now`.
    #[must_use]
    pub fn local(&self, now: Instant) -> Instant {
        if self.drift_ppb == 0 && self.anchor_local == self.anchor_true {
            return now;
        }
        let elapsed = i128::from(now.0 - self.anchor_true.0);
        let local = elapsed * (BILLION + i128::from(self.drift_ppb)) / BILLION;
        Instant(self.anchor_local.0.saturating_add(u64::try_from(local).unwrap_or(u64::MAX)))
    }

    /// The earliest true time at which the monotonic clock shows `local` or later.
    #[must_use]
    pub fn to_true(&self, local: Instant) -> Instant {
        if self.drift_ppb == 0 && self.anchor_local == self.anchor_true {
            return local;
        }
        let wanted = i128::from(local.0.saturating_sub(self.anchor_local.0));
        let rate = BILLION + i128::from(self.drift_ppb);
        let elapsed = (wanted * BILLION + rate - 1) / rate;
        Instant(self.anchor_true.0.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX)))
    }

    /// Nanoseconds since the simulated epoch, as the wall clock shows them.
    #[must_use]
    pub fn wall(&self, now: Instant) -> i64 {
        i64::try_from(self.local(now).0).unwrap_or(i64::MAX).saturating_add(self.wall_offset_ns)
    }

    /// Changes the speed of the monotonic clock from `now` on. It never jumps.
    pub fn set_drift(&mut self, now: Instant, ppb: i64) {
        debug_assert!(i128::from(ppb) > -BILLION, "a clock does not run backwards");
        self.anchor_local = self.local(now);
        self.anchor_true = now;
        self.drift_ppb = ppb;
    }

    /// Moves the wall clock by `by` nanoseconds.
    pub fn jump(&mut self, by: i64) {
        self.wall_offset_ns = self.wall_offset_ns.saturating_add(by);
    }

    /// How long `span` of local time takes in true time.
    #[must_use]
    pub fn true_span(&self, now: Instant, span: Duration) -> Duration {
        self.to_true(self.local(now) + span).since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_reaches_a_deadline_early_and_never_before_it_shows_it() {
        let mut clock = HostClock::default();
        clock.set_drift(Instant(1_000), 500_000_000);
        assert_eq!(clock.local(Instant(3_000)), Instant(4_000));
        for local in 1_001..2_000 {
            let at = clock.to_true(Instant(local));
            assert!(clock.local(at) >= Instant(local));
            assert!(clock.local(Instant(at.0 - 1)) < Instant(local));
        }
    }

    #[test]
    fn changing_the_drift_does_not_move_the_monotonic_clock() {
        let mut clock = HostClock::default();
        clock.set_drift(Instant(0), 1_000_000);
        let before = clock.local(Instant(5_000_000));
        clock.set_drift(Instant(5_000_000), -1_000_000);
        assert_eq!(clock.local(Instant(5_000_000)), before);
    }

    #[test]
    fn the_wall_clock_jumps_and_the_monotonic_one_does_not() {
        let mut clock = HostClock::default();
        clock.jump(-50);
        assert_eq!(clock.wall(Instant(20)), -30);
        assert_eq!(clock.local(Instant(20)), Instant(20));
    }
}
