//! `weir-gateway`: see [`weir_bins::gateway`].

use std::process::ExitCode;
use weir_bins::{args, gateway, memory};

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    match args::parse() {
        Ok(args) => gateway::run(&args),
        Err(code) => code,
    }
}
