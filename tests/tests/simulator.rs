//! The simulator keeps its word: a seed repeats, the scenarios hold, and rules broken on purpose are missed.

use std::collections::BTreeSet;
use weir_core::marks::{Mark, hits};
use weir_core::mutants::{Mutant, Mutants};
use weir_core::orch::analysis::Code;
use weir_sim::check::history::Level;
use weir_sim::run::{Check, Levels, Options, run, written_out};
use weir_sim::scenario::{Scenario, library};
use weir_sim::shrink::{Size, Verdict, shrink};
use weir_sim::world::trace::divergence;

/// Seeds within which a mutant must be found, in its scenario.
const SEEDS: u64 = 8;

/// In which scenario a broken rule shows, and who notices.
const FOUND: &[(Mutant, &str, Check)] = &[
    (Mutant::SkipWait, "lag", Check::ReadYourWrites),
    (Mutant::IgnorePosition, "lag", Check::ReadYourWrites),
    (Mutant::RetryForgetsPosition, "incidents/forgotten-position", Check::ReadYourWrites),
    (Mutant::AheadOfWrites, "lanes", Check::Appends),
    (Mutant::RetryUnknownWrite, "incidents/silent-commit", Check::Appends),
    (Mutant::ReleaseUncleaned, "churn", Check::Session),
    (Mutant::AnswerAfterWait, "lag", Check::Appends),
    (Mutant::SplitWithoutAutocommit, "churn", Check::Errors),
    (Mutant::SplitLockingReads, "locking-reads", Check::Linearizable),
    (Mutant::ReleaseInTransaction, "killed-connections", Check::Bank),
    (Mutant::SkipSettings, "incidents/foreign-state", Check::Session),
    (Mutant::MixMetadata, "half-open", Check::Outcomes),
    (Mutant::IgnoreTracker, "churn", Check::Session),
    (Mutant::LeaveScopes, "churn", Check::Session),
    (Mutant::IgnoreTriggers, "churn", Check::Session),
    (Mutant::IgnoreFunctions, "churn", Check::Session),
    (Mutant::WrongStatement, "lag", Check::Session),
    (Mutant::ForgetTypes, "lag", Check::Session),
    (Mutant::HideTransactionLoss, "incidents/lost-transaction", Check::Bank),
    (Mutant::SwallowCommitFailure, "incidents/swallowed-commit", Check::Once),
    (Mutant::RepeatHalfAnswered, "incidents/torn-results", Check::Outcomes),
    (Mutant::EndTornRows, "incidents/torn-results", Check::Session),
    (Mutant::KillHitsNextUser, "kill", Check::Kills),
    (Mutant::GiveUpServer, "incidents/refused-connections", Check::Progress),
    (Mutant::BeatAnywhere, "incidents/written-replica", Check::Converged),
    (Mutant::StaleDiagnostics, "churn", Check::Session),
    (Mutant::IgnoreLeft, "churn", Check::Session),
    (Mutant::ExceedCapacity, "pool-exhaustion", Check::Limits),
    (Mutant::LeakClosed, "incidents/leaked-connections", Check::Leaks),
    (Mutant::KeepInsertId, "incidents/foreign-state", Check::Session),
    (Mutant::ForeignPosition, "consistency/session", Check::ReadYourWrites),
    (Mutant::ForgetGateway, "consistency/instance", Check::Instance),
    (Mutant::AcknowledgeLate, "consistency/acknowledged-by-error", Check::Instance),
    (Mutant::WaitTooLong, "consistency/stalled-replica", Check::Latency),
    (Mutant::StayOnSilent, "consistency/frozen-replica", Check::Latency),
    (Mutant::AnswerFromOwn, "consistency/global", Check::Global),
    (Mutant::ShareTooMuch, "consistency/instance", Check::Instance),
    (Mutant::JoinQuestion, "incidents/shared-answer", Check::Global),
    (Mutant::ForgetReads, "consistency/monotonic", Check::Monotonic),
    (Mutant::NoBuffer, "failover/primary-killed", Check::Undisturbed),
    (Mutant::BufferReplaysUnknown, "failover/answers-lost", Check::Appends),
    (Mutant::BufferForever, "failover/no-successor", Check::Latency),
    (Mutant::IgnorePromotion, "failover/promotion", Check::Terms),
    (Mutant::Blind(Code::NotEnoughAckers), "analysis/not-enough-ackers", Check::Finds),
    (Mutant::ChooseLeaving, "failover/everybody-leaves", Check::Finds),
    (Mutant::Blind(Code::PrimaryIsLeaving), "analysis/primary-is-leaving", Check::Finds),
    (Mutant::Blind(Code::ReplicaIsWritable), "analysis/replica-is-writable", Check::Whole),
    (Mutant::ReplayUnchecked, "failover/transaction-replay", Check::Serial),
    (Mutant::GuessCommitLost, "failover/commits-lost", Check::Once),
    (Mutant::GuessCommitDone, "failover/commits-lost", Check::Once),
    (Mutant::DrainHoldsOpen, "failover/planned-under-transfers", Check::Planned),
    (Mutant::StopAmidTransactions, "gateway-stop", Check::Undisturbed),
    (Mutant::BelieveMinority, "consensus/minority", Check::Members),
    (Mutant::AskOutsideTheGroup, "consensus/expelled-early", Check::Global),
    (Mutant::BelieveOldView, "consensus/primary-paused", Check::Appends),
    (Mutant::ReadJoining, "consensus/rejoin", Check::Members),
];

/// Rules of failover: the other tests of the simulator find some, tests of their machines others.
const UNSEEN: &[Mutant] = &[
    Mutant::IgnorePromise,
    Mutant::SkipIntersection,
    Mutant::SkipRecheck,
    Mutant::PromoteWithoutRecruiting,
    Mutant::NoFence,
    Mutant::ForgetPromise,
    Mutant::ActWithoutLock,
    Mutant::TrustReadOnly,
    Mutant::ForgetLoss,
    Mutant::ServeUnproven,
    Mutant::ReadOnce,
    Mutant::TrustRecord,
    Mutant::CondemnUnheard,
    Mutant::OverlookWaiting,
    Mutant::DrainForever,
    Mutant::DrainNothing,
    Mutant::RestAtOnce,
    Mutant::AwaitSuccessor,
    Mutant::ThrowAwayReceived,
    Mutant::CountApplied,
    Mutant::SilentWinner,
    Mutant::OverlookDetached,
    Mutant::LeaveSuccessor,
    Mutant::RepairInOrder,
    Mutant::CoolDown,
    Mutant::TrustSilence,
    Mutant::ReplayUnchecked,
    Mutant::GuessCommitLost,
    Mutant::GuessCommitDone,
    Mutant::ThrowAwayRestarted,
    Mutant::ForgetPolicy,
    Mutant::TrustGroupPrimary,
    Mutant::RebuildForgetsPromise,
    Mutant::RebuildFromAnybody,
    Mutant::RebuildAtWrongPosition,
];

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
        assert!(outcome.operations > 100, "{name}: clients did little");
    }
}

/// A level at which nobody could have missed anything was not put to the test.
#[test]
fn replicas_answer_at_every_level_and_some_of_what_they_know_is_old() {
    let mut levels = Levels::default();
    for seed in 0..SEEDS {
        levels.add(&run(&scenario("consistency/levels"), seed, Options::default()).levels);
    }
    assert_eq!(levels.tallies.len(), 5, "{levels}");
    assert!(levels.tallies.values().all(|tally| tally.on_replicas > 50), "{levels}");
    for (asked, tally) in &levels.tallies {
        match asked.level {
            Level::Eventual => assert!(tally.stale > 10, "{levels}"),
            Level::Global => assert_eq!(tally.stale, 0, "{levels}"),
            Level::Session | Level::Instance => {}
        }
    }
}

/// What notices a broken rule in its scenario, with one seed after the other until the check that is meant to does. With
/// `WEIR_SIM_SEEDS=20`, all of twenty seeds are run.
fn noticed_by(mutant: Mutant, name: &str, meant: Check) -> BTreeSet<Check> {
    let mut scenario = Scenario { must: Check::ALL.to_vec(), ..scenario(name) };
    if meant != Check::Finds {
        // Most scenarios expect nothing to be found.
        scenario.finds.clear();
    }
    let options = Options { mutants: Mutants::only(mutant), ..Options::default() };
    let all: Option<u64> = std::env::var("WEIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut by = BTreeSet::new();
    for seed in 0..all.unwrap_or(SEEDS) {
        by.extend(run(&scenario, seed, options).failures.into_iter().map(|failure| failure.check));
        if all.is_none() && by.contains(&meant) {
            break;
        }
    }
    by
}

/// Each broken rule is noticed by the check that is meant to, and for each check there is one that would live with it switched off.
#[test]
fn every_broken_rule_is_noticed_and_checks_earn_their_place() {
    let row = |(mutant, name, check): &(Mutant, &str, Check)| (*mutant, *check, noticed_by(*mutant, name, *check));
    let matrix: Vec<(Mutant, Check, BTreeSet<Check>)> = FOUND.iter().map(row).collect();
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

#[test]
fn faults_that_are_written_out_are_the_same_faults() {
    let explicit = written_out(&scenario("swarm"), 3);
    assert!(explicit.swarm.is_none() && !explicit.faults.is_empty());
    let read_again = Scenario::parse(&explicit.to_toml().expect("it can be written")).expect("it can be read");
    let hash = |scenario: &Scenario| run(scenario, 3, Options::default()).trace.hash();
    assert_eq!(hash(&scenario("swarm")), hash(&read_again));
}

#[test]
fn a_failing_run_shrinks_to_what_makes_it_fail() {
    const SEED: u64 = 1;
    let original = Scenario { must: vec![Check::Appends], ..written_out(&scenario("lag"), SEED) };
    let options = Options { mutants: Mutants::only(Mutant::SkipWait), ..Options::default() };
    let smallest = shrink(&original, &mut |candidate| {
        if run(candidate, SEED, options).failures.is_empty() { Verdict::Passes } else { Verdict::Fails }
    });
    let (before, after) = (Size::of(&original), Size::of(&smallest));
    assert!(after.faults < before.faults && after.clients < before.clients && after.operations.is_some(), "{after:?}");
    let written = Scenario::parse(&smallest.to_toml().expect("it can be written")).expect("it can be read");
    assert_eq!(written.seed, Some(SEED));
    assert_ne!(run(&written, SEED, options).failures, [], "it fails while the rule is broken");
    assert_eq!(run(&written, SEED, Options::default()).failures, [], "and holds otherwise");
}

/// What every exploration of the scenarios must reach. `weir-sim coverage` tells of all.
#[test]
fn scenarios_reach_the_rules_that_they_rehearse() {
    for (name, mark) in [
        ("lag", Mark::ReadWaits),
        ("lag", Mark::ReadFallsBack),
        ("consistency/levels", Mark::WaitShared),
        ("consistency/levels", Mark::WaitServes),
        ("consistency/levels", Mark::WaitLate),
        ("killed-connections", Mark::TransactionLost),
        ("killed-connections", Mark::OutcomeUnknown),
        ("pool-exhaustion", Mark::PoolWaits),
        ("churn", Mark::LeftClean),
    ] {
        let reaches = |seed| {
            let before = hits()[mark as usize];
            assert_eq!(run(&scenario(name), seed, Options::default()).failures, []);
            hits()[mark as usize] > before
        };
        assert!((0..SEEDS).any(reaches), "{name} does not reach {}", mark.name());
    }
}
