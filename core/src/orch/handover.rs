//! What comes before a planned change of primary, in its old term: the pause that clients will see is made short, or the
//! change is given up while nothing has happened yet.
//!
//! Owns the order of it: the primary commits *slowly*, so that the one that is to succeed it catches up; when that is where the
//! primary is, the primary is *drained* (what is open there ends, and nothing else begins) and *rests*, which it refuses while
//! something is open for too long, or a statement goes on that it would have to be killed for. Then the
//! plan of [`recovery`](super::recovery) begins. Nothing here is needed for safety, so nothing is recorded: when whoever does
//! this dies, the rules of [`analysis`](super::analysis) make the primary lead as before.

use super::recovery::RETRY_INTERVAL;
use crate::gtid::Position;
use crate::tablet::drain::Open;
use crate::tablet::orders::{Order, Refusal, Report};
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The successor has caught up when it is in this time where the primary was.
pub const CAUGHT_UP_MAX: Duration = Duration::from_millis(60);
/// Or in one so many times shorter than it has been waited for: on busy machines the first is never reached.
const CAUGHT_UP_SHARE: u32 = 20;
/// It is given so long to catch up.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What is open on the primary is given so long to end, when nothing else is said: clients that wait meanwhile may wait for twice that.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);
/// A primary whose time to rest is over has said so by then, or is not heard.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// A primary that could not rest is asked again after this: its clients have waited for it.
pub const REST_INTERVAL: Duration = Duration::from_secs(1);

/// Why the primary stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// The one that is to succeed it does not catch up.
    Behind,
    /// This is open there and does not end.
    Open(Open),
    /// Statements write there that do not end.
    Busy,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = PATIENCE.as_secs();
        match self {
            Self::Behind => write!(f, "it does not catch up with the primary within {seconds} s"),
            Self::Open(open) => write!(f, "the primary is not at rest in time: {open}"),
            Self::Busy => f.write_str("statements go on writing on the primary for too long"),
        }
    }
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Give a tablet an order of the settled term.
    Order {
        /// Whom.
        tablet: TabletAlias,
        /// Names the order in its answer.
        number: u64,
        /// What.
        order: Order,
    },
    /// The plan is to begin, or the primary stays.
    Ended(Result<(), Obstacle>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Stage {
    Slowing,
    /// The primary was there at that time.
    Reaching(Position, Instant),
    /// Until then.
    Resting(Instant),
    Ended,
}

/// The machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    primary: TabletAlias,
    to: TabletAlias,
    /// As it is primary, and slowly.
    slowly: Order,
    drain: Duration,
    stage: Stage,
    began: Instant,
    ask_at: Instant,
    /// Of the last order: answers to others are late.
    number: u64,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Handover {
    /// From `primary`, which is to obey `slowly`, to another. What is open on it may take `drain` to end.
    #[must_use]
    pub fn new(now: Instant, primary: TabletAlias, slowly: Order, to: TabletAlias, drain: Duration) -> Self {
        let outputs = VecDeque::new();
        let stage = Stage::Slowing;
        let mut handover = Self { primary, to, slowly, drain, stage, began: now, ask_at: now, number: 0, outputs };
        handover.ask(now);
        handover
    }

    /// To whom.
    #[must_use]
    pub fn to(&self) -> &TabletAlias {
        &self.to
    }

    /// Another tablet than the primary is waited for, and it is this one.
    #[must_use]
    pub fn waits_for(&self, tablet: &TabletAlias) -> bool {
        let waits = matches!(self.stage, Stage::Slowing | Stage::Reaching(..));
        waits && *tablet == self.to && self.to != self.primary
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Handover::time_out`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Ended => None,
            // What is asked then would be too late.
            Stage::Resting(until) if self.ask_at >= until => Some(self.until()),
            _ => Some(self.ask_at.min(self.until())),
        }
    }

    fn until(&self) -> Instant {
        match self.stage {
            Stage::Resting(until) => until + ANSWER_PATIENCE,
            Stage::Slowing | Stage::Reaching(..) | Stage::Ended => self.began + PATIENCE,
        }
    }

    /// The time of `poll_timeout` has come.
    pub fn time_out(&mut self, now: Instant) {
        match self.stage {
            Stage::Ended => {}
            Stage::Resting(_) if now >= self.until() => self.end(Err(Obstacle::Busy)),
            Stage::Resting(until) if now >= until => {}
            _ if now >= self.until() => self.end(Err(Obstacle::Behind)),
            _ if now >= self.ask_at => self.ask(now),
            _ => {}
        }
    }

    /// An order was answered.
    pub fn answered(&mut self, now: Instant, number: u64, outcome: Result<Report, Refusal>) {
        if number != self.number {
            return;
        }
        match (&self.stage, outcome) {
            (Stage::Slowing, Ok(report)) => self.enter(now, Stage::Reaching(report.position, now)),
            (Stage::Reaching(_, since), Ok(_)) => {
                let enough = CAUGHT_UP_MAX.max(now.since(self.began) / CAUGHT_UP_SHARE);
                let caught_up = now.since(*since) <= enough;
                self.enter(now, if caught_up { Stage::Resting(now + self.drain) } else { Stage::Slowing });
            }
            (Stage::Resting(_), Ok(_)) => self.end(Ok(())),
            (Stage::Resting(_), Err(Refusal::Open(open))) => self.end(Err(Obstacle::Open(open))),
            // Clients could not write while it was tried.
            (Stage::Resting(_), Err(_)) => self.ask_at = now + REST_INTERVAL,
            // Asked again in time.
            (Stage::Slowing | Stage::Reaching(..) | Stage::Ended, _) => {}
        }
    }

    fn enter(&mut self, now: Instant, stage: Stage) {
        self.stage = stage;
        self.ask(now);
    }

    fn ask(&mut self, now: Instant) {
        self.ask_at = now + RETRY_INTERVAL;
        let (tablet, order) = match &self.stage {
            Stage::Slowing => (&self.primary, self.slowly.clone()),
            Stage::Reaching(position, _) => (&self.to, Order::Reach(position.clone())),
            Stage::Resting(until) => (&self.primary, Order::Rest { drain: until.since(now) }),
            Stage::Ended => return,
        };
        self.number += 1;
        self.outputs.push_back(Output::Order { tablet: tablet.clone(), number: self.number, order });
    }

    fn end(&mut self, outcome: Result<(), Obstacle>) {
        self.stage = Stage::Ended;
        self.outputs.push_back(Output::Ended(outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::super::durability::Policy;
    use super::*;

    fn alias(uid: u32) -> TabletAlias {
        format!("a-{uid}").parse().expect("an alias")
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn slowly() -> Order {
        Order::lead(Policy::SemiSync { acks: 1 }, Position::default(), true)
    }

    fn handover() -> Handover {
        Handover::new(at(0), alias(1), slowly(), alias(2), Duration::from_secs(10))
    }

    /// The one order that is given now: to whom, and its number.
    fn asked(handover: &mut Handover) -> (u32, u64, Order) {
        let Some(Output::Order { tablet, number, order }) = handover.poll_output() else { panic!("no order") };
        assert_eq!(handover.poll_output(), None);
        (tablet.uid, number, order)
    }

    fn obeyed(handover: &mut Handover, ms: u64) -> (u32, Order) {
        let (tablet, number, order) = asked(handover);
        handover.answered(at(ms), number, Ok(Report::default()));
        (tablet, order)
    }

    /// One whose primary is to rest from now on.
    fn resting() -> Handover {
        let mut handover = handover();
        obeyed(&mut handover, 0);
        obeyed(&mut handover, 0);
        handover
    }

    fn rest(drain_ms: u64) -> Order {
        Order::Rest { drain: Duration::from_millis(drain_ms) }
    }

    fn reach() -> Order {
        Order::Reach(Position::default())
    }

    #[test]
    fn the_primary_rests_when_its_successor_is_where_it_is() {
        let mut handover = handover();
        assert_eq!(obeyed(&mut handover, 10), (1, slowly()));
        assert_eq!(obeyed(&mut handover, 400), (2, reach()), "390 ms behind");
        assert_eq!(obeyed(&mut handover, 410), (1, slowly()));
        assert_eq!(obeyed(&mut handover, 440), (2, reach()), "30 ms behind");
        assert_eq!(obeyed(&mut handover, 450), (1, rest(10_000)));
        assert_eq!(handover.poll_output(), Some(Output::Ended(Ok(()))));
        assert_eq!(handover.poll_timeout(), None);
    }

    #[test]
    fn a_successor_that_does_not_catch_up_is_not_waited_for_for_ever() {
        let mut handover = handover();
        let mut now = 0;
        while now < 9_000 {
            obeyed(&mut handover, now);
            obeyed(&mut handover, now + 600);
            now += 600;
        }
        asked(&mut handover);
        handover.time_out(at(10_000));
        assert_eq!(handover.poll_output(), Some(Output::Ended(Err(Obstacle::Behind))));
    }

    #[test]
    fn the_longer_it_takes_the_less_is_asked_for() {
        let mut handover = handover();
        for now in (0..3_800).step_by(200) {
            obeyed(&mut handover, now);
            assert_eq!(obeyed(&mut handover, now + 200).0, 2, "200 ms behind");
        }
        obeyed(&mut handover, 3_800);
        obeyed(&mut handover, 4_000);
        assert_eq!(asked(&mut handover).2, rest(10_000));
    }

    #[test]
    fn a_primary_that_cannot_rest_is_left_alone_for_a_while_and_then_for_good() {
        let mut handover = resting();
        let mut now = 0;
        while now < 10_000 {
            let (tablet, number, order) = asked(&mut handover);
            assert_eq!((tablet, order), (1, rest(10_000 - now)), "it has what is left of the time");
            handover.answered(at(now + 500), number, Err(Refusal::Failed("it takes too long".into())));
            assert_eq!(handover.poll_output(), None);
            now = handover.poll_timeout().expect("it goes on").since(at(0)).as_millis() as u64;
            handover.time_out(at(now));
        }
        assert_eq!(handover.poll_output(), Some(Output::Ended(Err(Obstacle::Busy))));
    }

    #[test]
    fn a_primary_on_which_something_stays_open_stays_primary() {
        let mut handover = resting();
        let (_, number, _) = asked(&mut handover);
        let open = Open { drain: 1, transactions: 2, holders: vec![7, 9], silent: 0 };
        handover.answered(at(10_001), number, Err(Refusal::Open(open.clone())));
        assert_eq!(handover.poll_output(), Some(Output::Ended(Err(Obstacle::Open(open)))));
    }

    #[test]
    fn one_that_does_not_say_what_became_of_its_rest_is_not_waited_for_for_ever() {
        let mut handover = resting();
        let mut asked = 0;
        while let Some(next) = handover.poll_timeout() {
            asked += u64::from(handover.poll_output().is_some());
            handover.time_out(next);
            assert!(next <= at(10_000) + ANSWER_PATIENCE);
        }
        assert_eq!(handover.poll_output(), Some(Output::Ended(Err(Obstacle::Busy))));
        assert!(asked > 10, "what is lost is asked again");
    }

    #[test]
    fn what_is_lost_is_asked_again_and_late_answers_count_for_nothing() {
        let mut handover = handover();
        let (_, first, _) = asked(&mut handover);
        handover.time_out(at(500));
        let (tablet, _, order) = asked(&mut handover);
        assert_eq!((tablet, order), (1, slowly()));
        handover.answered(at(510), first, Ok(Report::default()));
        assert_eq!(handover.poll_output(), None);
    }
}
