//! The simulator keeps its word: a seed repeats, the scenarios hold, and rules broken on purpose are missed.

use weir_core::mutants::{Mutant, Mutants};
use weir_sim::run::{Check, Options, run};
use weir_sim::scenario::{Scenario, library};
use weir_sim::world::trace::divergence;

/// Seeds within which a mutant must be found, in its scenario.
const SEEDS: u64 = 3;

/// In which scenario a broken rule shows, and who notices.
const FOUND: &[(Mutant, &str, Check)] = &[
    (Mutant::SkipWait, "lag", Check::ReadYourWrites),
    (Mutant::IgnorePosition, "lag", Check::ReadYourWrites),
    (Mutant::RetryForgetsPosition, "lag", Check::ReadYourWrites),
    (Mutant::RetryUnknownWrite, "killed-connections", Check::Once),
    (Mutant::ReleaseUncleaned, "churn", Check::Session),
    (Mutant::AnswerAfterWait, "lag", Check::Appends),
    (Mutant::SplitWithoutAutocommit, "killed-connections", Check::Errors),
    (Mutant::SplitLockingReads, "lag", Check::Linearizable),
    (Mutant::ReleaseInTransaction, "killed-connections", Check::Bank),
    (Mutant::SkipSettings, "churn", Check::Session),
    (Mutant::IgnoreTracker, "churn", Check::Session),
    (Mutant::WrongStatement, "lag", Check::Session),
    (Mutant::ForgetTypes, "lag", Check::Session),
    (Mutant::HideTransactionLoss, "killed-connections", Check::Bank),
    (Mutant::SwallowCommitFailure, "killed-connections", Check::Once),
    (Mutant::StaleDiagnostics, "churn", Check::Session),
    (Mutant::ExceedCapacity, "pool-exhaustion", Check::Limits),
    (Mutant::LeakClosed, "killed-connections", Check::Leaks),
];

/// Rules whose breach no workload shows yet. Those of failover are found by the tests of their machines.
const UNSEEN: &[Mutant] = &[Mutant::KeepInsertId, Mutant::IgnorePromise];

#[test]
fn no_mutant_is_forgotten() {
    let forgotten = |mutant: &&Mutant| !FOUND.iter().any(|(found, ..)| found == *mutant) && !UNSEEN.contains(mutant);
    assert_eq!(Mutant::ALL.iter().find(forgotten), None);
}

fn scenario(name: &str) -> Scenario {
    library::find(name).expect("it comes with Weir").expect("it can be read")
}

#[test]
fn a_seed_repeats_to_the_byte() {
    let options = Options { records_max: 5_000_000, ..Options::default() };
    for name in ["killed-connections", "swarm"] {
        let (first, second) = (run(&scenario(name), 4, options), run(&scenario(name), 4, options));
        assert_eq!(divergence(&first.trace, &second.trace), None, "{name}");
        assert_eq!(first.trace.hash(), second.trace.hash(), "{name}");
        assert_ne!(first.trace.hash(), run(&scenario(name), 5, Options::default()).trace.hash(), "{name}");
    }
}

#[test]
fn every_scenario_holds() {
    for (name, _) in library::ALL {
        let outcome = run(&scenario(name), 0, Options::default());
        assert_eq!(outcome.failures, [], "{name}: {:#?}", outcome.faults);
        assert!(outcome.operations > 1000, "{name}: clients did little");
    }
}

fn finds(mutant: Mutant, name: &str, must: &[Check]) -> Vec<Check> {
    let scenario = Scenario { must: must.to_vec(), ..scenario(name) };
    let options = Options { mutants: Mutants::only(mutant), ..Options::default() };
    let found = (0..SEEDS).map(|seed| run(&scenario, seed, options)).find(|outcome| !outcome.failures.is_empty());
    found.map(|outcome| outcome.failures.iter().map(|failure| failure.check).collect()).unwrap_or_default()
}

#[test]
fn broken_rules_are_found_within_few_seeds_by_the_check_that_is_meant_to() {
    let missed: Vec<String> = FOUND
        .iter()
        .filter(|(mutant, name, check)| !finds(*mutant, name, &[*check]).contains(check))
        .map(|(mutant, name, check)| format!("{mutant} in {name} is not found by {check}"))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Without the one check that sees it, each of these lives.
#[test]
fn a_check_that_is_switched_off_lets_a_mutant_live() {
    for (mutant, name, check) in [
        (Mutant::ExceedCapacity, "pool-exhaustion", Check::Limits),
        (Mutant::ForgetTypes, "lag", Check::Session),
        (Mutant::SplitWithoutAutocommit, "killed-connections", Check::Errors),
        (Mutant::SwallowCommitFailure, "killed-connections", Check::Once),
    ] {
        let others: Vec<Check> = Check::ALL.iter().copied().filter(|other| *other != check).collect();
        assert_eq!(finds(mutant, name, &others), [], "{mutant} is seen by others than {check}");
    }
}
