//! What a client can say wrong: a MariaDB server is told the same, and Weir must answer as it does.
//!
//! `compare` says how answers are compared, and holds them against a list of differences that are meant; `login`,
//! `commands`, `executions` and `files` hold what is said wrong. `streams` sends what nobody thought of.

mod commands;
mod compare;
mod executions;
mod files;
mod login;
mod streams;

use compare::compare;
use weir_tests::{TestCluster, Weir};

/// A server and a Weir in front of it, unharmed by whatever `test` does to them.
fn with_weir(test: impl FnOnce(&TestCluster, &Weir)) {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &[]);
    test(&cluster, &weir);
    weir.assert_unharmed();
}

#[test]
fn a_wrong_login_is_answered_as_by_a_server() {
    with_weir(|cluster, weir| {
        compare(&login::wrong(), login::DIFFERENCES, cluster.primary().address(), weir.address());
    });
}

#[test]
fn a_wrong_command_is_answered_as_by_a_server() {
    with_weir(|cluster, weir| {
        let addresses = (cluster.primary().address(), weir.address());
        compare(&commands::wrong(), commands::DIFFERENCES, addresses.0, addresses.1);
        compare(&executions::wrong(), executions::DIFFERENCES, addresses.0, addresses.1);
    });
}

#[test]
fn a_wrong_file_is_answered_as_by_a_server() {
    with_weir(|cluster, weir| {
        files::prepare(cluster);
        compare(&files::wrong(), files::DIFFERENCES, cluster.primary().address(), weir.address());
    });
}

#[test]
fn a_random_stream_harms_nobody() {
    with_weir(streams::harm_nobody);
}
