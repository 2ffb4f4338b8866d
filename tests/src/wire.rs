//! A MySQL client that says whatever it is told to, right or wrong, and tells exactly what comes back.
//!
//! Blocking, without TLS, one command at a time. [`Wire::connect`] is a bare connection, [`Wire::greeted`] one whose greeting
//! has been read, [`Wire::login`] one of the tests' application. What goes out is bytes, packets or commands; what comes
//! back is [`Heard`], or an answer as [`Wire::query`] reads it.

use crate::application;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;
use weir_core::error::Error;
use weir_core::mysql::auth::{Secret, native};
use weir_core::mysql::capability::{ASKED_OF_SERVERS, CapabilityFlags, MariaDbCapabilities, negotiate};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::frame::{FrameHeader, HEADER_BYTES, write_packet};
use weir_core::mysql::handshake::{Greeting, HandshakeResponse, ServerSays};
use weir_core::mysql::packet::{EOF, ERR, OK, PrepareOk, ends_rows, parse_err};
use weir_core::mysql::resultset::{Answer, ResultReader, TextResultSet};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// An answer's size, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The packet size that responses to a greeting name, in bytes.
const PACKET_BYTES_MAX: u32 = 1 << 30;

/// What came back.
#[derive(Clone, PartialEq, Eq)]
pub enum Heard {
    /// A packet's payload.
    Packet(Vec<u8>),
    /// The other end closed or reset the connection.
    Closed,
    /// Nothing, for as long as was waited.
    Nothing,
}

impl Heard {
    /// The error that the packet holds.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        match self {
            Self::Packet(payload) if payload.first() == Some(&ERR) => parse_err(payload).ok(),
            _ => None,
        }
    }

    /// The packet is an OK.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Packet(payload) if payload.first() == Some(&OK))
    }

    /// The packet is the end of rows.
    #[must_use]
    pub fn is_end_of_rows(&self) -> bool {
        matches!(self, Self::Packet(payload) if payload.first() == Some(&EOF))
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.error()) {
            (_, Some(error)) => write!(f, "{error}"),
            (Self::Packet(payload), None) => write!(f, "\"{}\"", payload.escape_ascii()),
            (Self::Closed, None) => f.write_str("closed"),
            (Self::Nothing, None) => f.write_str("nothing"),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// Received, and not handed out yet.
    input: Vec<u8>,
    /// What both ends agreed on; empty before the response to the greeting.
    capabilities: CapabilityFlags,
    /// Sequence id of the next packet, for those who keep to it.
    sequence: u8,
}

impl Wire {
    /// Connects and says nothing.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a listening server");
        stream.set_nodelay(true).expect("a TCP stream");
        Self { stream, input: Vec::new(), capabilities: CapabilityFlags::empty(), sequence: 0 }
    }

    /// Connects and reads the greeting.
    #[must_use]
    pub fn greeted(address: SocketAddr) -> (Self, Greeting) {
        let mut wire = Self::connect(address);
        let Heard::Packet(payload) = wire.hear() else { panic!("{address} does not greet") };
        let greeting =
            Greeting::parse(&payload).unwrap_or_else(|_| panic!("no greeting: {:?}", Heard::Packet(payload)));
        (wire, greeting)
    }

    /// Logs in as the tests' application.
    #[must_use]
    pub fn login(address: SocketAddr) -> Self {
        Self::login_to(address, None)
    }

    /// Logs in as the tests' application with a default schema.
    #[must_use]
    pub fn login_to(address: SocketAddr, schema: Option<&str>) -> Self {
        Self::try_login(address, schema).unwrap_or_else(|heard| panic!("cannot log in at {address}: {heard:?}"))
    }

    /// As [`Wire::login_to`].
    ///
    /// # Errors
    /// What came instead of an OK, be it in the greeting's place.
    pub fn try_login(address: SocketAddr, schema: Option<&str>) -> Result<Self, Heard> {
        Self::try_login_without(address, schema, CapabilityFlags::empty())
    }

    /// As [`Wire::try_login`], without these capabilities.
    ///
    /// # Errors
    /// As [`Wire::try_login`].
    pub fn try_login_without(
        address: SocketAddr,
        schema: Option<&str>,
        without: CapabilityFlags,
    ) -> Result<Self, Heard> {
        let mut wire = Self::connect(address);
        let greeting = match wire.hear() {
            Heard::Packet(payload) => Greeting::parse(&payload).map_err(|_| Heard::Packet(payload))?,
            other => return Err(other),
        };
        let mut response = response(&greeting);
        response.schema = schema.map(|name| name.as_bytes().to_vec());
        response.capabilities -= without;
        match wire.respond(&response) {
            heard if heard.is_ok() => Ok(wire),
            heard => Err(heard),
        }
    }

    /// Answers the greeting, and a change of the authentication method by the application's password; returns the verdict.
    pub fn respond(&mut self, response: &HandshakeResponse) -> Heard {
        let mut payload = Vec::new();
        response.encode(&mut payload);
        self.capabilities = response.capabilities;
        self.send(&payload);
        self.prove(application().password.as_bytes())
    }

    /// The verdict over a login, after a proof of this password by another method if the server wants one.
    pub fn prove(&mut self, password: &[u8]) -> Heard {
        let verdict = self.hear();
        if let Heard::Packet(payload) = &verdict
            && let Ok(ServerSays::Switch { plugin, challenge }) = ServerSays::parse(payload)
        {
            assert_eq!(plugin, b"mysql_native_password", "the tests' client knows this method only");
            let nonce = challenge.strip_suffix(b"\0").unwrap_or(challenge);
            self.send(&native::scramble(password, nonce));
            return self.hear();
        }
        verdict
    }

    /// The stream itself.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What both ends agreed on.
    #[must_use]
    pub fn capabilities(&self) -> CapabilityFlags {
        self.capabilities
    }

    /// Sends bytes; an other end that has closed already is not the sender's business.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a packet with the sequence id that is due.
    pub fn send(&mut self, payload: &[u8]) {
        self.send_as(self.sequence, payload);
    }

    /// Sends a packet with this sequence id.
    pub fn send_as(&mut self, sequence: u8, payload: &[u8]) {
        let mut framed = Vec::with_capacity(payload.len() + HEADER_BYTES);
        self.sequence = sequence;
        write_packet(&mut framed, &mut self.sequence, payload);
        self.send_bytes(&framed);
    }

    /// Sends nothing but the header of a packet.
    pub fn announce(&mut self, sequence: u8, payload_bytes: usize) {
        self.send_bytes(&FrameHeader { payload_bytes, sequence }.encode());
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        // The other end may have closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next packet, for as long as an answer may take.
    pub fn hear(&mut self) -> Heard {
        self.hear_within(ANSWER_TIME_MAX)
    }

    /// The next packet.
    pub fn hear_within(&mut self, limit: Duration) -> Heard {
        self.stream.set_read_timeout(Some(limit)).expect("a limit above zero");
        loop {
            if let Some(payload) = self.take_packet() {
                return Heard::Packet(payload);
            }
            match self.fill() {
                Ok(0) => return Heard::Closed,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Heard::Nothing;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::Closed,
            }
        }
    }

    /// All bytes up to the end of the connection, as they come.
    pub fn hear_bytes(&mut self) -> Vec<u8> {
        self.stream.set_read_timeout(Some(ANSWER_TIME_MAX)).expect("a limit above zero");
        while self.fill().is_ok_and(|read| read > 0) {}
        std::mem::take(&mut self.input)
    }

    /// Whether the other end closes, whatever it says before.
    pub fn hear_end(&mut self) -> bool {
        loop {
            match self.hear() {
                Heard::Packet(_) => {}
                heard => return heard == Heard::Closed,
            }
        }
    }

    fn take_packet(&mut self) -> Option<Vec<u8>> {
        let header = FrameHeader::peek(&self.input)?;
        assert!(!header.continues(), "the tests' client reads packets of one frame only");
        let end = HEADER_BYTES + header.payload_bytes;
        let payload = self.input.get(HEADER_BYTES..end)?.to_vec();
        self.input.drain(..end);
        self.sequence = header.sequence.wrapping_add(1);
        Some(payload)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        let read = self.stream.read(&mut piece)?;
        self.input.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    /// Sends a command.
    pub fn command(&mut self, command: &ClientCommand<'_>) {
        let mut payload = Vec::new();
        command.encode(&mut payload);
        self.send_as(0, &payload);
    }

    /// Sends a command and returns the first packet of its answer.
    pub fn ask(&mut self, command: &ClientCommand<'_>) -> Heard {
        self.command(command);
        self.hear()
    }

    /// Whether it answers a ping.
    pub fn is_usable(&mut self) -> bool {
        self.ask(&ClientCommand::Ping).is_ok()
    }

    /// Runs one statement; no rows when it has none.
    ///
    /// # Errors
    /// What came instead of a result: the server's error, or the end of the connection.
    pub fn query(&mut self, sql: &str) -> Result<TextResultSet, Heard> {
        self.command(&ClientCommand::Query(sql.as_bytes()));
        self.result()
    }

    /// Reads an answer to the end.
    ///
    /// # Errors
    /// As [`Wire::query`].
    pub fn result(&mut self) -> Result<TextResultSet, Heard> {
        let mut reader = ResultReader::new(self.capabilities, ANSWER_BYTES_MAX);
        loop {
            let heard = self.hear();
            let Heard::Packet(payload) = &heard else { return Err(heard) };
            match reader.feed(payload).unwrap_or_else(|error| panic!("{error}: {heard:?}")) {
                Some(Answer::Rows(rows, _)) => return Ok(rows),
                Some(Answer::Ok(_)) => return Ok(TextResultSet::default()),
                Some(Answer::Err(_)) => return Err(heard),
                None => {}
            }
        }
    }

    /// Reads an answer to the end, rows of any protocol included, and returns its last packet.
    pub fn last_packet(&mut self) -> Heard {
        let first = self.hear();
        let Heard::Packet(payload) = &first else { return first };
        if matches!(payload.first(), Some(&(OK | ERR)) | None) {
            return first;
        }
        // Without DEPRECATE_EOF another end comes before, that of the columns.
        let mut ends_before = u8::from(!self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF));
        loop {
            let next = self.hear();
            let Heard::Packet(payload) = &next else { return next };
            let is_end = payload.first().is_some_and(|first| ends_rows(*first, payload.len(), self.capabilities));
            if is_end && (ends_before == 0 || payload[0] == ERR) {
                return next;
            }
            ends_before -= u8::from(is_end);
        }
    }

    /// The first value of a statement's result, as text; empty for NULL.
    pub fn value(&mut self, sql: &str) -> String {
        let rows = self.query(sql).unwrap_or_else(|heard| panic!("{sql}: {heard:?}"));
        let value = rows.rows.first().and_then(|row| row.first()?.clone());
        String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
    }

    /// Runs a statement that must fail.
    #[must_use]
    pub fn refusal(&mut self, sql: &str) -> Error {
        let heard = self.query(sql).expect_err(sql);
        heard.error().unwrap_or_else(|| panic!("{sql}: {heard:?} instead of an error"))
    }

    /// Prepares a statement.
    ///
    /// # Errors
    /// What came instead.
    pub fn prepare(&mut self, sql: &str) -> Result<PrepareOk, Heard> {
        let first = self.ask(&ClientCommand::Prepare(sql.as_bytes()));
        let Heard::Packet(payload) = &first else { return Err(first) };
        let Ok(ok) = PrepareOk::parse(payload) else { return Err(first) };
        let eof = !self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        for group in [ok.parameters, ok.columns].into_iter().filter(|count| *count > 0) {
            for _ in 0..group + u16::from(eof) {
                self.hear();
            }
        }
        Ok(ok)
    }
}

/// A right response to a greeting, of the tests' application.
#[must_use]
pub fn response(greeting: &Greeting) -> HandshakeResponse {
    let account = application();
    let asked = ASKED_OF_SERVERS | CapabilityFlags::CLIENT_CONNECT_WITH_DB | CapabilityFlags::CLIENT_LOCAL_FILES;
    HandshakeResponse {
        capabilities: negotiate(greeting.capabilities, asked),
        of_mariadb: greeting.of_mariadb & MariaDbCapabilities::STMT_BULK_OPERATIONS,
        max_packet_bytes: PACKET_BYTES_MAX,
        collation: 45,
        user: account.user.into_bytes(),
        auth_response: Secret::new(native::scramble(account.password.as_bytes(), &greeting.nonce)),
        schema: None,
        plugin: Some(b"mysql_native_password".to_vec()),
        attributes: Vec::new(),
    }
}
