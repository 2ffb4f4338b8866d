//! Where a statement goes: keyspace, shard and role; and how a client names it.

use super::{Keyspace, Role, Shard};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A group of tablets that can serve the same statements. Prints as `keyspace:shard@ROLE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Keyspace.
    pub keyspace: Keyspace,
    /// Shard.
    pub shard: Shard,
    /// Role.
    pub role: Role,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.keyspace, self.shard, self.role)
    }
}

/// What a client writes where MySQL has a database's name (`USE`, the handshake): `db`, `db@REPLICA`, `db:-80@RDONLY`,
/// `@PRIMARY`.
///
/// Databases may have `@` and `:` in their names. So only a role's name after the last `@`, and only a shard after the last
/// `:` before it, are taken off; in `a@b` or `a:b` the whole is the database. A database whose name ends in `@replica`
/// or `:0` can therefore not be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetString<'a> {
    /// The database; empty when only a role was named.
    pub database: &'a [u8],
    /// The shard, when one was named.
    pub shard: Option<Shard>,
    /// The role, when one was named.
    pub role: Option<Role>,
}

impl<'a> TargetString<'a> {
    /// Takes a name apart. There is no wrong input: what is no suffix is part of the database's name.
    #[must_use]
    pub fn parse(name: &'a [u8]) -> Self {
        let (name, role) = take_suffix(name, b'@', Role::parse);
        let (database, shard) = take_suffix(name, b':', |text| core::str::from_utf8(text).ok()?.parse().ok());
        Self { database, shard, role }
    }
}

fn take_suffix<T>(name: &[u8], mark: u8, parse: impl Fn(&[u8]) -> Option<T>) -> (&[u8], Option<T>) {
    let at = name.iter().rposition(|byte| *byte == mark);
    match at.and_then(|at| Some((&name[..at], parse(&name[at + 1..])?))) {
        Some((before, value)) => (before, Some(value)),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str) -> (String, Option<String>, Option<Role>) {
        let parsed = TargetString::parse(name.as_bytes());
        let database = String::from_utf8(parsed.database.to_vec()).expect("a part of a str");
        (database, parsed.shard.map(String::from), parsed.role)
    }

    #[test]
    fn a_client_names_database_shard_and_role() {
        assert_eq!(parts("shop"), ("shop".into(), None, None));
        assert_eq!(parts("shop@REPLICA"), ("shop".into(), None, Some(Role::Replica)));
        assert_eq!(parts("shop:-80@rdonly"), ("shop".into(), Some("-80".into()), Some(Role::RdOnly)));
        assert_eq!(parts("shop:0"), ("shop".into(), Some("0".into()), None));
        assert_eq!(parts("@master"), (String::new(), None, Some(Role::Primary)));
        assert_eq!(parts(""), (String::new(), None, None));
    }

    #[test]
    fn what_is_no_suffix_belongs_to_the_database() {
        for name in ["a@b", "a@", "a:b", "a:", "@", "me@example.org", "a:b@c"] {
            assert_eq!(parts(name), (name.into(), None, None));
        }
        assert_eq!(parts("a@b@primary"), ("a@b".into(), None, Some(Role::Primary)));
        assert_eq!(TargetString::parse(b"\xff:0").database, b"\xff");
    }

    #[test]
    fn a_target_prints_as_it_is_named() {
        let target = Target {
            keyspace: "shop".parse().expect("a keyspace"),
            shard: "40-80".parse().expect("a shard"),
            role: Role::Replica,
        };
        assert_eq!(target.to_string(), "shop:40-80@REPLICA");
    }
}
