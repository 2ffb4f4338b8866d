//! Walks a server's answer to one command: relays it without decoding it, and reads only the packets that matter.
//!
//! Owns the shapes that answers can have (OK, ERR, result sets and chains of them, definitions of a prepared statement)
//! and the translation between the two ways of marking the ends of columns and rows. Knows nothing of connections, of
//! other commands in flight, or of what the session makes of an OK. Start with [`ReplyWalker::walk`].
//!
//! Sources: MySQL source documentation, "Command Phase" and "Text Resultset"; WL#7766 for CLIENT_DEPRECATE_EOF.
//!
//! **Ends of columns and rows.** Without CLIENT_DEPRECATE_EOF, an EOF packet stands between column definitions and rows,
//! and another after the rows. With it the first is left out and the second is an OK packet with header 0xFE. When the
//! server's side and the client's side disagree, an EOF is put in or taken out, and every later sequence id of the answer
//! moves by one. An EOF is put in lazily, when the first row or the end is seen: the answer of an execute that opened a
//! cursor has columns and a single end mark, which must not be doubled.
//!
//! **Rows that the input cuts** are held back until they are whole, if they are short. So the client has nothing but whole rows most of the
//! time, which [`Reply::Between`](crate::link::Reply::Between) says, and can be told of an error should the rest not come.

mod pieces;
mod walker;

#[cfg(test)]
mod tests;

pub use pieces::Pieces;
pub use walker::{ReplyWalker, Shape};

/// Longest packet that is held to be read as a whole, in bytes. An OK packet carries an info string
/// and a session-state block (a GTID set of a server with a long history runs to some ten kilobytes).
pub const HELD_PACKET_BYTES_MAX: usize = 1 << 20;

/// Longest row that is held back when the input cuts it, in bytes without its header: what a copy of it costs is little beside the input.
pub const HELD_ROW_BYTES_MAX: usize = 16 << 10;

/// Most columns a result set may announce. Servers stop at 4096.
pub const COLUMNS_MAX: u64 = u16::MAX as u64;
