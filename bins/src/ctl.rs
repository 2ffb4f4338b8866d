//! `weir ctl`: asks a running `weir up` to do something.

use clap::{Args as ClapArgs, Subcommand};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
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

        #[command(flatten)]
        weir: Weir,
    },
    /// Replace the data of a tablet's server by a copy of another's. What it has is kept aside, in server-N.errant-TIME.
    Rebuild {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(value_name = "TABLET")]
        tablet: TabletAlias,

        /// Do not ask.
        #[arg(long)]
        yes: bool,

        #[command(flatten)]
        weir: Weir,
    },
    /// Take a tablet out of service, so that its server can be stopped: another becomes primary if need be, nothing new goes there, and what
    /// runs there may end. Says when that is done.
    Drain {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(value_name = "TABLET")]
        tablet: TabletAlias,

        #[command(flatten)]
        weir: Weir,
    },
    /// Put a tablet back into service. Its server is started if it was stopped.
    Undrain {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(value_name = "TABLET")]
        tablet: TabletAlias,

        #[command(flatten)]
        weir: Weir,
    },
}

#[derive(Debug, ClapArgs)]
struct Weir {
    /// The data directory of the running Weir.
    #[arg(long, default_value = ".weir", value_name = "DIR", env = "WEIR_DATA_DIR")]
    data_dir: PathBuf,
}

/// Asks, and says what came of it. Exit codes: 0 done, 1 not done, 2 wrong usage.
#[must_use]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what the user runs the command to read")]
pub fn run(args: &Args) -> ExitCode {
    let done = match &args.command {
        Command::Reparent { to, weir } => {
            control::reparent(&weir.data_dir, to).map(|term| format!("{to} is primary in term {term}"))
        }
        Command::Rebuild { tablet, yes, weir } => rebuild(&weir.data_dir, tablet, *yes),
        Command::Drain { tablet, weir } => control::drain(&weir.data_dir, tablet),
        Command::Undrain { tablet, weir } => control::undrain(&weir.data_dir, tablet),
    };
    match done {
        Ok(what) => {
            println!("weir: {what}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("weir: {why}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what the user runs the command to read")]
fn rebuild(data_dir: &Path, tablet: &TabletAlias, yes: bool) -> Result<String, String> {
    if !yes && !confirms(tablet)? {
        return Err("nothing was done".to_owned());
    }
    let mut last = String::new();
    control::rebuild(data_dir, tablet, &mut |line| {
        if line != last {
            println!("weir: {line}");
            line.clone_into(&mut last);
        }
    })?;
    Ok(format!("{tablet} was rebuilt and follows; what it had is in its server-N.errant-TIME"))
}

#[expect(clippy::print_stdout, reason = "what the user is asked")]
fn confirms(tablet: &TabletAlias) -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("nobody is there to be asked: --yes says that it is meant".to_owned());
    }
    print!(
        "The data of {tablet} are set aside, and what they have that others have not is gone from the shard. Type yes: "
    );
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.trim() == "yes")
}
