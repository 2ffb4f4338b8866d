//! What becomes of a transaction whose primary is lost while `transaction_replay` is on.

use super::bench::{Bench, Packets, REPLICA, error_code, lost, ok, ok_reply, tablet, text};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::buffer::Refusal;
use crate::gateway::cluster::{Rules, Serving, TabletView, View};
use crate::gateway::session::tests::bench::PRIMARY;
use crate::gateway::session::{Event, Fate, Replayed};
use crate::link::{Command, Ended, Reply, Request};
use crate::mysql::packet::OkPacket;
use crate::time::Duration;
use crate::topo::{NotServing, Role};
use std::sync::Arc;

const IN_TRANSACTION: u16 = 3;

fn opened() -> OkPacket {
    OkPacket { status: IN_TRANSACTION, ..ok() }
}

fn changed(rows: u64) -> OkPacket {
    OkPacket { affected_rows: rows, ..opened() }
}

fn refused(code: u16, message: &str) -> Vec<Reply> {
    let error = Error { code, ..Error::new(Component::Server, Kind::ReadOnly, message) };
    vec![Reply::Err { seq: 1, error: error.with_effect(Effect::Answered) }, Reply::End(Ended::Answered)]
}

/// A session that asked for it.
fn bench() -> Bench {
    let mut bench = Bench::logged_in();
    bench.query("SET transaction_replay = ON");
    bench
}

/// With an open transaction that has changed a row.
fn in_transaction() -> Bench {
    let mut bench = bench();
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(opened()));
    bench.query("UPDATE t SET a = 1");
    assert!(bench.request().digests);
    bench.answer(ok_reply(changed(1)));
    bench
}

/// The connection is lost; the statement waits, and a connection to the next primary is lent.
fn fail_over(bench: &mut Bench, effect: Effect) -> Request {
    assert!(bench.answer(lost(effect)).is_empty(), "the client does not hear of it");
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    next_primary(bench)
}

fn next_primary(bench: &mut Bench) -> Request {
    bench.hold();
    let old = TabletView { serving: Serving::No(NotServing::Unreachable), ..tablet(PRIMARY, Role::Unknown, "0-1-100") };
    let new = TabletView { term: 2, ..tablet(REPLICA, Role::Primary, "0-1-100") };
    bench.session.set_view(Arc::new(View::new(vec![old, new], Rules::default())));
    bench.session.resumed(bench.now, Ok(()));
    let (tablet, request) = bench.lend();
    assert_eq!(tablet, REPLICA);
    request
}

fn expect_counted(bench: &mut Bench, what: Replayed) {
    match bench.event() {
        Some(Event::Replayed(counted)) if counted == what => {}
        other => panic!("expected {what:?} to be counted, not {other:?}"),
    }
}

/// BEGIN and UPDATE run again, with these rows changed.
fn replay(bench: &mut Bench, first: &Request, rows: u64) -> Packets {
    assert_eq!(text(first), "BEGIN");
    bench.answer(ok_reply(opened()));
    assert_eq!(text(&bench.request()), "UPDATE t SET a = 1");
    bench.answer(ok_reply(changed(rows)))
}

/// COMMIT is sent, and the transaction has marked itself before.
fn commit(bench: &mut Bench) {
    bench.query("COMMIT");
    assert!(text(&bench.request()).starts_with("INSERT INTO weir.transactions"));
    bench.answer(ok_reply(changed(1)));
    assert_eq!(text(&bench.request()), "COMMIT");
}

#[test]
fn a_transaction_goes_on_where_it_comes_out_the_same() {
    let mut bench = in_transaction();
    bench.query("SELECT a FROM t");
    bench.request();
    let first = fail_over(&mut bench, Effect::None);
    assert!(replay(&mut bench, &first, 1).is_empty());
    expect_counted(&mut bench, Replayed::Done);
    assert_eq!(text(&bench.request()), "SELECT a FROM t");
    assert!(bench.session.in_transaction());
}

#[test]
fn a_difference_rolls_it_back_and_the_client_must_know() {
    let mut bench = in_transaction();
    bench.query("UPDATE t SET b = 1");
    bench.request();
    let first = fail_over(&mut bench, Effect::Unknown);
    let packets = replay(&mut bench, &first, 2);
    assert_eq!(error_code(&packets[0]), 1213);
    assert!(String::from_utf8_lossy(&packets[0]).contains("affected rows 1 became 2"));
    expect_counted(&mut bench, Replayed::Different);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    assert_eq!(error_code(&bench.query("UPDATE t SET c = 1")[0]), 1213, "it would run outside");
    assert_eq!(bench.query("ROLLBACK")[0][0], 0);
    assert_eq!(bench.run("UPDATE t SET c = 1", ok()), REPLICA);
}

#[test]
fn rows_and_insert_ids_are_compared() {
    for (what, before, after) in [
        ("rows", vec![Reply::Forward { len: 0 }, rows(1)], vec![Reply::Forward { len: 0 }, rows(2)]),
        ("insert id", vec![insert_id(7)], vec![insert_id(8)]),
    ] {
        let mut bench = bench();
        bench.query("BEGIN");
        bench.lend();
        bench.answer(ok_reply(opened()));
        bench.query("INSERT INTO t VALUES (NULL)");
        bench.request();
        bench.answer(end(before));
        bench.query("UPDATE t SET b = 1");
        bench.request();
        fail_over(&mut bench, Effect::None);
        bench.answer(ok_reply(opened()));
        bench.request();
        let packets = bench.answer(end(after));
        assert!(String::from_utf8_lossy(&packets[0]).contains(what), "{what}");
    }
}

fn rows(rows: u64) -> Reply {
    Reply::Ok { seq: 1, ends_rows: true, rows, ok: opened() }
}

fn insert_id(id: u64) -> Reply {
    Reply::Ok { seq: 1, ends_rows: false, rows: 0, ok: OkPacket { last_insert_id: id, ..changed(1) } }
}

fn end(mut replies: Vec<Reply>) -> Vec<Reply> {
    replies.push(Reply::End(Ended::Answered));
    replies
}

#[test]
fn a_deadlock_has_it_begun_once_more() {
    let mut bench = in_transaction();
    bench.query("SELECT a FROM t");
    bench.request();
    fail_over(&mut bench, Effect::None);
    bench.answer(ok_reply(opened()));
    bench.request();
    bench.answer(refused(1213, "Deadlock found"));
    let first = bench.request();
    assert!(replay(&mut bench, &first, 1).is_empty());
    expect_counted(&mut bench, Replayed::Done);
}

#[test]
fn a_primary_that_is_lost_meanwhile_has_it_begun_on_the_next() {
    let mut bench = in_transaction();
    bench.query("SELECT a FROM t");
    bench.request();
    fail_over(&mut bench, Effect::None);
    let first = fail_over(&mut bench, Effect::Unknown);
    assert!(replay(&mut bench, &first, 1).is_empty());
    expect_counted(&mut bench, Replayed::Done);
}

#[test]
fn an_old_primary_that_refuses_even_the_commit_is_left() {
    let mut bench = in_transaction();
    commit(&mut bench);
    assert!(bench.answer(refused(1290, "running with the --read-only option")).is_empty());
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    let first = next_primary(&mut bench);
    assert!(replay(&mut bench, &first, 1).is_empty());
    expect_counted(&mut bench, Replayed::Done);
    assert!(text(&bench.request()).contains("number = 2"), "it marks itself anew");
}

#[test]
fn a_lost_commit_that_was_done_is_answered() {
    let mut bench = in_transaction();
    commit(&mut bench);
    let asks = fail_over(&mut bench, Effect::Unknown);
    assert!(text(&asks).ends_with("AND number = 1") && asks.settings.variables["autocommit"] == b"ON");
    assert_eq!(bench.answer(ok_reply(OkPacket { affected_rows: 1, ..ok() }))[0][0], 0);
    expect_counted(&mut bench, Replayed::CommitDone);
    bench.expect_release();
    assert!(!bench.session.in_transaction());
}

#[test]
fn a_lost_commit_that_was_not_done_is_done() {
    let mut bench = in_transaction();
    commit(&mut bench);
    fail_over(&mut bench, Effect::Unknown);
    assert!(bench.answer(ok_reply(ok())).is_empty());
    expect_counted(&mut bench, Replayed::CommitLost);
    let first = bench.request();
    assert!(replay(&mut bench, &first, 1).is_empty());
    expect_counted(&mut bench, Replayed::Done);
    bench.request();
    bench.answer(ok_reply(changed(2)));
    assert_eq!(text(&bench.request()), "COMMIT");
    assert_eq!(bench.answer(ok_reply(ok()))[0][0], 0);
}

#[test]
fn a_lost_commit_that_nobody_can_settle_is_unknown() {
    // Nobody serves in time.
    let mut bench = in_transaction();
    commit(&mut bench);
    bench.answer(lost(Effect::Unknown));
    bench.event();
    bench.hold();
    bench.session.resumed(bench.now, Err(Refusal::Late(Duration::from_secs(10))));
    assert_eq!(error_code(&bench.receive()[0]), 1160);
    expect_counted(&mut bench, Replayed::CommitUnknown);
    // It could not mark itself.
    let mut bench = in_transaction();
    bench.query("COMMIT");
    bench.request();
    bench.answer(refused(1146, "Table 'weir.transactions' doesn't exist"));
    assert_eq!(text(&bench.request()), "COMMIT");
    assert_eq!(error_code(&bench.answer(lost(Effect::Unknown))[0]), 1160);
    // It was sent too long ago.
    let mut bench = in_transaction();
    commit(&mut bench);
    bench.now += Duration::from_secs(2 * 3600);
    assert_eq!(error_code(&fail_over_late(&mut bench)[0]), 1160);
}

fn fail_over_late(bench: &mut Bench) -> Packets {
    bench.answer(lost(Effect::Unknown));
    bench.event();
    bench.hold();
    let new = TabletView { term: 2, ..tablet(REPLICA, Role::Primary, "0-1-100") };
    bench.session.set_view(Arc::new(View::new(vec![new], Rules::default())));
    bench.session.resumed(bench.now, Ok(()));
    let wish = bench.wish();
    bench.grant(&wish);
    bench.receive()
}

/// A deadlock, say: the transaction is gone, and COMMIT would say that all is well.
#[test]
fn a_mark_that_fails_otherwise_is_what_the_client_reads() {
    let mut bench = in_transaction();
    bench.query("COMMIT");
    bench.request();
    assert_eq!(error_code(&bench.answer(refused(1213, "Deadlock found"))[0]), 1213);
    expect_counted(&mut bench, Replayed::GivenUp);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
}

#[test]
fn a_transaction_that_only_read_marks_nothing() {
    let mut bench = bench();
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(opened()));
    bench.query("COMMIT");
    assert_eq!(text(&bench.request()), "COMMIT");
    fail_over(&mut bench, Effect::Unknown);
    bench.answer(ok_reply(opened()));
    expect_counted(&mut bench, Replayed::Done);
    assert_eq!(text(&bench.request()), "COMMIT");
}

#[test]
fn a_rollback_needs_no_primary() {
    let mut bench = in_transaction();
    bench.query("ROLLBACK");
    bench.request();
    assert_eq!(bench.answer(lost(Effect::Unknown))[0][0], 0);
    assert!(!bench.session.in_transaction());
}

#[test]
fn what_cannot_be_replayed_ends_as_without() {
    for (sql, what) in [
        ("CALL p()", "stored code"),
        ("UPDATE t SET a = 1; UPDATE t SET b = 1", "several statements"),
        ("SELECT GET_LOCK('a', 1)", "a lock"),
    ] {
        let mut bench = in_transaction();
        bench.query(sql);
        while text(&bench.request()) != sql {
            bench.answer(ok_reply(opened()));
        }
        bench.answer(ok_reply(opened()));
        bench.query("UPDATE t SET c = 1");
        while bench.event().is_some() {}
        let code = error_code(&bench.answer(lost(Effect::None))[0]);
        assert!(matches!(code, 1053 | 1158 | 1160), "{what}: {code}");
    }
}

/// It may have committed what came before.
#[test]
fn a_definition_whose_answer_was_lost_is_unknown() {
    let mut bench = in_transaction();
    bench.query("ALTER TABLE t ADD c INT");
    bench.request();
    assert_eq!(error_code(&bench.answer(lost(Effect::Unknown))[0]), 1160);
    // One that failed may have, too.
    let mut bench = in_transaction();
    bench.query("ALTER TABLE t ADD c INT");
    bench.request();
    bench.answer(refused(1146, "no such table"));
    bench.query("SELECT 1 FROM t");
    while bench.event().is_some() {}
    assert_eq!(error_code(&bench.answer(lost(Effect::None))[0]), 1158);
}

#[test]
fn a_transaction_that_begins_another_is_replayed_from_there() {
    let mut bench = in_transaction();
    bench.query("START TRANSACTION");
    bench.request();
    bench.answer(ok_reply(opened()));
    bench.query("SELECT a FROM t");
    bench.request();
    assert_eq!(text(&fail_over(&mut bench, Effect::None)), "START TRANSACTION");
    bench.answer(ok_reply(opened()));
    expect_counted(&mut bench, Replayed::Done);
}

#[test]
fn without_autocommit_the_first_statement_begins_it() {
    let mut bench = bench();
    let off = OkPacket { status: 0, ..super::bench::ok_with(&[("autocommit", "OFF")]) };
    bench.run("SET autocommit = 0", off);
    bench.query("UPDATE t SET a = 1");
    bench.lend();
    bench.answer(ok_reply(OkPacket { status: 1, affected_rows: 1, ..ok() }));
    bench.query("COMMIT");
    bench.request();
    bench.answer(ok_reply(OkPacket { status: 1, ..ok() }));
    bench.request();
    fail_over(&mut bench, Effect::Unknown);
    // The answer's status is that of the question.
    bench.answer(ok_reply(OkPacket { affected_rows: 1, ..ok() }));
    expect_counted(&mut bench, Replayed::CommitDone);
    bench.expect_release();
    bench.query("UPDATE t SET a = 2");
    bench.wish();
    assert_eq!(bench.session.state.status & 2, 0, "the session is without autocommit as before");
}

#[test]
fn what_set_transaction_prepared_is_prepared_again() {
    let mut bench = bench();
    bench.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.query("BEGIN");
    bench.request();
    bench.answer(ok_reply(opened()));
    bench.query("SELECT a FROM t");
    bench.request();
    assert_eq!(text(&fail_over(&mut bench, Effect::None)), "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    bench.answer(ok_reply(ok()));
    assert_eq!(text(&bench.request()), "BEGIN");
    bench.answer(ok_reply(opened()));
    expect_counted(&mut bench, Replayed::Done);
}

#[test]
fn prepared_statements_run_again_with_their_values() {
    let mut bench = bench();
    let id = bench.prepare("UPDATE t SET a = ?", 1);
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(opened()));
    let body = [0, 1, 0, 0, 0, 0, 1, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    bench.send(&crate::mysql::command::ClientCommand::Execute { statement_id: id, body: &body });
    bench.request();
    bench.answer(ok_reply(changed(1)));
    bench.query("SELECT a FROM t");
    bench.request();
    fail_over(&mut bench, Effect::None);
    bench.answer(ok_reply(opened()));
    match bench.request().command {
        Command::Execute { statement, payload, .. } => {
            assert_eq!(
                (&*statement.sql, payload.last_chunk()),
                (&b"UPDATE t SET a = ?"[..], Some(&[7, 0, 0, 0, 0, 0, 0, 0]))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_in_vain_rolls_it_back() {
    let mut bench = in_transaction();
    bench.query("SELECT a FROM t");
    bench.request();
    bench.answer(lost(Effect::None));
    bench.event();
    bench.hold();
    bench.session.resumed(bench.now, Err(Refusal::Late(Duration::from_secs(10))));
    assert_eq!(error_code(&bench.receive()[0]), 1213);
    expect_counted(&mut bench, Replayed::GivenUp);
    assert_eq!(bench.query("ROLLBACK")[0][0], 0);
}

#[test]
fn whoever_is_interrupted_while_it_runs_again_has_lost_it() {
    let mut bench = in_transaction();
    bench.query("SELECT a FROM t");
    bench.request();
    fail_over(&mut bench, Effect::None);
    bench.session.killed(bench.now, crate::link::Interrupt { query: true, soft: false });
    assert_eq!(error_code(&bench.receive()[0]), 1317);
    bench.answer(ok_reply(opened()));
    expect_counted(&mut bench, Replayed::GivenUp);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    assert_eq!(error_code(&bench.query("UPDATE t SET c = 1")[0]), 1213);
}

#[test]
fn nothing_is_kept_for_who_has_not_asked() {
    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    assert!(!bench.lend().1.digests);
    bench.answer(ok_reply(opened()));
    assert!(bench.session.replay.is_none());
    // Asked for in the middle, it comes too late for this one.
    bench.query("SET transaction_replay = 1");
    bench.query("UPDATE t SET a = 1");
    bench.request();
    bench.answer(ok_reply(changed(1)));
    bench.query("SELECT a FROM t");
    bench.request();
    assert_eq!(error_code(&bench.answer(lost(Effect::None))[0]), 1158);
}

#[test]
fn a_statement_that_somebody_killed_on_its_server_is_not_run_again() {
    for killed in [true, false] {
        let mut bench = in_transaction();
        bench.query("UPDATE t SET b = SLEEP(9)");
        bench.request();
        bench.now += Duration::from_secs(1);
        assert!(bench.answer(lost(Effect::Unknown)).is_empty());
        assert!(matches!(bench.event(), Some(Event::Inquire)));
        assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
        bench.session.inquired(bench.now, killed);
        if killed {
            assert_eq!(error_code(&bench.receive()[0]), 1213);
            expect_counted(&mut bench, Replayed::GivenUp);
        } else {
            let first = next_primary(&mut bench);
            assert!(replay(&mut bench, &first, 1).is_empty());
        }
    }
}
