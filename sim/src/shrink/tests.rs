use super::*;
use crate::scenario::{Kind, Workload};

fn scenario() -> Scenario {
    let text = "
        title = 'x'
        duration = '16s'
        [[clients]]
        workload = 'register'
        count = 4
        pause = '10ms'
        [[clients]]
        workload = 'bank'
        count = 5
        pause = '10ms'
        [[faults]]
        at = '1s'
        kind = 'kill'
        on = 'server 2'
        [[faults]]
        at = '1234567us'
        lasts = '3s'
        kind = 'pause'
        on = 'gateway 1'
        [[faults]]
        at = '4s'
        kind = 'full-disk'
        on = 'server 3'
    ";
    Scenario::parse(text).expect("it is right")
}

/// Two bankers for half a second with eleven operations each, while gateway 1 stands still.
fn fails(scenario: &Scenario) -> Verdict {
    let bankers = scenario.clients.iter().filter(|clients| clients.workload == Workload::Bank);
    let busy = bankers.filter(|clients| clients.operations.unwrap_or(u64::MAX) >= 11);
    let paused = scenario.faults.iter().any(|fault| fault.kind == Kind::Pause);
    let count: u64 = busy.map(|clients| clients.count).sum();
    if count >= 2 && paused && scenario.duration.0 >= Duration::from_millis(500) {
        Verdict::Fails
    } else {
        Verdict::Passes
    }
}

#[test]
fn only_what_makes_it_fail_is_left() {
    let smallest = shrink(&scenario(), &mut fails);
    assert_eq!(fails(&smallest), Verdict::Fails);
    assert_eq!(smallest.clients.len(), 1, "neighbours stand in one line: {smallest:?}");
    let size = Size::of(&smallest);
    assert_eq!((size.clients, size.faults, size.operations), (2, 1, Some(24)));
    assert_eq!(size.duration, Duration::from_millis(500));
    assert_eq!((smallest.cluster.servers, smallest.cluster.gateways), (1, 1));
    assert_eq!(smallest.faults[0].at.to_string(), "0s");
    assert!(Scenario::parse(&smallest.to_toml().unwrap()).is_ok());
}

#[test]
fn a_search_that_is_stopped_gives_the_smallest_found_until_then() {
    for tries in 0..20 {
        let mut left = tries;
        let smallest = shrink(&scenario(), &mut |candidate| {
            left -= 1;
            if left < 0 { Verdict::Stop } else { fails(candidate) }
        });
        assert_eq!(fails(&smallest), Verdict::Fails, "after {tries} tries");
    }
}

#[test]
fn the_same_search_goes_the_same_way() {
    let candidates = || {
        let mut all = Vec::new();
        let _ = shrink(&scenario(), &mut |candidate| {
            all.push(candidate.clone());
            fails(candidate)
        });
        all
    };
    assert_eq!(candidates(), candidates());
}
