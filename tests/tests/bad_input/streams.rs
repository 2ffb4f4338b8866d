//! Streams of bytes that nobody thought of: from a seed, in many connections at once.

use std::net::SocketAddr;
use std::time::Duration;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::frame::write_packet;
use weir_core::rng::Rng;
use weir_tests::wire::response;
use weir_tests::{TestCluster, Weir, Wire, eventually};

/// Each is one connection.
const STREAMS: u64 = 1200;
const THREADS: u64 = 8;
/// The longest stream of pure noise, in bytes.
const NOISE_BYTES_MAX: u64 = 32 << 10;

/// What kind of stream a seed stands for.
const KINDS: [fn(&mut Rng, SocketAddr) -> Wire; 5] =
    [noise_for_a_login, damaged_login, noise_for_commands, commands_of_noise, damaged_commands];

/// Sends all streams, then asks whether anything is left of them.
pub(crate) fn harm_nobody(_: &TestCluster, weir: &Weir) {
    let address = weir.address();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope
                .spawn(move || (thread..STREAMS).step_by(THREADS as usize).for_each(|seed| send_stream(seed, address)));
        }
    });
    let mut client = Wire::login(address);
    assert_eq!(client.value("SELECT 1"), "1");
    eventually(Duration::from_secs(10), "only this client is left", || {
        let status = client.query("SHOW WEIR STATUS").expect("the gateway's status");
        status.rows.iter().any(|row| row[..] == [Some(b"Client_connections".to_vec()), Some(b"1".to_vec())])
    });
}

/// However it goes wrong, the connection ends once the client has said all it wanted to.
fn send_stream(seed: u64, address: SocketAddr) {
    let mut rng = Rng::new(seed);
    let kind = seed as usize % KINDS.len();
    let mut wire = KINDS[kind](&mut rng, address);
    wire.finish();
    assert!(wire.hear_end(), "stream {seed} of kind {kind} has no end");
}

fn bytes(rng: &mut Rng, len: u64) -> Vec<u8> {
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let len = rng.below(NOISE_BYTES_MAX);
    bytes(rng, len)
}

/// Flips some bits, and sometimes cuts the end off.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        let at = rng.index(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
    }
    if rng.chance(0.3) {
        bytes.truncate(rng.index(bytes.len()));
    }
}

fn noise_for_a_login(rng: &mut Rng, address: SocketAddr) -> Wire {
    let mut wire = Wire::connect(address);
    let noise = noise(rng);
    wire.send_bytes(&noise);
    wire
}

fn damaged_login(rng: &mut Rng, address: SocketAddr) -> Wire {
    let (mut wire, greeting) = Wire::greeted(address);
    let (mut payload, mut stream) = (Vec::new(), Vec::new());
    response(&greeting).encode(&mut payload);
    if rng.chance(0.5) {
        damage(rng, &mut payload);
    }
    write_packet(&mut stream, &mut 1, &payload);
    damage(rng, &mut stream);
    wire.send_bytes(&stream);
    wire
}

fn noise_for_commands(rng: &mut Rng, address: SocketAddr) -> Wire {
    let mut wire = Wire::login(address);
    let noise = noise(rng);
    wire.send_bytes(&noise);
    wire
}

/// Rightly framed packets of noise, all sent before the first is answered.
fn commands_of_noise(rng: &mut Rng, address: SocketAddr) -> Wire {
    let mut wire = Wire::login(address);
    for _ in 0..rng.below(12) {
        let len = rng.below(40);
        let mut payload = bytes(rng, len);
        if let Some(first) = payload.first_mut() {
            *first = COMMANDS[rng.index(COMMANDS.len())];
        }
        wire.send_as(0, &payload);
    }
    wire
}

/// The commands that are served, COM_QUIT left out.
const COMMANDS: [u8; 14] = [2, 3, 4, 9, 0x0e, 0x11, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1f];

/// What a driver says, in one piece, with something damaged.
fn damaged_commands(rng: &mut Rng, address: SocketAddr) -> Wire {
    let mut wire = Wire::login(address);
    let id = wire.prepare("SELECT ?, ?").expect("a statement").statement_id;
    let execute = ClientCommand::Execute { statement_id: id, body: b"\0\x01\0\0\0\0\x01\x01\0\xfd\0\x01\x03abc" };
    let said = [
        ClientCommand::Query(b"SELECT 'a', 1 + 1 /* comment */ FROM DUAL"),
        ClientCommand::SendLongData { statement_id: id, parameter: 1, data: b"some long data" },
        execute,
        ClientCommand::Query(b"START TRANSACTION"),
        ClientCommand::ResetStatement { statement_id: id },
        execute,
        ClientCommand::InitDb(b"information_schema"),
        ClientCommand::Prepare(b"SELECT 1"),
        ClientCommand::CloseStatement { statement_id: id },
        ClientCommand::ResetConnection,
    ];
    let mut stream = Vec::new();
    for command in said {
        let mut payload = Vec::new();
        command.encode(&mut payload);
        write_packet(&mut stream, &mut 0, &payload);
    }
    damage(rng, &mut stream);
    wire.send_bytes(&stream);
    wire
}
