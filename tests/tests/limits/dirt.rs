//! What a client leaves on its server connection when it vanishes: the next client must not find any of it.
//!
//! The pool has one connection, so that whoever comes next gets that one, or another in its place.

use crate::census::{Census, expect_clients};
use weir_core::mysql::command::ClientCommand;
use weir_tests::{Heard, TestCluster, Weir, Wire};

/// A client leaves something behind.
type Leave = fn(&mut Wire);

fn run(wire: &mut Wire, statements: &[&str]) {
    for sql in statements {
        wire.query(sql).unwrap_or_else(|heard| panic!("{sql}: {heard:?}"));
    }
}

fn start(wire: &mut Wire, sql: &str) {
    wire.command(&ClientCommand::Query(sql.as_bytes()));
}

const LEAVE: &[(&str, Leave)] = &[
    ("nothing", |_| {}),
    ("a transaction", |w| run(w, &["START TRANSACTION", "INSERT INTO t VALUES (1)"])),
    ("a transaction without autocommit", |w| run(w, &["SET autocommit = 0", "INSERT INTO t VALUES (1)"])),
    ("a read-only transaction", |w| run(w, &["START TRANSACTION READ ONLY", "SELECT * FROM t"])),
    ("a transaction's snapshot", |w| run(w, &["START TRANSACTION WITH CONSISTENT SNAPSHOT"])),
    ("a savepoint", |w| run(w, &["START TRANSACTION", "INSERT INTO t VALUES (1)", "SAVEPOINT s"])),
    ("a row lock", |w| run(w, &["START TRANSACTION", "SELECT * FROM t FOR UPDATE"])),
    ("an isolation level", |w| run(w, &["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"])),
    ("a next isolation level", |w| run(w, &["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"])),
    ("an XA transaction", |w| run(w, &["XA START 'x'", "INSERT INTO t VALUES (1)"])),
    ("a temporary table", |w| run(w, &["CREATE TEMPORARY TABLE temporary (a INT)"])),
    ("a temporary table in the place of another", |w| run(w, &["CREATE TEMPORARY TABLE t (z INT)"])),
    ("a user variable", |w| run(w, &["SET @v = 'mine'"])),
    ("a user variable set on the way", |w| run(w, &["SELECT @v := 'mine'"])),
    ("a lock by name", |w| run(w, &["SELECT GET_LOCK('l', 0)"])),
    ("locked tables", |w| run(w, &["LOCK TABLES t WRITE"])),
    ("a global read lock", |w| run(w, &["FLUSH TABLES WITH READ LOCK"])),
    ("a handler", |w| run(w, &["HANDLER t OPEN"])),
    ("a statement by name", |w| run(w, &["PREPARE s FROM 'SELECT 1'"])),
    ("variables", |w| run(w, &["SET sql_mode = 'ANSI', time_zone = '+03:00', foreign_key_checks = 0"])),
    ("a character set", |w| run(w, &["SET NAMES latin1"])),
    ("a schema", |w| run(w, &["USE mysql"])),
    ("a role by name", |w| run(w, &["USE d@PRIMARY"])),
    ("an insert id", |w| run(w, &["INSERT INTO n VALUES ()"])),
    ("an insert id of its choice", |w| run(w, &["SELECT LAST_INSERT_ID(77)"])),
    ("found rows", |w| run(w, &["SELECT SQL_CALC_FOUND_ROWS * FROM n LIMIT 1"])),
    ("a time of its own", |w| run(w, &["SET timestamp = 1"])),
    ("a seed", |w| run(w, &["SET rand_seed1 = 1, rand_seed2 = 2"])),
    ("warnings", |w| run(w, &["SELECT 1 / 0, CAST('x' AS INT)"])),
    ("an error", |w| drop(w.query("SELECT * FROM nothing"))),
    ("a statement that runs", |w| start(w, "SELECT SLEEP(0.3)")),
    ("a write that runs", |w| start(w, "INSERT INTO t SELECT SLEEP(0.3)")),
    ("a statement that runs in a transaction", |w| {
        run(w, &["START TRANSACTION", "INSERT INTO t VALUES (1)"]);
        start(w, "SELECT SLEEP(0.3)");
    }),
    ("half a result", |w| {
        start(w, "SELECT a.TABLE_NAME, REPEAT('x', 1000) FROM information_schema.COLUMNS a");
        assert!(matches!(w.hear(), Heard::Packet(_)));
    }),
    ("half a file", |w| {
        start(w, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t");
        assert_eq!(w.hear(), Heard::Packet(b"\xfbx".to_vec()));
        w.send(b"1\n2\n");
    }),
    ("half a file in a transaction", |w| {
        run(w, &["START TRANSACTION", "INSERT INTO t VALUES (1)"]);
        start(w, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t");
        assert_eq!(w.hear(), Heard::Packet(b"\xfbx".to_vec()));
        w.send(b"1\n2\n");
    }),
    ("a cursor", |w| {
        let statement_id = w.prepare("SELECT * FROM n").expect("a statement").statement_id;
        // Flag 1: read only cursor.
        w.command(&ClientCommand::Execute { statement_id, body: b"\x01\x01\0\0\0" });
        assert!(matches!(w.hear(), Heard::Packet(_)));
    }),
    ("prepared statements", |w| {
        for number in 0..10 {
            w.prepare(&format!("SELECT {number}")).expect("a statement");
        }
    }),
    ("half a command in a transaction", |w| {
        run(w, &["START TRANSACTION", "INSERT INTO t VALUES (1)"]);
        w.announce(0, 100);
        w.send_bytes(b"\x03COMMIT");
    }),
    ("an interrupted packet order in a transaction", |w| {
        run(w, &["START TRANSACTION", "INSERT INTO t VALUES (1)"]);
        w.send_as(7, b"\x03COMMIT");
    }),
];

/// What a client sees of its session; whatever another has left shows in one of these.
const SEEN: &[&str] = &[
    "SELECT DATABASE(), @@autocommit, @@in_transaction, @@sql_mode, @@time_zone, @@foreign_key_checks",
    "SELECT @@character_set_client, @@character_set_results, @@collation_connection, @@tx_isolation, @@tx_read_only",
    "SELECT @v, LAST_INSERT_ID(), IS_USED_LOCK('l'), @@timestamp BETWEEN 1e9 AND 1e10, @@warning_count, @@error_count",
    "SHOW WARNINGS",
    "SELECT FOUND_ROWS()",
    "SELECT COUNT(*) FROM d.t",
    "SELECT * FROM d.temporary",
    "SELECT a FROM d.t",
    "EXECUTE s",
    "HANDLER d.t READ FIRST",
    "ROLLBACK TO SAVEPOINT s",
    "XA END 'x'",
    "SELECT COUNT(*) FROM information_schema.innodb_trx",
    "INSERT INTO d.t VALUES (9)",
    "DELETE FROM d.t",
    "FLUSH TABLES",
];

/// All of [`SEEN`], as a client sees it that has just come, in this schema.
fn seen(weir: &Weir, schema: Option<&str>) -> Vec<String> {
    let mut client = Wire::login_to(weir.address(), schema);
    client.query("SET lock_wait_timeout = 3, innodb_lock_wait_timeout = 3").expect("limits");
    SEEN.iter().map(|sql| format!("{sql}: {:?}", client.query(sql).map(|rows| rows.rows))).collect()
}

/// What whoever comes next sees otherwise than `clean`.
fn found(weir: &Weir, what: &str, leave: Leave, schema: Option<&str>, clean: &[String]) -> Vec<String> {
    let mut client = Wire::login_to(weir.address(), Some("d"));
    leave(&mut client);
    drop(client);
    expect_clients(weir, 0);
    let differ =
        |(clean, seen): (&String, String)| (*clean != seen).then(|| format!("after {what}:\n  {clean}\n  {seen}"));
    clean.iter().zip(seen(weir, schema)).filter_map(differ).collect()
}

#[test]
fn whoever_vanishes_leaves_nothing_to_the_next() {
    let cluster = TestCluster::start(1);
    let tables = "CREATE DATABASE d; CREATE TABLE d.t (a INT); \
                  CREATE TABLE d.n (a INT PRIMARY KEY AUTO_INCREMENT) AUTO_INCREMENT = 50; INSERT INTO d.n VALUES (1), (2)";
    cluster.primary().query(tables).expect("tables");
    let mut weir = Weir::attach(&cluster, &["--pool-size", "2"]);
    let before = Census::at_rest(&cluster, &weir);
    let mut complaints = Vec::new();
    // A client with a schema and one without never get the same connection.
    for schema in [Some("d"), None] {
        let clean = seen(&weir, schema);
        for (what, leave) in LEAVE {
            complaints.extend(found(&weir, what, *leave, schema, &clean));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    before.expect_return(&cluster, &weir);
    weir.assert_unharmed();
}
