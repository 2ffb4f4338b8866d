//! The thread that writes lines into the segments of a ring.
//!
//! A segment is a gzip stream, flushed as lines come, so that one whose writer was killed can be read as far as it goes. What cannot be
//! written ends its segment; the next begins, with the machine as it is then, when the disk may have room again.

use super::{Message, Options, unix_ns};
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What a segment is called ends so.
pub(super) const SUFFIX: &str = ".jsonl.gz";
/// Digits of the Unix time in milliseconds in a segment's name.
const TIME_DIGITS: usize = 13;
/// A ring has so many segments, as far as their sizes go.
const SEGMENTS: u64 = 8;
/// Files of a ring, at most: those of a full disk, and of a process that starts again and again, are small.
const FILES_MAX: usize = 1000;
/// What was written can be read after this.
pub(super) const FLUSH_INTERVAL: Duration = Duration::from_millis(250);
/// After an error the disk is tried again this often.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Writer {
    dir: PathBuf,
    prefix: String,
    bytes_max: u64,
    wants_start: Arc<AtomicBool>,
    pub(super) segment: Option<GzEncoder<File>>,
    /// When something was written that is not flushed.
    dirty_since: Option<Instant>,
    failed_at: Option<Instant>,
}

impl Writer {
    /// Writes segments whose names begin so.
    ///
    /// # Errors
    /// When the directory cannot be made or written to.
    pub(super) fn open(options: &Options, prefix: &str, wants_start: Arc<AtomicBool>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&options.dir)?;
        let bytes_max = options.bytes_max.max(Options::BYTES_MIN);
        let (dir, prefix) = (options.dir.clone(), format!("{prefix}-"));
        let mut writer =
            Self { dir, prefix, bytes_max, wants_start, segment: None, dirty_since: None, failed_at: None };
        writer.segment = Some(writer.next_segment()?);
        Ok(writer)
    }

    /// Writes until nobody sends any more.
    pub(super) fn run(mut self, lines: &Receiver<Message>) {
        loop {
            match lines.recv_timeout(FLUSH_INTERVAL) {
                Ok(message) => self.take(Some(&message)),
                Err(RecvTimeoutError::Timeout) => self.take(None),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // A segment without its end can be read.
        let _ = self.segment.map(GzEncoder::finish);
    }

    /// Does what there is to do, with a line if there is one.
    pub(super) fn take(&mut self, message: Option<&Message>) {
        let written = message.map_or(Ok(()), |message| self.write(message));
        if let Err(error) = written.and_then(|()| self.flush_in_time()) {
            self.fail(&error);
        }
        if self.segment.is_none() && self.failed_at.is_none_or(|at| at.elapsed() >= RETRY_INTERVAL) {
            self.wants_start.store(true, Ordering::Relaxed);
        }
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        let line = match message {
            Message::Start(line) => {
                if self.segment.is_none() || self.is_full()? {
                    self.segment = Some(self.next_segment()?);
                }
                line
            }
            Message::Step(line) => line,
        };
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.write_all(sealed(line).as_bytes())?;
        self.dirty_since.get_or_insert_with(Instant::now);
        if self.is_full()? {
            self.wants_start.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush_in_time(&mut self) -> io::Result<()> {
        if self.dirty_since.is_none_or(|since| since.elapsed() < FLUSH_INTERVAL) {
            return Ok(());
        }
        self.dirty_since = None;
        if let Some(segment) = &mut self.segment {
            segment.flush()?;
            if self.failed_at.take().is_some() {
                info!("recording goes on in {}", self.dir.display());
            }
        }
        Ok(())
    }

    fn is_full(&self) -> io::Result<bool> {
        let Some(segment) = &self.segment else { return Ok(false) };
        Ok(segment.get_ref().metadata()?.len() >= self.bytes_max / SEGMENTS)
    }

    fn fail(&mut self, error: &io::Error) {
        (self.segment, self.dirty_since) = (None, None);
        if self.failed_at.replace(Instant::now()).is_none() {
            warn!("cannot record in {}: {error}; it is tried again", self.dir.display());
        }
    }

    /// Ends the segment so far, and makes room for one more.
    fn next_segment(&mut self) -> io::Result<GzEncoder<File>> {
        if let Some(segment) = self.segment.take() {
            segment.finish()?;
        }
        self.make_room()?;
        let mut at_ms = unix_ns() / 1_000_000;
        loop {
            let path = self.dir.join(format!("{}{at_ms:0TIME_DIGITS$}{SUFFIX}", self.prefix));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
                Ok(file) => return Ok(GzEncoder::new(file, Compression::fast())),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => at_ms += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn make_room(&self) -> io::Result<()> {
        let mut own: Vec<(PathBuf, u64)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if prefix_of(&entry.path()).is_some_and(|prefix| prefix == self.prefix) {
                own.push((entry.path(), entry.metadata()?.len()));
            }
        }
        own.sort();
        let (mut bytes, mut files) = (own.iter().map(|(_, bytes)| bytes).sum::<u64>(), own.len());
        for (path, its) in own {
            // What is begun now takes its share. What a full disk has left empty says nothing.
            if bytes + self.bytes_max / SEGMENTS > self.bytes_max || files >= FILES_MAX || its == 0 {
                fs::remove_file(path)?;
                (bytes, files) = (bytes - its, files - 1);
            }
        }
        Ok(())
    }
}

/// A line of a segment: the text, a tab, its CRC-32, a line's end. What a compressed file says beyond the place where it is torn can be
/// anything, a line that looks well among it.
#[must_use]
pub fn sealed(text: &str) -> String {
    format!("{text}\t{:08x}\n", checksum(text))
}

/// The text of such a line; `None` for another.
pub(super) fn unsealed(line: &[u8]) -> Option<&str> {
    let (text, seal) = str::from_utf8(line).ok()?.strip_suffix('\n')?.rsplit_once('\t')?;
    (seal == format!("{:08x}", checksum(text))).then_some(text)
}

fn checksum(text: &str) -> u32 {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    crc.sum()
}

/// What the name of a segment begins with, up to its time; `None` for another file.
pub(super) fn prefix_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (prefix, time) = name.split_at_checked(name.len().checked_sub(TIME_DIGITS)?)?;
    let is_one = prefix.ends_with('-') && time.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then_some(prefix)
}
