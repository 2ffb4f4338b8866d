//! `weir-tablet`: see [`weir_bins::tablet`].

use std::process::ExitCode;
use weir_bins::{args, memory, tablet};

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    match args::parse() {
        Ok(args) => tablet::run(&args),
        Err(code) => code,
    }
}
