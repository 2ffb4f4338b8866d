//! Planned changes of primary in the simulator, where clients contend: the primary is drained first, so the change comes about; or it is
//! declined in time, and nobody has noticed. And what broken rules of that look like.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::marks::{Mark, hits};
use weir_core::mutants::{Mutant, Mutants};
use weir_sim::run::{Check, Failure, Options, run};
use weir_sim::scenario::{Scenario, library};

const UNDER_TRANSFERS: &str = "failover/planned-under-transfers";
const DECLINED: &str = "failover/planned-declined";
const STOPPED: &str = "failover/planned-successor-stopped";
const KILLED: &str = "failover/killed-while-drained";
const OUT_OF_SERVICE: &str = "failover/out-of-service";
const NOBODY: &str = "failover/nobody-in-service";

fn scenario(name: &str) -> Scenario {
    library::find(name).expect("it comes with Weir").expect("it can be read")
}

fn seeds(usual: u64) -> u64 {
    std::env::var("WEIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

fn failures(name: &str, seed: u64, mutants: Mutants) -> Vec<Failure> {
    run(&scenario(name), seed, Options { mutants, ..Options::default() }).failures
}

#[test]
fn what_is_open_ends_and_nothing_else_begins() {
    for name in [UNDER_TRANSFERS, DECLINED, STOPPED, KILLED, OUT_OF_SERVICE, NOBODY] {
        for seed in 0..seeds(8) {
            assert_eq!(failures(name, seed, Mutants::NONE), [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn the_rules_of_it_are_reached() {
    let before = hits();
    for name in [UNDER_TRANSFERS, DECLINED] {
        (0..seeds(4)).for_each(|seed| drop(failures(name, seed, Mutants::NONE)));
    }
    let times = |mark: Mark| (mark.name(), hits()[mark as usize] - before[mark as usize]);
    let reached = [Mark::TabletDrains, Mark::DrainCompletes, Mark::DrainEndsInVain, Mark::PinnedHeld].map(times);
    assert!(reached.iter().all(|(_, times)| *times > 0), "{reached:?}");
}

/// In which scenario a broken rule shows, and who notices.
const FOUND: &[(Mutant, &str, &[Check])] = &[
    (Mutant::RestAtOnce, UNDER_TRANSFERS, &[Check::Planned, Check::Undisturbed]),
    (Mutant::DrainHoldsOpen, UNDER_TRANSFERS, &[Check::Planned]),
    (Mutant::DrainNothing, UNDER_TRANSFERS, &[Check::Planned, Check::Undisturbed]),
    (Mutant::LeaveSuccessor, STOPPED, &[Check::Planned]),
    (Mutant::IgnorePromotion, OUT_OF_SERVICE, &[Check::Terms]),
    (Mutant::DrainForever, DECLINED, &[Check::Planned, Check::Undisturbed, Check::Latency]),
];

#[test]
fn broken_rules_are_missed() {
    for (mutant, name, checks) in FOUND {
        let noticed =
            |seed| failures(name, seed, Mutants::only(*mutant)).iter().any(|failure| checks.contains(&failure.check));
        assert!((0..seeds(16)).any(noticed), "{mutant}");
    }
}
