//! Who gets which connection to one server.
//!
//! Owns the accounting of the connections to one mysqld: how many there are, who has which, who waits. It knows them
//! by name only; the driver holds the sockets. It may not know roles, statements or what a session is.
//!
//! Where to start: [`Input`] and [`Output`] are the whole contract, [`Config`] names the limits, [`Pool::handle`] is
//! the machine. The rules, each in one place:
//!
//! - which idle connection suits best: `idle.rs`;
//! - who of the waiting is next: `waiters.rs`, and [`Pool::handle`]'s `offer` for classes that compete;
//! - when opening is tried again after a failure: `breaker.rs`.
//!
//! Invariants, checked by the tests after every input: there are never more connections than [`Config::capacity`];
//! no request waits while an idle connection of its class exists; every ticket is answered exactly once.

mod breaker;
mod config;
mod counters;
mod idle;
mod message;
mod refusal;
mod tally;
#[cfg(test)]
mod tests;
mod waiters;

pub use config::Config;
pub use counters::Counters;
pub use message::{Acquire, CloseReason, ConnId, Fate, Input, OpenReason, Output, Preferred, Ticket, Timer};

use crate::error::{Component, Error};
use crate::link::{AccountId, ConnectionClass, Settings};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use breaker::Breaker;
use idle::{Idle, IdleConnection, Match};
use refusal::Refusal;
use std::collections::VecDeque;
use std::sync::Arc;
use tally::{Connections, State};
use waiters::{Waiter, Waiters};

/// Errors of a login that tell of the server, not of the account: it has no connection left (ER_CON_COUNT_ERROR), or blocks the
/// host (ER_HOST_IS_BLOCKED, ER_HOST_NOT_PRIVILEGED).
const ABOUT_THE_SERVER: [u16; 3] = [1040, 1129, 1130];

/// The connections to one server. See the module for where to start.
#[derive(Debug)]
pub struct Pool {
    /// As errors name the tablet.
    name: String,
    config: Config,
    connections: Connections,
    idle: Idle,
    waiters: Waiters,
    breaker: Breaker,
    /// What to tell whoever asks while the pool is drained.
    draining: Option<Error>,
    /// What to tell whoever asks while nothing is granted for now.
    paused: Option<Error>,
    /// The drain's end has been told.
    is_drained: bool,
    /// How many drains have begun: connections older than the last one end when they come back.
    drains: u64,
    /// The class asked for last: what a warm-up opens.
    class_asked: ConnectionClass,
    /// What holds on a connection just opened.
    fresh: Arc<Settings>,
    age_rng: Rng,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Pool {
    /// An empty pool. `name` is what errors call the tablet; `rng` spreads ages and pauses.
    #[must_use]
    pub fn new(name: impl Into<String>, config: Config, mut rng: Rng) -> Self {
        let capacity = config.capacity() as usize;
        Self {
            name: name.into(),
            connections: Connections::default(),
            // A capacity is configured, not received, but may still be absurd.
            idle: Idle::with_capacity(capacity.min(1024)),
            waiters: Waiters::default(),
            breaker: Breaker::new(rng.fork()),
            draining: None,
            paused: None,
            is_drained: false,
            drains: 0,
            class_asked: ConnectionClass::PLAIN,
            fresh: Arc::default(),
            age_rng: rng.fork(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Take one input; then drain [`Pool::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Acquire(request) => self.acquire(now, request),
            Input::CancelAcquire { ticket } => self.cancel(ticket),
            Input::Release { conn, settings, epoch, fate } => self.release(now, conn, settings, epoch, fate),
            Input::Opened { conn } => self.opened(now, conn),
            Input::OpenFailed { conn, error } => self.open_failed(now, conn, error),
            Input::Lost { conn } => self.lost(conn),
            Input::Drain { error } => self.drain(error),
            Input::Reopen => self.draining = None,
            Input::Pause { error } => self.pause(error),
            Input::Resume => self.paused = None,
            Input::Rest { conn, rests } => self.connections.rest(conn, rests),
            Input::Timeout => self.time_out(now),
        }
        self.open_what_is_wanted(now);
        self.tell_when_drained();
        debug_assert!(self.connections.all().total() <= self.config.capacity(), "more connections than capacity");
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_timer().map(|(at, _)| at)
    }

    /// When to call with [`Input::Timeout`] next, and why. The cause may be gone by then.
    #[must_use]
    pub fn next_timer(&self) -> Option<(Instant, Timer)> {
        let timers = [
            self.waiters.wake_at().map(|at| (at, Timer::Deadline)),
            self.idle_timer().map(|at| (at, Timer::Idle)),
            self.idle.expiry().map(|at| (at, Timer::Age)),
            self.retry_timer().map(|at| (at, Timer::Retry)),
        ];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Totals, and the state now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let now = self.connections.all();
        let waiting = u32::try_from(self.waiters.len()).unwrap_or(u32::MAX);
        Counters { idle: now.idle, busy: now.busy, opening: now.opening, waiting, ..self.counters.clone() }
    }

    /// Those who have a connection on which something is open: a transaction, or a statement under way.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        self.connections.open()
    }

    /// The limits.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    // Requests.

    fn acquire(&mut self, now: Instant, request: Acquire) {
        if let Some(error) = self.draining.as_ref().or(self.paused.as_ref()).cloned() {
            return self.refuse(request.ticket, Refusal::Draining(error));
        }
        self.class_asked = request.class;
        if let Some((conn, how)) = self.idle.take_best(&request) {
            self.count_match(how);
            self.grant(request.ticket, request.holder, conn);
        } else if self.is_hopeless(request.class) && self.breaker.pauses(now) {
            self.refuse(request.ticket, Refusal::Connect);
        } else if self.is_queue_full(now) {
            self.refuse(request.ticket, Refusal::QueueFull);
        } else {
            self.wait(now, &request);
        }
    }

    fn wait(&mut self, now: Instant, request: &Acquire) {
        Mark::PoolWaits.hit();
        let latest = now + self.config.wait_time_max;
        let deadline = request.deadline.map_or(latest, |own| own.min(latest));
        let (ticket, holder, class) = (request.ticket, request.holder, request.class);
        self.waiters.push(Waiter { ticket, holder, class, since: now, deadline, overtaken: 0 });
    }

    fn cancel(&mut self, ticket: Ticket) {
        let cancelled = &mut self.counters.cancelled;
        self.waiters.remove_if(|waiter| {
            let found = waiter.ticket == ticket;
            *cancelled += u64::from(found);
            found
        });
    }

    fn grant(&mut self, ticket: Ticket, holder: u32, conn: ConnId) {
        self.connections.lend(conn, holder);
        self.counters.granted += 1;
        self.outputs.push_back(Output::Granted { ticket, conn });
    }

    fn count_match(&mut self, how: Match) {
        match how {
            Match::Preferred => {
                Mark::PoolPreferred.hit();
                self.counters.granted_preferred += 1;
            }
            Match::SameSettings => self.counters.granted_same_settings += 1,
            Match::OtherSettings => self.counters.granted_other_settings += 1,
        }
    }

    /// Nothing that is there or under way can ever serve this class.
    fn is_hopeless(&self, class: ConnectionClass) -> bool {
        self.connections.tallies().of(class).total() == 0
    }

    /// One more may not wait. Those for whom a connection is or can be opened are not counted.
    fn is_queue_full(&self, now: Instant) -> bool {
        let opening = self.connections.all().opening + u32::from(self.can_open(now));
        self.waiters.len() as u64 >= u64::from(self.config.wait_queue_max) + u64::from(opening)
    }

    // Connections.

    fn release(&mut self, now: Instant, conn: ConnId, settings: Arc<Settings>, epoch: u64, fate: Fate) {
        let Some(connection) = self.connections.get(conn) else { return };
        debug_assert_eq!(connection.state, State::Busy, "only a granted connection is released");
        match fate {
            Fate::Close(_) if self.config.mutants.breaks(Mutant::LeakClosed) => {}
            Fate::Close(reason) => self.close(conn, reason),
            Fate::Keep if connection.drains < self.drains => self.close(conn, CloseReason::Drained),
            Fate::Keep if connection.expires_at <= now => self.close(conn, CloseReason::Age),
            Fate::Keep => {
                let (class, expires_at) = (connection.class, connection.expires_at);
                self.offer(now, IdleConnection { conn, class, settings, epoch, since: now, expires_at });
            }
        }
    }

    fn opened(&mut self, now: Instant, conn: ConnId) {
        let Some(connection) = self.connections.get(conn) else { return };
        debug_assert_eq!(connection.state, State::Opening, "a connection is opened once");
        self.counters.opened += 1;
        self.breaker.succeeded();
        if connection.drains < self.drains {
            return self.close(conn, CloseReason::Drained);
        }
        let expires_at = self.draw_age().map_or(Instant::MAX, |age| now + age);
        self.connections.expires_at(conn, expires_at);
        let (class, settings) = (connection.class, Arc::clone(&self.fresh));
        self.offer(now, IdleConnection { conn, class, settings, epoch: 0, since: now, expires_at });
    }

    /// A share between 80 % and 100 % of the oldest age.
    fn draw_age(&mut self) -> Option<Duration> {
        let max = u64::try_from(self.config.connection_age_max?.as_nanos()).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(max - self.age_rng.below((max / 5).max(1))))
    }

    fn open_failed(&mut self, now: Instant, conn: ConnId, error: Error) {
        let Some(connection) = self.connections.remove(conn) else { return };
        debug_assert_eq!(connection.state, State::Opening, "only an opening fails to open");
        Mark::PoolOpenFailed.hit();
        self.counters.open_failed += 1;
        if is_of_account(connection.class, &error) {
            return self.refuse_account(connection.class, &error);
        }
        let (pause_min, pause_max) = self.config.retry_pauses();
        self.breaker.failed(now, error, pause_min, pause_max);
        self.refuse_hopeless();
    }

    fn lost(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.remove(conn) else { return };
        debug_assert_ne!(connection.state, State::Opening, "a connection that never opened fails to open");
        Mark::PoolLost.hit();
        self.idle.remove(conn);
        self.counters.closed[CloseReason::Lost as usize] += 1;
    }

    fn close(&mut self, conn: ConnId, reason: CloseReason) {
        match reason {
            CloseReason::Exchanged => Mark::PoolExchanged.hit(),
            CloseReason::Idle => Mark::PoolIdle.hit(),
            CloseReason::Age => Mark::PoolAged.hit(),
            CloseReason::Drained => Mark::PoolDrained.hit(),
            _ => {}
        }
        self.connections.remove(conn);
        self.counters.closed[reason as usize] += 1;
        self.outputs.push_back(Output::Close { conn, reason });
    }

    /// A usable connection goes to the first that waits for its class, or is closed for the sake of one of another
    /// class who was there before and has been passed over too often, or becomes idle.
    fn offer(&mut self, now: Instant, connection: IdleConnection) {
        let Some(first) = self.waiters.first_of(connection.class) else {
            self.connections.turn(connection.conn, State::Idle);
            return self.idle.push(connection);
        };
        if self.must_exchange(now, first) {
            return self.close(connection.conn, CloseReason::Exchanged);
        }
        if let Some(waiter) = self.waiters.serve(first) {
            self.counters.granted_waited += 1;
            self.grant(waiter.ticket, waiter.holder, connection.conn);
        }
    }

    /// Somebody before the one at `place` needs another class, and has no prospect of it or has waited for too many.
    fn must_exchange(&self, now: Instant, place: usize) -> bool {
        let tallies = self.connections.tallies();
        let opening_full = tallies.all().opening >= self.breaker.attempts_max(now, self.config.opening_max);
        let is_full = tallies.all().total() >= self.config.capacity();
        if place == 0 || opening_full || !is_full {
            return false;
        }
        self.waiters.first_without_opening(tallies).is_some_and(|(at, waiter)| {
            at < place && (waiter.overtaken >= self.config.overtaken_max || self.is_hopeless(waiter.class))
        })
    }

    // Opening.

    fn open_what_is_wanted(&mut self, now: Instant) {
        while self.can_open(now) {
            let Some((class, reason)) = self.wanted() else { return };
            if self.connections.all().total() >= self.config.capacity() {
                let Some(conn) = self.idle.take_oldest() else { return };
                self.close(conn, CloseReason::Exchanged);
            }
            let conn = self.connections.add(class, self.drains);
            self.outputs.push_back(Output::Open { conn, class, reason });
        }
    }

    /// One more connection may be opened now.
    fn can_open(&self, now: Instant) -> bool {
        self.has_room() && self.connections.all().opening < self.breaker.attempts_max(now, self.config.opening_max)
    }

    /// One more connection fits, if need be for an idle one of another class.
    fn has_room(&self) -> bool {
        let all = self.connections.all();
        self.draining.is_none() && (all.total() < self.config.capacity() || all.idle > 0)
    }

    /// What should be opened next, and why. An idle connection here is of a class that nobody waits for.
    fn wanted(&self) -> Option<(ConnectionClass, OpenReason)> {
        if self.waiters.is_empty() {
            let all = self.connections.all();
            let is_short = all.idle + all.opening < self.config.idle_min && all.total() < self.config.capacity();
            return is_short.then_some((self.class_asked, OpenReason::WarmUp));
        }
        let (_, waiter) = self.waiters.first_without_opening(self.connections.tallies())?;
        Some((waiter.class, OpenReason::Demand))
    }

    // Draining.

    fn drain(&mut self, error: Error) {
        self.refuse_if(|_, _| Some(Refusal::Draining(error.clone())));
        self.draining = Some(error);
        self.is_drained = false;
        self.drains += 1;
        while let Some(conn) = self.idle.take_oldest() {
            self.close(conn, CloseReason::Drained);
        }
    }

    fn pause(&mut self, error: Error) {
        self.refuse_if(|_, _| Some(Refusal::Draining(error.clone())));
        self.paused = Some(error);
    }

    fn tell_when_drained(&mut self) {
        if self.draining.is_some() && !self.is_drained && self.connections.all().total() == 0 {
            self.is_drained = true;
            self.outputs.push_back(Output::Drained);
        }
    }

    // Time.

    fn time_out(&mut self, now: Instant) {
        self.refuse_late(now);
        while let Some(conn) = self.idle.take_expired(now) {
            self.close(conn, CloseReason::Age);
        }
        while self.idle_timer().is_some_and(|at| at <= now)
            && let Some(conn) = self.idle.take_oldest()
        {
            self.close(conn, CloseReason::Idle);
        }
    }

    fn idle_timer(&self) -> Option<Instant> {
        let is_above_min = self.idle.len() > self.config.idle_min as usize;
        let (_, since) = self.idle.oldest().filter(|_| is_above_min)?;
        Some(since + self.config.idle_time_max?)
    }

    fn retry_timer(&self) -> Option<Instant> {
        let at = self.breaker.retry_at()?;
        let waits_for_it = self.has_room() && self.connections.all().opening == 0 && self.wanted().is_some();
        waits_for_it.then_some(at)
    }
}

/// The server lives and refuses whoever this is: no reason to keep others from it.
fn is_of_account(class: ConnectionClass, error: &Error) -> bool {
    class.account != AccountId::OWN && error.component == Component::Server && !ABOUT_THE_SERVER.contains(&error.code)
}
