//! Server connections that an administrator kills on the server.

use std::time::Duration;
use weir_core::error::Error;
use weir_tests::{TestCluster, Weir, Wire, eventually, query_value};

fn cluster() -> TestCluster {
    let cluster = TestCluster::start(1);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (a INT)").expect("a table");
    cluster
}

/// Kills the application's connections on which `what` runs (SQL over the process list); how many those were.
fn kill(cluster: &TestCluster, what: &str) -> usize {
    let server = cluster.primary();
    let of_application = format!("SELECT id FROM information_schema.processlist WHERE user = 'app' AND {what}");
    let ids = server.query(&of_application).expect("the process list").rows;
    for id in ids.iter().flatten() {
        // It may have gone by itself.
        let _ = server.query(&format!("KILL {id}"));
    }
    ids.len()
}

fn kill_running(cluster: &TestCluster, statement: &str) {
    eventually(Duration::from_secs(10), "the statement runs", || {
        kill(cluster, &format!("info LIKE '{statement}%'")) > 0
    });
}

fn rows(cluster: &TestCluster) -> String {
    query_value(cluster.primary(), "SELECT COUNT(*) FROM d.t")
}

#[test]
fn nobody_notices_that_idle_connections_were_killed() {
    let cluster = cluster();
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let mut client = Wire::login_to(weir.address(), Some("d"));
    for round in 1..=20 {
        client.query("INSERT INTO t VALUES (1)").unwrap_or_else(|heard| panic!("round {round}: {heard:?}"));
        assert_eq!(client.value("SELECT COUNT(*) FROM t"), round.to_string());
        assert!(kill(&cluster, "command = 'Sleep'") > 0);
    }
    weir.assert_unharmed();
}

#[test]
fn a_transaction_whose_connection_was_killed_is_lost_as_a_whole() {
    let cluster = cluster();
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let mut client = Wire::login_to(weir.address(), Some("d"));
    client.query("START TRANSACTION").expect("a transaction");
    client.query("INSERT INTO t VALUES (1)").expect("a row");
    kill(&cluster, "command = 'Sleep'");
    // Nothing of what was meant to be in it runs outside of it.
    let lost: Vec<Error> = (0..2).map(|_| client.refusal("INSERT INTO t VALUES (2)")).collect();
    let commit = client.refusal("COMMIT");
    assert_eq!(commit.code, 1213, "the transaction may be started again: {commit}");
    assert_eq!(lost[1].code, 1213, "{lost:?}");
    assert_eq!(rows(&cluster), "0");
    client.query("INSERT INTO t VALUES (3)").expect("after its end the session goes on");
    assert_eq!(rows(&cluster), "1");
    weir.assert_unharmed();
}

#[test]
fn a_write_that_was_killed_is_reported_and_not_repeated() {
    let cluster = cluster();
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let mut client = Wire::login_to(weir.address(), Some("d"));
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| client.refusal("INSERT INTO t SELECT SLEEP(20)"));
        kill_running(&cluster, "INSERT INTO t");
        running.join().expect("the client")
    });
    let text = String::from_utf8_lossy(&error.message).into_owned();
    assert!(error.code == 1160 && text.contains("whether it took effect is unknown"), "{error}");
    assert_eq!(rows(&cluster), "0");
    client.query("INSERT INTO t VALUES (1)").expect("the session goes on");
    assert_eq!(rows(&cluster), "1");
    weir.assert_unharmed();
}

#[test]
fn a_read_that_was_killed_is_told_so_and_runs_nowhere_else() {
    let cluster = TestCluster::start(2);
    cluster.wait_for_replicas();
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let mut client = Wire::login(weir.address());
    let servers = || [cluster.primary()].into_iter().chain(cluster.replicas());
    let at_work = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| client.refusal("SELECT SLEEP(20) FROM DUAL"));
        // A connection that breaks at once was broken before.
        std::thread::sleep(Duration::from_millis(600));
        let mut killed = 0;
        for server in servers() {
            for id in server.query(at_work).expect("the process list").rows.iter().flatten() {
                server.query(&format!("KILL {id}")).expect("a kill");
                killed += 1;
            }
        }
        assert_eq!(killed, 1);
        running.join().expect("the client")
    });
    // A server closes its client's connection then; here only one server connection is gone.
    assert_eq!(error.code, 1317, "{error}");
    assert!(servers().all(|server| server.query(at_work).expect("the process list").rows.is_empty()));
    assert_eq!(client.value("SELECT 1"), "1", "the session goes on");
    weir.assert_unharmed();
}

#[test]
fn a_query_whose_statement_was_killed_hears_what_a_server_says() {
    let cluster = cluster();
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let killed_at = |address| {
        let mut client = Wire::login_to(address, Some("d"));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| client.query("SELECT a FROM (SELECT SLEEP(20) a) x"));
            eventually(Duration::from_secs(10), "the statement runs", || {
                let of_application = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT a FROM%'";
                let ids = cluster.primary().query(of_application).expect("the process list").rows;
                ids.iter().flatten().any(|id| cluster.primary().query(&format!("KILL QUERY {id}")).is_ok())
            });
            running.join().expect("the client")
        })
    };
    assert_eq!(killed_at(weir.address()), killed_at(cluster.primary().address()));
    weir.assert_unharmed();
}
