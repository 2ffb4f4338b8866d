//! The directory of the topology on the model etcd, in virtual time: however the store, the connection and the watches fail, what
//! is known is what the store has once they are well again, and every change was told once, in order.

use std::collections::{BTreeMap, VecDeque};
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};
use weir_core::topo::store::directory::{Changed, Directory, Input, News, Output, Read, SIGN_INTERVAL};
use weir_core::topo::store::{Call, CellRecord, KeyspaceRecord, Layout, Place, Put, Record, TabletRecord};
use weir_core::topo::{Address, Role, Shard};
use weir_sim::etcd::{Delivery, Etcd, KeyValue, Mutation, Range, WatchId};

const SEEDS: u64 = 500;
const STEPS: usize = 200;
const STEP_MAX_MS: u64 = 400;
/// On its way for so long, at most.
const DELAY_MAX_MS: u64 = 60;
/// All is known again this long after all is well.
const HEALING: Duration = Duration::from_secs(20);
const TABLETS: u64 = 6;

/// What became of each place, in order; `None` for its removal.
type History = BTreeMap<Place, Vec<Option<Record>>>;

/// What arrives, and when. One connection carries it, so nothing overtakes.
#[derive(Debug)]
enum Message {
    ToStore(Output),
    ToMachine(Input),
}

struct World {
    rng: Rng,
    now: Instant,
    etcd: Etcd,
    machine: Directory,
    watch: Option<(WatchId, u64)>,
    under_way: VecDeque<(Instant, Message)>,
    sign_at: Instant,
    /// Bytes are swallowed, and nobody is told.
    is_silent: bool,
    writes: u32,
    /// What was written.
    history: History,
    told: Vec<News>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let start = Instant::ZERO + Duration::from_millis(rng.below(1000));
        Self {
            rng,
            now: start,
            etcd: Etcd::new(),
            machine: Directory::new(Layout::default()),
            watch: None,
            under_way: VecDeque::new(),
            sign_at: start,
            is_silent: false,
            writes: 0,
            history: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    // The machine and its connection.

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::News(news) => self.told.push(news),
                output => self.send(Message::ToStore(output)),
            }
        }
    }

    fn send(&mut self, message: Message) {
        if self.is_silent {
            // A connection that has lost bytes carries none after them.
            return self.forget_watch();
        }
        let arrives = self.now + Duration::from_millis(self.rng.below(DELAY_MAX_MS));
        let last = self.under_way.back().map_or(arrives, |(at, _)| *at);
        self.under_way.push_back((arrives.max(last), message));
    }

    fn at_store(&mut self, output: Output) {
        match output {
            Output::Read { attempt } => {
                // Whoever reads anew has given the watch up.
                self.forget_watch();
                let input = match self.etcd.range(&Range::prefix("/weir/"), false) {
                    Ok(read) => {
                        let key = |kv: KeyValue| Read { key: kv.key, value: kv.value };
                        Input::Read { attempt, revision: read.revision, keys: read.kvs.into_iter().map(key).collect() }
                    }
                    Err(error) => Input::Lost { attempt, why: error.to_string() },
                };
                self.send(Message::ToMachine(input));
            }
            Output::Watch { attempt, after } => {
                let Range { key, end, .. } = Range::prefix("/weir/");
                self.watch = Some((self.etcd.watch(&key, &end, after + 1), attempt));
                self.deliver();
            }
            Output::News(_) => unreachable!("it is for people"),
        }
    }

    /// Sends on what etcd says to the watch.
    fn deliver(&mut self) {
        while let Some(delivery) = self.etcd.poll_delivery() {
            let Some((mine, attempt)) = self.watch else { continue };
            let input = match delivery {
                Delivery::Events { watch, events, .. } if watch == mine => {
                    Input::Changed { attempt, changes: events.into_iter().map(changed).collect() }
                }
                Delivery::Compacted { watch, .. } if watch == mine => Input::Compacted { attempt },
                _ => continue,
            };
            self.send(Message::ToMachine(input));
        }
    }

    fn forget_watch(&mut self) {
        if let Some((watch, _)) = self.watch.take() {
            self.etcd.unwatch(watch);
        }
    }

    /// The connection breaks, and the machine is told so.
    fn reset(&mut self) {
        self.under_way.clear();
        let attempt = self.watch.map_or(u64::MAX, |(_, attempt)| attempt);
        self.forget_watch();
        self.handle(Input::Lost { attempt, why: "the connection broke".to_owned() });
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let timeout = self.machine.poll_timeout().unwrap_or(Instant::MAX);
            let arrival = self.under_way.front().map_or(Instant::MAX, |(at, _)| *at);
            let next = timeout.min(arrival).min(self.sign_at);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if arrival == next {
                match self.under_way.pop_front() {
                    Some((_, Message::ToStore(output))) => self.at_store(output),
                    Some((_, Message::ToMachine(input))) => self.handle(input),
                    None => {}
                }
            } else if self.sign_at == next {
                self.sign_at = self.now + SIGN_INTERVAL;
                if let Some((_, attempt)) = self.watch {
                    self.send(Message::ToMachine(Input::Alive { attempt }));
                }
            } else {
                self.handle(Input::Timeout);
            }
        }
    }

    // The store and those who write to it.

    fn write(&mut self) {
        self.writes += 1;
        let record = self.record();
        let (place, removes) = (record.place(), self.rng.chance(0.3));
        let key = Layout::default().key(&place);
        let call = match removes {
            true => Call::Delete(key),
            false => {
                let put = Put { key, value: record.encode(), lease: 0 };
                Call::PutIf { conditions: Vec::new(), put, otherwise: None }
            }
        };
        let is_there = self.history.get(&place).and_then(|history| history.last()).is_some_and(Option::is_some);
        let is_done = self.etcd.call(self.now, &call).is_ok();
        if is_done && (is_there || !removes) {
            self.history.entry(place).or_default().push((!removes).then_some(record));
        }
        self.deliver();
    }

    fn record(&mut self) -> Record {
        let address = Address { host: "h".to_owned(), port: 1 };
        match self.rng.below(4) {
            0 => Record::Cell(CellRecord { name: format!("c{}", self.rng.below(3)).parse().expect("a cell") }),
            1 => Record::Keyspace(KeyspaceRecord { name: "k".parse().expect("a keyspace") }),
            _ => Record::Tablet(Box::new(TabletRecord {
                alias: format!("c0-{}", self.rng.below(TABLETS)).parse().expect("an alias"),
                grpc: address.clone(),
                mysql: address,
                keyspace: "k".parse().expect("a keyspace"),
                shard: Shard::unsharded(),
                role: Role::Replica,
                labels: BTreeMap::new(),
                // Every value is one of its own.
                weight: self.writes,
                binary: String::new(),
            })),
        }
    }

    fn fault(&mut self) {
        match self.rng.below(12) {
            0 => self.reset(),
            1 => self.is_silent = true,
            2 | 3 => {
                self.is_silent = false;
                if self.rng.chance(0.5) {
                    self.reset();
                }
            }
            4 => {
                let revision = self.etcd.revision();
                // Done before, or without a leader: then not.
                let _ = self.etcd.compact(revision);
            }
            5 => {
                self.etcd.restart(self.now);
                self.watch = None;
                if self.rng.chance(0.7) {
                    self.reset();
                }
            }
            6 => {
                self.etcd.set_leaderless(self.now, true);
                self.reset();
            }
            7 | 8 => self.etcd.set_leaderless(self.now, false),
            // The watch is lost in silence.
            9 => self.forget_watch(),
            _ => {}
        }
    }

    fn heal(&mut self) {
        self.is_silent = false;
        self.etcd.set_leaderless(self.now, false);
        // There is always something: a store that has nothing is not believed.
        while self.stored().is_empty() {
            self.write();
        }
        self.run_until(self.now + HEALING);
    }

    fn stored(&self) -> BTreeMap<Place, Record> {
        let last = |(place, history): (&Place, &Vec<Option<Record>>)| Some((place.clone(), history.last()?.clone()?));
        self.history.iter().filter_map(last).collect()
    }
}

fn changed(mutation: Mutation) -> Changed {
    match mutation {
        Mutation::Put(kv) => Changed { key: kv.key, value: Some(kv.value), revision: kv.mod_revision },
        Mutation::Delete(key, revision) => Changed { key, value: None, revision },
    }
}

fn explore(seed: u64, fault_chance: f64) -> World {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.write();
        if world.rng.chance(fault_chance) {
            world.fault();
        }
        let step = Duration::from_millis(world.rng.below(STEP_MAX_MS));
        world.run_until(world.now + step);
    }
    world.heal();
    world
}

/// Applies the news one after the other, and looks whether each fits what was told before.
fn apply(seed: u64, told: &[News]) -> (BTreeMap<Place, Record>, History) {
    let (mut state, mut history) = (BTreeMap::new(), History::new());
    for news in told {
        let (place, record) = match news {
            News::Added(record) => {
                assert_eq!(state.insert(record.place(), record.clone()), None, "seed {seed}: {news:?} was there");
                (record.place(), Some(record.clone()))
            }
            News::Changed(record) => {
                let before = state.insert(record.place(), record.clone());
                assert!(before.is_some_and(|before| before != *record), "seed {seed}: {news:?} changes nothing");
                (record.place(), Some(record.clone()))
            }
            News::Removed(place) => {
                assert!(state.remove(place).is_some(), "seed {seed}: {news:?} was not there");
                (place.clone(), None)
            }
            News::Unreadable(..) => panic!("seed {seed}: {news:?}"),
            News::Current | News::Lost(_) => continue,
        };
        history.entry(place).or_default().push(record);
    }
    (state, history)
}

/// What was told of a place happened in that order, perhaps with more in between.
fn is_within(told: &[Option<Record>], happened: &[Option<Record>]) -> bool {
    let mut rest = happened.iter();
    told.iter().all(|one| rest.any(|other| other == one))
}

#[test]
fn once_all_is_well_what_is_known_is_what_the_store_has_whatever_came_before() {
    let (mut lost, mut anew) = (0, 0);
    for seed in 0..SEEDS {
        let world = explore(seed, 0.25);
        assert!(world.machine.is_current(), "seed {seed}");
        let known: BTreeMap<Place, Record> =
            world.machine.records().map(|record| (record.place(), record.clone())).collect();
        assert_eq!(known, world.stored(), "seed {seed}");
        let (state, told) = apply(seed, &world.told);
        assert_eq!(state, known, "seed {seed}: told is not what is known");
        for (place, told) in told {
            assert!(is_within(&told, &world.history[&place]), "seed {seed}: {place} was told of out of order");
        }
        lost += world.told.iter().filter(|news| matches!(news, News::Lost(_))).count();
        anew += world.told.iter().filter(|news| **news == News::Current).count() - 1;
    }
    assert!(
        lost > SEEDS as usize && anew > SEEDS as usize,
        "too little happened: lost {lost} times, read anew {anew} times"
    );
}

#[test]
fn while_all_is_well_every_change_is_told() {
    for seed in 0..SEEDS / 10 {
        let world = explore(seed, 0.0);
        let (_, told) = apply(seed, &world.told);
        for (place, history) in &world.history {
            // The same written over itself is no change, and what came before the first look is not told one by one.
            let mut changes = history.clone();
            changes.dedup();
            let told = told.get(place).cloned().unwrap_or_default();
            assert!(changes.ends_with(&told) && changes.len() <= told.len() + 1, "seed {seed}: {place}");
        }
    }
}
