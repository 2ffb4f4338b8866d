//! What of a request is judged, and how its text is read.

use super::Schema;
use crate::link::{Command, Request, Settings};
use crate::mysql::collation;
use crate::mysql::command::ClientCommand;
use crate::sql::Dialect;
use crate::sql::tables::{self, Touches};
use std::collections::BTreeMap;
use std::sync::Arc;

/// SERVER_STATUS_NO_BACKSLASH_ESCAPES.
const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
/// SERVER_STATUS_ANSI_QUOTES, of MariaDB.
const ANSI_QUOTES: u16 = 0x8000;
/// Statements whose tables are remembered, at most.
const KNOWN_MAX: usize = 1024;
/// The longest of them, in bytes.
const KNOWN_BYTES_MAX: usize = 16 * 1024;

/// What a connection's server is, as it logged in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// It tells of changes of its sessions.
    pub tracks: bool,
    /// It is a MariaDB.
    pub is_mariadb: bool,
    /// It is one from 10.11 on: see [`Dialect::mariadb`].
    pub is_recent_mariadb: bool,
    /// The status of a session in which nothing has been set.
    pub status: u16,
}

/// What is judged of a request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What is to be looked at.
    pub subject: Subject<'a>,
    /// What holds for it.
    settings: &'a Settings,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A text that is run once.
    Text(&'a [u8]),
    /// A statement that may be run again: its tables are to be [remembered](Known).
    Prepared(&'a [u8]),
    /// The columns of a table.
    Columns(&'a [u8]),
    /// A command of which nothing is known.
    Command,
}

/// What of `request` is to be judged; `None`: nothing that touches a table.
#[must_use]
pub fn ask(request: &Request) -> Option<Ask<'_>> {
    let (subject, settings) = match &request.command {
        Command::Plain(payload) => (plain(payload)?, &*request.settings),
        Command::Prepare(statement) | Command::Execute { statement, .. } => {
            (Subject::Prepared(&statement.sql), &*statement.settings)
        }
        Command::Fetch { .. } | Command::ResetStatement(_) | Command::ResetConnection => return None,
    };
    Some(Ask { subject, settings })
}

fn plain(payload: &[u8]) -> Option<Subject<'_>> {
    match ClientCommand::parse(payload) {
        Ok(ClientCommand::Query(sql)) => Some(Subject::Text(sql)),
        Ok(ClientCommand::FieldList { table, .. }) => Some(Subject::Columns(table)),
        Ok(
            ClientCommand::InitDb(_) | ClientCommand::Ping | ClientCommand::Statistics | ClientCommand::SetOption(_),
        ) => None,
        Ok(_) | Err(_) => Some(Subject::Command),
    }
}

impl<'a> Ask<'a> {
    /// The schema of names without one.
    #[must_use]
    pub fn schema(&self, server: Server) -> Schema<'a> {
        match &self.settings.schema {
            _ if !server.tracks => Schema::Untold,
            Some(schema) if tables::is_certain_name(schema) => Schema::Default(schema),
            Some(_) => Schema::Untold,
            None => Schema::None,
        }
    }

    /// What it touches.
    #[must_use]
    pub fn touches(&self, server: Server) -> Touches {
        let Some(reading) = self.reading(server) else { return Touches::Unknown };
        match self.subject {
            Subject::Text(sql) | Subject::Prepared(sql) => reading.touches(sql),
            Subject::Columns(table) => tables::field_list(table),
            Subject::Command => Touches::Unknown,
        }
    }

    /// `None` when nobody knows how the server reads.
    fn reading(&self, server: Server) -> Option<Reading> {
        let text = |name: &str| self.settings.variables.get(name).map(Vec::as_slice);
        let modes = text("sql_mode");
        let has = |mode: &[u8]| {
            let is_it = |name: &[u8]| name.eq_ignore_ascii_case(mode);
            modes.is_some_and(|modes| modes.split(|byte| *byte == b',').any(is_it))
        };
        if has(b"ORACLE") {
            return None;
        }
        let by_default = |bit: u16| modes.is_none() && server.status & bit != 0;
        let dialect = Dialect {
            ansi_quotes: has(b"ANSI_QUOTES") || has(b"ANSI") || server.is_mariadb && by_default(ANSI_QUOTES),
            no_backslash_escapes: has(b"NO_BACKSLASH_ESCAPES") || by_default(NO_BACKSLASH_ESCAPES),
            unsafe_charset: !server.tracks || text("character_set_client").is_some_and(collation::is_unsafe),
            mariadb: server.is_recent_mariadb,
        };
        let quotes_untold = modes.is_none() && !server.is_mariadb;
        Some(Reading { dialect, quotes_untold, is_untold: !server.tracks })
    }
}

/// How a server reads text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    dialect: Dialect,
    /// It may have ANSI_QUOTES by default, which it does not tell.
    quotes_untold: bool,
    /// It does not tell of its `sql_mode` at all.
    is_untold: bool,
}

impl Reading {
    fn touches(self, sql: &[u8]) -> Touches {
        let has = |bytes: &[u8]| sql.iter().any(|byte| bytes.contains(byte));
        if self.is_untold && has(b"\"\\") {
            return Touches::Unknown;
        }
        let touches = tables::touches(sql, self.dialect);
        let other = Dialect { ansi_quotes: !self.dialect.ansi_quotes, ..self.dialect };
        let is_certain = !self.quotes_untold || !has(b"\"") || tables::touches(sql, other) == touches;
        if is_certain { touches } else { Touches::Unknown }
    }
}

/// What prepared statements touch. It forgets all when it is full.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<Vec<u8>, (Reading, Arc<Touches>)>);

impl Known {
    /// As [`Ask::touches`].
    pub fn touches(&mut self, ask: &Ask<'_>, server: Server) -> Arc<Touches> {
        let (Subject::Prepared(sql), Some(reading)) = (ask.subject, ask.reading(server)) else {
            return Arc::new(ask.touches(server));
        };
        if let Some((known, touches)) = self.0.get(sql)
            && *known == reading
        {
            return Arc::clone(touches);
        }
        let touches = Arc::new(reading.touches(sql));
        if sql.len() <= KNOWN_BYTES_MAX {
            if self.0.len() >= KNOWN_MAX {
                self.0.clear();
            }
            self.0.insert(sql.to_vec(), (reading, Arc::clone(&touches)));
        }
        touches
    }
}
