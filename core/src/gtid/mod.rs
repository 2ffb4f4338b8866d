//! Positions: what a server has executed.
//!
//! Owns MySQL GTID sets and MariaDB GTID positions, behind one type, and the algebra the rest of Weir asks of them:
//! has this server executed that write, what is missing, which of two servers is ahead, do two histories diverge.
//! Knows nothing of servers, connections or SQL. Start with [`Position`]; [`mysql`] and [`mariadb`] hold what differs.

mod binary;
mod intervals;
pub mod mariadb;
pub mod mysql;
mod owned;
mod position;
#[cfg(test)]
mod tests;

pub use binary::BINARY_BYTES_MAX;
pub use intervals::SEQ_MAX;
pub use owned::parse_owned;
pub use position::{Divergence, Position};

use core::fmt;
use serde::{Deserialize, Serialize};

/// Which family of servers a position comes from. The two never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Flavor {
    /// Oracle MySQL and Percona Server: sets of `uuid[:tag]:interval`.
    MySql,
    /// MariaDB: one `domain-server-sequence` per domain.
    MariaDb,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// Why a position could not be read or combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Error {
    /// The input is not a position: what was expected at which byte (from 0).
    Malformed {
        /// Byte offset into the input.
        at: usize,
        /// What should have stood there.
        expected: &'static str,
    },
    /// Two GTIDs of one replication domain in one position (a MariaDB server refuses that, too).
    DuplicateDomain(u32),
    /// More than [`mysql::INTERVALS_MAX`] intervals or [`mariadb::DOMAINS_MAX`] domains.
    TooLarge,
    /// One position is MySQL's, the other MariaDB's.
    MixedFlavors,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { at, expected } => write!(f, "malformed position: expected {expected} at byte {at}"),
            Self::DuplicateDomain(domain) => write!(f, "malformed position: domain {domain} appears twice"),
            Self::TooLarge => f.write_str("position has more parts than Weir keeps"),
            Self::MixedFlavors => f.write_str("a MySQL GTID set and a MariaDB GTID position cannot be combined"),
        }
    }
}

impl std::error::Error for Error {}
