//! Statements that were parsed before: most clients say the same few things again and again.

use super::super::error::SqlError;
use super::{Parsed, Statement, parse};
use std::collections::BTreeMap;
use weir_core::gtid::Flavor;

/// Statements kept. When there are more, all are forgotten.
const STATEMENTS_MAX: usize = 128;
/// Longest statement kept, in bytes.
const STATEMENT_BYTES_MAX: usize = 512;

/// The parsed statements of a server, by their text.
#[derive(Debug, Default)]
pub struct Cache(BTreeMap<String, Parsed>);

impl Cache {
    /// As [`parse`].
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(&mut self, flavor: Flavor, sql: &str) -> Result<Parsed, SqlError> {
        if let Some(parsed) = self.0.get(sql) {
            return Ok(parsed.clone());
        }
        let parsed = parse(flavor, sql)?;
        // Writes carry values that do not come again.
        let is_write = matches!(*parsed.statement, Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_));
        if !is_write && sql.len() <= STATEMENT_BYTES_MAX {
            if self.0.len() >= STATEMENTS_MAX {
                self.0.clear();
            }
            self.0.insert(sql.to_owned(), parsed.clone());
        }
        Ok(parsed)
    }
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
        assert_eq!(cache.0.len(), 1);
        for n in 0..3 * STATEMENTS_MAX {
            cache.parse(Flavor::MariaDb, &format!("SELECT {n}")).unwrap();
            assert!(cache.0.len() <= STATEMENTS_MAX);
        }
    }
}
