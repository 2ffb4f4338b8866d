//! Single statements: results, counts, errors, variables, waiting.

use super::*;

fn table() -> (Bench, SessionId) {
    let mut bench = bench(Flavor::MariaDb);
    let id = bench.connect();
    bench.ok(id, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT, s VARCHAR(5) NOT NULL DEFAULT 'x')");
    (bench, id)
}

#[test]
fn rows_are_inserted_found_changed_and_deleted() {
    let (mut b, id) = table();
    assert_eq!(b.ok(id, "INSERT INTO t (id, v) VALUES (1, 10), (2, 20), (3, NULL)"), (3, 3));
    assert_eq!(b.rows(id, "SELECT * FROM t"), "1,10,x 2,20,x 3,NULL,x");
    assert_eq!(b.rows(id, "SELECT v FROM t WHERE id IN (3, 1) AND v IS NOT NULL"), "10");
    assert_eq!(b.rows(id, "SELECT id FROM t WHERE v BETWEEN 5 AND 15 OR v IS NULL ORDER BY id DESC"), "3 1");
    assert_eq!(b.ok(id, "UPDATE t SET v = v + 1 WHERE id >= 2"), (1, 0));
    assert_eq!(b.ok(id, "UPDATE t SET v = 21 WHERE id = 2"), (0, 0));
    assert_eq!(b.rows(id, "SELECT COUNT(*), COUNT(v), SUM(v), MAX(v), MIN(v) FROM t"), "3,2,31,21,10");
    assert_eq!(b.ok(id, "DELETE FROM t WHERE v IS NULL"), (1, 0));
    assert_eq!(b.ok(id, "UPDATE t SET id = 9 WHERE id = 1"), (1, 0));
    assert_eq!(b.rows(id, "SELECT id FROM t"), "2 9");
    assert_eq!(b.rows(id, "SELECT SUM(v) FROM t WHERE id = 100"), "NULL");
}

#[test]
fn generated_keys_are_told_and_remembered() {
    let (mut b, id) = table();
    assert_eq!(b.ok(id, "INSERT INTO t (v) VALUES (1), (2)"), (2, 1));
    assert_eq!(b.rows(id, "SELECT LAST_INSERT_ID()"), "1");
    assert_eq!(b.ok(id, "INSERT INTO t (id, v) VALUES (10, 3)"), (1, 10));
    assert_eq!(b.rows(id, "SELECT LAST_INSERT_ID()"), "1");
    assert_eq!(b.ok(id, "INSERT INTO t (v) VALUES (4)"), (1, 11));
    assert_eq!(b.ok(id, "UPDATE t SET v = LAST_INSERT_ID(v + 100) WHERE id = 10"), (1, 103));
    assert_eq!(b.rows(id, "SELECT LAST_INSERT_ID()"), "103");
    let other = b.connect();
    assert_eq!(b.rows(other, "SELECT LAST_INSERT_ID()"), "0");
}

#[test]
fn replace_and_on_duplicate_count_as_servers_count() {
    let (mut b, id) = table();
    b.ok(id, "INSERT INTO t (id, v) VALUES (1, 1)");
    assert_eq!(b.ok(id, "REPLACE INTO t (id, v) VALUES (1, 2), (2, 2)").0, 3);
    assert_eq!(b.ok(id, "REPLACE INTO t (id, v) VALUES (2, 2)").0, 1);
    assert_eq!(b.ok(id, "INSERT INTO t (id, v) VALUES (1, 0) ON DUPLICATE KEY UPDATE v = v + 5").0, 2);
    assert_eq!(b.ok(id, "INSERT INTO t (id, v) VALUES (1, 0) ON DUPLICATE KEY UPDATE v = 7").0, 0);
    assert_eq!(b.rows(id, "SELECT id, v FROM t"), "1,7 2,2");
    let outcome = b.run(id, "INSERT IGNORE INTO t (id, v) VALUES (1, 0)");
    assert_eq!(outcome.warnings, 1);
    assert_eq!(b.rows(id, "SHOW WARNINGS"), "Warning,1062,Duplicate entry '1' for key 'PRIMARY'");
}

#[test]
fn errors_have_the_servers_numbers() {
    let (mut b, id) = table();
    b.ok(id, "INSERT INTO t (id) VALUES (1)");
    b.ok(id, "CREATE TABLE n (id INT PRIMARY KEY, v INT NOT NULL)");
    for (sql, code) in [
        ("INSERT INTO t (id) VALUES (1)", 1062),
        ("INSERT INTO t (s) VALUES (NULL)", 1048),
        ("INSERT INTO t (s) VALUES ('123456')", 1406),
        ("INSERT INTO t (v) VALUES ('abc')", 1366),
        ("INSERT INTO t (v) VALUES (3000000000)", 1264),
        ("INSERT INTO t VALUES (5)", 1136),
        ("INSERT INTO n (id) VALUES (1)", 1364),
        ("SELECT * FROM nowhere", 1146),
        ("SELECT x FROM t", 1054),
        ("SELECT v FROM t WHERE y = 1", 1054),
        ("CREATE TABLE t (id INT)", 1050),
        ("DROP TABLE nowhere", 1051),
        ("USE nowhere", 1049),
        ("SELEKT 1", 1064),
        ("", 1065),
        ("SELECT @@nonsense", 1193),
        ("SET autocommit = 5", 1231),
        ("SET read_only = 1", 1229),
        ("SET GLOBAL version = 'x'", 1238),
        ("SELECT 9223372036854775807 + 1", 1690),
        ("SELECT NONSENSE(1)", 1305),
        ("KILL 999", 1094),
        ("ROLLBACK TO x", 1305),
        ("START SLAVE", 1200),
    ] {
        assert_eq!(b.err(id, sql), code, "{sql}");
    }
}

#[test]
fn a_failed_statement_undoes_itself_and_nothing_else() {
    let (mut b, id) = table();
    b.ok(id, "BEGIN");
    b.ok(id, "INSERT INTO t (id, v) VALUES (1, 1)");
    b.ok(id, "UPDATE t SET v = 2 WHERE id = 1");
    assert_eq!(b.err(id, "INSERT INTO t (id, v) VALUES (2, 2), (1, 3)"), 1062);
    assert_eq!(b.rows(id, "SELECT id, v FROM t"), "1,2");
    b.ok(id, "COMMIT");
    assert_eq!(b.rows(id, "SELECT id, v FROM t"), "1,2");
}

#[test]
fn variables_are_set_shown_and_tracked() {
    let (mut b, id) = table();
    let outcome = b.run(id, "SET autocommit = OFF, @x = 5");
    assert_eq!(outcome.tracked, [Tracked::Variable("autocommit".into(), "OFF".into())]);
    assert_eq!(outcome.status, 0);
    assert_eq!(b.rows(id, "SELECT @@autocommit, @x, @y"), "0,5,NULL");
    assert_eq!(b.rows(id, "SHOW VARIABLES LIKE 'autoc%'"), "autocommit,OFF");
    assert_eq!(b.run(id, "SET @@wait_timeout = 50").tracked, [], "it says no scope");
    assert_eq!(b.rows(id, "SELECT @@wait_timeout"), "50");
    b.ok(id, "SET wait_timeout = DEFAULT");
    b.ok(id, "SET GLOBAL wait_timeout = 77");
    assert_eq!(b.rows(id, "SELECT @@wait_timeout, @@global.wait_timeout"), "28800,77");
    let other = b.connect();
    assert_eq!(b.rows(other, "SELECT @@wait_timeout, @@autocommit"), "77,1");
    assert_eq!(b.run(id, "USE test").tracked, [Tracked::Schema("test".into())]);
    b.server.reset_session(b.now, id);
    assert_eq!(b.rows(id, "SELECT @@autocommit, @x, DATABASE()"), "1,NULL,test");
}

#[test]
fn gtids_come_back_with_the_write() {
    let (mut b, id) = table();
    b.ok(id, "SET session_track_system_variables = 'last_gtid'");
    let outcome = b.run(id, "INSERT INTO t (v) VALUES (1)");
    assert_eq!(outcome.tracked, [Tracked::Variable("last_gtid".into(), "0-1-2".into())]);
    assert_eq!(b.rows(id, "SELECT @@last_gtid, @@gtid_binlog_pos"), "0-1-2,0-1-2");

    let mut b = bench(Flavor::MySql);
    let id = b.connect();
    b.ok(id, "SET SESSION session_track_gtids = OWN_GTID");
    let outcome = b.run(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    let gtid = "00000000-0000-0000-0000-000000000001:1";
    assert_eq!(outcome.tracked, [Tracked::Gtids(gtid.into())]);
    assert_eq!(b.rows(id, "SELECT @@global.gtid_executed"), gtid);
}

#[test]
fn sleeping_and_waiting_take_virtual_time() {
    let (mut b, id) = table();
    assert!(b.send(id, "SELECT SLEEP(1.5), SLEEP(1)").is_none());
    b.pass(Duration::from_secs(2));
    assert!(b.take_done(id).is_none());
    b.pass(Duration::from_secs(1));
    assert_eq!(b.take_done(id).map(|o| o.body), Some(rows_of("SLEEP(1.5),SLEEP(1)", &[0, 0])));
}

fn rows_of(names: &str, values: &[i64]) -> Body {
    let column = |name: &str| Column { name: name.into(), kind: sql::ColumnKind::BigInt };
    let row: Row = values.iter().copied().map(Value::Int).collect();
    Body::Rows(Rows { columns: names.split(',').map(column).collect(), rows: vec![row] })
}

#[test]
fn a_killed_query_fails_and_a_killed_connection_closes() {
    let (mut b, id) = table();
    let killer = b.connect();
    assert!(b.send(id, "SELECT SLEEP(100)").is_none());
    b.ok(killer, &format!("KILL QUERY {id}"));
    assert!(matches!(b.take_done(id).unwrap().body, Body::Err(SqlError { code: 1317, .. })));
    b.ok(killer, &format!("KILL {id}"));
    assert_eq!(b.closed, [id]);
    assert_eq!(b.server.connections(), 1);
}

#[test]
fn connections_have_a_limit_and_an_administrator_one_more() {
    let (mut b, id) = table();
    b.ok(id, "SET GLOBAL max_connections = 10");
    for _ in 1..10 {
        b.server.connect("app", false, false).unwrap();
    }
    assert_eq!(b.server.connect("app", false, false).unwrap_err().code, 1040);
    assert!(b.server.connect("root", true, false).is_ok());
    assert_eq!(b.server.connect("root", true, false).unwrap_err().code, 1040);
}

#[test]
fn named_locks_are_held_by_one() {
    let (mut b, one) = table();
    let two = b.connect();
    assert!(b.send(one, "SELECT GET_LOCK('a', 0)").is_some());
    assert!(b.send(two, "SELECT GET_LOCK('a', 5)").is_none());
    b.pass(Duration::from_secs(5));
    assert!(matches!(b.take_done(two).unwrap().body, Body::Rows(rows) if show(&rows) == "0"));
    assert!(b.send(two, "SELECT GET_LOCK('a', 5)").is_none());
    assert_eq!(b.rows(one, "SELECT RELEASE_LOCK('b'), RELEASE_LOCK('a')"), "NULL,1");
    assert!(matches!(b.take_done(two).unwrap().body, Body::Rows(rows) if show(&rows) == "1"));
}
