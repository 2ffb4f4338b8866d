//! Clients with the servers' own accounts at gateways that are processes of their own: as in `accounts_live`, over gRPC.

use std::fmt::Write as _;
use std::time::Duration;
use weir_core::mysql::resultset::Answer;
use weir_io::servers::Account;
use weir_tests::rights::{ANN_AND_BOB, error_of, have_their_own_rights};
use weir_tests::{Deployment, Part, Session, application, eventually};

const OF_SERVERS: [&str; 2] = ["--auth", "mysqlbased"];
const SOON: Duration = Duration::from_secs(30);
/// `SHA1('a1')`, which is what `ann` shows of her password, and `SHA1(SHA1('a1'))`, which her server keeps.
const SHOWN: [u8; 20] = [
    0xf2, 0x9b, 0xc9, 0x1b, 0xbd, 0xab, 0x16, 0x9f, 0xc0, 0xc0, 0xa3, 0x26, 0x96, 0x59, 0x53, 0xd1, 0x1c, 0x7d, 0xff,
    0x83,
];
const KEPT: [u8; 20] = [
    0x92, 0x60, 0x80, 0xad, 0xab, 0x0a, 0xc0, 0x07, 0xd5, 0x8f, 0x0f, 0x41, 0x99, 0xa5, 0x23, 0x9a, 0xc6, 0xa9, 0x8e,
    0xf2,
];

fn log_in(deployment: &Deployment, gateway: usize, user: &str, password: &str) -> Result<Session, String> {
    let account = Account::new(user, password);
    Session::open(deployment.gateway(gateway), &account, None).map_err(|error| error.to_string())
}

/// Somebody who may do all, through the first gateway.
fn administrator(deployment: &Deployment) -> Session {
    Session::open(deployment.gateway(0), &deployment.service_account(), None).expect("an account of the servers")
}

fn run(session: &mut Session, sql: &str) {
    for answer in session.run(sql.as_bytes()).expect("an answer") {
        assert!(!matches!(answer, Answer::Err(_)), "{sql}: {answer:?}");
    }
}

fn id(session: &mut Session) -> String {
    session.values("SELECT CONNECTION_ID()").remove(0)
}

#[test]
fn clients_run_as_themselves_with_the_rights_that_they_have_at_their_login() {
    let deployment = Deployment::small_with_gateways(2, &OF_SERVERS);
    let mut admin = administrator(&deployment);
    run(&mut admin, ANN_AND_BOB);
    let mut ann: Vec<_> = (0..4).map(|n| log_in(&deployment, n % 2, "ann", "a1").expect("ann")).collect();
    let mut bob: Vec<_> = (0..4).map(|n| log_in(&deployment, n % 2, "bob", "").expect("bob")).collect();
    have_their_own_rights(&mut ann, &mut bob);
    for (user, password) in [("ann", "wrong"), ("ann", ""), ("nobody", "a1"), ("ann' OR '1'='1", "a1")] {
        let refused = log_in(&deployment, 0, user, password).expect_err("it must not get in");
        assert!(refused.contains("code: 1045"), "{user}: {refused}");
    }
    changes_count_from_the_next_login(&deployment, &mut admin);
    rights_to_others_clients_hold_at_all_gateways(&deployment, &mut admin);
}

fn changes_count_from_the_next_login(deployment: &Deployment, admin: &mut Session) {
    let may_read = |password| {
        let mut ann = log_in(deployment, 1, "ann", password).expect("ann");
        !matches!(ann.run(b"SELECT * FROM shop.secrets").expect("an answer")[..], [Answer::Err(_)])
    };
    for change in ["ON *.*", "ON shop.*"] {
        assert!(!may_read("a1"), "before: {change}");
        run(admin, &format!("GRANT SELECT {change} TO ann@'%'"));
        assert!(may_read("a1"), "granted: {change}");
        run(admin, &format!("REVOKE SELECT {change} FROM ann@'%'"));
        assert!(!may_read("a1"), "revoked: {change}");
    }
    run(admin, "SET PASSWORD FOR ann@'%' = PASSWORD('a2')");
    assert!(log_in(deployment, 1, "ann", "a1").is_err());
    assert!(!may_read("a2"));
    run(admin, "ALTER USER ann@'%' ACCOUNT LOCK");
    let locked = log_in(deployment, 1, "ann", "a2").expect_err("it must not get in");
    assert!(locked.contains("code: 4151"), "who knows the password reads the server's own error: {locked}");
    run(admin, "ALTER USER ann@'%' ACCOUNT UNLOCK");
    run(admin, "CREATE USER eve@'10.%' IDENTIFIED BY 'e1'; CREATE USER kay@'%' IDENTIFIED VIA unix_socket");
    assert!(log_in(deployment, 0, "eve", "e1").expect_err("from elsewhere").contains("code: 1045"));
    assert!(log_in(deployment, 0, "kay", "k").expect_err("no such method").contains("code: 1251"));
}

fn rights_to_others_clients_hold_at_all_gateways(deployment: &Deployment, admin: &mut Session) {
    run(admin, "CREATE USER sees@'%' IDENTIFIED BY 's'; GRANT PROCESS ON *.* TO sees@'%'");
    run(admin, "CREATE USER ends@'%' IDENTIFIED BY 'e'; GRANT CONNECTION ADMIN ON *.* TO ends@'%'");
    let [mut bob, mut sees, mut ends] = [("bob", ""), ("sees", "s"), ("ends", "e")]
        .map(|(user, password)| log_in(deployment, 0, user, password).unwrap());
    let mut victim = log_in(deployment, 1, "ann", "a2").expect("ann");
    let number = id(&mut victim);
    let is_seen_by = |session: &mut Session| session.values("SHOW PROCESSLIST").contains(&number);
    assert!(is_seen_by(&mut sees) && !is_seen_by(&mut ends) && !is_seen_by(&mut bob));
    let kill = format!("KILL {number}");
    assert_eq!([&mut bob, &mut sees].map(|session| error_of(session, &kill)), [1095, 1095]);
    assert_eq!(victim.values("SELECT 7"), ["7"]);
    run(&mut ends, &kill);
    assert!(victim.run(b"SELECT 7").is_err(), "its connection is gone");
    eventually(SOON, "it is gone", || error_of(&mut ends, &kill) == 1094);
}

#[test]
fn replicas_know_the_accounts_and_no_log_has_what_opens_them() {
    let mut deployment = Deployment::several_with(&["--log", "trace"], &OF_SERVERS);
    run(&mut administrator(&deployment), "CREATE USER ann@'%' IDENTIFIED BY 'a1'");
    let mut ann = log_in(&deployment, 0, "ann", "a1").expect("ann");
    assert_eq!(ann.values("SELECT CURRENT_USER()"), ["ann@%"]);
    eventually(SOON, "all replicas have the account", || log_in(&deployment, 1, "ann", "a1").is_ok());
    let primary = deployment.primary();
    deployment.kill_process(Part::Tablet(primary));
    for gateway in [0, 1] {
        eventually(SOON, "ann gets in", || {
            log_in(&deployment, gateway, "ann", "a1").is_ok_and(|mut ann| ann.values("SELECT 7") == ["7"])
        });
    }
    let password = application().password;
    for said in deployment.outputs() {
        assert!(said.contains("TRACE"), "it is logged what happens");
        for secret in [SHOWN, KEPT] {
            assert_eq!(
                [hex(&secret).as_str(), &numbers(&secret)].map(|secret| said.to_lowercase().contains(secret)),
                [false; 2]
            );
        }
        assert!(!said.contains(&password));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As `Debug` prints them.
fn numbers(bytes: &[u8]) -> String {
    format!("{bytes:?}").trim_matches(['[', ']']).to_owned()
}
