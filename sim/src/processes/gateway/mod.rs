//! A gateway with its tablets and its embedded topology in one process, as `weir up` runs it.
//!
//! [`GatewayProcess`] hands the world's events to whoever owns the stream or the timer; [`session`](mod@self) drives one client,
//! `topology` finds roles, `freshness` asks how far reads must see, `buffer` has statements wait for a primary. What one call brings about elsewhere in the process (a connection that a waiting session gets, news of
//! a tablet) is queued and handled before the event is over.

mod buffer;
mod freshness;
mod kill;
mod lane;
mod session;
mod topology;

use super::connection::{Connection, Connector};
use super::failover::links::{Heard, Links};
use super::failover::mail::{self, FromTablet, ToTablet};
use super::tablet::{LocalTablet, News};
use crate::world::{Address, ConnId as Stream, Ctx, Event, Image, Process, Program, TimerId};
use buffer::Waiters;
use freshness::Readers;
use kill::Kills;
use session::Driver;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use topology::EmbeddedShard;
use weir_core::error::Error;
use weir_core::gateway::admission::{Admission, AdmissionLimits};
use weir_core::gateway::buffer as buffering;
use weir_core::gateway::cluster::{self, TabletId, View};
use weir_core::gateway::config::{Greeting, SessionConfig, SessionLimits};
use weir_core::gateway::freshness::AskId;
use weir_core::gateway::globals::Globals;
use weir_core::gateway::users::Users;
use weir_core::gateway::variables::Variables;
use weir_core::gtid::Position;
use weir_core::mutants::Mutants;
use weir_core::mysql::auth::{AuthPlugin, Credential, Secret};
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::capability::offered_as_mariadb;
use weir_core::mysql::{frame, packet};
use weir_core::tablet::drain::Open;
use weir_core::tablet::manager::{self, Identity};
use weir_core::tablet::pool::{ConnId, Counters, Ticket};
use weir_core::time::Duration;
use weir_core::topo::{Cell, Keyspace, Shard, TabletAlias};

/// Clients connect to this port.
pub const PORT: u16 = 3306;
/// While this signal is on it is told to stop.
pub const SIGNAL_STOP: u32 = 30;
/// How long clients may take to finish when it stops, as with `--drain-time-ms`.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// A note of a gateway: which tablet it holds for the serving primary (counted from 1, 0 for none), and in which term.
pub const NOTE_PRIMARY: &str = "primary";
/// How long a server may take to accept and log in a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the primary may take to tell its position, before a read is sent there itself.
const ASK_TIME_MAX: Duration = Duration::from_secs(1);
/// A server's own tablet that says nothing for so long is connected to anew.
const ROLE_SILENCE_MAX: Duration = Duration::from_secs(2);
/// utf8mb4_general_ci: what clients that do not choose are greeted with.
const COLLATION: u16 = 45;

/// One server, as a gateway is told of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name by which replicas know it.
    pub name: String,
    /// Where it listens.
    pub address: Address,
}

/// What a gateway is made of.
#[derive(Clone, Debug)]
pub struct GatewaySetup {
    /// The servers of the one shard.
    pub servers: Vec<Member>,
    /// The version that clients are greeted with.
    pub version: String,
    /// The account that clients log in with and that their statements run under: user and password.
    pub application: (String, String),
    /// The account that watches the servers.
    pub monitor: (String, String),
    /// How many clients.
    pub admission: AdmissionLimits,
    /// What a session may do.
    pub session: SessionLimits,
    /// How much may wait for a primary.
    pub buffer: buffering::Config,
    /// Defaults of Weir's own variables.
    pub variables: Variables,
    /// How each tablet is run.
    pub tablet: manager::Config,
    /// Prepared statements kept on one server connection, at most.
    pub statements_per_connection_max: usize,
    /// How the shard is seen.
    pub cluster: cluster::Config,
    /// Where each server's own tablet listens, when those say who is primary; else that is found from the servers.
    pub told_by: Vec<Address>,
    /// Tablets are processes of their own: what reads is sent with the wish for a connection, and lanes are lost.
    pub lanes: bool,
    /// Its view of the shard is recorded, and told the same again.
    pub recorded: bool,
    /// Rules broken on purpose.
    pub mutants: Mutants,
}

/// Whose events a stream's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Client(u32),
    /// A server connection that a session has.
    Lease(u32),
    Idle(TabletId, ConnId),
    Opening(TabletId, ConnId),
    Probe(TabletId, Line),
}

/// Which of a tablet's monitoring connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// For its own probes.
    Watch,
    /// For readers.
    Position,
    /// For heartbeats.
    Beat,
    /// For ending what runs on others.
    Kill,
}

impl Line {
    const ALL: [Self; 4] = [Self::Watch, Self::Position, Self::Beat, Self::Kill];
}

/// Whose a timer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timed {
    Cluster,
    Session(u32),
    Tablet(TabletId),
    Probe(TabletId, Line),
    ProbeDial(TabletId, Line),
    Dial(TabletId, ConnId),
    Freshness,
    Roles,
    Buffer,
    Stop,
}

impl Timed {
    /// Kind, tablet and number in one word.
    pub(super) const fn token(self) -> u64 {
        let (kind, tablet, number) = match self {
            Self::Cluster => (0, 0, 0),
            Self::Session(id) => (1, 0, id as u64),
            Self::Tablet(id) => (2, id.0, 0),
            Self::Probe(id, line) => (3, id.0, line as u64),
            Self::ProbeDial(id, line) => (4, id.0, line as u64),
            Self::Dial(id, conn) => (5, id.0, conn.0),
            Self::Freshness => (6, 0, 0),
            Self::Roles => (7, 0, 0),
            Self::Buffer => (8, 0, 0),
            Self::Stop => (9, 0, 0),
        };
        debug_assert!(tablet < 1 << 12 && number < 1 << 48, "fits");
        (kind << 60) | ((tablet as u64) << 48) | number
    }

    const fn of(token: u64) -> Self {
        let tablet = TabletId((token >> 48) as u32 & 0xfff);
        let number = token & ((1 << 48) - 1);
        let line = Line::ALL[(number % Line::ALL.len() as u64) as usize];
        match token >> 60 {
            0 => Self::Cluster,
            1 => Self::Session(number as u32),
            2 => Self::Tablet(tablet),
            3 => Self::Probe(tablet, line),
            4 => Self::ProbeDial(tablet, line),
            5 => Self::Dial(tablet, ConnId(number)),
            7 => Self::Roles,
            8 => Self::Buffer,
            9 => Self::Stop,
            _ => Self::Freshness,
        }
    }
}

/// A connection, or why there is none, on its way to a session that waited.
pub(super) struct Grant {
    pub(super) tablet: TabletId,
    pub(super) session: u32,
    pub(super) ticket: Ticket,
    pub(super) outcome: Result<Box<Connection>, Error>,
}

/// What every driver in the process works with.
pub(super) struct Hands<'a, 'w> {
    pub(super) ctx: &'a mut Ctx<'w>,
    pub(super) owners: &'a mut BTreeMap<Stream, Owner>,
    pub(super) grants: &'a mut VecDeque<Grant>,
    pub(super) news: &'a mut VecDeque<News>,
    /// What primaries' tablets have answered; `None`: nothing that helps.
    pub(super) positions: &'a mut VecDeque<(AskId, Option<Position>)>,
    /// What sessions want of one another and of servers, and what came of it.
    pub(super) kills: &'a mut Kills,
    /// For bytes on their way through.
    pub(super) scratch: &'a mut Vec<u8>,
}

impl Hands<'_, '_> {
    pub(super) fn own(&mut self, stream: Option<Stream>, owner: Owner) {
        if let Some(stream) = stream {
            self.owners.insert(stream, owner);
        }
    }

    pub(super) fn drop_connection(&mut self, connection: Connection) {
        if let Some(stream) = connection.close(self.ctx) {
            self.owners.remove(&stream);
        }
    }
}

/// What the sessions share.
struct Shared {
    config: Arc<SessionConfig>,
    configured: Variables,
    /// What SET GLOBAL has set; it is not kept.
    globals: Globals,
    view: Arc<View>,
    tablets: BTreeMap<TabletId, LocalTablet>,
    readers: Readers,
    waiters: Waiters,
    admission: Admission,
    /// Tablets are processes of their own.
    lanes: bool,
}

/// The process.
pub struct GatewayProcess {
    setup: GatewaySetup,
    shared: Shared,
    shard: Option<EmbeddedShard>,
    /// To the servers' own tablets, if those say who is primary.
    told_by: Option<Links>,
    sessions: BTreeMap<u32, Box<Driver>>,
    next_session: u32,
    owners: BTreeMap<Stream, Owner>,
    grants: VecDeque<Grant>,
    news: VecDeque<News>,
    positions: VecDeque<(AskId, Option<Position>)>,
    kills: Kills,
    scratch: Vec<u8>,
    cluster_timer: Option<TimerId>,
    freshness_timer: Option<TimerId>,
    buffer_timer: Option<TimerId>,
    stop_timer: Option<TimerId>,
}

/// What a gateway holds, for checkers: all zero, but for idle connections, once clients have gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Client connections counted by admission.
    pub admitted: usize,
    /// Sessions.
    pub sessions: usize,
    /// Each tablet's pool.
    pub pools: Vec<Counters>,
    /// Statements that wait for a primary.
    pub buffered: usize,
    /// Streams that somebody owns but nobody would look at.
    pub streams: usize,
}

impl GatewayProcess {
    /// A program that starts the gateway, again and again; it keeps nothing.
    #[must_use]
    pub fn program(setup: GatewaySetup) -> Program {
        Box::new(move |_: Image| Box::new(Self::new(setup.clone())))
    }

    fn new(setup: GatewaySetup) -> Self {
        let shared = Shared {
            config: Arc::new(session_config(&setup)),
            configured: setup.variables.clone(),
            globals: Globals::default(),
            view: Arc::default(),
            tablets: BTreeMap::new(),
            readers: Readers::new(ASK_TIME_MAX, setup.mutants),
            waiters: Waiters::new(setup.buffer.clone(), setup.mutants),
            admission: Admission::new(setup.admission),
            lanes: setup.lanes,
        };
        Self {
            setup,
            shared,
            shard: None,
            told_by: None,
            sessions: BTreeMap::new(),
            next_session: 1,
            owners: BTreeMap::new(),
            grants: VecDeque::new(),
            news: VecDeque::new(),
            positions: VecDeque::new(),
            kills: Kills::default(),
            scratch: Vec::new(),
            cluster_timer: None,
            freshness_timer: None,
            buffer_timer: None,
            stop_timer: None,
        }
    }

    /// A primary is known and serves.
    #[must_use]
    pub fn has_primary(&self) -> bool {
        self.shared.view.primary().is_some_and(|primary| primary.serving.is_yes())
    }

    /// What it holds now.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let pools: Vec<Counters> = self.shared.tablets.values().map(LocalTablet::counters).collect();
        let monitoring: usize = self.shared.tablets.values().map(LocalTablet::monitoring).sum();
        let known = pools.iter().map(|pool| (pool.idle + pool.opening) as usize).sum::<usize>() + monitoring;
        Holdings {
            admitted: self.shared.admission.connections(),
            sessions: self.sessions.len(),
            buffered: self.shared.waiters.count(),
            streams: self.owners.len().saturating_sub(known),
            pools,
        }
    }

    /// Nobody is let in any more, and each session ends when it is amid nothing.
    fn stop(&mut self, ctx: &mut Ctx<'_>) {
        ctx.unlisten(PORT);
        if let Some(timer) = self.stop_timer {
            ctx.arm(timer, Some(ctx.now() + DRAIN_TIME));
        }
        let sessions: Vec<u32> = self.sessions.keys().copied().collect();
        sessions.into_iter().for_each(|id| self.drive(ctx, id, Driver::finish));
    }

    /// Their time is over.
    fn end_sessions(&mut self, ctx: &mut Ctx<'_>) {
        let sessions: Vec<u32> = self.sessions.keys().copied().collect();
        sessions.into_iter().for_each(|id| self.drive(ctx, id, Driver::shut_down));
    }

    /// Started again. Its sessions have all ended.
    fn serve_again(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(timer) = self.stop_timer {
            ctx.arm(timer, None);
        }
        ctx.listen(PORT);
    }

    /// Connections that a pool may have, by the configuration.
    #[must_use]
    pub fn pool_limit(&self) -> u32 {
        let pool = &self.setup.tablet.pool;
        pool.connections_max.saturating_sub(pool.connections_reserved).max(1)
    }

    fn start(&mut self, ctx: &mut Ctx<'_>) {
        ctx.listen(PORT);
        self.cluster_timer = Some(ctx.timer(Timed::Cluster.token()));
        self.freshness_timer = Some(ctx.timer(Timed::Freshness.token()));
        self.buffer_timer = Some(ctx.timer(Timed::Buffer.token()));
        self.stop_timer = Some(ctx.timer(Timed::Stop.token()));
        let mut rng = ctx.fork_rng();
        let members = self.setup.servers.clone();
        let (keyspace, shard) = place();
        for (number, member) in (1..).zip(&members) {
            let alias = TabletAlias { cell: cell(), uid: number };
            let identity = Identity { alias, keyspace: keyspace.clone(), shard: shard.clone() };
            let (application, monitor) = (self.connector(member, true), self.connector(member, false));
            let (id, config, rng) = (TabletId(number), self.setup.tablet.clone(), rng.fork());
            let (mut hands, _, shared) = self.parts(ctx);
            let tablet = LocalTablet::start(&mut hands, id, identity, config, application, monitor, rng);
            shared.tablets.insert(id, tablet);
        }
        let known = self.shared.tablets.iter().map(|(id, tablet)| (*id, tablet.alias().clone()));
        let cluster = self.setup.cluster.clone();
        let how = (self.setup.recorded, self.setup.mutants);
        self.shard = Some(EmbeddedShard::new(ctx.now(), keyspace, shard, cluster, known.zip(&members), how));
        if !self.setup.told_by.is_empty() {
            let token = Timed::Roles.token();
            let mut hello = Vec::new();
            mail::put(&mut hello, &ToTablet::Open(Open::default()));
            let links = Links::new(ctx, &self.setup.told_by, token, ROLE_SILENCE_MAX);
            self.told_by = Some(links.greeting(hello));
        }
    }

    fn connector(&self, member: &Member, application: bool) -> Connector {
        let (user, password) = if application { &self.setup.application } else { &self.setup.monitor };
        Connector {
            address: member.address,
            name: format!("{}:{}", member.name, member.address.port),
            user: user.clone(),
            password: Secret::new(password.as_bytes()),
            connect_time_max: CONNECT_TIME_MAX,
            statements_max: if application { self.setup.statements_per_connection_max } else { 0 },
            mutants: self.setup.mutants,
        }
    }

    fn parts<'a, 'w>(
        &'a mut self,
        ctx: &'a mut Ctx<'w>,
    ) -> (Hands<'a, 'w>, &'a mut BTreeMap<u32, Box<Driver>>, &'a mut Shared) {
        let Self { owners, grants, news, positions, kills, scratch, sessions, shared, .. } = self;
        (Hands { ctx, owners, grants, news, positions, kills, scratch }, sessions, shared)
    }

    fn accept(&mut self, ctx: &mut Ctx<'_>, client: Stream, from: u16) {
        if let Err(error) = self.shared.admission.enter() {
            return turn_away(ctx, client, &error);
        }
        let id = self.next_session;
        self.next_session += 1;
        self.owners.insert(client, Owner::Client(id));
        let driver = Driver::new(ctx, &self.shared, id, client, from);
        self.sessions.insert(id, Box::new(driver));
        self.drive(ctx, id, Driver::go_on);
    }

    /// Lets a session's driver do something, and buries the session when it is over.
    fn drive(&mut self, ctx: &mut Ctx<'_>, id: u32, act: impl FnOnce(&mut Driver, &mut Hands<'_, '_>, &mut Shared)) {
        let (mut hands, sessions, shared) = self.parts(ctx);
        let Some(driver) = sessions.get_mut(&id) else { return };
        act(driver, &mut hands, shared);
        if driver.is_over() {
            driver.bury(&mut hands, shared);
            sessions.remove(&id);
        }
    }

    fn tablet(&mut self, ctx: &mut Ctx<'_>, id: TabletId, act: impl FnOnce(&mut LocalTablet, &mut Hands<'_, '_>)) {
        let (mut hands, _, shared) = self.parts(ctx);
        if let Some(tablet) = shared.tablets.get_mut(&id) {
            act(tablet, &mut hands);
        }
    }

    fn on_stream(&mut self, ctx: &mut Ctx<'_>, stream: Stream, what: Happened) {
        let Some(owner) = self.owners.get(&stream).copied() else { return };
        if what == Happened::Ended {
            self.owners.remove(&stream);
        }
        match (owner, what) {
            (Owner::Client(id), Happened::Ended) => self.drive(ctx, id, Driver::client_lost),
            (Owner::Client(id), _) => self.drive(ctx, id, Driver::go_on),
            (Owner::Lease(id), Happened::Ended) => self.drive(ctx, id, Driver::server_lost),
            (Owner::Lease(id), _) => self.drive(ctx, id, Driver::server_ready),
            (Owner::Idle(id, conn), Happened::Ended) => self.tablet(ctx, id, |t, hands| t.idle_lost(hands, conn)),
            (Owner::Idle(..), _) => {}
            (Owner::Opening(id, conn), Happened::Connected) => {
                self.tablet(ctx, id, |t, hands| t.dial_connected(hands, conn));
            }
            (Owner::Opening(id, conn), Happened::Ended) => self.tablet(ctx, id, |t, hands| t.dial_lost(hands, conn)),
            (Owner::Opening(id, conn), _) => self.tablet(ctx, id, |t, hands| t.dial_advance(hands, conn)),
            (Owner::Probe(id, line), Happened::Connected) => {
                self.tablet(ctx, id, |t, hands| t.probe_connected(hands, line));
            }
            (Owner::Probe(id, line), Happened::Ended) => self.tablet(ctx, id, |t, hands| t.probe_lost(hands, line)),
            (Owner::Probe(id, line), _) => self.tablet(ctx, id, |t, hands| t.probe_advance(hands, line)),
        }
    }

    fn on_time(&mut self, ctx: &mut Ctx<'_>, token: u64) {
        match Timed::of(token) {
            Timed::Cluster => {
                if let Some(shard) = &mut self.shard {
                    shard.on_time(ctx.now());
                }
            }
            Timed::Session(id) => self.drive(ctx, id, Driver::on_time),
            Timed::Tablet(id) => self.tablet(ctx, id, LocalTablet::on_time),
            Timed::Probe(id, line) => self.tablet(ctx, id, |t, hands| t.probe_timed_out(hands, line)),
            Timed::ProbeDial(id, line) => self.tablet(ctx, id, |t, hands| t.probe_advance(hands, line)),
            Timed::Freshness => self.shared.readers.on_time(ctx.now()),
            Timed::Buffer => self.shared.waiters.on_time(ctx.now()),
            Timed::Stop => self.end_sessions(ctx),
            Timed::Roles => {}
            Timed::Dial(id, conn) => self.tablet(ctx, id, |t, hands| t.dial_timed_out(hands, conn)),
        }
    }

    /// A server's own tablet says what it is, and in which term.
    fn tablet_said(&mut self, ctx: &mut Ctx<'_>, number: usize) {
        let id = TabletId(number as u32 + 1);
        while let Some(message) = self.told_by.as_mut().and_then(|links| mail::take::<FromTablet>(links.inbox(number)))
        {
            let (Some(FromTablet::State(_, state)), Some(shard)) = (message, &mut self.shard) else { continue };
            if let Some((role, term)) = shard.told(ctx.now(), id, &state) {
                self.tablet(ctx, id, |tablet, hands| tablet.assign(hands, role, term));
            }
            self.tablet(ctx, id, |tablet, hands| tablet.told_of_drain(hands, state.draining));
        }
    }

    /// Tells a server's own tablet what is open on the connections to it.
    fn tell_what_is_open(&mut self, ctx: &mut Ctx<'_>, id: TabletId, open: Open) {
        if let Some(links) = &mut self.told_by {
            let mut bytes = Vec::new();
            mail::put(&mut bytes, &ToTablet::Open(open));
            links.send(ctx, id.0 as usize - 1, &bytes);
        }
    }

    /// Hands over what the event has set free, and tells the topology what tablets have to tell.
    fn settle(&mut self, ctx: &mut Ctx<'_>) {
        loop {
            if let Some(grant) = self.grants.pop_front() {
                let id = grant.session;
                if self.sessions.contains_key(&id) {
                    self.drive(ctx, id, |driver, hands, shared| driver.granted(hands, shared, grant));
                } else if let Ok(connection) = grant.outcome {
                    let fate = weir_core::gateway::session::Fate::Keep;
                    self.tablet(ctx, grant.tablet, |t, hands| t.release(hands, connection, fate));
                }
                continue;
            }
            if let Some(news) = self.news.pop_front() {
                if let News::Open(id, open) = news {
                    self.tell_what_is_open(ctx, id, open);
                    continue;
                }
                let Some(shard) = &mut self.shard else { continue };
                if self.told_by.is_some() && !matches!(news, News::Health(..)) {
                    continue;
                }
                for (id, role, term) in shard.hear(ctx.now(), news) {
                    self.tablet(ctx, id, |tablet, hands| tablet.assign(hands, role, term));
                }
                continue;
            }
            if !self.settle_kills(ctx) && !self.settle_readers(ctx) && !self.publish(ctx) && !self.settle_waiters(ctx) {
                break;
            }
        }
        if let (Some(shard), Some(timer)) = (&self.shard, self.cluster_timer) {
            ctx.arm(timer, shard.poll_timeout());
        }
        if let Some(timer) = self.buffer_timer {
            ctx.arm(timer, self.shared.waiters.poll_timeout());
        }
        if let Some(timer) = self.freshness_timer {
            ctx.arm(timer, self.shared.readers.poll_timeout());
        }
    }

    /// Lets everybody see the newest view. False when there is none.
    fn publish(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let Some(view) = self.shard.as_mut().and_then(EmbeddedShard::publish) else { return false };
        let (before, after) = (primary_of(&self.shared.view), primary_of(&view));
        if before != after {
            ctx.note(NOTE_PRIMARY, after.0, after.1);
        }
        self.shared.waiters.see(ctx.now(), &view);
        self.shared.view = view;
        true
    }

    /// Lets a session go on that has waited for a primary. False when there is none.
    fn settle_waiters(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let Some(over) = self.shared.waiters.poll_over() else { return false };
        self.drive(ctx, over.session, |driver, hands, shared| {
            driver.resumed(hands, shared, over.ticket, over.outcome);
        });
        true
    }

    /// Carries questions to the primary's tablet, and answers to readers. False when there was nothing to carry.
    fn settle_readers(&mut self, ctx: &mut Ctx<'_>) -> bool {
        if let Some((ask, position)) = self.positions.pop_front() {
            self.shared.readers.answered(ctx.now(), &self.shared.view, ask, position);
        } else if let Some((ask, primary)) = self.shared.readers.poll_question() {
            let deadline = self.shared.readers.poll_timeout().unwrap_or_else(|| ctx.now());
            let (term, limit) = (primary.term, deadline.since(ctx.now()));
            if self.shared.tablets.contains_key(&primary.tablet) {
                self.tablet(ctx, primary.tablet, |t, hands| t.primary_position(hands, ask, term, limit));
            } else {
                self.positions.push_back((ask, None));
            }
        } else if let Some(ready) = self.shared.readers.poll_ready() {
            let (ticket, told) = (ready.ticket, ready.told);
            self.drive(ctx, ready.session, |driver, hands, shared| driver.freshened(hands, shared, ticket, told));
        } else {
            return false;
        }
        true
    }
}

/// As [`NOTE_PRIMARY`] has it.
fn primary_of(view: &View) -> (u64, u64) {
    let serving = view.primary().filter(|primary| primary.serving.is_yes());
    serving.map_or((0, 0), |primary| (u64::from(primary.id.0) + 1, primary.term))
}

/// What happened to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Connected,
    /// It can be read from, or written to again.
    Ready,
    Ended,
}

impl Process for GatewayProcess {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match self.told_by.as_mut().map_or(Heard::Nothing, |links| links.on_event(ctx, event)) {
            Heard::Nothing => {}
            Heard::Bytes(number) => {
                self.tablet_said(ctx, number);
                return self.settle(ctx);
            }
            Heard::Down | Heard::Handled => return,
        }
        match event {
            Event::Start => self.start(ctx),
            Event::Accepted { conn, from, .. } => self.accept(ctx, conn, from.0),
            Event::Connected { conn } => self.on_stream(ctx, conn, Happened::Connected),
            Event::Readable { conn } | Event::Writable { conn } => self.on_stream(ctx, conn, Happened::Ready),
            Event::Closed { conn, .. } | Event::ConnectFailed { conn, .. } => {
                self.on_stream(ctx, conn, Happened::Ended);
            }
            Event::Timer { token } => self.on_time(ctx, token),
            Event::Signal { signal: SIGNAL_STOP, on: true } => self.stop(ctx),
            Event::Signal { signal: SIGNAL_STOP, on: false } => self.serve_again(ctx),
            Event::Synced { .. } | Event::Signal { .. } => {}
        }
        self.settle(ctx);
    }
}

/// The one shard that a process without a topology service has.
fn place() -> (Keyspace, Shard) {
    ("default".parse::<Keyspace>().unwrap_or_else(|_| unreachable!("a plain name")), Shard::unsharded())
}

fn cell() -> Cell {
    "local".parse::<Cell>().unwrap_or_else(|_| unreachable!("a plain name"))
}

fn session_config(setup: &GatewaySetup) -> SessionConfig {
    let (user, password) = &setup.application;
    let users = Users::one(user.as_bytes(), Credential::from_password(&Secret::new(password.as_bytes())));
    SessionConfig {
        greeting: Greeting {
            server_version: setup.version.as_str().into(),
            of_mariadb: offered_as_mariadb(&setup.version),
            collation: COLLATION,
            plugin: AuthPlugin::Native,
            tls_available: false,
            compression: None,
            tls_required: false,
            rsa_public_key: None,
        },
        users,
        variables: setup.variables.clone(),
        limits: setup.session,
        digests: false,
        traces: None,
        audit: None,
        mutants: setup.mutants,
    }
}

/// Says why instead of greeting, as a server that is full does.
fn turn_away(ctx: &mut Ctx<'_>, client: Stream, error: &Error) {
    let mut bytes = Vec::new();
    // Nothing has been negotiated: clients expect no SQLSTATE here.
    let capabilities = CapabilityFlags::empty();
    frame::write_with(&mut bytes, &mut 0, |b| packet::encode_err(error, b, capabilities));
    ctx.write(client, &bytes);
    ctx.close(client);
}
