//! What is counted of real servers is what was done to them: exact numbers of known statements, a full pool and a failover; and each
//! kind of process tells of all that the catalogue says of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use weir_core::mysql::resultset::Answer;
use weir_io::metrics::{Metric, Program};
use weir_io::servers::Account;
use weir_tests::http::{get, told_at};
use weir_tests::{Deployment, Exposition, Part, Session, Weir, application, eventually};

/// How long a statement waits for a connection of a full pool.
const WAIT_TIME: Duration = Duration::from_millis(500);
/// Whatever is under way has ended by then, however busy the machine.
const LIMIT: Duration = Duration::from_secs(60);
/// In a statement, and nowhere else.
const NEEDLE: &str = "n33dle";

fn text(at: SocketAddr) -> String {
    let (status, text) = get(at, "/metrics").expect("an answer");
    assert_eq!(status, 200, "{text}");
    text
}

fn scrape(at: SocketAddr) -> Exposition {
    let text = text(at);
    Exposition::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// How much more there is of something than there was.
struct Moved<'a>(&'a Exposition, &'a Exposition);

impl Moved<'_> {
    fn by(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.1.sum(name, labels) - self.0.sum(name, labels)
    }

    /// So many statements of this class have ended: where they were to run, where they ran, and how they ended.
    #[track_caller]
    fn statements(&self, class: &str, plan: &str, role: &str, result: &str, expected: u32) {
        let labels = [("class", class), ("plan", plan), ("role", role), ("result", result)];
        let moved = self.by("weir_gateway_statements_total", &labels);
        assert_eq!(moved, f64::from(expected), "{labels:?}: {:?}", self.ended());
    }

    fn ended(&self) -> Vec<String> {
        let all = self.1.series().filter(|((name, _), _)| name == "weir_gateway_statements_total");
        all.map(|((_, labels), value)| format!("{:?} {value}", labels.values().collect::<Vec<_>>())).collect()
    }
}

fn open(weir: &Weir) -> Session {
    Session::open(weir.address(), &application(), None).expect("a session")
}

/// The number of its error; `None` when it succeeded.
fn run(session: &mut Session, sql: &str) -> Option<u16> {
    let answers = session.run(sql.as_bytes()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    answers.iter().find_map(|answer| if let Answer::Err(error) = answer { Some(error.code) } else { None })
}

fn succeed(session: &mut Session, statements: &[&str]) {
    for sql in statements {
        assert_eq!(run(session, sql), None, "{sql}");
    }
}

/// A program has what the catalogue says, and nothing else; these it has only when there is something to tell.
fn assert_all_of(page: &Exposition, program: Program, perhaps: &[Metric]) {
    let of_program = |metric: &&Metric| metric.about().programs.contains(&program);
    let said: BTreeSet<_> = Metric::ALL.iter().filter(of_program).map(|metric| metric.about().name).collect();
    let there: BTreeSet<_> = page.families().keys().map(String::as_str).collect();
    let perhaps: BTreeSet<_> = perhaps.iter().map(|metric| metric.about().name).collect();
    let missing: Vec<_> = said.difference(&there).filter(|name| !perhaps.contains(*name)).collect();
    let more: Vec<_> = there.difference(&said).collect();
    assert!(missing.is_empty() && more.is_empty(), "{program:?} has no {missing:?}, and has {more:?}");
    for about in Metric::ALL.iter().map(|metric| metric.about()).filter(|about| there.contains(about.name)) {
        assert_eq!(page.families()[about.name], about.kind.name(), "{}", about.name);
    }
}

/// `weir up` with three servers, each with two connections for clients.
fn up(data: &Path) -> (Weir, SocketAddr) {
    let wait_ms = WAIT_TIME.as_millis().to_string();
    let own = ["--servers", "3", "--data-dir", data.to_str().expect("text"), "--health-listen", "127.0.0.1:0"];
    let pool = ["--pool-size", "3", "--wait-queue", "1", "--wait-time-ms", &wait_ms];
    // Reads must not fall back because this machine is busy.
    let patience = ["--read-after-write-timeout-ms", "20000"];
    let weir = Weir::up(&[&own[..], &pool[..], &patience[..]].concat());
    let at = told_at(&weir.output());
    (weir, at)
}

/// The one of this role, by name.
fn tablet_that_is(page: &Exposition, role: &str) -> Option<String> {
    let mut all = page.series().filter(|((name, labels), value)| {
        name == "weir_tablet_role" && labels.get("role").is_some_and(|own| own == role) && *value == 1.0
    });
    all.next().map(|((_, labels), _)| labels["tablet"].clone())
}

#[test]
fn what_was_done_is_what_is_counted() {
    let dir = TempDir::with_prefix("weir-").expect("a temporary directory");
    let data = dir.path().join("data");
    let (mut weir, at) = up(&data);
    eventually(LIMIT, "the first term is settled, and both replicas serve", || {
        let page = scrape(at);
        page.sum("weir_orch_recoveries_total", &[("outcome", "settled")]) == 1.0
            && page.sum("weir_tablet_serving", &[]) == 3.0
            && page.sum("weir_tablet_role", &[("role", "REPLICA")]) == 2.0
    });
    statements(&weir, at);
    a_pin_and_a_transaction(&weir, at);
    a_full_pool(&weir, at);
    clients(&weir, at);
    a_failover(&weir, at, &data);
    let page = text(at);
    let password = application().password;
    for secret in [NEEDLE, "SELECT", "INSERT", "\"app\"", &password] {
        assert!(!page.contains(secret), "{secret}\n{page}");
    }
    eventually(LIMIT, "all of it is there", || {
        scrape(at).families().contains_key("weir_tablet_replication_lag_seconds")
    });
    assert_all_of(&scrape(at), Program::Up, &[]);
    weir.assert_unharmed();
}

fn statements(weir: &Weir, at: SocketAddr) {
    let before = scrape(at);
    assert_eq!(before.sum("weir_gateway_statements_total", &[]), 0.0, "nobody has said anything yet");
    let mut session = open(weir);
    succeed(&mut session, &["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, note VARCHAR(20))"]);
    for id in 1..=3 {
        succeed(&mut session, &[&format!("INSERT INTO d.t VALUES ({id}, '{NEEDLE}')")]);
    }
    assert_eq!(run(&mut session, "INSERT INTO d.t VALUES (1, '')"), Some(1062));
    for _ in 0..5 {
        assert_eq!(session.values("SELECT COUNT(*) FROM d.t"), ["3"]);
    }
    assert_eq!(session.values("/*vt+ ROLE=PRIMARY */ SELECT COUNT(*) FROM d.t"), ["3"]);
    let mut fresh = open(weir);
    succeed(&mut fresh, &["SET read_after_write_consistency = 'EVENTUAL'", "SELECT 1"]);
    assert_eq!(run(&mut fresh, "SET read_after_write_consistency = 'nonsense'"), Some(1231));
    let after = scrape(at);
    let moved = Moved(&before, &after);
    moved.statements("write", "primary", "PRIMARY", "ok", 5);
    moved.statements("write", "primary", "PRIMARY", "server_error", 1);
    moved.statements("read", "replica", "REPLICA", "ok", 6);
    moved.statements("read", "primary", "PRIMARY", "ok", 1);
    moved.statements("session", "local", "none", "ok", 1);
    moved.statements("session", "local", "none", "refused", 1);
    assert_eq!(moved.by("weir_gateway_statements_total", &[]), 15.0, "{:?}", moved.ended());
    assert_eq!(moved.by("weir_gateway_statement_seconds_count", &[]), 15.0, "each took its time");
    assert_eq!(moved.by("weir_gateway_statement_seconds_count", &[("role", "PRIMARY")]), 7.0);
    assert_eq!(moved.by("weir_gateway_server_seconds_count", &[]), 13.0, "but for the two that the gateway answered");
    assert_eq!(moved.by("weir_gateway_pool_wait_seconds_count", &[]), 13.0);
    let slept = moved.by("weir_gateway_server_seconds_sum", &[]);
    assert!(slept > 0.0 && slept <= moved.by("weir_gateway_statement_seconds_sum", &[]), "{slept} s");
    let reads =
        |outcome| moved.by("weir_gateway_consistency_reads_total", &[("level", "SESSION"), ("outcome", outcome)]);
    assert_eq!((reads("hit") + reads("waited"), reads("fallback")), (5.0, 0.0));
    let eventual = [("level", "EVENTUAL"), ("outcome", "unneeded")];
    assert_eq!(moved.by("weir_gateway_consistency_reads_total", &eventual), 1.0);
    assert_eq!(moved.by("weir_gateway_consistency_wait_seconds_count", &[("level", "SESSION")]), 5.0);
    // What was granted at once, after a wait, or again.
    let granted: f64 = ["preferred", "same_settings", "other_settings", "waited"]
        .map(|outcome| moved.by("weir_pool_requests_total", &[("outcome", outcome)]))
        .iter()
        .sum();
    assert_eq!(granted, 13.0);
}

fn a_pin_and_a_transaction(weir: &Weir, at: SocketAddr) {
    let before = scrape(at);
    let mut session = open(weir);
    succeed(&mut session, &["CREATE TEMPORARY TABLE d.x (a INT)", "SELECT a FROM d.x"]);
    let mut other = open(weir);
    succeed(&mut other, &["BEGIN", "INSERT INTO d.t VALUES (4, '')", "COMMIT"]);
    let after = scrape(at);
    let moved = Moved(&before, &after);
    assert_eq!(moved.by("weir_gateway_pins_total", &[("cause", "TEMPORARY_TABLE")]), 1.0);
    assert_eq!(moved.by("weir_gateway_pins_total", &[]), 1.0, "a transaction is no pin");
    moved.statements("read", "kept", "PRIMARY", "ok", 1);
    moved.statements("write", "kept", "PRIMARY", "ok", 1);
    moved.statements("write", "primary", "PRIMARY", "ok", 1);
    moved.statements("transaction", "primary", "PRIMARY", "ok", 1);
    moved.statements("transaction", "kept", "PRIMARY", "ok", 1);
    assert_eq!(moved.by("weir_gateway_statements_total", &[]), 5.0, "{:?}", moved.ended());
    let leased = after.sum("weir_pool_connections", &[("state", "busy")]);
    assert_eq!(leased, 1.0, "the temporary table's");
}

fn a_full_pool(weir: &Weir, at: SocketAddr) {
    eventually(LIMIT, "nobody has a connection", || {
        scrape(at).sum("weir_pool_connections", &[("state", "busy")]) == 0.0
    });
    let mut holders = [open(weir), open(weir)];
    for (holder, id) in holders.iter_mut().zip(10..) {
        succeed(holder, &["BEGIN", &format!("INSERT INTO d.t VALUES ({id}, '')")]);
    }
    let before = scrape(at);
    let primary = tablet_that_is(&before, "PRIMARY").expect("a primary");
    let of_primary = ("tablet", primary.as_str());
    assert_eq!(before.value("weir_pool_connections_max", &[of_primary]), 2.0);
    assert_eq!(before.value("weir_pool_connections", &[of_primary, ("state", "busy")]), 2.0);
    let mut late = open(weir);
    assert_eq!(run(&mut late, "INSERT INTO d.t VALUES (12, '')"), Some(1041));
    let after = scrape(at);
    let moved = Moved(&before, &after);
    moved.statements("write", "primary", "none", "busy", 1);
    assert_eq!(moved.by("weir_pool_requests_total", &[of_primary, ("outcome", "timed_out")]), 1.0);
    let waited = moved.by("weir_gateway_pool_wait_seconds_sum", &[]);
    assert!(waited >= WAIT_TIME.as_secs_f64() * 0.9, "{waited} s");
    assert_eq!(moved.by("weir_gateway_pool_wait_seconds_bucket", &[("le", "0.1")]), 0.0, "nobody got one sooner");
    for mut holder in holders {
        succeed(&mut holder, &["ROLLBACK"]);
    }
}

fn clients(weir: &Weir, at: SocketAddr) {
    eventually(LIMIT, "nobody is connected", || scrape(at).value("weir_gateway_clients", &[]) == 0.0);
    let before = scrape(at);
    let (session, wrong) = (open(weir), Account::new(application().user, "wrong"));
    Session::open(weir.address(), &wrong, None).expect_err("a wrong password");
    eventually(LIMIT, "the refused one is gone", || scrape(at).value("weir_gateway_clients", &[]) == 1.0);
    let mut asking = open(weir);
    let status = asking.values("SHOW WEIR STATUS");
    let after = scrape(at);
    let moved = Moved(&before, &after);
    assert_eq!(moved.by("weir_gateway_clients_accepted_total", &[]), 3.0);
    assert_eq!(moved.by("weir_gateway_clients_refused_total", &[("cause", "login")]), 1.0);
    assert_eq!(moved.by("weir_gateway_clients_refused_total", &[]), 1.0);
    let shown = |name: &str| status.iter().skip_while(|text| *text != name).nth(1).cloned();
    for (name, metric) in [
        ("Clients_accepted", "weir_gateway_clients_accepted_total"),
        ("Clients_refused", "weir_gateway_clients_refused_total"),
        ("Client_connections", "weir_gateway_clients"),
    ] {
        assert_eq!(shown(name), Some(after.sum(metric, &[]).to_string()), "{name}: it is the same number");
    }
    drop((session, asking));
    eventually(LIMIT, "both are counted as gone", || {
        let page = scrape(at);
        Moved(&before, &page).by("weir_gateway_sessions_ended_total", &[("reason", "client_gone")]) == 2.0
    });
}

fn a_failover(weir: &Weir, at: SocketAddr, data: &Path) {
    let mut session = open(weir);
    let before = scrape(at);
    let primary = tablet_that_is(&before, "PRIMARY").expect("a primary");
    let number = primary.rsplit('-').next().and_then(|number| number.parse::<u32>().ok()).expect("a number");
    let pid = std::fs::read_to_string(data.join(format!("server-{number}/mariadbd.pid"))).expect("its process id");
    let pid = nix::unistd::Pid::from_raw(pid.trim().parse().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    eventually(LIMIT, "its death is noticed", || {
        let page = scrape(at);
        page.value("weir_tablet_serving", &[("tablet", &primary)]) == 0.0
    });
    succeed(&mut session, &["INSERT INTO d.t VALUES (20, '')"]);
    eventually(LIMIT, "the change is settled", || {
        let page = scrape(at);
        Moved(&before, &page).by("weir_orch_recoveries_total", &[("outcome", "settled")]) == 1.0
    });
    let after = scrape(at);
    let moved = Moved(&before, &after);
    moved.statements("write", "primary", "PRIMARY", "ok", 1);
    let changes = after.series().filter(|((name, labels), _)| {
        name == "weir_orch_recoveries_total" && labels["analysis"].starts_with("DeadPrimary")
    });
    let changes: Vec<_> = changes.map(|((_, labels), value)| (labels["outcome"].as_str(), value)).collect();
    assert_eq!(changes, [("settled", 1.0)]);
    assert_eq!(moved.by("weir_orch_recovery_seconds_count", &[]), 1.0);
    let took = moved.by("weir_orch_recovery_seconds_sum", &[]);
    assert!(took > 0.0 && took < LIMIT.as_secs_f64(), "{took} s");
    assert_eq!((moved.by("weir_orch_term", &[]), after.value("weir_orch_in_charge", &[])), (1.0, 1.0));
    let buffered = |event| moved.by("weir_gateway_buffered_statements_total", &[("event", event)]);
    assert_eq!((buffered("held"), buffered("timed_out")), (buffered("resumed"), 0.0), "it waited, if it had to");
    let successor = tablet_that_is(&after, "PRIMARY").expect("a primary");
    assert_ne!(successor, primary);
    assert_eq!(
        after.value("weir_tablet_term", &[("tablet", &successor)]),
        before.value("weir_tablet_term", &[("tablet", &primary)]) + 1.0
    );
    assert!(after.sum("weir_orch_problems_found_total", &[]) > before.sum("weir_orch_problems_found_total", &[]));
}

#[test]
fn every_kind_of_process_tells_all_that_is_said_of_it() {
    let mut deployment = Deployment::small_with(&["--health-listen", "127.0.0.1:0"]);
    let [gateway, orchestrator, tablet] = deployment.outputs().map(|output| told_at(&output));
    eventually(LIMIT, "the first term is settled", || {
        scrape(orchestrator).sum("weir_orch_recoveries_total", &[("outcome", "settled")]) == 1.0
    });
    let before = scrape(gateway);
    let mut session = Session::open(deployment.gateway(0), &application(), None).expect("a session");
    succeed(&mut session, &["CREATE DATABASE d", "CREATE TABLE d.t (a INT)", "INSERT INTO d.t VALUES (1)"]);
    let pages = [gateway, orchestrator, tablet].map(scrape);
    let programs = [Program::Gateway, Program::Orchestrator, Program::Tablet];
    for (page, program) in pages.iter().zip(programs) {
        // A primary without replicas is behind nobody.
        assert_all_of(page, program, &[Metric::TabletLag]);
        let info = [("program", program.name()), ("shard", "shop/0")];
        assert_eq!(page.sum("weir_info", &info), 1.0, "{program:?}");
        assert_eq!(page.value("weir_topology_connected", &[]), 1.0, "{program:?}");
        assert!(page.value("process_resident_memory_bytes", &[]) > 1e6, "{program:?}");
    }
    let [front, judge, owner] = &pages;
    Moved(&before, front).statements("write", "primary", "PRIMARY", "ok", 3);
    assert_eq!((judge.value("weir_orch_in_charge", &[]), judge.value("weir_orch_term", &[])), (1.0, 1.0));
    let alias = "local-0000000001";
    for page in [front, owner] {
        assert_eq!(page.value("weir_tablet_role", &[("tablet", alias), ("role", "PRIMARY")]), 1.0);
        assert_eq!(page.value("weir_tablet_serving", &[("tablet", alias)]), 1.0);
        assert_eq!(page.value("weir_tablet_term", &[("tablet", alias)]), 1.0);
    }
    assert!(owner.sum("weir_pool_requests_total", &[]) >= 3.0);
    assert!(owner.sum("weir_pool_connections", &[]) >= 1.0);
    deployment.kill_process(Part::Etcd(0));
    for at in [gateway, orchestrator, tablet] {
        eventually(LIMIT, "the topology is missed", || {
            let page = scrape(at);
            page.value("weir_topology_connected", &[]) == 0.0 && page.value("weir_topology_losses_total", &[]) >= 1.0
        });
    }
    assert_eq!(scrape(gateway).value("weir_gateway_clients", &[]), 1.0, "it goes on");
}
