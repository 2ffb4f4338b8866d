//! What can be wrong before a client is let in.

use crate::compare::{Difference, Wrong};
use weir_core::mysql::auth::{Secret, native};
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::handshake::{Greeting, HandshakeResponse};
use weir_tests::wire::response;
use weir_tests::{Heard, Wire};

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "a response of zeros",
        weir: "ERROR 1251 (HY000)",
        why: "a client older than 4.1 is told to upgrade, whoever it says it is",
    },
    Difference {
        what: "a user that is not UTF-8",
        weir: "ERROR 1045 (28000): Access denied for user '\u{fffd}\u{fffd}'@'127.0.0.1' (using password: YES), closed",
        why: "the message is UTF-8, which has a character for this",
    },
    Difference {
        what: "a right response without its schema",
        weir: "another proof, closed",
        why: "a client that stops early has not named its method, and is asked to prove itself by one, as by MySQL",
    },
    Difference {
        what: "a right response cut in the name of its method",
        weir: "another proof, closed",
        why: "a method that is not known is replaced by one that is, as by MySQL",
    },
];

pub(crate) fn wrong() -> Vec<Wrong> {
    [garbage(), responses(), proofs(), cuts()].into_iter().flatten().collect()
}

/// What is no response at all.
fn garbage() -> Vec<Wrong> {
    let bytes = |what, bytes: &'static [u8]| {
        Wrong::login(what, move |wire, _| {
            wire.send_bytes(bytes);
            wire.hear()
        })
    };
    let packet = |what, payload: &'static [u8]| {
        Wrong::login(what, move |wire, _| {
            wire.send_as(1, payload);
            wire.hear()
        })
    };
    vec![
        bytes("a HTTP request", b"GET / HTTP/1.1\r\nHost: db\r\n\r\n"),
        bytes("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        bytes("zeros", &[0; 64]),
        bytes("ones", &[0xff; 64]),
        packet("an empty packet", b""),
        packet("one byte", b"\x85"),
        packet("a response of zeros", &[0; 40]),
        packet("a response of ones", &[0xff; 40]),
        packet("a response of a client older than 4.1", b"\x85\x24\x00\x00\x00app\0abcdefgh"),
    ]
}

/// A response that is right but for what `edit` does to it.
fn edited(what: &str, edit: impl Fn(&mut HandshakeResponse, &Greeting) + 'static) -> Wrong {
    Wrong::login(what, move |wire, greeting| {
        let mut response = response(greeting);
        edit(&mut response, greeting);
        wire.respond(&response)
    })
}

/// Responses that can be read.
fn responses() -> Vec<Wrong> {
    vec![
        edited("a wrong password", |r, greeting| {
            r.auth_response = Secret::new(native::scramble(b"wrong", &greeting.nonce));
        }),
        edited("no password", |r, _| r.auth_response = Secret::default()),
        edited("an answer that is too short", |r, _| r.auth_response = Secret::new([1; 7])),
        edited("an answer that is too long", |r, _| r.auth_response = Secret::new([1; 200])),
        edited("an unknown user", |r, _| r.user = b"nobody".to_vec()),
        edited("an unknown user without password", |r, _| {
            r.user = b"nobody".to_vec();
            r.auth_response = Secret::default();
        }),
        edited("an empty user", |r, _| r.user = Vec::new()),
        edited("a user with a quote", |r, _| r.user = b"a'b".to_vec()),
        edited("a user of 200 characters", |r, _| r.user = vec![b'u'; 200]),
        edited("a user that is not UTF-8", |r, _| r.user = b"\xff\xfe".to_vec()),
        edited("an unknown schema", |r, _| r.schema = Some(b"nowhere".to_vec())),
        edited("a schema with a long name", |r, _| r.schema = Some(vec![b'd'; 100])),
        edited("a schema outside", |r, _| r.schema = Some(b"../mysql".to_vec())),
        edited("an unknown method", |r, _| r.plugin = Some(b"no_such_plugin".to_vec())),
        edited("a method without a name", |r, _| r.plugin = Some(Vec::new())),
        Wrong::login("a request for TLS that is not offered", |wire, greeting| {
            let mut response = response(greeting);
            response.capabilities |= CapabilityFlags::CLIENT_SSL;
            let mut payload = Vec::new();
            response.encode_tls_request(&mut payload);
            wire.send_as(1, &payload);
            wire.hear()
        }),
    ]
}

/// Proofs of the password by another method than the one the client came with.
fn proofs() -> Vec<Wrong> {
    fn switched(wire: &mut Wire, greeting: &Greeting) -> u8 {
        let mut response = response(greeting);
        response.plugin = Some(b"dialog".to_vec());
        let mut payload = Vec::new();
        response.encode(&mut payload);
        wire.send_as(1, &payload);
        assert!(
            matches!(wire.hear(), Heard::Packet(payload) if payload.starts_with(b"\xfe")),
            "no other method asked for"
        );
        3
    }
    let proof = |what, proof: &'static [u8], out_of_order: u8| {
        Wrong::login(what, move |wire, greeting| {
            let sequence = switched(wire, greeting) + out_of_order;
            wire.send_as(sequence, proof);
            wire.hear()
        })
    };
    vec![
        proof("garbage as proof by another method", &[9; 33], 0),
        proof("a wrong proof by another method", &[9; 20], 0),
        proof("no proof by another method", b"", 0),
        proof("a proof by another method, out of order", &[9; 20], 6),
    ]
}

/// A right response, damaged on its way.
fn cuts() -> Vec<Wrong> {
    let mut all = Vec::new();
    for sequence in [0, 2, 255] {
        all.push(Wrong::login(format!("a right response with sequence id {sequence}"), move |wire, greeting| {
            wire.send_as(sequence, &encoded(greeting));
            wire.hear()
        }));
    }
    let cut = |what: String, len: usize| {
        Wrong::login(what, move |wire, greeting| {
            wire.send_as(1, &encoded(greeting)[..len]);
            wire.hear()
        })
    };
    // Capabilities, packet size, collation, filler; user; proof with its length; schema; method.
    for len in [1, 2, 4, 8, 31, 32, 33, 36, 40, 56] {
        all.push(cut(format!("a right response cut after {len} bytes"), len));
    }
    all.push(cut("a right response without its schema".into(), 57));
    all.push(cut("a right response cut in the name of its method".into(), 70));
    all
}

fn encoded(greeting: &Greeting) -> Vec<u8> {
    let mut payload = Vec::new();
    response(greeting).encode(&mut payload);
    payload
}
