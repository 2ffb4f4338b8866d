//! `weir`: see [`weir_bins::cli`].

use std::process::ExitCode;
use weir_bins::{args, cli::Cli};

fn main() -> ExitCode {
    args::parse().map_or_else(|code| code, Cli::run)
}
