//! Which server, in which version.

use crate::gtid::Flavor;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A server's flavour and version, as its handshake or `@@version` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerVersion {
    /// MySQL or MariaDB.
    pub flavor: Flavor,
    /// Such as 10 in 10.11.6.
    pub major: u16,
    /// Such as 11 in 10.11.6.
    pub minor: u16,
    /// Such as 6 in 10.11.6.
    pub patch: u16,
}

impl ServerVersion {
    /// Reads a version such as `8.0.36-28`, `10.11.6-MariaDB-log` or `5.5.5-10.11.6-MariaDB` (the handshake of MariaDB before
    /// 11 puts a number in front that old replicas accept). `None` when there are no three numbers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let maria = text.to_ascii_lowercase().contains("mariadb");
        let numbers = if maria { text.strip_prefix("5.5.5-").unwrap_or(text) } else { text };
        let flavor = if maria { Flavor::MariaDb } else { Flavor::MySql };
        let mut parts = numbers.splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            part[..digits].parse().ok()
        };
        Some(Self { flavor, major: next()?, minor: next()?, patch: next()? })
    }

    /// True for this version and later ones of the flavour.
    #[must_use]
    pub fn at_least(self, major: u16, minor: u16, patch: u16) -> bool {
        (self.major, self.minor, self.patch) >= (major, minor, patch)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}.{}", self.flavor, self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_flavours_are_read() {
        let of = |text| ServerVersion::parse(text).map(|version| version.to_string());
        assert_eq!(of("10.11.6-MariaDB-0+deb12u1"), Some("MariaDB 10.11.6".into()));
        assert_eq!(of("5.5.5-10.11.6-MariaDB-log"), Some("MariaDB 10.11.6".into()));
        assert_eq!(of("8.0.36-28"), Some("MySQL 8.0.36".into()));
        assert_eq!(of("5.6.24-log"), Some("MySQL 5.6.24".into()));
        assert_eq!(of("8.4.0"), Some("MySQL 8.4.0".into()));
        for text in ["", "8.0", "x.y.z", "99999.1.1"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        let version = ServerVersion::parse("10.11.6-MariaDB").expect("a version");
        assert!(version.at_least(10, 5, 1) && version.at_least(10, 11, 6) && !version.at_least(11, 0, 0));
    }
}
