//! One connection to a server: a stream, its machine, the bytes between them, and how it comes about.

use super::killer::Thread;
use crate::world::{Address, ConnId as Stream, Ctx, TimerId};
use std::sync::Arc;
use weir_core::error::{Component, Error, Kind};
use weir_core::gtid::Position;
use weir_core::link::{ConnectionClass, ConnectionTraits, Reply};
use weir_core::mutants::Mutants;
use weir_core::mysql::auth::{Proof, Secret};
use weir_core::mysql::capability::Agreed;
use weir_core::mysql::handshake::{ClientConfig, RsaKey, TlsMode, Transport};
use weir_core::tablet::conn::{self, BackendConfig, BackendConn, CloseReason, Event};
use weir_core::tablet::pool::ConnId;
use weir_core::time::{Duration, Instant};

/// The longest packet taken from a server, in bytes: what servers allow at most.
const PACKET_BYTES_MAX: u32 = 1 << 30;

/// How to connect to one server.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) address: Address,
    /// As errors name it.
    pub(super) name: String,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) connect_time_max: Duration,
    pub(super) statements_max: usize,
    pub(super) mutants: Mutants,
}

impl Connector {
    fn config(&self, class: ConnectionClass) -> BackendConfig {
        let Agreed { common, of_mariadb } = conn::capabilities(class);
        let handshake = ClientConfig {
            user: self.user.clone().into_bytes(),
            proof: Proof::Password(self.password.clone()),
            schema: None,
            capabilities: common,
            of_mariadb,
            collation: conn::BASELINE_COLLATION,
            max_packet_bytes: PACKET_BYTES_MAX,
            attributes: vec![(b"program_name".to_vec(), b"weir".to_vec())],
            transport: Transport::Plain,
            tls: TlsMode::Disabled,
            rsa_key: RsaKey::Refused,
        };
        BackendConfig {
            connect_timeout: self.connect_time_max,
            statements_max: self.statements_max,
            mutants: self.mutants,
            ..BackendConfig::new(self.name.clone(), handshake)
        }
    }

    fn unreachable(&self) -> Error {
        let message = format!("weir-tablet: can't connect to MySQL server on '{}'; retry is safe", self.name);
        Error::new(Component::Tablet, Kind::Unavailable, message)
    }
}

/// A connection, opened.
#[derive(Debug)]
pub(super) struct Connection {
    /// Its name in the tablet's pool.
    pub(super) id: ConnId,
    pub(super) class: ConnectionClass,
    /// How often it has been lent: tells whether somebody else has had it since.
    pub(super) epoch: u64,
    /// What the server was known to have executed when it was lent.
    pub(super) executed: Position,
    opened: Instant,
    pub(super) machine: BackendConn,
    /// `None` once it broke.
    pub(super) stream: Option<Stream>,
    output: Vec<u8>,
}

impl Connection {
    /// The next session can use it as it is.
    pub(super) fn is_reusable(&self) -> bool {
        let strayed =
            self.class.traits.contains(ConnectionTraits::NO_SCHEMA) && self.machine.settings().schema.is_some();
        self.machine.is_idle_and_clean() && !strayed
    }

    /// What its server calls it.
    pub(super) fn thread(&self) -> Option<Thread> {
        Some(Thread { id: self.machine.server_info()?.connection_id, opened: self.opened })
    }

    /// The peer has closed, or has said something that nobody asked for.
    pub(super) fn is_stale(&self, ctx: &Ctx<'_>) -> bool {
        self.stream.is_none_or(|stream| !ctx.peek(stream).is_empty())
    }

    /// Sends what the machine has to send, as far as the stream takes it.
    pub(super) fn write(&mut self, ctx: &mut Ctx<'_>) {
        let Some(stream) = self.stream else { return };
        while !self.output.is_empty() || self.machine.poll_transmit(&mut self.output) {
            let taken = ctx.write(stream, &self.output);
            self.output.drain(..taken);
            if !self.output.is_empty() {
                return;
            }
        }
    }

    /// Hands each piece of what has arrived, with the bytes it counts in, to `take`.
    pub(super) fn receive(&mut self, ctx: &mut Ctx<'_>, scratch: &mut Vec<u8>, take: impl FnMut(Reply, &[u8])) {
        scratch.clear();
        if let Some(stream) = self.stream {
            scratch.extend_from_slice(ctx.peek(stream));
            ctx.consume(stream, scratch.len());
            self.machine.handle_bytes(ctx.now(), scratch);
        }
        self.machine.hand_out(scratch, take);
    }

    /// The stream has ended.
    pub(super) fn lose(&mut self, now: Instant) {
        self.stream = None;
        self.machine.transport_closed(now);
    }

    /// Lets the stream go.
    pub(super) fn close(self, ctx: &mut Ctx<'_>) -> Option<Stream> {
        if let Some(stream) = self.stream {
            ctx.close(stream);
        }
        self.stream
    }
}

/// A connection on its way.
#[derive(Debug)]
pub(super) struct Dialing {
    id: ConnId,
    class: ConnectionClass,
    pub(super) stream: Stream,
    /// `None` while the stream is not there yet.
    connection: Option<Box<Connection>>,
    /// Armed for the connecting, then for the machine.
    timer: TimerId,
}

impl Dialing {
    pub(super) fn begin(
        ctx: &mut Ctx<'_>,
        connector: &Connector,
        id: ConnId,
        class: ConnectionClass,
        token: u64,
    ) -> Self {
        let stream = ctx.connect(connector.address);
        let timer = ctx.timer(token);
        ctx.arm(timer, Some(ctx.now() + connector.connect_time_max));
        Self { id, class, stream, connection: None, timer }
    }

    /// The stream is there.
    pub(super) fn connected(&mut self, ctx: &mut Ctx<'_>, connector: &Connector) {
        let machine = BackendConn::new(Arc::new(connector.config(self.class)), ctx.now());
        let stream = Some(self.stream);
        let (id, class, opened) = (self.id, self.class, ctx.now());
        let connection = Connection {
            id,
            class,
            epoch: 0,
            executed: Position::default(),
            opened,
            machine,
            stream,
            output: Vec::new(),
        };
        ctx.arm(self.timer, connection.machine.poll_timeout());
        self.connection = Some(Box::new(connection));
    }

    /// Bytes have come, or time has: how it ended, if it did.
    pub(super) fn advance(
        &mut self,
        ctx: &mut Ctx<'_>,
        connector: &Connector,
        scratch: &mut Vec<u8>,
    ) -> Option<Result<Box<Connection>, Error>> {
        let Some(connection) = &mut self.connection else { return None };
        connection.receive(ctx, scratch, |_, _| {});
        connection.machine.handle_timeout(ctx.now());
        connection.write(ctx);
        let event = connection.machine.poll_event()?;
        let outcome = match event {
            Event::Ready => Ok(self.connection.take()?),
            Event::Closed { reason } => Err(not_opened(reason)),
            Event::StartTls | Event::EncryptRsa { .. } => Err(connector.unreachable()),
        };
        Some(outcome)
    }

    /// The stream ended before the connection was open.
    pub(super) fn lost(&mut self, ctx: &mut Ctx<'_>, connector: &Connector, scratch: &mut Vec<u8>) -> Error {
        // What a server says before it hangs up is the reason.
        if let Some(Err(said)) = self.advance(ctx, connector, scratch) {
            return said;
        }
        match &mut self.connection {
            Some(_) => not_opened(CloseReason::Lost),
            None => connector.unreachable(),
        }
    }

    /// It took too long to connect.
    pub(super) fn timed_out(&mut self, connector: &Connector) -> Option<Error> {
        self.connection.is_none().then(|| connector.unreachable())
    }

    /// It is over: the timer is not needed any more, and the stream only when the connection is open.
    pub(super) fn end(self, ctx: &mut Ctx<'_>, opened: bool) {
        ctx.free_timer(self.timer);
        if !opened {
            ctx.close(self.stream);
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
    Error::new(Component::Tablet, Kind::Unavailable, format!("weir-tablet: {why}; retry is safe"))
}
