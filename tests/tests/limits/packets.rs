//! Packets that are longer than they may be, and packets that never come to their end.

use crate::census::Census;
use std::net::SocketAddr;
use std::time::Duration;
use weir_core::mysql::command::ClientCommand;
use weir_tests::{Heard, TestCluster, Weir, Wire, eventually};

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

    // Read to its end, such a packet is served.
    let mut wire = Wire::login(weir.address());
    wire.command(&ClientCommand::Query(format!("SELECT LENGTH('{}')", "x".repeat(8 * MIB)).as_bytes()));
    assert_eq!(wire.result().expect("a length").rows, [[Some((8 * MIB).to_string().into_bytes())]]);
    weir.assert_unharmed();
}
