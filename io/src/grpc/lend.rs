//! A lane, at the tablet's end: lends connections to one gateway, one after the other, and carries what it says to them.

use super::convert::{self, LastSettings, Malformed};
use super::outbox::Outbox;
use super::proto::query as pb;
use super::secrets;
use super::traced::Traced;
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
use weir_core::link::{AccountId, ConnectionClass, Ended, Interrupt, Reply, Request};
use weir_core::time::{Duration, Instant, earliest};

/// Bytes of an answer that the gateway has not taken, beyond which nothing more is read from the server.
const OUTPUT_HIGH_BYTES: usize = 256 * 1024;
/// Bytes that the server has not taken, beyond which nothing more is taken from the gateway.
const INPUT_HIGH_BYTES: usize = 256 * 1024;
/// Bytes of a message that come with those of its parts.
const MESSAGE_BYTES: usize = 64;
/// How long a gateway may not know that what it sent with a wish runs. Until it does, it can neither kill it nor tell who is slow.
const UNTOLD_TIME_MAX: Duration = Duration::from_millis(1);

/// See the module.
pub(super) struct Lender {
    tablet: Arc<LocalTablet>,
    /// Names this process.
    process: u64,
    input: Streaming<pb::FromGateway>,
    out: Outbox<pb::FromTablet>,
    traced: Traced,
    said: LastSettings,
    lent: Lent,
    /// The gateway does not know yet of the connection on which this runs since then.
    untold: Option<(pb::Granted, Instant)>,
    /// What was submitted last changes nothing.
    reads: bool,
    timer: Timer,
}

enum Lent {
    Nothing,
    /// With what will run on it at once.
    Wished(Pending, Option<Box<Request>>),
    Connection(Box<Connection>),
}

impl Lender {
    pub(super) fn new(
        tablet: Arc<LocalTablet>,
        process: u64,
        input: Streaming<pb::FromGateway>,
        (out, traced): (Outbox<pb::FromTablet>, Traced),
    ) -> Self {
        Self {
            tablet,
            process,
            input,
            out,
            traced,
            said: LastSettings::default(),
            lent: Lent::Nothing,
            untold: None,
            reads: false,
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
            (Ask::Acquire(wish), Lent::Nothing) => self.wish(wish, Ok(AccountId::OWN))?,
            (Ask::AcquireAs(pb::AcquireAs { wish: Some(wish), login: Some(login) }), Lent::Nothing) => {
                let account = self.tablet.number(secrets::read_login(login)?);
                self.wish(wish, account)?;
            }
            (Ask::Submit(request), Lent::Connection(connection)) if connection.machine.takes_requests() => {
                let request = convert::read_request(request, &mut self.said)?;
                self.reads = request.read_only;
                self.traced.begin(&request);
                connection.submit(clock::now(), request);
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

    fn wish(&mut self, mut wish: pb::Acquire, account: Result<AccountId, Error>) -> Result<(), Malformed> {
        let ahead = wish.ahead.take();
        let mut wish = self.read_wish(wish)?;
        let ahead = ahead.map(|request| convert::read_request(request, &mut self.said)).transpose()?;
        if ahead.as_ref().is_some_and(|request| !request.read_only) {
            return Err(Malformed("a wish with something to be run that may change something"));
        }
        match account {
            Ok(account) => {
                wish.class.account = account;
                self.lent = Lent::Wished(self.tablet.acquire(clock::now(), &wish), ahead.map(Box::new));
            }
            Err(error) => self.say(Said::Refused(convert::error(error)), 0),
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
        let Lent::Wished(pending, ahead) = &mut self.lent else { return Poll::Pending };
        let (outcome, ahead) = (ready!(pending.poll(cx)), ahead.take());
        match (outcome, ahead) {
            (Ok(mut connection), Some(request)) => {
                let now = clock::now();
                self.untold = Some((granted_of(&connection, self.process), now));
                self.reads = true;
                self.traced.begin(&request);
                connection.submit(now, *request);
                self.lent = Lent::Connection(connection);
                self.pass_replies();
            }
            (Ok(connection), None) => {
                let granted = granted_of(&connection, self.process);
                self.lent = Lent::Connection(connection);
                self.say(Said::Granted(granted), 0);
            }
            (Err(error), _) => {
                self.lent = Lent::Nothing;
                self.say(Said::Refused(convert::error(error)), 0);
            }
        }
        Poll::Ready(())
    }

    /// What has become of a connection whose server cannot be reached is told by the next request.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Lent::Connection(connection) = &mut self.lent else { return Poll::Pending };
        let mut moved = connection.poll_write(cx).is_ready();
        let until = earliest(
            connection.machine.poll_timeout(),
            self.untold.as_ref().map(|(_, since)| *since + UNTOLD_TIME_MAX),
        );
        if self.timer.poll(cx, until).is_ready() {
            let now = clock::now();
            connection.machine.handle_timeout(now);
            if let Some(granted) = told(&mut self.untold, now, UNTOLD_TIME_MAX) {
                self.say(Said::Granted(granted), 0);
            }
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

    fn send(&mut self, replies: Replies) {
        if replies.list.is_empty() {
            return;
        }
        self.traced.take(&replies);
        let granted = if self.untold.is_some() { told(&mut self.untold, clock::now(), Duration::ZERO) } else { None };
        let returned = granted.is_some() && replies.are_all && self.take_back();
        let between = replies.between.map(u32::from);
        self.say(Said::Replies(pb::Replies { replies: replies.list, granted, returned, between }), replies.bytes);
    }

    /// The gateway wants nothing more of the connection if that is clean.
    fn take_back(&mut self) -> bool {
        let is_clean = matches!(&self.lent, Lent::Connection(connection) if connection.machine.is_idle_and_clean());
        if is_clean {
            self.release(Fate::Keep);
        }
        is_clean
    }

    fn say(&self, what: Said, bytes: usize) {
        self.out.push(pb::FromTablet { what: Some(what) }, MESSAGE_BYTES + bytes);
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        // Nobody waits for what it reads.
        if let Lent::Connection(connection) = &self.lent
            && self.reads
            && !connection.machine.is_idle()
            && let Some(thread) = connection.thread()
        {
            tokio::spawn(Arc::clone(&self.tablet).kill(thread, Interrupt::CONNECTION));
        }
        self.release(Fate::Close);
    }
}

/// Pieces that are told in one message.
#[derive(Default)]
pub(super) struct Replies {
    list: Vec<pb::Reply>,
    bytes: usize,
    /// The last is among them, and nothing went wrong.
    are_all: bool,
    /// After the last of them, as [`Reply::Between`].
    between: Option<u8>,
    /// The number of the error among them.
    pub(super) error: Option<u16>,
    /// The last is among them; true: it is an answer.
    pub(super) ended: Option<bool>,
}

impl Replies {
    fn take(&mut self, reply: Reply, piece: &[u8]) {
        self.bytes += match &reply {
            Reply::Own(bytes) => bytes.len(),
            _ => piece.len(),
        };
        self.between = match &reply {
            Reply::Between { seq } => Some(*seq),
            Reply::Skip { .. } => self.between,
            _ => None,
        };
        match &reply {
            Reply::Err { error, .. } => self.error = Some(error.code),
            Reply::End(ended) => self.ended = Some(*ended == Ended::Answered),
            _ => {}
        }
        self.are_all |= self.ended == Some(true);
        self.list.extend(convert::reply(reply, piece));
    }
}

/// What is told of a connection on which something runs, once it has run for `after`.
fn told(untold: &mut Option<(pb::Granted, Instant)>, now: Instant, after: Duration) -> Option<pb::Granted> {
    let (granted, since) = untold.take_if(|(_, since)| *since + after <= now)?;
    let ran = u64::try_from(now.since(since).as_nanos()).unwrap_or(u64::MAX);
    Some(pb::Granted { ran_ns: Some(ran), ..granted })
}

fn granted_of(connection: &Connection, process: u64) -> pb::Granted {
    let thread = connection.thread().map(|thread| pb::Thread { id: thread.id, opened_ns: thread.opened.0, process });
    pb::Granted {
        name: Some(pb::ConnectionName { connection: connection.id.0, epoch: connection.epoch }),
        tracks: connection.machine.tracks_session(),
        executed: Some(convert::position(&connection.executed)),
        thread,
        ran_ns: None,
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
