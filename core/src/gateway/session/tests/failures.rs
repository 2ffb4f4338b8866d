//! What a client reads when a server connection fails it.

use super::bench::{Bench, PRIMARY, error_code, lost, ok, ok_reply, text};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::buffer::Refusal;
use crate::gateway::session::state::MORE_RESULTS;
use crate::gateway::session::{Event, Fate, Reason};
use crate::link::{Ended, Reply};
use crate::mysql::command::ClientCommand;
use crate::mysql::frame::write_packet;
use crate::mysql::packet::OkPacket;

fn expect_closed_connection(bench: &mut Bench) {
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Close))));
}

#[test]
fn a_write_of_unknown_outcome_is_reported_and_never_run_again() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    let packets = bench.answer(lost(Effect::Unknown));
    assert_eq!(error_code(&packets[0]), 1160);
    expect_closed_connection(&mut bench);
    assert!(matches!(bench.event(), Some(Event::Acknowledged(_))), "it may have happened");
    bench.expect_rest();
}

/// A member of a group that leaves it while it commits says that it rolled back; its group may have the transaction all the same.
#[test]
fn what_a_group_may_have_decided_is_of_unknown_outcome() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    let message = "Plugin instructed the server to rollback the current transaction.";
    let error = Error { code: 3101, ..Error::new(Component::Server, Kind::TransactionLost, message) };
    let packets = bench.answer(vec![Reply::Err { seq: 1, error }]);
    assert_eq!(error_code(&packets[0]), 1160);
    assert!(matches!(bench.event(), Some(Event::Acknowledged(_))), "it may have happened");
}

#[test]
fn a_write_that_was_never_sent_is_tried_elsewhere_and_then_reported_with_the_reason() {
    let mut bench = Bench::logged_in();
    bench.query("INSERT INTO t VALUES (1)");
    bench.lend();
    bench.answer(lost(Effect::None));
    expect_closed_connection(&mut bench);
    bench.hold();
    // There is no second primary: what the first one said is what counts.
    bench.session.resumed(bench.now, Err(Refusal::Disabled));
    assert_eq!(error_code(&bench.receive()[0]), 1158);
    bench.expect_rest();
}

#[test]
fn a_refused_read_is_tried_on_every_other_tablet_once() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    let full = || Error::new(Component::Tablet, Kind::Unavailable, "full");
    let mut asked = Vec::new();
    for _ in 0..2 {
        asked.push(bench.wish().tablet);
        bench.session.lease_refused(bench.now, full());
    }
    asked.push(bench.wish().tablet);
    bench.session.lease_refused(bench.now, full());
    assert_eq!(asked[2], PRIMARY);
    assert_ne!(asked[0], asked[1]);
    bench.hold();
    bench.session.resumed(bench.now, Err(Refusal::Disabled));
    assert_eq!(error_code(&bench.receive()[0]), 1053);
    bench.expect_rest();
}

#[test]
fn a_lost_transaction_takes_nothing_but_its_end() {
    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(OkPacket { status: 3, ..ok() }));
    bench.query("UPDATE t SET a = 1");
    bench.request();
    assert_eq!(error_code(&bench.answer(lost(Effect::Unknown))[0]), 1160);
    expect_closed_connection(&mut bench);
    assert_eq!(error_code(&bench.query("UPDATE t SET a = 2")[0]), 1213);
    assert_eq!(error_code(&bench.query("COMMIT")[0]), 1213);
    bench.run("UPDATE t SET a = 3", ok());
}

#[test]
fn state_that_cannot_be_had_again_ends_the_session_with_its_connection() {
    let mut bench = Bench::logged_in();
    bench.query("CREATE TEMPORARY TABLE x (a INT)");
    bench.lend();
    bench.answer(ok_reply(ok()));
    bench.query("SELECT a FROM x");
    bench.request();
    let packets = bench.answer(lost(Effect::None));
    assert!(String::from_utf8_lossy(&packets[0]).contains("temporary table"));
    expect_closed_connection(&mut bench);
    bench.expect_closed(Reason::StateLost);
}

#[test]
fn an_answer_that_breaks_off_amid_a_packet_ends_the_session() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    bench.lend();
    for reply in [packet(1), Reply::Between { seq: 2 }, packet(2)] {
        bench.session.handle_reply(bench.now, reply);
    }
    bench.answer(lost(Effect::Unknown));
    expect_closed_connection(&mut bench);
    bench.expect_closed(Reason::ServerLost);
}

/// Any packet of an answer.
fn packet(seq: u8) -> Reply {
    Reply::Own(vec![1, 0, 0, seq, 1])
}

#[test]
fn rows_that_break_off_end_with_an_error_and_are_not_read_again() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    bench.lend();
    for reply in [packet(1), packet(2), Reply::Between { seq: 3 }] {
        bench.session.handle_reply(bench.now, reply);
    }
    let packets = bench.answer(lost(Effect::Unknown));
    assert_eq!((packets.len(), error_code(&packets[2])), (3, 1160), "the third has sequence id 3");
    expect_closed_connection(&mut bench);
    bench.expect_rest();
    bench.run("UPDATE t SET a = 3", ok());
}

#[test]
fn results_that_break_off_end_with_an_error() {
    let mut bench = Bench::logged_in();
    bench.query("CALL p()");
    bench.lend();
    bench.answer(ok_reply(ok()));
    assert_eq!(text(&bench.request()), "CALL p()", "after what others may have left there");
    let first = OkPacket { status: 2 | MORE_RESULTS, ..ok() };
    bench.session.handle_reply(bench.now, Reply::Ok { seq: 1, ends_rows: false, rows: 0, ok: first });
    let packets = bench.answer(lost(Effect::Unknown));
    assert_eq!((packets.len(), error_code(&packets[1])), (2, 1160));
    expect_closed_connection(&mut bench);
    assert!(matches!(bench.event(), Some(Event::Acknowledged(_))), "the rest may have happened");
    bench.expect_rest();
}

#[test]
fn rows_of_a_transaction_that_break_off_take_the_transaction_with_them() {
    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(OkPacket { status: 3, ..ok() }));
    bench.query("SELECT a FROM t");
    bench.request();
    for reply in [packet(1), Reply::Between { seq: 2 }] {
        bench.session.handle_reply(bench.now, reply);
    }
    assert_eq!(error_code(&bench.answer(lost(Effect::Unknown))[1]), 1160);
    expect_closed_connection(&mut bench);
    assert_eq!(error_code(&bench.query("UPDATE t SET a = 2")[0]), 1213);
    bench.query("ROLLBACK");
    bench.run("UPDATE t SET a = 3", ok());
}

#[test]
fn commands_that_no_server_takes_are_unknown() {
    let mut bench = Bench::logged_in();
    for byte in [0x00, 0x05, 0x06, 0x0b, 0x13, 0x77] {
        assert_eq!(error_code(&bench.send(&ClientCommand::Unknown(byte))[0]), 1047, "{byte:#x}");
    }
    assert_eq!(bench.send(&ClientCommand::Ping)[0][0], 0);
}

#[test]
fn commands_for_administrators_need_a_right_that_nobody_has() {
    let mut bench = Bench::logged_in();
    for command in [ClientCommand::Debug, ClientCommand::BinlogDump(b""), ClientCommand::RegisterSlave(b"")] {
        assert_eq!(error_code(&bench.send(&command)[0]), 1227, "{command:?}");
    }
    bench.expect_rest();
}

#[test]
fn who_may_shut_the_primary_down_is_for_it_to_say() {
    let mut bench = Bench::logged_in();
    bench.send(&ClientCommand::Shutdown);
    assert_eq!(bench.lend().0, PRIMARY);
    let error = Error::new(Component::Server, Kind::MissingPrivilege, "Access denied");
    let packets = bench.answer(vec![Reply::Err { seq: 1, error }, Reply::End(Ended::Answered)]);
    assert_eq!(error_code(&packets[0]), 1227);
    let mut bench = Bench::logged_in();
    bench.send(&ClientCommand::Shutdown);
    bench.lend();
    let packets = bench.answer(lost(Effect::Unknown));
    assert_eq!(error_code(&packets[0]), 1160, "no other server is shut down");
}

#[test]
fn a_server_says_what_it_makes_of_a_text_without_a_statement() {
    let mut bench = Bench::logged_in();
    for text in ["", "  ", ";", "/* ping */", "-- ping"] {
        assert_eq!(bench.run(text, ok()), PRIMARY, "{text:?}");
    }
}

#[test]
fn a_wrong_sequence_id_ends_the_session() {
    let mut bench = Bench::logged_in();
    let mut bytes = Vec::new();
    write_packet(&mut bytes, &mut 5, b"\x0e");
    bench.session.handle_bytes(bench.now, &bytes);
    bench.expect_closed(Reason::ProtocolError);
}

#[test]
fn half_a_packet_is_waited_for_only_so_long() {
    let mut bench = Bench::logged_in();
    let idle = bench.session.poll_timeout().unwrap();
    bench.session.handle_bytes(bench.now, b"\x05\0\0\0\x03SE");
    let half = bench.session.poll_timeout().unwrap();
    assert!(half < idle);
    bench.session.handle_bytes(half, b"L");
    let later = bench.session.poll_timeout().unwrap();
    assert!(later > half && later < idle, "who says more gets more time");
    bench.session.handle_timeout(later);
    assert_eq!(error_code(&bench.receive()[0]), 1159);
    bench.expect_closed(Reason::TimedOut);
}

#[test]
fn a_command_while_one_runs_is_left_for_later() {
    let mut bench = Bench::logged_in();
    bench.query("SELECT a FROM t");
    let mut ping = Vec::new();
    write_packet(&mut ping, &mut 0, b"\x0e");
    assert_eq!(bench.session.handle_bytes(bench.now, &ping), 0);
    bench.lend();
    bench.answer(ok_reply(ok()));
    assert_eq!(bench.session.handle_bytes(bench.now, &ping), ping.len());
    assert_eq!(bench.receive()[0][0], 0);
}

#[test]
fn a_session_that_is_to_finish_ends_once_it_is_amid_nothing() {
    let mut idle = Bench::logged_in();
    idle.session.finish();
    assert_eq!(error_code(&idle.receive_from(0)[0]), 1053);
    idle.expect_closed(Reason::Shutdown);

    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    bench.lend();
    bench.session.finish();
    let in_transaction = crate::mysql::packet::OkPacket { status: 3, ..ok() };
    assert_eq!(bench.answer(ok_reply(in_transaction.clone())).len(), 1, "its request was answered");
    bench.expect_rest();
    bench.query("INSERT INTO t VALUES (1)");
    bench.request();
    assert_eq!(bench.answer(ok_reply(in_transaction)).len(), 1, "its transaction goes on");
    bench.expect_rest();
    bench.query("COMMIT");
    bench.request();
    let mut replies = ok_reply(ok());
    let end = replies.pop().expect("an end");
    assert_eq!(bench.answer(replies).len(), 1, "it is acknowledged");
    bench.session.handle_reply(bench.now, end);
    assert_eq!(error_code(&bench.receive_from(0)[0]), 1053);
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Keep))));
    bench.expect_closed(Reason::Shutdown);
}

#[test]
fn a_session_that_is_ended_is_not_waited_for() {
    let mut bench = Bench::logged_in();
    bench.query("BEGIN");
    bench.lend();
    bench.answer(ok_reply(crate::mysql::packet::OkPacket { status: 3, ..ok() }));
    bench.session.finish();
    bench.expect_rest();
    bench.session.shut_down();
    assert_eq!(error_code(&bench.receive_from(0)[0]), 1053);
    bench.request();
    assert!(bench.answer(ok_reply(ok())).is_empty(), "nobody hears how the transaction is rolled back");
    assert!(matches!(bench.event(), Some(Event::Release(Fate::Keep))));
    bench.expect_closed(Reason::Shutdown);
}
