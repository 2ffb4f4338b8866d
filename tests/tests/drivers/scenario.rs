//! The scenario of `tests/drivers/scenario.tsv` through one driver, at a server and through Weir: the same answer to each step.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use weir_tests::source::{checkout, read};
use weir_tests::{TestCluster, Weir};

/// Rows of the file that LOAD DATA LOCAL sends.
const LOADED_ROWS: u32 = 1000;

/// A step as the program printed it, and all that it printed after it.
type Answer = (String, String);

/// Runs the program that `command` makes at both places. It fails at the first step whose answer is not the same.
pub(crate) fn same(driver: &str, command: impl Fn() -> Command) {
    let cluster = TestCluster::start(3);
    let direct = answers(command(), cluster.primary().address());
    assert_eq!(steps(), direct.iter().map(|(step, _)| step.clone()).collect::<Vec<_>>(), "{driver} does all steps");
    let failed = direct.iter().filter(|(_, said)| said.starts_with("error ")).count();
    assert!(failed < direct.len() / 3, "{driver} fails at too many steps at a server:\n{direct:#?}");
    let mut weir = Weir::attach(&cluster, &[]);
    let through = answers(command(), weir.address());
    let different = differences(&direct, &through);
    assert!(different.is_empty(), "{driver} at a server and through Weir:\n{different}");
    weir.assert_unharmed();
}

fn steps() -> Vec<String> {
    let text = read(&checkout().join("tests/drivers/scenario.tsv"));
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn answers(mut command: Command, address: SocketAddr) -> Vec<Answer> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Its name is in answers, and the same at both places.
    let numbers = dir.path().join("numbers");
    let text = (1..=LOADED_ROWS).fold(String::new(), |text, n| text + &format!("{n}\n"));
    std::fs::write(&numbers, text).expect("a file to load");
    let output = super::told_where(&mut command, address)
        .env("ROUNDS_SCENARIO", checkout().join("tests/drivers/scenario.tsv"))
        .env("ROUNDS_FILE", &numbers)
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).replace(&numbers.display().to_string(), "FILE");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "at {address}: {}\n{said}\n{complained}", output.status);
    parse(&said.replace(&address.port().to_string(), "PORT"))
}

fn parse(said: &str) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for line in said.lines() {
        match (line.strip_prefix("> "), answers.last_mut()) {
            (Some(step), _) => answers.push((step.to_owned(), String::new())),
            (None, Some((_, answer))) => *answer += &format!("{line}\n"),
            (None, None) => panic!("before the first step: {line}"),
        }
    }
    answers
}

fn differences(direct: &[Answer], through: &[Answer]) -> String {
    let mut text = String::new();
    for (at, (step, expected)) in direct.iter().enumerate() {
        let got = through.get(at).map_or("nothing\n", |(_, got)| got);
        if got != expected {
            let _ = writeln!(text, "{step}\n  at a server\n{expected}  through Weir\n{got}");
        }
    }
    text
}
