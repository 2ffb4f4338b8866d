//! The scenarios that come with Weir, by name.

use super::Scenario;

macro_rules! library {
    ($($name:literal,)+) => {
        /// Names and texts, in the order in which they are listed.
        pub const ALL: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../scenarios/", $name, ".toml")))),+];
    };
}

library! {
    "lag",
    "replica-crash",
    "primary-restart",
    "pool-exhaustion",
    "slow-replica",
    "gateway-restart",
    "gateway-stop",
    "half-open",
    "churn",
    "killed-connections",
    "kill",
    "locking-reads",
    "lanes",
    "swarm",
    "consistency/levels",
    "consistency/eventual",
    "consistency/session",
    "consistency/instance",
    "consistency/global",
    "consistency/monotonic",
    "consistency/far-primary",
    "consistency/stalled-replica",
    "consistency/frozen-replica",
    "consistency/acknowledged-by-error",
    "consistency/swarm",
    "consistency/lanes",
    "incidents/silent-commit",
    "incidents/swallowed-commit",
    "incidents/lost-transaction",
    "incidents/forgotten-position",
    "incidents/shared-answer",
    "incidents/foreign-state",
    "incidents/refused-connections",
    "incidents/last-replica",
    "incidents/idle-connections",
    "incidents/leaked-connections",
    "incidents/torn-results",
    "incidents/written-replica",
    "incidents/cool-down",
    "incidents/deaf-primary",
    "incidents/degraded-semi-sync",
    "incidents/errant-demoted-primary",
    "incidents/first-query",
    "incidents/flapping",
    "incidents/hanging-applier",
    "incidents/lagging-replicas",
    "incidents/saturated-primary",
    "incidents/semi-sync-deadlock",
    "incidents/silent-winner",
    "incidents/successor-dies",
    "incidents/orphaned-transaction",
    "incidents/passed-on-early",
    "failover/primary-killed",
    "failover/primary-frozen",
    "failover/primary-cut-off",
    "failover/primary-and-gateway-cut-off",
    "failover/answers-lost",
    "failover/transaction-replay",
    "failover/commits-lost",
    "failover/no-successor",
    "failover/planned",
    "failover/planned-under-transfers",
    "failover/planned-declined",
    "failover/planned-successor-stopped",
    "failover/killed-while-drained",
    "failover/out-of-service",
    "failover/nobody-in-service",
    "failover/topology-stalled",
    "failover/contention",
    "failover/policy-none",
    "failover/policy-changes",
    "failover/policy-and-loss",
    "failover/policy-when-stuck",
    "failover/everybody-leaves",
    "failover/policy-swarm",
    "failover/promotion",
    "failover/topology-refuses",
    "failover/tablet-asleep",
    "failover/rebuild",
    "failover/restarted-is-ahead",
    "failover/upgrading",
    "failover/swarm",
    "failover/cross-cell",
    "consensus/primary-killed",
    "consensus/primary-paused",
    "consensus/minority",
    "consensus/expelled-early",
    "consensus/leaves-without-majority",
    "consensus/rejoin",
    "consensus/session",
    "consensus/swarm",
    "analysis/unfinished-change",
    "analysis/cluster-has-no-primary",
    "analysis/term-ahead",
    "analysis/dead-primary",
    "analysis/dead-primary-and-some-replicas",
    "analysis/dead-primary-without-replicas",
    "analysis/dead-primary-and-replicas",
    "analysis/primary-cannot-lead",
    "analysis/unreachable-primary",
    "analysis/primary-has-primary",
    "analysis/primary-is-read-only",
    "analysis/primary-does-not-lead",
    "analysis/primary-semi-sync-differs",
    "analysis/primary-is-leaving",
    "analysis/primary-is-slowed",
    "analysis/locked-semi-sync-primary",
    "analysis/stale-primary",
    "analysis/replica-is-writable",
    "analysis/not-connected-to-primary",
    "analysis/connected-to-wrong-primary",
    "analysis/replication-stopped",
    "analysis/replica-cannot-follow",
    "analysis/unfinished-rebuild",
    "analysis/replica-semi-sync-differs",
    "analysis/replica-of-old-term",
    "analysis/replica-lost-relay-log",
    "analysis/errant-gtid-detected",
    "analysis/not-enough-ackers",
}

/// A scenario by its name.
#[must_use]
pub fn find(name: &str) -> Option<Result<Scenario, String>> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| Scenario::parse(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_says_what_it_is_about() {
        for (name, _) in ALL {
            let scenario = find(name).unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!scenario.about.trim().is_empty(), "{name}");
        }
    }
}
