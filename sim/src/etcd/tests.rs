//! The model etcd, by the rules of its API.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn put(etcd: &mut Etcd, key: &str, value: &str) -> Revision {
    put_with(etcd, key, value, 0).unwrap()
}

fn put_with(etcd: &mut Etcd, key: &str, value: &str, lease: LeaseId) -> Result<Revision, Error> {
    let then = vec![Operation::Put(key.into(), value.into(), lease)];
    etcd.transact(&Transaction { then, ..Transaction::default() }).map(|result| result.revision)
}

fn values(etcd: &Etcd, range: &Range) -> Vec<String> {
    let read = etcd.range(range, false).unwrap();
    read.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).collect()
}

fn create(key: &str, value: &str) -> Transaction {
    let absent = Comparison { key: key.into(), order: Order::Equal, target: Target::Create(0) };
    Transaction {
        compare: vec![absent],
        then: vec![Operation::Put(key.into(), value.into(), 0)],
        otherwise: vec![Operation::Get(Range::key(key))],
    }
}

#[test]
fn revisions_versions_and_ranges_count_as_in_etcd() {
    let mut etcd = Etcd::new();
    assert_eq!(put(&mut etcd, "a/1", "x"), 2);
    assert_eq!(put(&mut etcd, "a/2", "y"), 3);
    assert_eq!(put(&mut etcd, "a/1", "z"), 4);
    put(&mut etcd, "b", "other");
    let read = etcd.range(&Range::prefix("a/"), false).unwrap();
    let first = &read.kvs[0];
    assert_eq!((first.create_revision, first.mod_revision, first.version), (2, 4, 2));
    assert_eq!(values(&etcd, &Range::prefix("a/")), ["z", "y"]);
    assert_eq!(values(&etcd, &Range { revision: 3, ..Range::prefix("a/") }), ["x", "y"]);
    assert_eq!(etcd.range(&Range { limit: 1, ..Range::prefix("a/") }, false).unwrap().count, 2);
    assert_eq!(etcd.range(&Range { revision: 99, ..Range::key("a") }, false), Err(Error::FutureRevision));
}

#[test]
fn a_transaction_is_one_revision_and_takes_one_branch() {
    let mut etcd = Etcd::new();
    let first = etcd.transact(&create("k", "mine")).unwrap();
    assert!(first.succeeded);
    let second = etcd.transact(&create("k", "theirs")).unwrap();
    assert!(!second.succeeded);
    assert_eq!(second.reads[0].kvs[0].value, b"mine");
    assert_eq!(second.revision, first.revision, "a read makes no revision");
    let two = Transaction {
        then: vec![Operation::Put(b"x".to_vec(), b"1".to_vec(), 0), Operation::Delete(Range::key("k"))],
        ..Transaction::default()
    };
    let done = etcd.transact(&two).unwrap();
    assert_eq!((done.revision, done.deleted), (first.revision + 1, 1));
    let twice = vec![Operation::Put(b"x".to_vec(), b"1".to_vec(), 0); 2];
    assert_eq!(etcd.transact(&Transaction { then: twice, ..Transaction::default() }), Err(Error::DuplicateKey));
}

#[test]
fn a_missing_key_has_no_value_to_compare() {
    let mut etcd = Etcd::new();
    let compare = |order| Transaction {
        compare: vec![Comparison { key: b"no".to_vec(), order, target: Target::Value(b"v".to_vec()) }],
        ..Transaction::default()
    };
    assert!(!etcd.transact(&compare(Order::Equal)).unwrap().succeeded);
    assert!(!etcd.transact(&compare(Order::NotEqual)).unwrap().succeeded);
}

#[test]
fn a_lease_takes_its_keys_along_unless_it_is_kept_alive() {
    let mut etcd = Etcd::new();
    let lease = etcd.grant(Instant(0), 0, 10 * SECOND).unwrap();
    put_with(&mut etcd, "leader", "me", lease).unwrap();
    etcd.handle_timeout(Instant(0) + 9 * SECOND);
    etcd.keep_alive(Instant(0) + 9 * SECOND, lease).unwrap();
    etcd.handle_timeout(Instant(0) + 18 * SECOND);
    assert_eq!(values(&etcd, &Range::key("leader")), ["me"]);
    assert_eq!(etcd.poll_timeout(), Some(Instant(0) + 19 * SECOND));
    etcd.handle_timeout(Instant(0) + 19 * SECOND);
    assert!(values(&etcd, &Range::key("leader")).is_empty());
    assert_eq!(etcd.keep_alive(Instant(0), lease), Err(Error::LeaseNotFound));
    assert_eq!(put_with(&mut etcd, "leader", "me", lease), Err(Error::LeaseNotFound));
}

#[test]
fn a_key_that_changes_its_lease_survives_the_old_one() {
    let mut etcd = Etcd::new();
    let old = etcd.grant(Instant(0), 0, SECOND).unwrap();
    put_with(&mut etcd, "k", "v", old).unwrap();
    put(&mut etcd, "k", "w");
    etcd.revoke(old).unwrap();
    assert_eq!(values(&etcd, &Range::key("k")), ["w"]);
}

#[test]
fn a_watch_sees_each_change_once_in_order_from_where_it_asked() {
    let mut etcd = Etcd::new();
    put(&mut etcd, "a/1", "x");
    put(&mut etcd, "b", "no");
    let prefix = Range::prefix("a/");
    let watch = etcd.watch(&prefix.key, &prefix.end, 2);
    let later = Transaction {
        then: vec![Operation::Put(b"a/2".to_vec(), b"y".to_vec(), 0), Operation::Delete(Range::key("a/1"))],
        ..Transaction::default()
    };
    etcd.transact(&later).unwrap();
    let mut seen = Vec::new();
    while let Some(Delivery::Events { watch: of, revision, events }) = etcd.poll_delivery() {
        assert_eq!(of, watch);
        seen.push((revision, events.len()));
    }
    assert_eq!(seen, [(2, 1), (4, 2)]);
    etcd.unwatch(watch);
    put(&mut etcd, "a/3", "z");
    assert_eq!(etcd.poll_delivery(), None);
}

#[test]
fn a_watch_from_before_the_compaction_is_refused_and_says_where_to_begin() {
    let mut etcd = Etcd::new();
    (0..5).for_each(|n| {
        put(&mut etcd, "k", &n.to_string());
    });
    etcd.compact(4).unwrap();
    assert_eq!(etcd.compact(4), Err(Error::Compacted));
    assert_eq!(etcd.compact(40), Err(Error::FutureRevision));
    assert_eq!(etcd.range(&Range { revision: 3, ..Range::key("k") }, false), Err(Error::Compacted));
    assert_eq!(values(&etcd, &Range { revision: 4, ..Range::key("k") }), ["2"]);
    let watch = etcd.watch(b"k", b"", 3);
    assert_eq!(etcd.poll_delivery(), Some(Delivery::Compacted { watch, revision: 4 }));
    etcd.watch(b"k", b"", 5);
    assert!(matches!(etcd.poll_delivery(), Some(Delivery::Events { revision: 5, .. })));
}

#[test]
fn without_a_leader_only_stale_reads_are_answered_and_no_lease_expires() {
    let mut etcd = Etcd::new();
    let lease = etcd.grant(Instant(0), 7, SECOND).unwrap();
    put_with(&mut etcd, "k", "v", lease).unwrap();
    etcd.set_leaderless(Instant(0), true);
    assert_eq!(put_with(&mut etcd, "k", "w", 0), Err(Error::NoLeader));
    assert_eq!(etcd.range(&Range::key("k"), false), Err(Error::NoLeader));
    assert_eq!(etcd.range(&Range::key("k"), true).unwrap().kvs[0].value, b"v");
    assert_eq!(etcd.poll_timeout(), None);
    etcd.set_leaderless(Instant(0) + 60 * SECOND, false);
    assert_eq!(etcd.poll_timeout(), Some(Instant(0) + 61 * SECOND), "the new leader gives full time again");
    etcd.restart(Instant(0) + 61 * SECOND);
    assert_eq!(values(&etcd, &Range::key("k")), ["v"]);
}
