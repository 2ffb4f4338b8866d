//! Which groups speak of a table.

use super::is_apart;
use core::fmt;
use std::collections::BTreeMap;

/// Tables, as a group names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: all but those of the system's schemas.
    All,
    /// `schema.*`
    Schema(Vec<u8>),
    /// `schema.prefix*`
    Prefix(Vec<u8>, Vec<u8>),
    /// `schema.table`
    Table(Vec<u8>, Vec<u8>),
}

impl Pattern {
    /// Reads it; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let (schema, table) = text.split_once('.')?;
        let (table, is_prefix) = table.strip_suffix('*').map_or((table, false), |prefix| (prefix, true));
        if [schema, table].into_iter().any(|part| part.contains(['*', '`', '\0'])) || schema.is_empty() {
            return None;
        }
        let (schema, table) = (schema.as_bytes().to_vec(), table.as_bytes().to_vec());
        match (table.is_empty(), is_prefix) {
            (true, true) => Some(Self::Schema(schema)),
            (false, true) => Some(Self::Prefix(schema, table)),
            (false, false) => Some(Self::Table(schema, table)),
            (true, false) => None,
        }
    }
}

/// Two groups name the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash(pub Pattern);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        match self {
            Self::All => f.write_str("*"),
            Self::Schema(schema) => write!(f, "{}.*", text(schema)),
            Self::Prefix(schema, prefix) => write!(f, "{}.{}*", text(schema), text(prefix)),
            Self::Table(schema, table) => write!(f, "{}.{}", text(schema), text(table)),
        }
    }
}

/// What is named, by its groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    all: Option<usize>,
    as_written: BTreeMap<Vec<u8>, InSchema>,
    /// The same in small letters; there several groups may speak of one thing.
    in_any_case: BTreeMap<Vec<u8>, InSchema>,
}

#[derive(Clone, Debug, Default)]
struct InSchema {
    whole: Vec<usize>,
    prefixes: BTreeMap<Vec<u8>, Vec<usize>>,
    tables: BTreeMap<Vec<u8>, Vec<usize>>,
}

impl InSchema {
    fn place(&mut self, pattern: &Pattern) -> Option<&mut Vec<usize>> {
        match pattern {
            Pattern::All => None,
            Pattern::Schema(_) => Some(&mut self.whole),
            Pattern::Prefix(_, prefix) => Some(self.prefixes.entry(prefix.clone()).or_default()),
            Pattern::Table(_, table) => Some(self.tables.entry(table.clone()).or_default()),
        }
    }

    fn groups_of(&self, table: &[u8]) -> Option<&[usize]> {
        let longest_prefix = || (1..=table.len()).rev().find_map(|len| self.prefixes.get(&table[..len]));
        let whole = || Some(&self.whole).filter(|groups| !groups.is_empty());
        self.tables.get(table).or_else(longest_prefix).or_else(whole).map(Vec::as_slice)
    }
}

impl Places {
    pub(super) fn add(&mut self, pattern: Pattern, group: usize) -> Result<(), Clash> {
        let (schema, folded) = match &pattern {
            Pattern::All if self.all.is_some() => return Err(Clash(pattern)),
            Pattern::All => {
                self.all = Some(group);
                return Ok(());
            }
            Pattern::Schema(schema) => (schema, Pattern::Schema(in_small(schema))),
            Pattern::Prefix(schema, prefix) => (schema, Pattern::Prefix(in_small(schema), in_small(prefix))),
            Pattern::Table(schema, table) => (schema, Pattern::Table(in_small(schema), in_small(table))),
        };
        let place = self.as_written.entry(schema.clone()).or_default().place(&pattern);
        let Some(place) = place.filter(|place| place.is_empty()) else { return Err(Clash(pattern)) };
        place.push(group);
        let folded_schema = in_small(schema);
        if let Some(place) = self.in_any_case.entry(folded_schema).or_default().place(&folded) {
            place.push(group);
        }
        Ok(())
    }

    /// The groups that all must let who wants to do something to it do so; `None`: no group speaks of it.
    pub(super) fn groups_of(&self, schema: &[u8], table: &[u8]) -> Option<Vec<usize>> {
        let all = self.all.as_ref().filter(|_| !is_apart(schema)).map(std::slice::from_ref);
        let as_written = self.as_written.get(schema).and_then(|schema| schema.groups_of(table)).or(all)?;
        let folded = in_small(table);
        let in_any_case =
            self.in_any_case.get(&in_small(schema)).and_then(|schema| schema.groups_of(&folded)).or(all)?;
        Some([as_written, in_any_case].concat())
    }
}

/// In small letters, each letter by itself, as servers do it with names.
fn in_small(name: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(name);
    let small = text.chars().map(|char| char.to_lowercase().next().unwrap_or(char));
    small.collect::<String>().into_bytes()
}
