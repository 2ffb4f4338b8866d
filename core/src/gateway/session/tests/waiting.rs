//! What a client does not notice of a change of primary.

use super::bench::{Bench, OTHER_REPLICA, PRIMARY, REPLICA, error_code, lost, ok, ok_reply, tablet, text};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::buffer::{Primary, Refusal};
use crate::gateway::cluster::{Rules, Serving, TabletId, TabletView, View};
use crate::gateway::session::{Event, Fate, Reason};
use crate::link::{Ended, Reply};
use crate::mysql::packet::OkPacket;
use crate::time::Duration;
use crate::topo::{NotServing, Role};
use std::sync::Arc;

const OLD: Primary = Primary { tablet: PRIMARY, term: 1 };

/// The first replica is the primary of term 2; the old one is as told.
fn after_failover(old: Serving) -> Arc<View> {
    let with = |id: TabletId, role| TabletView { term: 2, ..tablet(id, role, "0-1-100") };
    let old = TabletView { serving: old, ..with(PRIMARY, Role::Unknown) };
    Arc::new(View::new(vec![old, with(REPLICA, Role::Primary), with(OTHER_REPLICA, Role::Replica)], Rules::default()))
}

fn resume_on_the_new_primary(bench: &mut Bench) {
    bench.session.set_view(after_failover(Serving::No(NotServing::Unreachable)));
    bench.session.resumed(bench.now, Ok(()));
    let (tablet, _) = bench.lend();
    assert_eq!(tablet, REPLICA);
    bench.answer(ok_reply(ok()));
}

fn err(code: u16, message: &str) -> Vec<Reply> {
    let error = Error { code, ..Error::new(Component::Server, Kind::ReadOnly, message) };
    vec![Reply::Err { seq: 1, error: error.with_effect(Effect::Answered) }, Reply::End(Ended::Answered)]
}

const READ_ONLY: &str = "The MariaDB server is running with the --read-only option so it cannot execute this statement";

#[test]
fn a_write_that_the_primary_refuses_as_read_only_runs_on_the_new_one() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    assert!(bench.answer(err(1290, READ_ONLY)).is_empty(), "the client does not hear of it");
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    assert_eq!(bench.hold().refused_by, Some(OLD));
    resume_on_the_new_primary(&mut bench);
}

#[test]
fn what_a_server_without_its_group_refuses_waits_for_a_primary() {
    const UNREADY: &str = "WSREP has not yet prepared node for application use";
    for sql in ["INSERT INTO t VALUES (1)", "SELECT a FROM t FOR UPDATE"] {
        let mut bench = Bench::logged_in();
        bench.query(sql);
        bench.lend();
        assert!(bench.answer(err(1047, UNREADY)).is_empty(), "the client does not hear of it");
        assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
        assert_eq!(bench.hold().refused_by, Some(OLD));
    }
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    assert_eq!(error_code(&bench.answer(err(1047, "Unknown command"))[0]), 1047, "the same number, of something else");
}

/// The number is also that of options that stay as they are, and what ran before the refusal stays done.
#[test]
fn other_refusals_are_the_clients() {
    for (sql, message) in [
        ("SELECT a INTO OUTFILE 'x' FROM t", "The MariaDB server is running with the --secure-file-priv option"),
        ("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", READ_ONLY),
        ("CALL p()", READ_ONLY),
    ] {
        let mut bench = Bench::logged_in();
        bench.query(sql);
        if text(&bench.lend().1) != sql {
            // It is prepared to tell what the statement leaves.
            bench.answer(ok_reply(ok()));
            assert_eq!(text(&bench.request()), sql);
        }
        assert_eq!(error_code(&bench.answer(err(1290, message))[0]), 1290, "{sql}");
    }
}

#[test]
fn a_read_whose_primary_is_lost_goes_on_and_a_write_is_told_that_nobody_knows() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t FOR UPDATE");
    bench.lend();
    bench.answer(lost(Effect::None));
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    assert_eq!(bench.hold().refused_by, Some(OLD));
    resume_on_the_new_primary(&mut bench);
}

#[test]
fn a_primary_that_has_a_successor_and_is_not_heard_of_is_given_up() {
    for (sql, serving, code) in [
        ("INSERT INTO t VALUES (1)", Serving::No(NotServing::Unreachable), Some(1160)),
        // Its answer is on its way: it only stops being primary.
        ("INSERT INTO t VALUES (1)", Serving::Yes, None),
    ] {
        let mut bench = Bench::logged_in();
        bench.query(sql);
        bench.lend();
        bench.now = bench.session.poll_timeout().unwrap();
        bench.session.set_view(after_failover(serving));
        bench.session.handle_timeout(bench.now);
        assert_eq!(bench.receive().first().map(|packet| error_code(packet)), code, "{sql}");
    }
}

/// The client's own statement is answered, and its next one would wait for ever.
#[test]
fn what_the_gateway_asks_of_such_a_primary_for_itself_is_given_up_as_well() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (NULL)");
    bench.lend();
    bench.answer(ok_reply(OkPacket { last_insert_id: 7, ..ok() }));
    assert_eq!(text(&bench.request()), "SET last_insert_id=LAST_INSERT_ID()");
    bench.session.set_view(after_failover(Serving::No(NotServing::Unreachable)));
    bench.now = bench.session.poll_timeout().unwrap();
    bench.session.handle_timeout(bench.now);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.query("INSERT INTO t VALUES (NULL)");
    assert_eq!(bench.lend().0, REPLICA);
}

#[test]
fn a_primary_without_a_successor_is_waited_for() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    let silent = TabletView { serving: Serving::Silent, ..tablet(PRIMARY, Role::Primary, "0-1-100") };
    bench.session.set_view(Arc::new(View::new(vec![silent], Rules::default())));
    for _ in 0..3 {
        bench.now = bench.session.poll_timeout().unwrap();
        bench.session.handle_timeout(bench.now);
        bench.expect_rest();
    }
}

#[test]
fn the_wait_is_counted_from_its_first_beginning() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    let refused = || Error::new(Component::Tablet, Kind::Unavailable, "cannot connect");
    bench.wish();
    bench.session.lease_refused(bench.now, refused());
    let first = bench.hold();
    assert_eq!(first.bytes, "INSERT INTO t VALUES (1)".len() + 1);
    bench.now += Duration::from_secs(1);
    bench.session.resumed(bench.now, Ok(()));
    assert_eq!(bench.wish().tablet, PRIMARY);
    bench.session.lease_refused(bench.now, refused());
    assert_eq!(bench.hold(), first);
}

#[test]
fn a_primary_that_is_busy_is_not_lost() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.wish();
    bench.session.lease_refused(bench.now, Error::new(Component::Tablet, Kind::Busy, "full"));
    assert_eq!(error_code(&bench.receive()[0]), 1041);
    bench.expect_rest();
}

#[test]
fn an_open_transaction_ends_with_its_primary() {
    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(OkPacket { status: 3, ..ok() }));
    bench.query("SELECT a FROM t");
    bench.request();
    assert_eq!(error_code(&bench.answer(lost(Effect::None))[0]), 1158);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
    bench.expect_rest();
}

#[test]
fn whoever_waits_can_be_killed_and_can_go() {
    for leaves in [false, true] {
        let mut bench = Bench::logged_in();
        bench.session.set_view(Arc::default());
        bench.query("INSERT INTO t VALUES (1)");
        bench.hold();
        if leaves {
            bench.session.client_closed();
        } else {
            bench.session.killed(bench.now, crate::link::Interrupt { query: true, soft: false });
            assert_eq!(error_code(&bench.receive()[0]), 1317);
        }
        assert!(matches!(bench.event(), Some(Event::CancelBuffer)));
        // What was on its way then comes too late.
        bench.session.resumed(bench.now, Ok(()));
        if leaves { bench.expect_closed(Reason::ClientGone) } else { bench.expect_rest() }
    }
}

#[test]
fn a_wait_in_vain_is_explained() {
    let mut bench = Bench::logged_in();
    bench.session.set_view(Arc::default());
    bench.query("INSERT INTO t VALUES (1)");
    bench.hold();
    bench.session.resumed(bench.now, Err(Refusal::Late(Duration::from_secs(10))));
    let packets = bench.receive();
    assert_eq!(error_code(&packets[0]), 1053);
    assert!(String::from_utf8_lossy(&packets[0]).contains("buffer_max_wait"));
    bench.session.set_view(after_failover(Serving::Silent));
    assert_eq!(bench.run("INSERT INTO t VALUES (2)", ok()), REPLICA);
}

#[test]
fn what_the_only_server_refuses_is_refused() {
    let mut bench = Bench::logged_in();
    let primary = tablet(PRIMARY, Role::Primary, "0-1-100");
    bench.session.set_view(Arc::new(View::new(vec![primary], Rules { alone: true, ..Rules::default() })));
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    let error = Error::new(Component::Server, Kind::ReadOnly, "running with the --read-only option");
    let packets = bench.answer(vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)]);
    assert_eq!(error_code(&packets[0]), 1290, "nobody else could take it");
}
