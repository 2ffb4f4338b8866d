//! Roles found from real servers: a probe's questions, the observations, the rules.

use std::time::Duration;
use weir_core::error::{Component, Error, Kind};
use weir_core::gtid::{Flavor, Position};
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::packet::OkPacket;
use weir_core::mysql::resultset::{Answer, TextResultSet};
use weir_core::tablet::heartbeat::{Beating, Plan};
use weir_core::tablet::probe::{Probe, Topic};
use weir_core::time::Instant;
use weir_core::topo::discover::{Evidence, Hold, Note, Primary};
use weir_core::topo::{Address, Observation, Receiver, Role, ServerVersion, Shard, ShardRecord, Sighting, TabletAlias};
use weir_io::servers::{Cluster, Rows, Server};
use weir_tests::{MySql56, TestCluster, eventually, query_value};

const NOW: Instant = Instant(1_000_000_000);

fn alias(server: &Server) -> TabletAlias {
    TabletAlias { cell: "zone1".parse().unwrap(), uid: u32::from(server.number()) }
}

fn found(result: TextResultSet) -> Answer {
    let end =
        OkPacket { affected_rows: 0, last_insert_id: 0, status: 2, warnings: 0, info: vec![], session_state: vec![] };
    Answer::Rows(result, end)
}

fn refused(message: impl Into<String>) -> Answer {
    Answer::Err(Error::new(Component::Server, Kind::AccessDenied, message))
}

fn table(rows: &Rows) -> TextResultSet {
    let value = |text: &String| (text != "NULL").then(|| text.clone().into_bytes());
    TextResultSet {
        columns: rows.columns.iter().map(|name| ColumnDefinition::text(name.as_str())).collect(),
        rows: rows.rows.iter().map(|row| row.iter().map(value).collect()).collect(),
    }
}

/// Asks a server everything; `None` when it does not answer. Every question must make sense to it.
fn probe(server: &Server) -> Option<Observation> {
    let version = server.query("SELECT @@version").ok()?.value()?.to_owned();
    let mut probe = Probe::new(ServerVersion::parse(&version).expect("a version"));
    while let Some(question) = probe.next() {
        probe.answer(&match server.query(question.sql) {
            Ok(rows) => found(table(&rows)),
            Err(error) => refused(error.to_string()),
        });
    }
    let (observation, mut missing) = probe.finish().expect("an observation");
    // Nobody writes heartbeats here.
    missing.retain(|missing| missing.topic != Topic::Heartbeat);
    assert_eq!(missing, []);
    Some(observation)
}

fn look(cluster: &Cluster) -> Evidence {
    let sightings = cluster.servers().iter().map(|server| {
        let address = Address { host: "localhost".into(), port: server.address().port() };
        let mut sighting = Sighting::new(address);
        match probe(server) {
            Some(observation) => _ = sighting.answered(NOW, observation),
            None => sighting.failed(),
        }
        (alias(server), sighting)
    });
    sightings.collect()
}

fn judge(record: &mut ShardRecord, cluster: &Cluster) -> Primary {
    record.judge(NOW, &look(cluster));
    record.verdict.primary.clone()
}

fn record() -> ShardRecord {
    ShardRecord::new("shop".parse().unwrap(), Shard::unsharded())
}

fn receiver(server: &Server) -> Option<Receiver> {
    Some(probe(server)?.sources?.first()?.receiver)
}

fn follow(replica: &Server, source: &Server) {
    let port = source.address().port();
    replica.query(&format!("STOP SLAVE; CHANGE MASTER TO MASTER_PORT = {port}; START SLAVE")).unwrap();
    let connected = || receiver(replica) == Some(Receiver::Connected);
    eventually(Duration::from_secs(20), "the replica is connected", connected);
}

#[test]
fn a_primary_and_its_replica_are_seen_as_what_they_are() {
    let cluster = TestCluster::start(2);
    let (primary, replica) = (cluster.primary(), &cluster.replicas()[0]);
    primary.query("CREATE DATABASE d").unwrap();
    cluster.wait_for_replicas();
    eventually(Duration::from_secs(20), "the replica is connected", || receiver(replica) == Some(Receiver::Connected));
    let seen = probe(primary).unwrap();
    assert_eq!((seen.server_id, seen.read_only, seen.sources), (1, false, Some(vec![])));
    assert_eq!((seen.version.flavor, seen.replicas_connected), (Flavor::MariaDb, Some(1)));
    let position = seen.position.unwrap();
    assert_eq!(position.to_string(), query_value(primary, "SELECT @@gtid_current_pos"));
    let seen = probe(replica).unwrap();
    assert_eq!((seen.server_id, seen.read_only, seen.replicas_connected), (2, true, Some(0)));
    assert_eq!(seen.position, Some(position));
    let link = &seen.sources.unwrap()[0];
    assert_eq!((link.server_id, link.address.port), (1, primary.address().port()));
    assert_eq!((link.applier_running, link.lag, link.error.as_str()), (true, Some(Duration::ZERO), ""));
}

#[test]
fn roles_follow_a_failover_and_not_the_zombie_that_returns() {
    let mut cluster = TestCluster::start(3);
    let names: Vec<TabletAlias> = cluster.servers().iter().map(alias).collect();
    let mut record = record();
    assert_eq!(judge(&mut record, &cluster), Primary::Serving(names[0].clone()));
    assert_eq!((record.term, record.role(&names[1]), record.role(&names[2])), (1, Role::Replica, Role::Replica));

    // The primary dies: nobody takes over by himself.
    cluster.kill_server(0);
    assert_eq!(judge(&mut record, &cluster), Primary::Held(names[0].clone(), Hold::Gone));
    assert_eq!((record.role(&names[1]), record.role(&names[2])), (Role::Replica, Role::Replica));

    // A person promotes the second and points the third at it.
    let [_, second, third] = cluster.servers() else { panic!("three servers") };
    second.query("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0").unwrap();
    judge(&mut record, &cluster);
    assert_eq!(record.serving_primary(), None, "writable alone is not enough");
    follow(third, second);
    assert_eq!(judge(&mut record, &cluster), Primary::Serving(names[1].clone()));
    assert_eq!(record.term, 2);

    // The first comes back as it was: writable, and with no source.
    cluster.start_server(0).unwrap();
    assert_eq!(query_value(&cluster.servers()[0], "SELECT @@GLOBAL.read_only"), "0");
    assert_eq!(judge(&mut record, &cluster), Primary::Serving(names[1].clone()));
    assert_eq!((record.term, record.role(&names[0])), (2, Role::Unknown));
    assert_eq!(record.verdict.notes, [Note::Stray(names[0].clone())]);
    let mut fresh = self::record();
    assert_eq!(judge(&mut fresh, &cluster), Primary::Serving(names[1].clone()), "nor to one who knows no history");

    // The promoted one stops taking writes.
    cluster.servers()[1].query("SET GLOBAL read_only = 1").unwrap();
    assert_eq!(judge(&mut record, &cluster), Primary::Held(names[1].clone(), Hold::ReadOnly));
}

#[test]
fn an_account_without_rights_leaves_the_sources_open() {
    let cluster = TestCluster::start(1);
    cluster.primary().query("SET sql_log_bin = 0; CREATE USER weak@localhost").unwrap();
    let mut probe = Probe::new(ServerVersion::parse(&query_value(cluster.primary(), "SELECT @@version")).unwrap());
    while let Some(question) = probe.next() {
        let output = std::process::Command::new("mariadb")
            .args(["--no-defaults", "--batch", "--user=weak", "--execute", question.sql, "--socket"])
            .arg(cluster.primary().socket())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().map(|line| line.split('\t').map(str::to_owned).collect());
        let rows = Rows { columns: lines.next().unwrap_or_default(), rows: lines.collect() };
        let complaint = String::from_utf8(output.stderr).unwrap();
        probe.answer(&if output.status.success() { found(table(&rows)) } else { refused(complaint) });
    }
    let (observation, missing) = probe.finish().unwrap();
    assert_eq!(observation.sources, None);
    assert!(missing[0].why.contains("SLAVE MONITOR"), "{missing:?}");
    assert!(observation.position.is_some() && observation.replicas_connected.is_some());
}

#[test]
fn mysql_understands_its_questions() {
    let server = MySql56::start();
    let ask = || {
        let mut probe = Probe::new(ServerVersion::parse("5.6.24-log").unwrap());
        while let Some(question) = probe.next() {
            probe.answer(&server.query(question.sql).map_or_else(refused, found));
        }
        let (observation, mut missing) = probe.finish().unwrap();
        missing.retain(|missing| missing.topic != Topic::Heartbeat);
        assert_eq!(missing, []);
        observation
    };
    server.query("CREATE DATABASE d").unwrap();
    let seen = ask();
    assert_eq!((seen.server_id, seen.read_only, seen.sources), (56, false, Some(vec![])));
    assert_eq!(seen.position.as_ref().and_then(Position::flavor), Some(Flavor::MySql));
    let uuid = seen.server_uuid.expect("MySQL has one");
    let source = weir_core::gtid::mysql::Source::new(uuid);
    assert_eq!(seen.position, Some(Position::mysql(source, 1)), "its first write");
    let nobody =
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'x', MASTER_AUTO_POSITION = 1";
    server.query(&format!("SET GLOBAL read_only = 1; {nobody}")).unwrap();
    let seen = ask();
    let links = seen.sources.unwrap();
    assert_eq!((seen.read_only, links.len(), links[0].receiver), (true, 1, Receiver::Stopped));
    assert_eq!(links[0].address, Address { host: "127.0.0.1".into(), port: 1 });
}

/// The account may write where others may not, and the server is fenced after it has said that anybody may.
#[test]
fn a_beat_that_meets_a_fence_changes_nothing() {
    let cluster = TestCluster::start(1);
    let primary = cluster.primary();
    let send_next = |beating: &mut Beating| {
        let sql = beating.next().expect("something is left").to_owned();
        beating.answer(&if sql.starts_with("SELECT") {
            found(table(&primary.query(&sql).expect("an answer")))
        } else {
            let changed = query_value(primary, &format!("{sql}; SELECT ROW_COUNT()"));
            Answer::Ok(OkPacket { affected_rows: changed.parse().expect("a number"), ..OkPacket::default() })
        });
    };
    for (last, number) in [(None, 1), (Some(1), 2)] {
        let mut beating = Beating::new(Plan { last, keeps_marks: false, failures: 1 });
        while beating.next().is_some() {
            send_next(&mut beating);
        }
        assert_eq!(beating.finish().expect("a beat"), Some(number));
    }
    let mut fenced = Beating::new(Plan { last: Some(2), keeps_marks: false, failures: 1 });
    send_next(&mut fenced);
    primary.query("SET GLOBAL read_only = 1").expect("a fence");
    let position = query_value(primary, "SELECT @@gtid_binlog_pos");
    while fenced.next().is_some() {
        send_next(&mut fenced);
    }
    assert_eq!(fenced.finish().expect("no error"), None);
    assert_eq!(query_value(primary, "SELECT @@gtid_binlog_pos"), position);
}
