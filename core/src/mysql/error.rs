//! What can be wrong with bytes of the protocol, before it is known which component read them.

use crate::error::{Component, Error, Kind};
use core::fmt;

/// Why bytes could not be read. Small and `Copy`, since parsers return it on their hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A packet that ends early or holds what it must not; names the part that could not be read.
    Malformed(&'static str),
    /// A sequence id other than the next one.
    OutOfOrder {
        /// The id that had to come.
        expected: u8,
        /// The id that came.
        found: u8,
    },
    /// A packet announced more bytes than the reader's limit.
    TooLarge {
        /// The limit in bytes.
        limit_bytes: usize,
    },
}

impl ProtocolError {
    /// The error number a MySQL server answers with.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Malformed(_) => Kind::MalformedPacket,
            Self::OutOfOrder { .. } => Kind::PacketsOutOfOrder,
            Self::TooLarge { .. } => Kind::PacketTooLarge,
        }
    }

    /// The error as `component` reports it, in the words of a MySQL server.
    #[must_use]
    pub fn raised_by(self, component: Component) -> Error {
        let message = match self {
            Self::Malformed(_) => "Malformed communication packet.",
            Self::OutOfOrder { .. } => "Got packets out of order",
            Self::TooLarge { .. } => "Got a packet bigger than 'max_allowed_packet' bytes",
        };
        Error::new(component, self.kind(), message)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(f, "malformed packet: {part}"),
            Self::OutOfOrder { expected, found } => {
                write!(f, "packets out of order: expected sequence id {expected}, found {found}")
            }
            Self::TooLarge { limit_bytes } => write!(f, "packet larger than {limit_bytes} bytes"),
        }
    }
}

impl std::error::Error for ProtocolError {}
