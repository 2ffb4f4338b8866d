//! Clients that do not come to the end of their login, or take nothing of their answer; a server that does not answer.

use crate::census::{Census, expect_clients};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::command::ClientCommand;
use weir_tests::wire::response;
use weir_tests::{Heard, TestCluster, Weir, Wire, eventually, in_time};

const LOGIN_TIME: Duration = Duration::from_millis(600);
/// What a busy machine adds.
const LATE_MAX: Duration = Duration::from_secs(5);
const SLOW_BYTE_EVERY: Duration = Duration::from_millis(40);

fn weir(cluster: &TestCluster, more: &[&str]) -> Weir {
    let login_time_ms = LOGIN_TIME.as_millis().to_string();
    Weir::attach(cluster, &[&["--login-time-ms", &login_time_ms], more].concat())
}

/// What is heard from `started` to the end, which must come in time.
fn expect_end(wire: &mut Wire, started: Instant) -> Vec<Heard> {
    let mut heard = Vec::new();
    loop {
        match wire.hear() {
            Heard::Closed => break,
            Heard::Nothing => panic!("no end: {heard:?}"),
            packet => heard.push(packet),
        }
    }
    let took = started.elapsed();
    assert!(took >= LOGIN_TIME, "the end came after {took:?}: {heard:?}");
    in_time(took, LOGIN_TIME + LATE_MAX, || format!("the end comes: {heard:?}"));
    heard
}

fn expect_timeout(mut wire: Wire, started: Instant) {
    let heard = expect_end(&mut wire, started);
    let code = heard.last().and_then(Heard::error).map(|error| error.code);
    assert_eq!(code, Some(1159), "{heard:?}");
}

fn encoded_response(wire: &mut Wire) -> Vec<u8> {
    let Heard::Packet(payload) = wire.hear() else { panic!("no greeting") };
    let greeting = weir_core::mysql::handshake::Greeting::parse(&payload).expect("a greeting");
    let mut framed = Vec::new();
    weir_core::mysql::frame::write_with(&mut framed, &mut 1, |out| response(&greeting).encode(out));
    framed
}

#[test]
fn a_login_that_stalls_is_ended_in_time() {
    let cluster = TestCluster::start(1);
    let mut weir = weir(&cluster, &[]);
    let before = Census::at_rest(&cluster, &weir);
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| expect_timeout(Wire::connect(weir.address()), started));
        scope.spawn(|| {
            let mut wire = Wire::connect(weir.address());
            let response = encoded_response(&mut wire);
            wire.send_bytes(&response[..response.len() / 2]);
            expect_timeout(wire, started);
        });
        scope.spawn(|| {
            let (mut wire, greeting) = Wire::greeted(weir.address());
            let mut response = response(&greeting);
            response.plugin = Some(b"dialog".to_vec());
            let mut payload = Vec::new();
            response.encode(&mut payload);
            wire.send(&payload);
            expect_timeout(wire, started);
        });
        // The limit is one for the whole login: a byte now and then does not prolong it.
        scope.spawn(|| {
            let mut wire = Wire::connect(weir.address());
            let response = encoded_response(&mut wire);
            assert!(SLOW_BYTE_EVERY * response.len() as u32 > LOGIN_TIME * 3);
            let deadline = LOGIN_TIME - SLOW_BYTE_EVERY;
            for byte in response {
                if started.elapsed() >= deadline {
                    break;
                }
                wire.send_bytes(&[byte]);
                std::thread::sleep(SLOW_BYTE_EVERY);
            }
            expect_timeout(wire, started);
        });
    });
    before.expect_return(&cluster, &weir);
    weir.assert_unharmed();
}

#[test]
fn many_stalled_logins_hold_nobody_up() {
    const CLIENTS: usize = 500;
    let cluster = TestCluster::start(1);
    let mut weir = weir(&cluster, &[]);
    let before = Census::at_rest(&cluster, &weir);
    let stalled: Vec<Wire> = (0..CLIENTS).map(|_| Wire::connect(weir.address())).collect();
    assert_eq!(Wire::login(weir.address()).value("SELECT 1"), "1");
    let started = Instant::now();
    for mut wire in stalled {
        assert!(wire.hear_end());
    }
    in_time(started.elapsed(), LOGIN_TIME + LATE_MAX, || "all are sent away".into());
    before.expect_return(&cluster, &weir);
    weir.assert_unharmed();
}

#[test]
fn tls_that_stalls_is_ended_in_time() {
    let dir = TempDir::with_prefix("weir-tls-").expect("a temporary directory");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-out"])
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let cluster = TestCluster::start(1);
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let mut weir = weir(&cluster, &["--tls-cert", &path(&cert), "--tls-key", &path(&key)]);
    let before = Census::at_rest(&cluster, &weir);
    let started = Instant::now();
    let (mut wire, greeting) = Wire::greeted(weir.address());
    assert!(greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL));
    let mut payload = Vec::new();
    let mut request = response(&greeting);
    request.capabilities |= CapabilityFlags::CLIENT_SSL;
    request.encode_tls_request(&mut payload);
    wire.send(&payload);
    // Nothing can be said in the middle of it.
    assert_eq!(expect_end(&mut wire, started), []);
    before.expect_return(&cluster, &weir);
    weir.assert_unharmed();
}

#[test]
fn half_a_command_is_not_waited_for_as_long_as_a_whole_one() {
    const READ_TIME: Duration = Duration::from_millis(500);
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--read-time-ms", &READ_TIME.as_millis().to_string()]);
    let before = Census::at_rest(&cluster, &weir);
    let mut idle = Wire::login(weir.address());
    let started = Instant::now();
    let mut half = Wire::login(weir.address());
    half.announce(0, 1000);
    half.send_bytes(b"\x03SELECT");
    let mut after_an_error = Wire::login(weir.address());
    let _ = after_an_error.refusal("SELECT * FROM nowhere.nothing");
    after_an_error.send_bytes(b"\x01\0\0");
    let mut slow = Wire::login(weir.address());
    for byte in b"\x09\0\0\0\x03SELECT 1" {
        slow.send_bytes(&[*byte]);
        std::thread::sleep(READ_TIME / 5);
    }
    assert_eq!(slow.result().expect("a row").rows.len(), 1, "slow is not silent");
    for mut wire in [half, after_an_error] {
        assert_eq!(wire.hear().error().map(|error| error.code), Some(1159));
        assert_eq!(wire.hear(), Heard::Closed);
    }
    assert!(started.elapsed() >= READ_TIME);
    assert!(idle.is_usable(), "whoever says nothing at all may");
    drop((idle, slow));
    before.expect_return(&cluster, &weir);
    weir.assert_unharmed();
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_its_connection_is_free() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--write-time-ms", "500", "--pool-size", "2"]);
    let before = Census::at_rest(&cluster, &weir);
    let mut lazy = Wire::login(weir.address());
    let much = b"SELECT REPEAT('x', 100000) FROM information_schema.COLUMNS LIMIT 1000";
    lazy.command(&ClientCommand::Query(much));
    // The pool's only connection is busy with it until it is cut off.
    let mut next = Wire::login(weir.address());
    assert_eq!(next.value("SELECT 1"), "1");
    drop(next);
    assert!(lazy.hear_end());
    drop(lazy);
    before.expect_return(&cluster, &weir);

    // Reading slowly is reading.
    let mut slow = Wire::login(weir.address());
    slow.command(&ClientCommand::Query(b"SELECT REPEAT('x', 100000) FROM information_schema.COLUMNS LIMIT 200"));
    for _ in 0..8 {
        // Enough at a time for the buffers between to move.
        assert!((0..20).all(|_| matches!(slow.hear(), Heard::Packet(_))));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(slow.last_packet().is_end_of_rows());
    assert!(slow.is_usable());
    weir.assert_unharmed();
}

#[test]
fn a_frozen_server_does_not_hold_clients_that_have_gone() {
    let cluster = TestCluster::start(1);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (a INT)").expect("a table");
    let mut weir = Weir::attach(&cluster, &[]);
    let before = Census::at_rest(&cluster, &weir);
    let mut in_transaction = Wire::login(weir.address());
    in_transaction.query("START TRANSACTION").expect("a transaction");
    in_transaction.query("INSERT INTO d.t VALUES (1)").expect("a row");
    let mut idle = Wire::login(weir.address());
    cluster.primary().freeze();
    idle.command(&ClientCommand::Query(b"SELECT * FROM d.t"));
    drop(in_transaction);
    drop(idle);
    expect_clients(&weir, 0);
    cluster.primary().thaw();
    before.expect_return(&cluster, &weir);
    // A connection that was being opened meanwhile has failed, and the pool pauses before it tries again.
    let mut client = Wire::login(weir.address());
    eventually(Duration::from_secs(20), "the table can be read again", || {
        client.query("SELECT COUNT(*) FROM d.t").is_ok()
    });
    assert_eq!(client.value("SELECT COUNT(*) FROM d.t"), "0");
    weir.assert_unharmed();
}
