//! One tablet: which role its server has, whether it serves, and who may have a connection to it.
//!
//! Owns the tablet's role and term as the topology gave them, the watch over its server, and the decision whether
//! requests are taken; keeps the [`Pool`] open or drained accordingly. It may not know other tablets, clients or SQL:
//! the driver runs the probe and makes an [`Observation`] of it.
//!
//! Start with [`Input`] and [`Output`]. The rules are [`Tablet`]'s `refusal` (whose request is refused) and `obstacle`
//! (when none is taken); `requests.rs` decides which is passed on to the pool when, `monitor.rs` when the server is asked and
//! when it counts as gone, `draining.rs` what is held back while another is to take the primary's place.

mod draining;
mod monitor;
mod requests;
#[cfg(test)]
mod tests;

pub use monitor::MonitorConfig;

use super::drain::{Drain, Open};
use super::heartbeat::{self, BeatId};
use super::pool::{self, ConnId, Pool};
use super::waits::{Reader, Waits};
use crate::error::{Component, Error, Kind};
use crate::gtid::Position;
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::topo::{Health, Keyspace, Load, NotServing, Observation, Role, Shard, TabletAlias, Target};
use draining::Draining;
use monitor::Monitor;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How a tablet is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The limits of its pool.
    pub pool: pool::Config,
    /// How closely its server is watched.
    pub monitor: MonitorConfig,
    /// Health is told at least this often, whether or not it changed.
    pub heartbeat_interval: Duration,
    /// The primary writes a [`heartbeat`] this often; `None`: never.
    #[serde(default)]
    pub beat_interval: Option<Duration>,
    /// With heartbeats goes the care of the table in which transactions mark themselves ([`crate::link::MARKS_TABLE`]).
    pub keeps_marks: bool,
    /// The shard has no other server and nobody who promotes one: while its own is `read_only`, that refuses what it does not take,
    /// and those who may write all the same still can.
    #[serde(default)]
    pub alone: bool,
}

impl Default for Config {
    fn default() -> Self {
        let (pool, monitor) = (pool::Config::default(), MonitorConfig::default());
        let second = Duration::from_secs(1);
        Self { pool, monitor, heartbeat_interval: second, beat_interval: Some(second), keeps_marks: true, alone: false }
    }
}

/// Who a tablet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name in the cluster.
    pub alias: TabletAlias,
    /// Whose data it has.
    pub keyspace: Keyspace,
    /// Which part of them.
    pub shard: Shard,
}

/// One probe of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProbeId(pub u64);

/// What a tablet is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// A session needs a connection.
    Acquire {
        /// The role that the session takes the tablet for.
        role: Role,
        /// The term in which it believes so; `None` when any will do, as for reads on a replica.
        term: Option<u64>,
        /// What the server must have executed. When it is not known to have, either the connection is granted to wait there, or when
        /// another's wait has shown that it has.
        needs: Position,
        /// The connection that it needs.
        request: pool::Acquire,
    },
    /// Anything else about connections, for the pool.
    Pool(pool::Input),
    /// A wait for a position was answered.
    Waited {
        /// On this connection.
        conn: ConnId,
        /// What the server had executed then.
        executed: Position,
    },
    /// The topology says what the tablet is. Ignored when it is of a lower term than said before.
    RoleAssigned {
        /// Its role.
        role: Role,
        /// Since when.
        term: u64,
    },
    /// The server's own tablet says that it is drained, or that it is not; again and again while it is.
    Drain(Option<Drain>),
    /// A probe's answer.
    Observed {
        /// Which probe.
        probe: ProbeId,
        /// What was seen.
        observation: Observation,
    },
    /// A probe came to nothing.
    ProbeFailed {
        /// Which probe.
        probe: ProbeId,
        /// Why.
        error: Error,
    },
    /// A session hears nothing of the server: if it does not answer the next probe in this time, it counts as gone. A primary
    /// gets the usual time all the same, for nobody could take its place so soon.
    Doubt {
        /// How long.
        within: Duration,
    },
    /// An attempt to write a heartbeat has come to its end.
    BeatEnded {
        /// Which attempt.
        beat: BeatId,
        /// The number that was written, if any was, as [`heartbeat::Beating::finish`] says.
        outcome: Result<Option<u64>, Error>,
    },
    /// Take no more requests, ever: the process ends.
    Stop,
    /// The time of `poll_timeout` has come. At any other time it does nothing.
    Timeout,
}

/// What a tablet wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// What the pool wants done.
    Pool(pool::Output),
    /// Ask the server how it is, on a connection that is not of the pool, and answer with `Observed` or `ProbeFailed`;
    /// drop the attempt when it takes too long.
    Probe {
        /// Names the attempt.
        probe: ProbeId,
        /// How long it may take, connecting included.
        timeout: Duration,
    },
    /// Write a heartbeat by the statements of [`heartbeat::Beating`], on a connection that is neither of the pool nor the probe's,
    /// and answer with `BeatEnded`; drop the attempt when it takes too long.
    Beat {
        /// Names the attempt.
        beat: BeatId,
        /// What to write.
        plan: heartbeat::Plan,
        /// How long it may take, connecting included.
        timeout: Duration,
    },
    /// Heartbeats cannot be written: a person should read why. Told once until one is written again.
    BeatFails(Error),
    /// Tell whoever drains the server what is open on it.
    Open(Open),
    /// Tell whoever routes to the tablet.
    Health(Health),
}

/// Why a tablet wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The server is asked again.
    Probe,
    /// The server took too long to answer.
    ProbeTimeout,
    /// Health is told again.
    Heartbeat,
    /// A heartbeat is written, or given up.
    Beat,
    /// A reader has waited too long for what it needs.
    Wait,
    /// A drain has lasted for as long as it may.
    Drain,
    /// A timer of the pool.
    Pool(pool::Timer),
}

/// One tablet. See the module for where to start.
#[derive(Debug)]
pub struct Tablet {
    config: Config,
    identity: Identity,
    role: Role,
    term: u64,
    is_stopping: bool,
    pool: Pool,
    /// The pool takes requests.
    is_open: bool,
    /// The pool grants nothing for now.
    is_paused: bool,
    draining: Option<Draining>,
    told_open: Option<Open>,
    /// What its server is known to have executed.
    executed: Position,
    waits: Waits,
    monitor: Monitor,
    beats: heartbeat::Schedule,
    /// What was told last, and when to tell again.
    told: Option<Health>,
    heartbeat_at: Instant,
    outputs: VecDeque<Output>,
}

impl Tablet {
    /// A tablet without role, whose server has not been seen; its first timer is due at once.
    #[must_use]
    pub fn new(identity: Identity, config: Config, mut rng: Rng) -> Self {
        let mut tablet = Self {
            role: Role::Unknown,
            term: 0,
            is_stopping: false,
            pool: Pool::new(identity.alias.to_string(), config.pool.clone(), rng.fork()),
            is_open: true,
            is_paused: false,
            draining: None,
            told_open: None,
            executed: Position::default(),
            waits: Waits::default(),
            monitor: Monitor::new(config.monitor.clone(), rng.fork()),
            beats: heartbeat::Schedule::new(config.beat_interval, config.keeps_marks),
            told: None,
            heartbeat_at: Instant::ZERO,
            outputs: VecDeque::new(),
            identity,
            config,
        };
        tablet.drain(Instant::ZERO, "has not started");
        while tablet.poll_output().is_some() {}
        tablet
    }

    /// Take one input; then drain [`Tablet::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            // The busiest inputs; they change nothing that `settle` looks at.
            Input::Acquire { role, term, needs, request } => {
                return self.acquire(now, Reader { role, term, needs, request });
            }
            Input::Pool(input) => return self.pass_to_pool(now, input),
            Input::Waited { conn, executed } => return self.waited(now, conn, &executed),
            Input::RoleAssigned { role, term } => self.assign(now, role, term),
            Input::Drain(drain) => self.told_of_drain(now, drain),
            Input::Observed { probe, observation } => self.observe(now, probe, observation),
            Input::ProbeFailed { probe, error } => self.monitor.probe_failed(now, probe, error),
            Input::BeatEnded { beat, outcome } => {
                self.outputs.extend(self.beats.ended(now, beat, outcome).map(Output::BeatFails));
            }
            Input::Doubt { within } => self.doubt(now, within),
            Input::Stop => self.stop(),
            Input::Timeout => self.time_out(now),
        }
        self.settle(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers().into_iter().flatten().map(|(at, _)| at).min()
    }

    /// When to call with [`Input::Timeout`] next, and why. The cause may be gone by then.
    #[must_use]
    pub fn next_timer(&self) -> Option<(Instant, Timer)> {
        self.timers().into_iter().flatten().min()
    }

    fn timers(&self) -> [Option<(Instant, Timer)>; 6] {
        let pool = self.pool.next_timer().map(|(at, timer)| (at, Timer::Pool(timer)));
        let heartbeat = (!self.is_stopping).then_some((self.heartbeat_at, Timer::Heartbeat));
        let beat = self.beats.timer(self.may_beat()).map(|at| (at, Timer::Beat));
        let wait = self.waits.wake_at().map(|at| (at, Timer::Wait));
        let drain = self.draining.map(|draining| (draining.until, Timer::Drain));
        [pool, heartbeat, beat, wait, drain, self.monitor.timer()]
    }

    /// What its server is known to have executed: what it said last, and what has been waited for since. A server that
    /// came back may have less, so it counts for nothing once a connection has broken.
    #[must_use]
    pub fn executed(&self) -> &Position {
        &self.executed
    }

    /// Its server has last said that it is a member of a group.
    #[must_use]
    pub fn in_group(&self) -> bool {
        self.monitor.seen().is_some_and(|seen| seen.group.is_some())
    }

    /// What the pool counts.
    #[must_use]
    pub fn counters(&self) -> pool::Counters {
        self.pool.counters()
    }

    /// How many connections its pool may have.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.pool.config().capacity()
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its role, and since which term.
    #[must_use]
    pub fn role(&self) -> (Role, u64) {
        (self.role, self.term)
    }

    /// Whether it is the serving primary of this very term. A position read from its server speaks for the shard only when this
    /// holds *after* it was read: a successor may have taken writes else.
    ///
    /// # Errors
    /// Why not.
    pub fn vouch(&self, term: u64) -> Result<(), Error> {
        if let Some(error) = self.refusal(Role::Primary, Some(term)) {
            return Err(error);
        }
        match self.obstacle() {
            None => Ok(()),
            Some(obstacle) => {
                let message = format!("tablet {} {}", self.identity.alias, self.words_for(&obstacle));
                Err(Error::new(Component::Tablet, Kind::Unavailable, message))
            }
        }
    }

    // Role and serving.

    fn assign(&mut self, now: Instant, role: Role, term: u64) {
        if term < self.term {
            Mark::TabletOldAssignment.hit();
            return;
        }
        let before = std::mem::replace(&mut self.role, role);
        self.term = term;
        if before != role {
            Mark::TabletRoleChanged.hit();
            self.monitor.expect(now);
        }
        if before != role && self.is_open {
            self.drain(now, &format!("is {role} since term {term}, no longer {before}"));
        }
    }

    fn observe(&mut self, now: Instant, probe: ProbeId, observation: Observation) {
        let (beat, position) = (observation.beat, observation.position.clone());
        if self.monitor.observe(now, probe, observation) {
            self.beats.seen(now, beat);
            // Where none is told for being of no use, what was waited for stays.
            if position.is_some() || !self.in_group() {
                self.executed = position.unwrap_or_default();
            }
            self.waits.stir();
            if self.obstacle() == Some(NotServing::ReadOnly) {
                self.monitor.look_again(now);
            }
        }
    }

    fn doubt(&mut self, now: Instant, within: Duration) {
        if self.role != Role::Primary && self.obstacle().is_none() {
            self.monitor.doubt(now, within);
        }
    }

    /// Only the serving primary writes.
    fn may_beat(&self) -> bool {
        let anywhere = self.config.pool.mutants.breaks(Mutant::BeatAnywhere);
        (self.role == Role::Primary || anywhere) && self.obstacle().is_none() && !self.is_paused
    }

    fn stop(&mut self) {
        self.is_stopping = true;
        self.monitor.stop();
    }

    /// Why no requests are taken, if so.
    fn obstacle(&self) -> Option<NotServing> {
        if self.is_stopping {
            return Some(NotServing::Stopping);
        }
        let seen = self.monitor.seen().filter(|_| self.monitor.is_reachable());
        let in_group = seen.and_then(|seen| seen.group.as_ref()?.obstacle(self.role));
        let in_group = in_group.filter(|obstacle| !self.overlooks(obstacle));
        match (self.role, seen) {
            // Also without a role: whoever waits for an answer from the server must know.
            (_, None) => Some(NotServing::Unreachable),
            // Its group is heard here before the roles follow.
            _ if in_group.is_some() => in_group,
            (Role::Unknown, _) => Some(NotServing::NoRole),
            (Role::Primary, Some(seen)) if seen.read_only && !self.config.alone => Some(NotServing::ReadOnly),
            _ => None,
        }
    }

    /// Only broken rules do.
    fn overlooks(&self, obstacle: &NotServing) -> bool {
        let mutants = self.config.pool.mutants;
        match obstacle {
            NotServing::WithoutQuorum => mutants.breaks(Mutant::BelieveMinority),
            NotServing::NotOnline => mutants.breaks(Mutant::ReadJoining),
            _ => false,
        }
    }

    /// Open or drain the pool as the state demands, and tell what changed.
    fn settle(&mut self, now: Instant) {
        let obstacle = self.obstacle();
        match &obstacle {
            None if !self.is_open => self.reopen(now),
            Some(new) if self.is_open || self.told_obstacle() != Some(new) => self.drain(now, &self.words_for(new)),
            _ => {}
        }
        self.mind_the_drain(now);
        self.let_go(now);
        self.tell_what_is_open();
        let not_serving = obstacle.or(self.is_paused.then_some(NotServing::Draining));
        self.tell(now, not_serving);
    }

    fn told_obstacle(&self) -> Option<&NotServing> {
        self.told.as_ref()?.not_serving.as_ref()
    }

    fn words_for(&self, obstacle: &NotServing) -> String {
        match self.monitor.error() {
            Some(error) if *obstacle == NotServing::Unreachable => {
                format!("does not serve: {obstacle}: {}", String::from_utf8_lossy(&error.message))
            }
            _ => format!("does not serve: {obstacle}"),
        }
    }

    fn drain(&mut self, now: Instant, why: &str) {
        let what = format!("tablet {} {why}", self.identity.alias);
        let error = Error::unexecuted(Component::Tablet, Kind::Unavailable, what);
        Mark::TabletCloses.hit();
        self.executed = Position::default();
        self.feed_pool(now, pool::Input::Drain { error });
        self.is_open = false;
        for reader in self.waits.give_up() {
            self.acquire(now, reader);
        }
    }

    fn reopen(&mut self, now: Instant) {
        Mark::TabletOpens.hit();
        self.feed_pool(now, pool::Input::Reopen);
        self.is_open = true;
    }

    // Health.

    fn tell(&mut self, now: Instant, not_serving: Option<NotServing>) {
        let health = self.health(now, not_serving);
        let is_news = self.told.as_ref().is_none_or(|told| !says_the_same(told, &health));
        let is_due = now >= self.heartbeat_at && !self.is_stopping;
        if is_news || is_due {
            self.heartbeat_at = now + self.config.heartbeat_interval;
            self.told = Some(health.clone());
            self.outputs.push_back(Output::Health(health));
        }
    }

    fn health(&self, now: Instant, not_serving: Option<NotServing>) -> Health {
        let Identity { alias, keyspace, shard } = self.identity.clone();
        let seen = self.monitor.seen();
        Health {
            tablet: alias,
            target: Target { keyspace, shard, role: self.role },
            term: self.term,
            not_serving,
            position: seen.map(|seen| seen.position.clone()).unwrap_or_default(),
            position_age: seen.map_or(Duration::MAX, |seen| now - seen.at),
            lag: seen.and_then(|seen| seen.lag).filter(|_| self.role != Role::Primary),
            beat: self.beats.beat(),
            load: self.load(),
            in_group: self.in_group(),
            version: seen.map(|seen| seen.version),
        }
    }

    fn load(&self) -> Load {
        let counters = self.pool.counters();
        Load {
            connections_in_use: counters.busy,
            connections_max: self.config.pool.capacity(),
            waiting: counters.waiting,
        }
    }

    // Time.

    fn time_out(&mut self, now: Instant) {
        self.look_at_drain(now);
        self.mind_the_drain(now);
        if let Some((probe, timeout)) = self.monitor.time_out(now) {
            self.outputs.push_back(Output::Probe { probe, timeout });
        }
        let may_beat = self.may_beat();
        if let Some(due) = self.beats.due(now, may_beat) {
            self.outputs.push_back(Output::Beat { beat: due.id, plan: due.plan, timeout: due.timeout });
        }
        self.refuse_late(now);
        self.feed_pool(now, pool::Input::Timeout);
    }
}

/// Load and age change all the time; they are told with the next heartbeat.
fn says_the_same(told: &Health, health: &Health) -> bool {
    let Health { tablet, target, term, not_serving, position, position_age: _, lag, beat, load: _, in_group, version } =
        health;
    (tablet, target, term, not_serving) == (&told.tablet, &told.target, &told.term, &told.not_serving)
        && (position, lag, beat) == (&told.position, &told.lag, &told.beat)
        && (in_group, version) == (&told.in_group, &told.version)
}
