//! The commands whose answers are due, in the order in which they were sent.

use crate::link::ClientFormat;
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::reply::{ReplyWalker, Shape};
use std::collections::VecDeque;

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Trackers are turned on.
    SetUp,
    /// The schema becomes the wished one.
    Schema,
    /// The variables become the wished ones.
    Variables,
    /// `LAST_INSERT_ID()` becomes the session's.
    InsertId,
    /// The server waits for a position.
    Wait,
    /// A statement is prepared that will be executed.
    Prepare,
    /// The command itself; its answer is the client's.
    Command(Shape),
    /// What is the state, after an error that does not say?
    Status,
}

impl Purpose {
    const fn shape(self) -> Shape {
        match self {
            Self::SetUp | Self::Variables | Self::InsertId | Self::Wait => Shape::Results,
            Self::Schema | Self::Status => Shape::Simple,
            Self::Prepare => Shape::Prepare,
            Self::Command(shape) => shape,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// With the sequence id that the answer starts with.
    due: VecDeque<(Purpose, u8)>,
    /// Walks over the first one's answer, once it has begun.
    walker: Option<ReplyWalker>,
}

impl Flight {
    /// `sequence` is the id after that of the command's last packet.
    pub(super) fn expect(&mut self, purpose: Purpose, sequence: u8) {
        self.due.push_back((purpose, sequence));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.walker = None;
    }

    /// Whose answer comes now, and the walk over it.
    pub(super) fn front(
        &mut self,
        capabilities: CapabilityFlags,
        client: ClientFormat,
        status: u16,
    ) -> Option<(Purpose, &mut ReplyWalker)> {
        let (purpose, sequence) = *self.due.front()?;
        // Answers to Weir's own commands are read in one way.
        let own = ClientFormat { deprecate_eof: true };
        let format = if matches!(purpose, Purpose::Command(_)) { client } else { own };
        let begin = || ReplyWalker::new(purpose.shape(), capabilities, format, status).starting_at(sequence);
        let walker = self.walker.get_or_insert_with(begin);
        Some((purpose, walker))
    }

    /// The answer is complete.
    pub(super) fn answered(&mut self) {
        self.due.pop_front();
        self.walker = None;
    }
}
