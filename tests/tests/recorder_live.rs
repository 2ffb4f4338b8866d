//! The flight recorder: what orchestrators, tablets and gateways have recorded of a primary that was killed is decided again when it is told
//! again, has no secret in it, and explains what happened and what clients felt.

use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use weir_core::recording::Line;
use weir_io::recorder::{Shelf, sealed};
use weir_tests::{Deployment, Part, Weir, application, eventually, weir_sim};

const LIMIT: Duration = Duration::from_secs(60);

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Each recording, with its name.
fn recordings(dir: &Path) -> Vec<(String, Vec<String>)> {
    let shelf = Shelf::open(dir).expect("recordings");
    let lines =
        shelf.recordings().map(|(name, lines)| (name.to_owned(), lines.map(|line| line.expect("a line")).collect()));
    lines.collect()
}

fn explained(places: &[&Path], more: &[&str]) -> Value {
    let places: Vec<&str> = places.iter().flat_map(|place| ["--recording", text(place)]).collect();
    let args = [&["explain-failover", "--json"][..], &places, more].concat();
    let said = Weir::ctl(&args).unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Lines as a recording of their own.
fn written(dir: &Path, name: &str, lines: &[String]) -> PathBuf {
    let path = dir.join(name);
    let file = std::fs::File::create(&path).expect("a file");
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    lines.iter().for_each(|line| packed.write_all(sealed(line).as_bytes()).expect("room"));
    packed.finish().expect("room");
    path
}

#[test]
fn a_primary_that_is_killed_is_recorded_told_again_and_explained() {
    let mut deployment = Deployment::several();
    deployment.query(
        0,
        "CREATE DATABASE shop; CREATE TABLE shop.item (name VARCHAR(20)); INSERT INTO shop.item VALUES ('oar')",
    );
    let before = deployment.primary();
    deployment.kill_and_restart(Part::Server(before));
    eventually(LIMIT, "another is primary", || {
        let said = deployment.query(0, "SHOW WEIR TABLETS");
        said.lines().any(|line| line.contains("\tPRIMARY\t") && !line.contains(&format!("-000000000{}", before + 1)))
    });
    deployment.wait_until_healed();
    let after = deployment.primary();
    assert_ne!(before, after);
    let dir = deployment.recordings();

    // It is said soon, and while it is written.
    let term = || explained(&[&dir], &[])["term"].as_u64().expect("a term");
    eventually(LIMIT, "it can be read", || term() == 2);
    let (code, said) = weir_sim(&["replay", text(&dir)]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("the same is decided").count(), 2 + 3 + 2, "orchestrators, tablets, gateways: {said}");
    let told = ["its server does not answer", "found DeadPrimary: local", "begins term 2", "is primary in term 2"];
    let by_tablets = ["promises to obey no order of a term before 2", "has its server let clients write"];
    let by_gateways = ["takes no writes any more, and nobody does", "is primary in term 2 and takes writes, after"];
    for what in told.into_iter().chain(by_tablets).chain(by_gateways) {
        assert!(said.contains(what), "{what}: {said}");
    }

    let explanation = explained(&[&dir], &["2"]);
    let alias = |number: usize| format!("local-{:010}", number + 1);
    assert_eq!(explanation["primary"], alias(after), "{explanation:#}");
    assert_eq!(explanation["causes"], serde_json::json!([format!("found DeadPrimary: {}", alias(before))]));
    assert_eq!((&explanation["shard"], &explanation["settled"]), (&"shop/0".into(), &true.into()));
    let steps = explanation["steps"].as_array().expect("steps");
    let seconds: Vec<f64> = steps.iter().map(|step| step["seconds"].as_f64().expect("seconds")).collect();
    assert_eq!(seconds.len(), 7, "{explanation:#}");
    let (all, parts) = seconds.split_last().expect("some");
    assert!((parts.iter().sum::<f64>() - all).abs() < 1e-6 && *all > 0.0 && *all < 60.0, "{seconds:?}");
    let said = Weir::ctl(&["explain-failover", "--recording", text(&dir)]).unwrap_or_else(|error| panic!("{error}"));
    let whole = ["was begun by the orchestrator orchestrator-", "Chosen:  local-", "What was seen", "in all"];
    for what in whole
        .into_iter()
        .chain(["gateway-0 knew no primary that takes writes: from ", "is ordered in term 2 to be primary"])
    {
        assert!(said.contains(what), "{what}: {said}");
    }
    eprintln!("{said}");
    clients_felt_it(&dir, &explanation);
    let why = Weir::ctl(&["explain-failover", "9", "--recording", text(&dir)]).unwrap_err();
    assert!(why.contains("know nothing of term 9"), "{why}");

    let secrets = [application().password, deployment.service_account().password, "between servers".to_owned()];
    let all = recordings(&dir);
    for (name, lines) in &all {
        assert!(lines.iter().all(|line| secrets.iter().all(|secret| !line.contains(secret))), "a secret is in {name}");
    }

    for (kind, what) in [("tablet", "\"Recruit\""), ("gateway", "\"Health\"")] {
        what_is_missing_is_noticed(&all, kind, what);
    }

    // Whoever was in charge: what it was told is changed.
    let decided = |lines: &Vec<String>| lines.iter().any(|line| line.contains("\"Begun\":2"));
    let (_, lines) = all.into_iter().find(|(_, lines)| decided(lines)).expect("one was in charge");
    let scratch = TempDir::new().expect("a directory");
    let same = written(scratch.path(), "same", &lines);
    assert_eq!(weir_sim(&["replay", text(&same), "--quiet"]).0, Some(0));
    let is_promise = |line: &&String| match serde_json::from_str(line) {
        Ok(Line::Step { input, .. }) => input["Answered"]["outcome"]["Ok"]["promised"] == 2,
        _ => false,
    };
    let place = lines.iter().position(|line| is_promise(&line)).expect("somebody has promised");
    let mut missing = lines.clone();
    missing.remove(place);
    let mut changed = lines;
    changed[place] = changed[place].replace("\"promised\":2", "\"promised\":3");
    changed[place] = changed[place].replace("\"intact\":true", "\"intact\":false");
    for (name, lines) in [("changed", changed), ("missing", missing)] {
        let (code, said) = weir_sim(&["replay", text(&written(scratch.path(), name, &lines)), "--quiet"]);
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!(said.contains("DIFFERS"), "{name}: {said}");
    }
}

/// Each gateway tells for how long it knew no primary; without their recordings that is not told.
fn clients_felt_it(dir: &Path, explanation: &Value) {
    let clients = explanation["clients"].as_array().expect("clients");
    let names: Vec<&str> = clients.iter().map(|client| client["gateway"].as_str().expect("a name")).collect();
    assert_eq!(names, ["gateway-0", "gateway-1"], "{explanation:#}");
    for client in clients {
        let seconds = client["seconds"].as_f64().expect("seconds");
        let without = client["without"].as_array().expect("times");
        let times = without.iter().map(|time| {
            let [from, until] = ["from", "until"].map(|end| time[end].as_f64().expect("it was over"));
            until - from
        });
        assert!((times.sum::<f64>() - seconds).abs() < 1e-6 && seconds > 0.1 && seconds < 60.0, "{client:#}");
        assert!(
            without[0]["from"].as_f64().is_some_and(|from| from > -3.0),
            "not what was before the first term: {client:#}"
        );
    }
    let apart = TempDir::new().expect("a directory");
    let places = ["orchestrator", "gateway"].map(|kind| apart.path().join(kind));
    for (place, kind) in places.iter().zip(["orchestrator-", "gateway-"]) {
        std::fs::create_dir(place).expect("a directory");
        for file in std::fs::read_dir(dir).expect("recordings").map(|entry| entry.expect("an entry").path()) {
            let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
            if name.starts_with(kind) {
                std::fs::copy(&file, place.join(name)).expect("a copy");
            }
        }
    }
    let [orchestrators, gateways] = &places;
    assert_eq!(explained(&[orchestrators, gateways], &["2"])["clients"], explanation["clients"]);
    let alone = explained(&[orchestrators], &["2"]);
    assert_eq!((&alone["clients"], &alone["tablets"]), (&serde_json::json!([]), &serde_json::json!([])));
}

/// A recording of this kind, but for one of the inputs with this in it of which something came, does not come to the same. (What was
/// told again at once is not missing.)
fn what_is_missing_is_noticed(all: &[(String, Vec<String>)], kind: &str, what: &str) {
    let is_it = |line: &String| match serde_json::from_str(line) {
        Ok(Line::Step { input, outputs, .. }) => input.to_string().contains(what) && !outputs.is_empty(),
        _ => false,
    };
    let is_noticed = |lines: &[String], place: usize| {
        let mut lines = lines.to_vec();
        lines.remove(place);
        let scratch = TempDir::new().expect("a directory");
        let (code, said) = weir_sim(&["replay", text(&written(scratch.path(), kind, &lines)), "--quiet"]);
        code == Some(1) && said.contains("DIFFERS")
    };
    let recordings = all.iter().filter(|(name, _)| name.starts_with(kind));
    let mut places = recordings.flat_map(|(_, lines)| {
        let places = lines.iter().enumerate().filter(|(_, line)| is_it(line));
        places.map(move |(place, _)| (lines, place))
    });
    assert!(places.any(|(lines, place)| is_noticed(lines, place)), "{kind} without a {what}");
}

#[test]
fn weir_up_records_beside_its_data_unless_it_is_told_not_to() {
    let dir = TempDir::new().expect("a directory");
    let data_dir = text(dir.path());
    let mut weir = Weir::up(&["--servers", "2", "--data-dir", data_dir]);
    eventually(LIMIT, "the first term is explained", || {
        let said = Weir::ctl(&["explain-failover", "--data-dir", data_dir]).unwrap_or_default();
        said.contains("Why:     found ClusterHasNoPrimary") && said.contains("and the term is settled")
    });
    assert!(weir.interrupt().success(), "{}", weir.output());
    let (code, said) = weir_sim(&["replay", text(&dir.path().join("recordings")), "--quiet"]);
    assert_eq!(code, Some(0), "{said}");
    let names: Vec<&str> = said.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    assert_eq!(names, ["gateway-up", "orchestrator-up", "tablet-local-0000000001", "tablet-local-0000000002"]);
    let other = TempDir::new().expect("a directory");
    let _weir = Weir::up(&["--servers", "1", "--data-dir", text(other.path()), "--record-max-mib", "0"]);
    assert!(!other.path().join("recordings").exists());
    let why = Weir::ctl(&["explain-failover", "--data-dir", text(other.path())]).unwrap_err();
    assert!(why.contains("recordings"), "{why}");
}
