//! The gateway's end: greets a client and finds out who it is.
//!
//! The final OK is not written here: the session sends it, with [`ClientInfo::next_sequence`], once it has checked the schema.

use super::exchange::{encode_more, encode_switch};
use super::{Attributes, Greeting, HANDSHAKE_PACKET_BYTES_MAX, HandshakeResponse, Transport};
use crate::error::{Component, Error, Kind};
use crate::mysql::ProtocolError;
use crate::mysql::auth::{AuthPlugin, Credential, Nonce, Proof, Secret, Verdict, caching_sha2, native};
use crate::mysql::capability::{
    CLIENT_MYSQL, CapabilityFlags, MariaDbCapabilities, OFFERED_TO_CLIENTS, StatusFlags, negotiate,
};
use crate::mysql::frame::{PacketReader, write_with};
use crate::mysql::packet::encode_err;
use std::sync::Arc;

/// Of a refused user's name, in characters: as much as a server shows.
const USER_CHARS_SHOWN_MAX: usize = 128;

/// What one handshake needs to know.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Version that clients read, as `SELECT VERSION()` prints it.
    pub server_version: Arc<str>,
    /// What is offered as MariaDB's; without meaning for another version.
    pub of_mariadb: MariaDbCapabilities,
    /// Connection id.
    pub connection_id: u32,
    /// The challenge.
    pub nonce: Nonce,
    /// Default collation id; only its lower byte fits the greeting.
    pub collation: u16,
    /// The method that the greeting proposes.
    pub plugin: AuthPlugin,
    /// What carries the connection at first.
    pub transport: Transport,
    /// TLS can be started.
    pub tls_available: bool,
    /// Clients may ask for the compressed protocol ([`crate::mysql::compressed`]) after the handshake.
    pub compression: bool,
    /// Clients that come over plain TCP and do not start TLS are refused.
    pub tls_required: bool,
    /// Clients may send attributes with their statements ([`crate::mysql::attributes`]).
    pub query_attributes: bool,
    /// Public key in PEM by which passwords can be sent over plain TCP; `None` refuses them.
    pub rsa_public_key: Option<Arc<[u8]>>,
    /// The client's host, as "Access denied" names it.
    pub client_host: String,
}

/// Who the client is, and what was agreed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// User name.
    pub user: Vec<u8>,
    /// The schema it wants to begin in; not checked yet.
    pub schema: Option<Vec<u8>>,
    /// What both ends agreed on.
    pub capabilities: CapabilityFlags,
    /// What both ends agreed on as MariaDB's; nothing after COM_CHANGE_USER, which does not say.
    pub of_mariadb: MariaDbCapabilities,
    /// Its collation id, as far as the handshake carries it (the lower byte).
    pub collation: u16,
    /// Its attributes.
    pub attributes: Attributes,
    /// The longest packet it accepts, in bytes.
    pub max_packet_bytes: u32,
    /// What carries the connection now.
    pub transport: Transport,
    /// Sequence id of the final OK or ERR.
    pub next_sequence: u8,
    /// What it showed of its password, as far as that opens other servers; `None` when it does not.
    pub proof: Option<Proof>,
}

/// What the driver or the session must know or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// Start TLS with all bytes that were not consumed, then call [`ServerHandshake::tls_started`].
    StartTls,
    /// Look the user up, then call [`ServerHandshake::credential`].
    Lookup {
        /// User name.
        user: Vec<u8>,
    },
    /// Decrypt with the private key (OAEP with SHA-1), then call [`ServerHandshake::decrypted`].
    DecryptRsa {
        /// What the client sent.
        ciphertext: Vec<u8>,
    },
    /// The client is who it says. Last event.
    Authenticated(Box<ClientInfo>),
    /// The client was told this error: send what is left and close. Last event.
    Rejected(Error),
}

/// One handshake with a client.
#[derive(Debug)]
pub struct ServerHandshake {
    reader: PacketReader,
    exchange: Exchange,
}

/// All but the reader, which lends out the packet that is being handled.
#[derive(Debug)]
struct Exchange {
    config: ServerConfig,
    offered: CapabilityFlags,
    state: State,
    sequence: u8,
    /// What errors are written for; known from the client's response on.
    client_capabilities: CapabilityFlags,
    /// The method that the client's first answer is for, when its challenge has been sent.
    challenged_by: Option<AuthPlugin>,
    out: Vec<u8>,
    event: Option<ServerEvent>,
}

#[derive(Debug)]
enum State {
    /// The client's response, or its request for TLS, comes next.
    Response,
    /// The driver starts TLS.
    StartingTls,
    /// The driver looks the user up.
    LookingUp(HandshakeResponse),
    /// The client's answer by this method comes next.
    Switched(AuthPlugin, Known),
    /// The password itself comes next, or a request for the key to encrypt it with.
    FullPassword(Known),
    /// The driver decrypts the password.
    Decrypting(Known),
    Done,
}

/// The client's response, and what is known of its user.
#[derive(Debug)]
struct Known {
    response: HandshakeResponse,
    credential: Credential,
}

impl ServerHandshake {
    /// Starts with the greeting.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        debug_assert!(config.plugin != AuthPlugin::Ed25519, "clients cannot be verified by it");
        let mut offered = OFFERED_TO_CLIENTS;
        offered.set(CapabilityFlags::CLIENT_SSL, config.tls_available);
        offered.set(CapabilityFlags::CLIENT_COMPRESS, config.compression);
        offered.set(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES, config.query_attributes);
        let is_mariadb = config.server_version.contains("MariaDB");
        offered.set(CLIENT_MYSQL, !is_mariadb);
        let greeting = Greeting {
            server_version: greeted_version(&config.server_version),
            connection_id: config.connection_id,
            nonce: config.nonce.bytes().to_vec(),
            capabilities: offered,
            of_mariadb: if is_mariadb { config.of_mariadb } else { MariaDbCapabilities::empty() },
            collation: config.collation as u8,
            status: StatusFlags::SERVER_STATUS_AUTOCOMMIT.bits(),
            plugin: config.plugin.name().to_vec(),
        };
        let challenged_by = Some(config.plugin);
        let mut exchange = Exchange::new(config, offered, State::Response, 0);
        exchange.challenged_by = challenged_by;
        exchange.send(|out| greeting.encode(out));
        Self::around(exchange)
    }

    /// Starts over for COM_CHANGE_USER: `response` is the command's content, `sequence` the id of the first packet of its answer.
    /// The challenge is sent anew, except to clients without PLUGIN_AUTH, which have answered the one they were greeted with:
    /// `config` must hold that one.
    #[must_use]
    pub fn change_user(config: ServerConfig, response: HandshakeResponse, sequence: u8) -> Self {
        let offered = response.capabilities;
        let mut exchange = Exchange::new(config, offered, State::Done, sequence);
        exchange.client_capabilities = response.capabilities;
        exchange.look_up(response);
        Self::around(exchange)
    }

    fn around(exchange: Exchange) -> Self {
        Self { reader: PacketReader::new(HANDSHAKE_PACKET_BYTES_MAX), exchange }
    }

    /// Takes the client's bytes; returns how many. The rest must be offered again, to the TLS layer after
    /// [`ServerEvent::StartTls`], to the session after [`ServerEvent::Authenticated`].
    pub fn handle_bytes(&mut self, input: &[u8]) -> usize {
        let Self { reader, exchange } = self;
        let mut rest = input;
        while exchange.awaits_client() {
            if reader.is_between_packets() {
                reader.expect_sequence(exchange.sequence);
            }
            match reader.next(&mut rest) {
                Ok(Some(packet)) => {
                    exchange.sequence = packet.last_sequence.wrapping_add(1);
                    exchange.on_packet(packet.payload);
                }
                Ok(None) => break,
                Err(error) => exchange.on_bad_frame(error),
            }
        }
        input.len() - rest.len()
    }

    /// TLS is up: the client's response comes through it.
    pub fn tls_started(&mut self) {
        debug_assert!(matches!(self.exchange.state, State::StartingTls), "no TLS was asked for");
        if matches!(self.exchange.state, State::StartingTls) {
            self.exchange.config.transport = Transport::Tls;
            self.exchange.state = State::Response;
        }
    }

    /// What is known of the user that was looked up; `None` when there is no such user, which the client cannot tell from a wrong
    /// password.
    pub fn credential(&mut self, credential: Option<Credential>) {
        match core::mem::replace(&mut self.exchange.state, State::Done) {
            State::LookingUp(response) => {
                let credential = credential.unwrap_or_else(|| Credential::made_up(&self.exchange.config.nonce));
                self.exchange.challenge(Known { response, credential });
            }
            other => {
                debug_assert!(false, "no user was asked for");
                self.exchange.state = other;
            }
        }
    }

    /// The decrypted password, still xored with the challenge; `None` when it cannot be decrypted.
    pub fn decrypted(&mut self, plaintext: Option<Secret>) {
        match core::mem::replace(&mut self.exchange.state, State::Done) {
            State::Decrypting(known) => {
                let password = plaintext.map(|secret| secret.xored(self.exchange.config.nonce.bytes()));
                self.exchange.judge_password(known, password.as_ref().map_or(&[], |password| password.expose()));
            }
            other => {
                debug_assert!(false, "nothing was to be decrypted");
                self.exchange.state = other;
            }
        }
    }

    /// Tells the client this error where it reads it, and ends the handshake: its time is over.
    pub fn give_up(&mut self, error: Error) {
        self.exchange.reject_with(error);
    }

    /// Appends what must be sent to the client; false when there is nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.exchange.out.is_empty();
        out.append(&mut self.exchange.out);
        any
    }

    /// The next thing to do or to know.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.exchange.event.take()
    }
}

/// As servers of the version greet: MariaDB 10 hides behind the last version that replicas of its time took for a MySQL, and
/// drivers tell it by that.
fn greeted_version(version: &str) -> Vec<u8> {
    let hidden = version.starts_with("10.") && version.contains("MariaDB");
    if hidden { [b"5.5.5-", version.as_bytes()].concat() } else { version.as_bytes().to_vec() }
}

impl Exchange {
    fn new(config: ServerConfig, offered: CapabilityFlags, state: State, sequence: u8) -> Self {
        Self {
            config,
            offered,
            state,
            sequence,
            client_capabilities: CapabilityFlags::CLIENT_PROTOCOL_41,
            challenged_by: None,
            out: Vec::new(),
            event: None,
        }
    }

    const fn awaits_client(&self) -> bool {
        matches!(self.state, State::Response | State::Switched(..) | State::FullPassword(_))
    }

    fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        write_with(&mut self.out, &mut self.sequence, encode);
    }

    fn on_packet(&mut self, payload: &[u8]) {
        match core::mem::replace(&mut self.state, State::Done) {
            State::Response => self.on_response(payload),
            State::Switched(plugin, known) => self.judge(plugin, payload, known),
            State::FullPassword(known) => self.on_full_password(payload, known),
            State::StartingTls | State::LookingUp(_) | State::Decrypting(_) | State::Done => {
                debug_assert!(false, "no packet is read in this state");
            }
        }
    }

    fn on_response(&mut self, payload: &[u8]) {
        let Some(capabilities) = HandshakeResponse::peek_capabilities(payload) else { return self.reject_garbage() };
        if !capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
            self.client_capabilities = capabilities;
            return self.reject_old_client();
        }
        if capabilities.contains(CapabilityFlags::CLIENT_SSL) && self.config.transport != Transport::Tls {
            return self.on_tls_request();
        }
        match HandshakeResponse::parse(payload) {
            Ok(_) if self.config.tls_required && !self.config.transport.is_secure() => {
                let message =
                    "Connections using insecure transport are prohibited while --require_secure_transport=ON.";
                self.reject(Kind::TlsRequired, message);
            }
            Ok(response) => self.look_up(response),
            Err(_) => self.reject_garbage(),
        }
    }

    fn on_tls_request(&mut self) {
        if !self.config.tls_available {
            return self.reject_garbage();
        }
        self.state = State::StartingTls;
        self.event = Some(ServerEvent::StartTls);
    }

    fn look_up(&mut self, response: HandshakeResponse) {
        self.event = Some(ServerEvent::Lookup { user: response.user.clone() });
        self.state = State::LookingUp(response);
    }

    /// Judges the answer that the client gave with its response, or asks for another one.
    fn challenge(&mut self, mut known: Known) {
        let Some(name) = &known.response.plugin else {
            // Without PLUGIN_AUTH there is one method, and no way to ask for another.
            if !known.credential.is_usable_with(AuthPlugin::Native) {
                return self.reject_old_client();
            }
            let answer = core::mem::take(&mut known.response.auth_response);
            return self.judge(AuthPlugin::Native, answer.expose(), known);
        };
        let clients = AuthPlugin::from_name(name);
        let plugin = [clients, Some(self.config.plugin)]
            .into_iter()
            .flatten()
            .find(|plugin| known.credential.is_usable_with(*plugin))
            .unwrap_or(AuthPlugin::CachingSha2);
        // A client whose method is not the greeting's has not used its challenge, whatever it sent.
        if clients == Some(plugin) && self.challenged_by == Some(plugin) {
            let answer = core::mem::take(&mut known.response.auth_response);
            return self.judge(plugin, answer.expose(), known);
        }
        let nonce = self.config.nonce;
        self.send(|out| encode_switch(plugin.name(), nonce.bytes(), out));
        self.state = State::Switched(plugin, known);
    }

    fn judge(&mut self, plugin: AuthPlugin, answer: &[u8], known: Known) {
        // caching_sha2_password says "no password" with a NUL.
        let answer = if plugin == AuthPlugin::CachingSha2 && answer == [0] { &[] } else { answer };
        if plugin == AuthPlugin::Native && !matches!(answer.len(), 0 | native::HASH_BYTES) {
            return self.reject_garbage();
        }
        match known.credential.verify(plugin, &self.config.nonce, answer) {
            Verdict::Right => {
                if plugin == AuthPlugin::CachingSha2 && !answer.is_empty() {
                    self.send(|out| encode_more(&[caching_sha2::FAST_OK], out));
                }
                let proof = known.credential.proof(plugin, &self.config.nonce, answer);
                self.accept(known.response, proof);
            }
            Verdict::Wrong => self.deny(&known.response, !answer.is_empty()),
            Verdict::NeedsPassword => {
                self.send(|out| encode_more(&[caching_sha2::FULL_REQUIRED], out));
                self.state = State::FullPassword(known);
            }
        }
    }

    fn on_full_password(&mut self, payload: &[u8], known: Known) {
        if self.config.transport.is_secure() {
            return self.judge_password(known, payload);
        }
        match &self.config.rsa_public_key {
            None => self.deny(&known.response, true),
            Some(key) if payload == [caching_sha2::KEY_REQUEST] => {
                let key = key.clone();
                self.send(|out| encode_more(&key, out));
                self.state = State::FullPassword(known);
            }
            Some(_) => {
                self.event = Some(ServerEvent::DecryptRsa { ciphertext: payload.to_vec() });
                self.state = State::Decrypting(known);
            }
        }
    }

    /// Judges a password that a NUL ends.
    fn judge_password(&mut self, known: Known, password: &[u8]) {
        match password.strip_suffix(b"\0").filter(|password| known.credential.verify_password(password)) {
            Some(password) => self.accept(known.response, Some(Proof::Password(Secret::new(password)))),
            None => self.deny(&known.response, true),
        }
    }

    fn accept(&mut self, response: HandshakeResponse, proof: Option<Proof>) {
        self.event = Some(ServerEvent::Authenticated(Box::new(ClientInfo {
            user: response.user,
            schema: response.schema,
            capabilities: negotiate(self.offered, response.capabilities),
            // A server of MySQL's has offered none, and is sent none.
            of_mariadb: response.of_mariadb & self.config.of_mariadb,
            collation: response.collation,
            attributes: response.attributes,
            max_packet_bytes: response.max_packet_bytes,
            transport: self.config.transport,
            next_sequence: self.sequence,
            proof,
        })));
    }

    fn deny(&mut self, response: &HandshakeResponse, password_used: bool) {
        let user: String = String::from_utf8_lossy(&response.user).chars().take(USER_CHARS_SHOWN_MAX).collect();
        let using = if password_used { "YES" } else { "NO" };
        let host = &self.config.client_host;
        let message = format!("Access denied for user '{user}'@'{host}' (using password: {using})");
        self.reject(Kind::AccessDenied, message);
    }

    fn on_bad_frame(&mut self, error: ProtocolError) {
        // The error answers the id that the client used, so that it can be read.
        let found = match error {
            ProtocolError::OutOfOrder { found, .. } => found,
            _ => self.sequence,
        };
        self.sequence = found.wrapping_add(1);
        self.reject_with(error.raised_by(Component::Gateway));
    }

    fn reject_garbage(&mut self) {
        self.reject(Kind::BadHandshake, "Bad handshake");
    }

    fn reject_old_client(&mut self) {
        let message =
            "Client does not support authentication protocol requested by server; consider upgrading MySQL client";
        self.reject(Kind::UnsupportedAuth, message);
    }

    fn reject(&mut self, kind: Kind, message: impl Into<String>) {
        self.reject_with(Error::new(Component::Gateway, kind, message));
    }

    fn reject_with(&mut self, error: Error) {
        let capabilities = self.client_capabilities;
        self.send(|out| encode_err(&error, out, capabilities));
        self.event = Some(ServerEvent::Rejected(error));
        self.state = State::Done;
    }
}
