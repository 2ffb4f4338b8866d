//! Style that a machine can check, so that people need not.

use std::path::Path;
use weir_sim::scenario::library;
use weir_tests::source::{checkout, files, read};

const LINES_MAX: usize = 700;

/// What must not appear in any source file, and what to do instead. Split, so that this file does not contain them.
const BANNED: &[(&str, &str)] = &[
    (concat!("to", "do!("), "finish it, or leave it out"),
    (concat!("unimpl", "emented!("), "finish it, or leave it out"),
    (concat!("db", "g!("), "remove it, or use tracing"),
    (concat!("#[ig", "nore"), "fix the test, or delete it"),
    (concat!("FIX", "ME"), "fix it"),
    (concat!("XX", "X"), "say what is wrong, or fix it"),
    (concat!("/ro", "ot/"), "no path of one machine"),
    (concat!("/ho", "me/"), "no path of one machine"),
    (concat!("thread::sle", "ep(Duration::from_secs(1))"), "wait for the event, with a bound"),
    ("\t\n", "no white space at the end of a line"),
    (" \n", "no white space at the end of a line"),
];

fn sources() -> Vec<std::path::PathBuf> {
    files("", &[".rs", ".sh", ".py", ".js", ".toml", ".md"])
}

fn name(path: &Path) -> String {
    path.strip_prefix(checkout()).unwrap_or(path).display().to_string()
}

/// All complaints at once: fixing them one run at a time would be tedious.
fn nothing(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn nothing_banned_is_in_the_source() {
    let mut complaints = Vec::new();
    for path in sources() {
        let text = read(&path);
        for (banned, instead) in BANNED {
            if let Some(at) = text.find(banned) {
                let line = text[..at].lines().count().max(1);
                complaints.push(format!("{}:{line}: {banned:?}: {instead}", name(&path)));
            }
        }
    }
    nothing(complaints);
}

#[test]
fn a_file_is_short_enough_to_be_read() {
    let lines = |path: &Path| read(path).lines().count();
    let long = files("", &[".rs", ".sh", ".py", ".js"]).into_iter().filter(|path| lines(path) > LINES_MAX);
    nothing(long.map(|path| format!("{}: {} lines, {LINES_MAX} at most", name(&path), lines(&path))).collect());
}

#[test]
fn a_file_says_first_what_it_is_for() {
    // A tests.rs belongs to the module beside it.
    let own = |path: &std::path::PathBuf| !path.ends_with("tests.rs");
    let silent = files("", &[".rs"]).into_iter().filter(own).filter(|path| !read(path).starts_with("//! "));
    nothing(silent.map(|path| format!("{}: no module documentation at its top", name(&path))).collect());
}

/// What is not listed is not explored.
#[test]
fn every_scenario_is_listed() {
    let folder = checkout().join("scenarios");
    let name = |path: &Path| path.strip_prefix(&folder).ok().map(|path| path.with_extension("").display().to_string());
    let listed = |path: &Path| name(path).is_some_and(|name| library::find(&name).is_some());
    let all = files("scenarios", &[".toml"]);
    assert!(all.len() >= library::ALL.len(), "there is a file for each");
    let left_out = all.iter().filter(|path| !listed(path));
    nothing(left_out.map(|path| format!("{}: not in sim/src/scenario/library.rs", self::name(path))).collect());
}

/// A simulation takes the place of the system in one file, and of nothing else.
#[test]
fn tcp_and_the_simulation_are_named_where_they_belong() {
    const NAMED: &[(&str, &[&str])] = &[
        ("tokio::net::Tcp", &["io/src/system.rs"]),
        ("tokio::net::{Tcp", &["io/src/system.rs"]),
        ("turmoil::", &["io/src/simulated.rs"]),
        ("feature = \"simulated\"", &["io/src/lib.rs", "io/src/processes/mod.rs"]),
        ("aws_lc_rs::rand", &["io/src/system.rs", "io/src/servers/accounts.rs", "io/src/servers/server.rs"]),
    ];
    let mut complaints = Vec::new();
    for (named, places) in NAMED {
        let all: Vec<_> = files("io/src", &[".rs"]).into_iter().filter(|path| read(path).contains(named)).collect();
        let elsewhere = all.iter().map(|path| name(path)).filter(|path| !places.contains(&path.as_str()));
        complaints.extend(elsewhere.map(|path| format!("{path}: {named:?} belongs into {}", places.join(", "))));
    }
    nothing(complaints);
}

#[test]
fn a_dependency_says_why_it_is_there() {
    let text = read(&checkout().join("Cargo.toml"));
    let table = text.split("[workspace.dependencies]\n").nth(1).expect("one table of dependencies");
    let mut complaints = Vec::new();
    let mut above = "";
    for line in table.lines().take_while(|line| !line.starts_with('[')) {
        let is_dependency = line.contains('=') && !line.starts_with('#');
        if is_dependency && !line.contains("path = ") && !above.starts_with('#') {
            complaints.push(format!("Cargo.toml: `{line}` has no reason above it"));
        }
        above = line;
    }
    nothing(complaints);
}

#[test]
fn versions_stand_in_one_place() {
    let mut complaints = Vec::new();
    for krate in ["core", "io", "sim", "bins", "tests"] {
        let text = read(&checkout().join(krate).join("Cargo.toml"));
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace") {
                complaints.push(format!("{krate}/Cargo.toml: `{line}`: take it from the workspace's table"));
            }
        }
    }
    nothing(complaints);
}
