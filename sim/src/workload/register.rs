//! Single rows with one writer each, read by everybody.
//!
//! Each client writes versions 1, 2, 3, … to its own row, and only forward: a write that arrives late changes nothing.

use super::{Next, Script, Turn, ask, first_value};
use crate::check::history::{Action, Asked, Ended, Level, Operation};
use crate::processes::client::wire::Said;

/// See the module.
#[derive(Debug)]
pub struct Register {
    own: u64,
    keys: u64,
    version: u64,
    under_way: Option<Op>,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Write(u64),
    Read { key: u64, locking: bool },
}

impl Register {
    /// The client that writes row `own` of `keys` rows.
    #[must_use]
    pub const fn new(own: u64, keys: u64) -> Self {
        Self { own, keys, version: 0, under_way: None }
    }
}

impl Script for Register {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        let draw = turn.rng.below(100);
        if draw < 40 {
            self.version += 1;
            self.under_way = Some(Op::Write(self.version));
            let (own, version) = (&mut itoa::Buffer::new(), &mut itoa::Buffer::new());
            let (own, version) = (own.format(self.own), version.format(self.version));
            return ask(["UPDATE registers SET v = ", version, " WHERE id = ", own, " AND v < ", version].concat());
        }
        let key = if turn.rng.chance(0.5) { self.own } else { turn.rng.below(self.keys) };
        let locking = draw >= 85;
        self.under_way = Some(Op::Read { key, locking });
        let lock = match draw {
            93.. => " FOR UPDATE",
            85.. => " LOCK IN SHARE MODE",
            _ => "",
        };
        ask(["SELECT v FROM registers WHERE id = ", itoa::Buffer::new().format(key), lock].concat())
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        let Some(op) = self.under_way.take() else { return Next::Done };
        let ended = match said {
            Said::Error(error) => turn.refused(error),
            _ => Ended::Ok,
        };
        match (op, said) {
            (Op::Write(version), _) => {
                let operation = turn.operation(self.own, Action::Write(version), ended);
                turn.log.operations.push(operation);
                turn.log.strict.push(strict(operation));
            }
            (Op::Read { key, locking }, Said::Rows(rows)) => {
                let seen = first_value(rows).and_then(|value| value.parse().ok()).filter(|version| *version > 0);
                let operation = turn.operation(key, Action::Read(seen), Ended::Ok);
                turn.log.operations.push(operation);
                if locking {
                    turn.log.strict.push(strict(operation));
                }
            }
            _ => {}
        }
        Next::Done
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        if let Some(Op::Write(version)) = self.under_way.take() {
            let operation = turn.operation(self.own, Action::Write(version), Ended::Unknown);
            turn.log.operations.push(operation);
            turn.log.strict.push(strict(operation));
        }
    }
}

/// Writes and locking reads see the latest, whatever the level.
fn strict(operation: Operation) -> Operation {
    Operation { asked: Asked { level: Level::Global, monotonic: false }, ..operation }
}
