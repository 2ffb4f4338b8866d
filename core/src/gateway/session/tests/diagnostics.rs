//! Warnings and counts of the last statement are the session's own or nobody's.

use super::bench::{Bench, Packets, error_code, ok, ok_reply, ok_with, text};
use crate::error::{Component, Error, Kind};
use crate::gateway::session::{Event, LeaseKey};
use crate::link::{Asks, Condition, Counts, Ended, Left, Level, Reply};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;

/// A statement without a table would leave the warnings of others where they are.
const CLEAR: &str = "DO (SELECT 0 FROM (SELECT 0) none)";

fn counts(row_count: i64, found_rows: u64, warnings: u64, errors: u64) -> Option<Counts> {
    Some(Counts { row_count, found_rows, warnings, errors })
}

fn condition(level: Level, code: u32, message: &str) -> Condition {
    Condition { level, code, message: message.into() }
}

/// What a server says that has truncated a value.
fn truncated() -> Vec<Reply> {
    let conditions = Some(vec![condition(Level::Warning, 1265, "Data truncated")]);
    let left = Left { counts: counts(1, 0, 1, 0), conditions };
    vec![
        Reply::Ok { seq: 1, ends_rows: false, rows: 0, ok: OkPacket { warnings: 1, affected_rows: 1, ..ok() } },
        Reply::Left(left),
        Reply::End(Ended::Answered),
    ]
}

fn warn(bench: &mut Bench) {
    bench.query("UPDATE t SET a = 'x'");
    assert!(bench.lend().1.asks.contains(Asks::WHEN_WARNED));
    bench.answer(truncated());
    bench.expect_release();
}

/// The rows of an answer with a number of columns.
fn rows(packets: Packets, columns: usize) -> Vec<Vec<u8>> {
    assert_eq!(packets[0], [columns as u8], "{packets:?}");
    packets[columns + 1..packets.len() - 1].to_vec()
}

fn warnings(bench: &mut Bench) -> Vec<Vec<u8>> {
    rows(bench.query("SHOW WARNINGS"), 3)
}

fn is_truncated(rows: &[Vec<u8>]) -> bool {
    rows == [b"\x07Warning\x041265\x0eData truncated"]
}

#[test]
fn warnings_are_told_without_the_connection_that_they_came_from() {
    let mut bench = Bench::logged_in();
    assert!(warnings(&mut bench).is_empty());
    warn(&mut bench);
    assert!(is_truncated(&warnings(&mut bench)));
    assert!(is_truncated(&warnings(&mut bench)), "asking does not change them");
    assert_eq!(rows(bench.query("SHOW COUNT(*) WARNINGS"), 1), [b"\x011"]);
    assert!(rows(bench.query("SHOW ERRORS"), 3).is_empty());
    assert!(rows(bench.query("SHOW WARNINGS LIMIT 1, 5"), 3).is_empty());
}

#[test]
fn warnings_outlive_statements_that_use_no_table() {
    let mut bench = Bench::logged_in();
    warn(&mut bench);
    bench.run("SET sql_mode = ''", ok_with(&[("sql_mode", "")]));
    bench.send(&ClientCommand::Ping);
    assert!(is_truncated(&warnings(&mut bench)));
    bench.run("UPDATE t SET a = 1", ok());
    assert!(warnings(&mut bench).is_empty());
}

#[test]
fn what_may_have_made_a_server_forget_is_told_by_a_mark() {
    for (left, kept) in [("weir: what was left before", true), ("something else", false)] {
        let mut bench = Bench::logged_in();
        warn(&mut bench);
        bench.query("FLUSH TABLES");
        let (_, first) = bench.lend();
        assert!(text(&first).contains("weir: what was left before"), "{}", text(&first));
        bench.answer(ok_reply(OkPacket { warnings: 1, ..ok() }));
        let request = bench.request();
        assert_eq!((text(&request).as_str(), request.asks), ("FLUSH TABLES", Asks::all()));
        let conditions = Some(vec![condition(Level::Warning, 1642, left)]);
        let mut replies = ok_reply(ok());
        replies.insert(1, Reply::Left(Left { counts: counts(0, 0, 1, 0), conditions }));
        bench.answer(replies);
        bench.expect_release();
        assert_eq!(is_truncated(&warnings(&mut bench)), kept);
    }
}

#[test]
fn an_error_is_a_condition_whoever_raised_it() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM nowhere");
    bench.lend();
    let error = Error { code: 1146, ..Error::new(Component::Server, Kind::Parse, "no such table") };
    bench.answer(vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)]);
    bench.expect_release();
    assert_eq!(rows(bench.query("SHOW ERRORS"), 3), [b"\x05Error\x041146\x0dno such table"]);
    bench.query("KILL QUERY ID 5");
    assert!(warnings(&mut bench)[0].starts_with(b"\x05Error\x041235"));
    assert_eq!(rows(bench.query("SHOW COUNT(*) ERRORS"), 1), [b"\x011"]);
}

/// The text that a server gets for a question.
fn asked(bench: &mut Bench, sql: &str) -> String {
    assert!(bench.query(sql).is_empty(), "{sql}");
    let (_, request) = bench.lend();
    bench.answer(ok_reply(ok()));
    bench.expect_release();
    text(&request)
}

#[test]
fn counts_are_written_into_the_question_wherever_it_runs() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", OkPacket { affected_rows: 3, ..ok() });
    assert_eq!(asked(&mut bench, "SELECT ROW_COUNT() + 1 AS n, a"), "SELECT IF(1,3,ROW_COUNT()) + 1 AS n, a");
    warn(&mut bench);
    let text = asked(&mut bench, "SELECT @@warning_count");
    assert_eq!(text, "SELECT IF(1,CAST(1 AS UNSIGNED),@@warning_count) AS `@@warning_count`");
}

#[test]
fn counts_that_the_answer_does_not_tell_are_asked_for() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 2");
    assert!(bench.lend().1.asks.contains(Asks::COUNTS));
    bench.answer(vec![
        Reply::Ok { seq: 1, ends_rows: true, rows: 2, ok: ok() },
        Reply::Left(Left { counts: counts(-1, 9, 0, 0), conditions: None }),
        Reply::End(Ended::Answered),
    ]);
    bench.expect_release();
    assert_eq!(asked(&mut bench, "SELECT FOUND_ROWS() AS n"), "SELECT IF(1,9,FOUND_ROWS()) AS n");
}

#[test]
fn a_statement_that_needs_the_servers_own_list_runs_where_that_is() {
    let mut bench = Bench::logged_in();
    warn(&mut bench);
    bench.query("SELECT @@warning_count + 1");
    let wish = bench.wish();
    let key = wish.prefer.expect("the connection it came from");
    bench.grant_key(key);
    assert_eq!(text(&bench.request()), "SELECT @@warning_count + 1");
}

#[test]
fn and_is_refused_when_somebody_else_has_used_that() {
    let mut bench = Bench::logged_in();
    warn(&mut bench);
    bench.query("SELECT @@warning_count + 1");
    let key = bench.wish().prefer.unwrap();
    bench.grant_key(LeaseKey { epoch: key.epoch + 1, ..key });
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    assert_eq!(error_code(&bench.receive()[0]), 1041);
}

#[test]
fn where_there_are_no_warnings_any_connection_will_do_that_has_forgotten_those_of_others() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", ok());
    bench.query("SELECT @@warning_count + 1");
    let wish = bench.wish();
    assert!(wish.prefer.is_none());
    bench.grant(&wish);
    assert_eq!(text(&bench.request()), CLEAR);
    bench.answer(ok_reply(ok()));
    assert_eq!(text(&bench.request()), "SELECT @@warning_count + 1");
}

/// What a server has done without a word more.
fn quiet(bench: &mut Bench, sql: &str, answer: OkPacket) -> String {
    assert!(bench.query(sql).is_empty(), "{sql}");
    let request = bench.request();
    assert_eq!(request.asks, Asks::empty(), "{sql}");
    bench.answer(ok_reply(answer));
    while let Some(event) = bench.event() {
        assert!(matches!(event, Event::Acknowledged(_)), "{event:?}");
    }
    text(&request)
}

/// A session that keeps a connection on which nothing of others is left.
fn keeping() -> Bench {
    let mut bench = Bench::logged_in();
    bench.query("SET @a = 1");
    bench.lend();
    bench.answer(ok_reply(ok()));
    quiet(&mut bench, "SELECT a FROM t", ok());
    bench
}

#[test]
fn a_session_that_keeps_its_connection_leaves_there_what_its_statements_leave() {
    let mut bench = keeping();
    quiet(&mut bench, "UPDATE t SET a = 'x'", OkPacket { warnings: 1, affected_rows: 2, ..ok() });
    assert_eq!(quiet(&mut bench, "SHOW WARNINGS", ok()), "SHOW WARNINGS");
    assert_eq!(quiet(&mut bench, "SELECT @@warning_count", ok()), "SELECT @@warning_count");
    quiet(&mut bench, "SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 2", ok());
    assert_eq!(quiet(&mut bench, "SELECT FOUND_ROWS()", ok()), "SELECT FOUND_ROWS()");
    quiet(&mut bench, "ALTER TABLE t ADD b INT", ok());
    assert_eq!(quiet(&mut bench, "SELECT ROW_COUNT()", ok()), "SELECT ROW_COUNT()");
}

#[test]
fn an_error_leaves_its_whole_list_there() {
    let mut bench = keeping();
    bench.query("DROP VIEW t, v");
    bench.request();
    let error = Error::new(Component::Server, Kind::Parse, "Unknown VIEW: 'd.t'");
    bench.answer(vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)]);
    while bench.event().is_some() {}
    assert_eq!(quiet(&mut bench, "SHOW WARNINGS", ok()), "SHOW WARNINGS");
}

#[test]
fn what_the_gateway_itself_says_counts_there_too() {
    let mut bench = keeping();
    quiet(&mut bench, "UPDATE t SET a = 'x'", OkPacket { warnings: 1, ..ok() });
    bench.query("KILL QUERY ID 5");
    assert!(warnings(&mut bench)[0].starts_with(b"\x05Error\x041235"));
    quiet(&mut bench, "UPDATE t SET a = 'x'", OkPacket { warnings: 1, ..ok() });
    assert_eq!(quiet(&mut bench, "SHOW WARNINGS", ok()), "SHOW WARNINGS");
}

#[test]
fn a_session_that_keeps_its_connection_does_not_take_over_what_others_found_there() {
    let mut bench = Bench::logged_in();
    bench.run("SELECT a FROM t", ok());
    bench.query("SET @a = 1");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.query("CALL p()");
    assert!(text(&bench.request()).starts_with("SELECT"), "it is given what the session has found");
    bench.answer(ok_reply(ok()));
    assert_eq!(text(&bench.request()), "CALL p()");
    bench.answer(ok_reply(ok()));
    assert_eq!(quiet(&mut bench, "SELECT FOUND_ROWS()", ok()), "SELECT FOUND_ROWS()");
}

/// What is recorded is the client's: a statement of the gateway's would take the trace's place.
#[test]
fn nothing_runs_between_the_statements_of_a_session_that_is_traced() {
    for trace in [("optimizer_trace", "enabled=on,one_line=off"), ("profiling", "ON")] {
        let mut bench = Bench::logged_in();
        bench.query("SELECT a FROM t");
        bench.lend();
        bench.answer(vec![Reply::Ok { seq: 1, ends_rows: true, rows: 1000, ok: ok() }, Reply::End(Ended::Answered)]);
        bench.expect_release();
        bench.query("SET profiling = 1");
        bench.lend();
        bench.answer(ok_reply(ok_with(&[trace])));
        assert_eq!(quiet(&mut bench, "EXPLAIN SELECT a FROM t", ok()), "EXPLAIN SELECT a FROM t");
        assert_eq!(
            error_code(&bench.query("SELECT FOUND_ROWS()")[0]),
            1041,
            "nobody has looked whether it is still 1000"
        );
    }
}

#[test]
fn a_procedure_finds_the_warnings_where_they_are() {
    let mut bench = Bench::logged_in();
    bench.query("SET @a = 1");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.query("UPDATE t SET a = 'x'");
    bench.request();
    bench.answer(truncated());
    while bench.event().is_some() {}
    bench.query("CALL p()");
    assert_eq!(text(&bench.request()), "CALL p()", "and nothing before it");
}
