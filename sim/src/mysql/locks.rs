//! Row locks: shared and exclusive, by key, with queues and deadlock detection; no gaps.

use super::value::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A row, whether it exists or not: table id and key.
pub(super) type LockKey = (u32, Value);

/// Who holds or wants a lock: a session's id, or 0 for the applier.
pub(super) type Owner = u64;

/// How a row is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// Others may read with a lock, too: LOCK IN SHARE MODE, and the check of an INSERT that finds its key taken.
    Shared,
    /// Nobody else may lock it.
    Exclusive,
}

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

#[derive(Debug, Default)]
struct Lock {
    /// In the order of their numbers. Most rows have one.
    holders: Vec<(Owner, Mode)>,
    queue: VecDeque<(Owner, Mode)>,
}

impl Lock {
    /// Those who keep `owner` from holding it in this mode.
    fn blockers(&self, owner: Owner, mode: Mode) -> impl Iterator<Item = Owner> {
        let blocks = move |(holder, held): &&(Owner, Mode)| {
            *holder != owner && (mode == Mode::Exclusive || *held == Mode::Exclusive)
        };
        self.holders.iter().filter(blocks).map(|(holder, _)| *holder)
    }

    fn grant(&mut self, owner: Owner, mode: Mode) {
        self.hold(owner, Some(self.held(owner).map_or(mode, |held| held.max(mode))));
    }

    fn held(&self, owner: Owner) -> Option<Mode> {
        self.holders.iter().find(|(holder, _)| *holder == owner).map(|(_, mode)| *mode)
    }

    /// Lets an owner hold it in this mode, or not at all.
    fn hold(&mut self, owner: Owner, mode: Option<Mode>) {
        match (self.holders.binary_search_by_key(&owner, |(holder, _)| *holder), mode) {
            (Ok(at), Some(mode)) => self.holders[at].1 = mode,
            (Ok(at), None) => drop(self.holders.remove(at)),
            (Err(at), Some(mode)) => self.holders.insert(at, (owner, mode)),
            (Err(_), None) => {}
        }
    }
}

/// All locks of a server.
#[derive(Debug, Default)]
pub(super) struct Locks {
    locks: BTreeMap<LockKey, Lock>,
    waiting: BTreeMap<Owner, (LockKey, Mode)>,
}

impl Locks {
    /// Asks for a lock. An owner may wait for one lock at a time.
    pub(super) fn ask(&mut self, key: &LockKey, owner: Owner, mode: Mode) -> Asked {
        let lock = self.locks.entry(key.clone()).or_default();
        if lock.held(owner).is_some_and(|held| held >= mode) {
            return Asked::Granted;
        }
        // Who comes later than a waiting one waits behind it, unless it holds the row already.
        let behind = lock.held(owner).is_none() && lock.queue.iter().any(|(waiter, _)| *waiter != owner);
        if !behind && lock.blockers(owner, mode).next().is_none() {
            lock.grant(owner, mode);
            return Asked::Granted;
        }
        if self.closes_circle(key, owner, mode) {
            return Asked::Deadlock;
        }
        if let Some(lock) = self.locks.get_mut(key)
            && !lock.queue.iter().any(|(waiter, _)| *waiter == owner)
        {
            lock.queue.push_back((owner, mode));
        }
        self.waiting.insert(owner, (key.clone(), mode));
        Asked::Queued
    }

    /// Keys of a table that somebody other than `owner` holds, in order.
    pub(super) fn held_by_others(&self, table: u32, owner: Owner) -> impl Iterator<Item = &Value> {
        let of_table = self.locks.range((table, Value::Null)..).take_while(move |(key, _)| key.0 == table);
        of_table.filter(move |(_, lock)| lock.holders.iter().any(|(holder, _)| *holder != owner)).map(|(key, _)| &key.1)
    }

    /// Whether `owner` would have to wait for the lock.
    pub(super) fn is_held_by_other(&self, key: &LockKey, owner: Owner, mode: Mode) -> bool {
        self.locks.get(key).is_some_and(|lock| lock.blockers(owner, mode).next().is_some())
    }

    /// Follows from who is waited for to whom they wait for.
    fn closes_circle(&self, key: &LockKey, owner: Owner, mode: Mode) -> bool {
        let mut seen = BTreeSet::new();
        let mut open: Vec<Owner> = self.waited_for(key, owner, mode);
        while let Some(next) = open.pop() {
            if next == owner {
                return true;
            }
            if seen.insert(next)
                && let Some((key, mode)) = self.waiting.get(&next)
            {
                open.extend(self.waited_for(key, next, *mode));
            }
        }
        false
    }

    fn waited_for(&self, key: &LockKey, owner: Owner, mode: Mode) -> Vec<Owner> {
        let Some(lock) = self.locks.get(key) else { return Vec::new() };
        let ahead = lock.queue.iter().map(|(waiter, _)| *waiter).take_while(|waiter| *waiter != owner);
        lock.blockers(owner, mode).chain(ahead).collect()
    }

    /// Stops waiting. Returns who can go on.
    pub(super) fn leave(&mut self, owner: Owner) -> Vec<Owner> {
        let Some((key, _)) = self.waiting.remove(&owner) else { return Vec::new() };
        if let Some(lock) = self.locks.get_mut(&key) {
            lock.queue.retain(|(waiter, _)| *waiter != owner);
        }
        self.pass_on(&key)
    }

    /// Releases what `owner` holds of a row. Returns who can go on.
    pub(super) fn release(&mut self, key: &LockKey, owner: Owner) -> Vec<Owner> {
        self.put_back(key, owner, None)
    }

    /// How `owner` holds a row.
    pub(super) fn held(&self, key: &LockKey, owner: Owner) -> Option<Mode> {
        self.locks.get(key)?.held(owner)
    }

    /// Lets `owner` hold a row as it did before it asked for more. Returns who can go on.
    pub(super) fn put_back(&mut self, key: &LockKey, owner: Owner, before: Option<Mode>) -> Vec<Owner> {
        if let Some(lock) = self.locks.get_mut(key) {
            lock.hold(owner, before);
        }
        self.pass_on(key)
    }

    /// Grants the lock to those at the head of the queue who can hold it together.
    fn pass_on(&mut self, key: &LockKey) -> Vec<Owner> {
        let Some(lock) = self.locks.get_mut(key) else { return Vec::new() };
        let mut granted = Vec::new();
        while let Some((owner, mode)) = lock.queue.front().copied() {
            if lock.blockers(owner, mode).next().is_some() {
                break;
            }
            lock.queue.pop_front();
            lock.grant(owner, mode);
            self.waiting.remove(&owner);
            granted.push(owner);
        }
        if lock.holders.is_empty() {
            self.locks.remove(key);
        }
        granted
    }

    /// No lock is held.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Mode::{Exclusive, Shared};
    use super::*;

    fn key(n: i64) -> LockKey {
        (1, Value::Int(n))
    }

    #[test]
    fn a_lock_passes_in_the_order_of_asking() {
        let mut locks = Locks::default();
        assert_eq!(locks.ask(&key(1), 10, Exclusive), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 10, Shared), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 20, Exclusive), Asked::Queued);
        assert_eq!(locks.ask(&key(1), 30, Exclusive), Asked::Queued);
        assert!(locks.leave(20).is_empty());
        assert_eq!(locks.release(&key(1), 10), [30]);
        assert!(locks.release(&key(1), 30).is_empty());
        assert!(locks.is_empty());
    }

    #[test]
    fn readers_share_and_a_writer_waits_for_all_of_them() {
        let mut locks = Locks::default();
        assert_eq!(locks.ask(&key(1), 1, Shared), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 2, Shared), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 3, Exclusive), Asked::Queued);
        assert_eq!(locks.ask(&key(1), 4, Shared), Asked::Queued, "nobody overtakes a writer");
        assert!(locks.release(&key(1), 1).is_empty());
        assert_eq!(locks.release(&key(1), 2), [3]);
        assert_eq!(locks.release(&key(1), 3), [4]);
    }

    #[test]
    fn a_circle_of_three_is_a_deadlock() {
        let mut locks = Locks::default();
        for n in 1..=3 {
            assert_eq!(locks.ask(&key(n), n as u64, Exclusive), Asked::Granted);
        }
        assert_eq!(locks.ask(&key(2), 1, Exclusive), Asked::Queued);
        assert_eq!(locks.ask(&key(3), 2, Shared), Asked::Queued);
        assert_eq!(locks.ask(&key(1), 3, Exclusive), Asked::Deadlock);
    }

    #[test]
    fn two_readers_who_both_want_to_write_are_a_deadlock() {
        let mut locks = Locks::default();
        assert_eq!(locks.ask(&key(1), 1, Shared), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 2, Shared), Asked::Granted);
        assert_eq!(locks.ask(&key(1), 1, Exclusive), Asked::Queued);
        assert_eq!(locks.ask(&key(1), 2, Exclusive), Asked::Deadlock);
    }
}
