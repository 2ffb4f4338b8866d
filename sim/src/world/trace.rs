//! What happened, as a sequence of small records and a running hash over them.
//!
//! The hash is a function of the records alone, so equal seeds give equal hashes on every machine and in every build
//! profile. Recording may be off: the hash is kept all the same.

use super::fault::FaultId;
use super::process::{HostId, ProcessId};
use super::stream::ConnId;
use weir_core::time::Instant;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// True time.
    pub at: Instant,
    /// What it was.
    pub what: What,
}

/// The kinds of things that happen in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A process started.
    Started(ProcessId),
    /// A process ended.
    Ended(ProcessId),
    /// A process stopped running (true) or went on (false).
    Paused(ProcessId, bool),
    /// A timer of a process came up.
    Timer(ProcessId, u64),
    /// A process asked for a connection.
    Connecting(ProcessId, ConnId, HostId, u16),
    /// A listener got a connection.
    Accepted(ProcessId, ConnId),
    /// An asked-for connection stands.
    Connected(ProcessId, ConnId),
    /// An asked-for connection came to nothing.
    ConnectFailed(ProcessId, ConnId),
    /// A process sent bytes: how many, and a hash of them.
    Sent(ProcessId, ConnId, u32, u64),
    /// Bytes arrived at a process.
    Arrived(ProcessId, ConnId, u32),
    /// A connection ended, as one of its ends saw it.
    Closed(ProcessId, ConnId),
    /// A sync that a process asked for is done.
    Synced(ProcessId, u64),
    /// A signal reached a process.
    Signal(ProcessId, u32, bool),
    /// A fault began.
    FaultBegan(FaultId),
    /// A fault was lifted.
    FaultEnded(FaultId),
    /// A process noted something of its own: what, and two values whose meaning the note says.
    Note(ProcessId, &'static str, u64, u64),
}

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: Hash,
    records: Vec<Record>,
    limit: usize,
    excerpts: Option<Excerpts>,
}

/// How much is kept of each message, in bytes, where messages are kept.
const EXCERPT_BYTES_MAX: usize = 256;

/// The beginnings of messages, one after the other.
#[derive(Debug, Default)]
struct Excerpts {
    bytes: Vec<u8>,
    /// Which record a message belongs to, and where it begins.
    index: Vec<(usize, usize)>,
}

impl Trace {
    /// A trace that keeps at most `limit` records (0: the hash only).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { hash: Hash::default(), records: Vec::new(), limit, excerpts: None }
    }

    /// A trace that also keeps how each message begins.
    #[must_use]
    pub fn with_messages(limit: usize) -> Self {
        Self { excerpts: Some(Excerpts::default()), ..Self::new(limit) }
    }

    /// How the message of a [`What::Sent`] begins, by the number of its record, where messages were kept.
    #[must_use]
    pub fn message(&self, record: usize) -> Option<&[u8]> {
        let Excerpts { bytes, index } = self.excerpts.as_ref()?;
        let found = index.binary_search_by_key(&record, |(of, _)| *of).ok()?;
        let end = index.get(found + 1).map_or(bytes.len(), |(_, begin)| *begin);
        bytes.get(index[found].1..end)
    }

    /// A number that two runs share when, and in all likelihood only when, the same things happened in both.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// What was recorded, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Adds a [`What::Sent`] with what was sent.
    pub(super) fn add_message(&mut self, at: Instant, what: What, message: &[u8]) {
        if let Some(excerpts) = self.excerpts.as_mut().filter(|_| self.records.len() < self.limit) {
            excerpts.index.push((self.records.len(), excerpts.bytes.len()));
            excerpts.bytes.extend_from_slice(&message[..message.len().min(EXCERPT_BYTES_MAX)]);
        }
        self.add(at, what);
    }

    pub(super) fn add(&mut self, at: Instant, what: What) {
        self.hash.word(at.0);
        self.hash.what(what);
        if self.records.len() < self.limit {
            self.records.push(Record { at, what });
        }
    }
}

/// Index of the first record in which two runs differ, if any.
#[must_use]
pub fn divergence(a: &Trace, b: &Trace) -> Option<usize> {
    let differing = a.records.iter().zip(&b.records).position(|(x, y)| x != y);
    differing.or_else(|| (a.records.len() != b.records.len()).then(|| a.records.len().min(b.records.len())))
}

/// A hash of a byte string that is the same everywhere.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = Hash::default();
    hash.word(bytes.len() as u64);
    let (blocks, rest) = bytes.as_chunks::<LANES_BYTES>();
    if !blocks.is_empty() {
        hash.word(hash_blocks(blocks));
    }
    let (words, rest) = rest.as_chunks::<8>();
    words.iter().for_each(|word| hash.word(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hash.word(u64::from_le_bytes(last));
    hash.0
}

/// A step of the hash waits for the one before it: in long messages, four go side by side.
const LANES_BYTES: usize = 32;

fn hash_blocks(blocks: &[[u8; LANES_BYTES]]) -> u64 {
    let mut lanes: [Hash; LANES_BYTES / 8] = core::array::from_fn(|_| Hash::default());
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            lane.word(u64::from_le_bytes(*word));
        }
    }
    let mut hash = Hash::default();
    lanes.iter().for_each(|lane| hash.word(lane.0));
    hash.0
}

#[derive(Debug)]
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Hash {
    /// Multiply, fold, rotate: fast, and each input bit reaches the whole word within two steps.
    const fn word(&mut self, word: u64) {
        let wide = ((self.0 ^ word) as u128).wrapping_mul(0xd6e8_feb8_6659_fd93_u128 | 1);
        self.0 = ((wide as u64) ^ ((wide >> 64) as u64)).rotate_left(23).wrapping_add(word);
    }

    const fn words(&mut self, kind: u64, a: u64, b: u64, c: u64) {
        self.word(kind);
        self.word(a);
        self.word(b);
        self.word(c);
    }

    fn what(&mut self, what: What) {
        match what {
            What::Started(p) => self.words(1, p.0.into(), 0, 0),
            What::Ended(p) => self.words(2, p.0.into(), 0, 0),
            What::Paused(p, on) => self.words(3, p.0.into(), on.into(), 0),
            What::Timer(p, token) => self.words(4, p.0.into(), token, 0),
            What::Connecting(p, conn, host, port) => {
                self.words(5, p.0.into(), conn.bits(), (u64::from(host.0) << 16) | u64::from(port));
            }
            What::Accepted(p, conn) => self.words(6, p.0.into(), conn.bits(), 0),
            What::Connected(p, conn) => self.words(7, p.0.into(), conn.bits(), 0),
            What::ConnectFailed(p, conn) => self.words(8, p.0.into(), conn.bits(), 0),
            What::Sent(p, conn, len, hash) => {
                self.words(9, p.0.into(), conn.bits(), len.into());
                self.word(hash);
            }
            What::Arrived(p, conn, len) => self.words(10, p.0.into(), conn.bits(), len.into()),
            What::Closed(p, conn) => self.words(11, p.0.into(), conn.bits(), 0),
            What::Synced(p, token) => self.words(12, p.0.into(), token, 0),
            What::Signal(p, signal, on) => self.words(13, p.0.into(), signal.into(), on.into()),
            What::FaultBegan(fault) => self.words(14, fault.0.into(), 0, 0),
            What::FaultEnded(fault) => self.words(15, fault.0.into(), 0, 0),
            What::Note(p, text, a, b) => {
                self.words(16, p.0.into(), a, b);
                self.word(hash_bytes(text.as_bytes()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn trace(tokens: &[u64]) -> Trace {
        let mut trace = Trace::new(10);
        tokens.iter().for_each(|token| trace.add(Instant(1), What::Timer(ProcessId(0), *token)));
        trace
    }

    #[test]
    fn the_hash_is_pinned() {
        assert_ne!(hash_bytes(b"a"), hash_bytes(b"a\0"));
        let long: Vec<u8> = (0..100).collect();
        let changed = (0..100).map(|at| long.iter().enumerate().map(|(n, byte)| byte ^ u8::from(n == at)).collect());
        let hashes: BTreeSet<u64> = changed.map(|bytes: Vec<u8>| hash_bytes(&bytes)).collect();
        assert!(hashes.len() == 100 && !hashes.contains(&hash_bytes(&long)), "every byte counts");
        assert_eq!(trace(&[1, 2]).hash(), PINNED);
    }

    #[test]
    fn the_first_difference_is_found() {
        assert_eq!(divergence(&trace(&[1, 2, 3]), &trace(&[1, 2, 3])), None);
        assert_eq!(divergence(&trace(&[1, 2, 3]), &trace(&[1, 9, 3])), Some(1));
        assert_eq!(divergence(&trace(&[1, 2]), &trace(&[1, 2, 3])), Some(2));
        assert_ne!(trace(&[1, 2]).hash(), trace(&[2, 1]).hash());
    }

    #[test]
    fn messages_are_kept_with_their_records() {
        let mut trace = Trace::with_messages(3);
        let sent = What::Sent(ProcessId(0), ConnId::default(), 2, 0);
        trace.add_message(Instant(1), sent, b"ab");
        trace.add(Instant(1), What::Timer(ProcessId(0), 1));
        trace.add_message(Instant(1), sent, &[7; 1000]);
        trace.add_message(Instant(1), sent, b"too late");
        assert_eq!((trace.message(0), trace.message(1), trace.message(3)), (Some(&b"ab"[..]), None, None));
        assert_eq!(trace.message(2).map(<[u8]>::len), Some(EXCERPT_BYTES_MAX));
    }

    #[test]
    fn a_full_trace_still_hashes() {
        let mut short = Trace::new(1);
        [1, 2].iter().for_each(|token| short.add(Instant(1), What::Timer(ProcessId(0), *token)));
        assert_eq!((short.records().len(), short.hash()), (1, trace(&[1, 2]).hash()));
    }

    const PINNED: u64 = 2_195_801_817_105_646_891;
}
