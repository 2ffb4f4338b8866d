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

/// How a message ends after which a client may try again.
pub const RETRY_IS_SAFE: &str = ". Nothing was executed: a retry is safe";

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

/// Whether a statement that got an error may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// As it is: nothing was executed that changes anything.
    Safe,
    /// With its transaction, from the start.
    Transaction,
    /// Once it is known whether it took effect.
    Check,
    /// It would fail again, until something else is done.
    No,
}

impl Retry {
    /// In the words of the reference.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Transaction => "the transaction, from its start",
            Self::Check => "only after a look whether it took effect",
            Self::No => "fails again",
        }
    }
}

impl Error {
    /// An error that Weir itself raises before anything was executed.
    #[must_use]
    pub fn new(component: Component, kind: Kind, message: impl Into<String>) -> Self {
        let (code, sqlstate) = kind.code();
        Self { code, sqlstate: *sqlstate, message: message.into().into_bytes(), component, effect: Effect::None }
    }

    /// One for a statement that may be sent again as it is, which the client is told in the same words whatever happened.
    ///
    /// `what` begins with who speaks (`weir-gateway:`, `tablet NAME`) and has no full stop.
    #[must_use]
    pub fn unexecuted(component: Component, kind: Kind, what: impl fmt::Display) -> Self {
        debug_assert!(kind.retry() == Retry::Safe, "{kind:?}");
        Self::new(component, kind, format!("{what}{RETRY_IS_SAFE}"))
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
    /// Each of them.
    pub const ALL: &[Self] = &[
        Self::TooManyConnections,
        Self::TooManyUserConnections,
        Self::UserLimitReached,
        Self::BadHandshake,
        Self::AccessDenied,
        Self::UnsupportedAuth,
        Self::TlsRequired,
        Self::UnknownCommand,
        Self::MalformedPacket,
        Self::PacketTooLarge,
        Self::PacketsOutOfOrder,
        Self::Uncompress,
        Self::ReadTimeout,
        Self::MissingPrivilege,
        Self::TableAccessDenied,
        Self::NoSchema,
        Self::WrongArguments,
        Self::Parse,
        Self::NotSupported,
        Self::UnsupportedPrepared,
        Self::UnknownStatement,
        Self::NoCursor,
        Self::TransactionLost,
        Self::TooManyStatements,
        Self::FileUnreadable,
        Self::WrongValueForVariable,
        Self::WrongTypeForVariable,
        Self::Shutdown,
        Self::Killed,
        Self::NoSuchThread,
        Self::KillDenied,
        Self::Interrupted,
        Self::ReadOnly,
        Self::ServerLost,
        Self::OutcomeUnknown,
        Self::Unavailable,
        Self::Untold,
        Self::Busy,
    ];

    /// What a client may do after it.
    #[must_use]
    pub const fn retry(self) -> Retry {
        self.about().0
    }

    /// What has happened, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.about().1
    }

    /// What a person does about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.about().2
    }

    const fn about(self) -> (Retry, &'static str, &'static str) {
        match self {
            Self::TooManyConnections => (
                Retry::No,
                "The gateway has as many clients as it may have (`--max-connections`).",
                "Close connections that rest, or raise the limit; `weir ctl sessions` shows who has them.",
            ),
            Self::TooManyUserConnections => (
                Retry::No,
                "The user has as many connections as each user may have (`--max-connections-per-user`).",
                "Close connections that rest, or raise the limit.",
            ),
            Self::UserLimitReached => (
                Retry::No,
                "The user has as many connections as its own line in `--users-file` allows.",
                "Close connections that rest, or raise `max_connections` there and send RELOAD USERS.",
            ),
            Self::BadHandshake => (
                Retry::No,
                "What came is no login of a MySQL client.",
                "Look at who connects: a probe of a load balancer, or another protocol.",
            ),
            Self::AccessDenied => (
                Retry::No,
                "User, password or client certificate are not those of an account.",
                "As with a server. After a change of `--users-file`, send RELOAD USERS.",
            ),
            Self::UnsupportedAuth => (
                Retry::No,
                "The account or the client uses a method of authentication that cannot be passed on to the servers.",
                "Give the account `mysql_native_password`, or use `--auth static`.",
            ),
            Self::TlsRequired => (
                Retry::No,
                "The gateway, the account or the server asks for TLS, and the connection has none.",
                "Connect with TLS.",
            ),
            Self::UnknownCommand => (
                Retry::No,
                "A command of the protocol that Weir does not serve, such as COM_BINLOG_DUMP.",
                "Send it to a server itself.",
            ),
            Self::MalformedPacket => {
                (Retry::No, "A packet that breaks the protocol.", "Look for a faulty driver or network device.")
            }
            Self::PacketTooLarge => (
                Retry::No,
                "A packet or parameter is longer than allowed.",
                "Send less at once, or raise the limit that the text names.",
            ),
            Self::PacketsOutOfOrder => (
                Retry::No,
                "Packets came in another order than the protocol has.",
                "Look for a driver that shares one connection between threads.",
            ),
            Self::Uncompress => {
                (Retry::No, "A compressed packet cannot be read.", "Look for a faulty driver or network device.")
            }
            Self::ReadTimeout => (
                Retry::No,
                "A client took too long: to log in, to finish a packet, or to say anything (`wait_timeout`).",
                "Connect again.",
            ),
            Self::MissingPrivilege => (
                Retry::No,
                "The account lacks a right to do this.",
                "Use another account, or give it the right that the text names.",
            ),
            Self::TableAccessDenied => (
                Retry::No,
                "The tablet's list of rights (`--table-acl`) does not let the user do this with the table.",
                "Change the list.",
            ),
            Self::NoSchema => {
                (Retry::No, "A table is named without a schema, and the session has none.", "USE one, or name it.")
            }
            Self::WrongArguments => (Retry::No, "Parameters do not fit the prepared statement.", "Correct the client."),
            Self::Parse => (
                Retry::No,
                "A statement of Weir's own (`SET` of its variables, `SHOW WEIR`, `EXPLAIN WEIR`) cannot be read.",
                "Correct the statement.",
            ),
            Self::NotSupported => (
                Retry::No,
                "Something that servers can do and Weir does not.",
                "[What a client finds](../compatibility.md) says what there is instead.",
            ),
            Self::UnsupportedPrepared => (Retry::No, "The statement cannot be prepared.", "Send it as text."),
            Self::UnknownStatement => (
                Retry::No,
                "No prepared statement has this id, or it went with a lost connection.",
                "Prepare it again.",
            ),
            Self::NoCursor => (Retry::No, "The prepared statement has no open cursor.", "Execute it with a cursor."),
            Self::TransactionLost => (
                Retry::Transaction,
                "The transaction was rolled back, since its server was lost or took no writes any more.",
                "Send ROLLBACK where the text says so; then run the transaction again from its start.",
            ),
            Self::TooManyStatements => {
                (Retry::No, "The session has as many prepared statements as it may have.", "Close some.")
            }
            Self::FileUnreadable => (
                Retry::No,
                "A file of the gateway's cannot be read, or makes no sense.",
                "Correct the file; what was read before still holds.",
            ),
            Self::WrongValueForVariable => (
                Retry::No,
                "A variable cannot have this value.",
                "Correct the value; [variables](variables.md) has the allowed ones.",
            ),
            Self::WrongTypeForVariable => {
                (Retry::No, "A variable cannot have a value of this type.", "Correct the value.")
            }
            Self::Shutdown => (
                Retry::Safe,
                "The gateway stops, or the tablet does.",
                "Connect again: another gateway, or the new process, serves.",
            ),
            Self::Killed => (
                Retry::No,
                "Somebody ended the connection with KILL, or `weir ctl kill`.",
                "Connect again, if that was not meant.",
            ),
            Self::NoSuchThread => (Retry::No, "No session of any gateway has this id.", "SHOW PROCESSLIST lists them."),
            Self::KillDenied => {
                (Retry::No, "The session belongs to somebody else.", "Use an account that may end others'.")
            }
            Self::Interrupted => (
                Retry::Transaction,
                "Somebody ended the statement, or its connection on the server.",
                "Run it again, if that was not meant; in a transaction, roll back first.",
            ),
            Self::ReadOnly => {
                (Retry::Safe, "The tablet does not serve this role any more: the primary has changed.", "Try again.")
            }
            Self::ServerLost => (
                Retry::Safe,
                "The connection with the server broke, or the server fell silent. Nothing that changes anything was executed; a result may be cut short.",
                "Try again.",
            ),
            Self::OutcomeUnknown => (
                Retry::Check,
                "The connection with the server broke while a statement ran there that may have changed something, and nobody can say whether it did. Weir does not run it twice.",
                "Look whether it took effect (by a key of the application's) before running it again.",
            ),
            Self::Unavailable => (
                Retry::Safe,
                "No server can take the statement: none serves its role, or none can be reached. Weir has waited for one as long as it may.",
                "Try again, with a pause. The text says what each tablet lacks; `weir ctl tablets` shows it.",
            ),
            Self::Untold => (
                Retry::No,
                "What an earlier statement left (`SHOW WARNINGS`, `ROW_COUNT()`, `FOUND_ROWS()`, `LAST_INSERT_ID()`) was on a connection that is lost, or has been used otherwise since.",
                "Ask in the same transaction, or in a simpler form.",
            ),
            Self::Busy => (
                Retry::Safe,
                "A limit of Weir's own is reached: a queue is full, or a wait in it ended without a turn.",
                "Try again, with a pause. If it goes on, there are too few connections (`--pool-size`) or statements too slow.",
            ),
        }
    }

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
