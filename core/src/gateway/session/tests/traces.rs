//! What is remembered of a statement whose trace is known.

use super::bench::{Bench, PRIMARY, error_code, lost, ok, ok_reply, ok_with};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::session::{Did, Event, Trace};
use crate::link::{Command, Ended, Reply};
use crate::mysql::attributes;
use crate::mysql::capability::{ASKED_OF_SERVERS, CapabilityFlags};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::PrepareOk;
use crate::time::Duration;
use crate::topo::Role;
use crate::trace::Sampler;
use std::sync::Arc;

const MS: Duration = Duration::from_millis(1);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Of the statements that nobody speaks for all are sampled, or none.
fn bench_with(ratio: f64, more: CapabilityFlags) -> Bench {
    let config =
        crate::gateway::config::SessionConfig { traces: Some(Arc::new(Sampler::new(ratio, 1000))), ..Bench::config() };
    let mut bench = Bench::logged_in_to(config, ASKED_OF_SERVERS | more);
    bench.query("SET read_after_write_consistency = EVENTUAL");
    while bench.event().is_some() {}
    bench.traces.clear();
    bench
}

fn bench(ratio: f64) -> Bench {
    bench_with(ratio, CapabilityFlags::empty())
}

fn trace(bench: &mut Bench) -> Trace {
    while bench.event().is_some() {}
    assert_eq!(bench.traces.len(), 1, "{:?}", bench.traces);
    bench.traces.remove(0)
}

fn with_parent(sql: &str) -> String {
    format!("{sql} /*traceparent='{PARENT}'*/")
}

/// An attribute as a client of MySQL's sends it: its type, a string, and its name.
fn attribute(name: &str) -> Vec<u8> {
    [&[254, 0, name.len() as u8][..], name.as_bytes()].concat()
}

#[test]
fn the_steps_of_a_statement_are_told_one_after_the_other() {
    let mut bench = bench(0.0);
    let begun = bench.now;
    bench.query(&with_parent("SELECT a FROM t"));
    let wish = bench.wish();
    bench.now += 2 * MS;
    bench.grant(&wish);
    let request = bench.request();
    let of_server = request.trace.expect("the server's span");
    bench.now += 3 * MS;
    bench.answer(ok_reply(ok()));
    let trace = trace(&mut bench);
    assert_eq!((trace.context.trace.to_string().as_str(), trace.context.sampled), (TRACE, true));
    assert_eq!(trace.parent.map(|parent| parent.to_string()).as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!((trace.begun, trace.ended, trace.error), (begun, Some(begun + 5 * MS), None));
    let told: Vec<_> = trace.steps.iter().map(|step| (step.from, step.to, step.what)).collect();
    let (tablet, role) = (wish.tablet, Role::Replica);
    assert_eq!(
        told,
        [
            (begun, Some(begun + 2 * MS), Did::Connection { tablet, role, granted: true }),
            (begun + 2 * MS, Some(begun + 5 * MS), Did::Server { tablet, role, answered: true }),
        ]
    );
    assert_eq!((of_server.trace, of_server.span), (trace.context.trace, trace.steps[1].span), "as the server was told");
    assert_ne!(of_server.span, trace.context.span);
}

#[test]
fn what_is_sent_ahead_names_the_span_that_is_told_later() {
    let mut bench = bench(1.0);
    bench.query("SELECT a FROM t");
    let wish = bench.wish();
    let ahead = bench.session.ahead(bench.now).and_then(|request| request.trace).expect("it is sent ahead");
    bench.grant(&wish);
    bench.request();
    bench.answer(ok_reply(ok()));
    let trace = trace(&mut bench);
    assert_eq!((trace.parent, trace.context.sampled), (None, true));
    assert!(trace.steps.iter().any(|step| step.span == ahead.span && matches!(step.what, Did::Server { .. })));
}

#[test]
fn of_what_is_not_sampled_only_the_trace_is_known() {
    let mut bench = bench(0.0);
    bench.query(&with_parent("SELECT a FROM t").replace("-01'", "-00'"));
    let (_, request) = bench.lend();
    assert_eq!(request.trace, None, "no server is told");
    bench.answer(ok_reply(ok()));
    let trace = trace(&mut bench);
    assert_eq!((trace.context.trace.to_string().as_str(), trace.context.sampled), (TRACE, false));
    assert!(trace.steps.is_empty());
    for sql in ["SELECT a FROM t", "SELECT a FROM t /*traceparent='00-4bf9'*/"] {
        bench.query(sql);
        bench.lend();
        bench.answer(ok_reply(ok()));
        while bench.event().is_some() {}
        assert!(bench.traces.is_empty(), "{sql}");
    }
}

#[test]
fn nothing_is_looked_for_where_nobody_makes_spans() {
    let mut bench = Bench::logged_in();
    assert!(!bench.session.capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES));
    bench.query(&with_parent("SELECT a FROM t"));
    bench.lend();
    bench.answer(ok_reply(ok()));
    while bench.event().is_some() {}
    assert!(bench.traces.is_empty());
}

#[test]
fn a_statement_that_was_lost_is_told_with_its_retry() {
    let mut bench = bench(1.0);
    bench.query("SELECT a FROM t");
    let (first, one) = bench.lend();
    bench.now += 300 * MS;
    bench.answer(lost(Effect::None));
    while bench.event().is_some() {}
    bench.session.inquired(bench.now, false);
    let mut wish = None;
    while let Some(event) = bench.event() {
        if let Event::Acquire(acquire) = event {
            wish = Some(acquire);
        }
    }
    let wish = wish.expect("it is tried elsewhere");
    bench.grant(&wish);
    let two = bench.request();
    bench.answer(vec![
        Reply::Err { seq: 1, error: Error::new(Component::Server, Kind::NotSupported, "no") },
        Reply::End(Ended::Answered),
    ]);
    let trace = trace(&mut bench);
    let servers: Vec<_> = trace.steps.iter().filter(|step| matches!(step.what, Did::Server { .. })).collect();
    assert!(matches!(servers[0].what, Did::Server { tablet, answered: false, .. } if tablet == first));
    assert!(matches!(servers[1].what, Did::Server { tablet, answered: true, .. } if tablet != first));
    assert_eq!(
        [one, two].map(|sent| sent.trace.map(|trace| trace.span)),
        [servers[0], servers[1]].map(|step| Some(step.span))
    );
    assert!(trace.steps.iter().any(|step| matches!(step.what, Did::Retry(Some(_)))), "{:?}", trace.steps);
    assert_eq!(trace.error, Some(Error::new(Component::Server, Kind::NotSupported, "").code));
}

#[test]
fn waits_for_a_primary_are_told() {
    let mut bench = bench(1.0);
    bench.query("INSERT INTO t VALUES (1)");
    bench.wish();
    bench.session.lease_refused(bench.now, Error::new(Component::Tablet, Kind::Unavailable, "no"));
    let mut holds = false;
    while let Some(event) = bench.event() {
        holds |= matches!(event, Event::Buffer(_));
    }
    assert!(holds, "it waits");
    let since = bench.now;
    bench.now += 7 * MS;
    bench.session.resumed(bench.now, Ok(()));
    let (tablet, _) = bench.lend();
    assert_eq!(tablet, PRIMARY);
    bench.answer(ok_reply(ok_with(&[])));
    let trace = trace(&mut bench);
    let waits: Vec<_> = trace.steps.iter().filter(|step| step.what == Did::Primary).collect();
    assert_eq!((waits.len(), waits[0].from, waits[0].to), (1, since, Some(bench.now)));
}

#[test]
fn what_is_on_a_server_when_its_client_goes_has_no_end() {
    let mut bench = bench(1.0);
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    bench.session.client_closed();
    let trace = trace(&mut bench);
    let last = trace.steps.last().expect("the server");
    assert!(matches!(last.what, Did::Server { answered: false, .. }) && last.to.is_none(), "{last:?}");
    assert_eq!(trace.ended, None);
}

#[test]
fn a_prepared_statement_is_for_its_first_execution_what_its_text_says() {
    let mut bench = bench(0.0);
    let id = bench.prepare(&with_parent("SELECT a FROM t"), 0);
    assert_eq!(trace(&mut bench).context.trace.to_string(), TRACE, "the preparation");
    for expected in [1, 0] {
        bench.send(&ClientCommand::Execute { statement_id: id, body: &[0, 1, 0, 0, 0] });
        bench.lend();
        bench.answer(ok_reply(ok()));
        while bench.event().is_some() {}
        assert_eq!(std::mem::take(&mut bench.traces).len(), expected);
    }
}

#[test]
fn attributes_come_before_comments_and_servers_do_not_see_them() {
    let mut bench = bench_with(0.0, CapabilityFlags::CLIENT_QUERY_ATTRIBUTES);
    let parent = PARENT.replace("4bf9", "aaaa");
    let mut body = [&[2, 1, 0, 1][..], &attribute("name"), &attribute("traceparent")].concat();
    for value in ["x", &parent] {
        body.push(value.len() as u8);
        body.extend_from_slice(value.as_bytes());
    }
    let sql = with_parent("SELECT a FROM t");
    body.extend_from_slice(sql.as_bytes());
    bench.send(&ClientCommand::Query(&body));
    let (_, request) = bench.lend();
    assert_eq!(super::bench::text(&request), sql);
    bench.answer(ok_reply(ok()));
    assert!(trace(&mut bench).context.trace.to_string().starts_with("aaaa"));
    let packets = bench.send(&ClientCommand::Query(b"\x01\x01broken"));
    assert_eq!(error_code(&packets[0]), 1835, "ER_MALFORMED_PACKET");
    bench.send(&ClientCommand::Query(b"\x00\x01SELECT 7"));
    assert_eq!(super::bench::text(&bench.lend().1), "SELECT 7");
}

#[test]
fn an_execution_may_have_attributes_too() {
    let mut bench = bench_with(0.0, CapabilityFlags::CLIENT_QUERY_ATTRIBUTES);
    assert!(bench.send(&ClientCommand::Prepare(b"SELECT a FROM t WHERE id = ?")).is_empty());
    bench.lend();
    let ok_of = PrepareOk { statement_id: 4711, columns: 0, parameters: 1, warnings: 0 };
    let packets = bench.answer(vec![Reply::PrepareOk { seq: 1, ok: ok_of }, Reply::End(Ended::Answered)]);
    bench.expect_release();
    let statement_id = PrepareOk::parse(&packets[0]).unwrap().statement_id;
    let mut body = [&[8, 1, 0, 0, 0, 2, 0, 1, 3, 0, 0][..], &attribute("traceparent"), &[5, 0, 0, 0, 55]].concat();
    body.extend_from_slice(PARENT.as_bytes());
    bench.send(&ClientCommand::Execute { statement_id, body: &body });
    let (_, request) = bench.lend();
    let Command::Execute { payload, .. } = &request.command else { panic!("{request:?}") };
    assert_eq!(payload[..], [0, 1, 0, 0, 0, 0, 1, 3, 0, 5, 0, 0, 0], "one parameter");
    bench.answer(ok_reply(ok()));
    assert_eq!(trace(&mut bench).context.trace.to_string(), TRACE);
    assert!(attributes::split_execute(&body, 1, None, |_| false).is_ok());
}
