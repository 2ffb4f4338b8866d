//! The log of statements that take long, on real servers.

use std::time::Duration;
use weir_tests::{Session, TestCluster, Weir, application, eventually};

/// Lines of the log about slow statements.
fn told(weir: &Weir) -> Vec<String> {
    weir.output().lines().filter(|line| line.contains("slow statement")).map(str::to_owned).collect()
}

#[test]
fn a_statement_that_takes_long_is_logged_by_its_form() {
    let cluster = TestCluster::start(2);
    let weir = Weir::attach(&cluster, &["--slow-query-ms", "200", "--digests-max", "0"]);
    let mut session = Session::open(weir.address(), &application(), Some("information_schema")).expect("a session");
    session.values("SELECT 'n33dle'");
    session.values("SELECT SLEEP(0.3), 'n33dle'");
    session.execute("SELECT SLEEP(0.25), 'n33dle'");
    session.values("SELECT 1");
    eventually(Duration::from_secs(10), "they are logged", || told(&weir).len() >= 2);
    let lines = told(&weir);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, server_ms) in lines.iter().zip(["server_ms=3", "server_ms=2"]) {
        for part in
            ["select sleep(?), ?", "class=\"read\"", "verdict=\"ok\"", "rows_sent=1", server_ms, "information_schema"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    assert!(!weir.output().contains("n33dle"), "{}", weir.output());
}

#[test]
fn what_is_slow_can_be_changed_and_a_flood_of_it_is_cut_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weir.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    write("max-connections = 100\n");
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--config", file.to_str().expect("a name")]);
    let mut session = Session::open(weir.address(), &application(), None).expect("a session");
    session.values("SELECT SLEEP(0.3)");
    write("max-connections = 100\nslow-query-ms = 1\n");
    weir.hang_up();
    eventually(Duration::from_secs(10), "it is read again", || weir.output().contains("changed: slow-query-ms"));
    assert_eq!(told(&weir), [""; 0], "nothing was slow before");
    let begun = std::time::Instant::now();
    let mut statements = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        session.values("SELECT SLEEP(0.002)");
        statements += 1;
    }
    // One second may end at once.
    let lines = told(&weir).len();
    assert!((20..=40).contains(&lines) && statements > 100, "{lines} of {statements}");
    assert!(weir.output().contains("more statements were slow than are told in a second"));
}
