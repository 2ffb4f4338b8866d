//! The compressed protocol: the stream of packets, cut anywhere, in packets of its own.
//!
//! Each has a header of seven bytes: three of length, one sequence id, three of length before compression, which are zero
//! when what follows is not compressed. The ids are counted apart from those of the packets inside: a command starts with 0,
//! and both ends count on from there. [`Inflater`] reads, [`deflate`] writes; both know bytes only, no packets.
//! Source: MySQL source documentation, "Compressed Packet".
//!
//! **Bombs.** What is announced is never allocated: an inflater hands out what it has in pieces of the caller's choice, and
//! refuses a packet that holds another number of bytes than its header says.

use super::ProtocolError;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

/// Length of a header, in bytes.
pub const HEADER_BYTES: usize = 7;
/// The most that one packet holds, in bytes, compressed or not.
pub const MAX_PAYLOAD_BYTES: usize = 0xff_ffff;
/// Less than this is not worth compressing, in bytes; servers have the same limit.
pub const COMPRESSED_BYTES_MIN: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// Bytes that follow.
    payload_bytes: usize,
    sequence: u8,
    /// Bytes before compression; 0 when they are not compressed.
    plain_bytes: usize,
}

impl Header {
    fn decode([a, b, c, sequence, x, y, z]: [u8; HEADER_BYTES]) -> Self {
        let length = |a, b, c| u32::from_le_bytes([a, b, c, 0]) as usize;
        Self { payload_bytes: length(a, b, c), sequence, plain_bytes: length(x, y, z) }
    }

    fn encode(self) -> [u8; HEADER_BYTES] {
        debug_assert!(self.payload_bytes.max(self.plain_bytes) <= MAX_PAYLOAD_BYTES, "three bytes of length");
        let [a, b, c, _] = (self.payload_bytes as u32).to_le_bytes();
        let [x, y, z, _] = (self.plain_bytes as u32).to_le_bytes();
        [a, b, c, self.sequence, x, y, z]
    }
}

/// Takes packets apart, from input in arbitrary pieces.
#[derive(Debug)]
pub struct Inflater {
    sequence: u8,
    /// Ids are taken as they come.
    lenient: bool,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes of the packet that are still to come, and of its plain text that are still to be handed out.
    payload_left: usize,
    plain_left: usize,
    zlib: Option<Box<Decompress>>,
    compressed: bool,
    /// The zlib stream goes on, as far as is known.
    streams: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// Expects a packet with id 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sequence: 0,
            lenient: false,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            payload_left: 0,
            plain_left: 0,
            zlib: None,
            compressed: false,
            streams: false,
        }
    }

    /// Takes ids as they come: of several commands that are sent at once, each has its answer counted from 1.
    #[must_use]
    pub fn of_any_sequence() -> Self {
        Self { lenient: true, ..Self::new() }
    }

    /// No packet is half read.
    #[must_use]
    pub fn is_between_packets(&self) -> bool {
        self.header_bytes == 0
    }

    /// The id of the next packet, whichever end it comes from: [`deflate`] counts it on, and a new command starts with 0.
    pub fn sequence(&mut self) -> &mut u8 {
        &mut self.sequence
    }

    /// Gives back what it takes to inflate. An idle connection holds none of it.
    pub fn let_go(&mut self) {
        if self.is_between_packets() {
            self.zlib = None;
        }
    }

    /// Appends no more than `room` bytes of plain text to `plain`, none of them beyond the end of one packet, and moves `input` past
    /// what was taken. It has taken all that there is when `input` is empty and less than `room` was appended.
    ///
    /// # Errors
    /// A wrong sequence id, or a packet whose content is no zlib stream of the length announced. The stream cannot be read any
    /// further then.
    pub fn inflate(&mut self, input: &mut &[u8], plain: &mut Vec<u8>, room: usize) -> Result<(), ProtocolError> {
        if !self.take_header(input)? {
            return Ok(());
        }
        if self.compressed {
            self.unpack(input, plain, room)?
        } else {
            self.copy(input, plain, room)
        }
        if self.payload_left == 0 && self.plain_left == 0 && !self.streams {
            self.header_bytes = 0;
        }
        Ok(())
    }

    /// True once the header is whole.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<bool, ProtocolError> {
        if self.header_bytes == HEADER_BYTES {
            return Ok(true);
        }
        let (taken, rest) = input.split_at(input.len().min(HEADER_BYTES - self.header_bytes));
        self.header[self.header_bytes..][..taken.len()].copy_from_slice(taken);
        self.header_bytes += taken.len();
        *input = rest;
        if self.header_bytes < HEADER_BYTES {
            return Ok(false);
        }
        let header = Header::decode(self.header);
        if header.sequence != self.sequence && !self.lenient {
            return Err(ProtocolError::OutOfOrder { expected: self.sequence, found: header.sequence });
        }
        self.sequence = header.sequence.wrapping_add(1);
        self.compressed = header.plain_bytes > 0;
        self.streams = self.compressed;
        self.payload_left = header.payload_bytes;
        self.plain_left = if self.compressed { header.plain_bytes } else { header.payload_bytes };
        if self.compressed {
            self.zlib.get_or_insert_with(|| Box::new(Decompress::new(true))).reset(true);
        }
        Ok(true)
    }

    fn copy(&mut self, input: &mut &[u8], plain: &mut Vec<u8>, room: usize) {
        let (taken, rest) = input.split_at(input.len().min(self.payload_left).min(room));
        plain.extend_from_slice(taken);
        *input = rest;
        self.payload_left -= taken.len();
        self.plain_left -= taken.len();
    }

    fn unpack(&mut self, input: &mut &[u8], plain: &mut Vec<u8>, room: usize) -> Result<(), ProtocolError> {
        const WRONG: ProtocolError = ProtocolError::Malformed("compressed packet");
        let Some(zlib) = &mut self.zlib else { return Err(WRONG) };
        let piece = &input[..input.len().min(self.payload_left)];
        let start = plain.len();
        // One byte more than announced, so that more is noticed.
        plain.resize(start + room.min(self.plain_left + 1), 0);
        let before = (zlib.total_in(), zlib.total_out());
        let status = zlib.decompress(piece, &mut plain[start..], FlushDecompress::None);
        let taken = (zlib.total_in() - before.0) as usize;
        let made = (zlib.total_out() - before.1) as usize;
        plain.truncate(start + made);
        *input = &input[taken..];
        self.payload_left -= taken;
        self.plain_left = self.plain_left.checked_sub(made).ok_or(WRONG)?;
        match status.map_err(|_| WRONG)? {
            // All of the packet is the stream, and all of the stream was announced.
            Status::StreamEnd if self.payload_left == 0 && self.plain_left == 0 => {
                self.streams = false;
                Ok(())
            }
            Status::StreamEnd => Err(WRONG),
            // It goes on, and there is nothing for it to go on with.
            Status::Ok | Status::BufError if self.payload_left == 0 && made < room => Err(WRONG),
            Status::Ok | Status::BufError => Ok(()),
        }
    }
}

/// Appends `plain` in as many packets as it takes. `sequence` is the first one's id and becomes the next one's.
///
/// `zlib` is reset: it may be shared by all connections.
pub fn deflate(zlib: &mut Compress, out: &mut Vec<u8>, sequence: &mut u8, plain: &[u8]) {
    for piece in plain.chunks(MAX_PAYLOAD_BYTES) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let mut plain_bytes = piece.len();
        if piece.len() < COMPRESSED_BYTES_MIN || !pack(zlib, out, piece) {
            out.extend_from_slice(piece);
            plain_bytes = 0;
        }
        let header = Header { payload_bytes: out.len() - start - HEADER_BYTES, sequence: *sequence, plain_bytes };
        out[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
        *sequence = sequence.wrapping_add(1);
    }
}

/// Appends `piece` compressed; false, and appends nothing, when that is not shorter.
fn pack(zlib: &mut Compress, out: &mut Vec<u8>, piece: &[u8]) -> bool {
    let start = out.len();
    out.resize(start + piece.len(), 0);
    zlib.reset();
    let status = zlib.compress(piece, &mut out[start..], FlushCompress::Finish);
    let packed = matches!(status, Ok(Status::StreamEnd));
    let made = if packed { zlib.total_out() as usize } else { 0 };
    out.truncate(start + made);
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ROOM: usize = 1 << 16;

    fn deflated(sequence: u8, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        deflate(&mut Compress::new(Compression::fast(), true), &mut out, &mut { sequence }, plain);
        out
    }

    fn packet(payload: &[u8], sequence: u8, plain_bytes: usize) -> Vec<u8> {
        let header = Header { payload_bytes: payload.len(), sequence, plain_bytes };
        [&header.encode()[..], payload].concat()
    }

    /// Inflates pieces that end at `cuts`, `room` bytes at a time.
    fn inflated(bytes: &[u8], cuts: &[usize], room: usize) -> Result<(Inflater, Vec<u8>), ProtocolError> {
        let (mut inflater, mut plain) = (Inflater::new(), Vec::new());
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
        ends.sort_unstable();
        let mut start = 0;
        for end in ends {
            let mut piece = &bytes[start..end];
            loop {
                let before = (piece.len(), plain.len());
                inflater.inflate(&mut piece, &mut plain, room)?;
                assert!(plain.len() <= before.1 + room, "no more than there is room for");
                if piece.is_empty() && plain.len() < before.1 + room {
                    break;
                }
                assert_ne!((piece.len(), plain.len()), before, "it goes on");
            }
            start = end;
        }
        Ok((inflater, plain))
    }

    /// What compresses, and what does not.
    fn plain() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![vec(any::<u8>(), 0..300), (any::<u8>(), 0..5000usize).prop_map(|(byte, len)| vec![byte; len])]
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_the_bytes_come_back(
            plains in vec(plain(), 0..6), cuts in vec(any::<usize>(), 0..8), room in 1..3000usize,
        ) {
            let mut sent = Vec::new();
            let (mut zlib, mut sequence) = (Compress::new(Compression::fast(), true), 0);
            plains.iter().for_each(|plain| deflate(&mut zlib, &mut sent, &mut sequence, plain));
            let (mut inflater, plain) = inflated(&sent, &cuts, room).unwrap();
            prop_assert_eq!(plain, plains.concat());
            prop_assert!(inflater.is_between_packets());
            prop_assert_eq!(*inflater.sequence(), sequence);
        }

        #[test]
        fn a_stream_that_is_cut_short_ends_within_a_packet(plain in vec(any::<u8>(), 1..300), cut in any::<usize>()) {
            let sent = deflated(0, &plain);
            let cut = 1 + cut % (sent.len() - 1);
            let (inflater, read) = inflated(&sent[..cut], &[], ROOM).unwrap();
            prop_assert!(!inflater.is_between_packets());
            prop_assert!(plain.starts_with(&read));
        }

        #[test]
        fn another_length_than_announced_is_refused(len in 60..5000usize, announced in 1..5000usize, room in 1..3000usize) {
            prop_assume!(len != announced);
            let mut sent = deflated(0, &vec![7; len]);
            sent[4..6].copy_from_slice(&(announced as u16).to_le_bytes());
            let refused = Err(ProtocolError::Malformed("compressed packet"));
            prop_assert_eq!(inflated(&sent, &[], room).map(|(_, plain)| plain.len()), refused);
        }

        #[test]
        fn garbage_never_makes_more_than_it_announces(payload in vec(any::<u8>(), 0..100), announced in 0..1000usize) {
            if let Ok((_, plain)) = inflated(&packet(&payload, 0, announced), &[], ROOM) {
                prop_assert!(plain.len() <= announced.max(payload.len()));
            }
        }

        #[test]
        fn a_sound_packet_with_one_byte_changed_never_panics(at in any::<usize>(), byte in any::<u8>(), room in 1..3000usize) {
            let mut sent = deflated(0, &[7; 2000]);
            let at = at % sent.len();
            sent[at] = byte;
            let _ = inflated(&sent, &[], room);
        }
    }

    #[test]
    fn ids_are_counted_and_wrap() {
        let sent = [packet(b"a", 255, 0), packet(b"b", 0, 0)].concat();
        let mut inflater = Inflater::new();
        *inflater.sequence() = 255;
        let (mut input, mut plain) = (&sent[..], Vec::new());
        while !input.is_empty() {
            inflater.inflate(&mut input, &mut plain, ROOM).unwrap();
        }
        assert_eq!((plain.as_slice(), *inflater.sequence()), (&b"ab"[..], 1));
        let wrong = inflated(&packet(b"a", 3, 0), &[], ROOM).unwrap_err();
        assert_eq!(wrong, ProtocolError::OutOfOrder { expected: 0, found: 3 });
        let mut lenient = Inflater::of_any_sequence();
        lenient.inflate(&mut &packet(b"a", 3, 0)[..], &mut plain, ROOM).unwrap();
        assert_eq!((plain.as_slice(), *lenient.sequence()), (&b"aba"[..], 4));
    }

    #[test]
    fn little_and_what_does_not_shrink_goes_as_it_is() {
        assert_eq!(deflated(4, b"short"), packet(b"short", 4, 0));
        let noise: Vec<u8> = (0..200u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(deflated(4, &noise), packet(&noise, 4, 0));
        assert!(deflated(4, &[7; 1000]).len() < 100);
    }

    #[test]
    fn more_than_a_packet_holds_takes_several() {
        let plain = vec![7; MAX_PAYLOAD_BYTES + 1];
        let sent = deflated(0, &plain);
        let (mut inflater, read) = inflated(&sent, &[], ROOM).unwrap();
        assert!(read == plain && *inflater.sequence() == 2);
    }

    #[test]
    fn a_bomb_is_handed_out_in_pieces() {
        let sent = deflated(0, &vec![0; MAX_PAYLOAD_BYTES]);
        assert!(sent.len() < 100_000);
        let (mut inflater, mut input, mut plain) = (Inflater::new(), &sent[..], Vec::new());
        inflater.inflate(&mut input, &mut plain, 100).unwrap();
        assert_eq!(plain.len(), 100);
        assert!(plain.capacity() < 1000);
    }
}
