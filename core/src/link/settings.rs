//! The virtualised part of a session's state: what must hold on a server connection before a statement runs on it.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

bitflags! {
    /// What can only be chosen when a server connection is opened: most of it a client negotiated.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub struct ConnectionTraits: u8 {
        /// CLIENT_FOUND_ROWS: affected rows counts matched rows.
        const FOUND_ROWS = 1;
        /// CLIENT_IGNORE_SPACE: spaces allowed after function names.
        const IGNORE_SPACE = 2;
        /// CLIENT_MULTI_STATEMENTS: the server itself refuses `;` without it.
        const MULTI_STATEMENTS = 4;
        /// CLIENT_LOCAL_FILES: LOAD DATA LOCAL is allowed.
        const LOCAL_FILES = 8;
        /// No default schema was ever chosen: servers know no way back to that.
        const NO_SCHEMA = 16;
        /// CLIENT_PS_MULTI_RESULTS: OUT parameters of a prepared CALL are one more result.
        const PS_MULTI_RESULTS = 32;
        /// No CLIENT_DEPRECATE_EOF: only then does a server say what its status was between the columns and the rows.
        const CLASSIC_EOF = 64;
        /// MariaDB's extended metadata are in the definitions of columns.
        const EXTENDED_METADATA = 128;
    }
}

/// An account that statements run under on the servers, as the process that holds it numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u32);

impl AccountId {
    /// The one that the process was started with.
    pub const OWN: Self = Self(0);
}

/// What a server connection is from its first byte to its last. Connections of different classes are never exchanged for one
/// another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionClass {
    /// Who it was opened as.
    pub account: AccountId,
    /// What was chosen with it.
    pub traits: ConnectionTraits,
}

impl ConnectionClass {
    /// Of the process's own account, with nothing chosen.
    pub const PLAIN: Self = Self::of(ConnectionTraits::empty());

    /// Of the process's own account.
    #[must_use]
    pub const fn of(traits: ConnectionTraits) -> Self {
        Self { account: AccountId::OWN, traits }
    }
}

/// Schema and session variables, as the server's own trackers reported them.
///
/// Shared by `Arc` and compared by pointer first: a session that changes nothing costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// The default schema; `None` when the client chose none.
    pub schema: Option<Vec<u8>>,
    /// Session variables that differ from a fresh connection's, by lower-case name, with the server's text of the value.
    pub variables: BTreeMap<String, Vec<u8>>,
}

/// Session variables that a server's trackers report but that cannot be carried over to another connection by a `SET`:
/// one-shot values, positions, identities, and the trackers themselves, which Weir owns.
const NOT_CARRIED: [&str; 20] = [
    "error_count",
    "gtid_next",
    "gtid_seq_no",
    "identity",
    "insert_id",
    "last_gtid",
    "last_insert_id",
    "proxy_user",
    "pseudo_slave_mode",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "session_track_gtids",
    "session_track_schema",
    "session_track_state_change",
    "session_track_system_variables",
    "session_track_transaction_info",
    "sql_slave_skip_counter",
    "timestamp",
    "warning_count",
];

impl Settings {
    /// True when a session variable can be re-established on another connection by `SET name = value`.
    #[must_use]
    pub fn carries(name: &str) -> bool {
        NOT_CARRIED.binary_search(&name).is_err()
    }

    /// Takes in what a server's tracker reported of one session variable.
    ///
    /// `collation_connection` and `character_set_connection` are two views of one value, and only the one set last is kept:
    /// a character set implies its default collation, a collation implies its character set.
    pub fn absorb(&mut self, name: &[u8], value: &[u8]) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if !Self::carries(&name) {
            return;
        }
        match name.as_str() {
            "collation_connection" => drop(self.variables.remove("character_set_connection")),
            "character_set_connection" => drop(self.variables.remove("collation_connection")),
            _ => {}
        }
        self.variables.insert(name, value.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_are_not_carried_are_sorted_for_their_search() {
        assert!(NOT_CARRIED.is_sorted());
        assert!(!Settings::carries("timestamp"));
        assert!(Settings::carries("sql_mode"));
    }

    #[test]
    fn character_set_and_collation_of_the_connection_replace_each_other() {
        let mut s = Settings::default();
        s.absorb(b"collation_connection", b"utf8mb4_bin");
        s.absorb(b"character_set_connection", b"latin1");
        assert_eq!(s.variables.keys().collect::<Vec<_>>(), ["character_set_connection"]);
        s.absorb(b"Collation_Connection", b"utf8mb4_bin");
        assert_eq!(s.variables.keys().collect::<Vec<_>>(), ["collation_connection"]);
    }

    #[test]
    fn one_shot_values_are_left_to_the_connection() {
        let mut s = Settings::default();
        s.absorb(b"last_gtid", b"0-1-5");
        s.absorb(b"insert_id", b"5");
        assert_eq!(s, Settings::default());
    }
}
