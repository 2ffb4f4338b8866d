//! The server: sessions, suspended statements, and the order in which things go on.
//!
//! [`Server::execute`] answers at once, or suspends the statement; then the outcome comes out of
//! [`Server::poll_output`] later. A driver drains the outputs after every call, and calls [`Server::handle_timeout`]
//! when [`Server::poll_timeout`] says so.

use super::commit::Pending;
use super::error::SqlError;
use super::group::{self, Group};
use super::locks::{Locks, Owner};
use super::replica::Replica;
use super::semisync::SemiSync;
use super::session::{Body, Job, Outcome, Session, SessionId, Tracked, Wait};
use super::sessions::Sessions;
use super::sql::{Cache, Parsed, Statement};
use super::storage::{Storage, Transaction};
use super::tables::Tables;
use super::value::Value;
use super::variables::known;
use super::variables::{self, Values};
use super::waits::{IDLE_CHECK, WAIT_TIMEOUT_WATCHED_MAX};
use crate::world::disk::Crash;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use weir_core::gtid::{Flavor, Position};
use weir_core::time::{Duration, Instant};

/// What a server is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its family.
    pub flavor: Flavor,
    /// server_id.
    pub server_id: u32,
    /// server_uuid.
    pub uuid: [u8; 16],
    /// What VERSION() says.
    pub version: String,
    /// System variables of the configuration file. Those set while running are gone after a restart.
    pub variables: Vec<(String, Value)>,
    /// Replication threads start with the server.
    pub start_replica: bool,
    /// Schemas that are there on a fresh server.
    pub schemas: Vec<String>,
    /// Transactions that the binary log keeps at least: a replica that was away for more has to be made anew.
    pub binlog_kept: usize,
    /// The group that it is to be a member of.
    pub group: Option<group::Config>,
}

impl Config {
    /// A server of a flavour with a number of its own.
    #[must_use]
    pub fn new(flavor: Flavor, server_id: u32) -> Self {
        let mut uuid = [0; 16];
        uuid[12..].copy_from_slice(&server_id.to_be_bytes());
        let version = match flavor {
            Flavor::MariaDb => "10.11.6-MariaDB-log",
            Flavor::MySql => "8.0.36",
        };
        Self {
            flavor,
            server_id,
            uuid,
            version: version.into(),
            variables: Vec::new(),
            start_replica: true,
            schemas: vec!["test".into()],
            binlog_kept: usize::MAX,
            group: None,
        }
    }
}

/// What the server wants its driver to do or know.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A suspended statement is done.
    Done {
        /// Whose.
        session: SessionId,
        /// What it came to.
        outcome: Outcome,
    },
    /// The connection is to be closed: it was killed.
    Close {
        /// Which.
        session: SessionId,
    },
    /// Sync the device, then call [`Server::synced`].
    Sync {
        /// What to call it with.
        token: u64,
    },
    /// Tell the source that everything up to this index of its binary log was received.
    Acknowledge {
        /// Index plus one.
        end: u64,
    },
}

/// How a statement stops before its end.
#[derive(Debug)]
pub(super) enum Stop {
    Error(SqlError),
    Wait(Wait, Option<Instant>),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Error(error)
    }
}

/// A model server.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Config,
    pub(super) storage: Storage,
    pub(super) tables: Tables,
    pub(super) executed: Position,
    pub(super) slave_pos: Position,
    pub(super) last_seq: u64,
    /// Transactions that became visible since the start.
    pub(super) commits: u64,
    /// Snapshots in use, with their number of readers.
    pub(super) snapshots: BTreeMap<u64, u32>,
    pub(super) locks: Locks,
    pub(super) user_locks: BTreeMap<String, SessionId>,
    pub(super) globals: Values,
    statements: Cache,
    pub(super) sessions: Sessions,
    last_session: SessionId,
    pub(super) pipeline: VecDeque<Pending>,
    pub(super) semi_sync: SemiSync,
    /// Replicas that read the binary log.
    pub(super) replicas_attached: usize,
    pub(super) replica: Replica,
    pub(super) group: Option<Box<Group>>,
    pub(super) sync_under_way: Option<(u64, u64, u64)>,
    pub(super) syncs: u64,
    pub(super) background_sync_at: Option<Instant>,
    /// When the commits that wait for one another are synced.
    pub(super) group_sync_at: Option<Instant>,
    pub(super) ack_deadline: Option<Instant>,
    pub(super) disk_full: bool,
    pub(super) position_waiters: usize,
    /// Sessions that wait for all commits that have begun.
    pub(super) commit_waiters: usize,
    /// Sessions that wait until nobody writes.
    pub(super) fences: usize,
    /// How many statements wait for a round of the group.
    pub(super) held_by_group: usize,
    /// Whom a lock has passed to: sessions, or the applier (0).
    pub(super) ready: VecDeque<Owner>,
    pub(super) deadlines: BTreeSet<(Instant, SessionId)>,
    pub(super) outputs: VecDeque<Output>,
    started_at: Instant,
    /// When idle sessions are looked for; not at all where `wait_timeout` is longer than any run.
    pub(super) idle_check_at: Option<Instant>,
    no_parameters: Rc<[Value]>,
}

impl Server {
    /// Starts a server on what its disk holds, recovering from a crash if there was one.
    #[must_use]
    pub fn start(now: Instant, config: Config, mut storage: Storage) -> Self {
        let found = storage.recover();
        let mut server = Self {
            storage,
            tables: found.tables,
            executed: found.executed,
            slave_pos: found.slave_pos,
            last_seq: 0,
            commits: 0,
            snapshots: BTreeMap::new(),
            locks: Locks::default(),
            user_locks: BTreeMap::new(),
            globals: Values::default(),
            statements: Cache::default(),
            sessions: Sessions::default(),
            last_session: 0,
            pipeline: VecDeque::new(),
            semi_sync: SemiSync::default(),
            replicas_attached: 0,
            replica: Replica::default(),
            group: None,
            sync_under_way: None,
            syncs: 0,
            background_sync_at: None,
            group_sync_at: None,
            ack_deadline: None,
            disk_full: false,
            position_waiters: 0,
            commit_waiters: 0,
            fences: 0,
            held_by_group: 0,
            ready: VecDeque::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
            started_at: now,
            idle_check_at: None,
            no_parameters: Rc::from([]),
            config,
        };
        server.configure();
        let (executed, slave_pos) = (server.executed.clone(), server.slave_pos.clone());
        server.note_seq(&executed);
        server.note_seq(&slave_pos);
        server.purge_relay();
        if server.config.start_replica && server.storage.source.is_some() {
            // A configured source is there, so this cannot fail.
            let _ = server.start_replica(now, true, true);
        }
        server
    }

    fn configure(&mut self) {
        for name in &self.config.schemas {
            self.tables.apply(&super::tables::Change::CreateSchema(name.clone()), 0, false);
        }
        let flavor = self.config.flavor;
        let mut set = |name: &str, value: Value| {
            let known = variables::find(flavor, name);
            debug_assert!(known.is_some(), "unknown variable {name} in a model's configuration");
            if let Some((variable, value)) = known.and_then(|known| Some((known, known.accept(&value).ok()?))) {
                self.globals.set(variable, value);
            }
        };
        set("server_id", Value::Int(self.config.server_id.into()));
        set("version", Value::text(&self.config.version));
        if flavor == Flavor::MySql {
            let mut uuid = String::new();
            let written = weir_core::gtid::mysql::write_uuid(&mut uuid, &self.config.uuid);
            debug_assert!(written.is_ok(), "a String takes everything");
            set("server_uuid", Value::text(uuid));
        }
        for (name, value) in self.config.variables.clone() {
            set(&name, value);
        }
        self.apply_globals();
    }

    /// Lets the parts that depend on global variables know their values.
    pub(super) fn apply_globals(&mut self) {
        let needed = usize::try_from(self.globals.int(const { known("rpl_semi_sync_master_wait_for_slave_count") }))
            .unwrap_or(1);
        self.semi_sync.configure(self.globals.int(const { known("rpl_semi_sync_master_enabled") }) != 0, needed);
    }

    /// Sets up a fresh server: runs statements of administration that no client sees.
    ///
    /// # Panics
    /// When one fails: they are written with the scenario.
    pub fn initialize(&mut self, statements: &[String]) {
        let now = self.started_at;
        let Ok(id) = self.connect("root", true, false) else { return };
        for sql in statements {
            let mut outcome = self.execute(now, id, sql);
            while let Some(output) = self.poll_output() {
                match output {
                    Output::Sync { token } => self.synced(now, token),
                    Output::Done { outcome: done, .. } => outcome = Some(done),
                    _ => {}
                }
            }
            let ok = outcome.is_some_and(|outcome| !matches!(outcome.body, Body::Err(_)));
            assert!(ok, "a statement of the set-up failed: {sql}");
        }
        self.disconnect(now, id);
    }

    /// Everything that is committed, and where in history that is; `None` while a commit is under way.
    #[must_use]
    pub fn copy(&self) -> Option<Transaction> {
        let gtid = self.executed.union(&self.slave_pos).ok()?;
        (!self.is_busy()).then(|| Transaction { gtid, changes: self.tables.as_changes() })
    }

    /// What it had been given as a whole before its binary log begins.
    #[must_use]
    pub fn copied(&self) -> &Position {
        &self.storage.binlog_before
    }

    /// Ends the server at once, and says what its disk holds.
    #[must_use]
    pub fn crash(mut self, crash: &mut Crash<'_>) -> Storage {
        self.storage.crash(crash);
        self.storage
    }

    /// A client connects.
    ///
    /// # Errors
    /// 1040 when there are too many.
    pub fn connect(&mut self, user: &str, is_super: bool, found_rows: bool) -> Result<SessionId, SqlError> {
        let id = self.reserve();
        self.connect_as(id, user, is_super, found_rows).map(|()| id)
    }

    /// The number of the next connection, for its greeting.
    pub fn reserve(&mut self) -> SessionId {
        self.last_session += 1;
        self.last_session
    }

    /// A client connects under a number that its greeting said.
    ///
    /// # Errors
    /// 1040 when there are too many.
    pub fn connect_as(&mut self, id: SessionId, user: &str, is_super: bool, found_rows: bool) -> Result<(), SqlError> {
        let limit = usize::try_from(self.globals.int(const { known("max_connections") })).unwrap_or(usize::MAX);
        // One more for an administrator, as servers keep.
        if self.sessions.len() >= limit + usize::from(is_super) {
            return Err(SqlError::too_many_connections());
        }
        self.sessions.put(Box::new(self.fresh_session(id, user, is_super, found_rows)));
        Ok(())
    }

    fn fresh_session(&self, id: SessionId, user: &str, is_super: bool, found_rows: bool) -> Session {
        Session {
            id,
            user: user.to_owned(),
            is_super,
            found_rows,
            schema: None,
            values: self.globals.clone(),
            user_variables: BTreeMap::new(),
            autocommit: self.globals.int(const { known("autocommit") }) != 0,
            trx: None,
            next_isolation: None,
            next_read_only: None,
            last_insert_id: 0,
            statement_insert_id: None,
            row_count: 0,
            rows_found: 0,
            last_gtid: String::new(),
            warnings: Vec::new(),
            warned: false,
            tracked: Vec::new(),
            untold: Vec::new(),
            suspended: None,
            idle_since: None,
            committed_on_the_way: false,
        }
    }

    /// A client is gone: its transaction is rolled back.
    pub fn disconnect(&mut self, now: Instant, id: SessionId) {
        if let Some(mut session) = self.sessions.take(id) {
            self.forget_wait(&mut session);
            self.rollback(&mut session);
            self.release_user_locks(id, None);
        }
        self.settle(now);
    }

    /// COM_RESET_CONNECTION: the session as it was after connecting.
    pub fn reset_session(&mut self, now: Instant, id: SessionId) -> Option<Outcome> {
        let mut old = self.sessions.take(id)?;
        self.forget_wait(&mut old);
        self.rollback(&mut old);
        self.release_user_locks(id, None);
        let mut session = self.fresh_session(id, &old.user, old.is_super, old.found_rows);
        session.schema = old.schema;
        let outcome = session.outcome(Body::ok());
        self.sessions.put(Box::new(session));
        self.settle(now);
        Some(outcome)
    }

    /// COM_INIT_DB.
    pub fn use_schema(&mut self, now: Instant, id: SessionId, schema: &str) -> Option<Outcome> {
        self.run(now, id, Rc::new(Statement::Use(schema.to_owned())), self.no_parameters())
    }

    /// The flavour of this server.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.config.flavor
    }

    /// Committed data, for checkers.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What was executed, for checkers: MySQL's gtid_executed, MariaDB's gtid_binlog_pos.
    #[must_use]
    pub fn executed(&self) -> &Position {
        &self.executed
    }

    /// Sessions connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.sessions.len()
    }

    /// How long the receiver waits for a sign of life (`slave_net_timeout`).
    #[must_use]
    pub fn receiver_patience(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.globals.int(const { known("slave_net_timeout") })).unwrap_or(60))
    }

    /// It acknowledges what it receives.
    #[must_use]
    pub fn is_semi_sync_replica(&self) -> bool {
        self.globals.int(const { known("rpl_semi_sync_slave_enabled") }) != 0
    }

    /// server_id.
    #[must_use]
    pub fn server_id(&self) -> u32 {
        self.config.server_id
    }

    /// What VERSION() says.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.config.version
    }

    /// Parses the first statement of a text.
    ///
    /// # Errors
    /// 1064 and 1065.
    pub fn parse(&mut self, sql: &str) -> Result<Parsed, SqlError> {
        self.statements.parse(self.config.flavor, sql)
    }

    /// Parses the first statement of a text that is run and not prepared, and gives what its parameters stand for.
    ///
    /// # Errors
    /// 1064 and 1065.
    pub fn parse_to_run(&mut self, sql: &str) -> Result<(Parsed, Rc<[Value]>), SqlError> {
        let (parsed, numbers) = self.statements.parse_to_run(self.config.flavor, sql)?;
        Ok((parsed, numbers.unwrap_or_else(|| self.no_parameters())))
    }

    /// The columns a statement will answer with, for the answer to PREPARE.
    ///
    /// # Errors
    /// Those of unknown tables and columns.
    pub fn describe(&self, id: SessionId, statement: &Statement) -> Result<Vec<super::session::Column>, SqlError> {
        let (Statement::Select(select), Some(session)) = (statement, self.sessions.get(id)) else {
            return Ok(Vec::new());
        };
        self.columns_of(session, select)
    }

    /// STATUS_* bits of a session.
    #[must_use]
    pub fn status(&self, id: SessionId) -> u16 {
        self.sessions.get(id).map_or(0, |session| session.status())
    }

    /// Executes the first statement of `sql`. `None` when it is suspended.
    pub fn execute(&mut self, now: Instant, id: SessionId, sql: &str) -> Option<Outcome> {
        match self.parse_to_run(sql) {
            Ok((parsed, parameters)) => self.run(now, id, parsed.statement, parameters),
            Err(error) => self.refuse(id, error),
        }
    }

    /// For [`Server::run`], of a statement without any.
    #[must_use]
    pub fn no_parameters(&self) -> Rc<[Value]> {
        Rc::clone(&self.no_parameters)
    }

    /// The outcome of a statement that could not be run at all.
    pub fn refuse(&mut self, id: SessionId, error: SqlError) -> Option<Outcome> {
        let session = self.sessions.get_mut(id)?;
        session.warned = false;
        session.row_count = -1;
        session.condition("Error", &error);
        let mut outcome = session.outcome(Body::Err(error));
        outcome.warnings = 0;
        Some(outcome)
    }

    /// Executes a parsed statement with its parameters. `None` when it is suspended.
    pub fn run(
        &mut self,
        now: Instant,
        id: SessionId,
        statement: Rc<Statement>,
        parameters: Rc<[Value]>,
    ) -> Option<Outcome> {
        let session = self.sessions.get_mut(id)?;
        debug_assert!(session.suspended.is_none(), "a session runs one statement at a time");
        session.forget_warnings(&statement);
        let job =
            Job { statement, parameters, returned: Vec::new(), waits_since: None, has_begun: false, was_held: false };
        let outcome = self.go_on(now, id, job);
        self.settle(now);
        outcome.or_else(|| self.take_outcome(id))
    }

    /// The outcome of a statement that was suspended and is done already.
    fn take_outcome(&mut self, id: SessionId) -> Option<Outcome> {
        let is_it = |output: &Output| matches!(output, Output::Done { session, .. } if *session == id);
        let at = self.outputs.iter().rposition(is_it)?;
        match self.outputs.remove(at) {
            Some(Output::Done { outcome, .. }) => Some(outcome),
            _ => None,
        }
    }

    /// Runs a statement, from its beginning.
    pub(super) fn go_on(&mut self, now: Instant, id: SessionId, mut job: Job) -> Option<Outcome> {
        let mut session = self.sessions.take(id)?;
        let keep = session.trx.as_ref().map_or(0, |trx| trx.changes.len());
        session.statement_insert_id = None;
        let done = self.perform(now, &mut session, &job);
        let outcome = match done {
            Ok(body) => self.end_statement(&mut session, job, body),
            Err(Stop::Wait(wait, deadline)) => {
                Self::undo_statement(&mut session, keep);
                job.waits_since.get_or_insert(now);
                job.has_begun |= matches!(wait, Wait::Lock(_));
                self.suspend(&mut session, job, wait, deadline);
                None
            }
            Err(Stop::Error(error)) => Some(self.fail(&mut session, keep, error)),
        };
        session.idle_since = Some(now);
        self.sessions.put(session);
        outcome
    }

    fn end_statement(&mut self, session: &mut Session, job: Job, body: Body) -> Option<Outcome> {
        match &body {
            Body::Ok { affected, .. } => session.row_count = i64::try_from(*affected).unwrap_or(i64::MAX),
            Body::Rows(rows) => {
                session.row_count = -1;
                if matches!(*job.statement, Statement::Select(_)) {
                    session.rows_found = i64::try_from(rows.rows.len()).unwrap_or(i64::MAX);
                }
            }
            Body::Err(_) => {}
        }
        if let Some(id) = session.statement_insert_id {
            session.last_insert_id = id;
        }
        let on_the_way = core::mem::take(&mut session.committed_on_the_way);
        if session.trx.as_ref().is_none_or(|trx| trx.lasting) {
            if !on_the_way || !self.answer_with_last_commit(session, body.clone()) {
                return Some(session.outcome(body));
            }
            self.suspend(session, job, Wait::Commit, None);
            return None;
        }
        match self.commit(session, body) {
            Ok(Some(body)) => Some(session.outcome(body)),
            Ok(None) => {
                self.suspend(session, job, Wait::Commit, None);
                None
            }
            Err(error) => Some(self.fail(session, 0, error)),
        }
    }

    /// Undoes what the statement changed; its locks stay, as a real server's do.
    fn undo_statement(session: &mut Session, keep: usize) {
        if let Some(trx) = &mut session.trx {
            trx.undo_to(keep);
        }
    }

    pub(super) fn fail(&mut self, session: &mut Session, keep: usize, error: SqlError) -> Outcome {
        let ends_transaction = error.code == 1213;
        if ends_transaction || session.trx.as_ref().is_some_and(|trx| !trx.lasting) {
            self.rollback(session);
        } else {
            Self::undo_statement(session, keep);
        }
        session.row_count = -1;
        session.condition("Error", &error);
        let mut outcome = session.outcome(Body::Err(error));
        outcome.warnings = 0;
        outcome
    }

    /// The next thing the driver has to do or know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The process has started at this time, by its host's clock.
    pub fn started(&mut self, now: Instant) {
        self.started_at = now;
        let patience = self.globals.int(const { known("wait_timeout") });
        self.idle_check_at = (patience < WAIT_TIMEOUT_WATCHED_MAX).then_some(now + IDLE_CHECK);
    }

    pub(super) fn uptime(&self, now: Instant) -> Duration {
        now.since(self.started_at)
    }

    /// Whether it takes writes of ordinary users.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let super_only =
            self.config.flavor == Flavor::MySql && self.globals.int(const { known("super_read_only") }) != 0;
        !super_only && self.globals.int(const { known("read_only") }) == 0
    }

    /// Refuses writes of a session that may not write now.
    pub(super) fn check_writable(&self, session: &Session) -> Result<(), SqlError> {
        let flavor = self.config.flavor;
        if flavor == Flavor::MySql && self.globals.int(const { known("super_read_only") }) != 0 {
            return Err(SqlError::read_only(flavor, "--super-read-only"));
        }
        if self.globals.int(const { known("read_only") }) != 0 && !session.is_super {
            return Err(SqlError::read_only(flavor, "--read-only"));
        }
        Ok(())
    }

    /// Reports a variable that has been set, if the session asked to be told of it.
    pub(super) fn track_set(&self, session: &mut Session, name: &str, value: &str) {
        self.track_variable(session, name, value);
        self.track_state(session);
    }

    /// Reports a variable that the session asked to be told of.
    pub(super) fn track_variable(&self, session: &mut Session, name: &str, value: &str) {
        let tracked = session.values.text(const { known("session_track_system_variables") });
        if tracked.split(',').any(|wanted| wanted == "*" || wanted.trim().eq_ignore_ascii_case(name)) {
            session.tracked.push(Tracked::Variable(name.to_owned(), value.to_owned()));
        }
    }

    pub(super) fn track_state(&self, session: &mut Session) {
        if session.values.int(const { known("session_track_state_change") }) != 0
            && !session.tracked.contains(&Tracked::StateChange)
        {
            session.tracked.push(Tracked::StateChange);
        }
    }
}
