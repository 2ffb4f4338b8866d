//! The model etcd: keys with revisions, transactions, leases, watches, compaction, and times without a leader.
//!
//! It stands for a whole cluster: what it has answered is durable, since a majority has it; without a leader it answers only
//! reads that may be stale. Leases are reset to their full time by a new leader, as etcd does. Elections and locks are what
//! clients build from leases, creation revisions and watches, so they need nothing here.
//! Source: etcd 3.4 API reference, and `mvcc` in its source for the edges of compaction.

mod call;
mod lease;
mod store;
mod watch;

pub use store::{Comparison, Error, KeyValue, Mutation, Operation, Order, Range, Read, Target, Transaction, TxnResult};
pub use watch::{Delivery, WatchId};

use lease::Leases;
use store::Store;
use watch::Watches;
use weir_core::time::{Duration, Instant};

/// A lease.
pub type LeaseId = i64;
/// The number of a state of the store. The first write makes revision 2, as in etcd.
pub type Revision = i64;

/// A model etcd.
#[derive(Clone, Debug, Default)]
pub struct Etcd {
    store: Store,
    leases: Leases,
    watches: Watches,
    leaderless: bool,
}

impl Etcd {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The cluster has lost its leader (true), or elected one (false).
    pub fn set_leaderless(&mut self, now: Instant, leaderless: bool) {
        if self.leaderless && !leaderless {
            self.leases.promote(now);
        }
        self.leaderless = leaderless;
    }

    /// All its processes restart, and elect a leader: watches are gone, the rest is there, and leases begin anew.
    pub fn restart(&mut self, now: Instant) {
        self.watches = Watches::default();
        self.leaderless = false;
        self.leases.promote(now);
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.store.revision()
    }

    fn check_leader(&self) -> Result<(), Error> {
        if self.leaderless { Err(Error::NoLeader) } else { Ok(()) }
    }

    /// Reads keys. A serializable read is answered even without a leader.
    ///
    /// # Errors
    /// `NoLeader`, `Compacted`, `FutureRevision`.
    pub fn range(&self, range: &Range, serializable: bool) -> Result<Read, Error> {
        if !serializable {
            self.check_leader()?;
        }
        self.store.range(range)
    }

    /// Compares, then runs one branch or the other, at one revision.
    ///
    /// # Errors
    /// `NoLeader`, `LeaseNotFound`, `DuplicateKey`, and those of the reads in it. Nothing has happened then.
    pub fn transact(&mut self, transaction: &Transaction) -> Result<TxnResult, Error> {
        self.check_leader()?;
        let leases = &self.leases;
        let result = self.store.transact(transaction, |lease| leases.exists(lease))?;
        self.after_write();
        Ok(result)
    }

    fn after_write(&mut self) {
        for (key, lease, attached) in self.store.take_lease_changes() {
            self.leases.attach(lease, &key, attached);
        }
        self.watches.publish(&self.store);
    }

    /// Forgets states before a revision.
    ///
    /// # Errors
    /// `NoLeader`, `Compacted` when it was done before, `FutureRevision`.
    pub fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        self.check_leader()?;
        self.store.compact(revision)
    }

    /// Grants a lease, under an id of one's own unless 0.
    ///
    /// # Errors
    /// `NoLeader`, `LeaseExists`.
    pub fn grant(&mut self, now: Instant, id: LeaseId, ttl: Duration) -> Result<LeaseId, Error> {
        self.check_leader()?;
        self.leases.grant(now, id, ttl)
    }

    /// Renews a lease for its full time.
    ///
    /// # Errors
    /// `NoLeader`, `LeaseNotFound`.
    pub fn keep_alive(&mut self, now: Instant, id: LeaseId) -> Result<Duration, Error> {
        self.check_leader()?;
        self.leases.keep_alive(now, id)
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// `NoLeader`, `LeaseNotFound`.
    pub fn revoke(&mut self, id: LeaseId) -> Result<(), Error> {
        self.check_leader()?;
        let keys = self.leases.end(id)?;
        self.store.delete_all(&keys);
        self.after_write();
        Ok(())
    }

    /// Watches keys from a revision on; 0 means from now. What has happened since follows as deliveries.
    pub fn watch(&mut self, key: &[u8], range_end: &[u8], from: Revision) -> WatchId {
        let id = self.watches.create(key, range_end, from, &self.store);
        self.watches.publish(&self.store);
        id
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, id: WatchId) {
        self.watches.cancel(id);
    }

    /// The next thing a watch has to be told.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.watches.poll()
    }

    /// When the next lease expires; nobody expires leases without a leader.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.leaderless { None } else { self.leases.next_expiry() }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while !self.leaderless
            && let Some(id) = self.leases.expired(now)
        {
            let ended = self.revoke(id);
            debug_assert!(ended.is_ok(), "an expired lease is there");
        }
    }
}

#[cfg(test)]
mod tests;
