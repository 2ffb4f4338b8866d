//! Where reads go among real replicas: by lag, by what sessions see of them, and by policy.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use weir_core::mysql::resultset::Answer;
use weir_io::servers::Server;
use weir_tests::{Session, TestCluster, Weir, application, eventually, query_value};

fn attach(cluster: &TestCluster, more: &[&str]) -> Weir {
    let service = cluster.service_account();
    let monitor = ["--monitor-user", &service.user, "--monitor-password", &service.password];
    Weir::attach(cluster, &[&monitor, more].concat())
}

fn session(weir: &Weir) -> Session {
    Session::open(weir.address(), &application(), None).expect("a session")
}

/// `column` of every row of `SHOW WEIR TABLETS`, servers 1 to 3.
fn tablets(weir: &Weir, column: &str) -> Vec<String> {
    let answer = session(weir).run(b"SHOW WEIR TABLETS").expect("it is shown").remove(0);
    let Answer::Rows(rows, _) = answer else { panic!("{answer:?}") };
    let value = |row| rows.value(row, column).map(|value| String::from_utf8_lossy(value).into_owned());
    (0..rows.rows.len()).map(|row| value(row).unwrap_or_default()).collect()
}

/// Which servers answer so many reads of one session.
fn answering(session: &mut Session, read: &str, times: usize) -> BTreeMap<String, usize> {
    let mut servers = BTreeMap::new();
    for _ in 0..times {
        let server = session.values(read).pop().expect("a value");
        *servers.entry(server).or_default() += 1;
    }
    servers
}

const WHO: &str = "SELECT @@server_id";

fn seconds(lag: &str) -> f64 {
    lag.parse().unwrap_or(f64::NAN)
}

#[test]
fn a_replica_whose_applier_stopped_leaves_by_its_heartbeat_and_returns_when_it_has_caught_up() {
    let cluster = TestCluster::start(3);
    let weir = attach(
        &cluster,
        &["--heartbeat-interval-ms", "200", "--max-replication-lag-ms", "2000", "--warm-up-ms", "1000"],
    );
    let mut session = session(&weir);
    eventually(Duration::from_secs(10), "lags are measured by heartbeat", || {
        tablets(&weir, "Lag_by").iter().filter(|by| *by == "heartbeat").count() == 2
    });
    eventually(Duration::from_secs(10), "both replicas take reads", || answering(&mut session, WHO, 20).len() == 2);

    let stopped = &cluster.replicas()[0];
    stopped.query("STOP SLAVE SQL_THREAD").unwrap();
    let begun = Instant::now();
    eventually(Duration::from_secs(10), "it leaves the rotation", || tablets(&weir, "Rotation")[1].contains("behind"));
    let left_after = begun.elapsed();
    assert!(left_after > Duration::from_secs(1), "not before it was late: {left_after:?}");
    eprintln!("left {left_after:?} after its applier stopped; 2 s were allowed");
    assert_eq!(answering(&mut session, WHO, 40).into_keys().collect::<Vec<_>>(), ["3"]);
    let lag = || seconds(&tablets(&weir, "Lag_seconds")[1]);
    let before = lag();
    eventually(Duration::from_secs(10), "the lag grows", || lag() > before + 1.0);
    // A disk that is busy for a while makes any server late; here it is only for a while.
    eventually(Duration::from_secs(10), "the other one has none", || seconds(&tablets(&weir, "Lag_seconds")[2]) < 1.0);

    stopped.query("START SLAVE SQL_THREAD").unwrap();
    let begun = Instant::now();
    eventually(Duration::from_secs(15), "it takes reads again", || answering(&mut session, WHO, 20).len() == 2);
    eprintln!("back {:?} after its applier went on", begun.elapsed());
}

#[test]
fn without_the_right_to_write_heartbeats_the_servers_own_lag_is_used_and_that_is_said_once() {
    let cluster = TestCluster::start(2);
    for server in cluster.servers() {
        let account = "'watcher'@'127.0.0.1'";
        let sql = format!(
            "SET sql_log_bin = 0; CREATE USER {account} IDENTIFIED BY 'w'; GRANT SLAVE MONITOR ON *.* TO {account}"
        );
        server.query(&sql).unwrap();
    }
    let args = ["--monitor-user", "watcher", "--monitor-password", "w", "--heartbeat-interval-ms", "100"];
    let weir = Weir::attach(&cluster, &args);
    let warnings = || weir.output().matches("cannot write heartbeats").count();
    eventually(Duration::from_secs(10), "it is said", || warnings() == 1);
    eventually(Duration::from_secs(10), "the server tells its lag", || {
        tablets(&weir, "Lag_by").contains(&"server".to_owned())
    });
    let since = std::time::Instant::now();
    eventually(Duration::from_secs(5), "ten beats are due", || since.elapsed() >= Duration::from_secs(1));
    assert_eq!(warnings(), 1, "{}", weir.output());
    assert_eq!(
        query_value(cluster.primary(), "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'weir'"),
        "0"
    );
}

/// Stands still until it is dropped.
struct Frozen(Pid);

impl Frozen {
    fn new(server: &Server) -> Self {
        let pid = Pid::from_raw(i32::try_from(server.pid().expect("it runs")).expect("a pid"));
        kill(pid, Signal::SIGSTOP).expect("a process of ours");
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

#[test]
fn a_frozen_replica_gets_no_reads_within_seconds() {
    let cluster = TestCluster::start(3);
    let weir = attach(&cluster, &["--warm-up-ms", "0"]);
    let address = weir.address();
    eventually(Duration::from_secs(10), "both replicas take reads", || {
        answering(&mut session(&weir), WHO, 20).len() == 2
    });
    let frozen = Frozen::new(&cluster.replicas()[0]);
    let begun = Instant::now();
    // Some of these meet the frozen one, and wait there for it.
    let readers: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn(move || {
                Session::open(address, &application(), None).and_then(|mut session| session.run(WHO.as_bytes()))
            })
        })
        .collect();
    eventually(Duration::from_secs(10), "it is out", || {
        let told = (tablets(&weir, "Rotation").swap_remove(1), tablets(&weir, "State").swap_remove(1));
        told.0.starts_with("out") || told.1 != "serves"
    });
    eprintln!("out after {:?}: {}", begun.elapsed(), tablets(&weir, "Rotation")[1]);
    assert_eq!(answering(&mut session(&weir), WHO, 40).into_keys().collect::<Vec<_>>(), ["3"]);
    drop(frozen);
    readers.into_iter().for_each(|reader| drop(reader.join().expect("no reader panicked")));
    eventually(Duration::from_secs(20), "it takes reads again", || answering(&mut session(&weir), WHO, 20).len() == 2);
}

/// A read that takes server 2 longer.
fn slow_on_2(seconds: f64, hint: &str) -> String {
    format!("SELECT /*vt+ ROLE=REPLICA {hint} */ @@server_id + SLEEP(IF(@@server_id = 2, {seconds}, 0))")
}

#[test]
fn a_replica_that_is_slow_where_the_other_is_not_is_ejected_and_tried_again() {
    let cluster = TestCluster::start(3);
    let weir = attach(&cluster, &["--ejection-time-ms", "2000", "--warm-up-ms", "0"]);
    let mut session = session(&weir);
    let slow = slow_on_2(0.15, "");
    eventually(Duration::from_secs(20), "the slow one is out", || {
        answering(&mut session, &slow, 10);
        tablets(&weir, "Rotation")[1].contains("slow")
    });
    assert_eq!(answering(&mut session, &slow, 30).into_keys().collect::<Vec<_>>(), ["3"]);
    eventually(Duration::from_secs(10), "it is tried again", || answering(&mut session, WHO, 20).len() == 2);
}

#[test]
fn the_policy_is_set_by_flag_by_variable_and_by_hint() {
    let cluster = TestCluster::start(3);
    let weir = attach(&cluster, &["--policy", "round_robin", "--ejection-time-ms", "0"]);
    let mut session = session(&weir);
    eventually(Duration::from_secs(10), "both replicas take reads", || answering(&mut session, WHO, 20).len() == 2);
    let in_turn = |session: &mut Session, read: &str| {
        let servers: Vec<String> = (0..40).map(|_| session.values(read).pop().expect("a value")).collect();
        servers.windows(2).all(|pair| pair[0] != pair[1])
    };
    assert!(in_turn(&mut session, WHO), "by flag");
    session.run(b"SET read_write_splitting_policy = 'random'").unwrap();
    assert!(!in_turn(&mut session, WHO), "by chance this happens once in 2^39 times");
    assert!(in_turn(&mut session, "SELECT /*vt+ ROLE=REPLICA POLICY=round_robin */ @@server_id"), "by hint");

    let by_random = answering(&mut session, &slow_on_2(0.02, "POLICY=random"), 60);
    let by_latency = answering(&mut session, &slow_on_2(0.02, "POLICY=least_rt"), 60);
    let on_the_slow = |servers: &BTreeMap<String, usize>| servers.get("2").copied().unwrap_or(0);
    assert!(on_the_slow(&by_random) > 15, "{by_random:?}");
    assert!(on_the_slow(&by_latency) < 8, "{by_latency:?}");
    session.run(b"SET GLOBAL read_write_splitting_policy = 'least_qps'").unwrap();
    assert_eq!(session.values("SELECT @@read_write_splitting_policy"), ["random"], "this session keeps its own");
    assert_eq!(session.values("SELECT @@global.read_write_splitting_policy"), ["least_qps"]);
    let mut later = self::session(&weir);
    assert_eq!(later.values("SELECT @@read_write_splitting_policy"), ["least_qps"]);
    let after = answering(&mut later, WHO, 60);
    assert!(on_the_slow(&after) > 40, "the one that has had fewer until now gets more: {after:?}");
}

#[test]
fn reads_stay_in_the_gateways_cell_and_follow_the_weights() {
    let cluster = TestCluster::start(4);
    let all_take_reads = |weir: &Weir| {
        eventually(Duration::from_secs(10), "the servers are known", || {
            tablets(weir, "State").iter().all(|state| state == "serves")
        });
    };
    let weighted = attach(&cluster, &["--weights", "100,300,100,0"]);
    all_take_reads(&weighted);
    let shares = answering(&mut session(&weighted), WHO, 400);
    assert!((260..=340).contains(&shares["2"]) && shares["3"] == 400 - shares["2"], "{shares:?}");

    let cells = ["--cell", "west", "--cells", "east,east,west,west", "--weights", "100,100,100,0"];
    let local = attach(&cluster, &cells);
    all_take_reads(&local);
    assert_eq!(answering(&mut session(&local), WHO, 40).into_keys().collect::<Vec<_>>(), ["3"]);
    assert_eq!(tablets(&local, "Cell"), ["east", "east", "west", "west"]);
    let frozen = Frozen::new(&cluster.replicas()[1]);
    let mut session = session(&local);
    eventually(Duration::from_secs(10), "reads leave the cell when nobody there takes them", || {
        answering(&mut session, WHO, 1).contains_key("2")
    });
    drop(frozen);
    eventually(Duration::from_secs(20), "and come back", || answering(&mut session, WHO, 10).get("3") == Some(&10));
}

/// Waves of reads that all begin at the same moment: none of them knows what the others have chosen but by what is counted when they
/// do. With chance alone one of two replicas gets more than 26 of 32 once in 5000 waves.
#[test]
fn sessions_that_choose_at_once_do_not_run_to_the_same_replica() {
    const SESSIONS: usize = 32;
    const WAVES: usize = 5;
    let cluster = TestCluster::start(3);
    let weir = attach(&cluster, &["--ejection-time-ms", "0"]);
    eventually(Duration::from_secs(10), "both replicas take reads", || {
        answering(&mut session(&weir), WHO, 20).len() == 2
    });
    for policy in ["random", "round_robin", "least_connections", "least_rt", "least_qps"] {
        let begins = Barrier::new(SESSIONS);
        let on_2: Vec<AtomicUsize> = (0..WAVES).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..SESSIONS {
                scope.spawn(|| {
                    let mut session = session(&weir);
                    let read = format!("SELECT /*vt+ POLICY={policy} */ @@server_id + SLEEP(0.1)");
                    for count in &on_2 {
                        begins.wait();
                        count.fetch_add(usize::from(session.values(&read) == ["2"]), Ordering::Relaxed);
                    }
                });
            }
        });
        let on_2: Vec<usize> = on_2.into_iter().map(AtomicUsize::into_inner).collect();
        eprintln!("{policy}: {on_2:?} of {SESSIONS} on server 2");
        assert!(on_2.iter().all(|count| (SESSIONS - 26..=26).contains(count)), "{policy}: {on_2:?}");
    }
}

#[test]
fn a_statement_is_explained_without_being_run() {
    let cluster = TestCluster::start(3);
    let weir = attach(&cluster, &["--max-replication-lag-ms", "60000"]);
    let mut session = session(&weir);
    eventually(Duration::from_secs(10), "both replicas take reads", || answering(&mut session, WHO, 20).len() == 2);
    session.run(b"CREATE DATABASE d; CREATE TABLE d.t (a INT)").unwrap();
    let mut explain = |statement: &str| {
        let answer = session.run(format!("EXPLAIN WEIR {statement}").as_bytes()).expect("an answer").remove(0);
        let Answer::Rows(rows, _) = answer else { panic!("{answer:?}") };
        let text = |row, column| String::from_utf8_lossy(rows.value(row, column).unwrap_or_default()).into_owned();
        let lines =
            (0..rows.rows.len()).map(|row| ["Subject", "Value", "Why"].map(|column| text(row, column)).join(" | "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let read = explain("SELECT * FROM d.t");
    for line in [
        "statement | SELECT | classified by `SELECT`: read only",
        "route | REPLICA | by the rule `read`",
        "consistency | SESSION | read_after_write_consistency",
        "policy | random | read_write_splitting_policy",
        "tablet | local-0000000001 | not chosen: is PRIMARY",
    ] {
        assert!(read.lines().any(|told| told == line), "{line}:\n{read}");
    }
    assert!(read.contains("position | 0-1-") && read.matches("| chosen: ").count() == 1, "{read}");
    let write = explain("INSERT INTO d.t VALUES (1)");
    assert!(write.contains("route | PRIMARY | by the rule `not-a-plain-read`"), "{write}");
    assert!(write.contains("tablet | local-0000000001 | chosen: is the primary"), "{write}");
    let hinted = explain("SELECT /*vt+ ROLE=REPLICA POLICY=least_rt CONSISTENCY=EVENTUAL */ 1");
    assert!(hinted.contains("route | REPLICA | by the rule `hint`"), "{hinted}");
    assert!(hinted.contains("policy | least_rt | by hint\n"), "{hinted}");
    assert!(explain("SHOW WEIR STATUS").contains("route | GATEWAY"));
    session.run(b"BEGIN; SELECT 1").unwrap();
    let answer = format!("{:?}", session.values("EXPLAIN WEIR SELECT 1"));
    assert!(answer.contains("the open transaction"), "{answer}");
    assert_eq!(session.values("SELECT COUNT(*) FROM d.t"), ["0"], "nothing has been run");
}
