//! A gateway that is told to stop lets transactions end, and nothing else begin.

use std::time::{Duration, Instant};
use weir_tests::{Session, TestCluster, Weir, application, eventually, in_time, query_value};

/// A busy machine takes its time.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

fn in_transaction(weir: &Weir) -> Session {
    let mut session = Session::open(weir.address(), &application(), None).expect("a session");
    session.run(b"BEGIN").expect("a transaction");
    session.run(b"INSERT INTO d.t VALUES (1)").expect("a row");
    session
}

fn cluster() -> TestCluster {
    let cluster = TestCluster::start(1);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (id INT)").expect("a table");
    cluster
}

#[test]
fn a_gateway_that_stops_lets_transactions_end() {
    let cluster = cluster();
    let mut weir = Weir::attach(&cluster, &["--drain-time-ms", "60000"]);
    let mut busy = in_transaction(&weir);
    let mut idle = Session::open(weir.address(), &application(), None).expect("a session");
    let address = weir.address();
    let told = Instant::now();
    weir.terminate();
    eventually(STOP_TIME_MAX, "nobody is accepted", || Session::open(address, &application(), None).is_err());
    let farewell = idle.run(b"SELECT 1").map(|answers| format!("{answers:?}"));
    assert!(farewell.as_ref().is_ok_and(|said| said.contains("1053")) || farewell.is_err(), "{farewell:?}");
    busy.run(b"INSERT INTO d.t VALUES (2)").expect("a row");
    busy.run(b"COMMIT").expect("an answer");
    assert!(weir.wait().success(), "{}", weir.output());
    in_time(told.elapsed(), STOP_TIME_MAX, || "it waits for nobody".into());
    assert_eq!(query_value(cluster.primary(), "SELECT COUNT(*) FROM d.t"), "2");
}

#[test]
fn a_transaction_that_does_not_end_is_ended_when_its_time_is_over() {
    let cluster = cluster();
    let mut weir = Weir::attach(&cluster, &["--drain-time-ms", "1000"]);
    let mut busy = in_transaction(&weir);
    let told = Instant::now();
    assert!(weir.stop().success(), "{}", weir.output());
    let took = told.elapsed();
    assert!(took >= Duration::from_secs(1), "it did not wait: {took:?}");
    in_time(took, STOP_TIME_MAX, || "it ends all the same".into());
    let farewell = format!("{:?}", busy.run(b"COMMIT"));
    assert!(farewell.contains("1053"), "{farewell}");
    eventually(STOP_TIME_MAX, "it is rolled back", || {
        query_value(cluster.primary(), "SELECT COUNT(*) FROM d.t") == "0"
    });
}
