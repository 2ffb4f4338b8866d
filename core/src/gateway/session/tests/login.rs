//! Greeting, authentication, admission, the schema, and changes of user.

use super::bench::{Bench, error_code, ok, ok_reply, text};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::config::SessionConfig;
use crate::gateway::session::{Event, Reason};
use crate::gateway::users::Users;
use crate::link::{AccountId, Command, Ended, Reply};
use crate::mysql::auth::{Credential, Proof};
use crate::mysql::capability::ASKED_OF_SERVERS;
use crate::mysql::command::ClientCommand;

fn admitted(bench: &mut Bench) {
    assert!(matches!(bench.event(), Some(Event::Admit { .. })));
    bench.session.admitted(bench.now, Ok(AccountId::OWN));
}

#[test]
fn a_wrong_password_is_refused_in_the_servers_words() {
    let mut bench = Bench::connect(Bench::config());
    bench.log_in("ann", "wrong", None, ASKED_OF_SERVERS);
    let packets = bench.receive_from(2);
    assert_eq!(error_code(&packets[0]), 1045);
    assert!(
        String::from_utf8_lossy(&packets[0]).contains("Access denied for user 'ann'@'192.0.2.1' (using password: YES)")
    );
    bench.expect_closed(Reason::Refused);
}

#[test]
fn a_user_over_its_limit_is_told_and_sent_away() {
    let mut bench = Bench::connect(Bench::config());
    bench.log_in("ann", "secret", None, ASKED_OF_SERVERS);
    assert!(matches!(bench.event(), Some(Event::Admit { .. })));
    let error = Error::new(Component::Gateway, Kind::TooManyUserConnections, "too many");
    bench.session.admitted(bench.now, Err(error));
    assert_eq!(error_code(&bench.receive_from(2)[0]), 1203);
    bench.expect_closed(Reason::Refused);
}

#[test]
fn a_server_says_whether_the_schema_exists() {
    let mut bench = Bench::connect(Bench::config());
    bench.log_in("ann", "secret", Some("shop"), ASKED_OF_SERVERS);
    admitted(&mut bench);
    let (_, request) = bench.lend();
    assert_eq!(text(&request), "shop");
    for reply in ok_reply(ok()) {
        bench.session.handle_reply(bench.now, reply);
    }
    assert_eq!(bench.receive_from(2)[0][0], 0);
    bench.expect_release();
}

#[test]
fn an_unknown_schema_ends_the_login() {
    let mut bench = Bench::connect(Bench::config());
    bench.log_in("ann", "secret", Some("nowhere"), ASKED_OF_SERVERS);
    admitted(&mut bench);
    bench.lend();
    let error = Error {
        code: 1049,
        sqlstate: *b"42000",
        effect: Effect::Answered,
        ..Error::new(Component::Server, Kind::Parse, "Unknown database")
    };
    bench.session.handle_reply(bench.now, Reply::Err { seq: 1, error });
    bench.session.handle_reply(bench.now, Reply::End(Ended::Answered));
    assert_eq!(error_code(&bench.receive_from(2)[0]), 1049);
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    bench.expect_closed(Reason::Refused);
}

#[test]
fn a_client_that_does_not_log_in_is_sent_away_in_time() {
    let mut bench = Bench::connect(Bench::config());
    bench.receive_from(0);
    bench.now = bench.session.poll_timeout().unwrap();
    bench.session.handle_timeout(bench.now);
    assert_eq!(error_code(&bench.receive_from(1)[0]), 1159, "where the client reads the answer to its response");
    bench.expect_closed(Reason::TimedOut);
}

#[test]
fn a_change_of_user_starts_over_and_says_who_it_was() {
    let mut bench = Bench::logged_in();
    bench.run("SET sql_mode='ANSI'", super::bench::ok_with(&[("sql_mode", "ANSI")]));
    // User, authentication data, schema, collation, plugin, attributes: the wrong answer gets a new challenge.
    let body = b"ann\0\x14aaaaaaaaaaaaaaaaaaaa\0\x2d\0mysql_native_password\0\0";
    let packets = bench.send(&ClientCommand::ChangeUser(crate::mysql::command::Unprinted(body)));
    assert_eq!(packets[0][0], 0xfe, "a request to authenticate anew");
    assert!(bench.session.poll_timeout().is_some());
}

/// Wants to be somebody, with wrong passwords; returns the error that this ends with.
fn become_in_vain(bench: &mut Bench, user: &str) -> u16 {
    let body = [user.as_bytes(), b"\0\x14aaaaaaaaaaaaaaaaaaaa\0\x2d\0mysql_native_password\0\0"].concat();
    let packets = bench.send(&ClientCommand::ChangeUser(crate::mysql::command::Unprinted(&body)));
    if packets[0][0] == 0xff {
        return error_code(&packets[0]);
    }
    let mut bytes = Vec::new();
    crate::mysql::frame::write_packet(&mut bytes, &mut 2, &[b'a'; 20]);
    bench.session.handle_bytes(bench.now, &bytes);
    error_code(&bench.receive_from(3)[0])
}

#[test]
fn who_fails_to_become_somebody_else_stays_who_it_was_but_three_times_only() {
    let mut bench = Bench::logged_in();
    bench.run("SET sql_mode='ANSI'", super::bench::ok_with(&[("sql_mode", "ANSI")]));
    for user in ["bob", "ann", "carl"] {
        assert_eq!(become_in_vain(&mut bench, user), 1045);
        assert_eq!(bench.session.user(), b"ann");
        bench.query("SELECT 1 FROM t");
        let wish = bench.wish();
        assert_eq!(wish.class.account, AccountId::OWN);
        assert!(!wish.settings.variables.contains_key("sql_mode"), "its variables are those of a new session");
        bench.grant(&wish);
        bench.request();
        for reply in ok_reply(ok()) {
            bench.session.handle_reply(bench.now, reply);
        }
        assert_eq!(bench.receive()[0][0], 0);
        bench.expect_release();
    }
    assert_eq!(become_in_vain(&mut bench, "bob"), 1047, "a fourth is not even looked at");
    assert_eq!(bench.session.user(), b"ann");
}

/// A gateway whose clients log in with the servers' accounts.
fn of_servers() -> Bench {
    Bench::connect(SessionConfig { users: Users::OfServers, ..Bench::config() })
}

#[test]
fn a_client_with_an_account_of_the_servers_runs_as_itself() {
    let mut bench = of_servers();
    bench.log_in("bob", "secret", None, ASKED_OF_SERVERS);
    assert!(matches!(bench.event(), Some(Event::FindUser(user)) if user == b"bob"));
    bench.session.user_found(Ok(Credential::from_native_hash("*14E65567ABDB5135D0CFD9A70B3032C179A49EE7")));
    assert!(matches!(bench.event(), Some(Event::Admit { proof: Some(Proof::Native(_)), .. })));
    bench.session.admitted(bench.now, Ok(AccountId(3)));
    let wish = bench.wish();
    assert_eq!(wish.class.account, AccountId(3));
    bench.grant(&wish);
    let request = bench.request();
    assert!(
        matches!(&request.command, Command::Plain(command) if *command == [0x0e]),
        "a server says whether it takes it"
    );
    for reply in ok_reply(ok()) {
        bench.session.handle_reply(bench.now, reply);
    }
    assert_eq!(bench.receive_from(2)[0][0], 0);
    bench.expect_release();
    bench.query("SELECT 1 FROM t");
    assert_eq!(bench.wish().class.account, AccountId(3));
}

#[test]
fn a_user_that_no_server_knows_is_refused_like_a_wrong_password() {
    let mut bench = of_servers();
    bench.log_in("bob", "secret", None, ASKED_OF_SERVERS);
    assert!(matches!(bench.event(), Some(Event::FindUser(_))));
    bench.session.user_found(Ok(None));
    assert_eq!(error_code(&bench.receive_from(2)[0]), 1045);
    bench.expect_closed(Reason::Refused);
}

#[test]
fn when_nobody_can_tell_who_a_client_is_it_hears_so() {
    let mut bench = of_servers();
    bench.log_in("bob", "secret", None, ASKED_OF_SERVERS);
    assert!(matches!(bench.event(), Some(Event::FindUser(_))));
    bench.session.user_found(Err(Error::new(Component::Gateway, Kind::Unavailable, "nobody can tell")));
    assert!(String::from_utf8_lossy(&bench.receive_from(2)[0]).contains("nobody can tell"));
    bench.expect_closed(Reason::Refused);
}

#[test]
fn an_answer_for_a_client_that_has_gone_is_ignored() {
    let mut bench = of_servers();
    bench.log_in("bob", "secret", None, ASKED_OF_SERVERS);
    assert!(matches!(bench.event(), Some(Event::FindUser(_))));
    bench.session.client_closed();
    bench.session.user_found(Ok(None));
    bench.expect_closed(Reason::ClientGone);
}
