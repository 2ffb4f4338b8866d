//! What a tablet keeps on its disk: what it promised, and what its server has of the terms.

use crate::gtid::Position;
use serde::{Deserialize, Serialize};

/// What is on the tablet's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Promise {
    /// No order of a lower term is obeyed.
    pub promised: u64,
    /// The highest term whose beginning the server has.
    pub followed: u64,
    /// The term last followed or led, and where it begins.
    pub term: (u64, Position),
    /// The start of the server that was seen last.
    pub incarnation: Option<u64>,
    /// The term that was followed when the server lost what it had received; see [`Report::intact`](super::Report::intact).
    pub lost_in: Option<u64>,
}

impl Promise {
    /// Of a tablet in the first term, whose server has started once.
    #[cfg(test)]
    pub(crate) fn of_the_first_term() -> Self {
        Self { promised: 1, followed: 1, term: (1, Position::default()), incarnation: Some(0), lost_in: None }
    }

    /// Of a tablet whose disk has none, in a shard that has come to this term: a server of that name may have acknowledged
    /// writes, and this one does not have them yet.
    #[must_use]
    pub fn of_a_newcomer(term: u64) -> Self {
        Self { lost_in: (term > 0).then_some(term), ..Self::default() }
    }

    /// The beginning of a later term has everything that was acknowledged in earlier ones.
    pub(super) fn is_intact(&self) -> bool {
        self.lost_in.is_none_or(|lost_in| self.followed > lost_in)
    }

    /// Of the same tablet, whose server gets the data of another: what was promised holds, what the server had does not.
    #[must_use]
    pub fn of_a_rebuilt_server(&self) -> Self {
        let lost_in = Some(self.promised.max(self.term.0));
        Self { promised: self.promised, followed: 0, term: (0, Position::default()), incarnation: None, lost_in }
    }
}
