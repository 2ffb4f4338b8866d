//! How much was done at each consistency level, and whether anything old was seen at all: a level that nobody misses
//! anything at may be kept, or may never have been put to the test.

use crate::check::freshness;
use crate::check::history::{Action, Asked};
use crate::workload::Log;
use core::fmt;
use std::collections::BTreeMap;

/// What clients that ask for the same did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Reads that were answered.
    pub reads: u64,
    /// Those among them that a replica is known to have answered.
    pub on_replicas: u64,
    /// Those among them that missed a write acknowledged before, by whomever.
    pub stale: u64,
}

/// By what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Writes of all clients, whatever they ask of reads: acknowledged or not.
    pub writes: u64,
    /// Reads.
    pub tallies: BTreeMap<Asked, Tally>,
}

impl Levels {
    pub(super) fn of(log: &Log) -> Self {
        let mut tallies: BTreeMap<Asked, Tally> = BTreeMap::new();
        for read in freshness::reads(&log.operations) {
            tallies.entry(read.asked).or_default().reads += 1;
        }
        for read in freshness::stale(&log.operations) {
            tallies.entry(read.asked).or_default().stale += 1;
        }
        for (asked, count) in &log.replica_reads {
            tallies.entry(*asked).or_default().on_replicas += count;
        }
        let writes = log.operations.iter().filter(|op| matches!(op.action, Action::Write(_))).count();
        Self { writes: writes as u64, tallies }
    }

    /// Counts another run in.
    pub fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        for (asked, tally) in &other.tallies {
            let sum = self.tallies.entry(*asked).or_default();
            sum.reads += tally.reads;
            sum.on_replicas += tally.on_replicas;
            sum.stale += tally.stale;
        }
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} writes of versions", self.writes)?;
        for (Asked { level, monotonic }, tally) in &self.tallies {
            let name = format!("{}{}", level.name(), if *monotonic { " MONOTONIC" } else { "" });
            let Tally { reads, on_replicas, stale } = tally;
            write!(
                f,
                "\n  {name:18} {reads} reads, {on_replicas} by replicas, {stale} older than an acknowledged write"
            )?;
        }
        Ok(())
    }
}
