//! All of Weir is killed at any moment of a planned change, and its servers with it: the next Weir completes the change or undoes it,
//! and nothing is lost that was acknowledged.
//!
//! `WEIR_FAILOVER_KILLS` says how often (2), `WEIR_FAILOVER_SEED` makes the moments those of another run.

use crate::shard::{Shard, reparent};
use std::time::{Duration, SystemTime};
use weir_core::rng::Rng;
use weir_tests::{Writers, Written};

const CLIENTS: usize = 8;
/// A change has ended by then, and mostly long before.
const CHANGE_MAX_US: u64 = 300_000;
/// The shard has its primary by then, and the others follow.
const HEALED_MAX: Duration = Duration::from_secs(90);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn a_weir_that_is_killed_during_a_change_is_succeeded() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seed = number("WEIR_FAILOVER_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    eprintln!("WEIR_FAILOVER_SEED={seed}");
    let mut rng = Rng::new(seed);
    let mut shard = Shard::start(3);
    shard.query("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, client INT, number INT)");
    for round in 0..number("WEIR_FAILOVER_KILLS").unwrap_or(2) as usize {
        let mut writers = Writers::start(shard.address(), round * CLIENTS..(round + 1) * CLIENTS);
        writers.wait_for_progress();
        let before = shard.primary().expect("a primary");
        let (to, dir) = (before % 3 + 1, shard.data_dir());
        let change = std::thread::spawn(move || reparent(&dir, to));
        let moment = Duration::from_micros(rng.below(CHANGE_MAX_US));
        std::thread::sleep(moment);
        shard.kill_everything();
        let outcome = writers.stop();
        let said = change.join().expect("no panic");
        shard.start_again();
        assert_eq!(shard.wait_until_healed(HEALED_MAX), 0, "{}", shard.output());
        let after = shard.primary().expect("a primary");
        assert!(after == before || after == to, "{after} is primary, and nobody wanted that:\n{}", shard.output());
        assert!(said.is_err() || after == to, "it was told that {to} is primary:\n{}", shard.output());
        outcome.check(&shard);
        eprintln!("killed after {moment:?}: {before} was primary, {after} is; {}", outcome.summary());
    }
}
