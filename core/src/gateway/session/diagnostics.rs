//! Warnings, errors and counts of the last statement belong to the session, while servers keep them on the connection.
//!
//! A statement that leaves warnings or an error keeps its connection for a while ([`super::Pins::DIAGNOSTICS`]). Where it
//! left none, any connection will do once it has forgotten what others left on it. Counts (`ROW_COUNT()`, `FOUND_ROWS()`)
//! are known to the gateway: it answers the plain question itself, and else asks the very connection, as long as nothing else
//! has run on it.

use super::job::{Job, LeaseKey};
use super::{Event, Session};
use crate::error::{Component, Error, Kind};
use crate::sql::{Dialect, Lexer, TokenKind};

/// Makes a connection forget warnings. Servers do so before statements that use a table, and a derived one is enough.
pub(super) const CLEAR: &[u8] = b"DO (SELECT 0 FROM (SELECT 0) none)";

/// What is known of the last statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Diagnostics {
    /// The connection it ran on, as it left it; `None` when something else has run there since, or it is gone.
    pub(super) at: Option<LeaseKey>,
    /// It left no warning and no error.
    pub(super) clean: bool,
    /// What `ROW_COUNT()` returns: affected rows, -1 after a result set or an error.
    pub(super) row_count: i64,
    /// What `FOUND_ROWS()` returns.
    pub(super) found_rows: u64,
}

impl Default for Diagnostics {
    fn default() -> Self {
        Self { at: None, clean: true, row_count: 0, found_rows: 0 }
    }
}

/// Where a statement that asks for diagnostics can run.
pub(super) enum Place {
    /// On this connection, if nobody else has used it since.
    There(LeaseKey),
    /// On any that has forgotten what others left.
    AnyCleared,
    /// Nowhere: they are gone.
    Gone,
}

impl Diagnostics {
    /// Where `job`, which asks for diagnostics, can run when the session holds no connection.
    pub(super) fn place(&self, job: &Job) -> Place {
        match self.at {
            _ if self.clean && !job.asks_for_counts => Place::AnyCleared,
            Some(key) => Place::There(key),
            None => Place::Gone,
        }
    }
}

/// A count that is asked for by itself: `SELECT ROW_COUNT()`, with or without an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlainCount {
    pub(super) column: Vec<u8>,
    pub(super) found_rows: bool,
}

impl PlainCount {
    pub(super) fn parse(sql: &[u8], dialect: Dialect) -> Option<Self> {
        let mut tokens = Lexer::new(sql, dialect);
        let mut next = || tokens.next();
        next().filter(|token| token.is_word("SELECT"))?;
        let function = next()?;
        let found_rows = function.is_word("FOUND_ROWS");
        if !found_rows && !function.is_word("ROW_COUNT") {
            return None;
        }
        next().filter(|token| token.kind == TokenKind::OpenParen)?;
        let close = next().filter(|token| token.kind == TokenKind::CloseParen)?;
        let written = sql.get(function.start..close.end())?.to_vec();
        let column = match next() {
            None => written,
            Some(token) if token.is_word("AS") => next().filter(|alias| alias.kind == TokenKind::Word)?.text.to_vec(),
            Some(_) => return None,
        };
        next().is_none().then_some(Self { column, found_rows })
    }
}

/// Whether text mentions `ROW_COUNT` or `FOUND_ROWS`.
pub(super) fn asks_for_counts(sql: &[u8], dialect: Dialect) -> bool {
    Lexer::new(sql, dialect).any(|token| token.is_word("ROW_COUNT") || token.is_word("FOUND_ROWS"))
}

impl Session {
    /// The gateway answered by itself: there is nothing to ask for.
    pub(super) fn forget_diagnostics(&mut self) {
        self.diagnostics = Diagnostics::default();
    }

    /// Answers `SELECT ROW_COUNT()` and its like, when the session holds no connection that could.
    pub(super) fn answer_count(&mut self, count: &PlainCount) {
        if count.found_rows {
            self.answer_number(&count.column, self.diagnostics.found_rows);
        } else {
            self.answer_number(&count.column, self.diagnostics.row_count);
        }
        // It was a statement with a result set of one row.
        self.diagnostics = Diagnostics { row_count: -1, found_rows: 1, ..Diagnostics::default() };
        debug_assert!(!matches!(self.events.back(), Some(Event::Submit(_))), "answered without a server");
    }
}

pub(super) fn gone() -> Error {
    Error::new(
        Component::Gateway,
        Kind::Unavailable,
        "weir-gateway: the previous statement's diagnostics are gone, since its server connection has been used otherwise; \
         ask for them in the same transaction, or sooner",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(sql: &str) -> Option<(String, bool)> {
        let count = PlainCount::parse(sql.as_bytes(), Dialect::default())?;
        Some((String::from_utf8(count.column).unwrap(), count.found_rows))
    }

    #[test]
    fn only_the_plain_question_is_one() {
        assert_eq!(plain("SELECT ROW_COUNT()"), Some(("ROW_COUNT()".into(), false)));
        assert_eq!(plain("select /* how many */ found_rows ( ) as n"), Some(("n".into(), true)));
        for other in ["SELECT ROW_COUNT() + 1", "SELECT a, ROW_COUNT()", "SELECT ROW_COUNT() FROM t", "SELECT 1", ""] {
            assert_eq!(plain(other), None, "{other}");
        }
    }
}
