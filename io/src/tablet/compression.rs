//! The compressed protocol towards a server: the connection's bytes before they are deflated, and the server's before they are
//! inflated.
//!
//! A server numbers the compressed packets of a command and its answer from 0, so that each of several commands that go out
//! together begins with packets of its own.

use crate::net::deflate;
use weir_core::mysql::ProtocolError;
use weir_core::mysql::compressed::Inflater;
use weir_core::mysql::frame::{FrameHeader, HEADER_BYTES};

/// Plain text that is made at once, at most, in bytes.
const INFLATED_AT_ONCE_BYTES: usize = 64 * 1024;
/// What buffers of an idle connection keep, in bytes.
const BUFFER_KEPT_BYTES: usize = 4096;

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Compressed {
    level: u32,
    inflater: Inflater,
    /// Received, and not inflated yet.
    received: Vec<u8>,
    /// For the server: the beginning of a frame's header, the rest of which is still to come.
    cut: Vec<u8>,
    commands: Commands,
}

/// Finds where commands begin in what goes to the server.
#[derive(Debug, Default)]
struct Commands {
    /// Bytes of the frame under way that are still to come.
    left: usize,
    /// The last frame's sequence id, unless the server has answered since.
    last: Option<u8>,
}

impl Commands {
    /// How many bytes of `plain` belong to the command under way, and whether `plain` begins another one.
    fn next(&mut self, plain: &[u8]) -> (bool, usize) {
        let mut begins = false;
        let mut end = self.left.min(plain.len());
        self.left -= end;
        while let Some(header) = FrameHeader::peek(&plain[end..]) {
            // A file may have so many frames that their ids start over.
            let is_first = header.sequence == 0 && self.last != Some(u8::MAX);
            if is_first && end > 0 {
                break;
            }
            begins |= is_first;
            self.last = Some(header.sequence);
            let frame_end = end + HEADER_BYTES + header.payload_bytes;
            self.left = frame_end.saturating_sub(plain.len());
            end = frame_end.min(plain.len());
        }
        (begins, end)
    }
}

impl Compressed {
    pub(super) fn new(level: u32) -> Self {
        let inflater = Inflater::of_any_sequence();
        Self { level, inflater, received: Vec::new(), cut: Vec::new(), commands: Commands::default() }
    }

    /// Appends `plain` to `output`, but for a header that is cut: that goes with its rest.
    pub(super) fn deflate(&mut self, plain: &[u8], output: &mut Vec<u8>) {
        let joined = (!self.cut.is_empty()).then(|| [&core::mem::take(&mut self.cut)[..], plain].concat());
        let mut rest = joined.as_deref().unwrap_or(plain);
        loop {
            let (begins, end) = self.commands.next(rest);
            if end == 0 {
                self.cut = rest.to_vec();
                return;
            }
            if begins {
                *self.inflater.sequence() = 0;
            }
            deflate(self.level, output, self.inflater.sequence(), &rest[..end]);
            rest = &rest[end..];
        }
    }

    /// Takes what the server sent.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        self.commands.last = None;
    }

    /// Appends some of what was received to `plain`; nothing when the rest makes none yet.
    pub(super) fn inflate(&mut self, plain: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let mut rest = &self.received[..];
        loop {
            let left = rest.len();
            self.inflater.inflate(&mut rest, plain, INFLATED_AT_ONCE_BYTES)?;
            // A packet may be empty, and an end of one may make nothing.
            if !plain.is_empty() || rest.len() == left {
                break;
            }
        }
        let taken = self.received.len() - rest.len();
        self.received.drain(..taken);
        if self.received.is_empty() {
            self.received.shrink_to(BUFFER_KEPT_BYTES);
            self.inflater.let_go();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u8, payload_bytes: usize) -> Vec<u8> {
        let header = FrameHeader { payload_bytes, sequence };
        [&header.encode()[..], &vec![7; payload_bytes]].concat()
    }

    /// The ids of the compressed packets that `plain` becomes.
    fn ids(compressed: &mut Compressed, plain: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        compressed.deflate(plain, &mut output);
        let (mut rest, mut ids) = (&output[..], Vec::new());
        while let [a, b, c, id, _, _, _, after @ ..] = rest {
            ids.push(*id);
            rest = &after[u32::from_le_bytes([*a, *b, *c, 0]) as usize..];
        }
        ids
    }

    #[test]
    fn each_command_begins_with_a_packet_of_its_own() {
        let mut compressed = Compressed::new(1);
        assert_eq!(ids(&mut compressed, &[frame(0, 10), frame(0, 5), frame(1, 5)].concat()), [0, 0]);
        assert_eq!(ids(&mut compressed, &frame(0, 5)), [0]);
    }

    #[test]
    fn a_command_that_comes_in_pieces_goes_on_counting() {
        let mut compressed = Compressed::new(1);
        let long = frame(0, 1000);
        assert_eq!(ids(&mut compressed, &long[..100]), [0]);
        assert_eq!(ids(&mut compressed, &[&long[100..], &frame(0, 3)[..]].concat()), [1, 0]);
        let next = frame(0, 9);
        assert!(ids(&mut compressed, &next[..3]).is_empty(), "not even its header");
        assert_eq!(ids(&mut compressed, &next[3..]), [0]);
    }

    #[test]
    fn a_file_goes_on_where_the_server_asked_for_it() {
        let mut compressed = Compressed::new(1);
        assert_eq!(ids(&mut compressed, &frame(0, 5)), [0]);
        let mut asked = Vec::new();
        deflate(1, &mut asked, &mut 1, b"the name of a file");
        compressed.receive(&asked);
        let mut plain = Vec::new();
        compressed.inflate(&mut plain).expect("a packet");
        assert!(plain == b"the name of a file" && compressed.received.is_empty());
        for id in 2..=u8::MAX {
            assert_eq!(ids(&mut compressed, &frame(id, 1)), [id]);
        }
        assert_eq!(ids(&mut compressed, &frame(0, 1)), [0], "they have started over");
        assert_eq!(ids(&mut compressed, &frame(1, 0)), [1]);
    }
}
