//! What statements came to, by form: a table for each thread, which nobody else touches but who asks for a summary.
//!
//! A thread has its table's lock nearly always at once: whoever asks holds it for as long as it takes to copy the places, and not their
//! texts.

use super::Shared;
use crate::admin::messages as pb;
use crate::clock;
use crate::metrics::{STRIPES_MAX, stripe};
use std::array::from_fn;
use std::cmp::Reverse;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use weir_core::gateway::digests::{Digest, Digests, Summary, Totals};
use weir_core::gateway::session::{Outcome, Session, Trace};
use weir_core::sql::Fingerprint;
use weir_core::time::Instant;

/// On cache lines of its own.
#[repr(align(128))]
struct Table(Mutex<Digests>);

/// The digests of a gateway.
pub(super) struct Counted {
    /// Forms that a thread keeps; 0: nothing is counted.
    forms_max: usize,
    /// Each is there once its thread has counted.
    tables: [OnceLock<Box<Table>>; STRIPES_MAX],
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Digests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    pub(super) fn new(forms_max: usize) -> Self {
        Self { forms_max, tables: from_fn(|_| OnceLock::new()) }
    }

    fn count(&self, now: Instant, outcome: &Outcome, fingerprint: Fingerprint, session: &Session) {
        let table = || Box::new(Table(Mutex::new(Digests::new(self.forms_max))));
        let table = self.tables[stripe()].get_or_init(table);
        table.lock().count(now, fingerprint, outcome, || session.normal_form(fingerprint));
    }

    /// What all threads have counted.
    pub(super) fn summary(&self) -> Summary {
        // One after the other, so that no thread waits for another's.
        let tables: Vec<Summary> =
            self.tables.iter().filter_map(OnceLock::get).map(|table| table.lock().summary()).collect();
        Summary::together(tables)
    }

    /// Begins anew.
    pub(super) fn clear(&self) {
        self.tables.iter().filter_map(OnceLock::get).for_each(|table| table.lock().clear());
    }

    pub(super) const fn is_on(&self) -> bool {
        self.forms_max > 0
    }
}

impl Shared {
    /// Counts a statement of this session that has ended.
    pub(super) fn count(&self, now: Instant, outcome: &Outcome, session: &Session, trace: Option<&Trace>) {
        self.statements.count(outcome);
        if let Some(fingerprint) = outcome.fingerprint.filter(|_| self.digests.is_on()) {
            self.digests.count(now, outcome, fingerprint, session);
        }
        self.slow.look(now, outcome, session, trace);
        if let Some(trace) = trace.filter(|trace| trace.context.sampled) {
            self.tell_trace(now, outcome, session, trace);
        }
    }
}

/// What is counted now, those that took the longest together first.
pub(super) fn told(shared: &Shared) -> pb::DigestsResponse {
    let (now, Summary { mut digests, others, replaced, .. }) = (clock::now(), shared.digests.summary());
    digests.sort_by_key(|digest| (Reverse(digest.totals.time), Reverse(digest.totals.count)));
    pb::DigestsResponse {
        digests: digests.iter().map(|digest| message(now, digest)).collect(),
        others: Some(totals(&others)),
        replaced,
    }
}

fn message(now: Instant, digest: &Digest) -> pb::Digest {
    pb::Digest {
        fingerprint: digest.fingerprint.to_string(),
        statement: String::from_utf8_lossy(&digest.text).into_owned(),
        totals: Some(totals(&digest.totals)),
        missed_max: digest.missed_max,
        first_seen_seconds: now.since(digest.first_seen).as_secs_f64(),
        last_seen_seconds: now.since(digest.last_seen).as_secs_f64(),
    }
}

fn totals(totals: &Totals) -> pb::Totals {
    pb::Totals {
        count: totals.count,
        errors: totals.errors,
        seconds: totals.time.as_secs_f64(),
        seconds_max: totals.time_max.as_secs_f64(),
        rows_sent: totals.rows_sent,
        rows_affected: totals.rows_affected,
        waits: totals.waits,
        wait_seconds: totals.wait_time.as_secs_f64(),
    }
}
