//! Every metric that there is. The table in `docs/src/metrics.md` is made of this one, and so are the headings on the page itself.

use super::labels::Label;

/// A program of Weir's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `weir up`.
    Up,
    /// `weir-gateway`.
    Gateway,
    /// `weir-tablet`.
    Tablet,
    /// `weir-orch`.
    Orchestrator,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Up, Self::Gateway, Self::Tablet, Self::Orchestrator];

    /// As it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "weir up",
            Self::Gateway => "weir-gateway",
            Self::Tablet => "weir-tablet",
            Self::Orchestrator => "weir-orch",
        }
    }
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up only, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Counts in buckets, each of which holds those of the smaller ones.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What is to be known of a metric.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it is counted in; empty for things.
    pub unit: &'static str,
    /// What tells its series apart.
    pub labels: &'static [Label],
    /// Who has it.
    pub programs: &'static [Program],
    /// What it says.
    pub help: &'static str,
}

/// Everybody.
const ALL: &[Program] = &Program::ALL;
/// Who serves clients.
const FRONT: &[Program] = &[Program::Up, Program::Gateway];
/// Who sees tablets.
const SEERS: &[Program] = &[Program::Up, Program::Gateway, Program::Tablet];
/// Who has connections to servers.
const OWNERS: &[Program] = &[Program::Up, Program::Tablet];
/// Who changes the primary.
const JUDGES: &[Program] = &[Program::Up, Program::Orchestrator];

macro_rules! catalogue {
    ($($metric:ident: $kind:ident $name:literal $unit:literal [$($label:ident),*] $programs:ident $help:literal;)+) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $(#[doc = $help] $metric,)+ }

        impl Metric {
            /// All of them, in the order of the page.
            pub const ALL: &[Self] = &[$(Self::$metric),+];

            /// What is to be known of it.
            #[must_use]
            pub const fn about(self) -> About {
                match self {
                    $(Self::$metric => About {
                        name: $name,
                        kind: Kind::$kind,
                        unit: $unit,
                        labels: &[$(Label::$label),*],
                        programs: $programs,
                        help: $help,
                    },)+
                }
            }
        }
    };
}

catalogue! {
    Info: Gauge "weir_info" "" [Program, Version, Shard] ALL
        "Always 1: which program this is, and which shard it serves.";
    ProcessCpu: Counter "process_cpu_seconds_total" "seconds" [] ALL
        "Processor time that the process has used.";
    ProcessMemory: Gauge "process_resident_memory_bytes" "bytes" [] ALL
        "Memory that the process holds.";
    ProcessFds: Gauge "process_open_fds" "" [] ALL
        "File descriptors that the process holds.";
    ProcessFdsMax: Gauge "process_max_fds" "" [] ALL
        "File descriptors that it may hold.";
    ProcessStart: Gauge "process_start_time_seconds" "seconds" [] ALL
        "When the process started, in seconds since 1970.";
    TopologyConnected: Gauge "weir_topology_connected" "" [] ALL
        "1 while the topology is reached; else what is known of it counts.";
    TopologyNewsAge: Gauge "weir_topology_news_age_seconds" "seconds" [] ALL
        "Time since the topology last said anything, which it does only when something has changed.";
    TopologyLosses: Counter "weir_topology_losses_total" "" [] ALL
        "How often the topology was lost.";

    Statements: Counter "weir_gateway_statements_total" "" [Class, Plan, ServerRole, Verdict] FRONT
        "Statements that have ended: what they do, where they were to run, what the server was that they were sent to last, and \
         how they ended for the client.";
    StatementSeconds: Histogram "weir_gateway_statement_seconds" "seconds" [ServerRole] FRONT
        "Time from a statement's coming to the end of its answer, of those whose client waited for it.";
    PoolWaitSeconds: Histogram "weir_gateway_pool_wait_seconds" "seconds" [] FRONT
        "How long statements waited for a server connection, of those that needed one.";
    ServerSeconds: Histogram "weir_gateway_server_seconds" "seconds" [ServerRole] FRONT
        "How long servers had a statement, from its sending to the end of the answer; waits for replication there included.";
    Retries: Counter "weir_gateway_statement_retries_total" "" [] FRONT
        "How often a statement was tried on another server after one had not taken it or was lost.";
    ConsistencyReads: Counter "weir_gateway_consistency_reads_total" "" [Level, Sight] FRONT
        "Reads that may run on replicas, by consistency level: unneeded (nothing in particular to see), hit (the server had \
         it), waited (until it had it), fallback (the primary answered).";
    ConsistencyWaitSeconds: Histogram "weir_gateway_consistency_wait_seconds" "seconds" [Level] FRONT
        "How long such reads took to find out what they must see and to find it; of one that waited on its server, until that \
         began to answer. Without those that had nothing to see.";
    Pins: Counter "weir_gateway_pins_total" "" [Pin] FRONT
        "How often a session began to keep its server connection, by what for. Transactions are not counted.";
    Replays: Counter "weir_gateway_replays_total" "" [Replayed] FRONT
        "Transactions and COMMITs that lost their primary while transaction_replay was on, by what became of them.";
    Buffered: Counter "weir_gateway_buffered_statements_total" "" [Buffered] FRONT
        "Statements that no primary took: held until one does, and of these resumed and timed_out; refused for want of room.";
    BufferWaiting: Gauge "weir_gateway_buffer_statements" "" [] FRONT
        "Statements that wait for a primary now.";
    BufferWaitingMax: Gauge "weir_gateway_buffer_statements_max" "" [] FRONT
        "How many may (--buffer-max-sessions).";
    BufferBytes: Gauge "weir_gateway_buffer_bytes" "bytes" [] FRONT
        "Their length.";
    BufferBytesMax: Gauge "weir_gateway_buffer_bytes_max" "bytes" [] FRONT
        "How long they may be together (--buffer-max-bytes).";
    Clients: Gauge "weir_gateway_clients" "" [] FRONT
        "Client connections.";
    ClientsMax: Gauge "weir_gateway_clients_max" "" [] FRONT
        "How many there may be (--max-connections).";
    ClientsAccepted: Counter "weir_gateway_clients_accepted_total" "" [] FRONT
        "Clients that have connected, those that were not let in included.";
    ClientsRefused: Counter "weir_gateway_clients_refused_total" "" [Refused] FRONT
        "Clients that were not let in: limit (--max-connections), proxy_header (a load balancer did not say whom it speaks \
         for), login (account, password, schema, a user's limit, TLS).";
    SessionsEnded: Counter "weir_gateway_sessions_ended_total" "" [Ended] FRONT
        "Sessions that have ended, of clients that were let in or left before.";
    TabletRequests: Counter "weir_gateway_tablet_requests_total" "" [Tablet] FRONT
        "Requests of clients that were sent to a tablet; one statement may make several.";
    TabletRunning: Gauge "weir_gateway_tablet_requests_running" "" [Tablet] FRONT
        "Requests that a tablet is running for this gateway.";
    TabletLeases: Gauge "weir_gateway_tablet_leases" "" [Tablet] FRONT
        "Connections of a tablet that this gateway's sessions have or have asked for.";

    Spans: Counter "weir_trace_spans_total" "" [Traced] SEERS
        "Spans that were made: exported (a collector has taken them), dropped (it was away or slow, or did not want them).";
    SpansLeftOut: Counter "weir_trace_statements_left_out_total" "" [] SEERS
        "Statements that were to be traced and were not, as there were too many in a second (--trace-max-per-second).";

    AuditLines: Counter "weir_audit_lines_total" "" [] FRONT
        "Lines written to the audit log.";
    AuditLeftOut: Counter "weir_audit_lines_left_out_total" "" [] FRONT
        "Lines that the audit log lacks, as it could not be written for so long that too many waited (--audit-on-failure continue).";
    AuditRefused: Counter "weir_audit_statements_refused_total" "" [] FRONT
        "Statements and logins that were refused, as the audit log could not be written (--audit-on-failure refuse).";
    AuditWaiting: Gauge "weir_audit_lines_waiting" "" [] FRONT
        "Lines that wait to be written, those of statements under way included.";
    AuditFailing: Gauge "weir_audit_failing" "" [] FRONT
        "1 while the audit log cannot be written.";

    TabletRole: Gauge "weir_tablet_role" "" [Tablet, Role] SEERS
        "1 for what the tablet is, as this process sees it.";
    TabletServing: Gauge "weir_tablet_serving" "" [Tablet] SEERS
        "1 while the tablet takes requests, as this process sees it.";
    TabletTerm: Gauge "weir_tablet_term" "" [Tablet] SEERS
        "The term that the tablet knows of, as this process sees it.";
    TabletLag: Gauge "weir_tablet_replication_lag_seconds" "seconds" [Tablet, LagBy] SEERS
        "How far a replica is behind its primary, by heartbeats or as its server reckons. Absent while that is not known.";
    TabletPositionAge: Gauge "weir_tablet_position_age_seconds" "seconds" [Tablet] SEERS
        "How long ago the tablet's server said what it has executed.";
    TabletKills: Counter "weir_tablet_kills_total" "" [Tablet, Done] OWNERS
        "How often the server was told to end what runs on a connection.";
    PoolConnections: Gauge "weir_pool_connections" "" [Tablet, PoolState] OWNERS
        "Server connections of a tablet's pool.";
    PoolConnectionsMax: Gauge "weir_pool_connections_max" "" [Tablet] OWNERS
        "How many it may have (--pool-size).";
    PoolWaiting: Gauge "weir_pool_requests_waiting" "" [Tablet] OWNERS
        "Requests that wait for a connection of the pool.";
    PoolRequests: Counter "weir_pool_requests_total" "" [Tablet, PoolOutcome] OWNERS
        "Requests for a connection. Granted: preferred (the very one), same_settings, other_settings (one that has to be made \
         ready), waited. Refused: queue_full, timed_out, cannot_connect, draining. Or cancelled.";
    PoolOpened: Counter "weir_pool_connections_opened_total" "" [Tablet] OWNERS
        "Connections that were opened.";
    PoolOpenFailures: Counter "weir_pool_connection_failures_total" "" [Tablet] OWNERS
        "Connections that could not be opened.";
    PoolClosed: Counter "weir_pool_connections_closed_total" "" [Tablet, CloseReason] OWNERS
        "Connections that have ended, by why.";

    OrchInCharge: Gauge "weir_orch_in_charge" "" [] JUDGES
        "1 while this orchestrator holds the shard's lock, and acts.";
    OrchTerm: Gauge "weir_orch_term" "" [] JUDGES
        "The shard's term, as the topology has it.";
    OrchProblems: Gauge "weir_orch_problems" "" [Problem] JUDGES
        "What is wrong with the shard now, by analysis. Only who is in charge knows.";
    OrchProblemsFound: Counter "weir_orch_problems_found_total" "" [Problem] JUDGES
        "What was found to be wrong, as often as it had not been so before.";
    OrchRecoveries: Counter "weir_orch_recoveries_total" "" [Analysis, Ending] JUDGES
        "Changes of primary, by why they were begun (Planned: somebody wanted it) and how they ended.";
    OrchRecoverySeconds: Histogram "weir_orch_recovery_seconds" "seconds" [] JUDGES
        "Time from the beginning of a change of primary to a primary that leads, of those that settled.";
    OrchUndecided: Counter "weir_orch_undecided_total" "" [] JUDGES
        "How often nobody could be promoted safely, so that a person has to decide.";
    OrchQuarantined: Gauge "weir_orch_quarantined_tablets" "" [] JUDGES
        "Tablets that stay out until a person has looked at them.";
}

#[cfg(test)]
mod tests {
    use super::super::labels::{Named, Range};
    use super::*;
    use std::collections::BTreeSet;

    /// The most values of a label that come from the program itself.
    const VALUES_MAX: usize = 40;
    /// The most series of a metric, for each name that somebody has configured.
    const SERIES_MAX: usize = 1000;

    /// What Prometheus takes for the name of a label.
    fn is_name(text: &str) -> bool {
        let tail = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(tail) && !text.contains("__")
    }

    #[test]
    fn names_are_as_prometheus_would_have_them() {
        let mut names = BTreeSet::new();
        for about in Metric::ALL.iter().map(|metric| metric.about()) {
            let name = about.name;
            assert!(is_name(name) && (name.starts_with("weir_") || name.starts_with("process_")), "{name}");
            assert!(names.insert(name), "{name} is there twice");
            assert_eq!(name.ends_with("_total"), about.kind == Kind::Counter, "{name}");
            let base = name.strip_suffix("_total").unwrap_or(name);
            let base = base.strip_suffix("_max").unwrap_or(base);
            for unit in ["seconds", "bytes"] {
                assert_eq!(base.ends_with(&format!("_{unit}")), about.unit == unit, "{name} is in {:?}", about.unit);
            }
            for taken in ["_bucket", "_sum", "_count", "_info_total"] {
                assert!(!name.ends_with(taken), "{name} looks like a part of a histogram");
            }
            assert!(about.help.ends_with('.') && !about.help.contains('\n'), "{name}: {}", about.help);
            assert!(!about.programs.is_empty(), "{name}");
        }
    }

    #[test]
    fn labels_are_told_apart_and_none_is_reserved() {
        for about in Metric::ALL.iter().map(|metric| metric.about()) {
            let names: BTreeSet<_> = about.labels.iter().map(|label| label.name()).collect();
            assert_eq!(names.len(), about.labels.len(), "{}", about.name);
            let reserved = ["le", "quantile", "job", "instance"];
            assert!(names.iter().all(|name| is_name(name) && !reserved.contains(name)), "{}: {names:?}", about.name);
        }
    }

    /// Whatever clients send: there is no other sort of range, and no other sort of value ([`super::super::Value`]).
    #[test]
    fn a_metric_has_so_many_series_at_most() {
        for about in Metric::ALL.iter().map(|metric| metric.about()) {
            let (mut series, mut configured) = (1, 0);
            for label in about.labels {
                match label.range() {
                    Range::OneOf(values) => {
                        let unique: BTreeSet<_> = values.iter().collect();
                        assert!(unique.len() == values.len() && !values.is_empty(), "{label:?}: {values:?}");
                        assert!(values.len() <= VALUES_MAX, "{label:?} has {} values", values.len());
                        series *= values.len();
                    }
                    Range::Configured(Named::Tablet | Named::Shard) => configured += 1,
                }
            }
            assert!(series <= SERIES_MAX && configured <= 1, "{}: {series} series, {configured}", about.name);
        }
    }
}
