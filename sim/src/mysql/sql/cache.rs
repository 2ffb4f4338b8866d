//! Statements that were parsed before: most clients say the same few things again and again.

use super::super::error::SqlError;
use super::super::value::Value;
use super::shape::Shape;
use super::{Parsed, Statement, parse};
use crate::world::trace::hash_bytes;
use std::collections::BTreeMap;
use std::rc::Rc;
use weir_core::gtid::Flavor;

/// Statements kept. When there are more, all are forgotten.
const STATEMENTS_MAX: usize = 128;
/// Longest statement kept, in bytes.
const STATEMENT_BYTES_MAX: usize = 512;

/// A statement to run, and what its parameters stand for when numbers were taken out of its text.
pub type ToRun = (Parsed, Option<Rc<[Value]>>);

/// The parsed statements of a server, by the hashes of their texts.
#[derive(Debug, Default)]
pub struct Cache {
    kept: BTreeMap<u64, (String, Parsed)>,
    shape: Shape,
}

impl Cache {
    /// As [`parse`].
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(&mut self, flavor: Flavor, sql: &str) -> Result<Parsed, SqlError> {
        let hash = hash_bytes(sql.as_bytes());
        if let Some(parsed) = self.find(hash, sql) {
            return Ok(parsed);
        }
        let parsed = parse(flavor, sql)?;
        if !carries_values(&parsed, sql) {
            self.keep(hash, sql, &parsed);
        }
        Ok(parsed)
    }

    /// As [`parse`], for a text that is run and not prepared. Writes that differ only in their numbers are parsed once: the
    /// numbers come as the statement's parameters.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse_to_run(&mut self, flavor: Flavor, sql: &str) -> Result<ToRun, SqlError> {
        if begins_a_write(sql)
            && let Some(found) = self.parse_shape(flavor, sql)
        {
            return Ok(found);
        }
        self.parse(flavor, sql).map(|parsed| (parsed, None))
    }

    fn parse_shape(&mut self, flavor: Flavor, sql: &str) -> Option<ToRun> {
        let mut shape = core::mem::take(&mut self.shape);
        let found = if shape.take(sql) { self.parse_taken(flavor, &shape) } else { None };
        let numbers = Rc::from(shape.numbers.as_slice());
        self.shape = shape;
        found.map(|statement| (Parsed { len: sql.len(), parameters: 0, statement }, Some(numbers)))
    }

    fn parse_taken(&mut self, flavor: Flavor, shape: &Shape) -> Option<Rc<Statement>> {
        let text = shape.text();
        let hash = hash_bytes(text.as_bytes());
        if let Some(parsed) = self.find(hash, text) {
            return Some(parsed.statement);
        }
        let parsed = parse(flavor, text).ok()?;
        // Where a number is no value (LIMIT), the shape is no statement, or has another number of values.
        if !is_write(&parsed) || parsed.parameters != shape.numbers.len() || parsed.len != text.len() {
            return None;
        }
        self.keep(hash, text, &parsed);
        Some(parsed.statement)
    }

    fn find(&self, hash: u64, text: &str) -> Option<Parsed> {
        self.kept.get(&hash).filter(|(known, _)| known == text).map(|(_, parsed)| parsed.clone())
    }

    fn keep(&mut self, hash: u64, text: &str, parsed: &Parsed) {
        if text.len() <= STATEMENT_BYTES_MAX {
            if self.kept.len() >= STATEMENTS_MAX {
                self.kept.clear();
            }
            self.kept.insert(hash, (text.to_owned(), parsed.clone()));
        }
    }
}

fn is_write(parsed: &Parsed) -> bool {
    matches!(*parsed.statement, Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_))
}

/// Whether it has values in it that do not come again: writes have, and calls with strings (waits for a position).
fn carries_values(parsed: &Parsed, sql: &str) -> bool {
    let calls = matches!(&*parsed.statement, Statement::Select(select) if select.from.is_none());
    is_write(parsed) || calls && sql.contains('\'')
}

fn begins_a_write(sql: &str) -> bool {
    matches!(sql.as_bytes().first(), Some(b'I' | b'i' | b'U' | b'u' | b'D' | b'd' | b'R' | b'r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_parsed_before_is_the_same_and_the_cache_stays_small() {
        let mut cache = Cache::default();
        let fresh = cache.parse(Flavor::MariaDb, "SELECT 1; SELECT 2").unwrap();
        assert_eq!(cache.parse(Flavor::MariaDb, "SELECT 1; SELECT 2").unwrap(), fresh);
        assert!(cache.parse(Flavor::MariaDb, "SELEC 1").is_err());
        cache.parse(Flavor::MariaDb, "DELETE FROM t").unwrap();
        assert_eq!(cache.kept.len(), 1);
        for n in 0..3 * STATEMENTS_MAX {
            cache.parse(Flavor::MariaDb, &format!("SELECT {n}")).unwrap();
            assert!(cache.kept.len() <= STATEMENTS_MAX);
        }
    }

    #[test]
    fn writes_that_differ_in_their_numbers_are_parsed_once() {
        let mut cache = Cache::default();
        let mut run = |sql: &str| cache.parse_to_run(Flavor::MariaDb, sql).unwrap();
        let (first, numbers) = run("UPDATE t SET a = 1 WHERE b = 22");
        assert_eq!((first.len, numbers.as_deref()), (31, Some(&[Value::Int(1), Value::Int(22)][..])));
        let (second, numbers) = run("UPDATE t SET a = 3 WHERE b = 4");
        assert!(Rc::ptr_eq(&first.statement, &second.statement) && second.len == 30);
        assert_eq!(numbers.as_deref(), Some(&[Value::Int(3), Value::Int(4)][..]));
        // Numbers that are no values, texts with more in them, and what is no write are parsed as they stand.
        for sql in ["DELETE FROM t LIMIT 1", "INSERT INTO t VALUES ('a')", "DROP TABLE t1", "SELECT 1"] {
            let (parsed, numbers) = run(sql);
            assert_eq!((parsed, numbers), (parse(Flavor::MariaDb, sql).unwrap(), None), "{sql}");
        }
    }
}
