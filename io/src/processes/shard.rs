//! One shard as the topology has it: its tablets and its entry, followed as they change.

use crate::clock;
use crate::metrics::{Metric, Page};
use crate::store::{Following, Topology};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};
use weir_core::gateway::globals::Globals;
use weir_core::orch::lock::Entry;
use weir_core::time::Instant;
use weir_core::topo::store::directory::News;
use weir_core::topo::store::{GatewayRecord, Place, Record, TabletRecord};
use weir_core::topo::{Cell, ProcessName, ShardName, TabletAlias};

/// The tablets of a shard.
pub(super) type Tablets = Arc<BTreeMap<TabletAlias, TabletRecord>>;

/// The gateways of a shard.
pub(crate) type Gateways = Arc<BTreeMap<(Cell, ProcessName), GatewayRecord>>;

/// What is known of the shard, however long ago the topology was reached. It is followed until this is dropped.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(super) tablets: watch::Receiver<Tablets>,
    pub(super) entry: watch::Receiver<Option<Entry>>,
    pub(super) gateways: watch::Receiver<Gateways>,
    /// What SET GLOBAL has set for its keyspace.
    pub(crate) globals: watch::Receiver<Globals>,
    /// Why the topology is not reached now, if it is not.
    pub(super) trouble: watch::Receiver<Option<String>>,
    pace: Arc<Pace>,
    _following: JoinSet<()>,
}

/// How the topology is heard of.
#[derive(Debug)]
struct Pace {
    /// When it last said anything, in nanoseconds.
    heard_at: AtomicU64,
    /// How often it was lost.
    losses: AtomicU64,
}

impl Shard {
    /// What is to be known of the topology itself.
    pub(crate) fn metrics(&self) -> impl Fn(&mut Page) + Send + Sync + use<> {
        let (trouble, pace) = (self.trouble.clone(), Arc::clone(&self.pace));
        move |page| {
            page.add(Metric::TopologyConnected, &[], trouble.borrow().is_none());
            let age = clock::now().since(Instant(pace.heard_at.load(Ordering::Relaxed)));
            page.add(Metric::TopologyNewsAge, &[], age);
            page.add(Metric::TopologyLosses, &[], pace.losses.load(Ordering::Relaxed));
        }
    }

    pub(crate) fn follow(topology: &Topology, name: ShardName) -> Self {
        let (tablets_told, tablets) = watch::channel(Tablets::default());
        let (entry_told, entry) = watch::channel(None);
        let (gateways_told, gateways) = watch::channel(Gateways::default());
        let (globals_told, globals) = watch::channel(Globals::default());
        let (trouble_told, trouble) = watch::channel(Some("it has not answered yet".to_owned()));
        let pace = Arc::new(Pace { heard_at: AtomicU64::new(clock::now().0), losses: AtomicU64::new(0) });
        let told = Told {
            tablets: tablets_told,
            entry: entry_told,
            gateways: gateways_told,
            globals: globals_told,
            trouble: trouble_told,
            pace: Arc::clone(&pace),
        };
        let mut following = JoinSet::new();
        following.spawn(told.follow(topology.follow(), name));
        Self { tablets, entry, gateways, globals, trouble, pace, _following: following }
    }
}

impl Shard {
    /// Waits until all that the topology has is known, for as long as `limit`.
    pub(crate) async fn wait_until_known(&self, limit: Duration) {
        // What comes later counts as soon as it comes.
        let _ = tokio::time::timeout(limit, self.trouble.clone().wait_for(Option::is_none)).await;
    }
}

/// Where it is told.
struct Told {
    tablets: watch::Sender<Tablets>,
    entry: watch::Sender<Option<Entry>>,
    gateways: watch::Sender<Gateways>,
    globals: watch::Sender<Globals>,
    trouble: watch::Sender<Option<String>>,
    pace: Arc<Pace>,
}

impl Told {
    async fn follow(self, mut following: Following, name: ShardName) {
        while let Some(news) = following.next().await {
            if matches!(news, News::Lost(_)) {
                self.pace.losses.fetch_add(1, Ordering::Relaxed);
            } else {
                self.pace.heard_at.store(clock::now().0, Ordering::Relaxed);
            }
            self.hear(news, &name);
        }
    }

    fn hear(&self, news: News, name: &ShardName) {
        match news {
            News::Added(Record::Tablet(record)) | News::Changed(Record::Tablet(record)) => {
                let is_ours = record.shard_name() == *name;
                self.tablets.send_if_modified(|tablets| {
                    let tablets = Arc::make_mut(tablets);
                    // One that has moved to another shard is gone from this.
                    if is_ours {
                        tablets.insert(record.alias.clone(), *record).is_none_or(|_| true)
                    } else {
                        tablets.remove(&record.alias).is_some()
                    }
                });
            }
            News::Removed(Place::Tablet(alias)) => {
                self.tablets.send_if_modified(|tablets| Arc::make_mut(tablets).remove(&alias).is_some());
            }
            News::Added(Record::Gateway(record)) | News::Changed(Record::Gateway(record)) if record.shard == *name => {
                let key = (record.cell.clone(), record.name.clone());
                self.gateways.send_modify(|gateways| _ = Arc::make_mut(gateways).insert(key, *record));
            }
            News::Removed(Place::Gateway(cell, process)) => {
                let key = (cell, process);
                self.gateways.send_if_modified(|gateways| {
                    gateways.contains_key(&key) && Arc::make_mut(gateways).remove(&key).is_some()
                });
            }
            News::Added(Record::Entry(shard, new)) | News::Changed(Record::Entry(shard, new)) if shard == *name => {
                self.entry.send_replace(Some(*new));
            }
            News::Removed(Place::Entry(shard)) if shard == *name => {
                // Whoever serves goes on by what it knew; an orchestrator writes it anew.
                warn!("the topology's entry of {name} is gone");
            }
            News::Added(Record::Globals(keyspace, new)) | News::Changed(Record::Globals(keyspace, new))
                if keyspace == name.keyspace =>
            {
                self.globals.send_replace(new);
            }
            News::Removed(Place::Globals(keyspace)) if keyspace == name.keyspace => {
                self.globals.send_replace(Globals::default());
            }
            News::Unreadable(place, why) => warn!("{place} in the topology cannot be used: {why:?}"),
            News::Current => {
                info!("the topology is known");
                self.trouble.send_replace(None);
            }
            News::Lost(why) => {
                warn!("the topology is not reached, what is known of it counts: {why}");
                self.trouble.send_replace(Some(why));
            }
            News::Added(_) | News::Changed(_) | News::Removed(_) => {}
        }
    }
}
