//! What `weir-sim` prints.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;
use weir_sim::run::Outcome;
use weir_sim::scenario::{Scenario, library};
use weir_sim::world::trace::Trace;

/// Broken promises shown of one run.
const FAILURES_SHOWN: usize = 5;

/// To standard output; a reader who left is no reason to fail.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// To standard error.
pub(super) fn error(message: &str) {
    let _ = writeln!(io::stderr().lock(), "weir-sim: {message}");
}

pub(super) fn list() {
    for (name, text) in library::ALL {
        let title = Scenario::parse(text).map_or_else(|error| error, |scenario| scenario.title);
        say(&format!("{name:20} {title}"));
    }
}

pub(super) fn explain(scenario: &Scenario) {
    say(&format!("{}\n\n{}\n", scenario.title, scenario.about.trim()));
    let cluster = &scenario.cluster;
    say(&format!("{} servers, {} gateways; clients:", cluster.servers, cluster.gateways));
    for clients in &scenario.clients {
        let churn = if clients.churn { ", a session for each operation" } else { "" };
        say(&format!("  {} x {:?}, every {:?}{churn}", clients.count, clients.workload, clients.pause.0));
    }
    say("what goes wrong:");
    for fault in &scenario.faults {
        let with = fault.with.as_ref().map_or_else(String::new, |with| format!(" with {with}"));
        say(&format!("  after {:?} for {:?}: {:?} on {}{with}", fault.at.0, fault.lasts.0, fault.kind, fault.on));
    }
    if let Some(swarm) = &scenario.swarm {
        say(&format!("  up to {} faults drawn from the seed", swarm.faults_max));
    }
    say("what must be true:");
    for check in &scenario.must {
        say(&format!("  {:18} {}", check.name(), check.promise()));
    }
}

/// The story of a run, and the line that repeats it.
pub(super) fn outcome(name: &str, seed: u64, outcome: &Result<Outcome, String>, took: Duration) {
    let mut text = String::new();
    match outcome {
        Err(panic) => _ = writeln!(text, "CRASH in {name}, seed {seed}: {panic}"),
        Ok(outcome) if outcome.failures.is_empty() => {
            let _ = writeln!(
                text,
                "ok: {name}, seed {seed}: {} operations and {} faults in {:.0?} of virtual time ({took:.2?} of real time), trace {:016x}",
                outcome.operations,
                outcome.faults.len(),
                outcome.virtual_time,
                outcome.trace.hash()
            );
        }
        Ok(outcome) => failed(&mut text, name, seed, outcome),
    }
    if !matches!(outcome, Ok(outcome) if outcome.failures.is_empty()) {
        let _ = write!(text, "reproduce: weir-sim run {name} --seed {seed}");
    }
    say(text.trim_end());
}

fn failed(text: &mut String, name: &str, seed: u64, outcome: &Outcome) {
    let _ = writeln!(text, "VIOLATION in {name}, seed {seed}:");
    for failure in outcome.failures.iter().take(FAILURES_SHOWN) {
        let _ = writeln!(text, "  [{}] {}", failure.check, failure.violation);
    }
    if outcome.failures.len() > FAILURES_SHOWN {
        let _ = writeln!(text, "  ... and {} more", outcome.failures.len() - FAILURES_SHOWN);
    }
    let _ = writeln!(text, "what had gone wrong before and meanwhile:");
    for fault in &outcome.faults {
        let _ = writeln!(text, "  {fault}");
    }
    if outcome.faults.is_empty() {
        let _ = writeln!(text, "  nothing");
    }
}

pub(super) fn compared(name: &str, seed: u64, first: &Trace, second: &Trace, differ_at: Option<usize>) {
    if first.hash() == second.hash() {
        return say(&format!(
            "same: {name}, seed {seed}: {} events, trace {:016x}",
            first.records().len(),
            first.hash()
        ));
    }
    let record = |trace: &Trace| differ_at.and_then(|at| trace.records().get(at)).map(|record| format!("{record:?}"));
    say(&format!(
        "DIFFERENT: {name}, seed {seed}: first at event {}:\n  {}\n  {}",
        differ_at.map_or_else(|| "past the records kept".to_owned(), |at| at.to_string()),
        record(first).unwrap_or_else(|| "nothing".to_owned()),
        record(second).unwrap_or_else(|| "nothing".to_owned())
    ));
}
