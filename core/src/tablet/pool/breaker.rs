//! When opening may be tried again after a failure.

use crate::error::Error;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Consecutive failures to open, and the pause they ask for.
#[derive(Debug)]
pub(super) struct Breaker {
    rng: Rng,
    failures: u32,
    retry_at: Instant,
    error: Option<Error>,
}

impl Breaker {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, failures: 0, retry_at: Instant::ZERO, error: None }
    }

    /// An attempt succeeded: no pause is needed.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.error = None;
    }

    /// An attempt failed: pause for twice as long as last time, less up to half of it by chance.
    pub(super) fn failed(&mut self, now: Instant, error: Error, pause_min: Duration, pause_max: Duration) {
        // Attempts that were under way together count as one failure.
        if !self.pauses(now) {
            let pause = pause_min.saturating_mul(1 << self.failures.min(20)).min(pause_max);
            let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX).max(2);
            self.failures += 1;
            self.retry_at = now + Duration::from_nanos(nanos - self.rng.below(nanos / 2));
        }
        self.error = Some(error);
    }

    /// How many attempts may be under way: after a failure one at a time, until it succeeds.
    pub(super) fn attempts_max(&self, now: Instant, opening_max: u32) -> u32 {
        match self.failures {
            0 => opening_max.max(1),
            _ if self.pauses(now) => 0,
            _ => 1,
        }
    }

    /// Opening failed last, and it is too early to try again.
    pub(super) fn pauses(&self, now: Instant) -> bool {
        self.failures > 0 && now < self.retry_at
    }

    /// When the pause ends, if opening failed last.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        (self.failures > 0).then_some(self.retry_at)
    }

    /// Why opening failed last, when it did.
    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}
