//! Statements of real servers, counted by form: exact numbers of known statements, who may see them, and nothing of their values.

use serde_json::Value;
use std::collections::BTreeMap;
use tempfile::TempDir;
use weir_core::mysql::resultset::{Answer, TextResultSet};
use weir_io::servers::Account;
use weir_tests::{Session, TestCluster, Weir, application};

/// In statements, and nowhere else.
const NEEDLE: &str = "n33dle";

fn open(weir: &Weir, account: &Account) -> Session {
    Session::open(weir.address(), account, None).expect("a session")
}

/// The number of its error; 0 when it succeeded.
fn run(session: &mut Session, sql: &str) -> u16 {
    let answers = session.run(sql.as_bytes()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    answers.iter().find_map(|answer| if let Answer::Err(error) = answer { Some(error.code) } else { None }).unwrap_or(0)
}

/// What SHOW WEIR DIGESTS answers: rows by the statement's form, each with its values by column.
fn shown(session: &mut Session) -> Vec<BTreeMap<String, String>> {
    let answer = session.run(b"SHOW WEIR DIGESTS").expect("an answer").pop();
    let Some(Answer::Rows(TextResultSet { columns, rows }, _)) = answer else { panic!("{answer:?}") };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let names: Vec<String> = columns.iter().map(|column| text(&column.name)).collect();
    let row = |row: Vec<Option<Vec<u8>>>| {
        let values = row.into_iter().map(|value| value.map_or_else(|| "NULL".to_owned(), |value| text(&value)));
        names.iter().cloned().zip(values).collect()
    };
    rows.into_iter().map(row).collect()
}

/// Count, errors, rows sent and rows affected of a form.
fn counts(row: &BTreeMap<String, String>) -> [u64; 4] {
    ["Count", "Errors", "Rows_sent", "Rows_affected"].map(|name| row[name].parse().expect("a number"))
}

fn of<'a>(rows: &'a [BTreeMap<String, String>], form: &str) -> &'a BTreeMap<String, String> {
    rows.iter().find(|row| row["Statement"] == form).unwrap_or_else(|| panic!("no {form}: {rows:?}"))
}

#[test]
fn statements_are_counted_by_their_form_and_exactly() {
    let dir = TempDir::with_prefix("weir-").expect("a temporary directory");
    let data = dir.path().join("data").to_str().expect("text").to_owned();
    let mut weir = Weir::up(&["--servers", "2", "--data-dir", &data]);
    let ctl = |what: &[&str]| Weir::ctl(&[&["digests", "--data-dir", &data], what].concat());
    let json = |what: &[&str]| -> Value {
        let said = ctl(&[&["--json"], what].concat()).expect("digests");
        serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}"))
    };
    let mut session = open(&weir, &application());
    for sql in ["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, note VARCHAR(20))", "RESET WEIR DIGESTS"] {
        assert_eq!(run(&mut session, sql), 0, "{sql}");
    }
    for id in 1..=5 {
        assert_eq!(run(&mut session, &format!("INSERT INTO d.t VALUES ({id}, '{NEEDLE}')")), 0);
    }
    assert_eq!(
        run(&mut session, &format!("insert into d.t  VALUES (6, '{NEEDLE}'), (7, 'b'), (8, NULL) -- {NEEDLE}")),
        0
    );
    assert_eq!(run(&mut session, "INSERT INTO d.t VALUES (1, 'again')"), 1062);
    assert_eq!(run(&mut session, &format!("UPDATE d.t SET note = \"{NEEDLE}x\" WHERE id <= 4")), 0);
    for id in 0..10 {
        assert_eq!(
            session.values(&format!("SELECT id FROM d.t WHERE id > {} ORDER BY id", id % 3 + 2)).len(),
            6 - id % 3
        );
    }
    for _ in 0..3 {
        session.execute("SELECT note FROM d.t WHERE id = 7");
    }
    session.values("SELECT note FROM d.t WHERE id = 1");
    for _ in 0..2 {
        assert_eq!(run(&mut session, "SELECT nothing FROM d.nowhere"), 1146);
    }
    session.values("SELECT SLEEP(1.5)");
    let rows = shown(&mut session);
    for (form, expected) in [
        ("insert into d.t values(?)", [7, 1, 0, 8]),
        ("update d.t set note = ? where id <= ?", [1, 0, 0, 4]),
        ("select id from d.t where id > ? order by id", [10, 0, 51, 0]),
        ("select note from d.t where id = ?", [4, 0, 4, 0]),
        ("select nothing from d.nowhere", [2, 2, 0, 0]),
        ("select sleep(?)", [1, 0, 1, 0]),
        ("reset weir digests", [1, 0, 0, 0]),
        ("(others)", [0, 0, 0, 0]),
    ] {
        assert_eq!(counts(of(&rows, form)), expected, "{form}: {rows:?}");
    }
    assert_eq!(rows.len(), 8, "{rows:?}");
    assert_eq!(rows[0]["Statement"], "select sleep(?)", "what took longest comes first");
    let slept: f64 = rows[0]["Max_ms"].parse().expect("a number");
    assert!((1_500.0..60_000.0).contains(&slept) && rows[0]["Total_ms"] == rows[0]["Max_ms"], "{rows:?}");
    assert_eq!(rows[0]["Missed_max"], "0");
    as_operators_see_them(&json, &ctl, &rows);
    assert_eq!(ctl(&["--reset"]).as_deref(), Ok("weir: all gateways count statements anew"));
    assert_eq!(shown(&mut session).len(), 1, "the others, of whom there are none");
    assert_eq!(counts(of(&shown(&mut session), "show weir digests")), [1, 0, 0, 0]);
    weir.assert_unharmed();
}

fn as_operators_see_them(
    json: &dyn Fn(&[&str]) -> Value,
    ctl: &dyn Fn(&[&str]) -> Result<String, String>,
    rows: &[BTreeMap<String, String>],
) {
    let all = json(&["--by", "count"]);
    let list = all["digests"].as_array().expect("a list");
    assert_eq!(list[0]["statement"], "select id from d.t where id > ? order by id", "{all}");
    assert_eq!(list[0]["totals"]["rows_sent"], 51);
    assert_eq!(list[0]["fingerprint"], of(rows, "select id from d.t where id > ? order by id")["Fingerprint"].as_str());
    // SHOW WEIR DIGESTS is one now, itself.
    let sum: u64 = list.iter().map(|digest| digest["totals"]["count"].as_u64().expect("a number")).sum();
    assert_eq!((list.len(), sum, all["others"]["count"].as_u64()), (8, 27, Some(0)), "{all}");
    let failed = json(&["--by", "errors", "--limit", "1"]);
    assert_eq!(failed["digests"].as_array().map(Vec::len), Some(1));
    assert_eq!(failed["digests"][0]["statement"], "select nothing from d.nowhere");
    let table = ctl(&["--by", "rows"]).expect("a table");
    assert!(table.lines().nth(1).is_some_and(|line| line.ends_with("order by id")), "{table}");
    assert!(!format!("{rows:?}{all}{table}").contains(NEEDLE), "{table}");
}

#[test]
fn what_has_no_place_is_counted_among_the_others() {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--digests-max", "2", "--threads", "1"]);
    let mut session = open(&weir, &application());
    assert_eq!(run(&mut session, "RESET WEIR DIGESTS"), 0);
    for form in ["a", "a", "a", "b", "c", "d", "a", "d", "d", "d", "d"] {
        assert_eq!(session.values(&format!("SELECT 5 AS {form}")), ["5"]);
    }
    let rows = shown(&mut session);
    assert_eq!(rows.len(), 3, "{rows:?}");
    let sum = |column: &str| rows.iter().map(|row| row[column].parse::<u64>().expect("a number")).sum::<u64>();
    assert_eq!((sum("Count"), sum("Rows_sent")), (12, 11), "nothing is lost: {rows:?}");
    let (a, d) = (of(&rows, "select ? as a"), of(&rows, "select ? as d"));
    assert_eq!((&*a["Count"], &*a["Missed_max"]), ("4", "0"), "{rows:?}");
    assert_eq!((&*d["Count"], &*d["Missed_max"]), ("5", "3"), "{rows:?}");
    assert_eq!(counts(of(&rows, "(others)")), [3, 0, 2, 0], "{rows:?}");
}

#[test]
fn nothing_is_counted_where_that_is_not_wanted() {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--digests-max", "0"]);
    let mut session = open(&weir, &application());
    assert_eq!(session.values("SELECT 5"), ["5"]);
    let rows = shown(&mut session);
    assert_eq!((rows.len(), counts(&rows[0])), (1, [0; 4]), "{rows:?}");
    let warning = session.values("SHOW WARNINGS").join(" ");
    assert!(warning.contains("--digests-max is 0"), "{warning}");
}

#[test]
fn only_who_sees_all_clients_sees_what_they_say() {
    let cluster = TestCluster::start(1);
    let dir = TempDir::with_prefix("weir-").expect("a temporary directory");
    let file = dir.path().join("users.toml");
    let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
    std::fs::write(&file, format!("[users]\nann = {{ password = '{hash}', admin = true }}\nbob = '{hash}'\n"))
        .expect("a file");
    let weir = Weir::attach(&cluster, &["--auth", "static", "--users-file", file.to_str().expect("UTF-8")]);
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| open(&weir, &Account::new(user, "secret")));
    assert_eq!(bob.values("SELECT 5 AS five"), ["5"]);
    for sql in ["SHOW WEIR DIGESTS", "RESET WEIR DIGESTS"] {
        assert_eq!(run(&mut bob, sql), 1227, "{sql}");
    }
    assert_eq!(counts(of(&shown(&mut ann), "select ? as five")), [1, 0, 1, 0]);
    assert_eq!(counts(of(&shown(&mut ann), "reset weir digests")), [1, 1, 0, 0], "what is refused counts, too");
    assert_eq!(run(&mut ann, "RESET WEIR DIGESTS"), 0);
    assert_eq!(bob.values("SELECT 6"), ["6"], "it goes on");
}
