//! The same happens to the primary again and again under load, and it is counted what clients notice.

use crate::shard::Shard;
use crate::sysbench::Sysbench;
use std::time::Duration;
use weir_tests::{Outcome, Writers, Written};

/// Clients that write all the time and remember what.
const CLIENTS: usize = 16;
/// The shard has healed by then: it has its primary, and the others follow.
const HEALED_MAX: Duration = Duration::from_secs(90);
/// Between two rounds.
const CALM: Duration = Duration::from_millis(500);

pub(crate) fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// A shard under load.
struct Stage {
    // Dropped before the shard.
    sysbench: Option<Sysbench>,
    writers: Writers,
    shard: Shard,
}

impl Stage {
    fn start() -> Self {
        let shard = Shard::start(3);
        shard.query(
            "CREATE DATABASE d; CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, client INT, number INT)",
        );
        let threads = number("WEIR_FAILOVER_THREADS").filter(|threads| *threads > 0);
        let sysbench = threads.and_then(|threads| Sysbench::start(&shard, threads));
        let writers = Writers::start(shard.address(), 0..CLIENTS);
        Self { sysbench, writers, shard }
    }

    /// How long no write was answered, and how many servers stay out from now on.
    fn round(&mut self, harm: &impl Fn(&Shard, u16), heal: &impl Fn(&Shard, u16)) -> (Duration, usize) {
        self.writers.wait_for_progress();
        let before = self.shard.primary().expect("a primary");
        let begun = self.writers.mark();
        harm(&self.shard, before);
        self.shard.wait_for_successor(before, HEALED_MAX);
        // Also those whose statement the old primary has.
        self.writers.wait_for_everybody();
        heal(&self.shard, before);
        let out = self.shard.wait_until_healed(HEALED_MAX);
        self.writers.wait_for_progress();
        (self.writers.longest_gap_since(begun), out)
    }

    fn finish(self) -> (Outcome, Option<String>) {
        let load = self.sysbench.map(Sysbench::stop);
        let outcome = self.writers.stop();
        outcome.check(&self.shard);
        outcome.check_that_connections_were_kept(&self.shard);
        if std::env::var_os("WEIR_TEST_LOG").is_some() {
            eprintln!("{}", self.shard.output());
        }
        (outcome, load)
    }
}

/// Does something to the primary in each round and undoes it; returns how long no write was answered, shortest first.
pub(crate) fn rehearse(what: &str, harm: impl Fn(&Shard, u16), heal: impl Fn(&Shard, u16)) -> Vec<Duration> {
    let rounds = number("WEIR_FAILOVER_ROUNDS").unwrap_or(1);
    let (mut gaps, mut stage) = (Vec::new(), None);
    for round in 1..=rounds {
        let mut on = stage.take().unwrap_or_else(Stage::start);
        let (gap, out) = on.round(&harm, &heal);
        eprintln!("{what}, round {round}: no write was answered for {gap:?}; {out} servers stay out");
        gaps.push(gap);
        // With fewer servers the next round would be another one.
        if out > 0 || round == rounds {
            let (outcome, load) = on.finish();
            eprintln!("{what}: {}{}", outcome.summary(), load.map_or_else(String::new, |load| format!("; {load}")));
        } else {
            std::thread::sleep(CALM);
            stage = Some(on);
        }
    }
    gaps.sort_unstable();
    eprintln!("{what}: without an answered write: {}", distribution(&gaps));
    gaps
}

fn distribution(sorted: &[Duration]) -> String {
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_millis();
    format!("min {} ms, median {} ms, p95 {} ms, max {} ms", at(0), at(50), at(95), at(100))
}
