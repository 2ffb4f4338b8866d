//! A primary that is drained before it rests.

use super::*;

/// The primary of term 1, which leads, and a gateway that lends connections to its server.
fn lent_primary() -> Bench {
    let mut bench = Bench::primary(None);
    bench.machine = Orders::new(bench.disk.clone(), None, Mutants::NONE).watching(WATCH_INTERVAL);
    bench.hear(0, 0);
    assert!(bench.obey(1, lead(5)).is_ok());
    bench
}

impl Bench {
    /// The gateway has so many transactions open, and lets nothing begin for this drain.
    fn hear(&mut self, drain: u64, transactions: u32) {
        let open = Open { drain, transactions, ..Open::default() };
        self.machine.handle(self.now, Input::Open { lender: 1, open });
    }

    /// Goes on until so much time has passed.
    fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        loop {
            if let Some(output) = self.machine.poll_output() {
                self.carry_out(output);
            } else if self.machine.poll_timeout().is_some_and(|at| at <= until) {
                self.turn();
            } else {
                break;
            }
        }
        self.now = until;
    }

    fn drain(&self) -> Option<u64> {
        self.machine.state(self.now).draining.map(|drain| drain.number)
    }
}

#[test]
fn a_primary_rests_once_nothing_is_open_there_any_more() {
    let mut bench = lent_primary();
    bench.order(9, 1, rest(1_000));
    bench.hear(1, 2);
    bench.pass(300);
    assert_eq!((bench.drain(), bench.done.is_empty()), (Some(1), true), "two transactions go on");
    bench.hear(1, 0);
    bench.pass(10);
    assert_eq!(bench.done, [Action::Rest]);
    assert!(bench.answers.pop().is_some_and(|(id, outcome)| id == 9 && outcome.is_ok()));
}

#[test]
fn a_primary_with_something_open_for_too_long_goes_on_as_before_and_says_what() {
    let mut bench = lent_primary();
    bench.order(9, 1, rest(1_000));
    bench.hear(1, 2);
    bench.pass(1_500);
    let open = Open { drain: 1, transactions: 2, ..Open::default() };
    assert_eq!(bench.answers.pop(), Some((9, Err(Refusal::Open(open)))));
    assert_eq!((bench.drain(), bench.done.is_empty(), bench.server.read_only), (None, true, false));
    assert_eq!(bench.machine.leads(), Some(1));
}

#[test]
fn a_gateway_that_says_nothing_is_no_gateway_without_transactions() {
    let mut bench = lent_primary();
    bench.order(9, 1, rest(1_000));
    bench.pass(1_500);
    assert!(matches!(bench.answers.pop(), Some((9, Err(Refusal::Open(Open { silent: 1, .. }))))));
    bench.order(10, 1, rest(1_000));
    bench.machine.handle(bench.now, Input::LenderLost(1));
    bench.pass(100);
    assert_eq!(bench.done, [Action::Rest]);
}

#[test]
fn the_same_order_again_goes_on_with_the_drain_and_any_other_ends_it() {
    let mut bench = lent_primary();
    bench.order(9, 1, rest(1_000));
    bench.hear(1, 1);
    bench.pass(600);
    bench.order(10, 1, rest(400));
    bench.pass(300);
    assert_eq!(bench.drain(), Some(1));
    bench.order(11, 1, lead(5));
    assert_eq!(bench.drain(), None);
    bench.order(12, 1, rest(1_000));
    assert_eq!(bench.drain(), Some(2));
    bench.order(13, 2, Order::Recruit);
    assert_eq!(bench.drain(), None);
}

#[test]
fn a_rest_that_fails_ends_the_drain() {
    let mut bench = lent_primary();
    bench.order(9, 1, rest(1_000));
    bench.hear(1, 0);
    loop {
        match bench.machine.poll_output() {
            Some(Output::Act(Action::Rest)) => break,
            Some(Output::Look) => bench.machine.handle(bench.now, Input::Looked(bench.server.clone())),
            Some(Output::Persist(_)) => bench.machine.handle(bench.now, Input::Persisted),
            Some(_) => {}
            None => panic!("it stands still"),
        }
    }
    bench.machine.handle(bench.now, Input::Acted(Err("it takes too long".into())));
    assert_eq!(bench.drain(), None);
}

#[test]
fn a_slowed_primary_that_is_drained_commits_at_full_speed() {
    let mut bench = lent_primary();
    bench.server.slowed = true;
    bench.order(9, 1, rest(1_000));
    bench.hear(1, 1);
    bench.pass(300);
    assert_eq!(bench.done, [Action::Slow(false)]);
}
