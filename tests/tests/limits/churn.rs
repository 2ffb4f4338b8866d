//! Ten thousand connections that are opened and dropped, at every stage a connection can be at.

use crate::census::Census;
use std::net::SocketAddr;
use weir_core::mysql::command::ClientCommand;
use weir_tests::wire::response;
use weir_tests::{Heard, TestCluster, Weir, Wire};

const CONNECTIONS: usize = 10_000;
const THREADS: usize = 8;
/// What the gateway may hold more than before, once all have gone: buffers and what the allocator keeps.
const MEMORY_KIB_MAX: u64 = 32 * 1024;
/// Rows that clients lock.
const ROWS: usize = 100;

/// Brings a connection with this number to some stage, and drops it.
type Stage = fn(usize, SocketAddr);

/// Of twenty connections, how many are dropped at which stage.
const STAGES: [(usize, Stage); 8] = [
    (6, before_the_greeting_is_read),
    (5, after_the_greeting),
    (3, in_the_middle_of_the_response),
    (2, after_the_login),
    (1, while_a_statement_runs),
    (1, in_a_transaction_with_a_lock),
    (1, in_the_middle_of_a_result),
    (1, with_half_a_command),
];

fn before_the_greeting_is_read(_: usize, address: SocketAddr) {
    drop(Wire::connect(address));
}

fn after_the_greeting(_: usize, address: SocketAddr) {
    drop(Wire::greeted(address));
}

fn in_the_middle_of_the_response(_: usize, address: SocketAddr) {
    let (mut wire, greeting) = Wire::greeted(address);
    let mut payload = Vec::new();
    response(&greeting).encode(&mut payload);
    wire.announce(1, payload.len());
    wire.send_bytes(&payload[..payload.len() / 2]);
}

fn after_the_login(_: usize, address: SocketAddr) {
    drop(Wire::login(address));
}

fn while_a_statement_runs(_: usize, address: SocketAddr) {
    Wire::login(address).command(&ClientCommand::Query(b"SELECT SLEEP(0.05)"));
}

fn in_a_transaction_with_a_lock(number: usize, address: SocketAddr) {
    let mut wire = Wire::login_to(address, Some("d"));
    wire.query("START TRANSACTION").expect("a transaction");
    wire.query(&format!("UPDATE t SET b = b + 1 WHERE a = {}", number % ROWS)).expect("a lock");
}

fn in_the_middle_of_a_result(_: usize, address: SocketAddr) {
    let mut wire = Wire::login_to(address, Some("d"));
    wire.command(&ClientCommand::Query(b"SELECT x.a, REPEAT('x', 1000) FROM t x, t y"));
    assert!(matches!(wire.hear(), Heard::Packet(_)));
}

fn with_half_a_command(_: usize, address: SocketAddr) {
    let mut wire = Wire::login(address);
    wire.announce(0, 1000);
    wire.send_bytes(b"\x03SELECT");
}

fn stage(number: usize) -> Stage {
    let mut at = number % STAGES.iter().map(|(share, _)| share).sum::<usize>();
    for (share, stage) in STAGES {
        if at < share {
            return stage;
        }
        at -= share;
    }
    unreachable!("the shares cover all")
}

#[test]
fn ten_thousand_dropped_connections_leave_nothing() {
    let cluster = TestCluster::start(2);
    let values: Vec<String> = (0..ROWS).map(|a| format!("({a}, 0)")).collect();
    let table = format!(
        "CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b INT); INSERT INTO d.t VALUES {}",
        values.join(", ")
    );
    cluster.primary().query(&table).expect("a table");
    cluster.wait_for_replicas();
    let mut weir = Weir::attach(&cluster, &["--pool-size", "20"]);
    let before = Census::at_rest(&cluster, &weir);
    let memory_before = weir.memory_kib();

    let address = weir.address();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let numbers = (thread..CONNECTIONS).step_by(THREADS);
            scope.spawn(move || numbers.for_each(|number| stage(number)(number, address)));
        }
    });

    before.expect_return(&cluster, &weir);
    let more = weir.memory_kib().saturating_sub(memory_before);
    assert!(more <= MEMORY_KIB_MAX, "{more} KiB more than before");
    // No lock is left, and nothing that was not committed.
    let mut client = Wire::login_to(address, Some("d"));
    client.query("SET innodb_lock_wait_timeout = 1").expect("a limit");
    client.query("UPDATE t SET b = b + 1").expect("no lock is left");
    assert_eq!(client.value("SELECT MIN(b) = 1 AND MAX(b) = 1 FROM t"), "1");
    weir.assert_unharmed();
}
