//! Transactions that keep somebody waiting: some stay open for long, others are made by sessions that keep their connection to the server
//! for something else, without end.

use super::{Next, Script, Tokens, Turn, ask};
use crate::check::history::Ended;
use crate::processes::client::wire::Said;

/// What keeps the session's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// A transaction that is open for three seconds.
    Transaction,
    /// A user variable. Transactions are short.
    Variable,
}

/// See the module.
#[derive(Debug)]
pub struct Linger {
    keeps: Keeps,
    tokens: Tokens,
    /// The session has set its variable.
    is_set_up: bool,
    /// Statements that are still to be sent, the next one last.
    left: Vec<String>,
    /// The row that is being inserted, until its client is told what became of it.
    token: Option<u64>,
}

const COMMIT: &str = "COMMIT";

impl Linger {
    /// The client of this number.
    #[must_use]
    pub const fn new(client: u64, keeps: Keeps) -> Self {
        Self { keeps, tokens: Tokens::new(client), is_set_up: false, left: Vec::new(), token: None }
    }

    fn next(&mut self) -> Next {
        self.left.pop().map_or(Next::Done, ask)
    }

    fn conclude(&mut self, turn: &mut Turn<'_>, ended: Ended) {
        if let Some(token) = self.token.take() {
            turn.token(token, ended);
        }
    }
}

impl Script for Linger {
    fn begin(&mut self, _: &mut Turn<'_>) -> Next {
        let token = self.tokens.next();
        self.token = Some(token);
        self.left = vec![COMMIT.to_owned()];
        if self.keeps == Keeps::Transaction {
            self.left.push("SELECT SLEEP(3)".to_owned());
        }
        self.left.extend([format!("INSERT INTO tokens (token) VALUES ({token})"), "BEGIN".to_owned()]);
        if self.keeps == Keeps::Variable && !core::mem::replace(&mut self.is_set_up, true) {
            self.left.push("SET @mine = 1".to_owned());
        }
        self.next()
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        if let Said::Error(error) = said {
            let ended = turn.refused(error);
            self.conclude(turn, if self.left.is_empty() { ended } else { Ended::Failed });
            self.is_set_up = false;
            return Next::Vanish;
        }
        if self.left.is_empty() {
            self.conclude(turn, Ended::Ok);
        }
        self.next()
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        let committing = self.left.is_empty();
        self.conclude(turn, if committing { Ended::Unknown } else { Ended::Failed });
        self.is_set_up = false;
    }
}
