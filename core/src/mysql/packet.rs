//! The packets a server answers with: OK, ERR, EOF, the head of a prepared statement's answer and the request for a file.
//!
//! Payloads only; [`super::frame`] puts them on the wire. Encoding what was parsed gives the same packet again.
//! Source: MySQL source documentation, "Generic Response Packets", "COM_STMT_PREPARE Response", "LOCAL INFILE Request".

use super::ProtocolError;
use super::capability::{CapabilityFlags, StatusFlags};
use super::session_state::SessionState;
use super::wire::{Reader, put_lenenc_int, put_lenenc_str};
use crate::error::{Component, Effect, Error};

/// First byte of an OK packet.
pub const OK: u8 = 0x00;
/// First byte of an EOF packet, of an OK packet that ends rows, and of a switch of the authentication method.
pub const EOF: u8 = 0xfe;
/// First byte of an ERR packet.
pub const ERR: u8 = 0xff;
/// First byte of a request for a file of the client's.
pub const LOCAL_INFILE: u8 = 0xfb;
/// An EOF packet is shorter than this, in bytes; a longer payload that starts with 0xFE is a row or an OK packet.
pub const EOF_BYTES_BELOW: usize = 9;
/// SQLSTATE of an error that came without one.
pub const GENERAL_SQLSTATE: [u8; 5] = *b"HY000";

/// An OK packet, or the OK that ends a result set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OkPacket {
    /// Affected rows.
    pub affected_rows: u64,
    /// Insert id.
    pub last_insert_id: u64,
    /// SERVER_STATUS_* bits.
    pub status: u16,
    /// Warning count.
    pub warnings: u16,
    /// Info string.
    pub info: Vec<u8>,
    /// Session-state block as the server sent it (entries of type, length, data); empty when none.
    pub session_state: Vec<u8>,
}

/// Which of its two first bytes an OK packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OkHeader {
    /// 0x00: the answer to a command.
    Ok,
    /// 0xFE: the end of a result set, for ends that agreed on DEPRECATE_EOF.
    EndOfRows,
}

impl OkPacket {
    /// Reads an OK packet with either first byte, between ends that agreed on `capabilities`.
    ///
    /// # Errors
    /// `Malformed` when it is cut short or does not start as an OK packet does.
    pub fn parse(payload: &[u8], capabilities: CapabilityFlags) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        if !matches!(reader.u8("OK header")?, OK | EOF) {
            return Err(ProtocolError::Malformed("OK header"));
        }
        let mut ok = Self {
            affected_rows: reader.lenenc_int("OK affected rows")?,
            last_insert_id: reader.lenenc_int("OK insert id")?,
            status: reader.u16("OK status")?,
            warnings: reader.u16("OK warnings")?,
            ..Self::default()
        };
        // Servers leave an empty info out when nothing follows it.
        if reader.is_empty() {
            return Ok(ok);
        }
        if !capabilities.contains(CapabilityFlags::CLIENT_SESSION_TRACK) {
            ok.info = untracked_info(reader).to_vec();
            return Ok(ok);
        }
        ok.info = reader.lenenc_str("OK info")?.to_vec();
        if ok.status & StatusFlags::SERVER_SESSION_STATE_CHANGED.bits() != 0 && !reader.is_empty() {
            ok.session_state = reader.lenenc_str("OK session state")?.to_vec();
        }
        Ok(ok)
    }

    /// Appends the packet for an end that agreed on `capabilities`. The state block is left out for one without SESSION_TRACK,
    /// and the status bit that announces it is set exactly when it is there.
    pub fn encode(&self, out: &mut Vec<u8>, header: OkHeader, capabilities: CapabilityFlags) {
        let tracked = capabilities.contains(CapabilityFlags::CLIENT_SESSION_TRACK) && !self.session_state.is_empty();
        let announced = StatusFlags::SERVER_SESSION_STATE_CHANGED.bits();
        let status = if tracked { self.status | announced } else { self.status & !announced };
        out.push(match header {
            OkHeader::Ok => OK,
            OkHeader::EndOfRows => EOF,
        });
        put_lenenc_int(out, self.affected_rows);
        put_lenenc_int(out, self.last_insert_id);
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        if tracked || !self.info.is_empty() {
            put_lenenc_str(out, &self.info);
        }
        if tracked {
            put_lenenc_str(out, &self.session_state);
        }
    }

    /// The entries of the session-state block.
    #[must_use]
    pub fn session_state(&self) -> SessionState<'_> {
        SessionState::new(&self.session_state)
    }
}

/// Without SESSION_TRACK the manual gives info up to the packet's end, while servers send its length first: both are read.
fn untracked_info(reader: Reader<'_>) -> &[u8] {
    let mut lenenc = reader;
    match lenenc.lenenc_str("OK info") {
        Ok(info) if lenenc.is_empty() => info,
        _ => reader.peek(),
    }
}

/// An EOF packet: the end of column definitions or rows between ends without DEPRECATE_EOF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EofPacket {
    /// Warning count.
    pub warnings: u16,
    /// SERVER_STATUS_* bits.
    pub status: u16,
}

impl EofPacket {
    /// The payload is an EOF packet, and no row.
    #[must_use]
    pub fn matches(payload: &[u8]) -> bool {
        payload.first() == Some(&EOF) && payload.len() < EOF_BYTES_BELOW
    }

    /// Reads an EOF packet.
    ///
    /// # Errors
    /// `Malformed` when it is none.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        if !Self::matches(payload) {
            return Err(ProtocolError::Malformed("EOF header"));
        }
        let mut reader = Reader::new(&payload[1..]);
        Ok(Self { warnings: reader.u16("EOF warnings")?, status: reader.u16("EOF status")? })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(EOF);
        out.extend_from_slice(&self.warnings.to_le_bytes());
        out.extend_from_slice(&self.status.to_le_bytes());
    }
}

/// The end of a result set, in the form that `capabilities` ask for: an EOF packet, or an OK packet with first byte 0xFE.
///
/// # Errors
/// `Malformed` when the packet is neither.
pub fn parse_end_of_rows(payload: &[u8], capabilities: CapabilityFlags) -> Result<OkPacket, ProtocolError> {
    if capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
        return OkPacket::parse(payload, capabilities);
    }
    let eof = EofPacket::parse(payload)?;
    Ok(OkPacket { status: eof.status, warnings: eof.warnings, ..OkPacket::default() })
}

/// Appends the end of a result set in the form that `capabilities` ask for.
pub fn encode_end_of_rows(ok: &OkPacket, out: &mut Vec<u8>, capabilities: CapabilityFlags) {
    if capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
        ok.encode(out, OkHeader::EndOfRows, capabilities);
    } else {
        let status = ok.status & !StatusFlags::SERVER_SESSION_STATE_CHANGED.bits();
        EofPacket { warnings: ok.warnings, status }.encode(out);
    }
}

/// Whether a packet among rows ends them: EOF or OK (0xFE), or ERR. A row can start with 0xFE too, but is then as long as
/// a frame (its first value has 16 MiB or more).
#[must_use]
pub fn ends_rows(first_byte: u8, payload_bytes: usize, capabilities: CapabilityFlags) -> bool {
    let deprecate_eof = capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
    let limit = if deprecate_eof { super::frame::MAX_PAYLOAD_BYTES } else { EOF_BYTES_BELOW };
    first_byte == ERR || (first_byte == EOF && payload_bytes < limit)
}

/// MariaDB's report of how far a statement is stands where an error would, with a code that no error has.
/// Source: MariaDB manual, "ERR_Packet".
#[must_use]
pub fn is_progress(payload: &[u8]) -> bool {
    payload.starts_with(&[ERR, 0xff, 0xff])
}

/// Reads an ERR packet as a server's error. Its SQLSTATE may be missing: servers send none before the handshake is done.
///
/// # Errors
/// `Malformed` when it is no ERR packet.
pub fn parse_err(payload: &[u8]) -> Result<Error, ProtocolError> {
    let mut reader = Reader::new(payload);
    if reader.u8("ERR header")? != ERR {
        return Err(ProtocolError::Malformed("ERR header"));
    }
    let code = reader.u16("ERR code")?;
    let (sqlstate, message) = match reader.peek() {
        [b'#', a, b, c, d, e, message @ ..] => ([*a, *b, *c, *d, *e], message),
        message => (GENERAL_SQLSTATE, message),
    };
    Ok(Error { code, sqlstate, message: message.to_vec(), component: Component::Server, effect: Effect::Answered })
}

/// Appends an ERR packet; with its SQLSTATE for an end that agreed on PROTOCOL_41.
pub fn encode_err(error: &Error, out: &mut Vec<u8>, capabilities: CapabilityFlags) {
    out.push(ERR);
    out.extend_from_slice(&error.code.to_le_bytes());
    if capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
        out.push(b'#');
        out.extend_from_slice(&error.sqlstate);
    }
    out.extend_from_slice(&error.message);
}

/// The first packet of a COM_STMT_PREPARE answer. Definitions of parameters, then of columns, follow it: each group is ended by
/// an EOF packet between ends without DEPRECATE_EOF, and neither group is there when its count is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrepareOk {
    /// The server's statement id.
    pub statement_id: u32,
    /// Columns of the result set.
    pub columns: u16,
    /// Parameters.
    pub parameters: u16,
    /// Warning count.
    pub warnings: u16,
}

impl PrepareOk {
    /// Reads the packet.
    ///
    /// # Errors
    /// `Malformed` when it is cut short or does not start with 0x00.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        if reader.u8("PREPARE_OK header")? != OK {
            return Err(ProtocolError::Malformed("PREPARE_OK header"));
        }
        let statement_id = reader.u32("PREPARE_OK statement id")?;
        let columns = reader.u16("PREPARE_OK columns")?;
        let parameters = reader.u16("PREPARE_OK parameters")?;
        reader.u8("PREPARE_OK filler")?;
        Ok(Self { statement_id, columns, parameters, warnings: reader.u16("PREPARE_OK warnings")? })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(OK);
        out.extend_from_slice(&self.statement_id.to_le_bytes());
        out.extend_from_slice(&self.columns.to_le_bytes());
        out.extend_from_slice(&self.parameters.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&self.warnings.to_le_bytes());
    }
}

/// Reads a request for a file of the client's (LOAD DATA LOCAL); returns the file's name.
///
/// # Errors
/// `Malformed` when it is none.
pub fn parse_local_infile(payload: &[u8]) -> Result<&[u8], ProtocolError> {
    match payload {
        [LOCAL_INFILE, filename @ ..] => Ok(filename),
        _ => Err(ProtocolError::Malformed("LOCAL INFILE header")),
    }
}

/// Appends a request for a file of the client's.
pub fn encode_local_infile(filename: &[u8], out: &mut Vec<u8>) {
    out.push(LOCAL_INFILE);
    out.extend_from_slice(filename);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const TRACKING: CapabilityFlags = CapabilityFlags::CLIENT_SESSION_TRACK;

    #[test]
    fn a_servers_plain_ok_leaves_its_info_out() {
        let ok = OkPacket { affected_rows: 1, status: 2, ..OkPacket::default() };
        assert_eq!(OkPacket::parse(b"\x00\x01\x00\x02\x00\x00\x00", TRACKING), Ok(ok.clone()));
        let mut out = Vec::new();
        ok.encode(&mut out, OkHeader::Ok, TRACKING);
        assert_eq!(out, b"\x00\x01\x00\x02\x00\x00\x00");
    }

    #[test]
    fn info_is_read_with_and_without_its_length() {
        for payload in [&b"\x00\x00\x00\x02\x00\x00\x00\x05Rows "[..], b"\x00\x00\x00\x02\x00\x00\x00Rows "] {
            assert_eq!(OkPacket::parse(payload, CapabilityFlags::empty()).unwrap().info, b"Rows ");
        }
    }

    #[test]
    fn the_state_block_goes_only_to_those_who_track() {
        let ok = OkPacket { session_state: b"\x01\x02\x01a".to_vec(), status: 0x4002, ..OkPacket::default() };
        let mut out = Vec::new();
        ok.encode(&mut out, OkHeader::EndOfRows, CapabilityFlags::empty());
        assert_eq!(out, b"\xfe\x00\x00\x02\x00\x00\x00");
        out.clear();
        ok.encode(&mut out, OkHeader::EndOfRows, TRACKING);
        assert_eq!(out, b"\xfe\x00\x00\x02\x40\x00\x00\x00\x04\x01\x02\x01a");
        assert_eq!(OkPacket::parse(&out, TRACKING), Ok(ok));
    }

    #[test]
    fn an_error_carries_its_sqlstate_from_protocol_41_on() {
        let error = Error::new(Component::Gateway, Kind::UnknownCommand, "Unknown command");
        let mut out = Vec::new();
        encode_err(&error, &mut out, CapabilityFlags::CLIENT_PROTOCOL_41);
        assert_eq!(out, b"\xff\x17\x04#08S01Unknown command");
        assert_eq!(parse_err(&out).unwrap().sqlstate, *b"08S01");
        out.clear();
        encode_err(&error, &mut out, CapabilityFlags::empty());
        assert_eq!(out, b"\xff\x17\x04Unknown command");
        assert_eq!(parse_err(&out).unwrap().sqlstate, GENERAL_SQLSTATE);
    }

    #[test]
    fn a_huge_row_that_starts_like_an_eof_is_a_row() {
        let plain = CapabilityFlags::empty();
        assert!(ends_rows(EOF, 5, plain));
        assert!(!ends_rows(EOF, EOF_BYTES_BELOW, plain));
        assert!(ends_rows(EOF, 100, CapabilityFlags::CLIENT_DEPRECATE_EOF));
        assert!(!ends_rows(EOF, crate::mysql::frame::MAX_PAYLOAD_BYTES, CapabilityFlags::CLIENT_DEPRECATE_EOF));
        assert!(ends_rows(ERR, 100, plain));
        assert!(!ends_rows(OK, 1, plain));
    }
}
