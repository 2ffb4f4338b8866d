//! What applications do: they write rows, each once, read them back, and read long results.

use crate::server::{PASSWORD, PORT, USER};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;
use weir_core::mysql::auth::{Proof, Secret};
use weir_core::mysql::capability::{ASKED_OF_SERVERS, CapabilityFlags, MariaDbCapabilities};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::frame::{PacketReader, write_with};
use weir_core::mysql::handshake::{ClientConfig, ClientEvent, ClientHandshake, RsaKey, TlsMode, Transport};
use weir_core::mysql::resultset::{Answer, ResultReader};

/// No answer takes longer, whatever happens to the network: a lost process is noticed after 5 s, and a primary waited for for 10.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(25);
/// Of the long table.
pub(crate) const ROW_BYTES: usize = 16 * 1024;
/// Of one that is read again and again: more than a lane holds.
pub(crate) const ROWS: usize = 60;
const LIMIT_BYTES: usize = 1 << 26;
/// Between two statements of one client.
const PAUSE: Duration = Duration::from_millis(20);
/// Before it connects again.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Weir's error for a statement that may have been executed.
pub(crate) const OUTCOME_UNKNOWN: u16 = 1160;
const DUPLICATE_KEY: u16 = 1062;

/// What the application knows of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Refused,
    Unknown,
}

/// An application's connection to the gateway.
pub(crate) struct Client {
    stream: TcpStream,
    capabilities: CapabilityFlags,
    input: Vec<u8>,
    /// That have come of the answer that was asked for last.
    packets: usize,
}

impl Client {
    /// Connects, within the time of an answer.
    pub(crate) async fn open() -> io::Result<Self> {
        Self::open_at("gateway").await
    }

    /// The same, of a host that may be the server.
    pub(crate) async fn open_at(host: &str) -> io::Result<Self> {
        timeout(ANSWER_MAX, Self::log_in(host)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Connects as soon as that is possible.
    pub(crate) async fn open_soon() -> Self {
        loop {
            match Self::open().await {
                Ok(client) => return client,
                Err(_) => sleep(CONNECT_PAUSE).await,
            }
        }
    }

    async fn log_in(host: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect((host, PORT)).await?;
        let mut handshake = ClientHandshake::new(ClientConfig {
            user: USER.into(),
            proof: Proof::Password(Secret::new(PASSWORD.as_bytes())),
            schema: Some(b"test".to_vec()),
            capabilities: ASKED_OF_SERVERS,
            of_mariadb: MariaDbCapabilities::STMT_BULK_OPERATIONS,
            collation: 45,
            max_packet_bytes: LIMIT_BYTES as u32,
            attributes: Vec::new(),
            transport: Transport::Plain,
            tls: TlsMode::Disabled,
            rsa_key: RsaKey::Refused,
        });
        let mut input = Vec::new();
        loop {
            let mut bytes = Vec::new();
            if handshake.poll_transmit(&mut bytes) {
                stream.write_all(&bytes).await?;
            }
            match handshake.poll_event() {
                Some(ClientEvent::Ready(server)) => {
                    return Ok(Self { stream, capabilities: server.capabilities, input, packets: 0 });
                }
                Some(event) => return Err(io::Error::other(format!("{event:?}"))),
                None => {}
            }
            let taken = handshake.handle_bytes(&input);
            input.drain(..taken);
            if taken == 0 && stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(crate) async fn send(&mut self, sql: &str) -> io::Result<()> {
        let mut packet = Vec::new();
        write_with(&mut packet, &mut 0, |out| ClientCommand::Query(sql.as_bytes()).encode(out));
        self.packets = 0;
        self.stream.write_all(&packet).await
    }

    /// The answer to what was sent: all of it, or an error.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let mut packets = PacketReader::new(LIMIT_BYTES);
        packets.expect_sequence(1);
        let mut reader = ResultReader::new(self.capabilities, LIMIT_BYTES);
        loop {
            let mut rest = &self.input[..];
            let mut answer = None;
            while answer.is_none()
                && let Some(packet) = packets.next(&mut rest).expect("whole packets")
            {
                self.packets += 1;
                answer = reader.feed(packet.payload).expect("a result");
            }
            let taken = self.input.len() - rest.len();
            self.input.drain(..taken);
            if let Some(answer) = answer {
                assert!(self.input.is_empty(), "more than was asked for");
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Runs a statement. Whatever happens, its end comes in time.
    pub(crate) async fn run(&mut self, sql: &str) -> io::Result<Answer> {
        self.run_within(ANSWER_MAX, sql).await.inspect_err(|why| {
            assert!(why.kind() != io::ErrorKind::TimedOut, "no answer within {ANSWER_MAX:?}: {sql}");
        })
    }

    /// The same, of one who has the patience of an application whose gateway is gone.
    async fn run_within(&mut self, patience: Duration, sql: &str) -> io::Result<Answer> {
        let answered = async {
            self.send(sql).await?;
            self.answer().await
        };
        timeout(patience, answered).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

/// The text that a row has; nobody else's has it.
pub(crate) fn text(id: usize, bytes: usize) -> String {
    format!("{id:06}").repeat(bytes / 6)
}

/// Statements that make the long table, and put rows into it.
pub(crate) fn long_rows(rows: usize) -> Vec<String> {
    let create = "CREATE TABLE test.long_rows (id INT PRIMARY KEY, text VARCHAR(20000))".to_owned();
    let insert = |id| format!("INSERT INTO test.long_rows VALUES ({id}, '{}')", text(id, ROW_BYTES));
    std::iter::once(create).chain((1..=rows).map(insert)).collect()
}

/// How many rows there are, each with the text of its id, and each once.
pub(crate) fn check(rows: &Answer) -> Option<usize> {
    let Answer::Rows(rows, _) = rows else { return None };
    let mut last = 0;
    for row in &rows.rows {
        let [Some(id), Some(found)] = &row[..] else { panic!("{row:?}") };
        let id: usize = String::from_utf8_lossy(id).parse().expect("an id");
        assert!(id > last, "{id} comes after {last}");
        assert_eq!(String::from_utf8_lossy(found), text(id, found.len()), "bytes of another answer");
        last = id;
    }
    Some(rows.rows.len())
}

/// What the clients found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Of each row, and when that was known.
    pub(crate) fates: BTreeMap<usize, (Fate, Duration)>,
    pub(crate) whole_results: usize,
    /// Results that ended before their last row, with an error.
    pub(crate) cut_results: usize,
    /// Statements that came to nothing.
    pub(crate) failures: usize,
    /// Connections that ended while something was asked.
    pub(crate) lost: usize,
    /// How long a statement took at most.
    pub(crate) slowest: Duration,
    /// How long to wait for a gateway that may be gone for good; none is, else.
    pub(crate) patience: Option<Duration>,
    done: bool,
}

pub(crate) type SharedLog = Rc<RefCell<Log>>;

impl Log {
    /// Clients could tell that something happened.
    pub(crate) fn is_noticed(&self) -> bool {
        self.failures > 0 || self.slowest > Duration::from_secs(1)
    }

    /// Nobody's connection ended but to end a result that was not whole: amid a row there is no place for an error.
    pub(crate) fn keeps_connections(&self) -> bool {
        self.lost <= self.cut_results
    }

    /// Clients end what they are doing.
    pub(crate) fn end(&mut self) {
        self.done = true;
    }

    /// Statements that have done what they should.
    pub(crate) fn successes(&self) -> [usize; 2] {
        let acknowledged = self.fates.values().filter(|(fate, _)| *fate == Fate::Acknowledged).count();
        [acknowledged, self.whole_results]
    }

    /// The rows that are there are those that the clients were told of.
    pub(crate) fn audit(&self, ids: &[usize]) {
        let set: BTreeSet<usize> = ids.iter().copied().collect();
        assert_eq!(set.len(), ids.len());
        for (id, (fate, _)) in &self.fates {
            match fate {
                Fate::Acknowledged => assert!(set.contains(id), "{id} was acknowledged, and is lost"),
                Fate::Refused => assert!(!set.contains(id), "{id} was refused, and is there"),
                Fate::Unknown => {}
            }
        }
        assert!(set.iter().all(|id| self.fates.contains_key(id)), "nobody has written that");
    }
}

/// One that runs statements until the log says that it is enough, and connects again whenever it must.
struct Application {
    log: SharedLog,
    client: Option<Client>,
}

impl Application {
    fn new(log: SharedLog) -> Self {
        Self { log, client: None }
    }

    async fn connected(&mut self) -> bool {
        while self.client.is_none() && !self.log.borrow().done {
            self.client = Client::open().await.ok();
            sleep(CONNECT_PAUSE).await;
        }
        !self.log.borrow().done
    }

    /// `None` when the connection was lost. Answers are looked at by the caller.
    async fn run(&mut self, sql: &str) -> Option<Answer> {
        let client = self.client.as_mut()?;
        let (begun, patience) = (turmoil::elapsed(), self.log.borrow().patience);
        let answer = match patience {
            Some(patience) => client.run_within(patience, sql).await,
            None => client.run(sql).await,
        };
        let mut log = self.log.borrow_mut();
        log.slowest = log.slowest.max(turmoil::elapsed() - begun);
        if !matches!(answer, Ok(Answer::Ok(_) | Answer::Rows(..))) {
            log.failures += 1;
            log.cut_results += usize::from(client.packets > 1);
        }
        if answer.is_err() {
            log.lost += 1;
            self.client = None;
        }
        answer.ok()
    }
}

/// Writes rows one after the other, each once, and reads each back.
pub(crate) async fn write(log: SharedLog, first: usize) -> turmoil::Result {
    let mut application = Application::new(Rc::clone(&log));
    for id in first.. {
        if !application.connected().await {
            break;
        }
        let fate = match application.run(&format!("INSERT INTO t VALUES ({id}, '{}')", text(id, 60))).await {
            Some(Answer::Ok(_)) => Fate::Acknowledged,
            Some(Answer::Err(error)) if error.code == DUPLICATE_KEY => panic!("{id} was executed twice"),
            Some(Answer::Err(error)) if error.code == OUTCOME_UNKNOWN => Fate::Unknown,
            Some(Answer::Err(_)) => Fate::Refused,
            Some(Answer::Rows(..)) => panic!("rows for a write"),
            None => Fate::Unknown,
        };
        log.borrow_mut().fates.insert(id, (fate, turmoil::elapsed()));
        if let Some(answer) = application.run(&format!("SELECT id, text FROM t WHERE id = {id}")).await
            && let Some(found) = check(&answer)
        {
            match fate {
                Fate::Acknowledged => assert_eq!(found, 1, "{id} was acknowledged, and is not there"),
                Fate::Refused => assert_eq!(found, 0, "{id} was refused, and is there"),
                Fate::Unknown => {}
            }
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Reads the long rows again and again.
pub(crate) async fn read(log: SharedLog) -> turmoil::Result {
    let mut application = Application::new(Rc::clone(&log));
    while application.connected().await {
        if let Some(answer) = application.run("SELECT id, text FROM long_rows").await
            && let Some(rows) = check(&answer)
        {
            assert_eq!(rows, ROWS, "a result ends before its end, and nothing says so");
            log.borrow_mut().whole_results += 1;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The rows that are there.
pub(crate) async fn list(ids: Rc<RefCell<Vec<usize>>>) -> turmoil::Result {
    let Answer::Rows(rows, _) = Client::open().await?.run("SELECT id, text FROM t").await? else { panic!("no rows") };
    for row in rows.rows {
        let id = row.into_iter().next().flatten().expect("an id");
        ids.borrow_mut().push(String::from_utf8(id)?.parse()?);
    }
    Ok(())
}
