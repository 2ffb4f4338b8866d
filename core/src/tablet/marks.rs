//! The table in which transactions mark themselves before they are committed ([`MARKS_TABLE`]): how it is
//! made, and how rows leave it that nobody will ask for any more.
//!
//! Rows are found by a read that locks nothing, and removed by their keys: a search that locks would wait for sessions that
//! commit, and they for it.

use crate::error::Error;
use crate::link::{MARKS_KEPT, MARKS_TABLE};
use crate::mysql::resultset::TextResultSet;
use crate::time::Duration;
use std::collections::VecDeque;

/// From one time to the next.
pub(super) const INTERVAL: Duration = Duration::from_secs(600);
/// Rows removed at a time.
const REMOVED_MAX: usize = 500;

/// Asks for rows that are too old.
pub(super) fn housekeeping() -> VecDeque<String> {
    VecDeque::from([format!("SELECT session FROM {MARKS_TABLE} WHERE {} LIMIT {REMOVED_MAX}", is_old())])
}

/// There is no table yet: ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE.
pub(super) const fn is_missing(error: &Error) -> bool {
    matches!(error.code, 1049 | 1146)
}

/// Makes it. Not before it is known to be missing: a definition is not refused by what it says of `read_only`, as a beat is.
pub(super) fn making() -> [String; 2] {
    [
        "CREATE DATABASE IF NOT EXISTS weir".to_owned(),
        format!(
            "CREATE TABLE IF NOT EXISTS {MARKS_TABLE} (session VARCHAR(64) NOT NULL PRIMARY KEY, number BIGINT NOT NULL, \
             settled BIGINT NOT NULL, at BIGINT NOT NULL) ENGINE = InnoDB"
        ),
    ]
}

/// Removes the rows that were asked for, unless they have been used since.
pub(super) fn removal(rows: &TextResultSet) -> Option<String> {
    let is_key = |key: &&[u8]| key.iter().all(u8::is_ascii_alphanumeric);
    let keys = rows.rows.iter().filter_map(|row| row.first()?.as_deref()).filter(is_key);
    let keys: Vec<String> = keys.map(|key| format!("'{}'", String::from_utf8_lossy(key))).collect();
    (!keys.is_empty()).then(|| {
        format!(
            "DELETE FROM {MARKS_TABLE} WHERE session IN ({}) AND {} AND @@GLOBAL.read_only = 0",
            keys.join(", "),
            is_old()
        )
    })
}

fn is_old() -> String {
    format!("at < UNIX_TIMESTAMP() - {}", MARKS_KEPT.as_secs())
}
