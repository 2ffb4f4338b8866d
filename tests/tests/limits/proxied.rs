//! Clients behind a load balancer that speaks the PROXY protocol.

use std::net::SocketAddr;
use weir_core::mysql::handshake::Greeting;
use weir_tests::wire::response;
use weir_tests::{Heard, TestCluster, Weir, Wire};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 3306\r\n";
/// The same client, in the binary form.
const BLOCK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\x13\x88\x0c\xea";

fn through_balancer(address: SocketAddr, header: &[u8]) -> (Wire, Greeting) {
    let mut wire = Wire::connect(address);
    // As if by a slow network.
    let (first, rest) = header.split_at(header.len() / 2);
    wire.send_bytes(first);
    std::thread::sleep(std::time::Duration::from_millis(20));
    wire.send_bytes(rest);
    let Heard::Packet(payload) = wire.hear() else { panic!("no greeting") };
    (wire, Greeting::parse(&payload).expect("a greeting"))
}

#[test]
fn the_client_is_who_the_balancer_says() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--proxy-protocol-from", "10.0.0.0/8,127.0.0.0/8"]);
    for header in [LINE, BLOCK] {
        let (mut client, greeting) = through_balancer(weir.address(), header);
        assert!(client.respond(&response(&greeting)).is_ok());
        let list = client.query("SHOW PROCESSLIST").expect("the list");
        assert!(list.rows.iter().any(|row| row[2].as_deref() == Some(b"192.0.2.7")), "{list:?}");
        let (mut stranger, greeting) = through_balancer(weir.address(), header);
        let mut wrong = response(&greeting);
        wrong.user = b"nobody".to_vec();
        let error = stranger.respond(&wrong).error().expect("a refusal");
        assert_eq!(error.message, b"Access denied for user 'nobody'@'192.0.2.7' (using password: YES)");
    }
    // Who has no header is not greeted.
    let mut bare = Wire::connect(weir.address());
    bare.send_bytes(&[1, 0, 0, 1, 1]);
    assert!(bare.hear_end());
    weir.assert_unharmed();
}

#[test]
fn nobody_else_may_say_who_he_is() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--proxy-protocol-from", "192.0.2.0/24"]);
    let mut wire = Wire::connect(weir.address());
    wire.send_bytes(LINE);
    assert!(matches!(wire.hear(), Heard::Packet(_)), "the greeting");
    assert!(wire.hear().error().is_some(), "a header is no answer to it");
    assert!(Wire::login(weir.address()).is_usable());
    weir.assert_unharmed();
}
