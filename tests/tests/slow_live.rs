//! The log of statements that take long, on real servers.

use std::time::{Duration, Instant};
use weir_tests::{Session, TestCluster, Weir, application, eventually};

/// Lines of the log about slow statements.
fn told(weir: &Weir) -> Vec<String> {
    weir.output().lines().filter(|line| line.contains("slow statement")).map(str::to_owned).collect()
}

#[test]
fn a_statement_that_takes_long_is_logged_by_its_form() {
    let cluster = TestCluster::start(2);
    let weir = Weir::attach(&cluster, &["--slow-query-ms", "1000", "--digests-max", "0"]);
    let mut session = Session::open(weir.address(), &application(), Some("information_schema")).expect("a session");
    session.values("SELECT SLEEP(0), 'n33dle', 'not slow'");
    session.values("SELECT SLEEP(1.1), 'n33dle'");
    session.execute("SELECT SLEEP(1.1), 'n33dle'");
    // What a busy machine delays is slow as well.
    let of_form = || told(&weir).into_iter().filter(|line| line.contains("\"select sleep(?), ?\"")).collect::<Vec<_>>();
    eventually(Duration::from_secs(10), "they are logged", || of_form().len() >= 2);
    for line in of_form() {
        for part in ["class=\"read\"", "verdict=\"ok\"", "rows_sent=1", "schema=\"information_schema\""] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let server_ms = line.split("server_ms=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(server_ms >= Some(1100), "{line}");
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
    let begun = Instant::now();
    eventually(Duration::from_secs(20), "it is told that there were more", || {
        (0..50).for_each(|_| drop(session.values("SELECT SLEEP(0.002)")));
        weir.output().contains("more statements were slow than are told in a second")
    });
    let seconds = begun.elapsed().as_secs() as usize + 1;
    assert!((10..=10 * (seconds + 1)).contains(&told(&weir).len()), "in {seconds} s: {:#?}", told(&weir));
}
