//! sysbench with many clients over few server connections: no errors, and by the servers' own counters reads reach both
//! replicas while writes reach only the primary.

use std::time::Duration;
use weir_io::servers::Server;
use weir_tests::{Statements, TestCluster, Weir, application, counters, counters_since, eventually, sysbench_command};

const CLIENTS: u64 = 64;
const POOL_SIZE: u64 = 20;
const TABLES: u32 = 4;
const ROWS: u32 = 10_000;

/// How long each workload runs, in seconds; longer by hand.
fn seconds() -> String {
    std::env::var("WEIR_SYSBENCH_S").unwrap_or_else(|_| "10".into())
}

fn sysbench(weir: &Weir, script: &str, command: &str, more: &[&str]) -> String {
    let run = sysbench_command(weir.address(), script, TABLES, ROWS).args(more).arg(command).output();
    let output = run.expect("sysbench is installed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sysbench {script} {command}: {}\n{text}", output.status);
    text.into_owned()
}

/// Runs a workload and returns how much it did: its transactions. Each error that sysbench passed over must be a deadlock
/// that the primary counted itself.
fn workload(cluster: &TestCluster, weir: &Weir, script: &str, more: &[&str]) -> u64 {
    let before = counters(cluster.primary());
    let threads = format!("--threads={CLIENTS}");
    let time = format!("--time={}", seconds());
    let report = sysbench(weir, script, "run", &[&[threads.as_str(), &time], more].concat());
    let deadlocks = counters_since(cluster.primary(), &before)["innodb_deadlocks"];
    assert!(count(&report, "ignored errors:") <= deadlocks, "{deadlocks} deadlocks in\n{report}");
    assert_eq!(count(&report, "reconnects:"), 0, "{report}");
    assert!(!report.contains("FATAL") && !report.contains("ALERT"), "{report}");
    eprintln!("{script} {more:?}: {} transactions in {} s", count(&report, "transactions:"), seconds());
    count(&report, "transactions:")
}

fn count(report: &str, name: &str) -> u64 {
    let line = report.lines().find_map(|line| line.trim().strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no `{name}` in\n{report}"))
}

#[test]
fn many_clients_over_few_connections() {
    let cluster = TestCluster::with_settings(3, &["userstat=ON"]);
    cluster.primary().query("CREATE DATABASE sbtest").expect("a database");
    let pool_size = POOL_SIZE.to_string();
    // Heartbeats are not the application's, whose statements are counted.
    let watcher = cluster.service_account();
    let watched = ["--monitor-user", &watcher.user, "--monitor-password", &watcher.password];
    let mut weir = Weir::attach(&cluster, &[&["--pool-size", pool_size.as_str()], &watched[..]].concat());
    sysbench(&weir, "oltp_read_write", "prepare", &[]);
    cluster.wait_for_replicas();
    let idle = weir.file_descriptors();

    point_selects_spread_over_the_replicas(&cluster, &weir);
    writes_stay_on_the_primary(&cluster, &weir);

    for server in cluster.servers() {
        let most = counters(server)["max_used_connections"];
        // Weir's own health checks and this test's queries come on top of the pool.
        assert!(most <= POOL_SIZE + 10, "server {} had {most} connections at once", server.number());
    }
    eventually(Duration::from_secs(10), "64 clients' descriptors are closed again", || {
        weir.file_descriptors() <= idle + 3 * usize::try_from(POOL_SIZE).expect("small")
    });
    assert!(weir.stop().success(), "{}", weir.output());
}

fn point_selects_spread_over_the_replicas(cluster: &TestCluster, weir: &Weir) {
    let before = statements(cluster);
    let done = workload(cluster, weir, "oltp_point_select", &[]);
    let [primary, replicas @ ..] = statements_since(cluster, &before);
    for (n, replica) in replicas.iter().enumerate() {
        assert!(replica.reads > done / 5, "replica {n} got {replica:?} of {done} reads");
    }
    assert!(primary.reads + replicas[0].reads + replicas[1].reads >= done, "every read was counted");
    assert_eq!(primary.writes + replicas[0].writes + replicas[1].writes, 0, "point selects write nothing");
}

fn writes_stay_on_the_primary(cluster: &TestCluster, weir: &Weir) {
    let before = statements(cluster);
    // In transactions, which the primary serves whole: one delete, one insert and two updates each.
    let whole = workload(cluster, weir, "oltp_read_write", &[]);
    // Statement by statement, which is split. Deletes and inserts are left out: outside a transaction two clients would
    // insert the same row.
    let split = workload(cluster, weir, "oltp_read_write", &["--skip-trx=on", "--delete-inserts=0"]);
    let [primary, replicas @ ..] = statements_since(cluster, &before);
    assert!(primary.writes >= 4 * whole + 2 * split, "{primary:?} after {whole} and {split} rounds");
    for (n, replica) in replicas.iter().enumerate() {
        assert_eq!(replica.writes, 0, "replica {n} got writes");
        assert!(replica.reads > split, "replica {n} got {replica:?} of {split} rounds");
    }
    cluster.wait_for_replicas();
    let sums: Vec<String> = cluster.servers().iter().map(checksum).collect();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "the servers differ: {sums:?}");
}

/// What each server counted for the application, the primary first.
fn statements(cluster: &TestCluster) -> [Statements; 3] {
    std::array::from_fn(|n| Statements::of(&cluster.servers()[n], &application().user))
}

fn statements_since(cluster: &TestCluster, before: &[Statements; 3]) -> [Statements; 3] {
    let now = statements(cluster);
    std::array::from_fn(|n| now[n].since(before[n]))
}

fn checksum(server: &Server) -> String {
    let tables: Vec<String> = (1..=TABLES).map(|n| format!("sbtest.sbtest{n}")).collect();
    format!("{:?}", server.query(&format!("CHECKSUM TABLE {}", tables.join(", "))).expect("checksums").rows)
}
