//! sysbench's transactions on a shard that fails, and what each of its clients was told.

use crate::{Written, application};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use weir_io::servers::Account;

const TABLES: u32 = 2;
const ROWS: u32 = 1_000;
/// A sysbench that ended with its connections is started again after this.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// A sysbench that runs until it is stopped. It runs the transactions of `oltp_read_write` with prepared statements. It cannot connect
/// again: when it loses a connection it ends, and is started again.
#[derive(Debug)]
pub struct Sysbench {
    stop: Arc<AtomicBool>,
    runner: JoinHandle<Transactions>,
}

/// What its clients were told.
#[derive(Debug)]
pub struct Transactions {
    runner: usize,
    /// By start, thread and number.
    acknowledged: BTreeSet<(usize, u32, u32)>,
    failed: Vec<String>,
    ended: Vec<Ended>,
}

/// One that ended by itself.
#[derive(Debug)]
struct Ended {
    started_at: SystemTime,
    at: SystemTime,
    /// Its clients were connected.
    got_on: bool,
}

impl Sysbench {
    /// Makes the tables of all that are to run, in the database `sbtest`, which is empty.
    pub fn prepare(gateway: SocketAddr, shard: &impl Written) {
        shard.on_primary(
            "CREATE TABLE sbtest.acknowledged (runner INT, start INT, thread INT, number INT, PRIMARY KEY (runner, start, thread, number))",
        );
        let output = sysbench(gateway).arg("prepare").output().expect("sysbench is installed");
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), shard.output());
    }

    /// Starts one of a number that no other has.
    #[must_use]
    pub fn start(gateway: SocketAddr, runner: usize, clients: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&stop);
        let told = Transactions { runner, acknowledged: BTreeSet::new(), failed: Vec::new(), ended: Vec::new() };
        Self { stop, runner: std::thread::spawn(move || told.run(gateway, clients, &is_over)) }
    }

    /// Ends it at once: what it waits for then counts as of unknown outcome.
    #[must_use]
    pub fn stop(self) -> Transactions {
        self.stop.store(true, Ordering::Relaxed);
        self.runner.join().expect("it did not panic")
    }
}

impl Transactions {
    fn run(mut self, gateway: SocketAddr, clients: usize, is_over: &AtomicBool) -> Self {
        for start in 0.. {
            let records = TempDir::with_prefix("weir-").expect("a temporary directory");
            let started_at = SystemTime::now();
            let mut child = sysbench(gateway)
                .arg(format!("--record={}/", records.path().display()))
                .args([format!("--runner={}", self.runner), format!("--start={start}"), format!("--threads={clients}")])
                .args(["--time=0", "--events=0", "--mysql-ignore-errors=all", "run"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("sysbench is installed");
            while !is_over.load(Ordering::Relaxed) && child.try_wait().expect("it is ours").is_none() {
                std::thread::sleep(Duration::from_millis(10));
            }
            let at = SystemTime::now();
            // It may have ended already.
            let _ = child.kill();
            child.wait().expect("it ends");
            let got_on = self.read(start, records.path());
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            self.ended.push(Ended { started_at, at, got_on });
            std::thread::sleep(RESTART_AFTER);
        }
        self
    }

    /// Returns whether there are any.
    fn read(&mut self, start: usize, records: &Path) -> bool {
        let before = self.acknowledged.len() + self.failed.len();
        for file in std::fs::read_dir(records).expect("its records") {
            let file = file.expect("a record");
            let thread = file.file_name().to_str().and_then(|name| name.parse().ok()).expect("a thread's number");
            for line in std::fs::read_to_string(file.path()).expect("a record").lines() {
                match line.split_once(' ') {
                    Some(("acknowledged", number)) => {
                        self.acknowledged.insert((start, thread, number.parse().expect("a number")));
                    }
                    _ => self.failed.push(line.to_owned()),
                }
            }
        }
        self.acknowledged.len() + self.failed.len() > before
    }

    /// Counts, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "sysbench: {} transactions acknowledged, {} failed, {} times ended",
            self.acknowledged.len(),
            self.failed.len(),
            self.ended.len()
        )
    }

    /// How many ended with an error.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failed.len()
    }

    /// What was acknowledged is there, and no transaction by halves: each deletes a row and inserts another.
    pub fn check(&self, shard: &impl Written) {
        assert!(!self.acknowledged.is_empty(), "nothing was done\n{}", shard.output());
        let mine = format!("SELECT start, thread, number FROM sbtest.acknowledged WHERE runner = {}", self.runner);
        let there = shard.on_primary(&mine);
        let row = |row: &[String]| {
            (row[0].parse().expect("a number"), row[1].parse().expect("a number"), row[2].parse().expect("a number"))
        };
        let there: BTreeSet<(usize, u32, u32)> = there.chunks(3).map(row).collect();
        let missing: Vec<_> = self.acknowledged.difference(&there).take(20).collect();
        assert!(missing.is_empty(), "{}: missing {missing:?}\n{}", self.summary(), shard.output());
        for table in 1..=TABLES {
            let rows = shard.on_primary(&format!("SELECT COUNT(*) FROM sbtest.sbtest{table}"));
            assert_eq!(rows, [ROWS.to_string()], "rows of sbtest{table}\n{}", shard.output());
        }
    }

    /// It has lost no connection but with its gateway, which was away from and until these times.
    pub fn check_lost(&self, away: &[(SystemTime, SystemTime)], shard: &impl Written) {
        let is_away = |at: &SystemTime| away.iter().any(|(from, to)| (*from..=*to).contains(at));
        // Who comes while nobody listens ends a little later.
        let with_gateway = |ended: &&Ended| is_away(&ended.at) || (is_away(&ended.started_at) && !ended.got_on);
        let others: Vec<_> = self.ended.iter().filter(|ended| !with_gateway(ended)).collect();
        assert!(others.is_empty(), "{}: ended {others:?}, away {away:?}\n{}", self.summary(), shard.output());
    }
}

fn sysbench(gateway: SocketAddr) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sysbench/acknowledged.lua");
    sysbench_command(gateway, script, TABLES, ROWS)
}

/// sysbench, which dies with its parent, as the tests' application in the database `sbtest`; the command to it (`prepare`, `run`) and
/// its other options are to be added.
#[must_use]
pub fn sysbench_command(address: SocketAddr, script: &str, tables: u32, rows: u32) -> Command {
    let Account { user, password } = application();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "sysbench", script])
        .arg(format!("--mysql-host={}", address.ip()))
        .arg(format!("--mysql-port={}", address.port()))
        .arg(format!("--mysql-user={user}"))
        .arg(format!("--mysql-password={password}"))
        .args(["--mysql-db=sbtest", "--rand-type=uniform"])
        .arg(format!("--tables={tables}"))
        .arg(format!("--table-size={rows}"));
    command
}
