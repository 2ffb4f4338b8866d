//! What a process knows of the topology: all records, followed as they change.
//!
//! Owns the copy of the records, and when they are read anew. It may not know what they are used for. It reads everything at
//! one revision and watches from there on. Whatever goes wrong with that (the connection, a watch that falls behind what the
//! store still has, or that says nothing) ends the same way: everything is read again, and only what differs is told. Until then
//! what is known stays known, for whoever serves goes on serving by it.
//!
//! Start with [`Input`] and [`Output`].

use super::layout::{Layout, Place};
use super::records::{Record, TabletRecord, Unreadable};
use crate::orch::lock::Entry;
use crate::time::{Duration, Instant};
use crate::topo::names::ShardName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Records that are known at one time, at most.
pub const RECORDS_MAX: usize = 20_000;
/// Reading everything takes no longer, or is begun anew.
pub const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// A watch of which nothing is heard for so long is given up.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Whoever carries a watch asks for a sign of life this often.
pub const SIGN_INTERVAL: Duration = Duration::from_secs(2);
/// After a first failure everything is read again in this time, and then in twice the time of before...
pub const RETRY_MIN: Duration = Duration::from_millis(250);
/// ...up to this.
pub const RETRY_MAX: Duration = Duration::from_secs(4);

/// A key that was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Read {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A key that has changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Changed {
    /// The key.
    pub key: Vec<u8>,
    /// Its new value; `None` when it is gone.
    pub value: Option<Vec<u8>>,
    /// In which revision.
    pub revision: i64,
}

/// What the machine is told. Attempts are numbered: what comes of an earlier one is passed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// All keys, as they were at one revision.
    Read {
        /// Which attempt.
        attempt: u64,
        /// The revision.
        revision: i64,
        /// The keys.
        keys: Vec<Read>,
    },
    /// The watch saw these, in this order.
    Changed {
        /// Which attempt.
        attempt: u64,
        /// The changes.
        changes: Vec<Changed>,
    },
    /// The watch is there, and has nothing to say.
    Alive {
        /// Which attempt.
        attempt: u64,
    },
    /// The store does not have any more what the watch wants to see.
    Compacted {
        /// Which attempt.
        attempt: u64,
    },
    /// The read or the watch has failed, for this reason.
    Lost {
        /// Which attempt.
        attempt: u64,
        /// In words for people.
        why: String,
    },
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read all keys under the prefix at one revision. Ends the attempt before.
    Read {
        /// Its number.
        attempt: u64,
    },
    /// Watch all keys under the prefix.
    Watch {
        /// The number of the read before.
        attempt: u64,
        /// See every change after this revision.
        after: i64,
    },
    /// Something has changed.
    News(News),
}

/// What has changed. Each change is told once, and in order, so that who applies them knows what the machine knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum News {
    /// There was no such record.
    Added(Record),
    /// There was one with the same place.
    Changed(Record),
    /// It is gone.
    Removed(Place),
    /// What stands there now cannot be used; what stood there before stays known.
    Unreadable(Place, Unreadable),
    /// All that the store has is known from now on, as it changes.
    Current,
    /// It is not, for this reason.
    Lost(String),
}

/// What is known of one place.
#[derive(Clone, Debug, Default)]
struct Known {
    record: Option<Record>,
    unreadable: Option<Unreadable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until it is tried again.
    Waiting { until: Instant },
    /// Since then.
    Reading { since: Instant },
    /// A sign of life came then.
    Watching { heard_at: Instant },
}

/// The machine.
#[derive(Debug)]
pub struct Directory {
    layout: Layout,
    known: BTreeMap<Place, Known>,
    phase: Phase,
    attempt: u64,
    /// What is known is of this revision.
    revision: i64,
    retry_after: Duration,
    /// That it was lost has been told, or nothing was ever known.
    told_lost: bool,
    outputs: VecDeque<Output>,
}

impl Directory {
    /// Knows nothing, and begins with the first [`Input::Timeout`].
    #[must_use]
    pub const fn new(layout: Layout) -> Self {
        Self {
            layout,
            known: BTreeMap::new(),
            phase: Phase::Waiting { until: Instant::ZERO },
            attempt: 0,
            revision: 0,
            retry_after: RETRY_MIN,
            told_lost: false,
            outputs: VecDeque::new(),
        }
    }

    /// Take one input; then drain [`Directory::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match (input, self.phase) {
            (Input::Read { attempt, revision, keys }, Phase::Reading { .. }) if attempt == self.attempt => {
                self.read(now, revision, keys);
            }
            (Input::Changed { attempt, changes }, Phase::Watching { .. }) if attempt == self.attempt => {
                self.phase = Phase::Watching { heard_at: now };
                changes.into_iter().for_each(|change| self.change(change));
            }
            (Input::Alive { attempt }, Phase::Watching { .. }) if attempt == self.attempt => {
                self.phase = Phase::Watching { heard_at: now };
            }
            // It is there, and answers: no need to wait.
            (Input::Compacted { attempt }, Phase::Watching { .. }) if attempt == self.attempt => self.begin(now),
            (Input::Compacted { attempt }, Phase::Reading { .. }) if attempt == self.attempt => {
                self.lose(now, "what was being read was compacted meanwhile".to_owned());
            }
            (Input::Lost { attempt, why }, Phase::Reading { .. } | Phase::Watching { .. })
                if attempt == self.attempt =>
            {
                self.lose(now, why);
            }
            (Input::Timeout, _) => self.on_time(now),
            // Of an earlier attempt.
            _ => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(match self.phase {
            Phase::Waiting { until } => until,
            Phase::Reading { since } => since + READ_TIME_MAX,
            Phase::Watching { heard_at } => heard_at + SILENCE_MAX,
        })
    }

    /// Changes are seen as they happen, as far as this clock can tell.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        matches!(self.phase, Phase::Watching { .. })
    }

    /// All records, in the order of their places.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.known.values().filter_map(|known| known.record.as_ref())
    }

    /// All tablets.
    pub fn tablets(&self) -> impl Iterator<Item = &TabletRecord> {
        self.records().filter_map(|record| match record {
            Record::Tablet(tablet) => Some(&**tablet),
            _ => None,
        })
    }

    /// A shard's entry.
    #[must_use]
    pub fn entry(&self, shard: &ShardName) -> Option<&Entry> {
        match self.known.get(&Place::Entry(shard.clone()))?.record.as_ref()? {
            Record::Entry(_, entry) => Some(entry),
            _ => None,
        }
    }

    fn on_time(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { until } if now >= until => self.begin(now),
            Phase::Reading { since } if now >= since + READ_TIME_MAX => {
                self.lose(now, format!("it could not be read in {} s", READ_TIME_MAX.as_secs()));
            }
            Phase::Watching { heard_at } if now >= heard_at + SILENCE_MAX => {
                self.lose(now, format!("it has said nothing for {} s", SILENCE_MAX.as_secs()));
            }
            _ => {}
        }
    }

    fn begin(&mut self, now: Instant) {
        self.attempt += 1;
        self.phase = Phase::Reading { since: now };
        self.outputs.push_back(Output::Read { attempt: self.attempt });
    }

    fn lose(&mut self, now: Instant, why: String) {
        if !self.told_lost {
            self.told_lost = true;
            self.tell(News::Lost(why));
        }
        self.phase = Phase::Waiting { until: now + self.retry_after };
        self.retry_after = (self.retry_after * 2).min(RETRY_MAX);
    }

    fn tell(&mut self, news: News) {
        self.outputs.push_back(Output::News(news));
    }

    fn read(&mut self, now: Instant, revision: i64, keys: Vec<Read>) {
        let found: BTreeMap<Place, Vec<u8>> =
            keys.into_iter().filter_map(|Read { key, value }| Some((self.layout.place(&key)?, value))).collect();
        if found.is_empty() && self.records().next().is_some() {
            // A store that was set up anew, or another: nobody removes everything on purpose between two looks.
            return self.lose(now, "it has nothing at all, which is not believed".to_owned());
        }
        let here: BTreeSet<&Place> = found.keys().collect();
        let gone: Vec<Place> = self.known.keys().filter(|place| !here.contains(place)).cloned().collect();
        gone.iter().for_each(|place| self.remove(place));
        found.into_iter().for_each(|(place, value)| self.put(place, &value));
        self.revision = revision;
        self.retry_after = RETRY_MIN;
        self.phase = Phase::Watching { heard_at: now };
        self.outputs.push_back(Output::Watch { attempt: self.attempt, after: revision });
        self.told_lost = false;
        self.tell(News::Current);
    }

    fn change(&mut self, Changed { key, value, revision }: Changed) {
        // One that the read has seen, or the watch has told before. Changes of one revision may come apart.
        if revision < self.revision {
            return;
        }
        self.revision = revision;
        let Some(place) = self.layout.place(&key) else { return };
        match value {
            Some(value) => self.put(place, &value),
            None => self.remove(&place),
        }
    }

    fn put(&mut self, place: Place, value: &[u8]) {
        let decoded = Record::decode(&place, value);
        let is_full = self.known.len() >= RECORDS_MAX && !self.known.contains_key(&place);
        let news = match decoded {
            Ok(None) => return,
            _ if is_full => News::Unreadable(place, Unreadable::TooMany),
            Ok(Some(record)) => {
                let known = self.known.entry(place).or_default();
                known.unreadable = None;
                match known.record.replace(record.clone()) {
                    None => News::Added(record),
                    Some(before) if before == record => return,
                    Some(_) => News::Changed(record),
                }
            }
            Err(why) => {
                let known = self.known.entry(place.clone()).or_default();
                if known.unreadable.replace(why.clone()).as_ref() == Some(&why) {
                    return;
                }
                News::Unreadable(place, why)
            }
        };
        self.tell(news);
    }

    fn remove(&mut self, place: &Place) {
        if self.known.remove(place).is_some_and(|known| known.record.is_some()) {
            self.tell(News::Removed(place.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{CellRecord, KeyspaceRecord};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cell(name: &str) -> Record {
        Record::Cell(CellRecord { name: name.parse().unwrap() })
    }

    fn keyspace(name: &str) -> Record {
        Record::Keyspace(KeyspaceRecord { name: name.parse().unwrap() })
    }

    fn key(place: &Place) -> Vec<u8> {
        Layout::default().key(place)
    }

    fn read(records: &[Record]) -> Vec<Read> {
        records.iter().map(|record| Read { key: key(&record.place()), value: record.encode() }).collect()
    }

    fn changed(record: &Record, revision: i64) -> Changed {
        Changed { key: key(&record.place()), value: Some(record.encode()), revision }
    }

    fn gone(record: &Record, revision: i64) -> Changed {
        Changed { key: key(&record.place()), value: None, revision }
    }

    struct Test {
        machine: Directory,
        now: Instant,
    }

    impl Test {
        fn new() -> Self {
            let mut test = Self { machine: Directory::new(Layout::default()), now: Instant::ZERO + SECOND };
            assert_eq!(test.handle(Input::Timeout), [Output::Read { attempt: 1 }]);
            test
        }

        /// Follows a store that has these.
        fn following(records: &[Record], revision: i64) -> Self {
            let mut test = Self::new();
            let outputs = test.handle(Input::Read { attempt: 1, revision, keys: read(records) });
            assert!(outputs.contains(&Output::Watch { attempt: 1, after: revision }));
            assert_eq!(outputs.last(), Some(&Output::News(News::Current)));
            test
        }

        fn handle(&mut self, input: Input) -> Vec<Output> {
            self.machine.handle(self.now, input);
            core::iter::from_fn(|| self.machine.poll_output()).collect()
        }

        fn news(&mut self, input: Input) -> Vec<News> {
            let is_news = |output| match output {
                Output::News(news) => Some(news),
                _ => None,
            };
            self.handle(input).into_iter().filter_map(is_news).collect()
        }

        /// Goes to the next deadline.
        fn wait(&mut self) -> Vec<Output> {
            self.now = self.now.max(self.machine.poll_timeout().expect("something to do"));
            self.handle(Input::Timeout)
        }
    }

    #[test]
    fn changes_are_told_once_and_in_order() {
        let (a, b) = (cell("a"), cell("b"));
        let mut test = Test::following(core::slice::from_ref(&a), 5);
        let changes = vec![changed(&b, 6), gone(&a, 7), changed(&a, 8), changed(&a, 9)];
        let told = test.news(Input::Changed { attempt: 1, changes });
        assert_eq!(told, [News::Added(b.clone()), News::Removed(a.place()), News::Added(a.clone())]);
        let again = vec![gone(&b, 6), changed(&a, 9)];
        assert_eq!(test.news(Input::Changed { attempt: 1, changes: again }), []);
        assert_eq!(test.machine.records().collect::<Vec<_>>(), [&a, &b]);
    }

    #[test]
    fn after_a_loss_only_what_differs_is_told() {
        let mut test = Test::following(&[cell("a"), cell("b"), keyspace("k")], 5);
        assert_eq!(
            test.handle(Input::Lost { attempt: 1, why: "reset".into() }),
            [Output::News(News::Lost("reset".into()))]
        );
        assert!(!test.machine.is_current() && test.machine.records().count() == 3, "what is known stays known");
        assert_eq!(test.wait(), [Output::Read { attempt: 2 }]);
        let keys = read(&[cell("a"), cell("c"), keyspace("k")]);
        let told = test.news(Input::Read { attempt: 2, revision: 9, keys });
        assert_eq!(told, [News::Removed(cell("b").place()), News::Added(cell("c")), News::Current]);
    }

    #[test]
    fn a_watch_that_was_compacted_or_says_nothing_is_begun_anew() {
        let mut test = Test::following(&[cell("a")], 5);
        assert_eq!(test.handle(Input::Compacted { attempt: 1 }), [Output::Read { attempt: 2 }]);
        assert_eq!(
            test.news(Input::Read { attempt: 2, revision: 9, keys: read(&[cell("a")]) }),
            [News::Current],
            "it is the same"
        );
        for _ in 0..3 {
            test.now += SILENCE_MAX / 2;
            assert_eq!(test.handle(Input::Alive { attempt: 2 }), []);
            assert_eq!(test.handle(Input::Timeout), [], "it is alive");
        }
        assert!(matches!(test.wait()[..], [Output::News(News::Lost(_))]));
        assert_eq!(test.wait(), [Output::Read { attempt: 3 }]);
    }

    #[test]
    fn a_store_that_does_not_answer_is_asked_ever_more_rarely_and_mourned_once() {
        let mut test = Test::new();
        let (mut lost, mut waits) = (0, Vec::new());
        for _ in 0..10 {
            let news = test.wait();
            lost += news.iter().filter(|output| matches!(output, Output::News(News::Lost(_)))).count();
            let failed_at = test.now;
            assert!(matches!(test.wait()[..], [Output::Read { .. }]));
            waits.push(test.now - failed_at);
        }
        assert_eq!((lost, waits[0], waits[1], waits[9]), (1, RETRY_MIN, RETRY_MIN * 2, RETRY_MAX));
    }

    #[test]
    fn what_comes_of_an_earlier_attempt_is_passed_over() {
        let mut test = Test::following(&[cell("a")], 5);
        test.handle(Input::Compacted { attempt: 1 });
        for input in [
            Input::Changed { attempt: 1, changes: vec![gone(&cell("a"), 6)] },
            Input::Changed { attempt: 2, changes: vec![gone(&cell("a"), 6)] },
            Input::Read { attempt: 1, revision: 5, keys: Vec::new() },
            Input::Lost { attempt: 1, why: String::new() },
            Input::Compacted { attempt: 1 },
        ] {
            assert_eq!(test.handle(input), []);
        }
    }

    #[test]
    fn a_store_that_has_forgotten_everything_is_not_believed() {
        let mut test = Test::following(&[cell("a")], 5);
        test.handle(Input::Lost { attempt: 1, why: String::new() });
        test.wait();
        assert_eq!(test.handle(Input::Read { attempt: 2, revision: 1, keys: Vec::new() }), []);
        assert_eq!(test.machine.records().count(), 1);
        let mut fresh = Test::new();
        assert_eq!(fresh.news(Input::Read { attempt: 1, revision: 1, keys: Vec::new() }), [News::Current]);
    }

    #[test]
    fn what_cannot_be_read_is_told_once_and_the_record_before_it_stays() {
        let a = cell("a");
        let mut test = Test::following(core::slice::from_ref(&a), 5);
        let newer =
            |revision| Changed { key: key(&a.place()), value: Some(br#"{"version":9,"name":"a"}"#.to_vec()), revision };
        let told = test.news(Input::Changed { attempt: 1, changes: vec![newer(6), newer(7)] });
        assert_eq!(told, [News::Unreadable(a.place(), Unreadable::Newer(9, 1))]);
        assert_eq!(test.machine.records().collect::<Vec<_>>(), [&a]);
        let told = test.news(Input::Changed { attempt: 1, changes: vec![changed(&a, 8), gone(&a, 9), newer(10)] });
        assert_eq!(
            told,
            [News::Removed(a.place()), News::Unreadable(a.place(), Unreadable::Newer(9, 1))],
            "it was the same all the time"
        );
    }

    #[test]
    fn there_is_a_limit_to_what_is_known() {
        let tablets: Vec<Record> = (0..RECORDS_MAX + 2).map(|n| keyspace(&format!("k{n}"))).collect();
        let mut test = Test::new();
        let told = test.news(Input::Read { attempt: 1, revision: 5, keys: read(&tablets) });
        let refused = told.iter().filter(|news| matches!(news, News::Unreadable(_, Unreadable::TooMany))).count();
        assert_eq!((test.machine.records().count(), refused), (RECORDS_MAX, 2));
    }
}
