//! One connected stream, whatever carries it.

use super::Socket;
use crate::scratch;
use crate::system::{TcpStream, into_fd};
use crate::tls;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::task::unconstrained;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use webpki::EndEntityCert;
use weir_core::gateway::session::Tls;
use weir_core::mysql::certificate::Certificate;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// Path of a unix socket.
    Unix(PathBuf),
}

/// The port of a MySQL server when none is given.
const DEFAULT_PORT: u16 = 3306;

impl FromStr for Address {
    type Err = String;

    /// `host`, `host:port`, `[v6]:port` or `/path/of.sock`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("'{port}' is not a port (1 to 65535) in '{text}'"))?)
            }
            _ => (text, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err(format!("'{text}' is not an address: expected host:port or /path/of.sock"));
        }
        Ok(Self::Tcp(host.to_owned(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// Either of these, carried by io_uring.
    Ring(Socket),
    /// TLS over one of the others.
    Tls(Box<TlsStream<Carrier>>),
    /// Nothing, while one becomes another.
    Gone,
}

/// What carries TLS: a stream whose first bytes have been read already.
#[derive(Debug)]
pub struct Carrier {
    head: Vec<u8>,
    stream: Stream,
}

impl Stream {
    /// Connects to a server.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }

    /// Becomes the server's end of a TLS connection; `head` was read from it already.
    ///
    /// # Errors
    /// When the client breaks the handshake off.
    pub async fn accept_tls(self, head: Vec<u8>, acceptor: &TlsAcceptor) -> io::Result<Self> {
        let carrier = Carrier { head, stream: self };
        Ok(Self::Tls(Box::new(acceptor.accept(carrier).await?.into())))
    }

    /// What was settled with the other end, if TLS is up.
    pub(crate) fn tls(&self) -> Option<Tls> {
        let Self::Tls(stream) = self else { return None };
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let read = shown.and_then(|shown| EndEntityCert::try_from(shown).ok());
        Some(Tls {
            certificate: read.map(|read| Certificate::new(read.subject(), read.issuer())),
            version: connection.protocol_version().map_or("", tls::version_name),
            cipher: connection.negotiated_cipher_suite().map_or("", |suite| tls::cipher_name(suite.suite())),
        })
    }

    /// Becomes the client's end of a TLS connection.
    ///
    /// # Errors
    /// When the server breaks the handshake off, or its certificate does not satisfy the connector.
    pub async fn connect_tls(
        self,
        config: Arc<rustls::ClientConfig>,
        name: rustls::pki_types::ServerName<'static>,
    ) -> io::Result<Self> {
        let carrier = Carrier { head: Vec::new(), stream: self };
        Ok(Self::Tls(Box::new(TlsConnector::from(config).connect(name, carrier).await?.into())))
    }

    /// Is carried by io_uring from now on, in tasks of [`crate::Rings`]; one that speaks TLS already stays as it is. With `keeps_receiving` it
    /// stays with one task: see [`Socket::new`].
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub(crate) fn onto_ring(self, keeps_receiving: bool) -> io::Result<Self> {
        let fd = match self {
            Self::Tcp(stream) => into_fd(stream)?,
            Self::Unix(stream) => {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                stream.into()
            }
            other => return Ok(other),
        };
        Ok(Self::Ring(Socket::new(fd, keeps_receiving)))
    }

    /// Nobody uses it for now; whoever does next may be on another thread. False when it is of no more use, because something is under way
    /// that nobody waits for.
    pub(crate) fn rest(&mut self) -> bool {
        match self {
            Self::Ring(socket) => socket.rest(),
            _ => true,
        }
    }

    /// Receives once, and hands it on from where it was received: nothing when there is no more.
    pub(crate) fn poll_receive<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut [u8]) -> R,
    ) -> Poll<io::Result<R>> {
        match self {
            Self::Ring(socket) => socket.poll_receive(cx, take),
            other => scratch::with(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                ready!(Pin::new(other).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok(take(buf.filled_mut())))
            }),
        }
    }

    /// True when the peer has closed, or has said something that nobody asked for: such a stream at rest is of no use.
    #[must_use]
    pub fn is_stale(&mut self) -> bool {
        if let Self::Ring(socket) = self {
            return socket.has_news();
        }
        // Records of TLS without application data, such as tickets, are no news.
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let read = poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut buf));
        pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Ring(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Ring(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Ring(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Ring(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Carrier {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.head.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let len = this.head.len().min(buf.remaining());
        buf.put_slice(&this.head[..len]);
        this.head.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        for (text, shown) in [
            ("db1:3307", "db1:3307"),
            ("db1", "db1:3306"),
            ("[::1]:3310", "[::1]:3310"),
            ("/run/m.sock", "/run/m.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for wrong in ["", ":3306", "db1:0", "db1:port", "db1:99999"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
