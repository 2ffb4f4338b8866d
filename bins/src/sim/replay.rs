//! `weir-sim replay`: tells machines again what those of their kind have recorded, and compares what is decided.

use super::{USAGE, VIOLATION, report};
use crate::recording::story::Moment;
use crate::recording::{Told, calendar, tell};
use std::path::PathBuf;
use weir_core::recording::{Difference, Start};
use weir_core::time::Instant;
use weir_io::recorder::{Lines, Shelf};

/// Differences shown of one recording: those after the first often follow from it.
const DIFFERENCES_SHOWN: usize = 3;
/// Characters shown of each side.
const SIDE_SHOWN: usize = 2000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A directory with recordings, as `--record-dir` names it or `recordings` in the data directory of `weir up`, or one file of it.
    recording: PathBuf,
    /// Say only whether the same is decided.
    #[arg(long)]
    quiet: bool,
}

pub(super) fn main(args: &Args) -> Result<u8, String> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", args.recording.display());
    let shelf = Shelf::open(&args.recording).map_err(unreadable)?;
    let mut worst = 0;
    for (name, lines) in shelf.recordings() {
        let tally = replay(lines, args.quiet).map_err(|error| format!("{name}: {error}"))?;
        report::say(&format!("{name}: {}", tally.words()));
        worst = match (worst, tally.code()) {
            (VIOLATION, _) | (_, VIOLATION) => VIOLATION,
            (before, now) => before.max(now),
        };
    }
    Ok(worst)
}

/// What was found.
#[derive(Debug, Default)]
struct Tally {
    inputs: usize,
    decisions: usize,
    gaps: usize,
    missed: u64,
    differences: usize,
    unreadable: usize,
}

impl Tally {
    fn code(&self) -> u8 {
        match (self.differences, self.unreadable, self.inputs) {
            (1.., _, _) => VIOLATION,
            // Nothing was compared.
            (_, 1.., _) | (_, _, 0) => USAGE,
            _ => 0,
        }
    }

    fn words(&self) -> String {
        let Self { inputs, decisions, gaps, missed, differences, unreadable } = self;
        let verdict = match self.code() {
            VIOLATION => format!("{differences} times something else is decided now"),
            USAGE => "not all could be compared".to_owned(),
            _ => "the same is decided".to_owned(),
        };
        format!(
            "{verdict}; {inputs} inputs, {decisions} decisions, {gaps} gaps of {missed} inputs, {unreadable} unreadable"
        )
    }
}

fn replay(lines: Lines, quiet: bool) -> std::io::Result<Tally> {
    let mut tally = Tally::default();
    let mut page = Page { quiet, ..Page::default() };
    for told in tell(lines) {
        match told? {
            Told::Start(start, missed, moments, differs) => {
                tally.gaps += usize::from(missed > 0);
                tally.missed += missed;
                page.start(&start, missed);
                page.moments(&moments);
                tally.differences += usize::from(page.differs(start.at, differs.as_deref()));
            }
            Told::Step(at, moments, decisions, differs) => {
                tally.inputs += 1;
                tally.decisions += decisions;
                page.moments(&moments);
                tally.differences += usize::from(page.differs(at, differs.as_deref()));
            }
            Told::Unreadable(why) => {
                tally.unreadable += 1;
                report::say(&format!("cannot be told again from here on: {why}"));
            }
        }
    }
    Ok(tally)
}

/// What is printed of one recording.
#[derive(Debug, Default)]
struct Page {
    quiet: bool,
    run: Option<u64>,
    /// When this life of the machine, or what is left of it, began.
    began: Instant,
    origin_ns: u64,
    shown: usize,
}

impl Page {
    fn start(&mut self, start: &Start, missed: u64) {
        let source = &start.source;
        self.origin_ns = start.origin_ns;
        if self.run.replace(source.run) != Some(source.run) {
            self.began = start.at;
            self.say(&format!("{} {} of {}, recorded by Weir {}", start.kind, source.name, source.of, source.program));
            let own = env!("CARGO_PKG_VERSION");
            if source.program != own {
                self.say(&format!("this is Weir {own}: what it decides may differ"));
            }
            if start.number > 0 {
                self.say(&format!("what it was told before, {} inputs, is not kept", start.number));
            }
        }
        if missed > 0 {
            self.line(start.at, "gap", &format!("{missed} inputs were not recorded"));
        }
    }

    fn moments(&self, moments: &[Moment]) {
        for moment in moments {
            self.line(moment.at, moment.kind.name(), &moment.text);
        }
    }

    fn line(&self, at: Instant, kind: &str, text: &str) {
        let since = at.since(self.began).as_secs_f64();
        self.say(&format!("{}  {since:+12.6} s  {kind:7}  {text}", calendar(self.origin_ns, at)));
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            report::say(text);
        }
    }

    fn differs(&mut self, at: Instant, difference: Option<&Difference>) -> bool {
        let Some(Difference { recorded, now }) = difference else { return false };
        self.shown += 1;
        if self.shown <= DIFFERENCES_SHOWN {
            let short = |side: &dyn ToString| side.to_string().chars().take(SIDE_SHOWN).collect::<String>();
            let when = calendar(self.origin_ns, at);
            report::say(&format!("{when}  DIFFERS\n  recorded: {}\n  now:      {}", short(recorded), short(now)));
        }
        true
    }
}
