//! Semi-synchronous replication as the source sees it: who has acknowledged what, and whether it waits at all.

use std::collections::BTreeMap;

/// The source's state.
#[derive(Debug, Default)]
pub(super) struct SemiSync {
    enabled: bool,
    /// It waits; off after a timeout, until a replica has caught up.
    active: bool,
    /// How many replicas must have acknowledged.
    acks_needed: usize,
    /// Connections of replicas so far.
    connections: u64,
    /// Replicas that acknowledge: by which connection, and up to where they have.
    replicas: BTreeMap<u32, (u64, u64)>,
}

impl SemiSync {
    pub(super) fn configure(&mut self, enabled: bool, acks_needed: usize) {
        if enabled != self.enabled {
            self.active = enabled;
        }
        self.enabled = enabled;
        self.acks_needed = acks_needed.max(1);
    }

    /// Whether a commit that ends there needs to wait no more.
    pub(super) fn has(&self, end: u64) -> bool {
        !self.active || self.acknowledged() >= end
    }

    /// Enough replicas have everything up to here.
    fn acknowledged(&self) -> u64 {
        let mut ends: Vec<u64> = self.replicas.values().map(|(_, end)| *end).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(self.acks_needed - 1).copied().unwrap_or(0)
    }

    /// Acknowledgements that a commit waits for.
    pub(super) fn waits_for(&self) -> usize {
        if self.active { self.acks_needed } else { 0 }
    }

    /// A commit has waited too long: go on without.
    pub(super) fn give_up(&mut self) {
        self.active = false;
    }

    /// A replica has connected, by the connection of the number that is returned. The end of an earlier one of its may not have
    /// been noticed yet.
    pub(super) fn attach(&mut self, replica: u32, acknowledges: bool) -> u64 {
        self.connections += 1;
        if acknowledges {
            self.replicas.insert(replica, (self.connections, 0));
        }
        self.connections
    }

    /// A connection of a replica has ended.
    pub(super) fn detach(&mut self, replica: u32, connection: u64) {
        if self.replicas.get(&replica).is_some_and(|(current, _)| *current == connection) {
            self.replicas.remove(&replica);
        }
    }

    pub(super) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// A replica has everything up to `end`; the log ends at `log_end`.
    pub(super) fn acknowledge(&mut self, replica: u32, end: u64, log_end: u64) {
        if let Some((_, up_to)) = self.replicas.get_mut(&replica) {
            *up_to = end.max(*up_to);
        }
        if self.enabled && !self.active && self.acknowledged() >= log_end {
            self.active = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_replicas_as_needed_must_have_acknowledged() {
        let mut semi = SemiSync::default();
        semi.configure(true, 2);
        (1..=3).for_each(|replica| _ = semi.attach(replica, true));
        semi.acknowledge(1, 9, 9);
        assert!(!semi.has(5));
        semi.acknowledge(2, 5, 9);
        assert!(semi.has(5) && !semi.has(6));
    }

    #[test]
    fn the_end_of_an_old_connection_does_not_end_the_new_one() {
        let mut semi = SemiSync::default();
        semi.configure(true, 1);
        let [first, second] = [(), ()].map(|()| semi.attach(1, true));
        semi.detach(1, first);
        semi.acknowledge(1, 9, 9);
        assert!(semi.has(9));
        semi.detach(1, second);
        assert!(!semi.has(9));
    }

    #[test]
    fn after_a_timeout_it_waits_again_when_a_replica_has_caught_up() {
        let mut semi = SemiSync::default();
        semi.configure(true, 1);
        semi.attach(1, true);
        semi.give_up();
        assert!(semi.has(100));
        semi.acknowledge(1, 50, 100);
        assert!(!semi.is_active());
        semi.acknowledge(1, 100, 100);
        assert!(semi.is_active() && !semi.has(101));
    }
}
