//! Who may ask what: names, sessions, and where a wish comes from are looked at here and nowhere else.

use super::Shard;
use super::deeds::{Deeds, Wish};
use super::failovers::Failovers;
use super::page::Page;
use super::view::View;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant as Clock;
use tracing::warn;
use weir_core::console::{Door, FRESH_BYTES, Keys, Refused, SESSION_TIME_MAX, is_same};
use weir_core::mysql::auth::Secret;
use weir_core::time::Instant;
use weir_io::fill_random;
use weir_io::http::{Method, Request, Response, Site, StatusCode};

/// What the page says who asks for something to be done, beside the cookie.
const CSRF: &str = "x-weir-csrf";
/// What answers have that say nothing else.
const NOTHING_MAY_RUN: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// See the module.
pub(super) struct Desk {
    program: &'static str,
    begun: Clock,
    door: Mutex<Door>,
    hosts: Vec<String>,
    page: Page,
    view: View,
    deeds: Deeds,
    failovers: Failovers,
}

/// Why something is not answered.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self(status, why.into())
    }

    /// The shard could not be asked, or said no.
    pub(super) fn said(why: String) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

/// Who asks, by its cookie.
struct Known {
    token: String,
    csrf: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    password: String,
}

/// What a page has to know.
#[derive(Serialize)]
struct Begun<'a> {
    csrf: &'a str,
    program: &'static str,
    version: &'static str,
    /// Whether there is something to be read on failovers.
    records: bool,
}

#[derive(Serialize)]
struct Said<'a> {
    error: &'a str,
}

impl Desk {
    pub(super) fn new(
        program: &'static str,
        shard: Arc<Shard>,
        failovers: Failovers,
        password: &Secret,
        hosts: Vec<String>,
    ) -> Self {
        Self {
            program,
            begun: Clock::now(),
            door: Mutex::new(Door::new(password.expose())),
            hosts,
            page: Page::console(),
            view: View::new(Arc::clone(&shard)),
            deeds: Deeds::new(shard),
            failovers,
        }
    }

    async fn respond(&self, request: &Request) -> Result<Response, Refusal> {
        let host = self.host(request)?;
        let cookie = cookie(request, host);
        match (&request.method, request.path.as_str()) {
            (&Method::GET | &Method::HEAD, "/") => Ok(shown(&self.page)),
            (&Method::POST, "/api/login") => self.enter(request, host, &cookie),
            (&Method::GET, path) => {
                let known = self.known(request, &cookie)?;
                self.tell(path, request, &known).await
            }
            (&Method::POST, path) => {
                let known = self.known(request, &cookie)?;
                check_origin(request, host)?;
                check_csrf(request, &known)?;
                if path == "/api/logout" {
                    self.door().leave(&known.token);
                    return Ok(json(StatusCode::OK, &()).with("set-cookie", &set(&cookie, "", 0, request)));
                }
                self.fulfil(path, request).await
            }
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "GET or POST")),
        }
    }

    /// Somebody else's name for this address is a page of somebody else that would have its visitors' browsers ask here.
    fn host<'a>(&self, request: &'a Request) -> Result<&'a str, Refusal> {
        let host = request.header("host").unwrap_or_default();
        let (name, _) = split(host);
        let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let name = name.to_ascii_lowercase();
        if is_address || name == "localhost" || self.hosts.contains(&name) {
            return Ok(host);
        }
        let why = "this console is not known by that name: --console-hosts says by which it is";
        Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, why))
    }

    fn enter(&self, request: &Request, host: &str, cookie: &str) -> Result<Response, Refusal> {
        check_origin(request, host)?;
        let Login { password } = body(request)?;
        let password = Secret::new(password);
        let mut fresh = [0; FRESH_BYTES];
        fill_random(&mut fresh).map_err(|why| Refusal::said(why.to_string()))?;
        let entered = self.door().enter(self.now(), request.from, password.expose(), &fresh);
        match entered {
            Ok(Keys { token, csrf }) => {
                let set = set(cookie, &token, SESSION_TIME_MAX.as_secs(), request);
                Ok(json(StatusCode::OK, &self.begun(&csrf)).with("set-cookie", &set))
            }
            Err(Refused::Wrong) => {
                warn!("console: a wrong password from {}", request.from);
                Err(Refusal::new(StatusCode::UNAUTHORIZED, "That is not the password."))
            }
            Err(Refused::Wait(wait)) => {
                let seconds = wait.as_secs() + 1;
                let why = format!("Too many wrong passwords. Try again in {seconds} s.");
                let said = json(StatusCode::TOO_MANY_REQUESTS, &Said { error: &why });
                Ok(said.with("retry-after", &seconds.to_string()))
            }
        }
    }

    fn known(&self, request: &Request, cookie: &str) -> Result<Known, Refusal> {
        let token = request.cookie(cookie).map(str::to_owned);
        let known = token.and_then(|token| self.door().session(self.now(), &token).map(|csrf| Known { token, csrf }));
        known.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "Log in first."))
    }

    async fn tell(&self, path: &str, request: &Request, known: &Known) -> Result<Response, Refusal> {
        match path {
            "/api/session" => Ok(json(StatusCode::OK, &self.begun(&known.csrf))),
            "/api/cluster" => Ok(text(self.view.cluster(self.deeds.under_way()).await?)),
            "/api/statements" => Ok(text(self.view.statements(&request.query).await?)),
            "/api/sessions" => Ok(text(self.view.sessions().await?)),
            "/api/failovers" => Ok(text(self.failovers.all().await.map_err(Refusal::said)?)),
            "/trace" => self.trace(&request.query).await,
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "There is nothing here.")),
        }
    }

    /// The query says of which term: `term=3`.
    async fn trace(&self, query: &str) -> Result<Response, Refusal> {
        let term = query.strip_prefix("term=").and_then(|term| term.parse().ok());
        let drawn = match term {
            Some(term) => self.failovers.picture(term).await.map_err(Refusal::said)?,
            None => None,
        };
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "Nothing is recorded of that term.");
        drawn.map(|text| shown(&Page::alone(text))).ok_or_else(unknown)
    }

    async fn fulfil(&self, path: &str, request: &Request) -> Result<Response, Refusal> {
        let wish = match path {
            "/api/reparent" => Wish::Reparent(body(request)?),
            "/api/drain" => Wish::Drain(body(request)?),
            "/api/undrain" => Wish::Undrain(body(request)?),
            "/api/kill" => Wish::Kill(body(request)?),
            _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "There is nothing here.")),
        };
        Ok(json(StatusCode::OK, &self.deeds.have_done(wish, request.from).await?))
    }

    fn begun<'a>(&self, csrf: &'a str) -> Begun<'a> {
        let version = env!("CARGO_PKG_VERSION");
        Begun { csrf, program: self.program, version, records: self.failovers.are_recorded() }
    }

    fn door(&self) -> std::sync::MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.begun.elapsed()
    }
}

impl Site for Desk {
    async fn answer(&self, request: Request) -> Response {
        self.respond(&request).await.unwrap_or_else(|Refusal(status, why)| json(status, &Said { error: &why }))
    }

    fn finish(&self, response: Response) -> Response {
        let always = [
            ("cache-control", "no-store"),
            ("content-security-policy", NOTHING_MAY_RUN),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ];
        always.into_iter().fold(response, |response, (name, value)| response.or(name, value))
    }
}

/// A host and its port, if that is said.
fn split(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Browsers have the same cookies for all ports of a name, so each port has one of its own. Nobody else can set one with this prefix over
/// TLS.
fn cookie(request: &Request, host: &str) -> String {
    let port = split(host).1.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or("0");
    format!("{}weir-console-{port}", if request.is_encrypted { "__Host-" } else { "" })
}

fn set(cookie: &str, token: &str, seconds: u64, request: &Request) -> String {
    let secure = if request.is_encrypted { "; Secure" } else { "" };
    format!("{cookie}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Browsers say which page has something done. It has to be this one.
fn check_origin(request: &Request, host: &str) -> Result<(), Refusal> {
    let origin = request.header("origin").and_then(|origin| origin.split_once("://"));
    let is_ours = origin.is_some_and(|(scheme, from)| {
        let is_known = scheme == "https" || (scheme == "http" && !request.is_encrypted);
        is_known && from.eq_ignore_ascii_case(host)
    });
    if is_ours { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, "This was not asked by the console's page.")) }
}

fn check_csrf(request: &Request, known: &Known) -> Result<(), Refusal> {
    match request.header(CSRF) {
        Some(csrf) if is_same(csrf, &known.csrf) => Ok(()),
        _ => Err(Refusal::new(StatusCode::FORBIDDEN, "This page belongs to another session: load it again.")),
    }
}

/// What is said is in the same words as everywhere; nothing of a body comes back.
fn body<T: for<'a> Deserialize<'a>>(request: &Request) -> Result<T, Refusal> {
    if request.header("content-type") != Some("application/json") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON is wanted."));
    }
    let wrong = |_| Refusal::new(StatusCode::BAD_REQUEST, "That is not what is asked here.");
    serde_json::from_slice(&request.body).map_err(wrong)
}

fn shown(page: &Page) -> Response {
    let shown = Response::new(StatusCode::OK, "text/html; charset=utf-8", page.text.clone());
    shown.with("content-security-policy", &page.policy)
}

fn text(json: impl AsRef<str>) -> Response {
    Response::new(StatusCode::OK, "application/json", json.as_ref().to_owned())
}

fn json(status: StatusCode, what: &impl Serialize) -> Response {
    // Structs of texts, numbers and lists of such.
    Response::new(status, "application/json", serde_json::to_string(what).unwrap_or_default())
}
