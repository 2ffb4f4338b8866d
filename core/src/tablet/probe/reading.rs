//! Reading a result set by column names, old and new.

use super::{CHANNELS_MAX, ERROR_CHARS_MAX};
use crate::gtid::mysql::parse_uuid;
use crate::mysql::resultset::TextResultSet;
use crate::time::Duration;
use crate::topo::{Address, Observation, Receiver, ServerVersion, SourceLink};

/// The value under the first of `names` that the result set has a value for.
pub(super) fn text<'a>(result: &'a TextResultSet, row: usize, names: &[&str]) -> Option<&'a [u8]> {
    names.iter().find_map(|name| result.value(row, name))
}

fn string(result: &TextResultSet, row: usize, names: &[&str]) -> String {
    String::from_utf8_lossy(text(result, row, names).unwrap_or_default()).into_owned()
}

fn number<T: core::str::FromStr>(result: &TextResultSet, row: usize, names: &[&str]) -> Option<T> {
    core::str::from_utf8(text(result, row, names)?).ok()?.parse().ok()
}

/// Who the server is; the rest of the observation is left open.
pub(super) fn identity(version: ServerVersion, result: &TextResultSet) -> Result<Observation, String> {
    let read_only = switch(result, "read_only").ok_or("it does not tell read_only")?;
    Ok(Observation {
        version,
        server_id: number(result, 0, &["server_id"]).ok_or("it does not tell server_id")?,
        server_uuid: text(result, 0, &["server_uuid"]).and_then(parse_uuid),
        read_only: read_only || switch(result, "super_read_only").unwrap_or(false),
        sources: None,
        position: None,
        replicas_connected: None,
        threads_running: None,
        beat: None,
        group: None,
    })
}

/// A switch, off or in any of its ways of being on (`1`, `ON`, and MariaDB's newer `NO_LOCK`, `NO_LOCK_NO_ADMIN`).
pub(super) fn switch(result: &TextResultSet, name: &str) -> Option<bool> {
    let value = result.value(0, name)?;
    Some(!matches!(value.to_ascii_uppercase().as_slice(), b"0" | b"OFF"))
}

/// The one number of a count, or of a row of `SHOW STATUS`.
pub(super) fn count(result: &TextResultSet, status: &str) -> Result<u32, String> {
    let is_it = |row: &usize| result.value(*row, "Variable_name").is_none_or(|name| name == status.as_bytes());
    let row = (0..result.rows.len()).find(is_it).ok_or("no such status")?;
    number(result, row, &["replicas", "Value"]).ok_or_else(|| "no number".into())
}

/// The number in the heartbeat table.
pub(super) fn beat(result: &TextResultSet) -> Result<u64, String> {
    number(result, 0, &["beat"]).ok_or_else(|| "no heartbeat".into())
}

/// The channels with a source. One with neither host nor port has none: it was never told where to replicate from, or it is
/// one of group replication's own.
pub(super) fn sources(result: &TextResultSet) -> Result<Vec<SourceLink>, String> {
    let rows = 0..result.rows.len().min(CHANNELS_MAX);
    let links = rows.map(|row| source(result, row)).collect::<Result<Vec<_>, _>>()?;
    Ok(links.into_iter().filter(|link| !link.address.host.is_empty() && link.address.port != 0).collect())
}

fn source(result: &TextResultSet, row: usize) -> Result<SourceLink, String> {
    let text = |names| text(result, row, names);
    let host = text(&["Source_Host", "Master_Host"]).ok_or("no column for the source's host")?;
    let port = number(result, row, &["Source_Port", "Master_Port"]).ok_or("no column for the source's port")?;
    Ok(SourceLink {
        channel: string(result, row, &["Channel_Name", "Connection_name"]),
        address: Address { host: String::from_utf8_lossy(host).into_owned(), port },
        server_id: number(result, row, &["Source_Server_Id", "Master_Server_Id"]).unwrap_or(0),
        server_uuid: text(&["Source_UUID", "Master_UUID"]).and_then(parse_uuid),
        receiver: receiver(text(&["Replica_IO_Running", "Slave_IO_Running"])),
        applier_running: text(&["Replica_SQL_Running", "Slave_SQL_Running"]) == Some(b"Yes"),
        lag: number(result, row, &["Seconds_Behind_Source", "Seconds_Behind_Master"]).map(Duration::from_secs),
        error: last_error(result, row),
    })
}

/// The errors of both threads, without the statement that failed: it may have anybody's data in it.
fn last_error(result: &TextResultSet, row: usize) -> String {
    let errors = ["Last_IO_Error", "Last_SQL_Error"].map(|name| string(result, row, &[name]));
    let told = errors.iter().map(|error| error.split(" Query: '").next().unwrap_or_default());
    let told: Vec<&str> = told.filter(|error| !error.is_empty()).collect();
    told.join("; ").chars().take(ERROR_CHARS_MAX).collect()
}

/// MariaDB also says `Preparing`, which is before connecting.
fn receiver(text: Option<&[u8]>) -> Receiver {
    match text {
        Some(b"Yes") => Receiver::Connected,
        Some(b"Connecting" | b"Preparing") => Receiver::Connecting,
        _ => Receiver::Stopped,
    }
}
