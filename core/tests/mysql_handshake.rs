//! Both handshake machines, back to back, over a wire that cuts bytes anywhere.

use proptest::prelude::*;
use weir_core::error::{Component, Error, Kind};
use weir_core::mysql::auth::{AuthPlugin, Credential, Nonce, Proof, Secret, caching_sha2, ed25519, native};
use weir_core::mysql::capability::{
    ASKED_OF_MARIADB, ASKED_OF_SERVERS, CapabilityFlags, MariaDbCapabilities, offered_as_mariadb,
};
use weir_core::mysql::frame::write_with;
use weir_core::mysql::handshake::{
    ClientConfig, ClientEvent, ClientHandshake, ClientInfo, HandshakeResponse, RsaKey, ServerConfig, ServerEvent,
    ServerHandshake, ServerInfo, TlsMode, Transport, encode_switch,
};
use weir_core::mysql::packet::{OkHeader, OkPacket};

const PUBLIC_KEY: &[u8] = b"-----BEGIN PUBLIC KEY-----";
/// `PASSWORD('secret')`.
const NATIVE_HASH: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";

fn server_config() -> ServerConfig {
    ServerConfig {
        server_version: "5.5.5-10.11.6-MariaDB".into(),
        of_mariadb: offered_as_mariadb("10.11.6-MariaDB"),
        connection_id: 7,
        nonce: Nonce::from_random(*b"\x00$cdefghijklmnopqrst"),
        collation: 45,
        plugin: AuthPlugin::Native,
        transport: Transport::Plain,
        tls_available: false,
        compression: false,
        query_attributes: false,
        tls_required: false,
        rsa_public_key: None,
        client_host: "localhost".into(),
    }
}

fn client_config(password: &str) -> ClientConfig {
    ClientConfig {
        user: b"app".to_vec(),
        proof: Proof::Password(Secret::new(password)),
        schema: Some(b"test".to_vec()),
        capabilities: ASKED_OF_SERVERS,
        of_mariadb: ASKED_OF_MARIADB,
        collation: 45,
        max_packet_bytes: 1 << 24,
        attributes: vec![(b"program_name".to_vec(), b"weir".to_vec())],
        transport: Transport::Plain,
        tls: TlsMode::Disabled,
        rsa_key: RsaKey::FromServer,
    }
}

fn both_hashes() -> Credential {
    Credential::from_password(&Secret::new(*b"secret"))
}

fn native_hash() -> Credential {
    Credential::from_native_hash(NATIVE_HASH).expect("a stored hash")
}

fn sha2_hash() -> Credential {
    Credential::from_sha2_hash(caching_sha2::stored_hash(b"secret"))
}

/// Both ends, the bytes between them, and the driver's side of the events.
struct Pair {
    server: ServerHandshake,
    client: ClientHandshake,
    credential: Option<Credential>,
    password: Vec<u8>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// How many bytes arrive at once, step by step; all of them once these are used up.
    cuts: Vec<usize>,
    verdict: Option<Result<ClientInfo, Error>>,
    outcome: Option<Result<ServerInfo, Error>>,
    tls_started: bool,
    rsa_used: bool,
    password_seen_on_plain_wire: bool,
}

impl Pair {
    fn new(server: ServerConfig, client: ClientConfig, credential: Option<Credential>, cuts: Vec<usize>) -> Self {
        Self {
            password: client.proof.password().expect("it is known").expose().to_vec(),
            server: ServerHandshake::new(server),
            client: ClientHandshake::new(client),
            credential,
            to_server: Vec::new(),
            to_client: Vec::new(),
            cuts,
            verdict: None,
            outcome: None,
            tls_started: false,
            rsa_used: false,
            password_seen_on_plain_wire: false,
        }
    }

    /// Runs until neither end has anything left to do.
    fn run(mut self) -> Self {
        const STEPS_MAX: usize = 1000;
        for _ in 0..STEPS_MAX {
            self.server.poll_transmit(&mut self.to_client);
            self.client.poll_transmit(&mut self.to_server);
            self.watch_the_wire();
            self.server_event();
            self.client_event();
            let arrived = self.cut(self.to_client.len());
            let consumed = self.client.handle_bytes(&self.to_client[..arrived]);
            self.to_client.drain(..consumed);
            let arrived = self.cut(self.to_server.len());
            let consumed = self.server.handle_bytes(&self.to_server[..arrived]);
            self.to_server.drain(..consumed);
        }
        self
    }

    fn cut(&mut self, available: usize) -> usize {
        self.cuts.pop().map_or(available, |cut| cut.min(available))
    }

    fn watch_the_wire(&mut self) {
        if !self.tls_started && self.password.len() >= 4 {
            let mut windows = self.to_server.windows(self.password.len());
            self.password_seen_on_plain_wire |= windows.any(|window| window == self.password);
        }
    }

    fn server_event(&mut self) {
        match self.server.poll_event() {
            None => {}
            Some(ServerEvent::StartTls) => {
                self.tls_started = true;
                self.server.tls_started();
            }
            Some(ServerEvent::Lookup { user }) => {
                assert_eq!(user, b"app");
                self.server.credential(self.credential.take());
            }
            Some(ServerEvent::DecryptRsa { ciphertext }) => {
                // The driver's RSA is one byte in front here.
                self.rsa_used = true;
                self.server.decrypted(ciphertext.strip_prefix(b"R").map(Secret::new));
            }
            Some(ServerEvent::Authenticated(info)) => {
                let mut sequence = info.next_sequence;
                let ok = OkPacket { status: 2, ..OkPacket::default() };
                write_with(&mut self.to_client, &mut sequence, |out| ok.encode(out, OkHeader::Ok, info.capabilities));
                self.verdict = Some(Ok(*info));
            }
            Some(ServerEvent::Rejected(error)) => self.verdict = Some(Err(error)),
        }
    }

    fn client_event(&mut self) {
        match self.client.poll_event() {
            None => {}
            Some(ClientEvent::StartTls) => self.client.tls_started(),
            Some(ClientEvent::EncryptRsa { pem, plaintext }) => {
                assert_eq!(pem, PUBLIC_KEY);
                self.client.encrypted(Some([b"R", plaintext.expose()].concat()));
            }
            Some(ClientEvent::Ready(info)) => self.outcome = Some(Ok(*info)),
            Some(ClientEvent::Failed(error)) => self.outcome = Some(Err(error)),
        }
    }

    fn refusal(&self) -> &Error {
        self.verdict.as_ref().expect("a verdict").as_ref().expect_err("refused")
    }

    fn failure(&self) -> &Error {
        self.outcome.as_ref().expect("an outcome").as_ref().expect_err("failed")
    }

    #[track_caller]
    fn assert_accepted(&self) {
        let info = self.verdict.as_ref().expect("a verdict").as_ref().expect("accepted");
        assert_eq!((info.user.as_slice(), info.schema.as_deref()), (&b"app"[..], Some(&b"test"[..])));
        assert_eq!(info.attributes, [(b"program_name".to_vec(), b"weir".to_vec())]);
        let server = self.outcome.as_ref().expect("an outcome").as_ref().expect("ready");
        assert_eq!((server.version.as_slice(), server.connection_id), (&b"10.11.6-MariaDB"[..], 7));
        assert_eq!((server.capabilities, server.transport), (info.capabilities, info.transport));
        assert!(self.to_client.is_empty() && self.to_server.is_empty(), "no byte is left over");
    }

    #[track_caller]
    fn assert_denied(&self, using_password: &str) {
        let message = format!("Access denied for user 'app'@'localhost' (using password: {using_password})");
        for error in [self.refusal(), self.failure()] {
            assert_eq!((error.code, &error.sqlstate), (1045, b"28000"));
            assert_eq!(String::from_utf8_lossy(&error.message), message);
        }
    }
}

fn plugin() -> impl Strategy<Value = AuthPlugin> {
    prop_oneof![Just(AuthPlugin::Native), Just(AuthPlugin::CachingSha2)]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Plain), Just(Transport::UnixSocket)]
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..64, 0..200)
}

proptest! {
    #[test]
    fn the_right_password_opens_and_a_wrong_one_does_not(
        plugin in plugin(),
        transport in transport(),
        credential in prop_oneof![Just(both_hashes()), Just(native_hash()), Just(sha2_hash())],
        tls in any::<bool>(),
        right in any::<bool>(),
        cuts in cuts(),
    ) {
        let password = if right { "secret" } else { "Secret" };
        let server = ServerConfig {
            plugin, transport, tls_available: tls, rsa_public_key: Some(PUBLIC_KEY.into()), ..server_config()
        };
        let client = ClientConfig { transport, tls: TlsMode::Preferred, ..client_config(password) };
        let pair = Pair::new(server, client, Some(credential), cuts).run();
        if right { pair.assert_accepted() } else { pair.assert_denied("YES") }
        if transport == Transport::Plain {
            prop_assert!(!pair.password_seen_on_plain_wire);
            prop_assert_eq!(pair.tls_started, tls);
        }
    }

    #[test]
    fn an_unknown_user_is_refused_like_a_wrong_password(plugin in plugin(), cuts in cuts()) {
        let server = ServerConfig { plugin, ..server_config() };
        Pair::new(server.clone(), client_config("secret"), None, cuts.clone()).run().assert_denied("YES");
        Pair::new(server, client_config(""), None, cuts).run().assert_denied("NO");
    }

    #[test]
    fn garbage_never_breaks_the_gateways_end(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8),
        framed in any::<bool>(),
        found in any::<bool>(),
    ) {
        let mut server = ServerHandshake::new(ServerConfig { tls_available: true, ..server_config() });
        let mut sequence = 1;
        for piece in pieces {
            let mut input = piece.clone();
            if framed {
                input.clear();
                write_with(&mut input, &mut sequence, |out| out.extend_from_slice(&piece));
            }
            prop_assert!(server.handle_bytes(&input) <= input.len());
            match server.poll_event() {
                Some(ServerEvent::StartTls) => server.tls_started(),
                Some(ServerEvent::Lookup { .. }) => server.credential(found.then(both_hashes)),
                Some(ServerEvent::DecryptRsa { .. }) => server.decrypted(None),
                Some(ServerEvent::Authenticated(_)) => prop_assert!(false, "garbage is no password"),
                Some(ServerEvent::Rejected(_)) | None => {}
            }
        }
    }

    #[test]
    fn garbage_never_breaks_the_tablets_end(
        greet in any::<bool>(),
        pieces in prop::collection::vec(
            (prop_oneof![Just(0x00), Just(0x01), Just(0xfe), Just(0xff), any::<u8>()],
             prop::collection::vec(any::<u8>(), 0..80)),
            0..8,
        ),
    ) {
        let mut client = ClientHandshake::new(client_config("secret"));
        let mut sequence = 0;
        if greet {
            let mut greeting = Vec::new();
            ServerHandshake::new(server_config()).poll_transmit(&mut greeting);
            client.handle_bytes(&greeting);
            sequence = 2;
        }
        for (first, rest) in pieces {
            let mut input = Vec::new();
            write_with(&mut input, &mut sequence, |out| {
                out.push(first);
                out.extend_from_slice(&rest);
            });
            prop_assert!(client.handle_bytes(&input) <= input.len());
            // Whatever the machine answers takes the next sequence id.
            sequence = sequence.wrapping_add(u8::from(client.poll_transmit(&mut Vec::new())));
            match client.poll_event() {
                Some(ClientEvent::StartTls) => client.tls_started(),
                Some(ClientEvent::EncryptRsa { .. }) => client.encrypted(None),
                _ => {}
            }
        }
    }
}

/// What a client that sends `input` is told: as the session sees it, and on the wire.
fn rejection(input: &[u8]) -> (Error, Vec<u8>) {
    let mut server = ServerHandshake::new(server_config());
    let (mut greeting, mut answer) = (Vec::new(), Vec::new());
    assert!(server.poll_transmit(&mut greeting));
    server.handle_bytes(input);
    let Some(ServerEvent::Rejected(error)) = server.poll_event() else { panic!("not rejected") };
    assert!(server.poll_transmit(&mut answer), "the client is told");
    assert_eq!(server.handle_bytes(b"more"), 0, "nothing more is read");
    assert_eq!(server.poll_event(), None);
    (error, answer)
}

#[test]
fn a_wrong_sequence_id_is_answered_where_the_client_reads_it() {
    let (error, answer) = rejection(b"\x01\0\0\x05x");
    assert_eq!(error.to_string(), "ERROR 1156 (08S01): Got packets out of order");
    assert_eq!(answer[3], 6);
}

#[test]
fn an_oversize_response_is_refused_at_its_header() {
    let (error, answer) = rejection(b"\xff\xff\xff\x01");
    assert_eq!(error.to_string(), "ERROR 1153 (08S01): Got a packet bigger than 'max_allowed_packet' bytes");
    assert_eq!(answer[3], 2);
}

#[test]
fn garbage_is_a_bad_handshake() {
    let (error, _) = rejection(b"\x06\0\0\x01\x00\x02\x00\x00\x01\x02");
    assert_eq!(error.to_string(), "ERROR 1043 (08S01): Bad handshake");
}

/// What a client with this user name and answer to the challenge of `mysql_native_password` is told.
fn denial(user: &[u8], auth_response: &[u8]) -> Error {
    let response = HandshakeResponse {
        capabilities: ASKED_OF_SERVERS,
        of_mariadb: MariaDbCapabilities::empty(),
        max_packet_bytes: 1 << 24,
        collation: 45,
        user: user.to_vec(),
        auth_response: Secret::new(auth_response),
        schema: None,
        plugin: Some(AuthPlugin::Native.name().to_vec()),
        attributes: Vec::new(),
    };
    let mut server = ServerHandshake::new(server_config());
    let mut bytes = Vec::new();
    write_with(&mut bytes, &mut 1, |out| response.encode(out));
    server.handle_bytes(&bytes);
    assert!(matches!(server.poll_event(), Some(ServerEvent::Lookup { .. })));
    server.credential(Some(both_hashes()));
    let Some(ServerEvent::Rejected(error)) = server.poll_event() else { panic!("not rejected") };
    error
}

#[test]
fn a_native_answer_has_one_length_or_none() {
    assert_eq!(denial(b"app", &[1; native::HASH_BYTES]).code, 1045);
    assert_eq!(denial(b"app", b"").code, 1045);
    for len in [1, native::HASH_BYTES - 1, native::HASH_BYTES + 1, 200] {
        assert_eq!(denial(b"app", &vec![1; len]).code, 1043, "{len} bytes");
    }
}

#[test]
fn a_denial_repeats_no_more_of_a_name_than_a_server_does() {
    let error = denial(&[b'u'; 60_000], b"");
    assert!(error.message.len() < 250, "{} bytes", error.message.len());
}

#[test]
fn a_client_before_4_1_is_told_so_without_a_sqlstate() {
    let (error, answer) = rejection(b"\x09\0\0\x01\x85\x24\0\0\0old\0");
    assert_eq!((error.code, &error.sqlstate), (1251, b"08004"));
    assert_eq!(&answer[4..10], b"\xff\xe3\x04Cli");
}

#[test]
fn tls_can_be_required_by_the_gateway() {
    let server = ServerConfig { tls_required: true, tls_available: true, ..server_config() };
    let refused = Pair::new(server.clone(), client_config("secret"), Some(both_hashes()), vec![]).run();
    assert_eq!(refused.refusal().code, 3159);
    let client = ClientConfig { tls: TlsMode::Required, ..client_config("secret") };
    let accepted = Pair::new(server, client, Some(both_hashes()), vec![]).run();
    accepted.assert_accepted();
    assert!(accepted.tls_started);
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_required() {
    let client = ClientConfig { tls: TlsMode::Required, ..client_config("secret") };
    let pair = Pair::new(server_config(), client, Some(both_hashes()), vec![]).run();
    assert_eq!(pair.failure().code, Kind::TlsRequired.code().0);
    assert_eq!(pair.failure().component, Component::Tablet);
    assert!(pair.to_server.is_empty(), "nothing was sent");
}

#[test]
fn the_password_goes_encrypted_or_not_at_all_over_plain_tcp() {
    let rsa_public_key = Some(PUBLIC_KEY.into());
    let server = ServerConfig { plugin: AuthPlugin::CachingSha2, rsa_public_key, ..server_config() };
    let run = |server: &ServerConfig, rsa_key| {
        let client = ClientConfig { rsa_key, ..client_config("secret") };
        Pair::new(server.clone(), client, Some(native_hash()), vec![]).run()
    };
    for rsa_key in [RsaKey::FromServer, RsaKey::Known(PUBLIC_KEY.into())] {
        let pair = run(&server, rsa_key);
        pair.assert_accepted();
        assert!(pair.rsa_used);
    }
    assert_eq!(run(&server, RsaKey::Refused).failure().code, 1251);
    let keyless = ServerConfig { rsa_public_key: None, ..server };
    run(&keyless, RsaKey::FromServer).assert_denied("YES");
}

#[test]
fn an_empty_password_opens_only_an_account_without_one() {
    for plugin in [AuthPlugin::Native, AuthPlugin::CachingSha2] {
        let server = ServerConfig { plugin, ..server_config() };
        let empty = Credential::from_password(&Secret::default());
        Pair::new(server.clone(), client_config(""), Some(empty.clone()), vec![]).run().assert_accepted();
        Pair::new(server.clone(), client_config("secret"), Some(empty), vec![]).run().assert_denied("YES");
        Pair::new(server, client_config(""), Some(both_hashes()), vec![]).run().assert_denied("NO");
    }
}

#[test]
fn a_client_without_plugins_answers_by_the_native_method() {
    let run = |credential| {
        let capabilities = ASKED_OF_SERVERS - CapabilityFlags::CLIENT_PLUGIN_AUTH;
        let client = ClientConfig { capabilities, ..client_config("secret") };
        Pair::new(server_config(), client, Some(credential), vec![]).run()
    };
    run(both_hashes()).assert_accepted();
    assert_eq!(run(sha2_hash()).refusal().code, 1251);
}

#[test]
fn an_error_in_place_of_a_greeting_is_the_outcome() {
    let mut client = ClientHandshake::new(client_config("secret"));
    let mut input = Vec::new();
    write_with(&mut input, &mut 0, |out| out.extend_from_slice(b"\xff\x10\x04Too many connections"));
    client.handle_bytes(&input);
    let Some(ClientEvent::Failed(error)) = client.poll_event() else { panic!("not failed") };
    assert_eq!((error.code, error.message.as_slice()), (1040, &b"Too many connections"[..]));
}

#[test]
fn a_switch_to_ed25519_is_answered_with_a_signature() {
    let mut client = ClientHandshake::new(client_config("secret"));
    let (mut to_client, mut answer) = (Vec::new(), Vec::new());
    ServerHandshake::new(server_config()).poll_transmit(&mut to_client);
    // MariaDB ends this challenge with no NUL of its own; here it happens to have one.
    let challenge = [[b'c'; 31].as_slice(), b"\0"].concat();
    write_with(&mut to_client, &mut 2, |out| {
        encode_switch(AuthPlugin::Ed25519.name(), &challenge[..31], out);
    });
    client.handle_bytes(&to_client);
    client.poll_transmit(&mut answer);
    let signature = ed25519::sign(&Secret::new(*b"secret"), &challenge).expect("a signature");
    assert!(answer.ends_with(&signature));
}

#[test]
fn bytes_after_a_request_for_tls_are_left_for_the_tls_layer() {
    let mut server = ServerHandshake::new(ServerConfig { tls_available: true, ..server_config() });
    let mut client = ClientHandshake::new(ClientConfig { tls: TlsMode::Required, ..client_config("secret") });
    let (mut greeting, mut request) = (Vec::new(), Vec::new());
    server.poll_transmit(&mut greeting);
    client.handle_bytes(&greeting);
    client.poll_transmit(&mut request);
    let request_bytes = request.len();
    request.extend_from_slice(b"\x16\x03\x01 client hello");
    assert_eq!(server.handle_bytes(&request), request_bytes);
    assert_eq!(server.poll_event(), Some(ServerEvent::StartTls));
    assert_eq!(server.handle_bytes(&request[request_bytes..]), 0);
}

#[test]
fn bytes_after_the_response_are_left_for_the_session() {
    let mut server = ServerHandshake::new(server_config());
    let mut client = ClientHandshake::new(client_config("secret"));
    let (mut greeting, mut response) = (Vec::new(), Vec::new());
    server.poll_transmit(&mut greeting);
    client.handle_bytes(&greeting);
    client.poll_transmit(&mut response);
    let response_bytes = response.len();
    response.extend_from_slice(b"\x01\0\0\0\x0e");
    assert_eq!(server.handle_bytes(&response), response_bytes);
    assert!(matches!(server.poll_event(), Some(ServerEvent::Lookup { .. })));
    server.credential(Some(both_hashes()));
    assert!(matches!(server.poll_event(), Some(ServerEvent::Authenticated(_))));
    assert_eq!(server.handle_bytes(&response[response_bytes..]), 0);
}

/// Changes the user of a connection to one with the password "secret": the client answers the new challenge with `password`.
fn change_user(password: &[u8]) -> ServerEvent {
    let response = HandshakeResponse {
        capabilities: ASKED_OF_SERVERS,
        of_mariadb: MariaDbCapabilities::empty(),
        max_packet_bytes: 1 << 24,
        collation: 255,
        user: b"app".to_vec(),
        auth_response: Secret::new(native::scramble(password, b"the challenge of the greeting")),
        schema: Some(b"other".to_vec()),
        plugin: Some(AuthPlugin::Native.name().to_vec()),
        attributes: Vec::new(),
    };
    let nonce = server_config().nonce;
    let mut server = ServerHandshake::change_user(server_config(), response, 1);
    assert_eq!(server.poll_event(), Some(ServerEvent::Lookup { user: b"app".to_vec() }));
    server.credential(Some(both_hashes()));
    let (mut switch, mut answer) = (Vec::new(), Vec::new());
    assert!(server.poll_transmit(&mut switch));
    assert_eq!(switch[3], 1, "the answer to a command starts with 1");
    write_with(&mut answer, &mut 2, |out| out.extend_from_slice(&native::scramble(password, nonce.bytes())));
    assert_eq!(server.handle_bytes(&answer), answer.len());
    server.poll_event().expect("a verdict")
}

#[test]
fn a_change_of_user_is_challenged_anew() {
    let ServerEvent::Authenticated(info) = change_user(b"secret") else { panic!("refused") };
    assert_eq!((info.next_sequence, info.collation, info.schema), (3, 255, Some(b"other".to_vec())));
    assert_eq!(info.capabilities, ASKED_OF_SERVERS);
    let ServerEvent::Rejected(error) = change_user(b"Secret") else { panic!("accepted") };
    assert_eq!(error.code, 1045);
}

#[test]
fn nothing_secret_is_printed() {
    let server = ServerHandshake::new(server_config());
    let client = ClientHandshake::new(client_config("hunter2"));
    let printed = format!("{server:?} {client:?} {:?} {:?}", client_config("hunter2"), both_hashes());
    assert!(!printed.contains("hunter2"));
    assert!(printed.contains("Secret(..)"));
}
