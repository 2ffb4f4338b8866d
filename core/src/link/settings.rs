//! The virtualised part of a session's state: what must hold on a server connection before a statement runs on it.

use bitflags::bitflags;
use std::collections::BTreeMap;

bitflags! {
    /// What a client negotiated that can only be chosen when the server connection is opened.
    /// Connections of different classes are never exchanged for one another.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct ConnectionClass: u8 {
        /// CLIENT_FOUND_ROWS: affected rows counts matched rows.
        const FOUND_ROWS = 1;
        /// CLIENT_IGNORE_SPACE: spaces allowed after function names.
        const IGNORE_SPACE = 2;
        /// CLIENT_MULTI_STATEMENTS: the server itself refuses `;` without it.
        const MULTI_STATEMENTS = 4;
        /// CLIENT_LOCAL_FILES: LOAD DATA LOCAL is allowed.
        const LOCAL_FILES = 8;
    }
}

/// Schema and session variables, as the server's own trackers reported them.
///
/// Shared by `Arc` and compared by pointer first: a session that changes nothing costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// The default schema; `None` when the client chose none.
    pub schema: Option<Vec<u8>>,
    /// Session variables that differ from a fresh connection's, by lower-case name, with the server's text of the value.
    pub variables: BTreeMap<String, Vec<u8>>,
}
