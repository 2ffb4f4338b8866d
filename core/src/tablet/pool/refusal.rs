//! Refusing a request, in words that say which limit was met and what to do.

use super::message::Output;
use super::waiters::Waiter;
use super::{Pool, Ticket};
use crate::error::{Component, Effect, Error, Kind, RETRY_IS_SAFE};
use crate::link::ConnectionClass;
use crate::marks::Mark;
use crate::time::{Duration, Instant};

/// Why a request gets no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    QueueFull,
    /// After a wait this long.
    Late(Duration),
    Connect,
    /// The server does not take this account, and says why.
    Account(Error),
    /// With this to say.
    Draining(Error),
}

impl Pool {
    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        match refusal {
            Refusal::QueueFull => Mark::PoolQueueFull.hit(),
            Refusal::Late(_) => Mark::PoolLate.hit(),
            Refusal::Connect => Mark::PoolCannotConnect.hit(),
            Refusal::Account(_) => Mark::PoolAccountRefused.hit(),
            Refusal::Draining(_) => Mark::PoolDraining.hit(),
        }
        *self.count_of(&refusal) += 1;
        let error = self.error_for(refusal);
        self.outputs.push_back(Output::Refused { ticket, error });
    }

    /// Refuse those who wait and for whom `why` has a reason, in their order.
    pub(super) fn refuse_if(&mut self, why: impl Fn(&Self, &Waiter) -> Option<Refusal>) {
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.remove_if(|waiter| {
            let refusal = why(self, waiter);
            refusal.map(|refusal| self.refuse(waiter.ticket, refusal)).is_some()
        });
        self.waiters = waiters;
    }

    /// After a failure to open: refuse those for whose class no connection exists or is under way.
    pub(super) fn refuse_hopeless(&mut self) {
        self.refuse_if(|pool, waiter| pool.is_hopeless(waiter.class).then_some(Refusal::Connect));
    }

    /// After the server refused an account: refuse those for whom no connection of it exists or is under way.
    pub(super) fn refuse_account(&mut self, class: ConnectionClass, error: &Error) {
        self.refuse_if(|pool, waiter| {
            (waiter.class == class && pool.is_hopeless(class)).then(|| Refusal::Account(error.clone()))
        });
    }

    /// Refuse those whose deadline has come.
    pub(super) fn refuse_late(&mut self, now: Instant) {
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.expire(now, |waiter| self.refuse(waiter.ticket, Refusal::Late(now - waiter.since)));
        self.waiters = waiters;
    }

    fn count_of(&mut self, refusal: &Refusal) -> &mut u64 {
        match refusal {
            Refusal::QueueFull => &mut self.counters.refused_queue_full,
            Refusal::Late(_) => &mut self.counters.refused_queue_timeout,
            Refusal::Connect | Refusal::Account(_) => &mut self.counters.refused_connect,
            Refusal::Draining(_) => &mut self.counters.refused_draining,
        }
    }

    fn error_for(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::QueueFull => self.queue_full(),
            Refusal::Late(waited) => self.late(waited),
            Refusal::Connect => self.connect_error(),
            Refusal::Account(error) | Refusal::Draining(error) => error,
        }
    }

    fn queue_full(&self) -> Error {
        let (name, queue_max) = (&self.name, self.config.wait_queue_max);
        let what = format!("tablet {name}: {}, and {queue_max} requests wait already (wait_queue_max)", self.usage());
        Error::unexecuted(Component::Tablet, Kind::Busy, what)
    }

    fn late(&self, waited: Duration) -> Error {
        let (name, wait_max_ms) = (&self.name, self.config.wait_time_max.as_millis());
        // With room left, it has waited for a server that does not let a connection be opened.
        let kind = if self.connections.all().busy < self.config.capacity() { Kind::Unavailable } else { Kind::Busy };
        let opening = match self.breaker.error() {
            Some(error) => format!(", and no other can be opened: {}", String::from_utf8_lossy(&error.message)),
            None => String::new(),
        };
        let what = format!(
            "tablet {name}: no connection became free within {} ms (wait_time_max is {wait_max_ms} ms; {}){opening}",
            waited.as_millis(),
            self.usage(),
        );
        Error::unexecuted(Component::Tablet, kind, what)
    }

    fn usage(&self) -> String {
        let busy = self.connections.all().busy;
        format!("{busy} of {} connections are in use (connections_max less reserve)", self.config.capacity())
    }

    /// What the server or the network said, with the number it said it with.
    fn connect_error(&self) -> Error {
        let cause = self.breaker.error().cloned();
        let mut error = cause.unwrap_or_else(|| Error::new(Component::Tablet, Kind::Unavailable, "not connected"));
        let mut message = format!("tablet {} cannot connect to its server: ", self.name).into_bytes();
        message.append(&mut error.message);
        message.extend_from_slice(RETRY_IS_SAFE.as_bytes());
        Error { message, component: Component::Tablet, effect: Effect::None, ..error }
    }
}
