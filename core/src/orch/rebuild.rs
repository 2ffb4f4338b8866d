//! A server that cannot follow gets a copy of another's data: when that may be, and from whom.
//!
//! Owns the rules. It keeps nothing: that a tablet is being rebuilt, and how far it is, is on that tablet's own disk
//! ([`Copy`](struct@Copy)), so whoever has the lock next goes on from there. Making the copy does no harm and may
//! come to nothing; putting it in place takes away what the server had, and is done only while nobody can need that:
//!
//! - the term is settled and its primary leads, so what counts is there;
//! - the others are enough to begin another term without losing anything, also without this one;
//! - the copy was made in this term, from a replica that has the beginning of it and nothing that the others have not.
//!
//! Start with [`next`].

use super::analysis::Facts;
use super::choose::Promotion;
use crate::mutants::{Mutant, Mutants};
use crate::tablet::orders::{Copy, Stage, State};
use crate::topo::{Role, TabletAlias};
use core::fmt;
use serde::{Deserialize, Serialize};

/// What becomes of a server with transactions that the shard's history has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Errant {
    /// It stays out, as it is, until a person has looked at it.
    #[default]
    Quarantine,
    /// It is rebuilt. Its data are kept aside.
    Rebuild,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The tablet begins to copy the data of this one.
    Copy(TabletAlias),
    /// It is at it.
    Wait,
    /// It puts its copy in place.
    Restore,
}

/// Why a tablet is not rebuilt now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Obstacle {
    /// The shard has no such tablet, or it does not answer.
    Unheard,
    /// It is the primary.
    Primary,
    /// There is no primary that leads.
    NoPrimary,
    /// The others cannot do without it.
    Needed,
    /// Nobody has the data, whole.
    NoDonor,
    /// This one comes first.
    After(TabletAlias),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unheard => f.write_str("its tablet does not answer"),
            Self::Primary => f.write_str("it is the primary: make another tablet primary first"),
            Self::NoPrimary => f.write_str("there is no primary that leads"),
            Self::Needed => f.write_str(
                "it may have what too few of the others are known to have: bring back those that do not answer or catch up first",
            ),
            Self::NoDonor => f.write_str("no other server follows that has the data, whole"),
            Self::After(other) => write!(f, "{other} is being rebuilt, one at a time"),
        }
    }
}

/// How far a tablet is that somebody wants to be rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits for its turn.
    Waits,
    /// It has a copy, whole or not.
    Copies(Copy),
    /// The copy is in place; it fetches what was written since.
    CatchesUp,
    /// It has no copy, or had one put in place, and what it fetches cannot be applied.
    Stuck,
    /// It follows, and has everything.
    Follows,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits => f.write_str("waits for its turn"),
            Self::Copies(copy) => write!(f, "{copy}"),
            Self::CatchesUp => f.write_str("catches up with the primary"),
            Self::Stuck => f.write_str("cannot apply what the primary writes"),
            Self::Follows => f.write_str("follows the primary, and has everything"),
        }
    }
}

/// How far a tablet is. `asked` is whether somebody wants it to be rebuilt, and it has not begun.
#[must_use]
pub fn progress(facts: &Facts<'_>, tablet: &TabletAlias, asked: bool) -> Progress {
    match facts.state(tablet).and_then(|state| state.copy.as_ref()) {
        _ if asked => Progress::Waits,
        Some(copy) => Progress::Copies(copy.clone()),
        None if is_whole(facts, tablet) => Progress::Follows,
        None if cannot_follow(facts, tablet) => Progress::Stuck,
        None => Progress::CatchesUp,
    }
}

/// What is to be done next to rebuild a tablet.
///
/// # Errors
/// Why nothing is, now.
pub fn next(facts: &Facts<'_>, tablet: &TabletAlias, mutants: Mutants) -> Result<Next, Obstacle> {
    let state = facts.state(tablet).ok_or(Obstacle::Unheard)?;
    let primary = leader(facts).ok_or(Obstacle::NoPrimary)?;
    if primary == tablet {
        return Err(Obstacle::Primary);
    }
    let other = |other: &&TabletAlias| *other != tablet && is_begun(facts, other);
    if let Some(first) = facts.entry.cohort.tablets.iter().find(other).filter(|_| !is_begun(facts, tablet)) {
        return Err(Obstacle::After(first.clone()));
    }
    if !facts.can_recruit(Some(tablet)) {
        return Err(Obstacle::Needed);
    }
    match &state.copy {
        Some(copy) if copy.term == facts.term() && copy.stage == Stage::Ready => Ok(Next::Restore),
        Some(copy) if copy.term == facts.term() && matches!(copy.stage, Stage::UnderWay(_)) => Ok(Next::Wait),
        _ => donor(facts, tablet, primary, mutants).map(Next::Copy).ok_or(Obstacle::NoDonor),
    }
}

/// The primary of the settled term, if it leads.
fn leader<'a>(facts: &'a Facts<'_>) -> Option<&'a TabletAlias> {
    let leads = |state: &State| state.role == Role::Primary && state.promised == facts.term();
    facts.primary().filter(|primary| facts.state(primary).is_some_and(leads))
}

fn is_begun(facts: &Facts<'_>, tablet: &TabletAlias) -> bool {
    let goes_on = |copy: &Copy| !matches!(copy.stage, Stage::Broken(_));
    facts.state(tablet).and_then(|state| state.copy.as_ref()).is_some_and(goes_on)
}

/// A replica, one that is not to be primary rather than others, one in the same cell rather than others; the primary when there is none.
fn donor(facts: &Facts<'_>, tablet: &TabletAlias, primary: &TabletAlias, mutants: Mutants) -> Option<TabletAlias> {
    let cohort = &facts.entry.cohort;
    let may_give =
        |other: &&TabletAlias| is_whole(facts, other) || mutants.breaks(Mutant::RebuildFromAnybody) && *other > tablet;
    let others = cohort.tablets.iter().filter(|other| *other != tablet && *other != primary);
    let rank = |other: &&TabletAlias| {
        let leads_never = cohort.promotion.get(*other) == Some(&Promotion::MustNot);
        (!leads_never, other.cell != tablet.cell)
    };
    others.filter(may_give).min_by_key(rank).or(Some(primary)).cloned()
}

/// It follows, and has everything that the term began with and nothing else that is known of.
fn is_whole(facts: &Facts<'_>, tablet: &TabletAlias) -> bool {
    let is = |state: &State| {
        let status = state.status.as_ref();
        let applies = status.is_some_and(|status| status.applier_running && !status.cannot_follow);
        applies && state.intact && state.followed == facts.term() && state.copy.is_none()
    };
    let follows = facts.receives(tablet) && !facts.errant.contains_key(tablet);
    follows && facts.state(tablet).is_some_and(is)
}

fn cannot_follow(facts: &Facts<'_>, tablet: &TabletAlias) -> bool {
    let status = facts.state(tablet).and_then(|state| state.status.as_ref());
    status.is_some_and(|status| status.cannot_follow)
}

#[cfg(test)]
mod tests {
    use super::super::analysis::Sighting;
    use super::super::durability::Policy;
    use super::super::lock::Entry;
    use super::super::recovery::{Cohort, Record, Reign, Step};
    use super::*;
    use crate::gtid::Position;
    use crate::tablet::orders::Status;
    use crate::time::Instant;
    use std::collections::BTreeMap;

    const NOW: Instant = Instant(60_000_000_000);

    fn alias(uid: u32) -> TabletAlias {
        format!("a-{uid}").parse().expect("an alias")
    }

    /// Tablet 1 is primary in term 4.
    struct Shard {
        entry: Entry,
        seen: BTreeMap<TabletAlias, Sighting>,
        errant: BTreeMap<TabletAlias, Position>,
    }

    impl Shard {
        fn of(size: u32) -> Self {
            let tablets = (1..=size).map(alias);
            let reign = Reign { term: 4, primary: alias(1), begins_at: Position::default(), under: None };
            let record = Record { term: 4, reigns: vec![reign], step: Step::Settled };
            let policy = Policy::SemiSync { acks: 1 };
            let cohort = Cohort { tablets: tablets.clone().collect(), policy, promotion: BTreeMap::new() };
            let seen = tablets.map(|tablet| (tablet.clone(), Self::sighting(tablet == alias(1)))).collect();
            Self { entry: Entry::new(cohort, record), seen, errant: BTreeMap::new() }
        }

        fn sighting(leads: bool) -> Sighting {
            let status = Status {
                source: (!leads).then(|| alias(1)),
                receiver_running: !leads,
                receiver_connected: !leads,
                applier_running: !leads,
                ..Status::default()
            };
            let role = if leads { Role::Primary } else { Role::Replica };
            let status = Some(status);
            let state = State { promised: 4, followed: 4, role, intact: true, status, ..State::default() };
            Sighting { heard_at: NOW, state }
        }

        fn with(mut self, uid: u32, change: impl FnOnce(&mut State)) -> Self {
            change(&mut self.seen.get_mut(&alias(uid)).expect("it is there").state);
            self
        }

        fn with_copy(self, uid: u32, term: u64, stage: Stage) -> Self {
            self.with(uid, |state| state.copy = Some(Copy { from: alias(2), term, stage }))
        }

        fn facts(&self) -> Facts<'_> {
            Facts { now: NOW, entry: &self.entry, seen: &self.seen, errant: &self.errant }
        }

        fn next(&self, uid: u32) -> Result<Next, Obstacle> {
            next(&self.facts(), &alias(uid), Mutants::NONE)
        }

        fn progress(&self, uid: u32, asked: bool) -> Progress {
            progress(&self.facts(), &alias(uid), asked)
        }
    }

    #[test]
    fn a_copy_is_made_put_in_place_and_made_again_when_that_is_of_no_use() {
        assert_eq!(Shard::of(3).next(3), Ok(Next::Copy(alias(2))));
        assert_eq!(Shard::of(3).with_copy(3, 4, Stage::UnderWay(7)).next(3), Ok(Next::Wait));
        assert_eq!(Shard::of(3).with_copy(3, 4, Stage::Ready).next(3), Ok(Next::Restore));
        let copy = Ok(Next::Copy(alias(2)));
        assert_eq!(Shard::of(3).with_copy(3, 3, Stage::Ready).next(3), copy, "of an earlier term");
        assert_eq!(Shard::of(3).with_copy(3, 4, Stage::Broken("gone".into())).next(3), copy);
    }

    #[test]
    fn the_primary_gives_its_data_only_when_no_replica_can() {
        let mut shard = Shard::of(4);
        assert_eq!(shard.next(2), Ok(Next::Copy(alias(3))));
        shard.errant.insert(alias(3), Position::default());
        assert_eq!(shard.next(2), Ok(Next::Copy(alias(4))), "errant");
        let unfit: [fn(&mut State); 4] = [
            |state| state.intact = false,
            |state| state.followed = 3,
            |state| state.status.as_mut().expect("it answers").applier_running = false,
            |state| state.status.as_mut().expect("it answers").cannot_follow = true,
        ];
        for change in unfit {
            assert_eq!(Shard::of(5).with(3, change).next(2), Ok(Next::Copy(alias(4))));
        }
        assert_eq!(Shard::of(2).next(2), Ok(Next::Copy(alias(1))), "there is nobody else");
    }

    #[test]
    fn one_that_is_not_to_be_primary_gives_rather_than_others() {
        let mut shard = Shard::of(4);
        shard.entry.cohort.promotion.insert(alias(4), Promotion::MustNot);
        assert_eq!(shard.next(2), Ok(Next::Copy(alias(4))));
    }

    #[test]
    fn nothing_is_taken_away_that_may_be_needed() {
        assert_eq!(Shard::of(3).next(1), Err(Obstacle::Primary));
        assert_eq!(Shard::of(3).next(7), Err(Obstacle::Unheard));
        assert_eq!(Shard::of(3).with(1, |state| state.role = Role::Unknown).next(3), Err(Obstacle::NoPrimary));
        let mut changing = Shard::of(3).with_copy(3, 4, Stage::Ready);
        changing.entry.record.step = Step::Recruiting;
        assert_eq!(changing.next(3), Err(Obstacle::NoPrimary), "a primary is being chosen");
        let alone = Shard::of(4).with_copy(3, 4, Stage::Ready).with(1, |state| state.intact = false);
        let alone = alone.with(2, |state| state.status = None);
        assert_eq!(alone.next(3), Err(Obstacle::Needed));
    }

    #[test]
    fn it_is_told_how_far_it_is() {
        assert_eq!(Shard::of(3).progress(3, true), Progress::Waits);
        let copies = Copy { from: alias(2), term: 4, stage: Stage::UnderWay(7) };
        assert_eq!(Shard::of(3).with_copy(3, 4, Stage::UnderWay(7)).progress(3, false), Progress::Copies(copies));
        assert_eq!(Shard::of(3).progress(3, false), Progress::Follows);
        let restarts = Shard::of(3).with(3, |state| state.status = None);
        assert_eq!(restarts.progress(3, false), Progress::CatchesUp);
        let stuck = Shard::of(3).with(3, |state| state.status.as_mut().expect("it answers").cannot_follow = true);
        assert_eq!(stuck.progress(3, false), Progress::Stuck);
        assert_eq!(stuck.progress(3, true), Progress::Waits);
    }

    #[test]
    fn one_at_a_time() {
        let shard = Shard::of(4).with_copy(3, 4, Stage::UnderWay(1));
        assert_eq!(shard.next(4), Err(Obstacle::After(alias(3))));
        assert_eq!(shard.next(3), Ok(Next::Wait));
        let broken = Shard::of(4).with_copy(3, 4, Stage::Broken("gone".into()));
        assert_eq!(broken.next(4), Ok(Next::Copy(alias(2))), "it does not stand in the way");
    }
}
