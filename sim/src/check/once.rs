//! Each request takes effect as often as its client was told: once, never, or at most once.
//!
//! The workload inserts tokens, each into a row of its own, so a token that is there twice was executed twice.

use super::Violation;
use super::history::{Ended, Tick};
use std::collections::BTreeMap;

/// A request that inserts its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Unique in the run.
    pub token: u64,
    /// What the client was told.
    pub ended: Ended,
    /// Who sent it.
    pub session: u64,
    /// When it was known how it ended.
    pub at: Tick,
}

/// Checks what the surviving data holds against what clients were told.
#[must_use]
pub fn check(requests: &[Token], data: &[u64]) -> Vec<Violation> {
    let mut found: BTreeMap<u64, u32> = BTreeMap::new();
    for token in data {
        *found.entry(*token).or_default() += 1;
    }
    let mut violations = Vec::new();
    for Token { token, ended, session, at } in requests {
        let times = found.remove(token).unwrap_or(0);
        let broken = match (ended, times) {
            (Ended::Ok, 0) => Some(("no acknowledged write is lost", "was acknowledged and is not there")),
            (Ended::Failed, 1..) => Some(("a refused write has no effect", "was refused and is there")),
            (_, 2..) => Some(("no statement is executed twice", "is there more than once")),
            _ => None,
        };
        violations.extend(
            broken.map(|(promise, what)| Violation::new(promise, format!("token {token} {what}")).seen(*session, *at)),
        );
    }
    let strangers = found.into_keys();
    violations.extend(
        strangers.map(|token| Violation::new("data comes from requests", format!("nobody sent token {token}"))),
    );
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promises(requests: &[(u64, Ended)], data: &[u64]) -> Vec<&'static str> {
        let requests: Vec<Token> =
            requests.iter().map(|(token, ended)| Token { token: *token, ended: *ended, session: 0, at: 0 }).collect();
        check(&requests, data).into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn what_clients_were_told_is_what_there_is() {
        let requests = [(1, Ended::Ok), (2, Ended::Failed), (3, Ended::Unknown), (4, Ended::Unknown)];
        assert!(promises(&requests, &[1, 4]).is_empty());
    }

    #[test]
    fn loss_ghosts_repetition_and_strangers_are_told_apart() {
        assert_eq!(promises(&[(1, Ended::Ok)], &[]), ["no acknowledged write is lost"]);
        assert_eq!(promises(&[(1, Ended::Failed)], &[1]), ["a refused write has no effect"]);
        assert_eq!(promises(&[(1, Ended::Unknown)], &[1, 1]), ["no statement is executed twice"]);
        assert_eq!(promises(&[(1, Ended::Ok)], &[1, 1]), ["no statement is executed twice"]);
        assert_eq!(promises(&[], &[9]), ["data comes from requests"]);
    }
}
