//! What survives a crash, and when a commit is answered.

use super::*;
use crate::world::disk::Crash;
use weir_core::rng::Rng;

fn with_table(settings: &[&str]) -> (Bench, SessionId) {
    let mut bench = bench(Flavor::MariaDb);
    let id = bench.connect();
    settings.iter().for_each(|sql| {
        bench.ok(id, sql);
    });
    bench.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    bench.pass(Duration::from_secs(3));
    (bench, id)
}

fn restart(bench: Bench, power_lost: bool, seed: u64) -> (Bench, SessionId) {
    let storage = bench.server.crash(&mut Crash { power_lost, rng: &mut Rng::new(seed) });
    let config = Config { start_replica: false, ..Config::new(Flavor::MariaDb, 1) };
    let mut bench = Bench::on(Server::start(bench.now, config, storage));
    let id = bench.connect();
    (bench, id)
}

#[test]
fn a_commit_is_answered_when_it_is_synced() {
    let (mut b, id) = with_table(&[]);
    b.slow_disk = true;
    let other = b.connect();
    assert!(b.send(id, "INSERT INTO t VALUES (1)").is_none());
    assert_eq!(b.rows(other, "SELECT COUNT(*) FROM t"), "0", "not visible before it is durable");
    b.finish_sync();
    assert!(b.take_done(id).is_some());
    let (mut b, id) = restart(b, true, 1);
    assert_eq!(b.rows(id, "SELECT * FROM t"), "1");
}

#[test]
fn commits_that_come_during_a_sync_share_the_next() {
    let (mut b, one) = with_table(&[]);
    let (two, three) = (b.connect(), b.connect());
    b.slow_disk = true;
    for (session, key) in [(one, 1), (two, 2), (three, 3)] {
        assert!(b.send(session, &format!("INSERT INTO t VALUES ({key})")).is_none());
    }
    b.finish_sync();
    assert!(b.take_done(one).is_some() && b.take_done(two).is_none());
    b.finish_sync();
    assert!(b.take_done(two).is_some() && b.take_done(three).is_some());
    assert!(b.syncs.is_empty());
}

#[test]
fn without_sync_an_answered_commit_may_be_lost_with_the_power_but_not_with_the_process() {
    let fast = ["SET GLOBAL sync_binlog = 0", "SET GLOBAL innodb_flush_log_at_trx_commit = 2"];
    let run = |power_lost, seed| {
        let (mut b, id) = with_table(&fast);
        b.ok(id, "INSERT INTO t VALUES (1)");
        let (mut b, id) = restart(b, power_lost, seed);
        b.rows(id, "SELECT COUNT(*) FROM t")
    };
    assert!((0..20).all(|seed| run(false, seed) == "1"));
    assert!((0..20).any(|seed| run(true, seed) == "0"));
}

#[test]
fn an_open_transaction_does_not_survive_and_settings_fall_back() {
    let (mut b, id) = with_table(&["SET GLOBAL read_only = 1"]);
    b.ok(id, "BEGIN");
    b.ok(id, "INSERT INTO t VALUES (1)");
    let (mut b, id) = restart(b, false, 1);
    assert_eq!(b.rows(id, "SELECT COUNT(*) FROM t"), "0");
    assert_eq!(b.rows(id, "SELECT @@read_only"), "0", "SET GLOBAL is forgotten");
    b.ok(id, "INSERT INTO t VALUES (2)");
    assert_eq!(b.rows(id, "SELECT @@gtid_binlog_pos"), "0-1-2", "numbers go on after the last durable one");
}

#[test]
fn on_a_full_disk_commits_hang_until_there_is_space() {
    let (mut b, id) = with_table(&[]);
    b.server.set_disk_full(b.now, true);
    assert!(b.send(id, "INSERT INTO t VALUES (1)").is_none());
    b.pass(Duration::from_secs(100));
    assert!(b.take_done(id).is_none());
    b.server.set_disk_full(b.now, false);
    b.drain();
    assert!(b.take_done(id).is_some());
}
