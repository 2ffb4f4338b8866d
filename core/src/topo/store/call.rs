//! What is asked of a store: each call is one request, and happens as a whole or not at all.
//!
//! Revisions count the changes of the whole store, as etcd's do; 0 stands for what is not there.
//! Source: etcd 3.4 API reference (`KV.Range`, `KV.Txn`, `Lease.*`).

use crate::time::Duration;
use core::fmt;

/// A key as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The revision of its creation.
    pub created: i64,
    /// The revision of its last change.
    pub changed: i64,
    /// The lease that it lives under; 0 for none.
    pub lease: i64,
}

/// What has to be so for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key was created at this revision; 0: it is not there.
    Created(Vec<u8>, i64),
    /// The key was changed last at this revision; 0: it is not there.
    Changed(Vec<u8>, i64),
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Vec<u8>,
    /// Its new value.
    pub value: Vec<u8>,
    /// The lease that it lives under from now on; 0 for none.
    pub lease: i64,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Grant a lease for this time from each renewal. Stores round it up to seconds.
    Grant(Duration),
    /// Renew a lease.
    Renew(i64),
    /// End a lease, and with it all keys under it.
    Revoke(i64),
    /// Read one key, and not an old state of it.
    Get(Vec<u8>),
    /// Write one key if all conditions hold.
    PutIf {
        /// All of these.
        conditions: Vec<Condition>,
        /// What to write.
        put: Put,
        /// What to read when they do not hold.
        otherwise: Option<Vec<u8>>,
    },
    /// Delete one key.
    Delete(Vec<u8>),
}

impl Call {
    /// Asking it twice is as good as asking it once, so it may be asked again when it is not known what came of it.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        !matches!(self, Self::PutIf { .. })
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The lease that was granted.
    Granted(i64),
    /// It is done; the revision of the store.
    Done(i64),
    /// What was read.
    Found(Option<KeyValue>),
    /// The conditions do not hold; what was to be read then.
    Refused(Option<KeyValue>),
}

/// Why nothing, or nothing that is known, came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// There is no such lease. Nothing has happened.
    LeaseGone,
    /// The store could not be reached or could not do it, in words for people. It may have happened all the same.
    Failed(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseGone => f.write_str("the lease is gone"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for CallError {}
