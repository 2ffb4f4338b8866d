//! The flight recorder: keeps what a machine was told and what it decided, in files.
//!
//! Owns the files: a ring of compressed segments in a directory, readable by their owner alone. What is in them is
//! [`weir_core::recording`]. The machine never waits for the disk: lines go through a bounded queue to a thread, and what does not fit is
//! left out; the next line is then the machine as it is, with the number of what it was told, so that a reader sees the gap.
//!
//! Start with [`Recorder::decide`]; [`Shelf`] reads what was written.

mod shelf;
#[cfg(test)]
mod tests;
mod writer;

pub use shelf::{Lines, Shelf};
pub use writer::sealed;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::{info, warn};
use weir_core::recording::{Line, Recorded, Source};
use weir_core::time::{Duration, Instant};
use writer::Writer;

/// Where `weir up` records, in its data directory.
pub const DIR: &str = "recordings";
/// Lines that wait for the disk, at most.
const QUEUE_MAX: usize = 1024;
/// After something was left out, the machine as it is is offered this often until there is room for it.
const RESUME_INTERVAL: Duration = Duration::from_secs(1);

/// Where to record.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory. Made, if it is not there.
    pub dir: PathBuf,
    /// What is kept of this machine's recordings, in bytes: the oldest go. At least [`Options::BYTES_MIN`].
    pub bytes_max: u64,
}

impl Options {
    /// What a ring needs.
    pub const BYTES_MIN: u64 = 1024 * 1024;
}

/// A line on its way.
enum Message {
    /// A new segment may begin with it.
    Start(String),
    Step(String),
}

/// Records one machine. See the module.
#[derive(Debug)]
pub struct Recorder {
    queue: Option<Queue>,
}

#[derive(Debug)]
struct Queue {
    lines: SyncSender<Message>,
    source: Source,
    /// The writer needs the whole machine.
    wants_start: Arc<AtomicBool>,
    /// Inputs that the machine was told.
    number: u64,
    /// Inputs left out since the last line that went through.
    missed: u64,
    /// Nothing is written before the next start.
    is_broken: bool,
    resume_at: Instant,
}

impl Recorder {
    /// Records nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self { queue: None }
    }

    /// Records the machine of the kind `M` of a process of this name, which works on `of`.
    ///
    /// # Errors
    /// When the directory cannot be made or written to.
    pub fn open<M: Recorded>(options: &Options, name: &str, of: &str) -> io::Result<Self> {
        let wants_start = Arc::new(AtomicBool::new(true));
        let writer = Writer::open(options, &format!("{}-{name}", M::KIND), Arc::clone(&wants_start))?;
        let (lines, written) = sync_channel(QUEUE_MAX);
        std::thread::Builder::new().name("weir-recorder".into()).spawn(move || writer.run(&written))?;
        let run = unix_ns();
        let source = Source { program: env!("CARGO_PKG_VERSION").into(), name: name.into(), of: of.into(), run };
        let (number, missed, resume_at) = (0, 0, Instant::ZERO);
        Ok(Self { queue: Some(Queue { lines, source, wants_start, number, missed, is_broken: true, resume_at }) })
    }

    /// The same, or none, with a warning: a machine works also where it cannot be recorded.
    #[must_use]
    pub fn open_if_possible<M: Recorded>(options: Option<&Options>, name: &str, of: &str) -> Self {
        let Some(options) = options else { return Self::none() };
        Self::open::<M>(options, name, of).unwrap_or_else(|error| {
            warn!("the {} is not recorded: {}: {error}", M::KIND, options.dir.display());
            Self::none()
        })
    }

    /// Has the machine take one input, and says all that is to be done. Never waits.
    pub fn decide<M: Recorded>(&mut self, machine: &mut M, now: Instant, input: M::Input) -> Vec<M::Output> {
        let Some(queue) = &mut self.queue else { return machine.decide(now, input) };
        queue.start_if_wanted(machine, now);
        let (decided, line) = Line::step(machine, now, input);
        queue.number += 1;
        let text = line.and_then(|line| line.text()).ok().filter(|_| !queue.is_broken);
        if text.is_none_or(|text| queue.lines.try_send(Message::Step(text)).is_err()) {
            queue.leave_out(now);
        }
        decided
    }
}

impl Queue {
    fn start_if_wanted<M: Recorded>(&mut self, machine: &M, now: Instant) {
        let is_due = self.is_broken && now >= self.resume_at;
        if !is_due && !self.wants_start.load(Ordering::Relaxed) {
            return;
        }
        let origin_ns = unix_ns().saturating_sub(now.0);
        let line = Line::start(machine, self.source.clone(), self.number, (now, origin_ns));
        let Ok(text) = line.and_then(|line| line.text()) else { return };
        if self.lines.try_send(Message::Start(text)).is_err() {
            self.resume_at = now + RESUME_INTERVAL;
            return;
        }
        self.wants_start.store(false, Ordering::Relaxed);
        self.is_broken = false;
        if self.missed > 0 {
            info!("recording goes on; {} inputs are missing in it", core::mem::take(&mut self.missed));
        }
    }

    fn leave_out(&mut self, now: Instant) {
        if self.missed == 0 {
            warn!("the disk does not keep up with recording: inputs are left out");
            self.resume_at = now + RESUME_INTERVAL;
        }
        (self.is_broken, self.missed) = (true, self.missed + 1);
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
