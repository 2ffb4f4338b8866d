//! What a statement leaves for the next one to ask for: counts and warnings, as far as its text tells before it runs.
//!
//! Servers keep `ROW_COUNT()`, `FOUND_ROWS()` and the list of warnings on the connection, by rules that were never written for
//! anybody to follow from outside: DDL counts -1, `EXPLAIN` changes one number and `DESCRIBE` another. What this module says
//! to be known holds on every server; whatever it is not sure of the server is to be asked.

use super::classification::{Classification, Effects, Kind};
use super::lexer::Lexer;
use super::token::{Dialect, Token, TokenKind};

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// What `ROW_COUNT()` returns.
    pub row_count: RowCount,
    /// What `FOUND_ROWS()` returns.
    pub found_rows: FoundRows,
    /// Whether it uses a table, and so makes servers forget the warnings before it.
    pub forgets: Forgets,
}

/// What `ROW_COUNT()` returns after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCount {
    /// What it returned before.
    Kept,
    /// What the answer says: the affected rows, -1 after rows or an error.
    Told,
    /// Something else, which the server knows; -1 after an error.
    Counted,
    /// As [`RowCount::Told`], but who knows what after an error.
    Shown,
}

/// What `FOUND_ROWS()` returns after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundRows {
    /// What it returned before.
    Kept,
    /// As many rows as were sent.
    Sent,
    /// Something else, which the server knows.
    Counted,
    /// That, or what it returned before.
    Unsure,
}

/// Whether a statement that warns of nothing makes servers forget earlier warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgets {
    /// It uses no table.
    No,
    /// It uses one.
    Yes,
    /// That is for the server to say.
    Unsure,
}

impl Leaves {
    /// Of what is no statement: a command that counts nothing and uses no table.
    pub const NOTHING: Self = Self::new(RowCount::Told, FoundRows::Kept, Forgets::No);
    const UNSURE: Self = Self::new(RowCount::Counted, FoundRows::Unsure, Forgets::Unsure);

    const fn new(row_count: RowCount, found_rows: FoundRows, forgets: Forgets) -> Self {
        Self { row_count, found_rows, forgets }
    }
}

/// What `sql`, whose verdict is `class`, leaves.
#[must_use]
pub fn leaves(sql: &[u8], dialect: Dialect, class: &Classification<'_>) -> Leaves {
    let runs_code = class.effects.contains(Effects::RUNS_STORED_CODE);
    if class.effects.contains(Effects::MULTI) || dialect.may_misread(sql) || runs_code && class.kind != Kind::Select {
        return Leaves::UNSURE;
    }
    let scan = Scan::of(sql, dialect);
    if scan.in_doubt {
        return Leaves::UNSURE;
    }
    let kept_unless_selects = if scan.selects { FoundRows::Unsure } else { FoundRows::Kept };
    match class.kind {
        Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Savepoint | Kind::Use | Kind::Xa | Kind::Empty => {
            Leaves::NOTHING
        }
        Kind::Select => {
            let found_rows = match scan {
                Scan { values_first: true, .. } => FoundRows::Unsure,
                Scan { miscounts: true, .. } => FoundRows::Counted,
                _ => FoundRows::Sent,
            };
            let forgets = if runs_code && !scan.table { Forgets::Unsure } else { scan.forgets() };
            Leaves::new(RowCount::Told, found_rows, forgets)
        }
        Kind::Set | Kind::Do => Leaves::new(RowCount::Told, kept_unless_selects, scan.forgets()),
        Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete | Kind::Load | Kind::Handler => {
            Leaves::new(RowCount::Told, kept_unless_selects, Forgets::Yes)
        }
        Kind::Ddl => Leaves::new(RowCount::Counted, kept_unless_selects, Forgets::Unsure),
        Kind::Admin | Kind::Lock => Leaves::new(RowCount::Told, FoundRows::Kept, Forgets::Unsure),
        // EXECUTE runs stored code.
        Kind::Prepare => Leaves::NOTHING,
        Kind::Show => shown(sql, dialect),
        Kind::Explain => Leaves::new(RowCount::Shown, FoundRows::Unsure, Forgets::Unsure),
        Kind::Other if first_words(sql, dialect).is_some_and(|[word, _]| word.is_word("get")) => {
            Leaves { row_count: RowCount::Kept, ..Leaves::NOTHING }
        }
        Kind::Call | Kind::Kill | Kind::Reload | Kind::ResetDigests | Kind::Other => Leaves::UNSURE,
    }
}

/// The first two words, if there are two.
fn first_words(sql: &[u8], dialect: Dialect) -> Option<[Token<'_>; 2]> {
    let mut tokens = Lexer::new(sql, dialect);
    Some([tokens.next()?, tokens.next()?])
}

/// SHOW is a SELECT on the information schema, or a list that the server makes itself.
fn shown(sql: &[u8], dialect: Dialect) -> Leaves {
    const SELECTED: [&str; 20] = [
        "character",
        "charset",
        "collation",
        "columns",
        "databases",
        "engines",
        "events",
        "fields",
        "function",
        "index",
        "indexes",
        "keys",
        "open",
        "package",
        "plugins",
        "procedure",
        "schemas",
        "status",
        "tables",
        "triggers",
    ];
    const LISTED: [&str; 10] =
        ["binary", "binlog", "engine", "errors", "grants", "master", "privileges", "relaylog", "slave", "warnings"];
    let mut words = Lexer::new(sql, dialect).skip(1).skip_while(|token| {
        ["extended", "full", "global", "local", "session", "storage"].iter().any(|word| token.is_word(word))
    });
    let Some(what) = words.next() else { return Leaves::UNSURE };
    let is_any = |names: &[&str]| names.iter().any(|name| what.is_word(name));
    let (found_rows, forgets) = if is_any(&SELECTED) || what.is_word("table") || what.is_word("variables") {
        (FoundRows::Sent, Forgets::Yes)
    } else if is_any(&LISTED) {
        (FoundRows::Kept, Forgets::No)
    } else if what.is_word("count") {
        (FoundRows::Sent, Forgets::No)
    } else if what.is_word("create") {
        let of_table = words.next().is_some_and(|next| next.is_word("table") || next.is_word("view"));
        (FoundRows::Kept, if of_table { Forgets::Yes } else { Forgets::Unsure })
    } else {
        (FoundRows::Unsure, Forgets::Unsure)
    };
    Leaves::new(RowCount::Shown, found_rows, forgets)
}

/// Words that make a SELECT find another number of rows than it sends, or may. A column of that name costs a question.
const MISCOUNT: [&str; 10] =
    ["except", "fetch", "intersect", "into", "offset", "procedure", "rollup", "sql_calc_found_rows", "union", "values"];
/// Functions with a FROM that is none.
const FROM_IN_CALL: [&str; 6] = ["extract", "mid", "substr", "substring", "trim", "trim_oracle"];
/// Ways to a sequence, which is a table.
const SEQUENCES: [&str; 5] = ["lastval", "next", "nextval", "previous", "setval"];

/// What the words of a statement show.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// A SELECT is in it, at whatever depth.
    selects: bool,
    values_first: bool,
    miscounts: bool,
    table: bool,
    sequence: bool,
    in_doubt: bool,
}

impl Scan {
    fn of(sql: &[u8], dialect: Dialect) -> Self {
        let mut scan = Self::default();
        let mut lexer = Lexer::new(sql, dialect);
        // For each open parenthesis, whether a function like EXTRACT opened it.
        let mut calls = Vec::new();
        let mut last: Option<Token<'_>> = None;
        while let Some(token) = lexer.next() {
            let is_any = |words: &[&str]| words.iter().any(|word| token.is_word(word));
            match token.kind {
                TokenKind::OpenParen => {
                    calls.push(last.is_some_and(|last| FROM_IN_CALL.iter().any(|name| last.is_word(name))))
                }
                TokenKind::CloseParen => drop(calls.pop()),
                TokenKind::Word if last.is_none() && token.is_word("values") => scan.values_first = true,
                TokenKind::Word if token.is_word("select") || token.is_word("with") => scan.selects = true,
                TokenKind::Word if token.is_word("from") && !calls.last().is_some_and(|in_call| *in_call) => {
                    scan.table |= !lexer.clone().next().is_some_and(|next| next.is_word("dual"));
                }
                TokenKind::Word if token.is_word("limit") => {
                    let mut ahead = lexer.clone().skip(1);
                    scan.miscounts |= ahead.next().is_some_and(|second| second.kind == TokenKind::Comma);
                }
                TokenKind::Word if is_any(&MISCOUNT) => scan.miscounts = true,
                TokenKind::Word if is_any(&SEQUENCES) => scan.sequence = true,
                TokenKind::Unterminated => scan.in_doubt = true,
                _ => {}
            }
            last = Some(token);
        }
        scan.in_doubt |= lexer.has_executable_comment();
        scan
    }

    fn forgets(&self) -> Forgets {
        match self.table {
            true => Forgets::Yes,
            false if self.sequence => Forgets::Unsure,
            false => Forgets::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::classify;

    fn of(sql: &str) -> Leaves {
        leaves(sql.as_bytes(), Dialect::default(), &classify(sql.as_bytes(), Dialect::default()))
    }

    #[test]
    fn a_plain_select_finds_what_it_sends() {
        for sql in ["SELECT a FROM t WHERE id = 1", "select 1", "SELECT a FROM t LIMIT 5", "SELECT a FROM t FOR UPDATE"]
        {
            assert_eq!(of(sql).found_rows, FoundRows::Sent, "{sql}");
        }
        for sql in [
            "SELECT a FROM t LIMIT 5, 5",
            "SELECT a FROM t LIMIT 5 OFFSET 5",
            "SELECT a FROM t LIMIT ?, ?",
            "SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 1",
            "SELECT 1 UNION SELECT 2",
            "SELECT 1 INTO @a",
        ] {
            assert_eq!(of(sql).found_rows, FoundRows::Counted, "{sql}");
        }
        for sql in [
            "VALUES (1), (2)",
            "SELECT 1; SELECT 2",
            "SELECT /*! SQL_CALC_FOUND_ROWS */ 1",
            "SET @a = (SELECT 1)",
            "INSERT INTO t SELECT 1",
            "INSERT INTO t VALUES (shop.price(1))",
            "EXPLAIN SELECT 1",
            "CALL p()",
        ] {
            assert_eq!(of(sql).found_rows, FoundRows::Unsure, "{sql}");
        }
        assert_eq!(of("SHOW FULL TABLES").found_rows, FoundRows::Sent);
        assert_eq!(of("SHOW CREATE TABLE t").found_rows, FoundRows::Kept);
        assert_eq!(of("SHOW WARNINGS LIMIT 1").found_rows, FoundRows::Kept);
        assert_eq!(of("SHOW COUNT(*) ERRORS").found_rows, FoundRows::Sent);
        for sql in ["SET @a = 1", "COMMIT", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DO 1", "USE a"] {
            assert_eq!(of(sql).found_rows, FoundRows::Kept, "{sql}");
        }
    }

    #[test]
    fn what_uses_a_table_is_told_from_what_does_not() {
        for sql in ["SELECT a FROM t", "SELECT (SELECT MAX(a) FROM t)", "DELETE FROM t", "SET @a = (SELECT 1 FROM t)"] {
            assert_eq!(of(sql).forgets, Forgets::Yes, "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SELECT 1 FROM DUAL",
            "SELECT EXTRACT(DAY FROM NOW()), TRIM('a' FROM 'b')",
            "BEGIN",
            "SET NAMES utf8mb4",
            "SELECT @@warning_count",
        ] {
            assert_eq!(of(sql).forgets, Forgets::No, "{sql}");
        }
        assert_eq!(of("SELECT TRIM((SELECT a FROM t) FROM 'b')").forgets, Forgets::Yes);
        for sql in ["SELECT NEXTVAL(s)", "SELECT shop.price(1)", "CALL p()", "CREATE DATABASE d", "SELECT 'a"] {
            assert_eq!(of(sql).forgets, Forgets::Unsure, "{sql}");
        }
        assert_eq!(of("SHOW GRANTS").forgets, Forgets::No);
        assert_eq!(of("SHOW TABLES").forgets, Forgets::Yes);
    }

    #[test]
    fn schema_changes_count_what_only_the_server_knows() {
        assert_eq!(of("CREATE TABLE t (a INT)").row_count, RowCount::Counted);
        assert_eq!(of("UPDATE t SET a = 1").row_count, RowCount::Told);
        assert_eq!(of("GET DIAGNOSTICS @n = NUMBER").row_count, RowCount::Kept);
    }
}
