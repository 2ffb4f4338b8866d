//! A session reads its own writes in every way that it can ask, from replicas that are late.

use crate::{How, cluster, name, open, read, write};
use std::time::{Duration, Instant};
use weir_core::mysql::resultset::Answer;
use weir_tests::wire::Wire;
use weir_tests::{TestCluster, Weir, application};

#[test]
fn a_session_reads_its_own_writes_however_it_asks() {
    let cluster = cluster(&[Duration::from_secs(1); 2]);
    let gateway = Weir::attach(&cluster, &["--read-after-write-timeout-ms", "10000"]);
    every_way_to_read_sees_the_write(&cluster, &gateway);
    what_is_defined_can_be_read(&cluster, &gateway);
    one_that_may_not_send_several_statements_cannot(&cluster, &gateway);
    reads_outlive_their_connections(&cluster, &gateway);
}

fn every_way_to_read_sees_the_write(cluster: &TestCluster, gateway: &Weir) {
    let mut session = open(gateway, "SESSION");
    session.values("SET enable_read_write_splitting_for_read_only_txn = ON");
    for (version, how) in (1..).zip(How::ALL.into_iter().chain(How::ALL)) {
        write(&mut session, 0, version);
        let seen = read(&mut session, 0, how);
        assert_eq!(seen.version, version, "{how:?}");
        assert_ne!(seen.server, name(cluster.primary()), "{how:?} was to be answered by a replica");
    }
    // What was written in a transaction, or by the other statement of a text.
    session.values("BEGIN; UPDATE counts SET v = 101 WHERE pair = 0; COMMIT");
    assert_eq!(read(&mut session, 0, How::Prepared).version, 101);
    session.values("SELECT 1; UPDATE counts SET v = 102 WHERE pair = 0; SELECT 2");
    assert_eq!(read(&mut session, 0, How::Text).version, 102);
    // A text that fails half-way has written all the same.
    let answers = session.run(b"UPDATE counts SET v = 103 WHERE pair = 0; SELECT nonsense").expect("answers");
    assert!(matches!(answers.last(), Some(Answer::Err(_))), "{answers:?}");
    assert_eq!(read(&mut session, 0, How::Multi).version, 103);
}

fn what_is_defined_can_be_read(cluster: &TestCluster, gateway: &Weir) {
    let mut session = open(gateway, "SESSION");
    session.values("CREATE TABLE fresh (a INT)");
    let sql = "SELECT COUNT(*), @@server_id FROM fresh";
    let answer = session.values(sql);
    assert_eq!(answer[0], "0");
    assert_ne!(answer[1], name(cluster.primary()));
    session.values("ALTER TABLE fresh ADD b VARCHAR(10) NOT NULL DEFAULT 'x'");
    session.values("INSERT INTO fresh (a) VALUES (1)");
    assert_eq!(session.execute("SELECT b FROM fresh"), ["x"]);
    // A new schema is there to be chosen, and a prepared statement finds a column that is new.
    session.values("CREATE DATABASE bazaar; CREATE TABLE bazaar.t (c VARCHAR(10))");
    session.values("USE bazaar");
    assert_eq!(session.values("SELECT COUNT(*) FROM t"), ["0"]);
    session.values("ALTER TABLE t ADD d VARCHAR(10) DEFAULT 'y'; INSERT INTO t (c) VALUES ('1')");
    assert_eq!(session.execute("SELECT d FROM t"), ["y"]);
}

/// The wait goes ahead of the read in one write, but not in one text: the server still sees a client without the capability.
fn one_that_may_not_send_several_statements_cannot(cluster: &TestCluster, gateway: &Weir) {
    let mut wire = Wire::login_to(gateway.address(), Some("shop"));
    for version in [201, 202] {
        wire.query(&format!("UPDATE counts SET v = {version} WHERE pair = 1")).expect("an update");
        let refused = wire.refusal("SELECT v FROM counts WHERE pair = 1; SELECT 2");
        assert_eq!(refused.code, 1064, "{refused}");
        let seen = wire.query("SELECT v, @@server_id FROM counts WHERE pair = 1").expect("a row");
        let values: Vec<String> = seen.rows[0].iter().flatten().map(|v| String::from_utf8_lossy(v).into()).collect();
        assert_eq!(values[0], version.to_string());
        assert_ne!(values[1], name(cluster.primary()));
    }
}

/// The connection of each read is killed while it waits there: another takes it, and it sees what it must.
fn reads_outlive_their_connections(cluster: &TestCluster, gateway: &Weir) {
    let mut session = open(gateway, "SESSION");
    let mut killed = 0;
    for (version, how) in (301..).zip([How::Text, How::Prepared, How::Multi].into_iter().cycle().take(9)) {
        write(&mut session, 2, version);
        // One kill for a read: a second one is taken for the read's fault.
        killed += std::thread::scope(|scope| {
            let kill = scope.spawn(|| kill_one_that_waits(cluster));
            assert_eq!(read(&mut session, 2, how).version, version, "{how:?}");
            usize::from(kill.join().expect("no panic"))
        });
    }
    assert!(killed > 0, "no read was caught while it waited");
}

/// Whether one was found, for as long as a read may wait.
fn kill_one_that_waits(cluster: &TestCluster) -> bool {
    let sql = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{}' AND INFO LIKE 'SELECT MASTER_GTID_WAIT%'",
        application().user
    );
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        for replica in cluster.replicas() {
            let ids = replica.query(&sql).unwrap_or_else(|error| panic!("{error}"));
            if let Some(id) = ids.value() {
                // It may be through by now.
                return replica.query(&format!("KILL {id}")).is_ok();
            }
        }
    }
    false
}
