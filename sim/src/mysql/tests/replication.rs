//! A source and a replica joined by hand: receiver, applier, semi-sync, errant writes.

use super::*;
use std::collections::VecDeque;

/// A source and a replica, joined by hand.
struct Couple {
    source: Bench,
    replica: Bench,
    next: u64,
    connection: u64,
    /// Acknowledgements on their way back are held.
    deaf: bool,
    held: VecDeque<u64>,
}

fn couple(flavor: Flavor) -> Couple {
    let config = |id| Config { start_replica: false, ..Config::new(flavor, id) };
    let mut couple = Couple {
        source: Bench::on(Server::start(Instant::ZERO, config(1), Storage::default())),
        replica: Bench::on(Server::start(Instant::ZERO, config(2), Storage::default())),
        next: 0,
        connection: 0,
        deaf: false,
        held: VecDeque::new(),
    };
    let admin = couple.replica.connect();
    couple.replica.ok(admin, "CHANGE MASTER TO MASTER_HOST='source', MASTER_PORT=3306, MASTER_USE_GTID=slave_pos");
    couple.replica.ok(admin, "START SLAVE");
    couple.attach(true);
    couple
}

impl Couple {
    fn attach(&mut self, semi_sync: bool) {
        let has = self.replica.server.receiver_wants().expect("the receiver runs").1.clone();
        (self.next, self.connection) = self.source.server.attach_replica(self.source.now, 2, semi_sync, &has).unwrap();
        self.source.drain();
        self.replica.server.receiver_connected(true, None);
    }

    /// Carries everything that can be carried.
    fn carry(&mut self) {
        while let Some(transaction) = self.source.server.dump(self.next).cloned() {
            self.next += 1;
            self.replica.server.receive(self.replica.now, transaction, self.next);
            self.replica.drain();
            self.held.extend(self.replica.acks.drain(..));
            if !self.deaf {
                self.acknowledge();
            }
        }
    }

    fn acknowledge(&mut self) {
        for end in core::mem::take(&mut self.held) {
            self.source.server.acknowledge(self.source.now, 2, end);
            self.source.drain();
        }
    }
}

#[test]
fn a_replica_follows_under_the_sources_gtids() {
    for (flavor, expected) in [(Flavor::MariaDb, "0-1-2"), (Flavor::MySql, "00000000-0000-0000-0000-000000000001:1-2")]
    {
        let mut c = couple(flavor);
        let id = c.source.connect();
        c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        c.source.ok(id, "INSERT INTO t VALUES (1, 1)");
        c.carry();
        let reader = c.replica.connect();
        assert_eq!(c.replica.rows(reader, "SELECT * FROM t"), "1,1");
        assert_eq!(c.replica.server.executed().to_string(), expected);
    }
}

#[test]
fn a_reader_waits_for_a_position() {
    let mut c = couple(Flavor::MariaDb);
    let id = c.source.connect();
    c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    let reader = c.replica.connect();
    assert!(c.replica.send(reader, "SELECT MASTER_GTID_WAIT('0-1-1', 5)").is_none());
    c.replica.pass(Duration::from_secs(1));
    c.carry();
    let outcome = c.replica.take_done(reader).unwrap();
    assert!(matches!(&outcome.body, Body::Rows(rows) if show(rows) == "0"));
    assert!(c.replica.send(reader, "SELECT MASTER_GTID_WAIT('0-1-9', 5)").is_none());
    c.replica.pass(Duration::from_secs(5));
    assert!(matches!(c.replica.take_done(reader).unwrap().body, Body::Rows(rows) if show(&rows) == "-1"));
}

#[test]
fn the_applier_lags_behind_the_receiver() {
    let mut c = couple(Flavor::MariaDb);
    c.replica.server.set_apply_latency(c.replica.now, Duration::from_millis(500));
    let id = c.source.connect();
    c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    c.source.ok(id, "INSERT INTO t VALUES (1)");
    c.carry();
    let reader = c.replica.connect();
    assert_eq!(c.replica.rows(reader, "SELECT @@gtid_slave_pos"), "");
    c.replica.pass(Duration::from_millis(500));
    assert_eq!(c.replica.rows(reader, "SELECT @@gtid_slave_pos"), "0-1-1");
    c.replica.pass(Duration::from_millis(500));
    assert_eq!(c.replica.rows(reader, "SELECT * FROM t"), "1");
}

#[test]
fn semi_sync_waits_for_the_acknowledgement_at_either_point() {
    for (point, visible) in [("AFTER_SYNC", "0"), ("AFTER_COMMIT", "1")] {
        let mut c = couple(Flavor::MariaDb);
        let (id, other) = (c.source.connect(), c.source.connect());
        c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
        c.carry();
        c.source.ok(id, &format!("SET GLOBAL rpl_semi_sync_master_wait_point = {point}"));
        c.source.ok(id, "SET GLOBAL rpl_semi_sync_master_enabled = 1");
        c.deaf = true;
        assert!(c.source.send(id, "INSERT INTO t VALUES (1)").is_none());
        c.carry();
        assert_eq!(c.source.rows(other, "SELECT COUNT(*) FROM t"), visible, "{point}");
        c.acknowledge();
        assert!(c.source.take_done(id).is_some(), "{point}");
        assert_eq!(c.source.rows(other, "SELECT COUNT(*) FROM t"), "1");
    }
}

#[test]
fn semi_sync_turns_async_after_its_timeout_and_back_when_the_replica_has_caught_up() {
    let mut c = couple(Flavor::MariaDb);
    let id = c.source.connect();
    c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    c.carry();
    c.source.ok(id, "SET GLOBAL rpl_semi_sync_master_timeout = 2000");
    c.source.ok(id, "SET GLOBAL rpl_semi_sync_master_enabled = 1");
    c.deaf = true;
    assert!(c.source.send(id, "INSERT INTO t VALUES (1)").is_none());
    c.source.pass(Duration::from_secs(2));
    assert!(c.source.take_done(id).is_some());
    assert_eq!(c.source.rows(id, "SHOW STATUS LIKE 'Rpl_semi_sync_master_status'"), "Rpl_semi_sync_master_status,OFF");
    c.deaf = false;
    c.carry();
    assert_eq!(c.source.rows(id, "SHOW STATUS LIKE 'Rpl_semi_sync_master_status'"), "Rpl_semi_sync_master_status,ON");
}

#[test]
fn a_source_counts_the_replicas_that_read_its_log() {
    let mut c = couple(Flavor::MariaDb);
    let id = c.source.connect();
    let status = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Slaves_connected', 'Threads_running')";
    assert_eq!(c.source.rows(id, status), "Slaves_connected,1 Threads_running,1");
    c.source.server.detach_replica(2, c.connection);
    assert_eq!(c.source.rows(id, status), "Slaves_connected,0 Threads_running,1");
}

#[test]
fn an_errant_write_stops_the_applier_when_it_collides() {
    let mut c = couple(Flavor::MySql);
    let (id, errant) = (c.source.connect(), c.replica.connect());
    c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    c.carry();
    c.replica.ok(errant, "INSERT INTO t VALUES (1)");
    c.source.ok(id, "INSERT INTO t VALUES (1)");
    c.carry();
    let status = c.replica.run(errant, "SHOW REPLICA STATUS");
    let Body::Rows(rows) = status.body else { panic!("rows") };
    let value = |name: &str| rows.rows[0][rows.columns.iter().position(|c| c.name == name).unwrap()].display();
    assert_eq!((value("Replica_SQL_Running"), value("Last_SQL_Errno")), ("No".into(), "1062".into()));
    assert_eq!(
        value("Executed_Gtid_Set"),
        "00000000-0000-0000-0000-000000000001:1,00000000-0000-0000-0000-000000000002:1"
            .replace(',', ",\n")
            .replace(",\n", ",")
    );
}

#[test]
fn a_mariadb_replica_ahead_of_its_source_is_refused() {
    let mut c = couple(Flavor::MariaDb);
    let admin = c.replica.connect();
    c.replica.ok(admin, "STOP SLAVE");
    c.replica.ok(admin, "SET GLOBAL gtid_slave_pos = '0-1-7'");
    c.replica.ok(admin, "START SLAVE");
    let has = c.replica.server.receiver_wants().unwrap().1.clone();
    assert_eq!(c.source.server.attach_replica(c.source.now, 2, false, &has).unwrap_err().code, 1236);
}

#[test]
fn a_mariadb_replica_with_another_transaction_of_a_number_is_refused() {
    let mut c = couple(Flavor::MariaDb);
    let (source, replica) = (c.source.connect(), c.replica.connect());
    c.source.ok(source, "CREATE TABLE t (id INT PRIMARY KEY)");
    c.carry();
    c.replica.ok(replica, "INSERT INTO t VALUES (1)");
    c.source.ok(source, "INSERT INTO t VALUES (2)");
    c.source.ok(source, "INSERT INTO t VALUES (3)");
    let has = "0-2-2".parse().expect("a position");
    assert_eq!(c.source.server.attach_replica(c.source.now, 2, false, &has).unwrap_err().code, 1236);
    assert!(c.source.server.attach_replica(c.source.now, 2, false, &"0-1-2".parse().expect("a position")).is_ok());
}

/// As MariaDB 10.11 does with GTIDs: only MySQL takes what a replica need not be sent for acknowledged.
#[test]
fn a_replica_that_has_what_waits_for_it_is_let_in_and_on_mariadb_the_next_write_ends_the_wait() {
    for (flavor, ended) in [(Flavor::MariaDb, "0"), (Flavor::MySql, "1")] {
        let mut c = couple(flavor);
        let (id, other) = (c.source.connect(), c.source.connect());
        c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
        c.carry();
        c.source.ok(id, "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC");
        c.source.ok(id, "SET GLOBAL rpl_semi_sync_master_enabled = 1");
        c.deaf = true;
        assert!(c.source.send(id, "INSERT INTO t VALUES (1)").is_none(), "it waits");
        c.carry();
        c.held.clear();
        c.source.server.detach_replica(2, c.connection);
        c.attach(true);
        assert_eq!(c.source.rows(other, "SELECT COUNT(*) FROM t"), ended);
        c.deaf = false;
        c.source.send(other, "INSERT INTO t VALUES (2)");
        c.carry();
        let reader = c.source.connect();
        assert_eq!(c.source.rows(reader, "SELECT COUNT(*) FROM t"), "2");
    }
}

#[test]
fn the_applier_waits_for_a_row_that_a_session_holds() {
    let mut c = couple(Flavor::MariaDb);
    let (id, holder) = (c.source.connect(), c.replica.connect());
    c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    c.source.ok(id, "INSERT INTO t VALUES (1, 1)");
    c.carry();
    c.replica.ok(holder, "BEGIN");
    c.replica.rows(holder, "SELECT * FROM t WHERE id = 1 FOR UPDATE");
    c.source.ok(id, "UPDATE t SET v = 2 WHERE id = 1");
    c.carry();
    assert_eq!(c.replica.rows(holder, "SELECT @@gtid_slave_pos"), "0-1-2");
    c.replica.ok(holder, "COMMIT");
    assert_eq!(c.replica.rows(holder, "SELECT v, @@gtid_slave_pos FROM t"), "2,0-1-3");
}

#[test]
fn an_applier_that_hangs_wakes_nobody() {
    let mut c = couple(Flavor::MariaDb);
    c.replica.server.set_apply_latency(c.replica.now, Duration::from_millis(500));
    let id = c.source.connect();
    c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    c.carry();
    let due = c.replica.server.poll_timeout();
    assert!(due.is_some());
    c.replica.server.set_applier_stalled(c.replica.now, true);
    assert_ne!(c.replica.server.poll_timeout(), due, "time would stand still once it has come");
    c.replica.server.set_applier_stalled(c.replica.now, false);
    assert_eq!(c.replica.server.poll_timeout(), due);
}

#[test]
fn starting_both_threads_throws_unapplied_relay_log_away_on_mariadb() {
    let mut c = couple(Flavor::MariaDb);
    c.replica.server.set_applier_stalled(c.replica.now, true);
    let (id, admin) = (c.source.connect(), c.replica.connect());
    c.source.ok(id, "CREATE TABLE t (id INT PRIMARY KEY)");
    c.carry();
    assert_eq!(c.replica.server.receiver_wants().unwrap().1.to_string(), "0-1-1");
    c.replica.ok(admin, "STOP SLAVE");
    c.replica.ok(admin, "START SLAVE");
    assert_eq!(c.replica.server.receiver_wants().unwrap().1.to_string(), "");
}
