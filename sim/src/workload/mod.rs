//! What clients do, and the histories they leave for the checkers.
//!
//! A workload is a [`Script`]: a small machine that says what to send next, given the last answer. Values that are written are
//! unique in the run, so that a lost, repeated or foreign write cannot hide.

mod append;
mod bank;
mod kill;
pub(crate) mod large;
mod levels;
mod linger;
mod prepared;
mod register;
mod serial;
mod state;

pub use append::Append;
pub(crate) use append::elements;
pub use bank::{ACCOUNTS, BALANCE, Bank};
pub use kill::{Board, Killing};
pub use large::Large;
pub use levels::Levels;
pub use linger::{Keeps, Linger};
pub use prepared::Prepared;
pub use register::Register;
pub use serial::Serial;
pub use state::State;

use crate::check::Violation;
use crate::check::appends;
use crate::check::bank::Reading;
use crate::check::history::{Asked, Ended, Operation, Tick, Who};
use crate::check::kills::{Interrupted, Kill};
use crate::check::once::Token;
use crate::check::outcomes::Note;
use crate::check::serial::Transaction;
use crate::processes::client::wire::Said;
use std::collections::BTreeMap;
use weir_core::error::Error;
use weir_core::mysql::binary::Value;
use weir_core::rng::Rng;

/// What a client sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Text.
    Query(String),
    /// A statement to prepare.
    Prepare(String),
    /// A prepared statement.
    Execute {
        /// Its id.
        id: u32,
        /// Parameters.
        values: Vec<Value>,
        /// Their types are sent along.
        with_types: bool,
    },
    /// Everything of the session goes back to the start.
    Reset,
}

/// What a script wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Send this, and say what came.
    Send(Command),
    /// The operation is over.
    Done,
    /// It is over, and so is the session: COM_QUIT.
    Quit,
    /// It is over, and the connection is cut.
    Vanish,
}

/// Shorthand for a text command.
#[must_use]
pub fn ask(sql: impl Into<String>) -> Next {
    Next::Send(Command::Query(sql.into()))
}

/// What a script has at hand when it is asked.
pub struct Turn<'a> {
    /// Its own randomness.
    pub rng: &'a mut Rng,
    /// Where it writes down what it saw.
    pub log: &'a mut Log,
    /// The session.
    pub who: Who,
    /// When the last command was sent.
    pub invoked: Tick,
    /// Now.
    pub tick: Tick,
}

impl Turn<'_> {
    /// How long the last command took.
    #[must_use]
    pub fn operation(&self, key: u64, action: crate::check::history::Action, ended: Ended) -> Operation {
        let asked = Asked::default();
        Operation { who: self.who, key, action, invoked: self.invoked, returned: self.tick, ended, asked }
    }

    /// Writes an error down, and says what it says of the statement's effect.
    pub fn refused(&mut self, error: &Error) -> Ended {
        let message = String::from_utf8_lossy(&error.message).into_owned();
        if matches!(error.code, INTERRUPTED | KILLED) {
            let (session, invoked, at) = (self.who.session, self.invoked, self.tick);
            self.log.interrupted.push(Interrupted { session, invoked, at });
        }
        *self.log.errors.entry((error.code, message)).or_default() += 1;
        effect(error)
    }

    /// Writes down what was told of a request that inserts a token.
    pub fn token(&mut self, token: u64, ended: Ended) {
        self.log.tokens.push(Token { token, ended, session: self.who.session, at: self.tick });
    }

    /// Writes down what a session was shown of its own state, when it is not what it had reason to expect.
    pub fn expect(&mut self, what: &str, expected: &str, seen: &str) {
        self.log.looked += 1;
        if expected != seen {
            let story = format!("session {} asked for {what}, expected {expected} and saw {seen}", self.who.session);
            let surprise = Violation::new("a session's state is its own", story);
            self.log.surprises.push(surprise.seen(self.who.session, self.tick));
        }
    }
}

/// What an error says of its statement.
#[must_use]
pub fn effect(error: &Error) -> Ended {
    match error.code {
        // Interrupted, killed, or cut off: a client must not think that nothing happened.
        INTERRUPTED | KILLED | 1053 | OUTCOME_UNKNOWN => Ended::Unknown,
        _ => Ended::Failed,
    }
}

/// ER_QUERY_INTERRUPTED.
const INTERRUPTED: u16 = 1317;
/// ER_CONNECTION_KILLED.
const KILLED: u16 = 1927;
/// The gateway's number for the loss of a server connection under a statement that may have taken effect.
pub(crate) const OUTCOME_UNKNOWN: u16 = 1160;

/// The gateway's numbers for the loss of a server connection.
pub(crate) const fn is_lost(code: u16) -> bool {
    matches!(code, 1158 | OUTCOME_UNKNOWN)
}

/// What a client saw, for the checkers.
#[derive(Debug, Default)]
pub struct Log {
    /// Reads and writes of rows with one writer each.
    pub operations: Vec<Operation>,
    /// Those among them that promise to see the latest: writes and locking reads.
    pub strict: Vec<Operation>,
    /// Inserted tokens.
    pub tokens: Vec<Token>,
    /// Balances, all at once.
    pub readings: Vec<Reading>,
    /// Elements added to lists, and lists read.
    pub lists: Vec<appends::Event>,
    /// Transactions that read what they changed.
    pub transactions: Vec<Transaction>,
    /// Requests and answers, by session.
    pub notes: BTreeMap<u64, Vec<Note>>,
    /// Errors with how often they came.
    pub errors: BTreeMap<(u16, String), u64>,
    /// How often a session looked at its own state.
    pub looked: u64,
    /// What it saw there that it should not have.
    pub surprises: Vec<Violation>,
    /// Reads of [`Levels`] that a replica is known to have answered.
    pub replica_reads: BTreeMap<Asked, u64>,
    /// Answers that took longer than they may.
    pub late: Vec<Violation>,
    /// What befell clients that should not have noticed anything.
    pub disturbed: Vec<Violation>,
    /// What sessions killed.
    pub kills: Vec<Kill>,
    /// Statements that were killed, by whomever.
    pub interrupted: Vec<Interrupted>,
}

impl Log {
    /// Drops the histories that grow with each operation; errors and surprises stay.
    pub fn forget(&mut self) {
        self.operations.clear();
        self.strict.clear();
        self.tokens.clear();
        self.readings.clear();
        self.lists.clear();
        self.transactions.clear();
        self.kills.clear();
        self.interrupted.clear();
    }
}

/// What a client does.
pub trait Script {
    /// An operation begins, in the session that was there before or in a new one (then [`Script::lost`] was called).
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next;
    /// The last command was answered.
    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next;
    /// The session is over, with whatever was under way.
    fn lost(&mut self, turn: &mut Turn<'_>);
}

/// Connects, does one thing, and leaves, politely or not.
pub struct Churn<S>(pub S);

impl<S: Script> Script for Churn<S> {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        Self::leave(self.0.begin(turn), turn)
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        Self::leave(self.0.answered(turn, said), turn)
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        self.0.lost(turn);
    }
}

impl<S> Churn<S> {
    fn leave(next: Next, turn: &mut Turn<'_>) -> Next {
        match next {
            Next::Done if turn.rng.chance(0.5) => Next::Quit,
            Next::Done => Next::Vanish,
            other => other,
        }
    }
}

/// The first value of the first row as text; `None` for NULL and for no row.
#[must_use]
pub fn first_value(rows: &[Vec<Option<Vec<u8>>>]) -> Option<String> {
    Some(String::from_utf8_lossy(rows.first()?.first()?.as_deref()?).into_owned())
}

/// A token that nobody else has: the client's number and a count.
#[derive(Debug)]
pub(crate) struct Tokens {
    client: u64,
    made: u64,
}

impl Tokens {
    pub(crate) const fn new(client: u64) -> Self {
        Self { client, made: 0 }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.made += 1;
        self.client * 1_000_000_000 + self.made
    }
}
