//! What a statement asks of the one before it, and how it is asked where another connection has to answer: with the numbers
//! written into it.
//!
//! `ROW_COUNT()` becomes `IF(1,3,ROW_COUNT())`: the value is the session's, the type and the length that metadata tell are the
//! function's own. Columns keep their names by an alias.

use super::lexer::Lexer;
use super::token::{Dialect, Token, TokenKind};
use super::variable::{Scope, is_one_of, system_variable};
use core::ops::Range;

/// Longest name that is given to a column, in bytes (`MAX_ALIAS_NAME`).
const ALIAS_BYTES_MAX: usize = 255;
/// Most tokens of a statement that is looked into.
pub(super) const MOST_TOKENS: usize = 4096;

/// `SHOW WARNINGS` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowConditions {
    /// `SHOW WARNINGS | ERRORS [LIMIT [offset,] rows]`.
    List {
        /// Errors only.
        errors: bool,
        /// Rows to pass over.
        offset: usize,
        /// Rows to show, at most.
        rows: usize,
    },
    /// `SHOW COUNT(*) WARNINGS | ERRORS`.
    Count {
        /// Errors only.
        errors: bool,
    },
}

/// Reads `SHOW WARNINGS` and its kin; `None` for anything else.
#[must_use]
pub fn show_conditions(sql: &[u8], dialect: Dialect) -> Option<ShowConditions> {
    let mut tokens = Lexer::new(sql, dialect);
    tokens.next().filter(|token| token.is_word("show"))?;
    let mut token = tokens.next()?;
    let counts = token.is_word("count");
    if counts {
        for text in ["(", "*", ")"] {
            tokens.next().filter(|token| token.text == text.as_bytes())?;
        }
        token = tokens.next()?;
    }
    let errors = token.is_word("errors");
    if !errors && !token.is_word("warnings") {
        return None;
    }
    let mut next = || tokens.next().filter(|token| token.kind != TokenKind::Semicolon);
    let Some(limit) = next() else {
        let whole = ShowConditions::List { errors, offset: 0, rows: usize::MAX };
        return Some(if counts { ShowConditions::Count { errors } } else { whole });
    };
    if counts || !limit.is_word("limit") {
        return None;
    }
    let number = |token: Token<'_>| core::str::from_utf8(token.text).ok()?.parse::<usize>().ok();
    let first = number(next()?)?;
    let (offset, rows) = match next() {
        None => (0, first),
        Some(token) if token.kind == TokenKind::Comma => (first, number(next()?)?),
        Some(token) if token.is_word("offset") => (number(next()?)?, first),
        Some(_) => return None,
    };
    next().is_none().then_some(ShowConditions::List { errors, offset, rows })
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number<T> {
    /// It is this.
    Is(T),
    /// The server knows it, where the statement will run: the question may stand.
    There,
    /// Nobody knows it.
    Lost,
}

/// What the statement before has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// `ROW_COUNT()`.
    pub row_count: Number<i64>,
    /// `FOUND_ROWS()`.
    pub found_rows: Number<u64>,
    /// `@@warning_count`.
    pub warnings: Number<u64>,
    /// `@@error_count`.
    pub errors: Number<u64>,
}

impl<T: ToString> Number<T> {
    /// What to write; `Some(None)`: nothing. `None`: it is lost.
    fn text(&self) -> Option<Option<String>> {
        match self {
            Self::Is(value) => Some(Some(value.to_string())),
            Self::There => Some(None),
            Self::Lost => None,
        }
    }
}

/// A statement with numbers in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its text; `None` when it asked for no number.
    pub sql: Option<Vec<u8>>,
    /// It asks for more: the list of warnings as the server keeps it.
    pub asks_on: bool,
}

/// Writes the numbers into the first statement of `sql`; what follows asks for what that one leaves. `None` when a number is
/// not known, or its place not understood.
#[must_use]
pub fn with_numbers(sql: &[u8], dialect: Dialect, numbers: &Numbers) -> Option<Numbered> {
    let mut lexer = Lexer::new(sql, dialect);
    let tokens: Vec<Token<'_>> =
        lexer.by_ref().take_while(|token| token.kind != TokenKind::Semicolon).take(MOST_TOKENS).collect();
    let odd = tokens.len() == MOST_TOKENS
        || lexer.has_executable_comment()
        || tokens.iter().any(|token| token.kind == TokenKind::Unterminated);
    let mut edits = Vec::new();
    let mut asks_on = asks_otherwise(&tokens);
    let variables_alone = is_list_of_variables(&tokens);
    for (at, token) in tokens.iter().enumerate() {
        if let Some(call) = count_call(&tokens, at) {
            let text = &sql[call.clone()];
            let value =
                if token.is_word("row_count") { numbers.row_count.text()? } else { numbers.found_rows.text()? };
            let Some(value) = value else { continue };
            edits.push(Edit { at: call, text: [b"IF(1,", value.as_bytes(), b",", text, b")"].concat(), token: at });
        } else if let Some(errors) = total(token) {
            // Beside an expression that warns the server counts anew.
            if !variables_alone {
                asks_on = true;
                continue;
            }
            let value = if errors { numbers.errors.text()? } else { numbers.warnings.text()? };
            let Some(value) = value else { continue };
            let text = [b"IF(1,CAST(", value.as_bytes(), b" AS UNSIGNED),", token.text, b")"].concat();
            edits.push(Edit { at: token.start..token.end(), text, token: at });
        }
    }
    if edits.is_empty() {
        return Some(Numbered { sql: None, asks_on });
    }
    let nameless = tokens.first().is_some_and(|first| first.is_word("values"));
    if odd || nameless || tokens.iter().any(|token| token.is_word("returning")) {
        return None;
    }
    name_columns(sql, &tokens, &mut edits)?;
    Some(Numbered { sql: Some(edited(sql, edits)), asks_on })
}

/// A place in the text, and what is to stand there.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) at: Range<usize>,
    pub(super) text: Vec<u8>,
    /// The token that it begins with.
    pub(super) token: usize,
}

/// The text with its edits, none of which overlap.
pub(super) fn edited(sql: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let (mut text, mut end) = (Vec::with_capacity(sql.len() + 64), 0);
    for edit in &edits {
        text.extend_from_slice(&sql[end..edit.at.start]);
        text.extend_from_slice(&edit.text);
        end = edit.at.end;
    }
    text.extend_from_slice(&sql[end..]);
    text
}

/// The extent of `ROW_COUNT()` or `FOUND_ROWS()` if it begins here.
fn count_call(tokens: &[Token<'_>], at: usize) -> Option<Range<usize>> {
    let [name, open, close] = tokens.get(at..at + 3)? else { return None };
    let is_count = name.is_word("row_count") || name.is_word("found_rows");
    let is_qualified = at > 0 && tokens[at - 1].kind == TokenKind::Dot;
    let is_call = open.kind == TokenKind::OpenParen && close.kind == TokenKind::CloseParen;
    (is_count && is_call && !is_qualified).then(|| name.start..close.end())
}

/// Whether it is `@@error_count` (true) or `@@warning_count` (false).
fn total(token: &Token<'_>) -> Option<bool> {
    if token.kind != TokenKind::SystemVariable {
        return None;
    }
    let (scope, name) = system_variable(token.text);
    let is_total = scope != Scope::Global && is_one_of(name, &["error_count", "warning_count"]);
    is_total.then(|| is_one_of(name, &["error_count"]))
}

/// It asks for what is on the connection and is no number.
fn asks_otherwise(tokens: &[Token<'_>]) -> bool {
    const NAMES: [&str; 7] =
        ["currval", "diagnostics", "errors", "lastval", "previous", "warnings", "wsrep_last_seen_gtid"];
    let asks = |token: &Token<'_>| match token.kind {
        TokenKind::Word => is_one_of(token.text, &NAMES) || token.is_word("wsrep_last_written_gtid"),
        TokenKind::SystemVariable => is_one_of(system_variable(token.text).1, &["last_gtid"]),
        _ => false,
    };
    tokens.iter().any(asks)
}

/// `SELECT @@a [AS x], ROW_COUNT(), ...` and nothing else: no expression that could warn.
fn is_list_of_variables(tokens: &[Token<'_>]) -> bool {
    let Some((select, rest)) = tokens.split_first() else { return false };
    if !select.is_word("select") {
        return false;
    }
    let (mut at, mut expects) = (0, true);
    while let Some(token) = rest.get(at) {
        match token.kind {
            TokenKind::SystemVariable if expects => at += 1,
            TokenKind::Word if expects && count_call(rest, at).is_some() => at += 3,
            TokenKind::Comma if !expects => {
                (at, expects) = (at + 1, true);
                continue;
            }
            TokenKind::Word if !expects && token.is_word("as") && rest.get(at + 1).is_some() => at += 2,
            _ => return false,
        }
        expects = false;
    }
    !expects
}

/// Gives the columns of every select list that an edit is in the names that they had.
pub(super) fn name_columns(sql: &[u8], tokens: &[Token<'_>], edits: &mut Vec<Edit>) -> Option<()> {
    let edited: Vec<usize> = edits.iter().map(|edit| edit.token).collect();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is_word("select")) {
        for item in items(tokens, at + 1) {
            if !edited.iter().any(|token| item.contains(token)) {
                continue;
            }
            let item = &tokens[item];
            if has_alias(item)? {
                continue;
            }
            let (first, last) = (item.first()?, item.last()?);
            let name = &sql[first.start..last.end()];
            if name.len() > ALIAS_BYTES_MAX || name.contains(&0) {
                return None;
            }
            let mut text = b" AS `".to_vec();
            for byte in name {
                text.extend_from_slice(if *byte == b'`' { b"``" } else { core::slice::from_ref(byte) });
            }
            text.push(b'`');
            edits.push(Edit { at: last.end()..last.end(), text, token: usize::MAX });
        }
    }
    Some(())
}

/// What may stand between SELECT and its list.
const MODIFIERS: [&str; 11] = [
    "all",
    "distinct",
    "distinctrow",
    "high_priority",
    "sql_big_result",
    "sql_buffer_result",
    "sql_cache",
    "sql_calc_found_rows",
    "sql_no_cache",
    "sql_small_result",
    "straight_join",
];
/// What ends it.
const CLAUSES: [&str; 13] = [
    "except",
    "for",
    "from",
    "group",
    "having",
    "intersect",
    "into",
    "limit",
    "lock",
    "order",
    "procedure",
    "union",
    "where",
];

/// The items of the select list that begins here, as ranges of tokens.
pub(super) fn items(tokens: &[Token<'_>], from: usize) -> Vec<Range<usize>> {
    let skipped = tokens[from..].iter().take_while(|token| MODIFIERS.iter().any(|word| token.is_word(word))).count();
    let mut begin = from + skipped;
    let (mut at, mut depth, mut list) = (begin, 0_usize, Vec::new());
    while let Some(token) = tokens.get(at) {
        match token.kind {
            TokenKind::OpenParen => depth += 1,
            TokenKind::CloseParen if depth == 0 => break,
            TokenKind::Semicolon => break,
            TokenKind::CloseParen => depth -= 1,
            TokenKind::Comma if depth == 0 => {
                list.push(begin..at);
                begin = at + 1;
            }
            TokenKind::Word if depth == 0 && CLAUSES.iter().any(|word| token.is_word(word)) => break,
            _ => {}
        }
        at += 1;
    }
    list.push(begin..at);
    list
}

/// Whether a select item has a name of its own; `None`: who knows.
fn has_alias(item: &[Token<'_>]) -> Option<bool> {
    let [.., before, last] = item else { return Some(false) };
    if before.is_word("as") {
        return Some(true);
    }
    let ends_value = matches!(
        before.kind,
        TokenKind::CloseParen
            | TokenKind::Number
            | TokenKind::QuotedIdentifier
            | TokenKind::UserVariable
            | TokenKind::SystemVariable
            | TokenKind::Placeholder
    );
    match last.kind {
        TokenKind::Word if last.is_word("end") || last.is_word("null") => Some(false),
        TokenKind::Word if before.kind == TokenKind::Word => None,
        TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::String => Some(ends_value),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Numbers =
        Numbers { row_count: Number::Is(3), found_rows: Number::Is(7), warnings: Number::Is(2), errors: Number::Is(1) };

    fn numbered(sql: &str) -> String {
        let numbered = with_numbers(sql.as_bytes(), Dialect::default(), &NUMBERS).expect("understood");
        assert!(!numbered.asks_on, "{sql}");
        String::from_utf8(numbered.sql.unwrap_or_default()).unwrap()
    }

    #[test]
    fn counts_are_written_into_the_statement_and_columns_keep_their_names() {
        for (sql, expected) in [
            ("SELECT ROW_COUNT()", "SELECT IF(1,3,ROW_COUNT()) AS `ROW_COUNT()`"),
            ("SELECT row_count ( ) n, a FROM t", "SELECT IF(1,3,row_count ( )) n, a FROM t"),
            ("SELECT FOUND_ROWS() AS n", "SELECT IF(1,7,FOUND_ROWS()) AS n"),
            ("SELECT FOUND_ROWS();", "SELECT IF(1,7,FOUND_ROWS()) AS `FOUND_ROWS()`;"),
            ("SELECT a, 1 + `b`.ROW_COUNT() FROM t", ""),
            ("SELECT ROW_COUNT() + 1, 2", "SELECT IF(1,3,ROW_COUNT()) + 1 AS `ROW_COUNT() + 1`, 2"),
            ("SET @a = ROW_COUNT()", "SET @a = IF(1,3,ROW_COUNT())"),
            ("SELECT * FROM (SELECT ROW_COUNT()) d", "SELECT * FROM (SELECT IF(1,3,ROW_COUNT()) AS `ROW_COUNT()`) d"),
            ("DELETE FROM t; SELECT ROW_COUNT()", ""),
            ("SELECT 'ROW_COUNT()'", ""),
            (
                "SELECT @@error_count, @@session.warning_count AS w",
                "SELECT IF(1,CAST(1 AS UNSIGNED),@@error_count) AS `@@error_count`, IF(1,CAST(2 AS UNSIGNED),@@session.warning_count) AS w",
            ),
        ] {
            assert_eq!(numbered(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for sql in ["SELECT ROW_COUNT() + a b", "VALUES (ROW_COUNT())", "DELETE FROM t RETURNING ROW_COUNT()"] {
            assert_eq!(with_numbers(sql.as_bytes(), Dialect::default(), &NUMBERS), None, "{sql}");
        }
        let unknown = Numbers { found_rows: Number::Lost, ..NUMBERS };
        assert_eq!(with_numbers(b"SELECT FOUND_ROWS()", Dialect::default(), &unknown), None);
    }

    #[test]
    fn what_the_server_knows_is_asked_as_it_is_written() {
        let there = Numbers { found_rows: Number::There, warnings: Number::There, ..NUMBERS };
        let numbered = |sql: &str| with_numbers(sql.as_bytes(), Dialect::default(), &there).unwrap();
        for sql in ["SELECT FOUND_ROWS()", "SELECT @@warning_count"] {
            assert_eq!(numbered(sql), Numbered { sql: None, asks_on: false }, "{sql}");
        }
        let both = numbered("SELECT FOUND_ROWS() a, ROW_COUNT() b").sql.unwrap();
        assert_eq!(both, b"SELECT FOUND_ROWS() a, IF(1,3,ROW_COUNT()) b");
    }

    #[test]
    fn totals_beside_an_expression_are_for_the_server() {
        for sql in ["SELECT @@warning_count + 1", "SELECT 1 / 0, @@warning_count", "GET DIAGNOSTICS @n = NUMBER"] {
            let numbered = with_numbers(sql.as_bytes(), Dialect::default(), &NUMBERS).unwrap();
            assert_eq!(numbered, Numbered { sql: None, asks_on: true }, "{sql}");
        }
    }

    #[test]
    fn the_list_is_asked_for_in_few_forms() {
        let show = |sql: &str| show_conditions(sql.as_bytes(), Dialect::default());
        let list = |errors, offset, rows| Some(ShowConditions::List { errors, offset, rows });
        assert_eq!(show("SHOW WARNINGS"), list(false, 0, usize::MAX));
        assert_eq!(show("show errors limit 5;"), list(true, 0, 5));
        assert_eq!(show("SHOW WARNINGS LIMIT 1, 2"), list(false, 1, 2));
        assert_eq!(show("SHOW WARNINGS LIMIT 2 OFFSET 1"), list(false, 1, 2));
        assert_eq!(show("SHOW COUNT(*) ERRORS"), Some(ShowConditions::Count { errors: true }));
        for other in ["SHOW TABLES", "SHOW COUNT(*) WARNINGS LIMIT 1", "SHOW WARNINGS WHERE 1", "SHOW WARNINGS LIMIT a"]
        {
            assert_eq!(show(other), None, "{other}");
        }
    }
}
