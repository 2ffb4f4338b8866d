//! What the tests that need real servers share: throw-away servers, a running `weir`, and their counters.
//!
//! A helper that cannot do its work panics with the reason, as an assertion would. Everything lies in a temporary
//! directory, listens on free ports of 127.0.0.1, and is gone when its value is dropped, so tests run side by side.
//! Start with [`TestCluster`] for servers alone, or [`Weir`] for the program under test.

mod certificate;
mod cluster;
pub mod corpus;
mod counters;
mod deployment;
mod etcd;
mod exposition;
pub mod http;
mod load;
mod mysql_5_6;
mod network;
mod relay;
pub mod rights;
mod session;
pub mod source;
mod sysbench;
mod weir;
pub mod wire;
mod writers;

pub use certificate::certificate;
pub use cluster::{TestCluster, application, as_application, query_value};
pub use counters::{Counters, Statements, counters, counters_since};
pub use deployment::{Deployment, Part};
pub use etcd::EtcdCluster;
pub use exposition::{Exposition, Series};
pub use load::Load;
pub use mysql_5_6::MySql56;
pub use network::{Cut, Host, has_own_network};
pub use relay::Relay;
pub use session::Session;
pub use sysbench::{Sysbench, Transactions, sysbench_command};
pub use weir::{Weir, processor_us, resident_kib, run_program, weir_sim};
pub use wire::{Heard, Wire};
pub use writers::{Outcome, Writers, Written};

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A TCP port of 127.0.0.1 that nobody listened on a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}

/// Waits until `condition` holds, or panics with `what` after `limit`.
#[track_caller]
pub fn eventually(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        in_time(begun.elapsed(), limit, || what.to_owned());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fails when something has taken longer than the `limit`, which is all that is wrong. Where the machine stood still meanwhile that is the
/// machine's fault, so `./x test` tries a test once more, by itself, whose panic begins as this one's, and no other.
#[track_caller]
pub fn in_time(took: Duration, limit: Duration, what: impl FnOnce() -> String) {
    assert!(took <= limit, "too late, after {took:?}, where {limit:?} are allowed: {}", what());
}

/// A file that `./x test` prepares below `target` for tests with foreign clients.
#[must_use]
pub fn prepared(path: &str) -> PathBuf {
    let file = profile_dir().parent().expect("target").join(path);
    assert!(file.exists(), "{} is missing: `./x test` prepares it", file.display());
    file
}

/// The checkout's `target` directory with the profile in use, such as `target/debug`: where cargo put this test.
fn profile_dir() -> PathBuf {
    let program = std::env::current_exe().expect("the program's own path");
    // Tests are target/debug/deps/some_test-0123456789abcdef, programs target/debug/some-program.
    let mut dirs = program.ancestors().skip(1);
    dirs.find(|dir| !dir.ends_with("deps")).expect("a cargo target directory").to_path_buf()
}
