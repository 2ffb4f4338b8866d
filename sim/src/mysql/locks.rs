//! Row locks: exclusive, by key, with queues, deadlock detection and no gaps.
//!
//! The model has no shared and no gap locks; a locking read takes the row for itself.

use super::value::Value;
use std::collections::{BTreeMap, VecDeque};

/// A row, whether it exists or not: table id and key.
pub(super) type LockKey = (u32, Value);

/// Who holds or wants a lock: a session's id, or 0 for the applier.
pub(super) type Owner = u64;

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is held now.
    Granted,
    /// Somebody else holds it; the asker stands in the queue.
    Queued,
    /// Waiting would close a circle.
    Deadlock,
}

#[derive(Debug)]
struct Lock {
    holder: Owner,
    queue: VecDeque<Owner>,
}

/// All locks of a server.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: BTreeMap<LockKey, Lock>,
    waiting: BTreeMap<Owner, LockKey>,
}

impl Locks {
    /// Asks for a lock. An owner may wait for one lock at a time.
    pub(super) fn ask(&mut self, key: &LockKey, owner: Owner) -> Asked {
        let Some(lock) = self.held.get_mut(key) else {
            self.held.insert(key.clone(), Lock { holder: owner, queue: VecDeque::new() });
            return Asked::Granted;
        };
        if lock.holder == owner {
            return Asked::Granted;
        }
        if self.closes_circle(key, owner) {
            return Asked::Deadlock;
        }
        let lock = self.held.get_mut(key).expect("just seen");
        if !lock.queue.contains(&owner) {
            lock.queue.push_back(owner);
        }
        self.waiting.insert(owner, key.clone());
        Asked::Queued
    }

    fn closes_circle(&self, key: &LockKey, owner: Owner) -> bool {
        let mut key = key;
        loop {
            let Some(lock) = self.held.get(key) else { return false };
            if lock.holder == owner {
                return true;
            }
            match self.waiting.get(&lock.holder) {
                Some(next) => key = next,
                None => return false,
            }
        }
    }

    /// Stops waiting.
    pub(super) fn leave(&mut self, owner: Owner) {
        if let Some(key) = self.waiting.remove(&owner)
            && let Some(lock) = self.held.get_mut(&key)
        {
            lock.queue.retain(|waiter| *waiter != owner);
        }
    }

    /// Releases a lock and returns to whom it passes.
    pub(super) fn release(&mut self, key: &LockKey) -> Option<Owner> {
        let lock = self.held.get_mut(key)?;
        let Some(next) = lock.queue.pop_front() else {
            self.held.remove(key);
            return None;
        };
        lock.holder = next;
        self.waiting.remove(&next);
        Some(next)
    }

    /// No lock is held.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: i64) -> LockKey {
        (1, Value::Int(n))
    }

    #[test]
    fn a_lock_passes_in_the_order_of_asking() {
        let mut locks = Locks::default();
        assert_eq!(locks.ask(&key(1), 10), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 10), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 20), Asked::Queued);
        assert_eq!(locks.ask(&key(1), 30), Asked::Queued);
        locks.leave(20);
        assert_eq!(locks.release(&key(1)), Some(30));
        assert_eq!(locks.release(&key(1)), None);
        assert!(locks.is_empty());
    }

    #[test]
    fn a_circle_of_three_is_a_deadlock() {
        let mut locks = Locks::default();
        for n in 1..=3 {
            assert_eq!(locks.ask(&key(n), n as u64), Asked::Granted);
        }
        assert_eq!(locks.ask(&key(2), 1), Asked::Queued);
        assert_eq!(locks.ask(&key(3), 2), Asked::Queued);
        assert_eq!(locks.ask(&key(1), 3), Asked::Deadlock);
    }
}
