//! Where statements go, and what they must wait for there.

use super::bench::{Bench, OTHER_REPLICA, PRIMARY, REPLICA, error_code, lost, ok, ok_reply, ok_with, view};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::buffer::Refusal;
use crate::gateway::session::Event;
use crate::link::{Command, ConnectionTraits, Ended, Reply};
use crate::mysql::capability::{ASKED_OF_SERVERS, Agreed, CapabilityFlags, MariaDbCapabilities};
use crate::mysql::column::ColumnDefinition;
use crate::mysql::frame::{MAX_PAYLOAD_BYTES, write_packet};

#[test]
fn reads_take_turns_on_the_replicas_and_writes_go_to_the_primary() {
    let mut bench = Bench::logged_in();
    let mut went: Vec<_> = (0..4).map(|_| bench.run("SELECT 1 FROM t", ok())).collect();
    went.sort();
    assert_eq!(went, [REPLICA, REPLICA, OTHER_REPLICA, OTHER_REPLICA]);
    assert_eq!(bench.run("INSERT INTO t VALUES (1)", ok()), PRIMARY);
}

#[test]
fn functions_of_the_servers_own_make_are_no_stored_ones() {
    let mut bench = Bench::logged_in();
    assert_ne!(bench.run("SELECT NVL(a, 1) FROM t", ok()), PRIMARY);
    bench.query("SELECT ANY_VALUE(a) FROM t");
    assert_eq!(bench.lend().0, PRIMARY, "MariaDB has none");
}

#[test]
fn a_read_after_a_write_waits_only_where_the_write_is_not_known_to_have_arrived() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", ok_with(&[("last_gtid", "0-1-101")]));
    bench.query("SELECT a FROM t");
    let (_, request) = bench.lend();
    assert_eq!(request.wait.unwrap().position.to_string(), "0-1-101");
    bench.answer(ok_reply(ok()));
    bench.expect_release();

    bench.session.set_view(view("0-1-50", "0-1-101"));
    bench.query("SELECT a FROM t");
    let (tablet, request) = bench.lend();
    assert_eq!((tablet, request.wait.is_some()), (OTHER_REPLICA, false));
}

#[test]
fn a_read_that_waited_in_vain_is_answered_by_the_primary() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", ok_with(&[("last_gtid", "0-1-101")]));
    bench.query("SELECT a FROM t");
    bench.lend();
    assert!(bench.answer(vec![Reply::End(Ended::WaitTimedOut)]).is_empty());
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    let (tablet, request) = bench.lend();
    assert_eq!((tablet, request.wait.is_some()), (PRIMARY, false));
}

#[test]
fn a_retry_on_another_replica_still_waits() {
    let mut bench = Bench::logged_in();
    bench.run("UPDATE t SET a = 1", ok_with(&[("last_gtid", "0-1-101")]));
    bench.query("SELECT a FROM t");
    let (first, _) = bench.lend();
    bench.answer(lost(Effect::Unknown));
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    let (second, request) = bench.lend();
    assert_ne!(first, second);
    assert!(request.wait.is_some(), "the position was forgotten");
}

#[test]
fn an_eventual_read_waits_for_nothing() {
    let mut bench = Bench::logged_in();
    assert_eq!(bench.query("SET read_after_write_consistency = EVENTUAL")[0][0], 0);
    bench.run("UPDATE t SET a = 1", ok_with(&[("last_gtid", "0-1-101")]));
    bench.query("SELECT a FROM t");
    assert!(bench.lend().1.wait.is_none());
}

#[test]
fn a_transaction_stays_where_it_began() {
    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    let (tablet, _) = bench.lend();
    assert_eq!(tablet, PRIMARY);
    let in_transaction = crate::mysql::packet::OkPacket { status: 3, ..ok() };
    bench.answer(ok_reply(in_transaction.clone()));
    bench.expect_rest();
    bench.query("SELECT a FROM t");
    assert!(bench.request().wait.is_none());
    bench.answer(ok_reply(in_transaction));
    bench.query("COMMIT");
    bench.request();
    bench.answer(ok_reply(ok()));
    bench.expect_release();
}

#[test]
fn weirs_own_variables_are_answered_without_a_server() {
    let mut bench = Bench::logged_in();
    assert_eq!(bench.query("SET read_write_splitting_policy = 'disable'")[0][0], 0);
    let packets = bench.query("SELECT @@read_write_splitting_policy");
    assert!(packets.iter().any(|packet| packet == b"\x07disable"), "{packets:?}");
    assert_eq!(error_code(&bench.query("SET read_write_splitting_policy = 'often'")[0]), 1231);
    assert_eq!(bench.run("SELECT a FROM t", ok()), PRIMARY);
}

#[test]
fn a_statement_that_nobody_can_take_fails_and_the_session_goes_on() {
    let mut bench = Bench::logged_in();
    bench.session.set_view(std::sync::Arc::default());
    for sql in ["SELECT a FROM t", "INSERT INTO t VALUES (1)"] {
        bench.query(sql);
        bench.hold();
        bench.session.resumed(bench.now, Err(Refusal::Disabled));
        assert_eq!(error_code(&bench.receive()[0]), 1053);
    }
}

#[test]
fn a_session_without_a_schema_never_borrows_one() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT 1 FROM t");
    assert!(bench.wish().class.traits.contains(ConnectionTraits::NO_SCHEMA));
    let mut bench = Bench::logged_in();
    bench.query("USE shop");
    assert!(!bench.wish().class.traits.contains(ConnectionTraits::NO_SCHEMA));
}

#[test]
fn out_parameters_come_only_to_a_client_that_asked_for_them() {
    for (asked, given) in
        [(ASKED_OF_SERVERS, false), (ASKED_OF_SERVERS | CapabilityFlags::CLIENT_PS_MULTI_RESULTS, true)]
    {
        let mut bench = Bench::logged_in_with(asked);
        bench.query("SELECT 1 FROM t");
        assert_eq!(bench.wish().class.traits.contains(ConnectionTraits::PS_MULTI_RESULTS), given);
    }
}

#[test]
fn clients_that_want_eof_packets_get_them_from_the_server() {
    let classic = ASKED_OF_SERVERS - CapabilityFlags::CLIENT_DEPRECATE_EOF;
    for (asked, given) in [(ASKED_OF_SERVERS, false), (classic, true)] {
        let mut bench = Bench::logged_in_with(asked);
        bench.query("SELECT 1 FROM t");
        assert_eq!(bench.wish().class.traits.contains(ConnectionTraits::CLASSIC_EOF), given);
    }
}

#[test]
fn clients_that_read_extended_metadata_get_them_from_the_server() {
    for of_mariadb in [MariaDbCapabilities::empty(), MariaDbCapabilities::EXTENDED_METADATA] {
        let mut bench = Bench::logged_in_with(Agreed { common: ASKED_OF_SERVERS, of_mariadb });
        bench.query("SELECT 1 FROM t");
        let given = bench.wish().class.traits.contains(ConnectionTraits::EXTENDED_METADATA);
        assert_eq!(given, !of_mariadb.is_empty());
    }
}

#[test]
fn what_weir_answers_itself_has_the_clients_metadata() {
    for of_mariadb in [MariaDbCapabilities::empty(), MariaDbCapabilities::EXTENDED_METADATA] {
        let mut bench = Bench::logged_in_with(Agreed { common: ASKED_OF_SERVERS, of_mariadb });
        let packets = bench.query("SHOW WARNINGS");
        assert!(ColumnDefinition::parse(&packets[1], of_mariadb).is_ok(), "{packets:?}");
    }
}

#[test]
fn a_command_may_come_in_pieces_and_over_several_packets() {
    let mut bench = Bench::logged_in();
    let mut sql = b"\x03INSERT INTO t VALUES ('".to_vec();
    sql.resize(MAX_PAYLOAD_BYTES + 10, b'x');
    sql.extend_from_slice(b"')");
    let mut bytes = Vec::new();
    write_packet(&mut bytes, &mut 0, &sql);
    for piece in bytes.chunks(5_000_000) {
        assert_eq!(bench.session.handle_bytes(bench.now, piece), piece.len());
    }
    assert_eq!(bench.wish().tablet, PRIMARY);
}

#[test]
fn a_read_that_turns_out_to_write_moves_to_the_primary() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM view_that_calls_a_function");
    assert_ne!(bench.lend().0, PRIMARY);
    let error = Error { code: 1290, ..Error::new(Component::Server, Kind::ReadOnly, "read-only") };
    let replies = vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)];
    assert!(bench.answer(replies).is_empty(), "the client hears nothing of it");
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    assert_eq!(bench.lend().0, PRIMARY);
    assert_eq!(bench.answer(ok_reply(ok())).len(), 1, "what the primary answers is the client's");
    assert!(matches!(bench.request().command, Command::ResetConnection), "it is over, and not run again");
}

#[test]
fn a_read_on_a_server_without_its_group_moves_to_the_primary() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    assert_ne!(bench.lend().0, PRIMARY);
    let error = Error::new(Component::Server, Kind::ReadOnly, "WSREP has not yet prepared node for application use");
    let replies = vec![Reply::Err { seq: 1, error: Error { code: 1047, ..error } }, Reply::End(Ended::Answered)];
    assert!(bench.answer(replies).is_empty(), "the client hears nothing of it");
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    assert_eq!(bench.lend().0, PRIMARY);
}

#[test]
fn what_seemed_to_be_a_read_and_writes_is_not_run_twice() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM view_that_calls_a_function");
    bench.lend();
    let error = Error { code: 1290, ..Error::new(Component::Server, Kind::ReadOnly, "read-only") };
    bench.answer(vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)]);
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    let (tablet, request) = bench.lend();
    assert!(tablet == PRIMARY && !request.read_only);
    assert_eq!(error_code(&bench.answer(lost(Effect::Unknown))[0]), 1160, "its outcome is unknown");
    assert!(matches!(bench.event(), Some(Event::Release(_))));
    assert!(matches!(bench.event(), Some(Event::Acknowledged(_))), "it may have written");
    bench.expect_rest();
}

#[test]
fn a_read_that_breaks_connections_does_not_reach_every_server() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    for _ in 0..2 {
        bench.lend();
        bench.session.handle_reply(bench.now, lost(Effect::None).remove(0));
        assert!(matches!(bench.event(), Some(Event::Release(_))));
    }
    assert_eq!(error_code(&bench.receive()[0]), 1158);
    bench.expect_rest();
}
