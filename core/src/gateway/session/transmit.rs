//! What goes to the client, in order: bytes of the session's own, and bytes relayed from the server.

use std::collections::VecDeque;

/// One piece of output to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Bytes that were appended to the caller's buffer.
    Own {
        /// Bytes.
        len: usize,
    },
    /// The next `len` bytes of the server's input, untouched.
    Forward {
        /// Bytes.
        len: usize,
    },
    /// The next `len` bytes of the server's input are not for the client.
    Skip {
        /// Bytes.
        len: usize,
    },
}

/// The queue behind `poll_transmit`.
///
/// Bounded by what one call of the session can produce: the driver drains it after every call.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    own: Vec<u8>,
    taken: usize,
    pieces: VecDeque<Transmit>,
}

impl Outbox {
    /// Lets `write` append bytes of the session's own.
    pub(super) fn write<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.own.len();
        let result = write(&mut self.own);
        let added = self.own.len() - before;
        if added > 0 {
            match self.pieces.back_mut() {
                Some(Transmit::Own { len }) => *len += added,
                _ => self.pieces.push_back(Transmit::Own { len: added }),
            }
        }
        result
    }

    pub(super) fn forward(&mut self, added: usize) {
        match self.pieces.back_mut() {
            Some(Transmit::Forward { len }) => *len += added,
            _ => self.pieces.push_back(Transmit::Forward { len: added }),
        }
    }

    pub(super) fn skip(&mut self, added: usize) {
        match self.pieces.back_mut() {
            Some(Transmit::Skip { len }) => *len += added,
            _ => self.pieces.push_back(Transmit::Skip { len: added }),
        }
    }

    /// The next piece; own bytes are appended to `buf`.
    pub(super) fn poll(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let piece = self.pieces.pop_front()?;
        if let Transmit::Own { len } = piece {
            buf.extend_from_slice(&self.own[self.taken..self.taken + len]);
            self.taken += len;
        }
        if self.pieces.is_empty() {
            debug_assert_eq!(self.taken, self.own.len());
            self.own.clear();
            self.taken = 0;
            self.own.shrink_to(OWN_BUFFER_KEPT_BYTES);
        }
        Some(piece)
    }
}

/// What an idle session keeps of its output buffer, in bytes.
const OWN_BUFFER_KEPT_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_their_order_and_neighbours_join() {
        let mut out = Outbox::default();
        out.write(|b| b.extend_from_slice(b"ab"));
        out.write(|b| b.extend_from_slice(b"c"));
        out.forward(5);
        out.forward(2);
        out.skip(1);
        out.write(|b| b.push(b'd'));
        let mut buf = Vec::new();
        let pieces: Vec<_> = core::iter::from_fn(|| out.poll(&mut buf)).collect();
        assert_eq!(
            pieces,
            [
                Transmit::Own { len: 3 },
                Transmit::Forward { len: 7 },
                Transmit::Skip { len: 1 },
                Transmit::Own { len: 1 }
            ]
        );
        assert_eq!(buf, b"abcd");
        assert!(out.pieces.is_empty() && out.own.is_empty());
    }
}
