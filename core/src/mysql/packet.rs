//! Packets that matter to a relay: OK, ERR, EOF and the head of a prepared statement's answer.

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

/// The first packet of a COM_STMT_PREPARE answer.
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
