//! The command line of `weir`, the operator's tool.

use crate::{args::Reread, ctl, generate, memory, top, up};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A MySQL gateway: read/write splitting, pooling and consistency in front of replicated servers.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway with its tablets, and with servers of its own unless told to use others.
    Up(Box<up::Args>),
    /// Ask a running Weir to do something, or how it is.
    Ctl(Box<ctl::Args>),
    /// Watch a running Weir in the terminal.
    Top(Box<top::Args>),
    /// Print what a shell needs to complete command lines.
    Completions(generate::CompletionsArgs),
    /// Write manual pages of all programs.
    Man(generate::ManArgs),
}

impl Cli {
    fn up(self) -> Option<up::Args> {
        match self.command {
            Command::Up(args) => Some(*args),
            Command::Ctl(_) | Command::Top(_) | Command::Completions(_) | Command::Man(_) => None,
        }
    }

    /// Does what is said. Exit codes: 0 done, 1 not done, 2 wrong usage.
    #[must_use]
    pub fn run(self) -> ExitCode {
        memory::give_large_buffers_back();
        match self.command {
            Command::Up(args) => up::run(&args, Reread::new(Self::up)),
            Command::Ctl(args) => ctl::run(&args),
            Command::Top(args) => top::run(&args),
            Command::Completions(args) => generate::completions(&args),
            Command::Man(args) => generate::man(&args),
        }
    }
}
