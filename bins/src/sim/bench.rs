//! `weir-sim bench`: how fast the simulator is, on one core, in processor time.

use super::report::say;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use weir_sim::run::{Options, Outcome, run};
use weir_sim::scenario::Scenario;

/// A load, and what it must reach in a release build.
struct Load {
    name: &'static str,
    what: &'static str,
    scenario: &'static str,
    /// Operations of clients per second of processor time.
    operations_min: f64,
    /// Virtual time per processor time.
    times_min: f64,
}

const LOADS: [Load; 3] = [
    Load {
        name: "busy",
        what: "20 clients that never pause",
        scenario: r#"
            title = "As many operations as can be"
            duration = "60s"
            calm = "0s"
            cluster = { servers = 3, gateways = 2, pool = 16, binlog_kept = 256 }
            clients = [{ workload = "register", count = 20, pause = "0ms" }]
        "#,
        operations_min: 100_000.0,
        times_min: 0.0,
    },
    Load {
        name: "usual",
        what: "20 clients, one operation each per 200 ms",
        scenario: r#"
            title = "An operation per client and 200 ms"
            duration = "3000s"
            calm = "0s"
            cluster = { servers = 3, gateways = 2, pool = 16, binlog_kept = 256, heartbeats = true }
            clients = [{ workload = "register", count = 20, pause = "200ms" }]
        "#,
        operations_min: 0.0,
        times_min: 1_000.0,
    },
    Load {
        name: "idle",
        what: "health checks only",
        scenario: r#"
            title = "Nothing but health checks"
            duration = "20000s"
            calm = "0s"
            cluster = { servers = 3, gateways = 2 }
            clients = []
        "#,
        operations_min: 0.0,
        times_min: 10_000.0,
    },
];

/// Runs all loads, or the one that is named. Returns whether each was as fast as it must be.
pub(super) fn main(only: Option<&str>) -> Result<bool, String> {
    let loads: Vec<&Load> = LOADS.iter().filter(|load| only.is_none_or(|name| name == load.name)).collect();
    if loads.is_empty() {
        return Err("there is no such load: busy, usual, idle".into());
    }
    let mut enough = true;
    for load in loads {
        enough &= measure(load)?;
    }
    Ok(enough)
}

fn measure(load: &Load) -> Result<bool, String> {
    let scenario = Scenario::parse(load.scenario)?;
    let before = processor_seconds();
    let outcome = run(&scenario, 0, Options { checked: false, ..Options::default() });
    let seconds = processor_seconds() - before;
    Ok(tell(load, &outcome, seconds))
}

fn tell(load: &Load, outcome: &Outcome, seconds: f64) -> bool {
    let operations = outcome.operations as f64 / seconds;
    let times = outcome.virtual_time.as_secs_f64() / seconds;
    let enough = operations >= load.operations_min && times >= load.times_min;
    say(&format!(
        "{:5} {}: {operations:.0} operations/s, {times:.0} times real time, {:.2} M events/s \
         ({:.0} s in {seconds:.2} s of processor time, trace {:016x}): {}",
        load.name,
        load.what,
        outcome.events as f64 / seconds / 1e6,
        outcome.virtual_time.as_secs_f64(),
        outcome.trace.hash(),
        if enough { "enough" } else { "TOO SLOW" }
    ));
    enough
}

/// User time of this process, in seconds.
fn processor_seconds() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| usage.user_time().num_microseconds() as f64 / 1e6)
}
