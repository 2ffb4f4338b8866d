//! How the connections to a server are encrypted.

use crate::net::{Address, Stream};
use crate::tls::Certificates;
use rustls::pki_types::ServerName;
use std::io;
use weir_core::mysql::handshake::TlsMode;

/// See the module. Connections over a unix socket are not: they do not leave the machine.
#[derive(Clone, Debug)]
pub struct Encryption {
    /// Whether a server that offers no TLS is spoken to without.
    pub mode: TlsMode,
    /// What the server's certificate has to say, and which one it is shown.
    pub certificates: Certificates,
    /// The name that its certificate has to bear; `None` for the host under which it is reached.
    pub name: Option<String>,
}

impl Encryption {
    /// Encrypts what goes to the server at `address` from now on.
    ///
    /// # Errors
    /// When the certificate of either end does not satisfy the other, or the name is none.
    pub(super) async fn start(&self, stream: Stream, address: &Address) -> io::Result<Stream> {
        let config = self.certificates.client().ok_or_else(|| io::Error::other("nobody vouches for the server"))?;
        let host = match (&self.name, address) {
            (Some(name), _) | (None, Address::Tcp(name, _)) => name.as_str(),
            (None, Address::Unix(_)) => "localhost",
        };
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|why| io::Error::other(format!("'{host}' is no name for a certificate: {why}")))?;
        stream.connect_tls(config, name).await
    }
}
