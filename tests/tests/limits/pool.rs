//! More work than server connections: waiting, and being sent away with nothing done.

use std::time::{Duration, Instant};
use weir_core::error::Error;
use weir_tests::{TestCluster, Weir, Wire, in_time};

const WAIT_TIME: Duration = Duration::from_millis(500);

/// What a client must be able to tell from the error: who speaks, and that nothing was executed.
fn assert_retry_is_safe(error: &Error) {
    let message = String::from_utf8_lossy(&error.message);
    assert!(message.contains("tablet") && message.contains("retry is safe"), "{error}");
    assert_eq!(error.code, 1041, "{error}");
}

#[test]
fn a_statement_without_a_connection_waits_and_then_fails_safely() {
    let cluster = TestCluster::start(1);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY)").expect("a table");
    let wait_time_ms = WAIT_TIME.as_millis().to_string();
    // One of the two is reserved for the tablet's monitor.
    let mut weir = Weir::attach(&cluster, &["--pool-size", "2", "--wait-queue", "1", "--wait-time-ms", &wait_time_ms]);
    let mut holder = Wire::login(weir.address());
    let mut waiter = Wire::login(weir.address());
    let mut third = Wire::login(weir.address());
    holder.query("START TRANSACTION").expect("a transaction");
    holder.query("INSERT INTO d.t VALUES (1)").expect("a row");

    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let begun = Instant::now();
            let error = waiter.refusal("INSERT INTO d.t VALUES (2)");
            assert!(begun.elapsed() >= WAIT_TIME, "refused after {:?}", begun.elapsed());
            error
        });
        std::thread::sleep(WAIT_TIME / 4);
        // The queue has one place: the next is sent away at once.
        let begun = Instant::now();
        assert_retry_is_safe(&third.refusal("INSERT INTO d.t VALUES (3)"));
        in_time(begun.elapsed(), WAIT_TIME / 2, || "it is sent away".into());
        assert_retry_is_safe(&waiting.join().expect("the waiter"));
    });

    // Everybody goes on: the retry is safe.
    holder.query("COMMIT").expect("a commit");
    waiter.query("INSERT INTO d.t VALUES (2)").expect("a retry");
    third.query("INSERT INTO d.t VALUES (3)").expect("a retry");
    assert_eq!(third.value("SELECT GROUP_CONCAT(a ORDER BY a) FROM d.t"), "1,2,3");
    weir.assert_unharmed();
}

#[test]
fn a_client_that_gives_up_waiting_leaves_its_place() {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--pool-size", "2", "--wait-queue", "1"]);
    let mut holder = Wire::login(weir.address());
    holder.query("START TRANSACTION").expect("a transaction");
    holder.value("SELECT COUNT(*) FROM mysql.user");
    for _ in 0..20 {
        let mut waiter = Wire::login(weir.address());
        waiter.command(&weir_core::mysql::command::ClientCommand::Query(b"DO 1"));
        drop(waiter);
        crate::census::expect_clients(&weir, 1);
    }
    holder.query("ROLLBACK").expect("a rollback");
    Wire::login(weir.address()).query("DO 1").expect("the connection is free");
}
