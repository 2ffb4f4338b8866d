//! What the consistency levels cost, on a read-mostly load with replicas that keep up:
//!
//! ```text
//! cargo build --release -p weir-bins && WEIR_BIN=target/release/weir cargo run -p weir-tests --bin weir-cost
//! ```
//!
//! Levels take turns in short rounds, and each round is compared with the rounds at EVENTUAL right before and after it, so that what
//! else the machine does falls on both. EVENTUAL is compared with itself, too: that is the noise. `WEIR_COST_ROUNDS` (20) says how often
//! each level has its turn, `WEIR_COST_WRITES` (5) how many in a hundred statements write.
//!
//! What a busy machine blurs less: the processor time that a statement takes, and the queries that servers are asked for each.

use std::fmt;
use std::ops::{AddAssign, Sub};
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use weir_tests::{Session, TestCluster, Weir, application, counters, processor_us};

const CONNECTIONS: u64 = 64;
const ROWS: u64 = 1000;
const ROUND: Duration = Duration::from_millis(1000);
/// From one level to the other, until connections and positions have settled.
const SETTLE: Duration = Duration::from_millis(200);
/// Each level, and what is left of EVENTUAL's throughput at least, in percent.
const LEVELS: [(&str, f64); 4] = [("EVENTUAL", 0.0), ("SESSION", 97.0), ("INSTANCE", 0.0), ("GLOBAL", 85.0)];

/// What statements took, since the processes began or in some rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Of the clients.
    statements: u64,
    /// Processor time.
    gateway_us: u64,
    servers_us: u64,
    /// Queries that servers counted, whoever asked.
    primary_queries: u64,
    replica_queries: u64,
}

impl Cost {
    fn so_far(statements: u64, gateway: &Weir, cluster: &TestCluster) -> Self {
        let queries = |server| counters(server)["com_select"];
        Self {
            statements,
            gateway_us: processor_us(gateway.pid()),
            servers_us: cluster.servers().iter().filter_map(|server| server.pid()).map(processor_us).sum(),
            primary_queries: queries(cluster.primary()),
            replica_queries: cluster.replicas().iter().map(queries).sum(),
        }
    }
}

impl Sub for Cost {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            statements: self.statements - before.statements,
            gateway_us: self.gateway_us - before.gateway_us,
            servers_us: self.servers_us - before.servers_us,
            primary_queries: self.primary_queries - before.primary_queries,
            replica_queries: self.replica_queries - before.replica_queries,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.statements += more.statements;
        self.gateway_us += more.gateway_us;
        self.servers_us += more.servers_us;
        self.primary_queries += more.primary_queries;
        self.replica_queries += more.replica_queries;
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |count: u64| count as f64 / self.statements as f64;
        write!(
            f,
            "a statement takes {:.0} us in the gateway and {:.0} us in servers, {:.2} queries on the primary and {:.2} on replicas",
            each(self.gateway_us),
            each(self.servers_us),
            each(self.primary_queries),
            each(self.replica_queries),
        )
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Statements of all clients in the rounds, which the clients begin and end together.
struct Stage {
    level: AtomicU64,
    begins: Barrier,
    running: AtomicBool,
    over: AtomicBool,
    done: AtomicU64,
    writes_percent: u64,
}

impl Stage {
    fn new(writes_percent: u64) -> Self {
        Self {
            level: AtomicU64::new(0),
            begins: Barrier::new(CONNECTIONS as usize + 1),
            running: AtomicBool::new(false),
            over: AtomicBool::new(false),
            done: AtomicU64::new(0),
            writes_percent,
        }
    }

    /// Statements per second at a level, and what they took.
    fn round(&self, level: usize, cost: impl Fn(u64) -> Cost) -> (f64, Cost) {
        self.level.store(level as u64, Ordering::SeqCst);
        self.running.store(true, Ordering::SeqCst);
        self.begins.wait();
        std::thread::sleep(SETTLE);
        let before = cost(self.done.load(Ordering::SeqCst));
        let (from, begun) = (self.done.load(Ordering::SeqCst), Instant::now());
        std::thread::sleep(ROUND);
        let (to, took) = (self.done.load(Ordering::SeqCst), begun.elapsed());
        let after = cost(self.done.load(Ordering::SeqCst));
        self.running.store(false, Ordering::SeqCst);
        self.begins.wait();
        ((to - from) as f64 / took.as_secs_f64(), after - before)
    }

    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.begins.wait();
    }

    fn client(&self, mut session: Session, client: u64) {
        let mut random = client * 7919 + 1;
        let mut draw = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        loop {
            self.begins.wait();
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let level = LEVELS[self.level.load(Ordering::SeqCst) as usize].0;
            session.values(&format!("SET read_after_write_consistency = {level}"));
            while self.running.load(Ordering::Relaxed) {
                let row = draw(ROWS);
                if draw(100) < self.writes_percent {
                    // Of its own: clients wait for replication, not for each other's locks.
                    let row = row / CONNECTIONS * CONNECTIONS + client;
                    session.values(&format!("UPDATE counts SET v = v + 1 WHERE id = {row}"));
                } else {
                    session.values(&format!("SELECT v FROM counts WHERE id = {row}"));
                }
                self.done.fetch_add(1, Ordering::Relaxed);
            }
            self.begins.wait();
        }
    }
}

/// The lower quartile, the median and the upper quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

#[expect(clippy::print_stdout, reason = "what it is run for")]
fn main() -> ExitCode {
    let cluster = TestCluster::start(3);
    let rows: Vec<String> = (0..ROWS + CONNECTIONS).map(|id| format!("({id},0)")).collect();
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.counts (id INT PRIMARY KEY, v BIGINT NOT NULL)",
        &format!("INSERT INTO shop.counts VALUES {}", rows.join(",")),
    ] {
        cluster.primary().query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    cluster.wait_for_replicas();
    let gateway = Weir::attach(&cluster, &[]);
    let writes = number("WEIR_COST_WRITES", 5);
    let stage = Stage::new(writes);
    let rounds = number("WEIR_COST_ROUNDS", 20);
    let mut rates: [Vec<f64>; LEVELS.len()] = Default::default();
    let mut shares: [Vec<f64>; LEVELS.len()] = Default::default();
    let mut costs = [Cost::default(); LEVELS.len()];
    let cost = |statements| Cost::so_far(statements, &gateway, &cluster);
    std::thread::scope(|scope| {
        for client in 0..CONNECTIONS {
            let session = Session::open(gateway.address(), &application(), Some("shop")).expect("a session");
            let stage = &stage;
            scope.spawn(move || stage.client(session, client));
        }
        let (mut before, _) = stage.round(0, cost);
        for _ in 0..rounds {
            for level in 0..LEVELS.len() {
                let (rate, taken) = stage.round(level, cost);
                costs[level] += taken;
                let (after, taken) = stage.round(0, cost);
                costs[0] += taken;
                rates[level].push(rate);
                shares[level].push(200.0 * rate / (before + after));
                before = after;
            }
        }
        stage.end();
    });
    println!("{CONNECTIONS} connections, {writes} % writes, {rounds} rounds of {ROUND:?}");
    let mut missed = false;
    for ((((level, least), rates), shares), cost) in LEVELS.iter().zip(rates).zip(shares).zip(costs) {
        let ([_, rate, _], [low, share, high]) = (quartiles(rates), quartiles(shares));
        println!("{level}: {rate:.0}/s, {share:.1} % of EVENTUAL (quartiles {low:.1} and {high:.1}), {least} % wanted");
        println!("    {cost}");
        missed |= share < *least;
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
