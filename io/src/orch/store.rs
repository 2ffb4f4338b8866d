//! The embedded topology as orchestrators see it: a shard's entry in a file, and the lock on it.
//!
//! One process has the directory for itself (its lock is held for as long as the servers run), so the shard's lock only tells
//! the starts of an orchestrator apart.

use crate::durable::{Unusable, ValueFile};
use std::path::Path;
use tracing::error;
use weir_core::orch::lock::{Answer, Entry, Request};

/// Its name in the data directory.
const FILE: &str = "shard.json";
/// There is one orchestrator, and so one lease.
const LEASE: i64 = 1;

/// See the module.
#[derive(Debug)]
pub struct EntryFile {
    file: ValueFile,
    entry: Option<Entry>,
    /// Counts the writes of this process; 0 before the first.
    revision: i64,
    /// The lock, once it is taken.
    lock: Option<i64>,
}

impl EntryFile {
    /// What the directory holds of the shard.
    ///
    /// # Errors
    /// When it cannot be read: without it the last primary is not known.
    pub fn open(data_dir: &Path) -> Result<Self, Unusable> {
        let file = ValueFile::new(data_dir.join(FILE));
        let entry: Option<Entry> = file.read()?;
        let revision = i64::from(entry.is_some());
        Ok(Self { file, entry, revision, lock: None })
    }

    /// What is written there.
    #[must_use]
    pub const fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Answers a question. A write is on the disk when it is answered.
    pub fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Grant { .. } => Answer::Granted(LEASE),
            Request::Renew { .. } => Answer::Renewed,
            Request::Lock { .. } => Answer::Locked(*self.lock.get_or_insert(self.revision)),
            Request::Read => Answer::Read(self.entry.clone().map(Box::new), self.revision),
            Request::Write { entry, over, lock } => {
                let is_current =
                    over.is_none_or(|over| over == self.revision) && lock.is_none_or(|_| lock == self.lock);
                if is_current { self.write(*entry) } else { Answer::Refused }
            }
        }
    }

    fn write(&mut self, entry: Entry) -> Answer {
        match self.file.write(&entry) {
            Ok(()) => {
                self.entry = Some(entry);
                self.revision += 1;
                Answer::Written(self.revision)
            }
            Err(why) => {
                error!("cannot write {}: {why}", self.file.path().display());
                // It may be there all the same; then a later write, which says as much or more, is over it.
                Answer::Failed(why.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::orch::durability::Policy;
    use weir_core::orch::recovery::{Cohort, Record, Step};

    fn entry(term: u64) -> Box<Entry> {
        let cohort = Cohort { tablets: Default::default(), policy: Policy::None, promotion: Default::default() };
        Box::new(Entry { cohort, record: Record { term, reigns: Vec::new(), step: Step::Settled } })
    }

    #[test]
    fn an_entry_is_written_over_the_one_that_was_read_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = EntryFile::open(dir.path()).unwrap();
        let Answer::Locked(lock) = store.answer(Request::Lock { lease: LEASE }) else { panic!("no lock") };
        assert_eq!(store.answer(Request::Read), Answer::Read(None, 0));
        let write = |term, over| Request::Write { entry: entry(term), over: Some(over), lock: Some(lock) };
        let Answer::Written(revision) = store.answer(write(1, 0)) else { panic!("not written") };
        assert_eq!(store.answer(write(2, 0)), Answer::Refused, "somebody has written since");
        assert!(matches!(store.answer(write(2, revision)), Answer::Written(_)));
        let stranger = Request::Write { entry: entry(3), over: None, lock: Some(lock + 1) };
        assert_eq!(store.answer(stranger), Answer::Refused);
        let again = EntryFile::open(dir.path()).unwrap();
        assert_eq!(again.entry(), Some(&*entry(2)));
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(EntryFile::open(dir.path()).is_err());
    }
}
