//! The commands that were sent and whose answers are due, in order, and what is made of each answer.

use super::config::HEARD_BYTES_MAX;
use super::settings::Changes;
use crate::error::Error;
use crate::link::{CONDITIONS_BYTES_MAX, ClientFormat, Reply, Statement};
use crate::mysql::capability::{CapabilityFlags, ColumnType, MariaDbCapabilities};
use crate::mysql::column::ColumnDefinition;
use crate::mysql::frame::{FrameHeader, HEADER_BYTES};
use crate::mysql::packet::{OkPacket, PrepareOk};
use crate::mysql::reply::{ReplyWalker, Shape};
use crate::mysql::wire::Reader;
use std::collections::VecDeque;
use std::sync::Arc;

/// How answers are read that are not for the client.
pub(super) const SWALLOWED: ClientFormat = ClientFormat { deprecate_eof: true, progress: false };

/// Why a command was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Purpose {
    /// Turns the session trackers on.
    Setup,
    /// Changes the default schema.
    Schema(Vec<u8>),
    /// Sets variables back to what they are on a fresh connection.
    Resets(Changes),
    /// Sets variables, and what LAST_INSERT_ID() returns.
    Variables(Changes),
    /// Turns the report of transactions on or off, as the session's use of the query cache lets it.
    Reports,
    /// Waits for a position.
    Wait,
    /// Prepares a statement that is executed next.
    Prepare(Arc<Statement>),
    /// The request's own command: its answer is the client's.
    Command,
    /// Asks for what the command left: counts; after an error for the transaction's state and pending trackers, too.
    AskCounts,
    /// Asks for the warnings that it left.
    AskConditions,
    /// Asks for what trackers have to say that the end of rows had no room for.
    AskTrackers,
    /// [`Purpose::Reports`], after a command that may have changed that use.
    ReportsAfter,
    /// Asks for the values of variables.
    AskVariables(Vec<String>),
}

#[derive(Debug)]
struct Expected {
    purpose: Purpose,
    shape: Shape,
    /// The id that the answer starts with: that after the command's last packet.
    sequence: u8,
}

/// Answers that are due. At most one request's and its prefix's, so that the queue stays short.
#[derive(Debug, Default)]
pub(super) struct Flight {
    expected: VecDeque<Expected>,
    /// The walk over the first one, once its first byte came.
    walker: Option<ReplyWalker>,
    heard: Heard,
}

impl Flight {
    /// An answer of the shape that its purpose implies is due.
    pub(super) fn expect(&mut self, purpose: Purpose, sequence: u8) {
        let shape = match purpose {
            Purpose::Wait | Purpose::AskCounts | Purpose::AskConditions | Purpose::AskVariables(_) => Shape::Results,
            Purpose::Prepare(_) => Shape::Prepare,
            _ => Shape::Simple,
        };
        self.expected.push_back(Expected { purpose, shape, sequence });
    }

    /// The answer to the request's own command is due.
    pub(super) fn expect_command(&mut self, shape: Shape, sequence: u8) {
        self.expected.push_back(Expected { purpose: Purpose::Command, shape, sequence });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the next answer is for.
    pub(super) fn next(&self) -> Option<&Purpose> {
        self.expected.front().map(|expected| &expected.purpose)
    }

    /// What the next answer is for, and the walk over it.
    pub(super) fn due(
        &mut self,
        capabilities: CapabilityFlags,
        client: ClientFormat,
        status: u16,
    ) -> Option<(&Purpose, &mut ReplyWalker)> {
        let Expected { purpose, shape, sequence } = self.expected.front()?;
        let client = if *purpose == Purpose::Command { client } else { SWALLOWED };
        let begin = || ReplyWalker::new(*shape, capabilities, client, status).starting_at(*sequence);
        let walker = self.walker.get_or_insert_with(begin);
        Some((purpose, walker))
    }

    /// The client has sent packets amid the answer that is due, which goes on with this id.
    pub(super) fn continue_at(&mut self, sequence: u8) {
        if let Some(walker) = &mut self.walker {
            walker.continue_at(sequence);
        }
    }

    /// The next answer is complete: what it was for, and what was heard of it.
    pub(super) fn finish(&mut self) -> Option<(Purpose, Heard)> {
        self.walker = None;
        let expected = self.expected.pop_front()?;
        Some((expected.purpose, core::mem::take(&mut self.heard)))
    }

    /// What has been heard so far of the answer that is due.
    pub(super) fn heard(&mut self) -> &mut Heard {
        if self.next() == Some(&Purpose::AskConditions) {
            self.heard.bytes_max = CONDITIONS_BYTES_MAX;
        }
        &mut self.heard
    }
}

/// What was heard of an answer that is not for the client.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) error: Option<Error>,
    pub(super) ok: Option<OkPacket>,
    pub(super) prepared: Option<PrepareOk>,
    /// Packets of a result set: column count, definitions, rows; no more than the limit.
    packets: Vec<u8>,
    /// There was more.
    cut: bool,
    bytes_max: usize,
}

impl Default for Heard {
    fn default() -> Self {
        Self { error: None, ok: None, prepared: None, packets: Vec::new(), cut: false, bytes_max: HEARD_BYTES_MAX }
    }
}

impl Heard {
    /// Takes in a piece; `bytes` are those of a run.
    pub(super) fn take(&mut self, piece: Reply, bytes: &[u8]) {
        match piece {
            Reply::Forward { .. } => self.keep(bytes),
            Reply::Own(own) => self.keep(&own),
            Reply::Ok { ok, .. } => self.ok = Some(ok),
            Reply::Err { error, .. } => self.error = Some(error),
            Reply::PrepareOk { ok, .. } => self.prepared = Some(ok),
            Reply::Skip { .. } | Reply::LocalInfile { .. } => {}
            Reply::Between { .. } | Reply::Tracked(_) | Reply::Left(_) | Reply::Digest(_) | Reply::End(_) => {}
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.bytes_max - self.packets.len();
        self.packets.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut |= bytes.len() > room;
    }

    /// The first row of a text result set, NULLs as `None`; `None` when there is none, or it is too long.
    pub(super) fn row(&self) -> Option<Row<'_>> {
        let (columns, mut rows) = self.behind_columns()?;
        values(rows.next()?, columns)
    }

    /// All rows; `None` when they are not all here.
    pub(super) fn rows(&self) -> Option<Vec<Row<'_>>> {
        let (columns, rows) = self.behind_columns().filter(|_| !self.cut && self.error.is_none())?;
        rows.map(|row| values(row, columns)).collect()
    }

    /// The collation of texts that the first column's definition names.
    pub(super) fn text_collation(&self, of_mariadb: MariaDbCapabilities) -> Option<u16> {
        let definition = ColumnDefinition::parse(Packets(&self.packets).nth(1)?, of_mariadb).ok()?;
        (definition.column_type == ColumnType::MYSQL_TYPE_VAR_STRING).then_some(definition.collation)
    }

    fn behind_columns(&self) -> Option<(usize, Packets<'_>)> {
        let mut packets = Packets(&self.packets);
        let columns = Reader::new(packets.next()?).lenenc_int("column count").ok()?;
        let columns = usize::try_from(columns).ok()?;
        for _definition in 0..columns {
            packets.next()?;
        }
        Some((columns, packets))
    }
}

/// The values of a row, NULLs as `None`.
type Row<'a> = Vec<Option<&'a [u8]>>;

fn values(row: &[u8], columns: usize) -> Option<Row<'_>> {
    let mut values = Reader::new(row);
    (0..columns).map(|_| values.nullable_str("value").ok()).collect()
}

/// Payloads of packets that lie one behind the other; a cut one ends them.
struct Packets<'a>(&'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let header = FrameHeader::peek(self.0)?;
        let (packet, rest) = self.0.split_at_checked(HEADER_BYTES + header.payload_bytes)?;
        self.0 = rest;
        Some(&packet[HEADER_BYTES..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8]) -> Heard {
        let mut heard = Heard::default();
        heard.take(Reply::Forward { len: bytes.len() }, bytes);
        heard
    }

    #[test]
    fn the_first_row_is_found_behind_the_columns() {
        let set = b"\x01\x00\x00\x01\x02\x04\x00\x00\x02\x03def\x04\x00\x00\x03\x03def\x04\x00\x00\x04\xfb\x02-1";
        assert_eq!(heard(set).row(), Some(vec![None, Some(&b"-1"[..])]));
        assert_eq!(heard(&set[..set.len() - 1]).row(), None);
        assert_eq!(heard(b"").row(), None);
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        assert_eq!(heard(&vec![0; 2 * HEARD_BYTES_MAX]).packets.len(), HEARD_BYTES_MAX);
    }
}
