//! `weir-sim explore`: many seeds, on several threads, with an eye on the clock.

use super::{Named, Repeat, clear_line, code, is_watched, load, options, report};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use weir_sim::run::{Levels, Outcome};
use weir_sim::scenario::library;

/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often progress is told where nobody watches a bar.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The bar's length.
const BAR_CHARS: u64 = 24;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names from `list`, or files; all that come with Weir when none is named.
    scenarios: Vec<String>,
    /// First seed and the one after the last: `0..1000`.
    #[arg(long, default_value = "0..100", value_parser = seeds)]
    seeds: (u64, u64),
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stop after so many seconds.
    #[arg(long)]
    time_limit: Option<u64>,
    /// Go on after the first failure.
    #[arg(long)]
    keep_going: bool,
    /// Break a rule on purpose (only in a build with the feature `mutants`).
    #[arg(long)]
    mutant: Option<String>,
}

pub(super) fn seeds(text: &str) -> Result<(u64, u64), String> {
    let (first, end) = text.split_once("..").ok_or("seeds are a range: 0..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (first, end) = (number(first)?, number(end)?);
    if first < end { Ok((first, end)) } else { Err("the range of seeds is empty".into()) }
}

/// Those that are named, or all that come with Weir.
pub(super) fn scenarios(named: &[String]) -> Result<Vec<Named>, String> {
    let all = || library::ALL.iter().map(|(name, _)| load(name)).collect();
    if named.is_empty() { all() } else { named.iter().map(|name| load(name)).collect() }
}

/// What all threads share.
struct Progress {
    next: AtomicU64,
    stop: AtomicBool,
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    runs: u64,
    operations: u64,
    levels: Levels,
    virtual_time: Duration,
    events: u64,
    failed: BTreeMap<u8, u64>,
}

pub(super) fn main(args: &Args) -> Result<u8, String> {
    let scenarios = scenarios(&args.scenarios)?;
    let options = options(args.mutant.as_deref())?;
    let total = (args.seeds.1 - args.seeds.0) * scenarios.len() as u64;
    let progress = Progress { next: AtomicU64::new(0), stop: AtomicBool::new(false), totals: Mutex::default() };
    let begun = Instant::now();
    let deadline = args.time_limit.map(|seconds| begun + Duration::from_secs(seconds));
    let mut told = begun;
    std::thread::scope(|scope| {
        let work = || loop {
            let index = progress.next.fetch_add(1, Ordering::Relaxed);
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if index >= total || late || progress.stop.load(Ordering::Relaxed) {
                return;
            }
            let named = &scenarios[(index % scenarios.len() as u64) as usize];
            let seed = args.seeds.0 + index / scenarios.len() as u64;
            let repeat = Repeat { named, seed, mutant: args.mutant.as_deref() };
            let run_begun = Instant::now();
            let outcome = repeat.attempt(options);
            let code = progress.count(&outcome);
            if code != 0 {
                clear_line();
                report::outcome(&repeat, options, &outcome, run_begun.elapsed());
                progress.stop.fetch_or(!args.keep_going, Ordering::Relaxed);
            }
        };
        let workers: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::park_timeout(DRAW_EVERY / 4);
            progress.tell(total, begun, &mut told);
        }
    });
    clear_line();
    Ok(progress.conclude(total, begun))
}

impl Progress {
    fn totals(&self) -> std::sync::MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, outcome: &Result<Outcome, String>) -> u8 {
        let code = code(outcome);
        let mut totals = self.totals();
        totals.runs += 1;
        if let Ok(outcome) = outcome {
            totals.operations += outcome.operations;
            totals.levels.add(&outcome.levels);
            totals.virtual_time += outcome.virtual_time;
            totals.events += outcome.events;
        }
        if code != 0 {
            *totals.failed.entry(code).or_default() += 1;
        }
        code
    }

    /// A bar that is drawn over and over where somebody watches; else a line now and then.
    fn tell(&self, total: u64, begun: Instant, told: &mut Instant) {
        if told.elapsed() < if is_watched() { DRAW_EVERY } else { TELL_EVERY } {
            return;
        }
        *told = Instant::now();
        let totals = self.totals();
        let seconds = begun.elapsed().as_secs_f64();
        let rate = totals.runs as f64 / seconds.max(0.001);
        let left = (total.saturating_sub(totals.runs)) as f64 / rate.max(0.001);
        let failed: u64 = totals.failed.values().sum();
        let said = format!(
            "{}/{total} runs, {rate:.1} seeds/s, {} virtual, {failed} failed, {} to go",
            totals.runs,
            hours(totals.virtual_time),
            clock(left)
        );
        let _ = if is_watched() {
            write!(std::io::stderr(), "\r\x1b[2K{} {said}", bar(totals.runs, total))
        } else {
            writeln!(std::io::stderr(), "{said}")
        };
    }

    fn conclude(&self, total: u64, begun: Instant) -> u8 {
        let totals = self.totals();
        let seconds = begun.elapsed().as_secs_f64();
        let failed: u64 = totals.failed.values().sum();
        report::say(&format!(
            "{} of {total} runs in {seconds:.1} s: {} of virtual time, {} operations ({:.0}/s), {} events, {failed} failed",
            totals.runs,
            hours(totals.virtual_time),
            totals.operations,
            totals.operations as f64 / seconds,
            totals.events
        ));
        if !totals.levels.tallies.is_empty() {
            report::say(&totals.levels.to_string());
        }
        totals.failed.keys().copied().min().unwrap_or(0)
    }
}

fn hours(time: Duration) -> String {
    format!("{:.1} h", time.as_secs_f64() / 3600.0)
}

/// Minutes and seconds.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn bar(done: u64, total: u64) -> String {
    let full = (done * BAR_CHARS / total.max(1)).min(BAR_CHARS);
    let part = |what: &str, count| what.repeat(count as usize);
    format!("[{}{}]", part("#", full), part(".", BAR_CHARS - full))
}
