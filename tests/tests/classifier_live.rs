//! Verdicts on statements against a real server: what goes to a replica must be a read there, in the server's eyes too.

use std::collections::BTreeMap;
use weir_core::mysql::resultset::Answer;
use weir_core::sql::{Classification, Dialect, Effects, Kind, Route, classify};
use weir_tests::corpus::{Corpus, SCHEMA};
use weir_tests::{Session, TestCluster, application};

const STATEMENTS: usize = 6_000;
/// ER_PARSE_ERROR.
const SYNTAX: u16 = 1064;
/// What a server refuses a write with: ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
/// ER_READ_ONLY_MODE.
const REFUSED_WRITES: [u16; 3] = [1290, 1792, 1836];
/// Nothing of the corpus may wait for long.
const SETTINGS: [&str; 3] = ["max-statement-time=5", "lock-wait-timeout=2", "innodb-lock-wait-timeout=2"];

/// A server as the application and as an administrator see it.
struct Bench {
    application: Session,
    administrator: Session,
    calm: Vec<String>,
}

impl Bench {
    fn open(cluster: &TestCluster, index: usize) -> Self {
        let address = cluster.servers()[index].address();
        let application = Session::open(address, &application(), Some("weir")).expect("a session");
        let administrator = Session::open(address, cluster.service_account(), Some("weir")).expect("a session");
        let mut bench = Self { application, administrator, calm: Vec::new() };
        bench.calm = bench.session_state();
        bench
    }

    /// Runs a text as a new session would: the number of its error, if it has one.
    fn run(&mut self, sql: &str) -> Option<u16> {
        self.application.reset().unwrap_or_else(|error| panic!("before {sql}: {error}"));
        let answers = self.application.run(sql.as_bytes()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        match answers.last() {
            Some(Answer::Err(error)) => Some(error.code),
            _ => None,
        }
    }

    /// Whatever writes of this server's own would change.
    fn written(&mut self) -> Vec<String> {
        self.administrator.values("SELECT @@gtid_binlog_pos, @@gtid_current_pos, next_not_cached_value FROM s1")
    }

    fn data(&mut self) -> Vec<String> {
        self.administrator.values("CHECKSUM TABLE t1, t2")
    }

    /// What a statement can leave in its session, as far as a query shows it.
    fn session_state(&mut self) -> Vec<String> {
        self.application.values(
            "SELECT @u1, @u2, IS_USED_LOCK('l'), @@in_transaction, @@last_insert_id, @@autocommit, @@sql_mode, @@tx_read_only, \
             @@character_set_client, @@max_statement_time, DATABASE()",
        )
    }
}

fn cluster() -> TestCluster {
    let cluster = TestCluster::with_settings(2, &SETTINGS);
    let mut session = Session::open(cluster.primary().address(), cluster.service_account(), None).expect("a session");
    for sql in ["CREATE DATABASE weir", "USE weir"].iter().chain(SCHEMA) {
        session.values(sql);
    }
    cluster.wait_for_replicas();
    cluster
}

/// How many statements there were of each route and kind, and what became of them.
type Counts = BTreeMap<(Route, Kind), BTreeMap<String, u32>>;

fn count(counts: &mut Counts, verdict: &Classification<'_>, outcome: String) {
    *counts.entry((verdict.route, verdict.kind)).or_default().entry(outcome).or_default() += 1;
}

fn outcome(error: Option<u16>) -> String {
    error.map_or_else(|| "ok".to_owned(), |code| code.to_string())
}

#[test]
fn what_goes_to_a_replica_is_a_read_there() {
    let cluster = cluster();
    let mut replica = Bench::open(&cluster, 1);
    assert_the_bench_notices_writes(&mut replica);
    let (before, data) = (replica.written(), replica.data());
    let mut corpus = Corpus::new(1);
    let mut counts = Counts::new();
    let mut failures = Vec::new();
    let (mut run, mut wrong_syntax) = (0_u32, 0_u32);
    for _ in 0..STATEMENTS {
        let sql = corpus.statement();
        let verdict = classify(sql.as_bytes(), Dialect::default());
        if verdict.route != Route::Replica {
            count(&mut counts, &verdict, "not run".to_owned());
            continue;
        }
        let error = replica.run(&sql);
        run += 1;
        wrong_syntax += u32::from(error == Some(SYNTAX));
        count(&mut counts, &verdict, outcome(error));
        if error.is_some_and(|code| REFUSED_WRITES.contains(&code)) {
            failures.push(format!("refused as a write: {sql:?} {verdict:?}"));
        }
        let after = replica.written();
        assert_eq!(after, before, "wrote: {sql:?} {verdict:?}");
        if verdict.effects.contains(Effects::READ_ONLY) && replica.session_state() != replica.calm {
            let state = replica.session_state();
            failures.push(format!("changed its session: {sql:?} {state:?} {verdict:?}"));
        }
    }
    assert_eq!(replica.data(), data);
    eprintln!("{counts:#?}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(run * 3 > STATEMENTS as u32, "{run} of {STATEMENTS} were run");
    assert!(wrong_syntax * 10 < run * 3, "{wrong_syntax} of {run} had wrong syntax");
}

/// Else the test above could not fail.
fn assert_the_bench_notices_writes(replica: &mut Bench) {
    assert!(replica.run("SELECT f_write(1)").is_some_and(|code| REFUSED_WRITES.contains(&code)));
    assert_eq!(replica.run("SELECT @u1 := 5"), None);
    assert_ne!(replica.session_state(), replica.calm);
}
