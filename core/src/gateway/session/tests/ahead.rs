//! What may be sent with the wish for a connection.

use super::bench::{Bench, error_code, ok, ok_reply, ok_with};
use crate::gateway::session::{Event, LeaseKey};
use crate::gtid::{Flavor, Position};
use crate::link::{Command, Loan, Request};
use crate::mysql::command::ClientCommand;

/// Neither tells how long it waits: that depends on when it is asked.
fn text(request: &Request) -> String {
    format!("{:?}", Request { wait: None, ..request.clone() })
}

fn ahead(bench: &Bench) -> Option<Request> {
    bench.session.ahead(bench.now)
}

#[test]
fn what_reads_is_known_before_there_is_a_connection_and_what_may_change_something_is_not_told() {
    for (sql, is_told) in [
        ("SELECT a FROM t", true),
        ("SELECT a FROM t WHERE a = 1 LIMIT 3", true),
        ("INSERT INTO t VALUES (1)", false),
        ("SELECT a FROM t FOR UPDATE", false),
        ("SELECT LAST_INSERT_ID()", false),
        ("SELECT GET_LOCK('a', 1)", false),
        ("SELECT f(a) FROM t", false),
        ("SELECT @a := a FROM t", false),
        ("CALL p()", false),
        ("BEGIN", false),
        ("SELECT 1; DROP TABLE t", false),
    ] {
        let mut bench = Bench::logged_in();
        assert!(bench.query(sql).is_empty());
        let wish = bench.wish();
        let ahead = ahead(&bench);
        assert_eq!(ahead.is_some(), is_told, "{sql}");
        bench.grant(&wish);
        let request = bench.request();
        if let Some(ahead) = ahead {
            assert!(ahead.read_only);
            assert_eq!(text(&ahead), text(&request), "{sql}");
        }
    }
}

#[test]
fn it_waits_for_what_it_must_see_although_the_server_may_have_it() {
    let mut bench = Bench::logged_in();
    assert!(bench.query("INSERT INTO t VALUES (1)").is_empty());
    drop(bench.lend());
    bench.answer(ok_reply(ok_with(&[("last_gtid", "0-1-105")])));
    assert!(matches!(bench.session.poll_event(), Some(Event::Acknowledged(_))));
    bench.expect_release();
    assert!(bench.query("SELECT a FROM t").is_empty());
    let wish = bench.wish();
    let needs = |request: &Request| request.wait.as_ref().map(|wait| wait.position.to_string());
    assert_eq!(ahead(&bench).as_ref().and_then(needs).as_deref(), Some("0-1-105"));
    let key = LeaseKey { tablet: wish.tablet, connection: 9, epoch: 1 };
    bench.grant_on(key, Position::parse(Flavor::MariaDb, "0-1-105").unwrap());
    assert_eq!(needs(&bench.request()), None);
}

#[test]
fn one_that_opens_a_cursor_or_prepares_is_not_told() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("SELECT a FROM t WHERE b = ?", 1);
    for (flags, is_told) in [(0, true), (1, false)] {
        let body = [&[flags][..], b"\x01\0\0\0\0\x01\x08\0\x05\0\0\0\0\0\0\0"].concat();
        assert!(bench.send(&ClientCommand::Execute { statement_id: id, body: &body }).is_empty());
        let wish = bench.wish();
        let ahead = ahead(&bench);
        assert_eq!(ahead.is_some(), is_told);
        assert!(ahead.is_none_or(|request| matches!(request.command, Command::Execute { .. })));
        bench.grant(&wish);
        drop(bench.request());
        bench.answer(ok_reply(ok()));
        if is_told {
            bench.expect_release();
        }
    }
}

#[test]
fn nothing_is_told_when_no_connection_is_waited_for() {
    let mut bench = Bench::logged_in();
    assert!(ahead(&bench).is_none());
    assert!(bench.query("SELECT a FROM t").is_empty());
    let (_, request) = bench.lend();
    assert!(request.read_only && ahead(&bench).is_none());
}

#[test]
fn a_read_whose_lanes_break_reaches_two_tablets_and_not_all() {
    let mut bench = Bench::logged_in();
    assert!(bench.query("SELECT a FROM t").is_empty());
    let first = bench.wish().tablet;
    bench.session.lease_refused(bench.now, Loan::lost_ahead("a-1", "it was killed"));
    assert_ne!(bench.wish().tablet, first, "tried elsewhere");
    bench.session.lease_refused(bench.now, Loan::lost_ahead("a-2", "it was killed"));
    assert_eq!(error_code(&bench.receive()[0]), 1158);
    assert!(bench.event().is_none(), "no third is asked");
}
