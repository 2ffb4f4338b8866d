//! COM_QUERY: what the gateway answers itself, and what goes to a server.

use super::commands::payload_of;
use super::job::{Intent, Job, Origin};
use super::{Event, Phase, Session};
use crate::error::{Component, Error, Kind as ErrorKind};
use crate::gateway::config::SessionConfig;
use crate::gateway::processes;
use crate::gtid::Flavor;
use crate::link::Command;
use crate::mutants::Mutant;
use crate::mysql::capability::Agreed;
use crate::mysql::collation;
use crate::mysql::column::ColumnDefinition;
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;
use crate::mysql::resultset::TextResultSet;
use crate::sql::{self, Classification, Dialect, Effects, Judged, Kind, Own, OwnAssignment, OwnColumn, Route, Show};
use crate::time::Instant;
use crate::topo::ServerVersion;
use std::sync::Arc;

impl Session {
    pub(super) fn on_query(&mut self, now: Instant, sql: &[u8], payload: &[u8]) {
        let dialect = self.dialect();
        let Judged { classification, leaves, fingerprint } = self.verdicts.judge(sql, dialect, self.config.digests);
        self.note_form_of_text(sql, dialect, fingerprint);
        self.begin_trace(now, |session| session.parent_in(sql));
        if self.transaction_lost && !self.acknowledges_loss(&classification) {
            return;
        }
        if classification.route == Route::Gateway {
            return self.answer_own(now, &classification, payload);
        }
        let scoped = self.scoped(sql, classification.effects);
        let payload = scoped.as_ref().map_or_else(|| payload.to_vec(), |sql| payload_of(&ClientCommand::Query(sql)));
        let sql = scoped.as_deref().unwrap_or(sql);
        let mut job = Job::new(Command::Plain(payload), Origin::Client);
        if classification.effects.contains(Effects::NEEDS_DIAGNOSTICS) {
            if let Some(show) = sql::show_conditions(sql, dialect)
                && self.show_conditions(show, None)
            {
                return;
            }
            let Some(numbered) = self.number(sql, classification.effects) else { return };
            job.needs_list = numbered.asks_on;
            if let Some(sql) = numbered.sql {
                job.command = Command::Plain(payload_of(&ClientCommand::Query(&sql)));
            }
        }
        let leaves = leaves.unwrap_or_else(|| sql::leaves(sql, dialect, &classification));
        let mut intent = Intent::of(&classification, leaves);
        job.leaves = intent.leaves;
        let locks = sql.ends_with(b"FOR UPDATE") || sql.ends_with(b"LOCK IN SHARE MODE");
        if locks && self.config.mutants.breaks(Mutant::SplitLockingReads) {
            intent.route = Route::Replica;
        }
        job.role = self.route(intent).role;
        job.hint = intent.hint;
        job.effects = classification.effects;
        job.read_only = classification.effects.contains(Effects::READ_ONLY);
        if classification.effects.contains(Effects::SETS_VARIABLES) {
            job.collation_after = sql::set_names_collation(sql, dialect).map(<[u8]>::to_vec);
        }
        if classification.effects.contains(Effects::CHANGES_SCHEMA) {
            job.role_after = Some(None);
        }
        if classification.effects.contains(Effects::NAMES_CLIENTS) && sql::may_name_clients(classification.kind) {
            return self.run_with_clients(now, job);
        }
        self.run(now, job);
    }

    /// `sql` with a scope for each variable that it sets without one; `None` when there is none.
    pub(super) fn scoped(&self, sql: &[u8], effects: Effects) -> Option<Vec<u8>> {
        let lacks = effects.contains(Effects::LACKS_SCOPE) && !self.config.mutants.breaks(Mutant::LeaveScopes);
        lacks.then(|| sql::with_scopes(sql, self.dialect()))
    }

    /// How the servers, the session's SQL mode and its character set let text be read.
    pub(super) fn dialect(&self) -> Dialect {
        let is_mariadb = |servers: ServerVersion| servers.flavor == Flavor::MariaDb && servers.at_least(10, 11, 0);
        Dialect { mariadb: self.servers.is_some_and(is_mariadb), ..self.state.dialect() }
    }

    /// After the loss of an open transaction only its end is taken, so that what was meant to be in it never runs outside.
    fn acknowledges_loss(&mut self, classification: &Classification<'_>) -> bool {
        match classification.kind {
            Kind::Rollback => {
                self.transaction_lost = false;
                self.write_own_ok();
            }
            kind => {
                self.transaction_lost = kind != Kind::Commit;
                let what =
                    if kind == Kind::Commit { "nothing was committed" } else { "send ROLLBACK, then start over" };
                let message = format!("weir-gateway: the transaction was lost with its server connection; {what}");
                self.refuse(ErrorKind::TransactionLost, message);
            }
        }
        false
    }

    fn answer_own(&mut self, now: Instant, classification: &Classification<'_>, payload: &[u8]) {
        match &classification.own {
            Some(Own::SetVariables(assignments)) => self.set_own(assignments),
            Some(Own::MixedSet) => self.refuse(
                ErrorKind::NotSupported,
                "weir-gateway: variables of Weir's own (and session_track_*) must be set in a statement of their own",
            ),
            Some(Own::SelectVariables(columns)) => {
                let (columns, row) = columns.iter().map(|column| self.own_value(column)).unzip();
                self.answer_table(&TextResultSet { columns, rows: vec![row] });
                self.diagnostics.note_rows(Some(1));
            }
            Some(Own::ShowVariables(names)) => {
                let columns = ["Variable_name", "Value"].map(ColumnDefinition::text).to_vec();
                let (own, tracking) = (&self.state.variables, &self.state.tracking);
                let value = |name: &str| {
                    let own = own.get(name).map(String::into_bytes);
                    own.or_else(|| Some(tracking.value(name).as_bytes().to_vec()))
                };
                let rows = names.iter().map(|name| vec![Some(name.as_bytes().to_vec()), value(name)]).collect();
                self.answer_table(&TextResultSet { columns, rows });
                self.diagnostics.note_rows(Some(names.len() as u64));
            }
            Some(Own::ShowCarrier(name)) => {
                self.answer_table(&processes::status(name, self.carrier_status(name)));
                self.note_selected(1);
            }
            Some(Own::SelectConnectionId { column }) => {
                self.answer_number(column, self.peer.id);
                self.diagnostics.note_rows(Some(1));
            }
            Some(Own::UseRole { schema, role }) => {
                self.use_schema(now, schema, Some(*role));
            }
            Some(Own::Show(show)) => self.show(*show),
            Some(Own::Explain(statement)) => self.explain(now, statement),
            Some(Own::Kill(kill)) => self.on_kill(now, kill, payload),
            Some(Own::ReloadUsers) => {
                self.phase = Phase::Ordered;
                self.events.push_back(Event::ReloadUsers);
            }
            Some(Own::ResetDigests) => {
                self.phase = Phase::Ordered;
                self.events.push_back(Event::ResetDigests);
            }
            None => {
                debug_assert!(false, "the gateway's own statement without content");
                let job = Job::new(Command::Plain(payload.to_vec()), Origin::Client);
                self.run(now, job);
            }
        }
    }

    /// A column of `SELECT @@name`, and its value.
    fn own_value(&self, column: &OwnColumn<'_>) -> (ColumnDefinition, Option<Vec<u8>>) {
        let label = column.column.to_vec();
        if column.name.starts_with("session_track_") {
            let texts = collation::of_results(self.state.results()).unwrap_or(collation::FALLBACK);
            return self.state.tracking.selected(&column.name, label, &texts);
        }
        let variables = if column.global { &self.config.variables } else { &self.state.variables };
        (ColumnDefinition::text(label), variables.get(&column.name).map(String::into_bytes))
    }

    fn set_own(&mut self, assignments: &[OwnAssignment<'_>]) {
        let (mut variables, mut tracking) = (self.state.variables.clone(), self.state.tracking.clone());
        let mut defaults = Vec::new();
        for assignment in assignments {
            let (name, value) = (assignment.name.as_ref(), assignment.value.as_ref());
            let result = if assignment.global && name.starts_with("session_track_") {
                let message = format!(
                    "weir-gateway: SET GLOBAL {name} is not served: every session begins with the server's default"
                );
                Err(Error::new(Component::Gateway, ErrorKind::NotSupported, message))
            } else if assignment.global {
                defaults.push((name.to_owned(), value.to_owned()));
                Ok(())
            } else if name.starts_with("session_track_") {
                tracking.set(name, value)
            } else {
                variables.set(name, value, &self.config.variables)
            };
            if let Err(error) = result {
                return self.write_error(&error);
            }
        }
        if !defaults.is_empty() {
            self.phase = Phase::SettingDefaults(Box::new((variables, tracking)));
            self.events.push_back(Event::SetDefaults(defaults));
            return;
        }
        let names = assignments.iter().map(|assignment| assignment.name.as_ref());
        let names = names.filter(|name| name.starts_with("session_track_"));
        let session_state = tracking.report(names, &self.state.tracking);
        self.state.variables = variables;
        self.state.tracking = tracking;
        self.diagnostics.note_ok();
        self.write_ok(&OkPacket { status: self.state.status, session_state, ..OkPacket::default() });
    }

    /// The answer to [`Event::SetDefaults`]: the configuration that holds from now on, or why it was not changed.
    pub fn defaults_set(&mut self, now: Instant, outcome: Result<Arc<SessionConfig>, Error>) {
        let own = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::SettingDefaults(own) => own,
            other => {
                // The client has gone meanwhile.
                self.phase = other;
                return;
            }
        };
        match outcome {
            Ok(config) => {
                self.config = config;
                (self.state.variables, self.state.tracking) = *own;
                self.write_own_ok();
            }
            Err(error) => self.write_error(&error),
        }
        self.become_idle(now);
    }

    /// The answer to [`Event::ReloadUsers`] and its kin: what the client is warned of, or why everything stays as it was.
    pub fn order_done(&mut self, now: Instant, outcome: Result<Option<&str>, Error>) {
        if !matches!(self.phase, Phase::Ordered) {
            // The client has gone meanwhile.
            return;
        }
        match outcome {
            Ok(warning) => {
                self.diagnostics.note_ok();
                let warnings = warning.is_some().into();
                self.write_ok(&OkPacket { status: self.state.status, warnings, ..OkPacket::default() });
                if let Some(message) = warning {
                    self.note_warning(message);
                }
            }
            Err(error) => self.write_error(&error),
        }
        self.become_idle(now);
    }

    /// A result set of one number.
    pub(super) fn answer_number(&mut self, label: &[u8], value: impl ToString) {
        let columns = vec![ColumnDefinition::integer(label)];
        self.answer_table(&TextResultSet { columns, rows: vec![vec![Some(value.to_string().into_bytes())]] });
    }

    pub(super) fn answer_table(&mut self, result: &TextResultSet) {
        self.answer_table_with(result, 0);
    }

    /// What was agreed on with the client.
    pub(super) fn agreed(&self) -> Agreed {
        Agreed { common: self.capabilities, of_mariadb: self.of_mariadb }
    }

    fn answer_table_with(&mut self, result: &TextResultSet, warnings: u16) {
        let ok = OkPacket { status: self.state.status, warnings, ..OkPacket::default() };
        let (agreed, sequence) = (self.agreed(), &mut self.sequence);
        self.out.write(|b| result.write(b, sequence, &ok, agreed));
    }

    /// MariaDB's `old_mode` has lists of processes as they once were.
    fn hides_progress(&self) -> bool {
        let old_mode = self.state.settings.variables.get("old_mode");
        old_mode.is_some_and(|modes| modes.split(|byte| *byte == b',').any(|mode| mode == b"NO_PROGRESS_INFO"))
    }

    pub(super) fn show(&mut self, show: Show) {
        self.phase = Phase::Showing(show);
        self.events.push_back(Event::Show(show));
    }

    /// The answer to [`Event::Show`] where the client may not see that.
    pub fn show_refused(&mut self, now: Instant, error: &Error) {
        if matches!(self.phase, Phase::Showing(_)) {
            self.write_error(error);
            self.become_idle(now);
        }
    }

    /// The answer to [`Event::Show`], and of what it warns.
    pub fn shown(&mut self, now: Instant, result: &TextResultSet, warning: Option<&str>) {
        if let Phase::Showing(show) = self.phase {
            let warnings = warning.is_some().into();
            if matches!(show, Show::Processes { .. }) && self.hides_progress() {
                self.answer_table_with(&processes::without_progress(result), warnings);
            } else {
                self.answer_table_with(result, warnings);
            }
            if let Some(message) = warning {
                self.note_warning(message);
            }
            match show {
                // Servers select it from a table of their own, and so forget the warnings before it.
                Show::Connected => self.note_selected(result.rows.len() as u64),
                _ => self.diagnostics.note_rows(None),
            }
            self.become_idle(now);
        }
    }
}
