//! The embedded topology as orchestrators see it: a shard's entry in a file, and the lock on it.
//!
//! One process has the directory for itself (its lock is held for as long as the servers run), so the shard's lock only tells
//! the starts of an orchestrator apart.

use super::{QUESTIONS_MAX, Topology};
use crate::durable::{Unusable, ValueFile};
use std::path::Path;
use tokio::sync::{mpsc, watch};
use tracing::error;
use weir_core::orch::lock::{Answer, Entry, Request};
use weir_core::orch::recovery::Cohort;

/// Its name in the data directory.
const FILE: &str = "shard.json";
/// There is one orchestrator, and so one lease.
const LEASE: i64 = 1;

/// From now on the shard is run without failover: its primary acknowledges writes alone.
///
/// # Errors
/// When that cannot be noted.
pub fn forget_history(data_dir: &Path) -> Result<(), Unusable> {
    let file = ValueFile::new(data_dir.join(FILE));
    match file.read::<Entry>()? {
        Some(entry) => file.write(&entry.without_history()).map_err(|why| file.unusable(why)),
        None => Ok(()),
    }
}

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
    /// What the directory holds of the shard, whose cohort is this from now on.
    ///
    /// # Errors
    /// When it cannot be read or written, for without it the last primary is not known; or when that is not of the cohort.
    pub fn open(data_dir: &Path, cohort: &Cohort) -> Result<Self, Unusable> {
        let file = ValueFile::new(data_dir.join(FILE));
        let mut entry: Option<Entry> = file.read()?;
        if let Some(old) = entry.take_if(|entry| entry.cohort != *cohort) {
            let missing = |tablet| format!("its primary so far, {tablet}, is not among the servers: start it as well");
            let new = old.with_cohort(cohort.clone()).map_err(|tablet| file.unusable(missing(tablet)))?;
            file.write(&new).map_err(|why| file.unusable(why))?;
            entry = Some(new);
        }
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

    /// Answers for as long as an orchestrator asks; what the file says of the shard is seen at the other end.
    pub(crate) fn serve(mut self) -> Topology {
        let (asks, mut asked) = mpsc::channel::<(u64, Request)>(QUESTIONS_MAX);
        let (answered, answers) = mpsc::channel(QUESTIONS_MAX);
        let (told, entry) = watch::channel(self.entry.clone());
        tokio::task::spawn_blocking(move || {
            while let Some((id, request)) = asked.blocking_recv() {
                let is_write = matches!(request, Request::Write { .. });
                let answer = self.answer(request);
                if is_write {
                    told.send_replace(self.entry.clone());
                }
                if answered.blocking_send((id, answer)).is_err() {
                    return;
                }
            }
        });
        Topology { asks, answers, entry }
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
    use weir_core::orch::recovery::{Record, Reign, Step};

    fn cohort(tablets: &[&str]) -> Cohort {
        let tablets = tablets.iter().map(|name| name.parse().unwrap()).collect();
        Cohort { tablets, policy: Policy::None, promotion: Default::default() }
    }

    fn entry(term: u64) -> Box<Entry> {
        Box::new(Entry::new(cohort(&["a-1"]), Record { term, reigns: Vec::new(), step: Step::Settled }))
    }

    #[test]
    fn an_entry_is_written_over_the_one_that_was_read_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = EntryFile::open(dir.path(), &cohort(&["a-1"])).unwrap();
        let Answer::Locked(lock) = store.answer(Request::Lock { lease: LEASE }) else { panic!("no lock") };
        assert_eq!(store.answer(Request::Read), Answer::Read(None, 0));
        let write = |term, over| Request::Write { entry: entry(term), over: Some(over), lock: Some(lock) };
        let Answer::Written(revision) = store.answer(write(1, 0)) else { panic!("not written") };
        assert_eq!(store.answer(write(2, 0)), Answer::Refused, "somebody has written since");
        assert!(matches!(store.answer(write(2, revision)), Answer::Written(_)));
        let stranger = Request::Write { entry: entry(3), over: None, lock: Some(lock + 1) };
        assert_eq!(store.answer(stranger), Answer::Refused);
        let again = EntryFile::open(dir.path(), &cohort(&["a-1"])).unwrap();
        assert_eq!(again.entry(), Some(&*entry(2)));
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(EntryFile::open(dir.path(), &cohort(&["a-1"])).is_err());
    }

    #[test]
    fn another_cohort_keeps_the_term_and_needs_the_primary() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = EntryFile::open(dir.path(), &cohort(&["a-1", "a-2"])).unwrap();
        let reign = Reign { term: 7, primary: "a-2".parse().unwrap(), begins_at: Default::default() };
        let record = Record { term: 7, reigns: vec![reign], step: Step::Settled };
        let entry = Box::new(Entry::new(cohort(&["a-1", "a-2"]), record));
        assert!(matches!(store.answer(Request::Write { entry, over: None, lock: None }), Answer::Written(_)));
        let error = EntryFile::open(dir.path(), &cohort(&["a-1"])).unwrap_err().to_string();
        assert!(error.contains("a-0000000002"), "{error}");
        let more = cohort(&["a-1", "a-2", "a-3"]);
        let store = EntryFile::open(dir.path(), &more).unwrap();
        let entry = store.entry().expect("it is known");
        assert_eq!((&entry.cohort, entry.record.term, entry.record.reigns.len()), (&more, 7, 0));
    }
}
