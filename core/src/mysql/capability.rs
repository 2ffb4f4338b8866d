//! What either end of a connection can do: the sets of flags Weir offers and asks for, and their negotiation.
//!
//! The client's side and the server's side are negotiated apart; a session reconciles them.
//! Source: MySQL source documentation, "Capabilities Flags"; MariaDB manual, "Connecting: capabilities".

use bitflags::bitflags;
pub use mysql_common::constants::{CapabilityFlags, ColumnFlags, ColumnType, StatusFlags};

/// MariaDB's name for the lowest bit (LONG_PASSWORD elsewhere): when both ends set it, the connection is a plain MySQL one
/// and the reserved bytes of the handshake hold no extended capabilities.
pub const CLIENT_MYSQL: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD;

bitflags! {
    /// What only MariaDB's servers and clients know. It stands in reserved bytes of the handshake where neither end sets
    /// [`CLIENT_MYSQL`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MariaDbCapabilities: u32 {
        /// Packets in the place of an error's tell how far a long statement is.
        const PROGRESS = 1;
        /// COM_STMT_BULK_EXECUTE.
        const STMT_BULK_OPERATIONS = 1 << 2;
        /// Definitions of columns name types that share a number with another (JSON, INET6, kinds of geometry). From 10.5 on.
        const EXTENDED_METADATA = 1 << 3;
        // Flags without a name here are kept as they come.
        const _ = !0;
    }
}

/// Of MariaDB's own capabilities, what clients can be offered in front of servers of this version, as they greet. Not among it: metadata that are
/// left out, and results of each row of a bulk (they change what is relayed).
#[must_use]
pub fn offered_as_mariadb(version: &str) -> MariaDbCapabilities {
    if !version.contains("MariaDB") {
        return MariaDbCapabilities::empty();
    }
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split('.').map_while(|number| number.parse::<u16>().ok());
    let release = (numbers.next(), numbers.next());
    let mut offered = ASKED_OF_MARIADB;
    offered.set(MariaDbCapabilities::EXTENDED_METADATA, release >= (Some(10), Some(5)));
    offered
}

/// Of MariaDB's own capabilities, what Weir asks of every server. A connection's class adds extended metadata.
pub const ASKED_OF_MARIADB: MariaDbCapabilities =
    MariaDbCapabilities::PROGRESS.union(MariaDbCapabilities::STMT_BULK_OPERATIONS);

/// What Weir offers to clients. `CLIENT_SSL` is added when the gateway has a certificate, `CLIENT_COMPRESS` unless it is
/// configured otherwise, `CLIENT_QUERY_ATTRIBUTES` where clients are asked for their traces, and `CLIENT_MYSQL` is left out where it greets
/// as MariaDB.
///
/// Not offered: compression by zstd, optional metadata and multi-factor authentication (MySQL's alone; they would change the bytes that
/// are relayed), and NO_SCHEMA (no client has used it since MySQL 4).
pub const OFFERED_TO_CLIENTS: CapabilityFlags = CLIENT_MYSQL
    .union(CapabilityFlags::CLIENT_FOUND_ROWS)
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB)
    .union(CapabilityFlags::CLIENT_ODBC)
    .union(CapabilityFlags::CLIENT_LOCAL_FILES)
    .union(CapabilityFlags::CLIENT_IGNORE_SPACE)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_INTERACTIVE)
    .union(CapabilityFlags::CLIENT_IGNORE_SIGPIPE)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_RESERVED)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_CONNECT_ATTRS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS)
    .union(CapabilityFlags::CLIENT_SESSION_TRACK)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// What Weir asks of every server. A connection's class adds to it (FOUND_ROWS, IGNORE_SPACE, MULTI_STATEMENTS, LOCAL_FILES,
/// PS_MULTI_RESULTS) or takes DEPRECATE_EOF from it; `CLIENT_CONNECT_WITH_DB` and `CLIENT_SSL` are added by the handshake when it uses them.
pub const ASKED_OF_SERVERS: CapabilityFlags = CLIENT_MYSQL
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_CONNECT_ATTRS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_SESSION_TRACK)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// What holds on a connection, MariaDB's own capabilities included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What every server may know.
    pub common: CapabilityFlags,
    /// What MariaDB's alone may.
    pub of_mariadb: MariaDbCapabilities,
}

impl From<CapabilityFlags> for Agreed {
    fn from(common: CapabilityFlags) -> Self {
        Self { common, of_mariadb: MariaDbCapabilities::empty() }
    }
}

/// What holds on a connection: what the server offered and the client took.
///
/// As on a server, MULTI_STATEMENTS brings MULTI_RESULTS with it.
#[must_use]
pub fn negotiate(offered: CapabilityFlags, taken: CapabilityFlags) -> CapabilityFlags {
    let mut both = offered & taken;
    if both.contains(CapabilityFlags::CLIENT_MULTI_STATEMENTS) {
        both |= CapabilityFlags::CLIENT_MULTI_RESULTS;
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_negotiated_that_either_end_lacks() {
        let both = negotiate(OFFERED_TO_CLIENTS, CapabilityFlags::all());
        assert_eq!(both, OFFERED_TO_CLIENTS);
        assert!(!both.intersects(CapabilityFlags::CLIENT_COMPRESS | CapabilityFlags::CLIENT_QUERY_ATTRIBUTES));
        assert_eq!(negotiate(OFFERED_TO_CLIENTS, CapabilityFlags::empty()), CapabilityFlags::empty());
    }

    #[test]
    fn extended_metadata_are_offered_as_the_servers_that_have_them() {
        let extended = |version| offered_as_mariadb(version).contains(MariaDbCapabilities::EXTENDED_METADATA);
        assert!(["10.11.6-MariaDB", "5.5.5-10.5.0-MariaDB-log", "11.4.2-MariaDB"].into_iter().all(extended));
        assert!(!["10.4.34-MariaDB", "MariaDB", "8.4.0"].into_iter().any(extended));
        assert!(offered_as_mariadb("8.4.0").is_empty());
    }

    #[test]
    fn multi_statements_bring_multi_results() {
        let both = negotiate(OFFERED_TO_CLIENTS, CapabilityFlags::CLIENT_MULTI_STATEMENTS);
        assert!(both.contains(CapabilityFlags::CLIENT_MULTI_RESULTS));
    }
}
