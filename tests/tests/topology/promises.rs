//! The promises, each on names of its own, so that they can share a store.

use crate::stage::{Stage, follow, until, within};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use weir_core::orch::durability::Policy;
use weir_core::orch::lock::{Answer, Entry, LOCK_TTL, Request};
use weir_core::orch::recovery::{Cohort, Record as Terms, Step};
use weir_core::topo::store::announcement::Progress;
use weir_core::topo::store::directory::{Input, News};
use weir_core::topo::store::{Call, CellRecord, Place, Presence, Record, Reply, TabletRecord};
use weir_core::topo::{Address, Role, Shard, ShardName};
use weir_io::store::Topology;

type Promise = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! promises {
    ($($name:ident),* $(,)?) => { vec![$((stringify!($name), (|stage| Box::pin($name(stage))) as Promise)),*] };
}

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Promise)> {
    promises![
        only_one_has_the_lock,
        a_write_names_what_it_writes_over_and_the_lock,
        the_lock_ends_with_a_lease_that_nobody_renews,
        a_lease_that_is_renewed_lives,
        changes_are_told_once_and_in_order,
        who_is_too_far_behind_is_told_so,
        who_follows_catches_up_with_what_was_compacted,
        a_tablet_stays_when_its_process_is_gone,
        a_process_that_ends_in_order_takes_its_sign_away,
        what_was_answered_survives_a_restart,
    ]
}

fn shard(name: &str) -> ShardName {
    ShardName { keyspace: name.parse().expect("a keyspace"), shard: Shard::unsharded() }
}

fn entry(term: u64) -> Box<Entry> {
    let cohort = Cohort { tablets: Default::default(), policy: Policy::None, promotion: Default::default() };
    Box::new(Entry::new(cohort, Terms { term, reigns: Vec::new(), step: Step::Settled }))
}

pub(crate) fn cell(name: &str) -> Record {
    Record::Cell(CellRecord { name: name.parse().expect("a cell") })
}

fn tablet(alias: &str) -> TabletRecord {
    let address = |port| Address { host: "127.0.0.1".to_owned(), port };
    TabletRecord {
        alias: alias.parse().expect("an alias"),
        grpc: address(15_999),
        mysql: address(3306),
        keyspace: "shop".parse().expect("a keyspace"),
        shard: Shard::unsharded(),
        role: Role::Replica,
        labels: Default::default(),
        weight: 1,
        binary: "0.1.0".to_owned(),
    }
}

async fn grant(topology: &Topology, ttl: Duration) -> i64 {
    let granted = topology.answer(&shard("any"), Request::Grant { ttl }).await;
    let Answer::Granted(lease) = granted else { panic!("no lease: {granted:?}") };
    lease
}

async fn lock(topology: &Topology, shard: &ShardName, lease: i64) -> i64 {
    let locked = topology.answer(shard, Request::Lock { lease }).await;
    let Answer::Locked(lock) = locked else { panic!("no lock: {locked:?}") };
    lock
}

async fn only_one_has_the_lock(stage: &Stage) {
    let (one, other, shard) = (stage.topology(), stage.topology(), shard("exclusive"));
    let (lease, others) = (grant(&one, LOCK_TTL).await, grant(&other, LOCK_TTL).await);
    let locked = lock(&one, &shard, lease).await;
    assert_eq!(other.answer(&shard, Request::Lock { lease: others }).await, Answer::Busy);
    assert_eq!(one.answer(&shard, Request::Lock { lease }).await, Answer::Locked(locked), "asked again");
    one.call(&Call::Revoke(lease)).await.expect("it ends");
    assert!(lock(&other, &shard, others).await > locked);
    assert_eq!(one.answer(&shard, Request::Lock { lease }).await, Answer::Busy, "not its own any more");
}

async fn a_write_names_what_it_writes_over_and_the_lock(stage: &Stage) {
    let (topology, shard) = (stage.topology(), shard("writes"));
    let lease = grant(&topology, LOCK_TTL).await;
    let lock = lock(&topology, &shard, lease).await;
    let ask = |request| topology.answer(&shard, request);
    let write = |term, over, lock| ask(Request::Write { entry: entry(term), over: Some(over), lock: Some(lock) });
    assert_eq!(ask(Request::Read).await, Answer::Read(None, 0));
    assert_eq!(write(1, 0, lock + 1).await, Answer::Refused, "of another lock");
    let Answer::Written(first) = write(1, 0, lock).await else { panic!("not written") };
    assert_eq!(write(2, 0, lock).await, Answer::Refused, "somebody has written since");
    let Answer::Written(second) = write(2, first, lock).await else { panic!("not written") };
    assert!(second > first);
    assert_eq!(ask(Request::Read).await, Answer::Read(Some(entry(2)), second));
    topology.call(&Call::Revoke(lease)).await.expect("it ends");
    assert_eq!(write(3, second, lock).await, Answer::Refused, "the lock is lost");
    assert_eq!(ask(Request::Read).await, Answer::Read(Some(entry(2)), second));
}

async fn the_lock_ends_with_a_lease_that_nobody_renews(stage: &Stage) {
    let (one, other, shard) = (stage.topology(), stage.topology(), shard("expiry"));
    let lease = grant(&one, Duration::from_secs(1)).await;
    let locked = lock(&one, &shard, lease).await;
    let others = grant(&other, Duration::from_secs(30)).await;
    let freed = async {
        while other.answer(&shard, Request::Lock { lease: others }).await == Answer::Busy {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the lock is free", freed).await;
    assert_eq!(one.answer(&shard, Request::Renew { lease }).await, Answer::LeaseGone);
    let stale = Request::Write { entry: entry(1), over: None, lock: Some(locked) };
    assert_eq!(one.answer(&shard, stale).await, Answer::Refused);
    one.call(&Call::Revoke(others)).await.expect("it ends");
    assert_eq!(one.answer(&shard, Request::Lock { lease }).await, Answer::LeaseGone, "the lock is free again");
}

async fn a_lease_that_is_renewed_lives(stage: &Stage) {
    let (topology, shard) = (stage.topology(), shard("renewed"));
    let lease = grant(&topology, Duration::from_secs(1)).await;
    lock(&topology, &shard, lease).await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(topology.answer(&shard, Request::Renew { lease }).await, Answer::Renewed);
    }
    assert!(matches!(topology.answer(&shard, Request::Lock { lease }).await, Answer::Locked(_)));
}

async fn changes_are_told_once_and_in_order(stage: &Stage) {
    let (topology, last) = (stage.topology(), cell("order_last"));
    let (mut following, _) = follow(&stage.topology()).await;
    let mut expected = Vec::new();
    for n in 0..20 {
        let record = cell(&format!("order_{n}"));
        topology.put(&record).await.expect("written");
        expected.push(News::Added(record.clone()));
        if n % 3 == 0 {
            topology.remove(&record.place()).await.expect("removed");
            expected.push(News::Removed(record.place()));
        }
    }
    let (before, mut after) = (tablet("order-1"), tablet("order-1"));
    after.weight = 7;
    for record in [&before, &after, &after] {
        topology.put(&Record::Tablet(Box::new(record.clone()))).await.expect("written");
    }
    expected.push(News::Added(Record::Tablet(Box::new(before))));
    expected.push(News::Changed(Record::Tablet(Box::new(after))));
    topology.put(&last).await.expect("written");
    expected.push(News::Added(last.clone()));
    let told = until(&mut following, |news| *news == News::Added(last.clone())).await;
    let is_mine = |news: &&News| match news {
        News::Added(record) | News::Changed(record) => !matches!(record, Record::Entry(..)),
        _ => true,
    };
    assert_eq!(told.iter().filter(is_mine).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
}

async fn who_is_too_far_behind_is_told_so(stage: &Stage) {
    let topology = stage.topology();
    let Input::Read { revision, .. } = topology.read_all(1).await else { panic!("it cannot be read") };
    for n in 0..3 {
        topology.put(&cell(&format!("compacted_{n}"))).await.expect("written");
    }
    stage.compact().await;
    let (heard, mut inputs) = mpsc::channel(16);
    tokio::join!(topology.watch(7, revision, &heard), async {
        let mut told = Vec::new();
        while !told.contains(&Input::Compacted { attempt: 7 }) {
            told.extend(within("the watch ends", inputs.recv()).await);
        }
        assert!(!told.iter().any(|input| matches!(input, Input::Changed { .. })), "half of it: {told:?}");
    });
}

async fn who_follows_catches_up_with_what_was_compacted(stage: &Stage) {
    let topology = stage.topology();
    let (mut following, _) = follow(&stage.topology()).await;
    let (gone, last) = (cell("caught_gone"), cell("caught_last"));
    topology.put(&gone).await.expect("written");
    topology.remove(&gone.place()).await.expect("removed");
    stage.compact().await;
    topology.put(&last).await.expect("written");
    let told = until(&mut following, |news| *news == News::Added(last.clone())).await;
    let times = |what: &News| told.iter().filter(|news| *news == what).count();
    assert_eq!(times(&News::Added(last.clone())), 1);
    assert_eq!(times(&News::Added(gone.clone())), times(&News::Removed(gone.place())), "all of it or nothing");
}

async fn a_tablet_stays_when_its_process_is_gone(stage: &Stage) {
    let topology = stage.topology();
    let (mut following, _) = follow(&stage.topology()).await;
    let record = tablet("presence-1");
    let presence = Presence { binary: "0.1.0".to_owned(), process: 7 };
    let sign = Record::Presence(record.alias.clone(), presence);
    let lasting = Record::Tablet(Box::new(record.clone()));
    let announced = topology.publish(Some(&lasting), &sign, Duration::from_secs(1));
    let told = until(&mut following, |news| *news == News::Added(sign.clone())).await;
    assert!(told.contains(&News::Added(Record::Tablet(Box::new(record.clone())))));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(*announced.progress().borrow(), Progress::Announced, "it is renewed");
    drop(announced);
    let told = until(&mut following, |news| *news == News::Removed(sign.place())).await;
    assert_eq!(told, [News::Removed(sign.place())], "and nothing else");
    let place = Place::Tablet(record.alias.clone());
    assert_eq!(topology.get(&place).await, Ok(Some(Record::Tablet(Box::new(record)))));
}

async fn a_process_that_ends_in_order_takes_its_sign_away(stage: &Stage) {
    let topology = stage.topology();
    let record = tablet("farewell-1");
    let sign = Record::Presence(record.alias.clone(), Presence { binary: String::new(), process: 8 });
    let announced = topology.publish(None, &sign, LOCK_TTL * 10);
    let mut progress = announced.progress().clone();
    within("it is announced", progress.wait_for(|progress| *progress == Progress::Announced)).await.expect("it runs");
    announced.withdraw().await;
    assert_eq!(topology.get(&Place::Presence(record.alias.clone())).await, Ok(None));
}

async fn what_was_answered_survives_a_restart(stage: &Stage) {
    let (topology, shard) = (stage.topology(), shard("restart"));
    let write = Request::Write { entry: entry(5), over: Some(0), lock: None };
    let Answer::Written(revision) = topology.answer(&shard, write).await else { panic!("not written") };
    topology.put(&cell("restart")).await.expect("written");
    tokio::task::block_in_place(|| stage.restart());
    let topology = stage.topology();
    assert_eq!(topology.answer(&shard, Request::Read).await, Answer::Read(Some(entry(5)), revision));
    assert_eq!(topology.get(&cell("restart").place()).await, Ok(Some(cell("restart"))));
    let over = Request::Write { entry: entry(6), over: Some(revision), lock: None };
    assert!(matches!(topology.answer(&shard, over).await, Answer::Written(next) if next > revision));
    assert!(matches!(topology.call(&Call::Grant(LOCK_TTL)).await, Ok(Reply::Granted(_))));
}
