//! What a scenario leaves to the seed besides faults: who takes part, under which policy, and who wants another primary.

use super::{Failover, Fault, Flavor, Kind, Scenario, Span};
use serde::{Deserialize, Serialize};
use weir_core::rng::Rng;
use weir_core::time::Duration;

/// Lists of which each run takes one; what is empty stays as the scenario says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drawn {
    /// How many servers.
    pub servers: Vec<u16>,
    /// In how many cells.
    pub cells: Vec<u16>,
    /// By how many replicas a write is acknowledged. More than one only where servers can wait for more (MySQL), and as many
    /// as are left when one replica fails.
    pub acks: Vec<u32>,
    /// Somebody wants another primary, at most so often.
    pub reparents_max: u64,
    /// Somebody wants another number of acknowledgements, of these, so often at most; 0: never.
    pub policies_max: u64,
    /// Half of the runs have servers that should rather be primary, and ones that must not.
    pub promotion: bool,
}

impl Scenario {
    /// The scenario of a seed: nothing about its cluster is left to draw.
    #[must_use]
    pub fn drawn(&self, seed: u64) -> Self {
        let mut scenario = self.clone();
        if self.cluster.flavor == Flavor::Either {
            let even = seed.is_multiple_of(2);
            scenario.cluster.flavor = if even { Flavor::MariaDb } else { Flavor::MySql };
        }
        let Some(drawn) = scenario.drawn.take() else { return scenario };
        // A stream of its own: what is drawn here does not change which faults are.
        let mut rng = Rng::new(seed ^ 0x000d_4a3b_0000);
        let servers = one_of(&mut rng, &drawn.servers).unwrap_or(scenario.cluster.servers);
        scenario.cluster.servers = servers;
        if let Some(failover) = &mut scenario.failover {
            failover.cells = one_of(&mut rng, &drawn.cells).unwrap_or(failover.cells);
            let acks = one_of(&mut rng, &drawn.acks).unwrap_or(failover.acks);
            let acks_max = if scenario.cluster.flavor == Flavor::MySql { u32::from(servers.max(3)) - 2 } else { 1 };
            failover.acks = acks.min(acks_max);
            if drawn.promotion && rng.chance(0.5) {
                promotion(&mut rng, failover, servers);
            }
        }
        for _ in 0..rng.below(drawn.reparents_max + 1) {
            let at = rng.below(scenario.duration.0.as_millis() as u64);
            let on = format!("server {}", rng.below(servers.into()) + 1);
            let at = Span(Duration::from_millis(at));
            scenario.faults.push(Fault { at, ..Fault::new(Kind::Reparent, on) });
        }
        // No more is drawn where nobody wants another policy.
        for _ in 0..if drawn.policies_max == 0 { 0 } else { rng.below(drawn.policies_max) + 1 } {
            let at = Span(Duration::from_millis(rng.below(scenario.duration.0.as_millis() as u64)));
            let acks = one_of(&mut rng, &drawn.acks).unwrap_or(1);
            scenario.faults.push(Fault { at, acks, ..Fault::new(Kind::Policy, "orchestrator 1".to_owned()) });
        }
        scenario
    }
}

fn one_of<T: Copy>(rng: &mut Rng, list: &[T]) -> Option<T> {
    (!list.is_empty()).then(|| list[rng.index(list.len())])
}

/// One that is preferred, and one that must not be primary: never the founder, which is primary already.
fn promotion(rng: &mut Rng, failover: &mut Failover, servers: u16) {
    failover.prefer = vec![rng.below(servers.into()) as u16 + 1];
    failover.must_not = vec![rng.below(u64::from(servers) - 1) as u16 + 2];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::library;
    use std::collections::BTreeSet;

    #[test]
    fn seeds_draw_every_topology_that_makes_sense() {
        let scenario = library::find("failover/swarm").expect("it is there").expect("it can be read");
        let drawn = (0..2000).map(|seed| scenario.drawn(seed));
        let all: BTreeSet<(u16, u16, u32)> = drawn
            .map(|scenario| {
                assert_eq!(scenario.check(), Ok(()));
                assert!(scenario.drawn.is_none() && scenario.cluster.flavor != Flavor::Either);
                let failover = scenario.failover.expect("somebody changes the primary");
                (scenario.cluster.servers, failover.cells, failover.acks)
            })
            .collect();
        let wanted = (3..=5).flat_map(|servers| (1..=3).map(move |cells| (servers, cells)));
        let wanted = wanted
            .flat_map(|(servers, cells)| (1..=2.min(u32::from(servers) - 2)).map(move |acks| (servers, cells, acks)));
        assert_eq!(all, wanted.collect());
    }
}
