//! Connections between processes: HTTP/2 with limits that keep one slow reader from holding up the others, and mutual TLS.

use crate::handover::is_wanted;
use crate::net::{self, Incoming, Peer, TcpListener, incoming};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Server};
use weir_core::topo::Address;

/// Who this process is to others of the cluster, and whom it believes: certificate, key, and the authority that has signed those of
/// all. Both ends of a connection show theirs.
pub use crate::tls::Certificates as Identity;

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// A peer that says nothing for so long is asked whether it lives...
const PING_EVERY: Duration = Duration::from_secs(2);
/// ...and taken for dead when it has not said so in this time.
const PING_TIME_MAX: Duration = Duration::from_secs(3);
/// Bytes of one lane that are on their way and were not taken.
const STREAM_BYTES: u32 = 256 * 1024;
/// The same of all lanes of a connection: never less than they may have together, so that only a lane itself can be full.
const CONNECTION_BYTES: u32 = (1 << 31) - 1;
/// Lanes of one connection, at most.
const STREAMS_MAX: u32 = 65_536;

/// A channel to a process, connected when it is used first and again whenever it breaks.
pub(crate) fn channel(address: &Address, identity: Option<&Identity>) -> Result<Channel, String> {
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{}", address.port))
        .map_err(|why| why.to_string())?
        .connect_timeout(CONNECT_TIME_MAX)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .tcp_nodelay(true);
    Ok(Peer::new(endpoint, identity, None)?.channel())
}

/// How other processes are served.
pub(super) fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIME_MAX))
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
}

/// Listens for other processes.
pub(super) async fn listen(address: SocketAddr, identity: Option<&Identity>) -> io::Result<(Incoming, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((incoming(listener, identity.cloned()), address))
}

/// The same, on a socket that may be a successor's one day.
pub(super) async fn listen_on(
    address: SocketAddr,
    inherited: Option<std::net::TcpListener>,
    identity: Option<&Identity>,
) -> io::Result<(Incoming, std::net::TcpListener)> {
    let socket = match inherited.filter(|tcp| is_wanted(tcp, address)) {
        Some(socket) => socket,
        None => net::listen(address)?,
    };
    let listener = net::accept_on(socket.try_clone()?)?;
    Ok((incoming(listener, identity.cloned()), socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_of_both_families_are_channels() {
        for host in ["127.0.0.1", "::1", "db1.example"] {
            assert!(channel(&Address { host: host.into(), port: 1 }, None).is_ok(), "{host}");
        }
        assert!(channel(&Address { host: "a b".into(), port: 1 }, None).is_err());
    }
}
