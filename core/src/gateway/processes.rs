//! The clients of a gateway as a server shows its connections, and who may end whose.
//!
//! Owns the form of `SHOW PROCESSLIST` and the rights of KILL. It may not know sessions or how a kill reaches a server.

use crate::error::{Component, Error, Kind};
use crate::mysql::column::ColumnDefinition;
use crate::mysql::resultset::{TextResultSet, TextRow};
use crate::time::Instant;

/// What is kept of a statement's text, in bytes.
pub const INFO_BYTES_MAX: usize = 4096;
/// What `SHOW PROCESSLIST` without FULL shows of it, in characters, as servers do.
const INFO_SHOWN: usize = 100;

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// What `CONNECTION_ID()` shows.
    pub id: u32,
    /// The authenticated user; empty before.
    pub user: Vec<u8>,
    /// Where from.
    pub host: String,
    /// The default schema.
    pub schema: Option<Vec<u8>>,
    /// What it asked for last: `Sleep` when that is done.
    pub command: &'static str,
    /// What that waits for.
    pub state: &'static str,
    /// Since when.
    pub since: Instant,
    /// The statement's text, no longer than [`INFO_BYTES_MAX`].
    pub info: Vec<u8>,
}

/// Whether `killer` may end the client numbered `id`; `victim` is its user, `None` when there is no such client.
///
/// Every account may end its own clients.
///
/// # Errors
/// ER_NO_SUCH_THREAD, ER_KILL_DENIED_ERROR.
pub fn may_kill(killer: &[u8], id: u64, victim: Option<&[u8]>) -> Result<(), Error> {
    let (kind, message) = match victim {
        None => (Kind::NoSuchThread, format!("Unknown thread id: {id}")),
        Some(victim) if victim != killer => (Kind::KillDenied, format!("You are not owner of thread {id}")),
        Some(_) => return Ok(()),
    };
    Err(Error::new(Component::Gateway, kind, message))
}

/// The answer to `SHOW PROCESSLIST` by `viewer`, who sees its own account's clients.
#[must_use]
pub fn table<'a>(
    now: Instant,
    viewer: &[u8],
    full: bool,
    processes: impl Iterator<Item = &'a Process>,
) -> TextResultSet {
    let columns =
        ["Id", "User", "Host", "db", "Command", "Time", "State", "Info", "Progress"]
            .map(|name| {
                if matches!(name, "Id" | "Time") {
                    ColumnDefinition::integer(name)
                } else {
                    ColumnDefinition::text(name)
                }
            })
            .to_vec();
    let rows = processes.filter(|process| process.user == viewer).map(|process| row(now, full, process)).collect();
    TextResultSet { columns, rows }
}

/// The same table without its last column.
#[must_use]
pub fn without_progress(table: &TextResultSet) -> TextResultSet {
    let mut table = table.clone();
    table.columns.pop();
    table.rows.iter_mut().for_each(|row| _ = row.pop());
    table
}

/// The answer to `SHOW STATUS LIKE 'Threads_connected'`.
#[must_use]
pub fn connected(clients: usize) -> TextResultSet {
    let columns = ["Variable_name", "Value"].map(ColumnDefinition::text).to_vec();
    let row = vec![Some(b"Threads_connected".to_vec()), Some(clients.to_string().into_bytes())];
    TextResultSet { columns, rows: vec![row] }
}

fn row(now: Instant, full: bool, process: &Process) -> TextRow {
    let info = (!process.info.is_empty()).then(|| if full { process.info.clone() } else { beginning(&process.info) });
    vec![
        Some(process.id.to_string().into_bytes()),
        Some(process.user.clone()),
        Some(process.host.clone().into_bytes()),
        process.schema.clone(),
        Some(process.command.into()),
        Some(now.since(process.since).as_secs().to_string().into_bytes()),
        Some(process.state.into()),
        info,
        Some(b"0.000".to_vec()),
    ]
}

/// The first characters of UTF-8; of anything else at least no fewer bytes.
fn beginning(text: &[u8]) -> Vec<u8> {
    let is_start = |byte: &u8| byte & 0xc0 != 0x80;
    let end = text.iter().enumerate().filter(|(_, byte)| is_start(byte)).nth(INFO_SHOWN).map(|(at, _)| at);
    text[..end.unwrap_or(text.len())].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn process(user: &str, info: &str) -> Process {
        Process { id: 7, user: user.into(), command: "Query", info: info.into(), ..Process::default() }
    }

    #[test]
    fn an_account_may_end_its_own_clients_only() {
        assert_eq!(may_kill(b"ann", 7, Some(b"ann")), Ok(()));
        let code = |outcome: Result<(), Error>| outcome.map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(code(may_kill(b"ann", 7, None)), "ERROR 1094 (HY000): Unknown thread id: 7");
        assert_eq!(code(may_kill(b"ann", 7, Some(b"bob"))), "ERROR 1095 (HY000): You are not owner of thread 7");
        assert!(may_kill(b"ann", 7, Some(b"")).is_err(), "it has not logged in yet");
    }

    #[test]
    fn an_account_sees_its_own_clients_and_how_long_they_have_been_at_it() {
        let list = [process("ann", "SELECT 1"), process("bob", "SELECT 2")];
        let table = table(Instant::ZERO + Duration::from_millis(3500), b"ann", false, list.iter());
        assert_eq!(table.rows.len(), 1);
        let text = |column: usize| table.rows[0][column].as_deref();
        assert_eq!((text(0), text(5), text(7)), (Some(&b"7"[..]), Some(&b"3"[..]), Some(&b"SELECT 1"[..])));
        assert_eq!(text(3), None, "no schema");
    }

    #[test]
    fn the_list_of_old_has_no_progress() {
        let table = without_progress(&table(Instant::ZERO, b"ann", false, [process("ann", "SELECT 1")].iter()));
        assert_eq!((table.columns.len(), table.rows[0].len()), (8, 8));
        assert_eq!(table.rows[0][7].as_deref(), Some(&b"SELECT 1"[..]));
    }

    #[test]
    fn a_statement_is_shown_as_a_whole_only_in_full() {
        let long = "é".repeat(150);
        let info = |full| {
            let list = [process("ann", &long)];
            table(Instant::ZERO, b"ann", full, list.iter()).rows[0][7].clone().unwrap()
        };
        assert_eq!(info(true), long.as_bytes());
        assert_eq!(info(false), "é".repeat(100).as_bytes());
    }
}
