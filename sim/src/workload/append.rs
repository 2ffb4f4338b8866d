//! Lists that everybody appends to and reads.

use super::{Next, Script, Tokens, Turn, ask, first_value};
use crate::check::appends::Event;
use crate::check::history::Ended;
use crate::processes::client::wire::Said;

/// See the module.
#[derive(Debug)]
pub struct Append {
    tokens: Tokens,
    keys: u64,
    under_way: Option<(u64, Option<u64>)>,
}

impl Append {
    /// The client of this number, on `keys` lists.
    #[must_use]
    pub const fn new(client: u64, keys: u64) -> Self {
        Self { tokens: Tokens::new(client), keys, under_way: None }
    }

    fn appended(&mut self, turn: &mut Turn<'_>, key: u64, element: u64, ended: Ended) {
        turn.log.lists.push(Event::Appended { who: turn.who, key, element, ended, at: turn.tick });
    }
}

impl Script for Append {
    fn begin(&mut self, turn: &mut Turn<'_>) -> Next {
        let key = turn.rng.below(self.keys);
        if turn.rng.chance(0.4) {
            let element = self.tokens.next();
            self.under_way = Some((key, Some(element)));
            return ask(format!("UPDATE lists SET items = CONCAT(items, '{element},') WHERE id = {key}"));
        }
        self.under_way = Some((key, None));
        ask(format!("SELECT items FROM lists WHERE id = {key}"))
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        match (self.under_way.take(), said) {
            (Some((key, Some(element))), Said::Error(error)) => {
                let ended = turn.refused(error);
                self.appended(turn, key, element, ended);
            }
            (Some((key, Some(element))), _) => self.appended(turn, key, element, Ended::Ok),
            (Some((key, None)), Said::Rows(rows)) => {
                let elements = elements(&first_value(rows).unwrap_or_default());
                turn.log.lists.push(Event::Read { who: turn.who, key, elements, asked: turn.invoked, at: turn.tick });
            }
            (_, Said::Error(error)) => _ = turn.refused(error),
            _ => {}
        }
        Next::Done
    }

    fn lost(&mut self, turn: &mut Turn<'_>) {
        if let Some((key, Some(element))) = self.under_way.take() {
            self.appended(turn, key, element, Ended::Unknown);
        }
    }
}

/// The elements of a list as it is stored.
pub(crate) fn elements(text: &str) -> Vec<u64> {
    text.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(u64::MAX)).collect()
}
