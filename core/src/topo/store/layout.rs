//! Where everything stands in the store: the one place that knows keys.
//!
//! ```text
//! /weir/global/cells/<cell>
//! /weir/global/keyspaces/<keyspace>/record
//! /weir/global/keyspaces/<keyspace>/globals
//! /weir/global/keyspaces/<keyspace>/shards/<shard>/entry
//! /weir/global/keyspaces/<keyspace>/shards/<shard>/numbers
//! /weir/global/keyspaces/<keyspace>/shards/<shard>/lock     under the holder's lease
//! /weir/global/keyspaces/<keyspace>/shards/<shard>/orchestrators/<name>   under its lease
//! /weir/cells/<cell>/tablets/<alias>
//! /weir/cells/<cell>/present/<alias>                        under the tablet's lease
//! /weir/cells/<cell>/gateways/<name>                        under its lease
//! ```

use crate::topo::names::{Cell, Keyspace, NameError, ProcessName, ShardName, TabletAlias};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// The prefix of all keys, unless another is configured.
pub const DEFAULT_PREFIX: &str = "/weir";
/// Most characters of a prefix.
const PREFIX_CHARS_MAX: usize = 128;

/// What keys begin with, such as `/weir`: clusters with different ones share a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(String);

impl Prefix {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self(DEFAULT_PREFIX.to_owned())
    }
}

impl FromStr for Prefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
        let is_valid = text.len() <= PREFIX_CHARS_MAX
            && text.bytes().all(is_plain)
            && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !part.is_empty()));
        if is_valid { Ok(Self(text.to_owned())) } else { Err(NameError("a prefix of keys such as '/weir'")) }
    }
}

impl TryFrom<String> for Prefix {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

/// One thing that is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// A cell's record.
    Cell(Cell),
    /// A keyspace's record.
    Keyspace(Keyspace),
    /// What SET GLOBAL has set for the gateways of a keyspace.
    Globals(Keyspace),
    /// A shard's entry, which only the holder of its lock writes.
    Entry(ShardName),
    /// The last number that a gateway of a shard was given.
    Numbers(ShardName),
    /// A shard's lock.
    Lock(ShardName),
    /// A tablet's record.
    Tablet(TabletAlias),
    /// The sign that a tablet's process runs.
    Presence(TabletAlias),
    /// Where a gateway is reached, while its process runs.
    Gateway(Cell, ProcessName),
    /// Where an orchestrator of a shard is reached, while its process runs.
    Orchestrator(ShardName, ProcessName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cell(cell) => write!(f, "cell {cell}"),
            Self::Keyspace(keyspace) => write!(f, "keyspace {keyspace}"),
            Self::Globals(keyspace) => write!(f, "the global variables of {keyspace}"),
            Self::Entry(shard) => write!(f, "the entry of {shard}"),
            Self::Numbers(shard) => write!(f, "the numbers of the gateways of {shard}"),
            Self::Lock(shard) => write!(f, "the lock of {shard}"),
            Self::Tablet(alias) => write!(f, "tablet {alias}"),
            Self::Presence(alias) => write!(f, "the presence of {alias}"),
            Self::Gateway(cell, name) => write!(f, "gateway {name} in {cell}"),
            Self::Orchestrator(shard, name) => write!(f, "orchestrator {name} of {shard}"),
        }
    }
}

/// Keys under one prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    prefix: Prefix,
}

impl Layout {
    /// All keys begin with this.
    #[must_use]
    pub const fn new(prefix: Prefix) -> Self {
        Self { prefix }
    }

    /// What every key begins with.
    #[must_use]
    pub fn root(&self) -> Vec<u8> {
        format!("{}/", self.prefix.0).into_bytes()
    }

    /// The key of a place.
    #[must_use]
    pub fn key(&self, place: &Place) -> Vec<u8> {
        let prefix = &self.prefix.0;
        let shard = |ShardName { keyspace, shard }: &ShardName| format!("global/keyspaces/{keyspace}/shards/{shard}");
        let key = match place {
            Place::Cell(cell) => format!("{prefix}/global/cells/{cell}"),
            Place::Keyspace(keyspace) => format!("{prefix}/global/keyspaces/{keyspace}/record"),
            Place::Globals(keyspace) => format!("{prefix}/global/keyspaces/{keyspace}/globals"),
            Place::Entry(name) => format!("{prefix}/{}/entry", shard(name)),
            Place::Numbers(name) => format!("{prefix}/{}/numbers", shard(name)),
            Place::Lock(name) => format!("{prefix}/{}/lock", shard(name)),
            Place::Tablet(alias) => format!("{prefix}/cells/{}/tablets/{alias}", alias.cell),
            Place::Presence(alias) => format!("{prefix}/cells/{}/present/{alias}", alias.cell),
            Place::Gateway(cell, name) => format!("{prefix}/cells/{cell}/gateways/{name}"),
            Place::Orchestrator(of, name) => format!("{prefix}/{}/orchestrators/{name}", shard(of)),
        };
        key.into_bytes()
    }

    /// What stands under a key; `None` when that is nothing this version knows.
    #[must_use]
    pub fn place(&self, key: &[u8]) -> Option<Place> {
        let key = core::str::from_utf8(key).ok()?;
        let parts: Vec<&str> = key.strip_prefix(&self.prefix.0)?.strip_prefix('/')?.split('/').collect();
        let place = match parts[..] {
            ["global", "cells", cell] => Place::Cell(cell.parse().ok()?),
            ["global", "keyspaces", keyspace, "record"] => Place::Keyspace(keyspace.parse().ok()?),
            ["global", "keyspaces", keyspace, "globals"] => Place::Globals(keyspace.parse().ok()?),
            ["global", "keyspaces", keyspace, "shards", shard, what] => {
                let name = ShardName { keyspace: keyspace.parse().ok()?, shard: shard.parse().ok()? };
                match what {
                    "entry" => Place::Entry(name),
                    "numbers" => Place::Numbers(name),
                    "lock" => Place::Lock(name),
                    _ => return None,
                }
            }
            ["global", "keyspaces", keyspace, "shards", shard, "orchestrators", name] => {
                let shard = ShardName { keyspace: keyspace.parse().ok()?, shard: shard.parse().ok()? };
                Place::Orchestrator(shard, name.parse().ok()?)
            }
            ["cells", cell, "gateways", name] => Place::Gateway(cell.parse().ok()?, name.parse().ok()?),
            ["cells", _, "tablets", alias] => Place::Tablet(alias.parse().ok()?),
            ["cells", _, "present", alias] => Place::Presence(alias.parse().ok()?),
            _ => return None,
        };
        // Names that are written differently would be one place under two keys.
        (self.key(&place) == key.as_bytes()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Place> {
        let shard = ShardName { keyspace: "shop".parse().unwrap(), shard: "40-80".parse().unwrap() };
        let alias: TabletAlias = "zone1-100".parse().unwrap();
        vec![
            Place::Cell("zone1".parse().unwrap()),
            Place::Keyspace("shop".parse().unwrap()),
            Place::Entry(shard.clone()),
            Place::Globals("shop".parse().unwrap()),
            Place::Lock(shard.clone()),
            Place::Numbers(shard.clone()),
            Place::Tablet(alias.clone()),
            Place::Presence(alias),
            Place::Gateway("zone1".parse().unwrap(), "db1.example-15991".parse().unwrap()),
            Place::Orchestrator(shard, "db1-15992".parse().unwrap()),
        ]
    }

    #[test]
    fn every_place_has_a_key_under_the_prefix_and_is_found_by_it() {
        for prefix in ["/weir", "/test/one"] {
            let layout = Layout::new(prefix.parse().unwrap());
            for place in places() {
                let key = layout.key(&place);
                assert!(key.starts_with(&layout.root()), "{place}");
                assert_eq!(layout.place(&key), Some(place));
            }
        }
        let keys: Vec<_> = places().iter().map(|place| Layout::default().key(place)).collect();
        assert_eq!(keys[2], b"/weir/global/keyspaces/shop/shards/40-80/entry");
        assert_eq!(keys[6], b"/weir/cells/zone1/tablets/zone1-0000000100");
    }

    #[test]
    fn other_keys_are_no_places() {
        let layout = Layout::default();
        for key in [
            "",
            "/weir",
            "/weirder/global/cells/a",
            "/weir/global/cells/a-b",
            "/weir/global/cells/a/b",
            "/weir/cells/b/tablets/a-0000000001",
            "/weir/cells/a/tablets/a-1",
            "/weir/global/keyspaces/k/shards/0/backup",
            "/weir/global/keyspaces/k/shards/0/orchestrators/a b",
            "/weir/cells/a/gateways",
        ] {
            assert_eq!(layout.place(key.as_bytes()), None, "{key}");
        }
        assert_eq!(layout.place(b"/weir/global/cells/\xff"), None);
    }

    #[test]
    fn prefixes_are_checked() {
        assert!("/weir/production-1".parse::<Prefix>().is_ok());
        for text in ["", "/", "weir", "/weir/", "//weir", "/we ir", "/\u{e9}", &format!("/{}", "p".repeat(128))] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
