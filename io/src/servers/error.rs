//! What can go wrong while servers are set up: one sentence for the person who started them.

use std::fmt;

/// Why servers could not be started, asked or stopped. Nobody acts on its kinds, so it is a sentence.
#[derive(Debug)]
pub struct Error(String);

/// Result of working on servers.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when the system refused.
pub(super) trait Context<T> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error(format!("cannot {}: {cause}", doing())))
    }
}
