//! The database tests of a framework, at a server and through Weir: the same outcome of each test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use weir_tests::source::checkout;
use weir_tests::{TestCluster, Weir, prepared};

/// The frameworks close their connections between tests, and look with a new one at what was written on another.
const ACROSS_CONNECTIONS: [&str; 2] = ["--consistency", "INSTANCE"];

/// Runs a suite, unpacked by `./x drivers` into a directory of its own name, at both places.
///
/// `passed_min`: when fewer pass at a server, it is not Weir that is tested.
pub(crate) fn same(suite: &str, arguments: &[&str], passed_min: usize) {
    let cluster = TestCluster::start(3);
    let direct = outcomes(suite, arguments, cluster.primary().address());
    let passed = direct.values().filter(|outcome| ["ok", "passed"].contains(&outcome.as_str())).count();
    assert!(passed >= passed_min, "{passed} tests of {suite} pass at a server, fewer than {passed_min}");
    let mut weir = Weir::attach(&cluster, &ACROSS_CONNECTIONS);
    let through = outcomes(suite, arguments, weir.address());
    let name = |map: &BTreeMap<String, String>, test: &String| map.get(test).cloned().unwrap_or("missing".into());
    let different: Vec<String> = direct
        .keys()
        .chain(through.keys().filter(|test| !direct.contains_key(*test)))
        .filter(|test| direct.get(*test) != through.get(*test))
        .map(|test| format!("{test}: {} at a server, {} through Weir", name(&direct, test), name(&through, test)))
        .collect();
    assert!(different.is_empty(), "of {} tests of {suite} differ:\n{}", direct.len(), different.join("\n"));
    weir.assert_unharmed();
}

/// The outcome of each test, by its name.
fn outcomes(suite: &str, arguments: &[&str], address: SocketAddr) -> BTreeMap<String, String> {
    let mut command = Command::new(prepared("suites/venv/bin/python"));
    command.arg(checkout().join("tests/drivers/suites/run.py"));
    command.arg(prepared(&format!("suites/{suite}"))).arg(suite).args(arguments);
    let output = super::told_where(&mut command, address).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{suite} at {address}: {}\n{complained}", output.status);
    let outcome = |line: &str| line.split_once(' ').map(|(outcome, test)| (test.to_owned(), outcome.to_owned()));
    said.lines().filter_map(outcome).collect()
}
