//! Groups of servers that elect their primary by themselves, in the simulator: the scenarios hold, and broken rules are missed.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::mutants::{Mutant, Mutants};
use weir_sim::run::{Check, Failure, Options, run};
use weir_sim::scenario::{Scenario, library};

fn scenarios() -> impl Iterator<Item = &'static str> {
    let names = library::ALL.iter().map(|(name, _)| *name);
    names.filter(|name| name.starts_with("consensus/"))
}

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
fn what_a_group_acknowledged_stays_whoever_is_primary() {
    for name in scenarios() {
        let scenario = scenario(name);
        for seed in 0..seeds(4) {
            assert_eq!(failures(&scenario, seed, Mutants::NONE), [], "{name}, seed {seed}");
        }
    }
}

/// In which scenario a broken rule shows, who notices, and within how many seeds.
const FOUND: &[(Mutant, &str, Check, u64)] = &[
    (Mutant::BelieveMinority, "consensus/minority", Check::Members, 10),
    (Mutant::AskOutsideTheGroup, "consensus/expelled-early", Check::Global, 10),
    (Mutant::TrustGroupPrimary, "consensus/expelled-early", Check::Global, 40),
    (Mutant::BelieveOldView, "consensus/primary-paused", Check::Appends, 10),
    (Mutant::ReadJoining, "consensus/rejoin", Check::Members, 10),
    (Mutant::NoBuffer, "consensus/primary-killed", Check::Undisturbed, 10),
    (Mutant::RetryUnknownWrite, "consensus/leaves-without-majority", Check::Appends, 40),
];

#[test]
fn broken_rules_are_missed() {
    for (mutant, name, check, within) in FOUND {
        let scenario = Scenario { must: Check::ALL.to_vec(), ..scenario(name) };
        let noticed = |seed| failures(&scenario, seed, Mutants::only(*mutant)).iter().any(|f| f.check == *check);
        assert!((0..*within).any(noticed), "{mutant}");
    }
}
