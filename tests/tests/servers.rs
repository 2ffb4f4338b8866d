//! The servers that Weir starts itself: roles, restarts, left-overs, and that nothing stays behind.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use weir_io::servers::{Account, Cluster, Options, Server};
use weir_tests::{Session, TestCluster, application, as_application, eventually, query_value};

fn read_only(server: &Server) -> String {
    query_value(server, "SELECT @@GLOBAL.read_only")
}

fn process_exists(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

#[test]
fn a_new_cluster_has_a_primary_that_takes_writes_and_replicas_that_follow() {
    let cluster = TestCluster::start(3);
    assert_eq!(read_only(cluster.primary()), "0");
    as_application(
        cluster.primary().address(),
        "CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (42)",
    )
    .unwrap();
    cluster.wait_for_replicas();
    for replica in cluster.replicas() {
        assert_eq!(read_only(replica), "1");
        assert_eq!(as_application(replica.address(), "SELECT a FROM d.t").unwrap(), "42");
        let refused = as_application(replica.address(), "INSERT INTO d.t VALUES (43)").unwrap_err();
        assert!(refused.contains("1290"), "read_only must hold for the application: {refused}");
        assert_eq!(
            query_value(replica, "SELECT @@gtid_binlog_pos"),
            query_value(cluster.primary(), "SELECT @@gtid_binlog_pos")
        );
    }
}

#[test]
fn roles_and_addresses_survive_a_restart_and_a_crash() {
    let mut cluster = TestCluster::start(2);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (a INT)").unwrap();
    let before = cluster.addresses();
    for round in 1..=2 {
        if round == 1 {
            cluster.restart()
        } else {
            cluster.crash_and_restart()
        }
        assert_eq!(cluster.addresses(), before);
        assert_eq!((read_only(cluster.primary()), read_only(&cluster.replicas()[0])), ("0".into(), "1".into()));
        cluster.primary().query("INSERT INTO d.t VALUES (1)").unwrap();
        cluster.wait_for_replicas();
        assert_eq!(query_value(&cluster.replicas()[0], "SELECT COUNT(*) FROM d.t"), round.to_string());
    }
}

/// Accounts are what the options say: a data directory has nothing that could be another.
#[test]
fn another_password_of_the_application_counts_from_the_next_start() {
    let dir = TempDir::new().unwrap();
    let log_in = |cluster: &Cluster, password: &str| {
        let session = Session::open(cluster.servers()[0].address(), &Account::new("app", password), None);
        session.map(|mut session| session.values("SELECT 1"))
    };
    for (password, other) in [("first", "second"), ("second", "first")] {
        let cluster = Cluster::start(&Options::new(dir.path(), 1, Account::new("app", password))).unwrap();
        assert_eq!(log_in(&cluster, password).unwrap(), ["1"]);
        assert!(log_in(&cluster, other).unwrap_err().to_string().contains("code: 1045"));
    }
}

#[test]
fn a_server_that_died_is_started_again_as_what_it_was() {
    let mut cluster = TestCluster::start(2);
    assert!(cluster.revive().is_empty(), "nothing died");
    for server in cluster.servers() {
        // From outside: the cluster was not told.
        let pid = server.pid().unwrap().to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }
    let mut revived = Vec::new();
    eventually(Duration::from_secs(30), "both servers run again", || {
        revived.extend(cluster.revive().into_iter().map(|(number, outcome)| (number, outcome.is_ok())));
        revived.len() == 2
    });
    revived.sort_unstable();
    assert_eq!(revived, [(1, true), (2, true)]);
    cluster.primary().query("CREATE DATABASE d").unwrap();
    cluster.wait_for_replicas();
    assert_eq!((read_only(cluster.primary()), read_only(&cluster.replicas()[0])), ("0".into(), "1".into()));
}

#[test]
fn a_server_added_later_catches_up() {
    let dir = TempDir::new().unwrap();
    let mut options = Options::new(dir.path(), 1, application());
    options.settings = vec!["debug-no-sync=ON".into()];
    let small = Cluster::start(&options).unwrap();
    small.servers()[0].query("CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (7)").unwrap();
    drop(small);
    options.servers = 2;
    let larger = Cluster::start(&options).unwrap();
    eventually(Duration::from_secs(20), "the new server has the row", || {
        larger.servers()[1].query("SELECT a FROM d.t").is_ok_and(|rows| rows.value() == Some("7"))
    });
}

#[test]
fn a_first_start_that_was_cut_short_is_begun_again() {
    let dir = TempDir::new().unwrap();
    let half = dir.path().join("server-1/data.new");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("ibdata1"), "half of it").unwrap();
    let cluster = Cluster::start(&Options::new(dir.path(), 2, application())).unwrap();
    assert_eq!(query_value(&cluster.servers()[0], "SELECT 1"), "1");
    assert!(!half.exists());
}

#[test]
fn nothing_runs_after_a_stop_even_when_a_server_is_frozen() {
    let mut cluster = TestCluster::start(2);
    let pids: Vec<u32> = cluster.servers().iter().filter_map(Server::pid).collect();
    assert_eq!(pids.len(), 2);
    cluster.replicas()[0].freeze();
    cluster.stop().unwrap();
    assert!(pids.iter().all(|pid| !process_exists(*pid)));
}

#[test]
fn a_server_left_by_an_earlier_run_is_stopped_first() {
    // A server of this directory that no Weir started stands for one that outlived its Weir.
    let dir = TempDir::new().unwrap();
    let options = Options::new(dir.path(), 1, application());
    drop(Cluster::start(&options).unwrap());
    let home = dir.path().canonicalize().unwrap().join("server-1");
    std::fs::write(home.join("init.sql"), "").unwrap();
    let mut leftover =
        Command::new("mariadbd").arg(format!("--defaults-file={}/my.cnf", home.display())).spawn().unwrap();
    let pid = leftover.id();
    eventually(Duration::from_secs(20), "the left-over runs", || {
        home.join("mariadbd.pid").exists() && UnixStream::connect(home.join("mysql.sock")).is_ok()
    });
    let reaper = std::thread::spawn(move || leftover.wait().unwrap());
    let cluster = Cluster::start(&options).unwrap();
    reaper.join().unwrap();
    assert!(!process_exists(pid));
    assert_eq!(read_only(&cluster.servers()[0]), "0");
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let mut options = Options::new(dir.path(), 2, application());
    options.settings = vec!["no-such-setting=1".into()];
    let error = Cluster::start(&options).unwrap_err().to_string();
    assert!(error.contains("no-such-setting"), "the log's end is missing: {error}");
    options.settings.clear();
    Cluster::start(&options).expect("the directory is free again and usable");
}

/// Run by the test below in a process of its own, which gets killed.
const VICTIM: &str = "WEIR_TEST_VICTIM_DIR";

#[test]
fn servers_die_with_a_process_that_is_killed() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        let _cluster = Cluster::start(&Options::new(dir, 2, application())).unwrap();
        std::thread::sleep(Duration::from_secs(120));
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers_die_with_a_process_that_is_killed"])
        .env(VICTIM, dir.path())
        .spawn()
        .unwrap();
    let socket = |n: u16| dir.path().join(format!("server-{n}/mysql.sock"));
    eventually(Duration::from_secs(60), "both servers answer", || {
        (1..=2).all(|n| UnixStream::connect(socket(n)).is_ok())
    });
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually(Duration::from_secs(10), "no server is left", || {
        (1..=2).all(|n| UnixStream::connect(socket(n)).is_err())
    });
}
