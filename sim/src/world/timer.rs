//! Timers of processes: a deadline that may be moved as often as one likes.
//!
//! They have a heap of their own, in which a timer stands at most once. Most deadlines are moved on and on and never come: a
//! timer stays where it stands when it is to come later or not at all, and finds its place when it is first in the heap.

use super::process::ProcessId;
use super::queue::Rank;
use weir_core::time::Instant;

/// A timer of a process, good until the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

#[derive(Debug)]
struct Timer {
    generation: u32,
    owner: Option<ProcessId>,
    token: u64,
    /// In the owner's local time.
    deadline: Option<Instant>,
    /// When it comes in the order of everything, while it is armed.
    rank: Rank,
    /// Where it stands in the heap: at its rank or an earlier one.
    place: Option<usize>,
}

/// All timers of the world.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: Vec<Timer>,
    free: Vec<u32>,
    /// Timers by their slots: a binary heap whose least rank is first. All that are armed are there, and some that were.
    heap: Vec<(Rank, u32)>,
}

impl Timers {
    pub(super) fn create(&mut self, owner: ProcessId, token: u64) -> TimerId {
        if let Some(slot) = self.free.pop() {
            let timer = &mut self.slots[slot as usize];
            (timer.owner, timer.token) = (Some(owner), token);
            return TimerId { slot, generation: timer.generation };
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers");
        let rank = Rank::new(Instant::ZERO, 0);
        self.slots.push(Timer { generation: 0, owner: Some(owner), token, deadline: None, rank, place: None });
        TimerId { slot, generation: 0 }
    }

    /// Sets the deadline, in local time; `rank` is when it comes in the order of everything.
    pub(super) fn arm(&mut self, id: TimerId, deadline: Instant, rank: Rank) {
        let Some(timer) = self.get_mut(id) else { return };
        (timer.deadline, timer.rank) = (Some(deadline), rank);
        match timer.place {
            Some(place) => {
                if rank < self.heap[place].0 {
                    self.heap[place].0 = rank;
                    self.sift(place);
                }
            }
            None => {
                self.heap.push((rank, id.slot));
                self.sift(self.heap.len() - 1);
            }
        }
    }

    pub(super) fn disarm(&mut self, id: TimerId) {
        if let Some(timer) = self.get_mut(id) {
            timer.deadline = None;
        }
    }

    /// When the next one comes up.
    pub(super) fn next(&mut self) -> Option<Rank> {
        loop {
            let (rank, slot) = *self.heap.first()?;
            let timer = &mut self.slots[slot as usize];
            if timer.deadline.is_none() {
                timer.place = None;
                self.take_out(0);
            } else if timer.rank == rank {
                return Some(rank);
            } else {
                self.heap[0].0 = timer.rank;
                self.sift(0);
            }
        }
    }

    /// Disarms the timer that comes up next. Returns whose it is, and its token.
    pub(super) fn pop(&mut self) -> Option<(Instant, ProcessId, u64)> {
        let rank = self.next()?;
        let slot = self.heap[0].1;
        self.take_out(0);
        let timer = &mut self.slots[slot as usize];
        (timer.deadline, timer.place) = (None, None);
        Some((rank.at(), timer.owner?, timer.token))
    }

    pub(super) fn free(&mut self, id: TimerId) {
        let Some(timer) = self.get_mut(id) else { return };
        timer.generation = timer.generation.wrapping_add(1);
        (timer.owner, timer.deadline) = (None, None);
        if let Some(place) = timer.place.take() {
            self.take_out(place);
        }
        self.free.push(id.slot);
    }

    /// Frees all timers of a process.
    pub(super) fn free_all(&mut self, owner: ProcessId) {
        for id in self.of(|process| process == owner) {
            self.free(id);
        }
    }

    /// Armed or not, the timers of the processes that `wanted` picks.
    pub(super) fn of(&self, wanted: impl Fn(ProcessId) -> bool) -> Vec<TimerId> {
        let slots = self.slots.iter().zip(0..);
        slots
            .filter(|(timer, _)| timer.owner.is_some_and(&wanted))
            .map(|(timer, slot)| TimerId { slot, generation: timer.generation })
            .collect()
    }

    pub(super) fn deadline(&self, id: TimerId) -> Option<Instant> {
        self.slots.get(id.slot as usize).filter(|timer| timer.generation == id.generation)?.deadline
    }

    fn get_mut(&mut self, id: TimerId) -> Option<&mut Timer> {
        self.slots.get_mut(id.slot as usize).filter(|timer| timer.generation == id.generation)
    }

    // The heap.

    fn take_out(&mut self, place: usize) {
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.sift(place);
        }
    }

    /// Moves the entry at a place to where its rank belongs.
    fn sift(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 && entry < self.heap[(place - 1) / 2] {
            self.put(place, self.heap[(place - 1) / 2]);
            place = (place - 1) / 2;
        }
        while let Some(least) = self.lesser_child(place).filter(|child| self.heap[*child] < entry) {
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn lesser_child(&self, place: usize) -> Option<usize> {
        let children = 2 * place + 1..(2 * place + 3).min(self.heap.len());
        children.min_by_key(|child| self.heap[*child].0)
    }

    fn put(&mut self, place: usize, entry: (Rank, u32)) {
        self.heap[place] = entry;
        self.slots[entry.1 as usize].place = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::rng::Rng;

    const OWNER: ProcessId = ProcessId(7);

    fn rank(at: u64, sequence: u64) -> Rank {
        Rank::new(Instant(at), sequence)
    }

    #[test]
    fn a_deadline_moves_both_ways_and_comes_once() {
        let mut timers = Timers::default();
        let (a, b) = (timers.create(OWNER, 1), timers.create(OWNER, 2));
        timers.arm(a, Instant(10), rank(10, 1));
        timers.arm(b, Instant(20), rank(20, 2));
        timers.arm(a, Instant(30), rank(30, 3));
        assert_eq!(timers.next(), Some(rank(20, 2)));
        timers.arm(a, Instant(20), rank(20, 4));
        assert_eq!(timers.pop(), Some((Instant(20), OWNER, 2)));
        assert_eq!(timers.deadline(b), None);
        assert_eq!(timers.pop(), Some((Instant(20), OWNER, 1)));
        assert_eq!(timers.pop(), None);
    }

    #[test]
    fn a_freed_timer_never_fires_for_its_successor() {
        let mut timers = Timers::default();
        let old = timers.create(OWNER, 1);
        timers.arm(old, Instant(10), rank(10, 1));
        timers.free_all(OWNER);
        let new = timers.create(OWNER, 2);
        timers.arm(old, Instant(15), rank(15, 2));
        timers.arm(new, Instant(20), rank(20, 3));
        assert_eq!(timers.pop(), Some((Instant(20), OWNER, 2)));
        assert_eq!(timers.pop(), None);
    }

    #[test]
    fn timers_come_in_order_however_they_were_moved() {
        let (mut timers, mut rng) = (Timers::default(), Rng::new(1));
        let ids: Vec<TimerId> = (0..50).map(|token| timers.create(OWNER, token)).collect();
        for sequence in 0..2_000 {
            let (id, at) = (ids[rng.index(ids.len())], rng.below(1_000));
            if rng.chance(0.2) {
                timers.disarm(id);
            } else {
                timers.arm(id, Instant(at), rank(at, sequence));
            }
        }
        let armed = ids.iter().filter(|id| timers.deadline(**id).is_some()).count();
        let ranks: Vec<Rank> = core::iter::from_fn(|| timers.next().inspect(|_| _ = timers.pop())).collect();
        assert!(ranks.is_sorted() && ranks.len() == armed && armed > 20);
    }
}
