//! The packet a server opens a connection with.
//!
//! Source: MySQL source documentation, "Protocol::HandshakeV10"; MariaDB manual, "Connecting".

use crate::mysql::ProtocolError;
use crate::mysql::auth::NONCE_BYTES;
use crate::mysql::capability::{CLIENT_MYSQL, CapabilityFlags, MariaDbCapabilities};
use crate::mysql::wire::{Reader, put_nul_str};

const PROTOCOL_VERSION: u8 = 10;
/// Bytes of the challenge that stand before the capabilities, where clients of MySQL 3 looked for it.
const NONCE_HEAD_BYTES: usize = 8;
const RESERVED_BYTES: usize = 6;
/// The second part of the challenge takes at least this many bytes, its closing NUL included.
const NONCE_TAIL_BYTES_MIN: usize = 13;

/// A server's greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Version, as `SELECT VERSION()` prints it; MariaDB up to 10 puts `5.5.5-` in front.
    pub server_version: Vec<u8>,
    /// Connection id.
    pub connection_id: u32,
    /// The challenge, without its closing NUL.
    pub nonce: Vec<u8>,
    /// What the server offers.
    pub capabilities: CapabilityFlags,
    /// What it offers as MariaDB; nothing with CLIENT_MYSQL.
    pub of_mariadb: MariaDbCapabilities,
    /// The lower byte of the default collation's id.
    pub collation: u8,
    /// SERVER_STATUS_* bits.
    pub status: u16,
    /// Name of the authentication method the challenge is for; empty without PLUGIN_AUTH.
    pub plugin: Vec<u8>,
}

impl Greeting {
    /// Reads a greeting.
    ///
    /// # Errors
    /// `Malformed` when it is cut short or of another protocol version.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        if reader.u8("greeting version")? != PROTOCOL_VERSION {
            return Err(ProtocolError::Malformed("greeting version"));
        }
        let server_version = reader.nul_str("greeting server version")?.to_vec();
        let connection_id = reader.u32("greeting connection id")?;
        let mut nonce = reader.bytes(NONCE_HEAD_BYTES, "greeting nonce")?.to_vec();
        reader.u8("greeting filler")?;
        let lower = u32::from(reader.u16("greeting capabilities")?);
        let collation = reader.u8("greeting collation")?;
        let status = reader.u16("greeting status")?;
        let upper = u32::from(reader.u16("greeting capabilities")?);
        let capabilities = CapabilityFlags::from_bits_retain(lower | upper << 16);
        let nonce_bytes = usize::from(reader.u8("greeting nonce length")?);
        reader.bytes(RESERVED_BYTES, "greeting reserved")?;
        let of_mariadb = MariaDbCapabilities::from_bits_retain(reader.u32("greeting reserved")?);
        let of_mariadb = if capabilities.contains(CLIENT_MYSQL) { MariaDbCapabilities::empty() } else { of_mariadb };
        if capabilities.contains(CapabilityFlags::CLIENT_SECURE_CONNECTION) {
            let tail_bytes = nonce_bytes.saturating_sub(NONCE_HEAD_BYTES).max(NONCE_TAIL_BYTES_MIN);
            let tail = reader.bytes(tail_bytes, "greeting nonce")?;
            nonce.extend_from_slice(tail.strip_suffix(b"\0").unwrap_or(tail));
        }
        let mut plugin = Vec::new();
        if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
            // Some servers of 5.5 left the closing NUL out.
            let name = reader.rest();
            plugin = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        }
        Ok(Self { server_version, connection_id, nonce, capabilities, of_mariadb, collation, status, plugin })
    }

    /// Appends the greeting.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.nonce.len() >= NONCE_BYTES, "the challenge has two parts");
        let bits = self.capabilities.bits();
        let (head, tail) = self.nonce.split_at(NONCE_HEAD_BYTES.min(self.nonce.len()));
        out.push(PROTOCOL_VERSION);
        put_nul_str(out, &self.server_version);
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(head);
        out.push(0);
        out.extend_from_slice(&(bits as u16).to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&((bits >> 16) as u16).to_le_bytes());
        let has_plugin = self.capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH);
        out.push(if has_plugin { (self.nonce.len() + 1) as u8 } else { 0 });
        debug_assert!(
            self.of_mariadb.is_empty() || !self.capabilities.contains(CLIENT_MYSQL),
            "a MySQL server has none"
        );
        out.extend_from_slice(&[0; RESERVED_BYTES]);
        out.extend_from_slice(&self.of_mariadb.bits().to_le_bytes());
        out.extend_from_slice(tail);
        out.push(0);
        if has_plugin {
            put_nul_str(out, &self.plugin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadbs_greeting_is_read() {
        let mut payload = b"\x0a5.5.5-10.11.6-MariaDB\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15".to_vec();
        payload.extend_from_slice(b"\0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0");
        let greeting = Greeting::parse(&payload).unwrap();
        assert_eq!(greeting.server_version, b"5.5.5-10.11.6-MariaDB");
        assert_eq!(greeting.connection_id, 7);
        assert_eq!(greeting.nonce, b"abcdefghijklmnopqrst");
        assert_eq!(greeting.plugin, b"mysql_native_password");
        assert_eq!(greeting.status, 2);
        assert!(!greeting.capabilities.contains(CLIENT_MYSQL));
        assert_eq!(greeting.of_mariadb, MariaDbCapabilities::from_bits_retain(0x1d));
    }

    #[test]
    fn protocol_9_is_not_spoken() {
        assert_eq!(Greeting::parse(b"\x09rest"), Err(ProtocolError::Malformed("greeting version")));
    }
}
