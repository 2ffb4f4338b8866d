//! Warnings, errors and counts of the last statement belong to the session, while servers keep them on the connection.
//!
//! After each statement of the client's the gateway knows them: from the answer, by what the statement's text says of it
//! ([`Leaves`]), or from the server, which is asked before the connection is given back ([`crate::link::Left`]). So `SHOW WARNINGS`
//! and its kin are answered here, and a statement that asks for a number gets it written into it
//! ([`crate::sql::with_numbers`]), wherever it runs.
//!
//! A session that is bound to keep its connection has all of that where servers keep it: nothing is asked after its statements, and
//! its questions go as they are.
//!
//! Some statements only may change what was there, and only the server knows whether they did. Before these the connection
//! is given what a change can be told from: the session's own `FOUND_ROWS()`, and a warning of a text that nobody else writes.

use super::insert_id::InsertId;
use super::job::{Held, Job, LeaseKey, Origin};
use super::{Phase, Session};
use crate::error::{Component, Error, Kind};
use crate::gtid::Flavor;
use crate::link::{Asks, Command, Condition, Left, Level, Statement};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::mysql::binary::Value;
use crate::mysql::capability::{ColumnFlags, ColumnType};
use crate::mysql::collation;
use crate::mysql::column::ColumnDefinition;
use crate::mysql::packet::OkPacket;
use crate::mysql::resultset::{self, TextResultSet};
use crate::sql::{Effects, Forgets, FoundRows, Number, Numbered, Numbers, RowCount, ShowConditions, with_numbers};
use crate::time::Instant;

/// Makes a connection forget warnings. Servers do so before statements that use a table, and a derived one is enough.
pub(super) const CLEAR: &[u8] = b"DO (SELECT 0 FROM (SELECT 0) none)";
/// Leaves a warning that no statement of a client's leaves.
const MARK: &[u8] = b"SIGNAL SQLSTATE '01000' SET MYSQL_ERRNO = 1642, MESSAGE_TEXT = 'weir: what was left before'";
const MARK_TEXT: &[u8] = b"weir: what was left before";
/// ER_UNKNOWN_ERROR: what a warning of Weir's own has for a number.
const UNKNOWN_ERROR: u32 = 1105;
/// The most rows that a connection is made to have found, one SELECT each.
const FOUND_ROWS_GIVEN_MAX: u64 = 64;

/// What the last statement left, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnostics {
    /// The connection whose own list of warnings is this session's; `None` when there is none.
    pub(super) at: Option<LeaseKey>,
    row_count: Option<i64>,
    found_rows: Option<u64>,
    conditions: Option<Conditions>,
}

/// Errors, warnings and notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Conditions {
    /// How many there were; the list may hold fewer.
    warnings: u64,
    errors: u64,
    list: Vec<Condition>,
    /// The character set of results in which the texts are.
    character_set: Vec<u8>,
}

impl Default for Diagnostics {
    fn default() -> Self {
        Self { at: None, row_count: Some(0), found_rows: Some(0), conditions: Some(Conditions::default()) }
    }
}

/// Where a statement that needs the server's own list of warnings can run.
pub(super) enum Place {
    /// On this connection, if nobody else has used it since.
    There(LeaseKey),
    /// On any that has forgotten what others left.
    AnyCleared,
    /// Nowhere: it is gone.
    Gone,
}

impl Diagnostics {
    pub(super) fn is_clean(&self) -> bool {
        self.conditions.as_ref().is_some_and(|conditions| conditions.warnings == 0)
    }

    /// Where a statement that needs the server's own list can run when the session holds no connection.
    pub(super) fn place(&self) -> Place {
        match self.at {
            _ if self.is_clean() => Place::AnyCleared,
            Some(key) => Place::There(key),
            None => Place::Gone,
        }
    }

    /// What is known, and what the lease knows. `disturbed`: something runs there first that makes it forget `ROW_COUNT()`.
    fn numbers(&self, lease: Option<&Held>, disturbed: bool) -> Numbers {
        fn number<T>(known: Option<T>, there: bool) -> Number<T> {
            known.map_or(if there { Number::There } else { Number::Lost }, Number::Is)
        }
        let there = |holds: fn(&Held) -> bool| lease.is_some_and(holds);
        let conditions = self.conditions.as_ref();
        Numbers {
            row_count: number(self.row_count, !disturbed && there(|lease| lease.holds_row_count)),
            found_rows: number(self.found_rows, there(|lease| lease.holds_found_rows)),
            warnings: number(conditions.map(|known| known.warnings), there(|lease| lease.holds_conditions)),
            errors: number(conditions.map(|known| known.errors), there(|lease| lease.holds_conditions)),
        }
    }

    /// Whether `FOUND_ROWS()` on the lease is the session's.
    fn finds_the_same(&self, lease: &Held) -> bool {
        self.found_rows.map_or(lease.holds_found_rows, |found| lease.found_rows == Some(found))
    }

    /// The gateway answered with an OK of its own.
    pub(super) fn note_ok(&mut self) {
        self.row_count = Some(0);
    }

    /// The gateway answered with rows of its own; `found`: what `FOUND_ROWS()` returns after them, if not what it did before.
    pub(super) fn note_rows(&mut self, found: Option<u64>) {
        self.row_count = Some(-1);
        self.found_rows = found.or(self.found_rows);
    }

    /// COM_RESET_CONNECTION: only `FOUND_ROWS()` outlives it.
    pub(super) fn reset(&mut self) {
        *self = Self { found_rows: self.found_rows, ..Self::default() };
    }
}

impl Session {
    /// The client reads an error: it is a condition like any other, and the only one as far as is known.
    pub(super) fn note_error(&mut self, error: &Error) {
        self.diagnostics.row_count = Some(-1);
        self.note_condition(Condition { level: Level::Error, code: error.code.into(), message: error.message.clone() });
    }

    /// The gateway answered, and warns.
    pub(super) fn note_warning(&mut self, message: &str) {
        self.note_condition(Condition { level: Level::Warning, code: UNKNOWN_ERROR, message: message.into() });
    }

    /// There is this one condition, which no server knows of.
    fn note_condition(&mut self, condition: Condition) {
        self.diagnostics.at = None;
        self.diagnostics.conditions = Some(Conditions {
            warnings: 1,
            errors: u64::from(condition.level == Level::Error),
            list: vec![condition],
            character_set: self.state.results_character_set().to_vec(),
        });
        if let Some(lease) = &mut self.lease {
            lease.holds_conditions = false;
        }
    }

    /// The gateway answered with so many rows, as servers do with a SELECT from a table.
    pub(super) fn note_selected(&mut self, rows: u64) {
        self.diagnostics.note_rows(Some(rows));
        self.diagnostics.conditions = Some(Conditions::default());
        if let Some(lease) = &mut self.lease {
            lease.holds_conditions = false;
        }
    }

    /// What must be asked after `job`.
    pub(super) fn asks(&self, job: &Job) -> Asks {
        if job.origin != Origin::Client || self.config.mutants.breaks(Mutant::IgnoreLeft) {
            return Asks::empty();
        }
        if self.is_observed() {
            return Asks::empty();
        }
        if self.keeps_what_is_left(job) {
            // FOUND_ROWS() is all that outlives a reset, after which the lease may go.
            let resets = matches!(job.command, Command::ResetConnection) && self.diagnostics.found_rows.is_none();
            return if resets { Asks::COUNTS } else { Asks::empty() };
        }
        let mut asks = Asks::WHEN_WARNED;
        let counted = matches!(job.leaves.found_rows, FoundRows::Counted | FoundRows::Unsure);
        asks.set(Asks::COUNTS, counted || job.leaves.row_count == RowCount::Counted);
        if job.leaves.forgets == Forgets::Unsure && !self.diagnostics.is_clean() {
            asks |= Asks::COUNTS | Asks::CONDITIONS;
        }
        asks
    }

    /// The server records the session's statements for it, in a trace or in profiles: nothing of the gateway's may run between them. What
    /// only a question could tell is then not known.
    fn is_observed(&self) -> bool {
        let variables = &self.state.settings.variables;
        let begins = |name: &str, on: &[u8]| variables.get(name).is_some_and(|value| value.starts_with(on));
        self.state.pins.last() && (begins("optimizer_trace", b"enabled=on") || begins("profiling", b"ON"))
    }

    /// The lease stays with the session whatever comes, and what `job` leaves there will be the session's own.
    fn keeps_what_is_left(&self, job: &Job) -> bool {
        let Some(lease) = self.lease.as_ref().filter(|_| self.state.pins.last()) else { return false };
        let finds_anew = matches!(job.leaves.found_rows, FoundRows::Sent | FoundRows::Counted);
        let tells_found_rows = finds_anew || self.diagnostics.finds_the_same(lease);
        let tells_conditions =
            job.leaves.forgets != Forgets::Unsure || lease.holds_conditions || self.diagnostics.is_clean();
        tells_found_rows && tells_conditions
    }

    /// What `job` must find on the lease, so that a change can be told: the statement that puts it there.
    pub(super) fn gives_first(&mut self, job: &mut Job) -> Option<Vec<u8>> {
        if job.origin != Origin::Client || self.config.mutants.breaks(Mutant::IgnoreLeft) || self.is_observed() {
            return None;
        }
        let lease = self.lease.as_mut()?;
        let (found, clean) = (self.diagnostics.found_rows, self.diagnostics.is_clean());
        // To be given rows it would have to forget its warnings, which a procedure may look at, or which nobody else knows.
        let runs_code = job.effects.contains(Effects::RUNS_STORED_CODE);
        let spare = self.diagnostics.conditions.is_some() && (clean || !runs_code);
        let can_forget = spare || !lease.holds_conditions;
        let unlike = can_forget && !self.diagnostics.finds_the_same(lease);
        if job.leaves.found_rows == FoundRows::Unsure && unlike && !job.given_found_rows {
            let given = found.filter(|found| *found <= FOUND_ROWS_GIVEN_MAX).unwrap_or(0);
            job.given_found_rows = true;
            lease.found_rows = Some(given);
            // A derived table makes it forget the warnings, too.
            (lease.holds_conditions, lease.holds_found_rows) = (clean, false);
            return Some(find_rows(given));
        }
        let unsure = job.leaves.forgets == Forgets::Unsure && !clean;
        if unsure && !lease.holds_conditions && !job.marked {
            job.marked = true;
            return Some(MARK.to_vec());
        }
        None
    }

    /// Takes in what `job`, which the server has answered, left.
    pub(super) fn take_in_what_is_left(&mut self, job: &mut Job) {
        let left = std::mem::take(&mut job.left);
        if self.config.mutants.breaks(Mutant::IgnoreLeft) {
            return;
        }
        if job.refused {
            // What it left is noted already, and is on no connection.
            if let Some(lease) = &mut self.lease {
                (lease.holds_conditions, lease.holds_row_count) = (false, false);
            }
            return;
        }
        self.take_in_counts(job, &left);
        self.take_in_conditions(job, left);
    }

    fn take_in_counts(&mut self, job: &Job, left: &Left) {
        let held = self.lease.map_or((false, false), |lease| (lease.holds_row_count, lease.holds_found_rows));
        // Nobody has asked, and the connection may have kept what it had found before.
        let is_another = |lease: &Held| !self.diagnostics.finds_the_same(lease);
        let untold = self.is_observed() && self.lease.as_ref().is_some_and(is_another);
        let known = &mut self.diagnostics;
        let told = left.counts;
        known.row_count = match job.leaves.row_count {
            RowCount::Shown if job.failed => None,
            _ if job.failed => Some(-1),
            RowCount::Kept => known.row_count,
            RowCount::Told | RowCount::Shown => job.row_count.or(known.row_count),
            RowCount::Counted => told.map(|counts| counts.row_count),
        };
        let before = known.found_rows;
        let failed_before_it_ran = job.error_code.is_some_and(is_found_before_it_runs);
        known.found_rows = match job.leaves.found_rows {
            FoundRows::Kept => before.or(told.map(|counts| counts.found_rows).filter(|_| held.1)),
            FoundRows::Sent | FoundRows::Counted if job.failed => before.filter(|_| failed_before_it_ran),
            FoundRows::Sent => job.sent_rows,
            FoundRows::Counted => told.map(|counts| counts.found_rows),
            FoundRows::Unsure => {
                let found = told.map(|counts| counts.found_rows);
                match self.lease.and_then(|lease| lease.found_rows) {
                    _ if held.1 => found,
                    // What it was given is what it had before, or else nobody can tell.
                    Some(given) => found.filter(|found| Some(given) == before || given != *found),
                    None => None,
                }
            }
        };
        let (row_count, found) = (known.row_count, known.found_rows);
        let Some(lease) = &mut self.lease else { return };
        let undisturbed = told.is_none() && !job.asked_for_variables;
        let keeps_row_count = job.leaves.row_count == RowCount::Kept && !job.failed;
        lease.holds_row_count = row_count.is_none() && undisturbed && (!keeps_row_count || held.0);
        let keeps_found = job.leaves.found_rows == FoundRows::Kept || failed_before_it_ran;
        let told_wrong = untold && job.leaves.found_rows == FoundRows::Unsure;
        lease.holds_found_rows = found.is_none() && undisturbed && (!keeps_found || held.1) && !told_wrong;
        lease.found_rows = match told {
            _ if job.asked_for_variables => None,
            Some(_) => Some(1),
            None if job.leaves.found_rows == FoundRows::Kept => lease.found_rows,
            None => found,
        };
    }

    fn take_in_conditions(&mut self, job: &Job, left: Left) {
        let character_set = self.state.results_character_set().to_vec();
        let known = &mut self.diagnostics;
        let Some(lease) = &mut self.lease else { return };
        let may_have_stayed = job.leaves.forgets == Forgets::Unsure && !known.is_clean();
        if !job.failed && !job.warned && !may_have_stayed {
            if job.leaves.forgets == Forgets::Yes {
                known.conditions = Some(Conditions::default());
                lease.holds_conditions = true;
            }
            return;
        }
        // Of an error all was asked, unless it was clear before that the server would have it.
        let there = job.failed || lease.holds_conditions || !may_have_stayed;
        if self.state.pins.last() && left.conditions.is_none() && !job.marked && there {
            lease.holds_conditions = true;
            known.conditions = None;
            return;
        }
        let is_mark = |list: &[Condition]| matches!(list, [only] if only.message == MARK_TEXT);
        lease.holds_conditions = true;
        match (left.conditions, left.counts) {
            (Some(list), _) if job.marked && is_mark(&list) => lease.holds_conditions = false,
            (Some(list), Some(counts)) => {
                let (warnings, errors) = (counts.warnings, counts.errors);
                known.conditions = Some(Conditions { warnings, errors, list, character_set });
            }
            // The error itself is noted already.
            _ if job.failed => {}
            _ => (known.conditions, lease.holds_conditions) = (None, there),
        }
    }

    /// Writes into a statement what it asks for; `None` when that is not known. Then the client has been told.
    pub(super) fn number(&mut self, sql: &[u8], effects: Effects) -> Option<Numbered> {
        if self.config.mutants.breaks(Mutant::StaleDiagnostics) {
            return Some(Numbered { sql: None, asks_on: false });
        }
        let learns_first = self.lease.is_some_and(|lease| lease.insert_id != InsertId::Synced);
        let disturbed = effects.contains(Effects::READS_LAST_INSERT_ID) && learns_first;
        let numbers = self.diagnostics.numbers(self.lease.as_ref(), disturbed);
        let numbered = with_numbers(sql, self.dialect(), &numbers);
        if numbered.is_none() {
            Mark::DiagnosticsGone.hit();
            self.write_error(&gone());
        }
        numbered
    }

    /// Answers `SHOW WARNINGS` and its kin. False: the server that has them must be asked.
    pub(super) fn show_conditions(&mut self, show: ShowConditions, prepared: Option<&Statement>) -> bool {
        if self.config.mutants.breaks(Mutant::StaleDiagnostics) {
            return false;
        }
        let Some(known) = &self.diagnostics.conditions else { return false };
        let count = |errors: bool| if errors { known.errors } else { known.warnings };
        let (result, found) = match show {
            ShowConditions::Count { errors } => (count_table(errors, count(errors)), Some(1)),
            ShowConditions::List { errors, offset, rows } => {
                let Some(texts) = collation::of_results(self.state.results()) else { return false };
                if !known.can_be_read_in(texts.character_set) {
                    return false;
                }
                let shown = known.list.iter().filter(|condition| !errors || condition.level == Level::Error);
                let mariadb = self.servers.is_some_and(|servers| servers.flavor == Flavor::MariaDb);
                (list_table(shown.skip(offset).take(rows), texts, mariadb), None)
            }
        };
        match prepared {
            Some(statement) => self.answer_binary(&result, statement),
            None => self.answer_table(&result),
        }
        self.diagnostics.note_rows(found);
        true
    }

    fn answer_binary(&mut self, result: &TextResultSet, statement: &Statement) {
        // A statement that was prepared in another schema has the server go there and come back, which it reports.
        let (there, here) = (&statement.settings.schema, self.state.schema());
        let back = here.filter(|here| there.as_deref() != Some(*here));
        let session_state = self.state.tracking.report_schema(back);
        let ok = OkPacket { status: self.state.status, session_state, ..OkPacket::default() };
        let (agreed, sequence) = (self.agreed(), &mut self.sequence);
        self.out.write(|b| {
            resultset::write_columns(b, sequence, &result.columns, ok.status, agreed);
            for row in &result.rows {
                let values: Vec<Value> =
                    result.columns.iter().zip(row).map(|(column, text)| binary_value(column, text)).collect();
                let written = resultset::write_binary_row(b, sequence, &result.columns, &values);
                debug_assert!(written.is_ok(), "numbers and texts only");
            }
            resultset::write_end(b, sequence, &ok, agreed.common);
        });
    }

    /// `job` needs the server's own list, which is not on the lease: makes it so, or tells the client that it is gone.
    pub(super) fn fetch_list(&mut self, now: Instant, job: Box<Job>) {
        if self.diagnostics.is_clean() {
            self.then = Some(job);
            return self.submit_internal(now, CLEAR, Origin::ClearDiagnostics);
        }
        Mark::DiagnosticsGone.hit();
        self.write_error(&gone());
        self.settle(now);
    }

    /// The lease has what it was to be given; on with the client's statement.
    pub(super) fn prepared_to_tell(&mut self, now: Instant, failed: bool) {
        self.phase = Phase::Idle;
        if let Some(lease) = self.lease.as_mut().filter(|_| failed) {
            (lease.holds_conditions, lease.found_rows) = (false, None);
        }
        match self.then.take() {
            Some(job) => self.submit(now, job),
            None => self.settle(now),
        }
    }
}

impl Conditions {
    /// Whether the texts, as they are here, are the same in a character set.
    fn can_be_read_in(&self, character_set: &str) -> bool {
        let is_utf8 = |name: &[u8]| name.is_empty() || name.starts_with(b"utf8");
        let same = self.character_set == character_set.as_bytes()
            || is_utf8(&self.character_set) && is_utf8(character_set.as_bytes());
        same || self.list.iter().all(|condition| condition.message.is_ascii())
    }
}

/// A statement after which a connection has found so many rows.
fn find_rows(count: u64) -> Vec<u8> {
    match count {
        0 => b"SELECT 0 FROM (SELECT 0) none LIMIT 0".to_vec(),
        count => {
            let rows = vec!["SELECT 0"; usize::try_from(count).unwrap_or(1)].join(" UNION ALL ");
            format!("SELECT SQL_CALC_FOUND_ROWS 0 FROM ({rows}) found LIMIT 0").into_bytes()
        }
    }
}

fn count_table(errors: bool, count: u64) -> TextResultSet {
    let name = if errors { "@@session.error_count" } else { "@@session.warning_count" };
    TextResultSet {
        columns: vec![ColumnDefinition::count(name)],
        rows: vec![vec![Some(count.to_string().into_bytes())]],
    }
}

fn list_table<'a>(
    conditions: impl Iterator<Item = &'a Condition>,
    texts: collation::Names,
    mariadb: bool,
) -> TextResultSet {
    let text = |name: &str, characters: u32| ColumnDefinition {
        collation: texts.id,
        length_bytes: characters * u32::from(texts.character_bytes_max),
        flags: ColumnFlags::NOT_NULL_FLAG,
        decimals: if mariadb { 39 } else { 31 },
        ..ColumnDefinition::text(name)
    };
    let code = ColumnDefinition {
        length_bytes: 4,
        column_type: ColumnType::MYSQL_TYPE_LONG,
        flags: ColumnFlags::NOT_NULL_FLAG | ColumnFlags::UNSIGNED_FLAG | ColumnFlags::BINARY_FLAG,
        ..ColumnDefinition::integer("Code")
    };
    let row = |condition: &Condition| {
        let (level, code) = (condition.level.name().into(), condition.code.to_string().into_bytes());
        vec![Some(level), Some(code), Some(condition.message.clone())]
    };
    TextResultSet { columns: vec![text("Level", 7), code, text("Message", 512)], rows: conditions.map(row).collect() }
}

fn binary_value(column: &ColumnDefinition, text: &Option<Vec<u8>>) -> Value {
    let Some(text) = text else { return Value::NULL };
    if column.column_type == ColumnType::MYSQL_TYPE_VAR_STRING {
        return Value::Bytes(text.clone());
    }
    core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).map_or(Value::NULL, Value::UInt)
}

fn gone() -> Error {
    Error::new(
        Component::Gateway,
        Kind::Untold,
        "weir-gateway: what the previous statement left cannot be told any more, since its server connection has been used \
         otherwise; ask for it in the same transaction, or in a simpler form",
    )
}

/// Errors that servers find in a statement before they run any of it: ER_NO_DB_ERROR, ER_BAD_DB_ERROR, ER_NON_UNIQ_ERROR,
/// ER_BAD_FIELD_ERROR, ER_PARSE_ERROR, ER_NONUNIQ_TABLE, ER_UNKNOWN_TABLE, ER_INVALID_GROUP_FUNC_USE,
/// ER_UNKNOWN_CHARACTER_SET, ER_MIX_OF_GROUP_FUNC_AND_FIELDS, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR,
/// ER_NO_SUCH_TABLE, ER_UNKNOWN_SYSTEM_VARIABLE, ER_WRONG_USAGE, ER_WRONG_NUMBER_OF_COLUMNS_IN_SELECT, ER_OPERAND_COLUMNS,
/// ER_DERIVED_MUST_HAVE_ALIAS, ER_UNKNOWN_COLLATION, ER_SP_DOES_NOT_EXIST, ER_WRONG_PARAMCOUNT_TO_NATIVE_FCT.
const fn is_found_before_it_runs(code: u16) -> bool {
    matches!(
        code,
        1046 | 1049
            | 1052
            | 1054
            | 1064
            | 1066
            | 1109
            | 1111
            | 1115
            | 1140
            | 1142
            | 1143
            | 1146
            | 1193
            | 1221
            | 1222
            | 1241
            | 1248
            | 1273
            | 1305
            | 1582
    )
}
