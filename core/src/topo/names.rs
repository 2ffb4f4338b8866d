//! Names of places: cells, keyspaces, shards, tablets.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most characters of a cell's or keyspace's name (a MySQL identifier's limit).
const NAME_CHARS_MAX: usize = 64;
/// Most hexadecimal digits of a shard's bound (a key range is over 64-bit values).
const BOUND_CHARS_MAX: usize = 16;

/// The text is not a name of this sort; says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError(pub(super) &'static str);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for NameError {}

/// A checked string type with cheap clones.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $valid:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $valid(text) { Ok(Self(text.into())) } else { Err(NameError($expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

name! {
    /// A failure domain: a data centre or zone. Letters, digits and `_`.
    Cell, is_cell, "a cell: letters, digits and '_', at most 64"
}

name! {
    /// A logical database, on one shard or several. Letters, digits, `_`, `-` and `$`.
    Keyspace, is_keyspace, "a keyspace: letters, digits, '_', '-' and '$', at most 64"
}

name! {
    /// A gateway or an orchestrator, among all of its kind. Letters, digits, `_`, `-` and `.`.
    ProcessName, is_process, "a process: letters, digits, '_', '-' and '.', at most 64"
}

name! {
    /// A part of a keyspace: `0` or `-` when there is only one, else a range of hexadecimal key prefixes such as `-80`,
    /// `40-80` or `80-`.
    Shard, is_shard, "a shard: '0', '-' or a key range such as '-80'"
}

impl Shard {
    /// The only shard of an unsharded keyspace.
    #[must_use]
    pub fn unsharded() -> Self {
        Self("0".into())
    }
}

fn is_cell(text: &str) -> bool {
    is_name(text, |byte| byte == b'_')
}

fn is_keyspace(text: &str) -> bool {
    is_name(text, |byte| b"_-$".contains(&byte))
}

fn is_process(text: &str) -> bool {
    is_name(text, |byte| b"_-.".contains(&byte))
}

fn is_name(text: &str, also: impl Fn(u8) -> bool) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also(byte))
}

fn is_shard(text: &str) -> bool {
    let is_bound = |bound: &str| {
        bound.len() <= BOUND_CHARS_MAX
            && bound.len().is_multiple_of(2)
            && bound.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match text.split_once('-') {
        None => text == "0",
        Some((from, to)) => is_bound(from) && is_bound(to) && (to.is_empty() || from < to),
    }
}

/// A tablet's name in the whole cluster, such as `zone1-0000000100`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TabletAlias {
    /// Where it runs.
    pub cell: Cell,
    /// Its number in the cell.
    pub uid: u32,
}

impl fmt::Display for TabletAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:010}", self.cell, self.uid)
    }
}

impl fmt::Debug for TabletAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for TabletAlias {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const EXPECTED: NameError = NameError("a tablet alias: cell-number");
        let (cell, uid) = text.rsplit_once('-').ok_or(EXPECTED)?;
        let digits = uid.bytes().all(|byte| byte.is_ascii_digit());
        let uid = uid.parse().ok().filter(|_| digits).ok_or(EXPECTED)?;
        Ok(Self { cell: cell.parse()?, uid })
    }
}

impl TryFrom<String> for TabletAlias {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TabletAlias> for String {
    fn from(alias: TabletAlias) -> Self {
        alias.to_string()
    }
}

/// A shard and the keyspace it is a part of, such as `shop/0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardName {
    /// The keyspace.
    pub keyspace: Keyspace,
    /// Its part.
    pub shard: Shard,
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.keyspace, self.shard)
    }
}

impl FromStr for ShardName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (keyspace, shard) = text.split_once('/').ok_or(NameError("a shard of a keyspace: keyspace/shard"))?;
        Ok(Self { keyspace: keyspace.parse()?, shard: shard.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_one_or_key_ranges() {
        for text in ["0", "-", "-80", "80-", "40-80", "a0-a080"] {
            assert_eq!(text.parse::<Shard>().map(|shard| shard.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "1", "00", "80-40", "80-80", "8-", "-8", "A0-", "40-80-", "x-", "-0123456789abcdef01", "zone"]
        {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!(Shard::unsharded().as_str(), "0");
    }

    #[test]
    fn shards_are_named_with_their_keyspace() {
        let name: ShardName = "shop/-80".parse().expect("a shard");
        assert_eq!((name.keyspace.as_str(), name.to_string().as_str()), ("shop", "shop/-80"));
        for text in ["shop", "shop/", "/0", "shop/0/0"] {
            assert!(text.parse::<ShardName>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert!("zone_1".parse::<Cell>().is_ok());
        assert!("zone-1".parse::<Cell>().is_err(), "an alias could not be split");
        assert!("shop-eu$2".parse::<Keyspace>().is_ok());
        assert!("db1.example-15991".parse::<ProcessName>().is_ok());
        assert!("db1/15991".parse::<ProcessName>().is_err(), "it is a part of a key");
        for text in ["", "a:b", "a@b", "a/b", "é", &"k".repeat(65)] {
            assert!(text.parse::<Keyspace>().is_err(), "{text}");
        }
    }

    #[test]
    fn aliases_round_trip() {
        let alias: TabletAlias = "zone1-100".parse().expect("an alias");
        assert_eq!(alias.to_string(), "zone1-0000000100");
        assert_eq!(alias.to_string().parse(), Ok(alias.clone()));
        let json = serde_json::to_string(&alias).expect("serialisable");
        assert_eq!(serde_json::from_str::<TabletAlias>(&json).expect("an alias"), alias);
        for text in ["zone1", "zone1-", "-1", "zone1-+1", "zone1-4294967296", "zone-1-1"] {
            assert!(text.parse::<TabletAlias>().is_err(), "{text}");
        }
    }
}
