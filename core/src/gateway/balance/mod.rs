//! Which tablet takes a statement.
//!
//! Owns the choice, as a function of a [`View`], a [`Wish`] and a [`Chooser`], and the [`Meter`]s by which sessions see each
//! other's choices; keeps nothing else. It may not know sessions or connections. Start with [`pick`]: the rules apply in the order in which it calls them.

mod explain;
mod meter;
mod policy;
#[cfg(test)]
mod tests;
mod unfit;

pub use explain::{Candidate, explain, standing};
pub use meter::{Leased, Meter, Running, Sample};
pub use policy::{Chooser, Policy};

use super::cluster::{TabletId, TabletView, View, WithoutReplica};
use crate::error::Error;
use crate::gtid::Position;
use crate::time::{Duration, Instant};
use crate::topo::Role;

/// Replicas whose lags differ by less are equally good to wait on.
const LAG_TOLERANCE: Duration = Duration::from_secs(1);

/// What a statement needs of a tablet.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// The role it must have.
    pub role: Role,
    /// How to choose among those equally good.
    pub policy: Policy,
    /// Where to stay, if it is fit.
    pub stick: Option<TabletId>,
    /// What the server must have executed before the statement runs.
    pub position: Option<&'a Position>,
    /// These have been tried.
    pub exclude: &'a [TabletId],
    /// For numbers that fade with time.
    pub now: Instant,
}

/// A tablet to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Which one.
    pub tablet: TabletId,
    /// The role to ask it for: the primary's when no replica can take a read.
    pub role: Role,
    /// It is known to have executed the position; if not, the statement has to wait there.
    pub reached: bool,
}

/// Chooses a tablet: for the primary's role the primary; for another role one that has it, serves, is not excluded and
/// is not too far behind, preferably one that has reached the position, in the own cell, by the policy.
///
/// # Errors
/// `Kind::Unavailable` when there is none, with what speaks against each; nothing was executed.
pub fn pick(view: &View, wish: &Wish<'_>, chooser: &mut Chooser) -> Result<Pick, Error> {
    if wish.role == Role::Primary {
        return pick_primary(view, wish);
    }
    if let Some(pick) = pick_replica(view, wish, chooser) {
        return Ok(pick);
    }
    match view.rules().without_replica {
        WithoutReplica::UsePrimary => pick_primary(view, wish).map_err(|_| unfit::nobody(view, wish)),
        WithoutReplica::Fail => Err(unfit::nobody(view, wish)),
    }
}

/// Every acknowledged write of its term is on the primary: it has reached whatever a client can have seen.
fn pick_primary(view: &View, wish: &Wish<'_>) -> Result<Pick, Error> {
    let wish = Wish { role: Role::Primary, ..*wish };
    let fit = |tablet: &&TabletView| unfit::reason(view, &wish, tablet).is_none();
    match view.tablets().iter().find(fit) {
        Some(tablet) => Ok(Pick { tablet: tablet.id, role: Role::Primary, reached: true }),
        None => Err(unfit::nobody(view, &wish)),
    }
}

fn pick_replica(view: &View, wish: &Wish<'_>, chooser: &mut Chooser) -> Option<Pick> {
    let fit = |tablet: &&TabletView| unfit::reason(view, wish, tablet).is_none();
    let mut candidates: Vec<&TabletView> = view.tablets().iter().filter(fit).collect();
    if let Some(stick) = wish.stick {
        narrow(&mut candidates, |tablet| tablet.id == stick);
    }
    let reached = match wish.position {
        Some(position) => narrow(&mut candidates, |tablet| tablet.has_reached(position)),
        None => true,
    };
    if !reached {
        leave_the_most_advanced(&mut candidates);
    }
    narrow(&mut candidates, |tablet| tablet.is_local);
    chooser.spare_the_cold(&mut candidates);
    let tablet = chooser.choose(wish, &candidates)?;
    Some(Pick { tablet: tablet.id, role: wish.role, reached })
}

/// Leaves only those that have the quality, if any has; whether any has.
fn narrow(candidates: &mut Vec<&TabletView>, has: impl Fn(&TabletView) -> bool) -> bool {
    let some = candidates.iter().any(|tablet| has(tablet));
    if some {
        candidates.retain(|tablet| has(tablet));
    }
    some
}

/// Leaves those on which a wait is the shortest, as far as is known.
fn leave_the_most_advanced(candidates: &mut Vec<&TabletView>) {
    let lag = |tablet: &TabletView| tablet.lag.unwrap_or(Duration::MAX);
    let least = candidates.iter().map(|tablet| lag(tablet)).min().unwrap_or_default();
    candidates.retain(|tablet| lag(tablet) <= least.saturating_add(LAG_TOLERANCE));
    let all = candidates.clone();
    candidates.retain(|tablet| !all.iter().any(|other| is_ahead(other, tablet)));
}

/// `one` had already executed more when `other` was looked at. One that was merely looked at later is not ahead: else
/// every read would go to whoever spoke last.
fn is_ahead(one: &TabletView, other: &TabletView) -> bool {
    one.observed_at <= other.observed_at && one.has_reached(&other.position) && !other.has_reached(&one.position)
}
