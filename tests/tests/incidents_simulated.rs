//! What others have suffered when primaries died or changed: rehearsed, and suffered again when the rule that prevents it is
//! broken. `docs/src/incidents.md` has the whole list.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::mutants::{Mutant, Mutants};
use weir_core::orch::analysis::Code;
use weir_sim::run::{Check, Failure, Options, run};
use weir_sim::scenario::{Scenario, library};

/// Seeds within which a broken rule is noticed.
const SEEDS: u64 = 4;

/// The scenario, the rule whose breach brings the incident back, and who notices.
const INCIDENTS: &[(&str, Mutant, Check)] = &[
    ("hanging-applier", Mutant::ThrowAwayReceived, Check::Appends),
    ("lagging-replicas", Mutant::CountApplied, Check::Appends),
    ("silent-winner", Mutant::SilentWinner, Check::Terms),
    ("degraded-semi-sync", Mutant::Blind(Code::PrimarySemiSyncDiffers), Check::Appends),
    ("semi-sync-deadlock", Mutant::RepairInOrder, Check::Latency),
    ("cool-down", Mutant::CoolDown, Check::Latency),
    ("errant-demoted-primary", Mutant::OverlookDetached, Check::Finds),
    ("deaf-primary", Mutant::Blind(Code::PrimaryCannotLead), Check::Latency),
    ("saturated-primary", Mutant::TrustSilence, Check::Undisturbed),
    ("first-query", Mutant::NoBuffer, Check::Undisturbed),
    ("successor-dies", Mutant::AwaitSuccessor, Check::Latency),
    ("passed-on-early", Mutant::OverlookWaiting, Check::Whole),
];

fn scenario(name: &str) -> Scenario {
    library::find(&format!("incidents/{name}")).expect("it comes with Weir").expect("it can be read")
}

fn seeds(usual: u64) -> u64 {
    std::env::var("WEIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

fn failures(scenario: &Scenario, seed: u64, mutants: Mutants) -> Vec<Failure> {
    run(scenario, seed, Options { mutants, ..Options::default() }).failures
}

#[test]
fn what_others_suffered_does_no_harm() {
    for (name, ..) in INCIDENTS {
        for seed in 0..seeds(2) {
            assert_eq!(failures(&scenario(name), seed, Mutants::NONE), [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn it_does_when_the_rule_that_prevents_it_is_broken() {
    let mut unseen = Vec::new();
    for (name, mutant, check) in INCIDENTS {
        let mut seen = Vec::new();
        for seed in 0..SEEDS {
            seen.extend(failures(&scenario(name), seed, Mutants::only(*mutant)).into_iter().map(|f| f.check));
            if seen.contains(check) {
                break;
            }
        }
        if !seen.contains(check) {
            unseen.push(format!("{name}: {mutant} is not noticed by {check}, only by {seen:?}"));
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
}
