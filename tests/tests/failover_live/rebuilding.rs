//! Somebody writes to a replica past Weir: it is kept out with what it has, gets the data of another when an operator asks for that, and
//! follows again, under clients that write.
//!
//! `WEIR_REBUILD_KILLS` says how often all of Weir is killed in the middle of it (once when not said); the next one ends what
//! was begun.

use crate::rehearsal::number;
use crate::shard::Shard;
use std::path::PathBuf;
use std::time::Duration;
use weir_tests::{Weir, Writers, Written, eventually};

const CLIENTS: usize = 8;
/// A server of this size is rebuilt by then, on a busy machine too.
const REBUILT_MAX: Duration = Duration::from_secs(120);

fn rebuild(shard: &Shard, server: u16, more: &[&str]) -> Result<String, String> {
    let dir = shard.data_dir();
    let tablet = format!("local-{server}");
    Weir::ctl(&[&["rebuild", &tablet, "--data-dir", dir.to_str().expect("text")], more].concat())
}

fn shard(more: &[&str]) -> Shard {
    let shard = Shard::start_with(3, more);
    shard.query("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, client INT, number INT)");
    shard
}

fn quarantine(shard: &Shard) -> String {
    let dir = shard.data_dir();
    let said = Weir::ctl(&["quarantine", "--data-dir", dir.to_str().expect("text")]);
    said.unwrap_or_else(|error| panic!("{error}\n{}", shard.output()))
}

/// A write of its own makes it impossible that a replica goes on; its number.
fn estrange(shard: &Shard) -> u16 {
    let server = shard.primary().expect("a primary") % 3 + 1;
    shard
        .on_server(server, "CREATE TABLE d.own (id INT PRIMARY KEY); INSERT INTO d.t (client, number) VALUES (999, 1)");
    let found = format!("found ReplicaCannotFollow: local-{server:010}");
    eventually(Duration::from_secs(30), "it is told", || shard.output().contains(&found));
    server
}

fn set_aside(shard: &Shard, server: u16) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(shard.data_dir()).expect("a directory");
    let own = format!("server-{server}.errant-");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own))).collect()
}

/// Without anybody who asks for it.
fn wait_until_rebuilt(shard: &Shard, server: u16) {
    let begun = shard.data_dir().join(format!("server-{server}/copy.json"));
    shard.wait_until("it is rebuilt", REBUILT_MAX, || set_aside(shard, server).len() == 1 && !begun.exists());
    shard.wait_until_healed(REBUILT_MAX);
}

/// Both have the same rows, and nothing else that is the application's.
fn assert_same(shard: &Shard, server: u16) {
    let primary = shard.primary().expect("a primary");
    let read = |server| shard.on_server(server, "CHECKSUM TABLE d.t; SHOW TABLES IN d");
    eventually(Duration::from_secs(30), "it has what the primary has", || read(server) == read(primary));
    assert_eq!(shard.on_server(server, "SHOW TABLES IN d").trim(), "Tables_in_d\nt");
}

/// The passwords of Weir's own accounts are in no log.
fn assert_discreet(shard: &Shard, server: u16) {
    let dir = shard.data_dir();
    let read = |name: String| std::fs::read_to_string(dir.join(name)).expect("a file");
    let log = read(format!("server-{server}/rebuild.log"));
    assert!(log.contains("completed OK"), "{log}");
    for password in ["service-password", "replication-password"].map(|name| read(name.to_owned())) {
        assert!(!log.contains(&password) && !shard.output().contains(&password));
    }
    assert!(!dir.join(format!("server-{server}/backup.cnf")).exists());
}

#[test]
fn a_server_with_writes_of_its_own_stays_out_until_an_operator_has_it_rebuilt() {
    let shard = shard(&[]);
    let mut writers = Writers::start(shard.address(), 0..CLIENTS);
    writers.wait_for_progress();
    let server = estrange(&shard);
    let primary = shard.primary().expect("a primary");
    // It is started once more before it counts as stuck.
    let listed = format!("local-{server:010}  it");
    eventually(Duration::from_secs(30), "it is in quarantine", || quarantine(&shard).contains(&listed));
    assert!(rebuild(&shard, server, &[]).unwrap_err().contains("--yes"));
    assert!(rebuild(&shard, primary, &["--yes"]).unwrap_err().contains("it is the primary"));
    assert!(rebuild(&shard, 9, &["--yes"]).unwrap_err().contains("there is no tablet"));
    assert_eq!(set_aside(&shard, server), Vec::<PathBuf>::new(), "nobody has asked for it");
    let said = rebuild(&shard, server, &["--yes"]).unwrap_or_else(|why| panic!("{why}\n{}", shard.output()));
    assert!(said.contains("was rebuilt and follows"), "{said}");
    assert_eq!(quarantine(&shard), "TABLET  WHY");
    let donor = 6 - primary - server;
    assert!(shard.output().contains(&format!("is being rebuilt from local-{donor:010}")), "{}", shard.output());
    writers.wait_for_progress();
    let outcome = writers.stop();
    outcome.check(&shard);
    outcome.check_that_connections_were_kept(&shard);
    assert_same(&shard, server);
    assert_discreet(&shard, server);
    assert_eq!(set_aside(&shard, server).len(), 1);
}

#[test]
fn servers_with_writes_of_their_own_are_rebuilt_by_themselves_when_their_operator_has_said_so() {
    let shard = shard(&["--errant", "rebuild"]);
    let server = estrange(&shard);
    wait_until_rebuilt(&shard, server);
    shard.query("INSERT INTO d.t (client, number) VALUES (1, 1)");
    assert_same(&shard, server);
}

#[test]
fn a_weir_that_is_killed_while_it_rebuilds_a_server_is_succeeded() {
    (0..number("WEIR_REBUILD_KILLS").unwrap_or(1)).for_each(|_| kill_while_it_rebuilds());
}

fn kill_while_it_rebuilds() {
    let mut shard = shard(&["--rebuild-throttle", "30"]);
    let mut writers = Writers::start(shard.address(), 0..CLIENTS);
    writers.wait_for_progress();
    let server = estrange(&shard);
    let dir = shard.data_dir();
    let asked = std::thread::spawn(move || {
        Weir::ctl(&["rebuild", &format!("local-{server}"), "--yes", "--data-dir", dir.to_str().expect("text")])
    });
    eventually(REBUILT_MAX, "it copies", || shard.note(server).is_some_and(|note| note.contains("copies the data of")));
    shard.kill_everything();
    assert!(asked.join().expect("no panic").is_err());
    let before = writers.stop();
    assert_eq!(set_aside(&shard, server), Vec::<PathBuf>::new());
    shard.start_again();
    before.check(&shard);
    wait_until_rebuilt(&shard, server);
    let mut writers = Writers::start(shard.address(), CLIENTS..2 * CLIENTS);
    writers.wait_for_progress();
    let _ = writers.stop();
    assert_same(&shard, server);
}
