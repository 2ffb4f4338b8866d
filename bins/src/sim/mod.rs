//! `weir-sim`: runs, explores and explains scenarios.
//!
//! Whole seeds run on threads of their own; within a run there is one thread and no real time.

mod bench;
mod coverage;
mod explore;
mod replay;
mod report;
mod shrink;
mod trace;

use clap::{Parser, Subcommand};
use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use weir_core::mutants::Mutants;
use weir_sim::run::{Check, Options, Outcome, run};
use weir_sim::scenario::{Scenario, library};
use weir_sim::world::trace::divergence;

/// Exit code: something was seen that must not be.
const VIOLATION: u8 = 1;
/// Exit code: the command line or a scenario file cannot be read.
const USAGE: u8 = 2;
/// Exit code: somebody did not get on, or something was not given back.
const LIVENESS: u8 = 3;
/// Exit code: the code under test panicked.
const CRASH: u8 = 4;
/// Trace records kept to find a difference between two runs.
const RECORDS_MAX: usize = 20_000_000;

/// Rehearses failures: the code of gateways and tablets against model servers, in virtual time, from a seed.
#[derive(Debug, Parser)]
#[command(name = "weir-sim", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 all is well, 1 violation, 2 usage, 3 no progress or a leak, 4 crash.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario once.
    Run {
        /// A name from `list`, or a file.
        scenario: String,
        /// Decides everything that is left to chance; when not said, the scenario's own, or 0.
        #[arg(long)]
        seed: Option<u64>,
        /// Run it twice, and compare.
        #[arg(long)]
        check_determinism: bool,
        /// Break a rule on purpose (only in a build with the feature `mutants`).
        #[arg(long)]
        mutant: Option<String>,
    },
    /// Reduce a run that fails to the fewest faults and operations that still do.
    Shrink(shrink::Args),
    /// Draw a run: a page with a lane per process, or a trace for Perfetto.
    Trace(trace::Args),
    /// Run scenarios with many seeds.
    Explore(explore::Args),
    /// Measure the simulator's speed, on one core; fails when it is too slow. Only a release build can tell.
    Bench {
        /// `busy`, `usual` or `idle`; all when none is named.
        load: Option<String>,
    },
    /// Say which rules the runs reach, and which they never do (only in a build with the feature `marks`).
    Coverage(coverage::Coverage),
    /// Tell machines again what an orchestrator, a tablet or a gateway has recorded in production, and compare what is decided.
    Replay(replay::Args),
    /// List the scenarios that come with Weir.
    List,
    /// Say what a scenario rehearses and what must be true of it.
    Explain {
        /// A name from `list`, or a file.
        scenario: String,
    },
}

/// Runs the program.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    quiet_panics();
    let done = match &args.command {
        Command::Run { scenario, seed, check_determinism, mutant } => load(scenario).and_then(|named| {
            let options = options(mutant.as_deref())?;
            let repeat = Repeat { named: &named, seed: named.seed(*seed), mutant: mutant.as_deref() };
            Ok(if *check_determinism { compare(&repeat, options) } else { run_once(&repeat, options) })
        }),
        Command::Shrink(args) => shrink::main(args),
        Command::Trace(args) => trace::main(args),
        Command::Explore(args) => explore::main(args),
        Command::Bench { load } => bench::main(load.as_deref()).map(|enough| if enough { 0 } else { VIOLATION }),
        Command::Coverage(args) => coverage::main(args),
        Command::Replay(args) => replay::main(args),
        Command::List => {
            report::list();
            Ok(0)
        }
        Command::Explain { scenario } => load(scenario).map(|named| {
            report::explain(&named.scenario);
            0
        }),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            report::error(&message);
            ExitCode::from(USAGE)
        }
    }
}

/// A scenario with the name by which it can be run again.
struct Named {
    name: String,
    scenario: Scenario,
}

impl Named {
    /// The seed that was asked for, or the scenario's own.
    fn seed(&self, asked: Option<u64>) -> u64 {
        asked.or(self.scenario.seed).unwrap_or(0)
    }
}

/// One run of a scenario: all that is needed to repeat it.
struct Repeat<'a> {
    named: &'a Named,
    seed: u64,
    mutant: Option<&'a str>,
}

impl Repeat<'_> {
    fn attempt(&self, options: Options) -> Result<Outcome, String> {
        attempt(&self.named.scenario, self.seed, options)
    }

    /// What was told of the run, once more, with its messages kept. `None` for a crash.
    fn recorded(&self, options: Options) -> Option<Outcome> {
        self.attempt(Options { records_max: RECORDS_MAX, messages: true, ..options }).ok()
    }
}

/// From the library, or from a file.
fn load(name: &str) -> Result<Named, String> {
    let scenario = match library::find(name) {
        Some(scenario) => scenario,
        None => {
            let text = std::fs::read_to_string(name).map_err(|error| format!("no scenario {name:?}: {error}"))?;
            Scenario::parse(&text)
        }
    };
    Ok(Named { name: name.to_owned(), scenario: scenario.map_err(|error| format!("{name}: {error}"))? })
}

fn options(mutant: Option<&str>) -> Result<Options, String> {
    let Some(name) = mutant else { return Ok(Options::default()) };
    Ok(Options { mutants: Mutants::named(name)?, ..Options::default() })
}

thread_local! {
    /// Where and why this thread panicked last.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of runs are told as failures of those runs, in one line.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| PANIC.set(Some(panic.to_string().replace('\n', " ")))));
}

/// A run's outcome, or the panic that ended it.
fn attempt(scenario: &Scenario, seed: u64, options: Options) -> Result<Outcome, String> {
    let run = AssertUnwindSafe(|| run(scenario, seed, options));
    catch_unwind(run).map_err(|_| PANIC.take().unwrap_or_else(|| "it panicked".to_owned()))
}

/// Somebody looks at what is written to standard error.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Wipes the line of progress.
fn clear_line() {
    if is_watched() {
        let _ = write!(std::io::stderr(), "\r\x1b[2K");
    }
}

/// What a run is worth as an exit code.
fn code(outcome: &Result<Outcome, String>) -> u8 {
    match outcome {
        Err(_) => CRASH,
        Ok(outcome) if outcome.failures.is_empty() => 0,
        Ok(outcome) if is_lively(outcome) => LIVENESS,
        Ok(_) => VIOLATION,
    }
}

/// Nothing wrong was seen: somebody does not get on, or something is not given back.
fn is_lively(outcome: &Outcome) -> bool {
    outcome.failures.iter().all(|failure| matches!(failure.check, Check::Progress | Check::Leaks))
}

fn run_once(repeat: &Repeat<'_>, options: Options) -> u8 {
    let begun = std::time::Instant::now();
    let outcome = repeat.attempt(options);
    report::outcome(repeat, options, &outcome, begun.elapsed());
    code(&outcome)
}

fn compare(repeat: &Repeat<'_>, options: Options) -> u8 {
    let options = Options { records_max: RECORDS_MAX, ..options };
    let (first, second) = match (repeat.attempt(options), repeat.attempt(options)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(panic), _) | (_, Err(panic)) => {
            report::outcome(repeat, options, &Err(panic), std::time::Duration::ZERO);
            return CRASH;
        }
    };
    report::compared(repeat, &first.trace, &second.trace, divergence(&first.trace, &second.trace));
    if first.trace.hash() == second.trace.hash() { 0 } else { VIOLATION }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_code_under_test_has_a_code_of_its_own() {
        assert_eq!(code(&Err("it panicked".into())), CRASH);
    }
}
