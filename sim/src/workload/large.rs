//! Results larger than any buffer between client and server.

use super::{Next, Script, Turn, ask};
use crate::processes::client::wire::Said;

/// Rows of the large table.
pub(crate) const ROWS: usize = 400;
/// Bytes of each row.
const ROW_BYTES: usize = 1000;

/// Reads the whole table, again and again.
#[derive(Debug, Default)]
pub struct Large;

impl Script for Large {
    fn begin(&mut self, _: &mut Turn<'_>) -> Next {
        ask("SELECT id, body FROM blobs")
    }

    fn answered(&mut self, turn: &mut Turn<'_>, said: &Said) -> Next {
        match said {
            Said::Rows(rows) => {
                let good = |(n, row): (usize, &Vec<Option<Vec<u8>>>)| {
                    row.get(1).and_then(Option::as_deref) == Some(body(n).as_bytes())
                };
                let whole = rows.iter().enumerate().filter(|row| good(*row)).count();
                turn.expect("a large result", &ROWS.to_string(), &whole.to_string());
            }
            Said::Error(error) => _ = turn.refused(error),
            _ => {}
        }
        Next::Done
    }

    fn lost(&mut self, _: &mut Turn<'_>) {}
}

/// What stands in a row.
pub(crate) fn body(row: usize) -> String {
    format!("{row}.").repeat(ROW_BYTES / 4).chars().take(ROW_BYTES).collect()
}
