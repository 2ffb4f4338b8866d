//! From the variables that hold to those that are wished for, by one `SET`.

use crate::link::Settings;

/// Two views of one value: whichever is wished for replaces the other.
const CONNECTION_CHARACTERS: [&str; 2] = ["character_set_connection", "collation_connection"];

/// The `SET` statement that makes the variables of `current` those of `wished`; `None` when they are equal.
pub(super) fn set_statement(current: &Settings, wished: &Settings) -> Option<Vec<u8>> {
    let mut sql = b"SET ".to_vec();
    for (name, value) in &wished.variables {
        if current.variables.get(name) != Some(value) {
            assign(&mut sql, name, |sql| put_value(sql, name, value));
        }
    }
    for name in current.variables.keys().filter(|name| !wished.variables.contains_key(*name)) {
        if !CONNECTION_CHARACTERS.contains(&name.as_str()) {
            assign(&mut sql, name, |sql| sql.extend_from_slice(b"DEFAULT"));
        }
    }
    (sql.len() > 4).then_some(sql)
}

fn assign(sql: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    if sql.len() > 4 {
        sql.push(b',');
    }
    // Names come from servers' trackers: a backquote makes the worst of them harmless.
    sql.extend_from_slice(b"@@session.`");
    sql.extend(name.bytes().filter(|byte| *byte != b'`'));
    sql.extend_from_slice(b"`=");
    value(sql);
}

fn put_value(sql: &mut Vec<u8>, name: &str, value: &[u8]) {
    match value {
        b"" if name == "character_set_results" => sql.extend_from_slice(b"NULL"),
        b"" => sql.extend_from_slice(b"''"),
        number if is_number(number) => sql.extend_from_slice(number),
        text => {
            // Hexadecimal digits need no escapes, in any SQL mode and any character set.
            sql.extend_from_slice(b"x'");
            for byte in text {
                sql.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
            sql.push(b'\'');
        }
    }
}

/// Numeric variables do not take strings.
fn is_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &b"0"[..]),
    };
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Settings { schema: None, variables }
    }

    fn set(current: &[(&str, &str)], wished: &[(&str, &str)]) -> Option<String> {
        set_statement(&settings(current), &settings(wished)).map(|sql| String::from_utf8(sql).unwrap())
    }

    #[test]
    fn only_what_differs_is_set() {
        assert_eq!(set(&[("a", "1")], &[("a", "1")]), None);
        assert_eq!(set(&[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "3")]).unwrap(), "SET @@session.`b`=3");
    }

    #[test]
    fn what_the_session_never_set_returns_to_its_default() {
        assert_eq!(set(&[("a", "1")], &[]).unwrap(), "SET @@session.`a`=DEFAULT");
    }

    #[test]
    fn numbers_are_bare_and_texts_cannot_break_out() {
        assert_eq!(set(&[], &[("a", "-1.50")]).unwrap(), "SET @@session.`a`=-1.50");
        assert_eq!(set(&[], &[("a", "x'\\")]).unwrap(), "SET @@session.`a`=x'78275c'");
        assert_eq!(set(&[], &[("a`b", "1.")]).unwrap(), "SET @@session.`ab`=x'312e'");
        assert_eq!(set(&[], &[("a", "")]).unwrap(), "SET @@session.`a`=''");
        assert_eq!(set(&[], &[("character_set_results", "")]).unwrap(), "SET @@session.`character_set_results`=NULL");
    }

    #[test]
    fn a_collation_is_not_undone_by_the_character_set_that_replaces_it() {
        let sql = set(&[("collation_connection", "utf8mb4_bin")], &[("character_set_connection", "latin1")]).unwrap();
        assert_eq!(sql, "SET @@session.`character_set_connection`=x'6c6174696e31'");
    }
}
