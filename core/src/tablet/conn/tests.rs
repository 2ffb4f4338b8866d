//! A server that is made up, byte by byte: what no real one can be brought to do at will.

use super::{BackendConfig, BackendConn, CloseReason, Event, TimerCause, capabilities};
use crate::gtid::{Flavor, Position};
use crate::link::{Asks, ClientFormat, Command, ConnectionClass, Ended, Reply, Request, Wait};
use crate::mysql::auth::{Proof, Secret};
use crate::mysql::command::ClientCommand;
use crate::mysql::handshake::{ClientConfig, RsaKey, TlsMode, Transport};
use crate::time::{Duration, Instant};
use std::sync::Arc;

const GREETING: &[u8] = b"\x0a5.5.5-10.11.6-MariaDB\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15\
                          \0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0";
const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const TIMEOUT: Duration = Duration::from_millis(300);

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    [&[payload.len() as u8, 0, 0, sequence], payload].concat()
}

fn hear(conn: &mut BackendConn, mut bytes: Vec<u8>) {
    conn.handle_bytes(Instant::ZERO, &mut bytes);
}

/// Logged in and set up.
fn opened() -> BackendConn {
    let handshake = ClientConfig {
        user: b"app".to_vec(),
        proof: Proof::Password(Secret::new(b"secret".to_vec())),
        schema: None,
        capabilities: capabilities(ConnectionClass::PLAIN),
        collation: super::BASELINE_COLLATION,
        max_packet_bytes: 1 << 24,
        attributes: Vec::new(),
        transport: Transport::Plain,
        tls: TlsMode::Disabled,
        rsa_key: RsaKey::Refused,
    };
    let mut conn = BackendConn::new(Arc::new(BackendConfig::new("db", handshake)), Instant::ZERO);
    for bytes in [packet(0, GREETING), packet(2, OK), packet(1, OK)] {
        conn.poll_transmit(&mut Vec::new());
        hear(&mut conn, bytes);
    }
    assert_eq!(conn.poll_event(), Some(Event::Ready));
    while conn.poll_reply().is_some() {}
    conn
}

/// A read that waits for a position, sent.
fn waiting() -> BackendConn {
    let mut conn = opened();
    let mut payload = Vec::new();
    ClientCommand::Query(b"SELECT 1").encode(&mut payload);
    let position = Position::parse(Flavor::MariaDb, "0-1-7").unwrap();
    let settings = Arc::clone(conn.settings());
    conn.submit(
        Instant::ZERO,
        Request {
            settings,
            last_insert_id: None,
            command: Command::Plain(payload),
            read_only: true,
            restores_variables: false,
            asks: Asks::empty(),
            wait: Some(Wait { position, timeout: TIMEOUT }),
            client: ClientFormat { deprecate_eof: true },
        },
    );
    conn.poll_transmit(&mut Vec::new());
    conn
}

#[test]
fn a_server_that_does_not_even_say_that_it_waited_in_vain_is_given_up() {
    let mut conn = waiting();
    let limit = Instant::ZERO + TIMEOUT;
    assert_eq!((conn.poll_timeout(), conn.timer_cause()), (Some(limit), Some(TimerCause::Wait)));
    conn.handle_timeout(limit);
    assert_eq!(conn.poll_reply(), Some(Reply::End(Ended::WaitTimedOut)));
    assert_eq!(conn.poll_reply(), None);
    assert_eq!(conn.poll_event(), Some(Event::Closed { reason: CloseReason::TimedOut(TimerCause::Wait) }));
    assert!(conn.is_closed() && conn.poll_event().is_none());
    assert_eq!(conn.take_reached(), None);
}

#[test]
fn once_the_position_is_reached_a_read_may_take_its_time() {
    let mut conn = waiting();
    let definition = b"\x03def\0\0\0\x01w\0\x0c\x3f\0\x15\0\0\0\x08\0\0\0\0\0";
    for (sequence, payload) in (1..).zip([&b"\x01"[..], definition, b"\x010", b"\xfe\0\0\x02\0\0\0"]) {
        hear(&mut conn, packet(sequence, payload));
    }
    assert_eq!(conn.poll_timeout(), None);
    assert!(!conn.is_closed() && !conn.is_idle(), "the read's own answer is due");
    assert_eq!(conn.take_reached(), Some(Position::parse(Flavor::MariaDb, "0-1-7").unwrap()));
    assert_eq!(conn.take_reached(), None, "it is told once");
}
