//! Prepared statements have ids of the session's own and live on no particular connection.

use super::bench::{Bench, PRIMARY, REPLICA, error_code, ok, ok_reply, view};
use crate::gateway::session::Pins;
use crate::link::{Command, Ended, Reply};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;

fn execute(bench: &mut Bench, id: u32, body: &[u8]) -> super::bench::Packets {
    bench.send(&ClientCommand::Execute { statement_id: id, body })
}

/// One parameter, its type sent: a LONGLONG 5.
const FIRST: &[u8] = b"\0\x01\0\0\0\0\x01\x08\0\x05\0\0\0\0\0\0\0";
/// The same again, its type left out.
const AGAIN: &[u8] = b"\0\x01\0\0\0\0\0\x05\0\0\0\0\0\0\0";

#[test]
fn an_execute_carries_the_types_bound_before() {
    let mut bench = Bench::logged_in();
    bench.session.set_view(view("0-1-100", "0-1-100"));
    let id = bench.prepare("SELECT a FROM t WHERE b = ?", 1);
    assert_eq!(id, 1, "not the server's id");
    for body in [FIRST, AGAIN] {
        assert!(execute(&mut bench, id, body).is_empty());
        let (tablet, request) = bench.lend();
        assert!(tablet >= REPLICA);
        let Command::Execute { payload, .. } = request.command else { panic!("an execute") };
        assert_eq!(payload, FIRST);
        bench.answer(ok_reply(ok()));
        bench.expect_release();
    }
}

#[test]
fn a_bulk_goes_to_the_primary_with_the_types_bound_before() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("INSERT INTO t VALUES (?)", 1);
    let typed = b"\x80\0\x08\0\0\x05\0\0\0\0\0\0\0\x01";
    let untyped = b"\0\0\0\x05\0\0\0\0\0\0\0\x01";
    for body in [&typed[..], untyped] {
        assert!(bench.send(&ClientCommand::BulkExecute { statement_id: id, body }).is_empty());
        let (tablet, request) = bench.lend();
        assert!(tablet == PRIMARY && !request.read_only);
        let Command::Execute { payload, bulk: true, .. } = request.command else { panic!("a bulk") };
        assert_eq!(payload, typed);
        bench.answer(ok_reply(ok()));
        bench.expect_release();
    }
}

#[test]
fn a_bulk_is_refused_as_by_a_server() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("INSERT INTO t VALUES (?)", 1);
    for (id, body, error) in
        [(id, &b"\xc0\0"[..], 1295), (id, b"\0\0\0\x05", 1210), (99, b"\0\0", 1243), (id, b"\0", 1835)]
    {
        assert_eq!(error_code(&bench.send(&ClientCommand::BulkExecute { statement_id: id, body })[0]), error);
    }
}

#[test]
fn long_data_is_sent_with_the_execute() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("UPDATE t SET a = ?", 1);
    for data in [b"ab", b"cd"] {
        assert!(bench.send(&ClientCommand::SendLongData { statement_id: id, parameter: 0, data }).is_empty());
    }
    execute(&mut bench, id, FIRST);
    let Command::Execute { long_data, .. } = bench.lend().1.command else { panic!("an execute") };
    assert_eq!(long_data.iter().map(|chunk| chunk.data.as_slice()).collect::<Vec<_>>().concat(), b"abcd");
}

#[test]
fn types_left_out_the_first_time_are_wrong_arguments() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("SELECT a FROM t WHERE b = ?", 1);
    assert_eq!(error_code(&execute(&mut bench, id, AGAIN)[0]), 1210);
    bench.expect_rest();
}

#[test]
fn unknown_ids_are_refused_as_a_server_does() {
    let mut bench = Bench::logged_in();
    assert_eq!(error_code(&execute(&mut bench, 9, FIRST)[0]), 1243);
    assert_eq!(error_code(&bench.send(&ClientCommand::ResetStatement { statement_id: 9 })[0]), 1243);
    assert!(bench.send(&ClientCommand::CloseStatement { statement_id: 9 }).is_empty());
}

#[test]
fn there_is_no_room_for_too_many() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("SELECT 1 FROM t", 0);
    bench.prepare("SELECT 2 FROM t", 0);
    assert_eq!(error_code(&bench.send(&ClientCommand::Prepare(b"SELECT 3 FROM t"))[0]), 1461);
    bench.send(&ClientCommand::CloseStatement { statement_id: id });
    bench.prepare("SELECT 3 FROM t", 0);
}

#[test]
fn an_open_cursor_keeps_the_connection_until_its_last_row() {
    let mut bench = Bench::logged_in();
    let id = bench.prepare("SELECT a FROM t", 0);
    execute(&mut bench, id, b"\x01\x01\0\0\0");
    bench.lend();
    let open = OkPacket { status: 0x42, ..ok() };
    bench.answer(vec![Reply::Ok { seq: 1, ends_rows: true, rows: 0, ok: open }, Reply::End(Ended::Answered)]);
    bench.expect_rest();
    assert_eq!(bench.session.pins(), Pins::CURSOR);
    bench.send(&ClientCommand::Fetch { statement_id: id, rows: 10 });
    assert!(matches!(bench.request().command, Command::Fetch { rows: 10, .. }));
    let done = OkPacket { status: 0xc2, ..ok() };
    bench.answer(vec![Reply::Ok { seq: 1, ends_rows: true, rows: 0, ok: done }, Reply::End(Ended::Answered)]);
    bench.expect_release();
}
