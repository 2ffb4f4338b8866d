//! Options that are read again while a process runs.

use std::time::Duration;
use weir_tests::{Session, TestCluster, Weir, application, eventually};

const SEEN_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn what_can_change_does_and_what_cannot_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weir.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    write("max-connections = 100\npool-size = 5\n");
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--config", file.to_str().expect("a name"), "--drain-time-ms", "500"]);
    let open = |weir: &Weir| Session::open(weir.address(), &application(), None);
    let first = open(&weir).expect("a place");

    write("max-connections = 2\npool-size = 7\nlog = 'debug'\n");
    weir.hang_up();
    eventually(SEEN_WITHIN, "it says what it took", || {
        weir.output().contains("read again; changed: log, max-connections")
    });
    assert!(weir.output().contains("from the next start on: pool-size"), "{}", weir.output());
    let second = open(&weir).expect("a place");
    eventually(SEEN_WITHIN, "there is no place for another", || open(&weir).is_err());

    write("max-connections = 9\npool-sise = 7\n");
    weir.hang_up();
    eventually(SEEN_WITHIN, "it says what is wrong", || {
        weir.output().contains("weir.toml:2: there is no option pool-sise")
    });
    assert!(open(&weir).is_err(), "nothing of it counts");
    drop(second);
    eventually(SEEN_WITHIN, "it logs more: the end of a session", || weir.output().contains("DEBUG"));
    let second = open(&weir).expect("a place");

    write("max-connections = 9\npool-size = 7\n");
    weir.hang_up();
    eventually(SEEN_WITHIN, "there is more place", || open(&weir).is_ok());
    drop((first, second));
    assert!(weir.stop().success());
}
