//! The session's prepared statements: its own ids, what each stands for, and what must be sent before it is executed.

use super::job::Intent;
use crate::error::{Component, Error, Kind as ErrorKind};
use crate::link::{LongData, Statement};
use crate::sql::Fingerprint;
use crate::trace::Context;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The id by which MariaDB's clients name the statement prepared last.
const LAST_PREPARED: u32 = u32::MAX;

/// A statement as its client prepared it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) statement: Arc<Statement>,
    pub(super) parameters: u16,
    pub(super) intent: Intent,
    /// That of its text, when digests are wanted.
    pub(super) fingerprint: Option<Fingerprint>,
    /// What its text says of its client's trace, until it is executed: who executes it again does so for another reason.
    pub(super) parent: Option<Context>,
    /// The parameter types bound last: the client leaves them out when they have not changed.
    pub(super) types: Option<Vec<u8>>,
    pub(super) long_data: Vec<LongData>,
    /// COM_STMT_SEND_LONG_DATA has no answer, so what was wrong with it is told at the execute.
    pub(super) refused: Option<Error>,
    /// A cursor is open on the lease.
    pub(super) cursor: bool,
    long_data_bytes: usize,
}

impl Prepared {
    pub(super) fn new(statement: Arc<Statement>, parameters: u16, intent: Intent) -> Self {
        Self {
            statement,
            parameters,
            intent,
            fingerprint: None,
            parent: None,
            types: None,
            long_data: Vec::new(),
            refused: None,
            cursor: false,
            long_data_bytes: 0,
        }
    }

    /// Keeps a chunk of a parameter's value until the statement is executed.
    pub(super) fn add_long_data(&mut self, parameter: u16, data: &[u8], bytes_max: usize) {
        if self.long_data_bytes + data.len() > bytes_max {
            let message = format!(
                "weir-gateway: more than {bytes_max} bytes of long data for one prepared statement (long_data_bytes_max)"
            );
            self.refused = Some(Error::new(Component::Gateway, ErrorKind::PacketTooLarge, message));
            return;
        }
        self.long_data_bytes += data.len();
        self.long_data.push(LongData { parameter, data: data.to_vec() });
    }

    /// Hands the chunks over, to be sent ahead of the execute.
    pub(super) fn take_long_data(&mut self) -> Vec<LongData> {
        self.long_data_bytes = 0;
        std::mem::take(&mut self.long_data)
    }
}

/// The table of a session's prepared statements.
#[derive(Debug)]
pub(super) struct Statements {
    by_id: BTreeMap<u32, Prepared>,
    last_id: u32,
    count_max: usize,
}

impl Statements {
    pub(super) const fn new(count_max: usize) -> Self {
        Self { by_id: BTreeMap::new(), last_id: 0, count_max }
    }

    /// # Errors
    /// ER_MAX_PREPARED_STMT_COUNT_REACHED when there is no room for another.
    pub(super) fn check_room(&self) -> Result<(), Error> {
        if self.by_id.len() < self.count_max {
            return Ok(());
        }
        let message =
            format!("Can't create more than max_prepared_stmt_count statements (current value: {})", self.count_max);
        Err(Error::new(Component::Gateway, ErrorKind::TooManyStatements, message))
    }

    /// Adds a statement and returns its id.
    pub(super) fn add(&mut self, prepared: Prepared) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let usable = self.last_id != 0 && self.last_id != LAST_PREPARED && !self.by_id.contains_key(&self.last_id);
            if usable {
                self.by_id.insert(self.last_id, prepared);
                return self.last_id;
            }
        }
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Prepared> {
        self.by_id.get_mut(&self.resolve(id))
    }

    /// Its text; empty when there is no such statement.
    pub(super) fn text(&self, id: u32) -> &[u8] {
        self.by_id.get(&self.resolve(id)).map_or(&[], |prepared| &prepared.statement.sql)
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Prepared> {
        self.by_id.remove(&self.resolve(id))
    }

    /// A cursor is open on one of them.
    pub(super) fn any_cursor(&self) -> bool {
        self.by_id.values().any(|prepared| prepared.cursor)
    }

    /// The connection that the cursors were on is gone.
    pub(super) fn lose_cursors(&mut self) {
        self.by_id.values_mut().for_each(|prepared| prepared.cursor = false);
    }

    pub(super) fn clear(&mut self) {
        self.by_id.clear();
    }

    fn resolve(&self, id: u32) -> u32 {
        if id == LAST_PREPARED { self.last_id } else { id }
    }
}

/// The error for an id that stands for nothing, in the server's words.
pub(super) fn unknown(id: u32, function: &str) -> Error {
    let message = format!("Unknown prepared statement handler ({id}) given to {function}");
    Error::new(Component::Gateway, ErrorKind::UnknownStatement, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::hint::Hint;
    use crate::sql::{Effects, Leaves, Route};

    fn prepared() -> Prepared {
        let statement = Statement { sql: b"SELECT ?".to_vec(), settings: Arc::default() };
        let intent =
            Intent { route: Route::Replica, effects: Effects::empty(), hint: Hint::default(), leaves: Leaves::NOTHING };
        Prepared::new(Arc::new(statement), 1, intent)
    }

    #[test]
    fn ids_are_never_reused_while_they_live_and_never_special() {
        let mut s = Statements::new(10);
        s.last_id = u32::MAX - 2;
        let first = s.add(prepared());
        assert_eq!(first, u32::MAX - 1);
        assert_eq!(s.add(prepared()), 1);
        s.last_id = 0;
        assert_eq!(s.add(prepared()), 2);
    }

    #[test]
    fn minus_one_names_the_last_one() {
        let mut s = Statements::new(10);
        s.add(prepared());
        let id = s.add(prepared());
        s.get_mut(u32::MAX).unwrap().cursor = true;
        assert!(s.get_mut(id).unwrap().cursor);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut s = Statements::new(1);
        s.check_room().unwrap();
        s.add(prepared());
        assert_eq!(s.check_room().unwrap_err().code, 1461);
    }

    #[test]
    fn long_data_beyond_its_limit_is_told_at_the_execute() {
        let mut p = prepared();
        p.add_long_data(0, b"12345", 6);
        p.add_long_data(0, b"67", 6);
        assert_eq!(p.refused.as_ref().map(|e| e.code), Some(1153));
        assert_eq!(p.take_long_data().len(), 1);
    }
}
