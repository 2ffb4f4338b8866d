//! The packet a client answers a greeting with, and the short form of it that asks for TLS first.
//!
//! Source: MySQL source documentation, "Protocol::HandshakeResponse41", "Protocol::SSLRequest".

use crate::mysql::ProtocolError;
use crate::mysql::auth::Secret;
use crate::mysql::capability::{CLIENT_MYSQL, CapabilityFlags, MariaDbCapabilities};
use crate::mysql::wire::{Reader, put_lenenc_int, put_lenenc_str, put_nul_str};

/// Connection attributes that are kept of one client, in bytes of names and values; the rest are dropped, as servers do.
pub const ATTRIBUTES_BYTES_MAX: usize = 4 * 1024;
/// Connection attributes that are kept of one client, in number.
pub const ATTRIBUTES_COUNT_MAX: usize = 64;
/// Length of a request for TLS, which is also the fixed part of a response, in bytes.
pub const TLS_REQUEST_BYTES: usize = 32;
const FILLER_BYTES: usize = 19;

/// Names and values by which a client describes itself.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A client's answer to the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeResponse {
    /// What the client takes of the server's offer.
    pub capabilities: CapabilityFlags,
    /// What it takes as MariaDB's; nothing with CLIENT_MYSQL. COM_CHANGE_USER does not say.
    pub of_mariadb: MariaDbCapabilities,
    /// The longest packet the client accepts, in bytes.
    pub max_packet_bytes: u32,
    /// The client's collation id. A response carries only its lower byte, COM_CHANGE_USER all of it.
    pub collation: u16,
    /// User name.
    pub user: Vec<u8>,
    /// Answer to the challenge. Secret: some methods send the password.
    pub auth_response: Secret,
    /// Default schema; `None` without CONNECT_WITH_DB, or when empty.
    pub schema: Option<Vec<u8>>,
    /// Name of the authentication method the answer is for; `None` without PLUGIN_AUTH.
    pub plugin: Option<Vec<u8>>,
    /// Connection attributes.
    pub attributes: Attributes,
}

impl HandshakeResponse {
    /// The capabilities at the front of a response or a request for TLS, before the rest of it can be understood.
    /// Clients without PROTOCOL_41 send only two bytes of them.
    #[must_use]
    pub fn peek_capabilities(payload: &[u8]) -> Option<CapabilityFlags> {
        let lower = u32::from(u16::from_le_bytes(*payload.first_chunk()?));
        let protocol_41 = lower & CapabilityFlags::CLIENT_PROTOCOL_41.bits() != 0;
        let bits = if protocol_41 { u32::from_le_bytes(*payload.first_chunk()?) } else { lower };
        Some(CapabilityFlags::from_bits_retain(bits))
    }

    /// Reads a response of a client with PROTOCOL_41.
    ///
    /// # Errors
    /// `Malformed` when it is cut short.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        let capabilities = CapabilityFlags::from_bits_retain(reader.u32("response capabilities")?);
        let has = |flag| capabilities.contains(flag);
        let max_packet_bytes = reader.u32("response packet size")?;
        let collation = u16::from(reader.u8("response collation")?);
        reader.bytes(FILLER_BYTES, "response filler")?;
        let of_mariadb = MariaDbCapabilities::from_bits_retain(reader.u32("response filler")?);
        let of_mariadb = if has(CLIENT_MYSQL) { MariaDbCapabilities::empty() } else { of_mariadb };
        let user = reader.nul_str("response user")?.to_vec();
        let auth_response = Secret::new(read_auth_response(&mut reader, capabilities)?);
        let mut schema = None;
        // Clients with nothing more to say may stop early; servers read on as if the fields were empty.
        if has(CapabilityFlags::CLIENT_CONNECT_WITH_DB) && !reader.is_empty() {
            schema = Some(reader.nul_str("response schema")?.to_vec()).filter(|name| !name.is_empty());
        }
        let (plugin, attributes) = read_tail(&mut reader, capabilities)?;
        Ok(Self {
            capabilities,
            of_mariadb,
            max_packet_bytes,
            collation,
            user,
            auth_response,
            schema,
            plugin,
            attributes,
        })
    }

    /// Appends the response, with the fields that its capabilities say are there.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let has = |flag| self.capabilities.contains(flag);
        self.encode_tls_request(out);
        put_nul_str(out, &self.user);
        let auth_response = self.auth_response.expose();
        if has(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            put_lenenc_str(out, auth_response);
        } else if has(CapabilityFlags::CLIENT_SECURE_CONNECTION) {
            debug_assert!(auth_response.len() <= 255, "a longer answer needs PLUGIN_AUTH_LENENC_CLIENT_DATA");
            out.push(auth_response.len() as u8);
            out.extend_from_slice(auth_response);
        } else {
            put_nul_str(out, auth_response);
        }
        if has(CapabilityFlags::CLIENT_CONNECT_WITH_DB) {
            put_nul_str(out, self.schema.as_deref().unwrap_or_default());
        }
        if has(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
            put_nul_str(out, self.plugin.as_deref().unwrap_or_default());
        }
        if has(CapabilityFlags::CLIENT_CONNECT_ATTRS) {
            put_attributes(out, &self.attributes);
        }
    }

    /// Reads the content of a COM_CHANGE_USER command, after its command byte, as the response that it stands for.
    /// `capabilities` and `max_packet_bytes` are the connection's: the command does not repeat them.
    ///
    /// # Errors
    /// `Malformed` when it is cut short.
    pub fn parse_change_user(
        body: &[u8],
        capabilities: CapabilityFlags,
        max_packet_bytes: u32,
    ) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        let user = reader.nul_str("change user name")?.to_vec();
        let auth_bytes = reader.u8("change user authentication data")?;
        let auth_response = Secret::new(reader.bytes(usize::from(auth_bytes), "change user authentication data")?);
        let schema = Some(reader.nul_str("change user schema")?.to_vec()).filter(|name| !name.is_empty());
        // Old clients stop after the schema.
        let collation = if reader.is_empty() { 0 } else { reader.u16("change user collation")? };
        let (plugin, attributes) = read_tail(&mut reader, capabilities)?;
        let of_mariadb = MariaDbCapabilities::empty();
        Ok(Self {
            capabilities,
            of_mariadb,
            max_packet_bytes,
            collation,
            user,
            auth_response,
            schema,
            plugin,
            attributes,
        })
    }

    /// Appends the content of the COM_CHANGE_USER command that stands for this response, without its command byte.
    pub fn encode_change_user(&self, out: &mut Vec<u8>) {
        let auth_response = self.auth_response.expose();
        debug_assert!(auth_response.len() <= 255, "the command has one byte for its length");
        put_nul_str(out, &self.user);
        out.push(auth_response.len() as u8);
        out.extend_from_slice(auth_response);
        put_nul_str(out, self.schema.as_deref().unwrap_or_default());
        out.extend_from_slice(&self.collation.to_le_bytes());
        if self.capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
            put_nul_str(out, self.plugin.as_deref().unwrap_or_default());
        }
        if self.capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) {
            put_attributes(out, &self.attributes);
        }
    }

    /// Appends the request for TLS that goes before this response.
    pub fn encode_tls_request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.capabilities.bits().to_le_bytes());
        out.extend_from_slice(&self.max_packet_bytes.to_le_bytes());
        out.push(self.collation as u8);
        out.extend_from_slice(&[0; FILLER_BYTES]);
        out.extend_from_slice(&self.of_mariadb.bits().to_le_bytes());
    }
}

fn read_auth_response<'a>(reader: &mut Reader<'a>, capabilities: CapabilityFlags) -> Result<&'a [u8], ProtocolError> {
    const PART: &str = "response authentication data";
    if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
        reader.lenenc_str(PART)
    } else if capabilities.contains(CapabilityFlags::CLIENT_SECURE_CONNECTION) {
        let len = reader.u8(PART)?;
        reader.bytes(usize::from(len), PART)
    } else {
        reader.nul_str(PART)
    }
}

/// Reads what both forms of a response end with, as far as the capabilities say that it is there.
fn read_tail(
    reader: &mut Reader<'_>,
    capabilities: CapabilityFlags,
) -> Result<(Option<Vec<u8>>, Attributes), ProtocolError> {
    let plugin = capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH).then(|| read_plugin(reader));
    if !capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) || reader.is_empty() {
        return Ok((plugin, Attributes::new()));
    }
    Ok((plugin, read_attributes(reader.lenenc_str("response attributes")?)))
}

fn read_plugin(reader: &mut Reader<'_>) -> Vec<u8> {
    match reader.nul_str("response plugin") {
        Ok(name) => name.to_vec(),
        Err(_) => reader.rest().to_vec(),
    }
}

/// Reads pairs of names and values, up to the first that cannot be read or that goes over a limit.
fn read_attributes(pairs: &[u8]) -> Attributes {
    let mut reader = Reader::new(pairs);
    let mut attributes = Attributes::new();
    let mut kept_bytes = 0;
    while let (Ok(name), Ok(value)) = (reader.lenenc_str("attribute name"), reader.lenenc_str("attribute value")) {
        kept_bytes += name.len() + value.len();
        if kept_bytes > ATTRIBUTES_BYTES_MAX || attributes.len() == ATTRIBUTES_COUNT_MAX {
            break;
        }
        attributes.push((name.to_vec(), value.to_vec()));
    }
    attributes
}

fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    let mut pairs = Vec::new();
    for (name, value) in attributes {
        put_lenenc_str(&mut pairs, name);
        put_lenenc_str(&mut pairs, value);
    }
    put_lenenc_int(out, pairs.len() as u64);
    out.extend_from_slice(&pairs);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_over_the_limit_are_dropped() {
        let pair = |len: usize| (vec![b'n'; 8], vec![b'v'; len]);
        let mut out = Vec::new();
        put_attributes(&mut out, &vec![pair(100), pair(ATTRIBUTES_BYTES_MAX), pair(1)]);
        let mut reader = Reader::new(&out);
        assert_eq!(read_attributes(reader.lenenc_str("all").unwrap()), [pair(100)]);
    }

    #[test]
    fn empty_attributes_are_bounded_in_number() {
        assert_eq!(read_attributes(&[0; ATTRIBUTES_BYTES_MAX]).len(), ATTRIBUTES_COUNT_MAX);
    }

    #[test]
    fn a_client_before_4_1_is_told_apart() {
        let old = HandshakeResponse::peek_capabilities(b"\x85\x24\x00\x00\x00old\0").unwrap();
        assert!(!old.contains(CapabilityFlags::CLIENT_PROTOCOL_41));
        assert_eq!(HandshakeResponse::peek_capabilities(b"\x85"), None);
        assert_eq!(HandshakeResponse::peek_capabilities(b"\x85\xff\x00"), None);
    }

    #[test]
    fn a_client_without_plugins_may_stop_after_its_answer() {
        let mut payload = (CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_SECURE_CONNECTION)
            .bits()
            .to_le_bytes()
            .to_vec();
        payload.extend_from_slice(b"\0\0\0\x01\x21");
        payload.extend_from_slice(&[0; FILLER_BYTES + 4]);
        payload.extend_from_slice(b"app\0\x02ab");
        let response = HandshakeResponse::parse(&payload).unwrap();
        assert_eq!((response.user.as_slice(), response.auth_response.expose()), (&b"app"[..], &b"ab"[..]));
        assert_eq!((response.schema, response.plugin), (None, None));
    }
}
