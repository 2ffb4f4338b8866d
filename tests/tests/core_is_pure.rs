//! `core` and `sim` decide without a clock, a socket, a thread or ambient randomness: nothing they depend on could give
//! them one, and the lints that forbid the standard library's do bite.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};
use tempfile::TempDir;
use weir_tests::source::{checkout, files, read};

/// Crates that do IO, wait, or start threads: nowhere below `core`.
const BANNED: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "async-io",
    "smol",
    "polling",
    "futures-timer",
    "rustls",
    "tokio-rustls",
    "tonic",
    "hyper",
    "h2",
    "reqwest",
    "axum",
    "crossbeam",
    "crossbeam-channel",
    "parking_lot",
    "rayon",
    "chrono",
    "time",
    "tempfile",
    "tracing-subscriber",
    "weir-io",
];

/// Crates that others may need for themselves, but that `core` must not use: randomness and the operating system.
const BANNED_DIRECTLY: &[&str] = &["getrandom", "rand", "libc", "nix", "rustix", "tracing", "log"];

fn dependencies(krate: &str, more: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "-p",
            krate,
        ])
        .args(more)
        .current_dir(checkout())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn core_depends_on_nothing_that_does_io() {
    let all = dependencies("weir-core", &[]);
    assert!(all.contains("mysql_common"), "the tree was read: {all:?}");
    let found: Vec<_> = BANNED.iter().filter(|name| all.contains(**name)).collect();
    assert!(found.is_empty(), "below weir-core: {found:?}");
    let direct = dependencies("weir-core", &["--depth", "1"]);
    let found: Vec<_> = BANNED_DIRECTLY.iter().filter(|name| direct.contains(**name)).collect();
    assert!(found.is_empty(), "used by weir-core itself: {found:?}");
}

#[test]
fn the_test_would_find_io() {
    let all = dependencies("weir-io", &[]);
    assert!(BANNED.iter().filter(|name| all.contains(**name)).count() >= 3, "{all:?}");
}

/// One function for each ban: all must be refused under the crate's own `clippy.toml`.
const FORBIDDEN_CODE: &[(&str, &str)] = &[
    ("std::time::Instant", "pub fn f() -> u64 { std::time::Instant::now().elapsed().as_secs() }"),
    ("std::time::SystemTime", "pub fn f() -> bool { std::time::SystemTime::now() > std::time::UNIX_EPOCH }"),
    ("std::collections::HashMap", "pub fn f() -> usize { std::collections::HashMap::<u8, u8>::new().len() }"),
    ("std::collections::HashSet", "pub fn f() -> usize { std::collections::HashSet::<u8>::new().len() }"),
    ("std::net::TcpStream", "pub fn f() { drop(std::net::TcpStream::connect((\"localhost\", 1))) }"),
    ("std::net::UdpSocket", "pub fn f() { drop(std::net::UdpSocket::bind((\"localhost\", 1))) }"),
    ("std::sync::Mutex", "pub fn f(m: &std::sync::Mutex<u8>) -> bool { m.is_poisoned() }"),
    ("std::thread::spawn", "pub fn f() { drop(std::thread::spawn(|| ())) }"),
    ("std::thread::sleep", "pub fn f(d: std::time::Duration) { std::thread::sleep(d) }"),
    ("std::env::var", "pub fn f() -> bool { std::env::var(\"A\").is_ok() }"),
];

fn lint(krate: &str, code: &str) -> Output {
    let dir = TempDir::new().expect("a temporary directory");
    let manifest = "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::create_dir(dir.path().join("src")).expect("src");
    fs::write(dir.path().join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(dir.path().join("src/lib.rs"), code).expect("a source file");
    fs::copy(checkout().join(krate).join("clippy.toml"), dir.path().join("clippy.toml"))
        .expect("the crate's clippy.toml");
    Command::new(env!("CARGO"))
        .args(["clippy", "--offline", "--quiet", "--", "-D", "warnings"])
        .env("CARGO_TARGET_DIR", dir.path().join("target"))
        .env_remove("CLIPPY_CONF_DIR")
        .current_dir(dir.path())
        .output()
        .expect("cargo clippy runs")
}

#[test]
fn the_lints_of_core_and_sim_bite() {
    let code = |(n, (_, function)): (usize, &(&str, &str))| function.replace("fn f", &format!("fn f{n}"));
    let all: Vec<String> = FORBIDDEN_CODE.iter().enumerate().map(code).collect();
    for krate in ["core", "sim"] {
        let output = lint(krate, &all.join("\n"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        for (what, _) in FORBIDDEN_CODE {
            let named = said.lines().any(|line| line.contains("use of a disallowed") && line.contains(what));
            assert!(named, "{krate}/clippy.toml allows {what}:\n{said}");
        }
        let harmless = lint(krate, "pub fn f() -> usize { std::collections::BTreeMap::<u8, u8>::new().len() }");
        assert!(harmless.status.success(), "{}", String::from_utf8_lossy(&harmless.stderr));
    }
}

#[test]
fn no_one_excuses_himself_from_the_lints() {
    for path in ["core/src", "sim/src"].into_iter().flat_map(|dir| files(dir, &[".rs"])) {
        let text = read(&path);
        assert!(!text.contains("clippy::disallowed"), "{} switches a ban off", path.display());
    }
}
