//! One connection to a server: a socket, its machine, and the bytes between them.

use super::accounts::{Accounts, Login};
use super::compression::Compressed;
use super::encryption::Encryption;
use super::guard::TableGuard;
use super::killer::Thread;
use crate::clock;
use crate::crypto;
use crate::net::{Address, Stream, Timer};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use weir_core::error::{Component, Error, Kind};
use weir_core::gtid::Position;
use weir_core::link::{Collector, ConnectionClass, ConnectionTraits, Reply, Request};
use weir_core::mysql::capability::{Agreed, CapabilityFlags};
use weir_core::mysql::handshake::{ClientConfig, RsaKey, TlsMode, Transport};
use weir_core::mysql::resultset::Answer;
use weir_core::tablet::conn::{self, BackendConfig, BackendConn, CloseReason, Event};
use weir_core::tablet::pool::ConnId;
use weir_core::time::{Duration, Instant};

/// The longest packet taken from a server, in bytes: what servers allow at most.
const PACKET_BYTES_MAX: u32 = 1 << 30;

/// How to connect to one server.
#[derive(Debug)]
pub struct Connector {
    /// Where it listens.
    pub address: Address,
    /// Who may be logged in.
    pub accounts: Arc<Accounts>,
    /// How long connecting and logging in may take.
    pub connect_time_max: Duration,
    /// Prepared statements kept on one connection, at most.
    pub statements_max: usize,
    /// How hard what goes to the server is compressed, from 1 to 9, if it takes the compressed protocol; `None` asks for none.
    pub compression: Option<u32>,
    /// How what goes over TCP is encrypted; `None` for not at all.
    pub encryption: Option<Encryption>,
    /// Sessions use their connections in tasks of [`crate::Rings`].
    pub on_rings: bool,
    /// What says which statements of clients may touch their tables; `None` for all.
    pub guard: Option<Arc<TableGuard>>,
}

/// A connection, opened.
#[derive(Debug)]
pub struct Connection {
    /// Its name in the tablet's pool.
    pub id: ConnId,
    /// What it was opened as.
    pub class: ConnectionClass,
    /// How often it has been lent: tells whether somebody else has had it since.
    pub epoch: u64,
    /// What the server was known to have executed when it was lent.
    pub executed: Position,
    /// When it was opened.
    pub opened: Instant,
    /// The protocol's state.
    pub machine: BackendConn,
    /// The socket; `Gone` once it broke.
    pub stream: Stream,
    output: Vec<u8>,
    written: usize,
    /// The level that the server is asked for.
    compression: Option<u32>,
    /// Both ends compress.
    compressed: Option<Box<Compressed>>,
    guard: Option<Arc<TableGuard>>,
}

impl Connector {
    /// Connects and logs in, for statements of Weir's own.
    ///
    /// # Errors
    /// What the network or the server said; nothing was executed.
    pub async fn connect(&self, id: ConnId, class: ConnectionClass) -> Result<Box<Connection>, Error> {
        self.open(id, class, false).await
    }

    /// Connects and logs in, for sessions, to a server that is a member of a group or not.
    ///
    /// # Errors
    /// What the network or the server said; nothing was executed.
    pub(super) async fn connect_to(
        &self,
        id: ConnId,
        class: ConnectionClass,
        in_group: bool,
    ) -> Result<Box<Connection>, Error> {
        let mut connection = self.open(id, class, in_group).await?;
        if self.on_rings {
            let stream = std::mem::replace(&mut connection.stream, Stream::Gone);
            connection.stream = stream.onto_ring(false).map_err(|error| self.unreachable(&error))?;
        }
        Ok(connection)
    }

    async fn open(&self, id: ConnId, class: ConnectionClass, in_group: bool) -> Result<Box<Connection>, Error> {
        let opening = tokio::time::timeout(self.connect_time_max, Stream::connect(&self.address));
        let stream = opening.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        let login = self.accounts.login(class.account).ok_or_else(unknown_account)?;
        let config = Arc::new(BackendConfig { in_group, ..self.config(class, &login, &stream) });
        let machine = BackendConn::new(config, clock::now());
        let mut connection = Connection {
            id,
            class,
            epoch: 0,
            executed: Position::default(),
            opened: clock::now(),
            machine,
            stream,
            output: Vec::new(),
            written: 0,
            compression: self.compression,
            compressed: None,
            guard: self.guard.clone(),
        };
        connection.log_in(self).await?;
        connection.opened = clock::now();
        Ok(Box::new(connection))
    }

    fn config(&self, class: ConnectionClass, login: &Login, stream: &Stream) -> BackendConfig {
        let Agreed { common: mut capabilities, of_mariadb } = conn::capabilities(class);
        capabilities.set(CapabilityFlags::CLIENT_COMPRESS, self.compression.is_some());
        let handshake = ClientConfig {
            user: login.user.clone(),
            proof: login.proof.clone(),
            schema: None,
            capabilities,
            of_mariadb,
            collation: conn::BASELINE_COLLATION,
            max_packet_bytes: PACKET_BYTES_MAX,
            attributes: vec![(b"program_name".to_vec(), b"weir".to_vec())],
            transport: if matches!(stream, Stream::Unix(_)) { Transport::UnixSocket } else { Transport::Plain },
            tls: self.encryption.as_ref().map_or(TlsMode::Disabled, |encryption| encryption.mode),
            rsa_key: RsaKey::FromServer,
        };
        BackendConfig {
            connect_timeout: self.connect_time_max,
            statements_max: self.statements_max,
            ..BackendConfig::new(self.address.to_string(), handshake)
        }
    }

    fn unreachable(&self, error: &io::Error) -> Error {
        // The client's own wording for it (CR_CONN_HOST_ERROR), which operators search for.
        let message = format!("weir-tablet: can't connect to MySQL server on '{}' ({error})", self.address);
        Error::new(Component::Tablet, Kind::Unavailable, message)
    }

    fn not_encrypted(&self, error: &io::Error) -> Error {
        // And this is CR_SSL_CONNECTION_ERROR.
        let message = format!("weir-tablet: TLS/SSL error with MySQL server on '{}': {error}", self.address);
        Error::new(Component::Tablet, Kind::Unavailable, message)
    }
}

fn unknown_account() -> Error {
    Error::new(Component::Tablet, Kind::Unavailable, "weir-tablet: an account that nobody has logged in with")
}

impl Connection {
    /// Its session does not use it any more. Whether the next one can, as it is.
    #[must_use]
    pub fn rest(&mut self) -> bool {
        let strayed =
            self.class.traits.contains(ConnectionTraits::NO_SCHEMA) && self.machine.settings().schema.is_some();
        self.machine.is_idle_and_clean() && !strayed && self.stream.rest()
    }

    /// What the server calls it.
    #[must_use]
    pub fn thread(&self) -> Option<Thread> {
        let server = self.machine.server_info()?;
        Some(Thread { id: server.connection_id, opened: self.opened })
    }

    /// Runs a request of a session's, if it may be run: see [`BackendConn::submit`].
    pub(crate) fn submit(&mut self, now: Instant, request: Request) {
        // What cannot be run in any case is told so by the machine.
        let guard = self.guard.as_ref().filter(|_| self.machine.is_idle());
        match guard.map_or(Ok(()), |guard| guard.judge(&request, &self.machine)) {
            Ok(()) => self.machine.submit(now, request),
            Err(error) => self.machine.deny(error),
        }
    }

    async fn log_in(&mut self, connector: &Connector) -> Result<(), Error> {
        let mut timer = Timer::default();
        loop {
            match poll_fn(|cx| self.poll_event(cx, &mut timer)).await {
                Event::Ready => return Ok(()),
                Event::EncryptRsa { pem, plaintext } => self.machine.encrypted(crypto::encrypt(&pem, &plaintext)),
                Event::StartTls => self.start_tls(connector).await?,
                Event::Closed { reason } => return Err(not_opened(reason)),
            }
        }
    }

    async fn start_tls(&mut self, connector: &Connector) -> Result<(), Error> {
        let mut request = Vec::new();
        self.machine.poll_transmit(&mut request);
        let mut plain = std::mem::replace(&mut self.stream, Stream::Gone);
        let starting = async {
            let encryption = connector.encryption.as_ref().ok_or_else(|| io::Error::other("it was not asked for"))?;
            plain.write_all(&request).await?;
            encryption.start(plain, &connector.address).await
        };
        // TLS is part of the login, and has only as much time.
        let until = clock::to_tokio(self.machine.poll_timeout().unwrap_or(Instant::MAX));
        let started = tokio::time::timeout_at(until, starting).await;
        self.stream = started
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| connector.not_encrypted(&error))?;
        self.machine.tls_started();
        Ok(())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Event> {
        loop {
            if let Some(event) = self.machine.poll_event() {
                return Poll::Ready(event);
            }
            if self.poll_write(cx).is_ready() || self.poll_receive(cx, clock::now(), |_, _| {}).is_ready() {
                continue;
            }
            ready!(timer.poll(cx, self.machine.poll_timeout()));
            self.machine.handle_timeout(clock::now());
        }
    }

    /// Sends what the machine has to send; ready while there was something, pending when there is nothing (more) to do.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.written == self.output.len() {
            self.output.clear();
            self.output.shrink_to(conn::OUTPUT_KEPT_BYTES);
            self.written = 0;
            self.transmit();
        }
        if self.output.is_empty() {
            // TLS keeps back what the socket did not take; what is wrong with it is found when reading.
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..])) {
            Ok(written) if written > 0 => self.written += written,
            _ => self.lose(),
        }
        Poll::Ready(())
    }

    /// Takes what the machine has to send.
    fn transmit(&mut self) {
        if let (Some(level), Some(server)) = (self.compression, self.machine.server_info())
            && server.capabilities.contains(CapabilityFlags::CLIENT_COMPRESS)
        {
            // All after the handshake, of which this is the first.
            self.compression = None;
            self.compressed = Some(Box::new(Compressed::new(level)));
        }
        let Some(compressed) = &mut self.compressed else {
            self.machine.poll_transmit(&mut self.output);
            return;
        };
        let mut plain = Vec::new();
        if self.machine.poll_transmit(&mut plain) {
            compressed.deflate(&plain, &mut self.output);
        }
    }

    /// How many bytes the server has not taken yet.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.output.len() - self.written + self.machine.unsent_bytes()
    }

    /// Receives once and hands each piece of the answer, with the bytes it counts in, to `take`.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, now: Instant, mut take: impl FnMut(Reply, &[u8])) -> Poll<()> {
        if self.compressed.is_some() {
            return self.poll_receive_compressed(cx, now, take);
        }
        if matches!(self.stream, Stream::Gone) {
            return Poll::Pending;
        }
        let machine = &mut self.machine;
        let received = ready!(self.stream.poll_receive(cx, |bytes| {
            if !bytes.is_empty() {
                machine.handle_bytes(now, bytes);
                machine.hand_out(bytes, &mut take);
            }
            !bytes.is_empty()
        }));
        if !matches!(received, Ok(true)) {
            self.lose();
            self.machine.hand_out(&[], take);
        }
        Poll::Ready(())
    }

    /// The same of a server that compresses. What was received is handed on in pieces, one each time.
    fn poll_receive_compressed(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        take: impl FnMut(Reply, &[u8]),
    ) -> Poll<()> {
        let Some(compressed) = &mut self.compressed else { return Poll::Pending };
        let mut plain = Vec::new();
        let mut inflated = compressed.inflate(&mut plain);
        if plain.is_empty() && inflated.is_ok() {
            if matches!(self.stream, Stream::Gone) {
                return Poll::Pending;
            }
            let received = self.stream.poll_receive(cx, |bytes| {
                compressed.receive(bytes);
                !bytes.is_empty()
            });
            if !matches!(ready!(received), Ok(true)) {
                self.lose();
                self.machine.hand_out(&[], take);
                return Poll::Ready(());
            }
            inflated = compressed.inflate(&mut plain);
        }
        if !plain.is_empty() {
            self.machine.handle_bytes(now, &mut plain);
        }
        if inflated.is_err() {
            self.lose();
        }
        self.machine.hand_out(&plain, take);
        Poll::Ready(())
    }

    fn lose(&mut self) {
        self.stream = Stream::Gone;
        self.machine.transport_closed(clock::now());
    }

    /// Runs a read of Weir's own, under the settings that hold, and returns its answer.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is no answer to a query or too large.
    pub async fn query(&mut self, sql: &str) -> Result<Answer, Error> {
        self.ask(Request::own(Arc::clone(self.machine.settings()), sql)).await
    }

    /// Runs a read of Weir's own, and returns its answer.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn ask(&mut self, request: Request) -> Result<Answer, Error> {
        self.machine.submit(clock::now(), request);
        let mut collector = Collector::new();
        loop {
            if let Some(outcome) = collector.take_outcome() {
                return outcome;
            }
            poll_fn(|cx| {
                let sent = self.poll_write(cx).is_ready();
                let received =
                    self.poll_receive(cx, clock::now(), |reply, piece| collector.take(reply, piece)).is_ready();
                if sent || received || matches!(self.stream, Stream::Gone) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            while let Some(reply) = self.machine.poll_reply() {
                collector.take(reply, &[]);
            }
        }
    }
}

fn not_opened(reason: CloseReason) -> Error {
    let why = match reason {
        CloseReason::Refused(error) | CloseReason::Dismissed(error) | CloseReason::Unsettled(error) => return error,
        CloseReason::Protocol(error) => return error.raised_by(Component::Tablet),
        CloseReason::TimedOut(_) => "logging in took too long",
        CloseReason::Lost | CloseReason::Asked => "the connection broke while logging in",
    };
    Error::new(Component::Tablet, Kind::Unavailable, format!("weir-tablet: {why}"))
}
