//! The audit log on real servers: what is in it, what is not, and what becomes of it when it cannot be written.

use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use weir_core::mysql::resultset::Answer;
use weir_io::servers::Account;
use weir_tests::{Exposition, Session, TestCluster, Weir, application, eventually, free_port, http};

const LIMIT: Duration = Duration::from_secs(20);
/// A password that nothing else has in it.
const SECRET: &str = "g3heim";

/// A directory with a log in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("audit.log")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// Its complete lines.
    fn lines(&self) -> Vec<Value> {
        lines(&self.text())
    }

    fn with(&self, field: &str, value: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line[field] == value).collect()
    }

    /// The one line with this text.
    fn told(&self, text: &str) -> Value {
        eventually(LIMIT, &format!("{text} is logged"), || !self.with("text", text).is_empty());
        let mut lines = self.with("text", text);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines.remove(0)
    }
}

fn lines(text: &str) -> Vec<Value> {
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"))).collect()
}

fn attach(cluster: &TestCluster, log: &Path, more: &[&str]) -> Weir {
    Weir::attach(cluster, &[&["--audit-log", log.to_str().expect("a name")], more].concat())
}

fn open(weir: &Weir) -> Session {
    Session::open(weir.address(), &application(), None).expect("a session")
}

fn error_of(answers: &[Answer]) -> Option<u16> {
    answers.iter().find_map(|answer| match answer {
        Answer::Err(error) => Some(error.code),
        _ => None,
    })
}

fn run(session: &mut Session, sql: &str) -> Option<u16> {
    error_of(&session.run(sql.as_bytes()).expect("an answer"))
}

#[test]
fn what_clients_do_is_logged_with_who_and_where_and_what_came_of_it() {
    let (place, cluster) = (Place::new(), TestCluster::start(2));
    cluster.primary().query("CREATE DATABASE shop; CREATE TABLE shop.t (a INT)").expect("a table");
    let weir = attach(&cluster, &place.path(), &["--max-connections", "3"]);
    let app = application();
    let wrong = Account::new(&app.user, SECRET);
    assert!(Session::open(weir.address(), &wrong, None).is_err());
    let mut session = Session::open(weir.address(), &app, Some("shop")).expect("a session");
    let id = session.values("SELECT CONNECTION_ID()").remove(0).parse::<u64>().expect("a number");
    run(&mut session, "INSERT INTO t VALUES (1), (2)");
    session.values("SELECT a FROM t /* where? */");
    session.execute("SELECT 'prepared' FROM t LIMIT 1");
    assert_eq!(run(&mut session, "SELECT nothing FROM t"), Some(1054));
    run(&mut session, "UPDATE t SET a = 3; DROP TABLE t");
    run(&mut session, "SHOW WEIR STATUS");
    assert!(session.prepare(b"SELECT FROM").expect("an answer").is_err());

    let (mut other, another) = (open(&weir), open(&weir));
    assert!(Session::open(weir.address(), &app, None).is_err(), "there is no place");
    let victim = other.values("SELECT CONNECTION_ID()").remove(0);
    run(&mut session, &format!("KILL {victim}"));
    drop(another);

    let insert = place.told("INSERT INTO t VALUES (1), (2)");
    let is = |line: &Value, field: &str, value: Value| assert_eq!(line[field], value, "{field} of {line:#}");
    for (field, value) in [
        ("event", "query"),
        ("user", &*app.user),
        ("client", "127.0.0.1"),
        ("schema", "shop"),
        ("result", "ok"),
        ("role", "PRIMARY"),
    ] {
        is(&insert, field, value.into());
    }
    for (field, value) in [("session", id), ("affected", 2)] {
        is(&insert, field, value.into());
    }
    is(&insert, "tls", false.into());
    is(&insert, "sorts", vec!["write"].into());
    assert!(insert["ran_on"].as_str().is_some_and(|alias| alias.starts_with("local-")), "{insert:#}");
    assert!(insert["took_us"].as_u64().is_some_and(|took| (1..60_000_000).contains(&took)), "{insert:#}");
    let time = insert["time"].as_str().expect("a time");
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");

    let read = place.told("SELECT a FROM t /* where? */");
    is(&read, "rows", 2.into());
    let prepared = place.told("SELECT 'prepared' FROM t LIMIT 1");
    is(&prepared, "event", "execute".into());
    let failed = place.told("SELECT nothing FROM t");
    is(&failed, "result", "server_error".into());
    is(&failed, "error", 1054.into());
    is(&failed, "sqlstate", "42S22".into());
    is(&place.told("UPDATE t SET a = 3; DROP TABLE t"), "sorts", vec!["write", "ddl"].into());
    is(&place.told("SHOW WEIR STATUS"), "ran_on", "gateway".into());
    is(&place.told("SELECT FROM"), "event", "prepare".into());
    is(&place.told(&format!("KILL {victim}")), "sorts", vec!["admin"].into());

    eventually(LIMIT, "those that ended are logged", || place.with("event", "disconnect").len() == 2);
    let reasons: Vec<_> = place.with("event", "disconnect").iter().map(|line| line["reason"].clone()).collect();
    assert!(reasons.contains(&"killed".into()) && reasons.contains(&"client_gone".into()), "{reasons:?}");
    let connects = place.with("event", "connect");
    let refused: Vec<_> = connects.iter().filter(|line| line["result"] == "refused").collect();
    assert_eq!((connects.len(), refused.len()), (5, 2), "{connects:#?}");
    is(refused[0], "error", 1045.into());
    is(refused[0], "user", app.user.clone().into());
    is(refused[0], "client", "127.0.0.1".into());
    assert!(refused[0]["message"].as_str().is_some_and(|why| why.starts_with("Access denied")), "{:#}", refused[0]);
    is(refused[1], "error", 1040.into());
    assert_eq!(fs::metadata(place.path()).expect("a file").permissions().mode() & 0o777, 0o600);
    assert!(!place.text().contains(SECRET));
}

#[test]
fn a_client_behind_a_load_balancer_is_logged_by_its_own_address() {
    let (place, cluster) = (Place::new(), TestCluster::start(1));
    let weir = attach(&cluster, &place.path(), &["--proxy-protocol-from", "127.0.0.1", "--login-time-ms", "300"]);
    let mut stream = TcpStream::connect(weir.address()).expect("a connection");
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 3306\r\n").expect("a header");
    let mut greeting = Vec::new();
    stream.read_to_end(&mut greeting).expect("a greeting, and then the end of patience");
    eventually(LIMIT, "it is logged", || !place.lines().is_empty());
    let line = place.lines().remove(0);
    assert_eq!((&line["client"], &line["reason"]), (&"192.0.2.7".into(), &"timed_out".into()), "{line:#}");
}

/// Statements with a password, most of which run.
const SECRETIVE: &[&str] = &[
    "CREATE USER 'bob'@'%' IDENTIFIED BY 'g3heim'",
    "CREATE USER eve IDENTIFIED VIA mysql_native_password USING PASSWORD('g3heim') REQUIRE SSL",
    "ALTER USER 'bob'@'%' IDENTIFIED BY 'g3heim2'",
    "SET PASSWORD FOR 'bob'@'%' = PASSWORD('g3heim')",
    "SET PASSWORD FOR 'nobody'@'%' = PASSWORD('g3heim')",
    "GRANT SELECT ON *.* TO 'bob'@'%' IDENTIFIED BY 'g3heim'",
    "SELECT PASSWORD('g3heim'), 'g3heim' AS passwd",
    "SET @p = 'g3heim'",
    "PREPARE s FROM 'SET PASSWORD FOR bob = PASSWORD(''g3heim'')'",
    "EXECUTE IMMEDIATE 'CREATE USER carl IDENTIFIED BY ''g3heim'''",
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h', PASSWORD 'g3heim')",
    "CHANGE MASTER 'other' TO MASTER_HOST = '127.0.0.1', MASTER_PASSWORD = 'g3heim'",
    "SELECT 1; CREATE USER dora IDENTIFIED BY 'g3heim'; SELECT 'x'",
    "CREATE USER a IDENTIFIED BY 'g3heim",
    "CREATE USER a IDENTIFIED BY g3heim",
    "CREATE USER a IDNTIFIED BY 'g3heim'",
    "/*!50000 CREATE USER f IDENTIFIED BY 'g3heim' */",
    "INSERT INTO mysql.global_priv VALUES ('%', 'x', 'g3heim')",
    "SELECT 'it's', PASSWORD('g3heim')",
    "SET STATEMENT max_statement_time = 10 FOR CREATE USER g IDENTIFIED BY 'g3heim'",
];

#[test]
fn no_password_is_anywhere_in_the_log() {
    for text in ["full", "form"] {
        let (place, cluster) = (Place::new(), TestCluster::start(1));
        let weir = attach(&cluster, &place.path(), &["--audit-text", text]);
        let mut session = open(&weir);
        for sql in SECRETIVE {
            run(&mut session, sql);
            // Prepared it is logged, too: when it runs, or when it cannot be prepared.
            if let Ok(prepared) = session.prepare_to_keep(sql) {
                let _ = session.execute_again(&prepared);
            }
        }
        for sql in ["USE mysql", "INSERT INTO global_priv VALUES ('%', 'y', 'g3heim')"] {
            run(&mut session, sql);
        }
        session.values("SELECT 'the last'");
        // In the schema of accounts, everything is told by its form.
        let is_last = |line: &Value| line["text"] == "select ?" && line["schema"] == "mysql";
        eventually(LIMIT, "all is logged", || place.lines().iter().any(is_last));
        let told = place.text();
        assert!(place.lines().len() > 2 * SECRETIVE.len(), "{told}");
        assert!(!told.to_ascii_lowercase().contains(SECRET), "{told}");
        assert!(told.contains("create user 'bob'@'%' identified by ?"), "it is told who was made: {told}");
        assert!(told.contains("set password for 'bob'@'%' = "), "{told}");
    }
}

#[test]
fn a_log_is_rotated_without_the_loss_of_a_line() {
    let (place, cluster) = (Place::new(), TestCluster::start(1));
    let weir = attach(&cluster, &place.path(), &[]);
    let (said, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut rotated = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut session = open(&weir);
                while !stop.load(Ordering::Relaxed) {
                    session.values("SELECT 'counted'");
                    said.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..5 {
            eventually(LIMIT, "there is something to rotate", || place.with("text", "SELECT 'counted'").len() > 50);
            let to = place.0.path().join(format!("audit.log.{number}"));
            fs::rename(place.path(), &to).expect("another name");
            weir.hang_up();
            eventually(LIMIT, "the file is there again", || place.path().exists());
            rotated.push(to);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let counted = || {
        let last = place.path();
        let files = rotated.iter().chain([&last]).map(|path| fs::read_to_string(path).expect("a file"));
        let lines: Vec<_> = files.flat_map(|text| lines(&text)).collect();
        lines.iter().filter(|line| line["text"] == "SELECT 'counted'").count() as u64
    };
    eventually(LIMIT, "all are in the files", || counted() >= said.load(Ordering::Relaxed));
    assert_eq!(counted(), said.load(Ordering::Relaxed));
}

/// A log that can be moved from a disk that is full to one that is not.
fn move_to(place: &Place, target: &Path) {
    let link = place.0.path().join("link");
    let _ = fs::remove_file(&link);
    symlink(target, &link).expect("a link");
    fs::rename(&link, place.path()).expect("a link in its place");
}

#[test]
fn with_a_full_disk_statements_go_on_and_the_log_says_what_it_lacks() {
    let (place, cluster) = (Place::new(), TestCluster::start(1));
    move_to(&place, Path::new("/dev/full"));
    let health = free_port();
    let listen = format!("127.0.0.1:{health}");
    let mut weir = attach(&cluster, &place.path(), &["--health-listen", &listen]);
    let figure = |name: &str| {
        let (_, page) = http::get(listen.parse().expect("an address"), "/metrics").expect("a page");
        Exposition::parse(&page).expect("a page that keeps the rules").value(name, &[]) as u64
    };
    let mut session = open(&weir);
    eventually(LIMIT, "it is noticed", || figure("weir_audit_failing") == 1);
    // So many bytes may wait: 64 MiB.
    let long = format!("SELECT LENGTH('{}')", "x".repeat(60_000));
    (0..1200).for_each(|_| drop(session.values(&long)));
    assert!(weir.output().contains("cannot be written: No space left on device"), "{}", weir.output());
    let left_out = figure("weir_audit_lines_left_out_total");
    assert!((10..200).contains(&left_out), "{left_out}");
    assert_eq!(figure("weir_audit_statements_refused_total"), 0);

    let real = place.0.path().join("real.log");
    move_to(&place, &real);
    weir.hang_up();
    eventually(LIMIT, "what waited is written", || figure("weir_audit_failing") == 0);
    session.values("SELECT 'after'");
    place.told("SELECT 'after'");
    let gaps = place.with("event", "left_out");
    assert_eq!(gaps.iter().filter_map(|line| line["lines"].as_u64()).sum::<u64>(), left_out, "{gaps:#?}");
    let long_ones = place.lines().iter().filter(|line| line["text"] == *long).count() as u64;
    assert_eq!(long_ones + left_out, 1200);
    weir.assert_unharmed();
}

#[test]
fn with_a_full_disk_statements_are_refused_if_that_is_wanted_and_none_that_ran_is_missing() {
    let (place, cluster) = (Place::new(), TestCluster::start(1));
    move_to(&place, Path::new("/dev/full"));
    let more = ["--audit-on-failure", "refuse", "--audit-events", "connect,write,read"];
    let weir = attach(&cluster, &place.path(), &more);
    let mut session = open(&weir);
    let mut ran = 0;
    eventually(LIMIT, "a statement is refused", || {
        let answers = session.run(b"SELECT 'ran'").expect("an answer");
        let refused = error_of(&answers);
        assert!(refused.is_none_or(|code| code == 1041), "{refused:?}");
        ran += usize::from(refused.is_none());
        refused.is_some()
    });
    let Answer::Err(error) = session.run(b"SELECT 1").expect("an answer").remove(0) else { panic!("it ran") };
    let message = String::from_utf8_lossy(&error.message).into_owned();
    assert!(message.contains("the audit log cannot be written") && message.contains("retry is safe"), "{message}");
    assert!(Session::open(weir.address(), &application(), None).is_err(), "nobody is let in");
    assert_eq!(run(&mut session, "SET autocommit = 1"), None, "there would be no line of it");

    let real = place.0.path().join("real.log");
    move_to(&place, &real);
    weir.hang_up();
    eventually(LIMIT, "statements run again", || {
        let code = run(&mut session, "SELECT 'ran'");
        ran += usize::from(code.is_none());
        code.is_none()
    });
    eventually(LIMIT, "all are there", || place.with("text", "SELECT 'ran'").len() >= ran);
    assert_eq!(place.with("text", "SELECT 'ran'").len(), ran);
    assert_eq!(place.lines()[0]["event"], "connect");
}

#[test]
fn whose_doings_are_logged_and_which_can_be_chosen_while_it_runs() {
    let (place, cluster) = (Place::new(), TestCluster::start(1));
    let file = place.0.path().join("weir.toml");
    let (log, app) = (place.path(), application().user);
    let write = |more: &str| {
        fs::write(&file, format!("audit-log = '{}'\n{more}\n", log.display())).expect("a file");
    };
    write(&format!("audit-except-users = ['{app}']"));
    let mut weir = Weir::attach(&cluster, &["--config", file.to_str().expect("a name")]);
    let mut session = open(&weir);
    session.values("SELECT 'of an excepted user'");
    assert!(Session::open(weir.address(), &Account::new(&app, SECRET), None).is_err());
    eventually(LIMIT, "the refused login is logged", || place.lines().len() == 1);

    let reread = |weir: &Weir, changed: &str| {
        weir.hang_up();
        eventually(LIMIT, changed, || weir.output().contains(&format!("read again; changed: {changed}")));
    };
    write(&format!("audit-users = ['{app}', 'other']\naudit-events = ['ddl', 'connect']"));
    reread(&weir, "audit-events, audit-except-users, audit-users");
    session.values("SELECT 'a read'");
    run(&mut session, "CREATE DATABASE chosen");
    place.told("CREATE DATABASE chosen");
    assert_eq!(place.lines().len(), 2, "{}", place.text());

    write("audit-users = ['other']\naudit-events = ['query']");
    reread(&weir, "audit-events, audit-users");
    session.values("SELECT 'a read of somebody else'");
    assert!(weir.stop().success());
    assert_eq!(place.lines().len(), 2, "{}", place.text());
}

#[test]
fn a_clean_stop_loses_nothing() {
    let (place, cluster) = (Place::new(), TestCluster::start(1));
    let mut weir = attach(&cluster, &place.path(), &[]);
    let mut sessions: Vec<_> = (0..5).map(|_| open(&weir)).collect();
    for session in &mut sessions {
        (0..20).for_each(|_| drop(session.values("SELECT 'until the end'")));
    }
    assert!(weir.stop().success());
    assert_eq!(place.with("text", "SELECT 'until the end'").len(), 100);
    let ends: Vec<_> = place.with("event", "disconnect").iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(ends, vec![Value::from("shutdown"); 5]);
}

#[test]
fn a_log_that_cannot_be_opened_and_a_choice_that_makes_no_sense_are_told_at_once() {
    for (args, part) in [
        (
            &["--audit-log", "/nowhere/audit.log"][..],
            "--audit-log: cannot open /nowhere/audit.log to append to it: No such file",
        ),
        (&["--audit-log", "/"], "--audit-log: cannot open / to append to it: Is a directory"),
        (&["--audit-log", "a", "--audit-users", "x", "--audit-except-users", "y"], "cannot be used with"),
        (&["--audit-log", "a", "--audit-events", "connect,dml"], "one of connect, query, read, write"),
        (&["--audit-users", "x"], "--audit-log"),
    ] {
        let mut weir = Weir::spawn_up(&[&["--attach", "127.0.0.1:1"], args].concat());
        let status = weir.wait();
        assert!(!status.success(), "{args:?}");
        eventually(LIMIT, part, || weir.output().contains(part));
    }
}
