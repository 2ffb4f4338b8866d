//! Three nodes of etcd, three tablets with their servers, three orchestrators and two gateways, each a process of its own, while clients
//! write through both gateways: each process is killed in turn, and each pair of hosts is cut off from each other, and nothing that was
//! acknowledged is lost.
//!
//! `WEIR_PROCESSES_EVERY_MS=5000` kills one each five seconds, whether the one before is in its place again or not; without it, the next
//! is killed when it is, and not all of them; nor are all pairs cut. `WEIR_TEST_LOG=info` prints what the processes log.

mod accounts;
mod clients;
mod partitions;
mod refusals;
mod slow_client;
mod strangers;

use std::time::{Duration, Instant};
use weir_tests::{Deployment, Load, Part, Written as _};

#[test]
fn each_process_may_be_killed_in_turn() {
    let mut deployment = Deployment::start();
    let mut load = Load::start(&deployment);
    for part in parts() {
        let begun = Instant::now();
        load.while_away(part, || deployment.kill_and_restart(part));
        match every() {
            Some(every) => std::thread::sleep(every.saturating_sub(begun.elapsed())),
            None => _ = deployment.wait_until_healed(),
        }
        eprintln!("{part:?} was killed; {:?}", begun.elapsed());
    }
    let healed = deployment.wait_until_healed();
    eprintln!("all are in their places {healed:?} after the last");
    load.stop(&deployment);
    if std::env::var_os("WEIR_TEST_LOG").is_some() {
        eprintln!("{}", deployment.output());
    }
}

/// As by `systemctl restart`: nobody reads an error of it, and no write's outcome is unknown.
#[test]
fn a_primary_that_is_told_to_stop_is_succeeded_first() {
    let mut deployment = Deployment::start();
    let mut load = Load::start(&deployment);
    for _ in 0..2 {
        let (primary, begun) = (deployment.primary(), Instant::now());
        deployment.upgrade(Part::Tablet(primary));
        let stopped = begun.elapsed();
        let healed = deployment.wait_until_healed();
        eprintln!(
            "tablet {primary} was primary and has stopped in {stopped:?}; all are in their places {healed:?} later"
        );
        assert_ne!(deployment.primary(), primary);
        load.wait_for_progress();
    }
    let said = deployment.output().matches("another is primary").count();
    assert_eq!(said, 2, "{}", deployment.output());
    assert_eq!(load.stop(&deployment), 0, "nobody has noticed\n{}", deployment.output());
}

fn every() -> Option<Duration> {
    let every = std::env::var("WEIR_PROCESSES_EVERY_MS").ok()?.parse().ok()?;
    Some(Duration::from_millis(every))
}

/// Each of them with `every`; else one of each kind, and the first primary among them.
fn parts() -> Vec<Part> {
    if every().is_some() {
        return Part::all().collect();
    }
    vec![Part::Tablet(0), Part::Server(1), Part::Etcd(0), Part::Orchestrator(0), Part::Gateway(1)]
}
