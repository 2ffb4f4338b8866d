//! What MariaDB's clients can ask for beyond MySQL's protocol, on real servers: extended metadata, and reports of progress.

use std::net::SocketAddr;
use weir_core::mysql::capability::MariaDbCapabilities;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::packet::is_progress;
use weir_core::mysql::wire::Reader;
use weir_tests::wire::{Heard, Wire, response};
use weir_tests::{Deployment, TestCluster, Weir};

/// Columns whose type is told by extended metadata alone.
const ODD: &str = "CREATE TABLE odd (a INT, j JSON, p POINT, l LINESTRING, i INET6, u UUID)";
/// An ALTER TABLE of so many rows takes over a second, in each stage.
const ROWS: u32 = 3_000_000;

fn log_in(address: SocketAddr, of_mariadb: MariaDbCapabilities) -> Wire {
    let (mut wire, greeting) = Wire::greeted(address);
    assert!(greeting.of_mariadb.contains(of_mariadb), "{address} offers {:?}", greeting.of_mariadb);
    let mut response = response(&greeting);
    response.of_mariadb = of_mariadb;
    let heard = wire.respond(&response);
    assert!(heard.is_ok(), "{heard:?}");
    ask(&mut wire, "CREATE DATABASE IF NOT EXISTS extended");
    ask(&mut wire, "USE extended");
    wire
}

/// An answer that is one result.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    reports: usize,
    columns: Vec<Vec<u8>>,
    rows: Vec<Vec<u8>>,
}

fn hear(wire: &mut Wire, reports: &mut usize) -> Vec<u8> {
    loop {
        let heard = wire.hear();
        let Heard::Packet(payload) = &heard else { panic!("{heard:?}") };
        match payload.as_slice() {
            report if is_progress(report) => *reports += 1,
            [0xff, ..] => panic!("{heard:?}"),
            packet => return packet.to_vec(),
        }
    }
}

fn ask(wire: &mut Wire, sql: &str) -> Answer {
    wire.command(&ClientCommand::Query(sql.as_bytes()));
    let mut answer = Answer::default();
    let first = hear(wire, &mut answer.reports);
    if first[0] == 0 {
        return answer;
    }
    let columns = Reader::new(&first).lenenc_int("columns").expect("a number of columns");
    for _ in 0..columns {
        answer.columns.push(hear(wire, &mut answer.reports));
    }
    loop {
        match hear(wire, &mut answer.reports) {
            end if end[0] == 0xfe => return answer,
            row => answer.rows.push(row),
        }
    }
}

fn names(packet: &[u8], name: &str) -> bool {
    packet.windows(name.len()).any(|part| part == name.as_bytes())
}

#[test]
fn clients_read_the_metadata_that_they_asked_for() {
    let cluster = TestCluster::start(1);
    // Both kinds of clients have to share what connections there are.
    let weir = Weir::attach(&cluster, &["--pool-size", "3"]);
    let direct = cluster.primary().address();
    ask(&mut log_in(direct, MariaDbCapabilities::empty()), ODD);
    let all = MariaDbCapabilities::EXTENDED_METADATA | MariaDbCapabilities::PROGRESS;
    let statements = [
        "SELECT * FROM odd",
        "INSERT INTO odd (a, j) VALUES (1, '[1]')",
        "SELECT j, a FROM odd",
        "SELECT CAST('x' AS INT), ST_GeomFromText('POINT(1 2)')",
        "SHOW WARNINGS",
        "SELECT @@warning_count, FOUND_ROWS()",
        "SELECT p FROM odd PROCEDURE ANALYSE()",
        "DELETE FROM odd",
    ];
    for of_mariadb in [all, MariaDbCapabilities::empty(), all] {
        let mut clients = [direct, weir.address()].map(|address| log_in(address, of_mariadb));
        for sql in statements {
            let [wished, got] = clients.each_mut().map(|client| ask(client, sql));
            assert_eq!(got.columns, wished.columns, "{sql} as {of_mariadb:?}");
            if sql.starts_with("SELECT *") {
                let told = ["json", "point", "linestring", "inet6", "uuid"];
                let all_of_it = told.iter().all(|name| got.columns.iter().any(|column| names(column, name)));
                assert_eq!(all_of_it, !of_mariadb.is_empty(), "{:?}", got.columns);
            }
        }
        ask(&mut clients[1], "SHOW WEIR TABLETS");
        ask(&mut clients[1], "SELECT CONNECTION_ID()");
    }
}

#[test]
fn who_wants_it_is_told_how_far_a_long_statement_is() {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &[]);
    let deployment = Deployment::small_with(&[]);
    for address in [weir.address(), deployment.gateway(0)] {
        let mut plain = log_in(address, MariaDbCapabilities::empty());
        ask(&mut plain, "CREATE TABLE long_one (a INT, b INT) ENGINE=Aria");
        ask(&mut plain, &format!("INSERT INTO long_one SELECT seq, seq % 1000 FROM seq_1_to_{ROWS}"));
        for (of_mariadb, index) in [(MariaDbCapabilities::PROGRESS, "b, a"), (MariaDbCapabilities::empty(), "a, b")] {
            let mut client = log_in(address, of_mariadb);
            ask(&mut client, "SET progress_report_time = 1");
            let altered = ask(&mut client, &format!("ALTER TABLE long_one ADD INDEX ({index}), ALGORITHM = COPY"));
            assert_eq!(altered.reports > 0, !of_mariadb.is_empty(), "{} reports", altered.reports);
            assert_eq!(ask(&mut client, "SELECT 1").rows.len(), 1, "the connection goes on");
        }
    }
}
