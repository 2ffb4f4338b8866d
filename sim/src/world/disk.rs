//! Disks: logs that keep only what was synced, and a device that takes time.
//!
//! A record passes three stages: in the process's buffer, written to the operating system, synced to the device.
//! The death of a process loses the first stage, the loss of power also the second. What was not synced may still
//! have reached the device: a prefix of it survives, and the record after that may be torn.

use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};

/// How a process came to its end.
#[derive(Debug)]
pub struct Crash<'a> {
    /// The whole host lost power, so the operating system's cache is lost as well.
    pub power_lost: bool,
    /// Decides how much of the unsynced tail happened to reach the device.
    pub rng: &'a mut Rng,
}

/// An append-only file of records with explicit write and sync points.
#[derive(Clone, Debug)]
pub struct Log<R> {
    records: Vec<R>,
    /// Index of `records[0]`, counted from the log's creation (older ones were purged).
    first: u64,
    written: u64,
    synced: u64,
}

impl<R> Default for Log<R> {
    fn default() -> Self {
        Self { records: Vec::new(), first: 0, written: 0, synced: 0 }
    }
}

impl<R> Log<R> {
    /// Appends to the process's buffer and returns the record's index.
    pub fn append(&mut self, record: R) -> u64 {
        self.records.push(record);
        self.end() - 1
    }

    /// Index after the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// Index of the oldest record that was not purged.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Records up to here survive the loss of power.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Records up to here survive the process.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Hands all records to the operating system: they survive the process.
    pub fn write(&mut self) {
        self.written = self.end();
    }

    /// The device has confirmed all records before `end`.
    pub fn mark_synced(&mut self, end: u64) {
        debug_assert!(end <= self.end(), "only what was appended can be synced");
        self.synced = self.synced.max(end);
        self.written = self.written.max(end);
    }

    /// The record at an index, if it is there.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<&R> {
        self.records.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Records from an index on.
    #[must_use]
    pub fn since(&self, index: u64) -> &[R] {
        let skip = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.records.get(skip..).unwrap_or(&[])
    }

    /// Forgets the records before an index.
    pub fn purge_before(&mut self, index: u64) {
        let count = index.saturating_sub(self.first).min(self.records.len() as u64);
        self.records.drain(..usize::try_from(count).unwrap_or(usize::MAX));
        self.first += count;
        self.written = self.written.max(self.first);
        self.synced = self.synced.max(self.first);
    }

    /// Removes every record and starts anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Loses what comes from an index on.
    pub fn cut(&mut self, end: u64) {
        self.records.truncate(usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX));
        self.written = self.written.min(self.end());
        self.synced = self.synced.min(self.end());
    }

    /// Cuts the log after what survives a crash. Returns whether the next record was torn (a partial record stands at the end,
    /// which its checksum gives away).
    pub fn crash(&mut self, crash: &mut Crash<'_>) -> bool {
        let kept =
            if crash.power_lost { self.synced + crash.rng.below(self.written - self.synced + 1) } else { self.written };
        let torn = kept < self.written && crash.rng.chance(0.5);
        self.records.truncate(usize::try_from(kept - self.first).unwrap_or(usize::MAX));
        self.written = kept;
        self.synced = kept;
        torn
    }
}

/// The device of a host: requests are served one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// Time of one sync.
    pub sync_latency: Duration,
    /// Multiplies the latency (1: healthy).
    pub slowness: u32,
    /// Writes are refused.
    pub full: bool,
    busy_until: Instant,
}

impl Default for Disk {
    fn default() -> Self {
        Self { sync_latency: Duration::from_micros(100), slowness: 1, full: false, busy_until: Instant::ZERO }
    }
}

impl Disk {
    /// When a sync that is asked for now completes.
    pub(super) fn sync(&mut self, now: Instant) -> Instant {
        self.busy_until = self.busy_until.max(now) + self.sync_latency * self.slowness;
        self.busy_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records: u64, written: u64, synced: u64) -> Log<u64> {
        let mut log = Log::default();
        (0..written).for_each(|r| {
            log.append(r);
        });
        log.write();
        log.mark_synced(synced);
        (written..records).for_each(|r| {
            log.append(r);
        });
        log
    }

    #[test]
    fn a_dead_process_loses_only_its_buffer() {
        let mut log = log(5, 3, 1);
        assert!(!log.crash(&mut Crash { power_lost: false, rng: &mut Rng::new(1) }));
        assert_eq!(log.since(0), [0, 1, 2]);
    }

    #[test]
    fn lost_power_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let mut seen = [false; 3];
        for seed in 0..64 {
            let mut log = log(5, 3, 1);
            log.crash(&mut Crash { power_lost: true, rng: &mut Rng::new(seed) });
            let kept = log.since(0).len();
            assert!((1..=3).contains(&kept));
            assert_eq!(log.since(0), &[0, 1, 2][..kept]);
            assert_eq!(log.synced(), log.end());
            seen[kept - 1] = true;
        }
        assert_eq!(seen, [true; 3]);
    }

    #[test]
    fn indexes_survive_a_purge() {
        let mut log = log(5, 5, 5);
        log.purge_before(3);
        assert_eq!((log.first(), log.end(), log.get(2), log.get(3)), (3, 5, None, Some(&3)));
        assert_eq!(log.since(0), [3, 4]);
    }

    #[test]
    fn a_device_serves_one_sync_after_the_other() {
        let mut disk = Disk { sync_latency: Duration::from_nanos(10), ..Disk::default() };
        assert_eq!(disk.sync(Instant(100)), Instant(110));
        assert_eq!(disk.sync(Instant(105)), Instant(120));
        disk.slowness = 3;
        assert_eq!(disk.sync(Instant(200)), Instant(230));
    }
}
