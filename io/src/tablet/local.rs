//! One tablet in this process: its machine behind a lock, its idle connections, and the tasks that open, watch and time.

use super::accounts::Login;
use super::connection::{Connection, Connector};
use super::gauges::Gauges;
use super::killer::{Killer, Thread};
use super::probe::Prober;
use crate::clock;
use crate::net::Address;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{debug, info, warn};
use weir_core::error::{Component, Error, Kind};
use weir_core::gateway::cluster::TabletId;
use weir_core::gateway::session::{Acquire, Fate};
use weir_core::gtid::Position;
use weir_core::link::{AccountId, Interrupt};
use weir_core::rng::Rng;
use weir_core::tablet::accounts::Account;
use weir_core::tablet::drain::{Drain, Open};
use weir_core::tablet::heartbeat::{BeatId, Plan};
use weir_core::tablet::manager::{Config, Identity, Input, Output, ProbeId, Tablet};
use weir_core::tablet::orders;
use weir_core::tablet::pool::{self, CloseReason, ConnId, Preferred, Ticket};
use weir_core::time::{Duration, Instant};
use weir_core::topo::{Health, Observation, Role, TabletAlias};

/// How long it may take to look a user up.
pub(crate) const FIND_USER_TIME_MAX: Duration = Duration::from_secs(2);

/// What a tablet tells the cluster.
#[derive(Debug)]
pub enum News {
    /// Its state, for routing.
    Health(TabletId, Health),
    /// What its server said, for finding roles.
    Observed(TabletId, Box<Observation>),
    /// Its server did not answer.
    Silent(TabletId),
    /// How it is, when it takes orders.
    State(TabletId, Box<orders::State>),
}

/// How a tablet reaches its server for its own purposes.
#[derive(Debug)]
pub struct Own {
    /// By the account that watches it.
    pub monitor: Connector,
    /// By the account that writes heartbeats. One that may not write on a read-only server is safer: MariaDB lets statements go on
    /// a moment before `@@read_only`, by which a beat refuses itself otherwise, says what holds for everybody else already.
    pub beats: Connector,
}

/// A tablet of this process.
pub struct LocalTablet {
    id: TabletId,
    alias: TabletAlias,
    connector: Connector,
    prober: tokio::sync::Mutex<Prober>,
    /// Reads the position for others, so that a slow probe keeps nobody waiting.
    positions: tokio::sync::Mutex<Prober>,
    /// Writes heartbeats, so that a commit that hangs keeps nobody waiting.
    beats: tokio::sync::Mutex<Prober>,
    /// Reads accounts for clients that log in.
    users: tokio::sync::Mutex<Prober>,
    killer: Killer,
    note: Mutex<Option<String>>,
    news: mpsc::Sender<News>,
    /// What is open on the lent connections, for whoever drains the server.
    open: watch::Sender<Open>,
    state: Mutex<State>,
    /// The machine's deadline has come nearer than the one slept for.
    rearm: Arc<Notify>,
    /// For the tasks that outlive a call.
    this: Weak<Self>,
}

struct State {
    machine: Tablet,
    idle: BTreeMap<ConnId, Box<Connection>>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<Box<Connection>, Error>>>,
    next_ticket: u64,
    /// What the timer task sleeps for.
    armed: Option<Instant>,
}

impl fmt::Debug for LocalTablet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTablet")
            .field("id", &self.id)
            .field("address", &self.connector.address)
            .finish_non_exhaustive()
    }
}

impl LocalTablet {
    /// A tablet for the server that `connector` reaches.
    #[must_use]
    pub fn start(
        id: TabletId,
        identity: Identity,
        config: Config,
        connector: Connector,
        own: Own,
        news: mpsc::Sender<News>,
        seed: u64,
    ) -> Arc<Self> {
        let (monitor, beats) = (Arc::new(own.monitor), Arc::new(own.beats));
        let tablet = Arc::new_cyclic(|this| Self {
            id,
            alias: identity.alias.clone(),
            connector,
            prober: tokio::sync::Mutex::new(Prober::new(Arc::clone(&monitor))),
            positions: tokio::sync::Mutex::new(Prober::new(Arc::clone(&monitor))),
            beats: tokio::sync::Mutex::new(Prober::new(beats)),
            users: tokio::sync::Mutex::new(Prober::new(monitor)),
            killer: Killer::default(),
            note: Mutex::default(),
            news,
            open: watch::Sender::default(),
            state: Mutex::new(State {
                machine: Tablet::new(identity, config, Rng::new(seed)),
                idle: BTreeMap::new(),
                waiting: BTreeMap::new(),
                next_ticket: 0,
                armed: None,
            }),
            rearm: Arc::default(),
            this: Weak::clone(this),
        });
        tokio::spawn(keep_time(Weak::clone(&tablet.this)));
        tablet
    }

    /// Its name in this process.
    #[must_use]
    pub const fn id(&self) -> TabletId {
        self.id
    }

    /// What people are to know of its server, for `SHOW WEIR TABLETS`.
    pub(crate) fn note(&self, note: Option<String>) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// Its name in the cluster.
    #[must_use]
    pub const fn alias(&self) -> &TabletAlias {
        &self.alias
    }

    /// Where its server listens.
    pub(crate) const fn address(&self) -> &Address {
        &self.connector.address
    }

    /// What operators see of its pool.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (pool, _, [kills, kills_failed]) = self.counters();
        Gauges {
            granted: pool.granted,
            granted_waited: pool.granted_waited,
            refused: pool.refused_queue_full
                + pool.refused_queue_timeout
                + pool.refused_connect
                + pool.refused_draining,
            opened: pool.opened,
            open_failed: pool.open_failed,
            idle: pool.idle,
            busy: pool.busy,
            opening: pool.opening,
            waiting: pool.waiting,
            kills,
            kills_failed,
            note: self.note.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What its pool counts, how many connections that may have, and the kills that were done and that failed.
    pub(crate) fn counters(&self) -> (pool::Counters, u32, [u64; 2]) {
        let kills = [&self.killer.done, &self.killer.failed].map(|count| count.load(Ordering::Relaxed));
        let state = self.state();
        (state.machine.counters(), state.machine.capacity(), kills)
    }

    /// Its server's account of `user` when it comes from `host`; `None` when it has no such account.
    ///
    /// # Errors
    /// When the server does not answer in time or refuses, or the account's method cannot be used on a client's behalf.
    pub async fn find_user(&self, user: &[u8], host: &str) -> Result<Option<Account>, Error> {
        let found = async {
            let mut asker = self.users.lock().await;
            match asker.find_user(user, host).await {
                // The connection may have been closed since the last question.
                Err(error) if error.component != Component::Server => asker.find_user(user, host).await,
                outcome => outcome,
            }
        };
        let limit = tokio::time::timeout(FIND_USER_TIME_MAX, found);
        limit.await.unwrap_or_else(|_| Err(self.silent(FIND_USER_TIME_MAX)))
    }

    /// The number of a client's account, to borrow connections with.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn number(&self, login: Login) -> Result<AccountId, Error> {
        self.connector.accounts.number(login)
    }

    /// What its server has executed, as the primary of `term`.
    ///
    /// # Errors
    /// When it is not that, or the server does not answer.
    pub async fn primary_position(&self, term: u64) -> Result<Position, Error> {
        let in_group = {
            let state = self.state();
            state.machine.vouch(term)?;
            state.machine.in_group()
        };
        let position = self.positions.lock().await.primary_position(in_group).await?;
        self.state().machine.vouch(term)?;
        Ok(position)
    }

    /// Ends what runs on one of the server's connections.
    ///
    /// # Errors
    /// When the server could not be told in time, or refused.
    pub async fn kill(self: Arc<Self>, thread: Thread, interrupt: Interrupt) -> Result<(), Error> {
        let outcome = self.killer.kill(&self.connector, thread, interrupt).await;
        if let Err(error) = &outcome {
            info!(tablet = self.id.0, thread = thread.id, "cannot kill: {error}");
        }
        outcome
    }

    /// Whether one of the server's connections, which broke, was killed there: false also when that cannot be found out in time.
    /// What still runs on it is ended.
    pub async fn was_killed(self: Arc<Self>, thread: Thread) -> bool {
        self.killer.inquire(&self.connector, thread).await.unwrap_or(false)
    }

    /// Takes no more requests; idle connections are closed.
    pub fn stop(&self) {
        self.handle(Input::Stop);
    }

    /// The topology says what it is.
    pub fn assign(&self, role: Role, term: u64) {
        self.handle(Input::RoleAssigned { role, term });
    }

    /// The server's own tablet says whether it is drained.
    pub fn told_of_drain(&self, drain: Option<Drain>) {
        self.handle(Input::Drain(drain));
    }

    /// What is open on the connections that it lends, while its server is drained.
    #[must_use]
    pub fn what_is_open(&self) -> watch::Receiver<Open> {
        self.open.subscribe()
    }

    /// Asks for a connection.
    #[must_use]
    pub fn acquire(self: &Arc<Self>, now: Instant, wish: &Acquire) -> Pending {
        let mut state = self.state();
        loop {
            let ticket = Ticket(state.next_ticket);
            state.next_ticket += 1;
            let prefer = wish.prefer.map(|key| Preferred { conn: ConnId(key.connection), epoch: key.epoch });
            let (class, settings) = (wish.class, Arc::clone(&wish.settings));
            let request =
                pool::Acquire { ticket, holder: wish.holder, class, settings, prefer, deadline: wish.deadline };
            let input = Input::Acquire { role: wish.role, term: wish.term, needs: wish.needs.clone(), request };
            state.machine.handle(now, input);
            match self.drain(&mut state, Some(ticket)) {
                None => {
                    let (answer, answered) = oneshot::channel();
                    state.waiting.insert(ticket, answer);
                    return Pending::Waiting { tablet: Arc::clone(self), ticket, answered };
                }
                Some(Ok(mut connection)) => {
                    if connection.stream.is_stale() {
                        // The server closed it while it was idle: it is not even tried.
                        let lost = pool::Input::Lost { conn: connection.id };
                        state.machine.handle(now, Input::Pool(lost));
                        self.drain(&mut state, None);
                        continue;
                    }
                    // Back to the one who had it last, it is as it was left.
                    connection.epoch +=
                        u64::from(!prefer.is_some_and(|p| p.conn == connection.id && p.epoch == connection.epoch));
                    connection.executed = state.machine.executed().clone();
                    return Pending::Ready(Some(Ok(connection)));
                }
                Some(refused) => return Pending::Ready(Some(refused)),
            }
        }
    }

    /// A session hears nothing of the server: see [`Input::Doubt`].
    pub fn doubt(&self, within: Duration) {
        self.handle(Input::Doubt { within });
    }

    /// A wait for a position was answered on a connection: see [`Input::Waited`].
    pub fn waited(&self, conn: ConnId, executed: Position) {
        self.handle(Input::Waited { conn, executed });
    }

    /// Nothing is open on a connection that a session keeps, or something is again.
    pub fn rest(&self, conn: ConnId, rests: bool) {
        self.handle(Input::Pool(pool::Input::Rest { conn, rests }));
    }

    /// Takes a connection back.
    pub fn release(&self, now: Instant, connection: Box<Connection>, fate: Fate) {
        let mut state = self.state();
        self.take_back(&mut state, now, connection, fate);
        self.drain(&mut state, None);
    }

    fn take_back(&self, state: &mut State, now: Instant, mut connection: Box<Connection>, fate: Fate) {
        let clean = fate == Fate::Keep && connection.rest();
        let conn = connection.id;
        let release = pool::Input::Release {
            conn,
            settings: Arc::clone(connection.machine.settings()),
            epoch: connection.epoch,
            fate: if clean { pool::Fate::Keep } else { pool::Fate::Close(why_closed(&connection, fate)) },
        };
        if clean {
            state.idle.insert(conn, connection);
        }
        state.machine.handle(now, Input::Pool(release));
    }

    fn cancel(&self, ticket: Ticket) {
        let mut state = self.state();
        state.waiting.remove(&ticket);
        state.machine.handle(clock::now(), Input::Pool(pool::Input::CancelAcquire { ticket }));
        self.drain(&mut state, None);
    }

    fn handle(&self, input: Input) {
        let mut state = self.state();
        state.machine.handle(clock::now(), input);
        self.drain(&mut state, None);
    }

    fn on_time(&self) -> (Option<Instant>, Arc<Notify>) {
        let mut state = self.state();
        state.machine.handle(clock::now(), Input::Timeout);
        let _ = self.drain(&mut state, None);
        state.armed = state.machine.poll_timeout();
        (state.armed, Arc::clone(&self.rearm))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the machine wants; returns the answer to `own`, if it is among it.
    fn drain(&self, state: &mut State, own: Option<Ticket>) -> Option<Result<Box<Connection>, Error>> {
        let mut answer = None;
        while let Some(output) = state.machine.poll_output() {
            match output {
                Output::Pool(pool::Output::Granted { ticket, conn }) => {
                    let Some(connection) = state.idle.remove(&conn) else {
                        debug_assert!(false, "granted a connection that is not idle");
                        continue;
                    };
                    if own == Some(ticket) {
                        answer = Some(Ok(connection));
                    } else {
                        self.hand_over(state, ticket, connection);
                    }
                }
                Output::Pool(pool::Output::Refused { ticket, error }) => {
                    if own == Some(ticket) {
                        answer = Some(Err(error));
                    } else if let Some(waiter) = state.waiting.remove(&ticket) {
                        let _ = waiter.send(Err(error));
                    }
                }
                Output::Pool(pool::Output::Open { conn, class, reason }) => {
                    debug!(tablet = self.id.0, conn = conn.0, ?reason, "opening a connection");
                    if let Some(this) = self.this.upgrade() {
                        tokio::spawn(async move { this.open(conn, class).await });
                    }
                }
                Output::Pool(pool::Output::Close { conn, reason }) => {
                    debug!(tablet = self.id.0, conn = conn.0, ?reason, "closing a connection");
                    state.idle.remove(&conn);
                }
                Output::Pool(pool::Output::Drained) => debug!(tablet = self.id.0, "drained"),
                Output::Probe { probe, timeout } => {
                    if let Some(this) = self.this.upgrade() {
                        tokio::spawn(async move { this.probe(probe, timeout).await });
                    }
                }
                Output::Beat { beat, plan, timeout } => {
                    if let Some(this) = self.this.upgrade() {
                        tokio::spawn(async move { this.beat(beat, plan, timeout).await });
                    }
                }
                Output::BeatFails(error) => warn!(
                    "{} cannot write heartbeats; how far replicas are behind is their servers' own reckoning until it can: {error}",
                    self.connector.address
                ),
                Output::Open(open) => _ = self.open.send_replace(open),
                // When the cluster does not keep up, the next heartbeat tells it again.
                Output::Health(health) => _ = self.news.try_send(News::Health(self.id, health)),
            }
        }
        let sooner = |deadline: Instant| state.armed.is_none_or(|armed| deadline < armed);
        if state.machine.poll_timeout().is_some_and(sooner) {
            self.rearm.notify_one();
        }
        answer
    }

    /// A waiter that left at the same moment leaves its connection to the next.
    fn hand_over(&self, state: &mut State, ticket: Ticket, mut connection: Box<Connection>) {
        connection.epoch += 1;
        connection.executed = state.machine.executed().clone();
        let refused = match state.waiting.remove(&ticket) {
            Some(waiter) => waiter.send(Ok(connection)).err(),
            None => Some(Ok(connection)),
        };
        if let Some(Ok(connection)) = refused {
            self.take_back(state, clock::now(), connection, Fate::Keep);
        }
    }

    async fn open(self: Arc<Self>, conn: ConnId, class: weir_core::link::ConnectionClass) {
        let in_group = self.state().machine.in_group();
        let opened = self.connector.connect_to(conn, class, in_group).await;
        let mut state = self.state();
        let input = match opened {
            Ok(connection) => {
                state.idle.insert(conn, connection);
                pool::Input::Opened { conn }
            }
            Err(error) => {
                info!(tablet = self.id.0, "cannot open a connection: {error}");
                pool::Input::OpenFailed { conn, error }
            }
        };
        state.machine.handle(clock::now(), Input::Pool(input));
        self.drain(&mut state, None);
    }

    async fn beat(self: Arc<Self>, beat: BeatId, plan: Plan, limit: Duration) {
        let outcome = match tokio::time::timeout(limit, async { self.beats.lock().await.beat(plan).await }).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.silent(limit)),
        };
        self.handle(Input::BeatEnded { beat, outcome });
    }

    fn silent(&self, limit: Duration) -> Error {
        let message = format!("weir-tablet: {} did not answer within {limit:?}", self.connector.address);
        Error::new(Component::Tablet, Kind::Unavailable, message)
    }

    async fn probe(self: Arc<Self>, probe: ProbeId, limit: Duration) {
        let outcome = match tokio::time::timeout(limit, async { self.prober.lock().await.probe().await }).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.silent(limit)),
        };
        let (news, input) = match outcome {
            Ok(observation) => {
                (News::Observed(self.id, Box::new(observation.clone())), Input::Observed { probe, observation })
            }
            Err(error) => {
                self.prober.lock().await.forget();
                (News::Silent(self.id), Input::ProbeFailed { probe, error })
            }
        };
        self.handle(input);
        let _ = self.news.send(news).await;
    }
}

fn why_closed(connection: &Connection, fate: Fate) -> CloseReason {
    if connection.machine.is_closed() {
        CloseReason::Broken
    } else if fate == Fate::Close {
        CloseReason::ClientGone
    } else {
        CloseReason::Unclean
    }
}

/// Wakes the machine when it wants to be woken, for as long as the tablet lives.
async fn keep_time(tablet: Weak<LocalTablet>) {
    while let Some((deadline, rearm)) = tablet.upgrade().map(|tablet| tablet.on_time()) {
        match deadline {
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(clock::to_tokio(at)) => {}
                    () = rearm.notified() => {}
                }
            }
            None => rearm.notified().await,
        }
    }
}

/// A connection on its way.
pub enum Pending {
    /// It is decided.
    Ready(Option<Result<Box<Connection>, Error>>),
    /// The pool has none to give yet.
    Waiting {
        /// Whose.
        tablet: Arc<LocalTablet>,
        /// Which request.
        ticket: Ticket,
        /// Where the answer comes.
        answered: oneshot::Receiver<Result<Box<Connection>, Error>>,
    },
}

impl Pending {
    /// Ready with the connection, or with why there is none.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<Connection>, Error>> {
        let outcome = match self {
            Self::Ready(outcome) => outcome.take(),
            Self::Waiting { answered, .. } => ready!(Pin::new(answered).poll(cx)).ok(),
        };
        *self = Self::Ready(None);
        Poll::Ready(outcome.unwrap_or_else(|| {
            Err(Error::unexecuted(Component::Tablet, Kind::Shutdown, "weir-tablet: the tablet stops"))
        }))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Self::Waiting { tablet, ticket, answered } = self else { return };
        answered.close();
        match answered.try_recv() {
            Ok(Ok(connection)) => tablet.release(clock::now(), connection, Fate::Keep),
            Ok(Err(_)) => {}
            Err(_) => tablet.cancel(*ticket),
        }
    }
}
