//! What each consistency level promises, on real servers: gateways, a primary, and replicas that apply late or not at all.
//!
//! `levels`: many pairs of writers and readers at each level. `statements`: every way to ask, in one session.
//! `stalls`: a replica that stops.

mod levels;
mod stalls;
mod statements;

use std::ops::Deref;
use std::time::Duration;
use weir_io::servers::Server;
use weir_tests::{Relay, Session, TestCluster, Weir, application};

/// Pairs of a writer and a reader; each pair has a row of its own in `shop.counts`.
const PAIRS: usize = 32;

/// A primary, and replicas that receive, and therefore apply, everything late.
struct LateCluster {
    cluster: TestCluster,
    _links: Vec<Relay>,
}

impl Deref for LateCluster {
    type Target = TestCluster;
    fn deref(&self) -> &TestCluster {
        &self.cluster
    }
}

/// A primary, and a replica for each delay.
fn cluster(delays: &[Duration]) -> LateCluster {
    let cluster = TestCluster::start(u16::try_from(delays.len()).expect("few") + 1);
    let rows: Vec<String> = (0..PAIRS).map(|pair| format!("({pair},0)")).collect();
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.counts (pair INT PRIMARY KEY, v BIGINT NOT NULL)",
        &format!("INSERT INTO shop.counts VALUES {}", rows.join(",")),
    ] {
        cluster.primary().query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    cluster.wait_for_replicas();
    let late = cluster.replicas().iter().zip(delays).filter(|(_, delay)| !delay.is_zero());
    let links: Vec<(Relay, Duration)> = late.map(|(replica, delay)| (link(&cluster, replica), *delay)).collect();
    cluster.wait_for_replicas();
    links.iter().for_each(|(relay, delay)| relay.set_delay(*delay));
    LateCluster { _links: links.into_iter().map(|(relay, _)| relay).collect(), cluster }
}

/// Has the replica follow the primary through a relay, without a delay yet: it has a lot to ask when it connects.
fn link(cluster: &TestCluster, replica: &Server) -> Relay {
    let relay = Relay::to(cluster.primary().address());
    let port = relay.address().port();
    let sql = format!("STOP SLAVE; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}; START SLAVE");
    replica.query(&sql).unwrap_or_else(|error| panic!("{error}"));
    relay
}

/// A session in the schema `shop` at a level.
fn open(gateway: &Weir, level: &str) -> Session {
    let mut session = Session::open(gateway.address(), &application(), Some("shop")).expect("a session");
    session.values(&format!("SET read_after_write_consistency = {level}"));
    session
}

fn write(session: &mut Session, pair: usize, version: u64) {
    session.values(&format!("UPDATE counts SET v = {version} WHERE pair = {pair}"));
}

/// How a read is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Text,
    Prepared,
    /// In front of another statement, in one text.
    Multi,
    /// In a read-only transaction.
    Transaction,
}

impl How {
    const ALL: [Self; 4] = [Self::Text, Self::Prepared, Self::Multi, Self::Transaction];
}

/// What a read saw, and the number of the server that answered it.
struct Seen {
    version: u64,
    server: String,
}

fn read(session: &mut Session, pair: usize, how: How) -> Seen {
    let sql = format!("SELECT CAST(v AS CHAR), CAST(@@server_id AS CHAR) FROM counts WHERE pair = {pair}");
    let mut values = match how {
        How::Text => session.values(&sql),
        How::Prepared => session.execute(&sql),
        How::Multi => session.values(&format!("{sql}; SELECT 1")),
        How::Transaction => {
            session.values("START TRANSACTION READ ONLY");
            let values = session.values(&sql);
            session.values("COMMIT");
            values
        }
    };
    let version = values[0].parse().expect("a number");
    Seen { version, server: values.swap_remove(1) }
}

fn name(server: &Server) -> String {
    server.number().to_string()
}
