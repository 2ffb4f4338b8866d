//! The driver of [`weir_core::topo::store::embedded`]: its file, its clock, and those who watch it.

use crate::clock;
use crate::durable::{Unusable, ValueFile};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, sleep_until};
use tracing::error;
use weir_core::orch::lock::{Answer, Request};
use weir_core::time::Instant;
use weir_core::topo::ShardName;
use weir_core::topo::store::directory::{Changed, Input, Read, SIGN_INTERVAL};
use weir_core::topo::store::embedded::{EmbeddedStore, Image};
use weir_core::topo::store::{Call, CallError, Layout, Reply, question};

/// Its name in the data directory.
const FILE: &str = "topology.json";

/// A store in a directory that this process has for itself. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    file: ValueFile,
    store: Mutex<EmbeddedStore>,
    /// The store's revision, for those who watch.
    revision: watch::Sender<i64>,
}

impl Embedded {
    /// What the directory holds; nothing is there at first.
    ///
    /// # Errors
    /// When it cannot be read or makes no sense: without it the last primary is not known.
    pub fn open(data_dir: &Path) -> Result<Self, Unusable> {
        let file = ValueFile::new(data_dir.join(FILE));
        let store = EmbeddedStore::new(file.read::<Image>()?.unwrap_or_default());
        let (revision, _) = watch::channel(store.revision());
        Ok(Self(Arc::new(Inner { layout: Layout::default(), file, store: Mutex::new(store), revision })))
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Answers a question of a shard's lock, where threads may block.
    pub(crate) fn answer_now(&self, shard: &ShardName, request: &Request) -> Answer {
        question::answer(request, self.call_now(&question::call(&self.0.layout, shard, request)))
    }

    /// Its file is of no use, for this reason.
    pub(crate) fn unusable(&self, why: String) -> Unusable {
        self.0.file.unusable(why)
    }

    fn call_now(&self, call: &Call) -> Result<Reply, CallError> {
        let (mut store, now) = (self.store(), clock::now());
        store.expire(now);
        if let Some(image) = store.draft(call)
            && let Err(why) = self.0.file.write(&image)
        {
            let path = self.0.file.path().display();
            error!("cannot write {path}: {why}");
            // It may be there all the same; then a later write, which says as much or more, is over it.
            return Err(CallError::Failed(format!("cannot write {path}: {why}")));
        }
        let reply = store.perform(now, call);
        self.0.revision.send_if_modified(|revision| std::mem::replace(revision, store.revision()) != store.revision());
        reply
    }

    pub(super) async fn call(&self, call: &Call) -> Result<Reply, CallError> {
        let (this, call) = (self.clone(), call.clone());
        let done = spawn_blocking(move || this.call_now(&call)).await;
        done.unwrap_or_else(|error| Err(CallError::Failed(format!("the store is broken: {error}"))))
    }

    pub(super) fn read_all(&self) -> (i64, Vec<Read>) {
        let store = self.store();
        (store.revision(), store.read_all(&self.0.layout.root()))
    }

    /// Tells what changes after a revision, until that is not kept any more or nobody listens.
    pub(super) async fn watch(&self, attempt: u64, mut after: i64, heard: &mpsc::Sender<Input>) {
        let mut revision = self.0.revision.subscribe();
        loop {
            revision.mark_unchanged();
            let (changes, ends) = self.look(after);
            let Some(mut changes) = changes else {
                // Nobody listens when nobody follows any more.
                let _ = heard.send(Input::Compacted { attempt }).await;
                return;
            };
            after = changes.last().map_or(after, |last| last.revision);
            let root = self.0.layout.root();
            changes.retain(|change| change.key.starts_with(&root));
            let input = if changes.is_empty() { Input::Alive { attempt } } else { Input::Changed { attempt, changes } };
            if heard.send(input).await.is_err() {
                return;
            }
            tokio::select! {
                _ = revision.changed() => {}
                () = sleep_until(clock::to_tokio(ends.unwrap_or(Instant::MAX))) => {}
                () = sleep(SIGN_INTERVAL) => {}
            }
        }
    }

    /// What has changed after a revision, as far as it is kept, and when the next lease ends.
    fn look(&self, after: i64) -> (Option<Vec<Changed>>, Option<Instant>) {
        let mut store = self.store();
        store.expire(clock::now());
        (store.changes_after(after), store.poll_timeout())
    }

    fn store(&self) -> MutexGuard<'_, EmbeddedStore> {
        // It is whole between any two calls of its own.
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_makes_no_sense_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(Embedded::open(dir.path()).is_err());
    }
}
