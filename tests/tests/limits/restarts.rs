//! Servers that die and come back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use weir_tests::{Counters, Heard, TestCluster, Weir, Wire, counters, counters_since, eventually};

const BACK_TIME_MAX: Duration = Duration::from_secs(20);

fn cluster(servers: u16) -> TestCluster {
    let cluster = TestCluster::start(servers);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (a INT)").expect("a table");
    cluster.wait_for_replicas();
    cluster
}

/// Reads on and on while `meanwhile` runs; every read must succeed.
fn while_reading<R>(weir: &Weir, meanwhile: impl FnOnce() -> R) -> R {
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Wire::login_to(weir.address(), Some("d"));
                while !stop.load(Ordering::Relaxed) {
                    client.value("SELECT COUNT(*) FROM t");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        stop.store(true, Ordering::Relaxed);
        assert!(reads.load(Ordering::Relaxed) > 0);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn selects(cluster: &TestCluster, index: usize, before: &Counters) -> u64 {
    counters_since(&cluster.servers()[index], before)["com_select"]
}

#[test]
fn a_replica_that_dies_leaves_the_rotation_and_comes_back_without_help() {
    let mut cluster = cluster(3);
    let mut weir = Weir::attach(&cluster, &["--pool-size", "5"]);
    while_reading(&weir, || {
        cluster.kill_server(1);
        std::thread::sleep(Duration::from_millis(1500));
        cluster.start_server(1).expect("a start");
        let before = counters(&cluster.servers()[1]);
        // The monitor asks too, but not as often.
        eventually(BACK_TIME_MAX, "reads reach the replica again", || selects(&cluster, 1, &before) > 200);
    });
    weir.assert_unharmed();
}

#[test]
fn a_replica_that_stops_in_order_is_not_missed() {
    let mut cluster = cluster(2);
    let mut weir = Weir::attach(&cluster, &["--pool-size", "5"]);
    while_reading(&weir, || {
        cluster.stop_server(1).expect("a stop");
        std::thread::sleep(Duration::from_millis(500));
    });
    weir.assert_unharmed();
}

#[test]
fn a_primary_that_restarts_takes_writes_again() {
    let mut cluster = cluster(2);
    let mut weir = Weir::attach(&cluster, &["--pool-size", "5"]);
    let mut client = Wire::login_to(weir.address(), Some("d"));
    client.query("INSERT INTO t VALUES (1)").expect("a row");
    cluster.wait_for_replicas();
    cluster.kill_server(0);
    let error = client.refusal("INSERT INTO t VALUES (2)");
    let text = String::from_utf8_lossy(&error.message).into_owned();
    assert!(text.contains("tablet") && text.contains("a retry is safe"), "who speaks, and what is to be done? {error}");
    assert!(client.is_usable());
    assert_eq!(client.value("SELECT COUNT(*) FROM t"), "1", "reads go on");

    cluster.start_server(0).expect("a start");
    eventually(BACK_TIME_MAX, "writes work again", || match client.query("INSERT INTO t VALUES (3)") {
        Ok(_) => true,
        Err(Heard::Closed) => panic!("the client was cut off"),
        Err(_) => false,
    });
    assert_eq!(client.value("SELECT GROUP_CONCAT(a ORDER BY a) FROM t"), "1,3");
    weir.assert_unharmed();
}
