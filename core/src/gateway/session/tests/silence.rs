//! Reads on replicas whose servers say nothing. The default limit of a read is a second: after half of it a server is in doubt.

use super::bench::{Bench, OTHER_REPLICA, PRIMARY, REPLICA, error_code, ok, ok_reply, ok_with, tablet, text};
use crate::error::{Component, Error, Kind};
use crate::gateway::cluster::{Rules, Serving, TabletId, View};
use crate::gateway::session::{Event, Fate, Reason};
use crate::link::Reply;
use crate::mysql::packet::OkPacket;
use crate::time::Duration;
use crate::topo::{NotServing, Role};
use std::sync::Arc;

const PATIENCE: Duration = Duration::from_millis(500);

/// A view in which these tablets' servers do not answer.
fn lose(bench: &mut Bench, lost: &[TabletId]) {
    let tablets = [(PRIMARY, Role::Primary), (REPLICA, Role::Replica), (OTHER_REPLICA, Role::Replica)];
    let tablets = tablets.map(|(id, role)| {
        let seen = tablet(id, role, "0-1-100");
        let unreachable = Serving::No(NotServing::Unreachable);
        crate::gateway::cluster::TabletView {
            serving: if lost.contains(&id) { unreachable } else { Serving::Yes },
            ..seen
        }
    });
    bench.session.set_view(Arc::new(View::new(tablets.to_vec(), Rules::default())));
}

fn wait(bench: &mut Bench) {
    bench.now += PATIENCE;
    bench.session.handle_timeout(bench.now);
}

fn expect_doubt(bench: &mut Bench) -> TabletId {
    match bench.event() {
        Some(Event::Doubt { tablet, within }) if within < PATIENCE => tablet,
        other => panic!("expected a doubt, not {other:?}"),
    }
}

#[test]
fn a_silent_server_is_doubted_once_and_left_when_it_is_lost() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    let (first, _) = bench.lend();
    wait(&mut bench);
    assert_eq!(expect_doubt(&mut bench), first);
    wait(&mut bench);
    bench.expect_rest();
    lose(&mut bench, &[first]);
    wait(&mut bench);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    let (second, _) = bench.lend();
    assert!(second != first && second != PRIMARY);
    assert!(bench.answer(ok_reply(ok()))[0][0] == 0, "it has its answer");
    bench.expect_release();
}

#[test]
fn a_server_that_answers_others_is_not_doubted() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    let (tablet, _) = bench.lend();
    wait_with_news_of(&mut bench, tablet);
    bench.expect_rest();
}

/// Half of the patience, then somebody else's answer, then the other half.
fn wait_with_news_of(bench: &mut Bench, tablet: TabletId) {
    let view = bench.session.view.clone();
    let lease = view.get(tablet).unwrap().meter.lease();
    lease.meter().begin(bench.now + PATIENCE / 2, true).answered(bench.now + PATIENCE / 2);
    wait(bench);
}

#[test]
fn a_statement_that_loses_a_second_server_is_given_up() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    let (first, _) = bench.lend();
    lose(&mut bench, &[first]);
    wait(&mut bench);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    let (second, _) = bench.lend();
    lose(&mut bench, &[first, second]);
    wait(&mut bench);
    assert_eq!(error_code(&bench.receive()[0]), 1158);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_rest();
}

#[test]
fn nothing_is_taken_from_the_primary() {
    let mut bench = Bench::logged_in();
    bench.query("UPDATE t SET a = 1");
    bench.lend();
    lose(&mut bench, &[PRIMARY]);
    wait(&mut bench);
    bench.expect_rest();
}

#[test]
fn a_transaction_on_a_lost_replica_is_reported_lost_and_one_that_begins_there_begins_elsewhere() {
    let mut bench = Bench::logged_in();
    bench.query("SET enable_read_write_splitting_for_read_only_txn = 1");
    bench.query("START TRANSACTION READ ONLY");
    let (first, _) = bench.lend();
    lose(&mut bench, &[first]);
    wait(&mut bench);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    let (second, _) = bench.lend();
    assert_ne!(second, first);
    bench.answer(ok_reply(OkPacket { status: 3, ..ok() }));
    bench.query("SELECT a FROM t");
    bench.request();
    lose(&mut bench, &[second]);
    wait(&mut bench);
    assert_eq!(error_code(&bench.receive()[0]), 1158);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    assert_eq!(error_code(&bench.query("SELECT a FROM t")[0]), 1213, "the client must end it first");
}

/// A session that has written what no replica is known to have.
fn having_written() -> Bench {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", ok_with(&[("last_gtid", "0-1-101")]));
    bench
}

#[test]
fn waiting_for_a_connection_is_part_of_the_time_that_a_read_may_wait() {
    let mut bench = having_written();
    let begun = bench.now;
    bench.query("SELECT a FROM t");
    let wish = bench.wish();
    assert_eq!(wish.deadline, Some(begun + 2 * PATIENCE));
    bench.now += PATIENCE / 2;
    bench.grant(&wish);
    assert_eq!(bench.request().wait.unwrap().timeout, PATIENCE * 3 / 2);
}

#[test]
fn one_that_gets_no_connection_in_time_is_for_the_primary() {
    let mut bench = having_written();
    bench.query("SELECT a FROM t");
    let wish = bench.wish();
    bench.now = wish.deadline.unwrap();
    bench.session.lease_refused(bench.now, Error::new(Component::Tablet, Kind::Busy, "late"));
    let (tablet, request) = bench.lend();
    assert!(tablet == PRIMARY && request.wait.is_none());
}

#[test]
fn one_that_waits_for_a_position_is_silent_because_it_waits() {
    let mut bench = having_written();
    bench.query("SELECT a FROM t");
    bench.lend();
    wait(&mut bench);
    bench.expect_rest();
    wait(&mut bench);
    expect_doubt(&mut bench);
}

#[test]
fn so_is_one_that_is_held_back_until_the_position_is_reached() {
    let mut bench = having_written();
    bench.query("SELECT a FROM t");
    bench.wish();
    wait(&mut bench);
    bench.expect_rest();
    wait(&mut bench);
    expect_doubt(&mut bench);
}

#[test]
fn while_it_waits_for_a_connection_a_server_that_runs_nothing_is_doubted() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    let wish = bench.wish();
    assert_eq!(wish.deadline, None, "nothing in particular must be seen");
    wait(&mut bench);
    assert_eq!(expect_doubt(&mut bench), wish.tablet);
}

#[test]
fn an_answer_that_a_lost_server_leaves_off_ends_the_session() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    let (tablet, _) = bench.lend();
    bench.session.handle_reply(bench.now, Reply::Own(b"\x01\0\0\x01\x01".to_vec()));
    lose(&mut bench, &[tablet]);
    while bench.now < Bench::logged_in().now + Duration::from_secs(9) {
        wait(&mut bench);
        bench.expect_rest();
    }
    for _ in 0..4 {
        wait(&mut bench);
    }
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_closed(Reason::ServerLost);
}

#[test]
fn a_server_that_works_may_take_its_time_for_the_rest_of_an_answer() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    bench.lend();
    bench.session.handle_reply(bench.now, Reply::Own(b"\x01\0\0\x01\x01".to_vec()));
    for _ in 0..60 {
        wait(&mut bench);
        bench.expect_rest();
    }
}

/// The session keeps its connection, and something must be asked before its statement can run.
#[test]
fn what_the_gateway_asks_for_itself_is_looked_after_as_well() {
    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(OkPacket { status: 3, ..ok() }));
    bench.query("INSERT INTO t VALUES (NULL)");
    bench.request();
    bench.answer(ok_reply(OkPacket { last_insert_id: 7, status: 3, ..ok() }));
    bench.now += Duration::from_millis(1);
    bench.query("SELECT LAST_INSERT_ID()");
    assert_eq!(text(&bench.request()), "SET last_insert_id=LAST_INSERT_ID()");
    assert_eq!(bench.session.poll_timeout(), Some(bench.now + PATIENCE));
}
