//! The simulator keeps its word: a seed repeats, the scenarios hold, and rules broken on purpose are missed.

use std::collections::BTreeSet;
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
    (Mutant::KeepInsertId, "churn", Check::Session),
];

/// Rules of failover, which no scenario rehearses yet: the tests of their machines find them.
const UNSEEN: &[Mutant] = &[Mutant::IgnorePromise];

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

/// What notices a broken rule, in its scenario.
fn noticed_by(mutant: Mutant, name: &str) -> BTreeSet<Check> {
    let scenario = Scenario { must: Check::ALL.to_vec(), ..scenario(name) };
    let options = Options { mutants: Mutants::only(mutant), ..Options::default() };
    let failures = (0..SEEDS).flat_map(|seed| run(&scenario, seed, options).failures);
    failures.map(|failure| failure.check).collect()
}

/// Each broken rule is noticed by the check that is meant to, and each check notices one that no other does: with the check
/// switched off, that one would live.
#[test]
fn every_broken_rule_is_noticed_and_every_check_is_needed() {
    let matrix: Vec<(Mutant, Check, BTreeSet<Check>)> =
        FOUND.iter().map(|(mutant, name, check)| (*mutant, *check, noticed_by(*mutant, name))).collect();
    let table: Vec<String> = matrix.iter().map(|(mutant, _, by)| format!("{mutant}: {by:?}")).collect();
    let table = table.join("\n");
    for (mutant, check, by) in &matrix {
        assert!(by.contains(check), "{mutant} is not noticed by {check}\n{table}");
    }
    for check in Check::ALL {
        let only = BTreeSet::from([*check]);
        assert!(matrix.iter().any(|(.., by)| *by == only), "{check} notices nothing that others do not\n{table}");
    }
}
