//! The model server behind the same client calls as a real one.

use std::rc::Rc;
use weir_core::gtid::Flavor;
use weir_core::mysql::auth::{Proof, Secret};
use weir_core::mysql::capability::{ASKED_OF_SERVERS, CapabilityFlags, MariaDbCapabilities};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::frame::{PacketReader, write_with};
use weir_core::mysql::handshake::{ClientConfig, ClientEvent, ClientHandshake, RsaKey, TlsMode, Transport};
use weir_core::mysql::resultset::{Answer, ResultReader};
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};
use weir_sim::mysql::wire::{Link, Users};
use weir_sim::mysql::{Config, Output, Server, Storage};

const LIMIT_BYTES: usize = 1 << 24;

/// A model server with its sessions, over real wire bytes.
pub(crate) struct Model {
    server: Server,
    users: Rc<Users>,
    links: Vec<(Link, CapabilityFlags)>,
    /// What it has received, and not yet told its source.
    acks: Vec<u64>,
    now: Instant,
}

impl Model {
    /// A server as the test's real one is set up: an administrator and an application.
    pub(crate) fn start(flavor: Flavor, server_id: u32) -> Self {
        let server = Server::start(Instant::ZERO, Config::new(flavor, server_id), Storage::default());
        let users = Rc::new(Users::new(&[("root", "r", true), ("app", "a", false)]));
        Self { server, users, links: Vec::new(), acks: Vec::new(), now: Instant::ZERO }
    }

    /// Logs in; the number is the session's.
    pub(crate) fn open(&mut self, administrator: bool) -> usize {
        let mut link = Link::new(&mut self.server, &self.users, &mut Rng::new(1));
        let (user, password) = if administrator { ("root", "r") } else { ("app", "a") };
        let mut handshake = ClientHandshake::new(ClientConfig {
            user: user.into(),
            proof: Proof::Password(Secret::new(password.as_bytes())),
            schema: Some(b"test".to_vec()),
            capabilities: ASKED_OF_SERVERS | CapabilityFlags::CLIENT_MULTI_STATEMENTS,
            of_mariadb: MariaDbCapabilities::STMT_BULK_OPERATIONS,
            collation: 45,
            max_packet_bytes: LIMIT_BYTES as u32,
            attributes: Vec::new(),
            transport: Transport::Plain,
            tls: TlsMode::Disabled,
            rsa_key: RsaKey::Refused,
        });
        loop {
            handshake.handle_bytes(&std::mem::take(link.output()));
            if let Some(event) = handshake.poll_event() {
                let ClientEvent::Ready(info) = event else { panic!("{event:?}") };
                self.links.push((link, info.capabilities));
                return self.links.len() - 1;
            }
            let mut bytes = Vec::new();
            handshake.poll_transmit(&mut bytes);
            link.handle_bytes(&mut self.server, self.now, &bytes);
        }
    }

    /// Runs a text of one statement or several. Waiting costs nothing: time jumps to the next deadline.
    pub(crate) fn run(&mut self, session: usize, sql: &str) -> Vec<Answer> {
        self.begin(session, sql);
        self.finish(session)
    }

    fn begin(&mut self, session: usize, sql: &str) {
        let mut packet = Vec::new();
        write_with(&mut packet, &mut 0, |out| ClientCommand::Query(sql.as_bytes()).encode(out));
        self.links[session].0.handle_bytes(&mut self.server, self.now, &packet);
        self.drain();
    }

    fn finish(&mut self, session: usize) -> Vec<Answer> {
        while self.links[session].0.output().is_empty() {
            self.now = self.server.poll_timeout().expect("a statement under way waits for something").max(self.now);
            self.server.handle_timeout(self.now);
            self.drain();
        }
        let (link, capabilities) = &mut self.links[session];
        read_answers(&std::mem::take(link.output()), *capabilities)
    }

    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Sync { token } => self.server.synced(self.now, token),
                Output::Done { session, outcome } => {
                    let link = self.links.iter_mut().find(|(link, _)| link.session() == session);
                    let (link, _) = link.expect("the session of a statement");
                    link.handle_outcome(&mut self.server, self.now, outcome);
                }
                Output::Acknowledge { end } => self.acks.push(end),
                Output::Close { .. } => {}
            }
        }
    }
}

/// A source and its replica, joined by hand: nothing takes time but waiting.
pub(crate) struct Couple {
    pub(crate) source: Model,
    pub(crate) replica: Model,
    /// What the replica gets next, and its connection.
    joined: Option<(u64, u64)>,
}

impl Couple {
    pub(crate) fn start() -> Self {
        let [source, replica] = [1, 2].map(|id| Model::start(Flavor::MariaDb, id));
        let mut couple = Self { source, replica, joined: None };
        let administrator = couple.replica.open(true);
        couple
            .replica
            .run(administrator, "CHANGE MASTER TO MASTER_HOST='s', MASTER_PORT=3306, MASTER_USE_GTID=slave_pos");
        couple
    }

    /// Runs a statement on the source; how long it took.
    pub(crate) fn run(&mut self, session: usize, sql: &str) -> (Vec<Answer>, Duration) {
        let begun = self.source.now;
        self.source.begin(session, sql);
        self.carry();
        let answers = self.source.finish(session);
        self.carry();
        (answers, self.source.now.since(begun))
    }

    /// Connects the replica or breaks its connection, as its receiver has it, and carries what there is.
    pub(crate) fn carry(&mut self) {
        let now = self.source.now;
        match (self.replica.server.receiver_wants(), self.joined) {
            (Some((_, has)), None) => {
                let (has, semi_sync) = (has.clone(), self.replica.server.is_semi_sync_replica());
                self.joined = Some(self.source.server.attach_replica(now, 2, semi_sync, &has).expect("it has the log"));
                self.replica.server.receiver_connected(true, None);
            }
            (None, Some((_, connection))) => {
                self.source.server.detach_replica(2, connection);
                self.joined = None;
            }
            _ => {}
        }
        let Some((next, _)) = &mut self.joined else { return };
        while let Some(transaction) = self.source.server.dump(*next).cloned() {
            *next += 1;
            self.replica.server.receive(self.replica.now, transaction, *next);
            self.replica.drain();
            for end in self.replica.acks.drain(..) {
                self.source.server.acknowledge(now, 2, end);
            }
            self.source.drain();
        }
    }
}

fn read_answers(bytes: &[u8], capabilities: CapabilityFlags) -> Vec<Answer> {
    let mut packets = PacketReader::new(LIMIT_BYTES);
    packets.expect_sequence(1);
    let mut input = bytes;
    let mut answers = Vec::new();
    let mut reader = ResultReader::new(capabilities, LIMIT_BYTES);
    while let Some(packet) = packets.next(&mut input).expect("frames") {
        if let Some(answer) = reader.feed(packet.payload).expect("an answer") {
            answers.push(answer);
            reader = ResultReader::new(capabilities, LIMIT_BYTES);
        }
    }
    answers
}
