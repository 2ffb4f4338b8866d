//! Reads at GLOBAL on the primary of a group, which may have been succeeded without knowing.

use super::bench::{Bench, PRIMARY, REPLICA, ok, ok_reply, tablet};
use crate::gateway::cluster::{Rules, TabletView, View};
use crate::gateway::freshness::{Primary, Scope, Told};
use crate::gateway::session::Event;
use crate::gtid::{Flavor, Position};
use crate::topo::Role;
use std::sync::Arc;

const OF_TERM_1: Primary = Primary { tablet: PRIMARY, term: 1 };

/// A group of two, one of them elected in a term.
fn elected(primary: Primary) -> Arc<View> {
    let tablets = [PRIMARY, REPLICA].map(|id| {
        let role = if id == primary.tablet { Role::Primary } else { Role::Replica };
        TabletView { in_group: true, term: primary.term, ..tablet(id, role, "0-1-100") }
    });
    Arc::new(View::new(tablets.to_vec(), Rules::default()))
}

fn at_level(level: &str) -> Bench {
    let mut bench = Bench::logged_in();
    bench.session.set_view(elected(OF_TERM_1));
    assert_eq!(bench.query(&format!("SET read_after_write_consistency = {level}"))[0][0], 0);
    bench
}

fn told(by: Primary) -> Told {
    Told { position: Some(Position::parse(Flavor::MariaDb, "0-1-105").unwrap()), by: Some(by) }
}

fn expect_question(bench: &mut Bench) {
    assert!(matches!(bench.event(), Some(Event::Freshen(Scope::Shard))));
}

const READS: [&str; 3] = ["SELECT /*vt+ ROLE=PRIMARY */ a FROM t", "BEGIN", "START TRANSACTION READ ONLY"];

#[test]
fn a_read_on_the_primary_runs_when_it_has_told_with_its_groups_consent() {
    for sql in READS {
        let mut bench = at_level("GLOBAL");
        bench.query(sql);
        expect_question(&mut bench);
        bench.session.freshened(bench.now, told(OF_TERM_1));
        let (tablet, request) = bench.lend();
        assert_eq!(tablet, PRIMARY, "{sql}");
        assert!(request.wait.is_none(), "it has executed what it told");
    }
}

#[test]
fn nobody_else_asks() {
    for (level, sql) in [
        ("SESSION", READS[0]),
        ("INSTANCE", READS[0]),
        ("GLOBAL", "INSERT INTO t VALUES (1)"),
        ("GLOBAL", "SELECT a FROM t FOR UPDATE"),
    ] {
        let mut bench = at_level(level);
        bench.query(sql);
        assert_eq!(bench.lend().0, PRIMARY, "{level}: {sql}");
    }
    let mut bench = at_level("GLOBAL");
    bench.session.set_view(super::bench::view("0-1-100", "0-1-100"));
    bench.query(READS[0]);
    assert_eq!(bench.lend().0, PRIMARY, "a primary that is no member of a group proves its term");
}

#[test]
fn without_an_answer_it_waits_and_asks_again() {
    let mut bench = at_level("GLOBAL");
    for sql in [READS[0], "SELECT a FROM t"] {
        bench.query(sql);
        for _ in 0..2 {
            expect_question(&mut bench);
            bench.session.freshened(bench.now, Told::default());
            assert_eq!(bench.hold().refused_by.map(|by| (by.tablet, by.term)), Some((PRIMARY, 1)));
            bench.session.resumed(bench.now, Ok(()));
        }
        expect_question(&mut bench);
        bench.session.freshened(bench.now, told(OF_TERM_1));
        assert_eq!(bench.lend().0, PRIMARY, "{sql}");
        bench.answer(ok_reply(ok()));
        bench.expect_release();
    }
}

#[test]
fn what_one_primary_told_is_not_true_of_another() {
    let mut bench = at_level("GLOBAL");
    bench.query(READS[0]);
    expect_question(&mut bench);
    let successor = Primary { tablet: REPLICA, term: 2 };
    bench.session.set_view(elected(successor));
    bench.session.freshened(bench.now, told(OF_TERM_1));
    expect_question(&mut bench);
    bench.session.freshened(bench.now, told(successor));
    assert_eq!(bench.lend().0, REPLICA);
}

#[test]
fn a_group_without_positions_gives_its_consent_all_the_same() {
    let mut bench = at_level("GLOBAL");
    bench.query("SELECT a FROM t");
    expect_question(&mut bench);
    bench.session.freshened(bench.now, Told { position: None, by: Some(OF_TERM_1) });
    assert_eq!(bench.lend().0, PRIMARY);
}

#[test]
fn a_session_bound_to_a_primary_asks_it_too() {
    for (by, runs) in [(OF_TERM_1, true), (Primary { tablet: REPLICA, term: 2 }, false)] {
        let mut bench = at_level("GLOBAL");
        bench.query("CREATE TEMPORARY TABLE x (a INT)");
        bench.lend();
        bench.answer(ok_reply(ok()));
        bench.query(READS[0]);
        expect_question(&mut bench);
        bench.session.set_view(elected(by));
        bench.session.freshened(bench.now, told(by));
        assert_eq!(matches!(bench.event(), Some(Event::Submit(_))), runs);
    }
}
