//! What can be wrong with a command.

use crate::compare::{Difference, Wrong};
use weir_core::mysql::auth::Secret;
use weir_core::mysql::capability::MariaDbCapabilities;
use weir_core::mysql::command::{ClientCommand, Unprinted};
use weir_core::mysql::handshake::HandshakeResponse;
use weir_tests::{Heard, Wire, application};

const MALFORMED: &str = "ERROR 1835 (HY000): Malformed communication packet, usable";

const CUT_SHORT: &str =
    "a packet shorter than its command needs is malformed, as for MySQL 8; MariaDB reads on behind its end";
const CLOSES: &str =
    "a change of user that is malformed ends the connection, as in MySQL; MariaDB goes on as the user before";

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference { what: "columns without an end of the name", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "half an option", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "fetch cut short", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "reset half an id", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "close half an id", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "long data cut short", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "command 4 and nothing else", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "command 7 and nothing else", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "command 12 and nothing else", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "command 26 and nothing else", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "command 27 and nothing else", weir: MALFORMED, why: CUT_SHORT },
    Difference { what: "command 28 and nothing else", weir: MALFORMED, why: CUT_SHORT },
    Difference {
        what: "command 10 and nothing else",
        weir: "\"\\t\"",
        why: "the list is of Weir's clients, and its numbers have no types narrower than 64 bits",
    },
    Difference {
        what: "command 21 and nothing else",
        weir: "ERROR 1227 (42000): Access denied; you need (at least one of) the REPLICATION SLAVE privilege",
        why: "nobody may be a replica of Weir, so nobody's password is asked for",
    },
    Difference {
        what: "command 30 and nothing else",
        weir: "ERROR 1227 (42000): Access denied; you need (at least one of) the REPLICATION SLAVE privilege",
        why: "COM_BINLOG_DUMP_GTID is MySQL's, and refused as MySQL does",
    },
    Difference { what: "a change of user that is empty", weir: "ERROR 1835 (HY000): Malformed", why: CLOSES },
    Difference { what: "command 17 and nothing else", weir: "ERROR 1835 (HY000): Malformed", why: CLOSES },
    Difference { what: "a change of user that is cut short", weir: "ERROR 1835 (HY000): Malformed", why: CLOSES },
];

pub(crate) fn wrong() -> Vec<Wrong> {
    [texts(), others(), changes_of_user(), every_byte()].into_iter().flatten().collect()
}

/// COM_QUERY, COM_STMT_PREPARE, COM_INIT_DB.
fn texts() -> Vec<Wrong> {
    vec![
        Wrong::command("an empty query", b"\x03"),
        Wrong::command("a query of spaces", b"\x03   \n"),
        Wrong::command("a query of a semicolon", b"\x03;"),
        Wrong::command("a query of semicolons", b"\x03;;"),
        Wrong::command("a query of a comment", b"\x03/* nothing */"),
        Wrong::command("a query of a line comment", b"\x03-- nothing"),
        Wrong::command("a query of a NUL", b"\x03\0"),
        Wrong::command("a query that is not UTF-8", b"\x03SELECT \xff\xfe\xfd"),
        Wrong::command("a query with an open quote", b"\x03SELECT 'a"),
        Wrong::command("a query with an open comment", b"\x03SELECT 1 /* a"),
        Wrong::command("nonsense", b"\x03FROBNICATE the database"),
        Wrong::command("a hundred thousand brackets", [&b"\x03SELECT "[..], &[b'('; 100_000]].concat()),
        Wrong::command("two statements without the right to", b"\x03SELECT 1; SELECT 2"),
        Wrong::command("prepare nothing", b"\x16"),
        Wrong::command("prepare nonsense", b"\x16FROBNICATE ?"),
        Wrong::command("prepare two statements", b"\x16SELECT 1; SELECT 2"),
        Wrong::command("prepare an unknown table", b"\x16SELECT * FROM nowhere.nothing"),
        Wrong::command("prepare what cannot be prepared", b"\x16PREPARE a FROM 'SELECT 1'"),
        Wrong::command("an unknown schema", b"\x02nowhere"),
        Wrong::command("an empty schema", b"\x02"),
        Wrong::command("a schema with a long name", [&b"\x02"[..], &[b'd'; 100]].concat()),
    ]
}

fn others() -> Vec<Wrong> {
    let mut all = vec![
        Wrong::command("an empty packet", b""),
        Wrong::command("columns of an unknown table", b"\x04nothing\0"),
        Wrong::command("columns without an end of the name", b"\x04nothing"),
        Wrong::command("an option that is not there", b"\x1b\x07\0"),
        Wrong::command("half an option", b"\x1b\0"),
        Wrong::command("a kill of nobody", b"\x0c\xff\xff\xff\x7f"),
        Wrong::command("a flush of privileges", b"\x07\x01"),
        Wrong::command("fetch of an unknown statement", b"\x1c\x63\0\0\0\x01\0\0\0"),
        Wrong::command("fetch cut short", b"\x1c\x63\0\0\0\x01"),
        Wrong::command("reset an unknown statement", b"\x1a\x63\0\0\0"),
        Wrong::command("reset half an id", b"\x1a\x63"),
        Wrong::command("bulk execute an unknown statement", b"\xfa\x63\0\0\0\0\0"),
        Wrong::silent_command("close an unknown statement", b"\x19\x63\0\0\0"),
        Wrong::silent_command("close half an id", b"\x19\x63"),
        Wrong::silent_command("long data of an unknown statement", b"\x18\x63\0\0\0\0\0data"),
        Wrong::silent_command("long data cut short", b"\x18\x63\0\0\0"),
    ];
    for sequence in [1, 5, 255] {
        all.push(Wrong::logged_in(format!("a ping with sequence id {sequence}"), move |wire| {
            wire.send_as(sequence, b"\x0e");
            wire.hear()
        }));
    }
    all
}

fn changes_of_user() -> Vec<Wrong> {
    let right = || application().password.into_bytes();
    vec![
        Wrong::command("a change of user that is empty", b"\x11"),
        Wrong::command("a change of user that is cut short", b"\x11app\0\x14abc"),
        Wrong::logged_in("a change to the same user", move |wire| change_user(wire, &right(), |_| {})),
        Wrong::logged_in("a change of user with a wrong password", |wire| change_user(wire, b"wrong", |_| {})),
        Wrong::logged_in("a change of user without password", |wire| change_user(wire, b"", |_| {})),
        Wrong::logged_in("a change to an unknown user", |wire| {
            change_user(wire, b"wrong", |response| response.user = b"nobody".to_vec())
        }),
        Wrong::logged_in("a change of user to an unknown schema", move |wire| {
            change_user(wire, &right(), |response| response.schema = Some(b"nowhere".to_vec()))
        }),
    ]
}

fn change_user(wire: &mut Wire, password: &[u8], edit: impl Fn(&mut HandshakeResponse)) -> Heard {
    let mut response = HandshakeResponse {
        capabilities: wire.capabilities(),
        of_mariadb: MariaDbCapabilities::empty(),
        max_packet_bytes: 0,
        collation: 45,
        user: application().user.into_bytes(),
        auth_response: Secret::default(),
        schema: None,
        plugin: Some(b"mysql_native_password".to_vec()),
        attributes: Vec::new(),
    };
    edit(&mut response);
    let mut body = Vec::new();
    response.encode_change_user(&mut body);
    wire.command(&ClientCommand::ChangeUser(Unprinted(&body)));
    wire.prove(password)
}

/// Each command without what belongs to it, and bytes that are no commands.
fn every_byte() -> Vec<Wrong> {
    /// COM_QUIT, and COM_STATISTICS, whose answer is no packet of the usual kinds and never twice the same.
    const LEFT_OUT: [u8; 2] = [1, 9];
    /// COM_STMT_SEND_LONG_DATA and COM_STMT_CLOSE.
    const NEVER_ANSWERED: [u8; 2] = [0x18, 0x19];
    let bytes = (0..40).chain(245..=255u8).filter(|byte| !LEFT_OUT.contains(byte) && !NEVER_ANSWERED.contains(byte));
    bytes.map(|byte| Wrong::command(format!("command {byte} and nothing else"), [byte])).collect()
}
