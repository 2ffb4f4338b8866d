//! Clients that write with autocommit, and what each was told.

use crate::{Session, application, eventually};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use weir_core::mysql::resultset::Answer;

/// ER_NET_ERROR_ON_WRITE, as Weir says that it cannot know whether a write was executed.
const OUTCOME_UNKNOWN: u16 = 1160;
/// The last that anybody has to wait for an answer.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Acknowledged,
    Unknown,
    Refused(String),
}

/// A write: whose, and which of his.
type Write = (usize, u32);

#[derive(Debug, Default)]
struct Notes {
    answered_at: Vec<Instant>,
    told: BTreeMap<Write, Told>,
    connections_lost: Vec<(SystemTime, String)>,
}

/// What has been written to, as those who judge it see it.
pub trait Written {
    /// All values of a read that goes to the primary.
    fn on_primary(&self, sql: &str) -> Vec<String>;
    /// What its processes have printed.
    fn output(&self) -> String;
}

/// Clients that write until they are stopped.
#[derive(Debug)]
pub struct Writers {
    numbers: Range<usize>,
    notes: Arc<Mutex<Notes>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// What they were told.
#[derive(Debug)]
pub struct Outcome {
    numbers: Range<usize>,
    notes: Notes,
}

impl Writers {
    /// Clients of these numbers, which nobody else has: each inserts rows into `d.t (client, number)`.
    #[must_use]
    pub fn start(address: SocketAddr, numbers: Range<usize>) -> Self {
        let (notes, stop) = (Arc::<Mutex<Notes>>::default(), Arc::<AtomicBool>::default());
        let client = |client| {
            let (notes, stop) = (Arc::clone(&notes), Arc::clone(&stop));
            std::thread::spawn(move || write(address, client, &notes, &stop))
        };
        let clients = numbers.clone().map(client).collect();
        Self { numbers, notes, stop, clients }
    }

    /// From now on.
    #[must_use]
    pub fn mark(&self) -> Instant {
        Instant::now()
    }

    /// Waits until every client may well have written again.
    pub fn wait_for_progress(&mut self) {
        let answered = || self.notes.lock().expect("no client panicked").answered_at.len();
        let enough = answered() + 4 * self.clients.len();
        eventually(PROGRESS_MAX, "writes are answered", || answered() >= enough);
    }

    /// Waits until every client has had an answer to what it waits for now.
    pub fn wait_for_everybody(&self) {
        let latest = || -> BTreeMap<usize, u32> {
            self.notes.lock().expect("no client panicked").told.keys().copied().collect()
        };
        let before = latest();
        eventually(PROGRESS_MAX, "every client is answered", || {
            latest().iter().all(|(client, number)| before.get(client).is_some_and(|before| number > before))
        });
    }

    /// The longest time in which no write was answered, from a little before `since` to now.
    #[must_use]
    pub fn longest_gap_since(&self, since: Instant) -> Duration {
        let notes = self.notes.lock().expect("no client panicked");
        let first = notes.answered_at.partition_point(|at| *at < since).saturating_sub(1);
        let gaps = notes.answered_at[first..].windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().expect("writes were answered")
    }

    /// They end with what they wait for now.
    #[must_use]
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no client panicked"));
        let notes = Arc::into_inner(self.notes).expect("the clients have ended");
        Outcome { numbers: self.numbers, notes: notes.into_inner().expect("no client panicked") }
    }
}

fn write(address: SocketAddr, client: usize, notes: &Mutex<Notes>, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let outcome = Session::open(address, &application(), Some("d")).and_then(|mut session| {
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                // Counts as unknown until it is answered.
                notes.lock().expect("no client panicked").told.insert((client, number), Told::Unknown);
                let answers =
                    session.run(format!("INSERT INTO t (client, number) VALUES ({client}, {number})").as_bytes())?;
                let told = match answers.first() {
                    Some(Answer::Err(error)) if error.code == OUTCOME_UNKNOWN => Told::Unknown,
                    Some(Answer::Err(error)) => Told::Refused(error.to_string()),
                    _ => Told::Acknowledged,
                };
                let was_refused = matches!(told, Told::Refused(_));
                let mut notes = notes.lock().expect("no client panicked");
                if told == Told::Acknowledged {
                    notes.answered_at.push(Instant::now());
                }
                notes.told.insert((client, number), told);
                drop(notes);
                if was_refused {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            notes.lock().expect("no client panicked").connections_lost.push((SystemTime::now(), error.to_string()));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Outcome {
    fn count(&self, wanted: impl Fn(&Told) -> bool) -> usize {
        self.notes.told.values().filter(|told| wanted(told)).count()
    }

    /// Counts, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} writes acknowledged, {} of unknown outcome, {} refused, {} connections lost",
            self.count(|told| *told == Told::Acknowledged),
            self.unknown(),
            self.count(|told| matches!(told, Told::Refused(_))),
            self.notes.connections_lost.len()
        )
    }

    /// Compares with what the shard has.
    pub fn check(&self, shard: &impl Written) {
        let mut there = BTreeMap::<Write, u32>::new();
        let Range { start, end } = self.numbers;
        let written = format!("SELECT client, number FROM d.t WHERE client >= {start} AND client < {end}");
        for pair in shard.on_primary(&written).chunks(2) {
            let write = (pair[0].parse().expect("a number"), pair[1].parse().expect("a number"));
            *there.entry(write).or_default() += 1;
        }
        let mut wrong = Vec::new();
        for (write, told) in &self.notes.told {
            match (told, there.remove(write).unwrap_or(0)) {
                (Told::Acknowledged, 1) | (Told::Unknown, 0 | 1) | (Told::Refused(_), 0) => {}
                (told, times) => wrong.push(format!("{write:?} was {told:?} and is there {times} times")),
            }
        }
        assert!(
            wrong.is_empty(),
            "{}:\n{}\n{}",
            self.summary(),
            wrong[..wrong.len().min(20)].join("\n"),
            shard.output()
        );
        assert!(there.is_empty(), "rows that nobody wrote: {there:?}");
    }

    /// How many were told that nobody knows whether they took effect.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.count(|told| *told == Told::Unknown)
    }

    /// How often a connection was lost.
    #[must_use]
    pub fn connections_lost(&self) -> usize {
        self.notes.connections_lost.len()
    }

    /// No connection was lost but with its gateway, which was away from and until these times; and nobody was refused.
    pub fn check_lost(&self, away: &[(SystemTime, SystemTime)], shard: &impl Written) {
        self.check_refused(shard);
        let with_gateway = |(at, _): &&(SystemTime, String)| away.iter().any(|(from, to)| (*from..=*to).contains(at));
        let others: Vec<_> = self.notes.connections_lost.iter().filter(|lost| !with_gateway(lost)).collect();
        assert!(others.is_empty(), "{}: lost {others:?}, away {away:?}\n{}", self.summary(), shard.output());
    }

    /// Nobody was refused or lost a connection.
    pub fn check_that_connections_were_kept(&self, shard: &impl Written) {
        self.check_refused(shard);
        assert!(self.notes.connections_lost.is_empty(), "{}: {:?}", self.summary(), self.notes.connections_lost);
    }

    fn check_refused(&self, shard: &impl Written) {
        let refusals: BTreeSet<&Told> =
            self.notes.told.values().filter(|told| matches!(told, Told::Refused(_))).collect();
        assert!(refusals.is_empty(), "{}: {refusals:?}\n{}", self.summary(), shard.output());
    }
}
