//! `weir-sim` as scripts and CI meet it: what its exit codes tell apart, and what it says of input that it cannot use.

use std::path::{Path, PathBuf};
use tempfile::TempDir;
use weir_tests::weir_sim;

/// A scenario of a second with one client; `more` goes before the clients.
fn scenario(dir: &Path, name: &str, more: &str, client: &str) -> String {
    let text = format!(
        "title = 'x'\nduration = '1s'\ncalm = '11s'\n{more}\n[[clients]]\nworkload = 'register'\ncount = 1\npause = '50ms'\n{client}\n"
    );
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A file that cannot be written: its directory is not there.
fn nowhere(dir: &Path) -> String {
    let path: PathBuf = dir.join("missing").join("file");
    path.to_str().unwrap().to_owned()
}

#[test]
fn exit_codes_tell_success_violation_and_silence_apart() {
    let dir = TempDir::new().unwrap();
    let good = scenario(dir.path(), "good.toml", "", "");
    let slow = scenario(dir.path(), "slow.toml", "must = ['latency']", "answer_within = '1ns'");
    let stuck = scenario(dir.path(), "stuck.toml", "must = ['progress']\n[cluster]\npatience = '1us'", "");
    for (file, code, says) in [(&good, 0, "good.toml"), (&slow, 1, "[latency]"), (&stuck, 3, "[progress]")] {
        let (status, output) = weir_sim(&["run", file]);
        assert_eq!(status, Some(code), "{output}");
        assert!(output.contains(says), "{output}");
        let explored = weir_sim(&["explore", file, "--seeds", "0..2"]);
        assert_eq!(explored.0, Some(code), "{}", explored.1);
    }
    assert_eq!(weir_sim(&["run", &good, "--check-determinism"]).0, Some(0));
}

#[test]
fn input_that_cannot_be_used_is_told_from_failures() {
    let dir = TempDir::new().unwrap();
    let good = scenario(dir.path(), "good.toml", "", "");
    let odd = scenario(dir.path(), "odd.toml", "colour = 'red'", "");
    let broken = scenario(dir.path(), "broken.toml", "must = [", "");
    let (directory, nowhere) = (dir.path().to_str().unwrap(), nowhere(dir.path()));
    for (args, says) in [
        (&["run", "no-such-scenario"][..], "no-such-scenario"),
        (&["explain", "no-such-scenario"], "no-such-scenario"),
        (&["explore", "lag", "no-such-scenario"], "no-such-scenario"),
        (&["run", directory], directory),
        (&["run", &odd], "colour"),
        (&["run", &broken], "broken.toml"),
        (&["run", &good, "--seed", "seven"], "seven"),
        (&["run", &good, "--mutant", "no-such-rule"], "weir-sim"),
        (&["explore", &good, "--seeds", "7"], "0..1000"),
        (&["explore", &good, "--seeds", "9..9"], "empty"),
        (&["explore", &good, "--seeds", "0..many"], "many"),
        (&["trace", &good], "--html"),
        (&["trace", &good, "--html", &nowhere], &nowhere),
        (&["trace", &good, "--perfetto", &nowhere], &nowhere),
        (&["trace", &good, "--html", &nowhere, "--from", "2", "--until", "1"], "--until"),
        (&["shrink", &good], "good.toml"),
        (&["bench", "no-such-load"], "no such load"),
        (&["dance"], "dance"),
        (&[], "Usage"),
    ] {
        let (status, output) = weir_sim(args);
        assert_eq!(status, Some(2), "{args:?}: {output}");
        assert!(output.contains(says), "{args:?}: {output}");
        assert!(!output.contains("panicked"), "{args:?}: {output}");
    }
}
