//! Packets on the wire: a header of three bytes of length and one sequence id, then the payload.
//!
//! A payload of 16 MiB - 1 or more travels in several frames, the last of which is shorter than that (and may be empty).
//! [`write_packet`] and [`write_with`] make frames, [`PacketReader`] takes them apart again, and [`FrameHeader`] is for
//! relays that look at headers only.

use super::ProtocolError;

/// The longest payload of one frame, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 0xff_ffff;
/// Length of a frame's header, in bytes.
pub const HEADER_BYTES: usize = 4;
/// A reader's buffer above this is given back once its packet has been read, so that an idle connection holds little.
pub const RETAINED_BUFFER_BYTES: usize = 4 * 1024;

/// The header of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of payload that follow.
    pub payload_bytes: usize,
    /// Sequence id.
    pub sequence: u8,
}

impl FrameHeader {
    /// The header at the front of `input`; `None` when fewer than [`HEADER_BYTES`] are there.
    #[must_use]
    pub fn peek(input: &[u8]) -> Option<Self> {
        input.first_chunk().map(|header| Self::decode(*header))
    }

    /// Reads a header.
    #[must_use]
    pub fn decode([a, b, c, sequence]: [u8; HEADER_BYTES]) -> Self {
        Self { payload_bytes: u32::from_le_bytes([a, b, c, 0]) as usize, sequence }
    }

    /// Writes a header. A payload longer than one frame holds is misuse.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        debug_assert!(self.payload_bytes <= MAX_PAYLOAD_BYTES, "one frame holds less than 16 MiB");
        let [a, b, c, _] = (self.payload_bytes as u32).to_le_bytes();
        [a, b, c, self.sequence]
    }

    /// Another frame of the same packet follows this one.
    #[must_use]
    pub const fn continues(self) -> bool {
        self.payload_bytes == MAX_PAYLOAD_BYTES
    }
}

/// Appends `payload` as one packet, in as many frames as it takes. `sequence` is the first frame's id and becomes the next one's.
pub fn write_packet(out: &mut Vec<u8>, sequence: &mut u8, payload: &[u8]) {
    let mut rest = payload;
    loop {
        let (frame, tail) = rest.split_at(rest.len().min(MAX_PAYLOAD_BYTES));
        let header = FrameHeader { payload_bytes: frame.len(), sequence: *sequence };
        *sequence = sequence.wrapping_add(1);
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(frame);
        rest = tail;
        if !header.continues() {
            return;
        }
    }
}

/// Appends the packet whose payload `encode` appends. Saves the copy of [`write_packet`] for all but the largest packets.
pub fn write_with(out: &mut Vec<u8>, sequence: &mut u8, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    encode(out);
    let payload_bytes = out.len() - start - HEADER_BYTES;
    if payload_bytes >= MAX_PAYLOAD_BYTES {
        let payload = out.split_off(start + HEADER_BYTES);
        out.truncate(start);
        return write_packet(out, sequence, &payload);
    }
    let header = FrameHeader { payload_bytes, sequence: *sequence };
    *sequence = sequence.wrapping_add(1);
    out[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
}

/// One whole packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The payload, its frames joined.
    pub payload: &'a [u8],
    /// Sequence id of its last frame; an answer starts with the one after it.
    pub last_sequence: u8,
}

/// Joins frames into packets, from input in arbitrary pieces.
///
/// A packet that lies whole in one piece of input is handed out where it lies; only one that is cut by the end of a piece,
/// or that spans frames, is copied. Memory grows with the bytes that arrive, never with the length a header announces.
#[derive(Debug)]
pub struct PacketReader {
    limit_bytes: usize,
    sequence: u8,
    partial: Partial,
}

/// A packet of which not all bytes have arrived.
#[derive(Debug, Default)]
struct Partial {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    payload: Vec<u8>,
    /// Bytes of the current frame's payload still to come; known once the header is whole.
    missing_bytes: usize,
    /// The current frame is full: another one follows.
    continues: bool,
    /// The payload has been handed out and goes with the next call.
    handed_out: bool,
}

impl PacketReader {
    /// A reader that refuses packets of more than `limit_bytes`, and that expects sequence id 0 first.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, sequence: 0, partial: Partial::default() }
    }

    /// The sequence id that the next frame must carry.
    #[must_use]
    pub const fn expected_sequence(&self) -> u8 {
        self.sequence
    }

    /// Sets the sequence id that the next frame must carry: 0 for a new command, or the one after the last frame sent.
    pub fn expect_sequence(&mut self, sequence: u8) {
        debug_assert!(self.is_between_packets(), "a packet is half read");
        self.sequence = sequence;
    }

    /// Changes the limit for packets that have not begun.
    pub fn set_limit_bytes(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
    }

    /// No byte of an unfinished packet is held.
    #[must_use]
    pub const fn is_between_packets(&self) -> bool {
        self.partial.handed_out || (self.partial.header_bytes == 0 && self.partial.payload.is_empty())
    }

    /// The next whole packet, or `None` when all of `input` has been taken and more is needed.
    /// `input` is moved past what was taken: at most to the end of the packet handed out.
    ///
    /// # Errors
    /// A wrong sequence id, or a packet over the limit, which is refused before any of its excess is stored.
    /// The stream cannot be read any further then.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Packet<'a>>, ProtocolError> {
        self.let_go();
        if self.is_between_packets()
            && let Some(payload) = self.whole(input)?
        {
            return Ok(Some(Packet { payload, last_sequence: self.sequence.wrapping_sub(1) }));
        }
        while !input.is_empty() {
            if self.partial.take_header(input) {
                let header = FrameHeader::decode(self.partial.header);
                self.admit(header, self.partial.payload.len())?;
                self.partial.missing_bytes = header.payload_bytes;
                self.partial.continues = header.continues();
            }
            if self.partial.header_bytes == HEADER_BYTES && self.partial.take_payload(input) {
                self.partial.handed_out = true;
                return Ok(Some(Packet {
                    payload: &self.partial.payload,
                    last_sequence: self.sequence.wrapping_sub(1),
                }));
            }
        }
        Ok(None)
    }

    /// Gives back what the packet handed out last was joined in. The next call of [`Self::next`] does it too, but a peer may
    /// be silent for hours before that.
    pub fn let_go(&mut self) {
        if self.partial.handed_out {
            self.partial.reset();
        }
    }

    /// A packet of one frame that lies whole at the front of `input`.
    fn whole<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, ProtocolError> {
        let Some(header) = FrameHeader::peek(input) else { return Ok(None) };
        let end = HEADER_BYTES + header.payload_bytes;
        if header.continues() || input.len() < end {
            return Ok(None);
        }
        self.admit(header, 0)?;
        let payload = &input[HEADER_BYTES..end];
        *input = &input[end..];
        Ok(Some(payload))
    }

    /// Checks a frame's header before any of its payload is taken.
    fn admit(&mut self, header: FrameHeader, already_bytes: usize) -> Result<(), ProtocolError> {
        if header.sequence != self.sequence {
            return Err(ProtocolError::OutOfOrder { expected: self.sequence, found: header.sequence });
        }
        if already_bytes + header.payload_bytes > self.limit_bytes {
            return Err(ProtocolError::TooLarge { limit_bytes: self.limit_bytes });
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }
}

impl Partial {
    /// Takes header bytes; true when this completed the header.
    fn take_header(&mut self, input: &mut &[u8]) -> bool {
        if self.header_bytes == HEADER_BYTES {
            return false;
        }
        let taken = input.len().min(HEADER_BYTES - self.header_bytes);
        self.header[self.header_bytes..self.header_bytes + taken].copy_from_slice(&input[..taken]);
        self.header_bytes += taken;
        *input = &input[taken..];
        self.header_bytes == HEADER_BYTES
    }

    /// Takes payload bytes; true when this completed the packet.
    fn take_payload(&mut self, input: &mut &[u8]) -> bool {
        let taken = input.len().min(self.missing_bytes);
        self.payload.extend_from_slice(&input[..taken]);
        *input = &input[taken..];
        self.missing_bytes -= taken;
        if self.missing_bytes > 0 {
            return false;
        }
        self.header_bytes = 0;
        !self.continues
    }

    fn reset(&mut self) {
        let mut payload = core::mem::take(&mut self.payload);
        payload.clear();
        payload.shrink_to(RETAINED_BUFFER_BYTES);
        *self = Self { payload, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_BYTES: usize = 1024;

    fn framed(payloads: &[&[u8]]) -> Vec<u8> {
        let (mut out, mut sequence) = (Vec::new(), 0);
        payloads.iter().for_each(|payload| write_packet(&mut out, &mut sequence, payload));
        out
    }

    #[test]
    fn a_whole_packet_is_borrowed_from_the_input() {
        let bytes = framed(&[b"select 1"]);
        let mut reader = PacketReader::new(LIMIT_BYTES);
        let mut input = &bytes[..];
        let packet = reader.next(&mut input).unwrap().unwrap();
        assert_eq!(packet.payload.as_ptr(), bytes[HEADER_BYTES..].as_ptr());
        assert!(input.is_empty());
    }

    #[test]
    fn an_empty_packet_is_a_packet() {
        let bytes = framed(&[b"", b"x"]);
        let mut reader = PacketReader::new(LIMIT_BYTES);
        for byte in &bytes[..3] {
            assert_eq!(reader.next(&mut core::slice::from_ref(byte)), Ok(None));
        }
        let mut input = &bytes[3..];
        assert_eq!(reader.next(&mut input), Ok(Some(Packet { payload: b"", last_sequence: 0 })));
        assert_eq!(reader.next(&mut input), Ok(Some(Packet { payload: b"x", last_sequence: 1 })));
        assert!(reader.is_between_packets());
    }

    #[test]
    fn a_wrong_sequence_id_is_out_of_order() {
        let bytes = framed(&[b"a"]);
        let mut reader = PacketReader::new(LIMIT_BYTES);
        reader.expect_sequence(3);
        let expected = Err(ProtocolError::OutOfOrder { expected: 3, found: 0 });
        assert_eq!(reader.next(&mut &bytes[..]), expected);
    }

    #[test]
    fn an_oversize_packet_is_refused_at_its_header() {
        let header = FrameHeader { payload_bytes: LIMIT_BYTES + 1, sequence: 0 }.encode();
        let mut reader = PacketReader::new(LIMIT_BYTES);
        let refused = Err(ProtocolError::TooLarge { limit_bytes: LIMIT_BYTES });
        assert_eq!(reader.next(&mut &header[..]), refused);
        assert_eq!(reader.partial.payload.capacity(), 0);
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let header = FrameHeader { payload_bytes: MAX_PAYLOAD_BYTES - 1, sequence: 0 }.encode();
        let mut reader = PacketReader::new(1 << 30);
        assert_eq!(reader.next(&mut &header[..]), Ok(None));
        assert_eq!(reader.next(&mut &b"abc"[..]), Ok(None));
        assert!(reader.partial.payload.capacity() < 64);
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let payload = vec![7; 4 * RETAINED_BUFFER_BYTES];
        let bytes = framed(&[&payload, b"x"]);
        let mut reader = PacketReader::new(1 << 20);
        assert_eq!(reader.next(&mut &bytes[..10]), Ok(None));
        let mut input = &bytes[10..];
        assert_eq!(reader.next(&mut input).unwrap().unwrap().payload, payload);
        reader.let_go();
        assert!(reader.partial.payload.capacity() <= RETAINED_BUFFER_BYTES);
        assert_eq!(reader.next(&mut input).unwrap().unwrap().payload, b"x");
    }

    #[test]
    fn write_with_frames_like_write_packet() {
        let (mut out, mut sequence) = (b"before".to_vec(), 255);
        write_with(&mut out, &mut sequence, |out| out.extend_from_slice(b"payload"));
        assert_eq!(out, b"before\x07\x00\x00\xffpayload");
        assert_eq!(sequence, 0);
    }
}
