//! A store within one process, with the promises of etcd that Weir builds on.
//!
//! Owns keys, revisions, leases and the last changes. It may not know files: its driver writes the [`Image`] of a change before
//! the change is made. What stands under a lease ends with the process, for so do those who would renew it.
//! Start with [`EmbeddedStore::draft`] and [`EmbeddedStore::perform`].

use super::call::{Call, CallError, Condition, KeyValue, Put, Reply};
use super::directory::{Changed, RECORDS_MAX, Read};
use super::records::RECORD_BYTES_MAX;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Changes that are kept for those who watch, at most; who is farther behind reads everything anew.
pub const HISTORY_MAX: usize = 1024;
/// Leases at one time, at most.
const LEASES_MAX: usize = 4096;
/// A store in which nothing was written.
const FIRST_REVISION: i64 = 1;

/// What is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The store's.
    pub revision: i64,
    /// Keys and what stands there.
    pub keys: BTreeMap<String, Kept>,
}

impl Default for Image {
    fn default() -> Self {
        Self { revision: FIRST_REVISION, keys: BTreeMap::new() }
    }
}

/// A key on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its value.
    pub value: String,
    /// The revision of its creation.
    pub created: i64,
    /// The revision of its last change.
    pub changed: i64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: Duration,
    ends: Instant,
}

/// The store.
#[derive(Debug)]
pub struct EmbeddedStore {
    keys: BTreeMap<Vec<u8>, KeyValue>,
    revision: i64,
    history: VecDeque<Changed>,
    /// All changes after this revision are in the history.
    forgotten: i64,
    leases: BTreeMap<i64, Lease>,
    granted: i64,
}

impl EmbeddedStore {
    /// What was on the disk.
    #[must_use]
    pub fn new(image: Image) -> Self {
        let key_value = |(key, Kept { value, created, changed }): (String, Kept)| {
            let (key, value) = (key.into_bytes(), value.into_bytes());
            (key.clone(), KeyValue { key, value, created, changed, lease: 0 })
        };
        Self {
            keys: image.keys.into_iter().map(key_value).collect(),
            revision: image.revision,
            history: VecDeque::new(),
            forgotten: image.revision,
            leases: BTreeMap::new(),
            granted: 0,
        }
    }

    /// What has to be on the disk before this call is performed; `None` when it changes nothing that lasts.
    #[must_use]
    pub fn draft(&self, call: &Call) -> Option<Image> {
        let (key, put) = match call {
            Call::PutIf { conditions, put, .. } if self.check(conditions, put).is_ok_and(|holds| holds) => {
                (&put.key, Some(put).filter(|put| put.lease == 0))
            }
            Call::Delete(key) => (key, None),
            _ => return None,
        };
        let lasts = self.keys.get(key).is_some_and(|before| before.lease == 0);
        if !lasts && put.is_none() {
            return None;
        }
        let lasting = self.keys.values().filter(|kv| kv.lease == 0 && kv.key != *key).cloned();
        let keys = lasting.chain(put.map(|put| self.after(put))).map(|kv| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&kv.key), Kept { value: text(&kv.value), created: kv.created, changed: kv.changed })
        });
        Some(Image { revision: self.revision + 1, keys: keys.collect() })
    }

    /// Performs a call.
    ///
    /// # Errors
    /// That the lease is gone, or which limit is reached.
    pub fn perform(&mut self, now: Instant, call: &Call) -> Result<Reply, CallError> {
        self.expire(now);
        match call {
            Call::Grant(ttl) => self.grant(now, *ttl),
            Call::Renew(lease) => {
                let lease = self.leases.get_mut(lease).ok_or(CallError::LeaseGone)?;
                lease.ends = now + lease.ttl;
                Ok(Reply::Done(self.revision))
            }
            Call::Revoke(lease) => {
                self.leases.remove(lease).ok_or(CallError::LeaseGone)?;
                self.end(*lease);
                Ok(Reply::Done(self.revision))
            }
            Call::Get(key) => Ok(Reply::Found(self.keys.get(key).cloned())),
            Call::PutIf { conditions, put, otherwise } => {
                if !self.check(conditions, put)? {
                    return Ok(Reply::Refused(otherwise.as_ref().and_then(|key| self.keys.get(key).cloned())));
                }
                let kv = self.after(put);
                self.change(kv.key.clone(), Some(kv.value.clone()));
                self.keys.insert(kv.key.clone(), kv);
                Ok(Reply::Done(self.revision))
            }
            Call::Delete(key) => {
                if self.keys.remove(key).is_some() {
                    self.change(key.clone(), None);
                }
                Ok(Reply::Done(self.revision))
            }
        }
    }

    /// The number of the last change.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// All keys with this prefix, now.
    #[must_use]
    pub fn read_all(&self, prefix: &[u8]) -> Vec<Read> {
        let all = self.keys.values().filter(|kv| kv.key.starts_with(prefix));
        all.map(|kv| Read { key: kv.key.clone(), value: kv.value.clone() }).collect()
    }

    /// What has changed after a revision; `None` when not all of that is kept any more.
    #[must_use]
    pub fn changes_after(&self, revision: i64) -> Option<Vec<Changed>> {
        let is_new = |change: &&Changed| change.revision > revision;
        (revision >= self.forgotten).then(|| self.history.iter().filter(is_new).cloned().collect())
    }

    /// Ends leases whose time is over.
    pub fn expire(&mut self, now: Instant) {
        let over = self.leases.iter().filter(|(_, lease)| lease.ends <= now);
        for id in over.map(|(id, _)| *id).collect::<Vec<i64>>() {
            self.leases.remove(&id);
            self.end(id);
        }
    }

    /// When to call [`EmbeddedStore::expire`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.ends).min()
    }

    fn grant(&mut self, now: Instant, ttl: Duration) -> Result<Reply, CallError> {
        if self.leases.len() >= LEASES_MAX {
            return Err(CallError::Failed(format!("there are {LEASES_MAX} leases already")));
        }
        self.granted += 1;
        self.leases.insert(self.granted, Lease { ttl, ends: now + ttl });
        Ok(Reply::Granted(self.granted))
    }

    /// Whether a write may happen and its conditions hold.
    fn check(&self, conditions: &[Condition], put: &Put) -> Result<bool, CallError> {
        let holds = conditions.iter().all(|condition| {
            let (key, is, revision): (_, fn(&KeyValue) -> i64, _) = match condition {
                Condition::Created(key, revision) => (key, |kv| kv.created, revision),
                Condition::Changed(key, revision) => (key, |kv| kv.changed, revision),
            };
            self.keys.get(key).map_or(0, is) == *revision
        });
        if !holds {
            return Ok(false);
        }
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(CallError::LeaseGone);
        }
        if put.value.len() > RECORD_BYTES_MAX {
            let bytes = put.value.len();
            return Err(CallError::Failed(format!("a value of {bytes} bytes, and {RECORD_BYTES_MAX} are allowed")));
        }
        if self.keys.len() >= RECORDS_MAX && !self.keys.contains_key(&put.key) {
            return Err(CallError::Failed(format!("there are {RECORDS_MAX} keys already")));
        }
        Ok(true)
    }

    /// A key as it will be.
    fn after(&self, Put { key, value, lease }: &Put) -> KeyValue {
        let changed = self.revision + 1;
        let created = self.keys.get(key).map_or(changed, |before| before.created);
        KeyValue { key: key.clone(), value: value.clone(), created, changed, lease: *lease }
    }

    /// Deletes what stands under a lease, each in a revision of its own.
    fn end(&mut self, lease: i64) {
        let over = self.keys.values().filter(|kv| kv.lease == lease);
        for key in over.map(|kv| kv.key.clone()).collect::<Vec<_>>() {
            self.keys.remove(&key);
            self.change(key, None);
        }
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.revision += 1;
        self.history.push_back(Changed { key, value, revision: self.revision });
        if self.history.len() > HISTORY_MAX
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.revision;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str, lease: i64) -> Call {
        let put = Put { key: key.into(), value: value.into(), lease };
        Call::PutIf { conditions: Vec::new(), put, otherwise: None }
    }

    /// Performs a call as a driver does; returns the reply and what is on the disk.
    fn perform(store: &mut EmbeddedStore, disk: &mut Image, call: &Call) -> Result<Reply, CallError> {
        if let Some(image) = store.draft(call) {
            *disk = image;
        }
        store.perform(Instant::ZERO, call)
    }

    #[test]
    fn what_was_written_is_on_the_disk_with_its_revisions() {
        let (mut store, mut disk) = (EmbeddedStore::new(Image::default()), Image::default());
        for call in [put("/a", "1", 0), put("/b", "1", 0), put("/a", "2", 0), Call::Delete("/b".into())] {
            perform(&mut store, &mut disk, &call).expect("done");
        }
        let mut again = EmbeddedStore::new(disk);
        assert_eq!((again.revision(), again.read_all(b"/")), (store.revision(), store.read_all(b"/")));
        let get = Call::Get("/a".into());
        assert_eq!(again.perform(Instant::ZERO, &get), store.perform(Instant::ZERO, &get));
        assert_eq!(again.changes_after(4), None, "that is not on the disk");
        assert_eq!(again.changes_after(5), Some(Vec::new()));
    }

    #[test]
    fn what_stands_under_a_lease_ends_with_it_and_is_never_on_the_disk() {
        let (mut store, mut disk) = (EmbeddedStore::new(Image::default()), Image::default());
        let Ok(Reply::Granted(lease)) = perform(&mut store, &mut disk, &Call::Grant(Duration::from_secs(3))) else {
            panic!("no lease")
        };
        perform(&mut store, &mut disk, &put("/sign", "here", lease)).expect("done");
        assert_eq!(disk, Image::default());
        let end = store.poll_timeout().expect("a lease");
        assert_eq!(end, Instant::ZERO + Duration::from_secs(3));
        store.expire(end);
        let told = store.changes_after(FIRST_REVISION).expect("kept");
        assert_eq!(told.iter().map(|change| change.value.is_some()).collect::<Vec<_>>(), [true, false]);
        assert_eq!(store.perform(end, &Call::Renew(lease)), Err(CallError::LeaseGone));
        assert_eq!(store.perform(end, &put("/sign", "here", lease)), Err(CallError::LeaseGone));
        // A key that stood under a lease may become one that lasts, and the other way round.
        perform(&mut store, &mut disk, &put("/sign", "stays", 0)).expect("done");
        assert!(disk.keys.contains_key("/sign"));
        let Ok(Reply::Granted(lease)) = store.perform(end, &Call::Grant(Duration::from_secs(3))) else {
            panic!("no lease")
        };
        let image = store.draft(&put("/sign", "goes", lease)).expect("it does not last any more");
        assert!(image.keys.is_empty());
    }

    #[test]
    fn who_is_too_far_behind_is_told_so() {
        let mut store = EmbeddedStore::new(Image::default());
        for n in 0..=HISTORY_MAX {
            store.perform(Instant::ZERO, &put("/a", &n.to_string(), 0)).expect("done");
        }
        assert_eq!(store.changes_after(FIRST_REVISION), None);
        assert_eq!(store.changes_after(FIRST_REVISION + 1).map(|changes| changes.len()), Some(HISTORY_MAX));
    }

    #[test]
    fn conditions_and_limits_keep_writes_out() {
        let mut store = EmbeddedStore::new(Image::default());
        store.perform(Instant::ZERO, &put("/a", "1", 0)).expect("done");
        let guarded = |condition| Call::PutIf {
            conditions: vec![condition],
            put: Put { key: "/a".into(), value: "2".into(), lease: 0 },
            otherwise: Some("/a".into()),
        };
        let stale = guarded(Condition::Changed("/a".into(), 1));
        assert!(matches!(store.perform(Instant::ZERO, &stale), Ok(Reply::Refused(Some(kv))) if kv.value == b"1"));
        assert_eq!(store.draft(&stale), None);
        assert_eq!(store.perform(Instant::ZERO, &guarded(Condition::Created("/a".into(), 2))), Ok(Reply::Done(3)));
        let long = put("/a", &"v".repeat(RECORD_BYTES_MAX + 1), 0);
        assert!(matches!(store.perform(Instant::ZERO, &long), Err(CallError::Failed(_))));
        assert_eq!(store.draft(&long), None);
    }
}
