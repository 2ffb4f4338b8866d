//! Who follows whom: matching the sources that replicas name to tablets, and following chains to their ends.

use super::{EVIDENCE_AGE_MAX, Evidence, Primary};
use crate::time::Instant;
use crate::topo::{Observation, Receiver, Sighting, SourceLink, TabletAlias};
use std::collections::{BTreeMap, BTreeSet};

/// What a tablet's own evidence says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing usable.
    Gone,
    /// It has a source.
    Follows,
    /// No source, and writable.
    Writable,
    /// No source, and `read_only`.
    ReadOnly,
}

/// Where a chain of sources ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End<'a> {
    /// At a tablet without source, or one that is gone but to which its replica is connected.
    At(&'a TabletAlias),
    /// At a tablet that is gone, and nobody says that it lives.
    Lost,
    /// At a server that is no tablet of the shard, or in a circle.
    Outside,
}

impl<'a> End<'a> {
    /// Whom a replica with this end speaks for.
    pub(super) fn vote(&self) -> Option<&'a TabletAlias> {
        if let Self::At(tablet) = self { Some(tablet) } else { None }
    }

    /// There is a primary, and who has this end does not get its writes.
    pub(super) fn misses(&self, primary: &Primary) -> bool {
        match self {
            Self::At(tablet) => primary.tablet().is_some_and(|primary| primary != *tablet),
            Self::Outside => primary.tablet().is_some(),
            Self::Lost => false,
        }
    }
}

/// The evidence of a shard, with what is too old left out.
pub(super) struct Links<'a> {
    evidence: &'a Evidence,
    fresh: BTreeMap<&'a TabletAlias, Fresh<'a>>,
}

struct Fresh<'a> {
    observation: &'a Observation,
    sources: &'a [SourceLink],
}

impl<'a> Links<'a> {
    pub(super) fn new(now: Instant, evidence: &'a Evidence) -> Self {
        let is_fresh = |at: &Instant| now.since(*at) <= EVIDENCE_AGE_MAX;
        let fresh = evidence.iter().filter_map(|(tablet, sighting)| {
            let (_, observation) = sighting.seen.as_ref().filter(|(at, _)| is_fresh(at))?;
            let sources = observation.sources.as_deref()?;
            Some((tablet, Fresh { observation, sources }))
        });
        Self { evidence, fresh: fresh.collect() }
    }

    pub(super) fn standing(&self, tablet: &TabletAlias) -> Standing {
        match self.fresh.get(tablet) {
            None => Standing::Gone,
            Some(fresh) if !fresh.sources.is_empty() => Standing::Follows,
            Some(fresh) if fresh.observation.read_only => Standing::ReadOnly,
            Some(_) => Standing::Writable,
        }
    }

    pub(super) fn is_writable(&self, tablet: &TabletAlias) -> bool {
        self.fresh.get(tablet).is_some_and(|fresh| !fresh.observation.read_only)
    }

    /// It was seen, recently or not, and would not tell its sources.
    pub(super) fn hides_sources(&self, tablet: &TabletAlias) -> bool {
        let seen = self.evidence.get(tablet).and_then(|sighting| sighting.seen.as_ref());
        seen.is_some_and(|(_, observation)| observation.sources.is_none())
    }

    /// The only tablet of the shard, if it has no source.
    pub(super) fn lone_root(&self) -> Option<&'a TabletAlias> {
        let lone = self.evidence.keys().next().filter(|_| self.evidence.len() == 1);
        lone.filter(|tablet| matches!(self.standing(tablet), Standing::Writable | Standing::ReadOnly))
    }

    /// Where the chains of a tablet that follows end; nothing for any other.
    pub(super) fn ends(&self, tablet: &'a TabletAlias) -> BTreeSet<End<'a>> {
        let mut ends = BTreeSet::new();
        let mut visited = BTreeSet::from([tablet]);
        let mut to_visit = vec![tablet];
        while let Some(replica) = to_visit.pop() {
            for link in self.fresh.get(replica).map_or(&[][..], |fresh| fresh.sources) {
                let Some(source) = self.source(replica, link) else {
                    ends.insert(End::Outside);
                    continue;
                };
                match self.standing(source) {
                    Standing::Follows if visited.insert(source) => to_visit.push(source),
                    Standing::Follows => drop(ends.insert(End::Outside)),
                    Standing::Gone if link.receiver != Receiver::Connected => drop(ends.insert(End::Lost)),
                    Standing::Gone | Standing::Writable | Standing::ReadOnly => drop(ends.insert(End::At(source))),
                }
            }
        }
        ends
    }

    /// The tablet that a link leads to.
    ///
    /// The ids that a replica reports are those of the server it was connected to last. They are the better evidence while it is
    /// connected; once it is pointed elsewhere and not connected yet, they are of the wrong server, so the address counts first.
    fn source(&self, replica: &TabletAlias, link: &SourceLink) -> Option<&'a TabletAlias> {
        let by_id = || self.by_uuid(link).or_else(|| self.by_server_id(link));
        let by_address = || self.by_address(replica, link);
        match link.receiver {
            Receiver::Connected => by_id().or_else(by_address),
            Receiver::Connecting | Receiver::Stopped => by_address().or_else(by_id),
        }
    }

    fn by_uuid(&self, link: &SourceLink) -> Option<&'a TabletAlias> {
        let uuid = link.server_uuid?;
        self.only(|sighting| sighting.seen.as_ref().is_some_and(|(_, seen)| seen.server_uuid == Some(uuid)))
    }

    fn by_server_id(&self, link: &SourceLink) -> Option<&'a TabletAlias> {
        let known = link.server_id != 0;
        self.only(|sighting| known && sighting.seen.as_ref().is_some_and(|(_, seen)| seen.server_id == link.server_id))
    }

    fn by_address(&self, replica: &TabletAlias, link: &SourceLink) -> Option<&'a TabletAlias> {
        let address = link.address.seen_from(&self.evidence.get(replica)?.address);
        self.only(|sighting| sighting.address.is_same(&address))
    }

    /// The tablet that fits, if no other does. Who a server is does not age, so old sightings count here.
    fn only(&self, fits: impl Fn(&Sighting) -> bool) -> Option<&'a TabletAlias> {
        let mut fitting = self.evidence.iter().filter(|(_, sighting)| fits(sighting)).map(|(tablet, _)| tablet);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// Neighbouring tablets with one server id.
    pub(super) fn same_ids(&self) -> impl Iterator<Item = (&'a TabletAlias, &'a TabletAlias)> {
        let mut by_id: BTreeMap<u32, Vec<&'a TabletAlias>> = BTreeMap::new();
        for (tablet, fresh) in &self.fresh {
            by_id.entry(fresh.observation.server_id).or_default().push(tablet);
        }
        by_id.into_values().flat_map(|same| {
            let pairs: Vec<_> = same.windows(2).map(|pair| (pair[0], pair[1])).collect();
            pairs
        })
    }
}
