//! One client command on its way to a server.

use super::{Asks, OWN_FORMAT, Settings};
use crate::gtid::Position;
use crate::mysql::command::ClientCommand;
use crate::time::Duration;
use crate::trace::Context;
use std::sync::Arc;

/// One client command, with everything that must be true of the server connection that runs it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Schema and variables that must hold on the connection when the command runs.
    pub settings: Arc<Settings>,
    /// What `LAST_INSERT_ID()` must return, when the command mentions it and the connection is not known to agree.
    pub last_insert_id: Option<u64>,
    /// The command itself.
    pub command: Command,
    /// The command provably changes nothing: it may be pipelined behind what makes the connection ready, and run again when
    /// its outcome is not known.
    pub read_only: bool,
    /// The variables that the command sets hold for itself only (`SET STATEMENT ... FOR`): what trackers say of them is not so
    /// afterwards.
    pub restores_variables: bool,
    /// The answer's rows are summed up in a [`Digest`](super::Digest) on their way.
    pub digests: bool,
    /// What is asked after the answer, for the next command that wants to know what this one left.
    pub asks: Asks,
    /// For a read on a replica: the position the server must have executed before the command runs.
    pub wait: Option<Wait>,
    /// How the client reads packets.
    pub client: ClientFormat,
    /// On whose behalf it is made.
    pub caller: Caller,
    /// The span that it is under, when spans are made of its statement.
    pub trace: Option<Context>,
}

/// On whose behalf a request is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Nobody has said.
    #[default]
    Unknown,
    /// Weir itself.
    Weir,
    /// A client.
    Client(Arc<ClientName>),
}

/// Who a client is, as it logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName {
    /// The user.
    pub user: Vec<u8>,
    /// Where it comes from.
    pub host: String,
}

impl Request {
    /// A query of Weir's own, on a connection that nobody else uses: it wants nothing but its answer, in [`OWN_FORMAT`].
    #[must_use]
    pub fn own(settings: Arc<Settings>, sql: &str) -> Self {
        let mut payload = Vec::new();
        ClientCommand::Query(sql.as_bytes()).encode(&mut payload);
        Self {
            settings,
            last_insert_id: None,
            command: Command::Plain(payload),
            read_only: true,
            restores_variables: false,
            digests: false,
            asks: Asks::empty(),
            wait: None,
            client: OWN_FORMAT,
            caller: Caller::Weir,
            trace: None,
        }
    }
}

/// A position to wait for in the same round trip as the read.
#[derive(Clone, Debug)]
pub struct Wait {
    /// What must have been executed.
    pub position: Position,
    /// How long the server may wait before the read is given up (the read's result is then discarded).
    pub timeout: Duration,
}

/// The parts of the client's negotiated capabilities that shape a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFormat {
    /// CLIENT_DEPRECATE_EOF: no EOF between columns and rows, and an OK packet at the end.
    pub deprecate_eof: bool,
    /// MariaDB's progress reports: packets in the place of an error's, ahead of the answer.
    pub progress: bool,
}

/// The commands that reach a server. Payloads are without packet headers; the connection frames them.
#[derive(Clone, Debug)]
pub enum Command {
    /// A command that is passed on as it stands (COM_QUERY, COM_INIT_DB, COM_FIELD_LIST, ...): command byte first.
    Plain(Vec<u8>),
    /// COM_STMT_PREPARE of a statement the connection may already hold.
    Prepare(Arc<Statement>),
    /// COM_STMT_EXECUTE, or MariaDB's COM_STMT_BULK_EXECUTE: the statement is prepared first when the connection does not hold
    /// it.
    Execute {
        /// What to execute.
        statement: Arc<Statement>,
        /// The client's packet after command byte and statement id: flags, iteration count, parameters. The parameter
        /// types are always present (the session adds them when the client left them out).
        payload: Vec<u8>,
        /// COM_STMT_SEND_LONG_DATA chunks to send before it, in order.
        long_data: Vec<LongData>,
        /// COM_STMT_BULK_EXECUTE.
        bulk: bool,
    },
    /// COM_STMT_FETCH from the cursor that an execute on this same connection opened.
    Fetch {
        /// Whose cursor.
        statement: Arc<Statement>,
        /// How many rows at most.
        rows: u32,
    },
    /// COM_STMT_RESET: closes the cursor on this same connection.
    ResetStatement(Arc<Statement>),
    /// COM_RESET_CONNECTION, to give back a connection whose session ended or reset itself.
    ResetConnection,
}

/// A chunk of COM_STMT_SEND_LONG_DATA.
#[derive(Clone, Debug)]
pub struct LongData {
    /// Parameter number, from 0.
    pub parameter: u16,
    /// The chunk.
    pub data: Vec<u8>,
}

/// A prepared statement, the same for every session that prepared the same text under the same settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement {
    /// The text.
    pub sql: Vec<u8>,
    /// The settings it was prepared under: its names and literals are read in their light.
    pub settings: Arc<Settings>,
}
