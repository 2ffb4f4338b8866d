//! Tells whoever watches over processes whether this one lives and can serve, and what it counts: plain HTTP, `/livez` and `/readyz`, a
//! line each, and `/metrics` for Prometheus.

use crate::metrics::{CONTENT_TYPE as METRICS, Sources};
use crate::net::{self, TcpListener, TcpStream};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

/// Who asks at one time, at most; one more is hung up on.
const CONNECTIONS_MAX: usize = 64;
/// How long a request and its answer may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes: the least that the library takes. Bodies are not read.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Ready, or not, and why: a line for people.
pub type Readiness = Result<String, String>;

/// Who knows.
struct Known {
    readiness: Mutex<Box<dyn Fn() -> Readiness + Send>>,
    sources: Mutex<Option<Arc<Sources>>>,
}

type Asked = Arc<Known>;

/// Answers until it is dropped. Not ready before [`Health::set`].
pub struct Health {
    asked: Asked,
    address: SocketAddr,
    socket: std::net::TcpListener,
    accepting: AbortHandle,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Health {
    /// Answers there.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        Self::serve(net::listen(address)?)
    }

    /// Answers those who connect there.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn serve(socket: std::net::TcpListener) -> io::Result<Self> {
        let (address, listener) = (socket.local_addr()?, net::accept_on(socket.try_clone()?)?);
        let readiness: Box<dyn Fn() -> Readiness + Send> = Box::new(|| Err("starting".to_owned()));
        let asked = Arc::new(Known { readiness: Mutex::new(readiness), sources: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&asked))).abort_handle();
        Ok(Self { asked, address, socket, accepting })
    }

    /// Where it answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers, for a successor.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn socket(&self) -> io::Result<std::net::TcpListener> {
        self.socket.try_clone()
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

impl Drop for Health {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, asked: Asked) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let asked = Arc::clone(&asked);
                    answering.spawn(async move {
                        // Whoever asks badly, slowly or not at all hears nothing.
                        let _ = tokio::time::timeout(REQUEST_TIME_MAX, converse(stream, asked)).await;
                        drop(place);
                    });
                }
                Err(why) => {
                    warn!("cannot accept a question for health: {why}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = answering.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, asked: Asked) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let asked = Arc::clone(&asked);
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &asked).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(method: &Method, path: &str, asked: &Known) -> Response<String> {
    let (status, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "alive\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            let readiness = asked.readiness.lock().unwrap_or_else(PoisonError::into_inner)();
            match readiness {
                Ok(why) => (StatusCode::OK, why + "\n"),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
            }
        }
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let sources = asked.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match sources {
                Some(sources) => return response(StatusCode::OK, METRICS, sources.page().await.to_string()),
                None => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
            }
        }
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned()),
    };
    response(status, "text/plain; charset=utf-8", text)
}

fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Program;
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
