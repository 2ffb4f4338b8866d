//! A server's answer on its way to the client, as an ordered stream of pieces.

use super::{Digest, Left};
use crate::error::Error;
use crate::mysql::packet::{OkPacket, PrepareOk};

/// One piece of an answer. Pieces come in the order in which the client must read them; [`Reply::End`] is last.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The next `len` bytes of the server's input are for the client as they stand (sequence ids already fitted).
    Forward {
        /// Bytes.
        len: usize,
    },
    /// The next `len` bytes of the server's input are not for the client.
    Skip {
        /// Bytes.
        len: usize,
    },
    /// Framed bytes that the connection made itself (a packet rewritten for this client).
    Own(Vec<u8>),
    /// Nothing for the client. What came before ends between two rows: were the rest not to come, an error could take its place.
    Between {
        /// Sequence id that the client expects next.
        seq: u8,
    },
    /// An OK packet, or the EOF/OK that ends a result set; the session encodes it for its client.
    Ok {
        /// Sequence id the client expects.
        seq: u8,
        /// It ends a result set (header 0xFE for clients with DEPRECATE_EOF, a plain EOF for the others).
        ends_rows: bool,
        /// Rows of the result set that it ends (what `FOUND_ROWS()` returns after it); 0 when it ends none.
        rows: u64,
        /// The packet.
        ok: OkPacket,
    },
    /// An ERR packet.
    Err {
        /// Sequence id the client expects.
        seq: u8,
        /// Byte for byte what the server said.
        error: Error,
    },
    /// The first packet of a COM_STMT_PREPARE answer; parameter and column definitions follow as forwards.
    PrepareOk {
        /// Sequence id the client expects.
        seq: u8,
        /// The packet; the session puts its own statement id in.
        ok: PrepareOk,
    },
    /// The server asks the client for a file (LOAD DATA LOCAL): the session relays the client's packets.
    LocalInfile {
        /// Sequence id the client expects.
        seq: u8,
        /// The file's name as the client wrote it.
        filename: Vec<u8>,
    },
    /// Nothing for the client: status and session state that the connection asked for because the answer could not carry
    /// them, or carried what did not last. Comes after the answer and before the end; overrides what the answer said.
    Tracked(OkPacket),
    /// What the command left for the next one to ask for, where its answer does not tell. Comes after the answer.
    Left(Left),
    /// The sum of what was forwarded, when it was asked for. Comes after the answer.
    Digest(Digest),
    /// Nothing more comes for this request.
    End(Ended),
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The server's whole answer has been passed on.
    Answered,
    /// The position was not reached in time: nothing of the read was passed on, and it may be run elsewhere.
    WaitTimedOut,
    /// The connection could not be brought into the wished state, or broke; the connection is not reusable.
    /// Nothing of the answer was passed on when `effect` of the error is `None`.
    Failed(Error),
}
