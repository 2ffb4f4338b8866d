//! Reading a text result set by column names, old and new.

use super::{CHANNELS_MAX, ERROR_CHARS_MAX};
use crate::gtid::mysql::parse_uuid;
use crate::time::Duration;
use crate::topo::{Address, Observation, Receiver, ServerVersion, SourceLink};

/// A text result set. The caller bounds its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Column names.
    pub columns: Vec<String>,
    /// Values in the order of the columns; `None` is NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Answer {
    /// The value of the first of `names` that is a column. `None` when it is NULL, or there is no such column or row.
    pub(super) fn text(&self, row: usize, names: &[&str]) -> Option<&[u8]> {
        let is_named = |name: &&str| self.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        let column = names.iter().find_map(is_named)?;
        self.rows.get(row)?.get(column)?.as_deref()
    }

    fn string(&self, row: usize, names: &[&str]) -> String {
        String::from_utf8_lossy(self.text(row, names).unwrap_or_default()).into_owned()
    }

    fn number<T: core::str::FromStr>(&self, row: usize, names: &[&str]) -> Option<T> {
        core::str::from_utf8(self.text(row, names)?).ok()?.trim().parse().ok()
    }

    /// Who the server is; the rest of the observation is left open.
    pub(super) fn identity(&self, version: ServerVersion) -> Result<Observation, String> {
        let read_only = self.switch("read_only").ok_or("it does not tell read_only")?;
        Ok(Observation {
            version,
            server_id: self.number(0, &["server_id"]).ok_or("it does not tell server_id")?,
            server_uuid: self.text(0, &["server_uuid"]).and_then(parse_uuid),
            read_only: read_only || self.switch("super_read_only").unwrap_or(false),
            sources: None,
            position: None,
            replicas_connected: None,
            threads_running: None,
        })
    }

    /// A switch, off or in any of its ways of being on (`1`, `ON`, and MariaDB's newer `NO_LOCK`, `NO_LOCK_NO_ADMIN`).
    fn switch(&self, name: &str) -> Option<bool> {
        let value = self.text(0, &[name])?;
        Some(!matches!(value.to_ascii_uppercase().as_slice(), b"0" | b"OFF"))
    }

    /// The one number of a count, or of `SHOW STATUS` with its two columns.
    pub(super) fn count(&self) -> Result<u32, String> {
        let last = self.columns.last().map(String::as_str).unwrap_or_default();
        self.number(0, &[last]).ok_or_else(|| "no such status".into())
    }

    /// The channels with a source. One with neither host nor port has none: it was never told where to replicate from, or it is
    /// one of group replication's own.
    pub(super) fn sources(&self) -> Result<Vec<SourceLink>, String> {
        let rows = 0..self.rows.len().min(CHANNELS_MAX);
        let links = rows.map(|row| self.source(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(links.into_iter().filter(|link| !link.address.host.is_empty() && link.address.port != 0).collect())
    }

    fn source(&self, row: usize) -> Result<SourceLink, String> {
        let host = self.text(row, &["Source_Host", "Master_Host"]).ok_or("no column for the source's host")?;
        Ok(SourceLink {
            channel: self.string(row, &["Channel_Name", "Connection_name"]),
            address: Address {
                host: String::from_utf8_lossy(host).into_owned(),
                port: self.number(row, &["Source_Port", "Master_Port"]).ok_or("no column for the source's port")?,
            },
            server_id: self.number(row, &["Source_Server_Id", "Master_Server_Id"]).unwrap_or(0),
            server_uuid: self.text(row, &["Source_UUID", "Master_UUID"]).and_then(parse_uuid),
            receiver: receiver(self.text(row, &["Replica_IO_Running", "Slave_IO_Running"])),
            applier_running: self.text(row, &["Replica_SQL_Running", "Slave_SQL_Running"]) == Some(b"Yes"),
            lag: self.number(row, &["Seconds_Behind_Source", "Seconds_Behind_Master"]).map(Duration::from_secs),
            error: self.last_error(row),
        })
    }

    /// The errors of both threads, without the statement that failed: it may have anybody's data in it.
    fn last_error(&self, row: usize) -> String {
        let errors = ["Last_IO_Error", "Last_SQL_Error"].map(|name| self.string(row, &[name]));
        let told = errors.iter().map(|error| error.split(" Query: '").next().unwrap_or_default());
        let told: Vec<&str> = told.filter(|error| !error.is_empty()).collect();
        told.join("; ").chars().take(ERROR_CHARS_MAX).collect()
    }
}

/// MariaDB also says `Preparing`, which is before connecting.
fn receiver(text: Option<&[u8]>) -> Receiver {
    match text {
        Some(b"Yes") => Receiver::Connected,
        Some(b"Connecting" | b"Preparing") => Receiver::Connecting,
        _ => Receiver::Stopped,
    }
}
