//! Each term has one primary, and the history that counts is theirs, term after term.
//!
//! The reigns are what the topology ever said; the history is what the last primary's server has in the end. A server that took
//! writes which count before its term, after it, or without one, shows as an origin out of its turn.

use super::Violation;
use std::collections::BTreeMap;

/// A primary and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reign {
    /// The term.
    pub term: u64,
    /// The primary's server.
    pub server: u32,
}

/// Checks the reigns, and the servers on which the transactions of the final history were written, in their order. `founder`
/// is the server that was set up with data before the first term. `strays` are servers on which somebody wrote one transaction past
/// everybody that may count, each as often as that.
#[must_use]
pub fn check(reigns: &[Reign], origins: &[u32], founder: u32, strays: &[u32]) -> Vec<Violation> {
    let mut by_term: BTreeMap<u64, u32> = BTreeMap::new();
    let mut violations = Vec::new();
    for Reign { term, server } in reigns {
        let first = *by_term.entry(*term).or_insert(*server);
        if first != *server {
            let story = format!("in term {term}, server {first} and server {server} were made primary");
            violations.push(Violation::new("a term has one primary", story));
        }
    }
    let mut turns = core::iter::once((0, founder)).chain(by_term);
    let mut current = turns.next();
    let mut strays = strays.to_vec();
    for (number, origin) in origins.iter().enumerate() {
        let is_stray = |stray: &u32| stray == origin && current.is_none_or(|(_, server)| server != *origin);
        if let Some(at) = strays.iter().position(is_stray) {
            strays.swap_remove(at);
            continue;
        }
        while current.is_some_and(|(_, server)| server != *origin) {
            current = turns.next();
        }
        if current.is_none() {
            let story =
                format!("transaction {} of the history was written on server {origin} out of its turn", number + 1);
            violations.push(Violation::new("only the primary of a term has writes acknowledged", story));
            break;
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promises(reigns: &[(u64, u32)], origins: &[u32]) -> Vec<&'static str> {
        let reigns: Vec<Reign> = reigns.iter().map(|(term, server)| Reign { term: *term, server: *server }).collect();
        check(&reigns, origins, 1, &[]).into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn writes_in_the_order_of_the_terms_are_what_there_may_be() {
        let reigns = [(1, 1), (2, 2), (4, 1), (5, 3)];
        assert!(promises(&reigns, &[1, 1, 2, 2, 1, 3, 3]).is_empty());
        assert!(promises(&reigns, &[1, 3]).is_empty(), "a primary need not have written");
        assert!(promises(&[(1, 2)], &[1, 1, 2]).is_empty(), "the first server had data before");
    }

    #[test]
    fn what_somebody_wrote_past_everybody_is_forgiven_once() {
        let reigns = [Reign { term: 1, server: 1 }, Reign { term: 2, server: 2 }];
        assert_eq!(check(&reigns, &[1, 3, 1, 2], 1, &[3]), []);
        assert_eq!(check(&reigns, &[1, 3, 3], 1, &[3]).len(), 1);
        assert_eq!(check(&reigns, &[1, 3], 1, &[2]).len(), 1);
    }

    #[test]
    fn two_primaries_and_writes_out_of_turn_are_found() {
        assert_eq!(promises(&[(1, 1), (2, 2), (2, 3)], &[1]), ["a term has one primary"]);
        let out_of_turn = ["only the primary of a term has writes acknowledged"];
        assert_eq!(promises(&[(1, 1), (2, 2)], &[1, 2, 1]), out_of_turn);
        assert_eq!(promises(&[(1, 1), (2, 2)], &[1, 3]), out_of_turn);
    }
}
