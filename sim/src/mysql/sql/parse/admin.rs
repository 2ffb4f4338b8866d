//! SET, SHOW, KILL and the statements of replication.

use super::super::super::value::Value;
use super::super::ast::{Assignment, Expr, Replication, Scope, Show, Statement};
use super::super::lex::What;
use super::{Parser, Result};

impl Parser<'_> {
    pub(super) fn set(&mut self) -> Result<Statement> {
        if let Some(scope) = self.transaction_scope() {
            return self.set_transaction(scope);
        }
        Ok(Statement::Set(self.comma_separated(Self::assignment)?))
    }

    /// SET [GLOBAL|SESSION] TRANSACTION, when that is what follows; the words are taken then.
    fn transaction_scope(&mut self) -> Option<Option<Scope>> {
        if self.take_word("TRANSACTION") {
            return Some(None);
        }
        let scope = self.scope_word()?;
        let saved = self.token.clone();
        self.advance();
        if self.take_word("TRANSACTION") {
            return Some(Some(scope));
        }
        self.token = saved;
        None
    }

    fn scope_word(&self) -> Option<Scope> {
        if self.is_word("GLOBAL") {
            Some(Scope::Global)
        } else if self.is_word("SESSION") || self.is_word("LOCAL") {
            Some(Scope::Session)
        } else {
            None
        }
    }

    fn set_transaction(&mut self, scope: Option<Scope>) -> Result<Statement> {
        if self.take_words(&["ISOLATION", "LEVEL"])? {
            let level = if self.take_word("SERIALIZABLE") {
                "SERIALIZABLE"
            } else if self.take_words(&["REPEATABLE", "READ"])? {
                "REPEATABLE-READ"
            } else {
                self.expect_word("READ")?;
                if self.take_word("COMMITTED") {
                    "READ-COMMITTED"
                } else {
                    self.expect_word("UNCOMMITTED")?;
                    "READ-UNCOMMITTED"
                }
            };
            return Ok(Statement::SetTransaction(scope, "tx_isolation", Value::text(level)));
        }
        let read_only = self.read_only_or_write()?;
        Ok(Statement::SetTransaction(scope, "tx_read_only", Value::bool(read_only)))
    }

    fn assignment(&mut self) -> Result<Assignment> {
        if let What::User(name) = &self.token.what {
            let name = name.clone();
            self.advance();
            self.equals()?;
            return Ok(Assignment::User(name, self.expression()?));
        }
        if self.take_word("NAMES") {
            return Ok(Assignment::Names(self.charset()?));
        }
        if self.is_word("CHARACTER") || self.is_word("CHARSET") {
            self.take_word("CHARACTER");
            self.advance();
            return Ok(Assignment::Names(self.charset()?));
        }
        let starts_with_ats = self.token.what == What::System;
        let (scope, name) = self.variable()?;
        let bare = starts_with_ats && scope.is_none();
        let scope = scope.unwrap_or(Scope::Session);
        self.equals()?;
        if self.take_word("DEFAULT") {
            return Ok(Assignment::System { scope, bare, name, value: None });
        }
        let value = match self.token.what {
            // Words such as ON, OFF, utf8mb4 or BINARY stand for themselves.
            What::Word(word) if !self.sql[self.token.end..].trim_start().starts_with('(') => {
                self.advance();
                Expr::Literal(Value::text(word))
            }
            _ => self.expression()?,
        };
        Ok(Assignment::System { scope, bare, name, value: Some(value) })
    }

    fn charset(&mut self) -> Result<String> {
        let name = if matches!(self.token.what, What::Text(_)) { self.text()? } else { self.variable_name()? };
        if self.take_word("COLLATE") {
            self.advance();
        }
        Ok(name)
    }

    fn equals(&mut self) -> Result<()> {
        if self.take_symbol(":=") { Ok(()) } else { self.expect_symbol("=") }
    }

    /// `x`, `SESSION x`, `@@x`, `@@global.x`.
    fn variable(&mut self) -> Result<(Option<Scope>, String)> {
        if self.token.what == What::System {
            let Expr::SystemVariable(scope, name) = self.operand()? else { return Err(self.error()) };
            return Ok((scope, name));
        }
        let scope = self.scope_word();
        if scope.is_some() {
            self.advance();
        }
        Ok((scope, self.variable_name()?))
    }

    pub(super) fn show(&mut self) -> Result<Statement> {
        let scope = self.scope_word();
        if scope.is_some() {
            self.advance();
        }
        let show = if self.take_word("VARIABLES") {
            Show::Variables(scope.unwrap_or(Scope::Session), self.patterns()?)
        } else if self.take_word("STATUS") {
            Show::Status(self.patterns()?)
        } else if self.take_words(&["SLAVE", "STATUS"])? || self.take_words(&["ALL", "SLAVES", "STATUS"])? {
            Show::ReplicaStatus(false)
        } else if self.take_words(&["REPLICA", "STATUS"])? {
            Show::ReplicaStatus(true)
        } else if self.take_words(&["MASTER", "STATUS"])? || self.take_words(&["BINARY", "LOG", "STATUS"])? {
            Show::MasterStatus
        } else if self.take_word("COUNT") {
            ["(", "*", ")"].into_iter().try_for_each(|symbol| self.expect_symbol(symbol))?;
            self.expect_word("WARNINGS")?;
            Show::WarningCount
        } else if self.take_word("WARNINGS") {
            Show::Warnings
        } else if self.take_word("DATABASES") {
            Show::Databases
        } else if self.take_word("TABLES") {
            Show::Tables
        } else if self.take_word("PROCESSLIST") || self.take_words(&["FULL", "PROCESSLIST"])? {
            Show::ProcessList
        } else {
            return Err(self.error());
        };
        Ok(Statement::Show(show))
    }

    /// LIKE 'pattern', WHERE Variable_name = 'name', or WHERE Variable_name IN ('name', ...).
    fn patterns(&mut self) -> Result<Vec<String>> {
        if self.take_word("LIKE") {
            return Ok(vec![self.text()?]);
        }
        if !self.take_word("WHERE") {
            return Ok(Vec::new());
        }
        self.name()?;
        if self.take_word("IN") {
            self.expect_symbol("(")?;
            let names = self.comma_separated(Self::text)?;
            self.expect_symbol(")")?;
            return Ok(names);
        }
        self.expect_symbol("=")?;
        Ok(vec![self.text()?])
    }

    pub(super) fn kill(&mut self) -> Result<Statement> {
        // What would leave a table broken goes on; the model has no such tables.
        if !self.take_word("SOFT") {
            self.take_word("HARD");
        }
        let query = self.take_word("QUERY");
        if !query {
            self.take_word("CONNECTION");
        }
        Ok(Statement::Kill(self.number()?, query))
    }

    fn expect_replica(&mut self) -> Result<()> {
        if self.take_word("SLAVE") { Ok(()) } else { self.expect_word("REPLICA") }
    }

    /// START SLAVE [IO_THREAD|SQL_THREAD]; START is taken.
    pub(super) fn start_replication(&mut self) -> Result<Statement> {
        self.expect_replica()?;
        let (receiver, applier) = self.threads()?;
        Ok(Statement::Replication(Replication::Start(receiver, applier)))
    }

    pub(super) fn stop(&mut self) -> Result<Statement> {
        self.expect_replica()?;
        let (receiver, applier) = self.threads()?;
        Ok(Statement::Replication(Replication::Stop(receiver, applier)))
    }

    fn threads(&mut self) -> Result<(bool, bool)> {
        let (mut receiver, mut applier) = (false, false);
        loop {
            if self.take_word("IO_THREAD") {
                receiver = true;
            } else if self.take_word("SQL_THREAD") {
                applier = true;
            } else {
                break;
            }
            if !self.take_symbol(",") {
                break;
            }
        }
        Ok(if receiver || applier { (receiver, applier) } else { (true, true) })
    }

    pub(super) fn reset(&mut self) -> Result<Statement> {
        if self.take_word("MASTER") || self.take_words(&["BINARY", "LOGS", "AND", "GTIDS"])? {
            return Ok(Statement::Replication(Replication::ResetMaster));
        }
        self.expect_replica()?;
        Ok(Statement::Replication(Replication::Reset(self.take_word("ALL"))))
    }

    pub(super) fn change(&mut self) -> Result<Statement> {
        if !self.take_words(&["MASTER", "TO"])? {
            ["REPLICATION", "SOURCE", "TO"].iter().try_for_each(|word| self.expect_word(word))?;
        }
        let options = self.comma_separated(|p| {
            let mut name = p.variable_name()?;
            name.make_ascii_uppercase();
            if let Some(rest) = name.strip_prefix("SOURCE_") {
                name = format!("MASTER_{rest}");
            }
            p.expect_symbol("=")?;
            Ok((name, p.literal()?))
        })?;
        Ok(Statement::Replication(Replication::Change(options)))
    }
}
