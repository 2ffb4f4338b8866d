//! Clients that log in with the servers' own accounts, and run as themselves over shared connections.

use std::time::Duration;
use weir_core::mysql::resultset::Answer;
use weir_io::servers::Account;
use weir_tests::{Session, TestCluster, Weir, application, eventually};

fn attach(cluster: &TestCluster, more: &[&str]) -> Weir {
    let Account { user, password } = cluster.service_account();
    Weir::attach(
        cluster,
        &[&["--auth", "mysqlbased", "--monitor-user", user, "--monitor-password", password], more].concat(),
    )
}

fn log_in(weir: &Weir, user: &str, password: &str) -> Result<Session, String> {
    Session::open(weir.address(), &Account::new(user, password), None).map_err(|error| error.to_string())
}

fn error_of(session: &mut Session, sql: &str) -> u16 {
    match session.run(sql.as_bytes()).expect("an answer").pop() {
        Some(Answer::Err(error)) => error.code,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn a_client_has_its_own_rights_and_no_others() {
    let cluster = TestCluster::start(2);
    cluster
        .primary()
        .query(
            "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); CREATE TABLE shop.secrets (id INT);
             CREATE USER ann@'%' IDENTIFIED BY 'a1'; GRANT SELECT, INSERT ON shop.t TO ann@'%';
             CREATE USER bob@'%' IDENTIFIED BY ''; GRANT SELECT ON shop.secrets TO bob@'%';",
        )
        .expect("accounts");
    let weir = attach(&cluster, &["--pool-size", "2"]);
    let mut ann: Vec<_> = (0..3).map(|_| log_in(&weir, "ann", "a1").expect("ann")).collect();
    let mut bob: Vec<_> = (0..3).map(|_| log_in(&weir, "bob", "").expect("bob")).collect();
    for round in 0..20 {
        for (ann, bob) in ann.iter_mut().zip(&mut bob) {
            assert_eq!(ann.values("SELECT CURRENT_USER()"), ["ann@%"], "round {round}");
            assert_eq!(bob.values("SELECT CURRENT_USER()"), ["bob@%"], "round {round}");
        }
    }
    assert_eq!(error_of(&mut ann[0], "SELECT * FROM shop.secrets"), 1142);
    assert_eq!(error_of(&mut bob[0], "INSERT INTO shop.t VALUES (1)"), 1142);
    assert!(ann[1].values("INSERT INTO shop.t VALUES (1)").is_empty());
    assert_eq!(ann[1].values("SELECT id FROM shop.t"), ["1"]);
    assert!(bob[1].values("SELECT id FROM shop.secrets").is_empty());
}

#[test]
fn a_change_of_an_account_counts_from_the_next_login() {
    let cluster = TestCluster::start(1);
    let primary = cluster.primary();
    primary.query("CREATE USER ann@'%' IDENTIFIED BY 'a1'").expect("an account");
    let weir = attach(&cluster, &[]);
    let denied = |user: &str, password: &str| {
        let refusal = log_in(&weir, user, password).expect_err("it must not get in");
        assert!(refusal.contains("code: 1045"), "{refusal}");
    };
    assert_eq!(log_in(&weir, "ann", "a1").expect("ann").values("SELECT 1"), ["1"]);
    denied("ann", "wrong");
    denied("ann", "");
    denied("nobody", "a1");
    denied("ann' OR '1'='1", "a1");

    primary.query("SET PASSWORD FOR ann@'%' = PASSWORD('a2')").expect("another password");
    denied("ann", "a1");
    assert_eq!(log_in(&weir, "ann", "a2").expect("ann").values("SELECT 1"), ["1"]);

    primary.query("ALTER USER ann@'%' ACCOUNT LOCK").expect("a lock");
    denied("ann", "a1");
    let locked = log_in(&weir, "ann", "a2").expect_err("it must not get in");
    assert!(locked.contains("code: 4151"), "who knows the password reads the server's own error: {locked}");
    primary.query("ALTER USER ann@'%' ACCOUNT UNLOCK; DROP USER ann@'%'; CREATE ROLE ann").expect("a role");
    denied("ann", "");

    primary.query("CREATE USER eve@'10.%' IDENTIFIED BY 'e1'").expect("an account");
    denied("eve", "e1");
}

/// A server reads global rights at a login, and those on a schema when it is chosen: the connections that are shared have done both.
#[test]
fn changed_rights_count_from_the_next_login() {
    let cluster = TestCluster::start(1);
    let primary = cluster.primary();
    primary
        .query(
            "CREATE DATABASE shop; CREATE TABLE shop.t (id INT); CREATE USER ann@'%' IDENTIFIED BY 'a1';
             CREATE ROLE clerk; GRANT clerk TO ann@'%'; SET DEFAULT ROLE clerk FOR ann@'%'",
        )
        .expect("an account");
    let weir = attach(&cluster, &[]);
    let may_read = || {
        let account = Account::new("ann", "a1");
        let Ok(mut ann) = Session::open(weir.address(), &account, Some("shop")) else { return false };
        ann.run(b"SELECT * FROM t").is_ok_and(|answers| !matches!(answers[0], Answer::Err(_)))
    };
    let changes = ["ON *.* TO ann@'%'", "ON shop.* TO ann@'%'", "ON *.* TO clerk", "ON shop.* TO clerk"];
    for change in changes {
        for _ in 0..2 {
            assert!(!may_read(), "before: {change}");
            primary.query(&format!("GRANT SELECT {change}")).expect("a grant");
            assert!(may_read(), "granted: {change}");
            primary.query(&format!("REVOKE SELECT {}", change.replace("TO", "FROM"))).expect("a revocation");
            assert!(!may_read(), "revoked: {change}");
        }
    }
}

#[test]
fn replicas_know_the_accounts_while_there_is_no_primary() {
    let mut cluster = TestCluster::start(2);
    cluster.primary().query("CREATE USER ann@'%' IDENTIFIED BY 'a1'").expect("an account");
    let weir = attach(&cluster, &[]);
    log_in(&weir, "ann", "a1").expect("ann");
    cluster.kill_server(0);
    eventually(Duration::from_secs(10), "ann gets in", || log_in(&weir, "ann", "a1").is_ok());
}

#[test]
fn a_file_names_who_may_log_in_and_is_read_again_on_sighup() {
    /// `PASSWORD('secret')`, and `SHA2(UNHEX(SHA2('other', 256)), 256)`.
    const SECRET: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
    let cluster = TestCluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.toml");
    std::fs::write(&file, format!("[users]\nann = '{SECRET}'\n")).expect("a file");
    let mut weir =
        Weir::attach(&cluster, &["--auth", "static", "--users-file", file.to_str().expect("UTF-8"), "--log", "info"]);
    let application = application().user;
    let mut ann = log_in(&weir, "ann", "secret").expect("ann");
    assert_eq!(ann.values("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"), std::slice::from_ref(&application));
    assert!(log_in(&weir, "ann", "wrong").is_err() && log_in(&weir, &application, "x").is_err());

    std::fs::write(&file, format!("[users]\nbob = '{SECRET}'\n")).expect("a file");
    weir.hang_up();
    eventually(Duration::from_secs(5), "bob gets in", || log_in(&weir, "bob", "secret").is_ok());
    assert!(log_in(&weir, "ann", "secret").is_err());
    assert_eq!(ann.values("SELECT 1"), ["1"], "who is in stays in");

    std::fs::write(&file, "[users]\nbob = 'secret'\n").expect("a file");
    weir.hang_up();
    eventually(Duration::from_secs(5), "the mistake is reported", || weir.output().contains("`bob` is no hash"));
    log_in(&weir, "bob", "secret").expect("what was right still counts");
    weir.assert_unharmed();
}
