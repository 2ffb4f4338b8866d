//! Positions against the servers' own functions: what they read, refuse, print, compare and wait for.

use weir_core::gtid::{Flavor, Position};
use weir_core::rng::Rng;
use weir_io::servers::Server;
use weir_tests::{MySql56, TestCluster, query_value};

const SEED: u64 = 20_260_101;

fn mysql(text: &str) -> Position {
    Position::parse(Flavor::MySql, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn mariadb(text: &str) -> Position {
    Position::parse(Flavor::MariaDb, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A set as a person might write it: in any order, overlapping, in either case, with spaces.
fn written_set(rng: &mut Rng) -> String {
    let sources = (0..rng.below(4)).map(|_| {
        let uuid = format!("{0:08x}-0000-0000-0000-0000000000aF", rng.below(3));
        let runs = (0..=rng.below(6)).map(|_| {
            let start = 1 + rng.below(40);
            if rng.chance(0.3) { format!(":{start}") } else { format!(": {start}-{} ", start + rng.below(8)) }
        });
        uuid + &runs.collect::<String>()
    });
    sources.collect::<Vec<_>>().join(" ,")
}

#[test]
fn sets_compare_and_subtract_as_mysql_does_it() {
    const PAIRS: usize = 40;
    const ROUNDS: usize = 10;
    let server = MySql56::start();
    let mut rng = Rng::new(SEED);
    let mut contained = 0;
    for _ in 0..ROUNDS {
        let pairs: Vec<_> = (0..PAIRS).map(|_| (written_set(&mut rng), written_set(&mut rng))).collect();
        let asked = pairs.iter().map(|(a, b)| {
            format!(
                "SELECT GTID_SUBSET('{b}', '{a}'), GTID_SUBTRACT('{a}', '{b}'), GTID_SUBTRACT('{a},{b}', ''), \
                 GTID_SUBTRACT('{a}', GTID_SUBTRACT('{a}', '{b}'))"
            )
        });
        let answered = server.query(&asked.collect::<Vec<_>>().join(" UNION ALL ")).unwrap();
        assert_eq!(answered.rows.len(), PAIRS);
        for ((a, b), row) in pairs.iter().zip(answered.rows) {
            let said = row.map_text();
            let (pa, pb) = (mysql(a), mysql(b));
            contained += usize::from(said[0] == "1");
            assert_eq!(pa.contains(&pb).unwrap(), said[0] == "1", "{a} | {b}");
            assert_eq!(format!("{:#}", pa.subtract(&pb).unwrap()), said[1], "{a} | {b}");
            assert_eq!(format!("{:#}", pa.union(&pb).unwrap()), said[2], "{a} | {b}");
            assert_eq!(format!("{:#}", pa.intersect(&pb).unwrap()), said[3], "{a} | {b}");
        }
    }
    assert!(contained > 20, "both answers occur");
}

/// A row's values as text.
trait MapText {
    fn map_text(self) -> Vec<String>;
}

impl MapText for Vec<Option<Vec<u8>>> {
    fn map_text(self) -> Vec<String> {
        self.into_iter().map(|value| String::from_utf8(value.expect("not NULL")).expect("text")).collect()
    }
}

#[test]
fn mysql_refuses_what_is_refused_here() {
    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let server = MySql56::start();
    let refused = |set: &str| server.query(&format!("SELECT GTID_SUBSET('{set}', '')")).is_err();
    for end in [":", ":0", ":-1", ":1--2", ":1 2", ":9223372036854775807", ":99999999999999999999", ":1x", ":1:"] {
        let set = format!("{A}{end}");
        assert!(Position::parse(Flavor::MySql, &set).is_err() && refused(&set), "{set}");
    }
    for end in [":1", " : 1 - 2 ", ":9223372036854775806", ":1,,", ":1 , ", &format!(":5,{A}:3")] {
        let set = format!("{A}{end}");
        assert!(Position::parse(Flavor::MySql, &set).is_ok() && !refused(&set), "{set}");
    }
    // The server reads something into these, but never prints them.
    for end in ["", ":1-", ":5-3", ":+1"] {
        let set = format!("{A}{end}");
        assert!(Position::parse(Flavor::MySql, &set).is_err() && !refused(&set), "{set}");
    }
}

#[test]
fn what_mysql_executed_reads_and_prints_the_same() {
    let server = MySql56::start();
    let purged = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:9,\n00000000-71ca-11e1-9e33-c80aa9429562:7";
    server.query(&format!("SET GLOBAL gtid_purged = '{purged}'; CREATE DATABASE d; CREATE TABLE d.t (a INT)")).unwrap();
    let executed = server.query("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid").unwrap();
    let said = executed.rows.into_iter().next().unwrap().map_text();
    let position = mysql(&said[0]);
    assert_eq!(format!("{position:#}"), said[0]);
    assert_eq!(position, mysql(purged).union(&mysql(&format!("{}:1-2", said[1]))).unwrap());
}

/// Domains 1 to 3, which the server does not write to itself.
fn random_position(rng: &mut Rng) -> Position {
    let mut position = Position::default();
    for domain in 1..=3 {
        if rng.chance(0.6) {
            let (server, seq) = (1 + rng.below(3) as u32, 1 + rng.below(4));
            position.merge(&Position::mariadb(domain, server, seq)).unwrap();
        }
    }
    position
}

fn set_replica_position(server: &Server, position: &Position) {
    server.query(&format!("SET GLOBAL gtid_slave_pos = '{position}'")).unwrap();
}

#[test]
fn a_wait_ends_at_once_exactly_when_the_position_is_contained() {
    const WAITS: usize = 30;
    let cluster = TestCluster::start(1);
    let server = cluster.primary();
    let mut rng = Rng::new(SEED);
    let mut reached = 0;
    for _ in 0..15 {
        let at = random_position(&mut rng);
        set_replica_position(server, &at);
        assert_eq!(query_value(server, "SELECT @@gtid_slave_pos"), at.to_string(), "prints the same");
        let wanted: Vec<Position> = (0..WAITS).map(|_| random_position(&mut rng)).collect();
        let waits = wanted.iter().map(|position| format!("SELECT MASTER_GTID_WAIT('{position}', 0)"));
        let answered = server.query(&waits.collect::<Vec<_>>().join(" UNION ALL ")).unwrap();
        assert_eq!(answered.rows.len(), WAITS);
        for (wanted, row) in wanted.iter().zip(&answered.rows) {
            reached += usize::from(row[0] == "0");
            assert_eq!(at.contains(wanted).unwrap(), row[0] == "0", "at {at}, waiting for {wanted}: {row:?}");
        }
    }
    assert!((20..430).contains(&reached), "both answers occur: {reached}");
}

#[test]
fn mariadb_refuses_what_is_refused_here() {
    let cluster = TestCluster::start(1);
    let accepted = |text: &str| cluster.primary().query(&format!("SET GLOBAL gtid_slave_pos = '{text}'")).is_ok();
    for text in ["x", ",", "1-1", "1-1-", "1-1-2-3", "1--1-2", "1-1-2,", ",1-1-2", "1-1-2,1-2-3", "4294967296-1-1"] {
        assert!(Position::parse(Flavor::MariaDb, text).is_err(), "{text}");
        assert!(!accepted(text), "{text}");
    }
    for text in ["", "1-1-2", "1-1-2,2-1-3", "4294967295-4294967295-18446744073709551615"] {
        assert!(Position::parse(Flavor::MariaDb, text).is_ok(), "{text}");
        assert!(accepted(text), "{text}");
    }
}

#[test]
fn the_position_of_a_write_is_reached_by_the_server_that_made_it() {
    let cluster = TestCluster::start(2);
    let server = cluster.primary();
    server.query("CREATE DATABASE d; CREATE TABLE d.t (a INT)").unwrap();
    let mut session = Position::default();
    let mut last = None;
    for _ in 0..3 {
        let gtid = query_value(server, "INSERT INTO d.t VALUES (1); SELECT @@last_gtid");
        let write = mariadb(&gtid);
        assert_eq!(last.as_ref().map(|last| write.contains(last)), last.as_ref().map(|_| Ok(true)), "later writes");
        session.merge(&write).unwrap();
        last = Some(write);
    }
    let executed = mariadb(&query_value(server, "SELECT @@gtid_current_pos"));
    assert!(executed.contains(&session).unwrap(), "{executed} has {session}");
    // The binary log's own bookkeeping agrees: at its end it has what was executed, at its start nothing of it.
    let status = server.query("SHOW MASTER STATUS").unwrap();
    let (file, end) = (status.first("File").unwrap(), status.first("Position").unwrap());
    assert_eq!(mariadb(&query_value(server, &format!("SELECT BINLOG_GTID_POS('{file}', {end})"))), executed);
    let start = mariadb(&query_value(server, &format!("SELECT BINLOG_GTID_POS('{file}', 4)")));
    assert!(!start.contains(&session).unwrap());
    cluster.wait_for_replicas();
    let replica = mariadb(&query_value(&cluster.replicas()[0], "SELECT @@gtid_current_pos"));
    assert!(replica.contains(&session).unwrap(), "{replica} has {session}");
}
