//! Each rule by example, then all small groups.

use super::super::discover;
use super::*;
use crate::gtid::Flavor;
use crate::topo::{Address, Observation, ServerVersion, ShardRecord};

const NOW: Instant = Instant(1_000_000_000_000);
const GROUP: Id = [7; 16];

fn tablet(n: u32) -> TabletAlias {
    TabletAlias { cell: "zone1".parse().expect("a cell"), uid: n }
}

fn id(n: u8) -> Id {
    [n; 16]
}

/// What is seen of one server. Members are named after their tablets.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Server {
    /// `None`: of no group.
    says: Option<Says>,
    read_only: bool,
    silent: bool,
    /// How long its view has been known.
    known: Duration,
    /// How long ago it was asked.
    asked: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Says {
    group: Id,
    view: u64,
    has_quorum: bool,
    state: MemberState,
    elected: Elected,
    members: u32,
}

const LONG: Duration = Duration::from_secs(60);

/// An online member of view 5.
fn online() -> Server {
    let says = Says {
        group: GROUP,
        view: 5,
        has_quorum: true,
        state: MemberState::Online,
        elected: Elected::Everyone,
        members: 3,
    };
    Server { says: Some(says), read_only: false, silent: false, known: LONG, asked: Duration::ZERO }
}

impl Server {
    fn says(mut self, change: impl FnOnce(&mut Says)) -> Option<Self> {
        change(self.says.as_mut().expect("a member"));
        Some(self)
    }

    fn silent(self) -> Option<Self> {
        Some(Self { silent: true, ..self })
    }

    fn read_only(self) -> Option<Self> {
        Some(Self { read_only: true, ..self })
    }

    fn known(self, known: Duration) -> Option<Self> {
        Some(Self { known, ..self })
    }

    fn asked(self, asked: Duration) -> Option<Self> {
        Some(Self { asked, ..self })
    }
}

fn is(state: MemberState) -> Option<Server> {
    online().says(|says| says.state = state)
}

fn in_view(view: u64) -> Server {
    online().says(|says| says.view = view).expect("it is there")
}

fn cut_off() -> Option<Server> {
    online().says(|says| (says.has_quorum, says.view) = (false, u64::MAX))
}

fn elects(n: u8) -> Server {
    online().says(|says| says.elected = Elected::One(id(n))).expect("it is there")
}

fn observation(n: u8, server: &Server) -> Observation {
    let group = server.says.map(|says| Membership {
        group: Some(says.group),
        member: Some(id(n)),
        view: View { epoch: 0, number: says.view },
        has_quorum: says.has_quorum,
        state: says.state,
        elected: says.elected,
        members: says.members,
    });
    Observation {
        version: ServerVersion { flavor: Flavor::MariaDb, major: 10, minor: 11, patch: 6 },
        server_id: 1,
        server_uuid: None,
        read_only: server.read_only,
        sources: Some(vec![]),
        position: None,
        replicas_connected: None,
        threads_running: None,
        beat: None,
        group,
    }
}

/// Evidence of tablets 1, 2, ...; `None` was asked and never answered.
fn evidence(servers: &[Option<Server>]) -> Evidence {
    let sightings = (1..).zip(servers).map(|(n, server)| {
        let mut sighting = Sighting::new(Address { host: format!("db{n}"), port: 3306 });
        sighting.failed();
        if let Some(server) = server {
            sighting.answered(Instant(NOW.0 - server.asked.as_nanos() as u64), observation(n, server));
            sighting.silent = server.silent;
            sighting.view_since = sighting.view_since.map(|_| Instant(NOW.0 - server.known.as_nanos() as u64));
        }
        (tablet(u32::from(n)), sighting)
    });
    sightings.collect()
}

fn judge(servers: &[Option<Server>], holder: u32) -> Verdict {
    let holder = (holder > 0).then(|| tablet(holder));
    discover(NOW, &evidence(servers), holder.as_ref(), &BTreeMap::new())
}

fn roles(servers: &[Option<Server>], holder: u32) -> Vec<Role> {
    judge(servers, holder).roles.into_values().collect()
}

fn serving(n: u32) -> Primary {
    Primary::Serving(tablet(n))
}

fn nobody(conflict: Conflict) -> Primary {
    Primary::None(conflict)
}

const P: Role = Role::Primary;
const R: Role = Role::Replica;
const U: Role = Role::Unknown;

#[test]
fn of_members_that_all_take_writes_one_is_kept() {
    let all = [Some(online()); 3];
    assert_eq!(judge(&all, 0).primary, serving(1), "the lowest alias");
    assert_eq!(judge(&all, 2).primary, serving(2), "the holder");
    assert_eq!(roles(&all, 2), [R, P, R]);
    assert_eq!(judge(&all, 2).notes, []);
}

#[test]
fn a_writer_that_is_not_online_gives_way() {
    for away in [MemberState::Desynced, MemberState::Joining, MemberState::Out] {
        let servers = [Some(online()), is(away), Some(online())];
        assert_eq!(judge(&servers, 2).primary, serving(1), "{away}");
        assert_eq!(roles(&servers, 2), [P, U, R], "{away} gets no reads");
    }
    assert_eq!(judge(&[Some(online()), cut_off(), Some(online())], 2).primary, serving(1));
    assert_eq!(judge(&[Some(online()), None, Some(online())], 2).primary, serving(1));
}

#[test]
fn a_desynced_member_writes_only_if_no_other_can() {
    use MemberState::{Desynced, Joining};
    assert_eq!(roles(&[is(Desynced), Some(online()), is(Joining)], 1), [U, P, U]);
    assert_eq!(roles(&[is(Desynced), is(Joining), None], 1), [P, U, U]);
    assert_eq!(roles(&[is(Desynced), is(Desynced), is(Joining)], 2), [U, P, U], "the holder");
}

#[test]
fn a_read_only_member_is_held_only_if_no_other_can_write() {
    assert_eq!(judge(&[online().read_only(), Some(online())], 1).primary, serving(2));
    assert_eq!(roles(&[online().read_only(), Some(online())], 1), [R, P]);
    let held = Primary::Held(tablet(1), Hold::ReadOnly);
    assert_eq!(judge(&[online().read_only(), None], 1).primary, held);
    assert_eq!(judge(&[online().read_only(), is(MemberState::Desynced)], 1).primary, serving(2));
}

#[test]
fn without_the_quorum_there_is_no_primary_and_nobody_is_read() {
    let servers = [cut_off(), online().silent(), online().silent()];
    assert_eq!(judge(&servers, 1).primary, nobody(Conflict::NoQuorum), "of the others there is only the last word");
    let servers = [cut_off(), None, None];
    let verdict = judge(&servers, 1);
    assert_eq!(verdict.primary, nobody(Conflict::NoQuorum));
    assert_eq!(verdict.roles.into_values().collect::<Vec<_>>(), [U, U, U]);
    assert_eq!(verdict.notes, [Note::WithoutQuorum(tablet(1))]);
    let text = verdict.primary.to_string();
    assert_eq!(text, "none: no server answers from a part of the group with the quorum");
}

#[test]
fn one_lost_answer_moves_no_writer() {
    let servers = [online().silent(), Some(online()), Some(online())];
    assert_eq!(roles(&servers, 1), [P, R, R]);
    assert_eq!(roles(&servers, 2), [R, P, R], "whether it serves is a question of health");
    assert_eq!(roles(&servers, 0), [R, P, R], "but nobody silent becomes the writer");
}

#[test]
fn a_silent_writer_gives_way_as_soon_as_the_group_has_gone_on() {
    let servers = [in_view(5).silent(), in_view(6).known(Duration::ZERO), Some(in_view(5))];
    assert_eq!(roles(&servers, 1), [U, P, R]);
}

#[test]
fn a_new_view_drops_nobody_who_had_no_time_to_tell() {
    let before = |known| in_view(5).asked(known);
    let new = |known| [before(known), before(known), in_view(6).known(known)];
    let verdict = judge(&new(VIEW_GRACE), 1);
    assert_eq!(verdict.primary, serving(1));
    assert_eq!(verdict.notes, []);
    let verdict = judge(&new(VIEW_GRACE + Duration::from_nanos(1)), 1);
    assert_eq!(verdict.primary, serving(3), "they were given the time");
    assert_eq!(verdict.notes, [Note::LeftBehind(tablet(1)), Note::LeftBehind(tablet(2))]);
}

#[test]
fn who_wakes_in_a_view_that_the_group_has_left_is_left_behind() {
    let known = VIEW_SPREAD + Duration::from_nanos(1);
    let servers = [Some(in_view(5)), in_view(6).known(known), in_view(6).known(known)];
    let verdict = judge(&servers, 1);
    assert_eq!(verdict.primary, serving(2));
    assert_eq!(verdict.notes, [Note::LeftBehind(tablet(1))]);
    assert_eq!(roles(&servers, 2), [U, P, R]);
    let servers = [Some(in_view(5)), in_view(6).known(VIEW_SPREAD), in_view(6).known(VIEW_SPREAD)];
    assert_eq!(roles(&servers, 1), [P, R, R], "it may just be the last to hear");
}

#[test]
fn a_cluster_that_was_begun_anew_is_believed_though_it_counts_from_one() {
    let servers = [in_view(17).silent(), Some(in_view(1)), Some(in_view(1))];
    assert_eq!(roles(&servers, 1), [U, P, R]);
}

#[test]
fn old_evidence_is_none() {
    let evidence = evidence(&[Some(online()), Some(online())]);
    let at = |after: Duration| discover(NOW + after, &evidence, Some(&tablet(1)), &BTreeMap::new());
    assert_eq!(at(EVIDENCE_AGE_MAX).primary, serving(1));
    let late = at(EVIDENCE_AGE_MAX + Duration::from_nanos(1));
    assert_eq!(late.primary, nobody(Conflict::NoQuorum));
    assert_eq!(late.roles.into_values().collect::<Vec<_>>(), [U, U]);
}

#[test]
fn several_groups_in_a_shard_have_no_primary_and_no_roles() {
    let other = online().says(|says| says.group = [8; 16]);
    let servers = [Some(online()), other, Some(online())];
    let all = vec![tablet(1), tablet(2), tablet(3)];
    assert_eq!(judge(&servers, 1).primary, nobody(Conflict::SeveralGroups(all)));
    assert_eq!(roles(&servers, 1), [U, U, U]);
}

#[test]
fn parts_that_both_claim_the_quorum_are_refused() {
    let of = |members| online().says(|says| says.members = members);
    let sizes_differ = [of(2), of(2), of(1)];
    assert!(matches!(judge(&sizes_differ, 1).primary, Primary::None(Conflict::SplitGroup(_))));
    let too_many = [of(2), of(2), of(2), of(2)];
    assert!(matches!(judge(&too_many, 1).primary, Primary::None(Conflict::SplitGroup(_))));
    assert_eq!(roles(&too_many, 1), [U; 4]);
    assert_eq!(judge(&[of(2), of(2)], 1).primary, serving(1));
}

#[test]
fn who_is_no_member_has_no_role() {
    let plain = Some(Server { says: None, ..online() });
    let verdict = judge(&[plain, Some(online()), Some(online())], 1);
    assert_eq!(verdict.primary, serving(2));
    assert_eq!(verdict.roles[&tablet(1)], U);
    assert_eq!(verdict.notes, [Note::NotInGroup(tablet(1))]);
}

#[test]
fn whom_the_group_has_elected_is_primary() {
    let servers = [Some(elects(2)); 3];
    for holder in [0, 1, 2] {
        assert_eq!(judge(&servers, holder).primary, serving(2));
        assert_eq!(roles(&servers, holder), [R, P, R]);
    }
    let elected = elects(2).read_only();
    assert_eq!(
        judge(&[Some(elects(2)), elected], 1).primary,
        Primary::Held(tablet(2), Hold::ReadOnly),
        "until it has applied what was there"
    );
}

#[test]
fn an_election_is_over_when_the_elected_says_so() {
    // 1 is gone; 3 has heard that 2 is elected, 2 has not.
    let unheard = elects(2).says(|says| says.elected = Elected::Nobody);
    let servers = [None, unheard, Some(elects(2))];
    assert_eq!(judge(&servers, 1).primary, nobody(Conflict::ElectedUnseen));
    assert_eq!(roles(&servers, 1), [U, R, R], "both are read");
    // 1 has handed over to 2, and was asked before that.
    let servers = [Some(elects(1)), Some(elects(2)), Some(elects(2))];
    assert_eq!(judge(&servers, 1).primary, nobody(Conflict::SeveralElected(vec![tablet(1), tablet(2)])));
    // 1 left, and was asked before that: the later view knows better.
    let later = elects(2).says(|says| says.view = 6).and_then(|server| server.known(Duration::ZERO));
    let servers = [Some(elects(1)), later, later];
    assert_eq!(judge(&servers, 1).primary, serving(2));
}

#[test]
fn nothing_is_concluded_before_all_were_asked_once() {
    let mut all = evidence(&[Some(online()), Some(online())]);
    all.insert(tablet(3), Sighting::new(Address { host: "db3".into(), port: 3306 }));
    let verdict = discover(NOW, &all, None, &BTreeMap::new());
    assert_eq!(verdict.primary, nobody(Conflict::StillAsking(vec![tablet(3)])));
    assert_eq!(discover(NOW, &all, Some(&tablet(2)), &BTreeMap::new()).primary, serving(2));
}

#[test]
fn the_term_counts_writers_and_survives_the_loss_of_the_quorum() {
    let mut record = ShardRecord::new("shop".parse().expect("a keyspace"), crate::topo::Shard::unsharded());
    let mut step = |servers: &[Option<Server>]| {
        record.judge(NOW, &evidence(servers));
        (record.term, record.verdict.primary.clone())
    };
    assert_eq!(step(&[Some(online()), Some(online()), Some(online())]), (1, serving(1)));
    assert_eq!(step(&[cut_off(), None, None]), (1, nobody(Conflict::NoQuorum)));
    assert_eq!(step(&[Some(online()), Some(online()), None]), (1, serving(1)));
    assert_eq!(step(&[None, Some(online()), Some(online())]), (2, serving(2)));
    assert_eq!(step(&[Some(online()), Some(online()), Some(online())]), (2, serving(2)), "it does not go back");
}

#[test]
fn a_view_is_known_since_it_was_first_seen() {
    let mut sighting = Sighting::new(Address { host: "db1".into(), port: 3306 });
    let at = |seconds| NOW + Duration::from_secs(seconds);
    sighting.answered(at(0), observation(1, &in_view(5)));
    sighting.answered(at(1), observation(1, &in_view(5)));
    assert_eq!(sighting.view_since, Some(at(0)));
    sighting.failed();
    sighting.answered(at(3), observation(1, &in_view(6)));
    assert_eq!(sighting.view_since, Some(at(3)));
    sighting.answered(at(4), observation(1, &Server { says: None, ..online() }));
    assert_eq!(sighting.view_since, None);
}

/// Everything that can be seen of a server whose group lets everybody write, or elects `elected`.
fn all_servers(elected: &[Elected]) -> Vec<Option<Server>> {
    let mut all = vec![None, Some(Server { says: None, ..online() })];
    for &elected in elected {
        for (view, known) in [(5, LONG), (6, LONG), (6, Duration::ZERO)] {
            for state in [MemberState::Online, MemberState::Desynced, MemberState::Joining] {
                let member = Server { known, ..in_view(view) };
                let member = member.says(|says| (says.state, says.elected) = (state, elected)).expect("it is there");
                all.extend([Some(member), member.silent(), member.says(|says| says.has_quorum = false)]);
                if state == MemberState::Online {
                    all.push(member.read_only());
                }
            }
        }
    }
    all
}

/// Calls `check` with all groups of three servers and all holders.
fn for_all_groups(elected: &[Elected], mut check: impl FnMut(&[Option<Server>; 3], u32, &Verdict)) {
    let all = all_servers(elected);
    for one in &all {
        for two in &all {
            for three in &all {
                let servers = [*one, *two, *three];
                if servers.iter().flatten().any(|server| server.says.is_some()) {
                    for holder in 0..=3 {
                        check(&servers, holder, &judge(&servers, holder));
                    }
                }
            }
        }
    }
}

fn of<'a>(servers: &'a [Option<Server>; 3], tablet: &TabletAlias) -> Option<(&'a Server, Says)> {
    let server = servers[tablet.uid as usize - 1].as_ref()?;
    Some((server, server.says?))
}

#[test]
fn in_no_group_are_there_two_primaries_or_one_without_quorum() {
    for_all_groups(&[Elected::Everyone], |servers, holder, verdict| {
        let primaries: Vec<_> =
            verdict.roles.iter().filter(|(_, role)| **role == P).map(|(tablet, _)| tablet).collect();
        assert_eq!(primaries, verdict.primary.tablet().into_iter().collect::<Vec<_>>());
        for (tablet, role) in &verdict.roles {
            let Some((server, says)) = of(servers, tablet).filter(|_| *role != U) else {
                assert_eq!(*role, U, "{servers:?} {holder}");
                continue;
            };
            let is_able = says.state == MemberState::Online || (*role == P && says.state == MemberState::Desynced);
            assert!(says.has_quorum && is_able, "{servers:?} {holder}");
            let serves = verdict.primary.serving() == Some(tablet);
            assert!(!serves || !server.read_only, "{servers:?} {holder}");
        }
    });
}

#[test]
fn in_every_group_a_writer_that_is_online_in_its_view_stays() {
    for_all_groups(&[Elected::Everyone], |servers, holder, verdict| {
        let Some((server, says)) = (holder > 0).then(|| of(servers, &tablet(holder))).flatten() else { return };
        let newest = servers.iter().flatten().filter_map(|server| server.says).map(|says| says.view).max();
        let is_able = says.has_quorum && says.state == MemberState::Online && !server.read_only && !server.silent;
        if is_able && Some(says.view) == newest {
            assert_eq!(verdict.primary, serving(holder), "{servers:?}");
        }
    });
}

#[test]
fn in_every_group_a_verdict_on_the_same_evidence_stands() {
    for_all_groups(&[Elected::Everyone], |servers, holder, verdict| {
        let now_holds = verdict.primary.tablet().map_or(holder, |tablet| tablet.uid);
        assert_eq!(&judge(servers, now_holds), verdict, "{servers:?} {holder}");
    });
}

#[test]
fn in_no_group_is_anybody_primary_whom_the_group_has_not_elected() {
    for_all_groups(&[Elected::One(id(1)), Elected::One(id(2))], |servers, holder, verdict| {
        if let Some(primary) = verdict.primary.tablet() {
            let (_, says) = of(servers, primary).expect("a member");
            assert_eq!(says.elected, Elected::One(id(primary.uid as u8)), "{servers:?} {holder}");
            assert!(says.has_quorum && says.state == MemberState::Online, "{servers:?} {holder}");
        }
    });
}
