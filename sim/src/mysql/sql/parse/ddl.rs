//! CREATE, DROP and TRUNCATE.

use super::super::super::value::Value;
use super::super::ast::{ColumnDef, ColumnKind, Expr, Statement};
use super::super::lex::What;
use super::{Parser, Result};

/// Characters that a TEXT column holds at most.
const TEXT_CHARS_MAX: u32 = 65_535;

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        if self.take_word("DATABASE") || self.take_word("SCHEMA") {
            let if_not_exists = self.take_words(&["IF", "NOT", "EXISTS"])?;
            let name = self.name()?;
            self.table_options();
            return Ok(Statement::CreateDatabase(name, if_not_exists));
        }
        if self.take_word("TRIGGER") {
            return self.trigger();
        }
        self.expect_word("TABLE")?;
        let if_not_exists = self.take_words(&["IF", "NOT", "EXISTS"])?;
        let table = self.table_name()?;
        self.expect_symbol("(")?;
        let mut columns: Vec<ColumnDef> = Vec::new();
        let mut key = None;
        loop {
            if self.take_words(&["PRIMARY", "KEY"])? {
                self.expect_symbol("(")?;
                let name = self.name()?;
                self.expect_symbol(")")?;
                key = columns.iter().position(|column| column.name.eq_ignore_ascii_case(&name));
                if key.is_none() {
                    return Err(self.error());
                }
            } else {
                let (column, is_key) = self.column()?;
                columns.push(column);
                if is_key {
                    key = Some(columns.len() - 1);
                }
            }
            if !self.take_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        self.table_options();
        if let Some(key) = key {
            columns[key].nullable = false;
        }
        Ok(Statement::CreateTable { table, if_not_exists, columns, primary_key: key })
    }

    /// `name BEFORE INSERT ON table FOR EACH ROW SET @variable = NEW.column`.
    fn trigger(&mut self) -> Result<Statement> {
        self.name()?;
        ["BEFORE", "INSERT", "ON"].into_iter().try_for_each(|word| self.expect_word(word))?;
        let table = self.table_name()?;
        ["FOR", "EACH", "ROW", "SET"].into_iter().try_for_each(|word| self.expect_word(word))?;
        let What::User(variable) = &self.token.what else { return Err(self.error()) };
        let variable = variable.clone();
        self.advance();
        self.expect_symbol("=")?;
        self.expect_word("NEW")?;
        self.expect_symbol(".")?;
        Ok(Statement::CreateTrigger { table, variable, column: self.name()? })
    }

    /// ENGINE, CHARSET and the like: the model has one engine and compares bytes.
    fn table_options(&mut self) {
        while !matches!(self.token.what, What::End | What::Symbol(";")) {
            self.advance();
        }
    }

    fn column(&mut self) -> Result<(ColumnDef, bool)> {
        let name = self.name()?;
        let kind = self.column_kind()?;
        let mut column = ColumnDef { name, kind, nullable: true, default: None, auto_increment: false };
        let mut is_key = false;
        loop {
            if self.take_words(&["NOT", "NULL"])? {
                column.nullable = false;
            } else if self.take_word("NULL") {
                column.nullable = true;
            } else if self.take_word("AUTO_INCREMENT") {
                column.auto_increment = true;
            } else if self.take_words(&["PRIMARY", "KEY"])? {
                is_key = true;
            } else if self.take_word("DEFAULT") {
                let Expr::Literal(value) = self.expression()? else { return Err(self.error()) };
                column.default = Some(value);
            } else {
                return Ok((column, is_key));
            }
        }
    }

    fn column_kind(&mut self) -> Result<ColumnKind> {
        let What::Word(word) = self.token.what else { return Err(self.error()) };
        let kind = match word.to_ascii_uppercase().as_str() {
            "INT" | "INTEGER" => ColumnKind::Int,
            "BIGINT" => ColumnKind::BigInt,
            "VARCHAR" | "VARBINARY" | "CHAR" => ColumnKind::Text(0),
            "TEXT" | "BLOB" => ColumnKind::Text(TEXT_CHARS_MAX),
            _ => return Err(self.error()),
        };
        self.advance();
        let width = if self.take_symbol("(") {
            let width = self.number()?;
            self.expect_symbol(")")?;
            Some(u32::try_from(width).map_err(|_| self.error())?)
        } else {
            None
        };
        match (kind, width) {
            (ColumnKind::Text(0), None) => Err(self.error()),
            (ColumnKind::Text(_), Some(width)) => Ok(ColumnKind::Text(width)),
            (kind, _) => Ok(kind),
        }
    }

    pub(super) fn drop(&mut self) -> Result<Statement> {
        if self.take_word("DATABASE") || self.take_word("SCHEMA") {
            let if_exists = self.take_words(&["IF", "EXISTS"])?;
            return Ok(Statement::DropDatabase(self.name()?, if_exists));
        }
        self.expect_word("TABLE")?;
        let if_exists = self.take_words(&["IF", "EXISTS"])?;
        Ok(Statement::DropTable { table: self.table_name()?, if_exists })
    }

    pub(super) fn truncate(&mut self) -> Result<Statement> {
        self.take_word("TABLE");
        Ok(Statement::Truncate(self.table_name()?))
    }

    /// A literal where the grammar allows nothing else.
    pub(super) fn literal(&mut self) -> Result<Value> {
        match self.expression()? {
            Expr::Literal(value) => Ok(value),
            Expr::Column(word) => Ok(Value::text(word)),
            _ => Err(self.error()),
        }
    }
}
