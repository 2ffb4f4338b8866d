//! The values in the store: JSON objects with a version.
//!
//! During a rolling upgrade old and new binaries read each other's records. Fields that a reader does not know it passes over.
//! A change that must not be passed over raises the record's version, and older readers then keep to what they knew.

use super::layout::Place;
use crate::gateway::globals::Globals;
use crate::gateway::ids::{GatewayNumber, Numbers};
use crate::orch::lock::Entry;
use crate::topo::names::{Cell, Keyspace, ProcessName, Shard, ShardName, TabletAlias};
use crate::topo::{Address, Role};
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of a record, at most.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The field that holds the version. A record without it is of version 1.
const VERSION_FIELD: &str = "version";

/// What can be kept.
pub trait Stored: Serialize + DeserializeOwned {
    /// The highest version that this binary reads.
    const VERSION: u64 = 1;

    /// The version that is written: the lowest that says everything, so that older binaries read what they can.
    fn version(&self) -> u64 {
        1
    }
}

/// A failure domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellRecord {
    /// Its name.
    pub name: Cell,
}

/// A logical database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyspaceRecord {
    /// Its name.
    pub name: Keyspace,
}

/// A tablet, whether its process runs or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TabletRecord {
    /// Its name.
    pub alias: TabletAlias,
    /// Where the tablet takes calls.
    pub grpc: Address,
    /// Where its server listens.
    pub mysql: Address,
    /// The keyspace it serves.
    pub keyspace: Keyspace,
    /// The part of the keyspace.
    pub shard: Shard,
    /// What its operator wants it to be: RDONLY is kept out of elections. What it is, its health tells.
    pub role: Role,
    /// Names that operators give, such as a rack's.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its share of the reads among its like.
    #[serde(default = "one")]
    pub weight: u32,
    /// The version of the tablet's binary, for people.
    #[serde(default)]
    pub binary: String,
}

const fn one() -> u32 {
    1
}

impl TabletRecord {
    /// The shard it is of.
    #[must_use]
    pub fn shard_name(&self) -> ShardName {
        ShardName { keyspace: self.keyspace.clone(), shard: self.shard.clone() }
    }
}

/// The process of a tablet runs, or did until its lease ended. For people, and to find what nobody needs any more: whether
/// a tablet serves, its health tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Presence {
    /// The version of its binary.
    #[serde(default)]
    pub binary: String,
    /// Its number on its machine.
    #[serde(default)]
    pub process: u32,
}

/// A gateway's process runs. For those who operate it: clients are told elsewhere where to connect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GatewayRecord {
    /// Its name.
    pub name: ProcessName,
    /// Where it runs.
    pub cell: Cell,
    /// Where it takes calls.
    pub grpc: Address,
    /// Where its clients connect.
    pub mysql: Address,
    /// The shard that it serves.
    pub shard: ShardName,
    /// Its number among the gateways of that.
    #[serde(default)]
    pub number: GatewayNumber,
    /// Its process.
    #[serde(flatten)]
    pub presence: Presence,
}

/// An orchestrator's process runs, whether it holds its shard's lock or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrchestratorRecord {
    /// Its name.
    pub name: ProcessName,
    /// Where it takes calls.
    pub grpc: Address,
    /// The shard that it watches.
    pub shard: ShardName,
    /// Its process.
    #[serde(flatten)]
    pub presence: Presence,
}

impl Stored for GatewayRecord {}
impl Stored for OrchestratorRecord {}
impl Stored for CellRecord {}
impl Stored for KeyspaceRecord {}
impl Stored for TabletRecord {}
impl Stored for Presence {}

/// Version 2 has a reign under another policy than the cohort's: who does not know of it would begin a term with too few.
impl Stored for Entry {
    const VERSION: u64 = 2;

    fn version(&self) -> u64 {
        if self.record.reigns.iter().any(|reign| reign.under.is_some()) { 2 } else { 1 }
    }
}

impl Stored for Globals {}
impl Stored for Numbers {}

/// A value that this binary can make no use of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unreadable {
    /// It is no record, for this reason.
    Malformed(String),
    /// It says that binaries of this version must not interpret it: version, and the highest that is understood.
    Newer(u64, u64),
    /// It has too many bytes.
    TooLong(usize),
    /// There are too many records already.
    TooMany,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "it makes no sense: {why}"),
            Self::Newer(version, known) => {
                write!(f, "a newer Weir has written it (version {version}; this one reads up to {known})")
            }
            Self::TooLong(bytes) => write!(f, "it has {bytes} bytes, and {RECORD_BYTES_MAX} are allowed"),
            Self::TooMany => f.write_str("there are too many records"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// The bytes of a record.
#[must_use]
pub fn encode<R: Stored>(record: &R) -> Vec<u8> {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    debug_assert!(value.is_object(), "records are structs with serialisable fields");
    debug_assert!(record.version() <= R::VERSION, "what is written can be read");
    if let Value::Object(fields) = &mut value {
        let before = fields.insert(VERSION_FIELD.to_owned(), record.version().into());
        debug_assert!(before.is_none(), "no record has a field of that name");
    }
    value.to_string().into_bytes()
}

/// The record in these bytes.
///
/// # Errors
/// Why it cannot be used.
pub fn decode<R: Stored>(bytes: &[u8]) -> Result<R, Unreadable> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(Unreadable::TooLong(bytes.len()));
    }
    let malformed = |error: serde_json::Error| Unreadable::Malformed(error.to_string());
    let Versioned { version } = serde_json::from_slice(bytes).map_err(malformed)?;
    if version > R::VERSION {
        return Err(Unreadable::Newer(version, R::VERSION));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(default = "first_version")]
    version: u64,
}

const fn first_version() -> u64 {
    1
}

/// Any record that is followed. Locks are not: they are looked at when they are taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Record {
    /// Of a cell.
    Cell(CellRecord),
    /// Of a keyspace.
    Keyspace(KeyspaceRecord),
    /// Of a keyspace's gateways.
    Globals(Keyspace, Globals),
    /// Of a shard.
    Entry(ShardName, Box<Entry>),
    /// Of a shard's gateways.
    Numbers(ShardName, Numbers),
    /// Of a tablet.
    Tablet(Box<TabletRecord>),
    /// Of a tablet's process.
    Presence(TabletAlias, Presence),
    /// Of a gateway's process.
    Gateway(Box<GatewayRecord>),
    /// Of an orchestrator's process.
    Orchestrator(Box<OrchestratorRecord>),
}

impl Record {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Cell(record) => Place::Cell(record.name.clone()),
            Self::Keyspace(record) => Place::Keyspace(record.name.clone()),
            Self::Globals(keyspace, _) => Place::Globals(keyspace.clone()),
            Self::Entry(shard, _) => Place::Entry(shard.clone()),
            Self::Numbers(shard, _) => Place::Numbers(shard.clone()),
            Self::Tablet(record) => Place::Tablet(record.alias.clone()),
            Self::Presence(alias, _) => Place::Presence(alias.clone()),
            Self::Gateway(record) => Place::Gateway(record.cell.clone(), record.name.clone()),
            Self::Orchestrator(record) => Place::Orchestrator(record.shard.clone(), record.name.clone()),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Cell(record) => encode(record),
            Self::Keyspace(record) => encode(record),
            Self::Globals(_, globals) => encode(globals),
            Self::Entry(_, entry) => encode(&**entry),
            Self::Numbers(_, numbers) => encode(numbers),
            Self::Tablet(record) => encode(&**record),
            Self::Presence(_, presence) => encode(presence),
            Self::Gateway(record) => encode(&**record),
            Self::Orchestrator(record) => encode(&**record),
        }
    }

    /// What stands at a place; `None` where no records stand.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn decode(place: &Place, bytes: &[u8]) -> Result<Option<Self>, Unreadable> {
        let record = match place {
            Place::Cell(_) => Self::Cell(decode(bytes)?),
            Place::Keyspace(_) => Self::Keyspace(decode(bytes)?),
            Place::Globals(keyspace) => Self::Globals(keyspace.clone(), decode(bytes)?),
            Place::Entry(shard) => Self::Entry(shard.clone(), Box::new(decode(bytes)?)),
            Place::Numbers(shard) => Self::Numbers(shard.clone(), decode(bytes)?),
            Place::Tablet(_) => Self::Tablet(Box::new(decode(bytes)?)),
            Place::Presence(alias) => Self::Presence(alias.clone(), decode(bytes)?),
            Place::Gateway(..) => Self::Gateway(Box::new(decode(bytes)?)),
            Place::Orchestrator(..) => Self::Orchestrator(Box::new(decode(bytes)?)),
            Place::Lock(_) => return Ok(None),
        };
        if record.place() != *place {
            return Err(Unreadable::Malformed(format!("it is of {}", record.place())));
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::Mutants;
    use crate::orch::durability::Policy;
    use crate::orch::recovery::{Cohort, Record as History, Reign, Step};
    use std::collections::BTreeSet;

    fn tablet() -> TabletRecord {
        let address = |port| Address { host: "10.0.0.7".to_owned(), port };
        TabletRecord {
            alias: "zone1-7".parse().unwrap(),
            grpc: address(15_999),
            mysql: address(3306),
            keyspace: "shop".parse().unwrap(),
            shard: Shard::unsharded(),
            role: Role::Replica,
            labels: [("rack".to_owned(), "b".to_owned())].into(),
            weight: 3,
            binary: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record::Tablet(Box::new(tablet()));
        assert_eq!(Record::decode(&record.place(), &record.encode()), Ok(Some(record)));
    }

    #[test]
    fn processes_that_run_are_read_as_they_were_written() {
        let address = |port| Address { host: "10.0.0.7".to_owned(), port };
        let presence = Presence { binary: "0.1.0".to_owned(), process: 7 };
        let shard: ShardName = "shop/0".parse().unwrap();
        let gateway = GatewayRecord {
            name: "db1-15991".parse().unwrap(),
            cell: "zone1".parse().unwrap(),
            grpc: address(15_991),
            mysql: address(3307),
            shard: shard.clone(),
            number: GatewayNumber::of(7 << 22),
            presence: presence.clone(),
        };
        let orchestrator =
            OrchestratorRecord { name: "db1-15992".parse().unwrap(), grpc: address(15_992), shard, presence };
        for record in [Record::Gateway(Box::new(gateway)), Record::Orchestrator(Box::new(orchestrator))] {
            assert_eq!(Record::decode(&record.place(), &record.encode()), Ok(Some(record)));
        }
    }

    #[test]
    fn fields_of_other_versions_are_passed_over_and_made_up() {
        let text = r#"{"version":1,"alias":"zone1-0000000007","grpc":{"host":"h","port":1},"mysql":{"host":"h","port":2},
            "keyspace":"shop","shard":"0","role":"Replica","colour":{"is":["new"]}}"#;
        let record: TabletRecord = decode(text.as_bytes()).expect("a record");
        assert_eq!((record.weight, record.binary.as_str(), record.labels.len()), (1, "", 0));
        let cell = decode::<CellRecord>(br#"{"name":"zone1"}"#).expect("from before there were versions");
        assert_eq!(cell.name.as_str(), "zone1");
    }

    #[test]
    fn what_must_not_be_interpreted_is_not() {
        let newer = br#"{"version":2,"name":"zone1"}"#;
        assert_eq!(decode::<CellRecord>(newer), Err(Unreadable::Newer(2, 1)));
        for text in ["", "{", "[]", "null", r#"{"version":-1,"name":"a"}"#, r#"{"version":1}"#] {
            assert!(matches!(decode::<CellRecord>(text.as_bytes()), Err(Unreadable::Malformed(_))), "{text}");
        }
        let long = vec![b' '; RECORD_BYTES_MAX + 1];
        assert_eq!(decode::<CellRecord>(&long), Err(Unreadable::TooLong(long.len())));
    }

    #[test]
    fn an_older_binary_reads_an_entry_unless_a_reign_is_under_another_policy() {
        let tablets = BTreeSet::from(["a-1".parse().unwrap()]);
        let cohort = Cohort { tablets, policy: Policy::SemiSync { acks: 1 }, promotion: BTreeMap::new() };
        let reign = Reign { term: 3, primary: "a-1".parse().unwrap(), begins_at: Default::default(), under: None };
        let settled = Entry::new(cohort, History { term: 3, reigns: vec![reign], step: Step::Settled });
        let changing = settled.clone().under(Policy::None, Mutants::NONE);
        assert_eq!(changing.record.reigns[0].under, Some(Policy::SemiSync { acks: 1 }));
        for (entry, version) in [(settled, 1), (changing, 2)] {
            let bytes = encode(&entry);
            let Versioned { version: written } = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((written, decode(&bytes)), (version, Ok(entry)));
        }
    }

    #[test]
    fn a_record_under_the_key_of_another_is_not_believed() {
        let place = Place::Tablet("zone1-8".parse().unwrap());
        assert!(matches!(Record::decode(&place, &encode(&tablet())), Err(Unreadable::Malformed(_))));
    }
}
