//! The compressed protocol between a client and its session: the client's bytes before they are inflated, and the session's
//! before they are deflated.

use super::driver::OUTPUT_HIGH_BYTES;
use crate::net::deflate;
use weir_core::mysql::ProtocolError;
use weir_core::mysql::compressed::{Inflater, MAX_PAYLOAD_BYTES};
use weir_core::mysql::frame::{FrameHeader, HEADER_BYTES};

/// Plain text that is made at once, at most, in bytes.
const INFLATED_AT_ONCE_BYTES: usize = 64 * 1024;
/// Longer frames are cut before they are compressed, in bytes. All that fit a compressed packet are held until they are whole.
const WHOLE_FRAME_BYTES_MAX: usize = MAX_PAYLOAD_BYTES;
/// What buffers of an idle session keep, in bytes.
const BUFFER_KEPT_BYTES: usize = 1024;

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Compressed {
    level: u32,
    inflater: Inflater,
    /// Received, and not inflated yet.
    received: Vec<u8>,
    /// For the client, and not deflated yet.
    pub(super) plain: Vec<u8>,
    frames: Frames,
    /// When something was deflated last, the rest of `plain` was no whole frame.
    waits: bool,
}

/// Finds where packets end in what goes to the client.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes of a frame that was cut, which are still to come.
    left: usize,
}

impl Frames {
    /// How many bytes of `plain` are whole frames. When there are none and it is long, all of it goes.
    ///
    /// Some drivers (mysql-connector-python) take a packet for damaged when its header is cut, or when it is in more than two
    /// compressed ones.
    fn whole(&mut self, plain: &[u8]) -> usize {
        let rest_of_cut = self.left.min(plain.len());
        let mut whole = rest_of_cut;
        while let Some(header) = FrameHeader::peek(&plain[whole..]) {
            let end = whole + HEADER_BYTES + header.payload_bytes;
            if end > plain.len() {
                if whole == 0 && plain.len() > WHOLE_FRAME_BYTES_MAX {
                    self.left = end - plain.len();
                    return plain.len();
                }
                break;
            }
            whole = end;
        }
        self.left -= rest_of_cut;
        whole
    }
}

impl Compressed {
    /// `received` came behind the login.
    pub(super) fn new(level: u32, received: Vec<u8>) -> Self {
        Self { level, inflater: Inflater::new(), received, plain: Vec::new(), frames: Frames::default(), waits: false }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Bytes that wait for [`Compressed::inflate`].
    pub(super) fn received_bytes(&self) -> usize {
        self.received.len()
    }

    /// Appends some of what was received to `input`, if it makes any. `begins`: the next byte is a new command's.
    pub(super) fn inflate(&mut self, input: &mut Vec<u8>, begins: bool) -> Result<(), ProtocolError> {
        if begins && self.inflater.is_between_packets() {
            *self.inflater.sequence() = 0;
        }
        let before = input.len();
        let mut rest = &self.received[..];
        let inflated = loop {
            let left = rest.len();
            let inflated = self.inflater.inflate(&mut rest, input, INFLATED_AT_ONCE_BYTES);
            // A packet may be empty, and an end of one may make nothing.
            if inflated.is_err() || input.len() > before || rest.len() == left {
                break inflated;
            }
        };
        let taken = self.received.len() - rest.len();
        self.received.drain(..taken);
        inflated
    }

    /// Appends what waits for the client to `output`, but for the last packet when it is not whole.
    pub(super) fn deflate(&mut self, output: &mut Vec<u8>) {
        let whole = self.frames.whole(&self.plain);
        self.deflate_to(whole, output);
        self.waits = !self.plain.is_empty();
    }

    /// More than this is not to be added to `plain`, in bytes.
    pub(super) fn plain_bytes_max(&self) -> usize {
        if self.waits { WHOLE_FRAME_BYTES_MAX } else { OUTPUT_HIGH_BYTES }
    }

    /// Appends all that waits for the client.
    pub(super) fn deflate_all(&mut self, output: &mut Vec<u8>) {
        self.deflate_to(self.plain.len(), output);
    }

    fn deflate_to(&mut self, end: usize, output: &mut Vec<u8>) {
        deflate(self.level, output, self.inflater.sequence(), &self.plain[..end]);
        self.plain.drain(..end);
    }

    /// An idle connection holds little.
    pub(super) fn let_go(&mut self) {
        self.plain.shrink_to(BUFFER_KEPT_BYTES);
        if self.received.is_empty() {
            self.received.shrink_to(BUFFER_KEPT_BYTES);
            self.inflater.let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload_bytes: usize) -> Vec<u8> {
        let header = FrameHeader { payload_bytes, sequence: 0 };
        [&header.encode()[..], &vec![7; payload_bytes]].concat()
    }

    #[test]
    fn packets_wait_until_they_are_whole() {
        let both = [frame(10), frame(5)].concat();
        for (len, whole) in [(0, 0), (3, 0), (13, 0), (14, 14), (17, 14), (22, 14), (23, 23)] {
            assert_eq!(Frames::default().whole(&both[..len]), whole, "{len}");
        }
    }

    #[test]
    fn a_long_packet_is_cut_and_what_follows_it_is_found() {
        let stream = [frame(MAX_PAYLOAD_BYTES), frame(5)].concat();
        let mut frames = Frames::default();
        let cut = WHOLE_FRAME_BYTES_MAX + 1;
        assert_eq!(frames.whole(&stream[..cut - 1]), 0);
        assert_eq!(frames.whole(&stream[..cut]), cut);
        assert_eq!(frames.whole(&stream[cut..cut + 2]), 2, "it goes on");
        let rest = &stream[cut + 2..];
        assert_eq!(frames.whole(&rest[..rest.len() - 1]), rest.len() - frame(5).len());
        assert_eq!(frames.whole(&frame(5)), 9);
    }
}
