//! Names of variables as statements write them, and which are Weir's own.

use std::borrow::Cow;

/// Weir's own session variables; servers know none of them.
pub(super) const OWN_VARIABLES: [&str; 7] = [
    "enable_read_write_splitting_for_read_only_txn",
    "monotonic_reads",
    "read_after_write_consistency",
    "read_after_write_timeout",
    "read_write_split_ratio",
    "read_write_splitting_policy",
    "transaction_replay",
];

/// The servers' variables that say what a client is told of session changes. Weir sets the servers' own as it needs them, and so
/// answers for the client's. (MySQL's `session_track_gtids` is left to the servers: MariaDB has none.)
pub(super) const TRACKERS: [&str; 4] = [
    "session_track_schema",
    "session_track_state_change",
    "session_track_system_variables",
    "session_track_transaction_info",
];

/// Variables by which a server says which one it is: whoever reads them asks who answers, and shall not change it by asking.
pub(super) const SERVER_NAMES: [&str; 4] = ["hostname", "port", "server_id", "server_uuid"];

/// Which value of a variable is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Not said: the session's, mostly.
    Unsaid,
    /// SESSION, LOCAL.
    Session,
    /// GLOBAL, PERSIST, PERSIST_ONLY: the server's.
    Global,
}

impl Scope {
    /// Reads the word before a variable's name, in any case.
    pub(super) fn parse(word: &[u8]) -> Option<Self> {
        const SCOPES: [(&str, Scope); 5] = [
            ("session", Scope::Session),
            ("local", Scope::Session),
            ("global", Scope::Global),
            ("persist", Scope::Global),
            ("persist_only", Scope::Global),
        ];
        SCOPES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(_, scope)| *scope)
    }
}

/// Takes `@@scope.name` apart; of `@@name` and `@@scope.cache.name` too.
pub(super) fn system_variable(text: &[u8]) -> (Scope, &[u8]) {
    let path = text.strip_prefix(b"@@").unwrap_or(text);
    let first = path.iter().position(|byte| *byte == b'.').map_or(path, |dot| &path[..dot]);
    let last = path.iter().rposition(|byte| *byte == b'.').map_or(path, |dot| &path[dot + 1..]);
    let scope = if first.len() < path.len() { Scope::parse(first) } else { None };
    (scope.unwrap_or(Scope::Unsaid), unquoted(last))
}

/// A name or a string without its quotes, of whatever kind. What has quotes inside is not taken apart further: no variable,
/// function, collation or schema that has rules is written so.
pub(super) fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'`', inside @ .., b'`'] | [b'\'', inside @ .., b'\''] | [b'"', inside @ .., b'"'] => inside,
        _ => text,
    }
}

/// Whether `name`, in any case, is one of `names`.
pub(super) fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether `name`, in any case, is Weir's own variable or one of the servers' `session_track_*`, which Weir has taken over.
pub(super) fn is_own(name: &[u8]) -> bool {
    const TRACKERS: &[u8] = b"session_track_";
    is_one_of(name, &OWN_VARIABLES)
        || name.get(..TRACKERS.len()).is_some_and(|head| head.eq_ignore_ascii_case(TRACKERS))
}

/// A name in lower case.
pub(super) fn lower(name: &[u8]) -> Cow<'_, str> {
    let name = String::from_utf8_lossy(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(name.to_ascii_lowercase()) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_variable_is_taken_apart() {
        assert_eq!(system_variable(b"@@autocommit"), (Scope::Unsaid, &b"autocommit"[..]));
        assert_eq!(system_variable(b"@@Session.`sql_mode`"), (Scope::Session, &b"sql_mode"[..]));
        assert_eq!(system_variable(b"@@local.x"), (Scope::Session, &b"x"[..]));
        assert_eq!(system_variable(b"@@global.hot.key_buffer_size"), (Scope::Global, &b"key_buffer_size"[..]));
        assert_eq!(system_variable(b"@@global"), (Scope::Unsaid, &b"global"[..]));
    }

    #[test]
    fn own_variables_are_known_in_any_case() {
        assert!(is_own(b"READ_WRITE_SPLIT_RATIO") && is_own(b"Session_Track_Gtids"));
        assert!(!is_own(b"read_only") && !is_own(b"session_trac") && !is_own(b""));
        assert_eq!(lower(b"Read_Write_Split_Ratio"), "read_write_split_ratio");
    }
}
