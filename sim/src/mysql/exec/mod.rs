//! What each statement does.

mod eval;
mod fence;
mod scan;
mod select;
mod set;
mod show;
mod write;

use super::commit::{self, Commit};
use super::error::{Clause, SqlError};
use super::locks::{Asked, LockKey, Mode};
use super::server::{Server, Stop};
use super::session::{Body, Isolation, Job, Savepoint, Session, Tracked, Trx, Wait};
use super::sql::{Replication, Scope, Statement, TableName, TransactionMode};
use super::tables::{Change, TableDef, TableRef, Trigger};
use super::value::Value;
use super::variables::known;
use std::rc::Rc;
use weir_core::gtid::{Flavor, Position};
use weir_core::time::{Duration, Instant};

type Done = Result<Body, Stop>;

/// The statement under way, and the time.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    now: Instant,
    job: &'a Job,
}

impl Server {
    /// Runs a statement until it is done, fails, or has to wait. One that has waited begins anew.
    pub(super) fn perform(&mut self, now: Instant, session: &mut Session, job: &Job) -> Done {
        let turn = Turn { now, job };
        self.wait_for_fence(job)?;
        self.hold_for_group(session, job)?;
        if is_definition(&job.statement) {
            self.begin_definition(session)?;
        }
        match &*job.statement {
            Statement::Select(select) => self.select(turn, session, select),
            Statement::Insert(insert) => self.insert(turn, session, insert),
            Statement::Update(update) => self.update(turn, session, update),
            Statement::Delete(delete) => self.delete(turn, session, delete),
            Statement::Do(items) => self.do_items(turn, session, items),
            Statement::CreateTable { .. } | Statement::CreateTrigger { .. } | Statement::CreateDatabase(..)
                if self.is_defining() =>
            {
                Err(Stop::Wait(Wait::Commits, None))
            }
            Statement::CreateTable { table, if_not_exists, columns, primary_key } => {
                let reference = Rc::new(self.table_ref(session, table)?);
                if !self.tables.has_schema(&reference.schema) {
                    return Err(SqlError::unknown_database(&reference.schema).into());
                }
                if self.tables.get(&reference.schema, &reference.name).is_some() {
                    let error = SqlError::table_exists(&reference.name);
                    if *if_not_exists && self.config.flavor == Flavor::MySql {
                        return self.unless(true, session, error);
                    }
                    if *if_not_exists {
                        // Unlike the others, MariaDB does not log this.
                        session.note(&error);
                        return Ok(Body::ok());
                    }
                    if self.is_committing(session.id) {
                        // The error tells that what was open has been committed.
                        return Err(Stop::Wait(Wait::Commits, None));
                    }
                    return Err(error.into());
                }
                let (columns, primary_key) = (columns.clone(), *primary_key);
                let def = TableDef { reference, columns, primary_key, trigger: None };
                self.define(session, Change::CreateTable(Rc::new(def)))
            }
            Statement::CreateTrigger { table, variable, column } => {
                let reference = self.existing_table(session, table)?;
                let def = self.tables.get(&reference.schema, &reference.name).map(|table| Rc::clone(&table.def));
                let found = def.and_then(|def| def.column(column));
                let unknown = || SqlError::unknown_column(self.config.flavor, column, Clause::Insert);
                let trigger = Trigger { variable: variable.clone(), column: found.ok_or_else(unknown)? };
                self.define(session, Change::CreateTrigger(reference, trigger))
            }
            Statement::DropTable { table, if_exists } => {
                let reference = Rc::new(self.table_ref(session, table)?);
                if self.tables.get(&reference.schema, &reference.name).is_none() {
                    let error = SqlError::unknown_table(&reference.schema, &reference.name);
                    return self.unless(*if_exists, session, error);
                }
                self.define(session, Change::DropTable(reference))
            }
            Statement::Truncate(table) => {
                let reference = self.existing_table(session, table)?;
                self.define(session, Change::Truncate(reference))
            }
            Statement::CreateDatabase(name, if_not_exists) if self.tables.has_schema(name) => {
                self.unless(*if_not_exists, session, SqlError::database_exists(name))
            }
            Statement::CreateDatabase(name, _) => self.define(session, Change::CreateSchema(name.clone())),
            Statement::DropDatabase(name, if_exists) if !self.tables.has_schema(name) => {
                self.unless(*if_exists, session, SqlError::no_database_to_drop(name))
            }
            Statement::DropDatabase(name, _) => {
                if session.schema.as_ref() == Some(name) {
                    session.schema = None;
                }
                self.define(session, Change::DropSchema(name.clone()))
            }
            Statement::Use(name) => self.use_statement(session, name),
            Statement::Begin(mode) => self.begin(session, *mode),
            Statement::Commit => Ok(Self::end_transaction(session)),
            Statement::Rollback => {
                (session.next_isolation, session.next_read_only) = (None, None);
                self.rollback(session);
                Ok(Body::ok())
            }
            Statement::Savepoint(name) => Ok(Self::savepoint(session, name)),
            Statement::RollbackTo(name) => Self::rollback_to(session, name),
            Statement::Release(name) => Self::release_savepoint(session, name),
            Statement::Set(assignments) => self.set(turn, session, assignments),
            Statement::SetTransaction(scope, name, value) => self.set_transaction(session, *scope, name, value),
            Statement::Show(show) => self.show(now, session, show),
            Statement::Kill(id, query) => {
                self.kill(session, *id, *query)?;
                Ok(Body::ok())
            }
            Statement::Replication(statement) => self.replication(now, session, statement),
            Statement::Nothing => Ok(Body::ok()),
        }
    }

    pub(super) fn table_ref(&self, session: &Session, table: &TableName) -> Result<TableRef, SqlError> {
        let schema = table.schema.clone().or_else(|| session.schema.clone()).ok_or_else(SqlError::no_database)?;
        Ok(TableRef { schema, name: table.name.clone() })
    }

    pub(super) fn existing_table(&self, session: &Session, table: &TableName) -> Result<Rc<TableRef>, SqlError> {
        self.table_def(session, table).map(|def| Rc::clone(&def.reference))
    }

    pub(super) fn table_def(&self, session: &Session, table: &TableName) -> Result<Rc<TableDef>, SqlError> {
        let schema = table.schema.as_deref().or(session.schema.as_deref()).ok_or_else(SqlError::no_database)?;
        let found = self.tables.get(schema, &table.name);
        found.map(|found| Rc::clone(&found.def)).ok_or_else(|| SqlError::no_table(schema, &table.name))
    }

    /// IF EXISTS and IF NOT EXISTS turn an error into a note.
    fn unless(&mut self, lenient: bool, session: &mut Session, error: SqlError) -> Done {
        if !lenient {
            return Err(error.into());
        }
        let body = self.define(session, Change::NoEffect)?;
        session.note(&error);
        Ok(body)
    }

    /// A definition commits what is open, even if it then fails.
    fn begin_definition(&mut self, session: &mut Session) -> Result<(), SqlError> {
        self.check_writable(session)?;
        self.commit_implicitly(session)?;
        (session.next_isolation, session.next_read_only) = (None, None);
        if session.values.int(const { known("tx_read_only") }) != 0 {
            Err(SqlError::read_only_transaction(self.config.flavor))
        } else {
            Ok(())
        }
    }

    /// A definition is a transaction of its own.
    fn define(&mut self, session: &mut Session, change: Change) -> Done {
        let affected = u64::from(matches!(change, Change::CreateSchema(_)));
        let trx = session.transaction();
        trx.lasting = false;
        trx.changes.push(change);
        Ok(Body::Ok { affected, insert_id: 0, info: String::new() })
    }

    /// Commits the open transaction on the way to something else. The logs keep the order, so who commits after it
    /// has waited for it as well.
    pub(super) fn commit_implicitly(&mut self, session: &mut Session) -> Result<(), SqlError> {
        let Some(trx) = session.trx.take() else { return Ok(()) };
        if trx.changes.is_empty() {
            session.trx = Some(trx);
            self.rollback(session);
            return Ok(());
        }
        let logged = session.values.int(const { known("sql_log_bin") }) != 0;
        self.drop_snapshot(trx.snapshot);
        self.submit(Commit {
            owner: None,
            passing: Some(session.id),
            what: commit::What::Own(trx.changes),
            locks: trx.locks,
            logged,
            body: Body::ok(),
        });
        session.committed_on_the_way = true;
        Ok(())
    }

    fn use_statement(&mut self, session: &mut Session, name: &str) -> Done {
        let is_known =
            self.tables.has_schema(name) || ["information_schema", "mysql", "performance_schema"].contains(&name);
        if !is_known {
            return Err(SqlError::unknown_database(name).into());
        }
        session.schema = Some(name.to_owned());
        if session.values.int(const { known("session_track_schema") }) != 0 {
            session.tracked.push(Tracked::Schema(name.to_owned()));
        }
        self.track_state(session);
        Ok(Body::ok())
    }

    fn begin(&mut self, session: &mut Session, mode: TransactionMode) -> Done {
        if mode.read_only == Some(false) {
            // READ WRITE on a read-only server is refused at once.
            self.check_writable(session)?;
        }
        self.commit_implicitly(session)?;
        if let Some(read_only) = mode.read_only {
            session.next_read_only = Some(read_only);
        }
        let trx = session.transaction();
        trx.lasting = true;
        if mode.snapshot && trx.isolation != Isolation::ReadCommitted {
            self.take_snapshot(session);
        }
        Ok(Body::ok())
    }

    pub(super) fn take_snapshot(&mut self, session: &mut Session) {
        let trx = session.transaction();
        if trx.snapshot.is_none() {
            trx.snapshot = Some(self.commits);
            *self.snapshots.entry(self.commits).or_default() += 1;
        }
    }

    fn end_transaction(session: &mut Session) -> Body {
        (session.next_isolation, session.next_read_only) = (None, None);
        if let Some(trx) = &mut session.trx {
            // The statement's end commits what does not last.
            trx.lasting = false;
        }
        Body::ok()
    }

    fn savepoint(session: &mut Session, name: &str) -> Body {
        if session.trx.is_some() || !session.autocommit {
            let trx = session.open_transaction();
            trx.savepoints.retain(|known| !known.name.eq_ignore_ascii_case(name));
            if trx.logged {
                // It is logged, so that the transaction is not empty even if the rest was undone.
                trx.changes.push(Change::NoEffect);
            }
            let (changes, logged) = (trx.changes.len(), trx.logged);
            trx.savepoints.push(Savepoint { name: name.to_owned(), changes, logged });
        }
        Body::ok()
    }

    fn rollback_to(session: &mut Session, name: &str) -> Done {
        let (trx, found) = Self::find_savepoint(session, name)?;
        let Savepoint { changes, logged, .. } = trx.savepoints[found];
        trx.savepoints.truncate(found + 1);
        trx.undo_to(changes);
        trx.logged = logged;
        Ok(Body::ok())
    }

    fn release_savepoint(session: &mut Session, name: &str) -> Done {
        let (trx, found) = Self::find_savepoint(session, name)?;
        trx.savepoints.truncate(found);
        Ok(Body::ok())
    }

    fn find_savepoint<'s>(session: &'s mut Session, name: &str) -> Result<(&'s mut Trx, usize), SqlError> {
        let trx = session.trx.as_mut().ok_or_else(|| SqlError::savepoint(name))?;
        let found = trx.savepoints.iter().position(|known| known.name.eq_ignore_ascii_case(name));
        found.map(|found| (trx, found)).ok_or_else(|| SqlError::savepoint(name))
    }

    fn set_transaction(&mut self, session: &mut Session, scope: Option<Scope>, name: &str, value: &Value) -> Done {
        if scope.is_none() && session.trx.as_ref().is_some_and(|trx| trx.lasting) {
            return Err(SqlError::in_transaction().into());
        }
        let Some(scope) = scope else {
            match value {
                Value::Text(level) => {
                    session.next_isolation = Some(Isolation::named(&String::from_utf8_lossy(level)));
                }
                other => session.next_read_only = other.truth(),
            }
            return Ok(Body::ok());
        };
        let variable =
            super::variables::find(self.config.flavor, name).ok_or_else(|| SqlError::unknown_variable(name))?;
        match scope {
            Scope::Global => self.globals.set(variable, value.clone()),
            Scope::Session => {
                session.values.set(variable, value.clone());
                let shown = variable.show(value).display();
                self.track_set(session, variable.name, &shown);
            }
        }
        Ok(Body::ok())
    }

    fn replication(&mut self, now: Instant, session: &mut Session, statement: &Replication) -> Done {
        if !session.is_super {
            return Err(SqlError::access_denied("REPLICATION SLAVE ADMIN").into());
        }
        match statement {
            Replication::Change(options) => self.change_source(options)?,
            Replication::Start(receiver, applier) => self.start_replica(now, *receiver, *applier)?,
            Replication::Stop(receiver, applier) => self.stop_replica(*receiver, *applier),
            Replication::Reset(all) => self.reset_replica(*all)?,
            Replication::ResetMaster => {
                self.storage.binlog.clear();
                self.storage.binlog_before = Position::default();
                self.executed = Position::default();
                if self.config.flavor == Flavor::MySql {
                    self.last_seq = 0;
                }
            }
        }
        Ok(Body::ok())
    }

    /// Takes a row lock for the session's transaction, or waits for it.
    pub(super) fn lock(&mut self, now: Instant, session: &mut Session, key: LockKey, mode: Mode) -> Result<(), Stop> {
        let id = session.id;
        let patience = u64::try_from(session.values.int(const { known("innodb_lock_wait_timeout") })).unwrap_or(0);
        match self.locks.ask(&key, id, mode) {
            Asked::Granted => {
                let trx = session.transaction();
                if !trx.locks.contains(&key) {
                    trx.locks.push(key);
                }
                Ok(())
            }
            Asked::Queued => {
                // The transaction must be there when the lock is granted, so that it is released with it.
                session.transaction();
                Err(Stop::Wait(Wait::Lock(key), Some(now + Duration::from_secs(patience))))
            }
            Asked::Deadlock => Err(SqlError::deadlock().into()),
        }
    }
}

pub(super) const fn is_definition(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::CreateTable { .. }
            | Statement::CreateTrigger { .. }
            | Statement::DropTable { .. }
            | Statement::Truncate(_)
            | Statement::CreateDatabase(..)
            | Statement::DropDatabase(..)
    )
}
