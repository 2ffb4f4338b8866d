//! `weir-sim shrink`: the smallest scenario that fails as a given run does.

use super::{CRASH, Repeat, USAGE, attempt, clear_line, code, is_watched, load, options, report};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use weir_sim::run::{Check, Options, Outcome, written_out};
use weir_sim::scenario::Scenario;
use weir_sim::shrink::{Size, Verdict, shrink};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A name from `list`, or a file.
    scenario: String,
    /// The seed that fails; when not said, the scenario's own, or 0.
    #[arg(long)]
    seed: Option<u64>,
    /// Break a rule on purpose (only in a build with the feature `mutants`).
    #[arg(long)]
    mutant: Option<String>,
    /// Where to write the scenario; standard output when not said.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Stop after so many runs.
    #[arg(long, default_value_t = 1000)]
    tries: u32,
    /// Stop after so many seconds.
    #[arg(long, default_value_t = 300)]
    time_limit: u64,
}

/// What a run fails of: candidates must fail of the same.
#[derive(Clone, PartialEq)]
enum Failing {
    /// A check, and which of its promises.
    Of(Check, &'static str),
    Crash,
}

impl Failing {
    fn first(outcome: &Result<Outcome, String>) -> Option<Self> {
        match outcome {
            Err(_) => Some(Self::Crash),
            Ok(outcome) => outcome.failures.first().map(|failure| Self::Of(failure.check, failure.violation.promise)),
        }
    }

    fn is_in(&self, outcome: &Result<Outcome, String>) -> bool {
        match (self, outcome) {
            (Self::Crash, outcome) => outcome.is_err(),
            (Self::Of(check, promise), Ok(outcome)) => {
                outcome.failures.iter().any(|failure| failure.check == *check && failure.violation.promise == *promise)
            }
            (Self::Of(..), Err(_)) => false,
        }
    }
}

pub(super) fn main(args: &Args) -> Result<u8, String> {
    let named = load(&args.scenario)?;
    let options = options(args.mutant.as_deref())?;
    let seed = named.seed(args.seed);
    let original = written_out(&named.scenario, seed);
    let Some(failing) = Failing::first(&attempt(&original, seed, options)) else {
        report::error(&format!("{} holds with seed {seed}: there is nothing to shrink", named.name));
        return Ok(USAGE);
    };
    let original = Scenario { must: musts(&failing, &original), ..original };
    let smallest = Search::new(args, failing, seed, options).run(&original);
    let smallest = Scenario { about: about(&named.name, seed, args.mutant.as_deref()), ..smallest };
    let text = smallest.to_toml()?;
    let Some(path) = &args.output else {
        report::say(text.trim_end());
        return Ok(0);
    };
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    report::say(&format!("from {}\n  to {}", size(&original), size(&smallest)));
    let written = load(&path.display().to_string())?;
    let repeat = Repeat { named: &written, seed: written.seed(None), mutant: args.mutant.as_deref() };
    let outcome = repeat.attempt(options);
    report::outcome(&repeat, options, &outcome, Duration::ZERO);
    // What was written was seen to fail before; that it does not now would be a fault of the simulator.
    Ok(if code(&outcome) == 0 { CRASH } else { 0 })
}

/// Only what failed has to be checked again.
fn musts(failing: &Failing, scenario: &Scenario) -> Vec<Check> {
    match failing {
        Failing::Of(check, _) => vec![*check],
        Failing::Crash => scenario.must.clone(),
    }
}

fn about(name: &str, seed: u64, mutant: Option<&str>) -> String {
    let broken = mutant.map_or_else(String::new, |mutant| format!(", with the rule {mutant} broken"));
    format!(
        "What is left of {name} with seed {seed}{broken}, when all is taken away that is not needed to make it fail."
    )
}

fn size(scenario: &Scenario) -> String {
    let Size { faults, clients, operations, duration } = Size::of(scenario);
    let operations = operations.map_or_else(|| "any number of".to_owned(), |operations| operations.to_string());
    format!("{faults} faults, {clients} clients, {operations} operations in {duration:?}")
}

struct Search {
    failing: Failing,
    seed: u64,
    options: Options,
    tries: u32,
    tries_max: u32,
    begun: Instant,
    deadline: Instant,
}

impl Search {
    fn new(args: &Args, failing: Failing, seed: u64, options: Options) -> Self {
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(args.time_limit);
        Self { failing, seed, options, tries: 0, tries_max: args.tries, begun, deadline }
    }

    fn run(mut self, original: &Scenario) -> Scenario {
        let smallest = shrink(original, &mut |candidate| self.judge(candidate));
        clear_line();
        smallest
    }

    fn judge(&mut self, candidate: &Scenario) -> Verdict {
        if self.tries >= self.tries_max || Instant::now() >= self.deadline {
            return Verdict::Stop;
        }
        self.tries += 1;
        let fails = self.failing.is_in(&attempt(candidate, self.seed, self.options));
        self.tell(candidate, fails);
        if fails { Verdict::Fails } else { Verdict::Passes }
    }

    /// One line that is written over and over where somebody watches; else only what was gained.
    fn tell(&self, candidate: &Scenario, fails: bool) {
        let line = format!("run {}, {:.0} s: {}", self.tries, self.begun.elapsed().as_secs_f64(), size(candidate));
        let mut stderr = std::io::stderr();
        if is_watched() {
            let _ = write!(stderr, "\r\x1b[2K{line}{}", if fails { ": fails" } else { "" });
        } else if fails {
            let _ = writeln!(stderr, "{line}");
        }
    }
}
