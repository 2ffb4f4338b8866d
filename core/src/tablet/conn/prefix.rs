//! What must be true before a command runs: settings, statement, position. Asked for in one go, in this order.

use super::flight::{Heard, Purpose};
use super::request::{Failure, Stage};
use super::{BackendConn, Life, settings, wait};
use crate::error::{Component, Effect, Error, Kind};
use crate::link::{Command, Settings, Statement, Wait};
use crate::mutants::Mutant;
use crate::mysql::command::ClientCommand;
use std::sync::Arc;

impl BackendConn {
    /// Asks for all that the current request needs; `to_prepare` is the statement it executes, when it is not held.
    pub(super) fn send_prefix(&mut self, to_prepare: Option<Arc<Statement>>) -> Result<(), Failure> {
        let Life::Busy(busy) = &self.life else { return Ok(()) };
        let wish = match &busy.request.command {
            Command::ResetConnection => return Ok(()),
            Command::Prepare(statement) => Arc::clone(&statement.settings),
            _ => Arc::clone(&busy.request.settings),
        };
        let (last_insert_id, wait) = (busy.request.last_insert_id, busy.request.wait.clone());
        // First of all: schemas and tables, too, are what a replica may not have yet.
        if let Some(wait) = wait.filter(|wait| !wait.position.is_empty()) {
            self.send_wait(&wait)?;
        }
        self.tracked.share(&wish);
        let mut held = Arc::clone(self.tracked.settings());
        if let Some(statement) = to_prepare {
            held = self.send_prepare(&held, statement)?;
        }
        self.settle(&held, &wish, last_insert_id)
    }

    /// Prepares a statement under its own settings, which are returned.
    fn send_prepare(&mut self, held: &Arc<Settings>, statement: Arc<Statement>) -> Result<Arc<Settings>, Failure> {
        let mut under = Arc::clone(&statement.settings);
        if under.schema.is_none() && held.schema.is_some() {
            // Prepared without a schema, it names one wherever it matters: any schema will do.
            Arc::make_mut(&mut under).schema.clone_from(&held.schema);
        }
        self.settle(held, &under, None)?;
        let evicted = self.statements.make_room().map_err(|_| {
            let message = "weir-tablet: every prepared statement that this connection can keep has an open cursor";
            Failure::Refused(Error::new(Component::Tablet, Kind::TooManyStatements, message))
        })?;
        if let Some(statement_id) = evicted {
            self.command(&ClientCommand::CloseStatement { statement_id });
        }
        self.ask(&ClientCommand::Prepare(&statement.sql), Purpose::Prepare(Arc::clone(&statement)));
        Ok(under)
    }

    /// Asks for what leads from the settings `from` to the settings `to`.
    fn settle(&mut self, from: &Arc<Settings>, to: &Arc<Settings>, last_insert_id: Option<u64>) -> Result<(), Failure> {
        if Arc::ptr_eq(from, to) && last_insert_id.is_none() {
            return Ok(());
        }
        // A wish for no schema takes none away: the pool keeps connections without one for sessions without one.
        if let Some(schema) = to.schema.as_ref().filter(|schema| from.schema.as_ref() != Some(schema)) {
            self.ask(&ClientCommand::InitDb(schema), Purpose::Schema(schema.clone()));
        }
        let (resets, mut sets) = settings::changes(from, to);
        if self.config.mutants.breaks(Mutant::SkipSettings) {
            settings::apply(&sets, self.tracked.settings_mut());
            sets.clear();
        }
        let decides = [&resets, &sets].into_iter().flatten().any(|(name, _)| settings::decides_of_reports(name));
        if !resets.is_empty() {
            let sql = settings::statement(&resets, None).ok_or_else(unwritable)?;
            self.ask(&ClientCommand::Query(sql.as_bytes()), Purpose::Resets(resets));
        }
        if !sets.is_empty() || last_insert_id.is_some() {
            let sql = settings::statement(&sets, last_insert_id).ok_or_else(unwritable)?;
            self.ask(&ClientCommand::Query(sql.as_bytes()), Purpose::Variables(sets));
        }
        if decides {
            self.ask(&ClientCommand::Query(settings::REPORT_TRANSACTIONS.as_bytes()), Purpose::Reports);
        }
        Ok(())
    }

    fn send_wait(&mut self, wait: &Wait) -> Result<(), Failure> {
        let sql = self.server.as_ref().and_then(|server| wait::statement(wait, server, self.config.in_group));
        let sql = sql.ok_or(Failure::WaitTimedOut)?;
        self.ask(&ClientCommand::Query(sql.as_bytes()), Purpose::Wait);
        Ok(())
    }

    /// One of the answers has come.
    pub(super) fn prefix_answered(&mut self, purpose: Purpose, heard: Heard) -> Result<(), Failure> {
        if purpose == Purpose::Wait {
            self.timer = self.busy().and_then(|busy| busy.deadline);
        }
        if let Some(error) = heard.error {
            return Err(match purpose {
                Purpose::Resets(_) => Failure::Unsettled(error),
                Purpose::Wait => Failure::WaitTimedOut,
                _ => Failure::Refused(error.with_effect(Effect::None)),
            });
        }
        match purpose {
            Purpose::Schema(schema) => self.tracked.settings_mut().schema = Some(schema),
            Purpose::Resets(changes) | Purpose::Variables(changes) => {
                settings::apply(&changes, self.tracked.settings_mut());
            }
            Purpose::Wait => {
                let row = heard.row().unwrap_or_default();
                let Some(awaited) = self.busy().and_then(|busy| busy.request.wait.take()) else { return Ok(()) };
                let answer = wait::answer(&awaited, &row, self.config.in_group);
                self.executed = Some(answer.executed);
                if !answer.is_reached && !self.config.mutants.breaks(Mutant::AnswerAfterWait) {
                    return Err(Failure::WaitTimedOut);
                }
            }
            Purpose::Reports => {}
            Purpose::Prepare(statement) => self.keep_prepared(statement, heard.prepared.map(|ok| ok.statement_id)),
            Purpose::Setup
            | Purpose::Command
            | Purpose::AskCounts
            | Purpose::AskConditions
            | Purpose::AskTrackers
            | Purpose::ReportsAfter
            | Purpose::AskVariables(_) => {
                debug_assert!(false, "no part of a prefix");
            }
        }
        Ok(())
    }

    /// Holds a statement that the server has prepared, unless it is held already, or what it was prepared under did not hold.
    pub(super) fn keep_prepared(&mut self, statement: Arc<Statement>, id: Option<u32>) {
        let Some(statement_id) = id else { return };
        let failed = self.busy().is_some_and(|busy| busy.failure.is_some());
        let room = if failed || self.statements.holds(&statement) { None } else { self.statements.make_room().ok() };
        let closed = match room {
            None => Some(statement_id),
            Some(evicted) => {
                self.statements.insert(statement, statement_id);
                evicted
            }
        };
        if let Some(statement_id) = closed {
            self.command(&ClientCommand::CloseStatement { statement_id });
        }
    }

    /// On to the command, once all has been answered.
    pub(super) fn after_prefix(&mut self) {
        let next_is_command = self.flight.next() == Some(&Purpose::Command);
        let settled = self.flight.is_empty();
        let Life::Busy(busy) = &mut self.life else { return };
        if next_is_command {
            busy.stage = Stage::Command;
            self.tracked.share(&busy.request.settings);
        } else if settled {
            match busy.failure.take() {
                Some(failure) => self.conclude_failed(failure),
                None => self.send_command(),
            }
        }
    }
}

/// Settings that no `SET` can be written for.
fn unwritable() -> Failure {
    let message = "weir-tablet: the session's variables cannot be set on another connection: they are too long, or have names that are none";
    Failure::Refused(Error::new(Component::Tablet, Kind::WrongValueForVariable, message))
}
