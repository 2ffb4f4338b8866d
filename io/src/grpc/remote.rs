//! A tablet in another process, as a gateway uses it.
//!
//! Connections are borrowed over lanes (see `query.v1.proto`): one each, kept for the next when they are given back. What happens
//! when the process goes is for [`Loan`] to say.

use super::convert::{self, LastSettings, Malformed};
use super::outbox::{Outbox, outbox};
use super::proto::query as pb;
use super::proto::query::query_client::QueryClient;
use super::secrets;
use crate::clock;
use crate::tablet::{Accounts, Described, FIND_USER_TIME_MAX, Gauges};
use pb::from_gateway::What as Ask;
use pb::from_tablet::What as Said;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio_stream::Stream as _;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use weir_core::error::{Component, Error, Kind};
use weir_core::gateway::cluster::TabletId;
use weir_core::gateway::session::{Acquire, Fate, Lease, LeaseKey};
use weir_core::gtid::Position;
use weir_core::link::{AccountId, Interrupt, Loan, Reply, Request};
use weir_core::mysql::capability::{MariaDbCapabilities, offered_as_mariadb};
use weir_core::tablet::accounts::Account;
use weir_core::tablet::killer;
use weir_core::time::Duration;
use weir_core::topo::TabletAlias;

/// Lanes to one tablet that nobody uses and that are kept, at most.
const LANES_KEPT: usize = 1024;
/// How long a new lane may take.
const OPEN_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a question about the server may take, beyond what its own limit is.
const ANSWER_TIME_MARGIN: Duration = Duration::from_secs(1);
/// Bytes of a message that come with those of its parts.
const MESSAGE_BYTES: usize = 64;
/// Bytes of requests that the tablet has not taken, beyond which whoever sends more waits.
const UNSENT_HIGH_BYTES: usize = 256 * 1024;
/// The longest message taken from a tablet, in bytes: pieces of an answer are much shorter, but for the list of warnings.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// See the module.
pub struct RemoteTablet {
    id: TabletId,
    alias: TabletAlias,
    client: QueryClient<Channel>,
    accounts: Arc<Accounts>,
    idle: Mutex<Vec<Lane>>,
    gauges: Mutex<Gauges>,
}

/// A connection on its way. Dropped, it is not wanted any more.
pub(crate) type Borrowing = Pin<Box<dyn Future<Output = Result<Box<RemoteLoan>, Error>> + Send>>;

struct Lane {
    out: Outbox<pb::FromGateway>,
    input: Streaming<pb::FromTablet>,
    said: LastSettings,
}

impl fmt::Debug for RemoteTablet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTablet").field("id", &self.id).field("alias", &self.alias).finish_non_exhaustive()
    }
}

impl RemoteTablet {
    /// The tablet that this channel reaches; its server is logged in to as one of these.
    #[must_use]
    pub fn new(id: TabletId, alias: TabletAlias, channel: Channel, accounts: Arc<Accounts>) -> Arc<Self> {
        let client = QueryClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Arc::new(Self { id, alias, client, accounts, idle: Mutex::default(), gauges: Mutex::default() })
    }

    /// Its name in this process.
    #[must_use]
    pub const fn id(&self) -> TabletId {
        self.id
    }

    /// Its name in the cluster.
    #[must_use]
    pub const fn alias(&self) -> &TabletAlias {
        &self.alias
    }

    /// What it has told of its pool.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It tells of its pool.
    pub(crate) fn set_gauges(&self, gauges: Gauges) {
        *self.gauges.lock().unwrap_or_else(PoisonError::into_inner) = gauges;
    }

    fn unreachable(&self, why: impl fmt::Display) -> Error {
        let what = format!("weir-gateway: tablet {} cannot be reached ({why})", self.alias);
        Error::unexecuted(Component::Gateway, Kind::Unavailable, what)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a connection, and has it run what will be submitted first, when that is known.
    pub(crate) fn borrow(self: &Arc<Self>, wish: &Acquire, ahead: Option<Request>) -> Borrowing {
        Box::pin(Arc::clone(self).borrow_when_it_may(wish.clone(), ahead))
    }

    async fn borrow_when_it_may(
        self: Arc<Self>,
        wish: Acquire,
        ahead: Option<Request>,
    ) -> Result<Box<RemoteLoan>, Error> {
        loop {
            let kept = self.idle().pop();
            let (mut lane, is_new) = match kept {
                Some(lane) => (lane, false),
                None => (self.open().await?, true),
            };
            let (wish, bytes) = self.wish(&wish, ahead.clone(), &mut lane.said)?;
            let number = lane.out.push(pb::FromGateway { what: Some(wish) }, MESSAGE_BYTES + bytes);
            let why = match lane.input.message().await.map(|said| said.and_then(|said| said.what)) {
                Ok(Some(Said::Granted(granted))) => return RemoteLoan::new(self, lane, granted),
                Ok(Some(Said::Replies(pb::Replies { replies, granted: Some(granted), returned, between }))) => {
                    let mut loan = RemoteLoan::new(self, lane, granted)?;
                    (loan.replies, loan.between, loan.returned) = (replies.into(), between, returned);
                    return Ok(loan);
                }
                Ok(Some(Said::Refused(error))) => {
                    self.put_back(lane);
                    return Err(convert::read_error(error)?);
                }
                Ok(Some(Said::Replies(_))) => return Err(Malformed("replies to a wish").into()),
                Ok(None) => "it ended the lane".to_owned(),
                Err(status) => status.message().to_owned(),
            };
            if ahead.is_some() && lane.out.taken() >= number {
                return Err(Loan::lost_ahead(&self.alias.to_string(), &why));
            }
            // A kept one may have ended while nobody used it.
            if is_new {
                return Err(self.unreachable(why));
            }
        }
    }

    /// The message, and about how many bytes what is to run takes.
    fn wish(&self, wish: &Acquire, ahead: Option<Request>, said: &mut LastSettings) -> Result<(Ask, usize), Error> {
        let account = wish.class.account;
        let (wish, bytes) = acquire(wish, ahead, said);
        if account == AccountId::OWN {
            return Ok((Ask::Acquire(wish), bytes));
        }
        let login = self.accounts.login(account).and_then(|login| secrets::login(&login));
        let login = login.ok_or_else(|| self.unreachable("the account is not known any more"))?;
        Ok((Ask::AcquireAs(pb::AcquireAs { wish: Some(wish), login: Some(login) }), bytes))
    }

    async fn open(&self) -> Result<Lane, Error> {
        let (out, outlet) = outbox();
        let mut client = self.client.clone();
        let opening = tokio::time::timeout(OPEN_TIME_MAX, client.lend(outlet)).await;
        let opened = opening.map_err(|_| self.unreachable("no answer in time"))?;
        let input = opened.map_err(|status| self.unreachable(status.message()))?.into_inner();
        Ok(Lane { out, input, said: LastSettings::default() })
    }

    fn put_back(&self, lane: Lane) {
        let mut idle = self.idle();
        if idle.len() < LANES_KEPT {
            idle.push(lane);
        }
    }

    /// A session hears nothing of the server.
    pub(crate) fn doubt(&self, within: Duration) {
        let mut client = self.client.clone();
        let within_ns = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        // Whoever cannot be told is in doubt already.
        tokio::spawn(async move { client.doubt(pb::DoubtRequest { within_ns }).await });
    }

    /// What a gateway is to know of its server before it serves anybody.
    ///
    /// # Errors
    /// When the server does not answer, or the tablet cannot be reached.
    pub(crate) async fn describe(&self) -> Result<Described, Error> {
        let answer = self.client.clone().describe(pb::DescribeRequest {}).await;
        let answer = answer.map_err(|status| self.unreachable(status.message()))?.into_inner();
        match answer.is {
            Some(pb::describe_response::Is::Server(pb::Server { version, max_allowed_packet, of_mariadb })) => {
                let packet_bytes_max = usize::try_from(max_allowed_packet).unwrap_or(usize::MAX);
                let said = match of_mariadb {
                    0 => MariaDbCapabilities::STMT_BULK_OPERATIONS,
                    bits => MariaDbCapabilities::from_bits_retain(bits),
                };
                let of_mariadb = said & offered_as_mariadb(&version);
                Ok(Described { version, packet_bytes_max, of_mariadb })
            }
            Some(pb::describe_response::Is::Refused(error)) => Err(convert::read_error(error)?),
            None => Err(Malformed("no description").into()),
        }
    }

    /// See [`LocalTablet::find_user`](crate::tablet::LocalTablet::find_user).
    ///
    /// # Errors
    /// Its own, and when the tablet cannot be reached or is older.
    pub(crate) async fn find_user(&self, user: &[u8], host: &str) -> Result<Option<Account>, Error> {
        use pb::find_user_response::Is;
        let request = pb::FindUserRequest { user: user.to_vec(), host: host.to_owned() };
        let mut client = self.client.clone();
        let asking = tokio::time::timeout(FIND_USER_TIME_MAX + ANSWER_TIME_MARGIN, client.find_user(request));
        let answer = asking.await.map_err(|_| self.unreachable("no answer in time"))?;
        let answer = answer.map_err(|status| match status.code() {
            Code::Unimplemented => self.unreachable("it is older, and does not look accounts up"),
            _ => self.unreachable(status.message()),
        })?;
        match answer.into_inner().is {
            Some(Is::Account(account)) => Ok(Some(secrets::read_account(account)?)),
            Some(Is::Nobody(_)) => Ok(None),
            Some(Is::Refused(error)) => Err(convert::read_error(error)?),
            None => Err(Malformed("no account").into()),
        }
    }

    /// What its server has executed, as the primary of `term`.
    ///
    /// # Errors
    /// When it is not that, or does not answer.
    pub(crate) async fn primary_position(&self, term: u64) -> Result<Position, Error> {
        let answer = self.client.clone().primary_position(pb::PrimaryPositionRequest { term }).await;
        let answer = answer.map_err(|status| self.unreachable(status.message()))?.into_inner();
        match answer.is {
            Some(pb::primary_position_response::Is::Position(position)) => Ok(convert::read_position(Some(position))?),
            Some(pb::primary_position_response::Is::Refused(error)) => Err(convert::read_error(error)?),
            None => Err(Malformed("no position").into()),
        }
    }
}

fn acquire(wish: &Acquire, ahead: Option<Request>, said: &mut LastSettings) -> (pb::Acquire, usize) {
    let settings = said.say(&wish.settings);
    let (ahead, bytes) = ahead.map(|request| convert::request(request, said)).unzip();
    let patience = wish.deadline.map(|deadline| deadline.since(clock::now()));
    let acquire = pb::Acquire {
        holder: wish.holder,
        role: convert::role(wish.role).into(),
        term: wish.term,
        traits: wish.class.traits.bits().into(),
        needs: (!wish.needs.is_empty()).then(|| convert::position(&wish.needs)),
        settings,
        prefer: wish.prefer.map(convert::name),
        patience_ns: patience.map(|patience| u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX)),
        ahead,
    };
    (acquire, bytes.unwrap_or(0))
}

/// A connection that a session has for now.
pub(crate) struct RemoteLoan {
    tablet: Arc<RemoteTablet>,
    lane: Lane,
    key: LeaseKey,
    tracks: bool,
    executed: Position,
    thread: pb::Thread,
    machine: Loan,
    /// For how long what the session will submit first had run on it when the tablet told of it.
    /// `None` once that is submitted, or when nothing was sent ahead.
    ran: Option<Duration>,
    /// The tablet has the connection again: what else is to be known of it was received.
    returned: bool,
    /// The number of the message with the request that is under way.
    submitted: Option<u64>,
    /// Of a message that was received, what was not handed on yet.
    replies: VecDeque<pb::Reply>,
    /// After the last of them, as [`Reply::Between`].
    between: Option<u32>,
}

impl RemoteLoan {
    fn new(tablet: Arc<RemoteTablet>, lane: Lane, granted: pb::Granted) -> Result<Box<Self>, Error> {
        let name = granted.name.ok_or(Malformed("a connection without a name"))?;
        let thread = granted.thread.ok_or(Malformed("a connection without a thread"))?;
        let key = LeaseKey { tablet: tablet.id, connection: name.connection, epoch: name.epoch };
        let executed = convert::read_position(granted.executed)?;
        let machine = Loan::new(tablet.alias.to_string());
        Ok(Box::new(Self {
            tablet,
            lane,
            key,
            tracks: granted.tracks,
            executed,
            thread,
            machine,
            ran: granted.ran_ns.map(Duration::from_nanos),
            returned: false,
            submitted: None,
            replies: VecDeque::new(),
            between: None,
        }))
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { key: self.key, tracks: self.tracks, executed: self.executed.clone(), ran: self.ran }
    }

    /// Of which tablet.
    pub(crate) fn tablet(&self) -> TabletId {
        self.tablet.id
    }

    /// What the server calls it.
    pub(crate) const fn thread(&self) -> u32 {
        self.thread.id
    }

    pub(crate) fn submit(&mut self, request: Request) {
        if self.ran.take().is_some() {
            if self.machine.submit(request.read_only) {
                self.machine.handed_over();
            }
            return;
        }
        if self.returned {
            debug_assert!(false, "a session wants more of a connection that it had done with");
            self.lose("it has its connection back");
        }
        if !self.machine.submit(request.read_only) {
            return;
        }
        let (request, bytes) = convert::request(request, &mut self.lane.said);
        self.submitted = Some(self.say(Ask::Submit(request), bytes));
    }

    pub(crate) fn client_data(&self, packets: Vec<u8>) {
        let bytes = packets.len();
        self.say(Ask::ClientData(packets), bytes);
    }

    pub(crate) fn rest(&self, rests: bool) {
        if !self.returned {
            self.say(Ask::Rest(rests), 0);
        }
    }

    fn say(&self, ask: Ask, bytes: usize) -> u64 {
        self.lane.out.push(pb::FromGateway { what: Some(ask) }, MESSAGE_BYTES + bytes)
    }

    /// Gives it back. What still runs on it ends with the lane.
    pub(crate) fn release(self: Box<Self>, fate: Fate) {
        if self.machine.is_idle() && self.ran.is_none() {
            if !self.returned {
                self.say(Ask::Release(convert::release(fate)), 0);
            }
            self.tablet.put_back(self.lane);
        }
    }

    pub(crate) fn kill(&self, interrupt: Interrupt) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (tablet, thread) = (Arc::clone(&self.tablet), self.thread);
        let request = pb::KillRequest { thread: Some(thread), query: interrupt.query, soft: interrupt.soft };
        let is_another_s = self.returned;
        async move {
            if is_another_s {
                return Ok(());
            }
            let mut client = tablet.client.clone();
            let killing = tokio::time::timeout(killer::TIME_MAX + ANSWER_TIME_MARGIN, client.kill(request));
            let answer = killing.await.map_err(|_| tablet.unreachable("no answer in time"))?;
            let answer = answer.map_err(|status| tablet.unreachable(status.message()))?.into_inner();
            answer.error.map_or(Ok(()), |error| Err(convert::read_error(error)?))
        }
    }

    pub(crate) fn was_killed(&self) -> impl Future<Output = bool> + Send + use<> {
        let (tablet, thread) = (Arc::clone(&self.tablet), self.thread);
        async move {
            let mut client = tablet.client.clone();
            let asking = client.was_killed(pb::WasKilledRequest { thread: Some(thread) });
            let answer = tokio::time::timeout(killer::INQUIRY_TIME_MAX + ANSWER_TIME_MARGIN, asking).await;
            answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.into_inner().was_killed))
        }
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.lane.out.bytes()
    }

    /// The transport sends by itself; whoever waits for room is woken.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.lane.out.poll_below(cx, UNSENT_HIGH_BYTES);
        Poll::Pending
    }

    /// What is answered without having received anything.
    pub(crate) fn poll_reply(&mut self) -> Option<Reply> {
        self.machine.poll_end().map(Reply::End)
    }

    /// Receives once and hands each piece of the answer, with the bytes it counts in, to `take`.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, mut take: impl FnMut(Reply, &[u8])) -> Poll<()> {
        if self.machine.is_lost() || self.ran.is_some() {
            return Poll::Pending;
        }
        if self.replies.is_empty() {
            match ready!(Pin::new(&mut self.lane.input).poll_next(cx)) {
                Some(Ok(pb::FromTablet { what: Some(Said::Replies(said)) })) => {
                    self.replies.extend(said.replies);
                    self.between = said.between;
                }
                Some(Ok(_)) => self.lose("it has said what nobody has asked for"),
                Some(Err(status)) => self.lose(status.message()),
                None => self.lose("it ended the lane"),
            }
        }
        while let Some(reply) = self.replies.pop_front() {
            match convert::read_reply(reply) {
                Ok((reply, bytes)) if self.machine.heard(&reply) => take(reply, &bytes),
                Ok(_) => self.lose("it has answered what nobody has asked"),
                Err(malformed) => self.lose(&malformed.to_string()),
            }
        }
        if let Some(seq) = self.between.take().and_then(|seq| u8::try_from(seq).ok())
            && !self.machine.is_idle()
        {
            take(Reply::Between { seq }, &[]);
        }
        if let Some(end) = self.poll_reply() {
            take(end, &[]);
        }
        Poll::Ready(())
    }

    fn lose(&mut self, why: &str) {
        if self.submitted.is_some_and(|number| self.lane.out.taken() >= number) {
            self.machine.handed_over();
        }
        self.replies.clear();
        self.between = None;
        self.machine.lose(why);
    }
}
