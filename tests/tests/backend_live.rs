//! One connection's machine against real servers: what it brings about, relays, holds and learns.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use weir_core::error::{Effect, Error};
use weir_core::gtid::{Flavor, Position};
use weir_core::link::{
    Asks, Caller, ClientFormat, Command, ConnectionClass, ConnectionTraits, Ended, LongData, Reply, Request, Settings,
    Statement, Wait,
};
use weir_core::mysql::auth::{Proof, Secret};
use weir_core::mysql::binary::Value;
use weir_core::mysql::capability::{CapabilityFlags, MariaDbCapabilities};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::execute::{CURSOR_READ_ONLY, encode_parameters};
use weir_core::mysql::frame::{PacketReader, write_packet, write_with};
use weir_core::mysql::handshake::{ClientConfig, RsaKey, TlsMode, Transport};
use weir_core::mysql::packet::{OkHeader, OkPacket, PrepareOk, encode_end_of_rows, encode_err};
use weir_core::mysql::resultset::{Answer, ResultReader};
use weir_core::mysql::session_state::Change;
use weir_core::tablet::conn::{BackendConfig, BackendConn, CloseReason, Event, capabilities};
use weir_core::time::Instant;
use weir_tests::{MySql56, TestCluster, application};

const NOW: Instant = Instant::ZERO;
/// The longest silence of a server.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const RESULT_BYTES_MAX: usize = 64 << 20;
const EVERYTHING: ConnectionClass = ConnectionClass::of(
    ConnectionTraits::MULTI_STATEMENTS.union(ConnectionTraits::LOCAL_FILES).union(ConnectionTraits::FOUND_ROWS),
);

/// How a connection is opened.
#[derive(Clone)]
struct Opening {
    user: Vec<u8>,
    password: Vec<u8>,
    server_deprecates_eof: bool,
    client_deprecates_eof: bool,
    statements_max: usize,
}

impl Opening {
    fn new() -> Self {
        let account = application();
        Self {
            user: account.user.into_bytes(),
            password: account.password.into_bytes(),
            server_deprecates_eof: true,
            client_deprecates_eof: true,
            statements_max: 16,
        }
    }
}

/// A blocking driver of one machine.
struct Backend {
    conn: BackendConn,
    stream: TcpStream,
    client: CapabilityFlags,
    settings: Arc<Settings>,
    /// What a client's file holds, when the server asks for one.
    file: Vec<u8>,
    /// Writes since the last look.
    writes: usize,
}

/// What came of a request.
#[derive(Debug, Default)]
struct Outcome {
    /// What the client read.
    bytes: Vec<u8>,
    oks: Vec<OkPacket>,
    rows: Vec<u64>,
    error: Option<Error>,
    prepared: Option<PrepareOk>,
    tracked: Vec<OkPacket>,
    ended: Option<Ended>,
}

impl Backend {
    fn open(address: SocketAddr, opening: &Opening) -> Self {
        Self::try_open(address, opening).unwrap_or_else(|reason| panic!("{reason:?}"))
    }

    fn try_open(address: SocketAddr, opening: &Opening) -> Result<Self, CloseReason> {
        let stream = TcpStream::connect(address).expect("a server");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
        let mut asked = capabilities(EVERYTHING).common;
        asked.set(CapabilityFlags::CLIENT_DEPRECATE_EOF, opening.server_deprecates_eof);
        let handshake = ClientConfig {
            user: opening.user.clone(),
            proof: Proof::Password(Secret::new(opening.password.clone())),
            schema: None,
            capabilities: asked,
            of_mariadb: MariaDbCapabilities::STMT_BULK_OPERATIONS,
            collation: 45,
            max_packet_bytes: 1 << 30,
            attributes: Vec::new(),
            transport: Transport::Plain,
            tls: TlsMode::Disabled,
            rsa_key: RsaKey::Refused,
        };
        let config = BackendConfig {
            statements_max: opening.statements_max,
            ..BackendConfig::new(address.to_string(), handshake)
        };
        let mut client = CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_SESSION_TRACK;
        client.set(CapabilityFlags::CLIENT_DEPRECATE_EOF, opening.client_deprecates_eof);
        let conn = BackendConn::new(Arc::new(config), NOW);
        let mut backend = Self { conn, stream, client, settings: Arc::default(), file: Vec::new(), writes: 0 };
        loop {
            match backend.conn.poll_event() {
                Some(Event::Ready) => return Ok(backend),
                Some(Event::Closed { reason }) => return Err(reason),
                Some(event) => panic!("{event:?}"),
                None => drop(backend.step(&mut Outcome::default())),
            }
        }
    }

    /// Sends what there is to send, receives once and takes the pieces.
    fn step(&mut self, outcome: &mut Outcome) -> bool {
        let mut out = Vec::new();
        if self.conn.poll_transmit(&mut out) {
            self.writes += 1;
            self.stream.write_all(&out).expect("a server that reads");
        }
        self.take_pieces(&[], outcome);
        if outcome.ended.is_some() {
            return true;
        }
        // A size that cuts packets anywhere.
        let mut input = vec![0; 60_001];
        let len = self.stream.read(&mut input).expect("a server that speaks");
        if len == 0 {
            self.conn.transport_closed(NOW);
        } else {
            self.conn.handle_bytes(NOW, &mut input[..len]);
        }
        self.take_pieces(&input[..len], outcome);
        outcome.ended.is_some()
    }

    fn take_pieces(&mut self, mut input: &[u8], outcome: &mut Outcome) {
        while let Some(piece) = self.conn.poll_reply() {
            match piece {
                Reply::Forward { len } => {
                    outcome.bytes.extend_from_slice(&input[..len]);
                    input = &input[len..];
                }
                Reply::Skip { len } => input = &input[len..],
                Reply::Own(bytes) => outcome.bytes.extend_from_slice(&bytes),
                Reply::Ok { seq, ends_rows, rows, ok } => {
                    let client = self.client;
                    write_with(&mut outcome.bytes, &mut seq.clone(), |out| match ends_rows {
                        true => encode_end_of_rows(&ok, out, client),
                        false => ok.encode(out, OkHeader::Ok, client),
                    });
                    outcome.oks.push(ok);
                    outcome.rows.push(rows);
                }
                Reply::Err { seq, error } => {
                    let client = self.client;
                    write_with(&mut outcome.bytes, &mut seq.clone(), |out| encode_err(&error, out, client));
                    outcome.error = Some(error);
                }
                Reply::PrepareOk { seq, ok } => {
                    write_with(&mut outcome.bytes, &mut seq.clone(), |out| ok.encode(out));
                    outcome.prepared = Some(ok);
                }
                Reply::LocalInfile { seq, .. } => self.send_file(seq.wrapping_add(1)),
                Reply::Tracked(ok) => outcome.tracked.push(ok),
                Reply::Between { .. } | Reply::Digest(_) | Reply::Left(_) => {}
                Reply::End(ended) => outcome.ended = Some(ended),
            }
        }
        assert!(input.is_empty(), "pieces add up to the input");
    }

    fn send_file(&mut self, mut sequence: u8) {
        let mut packets = Vec::new();
        for chunk in self.file.chunks(7) {
            write_packet(&mut packets, &mut sequence, chunk);
        }
        write_packet(&mut packets, &mut sequence, b"");
        for piece in packets.chunks_mut(5) {
            assert_eq!(self.conn.client_data(piece), piece.len());
        }
    }

    fn request(&self, command: Command) -> Request {
        Request {
            settings: Arc::clone(&self.settings),
            last_insert_id: None,
            command,
            read_only: false,
            restores_variables: false,
            digests: false,
            asks: Asks::empty(),
            wait: None,
            client: ClientFormat {
                deprecate_eof: self.client.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF),
                progress: false,
            },
            caller: Caller::Unknown,
            trace: None,
        }
    }

    fn run(&mut self, request: Request) -> Outcome {
        let mut outcome = Outcome::default();
        self.writes = 0;
        self.conn.submit(NOW, request);
        while !self.step(&mut outcome) {}
        outcome
    }

    fn query(&mut self, sql: &str) -> Outcome {
        self.run(self.request(plain(sql)))
    }

    /// A read: its answers' values.
    fn values(&mut self, sql: &str) -> Vec<String> {
        let outcome = self.run(Request { read_only: true, ..self.request(plain(sql)) });
        assert_eq!(outcome.error, None, "{sql}");
        self.texts(&outcome.bytes)
    }

    /// The values of all rows of all answers, as a client reads them.
    fn texts(&self, bytes: &[u8]) -> Vec<String> {
        let answers = self.answers(bytes).into_iter();
        let rows = answers.filter_map(|answer| match answer {
            Answer::Rows(set, _) => Some(set.rows),
            _ => None,
        });
        rows.flatten()
            .flatten()
            .map(|value| value.map_or("NULL".to_owned(), |value| String::from_utf8_lossy(&value).into_owned()))
            .collect()
    }

    fn answers(&self, bytes: &[u8]) -> Vec<Answer> {
        let mut packets = PacketReader::new(RESULT_BYTES_MAX);
        packets.expect_sequence(1);
        let mut reader = ResultReader::new(self.client, RESULT_BYTES_MAX);
        let (mut rest, mut answers) = (bytes, Vec::new());
        while let Some(packet) = packets.next(&mut rest).expect("packets in sequence") {
            if let Some(answer) = reader.feed(packet.payload).expect("an answer") {
                answers.push(answer);
                reader = ResultReader::new(self.client, RESULT_BYTES_MAX);
            }
        }
        answers
    }

    fn statement(&self, sql: &str) -> Arc<Statement> {
        Arc::new(Statement { sql: sql.into(), settings: Arc::clone(&self.settings) })
    }

    fn execute(&mut self, statement: &Arc<Statement>, flags: u8, values: &[Value]) -> Outcome {
        let mut payload = Vec::new();
        encode_parameters(flags, values, &mut payload);
        let statement = Arc::clone(statement);
        self.run(self.request(Command::Execute { statement, payload, long_data: Vec::new(), bulk: false }))
    }

    fn set(&mut self, variables: &[(&str, &str)]) {
        let settings = Arc::make_mut(&mut self.settings);
        variables.iter().for_each(|(name, value)| settings.absorb(name.as_bytes(), value.as_bytes()));
    }
}

fn plain(sql: &str) -> Command {
    let mut payload = Vec::new();
    ClientCommand::Query(sql.as_bytes()).encode(&mut payload);
    Command::Plain(payload)
}

/// The variables that an OK packet reports.
fn reported(ok: &OkPacket) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut found = Vec::new();
    for change in ok.session_state().flatten() {
        if let Change::Variables(variables) = change {
            found.extend(variables.iter().map(|(name, value)| (text(name), text(value))));
        }
    }
    found
}

fn value_of(oks: &[OkPacket], name: &str) -> Option<String> {
    let all = oks.iter().flat_map(reported);
    all.filter(|(reported, _)| reported == name).fold(None, |_, (_, value)| Some(value))
}

#[test]
fn a_connection_is_what_each_request_wishes_and_says_what_changed() {
    let cluster = TestCluster::start(1);
    let mut backend = Backend::open(cluster.primary().address(), &Opening::new());
    backend.query("CREATE DATABASE one; CREATE DATABASE two; CREATE TABLE one.t (a INT AUTO_INCREMENT PRIMARY KEY)");

    // Settings, all in one write, and back to a fresh connection's.
    let fresh = backend.values(
        "SELECT DATABASE(), @@sql_mode, @@time_zone, @@character_set_client, @@character_set_results, \
         @@collation_connection, @@sql_select_limit, @@lc_time_names",
    );
    assert_eq!(fresh[3..6], ["utf8mb4", "utf8mb4", "utf8mb4_general_ci"]);
    backend.settings = Arc::new(Settings { schema: Some(b"one".to_vec()), ..Settings::default() });
    backend.set(&[
        ("sql_mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"),
        ("time_zone", "+05:45"),
        ("character_set_client", "latin1"),
        ("character_set_results", ""),
        ("collation_connection", "latin1_bin"),
        ("sql_select_limit", "7"),
        ("lc_time_names", "de_DE"),
    ]);
    let sql = "SELECT DATABASE(), @@sql_mode, @@time_zone, @@character_set_client, @@character_set_results, \
               @@collation_connection, @@sql_select_limit, @@lc_time_names";
    let wished = ["one", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "+05:45", "latin1", "NULL", "latin1_bin", "7", "de_DE"];
    assert_eq!(backend.values(sql), wished);
    assert_eq!(backend.writes, 1, "a read goes with what it needs");
    assert_eq!(backend.values(sql), wished);
    assert_eq!(*backend.conn.settings(), backend.settings);
    backend.settings = Arc::new(Settings { schema: Some(b"two".to_vec()), ..Settings::default() });
    assert_eq!(backend.values(sql)[1..], fresh[1..]);

    // A client's own SET and USE show in what the server reports, and hold on.
    let set = backend.query("SET sql_mode = 'ANSI', NAMES latin1 COLLATE latin1_bin");
    assert_eq!(set.ended, Some(Ended::Answered));
    assert!(value_of(&set.oks, "sql_mode").unwrap().contains("ANSI_QUOTES"));
    assert_eq!(value_of(&set.tracked, "collation_connection").as_deref(), Some("latin1_bin"));
    assert_eq!(backend.conn.settings().variables["collation_connection"], b"latin1_bin");
    backend.settings = Arc::clone(backend.conn.settings());
    backend.query("USE one");
    assert_eq!(backend.conn.settings().schema.as_deref(), Some(&b"one"[..]));
    backend.settings = Arc::clone(backend.conn.settings());

    // The position of a write comes with its OK.
    let insert = backend.query("INSERT INTO t VALUES ()");
    assert!(value_of(&insert.oks, "last_gtid").is_some());
    let returned = backend.query("INSERT INTO t VALUES () RETURNING a");
    assert!(value_of(&returned.oks, "last_gtid").is_some());
    let request =
        Request { last_insert_id: Some(77), read_only: true, ..backend.request(plain("SELECT LAST_INSERT_ID()")) };
    let outcome = backend.run(request);
    assert_eq!(backend.texts(&outcome.bytes), ["77"]);

    // What a prefix is refused is the client's answer, and nothing runs.
    backend.settings = Arc::new(Settings { schema: Some(b"gone".to_vec()), ..Settings::default() });
    for read_only in [true, false] {
        let refused = backend.run(Request { read_only, ..backend.request(plain("CREATE DATABASE nothing")) });
        assert_eq!(refused.error.as_ref().map(|error| (error.code, error.effect)), Some((1049, Effect::None)));
        assert_eq!(refused.ended, Some(Ended::Answered));
        if read_only {
            // It was no read, so that the lie shows that the answer is thrown away.
            backend.settings = Arc::default();
            backend.query("DROP DATABASE IF EXISTS nothing");
            backend.settings = Arc::new(Settings { schema: Some(b"gone".to_vec()), ..Settings::default() });
        }
    }
    backend.settings = Arc::default();
    assert_eq!(backend.values("SHOW DATABASES LIKE 'nothing'"), [""; 0]);
}

#[test]
fn transactions_and_what_errors_hide_are_known() {
    let cluster = TestCluster::start(1);
    let mut backend = Backend::open(cluster.primary().address(), &Opening::new());
    backend.query("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY)");
    backend.query(
        "CREATE PROCEDURE d.p() BEGIN SET SESSION lock_wait_timeout = 3; INSERT INTO d.t VALUES (1); START TRANSACTION; \
         SIGNAL SQLSTATE '45000'; END",
    );
    assert!(backend.conn.is_idle_and_clean());
    backend.query("BEGIN");
    assert!(backend.conn.in_transaction() && !backend.conn.is_idle_and_clean());
    backend.query("ROLLBACK");
    backend.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    assert!(!backend.conn.is_idle_and_clean(), "the next transaction is not like others");
    backend.query("BEGIN");
    backend.query("COMMIT");
    assert!(backend.conn.is_idle_and_clean());

    backend.query("CREATE PROCEDURE d.q() SET TRANSACTION READ ONLY");
    backend.query("CALL d.q()");
    assert!(
        !backend.conn.is_idle_and_clean(),
        "nobody can read in its text that the next transaction is not like others"
    );
    backend.query("BEGIN");
    backend.query("COMMIT");

    // A procedure that fails has written, opened a transaction and set a variable: none of it is in its ERR.
    let failed = backend.query("CALL d.p()");
    assert_eq!(failed.error.map(|error| error.code), Some(1644));
    assert!(backend.conn.in_transaction());
    assert!(value_of(&failed.tracked, "last_gtid").is_some());
    assert_eq!(value_of(&failed.tracked, "lock_wait_timeout").as_deref(), Some("3"));
    backend.settings = Arc::clone(backend.conn.settings());
    let warnings = backend.values("SHOW WARNINGS");
    assert!(warnings.contains(&"1644".to_owned()), "the diagnostics are as the client left them: {warnings:?}");
    backend.query("ROLLBACK");

    // With autocommit off an error leaves the transaction open; a deadlock or a failed BEGIN would not.
    backend.query("SET autocommit = 0");
    backend.settings = Arc::clone(backend.conn.settings());
    backend.query("INSERT INTO d.t VALUES (1)");
    assert!(backend.conn.in_transaction());
    backend.query("ROLLBACK");
    backend.query("SET autocommit = 1");
    backend.settings = Arc::clone(backend.conn.settings());
    backend.query("SELECT nonsense");
    assert!(backend.conn.is_idle_and_clean());

    // Variables of one statement do not stay, as the session knows; a reset brings everything back.
    let sql = "SET STATEMENT sql_select_limit = 1 FOR SELECT 1";
    let before = Arc::clone(backend.conn.settings());
    backend.run(Request { restores_variables: true, ..backend.request(plain(sql)) });
    assert_eq!(*backend.conn.settings(), before);
    let reset = backend.run(backend.request(Command::ResetConnection));
    assert_eq!((reset.oks.len(), reset.ended), (1, Some(Ended::Answered)));
    assert_eq!(**backend.conn.settings(), Settings::default());
    backend.settings = Arc::default();
    assert!(value_of(&backend.query("SET sql_select_limit = 5").oks, "sql_select_limit").is_some(), "trackers are on");
}

#[test]
fn answers_read_the_same_in_all_formats() {
    let cluster = TestCluster::start(1);
    for (server_deprecates_eof, client_deprecates_eof) in [(false, false), (false, true), (true, false), (true, true)] {
        let opening = Opening { server_deprecates_eof, client_deprecates_eof, ..Opening::new() };
        let mut backend = Backend::open(cluster.primary().address(), &opening);
        backend.query("CREATE DATABASE IF NOT EXISTS d; CREATE OR REPLACE TABLE d.t (a INT, b TEXT)");
        backend.settings = Arc::new(Settings { schema: Some(b"d".to_vec()), ..Settings::default() });

        let outcome =
            backend.query("SELECT 1, NULL; DO 1; SELECT seq FROM (SELECT 2 seq UNION SELECT 3) s; SELECT 4 WHERE 0");
        assert_eq!(backend.texts(&outcome.bytes), ["1", "NULL", "2", "3"]);
        assert_eq!(outcome.rows, [1, 0, 2, 0]);
        let outcome = backend.query("SELECT 1; SELECT nonsense");
        assert!(matches!(backend.answers(&outcome.bytes)[..], [Answer::Rows(..), Answer::Err(_)]));

        // LOAD DATA LOCAL behind a result set, where the ids of the client's packets differ from the server's.
        backend.file = b"1,one\n2,two\n".to_vec();
        let load = "SELECT 5; LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ','; SELECT COUNT(*) FROM t";
        let outcome = backend.query(load);
        assert_eq!(outcome.error, None);
        assert_eq!(outcome.oks[1].affected_rows, 2);
        assert_eq!(backend.values("SELECT a, b FROM t ORDER BY a"), ["1", "one", "2", "two"]);
        assert!(backend.conn.is_idle_and_clean());

        // Rows over a frame, in both protocols, and over many reads.
        let sql = "SELECT REPEAT('x', 17000000), 'end'";
        backend.query("SET GLOBAL max_allowed_packet = 1073741824");
        let mut backend = Backend::open(cluster.primary().address(), &opening);
        let values = backend.values(sql);
        assert_eq!((values[0].len(), values[1].as_str()), (17_000_000, "end"));
        let statement = backend.statement(sql);
        let outcome = backend.execute(&statement, 0, &[]);
        assert_eq!((outcome.error, outcome.rows), (None, vec![1]));
        assert!(outcome.bytes.len() > 17_000_000);

        // A command over a frame is answered in its own numbering.
        let outcome = backend.query(&format!("SELECT LENGTH('{}')", "x".repeat(17_000_000)));
        assert_eq!((outcome.error, outcome.rows, outcome.bytes[3]), (None, vec![1], 2));

        let fields = backend.run(backend.request(Command::Plain(b"\x04t\0".to_vec())));
        assert_eq!(fields.error.map(|error| error.code), Some(1046), "no schema");
        let text = backend.run(backend.request(Command::Plain(vec![9])));
        assert!(String::from_utf8_lossy(&text.bytes).contains("Uptime"));
        let ping = backend.run(backend.request(Command::Plain(vec![14])));
        assert_eq!(ping.oks.len(), 1);
        let option = backend.run(backend.request(Command::Plain(vec![27, 0, 0])));
        assert_eq!((option.oks.len(), option.ended), (1, Some(Ended::Answered)));
    }
}

#[test]
fn prepared_statements_live_where_they_are_needed() {
    let cluster = TestCluster::start(1);
    let address = cluster.primary().address();
    let opening = Opening { statements_max: 2, ..Opening::new() };
    let mut backend = Backend::open(address, &opening);
    backend.query("CREATE DATABASE one; CREATE DATABASE two; CREATE TABLE one.t (a INT, b LONGBLOB)");
    backend.query("CREATE TABLE two.t (a INT, b LONGBLOB); INSERT INTO two.t VALUES (2, NULL)");

    // Prepared on one connection, executed on another, which prepares it first and in its own schema.
    backend.settings = Arc::new(Settings { schema: Some(b"one".to_vec()), ..Settings::default() });
    let insert = backend.statement("INSERT INTO t VALUES (?, ?)");
    let prepared = backend.run(backend.request(Command::Prepare(Arc::clone(&insert))));
    assert_eq!(prepared.prepared.map(|ok| (ok.parameters, ok.columns)), Some((2, 0)));
    let again = backend.run(backend.request(Command::Prepare(Arc::clone(&insert))));
    assert!(again.prepared.is_some() && again.bytes.len() == prepared.bytes.len());
    let mut other = Backend::open(address, &opening);
    other.settings = Arc::new(Settings { schema: Some(b"two".to_vec()), ..Settings::default() });
    let outcome = other.execute(&insert, 0, &[Value::Int(7), Value::Bytes(b"blob".to_vec())]);
    assert_eq!((outcome.error, outcome.oks.len()), (None, 1));
    assert_eq!(other.values("SELECT DATABASE(), a, CONVERT(b USING utf8mb4) FROM one.t"), ["two", "7", "blob"]);

    // Long data goes before the execution.
    let mut payload = Vec::new();
    encode_parameters(0, &[Value::Int(8), Value::Bytes(Vec::new())], &mut payload);
    let types = payload.len() - 3;
    payload.truncate(types + 2);
    let long_data =
        vec![LongData { parameter: 1, data: b"long ".to_vec() }, LongData { parameter: 1, data: b"data".to_vec() }];
    let outcome =
        other.run(other.request(Command::Execute { statement: Arc::clone(&insert), payload, long_data, bulk: false }));
    assert_eq!(outcome.error, None);
    assert_eq!(other.values("SELECT CONVERT(b USING utf8mb4) FROM one.t WHERE a = 8"), ["long data"]);

    // Two are held, whatever is executed; one on the other connection, for what is held is prepared for its answer only.
    backend.values("SELECT 1");
    let selects: Vec<_> = (0..5).map(|n| other.statement(&format!("SELECT {n} + ?"))).collect();
    for statement in selects.iter().chain(&selects) {
        assert_eq!(other.execute(statement, 0, &[Value::Int(1)]).rows, [1]);
    }
    assert_eq!(
        cluster.primary().query("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'").unwrap().first("Value"),
        Some("3")
    );

    // A cursor keeps its statement.
    let cursor = other.statement("SELECT seq FROM seq_1_to_5");
    let opened = other.execute(&cursor, CURSOR_READ_ONLY, &[]);
    assert!(opened.error.is_none() && !other.conn.is_idle_and_clean());
    let fetch = |other: &mut Backend, rows| {
        let statement = Arc::clone(&cursor);
        other.run(other.request(Command::Fetch { statement, rows }))
    };
    assert_eq!(fetch(&mut other, 2).rows, [2]);
    for statement in &selects {
        assert_eq!(other.execute(statement, 0, &[Value::Int(1)]).rows, [1]);
    }
    assert_eq!(fetch(&mut other, 2).rows, [2]);
    assert_eq!(fetch(&mut other, 2).rows, [1]);
    let reset = other.run(other.request(Command::ResetStatement(Arc::clone(&cursor))));
    assert_eq!(reset.oks.len(), 1);
    assert!(other.conn.is_idle_and_clean());

    // A statement that the server has lost is prepared again, once.
    let mut other = Backend::open(address, &opening);
    let select = other.statement("SELECT ?");
    assert_eq!(other.execute(&select, 0, &[Value::Int(1)]).rows, [1]);
    let lost = Command::Plain(b"\x19\x01\x00\x00\x00".to_vec());
    other.conn.submit(NOW, other.request(lost));
    let mut out = Vec::new();
    other.conn.poll_transmit(&mut out);
    // COM_STMT_CLOSE has no answer: a ping in the same write lets the request end.
    write_packet(&mut out, &mut 0, &[14]);
    other.stream.write_all(&out).unwrap();
    let mut outcome = Outcome::default();
    while !other.step(&mut outcome) {}
    let outcome = other.execute(&select, 0, &[Value::Int(1)]);
    assert_eq!((outcome.error, outcome.rows), (None, vec![1]));

    // An execution whose statement cannot be prepared reads the server's reason.
    let wrong = other.statement("SELECT * FROM one.gone");
    let outcome = other.execute(&wrong, 0, &[]);
    assert_eq!(outcome.error.map(|error| (error.code, error.effect)), Some((1146, Effect::None)));
}

#[test]
fn a_read_waits_for_a_position_in_its_own_round_trip() {
    let cluster = TestCluster::start(2);
    let mut primary = Backend::open(cluster.primary().address(), &Opening::new());
    let mut replica = Backend::open(cluster.replicas()[0].address(), &Opening::new());
    let written = primary.query("CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (42)");
    let gtid = value_of(&written.oks, "last_gtid").expect("a position");
    let read = |backend: &Backend, position: &str, timeout_ms| Request {
        read_only: true,
        wait: Some(Wait {
            position: Position::parse(Flavor::MariaDb, position).unwrap(),
            timeout: Duration::from_millis(timeout_ms),
        }),
        ..backend.request(plain("SELECT a FROM d.t"))
    };
    let outcome = replica.run(read(&replica, &gtid, 20_000));
    assert_eq!((replica.texts(&outcome.bytes), replica.writes), (vec!["42".to_owned()], 1));
    // A position that is never reached: nothing of the read is seen, and the connection stays of use.
    let outcome = replica.run(read(&replica, "0-1-999999", 50));
    assert_eq!((outcome.bytes.len(), outcome.ended), (0, Some(Ended::WaitTimedOut)));
    assert_eq!(replica.values("SELECT a FROM d.t"), ["42"]);
    // A server that replicates nothing has applied nothing; a position of MySQL's makes no sense to it.
    assert_eq!(primary.run(read(&primary, &gtid, 50)).ended, Some(Ended::WaitTimedOut));
    let mut foreign = read(&replica, &gtid, 50);
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
    foreign.wait.as_mut().unwrap().position = Position::parse(Flavor::MySql, uuid).unwrap();
    assert_eq!(replica.run(foreign).ended, Some(Ended::WaitTimedOut));
}

#[test]
fn a_broken_connection_says_what_is_known_of_the_statement() {
    let cluster = TestCluster::start(1);
    let address = cluster.primary().address();
    let killed = |read_only: bool| {
        let mut backend = Backend::open(address, &Opening::new());
        let id = backend.conn.server_info().unwrap().connection_id;
        backend.conn.submit(NOW, Request { read_only, ..backend.request(plain("SELECT SLEEP(20)")) });
        let mut out = Vec::new();
        backend.conn.poll_transmit(&mut out);
        backend.stream.write_all(&out).unwrap();
        backend.conn.transport_closed(NOW);
        cluster.primary().query(&format!("KILL {id}")).unwrap();
        let mut outcome = Outcome::default();
        backend.take_pieces(&[], &mut outcome);
        let Some(Ended::Failed(error)) = outcome.ended else { panic!("{outcome:?}") };
        assert_eq!(backend.conn.poll_event(), Some(Event::Closed { reason: CloseReason::Lost }));
        assert!(error.message.starts_with(b"weir-tablet: the connection to server 127.0.0.1:"));
        error.effect
    };
    assert_eq!(killed(true), Effect::None);
    assert_eq!(killed(false), Effect::Unknown);

    let wrong = Opening { password: b"wrong".to_vec(), ..Opening::new() };
    match Backend::try_open(address, &wrong) {
        Err(CloseReason::Refused(error)) => assert_eq!((error.code, error.effect), (1045, Effect::None)),
        other => panic!("{:?}", other.map(|backend| backend.conn)),
    }
}

#[test]
fn a_server_without_trackers_is_known_as_such() {
    let server = MySql56::start();
    let opening = Opening { user: b"root".to_vec(), password: Vec::new(), ..Opening::new() };
    let mut backend = Backend::open(SocketAddr::from(([127, 0, 0, 1], server.port())), &opening);
    assert!(!backend.conn.tracks_session());
    backend.set(&[("sql_mode", "ANSI"), ("time_zone", "+01:00")]);
    assert_eq!(backend.values("SELECT @@time_zone, @@sql_mode LIKE '%ANSI_QUOTES%'"), ["+01:00", "1"]);
    assert!(backend.conn.is_idle_and_clean());
    backend.query("SET max_join_size = 5");
    assert!(!backend.conn.is_idle_and_clean(), "what a statement has left is not known");
    let outcome = backend.query("SELECT nonsense");
    assert_eq!(outcome.error.map(|error| error.code), Some(1054));
    // No COM_RESET_CONNECTION either.
    let reset = backend.run(backend.request(Command::ResetConnection));
    assert_eq!(reset.error.map(|error| error.code), Some(1047));
    let wait = Some(Wait {
        position: Position::parse(Flavor::MySql, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5").unwrap(),
        timeout: Duration::from_millis(10),
    });
    let read = Request { read_only: true, wait, ..backend.request(plain("SELECT 1")) };
    assert_eq!(backend.run(read).ended, Some(Ended::WaitTimedOut));
}
