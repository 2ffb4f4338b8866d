//! Drivers whose programs are compiled, or need large packages.

use super::{scenario, suite};
use std::process::Command;
use weir_tests::prepared;
use weir_tests::source::checkout;

#[test]
fn go_sql_driver() {
    scenario::same("go-sql-driver", || Command::new(prepared("drivers/scenario-go")));
}

#[test]
fn mysql_async() {
    scenario::same("mysql_async", || Command::new(prepared("drivers/debug/scenario-rust")));
}

#[test]
fn diesel() {
    scenario::same("diesel", || Command::new(prepared("drivers/debug/scenario-diesel")));
}

#[test]
fn suite_of_sqlalchemy_with_mysqlclient() {
    suite::same("sqlalchemy", &["mysqldb"], 2000);
}

#[test]
fn suite_of_sqlalchemy_with_asyncmy() {
    suite::same("sqlalchemy", &["asyncmy"], 2000);
}

#[test]
fn suite_of_django() {
    suite::same("django", &[], 2500);
}

#[test]
fn mariadb_connector_j() {
    scenario::same("MariaDB Connector/J", || {
        let mut java = Command::new("java");
        java.args(["-cp", "/usr/share/java/mariadb-java-client.jar"]);
        java.arg(checkout().join("tests/drivers/java/Scenario.java"));
        java
    });
}
