//! What one gateway process notices of a tablet while its sessions use it.
//!
//! Shared by all sessions and written by each of them at every statement, so it is made of atomics, each on its own and
//! relaxed: nothing is ordered by them, a reader sees values of about now, and of two sessions that note a latency at the very
//! same time one may be lost. They hold no decision back and none depends on their being exact. In a simulation, which is
//! one thread, they are plain numbers.
//!
//! Start with [`Meter`].

use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// After this long without news half of a remembered latency or rate is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(2);
/// The rate is counted in thousandths of a statement for each second.
const RATE_UNIT: u64 = 1000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// A handle to one tablet's gauges; copies share them. Two are equal whatever they show: a gauge that moves is no news.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Gauges>);

impl PartialEq for Meter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Meter {}

#[derive(Debug, Default)]
struct Gauges {
    /// Connections lent or asked for.
    leases: AtomicU32,
    /// Statements that run.
    running: AtomicU32,
    /// When one last began on an idle tablet or was answered, in nanoseconds.
    moved_at: AtomicU64,
    /// Statements since the start.
    requests: AtomicU64,
    /// Statements in a row that the server could not serve.
    failures: AtomicU32,
    /// Microseconds to the first byte of an answer: a peak, and then an average that forgets it.
    latency: Fading,
    /// Statements per second, in thousandths.
    rate: Fading,
}

/// A number that halves with time: value and millisecond of its last change in one word, so that they fit together.
#[derive(Debug, Default)]
struct Fading(AtomicU64);

impl Fading {
    fn parts(&self) -> (u64, u32) {
        let word = self.0.load(Relaxed);
        (word >> 32, word as u32)
    }

    fn at(&self, now: Instant) -> u64 {
        let (value, since) = self.parts();
        faded(value, age(since, now))
    }

    fn set(&self, now: Instant, value: u64) {
        let value = value.min(u64::from(u32::MAX));
        self.0.store(value << 32 | u64::from(millis(now)), Relaxed);
    }
}

/// Wraps after 49 days.
fn millis(at: Instant) -> u32 {
    (at.0 / NANOS_PER_MILLI) as u32
}

/// Milliseconds since then; none when another thread, whose time is a little later, has been there meanwhile. What nobody
/// touches for 25 days looks young again, once.
fn age(since: u32, now: Instant) -> u32 {
    let age = millis(now).wrapping_sub(since);
    if age > u32::MAX / 2 { 0 } else { age }
}

/// Halved once for each half-life; in between `2^-x` is taken as `1 - 0.693 x + 0.193 x^2`, which is off by 0.6 % at most.
fn faded(value: u64, millis: u32) -> u64 {
    let half_life = HALF_LIFE.as_millis() as u64;
    let (halvings, rest) = (u64::from(millis) / half_life, u64::from(millis) % half_life);
    let whole = value.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0);
    // Below 2^64: 2^32 * 2000 * 1.4 million.
    whole - whole * rest * (693 * half_life - 193 * rest) / (1000 * half_life * half_life)
}

/// What a meter shows, for those who decide on outliers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    /// Statements since the start.
    pub requests: u64,
    /// Statements in a row that the server could not serve.
    pub failures: u32,
    /// Statements that run.
    pub running: u32,
    /// How long nothing has been answered although statements run.
    pub stalled: Duration,
    /// Time to the first byte of an answer, lately.
    pub latency: Duration,
}

impl Meter {
    /// A session asks for a connection; it counts until the guard is dropped.
    #[must_use]
    pub fn lease(&self) -> Leased {
        self.0.leases.fetch_add(1, Relaxed);
        Leased(self.clone())
    }

    /// A statement is sent; it counts as running until the guard is dropped. Its time counts unless it waits for something
    /// else than the server's work.
    #[must_use]
    pub fn begin(&self, now: Instant, timed: bool) -> Running {
        let gauges = &self.0;
        if gauges.running.fetch_add(1, Relaxed) == 0 {
            gauges.moved_at.store(now.0, Relaxed);
        }
        gauges.requests.fetch_add(1, Relaxed);
        // At a steady rate r, what one half-life adds is what it takes: r units in HALF_LIFE / ln 2 seconds.
        let one = RATE_UNIT * 693 / HALF_LIFE.as_millis() as u64;
        gauges.rate.set(now, gauges.rate.at(now) + one);
        Running { meter: self.clone(), begun: timed.then_some(now) }
    }

    /// Connections that this gateway's sessions have or have asked for.
    #[must_use]
    pub fn leases(&self) -> u32 {
        self.0.leases.load(Relaxed)
    }

    /// Time to the first byte of an answer: at least what the slowest took lately. Fades to 0 when nothing is answered.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Duration {
        Duration::from_micros(self.0.latency.at(now))
    }

    /// Statements per second over the last seconds, in thousandths.
    #[must_use]
    pub fn rate_milli(&self, now: Instant) -> u64 {
        self.0.rate.at(now)
    }

    /// What it shows now.
    #[must_use]
    pub fn sample(&self, now: Instant) -> Sample {
        let running = self.0.running.load(Relaxed);
        let moved_at = Instant(self.0.moved_at.load(Relaxed));
        Sample {
            requests: self.0.requests.load(Relaxed),
            failures: self.0.failures.load(Relaxed),
            running,
            stalled: if running > 0 { now.since(moved_at) } else { Duration::ZERO },
            latency: self.latency(now),
        }
    }

    fn note_latency(&self, now: Instant, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        let (value, since) = self.0.latency.parts();
        let kept = faded(value, age(since, now));
        // What has faded away is filled up by what is seen now.
        let average = kept + took * (value - kept) / value.max(1);
        self.0.latency.set(now, average.max(took));
    }
}

/// A connection that counts. See [`Meter::lease`].
#[derive(Debug)]
pub struct Leased(Meter);

impl Leased {
    /// Whose it is.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.0
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.0.0.leases.fetch_sub(1, Relaxed);
    }
}

/// A statement that runs. See [`Meter::begin`].
#[derive(Debug)]
pub struct Running {
    meter: Meter,
    /// When it was sent, until its answer begins.
    begun: Option<Instant>,
}

impl Running {
    /// The server answers; of more than one piece only the first counts.
    pub fn answered(&mut self, now: Instant) {
        self.meter.0.moved_at.store(now.0, Relaxed);
        if let Some(begun) = self.begun.take() {
            self.meter.note_latency(now, now.since(begun));
            self.meter.0.failures.store(0, Relaxed);
        }
    }

    /// The server could not serve it.
    pub fn failed(&mut self) {
        if self.begun.take().is_some() {
            self.meter.0.failures.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.meter.0.running.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant(millis * NANOS_PER_MILLI)
    }

    fn answer(meter: &Meter, from: u64, took: u64) {
        meter.begin(at(from), true).answered(at(from + took));
    }

    #[test]
    fn guards_count_while_they_live() {
        let meter = Meter::default();
        let (lease, running) = (meter.clone().lease(), meter.begin(at(5), true));
        assert_eq!((meter.leases(), meter.sample(at(9)).running), (1, 1));
        assert_eq!(meter.sample(at(9)).stalled, Duration::from_millis(4));
        drop((lease, running));
        assert_eq!((meter.leases(), meter.sample(at(9)).running, meter.sample(at(9)).requests), (0, 0, 1));
    }

    #[test]
    fn latency_jumps_to_a_peak_and_comes_down_slowly() {
        let meter = Meter::default();
        let latency = |now| meter.latency(at(now)).as_millis();
        for n in 0..200 {
            answer(&meter, n * 10, 2);
        }
        assert_eq!(latency(1992), 2);
        answer(&meter, 2000, 100);
        assert_eq!(latency(2100), 100);
        for n in 211..411 {
            answer(&meter, n * 10, 2);
        }
        assert!((48..54).contains(&latency(4102)), "half of it is forgotten after a half-life: {}", latency(4102));
        assert!(latency(4102 + 60_000) == 0, "an idle tablet is tried again");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let meter = Meter::default();
        for n in 0..2000 {
            answer(&meter, n * 10, 1);
        }
        let rate = meter.rate_milli(at(20_000));
        assert!((95_000..105_000).contains(&rate), "100 per second: {rate}");
        assert!(meter.rate_milli(at(22_000)) <= rate / 2 + 1);
    }

    #[test]
    fn failures_count_in_a_row_and_only_once_each() {
        let meter = Meter::default();
        for expected in 1..4 {
            let mut running = meter.begin(at(1), true);
            running.failed();
            running.failed();
            assert_eq!(meter.sample(at(1)).failures, expected);
        }
        answer(&meter, 2, 1);
        assert_eq!(meter.sample(at(3)).failures, 0);
    }
}
