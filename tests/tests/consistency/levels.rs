//! Each level under many pairs of writers and readers. A writer counts up; before each read its reader notes the last
//! count that it must see. A lower one in the answer is a stale read.

use crate::{How, LateCluster, PAIRS, cluster, name, open, read, write};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use weir_tests::{Session, Weir};

/// How late the replicas are: not both the same, so that a session that goes from one to the other can go back in time.
const DELAYS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(600)];
/// Pauses, without which readers and replication would have no time to keep up.
const WRITE_EVERY: Duration = Duration::from_millis(100);
const READ_EVERY: Duration = Duration::from_millis(5);

/// How long each level runs, in seconds; longer by hand.
fn seconds() -> Duration {
    Duration::from_secs(std::env::var("WEIR_CONSISTENCY_S").ok().and_then(|s| s.parse().ok()).unwrap_or(4))
}

/// Who reads what a session wrote.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    SameSession,
    OtherSession,
    OtherGateway,
}

#[derive(Default)]
struct Tally {
    reads: AtomicU64,
    /// Answered by the primary.
    on_primary: AtomicU64,
    /// Older than the last write that was acknowledged before.
    stale: AtomicU64,
    /// Older than what the same session has read before.
    back: AtomicU64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [reads, on_primary, stale, back] =
            [&self.reads, &self.on_primary, &self.stale, &self.back].map(|count| count.load(Ordering::Relaxed));
        write!(f, "{reads} reads, {on_primary} of them on the primary, {stale} stale, {back} went back")
    }
}

/// Two gateways in front of late replicas.
struct Scene {
    gateways: [Weir; 2],
    primary: String,
    _cluster: LateCluster,
}

impl Scene {
    fn new() -> Self {
        let cluster = cluster(&DELAYS);
        let flags = ["--read-after-write-timeout-ms", "10000"];
        let gateways = [Weir::attach(&cluster, &flags), Weir::attach(&cluster, &flags)];
        Self { gateways, primary: name(cluster.primary()), _cluster: cluster }
    }

    /// `level`, and perhaps `MONOTONIC` behind it.
    fn open(&self, gateway: usize, level: &str) -> Session {
        let name = level.strip_suffix(" MONOTONIC");
        let mut session = open(&self.gateways[gateway], name.unwrap_or(level));
        if name.is_some() {
            session.values("SET monotonic_reads = ON");
        }
        session
    }

    fn run(&self, level: &str, reader: Reader) -> Tally {
        let (tally, stop) = (Tally::default(), AtomicBool::new(false));
        let acknowledged: Vec<AtomicU64> = (0..PAIRS).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for pair in 0..PAIRS {
                let (acknowledged, stop, tally) = (&acknowledged[pair], &stop, &tally);
                scope.spawn(move || {
                    let mut session = self.open(0, level);
                    let mut checks = Checks { scene: self, tally, acknowledged, pair, last: 0, next: pair };
                    let mut version = last_version(&mut session, pair);
                    while !stop.load(Ordering::Relaxed) {
                        version += 1;
                        write(&mut session, pair, version);
                        acknowledged.store(version, Ordering::SeqCst);
                        if reader == Reader::SameSession {
                            checks.read(&mut session);
                        }
                        std::thread::sleep(WRITE_EVERY);
                    }
                });
                if reader != Reader::SameSession {
                    scope.spawn(move || {
                        let gateway = usize::from(reader == Reader::OtherGateway);
                        let mut session = self.open(gateway, level);
                        let mut checks = Checks { scene: self, tally, acknowledged, pair, last: 0, next: pair };
                        while !stop.load(Ordering::Relaxed) {
                            checks.read(&mut session);
                            std::thread::sleep(READ_EVERY);
                        }
                    });
                }
            }
            std::thread::sleep(seconds());
            stop.store(true, Ordering::Relaxed);
        });
        eprintln!("{level}: {tally}");
        let [reads, on_primary] = [&tally.reads, &tally.on_primary].map(|count| count.load(Ordering::Relaxed));
        assert!(reads > 0 && on_primary * 2 < reads, "{level} did not read from replicas: {tally}");
        tally
    }
}

/// Rows keep what the level before wrote: counting goes on from there.
fn last_version(session: &mut Session, pair: usize) -> u64 {
    let sql = format!("SELECT /*vt+ ROLE=PRIMARY */ v FROM counts WHERE pair = {pair}");
    session.values(&sql)[0].parse().expect("a number")
}

/// One session's reads.
struct Checks<'a> {
    scene: &'a Scene,
    tally: &'a Tally,
    acknowledged: &'a AtomicU64,
    pair: usize,
    last: u64,
    next: usize,
}

impl Checks<'_> {
    fn read(&mut self, session: &mut Session) {
        let must_see = self.acknowledged.load(Ordering::SeqCst);
        // A read-only transaction goes to the primary unless it is allowed elsewhere: `statements` looks at it.
        let how = [How::Text, How::Prepared, How::Multi][self.next % 3];
        self.next += 1;
        let seen = read(session, self.pair, how);
        let count = |counter: &AtomicU64, is: bool| _ = counter.fetch_add(u64::from(is), Ordering::Relaxed);
        count(&self.tally.reads, true);
        count(&self.tally.on_primary, seen.server == self.scene.primary);
        count(&self.tally.stale, seen.version < must_see);
        count(&self.tally.back, seen.version < self.last);
        self.last = seen.version;
    }
}

#[test]
fn levels_keep_their_promise_while_replicas_apply_late() {
    let scene = Scene::new();
    let none = |counter: &AtomicU64| counter.load(Ordering::Relaxed) == 0;

    let eventual = scene.run("EVENTUAL", Reader::OtherGateway);
    assert!(!none(&eventual.stale), "the replicas are not late: {eventual}");
    let monotonic = scene.run("EVENTUAL MONOTONIC", Reader::OtherGateway);
    assert!(!none(&monotonic.stale) && none(&monotonic.back), "monotonic reads: {monotonic}");
    for (level, reader) in
        [("SESSION", Reader::SameSession), ("INSTANCE", Reader::OtherSession), ("GLOBAL", Reader::OtherGateway)]
    {
        let tally = scene.run(level, reader);
        assert!(none(&tally.stale) && none(&tally.back), "{level}: {tally}");
    }
}
