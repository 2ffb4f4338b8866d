//! Whether a shard is whole in the end: as its servers are, not as anybody says of them.

use super::Stage;
use super::failover::{Failover, is_errant};
use crate::check::Violation;
use crate::processes::failover::tablet::TabletProcess;
use crate::scenario;
use weir_core::orch::durability::Policy;

/// What is not as the last settled term wants it. A server with a history of its own stays apart, and takes no writes.
pub(super) fn check(stage: &Stage, failover: &Failover, wanted: &scenario::Failover) -> Vec<Violation> {
    let Some(primary) = failover.primary(&stage.world) else {
        return vec![Violation::new("there is a primary in the end", "no term was ever settled")];
    };
    let shard = Shard { stage, failover, policy: failover.policy(stage, wanted), primary };
    (0..stage.servers.len()).filter_map(|number| shard.wrong(number)).collect()
}

struct Shard<'a> {
    stage: &'a Stage,
    failover: &'a Failover,
    policy: Policy,
    primary: usize,
}

impl Shard<'_> {
    fn wrong(&self, number: usize) -> Option<Violation> {
        let story = if number == self.primary { self.leads_badly(number) } else { self.follows_badly(number) }?;
        Some(Violation::new("each server has its role in the end", format!("server {} {story}", number + 1)))
    }

    fn leads_badly(&self, number: usize) -> Option<String> {
        let server = self.stage.server(number)?.server();
        let acks = match self.policy {
            Policy::None => 0,
            Policy::SemiSync { acks } => acks as usize,
            Policy::CrossCell => 1,
        };
        if !server.is_writable() {
            Some("is primary and takes no writes".to_owned())
        } else if server.has_source() {
            Some("is primary and has a source".to_owned())
        } else if server.waits_for() != acks {
            Some(format!("is primary and waits for {} acknowledgements, not {acks}", server.waits_for()))
        } else {
            self.is_of_another_term(number)
        }
    }

    fn follows_badly(&self, number: usize) -> Option<String> {
        let server = self.stage.server(number)?.server();
        let source = format!("s{}", self.primary + 1);
        let acknowledges = match self.policy {
            Policy::None => false,
            Policy::SemiSync { .. } => true,
            Policy::CrossCell => self.failover.aliases[number].cell != self.failover.aliases[self.primary].cell,
        };
        if server.is_writable() {
            Some("is a replica and takes writes".to_owned())
        } else if is_errant(self.stage, number) {
            None
        } else if server.replicates_from() != Some(&*source) {
            Some(format!("does not replicate from {source}, but from {:?}", server.replicates_from()))
        } else if server.is_semi_sync_replica() != acknowledges {
            Some(format!("is to acknowledge: {acknowledges}, and does the opposite"))
        } else {
            self.is_of_another_term(number)
        }
    }

    fn is_of_another_term(&self, number: usize) -> Option<String> {
        let term = self.failover.history(&self.stage.world).last()?.record.term;
        let tablet = *self.failover.tablets.get(number)?;
        let promised = self.stage.world.process::<TabletProcess>(tablet)?.state().promised;
        (promised != term).then(|| format!("has promised term {promised}, not {term}"))
    }
}
