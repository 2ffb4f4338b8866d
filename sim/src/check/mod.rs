//! Checkers: pure functions over what clients saw and what servers hold in the end.
//!
//! Each is written against a definition that a client could check, and shares no code with what it checks: no position,
//! no term, no pool appears here. Start with [`history`], then read the promise you are interested in.

pub mod appends;
pub mod bank;
pub mod freshness;
pub mod history;
pub mod kills;
pub mod linear;
pub mod once;
pub mod outcomes;
pub mod serial;
pub mod terms;

use core::fmt;
use history::Tick;

/// When a session saw something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// In the order of the run.
    pub at: Tick,
    /// Who saw it.
    pub session: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// What happened instead, in one sentence that names the operations.
    pub story: String,
    /// Answers that tell of it, where they are known; the last is the one that must not have come.
    pub moments: Vec<Moment>,
}

impl Violation {
    /// A promise, and what happened instead.
    #[must_use]
    pub fn new(promise: &'static str, story: impl Into<String>) -> Self {
        Self { promise, story: story.into(), moments: Vec::new() }
    }

    /// The same, with an answer that tells of it.
    #[must_use]
    pub fn seen(mut self, session: u64, at: Tick) -> Self {
        self.moments.push(Moment { at, session });
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.story)
    }
}
