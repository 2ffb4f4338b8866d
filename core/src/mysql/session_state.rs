//! The session-state block of an OK packet: what the server says has changed in the session.
//!
//! Source: MySQL source documentation, "OK_Packet: Session State Information".

use super::ProtocolError;
use super::wire::{Reader, put_lenenc_int, put_lenenc_str};
use mysql_common::constants::SessionStateType;

/// GTIDs travel behind one byte that says how they are encoded; text is the only encoding there is.
const GTID_ENCODING_TEXT: u8 = 0;

/// A kind, and a length.
const ENTRY_HEADER_BYTES_MAX: usize = 10;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The default schema is now this one (empty: none).
    Schema(&'a [u8]),
    /// Session variables have new values.
    Variables(Variables<'a>),
    /// Some other state of the session changed (`session_track_state_change`).
    StateChange(bool),
    /// GTIDs of the transaction that was just committed (MySQL's `session_track_gtids`).
    Gtids(&'a [u8]),
    /// The statements that set up the open transaction as it is.
    TransactionCharacteristics(&'a [u8]),
    /// Eight letters of the open transaction's state.
    TransactionState(&'a [u8]),
}

/// Entries of a session-state block, in the server's order. Kinds that are not known are passed over.
///
/// Yields an error, and then nothing more, when the block cannot be read.
#[derive(Clone, Debug)]
pub struct SessionState<'a> {
    reader: Reader<'a>,
}

impl<'a> SessionState<'a> {
    /// Reads `block`: an OK packet's session state.
    #[must_use]
    pub const fn new(block: &'a [u8]) -> Self {
        Self { reader: Reader::new(block) }
    }

    fn entry(&mut self) -> Result<Option<Change<'a>>, ProtocolError> {
        let kind = self.reader.u8("session state type")?;
        let mut data = Reader::new(self.reader.lenenc_str("session state entry")?);
        let Ok(kind) = SessionStateType::try_from(kind) else { return Ok(None) };
        Ok(Some(match kind {
            SessionStateType::SESSION_TRACK_SYSTEM_VARIABLES => Change::Variables(Variables::new(data.rest())?),
            SessionStateType::SESSION_TRACK_SCHEMA => Change::Schema(data.lenenc_str("session schema")?),
            // One digit. The manual puts its length in front, servers do not.
            SessionStateType::SESSION_TRACK_STATE_CHANGE => {
                let digit = data.rest().last().ok_or(ProtocolError::Malformed("session state change"))?;
                Change::StateChange(*digit == b'1')
            }
            SessionStateType::SESSION_TRACK_GTIDS => {
                if data.u8("session gtids encoding")? != GTID_ENCODING_TEXT {
                    return Ok(None);
                }
                Change::Gtids(data.lenenc_str("session gtids")?)
            }
            SessionStateType::SESSION_TRACK_TRANSACTION_CHARACTERISTICS => {
                Change::TransactionCharacteristics(data.lenenc_str("transaction characteristics")?)
            }
            SessionStateType::SESSION_TRACK_TRANSACTION_STATE => {
                Change::TransactionState(data.lenenc_str("transaction state")?)
            }
        }))
    }
}

impl<'a> Iterator for SessionState<'a> {
    type Item = Result<Change<'a>, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.reader.is_empty() {
            match self.entry() {
                Ok(Some(change)) => return Some(Ok(change)),
                Ok(None) => {}
                Err(error) => {
                    self.reader = Reader::new(&[]);
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Names and values of session variables, checked when made: iteration cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variables<'a> {
    pairs: &'a [u8],
}

impl<'a> Variables<'a> {
    fn new(pairs: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(pairs);
        while !reader.is_empty() {
            Self::pair(&mut reader)?;
        }
        Ok(Self { pairs })
    }

    fn pair(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), ProtocolError> {
        Ok((reader.lenenc_str("session variable name")?, reader.lenenc_str("session variable value")?))
    }

    /// Name and value, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.pairs);
        core::iter::from_fn(move || Self::pair(&mut reader).ok())
    }
}

/// Writes a session-state block, entry by entry.
#[derive(Clone, Debug, Default)]
pub struct SessionStateBuilder {
    block: Vec<u8>,
}

impl SessionStateBuilder {
    /// Adds a change as it was read.
    pub fn push(&mut self, change: Change<'_>) {
        let mut data = Vec::new();
        let kind = match change {
            Change::Schema(name) => {
                put_lenenc_str(&mut data, name);
                SessionStateType::SESSION_TRACK_SCHEMA
            }
            Change::Variables(variables) => {
                data.extend_from_slice(variables.pairs);
                SessionStateType::SESSION_TRACK_SYSTEM_VARIABLES
            }
            Change::StateChange(changed) => {
                let digit = if changed { b'1' } else { b'0' };
                return self.entry(SessionStateType::SESSION_TRACK_STATE_CHANGE, &[digit]);
            }
            Change::Gtids(gtids) => {
                data.push(GTID_ENCODING_TEXT);
                put_lenenc_str(&mut data, gtids);
                SessionStateType::SESSION_TRACK_GTIDS
            }
            Change::TransactionCharacteristics(text) => {
                put_lenenc_str(&mut data, text);
                SessionStateType::SESSION_TRACK_TRANSACTION_CHARACTERISTICS
            }
            Change::TransactionState(text) => {
                put_lenenc_str(&mut data, text);
                SessionStateType::SESSION_TRACK_TRANSACTION_STATE
            }
        };
        self.entry(kind, &data);
    }

    /// Adds one session variable's new value, as an entry of its own like servers do.
    pub fn variable(&mut self, name: &[u8], value: &[u8]) {
        let bytes = lenenc_str_bytes(name) + lenenc_str_bytes(value);
        self.block.reserve(bytes + ENTRY_HEADER_BYTES_MAX);
        self.block.push(SessionStateType::SESSION_TRACK_SYSTEM_VARIABLES.into());
        put_lenenc_int(&mut self.block, bytes as u64);
        put_lenenc_str(&mut self.block, name);
        put_lenenc_str(&mut self.block, value);
    }

    fn entry(&mut self, kind: SessionStateType, data: &[u8]) {
        self.block.push(kind.into());
        put_lenenc_str(&mut self.block, data);
    }

    /// The block, for [`super::packet::OkPacket::session_state`]; empty when nothing was added.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.block
    }
}

/// How long [`put_lenenc_str`] writes it.
fn lenenc_str_bytes(text: &[u8]) -> usize {
    let length = match text.len() {
        0..=0xfa => 1,
        0xfb..=0xffff => 3,
        0x1_0000..=0xff_ffff => 4,
        _ => 9,
    };
    length + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(block: &[u8]) -> Vec<Change<'_>> {
        SessionState::new(block).map(Result::unwrap).collect()
    }

    #[test]
    fn a_servers_block_reads_entry_by_entry() {
        // As MariaDB 10.11 sends them.
        let block = b"\x01\x05\x04test\x00\x0f\x0aautocommit\x03OFF\x02\x011";
        let changes = changes(block);
        assert_eq!(changes[0], Change::Schema(b"test"));
        let Change::Variables(variables) = changes[1] else { panic!("variables") };
        assert_eq!(variables.iter().collect::<Vec<_>>(), [(&b"autocommit"[..], &b"OFF"[..])]);
        assert_eq!(changes[2], Change::StateChange(true));
        assert_eq!(changes.len(), 3);
        // As the manual has it.
        assert_eq!(SessionState::new(b"\x02\x02\x010").next(), Some(Ok(Change::StateChange(false))));
    }

    #[test]
    fn unknown_kinds_are_passed_over() {
        assert_eq!(changes(b"\x63\x03abc\x01\x02\x01a"), [Change::Schema(b"a")]);
        assert_eq!(changes(b"\x03\x03\x07\x01a"), []);
    }

    #[test]
    fn a_broken_block_ends_with_its_error() {
        let mut state = SessionState::new(b"\x01\x02\x05a\x01\x02\x01a");
        assert_eq!(state.next(), Some(Err(ProtocolError::Malformed("session schema"))));
        assert_eq!(state.next(), None);
    }

    #[test]
    fn a_filtered_block_is_built_from_what_was_read() {
        let mut all = SessionStateBuilder::default();
        all.variable(b"last_gtid", b"0-1-7");
        all.push(Change::Gtids(b"uuid:1-5"));
        all.push(Change::TransactionState(b"T_______"));
        let block = all.finish();
        let mut kept = SessionStateBuilder::default();
        SessionState::new(&block)
            .flatten()
            .filter(|change| !matches!(change, Change::Variables(_)))
            .for_each(|change| kept.push(change));
        assert_eq!(changes(&kept.finish()), [Change::Gtids(b"uuid:1-5"), Change::TransactionState(b"T_______")]);
    }
}
