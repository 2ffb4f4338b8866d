//! The subset, and what lies outside it.

use super::*;
use crate::mysql::sql::{Assignment, Operator, Replication, Scope, Show};

fn ok(sql: &str) -> Statement {
    let parsed = parse(Flavor::MariaDb, sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    (*parsed.statement).clone()
}

#[test]
fn the_subset_is_understood() {
    for sql in [
        "SELECT 1",
        "select *, from t",
        "SELECT a, b AS c FROM d.t WHERE id = 1 AND (b > 2 OR NOT c <> 'x') ORDER BY a DESC, b LIMIT 3",
        "SELECT COUNT(*), SUM(v) FROM t WHERE id BETWEEN 1 AND 5 AND v IN (1,2) AND w IS NOT NULL",
        "SELECT v FROM t WHERE id = ? FOR UPDATE",
        "INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL)",
        "REPLACE INTO t VALUES (1, 2)",
        "INSERT INTO t VALUES (1, 2) ON DUPLICATE KEY UPDATE v = v + 1",
        "UPDATE t SET a = a + 1, b = 'x' WHERE id = 3",
        "DELETE FROM t WHERE id < 3 LIMIT 1",
        "CREATE TABLE IF NOT EXISTS t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20) DEFAULT 'x') ENGINE=InnoDB",
        "CREATE TABLE t (id BIGINT, v TEXT, PRIMARY KEY (id))",
        "START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT",
        "ROLLBACK TO SAVEPOINT x",
        "SET autocommit=0, @a = 1, SESSION sql_mode = 'ANSI', @@global.read_only = ON, NAMES utf8mb4",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SHOW VARIABLES LIKE 'gtid%'",
        "SHOW GLOBAL VARIABLES WHERE Variable_name = 'x'",
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('x', 'y')",
        "CHANGE MASTER TO MASTER_HOST='h', MASTER_PORT=3306, MASTER_USE_GTID=slave_pos",
        "START SLAVE IO_THREAD, SQL_THREAD",
        "KILL QUERY 12",
        "DO SLEEP(0.5)",
        "SELECT @@global.gtid_binlog_pos, @@read_only, @x",
    ] {
        if sql.starts_with("select *,") {
            assert!(parse(Flavor::MariaDb, sql).is_err(), "{sql}");
        } else {
            ok(sql);
        }
    }
}

#[test]
fn precedence_is_sqls() {
    let Statement::Select(select) = ok("SELECT 1 + 2 * 3 = 7 AND 1 OR 0") else { panic!("a SELECT") };
    let Expr::Binary(Operator::Or, or) = &select.items[0].expr else { panic!("OR binds least") };
    let Expr::Binary(Operator::And, and) = &or.0 else { panic!("then AND") };
    assert!(matches!(&and.0, Expr::Binary(Operator::Equal, _)));
}

#[test]
fn a_syntax_error_quotes_what_it_stumbled_over() {
    let error = parse(Flavor::MariaDb, "SELECT 1\nFORM t WHERE x").unwrap_err();
    assert_eq!((error.code, error.state), (1064, "42000"));
    assert!(error.message.ends_with("near 't WHERE x' at line 2"), "{}", error.message);
    assert_eq!(parse(Flavor::MySql, " ; ").unwrap_err().code, 1065);
}

#[test]
fn a_column_is_named_as_it_was_written() {
    let Statement::Select(select) = ok("SELECT COUNT(*) , a+1 x, @@autocommit , 'lit' FROM t") else {
        panic!("a SELECT")
    };
    let names: Vec<&str> = select.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["COUNT(*)", "x", "@@autocommit", "lit"]);
}

#[test]
fn only_the_first_statement_is_parsed() {
    let sql = "BEGIN ; SELECT 1";
    let parsed = parse(Flavor::MariaDb, sql).unwrap();
    assert_eq!(&sql[parsed.len..], " SELECT 1");
}

#[test]
fn words_on_the_right_of_set_stand_for_themselves() {
    let sql = "SET GLOBAL read_only = ON, @@session.autocommit = 0, @@autocommit = 0";
    let Statement::Set(set) = ok(sql) else { panic!("a SET") };
    let zero = Some(Expr::Literal(Value::Int(0)));
    let set_to = |scope, bare, name: &str, value| Assignment::System { scope, bare, name: name.into(), value };
    assert_eq!(set[0], set_to(Scope::Global, false, "read_only", Some(Expr::Literal(Value::text("ON")))));
    assert_eq!(set[1], set_to(Scope::Session, false, "autocommit", zero.clone()));
    assert_eq!(set[2], set_to(Scope::Session, true, "autocommit", zero));
}

#[test]
fn replication_statements_have_one_meaning_in_both_wordings() {
    let old = ok("CHANGE MASTER TO MASTER_HOST='h'");
    assert_eq!(old, ok("CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'h'"));
    assert_eq!(ok("STOP REPLICA"), Statement::Replication(Replication::Stop(true, true)));
    assert_eq!(ok("SHOW REPLICA STATUS"), Statement::Show(Show::ReplicaStatus(true)));
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let sql = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(parse(Flavor::MariaDb, &sql).unwrap_err().code, 1064);
}
