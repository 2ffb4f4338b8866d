//! `transaction_replay` in the simulator: transactions outlive their primary, a COMMIT whose answer was lost is settled, and broken rules
//! are missed.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::mutants::{Mutant, Mutants};
use weir_sim::run::{Check, Failure, Options, run};
use weir_sim::scenario::{Scenario, library};

const REPLAYED: &str = "failover/transaction-replay";
const COMMITS_LOST: &str = "failover/commits-lost";

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
fn transactions_outlive_their_primary() {
    for name in [REPLAYED, COMMITS_LOST] {
        for seed in 0..seeds(6) {
            assert_eq!(failures(&scenario(name), seed, Mutants::NONE), [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn without_replay_the_same_clients_are_disturbed() {
    let mut scenario = scenario(COMMITS_LOST);
    scenario.cluster.transaction_replay = false;
    let disturbed = |seed| failures(&scenario, seed, Mutants::NONE).iter().any(|f| f.check == Check::Undisturbed);
    assert!((0..seeds(4)).any(disturbed));
}

/// In which scenario a broken rule shows, and who notices.
const FOUND: &[(Mutant, &str, Check)] = &[
    (Mutant::ReplayUnchecked, REPLAYED, Check::Serial),
    (Mutant::GuessCommitLost, COMMITS_LOST, Check::Once),
    (Mutant::GuessCommitDone, COMMITS_LOST, Check::Once),
];

#[test]
fn broken_rules_are_missed() {
    for (mutant, name, check) in FOUND {
        let scenario = scenario(name);
        let noticed = |seed| failures(&scenario, seed, Mutants::only(*mutant)).iter().any(|f| f.check == *check);
        assert!((0..seeds(24)).any(noticed), "{mutant}");
    }
}
