//! Changes of primary in the simulator: the scenarios hold, an orchestrator may die at any step, a policy that may lose writes
//! is seen to lose them, and broken rules are missed.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::mutants::{Mutant, Mutants};
use weir_core::time::Duration;
use weir_sim::run::{Check, Failure, Options, run};
use weir_sim::scenario::{Fault, Kind, Scenario, Span, library};

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

/// Also when it is written down amid all that, and read again.
#[test]
fn a_machine_that_is_told_the_same_again_decides_the_same() {
    let names = library::ALL.iter().map(|(name, _)| *name);
    for name in names.filter(|name| name.starts_with("failover/") || name.starts_with("analysis/")) {
        for seed in 0..seeds(1) {
            // It panics where there is a difference.
            let recorded = run(&scenario(name), seed, Options { recorded: true, ..Options::default() });
            let plain = run(&scenario(name), seed, Options::default());
            assert_eq!(recorded.trace.hash(), plain.trace.hash(), "{name}, seed {seed}: it is not in the way");
        }
    }
}

#[test]
fn a_primary_that_acknowledges_alone_loses_writes_and_that_is_noticed() {
    let lost = |failure: &Failure| matches!(failure.check, Check::Once | Check::Appends);
    let scenario = Scenario { must: Check::ALL.to_vec(), ..scenario(WITHOUT_ACKNOWLEDGEMENTS) };
    assert!((0..seeds(4)).any(|seed| failures(&scenario, seed, Mutants::NONE).iter().any(lost)));
}

/// A change of primary under a few clients: of one that dies, of one that is healthy, and to itself, under another policy.
const CHANGES: [&str; 3] = [
    "kind = 'kill'\non = 'server 1'\nlasts = '2s'",
    "kind = 'reparent'\non = 'server 2'",
    "kind = 'policy'\non = 'orchestrator 1'\nacks = 0",
];

/// A run in which only that happens, half a second after its clients have begun.
fn change(what: &str, orchestrators: u16) -> Scenario {
    let clients = "[[clients]]\nworkload = 'append'\ncount = 2\npause = '50ms'";
    let text = format!(
        "title = 'a change'\nduration = '3s'\ncalm = '20s'\n[cluster]\ngateways = 1\n[failover]\norchestrators = {orchestrators}\n\
         {clients}\n[[faults]]\nat = '500ms'\n{what}\n"
    );
    Scenario::parse(&text).expect("it can be read")
}

/// The same, and its first orchestrator dies when it has said so much.
fn interrupted(scenario: &Scenario, dies_after: u64) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.failover.as_mut().expect("somebody changes the primary").orchestrator_dies_after = Some(dies_after);
    scenario
}

fn words(scenario: &Scenario, seed: u64) -> u64 {
    run(scenario, seed, Options::default()).orders
}

/// With one more orchestrator, which carries on; and alone, so that it carries on itself when it is back.
#[test]
fn an_orchestrator_that_dies_at_any_step_is_succeeded() {
    for (what, orchestrators) in CHANGES.into_iter().flat_map(|what| [(what, 1), (what, 2)]) {
        let scenario = change(what, orchestrators);
        let mut deaths = 0;
        for seed in 0..seeds(4) {
            let all = words(&scenario, seed);
            for dies_after in (0..=all).take_while(|_| all > 0) {
                let scenario = interrupted(&scenario, dies_after);
                assert_eq!(
                    failures(&scenario, seed, Mutants::NONE),
                    [],
                    "{what}, seed {seed}: died after {dies_after}"
                );
                deaths += 1;
            }
        }
        assert!(deaths > 10, "{what}: only {deaths} steps with {orchestrators} orchestrators");
    }
}

/// Each tablet dies in turn, all along the change; and the orchestrator in the middle of it as well.
#[test]
fn a_tablet_that_dies_at_any_time_of_a_change_is_waited_for_or_done_without() {
    for what in CHANGES {
        let whole = change(what, 1);
        let middle = words(&whole, 1) / 2;
        for (n, tablet) in (0..36).zip([1, 2, 3].into_iter().cycle()) {
            let at = Span(Duration::from_millis(500 + 40 * n));
            let mut scenario = if n % 2 == 0 { whole.clone() } else { interrupted(&whole, middle) };
            let lasts = Span(Duration::from_millis(300));
            scenario.faults.push(Fault { at, lasts, ..Fault::new(Kind::Kill, format!("tablet {tablet}")) });
            assert_eq!(failures(&scenario, 1, Mutants::NONE), [], "{what}: tablet {tablet} died at {at:?}");
        }
    }
}

/// In which scenario a broken rule shows, and who notices.
const FOUND: &[(Mutant, &str, Check)] = &[
    (Mutant::NoFence, "failover/primary-and-gateway-cut-off", Check::Appends),
    (Mutant::ServeUnproven, "failover/primary-and-gateway-cut-off", Check::Global),
    (Mutant::TrustReadOnly, "failover/primary-and-gateway-cut-off", Check::Progress),
    (Mutant::ReadOnce, "failover/topology-refuses", Check::Progress),
    (Mutant::IgnorePromotion, "failover/promotion", Check::Terms),
    (Mutant::ThrowAwayRestarted, "failover/restarted-is-ahead", Check::Appends),
    (Mutant::ForgetPolicy, "failover/policy-and-loss", Check::Appends),
];

#[test]
fn broken_rules_are_missed() {
    for (mutant, name, check) in FOUND {
        let scenario = scenario(name);
        let noticed = |seed| failures(&scenario, seed, Mutants::only(*mutant)).iter().any(|f| f.check == *check);
        assert!((0..seeds(24)).any(noticed), "{mutant}");
    }
}
