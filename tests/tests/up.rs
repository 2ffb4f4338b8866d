//! `weir up` as a new user meets it: one command, a gateway that answers, nothing left behind.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_io::servers::Account;
use weir_tests::{TestCluster, Weir, application, eventually, in_time, run_program};

/// From the start of the process to its first answer, initialisation of three servers included.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(15);

fn running_servers(data_dir: &Path) -> usize {
    let sockets = (1..=3).map(|n| data_dir.join(format!("server-{n}/mysql.sock")));
    sockets.filter(|socket| UnixStream::connect(socket).is_ok()).count()
}

fn up(data_dir: &Path) -> Weir {
    Weir::up(&["--servers", "3", "--data-dir", data_dir.to_str().expect("text")])
}

#[test]
fn one_command_starts_three_servers_and_the_data_stays() {
    let dir = TempDir::new().unwrap();
    let started = Instant::now();
    let mut weir = up(dir.path());
    assert_eq!(weir.query("SELECT 6 * 7").unwrap(), "42");
    let took = started.elapsed();
    in_time(took, FIRST_ANSWER_MAX, || "the first answer".into());
    eprintln!("first answer after {took:?}");
    weir.query("CREATE DATABASE shop; CREATE TABLE shop.item (name VARCHAR(20)); INSERT INTO shop.item VALUES ('oar')")
        .unwrap();
    assert_eq!(running_servers(dir.path()), 3);

    assert!(weir.interrupt().success(), "Ctrl-C is an ordinary end:\n{}", weir.output());
    assert_eq!(running_servers(dir.path()), 0);

    let weir = up(dir.path());
    assert_eq!(weir.query("SELECT name FROM shop.item").unwrap(), "oar");
}

#[test]
fn nothing_runs_after_a_kill_and_the_next_start_works() {
    let dir = TempDir::new().unwrap();
    let mut weir = up(dir.path());
    weir.query("CREATE DATABASE shop").unwrap();
    weir.kill();
    eventually(Duration::from_secs(10), "no server is left", || running_servers(dir.path()) == 0);
    assert_eq!(up(dir.path()).query("SHOW DATABASES LIKE 'shop'").unwrap(), "shop");
}

#[test]
fn a_second_weir_leaves_the_first_ones_data_alone() {
    let dir = TempDir::new().unwrap();
    let first = up(dir.path());
    let mut second = Weir::spawn_up(&["--servers", "3", "--data-dir", dir.path().to_str().unwrap()]);
    assert!(!second.wait().success());
    assert!(second.output().contains("in use by another running Weir"), "{}", second.output());
    assert_eq!(first.query("SELECT 1").unwrap(), "1");
}

#[test]
fn an_account_that_the_servers_refuse_is_told_at_the_start() {
    let cluster = TestCluster::start(1);
    for host in ["%", "localhost"] {
        cluster.primary().query(&format!("SET PASSWORD FOR app@'{host}' = PASSWORD('another')")).expect("an account");
    }
    let Account { user, password } = cluster.service_account();
    let application = application();
    // The account that watches is let in.
    let monitor = ["--monitor-user", user, "--monitor-password", password];
    let own =
        ["up", "--attach", &cluster.addresses(), "--user", &application.user, "--password", &application.password];
    let (code, said) = run_program("weir", &[&own[..], &monitor].concat(), Duration::from_secs(30));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("refuses --user 'app'") && said.contains("Access denied"), "{said}");
}

#[test]
fn no_password_is_ever_printed() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &[]);
    weir.query("SELECT 1").unwrap();
    assert!(weir.stop().success());
    for secret in [weir_tests::application().password, cluster.service_account().password.clone()] {
        assert!(!weir.output().contains(&secret), "{}", weir.output());
    }
}

#[test]
fn a_replica_that_dies_leaves_the_rotation_and_comes_back() {
    let mut cluster = TestCluster::start(3);
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.who (server INT)").unwrap();
    cluster.wait_for_replicas();
    // A row of its own on every server tells who answered.
    for server in cluster.servers() {
        server.query("SET sql_log_bin = 0; INSERT INTO d.who VALUES (@@server_id)").unwrap();
    }
    let weir = Weir::attach(&cluster, &[]);
    let served_by = || weir.query("SELECT server FROM d.who");
    let sees = |id: &str| (0..10).any(|_| served_by().is_ok_and(|server| server == id));
    eventually(Duration::from_secs(10), "both replicas serve reads", || sees("2") && sees("3"));

    cluster.kill_server(1);
    eventually(Duration::from_secs(15), "reads go on without the dead replica", || {
        (0..20).all(|_| served_by().is_ok_and(|server| server != "2"))
    });
    cluster.start_server(1).unwrap();
    eventually(Duration::from_secs(15), "it serves again", || sees("2"));
}
