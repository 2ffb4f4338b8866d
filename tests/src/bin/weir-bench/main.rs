//! What Weir costs beside a direct connection, HAProxy and other proxies: see `./x bench --help`.
//!
//! Every way to the server has its turn in every round, so that what else the machine does falls on all of them; the table has the
//! medians of the rounds.

mod idle;
mod plot;
mod report;
mod sysbench;
mod target;

use report::{Measured, Report};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use sysbench::WORKLOADS;
use target::{Peer, Target};
use weir_tests::{TestCluster, application};

const USAGE: &str = "\
usage: ./x bench [options]

Measures point selects, ranges, transactions, prepared statements, large rows, new connections and idle clients: directly at a
MariaDB server, through HAProxy, and through Weir with its tablets in the gateway and over gRPC. Takes half an hour with five
rounds on two processors. Nothing else should run on the machine.

  --rounds N             how often each has its turn [default: 5]
  --seconds N            how long a turn is [default: 5]
  --only NAME,...        only these workloads (see below)
  --targets NAME,...     only these of direct, haproxy, weir, local (weir, by unix socket), grpc; peers always run
  --replicas N           replicas behind the primary, for Weir's reads [default: 0]
  --weir OPTIONS         more options for `weir up`, with spaces between; may be given several times: each is measured by itself
  --peer NAME=HOST:PORT:PID
                         another proxy, started by you, that has the process id PID
  --hold COMMAND         prints where the servers are, runs this with sh, and ends: to start a peer, or to look with perf
  --write                writes the table and the plots into docs/src/performance
";

struct Options {
    rounds: usize,
    turn: Duration,
    only: Option<Vec<String>>,
    targets: Vec<String>,
    replicas: u16,
    weir: Vec<String>,
    peers: Vec<Peer>,
    hold: Option<String>,
    write: bool,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut options = Self {
            rounds: 5,
            turn: Duration::from_secs(5),
            only: None,
            targets: list("direct,haproxy,weir,grpc".into()),
            replicas: 0,
            weir: Vec::new(),
            peers: Vec::new(),
            hold: None,
            write: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let number = |text: String| {
                let number = text.parse::<u16>().ok().filter(|number| *number < 10_000);
                number.ok_or_else(|| format!("'{text}' is not a number below 10000"))
            };
            match word.as_str() {
                "--rounds" => options.rounds = usize::from(number(value()?)?.max(1)),
                "--seconds" => options.turn = Duration::from_secs(u64::from(number(value()?)?.max(1))),
                "--only" => options.only = Some(list(value()?)),
                "--targets" => options.targets = list(value()?),
                "--replicas" => options.replicas = number(value()?)?,
                "--weir" => options.weir.push(value()?),
                "--peer" => options.peers.push(value()?.parse()?),
                "--hold" => options.hold = Some(value()?),
                "--write" => options.write = true,
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("'{word}' is no option: see ./x bench --help")),
            }
        }
        if let Some(target) = options.targets.iter().find(|name| !target::NAMES.contains(&name.as_str())) {
            return Err(format!("'{target}' is none of {}", target::NAMES.join(", ")));
        }
        let names = || workload_names().collect::<Vec<_>>();
        if let Some(name) = options.only.iter().flatten().find(|name| !names().contains(&name.as_str())) {
            return Err(format!("'{name}' is none of {}", names().join(", ")));
        }
        Ok(Some(options))
    }

    fn wants(&self, workload: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == workload))
    }
}

fn workload_names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain([idle::NAME])
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it is run for")]
fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}\nworkloads: {}", workload_names().collect::<Vec<_>>().join(", "));
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("weir-bench: {why}");
            return ExitCode::from(2);
        }
    };
    let settings = ["max-connections=2000", "table-open-cache=4000", "innodb-buffer-pool-size=256M"];
    let cluster = TestCluster::with_settings(1 + options.replicas, &settings);
    sysbench::prepare(cluster.primary().address());
    cluster.wait_for_replicas();
    if let Some(command) = &options.hold {
        let account = application();
        eprintln!("weir-bench: servers at {}, as {} with {}", cluster.addresses(), account.user, account.password);
        return hold(command, &cluster);
    }
    let targets = Target::start(&options.targets, &options.weir, &options.peers, &cluster);
    let report = measure(&options, &targets);
    println!("{}", report.to_markdown());
    if options.write {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/src/performance");
        report.write(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    }
    ExitCode::SUCCESS
}

fn hold(command: &str, cluster: &TestCluster) -> ExitCode {
    let account = application();
    let address = cluster.primary().address();
    let run = std::process::Command::new("sh")
        .args(["-c", command])
        .env("WEIR_BENCH_SERVER", address.to_string())
        .env("WEIR_BENCH_SERVERS", cluster.addresses())
        .env("WEIR_BENCH_USER", account.user)
        .env("WEIR_BENCH_PASSWORD", account.password)
        .status();
    if run.expect("sh").success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stderr, reason = "progress")]
fn measure(options: &Options, targets: &[Target]) -> Report {
    let mut report = Report::new(targets.iter().map(|target| target.name.clone()).collect());
    for workload in WORKLOADS.iter().filter(|workload| options.wants(workload.name)) {
        for round in 1..=options.rounds {
            for (number, target) in targets.iter().enumerate() {
                let measured = workload.run(target, options.turn);
                eprintln!("{} {round}/{}: {} {measured}", workload.name, options.rounds, target.name);
                report.add(workload.name, number, measured);
            }
        }
    }
    if options.wants(idle::NAME) {
        let shared = targets.iter().enumerate().filter(|(_, target)| target.shares_connections);
        for (number, target) in shared {
            let cost = idle::measure(target, options.rounds, options.turn);
            eprintln!("{}: {} {cost}", idle::NAME, target.name);
            report.add_idle(number, cost);
        }
    }
    report
}
