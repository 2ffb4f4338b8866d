//! Each pair of hosts is cut off from each other for a while: packets between them are lost without a word.

use crate::every;
use std::time::Duration;
use weir_tests::{Deployment, Load, Written as _, has_own_network};

/// Longer than leases and health streams last.
const CUT_OFF: Duration = Duration::from_secs(6);

#[test]
fn each_pair_of_hosts_may_be_cut_off_from_each_other() {
    if !has_own_network("partitions::each_pair_of_hosts_may_be_cut_off_from_each_other") {
        return;
    }
    let deployment = Deployment::on_hosts();
    let mut load = Load::start(&deployment);
    for (one, other) in pairs() {
        let [one_host, other_host] = [one, other].map(|number| &deployment.hosts()[number]);
        one_host.part_from(other_host);
        std::thread::sleep(CUT_OFF);
        one_host.heal();
        let healed = deployment.wait_until_healed();
        load.wait_for_progress();
        eprintln!("hosts {one} and {other} were cut off from each other; healed {healed:?} later");
    }
    load.stop(&deployment);
    if std::env::var_os("WEIR_TEST_LOG").is_some() {
        eprintln!("{}", deployment.output());
    }
}

/// Each with `every`; else two hosts of tablets, the first primary's among them, and a gateway's and that one's.
fn pairs() -> Vec<(usize, usize)> {
    if every().is_some() {
        return (0..5).flat_map(|one| (one + 1..5).map(move |other| (one, other))).collect();
    }
    vec![(0, 1), (0, 3)]
}
