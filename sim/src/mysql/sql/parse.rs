//! The parser: recursive descent over tokens, one function per clause.
//!
//! Statements are here; [`expr`] parses expressions, [`ddl`] tables, [`admin`] SET, SHOW and replication.

mod admin;
mod ddl;
mod expr;

use super::super::error::SqlError;
use super::super::value::Value;
use super::ast::{Delete, Expr, Insert, Item, Locking, Select, Source, Statement, TableName, TransactionMode, Update};
use super::lex::{self, Token, What};
use std::rc::Rc;
use weir_core::gtid::Flavor;

/// A parsed statement, and how many bytes of the input belong to it (its `;` included).
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The statement.
    pub statement: Rc<Statement>,
    /// Bytes.
    pub len: usize,
    /// Placeholders in it.
    pub parameters: usize,
}

/// Parses the first statement of `sql`.
///
/// # Errors
/// 1064 with the text at which it went wrong, 1065 for an empty statement.
pub fn parse(flavor: Flavor, sql: &str) -> Result<Parsed, SqlError> {
    let mut parser = Parser { flavor, sql, token: lex::next(sql, 0), parameters: 0, depth: 0 };
    let lone = parser.is_symbol(";") && lex::next(sql, parser.token.end).what == What::End;
    if parser.token.what == What::End || lone {
        return Err(SqlError::empty_query());
    }
    let statement = Rc::new(parser.statement()?);
    let len = match parser.token.what {
        What::End => sql.len(),
        What::Symbol(";") => parser.token.end,
        _ => return Err(parser.error()),
    };
    Ok(Parsed { statement, len, parameters: parser.parameters })
}

type Result<T, E = SqlError> = core::result::Result<T, E>;

/// Expressions may nest this deep.
const DEPTH_MAX: u32 = 100;

struct Parser<'a> {
    flavor: Flavor,
    sql: &'a str,
    token: Token<'a>,
    parameters: usize,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn error(&self) -> SqlError {
        let line = 1 + self.sql[..self.token.at].bytes().filter(|byte| *byte == b'\n').count();
        SqlError::syntax(self.flavor, &self.sql[self.token.at..], line)
    }

    fn advance(&mut self) -> Token<'a> {
        let next = lex::next(self.sql, self.token.end);
        core::mem::replace(&mut self.token, next)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.token.what, What::Symbol(is) if is == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token.what, What::Word(is) if is.eq_ignore_ascii_case(word))
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// Takes a sequence of words when its first word is there; the rest must follow.
    fn take_words(&mut self, words: &[&str]) -> Result<bool> {
        let Some((first, rest)) = words.split_first() else { return Ok(true) };
        if !self.take_word(first) {
            return Ok(false);
        }
        rest.iter().try_for_each(|word| self.expect_word(word))?;
        Ok(true)
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<()> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.error()) }
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.error()) }
    }

    fn is_name(&self) -> bool {
        match self.token.what {
            What::Word(word) => !is_reserved(word),
            What::Quoted(_) => true,
            _ => false,
        }
    }

    fn name(&mut self) -> Result<String> {
        match &self.token.what {
            What::Word(word) if !is_reserved(word) => {
                let name = (*word).to_owned();
                self.advance();
                Ok(name)
            }
            What::Quoted(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.error()),
        }
    }

    fn number(&mut self) -> Result<u64> {
        let What::Number(n) = self.token.what else { return Err(self.error()) };
        self.advance();
        Ok(n.unsigned_abs())
    }

    fn text(&mut self) -> Result<String> {
        let What::Text(text) = &self.token.what else { return Err(self.error()) };
        let text = String::from_utf8_lossy(text).into_owned();
        self.advance();
        Ok(text)
    }

    fn table_name(&mut self) -> Result<TableName> {
        let first = self.name()?;
        if self.take_symbol(".") {
            return Ok(TableName { schema: Some(first), name: self.name()? });
        }
        Ok(TableName { schema: None, name: first })
    }

    fn comma_separated<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.take_symbol(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn statement(&mut self) -> Result<Statement> {
        let What::Word(word) = self.token.what else { return Err(self.error()) };
        let mut upper = [0; 16];
        let word = upper_case(word, &mut upper).ok_or_else(|| self.error())?;
        let parse: fn(&mut Self) -> Result<Statement> = match word {
            "SELECT" => Self::select,
            "INSERT" => Self::insert,
            "REPLACE" => Self::replace,
            "UPDATE" => Self::update,
            "DELETE" => Self::delete,
            "BEGIN" | "START" => Self::begin_or_start,
            "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => Self::transaction_end,
            "CREATE" => Self::create,
            "DROP" => Self::drop,
            "TRUNCATE" => Self::truncate,
            "SET" => Self::set,
            "SHOW" => Self::show,
            "KILL" => Self::kill,
            "USE" => |p| Ok(Statement::Use(p.name()?)),
            "DO" => |p| Ok(Statement::Do(p.items()?)),
            "CHANGE" => Self::change,
            "STOP" => Self::stop,
            "RESET" => Self::reset,
            "FLUSH" | "UNLOCK" => Self::ignored,
            _ => return Err(self.error()),
        };
        self.advance();
        parse(self)
    }

    fn ignored(&mut self) -> Result<Statement> {
        while !matches!(self.token.what, What::End | What::Symbol(";")) {
            self.advance();
        }
        Ok(Statement::Nothing)
    }

    fn select(&mut self) -> Result<Statement> {
        let items = if self.take_symbol("*") { Vec::new() } else { self.items()? };
        let mut select = Select { items, from: None, filter: None, order: Vec::new(), limit: None };
        if self.take_word("FROM") {
            select.from = Some(self.source()?);
            select.filter = self.filter()?;
            if self.take_words(&["ORDER", "BY"])? {
                select.order = self.comma_separated(Self::order_term)?;
            }
        } else if select.items.is_empty() {
            return Err(self.error());
        }
        select.limit = self.limit()?;
        let locking = if self.take_words(&["FOR", "UPDATE"])? {
            Some(Locking::Update)
        } else {
            self.take_words(&["LOCK", "IN", "SHARE", "MODE"])?.then_some(Locking::Share)
        };
        if let Some(from) = &mut select.from {
            from.locking = locking;
        }
        Ok(Statement::Select(select))
    }

    /// One row that is made up; a table; or several of `performance_schema`, each joined to those before it by the columns that they share.
    fn source(&mut self) -> Result<Source> {
        if self.take_symbol("(") {
            self.expect_word("SELECT")?;
            self.items()?;
            self.expect_symbol(")")?;
            self.expect_word("AS")?;
            let table = TableName { schema: None, name: self.name()? };
            return Ok(Source { table, derived: true, joined: Vec::new(), locking: None });
        }
        let mut source = Source { table: self.table_name()?, derived: false, joined: Vec::new(), locking: None };
        let joins = source.table.schema.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("performance_schema"));
        if joins && self.take_word("AS") {
            self.name()?;
        }
        while joins && self.take_words(&["LEFT", "JOIN"])? {
            source.joined.push(self.table_name()?.name);
            if self.take_word("AS") {
                self.name()?;
            }
            self.expect_word("USING")?;
            self.expect_symbol("(")?;
            self.comma_separated(Self::name)?;
            self.expect_symbol(")")?;
        }
        Ok(source)
    }

    fn items(&mut self) -> Result<Vec<Item>> {
        self.comma_separated(|p| {
            let begin = p.token.at;
            let expr = p.expression()?;
            let written = p.sql[begin..p.token.at].trim_end();
            let alias = match p.take_word("AS") {
                true => Some(p.alias()?),
                false if p.is_name() => Some(p.name()?),
                false => None,
            };
            let name = match (&alias, &expr) {
                (Some(alias), _) => alias.clone(),
                (None, Expr::Column(column)) => column.clone(),
                (None, Expr::Literal(Value::Text(text))) => String::from_utf8_lossy(text).into_owned(),
                _ => written.to_owned(),
            };
            Ok(Item { expr, name })
        })
    }

    fn alias(&mut self) -> Result<String> {
        if matches!(self.token.what, What::Text(_)) { self.text() } else { self.name() }
    }

    fn order_term(&mut self) -> Result<(Expr, bool)> {
        let expr = self.expression()?;
        let descending = self.take_word("DESC");
        if !descending {
            self.take_word("ASC");
        }
        Ok((expr, descending))
    }

    fn filter(&mut self) -> Result<Option<Expr>> {
        if self.take_word("WHERE") { self.expression().map(Some) } else { Ok(None) }
    }

    fn limit(&mut self) -> Result<Option<u64>> {
        if self.take_word("LIMIT") { self.number().map(Some) } else { Ok(None) }
    }

    fn insert(&mut self) -> Result<Statement> {
        self.insert_or_replace(false)
    }

    fn replace(&mut self) -> Result<Statement> {
        self.insert_or_replace(true)
    }

    fn insert_or_replace(&mut self, replace: bool) -> Result<Statement> {
        let ignore = !replace && self.take_word("IGNORE");
        self.take_word("INTO");
        let table = self.table_name()?;
        let mut columns = Vec::new();
        if self.take_symbol("(") && !self.take_symbol(")") {
            columns = self.comma_separated(Self::name)?;
            self.expect_symbol(")")?;
        }
        if !self.take_word("VALUES") {
            self.expect_word("VALUE")?;
        }
        let rows = self.comma_separated(|p| {
            p.expect_symbol("(")?;
            let row = p.comma_separated(Self::value_or_default)?;
            p.expect_symbol(")")?;
            Ok(row)
        })?;
        let mut on_duplicate = Vec::new();
        if !replace && self.take_words(&["ON", "DUPLICATE", "KEY", "UPDATE"])? {
            on_duplicate = self.comma_separated(Self::column_assignment)?;
        }
        Ok(Statement::Insert(Insert { table, columns, rows, replace, ignore, on_duplicate }))
    }

    fn value_or_default(&mut self) -> Result<Expr> {
        if self.take_word("DEFAULT") { Ok(Expr::Call("DEFAULT".into(), Vec::new())) } else { self.expression() }
    }

    fn column_assignment(&mut self) -> Result<(String, Expr)> {
        let mut column = self.name()?;
        if self.take_symbol(".") {
            column = self.name()?;
        }
        self.expect_symbol("=")?;
        Ok((column, self.expression()?))
    }

    fn update(&mut self) -> Result<Statement> {
        let table = self.table_name()?;
        self.expect_word("SET")?;
        let set = self.comma_separated(Self::column_assignment)?;
        Ok(Statement::Update(Update { table, set, filter: self.filter()?, limit: self.limit()? }))
    }

    fn delete(&mut self) -> Result<Statement> {
        self.expect_word("FROM")?;
        Ok(Statement::Delete(Delete { table: self.table_name()?, filter: self.filter()?, limit: self.limit()? }))
    }

    /// BEGIN, START TRANSACTION and START SLAVE; the first word is taken.
    fn begin_or_start(&mut self) -> Result<Statement> {
        if self.is_word("SLAVE") || self.is_word("REPLICA") {
            return self.start_replication();
        }
        if !self.take_word("TRANSACTION") {
            self.take_word("WORK");
            return Ok(Statement::Begin(TransactionMode::default()));
        }
        let mut mode = TransactionMode::default();
        while !matches!(self.token.what, What::End | What::Symbol(";")) {
            if self.take_words(&["WITH", "CONSISTENT", "SNAPSHOT"])? {
                mode.snapshot = true;
            } else {
                mode.read_only = Some(self.read_only_or_write()?);
            }
            self.take_symbol(",");
        }
        Ok(Statement::Begin(mode))
    }

    fn read_only_or_write(&mut self) -> Result<bool> {
        self.expect_word("READ")?;
        if self.take_word("ONLY") {
            return Ok(true);
        }
        self.expect_word("WRITE")?;
        Ok(false)
    }

    /// COMMIT, ROLLBACK [TO], SAVEPOINT and RELEASE; the first word is taken.
    fn transaction_end(&mut self) -> Result<Statement> {
        let before = self.sql[..self.token.at].trim_end();
        let ends_with = |word: &str| {
            before.len() >= word.len()
                && before.as_bytes()[before.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
        };
        if ends_with("RELEASE") {
            self.expect_word("SAVEPOINT")?;
            return Ok(Statement::Release(self.name()?));
        }
        if ends_with("SAVEPOINT") {
            return Ok(Statement::Savepoint(self.name()?));
        }
        let rollback = ends_with("ROLLBACK");
        self.take_word("WORK");
        if rollback && self.take_word("TO") {
            self.take_word("SAVEPOINT");
            return Ok(Statement::RollbackTo(self.name()?));
        }
        Ok(if rollback { Statement::Rollback } else { Statement::Commit })
    }
}

/// The word in upper case, when it is short enough to be a statement's first.
fn upper_case<'b>(word: &str, buffer: &'b mut [u8; 16]) -> Option<&'b str> {
    let upper = buffer.get_mut(..word.len())?;
    upper.copy_from_slice(word.as_bytes());
    upper.make_ascii_uppercase();
    core::str::from_utf8(upper).ok()
}

/// Words that are no names unless quoted.
fn is_reserved(word: &str) -> bool {
    const RESERVED: [&str; 44] = [
        "AND", "AS", "ASC", "BETWEEN", "BY", "CREATE", "DEFAULT", "DELETE", "DESC", "DROP", "FOR", "FROM", "GROUP",
        "HAVING", "IN", "INSERT", "INTO", "IS", "JOIN", "KEY", "LIKE", "LIMIT", "LOCK", "MOD", "NOT", "NULL", "ON",
        "OR", "ORDER", "PRIMARY", "REPLACE", "SELECT", "SET", "TABLE", "TO", "UNION", "UPDATE", "USE", "USING",
        "VALUES", "WHERE", "WITH", "TRUE", "FALSE",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
