//! Changes of primary in the simulator: the scenarios hold, an orchestrator may die at any step, a policy that may lose writes
//! is seen to lose them, and broken rules are missed.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::mutants::{Mutant, Mutants};
use weir_sim::run::{Check, Failure, Options, run};
use weir_sim::scenario::{Scenario, library};

/// Changes of primary under a policy by which nothing may be lost.
fn scenarios() -> impl Iterator<Item = &'static str> {
    let names = library::ALL.iter().map(|(name, _)| *name);
    names.filter(|name| name.starts_with("failover/") && *name != WITHOUT_ACKNOWLEDGEMENTS)
}

/// The one in which a primary acknowledges alone.
const WITHOUT_ACKNOWLEDGEMENTS: &str = "failover/policy-none";

fn scenario(name: &str) -> Scenario {
    library::find(name).expect("it comes with Weir").expect("it can be read")
}

fn seeds(usual: u64) -> u64 {
    std::env::var("WEIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

fn failures(scenario: &Scenario, seed: u64, mutants: Mutants) -> Vec<Failure> {
    run(scenario, seed, Options { mutants, ..Options::default() }).failures
}

#[test]
fn every_change_of_primary_keeps_what_was_acknowledged() {
    for name in scenarios() {
        for seed in 0..seeds(2) {
            assert_eq!(failures(&scenario(name), seed, Mutants::NONE), [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_primary_that_acknowledges_alone_loses_writes_and_that_is_noticed() {
    let lost = |failure: &Failure| matches!(failure.check, Check::Once | Check::Appends);
    let scenario = Scenario { must: Check::ALL.to_vec(), ..scenario(WITHOUT_ACKNOWLEDGEMENTS) };
    assert!((0..seeds(4)).any(|seed| failures(&scenario, seed, Mutants::NONE).iter().any(lost)));
}

/// The plan of a killed primary has fewer things to say than this.
const STEPS_MAX: u64 = 16;

#[test]
fn an_orchestrator_that_dies_at_any_step_is_succeeded() {
    for dies_after in 1..=STEPS_MAX {
        let mut scenario = scenario("failover/primary-killed");
        let failover = scenario.failover.as_mut().expect("somebody changes the primary");
        // One that comes back and carries on itself.
        failover.orchestrators = 1;
        failover.orchestrator_dies_after = Some(dies_after);
        assert_eq!(failures(&scenario, dies_after, Mutants::NONE), [], "it died after {dies_after} steps");
    }
}

/// In which scenario a broken rule shows, and who notices.
const FOUND: &[(Mutant, &str, Check)] = &[
    (Mutant::NoFence, "failover/primary-and-gateway-cut-off", Check::Appends),
    (Mutant::ServeUnproven, "failover/primary-and-gateway-cut-off", Check::Global),
    (Mutant::TrustReadOnly, "failover/primary-and-gateway-cut-off", Check::Progress),
    (Mutant::ReadOnce, "failover/topology-refuses", Check::Progress),
    (Mutant::IgnorePromotion, "failover/promotion", Check::Terms),
];

#[test]
fn broken_rules_are_missed() {
    for (mutant, name, check) in FOUND {
        let scenario = scenario(name);
        let noticed = |seed| failures(&scenario, seed, Mutants::only(*mutant)).iter().any(|f| f.check == *check);
        assert!((0..seeds(24)).any(noticed), "{mutant}");
    }
}
