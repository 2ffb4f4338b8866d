//! What Weir asks of the system where a simulation answers in its place: TCP, the time, randomness. The feature `simulated` puts
//! `simulated.rs` where this file is; what is built on either cannot tell.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use tokio::net::TcpSocket;
pub(crate) use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel keeps waiting for an accept.
const BACKLOG: u32 = 4096;

/// Listens on a socket that can be another process's one day.
pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Accepts on one.
pub(crate) fn accept_on(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// The file of a connection, set to block.
pub(crate) fn into_fd(stream: TcpStream) -> io::Result<OwnedFd> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream.into())
}

/// When the process first asked. tokio's time is the system's but in a test that has a time of its own.
pub(crate) fn origin() -> tokio::time::Instant {
    static ORIGIN: OnceLock<tokio::time::Instant> = OnceLock::new();
    *ORIGIN.get_or_init(tokio::time::Instant::now)
}

/// Fills `bytes` with what nobody can predict.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), aws_lc_rs::error::Unspecified> {
    aws_lc_rs::rand::fill(bytes)
}
