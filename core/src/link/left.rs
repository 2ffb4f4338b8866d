//! What a command left on its connection for the next one to ask for.

use bitflags::bitflags;

/// Most bytes of a list of warnings that is taken off a connection. `max_error_count` keeps them far below unless a client
/// raises it.
pub const CONDITIONS_BYTES_MAX: usize = 256 * 1024;

bitflags! {
    /// What is asked after the answer.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Asks: u8 {
        /// The counts.
        const COUNTS = 1;
        /// The list of warnings.
        const CONDITIONS = 2;
        /// Both, when the answer tells of a warning or an error.
        const WHEN_WARNED = 4;
    }
}

/// What the server said of it, once the answer was through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// `None` when it was not asked, or did not say.
    pub counts: Option<Counts>,
    /// Errors, warnings and notes, in the character set of results that held; `None` when they were not asked for, or are
    /// more than [`CONDITIONS_BYTES_MAX`].
    pub conditions: Option<Vec<Condition>>,
}

/// Numbers that a command leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// `ROW_COUNT()`.
    pub row_count: i64,
    /// `FOUND_ROWS()`.
    pub found_rows: u64,
    /// `@@warning_count`: conditions of every level, those included that the list has no room for.
    pub warnings: u64,
    /// `@@error_count`.
    pub errors: u64,
}

/// A line of SHOW WARNINGS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// How bad it is.
    pub level: Level,
    /// Its number.
    pub code: u32,
    /// Its text.
    pub message: Vec<u8>,
}

/// How bad a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Not bad at all.
    Note,
    /// A warning.
    Warning,
    /// An error.
    Error,
}

impl Level {
    /// As servers write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "Note",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::Note, Self::Warning, Self::Error].into_iter().find(|level| level.name().as_bytes() == name)
    }
}
