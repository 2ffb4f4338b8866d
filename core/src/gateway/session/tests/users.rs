//! RELOAD USERS.

use super::bench::{Bench, error_code};
use crate::gateway::session::{Event, Reason};
use crate::gateway::users;
use crate::mysql::command::ClientCommand;

/// A client that has said it, and waits.
fn reloading() -> Bench {
    let mut bench = Bench::logged_in();
    assert!(bench.send(&ClientCommand::Query(b"reload /* them */ Users;")).is_empty(), "not answered yet");
    assert!(matches!(bench.event(), Some(Event::ReloadUsers)));
    assert!(!bench.session.wants_input());
    bench
}

#[test]
fn it_is_done_when_the_driver_has_done_it() {
    let mut bench = reloading();
    bench.session.users_reloaded(bench.now, Ok(None));
    assert_eq!(bench.receive()[0][0], 0, "OK");
    assert!(bench.session.wants_input());
}

#[test]
fn what_it_warns_of_is_shown() {
    let mut bench = reloading();
    bench.session.users_reloaded(bench.now, Ok(Some(users::NOTHING_TO_RELOAD)));
    assert_eq!(bench.receive()[0][5..7], [1, 0], "one warning");
    let shown = bench.query("SHOW WARNINGS").concat();
    let warning = users::NOTHING_TO_RELOAD.as_bytes();
    assert!(shown.windows(warning.len()).any(|part| part == warning), "{shown:?}");
}

#[test]
fn why_it_was_not_done_is_said_and_the_session_goes_on() {
    let mut bench = reloading();
    bench.session.users_reloaded(bench.now, Err(users::unreadable("users.toml: line 2: no hash")));
    assert_eq!(error_code(&bench.receive()[0]), 1024);
    assert!(bench.session.wants_input());
}

#[test]
fn a_client_that_goes_away_meanwhile_hears_nothing() {
    let mut bench = reloading();
    bench.session.client_closed();
    bench.session.users_reloaded(bench.now, Ok(None));
    bench.expect_closed(Reason::ClientGone);
}

#[test]
fn it_cannot_be_prepared() {
    let mut bench = Bench::logged_in();
    let packets = bench.send(&ClientCommand::Prepare(b"RELOAD USERS"));
    assert_eq!(error_code(&packets[0]), 1235);
}
