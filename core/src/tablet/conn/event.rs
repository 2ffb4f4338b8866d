//! What a connection tells its driver and its pool.

use crate::error::Error;
use crate::mysql::ProtocolError;
use crate::mysql::auth::Secret;

/// What the driver or the pool must do or know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send what is left, start TLS, then call [`super::BackendConn::tls_started`].
    StartTls,
    /// Encrypt with the server's public key (OAEP with SHA-1), then call [`super::BackendConn::encrypted`].
    EncryptRsa {
        /// The key.
        pem: Vec<u8>,
        /// What to encrypt.
        plaintext: Secret,
    },
    /// Open and set up: requests can be submitted.
    Ready,
    /// Closed for good; send what is left and close the transport.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a connection closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It was asked to.
    Asked,
    /// The transport ended.
    Lost,
    /// The server refused the handshake or the setup, or it was refused.
    Refused(Error),
    /// The server said goodbye while nothing was asked of it (it was killed, timed out, or shuts down).
    Dismissed(Error),
    /// The server's bytes made no sense.
    Protocol(ProtocolError),
    /// It could not be brought to a state that another session can use.
    Unsettled(Error),
    /// Something took too long.
    TimedOut(TimerCause),
}

/// What a connection's timer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerCause {
    /// The connection is being opened and set up.
    Connect,
    /// A request is being answered.
    Request,
    /// A position is being waited for.
    Wait,
    /// The connection is being reset.
    Reset,
}
