//! The one position type.

use super::mariadb::{Gtid, GtidPosition};
use super::mysql::{GtidSet, Source};
use super::{Error, Flavor};
use core::fmt;
use std::sync::Arc;

/// What a server has executed: a MySQL GTID set or a MariaDB GTID position.
///
/// Cloning counts a reference. An empty position has no flavour and goes with either. Its text is made of hexadecimal
/// digits, tag characters, `:`, `-` and `,` only, so that it can stand in a quoted SQL literal as it is.
///
/// The order of `Ord` is for sorted containers and says nothing of who is ahead: ask [`Position::contains`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(Repr);

/// Never holds an empty set: nothing executed is `Empty`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Repr {
    #[default]
    Empty,
    MySql(Arc<GtidSet>),
    MariaDb(Arc<GtidPosition>),
}

/// What two positions say about the histories of their servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Divergence {
    /// One history continues the other, or they are the same.
    ///
    /// On MySQL certain. On MariaDB certain as long as no server lost the end of its own binary log: in each domain the
    /// last GTIDs are of one writer, whose own numbers ascend.
    None,
    /// MariaDB only: in a domain one is ahead, and different servers wrote the last GTIDs. The one behind may be an
    /// earlier part of the other (there was a change of primary) or a branch off it; a position cannot tell, for it holds
    /// only the last GTID. Whether the other's binary log holds that GTID can (`BINLOG_GTID_POS`, or connecting to it
    /// under `gtid_strict_mode`).
    Undecided,
    /// Each has what the other lacks. On MySQL: neither set contains the other. On MariaDB: two servers wrote different
    /// transactions under one number of one domain.
    Proven,
}

impl From<GtidSet> for Position {
    fn from(set: GtidSet) -> Self {
        Self(if set.is_empty() { Repr::Empty } else { Repr::MySql(Arc::new(set)) })
    }
}

impl From<GtidPosition> for Position {
    fn from(position: GtidPosition) -> Self {
        Self(if position.is_empty() { Repr::Empty } else { Repr::MariaDb(Arc::new(position)) })
    }
}

impl Position {
    /// Reads the text of a position as servers print it and trackers report it; empty text is the empty position.
    ///
    /// Whitespace and newlines may stand between any two tokens. [`Error::Malformed`] for anything a server of this
    /// flavour would not print, [`Error::TooLarge`] beyond the limits.
    pub fn parse(flavor: Flavor, text: impl AsRef<[u8]>) -> Result<Self, Error> {
        let text = text.as_ref();
        match flavor {
            Flavor::MySql => GtidSet::parse(text).map(Self::from),
            Flavor::MariaDb => GtidPosition::parse(text).map(Self::from),
        }
    }

    /// One MySQL transaction.
    #[must_use]
    pub fn mysql(source: Source, seq: u64) -> Self {
        GtidSet::single(source, seq).into()
    }

    /// One MariaDB transaction, and all before it in its domain.
    #[must_use]
    pub fn mariadb(domain: u32, server: u32, seq: u64) -> Self {
        GtidPosition::from(Gtid { domain, seq, server }).into()
    }

    /// Whose position it is; `None` when it is empty.
    #[must_use]
    pub fn flavor(&self) -> Option<Flavor> {
        match &self.0 {
            Repr::Empty => None,
            Repr::MySql(_) => Some(Flavor::MySql),
            Repr::MariaDb(_) => Some(Flavor::MariaDb),
        }
    }

    /// True when nothing was executed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    /// The MySQL set in it.
    #[must_use]
    pub fn as_mysql(&self) -> Option<&GtidSet> {
        if let Repr::MySql(set) = &self.0 { Some(set) } else { None }
    }

    /// The MariaDB position in it.
    #[must_use]
    pub fn as_mariadb(&self) -> Option<&GtidPosition> {
        if let Repr::MariaDb(position) = &self.0 { Some(position) } else { None }
    }

    /// True when a server at `self` has executed everything in `other`: a read there sees the writes of `other`.
    pub fn contains(&self, other: &Self) -> Result<bool, Error> {
        match (&self.0, &other.0) {
            (_, Repr::Empty) => Ok(true),
            (Repr::Empty, _) => Ok(false),
            (Repr::MySql(a), Repr::MySql(b)) => Ok(Arc::ptr_eq(a, b) || a.contains(b)),
            (Repr::MariaDb(a), Repr::MariaDb(b)) => Ok(Arc::ptr_eq(a, b) || a.contains(b)),
            _ => Err(Error::MixedFlavors),
        }
    }

    /// Adds everything in `other`. Copies only when something is new and the value is shared; on error nothing has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        match (&mut self.0, &other.0) {
            (_, Repr::Empty) => Ok(()),
            (mine @ Repr::Empty, theirs) => {
                *mine = theirs.clone();
                Ok(())
            }
            (Repr::MySql(a), Repr::MySql(b)) if a.contains(b) => Ok(()),
            (Repr::MySql(a), Repr::MySql(b)) => Arc::make_mut(a).merge(b),
            (Repr::MariaDb(a), Repr::MariaDb(b)) => Arc::make_mut(a).merge(b),
            _ => Err(Error::MixedFlavors),
        }
    }

    /// The least position that contains both.
    pub fn union(&self, other: &Self) -> Result<Self, Error> {
        let mut both = self.clone();
        both.merge(other)?;
        Ok(both)
    }

    /// The greatest position that both contain.
    pub fn intersect(&self, other: &Self) -> Result<Self, Error> {
        match (&self.0, &other.0) {
            (Repr::Empty, _) | (_, Repr::Empty) => Ok(Self::default()),
            (Repr::MySql(a), Repr::MySql(b)) => a.intersect(b).map(Self::from),
            (Repr::MariaDb(a), Repr::MariaDb(b)) => Ok(a.intersect(b).into()),
            _ => Err(Error::MixedFlavors),
        }
    }

    /// What a server at `other` lacks of `self`: the least position that makes up for it when `other` is merged with it.
    /// Empty exactly when `other` contains `self`.
    pub fn subtract(&self, other: &Self) -> Result<Self, Error> {
        match (&self.0, &other.0) {
            (Repr::Empty, _) | (_, Repr::Empty) => Ok(self.clone()),
            (Repr::MySql(a), Repr::MySql(b)) => a.subtract(b).map(Self::from),
            (Repr::MariaDb(a), Repr::MariaDb(b)) => Ok(a.subtract(b).into()),
            _ => Err(Error::MixedFlavors),
        }
    }

    /// Whether a server at `self` has everything in `other`, and nobody else can have written it there. On MariaDB that is said
    /// only when the same server wrote the last of both: a number alone does not tell whose it is.
    #[must_use]
    pub fn explains(&self, other: &Self) -> bool {
        let same_writer = match (&self.0, &other.0) {
            (Repr::MariaDb(a), Repr::MariaDb(b)) => {
                b.gtids().iter().all(|gtid| a.of(gtid.domain).is_some_and(|mine| mine.server == gtid.server))
            }
            _ => true,
        };
        same_writer && self.contains(other).unwrap_or(false)
    }

    /// Whether the histories of two servers have gone apart, as far as their positions tell.
    pub fn divergence(&self, other: &Self) -> Result<Divergence, Error> {
        match (&self.0, &other.0) {
            (Repr::Empty, _) | (_, Repr::Empty) => Ok(Divergence::None),
            (Repr::MySql(a), Repr::MySql(b)) => Ok(a.divergence(b)),
            (Repr::MariaDb(a), Repr::MariaDb(b)) => Ok(a.divergence(b)),
            _ => Err(Error::MixedFlavors),
        }
    }
}

/// As the server prints it, on one line; `{:#}` keeps the newline that MySQL puts behind the comma between two UUIDs.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Empty => Ok(()),
            Repr::MySql(set) => set.write(f, if f.alternate() { ",\n" } else { "," }),
            Repr::MariaDb(position) => position.write(f),
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self})")
    }
}

/// Reads either flavour: only MySQL's text has colons.
impl core::str::FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let flavor = if text.contains(':') { Flavor::MySql } else { Flavor::MariaDb };
        Self::parse(flavor, text)
    }
}
