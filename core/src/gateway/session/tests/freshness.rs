//! How far reads must see, at each level.

use super::bench::{Bench, OTHER_REPLICA, PRIMARY, REPLICA, error_code, lost, ok, ok_reply, ok_with, tablet, view};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::cluster::{Rules, TabletId, View};
use crate::gateway::freshness::{Scope, Told, Written};
use crate::gateway::session::{Event, LeaseKey};
use crate::gtid::{Flavor, Position};
use crate::link::{Ended, Reply, Request};
use crate::mysql::packet::OkPacket;
use crate::topo::Role;
use std::sync::Arc;

fn position(text: &str) -> Position {
    Position::parse(Flavor::MariaDb, text).unwrap()
}

fn at_level(level: &str) -> Bench {
    let mut bench = Bench::logged_in();
    assert_eq!(bench.query(&format!("SET read_after_write_consistency = {level}"))[0][0], 0);
    bench
}

fn monotonic() -> Bench {
    let mut bench = at_level("EVENTUAL");
    assert_eq!(bench.query("SET monotonic_reads = ON")[0][0], 0);
    bench
}

fn expect_question(bench: &mut Bench) -> Scope {
    match bench.event() {
        Some(Event::Freshen(scope)) => scope,
        other => panic!("expected a question, not {other:?}"),
    }
}

/// Answers the question that is due; where the read goes then.
fn tell(bench: &mut Bench, answer: Option<&str>) -> (TabletId, Request) {
    bench.session.freshened(bench.now, Told { position: answer.map(position), by: None });
    bench.lend()
}

fn rows() -> Vec<Reply> {
    vec![Reply::Ok { seq: 3, ends_rows: true, rows: 1, ok: ok() }, Reply::End(Ended::Answered)]
}

fn read_somewhere(bench: &mut Bench) -> TabletId {
    bench.query("SELECT a FROM t");
    let (tablet, _) = bench.lend();
    for reply in rows() {
        bench.session.handle_reply(bench.now, reply);
    }
    bench.receive_from(3);
    bench.expect_release();
    tablet
}

fn waits_for(request: &Request) -> Option<String> {
    request.wait.as_ref().map(|wait| wait.position.to_string())
}

#[test]
fn a_write_is_told_to_the_gateway_with_the_answer() {
    let mut bench = Bench::logged_in();
    bench.query("UPDATE t SET a = 1");
    bench.lend();
    bench.answer(ok_reply(ok_with(&[("last_gtid", "0-1-101")])));
    match bench.event() {
        Some(Event::Acknowledged(Written::At(at))) => assert_eq!(at, position("0-1-101")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_level_asks_whose_writes_it_must_see() {
    for (level, scope) in [("INSTANCE", Scope::Gateway), ("GLOBAL", Scope::Shard)] {
        let mut bench = at_level(level);
        bench.query("SELECT a FROM t");
        assert_eq!(expect_question(&mut bench), scope);
        let (tablet, request) = tell(&mut bench, Some("0-1-105"));
        assert_ne!(tablet, PRIMARY);
        assert_eq!(waits_for(&request).unwrap(), "0-1-105");
    }
}

#[test]
fn a_tablet_is_told_what_must_have_been_executed_unless_it_is_known_to_be() {
    for (answer, needs) in [("0-1-105", "0-1-105"), ("0-1-1", "")] {
        let mut bench = at_level("GLOBAL");
        bench.query("SELECT a FROM t");
        expect_question(&mut bench);
        bench.session.freshened(bench.now, Told { position: Some(position(answer)), by: None });
        let wish = bench.wish();
        assert_eq!(wish.needs.to_string(), needs);
        let key = LeaseKey { tablet: wish.tablet, connection: 9, epoch: 9 };
        bench.grant_on(key, wish.needs);
        assert_eq!(waits_for(&bench.request()), None, "it was held back until then");
    }
}

#[test]
fn a_hint_sets_the_level_of_one_statement() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT /*vt+ CONSISTENCY=GLOBAL */ a FROM t");
    assert_eq!(expect_question(&mut bench), Scope::Shard);
    let mut bench = at_level("GLOBAL");
    bench.query("SELECT /*vt+ CONSISTENCY=EVENTUAL */ a FROM t");
    assert_eq!(waits_for(&bench.lend().1), None);
}

#[test]
fn prepared_statements_and_read_only_transactions_ask_too() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("SELECT a FROM t", 0);
    bench.query("SET read_after_write_consistency = GLOBAL");
    bench.query("SET enable_read_write_splitting_for_read_only_txn = 1");
    bench.send(&crate::mysql::command::ClientCommand::Execute { statement_id: id, body: &[0, 1, 0, 0, 0] });
    expect_question(&mut bench);
    assert_eq!(waits_for(&tell(&mut bench, Some("0-1-105")).1).unwrap(), "0-1-105");
    bench.answer(ok_reply(ok()));
    bench.expect_release();
    bench.query("START TRANSACTION READ ONLY");
    expect_question(&mut bench);
    let (tablet, request) = tell(&mut bench, Some("0-1-106"));
    assert_ne!(tablet, PRIMARY);
    assert_eq!(waits_for(&request).unwrap(), "0-1-106");
    let open = OkPacket { status: 3, ..ok() };
    bench.answer(ok_reply(open));
    bench.query("SELECT a FROM t");
    assert!(bench.request().wait.is_none(), "the snapshot is what it is");
}

#[test]
fn own_writes_are_seen_at_every_level_above_eventual() {
    for level in ["SESSION", "INSTANCE", "GLOBAL"] {
        let mut bench = at_level(level);
        bench.run("UPDATE t SET a = 1", ok_with(&[("last_gtid", "0-1-109")]));
        bench.query("SELECT a FROM t");
        let request = if level == "SESSION" {
            bench.lend().1
        } else {
            expect_question(&mut bench);
            tell(&mut bench, Some("0-1-105")).1
        };
        assert_eq!(waits_for(&request).unwrap(), "0-1-109", "{level}");
    }
}

#[test]
fn without_an_answer_the_primary_is_read() {
    let mut bench = at_level("GLOBAL");
    bench.query("SELECT a FROM t");
    expect_question(&mut bench);
    assert_eq!(tell(&mut bench, None).0, PRIMARY);
}

#[test]
fn what_the_tablet_knows_of_its_server_spares_a_wait() {
    for (executed, waits) in [("0-1-104", Some("0-1-105")), ("0-1-105", None), ("0-1-200", None)] {
        let mut bench = at_level("GLOBAL");
        bench.query("SELECT a FROM t");
        expect_question(&mut bench);
        bench.session.freshened(bench.now, Told { position: Some(position("0-1-105")), by: None });
        let key = LeaseKey { tablet: bench.wish().tablet, connection: 9, epoch: 1 };
        bench.grant_on(key, position(executed));
        assert_eq!(waits_for(&bench.request()).as_deref(), waits, "{executed}");
    }
}

#[test]
fn a_retry_keeps_the_floor_and_does_not_ask_again() {
    let mut bench = at_level("GLOBAL");
    bench.query("SELECT a FROM t");
    expect_question(&mut bench);
    let (first, _) = tell(&mut bench, Some("0-1-105"));
    bench.answer(lost(Effect::Unknown));
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    let (second, request) = bench.lend();
    assert_ne!(first, second);
    assert_eq!(waits_for(&request).unwrap(), "0-1-105");
}

#[test]
fn a_write_without_a_position_is_asked_for_before_the_next_read() {
    let mut bench = Bench::logged_in();
    bench.query("UPDATE t SET a = 1");
    bench.lend();
    bench.answer(ok_reply(ok_with(&[("last_gtid", "nonsense")])));
    assert!(matches!(bench.event(), Some(Event::Acknowledged(Written::Unknown))));
    bench.expect_release();
    bench.query("SELECT a FROM t");
    assert_eq!(expect_question(&mut bench), Scope::Shard);
    assert_eq!(waits_for(&tell(&mut bench, Some("0-1-105")).1).unwrap(), "0-1-105");
    bench.answer(ok_reply(ok()));
    bench.expect_release();
    bench.query("SELECT a FROM t");
    assert_eq!(waits_for(&bench.lend().1).unwrap(), "0-1-105", "it is known now");
}

#[test]
fn what_a_failed_statement_wrote_before_it_failed_is_asked_for() {
    for statement in ["DROP TABLE a, missing", "INSERT INTO aria VALUES (1), (1)"] {
        let mut bench = Bench::logged_in();
        bench.query(statement);
        bench.lend();
        let error = Error { code: 1062, ..Error::new(Component::Server, Kind::Unavailable, "half-way") };
        bench.answer(vec![Reply::Err { seq: 1, error }]);
        assert!(matches!(bench.event(), Some(Event::Acknowledged(Written::Unknown))), "{statement}: with the error");
        bench.answer(vec![Reply::End(Ended::Answered)]);
        bench.query("SELECT a FROM t");
        let mut next = bench.event();
        if let Some(Event::Submit(request)) = &next {
            // An INSERT may have set LAST_INSERT_ID().
            assert!(request.read_only, "{request:?}");
            bench.answer(ok_reply(ok_with(&[("last_insert_id", "0")])));
            next = bench.event();
        }
        assert!(matches!(next, Some(Event::Release(_))), "{next:?}");
        assert_eq!(expect_question(&mut bench), Scope::Shard, "{statement}");
    }
}

#[test]
fn a_write_of_unknown_outcome_is_looked_for_where_it_would_be() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    bench.answer(lost(Effect::Unknown));
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    assert!(matches!(bench.event(), Some(Event::Acknowledged(Written::Unknown))));
    bench.query("SELECT a FROM t");
    assert_eq!(expect_question(&mut bench), Scope::Shard);
}

#[test]
fn a_monotonic_session_reads_on_where_it_read_last() {
    let mut bench = monotonic();
    let first = read_somewhere(&mut bench);
    for _ in 0..4 {
        assert_eq!(read_somewhere(&mut bench), first);
    }
}

#[test]
fn a_monotonic_session_that_must_move_asks_how_far_it_can_have_read() {
    let mut bench = monotonic();
    let first = read_somewhere(&mut bench);
    let other = if first == REPLICA { OTHER_REPLICA } else { REPLICA };
    let left = vec![tablet(PRIMARY, Role::Primary, "0-1-100"), tablet(other, Role::Replica, "0-1-100")];
    bench.session.set_view(Arc::new(View::new(left, Rules::default())));
    bench.query("SELECT a FROM t");
    assert_eq!(expect_question(&mut bench), Scope::Shard);
    let (second, request) = tell(&mut bench, Some("0-1-120"));
    assert_eq!((second, waits_for(&request).as_deref()), (other, Some("0-1-120")));
}

#[test]
fn a_monotonic_session_that_read_on_the_primary_may_not_go_back_on_a_replica() {
    let mut bench = monotonic();
    bench.query("SELECT /*vt+ ROLE=PRIMARY */ a FROM t");
    assert_eq!(bench.lend().0, PRIMARY);
    for reply in rows() {
        bench.session.handle_reply(bench.now, reply);
    }
    bench.receive_from(3);
    bench.expect_release();
    bench.query("SELECT a FROM t");
    assert_eq!(expect_question(&mut bench), Scope::Shard);
}

#[test]
fn a_monotonic_read_that_fails_on_its_replica_does_not_go_back_on_another() {
    let mut bench = monotonic();
    let first = read_somewhere(&mut bench);
    bench.query("SELECT a FROM t");
    assert_eq!(bench.lend().0, first);
    bench.answer(lost(Effect::Unknown));
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    assert_eq!(expect_question(&mut bench), Scope::Shard);
    assert_ne!(tell(&mut bench, Some("0-1-120")).0, first);
}

#[test]
fn a_client_that_goes_while_it_is_asked_leaves_nothing_behind() {
    let mut bench = at_level("GLOBAL");
    bench.query("SELECT a FROM t");
    expect_question(&mut bench);
    bench.session.client_closed();
    assert!(matches!(bench.event(), Some(Event::CancelFreshen)));
    bench.expect_closed(crate::gateway::session::Reason::ClientGone);
    bench.session.freshened(bench.now, Told::default());
    bench.expect_rest();
}

#[test]
fn a_session_bound_to_a_late_replica_is_told_so() {
    let mut bench = Bench::logged_in();
    bench.session.set_view(view("0-1-100", "0-1-100"));
    bench.run("UPDATE t SET a = 1", ok_with(&[("last_gtid", "0-1-101")]));
    bench.query("SELECT /*vt+ ROLE=REPLICA */ @a := 1");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.query("SELECT a FROM t");
    assert!(bench.request().wait.is_some());
    let packets = bench.answer(vec![Reply::End(Ended::WaitTimedOut)]);
    assert_eq!(error_code(&packets[0]), 1053);
    bench.expect_rest();
}
