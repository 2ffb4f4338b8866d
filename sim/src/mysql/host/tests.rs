//! Model servers in the world: clients over the wire, replication under faults.

use super::*;
use crate::world::fault::{Fault, FaultKind};
use crate::world::trace::Trace;
use crate::world::{Path, ProcessId, World};
use weir_core::gtid::Flavor;

struct Pair {
    world: World,
    source: ProcessId,
    replica: ProcessId,
    hosts: [HostId; 2],
}

fn pair(flavor: Flavor, seed: u64) -> Pair {
    let mut world = World::new(seed, Path::LAN, Trace::new(0));
    let hosts = [world.add_host(), world.add_host()];
    let names = Rc::new(BTreeMap::from([("source".to_owned(), hosts[0]), ("replica".to_owned(), hosts[1])]));
    let users = Rc::new(Users::new(&[("root", "", true)]));
    let setup = |id, init: &[&str]| ServerSetup {
        config: Config { variables: vec![("slave_net_timeout".into(), 10.into())], ..Config::new(flavor, id) },
        users: Rc::clone(&users),
        names: Rc::clone(&names),
        init: init.iter().map(|sql| (*sql).to_owned()).collect(),
    };
    let source = world.spawn(hosts[0], ServerProcess::program(setup(1, &[])));
    let follow =
        ["CHANGE MASTER TO MASTER_HOST = 'source', MASTER_PORT = 3306, MASTER_USE_GTID = slave_pos", "START SLAVE"];
    let replica = world.spawn(hosts[1], ServerProcess::program(setup(2, &follow)));
    world.run_for(Duration::from_millis(10));
    Pair { world, source, replica, hosts }
}

impl Pair {
    /// Runs statements on a server as an administrator, without a connection of its own.
    fn run(&mut self, process: ProcessId, statements: &[&str]) {
        let id = self.world.with(process, |p: &mut ServerProcess, _| p.server.connect("root", true, false).unwrap());
        for sql in ["USE test"].iter().chain(statements) {
            self.world.with(process, |p: &mut ServerProcess, ctx| {
                p.server.execute(ctx.now(), id.unwrap(), sql);
                p.drain(ctx);
            });
            self.world.run_for(Duration::from_millis(5));
        }
    }

    fn rows(&self, process: ProcessId) -> usize {
        self.world.process::<ServerProcess>(process).map_or(0, |p| p.server.tables().contents().count())
    }

    fn fault(&mut self, lasts: Duration, kind: FaultKind) {
        self.world.inject(Fault { begins: self.world.now(), lasts, kind });
        self.world.run_for(Duration::from_millis(1));
    }

    fn executed(&self, process: ProcessId) -> String {
        self.world.process::<ServerProcess>(process).unwrap().server.executed().to_string()
    }
}

#[test]
fn a_replica_follows_over_the_network_and_catches_up_after_every_kind_of_trouble() {
    for flavor in [Flavor::MariaDb, Flavor::MySql] {
        let mut pair = pair(flavor, 7);
        let (source, replica, [a, b]) = (pair.source, pair.replica, pair.hosts);
        pair.run(source, &["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (0)"]);
        pair.world.run_for(Duration::from_secs(1));
        assert_eq!(pair.rows(replica), 1);
        let troubles = [
            FaultKind::Partition { a: vec![a], b: vec![b] },
            FaultKind::Break { a, b },
            FaultKind::Kill { process: replica },
            FaultKind::PowerLoss { host: b },
            FaultKind::PowerLoss { host: a },
            FaultKind::Pause { process: replica },
            FaultKind::FullDisk { host: b },
            FaultKind::Signal { process: replica, signal: SIGNAL_APPLIER_STALLS },
        ];
        for (kind, n) in troubles.into_iter().zip(1..) {
            pair.fault(Duration::from_secs(3), kind.clone());
            pair.run(source, &[&format!("INSERT INTO t VALUES ({n})")]);
            pair.world.run_for(Duration::from_secs(60));
            assert_eq!(pair.executed(source), pair.executed(replica), "{flavor} after {kind:?}");
            assert_eq!(pair.rows(source), pair.rows(replica), "{flavor} after {kind:?}");
        }
    }
}

#[test]
fn a_seed_repeats() {
    let run = |seed| {
        let mut pair = pair(Flavor::MariaDb, seed);
        let source = pair.source;
        pair.run(source, &["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"]);
        pair.world.run_until(Instant(10_000_000_000));
        pair.world.trace().hash()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_receiver_without_room_on_its_disk_misses_nothing() {
    let mut pair = pair(Flavor::MariaDb, 5);
    pair.run(pair.source, &["CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]);
    pair.fault(Duration::from_secs(3), FaultKind::FullDisk { host: pair.hosts[1] });
    pair.run(pair.source, &["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)"]);
    pair.world.run_for(Duration::from_secs(1));
    assert_eq!((pair.rows(pair.source), pair.rows(pair.replica)), (3, 1));
    pair.world.run_for(Duration::from_secs(10));
    pair.run(pair.source, &["INSERT INTO t VALUES (4)"]);
    pair.world.run_for(Duration::from_secs(1));
    assert_eq!((pair.rows(pair.source), pair.rows(pair.replica)), (4, 4));
    assert_eq!(pair.executed(pair.source), pair.executed(pair.replica));
}
