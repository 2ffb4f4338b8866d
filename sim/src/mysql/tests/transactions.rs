//! Isolation, locks, deadlocks, savepoints, read-only servers.

use super::*;

fn accounts() -> (Bench, SessionId, SessionId) {
    let mut bench = bench(Flavor::MariaDb);
    let (one, two) = (bench.connect(), bench.connect());
    bench.ok(one, "CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    bench.ok(one, "INSERT INTO t VALUES (1, 10), (2, 20)");
    (bench, one, two)
}

#[test]
fn others_see_a_change_when_it_commits() {
    let (mut b, one, two) = accounts();
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 11 WHERE id = 1");
    assert_eq!(b.rows(one, "SELECT v FROM t WHERE id = 1"), "11");
    assert_eq!(b.rows(two, "SELECT v FROM t WHERE id = 1"), "10");
    b.ok(one, "COMMIT");
    assert_eq!(b.rows(two, "SELECT v FROM t WHERE id = 1"), "11");
}

#[test]
fn a_repeatable_read_repeats_and_a_committed_one_moves_on() {
    for (level, expected) in [("REPEATABLE READ", "10"), ("READ COMMITTED", "11")] {
        let (mut b, one, two) = accounts();
        b.ok(two, &format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"));
        b.ok(two, "BEGIN");
        assert_eq!(b.rows(two, "SELECT v FROM t WHERE id = 1"), "10");
        b.ok(one, "UPDATE t SET v = 11 WHERE id = 1");
        b.ok(one, "DELETE FROM t WHERE id = 2");
        assert_eq!(b.rows(two, "SELECT v FROM t WHERE id = 1"), expected, "{level}");
        assert_eq!(b.rows(two, "SELECT v FROM t WHERE id = 1 FOR UPDATE"), "11", "locking reads see the last version");
        b.ok(two, "COMMIT");
        assert_eq!(b.rows(two, "SELECT id FROM t"), "1");
    }
}

#[test]
fn a_writer_waits_for_the_row_and_sees_what_was_committed() {
    let (mut b, one, two) = accounts();
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = v + 1 WHERE id = 1");
    assert!(b.send(two, "UPDATE t SET v = v + 1 WHERE id = 1").is_none());
    b.ok(one, "COMMIT");
    assert!(b.take_done(two).is_some());
    assert_eq!(b.rows(one, "SELECT v FROM t WHERE id = 1"), "12");
}

#[test]
fn waiting_too_long_fails_the_statement_and_keeps_the_transaction() {
    let (mut b, one, two) = accounts();
    b.ok(two, "SET innodb_lock_wait_timeout = 3");
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 0 WHERE id = 1");
    b.ok(two, "BEGIN");
    b.ok(two, "UPDATE t SET v = 21 WHERE id = 2");
    assert!(b.send(two, "UPDATE t SET v = 1 WHERE id = 1").is_none());
    b.pass(Duration::from_secs(3));
    let outcome = b.take_done(two).unwrap();
    assert!(matches!(outcome.body, Body::Err(SqlError { code: 1205, .. })));
    assert_eq!(outcome.status, STATUS_IN_TRANS | STATUS_AUTOCOMMIT);
    b.ok(two, "COMMIT");
    b.ok(one, "ROLLBACK");
    assert_eq!(b.rows(one, "SELECT v FROM t"), "10 21");
}

#[test]
fn who_closes_a_circle_is_rolled_back() {
    let (mut b, one, two) = accounts();
    for (id, row) in [(one, 1), (two, 2)] {
        b.ok(id, "BEGIN");
        b.ok(id, &format!("UPDATE t SET v = 0 WHERE id = {row}"));
    }
    assert!(b.send(one, "UPDATE t SET v = 0 WHERE id = 2").is_none());
    let outcome = b.run(two, "UPDATE t SET v = 0 WHERE id = 1");
    assert!(matches!(outcome.body, Body::Err(SqlError { code: 1213, .. })));
    assert_eq!(outcome.status, STATUS_AUTOCOMMIT);
    assert!(b.take_done(one).is_some(), "the other goes on");
    b.ok(one, "COMMIT");
    assert_eq!(b.rows(two, "SELECT v FROM t"), "0 0");
}

#[test]
fn savepoints_undo_what_came_after_them() {
    let (mut b, one, _) = accounts();
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 1 WHERE id = 1");
    b.ok(one, "SAVEPOINT s");
    b.ok(one, "DELETE FROM t");
    assert_eq!(b.rows(one, "SELECT COUNT(*) FROM t"), "0");
    b.ok(one, "ROLLBACK TO s");
    assert_eq!(b.rows(one, "SELECT v FROM t"), "1 20");
    b.ok(one, "RELEASE SAVEPOINT s");
    assert_eq!(b.err(one, "ROLLBACK TO s"), 1305);
    b.ok(one, "COMMIT");
    assert_eq!(b.rows(one, "SELECT v FROM t"), "1 20");
}

#[test]
fn status_says_whether_a_transaction_is_open() {
    let (mut b, one, _) = accounts();
    assert_eq!(b.run(one, "SELECT 1").status, STATUS_AUTOCOMMIT);
    assert_eq!(
        b.run(one, "START TRANSACTION READ ONLY").status,
        STATUS_AUTOCOMMIT | STATUS_IN_TRANS | STATUS_IN_TRANS_READONLY
    );
    assert_eq!(b.err(one, "DELETE FROM t"), 1792);
    assert_eq!(b.run(one, "COMMIT").status, STATUS_AUTOCOMMIT);
    assert_eq!(b.run(one, "SET autocommit = 0").status, 0);
    assert_eq!(b.run(one, "SELECT 1").status, 0);
    assert_eq!(b.run(one, "SELECT * FROM t").status, STATUS_IN_TRANS);
    assert_eq!(b.run(one, "SET autocommit = 1").status, STATUS_AUTOCOMMIT);
}

#[test]
fn a_read_only_server_refuses_all_but_administrators() {
    let (mut b, one, _) = accounts();
    let app = b.server.connect("app", false, false).unwrap();
    b.ok(app, "USE test");
    b.ok(app, "BEGIN");
    b.ok(app, "UPDATE t SET v = 5 WHERE id = 1");
    b.ok(one, "SET GLOBAL read_only = 1");
    assert_eq!(b.err(app, "COMMIT"), 1290, "an open transaction fails at its commit");
    assert_eq!(b.err(app, "INSERT INTO t VALUES (3, 3)"), 1290);
    assert_eq!(b.ok(one, "INSERT INTO t VALUES (3, 3)").0, 1);
    assert_eq!(b.rows(app, "SELECT v FROM t"), "10 20 3");
}

#[test]
fn turning_read_only_on_waits_for_statements_that_wait_for_rows_and_keeps_others_from_beginning() {
    let (mut b, one, two) = accounts();
    let (three, admin) = (b.connect(), b.connect());
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 11 WHERE id = 1");
    assert!(b.send(two, "UPDATE t SET v = 12 WHERE id = 1").is_none(), "it waits for the row");
    assert!(b.send(admin, "SET GLOBAL read_only = 1").is_none(), "it waits for the statement");
    assert!(b.send(three, "UPDATE t SET v = 22 WHERE id = 2").is_none(), "it waits for the fence");
    b.ok(one, "COMMIT");
    b.pass(Duration::from_millis(1));
    assert!(b.take_done(two).is_some() && b.take_done(admin).is_some() && b.take_done(three).is_some());
    assert_eq!(b.rows(one, "SELECT v FROM t"), "12 22", "administrators may go on");
}

#[test]
fn whoever_turns_read_only_on_may_give_it_up_and_nothing_has_changed() {
    let (mut b, one, two) = accounts();
    let admin = b.connect();
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 11 WHERE id = 1");
    assert!(b.send(two, "UPDATE t SET v = 12 WHERE id = 1").is_none());
    b.ok(admin, "SET max_statement_time = 0.4");
    assert!(b.send(admin, "SET GLOBAL read_only = 1").is_none());
    assert!(b.send(one, "UPDATE t SET v = 21 WHERE id = 2").is_none());
    b.pass(Duration::from_millis(500));
    assert!(matches!(b.take_done(admin).map(|o| o.body), Some(Body::Err(error)) if error.code == 1969));
    assert!(b.take_done(one).is_some(), "it goes on");
    assert_eq!(b.rows(one, "SELECT @@read_only"), "0");
}

/// What an administrator's heartbeats rely on.
#[test]
fn a_write_may_depend_on_whether_the_server_is_read_only() {
    let (mut b, one, _) = accounts();
    let update = "UPDATE t SET v = 5 WHERE id = 1 AND v <> 5 AND @@GLOBAL.read_only = 0";
    b.ok(one, "SET GLOBAL read_only = 1");
    assert_eq!(b.ok(one, update).0, 0);
    b.ok(one, "SET GLOBAL read_only = 0");
    assert_eq!(b.ok(one, update).0, 1);
}

#[test]
fn a_definition_commits_what_is_open() {
    let (mut b, one, two) = accounts();
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 5 WHERE id = 1");
    b.ok(one, "CREATE TABLE u (id INT PRIMARY KEY)");
    assert_eq!(b.rows(two, "SELECT v FROM t WHERE id = 1"), "5");
    assert_eq!(b.rows(one, "SELECT @@gtid_binlog_pos"), "0-1-4");
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let (mut b, one, two) = accounts();
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 5 WHERE id = 1");
    assert!(b.send(two, "UPDATE t SET v = 6 WHERE id = 1").is_none());
    b.server.disconnect(b.now, one);
    b.drain();
    assert!(b.take_done(two).is_some());
    assert_eq!(b.rows(two, "SELECT v FROM t WHERE id = 1"), "6");
    assert!(b.server.locks.is_empty());
}

#[test]
fn a_definition_that_fails_answers_when_what_it_committed_is_there_for_all() {
    let (mut b, one, two) = accounts();
    b.slow_disk = true;
    for (id, row) in [(one, 1), (two, 2)] {
        b.ok(id, "BEGIN");
        b.ok(id, &format!("UPDATE t SET v = 0 WHERE id = {row}"));
    }
    for id in [one, two] {
        assert!(b.send(id, "CREATE TABLE t (id INT PRIMARY KEY)").is_none(), "the log is not synced yet");
    }
    while !b.syncs.is_empty() {
        b.finish_sync();
    }
    for id in [one, two] {
        let outcome = b.take_done(id).unwrap();
        assert!(matches!(outcome.body, Body::Err(SqlError { code: 1050, .. })));
        assert_eq!(outcome.status, STATUS_AUTOCOMMIT);
    }
    b.slow_disk = false;
    b.ok(one, "UPDATE t SET v = 1 WHERE id = 2");
    b.ok(two, "UPDATE t SET v = 1 WHERE id = 1");
    assert_eq!(b.rows(one, "SELECT v FROM t"), "1 1", "nobody holds a row any more");
}

#[test]
fn what_a_failed_definition_committed_is_no_business_of_the_next_statement() {
    let (mut b, one, two) = accounts();
    b.ok(one, "BEGIN");
    b.ok(one, "UPDATE t SET v = 0 WHERE id = 1");
    assert_eq!(b.err(one, "CREATE TABLE t (id INT PRIMARY KEY)"), 1050);
    b.slow_disk = true;
    b.ok(two, "BEGIN");
    b.ok(two, "UPDATE t SET v = 0 WHERE id = 2");
    assert!(b.send(two, "CREATE TABLE t (id INT PRIMARY KEY)").is_none());
    assert_eq!(b.rows(one, "SELECT v FROM t"), "0 20", "it does not wait for another's commit");
    b.finish_sync();
    b.slow_disk = false;
    b.ok(one, "UPDATE t SET v = 1 WHERE id = 2");
}
