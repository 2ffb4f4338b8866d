//! What applications write, and what they hide, against accounts that have few rights: nothing that a server denies is allowed.

use std::collections::BTreeMap;
use std::sync::Arc;
use weir_core::link::{Caller, ClientName};
use weir_core::mysql::resultset::Answer;
use weir_core::sql::Dialect;
use weir_core::sql::tables::{Touches, touches};
use weir_core::tablet::acl::{Group, Names, Pattern, Schema, TableAcl};
use weir_io::servers::Account;
use weir_tests::corpus::{Corpus, SCHEMA};
use weir_tests::{Session, TestCluster};

/// Statements for each account, as they are and damaged.
const SOUND: usize = 2_000;
const DAMAGED: usize = 1_000;
/// As in `differential`.
const DENIED: [u16; 5] = [1044, 1142, 1143, 1227, 1370];
const NO_SCHEMA: u16 = 1044;
/// Nothing of the corpus may wait for long.
const SETTINGS: [&str; 3] = ["max-statement-time=5", "lock-wait-timeout=2", "innodb-lock-wait-timeout=2"];
/// Of three accounts: a table, and whether it may be read and written.
const RIGHTS: [&[(&str, bool, bool)]; 3] = [
    &[("t1", true, false), ("t2", false, true)],
    &[("t1", false, true), ("t2", true, false), ("v1", true, false)],
    &[("t1", true, true), ("s1", true, true)],
];

fn acl(user: &str, rights: &[(&str, bool, bool)]) -> TableAcl {
    let names = |is: bool| Names { all: false, users: is.then(|| user.as_bytes().to_vec()).into_iter().collect() };
    let group = |(table, reads, writes): &(&str, bool, bool)| {
        let pattern = Pattern::parse(&format!("weir.{table}")).expect("a table");
        (vec![pattern], Group { readers: names(*reads), writers: names(*writes), admins: names(false) })
    };
    TableAcl::new(Names::default(), rights.iter().map(group).collect()).expect("each is named once")
}

fn grants(user: &str, rights: &[(&str, bool, bool)]) -> String {
    let mut sql = format!("CREATE USER {user}@'%' IDENTIFIED BY 'a1'; GRANT LOCK TABLES ON weir.* TO {user}@'%';");
    for (table, reads, writes) in rights {
        if *reads {
            sql += &format!("GRANT SELECT, SHOW VIEW ON weir.{table} TO {user}@'%';");
        }
        if *writes {
            sql += &format!("GRANT INSERT, UPDATE, DELETE ON weir.{table} TO {user}@'%';");
        }
    }
    sql
}

fn error(answers: &[Answer]) -> Option<u16> {
    answers.iter().find_map(|answer| match answer {
        Answer::Err(error) => Some(error.code),
        _ => None,
    })
}

#[test]
fn nothing_that_a_server_denies_is_allowed() {
    let cluster = TestCluster::with_settings(1, &SETTINGS);
    let address = cluster.primary().address();
    let mut administrator = Session::open(address, cluster.service_account(), None).expect("a session");
    for sql in ["CREATE DATABASE weir", "USE weir"].iter().chain(SCHEMA) {
        administrator.values(sql);
    }
    let (mut counts, mut wrong) = (BTreeMap::<(bool, bool), u32>::new(), Vec::new());
    for (number, rights) in RIGHTS.iter().enumerate() {
        let user = format!("ann{number}");
        cluster.primary().query(&grants(&user, rights)).expect("an account");
        let acl = acl(&user, rights);
        let caller = Caller::Client(Arc::new(ClientName { user: user.clone().into_bytes(), host: String::new() }));
        let mut ann = Session::open(address, &Account::new(&user, "a1"), Some("weir")).expect("a session");
        let mut corpus = Corpus::new(number as u64);
        for round in 0..SOUND + DAMAGED {
            let sql = if round < SOUND { corpus.statement().into_bytes() } else { corpus.damaged_statement() };
            let touches = touches(&sql, Dialect { mariadb: true, ..Dialect::default() });
            let is_allowed = acl.permits(&caller, Schema::Default(b"weir"), &touches).is_ok();
            ann.reset().expect("a session");
            ann.values("USE weir");
            let text = String::from_utf8_lossy(&sql).into_owned();
            let answers = ann.run(&sql).unwrap_or_else(|error| panic!("{error}: {text}"));
            let denied = error(&answers).filter(|code| DENIED.contains(code));
            *counts.entry((is_allowed, denied.is_none())).or_default() += 1;
            // USE is free.
            let is_no_schema_s = denied == Some(NO_SCHEMA) && touches == Touches::Tables(Vec::new());
            if let Some(code) = denied.filter(|_| is_allowed && !is_no_schema_s) {
                wrong.push(format!("{user}: a server denies ({code}): {text:?} {touches:?}"));
            }
        }
    }
    eprintln!("by whether Weir and the server allow it: {counts:?}");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts[&(true, true)] > 1_000 && counts[&(false, false)] > 1_000, "{counts:?}");
}
