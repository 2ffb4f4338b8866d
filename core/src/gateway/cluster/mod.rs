//! What a gateway knows of a shard's tablets.
//!
//! Owns the picture that routing looks at: it takes in what tablets tell and what the topology says, decides who is
//! primary by term, notices who has fallen silent, and puts out an immutable [`View`] whenever the picture changes. It
//! may not know sessions or statements; choosing among tablets is [`balance`](super::balance)'s.
//!
//! Start with [`Input`], then `Cluster::view_at` for what becomes of it.

#[cfg(test)]
mod tests;
mod view;

pub use view::{Rules, Serving, TabletId, TabletView, View, WithoutReplica};

use crate::time::{Duration, Instant};
use crate::topo::{Cell, Health, Role, TabletAlias};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The most tablets of one shard that a gateway looks at.
pub const TABLETS_MAX: usize = 256;

/// How a gateway sees a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Where the gateway runs: tablets of this cell are preferred.
    pub cell: Option<Cell>,
    /// A tablet of which nothing is heard for this long gets no requests. A few of its heartbeats.
    pub health_timeout: Duration,
    /// What holds for every choice.
    pub rules: Rules,
}

impl Default for Config {
    fn default() -> Self {
        Self { cell: None, health_timeout: Duration::from_secs(5), rules: Rules::default() }
    }
}

/// What the cluster machine is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// There is a tablet, or it has another weight now.
    TabletAdded {
        /// Names it in this process.
        id: TabletId,
        /// Names it in the cluster.
        alias: TabletAlias,
        /// Its share of the reads, relative to the others'.
        weight: u32,
    },
    /// The tablet is no longer part of the shard.
    TabletRemoved(TabletId),
    /// A tablet told its state.
    Health(TabletId, Health),
    /// The topology gave a tablet a role.
    RoleAssigned {
        /// Which tablet.
        id: TabletId,
        /// Which role.
        role: Role,
        /// Since this term.
        term: u64,
    },
    /// The time of `poll_timeout` has come. At any other time it does nothing.
    Timeout,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Route by this from now on.
    View(Arc<View>),
    /// There are [`TABLETS_MAX`] tablets already: this one is not looked at.
    TooManyTablets(TabletId),
}

/// What is known of one tablet.
#[derive(Debug)]
struct Tablet {
    alias: TabletAlias,
    weight: u32,
    /// What it said last, and when.
    told: Option<(Instant, Health)>,
    /// What the topology says it is.
    assigned: (u64, Role),
}

impl Tablet {
    /// Its role by the newest of what it claims and what it was given; its own word counts at the same term, for it
    /// refuses what is not its role.
    fn role(&self) -> (u64, Role) {
        match &self.told {
            Some((_, health)) if health.term >= self.assigned.0 => (health.term, health.target.role),
            _ => self.assigned,
        }
    }

    fn silent_at(&self, health_timeout: Duration) -> Option<Instant> {
        self.told.as_ref().map(|(at, _)| *at + health_timeout)
    }
}

/// A gateway's picture of a shard. See the module for where to start.
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    tablets: BTreeMap<TabletId, Tablet>,
    /// When the first of those that were heard falls silent.
    wake_at: Option<Instant>,
    view: Arc<View>,
    outputs: VecDeque<Output>,
}

impl Cluster {
    /// A shard without tablets.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let view = Arc::new(View { rules: config.rules.clone(), ..View::default() });
        Self { config, tablets: BTreeMap::new(), wake_at: None, view, outputs: VecDeque::new() }
    }

    /// Take one input; then drain [`Cluster::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::TabletAdded { id, alias, weight } => self.add(id, alias, weight),
            Input::TabletRemoved(id) => _ = self.tablets.remove(&id),
            Input::Health(id, record) => self.hear(now, id, record),
            Input::RoleAssigned { id, role, term } => self.assign(id, role, term),
            Input::Timeout => {}
        }
        self.wake_at = self.next_silence(now);
        self.publish(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`] next: a tablet may have fallen silent then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }

    /// The picture now.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    fn add(&mut self, id: TabletId, alias: TabletAlias, weight: u32) {
        if let Some(known) = self.tablets.get_mut(&id) {
            debug_assert_eq!(known.alias, alias, "an id names one tablet");
            known.weight = weight;
        } else if self.tablets.len() < TABLETS_MAX {
            self.tablets.insert(id, Tablet { alias, weight, told: None, assigned: Default::default() });
        } else {
            self.outputs.push_back(Output::TooManyTablets(id));
        }
    }

    /// A tablet that was removed may still speak: it is not heard. One of an older term than it spoke of before is a
    /// message that came late.
    fn hear(&mut self, now: Instant, id: TabletId, health: Health) {
        let Some(tablet) = self.tablets.get_mut(&id) else { return };
        if tablet.told.as_ref().is_none_or(|(_, last)| last.term <= health.term) {
            tablet.told = Some((now, health));
        }
    }

    fn assign(&mut self, id: TabletId, role: Role, term: u64) {
        if let Some(tablet) = self.tablets.get_mut(&id)
            && tablet.assigned.0 <= term
        {
            tablet.assigned = (term, role);
        }
    }

    fn next_silence(&self, now: Instant) -> Option<Instant> {
        let ends = self.tablets.values().filter_map(|tablet| tablet.silent_at(self.config.health_timeout));
        ends.filter(|at| *at > now).min()
    }

    fn publish(&mut self, now: Instant) {
        let view = self.view_at(now);
        if view != *self.view {
            self.view = Arc::new(view);
            self.outputs.push_back(Output::View(Arc::clone(&self.view)));
        }
    }

    fn view_at(&self, now: Instant) -> View {
        let primary = self.primary();
        let tablets = self.tablets.iter().map(|(id, tablet)| self.tablet_at(now, *id, tablet, primary)).collect();
        View { tablets, rules: self.config.rules.clone() }
    }

    /// The only one that is primary in the newest term of which anything is known. When two are, neither can be
    /// trusted with a write.
    fn primary(&self) -> Option<TabletId> {
        let newest = self.tablets.values().flat_map(|tablet| [tablet.role().0, tablet.assigned.0]).max()?;
        let mut claims = self.tablets.iter().filter(|(_, tablet)| tablet.role() == (newest, Role::Primary));
        match (claims.next(), claims.next()) {
            (Some((id, _)), None) => Some(*id),
            _ => None,
        }
    }

    fn tablet_at(&self, now: Instant, id: TabletId, tablet: &Tablet, primary: Option<TabletId>) -> TabletView {
        let (term, claimed) = tablet.role();
        let role = if claimed == Role::Primary && primary != Some(id) { Role::Unknown } else { claimed };
        let is_local = self.config.cell.as_ref() == Some(&tablet.alias.cell);
        let unheard = TabletView::new(id, tablet.alias.clone(), tablet.weight);
        let seen = TabletView { role, term, is_local, ..unheard };
        let Some((told_at, health)) = &tablet.told else { return seen };
        let says = health.not_serving.clone().map_or(Serving::Yes, Serving::No);
        let is_silent = *told_at + self.config.health_timeout <= now;
        TabletView {
            serving: if is_silent { Serving::Silent } else { says },
            position: health.position.clone(),
            observed_at: told_at.before(health.position_age),
            lag: health.lag,
            load: health.load,
            ..seen
        }
    }
}
