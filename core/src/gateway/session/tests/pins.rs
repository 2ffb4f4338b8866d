//! What keeps a connection, and what is carried to another.

use super::bench::{Bench, ok, ok_reply, ok_with, text};
use crate::error::{Component, Error, Kind};
use crate::gateway::session::{Event, Fate, Pins, Reason};
use crate::link::{Command, Ended, Reply};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;
use crate::mysql::session_state::{Change, SessionStateBuilder};

#[test]
fn a_variable_is_carried_to_the_next_connection() {
    let mut bench = Bench::logged_in();
    bench.run("SET sql_mode = 'ANSI'", ok_with(&[("sql_mode", "ANSI")]));
    bench.query("SELECT 1 FROM t");
    let (_, request) = bench.lend();
    assert_eq!(request.settings.variables["sql_mode"], b"ANSI");
}

#[test]
fn the_collation_of_set_names_is_carried_although_no_server_reports_it() {
    let mut bench = Bench::logged_in();
    let told = [
        ("character_set_client", "latin1"),
        ("character_set_connection", "latin1"),
        ("character_set_results", "latin1"),
    ];
    bench.run("SET NAMES latin1 COLLATE latin1_bin", ok_with(&told));
    bench.query("SELECT 1 FROM t");
    let (_, request) = bench.lend();
    assert_eq!(request.settings.variables["collation_connection"], b"latin1_bin");
    assert!(!request.settings.variables.contains_key("character_set_connection"));
}

#[test]
fn a_temporary_table_keeps_the_connection_until_a_reset() {
    let mut bench = Bench::logged_in();
    bench.query("CREATE TEMPORARY TABLE x (a INT)");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.expect_rest();
    assert_eq!(bench.session.pins(), Pins::TEMPORARY_TABLE);
    bench.query("SELECT a FROM x");
    bench.request();
    bench.answer(ok_reply(ok()));
    bench.send(&ClientCommand::ResetConnection);
    assert!(matches!(bench.request().command, Command::ResetConnection));
    bench.answer(ok_reply(ok()));
    bench.expect_release();
    assert!(bench.session.pins().is_empty());
}

#[test]
fn the_connection_of_a_client_that_leaves_is_cleaned_before_it_goes_back() {
    let mut bench = Bench::logged_in();
    bench.query("SET @a = 1");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.session.client_closed();
    assert!(matches!(bench.request().command, Command::ResetConnection));
    bench.answer(ok_reply(ok()));
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Keep))));
    bench.expect_closed(Reason::ClientGone);
}

#[test]
fn a_connection_whose_answer_is_under_way_is_closed_with_its_client() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT SLEEP(100)");
    bench.lend();
    bench.session.client_closed();
    assert!(matches!(bench.event(), Some(Event::Interrupt(_))));
    bench.session.interrupted(bench.now);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_closed(Reason::ClientGone);
}

#[test]
fn a_client_that_leaves_while_it_waits_takes_its_wish_back() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT 1 FROM t");
    bench.wish();
    bench.session.client_closed();
    assert!(matches!(bench.event(), Some(Event::CancelAcquire)));
    bench.expect_closed(Reason::ClientGone);
}

#[test]
fn a_procedure_keeps_the_connection_and_a_function_leaves_nothing_on_it() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT my_function(1)");
    bench.lend();
    bench.answer(ok_reply(ok()));
    assert_eq!(text(&bench.request()), "SET last_insert_id=LAST_INSERT_ID()");
    bench.answer(ok_reply(ok_with(&[("last_insert_id", "0")])));
    assert!(matches!(bench.request().command, Command::ResetConnection));
    bench.answer(ok_reply(ok()));
    bench.expect_release();

    bench.query("CALL my_procedure()");
    // Nobody but the server knows whether it changes FOUND_ROWS(): the connection has the session's own before it.
    assert!(text(&bench.lend().1).starts_with("SELECT 0 FROM"));
    bench.answer(ok_reply(ok()));
    assert_eq!(text(&bench.request()), "CALL my_procedure()");
    bench.answer(ok_reply(ok()));
    bench.expect_rest();
    assert_eq!(bench.session.pins(), Pins::STORED_CODE);
}

#[test]
fn a_connection_on_which_several_statements_were_forbidden_goes_to_nobody_else() {
    for (options, fate) in [(&[1][..], Fate::Close), (&[1, 0], Fate::Keep)] {
        let mut bench = Bench::logged_in();
        bench.query("SET @a = 1");
        bench.lend();
        bench.answer(ok_reply(ok()));
        for option in options {
            bench.send(&ClientCommand::SetOption(*option));
            assert!(matches!(bench.request().command, Command::Plain(payload) if payload[0] == 0x1b));
            let end = Reply::Ok { seq: 1, ends_rows: true, rows: 0, ok: ok() };
            assert_eq!(bench.answer(vec![end, Reply::End(Ended::Answered)])[0][0], 0xfe);
        }
        bench.send(&ClientCommand::ResetConnection);
        bench.request();
        bench.answer(ok_reply(ok()));
        assert!(matches!(bench.event(), Some(Event::Release(became)) if became == fate), "{options:?}");
    }
}

#[test]
fn a_savepoint_before_the_transaction_keeps_the_connection_until_that_ends() {
    let off = || OkPacket { status: 0, ..OkPacket::default() };
    for end in ["COMMIT", "ROLLBACK", "SET autocommit = 1"] {
        let mut bench = Bench::logged_in();
        bench.run("SET autocommit = 0", OkPacket { status: 0, ..ok_with(&[("autocommit", "OFF")]) });
        bench.query("SAVEPOINT a");
        bench.lend();
        bench.answer(ok_reply(off()));
        bench.expect_rest();
        assert_eq!(bench.session.pins(), Pins::SAVEPOINT);
        bench.query("ROLLBACK TO SAVEPOINT a");
        bench.request();
        bench.answer(ok_reply(off()));
        assert_eq!(bench.session.pins(), Pins::SAVEPOINT);
        bench.query(end);
        bench.request();
        bench.answer(ok_reply(if end.starts_with("SET") { ok() } else { off() }));
        bench.expect_release();
        assert!(bench.session.pins().is_empty(), "{end}");
    }
    let mut bench = Bench::logged_in();
    bench.run("SAVEPOINT a", ok());
    assert!(bench.session.pins().is_empty(), "it has gone with its statement");
}

/// A server that resets a connection reports what its variables are then: the session has not changed them.
#[test]
fn a_connection_that_is_reset_after_a_function_takes_nothing_of_the_session_with_it() {
    let mut bench = Bench::logged_in();
    bench.query("SET sql_mode = ''");
    bench.lend();
    bench.answer(ok_reply(ok_with(&[("sql_mode", "")])));
    bench.expect_release();
    bench.query("SELECT f(1)");
    bench.lend();
    bench.answer(vec![Reply::Ok { seq: 1, ends_rows: true, rows: 1, ok: ok() }, Reply::End(Ended::Answered)]);
    while !matches!(bench.request().command, Command::ResetConnection) {
        bench.answer(ok_reply(ok_with(&[("last_insert_id", "0")])));
    }
    bench.answer(ok_reply(ok_with(&[("sql_mode", "STRICT_TRANS_TABLES")])));
    bench.expect_release();
    bench.query("SELECT a FROM t");
    let settings = bench.lend().1.settings;
    assert_eq!(settings.variables.get("sql_mode").map(Vec::as_slice), Some(&b""[..]));
}

/// Another client may commit what it has prepared, and needs all of its locks.
#[test]
fn a_connection_with_an_xa_transaction_goes_with_its_client() {
    let mut bench = Bench::logged_in();
    bench.query("XA START 'a'");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.send(&ClientCommand::Quit);
    let closes = |event| matches!(event, Some(Event::Release(Fate::Close)));
    assert!(closes(bench.event()) || closes(bench.event()));
    bench.expect_closed(Reason::Quit);
}

/// MariaDB's trackers pass over what is set without a scope: the next client to get the connection would find it there.
#[test]
fn what_is_set_without_a_scope_gets_one_on_its_way_to_the_server() {
    let mut bench = Bench::logged_in();
    bench.query("SET @@sql_mode = '', @@sort_buffer_size = 5");
    assert_eq!(text(&bench.lend().1), "SET @@session.sql_mode = '', @@session.sort_buffer_size = 5");
    bench.answer(ok_reply(ok_with(&[("sql_mode", ""), ("sort_buffer_size", "5")])));
    bench.expect_release();
    bench.send(&ClientCommand::Prepare(b"SET @@sql_mode = ?"));
    let request = bench.lend().1;
    let Command::Prepare(statement) = &request.command else { panic!("{request:?}") };
    assert_eq!(statement.sql, b"SET @@session.sql_mode = ?");
}

/// What a server says of a statement that has changed its session.
fn changed() -> OkPacket {
    let mut block = SessionStateBuilder::default();
    block.push(Change::StateChange(true));
    OkPacket { session_state: block.finish(), ..ok() }
}

/// A trigger has set a user variable: who wrote may ask for it, and nobody else shall find it.
#[test]
fn what_a_trigger_leaves_keeps_the_connection() {
    let mut bench = Bench::logged_in();
    bench.run("INSERT INTO t VALUES (1)", ok());
    assert!(bench.session.pins().is_empty());
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    bench.answer(ok_reply(changed()));
    assert_eq!(bench.session.pins(), Pins::STORED_CODE);

    let mut bench = Bench::logged_in();
    bench.run("SET sql_mode = ''", OkPacket { session_state: changed().session_state, ..ok() });
    assert!(bench.session.pins().is_empty(), "it has told what it sets");
}

/// A function that changes its session, or may have before it failed, keeps the connection. Of any other nothing is kept that servers do not tell of.
#[test]
fn what_a_function_leaves_keeps_the_connection() {
    let rows = |ok| vec![Reply::Ok { seq: 1, ends_rows: true, rows: 1, ok }, Reply::End(Ended::Answered)];
    let mut bench = Bench::logged_in();
    bench.query("SELECT f()");
    bench.lend();
    bench.answer(rows(ok()));
    assert!(bench.session.pins().is_empty());
    assert!(text(&bench.request()).contains("last_insert_id"));
    bench.answer(ok_reply(ok_with(&[("last_insert_id", "0")])));
    assert!(matches!(bench.request().command, Command::ResetConnection));
    bench.answer(ok_reply(ok()));
    bench.expect_release();
    bench.query("SELECT f()");
    bench.lend();
    bench.answer(rows(changed()));
    assert_eq!(bench.session.pins(), Pins::STORED_CODE);

    for (code, pins) in [(1644, Pins::STORED_CODE), (1064, Pins::empty())] {
        let mut bench = Bench::logged_in();
        bench.query("SELECT f()");
        bench.lend();
        let error = Error { code, ..Error::new(Component::Server, Kind::NotSupported, "no") };
        bench.answer(vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)]);
        assert_eq!(bench.session.pins(), pins);
    }
}

/// A view calls such a function: on the primary the session keeps the connection, on a replica nobody else finds what it left.
#[test]
fn what_a_view_leaves_is_nobody_elses() {
    // One in another schema, for which the server goes there and comes back.
    let mut bench = Bench::logged_in();
    let mut block = SessionStateBuilder::default();
    block.push(Change::Schema(b""));
    block.push(Change::StateChange(true));
    let came_back = OkPacket { session_state: block.finish(), ..ok() };
    bench.query("SELECT * FROM other.v FOR UPDATE");
    bench.lend();
    bench.answer(vec![Reply::Ok { seq: 1, ends_rows: true, rows: 1, ok: came_back }, Reply::End(Ended::Answered)]);
    assert!(bench.session.pins().is_empty());

    let mut bench = Bench::logged_in();
    bench.query("SELECT * FROM v FOR UPDATE");
    bench.lend();
    bench.answer(vec![Reply::Ok { seq: 1, ends_rows: true, rows: 1, ok: changed() }, Reply::End(Ended::Answered)]);
    assert_eq!(bench.session.pins(), Pins::STORED_CODE);
}
