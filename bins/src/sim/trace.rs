//! `weir-sim trace`: pictures of a run.

use super::{CRASH, Repeat, load, options, report};
use std::path::{Path, PathBuf};
use weir_core::time::Instant;
use weir_sim::view::picture::{ARROWS_MAX, Window, draw};
use weir_sim::view::{html, perfetto};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("format").required(true).multiple(true))]
pub(super) struct Args {
    /// A name from `list`, or a file.
    scenario: String,
    /// Decides everything that is left to chance; when not said, the scenario's own, or 0.
    #[arg(long)]
    seed: Option<u64>,
    /// Break a rule on purpose (only in a build with the feature `mutants`).
    #[arg(long)]
    mutant: Option<String>,
    /// Write a page that a browser shows, with everything in it.
    #[arg(long, group = "format", value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write Chrome's trace events, for Perfetto.
    #[arg(long, group = "format", value_name = "FILE")]
    perfetto: Option<PathBuf>,
    /// First second of virtual time; when not said, shortly before what went wrong, or the beginning.
    #[arg(long)]
    from: Option<f64>,
    /// Last second of virtual time; when not said, shortly after what went wrong, or the end.
    #[arg(long)]
    until: Option<f64>,
    /// Messages drawn, at most.
    #[arg(long, default_value_t = ARROWS_MAX)]
    messages: usize,
}

pub(super) fn main(args: &Args) -> Result<u8, String> {
    let named = load(&args.scenario)?;
    let options = options(args.mutant.as_deref())?;
    let repeat = Repeat { named: &named, seed: named.seed(args.seed), mutant: args.mutant.as_deref() };
    let Some(outcome) = repeat.recorded(options) else {
        report::error("the run ended in a panic: `weir-sim run` says more");
        return Ok(CRASH);
    };
    let seconds = |seconds: f64| Instant((seconds.max(0.0) * 1e9) as u64);
    let around = Window::around(&outcome);
    let window = Window {
        from: args.from.map_or(around.from, seconds),
        until: args.until.map_or(around.until, seconds),
        arrows_max: args.messages,
    };
    if window.from >= window.until {
        return Err("there is no time between --from and --until".into());
    }
    let mutant = args.mutant.as_ref().map_or_else(String::new, |mutant| format!(", {mutant} broken"));
    let picture = draw(format!("{}, seed {}{mutant}", named.name, repeat.seed), &outcome, window);
    if let Some(path) = &args.html {
        write(path, &html::render(&picture)?)?;
    }
    if let Some(path) = &args.perfetto {
        write(path, &perfetto::render(&picture))?;
    }
    report::say(&format!(
        "{} messages between {} processes from {:.3} s to {:.3} s, {} faults, {} violations; {} messages left out",
        picture.arrows.len(),
        picture.lanes.len(),
        picture.from / 1e6,
        picture.until / 1e6,
        picture.faults.len(),
        picture.violations.len(),
        picture.left_out
    ));
    Ok(0)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
