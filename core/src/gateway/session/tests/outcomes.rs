//! What is counted of a statement when it has ended.

use super::bench::{Bench, PRIMARY, lost, ok, ok_reply, ok_with};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::buffer::Refusal;
use crate::gateway::session::{Class, Event, Lease, LeaseKey, Outcome, Pins, Plan, Sight, Verdict};
use crate::gateway::variables::Consistency;
use crate::gtid::{Flavor, Position};
use crate::link::{Ended, Reply};
use crate::mysql::command::ClientCommand;
use crate::sql::Fingerprint;
use crate::time::Duration;
use crate::topo::Role;

const MS: Duration = Duration::from_millis(1);

/// The one statement that has ended since this was asked last.
fn ended(bench: &mut Bench) -> Outcome {
    while bench.event().is_some() {}
    let outcomes = std::mem::take(&mut bench.outcomes);
    match outcomes[..] {
        [outcome] => outcome,
        _ => panic!("one statement has ended, not {outcomes:?}"),
    }
}

fn bench() -> Bench {
    let mut bench = Bench::logged_in();
    assert!(bench.event().is_none() && bench.outcomes.is_empty(), "a login is no statement");
    bench.query("SET read_after_write_consistency = SESSION");
    ended(&mut bench);
    bench
}

fn error(component: Component, kind: Kind) -> Error {
    Error::new(component, kind, "no")
}

#[test]
fn times_are_those_of_the_pool_the_server_and_the_whole() {
    let mut bench = bench();
    bench.query("INSERT INTO t VALUES (1)");
    let wish = bench.wish();
    bench.now += 2 * MS;
    bench.grant(&wish);
    bench.request();
    bench.now += 3 * MS;
    bench.answer(ok_reply(ok()));
    let outcome = ended(&mut bench);
    assert_eq!((outcome.class, outcome.plan, outcome.server), (Class::Write, Plan::Primary, Some(Role::Primary)));
    assert_eq!((outcome.verdict, outcome.retries), (Verdict::Ok, 0));
    assert_eq!(
        (outcome.took, outcome.pool_wait, outcome.server_time),
        (Some(5 * MS), Some(2 * MS), Some(3 * MS)),
        "{outcome:?}"
    );
    assert_eq!(outcome.sight, None, "it looks for nothing");
}

#[test]
fn what_ran_before_the_session_knew_of_its_connection_is_the_server_s_time() {
    let mut bench = bench();
    bench.query("SELECT a FROM t");
    let key = LeaseKey { tablet: bench.wish().tablet, connection: 9, epoch: 1 };
    bench.now += 5 * MS;
    let lease = Lease { key, tracks: true, executed: Position::default(), ran: Some(3 * MS) };
    bench.session.lease_granted(bench.now, lease);
    bench.request();
    bench.answer(ok_reply(ok()));
    let outcome = ended(&mut bench);
    assert_eq!((outcome.pool_wait, outcome.server_time), (Some(2 * MS), Some(3 * MS)), "{outcome:?}");
}

#[test]
fn what_the_session_does_for_itself_afterwards_is_no_part_of_it() {
    let mut bench = bench();
    bench.query("INSERT INTO t VALUES (NULL)");
    bench.lend();
    bench.now += MS;
    let inserted = crate::mysql::packet::OkPacket { last_insert_id: 7, ..ok() };
    bench.answer(ok_reply(inserted));
    let mut asked = 0;
    while let Some(event) = bench.event() {
        if matches!(event, Event::Submit(_)) {
            asked += 1;
            bench.now += 9 * MS;
            bench.answer(ok_reply(ok_with(&[("last_insert_id", "7")])));
        }
    }
    assert!(asked > 0, "it learns what was generated");
    let outcome = ended(&mut bench);
    assert_eq!((outcome.took, outcome.server_time), (Some(MS), Some(MS)));
}

#[test]
fn what_the_gateway_answers_is_local_and_what_has_no_answer_is_no_statement() {
    let mut bench = bench();
    bench.send(&ClientCommand::Ping);
    let outcome = ended(&mut bench);
    assert_eq!((outcome.class, outcome.plan, outcome.server), (Class::Session, Plan::Local, None));
    assert_eq!((outcome.took, outcome.pool_wait, outcome.server_time), (Some(Duration::ZERO), None, None));
    bench.send(&ClientCommand::CloseStatement { statement_id: 1 });
    assert!(bench.event().is_none() && bench.outcomes.is_empty());
    bench.send(&ClientCommand::Debug);
    assert_eq!(ended(&mut bench).verdict, Verdict::Refused);
}

#[test]
fn several_statements_that_come_at_once_are_counted_each() {
    let mut bench = bench();
    let (mut payload, mut bytes) = (Vec::new(), Vec::new());
    ClientCommand::Ping.encode(&mut payload);
    for _ in 0..3 {
        crate::mysql::frame::write_packet(&mut bytes, &mut 0, &payload);
    }
    bench.session.handle_bytes(bench.now, &bytes);
    assert!(bench.event().is_none());
    assert_eq!(bench.outcomes.len(), 3);
}

#[test]
fn statements_are_told_apart_by_what_they_do() {
    for (sql, class) in [
        ("SELECT a FROM t", Class::Read),
        ("UPDATE t SET a = 1", Class::Write),
        ("CREATE TABLE t (a INT)", Class::Write),
        ("COMMIT", Class::Transaction),
        ("SET sql_mode = ''", Class::Session),
        ("USE shop", Class::Session),
        ("SET @a = 1", Class::Session),
        ("SELECT a FROM t FOR UPDATE", Class::Read),
    ] {
        let mut bench = bench();
        bench.query(sql);
        bench.lend();
        bench.answer(ok_reply(ok()));
        while let Some(event) = bench.event() {
            if matches!(event, Event::Submit(_)) {
                bench.answer(ok_reply(ok()));
            }
        }
        assert_eq!(ended(&mut bench).class, class, "{sql}");
    }
}

#[test]
fn an_error_is_counted_by_what_it_means_for_the_client() {
    let of_server = |error: Error| vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)];
    let duplicate = Error { code: 1062, ..error(Component::Server, Kind::Parse) };
    for (replies, verdict) in
        [(of_server(duplicate), Verdict::ServerError), (lost(Effect::Unknown), Verdict::OutcomeUnknown)]
    {
        let mut bench = bench();
        bench.query("INSERT INTO t VALUES (1)");
        bench.lend();
        bench.answer(replies);
        let outcome = ended(&mut bench);
        assert_eq!((outcome.verdict, outcome.server), (verdict, Some(Role::Primary)));
    }
    for (kind, verdict) in [(Kind::Busy, Verdict::Busy), (Kind::TooManyConnections, Verdict::Unavailable)] {
        let mut bench = bench();
        bench.query("INSERT INTO t VALUES (1)");
        bench.wish();
        bench.now += MS;
        bench.session.lease_refused(bench.now, error(Component::Tablet, kind));
        let outcome = ended(&mut bench);
        assert_eq!((outcome.verdict, outcome.server, outcome.pool_wait), (verdict, None, Some(MS)));
    }
}

#[test]
fn a_client_that_leaves_is_counted_once_and_waits_for_nothing() {
    let mut bench = bench();
    bench.query("SELECT a FROM t");
    bench.lend();
    bench.session.client_closed();
    let outcome = ended(&mut bench);
    assert_eq!((outcome.verdict, outcome.took), (Verdict::Abandoned, None));
}

#[test]
fn a_read_is_counted_by_how_it_came_to_see_what_it_must() {
    let read = |bench: &mut Bench| {
        bench.query("SELECT a FROM t");
        bench.lend();
    };
    let sight = |outcome: Outcome| outcome.sight.map(|(level, sight, _)| (level, sight));
    let written = |at: &str| {
        let mut bench = bench();
        bench.run("INSERT INTO t VALUES (1)", ok_with(&[("last_gtid", at)]));
        ended(&mut bench);
        bench
    };

    let mut fresh = bench();
    read(&mut fresh);
    fresh.answer(ok_reply(ok()));
    assert_eq!(sight(ended(&mut fresh)), Some((Consistency::Session, Sight::Unneeded)));

    // Both replicas are known to be at 100.
    let mut near = written("0-1-100");
    read(&mut near);
    near.answer(ok_reply(ok()));
    assert_eq!(sight(ended(&mut near)), Some((Consistency::Session, Sight::Hit)));

    let mut far = written("0-1-101");
    read(&mut far);
    far.now += 4 * MS;
    far.answer(ok_reply(ok()));
    let outcome = ended(&mut far);
    assert_eq!(outcome.sight, Some((Consistency::Session, Sight::Waited, 4 * MS)));
    assert_eq!((outcome.plan, outcome.server), (Plan::Replica, Some(Role::Replica)));

    let mut late = written("0-1-101");
    read(&mut late);
    late.now += 6 * MS;
    late.answer(vec![Reply::End(Ended::WaitTimedOut)]);
    assert!(matches!(late.event(), Some(Event::Release(_))));
    let (tablet, _) = late.lend();
    assert_eq!(tablet, PRIMARY);
    late.now += MS;
    late.answer(ok_reply(ok()));
    let outcome = ended(&mut late);
    assert_eq!(outcome.sight, Some((Consistency::Session, Sight::Fallback, 6 * MS)));
    assert_eq!((outcome.plan, outcome.server), (Plan::Replica, Some(Role::Primary)));
    assert_eq!((outcome.took, outcome.server_time), (Some(7 * MS), Some(7 * MS)));
}

#[test]
fn a_tablet_that_knows_more_than_the_view_makes_it_a_hit_unless_it_kept_the_wish_back() {
    for (kept_back, expected) in [(Duration::ZERO, Sight::Hit), (2 * MS, Sight::Waited)] {
        let mut bench = bench();
        bench.run("INSERT INTO t VALUES (1)", ok_with(&[("last_gtid", "0-1-101")]));
        ended(&mut bench);
        bench.query("SELECT a FROM t");
        let wish = bench.wish();
        assert!(!wish.needs.is_empty());
        bench.now += kept_back;
        let key = LeaseKey { tablet: wish.tablet, connection: 9, epoch: 99 };
        bench.grant_on(key, Position::parse(Flavor::MariaDb, "0-1-101").unwrap());
        assert!(bench.request().wait.is_none(), "it is there");
        bench.answer(ok_reply(ok()));
        let (_, sight, _) = ended(&mut bench).sight.unwrap();
        assert_eq!(sight, expected);
    }
}

#[test]
fn a_read_that_is_tried_elsewhere_says_how_often() {
    let mut bench = bench();
    bench.query("SELECT a FROM t");
    bench.lend();
    bench.answer(lost(Effect::None));
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    bench.lend();
    bench.answer(ok_reply(ok()));
    let outcome = ended(&mut bench);
    assert_eq!((outcome.verdict, outcome.retries), (Verdict::Ok, 1));
}

#[test]
fn what_waits_for_a_primary_after_a_loss_takes_as_long_as_its_client_waits() {
    let mut bench = bench();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    bench.now += MS;
    bench.answer(lost(Effect::None));
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    bench.hold();
    bench.now += 9 * MS;
    bench.session.resumed(bench.now, Err(Refusal::Late(9 * MS)));
    let outcome = ended(&mut bench);
    assert_eq!((outcome.verdict, outcome.took), (Verdict::Unavailable, Some(10 * MS)));
    assert_eq!(outcome.server_time, Some(MS));
}

#[test]
fn a_pin_is_counted_when_it_begins() {
    let mut bench = bench();
    bench.query("CREATE TEMPORARY TABLE x (a INT)");
    bench.lend();
    bench.answer(ok_reply(ok()));
    assert_eq!(ended(&mut bench).pinned, Pins::TEMPORARY_TABLE);
    bench.query("SELECT a FROM x");
    bench.request();
    bench.answer(ok_reply(ok()));
    let outcome = ended(&mut bench);
    assert_eq!((outcome.plan, outcome.pinned), (Plan::Kept, Pins::empty()));
}

/// What the last statement's form is, as somebody who counts learns it.
fn form(bench: &mut Bench) -> (Outcome, String) {
    let outcome = ended(bench);
    let form = bench.session.normal_form(outcome.fingerprint.expect("a form"));
    (outcome, String::from_utf8(form.expect("its text")).expect("text"))
}

#[test]
fn a_statement_has_the_form_of_its_text_and_the_rows_that_servers_tell() {
    let mut bench = bench();
    for (sql, expected) in [
        ("SELECT a FROM t WHERE id = 5", "select a from t where id = ?"),
        ("SELECT a FROM t WHERE id = 6 -- again", "select a from t where id = ?"),
        ("SELECT a FROM t WHERE id = 7", "select a from t where id = ?"),
        ("SELECT \"secret\"", "select ?"),
    ] {
        bench.query(sql);
        bench.lend();
        let rows = Reply::Ok { seq: 1, ends_rows: true, rows: 4, ok: ok() };
        bench.answer(vec![rows, Reply::End(Ended::Answered)]);
        let (outcome, form) = form(&mut bench);
        assert_eq!((&*form, outcome.rows_sent, outcome.rows_affected), (expected, 4, 0), "{sql}");
    }
    bench.query("UPDATE t SET a = 'secret' WHERE b IN (1, 2, 3)");
    bench.lend();
    bench.answer(ok_reply(crate::mysql::packet::OkPacket { affected_rows: 3, ..ok() }));
    let (outcome, form) = form(&mut bench);
    assert_eq!((&*form, outcome.rows_sent, outcome.rows_affected), ("update t set a = ? where b in(?)", 0, 3));
    assert_eq!(bench.session.normal_form(Fingerprint(1)), None, "that was another");
}

#[test]
fn what_the_gateway_answers_itself_has_a_form_and_other_commands_have_none() {
    let mut bench = bench();
    bench.query("SET read_after_write_consistency = 'GLOBAL'");
    assert_eq!(form(&mut bench).1, "set read_after_write_consistency = ?");
    bench.send(&ClientCommand::Ping);
    assert_eq!(ended(&mut bench).fingerprint, None);
}

#[test]
fn a_prepared_statement_has_the_form_of_its_text_each_time_it_is_executed() {
    let mut bench = bench();
    let id = bench.prepare("SELECT a FROM t WHERE id = ?", 0);
    assert_eq!(ended(&mut bench).fingerprint, None, "to prepare it is not to run it");
    for _ in 0..2 {
        bench.send(&ClientCommand::Execute { statement_id: id, body: &[0, 1, 0, 0, 0] });
        bench.lend();
        bench.answer(ok_reply(ok()));
        assert_eq!(form(&mut bench).1, "select a from t where id = ?");
    }
    let mut without = Bench::config();
    without.digests = false;
    bench.session.set_config(without.into());
    bench.query("DO 1");
    bench.lend();
    bench.answer(ok_reply(ok()));
    assert_eq!(ended(&mut bench).fingerprint, None, "nobody wants to know");
}
