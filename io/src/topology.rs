//! The embedded topology of one shard: hears its tablets, finds their roles or is told of them, and keeps the gateway's view of them.

use crate::clock;
use crate::net::Address;
use crate::picture::{MEASURE_EVERY, Picture};
use crate::recorder::Recorder;
use crate::tablet::{LocalTablet, News, orders};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use weir_core::gateway::cluster::{Config, Input, TabletId, View};
use weir_core::orch::lock::Entry;
use weir_core::time::Instant;
use weir_core::topo::discover::Evidence;
use weir_core::topo::{self, Change, Keyspace, Observation, Role, Shard, ShardRecord, Sighting, TabletAlias};

/// One tablet, as the topology is told of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The tablet.
    pub tablet: Arc<LocalTablet>,
    /// Its name.
    pub alias: TabletAlias,
    /// Where its server listens.
    pub address: Address,
    /// Its share of the reads among the replicas.
    pub weight: u32,
}

/// Where roles come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// The servers are asked what they are.
    Found,
    /// Tablets are ordered what to be, and say so.
    Ordered,
}

/// A shard whose topology lives in this process.
pub struct EmbeddedShard {
    roles: Roles,
    record: ShardRecord,
    evidence: Evidence,
    /// What tablets that take orders have said: roles and terms.
    told: BTreeMap<TabletId, (Role, u64)>,
    picture: Picture,
    members: BTreeMap<TabletId, Member>,
    news: mpsc::Receiver<News>,
    /// What an orchestrator has written of the shard.
    entry: watch::Receiver<Option<Entry>>,
}

impl EmbeddedShard {
    /// A shard of these members, of which nothing is known yet, and where its view will be seen.
    #[must_use]
    pub fn new(
        keyspace: Keyspace,
        shard: Shard,
        roles: Roles,
        (config, recorder): (Config, Recorder),
        members: Vec<Member>,
        news: mpsc::Receiver<News>,
        entry: watch::Receiver<Option<Entry>>,
    ) -> (Self, watch::Receiver<Arc<View>>) {
        let (mut picture, seen) = Picture::new(config, recorder);
        let mut evidence = Evidence::new();
        let now = clock::now();
        for member in &members {
            let (id, alias) = (member.tablet.id(), member.alias.clone());
            let added = Input::TabletAdded { id, alias: alias.clone(), weight: member.weight };
            picture.tell(now, added);
            evidence.insert(alias, Sighting::new(listening_at(&member.address)));
        }
        picture.publish();
        let members = members.into_iter().map(|member| (member.tablet.id(), member)).collect();
        let (record, told) = (ShardRecord::new(keyspace, shard), BTreeMap::new());
        let shard = Self { roles, record, evidence, told, picture, members, news, entry };
        (shard, seen)
    }

    /// Runs until the tablets are gone.
    pub async fn run(mut self) {
        let mut measure = tokio::time::interval(MEASURE_EVERY);
        self.look_who_is_drained();
        loop {
            tokio::select! {
                news = self.news.recv() => match news {
                    Some(news) => self.hear(news),
                    None => return,
                },
                Ok(()) = self.entry.changed() => self.look_who_is_drained(),
                _ = measure.tick() => self.picture.measure(),
                () = self.picture.timeout() => self.picture.tell(clock::now(), Input::Timeout),
            }
            self.picture.publish();
        }
    }

    fn hear(&mut self, news: News) {
        let now = clock::now();
        match news {
            News::Health(id, health) => self.picture.tell(now, Input::Health(id, health)),
            News::Observed(id, observation) => {
                self.note_group(id, &observation);
                if let Some(sighting) = self.sighting(id) {
                    let repeated = sighting.answered(now, *observation);
                    self.judge(now, repeated);
                }
            }
            News::Silent(id) => {
                if let Some(sighting) = self.sighting(id) {
                    sighting.failed();
                    self.judge(now, false);
                }
            }
            News::State(id, state) => {
                if let Some(member) = self.members.get(&id) {
                    member.tablet.note(orders::note(&state));
                    member.tablet.told_of_drain(state.draining);
                }
                self.hear_state(now, id, (state.role, state.promised));
            }
        }
    }

    /// What a tablet that takes orders notes is more than this.
    fn note_group(&self, id: TabletId, observation: &Observation) {
        if self.roles == Roles::Found
            && let Some(member) = self.members.get(&id)
        {
            member.tablet.note(observation.group.as_ref().map(ToString::to_string));
        }
    }

    fn look_who_is_drained(&mut self) {
        let drained = self.entry.borrow_and_update().as_ref().map(|entry| entry.drained.clone()).unwrap_or_default();
        for (id, member) in &self.members {
            self.picture.tell(clock::now(), Input::Drained(*id, drained.contains(&member.alias)));
        }
    }

    /// A tablet is what it says, in the term it has promised; what it says of an earlier one came late.
    fn hear_state(&mut self, now: Instant, id: TabletId, (role, term): (Role, u64)) {
        let Some(member) = self.members.get(&id) else { return };
        let before = self.told.get(&id).copied().unwrap_or_default();
        if before == (role, term) || before.1 > term {
            return;
        }
        info!("term {term}: {} was {}, is {role}", member.alias, before.0);
        self.told.insert(id, (role, term));
        member.tablet.assign(role, term);
        self.picture.tell(now, Input::RoleAssigned { id, role, term });
    }

    fn sighting(&mut self, id: TabletId) -> Option<&mut Sighting> {
        self.evidence.get_mut(&self.members.get(&id)?.alias)
    }

    fn judge(&mut self, now: Instant, repeated: bool) {
        if self.roles == Roles::Ordered {
            return;
        }
        let changes = self.record.judge_answer(now, &self.evidence, repeated);
        if changes.is_empty() {
            return;
        }
        for change in &changes {
            match change {
                // Before everybody has been asked much looks odd.
                Change::Noted(note) if self.record.term > 0 => warn!("{note}"),
                change => info!("{change}"),
            }
        }
        let term = self.record.term;
        for (id, member) in &self.members {
            let role = self.record.role(&member.alias);
            member.tablet.assign(role, term);
            self.picture.tell(now, Input::RoleAssigned { id: *id, role, term });
        }
    }
}

/// The address as replicas may name it; a unix socket is of this machine, and has no port.
fn listening_at(address: &Address) -> topo::Address {
    match address {
        Address::Tcp(host, port) => topo::Address { host: host.clone(), port: *port },
        Address::Unix(_) => topo::Address { host: "localhost".to_owned(), port: 0 },
    }
}
