//! A lane, at the tablet's end: lends connections to one gateway, one after the other, and carries what it says to them.

use super::convert::{self, LastSettings, Malformed};
use super::outbox::Outbox;
use super::proto::query as pb;
use crate::clock;
use crate::net::Timer;
use crate::tablet::{Connection, LocalTablet, Pending};
use pb::from_gateway::What as Ask;
use pb::from_tablet::What as Said;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream as _;
use tonic::Streaming;
use tracing::debug;
use weir_core::error::Error;
use weir_core::gateway::session::{Acquire, Fate, LeaseKey};
use weir_core::link::{AccountId, ConnectionClass, Reply};
use weir_core::time::{Duration, Instant};

/// Bytes of an answer that the gateway has not taken, beyond which nothing more is read from the server.
const OUTPUT_HIGH_BYTES: usize = 256 * 1024;
/// Bytes that the server has not taken, beyond which nothing more is taken from the gateway.
const INPUT_HIGH_BYTES: usize = 256 * 1024;
/// Bytes of a message that come with those of its parts.
const MESSAGE_BYTES: usize = 64;

/// See the module.
pub(super) struct Lender {
    tablet: Arc<LocalTablet>,
    /// Names this process.
    process: u64,
    input: Streaming<pb::FromGateway>,
    out: Outbox<pb::FromTablet>,
    said: LastSettings,
    lent: Lent,
    timer: Timer,
}

enum Lent {
    Nothing,
    Wished(Pending),
    Connection(Box<Connection>),
}

impl Lender {
    pub(super) fn new(
        tablet: Arc<LocalTablet>,
        process: u64,
        input: Streaming<pb::FromGateway>,
        out: Outbox<pb::FromTablet>,
    ) -> Self {
        Self {
            tablet,
            process,
            input,
            out,
            said: LastSettings::default(),
            lent: Lent::Nothing,
            timer: Timer::default(),
        }
    }

    /// Runs until the gateway ends the lane, or is not to be trusted with it any more.
    pub(super) async fn run(mut self) {
        if let Err(malformed) = poll_fn(|cx| self.poll(cx)).await {
            debug!("a lane ends: {malformed}");
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Malformed>> {
        loop {
            let mut moved = self.poll_wish(cx).is_ready();
            moved |= self.poll_connection(cx).is_ready();
            if self.takes_input() {
                match self.poll_input(cx) {
                    Poll::Ready(Ok(true)) => moved = true,
                    Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(malformed)) => return Poll::Ready(Err(malformed)),
                    Poll::Pending => {}
                }
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// What is wished for comes first: a gateway that says more before it is granted makes no sense.
    fn takes_input(&self) -> bool {
        !matches!(&self.lent, Lent::Connection(connection) if connection.unsent_bytes() > INPUT_HIGH_BYTES)
    }

    /// Ready with false when the lane has ended.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Malformed>> {
        Poll::Ready(match ready!(Pin::new(&mut self.input).poll_next(cx)) {
            Some(Ok(pb::FromGateway { what: Some(ask) })) => self.take(ask).map(|()| true),
            Some(Ok(_)) => Err(Malformed("a message of a kind that this version does not know")),
            Some(Err(_)) | None => Ok(false),
        })
    }

    fn take(&mut self, ask: Ask) -> Result<(), Malformed> {
        match (ask, &mut self.lent) {
            (Ask::Acquire(wish), Lent::Nothing) => {
                let wish = self.read_wish(wish)?;
                self.lent = Lent::Wished(self.tablet.acquire(clock::now(), &wish));
            }
            (Ask::Submit(request), Lent::Connection(connection)) if connection.machine.takes_requests() => {
                connection.machine.submit(clock::now(), convert::read_request(request, &mut self.said)?);
                self.pass_replies();
            }
            (Ask::ClientData(mut packets), Lent::Connection(connection)) => {
                connection.machine.client_data(&mut packets);
            }
            (Ask::Rest(rests), Lent::Connection(connection)) => self.tablet.rest(connection.id, rests),
            (Ask::Release(release), Lent::Connection(_)) => self.release(convert::read_release(release)),
            _ => return Err(Malformed("out of turn")),
        }
        Ok(())
    }

    fn read_wish(&mut self, wish: pb::Acquire) -> Result<Acquire, Malformed> {
        let tablet = self.tablet.id();
        let prefer = wish.prefer.map(|name| LeaseKey { tablet, connection: name.connection, epoch: name.epoch });
        Ok(Acquire {
            tablet,
            holder: wish.holder,
            role: convert::read_role(wish.role),
            term: wish.term,
            class: ConnectionClass { account: AccountId::OWN, traits: convert::read_traits(wish.traits)? },
            needs: convert::read_position(wish.needs)?,
            settings: self.said.read(wish.settings)?,
            prefer,
            deadline: wish.patience_ns.map(|patience| clock::now() + Duration::from_nanos(patience)),
        })
    }

    fn release(&mut self, fate: Fate) {
        if let Lent::Connection(connection) = std::mem::replace(&mut self.lent, Lent::Nothing) {
            self.tablet.release(clock::now(), connection, fate);
        }
    }

    fn poll_wish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Lent::Wished(pending) = &mut self.lent else { return Poll::Pending };
        let granted = ready!(pending.poll(cx));
        let (lent, said) = match granted {
            Ok(connection) => {
                let granted = granted_of(&connection, self.process);
                (Lent::Connection(connection), Said::Granted(granted))
            }
            Err(error) => (Lent::Nothing, Said::Refused(convert::error(error))),
        };
        self.lent = lent;
        self.say(said, 0);
        Poll::Ready(())
    }

    /// What has become of a connection whose server cannot be reached is told by the next request.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Lent::Connection(connection) = &mut self.lent else { return Poll::Pending };
        let mut moved = connection.poll_write(cx).is_ready();
        if self.timer.poll(cx, connection.machine.poll_timeout()).is_ready() {
            connection.machine.handle_timeout(clock::now());
            moved = true;
        }
        if moved {
            self.pass_replies();
        }
        moved |= self.poll_receive(cx).is_ready();
        if moved { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.out.poll_below(cx, OUTPUT_HIGH_BYTES));
        let Lent::Connection(connection) = &mut self.lent else { return Poll::Pending };
        let mut replies = Replies::default();
        let received = connection.poll_receive(cx, clock::now(), |reply, piece| replies.take(reply, piece));
        if let Some(executed) = connection.machine.take_executed() {
            self.tablet.waited(connection.id, executed);
        }
        self.send(replies);
        received
    }

    /// Hands on what the connection answers without having received anything.
    fn pass_replies(&mut self) {
        let Lent::Connection(connection) = &mut self.lent else { return };
        let mut replies = Replies::default();
        while let Some(reply) = connection.machine.poll_reply() {
            replies.take(reply, &[]);
        }
        self.send(replies);
    }

    fn send(&self, replies: Replies) {
        if !replies.list.is_empty() {
            self.say(Said::Replies(pb::Replies { replies: replies.list }), replies.bytes);
        }
    }

    fn say(&self, what: Said, bytes: usize) {
        self.out.push(pb::FromTablet { what: Some(what) }, MESSAGE_BYTES + bytes);
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.release(Fate::Close);
    }
}

/// Pieces that are told in one message.
#[derive(Default)]
struct Replies {
    list: Vec<pb::Reply>,
    bytes: usize,
}

impl Replies {
    fn take(&mut self, reply: Reply, piece: &[u8]) {
        self.bytes += match &reply {
            Reply::Own(bytes) => bytes.len(),
            _ => piece.len(),
        };
        self.list.extend(convert::reply(reply, piece));
    }
}

fn granted_of(connection: &Connection, process: u64) -> pb::Granted {
    let thread = connection.thread().map(|thread| pb::Thread { id: thread.id, opened_ns: thread.opened.0, process });
    pb::Granted {
        name: Some(pb::ConnectionName { connection: connection.id.0, epoch: connection.epoch }),
        tracks: connection.machine.tracks_session(),
        executed: Some(convert::position(&connection.executed)),
        thread,
    }
}

/// The connection that a gateway names; `None` when it is not of this process.
pub(super) fn read_thread(thread: Option<pb::Thread>, process: u64) -> Option<crate::tablet::Thread> {
    let thread = thread.filter(|thread| thread.process == process)?;
    Some(crate::tablet::Thread { id: thread.id, opened: Instant(thread.opened_ns) })
}

impl From<Malformed> for tonic::Status {
    fn from(malformed: Malformed) -> Self {
        Self::invalid_argument(Error::from(malformed).to_string())
    }
}
