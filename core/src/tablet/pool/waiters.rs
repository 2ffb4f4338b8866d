//! Who waits for a connection, in the order of coming.

use super::message::Ticket;
use super::tally::Tallies;
use crate::link::ConnectionClass;
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) class: ConnectionClass,
    pub(super) holder: u32,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    /// How many later requests were served before it.
    pub(super) overtaken: u32,
}

/// The waiting requests, the first to come first.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    queue: VecDeque<Waiter>,
    /// No deadline here is before this time.
    wake_at: Option<Instant>,
}

impl Waiters {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        debug_assert!(self.queue.iter().all(|other| other.ticket != waiter.ticket), "a ticket waits once");
        self.wake_at = Some(self.wake_at.map_or(waiter.deadline, |at| at.min(waiter.deadline)));
        self.queue.push_back(waiter);
    }

    /// The place of the first that waits for a class.
    pub(super) fn first_of(&self, class: ConnectionClass) -> Option<usize> {
        self.queue.iter().position(|waiter| waiter.class == class)
    }

    /// Take out the one at a place; those before it have been overtaken.
    pub(super) fn serve(&mut self, at: usize) -> Option<Waiter> {
        for passed in self.queue.iter_mut().take(at) {
            passed.overtaken += 1;
        }
        self.queue.remove(at)
    }

    /// The first for which no connection is being opened, and its place.
    ///
    /// Looks at no more than one waiter for each connection being opened, and one.
    pub(super) fn first_without_opening(&self, tallies: &Tallies) -> Option<(usize, &Waiter)> {
        let mut before = BTreeMap::new();
        self.queue.iter().enumerate().find(|(_, waiter)| {
            let ahead = before.entry(waiter.class).or_insert(0);
            *ahead += 1;
            *ahead > tallies.of(waiter.class).opening
        })
    }

    /// Take out everyone of whom `gone` is true, in order.
    pub(super) fn remove_if(&mut self, mut gone: impl FnMut(&Waiter) -> bool) {
        self.queue.retain(|waiter| !gone(waiter));
    }

    /// Take out everyone whose deadline has come, in order, and tell `late` of each.
    pub(super) fn expire(&mut self, now: Instant, mut late: impl FnMut(&Waiter)) {
        if self.wake_at.is_none_or(|at| now < at) {
            return;
        }
        self.remove_if(|waiter| {
            let is_late = waiter.deadline <= now;
            if is_late {
                late(waiter);
            }
            is_late
        });
        self.wake_at = self.queue.iter().map(|waiter| waiter.deadline).min();
    }

    /// When the first deadline may come: never later than when it does.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.queue.is_empty() { None } else { self.wake_at }
    }
}
