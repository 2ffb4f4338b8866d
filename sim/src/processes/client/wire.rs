//! The client's end of the MySQL protocol: logs in, sends one command at a time, reads its answer.

use crate::world::{ConnId, Ctx};
use weir_core::error::Error;
use weir_core::mysql::auth::{Proof, Secret};
use weir_core::mysql::binary::Value;
use weir_core::mysql::capability::{ASKED_OF_MARIADB, ASKED_OF_SERVERS, CapabilityFlags, MariaDbCapabilities};
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::execute::encode_parameters;
use weir_core::mysql::frame::{PacketReader, write_with};
use weir_core::mysql::handshake::{ClientConfig, ClientEvent, ClientHandshake, RsaKey, TlsMode, Transport};
use weir_core::mysql::packet::{ERR, OK, OkPacket, PrepareOk, ends_rows, parse_err};
use weir_core::mysql::resultset::{parse_binary_row, parse_text_row};
use weir_core::mysql::wire::Reader;

/// The longest packet that a client reads, in bytes.
const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;
const DEPRECATE_EOF: CapabilityFlags = CapabilityFlags::CLIENT_DEPRECATE_EOF;

/// A row, as text.
pub type Row = Vec<Option<Vec<u8>>>;

/// What a client hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It is logged in.
    Ready,
    /// Done.
    Ok(OkPacket),
    /// Refused.
    Error(Error),
    /// A result set.
    Rows(Vec<Row>),
    /// A statement was prepared.
    Prepared {
        /// Its id.
        id: u32,
    },
    /// Bytes that make no sense, or that answer nothing.
    Nonsense,
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    handshake: Option<Box<ClientHandshake>>,
    packets: PacketReader,
    of_mariadb: MariaDbCapabilities,
    expects: Expects,
    columns: Vec<ColumnDefinition>,
    rows: Vec<Row>,
    out: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Nothing,
    Answer {
        binary: bool,
    },
    Prepared,
    /// Definitions of a prepared statement that nobody reads.
    Definitions {
        id: u32,
        left: u32,
    },
    Columns {
        binary: bool,
        left: u64,
    },
    Rows {
        binary: bool,
    },
}

impl Wire {
    /// A connection that has been asked for: the server speaks first. `extended`: it is to have extended metadata.
    #[must_use]
    pub fn new(login: &(String, String), extended: bool) -> Self {
        let mut of_mariadb = ASKED_OF_MARIADB;
        of_mariadb.set(MariaDbCapabilities::EXTENDED_METADATA, extended);
        let config = ClientConfig {
            user: login.0.clone().into_bytes(),
            proof: Proof::Password(Secret::new(login.1.as_bytes())),
            schema: Some(b"test".to_vec()),
            capabilities: ASKED_OF_SERVERS,
            of_mariadb,
            collation: 45,
            max_packet_bytes: PACKET_BYTES_MAX as u32,
            attributes: Vec::new(),
            transport: Transport::Plain,
            tls: TlsMode::Disabled,
            rsa_key: RsaKey::Refused,
        };
        Self {
            handshake: Some(Box::new(ClientHandshake::new(config))),
            packets: PacketReader::new(PACKET_BYTES_MAX),
            of_mariadb,
            expects: Expects::Nothing,
            columns: Vec::new(),
            rows: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Reads the next thing said, if all of it is there.
    pub fn receive(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) -> Option<Said> {
        let (taken, said) = if let Some(handshake) = &mut self.handshake {
            let taken = handshake.handle_bytes(ctx.peek(conn));
            handshake.poll_transmit(&mut self.out);
            let said = match handshake.poll_event() {
                Some(ClientEvent::Ready(_)) => Some(Said::Ready),
                Some(ClientEvent::Failed(error)) => Some(Said::Error(error)),
                _ => None,
            };
            if said == Some(Said::Ready) {
                self.handshake = None;
            }
            (taken, said)
        } else {
            self.read(ctx.peek(conn))
        };
        ctx.consume(conn, taken);
        self.flush(ctx, conn);
        said
    }

    fn flush(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        // Commands are small: the stream takes them whole.
        ctx.write(conn, &self.out);
        self.out.clear();
    }

    fn read(&mut self, bytes: &[u8]) -> (usize, Option<Said>) {
        let mut rest = bytes;
        let mut packets = core::mem::replace(&mut self.packets, PacketReader::new(0));
        let mut said = None;
        // A goodbye answers nothing, and begins to count anew.
        if packets.is_between_packets() && matches!(rest, [_, _, _, 0, ERR, ..]) {
            packets.expect_sequence(0);
        }
        while said.is_none() {
            match packets.next(&mut rest) {
                Ok(Some(packet)) => said = self.packet(packet.payload),
                Ok(None) => break,
                Err(_) => {
                    rest = &[];
                    said = Some(Said::Nonsense);
                }
            }
        }
        self.packets = packets;
        (bytes.len() - rest.len(), said)
    }

    fn packet(&mut self, payload: &[u8]) -> Option<Said> {
        let said = self.next(payload).unwrap_or(Some(Said::Nonsense));
        if said.is_some() {
            self.expects = Expects::Nothing;
        }
        said
    }

    /// `None` for what cannot be read; the inner one when more has to come.
    fn next(&mut self, payload: &[u8]) -> Option<Option<Said>> {
        let first = *payload.first()?;
        let rows_end = ends_rows(first, payload.len(), DEPRECATE_EOF);
        match self.expects {
            _ if first == ERR => Some(Some(Said::Error(parse_err(payload).ok()?))),
            Expects::Nothing => None,
            Expects::Answer { .. } if first == OK => {
                Some(Some(Said::Ok(OkPacket::parse(payload, DEPRECATE_EOF).ok()?)))
            }
            Expects::Answer { binary } => {
                let left = Reader::new(payload).lenenc_int("columns").ok()?;
                self.columns.clear();
                self.expects = Expects::Columns { binary, left };
                Some(None)
            }
            Expects::Prepared => {
                let ok = PrepareOk::parse(payload).ok()?;
                let left = u32::from(ok.columns) + u32::from(ok.parameters);
                if left == 0 {
                    return Some(Some(Said::Prepared { id: ok.statement_id }));
                }
                self.expects = Expects::Definitions { id: ok.statement_id, left };
                Some(None)
            }
            Expects::Definitions { id, left: 1 } => Some(Some(Said::Prepared { id })),
            Expects::Definitions { id, left } => {
                self.expects = Expects::Definitions { id, left: left - 1 };
                Some(None)
            }
            Expects::Columns { binary, left } => {
                self.columns.push(ColumnDefinition::parse(payload, self.of_mariadb).ok()?);
                self.expects =
                    if left == 1 { Expects::Rows { binary } } else { Expects::Columns { binary, left: left - 1 } };
                Some(None)
            }
            Expects::Rows { .. } if rows_end => Some(Some(Said::Rows(core::mem::take(&mut self.rows)))),
            Expects::Rows { binary } => {
                let row = if binary {
                    parse_binary_row(payload, &self.columns).ok()?.into_iter().map(as_text).collect()
                } else {
                    parse_text_row(payload, self.columns.len()).ok()?
                };
                self.rows.push(row);
                Some(None)
            }
        }
    }

    fn send(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, command: &ClientCommand<'_>, expects: Expects) {
        write_with(&mut self.out, &mut 0, |out| command.encode(out));
        self.expects = expects;
        self.packets.expect_sequence(1);
        self.rows.clear();
        self.flush(ctx, conn);
    }

    /// COM_QUERY.
    pub fn query(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, sql: &str) {
        self.send(ctx, conn, &ClientCommand::Query(sql.as_bytes()), Expects::Answer { binary: false });
    }

    /// COM_RESET_CONNECTION.
    pub fn reset(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        self.send(ctx, conn, &ClientCommand::ResetConnection, Expects::Answer { binary: false });
    }

    /// COM_STMT_PREPARE.
    pub fn prepare(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, sql: &str) {
        self.send(ctx, conn, &ClientCommand::Prepare(sql.as_bytes()), Expects::Prepared);
    }

    /// COM_STMT_EXECUTE, with the parameters' types or without them.
    pub fn execute(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, id: u32, values: &[Value], with_types: bool) {
        let mut body = Vec::new();
        encode_parameters(0, values, &mut body);
        if !with_types && !values.is_empty() {
            let flag = 5 + values.len().div_ceil(8);
            body[flag] = 0;
            body.drain(flag + 1..flag + 1 + 2 * values.len());
        }
        let command = ClientCommand::Execute { statement_id: id, body: &body };
        self.send(ctx, conn, &command, Expects::Answer { binary: true });
    }

    /// COM_QUIT, and the end.
    pub fn quit(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        self.send(ctx, conn, &ClientCommand::Quit, Expects::Nothing);
        ctx.close(conn);
    }
}

fn as_text(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        Value::Int(n) => Some(n.to_string().into_bytes()),
        Value::UInt(n) => Some(n.to_string().into_bytes()),
        other => Some(format!("{other:?}").into_bytes()),
    }
}
