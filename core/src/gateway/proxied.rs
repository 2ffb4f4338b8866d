//! The PROXY protocol: a load balancer in front says whom it speaks for.
//!
//! Owns the two forms of its header and the networks that may send one. Who comes from such a network must begin with a header;
//! nobody else may. It names a client for error messages and lists, and decides nothing before the client has proved who it is.
//! Start with [`Header::read`]. Source: "The PROXY protocol, versions 1 & 2", HAProxy.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// What every header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2, in bytes.
const FIXED_BYTES: usize = 16;
/// The longest header of version 1, in bytes, with its end.
const LINE_BYTES_MAX: usize = 107;
/// The longest header taken, in bytes: addresses, and what a balancer adds to them.
pub const HEADER_BYTES_MAX: usize = FIXED_BYTES + 2048;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it took.
    pub bytes: usize,
    /// Whom the balancer speaks for; `None` when that is the balancer itself (a health check) or not on an IP network.
    pub client: Option<IpAddr>,
}

/// The bytes are no header, or one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeader;

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no PROXY header")
    }
}

impl Header {
    /// Reads the header at the beginning of `input`; `None` when more is needed.
    ///
    /// # Errors
    /// As soon as the bytes cannot become a header any more.
    pub fn read(input: &[u8]) -> Result<Option<Self>, NoHeader> {
        let begins = |with: &[u8]| input.iter().zip(with).all(|(byte, wanted)| byte == wanted);
        if begins(SIGNATURE) {
            if input.len() < FIXED_BYTES { Ok(None) } else { Self::read_binary(input) }
        } else if begins(b"PROXY ") {
            Self::read_line(input)
        } else {
            Err(NoHeader)
        }
    }

    fn read_binary(input: &[u8]) -> Result<Option<Self>, NoHeader> {
        let (version, family) = (input[12], input[13]);
        let bytes = FIXED_BYTES + usize::from(u16::from_be_bytes([input[14], input[15]]));
        if bytes > HEADER_BYTES_MAX || !matches!(version, 0x20 | 0x21) {
            return Err(NoHeader);
        }
        let Some(addresses) = input.get(FIXED_BYTES..bytes) else { return Ok(None) };
        let client = match (version, family) {
            (0x21, 0x11) => Some(IpAddr::V4(Ipv4Addr::from(first::<4, 12>(addresses)?))),
            (0x21, 0x21) => Some(IpAddr::V6(Ipv6Addr::from(first::<16, 36>(addresses)?))),
            _ => None,
        };
        Ok(Some(Self { bytes, client }))
    }

    fn read_line(input: &[u8]) -> Result<Option<Self>, NoHeader> {
        let within = &input[..input.len().min(LINE_BYTES_MAX)];
        let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
            return if input.len() < LINE_BYTES_MAX { Ok(None) } else { Err(NoHeader) };
        };
        let line = core::str::from_utf8(&input[..end]).map_err(|_| NoHeader)?;
        let words: Vec<&str> = line.split(' ').collect();
        let client = match words[1..] {
            ["UNKNOWN", ..] => None,
            ["TCP4", client, to, from_port, to_port] => Some(IpAddr::V4(ends(client, to, from_port, to_port)?)),
            ["TCP6", client, to, from_port, to_port] => Some(IpAddr::V6(ends(client, to, from_port, to_port)?)),
            _ => return Err(NoHeader),
        };
        Ok(Some(Self { bytes: end + 2, client }))
    }
}

/// The first bytes of a block that has at least so many.
fn first<const TAKEN: usize, const NEEDED: usize>(block: &[u8]) -> Result<[u8; TAKEN], NoHeader> {
    block.get(..NEEDED).and_then(|block| block.first_chunk()).copied().ok_or(NoHeader)
}

/// The client's address, when all four parts are what they must be.
fn ends<A: FromStr>(client: &str, to: &str, from_port: &str, to_port: &str) -> Result<A, NoHeader> {
    let address = |text: &str| text.parse::<A>().map_err(|_| NoHeader);
    let port = |text: &str| text.parse::<u16>().map_err(|_| NoHeader);
    address(to)?;
    port(from_port)?;
    port(to_port)?;
    address(client)
}

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Whether an address belongs to it. An IPv4 address written as IPv6 is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => u128::from(own.to_bits() ^ other.to_bits()) << 96,
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differing.leading_zeros() >= self.prefix_bits
    }
}

impl FromStr for Network {
    type Err = String;

    /// `address` or `address/bits`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is not a network: expected an address, or address/bits");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Ok(bits_max), |bits| bits.parse().map_err(|_| wrong()))?;
        if prefix_bits > bits_max { Err(wrong()) } else { Ok(Self { address, prefix_bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(version: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let len = (addresses.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[version, family], &len, addresses].concat()
    }

    fn read(input: &[u8]) -> Result<Option<Header>, NoHeader> {
        // Whatever is cut off, the beginning of a header is never taken for something else.
        if let Ok(Some(header)) = Header::read(input) {
            assert!((0..header.bytes).all(|len| Header::read(&input[..len]) == Ok(None)));
        }
        Header::read(input)
    }

    fn client(input: &[u8]) -> Option<String> {
        let header = read(input).unwrap().unwrap();
        header.client.map(|client| client.to_string())
    }

    #[test]
    fn a_line_names_the_client() {
        assert_eq!(client(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 3306\r\n").as_deref(), Some("192.0.2.7"));
        assert_eq!(client(b"PROXY TCP6 2001:db8::7 ::1 5000 3306\r\nmore").as_deref(), Some("2001:db8::7"));
        assert_eq!(client(b"PROXY UNKNOWN whatever\r\n"), None);
        assert_eq!(read(b"PROXY UNKNOWN\r\nX").unwrap().unwrap().bytes, 15);
    }

    #[test]
    fn a_block_names_the_client() {
        let v4 = [192, 0, 2, 7, 192, 0, 2, 1, 19, 136, 12, 234];
        assert_eq!(client(&binary(0x21, 0x11, &v4)).as_deref(), Some("192.0.2.7"));
        let with_more = [&v4[..], b"\x01\0\x02h2"].concat();
        assert_eq!(client(&binary(0x21, 0x11, &with_more)).as_deref(), Some("192.0.2.7"));
        let mut v6 = [0; 36];
        v6[15] = 7;
        assert_eq!(client(&binary(0x21, 0x21, &v6)).as_deref(), Some("::7"));
        assert_eq!(client(&binary(0x20, 0x00, b"")), None, "the balancer asks for itself");
        assert_eq!(client(&binary(0x21, 0x31, &[0; 216])), None, "a unix socket");
    }

    #[test]
    fn what_is_no_header_is_refused_at_once() {
        let long_line = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
        for input in [
            &b"\x01\0\0\x01\x01"[..],
            b"PROXZ",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 5000\r\n",
            b"PROXY TCP4 ::1 ::1 5000 3306\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 99999\r\n",
            b"PROXY \xff\r\n",
            &long_line,
            &binary(0x31, 0x11, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x11, &[0; HEADER_BYTES_MAX]),
        ] {
            assert_eq!(read(input), Err(NoHeader), "{input:?}");
        }
        assert_eq!(read(b""), Ok(None));
    }

    #[test]
    fn networks_are_read_as_people_write_them() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(network("10.0.0.0/8").contains(address("10.1.2.3")));
        assert!(network("10.0.0.0/8").contains(address("::ffff:10.1.2.3")));
        assert!(!network("10.0.0.0/8").contains(address("11.1.2.3")));
        assert!(
            network("192.0.2.7").contains(address("192.0.2.7")) && !network("192.0.2.7").contains(address("192.0.2.6"))
        );
        assert!(network("0.0.0.0/0").contains(address("1.2.3.4")) && !network("0.0.0.0/0").contains(address("::1")));
        assert!(network("2001:db8::/32").contains(address("2001:db8::1")));
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/x", "::1/129", "host"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
