//! `LAST_INSERT_ID()` is the session's, on whichever connection.

use super::bench::{Bench, error_code, lost, ok, ok_reply, ok_with, text};
use crate::error::Effect;
use crate::gateway::session::{Event, Fate};
use crate::mysql::packet::OkPacket;

fn inserted(id: u64) -> OkPacket {
    OkPacket { affected_rows: 1, last_insert_id: id, ..ok() }
}

/// Plays an autocommit INSERT whose OK carries `told`, while `LAST_INSERT_ID()` is `real`.
fn insert(bench: &mut Bench, told: u64, real: u64) {
    bench.query("INSERT INTO t VALUES (NULL)");
    bench.lend();
    assert_eq!(bench.answer(ok_reply(inserted(told))).len(), 1, "the client has its answer at once");
    assert_eq!(text(&bench.request()), "SET last_insert_id=LAST_INSERT_ID()");
    assert!(bench.answer(ok_reply(ok_with(&[("last_insert_id", &real.to_string())]))).is_empty());
    if real != 0 {
        assert_eq!(text(&bench.request()), "SET last_insert_id=0");
        assert!(bench.answer(ok_reply(ok_with(&[("last_insert_id", "0")]))).is_empty());
    }
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Keep))));
}

fn value_used(bench: &mut Bench) -> Option<u64> {
    bench.query("SELECT LAST_INSERT_ID()");
    bench.lend().1.last_insert_id
}

#[test]
fn a_generated_id_follows_the_session() {
    let mut bench = Bench::logged_in();
    insert(&mut bench, 42, 42);
    assert_eq!(value_used(&mut bench), Some(42));
}

#[test]
fn an_id_that_the_client_wrote_is_not_taken_for_a_generated_one() {
    let mut bench = Bench::logged_in();
    insert(&mut bench, 42, 42);
    insert(&mut bench, 50, 0);
    assert_eq!(value_used(&mut bench), Some(42));
}

#[test]
fn an_id_that_is_lost_with_its_connection_is_not_replaced_by_an_older_one() {
    let mut bench = Bench::logged_in();
    insert(&mut bench, 42, 42);
    bench.query("INSERT INTO t VALUES (NULL)");
    bench.lend();
    bench.answer(ok_reply(inserted(43)));
    assert_eq!(text(&bench.request()), "SET last_insert_id=LAST_INSERT_ID()");
    bench.answer(lost(Effect::Unknown));
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.query("SELECT LAST_INSERT_ID()");
    let wish = bench.wish();
    bench.grant(&wish);
    assert_eq!(error_code(&bench.receive()[0]), 1041);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Keep))));
    insert(&mut bench, 44, 44);
    assert_eq!(value_used(&mut bench), Some(44), "another one has been generated");
}

#[test]
fn a_session_that_inserted_nothing_reads_zero_on_any_connection() {
    assert_eq!(value_used(&mut Bench::logged_in()), Some(0));
}

#[test]
fn inside_a_transaction_the_server_is_asked_before_the_value_is_used() {
    let mut bench = Bench::logged_in();
    let open = OkPacket { status: 3, ..ok() };
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(open.clone()));
    bench.query("INSERT INTO t VALUES (NULL)");
    bench.request();
    bench.answer(ok_reply(OkPacket { last_insert_id: 7, ..open.clone() }));
    bench.expect_rest();
    bench.query("SELECT LAST_INSERT_ID()");
    assert_eq!(text(&bench.request()), "SET last_insert_id=LAST_INSERT_ID()");
    bench.answer(ok_reply(OkPacket { status: 3, ..ok_with(&[("last_insert_id", "7")]) }));
    let request = bench.request();
    assert_eq!((text(&request).as_str(), request.last_insert_id), ("SELECT LAST_INSERT_ID()", None));
}

/// The connection rests at 0, too: nothing but the report tells that the client wants it.
#[test]
fn an_id_that_the_client_sets_to_0_is_0() {
    let mut bench = Bench::logged_in();
    insert(&mut bench, 42, 42);
    bench.query("SET last_insert_id = 0");
    bench.lend();
    let told = || ok_reply(ok_with(&[("last_insert_id", "0")]));
    bench.answer(told());
    assert_eq!(text(&bench.request()), "SET last_insert_id=LAST_INSERT_ID()");
    bench.answer(told());
    bench.expect_release();
    assert_eq!(value_used(&mut bench), Some(0));
}
