//! A client that reads slowly what is long: memory stays bounded in its gateway and its tablet, and others are not held up.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use weir_io::servers::Account;
use weir_tests::{Deployment, application};

/// Rows of a MiB each.
const ROWS: u64 = 1024;
const ROW_BYTES: u64 = 1024 * 1024;
/// How much more memory a process may hold meanwhile.
const GROWTH_KIB_MAX: u64 = 32 * 1024;
/// It reads nothing for so long.
const PAUSE: Duration = Duration::from_secs(2);

#[test]
fn a_result_of_a_gib_takes_little_memory_however_slowly_it_is_read() {
    let deployment = Deployment::small();
    deployment.query(0, "CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (7)");
    let before = deployment.memory_kib();
    let Account { user, password } = application();
    let sql = format!("SELECT REPEAT('x', {ROW_BYTES}) FROM seq_1_to_{ROWS}");
    let mut client = Command::new("mariadb")
        .args(["--no-defaults", "--quick", "--batch", "--skip-column-names", "--max-allowed-packet=64M", "-h127.0.0.1"])
        .args(["-P", &deployment.gateway(0).port().to_string(), "-u", &user, "-D", "d", "-e", &sql])
        .env("MYSQL_PWD", password)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the mariadb client is installed");
    let paused = Instant::now();
    while paused.elapsed() < PAUSE {
        assert_eq!(deployment.query(0, "SELECT a FROM d.t"), "7", "others are served");
    }
    let mut most = deployment.memory_kib();
    let (mut stdout, mut buffer, mut read) = (client.stdout.take().expect("piped"), vec![0; 1 << 20], 0);
    loop {
        match stdout.read(&mut buffer).expect("the client's output") {
            0 => break,
            bytes => read += bytes as u64,
        }
        let now = deployment.memory_kib();
        most = [most[0].max(now[0]), most[1].max(now[1])];
    }
    assert!(client.wait().expect("it ends").success());
    // Each row ends with a newline.
    assert_eq!(read, ROWS * (ROW_BYTES + 1));
    let grown = [most[0].saturating_sub(before[0]), most[1].saturating_sub(before[1])];
    eprintln!("memory grew by {} KiB in the gateway and {} KiB in the tablet", grown[0], grown[1]);
    assert!(grown.iter().all(|grown| *grown <= GROWTH_KIB_MAX), "{before:?} KiB before, {most:?} KiB at most");
}
