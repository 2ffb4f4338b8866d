//! What belongs to a session and to nobody else: variables, the last insert id, row counts.

use super::{Next, Script, Tokens, Turn, ask, first_value};
use crate::check::history::Ended;
use crate::processes::client::wire::Said;

/// See the module.
#[derive(Debug)]
pub struct State {
    tokens: Tokens,
    under_way: Option<Op>,
    timeout: Option<u64>,
    wished: u64,
    insert_id: u64,
    user_variable: Option<u64>,
    /// What a trigger has set another user variable to.
    noted: Option<u64>,
    /// The session uses user variables, which keep it on one connection.
    pins: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    SetTimeout(u64),
    Timeout,
    Insert([u64; 2]),
    /// Three rows are changed, and then counted.
    Count,
    /// An insert that writes out its id: the answer names it, and `LAST_INSERT_ID()` stays what it was.
    InsertPlain,
    InsertId,
    RowCount,
    /// Into a table whose trigger notes it.
    InsertNoted(u64),
    /// A function that notes it.
    CallNote(u64),
    Noted,
    SetUserVariable(u64),
    /// Looked at in a transaction, which runs where writes do.
    UserVariableInTransaction,
    UserVariable,
    Commit,
}

/// `lock_wait_timeout` of a fresh session.
const TIMEOUT: u64 = 86_400;

impl State {
    /// The client of this number.
    #[must_use]
    pub const fn new(client: u64) -> Self {
        Self {
            tokens: Tokens::new(client),
            under_way: None,
            timeout: None,
            wished: client * 1000,
            insert_id: 0,
            user_variable: None,
            noted: None,
            pins: None,
        }
    }

    fn inserted(&mut self, turn: &mut Turn<'_>, tokens: [u64; 2], ended: Ended) {
        tokens.into_iter().for_each(|token| turn.token(token, ended));
    }
}

impl Script for State {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        let pins = *self.pins.get_or_insert_with(|| turn.rng.chance(0.2));
        self.wished += 1;
        let (op, sql) = match turn.rng.below(if pins { 14 } else { 10 }) {
            0 => {
                // In either form: of one without a scope MariaDB's trackers say nothing.
                let name = ["lock_wait_timeout", "@@lock_wait_timeout"][self.wished as usize % 2];
                (Op::SetTimeout(self.wished), format!("SET {name} = {}", self.wished))
            }
            1 | 2 => (Op::Timeout, "SELECT @@lock_wait_timeout".to_owned()),
            3 | 4 => {
                let tokens = [self.tokens.next(), self.tokens.next()];
                let sql = format!("INSERT INTO tokens (token) VALUES ({}), ({})", tokens[0], tokens[1]);
                (Op::Insert(tokens), sql)
            }
            5 | 6 => (Op::InsertId, "SELECT LAST_INSERT_ID()".to_owned()),
            7 => (Op::Count, "UPDATE counts SET n = n + 1".to_owned()),
            8 => (Op::InsertPlain, format!("INSERT INTO plain (id, n) VALUES ({}, 0)", self.tokens.next())),
            9 => (Op::Noted, "SELECT @noted".to_owned()),
            10 => (Op::InsertNoted(self.wished), format!("INSERT INTO noted (n) VALUES ({})", self.wished)),
            11 => (Op::CallNote(self.wished), format!("SELECT note({})", self.wished)),
            12 => (Op::SetUserVariable(self.wished), format!("SET @v = {}", self.wished)),
            _ => (Op::UserVariableInTransaction, "BEGIN".to_owned()),
        };
        self.under_way = Some(op);
        ask(sql)
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        let Some(op) = self.under_way.take() else { return Next::Done };
        if let Said::Error(error) = said {
            let ended = turn.refused(error);
            if let Op::Insert(tokens) = op {
                self.inserted(turn, tokens, ended);
            }
            // What it left behind is not worth guessing.
            let in_transaction = matches!(op, Op::UserVariable | Op::Commit | Op::InsertNoted(_) | Op::CallNote(_));
            return if ended == Ended::Unknown || in_transaction { Next::Vanish } else { Next::Done };
        }
        let seen = match said {
            Said::Rows(rows) => first_value(rows).unwrap_or_else(|| "NULL".to_owned()),
            _ => String::new(),
        };
        match op {
            Op::SetTimeout(value) => self.timeout = Some(value),
            Op::Timeout => turn.expect("@@lock_wait_timeout", &self.timeout.unwrap_or(TIMEOUT).to_string(), &seen),
            Op::Insert(tokens) => {
                self.inserted(turn, tokens, Ended::Ok);
                if let Said::Ok(ok) = said {
                    self.insert_id = ok.last_insert_id;
                }
            }
            Op::Count => {
                self.under_way = Some(Op::RowCount);
                return ask("SELECT ROW_COUNT() + 0");
            }
            Op::InsertPlain | Op::Commit => {}
            Op::InsertNoted(value) => {
                self.noted = Some(value);
                if let Said::Ok(ok) = said {
                    self.insert_id = ok.last_insert_id;
                }
            }
            Op::CallNote(value) => {
                self.noted = Some(value);
                self.under_way = Some(Op::Noted);
                return ask("SELECT @noted");
            }
            Op::Noted => turn.expect("@noted", &shown(self.noted), &seen),
            Op::InsertId => turn.expect("LAST_INSERT_ID()", &self.insert_id.to_string(), &seen),
            Op::RowCount => turn.expect("ROW_COUNT()", "3", &seen),
            Op::SetUserVariable(value) => self.user_variable = Some(value),
            Op::UserVariableInTransaction => {
                self.under_way = Some(Op::UserVariable);
                return ask("SELECT @v");
            }
            Op::UserVariable => {
                turn.expect("@v", &shown(self.user_variable), &seen);
                self.under_way = Some(Op::Commit);
                return ask("COMMIT");
            }
        }
        Next::Done
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        if let Some(Op::Insert(tokens)) = self.under_way.take() {
            self.inserted(turn, tokens, Ended::Unknown);
        }
        (self.timeout, self.insert_id, self.user_variable, self.noted, self.pins) = (None, 0, None, None, None);
    }
}

/// As a server shows it.
fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}
