//! `weir-gateway`: see [`weir_bins::gateway`].

use clap::Parser as _;
use std::process::ExitCode;
use weir_bins::{gateway, memory};

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    gateway::run(&gateway::Args::parse())
}
