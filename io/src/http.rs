//! HTTP/1.1 for whoever looks at a process: what is asked becomes a [`Request`], and a [`Site`] says what is answered.
//!
//! Owns the limits: of connections, of time, of heads and bodies. Knows no path, and nothing of who may ask what.

use crate::net::{Stream, TcpListener, TcpStream};
use crate::tls::Certificates;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
pub use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::warn;

/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is taken from those who ask.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Who asks at one time, at most; one more is hung up on.
    pub connections_max: usize,
    /// How long a connection may take to ask something, from its beginning or its last answer on; and the body after that.
    pub request_time_max: Duration,
    /// How long a connection lasts. What is being answered then is answered within [`Limits::last_answer_time_max`].
    pub connection_time_max: Duration,
    /// See [`Limits::connection_time_max`].
    pub last_answer_time_max: Duration,
    /// The longest head of a request, in bytes; 8 KiB at least.
    pub head_bytes_max: usize,
    /// The longest body, in bytes.
    pub body_bytes_max: usize,
    /// Whether more may be asked on one connection.
    pub keep_alive: bool,
}

/// What somebody asks.
#[derive(Debug)]
pub struct Request {
    /// From where.
    pub from: IpAddr,
    /// Over TLS.
    pub is_encrypted: bool,
    /// How.
    pub method: Method,
    /// What for.
    pub path: String,
    /// What stands behind the `?`, or nothing.
    pub query: String,
    /// All of it.
    pub body: Vec<u8>,
    headers: HeaderMap,
}

impl Request {
    /// A header that is there once, and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let only = all.next().filter(|_| all.next().is_none())?;
        only.to_str().ok()
    }

    /// A cookie's value; of several with this name, the first's.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let all = self.headers.get_all(hyper::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        all.flat_map(|all| all.split(';'))
            .find_map(|one| one.trim().split_once('=').filter(|(is, _)| *is == name))
            .map(|(_, value)| value)
    }
}

/// What is answered.
#[derive(Debug)]
pub struct Response(hyper::Response<String>);

impl Response {
    /// A text of this type.
    #[must_use]
    pub fn new(status: StatusCode, content_type: &'static str, text: String) -> Self {
        let mut response = hyper::Response::new(text);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self(response)
    }

    /// A line for people.
    #[must_use]
    pub fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// With a header, in the place of one of the same name. `name` is in small letters; what is no header's text is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// With a header, unless it has one of this name. As [`Response::with`].
    #[must_use]
    pub fn or(self, name: &'static str, value: &str) -> Self {
        if self.0.headers().contains_key(name) { self } else { self.with(name, value) }
    }

    /// Which it is.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }
}

/// Who answers.
pub trait Site: Send + Sync + 'static {
    /// What, to this. If whoever asked goes away, it ends where it waits.
    fn answer(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// What is added to every answer, also to those to what was no request.
    fn finish(&self, response: Response) -> Response {
        response
    }
}

/// Answers those who connect, for as long as it runs. With certificates, over TLS alone.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Certificates>, limits: Limits, site: Arc<impl Site>) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let (site, tls) = (Arc::clone(&site), tls.clone());
                    answering.spawn(async move {
                        // Whoever asks badly, slowly or not at all hears nothing.
                        if let Some(stream) = greet(stream, tls.as_ref(), limits.request_time_max).await {
                            converse(stream, (from, tls.is_some()), limits, site).await;
                        }
                        drop(place);
                    });
                }
                Err(why) => {
                    warn!("cannot accept a request over HTTP: {why}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = answering.join_next() => {}
        }
    }
}

async fn greet(stream: TcpStream, tls: Option<&Certificates>, limit: Duration) -> Option<Stream> {
    // Without it the end of an answer waits for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let stream = Stream::Tcp(stream);
    let Some(tls) = tls else { return Some(stream) };
    let acceptor = TlsAcceptor::from(tls.server()?);
    tokio::time::timeout(limit, stream.accept_tls(Vec::new(), &acceptor)).await.ok()?.ok()
}

async fn converse(stream: Stream, (from, is_encrypted): (SocketAddr, bool), limits: Limits, site: Arc<impl Site>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let site = Arc::clone(&site);
        async move {
            let response = match read(request, (from.ip(), is_encrypted), limits).await {
                Ok(request) => site.answer(request).await,
                Err(refused) => refused,
            };
            Ok::<_, Infallible>(site.finish(response).0)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_time_max)
        .max_buf_size(limits.head_bytes_max)
        .keep_alive(limits.keep_alive)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if tokio::time::timeout(limits.connection_time_max, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(limits.last_answer_time_max, connection).await;
    }
}

async fn read(
    request: hyper::Request<Incoming>,
    (from, is_encrypted): (IpAddr, bool),
    limits: Limits,
) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    // What is not read of a body would be taken for the next request.
    let refused = |status, why: &str| Response::plain(status, format!("{why}\n")).with(CONNECTION.as_str(), "close");
    let too_long = || refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");
    let said = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > limits.body_bytes_max as u64) {
        return Err(too_long());
    }
    let body = match tokio::time::timeout(limits.request_time_max, collect(body, limits.body_bytes_max)).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => return Err(too_long()),
        Ok(Err(_)) => return Err(refused(StatusCode::BAD_REQUEST, "the body does not end as it should")),
        Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body takes too long")),
    };
    Ok(Request {
        from,
        is_encrypted,
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body,
        headers: head.headers,
    })
}

/// `None` when there are more bytes.
async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Option<Vec<u8>>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

/// A site that is served somewhere, until this is dropped.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    socket: std::net::TcpListener,
    _serving: JoinSet<()>,
}

impl Served {
    /// Serves those who connect there; with certificates, over TLS alone.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn start(
        socket: std::net::TcpListener,
        tls: Option<Certificates>,
        limits: Limits,
        site: Arc<impl Site>,
    ) -> io::Result<Self> {
        let (address, listener) = (socket.local_addr()?, crate::net::accept_on(socket.try_clone()?)?);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tls, limits, site));
        Ok(Self { address, socket, _serving: serving })
    }

    /// Where.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, for a successor.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn socket(&self) -> io::Result<std::net::TcpListener> {
        self.socket.try_clone()
    }
}

/// Listens, for [`Served::start`].
///
/// # Errors
/// When the address is not to be had.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    crate::net::listen(address)
}
