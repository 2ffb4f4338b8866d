//! What a client asks for: one packet, one command, by its first byte.
//!
//! Every command byte has a name here; which of them are served and which refused is the session's business.
//! Source: MySQL source documentation, "Command Phase"; MariaDB manual, "COM_STMT_BULK_EXECUTE".

use super::ProtocolError;
use super::wire::{Reader, put_nul_str};
use core::fmt;

/// The command bytes.
mod byte {
    use mysql_common::constants::Command;

    pub(super) const SLEEP: u8 = Command::COM_SLEEP as u8;
    pub(super) const QUIT: u8 = Command::COM_QUIT as u8;
    pub(super) const INIT_DB: u8 = Command::COM_INIT_DB as u8;
    pub(super) const QUERY: u8 = Command::COM_QUERY as u8;
    pub(super) const FIELD_LIST: u8 = Command::COM_FIELD_LIST as u8;
    pub(super) const CREATE_DB: u8 = Command::COM_CREATE_DB as u8;
    pub(super) const DROP_DB: u8 = Command::COM_DROP_DB as u8;
    pub(super) const REFRESH: u8 = Command::COM_REFRESH as u8;
    pub(super) const SHUTDOWN: u8 = Command::COM_DEPRECATED_1 as u8;
    pub(super) const STATISTICS: u8 = Command::COM_STATISTICS as u8;
    pub(super) const PROCESS_INFO: u8 = Command::COM_PROCESS_INFO as u8;
    pub(super) const CONNECT: u8 = Command::COM_CONNECT as u8;
    pub(super) const PROCESS_KILL: u8 = Command::COM_PROCESS_KILL as u8;
    pub(super) const DEBUG: u8 = Command::COM_DEBUG as u8;
    pub(super) const PING: u8 = Command::COM_PING as u8;
    pub(super) const TIME: u8 = Command::COM_TIME as u8;
    pub(super) const DELAYED_INSERT: u8 = Command::COM_DELAYED_INSERT as u8;
    pub(super) const CHANGE_USER: u8 = Command::COM_CHANGE_USER as u8;
    pub(super) const BINLOG_DUMP: u8 = Command::COM_BINLOG_DUMP as u8;
    pub(super) const TABLE_DUMP: u8 = Command::COM_TABLE_DUMP as u8;
    pub(super) const CONNECT_OUT: u8 = Command::COM_CONNECT_OUT as u8;
    pub(super) const REGISTER_SLAVE: u8 = Command::COM_REGISTER_SLAVE as u8;
    pub(super) const STMT_PREPARE: u8 = Command::COM_STMT_PREPARE as u8;
    pub(super) const STMT_EXECUTE: u8 = Command::COM_STMT_EXECUTE as u8;
    pub(super) const STMT_SEND_LONG_DATA: u8 = Command::COM_STMT_SEND_LONG_DATA as u8;
    pub(super) const STMT_CLOSE: u8 = Command::COM_STMT_CLOSE as u8;
    pub(super) const STMT_RESET: u8 = Command::COM_STMT_RESET as u8;
    pub(super) const SET_OPTION: u8 = Command::COM_SET_OPTION as u8;
    pub(super) const STMT_FETCH: u8 = Command::COM_STMT_FETCH as u8;
    pub(super) const DAEMON: u8 = Command::COM_DAEMON as u8;
    pub(super) const BINLOG_DUMP_GTID: u8 = Command::COM_BINLOG_DUMP_GTID as u8;
    pub(super) const RESET_CONNECTION: u8 = Command::COM_RESET_CONNECTION as u8;
    /// `mysql_common` has no name for it.
    pub(super) const CLONE: u8 = 32;
    pub(super) const STMT_BULK_EXECUTE: u8 = Command::COM_STMT_BULK_EXECUTE as u8;
}

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
    ChangeUser(Unprinted<'a>),
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

/// Bytes that may hold a password and are left out of `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Unprinted<'a>(pub &'a [u8]);

impl fmt::Debug for Unprinted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unprinted(..)")
    }
}

impl<'a> ClientCommand<'a> {
    /// Reads a command. An empty packet stands for COM_SLEEP, as it does for servers.
    ///
    /// # Errors
    /// `Malformed` when the packet is shorter than its command needs.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        if reader.is_empty() {
            return Ok(Self::Sleep);
        }
        Ok(match reader.u8("command")? {
            byte::SLEEP => Self::Sleep,
            byte::QUIT => Self::Quit,
            byte::INIT_DB => Self::InitDb(reader.rest()),
            byte::QUERY => Self::Query(reader.rest()),
            byte::FIELD_LIST => Self::FieldList { table: reader.nul_str("field list table")?, wildcard: reader.rest() },
            byte::CREATE_DB => Self::CreateDb(reader.rest()),
            byte::DROP_DB => Self::DropDb(reader.rest()),
            byte::REFRESH => Self::Refresh(reader.u8("refresh flags")?),
            byte::SHUTDOWN => Self::Shutdown,
            byte::STATISTICS => Self::Statistics,
            byte::PROCESS_INFO => Self::ProcessInfo,
            byte::CONNECT => Self::Connect,
            byte::PROCESS_KILL => Self::ProcessKill { connection_id: reader.u32("killed connection")? },
            byte::DEBUG => Self::Debug,
            byte::PING => Self::Ping,
            byte::TIME => Self::Time,
            byte::DELAYED_INSERT => Self::DelayedInsert,
            byte::CHANGE_USER => Self::ChangeUser(Unprinted(reader.rest())),
            byte::BINLOG_DUMP => Self::BinlogDump(reader.rest()),
            byte::TABLE_DUMP => Self::TableDump(reader.rest()),
            byte::CONNECT_OUT => Self::ConnectOut,
            byte::REGISTER_SLAVE => Self::RegisterSlave(reader.rest()),
            byte::STMT_PREPARE => Self::Prepare(reader.rest()),
            byte::STMT_EXECUTE => {
                Self::Execute { statement_id: reader.u32("executed statement")?, body: reader.rest() }
            }
            byte::STMT_SEND_LONG_DATA => Self::SendLongData {
                statement_id: reader.u32("long data statement")?,
                parameter: reader.u16("long data parameter")?,
                data: reader.rest(),
            },
            byte::STMT_CLOSE => Self::CloseStatement { statement_id: reader.u32("closed statement")? },
            byte::STMT_RESET => Self::ResetStatement { statement_id: reader.u32("reset statement")? },
            byte::SET_OPTION => Self::SetOption(reader.u16("option")?),
            byte::STMT_FETCH => {
                Self::Fetch { statement_id: reader.u32("fetched statement")?, rows: reader.u32("fetched rows")? }
            }
            byte::DAEMON => Self::Daemon,
            byte::BINLOG_DUMP_GTID => Self::BinlogDumpGtid(reader.rest()),
            byte::RESET_CONNECTION => Self::ResetConnection,
            byte::STMT_BULK_EXECUTE => {
                Self::BulkExecute { statement_id: reader.u32("bulk executed statement")?, body: reader.rest() }
            }
            byte::CLONE => Self::Clone,
            unknown => Self::Unknown(unknown),
        })
    }

    /// The command byte.
    #[must_use]
    pub const fn byte(&self) -> u8 {
        match self {
            Self::Sleep => byte::SLEEP,
            Self::Quit => byte::QUIT,
            Self::InitDb(_) => byte::INIT_DB,
            Self::Query(_) => byte::QUERY,
            Self::FieldList { .. } => byte::FIELD_LIST,
            Self::CreateDb(_) => byte::CREATE_DB,
            Self::DropDb(_) => byte::DROP_DB,
            Self::Refresh(_) => byte::REFRESH,
            Self::Shutdown => byte::SHUTDOWN,
            Self::Statistics => byte::STATISTICS,
            Self::ProcessInfo => byte::PROCESS_INFO,
            Self::Connect => byte::CONNECT,
            Self::ProcessKill { .. } => byte::PROCESS_KILL,
            Self::Debug => byte::DEBUG,
            Self::Ping => byte::PING,
            Self::Time => byte::TIME,
            Self::DelayedInsert => byte::DELAYED_INSERT,
            Self::ChangeUser(_) => byte::CHANGE_USER,
            Self::BinlogDump(_) => byte::BINLOG_DUMP,
            Self::TableDump(_) => byte::TABLE_DUMP,
            Self::ConnectOut => byte::CONNECT_OUT,
            Self::RegisterSlave(_) => byte::REGISTER_SLAVE,
            Self::Prepare(_) => byte::STMT_PREPARE,
            Self::Execute { .. } => byte::STMT_EXECUTE,
            Self::SendLongData { .. } => byte::STMT_SEND_LONG_DATA,
            Self::CloseStatement { .. } => byte::STMT_CLOSE,
            Self::ResetStatement { .. } => byte::STMT_RESET,
            Self::SetOption(_) => byte::SET_OPTION,
            Self::Fetch { .. } => byte::STMT_FETCH,
            Self::Daemon => byte::DAEMON,
            Self::BinlogDumpGtid(_) => byte::BINLOG_DUMP_GTID,
            Self::ResetConnection => byte::RESET_CONNECTION,
            Self::BulkExecute { .. } => byte::STMT_BULK_EXECUTE,
            Self::Clone => byte::CLONE,
            Self::Unknown(byte) => *byte,
        }
    }

    /// Appends the command.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.byte());
        match *self {
            Self::InitDb(text)
            | Self::Query(text)
            | Self::CreateDb(text)
            | Self::DropDb(text)
            | Self::ChangeUser(Unprinted(text))
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
    fn an_empty_packet_is_a_sleep() {
        assert_eq!(ClientCommand::parse(b""), Ok(ClientCommand::Sleep));
    }

    #[test]
    fn a_command_that_is_cut_short_is_malformed() {
        for payload in [&b"\x17\x01\0\0"[..], b"\x18\x01\0\0\0\0", b"\x0c\x01", b"\x04table", b"\x1b\0"] {
            assert!(ClientCommand::parse(payload).is_err(), "{payload:?}");
        }
    }
}
