//! The roles of servers that elect by themselves: Galera clusters, and MySQL's Group Replication.
//!
//! Where any tablet of a shard says that it is a member of a group, roles come from what the members say of it, and never from
//! replication links. The group has decided who may write; this finds out what it decided.
//!
//! # Who counts
//!
//! | evidence | counts |
//! |---|---|
//! | none, or older than [`EVIDENCE_AGE_MAX`], or of no group | no |
//! | without the quorum, or [out](MemberState::Out) of the group | no |
//! | in the newest view that a tablet which answers has the quorum in | yes |
//! | in an older one, answers, was asked before the newest was known or [hardly later](VIEW_SPREAD), and that is no longer than [`VIEW_GRACE`] ago | yes: it may be there by now |
//! | in any other one: it is left behind, or gone | no |
//!
//! If those that count speak of several groups, or of one view in which there cannot be so many, nobody has a role.
//!
//! # Who is primary
//!
//! | those that count | primary |
//! |---|---|
//! | none | nobody |
//! | one has elected another or itself | who says so of itself, if one alone does |
//! | all take writes | one of them: the first row below in which there is somebody |
//!
//! | | the holder is preferred, else the lowest alias that answers |
//! |---|---|
//! | 1 | online |
//! | 2 | desynced |
//! | 3 | `read_only`: it is held |
//!
//! Where all take writes one is kept for them all the same: two writers in different places fail each other's transactions when
//! they commit.
//!
//! # The others
//!
//! Who counts and is online is a REPLICA. Everybody else is UNKNOWN, also one that has not been seen lately: it may have to get
//! its data anew.

#[cfg(test)]
mod tests;

use super::{Conflict, EVIDENCE_AGE_MAX, Evidence, Hold, Note, Primary, Verdict};
use crate::mutants::{Mutant, Mutants};
use crate::time::{Duration, Instant};
use crate::topo::group::{Elected, Id, MemberState, Membership, View};
use crate::topo::{Role, Sighting, TabletAlias};
use std::collections::{BTreeMap, BTreeSet};

/// How long after the first word of a new view evidence from before it still counts: longer than tablets take to be asked
/// once more, so that no member is dropped because another was asked first.
pub const VIEW_GRACE: Duration = Duration::from_secs(2);

/// Members enter a view within this time of each other. Who says later that it is in an older one has been left behind: it stood
/// still, or does not hear the others.
pub const VIEW_SPREAD: Duration = Duration::from_millis(500);

/// Judges the evidence of a shard whose servers are members of a group; `None` for any other.
pub(super) fn judge(
    now: Instant,
    evidence: &Evidence,
    holder: Option<&TabletAlias>,
    mutants: Mutants,
) -> Option<Verdict> {
    let last = |sighting: &Sighting| sighting.seen.as_ref().is_some_and(|(_, seen)| seen.group.is_some());
    if !evidence.values().any(last) {
        return None;
    }
    let group = Group::new(now, evidence, mutants);
    let primary = judge_primary(evidence, &group, holder);
    let roles = evidence.keys().map(|tablet| (tablet.clone(), group.role(tablet, &primary))).collect();
    Some(Verdict { primary, roles, notes: notes(now, evidence, &group) })
}

fn judge_primary(evidence: &Evidence, group: &Group<'_>, holder: Option<&TabletAlias>) -> Primary {
    let missing = evidence.iter().filter(|(_, sighting)| !sighting.asked);
    let missing: Vec<_> = missing.map(|(tablet, _)| tablet.clone()).collect();
    if holder.is_none() && !missing.is_empty() {
        return Primary::None(Conflict::StillAsking(missing));
    }
    match group.contradiction() {
        Some(conflict) => Primary::None(conflict),
        None if group.members.values().all(|member| member.says.elected == Elected::Everyone) => group.keep_one(holder),
        None => group.elected(),
    }
}

/// Those that count.
struct Group<'a> {
    members: BTreeMap<&'a TabletAlias, Member<'a>>,
    mutants: Mutants,
}

#[derive(Clone, Copy)]
struct Member<'a> {
    at: Instant,
    says: &'a Membership,
    read_only: bool,
    silent: bool,
}

impl<'a> Group<'a> {
    fn new(now: Instant, evidence: &'a Evidence, mutants: Mutants) -> Self {
        let with_quorum = evidence.iter().filter_map(|(tablet, sighting)| {
            let member = fresh(now, sighting)?;
            let has_quorum = member.says.has_quorum || mutants.breaks(Mutant::BelieveMinority);
            let counts = has_quorum && member.says.state != MemberState::Out;
            counts.then_some((tablet, member))
        });
        let mut members: BTreeMap<_, _> = with_quorum.collect();
        let newest = members.values().max_by_key(|member| (!member.silent, member.says.view));
        let newest = newest.filter(|_| !mutants.breaks(Mutant::BelieveOldView));
        if let Some(newest) = newest.map(|member| member.says.view) {
            let known_since = known_since(evidence, &members, newest);
            let in_grace = now.since(known_since) <= VIEW_GRACE;
            members.retain(|_, member| {
                let may_have_moved = !member.silent && member.at <= known_since + VIEW_SPREAD;
                member.says.view == newest || (in_grace && may_have_moved && member.says.view < newest)
            });
        }
        Self { members, mutants }
    }

    /// What those that count say cannot all be so.
    fn contradiction(&self) -> Option<Conflict> {
        let all = || self.members.keys().map(|tablet| (*tablet).clone()).collect();
        let groups: BTreeSet<Option<Id>> = self.members.values().map(|member| member.says.group).collect();
        if groups.len() > 1 {
            return Some(Conflict::SeveralGroups(all()));
        }
        let newest = self.members.values().map(|member| member.says.view).max();
        let there = || self.members.values().filter(|member| Some(member.says.view) == newest);
        let sizes: BTreeSet<u32> = there().map(|member| member.says.members).collect();
        let ids: BTreeSet<Id> = there().filter_map(|member| member.says.member).collect();
        let too_many = sizes.first().is_some_and(|size| ids.len() > *size as usize);
        (sizes.len() > 1 || too_many).then(|| Conflict::SplitGroup(all()))
    }

    /// One of several that all take writes.
    fn keep_one(&self, holder: Option<&TabletAlias>) -> Primary {
        let rows: [fn(&Member<'_>) -> bool; 3] = [
            |member| member.says.state == MemberState::Online && !member.read_only,
            |member| member.says.state == MemberState::Desynced && !member.read_only,
            |member| member.says.state != MemberState::Joining,
        ];
        for row in rows {
            let mut able = self.members.iter().filter(|(_, member)| row(member));
            let kept = able.clone().find(|(tablet, _)| Some(**tablet) == holder);
            if let Some((tablet, member)) = kept.or_else(|| able.find(|(_, member)| !member.silent)) {
                return installed(tablet, member);
            }
        }
        Primary::None(self.without_answer().unwrap_or(Conflict::NobodyOnline))
    }

    /// What those that count said is all there is of the quorum: none of them answers any more.
    fn without_answer(&self) -> Option<Conflict> {
        self.members.values().all(|member| member.silent).then_some(Conflict::NoQuorum)
    }

    /// Who says that the group has elected it. Of two that do the one in the later view knows better.
    fn elected(&self) -> Primary {
        let is_able = |member: &Member<'_>| member.says.is_elected() && member.says.state == MemberState::Online;
        let claims = || self.members.iter().filter(|(_, member)| is_able(member));
        let last = claims().map(|(_, member)| member.says.view).max();
        let any = self.mutants.breaks(Mutant::BelieveOldView);
        let mut claims = claims().filter(|(_, member)| any || Some(member.says.view) == last);
        match (claims.next(), claims.next().filter(|_| !any)) {
            (Some((tablet, member)), None) => installed(tablet, member),
            (Some((one, _)), Some((other, _))) => {
                Primary::None(Conflict::SeveralElected(vec![(*one).clone(), (*other).clone()]))
            }
            (None, _) => Primary::None(self.without_answer().unwrap_or(Conflict::ElectedUnseen)),
        }
    }

    fn role(&self, tablet: &TabletAlias, primary: &Primary) -> Role {
        let too_early = |state| state == MemberState::Joining && self.mutants.breaks(Mutant::ReadJoining);
        let is_readable = |state| state == MemberState::Online || too_early(state);
        let is_online = || self.members.get(tablet).is_some_and(|member| is_readable(member.says.state));
        match primary {
            Primary::Serving(primary) | Primary::Held(primary, _) if primary == tablet => Role::Primary,
            Primary::None(Conflict::SeveralGroups(_) | Conflict::SplitGroup(_)) => Role::Unknown,
            _ if is_online() => Role::Replica,
            _ => Role::Unknown,
        }
    }
}

fn fresh(now: Instant, sighting: &Sighting) -> Option<Member<'_>> {
    let (at, seen) = sighting.seen.as_ref().filter(|(at, _)| now.since(*at) <= EVIDENCE_AGE_MAX)?;
    debug_assert!(*at <= now, "evidence of the future");
    let says = seen.group.as_ref()?;
    Some(Member { at: *at, says, read_only: seen.read_only, silent: sighting.silent })
}

/// When the first of those in a view was first seen there.
fn known_since(evidence: &Evidence, members: &BTreeMap<&TabletAlias, Member<'_>>, view: View) -> Instant {
    let there = members.iter().filter(|(_, member)| member.says.view == view);
    let since = there.filter_map(|(tablet, _)| evidence.get(*tablet)?.view_since);
    since.min().unwrap_or(Instant::ZERO)
}

fn installed(tablet: &TabletAlias, member: &Member<'_>) -> Primary {
    if member.read_only { Primary::Held(tablet.clone(), Hold::ReadOnly) } else { Primary::Serving(tablet.clone()) }
}

fn notes(now: Instant, evidence: &Evidence, group: &Group<'_>) -> Vec<Note> {
    let told = evidence.iter().filter_map(|(tablet, sighting)| {
        let (_, seen) = sighting.seen.as_ref()?;
        match (&seen.group, fresh(now, sighting)) {
            (None, _) => Some(Note::NotInGroup(tablet.clone())),
            (Some(_), Some(member)) if !member.silent && !member.says.has_quorum => {
                Some(Note::WithoutQuorum(tablet.clone()))
            }
            (Some(_), Some(member)) if !member.silent && member.says.state != MemberState::Out => {
                (!group.members.contains_key(tablet)).then(|| Note::LeftBehind(tablet.clone()))
            }
            _ => None,
        }
    });
    told.collect()
}
