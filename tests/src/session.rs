//! A client session with a server: blocking, and made for tests that run thousands of statements or speak in raw bytes.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use weir_core::error::Error as ServerError;
use weir_core::mysql::ProtocolError;
use weir_core::mysql::auth::{Proof, Secret};
use weir_core::mysql::capability::{ASKED_OF_SERVERS, CapabilityFlags, MariaDbCapabilities, StatusFlags};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::frame::{FrameHeader, HEADER_BYTES, write_with};
use weir_core::mysql::handshake::{ClientConfig, ClientEvent, ClientHandshake, RsaKey, TlsMode, Transport};
use weir_core::mysql::packet::{ERR, PrepareOk, parse_err};
use weir_core::mysql::resultset::{Answer, ResultReader};
use weir_core::mysql::wire::Reader;
use weir_io::servers::Account;

/// The longest silence of a server.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Definitions and rows of one result, in bytes.
const RESULT_BYTES_MAX: usize = 16 << 20;
/// Collation `utf8mb4_general_ci`.
const UTF8MB4: u16 = 45;

/// A connection that has logged in. It may send several statements in one text.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<TcpStream>,
    capabilities: CapabilityFlags,
}

impl Session {
    /// Logs in at `address`.
    ///
    /// # Errors
    /// Those of the connection, and a refusal.
    pub fn open(address: SocketAddr, account: &Account, schema: Option<&str>) -> io::Result<Self> {
        Self::open_as(address, account, schema, ASKED_OF_SERVERS)
    }

    /// Logs in as a client of these capabilities.
    ///
    /// # Errors
    /// Those of the connection, and a refusal.
    pub fn open_as(
        address: SocketAddr,
        account: &Account,
        schema: Option<&str>,
        capabilities: CapabilityFlags,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let mut session = Self { stream: BufReader::new(stream), capabilities: CapabilityFlags::empty() };
        session.log_in(ClientHandshake::new(ClientConfig {
            user: account.user.clone().into_bytes(),
            proof: Proof::Password(Secret::new(account.password.clone())),
            schema: schema.map(|schema| schema.as_bytes().to_vec()),
            capabilities: capabilities | CapabilityFlags::CLIENT_MULTI_STATEMENTS,
            of_mariadb: MariaDbCapabilities::STMT_BULK_OPERATIONS,
            collation: UTF8MB4,
            max_packet_bytes: RESULT_BYTES_MAX as u32,
            attributes: Vec::new(),
            transport: Transport::Plain,
            tls: TlsMode::Disabled,
            rsa_key: RsaKey::Refused,
        }))?;
        Ok(session)
    }

    fn log_in(&mut self, mut handshake: ClientHandshake) -> io::Result<()> {
        loop {
            let mut bytes = Vec::new();
            if handshake.poll_transmit(&mut bytes) {
                self.stream.get_mut().write_all(&bytes)?;
            }
            match handshake.poll_event() {
                Some(ClientEvent::Ready(server)) => {
                    self.capabilities = server.capabilities;
                    return Ok(());
                }
                Some(event) => return Err(io::Error::other(format!("{event:?}"))),
                None => {
                    let (header, payload) = self.frame()?;
                    handshake.handle_bytes(&[&header.encode(), payload.as_slice()].concat());
                }
            }
        }
    }

    /// Runs a text of one statement or several: an answer for each, up to the first that fails.
    ///
    /// # Errors
    /// Those of the connection. A failed statement is an answer.
    pub fn run(&mut self, sql: &[u8]) -> io::Result<Vec<Answer>> {
        self.send(&ClientCommand::Query(sql))?;
        let mut answers = Vec::new();
        loop {
            let answer = self.answer()?;
            let status = match &answer {
                Answer::Ok(ok) | Answer::Rows(_, ok) => StatusFlags::from_bits_truncate(ok.status),
                Answer::Err(_) => StatusFlags::empty(),
            };
            answers.push(answer);
            if !status.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS) {
                return Ok(answers);
            }
        }
    }

    /// Runs one statement: all values of its rows as text, NULL as nothing.
    ///
    /// # Panics
    /// When it fails.
    pub fn values(&mut self, sql: &str) -> Vec<String> {
        let answers = self.run(sql.as_bytes()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let values = |answer| match answer {
            Answer::Rows(set, _) => set.rows.into_iter().flatten().map(Option::unwrap_or_default).collect(),
            Answer::Ok(_) => Vec::new(),
            Answer::Err(error) => panic!("{sql}: {} {}", error.code, String::from_utf8_lossy(&error.message)),
        };
        let all: Vec<Vec<u8>> = answers.into_iter().flat_map(values).collect();
        all.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Prepares one statement without parameters and executes it: the values of its first row, all of which must be text.
    ///
    /// # Panics
    /// When it fails, or has no row.
    pub fn execute(&mut self, sql: &str) -> Vec<String> {
        self.try_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_execute(&mut self, sql: &str) -> io::Result<Vec<String>> {
        let prepared = self.prepare_to_keep(sql)?;
        let values = self.execute_again(&prepared)?;
        self.send(&ClientCommand::CloseStatement { statement_id: prepared.statement_id })?;
        Ok(values)
    }

    /// Prepares one statement without parameters, for [`Session::execute_again`].
    ///
    /// # Errors
    /// Those of the connection, and a refusal.
    pub fn prepare_to_keep(&mut self, sql: &str) -> io::Result<PrepareOk> {
        self.prepare_only(sql.as_bytes())?.map_err(io::Error::other)
    }

    /// Executes what was prepared: the values of its first row, all of which must be text; none of a statement that has no rows at all.
    ///
    /// # Errors
    /// Those of the connection, a refusal, and when there is no row.
    pub fn execute_again(&mut self, prepared: &PrepareOk) -> io::Result<Vec<String>> {
        let (statement_id, columns) = (prepared.statement_id, usize::from(prepared.columns));
        // No cursor, executed once.
        self.send(&ClientCommand::Execute { statement_id, body: &[0, 1, 0, 0, 0] })?;
        let first = self.packet()?;
        if first.first() == Some(&ERR) {
            return Err(io::Error::other(parse_err(&first).map_err(malformed)?));
        }
        if columns == 0 {
            // What has no rows is answered by one packet.
            return Ok(Vec::new());
        }
        for _definition in 0..columns {
            self.packet()?;
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.packet()?;
            match packet.first() {
                Some(&0) => rows.push(packet),
                Some(&ERR) => return Err(io::Error::other(parse_err(&packet).map_err(malformed)?)),
                _ => break,
            }
        }
        let row = rows.first().ok_or_else(|| io::Error::other("no row"))?;
        // Behind the header and the bitmap of NULLs, which begins with two bits of no column.
        let mut values = Reader::new(&row[1 + (columns + 2).div_ceil(8)..]);
        let mut text = || values.lenenc_str("value").map(|value| String::from_utf8_lossy(value).into_owned());
        (0..columns).map(|_| text().map_err(malformed)).collect()
    }

    /// Parses one statement without running it: what the server counts in it, or its refusal.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn prepare(&mut self, sql: &[u8]) -> io::Result<Result<PrepareOk, ServerError>> {
        let prepared = self.prepare_only(sql)?;
        if let Ok(PrepareOk { statement_id, .. }) = prepared {
            self.send(&ClientCommand::CloseStatement { statement_id })?;
        }
        Ok(prepared)
    }

    fn prepare_only(&mut self, sql: &[u8]) -> io::Result<Result<PrepareOk, ServerError>> {
        self.send(&ClientCommand::Prepare(sql))?;
        let payload = self.packet()?;
        if payload.first() == Some(&ERR) {
            return parse_err(&payload).map(Err).map_err(malformed);
        }
        let prepared = PrepareOk::parse(&payload).map_err(malformed)?;
        for _definition in 0..prepared.parameters + prepared.columns {
            self.packet()?;
        }
        Ok(Ok(prepared))
    }

    /// Forgets transactions, variables, locks and temporary tables. The schema stays.
    ///
    /// # Errors
    /// Those of the connection, and a refusal.
    pub fn reset(&mut self) -> io::Result<()> {
        self.send(&ClientCommand::ResetConnection)?;
        self.simple_answer()
    }

    /// Asks for the columns of a table, and is refused.
    ///
    /// # Errors
    /// Those of the connection, and the refusal.
    pub fn columns_of(&mut self, table: &[u8]) -> io::Result<()> {
        self.send(&ClientCommand::FieldList { table, wildcard: b"" })?;
        self.simple_answer()
    }

    fn simple_answer(&mut self) -> io::Result<()> {
        let payload = self.packet()?;
        match payload.first() {
            Some(&ERR) => Err(io::Error::other(format!("{:?}", parse_err(&payload)))),
            _ => Ok(()),
        }
    }

    fn send(&mut self, command: &ClientCommand<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        write_with(&mut bytes, &mut 0, |out| command.encode(out));
        self.stream.get_mut().write_all(&bytes)
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut reader = ResultReader::new(self.capabilities, RESULT_BYTES_MAX);
        loop {
            let payload = self.packet()?;
            if let Some(answer) = reader.feed(&payload).map_err(malformed)? {
                return Ok(answer);
            }
        }
    }

    fn packet(&mut self) -> io::Result<Vec<u8>> {
        let (mut header, mut payload) = self.frame()?;
        while header.continues() {
            let (next, more) = self.frame()?;
            payload.extend(more);
            header = next;
        }
        Ok(payload)
    }

    fn frame(&mut self) -> io::Result<(FrameHeader, Vec<u8>)> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        let header = FrameHeader::decode(header);
        let mut payload = vec![0; header.payload_bytes];
        self.stream.read_exact(&mut payload)?;
        Ok((header, payload))
    }
}

fn malformed(error: ProtocolError) -> io::Error {
    io::Error::other(format!("{error:?}"))
}
