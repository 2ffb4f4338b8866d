//! Any order of inputs that a correct driver can produce, against the invariants and against a plain model.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};

/// What the driver does next. Numbers choose among what is possible at that time.
#[derive(Clone, Debug)]
enum Step {
    Acquire { class: u8, schema: u8, prefer: u8, patience_ms: Option<u16> },
    Cancel(u8),
    Release { which: u8, schema: u8, keep: bool },
    Opened(u8),
    OpenFailed(u8),
    Lost(u8),
    Pass { ms: u16 },
    Wake,
    Drain,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any8 = any::<u8>;
    let step = prop_oneof![
        8 => (0u8..3, 0u8..3, any8(), prop::option::of(0u16..9000))
            .prop_map(|(class, schema, prefer, patience_ms)| Step::Acquire { class, schema, prefer, patience_ms }),
        1 => any8().prop_map(Step::Cancel),
        6 => (any8(), 0u8..3, prop::bool::weighted(0.9))
            .prop_map(|(which, schema, keep)| Step::Release { which, schema, keep }),
        5 => any8().prop_map(Step::Opened),
        1 => any8().prop_map(Step::OpenFailed),
        1 => any8().prop_map(Step::Lost),
        2 => (0u16..4000).prop_map(|ms| Step::Pass { ms }),
        2 => Just(Step::Wake),
        1 => Just(Step::Drain),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..200)
}

/// A driver that keeps its own books and compares.
struct Driver {
    bench: Bench,
    opening: BTreeMap<ConnId, ConnectionClass>,
    idle: BTreeMap<ConnId, ConnectionClass>,
    busy: BTreeMap<ConnId, ConnectionClass>,
    waiting: VecDeque<(Ticket, ConnectionClass)>,
    answered: BTreeSet<Ticket>,
    left: Vec<Preferred>,
    draining: bool,
}

fn choose<T: Copy>(from: impl ExactSizeIterator<Item = T>, which: u8) -> Option<T> {
    let mut from = from;
    let len = from.len();
    (len > 0).then(|| from.nth(usize::from(which) % len)).flatten()
}

fn class(number: u8) -> ConnectionClass {
    ConnectionClass::of(ConnectionTraits::from_bits_truncate(number))
}

impl Driver {
    fn new(config: Config) -> Self {
        Self {
            bench: Bench::new(config),
            opening: BTreeMap::new(),
            idle: BTreeMap::new(),
            busy: BTreeMap::new(),
            waiting: VecDeque::new(),
            answered: BTreeSet::new(),
            left: Vec::new(),
            draining: false,
        }
    }

    fn step(&mut self, step: Step) {
        let Some(input) = self.input(step) else { return };
        let mut lately = match &input {
            Input::Opened { conn } => self.opening.remove(conn).map(|class| (*conn, class)),
            Input::Release { conn, .. } => self.busy.remove(conn).map(|class| (*conn, class)),
            _ => None,
        };
        if let Some((conn, class)) = lately.take() {
            self.idle.insert(conn, class);
        }
        let is_wake = input == Input::Timeout;
        for output in self.bench.feed(input) {
            self.apply(output);
        }
        self.check();
        if is_wake {
            let next = self.bench.pool.poll_timeout();
            assert!(next.is_none_or(|at| at > self.bench.now), "woken at {:?}, wants {next:?}", self.bench.now);
        }
    }

    fn input(&mut self, step: Step) -> Option<Input> {
        Some(match step {
            Step::Acquire { class: number, schema, prefer, patience_ms } => {
                let request = Acquire {
                    holder: 1,
                    settings: using(&schema.to_string()),
                    prefer: choose(self.left.iter(), prefer).copied(),
                    deadline: patience_ms.map(|ms| self.bench.now + Duration::from_millis(ms.into())),
                    ..self.bench.wants(class(number))
                };
                self.waiting.push_back((request.ticket, request.class));
                Input::Acquire(request)
            }
            Step::Cancel(which) => {
                let (ticket, _) = choose(self.waiting.iter(), which).copied()?;
                self.waiting.retain(|(other, _)| *other != ticket);
                Input::CancelAcquire { ticket }
            }
            Step::Release { which, schema, keep } => {
                let conn = *choose(self.busy.keys(), which)?;
                self.bench.epochs += 1;
                let epoch = self.bench.epochs;
                self.left.push(Preferred { conn, epoch });
                let fate = if keep { Fate::Keep } else { Fate::Close(CloseReason::Broken) };
                Input::Release { conn, settings: using(&schema.to_string()), epoch, fate }
            }
            Step::Opened(which) => Input::Opened { conn: *choose(self.opening.keys(), which)? },
            Step::OpenFailed(which) => {
                let conn = *choose(self.opening.keys(), which)?;
                self.opening.remove(&conn);
                Input::OpenFailed { conn, error: server_error() }
            }
            Step::Lost(which) => {
                let conn = *choose(self.idle.keys().chain(self.busy.keys()).collect::<Vec<_>>().into_iter(), which)?;
                self.idle.remove(&conn);
                self.busy.remove(&conn);
                Input::Lost { conn }
            }
            Step::Pass { ms } => {
                self.bench.pass(Duration::from_millis(ms.into()));
                return None;
            }
            Step::Wake => {
                let at = self.bench.pool.poll_timeout()?;
                self.bench.now = self.bench.now.max(at);
                Input::Timeout
            }
            Step::Drain => {
                self.draining = true;
                Input::Drain { error: server_error() }
            }
            Step::Reopen => {
                self.draining = false;
                Input::Reopen
            }
        })
    }

    fn answer(&mut self, ticket: Ticket) -> ConnectionClass {
        assert!(self.answered.insert(ticket), "{ticket:?} is answered twice");
        let at = self.waiting.iter().position(|(other, _)| *other == ticket).expect("an answer to who asked");
        let (_, class) = self.waiting.remove(at).expect("it is there");
        class
    }

    fn apply(&mut self, output: Output) {
        match output {
            Output::Granted { ticket, conn } => {
                let first_of_class = |class| self.waiting.iter().find(|(_, other)| *other == class).map(|(t, _)| *t);
                let granted_class = *self.idle.get(&conn).expect("only a free connection is granted");
                assert_eq!(first_of_class(granted_class), Some(ticket), "the first to wait for the class is served");
                assert_eq!(self.answer(ticket), granted_class);
                let class = self.idle.remove(&conn).expect("checked above");
                self.busy.insert(conn, class);
            }
            Output::Refused { ticket, error } => {
                assert_eq!(error.effect, crate::error::Effect::None);
                self.answer(ticket);
            }
            Output::Open { conn, class, .. } => {
                assert!(!self.draining);
                assert!(self.opening.insert(conn, class).is_none(), "names are new");
            }
            Output::Close { conn, .. } => assert!(self.idle.remove(&conn).is_some(), "closed while in use"),
            Output::Drained => assert_eq!(self.open() + self.opening.len(), 0),
        }
    }

    fn open(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    fn check(&self) {
        let (config, counters) = (self.bench.pool.config(), self.bench.pool.counters());
        let books = (self.opening.len(), self.idle.len(), self.busy.len(), self.waiting.len());
        let counted = (counters.opening, counters.idle, counters.busy, counters.waiting);
        assert_eq!(books, (counted.0 as usize, counted.1 as usize, counted.2 as usize, counted.3 as usize));
        assert!(self.open() + self.opening.len() <= config.capacity() as usize);
        assert!(self.opening.len() <= config.opening_max as usize);
        assert!(self.waiting.len() <= (config.wait_queue_max + config.opening_max) as usize);
        let waits_in_vain = |class| self.idle.values().any(|idle| *idle == class);
        assert!(!self.waiting.iter().any(|(_, class)| waits_in_vain(*class)), "idle, and wanted");
        assert!(!self.draining || self.waiting.is_empty() && self.idle.is_empty());
        let timer = self.bench.pool.poll_timeout();
        assert!(self.waiting.is_empty() || timer.is_some(), "a wait that nothing would end");
    }

    /// Answer everything that is open, and see nothing left.
    fn finish(mut self) {
        self.step(Step::Drain);
        while let Some(conn) = self.opening.keys().next().copied() {
            let step = if conn.0 % 2 == 0 { Step::Opened(0) } else { Step::OpenFailed(0) };
            self.step(step);
        }
        while !self.busy.is_empty() {
            self.step(Step::Release { which: 0, schema: 0, keep: true });
        }
        let counters = self.bench.pool.counters();
        assert_eq!((counters.opening, counters.idle, counters.busy, counters.waiting), (0, 0, 0, 0));
        assert_eq!(self.bench.pool.poll_timeout(), None, "nothing is left to do");
        let closed: u64 = CloseReason::ALL.into_iter().map(|reason| counters.closed(reason)).sum();
        assert_eq!(counters.opened, closed, "every connection that was opened has ended");
    }
}

fn configs() -> impl Strategy<Value = Config> {
    (1u32..6, 1u32..4, 0u32..3, 0u32..4, 0u32..3).prop_map(|(max, opening_max, idle_min, wait_queue_max, overtaken)| {
        let connection_age_max = Some(Duration::from_secs(20));
        let idle_time_max = Some(Duration::from_secs(3));
        Config {
            connections_max: max + 1,
            opening_max,
            idle_min,
            wait_queue_max,
            overtaken_max: overtaken,
            connection_age_max,
            idle_time_max,
            ..Config::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_invariants_hold_in_any_order_of_events(config in configs(), steps in steps()) {
        let mut driver = Driver::new(config);
        for step in steps {
            driver.step(step);
        }
        driver.finish();
    }

    /// One class, no faults, no time: a stack of idle connections and a line of tickets is all there is to it.
    #[test]
    fn without_faults_it_is_a_stack_and_a_line(takes in prop::collection::vec(any::<bool>(), 1..100)) {
        let mut bench = Bench::new(Config { connections_max: 4, opening_max: 9, idle_min: 0, ..Config::default() });
        let (mut idle, mut busy, mut line) = (Vec::new(), VecDeque::new(), VecDeque::new());
        for take in takes {
            if take {
                let (ticket, outputs) = bench.acquire();
                if let Some(conn) = idle.pop() {
                    prop_assert_eq!(outputs, [Output::Granted { ticket, conn }]);
                    busy.push_back(conn);
                } else if busy.len() < 3 {
                    let Output::Open { conn, .. } = outputs[0] else { panic!("{outputs:?}") };
                    prop_assert_eq!(bench.feed(Input::Opened { conn }), [Output::Granted { ticket, conn }]);
                    busy.push_back(conn);
                } else {
                    prop_assert_eq!(outputs, []);
                    line.push_back(ticket);
                }
            } else if let Some(conn) = busy.pop_front() {
                let (_, outputs) = bench.give_back(conn);
                if let Some(ticket) = line.pop_front() {
                    prop_assert_eq!(outputs, [Output::Granted { ticket, conn }]);
                    busy.push_back(conn);
                } else {
                    prop_assert_eq!(outputs, []);
                    idle.push(conn);
                }
            }
        }
    }
}
