//! Which server is primary, found from the servers themselves.
//!
//! A pure function of the evidence and of who was primary before. Nothing is concluded from `read_only` alone, for a former
//! primary that comes back writable looks just like the real one; what counts is whom the replicas follow.
//!
//! # A tablet's standing
//!
//! What a tablet's own evidence says of it:
//!
//! | evidence | standing |
//! |---|---|
//! | none, or older than [`EVIDENCE_AGE_MAX`], or its sources could not be read | `Gone` |
//! | it has a replication source, running or not | `Follows` |
//! | no source, writable | `Writable` |
//! | no source, `read_only` | `ReadOnly` |
//!
//! # Whom the replicas follow
//!
//! Each tablet that `Follows` votes for the end of its chain of sources. A chain that ends outside the shard, in a circle, or
//! at a tablet that is `Gone` and to which the replica is not connected, is no vote. A replica that is connected to a `Gone`
//! tablet is first-hand evidence that it lives.
//!
//! # The rules
//!
//! By the standing of the *holder*, who was primary last, and whom the replicas follow:
//!
//! | holder | nobody | the holder | several, with the holder | another, writable | another, read-only | a minority's | another, gone | several others |
//! |---|---|---|---|---|---|---|---|---|
//! | none yet | lone | – | – | move | move | refuse | refuse | refuse |
//! | `Writable` | keep | keep | keep | move | refuse | refuse | refuse | refuse |
//! | `ReadOnly` | keep | keep | keep | move | refuse | refuse | refuse | refuse |
//! | `Follows` | refuse | – | – | move | move | refuse | refuse | refuse |
//! | `Gone` | keep | keep | keep | move | refuse | refuse | refuse | refuse |
//!
//! "Another" has more than half of all the shard's tablets with it: itself and the replicas that are seen to follow it. If
//! not, it is "a minority's". So of two parts of a shard that do not see each other at most one finds a new primary.
//!
//! - *keep*: the holder stays; it serves if it is `Writable`, else it is [held](Primary::Held), with the reason.
//! - *move*: the one that is followed becomes primary, and serves if it is `Writable`.
//! - *refuse*: there is no primary, with a [`Conflict`] that an operator can read. The holder is not forgotten.
//! - *lone*: the only tablet of a shard needs no followers; of several, none is taken.
//!
//! Without a holder nothing is concluded until every tablet has been asked once, so that the order of the first reports
//! does not matter.
//!
//! # The other tablets
//!
//! A tablet that `Follows` is a REPLICA, unless it misses the primary's writes: when there is a primary and its chain ends
//! at another server, in the shard or outside, it is UNKNOWN. One that is `Gone` keeps REPLICA if it was one (whether it
//! serves is a question of health). One without source that is not primary is UNKNOWN.
//!
//! # Groups
//!
//! Servers that elect by themselves have rules of their own, in `group.rs`.
//!
//! # Limits
//!
//! These rules find out what others decided; they fence nobody. A holder cut off with us goes on serving what reaches it while
//! the rest of the shard may have moved on: only a lease could tell.
//!
//! In a chain of replicas, an intermediate one that is out of our reach but not of its replica's looks like a primary that
//! others promoted. If nobody else follows the holder, the rules refuse until it is seen again: better no primary than two.

mod group;
mod links;
mod rules;
#[cfg(test)]
mod tests;
mod verdict;

pub use group::{VIEW_GRACE, VIEW_SPREAD};
pub use verdict::{Conflict, Hold, Note, Primary, Verdict};

use super::{Role, Sighting, TabletAlias};
use crate::mutants::Mutants;
use crate::time::{Duration, Instant};
use links::{End, Links, Standing};
use rules::{Followed, Ruling, Votes, ruling};
use std::collections::{BTreeMap, BTreeSet};

/// Evidence older than this is not evidence. Several times the interval between observations, so that one lost report
/// changes nothing.
pub const EVIDENCE_AGE_MAX: Duration = Duration::from_secs(5);

/// All tablets of a shard.
pub type Evidence = BTreeMap<TabletAlias, Sighting>;

/// Judges the evidence. `holder` is who was primary last and `roles` what was concluded last; see the module for the rules.
#[must_use]
pub fn discover(
    now: Instant,
    evidence: &Evidence,
    holder: Option<&TabletAlias>,
    roles: &BTreeMap<TabletAlias, Role>,
) -> Verdict {
    discover_broken(now, evidence, holder, roles, Mutants::NONE)
}

/// The same, by rules of which one may be broken.
pub(super) fn discover_broken(
    now: Instant,
    evidence: &Evidence,
    holder: Option<&TabletAlias>,
    roles: &BTreeMap<TabletAlias, Role>,
    mutants: Mutants,
) -> Verdict {
    let holder = holder.filter(|holder| evidence.contains_key(*holder));
    if let Some(verdict) = group::judge(now, evidence, holder, mutants) {
        return verdict;
    }
    let links = Links::new(now, evidence);
    let ends: Ends<'_> = evidence.keys().map(|tablet| (tablet, links.ends(tablet))).collect();
    let primary = judge_primary(&links, evidence, &ends, holder);
    let mut roles_now = BTreeMap::new();
    for tablet in evidence.keys() {
        let before = roles.get(tablet).copied().unwrap_or_default();
        roles_now.insert(tablet.clone(), role_of(tablet, &links, &ends[tablet], &primary, before));
    }
    let notes = notes(&links, &ends, &primary);
    Verdict { primary, roles: roles_now, notes }
}

/// Where each tablet's chains of sources end; nothing for those that follow nobody.
type Ends<'a> = BTreeMap<&'a TabletAlias, BTreeSet<End<'a>>>;

fn judge_primary(links: &Links<'_>, evidence: &Evidence, ends: &Ends<'_>, holder: Option<&TabletAlias>) -> Primary {
    let missing = evidence.iter().filter(|(_, sighting)| !sighting.asked);
    let missing: Vec<_> = missing.map(|(tablet, _)| tablet.clone()).collect();
    if holder.is_none() && !missing.is_empty() {
        return Primary::None(Conflict::StillAsking(missing));
    }
    let mut votes = Votes::new();
    for followed in ends.values().flatten().filter_map(End::vote) {
        *votes.entry(followed).or_default() += 1;
    }
    let followed = Followed::by(&votes, holder, evidence.len(), links);
    let refuse = || Primary::None(conflict(links, evidence, followed, &votes));
    match (ruling(holder.map(|holder| links.standing(holder)), followed), holder, votes.keys().next()) {
        (Ruling::Keep, Some(holder), _) => installed(links, holder),
        (Ruling::Move, _, Some(followed)) => installed(links, followed),
        (Ruling::Lone, ..) => links.lone_root().map_or_else(refuse, |lone| installed(links, lone)),
        _ => refuse(),
    }
}

fn installed(links: &Links<'_>, tablet: &TabletAlias) -> Primary {
    match links.standing(tablet) {
        Standing::Writable => Primary::Serving(tablet.clone()),
        Standing::ReadOnly => Primary::Held(tablet.clone(), Hold::ReadOnly),
        Standing::Gone | Standing::Follows => Primary::Held(tablet.clone(), Hold::Gone),
    }
}

fn conflict(links: &Links<'_>, evidence: &Evidence, followed: Followed, votes: &Votes<'_>) -> Conflict {
    let of = |standing| evidence.keys().filter(move |tablet| links.standing(tablet) == standing);
    let Some((&leader, &voters)) = votes.first_key_value() else {
        let nothing_seen = of(Standing::Gone).count() == evidence.len();
        let writable = of(Standing::Writable).cloned().collect();
        return if nothing_seen { Conflict::NothingSeen } else { Conflict::NobodyFollowed { writable } };
    };
    let leader = leader.clone();
    match followed {
        Followed::Gone => Conflict::FollowedButGone(leader),
        Followed::Minority => Conflict::Minority { leader, with_it: voters + 1, tablets: evidence.len() },
        Followed::Writable | Followed::ReadOnly => Conflict::FollowedButReadOnly(leader),
        Followed::Nobody | Followed::Holder | Followed::SeveralWithHolder | Followed::Several => {
            Conflict::Split(votes.keys().map(|tablet| (*tablet).clone()).collect())
        }
    }
}

fn role_of(tablet: &TabletAlias, links: &Links<'_>, ends: &BTreeSet<End<'_>>, primary: &Primary, before: Role) -> Role {
    if primary.tablet() == Some(tablet) {
        return Role::Primary;
    }
    match links.standing(tablet) {
        Standing::Writable | Standing::ReadOnly => Role::Unknown,
        Standing::Gone if before == Role::Primary => Role::Unknown,
        Standing::Gone => before,
        Standing::Follows if ends.iter().any(|end| end.misses(primary)) => Role::Unknown,
        Standing::Follows => Role::Replica,
    }
}

fn notes(links: &Links<'_>, ends: &Ends<'_>, primary: &Primary) -> Vec<Note> {
    let mut notes = Vec::new();
    for (&tablet, ends) in ends {
        let own = tablet.clone();
        match links.standing(tablet) {
            Standing::Writable if primary.tablet() != Some(tablet) => notes.push(Note::Stray(own)),
            Standing::Follows if links.is_writable(tablet) => notes.push(Note::WritableReplica(own)),
            Standing::Gone if links.hides_sources(tablet) => notes.push(Note::SourcesHidden(own)),
            _ => {}
        }
        notes.extend(ends.iter().filter_map(|end| match end {
            End::Outside => Some(Note::Outside(tablet.clone())),
            End::At(follows) if end.misses(primary) => {
                Some(Note::Astray { replica: tablet.clone(), follows: (*follows).clone() })
            }
            End::At(_) | End::Lost => None,
        }));
    }
    notes.extend(links.same_ids().map(|(one, other)| Note::SameServerId(one.clone(), other.clone())));
    notes
}
