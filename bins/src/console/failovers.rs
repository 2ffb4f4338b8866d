//! What was recorded of changes of primary where the orchestrator of this process records, as `weir ctl explain-failover` tells it.

use crate::recording::explanation::{self, Explanation};
use crate::recording::picture;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use weir_io::recorder::{Lines, Shelf};
use weir_sim::view::html;

/// Changes that are told, at most: the latest.
const CHANGES_MAX: usize = 20;
/// What is read of each recording, in bytes on the disk: what was written last.
const READ_BYTES_MAX: u64 = 8 << 20;
/// What was read so long ago is read again.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Failovers {
    dir: Option<PathBuf>,
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

#[derive(Debug, Serialize)]
struct Told {
    /// Why nothing is told, for people.
    why: Option<&'static str>,
    changes: Vec<Explanation>,
}

impl Failovers {
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, last: Mutex::default() }
    }

    pub(super) const fn are_recorded(&self) -> bool {
        self.dir.is_some()
    }

    /// All that is told, as JSON. Those who ask meanwhile wait for what is being read.
    pub(super) async fn all(&self) -> Result<Arc<str>, String> {
        let mut last = self.last.lock().await;
        if let Some((at, told)) = &*last
            && at.elapsed() < FRESH_FOR
        {
            return Ok(Arc::clone(told));
        }
        let dir = self.dir.clone();
        let read = tokio::task::spawn_blocking(move || read(dir.as_deref()));
        let told: Arc<str> = read.await.map_err(|why| why.to_string())??.into();
        *last = Some((Instant::now(), Arc::clone(&told)));
        Ok(told)
    }

    /// A page that shows who said what to whom in a change of primary; `None` when nothing is recorded of that term.
    pub(super) async fn picture(&self, term: u64) -> Result<Option<String>, String> {
        let Some(dir) = self.dir.clone() else { return Ok(None) };
        // One reads at a time.
        let _last = self.last.lock().await;
        tokio::task::spawn_blocking(move || picture(&dir, term)).await.map_err(|why| why.to_string())?
    }
}

fn read(dir: Option<&Path>) -> Result<String, String> {
    let told = match dir {
        None => {
            let why = "This process records no changes of primary. Orchestrators do, with --record-dir: their consoles tell of \
                       them, and so does weir ctl explain-failover on their machines.";
            Told { why: Some(why), changes: Vec::new() }
        }
        Some(dir) => Told { why: None, changes: changes(dir)? },
    };
    serde_json::to_string(&told).map_err(|why| why.to_string())
}

fn changes(dir: &Path) -> Result<Vec<Explanation>, String> {
    let Some(shelf) = shelf(dir)? else { return Ok(Vec::new()) };
    explanation::changes(lines(&shelf), None, CHANGES_MAX)
}

/// Who said what to whom, as a page; `None` when nothing is recorded of that term.
fn picture(dir: &Path, term: u64) -> Result<Option<String>, String> {
    let Some(shelf) = shelf(dir)? else { return Ok(None) };
    let Some(told) = explanation::changes(lines(&shelf), Some(term), 1)?.pop() else { return Ok(None) };
    html::render(&picture::draw(lines(&shelf), &told)?).map(Some)
}

fn lines(shelf: &Shelf) -> impl Iterator<Item = Lines> {
    shelf.recordings().map(|(_, lines)| lines)
}

/// What was recorded last; `None` when nothing was yet.
fn shelf(dir: &Path) -> Result<Option<Shelf>, String> {
    match Shelf::open(dir) {
        Ok(shelf) => Ok(Some(shelf.newest(READ_BYTES_MAX))),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(format!("{}: {why}", dir.display())),
    }
}
