//! Clients that write with autocommit, and what each was told.

use crate::cluster::Galera;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use weir_core::mysql::resultset::Answer;
use weir_tests::{Session, application, eventually};

/// ER_NET_ERROR_ON_WRITE, as Weir says that it cannot know whether a write was executed.
const OUTCOME_UNKNOWN: u16 = 1160;
/// The last that anybody has to wait for an answer.
const PROGRESS_MAX: Duration = Duration::from_secs(40);

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Acknowledged,
    Unknown,
    Refused(String),
}

#[derive(Default)]
struct Notes {
    answered_at: Vec<Instant>,
    /// By client and number.
    told: BTreeMap<(usize, u32), Told>,
    connections_lost: Vec<String>,
}

/// Clients that write until they are stopped.
pub(crate) struct Writers {
    notes: Arc<Mutex<Notes>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Sixteen, whose numbers nobody else has.
    pub(crate) fn start(address: SocketAddr, first: usize) -> Self {
        let (notes, stop) = (Arc::<Mutex<Notes>>::default(), Arc::<AtomicBool>::default());
        let client = |client| {
            let (notes, stop) = (Arc::clone(&notes), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = write(address, client, &notes, &stop) {
                        notes.lock().expect("no client panicked").connections_lost.push(error.to_string());
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            })
        };
        let writers = Self { clients: (first..first + 16).map(client).collect(), notes, stop };
        writers.wait_for_progress();
        writers
    }

    /// Waits until every client may well have written again.
    pub(crate) fn wait_for_progress(&self) {
        let answered = || self.notes.lock().expect("no client panicked").answered_at.len();
        let enough = answered() + 4 * self.clients.len();
        eventually(PROGRESS_MAX, "writes are answered", || answered() >= enough);
    }

    /// What was refused last.
    pub(crate) fn refused(&self) -> Option<String> {
        let notes = self.notes.lock().expect("no client panicked");
        notes.told.values().rev().find_map(|told| if let Told::Refused(why) = told { Some(why.clone()) } else { None })
    }

    /// Stops them; what was acknowledged is there once, what was refused is not, and nobody was cut off. The longest time without
    /// an answered write goes to standard output.
    pub(crate) fn stop(self, what: &str, galera: &Galera, server: usize, may_be_refused: bool) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no client panicked"));
        let notes =
            Arc::into_inner(self.notes).expect("the clients have ended").into_inner().expect("no client panicked");
        let count = |wanted: fn(&Told) -> bool| notes.told.values().filter(|told| wanted(told)).count();
        let gap = notes.answered_at.windows(2).map(|pair| pair[1] - pair[0]).max().expect("writes were answered");
        eprintln!(
            "{what}: no write answered for {gap:?}; {} acknowledged, {} of unknown outcome, {} refused",
            count(|told| *told == Told::Acknowledged),
            count(|told| *told == Told::Unknown),
            count(|told| matches!(told, Told::Refused(_))),
        );
        assert!(notes.connections_lost.is_empty(), "{:?}", notes.connections_lost);
        let rows = galera.query(server, "SET wsrep_sync_wait = 1; SELECT client, number FROM d.t").expect("it answers");
        let mut there = BTreeMap::<(usize, u32), u32>::new();
        for row in rows.lines() {
            let (client, number) = row.split_once('\t').expect("two columns");
            *there.entry((client.parse().expect("a number"), number.parse().expect("a number"))).or_default() += 1;
        }
        let mut wrong = Vec::new();
        for (write, told) in &notes.told {
            match (told, there.remove(write).unwrap_or(0)) {
                (Told::Acknowledged, 1) | (Told::Unknown, 0 | 1) => {}
                (Told::Refused(_), 0) if may_be_refused => {}
                (told, times) => wrong.push(format!("{write:?} was {told:?} and is there {times} times")),
            }
        }
        assert!(wrong.is_empty(), "{} of them: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }
}

fn write(address: SocketAddr, client: usize, notes: &Mutex<Notes>, stop: &AtomicBool) -> std::io::Result<()> {
    let mut session = Session::open(address, &application(), Some("d"))?;
    while !stop.load(Ordering::Relaxed) {
        let number = {
            let mut notes = notes.lock().expect("no client panicked");
            let last = notes.told.range((client, 0)..(client + 1, 0)).next_back().map_or(0, |((_, number), _)| *number);
            // Counts as unknown until it is answered.
            notes.told.insert((client, last + 1), Told::Unknown);
            last + 1
        };
        let answers = session.run(format!("INSERT INTO t (client, number) VALUES ({client}, {number})").as_bytes())?;
        let told = match answers.first() {
            Some(Answer::Err(error)) if error.code == OUTCOME_UNKNOWN => Told::Unknown,
            Some(Answer::Err(error)) => Told::Refused(error.to_string()),
            _ => Told::Acknowledged,
        };
        if matches!(told, Told::Refused(_)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut notes = notes.lock().expect("no client panicked");
        if told == Told::Acknowledged {
            notes.answered_at.push(Instant::now());
        }
        notes.told.insert((client, number), told);
    }
    Ok(())
}
