//! The web console of a `weir up` and of processes of their own: who gets in, what is shown, and what is done.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use weir_tests::http::{Said, ask};
use weir_tests::source::checkout;
use weir_tests::{Deployment, Weir, eventually, run_program};

const PASSWORD: &str = "open sesame, please";
const HEALED_MAX: Duration = Duration::from_secs(60);

/// A browser that has logged in, or not yet.
struct Browser {
    at: SocketAddr,
    cookie: Option<String>,
    csrf: String,
}

fn password_file(dir: &Path, mode: u32) -> PathBuf {
    let file = dir.join("console.password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("its mode");
    file
}

/// Where a process says that its console is.
fn console_of(output: &str) -> SocketAddr {
    let line = output.lines().find_map(|line| line.strip_prefix("weir: the console is at http://"));
    line.and_then(|at| at.trim_end_matches('/').parse().ok()).unwrap_or_else(|| panic!("{output}"))
}

impl Browser {
    fn new(at: SocketAddr) -> Self {
        Self { at, cookie: None, csrf: String::new() }
    }

    fn of(weir: &Weir) -> Self {
        eventually(HEALED_MAX, "the console is there", || weir.output().contains("the console is at"));
        Self::new(console_of(&weir.output()))
    }

    fn head(&self, method: &str, path: &str, origin: Option<&str>) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}", self.at);
        if method == "POST" {
            head += "\r\nContent-Type: application/json";
        }
        if let Some(origin) = origin {
            head += &format!("\r\nOrigin: {origin}");
        }
        if let Some(cookie) = &self.cookie {
            head += &format!("\r\nCookie: {cookie}\r\nX-Weir-CSRF: {}", self.csrf);
        }
        head
    }

    fn get(&self, path: &str) -> Said {
        ask(self.at, &self.head("GET", path, None), "")
    }

    fn post(&self, path: &str, body: &Value) -> Said {
        let origin = format!("http://{}", self.at);
        ask(self.at, &self.head("POST", path, Some(&origin)), &body.to_string())
    }

    fn log_in(mut self) -> Self {
        let said = self.post("/api/login", &json!({ "password": PASSWORD }));
        assert_eq!(said.status, 200, "{}", said.body);
        let cookie = said.header("set-cookie").and_then(|set| set.split(';').next()).expect("a cookie");
        self.cookie = Some(cookie.to_owned());
        self.csrf = said.json()["csrf"].as_str().expect("a key").to_owned();
        self
    }

    fn sees(&self, path: &str) -> Value {
        let said = self.get(path);
        assert_eq!(said.status, 200, "{path}: {}", said.body);
        said.json()
    }

    /// Asks again while it is declined: a planned change is when a tablet was not heard in time, on a busy machine.
    fn has_done(&self, path: &str, body: &Value) -> Value {
        let mut done = Value::Null;
        eventually(HEALED_MAX, &format!("{path} {body}"), || {
            let said = self.post(path, body);
            done = said.json();
            if said.status != 200 {
                eprintln!("{path}: {}: {}", said.status, said.body);
            }
            said.status == 200
        });
        done
    }

    fn primary(&self) -> Option<String> {
        self.sees("/api/cluster")["holder"]["primary"].as_str().map(str::to_owned)
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

#[test]
fn a_browser_sees_what_operators_see_and_has_done_what_they_have() {
    let dir = TempDir::new().expect("a directory");
    let file = password_file(dir.path(), 0o600);
    let data = dir.path().join("data");
    let (file, data) = (file.to_str().expect("text"), data.to_str().expect("text"));
    let mut weir =
        Weir::up(&["--data-dir", data, "--console", "127.0.0.1:0", "--console-password-file", file, "--log", "warn"]);
    let ctl = |what: &[&str]| -> Value {
        let said = Weir::ctl(&[what, &["--data-dir", data, "--json"]].concat()).expect("an answer");
        serde_json::from_str(&said).expect("JSON")
    };
    let stranger = Browser::of(&weir);
    strangers_stay_out(&stranger);
    let browser = Browser::of(&weir).log_in();
    eventually(HEALED_MAX, "there is a primary", || browser.primary().is_some());
    pages_of_others_have_nothing_done(&browser);
    it_is_as_operators_see_it(&weir, &browser, &ctl);
    the_primary_is_changed(&browser, &ctl);
    a_tablet_goes_out_of_service_and_comes_back(&browser, &ctl);
    a_session_is_ended(&weir, &browser);
    it_is_shown_by_a_browser(&browser, file);
    let printed = run_printing(file);
    assert!(printed.contains("console-password-file = ") && !printed.contains(PASSWORD), "{printed}");
    weir.assert_unharmed();
    assert!(!weir.output().contains(PASSWORD), "{}", weir.output());
    assert!(weir.output().contains("console: 127.0.0.1 asks to make local-000000000"), "{}", weir.output());
    assert!(weir.stop().success(), "{}", weir.output());
}

fn run_printing(file: &str) -> String {
    let mut weir = Command::new(Weir::program());
    weir.args(["up", "--console", "127.0.0.1:0", "--console-password-file", file, "--print-config"]);
    String::from_utf8(weir.output().expect("it prints").stdout).expect("text")
}

fn strangers_stay_out(stranger: &Browser) {
    assert_eq!(stranger.get("/").status, 200, "where they log in");
    for path in ["/api/cluster", "/api/statements", "/api/sessions", "/api/failovers", "/trace?term=1"] {
        assert_eq!(stranger.get(path).status, 401, "{path}");
    }
    assert_eq!(stranger.post("/api/reparent", &json!({ "tablet": "local-2" })).status, 401);
    let wrong = json!({ "password": "open sesame" });
    assert_eq!(stranger.post("/api/login", &wrong).status, 401);
    let long = json!({ "password": "x".repeat(5000) });
    assert_eq!(stranger.post("/api/login", &long).status, 413);
    assert_eq!(ask(stranger.at, "GET / HTTP/1.1\r\nHost: elsewhere.example", "").status, 421);
}

fn pages_of_others_have_nothing_done(browser: &Browser) {
    let body = json!({ "tablet": "local-2" }).to_string();
    for origin in [None, Some("http://elsewhere.example"), Some("null")] {
        assert_eq!(ask(browser.at, &browser.head("POST", "/api/drain", origin), &body).status, 403, "{origin:?}");
    }
    let without_key = Browser { csrf: "0".repeat(64), cookie: browser.cookie.clone(), ..*browser };
    assert_eq!(without_key.post("/api/drain", &json!({ "tablet": "local-2" })).status, 403);
    assert_eq!(list(&browser.sees("/api/cluster")["holder"]["drained"]), [] as [Value; 0]);
}

fn it_is_as_operators_see_it(weir: &Weir, browser: &Browser, ctl: &dyn Fn(&[&str]) -> Value) {
    let seen = "CREATE DATABASE shown; CREATE TABLE shown.seen (a INT); SELECT a FROM shown.seen WHERE a = 1";
    weir.query(seen).expect("rows");
    let (shown, topology) = (browser.sees("/api/cluster"), ctl(&["topology"]));
    assert_eq!((&shown["shard"], &shown["holder"]["primary"]), (&topology["shard"], &topology["primary"]));
    assert_eq!(shown["holder"]["term"], topology["term"]);
    let names = |value: &Value| list(value).iter().map(|it| it["tablet"].clone()).collect::<Vec<_>>();
    let tablets = ctl(&["tablets"]);
    assert_eq!(names(&shown["tablets"]), names(&tablets["tablets"]));
    assert_eq!(list(&shown["gateways"])[0]["status"]["name"], "up");
    eventually(HEALED_MAX, "the form is shown", || {
        let shown = browser.sees("/api/statements?by=count");
        let forms = list(&shown["forms"]).iter().map(|form| form["statement"].clone()).collect::<Vec<_>>();
        let digests = ctl(&["digests", "--by", "count"]);
        let told = list(&digests["digests"]).iter().map(|form| form["statement"].clone()).collect::<Vec<_>>();
        forms.iter().any(|form| form == "select a from shown.seen where a = ?")
            && told.iter().all(|form| forms.contains(form))
    });
    assert_eq!(browser.get("/api/statements?by=beauty").status, 400);
}

fn the_primary_is_changed(browser: &Browser, ctl: &dyn Fn(&[&str]) -> Value) {
    let to = if browser.primary().as_deref() == Some("local-0000000002") { "local-3" } else { "local-2" };
    let done = browser.has_done("/api/reparent", &json!({ "tablet": to }));
    let name = done["tablet"].as_str().expect("a name");
    assert!(
        name.starts_with(&to[..6]) && done["done"].as_str().is_some_and(|done| done.contains("is primary in term"))
    );
    assert_eq!(ctl(&["topology"])["primary"], done["tablet"], "{done}");
    let unknown = browser.post("/api/reparent", &json!({ "tablet": "local-7" }));
    assert!(unknown.status == 409 && unknown.body.contains("there is no tablet local-0000000007"), "{}", unknown.body);
    // It is read a little after it was written.
    let term = done["term"].as_u64().expect("a term");
    let is_told = |change: &Value| change["term"] == term && change["settled"] == true && change["primary"] == name;
    eventually(HEALED_MAX, "it is told how that came about", || {
        list(&browser.sees("/api/failovers")["changes"]).first().is_some_and(is_told)
    });
    let told = &browser.sees("/api/failovers")["changes"][0];
    let explained = ctl(&["explain-failover", &term.to_string()]);
    assert_eq!((&told["causes"], &told["why"]), (&explained["causes"], &explained["why"]));
    let drawn = browser.get(&format!("/trace?term={term}"));
    assert_eq!(drawn.status, 200);
    let data = drawn.body.split("type=\"application/json\">").nth(1).and_then(|rest| rest.split("</script>").next());
    it_is_drawn(&serde_json::from_str(data.expect("what is drawn")).expect("JSON"), name, term);
    assert_eq!(browser.get("/trace?term=4711").status, 404);
}

fn it_is_drawn(picture: &Value, primary: &str, term: u64) {
    let lanes: Vec<&str> = list(&picture["lanes"]).iter().filter_map(|lane| lane["name"].as_str()).collect();
    assert_eq!(lanes, ["orchestrator", "topology", "local-1", "local-2", "local-3"]);
    let lane = lanes.iter().position(|name| name.ends_with(&primary[primary.len() - 1..])).expect("its lane");
    let reigns = |span: &Value| span["lane"] == lane && span["state"] == "primary" && span["term"] == term;
    assert!(list(&picture["spans"]).iter().any(reigns), "{}", picture["spans"]);
    let says = |from: usize, to: usize, text: &str| {
        let is_it = |arrow: &Value| arrow["from"] == from && arrow["to"] == to;
        list(&picture["arrows"])
            .iter()
            .any(|arrow| is_it(arrow) && arrow["text"].as_str().is_some_and(|it| it.contains(text)))
    };
    assert!(says(0, lane, &format!("term {term}: be primary")) && says(lane, 0, "has obeyed (be primary"), "{lane}");
    assert!(says(0, 1, "is begun") && says(1, 0, "has it (is settled)"), "{}", picture["arrows"]);
}

fn a_tablet_goes_out_of_service_and_comes_back(browser: &Browser, ctl: &dyn Fn(&[&str]) -> Value) {
    let primary = browser.primary().expect("one");
    let done = browser.has_done("/api/drain", &json!({ "tablet": primary }));
    let successor = done["successor"].as_str().expect("another is primary");
    assert_ne!(successor, primary);
    assert_eq!(list(&ctl(&["topology"])["drained"]), [json!(primary)]);
    browser.has_done("/api/undrain", &json!({ "tablet": primary }));
    assert_eq!(list(&ctl(&["topology"])["drained"]), [] as [Value; 0]);
}

fn a_session_is_ended(weir: &Weir, browser: &Browser) {
    let mark = "SELECT SLEEP(120), 'who is ended'";
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| weir.query(mark));
        let mut id = 0;
        eventually(HEALED_MAX, "it is shown", || {
            let shown = browser.sees("/api/sessions");
            let it = list(&shown["sessions"]).iter().find(|it| it["info"] == mark);
            id = it.and_then(|it| it["id"].as_u64()).unwrap_or_default();
            id > 0
        });
        browser.has_done("/api/kill", &json!({ "gateway": "up", "id": id, "query": false }));
        assert!(ended.join().expect("it ends").is_err());
    });
}

/// In Chromium, where there is one.
fn it_is_shown_by_a_browser(browser: &Browser, file: &str) {
    let mut run = Command::new(checkout().join("tests/browser/console.sh"));
    run.args([&format!("http://{}/", browser.at), file]);
    if let Some(pictures) = std::env::var_os("WEIR_PICTURES") {
        run.arg(pictures);
    }
    let run = run.output().expect("bash");
    let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    eprintln!("{said}");
    assert!(run.status.success(), "{said}");
}

#[test]
fn whoever_operators_ask_has_a_console_of_the_whole_shard() {
    let dir = TempDir::new().expect("a directory");
    let file = password_file(dir.path(), 0o600);
    let more = ["--console", "127.0.0.1:0", "--console-password-file", file.to_str().expect("text")];
    let deployment = Deployment::several_operated(&more);
    let [gateway, orchestrator, _] =
        deployment.outputs().map(|output| output.contains("console is at").then_some(output));
    let open = |output: Option<String>| Browser::new(console_of(&output.expect("it has one"))).log_in();
    let (gateway, orchestrator) = (open(gateway), open(orchestrator));
    for browser in [&gateway, &orchestrator] {
        eventually(HEALED_MAX, "somebody holds the lock", || browser.primary().is_some());
        let shown = browser.sees("/api/cluster");
        let names = |what: &str| list(&shown[what]).iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names("gateways"), ["gateway-0", "gateway-1"]);
        assert_eq!(names("orchestrators"), ["orchestrator-0", "orchestrator-1"]);
        assert_eq!(list(&shown["tablets"]).len(), 3);
        assert!(list(&shown["processes"]).iter().all(|tablet| tablet["runs"] == true), "{shown}");
    }
    let to = if gateway.primary().as_deref() == Some("local-0000000002") { "local-3" } else { "local-2" };
    let done = gateway.has_done("/api/reparent", &json!({ "tablet": to }));
    eventually(HEALED_MAX, "all see it", || orchestrator.primary().as_deref() == done["tablet"].as_str());
    // Orchestrators of this machine record beside each other.
    eventually(HEALED_MAX, "it is told", || orchestrator.sees("/api/failovers")["changes"][0]["term"] == done["term"]);
    let why = gateway.sees("/api/failovers")["why"].clone();
    assert!(why.as_str().is_some_and(|why| why.contains("--record-dir")), "{why}");
}

#[test]
fn a_gateway_hands_its_console_over_and_whoever_was_in_logs_in_again() {
    let dir = TempDir::new().expect("a directory");
    let (file, path) = (password_file(dir.path(), 0o600), dir.path().join("handover"));
    let [file, path] = [&file, &path].map(|path| path.to_str().expect("text"));
    let more =
        ["--handover", path, "--drain-time-ms", "1000", "--console", "127.0.0.1:0", "--console-password-file", file];
    let mut deployment = Deployment::small_of_gateway(&more);
    let browser = Browser::new(console_of(&deployment.outputs()[0])).log_in();
    assert_eq!(browser.get("/api/session").status, 200);
    deployment.ask_for_successor(0);
    let successor = deployment.wait_for_successor(0, HEALED_MAX);
    assert_eq!(browser.get("/api/session").status, 401, "the successor knows nobody");
    assert_eq!(Browser::new(browser.at).log_in().get("/api/session").status, 200, "at the same address");
    successor.end();
}

#[test]
fn who_guesses_is_kept_waiting() {
    let dir = TempDir::new().expect("a directory");
    let file = password_file(dir.path(), 0o640);
    let (file, data) = (file.to_str().expect("text"), dir.path().join("data"));
    let more = ["--servers", "1", "--console", "127.0.0.1:0", "--console-password-file", file];
    let mut weir = Weir::up(&[&["--data-dir", data.to_str().expect("text")], &more[..]].concat());
    let browser = Browser::of(&weir);
    let guess = || browser.post("/api/login", &json!({ "password": "password1" })).status;
    assert_eq!([(); 6].map(|()| guess()), [401, 401, 401, 401, 401, 429]);
    let right = browser.post("/api/login", &json!({ "password": PASSWORD }));
    assert!(right.status == 429 && right.header("retry-after").is_some(), "{}", right.body);
    let told = || weir.output().contains("console: a wrong password from 127.0.0.1");
    eventually(Duration::from_secs(10), "operators are told who guesses", told);
    weir.assert_unharmed();
}

#[test]
fn what_would_show_the_password_does_not_start() {
    let dir = TempDir::new().expect("a directory");
    let readable = password_file(dir.path(), 0o644);
    let refused = |arguments: &[&str]| {
        let (code, said) = run_program("weir", &[&["up"], arguments].concat(), Duration::from_secs(20));
        assert_ne!(code, 0, "{said}");
        said
    };
    let file = ["--console-password-file", readable.to_str().expect("text")];
    assert!(refused(&["--console", "127.0.0.1:0"]).contains("--console-password-file <FILE>"));
    assert!(refused(&[&["--console", "127.0.0.1:0"], &file[..]].concat()).contains("chmod o="));
    password_file(dir.path(), 0o600);
    let everywhere = refused(&[&["--console", "0.0.0.0:0"], &file[..]].concat());
    assert!(everywhere.contains("could read the password") && !everywhere.contains(PASSWORD), "{everywhere}");
}
