//! MySQL GTID sets: for each source (`uuid`, since 8.3 with an optional tag) the sequence numbers executed.
//!
//! Text as servers read and print it: MySQL 8.4 manual, 19.1.3.1 "GTID Format and Storage".

use super::intervals::{Intervals, SEQ_MAX};
use super::{Divergence, Error};
use core::fmt;

/// Most intervals one set may have (16 bytes each). A healthy set has about one per server that ever was primary.
pub const INTERVALS_MAX: usize = 16_384;
/// Most characters of a tag (the server's own limit).
pub const TAG_CHARS_MAX: usize = 32;

pub(super) const UUID_CHARS: usize = 36;
/// Where a UUID's text has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Who numbered a transaction: the server (or group) that first committed it, and the tag it gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    uuid: [u8; 16],
    /// Lower case; empty when there is none.
    tag: Box<str>,
}

impl Source {
    /// The untagged transactions of the server with this UUID.
    #[must_use]
    pub fn new(uuid: [u8; 16]) -> Self {
        Self { uuid, tag: Box::default() }
    }

    /// The transactions this server tagged so, or [`Error::Malformed`] when `tag` is not one: a letter or underscore,
    /// then up to 31 letters, digits and underscores. Case does not matter.
    pub fn tagged(uuid: [u8; 16], tag: &str) -> Result<Self, Error> {
        let mut cursor = Cursor { input: tag.as_bytes(), at: 0 };
        let tag = cursor.tag()?;
        if cursor.at < cursor.input.len() {
            return Err(cursor.expected("the end of the tag"));
        }
        Ok(Self { uuid, tag })
    }

    /// The server's UUID.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// The tag in lower case; empty when there is none.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

/// Reads a server's UUID (`@@server_uuid`) from its text of 36 characters, in either case.
#[must_use]
pub fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != UUID_CHARS {
        return None;
    }
    let mut uuid = [0; 16];
    let mut digits = 0;
    for (i, &byte) in text.iter().enumerate() {
        if HYPHENS.contains(&i) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16)? as u8;
        uuid[digits / 2] = uuid[digits / 2] << 4 | digit;
        digits += 1;
    }
    Some(uuid)
}

/// Writes a server's UUID as the server prints it.
pub fn write_uuid(f: &mut impl fmt::Write, uuid: &[u8; 16]) -> fmt::Result {
    for (i, byte) in uuid.iter().enumerate() {
        if [4, 6, 8, 10].contains(&i) {
            f.write_char('-')?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// A set of MySQL GTIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GtidSet {
    /// Sorted by source; no source without intervals; so equal sets are equal values.
    sources: Vec<(Source, Intervals)>,
}

impl GtidSet {
    /// One transaction; `seq` is clamped to `1..=SEQ_MAX`, which a server's own numbers never leave.
    #[must_use]
    pub fn single(source: Source, seq: u64) -> Self {
        let mut set = Self::default();
        set.add(source, seq);
        set
    }

    pub(super) fn add(&mut self, source: Source, seq: u64) {
        debug_assert!((1..=SEQ_MAX).contains(&seq), "a sequence number lies within 1..=SEQ_MAX");
        let seq = seq.clamp(1, SEQ_MAX);
        self.of_mut(source).insert(seq, seq);
    }

    /// True when nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Transactions in it (saturating).
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sources.iter().fold(0, |sum, (_, intervals)| sum.saturating_add(intervals.count()))
    }

    /// Intervals in it, which is what it costs to keep.
    #[must_use]
    pub fn interval_count(&self) -> usize {
        self.sources.iter().map(|(_, intervals)| intervals.runs().len()).sum()
    }

    /// The highest sequence number of `source` in it.
    #[must_use]
    pub fn last_of(&self, source: &Source) -> Option<u64> {
        self.of(source)?.runs().last().map(|run| run.end)
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        other.sources.iter().all(|(source, theirs)| self.of(source).is_some_and(|mine| mine.contains(theirs)))
    }

    /// Union in place. Beyond [`INTERVALS_MAX`] the set is left as it was.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Error> {
        // Only a merge of large sets can overstep the limit, and only that one pays for a copy.
        let may_overstep = self.interval_count() + other.interval_count() > INTERVALS_MAX;
        let before = may_overstep.then(|| self.clone());
        for (source, theirs) in &other.sources {
            match self.find(source) {
                Ok(at) => self.sources[at].1.merge(theirs),
                Err(at) => self.sources.insert(at, (source.clone(), theirs.clone())),
            }
        }
        match before {
            Some(before) if self.interval_count() > INTERVALS_MAX => {
                *self = before;
                Err(Error::TooLarge)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn intersect(&self, other: &Self) -> Result<Self, Error> {
        self.map(|source, mine| other.of(source).map(|theirs| mine.intersect(theirs)).unwrap_or_default())
    }

    pub(super) fn subtract(&self, other: &Self) -> Result<Self, Error> {
        self.map(|source, mine| other.of(source).map_or_else(|| mine.clone(), |theirs| mine.subtract(theirs)))
    }

    pub(super) fn divergence(&self, other: &Self) -> Divergence {
        if self.contains(other) || other.contains(self) { Divergence::None } else { Divergence::Proven }
    }

    /// A set from what `f` leaves of each source.
    fn map(&self, f: impl Fn(&Source, &Intervals) -> Intervals) -> Result<Self, Error> {
        let sources = self.sources.iter().map(|(source, mine)| (source.clone(), f(source, mine)));
        Self { sources: sources.filter(|(_, left)| !left.is_empty()).collect() }.within_limit()
    }

    fn within_limit(self) -> Result<Self, Error> {
        if self.interval_count() <= INTERVALS_MAX { Ok(self) } else { Err(Error::TooLarge) }
    }

    fn find(&self, source: &Source) -> Result<usize, usize> {
        self.sources.binary_search_by(|(own, _)| own.cmp(source))
    }

    fn of(&self, source: &Source) -> Option<&Intervals> {
        self.find(source).ok().map(|at| &self.sources[at].1)
    }

    /// The intervals of `source`, to which the caller must add at least one.
    fn of_mut(&mut self, source: Source) -> &mut Intervals {
        let at = match self.find(&source) {
            Ok(at) => at,
            Err(at) => {
                self.sources.insert(at, (source, Intervals::default()));
                at
            }
        };
        &mut self.sources[at].1
    }

    pub(super) fn sources(&self) -> &[(Source, Intervals)] {
        &self.sources
    }

    /// Appends a source that sorts behind all others, or says that it does not.
    pub(super) fn push_last(&mut self, source: Source, intervals: Intervals) -> bool {
        let fits = !intervals.is_empty() && self.sources.last().is_none_or(|(last, _)| *last < source);
        if fits {
            self.sources.push((source, intervals));
        }
        fits
    }

    pub(super) fn parse(input: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor { input, at: 0 };
        let mut set = Self::default();
        let mut intervals = 0;
        // Commas may stand anywhere between sources, as on the server.
        while cursor.skip(b',') {
            let uuid = cursor.uuid()?;
            cursor.require(b':', "':'")?;
            let mut source = Source::new(uuid);
            loop {
                if cursor.at_tag() {
                    source = Source { uuid, tag: cursor.tag()? };
                    cursor.require(b':', "':' and an interval")?;
                }
                let (start, end) = cursor.interval()?;
                intervals += 1;
                if intervals > INTERVALS_MAX {
                    return Err(Error::TooLarge);
                }
                set.of_mut(source.clone()).insert(start, end);
                if !cursor.accept(b':') {
                    break;
                }
            }
            if !cursor.at_end_or(b',') {
                return Err(cursor.expected("':', ',' or the end"));
            }
        }
        Ok(set)
    }

    /// As a server prints it, with `between` between the parts of two UUIDs. The tags of one UUID follow each other.
    pub(super) fn write(&self, f: &mut impl fmt::Write, between: &str) -> fmt::Result {
        let mut last: Option<&Source> = None;
        for (source, intervals) in &self.sources {
            if last.is_none_or(|last| last.uuid != source.uuid) {
                f.write_str(if last.is_some() { between } else { "" })?;
                write_uuid(f, &source.uuid)?;
            }
            if !source.tag.is_empty() {
                write!(f, ":{}", source.tag)?;
            }
            for run in intervals.runs() {
                write!(f, ":{}", run.start)?;
                if run.end > run.start {
                    write!(f, "-{}", run.end)?;
                }
            }
            last = Some(source);
        }
        Ok(())
    }
}

/// Reads a set's text; whitespace may stand between any two tokens.
struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> Error {
        Error::Malformed { at: self.at, expected }
    }

    fn whitespace(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.whitespace();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        if found {
            self.whitespace();
        }
        found
    }

    fn require(&mut self, byte: u8, expected: &'static str) -> Result<(), Error> {
        if self.accept(byte) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// Skips separators; false at the end of the input.
    fn skip(&mut self, separator: u8) -> bool {
        self.whitespace();
        while self.accept(separator) {}
        self.at < self.input.len()
    }

    fn at_end_or(&mut self, byte: u8) -> bool {
        self.whitespace();
        self.peek().is_none_or(|next| next == byte)
    }

    fn uuid(&mut self) -> Result<[u8; 16], Error> {
        let text = self.input.get(self.at..self.at + UUID_CHARS);
        let uuid = text.and_then(parse_uuid).ok_or_else(|| self.expected("a UUID"))?;
        self.at += UUID_CHARS;
        Ok(uuid)
    }

    fn at_tag(&self) -> bool {
        self.peek().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
    }

    fn tag(&mut self) -> Result<Box<str>, Error> {
        if !self.at_tag() {
            return Err(self.expected("a tag"));
        }
        let rest = &self.input[self.at..];
        let len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        if len > TAG_CHARS_MAX {
            return Err(self.expected("a tag of at most 32 characters"));
        }
        self.at += len;
        Ok(rest[..len].iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect::<String>().into())
    }

    fn number(&mut self) -> Result<u64, Error> {
        const EXPECTED: &str = "a sequence number from 1 to 9223372036854775806";
        let from = self.at;
        let malformed = Error::Malformed { at: from, expected: EXPECTED };
        let mut value: u64 = 0;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let digit = u64::from(digit - b'0');
            value = value.checked_mul(10).and_then(|tens| tens.checked_add(digit)).ok_or(malformed)?;
            self.at += 1;
        }
        if self.at > from && (1..=SEQ_MAX).contains(&value) { Ok(value) } else { Err(malformed) }
    }

    fn interval(&mut self) -> Result<(u64, u64), Error> {
        let start = self.number()?;
        if !self.accept(b'-') {
            return Ok((start, start));
        }
        let at = self.at;
        let end = self.number()?;
        let malformed = Error::Malformed { at, expected: "an interval's end that is not below its start" };
        if end < start { Err(malformed) } else { Ok((start, end)) }
    }
}
