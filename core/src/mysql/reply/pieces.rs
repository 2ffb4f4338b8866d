//! An ordered queue of reply pieces in which neighbouring runs of input are one piece.

use crate::link::Reply;
use std::collections::VecDeque;

/// Reply pieces in the order in which the client must read them.
#[derive(Debug, Default)]
pub struct Pieces(VecDeque<Reply>);

impl Pieces {
    /// The next `len` bytes of the input are for the client.
    pub fn forward(&mut self, len: usize) {
        match self.0.back_mut() {
            _ if len == 0 => {}
            Some(Reply::Forward { len: run }) => *run += len,
            _ => self.0.push_back(Reply::Forward { len }),
        }
    }

    /// The next `len` bytes of the input are not for the client.
    pub fn skip(&mut self, len: usize) {
        match self.0.back_mut() {
            _ if len == 0 => {}
            Some(Reply::Skip { len: run }) => *run += len,
            _ => self.0.push_back(Reply::Skip { len }),
        }
    }

    /// A piece that is not a run of input.
    pub fn push(&mut self, piece: Reply) {
        debug_assert!(!matches!(piece, Reply::Forward { .. } | Reply::Skip { .. }), "runs go through forward and skip");
        self.0.push_back(piece);
    }

    /// The first piece, taken off.
    pub fn pop(&mut self) -> Option<Reply> {
        self.0.pop_front()
    }

    /// All of them, in order, left where they are.
    pub fn iter(&self) -> impl Iterator<Item = &Reply> {
        self.0.iter()
    }

    /// Nothing is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
