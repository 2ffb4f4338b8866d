//! A tablet's machine against a server that does what it is told.

mod resting;

use super::*;
use crate::topo::Role;

const UUID: &str = "00000000-0000-0000-0000-00000000000a";

fn alias(uid: u32) -> TabletAlias {
    format!("a-{uid}").parse().expect("an alias")
}

fn position(last: u64) -> Position {
    if last == 0 { Position::default() } else { format!("{UUID}:1-{last}").parse().expect("a position") }
}

/// A tablet, its server and its disk. Actions and writes happen one per [`Bench::turn`]. Whenever its machine has said all, it is written down, and
/// what was read takes its place.
struct Bench {
    machine: Orders,
    server: Status,
    disk: Promise,
    now: Instant,
    done: Vec<Action>,
    answers: Vec<(u64, Result<Report, Refusal>)>,
}

impl Bench {
    /// A replica of tablet 1 that has received up to 5 and applied up to 3.
    fn replica() -> Self {
        let server = Status {
            executed: position(3),
            received: position(5),
            read_only: true,
            source: Some(alias(1)),
            receiver_running: true,
            receiver_connected: true,
            applier_running: true,
            acknowledges: true,
            ..Status::default()
        };
        let disk = Promise::of_the_first_term();
        Self::with(disk, server, None)
    }

    /// The primary of term 1.
    fn primary(lease: Option<Duration>) -> Self {
        let server = Status { executed: position(5), acks: 1, ..Status::default() };
        let disk = Promise::of_the_first_term();
        Self::with(disk, server, lease)
    }

    fn with(disk: Promise, server: Status, lease: Option<Duration>) -> Self {
        let machine = Orders::new(disk.clone(), lease, Mutants::NONE);
        Self { machine, server, disk, now: Instant::ZERO, done: Vec::new(), answers: Vec::new() }
    }

    fn order(&mut self, id: u64, term: u64, order: Order) {
        self.machine.handle(self.now, Input::Order { id, term, order });
    }

    /// Does one thing that the machine wants. False when it wants nothing.
    fn turn(&mut self) -> bool {
        let output = self.machine.poll_output();
        if self.machine.outputs.is_empty() {
            self.machine = written_down(&self.machine);
        }
        let Some(output) = output else {
            let Some(at) = self.machine.poll_timeout() else { return false };
            self.now = at;
            self.machine.handle(self.now, Input::Timeout);
            // A look that waits for the applier finds more of it done.
            self.server.executed = self.server.received.union(&self.server.executed).expect("one flavour");
            return true;
        };
        self.carry_out(output);
        true
    }

    fn carry_out(&mut self, output: Output) {
        let input = match output {
            Output::Persist(promise) => {
                self.disk = promise;
                Input::Persisted
            }
            Output::Look => Input::Looked(self.server.clone()),
            Output::Act(action) => {
                self.act(&action);
                self.done.push(action);
                Input::Acted(Ok(()))
            }
            Output::Answer { id, outcome } => {
                self.answers.push((id, outcome));
                return;
            }
            Output::State(_) | Output::Copy { .. } => return,
        };
        self.machine.handle(self.now, input);
    }

    fn act(&mut self, action: &Action) {
        let server = &mut self.server;
        match action {
            Action::Fence | Action::Rest => server.read_only = true,
            Action::Slow(slowly) => server.slowed = *slowly,
            Action::Open => server.read_only = false,
            Action::StopReceiver => (server.receiver_running, server.receiver_connected) = (false, false),
            Action::StartApplier => server.applier_running = true,
            Action::Detach => (server.source, server.follows_stranger) = (None, false),
            Action::WaitForAcks(acks) => server.acks = *acks,
            Action::Acknowledge(on) => server.acknowledges = *on,
            Action::Follow { source } => {
                (server.source, server.follows_stranger) = (Some(source.clone()), false);
                server.received = server.executed.clone();
                (server.receiver_running, server.receiver_connected, server.applier_running) = (true, true, true);
            }
            Action::Restore => server.incarnation += 1,
            Action::StartReplication => {
                (server.receiver_running, server.receiver_connected) = (true, true);
                server.applier_running = !server.cannot_follow;
            }
        }
    }

    /// Carries the order out, and returns its answer.
    fn obey(&mut self, term: u64, order: Order) -> Result<Report, Refusal> {
        self.order(7, term, order);
        for _ in 0..100 {
            if let Some((_, outcome)) = self.answers.pop_if(|(id, _)| *id == 7) {
                return outcome;
            }
            assert!(self.turn(), "it stands still");
        }
        panic!("no answer");
    }

    fn restart_tablet(&mut self) {
        self.machine = Orders::new(self.disk.clone(), None, Mutants::NONE);
    }

    fn restart_server(&mut self) {
        self.server.incarnation += 1;
        self.server.read_only = true;
        self.server.received = self.server.executed.clone();
        (self.server.receiver_running, self.server.receiver_connected) = (false, false);
    }
}

fn written_down(machine: &Orders) -> Orders {
    let text = serde_json::to_string(machine).expect("it can be written");
    serde_json::from_str(&text).expect("it can be read")
}

fn follow(source: u32, begins_at: u64, caught_up_at: Option<u64>) -> Order {
    let (source, begins_at) = (alias(source), position(begins_at));
    let caught_up_at = caught_up_at.map(|last| CatchUp { incarnation: 1, position: position(last) });
    Order::Follow { source, begins_at, caught_up_at, acknowledges: true }
}

fn rest(drain_ms: u64) -> Order {
    Order::Rest { drain: Duration::from_millis(drain_ms) }
}

fn lead(begins_at: u64) -> Order {
    Order::lead(Policy::SemiSync { acks: 1 }, position(begins_at), false)
}

#[test]
fn a_recruit_promises_stops_receiving_and_reports_what_it_has_received() {
    let mut bench = Bench::replica();
    let report = bench.obey(2, Order::Recruit).expect("a report");
    assert_eq!((report.promised, report.followed, report.position, report.intact), (2, 1, position(5), true));
    assert_eq!(bench.done, [Action::StopReceiver]);
    assert_eq!(bench.disk.promised, 2);
    assert_eq!(bench.obey(2, Order::Recruit).map(|report| report.position), Ok(position(5)));
    assert_eq!(bench.done.len(), 1, "twice is once");
}

#[test]
fn nothing_is_done_or_answered_before_the_promise_is_on_disk() {
    for order in [Order::Recruit, lead(5), follow(3, 5, None)] {
        let mut bench = Bench::replica();
        bench.order(1, 2, order.clone());
        while bench.turn() {
            let begun = !bench.done.is_empty() || !bench.answers.is_empty();
            assert!(!begun || bench.disk.promised == 2, "{order:?}");
        }
        assert!(!bench.done.is_empty() && !bench.answers.is_empty());
    }
}

/// Whoever hears that the server failed takes the promise for given.
#[test]
fn a_failure_under_an_earlier_order_is_no_answer_to_a_later_one() {
    let mut bench = Bench::primary(None);
    bench.order(1, 1, lead(5));
    assert_eq!(bench.machine.poll_output(), Some(Output::Look));
    bench.order(2, 2, Order::Recruit);
    let gone = || Input::Acted(Err("gone".into()));
    bench.machine.handle(bench.now, gone());
    let mut answers = Vec::new();
    while let Some(output) = bench.machine.poll_output() {
        match output {
            Output::Look => bench.machine.handle(bench.now, gone()),
            Output::Answer { id, outcome } => {
                answers.push(id);
                assert!(id == 1 || (bench.disk.promised == 2 && matches!(outcome, Err(Refusal::Failed(_)))));
            }
            output => bench.carry_out(output),
        }
    }
    assert_eq!(answers, [1, 2]);
}

#[test]
fn older_terms_are_refused_also_after_a_restart() {
    let mut bench = Bench::replica();
    assert!(bench.obey(3, Order::Recruit).is_ok());
    bench.restart_tablet();
    for order in [Order::Recruit, lead(0), follow(1, 0, None)] {
        assert_eq!(bench.obey(2, order), Err(Refusal::OldTerm(3)));
    }
    assert_eq!(bench.done, [Action::StopReceiver]);
}

#[cfg(feature = "mutants")]
#[test]
fn a_mutant_obeys_older_terms() {
    let mut bench = Bench::replica();
    bench.machine = Orders::new(bench.disk.clone(), None, Mutants::only(Mutant::IgnorePromise));
    assert!(bench.obey(3, Order::Recruit).is_ok());
    assert!(bench.obey(2, follow(1, 5, None)).is_ok());
}

#[test]
fn a_new_primary_applies_what_it_received_before_clients_may_write() {
    let mut bench = Bench::replica();
    let report = bench.obey(2, lead(5)).expect("a report");
    assert!(report.writable && report.followed == 2);
    assert_eq!(bench.server.executed, position(5));
    let done = [Action::StopReceiver, Action::Detach, Action::Acknowledge(false), Action::WaitForAcks(1), Action::Open];
    assert_eq!(bench.done, done);
    bench.done.clear();
    assert!(bench.obey(2, lead(5)).is_ok());
    assert_eq!(bench.done, [], "twice is once");
}

#[test]
fn one_that_is_to_reach_a_position_says_so_when_it_is_applied() {
    let mut bench = Bench::replica();
    assert!(bench.obey(1, Order::Reach(position(5))).is_ok());
    assert_eq!((bench.now, bench.done.is_empty()), (Instant::ZERO + LOOK_INTERVAL, true), "not when it is received");
}

#[test]
fn a_primary_slows_down_and_rests_without_losing_its_place() {
    let mut bench = Bench::primary(None);
    assert!(bench.obey(1, lead(5)).is_ok() && bench.machine.leads() == Some(1));
    let slowly = Order::lead(Policy::SemiSync { acks: 1 }, position(5), true);
    assert!(bench.obey(1, slowly).is_ok() && bench.machine.leads() == Some(1));
    assert!(bench.obey(1, rest(1_000)).is_ok_and(|report| !report.writable));
    assert_eq!(bench.machine.leads(), None, "nobody can write");
    assert!(bench.obey(1, lead(5)).is_ok() && bench.machine.leads() == Some(1));
    assert_eq!(bench.done, [Action::Slow(true), Action::Slow(false), Action::Rest, Action::Open]);
}

#[test]
fn one_whose_source_is_at_another_address_since_follows_it_there() {
    let mut bench = Bench::replica();
    (bench.server.source, bench.server.follows_stranger, bench.server.incarnation) = (None, true, 1);
    let report = bench.obey(1, follow(1, 5, None)).expect("a report");
    assert_eq!((report.receives_from, report.intact), (Some(alias(1)), false), "it may have lost what it had received");
    assert_eq!(bench.done.last(), Some(&Action::Follow { source: alias(1) }));
}

#[test]
fn nobody_leads_while_it_follows_a_stranger() {
    let mut bench = Bench::replica();
    (bench.server.source, bench.server.follows_stranger) = (None, true);
    assert!(bench.obey(2, lead(5)).is_ok());
    assert!(bench.done.contains(&Action::Detach));
}

#[test]
fn a_slowed_primary_follows_at_full_speed() {
    let mut bench = Bench::primary(None);
    bench.server.slowed = true;
    assert!(bench.obey(2, follow(2, 5, None)).is_ok());
    assert!(!bench.server.slowed && bench.done.contains(&Action::Slow(false)));
}

#[test]
fn a_primary_must_have_all_that_its_term_begins_with() {
    assert_eq!(Bench::replica().obey(2, lead(6)), Err(Refusal::Behind(position(5))));
}

#[test]
fn a_replica_applies_what_it_received_before_it_turns_to_another_source() {
    let mut bench = Bench::replica();
    let report = bench.obey(2, follow(3, 8, None)).expect("a report");
    assert_eq!((report.position, report.followed, report.receives_from), (position(5), 1, Some(alias(3))));
    assert_eq!(bench.done, [Action::StopReceiver, Action::Follow { source: alias(3) }]);
    bench.server.received = position(8);
    assert_eq!(bench.obey(2, follow(3, 8, None)).map(|report| report.followed), Ok(2));
    assert_eq!(bench.disk.followed, 2);
}

#[test]
fn a_hanging_applier_is_started_and_waited_for() {
    let mut bench = Bench::replica();
    bench.server.applier_running = false;
    assert!(bench.obey(2, follow(3, 8, None)).is_ok());
    assert_eq!(bench.done[..2], [Action::StopReceiver, Action::StartApplier]);
    assert_eq!(bench.server.executed, position(5));
}

#[test]
fn replication_that_stops_at_once_is_started_once() {
    let mut bench = Bench::replica();
    assert!(bench.obey(1, follow(1, 5, None)).is_ok());
    (bench.server.applier_running, bench.server.cannot_follow) = (false, true);
    bench.done.clear();
    assert!(matches!(bench.obey(1, follow(1, 5, None)), Err(Refusal::Failed(_))));
    assert_eq!(bench.done, [Action::StartReplication]);
}

#[test]
fn a_former_primary_with_writes_of_its_own_is_fenced_and_does_not_follow() {
    let mut bench = Bench::primary(None);
    let extra = Refusal::Errant(position(5).subtract(&position(4)).expect("one flavour"));
    assert_eq!(bench.obey(2, follow(3, 4, None)), Err(extra.clone()));
    assert_eq!(bench.done, [Action::Fence]);
    assert_eq!(bench.obey(2, follow(3, 4, None)), Err(extra));
    assert_eq!(bench.done, [Action::Fence], "twice is once");
}

#[test]
fn a_former_primary_without_writes_of_its_own_is_fenced_before_it_follows() {
    let mut bench = Bench::primary(None);
    assert!(bench.obey(2, follow(3, 5, None)).is_ok());
    assert_eq!(bench.done[0], Action::Fence);
}

#[test]
fn a_replica_whose_server_restarted_does_not_count_until_it_has_caught_up() {
    let mut bench = Bench::replica();
    assert!(bench.obey(1, follow(1, 0, None)).expect("a report").intact);
    bench.restart_server();
    assert!(!bench.obey(1, follow(1, 0, None)).expect("a report").intact);
    bench.restart_tablet();
    bench.server.executed = position(3);
    assert!(!bench.obey(1, follow(1, 0, Some(6))).expect("a report").intact, "it lacks some");
    bench.server.received = position(6);
    assert!(bench.obey(1, follow(1, 0, Some(6))).expect("a report").intact);
}

#[test]
fn the_beginning_of_a_later_term_makes_up_for_a_restart() {
    let mut bench = Bench::replica();
    assert!(bench.obey(1, Order::Recruit).is_ok());
    bench.restart_server();
    assert!(!bench.obey(2, follow(3, 8, None)).expect("a report").intact);
    bench.server.received = position(8);
    assert!(bench.obey(2, follow(3, 8, None)).expect("a report").intact);
    bench.restart_server();
    assert!(!bench.obey(2, follow(3, 8, None)).expect("a report").intact);
}

#[test]
fn a_newer_order_takes_the_place_of_one_under_way() {
    let mut bench = Bench::replica();
    bench.order(1, 2, lead(5));
    bench.turn();
    assert!(bench.obey(3, Order::Recruit).is_ok());
    assert_eq!(bench.answers, [(1, Err(Refusal::Superseded))]);
    assert!(bench.server.read_only && bench.disk.promised == 3);
}

#[test]
fn a_primary_that_cannot_prove_its_term_stops_serving() {
    let lease = Duration::from_secs(3);
    let mut bench = Bench::primary(Some(lease));
    assert!(bench.obey(1, lead(5)).is_ok());
    bench.machine.handle(Instant(2_000_000_000), Input::Proven { term: 1, since: Instant(1_000_000_000) });
    bench.machine.handle(Instant(2_000_000_000), Input::Proven { term: 0, since: Instant(2_000_000_000) });
    assert_eq!(bench.machine.poll_timeout(), Some(Instant(4_000_000_000)));
    bench.machine.handle(Instant(3_999_999_999), Input::Timeout);
    assert!(bench.machine.poll_output().is_none());
    assert!(bench.turn() && bench.turn());
    assert_eq!(bench.done, [Action::Fence]);
}

#[test]
fn a_newcomer_counts_once_it_has_what_another_of_its_name_may_have_acknowledged() {
    assert!(Promise::of_a_newcomer(0).is_intact(), "nothing was ever acknowledged");
    let newcomer = Promise::of_a_newcomer(4);
    assert!(!newcomer.is_intact());
    assert!(!Promise { followed: 4, ..newcomer.clone() }.is_intact());
    assert!(Promise { followed: 5, ..newcomer }.is_intact());
}

#[test]
fn a_newcomer_does_not_lead_the_term_in_which_another_of_its_name_led() {
    let empty = || Status { read_only: true, ..Status::default() };
    let mut bench = Bench::with(Promise::of_a_newcomer(4), empty(), None);
    assert_eq!(bench.obey(4, lead(0)), Err(Refusal::Behind(Position::default())));
    assert!(bench.server.read_only, "nobody can write there");
    assert!(bench.obey(5, lead(0)).is_ok(), "it has what begins the next");
    assert!(bench.machine.promise().is_intact());
}

#[test]
fn one_that_is_about_to_stop_says_so_at_once() {
    let disk = Promise::of_the_first_term();
    let mut machine = Orders::new(disk, None, Mutants::NONE).watching(WATCH_INTERVAL);
    machine.handle(Instant::ZERO, Input::Leaving);
    let told = core::iter::from_fn(|| machine.poll_output()).find_map(|output| match output {
        Output::State(state) => Some(state.leaving),
        _ => None,
    });
    assert_eq!(told, Some(true));
}

#[test]
fn a_fence_that_fails_is_tried_again() {
    let mut bench = Bench::primary(Some(Duration::from_secs(3)));
    assert!(bench.obey(1, lead(5)).is_ok());
    bench.machine.handle(Instant(3_000_000_000), Input::Timeout);
    assert_eq!(bench.machine.poll_output(), Some(Output::Act(Action::Fence)));
    bench.machine.handle(Instant(3_000_000_000), Input::Acted(Err("gone".into())));
    bench.machine.handle(Instant(3_000_000_000) + LOOK_INTERVAL, Input::Timeout);
    assert_eq!(bench.machine.poll_output(), Some(Output::Act(Action::Fence)));
}

/// The primary of term 1, which leads and has to prove it.
fn proving_primary() -> Bench {
    let mut bench = Bench::primary(None);
    bench.machine = Orders::new(bench.disk.clone(), None, Mutants::NONE)
        .watching(Duration::from_secs(60))
        .under(Policy::SemiSync { acks: 1 });
    assert!(bench.obey(1, lead(5)).is_ok());
    bench
}

#[test]
fn a_primary_serves_only_while_its_term_is_proven_and_its_server_is_left_alone() {
    let mut bench = proving_primary();
    assert_eq!((bench.machine.leads(), bench.machine.state(bench.now).role), (Some(1), Role::Unknown));
    let (since, end) = (Instant(1_000_000_000), Instant(1_000_000_000) + PROOF_LASTS);
    bench.machine.handle(since + LOOK_INTERVAL, Input::Proven { term: 1, since });
    assert_eq!(bench.machine.state(bench.now).role, Role::Primary);
    bench.machine.handle(end, Input::Timeout);
    assert_eq!(bench.machine.state(bench.now).role, Role::Unknown);
    bench.machine.handle(end, Input::Proven { term: 1, since: since + LOOK_INTERVAL });
    assert_eq!(bench.machine.state(bench.now).role, Role::Primary);
    assert!(!bench.server.read_only && bench.done.is_empty());
}

#[test]
fn a_proof_of_another_term_proves_nothing() {
    let mut bench = proving_primary();
    bench.machine.handle(bench.now, Input::Proven { term: 0, since: bench.now });
    assert_eq!(bench.machine.state(bench.now).role, Role::Unknown);
}

#[test]
fn a_tablet_vouches_for_no_lower_term_than_it_has_promised_and_says_when_it_did() {
    let mut bench = Bench::replica();
    bench.now = Instant(5_000_000_000);
    assert!(bench.obey(1, Order::Vouch).is_ok());
    assert_eq!(bench.disk.promised, 1, "it promises nothing by that");
    bench.now += Duration::from_millis(300);
    let report = bench.obey(2, Order::Recruit).expect("it obeys");
    assert_eq!(report.vouched, Some(Duration::from_millis(300)));
    assert_eq!(bench.obey(1, Order::Vouch), Err(Refusal::OldTerm(2)));
}

#[test]
fn a_tablet_that_starts_may_have_vouched_until_then() {
    let mut bench = Bench::replica();
    bench.now = Instant(5_000_000_000);
    assert_eq!(bench.obey(2, Order::Recruit).expect("it obeys").vouched, Some(Duration::ZERO));
}

#[cfg(feature = "mutants")]
#[test]
fn a_promise_outlives_a_restart_and_one_that_is_forgotten_is_noticed() {
    let answer = |mutants| {
        let mut bench = Bench::replica();
        bench.order(1, 5, Order::Recruit);
        while bench.answers.is_empty() {
            assert!(bench.turn());
        }
        bench.machine = Orders::new(bench.disk.clone(), None, mutants);
        bench.order(2, 4, Order::Recruit);
        while bench.answers.len() < 2 {
            assert!(bench.turn());
        }
        bench.answers.pop().map(|(_, outcome)| outcome)
    };
    assert_eq!(answer(Mutants::NONE), Some(Err(Refusal::OldTerm(5))));
    assert!(matches!(answer(Mutants::only(Mutant::ForgetPromise)), Some(Ok(_))));
}
