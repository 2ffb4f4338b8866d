//! Integers and strings as the protocol writes them: a bounds-checked reader, and the writers of length-encoded values.
//!
//! Source: MySQL manual, "Protocol Basics: Basic Data Types".

use super::ProtocolError;

type Result<T> = core::result::Result<T, ProtocolError>;

/// Reads one packet's payload from its front. Every read names what it is for, so that an error tells what was missing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `payload`.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// What is left, without taking it.
    #[must_use]
    pub const fn peek(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// `Malformed(part)` when fewer are left.
    pub fn bytes(&mut self, len: usize, part: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ProtocolError::Malformed(part))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(ProtocolError::Malformed(part))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// `Malformed(part)` at the end of the payload.
    pub fn u8(&mut self, part: &'static str) -> Result<u8> {
        Ok(self.array::<1>(part)?[0])
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// `Malformed(part)` when fewer are left.
    pub fn u16(&mut self, part: &'static str) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array(part)?))
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// `Malformed(part)` when fewer are left.
    pub fn u32(&mut self, part: &'static str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(part)?))
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// `Malformed(part)` when fewer are left.
    pub fn u64(&mut self, part: &'static str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(part)?))
    }

    /// A length-encoded integer. 0xFB (NULL) and 0xFF (an error packet) are not integers.
    ///
    /// # Errors
    /// `Malformed(part)` when it is cut short or none.
    pub fn lenenc_int(&mut self, part: &'static str) -> Result<u64> {
        match self.u8(part)? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => Ok(u64::from(self.u16(part)?)),
            0xfd => self.array::<3>(part).map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
            0xfe => self.u64(part),
            0xfb | 0xff => Err(ProtocolError::Malformed(part)),
        }
    }

    /// A length-encoded string.
    ///
    /// # Errors
    /// `Malformed(part)` when it is longer than what is left.
    pub fn lenenc_str(&mut self, part: &'static str) -> Result<&'a [u8]> {
        let len = usize::try_from(self.lenenc_int(part)?).map_err(|_| ProtocolError::Malformed(part))?;
        self.bytes(len, part)
    }

    /// A length-encoded string, or NULL (0xFB), as rows of a text result set hold them.
    ///
    /// # Errors
    /// `Malformed(part)` when it is longer than what is left.
    pub fn nullable_str(&mut self, part: &'static str) -> Result<Option<&'a [u8]>> {
        if let Some((0xfb, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(None);
        }
        self.lenenc_str(part).map(Some)
    }

    /// A string that a NUL byte ends; the NUL is taken too.
    ///
    /// # Errors
    /// `Malformed(part)` when there is no NUL.
    pub fn nul_str(&mut self, part: &'static str) -> Result<&'a [u8]> {
        let end = memchr::memchr(0, self.rest).ok_or(ProtocolError::Malformed(part))?;
        let taken = self.bytes(end, part)?;
        self.rest = &self.rest[1..];
        Ok(taken)
    }
}

/// Appends a length-encoded integer, in its shortest form.
pub fn put_lenenc_int(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0xfa => out.push(value as u8),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(value as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Appends a length-encoded string.
pub fn put_lenenc_str(out: &mut Vec<u8>, value: &[u8]) {
    put_lenenc_int(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a length-encoded string, or NULL.
pub fn put_nullable_str(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => put_lenenc_str(out, value),
        None => out.push(0xfb),
    }
}

/// Appends a string that a NUL byte ends. A NUL inside would end it early, so what follows one is left out.
pub fn put_nul_str(out: &mut Vec<u8>, value: &[u8]) {
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    out.extend_from_slice(&value[..end]);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_their_shortest_form_and_read_back() {
        for (value, len) in
            [(0, 1), (250, 1), (251, 3), (0xffff, 3), (0x1_0000, 4), (0xff_ffff, 4), (0x100_0000, 9), (u64::MAX, 9)]
        {
            let mut out = Vec::new();
            put_lenenc_int(&mut out, value);
            assert_eq!(out.len(), len, "{value}");
            assert_eq!(Reader::new(&out).lenenc_int("value"), Ok(value));
        }
    }

    #[test]
    fn a_string_longer_than_the_packet_is_malformed() {
        assert_eq!(Reader::new(b"\x05abc").lenenc_str("name"), Err(ProtocolError::Malformed("name")));
        let huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(Reader::new(huge).lenenc_str("name"), Err(ProtocolError::Malformed("name")));
        assert_eq!(Reader::new(b"abc").nul_str("name"), Err(ProtocolError::Malformed("name")));
    }

    #[test]
    fn null_is_a_string_of_its_own_but_no_integer() {
        let mut reader = Reader::new(b"\xfb\x01a");
        assert_eq!(reader.nullable_str("value"), Ok(None));
        assert_eq!(reader.nullable_str("value"), Ok(Some(&b"a"[..])));
        assert_eq!(Reader::new(b"\xfb").lenenc_int("value"), Err(ProtocolError::Malformed("value")));
    }

    #[test]
    fn a_nul_never_gets_into_a_string_that_a_nul_ends() {
        let mut out = Vec::new();
        put_nul_str(&mut out, b"user\0extra");
        assert_eq!(out, b"user\0");
    }
}
