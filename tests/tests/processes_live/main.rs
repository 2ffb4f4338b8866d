//! Three nodes of etcd, three tablets with their servers, three orchestrators and two gateways, each a process of its own, while clients
//! write through both gateways: each process is killed in turn, and nothing that was acknowledged is lost.
//!
//! `WEIR_PROCESSES_EVERY_MS=5000` kills one each five seconds, whether the one before is in its place again or not; without it, the next
//! is killed when it is, and not all of them. `WEIR_TEST_LOG=info` prints what the processes log.

mod refusals;
mod slow_client;
mod strangers;

use std::time::{Duration, Instant};
use weir_tests::{Deployment, Part, Writers, Written as _};

/// Clients of each gateway that write all the time and remember what.
const CLIENTS: usize = 8;

#[test]
fn each_process_may_be_killed_in_turn() {
    let mut deployment = Deployment::start();
    deployment
        .query(0, "CREATE DATABASE d; CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, client INT, number INT)");
    let mut writers = [0, 1].map(|gateway| {
        let numbers = gateway * CLIENTS..(gateway + 1) * CLIENTS;
        Writers::start(deployment.gateway(gateway), numbers)
    });
    writers.iter_mut().for_each(Writers::wait_for_progress);
    let mut cut_off = [0; 2];
    for part in parts() {
        let begun = Instant::now();
        deployment.kill_and_restart(part);
        if let Part::Gateway(gateway) = part {
            cut_off[gateway] += CLIENTS;
        }
        match every() {
            Some(every) => std::thread::sleep(every.saturating_sub(begun.elapsed())),
            None => _ = deployment.wait_until_healed(),
        }
        eprintln!("{part:?} was killed; {:?}", begun.elapsed());
    }
    let healed = deployment.wait_until_healed();
    eprintln!("all are in their places {healed:?} after the last");
    writers.iter_mut().for_each(Writers::wait_for_progress);
    for (gateway, writers) in writers.into_iter().enumerate() {
        let outcome = writers.stop();
        eprintln!("gateway {gateway}: {}", outcome.summary());
        outcome.check(&deployment);
        if cut_off[gateway] == 0 {
            outcome.check_that_connections_were_kept(&deployment);
        }
    }
    if std::env::var_os("WEIR_TEST_LOG").is_some() {
        eprintln!("{}", deployment.output());
    }
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
