//! Drivers that applications use, each at a MariaDB server, then at Weir in front of three. The older programs do rounds and
//! judge the answers themselves; the others do the steps of one [`scenario`] and print the answers, which are compared here.
//!
//! The tests in `heavy` need compilers and larger packages: `./x drivers` runs them too, `./x test` does not.

mod heavy;
mod scenario;
mod suite;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use weir_io::servers::Account;
use weir_tests::source::checkout;
use weir_tests::{TestCluster, Weir, application, prepared};

/// A session sees its own writes at once.
const SAME_SESSION_LAG_S: &str = "0";
/// The command line client is a new session for each command, and may read from a replica that is behind: in seconds.
const OTHER_SESSION_LAG_S: &str = "10";

fn rounds(make: impl Fn() -> Command) {
    rounds_within(SAME_SESSION_LAG_S, make);
}

fn rounds_within(lag_s: &str, make: impl Fn() -> Command) {
    let cluster = TestCluster::start(3);
    run(make(), "at a server", cluster.primary().address(), "0");
    let weir = Weir::attach(&cluster, &[]);
    run(make(), "through Weir", weir.address(), lag_s);
}

fn run(mut command: Command, place: &str, address: SocketAddr, lag_s: &str) {
    let output = told_where(&mut command, address)
        .env("ROUNDS_LAG_S", lag_s)
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{place}: {}\n{said}{complained}", output.status);
    assert!(said.lines().count() >= 5, "{place}: most rounds are missing:\n{said}");
}

/// Tells a program the server and the account.
fn told_where(command: &mut Command, address: SocketAddr) -> &mut Command {
    let Account { user, password } = application();
    command
        .env("ROUNDS_HOST", address.ip().to_string())
        .env("ROUNDS_PORT", address.port().to_string())
        .env("ROUNDS_USER", user)
        .env("ROUNDS_PASSWORD", password)
}

fn script(interpreter: &Path, script: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(checkout().join("tests/drivers").join(script));
    command
}

fn python(driver: &'static str) -> impl Fn() -> Command {
    move || {
        let mut command = script(&prepared("venv/bin/python"), "python/rounds.py");
        command.arg(driver);
        command
    }
}

#[test]
fn mariadb_client() {
    rounds_within(OTHER_SESSION_LAG_S, || script(Path::new("bash"), "cli/rounds.sh"));
}

#[test]
fn mysql2_for_node() {
    rounds(|| {
        let mut command = script(Path::new("node"), "node/rounds.js");
        command.env("NODE_PATH", prepared("npm/node_modules"));
        command
    });
}

#[test]
fn pymysql() {
    rounds(python("pymysql"));
}

#[test]
fn mysqlclient() {
    rounds(python("mysqlclient"));
}

#[test]
fn mysql_connector_python_with_its_c_extension() {
    rounds(python("connector"));
}

#[test]
fn mysql_connector_python_in_pure_python() {
    rounds(python("connector-pure"));
}

#[test]
fn mariadb_for_node() {
    scenario::same("mariadb for node", || {
        let mut command = script(Path::new("node"), "node/scenario.js");
        command.env("NODE_PATH", prepared("npm/node_modules"));
        command
    });
}

#[test]
fn asyncmy() {
    scenario::same("asyncmy", || script(&prepared("venv/bin/python"), "python/scenario.py"));
}

#[test]
fn sqlx() {
    rounds(|| Command::new(prepared("drivers/debug/rounds-sqlx")));
}

#[test]
fn php_mysqli() {
    scenario::same("mysqli", || with_argument(script(Path::new("php"), "php/scenario.php"), "mysqli"));
}

#[test]
fn php_pdo() {
    scenario::same("pdo", || with_argument(script(Path::new("php"), "php/scenario.php"), "pdo"));
}

#[test]
fn perl_dbd_mysql() {
    scenario::same("DBD::mysql", || with_argument(script(Path::new("perl"), "perl/scenario.pl"), "mysql"));
}

#[test]
fn perl_dbd_mariadb() {
    scenario::same("DBD::MariaDB", || with_argument(script(Path::new("perl"), "perl/scenario.pl"), "MariaDB"));
}

#[test]
fn mysql2_for_ruby() {
    scenario::same("mysql2 for Ruby", || script(Path::new("ruby"), "ruby/scenario.rb"));
}

fn with_argument(mut command: Command, argument: &str) -> Command {
    command.arg(argument);
    command
}
