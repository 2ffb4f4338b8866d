//! Two hundred sessions share ten server connections; each is compared, packet by packet, with a shadow that has a server
//! connection of its own.
//!
//! A session sends the same random statements through Weir to one server and directly to another that holds the same data.
//! Everything that comes back must be the same bytes: rows and their metadata, status flags, counts, insert ids, infos,
//! session trackers, errors. `statements` makes the statements, `pair` compares.
//!
//! `WEIR_TORTURE_S` sets how long (5), `WEIR_TORTURE_SESSIONS` how many (200), `WEIR_TORTURE_SEED` which statements.

mod pair;
mod statements;

use pair::{Difference, Pair, Said, Step};
use statements::{Session, setup};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use weir_core::rng::Rng;
use weir_tests::{TestCluster, Weir};

/// Server connections that all sessions share.
const POOL_SIZE: &str = "10";
/// How long a session may wait for one of them, in milliseconds.
const WAIT_TIME_MS: &str = "60000";
/// Differences after which a session gives up.
const DIFFERENCES_MAX: usize = 3;

/// What all sessions did.
#[derive(Debug, Default)]
struct Tally {
    statements: AtomicU64,
    /// Of these, sent while the session held its connection for state that cannot be carried.
    pinned: AtomicU64,
    errors: AtomicU64,
    /// Weir said that it does not know, where the shadow did: documented, and counted.
    refused: AtomicU64,
    /// Sessions that hold a connection now, and the most there were.
    holding: AtomicU64,
    holding_max: AtomicU64,
    sessions_pinned: AtomicU64,
    differences: Mutex<Vec<Difference>>,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

#[test]
fn sessions_that_share_connections_cannot_tell() {
    // io_uring, unless the kernel forbids it.
    cannot_tell("auto");
}

#[test]
fn nor_can_they_when_tokio_carries_their_bytes() {
    cannot_tell("tokio");
}

fn cannot_tell(driver: &str) {
    let (seconds, sessions) = (number("WEIR_TORTURE_S", 5), number("WEIR_TORTURE_SESSIONS", 200));
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let seed = number("WEIR_TORTURE_SEED", clock);
    eprintln!("WEIR_TORTURE_SEED={seed}: {sessions} sessions for {seconds} s");
    let settings = ["max_connections=400"];
    let (behind, alone) = (TestCluster::with_settings(1, &settings), TestCluster::with_settings(1, &settings));
    for cluster in [&behind, &alone] {
        setup(cluster, sessions);
    }
    let weir =
        Weir::attach(&behind, &["--pool-size", POOL_SIZE, "--wait-time-ms", WAIT_TIME_MS, "--io-driver", driver]);
    let tally = Tally::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rng = Rng::new(seed);
    thread::scope(|scope| {
        for id in 0..sessions {
            let (rng, tally) = (rng.fork(), &tally);
            let pair = Pair::login(weir.address(), alone.primary().address(), id);
            scope.spawn(move || torture(id, pair, rng, end, tally));
        }
    });
    report(&tally, sessions);
}

fn torture(id: u64, mut pair: Pair, rng: Rng, end: Instant, tally: &Tally) {
    let mut session = Session::new(id, rng);
    let (mut found, mut was_pinned, mut was_refused) = (0, false, false);
    while Instant::now() < end && found < DIFFERENCES_MAX {
        // A refusal is in the diagnostics of one side alone, until a statement uses a table.
        let step = if was_refused { Step::Query("SELECT 1 FROM t LIMIT 0".into()) } else { session.next() };
        let said = pair.run(&step);
        was_refused = matches!(said, Said::Refused);
        tally.statements.fetch_add(1, Relaxed);
        tally.pinned.fetch_add(u64::from(session.holds()), Relaxed);
        match said {
            Said::Same { error } => tally.errors.fetch_add(error.into(), Relaxed),
            Said::Refused => tally.refused.fetch_add(1, Relaxed),
            Said::Different(difference) => {
                found += 1;
                tally.differences.lock().expect("no session panicked").push(*difference);
                0
            }
        };
        session.heard(&step);
        if session.holds() != was_pinned {
            was_pinned = session.holds();
            count_holders(was_pinned, tally);
        }
    }
    if was_pinned {
        tally.holding.fetch_sub(1, Relaxed);
    }
    tally.sessions_pinned.fetch_add(session.ever_held().into(), Relaxed);
}

fn count_holders(holds: bool, tally: &Tally) {
    if holds {
        let now = tally.holding.fetch_add(1, Relaxed) + 1;
        tally.holding_max.fetch_max(now, Relaxed);
    } else {
        tally.holding.fetch_sub(1, Relaxed);
    }
}

fn report(tally: &Tally, sessions: u64) {
    let load = |counter: &AtomicU64| counter.load(Relaxed);
    eprintln!(
        "{} statements ({} errors, {} by sessions that were pinned, {} refused), {} of {sessions} sessions pinned at some time, \
         {} at once",
        load(&tally.statements),
        load(&tally.errors),
        load(&tally.pinned),
        load(&tally.refused),
        load(&tally.sessions_pinned),
        load(&tally.holding_max),
    );
    let differences = tally.differences.lock().expect("no session panicked");
    for difference in differences.iter().take(60) {
        eprintln!("{difference}");
    }
    assert!(load(&tally.statements) > sessions, "every session says something");
    assert!(differences.is_empty(), "{} differences", differences.len());
}
