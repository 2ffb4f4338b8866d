//! The server's end of the wire: one machine per client connection, between bytes and [`Server`].
//!
//! It shares the codec with the gateway it talks to, since the codec is proven elsewhere against real servers and drivers.

mod answer;

use super::error::SqlError;
use super::server::Server;
use super::session::{Outcome, SessionId};
use super::sql::Statement;
use super::value::Value;
use answer::{Answer, Format};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use weir_core::mysql::auth::{AuthPlugin, Credential, NONCE_BYTES, Nonce, Secret};
use weir_core::mysql::capability::{Agreed, CapabilityFlags, offered_as_mariadb};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::execute::Execute;
use weir_core::mysql::frame::PacketReader;
use weir_core::mysql::handshake::{ClientInfo, ServerConfig, ServerEvent, ServerHandshake, Transport};
use weir_core::rng::Rng;
use weir_core::time::Instant;

/// A packet from a client may have this many bytes.
const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Long data that one parameter may collect, in bytes.
const LONG_DATA_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Who may log in.
#[derive(Clone)]
pub struct Users(BTreeMap<Vec<u8>, (Credential, bool)>);

impl Users {
    /// Users with their passwords, and whether they are administrators.
    #[must_use]
    pub fn new(users: &[(&str, &str, bool)]) -> Self {
        let user = |(name, password, is_super): &(&str, &str, bool)| {
            (name.as_bytes().to_vec(), (Credential::from_password(&Secret::new(password.as_bytes())), *is_super))
        };
        Self(users.iter().map(user).collect())
    }
}

impl core::fmt::Debug for Users {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.0.keys().map(|name| String::from_utf8_lossy(name))).finish()
    }
}

/// A statement that a client has prepared.
#[derive(Debug)]
struct Prepared {
    statement: Rc<Statement>,
    parameters: u16,
    /// Parameter types as the client last sent them.
    types: Option<Vec<u8>>,
    long_data: BTreeMap<u16, Vec<u8>>,
}

/// What a command under way still has to do once its statement is done.
#[derive(Debug)]
struct Running {
    /// Statements of the same packet that follow.
    rest: String,
    binary: bool,
    sequence: u8,
}

#[derive(Debug)]
enum Phase {
    Handshake(Box<ServerHandshake>),
    Ready,
    Closed,
}

/// One client connection.
#[derive(Debug)]
pub struct Link {
    id: SessionId,
    users: Rc<Users>,
    phase: Phase,
    reader: PacketReader,
    agreed: Agreed,
    statements: BTreeMap<u32, Prepared>,
    statements_made: u32,
    running: Option<Running>,
    multi_statements: bool,
    out: Vec<u8>,
}

impl Link {
    /// A connection that has just been accepted: its greeting is ready to be sent.
    pub fn new(server: &mut Server, users: &Rc<Users>, rng: &mut Rng) -> Self {
        let mut random = [0; NONCE_BYTES];
        random.iter_mut().for_each(|byte| *byte = rng.next_u64() as u8);
        let id = server.reserve();
        let config = ServerConfig {
            server_version: Arc::from(server.version()),
            of_mariadb: offered_as_mariadb(server.version()),
            connection_id: id as u32,
            nonce: Nonce::from_random(random),
            collation: 45,
            plugin: AuthPlugin::Native,
            transport: Transport::Plain,
            tls_available: false,
            compression: false,
            query_attributes: false,
            tls_required: false,
            rsa_public_key: None,
            client_host: "gateway".into(),
        };
        let mut link = Self {
            id,
            users: Rc::clone(users),
            phase: Phase::Handshake(Box::new(ServerHandshake::new(config))),
            reader: PacketReader::new(PACKET_BYTES_MAX),
            agreed: CapabilityFlags::empty().into(),
            statements: BTreeMap::new(),
            statements_made: 0,
            running: None,
            multi_statements: false,
            out: Vec::new(),
        };
        link.drain_handshake(server, Instant::ZERO);
        link
    }

    /// The session behind it, once there is one.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.id
    }

    /// Bytes for the client. The caller takes what it can send.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The connection is to be closed once the output is sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The server has killed the session.
    pub fn kill(&mut self) {
        self.phase = Phase::Closed;
    }

    /// Takes the client's bytes, as far as it can go on: a command waits until the one before it is answered.
    pub fn handle_bytes(&mut self, server: &mut Server, now: Instant, input: &[u8]) -> usize {
        let mut rest = input;
        loop {
            let before = rest.len();
            match &mut self.phase {
                Phase::Closed => return input.len(),
                Phase::Handshake(handshake) => {
                    let taken = handshake.handle_bytes(rest);
                    rest = &rest[taken..];
                    self.drain_handshake(server, now);
                }
                Phase::Ready if self.running.is_some() => break,
                Phase::Ready => rest = self.next_command(server, now, rest),
            }
            if rest.len() == before || rest.is_empty() {
                break;
            }
        }
        input.len() - rest.len()
    }

    fn drain_handshake(&mut self, server: &mut Server, now: Instant) {
        let Phase::Handshake(handshake) = &mut self.phase else { return };
        let mut verdict = None;
        while let Some(event) = handshake.poll_event() {
            match event {
                ServerEvent::Lookup { user } => {
                    let credential = self.users.0.get(&user).map(|(credential, _)| credential.clone());
                    handshake.credential(credential);
                }
                ServerEvent::Authenticated(info) => verdict = Some(Ok(info)),
                ServerEvent::Rejected(_) => verdict = Some(Err(())),
                ServerEvent::StartTls => debug_assert!(false, "no TLS was offered"),
                ServerEvent::DecryptRsa { .. } => handshake.decrypted(None),
            }
        }
        handshake.poll_transmit(&mut self.out);
        match verdict {
            Some(Ok(info)) => self.welcome(server, now, &info),
            Some(Err(())) => self.phase = Phase::Closed,
            None => {}
        }
    }

    fn welcome(&mut self, server: &mut Server, now: Instant, info: &ClientInfo) {
        self.agreed = Agreed { common: info.capabilities, of_mariadb: info.of_mariadb };
        self.multi_statements = info.capabilities.contains(CapabilityFlags::CLIENT_MULTI_STATEMENTS);
        let is_super = self.users.0.get(&info.user).is_some_and(|(_, is_super)| *is_super);
        let found_rows = info.capabilities.contains(CapabilityFlags::CLIENT_FOUND_ROWS);
        let user = String::from_utf8_lossy(&info.user).into_owned();
        if let Err(error) = server.connect_as(self.id, &user, is_super, found_rows) {
            self.answer(info.next_sequence, Format::Text).error(&error);
            self.phase = Phase::Closed;
            return;
        }
        self.phase = Phase::Ready;
        let schema = info.schema.as_ref().map(|schema| String::from_utf8_lossy(schema).into_owned());
        let outcome = match schema.filter(|schema| !schema.is_empty()) {
            Some(schema) => server.use_schema(now, self.id, &schema),
            None => None,
        };
        match outcome {
            Some(Outcome { body: super::Body::Err(error), .. }) => {
                self.answer(info.next_sequence, Format::Text).error(&error);
                self.phase = Phase::Closed;
            }
            Some(outcome) => self.answer(info.next_sequence, Format::Text).outcome(&outcome, false),
            None => self.answer_ok(server, info.next_sequence),
        }
    }

    fn answer(&mut self, sequence: u8, format: Format) -> Answer<'_> {
        Answer { out: &mut self.out, sequence, agreed: self.agreed, format }
    }

    fn answer_ok(&mut self, server: &Server, sequence: u8) {
        let status = server.status(self.id);
        self.answer(sequence, Format::Text).plain_ok(status);
    }

    fn next_command<'i>(&mut self, server: &mut Server, now: Instant, input: &'i [u8]) -> &'i [u8] {
        let mut rest = input;
        if self.reader.is_between_packets() {
            self.reader.expect_sequence(0);
        }
        let mut reader = core::mem::replace(&mut self.reader, PacketReader::new(PACKET_BYTES_MAX));
        match reader.next(&mut rest) {
            Ok(Some(packet)) => {
                let sequence = packet.last_sequence.wrapping_add(1);
                match ClientCommand::parse(packet.payload) {
                    Ok(command) => self.command(server, now, command, sequence),
                    Err(_) => self.phase = Phase::Closed,
                }
            }
            Ok(None) => {}
            Err(_) => self.phase = Phase::Closed,
        }
        self.reader = reader;
        rest
    }

    fn command(&mut self, server: &mut Server, now: Instant, command: ClientCommand<'_>, sequence: u8) {
        match command {
            ClientCommand::Quit => self.phase = Phase::Closed,
            ClientCommand::Ping => self.answer_ok(server, sequence),
            ClientCommand::Query(sql) => {
                self.query(server, now, &text(sql), sequence);
            }
            ClientCommand::InitDb(schema) => {
                let outcome = server.use_schema(now, self.id, &String::from_utf8_lossy(schema));
                self.finish(server, now, outcome, Running { rest: String::new(), binary: false, sequence });
            }
            ClientCommand::Prepare(sql) => self.prepare(server, &text(sql), sequence),
            ClientCommand::Execute { statement_id, body } => self.execute(server, now, statement_id, body, sequence),
            ClientCommand::SendLongData { statement_id, parameter, data } => {
                if let Some(prepared) = self.statements.get_mut(&statement_id) {
                    let chunk = prepared.long_data.entry(parameter).or_default();
                    if chunk.len() + data.len() <= LONG_DATA_BYTES_MAX {
                        chunk.extend_from_slice(data);
                    }
                }
            }
            ClientCommand::CloseStatement { statement_id } => {
                self.statements.remove(&statement_id);
            }
            ClientCommand::ResetStatement { statement_id } => {
                if let Some(prepared) = self.statements.get_mut(&statement_id) {
                    prepared.long_data.clear();
                    self.answer_ok(server, sequence);
                } else {
                    self.answer(sequence, Format::Text)
                        .error(&SqlError::unknown_statement(statement_id, "mysqld_stmt_reset"));
                }
            }
            ClientCommand::SetOption(option) => {
                self.multi_statements = option == 0;
                let status = server.status(self.id);
                self.answer(sequence, Format::Text).plain_eof(status);
            }
            ClientCommand::ResetConnection => {
                self.statements.clear();
                let outcome = server.reset_session(now, self.id);
                self.finish(server, now, outcome, Running { rest: String::new(), binary: false, sequence });
            }
            _ => self.answer(sequence, Format::Text).error(&SqlError::unknown_command()),
        }
    }

    /// Runs the statements of a packet until one is suspended or fails.
    fn query(&mut self, server: &mut Server, now: Instant, sql: &str, sequence: u8) {
        let (statement, parameters, rest) = match server.parse_to_run(sql) {
            Ok((parsed, parameters)) => (parsed.statement, parameters, sql[parsed.len..].trim().to_owned()),
            Err(error) => {
                let outcome = server.refuse(self.id, error);
                return self.finish(server, now, outcome, Running { rest: String::new(), binary: false, sequence });
            }
        };
        let running = Running { rest, binary: false, sequence };
        let outcome = if running.rest.is_empty() || self.multi_statements {
            server.run(now, self.id, statement, parameters)
        } else {
            server.refuse(self.id, SqlError::syntax(server.flavor(), &running.rest, 1))
        };
        self.finish(server, now, outcome, running);
    }

    fn prepare(&mut self, server: &mut Server, sql: &str, sequence: u8) {
        let described = server.parse(sql).and_then(|parsed| {
            let columns = server.describe(self.id, &parsed.statement)?;
            Ok((parsed, columns))
        });
        match described {
            Ok((parsed, columns)) => {
                self.statements_made += 1;
                let id = self.statements_made;
                let parameters = u16::try_from(parsed.parameters).unwrap_or(u16::MAX);
                let prepared =
                    Prepared { statement: parsed.statement, parameters, types: None, long_data: BTreeMap::new() };
                self.statements.insert(id, prepared);
                let status = server.status(self.id);
                self.answer(sequence, Format::Text).prepared(id, parameters, &columns, status);
            }
            Err(error) => self.answer(sequence, Format::Text).error(&error),
        }
    }

    fn execute(&mut self, server: &mut Server, now: Instant, id: u32, body: &[u8], sequence: u8) {
        let Some(prepared) = self.statements.get_mut(&id) else {
            let error = SqlError::unknown_statement(id, "mysqld_stmt_execute");
            return self.answer(sequence, Format::Text).error(&error);
        };
        let long_data = core::mem::take(&mut prepared.long_data);
        let parameters = Execute::parse(body, prepared.parameters).and_then(|execute| {
            let values = execute.parameters(prepared.types.as_deref(), |n| long_data.contains_key(&n))?;
            prepared.types = execute.types.map(<[u8]>::to_vec).or(prepared.types.take());
            Ok(values)
        });
        let Ok(parameters) = parameters else {
            return self.answer(sequence, Format::Text).error(&SqlError::wrong_arguments("mysqld_stmt_execute"));
        };
        let statement = Rc::clone(&prepared.statement);
        let value = |(value, index): (weir_core::mysql::binary::Value, u16)| match long_data.get(&index) {
            Some(data) => Value::text(data),
            None => answer::from_wire(&value),
        };
        let parameters: Rc<[Value]> = parameters.into_iter().zip(0..).map(value).collect();
        let outcome = server.run(now, self.id, statement, parameters);
        self.finish(server, now, outcome, Running { rest: String::new(), binary: true, sequence });
    }

    /// A suspended statement of this connection is done.
    pub fn handle_outcome(&mut self, server: &mut Server, now: Instant, outcome: Outcome) {
        if let Some(running) = self.running.take() {
            self.finish(server, now, Some(outcome), running);
        }
    }

    fn finish(&mut self, server: &mut Server, now: Instant, outcome: Option<Outcome>, running: Running) {
        let Some(outcome) = outcome else {
            self.running = Some(running);
            return;
        };
        let failed = matches!(outcome.body, super::Body::Err(_));
        let more = !running.rest.is_empty() && !failed;
        let format = if running.binary { Format::Binary } else { Format::Text };
        let mut answer = self.answer(running.sequence, format);
        answer.outcome(&outcome, more);
        let sequence = answer.sequence;
        if more {
            self.query(server, now, &running.rest, sequence);
        }
    }
}

/// Bytes as text. Most are, which is quickly seen.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    core::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests;
