//! Every server is restarted in turn, as for an upgrade: `weir ctl drain`, stop, `weir ctl undrain`. Nobody notices.

use crate::shard::Shard;
use std::thread::sleep;
use std::time::Duration;
use weir_tests::{Writers, Written, eventually};

const CLIENTS: usize = 16;
const HEALED_MAX: Duration = Duration::from_secs(90);
/// Whoever starts servers again that died has looked several times by then.
const KEEPER_PATIENCE: Duration = Duration::from_secs(2);

/// What SHOW WEIR TABLETS says of a tablet.
fn row(shard: &Shard, server: u16) -> String {
    let said = shard.query("SHOW WEIR TABLETS");
    let row = said.lines().find(|line| line.starts_with(&format!("local-{server:010}"))).map(str::to_owned);
    row.expect("a row for every tablet")
}

#[test]
fn all_servers_are_restarted_in_turn_and_no_client_notices() {
    let shard = Shard::start(3);
    shard.query("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, client INT, number INT)");
    shard.wait_until_healed(HEALED_MAX);
    let mut writers = Writers::start(shard.address(), 0..CLIENTS);
    for server in [1, 2, 3] {
        writers.wait_for_progress();
        let was_primary = shard.primary() == Some(server);
        let said = shard.ctl("drain", server).unwrap_or_else(|error| panic!("{error}\n{}", shard.output()));
        assert!(said.contains("is out of service: its server may be stopped"), "{said}");
        assert_eq!(said.contains("is primary in term"), was_primary, "{said}");
        assert!(row(&shard, server).contains("drained by an operator"), "{}", row(&shard, server));
        shard.stop(server);
        eventually(HEALED_MAX, "the server stops", || shard.is_down(server));
        sleep(KEEPER_PATIENCE);
        assert!(shard.is_down(server), "it is not started again by itself");
        let error = shard.reparent(server).expect_err("it is out of service");
        assert!(error.contains("is out of service"), "{error}");
        writers.wait_for_progress();
        shard.ctl("undrain", server).unwrap_or_else(|error| panic!("{error}\n{}", shard.output()));
        eventually(HEALED_MAX, "the server runs again", || !shard.is_down(server));
        shard.wait_until_healed(HEALED_MAX);
        assert!(!row(&shard, server).contains("drained by an operator"));
    }
    writers.wait_for_progress();
    let outcome = writers.stop();
    eprintln!("rolling restart: {}", outcome.summary());
    outcome.check(&shard);
    outcome.check_that_connections_were_kept(&shard);
    assert!(outcome.summary().contains("0 of unknown outcome, 0 refused, 0 connections lost"), "{}", outcome.summary());
}
