//! Every finding that orchestrators know is rehearsed: something brings it about, it is found, and what it asks for is done.
//! Orchestrators that are blind to it are noticed.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::mutants::{Mutant, Mutants};
use weir_core::orch::analysis::Code;
use weir_sim::run::{Check, Failure, Options, run};
use weir_sim::scenario::{Scenario, library};

/// Seeds within which blindness to a finding is noticed, by every check that is to notice it.
const SEEDS: u64 = 3;

/// The code's own scenario: `ReplicaIsWritable` has `analysis/replica-is-writable`.
fn scenario(code: Code) -> Scenario {
    let mut name = "analysis/".to_owned();
    for (at, letter) in code.name().char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    library::find(&name).unwrap_or_else(|| panic!("there is no {name}")).expect("it can be read")
}

fn seeds(usual: u64) -> u64 {
    std::env::var("WEIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

fn failures(scenario: &Scenario, seed: u64, mutants: Mutants) -> Vec<Failure> {
    run(scenario, seed, Options { mutants, ..Options::default() }).failures
}

#[test]
fn everything_that_can_be_wrong_is_found_and_put_right() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let scenario = scenario(*code);
        assert!(scenario.finds.iter().any(|finds| finds.code == *code), "{code} is not asked for");
        for seed in 0..seeds(2) {
            let failures = failures(&scenario, seed, Mutants::NONE);
            if !failures.is_empty() {
                wrong.push(format!("{code}, seed {seed}: {failures:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What else goes wrong when orchestrators are blind to a finding. For the others nothing does: another finding leads to the
/// same repair, or there is nothing to be done but to tell somebody.
const FELT: &[(Code, Check)] = &[
    (Code::UnfinishedChange, Check::Progress),
    (Code::ClusterHasNoPrimary, Check::Progress),
    (Code::TermAhead, Check::Progress),
    (Code::DeadPrimary, Check::Latency),
    (Code::DeadPrimaryAndSomeReplicas, Check::Latency),
    (Code::PrimaryCannotLead, Check::Latency),
    (Code::PrimaryDoesNotLead, Check::Latency),
    (Code::PrimarySemiSyncDiffers, Check::Appends),
    (Code::ReplicaIsWritable, Check::Whole),
    (Code::ConnectedToWrongPrimary, Check::Whole),
    (Code::ReplicationStopped, Check::Converged),
    (Code::ReplicaSemiSyncDiffers, Check::Whole),
    (Code::ReplicaOfOldTerm, Check::Whole),
    (Code::ReplicaLostRelayLog, Check::Latency),
];

#[test]
fn blindness_to_any_finding_is_noticed() {
    for code in Code::ALL {
        let (scenario, mutants) = (scenario(*code), Mutants::only(Mutant::Blind(*code)));
        let mut missing: Vec<Check> = FELT.iter().filter(|(felt, _)| felt == code).map(|(_, check)| *check).collect();
        missing.push(Check::Finds);
        for seed in 0..SEEDS {
            let noticed: Vec<Check> = failures(&scenario, seed, mutants).into_iter().map(|f| f.check).collect();
            missing.retain(|check| !noticed.contains(check));
            if missing.is_empty() {
                break;
            }
        }
        assert!(missing.is_empty(), "nobody is found blind to {code} by {missing:?}");
    }
}

/// Rules of the repairs, in which finding's scenario their breach shows, and who notices.
const BROKEN: &[(Mutant, Code, Check)] = &[
    (Mutant::TrustRecord, Code::TermAhead, Check::Terms),
    (Mutant::CondemnUnheard, Code::ReplicaOfOldTerm, Check::Finds),
    (Mutant::RebuildFromAnybody, Code::ReplicaCannotFollow, Check::Finds),
    (Mutant::RebuildAtWrongPosition, Code::ReplicaCannotFollow, Check::Converged),
    (Mutant::RebuildForgetsPromise, Code::ReplicaCannotFollow, Check::Terms),
];

#[test]
fn broken_repairs_are_noticed() {
    for (mutant, code, check) in BROKEN {
        let noticed = |seed| failures(&scenario(*code), seed, Mutants::only(*mutant)).iter().any(|f| f.check == *check);
        assert!((0..SEEDS).any(noticed), "{mutant}");
    }
}
