//! Checkers: pure functions over what clients saw and what servers hold in the end.
//!
//! Each is written against a definition that a client could check, and shares no code with what it checks: no position,
//! no term, no pool appears here. Start with [`history`], then read the promise you are interested in.

pub mod appends;
pub mod bank;
pub mod freshness;
pub mod history;
pub mod linear;
pub mod once;
pub mod outcomes;

use core::fmt;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// What happened instead, in one sentence that names the operations.
    pub story: String,
}

impl Violation {
    /// A promise, and what happened instead.
    #[must_use]
    pub fn new(promise: &'static str, story: impl Into<String>) -> Self {
        Self { promise, story: story.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.story)
    }
}
