//! Transactions that read a list under a lock, append to it, and insert a row whose id they are told: what they were shown must
//! be what was there when they were committed, however often they had to be begun.

use super::{Next, Script, Tokens, Turn, ask, elements, first_value};
use crate::check::appends::Event;
use crate::check::history::Ended;
use crate::check::serial::Transaction;
use crate::processes::client::wire::Said;

/// See the module.
#[derive(Debug)]
pub struct Serial {
    tokens: Tokens,
    keys: u64,
    /// The session runs with autocommit off; not set yet.
    manual: Option<bool>,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    key: u64,
    element: u64,
    read: Vec<u64>,
    insert_id: u64,
    /// Statements that are still to be sent, the next one last.
    left: Vec<Step>,
    asked: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    SetUp(bool),
    Begin,
    Read,
    Append,
    Savepoint,
    Spoil,
    BackToSavepoint,
    Insert,
    Commit,
}

impl Serial {
    /// The client of this number, on `keys` lists.
    #[must_use]
    pub const fn new(client: u64, keys: u64) -> Self {
        Self { tokens: Tokens::new(client), keys, manual: None, under_way: None }
    }

    fn plan(&mut self, turn: &mut Turn<'_>) -> Vec<Step> {
        let mut plan = Vec::new();
        let manual = *self.manual.get_or_insert_with(|| {
            let manual = turn.rng.chance(0.4);
            plan.push(Step::SetUp(manual));
            manual
        });
        if !manual {
            plan.push(Step::Begin);
        }
        plan.push(Step::Read);
        plan.push(Step::Append);
        if turn.rng.chance(0.3) {
            plan.extend([Step::Savepoint, Step::Spoil, Step::BackToSavepoint]);
        }
        if turn.rng.chance(0.5) {
            plan.push(Step::Insert);
        }
        plan.push(Step::Commit);
        plan.reverse();
        plan
    }

    fn send_next(&mut self) -> Next {
        let Some(transaction) = &mut self.under_way else { return Next::Done };
        let Some(step) = transaction.left.pop() else { return Next::Done };
        transaction.asked = step;
        let UnderWay { key, element, .. } = transaction;
        ask(match step {
            Step::SetUp(manual) => format!("SET autocommit = {}", u8::from(!manual)),
            Step::Begin => "BEGIN".to_owned(),
            Step::Read => format!("SELECT items FROM lists WHERE id = {key} FOR UPDATE"),
            Step::Append => format!("UPDATE lists SET items = CONCAT(items, '{element},') WHERE id = {key}"),
            Step::Savepoint => "SAVEPOINT here".to_owned(),
            Step::Spoil => format!("UPDATE lists SET items = '' WHERE id = {key}"),
            Step::BackToSavepoint => "ROLLBACK TO here".to_owned(),
            Step::Insert => format!("INSERT INTO tokens (token) VALUES ({element})"),
            Step::Commit => "COMMIT".to_owned(),
        })
    }

    fn conclude(&mut self, turn: &mut Turn<'_>, ended: Ended) {
        let Some(UnderWay { key, element, read, insert_id, asked, left }) = self.under_way.take() else { return };
        let at = turn.tick;
        let inserts = insert_id > 0 || asked == Step::Insert || left.contains(&Step::Insert);
        if inserts {
            turn.token(element, ended);
        }
        turn.log.lists.push(Event::Appended { who: turn.who, key, element, ended, at });
        turn.log.transactions.push(Transaction { session: turn.who.session, key, element, read, insert_id, ended, at });
    }
}

impl Script for Serial {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        let (key, element) = (turn.rng.below(self.keys), self.tokens.next());
        let left = self.plan(turn);
        self.under_way = Some(UnderWay { key, element, read: Vec::new(), insert_id: 0, left, asked: Step::Begin });
        self.send_next()
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        let Some(transaction) = &mut self.under_way else {
            // The ROLLBACK; when even that fails, a new session is the surest way out.
            return if matches!(said, Said::Error(_)) { Next::Vanish } else { Next::Done };
        };
        let step = transaction.asked;
        match said {
            Said::Error(error) => {
                let ended = turn.refused(error);
                if matches!(step, Step::SetUp(_)) {
                    self.manual = None;
                }
                self.conclude(turn, if step == Step::Commit { ended } else { Ended::Failed });
                return ask("ROLLBACK");
            }
            Said::Rows(rows) => transaction.read = elements(&first_value(rows).unwrap_or_default()),
            Said::Ok(ok) if step == Step::Insert => transaction.insert_id = ok.last_insert_id,
            _ => {}
        }
        if step == Step::Commit {
            self.conclude(turn, Ended::Ok);
        }
        self.send_next()
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        let unknown = self.under_way.as_ref().is_some_and(|transaction| transaction.asked == Step::Commit);
        self.conclude(turn, if unknown { Ended::Unknown } else { Ended::Failed });
        self.manual = None;
    }
}
