//! The tablet's end: greets a server back and proves that it knows the password.
//!
//! A password is never sent over plain TCP as it is, whatever the server asks for.

use super::{Attributes, Greeting, HANDSHAKE_PACKET_BYTES_MAX, HandshakeResponse, ServerSays, Transport};
use crate::error::{Component, Effect, Error, Kind};
use crate::mysql::ProtocolError;
use crate::mysql::auth::{AuthPlugin, Proof, Secret, caching_sha2};
use crate::mysql::capability::{CapabilityFlags, MariaDbCapabilities, negotiate};
use crate::mysql::frame::{PacketReader, write_packet, write_with};
use crate::mysql::packet::{ERR, OkPacket, parse_err};
use std::sync::Arc;

/// Whether the connection must be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disabled,
    /// When the server offers it.
    #[default]
    Preferred,
    /// Always: a server that does not offer it is refused.
    Required,
}

/// Where the server's public key comes from, by which `caching_sha2_password` sends the password over plain TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RsaKey {
    /// The password is not sent over plain TCP.
    #[default]
    Refused,
    /// The server is asked for its key. Who sits between can then answer with another one.
    FromServer,
    /// This one, in PEM.
    Known(Arc<[u8]>),
}

/// What one handshake needs to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// User name.
    pub user: Vec<u8>,
    /// What is known of its password.
    pub proof: Proof,
    /// Schema to begin in.
    pub schema: Option<Vec<u8>>,
    /// What is asked of the server: usually [`crate::mysql::capability::ASKED_OF_SERVERS`] and the connection's class.
    pub capabilities: CapabilityFlags,
    /// What is asked of a MariaDB besides: usually [`crate::mysql::capability::ASKED_OF_MARIADB`] and the connection's class. A server without
    /// the extended metadata that are asked for is refused.
    pub of_mariadb: MariaDbCapabilities,
    /// Collation id; only its lower byte is sent.
    pub collation: u16,
    /// The longest packet that is accepted, in bytes.
    pub max_packet_bytes: u32,
    /// Connection attributes.
    pub attributes: Attributes,
    /// What carries the connection at first.
    pub transport: Transport,
    /// Whether TLS is started; without meaning over a unix socket.
    pub tls: TlsMode,
    /// The server's public key.
    pub rsa_key: RsaKey,
}

/// What the server said of itself, and what was agreed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Version, without the `5.5.5-` that MariaDB puts in front.
    pub version: Vec<u8>,
    /// What both ends agreed on.
    pub capabilities: CapabilityFlags,
    /// What the server offered.
    pub offered: CapabilityFlags,
    /// The server's connection id.
    pub connection_id: u32,
    /// The lower byte of the server's default collation.
    pub collation: u8,
    /// What carries the connection now.
    pub transport: Transport,
    /// The OK that ended the handshake: status, and what the session's state begins with.
    pub ok: OkPacket,
}

impl ServerInfo {
    /// The server is a MariaDB.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        memchr::memmem::find(&self.version, b"MariaDB").is_some()
    }
}

/// What the driver or the connection must know or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// Send what is left, start TLS, then call [`ClientHandshake::tls_started`].
    StartTls,
    /// Encrypt with the server's public key (OAEP with SHA-1), then call [`ClientHandshake::encrypted`].
    EncryptRsa {
        /// The key.
        pem: Vec<u8>,
        /// What to encrypt.
        plaintext: Secret,
    },
    /// The connection is open, and the next packet is a command. Last event.
    Ready(Box<ServerInfo>),
    /// The connection cannot be opened. Last event.
    Failed(Error),
}

/// One handshake with a server.
#[derive(Debug)]
pub struct ClientHandshake {
    reader: PacketReader,
    exchange: Exchange,
}

/// All but the reader, which lends out the packet that is being handled.
#[derive(Debug)]
struct Exchange {
    config: ClientConfig,
    state: State,
    sequence: u8,
    out: Vec<u8>,
    event: Option<ClientEvent>,
}

#[derive(Debug)]
enum State {
    /// The greeting comes next.
    Greeting,
    /// The driver starts TLS.
    StartingTls(Greeting),
    /// The server's verdict comes next, or what it wants to know for one.
    Authenticating(Session),
    /// The server's public key comes next.
    AwaitingKey(Session),
    /// The driver encrypts the password.
    Encrypting(Session),
    Done,
}

/// The greeting, and the method and challenge that hold now.
#[derive(Debug)]
struct Session {
    greeting: Greeting,
    capabilities: CapabilityFlags,
    plugin: AuthPlugin,
    challenge: Vec<u8>,
}

impl ClientHandshake {
    /// Starts by waiting for the greeting.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let exchange = Exchange { config, state: State::Greeting, sequence: 0, out: Vec::new(), event: None };
        Self { reader: PacketReader::new(HANDSHAKE_PACKET_BYTES_MAX), exchange }
    }

    /// Takes the server's bytes; returns how many. The rest must be offered again, to the TLS layer after
    /// [`ClientEvent::StartTls`], to the connection after [`ClientEvent::Ready`].
    pub fn handle_bytes(&mut self, input: &[u8]) -> usize {
        let Self { reader, exchange } = self;
        let mut rest = input;
        while exchange.awaits_server() {
            if reader.is_between_packets() {
                reader.expect_sequence(exchange.sequence);
            }
            match reader.next(&mut rest) {
                Ok(Some(packet)) => {
                    exchange.sequence = packet.last_sequence.wrapping_add(1);
                    exchange.on_packet(packet.payload);
                }
                Ok(None) => break,
                Err(error) => exchange.fail_with(error.raised_by(Component::Tablet)),
            }
        }
        input.len() - rest.len()
    }

    /// TLS is up: the response goes through it.
    pub fn tls_started(&mut self) {
        match core::mem::replace(&mut self.exchange.state, State::Done) {
            State::StartingTls(greeting) => {
                self.exchange.config.transport = Transport::Tls;
                self.exchange.respond(greeting);
            }
            other => {
                debug_assert!(false, "no TLS was asked for");
                self.exchange.state = other;
            }
        }
    }

    /// The encrypted password; `None` when the key is unusable.
    pub fn encrypted(&mut self, ciphertext: Option<Vec<u8>>) {
        match (core::mem::replace(&mut self.exchange.state, State::Done), ciphertext) {
            (State::Encrypting(session), Some(ciphertext)) => {
                self.exchange.send(&ciphertext);
                self.exchange.state = State::Authenticating(session);
            }
            (State::Encrypting(_), None) => {
                self.exchange.fail(Kind::BadHandshake, "The server's public key cannot be used");
            }
            (other, _) => {
                debug_assert!(false, "nothing was to be encrypted");
                self.exchange.state = other;
            }
        }
    }

    /// Appends what must be sent to the server; false when there is nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.exchange.out.is_empty();
        out.append(&mut self.exchange.out);
        any
    }

    /// The next thing to do or to know.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.exchange.event.take()
    }
}

impl Exchange {
    const fn awaits_server(&self) -> bool {
        matches!(self.state, State::Greeting | State::Authenticating(_) | State::AwaitingKey(_))
    }

    fn send(&mut self, payload: &[u8]) {
        write_packet(&mut self.out, &mut self.sequence, payload);
    }

    fn on_packet(&mut self, payload: &[u8]) {
        match core::mem::replace(&mut self.state, State::Done) {
            State::Greeting => self.on_greeting(payload),
            State::Authenticating(session) => self.on_verdict(payload, session),
            State::AwaitingKey(session) => self.on_key(payload, session),
            State::StartingTls(_) | State::Encrypting(_) | State::Done => {
                debug_assert!(false, "no packet is read in this state");
            }
        }
    }

    fn on_greeting(&mut self, payload: &[u8]) {
        if payload.first() == Some(&ERR) {
            return self.fail_as_server_says(payload);
        }
        let greeting = match Greeting::parse(payload) {
            Ok(greeting) => greeting,
            Err(error) => return self.fail_with(error.raised_by(Component::Tablet)),
        };
        let needed = CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_SECURE_CONNECTION;
        if !greeting.capabilities.contains(needed) {
            return self.fail(Kind::UnsupportedAuth, "The server is too old: it lacks the protocol of MySQL 4.1");
        }
        let wanted = self.config.of_mariadb & MariaDbCapabilities::EXTENDED_METADATA;
        if !greeting.of_mariadb.contains(wanted) {
            let lacks =
                "The server has no extended metadata, which its client was offered: MariaDB has them from 10.5 on";
            return self.fail(Kind::NotSupported, lacks);
        }
        let offers_tls = greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL);
        match self.config.tls {
            _ if self.config.transport.is_secure() => self.respond(greeting),
            TlsMode::Disabled => self.respond(greeting),
            TlsMode::Preferred if !offers_tls => self.respond(greeting),
            TlsMode::Required if !offers_tls => {
                self.fail(Kind::TlsRequired, "TLS is required towards the server, and it offers none")
            }
            TlsMode::Preferred | TlsMode::Required => self.ask_for_tls(greeting),
        }
    }

    fn ask_for_tls(&mut self, greeting: Greeting) {
        let mut request = self.response(&greeting);
        request.capabilities |= CapabilityFlags::CLIENT_SSL;
        write_with(&mut self.out, &mut self.sequence, |out| request.encode_tls_request(out));
        self.state = State::StartingTls(greeting);
        self.event = Some(ClientEvent::StartTls);
    }

    /// The response without its answer to the challenge.
    fn response(&self, greeting: &Greeting) -> HandshakeResponse {
        let config = &self.config;
        let mut asked =
            config.capabilities | CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_SECURE_CONNECTION;
        asked.set(CapabilityFlags::CLIENT_CONNECT_WITH_DB, config.schema.is_some());
        asked.set(CapabilityFlags::CLIENT_SSL, config.transport == Transport::Tls);
        HandshakeResponse {
            capabilities: negotiate(greeting.capabilities, asked),
            of_mariadb: greeting.of_mariadb & config.of_mariadb,
            max_packet_bytes: config.max_packet_bytes,
            collation: config.collation,
            user: config.user.clone(),
            auth_response: Secret::default(),
            schema: config.schema.clone(),
            plugin: None,
            attributes: config.attributes.clone(),
        }
    }

    fn respond(&mut self, greeting: Greeting) {
        // A method that is not spoken here: answer by the oldest one, and let the server switch.
        let plugin = AuthPlugin::from_name(&greeting.plugin).unwrap_or(AuthPlugin::Native);
        let challenge = greeting.nonce.clone();
        let mut response = self.response(&greeting);
        // What the greeting's challenge cannot answer is asked for again by a switch.
        response.auth_response = Secret::new(self.config.proof.answer(plugin, &challenge).unwrap_or_default());
        response.plugin = Some(plugin.name().to_vec());
        write_with(&mut self.out, &mut self.sequence, |out| response.encode(out));
        let capabilities = response.capabilities;
        self.state = State::Authenticating(Session { greeting, capabilities, plugin, challenge });
    }

    fn on_verdict(&mut self, payload: &[u8], session: Session) {
        match ServerSays::parse(payload) {
            Ok(ServerSays::Ok) => self.on_ok(payload, session),
            Ok(ServerSays::Err) => self.fail_as_server_says(payload),
            Ok(ServerSays::Switch { plugin, challenge }) => self.on_switch(plugin, challenge, session),
            Ok(ServerSays::SwitchToOld) => self.fail_unsupported(b"mysql_old_password"),
            Ok(ServerSays::More([caching_sha2::FAST_OK])) if session.plugin == AuthPlugin::CachingSha2 => {
                self.state = State::Authenticating(session);
            }
            Ok(ServerSays::More([caching_sha2::FULL_REQUIRED])) if session.plugin == AuthPlugin::CachingSha2 => {
                self.send_password(session);
            }
            Ok(ServerSays::More(_)) => self.fail_malformed("authentication data"),
            Err(error) => self.fail_with(error.raised_by(Component::Tablet)),
        }
    }

    fn on_switch(&mut self, name: &[u8], challenge: &[u8], session: Session) {
        let Some(plugin) = AuthPlugin::from_name(name) else { return self.fail_unsupported(name) };
        // Challenges end with a NUL, except those of ed25519, which may hold one anywhere.
        let challenge = match plugin {
            AuthPlugin::Ed25519 => challenge,
            AuthPlugin::Native | AuthPlugin::CachingSha2 => challenge.strip_suffix(b"\0").unwrap_or(challenge),
        };
        let proof = &self.config.proof;
        let Some(answer) = proof.answer(plugin, challenge) else {
            return if proof.password().is_none() {
                self.fail_unknown(plugin)
            } else {
                self.fail_malformed("challenge")
            };
        };
        self.send(&answer);
        self.state = State::Authenticating(Session { plugin, challenge: challenge.to_vec(), ..session });
    }

    /// The full path of `caching_sha2_password`.
    fn send_password(&mut self, session: Session) {
        let Some(password) = self.password_and_nul() else { return self.fail_unknown(session.plugin) };
        if self.config.transport.is_secure() {
            self.send(password.expose());
            self.state = State::Authenticating(session);
            return;
        }
        match self.config.rsa_key.clone() {
            RsaKey::Known(pem) => self.encrypt(pem.to_vec(), session),
            RsaKey::FromServer => {
                self.send(&[caching_sha2::KEY_REQUEST]);
                self.state = State::AwaitingKey(session);
            }
            RsaKey::Refused => {
                let message = "The server asks for the password itself, which is only sent over TLS or a unix socket";
                self.fail(Kind::UnsupportedAuth, message);
            }
        }
    }

    fn password_and_nul(&self) -> Option<Secret> {
        let known = self.config.proof.password()?.expose();
        let mut password = Vec::with_capacity(known.len() + 1);
        password.extend_from_slice(known);
        password.push(0);
        Some(Secret::new(password))
    }

    fn on_key(&mut self, payload: &[u8], session: Session) {
        match ServerSays::parse(payload) {
            Ok(ServerSays::More(pem)) => self.encrypt(pem.to_vec(), session),
            Ok(ServerSays::Err) => self.fail_as_server_says(payload),
            _ => self.fail_malformed("public key"),
        }
    }

    fn encrypt(&mut self, pem: Vec<u8>, session: Session) {
        let Some(password) = self.password_and_nul() else { return self.fail_unknown(session.plugin) };
        let plaintext = password.xored(&session.challenge);
        self.event = Some(ClientEvent::EncryptRsa { pem, plaintext });
        self.state = State::Encrypting(session);
    }

    fn on_ok(&mut self, payload: &[u8], session: Session) {
        let ok = match OkPacket::parse(payload, session.capabilities) {
            Ok(ok) => ok,
            Err(error) => return self.fail_with(error.raised_by(Component::Tablet)),
        };
        let version = session.greeting.server_version;
        self.event = Some(ClientEvent::Ready(Box::new(ServerInfo {
            version: version.strip_prefix(b"5.5.5-").map(<[u8]>::to_vec).unwrap_or(version),
            capabilities: session.capabilities,
            offered: session.greeting.capabilities,
            connection_id: session.greeting.connection_id,
            collation: session.greeting.collation,
            transport: self.config.transport,
            ok,
        })));
    }

    /// The server refused: nothing was executed.
    fn fail_as_server_says(&mut self, payload: &[u8]) {
        let error = parse_err(payload).unwrap_or_else(|error| error.raised_by(Component::Tablet));
        self.fail_with(error.with_effect(Effect::None));
    }

    fn fail_unsupported(&mut self, plugin: &[u8]) {
        let plugin = String::from_utf8_lossy(plugin);
        let message = format!("The server asks for authentication method '{plugin}', which is not supported");
        self.fail(Kind::UnsupportedAuth, message);
    }

    /// The method needs the password itself, of which only a client's proof is known.
    fn fail_unknown(&mut self, plugin: AuthPlugin) {
        let plugin = String::from_utf8_lossy(plugin.name());
        let message = format!(
            "The server asks for authentication method '{plugin}', by which a client's login cannot be passed on"
        );
        self.fail(Kind::UnsupportedAuth, message);
    }

    fn fail_malformed(&mut self, part: &'static str) {
        self.fail_with(ProtocolError::Malformed(part).raised_by(Component::Tablet));
    }

    fn fail(&mut self, kind: Kind, message: impl Into<String>) {
        self.fail_with(Error::new(Component::Tablet, kind, message));
    }

    fn fail_with(&mut self, error: Error) {
        self.event = Some(ClientEvent::Failed(error));
        self.state = State::Done;
    }
}
