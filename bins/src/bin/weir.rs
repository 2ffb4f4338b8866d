//! `weir`: the operator's tool.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use weir_bins::{args, ctl, memory, up};

/// A MySQL gateway: read/write splitting, pooling and consistency in front of replicated servers.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway with its tablets, and with servers of its own unless told to use others.
    Up(Box<up::Args>),
    /// Ask a running `weir up` to do something.
    Ctl(ctl::Args),
}

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    match args::parse().map(|Cli { command }| command) {
        Ok(Command::Up(args)) => {
            let pick = |Cli { command }| match command {
                Command::Up(args) => Some(*args),
                Command::Ctl(_) => None,
            };
            up::run(&args, args::Reread::new(pick))
        }
        Ok(Command::Ctl(args)) => ctl::run(&args),
        Err(code) => code,
    }
}
