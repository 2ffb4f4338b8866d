//! What a tablet says of itself, unasked: to orchestrators as evidence, to gateways for routing.

use super::{Copy, Orders, Status};
use crate::tablet::drain::Drain;
use crate::time::Instant;
use crate::topo::Role;
use serde::{Deserialize, Serialize};

/// A tablet and its server, first-hand. Whoever hears it notes when: silence is for the listener to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct State {
    /// The highest term it has promised.
    pub promised: u64,
    /// The highest term whose beginning its server has.
    pub followed: u64,
    /// What it serves as, in the promised term: PRIMARY only when it was ordered to lead that very term, has done so, and can prove that it is current.
    pub role: Role,
    /// Its server still has everything that it ever acknowledged.
    pub intact: bool,
    /// Nothing is to begin on its server while this lasts: what is open there ends.
    #[serde(default)]
    pub draining: Option<Drain>,
    /// Its process is about to stop: it is not to be made primary, and if it is, another is to take its place.
    #[serde(default)]
    pub leaving: bool,
    /// How its server is; `None` when that did not answer the last time it was asked.
    pub status: Option<Status>,
    /// The copy that is to replace its server's data, if there is one.
    #[serde(default)]
    pub copy: Option<Copy>,
}

impl Orders {
    /// What there is to say now.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let role = match &self.seen {
            Some(_) if self.leads().is_some() && (self.is_proven || self.proves().is_none()) => Role::Primary,
            // One that has more than the shard's history would answer that it has everything of it.
            Some(status) if status.cannot_follow => Role::Unknown,
            Some(status) if status.source.is_some() && status.read_only => Role::Replica,
            _ => Role::Unknown,
        };
        State {
            promised: self.promise.promised,
            followed: self.promise.followed,
            role,
            intact: self.is_intact(),
            draining: self.drains.told(now),
            leaving: self.is_leaving,
            status: self.seen.clone(),
            copy: self.copy.clone(),
        }
    }
}
