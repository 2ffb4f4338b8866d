//! `weir-tablet`: see [`weir_bins::tablet`].

use clap::Parser as _;
use std::process::ExitCode;
use weir_bins::{memory, tablet};

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    tablet::run(&tablet::Args::parse())
}
