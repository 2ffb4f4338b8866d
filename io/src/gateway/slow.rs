//! Statements that took long: a line of the log for each, by its form and never with its values.
//!
//! Owns what counts as long, and how many lines there may be: whoever has a thousand such statements a second wants to know the first few,
//! and that there were more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tracing::warn;
use weir_core::gateway::session::{Outcome, Session, Trace};
use weir_core::time::{Duration, Instant};

/// Lines in one second.
const LINES_MAX: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// What takes how long is told, and how much of it was of late.
#[derive(Debug)]
pub(super) struct Slow {
    /// Nanoseconds.
    from: AtomicU64,
    told: Mutex<Told>,
}

/// Of one second.
#[derive(Debug, Default)]
struct Told {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Slow {
    /// What takes `from` or longer is told; `None`: nothing is.
    pub(super) fn new(from: Option<Duration>) -> Self {
        Self { from: AtomicU64::new(nanoseconds(from)), told: Mutex::default() }
    }

    pub(super) fn set(&self, from: Option<Duration>) {
        self.from.store(nanoseconds(from), Ordering::Relaxed);
    }

    /// Tells of a statement of this session that has ended, if it took long.
    pub(super) fn look(&self, now: Instant, outcome: &Outcome, session: &Session, trace: Option<&Trace>) {
        let Some(took) = outcome.took.filter(|took| self.is_slow(*took)) else { return };
        let left_out = self.told.lock().unwrap_or_else(PoisonError::into_inner).room(now);
        match left_out {
            None => return,
            Some(0) => {}
            Some(count) => warn!(count, "more statements were slow than are told in a second"),
        }
        let form = outcome.fingerprint.and_then(|fingerprint| session.normal_form(fingerprint));
        let milliseconds = |time: Option<Duration>| time.map(|time| time.as_millis());
        warn!(
            took_ms = took.as_millis(),
            server_ms = milliseconds(outcome.server_time),
            connection_wait_ms = milliseconds(outcome.pool_wait),
            replication_wait_ms = milliseconds(outcome.sight.map(|(.., waited)| waited)),
            class = outcome.class.name(),
            plan = outcome.plan.name(),
            verdict = outcome.verdict.name(),
            retries = outcome.retries,
            rows_sent = outcome.rows_sent,
            rows_affected = outcome.rows_affected,
            user = &*String::from_utf8_lossy(session.user()),
            host = session.peer_host(),
            schema = session.schema().map(|schema| String::from_utf8_lossy(schema).into_owned()),
            trace_id = trace.map(|trace| trace.context.trace.to_string()),
            fingerprint = outcome.fingerprint.map(|fingerprint| fingerprint.to_string()),
            statement = form.map(|form| String::from_utf8_lossy(&form).into_owned()),
            "slow statement"
        );
    }

    fn is_slow(&self, took: Duration) -> bool {
        took.as_nanos() >= u128::from(self.from.load(Ordering::Relaxed))
    }
}

/// More than any statement takes, if there is no limit.
fn nanoseconds(from: Option<Duration>) -> u64 {
    from.and_then(|from| u64::try_from(from.as_nanos()).ok()).unwrap_or(u64::MAX)
}

impl Told {
    /// Takes a line, if there is one; returns how many there were not, if it is the first of another second.
    fn room(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.since(since) >= SECOND) {
            let before = std::mem::replace(self, Self { since: Some(now), lines: 1, left_out: 0 });
            return Some(before.left_out);
        }
        if self.lines == LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_next_tells_how_many_were_left_out() {
        let mut told = Told::default();
        let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
        let taken: Vec<_> = (0..15).map(|number| told.room(at(number))).collect();
        assert!(taken[..10].iter().all(|room| *room == Some(0)) && taken[10..].iter().all(Option::is_none));
        assert_eq!(told.room(at(1000)), Some(5));
        assert_eq!(told.room(at(1001)), Some(0));
    }

    #[test]
    fn without_a_limit_nothing_is_slow() {
        let slow = Slow::new(None);
        assert!(!slow.is_slow(Duration::from_secs(1_000_000)));
        slow.set(Some(Duration::from_millis(5)));
        assert!(slow.is_slow(Duration::from_millis(5)) && !slow.is_slow(Duration::from_micros(4999)));
    }
}
