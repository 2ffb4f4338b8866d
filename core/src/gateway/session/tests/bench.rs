//! A session between a client and a tablet played by hand.

use crate::error::Error;
use crate::gateway::balance::Policy;
use crate::gateway::buffer::Hold;
use crate::gateway::cluster::{Rules, Serving, TabletId, TabletView, View};
use crate::gateway::config::{Greeting, SessionConfig, SessionLimits};
use crate::gateway::session::state::AUTOCOMMIT;
use crate::gateway::session::{Acquire, Event, Lease, LeaseKey, Outcome, Peer, Reason, Session, Trace};
use crate::gateway::users::Users;
use crate::gateway::variables::{Splitting, Variables};
use crate::gtid::{Flavor, Position};
use crate::link::{AccountId, Command, Ended, Reply, Request};
use crate::mysql::auth::{AuthPlugin, Credential, Nonce, Proof, Secret};
use crate::mysql::capability::{ASKED_OF_SERVERS, Agreed, CapabilityFlags, MariaDbCapabilities, offered_as_mariadb};
use crate::mysql::command::ClientCommand;
use crate::mysql::frame::{PacketReader, write_packet};
use crate::mysql::handshake::{ClientConfig, ClientEvent, ClientHandshake, RsaKey, TlsMode, Transport};
use crate::mysql::packet::{OkPacket, PrepareOk};
use crate::mysql::session_state::SessionStateBuilder;
use crate::time::{Duration, Instant};
use crate::topo::{Cell, Role, TabletAlias};
use std::sync::Arc;

pub(super) const PRIMARY: TabletId = TabletId(1);
pub(super) const REPLICA: TabletId = TabletId(2);
pub(super) const OTHER_REPLICA: TabletId = TabletId(3);

/// What the client reads: the first byte of each packet tells what it is.
pub(super) type Packets = Vec<Vec<u8>>;

pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) now: Instant,
    capabilities: CapabilityFlags,
    epoch: u64,
    /// What was said last of the lease.
    pub(super) rests: bool,
    /// What is to be counted.
    pub(super) outcomes: Vec<Outcome>,
    /// What is remembered of those whose trace is known.
    pub(super) traces: Vec<Trace>,
}

pub(super) fn tablet(id: TabletId, role: Role, position: &str) -> TabletView {
    let alias = TabletAlias { cell: "here".parse::<Cell>().unwrap(), uid: id.0 };
    TabletView {
        role,
        term: 1,
        serving: Serving::Yes,
        position: Position::parse(Flavor::MariaDb, position).unwrap(),
        lag: Some(Duration::ZERO),
        ..TabletView::new(id, alias, 100)
    }
}

/// A primary and two replicas that have executed up to these positions.
pub(super) fn view(replica: &str, other: &str) -> Arc<View> {
    let tablets = vec![
        tablet(PRIMARY, Role::Primary, "0-1-100"),
        tablet(REPLICA, Role::Replica, replica),
        tablet(OTHER_REPLICA, Role::Replica, other),
    ];
    Arc::new(View::new(tablets, Rules::default()))
}

pub(super) fn ok() -> OkPacket {
    OkPacket { status: AUTOCOMMIT, ..OkPacket::default() }
}

/// An OK that reports variables, as servers do.
pub(super) fn ok_with(variables: &[(&str, &str)]) -> OkPacket {
    let mut state = SessionStateBuilder::default();
    for (name, value) in variables {
        state.variable(name.as_bytes(), value.as_bytes());
    }
    OkPacket { session_state: state.finish(), ..ok() }
}

pub(super) fn ok_reply(ok: OkPacket) -> Vec<Reply> {
    vec![Reply::Ok { seq: 1, ends_rows: false, rows: 0, ok }, Reply::End(Ended::Answered)]
}

impl Bench {
    pub(super) fn config() -> SessionConfig {
        let users = Users::one("ann", Credential::from_password(&Secret::new(*b"secret")));
        SessionConfig {
            greeting: Greeting {
                server_version: "10.11.6-MariaDB".into(),
                of_mariadb: offered_as_mariadb("10.11.6-MariaDB"),
                collation: 45,
                plugin: AuthPlugin::Native,
                tls_available: false,
                compression: None,
                tls_required: false,
                rsa_public_key: None,
            },
            users,
            variables: Variables { splitting: Splitting::By(Policy::RoundRobin), ..Variables::default() },
            limits: SessionLimits { statements_max: 2, long_data_bytes_max: 8, ..SessionLimits::default() },
            digests: true,
            traces: None,
            audit: None,
            mutants: crate::mutants::Mutants::NONE,
        }
    }

    /// A client that has just connected.
    pub(super) fn connect(config: SessionConfig) -> Self {
        let peer = Peer {
            id: 7,
            host: "192.0.2.1".into(),
            transport: Transport::Plain,
            nonce: Nonce::from_random([7; 20]),
            seed: 1,
        };
        let now = Instant(1_000_000_000);
        let session = Session::new(Arc::new(config), view("0-1-100", "0-1-100"), peer, now);
        Self {
            session,
            now,
            capabilities: CapabilityFlags::empty(),
            epoch: 0,
            rests: false,
            outcomes: Vec::new(),
            traces: Vec::new(),
        }
    }

    /// A client that is logged in, without a schema.
    pub(super) fn logged_in() -> Self {
        Self::logged_in_with(ASKED_OF_SERVERS | CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    }

    pub(super) fn logged_in_with(agreed: impl Into<Agreed>) -> Self {
        Self::logged_in_to(Self::config(), agreed)
    }

    pub(super) fn logged_in_to(config: SessionConfig, agreed: impl Into<Agreed>) -> Self {
        let mut bench = Self::connect(config);
        bench.log_in("ann", "secret", None, agreed);
        let Some(Event::Admit { user, before: None, proof: None }) = bench.session.poll_event() else {
            panic!("no admission")
        };
        assert_eq!(user, b"ann");
        bench.session.admitted(bench.now, Ok(AccountId::OWN));
        bench.receive_from(2);
        bench
    }

    /// Runs the client's side of the handshake, up to where the server's verdict is due.
    pub(super) fn log_in(&mut self, user: &str, password: &str, schema: Option<&str>, agreed: impl Into<Agreed>) {
        let Agreed { common: capabilities, of_mariadb } = agreed.into();
        let mut client = ClientHandshake::new(ClientConfig {
            user: user.into(),
            proof: Proof::Password(Secret::new(password)),
            schema: schema.map(Into::into),
            capabilities,
            of_mariadb: of_mariadb | MariaDbCapabilities::STMT_BULK_OPERATIONS,
            collation: 45,
            max_packet_bytes: 1 << 24,
            attributes: Vec::new(),
            transport: Transport::Plain,
            tls: TlsMode::Disabled,
            rsa_key: RsaKey::Refused,
        });
        let mut greeting = Vec::new();
        while self.session.poll_transmit(&mut greeting).is_some() {}
        client.handle_bytes(&greeting);
        let mut response = Vec::new();
        client.poll_transmit(&mut response);
        self.session.handle_bytes(self.now, &response);
        self.capabilities = capabilities & !CapabilityFlags::CLIENT_SSL;
        assert!(!matches!(client.poll_event(), Some(ClientEvent::Failed(_))), "the client gave up");
    }

    /// Sends one command and returns what the client reads at once.
    pub(super) fn send(&mut self, command: &ClientCommand<'_>) -> Packets {
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        command.encode(&mut payload);
        write_packet(&mut bytes, &mut 0, &payload);
        assert_eq!(self.session.handle_bytes(self.now, &bytes), bytes.len(), "the session was busy");
        self.receive()
    }

    pub(super) fn query(&mut self, sql: &str) -> Packets {
        self.send(&ClientCommand::Query(sql.as_bytes()))
    }

    /// The packets that the client reads now, numbered from 1.
    pub(super) fn receive(&mut self) -> Packets {
        self.receive_from(1)
    }

    pub(super) fn receive_from(&mut self, sequence: u8) -> Packets {
        let mut bytes = Vec::new();
        while self.session.poll_transmit(&mut bytes).is_some() {}
        let mut reader = PacketReader::new(1 << 20);
        reader.expect_sequence(sequence);
        let (mut rest, mut packets) = (bytes.as_slice(), Vec::new());
        while let Some(packet) = reader.next(&mut rest).unwrap() {
            packets.push(packet.payload.to_vec());
        }
        packets
    }

    pub(super) fn event(&mut self) -> Option<Event> {
        loop {
            match self.session.poll_event() {
                Some(Event::Rest(rests)) => self.rests = rests,
                Some(Event::Ended(outcome, trace)) => {
                    self.outcomes.push(outcome);
                    self.traces.extend(trace.map(|trace| *trace));
                }
                other => return other,
            }
        }
    }

    /// The wish for a connection that must be due.
    pub(super) fn wish(&mut self) -> Acquire {
        match self.event() {
            Some(Event::Acquire(acquire)) => acquire,
            other => panic!("expected a wish for a connection, not {other:?}"),
        }
    }

    pub(super) fn grant(&mut self, wish: &Acquire) {
        self.epoch += 1;
        let key = LeaseKey { tablet: wish.tablet, connection: 9, epoch: self.epoch };
        self.grant_key(key);
    }

    pub(super) fn grant_key(&mut self, key: LeaseKey) {
        self.grant_on(key, Position::default());
    }

    /// On a server that is known to have executed this.
    pub(super) fn grant_on(&mut self, key: LeaseKey, executed: Position) {
        self.session.lease_granted(self.now, Lease { key, tracks: true, executed, ran: None });
    }

    /// The request that must be due.
    pub(super) fn request(&mut self) -> Request {
        match self.event() {
            Some(Event::Submit(request)) => *request,
            other => panic!("expected a request, not {other:?}"),
        }
    }

    /// The wait for a primary that must be due.
    pub(super) fn hold(&mut self) -> Hold {
        match self.event() {
            Some(Event::Buffer(hold)) => hold,
            other => panic!("expected a wait for a primary, not {other:?}"),
        }
    }

    /// Grants the wish that is due; where it went, and the request that follows.
    pub(super) fn lend(&mut self) -> (TabletId, Request) {
        let wish = self.wish();
        self.grant(&wish);
        (wish.tablet, self.request())
    }

    pub(super) fn answer(&mut self, replies: Vec<Reply>) -> Packets {
        for reply in replies {
            self.session.handle_reply(self.now, reply);
        }
        self.receive()
    }

    /// A query from its sending to the release of its connection; returns where it ran.
    pub(super) fn run(&mut self, sql: &str, answer: OkPacket) -> TabletId {
        assert!(self.query(sql).is_empty(), "{sql} was answered by the gateway");
        let (tablet, _) = self.lend();
        self.answer(ok_reply(answer));
        self.expect_release();
        tablet
    }

    pub(super) fn expect_release(&mut self) {
        let event = match self.event() {
            // The gateway hears of a write first.
            Some(Event::Acknowledged(_)) => self.event(),
            other => other,
        };
        match event {
            Some(Event::Release(crate::gateway::session::Fate::Keep)) => {}
            other => panic!("expected the connection to go back, not {other:?}"),
        }
        self.expect_rest();
    }

    pub(super) fn expect_rest(&mut self) {
        assert!(self.event().is_none());
    }

    pub(super) fn expect_closed(&mut self, reason: Reason) {
        match self.event() {
            Some(Event::Closed(why)) if why == reason => {}
            other => panic!("expected the end, not {other:?}"),
        }
        self.expect_rest();
    }

    pub(super) fn prepare(&mut self, sql: &str, parameters: u16) -> u32 {
        assert!(self.send(&ClientCommand::Prepare(sql.as_bytes())).is_empty());
        let (_, request) = self.lend();
        assert!(matches!(request.command, Command::Prepare(_)));
        let ok = PrepareOk { statement_id: 4711, columns: 0, parameters, warnings: 0 };
        let packets = self.answer(vec![Reply::PrepareOk { seq: 1, ok }, Reply::End(Ended::Answered)]);
        self.expect_release();
        PrepareOk::parse(&packets[0]).unwrap().statement_id
    }
}

/// The text of a command that goes to a server as it stands.
pub(super) fn text(request: &Request) -> String {
    match &request.command {
        Command::Plain(payload) => String::from_utf8_lossy(&payload[1..]).into_owned(),
        other => panic!("{other:?} is no text"),
    }
}

/// Number of the error that a packet holds.
pub(super) fn error_code(packet: &[u8]) -> u16 {
    crate::mysql::packet::parse_err(packet).unwrap().code
}

pub(super) fn lost(effect: crate::error::Effect) -> Vec<Reply> {
    use crate::error::{Component, Kind};
    let kind = if effect == crate::error::Effect::Unknown { Kind::OutcomeUnknown } else { Kind::ServerLost };
    let error = Error::new(Component::Tablet, kind, "lost").with_effect(effect);
    vec![Reply::End(Ended::Failed(error))]
}
