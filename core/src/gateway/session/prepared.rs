//! The COM_STMT commands.

use super::job::{Intent, Job, Origin};
use super::statements::{self, Prepared};
use super::{Phase, Pins, Session};
use crate::error::{Component, Kind};
use crate::link::{Command, Statement};
use crate::mutants::Mutant;
use crate::mysql::capability::{ColumnType, MariaDbCapabilities};
use crate::mysql::execute::{BulkExecute, Execute};
use crate::mysql::frame;
use crate::mysql::packet::PrepareOk;
use crate::sql::{self, Classification, Effects, FoundRows, Leaves, Own, OwnColumn, Route, RowCount, leaves};
use crate::time::Instant;
use crate::topo::Role;
use std::sync::Arc;

impl Session {
    /// COM_STMT_PREPARE: a server prepares it, so that errors and metadata are a server's own.
    pub(super) fn on_prepare(&mut self, now: Instant, sql: &[u8]) {
        if let Err(error) = self.statements.check_room() {
            return self.write_error(&error);
        }
        let classification = crate::sql::classify(sql, self.dialect());
        if classification.route == Route::Gateway && !asks_for_trackers(&classification) {
            return self.refuse(
                Kind::NotSupported,
                "weir-gateway: statements that the gateway answers itself cannot be prepared; send it as text",
            );
        }
        self.begin_trace(now, |session| session.parent_in(sql));
        let leaves = leaves(sql, self.dialect(), &classification);
        let intent = Intent::of(&classification, leaves);
        let sql = self.scoped(sql, classification.effects).unwrap_or_else(|| sql.to_vec());
        let statement = Statement { sql, settings: Arc::clone(&self.state.settings) };
        let mut job = Job::new(Command::Prepare(Arc::new(statement)), Origin::Client);
        job.role = self.route(intent).role;
        job.hint = intent.hint;
        job.read_only = true;
        job.leaves = Leaves { forgets: leaves.forgets, ..Leaves::NOTHING };
        job.prepares = Some(intent);
        self.run(now, job);
    }

    /// The server prepared it: the client gets an id of the session's own.
    pub(super) fn on_prepared(&mut self, seq: u8, ok: PrepareOk) {
        let Phase::Running(job) = &mut self.phase else { return };
        let (Command::Prepare(statement), Some(intent)) = (&job.command, job.prepares) else {
            debug_assert!(false, "a prepared statement nobody asked for");
            return;
        };
        job.warned |= ok.warnings > 0;
        let mut prepared = Prepared::new(Arc::clone(statement), ok.parameters, intent);
        job.answered = true;
        prepared.parent = self.parent_in(&prepared.statement.sql);
        if self.config.digests {
            let dialect = self.dialect();
            prepared.fingerprint = Some(self.fingerprint_of(&Arc::clone(&prepared.statement).sql, dialect));
        }
        let own = PrepareOk { statement_id: self.statements.add(prepared), ..ok };
        self.sequence = seq;
        let sequence = &mut self.sequence;
        self.out.write(|b| frame::write_with(b, sequence, |b| own.encode(b)));
    }

    /// COM_STMT_EXECUTE.
    pub(super) fn on_execute(&mut self, now: Instant, id: u32, body: &[u8]) {
        self.note_form_of_prepared(id);
        let bare = match self.without_attributes(id, body) {
            Ok(bare) => bare,
            Err(error) => return self.write_error(&error.raised_by(Component::Gateway)),
        };
        let body = bare.as_deref().unwrap_or(body);
        let Some(prepared) = self.statements.get_mut(id) else {
            return self.write_error(&statements::unknown(id, "mysqld_stmt_execute"));
        };
        if let Some(error) = prepared.refused.take() {
            prepared.take_long_data();
            return self.write_error(&error);
        }
        let execute = match Execute::parse(body, prepared.parameters) {
            Ok(execute) => execute,
            Err(error) => return self.write_error(&error.raised_by(Component::Gateway)),
        };
        let integers: Vec<u8>;
        let types = if self.config.mutants.breaks(Mutant::ForgetTypes) {
            integers = [u8::from(ColumnType::MYSQL_TYPE_LONGLONG), 0].repeat(prepared.parameters.into());
            Some(&*integers)
        } else {
            prepared.types.as_deref()
        };
        let Some(payload) = execute.with_types(types) else {
            return self.refuse(Kind::WrongArguments, "Incorrect arguments to mysqld_stmt_execute");
        };
        if let Some(types) = execute.types {
            prepared.types = Some(types.to_vec());
        }
        let mut leaves = prepared.intent.leaves;
        if execute.opens_cursor() && leaves.found_rows == FoundRows::Sent {
            // It finds all of them and sends none.
            leaves.found_rows = FoundRows::Counted;
        }
        self.execute(now, id, payload, false, leaves);
    }

    /// COM_STMT_BULK_EXECUTE: one statement for many sets of parameters.
    pub(super) fn on_bulk_execute(&mut self, now: Instant, id: u32, body: &[u8]) {
        let bulk = match BulkExecute::parse(body) {
            Ok(bulk) => bulk,
            Err(error) => return self.write_error(&error.raised_by(Component::Gateway)),
        };
        if !self.of_mariadb.contains(MariaDbCapabilities::STMT_BULK_OPERATIONS) || !bulk.is_served() {
            let message = "This command is not supported in the prepared statement protocol yet";
            return self.refuse(Kind::UnsupportedPrepared, message);
        }
        self.note_form_of_prepared(id);
        let Some(prepared) = self.statements.get_mut(id) else {
            return self.write_error(&statements::unknown(id, "mysqld_stmt_execute"));
        };
        let parameters = usize::from(prepared.parameters);
        let Some(payload) = bulk.with_types(parameters, prepared.types.as_deref()) else {
            return self.refuse(Kind::WrongArguments, "Incorrect arguments to mysqld_stmt_bulk_execute");
        };
        if let Some(types) = bulk.types(parameters) {
            prepared.types = Some(types.to_vec());
        }
        // It may have run once for all sets, or once for each.
        let leaves = Leaves { row_count: RowCount::Counted, ..prepared.intent.leaves };
        self.execute(now, id, payload, true, leaves);
    }

    /// Runs the statement with this body, the parameters' types included.
    fn execute(&mut self, now: Instant, id: u32, payload: Vec<u8>, bulk: bool, leaves: Leaves) {
        let Some(prepared) = self.statements.get_mut(id) else { return };
        let (mut statement, intent) = (Arc::clone(&prepared.statement), prepared.intent);
        let long_data = prepared.take_long_data();
        let in_text = prepared.parent.take();
        self.begin_trace(now, |_| in_text);
        let mut needs_list = false;
        if intent.effects.contains(Effects::NEEDS_DIAGNOSTICS) {
            if let Some(show) = sql::show_conditions(&statement.sql, self.dialect())
                && self.show_conditions(show, Some(&statement))
            {
                return;
            }
            let Some(numbered) = self.number(&statement.sql, intent.effects) else { return };
            needs_list = numbered.asks_on;
            if let Some(sql) = numbered.sql {
                statement = Arc::new(Statement { sql, settings: Arc::clone(&statement.settings) });
            }
        }
        let mut job = Job::new(Command::Execute { statement, payload, long_data, bulk }, Origin::Client);
        job.needs_list = needs_list;
        job.leaves = leaves;
        job.statement = Some(id);
        job.role = if bulk { Role::Primary } else { self.route(intent).role };
        job.hint = intent.hint;
        job.read_only = !bulk && intent.effects.contains(Effects::READ_ONLY);
        job.effects = intent.effects;
        self.run(now, job);
    }

    /// COM_STMT_SEND_LONG_DATA: kept until the execute. It has no answer, not even an error.
    pub(super) fn on_long_data(&mut self, id: u32, parameter: u16, data: &[u8]) {
        let bytes_max = self.config.limits.long_data_bytes_max;
        if let Some(prepared) = self.statements.get_mut(id) {
            prepared.add_long_data(parameter, data, bytes_max);
        }
    }

    /// COM_STMT_FETCH.
    pub(super) fn on_fetch(&mut self, now: Instant, id: u32, rows: u32) {
        let Some(prepared) = self.statements.get_mut(id) else {
            return self.write_error(&statements::unknown(id, "mysqld_stmt_fetch"));
        };
        if !prepared.cursor || self.lease.is_none() {
            return self.refuse(Kind::NoCursor, format!("The statement ({id}) has no open cursor."));
        }
        let command = Command::Fetch { statement: Arc::clone(&prepared.statement), rows };
        let mut job = Job::new(command, Origin::Client);
        job.statement = Some(id);
        self.run(now, job);
    }

    /// COM_STMT_RESET: drops long data and the cursor.
    pub(super) fn on_reset_statement(&mut self, now: Instant, id: u32) {
        let Some(prepared) = self.statements.get_mut(id) else {
            return self.write_error(&statements::unknown(id, "mysqld_stmt_reset"));
        };
        prepared.take_long_data();
        prepared.refused = None;
        if !std::mem::take(&mut prepared.cursor) {
            return self.write_own_ok();
        }
        let job = Job::new(Command::ResetStatement(Arc::clone(&prepared.statement)), Origin::Client);
        self.state.pins.set(Pins::CURSOR, self.statements.any_cursor());
        self.run(now, job);
    }

    /// COM_STMT_CLOSE. It has no answer.
    pub(super) fn on_close_statement(&mut self, id: u32) {
        let Some(prepared) = self.statements.remove(id) else { return };
        if prepared.cursor && self.lease.is_some() {
            self.state.pins.set(Pins::CURSOR, self.statements.any_cursor());
            let job = Box::new(Job::new(Command::ResetStatement(prepared.statement), Origin::CloseCursor));
            self.send(&job, None, None);
            self.phase = Phase::Running(job);
        }
    }
}

/// Its text is answered here, and prepared it is not worth an error: a server says what it tracks for Weir.
fn asks_for_trackers(classification: &Classification<'_>) -> bool {
    let is_tracker = |column: &OwnColumn<'_>| column.name.starts_with("session_track_");
    matches!(&classification.own, Some(Own::SelectVariables(columns)) if columns.iter().all(is_tracker))
}
