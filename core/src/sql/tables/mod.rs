//! Which tables a statement touches, and what it does to them.
//!
//! Owns the reading of a text for the sake of rights. It may not know users, nor who may do what. It errs on the safe side: what it does not
//! understand for certain is [`Touches::Unknown`], and so is what acts on tables that the text does not name (CALL, EXECUTE, stored
//! functions, LOAD DATA, HANDLER) and what a server may read otherwise (executable comments, several statements). It is no parser: a text that
//! no server would take may touch anything.
//!
//! Where to start reading: `statements` goes by the first words; `query` finds the tables of queries and of expressions, by their places
//! behind FROM, JOIN and commas; `ddl` those of statements that define tables; `reader` says what a name is. All are linear in the text, and
//! hold no more of it than the names.

mod ddl;
mod query;
mod reader;
mod resolve;
mod statements;
#[cfg(test)]
mod tests;

use super::classification::Effects;
use super::classify::classify;
use super::token::Dialect;
use reader::Reader;

/// What is needed of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Rows, or what the table looks like, can be seen.
    Read,
    /// Rows are added, changed or removed.
    Write,
    /// The table itself is made, changed or removed.
    Admin,
}

/// What a statement needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// As the statement names it; `None`: the default one.
    pub schema: Option<Vec<u8>>,
    /// The table, as the statement names it.
    pub table: Vec<u8>,
    /// What of it.
    pub right: Right,
    /// What servers call it in "... command denied".
    pub command: &'static str,
}

/// What a statement touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touches {
    /// These tables, each once for each right, and no others; none at all when it is empty.
    Tables(Vec<Need>),
    /// Nobody knows.
    Unknown,
}

/// What `sql` touches when a server runs it. Never fails.
#[must_use]
pub fn touches(sql: &[u8], dialect: Dialect) -> Touches {
    if dialect.may_misread(sql) {
        return Touches::Unknown;
    }
    let mut reader = Reader::new(sql, dialect);
    let is_understood = reader.text().is_some() && !reader.is_in_doubt();
    let calls = |from: usize| classify(&sql[from..], dialect).effects.contains(Effects::RUNS_STORED_CODE);
    if !is_understood || reader.expressions_from().is_some_and(calls) {
        return Touches::Unknown;
    }
    Touches::Tables(reader.into_needs())
}

/// Servers take `name`, of a schema or a table, for what it is.
#[must_use]
pub fn is_certain_name(name: &[u8]) -> bool {
    reader::is_certain(name)
}

/// The table that COM_FIELD_LIST asks for.
#[must_use]
pub fn field_list(table: &[u8]) -> Touches {
    if !reader::is_certain(table) {
        return Touches::Unknown;
    }
    Touches::Tables(vec![Need { schema: None, table: table.to_vec(), right: Right::Read, command: "SELECT" }])
}
