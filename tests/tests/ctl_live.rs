//! `weir ctl` with processes of their own: it finds them in the topology, changes what it is told to, and says what is wrong.

use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use weir_core::orch::durability::Policy;
use weir_core::orch::rebuild::Errant;
use weir_core::orch::recovery::Cohort;
use weir_core::topo::TabletAlias;
use weir_io::orch::{Driver, Setup, Topology, Wishes};
use weir_io::recorder::Recorder;
use weir_tests::{Deployment, EtcdCluster, Part, Session, Weir, application, eventually, run_program};

const HEALED_MAX: Duration = Duration::from_secs(60);

struct Operator {
    target: [String; 2],
}

impl Operator {
    fn of_etcd(urls: &str) -> Self {
        Self { target: ["--etcd".to_owned(), urls.to_owned()] }
    }

    fn asks(&self, what: &[&str]) -> Result<String, String> {
        Weir::ctl(&[what, &self.target.each_ref().map(String::as_str)].concat())
    }

    /// What `weir top` writes on a terminal until q is pressed, and its exit code.
    fn watches(&self) -> (String, Option<i32>) {
        let [flag, value] = &self.target;
        let top = format!("stty cols 120 rows 40; exec {} top {flag} {value}", Weir::program().display());
        let mut script = Command::new("timeout")
            .args(["60", "script", "--quiet", "--flush", "--return", "--command", &top, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is a part of Debian");
        let (mut keys, mut screen) = (script.stdin.take().expect("piped"), script.stdout.take().expect("piped"));
        let (mut written, mut buffer) = (Vec::new(), [0; 4096]);
        let mut is_told = false;
        loop {
            match screen.read(&mut buffer).expect("what it writes") {
                0 => break,
                bytes => written.extend_from_slice(&buffer[..bytes]),
            }
            // Once there is something in it; whatever changes then, only that is drawn again.
            let shown = String::from_utf8_lossy(&written);
            if !is_told && shown.contains("PRIMARY") && shown.contains("local-") && shown.contains("Gateways") {
                is_told = true;
                keys.write_all(b"q").expect("a key");
            }
        }
        let status = script.wait().expect("it ends");
        (String::from_utf8_lossy(&written).into_owned(), status.code())
    }

    /// Asks again while it cannot be had: a planned change is declined when a tablet was not heard in time, and on a busy machine a process may
    /// not answer.
    fn gets(&self, what: &[&str]) -> String {
        let mut said = String::new();
        eventually(HEALED_MAX, &format!("weir ctl {what:?}"), || {
            let asked = self.asks(what).inspect_err(|why| eprintln!("{what:?}: {why}"));
            asked.is_ok_and(|told| {
                said = told;
                true
            })
        });
        said
    }

    fn json(&self, what: &[&str]) -> Value {
        let said = self.gets(&[what, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{what:?}: {error}: {said}"))
    }

    fn primary(&self) -> Option<String> {
        self.json(&["topology"])["primary"].as_str().map(str::to_owned)
    }

    /// Which orchestrator acts.
    fn holder(&self) -> Option<usize> {
        let topology = self.json(&["topology"]);
        let holds: Vec<_> = list(&topology["orchestrators"]).iter().filter(|it| it["holds_lock"] == true).collect();
        assert!(holds.len() <= 1, "{topology}");
        let name = holds.first()?["name"].as_str()?;
        name.strip_prefix("orchestrator-")?.parse().ok()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn names<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    list(value).iter().map(|it| it[field].as_str().unwrap_or_else(|| panic!("no {field}: {it}"))).collect()
}

#[test]
fn what_processes_do_is_seen_and_changed_from_outside() {
    let mut deployment = Deployment::several();
    let operator = Operator::of_etcd(&deployment.etcd());
    eventually(HEALED_MAX, "somebody holds the lock", || operator.holder().is_some() && operator.primary().is_some());
    who_is_there(&operator);
    it_is_watched_in_a_terminal(&operator);
    variables_are_set_for_all_gateways(&deployment, &operator);
    the_primary_is_changed(&operator);
    the_policy_is_changed(&deployment, &operator);
    a_tablet_goes_out_of_service_and_comes_back(&operator);
    deployment.wait_until_healed();
    sessions_are_seen_and_ended(&deployment, &operator);
    the_next_orchestrator_obeys(&mut deployment, &operator);
}

fn who_is_there(operator: &Operator) {
    let topology = operator.json(&["topology"]);
    assert_eq!(topology["shard"], "shop/0");
    assert_eq!(names(&topology["gateways"], "name"), ["gateway-0", "gateway-1"]);
    assert_eq!(names(&topology["orchestrators"], "name"), ["orchestrator-0", "orchestrator-1"]);
    let all = ["local-0000000001", "local-0000000002", "local-0000000003"];
    assert_eq!(names(&topology["tablets"], "tablet"), all);
    assert!(list(&topology["tablets"]).iter().all(|tablet| tablet["runs"] == true), "{topology}");
    let tablets = operator.json(&["tablets"]);
    let roles = names(&tablets["tablets"], "role");
    assert_eq!(roles.iter().filter(|role| **role == "PRIMARY").count(), 1, "{tablets}");
    let pools = operator.json(&["pools"]);
    assert_eq!(names(&pools["pools"], "tablet"), all);
    let config = operator.json(&["config"]);
    assert_eq!(names(&config["gateways"], "gateway"), ["gateway-0", "gateway-1"]);
    assert_eq!(list(&config["gateways"])[1]["variables"]["read_after_write_consistency"], "SESSION");
    assert_eq!(list(&config["gateways"])[1]["set"], Value::Array(Vec::new()));
    let policy = operator.json(&["policy"]);
    assert_eq!((&policy["durability"], &policy["acknowledgements"]), (&"semi_sync".into(), &1.into()));
    assert_eq!(list(&policy["cohort"]).len(), 3);
    assert_eq!(operator.json(&["quarantine"])["quarantined"], Value::Array(Vec::new()));
    let table = operator.gets(&["topology"]);
    assert!(
        table.contains("gateway-1") && table.contains("holds lock: yes") && table.contains("primary in term"),
        "{table}"
    );
}

/// What a gateway says of its variables: a value, and which of all were set for all.
fn configured(operator: &Operator, gateway: usize, name: &str) -> (Value, Value) {
    let config = operator.json(&["config"]);
    let gateway = &list(&config["gateways"])[gateway];
    (gateway["variables"][name].clone(), gateway["set"].clone())
}

fn variables_are_set_for_all_gateways(deployment: &Deployment, operator: &Operator) {
    let (ratio, reads) = ("read_write_split_ratio", "monotonic_reads");
    let said = operator.json(&["config", "--set", "read_write_split_ratio=7", "--set", "MONOTONIC_READS=on"]);
    assert!(said["done"].as_str().is_some_and(|done| done.contains("read_write_split_ratio = 7")), "{said}");
    let both = Value::from(vec![reads, ratio]);
    for gateway in [0, 1] {
        let holds = || configured(operator, gateway, ratio) == ("7".into(), both.clone());
        eventually(HEALED_MAX, "every gateway hears of it", holds);
        assert_eq!(deployment.query(gateway, "SELECT @@GLOBAL.read_write_split_ratio, @@monotonic_reads"), "7\t1");
    }
    for wrong in ["read_write_split_ratio=101", "no_such_variable=1"] {
        let refused = operator.asks(&["config", "--set", "monotonic_reads=0", "--set", wrong]).unwrap_err();
        let (name, value) = wrong.split_once('=').expect("an assignment");
        let why = format!("Variable '{name}' can't be set to the value of '{value}'");
        assert!(refused.contains(&why), "the rule is SET GLOBAL's: {refused}");
    }
    assert_eq!(configured(operator, 0, reads), ("1".into(), both.clone()), "one wrong value keeps the others out");
    // What a client has set is taken out here, and the other way round.
    deployment.query(1, "SET GLOBAL monotonic_reads = DEFAULT");
    operator.gets(&["config", "--reset", ratio]);
    for gateway in [0, 1] {
        let holds = || configured(operator, gateway, ratio) == ("100".into(), Value::Array(Vec::new()));
        eventually(HEALED_MAX, "what is configured holds again", holds);
    }
    let table = operator.gets(&["config"]);
    assert!(table.contains("read_write_split_ratio") && !table.contains("SET GLOBAL"), "{table}");
}

fn it_is_watched_in_a_terminal(operator: &Operator) {
    let (written, code) = operator.watches();
    assert_eq!(code, Some(0), "{written}");
    let (begun, ended) = (written.find("\u{1b}[?1049h"), written.rfind("\u{1b}[?1049l"));
    assert!(begun.is_some() && begun < ended, "the terminal is as it was before: {written}");
}

fn the_primary_is_changed(operator: &Operator) {
    let to = if operator.primary().as_deref() == Some("local-0000000002") { "local-3" } else { "local-2" };
    let said = operator.json(&["reparent", "--to", to]);
    let name = said["tablet"].as_str().expect("a name");
    assert!(name.starts_with(&to[..6]) && said["term"].as_u64() >= Some(2), "{said}");
    assert_eq!(operator.primary().as_deref(), Some(name));
    let unknown = operator.asks(&["reparent", "--to", "local-7"]).unwrap_err();
    assert!(unknown.contains("there is no tablet local-0000000007: they are local-0000000001"), "{unknown}");
}

fn the_policy_is_changed(deployment: &Deployment, operator: &Operator) {
    let primary = operator.primary();
    let term = || operator.json(&["topology"])["term"].as_u64().expect("a term");
    // What the primary's server itself does.
    let waits = || deployment.query(0, "/*vt+ ROLE=PRIMARY */ SELECT @@GLOBAL.rpl_semi_sync_master_enabled");
    assert_eq!(waits(), "1");
    for (durability, acknowledgements, enabled) in [("none", 0, "0"), ("semi_sync", 1, "1")] {
        let before = term();
        // Where nobody has to acknowledge, replicas may follow only after the term has begun.
        let said = operator.json(&["policy", "--durability", durability]);
        assert!(said["term"].as_u64() > Some(before), "{said}");
        eventually(HEALED_MAX, "it is written down", || {
            let policy = operator.json(&["policy"]);
            policy["durability"] == durability && policy["acknowledgements"] == acknowledgements
        });
        assert_eq!(operator.primary(), primary, "the same tablet is primary");
        assert_eq!(waits(), enabled);
        let again = operator.json(&["policy", "--durability", durability]);
        assert_eq!(again["term"], said["term"], "what is so already needs no new term");
    }
}

fn a_tablet_goes_out_of_service_and_comes_back(operator: &Operator) {
    let primary = operator.primary().expect("a primary");
    let said = operator.gets(&["drain", &primary]);
    assert!(said.contains("is primary in term") && said.contains("its server may be stopped"), "{said}");
    assert_ne!(operator.primary(), Some(primary.clone()));
    assert_eq!(operator.json(&["topology"])["drained"], Value::Array(vec![primary.as_str().into()]));
    let refused = operator.asks(&["reparent", "--to", &primary]).unwrap_err();
    assert!(refused.contains("is out of service"), "{refused}");
    let said = operator.gets(&["undrain", &primary]);
    assert!(said.contains("is in service again"), "{said}");
    for verb in ["drain", "undrain"] {
        let unknown = operator.asks(&[verb, "local-7"]).unwrap_err();
        assert!(unknown.contains("there is no tablet local-0000000007"), "{verb}: {unknown}");
    }
    let unasked = operator.asks(&["rebuild", &primary]).unwrap_err();
    assert!(unasked.contains("--yes"), "{unasked}");
}

fn connection_id(client: &mut Session) -> u32 {
    client.values("SELECT CONNECTION_ID()").remove(0).parse().expect("a number")
}

fn sessions_are_seen_and_ended(deployment: &Deployment, operator: &Operator) {
    let open = |gateway| Session::open(deployment.gateway(gateway), &application(), None).expect("a session");
    let mut clients = [open(0), open(1)];
    let ids = clients.each_mut().map(connection_id);
    let id = ids.map(|id| id.to_string());
    let seen = |gateway: usize| {
        let sessions = operator.json(&["sessions"]);
        let is_it = |it: &&Value| it["gateway"] == format!("gateway-{gateway}") && it["id"] == ids[gateway];
        list(&sessions["sessions"]).iter().filter(is_it).map(|it| it["user"].clone()).collect::<Vec<_>>()
    };
    for gateway in [0, 1] {
        assert_eq!(seen(gateway), [application().user.as_str()]);
    }
    let said = operator.asks(&["kill", &id[1], "--gateway", "gateway-1"]).expect("it is ended");
    assert!(said.contains("of gateway gateway-1 was ended"), "{said}");
    assert!(clients[1].run(b"SELECT 1").is_err(), "its connection is gone");
    assert_eq!(clients[0].values("SELECT 7"), ["7"], "the other's is not");
    assert_eq!((seen(0).len(), seen(1).len()), (1, 0));
    let gone = operator.asks(&["kill", &id[1], "--gateway", "gateway-1"]).unwrap_err();
    assert!(gone.contains(&format!("there is no session {}", ids[1])), "{gone}");
    let unknown = operator.asks(&["kill", &id[0], "--gateway", "gateway-7"]).unwrap_err();
    assert!(unknown.contains("there is no gateway gateway-7: they are gateway-0, gateway-1"), "{unknown}");
    let unknown = operator.asks(&["kill", "4000000000"]).unwrap_err();
    assert!(unknown.contains("there is no session 4000000000"), "{unknown}");
}

fn the_next_orchestrator_obeys(deployment: &mut Deployment, operator: &Operator) {
    let holder = operator.holder().expect("somebody holds the lock");
    let primary = operator.primary();
    deployment.kill_and_restart(Part::Orchestrator(holder));
    let to = if primary.as_deref() == Some("local-0000000001") { "local-3" } else { "local-1" };
    // Whoever takes the lock next is waited for, and may have to hear its tablets first.
    operator.gets(&["reparent", "--to", to]);
    // As long as the topology shows where the one was that was killed, not all can be asked.
    operator.gets(&["topology"]);
    assert_ne!(operator.primary(), primary);
}

#[test]
fn weir_up_is_asked_the_same_by_its_data_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("text");
    let weir = Weir::up(&["--data-dir", path, "--servers", "2"]);
    let operator = Operator { target: ["--data-dir".to_owned(), path.to_owned()] };
    eventually(HEALED_MAX, "there is a primary", || operator.primary().is_some());
    let topology = operator.json(&["topology"]);
    assert_eq!(topology["shard"], "default/0");
    assert_eq!(names(&topology["tablets"], "tablet"), ["local-0000000001", "local-0000000002"]);
    assert_eq!(names(&topology["gateways"], "mysql"), [weir.address().to_string()]);
    assert_eq!(operator.json(&["policy"])["durability"], "semi_sync");
    operator.gets(&["config", "--set", "read_write_split_ratio=7"]);
    assert_eq!(configured(&operator, 0, "read_write_split_ratio").0, "7");
    assert_eq!(weir.query("SELECT @@GLOBAL.read_write_split_ratio").expect("shown").trim(), "7");
    let mut client = Session::open(weir.address(), &application(), None).expect("a session");
    let id = connection_id(&mut client);
    let sessions = operator.json(&["sessions"]);
    let seen = list(&sessions["sessions"]).iter().find(|it| it["id"] == id);
    assert_eq!(seen.expect("the client")["command"], "Sleep");
    operator.asks(&["kill", &id.to_string()]).expect("it is ended");
    assert!(client.run(b"SELECT 1").is_err(), "its connection is gone");
    it_is_watched_in_a_terminal(&operator);
    operator.gets(&["policy", "--durability", "none"]);
    eventually(HEALED_MAX, "it is written down", || operator.json(&["policy"])["durability"] == "none");
}

/// One server alone can have no write acknowledged by another.
#[test]
fn a_policy_that_would_stop_the_shard_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("text");
    let _weir = Weir::up(&["--data-dir", path, "--servers", "1"]);
    let operator = Operator { target: ["--data-dir".to_owned(), path.to_owned()] };
    eventually(HEALED_MAX, "there is a primary", || operator.primary().is_some());
    let refused = operator.asks(&["policy", "--durability", "semi_sync"]).unwrap_err();
    assert!(refused.contains("0 replicas receive from the primary, and 1 must acknowledge"), "{refused}");
    assert_eq!(operator.json(&["policy"])["durability"], "none");
}

#[tokio::test]
async fn an_orchestrator_without_the_lock_refuses_at_once() {
    // A topology that does not answer.
    let (asks, _unanswered) = mpsc::channel(64);
    let (_answers, answered) = mpsc::channel(1);
    let topology = Topology { asks, answers: answered, entry: watch::channel(None).1 };
    let (answers, said) = mpsc::channel(1);
    let (wishes_in, wishes) = mpsc::channel(1);
    let tablet: TabletAlias = "local-1".parse().expect("an alias");
    let cohort = Cohort { tablets: [tablet.clone()].into(), policy: Policy::None, promotion: [].into() };
    let (errant, drain_time, tablets) = (Errant::Quarantine, Duration::from_secs(1), [].into());
    let setup =
        Setup { cohort, errant, topology, tablets, answers, said, wishes, drain_time, recorder: Recorder::none() };
    let driver = tokio::spawn(Driver::new(setup).run());
    let wishes = Wishes::new(wishes_in);
    let asked = async {
        let refused = [
            wishes.reparent(tablet.clone()).await.map(|_| ()),
            wishes.rebuild(tablet.clone()).await,
            wishes.drain(tablet.clone(), true).await,
            wishes.change_policy(Policy::SemiSync { acks: 1 }).await.map(|_| ()),
            wishes.successor(tablet.clone()).await.map(|_| ()),
        ];
        for why in refused.map(Result::unwrap_err) {
            assert!(why.contains("does not hold the shard's lock"), "{why}");
        }
        assert!(!wishes.report().await.expect("how it is").in_charge);
    };
    tokio::time::timeout(Duration::from_secs(5), asked).await.expect("at once");
    driver.abort();
}

#[test]
fn what_is_not_there_is_named() {
    let etcd = EtcdCluster::start(1);
    let operator = Operator::of_etcd(&etcd.urls().join(","));
    let said = operator.asks(&["topology"]).unwrap_err();
    assert!(said.contains("the topology knows no shard"), "{said}");
    let of_shop = |what: &[&str]| operator.asks(&[what, &["--shard", "shop/0"]].concat()).unwrap_err();
    let said = of_shop(&["reparent", "--to", "local-1"]);
    assert!(said.contains("no orchestrator of shop/0 runs"), "{said}");
    let said = of_shop(&["sessions"]);
    assert!(said.contains("no gateway of shop/0 runs"), "{said}");
    let nowhere = Operator::of_etcd("http://127.0.0.1:1");
    let said = nowhere.asks(&["tablets"]).unwrap_err();
    assert!(said.contains("the topology is not reached") && said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    for (arguments, said) in [
        (&["ctl", "reparent", "--to", "nobody"][..], "a tablet alias: cell-number"),
        (&["ctl", "kill", "all"], "invalid digit"),
        (&["ctl", "config", "--set", "monotonic_reads"], "NAME=VALUE is wanted"),
        (&["ctl", "policy", "--durability", "cross_cell"], "possible values: none, semi_sync"),
        (&["ctl", "tablets", "--grpc-key", "k"], "--grpc-cert"),
    ] {
        let (code, error) = run_program("weir", arguments, Duration::from_secs(10));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
