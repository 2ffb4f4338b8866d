//! RELOAD USERS, and RESET WEIR DIGESTS, which is obeyed in the same way.

use super::bench::{Bench, error_code};
use crate::gateway::processes::Powers;
use crate::gateway::session::{Event, Reason};
use crate::gateway::users;
use crate::mysql::command::ClientCommand;
use crate::sql::Show;

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
    bench.session.order_done(bench.now, Ok(None));
    assert_eq!(bench.receive()[0][0], 0, "OK");
    assert!(bench.session.wants_input());
}

#[test]
fn what_it_warns_of_is_shown() {
    let mut bench = reloading();
    bench.session.order_done(bench.now, Ok(Some(users::NOTHING_TO_RELOAD)));
    assert_eq!(bench.receive()[0][5..7], [1, 0], "one warning");
    let shown = bench.query("SHOW WARNINGS").concat();
    let warning = users::NOTHING_TO_RELOAD.as_bytes();
    assert!(shown.windows(warning.len()).any(|part| part == warning), "{shown:?}");
}

#[test]
fn why_it_was_not_done_is_said_and_the_session_goes_on() {
    let mut bench = reloading();
    bench.session.order_done(bench.now, Err(users::unreadable("users.toml: line 2: no hash")));
    assert_eq!(error_code(&bench.receive()[0]), 1024);
    assert!(bench.session.wants_input());
}

#[test]
fn a_client_that_goes_away_meanwhile_hears_nothing() {
    let mut bench = reloading();
    bench.session.client_closed();
    bench.session.order_done(bench.now, Ok(None));
    bench.expect_closed(Reason::ClientGone);
}

#[test]
fn it_cannot_be_prepared() {
    let mut bench = Bench::logged_in();
    let packets = bench.send(&ClientCommand::Prepare(b"RELOAD USERS"));
    assert_eq!(error_code(&packets[0]), 1235);
}

#[test]
fn digests_are_shown_and_forgotten_by_the_driver_and_to_whom_it_wants() {
    let mut bench = Bench::logged_in();
    assert!(bench.query("RESET weir /* all */ Digests;").is_empty(), "not answered yet");
    assert!(matches!(bench.event(), Some(Event::ResetDigests)));
    bench.session.order_done(bench.now, Ok(None));
    assert_eq!(bench.receive()[0][0], 0, "OK");
    assert!(bench.query("SHOW WEIR DIGESTS").is_empty(), "not answered yet");
    assert!(matches!(bench.event(), Some(Event::Show(Show::Digests))));
    let error = users::Users::OfServers.check_sees_digests(Powers::default()).unwrap_err();
    bench.session.show_refused(bench.now, &error);
    assert_eq!(error_code(&bench.receive()[0]), 1227);
    assert!(bench.session.wants_input());
}
