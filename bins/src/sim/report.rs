//! What `weir-sim` prints.

use super::{Repeat, is_lively};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;
use weir_sim::run::{Options, Outcome};
use weir_sim::scenario::{Scenario, library};
use weir_sim::view::story;
use weir_sim::world::trace::Trace;

/// Broken promises shown of one run.
const FAILURES_SHOWN: usize = 5;
/// Faults shown of one run.
const FAULTS_SHOWN: usize = 12;

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
    if let Some(drawn) = &scenario.drawn {
        say(&format!("  up to {} wishes for another primary", drawn.reparents_max));
        let (servers, cells, acks) = (&drawn.servers, &drawn.cells, &drawn.acks);
        say(&format!("drawn from the seed: servers of {servers:?}, cells of {cells:?}, acknowledgements of {acks:?}"));
    }
    say("what must be true:");
    for check in &scenario.must {
        say(&format!("  {:18} {}", check.name(), check.promise()));
    }
}

/// How a run went: in a line, or as a story that ends with the line that repeats it.
pub(super) fn outcome(repeat: &Repeat<'_>, options: Options, outcome: &Result<Outcome, String>, took: Duration) {
    let (name, seed) = (&repeat.named.name, repeat.seed);
    let mut text = String::new();
    match outcome {
        Ok(outcome) if outcome.failures.is_empty() => {
            say(&format!(
                "ok: {name}, seed {seed}: {} operations and {} faults in {:.0?} of virtual time ({took:.2?} of real time), trace {:016x}",
                outcome.operations,
                outcome.faults.len(),
                outcome.virtual_time,
                outcome.trace.hash()
            ));
            if !outcome.levels.tallies.is_empty() {
                say(&outcome.levels.to_string());
            }
            return;
        }
        Err(panic) => _ = writeln!(text, "CRASH in {name}, seed {seed}: {panic}"),
        Ok(outcome) => failed(&mut text, repeat, options, outcome),
    }
    let mutant = repeat.mutant.map_or_else(String::new, |mutant| format!(" --mutant {mutant}"));
    let _ = write!(text, "reproduce: weir-sim run {name} --seed {seed}{mutant}");
    say(text.trim_end());
}

fn failed(text: &mut String, repeat: &Repeat<'_>, options: Options, outcome: &Outcome) {
    let title = if is_lively(outcome) { "NO PROGRESS" } else { "VIOLATION" };
    let _ = writeln!(text, "{title} in {}, seed {}:", repeat.named.name, repeat.seed);
    // The same may have been seen many times over.
    let mut told: Vec<String> =
        outcome.failures.iter().map(|failure| format!("[{}] {}", failure.check, failure.violation)).collect();
    told.dedup();
    told.iter().take(FAILURES_SHOWN).for_each(|failure| _ = writeln!(text, "  {failure}"));
    if told.len() > FAILURES_SHOWN {
        let _ = writeln!(text, "  ... and {} more", told.len() - FAILURES_SHOWN);
    }
    let recorded = repeat.recorded(options);
    let told = recorded.as_ref().and_then(|outcome| Some(story::of(outcome, &outcome.failures.first()?.violation)));
    let story = told.unwrap_or_default();
    if !story.messages.is_empty() {
        let _ = writeln!(text, "how the first came about:");
        story.messages.iter().for_each(|message| _ = writeln!(text, "  {message}"));
    }
    let _ = writeln!(text, "what was wrong in the cluster meanwhile, or shortly before:");
    for fault in story.faults.iter().take(FAULTS_SHOWN) {
        let _ = writeln!(text, "  {fault}");
    }
    let others = story.faults.len().saturating_sub(FAULTS_SHOWN) + story.other_faults;
    match (story.faults.len(), others) {
        (0, 0) => _ = writeln!(text, "  nothing"),
        (_, 0) => {}
        (_, others) => _ = writeln!(text, "  ({others} more faults in the whole run)"),
    }
}

/// Marks with how often they were hit, and in how many of the runs.
#[cfg(feature = "marks")]
pub(super) fn coverage(marks: &[(weir_core::marks::Mark, u64, u64)], runs: u64) {
    let (reached, never): (Vec<_>, Vec<_>) = marks.iter().partition(|(_, hits, _)| *hits > 0);
    say(&format!("{} of {} marks reached in {runs} runs:", reached.len(), marks.len()));
    for (mark, hits, seeds) in reached {
        say(&format!("  {:26} {hits:>9} times in {seeds:>4} runs  {}", mark.name(), mark.meaning().trim()));
    }
    if !never.is_empty() {
        say("never reached:");
    }
    for (mark, ..) in never {
        say(&format!("  {:26} {}", mark.name(), mark.meaning().trim()));
    }
}

pub(super) fn compared(repeat: &Repeat<'_>, first: &Trace, second: &Trace, differ_at: Option<usize>) {
    let (name, seed) = (&repeat.named.name, repeat.seed);
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
