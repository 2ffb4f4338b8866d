//! Packets that are longer than they may be, and packets that never come to their end.

use crate::census::Census;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weir_core::mysql::command::ClientCommand;
use weir_tests::{Heard, TestCluster, Weir, Wire, eventually, query_value};

const MIB: usize = 1 << 20;
/// The longest payload that one header can announce before another follows, in bytes.
const FRAME_BYTES_MAX: usize = 16 * MIB - 1;

/// What a client with one packet too long does.
type Oversize = fn(&mut Wire);

const OVERSIZE: &[(&str, Oversize)] = &[
    ("announced, twice the limit", |wire| wire.announce(0, 2 * MIB)),
    ("announced, as long as a header can say", |wire| wire.announce(0, FRAME_BYTES_MAX)),
    ("one byte over the limit", |wire| wire.send_as(0, &query_of(MIB + 1))),
    ("twice the limit", |wire| wire.send_as(0, &query_of(2 * MIB))),
    ("in several frames", |wire| wire.send_as(0, &query_of(20 * MIB))),
];

/// A COM_QUERY that is this long, in bytes.
fn query_of(len: usize) -> Vec<u8> {
    let mut payload = vec![b' '; len];
    payload[0] = 3;
    payload
}

fn reactions(address: SocketAddr) -> Vec<(&'static str, Heard, Heard)> {
    let react = |(what, act): &(&'static str, Oversize)| {
        let mut wire = Wire::login(address);
        act(&mut wire);
        (*what, wire.hear(), wire.hear())
    };
    OVERSIZE.iter().map(react).collect()
}

#[test]
fn an_oversize_packet_is_refused_as_by_a_server() {
    let cluster = TestCluster::with_settings(1, &["max-allowed-packet=1M"]);
    let mut weir = Weir::attach(&cluster, &[]);
    let of_server = reactions(cluster.primary().address());
    assert_eq!(reactions(weir.address()), of_server);
    for (what, refusal, end) in of_server {
        assert_eq!((refusal.error().map(|error| error.code), end), (Some(1153), Heard::Closed), "{what}");
    }
    weir.assert_unharmed();
}

#[test]
fn a_limit_of_its_own_holds_to_the_byte_and_across_frames() {
    const LIMIT_BYTES: usize = 20 * MIB;
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--max-allowed-packet", &LIMIT_BYTES.to_string()]);
    let mut wire = Wire::login(weir.address());
    wire.send_as(0, &query_of(LIMIT_BYTES));
    assert_eq!(wire.hear().error().map(|error| error.code), Some(1065), "within the limit: the server's word");
    assert!(wire.is_usable());
    wire.send_as(0, &query_of(LIMIT_BYTES + 1));
    assert_eq!(wire.hear().error().map(|error| error.code), Some(1153));
    assert_eq!(wire.hear(), Heard::Closed);
}

#[test]
fn memory_follows_what_arrives_and_not_what_is_announced() {
    const CLIENTS: usize = 300;
    const SENT_BYTES: usize = 4 << 10;
    /// For the sessions themselves, buffers and the allocator's rounding.
    const CLIENT_KIB_MAX: u64 = 64;
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &[]);
    let before = Census::at_rest(&cluster, &weir);
    let memory_before = weir.memory_kib();

    let mut clients: Vec<Wire> = (0..CLIENTS).map(|_| Wire::login(weir.address())).collect();
    for client in &mut clients {
        client.announce(0, FRAME_BYTES_MAX);
        client.send_bytes(&query_of(SENT_BYTES));
    }
    assert!(Wire::login(weir.address()).is_usable(), "others are served");
    let held = weir.memory_kib().saturating_sub(memory_before);
    assert!(held <= CLIENTS as u64 * CLIENT_KIB_MAX, "{CLIENTS} clients hold {held} KiB");
    drop(clients);
    before.expect_return(&cluster, &weir);
    weir.assert_unharmed();
}

#[test]
fn half_of_a_large_packet_is_held_once_and_given_back() {
    const CLIENTS: usize = 40;
    const SENT_BYTES: usize = 2 * MIB;
    /// A buffer that grows by doubling, and what is read at once.
    const HELD_KIB_MAX: u64 = (CLIENTS * 2 * SENT_BYTES / 1024) as u64 + 16 * 1024;
    /// What the allocator may keep.
    const KEPT_KIB_MAX: u64 = 48 * 1024;
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &[]);
    let before = Census::at_rest(&cluster, &weir);
    let memory_before = weir.memory_kib();

    let mut clients: Vec<Wire> = (0..CLIENTS).map(|_| Wire::login(weir.address())).collect();
    for client in &mut clients {
        client.announce(0, 8 * MIB);
        client.send_bytes(&query_of(SENT_BYTES));
    }
    let sent_kib = (CLIENTS * SENT_BYTES / 1024) as u64;
    eventually(Duration::from_secs(10), "all has arrived", || weir.memory_kib() >= memory_before + sent_kib / 2);
    let held = weir.memory_kib() - memory_before;
    assert!(held <= HELD_KIB_MAX, "{sent_kib} KiB arrived, {held} KiB are held");
    drop(clients);
    before.expect_return(&cluster, &weir);
    let kept = weir.memory_kib().saturating_sub(memory_before);
    assert!(kept <= KEPT_KIB_MAX, "{kept} KiB are kept of {sent_kib}");
    weir.assert_unharmed();
}

#[test]
fn a_large_statement_is_not_kept_by_its_client_or_its_connection() {
    const CLIENTS: usize = 24;
    const STATEMENT_BYTES: usize = 8 * MIB;
    /// What the allocator may keep, however many clients there are: half of one copy of each statement.
    const KEPT_KIB_MAX: u64 = (CLIENTS * STATEMENT_BYTES / 2 / 1024) as u64;
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &[]);
    let memory_before = weir.memory_kib();
    let text = format!("SELECT LENGTH('{}')", "x".repeat(STATEMENT_BYTES));
    // In transactions, so that each has a connection of its own.
    let mut clients: Vec<Wire> = (0..CLIENTS).map(|_| Wire::login(weir.address())).collect();
    for client in &mut clients {
        client.query("START TRANSACTION").expect("a transaction");
        assert_eq!(client.value(&text), STATEMENT_BYTES.to_string());
    }
    let kept = weir.memory_kib().saturating_sub(memory_before);
    assert!(kept <= KEPT_KIB_MAX, "{kept} KiB are kept of {CLIENTS} statements of {STATEMENT_BYTES} bytes");
    assert!(clients.iter_mut().all(Wire::is_usable));
    weir.assert_unharmed();
}

#[test]
fn a_file_waits_with_its_client_for_a_server_that_does_not_take_it() {
    const PIECES: usize = 4096;
    const PIECE_BYTES: usize = 16 << 10;
    /// What the gateway and the kernel's buffers may take in together, of 64 MiB, and the gateway alone.
    const TAKEN_BYTES_MAX: usize = 32 * MIB;
    const HELD_KIB_MAX: u64 = 8 * 1024;
    let cluster = TestCluster::start(1);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (a TEXT) ENGINE = MyISAM").expect("a table");
    let mut weir = Weir::attach(&cluster, &[]);
    let mut wire = Wire::login(weir.address());
    let memory_before = weir.memory_kib();
    assert_eq!(
        wire.ask(&ClientCommand::Query(b"LOAD DATA LOCAL INFILE 'f' INTO TABLE d.t")),
        Heard::Packet(b"\xfbf".to_vec())
    );

    cluster.primary().freeze();
    let sent = AtomicUsize::new(0);
    let mut line = vec![b'x'; PIECE_BYTES];
    line[PIECE_BYTES - 1] = b'\n';
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for _ in 0..PIECES {
                wire.send(&line);
                sent.fetch_add(PIECE_BYTES, Ordering::Relaxed);
            }
            wire.send(b"");
            wire.hear()
        });
        let mut before = usize::MAX;
        eventually(Duration::from_secs(20), "the client has to wait", || {
            std::thread::sleep(Duration::from_millis(200));
            let now = sent.load(Ordering::Relaxed);
            std::mem::replace(&mut before, now) == now
        });
        let held = weir.memory_kib().saturating_sub(memory_before);
        let taken = sent.load(Ordering::Relaxed);
        cluster.primary().thaw();
        assert!(taken <= TAKEN_BYTES_MAX && held <= HELD_KIB_MAX, "{taken} bytes are taken, {held} KiB are held");
        assert!(sending.join().expect("the client").is_ok());
    });
    assert_eq!(query_value(cluster.primary(), "SELECT COUNT(*) FROM d.t"), PIECES.to_string());
    weir.assert_unharmed();
}
