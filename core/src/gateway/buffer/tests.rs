//! Who waits, who goes on, and who does not get in.

use super::{Buffer, Config, Hold, Input, Output, Primary, Refusal, Serving, Ticket};
use crate::error::{Component, Error, Kind};
use crate::gateway::cluster::TabletId;
use crate::mutants::Mutants;
use crate::time::{Duration, Instant};

const START: Instant = Instant(1_000_000_000_000);

fn at(ms: u64) -> Instant {
    START + Duration::from_millis(ms)
}

fn primary(tablet: u32, term: u64) -> Primary {
    Primary { tablet: TabletId(tablet), term }
}

fn serving(primary: Primary, seen_at: Instant) -> Input {
    Input::Primary(Some(Serving { primary, seen_at }))
}

fn buffer() -> Buffer {
    let config = Config { buffer_max_sessions: 2, buffer_max_bytes: 100, ..Config::default() };
    Buffer::new(config, Mutants::NONE)
}

fn hold(ticket: u64, since: Instant, refused_by: Option<Primary>) -> Input {
    Input::Hold(Ticket(ticket), Hold { since, bytes: 10, refused_by })
}

fn over(buffer: &mut Buffer) -> Vec<(u64, Result<(), Refusal>)> {
    let next = || buffer.poll_output().map(|Output::Over(Ticket(ticket), outcome)| (ticket, outcome));
    core::iter::from_fn(next).collect()
}

#[test]
fn whoever_waits_goes_on_in_order_when_another_primary_serves() {
    let mut buffer = buffer();
    buffer.handle(at(0), serving(primary(1, 4), at(0)));
    buffer.handle(at(1), hold(1, at(1), Some(primary(1, 4))));
    buffer.handle(at(2), Input::Primary(None));
    buffer.handle(at(3), hold(2, at(3), None));
    assert_eq!(over(&mut buffer), []);
    buffer.handle(at(900), serving(primary(2, 5), at(0)));
    assert_eq!(over(&mut buffer), [(1, Ok(())), (2, Ok(()))]);
    assert_eq!(buffer.holds(), (0, 0));
}

#[test]
fn the_same_tablet_in_a_newer_term_is_another_primary() {
    let mut buffer = buffer();
    buffer.handle(at(0), serving(primary(1, 4), at(0)));
    buffer.handle(at(1), hold(1, at(1), Some(primary(1, 4))));
    buffer.handle(at(2), serving(primary(1, 6), at(0)));
    assert_eq!(over(&mut buffer), [(1, Ok(()))]);
}

/// Else a statement would come back to a server that is gone, as often as it can be asked.
#[test]
fn the_same_primary_gets_it_again_once_it_was_looked_at_since() {
    let mut buffer = buffer();
    buffer.handle(at(0), serving(primary(1, 4), at(0)));
    buffer.handle(at(10), hold(1, at(10), Some(primary(1, 4))));
    buffer.handle(at(20), serving(primary(1, 4), at(10)));
    assert_eq!(over(&mut buffer), []);
    buffer.handle(at(30), serving(primary(1, 4), at(25)));
    assert_eq!(over(&mut buffer), [(1, Ok(()))]);
}

#[test]
fn what_came_too_late_for_the_news_goes_on_at_once() {
    let mut buffer = buffer();
    buffer.handle(at(0), serving(primary(2, 5), at(0)));
    buffer.handle(at(1), hold(1, at(1), Some(primary(1, 4))));
    assert_eq!(over(&mut buffer), [(1, Ok(()))]);
}

#[test]
fn nobody_waits_longer_than_allowed_however_often_it_begins_anew() {
    let mut buffer = buffer();
    buffer.handle(at(9_000), hold(1, at(0), None));
    assert_eq!(buffer.poll_timeout(), Some(at(10_000)));
    buffer.handle(at(9_999), Input::Timeout);
    assert_eq!(over(&mut buffer), []);
    buffer.handle(at(10_000), Input::Timeout);
    assert_eq!(over(&mut buffer), [(1, Err(Refusal::Late(Duration::from_secs(10))))]);
    assert_eq!((buffer.holds(), buffer.poll_timeout()), ((0, 0), None));
}

#[test]
fn the_limits_on_sessions_and_bytes_hold_and_free() {
    let mut buffer = buffer();
    let large = |ticket, bytes| Input::Hold(Ticket(ticket), Hold { since: at(0), bytes, refused_by: None });
    buffer.handle(at(0), large(1, 60));
    buffer.handle(at(0), large(2, 41));
    assert_eq!(over(&mut buffer), [(2, Err(Refusal::TooLarge(100)))]);
    buffer.handle(at(0), large(3, 40));
    buffer.handle(at(0), large(4, 0));
    assert_eq!(over(&mut buffer), [(4, Err(Refusal::TooMany(2)))]);
    buffer.handle(at(0), Input::Forget(Ticket(1)));
    buffer.handle(at(0), large(5, 60));
    assert_eq!((over(&mut buffer), buffer.holds()), (vec![], (2, 100)));
}

#[test]
fn a_buffer_that_is_switched_off_says_what_would_have_been_said_without_it() {
    let mut buffer = Buffer::new(Config { enabled: false, ..Config::default() }, Mutants::NONE);
    buffer.handle(at(0), hold(1, at(0), None));
    assert_eq!(over(&mut buffer), [(1, Err(Refusal::Disabled))]);
    let reason = Error::new(Component::Tablet, Kind::ServerLost, "lost");
    assert_eq!(Refusal::Disabled.explain(reason.clone()), reason);
    let late = Refusal::Late(Duration::from_secs(10)).explain(reason);
    assert_eq!(
        late.to_string(),
        "ERROR 1053 (08S01): weir-gateway: no primary took it within 10000 ms (buffer_max_wait). \
         Nothing was executed: a retry is safe. The reason: lost"
    );
}
