//! Warnings and counts of the last statement are the session's own or nobody's.

use super::bench::{Bench, error_code, ok, ok_reply, text};
use crate::gateway::session::{Event, LeaseKey, Pins};
use crate::mysql::packet::OkPacket;

/// A statement without a table would leave the warnings of others where they are.
const CLEAR: &str = "DO (SELECT 0 FROM (SELECT 0) none)";

fn warned() -> OkPacket {
    OkPacket { warnings: 1, ..ok() }
}

#[test]
fn warnings_are_read_where_they_are() {
    let mut bench = Bench::logged_in();
    bench.query("UPDATE t SET a = 'x'");
    bench.lend();
    bench.answer(ok_reply(warned()));
    bench.expect_rest();
    assert_eq!(bench.session.pins(), Pins::DIAGNOSTICS);
    bench.query("SHOW WARNINGS");
    assert_eq!(text(&bench.request()), "SHOW WARNINGS");
    bench.answer(ok_reply(ok()));
    bench.expect_release();
}

#[test]
fn the_next_statement_gives_the_connection_back_first() {
    let mut bench = Bench::logged_in();
    bench.query("UPDATE t SET a = 'x'");
    bench.lend();
    bench.answer(ok_reply(warned()));
    bench.query("SELECT a FROM t");
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    bench.lend();
}

#[test]
fn a_connection_is_not_kept_for_long() {
    let mut bench = Bench::logged_in();
    bench.query("UPDATE t SET a = 'x'");
    bench.lend();
    bench.answer(ok_reply(warned()));
    bench.now = bench.session.poll_timeout().unwrap();
    bench.session.handle_timeout(bench.now);
    bench.expect_release();
    // Nobody else has used it since: it is asked for by name.
    bench.query("SHOW WARNINGS");
    let wish = bench.wish();
    assert!(wish.prefer.is_some());
    bench.grant_key(wish.prefer.unwrap());
    assert_eq!(text(&bench.request()), "SHOW WARNINGS");
}

#[test]
fn counts_are_answered_by_the_gateway_or_where_they_are() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", OkPacket { affected_rows: 3, ..ok() });
    let packets = bench.query("SELECT ROW_COUNT() AS n");
    assert!(packets.iter().any(|packet| packet == b"\x013"), "{packets:?}");
    assert!(bench.query("SELECT ROW_COUNT()").iter().any(|packet| packet == b"\x02-1"));

    bench.run("UPDATE t SET a = 1", ok());
    bench.query("SELECT ROW_COUNT() + 1");
    let wish = bench.wish();
    bench.grant_key(wish.prefer.unwrap());
    assert_eq!(text(&bench.request()), "SELECT ROW_COUNT() + 1");
}

#[test]
fn what_another_session_may_have_overwritten_is_refused() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", ok());
    bench.query("SELECT ROW_COUNT() + 1");
    let wish = bench.wish();
    let key = wish.prefer.unwrap();
    bench.grant_key(LeaseKey { epoch: key.epoch + 1, ..key });
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    assert_eq!(error_code(&bench.receive()[0]), 1041);
}

#[test]
fn a_statement_without_warnings_leaves_none_on_any_connection() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", ok());
    bench.query("SHOW WARNINGS");
    let wish = bench.wish();
    assert!(wish.prefer.is_none());
    bench.grant(&wish);
    assert_eq!(text(&bench.request()), CLEAR);
}

#[test]
fn a_session_that_ran_nothing_does_not_see_the_warnings_of_another() {
    let mut bench = Bench::logged_in();
    bench.query("SHOW WARNINGS");
    let (_, first) = bench.lend();
    assert_eq!(text(&first), CLEAR);
    bench.answer(ok_reply(ok()));
    assert_eq!(text(&bench.request()), "SHOW WARNINGS");
}
