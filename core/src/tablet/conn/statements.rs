//! The prepared statements that a connection holds on its server.

use crate::link::Statement;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The statements held, by text and settings. The least recently used one makes room for a new one.
#[derive(Debug)]
pub(super) struct Statements {
    held: BTreeMap<Arc<Statement>, Held>,
    /// Counts uses, for their order.
    clock: u64,
    most: usize,
}

#[derive(Debug)]
struct Held {
    id: u32,
    used: u64,
    /// A cursor is open on it, so that it must not be closed.
    cursor: bool,
}

/// Every statement held has an open cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AllInUse;

impl Statements {
    /// Holds at most `most` statements, and at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { held: BTreeMap::new(), clock: 0, most: most.max(1) }
    }

    /// The server's id of a statement that is held, which counts as a use.
    pub(super) fn id(&mut self, statement: &Statement) -> Option<u32> {
        self.clock += 1;
        let held = self.held.get_mut(statement)?;
        held.used = self.clock;
        Some(held.id)
    }

    pub(super) fn holds(&self, statement: &Statement) -> bool {
        self.held.contains_key(statement)
    }

    /// Makes room for one more; returns the server's id of the statement to close for it.
    pub(super) fn make_room(&mut self) -> Result<Option<u32>, AllInUse> {
        if self.held.len() < self.most {
            return Ok(None);
        }
        let idle = self.held.iter().filter(|(_, held)| !held.cursor);
        let oldest = idle.min_by_key(|(_, held)| held.used).map(|(statement, _)| Arc::clone(statement));
        let closed = self.held.remove(&oldest.ok_or(AllInUse)?);
        Ok(closed.map(|held| held.id))
    }

    /// Holds a statement that the server has prepared. Room was made before.
    pub(super) fn insert(&mut self, statement: Arc<Statement>, id: u32) {
        debug_assert!(self.held.len() < self.most && !self.holds(&statement), "room was made for a new one");
        self.clock += 1;
        self.held.insert(statement, Held { id, used: self.clock, cursor: false });
    }

    pub(super) fn set_cursor(&mut self, statement: &Statement, open: bool) {
        if let Some(held) = self.held.get_mut(statement) {
            held.cursor = open;
        }
    }

    pub(super) fn has_cursor(&self) -> bool {
        self.held.values().any(|held| held.cursor)
    }

    /// The server does not know it any more.
    pub(super) fn forget(&mut self, statement: &Statement) {
        self.held.remove(statement);
    }

    pub(super) fn clear(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Settings;

    fn statement(sql: &str) -> Arc<Statement> {
        Arc::new(Statement { sql: sql.into(), settings: Arc::new(Settings::default()) })
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let mut statements = Statements::new(2);
        for (sql, id) in [("a", 1), ("b", 2)] {
            assert_eq!(statements.make_room(), Ok(None));
            statements.insert(statement(sql), id);
        }
        assert_eq!(statements.id(&statement("a")), Some(1));
        assert_eq!(statements.make_room(), Ok(Some(2)));
        assert!(!statements.holds(&statement("b")));
    }

    #[test]
    fn one_with_an_open_cursor_stays() {
        let mut statements = Statements::new(1);
        statements.insert(statement("a"), 1);
        statements.set_cursor(&statement("a"), true);
        assert_eq!(statements.make_room(), Err(AllInUse));
        assert!(statements.has_cursor());
        statements.set_cursor(&statement("a"), false);
        assert_eq!(statements.make_room(), Ok(Some(1)));
    }

    #[test]
    fn the_same_text_under_other_settings_is_another_statement() {
        let mut statements = Statements::new(2);
        statements.insert(statement("a"), 1);
        let settings = Arc::new(Settings { schema: Some(b"db".to_vec()), ..Settings::default() });
        assert_eq!(statements.id(&Statement { sql: b"a".to_vec(), settings }), None);
    }
}
