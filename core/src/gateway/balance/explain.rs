//! What a choice would be, and why: for people.

use super::{Chooser, Pick, Policy, Wish, pick, unfit};
use crate::error::Error;
use crate::gateway::cluster::{Rotation, TabletId, TabletView, View};
use crate::time::Instant;
use crate::topo::Role;

/// A tablet, and why it would or would not be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which one.
    pub tablet: TabletId,
    /// The pick fell on it.
    pub chosen: bool,
    /// Why, or why not.
    pub why: String,
}

/// The choice that [`pick`] makes, and what it saw in every tablet.
///
/// # Errors
/// As [`pick`]; every candidate says why it cannot take the statement.
pub fn explain(view: &View, wish: &Wish<'_>, chooser: &mut Chooser) -> (Result<Pick, Error>, Vec<Candidate>) {
    let picked = pick(view, wish, chooser);
    let candidate = |tablet: &TabletView| {
        let chosen = picked.as_ref().is_ok_and(|pick| pick.tablet == tablet.id);
        let why =
            picked.as_ref().map_or_else(|_| why_not(view, wish, tablet, None), |pick| why(view, wish, tablet, *pick));
        Candidate { tablet: tablet.id, chosen, why }
    };
    let candidates = view.tablets().iter().map(candidate).collect();
    (picked, candidates)
}

/// Whether a tablet takes requests of its role, and why not.
#[must_use]
pub fn standing(view: &View, tablet: &TabletView) -> String {
    let wish = Wish {
        role: tablet.role,
        policy: Policy::default(),
        stick: None,
        position: None,
        exclude: &[],
        now: Instant::ZERO,
    };
    match unfit::reason(view, &wish, tablet) {
        Some(why) => format!("out: {why}"),
        None if tablet.role == Role::Primary => Rotation::In.to_string(),
        None => tablet.rotation.to_string(),
    }
}

fn why(view: &View, wish: &Wish<'_>, tablet: &TabletView, pick: Pick) -> String {
    if pick.tablet != tablet.id {
        return why_not(view, wish, tablet, Some(pick));
    }
    if pick.role != wish.role {
        return format!("no {} can take it, so the primary does", wish.role);
    }
    match wish.position {
        _ if pick.role == Role::Primary => "is the primary".to_owned(),
        Some(_) if pick.reached => "has reached the position".to_owned(),
        Some(_) => "waits the shortest for the position, as far as is known".to_owned(),
        None => "is chosen by the policy".to_owned(),
    }
}

fn why_not(view: &View, wish: &Wish<'_>, tablet: &TabletView, pick: Option<Pick>) -> String {
    if let Some(why) = unfit::reason(view, wish, tablet) {
        return why.to_string();
    }
    let chosen = pick.and_then(|pick| view.get(pick.tablet).map(|chosen| (pick, chosen)));
    let has_reached = |position| tablet.has_reached(position);
    match chosen {
        Some((pick, _)) if pick.reached && !wish.position.is_none_or(has_reached) => {
            "has not reached the position".to_owned()
        }
        Some((pick, chosen)) if !pick.reached && tablet.lag > chosen.lag => "is further behind".to_owned(),
        Some((_, chosen)) if chosen.is_local && !tablet.is_local => "is in another cell".to_owned(),
        _ => format!("fit; the policy chose another ({})", tablet.rotation),
    }
}
