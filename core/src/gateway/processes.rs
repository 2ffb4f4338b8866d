//! The clients of a gateway as a server shows its connections, and who may end whose.
//!
//! Owns the form of `SHOW PROCESSLIST` and the rights of KILL. It may not know sessions or how a kill reaches a server.

use crate::error::{Component, Error, Kind};
use crate::gateway::cluster::TabletId;
use crate::mysql::column::ColumnDefinition;
use crate::mysql::resultset::{TextResultSet, TextRow};
use crate::time::{Duration, Instant};
use core::fmt::Write as _;
use std::borrow::Cow;

/// What is kept of a statement's text, in bytes.
pub const INFO_BYTES_MAX: usize = 4096;
/// What `SHOW PROCESSLIST` without FULL shows of it, in characters, as servers do.
const INFO_SHOWN: usize = 100;
/// Clients that are written into a statement, at most.
const LISTED_MAX: usize = 10_000;

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
    pub command: Cow<'static, str>,
    /// What that waits for.
    pub state: Cow<'static, str>,
    /// Since when, as far as this gateway has seen it...
    pub since: Instant,
    /// ...and for how long before that: what another gateway has told, whose clock is another.
    pub before: Duration,
    /// The statement's text, no longer than [`INFO_BYTES_MAX`].
    pub info: Vec<u8>,
    /// The server connection that it has now: whose, and what the server calls it.
    pub thread: Option<(TabletId, u32)>,
}

impl Process {
    /// For how long it is at what it is at.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> Duration {
        self.before.saturating_add(now.since(self.since))
    }
}

/// What an account may do to clients of others, as far as the gateway has to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// See them (PROCESS).
    pub sees_all: bool,
    /// End them (SUPER, CONNECTION ADMIN).
    pub ends_all: bool,
}

/// Whether `killer` may end the client numbered `id`; `victim` is its user, `None` when there is no such client.
///
/// Every account may end its own clients.
///
/// # Errors
/// ER_NO_SUCH_THREAD, ER_KILL_DENIED_ERROR.
pub fn may_kill(killer: &[u8], powers: Powers, id: u64, victim: Option<&[u8]>) -> Result<(), Error> {
    match victim {
        None => Err(unknown_thread(id)),
        Some(victim) if victim != killer && !powers.ends_all => {
            let message = format!("You are not owner of thread {id}");
            Err(Error::new(Component::Gateway, Kind::KillDenied, message))
        }
        Some(_) => Ok(()),
    }
}

/// There is no client with that id.
#[must_use]
pub fn unknown_thread(id: u64) -> Error {
    Error::new(Component::Gateway, Kind::NoSuchThread, format!("Unknown thread id: {id}"))
}

/// Whether `viewer` sees a client: its own account's, unless it may see all.
#[must_use]
pub fn sees(viewer: &[u8], powers: Powers, process: &Process) -> bool {
    powers.sees_all || process.user == viewer
}

/// Whether `killer` may end all clients of `user`; when it may not, and does not see them either, there are none for it (false).
///
/// # Errors
/// ER_KILL_DENIED_ERROR.
pub fn may_kill_user(killer: &[u8], powers: Powers, user: &[u8], host: Option<&[u8]>) -> Result<bool, Error> {
    if killer == user || powers.ends_all {
        return Ok(true);
    }
    if !powers.sees_all {
        return Ok(false);
    }
    let (user, host) = (String::from_utf8_lossy(user), String::from_utf8_lossy(host.unwrap_or(b"%")));
    let message = format!("Operation KILL USER failed for {user}@{host}");
    Err(Error::new(Component::Gateway, Kind::KillDenied, message))
}

/// Who asks for [`query`].
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// Its number.
    pub id: u32,
    /// Its user.
    pub user: &'a [u8],
    /// Where from.
    pub host: &'a str,
    /// What it may see.
    pub powers: Powers,
    /// What it says.
    pub statement: &'a [u8],
    /// On which tablet that will run; `None` when nobody knows yet.
    pub tablet: Option<TabletId>,
}

/// The clients as `information_schema.processlist` for `viewer`: a query that joins the server's own table, of the threads that they
/// use, and has the others by themselves. `None` when they are too many.
///
/// For MariaDB from 10.5 to 11.2, which have these columns.
#[must_use]
pub fn query<'a>(now: Instant, viewer: &Viewer<'_>, processes: impl Iterator<Item = &'a Process>) -> Option<String> {
    let (mut running, mut others) = (String::new(), String::new());
    for (at, process) in processes.enumerate() {
        if at == LISTED_MAX {
            return None;
        }
        if !sees(viewer.user, viewer.powers, process) || process.id == viewer.id {
            continue;
        }
        let (id, user, host) = (process.id, quoted(&process.user), quoted(process.host.as_bytes()));
        let thread = process.thread.filter(|(tablet, _)| Some(*tablet) == viewer.tablet);
        if let Some((_, thread)) = thread {
            let _ = write!(running, " UNION ALL SELECT {thread},{id},{user},{host}");
        } else {
            let lasts = process.lasts(now);
            let schema = process.schema.as_deref().map_or_else(|| "NULL".to_owned(), quoted);
            let info = if process.info.is_empty() { "NULL".to_owned() } else { quoted(&process.info) };
            let _ = write!(
                others,
                " UNION ALL SELECT {id},{user},{host},{schema},{},{},{},{info},{},0,0,0,0,0,0,0,{info},0",
                quoted(process.command.as_bytes()),
                lasts.as_secs(),
                quoted(process.state.as_bytes()),
                lasts.as_millis(),
            );
        }
    }
    let (id, user, host) = (viewer.id, quoted(viewer.user), quoted(viewer.host.as_bytes()));
    let statement = quoted(viewer.statement);
    let info = |column: &str| format!("IF(w.t=CONNECTION_ID(),{statement},p.{column}) {column}");
    Some(format!(
        "SELECT w.i ID,w.u USER,w.h HOST,p.DB,p.COMMAND,p.TIME,p.STATE,{},p.TIME_MS,p.STAGE,p.MAX_STAGE,p.PROGRESS,p.MEMORY_USED,\
         p.MAX_MEMORY_USED,p.EXAMINED_ROWS,p.QUERY_ID,{},p.TID FROM information_schema.PROCESSLIST p JOIN (SELECT CONNECTION_ID() t,{id} i,{user} u,{host} h{running}) w \
         ON p.ID=w.t{others}",
        info("INFO"),
        info("INFO_BINARY"),
    ))
}

/// A text that no SQL mode and no character set reads otherwise.
fn quoted(text: &[u8]) -> String {
    let mut quoted = String::with_capacity(2 * text.len() + 16);
    quoted.push_str("_utf8mb3 X'");
    for byte in text {
        let _ = write!(quoted, "{byte:02x}");
    }
    quoted.push('\'');
    quoted
}

/// The answer to `SHOW PROCESSLIST` by `viewer`, who sees its own account's clients, unless it may see all.
#[must_use]
pub fn table<'a>(
    now: Instant,
    viewer: &[u8],
    powers: Powers,
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
    let rows =
        processes.filter(|process| sees(viewer, powers, process)).map(|process| row(now, full, process)).collect();
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
    status("Threads_connected", &clients.to_string())
}

/// The answer to `SHOW STATUS` of one variable.
#[must_use]
pub fn status(name: &str, value: &str) -> TextResultSet {
    let columns = ["Variable_name", "Value"].map(ColumnDefinition::text).to_vec();
    TextResultSet { columns, rows: vec![[name, value].map(|text| Some(text.as_bytes().to_vec())).to_vec()] }
}

fn row(now: Instant, full: bool, process: &Process) -> TextRow {
    let info = (!process.info.is_empty()).then(|| if full { process.info.clone() } else { beginning(&process.info) });
    vec![
        Some(process.id.to_string().into_bytes()),
        Some(process.user.clone()),
        Some(process.host.clone().into_bytes()),
        process.schema.clone(),
        Some(process.command.as_bytes().to_vec()),
        Some(process.lasts(now).as_secs().to_string().into_bytes()),
        Some(process.state.as_bytes().to_vec()),
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
        Process { id: 7, user: user.into(), command: "Query".into(), info: info.into(), ..Process::default() }
    }

    #[test]
    fn an_account_may_end_its_own_clients_only() {
        assert_eq!(may_kill(b"ann", Powers::default(), 7, Some(b"ann")), Ok(()));
        let code = |outcome: Result<(), Error>| outcome.map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(code(may_kill(b"ann", Powers::default(), 7, None)), "ERROR 1094 (HY000): Unknown thread id: 7");
        assert_eq!(
            code(may_kill(b"ann", Powers::default(), 7, Some(b"bob"))),
            "ERROR 1095 (HY000): You are not owner of thread 7"
        );
        assert!(may_kill(b"ann", Powers::default(), 7, Some(b"")).is_err(), "it has not logged in yet");
    }

    #[test]
    fn the_right_to_end_others_is_for_all_and_who_does_not_see_them_has_none_to_end() {
        let (sees, ends) = (Powers { sees_all: true, ends_all: false }, Powers { sees_all: false, ends_all: true });
        assert_eq!(may_kill(b"ann", ends, 7, Some(b"bob")), Ok(()));
        assert!(may_kill(b"ann", sees, 7, Some(b"bob")).is_err());
        assert_eq!(may_kill_user(b"ann", Powers::default(), b"ann", None), Ok(true));
        assert_eq!(may_kill_user(b"ann", ends, b"bob", None), Ok(true));
        assert_eq!(may_kill_user(b"ann", Powers::default(), b"bob", None), Ok(false));
        let denied = may_kill_user(b"ann", sees, b"bob", None).unwrap_err().to_string();
        assert_eq!(denied, "ERROR 1095 (HY000): Operation KILL USER failed for bob@%");
    }

    #[test]
    fn clients_on_threads_of_the_server_have_its_word_and_others_the_gateways() {
        let tablet = TabletId(1);
        let client = |id, thread| Process { id, thread, ..process("ann", "SELECT 'x'") };
        let list = [client(7, None), client(8, Some((tablet, 80))), client(9, Some((TabletId(2), 90)))];
        let viewer = Viewer {
            id: 7,
            user: b"ann",
            host: "h",
            powers: Powers::default(),
            statement: b"it's",
            tablet: Some(tablet),
        };
        let query = query(Instant::ZERO, &viewer, list.iter()).unwrap();
        assert!(
            query
                .contains("(SELECT CONNECTION_ID() t,7 i,_utf8mb3 X'616e6e' u,_utf8mb3 X'68' h UNION ALL SELECT 80,8,")
        );
        assert!(query.contains("IF(w.t=CONNECTION_ID(),_utf8mb3 X'69742773',p.INFO) INFO"), "no quote ends the text");
        assert!(query.contains(" ON p.ID=w.t UNION ALL SELECT 9,"), "its connection is another server's");
        let many = (0..=LISTED_MAX as u32).map(|id| client(id, None)).collect::<Vec<_>>();
        assert!(super::query(Instant::ZERO, &viewer, many.iter()).is_none());
    }

    #[test]
    fn an_account_sees_its_own_clients_and_how_long_they_have_been_at_it() {
        let list = [process("ann", "SELECT 1"), process("bob", "SELECT 2")];
        let table = table(Instant::ZERO + Duration::from_millis(3500), b"ann", Powers::default(), false, list.iter());
        assert_eq!(table.rows.len(), 1);
        let text = |column: usize| table.rows[0][column].as_deref();
        assert_eq!((text(0), text(5), text(7)), (Some(&b"7"[..]), Some(&b"3"[..]), Some(&b"SELECT 1"[..])));
        assert_eq!(text(3), None, "no schema");
    }

    #[test]
    fn what_another_gateway_has_told_goes_on_here() {
        let (heard, now) = (Instant::ZERO + Duration::from_secs(5), Instant::ZERO + Duration::from_secs(7));
        let process = Process { since: heard, before: Duration::from_secs(60), ..process("ann", "SELECT 1") };
        assert_eq!(process.lasts(now), Duration::from_secs(62), "longer than this process runs");
    }

    #[test]
    fn the_list_of_old_has_no_progress() {
        let table = without_progress(&table(
            Instant::ZERO,
            b"ann",
            Powers::default(),
            false,
            [process("ann", "SELECT 1")].iter(),
        ));
        assert_eq!((table.columns.len(), table.rows[0].len()), (8, 8));
        assert_eq!(table.rows[0][7].as_deref(), Some(&b"SELECT 1"[..]));
    }

    #[test]
    fn a_statement_is_shown_as_a_whole_only_in_full() {
        let long = "é".repeat(150);
        let info = |full| {
            let list = [process("ann", &long)];
            table(Instant::ZERO, b"ann", Powers::default(), full, list.iter()).rows[0][7].clone().unwrap()
        };
        assert_eq!(info(true), long.as_bytes());
        assert_eq!(info(false), "é".repeat(100).as_bytes());
    }
}
