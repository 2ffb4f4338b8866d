//! What a gateway knows of a shard's tablets.
//!
//! Owns the picture that routing looks at: it takes in what tablets tell and what the topology says, decides who is
//! primary by term, notices who has fallen silent, reckons how late replicas are (`lag`) and which of them take reads
//! ([`rotation`]), and puts out an immutable [`View`] whenever the picture changes. It
//! may not know sessions or statements; choosing among tablets is [`balance`](super::balance)'s.
//!
//! Start with [`Input`], then `Cluster::view_at` for what becomes of it.

mod joining;
mod lag;
mod recorded;
pub mod rotation;
#[cfg(test)]
mod tests;
mod view;

pub use rotation::Rotation;
pub use view::{LagBy, Rules, Serving, TabletId, TabletView, View, WithoutReplica};

use super::balance::{Meter, Sample};

use crate::marks::Mark;
use crate::time::{Duration, Instant};
use crate::topo::{Cell, Health, Role, TabletAlias};
use lag::Beats;
use rotation::{Look, Place};
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
    /// How often the primary writes a heartbeat.
    pub beat_interval: Duration,
    /// When a serving primary has written none for so long, lags are what replicas' servers reckon.
    pub beat_timeout: Duration,
    /// How replicas leave the rotation and return.
    pub rotation: rotation::Config,
    /// What holds for every choice.
    pub rules: Rules,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cell: None,
            health_timeout: Duration::from_secs(5),
            beat_interval: Duration::from_secs(1),
            beat_timeout: Duration::from_secs(10),
            rotation: rotation::Config::default(),
            rules: Rules::default(),
        }
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
    /// The topology has a tablet as one that an operator has taken out of service, or put back: it gets no reads meanwhile.
    Drained(TabletId, bool),
    /// What the tablets' meters show ([`View::samples`]); to be told about once a second.
    Measured(Vec<(TabletId, Sample)>),
    /// The time of `poll_timeout` has come. At any other time it does nothing.
    Timeout,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Route by this from now on.
    View(Arc<View>),
    /// There are [`TABLETS_MAX`] tablets already: this one is not looked at.
    TooManyTablets(TabletId),
}

/// What is known of one tablet.
#[derive(Debug, Serialize, Deserialize)]
struct Tablet {
    alias: TabletAlias,
    weight: u32,
    /// What it said last, and when.
    told: Option<(Instant, Health)>,
    /// What the topology says it is.
    assigned: (u64, Role),
    /// What it shows is told, where it counts.
    #[serde(skip)]
    meter: Meter,
    place: Place,
    /// It is out of service.
    is_drained: bool,
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

    /// Whether it takes reads, as far as that is for this gateway and its operator to say.
    fn rotation(&self, now: Instant, config: &rotation::Config) -> Rotation {
        if self.is_drained { Rotation::Drained } else { self.place.rotation(now, config) }
    }

    fn silent_at(&self, health_timeout: Duration) -> Option<Instant> {
        self.told.as_ref().map(|(at, _)| *at + health_timeout)
    }
}

/// A gateway's picture of a shard. See the module for where to start. Serialised after its outputs were drained, it goes on from there as it would
/// have; see `recorded`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(from = "recorded::Known")]
pub struct Cluster {
    config: Config,
    tablets: BTreeMap<TabletId, Tablet>,
    beats: Beats,
    /// When the picture was looked at last.
    seen_at: Instant,
    /// When the first of those that were heard falls silent, or one's place in the rotation changes.
    #[serde(skip)]
    wake_at: Option<Instant>,
    #[serde(skip)]
    view: Arc<View>,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Cluster {
    /// A shard without tablets.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let view = Arc::new(View { rules: config.rules.clone(), ..View::default() });
        let (tablets, outputs) = (BTreeMap::new(), VecDeque::new());
        Self { config, tablets, beats: Beats::default(), seen_at: Instant::ZERO, wake_at: None, view, outputs }
    }

    /// Take one input; then drain [`Cluster::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::TabletAdded { id, alias, weight } => self.add(id, alias, weight),
            Input::TabletRemoved(id) => _ = self.tablets.remove(&id),
            Input::Health(id, record) => self.hear(now, id, record),
            Input::RoleAssigned { id, role, term } => self.assign(id, role, term),
            Input::Drained(id, out) => {
                if let Some(tablet) = self.tablets.get_mut(&id) {
                    tablet.is_drained = out;
                }
            }
            Input::Measured(samples) => self.judge(now, &samples),
            Input::Timeout => {}
        }
        let mut view = self.view_at(now);
        self.look(now, &mut view);
        self.publish(view);
        self.seen_at = now;
        self.wake_at = self.next_change(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`] next: a tablet may have fallen silent then, or return to the rotation.
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
            let (meter, place) = (Meter::default(), Place::default());
            let (told, assigned, is_drained) = (None, Default::default(), false);
            self.tablets.insert(id, Tablet { alias, weight, told, assigned, meter, place, is_drained });
        } else {
            self.outputs.push_back(Output::TooManyTablets(id));
        }
    }

    /// A tablet that was removed may still speak: it is not heard. One of an older term than it spoke of before is a
    /// message that came late.
    fn hear(&mut self, now: Instant, id: TabletId, health: Health) {
        let Some(tablet) = self.tablets.get_mut(&id) else { return };
        if tablet.told.as_ref().is_none_or(|(_, last)| last.term <= health.term) {
            if let Some(beat) = health.beat {
                let observed_at = now.before(health.position_age);
                self.beats.hear(beat, observed_at, health.target.role == Role::Primary);
            }
            tablet.told = Some((now, health));
        } else {
            Mark::ClusterOldNews.hit();
        }
    }

    fn assign(&mut self, id: TabletId, role: Role, term: u64) {
        if let Some(tablet) = self.tablets.get_mut(&id)
            && tablet.assigned.0 <= term
        {
            tablet.assigned = (term, role);
        }
    }

    fn next_change(&self, now: Instant) -> Option<Instant> {
        let silences = self.tablets.values().filter_map(|tablet| tablet.silent_at(self.config.health_timeout));
        let changes = self.tablets.values().filter_map(|tablet| tablet.place.changes_at(now, &self.config.rotation));
        silences.chain(changes).filter(|at| *at > now).min()
    }

    // The rotation.

    /// Looks at every tablet's place in the rotation, which may have changed by what is seen of it.
    fn look(&mut self, now: Instant, view: &mut View) {
        let lag_max = self.config.rules.max_replication_lag;
        let primary = view.primary().filter(|primary| primary.serving.is_yes()).map(|primary| primary.position.clone());
        for (tablet, seen) in self.tablets.values_mut().zip(&mut view.tablets) {
            let lag_max = lag_max.filter(|_| seen.role != Role::Primary);
            let serves = seen.serving.is_yes() && !tablet.is_drained;
            let look = Look { serves, position: &seen.position, lag: seen.lag };
            tablet.place.look(now, &look, primary.as_ref(), lag_max, &self.config.rotation);
            seen.rotation = tablet.rotation(now, &self.config.rotation);
        }
    }

    /// Ejects outliers, as long as enough others are left.
    fn judge(&mut self, now: Instant, samples: &[(TabletId, Sample)]) {
        let Some(rules) = self.config.rotation.outliers.clone() else { return };
        let replicas: Vec<TabletId> = self.view.tablets().iter().filter(|t| takes_reads(t)).map(|t| t.id).collect();
        let busy = samples.iter().filter(|(id, sample)| replicas.contains(id) && !sample.latency.is_zero());
        let median = rotation::median(busy.map(|(_, sample)| sample.latency).collect());
        let mut ejected = self.tablets.values().filter(|tablet| tablet.place.is_ejected()).count();
        for (id, sample) in samples {
            let Some(tablet) = self.tablets.get_mut(id) else { continue };
            let fault = tablet.place.judge(*sample, median, &rules);
            let may_go = replicas.contains(id)
                && !tablet.place.is_ejected()
                && (ejected + 1) * 100 <= rules.ejected_percent_max * replicas.len();
            if let Some(fault) = fault.filter(|_| may_go) {
                tablet.place.eject(now, fault, &rules);
                ejected += 1;
            }
        }
    }

    /// How far a tablet is behind, and by which measure that is known.
    fn lag(&self, now: Instant, health: &Health, observed_at: Instant) -> (Option<Duration>, LagBy) {
        let primary = self.primary().and_then(|id| self.tablets.get(&id)).and_then(|tablet| tablet.told.as_ref());
        let beats_stopped = self.beats.newest_at().is_some_and(|at| at + self.config.beat_timeout <= now);
        // Of a primary that is gone none is to be expected.
        let serves =
            |(at, health): &(Instant, Health)| health.not_serving.is_none() && *at + self.config.health_timeout > now;
        let is_trusted = !(beats_stopped && primary.is_some_and(serves));
        let by_beats = health.beat.filter(|_| is_trusted && health.target.role != Role::Primary);
        match by_beats.and_then(|beat| self.beats.lag(beat, observed_at, self.config.beat_interval)) {
            Some(lag) => (Some(lag), LagBy::Heartbeat),
            None => (health.lag, LagBy::Server),
        }
    }

    fn publish(&mut self, view: View) {
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
            (Some(_), Some(_)) => {
                Mark::ClusterTwoPrimaries.hit();
                None
            }
            _ => None,
        }
    }

    fn tablet_at(&self, now: Instant, id: TabletId, tablet: &Tablet, primary: Option<TabletId>) -> TabletView {
        let (term, claimed) = tablet.role();
        let role = if claimed == Role::Primary && primary != Some(id) { Role::Unknown } else { claimed };
        let is_local = self.config.cell.as_ref() == Some(&tablet.alias.cell);
        let unheard = TabletView::measured_by(tablet.meter.clone(), id, tablet.alias.clone(), tablet.weight);
        let rotation = tablet.rotation(now, &self.config.rotation);
        let seen = TabletView { role, term, is_local, rotation, ..unheard };
        let Some((told_at, health)) = &tablet.told else { return seen };
        let says = health.not_serving.clone().map_or(Serving::Yes, Serving::No);
        let is_silent = *told_at + self.config.health_timeout <= now;
        if is_silent {
            Mark::ClusterSilence.hit();
        }
        let observed_at = told_at.before(health.position_age);
        let (lag, lag_by) = self.lag(now, health, observed_at);
        TabletView {
            serving: if is_silent { Serving::Silent } else { says },
            position: health.position.clone(),
            observed_at,
            lag,
            lag_by,
            load: health.load,
            in_group: health.in_group,
            ..seen
        }
    }
}

/// A replica that serves, in the rotation or ejected from it.
fn takes_reads(tablet: &TabletView) -> bool {
    tablet.serving.is_yes() && matches!(tablet.role, Role::Replica | Role::RdOnly)
}
