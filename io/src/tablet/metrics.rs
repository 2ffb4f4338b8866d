//! What is told to Prometheus of a tablet: of its pool by whoever owns it, of its state by whoever sees it.

use super::LocalTablet;
use crate::metrics::{DONE, Metric, POOL_OUTCOMES, POOL_STATES, Page, ROLES, Value};
use weir_core::gateway::cluster::LagBy;
use weir_core::tablet::pool::CloseReason;
use weir_core::time::Duration;
use weir_core::topo::{Health, Role, TabletAlias};

/// A tablet as somebody sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) role: Role,
    pub(crate) serves: bool,
    pub(crate) term: u64,
    /// How far it is behind, and how that is known.
    pub(crate) lag: Option<(Duration, LagBy)>,
    /// How long ago its server said what it has executed, if it ever did.
    pub(crate) position_age: Option<Duration>,
}

impl Seen {
    /// As it says itself.
    pub(crate) fn of(health: &Health) -> Self {
        Self {
            role: health.target.role,
            serves: health.not_serving.is_none(),
            term: health.term,
            lag: health.lag.map(|lag| (lag, LagBy::Server)),
            position_age: Some(health.position_age).filter(|age| *age < Duration::MAX),
        }
    }

    pub(crate) fn fill(&self, alias: &TabletAlias, page: &mut Page) {
        let tablet = Value::Tablet(alias);
        for role in ROLES {
            page.add(Metric::TabletRole, &[tablet, Value::Is(role.name())], role == self.role);
        }
        page.add(Metric::TabletServing, &[tablet], self.serves);
        page.add(Metric::TabletTerm, &[tablet], self.term);
        if let Some((lag, by)) = self.lag {
            page.add(Metric::TabletLag, &[tablet, Value::Is(by.name())], lag);
        }
        if let Some(age) = self.position_age {
            page.add(Metric::TabletPositionAge, &[tablet], age);
        }
    }
}

/// What a tablet's pool counts.
pub(crate) fn pool(tablet: &LocalTablet, page: &mut Page) {
    let (pool, capacity, kills) = tablet.counters();
    let tablet = Value::Tablet(tablet.alias());
    let mut each = |metric, names: &[&'static str], counts: &[u64]| {
        for (name, count) in names.iter().zip(counts) {
            page.add(metric, &[tablet, Value::Is(name)], *count);
        }
    };
    each(Metric::PoolConnections, &POOL_STATES, &[pool.busy, pool.idle, pool.opening].map(u64::from));
    let outcomes = [
        pool.granted_preferred,
        pool.granted_same_settings,
        pool.granted_other_settings,
        pool.granted_waited,
        pool.refused_queue_full,
        pool.refused_queue_timeout,
        pool.refused_connect,
        pool.refused_draining,
        pool.cancelled,
    ];
    each(Metric::PoolRequests, &POOL_OUTCOMES, &outcomes);
    each(Metric::PoolClosed, &CloseReason::ALL.map(CloseReason::name), &CloseReason::ALL.map(|why| pool.closed(why)));
    each(Metric::TabletKills, &DONE, &kills);
    page.add(Metric::PoolConnectionsMax, &[tablet], capacity);
    page.add(Metric::PoolWaiting, &[tablet], pool.waiting);
    page.add(Metric::PoolOpened, &[tablet], pool.opened);
    page.add(Metric::PoolOpenFailures, &[tablet], pool.open_failed);
}
