//! Keys, their history, and transactions over them.

use super::{LeaseId, Revision};
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

/// A key's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// Revision of its creation.
    pub create_revision: Revision,
    /// Revision of its last change.
    pub mod_revision: Revision,
    /// Changes since its creation, from 1.
    pub version: i64,
    /// Its lease; 0 for none.
    pub lease: LeaseId,
}

/// Why a request was refused. Nothing has happened then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no leader.
    NoLeader,
    /// The revision was compacted.
    Compacted,
    /// The revision lies in the future.
    FutureRevision,
    /// A transaction puts a key twice.
    DuplicateKey,
    /// No such lease.
    LeaseNotFound,
    /// The lease is there already.
    LeaseExists,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLeader => "etcdserver: no leader",
            Self::Compacted => "etcdserver: mvcc: required revision has been compacted",
            Self::FutureRevision => "etcdserver: mvcc: required revision is a future revision",
            Self::DuplicateKey => "etcdserver: duplicate key given in txn request",
            Self::LeaseNotFound => "etcdserver: requested lease not found",
            Self::LeaseExists => "etcdserver: lease already exists",
        })
    }
}

/// Which keys to read, as of when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub key: Vec<u8>,
    /// Before this one; empty means the key alone, a single NUL means all from the key on.
    pub end: Vec<u8>,
    /// At this revision; 0 means now.
    pub revision: Revision,
    /// At most so many; 0 means all.
    pub limit: usize,
}

impl Range {
    /// One key, now.
    #[must_use]
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// All keys with a prefix, now.
    #[must_use]
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let key: Vec<u8> = prefix.into();
        let mut end = key.clone();
        while end.pop_if(|last| *last == 0xff).is_some() {}
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end.push(0),
        }
        Self { key, end, ..Self::default() }
    }
}

/// Whether a key lies in a range, by etcd's rules for `range_end`.
pub(super) fn covers(start: &[u8], end: &[u8], key: &[u8]) -> bool {
    match end {
        [] => key == start,
        [0] => key >= start,
        end => key >= start && key < end,
    }
}

/// What a range read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Keys in order.
    pub kvs: Vec<KeyValue>,
    /// How many there are without the limit.
    pub count: usize,
    /// The store's revision.
    pub revision: Revision,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Changes since creation; 0 when the key is not there.
    Version(i64),
    /// Creation revision; 0 when the key is not there.
    Create(Revision),
    /// Revision of the last change; 0 when the key is not there.
    Mod(Revision),
    /// The value. A key that is not there fails every comparison of values.
    Value(Vec<u8>),
    /// The lease.
    Lease(LeaseId),
}

/// How it is compared: the key's side stands left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which key.
    pub key: Vec<u8>,
    /// How.
    pub order: Order,
    /// With what.
    pub target: Target,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes a key, with a lease or 0.
    Put(Vec<u8>, Vec<u8>, LeaseId),
    /// Deletes keys.
    Delete(Range),
    /// Reads keys, as the steps before it have left them.
    Get(Range),
}

/// If all comparisons hold, then one branch, else the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Conditions.
    pub compare: Vec<Comparison>,
    /// What to do when all hold.
    pub then: Vec<Operation>,
    /// What to do else.
    pub otherwise: Vec<Operation>,
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResult {
    /// All comparisons held.
    pub succeeded: bool,
    /// The store's revision afterwards.
    pub revision: Revision,
    /// Results of its reads, in order.
    pub reads: Vec<Read>,
    /// Keys deleted.
    pub deleted: usize,
}

/// A change as watches see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The key's new state.
    Put(KeyValue),
    /// The key that is gone, and the revision.
    Delete(Vec<u8>, Revision),
}

impl Mutation {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put(kv) => &kv.key,
            Self::Delete(key, _) => key,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        match self {
            Self::Put(kv) => kv.mod_revision,
            Self::Delete(_, revision) => *revision,
        }
    }
}

/// The keys and their history since the last compaction.
#[derive(Clone, Debug)]
pub(super) struct Store {
    revision: Revision,
    compacted: Revision,
    keys: BTreeMap<Vec<u8>, KeyValue>,
    /// State at the compacted revision, from which older states are rebuilt.
    base: BTreeMap<Vec<u8>, KeyValue>,
    history: Vec<Mutation>,
    lease_changes: Vec<(Vec<u8>, LeaseId, bool)>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            revision: 1,
            compacted: 0,
            keys: BTreeMap::new(),
            base: BTreeMap::new(),
            history: Vec::new(),
            lease_changes: Vec::new(),
        }
    }
}

impl Store {
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Changes after a revision, oldest first.
    pub(super) fn since(&self, revision: Revision) -> &[Mutation] {
        let from = self.history.partition_point(|change| change.revision() < revision);
        &self.history[from..]
    }

    /// Keys that were bound to or freed from a lease since the last call.
    pub(super) fn take_lease_changes(&mut self) -> Vec<(Vec<u8>, LeaseId, bool)> {
        core::mem::take(&mut self.lease_changes)
    }

    pub(super) fn range(&self, range: &Range) -> Result<Read, Error> {
        if range.revision > self.revision {
            return Err(Error::FutureRevision);
        }
        if range.revision > 0 && range.revision < self.compacted {
            return Err(Error::Compacted);
        }
        if range.revision == 0 || range.revision == self.revision {
            return Ok(self.read(&self.keys, range));
        }
        let mut keys = self.base.clone();
        for change in self.history.iter().take_while(|change| change.revision() <= range.revision) {
            replay(&mut keys, change);
        }
        Ok(self.read(&keys, range))
    }

    fn read(&self, keys: &BTreeMap<Vec<u8>, KeyValue>, range: &Range) -> Read {
        let found: Vec<&KeyValue> = keys
            .range(range.key.clone()..)
            .map(|(_, kv)| kv)
            .take_while(|kv| covers(&range.key, &range.end, &kv.key))
            .collect();
        let limit = if range.limit == 0 { usize::MAX } else { range.limit };
        let count = found.len();
        Read { kvs: found.into_iter().take(limit).cloned().collect(), count, revision: self.revision }
    }

    pub(super) fn transact(
        &mut self,
        transaction: &Transaction,
        lease_exists: impl Fn(LeaseId) -> bool,
    ) -> Result<TxnResult, Error> {
        let succeeded = transaction.compare.iter().all(|comparison| self.holds(comparison));
        let branch = if succeeded { &transaction.then } else { &transaction.otherwise };
        check_duplicates(&transaction.then)?;
        check_duplicates(&transaction.otherwise)?;
        for operation in branch {
            match operation {
                Operation::Put(_, _, lease) if *lease != 0 && !lease_exists(*lease) => {
                    return Err(Error::LeaseNotFound);
                }
                Operation::Get(range) => {
                    self.range(range)?;
                }
                _ => {}
            }
        }
        let before = self.history.len();
        let next = self.revision + 1;
        let mut result = TxnResult { succeeded, revision: 0, reads: Vec::new(), deleted: 0 };
        for operation in branch {
            match operation {
                Operation::Put(key, value, lease) => self.put(next, key, value, *lease),
                Operation::Delete(range) => {
                    let keys: Vec<Vec<u8>> = self.read(&self.keys, range).kvs.into_iter().map(|kv| kv.key).collect();
                    result.deleted += keys.len();
                    keys.iter().for_each(|key| self.delete(next, key));
                }
                Operation::Get(range) => result.reads.push(self.read(&self.keys, range)),
            }
        }
        if self.history.len() > before {
            self.revision = next;
        }
        result.revision = self.revision;
        Ok(result)
    }

    fn holds(&self, comparison: &Comparison) -> bool {
        let kv = self.keys.get(&comparison.key);
        let number = |get: fn(&KeyValue) -> i64| kv.map_or(0, get);
        let order = match &comparison.target {
            Target::Version(n) => number(|kv| kv.version).cmp(n),
            Target::Create(n) => number(|kv| kv.create_revision).cmp(n),
            Target::Mod(n) => number(|kv| kv.mod_revision).cmp(n),
            Target::Lease(n) => number(|kv| kv.lease).cmp(n),
            Target::Value(value) => match kv {
                Some(kv) => kv.value.cmp(value),
                None => return false,
            },
        };
        match comparison.order {
            Order::Equal => order.is_eq(),
            Order::NotEqual => order.is_ne(),
            Order::Greater => order.is_gt(),
            Order::Less => order.is_lt(),
        }
    }

    fn put(&mut self, revision: Revision, key: &[u8], value: &[u8], lease: LeaseId) {
        let old = self.keys.get(key);
        let old_lease = old.map_or(0, |kv| kv.lease);
        let kv = KeyValue {
            key: key.to_vec(),
            value: value.to_vec(),
            create_revision: old.map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: old.map_or(1, |kv| kv.version + 1),
            lease,
        };
        self.note_lease(key, old_lease, false);
        self.note_lease(key, lease, true);
        self.history.push(Mutation::Put(kv.clone()));
        self.keys.insert(key.to_vec(), kv);
    }

    fn delete(&mut self, revision: Revision, key: &[u8]) {
        if let Some(old) = self.keys.remove(key) {
            self.note_lease(key, old.lease, false);
            self.history.push(Mutation::Delete(key.to_vec(), revision));
        }
    }

    fn note_lease(&mut self, key: &[u8], lease: LeaseId, attached: bool) {
        if lease != 0 {
            self.lease_changes.push((key.to_vec(), lease, attached));
        }
    }

    /// Deletes keys at one revision.
    pub(super) fn delete_all(&mut self, keys: &BTreeSet<Vec<u8>>) {
        let next = self.revision + 1;
        let before = self.history.len();
        keys.iter().for_each(|key| self.delete(next, key));
        if self.history.len() > before {
            self.revision = next;
        }
    }

    pub(super) fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        let count = self.history.partition_point(|change| change.revision() <= revision);
        for change in self.history.drain(..count) {
            replay(&mut self.base, &change);
        }
        self.compacted = revision;
        Ok(())
    }
}

fn replay(keys: &mut BTreeMap<Vec<u8>, KeyValue>, change: &Mutation) {
    match change {
        Mutation::Put(kv) => keys.insert(kv.key.clone(), kv.clone()),
        Mutation::Delete(key, _) => keys.remove(key),
    };
}

fn check_duplicates(branch: &[Operation]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let puts = branch.iter().filter_map(|operation| match operation {
        Operation::Put(key, ..) => Some(key),
        _ => None,
    });
    for key in puts {
        if !seen.insert(key) {
            return Err(Error::DuplicateKey);
        }
    }
    Ok(())
}
