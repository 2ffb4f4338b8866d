//! Two users whose statements run under one account of the servers, through a gateway with tablets of its own and through one that reaches
//! its tablet over gRPC.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weir_core::mysql::resultset::Answer;
use weir_io::servers::Account;
use weir_tests::rights::{error_of, refusal};
use weir_tests::{Deployment, Session, TestCluster, Weir, application, eventually};

const SEEN_WITHIN: Duration = Duration::from_secs(20);
/// `PASSWORD('secret')`, and that of the tests' application.
const SECRET: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
const OF_APPLICATION: &str = "*0C30D19DB0E2012ABD38CF4EFF3F0E6609D93836";
const SCHEMA: &str = "CREATE DATABASE shop; CREATE TABLE shop.goods (a INT); CREATE TABLE shop.secrets (a INT);
    INSERT INTO shop.goods VALUES (1); INSERT INTO shop.secrets VALUES (7)";
const RULE: &str = "admins = ['app']\n[groups.goods]\ntables = ['shop.*']\nreaders = ['*']\nwriters = ['ann']\n\
                    [groups.secrets]\ntables = ['shop.secrets']\nreaders = ['bob']\n";

struct Files {
    _dir: tempfile::TempDir,
    users: PathBuf,
    rule: PathBuf,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (users, rule) = (dir.path().join("users.toml"), dir.path().join("tables.toml"));
        let text = format!("[users]\nann = '{SECRET}'\nbob = '{SECRET}'\napp = '{OF_APPLICATION}'\n");
        std::fs::write(&users, text).expect("a file");
        std::fs::write(&rule, RULE).expect("a file");
        Self { _dir: dir, users, rule }
    }

    fn write(&self, rule: &str) {
        std::fs::write(&self.rule, rule).expect("a file");
    }
}

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn open(address: SocketAddr, user: &str) -> Session {
    Session::open(address, &Account::new(user, "secret"), Some("shop")).expect("a session")
}

/// The number of the error with which a statement is not prepared.
fn not_prepared(session: &mut Session, sql: &str) -> Option<u16> {
    session.prepare(sql.as_bytes()).expect("an answer").err().map(|error| error.code)
}

fn each_has_its_own_tables(ann: &mut Session, bob: &mut Session) {
    for round in 0..3 {
        assert_eq!(ann.values("SELECT a FROM goods"), ["1"], "round {round}");
        assert_eq!(bob.values("SELECT a FROM goods"), ["1"]);
        assert_eq!(bob.values("SELECT a FROM secrets"), ["7"]);
        assert_eq!(bob.execute("SELECT CAST(a AS CHAR) FROM shop.secrets"), ["7"]);
        let (code, message) = refusal(ann, "SELECT a FROM `secrets`");
        assert_eq!(code, 1142);
        assert!(
            message.starts_with("SELECT command denied to user 'ann'@'127.0.0.1' for table `shop`.`secrets`"),
            "{message}"
        );
        assert_eq!(not_prepared(ann, "SELECT a FROM shop.secrets"), Some(1142));
        assert_eq!(not_prepared(ann, "SELECT CAST(a AS CHAR) FROM goods"), None);
        assert_eq!(error_of(bob, "INSERT INTO goods VALUES (2)"), 1142);
        assert_eq!(error_of(ann, "SELECT * FROM goods WHERE a = (SELECT MAX(a) FROM secrets)"), 1142);
        assert_eq!([error_of(ann, "CALL p()"), error_of(bob, "DROP TABLE goods")], [1227, 1142]);
    }
    within_a_transaction(ann);
}

/// What is refused leaves a transaction, its connection and what was done there as they were, and is told of by SHOW WARNINGS.
fn within_a_transaction(ann: &mut Session) {
    for sql in ["BEGIN", "INSERT INTO goods VALUES (9)"] {
        assert!(ann.values(sql).is_empty());
    }
    assert_eq!(error_of(ann, "SELECT a FROM secrets"), 1142);
    let warnings = ann.values("SHOW WARNINGS");
    assert_eq!(warnings[..2], ["Error", "1142"], "{warnings:?}");
    assert_eq!(ann.values("SELECT ROW_COUNT()"), ["-1"]);
    assert_eq!(ann.values("SELECT COUNT(*) FROM goods"), ["2"]);
    assert!(ann.values("ROLLBACK").is_empty());
    assert_eq!(ann.values("SELECT COUNT(*) FROM goods"), ["1"]);
}

/// Without asking for columns in a query.
fn columns_are_kept_as_well(ann: &mut Session) {
    let refused = ann.columns_of(b"secrets").expect_err("they are kept").to_string();
    assert!(refused.contains("code: 1142"), "{refused}");
}

/// `reload` has the rule read again; `said` is what was said since the beginning.
fn a_change_counts_at_once(
    files: &Files,
    [ann, bob]: [&mut Session; 2],
    reload: &mut dyn FnMut(),
    said: &dyn Fn() -> String,
) {
    // Prepared before, executed after: what counts is the rule at the execution.
    let before = bob.prepare_to_keep("SELECT CAST(a AS CHAR) FROM secrets").expect("he may");
    assert_eq!(bob.execute_again(&before).expect("he may"), ["7"]);
    files.write(&RULE.replace("readers = ['bob']", "readers = ['ann']"));
    reload();
    eventually(SEEN_WITHIN, "ann may read", || {
        matches!(&ann.run(b"SELECT a FROM secrets").unwrap()[..], [Answer::Rows(..)])
    });
    assert_eq!(error_of(bob, "SELECT a FROM secrets"), 1142);
    let refused = bob.execute_again(&before).expect_err("not even what he has prepared").to_string();
    assert!(refused.contains("SELECT command denied"), "{refused}");

    files.write("[groups.goods]\ntables = ['goods']\n");
    reload();
    eventually(SEEN_WITHIN, "it is said what is wrong", || {
        let said = said();
        said.contains("who may touch which tables stays as it was")
            && said.contains("tables.toml: line 2: `goods` names no table")
    });
    assert_eq!(ann.values("SELECT a FROM secrets"), ["7"], "the old one still holds");
    assert_eq!(error_of(bob, "SELECT a FROM secrets"), 1142);
}

#[test]
fn users_of_a_gateway_with_tablets_of_its_own_have_tables_of_their_own() {
    let cluster = TestCluster::start(2);
    cluster.primary().query(SCHEMA).expect("tables");
    cluster.wait_for_replicas();
    let files = Files::new();
    let options = ["--auth", "static", "--users-file", name(&files.users), "--table-acl", name(&files.rule)];
    let weir = Weir::attach(&cluster, &options);
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| open(weir.address(), user));
    each_has_its_own_tables(&mut ann, &mut bob);
    columns_are_kept_as_well(&mut ann);
    let mut app = Session::open(weir.address(), &application(), Some("shop")).expect("the application");
    assert_eq!(app.values("SELECT a FROM secrets"), ["7"]);
    assert!(app.values("CREATE TABLE other (a INT)").is_empty() && app.values("DROP TABLE other").is_empty());
    a_change_counts_at_once(&files, [&mut ann, &mut bob], &mut || weir.hang_up(), &|| weir.output());
}

#[test]
fn users_of_a_gateway_of_its_own_have_tables_of_their_own() {
    let files = Files::new();
    let users = ["--auth", "static", "--users-file", name(&files.users)];
    let deployment = Deployment::small_of(&["--table-acl", name(&files.rule)], &users);
    let mut app = Session::open(deployment.gateway(0), &application(), None).expect("the application");
    for sql in SCHEMA.split("; ").flat_map(|part| part.split(";\n")) {
        app.run(sql.trim_end_matches(';').as_bytes()).expect("an answer");
    }
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| open(deployment.gateway(0), user));
    each_has_its_own_tables(&mut ann, &mut bob);
    let deployment = std::cell::RefCell::new(deployment);
    let said = || deployment.borrow().outputs().concat();
    a_change_counts_at_once(&files, [&mut ann, &mut bob], &mut || deployment.borrow_mut().hang_up(), &said);
}

#[test]
fn a_file_that_is_wrong_keeps_it_from_starting() {
    let cluster = TestCluster::start(1);
    let files = Files::new();
    files.write("[groups.a]\ntables = ['shop.*']\nreader = ['ann']\n");
    let mut weir = Weir::spawn_up(&["--attach", &cluster.addresses(), "--table-acl", name(&files.rule)]);
    assert_eq!(weir.wait().code(), Some(1));
    eventually(SEEN_WITHIN, "it says why", || weir.output().contains("tables.toml: line 3: unknown field `reader`"));
}
