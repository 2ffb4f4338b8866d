//! Greeting, authentication, admission, and the check of the schema the client asked for.

use super::carrier::Tls;
use super::commands::{payload_of, split_role};
use super::job::{Job, Origin};
use super::state::State;
use super::{Event, Fate, Peer, Phase, Reason, Session, Timer};
use crate::error::{Component, Error, Kind};
use crate::gateway::config::SessionConfig;
use crate::gateway::users::Users;
use crate::gtid::Flavor;
use crate::link::{AccountId, ClientName, Command};
use crate::mysql::auth::{Credential, Secret};
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::command::ClientCommand;
use crate::mysql::handshake::{ClientInfo, HandshakeResponse, ServerConfig, ServerEvent, ServerHandshake, Transport};
use crate::sql::Effects;
use crate::time::Instant;
use std::sync::Arc;

/// How often a client of MariaDB may fail to become somebody else. Becoming it does not begin a new count.
const CHANGES_REFUSED_MAX: u8 = 3;

/// Who a client was before COM_CHANGE_USER.
#[derive(Debug)]
pub(super) struct Before {
    user: Vec<u8>,
    account: AccountId,
    /// Its state, once it has shown the other's password.
    state: Option<State>,
    at: Instant,
}

impl Session {
    /// TLS is up, as [`Event::StartTls`] asked.
    pub fn tls_started(&mut self, tls: Option<Tls>) {
        let Phase::Login(handshake) = &mut self.phase else { return };
        handshake.tls_started();
        self.tls = tls.map(Box::new);
        self.peer.transport = Transport::Tls;
        self.pump_login();
    }

    /// What carries the connection now.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.peer.transport
    }

    /// The plaintext of [`Event::DecryptRsa`]; `None` when it could not be decrypted.
    pub fn decrypted(&mut self, plaintext: Option<Secret>) {
        let Phase::Login(handshake) = &mut self.phase else { return };
        handshake.decrypted(plaintext);
        self.pump_login();
    }

    /// The answer to [`Event::FindUser`]; `None` when there is no such user, an error when nobody can tell.
    pub fn user_found(&mut self, found: Result<Option<Credential>, Error>) {
        let Phase::Login(handshake) = &mut self.phase else { return };
        match found {
            Ok(credential) => handshake.credential(credential),
            Err(error) => handshake.give_up(error),
        }
        self.pump_login();
    }

    pub(super) fn pump_login(&mut self) {
        while let Phase::Login(handshake) = &mut self.phase {
            self.out.write(|b| handshake.poll_transmit(b));
            let Some(event) = handshake.poll_event() else { return };
            match event {
                ServerEvent::StartTls => self.events.push_back(Event::StartTls),
                ServerEvent::DecryptRsa { ciphertext } => self.events.push_back(Event::DecryptRsa(ciphertext)),
                ServerEvent::Lookup { user } => {
                    self.audit_claim(&user);
                    self.look_up(user);
                }
                ServerEvent::Authenticated(info) => self.authenticated(*info),
                ServerEvent::Rejected(error) => {
                    self.audit_error(&error);
                    self.refused();
                }
            }
        }
    }

    /// The handshake needs what is known of a user.
    fn look_up(&mut self, user: Vec<u8>) {
        let Phase::Login(handshake) = &mut self.phase else { return };
        match &self.config.users {
            // To a client whose connection is not what the account asks for, it is closed as if there were none, as at a server.
            Users::Listed(users) => {
                let shown = self.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
                let known = users.get(&user).filter(|known| known.requires.is_met_by(self.peer.transport, shown));
                handshake.credential(known.map(|known| known.credential.clone()));
            }
            Users::OfServers => self.events.push_back(Event::FindUser(user)),
        }
    }

    /// The client has been told that it is not let in. Who was in as somebody else stays so, as at MariaDB.
    fn refused(&mut self) {
        let Some(before) = self.changing.take() else { return self.leave(Reason::Refused) };
        if self.user != before.user {
            let user = std::mem::replace(&mut self.user, before.user);
            self.account = before.account;
            self.events.push_back(Event::Readmit { user: self.user.clone(), instead_of: user });
        }
        if let Some(state) = before.state {
            self.state = state;
        }
        self.state.reset(&self.config.variables);
        self.wish_schema = None;
        self.changes_refused += 1;
        self.become_idle(before.at);
    }

    /// A server, or the gateway, does not take the client as it is.
    pub(super) fn refuse_login(&mut self, error: &Error) {
        self.write_error(error);
        self.refused();
    }

    /// The time for it is over.
    pub(super) fn break_off_login(&mut self, error: &Error) {
        if let Phase::Login(handshake) = &mut self.phase {
            handshake.give_up(error.clone());
            self.out.write(|b| handshake.poll_transmit(b));
            self.audit_error(error);
        } else {
            self.write_error(error);
        }
        self.leave(Reason::TimedOut);
    }

    fn authenticated(&mut self, info: ClientInfo) {
        self.capabilities = info.capabilities;
        // A change of user does not say it again.
        self.of_mariadb |= info.of_mariadb;
        self.max_packet_bytes = info.max_packet_bytes;
        self.sequence = info.next_sequence;
        let state = std::mem::replace(&mut self.state, State::new(info.collation, self.config.variables.clone()));
        if let Some(before) = &mut self.changing {
            before.state = Some(state);
        }
        self.wish_schema = info.schema;
        self.named = Arc::new(ClientName { user: info.user.clone(), host: self.peer.host.clone() });
        let before = Some(std::mem::replace(&mut self.user, info.user.clone())).filter(|user| !user.is_empty());
        self.phase = Phase::Admitting;
        let proof = match self.config.users {
            Users::Listed(_) => None,
            // It runs as itself or not at all.
            Users::OfServers if info.proof.is_none() => {
                let message = "weir-gateway: this login cannot be passed on to the servers";
                let error = Error::new(Component::Gateway, Kind::UnsupportedAuth, message);
                return self.break_off(&error, Reason::Refused);
            }
            Users::OfServers => info.proof,
        };
        self.events.push_back(Event::Admit { user: info.user, before, proof });
    }

    /// COM_CHANGE_USER: the session starts over as somebody else. What lived on its connection ends with it.
    pub(super) fn on_change_user(&mut self, now: Instant, body: &[u8]) {
        let response = match HandshakeResponse::parse_change_user(body, self.capabilities, self.max_packet_bytes) {
            Ok(response) => response,
            Err(error) => return self.break_off(&error.raised_by(Component::Gateway), Reason::ProtocolError),
        };
        if self.changes_refused == CHANGES_REFUSED_MAX {
            return self.refuse(Kind::UnknownCommand, "Unknown command");
        }
        self.release(Fate::Close);
        self.statements.clear();
        self.transaction_lost = false;
        self.diagnostics.reset();
        let is_mariadb = self.servers.is_some_and(|servers| servers.flavor == Flavor::MariaDb);
        let before = || Box::new(Before { user: self.user.clone(), account: self.account, state: None, at: now });
        self.changing = is_mariadb.then(before);
        let config = handshake_config(&self.config, &self.peer);
        self.phase = Phase::Login(Box::new(ServerHandshake::change_user(config, response, self.sequence)));
        self.timer = Some((now + self.config.limits.login_time_max, Timer::Login));
        self.pump_login();
    }

    /// The answer to [`Event::Admit`]: whom its statements run as.
    pub fn admitted(&mut self, now: Instant, outcome: Result<AccountId, Error>) {
        if !matches!(self.phase, Phase::Admitting) {
            return;
        }
        match outcome {
            Ok(account) => self.account = account,
            Err(error) => {
                // Not admitted: the driver has not counted the user, and must not count it off.
                self.user.clear();
                return self.break_off(&error, Reason::Refused);
            }
        }
        let schema = self.wish_schema.take().unwrap_or_default();
        let (name, role) = split_role(&schema);
        self.state.role = role;
        if !name.is_empty() {
            self.check_schema(now, name);
        } else if self.account == AccountId::OWN {
            self.logged_in(now);
        } else {
            self.check_account(now);
        }
    }

    /// Lets a server say whether the schema exists and may be used, as it would at the end of its own handshake.
    fn check_schema(&mut self, now: Instant, name: &[u8]) {
        let mut job = Job::new(Command::Plain(payload_of(&ClientCommand::InitDb(name))), Origin::Login);
        job.effects = Effects::CHANGES_SCHEMA;
        job.read_only = true;
        self.launch(now, Box::new(job));
    }

    /// Lets a server say whether it takes the account as it is: it may be locked, or its password expired.
    fn check_account(&mut self, now: Instant) {
        let mut job = Job::new(Command::Plain(payload_of(&ClientCommand::Ping)), Origin::CheckAccount);
        job.read_only = true;
        self.launch(now, Box::new(job));
    }

    /// The final OK of the handshake; commands may come.
    pub(super) fn logged_in(&mut self, now: Instant) {
        if let Err(error) = self.audit_login() {
            return self.refuse_login(&error);
        }
        self.changing = None;
        self.write_own_ok();
        if self.capabilities.contains(CapabilityFlags::CLIENT_COMPRESS) && !self.compressed {
            self.compressed = true;
            let level = self.config.greeting.compression.unwrap_or(1);
            self.events.push_back(Event::StartCompression { level });
        }
        self.become_idle(now);
    }

    pub(super) fn become_idle(&mut self, now: Instant) {
        self.phase = Phase::Idle;
        self.end_statement(now);
        self.note_what_is_open();
        self.note_rest(now);
        self.arm_idle(now);
        self.end_if_finished();
    }

    /// Half a packet has the shorter timer.
    pub(super) fn arm_idle(&mut self, now: Instant) {
        let limits = &self.config.limits;
        self.timer = Some(if !self.reader.is_between_packets() {
            (now + limits.read_time_max, Timer::Read)
        } else {
            (now + limits.idle_time_max, Timer::Idle)
        });
    }
}

pub(super) fn handshake_config(config: &SessionConfig, peer: &Peer) -> ServerConfig {
    let greeting = &config.greeting;
    ServerConfig {
        server_version: Arc::clone(&greeting.server_version),
        of_mariadb: greeting.of_mariadb,
        connection_id: peer.id,
        nonce: peer.nonce,
        collation: greeting.collation,
        plugin: greeting.plugin,
        transport: peer.transport,
        tls_available: greeting.tls_available,
        compression: greeting.compression.is_some(),
        tls_required: greeting.tls_required,
        query_attributes: config.traces.is_some(),
        rsa_public_key: greeting.rsa_public_key.clone(),
        client_host: peer.host.clone(),
    }
}
