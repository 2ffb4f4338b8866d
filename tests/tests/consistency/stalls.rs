//! Replicas that stop: reads are answered within their timeout and one read on the primary, and no connection stays taken.

use crate::{How, cluster, open, read, write};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use weir_io::servers::Server;
use weir_tests::{Session, TestCluster, Weir, eventually, in_time};

const TIMEOUT: Duration = Duration::from_millis(300);
/// What a read on the primary may take, on a machine that runs other tests meanwhile.
const PRIMARY_READ_MAX: Duration = Duration::from_millis(700);
const SESSIONS: usize = 8;

#[test]
fn a_replica_that_stops_costs_a_read_no_more_than_its_timeout() {
    let cluster = cluster(&[Duration::ZERO; 2]);
    let timeout = TIMEOUT.as_millis().to_string();
    let gateway = Weir::attach(&cluster, &["--read-after-write-timeout-ms", &timeout]);
    replicas_do_not_apply(&cluster, &gateway);
    a_replica_is_locked(&cluster, &gateway);
    a_server_is_frozen(&cluster, &gateway);
}

fn replicas_do_not_apply(cluster: &TestCluster, gateway: &Weir) {
    for replica in cluster.replicas() {
        run(replica, "STOP SLAVE SQL_THREAD");
    }
    many_write_and_read("appliers stopped", gateway, 1);
    no_connection_stays_taken(gateway);
    for replica in cluster.replicas() {
        run(replica, "START SLAVE SQL_THREAD");
    }
    cluster.wait_for_replicas();
}

/// It can be read, and what it receives waits for the lock.
fn a_replica_is_locked(cluster: &TestCluster, gateway: &Weir) {
    std::thread::scope(|scope| {
        scope.spawn(|| run(&cluster.replicas()[1], "FLUSH TABLES WITH READ LOCK; SELECT SLEEP(6)"));
        many_write_and_read("a replica locked", gateway, 100);
        no_connection_stays_taken(gateway);
    });
    cluster.wait_for_replicas();
}

/// The server takes bytes and connections, and says nothing: only time tells.
fn a_server_is_frozen(cluster: &TestCluster, gateway: &Weir) {
    // The pool has connections there.
    let mut reader = open(gateway, "SESSION");
    for _ in 0..20 {
        read(&mut reader, 0, How::Text);
    }
    let frozen = &cluster.replicas()[0];
    frozen.freeze();
    many_write_and_read("a server frozen", gateway, 200);
    no_connection_stays_taken(gateway);
    frozen.thaw();
    eventually(Duration::from_secs(20), "the server is read again", || {
        read(&mut reader, 0, How::Text).server == crate::name(frozen)
    });
}

fn run(server: &Server, sql: &str) {
    server.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Sessions that write and read, and as many that read whatever is there: nobody waits for long.
fn many_write_and_read(what: &str, gateway: &Weir, from: u64) {
    let longest = Mutex::new([Duration::ZERO; 2]);
    std::thread::scope(|scope| {
        for pair in 0..SESSIONS {
            let longest = &longest;
            scope.spawn(move || {
                let mut session = open(gateway, "SESSION");
                for (version, how) in (from..).zip([How::Text, How::Prepared, How::Multi].into_iter().cycle().take(9)) {
                    write(&mut session, pair, version);
                    assert_eq!(timed(longest, &mut session, pair, how), version, "{how:?}");
                }
            });
            scope.spawn(move || {
                let mut session = open(gateway, "EVENTUAL");
                for how in [How::Text, How::Prepared, How::Multi].into_iter().cycle().take(30) {
                    timed(longest, &mut session, pair, how);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let [longest, prepared] = longest.into_inner().expect("nobody panicked");
    eprintln!("{what}: the longest read took {longest:?}, or {prepared:?} with its preparation");
    in_time(longest, TIMEOUT + PRIMARY_READ_MAX, || format!("{what}: a read"));
    in_time(prepared, 2 * (TIMEOUT + PRIMARY_READ_MAX), || format!("{what}: a read and its preparation"));
}

/// The version that a read saw. One that is prepared is two statements, and a server must have seen enough for each.
fn timed(longest: &Mutex<[Duration; 2]>, session: &mut Session, pair: usize, how: How) -> u64 {
    let begun = Instant::now();
    let version = read(session, pair, how).version;
    let mut longest = longest.lock().expect("nobody panicked");
    let longest = &mut longest[usize::from(how == How::Prepared)];
    *longest = (*longest).max(begun.elapsed());
    version
}

fn no_connection_stays_taken(gateway: &Weir) {
    eventually(Duration::from_secs(5), "every connection is given back", || {
        let pools = gateway.query("SHOW WEIR POOLS").expect("the pools");
        let column =
            |number: usize| pools.lines().filter_map(move |line| line.split('\t').nth(number)?.parse::<u64>().ok());
        column(1).chain(column(4)).sum::<u64>() == 0
    });
}
