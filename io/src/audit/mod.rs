//! The audit log: a file with a line of JSON for what clients do.
//!
//! Owns the file and the way to it. Sessions hand lines in and go on; a thread writes them, milliseconds later and many at once. How many may
//! wait is decided before, by [`Room`]: a line that has a place in it is never dropped, however long the file cannot be written. What there are
//! lines of is for [`weir_core::gateway::audit`] to say; what stands in one, for `line`; the file's troubles are `writer`'s.

mod line;
#[cfg(test)]
mod tests;
mod writer;

use crate::metrics::{Metric, Page};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tracing::error;
use weir_core::gateway::audit::{Line, Room};
use writer::{Item, Writer};

/// A log, open. Copies are the same.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle {
    path: PathBuf,
    /// Without a limit of its own: [`Room`] has one.
    items: Sender<Item>,
    room: Arc<Room>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.0.path).finish()
    }
}

impl Log {
    /// Opens the file to append to it. It is made if it is not there, for its owner alone.
    ///
    /// # Errors
    /// When it can be neither opened nor made, or there is no thread to be had.
    pub fn open(path: &Path) -> io::Result<Self> {
        let room = Arc::<Room>::default();
        let writer = Writer::open(path, Arc::clone(&room))?;
        let (items, taken) = channel();
        std::thread::Builder::new().name("weir-audit".into()).spawn(move || writer.run(&taken))?;
        Ok(Self(Arc::new(Handle { path: path.to_owned(), items, room })))
    }

    /// Closes the file and opens what has its name now: whoever rotates logs has moved it away. What was handed in before goes to the old one.
    pub fn reopen(&self) {
        let _ = self.0.items.send(Item::Reopen);
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.0.room
    }

    /// Has a line written, of this moment. Never waits.
    pub(crate) fn send(&self, line: Box<Line>) {
        let _ = self.0.items.send(Item::Line(SystemTime::now(), line));
    }

    /// Waits until all that was handed in before is written; not longer than this.
    pub(crate) async fn flush(&self, limit: Duration) {
        let (done, is_done) = oneshot::channel();
        let _ = self.0.items.send(Item::Flush(done));
        if tokio::time::timeout(limit, is_done).await.is_err() {
            let lines = self.0.room.waiting();
            error!("{lines} lines of the audit log {} could not be written, and are lost", self.0.path.display());
        }
    }
}

/// What is counted of the log; where there is none, that is nothing.
pub(crate) fn fill(log: Option<&Log>, page: &mut Page) {
    let room = log.map(|log| &*log.0.room);
    page.add(Metric::AuditLines, &[], room.map_or(0, Room::written));
    page.add(Metric::AuditLeftOut, &[], room.map_or(0, Room::left_out));
    page.add(Metric::AuditRefused, &[], room.map_or(0, Room::refused));
    page.add(Metric::AuditWaiting, &[], room.map_or(0, Room::waiting));
    page.add(Metric::AuditFailing, &[], u64::from(room.is_some_and(Room::is_failing)));
}
