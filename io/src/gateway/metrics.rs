//! What a gateway tells Prometheus: from the counters that `SHOW WEIR ...` shows, and what statements came to.

use super::traced::Traced;
use super::{Shared, Tablet};
use crate::audit;
use crate::clock;
use crate::metrics::{BUFFERED, Metric, Page, REFUSED, Value, ended};
use crate::tablet::metrics::{Seen, pool};
use crate::traces;
use std::sync::atomic::Ordering;
use weir_core::gateway::session::{Reason, Replayed};
use weir_core::time::Instant;

pub(super) fn fill(shared: &Shared, page: &mut Page) {
    shared.statements.fill(page);
    clients(shared, page);
    buffer(shared, page);
    for what in Replayed::ALL {
        let count = shared.counters.replayed[*what as usize].load(Ordering::Relaxed);
        page.add(Metric::Replays, &[Value::Is(what.outcome())], count);
    }
    tablets(shared, page);
    audit::fill(shared.audit.as_ref(), page);
    traces::fill(shared.traced.as_ref().map(Traced::tracer), page);
}

fn clients(shared: &Shared, page: &mut Page) {
    let counters = &shared.counters;
    let (now, limits) = {
        let admission = shared.admission();
        (admission.connections(), admission.limits())
    };
    page.add(Metric::Clients, &[], now);
    page.add(Metric::ClientsMax, &[], limits.connections_max);
    page.add(Metric::ClientsAccepted, &[], counters.accepted.load(Ordering::Relaxed));
    let before = [&counters.over_limit, &counters.without_header].map(|count| count.load(Ordering::Relaxed));
    for (cause, count) in REFUSED.into_iter().zip(before.into_iter().chain([counters.ended(Reason::Refused)])) {
        page.add(Metric::ClientsRefused, &[Value::Is(cause)], count);
    }
    for reason in ended() {
        page.add(Metric::SessionsEnded, &[Value::Is(reason.name())], counters.ended(reason));
    }
}

fn buffer(shared: &Shared, page: &mut Page) {
    let (counters, (waiting, bytes), config) = shared.waiters.told();
    let counts = [counters.held, counters.resumed, counters.late, counters.refused];
    for (event, count) in BUFFERED.into_iter().zip(counts) {
        page.add(Metric::Buffered, &[Value::Is(event)], count);
    }
    page.add(Metric::BufferWaiting, &[], waiting);
    page.add(Metric::BufferWaitingMax, &[], config.buffer_max_sessions);
    page.add(Metric::BufferBytes, &[], bytes);
    page.add(Metric::BufferBytesMax, &[], config.buffer_max_bytes);
}

/// As this gateway sees them. What is in this process tells of its pool, too; others do so themselves.
fn tablets(shared: &Shared, page: &mut Page) {
    let (view, now) = (shared.view(), clock::now());
    for tablet in view.tablets() {
        let (alias, sample) = (Value::Tablet(&tablet.alias), tablet.meter.sample(now));
        page.add(Metric::TabletRequests, &[alias], sample.requests);
        page.add(Metric::TabletRunning, &[alias], sample.running);
        page.add(Metric::TabletLeases, &[alias], tablet.meter.leases());
        let seen = Seen {
            role: tablet.role,
            serves: tablet.serving.is_yes(),
            term: tablet.term,
            lag: tablet.lag.map(|lag| (lag, tablet.lag_by)),
            position_age: (tablet.observed_at > Instant::ZERO).then(|| now.since(tablet.observed_at)),
        };
        seen.fill(&tablet.alias, page);
        if let Some(Tablet::Local(tablet)) = shared.tablet(tablet.id) {
            pool(&tablet, page);
        }
    }
}
