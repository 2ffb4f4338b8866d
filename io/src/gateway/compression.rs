//! The compressed protocol between a client and its session: the client's bytes before they are inflated, and the session's
//! before they are deflated.

use flate2::{Compress, Compression};
use std::cell::RefCell;
use weir_core::mysql::ProtocolError;
use weir_core::mysql::compressed::{Inflater, deflate};

/// Plain text that is made at once, at most, in bytes.
const INFLATED_AT_ONCE_BYTES: usize = 64 * 1024;
/// What buffers of an idle session keep, in bytes.
const BUFFER_KEPT_BYTES: usize = 1024;

thread_local! {
    /// It takes a third of a megabyte, and nothing of it outlives a packet: one for all sessions of a thread, with its level.
    static ZLIB: RefCell<Option<(u32, Compress)>> = const { RefCell::new(None) };
}

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Compressed {
    level: u32,
    inflater: Inflater,
    /// Received, and not inflated yet.
    received: Vec<u8>,
    /// For the client, and not deflated yet.
    pub(super) plain: Vec<u8>,
}

impl Compressed {
    /// `received` came behind the login.
    pub(super) fn new(level: u32, received: Vec<u8>) -> Self {
        Self { level, inflater: Inflater::new(), received, plain: Vec::new() }
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

    /// Appends what waits for the client to `output`.
    pub(super) fn deflate(&mut self, output: &mut Vec<u8>) {
        ZLIB.with_borrow_mut(|shared| {
            if shared.as_ref().is_none_or(|(level, _)| *level != self.level) {
                *shared = Some((self.level, Compress::new(Compression::new(self.level), true)));
            }
            if let Some((_, zlib)) = shared {
                deflate(zlib, output, self.inflater.sequence(), &self.plain);
            }
        });
        self.plain.clear();
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
