//! `weir-sim`: rehearses failures in virtual time.

use clap::Parser as _;
use mimalloc::MiMalloc;
use std::process::ExitCode;
use weir_bins::sim;

/// Runs allocate and free small things all the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    sim::main(&sim::Args::parse())
}
