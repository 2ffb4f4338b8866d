//! Each process of an older version becomes one of this in turn, while clients of both gateways write. `./x upgrade COMMIT` runs it.

use std::path::PathBuf;
use std::time::Duration;
use weir_tests::{Deployment, Load, Part, Weir, eventually};

/// An orchestrator obeys by then.
const ASKED_MAX: Duration = Duration::from_secs(30);

/// As operators do: whoever decides, then whoever obeys, then whoever asks.
const ORDER: [Part; 8] = [
    Part::Orchestrator(0),
    Part::Orchestrator(1),
    Part::Orchestrator(2),
    Part::Tablet(0),
    Part::Tablet(1),
    Part::Tablet(2),
    Part::Gateway(0),
    Part::Gateway(1),
];

#[test]
fn each_process_may_be_upgraded_in_turn() {
    for order in [ORDER, reversed()] {
        upgrade(&order);
    }
}

/// Whoever asks first: gateways must do without what older tablets do not know.
fn reversed() -> [Part; 8] {
    let mut order = ORDER;
    order.reverse();
    order
}

/// As docs/src/operations.md has it done: a tablet's server stops with it. Where the other is not ready for it yet, the primary stays.
fn make_another_primary(deployment: &Deployment, primary: usize) {
    let (to, etcd) = (format!("local-{}", (primary + 1) % 3 + 1), deployment.etcd());
    let ask = || Weir::ctl(&["reparent", "--to", &to, "--etcd", &etcd]);
    eventually(ASKED_MAX, "a planned change", || ask().inspect_err(|why| eprintln!("{why}")).is_ok());
}

fn upgrade(order: &[Part]) {
    let from = std::env::var_os("WEIR_OLDER_PROGRAMS").expect("WEIR_OLDER_PROGRAMS: where those are");
    let mut deployment = Deployment::start_from(&PathBuf::from(from));
    let mut load = Load::start(&deployment);
    for part in order {
        if let Part::Tablet(number) = *part
            && number == deployment.primary()
        {
            make_another_primary(&deployment, number);
        }
        load.while_away(*part, || deployment.upgrade(*part));
        eprintln!("{part:?} is upgraded; all in their places {:?} later", deployment.wait_until_healed());
    }
    load.stop(&deployment);
}
