//! Connections between processes: HTTP/2 with limits that keep one slow reader from holding up the others, and mutual TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Server, ServerTlsConfig};
use weir_core::topo::Address;

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
/// The longest file of certificates that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Who this process is to others of the cluster, and whom it believes: certificate, key, and the authority that has signed those of
/// all. Both ends of a connection show theirs.
#[derive(Clone)]
pub struct Identity {
    ca: Certificate,
    own: tonic::transport::Identity,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Why an identity cannot be used: which file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError(String);

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IdentityError {}

impl Identity {
    /// Reads three PEM files.
    ///
    /// # Errors
    /// When one cannot be read, is too long, or does not hold what it should.
    pub fn load(cert: &Path, key: &Path, ca: &Path) -> Result<Self, IdentityError> {
        let (certificates, key, ca) = (read(cert, "CERTIFICATE")?, read(key, "PRIVATE KEY")?, read(ca, "CERTIFICATE")?);
        Ok(Self { ca: Certificate::from_pem(ca), own: tonic::transport::Identity::from_pem(certificates, key) })
    }
}

fn read(path: &Path, holds: &str) -> Result<Vec<u8>, IdentityError> {
    let wrong = |why: &str| IdentityError(format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(&format!("{length} bytes are too long for a file of certificates")));
    }
    let pem = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
    let is_there =
        String::from_utf8_lossy(&pem).lines().any(|line| line.starts_with("-----BEGIN") && line.contains(holds));
    if is_there { Ok(pem) } else { Err(wrong(&format!("holds no {holds} in PEM"))) }
}

/// A channel to a process, connected when it is used first and again whenever it breaks.
pub(crate) fn channel(address: &Address, identity: Option<&Identity>) -> Result<Channel, tonic::transport::Error> {
    let scheme = if identity.is_some() { "https" } else { "http" };
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{host}:{}", address.port))?
        .connect_timeout(CONNECT_TIME_MAX)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .tcp_nodelay(true);
    let endpoint = match identity {
        Some(Identity { ca, own }) => {
            endpoint.tls_config(ClientTlsConfig::new().ca_certificate(ca.clone()).identity(own.clone()))?
        }
        None => endpoint,
    };
    Ok(endpoint.connect_lazy())
}

/// Where other processes connect, and how they are served.
pub(super) fn server(identity: Option<&Identity>) -> Result<Server, tonic::transport::Error> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIME_MAX))
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .max_concurrent_streams(STREAMS_MAX);
    match identity {
        Some(Identity { ca, own }) => {
            server.tls_config(ServerTlsConfig::new().client_ca_root(ca.clone()).identity(own.clone()))
        }
        None => Ok(server),
    }
}

/// Listens for other processes.
pub(super) async fn listen(address: SocketAddr) -> io::Result<(TcpIncoming, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((TcpIncoming::from(listener).with_nodelay(Some(true)), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_hold_what_it_should_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&cert, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let missing = Identity::load(&cert, &key, &cert).unwrap_err().to_string();
        assert!(missing.contains("key.pem"), "{missing}");
        std::fs::write(&key, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let wrong = Identity::load(&cert, &key, &cert).unwrap_err().to_string();
        assert!(wrong.contains("key.pem: holds no PRIVATE KEY"), "{wrong}");
    }

    #[tokio::test]
    async fn addresses_of_both_families_are_channels() {
        for host in ["127.0.0.1", "::1", "db1.example"] {
            assert!(channel(&Address { host: host.into(), port: 1 }, None).is_ok(), "{host}");
        }
        assert!(channel(&Address { host: "a b".into(), port: 1 }, None).is_err());
    }
}
