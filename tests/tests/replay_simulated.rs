//! `transaction_replay` in the simulator: transactions outlive their primary, and a COMMIT whose answer was lost is settled.
//! What its broken rules look like is in `simulator.rs`.
//!
//! With `WEIR_SIM_SEEDS=100`, each scenario runs with as many seeds.

use weir_core::marks::{Mark, hits};
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

fn failures(scenario: &Scenario, seed: u64) -> Vec<Failure> {
    run(scenario, seed, Options::default()).failures
}

#[test]
fn transactions_outlive_their_primary() {
    for name in [REPLAYED, COMMITS_LOST] {
        for seed in 0..seeds(6) {
            assert_eq!(failures(&scenario(name), seed), [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn without_replay_the_same_clients_are_disturbed() {
    let mut scenario = scenario(COMMITS_LOST);
    scenario.cluster.transaction_replay = false;
    let disturbed = |seed| failures(&scenario, seed).iter().any(|f| f.check == Check::Undisturbed);
    assert!((0..seeds(4)).any(disturbed));
}

#[test]
fn commits_are_settled_both_ways() {
    let before = hits();
    let seeds = seeds(8);
    (0..seeds).for_each(|seed| drop(failures(&scenario(COMMITS_LOST), seed)));
    let times = |mark: Mark| (mark.name(), hits()[mark as usize] - before[mark as usize]);
    let reached = [Mark::CommitSettledDone, Mark::CommitSettledLost, Mark::ReplayDone, Mark::ReplayDiffers].map(times);
    assert!(reached.iter().all(|(_, times)| *times > 0), "{reached:?} in {seeds} runs");
}
