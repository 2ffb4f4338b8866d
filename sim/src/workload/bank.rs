//! Transfers in transactions, and readings of all accounts.
//!
//! Some clients are careless: when a statement in the middle fails with the loss of its connection, they go on to COMMIT. What is
//! left of such a transaction must never be executed on its own.

use super::{Next, Script, Tokens, Turn, ask, is_lost};
use crate::check::bank::Reading;
use crate::check::history::Ended;
use crate::processes::client::wire::Said;

/// Accounts of the bank.
pub const ACCOUNTS: usize = 6;
/// What each holds at the beginning.
pub const BALANCE: i64 = 100;

/// See the module.
#[derive(Debug)]
pub struct Bank {
    tokens: Tokens,
    /// The statements that are still to be sent.
    left: Vec<String>,
    transfer: Option<Transfer>,
    reading: bool,
    /// The session runs with autocommit off.
    manual: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Transfer {
    token: u64,
    committing: bool,
    failed: bool,
    careless: bool,
    /// The first statement, which opens it, was answered.
    open: bool,
    setting_up: bool,
}

const READ: &str = "SELECT balance FROM accounts";

impl Bank {
    /// The client of this number.
    #[must_use]
    pub const fn new(client: u64) -> Self {
        Self { tokens: Tokens::new(client), left: Vec::new(), transfer: None, reading: false, manual: None }
    }

    fn plan(&mut self, turn: &mut Turn<'_>) -> Next {
        let from = turn.rng.index(ACCOUNTS);
        let to = (from + 1 + turn.rng.index(ACCOUNTS - 1)) % ACCOUNTS;
        let (amount, token) = (1 + turn.rng.below(20), self.tokens.next());
        let careless = turn.rng.chance(0.3);
        let mut plan = Vec::new();
        let setting_up = self.manual.is_none();
        if self.manual.is_none() {
            let manual = turn.rng.chance(0.3);
            self.manual = Some(manual);
            plan.push(format!("SET autocommit = {}", u8::from(!manual)));
        }
        if self.manual == Some(true) {
            plan.push(format!("SELECT balance FROM accounts WHERE id = {from}"));
        } else {
            plan.push("BEGIN".to_owned());
        }
        plan.push(format!("UPDATE accounts SET balance = balance - {amount} WHERE id = {from}"));
        plan.push(format!("INSERT INTO tokens (token) VALUES ({token})"));
        plan.push(format!("UPDATE accounts SET balance = balance + {amount} WHERE id = {to}"));
        plan.push("COMMIT".to_owned());
        plan.reverse();
        self.left = plan;
        self.transfer = Some(Transfer { token, committing: false, failed: false, careless, open: false, setting_up });
        self.send_next()
    }

    fn send_next(&mut self) -> Next {
        let Some(sql) = self.left.pop() else { return Next::Done };
        if let Some(transfer) = &mut self.transfer {
            transfer.committing = sql == "COMMIT";
        }
        ask(sql)
    }

    fn conclude(&mut self, turn: &mut Turn<'_>, ended: Ended) {
        if let Some(transfer) = self.transfer.take() {
            // Who has gone on after an error cannot know what became of the parts.
            turn.token(transfer.token, if transfer.failed { Ended::Unknown } else { ended });
        }
    }

    fn failed(&mut self, turn: &mut Turn<'_>, code: u16, ended: Ended) -> Next {
        let Some(transfer) = &mut self.transfer else { return Next::Done };
        if transfer.committing {
            self.conclude(turn, ended);
            self.left.clear();
            return ask("ROLLBACK");
        }
        if transfer.careless && is_lost(code) && transfer.open {
            transfer.failed = true;
            return self.send_next();
        }
        if transfer.failed {
            // It knows by now.
            return self.send_next();
        }
        // Nothing was committed, and nothing will be.
        self.conclude(turn, Ended::Failed);
        self.left.clear();
        ask("ROLLBACK")
    }
}

impl Script for Bank {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        if self.manual != Some(true) && turn.rng.chance(0.4) {
            self.reading = true;
            return ask(READ);
        }
        self.plan(turn)
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        if core::mem::take(&mut self.reading) {
            match said {
                Said::Rows(rows) => {
                    let balance = |row: &Vec<Option<Vec<u8>>>| {
                        row.first()
                            .and_then(|v| String::from_utf8_lossy(v.as_deref()?).parse().ok())
                            .unwrap_or(i64::MIN / 1000)
                    };
                    let balances = rows.iter().map(balance).collect();
                    turn.log.readings.push(Reading { session: turn.who.session, at: turn.tick, balances });
                }
                Said::Error(error) => _ = turn.refused(error),
                _ => {}
            }
            return Next::Done;
        }
        if let Said::Error(error) = said {
            let ended = turn.refused(error);
            if self.transfer.is_none() {
                // Even the ROLLBACK failed: a new session is the surest way out.
                return Next::Vanish;
            }
            return self.failed(turn, error.code, ended);
        }
        match &mut self.transfer {
            Some(transfer) if transfer.committing => {
                self.conclude(turn, Ended::Ok);
                Next::Done
            }
            Some(transfer) => {
                transfer.open = !core::mem::take(&mut transfer.setting_up);
                self.send_next()
            }
            None => Next::Done,
        }
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        let unknown = self.transfer.is_some_and(|transfer| transfer.committing);
        self.conclude(turn, if unknown { Ended::Unknown } else { Ended::Failed });
        self.left.clear();
        self.manual = None;
        self.reading = false;
    }
}
