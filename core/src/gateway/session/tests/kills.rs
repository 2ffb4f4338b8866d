//! KILL from both ends, and clients that go away while something runs for them.

use super::bench::{Bench, PRIMARY, error_code, lost, ok, ok_reply, text};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::processes::{Powers, Process};
use crate::gateway::session::{Event, Fate, Reason};
use crate::link::{Command, Ended, Interrupt, Reply};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet;
use crate::sql::Show;
use crate::time::Duration;

/// A client whose statement runs.
fn running(sql: &str) -> Bench {
    let mut bench = Bench::logged_in();
    bench.query(sql);
    bench.lend();
    bench
}

fn expect_interrupt(bench: &mut Bench, what: Interrupt) {
    match bench.event() {
        Some(Event::Interrupt(interrupt)) if interrupt == what => {}
        other => panic!("expected {what}, not {other:?}"),
    }
    bench.expect_rest();
}

/// The server's answer to a statement that was killed.
fn cut_short() -> Vec<Reply> {
    let error = Error::new(Component::Server, Kind::Interrupted, "Query execution was interrupted");
    vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)]
}

#[test]
fn the_connection_is_not_given_back_before_the_kill_has_been_answered() {
    let mut bench = running("SELECT a FROM t");
    bench.session.killed(bench.now, Interrupt::QUERY);
    expect_interrupt(&mut bench, Interrupt::QUERY);
    let packets = bench.answer(cut_short());
    assert_eq!(error_code(&packets[0]), 1317, "the client is told at once");
    bench.expect_rest();
    assert!(bench.session.is_interrupting() && !bench.session.wants_input(), "nothing else may run there");
    bench.session.interrupted(bench.now);
    assert!(bench.session.wants_input());
    // An error's diagnostics are kept; the next statement gives the connection back.
    bench.query("SELECT 1");
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Keep))));
}

#[test]
fn a_kill_that_came_too_late_hits_nobody() {
    let mut bench = running("SELECT a FROM t");
    bench.session.killed(bench.now, Interrupt::QUERY);
    expect_interrupt(&mut bench, Interrupt::QUERY);
    assert_eq!(bench.answer(ok_reply(ok())).len(), 1, "it was through already");
    bench.expect_rest();
    bench.session.interrupted(bench.now);
    assert!(matches!(bench.request().command, Command::ResetConnection), "whatever the server kept of it is gone");
    bench.answer(ok_reply(ok()));
    bench.expect_release();
}

#[test]
fn two_kills_at_once_are_one() {
    let mut bench = running("SELECT a FROM t");
    bench.session.killed(bench.now, Interrupt::QUERY);
    bench.session.killed(bench.now, Interrupt::QUERY);
    expect_interrupt(&mut bench, Interrupt::QUERY);
    bench.session.interrupted(bench.now);
    assert_eq!(error_code(&bench.answer(cut_short())[0]), 1317);
}

#[test]
fn what_waits_for_a_server_is_killed_without_one() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    bench.wish();
    bench.session.killed(bench.now, Interrupt::QUERY);
    assert!(matches!(bench.event(), Some(Event::CancelAcquire)));
    assert_eq!(error_code(&bench.receive()[0]), 1317);
    assert!(!bench.session.is_interrupting() && bench.session.wants_input());
    bench.expect_rest();
}

#[test]
fn an_idle_session_has_no_query_to_kill() {
    let mut bench = Bench::logged_in();
    bench.session.killed(bench.now, Interrupt::QUERY);
    assert!(bench.receive().is_empty());
    bench.expect_rest();
    bench.session.killed(bench.now, Interrupt::CONNECTION);
    bench.expect_closed(Reason::Killed);
}

#[test]
fn a_killed_read_is_not_run_elsewhere() {
    let mut bench = running("SELECT a FROM t");
    bench.session.killed(bench.now, Interrupt::QUERY);
    expect_interrupt(&mut bench, Interrupt::QUERY);
    bench.session.interrupted(bench.now);
    let packets = bench.answer(lost(Effect::None));
    assert_eq!(error_code(&packets[0]), 1317);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_rest();
}

#[test]
fn a_killed_session_ends_when_its_statement_has() {
    let mut bench = running("UPDATE t SET a = 1");
    bench.session.killed(bench.now, Interrupt::CONNECTION);
    expect_interrupt(&mut bench, Interrupt::CONNECTION);
    bench.answer(cut_short());
    bench.expect_rest();
    bench.session.interrupted(bench.now);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_closed(Reason::Killed);
}

#[test]
fn nothing_runs_on_for_a_client_that_has_gone() {
    let mut bench = running("SELECT a FROM t");
    bench.session.client_closed();
    expect_interrupt(&mut bench, Interrupt::CONNECTION);
    bench.session.client_closed();
    bench.session.killed(bench.now, Interrupt::CONNECTION);
    bench.expect_rest();
    bench.session.interrupted(bench.now);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))), "an answer is still under way on it");
    bench.expect_closed(Reason::ClientGone);
}

#[test]
fn a_client_that_goes_while_it_is_killed_leaves_the_connection_as_it_is_until_then() {
    let mut bench = running("SELECT a FROM t");
    bench.session.killed(bench.now, Interrupt::QUERY);
    expect_interrupt(&mut bench, Interrupt::QUERY);
    bench.answer(cut_short());
    bench.session.client_closed();
    bench.expect_rest();
    bench.session.interrupted(bench.now);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_closed(Reason::ClientGone);
}

#[test]
fn a_client_kills_by_number_and_hears_what_came_of_it() {
    let mut bench = Bench::logged_in();
    for command in [ClientCommand::Query(b"KILL 12"), ClientCommand::ProcessKill { connection_id: 12 }] {
        assert!(bench.send(&command).is_empty());
        let event = bench.event();
        assert!(matches!(event, Some(Event::Kill { id: 12, interrupt: Interrupt::CONNECTION })), "{event:?}");
        bench.session.kill_answered(bench.now, Ok(()));
        assert_eq!(bench.receive()[0][0], packet::OK);
    }
    bench.query("KILL SOFT QUERY 13");
    let soft = Interrupt { query: true, soft: true };
    assert!(matches!(bench.event(), Some(Event::Kill { id: 13, interrupt }) if interrupt == soft));
    let nobody = Error::new(Component::Gateway, Kind::NoSuchThread, "Unknown thread id: 13");
    bench.session.kill_answered(bench.now, Err(nobody));
    assert_eq!(error_code(&bench.receive()[0]), 1094);
    bench.expect_rest();
}

#[test]
fn a_client_may_kill_itself() {
    let mut bench = Bench::logged_in();
    assert_eq!(error_code(&bench.query("KILL QUERY 7")[0]), 1317);
    assert_eq!(
        error_code(&bench.query("KILL QUERY ID 5")[0]),
        1235,
        "the account is shared, and no server can tell whose it is"
    );
    assert_eq!(error_code(&bench.query("KILL CONNECTION_ID()")[0]), 1927);
    bench.expect_closed(Reason::Killed);
}

#[test]
fn a_server_makes_a_number_of_an_expression_and_ends_nobody() {
    let mut bench = Bench::logged_in();
    bench.query("KILL QUERY 6 + 7");
    let (_, request) = bench.lend();
    assert_eq!(text(&request), "KILL QUERY ID -1-CAST(LEAST(GREATEST(0,COALESCE((6 + 7),0)),4294967295) AS SIGNED)");
    let told = Error { code: 1957, ..Error::new(Component::Server, Kind::Parse, "Unknown query id: -14") };
    assert!(bench.answer(vec![Reply::Err { seq: 1, error: told }, Reply::End(Ended::Answered)]).is_empty());
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Keep))));
    assert!(matches!(bench.event(), Some(Event::Kill { id: 13, interrupt: Interrupt::QUERY })));
    bench.session.kill_answered(bench.now, Ok(()));
    assert_eq!(bench.receive()[0][0], packet::OK);

    bench.query("KILL (SELECT a FROM t)");
    bench.lend();
    let refused =
        Error { code: 1970, ..Error::new(Component::Server, Kind::Parse, "KILL does not support subqueries") };
    let answer = bench.answer(vec![Reply::Err { seq: 1, error: refused }, Reply::End(Ended::Answered)]);
    assert_eq!(error_code(&answer[0]), 1970, "the server's own errors are the client's");
}

#[test]
fn all_clients_of_a_user_are_killed_and_counted() {
    let mut bench = Bench::logged_in();
    bench.query("KILL SOFT USER bob@localhost");
    let Some(Event::KillUser { user, host, interrupt }) = bench.event() else { panic!("a kill") };
    assert_eq!((user.as_slice(), host.as_deref()), (&b"bob"[..], Some(&b"localhost"[..])));
    assert_eq!(interrupt, Interrupt { query: false, soft: true });
    bench.session.user_killed(bench.now, Ok(2));
    assert_eq!(bench.receive()[0][..2], [packet::OK, 2]);
    bench.expect_rest();
}

#[test]
fn clients_are_written_into_what_asks_for_them() {
    let mut bench = Bench::logged_in();
    bench.query("SET @me = CONNECTION_ID()");
    assert_eq!(text(&bench.lend().1), "SET @me = IF(1,CAST(7 AS UNSIGNED),CONNECTION_ID())");
    bench.answer(ok_reply(ok()));
    bench.query("SELECT id FROM information_schema.processlist");
    assert!(matches!(bench.event(), Some(Event::ListClients)));
    let thread =
        |id, thread| Process { id, user: b"ann".to_vec(), thread: Some((PRIMARY, thread)), ..Process::default() };
    let clients = [thread(7, 70), thread(8, 80), Process { user: b"bob".to_vec(), ..thread(9, 90) }];
    bench.session.listed(bench.now, &clients, Powers::default());
    let sql = text(&bench.request());
    assert!(sql.starts_with("SELECT id AS `id` FROM (SELECT w.i ID") && sql.ends_with(" PROCESSLIST"), "{sql}");
    assert!(sql.contains("SELECT CONNECTION_ID() t,7 i") && sql.contains("SELECT 80,8,"), "{sql}");
    assert!(!sql.contains("SELECT 90,9,"), "another's clients are not shown: {sql}");
}

#[test]
fn who_looks_sees_what_the_session_is_at() {
    let mut bench = Bench::logged_in();
    let mut process = Process::default();
    bench.session.describe(&mut process);
    assert_eq!((process.id, process.command.as_ref(), process.user.as_slice()), (7, "Sleep", &b"ann"[..]));
    let before = bench.session.activity();
    bench.query("SELECT a FROM t; ");
    assert_ne!(bench.session.activity(), before);
    bench.session.describe(&mut process);
    assert_eq!((process.command.as_ref(), process.state.as_ref()), ("Query", "Waiting for a server connection"));
    assert_eq!(process.info, b"SELECT a FROM t");
    let (_, request) = bench.lend();
    assert_eq!(text(&request), "SELECT a FROM t; ");
    bench.answer(ok_reply(ok()));
    bench.session.describe(&mut process);
    assert_eq!((process.command.as_ref(), process.info.as_slice()), ("Sleep", &b""[..]));
}

#[test]
fn the_command_for_the_list_of_processes_asks_what_the_statement_asks() {
    let mut bench = Bench::logged_in();
    bench.send(&ClientCommand::ProcessInfo);
    assert!(matches!(bench.event(), Some(Event::Show(Show::Processes { full: false }))));
}

/// A read that has run for a while when its connection breaks.
fn broken_read() -> Bench {
    let mut bench = running("SELECT a FROM t");
    bench.now += Duration::from_millis(300);
    assert!(bench.answer(lost(Effect::None)).is_empty());
    assert!(matches!(bench.event(), Some(Event::Inquire)), "before the connection is gone for good");
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_rest();
    bench
}

#[test]
fn a_read_that_was_killed_on_its_server_is_not_run_on_another() {
    let mut bench = broken_read();
    bench.session.inquired(bench.now, true);
    assert_eq!(error_code(&bench.receive()[0]), 1317);
    assert!(bench.session.wants_input());
    bench.expect_rest();
}

#[test]
fn a_read_whose_server_died_is_run_on_another() {
    let mut bench = broken_read();
    bench.session.inquired(bench.now, false);
    let (_, request) = bench.lend();
    assert_eq!(text(&request), "SELECT a FROM t");
}

#[test]
fn what_became_of_a_read_does_not_matter_once_its_client_has_gone_or_killed_it() {
    let mut bench = broken_read();
    bench.session.killed(bench.now, Interrupt::QUERY);
    assert!(matches!(bench.event(), Some(Event::CancelInquire)));
    assert_eq!(error_code(&bench.receive()[0]), 1317);
    let mut bench = broken_read();
    bench.session.client_closed();
    assert!(matches!(bench.event(), Some(Event::CancelInquire)));
    bench.expect_closed(Reason::ClientGone);
    bench.session.inquired(bench.now, false);
    bench.expect_rest();
}

#[test]
fn a_connection_that_was_broken_before_killed_nothing() {
    let mut bench = running("SELECT a FROM t");
    bench.answer(lost(Effect::None));
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.wish();
}
