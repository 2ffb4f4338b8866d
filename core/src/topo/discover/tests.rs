//! Each rule by example, then all small shards.

use super::*;
use crate::gtid::Flavor;
use crate::topo::{Address, Change, Observation, Receiver, ServerVersion, ShardRecord, SourceLink};

const NOW: Instant = Instant(1_000_000_000_000);

fn tablet(n: u32) -> TabletAlias {
    TabletAlias { cell: "zone1".parse().expect("a cell"), uid: n }
}

fn address(n: u32) -> Address {
    Address { host: format!("db{n}"), port: 3306 }
}

/// What is seen of one server.
#[derive(Clone, Debug, PartialEq)]
struct Server {
    sources: Vec<(u32, Receiver)>,
    read_only: bool,
}

fn writable() -> Option<Server> {
    Some(Server { sources: vec![], read_only: false })
}

fn read_only() -> Option<Server> {
    Some(Server { sources: vec![], read_only: true })
}

fn follows(source: u32) -> Option<Server> {
    linked(source, Receiver::Connected)
}

fn linked(source: u32, receiver: Receiver) -> Option<Server> {
    Some(Server { sources: vec![(source, receiver)], read_only: true })
}

fn observation(n: u32, server: &Server) -> Observation {
    let link = |(source, receiver): &(u32, Receiver)| SourceLink {
        channel: String::new(),
        address: address(*source),
        server_id: *source,
        server_uuid: None,
        receiver: *receiver,
        applier_running: true,
        lag: None,
        error: String::new(),
    };
    Observation {
        version: ServerVersion { flavor: Flavor::MariaDb, major: 10, minor: 11, patch: 6 },
        server_id: n,
        server_uuid: None,
        read_only: server.read_only,
        sources: Some(server.sources.iter().map(link).collect()),
        position: None,
        replicas_connected: None,
        threads_running: None,
        beat: None,
        group: None,
    }
}

/// Evidence of tablets 1, 2, ...; `None` was asked and did not answer.
fn evidence(servers: &[Option<Server>]) -> Evidence {
    let sightings = (1..).zip(servers).map(|(n, server)| {
        let seen = server.as_ref().map(|server| (NOW, observation(n, server)));
        (tablet(n), Sighting { asked: true, seen, ..Sighting::new(address(n)) })
    });
    sightings.collect()
}

fn judge(servers: &[Option<Server>], holder: u32) -> Verdict {
    let holder = (holder > 0).then(|| tablet(holder));
    discover(NOW, &evidence(servers), holder.as_ref(), &BTreeMap::new())
}

fn serving(n: u32) -> Primary {
    Primary::Serving(tablet(n))
}

fn held(n: u32, hold: Hold) -> Primary {
    Primary::Held(tablet(n), hold)
}

fn record() -> ShardRecord {
    ShardRecord::new("shop".parse().expect("a keyspace"), crate::topo::Shard::unsharded())
}

#[test]
fn the_writable_server_that_replicas_follow_is_primary() {
    let verdict = judge(&[writable(), follows(1), linked(1, Receiver::Stopped)], 0);
    assert_eq!(verdict.primary, serving(1));
    let roles: Vec<_> = verdict.roles.into_values().collect();
    assert_eq!(roles, [Role::Primary, Role::Replica, Role::Replica]);
    assert_eq!(verdict.notes, []);
}

#[test]
fn a_lone_writable_server_is_primary() {
    assert_eq!(judge(&[writable()], 0).primary, serving(1));
    assert_eq!(judge(&[read_only()], 0).primary, held(1, Hold::ReadOnly));
    assert_eq!(judge(&[None], 0).primary, Primary::None(Conflict::NothingSeen));
}

#[test]
fn a_lone_replica_whose_source_is_out_of_reach_stays_a_replica() {
    for receiver in [Receiver::Stopped, Receiver::Connecting, Receiver::Connected] {
        let verdict = judge(&[linked(9, receiver)], 0);
        assert_eq!(verdict.primary, Primary::None(Conflict::NobodyFollowed { writable: vec![] }));
        assert_eq!(verdict.roles[&tablet(1)], Role::Replica);
        let verdict = judge(&[linked(2, receiver), None], 2);
        assert_eq!(verdict.primary, held(2, Hold::Gone));
        assert_eq!(verdict.roles[&tablet(1)], Role::Replica);
    }
}

#[test]
fn writable_alone_is_not_enough() {
    let verdict = judge(&[writable(), None], 0);
    assert_eq!(verdict.primary, Primary::None(Conflict::NobodyFollowed { writable: vec![tablet(1)] }));
    let verdict = judge(&[writable(), writable(), read_only()], 0);
    assert_eq!(verdict.primary, Primary::None(Conflict::NobodyFollowed { writable: vec![tablet(1), tablet(2)] }));
    assert_eq!(verdict.notes, [Note::Stray(tablet(1)), Note::Stray(tablet(2))]);
}

#[test]
fn a_zombie_that_comes_back_writable_is_not_primary() {
    // 1 was primary, 2 was promoted, 3 follows 2; 1 returns as it was.
    let servers = [writable(), writable(), follows(2)];
    for holder in [0, 1, 2] {
        let verdict = judge(&servers, holder);
        assert_eq!(verdict.primary, serving(2), "holder {holder}");
        assert_eq!(verdict.roles[&tablet(1)], Role::Unknown);
        assert_eq!(verdict.notes, [Note::Stray(tablet(1))]);
    }
    // And not while the real one is out of reach, either.
    assert_eq!(judge(&[writable(), None, linked(2, Receiver::Connecting)], 2).primary, held(2, Hold::Gone));
    assert_eq!(judge(&[writable(), None, None], 2).primary, held(2, Hold::Gone));
}

#[test]
fn a_zombie_with_a_replica_that_was_not_re_pointed_does_not_take_over() {
    let servers = [writable(), writable(), follows(1), follows(2)];
    assert_eq!(judge(&servers, 2).primary, serving(2));
    assert_eq!(judge(&servers, 0).primary, Primary::None(Conflict::Split(vec![tablet(1), tablet(2)])));
    // The real one and its replica are on the other side of a partition.
    let minority = Conflict::Minority { leader: tablet(1), with_it: 2, tablets: 4 };
    assert_eq!(judge(&[writable(), None, follows(1), None], 2).primary, Primary::None(minority.clone()));
    assert_eq!(judge(&[writable(), None, follows(1), None], 0).primary, Primary::None(minority));
}

#[test]
fn of_two_writable_servers_the_holder_stays_while_replicas_follow_it() {
    let servers = [writable(), writable(), follows(1), follows(2), follows(2)];
    let verdict = judge(&servers, 1);
    assert_eq!(verdict.primary, serving(1));
    assert_eq!(verdict.roles[&tablet(4)], Role::Unknown, "it misses the primary's writes");
    assert!(verdict.notes.contains(&Note::Astray { replica: tablet(4), follows: tablet(2) }));
}

#[test]
fn the_primary_moves_to_whom_the_replicas_follow() {
    assert_eq!(judge(&[writable(), writable(), follows(2)], 1).primary, serving(2));
    assert_eq!(judge(&[read_only(), writable(), follows(2)], 1).primary, serving(2));
    assert_eq!(judge(&[follows(2), writable(), follows(2)], 1).primary, serving(2));
    assert_eq!(judge(&[None, writable(), follows(2)], 1).primary, serving(2));
}

#[test]
fn a_read_only_server_becomes_primary_only_if_nobody_else_can_be() {
    assert_eq!(judge(&[follows(2), read_only(), follows(2)], 1).primary, held(2, Hold::ReadOnly));
    assert_eq!(judge(&[read_only(), follows(1)], 0).primary, held(1, Hold::ReadOnly));
    for holder in [writable(), read_only(), None] {
        let verdict = judge(&[holder, read_only(), follows(2)], 1);
        assert_eq!(verdict.primary, Primary::None(Conflict::FollowedButReadOnly(tablet(2))));
    }
}

#[test]
fn a_primary_that_turns_read_only_is_held() {
    let verdict = judge(&[read_only(), follows(1)], 1);
    assert_eq!(verdict.primary, held(1, Hold::ReadOnly));
    assert_eq!(verdict.roles[&tablet(1)], Role::Primary);
    assert_eq!(verdict.primary.to_string(), "zone1-0000000001, not serving: it is read_only");
}

#[test]
fn replicas_connected_to_a_server_that_we_do_not_see_are_believed() {
    let verdict = judge(&[writable(), None, follows(2)], 1);
    assert_eq!(verdict.primary, Primary::None(Conflict::FollowedButGone(tablet(2))));
    // But not what they are merely configured to.
    assert_eq!(judge(&[writable(), None, linked(2, Receiver::Connecting)], 1).primary, serving(1));
}

#[test]
fn a_holder_that_follows_somebody_outside_is_no_primary() {
    let verdict = judge(&[follows(9), follows(1)], 1);
    assert_eq!(verdict.primary, Primary::None(Conflict::NobodyFollowed { writable: vec![] }));
    assert_eq!(verdict.notes, [Note::Outside(tablet(1)), Note::Outside(tablet(2))]);
}

#[test]
fn chains_count_for_their_end() {
    let verdict = judge(&[writable(), follows(1), follows(2), follows(3)], 0);
    assert_eq!(verdict.primary, serving(1));
    assert_eq!(verdict.roles[&tablet(4)], Role::Replica);
}

#[test]
fn servers_in_a_circle_have_no_primary() {
    let verdict = judge(&[follows(2), follows(1), follows(1)], 0);
    assert_eq!(verdict.primary, Primary::None(Conflict::NobodyFollowed { writable: vec![] }));
    // With a primary beside it, the circle misses its writes.
    let verdict = judge(&[follows(2), follows(1), writable(), follows(3)], 3);
    assert_eq!(verdict.primary, serving(3));
    assert_eq!(verdict.roles[&tablet(1)], Role::Unknown);
    assert!(verdict.notes.contains(&Note::Outside(tablet(1))));
}

#[test]
fn old_evidence_is_none() {
    let evidence = evidence(&[writable(), follows(1)]);
    let at = |after: Duration| discover(NOW + after, &evidence, Some(&tablet(1)), &BTreeMap::new()).primary;
    assert_eq!(at(EVIDENCE_AGE_MAX), serving(1));
    assert_eq!(at(EVIDENCE_AGE_MAX + Duration::from_nanos(1)), held(1, Hold::Gone));
}

#[test]
fn sources_that_may_not_be_read_are_not_taken_for_none() {
    let mut evidence = evidence(&[writable(), follows(1)]);
    let hide = |sighting: &mut Sighting| sighting.seen.as_mut().map(|(_, seen)| seen.sources = None);
    evidence.get_mut(&tablet(1)).and_then(hide).expect("it was seen");
    let verdict = discover(NOW, &evidence, None, &BTreeMap::new());
    assert_eq!(verdict.primary, Primary::None(Conflict::FollowedButGone(tablet(1))));
    assert_eq!(verdict.notes, [Note::SourcesHidden(tablet(1))]);
}

#[test]
fn nothing_is_concluded_before_all_were_asked_once() {
    let mut record = record();
    let mut all = evidence(&[writable(), follows(1), None]);
    all.insert(tablet(3), Sighting::new(address(3)));
    record.judge(NOW, &all);
    assert_eq!(record.verdict.primary, Primary::None(Conflict::StillAsking(vec![tablet(3)])));
    all.get_mut(&tablet(3)).expect("it is there").failed();
    record.judge(NOW, &all);
    assert_eq!(record.serving_primary(), Some(&tablet(1)));
    // A tablet that is added later holds nothing up.
    all.insert(tablet(4), Sighting::new(address(4)));
    record.judge(NOW, &all);
    assert_eq!(record.serving_primary(), Some(&tablet(1)));
}

fn with_link(change: impl Fn(&mut SourceLink)) -> Primary {
    let mut evidence = evidence(&[writable(), follows(1)]);
    let (_, seen) = evidence.get_mut(&tablet(2)).and_then(|sighting| sighting.seen.as_mut()).expect("it was seen");
    change(&mut seen.sources.as_mut().expect("it has sources")[0]);
    discover(NOW, &evidence, None, &BTreeMap::new()).primary
}

#[test]
fn a_source_is_matched_by_id_while_connected_else_by_address() {
    let elsewhere = Address { host: "10.0.0.1".into(), port: 1 };
    assert_eq!(with_link(|link| link.address = elsewhere.clone()), serving(1));
    assert_eq!(with_link(|link| link.server_id = 0), serving(1));
    let nobody = Primary::None(Conflict::NobodyFollowed { writable: vec![tablet(1)] });
    let unknown = |link: &mut SourceLink| (link.server_id, link.address) = (0, elsewhere.clone());
    assert_eq!(with_link(unknown), nobody);
    // Re-pointed and not connected yet: the id is of the source before.
    let stale = |link: &mut SourceLink| (link.server_id, link.receiver) = (2, Receiver::Connecting);
    assert_eq!(with_link(stale), serving(1));
    // No tablet has the address: the last id is the best there is.
    let renamed = |link: &mut SourceLink| (link.address, link.receiver) = (elsewhere.clone(), Receiver::Stopped);
    assert_eq!(with_link(renamed), serving(1));
}

/// Shard of a writable 1 and 3, where 2 has the one link.
fn between_two(change: impl Fn(&mut SourceLink), third_id: u32) -> Verdict {
    let mut evidence = evidence(&[writable(), follows(1), writable()]);
    for (n, sighting) in (1..).zip(evidence.values_mut()) {
        let (_, seen) = sighting.seen.as_mut().expect("it was seen");
        if n == 3 {
            seen.server_id = third_id;
        }
        seen.sources.iter_mut().flatten().for_each(&change);
    }
    discover(NOW, &evidence, None, &BTreeMap::new())
}

#[test]
fn who_answers_at_an_address_counts_for_more_than_the_address() {
    assert_eq!(between_two(|link| link.address = address(3), 3).primary, serving(1));
    let connecting = |link: &mut SourceLink| (link.address, link.receiver) = (address(3), Receiver::Connecting);
    assert_eq!(between_two(connecting, 3).primary, serving(3));
}

#[test]
fn an_id_that_two_servers_have_says_nothing() {
    let verdict = between_two(|link| link.address = address(3), 1);
    assert_eq!(verdict.primary, serving(3), "by address");
    assert!(verdict.notes.contains(&Note::SameServerId(tablet(1), tablet(3))));
}

#[test]
fn the_term_counts_primaries_and_survives_an_absence() {
    let mut record = record();
    let mut step = |servers: &[Option<Server>]| {
        let changes = record.judge(NOW, &evidence(servers));
        (record.term, record.verdict.primary.clone(), changes)
    };
    let start = [writable(), follows(1), follows(1)];
    let (term, primary, changes) = step(&start);
    assert_eq!((term, &primary), (1, &serving(1)));
    assert_eq!(changes.len(), 4, "three roles and the primary: {changes:?}");
    assert_eq!(step(&start).2, [], "the same evidence changes nothing");
    // It dies and comes back: held, then serving, in the same term; the replicas stay replicas.
    let (term, primary, changes) = step(&[None, follows(1), linked(1, Receiver::Connecting)]);
    assert_eq!((term, &primary), (1, &held(1, Hold::Gone)));
    assert_eq!(changes, [Change::Primary { term: 1, before: serving(1), after: primary }]);
    assert_eq!(step(&start).0, 1);
    // 2 is promoted by somebody.
    let (term, primary, changes) = step(&[None, writable(), follows(2)]);
    assert_eq!((term, &primary), (2, &serving(2)));
    let role = |n, before, after| Change::Role { tablet: tablet(n), before, after };
    assert_eq!(changes[..2], [role(1, Role::Primary, Role::Unknown), role(2, Role::Replica, Role::Primary)]);
    // The former primary returns as a zombie, then as a replica.
    let (term, _, changes) = step(&[writable(), writable(), follows(2)]);
    assert_eq!((term, changes), (2, vec![Change::Noted(Note::Stray(tablet(1)))]));
    let (term, _, changes) = step(&[follows(2), writable(), follows(2)]);
    assert_eq!((term, changes), (2, vec![role(1, Role::Unknown, Role::Replica)]));
}

#[test]
fn a_tablet_that_is_removed_loses_its_role_and_its_term() {
    let mut record = record();
    record.judge(NOW, &evidence(&[writable(), follows(1), follows(1)]));
    let mut rest = evidence(&[None, writable(), follows(2)]);
    rest.remove(&tablet(1));
    record.judge(NOW, &rest);
    assert_eq!((record.term, record.serving_primary()), (2, Some(&tablet(2))));
    assert_eq!(record.role(&tablet(1)), Role::Unknown);
}

#[test]
fn a_record_round_trips_as_text() {
    let mut record = record();
    record.judge(NOW, &evidence(&[writable(), follows(1), None]));
    let json = serde_json::to_string(&record).expect("serialisable");
    assert_eq!(serde_json::from_str::<ShardRecord>(&json).expect("a record"), record);
}

/// Everything that can be seen of server `n` of `count`: nothing, no source, or each other server, one outside, or two at
/// once as source; writable or not; connected or not.
fn all_servers(n: u32, count: u32) -> Vec<Option<Server>> {
    let mut all = vec![None, writable(), read_only()];
    let others: Vec<u32> = (1..=count).filter(|other| *other != n).chain([9]).collect();
    for receiver in [Receiver::Connected, Receiver::Connecting] {
        all.extend(others.iter().map(|source| linked(*source, receiver)));
        all.push(Some(Server { sources: vec![(others[0], receiver)], read_only: false }));
        all.push(Some(Server {
            sources: vec![(others[0], receiver), (others[1], Receiver::Connected)],
            read_only: true,
        }));
    }
    all
}

/// Calls `check` with all shards of up to three servers and all holders.
fn for_all_shards(mut check: impl FnMut(&[Option<Server>], u32, &Verdict)) {
    let mut shards = 0;
    for count in 1..=3 {
        let mut all = vec![vec![]];
        for n in 1..=count {
            let servers = all_servers(n, count.max(2));
            all = all
                .iter()
                .flat_map(|begun| servers.iter().map(|next| [&begun[..], core::slice::from_ref(next)].concat()))
                .collect();
        }
        for servers in &all {
            for holder in 0..=count {
                shards += 1;
                check(servers, holder, &judge(servers, holder));
            }
        }
    }
    assert!(shards > 5_000, "{shards}");
}

fn is_root(servers: &[Option<Server>], tablet: &TabletAlias) -> bool {
    servers[tablet.uid as usize - 1].as_ref().is_some_and(|server| server.sources.is_empty())
}

#[test]
fn in_no_shard_are_there_two_primaries_or_one_with_a_source() {
    for_all_shards(|servers, holder, verdict| {
        let primaries: Vec<_> = verdict.roles.iter().filter(|(_, role)| **role == Role::Primary).collect();
        assert!(primaries.len() <= 1);
        assert_eq!(primaries.first().map(|(tablet, _)| *tablet), verdict.primary.tablet());
        match &verdict.primary {
            Primary::Serving(tablet) => {
                assert_eq!(servers[tablet.uid as usize - 1], writable(), "{servers:?} {holder}");
            }
            Primary::Held(tablet, Hold::ReadOnly) => assert!(is_root(servers, tablet)),
            Primary::Held(tablet, Hold::Gone) => {
                assert_eq!((tablet.uid, &servers[tablet.uid as usize - 1]), (holder, &None));
            }
            Primary::None(_) => {}
        }
    });
}

#[test]
fn in_every_shard_a_verdict_on_the_same_evidence_stands() {
    for_all_shards(|servers, holder, verdict| {
        let now_holds = verdict.primary.tablet().map_or(holder, |tablet| tablet.uid);
        let again =
            discover(NOW, &evidence(servers), (now_holds > 0).then(|| tablet(now_holds)).as_ref(), &verdict.roles);
        assert_eq!(&again, verdict, "{servers:?} {holder}");
    });
}

#[test]
fn in_no_shard_does_anybody_become_primary_whom_nobody_follows() {
    for_all_shards(|servers, holder, verdict| {
        let Some(primary) = verdict.primary.tablet().filter(|primary| primary.uid != holder) else { return };
        let followed =
            servers.iter().flatten().any(|server| server.sources.iter().any(|(source, _)| *source == primary.uid));
        assert!(followed || servers.len() == 1, "{servers:?} {holder}");
    });
}

#[test]
fn in_every_shard_a_lost_report_moves_no_primary() {
    for_all_shards(|servers, holder, verdict| {
        // A healthy shard: one primary, and all others follow it alone.
        let Some(primary) = verdict.primary.serving() else { return };
        let with_it = |server: &Option<Server>| match server {
            Some(server) if !server.sources.is_empty() => {
                server.sources.iter().all(|(source, _)| *source == primary.uid)
            }
            _ => true,
        };
        if !servers.iter().all(with_it) {
            return;
        }
        for lost in 0..servers.len() {
            let mut fewer = servers.to_vec();
            fewer[lost] = None;
            let after = judge(&fewer, primary.uid).primary;
            let expected =
                if lost + 1 == primary.uid as usize { held(primary.uid, Hold::Gone) } else { serving(primary.uid) };
            assert_eq!(after, expected, "{servers:?} {holder} without {}", lost + 1);
        }
    });
}

#[test]
fn in_every_shard_read_only_alone_moves_no_primary() {
    for_all_shards(|servers, holder, verdict| {
        let Some(primary) = verdict.primary.tablet() else { return };
        for turned in (0..servers.len()).filter(|n| n + 1 != primary.uid as usize) {
            let mut other = servers.to_vec();
            let Some(server) = &mut other[turned] else { continue };
            server.read_only = !server.read_only;
            let after = judge(&other, primary.uid).primary;
            assert_eq!(after, verdict.primary, "{servers:?} {holder}, {} turned", turned + 1);
        }
    });
}

#[test]
fn in_every_shard_a_server_with_a_source_is_a_replica_or_misses_writes() {
    for_all_shards(|servers, _, verdict| {
        for (n, server) in (1..).zip(servers) {
            let role = verdict.roles[&tablet(n)];
            match server {
                Some(server) if !server.sources.is_empty() && verdict.primary.tablet().is_none() => {
                    assert_eq!(role, Role::Replica);
                }
                Some(server) if !server.sources.is_empty() => assert_ne!(role, Role::Primary),
                Some(_) => assert_ne!(role, Role::Replica),
                None => {}
            }
        }
    });
}
