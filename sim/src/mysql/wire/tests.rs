//! A client built from the codec talks to the model, byte by byte.

use super::*;
use crate::mysql::{Config, Output, Storage};
use weir_core::gtid::Flavor;
use weir_core::mysql::auth::Proof;
use weir_core::mysql::capability::{ASKED_OF_SERVERS, MariaDbCapabilities};
use weir_core::mysql::frame::write_with;
use weir_core::mysql::handshake::{Attributes, ClientConfig, ClientEvent, ClientHandshake, RsaKey, TlsMode};
use weir_core::mysql::packet::OkPacket;
use weir_core::mysql::resultset::{Answer as Reply, ResultReader};

struct Client {
    server: Server,
    link: Link,
    capabilities: CapabilityFlags,
}

fn client(password: &str) -> Result<Client, u16> {
    let mut server = Server::start(Instant::ZERO, Config::new(Flavor::MariaDb, 1), Storage::default());
    let users = Rc::new(Users::new(&[("app", "secret", true)]));
    let mut link = Link::new(&mut server, &users, &mut Rng::new(1));
    let capabilities = ASKED_OF_SERVERS | CapabilityFlags::CLIENT_MULTI_STATEMENTS;
    let mut handshake = ClientHandshake::new(ClientConfig {
        user: b"app".to_vec(),
        proof: Proof::Password(Secret::new(password.as_bytes())),
        schema: Some(b"test".to_vec()),
        capabilities,
        of_mariadb: MariaDbCapabilities::empty(),
        collation: 45,
        max_packet_bytes: 1 << 24,
        attributes: Attributes::default(),
        transport: Transport::Plain,
        tls: TlsMode::Disabled,
        rsa_key: RsaKey::Refused,
    });
    for _ in 0..10 {
        let greeting = core::mem::take(link.output());
        // One byte at a time: the wire may cut anywhere.
        greeting.iter().for_each(|byte| {
            handshake.handle_bytes(core::slice::from_ref(byte));
        });
        match handshake.poll_event() {
            Some(ClientEvent::Ready(info)) => {
                return Ok(Client { server, link, capabilities: info.capabilities });
            }
            Some(ClientEvent::Failed(error)) => return Err(error.code),
            _ => {}
        }
        let mut response = Vec::new();
        handshake.poll_transmit(&mut response);
        link.handle_bytes(&mut server, Instant::ZERO, &response);
    }
    panic!("the handshake has no end");
}

impl Client {
    fn send(&mut self, payload: &[u8]) {
        let mut packet = Vec::new();
        write_with(&mut packet, &mut 0, |out| out.extend_from_slice(payload));
        let taken = self.link.handle_bytes(&mut self.server, Instant::ZERO, &packet);
        assert_eq!(taken, packet.len());
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Sync { token } => self.server.synced(Instant::ZERO, token),
                Output::Done { outcome, .. } => self.link.handle_outcome(&mut self.server, Instant::ZERO, outcome),
                other => panic!("{other:?}"),
            }
        }
    }

    fn query(&mut self, sql: &str) -> Vec<Reply> {
        self.send(&[b"\x03", sql.as_bytes()].concat());
        let bytes = core::mem::take(self.link.output());
        let mut packets = PacketReader::new(1 << 20);
        packets.expect_sequence(1);
        let mut input = &bytes[..];
        let mut replies = Vec::new();
        let mut reader = ResultReader::new(self.capabilities, 1 << 20);
        while let Some(packet) = packets.next(&mut input).unwrap() {
            if let Some(reply) = reader.feed(packet.payload).unwrap() {
                replies.push(reply);
                reader = ResultReader::new(self.capabilities, 1 << 20);
            }
        }
        replies
    }
}

#[test]
fn a_client_logs_in_and_a_wrong_password_does_not() {
    assert!(client("secret").is_ok());
    assert_eq!(client("wrong").err(), Some(1045));
}

#[test]
fn several_statements_answer_one_after_the_other() {
    let mut client = client("secret").unwrap();
    let replies = client.query("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2); SELECT * FROM t");
    assert_eq!(replies.len(), 3);
    assert!(matches!(&replies[1], Reply::Ok(OkPacket { affected_rows: 2, .. })));
    let Reply::Rows(rows, ok) = &replies[2] else { panic!("rows") };
    assert_eq!(rows.rows, [[Some(b"1".to_vec())], [Some(b"2".to_vec())]]);
    assert_eq!(ok.status & 0x0008, 0);
}

#[test]
fn an_error_ends_the_packet_and_names_itself() {
    let mut client = client("secret").unwrap();
    let replies = client.query("SELECT * FROM nowhere; SELECT 1");
    let [Reply::Err(error)] = replies.as_slice() else { panic!("one error: {replies:?}") };
    assert_eq!((error.code, &error.sqlstate), (1146, b"42S02"));
}

#[test]
fn trackers_ride_on_the_ok() {
    let mut client = client("secret").unwrap();
    let replies = client.query("SET session_track_system_variables = '*'; SET sql_safe_updates = 1");
    let Reply::Ok(ok) = &replies[1] else { panic!("an OK") };
    let changes: Vec<_> = ok.session_state().collect::<Result<_, _>>().unwrap();
    assert!(!changes.is_empty());
}

#[test]
fn a_prepared_statement_takes_parameters_and_answers_in_binary() {
    use weir_core::mysql::binary::Value as Wire;
    use weir_core::mysql::execute::encode_parameters;
    use weir_core::mysql::resultset::parse_binary_row;

    let mut client = client("secret").unwrap();
    client.query("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9)); INSERT INTO t VALUES (7, 'seven')");
    client.send(b"\x16SELECT id, s FROM t WHERE id = ?");
    client.link.output().clear();
    let mut execute = b"\x17\x01\0\0\0".to_vec();
    encode_parameters(0, &[Wire::Int(7)], &mut execute);
    client.send(&execute);
    let bytes = core::mem::take(client.link.output());
    let mut packets = PacketReader::new(1 << 20);
    packets.expect_sequence(1);
    let (mut input, mut payloads) = (&bytes[..], Vec::new());
    while let Some(packet) = packets.next(&mut input).unwrap() {
        payloads.push(packet.payload.to_vec());
    }
    use weir_core::mysql::column::ColumnDefinition;
    let columns: Vec<_> =
        payloads[1..3].iter().map(|p| ColumnDefinition::parse(p, MariaDbCapabilities::empty()).unwrap()).collect();
    let row = parse_binary_row(&payloads[3], &columns).unwrap();
    assert_eq!(row, [Wire::Int(7), Wire::Bytes(b"seven".to_vec())]);
}

#[test]
fn what_is_not_served_is_refused() {
    let mut client = client("secret").unwrap();
    client.send(b"\x1f\x01");
    assert!(!client.link.is_closed());
    client.send(b"\x01");
    assert!(client.link.is_closed());
}
