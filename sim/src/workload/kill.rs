//! Sessions that run slow statements, and sessions that kill them.
//!
//! Clients with even numbers are victims: they tell on a shared board what they are called and where. The others look there and kill
//! one of the same gateway: its statement, or now and then its connection.

use super::{Next, Script, Tokens, Turn, ask, first_value};
use crate::check::history::Ended;
use crate::check::kills::Kill;
use crate::processes::client::wire::Said;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// ER_NO_SUCH_THREAD.
const NO_SUCH_THREAD: u16 = 1094;

/// How a victim is called: session in the run, gateway, `CONNECTION_ID()` there.
#[derive(Clone, Copy, Debug)]
struct Name {
    session: u64,
    gateway: u32,
    connection: u64,
}

/// Which victims there are, by client.
#[derive(Clone, Debug, Default)]
pub struct Board(Rc<RefCell<BTreeMap<u64, Name>>>);

/// See the module.
#[derive(Debug)]
pub struct Killing {
    client: u64,
    board: Board,
    tokens: Tokens,
    known: bool,
    under_way: Option<Op>,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Name,
    Sleep,
    Insert(u64),
    Kill(u64),
}

impl Killing {
    /// The client of this number.
    #[must_use]
    pub const fn new(client: u64, board: Board) -> Self {
        Self { client, board, tokens: Tokens::new(client), known: false, under_way: None }
    }

    fn be_slow(&mut self, turn: &mut Turn<'_>) -> Next {
        let (op, sql) = match (self.known, turn.rng.below(3)) {
            (false, _) => (Op::Name, "SELECT CONNECTION_ID()".to_owned()),
            (true, 0) => {
                let token = self.tokens.next();
                (Op::Insert(token), format!("INSERT INTO tokens (token) VALUES ({token})"))
            }
            (true, _) => (Op::Sleep, format!("SELECT SLEEP(0.{:03})", 1 + turn.rng.below(9))),
        };
        self.under_way = Some(op);
        ask(sql)
    }

    fn kill(&mut self, turn: &mut Turn<'_>) -> Next {
        let here: Vec<Name> =
            self.board.0.borrow().values().filter(|name| name.gateway == turn.who.gateway).copied().collect();
        if here.is_empty() {
            return Next::Quit;
        }
        let victim = here[turn.rng.index(here.len())];
        let what = if turn.rng.chance(0.9) { "KILL QUERY" } else { "KILL" };
        self.under_way = Some(Op::Kill(victim.session));
        ask(format!("{what} {}", victim.connection))
    }

    /// The kill under way can have no effect after this.
    fn killed(turn: &mut Turn<'_>, victim: u64, until: u64) {
        turn.log.kills.push(Kill { victim, from: turn.invoked, until });
    }
}

impl Script for Killing {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        if self.client.is_multiple_of(2) { self.be_slow(turn) } else { self.kill(turn) }
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        let op = self.under_way.take();
        let ended = match said {
            // The victim was faster.
            Said::Error(error) if error.code == NO_SUCH_THREAD => Ended::Failed,
            Said::Error(error) => turn.refused(error),
            _ => Ended::Ok,
        };
        match (op, said) {
            (Some(Op::Name), Said::Rows(rows)) => {
                if let Some(connection) = first_value(rows).and_then(|value| value.parse().ok()) {
                    let name = Name { session: turn.who.session, gateway: turn.who.gateway, connection };
                    self.board.0.borrow_mut().insert(self.client, name);
                    self.known = true;
                }
            }
            (Some(Op::Insert(token)), _) => turn.token(token, ended),
            (Some(Op::Kill(victim)), _) => Self::killed(turn, victim, turn.tick),
            _ => {}
        }
        Next::Done
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        match self.under_way.take() {
            Some(Op::Insert(token)) => turn.token(token, Ended::Unknown),
            // Nobody knows when it arrives, if it does.
            Some(Op::Kill(victim)) => Self::killed(turn, victim, u64::MAX),
            _ => {}
        }
        self.known = false;
        self.board.0.borrow_mut().remove(&self.client);
    }
}
