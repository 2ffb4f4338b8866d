//! The table in which transactions mark themselves before they are committed: gateways write it, tablets look after it.

use crate::time::Duration;

/// A row for each session, with the number of its last transaction that marked itself. The primary's tablet makes the table, and removes rows
/// that have been still for [`MARKS_KEPT`].
pub const MARKS_TABLE: &str = "weir.transactions";
/// How long a row is kept, at least, after its last transaction, by the servers' clocks.
pub const MARKS_KEPT: Duration = Duration::from_secs(24 * 3600);
