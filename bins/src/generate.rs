//! What is made of the command lines of all programs: completion for shells, and manual pages.

#[cfg(test)]
mod reference;

use crate::args::{say, say_error};
use crate::{cli, gateway, orchestrator, tablet};
use clap::{Args as ClapArgs, Command, CommandFactory as _};
use clap_complete::Shell;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `weir completions`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  weir completions bash > /etc/bash_completion.d/weir
  weir completions zsh weir-gateway > /usr/local/share/zsh/site-functions/_weir-gateway")]
pub struct CompletionsArgs {
    /// Whose.
    #[arg(value_name = "SHELL")]
    shell: Shell,

    /// For which program.
    #[arg(value_name = "PROGRAM", default_value = "weir", value_parser = PROGRAMS)]
    program: String,
}

/// Arguments of `weir man`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  weir man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Where to. It is made if it is not there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// All that operators run.
const PROGRAMS: [&str; 4] = ["weir", "weir-gateway", "weir-orch", "weir-tablet"];

fn command(program: &str) -> Command {
    match program {
        "weir-gateway" => gateway::Args::command(),
        "weir-orch" => orchestrator::Args::command(),
        "weir-tablet" => tablet::Args::command(),
        _ => cli::Cli::command(),
    }
}

/// Prints it.
#[must_use]
pub fn completions(args: &CompletionsArgs) -> ExitCode {
    clap_complete::generate(args.shell, &mut command(&args.program), &args.program, &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// Writes them. Exit codes: 0 done, 1 not done.
#[must_use]
pub fn man(args: &ManArgs) -> ExitCode {
    let dir = &args.dir;
    let write = |program| clap_mangen::generate_to(command(program), dir);
    match std::fs::create_dir_all(dir).and_then(|()| PROGRAMS.into_iter().try_for_each(write)) {
        Ok(()) => {
            say(&format!("manual pages are in {}: man -l {}", dir.display(), dir.join("weir.1").display()));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say_error(&format!("{}: {why}", dir.display()));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_called_what_they_are_called() {
        for program in PROGRAMS {
            let command = command(program);
            assert_eq!(command.get_name(), program);
            command.debug_assert();
        }
    }

    #[test]
    fn shells_learn_of_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command("weir"), "weir", &mut script);
            let script = String::from_utf8(script).expect("text");
            for word in ["quarantine", "completions", "data-dir"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().expect("a directory");
        let code = man(&ManArgs { dir: dir.path().join("man1") });
        assert_eq!(code, ExitCode::SUCCESS);
        for page in ["weir.1", "weir-ctl.1", "weir-ctl-drain.1", "weir-gateway.1", "weir-orch.1", "weir-tablet.1"] {
            let page = std::fs::read_to_string(dir.path().join("man1").join(page))
                .unwrap_or_else(|why| panic!("{page}: {why}"));
            assert!(page.contains(".SH OPTIONS"), "{page}");
        }
    }
}
