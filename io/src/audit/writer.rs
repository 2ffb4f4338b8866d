//! The thread that writes the audit log's lines into its file.
//!
//! What cannot be written stays where it is and is tried again; nothing is left out here. A line that was written in part is completed, or
//! written once more as a whole when another file has taken the place of the first.

use super::line;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use weir_core::gateway::audit::{Line, Place, Room};

/// How long lines are gathered before they are written together.
const GATHER_TIME: Duration = Duration::from_millis(2);
/// Bytes handed to the file at once, at most, but for a line that is longer.
const WRITE_BYTES_MAX: usize = 256 * 1024;
/// What cannot be written is tried again this often.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// It is told this often that it cannot.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// What the thread is to do.
pub(super) enum Item {
    /// Write this, of this time.
    Line(SystemTime, Box<Line>),
    /// Open what has the file's name now.
    Reopen,
    /// Tell when all before it is written.
    Flush(oneshot::Sender<()>),
}

/// A line that waits.
struct Waiting {
    bytes: Vec<u8>,
    _place: Option<Place>,
}

/// See the module.
pub(super) struct Writer<F = File> {
    path: PathBuf,
    file: F,
    room: Arc<Room>,
    waiting: VecDeque<Waiting>,
    /// Of the first of these, so many bytes are written.
    begun_bytes: usize,
    /// Of lines left out, so many are told of in the log.
    left_out_told: u64,
    flushes: Vec<oneshot::Sender<()>>,
    failed: Option<Failed>,
}

/// Since the file could not be written.
struct Failed {
    tried_at: Instant,
    told_at: Instant,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Writer {
    pub(super) fn open(path: &Path, room: Arc<Room>) -> io::Result<Self> {
        Ok(Self::new(path, open(path)?, room))
    }

    /// Writes until nobody hands in anything any more.
    pub(super) fn run(mut self, items: &Receiver<Item>) {
        loop {
            match items.recv_timeout(RETRY_INTERVAL) {
                Ok(item) => {
                    self.take(item);
                    std::thread::sleep(GATHER_TIME);
                    while let Ok(item) = items.try_recv() {
                        self.take(item);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
            self.write_in_time(Instant::now());
        }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Line(at, line) => self.add(at, *line),
            Item::Reopen => self.reopen(),
            Item::Flush(done) => self.flushes.push(done),
        }
    }

    /// A file that cannot be opened is no reason to lose the one that is.
    fn reopen(&mut self) {
        self.write();
        match open(&self.path) {
            Ok(file) => {
                self.replace(file);
                self.write();
            }
            Err(why) => warn!(
                "the audit log stays in the file that is open, as {} cannot be opened: {why}",
                self.path.display()
            ),
        }
    }
}

impl<F: Write> Writer<F> {
    pub(super) fn new(path: &Path, file: F, room: Arc<Room>) -> Self {
        Self {
            path: path.to_owned(),
            file,
            room,
            waiting: VecDeque::new(),
            begun_bytes: 0,
            left_out_told: 0,
            flushes: Vec::new(),
            failed: None,
        }
    }

    pub(super) fn add(&mut self, at: SystemTime, line: Line) {
        self.tell_left_out(at);
        let bytes = line::of(at, &line);
        self.waiting.push_back(Waiting { bytes, _place: Some(line.place) });
    }

    /// The log itself says where there is a gap in it.
    fn tell_left_out(&mut self, at: SystemTime) {
        let left_out = self.room.left_out();
        if left_out > self.left_out_told {
            let bytes = line::of_left_out(at, left_out - self.left_out_told);
            self.waiting.push_back(Waiting { bytes, _place: None });
            self.left_out_told = left_out;
        }
    }

    pub(super) fn replace(&mut self, file: F) {
        self.file = file;
        self.begun_bytes = 0;
    }

    /// Writes unless it was tried just now, in vain.
    fn write_in_time(&mut self, now: Instant) {
        if self.failed.as_ref().is_none_or(|failed| now.duration_since(failed.tried_at) >= RETRY_INTERVAL) {
            self.write();
        }
    }

    /// Writes what waits, as far as the file takes it.
    pub(super) fn write(&mut self) {
        let mut bytes = Vec::new();
        while !self.waiting.is_empty() {
            bytes.clear();
            for line in &self.waiting {
                if !bytes.is_empty() && bytes.len() + line.bytes.len() > WRITE_BYTES_MAX {
                    break;
                }
                bytes.extend_from_slice(&line.bytes);
            }
            match self.file.write(&bytes[self.begun_bytes..]) {
                Ok(0) => return self.fail(&ErrorKind::WriteZero.into()),
                Ok(written) => self.written(written),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return self.fail(&why),
            }
        }
        if self.failed.take().is_some() {
            self.room.set_failing(false);
            info!("the audit log {} is written again", self.path.display());
        }
        for done in self.flushes.drain(..) {
            let _ = done.send(());
        }
        if self.room.left_out() > self.left_out_told {
            // Nothing may come for a long time.
            self.tell_left_out(SystemTime::now());
            self.write();
        }
    }

    fn written(&mut self, bytes: usize) {
        self.begun_bytes += bytes;
        let mut lines = 0;
        while let Some(line) = self.waiting.front().filter(|line| line.bytes.len() <= self.begun_bytes) {
            self.begun_bytes -= line.bytes.len();
            self.waiting.pop_front();
            lines += 1;
        }
        self.room.add_written(lines);
    }

    fn fail(&mut self, why: &io::Error) {
        self.room.set_failing(true);
        let now = Instant::now();
        let told = self.failed.as_ref().map(|failed| failed.told_at);
        let is_due = told.is_none_or(|told| now.duration_since(told) >= TELL_INTERVAL);
        if is_due {
            error!(
                waiting = self.waiting.len(),
                left_out = self.room.left_out(),
                refused = self.room.refused(),
                "the audit log {} cannot be written: {why}; it is tried again each second",
                self.path.display()
            );
        }
        let told_at = told.filter(|_| !is_due).unwrap_or(now);
        self.failed = Some(Failed { tried_at: now, told_at });
    }
}
