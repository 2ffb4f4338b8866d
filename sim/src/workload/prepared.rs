//! Prepared statements that follow their session from one server connection to another.

use super::{Command, Next, Script, Tokens, Turn};
use crate::check::history::{Action, Ended};
use crate::processes::client::wire::Said;
use weir_core::mysql::binary::Value;

const SQL: [&str; 3] = ["SELECT v FROM registers WHERE id = ?", "INSERT INTO tokens (token) VALUES (?)", "SELECT ?, ?"];

/// See the module.
#[derive(Debug)]
pub struct Prepared {
    tokens: Tokens,
    keys: u64,
    /// Ids of those of [`SQL`] that are prepared, and whether the types were sent.
    ids: [Option<(u32, bool)>; SQL.len()],
    under_way: Option<Op>,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Prepare(usize),
    Read(u64),
    Insert(u64),
    Echo(u64),
}

impl Prepared {
    /// The client of this number; `keys` rows are there to be read.
    #[must_use]
    pub const fn new(client: u64, keys: u64) -> Self {
        Self { tokens: Tokens::new(client), keys, ids: [None; SQL.len()], under_way: None }
    }
}

impl Script for Prepared {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        let which = turn.rng.index(SQL.len());
        let Some((id, typed)) = self.ids[which] else {
            self.under_way = Some(Op::Prepare(which));
            return Next::Send(Command::Prepare(SQL[which].to_owned()));
        };
        self.ids[which] = Some((id, true));
        let (op, values) = match which {
            0 => {
                let key = turn.rng.below(self.keys);
                (Op::Read(key), vec![Value::UInt(key)])
            }
            1 => {
                let token = self.tokens.next();
                (Op::Insert(token), vec![Value::UInt(token)])
            }
            _ => {
                let token = self.tokens.next();
                (Op::Echo(token), vec![Value::Bytes(format!("text{token}").into_bytes()), Value::Int(token as i64)])
            }
        };
        self.under_way = Some(op);
        Next::Send(Command::Execute { id, values, with_types: !typed })
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        let Some(op) = self.under_way.take() else { return Next::Done };
        let ended = if let Said::Error(error) = said { turn.refused(error) } else { Ended::Ok };
        let text = |row: &[Option<Vec<u8>>], n: usize| {
            String::from_utf8_lossy(row.get(n).and_then(Option::as_deref).unwrap_or(b"NULL")).into_owned()
        };
        match (op, said) {
            (Op::Prepare(which), Said::Prepared { id }) => self.ids[which] = Some((*id, false)),
            (Op::Insert(token), _) => turn.token(token, ended),
            (Op::Read(key), Said::Rows(rows)) => {
                turn.expect("one row by its key", "1", &rows.len().to_string());
                let version = rows.first().and_then(|row| text(row, 0).parse().ok()).filter(|version| *version > 0);
                let operation = turn.operation(key, Action::Read(version), Ended::Ok);
                turn.log.operations.push(operation);
            }
            (Op::Echo(token), Said::Rows(rows)) => {
                let seen = rows.first().map_or_else(String::new, |row| format!("{} {}", text(row, 0), text(row, 1)));
                turn.expect("its parameters", &format!("text{token} {token}"), &seen);
            }
            _ => {}
        }
        Next::Done
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        if let Some(Op::Insert(token)) = self.under_way.take() {
            turn.token(token, Ended::Unknown);
        }
        self.ids = [None; SQL.len()];
        self.under_way = None;
    }
}
