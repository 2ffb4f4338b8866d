//! Where spans of statements are sent.

use clap::Args as ClapArgs;
use weir_io::traces::{Collector, Options};

/// Options of whatever makes spans.
#[derive(Debug, ClapArgs)]
pub struct TraceArgs {
    /// Make spans of statements, and send them there: a collector of OpenTelemetry (OTLP over gRPC, plain), http://HOST:PORT
    /// [default: none are made].
    #[arg(long, value_name = "URL", env = "WEIR_TRACE_ENDPOINT")]
    pub trace_endpoint: Option<Collector>,

    /// Statements of which spans are made in a second, at most, whoever asks for it.
    #[arg(long, default_value_t = 1_000, value_name = "N", env = "WEIR_TRACE_MAX_PER_SECOND")]
    pub trace_max_per_second: u32,
}

impl TraceArgs {
    /// What they say, of a process in which so much is sampled that nobody asks for.
    #[must_use]
    pub fn options(&self, ratio: f64) -> Option<Options> {
        let collector = self.trace_endpoint.clone()?;
        Some(Options { collector, ratio, per_second_max: self.trace_max_per_second })
    }
}
