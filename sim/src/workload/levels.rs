//! Rows with one writer each, read at one consistency level in every way that clients have to read.
//!
//! Like [`Register`](super::Register), each client writes versions 1, 2, 3, … to its own row. It writes by text, by prepared statement, in
//! transactions, and in transactions that a failing definition commits; it creates tables; it reads what it and others wrote. The level is
//! chosen by SET when a session begins, or by a hint in each read.

use super::{Command, Next, Script, Turn, is_lost};
use crate::check::history::{Action, Asked, Ended, Operation, Tick};
use crate::processes::client::wire::Said;
use weir_core::error::Error;
use weir_core::mysql::binary::Value;

/// Tables that a client creates, at most.
const TABLES_MAX: u64 = 4;
/// Keys of tables begin here; those of rows are below.
const TABLE_KEYS: u64 = 1 << 32;
/// ER_TABLE_EXISTS_ERROR.
const TABLE_EXISTS: u16 = 1050;
/// ER_NO_SUCH_TABLE.
const NO_SUCH_TABLE: u16 = 1146;
/// Of a hundred operations, those from here on only read.
const READS: u64 = 35;
/// `server_id` of the primary.
const PRIMARY: &[u8] = b"1";

/// See the module.
#[derive(Debug)]
pub struct Levels {
    own: u64,
    keys: u64,
    asked: Asked,
    read_only: bool,
    version: u64,
    tables: u64,
    session: Option<Setup>,
    /// The write that is not over.
    writing: Option<Writing>,
    /// What is under way, and what follows if it succeeds.
    step: Option<Step>,
    left: Vec<Step>,
}

/// What the session is like.
#[derive(Debug, Default)]
struct Setup {
    /// The level is asked for in each read, not when the session begins.
    by_hint: bool,
    /// Reads tell who answers them.
    asks_who: bool,
    /// Ids of the statements that write and read.
    write: Option<u32>,
    read: Option<u32>,
    /// When the transaction that is open was asked for.
    began: Option<Tick>,
}

#[derive(Clone, Copy, Debug)]
struct Writing {
    key: u64,
    version: u64,
    /// When the statement that commits it was sent: from then on it may happen.
    committing: Option<Tick>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Set,
    SetMonotonic,
    SplitTransactions,
    PrepareWrite,
    PrepareRead,
    Write,
    WritePrepared,
    Begin,
    WriteInside,
    Commit,
    /// A definition that fails, and commits what was open before it does.
    CommitByDefinition,
    Create,
    LookForTable(u64),
    BeginReadOnly,
    Read(u64),
    ReadPrepared(u64),
    EndReadOnly,
    Reset,
}

impl Levels {
    /// The client that writes row `own` of `keys` rows.
    #[must_use]
    pub fn new(own: u64, keys: u64, asked: Asked) -> Self {
        let (session, writing, step, left) = (None, None, None, Vec::new());
        Self { own, keys, asked, read_only: false, version: 0, tables: 0, session, writing, step, left }
    }

    /// A client that writes nothing, if `read_only`.
    #[must_use]
    pub fn reading_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// The steps of a new session's beginning, last first.
    fn set_up(&mut self, turn: &mut Turn<'_>) -> Vec<Step> {
        let by_hint = turn.rng.chance(0.5);
        self.session = Some(Setup { by_hint, asks_who: turn.rng.chance(0.3), ..Setup::default() });
        let mut steps = vec![Step::PrepareRead, Step::PrepareWrite];
        if !by_hint {
            steps.extend([Step::SplitTransactions, Step::Set]);
        }
        if self.asked.monotonic {
            steps.push(Step::SetMonotonic);
        }
        steps
    }

    /// The steps of an operation, last first.
    fn plan(&mut self, turn: &mut Turn<'_>) -> Vec<Step> {
        let by_hint = self.session.as_ref().is_none_or(|session| session.by_hint);
        let key = if turn.rng.chance(0.4) { self.own } else { turn.rng.below(self.keys) };
        let first = if self.read_only { READS } else { 0 };
        match first + turn.rng.below(100 - first) {
            0..10 => vec![Step::Read(self.own), Step::Write],
            10..18 => vec![Step::Write],
            18..26 => vec![Step::ReadPrepared(self.own), Step::WritePrepared],
            26..31 => vec![Step::Read(self.own), Step::Commit, Step::WriteInside, Step::Begin],
            31..34 => vec![Step::Read(self.own), Step::CommitByDefinition, Step::WriteInside, Step::Begin],
            34 if self.tables < TABLES_MAX => vec![Step::LookForTable(self.tables), Step::Create],
            35 if self.tables > 0 => vec![Step::LookForTable(turn.rng.below(self.tables))],
            36 if turn.rng.chance(0.3) => vec![Step::Read(self.own), Step::Reset],
            37..45 if !by_hint => vec![Step::EndReadOnly, Step::Read(key), Step::BeginReadOnly],
            34..70 => vec![Step::Read(key)],
            _ => vec![Step::ReadPrepared(key)],
        }
    }

    fn go_on(&mut self, turn: &Turn<'_>) -> Next {
        let Some(step) = self.left.pop() else { return Next::Done };
        self.step = Some(step);
        if matches!(step, Step::Write | Step::WritePrepared | Step::WriteInside) {
            self.version += 1;
            self.writing = Some(Writing { key: self.own, version: self.version, committing: None });
        }
        if step == Step::Create {
            self.writing = Some(Writing { key: self.table_key(self.tables), version: 1, committing: None });
            self.tables += 1;
        }
        let commits = !matches!(step, Step::WriteInside);
        if let Some(writing) = self.writing.as_mut().filter(|_| commits) {
            writing.committing = Some(turn.tick);
        }
        Next::Send(self.command(step))
    }

    const fn table_key(&self, table: u64) -> u64 {
        TABLE_KEYS + self.own * TABLES_MAX + table
    }

    /// A read of `columns`, with what the session asks of it.
    fn read(&self, columns: &str, from: &str) -> String {
        let session = self.session.as_ref();
        let level = format!("CONSISTENCY={}", self.asked.level.name());
        let level = if session.is_some_and(|session| session.by_hint) { &*level } else { "" };
        if session.is_some_and(|session| session.asks_who) {
            format!("SELECT /*vt+ ROLE=REPLICA {level} */ {columns}, @@server_id FROM {from}")
        } else if level.is_empty() {
            format!("SELECT {columns} FROM {from}")
        } else {
            format!("SELECT /*vt+ {level} */ {columns} FROM {from}")
        }
    }

    fn command(&self, step: Step) -> Command {
        let (own, version) = (self.own, self.version);
        let table = |table| format!("made_{own}_{table}");
        let read = |id: &str| self.read("v", &format!("registers WHERE id = {id}"));
        let ids = self.session.as_ref();
        Command::Query(match step {
            Step::Set => format!("SET SESSION read_after_write_consistency = '{}'", self.asked.level.name()),
            Step::SetMonotonic => "SET SESSION monotonic_reads = 1".to_owned(),
            Step::SplitTransactions => "SET SESSION enable_read_write_splitting_for_read_only_txn = 1".to_owned(),
            Step::Write | Step::WriteInside => {
                format!("UPDATE registers SET v = {version} WHERE id = {own} AND v < {version}")
            }
            Step::Begin => "BEGIN".to_owned(),
            Step::Commit | Step::EndReadOnly => "COMMIT".to_owned(),
            Step::CommitByDefinition => "CREATE TABLE registers (id INT PRIMARY KEY)".to_owned(),
            Step::Create => format!("CREATE TABLE {} (id INT PRIMARY KEY)", table(self.tables - 1)),
            Step::LookForTable(n) => self.read("id", &table(n)),
            Step::BeginReadOnly => "START TRANSACTION READ ONLY".to_owned(),
            Step::Read(key) => read(&key.to_string()),
            Step::Reset => return Command::Reset,
            Step::PrepareRead => return Command::Prepare(read("?")),
            Step::PrepareWrite => {
                return Command::Prepare("UPDATE registers SET v = ? WHERE id = ? AND v < ?".to_owned());
            }
            Step::ReadPrepared(key) => {
                let id = ids.and_then(|ids| ids.read).unwrap_or_default();
                return Command::Execute { id, values: vec![Value::UInt(key)], with_types: true };
            }
            Step::WritePrepared => {
                let id = ids.and_then(|ids| ids.write).unwrap_or_default();
                let values = [version, own, version].map(Value::UInt).to_vec();
                return Command::Execute { id, values, with_types: true };
            }
        })
    }

    /// What was written is over, in this way.
    fn conclude(&mut self, turn: &mut Turn<'_>, ended: Ended) {
        if let Some(writing) = self.writing.take() {
            let operation = turn.operation(writing.key, Action::Write(writing.version), ended);
            let invoked = writing.committing.unwrap_or(turn.invoked);
            turn.log.operations.push(Operation { invoked, ..operation });
        }
    }

    fn saw(&mut self, turn: &mut Turn<'_>, key: u64, version: Option<u64>) {
        let operation = turn.operation(key, Action::Read(version), Ended::Ok);
        let invoked = self.session.as_ref().and_then(|session| session.began).unwrap_or(turn.invoked);
        turn.log.operations.push(Operation { invoked, asked: self.asked, ..operation });
    }

    fn saw_rows(&mut self, turn: &mut Turn<'_>, key: u64, rows: &[Vec<Option<Vec<u8>>>]) {
        turn.expect("one row by its key", "1", &rows.len().to_string());
        let Some([value, server @ ..]) = rows.first().map(Vec::as_slice) else { return };
        let version = value.as_deref().and_then(|value| core::str::from_utf8(value).ok()?.parse().ok());
        self.saw(turn, key, version.filter(|version| *version > 0));
        if server.first().is_some_and(|server| server.as_deref() != Some(PRIMARY)) {
            *turn.log.replica_reads.entry(self.asked).or_default() += 1;
        }
    }

    fn refused(&mut self, turn: &mut Turn<'_>, step: Step, error: &Error) -> Next {
        match step {
            Step::LookForTable(table) if error.code == NO_SUCH_TABLE => {
                self.saw(turn, self.table_key(table), None);
                return self.go_on(turn);
            }
            Step::CommitByDefinition if error.code == TABLE_EXISTS => {
                self.conclude(turn, Ended::Ok);
                self.session.get_or_insert_default().began = None;
                return self.go_on(turn);
            }
            _ => {}
        }
        self.left.clear();
        let ended = turn.refused(error);
        let committing = self.writing.is_some_and(|writing| writing.committing.is_some());
        // A definition may fail after it has committed what was open.
        let half_way = step == Step::CommitByDefinition && !is_lost(error.code);
        self.conclude(
            turn,
            if half_way {
                Ended::Unknown
            } else if committing {
                ended
            } else {
                Ended::Failed
            },
        );
        let simple = matches!(step, Step::Write | Step::WritePrepared | Step::Read(_) | Step::ReadPrepared(_));
        let in_transaction = self.session.as_ref().is_some_and(|session| session.began.is_some());
        if simple && !in_transaction { Next::Done } else { Next::Vanish }
    }
}

impl Script for Levels {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        self.left = if self.session.is_none() { self.set_up(turn) } else { self.plan(turn) };
        self.go_on(turn)
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        let Some(step) = self.step.take() else { return Next::Done };
        if let Said::Error(error) = said {
            return self.refused(turn, step, error);
        }
        match (step, said) {
            (Step::Begin | Step::BeginReadOnly, _) => {
                let began = turn.invoked;
                self.session.get_or_insert_default().began = Some(began);
            }
            (Step::Write | Step::WritePrepared | Step::Create, _) => self.conclude(turn, Ended::Ok),
            (Step::Commit, _) => {
                self.conclude(turn, Ended::Ok);
                self.session.get_or_insert_default().began = None;
            }
            (Step::EndReadOnly, _) => self.session.get_or_insert_default().began = None,
            (Step::Read(key) | Step::ReadPrepared(key), Said::Rows(rows)) => self.saw_rows(turn, key, rows),
            (Step::LookForTable(table), Said::Rows(_)) => self.saw(turn, self.table_key(table), Some(1)),
            (Step::PrepareWrite, Said::Prepared { id }) => self.session.get_or_insert_default().write = Some(*id),
            (Step::PrepareRead, Said::Prepared { id }) => self.session.get_or_insert_default().read = Some(*id),
            (Step::Reset, _) => {
                // A session of its own from here on, but for what it has written.
                let steps = self.set_up(turn);
                self.left.extend(steps);
            }
            _ => {}
        }
        self.go_on(turn)
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        let committing = self.writing.is_some_and(|writing| writing.committing.is_some());
        self.conclude(turn, if committing { Ended::Unknown } else { Ended::Failed });
        self.session = None;
        self.step = None;
        self.left.clear();
    }
}
