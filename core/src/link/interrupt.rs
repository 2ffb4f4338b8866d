//! The end of what runs on a server connection, asked for on another one.

use core::fmt;

/// What a server is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// Only the statement that runs, not the connection.
    pub query: bool,
    /// SOFT (MariaDB): what would leave a table broken goes on.
    pub soft: bool,
}

impl Interrupt {
    /// The connection, whatever it does.
    pub const CONNECTION: Self = Self { query: false, soft: false };
    /// The statement that runs.
    pub const QUERY: Self = Self { query: true, soft: false };

    /// As a server is told it; `thread` is its own id of the connection.
    #[must_use]
    pub fn sql(self, thread: u32) -> String {
        format!("{self} {thread}")
    }
}

impl fmt::Display for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (soft, what) = (if self.soft { "SOFT " } else { "" }, if self.query { "QUERY" } else { "CONNECTION" });
        write!(f, "KILL {soft}{what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_as_servers_read_it() {
        assert_eq!(Interrupt::CONNECTION.sql(7), "KILL CONNECTION 7");
        assert_eq!(Interrupt { soft: true, ..Interrupt::QUERY }.sql(8), "KILL SOFT QUERY 8");
    }
}
