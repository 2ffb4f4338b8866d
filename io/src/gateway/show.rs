//! The rows of `SHOW WEIR ...`.

use super::{Shared, Tablet, admin};
use crate::admin::messages as pb;
use crate::clock;
use crate::tablet::Gauges;
use std::sync::atomic::Ordering;
use weir_core::gateway::processes::{self, Powers, Process};
use weir_core::gateway::session::{Reason, Replayed};
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::resultset::{TextResultSet, TextRow};
use weir_core::sql::Show;
use weir_core::topo::ProcessName;

/// `elsewhere`: the clients of other gateways, for a list of all.
pub(super) fn table(
    shared: &Shared,
    viewer: &[u8],
    powers: Powers,
    show: Show,
    elsewhere: &[Process],
) -> TextResultSet {
    match show {
        Show::Status => status(shared),
        Show::Tablets => tablets(shared),
        Show::Pools => pools(shared),
        Show::Sessions => sessions(shared),
        Show::Digests => digests(shared).0,
        Show::Connected => processes::connected(shared.admission().connections()),
        Show::Processes { full } => {
            processes::table(clock::now(), viewer, powers, full, shared.processes().iter().chain(elsewhere))
        }
    }
}

/// That not all clients are listed; `None` when all are.
pub(super) fn warning(silent: &[ProcessName]) -> Option<String> {
    let names = silent.iter().map(ProcessName::as_str).collect::<Vec<_>>().join(", ");
    (!silent.is_empty())
        .then(|| format!("weir-gateway: not listed are the clients of gateways that do not answer: {names}"))
}

fn table_of(columns: &[&str], rows: Vec<TextRow>) -> TextResultSet {
    TextResultSet { columns: columns.iter().map(|name| ColumnDefinition::text(*name)).collect(), rows }
}

fn text(value: impl ToString) -> Option<Vec<u8>> {
    Some(value.to_string().into_bytes())
}

fn unless_empty(value: String) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.into_bytes())
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
        ("Clients_refused", counters.refused()),
        ("Clients_protocol_errors", counters.ended(Reason::ProtocolError)),
        ("Server_connections_in_use", total(|tablet| tablet.busy.into())),
        ("Kills", total(|tablet| tablet.kills)),
        ("Kills_failed", total(|tablet| tablet.kills_failed)),
    ];
    let rows = rows.into_iter().chain(replayed).map(|(name, value)| vec![text(name), text(value)]);
    table_of(&["Variable_name", "Value"], rows.collect())
}

fn tablets(shared: &Shared) -> TextResultSet {
    let row = |tablet: pb::Tablet| {
        let pool = tablet.pool.unwrap_or_default();
        vec![
            text(tablet.tablet),
            text(tablet.role),
            text(tablet.state),
            text(tablet.term),
            tablet.lag_seconds.and_then(text),
            text(tablet.position),
            text(tablet.cell),
            unless_empty(tablet.lag_by),
            text(tablet.rotation),
            text(tablet.weight),
            text(pool.busy),
            text(pool.idle),
            text(pool.waiting),
            text(tablet.sessions),
            text(tablet.running),
            text(tablet.latency_us),
            text(tablet.queries_per_second),
            text(tablet.failures_in_row),
            unless_empty(tablet.note),
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
    table_of(&columns, admin::tablets(shared).into_iter().map(row).collect())
}

fn pools(shared: &Shared) -> TextResultSet {
    let rows = admin::tablets(shared).into_iter().map(|tablet| {
        let pool = tablet.pool.unwrap_or_default();
        let numbers = [
            u64::from(pool.busy),
            u64::from(pool.idle),
            u64::from(pool.opening),
            u64::from(pool.waiting),
            pool.granted,
            pool.granted_after_wait,
            pool.refused,
            pool.opened,
            pool.open_failed,
        ];
        let mut row = vec![text(tablet.tablet)];
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

/// What statements came to, by form, and what is to be said of it. The last row has no fingerprint: it is all other statements.
pub(super) fn digests(shared: &Shared) -> (TextResultSet, Option<&'static str>) {
    let pb::DigestsResponse { digests, others, .. } = super::digests::told(shared);
    let others = pb::Digest { statement: "(others)".to_owned(), totals: others, ..pb::Digest::default() };
    let milliseconds = |seconds: f64| text(format!("{:.3}", seconds * 1e3));
    let row = |digest: pb::Digest| {
        let (totals, is_form) = (digest.totals.unwrap_or_default(), !digest.fingerprint.is_empty());
        let of_form = |value: String| is_form.then(|| value.into_bytes());
        vec![
            unless_empty(digest.fingerprint),
            text(totals.count),
            text(totals.errors),
            milliseconds(totals.seconds),
            milliseconds(totals.seconds_max),
            text(totals.rows_sent),
            text(totals.rows_affected),
            text(totals.waits),
            milliseconds(totals.wait_seconds),
            of_form(digest.missed_max.to_string()),
            of_form(format!("{:.1}", digest.first_seen_seconds)),
            of_form(format!("{:.1}", digest.last_seen_seconds)),
            text(digest.statement),
        ]
    };
    let columns = [
        "Fingerprint",
        "Count",
        "Errors",
        "Total_ms",
        "Max_ms",
        "Rows_sent",
        "Rows_affected",
        "Waits",
        "Wait_ms",
        "Missed_max",
        "First_seen_seconds_ago",
        "Last_seen_seconds_ago",
        "Statement",
    ];
    let warning =
        (!shared.digests.is_on()).then_some("weir-gateway: statements are not counted by form: --digests-max is 0");
    (table_of(&columns, digests.into_iter().chain([others]).map(row).collect()), warning)
}
