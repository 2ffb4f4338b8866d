//! `weir-orch`: see [`weir_bins::orchestrator`].

use clap::Parser as _;
use std::process::ExitCode;
use weir_bins::{memory, orchestrator};

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    orchestrator::run(&orchestrator::Args::parse())
}
