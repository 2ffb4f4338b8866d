//! The primary of `weir up` is killed, stopped, cut off and replaced in order while clients write with autocommit: what was
//! acknowledged is there once, what was refused is not, and no client loses its connection. And all of Weir is killed while it
//! changes the primary. Servers that cannot follow are rebuilt.
//!
//! `WEIR_FAILOVER_ROUNDS=20` does each so many times and prints how long no write was answered, `WEIR_FAILOVER_THREADS=64` lets
//! so many threads of sysbench write besides (none where it is not installed). `WEIR_TEST_LOG=info` prints what Weir logs.

mod rebuilding;
mod rehearsal;
mod rolling;
mod shard;
mod succession;
mod sysbench;
mod transfers;

use rehearsal::rehearse;
use shard::Shard;
use std::cell::RefCell;
use std::time::Duration;
use weir_tests::{Cut, Written, eventually, has_own_network, in_time};

/// However busy the machine, writes are answered again in this time. What it takes on an idle one is in docs/src/failover.md.
const GAP_MAX: Duration = Duration::from_secs(15);

fn assert_median(sorted: &[Duration]) {
    in_time(sorted[sorted.len() / 2], GAP_MAX, || format!("the median of {sorted:?}"));
}

#[test]
fn a_primary_that_is_killed_is_replaced() {
    // It is started again by Weir.
    assert_median(&rehearse("kill -9", |shard, primary| shard.kill(primary), |_, _| {}));
}

#[test]
fn a_primary_is_replaced_in_order() {
    let reparent = |shard: &Shard, primary| {
        let said = shard.reparent(primary % 3 + 1).unwrap_or_else(|error| panic!("{error}\n{}", shard.output()));
        assert!(said.contains("is primary in term"), "{said}");
    };
    assert_median(&rehearse("planned", reparent, |_, _| {}));
}

#[test]
fn a_primary_that_stands_still_is_replaced_and_does_no_harm_when_it_wakes() {
    let freeze = |shard: &Shard, primary| shard.freeze(primary);
    assert_median(&rehearse("SIGSTOP", freeze, |shard, primary| shard.thaw(primary)));
}

#[test]
fn a_primary_that_is_cut_off_is_replaced_and_does_no_harm_when_it_is_back() {
    if !has_own_network("a_primary_that_is_cut_off_is_replaced_and_does_no_harm_when_it_is_back") {
        return;
    }
    let cut = RefCell::new(None);
    let cut_off = |shard: &Shard, primary| _ = cut.replace(Some(Cut::off(shard.port(primary))));
    assert_median(&rehearse("cut", cut_off, |_, _| _ = cut.take()));
}

#[test]
fn a_statement_that_writes_for_long_is_not_killed_for_a_planned_change() {
    let shard = Shard::start(2);
    shard.query("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, waited INT)");
    let before = shard.primary().expect("a primary");
    std::thread::scope(|scope| {
        let long = scope.spawn(|| shard.query("INSERT INTO d.t SELECT 1, SLEEP(3)"));
        std::thread::sleep(Duration::from_millis(500));
        let said = shard.reparent(before % 2 + 1).unwrap_or_else(|error| panic!("{error}\n{}", shard.output()));
        assert!(said.contains("is primary in term"), "{said}");
        long.join().expect("it has not failed");
    });
    assert_eq!(shard.on_primary("SELECT waited FROM d.t WHERE id = 1"), ["0"]);
    assert_ne!(shard.primary(), Some(before));
    assert!(!shard.output().contains("is ended, since it cannot be made read_only"), "{}", shard.output());
}

#[test]
fn an_operator_is_told_why_nothing_is_done() {
    let shard = Shard::start(2);
    assert!(shard.reparent(7).unwrap_err().contains("there is no tablet local-0000000007"));
    // It is ready before its orchestrator has written down that it is.
    let is_primary = || shard.reparent(1).is_ok_and(|said| said.contains("local-0000000001 is primary in term 1"));
    eventually(Duration::from_secs(10), "the first term is settled", is_primary);
    let nowhere = tempfile::tempdir().expect("a temporary directory");
    let error = shard::reparent(nowhere.path(), 1);
    assert!(error.unwrap_err().contains("no Weir runs in"));
}
