//! What can be wrong with the execution of a prepared statement.

use crate::compare::{Difference, Wrong};
use weir_core::mysql::command::ClientCommand;

const CUT_SHORT: &str = "what is cut short is malformed, as for MySQL 8";

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference { what: "execute with no parameters", weir: "ERROR 1835 (HY000): Malformed", why: CUT_SHORT },
    Difference { what: "execute with a null bitmap only", weir: "ERROR 1835 (HY000): Malformed", why: CUT_SHORT },
];

/// Bodies of an execution with two parameters.
const BODIES: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("flags only", b"\0"),
    ("no parameters", b"\0\x01\0\0\0"),
    ("a null bitmap only", b"\0\x01\0\0\0\0"),
    ("types left out the first time", b"\0\x01\0\0\0\0\0"),
    ("half the types", b"\0\x01\0\0\0\0\x01\x08"),
    ("types and no values", b"\0\x01\0\0\0\0\x01\x08\0\x08\0"),
    ("half a value", b"\0\x01\0\0\0\0\x01\x08\0\x08\0\x01\0\0"),
    ("one value of two", b"\0\x01\0\0\0\0\x01\x01\0\x01\0\x01"),
    ("an unknown type", b"\0\x01\0\0\0\0\x01\x55\0\x55\0\x01\x01"),
    ("a string longer than the packet", b"\0\x01\0\0\0\0\x01\xfd\0\xfd\0\xfd\xff\xff\xff"),
    ("a string longer than memory", b"\0\x01\0\0\0\0\x01\xfd\0\xfd\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("a string whose length is NULL", b"\0\x01\0\0\0\0\x01\xfd\0\xfd\0\xfb\xfb"),
    ("two iterations", b"\0\x02\0\0\0\0\x01\x01\0\x01\0\x01\x02"),
    ("no iterations", b"\0\0\0\0\0\0\x01\x01\0\x01\0\x01\x02"),
    ("unknown flags", b"\xf0\x01\0\0\0\0\x01\x01\0\x01\0\x01\x02"),
    ("more than the values", b"\0\x01\0\0\0\0\x01\x01\0\x01\0\x01\x02\x03\x04\x05"),
];

/// An execution of `SELECT ?` with a string.
const ONE_STRING: &[u8] = b"\0\x01\0\0\0\0\x01\xfd\0\x01a";

pub(crate) fn wrong() -> Vec<Wrong> {
    let mut all = vec![
        Wrong::command("execute an unknown statement", b"\x17\x63\0\0\0\0\x01\0\0\0"),
        Wrong::command("execute half an id", b"\x17\x63\0"),
        Wrong::logged_in("execute a closed statement", |wire| {
            let statement_id = wire.prepare("SELECT 1").expect("a statement").statement_id;
            wire.command(&ClientCommand::CloseStatement { statement_id });
            wire.ask(&ClientCommand::Execute { statement_id, body: b"\0\x01\0\0\0" })
        }),
        Wrong::logged_in("fetch without a cursor", |wire| {
            let statement_id = wire.prepare("SELECT 1").expect("a statement").statement_id;
            wire.ask(&ClientCommand::Fetch { statement_id, rows: 1 })
        }),
        Wrong::logged_in("long data of a parameter that is not there", |wire| {
            let statement_id = wire.prepare("SELECT ?").expect("a statement").statement_id;
            wire.command(&ClientCommand::SendLongData { statement_id, parameter: 9, data: b"data" });
            wire.command(&ClientCommand::Execute { statement_id, body: ONE_STRING });
            wire.last_packet()
        }),
    ];
    for (what, body) in BODIES {
        all.push(Wrong::logged_in(format!("execute with {what}"), |wire| {
            let statement_id = wire.prepare("SELECT ?, ?").expect("a statement").statement_id;
            wire.command(&ClientCommand::Execute { statement_id, body });
            wire.last_packet()
        }));
    }
    all
}
