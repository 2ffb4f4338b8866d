//! Ten thousand clients that have asked once and say nothing more, and what that costs those who do.

use crate::sysbench::BUSY;
use crate::target::Target;
use std::fmt;
use std::time::Duration;
use weir_tests::Wire;

pub(crate) const NAME: &str = "idle";

const CLIENTS: usize = 10_000;

/// What they cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleCost {
    /// Memory of the proxy for each, in KiB.
    pub(crate) client_kib: f64,
    /// Queries each second of those who are busy, without them and beside them.
    pub(crate) alone: f64,
    pub(crate) beside: f64,
}

impl fmt::Display for IdleCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client_kib, alone, beside } = self;
        write!(f, "{client_kib:.1} KiB a client; busy ones {alone:.0} q/s alone, {beside:.0} q/s beside them")
    }
}

/// Rounds without and with them take turns; memory is that after the first, when each client has asked once.
pub(crate) fn measure(target: &Target, rounds: usize, turn: Duration) -> IdleCost {
    let (mut alone, mut beside, mut client_kib) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(BUSY.run(target, turn).queries_per_s);
        let before = target.memory_kib();
        let clients: Vec<Wire> = (0..CLIENTS).map(|_| client(target)).collect();
        client_kib.push((target.memory_kib() as f64 - before as f64) / CLIENTS as f64);
        beside.push(BUSY.run(target, turn).queries_per_s);
        drop(clients);
    }
    // What an earlier round has left in the allocator is used again.
    let client_kib = client_kib.into_iter().fold(0.0, f64::max);
    IdleCost { client_kib, alone: crate::report::median(alone), beside: crate::report::median(beside) }
}

fn client(target: &Target) -> Wire {
    let mut wire = Wire::login(target.address);
    assert_eq!(wire.value("SELECT 1"), "1");
    wire
}
