//! `weir-orch`: see [`weir_bins::orchestrator`].

use std::process::ExitCode;
use weir_bins::{args, memory, orchestrator};

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    match args::parse() {
        Ok(args) => orchestrator::run(&args),
        Err(code) => code,
    }
}
