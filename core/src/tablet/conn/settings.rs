//! The way from the settings that hold on a connection to those a request needs, as SQL.
//!
//! Values are the servers' own texts. They are written so that no SQL mode and no character set reads them otherwise: numbers
//! as they are, plain ASCII between single quotes, everything else in hexadecimal.

use super::config::SET_BYTES_MAX;
use crate::link::Settings;
use crate::mysql::collation::COLLATE;
use core::fmt::Write as _;

/// Variables to set (`Some`), or to set back to what they are on a fresh connection (`None`).
pub(super) type Changes = Vec<(String, Option<Vec<u8>>)>;

const CHARACTER_SET: &str = "utf8mb4";
const COLLATION: &str = "utf8mb4_general_ci";

/// Two names of one value: see [`Settings::absorb`].
const CONNECTION_CHARSET: [&str; 2] = ["character_set_connection", "collation_connection"];

/// Without the report, a `SET TRANSACTION` that only the server sees, within a function in a view, is left to the next session. But
/// MariaDB keeps connections that report transactions away from its query cache: one that uses that reports none.
macro_rules! report_transactions {
    () => {
        "session_track_transaction_info = IF(@@query_cache_type = 'OFF', 'CHARACTERISTICS', 'OFF')"
    };
}

/// Told once more to a connection whose use of the query cache may have changed.
pub(super) const REPORT_TRANSACTIONS: &str = concat!("SET ", report_transactions!());

/// What every connection is told first, on a server that tracks: to report everything, and to begin with the one character
/// set whatever the server's configuration makes of the handshake's.
pub(super) fn setup(mariadb: bool) -> String {
    let (transactions, gtids) = match mariadb {
        true => (report_transactions!(), ""),
        false => ("session_track_transaction_info = 'CHARACTERISTICS'", ", session_track_gtids = OWN_GTID"),
    };
    format!(
        "SET session_track_schema = 1, session_track_state_change = 1, session_track_system_variables = '*', \
         {transactions}{gtids}, {}",
        baseline_character_set()
    )
}

/// Whether `name` is the variable that decides of [`REPORT_TRANSACTIONS`].
pub(super) fn decides_of_reports(name: &str) -> bool {
    name == "query_cache_type"
}

/// The first words to a server that does not track.
pub(super) fn setup_untracked() -> String {
    format!("SET {}", baseline_character_set())
}

fn baseline_character_set() -> String {
    format!(
        "character_set_client = {CHARACTER_SET}, character_set_results = {CHARACTER_SET}, collation_connection = {COLLATION}"
    )
}

/// What leads from one set of variables to another: first what to set back, then what to set.
pub(super) fn changes(from: &Settings, to: &Settings) -> (Changes, Changes) {
    let wished = |name: &str| match CONNECTION_CHARSET.contains(&name) {
        true => CONNECTION_CHARSET.iter().any(|name| to.variables.contains_key(*name)),
        false => to.variables.contains_key(name),
    };
    let resets = from.variables.keys().filter(|name| !wished(name)).map(|name| (name.clone(), None)).collect();
    let names = to.variables.get("character_set_results").filter(|value| collated(value).is_some());
    let set_names = names.is_some_and(|value| from.variables.get("character_set_results") != Some(value));
    let sets = to
        .variables
        .iter()
        .filter(|(name, value)| from.variables.get(*name) != Some(*value) || set_names && set_by_names(name));
    (resets, sets.map(|(name, value)| (name.clone(), Some(value.clone()))).collect())
}

/// `SET NAMES` sets this too.
fn set_by_names(name: &str) -> bool {
    name == "character_set_client" || CONNECTION_CHARSET.contains(&name)
}

/// Character set and collation of results that have not their character set's own collation: only `SET NAMES` makes them so.
fn collated(value: &[u8]) -> Option<(&str, &str)> {
    core::str::from_utf8(value).ok()?.split_once(COLLATE).filter(|(set, collation)| is_name(set) && is_name(collation))
}

/// Notes that the changes were made.
pub(super) fn apply(changes: &Changes, settings: &mut Settings) {
    for (name, value) in changes {
        match value {
            Some(value) => settings.absorb(name.as_bytes(), value),
            None => drop(settings.variables.remove(name)),
        }
    }
}

/// The `SET` that makes the changes; `None` when a name is none or the text is too long.
pub(super) fn statement(changes: &Changes, last_insert_id: Option<u64>) -> Option<String> {
    let mut sql = String::from("SET ");
    let is_names = |name: &str, value: &Option<Vec<u8>>| {
        name == "character_set_results" && value.as_deref().is_some_and(|value| collated(value).is_some())
    };
    // First of all, since it sets more than results.
    for (_, value) in changes.iter().filter(|(name, value)| is_names(name, value)) {
        let (character_set, collation) = collated(value.as_deref()?)?;
        write!(sql, "NAMES {character_set} COLLATE {collation}, ").ok()?;
    }
    for (name, value) in changes.iter().filter(|(name, value)| !is_names(name, value)) {
        if !is_name(name) {
            return None;
        }
        match value {
            None => write!(sql, "{name} = {}, ", baseline(name)).ok()?,
            Some(value) => write!(sql, "{name} = {}, ", literal(name, value)).ok()?,
        }
    }
    if let Some(id) = last_insert_id {
        write!(sql, "last_insert_id = {id}, ").ok()?;
    }
    sql.truncate(sql.len() - ", ".len());
    (sql.len() <= SET_BYTES_MAX).then_some(sql)
}

/// Asks for the values of variables. The names come from a server's tracker.
pub(super) fn question(names: &[String]) -> Option<String> {
    let all = names.iter().all(|name| is_name(name));
    let columns: Vec<String> = names.iter().map(|name| format!("@@session.{name}")).collect();
    all.then(|| format!("SELECT {} LIMIT 1", columns.join(", ")))
}

/// A single `SET`, after which its variables stay as the tracker reports them. Stored code and batches may restore what they
/// have set, and trackers do not say so.
pub(super) fn is_plain_set(sql: &[u8]) -> bool {
    let word = |sql: &[u8], word: &[u8]| sql.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let sql = sql.trim_ascii().strip_suffix(b";").unwrap_or(sql.trim_ascii());
    let Some(rest) = sql.get(3..) else { return false };
    let spaced = rest.first().is_some_and(u8::is_ascii_whitespace);
    // What follows a comment or a semicolon is for a lexer to say.
    let simple = memchr::memchr2(b';', b'/', rest).is_none();
    word(sql, b"SET") && spaced && simple && !word(rest.trim_ascii_start(), b"STATEMENT")
}

/// What a variable is set back to. The character sets of a fresh connection are the handshake's, and not the server's default.
fn baseline(name: &str) -> &'static str {
    match name {
        "character_set_client" | "character_set_results" | "character_set_connection" => CHARACTER_SET,
        "collation_connection" => COLLATION,
        _ => "DEFAULT",
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
}

/// Variables that may be NULL, which trackers report as nothing, and never are empty.
const NULLABLE: [&str; 5] = [
    "character_set_results",
    "default_tmp_storage_engine",
    "enforce_storage_engine",
    "innodb_ft_user_stopword_table",
    "innodb_tmpdir",
];
/// Of this trackers report `DEFAULT`, which is no value of it.
const REPORTED_AS_DEFAULT: &str = "system_versioning_asof";

fn literal(name: &str, value: &[u8]) -> String {
    if value.is_empty() && NULLABLE.contains(&name) {
        return "NULL".to_owned();
    }
    if name == REPORTED_AS_DEFAULT && value == b"DEFAULT" {
        return "DEFAULT".to_owned();
    }
    match core::str::from_utf8(value) {
        Ok(text) if is_number(text) => text.to_owned(),
        Ok(text) if value.iter().all(|byte| is_plain(*byte)) => format!("'{text}'"),
        _ => value.iter().fold("_utf8mb4 0x".to_owned(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

/// Bytes that mean themselves between single quotes, in every SQL mode and every character set of a client.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'\\' | b'"' | b'`') || byte == b' '
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        pairs.iter().for_each(|(name, value)| settings.absorb(name.as_bytes(), value.as_bytes()));
        settings
    }

    /// The statements that lead from one to the other.
    fn way(from: &[(&str, &str)], to: &[(&str, &str)]) -> Vec<String> {
        let (resets, sets) = changes(&settings(from), &settings(to));
        [resets, sets].iter().filter(|c| !c.is_empty()).filter_map(|c| statement(c, None)).collect()
    }

    #[test]
    fn only_what_differs_is_set() {
        let from = [("sql_mode", "ANSI"), ("time_zone", "+01:00"), ("max_join_size", "10")];
        let to = [("time_zone", "+01:00"), ("max_join_size", "20"), ("long_query_time", "1.500000")];
        assert_eq!(way(&from, &to), ["SET sql_mode = DEFAULT", "SET long_query_time = 1.500000, max_join_size = 20"]);
        assert!(way(&to, &to).is_empty());
    }

    #[test]
    fn the_connections_character_set_is_one_value_with_two_names() {
        let to = [("collation_connection", "utf8mb4_bin")];
        assert_eq!(way(&[("character_set_connection", "latin1")], &to), ["SET collation_connection = 'utf8mb4_bin'"]);
        assert_eq!(way(&to, &[]), ["SET collation_connection = utf8mb4_general_ci"]);
        let mut held = settings(&to);
        apply(&vec![("character_set_connection".to_owned(), Some(b"latin1".to_vec()))], &mut held);
        assert_eq!(held, settings(&[("character_set_connection", "latin1")]));
    }

    #[test]
    fn results_in_a_collation_of_their_own_take_a_set_names() {
        let plain = [
            ("character_set_client", "latin1"),
            ("character_set_results", "latin1"),
            ("collation_connection", "latin1_bin"),
        ];
        let mut to = plain;
        to[1].1 = "latin1 COLLATE latin1_german2_ci";
        assert_eq!(
            way(&plain, &to),
            [
                "SET NAMES latin1 COLLATE latin1_german2_ci, character_set_client = 'latin1', collation_connection = 'latin1_bin'"
            ]
        );
        assert_eq!(way(&to, &plain), ["SET character_set_results = 'latin1'"]);
        let odd = [("character_set_results", "x COLLATE y; DROP TABLE t")];
        assert_eq!(way(&[], &odd), ["SET character_set_results = 'x COLLATE y; DROP TABLE t'"]);
    }

    #[test]
    fn values_cannot_leave_their_quotes() {
        assert_eq!(literal("x", b"it's"), "_utf8mb4 0x69742773");
        assert_eq!(literal("x", b"back\\slash"), "_utf8mb4 0x6261636b5c736c617368");
        assert_eq!(literal("x", b"\xe9"), "_utf8mb4 0xe9");
        assert_eq!(literal("x", b""), "''");
        assert_eq!(literal("character_set_results", b""), "NULL");
        assert_eq!(literal("enforce_storage_engine", b""), "NULL");
        assert_eq!(literal("system_versioning_asof", b"DEFAULT"), "DEFAULT");
        assert_eq!(literal("x", b"-12"), "-12");
        assert_eq!(literal("x", b"1.2.3"), "'1.2.3'");
        assert_eq!(literal("x", b"-"), "'-'");
    }

    #[test]
    fn what_is_no_name_is_not_sent() {
        assert_eq!(statement(&vec![("a=1, b".to_owned(), None)], None), None);
        assert_eq!(statement(&vec![], Some(7)).as_deref(), Some("SET last_insert_id = 7"));
        assert_eq!(statement(&vec![("a".to_owned(), Some(vec![0xff; SET_BYTES_MAX / 2]))], None), None);
    }

    #[test]
    fn only_a_plain_set_lasts_for_sure() {
        for lasting in ["SET a=1", " set names latin1 collate latin1_bin ;", "SET @@x = 2"] {
            assert!(is_plain_set(lasting.as_bytes()), "{lasting}");
        }
        for other in
            ["SET STATEMENT a=1 FOR SELECT 1", "CALL p()", "SET a=1; SELECT 1", "set", "SET /**/ STATEMENT", "SETTLE a"]
        {
            assert!(!is_plain_set(other.as_bytes()), "{other}");
        }
    }
}
