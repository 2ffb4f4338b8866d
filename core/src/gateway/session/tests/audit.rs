//! What the audit log is told of a session.

use super::bench::{Bench, PRIMARY, error_code, ok, ok_reply};
use crate::error::{Component, Effect, Error};
use crate::gateway::audit::{Audit, Events, Line, OnFailure, Room, Rules, What, Whose};
use crate::gateway::config::SessionConfig;
use crate::gateway::session::{Event, Reason};
use crate::link::{AccountId, Ended, Reply};
use crate::mysql::capability::{ASKED_OF_SERVERS, CapabilityFlags};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::{OkPacket, PrepareOk};
use crate::sql::{Sorts, Telling};
use crate::time::Duration;
use std::sync::Arc;

fn rules() -> Rules {
    let telling = Telling { full: true, bytes_max: 1000 };
    Rules { events: Events::ALL, whose: Whose::Everybody, telling, on_failure: OnFailure::Continue }
}

fn config(rules: Rules, room: &Arc<Room>) -> SessionConfig {
    SessionConfig { audit: Some(Arc::new(Audit::new(rules, Arc::clone(room)))), ..Bench::config() }
}

fn bench(rules: Rules) -> (Bench, Arc<Room>) {
    let room = Arc::default();
    let capabilities = ASKED_OF_SERVERS | CapabilityFlags::CLIENT_MULTI_STATEMENTS;
    (Bench::logged_in_to(config(rules, &room), capabilities), room)
}

/// The lines so far; whatever else the session wants is passed over.
fn lines(bench: &mut Bench) -> Vec<Line> {
    std::iter::from_fn(|| bench.event())
        .filter_map(|event| match event {
            Event::Audited(line) => Some(*line),
            _ => None,
        })
        .collect()
}

fn line(bench: &mut Bench) -> Line {
    let mut lines = lines(bench);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.remove(0)
}

fn text(line: &Line) -> &str {
    str::from_utf8(&line.told.as_ref().expect("a text").text).expect("UTF-8")
}

#[test]
fn a_login_and_its_end_are_told_with_the_reason() {
    let (mut bench, room) = bench(rules());
    let connect = line(&mut bench);
    assert_eq!((connect.what, connect.session, connect.result), (What::Connect, 7, "ok"));
    assert_eq!((&*connect.user, &*connect.client, connect.tls), (&b"ann"[..], "192.0.2.1", false));
    bench.send(&ClientCommand::Ping);
    bench.send(&ClientCommand::Quit);
    let end = line(&mut bench);
    assert_eq!((end.what, end.reason, &*end.user), (What::Disconnect, Some(Reason::Quit), &b"ann"[..]));
    assert_eq!(room.waiting(), 2);
    drop((connect, end));
    assert_eq!(room.waiting(), 0);
}

#[test]
fn a_refused_login_is_told_whoever_it_claims_to_be() {
    let room = Arc::default();
    let rules = Rules { whose: Whose::Only([b"somebody".to_vec()].into()), ..rules() };
    let mut bench = Bench::connect(config(rules, &room));
    bench.log_in("ann", "wrong", None, ASKED_OF_SERVERS);
    let line = line(&mut bench);
    let error = line.error.as_ref().expect("an error");
    assert_eq!((line.what, &*line.user, line.result, error.code), (What::Connect, &b"ann"[..], "refused", 1045));
    assert_eq!(line.reason, Some(Reason::Refused));
    assert!(error.message.as_ref().is_some_and(|message| message.starts_with(b"Access denied for user 'ann'")));
}

#[test]
fn who_only_looks_whether_the_port_is_open_is_no_event() {
    let mut bench = Bench::connect(config(rules(), &Arc::default()));
    bench.session.client_closed();
    assert!(lines(&mut bench).is_empty());
}

#[test]
fn a_statement_is_told_with_where_it_ran_and_what_came_of_it() {
    let (mut bench, _room) = bench(rules());
    lines(&mut bench);
    bench.query("INSERT INTO t VALUES ('x')");
    let wish = bench.wish();
    bench.grant(&wish);
    bench.request();
    bench.now += Duration::from_millis(5);
    for reply in ok_reply(OkPacket { affected_rows: 3, ..ok() }) {
        bench.session.handle_reply(bench.now, reply);
    }
    let line = line(&mut bench);
    assert_eq!((line.what, line.sorts, text(&line)), (What::Query, Sorts::WRITE, "INSERT INTO t VALUES ('x')"));
    let (alias, role) = line.ran_on.as_ref().expect("a server");
    assert_eq!((alias.as_ref().map(|alias| alias.uid), role.name()), (Some(PRIMARY.0), "PRIMARY"));
    assert_eq!((line.rows_affected, line.took, line.result), (3, Some(Duration::from_millis(5)), "ok"));
}

#[test]
fn an_error_is_told_by_its_number_for_its_text_may_repeat_the_statement() {
    let (mut bench, _room) = bench(rules());
    lines(&mut bench);
    bench.query("SET PASSWORD = 'geheim'");
    bench.lend();
    let error = Error {
        code: 1064,
        sqlstate: *b"42000",
        message: b"error near 'geheim'".to_vec(),
        component: Component::Server,
        effect: Effect::Answered,
    };
    for reply in [Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)] {
        bench.session.handle_reply(bench.now, reply);
    }
    let line = line(&mut bench);
    assert_eq!((text(&line), line.result), ("set password ?", "server_error"));
    assert_eq!(line.error.as_ref().map(|error| error.code), Some(1064));
    assert!(!format!("{:?}", line.error).contains("103, 101, 104"), "{:?}", line.error);
}

#[test]
fn what_the_gateway_answers_itself_is_told_as_well() {
    let (mut bench, _room) = bench(rules());
    lines(&mut bench);
    bench.query("SET read_after_write_consistency = EVENTUAL");
    let line = line(&mut bench);
    assert_eq!((line.sorts, line.ran_on.is_none(), line.result), (Sorts::SESSION, true, "ok"));
}

#[test]
fn a_prepared_statement_is_told_when_it_runs_and_when_it_cannot_be_prepared() {
    let (mut bench, _room) = bench(rules());
    lines(&mut bench);
    bench.send(&ClientCommand::Prepare(b"INSERT INTO t VALUES (?)"));
    bench.lend();
    let prepared = PrepareOk { statement_id: 9, columns: 0, parameters: 0, warnings: 0 };
    for reply in [Reply::PrepareOk { seq: 1, ok: prepared }, Reply::End(Ended::Answered)] {
        bench.session.handle_reply(bench.now, reply);
    }
    bench.receive();
    assert!(lines(&mut bench).is_empty(), "nothing has run");
    bench.send(&ClientCommand::Execute { statement_id: 1, body: &[0, 1, 0, 0, 0] });
    bench.lend();
    for reply in ok_reply(ok()) {
        bench.session.handle_reply(bench.now, reply);
    }
    bench.receive();
    let executed = line(&mut bench);
    assert_eq!((executed.what, text(&executed)), (What::Execute, "INSERT INTO t VALUES (?)"));
    bench.send(&ClientCommand::Prepare(b"SHOW WEIR STATUS"));
    let refused = line(&mut bench);
    assert_eq!((refused.what, text(&refused), refused.result), (What::Prepare, "SHOW WEIR STATUS", "refused"));
}

#[test]
fn a_statement_whose_client_goes_away_is_told() {
    let (mut bench, _room) = bench(rules());
    lines(&mut bench);
    bench.query("DELETE FROM t");
    bench.lend();
    bench.session.client_closed();
    let told: Vec<_> = lines(&mut bench).iter().map(|line| (line.what, line.result)).collect();
    assert_eq!(told, [(What::Query, "abandoned"), (What::Disconnect, "ok")]);
}

#[test]
fn only_the_chosen_users_and_sorts_are_told() {
    let events = Events::named("ddl").unwrap();
    let (mut bench, _room) = bench(Rules { events, ..rules() });
    bench.query("SET read_after_write_consistency = EVENTUAL");
    bench.query("DROP TABLE t");
    bench.lend();
    for reply in ok_reply(ok()) {
        bench.session.handle_reply(bench.now, reply);
    }
    assert_eq!(text(&line(&mut bench)), "DROP TABLE t");
    let (mut bench, room) = self::bench(Rules { whose: Whose::Except([b"ann".to_vec()].into()), ..rules() });
    bench.query("SET read_after_write_consistency = EVENTUAL");
    bench.send(&ClientCommand::Quit);
    assert!(lines(&mut bench).is_empty());
    assert_eq!(room.waiting(), 0);
}

#[test]
fn while_the_log_fails_statements_are_refused_if_it_is_so_chosen_and_the_session_goes_on() {
    let (mut bench, room) = bench(Rules { on_failure: OnFailure::Refuse, ..rules() });
    lines(&mut bench);
    room.set_failing(true);
    let answer = bench.query("INSERT INTO t VALUES (1)");
    assert_eq!(error_code(&answer[0]), 1041);
    assert!(String::from_utf8_lossy(&answer[0]).contains("the audit log cannot be written"));
    assert!(bench.event().is_none(), "no server was asked");
    room.set_failing(false);
    bench.query("SET read_after_write_consistency = EVENTUAL");
    assert_eq!(line(&mut bench).result, "ok");
    assert_eq!(room.refused(), 1);
}

#[test]
fn nobody_is_let_in_who_cannot_be_logged_if_it_is_so_chosen() {
    let room = Arc::<Room>::default();
    room.set_failing(true);
    let mut bench = Bench::connect(config(Rules { on_failure: OnFailure::Refuse, ..rules() }, &room));
    bench.log_in("ann", "secret", None, ASKED_OF_SERVERS);
    assert!(matches!(bench.event(), Some(Event::Admit { .. })));
    bench.session.admitted(bench.now, Ok(AccountId::OWN));
    assert_eq!(error_code(&bench.receive_from(2)[0]), 1041);
    assert_eq!(line(&mut bench).result, "refused");
}
