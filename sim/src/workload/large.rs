//! Results larger than any buffer between client and server.

use super::{Next, Script, Turn, ask};
use crate::processes::client::wire::Said;
use weir_core::mysql::reply::HELD_ROW_BYTES_MAX;

/// Rows of the large table.
pub(crate) const ROWS: usize = 400;
/// Bytes of a row that is short enough to be held back when it is cut.
const SHORT_ROW_BYTES: usize = 1000;
/// Bytes of each twentieth, which is not.
const LONG_ROW_BYTES: usize = HELD_ROW_BYTES_MAX + 4000;

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
                    row.get(1).and_then(Option::as_deref).is_some_and(|text| is_body(n, text))
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

fn bytes(row: usize) -> usize {
    if row % 20 == 19 { LONG_ROW_BYTES } else { SHORT_ROW_BYTES }
}

/// What stands in a row: its number, again and again.
pub(crate) fn body(row: usize) -> String {
    format!("{row}.").chars().cycle().take(bytes(row)).collect()
}

/// As [`body`], which would have to be made for each row that is read.
fn is_body(row: usize, text: &[u8]) -> bool {
    let number = format!("{row}.");
    // It repeats itself: each byte is the one a number's length earlier.
    text.len() == bytes(row)
        && text.starts_with(number.as_bytes())
        && text.get(number.len()..) == text.get(..bytes(row) - number.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_knows_its_body() {
        assert!((0..ROWS).all(|row| is_body(row, body(row).as_bytes())));
        assert!(!is_body(12, body(13).as_bytes()) && !is_body(12, b"12.") && !is_body(12, b""));
    }
}
