//! What clients do: sysbench, whose tables are small enough to lie in memory.

use crate::Measured;
use crate::target::Target;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use weir_tests::sysbench_command;

const TABLES: u32 = 4;
const ROWS: u32 = 10_000;

/// One kind of load.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    script: &'static str,
    threads: u32,
    more: &'static [&'static str],
}

const TEXT: &[&str] = &["--db-ps-mode=disable"];
const PREPARED: &[&str] = &["--db-ps-mode=auto"];

pub(crate) const WORKLOADS: [Workload; 9] = [
    Workload { name: "point-1", script: "oltp_point_select", threads: 1, more: TEXT },
    Workload { name: "point-16", script: "oltp_point_select", threads: 16, more: TEXT },
    Workload { name: "point-256", script: "oltp_point_select", threads: 256, more: TEXT },
    Workload { name: "read-only", script: "oltp_read_only", threads: 16, more: TEXT },
    Workload { name: "read-write", script: "oltp_read_write", threads: 16, more: TEXT },
    Workload { name: "prepared", script: "oltp_point_select", threads: 16, more: PREPARED },
    Workload { name: "prepared-256", script: "oltp_point_select", threads: 256, more: PREPARED },
    Workload { name: "large-rows", script: "large_rows", threads: 4, more: TEXT },
    Workload { name: "connect", script: "connect", threads: 16, more: TEXT },
];

/// Point selects of 64 clients, beside those that are idle.
pub(crate) const BUSY: Workload = Workload { name: "busy", script: "oltp_point_select", threads: 64, more: TEXT };

/// Makes the tables, in the databases `sbtest` and `bench`, which are not there yet.
pub(crate) fn prepare(address: SocketAddr) {
    let text = "CREATE DATABASE sbtest; CREATE DATABASE bench; \
                CREATE TABLE bench.large (id INT PRIMARY KEY, data MEDIUMBLOB); \
                INSERT INTO bench.large VALUES (1, REPEAT('x', 1048576))";
    weir_tests::as_application(address, text).unwrap_or_else(|error| panic!("{error}"));
    let run = command(address, "oltp_read_write").arg("prepare").output().expect("sysbench is installed");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}

impl Workload {
    /// Runs it for a second, then for a turn that is measured.
    pub(crate) fn run(&self, target: &Target, turn: Duration) -> Measured {
        let mut child = command(target.address, self.script)
            .args(self.more)
            .arg(format!("--threads={}", self.threads))
            .arg(format!("--time={}", turn.as_secs() + 2))
            .args(["--report-interval=1", "--histogram=on", "--events=0", "run"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sysbench is installed");
        let mut seconds = Seconds::default();
        let mut rest = String::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            match queries_per_second(&line) {
                Some(queries) if seconds.marks <= turn.as_secs() => seconds.mark(target.processor_us(), queries),
                Some(_) => (),
                None => rest.push_str(&(line + "\n")),
            }
        }
        let status = child.wait().expect("it ends");
        assert!(status.success(), "sysbench {} at {}: {status}\n{rest}", self.script, target.name);
        let [p50_ms, p99_ms] = percentiles(&rest);
        let queries = seconds.queries;
        Measured {
            queries_per_s: queries / turn.as_secs_f64(),
            processor_us: (seconds.until_us - seconds.from_us) as f64 / queries,
            p50_ms,
            p99_ms,
        }
    }
}

/// Reports so far: the first ends the second that is left out.
#[derive(Default)]
struct Seconds {
    marks: u64,
    from_us: u64,
    until_us: u64,
    queries: f64,
}

impl Seconds {
    fn mark(&mut self, processor_us: u64, queries: f64) {
        if self.marks == 0 {
            self.from_us = processor_us;
        } else {
            self.queries += queries;
        }
        self.until_us = processor_us;
        self.marks += 1;
    }
}

/// Of a line such as `[ 1s ] thds: 16 tps: 17000.00 qps: 17000.00 (r/w/o: ...) ...`.
fn queries_per_second(line: &str) -> Option<f64> {
    let (_, rest) = line.strip_prefix('[')?.split_once("qps: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Half, and 99 of 100, took no longer, by sysbench's histogram of lines such as `0.068 |**** 12`.
fn percentiles(report: &str) -> [f64; 2] {
    let bucket = |line: &str| {
        let (value, rest) = line.split_once('|')?;
        Some((value.trim().parse::<f64>().ok()?, rest.split_whitespace().last()?.parse::<u64>().ok()?))
    };
    let buckets: Vec<(f64, u64)> = report.lines().filter_map(bucket).collect();
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    [50, 99].map(|percent| {
        let mut seen = 0;
        let reached = buckets.iter().find(|(_, count)| {
            seen += count;
            seen * 100 >= all * percent
        });
        reached.map_or(f64::NAN, |(value, _)| *value)
    })
}

fn command(address: SocketAddr, script: &str) -> Command {
    let own = format!("{}/bench/{script}.lua", env!("CARGO_MANIFEST_DIR"));
    let script = if std::path::Path::new(&own).exists() { &own } else { script };
    sysbench_command(address, script, TABLES, ROWS)
}
