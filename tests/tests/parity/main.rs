//! The model MySQL against real servers: the same statements on both, answer by answer.
//!
//! MariaDB stands for its own flavour, MySQL 5.6 for that of MySQL's GTIDs: it is the one MySQL that runs from a package. Compared are rows with their column names, counts, insert ids, info texts, warnings, status flags, GTIDs and what the
//! session trackers say, and errors with number, state and text. What may differ stands in [`KNOWN`], with its reason.

mod generate;
mod model;
mod semisync;

use model::Model;
use std::net::SocketAddr;
use weir_core::gtid::Flavor;
use weir_core::mysql::capability::StatusFlags;
use weir_core::mysql::packet::OkPacket;
use weir_core::mysql::resultset::Answer;
use weir_core::mysql::session_state::Change;
use weir_core::rng::Rng;
use weir_io::servers::Account;
use weir_tests::{MySql56, Session, TestCluster, application};

/// Differences that are no fault of the model, each with its reason.
const KNOWN: &[Known] = &[
    Known {
        reason: "of SHOW SLAVE STATUS the model has the columns that are read, not those of log files and TLS",
        is: |sql, real, model| {
            let rows = |said: &str| said.split_once("]: ").map(|(_, rows)| rows.to_owned());
            sql == "SHOW SLAVE STATUS" && rows(real).is_some() && rows(real) == rows(model)
        },
    },
    Known {
        reason: "of some errors servers count two conditions and show one; the model counts what it shows",
        is: |sql, real, model| {
            let counts = ["@@warning_count", "COUNT(*) WARNINGS"].iter().any(|count| sql.contains(count));
            counts && real.replace("[\"2\"", "[\"1\"").replace(", \"2\"]", ", \"1\"]") == model
        },
    },
];

/// Differences between the model, which speaks as MySQL 8 does, and MySQL 5.6.
const OF_5_6: &[Known] = &[Known {
    reason: "5.6 does not warn of rows that INSERT IGNORE leaves out",
    is: |sql, real, model| sql.starts_with("INSERT IGNORE") && real == model.replace(" 1 warnings", " 0 warnings"),
}];

/// A difference that is allowed.
struct Known {
    /// Why.
    reason: &'static str,
    /// Which: the statement, and the two answers.
    is: fn(&str, &str, &str) -> bool,
}

/// Status bits that both sides must agree on. NO_INDEX_USED and the like tell of a plan, and the model has none.
const STATUS: StatusFlags = StatusFlags::SERVER_STATUS_IN_TRANS
    .union(StatusFlags::SERVER_STATUS_AUTOCOMMIT)
    .union(StatusFlags::SERVER_STATUS_IN_TRANS_READONLY)
    .union(StatusFlags::SERVER_MORE_RESULTS_EXISTS);

/// A real server.
enum Real {
    MariaDb(Box<TestCluster>),
    MySql(MySql56),
}

impl Real {
    fn address(&self) -> SocketAddr {
        match self {
            Self::MariaDb(cluster) => cluster.primary().address(),
            Self::MySql(server) => SocketAddr::from(([127, 0, 0, 1], server.port())),
        }
    }

    fn account(&self, administrator: bool) -> Account {
        match self {
            Self::MariaDb(cluster) if administrator => cluster.service_account().clone(),
            Self::MySql(_) if administrator => Account::new("root", ""),
            _ => application(),
        }
    }

    fn known(&self) -> impl Iterator<Item = &'static Known> {
        let more = if matches!(self, Self::MySql(_)) { OF_5_6 } else { &[] };
        KNOWN.iter().chain(more)
    }
}

/// Both servers, and sessions in pairs.
struct Both {
    real: Real,
    /// What the real server calls itself in GTIDs, and the model itself.
    names: (String, String),
    model: Model,
    sessions: Vec<(Session, usize)>,
    compared: usize,
}

impl Both {
    fn start() -> Self {
        let sql = ["SET GLOBAL max_connections = 151", "SET GLOBAL innodb_lock_wait_timeout = 1"];
        Self::of(Real::MariaDb(Box::new(TestCluster::start(1))), Flavor::MariaDb, &sql)
    }

    /// The same, in MySQL's flavour.
    fn mysql() -> Self {
        let account = application();
        let sql = [
            "SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', binlog_format = 'ROW'".to_owned(),
            format!(
                "GRANT ALL ON test.* TO '{}'@'%' IDENTIFIED BY '{}'",
                account.user,
                account.password.replace('\'', "''").replace('\\', "\\\\")
            ),
        ];
        let mut both = Self::of(Real::MySql(MySql56::start()), Flavor::MySql, &sql.each_ref().map(String::as_str));
        let one = both.open(true);
        let uuid = "SELECT @@server_uuid";
        let model = describe(&both.model.run(both.sessions[one].1, uuid)[0], false);
        let model = model.split('"').nth(3).expect("a row").to_owned();
        both.names = (both.sessions[one].0.values(uuid).remove(0), model);
        both
    }

    fn of(real: Real, flavor: Flavor, sql: &[&str]) -> Self {
        let mut root = Session::open(real.address(), &real.account(true), None).unwrap();
        for sql in ["CREATE DATABASE IF NOT EXISTS test"].iter().chain(sql).chain(&["RESET MASTER"]) {
            root.values(sql);
        }
        let (names, model) = ((String::new(), String::new()), Model::start(flavor, 1));
        Self { real, names, model, sessions: Vec::new(), compared: 0 }
    }

    fn open(&mut self, administrator: bool) -> usize {
        let real = Session::open(self.real.address(), &self.real.account(administrator), Some("test")).unwrap();
        let model = self.model.open(administrator);
        self.sessions.push((real, model));
        self.sessions.len() - 1
    }

    /// Runs a text on both and compares. `told` is what led here, for the failure's message.
    fn run(&mut self, session: usize, sql: &str, told: &[String]) {
        let (real, model) = &mut self.sessions[session];
        // 5.6 has no trackers.
        let tracks = matches!(self.real, Real::MariaDb(_));
        let say = |answer: &Answer| describe(answer, tracks);
        let real: Vec<String> = real.run(sql.as_bytes()).unwrap().iter().map(say).collect();
        let model: Vec<String> = self.model.run(*model, sql).iter().map(say).collect();
        self.compared += 1;
        let (real, model) = (real.join("\n  "), model.join("\n  "));
        let real = if self.names.0.is_empty() { real } else { real.replace(&self.names.0, &self.names.1) };
        let known = self.real.known().any(|known| !known.reason.is_empty() && (known.is)(sql, &real, &model));
        assert!(
            real == model || known,
            "{}\nsession {session}: {sql}\n the server says\n  {real}\n the model says\n  {model}",
            told.join("\n")
        );
    }

    /// Ends all transactions, which turning read-only would wait for.
    fn settle(&mut self, sessions: &[usize], told: &[String]) {
        for session in sessions {
            self.run(*session, "ROLLBACK", told);
        }
    }

    /// The same tables on both.
    fn tables(&mut self, session: usize) {
        let tracks = matches!(self.real, Real::MariaDb(_));
        let settings = ["SET session_track_system_variables = '*'", "SET innodb_lock_wait_timeout = 0"];
        for sql in settings.into_iter().filter(|_| tracks).chain([
            "DROP TABLE IF EXISTS t",
            "DROP TABLE IF EXISTS auto",
            "CREATE TABLE t (id INT PRIMARY KEY, v INT, s VARCHAR(10) NOT NULL DEFAULT 'x') COLLATE utf8mb4_bin",
            "CREATE TABLE auto (id INT AUTO_INCREMENT PRIMARY KEY, v INT)",
        ]) {
            let (real, model) = &mut self.sessions[session];
            real.values(sql);
            self.model.run(*model, sql);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An answer in words, down to what a client can tell.
fn describe(answer: &Answer, tracks: bool) -> String {
    let tracked = |ok: &OkPacket| if tracks { tracked(ok.session_state().flatten()) } else { Vec::new() };
    match answer {
        Answer::Err(error) => format!("error {} ({}): {}", error.code, text(&error.sqlstate), text(&error.message)),
        Answer::Ok(ok) => format!(
            "ok: {} rows, id {}, {:?}, {} warnings, info {:?}, tracked {:?}",
            ok.affected_rows,
            ok.last_insert_id,
            StatusFlags::from_bits_truncate(ok.status) & STATUS,
            ok.warnings,
            text(&ok.info),
            tracked(ok),
        ),
        Answer::Rows(set, ok) => {
            let names: Vec<String> = set.columns.iter().map(|column| text(&column.name)).collect();
            let value = |value: &Option<Vec<u8>>| value.as_deref().map_or("NULL".into(), text);
            let rows: Vec<Vec<String>> = set.rows.iter().map(|row| row.iter().map(value).collect()).collect();
            let status = StatusFlags::from_bits_truncate(ok.status) & STATUS;
            format!("{names:?}: {rows:?}, {status:?}, {} warnings, tracked {:?}", ok.warnings, tracked(ok))
        }
    }
}

fn tracked<'a>(changes: impl Iterator<Item = Change<'a>>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for change in changes {
        match change {
            Change::Schema(name) => all.push(format!("schema {}", text(name))),
            Change::Variables(variables) => {
                all.extend(variables.iter().map(|(name, value)| format!("{}={}", text(name), text(value))));
            }
            Change::Gtids(gtids) => all.push(format!("gtids {}", text(gtids))),
            _ => {}
        }
    }
    all.sort();
    all
}

/// One session: everything the generator knows, at REPEATABLE READ.
#[test]
fn one_session_gets_the_same_answers() {
    const SEEDS: u64 = 12;
    const STATEMENTS: usize = 400;
    let mut both = Both::start();
    for seed in 0..SEEDS {
        let session = both.open(true);
        both.tables(session);
        let mut rng = Rng::new(seed);
        let mut told = vec![format!("seed {seed}")];
        for _ in 0..STATEMENTS {
            let sql = generate::statement(&mut rng);
            both.run(session, &sql, &told);
            told.push(sql);
        }
        both.run(session, "ROLLBACK", &told);
        both.run(session, "SET autocommit = 1", &told);
    }
    assert_eq!(both.compared, SEEDS as usize * (STATEMENTS + 2));
}

/// MySQL's GTIDs: which statements get one, after each.
#[test]
fn statements_get_the_same_gtids_as_on_mysql() {
    const SEEDS: u64 = 8;
    const STATEMENTS: usize = 300;
    let mut both = Both::mysql();
    for seed in 0..SEEDS {
        let (session, watch) = (both.open(true), both.open(true));
        both.tables(session);
        let mut rng = Rng::new(seed);
        let mut told = vec![format!("seed {seed}")];
        for _ in 0..STATEMENTS {
            let sql = generate::mysql_statement(&mut rng);
            both.run(session, &sql, &told);
            told.push(sql);
            both.run(watch, "SELECT @@GLOBAL.gtid_executed", &told);
        }
        both.run(session, "ROLLBACK", &told);
        both.run(session, "SET autocommit = 1", &told);
    }
}

/// What waits, and what names of other kinds come to.
#[test]
fn waiting_and_naming_get_the_same_answers() {
    let mut both = Both::start();
    let (one, two) = (both.open(true), both.open(false));
    both.tables(one);
    let told = [];
    for (session, sql) in [
        (one, "INSERT INTO t (id, v) VALUES (1, 1)"),
        (one, "SELECT MASTER_GTID_WAIT(@@last_gtid, 0)"),
        (one, "SELECT MASTER_GTID_WAIT('0-1-1', 0.01)"),
        (one, "SELECT MASTER_GTID_WAIT('', 0)"),
        (one, "SELECT MASTER_GTID_WAIT(NULL, 0)"),
        (one, "SELECT MASTER_GTID_WAIT('nonsense', 0)"),
        (one, "SELECT SLEEP(0.01), SLEEP(0)"),
        (one, "SELECT GET_LOCK('a', 0), GET_LOCK('a', 0)"),
        (two, "SELECT GET_LOCK('a', 0.01)"),
        (two, "SELECT RELEASE_LOCK('a'), RELEASE_LOCK('b'), IS_FREE_LOCK('a')"),
        (one, "SELECT RELEASE_LOCK('a')"),
        (one, "SET GLOBAL read_only = 1"),
        (two, "INSERT INTO t (id, v) VALUES (2, 1)"),
        (two, "CREATE TABLE x (id INT)"),
        (two, "START TRANSACTION READ WRITE"),
        (two, "BEGIN"),
        (two, "SELECT * FROM t"),
        (two, "SELECT * FROM t LOCK IN SHARE MODE"),
        (two, "UPDATE t SET v = 2 WHERE id = 1"),
        (two, "COMMIT"),
        (one, "SET GLOBAL read_only = 0"),
        (two, "SET GLOBAL read_only = 0"),
        (two, "SET sql_log_bin = 0"),
        (one, "SHOW SLAVE STATUS"),
        (one, "START SLAVE"),
        (one, "SELECT @@gtid_slave_pos, @@gtid_current_pos"),
    ] {
        both.run(session, sql, &told);
    }
}

/// Three sessions, two of them an application's, on the same rows, on a server that turns read-only now and then. Who meets a lock
/// is refused at once. At READ COMMITTED, since the model has no gap locks.
#[test]
fn sessions_that_meet_get_the_same_answers() {
    const SEEDS: u64 = 10;
    const STATEMENTS: usize = 500;
    let mut both = Both::start();
    for seed in 100..100 + SEEDS {
        let administrator = both.open(true);
        both.tables(administrator);
        let sessions = [administrator, both.open(false), both.open(false)];
        let mut told = vec![format!("seed {seed}")];
        for session in sessions {
            for sql in [
                "SET session_track_system_variables = '*'",
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET innodb_lock_wait_timeout = 0",
            ] {
                both.run(session, sql, &told);
            }
        }
        let mut rng = Rng::new(seed);
        for _ in 0..STATEMENTS {
            let session = sessions[rng.index(sessions.len())];
            let sql = generate::shared_statement(&mut rng);
            both.run(session, &sql, &told);
            told.push(format!("{session}: {sql}"));
            if rng.chance(0.02) {
                let sql = format!("SET GLOBAL read_only = {}", rng.below(2));
                both.settle(&sessions, &told);
                both.run(administrator, &sql, &told);
                told.push(sql);
            }
        }
        both.settle(&sessions, &told);
        both.run(administrator, "SET GLOBAL read_only = 0", &told);
    }
}
