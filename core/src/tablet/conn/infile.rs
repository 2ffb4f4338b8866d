//! The client's packets of a LOAD DATA LOCAL file, on their way to the server.

use crate::mysql::frame::{FrameHeader, HEADER_BYTES};

/// Follows packet headers through a file's bytes, fits their sequence ids and finds the empty packet that ends the file.
#[derive(Debug)]
pub(super) struct FileRelay {
    /// How far the client's sequence ids are ahead of the server's, modulo 256.
    shift: u8,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Payload bytes of the current frame that are still to come.
    left: usize,
    /// The frame before was full, so that an empty one ends its packet and not the file.
    continued: bool,
    done: bool,
    /// The id after that of the last header, as the server counts; `None` before the first.
    next_sequence: Option<u8>,
}

impl FileRelay {
    pub(super) fn new(shift: u8) -> Self {
        Self {
            shift,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            left: 0,
            continued: false,
            done: false,
            next_sequence: None,
        }
    }

    /// The id of what follows the packets that were relayed, as the server counts them.
    pub(super) fn next_sequence(&self) -> Option<u8> {
        self.next_sequence
    }

    /// Takes the file's bytes from the front of `data`.
    pub(super) fn relay(&mut self, data: &mut [u8]) -> usize {
        let mut at = 0;
        while at < data.len() && !self.done {
            if self.left > 0 {
                let taken = self.left.min(data.len() - at);
                self.left -= taken;
                at += taken;
            } else {
                self.header_byte(&mut data[at]);
                at += 1;
            }
        }
        at
    }

    fn header_byte(&mut self, byte: &mut u8) {
        self.header[self.header_bytes] = *byte;
        self.header_bytes += 1;
        if self.header_bytes < HEADER_BYTES {
            return;
        }
        *byte = byte.wrapping_sub(self.shift);
        self.next_sequence = Some(byte.wrapping_add(1));
        self.header_bytes = 0;
        let header = FrameHeader::decode(self.header);
        self.left = header.payload_bytes;
        self.done = header.payload_bytes == 0 && !self.continued;
        self.continued = header.continues();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_ids_are_fitted_wherever_the_bytes_are_cut() {
        let file = b"\x03\x00\x00\x03abc\x01\x00\x00\x04d\x00\x00\x00\x05\x01\x00\x00\x00\x0e";
        let fitted = b"\x03\x00\x00\x02abc\x01\x00\x00\x03d\x00\x00\x00\x04";
        for cut in 0..file.len() {
            let mut relay = FileRelay::new(1);
            let (mut head, mut tail) = (file[..cut].to_vec(), file[cut..].to_vec());
            let taken = relay.relay(&mut head);
            let more = relay.relay(&mut tail);
            assert_eq!([&head[..taken], &tail[..more]].concat(), fitted, "cut at {cut}");
            assert_eq!(relay.next_sequence(), Some(5));
        }
    }

    #[test]
    fn an_empty_frame_after_a_full_one_does_not_end_the_file() {
        let mut relay = FileRelay::new(0);
        let mut full = vec![0; 4 + 0xff_ffff];
        full[..3].copy_from_slice(&[0xff; 3]);
        assert_eq!(relay.relay(&mut full), full.len());
        assert_eq!(relay.relay(&mut b"\x00\x00\x00\x01\x00\x00\x00\x02x".to_vec()), 8);
    }
}
