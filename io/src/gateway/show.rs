//! The rows of `SHOW WEIR ...`.

use super::{Shared, Tablet};
use crate::clock;
use crate::tablet::Gauges;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use weir_core::gateway::balance;
use weir_core::gateway::cluster::TabletView;
use weir_core::gateway::processes;
use weir_core::gateway::session::Replayed;
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::resultset::{TextResultSet, TextRow};
use weir_core::sql::Show;

pub(super) fn table(shared: &Shared, viewer: &[u8], show: Show) -> TextResultSet {
    match show {
        Show::Status => status(shared),
        Show::Tablets => tablets(shared),
        Show::Pools => pools(shared),
        Show::Sessions => sessions(shared),
        Show::Connected => processes::connected(shared.admission().connections()),
        Show::Processes { full } => processes::table(clock::now(), viewer, full, shared.processes().iter()),
    }
}

fn table_of(columns: &[&str], rows: Vec<TextRow>) -> TextResultSet {
    TextResultSet { columns: columns.iter().map(|name| ColumnDefinition::text(*name)).collect(), rows }
}

fn text(value: impl ToString) -> Option<Vec<u8>> {
    Some(value.to_string().into_bytes())
}

fn status(shared: &Shared) -> TextResultSet {
    let clients = shared.admission().connections();
    let counters = &shared.counters;
    let gauges: Vec<Gauges> = shared.tablets.borrow().values().map(Tablet::gauges).collect();
    let total = |of: fn(&Gauges) -> u64| gauges.iter().map(of).sum::<u64>();
    let replayed =
        Replayed::ALL.iter().map(|what| (what.name(), counters.replayed[*what as usize].load(Ordering::Relaxed)));
    let rows: [(&str, u64); 8] = [
        ("Uptime_seconds", clock::now().since(shared.started).as_secs()),
        ("Client_connections", clients as u64),
        ("Clients_accepted", counters.accepted.load(Ordering::Relaxed)),
        ("Clients_refused", counters.refused.load(Ordering::Relaxed)),
        ("Clients_protocol_errors", counters.protocol_errors.load(Ordering::Relaxed)),
        ("Server_connections_in_use", total(|tablet| tablet.busy.into())),
        ("Kills", total(|tablet| tablet.kills)),
        ("Kills_failed", total(|tablet| tablet.kills_failed)),
    ];
    let rows = rows.into_iter().chain(replayed).map(|(name, value)| vec![text(name), text(value)]);
    table_of(&["Variable_name", "Value"], rows.collect())
}

fn tablets(shared: &Shared) -> TextResultSet {
    let (view, now) = (shared.view(), clock::now());
    let row = |tablet: &TabletView| {
        let pool = shared.tablet(tablet.id).map(|tablet| tablet.gauges()).unwrap_or_default();
        let sample = tablet.meter.sample(now);
        vec![
            text(&tablet.alias),
            text(tablet.role),
            text(&tablet.serving),
            text(tablet.term),
            tablet.lag.and_then(|lag| text(lag.as_secs_f64())),
            text(&tablet.position),
            text(&tablet.alias.cell),
            tablet.lag.and_then(|_| text(tablet.lag_by.name())),
            text(balance::standing(&view, tablet)),
            text(tablet.weight),
            text(pool.busy),
            text(pool.idle),
            text(pool.waiting),
            text(tablet.meter.leases()),
            text(sample.running),
            text(sample.latency.as_micros()),
            text(tablet.meter.rate_milli(now) as f64 / 1000.0),
            text(sample.failures),
            pool.note.and_then(text),
        ]
    };
    let columns = [
        "Tablet",
        "Role",
        "State",
        "Term",
        "Lag_seconds",
        "Position",
        "Cell",
        "Lag_by",
        "Rotation",
        "Weight",
        "Pool_busy",
        "Pool_idle",
        "Pool_waiting",
        "Sessions",
        "Running",
        "Latency_us",
        "Queries_per_second",
        "Failures_in_row",
        "Note",
    ];
    table_of(&columns, view.tablets().iter().map(row).collect())
}

fn pools(shared: &Shared) -> TextResultSet {
    let tablets = Arc::clone(&shared.tablets.borrow());
    let rows = tablets.values().map(|tablet| {
        let gauges = tablet.gauges();
        let numbers = [
            u64::from(gauges.busy),
            u64::from(gauges.idle),
            u64::from(gauges.opening),
            u64::from(gauges.waiting),
            gauges.granted,
            gauges.granted_waited,
            gauges.refused,
            gauges.opened,
            gauges.open_failed,
        ];
        let mut row = vec![text(tablet.alias())];
        row.extend(numbers.map(text));
        row
    });
    let columns = [
        "Tablet",
        "Busy",
        "Idle",
        "Opening",
        "Waiting",
        "Granted",
        "Granted_after_wait",
        "Refused",
        "Opened",
        "Open_failed",
    ];
    table_of(&columns, rows.collect())
}

fn sessions(shared: &Shared) -> TextResultSet {
    let now = clock::now();
    let rows = shared
        .sessions()
        .iter()
        .map(|(id, entry)| vec![text(id), text(&entry.host), text(now.since(entry.since).as_secs())])
        .collect();
    table_of(&["Id", "Host", "Connected_seconds"], rows)
}
