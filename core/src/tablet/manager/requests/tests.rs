//! Which reader waits for its position, and who with it.

use super::super::{Config, Identity, Input, Output, Tablet};
use crate::error::{Component, Effect, Error, Kind};
use crate::gtid::{Flavor, Position};
use crate::link::ConnectionClass;
use crate::rng::Rng;
use crate::tablet::pool::{self, Acquire, CloseReason, ConnId, Fate, Ticket};
use crate::time::{Duration, Instant};
use crate::topo::{Observation, Role, ServerVersion, Shard};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PATIENCE: Duration = Duration::from_millis(200);

/// A replica that has executed seven transactions. Connections are there as soon as they are wanted.
struct Bench {
    tablet: Tablet,
    now: Instant,
    /// Of every request that was answered, its connection, or why it has none.
    answers: BTreeMap<u64, Result<ConnId, Error>>,
    last: u64,
}

fn at(seq: u64) -> Position {
    Position::mariadb(0, 1, seq)
}

impl Bench {
    fn new() -> Self {
        let identity = Identity {
            alias: "zone1-100".parse().expect("an alias"),
            keyspace: "shop".parse().expect("a keyspace"),
            shard: Shard::unsharded(),
        };
        let tablet = Tablet::new(identity, Config::default(), Rng::new(1));
        let mut bench = Self { tablet, now: Instant::ZERO, answers: BTreeMap::new(), last: 0 };
        bench.feed(Input::RoleAssigned { role: Role::Replica, term: 5 });
        bench.wake();
        bench
    }

    fn feed(&mut self, input: Input) {
        self.tablet.handle(self.now, input);
        while let Some(output) = self.tablet.poll_output() {
            match output {
                Output::Pool(pool::Output::Open { conn, .. }) => {
                    self.tablet.handle(self.now, Input::Pool(pool::Input::Opened { conn }));
                }
                Output::Pool(pool::Output::Granted { ticket, conn }) => {
                    assert_eq!(self.answers.insert(ticket.0, Ok(conn)), None, "answered once");
                }
                Output::Pool(pool::Output::Refused { ticket, error }) => {
                    assert_eq!(self.answers.insert(ticket.0, Err(error)), None, "answered once");
                }
                Output::Probe { probe, .. } => {
                    let observation = seen(7);
                    self.tablet.handle(self.now, Input::Observed { probe, observation });
                }
                _ => {}
            }
        }
    }

    fn wake(&mut self) {
        self.now = self.now.max(self.tablet.poll_timeout().expect("a timer"));
        self.feed(Input::Timeout);
    }

    /// A reader that needs `seq` transactions.
    fn read(&mut self, seq: u64) -> u64 {
        self.last += 1;
        let request = Acquire {
            holder: 1,
            ticket: Ticket(self.last),
            class: ConnectionClass::PLAIN,
            settings: Arc::default(),
            prefer: None,
            deadline: Some(self.now + PATIENCE),
        };
        self.feed(Input::Acquire { role: Role::Replica, term: None, needs: at(seq), request });
        self.last
    }

    fn conn(&self, reader: u64) -> Option<ConnId> {
        self.answers.get(&reader)?.as_ref().ok().copied()
    }

    fn is_held(&self, reader: u64) -> bool {
        !self.answers.contains_key(&reader)
    }

    /// The reader has been told, on its connection, that the server has executed this.
    fn told(&mut self, reader: u64, seq: u64) {
        let conn = self.conn(reader).expect("a connection");
        self.feed(Input::Waited { conn, executed: at(seq) });
    }

    fn give_back(&mut self, reader: u64, fate: Fate) {
        let conn = self.conn(reader).expect("a connection");
        self.feed(Input::Pool(pool::Input::Release { conn, settings: Arc::default(), epoch: 1, fate }));
    }
}

fn seen(seq: u64) -> Observation {
    Observation {
        version: ServerVersion { flavor: Flavor::MariaDb, major: 10, minor: 11, patch: 6 },
        server_id: 2,
        server_uuid: None,
        read_only: true,
        sources: Some(Vec::new()),
        position: Some(at(seq)),
        replicas_connected: None,
        threads_running: None,
        beat: None,
        group: None,
    }
}

#[test]
fn one_waits_for_all_who_need_no_less() {
    let mut bench = Bench::new();
    let (first, same, more) = (bench.read(9), bench.read(9), bench.read(10));
    assert!(bench.conn(first).is_some() && bench.is_held(same) && bench.is_held(more));
    bench.told(first, 9);
    assert_eq!(bench.tablet.executed(), &at(9));
    assert!(bench.conn(same).is_some(), "it may run");
    assert!(bench.conn(more).is_some(), "it is the next to wait");
    let behind = bench.read(11);
    assert!(bench.is_held(behind));
}

#[test]
fn what_the_server_has_executed_beyond_what_was_awaited_counts() {
    let mut bench = Bench::new();
    let (first, more, most) = (bench.read(9), bench.read(10), bench.read(11));
    bench.told(first, 12);
    assert!(bench.conn(more).is_some() && bench.conn(most).is_some());
    let later = bench.read(12);
    assert!(bench.conn(later).is_some());
    let next = bench.read(13);
    assert!(bench.conn(next).is_some(), "nobody waits any more");
}

#[test]
fn nobody_is_held_back_by_a_wait_for_more_than_it_needs() {
    let mut bench = Bench::new();
    let (more, less) = (bench.read(10), bench.read(9));
    assert!(bench.conn(more).is_some() && bench.conn(less).is_some());
    let (behind, reached) = (bench.read(9), bench.read(7));
    assert!(bench.is_held(behind) && bench.conn(reached).is_some());
}

#[test]
fn a_wait_in_vain_lets_the_next_wait_and_those_run_who_need_less() {
    let mut bench = Bench::new();
    let (first, less) = (bench.read(9), bench.read(12));
    let (more, other) = (bench.read(12), bench.read(13));
    bench.told(first, 8);
    assert!(bench.conn(less).is_some() && bench.is_held(more) && bench.is_held(other));
    bench.told(less, 12);
    assert!(bench.conn(more).is_some() && bench.conn(other).is_some());
}

#[test]
fn whoever_goes_without_an_answer_leaves_the_wait_to_the_next() {
    for fate in [Fate::Keep, Fate::Close(CloseReason::ClientGone), Fate::Close(CloseReason::Broken)] {
        let mut bench = Bench::new();
        let (first, second, third) = (bench.read(9), bench.read(9), bench.read(9));
        bench.give_back(first, fate);
        assert!(bench.conn(second).is_some() && bench.is_held(third), "{fate:?}");
    }
    let mut bench = Bench::new();
    let (first, second, third) = (bench.read(9), bench.read(9), bench.read(9));
    let conn = bench.conn(first).expect("a connection");
    bench.feed(Input::Pool(pool::Input::Lost { conn }));
    assert!(bench.conn(second).is_some() && bench.is_held(third));
    bench.feed(Input::Pool(pool::Input::CancelAcquire { ticket: Ticket(third) }));
    bench.told(second, 9);
    assert!(bench.is_held(third), "it wants nothing any more");
}

#[test]
fn one_that_is_held_back_for_too_long_is_refused_and_may_go_elsewhere() {
    let mut bench = Bench::new();
    let (_, held) = (bench.read(9), bench.read(9));
    while bench.is_held(held) {
        bench.wake();
    }
    assert_eq!(bench.now - Instant::ZERO, PATIENCE);
    let refused = bench.answers[&held].clone().expect_err("no connection");
    assert_eq!((refused.component, refused.effect), (Component::Tablet, Effect::None));
    assert!(refused.to_string().contains("has not executed in time what the read must see"), "{refused}");
}

#[test]
fn a_tablet_that_stops_to_serve_holds_nobody_back() {
    let mut bench = Bench::new();
    let (_, held) = (bench.read(9), bench.read(9));
    bench.feed(Input::RoleAssigned { role: Role::Primary, term: 6 });
    let refused = bench.answers[&held].clone().expect_err("no connection");
    assert!(refused.to_string().contains("is PRIMARY in term 6, not REPLICA"), "{refused}");
    let mut bench = Bench::new();
    let (_, held) = (bench.read(9), bench.read(9));
    bench.feed(Input::Stop);
    assert!(bench.answers[&held].is_err());
}

#[test]
fn what_the_server_says_of_itself_counts_and_so_does_that_it_may_have_lost_it() {
    let mut bench = Bench::new();
    let (first, held) = (bench.read(9), bench.read(9));
    let error = Error::new(Component::Server, Kind::ServerLost, "gone");
    bench.feed(Input::Pool(pool::Input::OpenFailed { conn: ConnId(99), error }));
    assert_eq!(bench.tablet.executed(), &Position::default());
    assert!(bench.is_held(held), "the wait goes on");
    let reached = bench.read(7);
    assert!(bench.conn(reached).is_some(), "it waits by itself, for that one needs more");
    bench.told(first, 9);
    assert!(bench.conn(held).is_some());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(u64),
    /// The reader's wait is answered.
    Told(usize, u64),
    GiveBack(usize, Fate),
    Cancel(u64),
    Wake,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (7..20_u64).prop_map(Step::Read),
        3 => (any::<usize>(), 7..20_u64).prop_map(|(reader, seq)| Step::Told(reader, seq)),
        2 => any::<usize>().prop_map(|reader| Step::GiveBack(reader, Fate::Keep)),
        1 => any::<usize>().prop_map(|reader| Step::GiveBack(reader, Fate::Close(CloseReason::Broken))),
        1 => (1..40_u64).prop_map(Step::Cancel),
        1 => Just(Step::Wake),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn every_reader_is_answered_once_and_nobody_waits_for_nothing(steps in steps()) {
        let mut bench = Bench::new();
        let (mut returned, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            let lent: Vec<u64> =
                (1..=bench.last).filter(|reader| bench.conn(*reader).is_some() && !returned.contains(reader)).collect();
            let one = |number: usize| lent.get(number.checked_rem(lent.len())?).copied();
            match step {
                Step::Read(seq) => _ = bench.read(seq),
                Step::Told(number, seq) => _ = one(number).map(|reader| bench.told(reader, seq)),
                Step::GiveBack(number, fate) => {
                    if let Some(reader) = one(number) {
                        returned.insert(reader);
                        bench.give_back(reader, fate);
                    }
                }
                Step::Cancel(reader) => {
                    if reader <= bench.last && bench.is_held(reader) {
                        cancelled.insert(reader);
                        bench.feed(Input::Pool(pool::Input::CancelAcquire { ticket: Ticket(reader) }));
                    }
                }
                Step::Wake => bench.wake(),
            }
            let waiting = |reader: &u64| bench.is_held(*reader) && !cancelled.contains(reader);
            let lent = |reader: &u64| bench.conn(*reader).is_some() && !returned.contains(reader);
            let anybody_waits = (1..=bench.last).any(|reader| waiting(&reader));
            prop_assert!(!anybody_waits || (1..=bench.last).any(|reader| lent(&reader)), "nobody is left to wait for them");
        }
    }
}
