//! The packets between a client's response and the final OK: a switch of the method, and more data for one.
//!
//! Source: MySQL source documentation, "Protocol::AuthSwitchRequest", "Protocol::AuthMoreData".

use crate::mysql::ProtocolError;
use crate::mysql::packet::{EOF, ERR, OK};
use crate::mysql::wire::{Reader, put_nul_str};

const MORE_DATA: u8 = 0x01;

/// What a server says while it authenticates a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerSays<'a> {
    /// It is satisfied: an OK packet.
    Ok,
    /// It refuses: an ERR packet.
    Err,
    /// The client must answer by another method.
    Switch {
        /// The method's name.
        plugin: &'a [u8],
        /// Its challenge, as it was sent: most methods end it with a NUL.
        challenge: &'a [u8],
    },
    /// The client must answer as clients before 4.1 did.
    SwitchToOld,
    /// The method has more to say.
    More(&'a [u8]),
}

impl<'a> ServerSays<'a> {
    /// Reads what kind of packet it is.
    ///
    /// # Errors
    /// `Malformed` for anything a server does not say here.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        match reader.u8("authentication packet")? {
            OK => Ok(Self::Ok),
            ERR => Ok(Self::Err),
            MORE_DATA => Ok(Self::More(reader.rest())),
            EOF if reader.is_empty() => Ok(Self::SwitchToOld),
            EOF => {
                let plugin = reader.nul_str("switched plugin")?;
                Ok(Self::Switch { plugin, challenge: reader.rest() })
            }
            _ => Err(ProtocolError::Malformed("authentication packet")),
        }
    }
}

/// Appends a request to answer by another method. `challenge` is without the NUL that ends it on the wire.
pub fn encode_switch(plugin: &[u8], challenge: &[u8], out: &mut Vec<u8>) {
    out.push(EOF);
    put_nul_str(out, plugin);
    out.extend_from_slice(challenge);
    out.push(0);
}

/// Appends more data of the method in use.
pub fn encode_more(data: &[u8], out: &mut Vec<u8>) {
    out.push(MORE_DATA);
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_back() {
        let mut out = Vec::new();
        encode_switch(b"mysql_native_password", b"abc", &mut out);
        let switch = ServerSays::Switch { plugin: b"mysql_native_password", challenge: b"abc\0" };
        assert_eq!(ServerSays::parse(&out), Ok(switch));
        out.clear();
        encode_more(b"\x03", &mut out);
        assert_eq!(ServerSays::parse(&out), Ok(ServerSays::More(b"\x03")));
        assert_eq!(ServerSays::parse(b"\xfe"), Ok(ServerSays::SwitchToOld));
        assert!(ServerSays::parse(b"").is_err());
    }
}
