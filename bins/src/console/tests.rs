use super::*;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use weir_core::mysql::auth::Secret;

const PASSWORD: &str = "open sesame";

/// A console of a shard that nobody can be asked about: who gets in does not depend on that.
struct Served {
    at: SocketAddr,
    _served: super::Served,
    _dir: tempfile::TempDir,
}

/// What was answered: the status, all headers, the body.
struct Said {
    status: u16,
    head: String,
    body: String,
}

fn open(hosts: &[&str]) -> Served {
    let dir = tempfile::tempdir().expect("a directory");
    let options = ConsoleOptions {
        listen: "127.0.0.1:0".parse().expect("an address"),
        password: Secret::new(PASSWORD),
        tls: None,
        hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
    };
    let socket = listen(options.listen).expect("a free port");
    let whose = Whose::Found(Target::Up(dir.path().to_owned()));
    let served = Console { options, socket }.serve("weir up", whose, None).expect("it serves");
    Served { at: served.address(), _served: served, _dir: dir }
}

impl Served {
    /// Asks with this head, where `{at}` is where it is asked.
    async fn ask(&self, head: &str, body: &str) -> Said {
        let at = self.at;
        let head = head.replace("{at}", &at.to_string());
        let text = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let said = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(at).expect("it listens");
            stream.write_all(text.as_bytes()).expect("it is asked");
            let mut said = String::new();
            // One that refuses a body has not read it.
            let _ = stream.read_to_string(&mut said);
            said
        });
        let said = said.await.expect("it was asked");
        let status = said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_default();
        Said { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str, more: &str) -> Said {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {{at}}{more}"), "").await
    }

    async fn post(&self, path: &str, more: &str, body: &str) -> Said {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {{at}}\r\nContent-Type: application/json{more}");
        self.ask(&head, body).await
    }

    async fn log_in(&self, password: &str) -> Said {
        let body = format!("{{\"password\":\"{password}\"}}");
        self.post("/api/login", "\r\nOrigin: http://{at}", &body).await
    }

    /// The cookie, and what the page adds.
    async fn keys(&self) -> (String, String) {
        let said = self.log_in(PASSWORD).await;
        assert_eq!(said.status, 200, "{}", said.body);
        let cookie = said.head.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next()).expect("a cookie");
        let begun: serde_json::Value = serde_json::from_str(&said.body).expect("JSON");
        (cookie.to_owned(), begun["csrf"].as_str().expect("a key").to_owned())
    }
}

#[tokio::test]
async fn the_page_is_for_everybody_and_nothing_else_is() {
    let served = open(&[]);
    let page = served.get("/", "").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<h1 class=\"mark\">weir</h1>"));
    for path in
        ["/api/session", "/api/cluster", "/api/statements", "/api/sessions", "/api/failovers", "/trace?term=1", "/x"]
    {
        for cookie in ["", "\r\nCookie: weir-console-1=x", "\r\nCookie: weir-console-{port}=0123"] {
            let more = cookie.replace("{port}", &served.at.port().to_string());
            assert_eq!(served.get(path, &more).await.status, 401, "{path}");
        }
        assert_eq!(served.post(path, "\r\nOrigin: http://{at}", "{}").await.status, 401, "{path}");
    }
    assert_eq!(served.ask("PUT / HTTP/1.1\r\nHost: {at}", "").await.status, 405);
}

#[tokio::test]
async fn every_answer_says_that_nothing_foreign_may_run_or_be_kept() {
    let served = open(&[]);
    for (path, status) in [("/", 200), ("/api/cluster", 401), ("/nothing", 401)] {
        let said = served.get(path, "").await;
        assert_eq!(said.status, status);
        for header in [
            "content-security-policy: default-src 'none';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff\r\n",
            "cache-control: no-store\r\n",
            "referrer-policy: no-referrer\r\n",
        ] {
            assert!(said.head.contains(header), "{path}: {header}: {}", said.head);
        }
        assert!(!said.head.contains("unsafe") && !said.head.contains("access-control"), "{}", said.head);
    }
}

#[tokio::test]
async fn who_knows_the_password_gets_a_cookie_that_scripts_do_not_see_until_it_is_given_back() {
    let served = open(&[]);
    let said = served.log_in(PASSWORD).await;
    let cookie = format!("set-cookie: weir-console-{}=", served.at.port());
    assert!(said.head.contains(&cookie) && said.head.contains("; httponly; samesite=strict"), "{}", said.head);
    assert!(!said.body.contains(PASSWORD));
    let (cookie, csrf) = served.keys().await;
    let with = format!("\r\nCookie: other=1; {cookie}");
    assert_eq!(served.get("/api/session", &with).await.status, 200);
    // Nobody is there to be asked, which is said.
    let cluster = served.get("/api/cluster", &with).await;
    assert_eq!(cluster.status, 503);
    assert!(cluster.body.contains("no Weir runs in"), "{}", cluster.body);
    let failovers = served.get("/api/failovers", &with).await;
    assert!(failovers.body.contains("records no changes of primary"), "{}", failovers.body);
    assert_eq!(served.get("/trace?term=1", &with).await.status, 404);
    let out =
        served.post("/api/logout", &format!("{with}\r\nOrigin: http://{{at}}\r\nX-Weir-CSRF: {csrf}"), "{}").await;
    assert_eq!(out.status, 200);
    assert!(out.head.contains("=; path=/; max-age=0;"), "{}", out.head);
    assert_eq!(served.get("/api/session", &with).await.status, 401);
}

#[tokio::test]
async fn what_changes_something_is_asked_by_the_page_itself_or_refused() {
    let served = open(&[]);
    let (cookie, csrf) = served.keys().await;
    let (_, of_another) = served.keys().await;
    let with = format!("\r\nCookie: {cookie}");
    let whole = format!("\r\nOrigin: http://{{at}}\r\nX-Weir-CSRF: {csrf}");
    let body = "{\"tablet\":\"local-1\"}";
    for (more, why) in [
        (format!("\r\nX-Weir-CSRF: {csrf}"), "no origin"),
        (format!("\r\nOrigin: null\r\nX-Weir-CSRF: {csrf}"), "a page of nobody"),
        (format!("\r\nOrigin: http://elsewhere\r\nX-Weir-CSRF: {csrf}"), "another page"),
        (format!("\r\nOrigin: http://{{at}}.elsewhere\r\nX-Weir-CSRF: {csrf}"), "a longer name"),
        (format!("\r\nOrigin: http://127.0.0.1:1\r\nX-Weir-CSRF: {csrf}"), "another port"),
        (format!("\r\nOrigin: http://{{at}}\r\nOrigin: http://x\r\nX-Weir-CSRF: {csrf}"), "two"),
        ("\r\nOrigin: http://{at}".to_owned(), "no key"),
        (format!("\r\nOrigin: http://{{at}}\r\nX-Weir-CSRF: {of_another}"), "the key of another session"),
        (format!("\r\nOrigin: http://{{at}}\r\nX-Weir-CSRF: {}", &csrf[..63]), "half a key"),
    ] {
        for path in ["/api/reparent", "/api/drain", "/api/undrain", "/api/kill", "/api/logout"] {
            assert_eq!(served.post(path, &format!("{with}{more}"), body).await.status, 403, "{path}: {why}");
        }
    }
    assert_eq!(
        served.get("/api/reparent", &format!("{with}{whole}")).await.status,
        404,
        "what is read changes nothing"
    );
    // All is right, but for nobody being there.
    let said = served.post("/api/reparent", &format!("{with}{whole}"), body).await;
    assert_eq!((said.status, said.body.contains("no Weir runs in")), (409, true), "{}", said.body);
    for wrong in ["{\"tablet\":\"local\"}", "{\"tablet\":1}", "{}", "", "{\"tablet\":\"local-1\",\"force\":true}"] {
        let said = served.post("/api/reparent", &format!("{with}{whole}"), wrong).await;
        assert_eq!(said.status, 400, "{wrong}: {}", said.body);
    }
    let form = format!("POST /api/drain HTTP/1.1\r\nHost: {{at}}\r\nContent-Type: text/plain{with}{whole}");
    assert_eq!(served.ask(&form, body).await.status, 415, "a form of another page can send that");
}

#[tokio::test]
async fn guesses_are_refused_and_then_not_looked_at() {
    let served = open(&[]);
    for _ in 0..5 {
        assert_eq!(served.log_in("guessed it").await.status, 401);
    }
    let said = served.log_in(PASSWORD).await;
    assert_eq!(said.status, 429);
    assert!(said.head.contains("retry-after: 1") && !said.head.contains("set-cookie"), "{}", said.head);
    let foreign = served.post("/api/login", "\r\nOrigin: http://elsewhere", "{}").await;
    assert_eq!(foreign.status, 403, "another page logs nobody in");
}

#[tokio::test]
async fn what_is_too_long_is_not_read() {
    let served = open(&[]);
    let long = "x".repeat(LIMITS.body_bytes_max + 1);
    assert_eq!(served.post("/api/login", "\r\nOrigin: http://{at}", &long).await.status, 413);
    let chunked = format!(
        "POST /api/login HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        served.at,
        long.len()
    );
    let at = served.at;
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(at).expect("it listens");
        stream.write_all(chunked.as_bytes()).expect("it is asked");
        let mut said = [0; 12];
        stream.read_exact(&mut said).expect("an answer");
        String::from_utf8_lossy(&said).into_owned()
    });
    assert_eq!(said.await.expect("it was asked"), "HTTP/1.1 413");
    let head = served.get("/", &format!("\r\nX: {}", "x".repeat(2 * LIMITS.head_bytes_max))).await;
    assert_ne!(head.status, 200);
}

#[tokio::test]
async fn it_is_known_by_addresses_and_by_names_that_were_said_and_by_no_other() {
    let served = open(&["weir.example"]);
    for (host, status) in [
        ("127.0.0.1", 200),
        ("[::1]:15380", 200),
        ("localhost:1", 200),
        ("Weir.Example:443", 200),
        ("elsewhere.example", 421),
        ("localhost.elsewhere.example", 421),
        ("", 421),
    ] {
        assert_eq!(served.ask(&format!("GET / HTTP/1.1\r\nHost: {host}"), "").await.status, status, "{host:?}");
    }
}
