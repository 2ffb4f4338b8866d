//! What a client asks for: one packet, one command, by its first byte.
//!
//! Every command byte has a name here; which of them are served and which refused is the session's business.
//! Source: MySQL source documentation, "Command Phase"; MariaDB manual, "COM_STMT_BULK_EXECUTE".

use super::ProtocolError;
use super::wire::{Reader, put_nul_str};
use mysql_common::constants::Command as Byte;

/// COM_CLONE, which `mysql_common` has no name for.
const COM_CLONE: u8 = 32;

/// A command, borrowing from the packet it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCommand<'a> {
    /// COM_SLEEP: the server's own.
    Sleep,
    /// COM_QUIT: no answer, the connection closes.
    Quit,
    /// COM_INIT_DB: change of the default schema.
    InitDb(&'a [u8]),
    /// COM_QUERY.
    Query(&'a [u8]),
    /// COM_FIELD_LIST: a table's columns.
    FieldList {
        /// Table.
        table: &'a [u8],
        /// Pattern of column names; empty for all.
        wildcard: &'a [u8],
    },
    /// COM_CREATE_DB.
    CreateDb(&'a [u8]),
    /// COM_DROP_DB.
    DropDb(&'a [u8]),
    /// COM_REFRESH, with what to flush.
    Refresh(u8),
    /// COM_SHUTDOWN.
    Shutdown,
    /// COM_STATISTICS: answered with a string and no OK.
    Statistics,
    /// COM_PROCESS_INFO.
    ProcessInfo,
    /// COM_CONNECT: the server's own.
    Connect,
    /// COM_PROCESS_KILL.
    ProcessKill {
        /// Whom.
        connection_id: u32,
    },
    /// COM_DEBUG.
    Debug,
    /// COM_PING.
    Ping,
    /// COM_TIME: the server's own.
    Time,
    /// COM_DELAYED_INSERT: the server's own.
    DelayedInsert,
    /// COM_CHANGE_USER; see [`super::handshake::HandshakeResponse::parse_change_user`].
    ChangeUser(&'a [u8]),
    /// COM_BINLOG_DUMP.
    BinlogDump(&'a [u8]),
    /// COM_TABLE_DUMP.
    TableDump(&'a [u8]),
    /// COM_CONNECT_OUT: the server's own.
    ConnectOut,
    /// COM_REGISTER_SLAVE.
    RegisterSlave(&'a [u8]),
    /// COM_STMT_PREPARE.
    Prepare(&'a [u8]),
    /// COM_STMT_EXECUTE; see [`super::execute::Execute`].
    Execute {
        /// Which statement.
        statement_id: u32,
        /// Flags, iteration count and parameters.
        body: &'a [u8],
    },
    /// COM_STMT_SEND_LONG_DATA: no answer.
    SendLongData {
        /// Which statement.
        statement_id: u32,
        /// Parameter number, from 0.
        parameter: u16,
        /// The chunk.
        data: &'a [u8],
    },
    /// COM_STMT_CLOSE: no answer.
    CloseStatement {
        /// Which statement.
        statement_id: u32,
    },
    /// COM_STMT_RESET.
    ResetStatement {
        /// Which statement.
        statement_id: u32,
    },
    /// COM_SET_OPTION: 0 turns multi-statements on, 1 off.
    SetOption(u16),
    /// COM_STMT_FETCH.
    Fetch {
        /// Whose cursor.
        statement_id: u32,
        /// How many rows at most.
        rows: u32,
    },
    /// COM_DAEMON: the server's own.
    Daemon,
    /// COM_BINLOG_DUMP_GTID.
    BinlogDumpGtid(&'a [u8]),
    /// COM_RESET_CONNECTION.
    ResetConnection,
    /// COM_CLONE.
    Clone,
    /// MariaDB's COM_STMT_BULK_EXECUTE.
    BulkExecute {
        /// Which statement.
        statement_id: u32,
        /// Flags and parameter sets.
        body: &'a [u8],
    },
    /// A byte that is no command.
    Unknown(u8),
}

impl<'a> ClientCommand<'a> {
    /// Reads a command.
    ///
    /// # Errors
    /// `Malformed` when the packet is empty, or shorter than its command needs.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        let byte = reader.u8("command")?;
        if byte == COM_CLONE {
            return Ok(Self::Clone);
        }
        let Some(known) = known(byte) else { return Ok(Self::Unknown(byte)) };
        Ok(match known {
            Byte::COM_SLEEP => Self::Sleep,
            Byte::COM_QUIT => Self::Quit,
            Byte::COM_INIT_DB => Self::InitDb(reader.rest()),
            Byte::COM_QUERY => Self::Query(reader.rest()),
            Byte::COM_FIELD_LIST => {
                Self::FieldList { table: reader.nul_str("field list table")?, wildcard: reader.rest() }
            }
            Byte::COM_CREATE_DB => Self::CreateDb(reader.rest()),
            Byte::COM_DROP_DB => Self::DropDb(reader.rest()),
            Byte::COM_REFRESH => Self::Refresh(reader.u8("refresh flags")?),
            Byte::COM_DEPRECATED_1 => Self::Shutdown,
            Byte::COM_STATISTICS => Self::Statistics,
            Byte::COM_PROCESS_INFO => Self::ProcessInfo,
            Byte::COM_CONNECT => Self::Connect,
            Byte::COM_PROCESS_KILL => Self::ProcessKill { connection_id: reader.u32("killed connection")? },
            Byte::COM_DEBUG => Self::Debug,
            Byte::COM_PING => Self::Ping,
            Byte::COM_TIME => Self::Time,
            Byte::COM_DELAYED_INSERT => Self::DelayedInsert,
            Byte::COM_CHANGE_USER => Self::ChangeUser(reader.rest()),
            Byte::COM_BINLOG_DUMP => Self::BinlogDump(reader.rest()),
            Byte::COM_TABLE_DUMP => Self::TableDump(reader.rest()),
            Byte::COM_CONNECT_OUT => Self::ConnectOut,
            Byte::COM_REGISTER_SLAVE => Self::RegisterSlave(reader.rest()),
            Byte::COM_STMT_PREPARE => Self::Prepare(reader.rest()),
            Byte::COM_STMT_EXECUTE => {
                Self::Execute { statement_id: reader.u32("executed statement")?, body: reader.rest() }
            }
            Byte::COM_STMT_SEND_LONG_DATA => Self::SendLongData {
                statement_id: reader.u32("long data statement")?,
                parameter: reader.u16("long data parameter")?,
                data: reader.rest(),
            },
            Byte::COM_STMT_CLOSE => Self::CloseStatement { statement_id: reader.u32("closed statement")? },
            Byte::COM_STMT_RESET => Self::ResetStatement { statement_id: reader.u32("reset statement")? },
            Byte::COM_SET_OPTION => Self::SetOption(reader.u16("option")?),
            Byte::COM_STMT_FETCH => {
                Self::Fetch { statement_id: reader.u32("fetched statement")?, rows: reader.u32("fetched rows")? }
            }
            Byte::COM_DAEMON => Self::Daemon,
            Byte::COM_BINLOG_DUMP_GTID => Self::BinlogDumpGtid(reader.rest()),
            Byte::COM_RESET_CONNECTION => Self::ResetConnection,
            Byte::COM_STMT_BULK_EXECUTE => {
                Self::BulkExecute { statement_id: reader.u32("bulk executed statement")?, body: reader.rest() }
            }
            Byte::COM_END => Self::Unknown(byte),
        })
    }

    /// The command byte.
    #[must_use]
    pub const fn byte(&self) -> u8 {
        let known = match self {
            Self::Sleep => Byte::COM_SLEEP,
            Self::Quit => Byte::COM_QUIT,
            Self::InitDb(_) => Byte::COM_INIT_DB,
            Self::Query(_) => Byte::COM_QUERY,
            Self::FieldList { .. } => Byte::COM_FIELD_LIST,
            Self::CreateDb(_) => Byte::COM_CREATE_DB,
            Self::DropDb(_) => Byte::COM_DROP_DB,
            Self::Refresh(_) => Byte::COM_REFRESH,
            Self::Shutdown => Byte::COM_DEPRECATED_1,
            Self::Statistics => Byte::COM_STATISTICS,
            Self::ProcessInfo => Byte::COM_PROCESS_INFO,
            Self::Connect => Byte::COM_CONNECT,
            Self::ProcessKill { .. } => Byte::COM_PROCESS_KILL,
            Self::Debug => Byte::COM_DEBUG,
            Self::Ping => Byte::COM_PING,
            Self::Time => Byte::COM_TIME,
            Self::DelayedInsert => Byte::COM_DELAYED_INSERT,
            Self::ChangeUser(_) => Byte::COM_CHANGE_USER,
            Self::BinlogDump(_) => Byte::COM_BINLOG_DUMP,
            Self::TableDump(_) => Byte::COM_TABLE_DUMP,
            Self::ConnectOut => Byte::COM_CONNECT_OUT,
            Self::RegisterSlave(_) => Byte::COM_REGISTER_SLAVE,
            Self::Prepare(_) => Byte::COM_STMT_PREPARE,
            Self::Execute { .. } => Byte::COM_STMT_EXECUTE,
            Self::SendLongData { .. } => Byte::COM_STMT_SEND_LONG_DATA,
            Self::CloseStatement { .. } => Byte::COM_STMT_CLOSE,
            Self::ResetStatement { .. } => Byte::COM_STMT_RESET,
            Self::SetOption(_) => Byte::COM_SET_OPTION,
            Self::Fetch { .. } => Byte::COM_STMT_FETCH,
            Self::Daemon => Byte::COM_DAEMON,
            Self::BinlogDumpGtid(_) => Byte::COM_BINLOG_DUMP_GTID,
            Self::ResetConnection => Byte::COM_RESET_CONNECTION,
            Self::BulkExecute { .. } => Byte::COM_STMT_BULK_EXECUTE,
            Self::Clone => return COM_CLONE,
            Self::Unknown(byte) => return *byte,
        };
        known as u8
    }

    /// Appends the command.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.byte());
        match *self {
            Self::InitDb(text)
            | Self::Query(text)
            | Self::CreateDb(text)
            | Self::DropDb(text)
            | Self::ChangeUser(text)
            | Self::BinlogDump(text)
            | Self::TableDump(text)
            | Self::RegisterSlave(text)
            | Self::Prepare(text)
            | Self::BinlogDumpGtid(text) => out.extend_from_slice(text),
            Self::FieldList { table, wildcard } => {
                put_nul_str(out, table);
                out.extend_from_slice(wildcard);
            }
            Self::Refresh(flags) => out.push(flags),
            Self::SetOption(option) => out.extend_from_slice(&option.to_le_bytes()),
            Self::ProcessKill { connection_id: id }
            | Self::CloseStatement { statement_id: id }
            | Self::ResetStatement { statement_id: id } => out.extend_from_slice(&id.to_le_bytes()),
            Self::Execute { statement_id, body } | Self::BulkExecute { statement_id, body } => {
                out.extend_from_slice(&statement_id.to_le_bytes());
                out.extend_from_slice(body);
            }
            Self::SendLongData { statement_id, parameter, data } => {
                out.extend_from_slice(&statement_id.to_le_bytes());
                out.extend_from_slice(&parameter.to_le_bytes());
                out.extend_from_slice(data);
            }
            Self::Fetch { statement_id, rows } => {
                out.extend_from_slice(&statement_id.to_le_bytes());
                out.extend_from_slice(&rows.to_le_bytes());
            }
            Self::Sleep
            | Self::Quit
            | Self::Shutdown
            | Self::Statistics
            | Self::ProcessInfo
            | Self::Connect
            | Self::Debug
            | Self::Ping
            | Self::Time
            | Self::DelayedInsert
            | Self::ConnectOut
            | Self::Daemon
            | Self::ResetConnection
            | Self::Clone
            | Self::Unknown(_) => {}
        }
    }

    /// The server says nothing to it, not even when it fails.
    #[must_use]
    pub const fn has_no_answer(&self) -> bool {
        matches!(self, Self::Quit | Self::SendLongData { .. } | Self::CloseStatement { .. })
    }
}

/// The command of this byte, if it is one.
fn known(byte: u8) -> Option<Byte> {
    const ALL: [Byte; 33] = [
        Byte::COM_SLEEP,
        Byte::COM_QUIT,
        Byte::COM_INIT_DB,
        Byte::COM_QUERY,
        Byte::COM_FIELD_LIST,
        Byte::COM_CREATE_DB,
        Byte::COM_DROP_DB,
        Byte::COM_REFRESH,
        Byte::COM_DEPRECATED_1,
        Byte::COM_STATISTICS,
        Byte::COM_PROCESS_INFO,
        Byte::COM_CONNECT,
        Byte::COM_PROCESS_KILL,
        Byte::COM_DEBUG,
        Byte::COM_PING,
        Byte::COM_TIME,
        Byte::COM_DELAYED_INSERT,
        Byte::COM_CHANGE_USER,
        Byte::COM_BINLOG_DUMP,
        Byte::COM_TABLE_DUMP,
        Byte::COM_CONNECT_OUT,
        Byte::COM_REGISTER_SLAVE,
        Byte::COM_STMT_PREPARE,
        Byte::COM_STMT_EXECUTE,
        Byte::COM_STMT_SEND_LONG_DATA,
        Byte::COM_STMT_CLOSE,
        Byte::COM_STMT_RESET,
        Byte::COM_SET_OPTION,
        Byte::COM_STMT_FETCH,
        Byte::COM_DAEMON,
        Byte::COM_BINLOG_DUMP_GTID,
        Byte::COM_RESET_CONNECTION,
        Byte::COM_STMT_BULK_EXECUTE,
    ];
    ALL.into_iter().find(|known| *known as u8 == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_some_command_and_keeps_its_byte() {
        for byte in 0..=255 {
            let payload = [byte, 1, 0, 0, 0, 2, 0, 0, 0, 3];
            let command = ClientCommand::parse(&payload).unwrap();
            assert_eq!(command.byte(), byte);
            let unknown = (33..=249).contains(&byte) || byte > 250;
            assert_eq!(matches!(command, ClientCommand::Unknown(_)), unknown, "{byte}");
        }
    }

    #[test]
    fn a_command_borrows_its_text() {
        assert_eq!(ClientCommand::parse(b"\x03SELECT 1"), Ok(ClientCommand::Query(b"SELECT 1")));
        let columns = ClientCommand::FieldList { table: b"t", wildcard: b"%" };
        assert_eq!(ClientCommand::parse(b"\x04t\0%"), Ok(columns));
    }

    #[test]
    fn a_command_that_is_cut_short_is_malformed() {
        for payload in [&b""[..], b"\x17\x01\0\0", b"\x18\x01\0\0\0\0", b"\x0c\x01", b"\x04table", b"\x1b\0"] {
            assert!(ClientCommand::parse(payload).is_err(), "{payload:?}");
        }
    }
}
