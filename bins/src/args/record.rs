//! Where a machine is recorded.

use super::mib;
use clap::Args as ClapArgs;
use std::path::PathBuf;
use weir_io::recorder::Options;

/// Options of whatever is recorded.
#[derive(Debug, ClapArgs)]
pub struct RecordArgs {
    /// Where it keeps what it was told and what it decided, for `weir-sim replay` and `weir ctl explain-failover` [default: nowhere].
    #[arg(long, value_name = "DIR", env = "WEIR_RECORD_DIR")]
    pub record_dir: Option<PathBuf>,

    /// How much of that it keeps, in MiB; the oldest goes.
    #[arg(long, default_value_t = 64, value_name = "MIB", env = "WEIR_RECORD_MAX_MIB", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub record_max_mib: u32,
}

impl RecordArgs {
    /// What they say.
    #[must_use]
    pub fn options(&self) -> Option<Options> {
        let dir = self.record_dir.clone()?;
        Some(Options { dir, bytes_max: mib(self.record_max_mib) })
    }
}
