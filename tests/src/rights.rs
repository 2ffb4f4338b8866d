//! Two accounts of the servers, of which neither may do what the other may.

use crate::Session;
use weir_core::mysql::resultset::Answer;

/// Makes `ann`, whose password is `a1`, `bob`, who has none, and what each of them may use.
pub const ANN_AND_BOB: &str = "
    CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); CREATE TABLE shop.secrets (id INT);
    CREATE USER ann@'%' IDENTIFIED BY 'a1'; GRANT SELECT, INSERT ON shop.t TO ann@'%';
    CREATE USER bob@'%' IDENTIFIED BY ''; GRANT SELECT ON shop.secrets TO bob@'%'";

/// The number and the text of the error with which a statement is refused.
///
/// # Panics
/// When it is not.
pub fn refusal(session: &mut Session, sql: &str) -> (u16, String) {
    match session.run(sql.as_bytes()).expect("an answer").pop() {
        Some(Answer::Err(error)) => (error.code, String::from_utf8_lossy(&error.message).into_owned()),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Its number.
pub fn error_of(session: &mut Session, sql: &str) -> u16 {
    refusal(session, sql).0
}

/// Whatever connections they share, each session of either runs as itself, with its own rights and no others.
///
/// # Panics
/// When one does not.
pub fn have_their_own_rights(ann: &mut [Session], bob: &mut [Session]) {
    for round in 0..20 {
        for (ann, bob) in ann.iter_mut().zip(bob.iter_mut()) {
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
