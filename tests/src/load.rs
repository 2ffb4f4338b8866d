//! Clients of both gateways: some write with autocommit, others run sysbench's transactions.

use crate::{Deployment, Part, Sysbench, Writers};
use std::time::SystemTime;

/// Clients of each gateway that write all the time and remember what.
const CLIENTS: usize = 8;
/// Clients of each sysbench, of which each gateway has one.
const THREADS: usize = 4;

/// From and until when a gateway was away.
type Away = (SystemTime, SystemTime);

/// It is under way until it is stopped.
pub struct Load {
    gateways: Vec<(Writers, Sysbench, Vec<Away>)>,
}

impl Load {
    /// Returns when all of it is under way.
    pub fn start(deployment: &Deployment) -> Self {
        deployment.query(
            0,
            "CREATE DATABASE d; CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, client INT, number INT);
             CREATE DATABASE sbtest",
        );
        Sysbench::prepare(deployment.gateway(0), deployment);
        let start = |gateway| {
            let (address, numbers) = (deployment.gateway(gateway), gateway * CLIENTS..(gateway + 1) * CLIENTS);
            (Writers::start(address, numbers), Sysbench::start(address, gateway, THREADS), Vec::new())
        };
        let mut load = Self { gateways: [0, 1].map(start).into() };
        load.wait_for_progress();
        load
    }

    /// Returns when every client of it has got on since.
    pub fn wait_for_progress(&mut self) {
        self.gateways.iter_mut().for_each(|(writers, ..)| writers.wait_for_progress());
    }

    /// A gateway that is away meanwhile loses its clients.
    pub fn while_away(&mut self, part: Part, kill_and_restart: impl FnOnce()) {
        let begun = SystemTime::now();
        kill_and_restart();
        if let Part::Gateway(gateway) = part {
            let (writers, _, away) = &mut self.gateways[gateway];
            writers.wait_for_progress();
            away.push((begun, SystemTime::now()));
        }
    }

    /// Compares what clients were told with what the shard has. Nobody has lost a connection but with its gateway. Returns how many writes and
    /// transactions ended with an error.
    pub fn stop(mut self, deployment: &Deployment) -> usize {
        self.wait_for_progress();
        let mut disturbed = 0;
        for (gateway, (writers, sysbench, away)) in self.gateways.into_iter().enumerate() {
            let (outcome, transactions) = (writers.stop(), sysbench.stop());
            eprintln!("gateway {gateway}: {}; {}", outcome.summary(), transactions.summary());
            outcome.check(deployment);
            outcome.check_lost(&away, deployment);
            transactions.check(deployment);
            transactions.check_lost(&away, deployment);
            disturbed += outcome.unknown() + transactions.failed();
        }
        disturbed
    }
}
