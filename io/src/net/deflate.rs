//! The compressor that all connections of a thread share.

use flate2::{Compress, Compression};
use std::cell::RefCell;
use weir_core::mysql::compressed;

thread_local! {
    /// It takes a third of a megabyte, and nothing of it outlives a packet: one for each thread and level in use.
    static ZLIB: RefCell<Vec<(u32, Compress)>> = const { RefCell::new(Vec::new()) };
}

/// Appends `plain` to `out` as [`compressed::deflate`] does, at a level from 1 to 9.
pub(crate) fn deflate(level: u32, out: &mut Vec<u8>, sequence: &mut u8, plain: &[u8]) {
    ZLIB.with_borrow_mut(|shared| {
        // Two at most: clients' and servers'.
        let at = shared.iter().position(|(of, _)| *of == level).unwrap_or_else(|| {
            shared.push((level, Compress::new(Compression::new(level), true)));
            shared.len() - 1
        });
        compressed::deflate(&mut shared[at].1, out, sequence, plain);
    });
}
