//! Texts that store a program: its statements run later, when it is called, and not where it is created.

use super::stream::Tokens;
use super::token::{Dialect, TokenKind};

const PROGRAMS: [&str; 5] = ["event", "function", "package", "procedure", "trigger"];
/// `DEFINER = 'user'@'host'` and `DEFINER = CURRENT_USER()`, in tokens behind the equals sign.
const DEFINER_TOKENS_MAX: usize = 4;

/// Whether `sql` begins with the creation of a stored program, or with a new body for one.
pub(super) fn is_stored(sql: &[u8], dialect: Dialect) -> bool {
    let mut words = Tokens::new(sql, dialect).peekable();
    if words.next_if(|token| token.is_word("create") || token.is_word("alter")).is_none() {
        return false;
    }
    if words.next_if(|token| token.is_word("or")).is_some() {
        words.next_if(|token| token.is_word("replace"));
    }
    let ahead = if words.next_if(|token| token.is_word("definer")).is_some() {
        words.next_if(|token| token.text == b"=");
        words.next();
        DEFINER_TOKENS_MAX
    } else {
        1
    };
    words.next_if(|token| token.is_word("aggregate"));
    words
        .take(ahead)
        .take_while(|token| token.kind != TokenKind::Semicolon)
        .any(|token| PROGRAMS.iter().any(|program| token.is_word(program)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Effects, Own, classify};

    #[test]
    fn programs_are_known_by_their_first_words() {
        let stored = |sql: &str| is_stored(sql.as_bytes(), Dialect::default());
        for sql in [
            "CREATE PROCEDURE p() SELECT 1",
            "create or replace definer = 'a'@'b' function f() returns int return 1",
            "CREATE DEFINER=CURRENT_USER() TRIGGER t BEFORE INSERT ON u FOR EACH ROW SET @a = 1",
            "CREATE AGGREGATE FUNCTION f(x INT) RETURNS INT BEGIN END",
            "ALTER EVENT e DO BEGIN END",
            "CREATE OR REPLACE PACKAGE BODY p AS END",
        ] {
            assert!(stored(sql), "{sql}");
        }
        for sql in [
            "CREATE TABLE event (procedure_id INT)",
            "CREATE DEFINER = event@localhost VIEW v AS SELECT 1",
            "DROP PROCEDURE p",
            "ALTER TABLE t ADD trigger_at INT",
            "CREATE",
            "SELECT 1; CREATE PROCEDURE p() SELECT 1",
        ] {
            assert!(!stored(sql), "{sql}");
        }
    }

    #[test]
    fn what_a_program_asks_for_is_not_asked_where_it_is_stored() {
        let sql = b"CREATE PROCEDURE p() BEGIN SELECT ROW_COUNT(); SELECT ROW_COUNT(); SHOW WARNINGS; END";
        assert!(!classify(sql, Dialect::default()).effects.contains(Effects::NEEDS_DIAGNOSTICS));
        let alone = b"SET @a = ROW_COUNT(); SELECT 1";
        assert!(classify(alone, Dialect::default()).effects.contains(Effects::NEEDS_DIAGNOSTICS));
    }

    #[test]
    fn a_program_that_kills_is_stored_and_a_kill_beside_other_statements_is_refused() {
        let own = |sql: &'static str| classify(sql.as_bytes(), Dialect::default()).own;
        assert_eq!(own("CREATE PROCEDURE p() BEGIN KILL QUERY 5; END"), None);
        assert!(matches!(own("SELECT 1; KILL 5"), Some(Own::Kill(_))));
        assert!(matches!(own("BEGIN NOT ATOMIC SELECT 1; KILL 5; END"), Some(Own::Kill(_))));
    }
}
