//! `weir-sim`: rehearses failures in virtual time.

use clap::Parser as _;
use std::process::ExitCode;
use weir_bins::sim;

fn main() -> ExitCode {
    sim::main(&sim::Args::parse())
}
