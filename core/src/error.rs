//! The one error framework: what a client reads, which component spoke, and whether a retry is safe.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Which part of Weir raised an error. `Server` errors are relayed byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Component {
    /// The server behind: its text is passed on untouched.
    Server,
    /// The client's side: sessions, routing, limits.
    Gateway,
    /// The server's side: pools, connections, roles.
    Tablet,
}

/// What is known of the statement's effect when an error is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// Nothing was executed: running it again is safe.
    None,
    /// The server executed it and answered with this error.
    Answered,
    /// It was sent and no answer came: it may or may not have happened.
    Unknown,
}

/// A MySQL error as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Error {
    /// MySQL error number (server range 1000–1999, 3000–; Weir uses the server's own numbers where one fits).
    pub code: u16,
    /// Five characters of SQLSTATE.
    pub sqlstate: [u8; 5],
    /// The text after the SQLSTATE; bytes, since servers answer in the session's character set.
    pub message: Vec<u8>,
    /// Who spoke.
    pub component: Component,
    /// What is known of the effect.
    pub effect: Effect,
}

impl Error {
    /// An error that Weir itself raises before anything was executed.
    #[must_use]
    pub fn new(component: Component, kind: Kind, message: impl Into<String>) -> Self {
        let (code, sqlstate) = kind.code();
        Self { code, sqlstate: *sqlstate, message: message.into().into_bytes(), component, effect: Effect::None }
    }

    /// The same error with its effect stated.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// It has the number and the SQLSTATE of this kind, whoever raised it.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        (self.code, &self.sqlstate) == kind.code()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ERROR {} ({}): {}",
            self.code,
            String::from_utf8_lossy(&self.sqlstate),
            String::from_utf8_lossy(&self.message)
        )
    }
}

impl std::error::Error for Error {}

/// The errors that Weir raises itself, each with the number and SQLSTATE a MySQL server uses for the like.
/// Source: MySQL 8.0 error message reference, `mysqld_error.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// ER_CON_COUNT_ERROR: too many client connections.
    TooManyConnections,
    /// ER_TOO_MANY_USER_CONNECTIONS: this user has as many as it may.
    TooManyUserConnections,
    /// ER_USER_LIMIT_REACHED: this user has as many as it may by a limit of its own.
    UserLimitReached,
    /// ER_HANDSHAKE_ERROR.
    BadHandshake,
    /// ER_ACCESS_DENIED_ERROR.
    AccessDenied,
    /// ER_NOT_SUPPORTED_AUTH_MODE.
    UnsupportedAuth,
    /// ER_SECURE_TRANSPORT_REQUIRED.
    TlsRequired,
    /// ER_UNKNOWN_COM_ERROR.
    UnknownCommand,
    /// ER_MALFORMED_PACKET.
    MalformedPacket,
    /// ER_NET_PACKET_TOO_LARGE.
    PacketTooLarge,
    /// ER_NET_PACKETS_OUT_OF_ORDER.
    PacketsOutOfOrder,
    /// ER_NET_UNCOMPRESS_ERROR.
    Uncompress,
    /// ER_NET_READ_INTERRUPTED: a timeout while waiting for the client.
    ReadTimeout,
    /// ER_SPECIFIC_ACCESS_DENIED_ERROR: a right is missing.
    MissingPrivilege,
    /// ER_TABLEACCESS_DENIED_ERROR: a right to a table is missing.
    TableAccessDenied,
    /// ER_NO_DB_ERROR: a table is named without a schema, and none is the default.
    NoSchema,
    /// ER_WRONG_ARGUMENTS.
    WrongArguments,
    /// ER_PARSE_ERROR.
    Parse,
    /// ER_NOT_SUPPORTED_YET.
    NotSupported,
    /// ER_UNSUPPORTED_PS.
    UnsupportedPrepared,
    /// ER_UNKNOWN_STMT_HANDLER.
    UnknownStatement,
    /// ER_STMT_HAS_NO_OPEN_CURSOR.
    NoCursor,
    /// ER_LOCK_DEADLOCK, whose SQLSTATE says what clients must know: the transaction is rolled back and may be started again.
    TransactionLost,
    /// ER_MAX_PREPARED_STMT_COUNT_REACHED.
    TooManyStatements,
    /// ER_ERROR_ON_READ: a file cannot be read, or makes no sense.
    FileUnreadable,
    /// ER_WRONG_VALUE_FOR_VAR.
    WrongValueForVariable,
    /// ER_WRONG_TYPE_FOR_VAR.
    WrongTypeForVariable,
    /// ER_SERVER_SHUTDOWN.
    Shutdown,
    /// ER_CONNECTION_KILLED.
    Killed,
    /// ER_NO_SUCH_THREAD.
    NoSuchThread,
    /// ER_KILL_DENIED_ERROR.
    KillDenied,
    /// ER_QUERY_INTERRUPTED.
    Interrupted,
    /// ER_OPTION_PREVENTS_STATEMENT: the tablet does not serve this role.
    ReadOnly,
    /// ER_NET_READ_ERROR: the server's connection broke, and nothing was executed that changes anything. A retry is safe.
    ServerLost,
    /// ER_NET_ERROR_ON_WRITE, with the SQLSTATE "transaction resolution unknown": the server's connection broke, and the
    /// statement may or may not have taken effect.
    OutcomeUnknown,
    /// No server can take this now: none serves, or cannot be reached. ER_SERVER_SHUTDOWN, whose SQLSTATE is that of broken
    /// connections.
    Unavailable,
    /// What the client asks for was known to a connection that has been used otherwise (ER_OUT_OF_RESOURCES).
    Untold,
    /// A server serves, and a limit of Weir's own keeps this from it: a queue is full, or a wait in one ended without a turn. ER_OUT_OF_RESOURCES, with
    /// the SQLSTATE class "insufficient resources" (ER_LOCK_WAIT_TIMEOUT is not used: it means rows).
    Busy,
}

impl Kind {
    /// Error number and SQLSTATE.
    #[must_use]
    pub const fn code(self) -> (u16, &'static [u8; 5]) {
        match self {
            Self::TooManyConnections => (1040, b"08004"),
            Self::TooManyUserConnections => (1203, b"42000"),
            Self::UserLimitReached => (1226, b"42000"),
            Self::BadHandshake => (1043, b"08S01"),
            Self::AccessDenied => (1045, b"28000"),
            Self::UnsupportedAuth => (1251, b"08004"),
            Self::TlsRequired => (3159, b"HY000"),
            Self::UnknownCommand => (1047, b"08S01"),
            Self::MalformedPacket => (1835, b"HY000"),
            Self::PacketTooLarge => (1153, b"08S01"),
            Self::PacketsOutOfOrder => (1156, b"08S01"),
            Self::ReadTimeout => (1159, b"08S01"),
            Self::MissingPrivilege => (1227, b"42000"),
            Self::TableAccessDenied => (1142, b"42000"),
            Self::NoSchema => (1046, b"3D000"),
            Self::WrongArguments => (1210, b"HY000"),
            Self::Parse => (1064, b"42000"),
            Self::NotSupported => (1235, b"42000"),
            Self::Uncompress => (1157, b"08S01"),
            Self::UnsupportedPrepared => (1295, b"HY000"),
            Self::UnknownStatement => (1243, b"HY000"),
            Self::NoCursor => (1421, b"HY000"),
            Self::TransactionLost => (1213, b"40001"),
            Self::TooManyStatements => (1461, b"42000"),
            Self::FileUnreadable => (1024, b"HY000"),
            Self::WrongValueForVariable => (1231, b"42000"),
            Self::WrongTypeForVariable => (1232, b"42000"),
            Self::Shutdown => (1053, b"08S01"),
            Self::Killed => (1927, b"70100"),
            Self::NoSuchThread => (1094, b"HY000"),
            Self::KillDenied => (1095, b"HY000"),
            Self::Interrupted => (1317, b"70100"),
            Self::ReadOnly => (1290, b"HY000"),
            Self::ServerLost => (1158, b"08S01"),
            Self::OutcomeUnknown => (1160, b"08007"),
            Self::Unavailable => (1053, b"08S01"),
            Self::Untold => (1041, b"HY000"),
            Self::Busy => (1041, b"53000"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_like_a_servers() {
        let e = Error::new(Component::Gateway, Kind::UnknownCommand, "Unknown command");
        assert_eq!(e.to_string(), "ERROR 1047 (08S01): Unknown command");
        assert_eq!(e.effect, Effect::None);
    }
}
