//! What speaks against a tablet: the one place for it, whether it decides or explains.

use super::Wish;
use crate::error::{Component, Error, Kind};
use crate::gateway::cluster::rotation::Fault;
use crate::gateway::cluster::{Rotation, Serving, TabletView, View};
use crate::time::Duration;
use crate::topo::Role;
use core::fmt;

/// The most tablets that an error speaks of.
const EXPLAINED_MAX: usize = 8;

/// Why a tablet cannot take a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit<'a> {
    Role(Role),
    NotServing(&'a Serving),
    Excluded,
    NoWeight,
    Behind { lag: Duration, lag_max: Duration },
    LagUnknown,
    Returning { lag: Duration, lag_max: Duration },
    Ejected(Fault),
    CatchingUp,
    Drained,
}

/// The first thing that speaks against a tablet.
pub(super) fn reason<'a>(view: &View, wish: &Wish<'_>, tablet: &'a TabletView) -> Option<Unfit<'a>> {
    if tablet.role != wish.role {
        return Some(Unfit::Role(tablet.role));
    }
    if !tablet.serving.is_yes() {
        return Some(Unfit::NotServing(&tablet.serving));
    }
    if wish.exclude.contains(&tablet.id) {
        return Some(Unfit::Excluded);
    }
    if wish.role == Role::Primary {
        return None;
    }
    if tablet.rotation == Rotation::Drained {
        return Some(Unfit::Drained);
    }
    if tablet.weight == 0 {
        return Some(Unfit::NoWeight);
    }
    match (tablet.lag, view.rules().max_replication_lag) {
        (None, Some(_)) => return Some(Unfit::LagUnknown),
        (Some(lag), Some(lag_max)) if lag > lag_max => return Some(Unfit::Behind { lag, lag_max }),
        (Some(lag), Some(lag_max)) if tablet.rotation == Rotation::Late => {
            return Some(Unfit::Returning { lag, lag_max });
        }
        _ => {}
    }
    match tablet.rotation {
        Rotation::Ejected(fault) => Some(Unfit::Ejected(fault)),
        Rotation::CatchingUp => Some(Unfit::CatchingUp),
        _ => None,
    }
}

/// No tablet can take it, and why.
pub(super) fn nobody(view: &View, wish: &Wish<'_>) -> Error {
    let mut what = format!("weir-gateway: no {} can take this now", wish.role);
    for tablet in view.tablets().iter().take(EXPLAINED_MAX) {
        if let Some(why) = reason(view, wish, tablet) {
            what.push_str(&format!("; {} {why}", tablet.alias));
        }
    }
    Error::unexecuted(Component::Gateway, Kind::Unavailable, what)
}

impl fmt::Display for Unfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "is {role}"),
            Self::NotServing(serving) => write!(f, "{serving}"),
            Self::Excluded => f.write_str("has been tried"),
            Self::NoWeight => f.write_str("has weight 0"),
            Self::Behind { lag, lag_max } => {
                write!(f, "is {} ms behind (max_replication_lag is {} ms)", lag.as_millis(), lag_max.as_millis())
            }
            Self::Returning { lag, lag_max } => {
                let (lag, max) = (lag.as_millis(), lag_max.as_millis());
                write!(f, "was too far behind and is still {lag} ms behind (max_replication_lag is {max} ms)")
            }
            Self::Drained => f.write_str("is drained by an operator"),
            Self::Ejected(fault) => write!(f, "is ejected: {fault}"),
            Self::CatchingUp => f.write_str("has not caught up since it joined"),
            Self::LagUnknown => f.write_str("does not know how far it is behind"),
        }
    }
}
