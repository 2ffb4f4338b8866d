//! What a tablet is in its shard.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A tablet's role (its "tablet type").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Takes the shard's writes.
    Primary,
    /// Follows the primary; serves reads and may be promoted.
    Replica,
    /// Follows the primary; serves batch reads, is never promoted.
    RdOnly,
    /// Not known, or known not to belong: serves nothing.
    #[default]
    Unknown,
}

impl Role {
    /// The name in targets, hints and `SHOW` statements.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Replica => "REPLICA",
            Self::RdOnly => "RDONLY",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Reads the name of a role that can be asked for, in any case; `MASTER` and `SLAVE` are the older names.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Role); 5] = [
            (b"PRIMARY", Role::Primary),
            (b"MASTER", Role::Primary),
            (b"REPLICA", Role::Replica),
            (b"SLAVE", Role::Replica),
            (b"RDONLY", Role::RdOnly),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, role)| *role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = super::NameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name.as_bytes()).ok_or(super::NameError("a role: PRIMARY, REPLICA or RDONLY"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_read_and_print_their_names() {
        for role in [Role::Primary, Role::Replica, Role::RdOnly] {
            assert_eq!(role.name().to_lowercase().parse(), Ok(role));
        }
        assert_eq!(Role::parse(b"Master"), Some(Role::Primary));
        assert_eq!(Role::parse(b"slave"), Some(Role::Replica));
        assert_eq!(Role::parse(b"UNKNOWN"), None, "nobody can ask for it");
        assert_eq!(Role::parse(b""), None);
        assert_eq!(format!("[{:>8}]", Role::RdOnly), "[  RDONLY]");
    }
}
