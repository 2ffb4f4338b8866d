//! What is kept of an open transaction, so that it can be begun again on another primary: its statements, what held when they
//! ran, and what came of them. It knows no sessions and no servers.

use crate::link::{Command, Digest, Settings};
use crate::mysql::packet::OkPacket;
use crate::sql::Effects;
use std::fmt::Write;
use std::sync::Arc;

/// A statement of the transaction.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) command: Command,
    /// What held on the connection.
    pub(super) settings: Arc<Settings>,
    /// What `LAST_INSERT_ID()` returned, if the statement could ask for it.
    pub(super) last_insert_id: Option<u64>,
    pub(super) effects: Effects,
    pub(super) result: Sum,
}

/// What a client can have learnt from an answer, in a few words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    affected_rows: u64,
    insert_id: u64,
    rows: u64,
    /// Number of the server's error; 0 for none.
    error: u16,
    /// Column definitions and rows.
    digest: Option<Digest>,
}

impl Sum {
    /// An OK, or the end of so many rows.
    pub(super) fn take_ok(&mut self, rows: Option<u64>, ok: &OkPacket) {
        match rows {
            Some(rows) => self.rows = rows,
            None => (self.affected_rows, self.insert_id) = (ok.affected_rows, ok.last_insert_id),
        }
    }

    pub(super) fn take_error(&mut self, code: u16) {
        self.error = code;
    }

    pub(super) fn take_digest(&mut self, digest: Digest) {
        self.digest = Some(digest);
    }

    /// What is another in `now`, for a person.
    pub(super) fn difference(&self, now: &Self) -> String {
        let mut text = String::new();
        for (what, then, now) in [
            ("error", u64::from(self.error), u64::from(now.error)),
            ("affected rows", self.affected_rows, now.affected_rows),
            ("insert id", self.insert_id, now.insert_id),
            ("rows", self.rows, now.rows),
        ] {
            if then != now {
                let separator = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{separator}{what} {then} became {now}");
            }
        }
        if text.is_empty() { "its rows have other values".to_owned() } else { text }
    }
}

/// The open transaction, from its beginning; empty while there is none.
#[derive(Debug, Default)]
pub(super) struct History {
    kept: Vec<Kept>,
    bytes: usize,
    unfit: Option<&'static str>,
    writes: bool,
}

impl History {
    /// No transaction is open, or another begins.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The open transaction can never be replayed.
    pub(super) fn give_up(&mut self, why: &'static str) {
        if self.unfit.is_none() {
            *self = Self { unfit: Some(why), ..Self::default() };
        }
    }

    /// Why it cannot be replayed.
    pub(super) const fn unfit(&self) -> Option<&'static str> {
        self.unfit
    }

    /// Whether a statement of so many bytes has room; if not, it is given up.
    pub(super) fn make_room(&mut self, bytes: usize, bytes_max: usize, statements_max: usize) -> bool {
        if self.bytes.saturating_add(bytes) > bytes_max {
            self.give_up("its statements are longer than replay_bytes_max");
        } else if self.kept.len() >= statements_max {
            self.give_up("it has more statements than replay_statements_max");
        }
        self.unfit.is_none()
    }

    /// The next statement has run.
    pub(super) fn push(&mut self, kept: Kept, bytes: usize) {
        if self.unfit.is_none() {
            self.bytes += bytes;
            self.writes |= kept.effects.intersects(Effects::WRITES | Effects::RUNS_STORED_CODE);
            self.kept.push(kept);
        }
    }

    /// Its statement of this number, from 0.
    pub(super) fn get(&self, number: usize) -> Option<&Kept> {
        self.kept.get(number)
    }

    /// It may have changed something.
    pub(super) const fn writes(&self) -> bool {
        self.writes
    }

    #[cfg(test)]
    const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept {
            command: Command::Plain(b"\x03UPDATE t SET a = 1".to_vec()),
            settings: Arc::default(),
            last_insert_id: None,
            effects: Effects::WRITES,
            result: Sum::default(),
        }
    }

    #[test]
    fn a_transaction_beyond_a_limit_is_forgotten_until_it_ends() {
        for (bytes_max, statements_max) in [(10, 9), (99, 1)] {
            let mut history = History::default();
            assert!(history.make_room(10, bytes_max, statements_max));
            history.push(kept(), 10);
            assert!(!history.make_room(1, bytes_max, statements_max));
            history.push(kept(), 1);
            assert!(history.is_empty() && history.unfit().is_some_and(|why| why.contains("replay_")));
            history.clear();
            assert!(history.unfit().is_none() && !history.writes());
        }
    }

    #[test]
    fn a_difference_is_told_in_words() {
        let then = Sum { affected_rows: 1, ..Sum::default() };
        assert_eq!(
            then.difference(&Sum { error: 1062, ..Sum::default() }),
            "error 0 became 1062, affected rows 1 became 0"
        );
        assert_eq!(then.difference(&then), "its rows have other values");
    }
}
