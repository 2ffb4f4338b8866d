//! A session of the server, its transaction, and what its statements come to.

use super::error::SqlError;
use super::locks::LockKey;
use super::sql::{ColumnKind, Statement};
use super::tables::{Change, View};
use super::value::{Row, Value};
use super::variables::Values;
use super::variables::known;
use std::collections::BTreeMap;
use std::rc::Rc;
use weir_core::gtid::Position;
use weir_core::time::Instant;

/// A connection's number, as CONNECTION_ID() and KILL have it.
pub type SessionId = u64;

/// A transaction is open.
pub const STATUS_IN_TRANS: u16 = 0x0001;
/// Statements commit by themselves.
pub const STATUS_AUTOCOMMIT: u16 = 0x0002;
/// The open transaction is READ ONLY.
pub const STATUS_IN_TRANS_READONLY: u16 = 0x2000;

/// What a statement came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// STATUS_* bits.
    pub status: u16,
    /// Warnings.
    pub warnings: u16,
    /// What session trackers report.
    pub tracked: Vec<Tracked>,
    /// The answer itself.
    pub body: Body,
}

/// The answer to a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// No rows.
    Ok {
        /// Affected rows.
        affected: u64,
        /// Insert id.
        insert_id: u64,
        /// Text such as `Rows matched: 1  Changed: 1  Warnings: 0`.
        info: String,
    },
    /// Rows.
    Rows(Rows),
    /// An error.
    Err(SqlError),
}

impl Body {
    /// An OK that changed nothing.
    pub(super) const fn ok() -> Self {
        Self::Ok { affected: 0, insert_id: 0, info: String::new() }
    }
}

/// A result set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Row>,
}

/// A column of a result set.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
}

/// One entry of the session-state block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// The default schema changed.
    Schema(String),
    /// A tracked system variable was set.
    Variable(String, String),
    /// GTIDs of this statement (MySQL).
    Gtids(String),
    /// Transaction state in eight characters.
    Transaction(String),
    /// Something of the session's state changed.
    StateChange,
}

impl Tracked {
    /// The variable that it is about.
    fn variable(&self) -> Option<&str> {
        if let Self::Variable(name, _) = self { Some(name) } else { None }
    }
}

/// A savepoint of a transaction.
#[derive(Debug)]
pub(super) struct Savepoint {
    pub(super) name: String,
    /// How many changes there were.
    pub(super) changes: usize,
    pub(super) logged: bool,
}

/// An open transaction.
#[derive(Debug, Default)]
pub(super) struct Trx {
    /// What it will commit, in order.
    pub(super) changes: Vec<Change>,
    /// Rows it has written, as it sees them.
    pub(super) overlay: BTreeMap<LockKey, (Rc<super::tables::TableRef>, Option<Row>)>,
    pub(super) locks: Vec<LockKey>,
    pub(super) snapshot: Option<u64>,
    pub(super) isolation: Isolation,
    pub(super) read_only: bool,
    pub(super) savepoints: Vec<Savepoint>,
    /// It has changed a row, even if that was undone: savepoints are logged from then on.
    pub(super) logged: bool,
    /// It lasts beyond the statement that began it.
    pub(super) lasting: bool,
    /// It has begun: by BEGIN, or by using a table. One that only holds savepoints has not.
    pub(super) begun: bool,
}

/// Isolation levels that the model tells apart. READ UNCOMMITTED reads what is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Isolation {
    ReadCommitted,
    #[default]
    RepeatableRead,
    Serializable,
}

impl Isolation {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "READ-UNCOMMITTED" | "READ-COMMITTED" => Self::ReadCommitted,
            "SERIALIZABLE" => Self::Serializable,
            _ => Self::RepeatableRead,
        }
    }
}

impl Trx {
    /// What plain reads see now.
    pub(super) fn view(&self) -> View {
        self.snapshot.map_or(View::Latest, View::Snapshot)
    }

    /// Remembers a change and how the transaction sees the row from now on.
    pub(super) fn change(&mut self, table_id: u32, change: Change) {
        self.see(table_id, &change);
        self.changes.push(change);
        self.logged = true;
    }

    fn see(&mut self, table_id: u32, change: &Change) {
        let (table, key, row) = match change {
            Change::Insert(table, key, row) | Change::Update(table, key, row) => (table, key, Some(Rc::clone(row))),
            Change::Delete(table, key) => (table, key, None),
            _ => return,
        };
        self.overlay.insert((table_id, key.clone()), (Rc::clone(table), row));
    }

    /// Undoes all changes after the first `keep`.
    pub(super) fn undo_to(&mut self, keep: usize) {
        if self.changes.len() == keep {
            return;
        }
        self.changes.truncate(keep);
        let ids: BTreeMap<Rc<super::tables::TableRef>, u32> =
            self.overlay.iter().map(|((id, _), (table, _))| (Rc::clone(table), *id)).collect();
        self.overlay.clear();
        for change in core::mem::take(&mut self.changes) {
            let id = match &change {
                Change::Insert(table, ..) | Change::Update(table, ..) | Change::Delete(table, _) => ids.get(table),
                _ => None,
            };
            self.change(id.copied().unwrap_or(0), change);
        }
    }
}

/// A statement under way: what to run, and what its waiting functions have returned so far.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) statement: Rc<Statement>,
    pub(super) parameters: Rc<[Value]>,
    pub(super) returned: Vec<Value>,
    /// Since when it waits, if it has waited for anything.
    pub(super) waits_since: Option<Instant>,
    /// It has waited for a row, and so is among those that a fence waits for.
    pub(super) has_begun: bool,
    /// Its group has let it go on.
    pub(super) was_held: bool,
}

/// What a suspended statement waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wait {
    /// A row lock.
    Lock(LockKey),
    /// SLEEP.
    Sleep,
    /// A position to be reached.
    Position(Position),
    /// A named lock.
    UserLock(String),
    /// All commits that have begun.
    Commits,
    /// All that write: commits that have begun, and statements that wait for rows. Nothing that writes begins meanwhile.
    Writers,
    /// Somebody who waits for all that write.
    Fence,
    /// Its own commit, in the pipeline.
    Commit,
    /// A round of the group.
    Round(u64),
    /// The transaction of this number to be applied, which a round has told.
    Applied(u64),
}

/// A suspended statement.
#[derive(Debug)]
pub(super) struct Suspended {
    pub(super) job: Job,
    pub(super) wait: Wait,
    pub(super) deadline: Option<Instant>,
}

/// A line of SHOW WARNINGS.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) level: &'static str,
    pub(super) code: u16,
    pub(super) message: String,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) user: String,
    pub(super) is_super: bool,
    pub(super) found_rows: bool,
    pub(super) schema: Option<String>,
    pub(super) values: Values,
    pub(super) user_variables: BTreeMap<String, Value>,
    pub(super) autocommit: bool,
    pub(super) trx: Option<Trx>,
    /// SET TRANSACTION for the next transaction only.
    pub(super) next_isolation: Option<Isolation>,
    pub(super) next_read_only: Option<bool>,
    pub(super) last_insert_id: i64,
    /// What LAST_INSERT_ID(expr) or a generated key makes of the current statement.
    pub(super) statement_insert_id: Option<i64>,
    pub(super) row_count: i64,
    /// What FOUND_ROWS() returns.
    pub(super) rows_found: i64,
    pub(super) last_gtid: String,
    pub(super) warnings: Vec<Condition>,
    /// They are of the current statement.
    pub(super) warned: bool,
    pub(super) tracked: Vec<Tracked>,
    /// What no OK has carried yet: it rides on the next one that has something to tell.
    pub(super) untold: Vec<Tracked>,
    pub(super) suspended: Option<Suspended>,
    /// When it was last heard or answered.
    pub(super) idle_since: Option<Instant>,
    /// The current statement has committed something on its way, and must not answer before that is durable.
    pub(super) committed_on_the_way: bool,
}

impl Session {
    pub(super) fn status(&self) -> u16 {
        let mut status = if self.autocommit { STATUS_AUTOCOMMIT } else { 0 };
        if let Some(trx) = self.trx.as_ref().filter(|trx| trx.lasting && trx.begun) {
            status |= STATUS_IN_TRANS;
            if trx.read_only {
                status |= STATUS_IN_TRANS_READONLY;
            }
        }
        status
    }

    /// The open transaction, or the one that would begin now, is READ ONLY.
    pub(super) fn is_read_only_transaction(&self) -> bool {
        match &self.trx {
            Some(trx) => trx.read_only,
            None => self.next_read_only.unwrap_or_else(|| self.values.int(const { known("tx_read_only") }) != 0),
        }
    }

    /// The transaction of a statement that uses a table.
    pub(super) fn transaction(&mut self) -> &mut Trx {
        let trx = self.open_transaction();
        trx.begun = true;
        trx
    }

    /// The transaction of this statement; one that lasts when autocommit is off.
    pub(super) fn open_transaction(&mut self) -> &mut Trx {
        let (isolation, read_only) = (&mut self.next_isolation, &mut self.next_read_only);
        let (values, lasting) = (&self.values, !self.autocommit);
        self.trx.get_or_insert_with(|| Trx {
            isolation: isolation
                .take()
                .unwrap_or_else(|| Isolation::named(&values.text(const { known("tx_isolation") }))),
            read_only: read_only.take().unwrap_or_else(|| values.int(const { known("tx_read_only") }) != 0),
            lasting,
            ..Trx::default()
        })
    }

    pub(super) fn warn(&mut self, error: &SqlError) {
        self.condition("Warning", error);
    }

    pub(super) fn note(&mut self, error: &SqlError) {
        self.condition("Note", error);
    }

    pub(super) fn condition(&mut self, level: &'static str, error: &SqlError) {
        if !core::mem::replace(&mut self.warned, true) {
            self.warnings.clear();
        }
        self.warnings.push(Condition { level, code: error.code, message: error.message.clone() });
    }

    /// Warnings of the current statement.
    pub(super) fn warning_count(&self) -> u16 {
        if self.warned { u16::try_from(self.warnings.len()).unwrap_or(u16::MAX) } else { 0 }
    }

    /// A statement begins. Old warnings stay while nothing uses a table or warns anew.
    pub(super) fn forget_warnings(&mut self, statement: &Statement) {
        self.warned = false;
        if statement.uses_table() {
            self.warnings.clear();
        }
    }

    pub(super) fn outcome(&mut self, body: Body) -> Outcome {
        Outcome {
            status: self.status(),
            warnings: self.warning_count(),
            tracked: self.tell(matches!(body, Body::Err(_))),
            body,
        }
    }

    /// What the trackers report now. An error carries nothing; what it leaves untold waits for a change to come.
    fn tell(&mut self, failed: bool) -> Vec<Tracked> {
        let news = core::mem::take(&mut self.tracked);
        if failed {
            self.untold.extend(news);
            return Vec::new();
        }
        if news.is_empty() {
            return news;
        }
        let mut told = core::mem::take(&mut self.untold);
        for change in news {
            told.retain(|earlier| earlier.variable().is_none() || earlier.variable() != change.variable());
            told.push(change);
        }
        told
    }
}
