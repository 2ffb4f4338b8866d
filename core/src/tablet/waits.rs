//! Readers that need what the server may not have executed yet.
//!
//! One that comes while nobody waits gets a connection and waits there, in the round trip of its read. Who comes while it waits, and
//! needs no less, is held back until that wait is answered: then it may run at once, or it is the next to wait. So a server has one
//! wait to answer for many readers, and those held back occupy no connection.
//!
//! Owns who waits and who is held back. It may not know what the server has executed, nor the pool: [`Waits::release`] is told the
//! one, and the other takes whoever is not held back. **Nobody is held back by a wait for more than it needs**, so nobody waits for
//! longer than on its own, but for the answer's way.

use super::pool::{Acquire, ConnId, Ticket};
use crate::gtid::Position;
use crate::marks::Mark;
use crate::time::Instant;
use crate::topo::Role;
use std::collections::VecDeque;

/// The most readers that are held back. Whoever comes then waits on a connection of its own.
const HELD_MAX: usize = 4096;

/// A request for a connection, with what its server must have executed.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) role: Role,
    pub(super) term: Option<u64>,
    pub(super) needs: Position,
    pub(super) request: Acquire,
}

/// Who waits on the server, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// It has no connection yet.
    Queued(Ticket),
    /// On this one.
    On(ConnId),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Waits under way, hardly ever more than one.
    running: Vec<(Waiter, Position)>,
    /// In the order of coming. Each needs what one of those waits is for, or more.
    held: VecDeque<Reader>,
    /// No deadline of those held back is before this time.
    wake_at: Option<Instant>,
    /// Something has happened that may let some go.
    is_stirred: bool,
}

impl Waits {
    /// A reader of what is not known to be executed comes: given back when it shall wait itself.
    pub(super) fn join(&mut self, reader: Reader) -> Option<Reader> {
        if self.held.len() < HELD_MAX && self.covers(&reader.needs) {
            Mark::WaitShared.hit();
            self.hold(reader);
            return None;
        }
        self.lead(&reader);
        Some(reader)
    }

    fn hold(&mut self, reader: Reader) {
        if let Some(deadline) = reader.request.deadline {
            self.wake_at = Some(self.wake_at.map_or(deadline, |at| at.min(deadline)));
        }
        self.held.push_back(reader);
    }

    fn lead(&mut self, reader: &Reader) {
        self.running.push((Waiter::Queued(reader.request.ticket), reader.needs.clone()));
    }

    /// A wait is under way for `needs` or for a part of it.
    fn covers(&self, needs: &Position) -> bool {
        self.running.iter().any(|(_, position)| has(needs, position))
    }

    /// A request got its connection.
    pub(super) fn granted(&mut self, ticket: Ticket, conn: ConnId) {
        if let Some((waiter, _)) = self.running.iter_mut().find(|(waiter, _)| *waiter == Waiter::Queued(ticket)) {
            *waiter = Waiter::On(conn);
        }
    }

    /// The wait was answered, or will never be: its request was refused, its connection given back or lost. What those held back
    /// by it need.
    pub(super) fn ended(&mut self, waiter: Waiter) {
        let before = self.running.len();
        self.running.retain(|(other, _)| *other != waiter);
        self.is_stirred |= self.running.len() < before;
    }

    /// The server has executed more than was known, or is not known any more to have.
    pub(super) fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// The session wants nothing any more.
    pub(super) fn cancel(&mut self, ticket: Ticket) {
        self.held.retain(|reader| reader.request.ticket != ticket);
        self.ended(Waiter::Queued(ticket));
    }

    /// Who is no longer held back on a server that has executed this, in the order of coming.
    pub(super) fn release(&mut self, executed: &Position) -> Vec<Reader> {
        let mut free = Vec::new();
        if !std::mem::take(&mut self.is_stirred) {
            return free;
        }
        // Its answer will be no news, if its reader waits at all.
        self.running.retain(|(_, position)| !has(executed, position));
        for reader in std::mem::take(&mut self.held) {
            if has(executed, &reader.needs) {
                Mark::WaitServes.hit();
                free.push(reader);
            } else if self.covers(&reader.needs) {
                self.held.push_back(reader);
            } else {
                self.lead(&reader);
                free.push(reader);
            }
        }
        free
    }

    /// Holds nobody back any more: who was, in the order of coming.
    pub(super) fn give_up(&mut self) -> VecDeque<Reader> {
        std::mem::take(self).held
    }

    /// Those whose deadline has come; they are not held back any more.
    pub(super) fn late(&mut self, now: Instant) -> Vec<Ticket> {
        let mut late = Vec::new();
        if self.wake_at.is_none_or(|at| now < at) {
            return late;
        }
        self.held.retain(|reader| {
            let is_late = reader.request.deadline.is_some_and(|deadline| deadline <= now);
            if is_late {
                late.push(reader.request.ticket);
            }
            !is_late
        });
        self.wake_at = self.held.iter().filter_map(|reader| reader.request.deadline).min();
        late
    }

    /// When the first deadline may come: never later than when it does.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.wake_at.filter(|_| !self.held.is_empty())
    }

    /// What those need that are held back by `waiter`, for rules broken on purpose.
    pub(super) fn needs_behind(&self, waiter: Waiter) -> Vec<Position> {
        let Some((_, waited)) = self.running.iter().find(|(other, _)| *other == waiter) else { return Vec::new() };
        self.held.iter().map(|reader| &reader.needs).filter(|needs| has(needs, waited)).cloned().collect()
    }
}

/// What has executed `all` has executed `part`. Positions of different kinds of server have nothing in common.
fn has(all: &Position, part: &Position) -> bool {
    all.contains(part).unwrap_or(false)
}
