//! `weir-sim`: runs, explores and explains scenarios.
//!
//! Whole seeds run on threads of their own; within a run there is one thread and no real time.

mod explore;
mod report;

use clap::{Parser, Subcommand};
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
        /// Decides everything that is left to chance.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Run it twice, and compare.
        #[arg(long)]
        check_determinism: bool,
        /// Break a rule on purpose (only in a build with the feature `mutants`).
        #[arg(long)]
        mutant: Option<String>,
    },
    /// Run scenarios with many seeds.
    Explore(explore::Args),
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
    let done = match &args.command {
        Command::Run { scenario, seed, check_determinism: true, mutant } => {
            load(scenario).and_then(|s| Ok(compare(&s, *seed, options(mutant.as_deref())?)))
        }
        Command::Run { scenario, seed, mutant, .. } => {
            load(scenario).and_then(|s| Ok(run_once(&s, *seed, options(mutant.as_deref())?)))
        }
        Command::Explore(args) => explore::main(args),
        Command::List => {
            report::list();
            Ok(0)
        }
        Command::Explain { scenario } => load(scenario).map(|scenario| {
            report::explain(&scenario.1);
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
type Named = (String, Scenario);

/// From the library, or from a file.
fn load(name: &str) -> Result<Named, String> {
    let scenario = match library::find(name) {
        Some(scenario) => scenario,
        None => {
            let text = std::fs::read_to_string(name).map_err(|error| format!("no scenario {name:?}: {error}"))?;
            Scenario::parse(&text)
        }
    };
    Ok((name.to_owned(), scenario.map_err(|error| format!("{name}: {error}"))?))
}

fn options(mutant: Option<&str>) -> Result<Options, String> {
    let Some(name) = mutant else { return Ok(Options::default()) };
    Ok(Options { mutants: broken(name)?, ..Options::default() })
}

#[cfg(feature = "mutants")]
fn broken(name: &str) -> Result<Mutants, String> {
    name.parse().map(Mutants::only)
}

#[cfg(not(feature = "mutants"))]
fn broken(_: &str) -> Result<Mutants, String> {
    Err("this build cannot break rules: build it with --features mutants".into())
}

/// A run's outcome, or the panic that ended it.
fn attempt(scenario: &Scenario, seed: u64, options: Options) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| run(scenario, seed, options))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panic".into())
    })
}

/// What a run is worth as an exit code.
fn code(outcome: &Result<Outcome, String>) -> u8 {
    let Ok(outcome) = outcome else { return CRASH };
    let lively = |check: Check| matches!(check, Check::Progress | Check::Leaks);
    match outcome.failures.iter().map(|failure| lively(failure.check)).min() {
        None => 0,
        Some(false) => VIOLATION,
        Some(true) => LIVENESS,
    }
}

fn run_once((name, scenario): &Named, seed: u64, options: Options) -> u8 {
    let begun = std::time::Instant::now();
    let outcome = attempt(scenario, seed, options);
    report::outcome(name, seed, &outcome, begun.elapsed());
    code(&outcome)
}

fn compare((name, scenario): &Named, seed: u64, options: Options) -> u8 {
    let options = Options { records_max: RECORDS_MAX, ..options };
    let outcomes = (attempt(scenario, seed, options), attempt(scenario, seed, options));
    let (Ok(first), Ok(second)) = outcomes else {
        report::error("a run ended in a panic");
        return CRASH;
    };
    report::compared(name, seed, &first.trace, &second.trace, divergence(&first.trace, &second.trace));
    if first.trace.hash() == second.trace.hash() { 0 } else { VIOLATION }
}
