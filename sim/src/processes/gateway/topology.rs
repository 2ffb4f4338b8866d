//! The embedded topology of one shard: hears its tablets, finds their roles, and keeps the gateway's view of them.

use super::super::shadow::Shadow;
use super::super::tablet::News;
use super::Member;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use weir_core::gateway::cluster::{Cluster, Config, Input, Output, TabletId, View};
use weir_core::mutants::{Mutant, Mutants};
use weir_core::tablet::orders::State;
use weir_core::time::{Duration, Instant, earliest};
use weir_core::topo::discover::Evidence;
use weir_core::topo::{self, Keyspace, Role, Shard, ShardRecord, Sighting, TabletAlias};

/// Weight of a tablet among the replicas.
const WEIGHT: u32 = 100;

/// Above any term of a run.
const TRUSTED: u64 = 1_000_000;

/// How often outliers are looked for.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// A shard whose topology lives in the gateway's process.
#[derive(Debug)]
pub(super) struct EmbeddedShard {
    record: ShardRecord,
    evidence: Evidence,
    cluster: Cluster,
    shadow: Shadow<Cluster>,
    /// What it wants done, and was not yet.
    outputs: VecDeque<Output>,
    members: BTreeMap<TabletId, TabletAlias>,
    measure_at: Instant,
    /// What the servers' own tablets have said: roles and terms.
    told: BTreeMap<TabletId, (Role, u64)>,
    mutants: Mutants,
    /// How often somebody was taken for the primary because it was writable, as broken rules have it.
    trusted: u64,
}

impl EmbeddedShard {
    /// A shard of these members, of which nothing is known yet.
    pub(super) fn new<'a>(
        now: Instant,
        keyspace: Keyspace,
        shard: Shard,
        config: Config,
        members: impl Iterator<Item = ((TabletId, TabletAlias), &'a Member)>,
        (recorded, mutants): (bool, Mutants),
    ) -> Self {
        let mut shard = Self {
            record: ShardRecord::new(keyspace, shard),
            evidence: Evidence::new(),
            cluster: Cluster::new(config),
            shadow: Shadow::new(recorded),
            outputs: VecDeque::new(),
            members: BTreeMap::new(),
            measure_at: now + MEASURE_EVERY,
            told: BTreeMap::new(),
            mutants,
            trusted: 0,
        };
        for ((id, alias), member) in members {
            shard.tell(now, Input::TabletAdded { id, alias: alias.clone(), weight: WEIGHT });
            let address = topo::Address { host: member.name.clone(), port: member.address.port };
            shard.evidence.insert(alias.clone(), Sighting::new(address));
            shard.members.insert(id, alias);
        }
        shard
    }

    fn tell(&mut self, now: Instant, input: Input) {
        self.outputs.extend(self.shadow.decide(&mut self.cluster, now, input));
    }

    /// Takes news in; returns the roles that the tablets are to be told, when any changed.
    pub(super) fn hear(&mut self, now: Instant, news: News) -> Vec<(TabletId, Role, u64)> {
        match news {
            News::Health(id, health) => {
                self.tell(now, Input::Health(id, health));
                Vec::new()
            }
            News::Observed(id, observation) => {
                let Some(sighting) = self.sighting(id) else { return Vec::new() };
                let repeated = sighting.answered(now, *observation);
                self.judge(now, repeated)
            }
            // It is the server's own tablet that wants to know.
            News::Open(..) => Vec::new(),
            News::Silent(id) => {
                let Some(sighting) = self.sighting(id) else { return Vec::new() };
                sighting.failed();
                self.judge(now, false)
            }
        }
    }

    /// Takes in what a server's own tablet says it is; returns it when it is news.
    pub(super) fn told(&mut self, now: Instant, id: TabletId, state: &State) -> Option<(Role, u64)> {
        let mut said = (state.role, state.promised);
        if self.mutants.breaks(Mutant::TrustReadOnly) && state.status.as_ref().is_some_and(|status| !status.read_only) {
            self.trusted += u64::from(self.told.get(&id).is_none_or(|(role, _)| *role != Role::Primary));
            said = (Role::Primary, state.promised.max(TRUSTED + self.trusted));
        }
        if self.told.get(&id).is_some_and(|before| *before == said || before.1 > said.1) {
            return None;
        }
        self.told.insert(id, said);
        let (role, term) = said;
        self.tell(now, Input::RoleAssigned { id, role, term });
        Some(said)
    }

    fn sighting(&mut self, id: TabletId) -> Option<&mut Sighting> {
        self.evidence.get_mut(self.members.get(&id)?)
    }

    fn judge(&mut self, now: Instant, repeated: bool) -> Vec<(TabletId, Role, u64)> {
        let changes = if self.mutants == Mutants::NONE {
            self.record.judge_answer(now, &self.evidence, repeated)
        } else {
            self.record.judge_broken(now, &self.evidence, self.mutants)
        };
        if changes.is_empty() {
            return Vec::new();
        }
        let term = self.record.term;
        let role = |(id, alias): (&TabletId, &TabletAlias)| (*id, self.record.role(alias), term);
        let roles: Vec<_> = self.members.iter().map(role).collect();
        for (id, role, term) in &roles {
            self.tell(now, Input::RoleAssigned { id: *id, role: *role, term: *term });
        }
        roles
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        if now >= self.measure_at {
            self.measure_at = now + MEASURE_EVERY;
            let samples = self.cluster.view().samples(now);
            self.tell(now, Input::Measured(samples));
        }
        self.tell(now, Input::Timeout);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.cluster.poll_timeout(), Some(self.measure_at))
    }

    /// The newest view, if there is one that was not published.
    pub(super) fn publish(&mut self) -> Option<Arc<View>> {
        let mut newest = None;
        while let Some(output) = self.outputs.pop_front() {
            match output {
                Output::View(view) => newest = Some(view),
                Output::TooManyTablets(_) => debug_assert!(false, "a simulated shard is small"),
            }
        }
        newest
    }
}
