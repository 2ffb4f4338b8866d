//! Leases: keys that live as long as somebody says so.

use super::LeaseId;
use super::store::Error;
use std::collections::{BTreeMap, BTreeSet};
use weir_core::time::{Duration, Instant};

#[derive(Clone, Debug)]
struct Lease {
    ttl: Duration,
    expires: Instant,
    keys: BTreeSet<Vec<u8>>,
}

/// All leases.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    granted: LeaseId,
}

impl Leases {
    pub(super) fn exists(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    pub(super) fn grant(&mut self, now: Instant, id: LeaseId, ttl: Duration) -> Result<LeaseId, Error> {
        self.granted += 1;
        let id = if id == 0 { self.granted } else { id };
        if self.exists(id) {
            return Err(Error::LeaseExists);
        }
        self.leases.insert(id, Lease { ttl, expires: now + ttl, keys: BTreeSet::new() });
        Ok(id)
    }

    pub(super) fn keep_alive(&mut self, now: Instant, id: LeaseId) -> Result<Duration, Error> {
        let lease = self.leases.get_mut(&id).ok_or(Error::LeaseNotFound)?;
        lease.expires = now + lease.ttl;
        Ok(lease.ttl)
    }

    /// Ends a lease and returns its keys.
    pub(super) fn end(&mut self, id: LeaseId) -> Result<BTreeSet<Vec<u8>>, Error> {
        self.leases.remove(&id).map(|lease| lease.keys).ok_or(Error::LeaseNotFound)
    }

    pub(super) fn attach(&mut self, id: LeaseId, key: &[u8], attached: bool) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if attached {
            lease.keys.insert(key.to_vec());
        } else {
            lease.keys.remove(key);
        }
    }

    /// A new leader gives each lease its full time again.
    pub(super) fn promote(&mut self, now: Instant) {
        self.leases.values_mut().for_each(|lease| lease.expires = now + lease.ttl);
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.expires).min()
    }

    pub(super) fn expired(&self, now: Instant) -> Option<LeaseId> {
        self.leases.iter().find(|(_, lease)| lease.expires <= now).map(|(id, _)| *id)
    }
}
