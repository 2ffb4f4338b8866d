//! Only a session that was killed hears of it, and only of what ran while the kill was under way.

use super::Violation;
use super::history::{Tick, clock};

/// A KILL, from when it was sent until it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The session whose statement or connection was to be ended.
    pub victim: u64,
    /// When it was sent.
    pub from: Tick,
    /// When it was answered; the end of time when it was not.
    pub until: Tick,
}

/// A statement that was answered with the word that it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// Whose.
    pub session: u64,
    /// When it was sent.
    pub invoked: Tick,
    /// When it was answered.
    pub at: Tick,
}

/// Checks that each interruption has a kill of that session which overlaps it.
#[must_use]
pub fn check(interrupted: &[Interrupted], kills: &[Kill]) -> Vec<Violation> {
    let is_explained = |statement: &&Interrupted| {
        let overlaps = |kill: &Kill| kill.from < statement.at && statement.invoked < kill.until;
        kills.iter().any(|kill| kill.victim == statement.session && overlaps(kill))
    };
    let broken = |statement: &Interrupted| {
        let Interrupted { session, invoked, at } = *statement;
        let story =
            format!("what session {session} sent at {} was interrupted, and nobody had killed it", clock(invoked));
        Violation::new("a kill ends what it was meant for", story).seen(session, at)
    };
    interrupted.iter().filter(|statement| !is_explained(statement)).map(broken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_later_statements_are_not_to_be_hit() {
        let kills = [Kill { victim: 1, from: 10, until: 20 }, Kill { victim: 2, from: 30, until: Tick::MAX }];
        let found = |session, invoked, at| check(&[Interrupted { session, invoked, at }], &kills).len();
        assert_eq!((found(1, 5, 15), found(1, 15, 25), found(2, 90, 95)), (0, 0, 0));
        assert_eq!(found(3, 12, 15), 1, "a neighbour");
        assert_eq!(found(1, 21, 25), 1, "the next statement");
        assert_eq!(found(1, 5, 9), 1, "before the kill");
    }
}
