//! How many may come, and what those hear that are too many.

use std::net::SocketAddr;
use std::time::Duration;
use weir_core::mysql::command::ClientCommand;
use weir_tests::{Heard, TestCluster, Weir, Wire, eventually};

/// Logs in until it is refused; the clients that are in, and the refusal.
fn fill(address: SocketAddr) -> (Vec<Wire>, Heard) {
    const TRIES_MAX: usize = 100;
    let mut clients = Vec::new();
    for _ in 0..TRIES_MAX {
        match Wire::try_login(address, None) {
            Ok(client) => clients.push(client),
            Err(refusal) => return (clients, refusal),
        }
    }
    panic!("{TRIES_MAX} clients are in");
}

/// Two of `clients` leave: two others get in, and no more.
fn expect_room(clients: &mut Vec<Wire>, address: SocketAddr) {
    let full = clients.len();
    clients.truncate(full - 2);
    eventually(Duration::from_secs(10), "there is room again", || {
        clients.extend(Wire::try_login(address, None));
        clients.len() == full
    });
    assert!(Wire::try_login(address, None).is_err());
}

#[test]
fn too_many_clients_hear_what_a_server_says() {
    let cluster = TestCluster::with_settings(1, &["max-connections=12", "max-user-connections=100"]);
    let weir = Weir::attach(&cluster, &["--max-connections", "5", "--pool-size", "2"]);
    let (mut clients, refusal) = fill(weir.address());
    assert_eq!(clients.len(), 5);
    // Before the greeting MySQL sends no SQLSTATE, as its manual has it; MariaDB does.
    let words = |heard: &Heard| heard.error().map(|error| (error.code, error.message));
    assert_eq!(words(&refusal), words(&fill(cluster.primary().address()).1));
    assert_eq!(refusal.error().map(|error| error.code), Some(1040));

    // Those who are in go on, and who leaves makes room.
    assert!(clients.iter_mut().all(Wire::is_usable));
    expect_room(&mut clients, weir.address());
}

#[test]
fn too_many_clients_of_one_user_hear_what_a_server_says() {
    let cluster = TestCluster::with_settings(1, &["max-user-connections=100"]);
    let weir = Weir::attach(&cluster, &["--max-user-connections", "5", "--pool-size", "2"]);
    let (mut clients, refusal) = fill(weir.address());
    assert_eq!(clients.len(), 5);
    cluster.primary().query("SET GLOBAL max_user_connections = 10").expect("a limit");
    assert_eq!(refusal, fill(cluster.primary().address()).1);
    assert_eq!(refusal.error().map(|error| error.code), Some(1203));

    assert!(clients.iter_mut().all(Wire::is_usable));
    expect_room(&mut clients, weir.address());
}

#[test]
fn too_many_prepared_statements_are_refused_as_by_a_server() {
    const LIMIT: usize = 3;
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--max-prepared-statements", &LIMIT.to_string()]);
    cluster.primary().query(&format!("SET GLOBAL max_prepared_stmt_count = {LIMIT}")).expect("a limit");
    let refusal_at = |address| {
        let mut client = Wire::login(address);
        for _ in 0..LIMIT {
            client.prepare("SELECT ?").expect("within the limit");
        }
        let refusal = client.prepare("SELECT ?").expect_err("one too many");
        assert!(client.is_usable());
        refusal
    };
    let of_server = refusal_at(cluster.primary().address());
    // The server's own limit is for all its clients; the one that reached it has gone.
    cluster.primary().query("SET GLOBAL max_prepared_stmt_count = 1000").expect("no limit");
    assert_eq!(refusal_at(weir.address()), of_server);
    assert_eq!(of_server.error().map(|error| error.code), Some(1461));

    let mut client = Wire::login(weir.address());
    for _ in 0..10 * LIMIT {
        let statement_id = client.prepare("SELECT ?").expect("room").statement_id;
        client.command(&ClientCommand::CloseStatement { statement_id });
    }
}
