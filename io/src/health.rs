//! Tells whoever watches over processes whether this one lives and can serve, and what it counts: plain HTTP, `/livez` and `/readyz`, a
//! line each, and `/metrics` for Prometheus.

use crate::http::{Limits, Method, Request, Response, Served, Site, StatusCode};
use crate::metrics::{CONTENT_TYPE as METRICS, Sources};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest head of a request, in bytes: the least that the library takes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long a request and its answer may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// Bodies have nothing to say.
const LIMITS: Limits = Limits {
    connections_max: 64,
    request_time_max: REQUEST_TIME_MAX,
    connection_time_max: REQUEST_TIME_MAX,
    last_answer_time_max: Duration::ZERO,
    head_bytes_max: HEAD_BYTES_MAX,
    body_bytes_max: 0,
    keep_alive: false,
};

/// Ready, or not, and why: a line for people.
pub type Readiness = Result<String, String>;

/// Who knows.
struct Known {
    readiness: Mutex<Box<dyn Fn() -> Readiness + Send>>,
    sources: Mutex<Option<Arc<Sources>>>,
}

/// Answers until it is dropped. Not ready before [`Health::set`].
pub struct Health {
    asked: Arc<Known>,
    served: Served,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Health {
    /// Answers there.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        Self::serve(crate::net::listen(address)?)
    }

    /// Answers those who connect there.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn serve(socket: std::net::TcpListener) -> io::Result<Self> {
        let readiness: Box<dyn Fn() -> Readiness + Send> = Box::new(|| Err("starting".to_owned()));
        let asked = Arc::new(Known { readiness: Mutex::new(readiness), sources: Mutex::default() });
        let served = Served::start(socket, None, LIMITS, Arc::clone(&asked))?;
        Ok(Self { asked, served })
    }

    /// Where it answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.served.address()
    }

    /// Where it answers, for a successor.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn socket(&self) -> io::Result<std::net::TcpListener> {
        self.served.socket()
    }

    /// From now on this is asked whether the process is ready. It must not block.
    pub fn set(&self, readiness: impl Fn() -> Readiness + Send + 'static) {
        *self.asked.readiness.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(readiness);
    }

    /// From now on these say what the process counts.
    pub fn tell(&self, sources: Sources) {
        *self.asked.sources.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sources));
    }
}

impl Site for Known {
    async fn answer(&self, request: Request) -> Response {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Response::plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        }
        match request.path.as_str() {
            "/livez" => Response::plain(StatusCode::OK, "alive\n"),
            "/readyz" => {
                let readiness = self.readiness.lock().unwrap_or_else(PoisonError::into_inner)();
                match readiness {
                    Ok(why) => Response::plain(StatusCode::OK, why + "\n"),
                    Err(why) => Response::plain(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
                }
            }
            "/metrics" => {
                let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
                match sources {
                    Some(sources) => Response::new(StatusCode::OK, METRICS, sources.page().await.to_string()),
                    None => Response::plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
                }
            }
            _ => Response::plain(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Program;
    use crate::net::TcpStream;
    use std::str::FromStr as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn ask(at: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn a_process_lives_before_it_is_ready() {
        let health = Health::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let get = async |path: &str| {
            ask(health.address(), format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await
        };
        assert!(get("/livez").await.starts_with("HTTP/1.1 200"));
        let starting = get("/readyz").await;
        assert!(starting.starts_with("HTTP/1.1 503") && starting.ends_with("\r\n\r\nstarting\n"), "{starting}");
        health.set(|| Ok("all is well".to_owned()));
        let ready = get("/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200") && ready.ends_with("all is well\n"), "{ready}");
        assert!(get("/other").await.starts_with("HTTP/1.1 404"));
        assert!(get("/metrics").await.starts_with("HTTP/1.1 503"), "nobody knows them yet");
        let shard = weir_core::topo::ShardName::from_str("shop/0").unwrap();
        health.tell(Sources::new(Program::Gateway, shard));
        let metrics = get("/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
        assert!(metrics.contains("\nweir_info{program=\"weir-gateway\",version=\""), "{metrics}");
    }

    #[tokio::test]
    async fn what_is_no_request_is_not_waited_for() {
        let health = Health::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = health.address();
        assert!(ask(at, b"POST /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        let long = format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES_MAX));
        assert!(!ask(at, long.as_bytes()).await.starts_with("HTTP/1.1 200"));
        let silent = TcpStream::connect(at).await.unwrap();
        assert!(
            ask(at, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.starts_with("HTTP/1.1 200"),
            "others are answered"
        );
        drop(silent);
    }
}
