//! Failover of one shard whose servers, tablets and orchestrator live in this process: who talks to whom.

use crate::admin::UP;
use crate::durable::Unusable;
use crate::orch::{self, Driver, Wishes};
use crate::recorder::{self, Recorder};
use crate::servers::{self, Account, Keeper, Kept};
use crate::store::{Embedded, Topology};
use crate::tablet::Connector;
use crate::tablet::News;
use crate::tablet::orders::{self, Donors, Obedience, Vouchers};
use crate::topology::Member;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};
use weir_core::mysql::auth::Secret;
use weir_core::orch::durability::Policy;
use weir_core::orch::lock::Entry;
use weir_core::orch::orchestrator::Orchestrator;
use weir_core::orch::rebuild::Errant;
use weir_core::orch::recovery::Cohort;
use weir_core::tablet::operations::{Servers, SourceLogin};
use weir_core::tablet::orders::Orders;
use weir_core::time::Duration;
use weir_core::topo::{Address, ShardName, TabletAlias};

/// How often it is looked whether a server's process has ended.
const LOOK_AFTER_EVERY: Duration = Duration::from_millis(250);
/// A primary that died is replaced in this time, or started again as what it was.
const HEIR_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Starts servers again that died, until it is dropped. `entry` is what the topology has of the shard.
pub(crate) fn look_after(
    kept: &Kept,
    aliases: impl IntoIterator<Item = TabletAlias>,
    entry: &watch::Receiver<Option<Entry>>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (keeper, alias) in kept.keepers().iter().zip(aliases) {
        tasks.spawn(look_after_one(Arc::clone(keeper), alias, entry.clone()));
    }
    tasks
}

async fn look_after_one(keeper: Arc<Keeper>, alias: TabletAlias, entry: watch::Receiver<Option<Entry>>) {
    let number = keeper.number();
    let mut waits_until = None;
    loop {
        tokio::time::sleep(LOOK_AFTER_EVERY).await;
        let (mine, place) = (Arc::clone(&keeper), Place::of(&alias, entry.borrow().as_ref()));
        let deadline = *waits_until.get_or_insert_with(|| Instant::now() + HEIR_TIME_MAX);
        let revive = move || {
            if !mine.is_dead() {
                return Ended::Not;
            }
            let waits = place == Place::Out || (place == Place::First && Instant::now() < deadline);
            let takes_back = place == Place::Second;
            if waits { Ended::Waits } else { mine.revive(takes_back).map_or(Ended::Waits, Ended::Started) }
        };
        match tokio::task::spawn_blocking(revive).await {
            Ok(Ended::Waits) => continue,
            Ok(Ended::Not) => {}
            Ok(Ended::Started(Ok(()))) => info!("server {number} had died and runs again"),
            Ok(Ended::Started(Err(error))) => warn!("server {number} has died and does not start: {error}"),
            Err(error) => warn!("server {number} is not looked after any more: {error}"),
        }
        waits_until = None;
    }
}

/// Waits until it is known whether another is primary in place of this tablet, whose server does not run: a while for the topology to be
/// read, and for an heir if this one was primary. What the server wrote last is void when another is.
pub(crate) async fn has_heir(alias: &TabletAlias, mut entry: watch::Receiver<Option<Entry>>) -> bool {
    let settled = entry.wait_for(|entry| entry.is_some() && Place::of(alias, entry.as_ref()) != Place::First);
    // Nobody is heard of in time, or ever: it is started as what it was.
    let _ = tokio::time::timeout(HEIR_TIME_MAX, settled).await;
    entry.borrow().as_ref().is_some_and(|entry| entry.is_led_by_another(alias))
}

/// What became of a server's process.
enum Ended {
    /// It runs, or was told to stop.
    Not,
    /// It is dead for now.
    Waits,
    /// It was started again.
    Started(servers::Result<()>),
}

/// What the topology says of a server that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing: it is started as it is.
    Unknown,
    /// It is primary, or may be, and others may take its place.
    First,
    /// Another is primary.
    Second,
    /// An operator has taken it out of service: whoever has stopped it starts it again, by putting it back.
    Out,
}

impl Place {
    fn of(alias: &TabletAlias, entry: Option<&Entry>) -> Self {
        match entry {
            Some(entry) if entry.drained.contains(alias) => Self::Out,
            Some(entry) if entry.is_led_by_another(alias) => Self::Second,
            Some(entry) if entry.cohort.tablets.len() > 1 => Self::First,
            _ => Self::Unknown,
        }
    }
}

/// How the primary is changed, and servers are rebuilt.
#[derive(Clone, Copy, Debug)]
pub struct Policies {
    /// When a write counts as safe.
    pub durability: Policy,
    /// What becomes of servers with transactions of their own.
    pub errant: Errant,
    /// How often a second a server reads and writes to give its data to another; 0: as often as it can.
    pub rebuild_throttle: u32,
    /// How long transactions may take to end before a planned change of primary.
    pub drain_time: Duration,
}

/// The failover of a shard, under way until it is dropped.
pub(crate) struct Failover {
    entry: watch::Receiver<Option<Entry>>,
    wishes: Wishes,
    _tasks: JoinSet<()>,
}

impl Failover {
    /// Tablets take orders from now on, and the orchestrator gives them. `connector` reaches a server with every right there.
    ///
    /// # Errors
    /// When what they had promised, or who was primary, cannot be read.
    pub(crate) fn start(
        kept: &Kept,
        (store, shard): (Embedded, ShardName),
        policies: Policies,
        record: Option<&recorder::Options>,
        members: &[Member],
        connector: impl Fn(&Member) -> Connector,
        news: &mpsc::Sender<News>,
    ) -> Result<Self, Unusable> {
        let servers: Servers = kept
            .keepers()
            .iter()
            .zip(members)
            .map(|(keeper, member)| (member.alias.clone(), address(keeper)))
            .collect();
        let (policy, tablets) = (policies.durability, servers.keys().cloned().collect());
        let cohort = Cohort { tablets, policy, promotion: BTreeMap::new() };
        let keepers = members.iter().map(|member| member.alias.clone()).zip(kept.keepers().iter().map(Arc::clone));
        let donors = Donors { keepers: keepers.collect(), throttle: policies.rebuild_throttle };
        let entry = orch::adopt(&store, &shard, &cohort)?;
        let term = entry.as_ref().map_or(0, |entry| entry.record.term);
        let (orchestrator, said) = mpsc::channel(orders::QUEUE_MAX);
        let (wishes_in, wishes) = mpsc::channel(1);
        let mut tablets = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let asked = members.iter().map(|member| (member.alias.clone(), mpsc::channel(orders::QUEUE_MAX)));
        let (others, questions): (Vouchers, Vec<_>) = asked.map(|(alias, (ask, asked))| ((alias, ask), asked)).unzip();
        for ((keeper, member), questions) in kept.keepers().iter().zip(members).zip(questions) {
            let (orders_in, orders) = mpsc::channel(orders::QUEUE_MAX);
            tablets.insert(member.alias.clone(), orders_in);
            let obedience = Obedience::new(orders::Setup {
                id: member.tablet.id(),
                alias: member.alias.clone(),
                connector: connector(member),
                keeper: Arc::clone(keeper),
                donors: donors.clone(),
                servers: watch::channel(servers.clone()).1,
                login: login(kept.replication_account()),
                promise: kept.promise_file(keeper.number()),
                term,
                cohort: Some(cohort.clone()),
                orders,
                questions,
                others: others.clone(),
                open: member.tablet.what_is_open(),
                // All of them stop together.
                leaving: watch::channel(false).1,
                orchestrator: orchestrator.clone(),
                shard: news.clone(),
                recorder: Recorder::open_if_possible::<Orders>(record, &member.alias.to_string(), &shard.to_string()),
            })?;
            tasks.spawn(obedience.run());
        }
        let (errant, drain_time) = (policies.errant, policies.drain_time);
        // There is one.
        let recorder = Recorder::open_if_possible::<Orchestrator>(record, UP, &shard.to_string());
        let topology = Topology::Embedded(store).serve(shard, entry);
        let entry = topology.entry.clone();
        let answers = orchestrator;
        let setup = orch::Setup { cohort, errant, topology, tablets, answers, said, wishes, drain_time, recorder };
        tasks.spawn(Driver::new(setup).run());
        Ok(Self { entry, wishes: Wishes::new(wishes_in), _tasks: tasks })
    }

    /// What the topology has of the shard.
    pub(crate) const fn entry(&self) -> &watch::Receiver<Option<Entry>> {
        &self.entry
    }

    /// Where people say what they want.
    pub(crate) const fn wishes(&self) -> &Wishes {
        &self.wishes
    }
}

fn address(keeper: &Keeper) -> Address {
    let address = keeper.address();
    Address { host: address.ip().to_string(), port: address.port() }
}

fn login(account: &Account) -> SourceLogin {
    SourceLogin { user: account.user.clone(), password: Secret::new(account.password.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::orch::recovery::{Record, Reign, Step};

    fn entry(tablets: &[&str], primary: &str) -> Entry {
        let alias = |name: &&str| name.parse().expect("an alias");
        let cohort =
            Cohort { tablets: tablets.iter().map(alias).collect(), policy: Policy::None, promotion: BTreeMap::new() };
        let reign = Reign { term: 1, primary: alias(&primary), begins_at: Default::default(), under: None };
        Entry::new(cohort, Record { term: 1, reigns: vec![reign], step: Step::Settled })
    }

    #[tokio::test]
    async fn a_primary_that_starts_again_waits_for_its_heir() {
        let alias: TabletAlias = "a-1".parse().expect("an alias");
        let began = Instant::now();
        let (told, heard) = watch::channel(None);
        let waiting = tokio::spawn({
            let (alias, heard) = (alias.clone(), heard.clone());
            async move { has_heir(&alias, heard).await }
        });
        // Until it is known whether there is one.
        for known in [entry(&["a-1", "a-2"], "a-1"), entry(&["a-1", "a-2"], "a-2")] {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            told.send_replace(Some(known));
        }
        assert!(waiting.await.expect("it did not panic"));
        told.send_replace(Some(entry(&["a-1"], "a-1")));
        assert!(!has_heir(&alias, heard).await, "it is alone");
        assert!(began.elapsed() < HEIR_TIME_MAX);
    }
}
