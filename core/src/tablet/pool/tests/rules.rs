//! One test for each rule.

use super::*;

const PLAIN: ConnectionClass = ConnectionClass::PLAIN;
const FOUND_ROWS: ConnectionClass = ConnectionClass::of(ConnectionTraits::FOUND_ROWS);

#[test]
fn the_first_request_opens_a_connection_and_gets_it() {
    let mut bench = Bench::new(small());
    let (ticket, outputs) = bench.acquire();
    let conn = ConnId(1);
    assert_eq!(outputs, [Output::Open { conn, class: PLAIN, reason: OpenReason::Demand }]);
    assert_eq!(bench.feed(Input::Opened { conn }), [Output::Granted { ticket, conn }]);
}

#[test]
fn a_released_connection_goes_to_the_next_without_opening_another() {
    let mut bench = Bench::new(small());
    let conn = bench.connect(PLAIN);
    assert_eq!(bench.give_back(conn).1, []);
    let (ticket, outputs) = bench.acquire();
    assert_eq!(outputs, [Output::Granted { ticket, conn }]);
}

#[test]
fn a_preferred_connection_is_chosen_only_in_the_epoch_it_was_left_with() {
    let mut bench = Bench::new(small());
    let (first, second) = (bench.connect(PLAIN), bench.connect(PLAIN));
    let (epoch, _) = bench.give_back(first);
    bench.give_back(second);
    let stale = Acquire { prefer: Some(Preferred { conn: first, epoch: epoch + 9 }), ..bench.wants(PLAIN) };
    assert_eq!(granted(&bench.feed(Input::Acquire(stale))), Some(second), "the one used last");
    bench.give_back(second);
    let fresh = Acquire { prefer: Some(Preferred { conn: first, epoch }), ..bench.wants(PLAIN) };
    assert_eq!(granted(&bench.feed(Input::Acquire(fresh))), Some(first));
    assert_eq!(bench.pool.counters().granted_preferred, 1);
}

#[test]
fn a_connection_with_the_wanted_settings_is_chosen_before_one_used_later() {
    let mut bench = Bench::new(small());
    let (first, second) = (bench.connect(PLAIN), bench.connect(PLAIN));
    bench.give_back_with(first, &using("shop"));
    bench.give_back_with(second, &using("blog"));
    // Equal, though not the same allocation.
    let request = Acquire { settings: using("shop"), ..bench.wants(PLAIN) };
    assert_eq!(granted(&bench.feed(Input::Acquire(request))), Some(first));
    let request = Acquire { settings: using("wiki"), ..bench.wants(PLAIN) };
    assert_eq!(granted(&bench.feed(Input::Acquire(request))), Some(second));
    let counters = bench.pool.counters();
    assert_eq!((counters.granted_same_settings, counters.granted_other_settings), (1, 1));
}

#[test]
fn the_reserve_is_never_used_by_the_pool() {
    let mut bench = Bench::new(small());
    bench.connect(PLAIN);
    bench.connect(PLAIN);
    assert_eq!(bench.acquire().1, [], "the third of three is the monitor's");
}

#[test]
fn a_full_queue_refuses_at_once_and_names_its_limit() {
    let mut bench = Bench::new(small());
    bench.connect(PLAIN);
    bench.connect(PLAIN);
    bench.acquire();
    bench.acquire();
    let (ticket, outputs) = bench.acquire();
    let text = "ERROR 1041 (53000): tablet zone1-100: 2 of 2 connections are in use (connections_max less reserve), \
                and 2 requests wait already (wait_queue_max). Nothing was executed: a retry is safe";
    assert_eq!(refused(&outputs), [(ticket, text.to_owned())]);
}

#[test]
fn a_wait_ends_at_the_limit_or_at_its_own_earlier_deadline() {
    let mut bench = Bench::new(small());
    bench.connect(PLAIN);
    bench.connect(PLAIN);
    let (patient, _) = bench.acquire();
    let hasty = Acquire { deadline: Some(bench.now + Duration::from_millis(7)), ..bench.wants(PLAIN) };
    let ticket = hasty.ticket;
    bench.feed(Input::Acquire(hasty));
    let (late, text) = refused(&bench.wake()).remove(0);
    assert_eq!(late, ticket);
    assert!(text.contains("within 7 ms (wait_time_max is 5000 ms"), "{text}");
    assert_eq!(refused(&bench.wake())[0].0, patient);
    assert_eq!(bench.now, Instant(1_000) + Duration::from_secs(5));
    assert_eq!(bench.pool.counters().refused_queue_timeout, 2);
}

#[test]
fn those_who_wait_are_served_in_the_order_of_coming() {
    let mut bench = Bench::new(small());
    let (first, second) = (bench.connect(PLAIN), bench.connect(PLAIN));
    let (one, two) = (bench.acquire().0, bench.acquire().0);
    assert_eq!(bench.give_back(second).1, [Output::Granted { ticket: one, conn: second }]);
    assert_eq!(bench.give_back(first).1, [Output::Granted { ticket: two, conn: first }]);
}

#[test]
fn a_cancelled_wait_is_not_answered() {
    let mut bench = Bench::new(small());
    let (ticket, outputs) = bench.acquire();
    assert_eq!(outputs.len(), 1);
    assert_eq!(bench.feed(Input::CancelAcquire { ticket }), []);
    assert_eq!(bench.feed(Input::Opened { conn: ConnId(1) }), []);
    assert_eq!(bench.pool.counters().idle, 1);
}

#[test]
fn an_idle_connection_of_another_class_makes_room() {
    let mut bench = Bench::new(small());
    let (first, second) = (bench.connect(PLAIN), bench.connect(PLAIN));
    bench.give_back(first);
    bench.give_back(second);
    let request = bench.wants(FOUND_ROWS);
    let conn = ConnId(3);
    let expected = [
        Output::Close { conn: first, reason: CloseReason::Exchanged },
        Output::Open { conn, class: FOUND_ROWS, reason: OpenReason::Demand },
    ];
    assert_eq!(bench.feed(Input::Acquire(request)), expected);
}

#[test]
fn a_class_without_any_connection_gets_the_next_one_that_comes_back() {
    let mut bench = Bench::new(small());
    let first = bench.connect(PLAIN);
    bench.connect(PLAIN);
    let other = bench.wants(FOUND_ROWS);
    bench.feed(Input::Acquire(other));
    bench.acquire();
    let (_, outputs) = bench.give_back(first);
    assert_eq!(outputs[0], Output::Close { conn: first, reason: CloseReason::Exchanged });
    assert!(matches!(outputs[1], Output::Open { class: FOUND_ROWS, .. }));
}

#[test]
fn a_class_is_not_overtaken_for_ever() {
    let mut bench = Bench::new(Config { overtaken_max: 2, wait_queue_max: 9, ..small() });
    let (plain, other) = (bench.connect(PLAIN), bench.connect(FOUND_ROWS));
    let patient = bench.wants(FOUND_ROWS);
    bench.feed(Input::Acquire(patient));
    for _ in 0..2 {
        bench.acquire();
        assert_eq!(granted(&bench.give_back(plain).1), Some(plain), "its class has a connection, so it can wait");
    }
    bench.acquire();
    let (_, outputs) = bench.give_back(plain);
    assert_eq!(outputs[0], Output::Close { conn: plain, reason: CloseReason::Exchanged });
    assert!(granted(&bench.give_back(other).1).is_some());
}

#[test]
fn no_more_than_opening_max_are_opened_at_once() {
    let config = Config { connections_max: 20, opening_max: 2, wait_queue_max: 9, ..small() };
    let mut bench = Bench::new(config);
    let opens: usize = (0..5).map(|_| bench.acquire().1.len()).sum();
    assert_eq!(opens, 2);
    let outputs = bench.feed(Input::Opened { conn: ConnId(1) });
    assert_eq!(outputs.len(), 2, "a grant, and the next to open: {outputs:?}");
}

#[test]
fn when_no_connection_exists_and_none_can_be_opened_the_servers_error_is_the_answer() {
    let mut bench = Bench::new(small());
    let (ticket, _) = bench.acquire();
    let outputs = bench.feed(Input::OpenFailed { conn: ConnId(1), error: server_error() });
    let text = "ERROR 1040 (08004): tablet zone1-100 cannot connect to its server: Too many connections. \
                Nothing was executed: a retry is safe";
    assert_eq!(refused(&outputs), [(ticket, text.to_owned())]);
    let (next, outputs) = bench.acquire();
    assert_eq!(refused(&outputs), [(next, text.to_owned())], "during the pause nobody waits in vain");
    bench.pass(Duration::from_millis(50));
    assert!(matches!(bench.acquire().1[0], Output::Open { .. }), "after it, opening is tried again");
}

#[test]
fn a_failure_to_open_does_not_cost_those_who_can_wait_for_a_connection_in_use() {
    let mut bench = Bench::new(small());
    let first = bench.connect(PLAIN);
    let (ticket, _) = bench.acquire();
    assert_eq!(bench.feed(Input::OpenFailed { conn: ConnId(2), error: server_error() }), []);
    assert_eq!(bench.give_back(first).1, [Output::Granted { ticket, conn: first }]);
}

#[test]
fn pauses_between_failures_grow_and_are_spread() {
    let config = Config { idle_min: 1, ..small() };
    let mut bench = Bench::new(config);
    let mut outputs = bench.feed(Input::Timeout);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let Output::Open { conn, reason: OpenReason::WarmUp, .. } = outputs[0] else { panic!("{outputs:?}") };
        bench.feed(Input::OpenFailed { conn, error: server_error() });
        assert_eq!(bench.pool.next_timer().map(|(_, timer)| timer), Some(Timer::Retry));
        let failed_at = bench.now;
        outputs = bench.wake();
        pauses.push(bench.now - failed_at);
    }
    for (failures, pause) in pauses.iter().enumerate() {
        let longest = Duration::from_millis((50 << failures).min(2_000));
        assert!(*pause > longest / 2 - Duration::from_micros(1) && *pause <= longest, "{failures}: {pause:?}");
    }
}

#[test]
fn attempts_that_fail_together_count_as_one_failure() {
    let mut bench = Bench::new(Config { connections_max: 9, opening_max: 4, idle_min: 4, ..small() });
    bench.feed(Input::Timeout);
    for conn in (1..=4).map(ConnId) {
        bench.feed(Input::OpenFailed { conn, error: server_error() });
    }
    let failed_at = bench.now;
    assert_eq!(bench.wake().len(), 1, "one at a time, until it succeeds");
    assert!(bench.now - failed_at <= Duration::from_millis(50));
}

#[test]
fn idle_connections_end_beyond_the_minimum_and_the_one_used_last_stays() {
    let mut bench = Bench::new(Config { idle_min: 1, connection_age_max: None, ..small() });
    let (first, second) = (bench.connect(PLAIN), bench.connect(PLAIN));
    bench.give_back(first);
    bench.pass(Duration::from_secs(1));
    bench.give_back(second);
    assert_eq!(bench.wake(), [Output::Close { conn: first, reason: CloseReason::Idle }]);
    assert_eq!(bench.now, Instant(1_000) + Duration::from_secs(60));
    assert_eq!(bench.pool.poll_timeout(), None);
}

#[test]
fn old_connections_end_at_different_ages() {
    let config = Config { connections_max: 9, idle_time_max: None, opening_max: 9, ..small() };
    let mut bench = Bench::new(config);
    let opened_at = bench.now;
    let connections: Vec<_> = (0..8).map(|_| bench.connect(PLAIN)).collect();
    for conn in &connections {
        bench.give_back(*conn);
    }
    let mut ages = Vec::new();
    for _ in 0..8 {
        let outputs = bench.wake();
        assert!(matches!(outputs[..], [Output::Close { reason: CloseReason::Age, .. }]), "{outputs:?}");
        ages.push((bench.now - opened_at).as_secs());
    }
    assert!(ages.iter().all(|age| (2880..=3600).contains(age)), "{ages:?}");
    ages.dedup();
    assert!(ages.len() >= 7, "spread: {ages:?}");
}

#[test]
fn an_old_connection_in_use_ends_when_it_comes_back() {
    let mut bench = Bench::new(small());
    let conn = bench.connect(PLAIN);
    bench.pass(Duration::from_secs(3601));
    assert_eq!(bench.give_back(conn).1, [Output::Close { conn, reason: CloseReason::Age }]);
}

#[test]
fn the_minimum_is_opened_before_anybody_asks_and_kept() {
    let mut bench = Bench::new(Config { idle_min: 2, ..small() });
    let outputs = bench.feed(Input::Timeout);
    let warm = |conn| Output::Open { conn: ConnId(conn), class: PLAIN, reason: OpenReason::WarmUp };
    assert_eq!(outputs, [warm(1), warm(2)]);
    bench.feed(Input::Opened { conn: ConnId(1) });
    bench.feed(Input::Opened { conn: ConnId(2) });
    assert_eq!(bench.feed(Input::Lost { conn: ConnId(1) }), [warm(3)]);
    assert_eq!(bench.pool.counters().closed(CloseReason::Lost), 1);
}

#[test]
fn a_drain_refuses_closes_and_says_when_nothing_is_left() {
    let mut bench = Bench::new(small());
    let (busy, idle) = (bench.connect(PLAIN), bench.connect(PLAIN));
    let (waiting, _) = bench.acquire();
    bench.give_back(idle); // granted to the one who waits
    assert_eq!(bench.pool.counters().waiting, 0);
    let (late, _) = bench.acquire();
    let error = Error::new(Component::Tablet, Kind::Unavailable, "no longer PRIMARY");
    assert_eq!(
        bench.feed(Input::Drain { error: error.clone() }),
        [Output::Refused { ticket: late, error: error.clone() }]
    );
    assert_ne!(waiting, late);
    let (ticket, outputs) = bench.acquire();
    assert_eq!(outputs, [Output::Refused { ticket, error }]);
    let closed = |conn| Output::Close { conn, reason: CloseReason::Drained };
    assert_eq!(bench.give_back(busy).1, [closed(busy)]);
    assert_eq!(bench.give_back(idle).1, [closed(idle), Output::Drained]);
    bench.feed(Input::Reopen);
    assert!(matches!(bench.acquire().1[..], [Output::Open { .. }]));
}

#[test]
fn connections_of_before_a_drain_end_when_they_come_back_even_after_it() {
    let mut bench = Bench::new(small());
    let busy = bench.connect(PLAIN);
    bench.acquire();
    bench.feed(Input::Drain { error: server_error() });
    bench.feed(Input::Reopen);
    let closed = |conn| [Output::Close { conn, reason: CloseReason::Drained }];
    assert_eq!(bench.feed(Input::Opened { conn: ConnId(2) }), closed(ConnId(2)));
    assert_eq!(bench.give_back(busy).1, closed(busy));
    let conn = bench.connect(PLAIN);
    assert_eq!(bench.give_back(conn).1, [], "a new one stays");
}

#[test]
fn a_broken_connection_is_replaced_for_whoever_waits() {
    let mut bench = Bench::new(small());
    let (first, second) = (bench.connect(PLAIN), bench.connect(PLAIN));
    bench.acquire();
    let settings = Arc::default();
    let fate = Fate::Close(CloseReason::ClientGone);
    let outputs = bench.feed(Input::Release { conn: first, settings, epoch: 1, fate });
    assert_eq!(outputs[0], Output::Close { conn: first, reason: CloseReason::ClientGone });
    assert!(matches!(outputs[1], Output::Open { .. }));
    bench.acquire();
    let outputs = bench.feed(Input::Lost { conn: second });
    assert!(matches!(outputs[..], [Output::Open { .. }]), "{outputs:?}");
}

#[test]
fn a_late_report_about_a_connection_that_is_gone_changes_nothing() {
    let mut bench = Bench::new(small());
    let conn = bench.connect(PLAIN);
    bench.feed(Input::Lost { conn });
    assert_eq!(bench.give_back(conn).1, []);
    assert_eq!(bench.feed(Input::Lost { conn }), []);
    let counters = bench.pool.counters();
    assert_eq!((counters.idle, counters.busy, counters.closed(CloseReason::Lost)), (0, 0, 1));
}

#[test]
fn steady_use_allocates_no_new_room() {
    let mut bench = Bench::new(small());
    let conn = bench.connect(PLAIN);
    bench.give_back(conn);
    let room = |bench: &Bench| (bench.pool.outputs.capacity(), bench.pool.idle.room());
    let before = room(&bench);
    for _ in 0..100 {
        assert_eq!(granted(&bench.acquire().1), Some(conn));
        bench.give_back(conn);
    }
    assert_eq!(room(&bench), before);
}

#[test]
fn an_account_that_the_server_refuses_hears_why_and_keeps_nobody_else_waiting() {
    let mut bench = Bench::new(small());
    let ann = ConnectionClass { account: AccountId(7), ..PLAIN };
    let request = bench.wants(ann);
    let ticket = request.ticket;
    let outputs = bench.feed(Input::Acquire(request));
    let Output::Open { conn, class, .. } = outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(class, ann);
    let error = Error::new(Component::Server, Kind::AccessDenied, "Access denied for user 'ann'@'localhost'");
    let outputs = bench.feed(Input::OpenFailed { conn, error: error.clone() });
    assert_eq!(outputs, [Output::Refused { ticket, error }]);
    assert_eq!(bench.pool.poll_timeout(), None, "nothing pauses");
    bench.connect(PLAIN);
}

#[test]
fn a_server_that_is_full_is_so_for_every_account() {
    let mut bench = Bench::new(small());
    let request = bench.wants(ConnectionClass { account: AccountId(7), ..PLAIN });
    let outputs = bench.feed(Input::Acquire(request));
    let Output::Open { conn, .. } = outputs[0] else { panic!("{outputs:?}") };
    bench.feed(Input::OpenFailed { conn, error: server_error() });
    let outputs = bench.acquire().1;
    assert!(refused(&outputs)[0].1.contains("Too many connections"), "{outputs:?}");
}

#[test]
fn a_connection_is_lent_to_its_own_account_only() {
    let mut bench = Bench::new(small());
    let classes = [1, 2].map(|account| ConnectionClass { account: AccountId(account), ..PLAIN });
    let conns = classes.map(|class| bench.connect(class));
    for conn in conns {
        bench.give_back(conn);
    }
    assert_eq!(classes.map(|class| bench.connect(class)), conns);
}
