//! The compressed protocol: Weir's answers are a server's, and what makes no sense in it harms nobody.

use flate2::{Compress, Compression};
use std::net::SocketAddr;
use std::process::Command;
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::compressed::{Inflater, deflate};
use weir_core::mysql::frame::write_packet;
use weir_io::servers::Account;
use weir_tests::{TestCluster, Weir, Wire, application, wire};

/// Runs statements with the `mariadb` client over a compressed connection.
fn compressed(address: SocketAddr, sql: &str) -> String {
    let Account { user, password } = application();
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--batch", "--compress", "--local-infile", "-h127.0.0.1"])
        .args(["-P", &address.port().to_string(), "-u", &user, "-e", sql])
        .env("MYSQL_PWD", password)
        .output()
        .expect("the mariadb client is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_compressed_client_reads_what_it_reads_of_a_server() {
    reads_the_same(&["--compression", "6"]);
}

#[test]
fn the_servers_may_be_spoken_to_compressed_as_well() {
    reads_the_same(&["--server-compression", "6"]);
    reads_the_same(&["--compression", "0", "--server-compression", "1"]);
}

fn reads_the_same(options: &[&str]) {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, options);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("lines");
    let lines: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
    std::fs::write(&file, lines).expect("a file");
    let load = format!(
        "CREATE DATABASE IF NOT EXISTS d; CREATE OR REPLACE TABLE d.t (a TEXT); \
         LOAD DATA LOCAL INFILE '{}' INTO TABLE d.t; SELECT COUNT(*), MD5(GROUP_CONCAT(a)) FROM d.t; SELECT * FROM d.t",
        file.display()
    );
    for sql in [
        "SELECT 1",
        "SELECT REPEAT('compresses well ', 500000)",
        "SELECT nothing",
        "SELECT HEX(RANDOM_BYTES(0)), SHA2('a', 512); SELECT 2; SELECT REPEAT(SHA2('b', 512), 200)",
        &format!("SELECT LENGTH('{}')", "long ".repeat(20_000)),
        &load,
    ] {
        let [ours, theirs] = [weir.address(), cluster.primary().address()].map(|address| compressed(address, sql));
        assert!(ours == theirs, "{:.100}: {:.300} instead of {:.300}", sql, ours, theirs);
    }
}

/// Logs in and says `bytes` where compressed packets are expected; the answer's plain bytes, up to the end of the connection.
fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let (mut client, greeting) = Wire::greeted(address);
    let mut response = wire::response(&greeting);
    response.capabilities |= CapabilityFlags::CLIENT_COMPRESS;
    assert!(client.respond(&response).is_ok(), "logged in");
    client.send_bytes(bytes);
    let received = client.hear_bytes();
    let (mut inflater, mut plain, mut rest) = (Inflater::new(), Vec::new(), &received[..]);
    *inflater.sequence() = rest.get(3).copied().unwrap_or_default();
    while !rest.is_empty() {
        inflater.inflate(&mut rest, &mut plain, 1 << 16).expect("compressed packets");
    }
    let text = plain.get(4..).unwrap_or_default();
    text.escape_ascii().to_string()
}

fn packet(command: &ClientCommand<'_>, sequence: u8) -> Vec<u8> {
    let (mut payload, mut framed, mut out) = (Vec::new(), Vec::new(), Vec::new());
    command.encode(&mut payload);
    write_packet(&mut framed, &mut 0, &payload);
    deflate(&mut Compress::new(Compression::fast(), true), &mut out, &mut { sequence }, &framed);
    out
}

/// The servers themselves say whether, and count what they sent. By its whole name the variable would be the client's own.
#[test]
fn only_an_option_compresses_towards_the_servers() {
    let cluster = TestCluster::start(2);
    for (level, state) in [("0", "OFF"), ("9", "ON")] {
        let weir = Weir::attach(&cluster, &["--server-compression", level]);
        let status = "SHOW STATUS LIKE 'Compressio_'";
        assert_eq!(weir.query(status), Ok(format!("Compression\t{state}")));
        // State that is brought along, and statements that go out together.
        let sql = "SET sql_mode = 'ANSI'; SELECT @@sql_mode LIKE '%ANSI%'; SET @a = REPEAT('b', 500000); BEGIN; SELECT LENGTH(@a); \
                   PREPARE s FROM 'SELECT ? + 1'; SET @n = 41; EXECUTE s USING @n; COMMIT; USE mysql; SELECT DATABASE(), @n";
        assert_eq!(weir.query(sql), Ok("1\n500000\n42\nmysql\t41".into()));
        let bytes = "SHOW STATUS LIKE 'Bytes_sent'; SET @b = 1; SHOW STATUS LIKE 'Bytes_sent'; SELECT REPEAT('a', 500000); \
                     SHOW STATUS LIKE 'Bytes_sent'";
        let said = weir.query(bytes).expect("an answer");
        let counts: Vec<u64> =
            said.lines().filter_map(|line| line.strip_prefix("Bytes_sent\t")?.parse().ok()).collect();
        let sent = counts[2] - counts[1];
        assert_eq!(sent < 100_000, level != "0", "{sent} bytes with level {level}");
    }
}

#[test]
fn what_makes_no_sense_is_told_and_ends_the_connection() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &[]);
    let long = format!("SELECT '{}'", "a".repeat(1000));
    let sound = packet(&ClientCommand::Query(long.as_bytes()), 0);
    let changed = |at: usize, byte: u8| {
        let mut bytes = sound.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(say(weir.address(), &packet(&ClientCommand::Quit, 0)).is_empty());
    for (bytes, code) in [
        (packet(&ClientCommand::Ping, 7), r"\xff\x84\x04"),
        (changed(3, 1), r"\xff\x84\x04"),
        (changed(4, 1), r"\xff\x85\x04"),
        (changed(7, 0), r"\xff\x85\x04"),
    ] {
        let said = say(weir.address(), &bytes);
        assert!(said.starts_with(code), "{said}");
    }
    weir.assert_unharmed();
}

#[test]
fn it_is_offered_unless_forbidden() {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--compression", "0"]);
    let (_, greeting) = Wire::greeted(weir.address());
    assert!(!greeting.capabilities.contains(CapabilityFlags::CLIENT_COMPRESS));
}
