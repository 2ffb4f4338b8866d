//! Many threads of sysbench that update rows by their primary key, each update a transaction of its own.

use crate::shard::Shard;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use weir_io::servers::Account;
use weir_tests::application;

/// Whether a write took effect is unknown: the one error that clients may see.
const OUTCOME_UNKNOWN: &str = "1160";

/// It runs until it is stopped.
pub(crate) struct Sysbench {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Sysbench {
    /// `None` where it is not installed, and says so.
    pub(crate) fn start(shard: &Shard, threads: usize) -> Option<Self> {
        if Command::new("sysbench").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: no load of sysbench, which is not installed");
            return None;
        }
        shard.query("CREATE DATABASE sbtest");
        let prepared = command(shard, threads).arg("prepare").output().expect("sysbench runs");
        assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stdout));
        let mut command = command(shard, threads);
        command.args(["--time=0", "--report-interval=1", &format!("--mysql-ignore-errors={OUTCOME_UNKNOWN}"), "run"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sysbench runs");
        let said = Arc::<Mutex<String>>::default();
        let (stdout, into) = (child.stdout.take().expect("piped"), Arc::clone(&said));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                into.lock().expect("no reader panicked").push_str(&(line + "\n"));
            }
        });
        Some(Self { child, said, reader: Some(reader) })
    }

    /// Ends it; what it counted. Its clients saw no error but that of an unknown outcome, and no connection was lost.
    pub(crate) fn stop(mut self) -> String {
        let ended = self.child.try_wait().expect("the state of a child");
        self.end();
        let said = self.said.lock().expect("no reader panicked").clone();
        assert!(ended.is_none() && !said.contains("FATAL"), "sysbench gave up:\n{said}");
        let lost = count(&said, "reconn/s:");
        assert!(lost == 0.0, "sysbench lost {lost} connections:\n{said}");
        format!("sysbench: {} writes acknowledged, {} of unknown outcome", count(&said, "tps:"), count(&said, "err/s:"))
    }

    fn end(&mut self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let _ = self.child.wait();
        self.reader.take().map(JoinHandle::join);
    }
}

impl Drop for Sysbench {
    fn drop(&mut self) {
        if self.reader.is_some() {
            self.end();
        }
    }
}

fn command(shard: &Shard, threads: usize) -> Command {
    let Account { user, password } = application();
    let address = shard.address();
    let mut command = Command::new("sysbench");
    command
        .args(["oltp_update_index", "--mysql-db=sbtest", "--tables=4", "--table-size=10000", "--rand-type=uniform"])
        .arg(format!("--mysql-host={}", address.ip()))
        .arg(format!("--mysql-port={}", address.port()))
        .arg(format!("--mysql-user={user}"))
        .arg(format!("--mysql-password={password}"))
        .arg(format!("--threads={threads}"));
    command
}

/// The sum of a rate over all lines, one per second: `[ 7s ] thds: 64 tps: 812.00 ... err/s: 0.00 reconn/s: 0.00`.
fn count(said: &str, name: &str) -> f64 {
    let rate = |line: &str| line.split(name).nth(1)?.split_whitespace().next()?.parse::<f64>().ok();
    said.lines().filter_map(rate).sum::<f64>().round()
}
