//! What can be wrong while a server reads a client's file (LOAD DATA LOCAL).

use crate::compare::{Difference, Wrong};
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::command::ClientCommand;
use weir_tests::wire::response;
use weir_tests::{Heard, TestCluster, Wire};

const OUT_OF_ORDER: &str = "ERROR 1156 (08S01): Got packets out of order, closed";
const AT_ONCE: &str =
    "Weir says so at once and closes; MariaDB keeps the error until it hears more, and then may lose it";

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference { what: "a file out of order", weir: OUT_OF_ORDER, why: AT_ONCE },
    Difference { what: "a file whose second packet is out of order", weir: OUT_OF_ORDER, why: AT_ONCE },
    Difference { what: "a file whose end is out of order", weir: OUT_OF_ORDER, why: AT_ONCE },
    Difference { what: "a command in the place of a file", weir: OUT_OF_ORDER, why: AT_ONCE },
];

/// Makes the table that files are loaded into.
pub(crate) fn prepare(cluster: &TestCluster) {
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (a INT)").expect("a table");
}

fn load(wire: &mut Wire) -> Heard {
    wire.ask(&ClientCommand::Query(b"LOAD DATA LOCAL INFILE 'file' INTO TABLE d.t"))
}

/// Packets sent as the file, each with its sequence id.
fn file(what: &str, packets: &'static [(u8, &'static [u8])]) -> Wrong {
    Wrong::logged_in(what, move |wire| {
        send(wire, packets);
        wire.hear()
    })
}

/// As [`file`], for packets after which nothing more is said.
fn last_file(what: &str, packets: &'static [(u8, &'static [u8])]) -> Wrong {
    Wrong::logged_in(what, move |wire| {
        send(wire, packets);
        wire.finish();
        wire.hear()
    })
}

fn send(wire: &mut Wire, packets: &[(u8, &[u8])]) {
    assert_eq!(load(wire), Heard::Packet(b"\xfbfile".to_vec()));
    for (sequence, payload) in packets {
        wire.send_as(*sequence, payload);
    }
}

pub(crate) fn wrong() -> Vec<Wrong> {
    vec![
        file("no file", &[(2, b"")]),
        file("a file of nonsense", &[(2, b"\0\xff\xfe\tx\n\n\n"), (3, b"")]),
        last_file("a file out of order", &[(9, b"1\n")]),
        last_file("a file whose second packet is out of order", &[(2, b"1\n"), (2, b"2\n")]),
        last_file("a file whose end is out of order", &[(2, b"1\n"), (9, b"")]),
        last_file("a command in the place of a file", &[(0, b"\x0e")]),
        Wrong::logged_in("a file for no table", |wire| {
            wire.ask(&ClientCommand::Query(b"LOAD DATA LOCAL INFILE 'file' INTO TABLE d.nothing"))
        }),
        Wrong::login("a file of a client that sends none", |wire, greeting| {
            let mut response = response(greeting);
            response.capabilities -= CapabilityFlags::CLIENT_LOCAL_FILES;
            assert!(wire.respond(&response).is_ok());
            load(wire)
        }),
    ]
}
