//! Connections of gRPC, plain or over TLS. Certificates may be replaced: each connection is made with those that hold then.

use super::{Address, Stream};
use crate::system::{TcpListener, TcpStream};
use crate::tls::Certificates;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::Service;
use tracing::{debug, warn};

/// The port of http where none is said.
const HTTP_PORT: u16 = 80;
/// The port of https where none is said.
const HTTPS_PORT: u16 = 443;
/// How long a peer that has connected may take until both know each other.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// Peers that have connected and do not know us yet, at most; no more are accepted until they do.
const HANDSHAKES_MAX: usize = 1024;
/// Connections that wait to be served.
const ACCEPTED_MAX: usize = 16;
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Another process, and how to know it.
#[derive(Clone)]
pub(crate) struct Peer {
    endpoint: Endpoint,
    connector: Connector,
}

impl Peer {
    /// The one at `endpoint`, whose scheme is http with and without TLS. It has to prove that it is `name`, or the endpoint's host.
    ///
    /// # Errors
    /// What is wrong with its name.
    pub(crate) fn new(
        endpoint: Endpoint,
        certificates: Option<&Certificates>,
        name: Option<&str>,
    ) -> Result<Self, String> {
        let uri = endpoint.uri();
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let Some(certificates) = certificates else {
            let address = Address::Tcp(host, uri.port_u16().unwrap_or(HTTP_PORT));
            return Ok(Self { endpoint, connector: Connector { address, known: None } });
        };
        let name = name.unwrap_or(&host).to_owned();
        let name = ServerName::try_from(name.clone()).map_err(|why| format!("{name}: {why}"))?;
        let port = uri.port_u16().unwrap_or(HTTPS_PORT);
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(tonic::codegen::http::uri::Scheme::HTTPS);
        let origin = Uri::from_parts(parts).map_err(|why| why.to_string())?;
        let connector = Connector { address: Address::Tcp(host, port), known: Some((name, certificates.clone())) };
        Ok(Self { endpoint: endpoint.origin(origin), connector })
    }

    /// Connected when it is used first, and again whenever it breaks.
    pub(crate) fn channel(&self) -> Channel {
        self.endpoint.connect_with_connector_lazy(self.connector.clone())
    }
}

/// Makes the connections of a channel.
#[derive(Clone)]
struct Connector {
    address: Address,
    /// By which name and certificates the other end is known, with TLS.
    known: Option<(ServerName<'static>, Certificates)>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, known } = self.clone();
        Box::pin(async move {
            let stream = Stream::connect(&address).await?;
            let Some((name, certificates)) = known else { return Ok(TokioIo::new(stream)) };
            let config = certificates.client().ok_or_else(|| io::Error::other("nobody vouches for the other end"))?;
            Ok(TokioIo::new(stream.connect_tls(config, name).await?))
        })
    }
}

/// What has connected, and with TLS is known.
pub(crate) type Incoming = ReceiverStream<io::Result<Stream>>;

/// Accepts for as long as somebody takes what is accepted.
pub(crate) fn incoming(listener: TcpListener, certificates: Option<Certificates>) -> Incoming {
    let (accepted, incoming) = mpsc::channel(ACCEPTED_MAX);
    tokio::spawn(accept(listener, certificates, accepted));
    ReceiverStream::new(incoming)
}

async fn accept(listener: TcpListener, certificates: Option<Certificates>, accepted: mpsc::Sender<io::Result<Stream>>) {
    let places = std::sync::Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        let next = async {
            // It is never closed.
            let place = std::sync::Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            () = accepted.closed() => return,
            Some(_) = handshakes.join_next() => {}
            (place, next) = next => match next {
                Ok((stream, _)) => {
                    // Without it small messages wait for acknowledgements.
                    let _ = stream.set_nodelay(true);
                    handshakes.spawn(greet(stream, certificates.clone(), accepted.clone(), place));
                }
                Err(why) if why.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(why) => {
                    warn!("cannot accept another process: {why}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn greet(
    stream: TcpStream,
    certificates: Option<Certificates>,
    accepted: mpsc::Sender<io::Result<Stream>>,
    _place: Option<OwnedSemaphorePermit>,
) {
    let from = stream.peer_addr();
    let stream = Stream::Tcp(stream);
    let Some(certificates) = certificates else {
        let _ = accepted.send(Ok(stream)).await;
        return;
    };
    let Some(config) = certificates.server() else { return };
    let acceptor = TlsAcceptor::from(config);
    let greeted = stream.accept_tls(Vec::new(), &acceptor);
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, greeted).await {
        // Nobody serves any more if it cannot be sent.
        Ok(Ok(stream)) => _ = accepted.send(Ok(stream)).await,
        Ok(Err(why)) => debug!(?from, "a process is not let in: {why}"),
        Err(_) => debug!(?from, "a process is not let in: it says nothing"),
    }
}

impl Connected for Stream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
