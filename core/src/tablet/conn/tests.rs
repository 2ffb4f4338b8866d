//! A server that is made up, byte by byte: what no real one can be brought to do at will.

use super::{BackendConfig, BackendConn, CloseReason, Event, TimerCause, capabilities};
use crate::error::Effect;
use crate::gtid::{Flavor, Position};
use crate::link::{ClientFormat, ConnectionClass, ConnectionTraits, Ended, Reply, Request, Wait};
use crate::mysql::auth::{Proof, Secret};
use crate::mysql::handshake::{ClientConfig, RsaKey, TlsMode, Transport};
use crate::time::{Duration, Instant};
use std::sync::Arc;

const GREETING: &[u8] = b"\x0a5.5.5-10.11.6-MariaDB\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15\
                          \0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0";
const DEFINITION: &[u8] = b"\x03def\0\0\0\x01w\0\x0c\x3f\0\x15\0\0\0\x08\0\0\0\0\0";
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
    opened_as(ConnectionClass::PLAIN)
}

fn opened_as(class: ConnectionClass) -> BackendConn {
    let handshake = ClientConfig {
        user: b"app".to_vec(),
        proof: Proof::Password(Secret::new(b"secret".to_vec())),
        schema: None,
        capabilities: capabilities(class).common,
        of_mariadb: capabilities(class).of_mariadb,
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
    let position = Position::parse(Flavor::MariaDb, "0-1-7").unwrap();
    let wait = Some(Wait { position, timeout: TIMEOUT });
    let request = Request { wait, ..Request::own(Arc::clone(conn.settings()), "SELECT 1") };
    conn.submit(Instant::ZERO, request);
    conn.poll_transmit(&mut Vec::new());
    conn
}

/// A write that returns rows, for a client without DEPRECATE_EOF, answered but for what has to be asked; and what was asked.
fn written_with_rows() -> (BackendConn, Vec<u8>) {
    let mut conn = opened_as(ConnectionClass::of(ConnectionTraits::CLASSIC_EOF));
    let request = Request {
        read_only: false,
        client: ClientFormat { deprecate_eof: false, progress: false },
        ..Request::own(Arc::clone(conn.settings()), "INSERT INTO t VALUES (1) RETURNING id")
    };
    conn.submit(Instant::ZERO, request);
    conn.poll_transmit(&mut Vec::new());
    let packets = [&b"\x01"[..], DEFINITION, b"\xfe\0\0\x02\0", b"\x011", b"\xfe\0\0\x02\x40"];
    for (sequence, payload) in (1..).zip(packets) {
        hear(&mut conn, packet(sequence, payload));
    }
    let mut asked = Vec::new();
    conn.poll_transmit(&mut asked);
    (conn, asked)
}

fn ends(conn: &mut BackendConn) -> Vec<Reply> {
    let pieces = std::iter::from_fn(|| conn.poll_reply());
    let is_of_rows =
        |piece: &Reply| matches!(piece, Reply::Forward { .. } | Reply::Skip { .. } | Reply::Between { .. });
    pieces.filter(|piece| !is_of_rows(piece)).collect()
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
    assert_eq!(conn.take_executed(), None);
}

#[test]
fn once_the_position_is_reached_a_read_may_take_its_time() {
    let mut conn = waiting();
    let answer = [&b"\x02"[..], DEFINITION, DEFINITION, b"\x010\x050-1-9", b"\xfe\0\0\x02\0\0\0"];
    for (sequence, payload) in (1..).zip(answer) {
        hear(&mut conn, packet(sequence, payload));
    }
    assert_eq!(conn.poll_timeout(), None);
    assert!(!conn.is_closed() && !conn.is_idle(), "the read's own answer is due");
    assert_eq!(conn.take_executed(), Some(Position::parse(Flavor::MariaDb, "0-1-9").unwrap()));
    assert_eq!(conn.take_executed(), None, "it is told once");
}

#[test]
fn the_end_of_rows_of_a_write_waits_for_its_position() {
    let (mut conn, asked) = written_with_rows();
    assert!(asked.ends_with(b"SET session_track_schema = 1"));
    assert_eq!(ends(&mut conn), [], "the client does not hear of it yet");
    let block = b"\0\x10\x09last_gtid\x050-1-8";
    hear(&mut conn, packet(1, &[b"\0\0\0\x02\x40\0\0\0\x12", &block[..]].concat()));
    let pieces = ends(&mut conn);
    let [Reply::Ok { seq: 5, ends_rows: true, rows: 1, ok }, Reply::End(Ended::Answered)] = &pieces[..] else {
        panic!("{pieces:?}")
    };
    assert_eq!(ok.session_state, block);
    assert!(conn.is_idle_and_clean());
}

#[test]
fn a_write_whose_position_is_never_told_is_not_answered() {
    let (mut conn, _) = written_with_rows();
    conn.transport_closed(Instant::ZERO);
    let pieces = ends(&mut conn);
    let [Reply::End(Ended::Failed(error))] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!(error.effect, Effect::Unknown);
}
