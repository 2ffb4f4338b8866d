//! Timers of processes: a deadline that may be moved as often as one likes.
//!
//! Moving a deadline later costs nothing: the queued entry finds out when it comes up, and queues itself again.

use super::process::ProcessId;
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
    /// True time of the queue entry that counts; others for this timer are stale.
    queued: Option<Instant>,
}

/// What a queue entry of a timer amounts to when it comes up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The timer was moved, disarmed or freed since.
    Stale,
    /// The deadline has moved: in local time.
    Later(Instant),
    /// The deadline has come.
    Now(ProcessId, u64),
}

/// All timers of the world.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: Vec<Timer>,
    free: Vec<u32>,
}

impl Timers {
    pub(super) fn create(&mut self, owner: ProcessId, token: u64) -> TimerId {
        if let Some(slot) = self.free.pop() {
            let timer = &mut self.slots[slot as usize];
            (timer.owner, timer.token) = (Some(owner), token);
            return TimerId { slot, generation: timer.generation };
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers");
        self.slots.push(Timer { generation: 0, owner: Some(owner), token, deadline: None, queued: None });
        TimerId { slot, generation: 0 }
    }

    /// Sets the deadline. Returns true when a queue entry at `at_true` is needed.
    pub(super) fn arm(&mut self, id: TimerId, deadline: Option<Instant>, at_true: Instant) -> bool {
        let Some(timer) = self.get_mut(id) else { return false };
        timer.deadline = deadline;
        let sooner = timer.queued.is_none_or(|queued| at_true < queued);
        let needed = deadline.is_some() && sooner;
        if needed {
            timer.queued = Some(at_true);
        }
        needed
    }

    /// Judges a queue entry that has come up at true time `now`, local time `local`.
    pub(super) fn due(&mut self, id: TimerId, now: Instant, local: impl Fn(ProcessId) -> Instant) -> Due {
        let Some(timer) = self.get_mut(id) else { return Due::Stale };
        if timer.queued != Some(now) {
            return Due::Stale;
        }
        timer.queued = None;
        let (Some(owner), Some(deadline)) = (timer.owner, timer.deadline) else { return Due::Stale };
        if deadline > local(owner) {
            return Due::Later(deadline);
        }
        timer.deadline = None;
        Due::Now(owner, timer.token)
    }

    pub(super) fn free(&mut self, id: TimerId) {
        let Some(timer) = self.get_mut(id) else { return };
        timer.generation = timer.generation.wrapping_add(1);
        (timer.owner, timer.deadline, timer.queued) = (None, None, None);
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

    pub(super) fn owner(&self, id: TimerId) -> Option<ProcessId> {
        self.slots.get(id.slot as usize).filter(|timer| timer.generation == id.generation)?.owner
    }

    pub(super) fn deadline(&self, id: TimerId) -> Option<Instant> {
        self.slots.get(id.slot as usize).filter(|timer| timer.generation == id.generation)?.deadline
    }

    fn get_mut(&mut self, id: TimerId) -> Option<&mut Timer> {
        self.slots.get_mut(id.slot as usize).filter(|timer| timer.generation == id.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: ProcessId = ProcessId(7);

    #[test]
    fn a_deadline_moved_later_needs_no_new_entry_and_is_found_when_the_old_one_comes_up() {
        let mut timers = Timers::default();
        let id = timers.create(OWNER, 1);
        assert!(timers.arm(id, Some(Instant(10)), Instant(10)));
        assert!(!timers.arm(id, Some(Instant(30)), Instant(30)));
        assert_eq!(timers.due(id, Instant(10), |_| Instant(10)), Due::Later(Instant(30)));
    }

    #[test]
    fn a_deadline_moved_sooner_makes_the_old_entry_stale() {
        let mut timers = Timers::default();
        let id = timers.create(OWNER, 1);
        assert!(timers.arm(id, Some(Instant(10)), Instant(10)));
        assert!(timers.arm(id, Some(Instant(5)), Instant(5)));
        assert_eq!(timers.due(id, Instant(5), |_| Instant(5)), Due::Now(OWNER, 1));
        assert_eq!(timers.due(id, Instant(10), |_| Instant(10)), Due::Stale);
    }

    #[test]
    fn a_freed_timer_never_fires_for_its_successor() {
        let mut timers = Timers::default();
        let old = timers.create(OWNER, 1);
        timers.arm(old, Some(Instant(10)), Instant(10));
        timers.free_all(OWNER);
        let new = timers.create(OWNER, 2);
        timers.arm(new, Some(Instant(20)), Instant(20));
        assert_eq!(timers.due(old, Instant(10), |_| Instant(10)), Due::Stale);
        assert_eq!(timers.due(new, Instant(20), |_| Instant(20)), Due::Now(OWNER, 2));
    }
}
