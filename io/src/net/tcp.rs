//! TCP: the one place that names whose it is.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
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

/// The file of a connection, set to block.
pub(super) fn into_fd(stream: TcpStream) -> io::Result<OwnedFd> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream.into())
}

/// Accepts on one.
pub(crate) fn accept_on(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
