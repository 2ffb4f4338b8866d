//! Verdicts on statements against a real server: what goes to a replica must be a read there, in the server's eyes too.

use std::collections::BTreeMap;
use std::fmt;
use weir_core::mysql::resultset::Answer;
use weir_core::sql::{Classification, Dialect, Effects, Kind, Route, classify};
use weir_tests::corpus::{Corpus, SCHEMA};
use weir_tests::{Session, TestCluster, application};

/// Statements that are classified, as they are and damaged; of the latter, most that are sound otherwise have wrong syntax.
const SOUND: usize = 8_000;
const DAMAGED: usize = 4_000;
/// Statements that are run on the primary.
const LEFT_BEHIND: usize = 2_000;
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
        bench.left_behind();
        bench
    }

    /// Runs a text as a new session would.
    fn run(&mut self, sql: &[u8]) -> Vec<Answer> {
        self.application.reset().expect("a session between two statements");
        self.application.values("USE weir");
        self.application.run(sql).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(sql)))
    }

    /// Whatever writes of this server's own would change.
    fn written(&mut self) -> Vec<String> {
        self.administrator.values("SELECT @@gtid_binlog_pos, @@gtid_current_pos, next_not_cached_value FROM s1")
    }

    fn data(&mut self) -> Vec<String> {
        self.administrator.values("CHECKSUM TABLE t1, t2")
    }

    /// What a statement can leave in its session, as far as a query shows it: each thing with the effects that announce it.
    fn left_behind(&mut self) -> Vec<(&'static str, Effects)> {
        const STATE: [(&str, Effects); 11] = [
            ("@u1", Effects::PINS_USER_VARIABLE),
            ("@u2", Effects::PINS_USER_VARIABLE),
            ("IS_USED_LOCK('l')", Effects::PINS_LOCK),
            ("@@in_transaction", Effects::OPENS_TRANSACTION.union(Effects::PINS_XA)),
            ("@@last_insert_id", Effects::MAY_SET_INSERT_ID),
            ("@@autocommit", Effects::SETS_VARIABLES),
            ("@@sql_mode", Effects::SETS_VARIABLES),
            ("@@tx_read_only", Effects::SETS_VARIABLES),
            ("@@character_set_client", Effects::SETS_VARIABLES),
            ("@@max_statement_time", Effects::SETS_VARIABLES),
            ("DATABASE()", Effects::CHANGES_SCHEMA),
        ];
        let now = self.application.values(&format!("SELECT {}", STATE.map(|(name, _)| name).join(", ")));
        if self.calm.is_empty() {
            self.calm = now;
            return Vec::new();
        }
        let changed = now.iter().zip(&self.calm).zip(STATE).filter(|((now, calm), _)| now != calm);
        changed.map(|(_, state)| state).collect()
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

/// The number of the error that ended a text, if one did.
fn error(answers: &[Answer]) -> Option<u16> {
    match answers.last() {
        Some(Answer::Err(error)) => Some(error.code),
        _ => None,
    }
}

fn is_refused_write(answers: &[Answer]) -> bool {
    error(answers).is_some_and(|code| REFUSED_WRITES.contains(&code))
}

/// How many statements there were of each route and kind, and what became of them.
#[derive(Debug, Default)]
struct Counts(BTreeMap<(Route, Kind), BTreeMap<Outcome, u32>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    NotRun,
    Ok,
    Error(u16),
}

impl Counts {
    fn add(&mut self, verdict: &Classification<'_>, outcome: Outcome) {
        *self.0.entry((verdict.route, verdict.kind)).or_default().entry(outcome).or_default() += 1;
    }

    fn of(&self, is_counted: impl Fn(Route, Outcome) -> bool) -> u32 {
        let all = self.0.iter().flat_map(|((route, _), outcomes)| outcomes.iter().map(move |(o, n)| (*route, *o, *n)));
        all.filter(|(route, outcome, _)| is_counted(*route, *outcome)).map(|(_, _, n)| n).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(class, outcomes)| writeln!(formatter, "{class:?}: {outcomes:?}"))
    }
}

/// Runs `sql` on the replica if that is where it goes. Returns what is wrong with it.
fn try_on_replica(replica: &mut Bench, sql: &[u8], counts: &mut Counts) -> Option<&'static str> {
    let verdict = classify(sql, Dialect::default());
    if verdict.route != Route::Replica {
        counts.add(&verdict, Outcome::NotRun);
        return None;
    }
    let before = replica.written();
    let answers = replica.run(sql);
    counts.add(&verdict, error(&answers).map_or(Outcome::Ok, Outcome::Error));
    if is_refused_write(&answers) {
        Some("refused as a write")
    } else if replica.written() != before {
        Some("written")
    } else if !replica.left_behind().is_empty() {
        Some("left something in its session")
    } else {
        None
    }
}

#[test]
fn what_goes_to_a_replica_is_a_read_there() {
    let cluster = cluster();
    let mut replica = Bench::open(&cluster, 1);
    // Else nothing below could fail.
    assert!(is_refused_write(&replica.run(b"SELECT f_write(1)")));
    replica.run(b"SELECT @u1 := 5");
    assert!(!replica.left_behind().is_empty());

    let data = replica.data();
    let mut corpus = Corpus::new(1);
    let (mut sound, mut damaged, mut failures) = (Counts::default(), Counts::default(), Vec::new());
    for round in 0..SOUND + DAMAGED {
        let (sql, counts) = match round {
            ..SOUND => (corpus.statement().into_bytes(), &mut sound),
            _ => (corpus.damaged_statement(), &mut damaged),
        };
        if let Some(wrong) = try_on_replica(&mut replica, &sql, counts) {
            failures.push(format!("{wrong}: {:?}", String::from_utf8_lossy(&sql)));
        }
    }
    eprintln!("as they are\n{sound}damaged\n{damaged}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(replica.data(), data);
    let run = sound.of(|route, _| route == Route::Replica);
    let wrong_syntax = sound.of(|_, outcome| outcome == Outcome::Error(SYNTAX));
    assert!(run > SOUND as u32 / 3 && wrong_syntax * 10 < run * 3, "{run} run, {wrong_syntax} with wrong syntax");
}

/// What no text shows, no rule can see. The server does, and nothing is lost but the way there.
#[test]
fn a_view_that_writes_is_refused_by_a_replica() {
    let cluster = cluster();
    let mut primary = Bench::open(&cluster, 0);
    primary.administrator.values("CREATE VIEW v_write AS SELECT f_write(1) AS a");
    cluster.wait_for_replicas();
    let mut replica = Bench::open(&cluster, 1);
    let (before, sql) = (replica.written(), b"SELECT a FROM v_write");
    assert_eq!(classify(sql, Dialect::default()).route, Route::Replica);
    assert!(is_refused_write(&replica.run(sql)));
    assert_eq!(replica.written(), before);
}

#[test]
fn what_a_statement_leaves_behind_was_announced() {
    let cluster = cluster();
    let mut primary = Bench::open(&cluster, 0);
    let mut corpus = Corpus::new(2);
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    for _ in 0..LEFT_BEHIND {
        let sql = corpus.statement();
        // What a trigger does no statement tells that fires it.
        if sql.to_ascii_uppercase().contains("TRIGGER") {
            continue;
        }
        let verdict = classify(sql.as_bytes(), Dialect::default());
        let before = primary.written();
        let answers = primary.run(sql.as_bytes());
        counts.add(&verdict, error(&answers).map_or(Outcome::Ok, Outcome::Error));
        let told_of_id = answers.iter().any(|answer| matches!(answer, Answer::Ok(ok) if ok.last_insert_id != 0));
        for (state, announced_by) in primary.left_behind() {
            let announced = verdict.effects.intersects(announced_by | Effects::RUNS_STORED_CODE)
                || (told_of_id && state == "@@last_insert_id");
            if !announced {
                failures.push(format!("left {state}: {sql:?} {verdict:?}"));
            }
        }
        if !verdict.effects.intersects(Effects::WRITES | Effects::RUNS_STORED_CODE) && primary.written() != before {
            failures.push(format!("wrote: {sql:?} {verdict:?}"));
        }
    }
    eprintln!("{counts}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    let done = counts.of(|_, outcome| outcome == Outcome::Ok);
    assert!(done > LEFT_BEHIND as u32 / 2, "{done} were done");
}
