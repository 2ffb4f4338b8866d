//! `weir ctl`: asks a running `weir up` to do something.

use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use weir_core::topo::TabletAlias;
use weir_io::control;

/// Arguments of `weir ctl`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tablet primary, in order: nothing is lost, and clients see a pause.
    Reparent {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(long, value_name = "TABLET")]
        to: TabletAlias,

        /// The data directory of the running Weir.
        #[arg(long, default_value = ".weir", value_name = "DIR", env = "WEIR_DATA_DIR")]
        data_dir: PathBuf,
    },
}

/// Asks, and says what came of it. Exit codes: 0 done, 1 not done, 2 wrong usage.
#[must_use]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what the user runs the command to read")]
pub fn run(args: &Args) -> ExitCode {
    let Command::Reparent { to, data_dir } = &args.command;
    match control::reparent(data_dir, to) {
        Ok(term) => {
            println!("weir: {to} is primary in term {term}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("weir: {why}");
            ExitCode::FAILURE
        }
    }
}
