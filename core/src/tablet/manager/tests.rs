//! When a tablet serves, whom it refuses, and what it tells.

mod draining;

use super::*;
use crate::gtid::{Flavor, Position};
use crate::link::{ConnectionClass, ConnectionTraits};
use crate::tablet::pool::{Acquire, CloseReason, ConnId, Fate, Ticket};
use crate::topo::group::{Elected, MemberState, View};
use crate::topo::{Address, Membership, Receiver, ServerVersion, SourceLink};
use std::sync::Arc;

struct Bench {
    tablet: Tablet,
    now: Instant,
    tickets: u64,
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// What a server says that has executed `seq` transactions; with a lag it is a replica.
fn seen(seq: u64, read_only: bool, sources: &[Option<Duration>]) -> Observation {
    let link = |lag: &Option<Duration>| SourceLink {
        channel: String::new(),
        address: Address { host: "db1".into(), port: 3306 },
        server_id: 1,
        server_uuid: None,
        receiver: Receiver::Connected,
        applier_running: true,
        lag: *lag,
        error: String::new(),
    };
    Observation {
        version: ServerVersion { flavor: Flavor::MariaDb, major: 10, minor: 11, patch: 6 },
        server_id: 1,
        server_uuid: None,
        read_only,
        sources: Some(sources.iter().map(link).collect()),
        position: Some(Position::mariadb(0, 1, seq)),
        replicas_connected: None,
        threads_running: None,
        beat: None,
        group: None,
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let identity = Identity {
            alias: "zone1-100".parse().expect("an alias"),
            keyspace: "shop".parse().expect("a keyspace"),
            shard: Shard::unsharded(),
        };
        let tablet = Tablet::new(identity, config, Rng::new(1));
        Self { tablet, now: Instant::ZERO, tickets: 0 }
    }

    /// A tablet that serves.
    fn serving(role: Role) -> Self {
        let mut bench = Self::new();
        bench.feed(Input::RoleAssigned { role, term: 5 });
        bench.answer(match role {
            Role::Primary => seen(7, false, &[]),
            _ => seen(7, true, &[seconds(0)]),
        });
        assert_eq!(bench.health().not_serving, None);
        bench
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        self.tablet.handle(self.now, input);
        std::iter::from_fn(|| self.tablet.poll_output()).collect()
    }

    fn wake(&mut self) -> Vec<Output> {
        self.now = self.now.max(self.tablet.poll_timeout().expect("a timer"));
        let outputs = self.feed(Input::Timeout);
        assert!(self.tablet.poll_timeout().is_none_or(|at| at > self.now), "woken in vain");
        outputs
    }

    /// Let time pass until the next probe begins.
    fn probe(&mut self) -> ProbeId {
        let probe = |output: &Output| match output {
            Output::Probe { probe, .. } => Some(*probe),
            _ => None,
        };
        loop {
            if let Some(probe) = self.wake().iter().find_map(probe) {
                return probe;
            }
        }
    }

    fn answer(&mut self, observation: Observation) -> Vec<Output> {
        let probe = self.probe();
        self.feed(Input::Observed { probe, observation })
    }

    fn fail(&mut self) -> Vec<Output> {
        let probe = self.probe();
        let error = Error::new(Component::Tablet, Kind::ServerLost, "connection refused");
        self.feed(Input::ProbeFailed { probe, error })
    }

    fn health(&self) -> Health {
        self.tablet.told.clone().expect("health was told")
    }

    fn acquire(&mut self, role: Role, term: Option<u64>) -> Vec<Output> {
        self.tickets += 1;
        let (ticket, class) = (Ticket(self.tickets), ConnectionClass::PLAIN);
        let request = Acquire { ticket, class, settings: Arc::default(), prefer: None, deadline: None, holder: 1 };
        self.feed(Input::Acquire { role, term, needs: Position::default(), request })
    }

    /// What the tablet says to a request, or "taken".
    fn reply(&mut self, role: Role, term: Option<u64>) -> String {
        match self.acquire(role, term).first() {
            Some(Output::Pool(pool::Output::Refused { error, .. })) => error.to_string(),
            _ => "taken".to_owned(),
        }
    }
}

fn healths(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Health(_))).count()
}

#[test]
fn it_serves_once_it_has_a_role_and_its_server_answers() {
    let mut bench = Bench::new();
    assert_eq!(bench.tablet.poll_timeout(), Some(Instant::ZERO));
    assert!(bench.reply(Role::Replica, None).contains("is UNKNOWN in term 0, not REPLICA"));
    bench.feed(Input::RoleAssigned { role: Role::Replica, term: 5 });
    assert_eq!(bench.health().not_serving, Some(NotServing::Unreachable));
    let text = bench.reply(Role::Replica, None);
    let expected = "ERROR 1053 (08S01): tablet zone1-0000000100 does not serve: its server cannot be reached. \
                    Nothing was executed: a retry is safe";
    assert_eq!(text, expected);
    bench.answer(seen(7, true, &[seconds(2)]));
    let health = bench.health();
    assert_eq!((health.not_serving, health.lag, health.term), (None, seconds(2), 5));
    assert_eq!(health.position, Position::mariadb(0, 1, 7));
    assert_eq!(bench.reply(Role::Replica, None), "taken");
}

#[test]
fn requests_are_taken_for_its_own_role_and_term_only() {
    for (own, role, term, refused) in [
        (Role::Primary, Role::Primary, Some(5), None),
        (Role::Primary, Role::Primary, None, None),
        (Role::Primary, Role::Replica, None, Some("is PRIMARY in term 5, not REPLICA")),
        (Role::Primary, Role::Primary, Some(4), Some("was asked for PRIMARY in term 4, but it is in term 5")),
        (Role::Primary, Role::Primary, Some(6), Some("has not heard of term 6 yet; it is in term 5")),
        (Role::Replica, Role::Primary, Some(5), Some("is REPLICA in term 5, not PRIMARY")),
        (Role::Replica, Role::Replica, Some(4), Some("was asked for REPLICA in term 4")),
        (Role::Replica, Role::Replica, Some(6), None),
        (Role::Replica, Role::RdOnly, None, Some("is REPLICA in term 5, not RDONLY")),
    ] {
        let text = Bench::serving(own).reply(role, term);
        match refused {
            Some(part) => assert!(text.contains(part) && text.contains("a retry is safe"), "{text}"),
            None => assert_eq!(text, "taken", "{own} asked for {role} in {term:?}"),
        }
    }
}

#[test]
fn a_change_of_role_turns_away_who_waits_and_ends_what_was_opened_before() {
    let mut bench = Bench::serving(Role::Primary);
    bench.acquire(Role::Primary, None);
    let conn = ConnId(1);
    bench.feed(Input::Pool(pool::Input::Opened { conn }));
    bench.acquire(Role::Primary, None);
    let outputs = bench.feed(Input::RoleAssigned { role: Role::Replica, term: 6 });
    let Output::Pool(pool::Output::Refused { error, .. }) = &outputs[0] else { panic!("{outputs:?}") };
    assert!(error.to_string().contains("is REPLICA since term 6, no longer PRIMARY"), "{error}");
    assert_eq!(bench.health().target.role, Role::Replica);
    assert_eq!(bench.reply(Role::Replica, None), "taken", "it serves on");
    let release = pool::Input::Release { conn, settings: Arc::default(), epoch: 1, fate: Fate::Keep };
    let outputs = bench.feed(Input::Pool(release));
    assert!(outputs.contains(&Output::Pool(pool::Output::Close { conn, reason: CloseReason::Drained })), "{outputs:?}");
}

#[test]
fn an_order_of_a_lower_term_is_not_heeded() {
    let mut bench = Bench::serving(Role::Replica);
    assert_eq!(bench.feed(Input::RoleAssigned { role: Role::Primary, term: 4 }), []);
    assert_eq!(bench.tablet.role(), (Role::Replica, 5));
}

#[test]
fn a_newer_term_in_the_same_role_disturbs_nobody() {
    let mut bench = Bench::serving(Role::Replica);
    bench.acquire(Role::Replica, None);
    let outputs = bench.feed(Input::RoleAssigned { role: Role::Replica, term: 6 });
    assert!(matches!(outputs[..], [Output::Health(_)]), "{outputs:?}");
}

#[test]
fn several_failures_in_a_row_take_it_out_and_one_answer_brings_it_back() {
    let mut bench = Bench::serving(Role::Replica);
    bench.fail();
    assert_eq!(bench.health().not_serving, None, "once is nothing");
    bench.answer(seen(8, true, &[seconds(0)]));
    bench.fail();
    assert_eq!(bench.health().not_serving, None, "they count in a row");
    bench.fail();
    assert_eq!(bench.health().not_serving, Some(NotServing::Unreachable));
    assert!(bench.reply(Role::Replica, None).contains("cannot be reached: connection refused"));
    bench.answer(seen(9, true, &[seconds(0)]));
    assert_eq!(bench.health().not_serving, None);
    assert_eq!(bench.reply(Role::Replica, None), "taken");
}

#[test]
fn a_server_that_falls_silent_is_told_of_also_when_its_role_is_not_known_any_more() {
    let mut bench = Bench::serving(Role::Primary);
    bench.feed(Input::RoleAssigned { role: Role::Unknown, term: 5 });
    assert_eq!(bench.health().not_serving, Some(NotServing::NoRole));
    bench.fail();
    bench.fail();
    assert_eq!(bench.health().not_serving, Some(NotServing::Unreachable));
}

#[test]
fn a_server_that_does_not_answer_in_time_has_failed_and_a_late_answer_is_no_news() {
    let mut bench = Bench::serving(Role::Replica);
    let first = bench.probe();
    let second = bench.probe();
    assert_ne!(first, second, "given up, and begun anew");
    assert_eq!(bench.feed(Input::Observed { probe: first, observation: seen(99, true, &[]) }), []);
    let third = bench.probe();
    assert_ne!(second, third);
    assert_eq!(bench.health().not_serving, Some(NotServing::Unreachable));
    assert_eq!(bench.health().position, Position::mariadb(0, 1, 7));
}

#[test]
fn probes_keep_their_interval_with_some_spread() {
    let mut bench = Bench::serving(Role::Replica);
    let mut pauses = Vec::new();
    for seq in 0..20 {
        let ended = bench.now;
        bench.answer(seen(seq, true, &[seconds(0)]));
        pauses.push((bench.now - ended).as_millis());
    }
    assert!(pauses.iter().all(|ms| (900..=1100).contains(ms)), "{pauses:?}");
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 10, "{pauses:?}");
}

#[test]
fn a_lost_connection_brings_the_next_probe_forward_but_not_without_bound() {
    let mut bench = Bench::serving(Role::Replica);
    let ended = bench.now;
    bench.acquire(Role::Replica, None);
    bench.feed(Input::Pool(pool::Input::Opened { conn: ConnId(1) }));
    bench.feed(Input::Pool(pool::Input::Lost { conn: ConnId(1) }));
    bench.probe();
    assert_eq!(bench.now - ended, Duration::from_millis(100));
}

#[test]
fn a_primary_that_is_read_only_does_not_serve() {
    let mut bench = Bench::serving(Role::Primary);
    bench.answer(seen(8, true, &[]));
    assert_eq!(bench.health().not_serving, Some(NotServing::ReadOnly));
    assert!(bench.reply(Role::Primary, Some(5)).contains("its server is read_only"));
    bench.answer(seen(8, false, &[]));
    assert_eq!(bench.health().not_serving, None);
}

#[test]
fn the_only_server_is_asked_even_while_it_is_read_only() {
    let mut bench = Bench::with(Config { alone: true, ..Config::default() });
    bench.feed(Input::RoleAssigned { role: Role::Primary, term: 5 });
    bench.answer(seen(8, true, &[]));
    assert_eq!(bench.health().not_serving, None, "some may write all the same, and nobody else could take it");
}

/// A replica that becomes primary some time after its last probe.
/// What a writable member of a group says.
fn member(has_quorum: bool, state: MemberState) -> Observation {
    let (view, elected) = (View { epoch: 0, number: 5 }, Elected::Everyone);
    let group =
        Membership { group: Some([1; 16]), member: Some([2; 16]), view, has_quorum, state, elected, members: 3 };
    Observation { group: Some(group), ..seen(7, false, &[]) }
}

#[test]
fn a_member_of_a_group_serves_only_while_it_says_that_it_may() {
    use MemberState::{Desynced, Joining, Online};
    let not_serving = |role, has_quorum, state| {
        let mut bench = Bench::serving(role);
        bench.answer(member(has_quorum, state));
        bench.health().not_serving
    };
    for role in [Role::Primary, Role::Replica] {
        assert_eq!(not_serving(role, true, Online), None);
        assert_eq!(not_serving(role, false, Online), Some(NotServing::WithoutQuorum), "before its role is taken away");
        assert_eq!(not_serving(role, true, Joining), Some(NotServing::NotOnline));
    }
    assert_eq!(not_serving(Role::Primary, true, Desynced), None);
    assert_eq!(not_serving(Role::Replica, true, Desynced), Some(NotServing::NotOnline));
}

fn promoted() -> Bench {
    let mut bench = Bench::serving(Role::Replica);
    bench.now += Duration::from_millis(300);
    bench.feed(Input::RoleAssigned { role: Role::Primary, term: 6 });
    assert_eq!(bench.health().not_serving, Some(NotServing::ReadOnly));
    bench
}

#[test]
fn a_new_primary_serves_as_soon_as_its_server_takes_writes() {
    let mut bench = promoted();
    let promoted_at = bench.now;
    let probe = bench.probe();
    assert_eq!(bench.now, promoted_at, "what was seen is out of date");
    bench.feed(Input::Observed { probe, observation: seen(8, true, &[]) });
    bench.answer(seen(8, false, &[]));
    assert!(bench.now - promoted_at <= Duration::from_millis(50));
    assert_eq!(bench.health().not_serving, None);
}

#[test]
fn a_new_primary_that_stays_read_only_is_asked_often_for_a_while_only() {
    let mut bench = promoted();
    let (promoted_at, mut last_pause) = (bench.now, Duration::ZERO);
    let mut probes = 0;
    while last_pause < Duration::from_millis(900) {
        let ended = bench.now;
        bench.answer(seen(8, true, &[]));
        last_pause = bench.now - ended;
        probes += 1;
    }
    assert!((20..=100).contains(&probes), "{probes} probes");
    assert!(bench.now - promoted_at < Duration::from_secs(4));
}

#[test]
fn a_replica_that_stops_following_falls_behind_with_the_time() {
    let mut bench = Bench::serving(Role::Replica);
    bench.answer(seen(8, true, &[seconds(1), seconds(3)]));
    assert_eq!(bench.health().lag, seconds(3), "the greatest of its sources");
    let told_at = bench.now;
    for _ in 0..3 {
        bench.answer(seen(8, true, &[None, seconds(0)]));
        assert_eq!(bench.health().lag, Some(Duration::from_secs(3) + (bench.now - told_at)));
    }
    bench.answer(seen(8, true, &[seconds(0), seconds(0)]));
    assert_eq!(bench.health().lag, seconds(0));
    assert_eq!(Bench::serving(Role::Primary).health().lag, None);
}

#[test]
fn health_is_told_when_it_changes_and_as_a_heartbeat() {
    let mut bench = Bench::serving(Role::Replica);
    assert_eq!(healths(&bench.answer(seen(8, true, &[seconds(0)]))), 1, "another position");
    assert_eq!(healths(&bench.answer(seen(8, true, &[seconds(0)]))), 0, "nothing new");
    let until = bench.now + Duration::from_secs(60);
    let mut told = 0;
    while bench.now < until {
        let outputs = bench.wake();
        told += healths(&outputs);
        if let Some(Output::Probe { probe, .. }) = outputs.first() {
            let observation = seen(8, true, &[seconds(0)]);
            assert_eq!(bench.feed(Input::Observed { probe: *probe, observation }), [], "nothing new");
        }
    }
    assert!((55..=65).contains(&told), "{told} in a minute");
}

#[test]
fn a_stopped_tablet_refuses_drains_and_has_nothing_more_to_do() {
    let mut bench = Bench::serving(Role::Primary);
    bench.feed(Input::Stop);
    // The pool was warming up.
    let error = Error::new(Component::Server, Kind::Shutdown, "Server shutdown in progress");
    let outputs = bench.feed(Input::Pool(pool::Input::OpenFailed { conn: ConnId(1), error }));
    assert!(outputs.contains(&Output::Pool(pool::Output::Drained)), "{outputs:?}");
    assert_eq!(bench.health().not_serving, Some(NotServing::Stopping));
    assert!(bench.reply(Role::Primary, Some(5)).contains("it is shutting down"));
    assert_eq!(bench.tablet.poll_timeout(), None);
}

#[test]
fn inputs_can_be_recorded_and_read_again() {
    let request = Acquire {
        holder: 1,
        ticket: Ticket(1),
        class: ConnectionClass::of(ConnectionTraits::FOUND_ROWS),
        settings: Arc::default(),
        prefer: None,
        deadline: Some(Instant(5)),
    };
    for input in [
        Input::Acquire { role: Role::Primary, term: Some(5), needs: Position::mariadb(0, 1, 7), request },
        Input::Waited { conn: ConnId(1), executed: Position::mariadb(0, 1, 7) },
        Input::Observed { probe: ProbeId(1), observation: seen(7, true, &[seconds(1)]) },
        Input::Pool(pool::Input::Lost { conn: ConnId(1) }),
    ] {
        let text = serde_json::to_string(&input).expect("it can be written");
        assert_eq!(serde_json::from_str::<Input>(&text).expect("it can be read"), input);
    }
}

/// The probe that a doubt brings about, and how long it may take.
fn doubted(bench: &mut Bench, within: Duration) -> Option<(ProbeId, Duration)> {
    bench.now += Duration::from_millis(300);
    bench.feed(Input::Doubt { within });
    let woken = bench.wake();
    woken.iter().find_map(|output| match output {
        Output::Probe { probe, timeout } => Some((*probe, *timeout)),
        _ => None,
    })
}

#[test]
fn a_server_in_doubt_has_one_short_probe_to_answer() {
    let within = Duration::from_millis(50);
    let mut bench = Bench::serving(Role::Replica);
    let begun = bench.now;
    let (probe, timeout) = doubted(&mut bench, within).expect("a probe at once");
    assert!(timeout == within && bench.now - begun < Duration::from_millis(400));
    bench.feed(Input::Observed { probe, observation: seen(8, true, &[seconds(0)]) });
    assert_eq!(bench.health().not_serving, None);
    doubted(&mut bench, within).expect("a probe at once");
    bench.wake();
    assert_eq!(bench.health().not_serving, Some(NotServing::Unreachable));
    bench.answer(seen(9, true, &[seconds(0)]));
    assert_eq!(bench.health().not_serving, None, "it is back");
    bench.fail();
    assert_eq!(bench.health().not_serving, None, "without a doubt one failure says little");
}

#[test]
fn a_probe_under_way_decides_a_doubt_in_its_time() {
    let mut bench = Bench::serving(Role::Replica);
    bench.probe();
    let within = Duration::from_millis(50);
    bench.feed(Input::Doubt { within });
    let asked = bench.now;
    bench.wake();
    assert_eq!((bench.now - asked, bench.health().not_serving), (within, Some(NotServing::Unreachable)));
}

#[test]
fn a_primary_is_given_the_usual_time() {
    let mut bench = Bench::serving(Role::Primary);
    let doubted = doubted(&mut bench, Duration::from_millis(50));
    assert!(doubted.is_none_or(|(_, timeout)| timeout == Config::default().monitor.probe_timeout));
}

#[test]
fn what_the_server_has_executed_is_learnt_from_waits_until_it_says_otherwise_or_breaks() {
    let at = |seq| Position::mariadb(0, 1, seq);
    let mut bench = Bench::serving(Role::Replica);
    assert_eq!(bench.tablet.executed(), &at(7));
    bench.feed(Input::Waited { conn: ConnId(1), executed: at(9) });
    bench.feed(Input::Waited { conn: ConnId(2), executed: at(8) });
    assert_eq!(bench.tablet.executed(), &at(9));
    bench.answer(seen(4, true, &[seconds(0)]));
    assert_eq!(bench.tablet.executed(), &at(4), "it lost the rest, or never had it");
    bench.feed(Input::Pool(pool::Input::Lost { conn: ConnId(77) }));
    assert_eq!(bench.tablet.executed(), &Position::default(), "it may come back with less");
    bench.answer(seen(11, true, &[seconds(0)]));
    bench.feed(Input::RoleAssigned { role: Role::RdOnly, term: 6 });
    assert_eq!(bench.tablet.executed(), &Position::default());
}

#[test]
fn what_a_galera_member_was_waited_for_stays_until_it_may_come_back_with_less() {
    let mut bench = Bench::serving(Role::Replica);
    let silent_on_positions = || Observation { position: None, ..member(true, MemberState::Online) };
    bench.answer(silent_on_positions());
    bench.feed(Input::Pool(pool::Input::Lost { conn: ConnId(77) }));
    bench.feed(Input::Waited { conn: ConnId(1), executed: Position::mariadb(7, 1, 9) });
    bench.answer(silent_on_positions());
    assert_eq!(bench.tablet.executed(), &Position::mariadb(7, 1, 9));
    bench.answer(Observation { position: None, ..member(true, MemberState::Joining) });
    assert_eq!(bench.tablet.executed(), &Position::default());
}
