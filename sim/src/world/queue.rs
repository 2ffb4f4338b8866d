//! The one event queue: a total order by time, then by the order of scheduling.

use core::cmp::Ordering;
use std::collections::BinaryHeap;
use weir_core::time::Instant;

/// A place in the total order: time above, order of scheduling below, so that one comparison decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u128);

impl Rank {
    pub(super) const fn new(at: Instant, sequence: u64) -> Self {
        Self(((at.0 as u128) << 64) | sequence as u128)
    }

    pub(super) const fn at(self) -> Instant {
        Instant((self.0 >> 64) as u64)
    }
}

/// What is due, ordered by time and, within one instant, by the order in which it was scheduled.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    scheduled: u64,
}

#[derive(Debug)]
struct Entry<T> {
    rank: Rank,
    what: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::with_capacity(1024), scheduled: 0 }
    }

    /// The rank of what is scheduled now, here or elsewhere.
    pub(super) fn schedule(&mut self, at: Instant) -> Rank {
        self.scheduled += 1;
        Rank::new(at, self.scheduled)
    }

    pub(super) fn push(&mut self, at: Instant, what: T) {
        let rank = self.schedule(at);
        self.heap.push(Entry { rank, what });
    }

    /// The rank of the next entry.
    pub(super) fn next(&self) -> Option<Rank> {
        self.heap.peek().map(|entry| entry.rank)
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, T)> {
        self.heap.pop().map(|entry| (entry.rank.at(), entry.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap yields its greatest element, and the earliest is wanted.
        other.rank.cmp(&self.rank)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_comes_first_and_equals_keep_their_order() {
        let mut queue = Queue::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(Instant(at), what);
        }
        let order: String = core::iter::from_fn(|| queue.pop()).map(|(_, what)| what).collect();
        assert_eq!(order, "abcd");
        assert_eq!(queue.next(), None);
    }
}
