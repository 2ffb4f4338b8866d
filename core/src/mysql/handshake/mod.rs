//! The exchange that opens a connection: greeting, TLS, response, proof of the password, verdict.
//!
//! [`ServerHandshake`] is the gateway's end towards a client, [`ClientHandshake`] the tablet's end towards a server. Both are
//! machines of the data plane's shape: bytes in, bytes and events out. TLS and RSA are the driver's work, and so is the
//! time limit; neither machine waits for anything but its peer and its driver's answer to an event.

mod client;
mod exchange;
mod greeting;
mod response;
mod server;

pub use client::{ClientConfig, ClientEvent, ClientHandshake, RsaKey, ServerInfo, TlsMode};
pub use exchange::{ServerSays, encode_more, encode_switch};
pub use greeting::Greeting;
pub use response::{ATTRIBUTES_BYTES_MAX, ATTRIBUTES_COUNT_MAX, Attributes, HandshakeResponse, TLS_REQUEST_BYTES};
pub use server::{ClientInfo, ServerConfig, ServerEvent, ServerHandshake};

/// The longest packet of a handshake that either end reads, in bytes. Attributes alone may be 64 KiB by the manual.
pub const HANDSHAKE_PACKET_BYTES_MAX: usize = 68 * 1024;

/// What carries a connection, as far as secrets are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP: anyone on the way can read it.
    Plain,
    /// TLS.
    Tls,
    /// A unix socket: it does not leave the machine.
    UnixSocket,
}

impl Transport {
    /// A password may be sent over it as it is.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        !matches!(self, Self::Plain)
    }
}
