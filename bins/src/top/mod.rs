//! `weir top`: a running Weir in the terminal, as it changes.
//!
//! `collect` asks, `view` draws what was said and knows nothing else; here is the loop between keys and the terminal.

mod collect;
mod view;

use crate::args::{StopSignals, say_error};
use crate::ctl::TargetArgs;
use crate::snapshot::Snapshot;
use clap::Args as ClapArgs;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// A key is noticed within this time, and so is what was collected.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments of `weir top`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Keys: q, Esc or Ctrl-C ends it.

Examples:
  weir top --data-dir .weir
  weir top --etcd http://10.0.0.1:2379 --shard shop/0")]
pub struct Args {
    /// How often it is asked, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval_ms: u64,

    #[command(flatten)]
    target: TargetArgs,
}

/// Shows it until a key or a signal ends it. Exit codes: 0 ended so, 1 could not be shown, 2 wrong usage.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match show(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say_error(&why);
            ExitCode::FAILURE
        }
    }
}

fn show(args: &Args) -> Result<(), String> {
    if !std::io::stdout().is_terminal() {
        return Err("weir top needs a terminal; `weir ctl tablets` prints the same once".to_owned());
    }
    let broken = |why: std::io::Error| format!("the terminal: {why}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|why| format!("cannot start threads: {why}"))?;
    // What cannot be found is said in the terminal as it was.
    let cluster = runtime.block_on(args.target.find())?;
    let (told, snapshots) = watch::channel(Snapshot::default());
    let mut signals = runtime.block_on(async { StopSignals::install() })?;
    let (stop, stopped) = watch::channel(false);
    runtime.spawn(async move {
        signals.wait().await;
        let _ = stop.send(true);
    });
    runtime.spawn(collect::run(cluster, Duration::from_millis(args.interval_ms), told));
    // The terminal is restored when this panics, too.
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let shown = watch_keys(&mut terminal, snapshots, &stopped);
    ratatui::restore();
    runtime.shutdown_background();
    shown.map_err(broken)
}

fn watch_keys(
    terminal: &mut ratatui::DefaultTerminal,
    mut snapshots: watch::Receiver<Snapshot>,
    stopped: &watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut is_new = true;
    while !*stopped.borrow() {
        if is_new {
            let snapshot = snapshots.borrow_and_update().clone();
            terminal.draw(|frame| view::draw(frame, &snapshot))?;
        }
        is_new = false;
        if event::poll(LOOK_EVERY)? {
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                    _ => {}
                },
                Event::Resize(..) => is_new = true,
                _ => {}
            }
        }
        is_new |= snapshots.has_changed().unwrap_or(false);
    }
    Ok(())
}
