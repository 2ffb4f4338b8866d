//! What a transaction was shown is what was there when it was committed.

use super::Violation;
use super::history::{Ended, Tick};
use std::collections::BTreeMap;

/// A transaction that read a list under a lock, appended an element to it, and perhaps inserted a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whose.
    pub session: u64,
    /// Which list.
    pub key: u64,
    /// What it read.
    pub read: Vec<u64>,
    /// What it appended; also the row's content.
    pub element: u64,
    /// What it was told of the row's id; 0 for nothing.
    pub insert_id: u64,
    /// What it was told of its COMMIT.
    pub ended: Ended,
    /// When.
    pub at: Tick,
}

/// Checks those that were committed, or may have been and were, against the lists and the rows' ids as they are in the end.
#[must_use]
pub fn check(
    transactions: &[Transaction],
    lists: &BTreeMap<u64, Vec<u64>>,
    ids: &BTreeMap<u64, u64>,
) -> Vec<Violation> {
    const PROMISE: &str = "a transaction was shown what was there when it was committed";
    let mut violations = Vec::new();
    for Transaction { session, key, read, element, insert_id, ended, at } in transactions {
        let Some(list) = lists.get(key).filter(|_| *ended != Ended::Failed) else { continue };
        let Some(place) = list.iter().position(|known| known == element) else { continue };
        let before = &list[..place];
        let mut wrong = |story: String| violations.push(Violation::new(PROMISE, story).seen(*session, *at));
        if before != read {
            wrong(format!("{element} was appended to {before:?} by a transaction that had read {read:?}"));
        }
        let id = ids.get(element).copied().unwrap_or(0);
        if *insert_id > 0 && id != *insert_id {
            wrong(format!("the row of {element} has the id {id}, and its transaction was told {insert_id}"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(read: &[u64], insert_id: u64, ended: Ended, list: &[u64]) -> usize {
        let read = read.to_vec();
        let transaction = Transaction { session: 1, key: 0, read, element: 7, insert_id, ended, at: 9 };
        check(&[transaction], &BTreeMap::from([(0, list.to_vec())]), &BTreeMap::from([(7, 3)])).len()
    }

    #[test]
    fn what_was_read_is_what_was_appended_to() {
        assert_eq!(violations(&[1, 2], 3, Ended::Ok, &[1, 2, 7, 4]), 0);
        assert_eq!(violations(&[1], 0, Ended::Ok, &[1, 2, 7]), 1);
        assert_eq!(violations(&[1], 0, Ended::Unknown, &[1, 2, 7]), 1);
        assert_eq!(violations(&[1], 0, Ended::Unknown, &[1, 2]), 0, "it was not committed");
    }

    #[test]
    fn ids_that_were_told_are_those_of_the_rows() {
        assert_eq!(violations(&[], 4, Ended::Ok, &[7]), 1);
        assert_eq!(violations(&[], 3, Ended::Ok, &[7]), 0);
    }
}
