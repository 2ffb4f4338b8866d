//! The compact binary form of a position, for messages between components, and serde.
//!
//! One byte of kind (0 empty, 1 MySQL, 2 MariaDB), then LEB128 numbers:
//!
//! - MySQL: sources; for each 16 bytes of UUID, the tag's length and bytes, intervals, and for each interval the
//!   distance from the last one's end and its own length less one.
//! - MariaDB: domains; for each domain, server id and sequence number.
//!
//! A position has one encoding, and decoding refuses every other.

use super::intervals::Intervals;
use super::mariadb::{self, Gtid, GtidPosition};
use super::mysql::{self, GtidSet, Source};
use super::{Error, Position};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// No position takes more bytes than this: [`mysql::INTERVALS_MAX`] sources with the longest tag and one interval each.
pub const BINARY_BYTES_MAX: usize = 1 + VARINT_BYTES_MAX + mysql::INTERVALS_MAX * SOURCE_BYTES_MAX;

const SOURCE_BYTES_MAX: usize = 16 + 1 + mysql::TAG_CHARS_MAX + 1 + 2 * VARINT_BYTES_MAX;
const VARINT_BYTES_MAX: usize = 10;

const EMPTY: u8 = 0;
const MYSQL: u8 = 1;
const MARIADB: u8 = 2;

impl Position {
    /// Appends the compact binary form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(set) = self.as_mysql() {
            out.push(MYSQL);
            encode_mysql(set, out);
        } else if let Some(position) = self.as_mariadb() {
            out.push(MARIADB);
            encode_mariadb(position, out);
        } else {
            out.push(EMPTY);
        }
    }

    /// Reads the compact binary form, all of `input`.
    pub fn decode(input: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { input, at: 0 };
        let position = match reader.byte()? {
            EMPTY => Self::default(),
            MYSQL => decode_mysql(&mut reader)?.into(),
            MARIADB => decode_mariadb(&mut reader)?.into(),
            _ => return Err(Error::Malformed { at: 0, expected: "a kind of position" }),
        };
        if reader.at < input.len() {
            return Err(reader.expected("the end"));
        }
        Ok(position)
    }
}

fn encode_mysql(set: &GtidSet, out: &mut Vec<u8>) {
    put(out, set.sources().len() as u64);
    for (source, intervals) in set.sources() {
        out.extend_from_slice(&source.uuid());
        put(out, source.tag().len() as u64);
        out.extend_from_slice(source.tag().as_bytes());
        put(out, intervals.runs().len() as u64);
        let mut last = 0;
        for run in intervals.runs() {
            put(out, run.start - last);
            put(out, run.end - run.start);
            last = run.end;
        }
    }
}

fn decode_mysql(reader: &mut Reader<'_>) -> Result<GtidSet, Error> {
    let mut set = GtidSet::default();
    let mut intervals_left = mysql::INTERVALS_MAX;
    for _ in 0..reader.count(mysql::INTERVALS_MAX)? {
        let uuid = reader.uuid()?;
        let source = reader.source(uuid)?;
        let count = reader.count(intervals_left)?;
        intervals_left -= count;
        let intervals = reader.intervals(count)?;
        if !set.push_last(source, intervals) {
            return Err(reader.expected("sources in ascending order, none empty"));
        }
    }
    Ok(set)
}

fn encode_mariadb(position: &GtidPosition, out: &mut Vec<u8>) {
    put(out, position.gtids().len() as u64);
    for gtid in position.gtids() {
        put(out, gtid.domain.into());
        put(out, gtid.server.into());
        put(out, gtid.seq);
    }
}

fn decode_mariadb(reader: &mut Reader<'_>) -> Result<GtidPosition, Error> {
    let mut position = GtidPosition::default();
    for _ in 0..reader.count(mariadb::DOMAINS_MAX)? {
        let gtid = Gtid { domain: reader.id()?, server: reader.id()?, seq: reader.number()? };
        if !position.push_last(gtid) {
            return Err(reader.expected("domains in ascending order"));
        }
    }
    Ok(position)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn expected(&self, expected: &'static str) -> Error {
        Error::Malformed { at: self.at, expected }
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let bytes = self.input[self.at..].get(..len).ok_or_else(|| self.expected("more bytes"))?;
        self.at += len;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    /// The shortest form of a 64-bit number; a longer one is refused.
    fn number(&mut self) -> Result<u64, Error> {
        let malformed = self.expected("a number in its shortest form");
        let mut value = 0;
        for i in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit, and no last byte but the first is zero.
            let last_of_many = i > 0 && byte == 0;
            if last_of_many || (i == VARINT_BYTES_MAX - 1 && byte > 1) {
                return Err(malformed);
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed)
    }

    fn id(&mut self) -> Result<u32, Error> {
        let malformed = self.expected("a 32-bit number");
        u32::try_from(self.number()?).map_err(|_| malformed)
    }

    /// A number of things that follow: never more than `max`, whatever the input says, and not zero.
    fn count(&mut self, max: usize) -> Result<usize, Error> {
        let malformed = self.expected("a count above zero");
        match usize::try_from(self.number()?) {
            Ok(0) => Err(malformed),
            Ok(count) if count <= max => Ok(count),
            _ => Err(Error::TooLarge),
        }
    }

    fn uuid(&mut self) -> Result<[u8; 16], Error> {
        let malformed = self.expected("a UUID");
        self.bytes(16)?.try_into().map_err(|_| malformed)
    }

    fn source(&mut self, uuid: [u8; 16]) -> Result<Source, Error> {
        let malformed = self.expected("a tag in lower case");
        let len = usize::from(self.byte()?);
        if len == 0 {
            return Ok(Source::new(uuid));
        }
        let tag = core::str::from_utf8(self.bytes(len)?).map_err(|_| malformed)?;
        let source = Source::tagged(uuid, tag).map_err(|_| malformed)?;
        if source.tag() == tag { Ok(source) } else { Err(malformed) }
    }

    fn intervals(&mut self, count: usize) -> Result<Intervals, Error> {
        let mut intervals = Intervals::default();
        let mut last: u64 = 0;
        for _ in 0..count {
            let malformed = self.expected("an interval beyond the last");
            let start = last.checked_add(self.number()?).ok_or(malformed)?;
            last = start.checked_add(self.number()?).ok_or(malformed)?;
            if !intervals.push_last(start, last) {
                return Err(malformed);
            }
        }
        Ok(intervals)
    }
}

/// Text in formats for people, the binary form in all others.
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Position;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a GTID set or position")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Position, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Position, E> {
        Position::decode(bytes).map_err(E::custom)
    }
}
