//! The instructions that the machines execute for one statement, counted by valgrind: the same on every run and every machine of a kind.
//!
//! ```text
//! ./x bench --instructions
//! ```
//!
//! Without arguments it runs itself under valgrind, compares with the record in `docs/src/performance/instructions.tsv`, and fails when
//! something takes over 3 % more; `--write` makes the record anew. With a name and a number it plays so many statements.
//!
//! Session, pool and server connection pass on to one another what the driver of a gateway would; sockets and the server are left out.

use std::process::{Command as Process, ExitCode};
use std::sync::Arc;
use weir_core::gateway::cluster::{Rules, Serving, TabletId, TabletView, View};
use weir_core::gateway::config::{Greeting, SessionConfig, SessionLimits};
use weir_core::gateway::digests::Digests;
use weir_core::gateway::session::{Event, Lease, LeaseKey, Peer, Session};
use weir_core::gateway::users::Users;
use weir_core::gateway::variables::Variables;
use weir_core::gtid::Position;
use weir_core::link::{AccountId, ConnectionClass};
use weir_core::mutants::Mutants;
use weir_core::mysql::auth::{AuthPlugin, Credential, Nonce, Proof, Secret};
use weir_core::mysql::capability::{ASKED_OF_MARIADB, ASKED_OF_SERVERS, offered_as_mariadb};
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::frame::{PacketReader, write_packet};
use weir_core::mysql::handshake::{ClientConfig, ClientHandshake, RsaKey, TlsMode, Transport};
use weir_core::mysql::packet::OkPacket;
use weir_core::mysql::resultset::{TextResultSet, write_columns};
use weir_core::rng::Rng;
use weir_core::tablet::conn::{self, BackendConfig, BackendConn};
use weir_core::tablet::pool::{self, Pool, Ticket};
use weir_core::time::{Duration, Instant};
use weir_core::topo::Role;
use weir_core::trace::Sampler;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/performance/instructions.tsv");
/// What is not counted: the set-up, and what happens until buffers have grown.
const BEFORE: usize = 1_000;
const COUNTED: usize = 1_000;
/// Instructions more than on record, in percent, that are no regression.
const TOLERANCE: f64 = 3.0;

const AUTOCOMMIT: u16 = 2;
/// The server's greeting, 10.11.6-MariaDB.
const GREETING: &[u8] = b"\x0a5.5.5-10.11.6-MariaDB\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15\
                          \0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0";
const ROW: &[u8] = b"08566691963-88624912351-16662227201-46648573979-64646226163-77505759394-75470094713-41097360717-15161106334-50535565977";
const LARGE_ROWS: usize = 4 << 10;

/// One thing that is counted.
struct Count {
    name: &'static str,
    what: &'static str,
    play: fn(&mut Path, usize),
    /// This share of the statements is traced; `None`: traces are off.
    traced: Option<f64>,
}

/// A point select like others before it.
fn point_select(n: usize) -> String {
    format!("SELECT c FROM sbtest{} WHERE id={}", n % 4 + 1, 1000 + n)
}

const COUNTS: [Count; 6] = [
    Count {
        name: "query",
        what: "a point select as text, like others before it",
        play: |path, n| path.query(&point_select(n)),
        traced: None,
    },
    Count {
        name: "traced",
        what: "the same, where 1 % are traced (spans are made elsewhere)",
        play: |path, n| path.query(&point_select(n)),
        traced: Some(0.01),
    },
    Count {
        name: "commented",
        what: "the same, each with a traceparent of its own that is not sampled",
        play: |path, n| {
            let trace = format!("00-4bf92f3577b34da6a3ce929d{n:08x}-00f067aa0ba902b7-00");
            path.query(&format!("{} /*traceparent='{trace}'*/", point_select(n)));
        },
        traced: Some(0.01),
    },
    Count {
        name: "new-query",
        what: "a point select as text of a kind not seen before",
        play: |path, n| path.query(&format!("SELECT c{:04} FROM sbtest1 WHERE id=1000", n)),
        traced: None,
    },
    Count {
        name: "execute",
        what: "a point select that was prepared",
        play: |path, n| path.execute(n as u32),
        traced: None,
    },
    Count {
        name: "relay",
        what: "half a MiB in rows of 120 bytes",
        play: |path, _| path.query("SELECT c FROM large"),
        traced: None,
    },
];

/// From a client to a server and back.
struct Path {
    session: Session,
    pool: Pool,
    conn: BackendConn,
    now: Instant,
    tickets: u64,
    /// What the session has, or had last.
    lent: pool::ConnId,
    digests: Digests,
    epoch: u64,
    statement: u32,
    small: Vec<u8>,
    large: Vec<u8>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_packet(&mut bytes, &mut { sequence }, payload);
    bytes
}

fn ok() -> OkPacket {
    OkPacket { status: AUTOCOMMIT, ..OkPacket::default() }
}

fn result(rows: usize) -> Vec<u8> {
    let rows = vec![vec![Some(ROW.to_vec())]; rows];
    let mut bytes = Vec::new();
    TextResultSet { columns: vec![ColumnDefinition::text("c")], rows }.write(
        &mut bytes,
        &mut 1,
        &ok(),
        ASKED_OF_SERVERS,
    );
    bytes
}

impl Path {
    fn new(traced: Option<f64>) -> Self {
        let now = Instant(1_000_000_000);
        let mut path = Self {
            session: session(now, traced),
            pool: Pool::new("tablet", pool::Config::default(), Rng::new(1)),
            conn: connection(now),
            now,
            tickets: 0,
            lent: pool::ConnId(0),
            digests: Digests::new(1_000),
            epoch: 0,
            statement: 0,
            small: result(1),
            large: result(LARGE_ROWS),
            to_server: Vec::new(),
            to_client: Vec::new(),
        };
        path.log_in();
        path.send(&ClientCommand::InitDb(b"sbtest"));
        path.send(&ClientCommand::Prepare(b"SELECT c FROM sbtest1 WHERE id=?"));
        // Header, OK, and the id that the session gives it.
        let id: [u8; 4] = path.to_client[5..9].try_into().expect("the answer to a PREPARE");
        path.statement = u32::from_le_bytes(id);
        path
    }

    fn log_in(&mut self) {
        let mut client = ClientHandshake::new(client("app"));
        let mut greeting = Vec::new();
        self.session.collect(&mut greeting, &[]);
        client.handle_bytes(&greeting);
        let mut response = Vec::new();
        client.poll_transmit(&mut response);
        self.session.handle_bytes(self.now, &response);
        self.pass_on();
    }

    fn query(&mut self, sql: &str) {
        self.send(&ClientCommand::Query(sql.as_bytes()));
    }

    fn execute(&mut self, id: u32) {
        // One LONG parameter, whose type is said each time, as drivers do.
        let mut rest = vec![0, 1, 3, 0];
        rest.extend_from_slice(&id.to_le_bytes());
        let statement = self.statement.to_le_bytes();
        let payload = [&[0x17], &statement[..], &[0, 1, 0, 0, 0], &rest].concat();
        self.send_payload(&payload);
    }

    fn send(&mut self, command: &ClientCommand<'_>) {
        let mut payload = Vec::new();
        command.encode(&mut payload);
        self.send_payload(&payload);
    }

    fn send_payload(&mut self, payload: &[u8]) {
        self.now += Duration::from_micros(100);
        self.to_client.clear();
        let bytes = packet(0, payload);
        assert_eq!(self.session.handle_bytes(self.now, &bytes), bytes.len(), "the session was busy");
        self.pass_on();
        assert!(!self.to_client.is_empty(), "no answer");
    }

    /// What the driver of a gateway does.
    fn pass_on(&mut self) {
        loop {
            self.session.collect(&mut self.to_client, &[]);
            let Some(event) = self.session.poll_event() else {
                if self.serve() {
                    continue;
                }
                return;
            };
            match event {
                Event::Admit { .. } => self.session.admitted(self.now, Ok(AccountId::OWN)),
                Event::Acquire(wish) => {
                    self.tickets += 1;
                    let request = pool::Acquire {
                        ticket: Ticket(self.tickets),
                        holder: wish.holder,
                        class: wish.class,
                        settings: wish.settings,
                        prefer: None,
                        deadline: wish.deadline,
                    };
                    self.pool.handle(self.now, pool::Input::Acquire(request));
                    self.lend(wish.tablet);
                }
                Event::Submit(request) => self.conn.submit(self.now, *request),
                Event::Release(_) => {
                    let release = pool::Input::Release {
                        conn: self.lent,
                        settings: Arc::clone(self.conn.settings()),
                        epoch: self.epoch,
                        fate: pool::Fate::Keep,
                    };
                    self.pool.handle(self.now, release);
                    while self.pool.poll_output().is_some() {}
                }
                Event::Ended(outcome, _) => {
                    if let Some(fingerprint) = outcome.fingerprint {
                        let form = || self.session.normal_form(fingerprint);
                        self.digests.count(self.now, fingerprint, &outcome, form);
                    }
                }
                Event::Rest(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn lend(&mut self, tablet: TabletId) {
        while let Some(output) = self.pool.poll_output() {
            match output {
                pool::Output::Open { conn, .. } => self.pool.handle(self.now, pool::Input::Opened { conn }),
                // The one server connection plays all of the pool's.
                pool::Output::Close { .. } => {}
                pool::Output::Granted { conn, .. } => {
                    self.lent = conn;
                    self.epoch += 1;
                    let key = LeaseKey { tablet, connection: conn.0, epoch: self.epoch };
                    let lease = Lease { key, tracks: true, executed: Position::default(), ran: None };
                    self.session.lease_granted(self.now, lease);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The server answers what it was sent, if anything.
    fn serve(&mut self) -> bool {
        self.to_server.clear();
        if !self.conn.poll_transmit(&mut self.to_server) {
            return false;
        }
        let sent = std::mem::take(&mut self.to_server);
        for answer in answers(&sent, &self.small, &self.large) {
            // As much as a driver reads at once.
            for piece in answer.chunks(64 << 10) {
                let mut piece = piece.to_vec();
                self.conn.handle_bytes(self.now, &mut piece);
                let (session, to_client, now) = (&mut self.session, &mut self.to_client, self.now);
                self.conn.hand_out(&piece, |reply, piece| {
                    session.handle_reply(now, reply);
                    session.collect(to_client, piece);
                });
            }
        }
        self.to_server = sent;
        true
    }
}

fn answers(sent: &[u8], small: &[u8], large: &[u8]) -> Vec<Vec<u8>> {
    let (mut reader, mut rest, mut answers) = (PacketReader::new(1 << 24), sent, Vec::new());
    while let Ok(Some(packet)) = reader.next(&mut rest) {
        answers.push(match packet.payload {
            [3, sql @ ..] if sql.ends_with(b"large") => large.to_vec(),
            [3, b'S', b'E', b'L', ..] => small.to_vec(),
            [0x16, ..] => prepared(),
            [0x17, ..] => executed(),
            _ => ok_bytes(),
        });
        reader.expect_sequence(0);
    }
    answers
}

fn ok_bytes() -> Vec<u8> {
    packet(1, b"\0\0\0\x02\0\0\0")
}

fn prepared() -> Vec<u8> {
    let mut bytes = packet(1, b"\0\x01\0\0\0\x01\0\x01\0\0\0\0");
    for (sequence, name) in [(2, "?"), (3, "c")] {
        let mut definition = Vec::new();
        ColumnDefinition::text(name).encode(&mut definition, ASKED_OF_MARIADB);
        bytes.extend_from_slice(&packet(sequence, &definition));
    }
    bytes
}

fn executed() -> Vec<u8> {
    let (mut bytes, mut sequence) = (Vec::new(), 1);
    write_columns(&mut bytes, &mut sequence, &[ColumnDefinition::text("c")], AUTOCOMMIT, ASKED_OF_SERVERS);
    write_packet(&mut bytes, &mut sequence, &[&[0, 0, ROW.len() as u8], ROW].concat());
    write_packet(&mut bytes, &mut sequence, b"\xfe\0\0\x02\0\0\0");
    bytes
}

fn client(user: &str) -> ClientConfig {
    ClientConfig {
        user: user.into(),
        proof: Proof::Password(Secret::new(b"secret".to_vec())),
        schema: None,
        capabilities: ASKED_OF_SERVERS,
        of_mariadb: ASKED_OF_MARIADB,
        collation: 45,
        max_packet_bytes: 1 << 24,
        attributes: Vec::new(),
        transport: Transport::Plain,
        tls: TlsMode::Disabled,
        rsa_key: RsaKey::Refused,
    }
}

fn session(now: Instant, traced: Option<f64>) -> Session {
    let config = SessionConfig {
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
        users: Users::one("app", Credential::from_password(&Secret::new(b"secret".to_vec()))),
        variables: Variables::default(),
        limits: SessionLimits::default(),
        digests: std::env::var_os("WEIR_WITHOUT_DIGESTS").is_none(),
        traces: traced.map(|ratio| Arc::new(Sampler::new(ratio, 1_000))),
        audit: None,
        mutants: Mutants::NONE,
    };
    let tablet = |id, role| TabletView {
        role,
        term: 1,
        serving: Serving::Yes,
        lag: Some(Duration::ZERO),
        ..TabletView::new(TabletId(id), format!("here-{id}").parse().expect("an alias"), 100)
    };
    let view = View::new(vec![tablet(1, Role::Primary), tablet(2, Role::Replica)], Rules::default());
    let peer = Peer {
        id: 7,
        host: "192.0.2.1".into(),
        transport: Transport::Plain,
        nonce: Nonce::from_random([7; 20]),
        seed: 1,
    };
    Session::new(Arc::new(config), Arc::new(view), peer, now)
}

fn connection(now: Instant) -> BackendConn {
    let handshake = ClientConfig { capabilities: conn::capabilities(ConnectionClass::PLAIN).common, ..client("app") };
    let mut conn = BackendConn::new(Arc::new(BackendConfig::new("server", handshake)), now);
    for mut bytes in [packet(0, GREETING), packet(2, b"\0\0\0\x02\0\0\0"), ok_bytes()] {
        conn.poll_transmit(&mut Vec::new());
        conn.handle_bytes(now, &mut bytes);
    }
    assert_eq!(conn.poll_event(), Some(conn::Event::Ready));
    while conn.poll_reply().is_some() {}
    conn
}

/// Instructions of one statement: those of many without those of the first.
fn instructions(count: &Count) -> Result<u64, String> {
    let of = |statements: usize| {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let run = Process::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args([count.name, &statements.to_string()])
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
        collected.ok_or_else(|| format!("{}: valgrind counted nothing:\n{said}", count.name))
    };
    Ok((of(BEFORE + COUNTED)? - of(BEFORE)?) / COUNTED as u64)
}

#[expect(clippy::print_stdout, reason = "what it is run for")]
fn compare(write: bool) -> Result<bool, String> {
    let record = std::fs::read_to_string(RECORD).unwrap_or_default();
    let on_record = |name: &str| {
        let line = record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))?;
        line.split('\t').next()?.parse::<u64>().ok()
    };
    let mut lines = String::from("name\tinstructions\twhat\n");
    let mut holds = true;
    for count in &COUNTS {
        let now = instructions(count)?;
        let before = on_record(count.name);
        let more = before.map(|before| (now as f64 / before as f64 - 1.0) * 100.0);
        holds &= more.is_some_and(|more| more <= TOLERANCE);
        let change = more.map_or("not on record".to_owned(), |more| format!("{more:+.1} % against the record"));
        println!("{:<10} {now:>9} instructions: {} ({change})", count.name, count.what);
        lines.push_str(&format!("{}\t{now}\t{}\n", count.name, count.what));
    }
    if write {
        std::fs::write(RECORD, lines).map_err(|error| format!("{RECORD}: {error}"))?;
    }
    Ok(holds || write)
}

#[expect(clippy::print_stderr, reason = "what it is run for")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        [] => compare(false),
        ["--write"] => compare(true),
        [name, statements] => match (COUNTS.iter().find(|count| count.name == name), statements.parse::<usize>()) {
            (Some(count), Ok(statements)) => {
                let mut path = Path::new(count.traced);
                (0..statements).for_each(|n| (count.play)(&mut path, n));
                Ok(true)
            }
            _ => Err(format!("'{name} {statements}' is no name and number")),
        },
        _ => Err("usage: weir-instructions [--write]".to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("weir-instructions: more than {TOLERANCE} % over the record, or not on it");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("weir-instructions: {why}");
            ExitCode::from(2)
        }
    }
}
