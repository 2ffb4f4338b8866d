//! Properties of the wire codec: framing does not depend on how bytes arrive, what is written reads back, and no bytes
//! whatsoever break a parser.

use proptest::collection::vec;
use proptest::prelude::*;
use weir_core::error::{Component, Effect, Error};
use weir_core::mysql::auth::Secret;
use weir_core::mysql::binary::Value;
use weir_core::mysql::capability::{CLIENT_MYSQL, CapabilityFlags, ColumnFlags, ColumnType, MariaDbCapabilities};
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::execute::{Execute, encode_parameters};
use weir_core::mysql::frame::{MAX_PAYLOAD_BYTES, PacketReader, write_packet, write_with};
use weir_core::mysql::handshake::{ATTRIBUTES_BYTES_MAX, Greeting, HandshakeResponse, ServerSays};
use weir_core::mysql::packet::{
    EofPacket, OkHeader, OkPacket, PrepareOk, encode_end_of_rows, encode_err, encode_local_infile, parse_end_of_rows,
    parse_err, parse_local_infile,
};
use weir_core::mysql::resultset::{
    Answer, ResultReader, TextResultSet, parse_binary_row, parse_text_row, write_binary_row,
};
use weir_core::mysql::session_state::{Change, SessionState, SessionStateBuilder};

const LIMIT_BYTES: usize = 64 * 1024;

/// Everything a reader says of `stream` when it arrives in pieces of these sizes (and the rest at once).
fn read_in_pieces(stream: &[u8], cuts: &[usize], limit_bytes: usize) -> (Vec<(Vec<u8>, u8)>, String) {
    let mut reader = PacketReader::new(limit_bytes);
    let mut packets = Vec::new();
    let mut rest = stream;
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let (mut piece, after) = rest.split_at(cut.min(rest.len()));
        rest = after;
        loop {
            match reader.next(&mut piece) {
                Ok(Some(packet)) => packets.push((packet.payload.to_vec(), packet.last_sequence)),
                Ok(None) => break,
                Err(error) => return (packets, error.to_string()),
            }
        }
        assert!(piece.is_empty(), "all of a piece is taken");
    }
    (packets, format!("between packets: {}", reader.is_between_packets()))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

/// Text that a NUL byte may end.
fn word() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 0..40)
}

fn some_word() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 1..40)
}

fn capabilities() -> impl Strategy<Value = CapabilityFlags> {
    any::<u32>().prop_map(CapabilityFlags::from_bits_retain)
}

fn change() -> impl Strategy<Value = (u8, Vec<u8>, Vec<u8>)> {
    (0..6u8, bytes(), bytes())
}

fn push(builder: &mut SessionStateBuilder, (kind, a, b): &(u8, Vec<u8>, Vec<u8>)) {
    match kind {
        0 => builder.variable(a, b),
        1 => builder.push(Change::Schema(a)),
        2 => builder.push(Change::StateChange(a.len() % 2 == 0)),
        3 => builder.push(Change::Gtids(a)),
        4 => builder.push(Change::TransactionCharacteristics(a)),
        _ => builder.push(Change::TransactionState(a)),
    }
}

fn ok_packet() -> impl Strategy<Value = OkPacket> {
    (any::<u64>(), any::<u64>(), any::<u16>(), any::<u16>(), bytes(), bytes()).prop_map(
        |(affected_rows, last_insert_id, status, warnings, info, session_state)| {
            let changed = 0x4000;
            let status = if session_state.is_empty() { status & !changed } else { status | changed };
            OkPacket { affected_rows, last_insert_id, status, warnings, info, session_state }
        },
    )
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    any::<u8>().prop_filter_map("a type", |byte| ColumnType::try_from(byte).ok())
}

fn column() -> impl Strategy<Value = ColumnDefinition> {
    let names = (bytes(), bytes(), bytes(), bytes(), bytes());
    let numbers = (any::<u16>(), any::<u32>(), column_type(), any::<u16>(), any::<u8>());
    (names, numbers).prop_map(
        |((schema, table, org_table, name, org_name), (collation, length_bytes, column_type, flags, decimals))| {
            let flags = ColumnFlags::from_bits_retain(flags);
            ColumnDefinition {
                schema,
                table,
                org_table,
                name,
                org_name,
                collation,
                length_bytes,
                column_type,
                flags,
                decimals,
            }
        },
    )
}

/// A value, and a column of its type.
fn value() -> impl Strategy<Value = (Value, ColumnDefinition)> {
    let column = |column_type| ColumnDefinition::new("c", column_type);
    prop_oneof![
        Just((Value::NULL, column(ColumnType::MYSQL_TYPE_LONGLONG))),
        any::<i64>().prop_map(move |v| (Value::Int(v), column(ColumnType::MYSQL_TYPE_LONGLONG))),
        any::<i32>().prop_map(move |v| (Value::Int(v.into()), column(ColumnType::MYSQL_TYPE_LONG))),
        any::<i8>().prop_map(move |v| (Value::Int(v.into()), column(ColumnType::MYSQL_TYPE_TINY))),
        any::<u16>().prop_map(move |v| {
            let mut column = column(ColumnType::MYSQL_TYPE_SHORT);
            column.flags |= ColumnFlags::UNSIGNED_FLAG;
            (Value::UInt(v.into()), column)
        }),
        prop::num::f32::NORMAL.prop_map(move |v| (Value::Float(v), column(ColumnType::MYSQL_TYPE_FLOAT))),
        prop::num::f64::NORMAL.prop_map(move |v| (Value::Double(v), column(ColumnType::MYSQL_TYPE_DOUBLE))),
        bytes().prop_map(move |v| (Value::Bytes(v), column(ColumnType::MYSQL_TYPE_VAR_STRING))),
        any::<(u16, u8, u8, u8, u8, u8, u32)>().prop_map(move |(y, mo, d, h, mi, s, us)| {
            (Value::Date(y, mo, d, h, mi, s, us), column(ColumnType::MYSQL_TYPE_DATETIME))
        }),
        any::<(bool, u32, u8, u8, u8, u32)>().prop_map(move |(negative, d, h, m, s, us)| {
            // A time of nothing at all has no sign on the wire.
            let negative = negative && (d, h, m, s, us) != (0, 0, 0, 0, 0);
            (Value::Time(negative, d, h, m, s, us), column(ColumnType::MYSQL_TYPE_TIME))
        }),
    ]
}

fn response() -> impl Strategy<Value = HandshakeResponse> {
    let names = (word(), vec(1..=255u8, 0..200), prop::option::of(some_word()), word());
    let attributes = vec((word(), word()), 0..5);
    (capabilities(), any::<u32>(), any::<u32>(), any::<u8>(), names, attributes).prop_map(
        |(capabilities, of_mariadb, max_packet_bytes, collation, (user, auth, schema, plugin), attributes)| {
            let has = |flag| capabilities.contains(flag);
            HandshakeResponse {
                capabilities,
                of_mariadb: MariaDbCapabilities::from_bits_retain(if has(CLIENT_MYSQL) { 0 } else { of_mariadb }),
                max_packet_bytes,
                collation: collation.into(),
                user,
                auth_response: Secret::new(auth),
                schema: schema.filter(|_| has(CapabilityFlags::CLIENT_CONNECT_WITH_DB)),
                plugin: has(CapabilityFlags::CLIENT_PLUGIN_AUTH).then_some(plugin),
                attributes: if has(CapabilityFlags::CLIENT_CONNECT_ATTRS) { attributes } else { Vec::new() },
            }
        },
    )
}

proptest! {
    #[test]
    fn packets_do_not_depend_on_how_bytes_arrive(
        payloads in vec(bytes(), 0..20),
        tail in bytes(),
        cuts in vec(0usize..100, 0..40),
    ) {
        let (mut stream, mut sequence) = (Vec::new(), 0);
        payloads.iter().for_each(|payload| write_packet(&mut stream, &mut sequence, payload));
        stream.extend_from_slice(&tail);
        let whole = read_in_pieces(&stream, &[], LIMIT_BYTES);
        prop_assert_eq!(&read_in_pieces(&stream, &cuts, LIMIT_BYTES), &whole);
        let ones = vec![1; stream.len()];
        prop_assert_eq!(&read_in_pieces(&stream, &ones, LIMIT_BYTES), &whole);
        let read = whole.0.iter().map(|(payload, _)| payload);
        prop_assert!(read.take(payloads.len()).eq(payloads.iter()));
    }

    #[test]
    fn arbitrary_bytes_read_the_same_however_they_arrive(stream in bytes(), cuts in vec(0usize..20, 0..40)) {
        prop_assert_eq!(read_in_pieces(&stream, &cuts, 100), read_in_pieces(&stream, &[], 100));
    }

    #[test]
    fn ok_packets_read_back(ok in ok_packet(), ends_rows in any::<bool>()) {
        let header = if ends_rows { OkHeader::EndOfRows } else { OkHeader::Ok };
        let tracking = CapabilityFlags::CLIENT_SESSION_TRACK;
        let mut out = Vec::new();
        ok.encode(&mut out, header, tracking);
        prop_assert_eq!(OkPacket::parse(&out, tracking), Ok(ok.clone()));

        let untracked = OkPacket { session_state: Vec::new(), status: ok.status & !0x4000, ..ok };
        out.clear();
        untracked.encode(&mut out, header, CapabilityFlags::empty());
        prop_assert_eq!(OkPacket::parse(&out, CapabilityFlags::empty()), Ok(untracked));
    }

    #[test]
    fn ends_of_rows_read_back(ok in ok_packet(), deprecate_eof in any::<bool>()) {
        let mut capabilities = CapabilityFlags::CLIENT_SESSION_TRACK;
        capabilities.set(CapabilityFlags::CLIENT_DEPRECATE_EOF, deprecate_eof);
        let mut out = Vec::new();
        encode_end_of_rows(&ok, &mut out, capabilities);
        let read = parse_end_of_rows(&out, capabilities).unwrap();
        if deprecate_eof {
            prop_assert_eq!(read, ok);
        } else {
            prop_assert_eq!((read.status, read.warnings), (ok.status & !0x4000, ok.warnings));
        }
    }

    #[test]
    fn small_packets_read_back(a in any::<u32>(), b in any::<u16>(), c in any::<u16>(), d in any::<u16>(), name in bytes()) {
        let (mut eof, mut prepare, mut infile) = (Vec::new(), Vec::new(), Vec::new());
        EofPacket { warnings: b, status: c }.encode(&mut eof);
        prop_assert_eq!(EofPacket::parse(&eof), Ok(EofPacket { warnings: b, status: c }));
        let ok = PrepareOk { statement_id: a, columns: b, parameters: c, warnings: d };
        ok.encode(&mut prepare);
        prop_assert_eq!(PrepareOk::parse(&prepare), Ok(ok));
        encode_local_infile(&name, &mut infile);
        prop_assert_eq!(parse_local_infile(&infile), Ok(&name[..]));
    }

    #[test]
    fn errors_read_back(code in any::<u16>(), sqlstate in any::<[u8; 5]>(), message in bytes()) {
        let error = Error { code, sqlstate, message, component: Component::Server, effect: Effect::Answered };
        let mut out = Vec::new();
        encode_err(&error, &mut out, CapabilityFlags::CLIENT_PROTOCOL_41);
        prop_assert_eq!(parse_err(&out), Ok(error));
    }

    #[test]
    fn session_state_reads_back_and_rebuilds(changes in vec(change(), 0..10)) {
        let mut builder = SessionStateBuilder::default();
        changes.iter().for_each(|change| push(&mut builder, change));
        let block = builder.finish();
        let mut again = SessionStateBuilder::default();
        SessionState::new(&block).for_each(|change| again.push(change.unwrap()));
        prop_assert_eq!(SessionState::new(&block).count(), changes.len());
        prop_assert_eq!(again.finish(), block);
    }

    #[test]
    fn columns_read_back(column in column(), extended: bool) {
        let mut of_mariadb = MariaDbCapabilities::STMT_BULK_OPERATIONS;
        of_mariadb.set(MariaDbCapabilities::EXTENDED_METADATA, extended);
        let mut out = Vec::new();
        column.encode(&mut out, of_mariadb);
        prop_assert_eq!(ColumnDefinition::parse(&out, of_mariadb), Ok(column));
    }

    #[test]
    fn text_result_sets_read_back(
        columns in vec(column(), 1..6),
        cells in vec(prop::option::of(bytes()), 0..40),
        ok in ok_packet(),
        deprecate_eof in any::<bool>(),
    ) {
        let rows = cells.chunks_exact(columns.len()).map(<[_]>::to_vec).collect();
        let result = TextResultSet { columns, rows };
        let mut capabilities = CapabilityFlags::CLIENT_SESSION_TRACK;
        capabilities.set(CapabilityFlags::CLIENT_DEPRECATE_EOF, deprecate_eof);
        let mut out = Vec::new();
        result.write(&mut out, &mut 1, &ok, capabilities);

        let (mut packets, mut reader) = (PacketReader::new(LIMIT_BYTES), ResultReader::new(capabilities, LIMIT_BYTES));
        packets.expect_sequence(1);
        let mut input = &out[..];
        let mut answer = None;
        while let Some(packet) = packets.next(&mut input).unwrap() {
            prop_assert!(answer.is_none(), "nothing follows the end");
            answer = reader.feed(packet.payload).unwrap();
        }
        let Some(Answer::Rows(read, end)) = answer else { panic!("rows") };
        prop_assert_eq!(read, result);
        prop_assert_eq!(end.warnings, ok.warnings);
    }

    #[test]
    fn binary_rows_read_back(cells in vec(value(), 1..20)) {
        let (values, columns): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
        let mut out = Vec::new();
        write_binary_row(&mut out, &mut 0, &columns, &values).unwrap();
        prop_assert_eq!(parse_binary_row(&out[4..], &columns), Ok(values));
    }

    #[test]
    fn parameters_read_back_with_and_without_their_types(cells in vec(value(), 0..20), flags in any::<u8>()) {
        let values: Vec<Value> = cells.into_iter().map(|(value, _)| value).collect();
        let mut body = Vec::new();
        encode_parameters(flags, &values, &mut body);
        let execute = Execute::parse(&body, values.len() as u16).unwrap();
        prop_assert_eq!(execute.parameters(None, |_| false), Ok(values.clone()));

        let mut again = Vec::new();
        Execute { types: None, ..execute }.encode(&mut again);
        let untyped = Execute::parse(&again, values.len() as u16).unwrap();
        prop_assert_eq!(untyped.with_types(execute.types), Some(body.clone()));
    }

    #[test]
    fn commands_read_back(byte in any::<u8>(), rest in bytes()) {
        let payload = [&[byte], &rest[..]].concat();
        if let Ok(command) = ClientCommand::parse(&payload) {
            let mut out = Vec::new();
            command.encode(&mut out);
            prop_assert!(payload.starts_with(&out), "nothing is made up");
            prop_assert_eq!(ClientCommand::parse(&out), Ok(command));
        }
    }

    #[test]
    fn greetings_read_back(
        version in word(), connection_id in any::<u32>(), nonce in vec(1..=255u8, 20..32), flags in capabilities(),
        collation in any::<u8>(), status in any::<u16>(), plugin in word(), of_mariadb in any::<u32>(),
    ) {
        // A challenge of more than 20 bytes needs its length, which comes with PLUGIN_AUTH.
        let capabilities = flags | CapabilityFlags::CLIENT_SECURE_CONNECTION | CapabilityFlags::CLIENT_PLUGIN_AUTH;
        let of_mariadb = if capabilities.contains(CLIENT_MYSQL) { 0 } else { of_mariadb };
        let of_mariadb = MariaDbCapabilities::from_bits_retain(of_mariadb);
        let server_version = version;
        let greeting =
            Greeting { server_version, connection_id, nonce, capabilities, of_mariadb, collation, status, plugin };
        let mut out = Vec::new();
        greeting.encode(&mut out);
        prop_assert_eq!(Greeting::parse(&out), Ok(greeting));
    }

    #[test]
    fn responses_read_back(response in response()) {
        let mut out = Vec::new();
        response.encode(&mut out);
        prop_assert_eq!(HandshakeResponse::parse(&out), Ok(response));
    }

    #[test]
    fn changes_of_user_read_back(response in response(), collation in any::<u16>(), schema in prop::option::of(some_word())) {
        let of_mariadb = MariaDbCapabilities::empty();
        let response = HandshakeResponse { collation, schema, of_mariadb, ..response };
        let mut out = Vec::new();
        response.encode_change_user(&mut out);
        let read = HandshakeResponse::parse_change_user(&out, response.capabilities, response.max_packet_bytes);
        prop_assert_eq!(read, Ok(response));
    }

    #[test]
    fn no_bytes_break_a_parser(payload in bytes(), flags in capabilities(), count in any::<u16>(), columns in vec(column(), 0..8)) {
        let ok = OkPacket::parse(&payload, flags);
        prop_assert!(ok.is_err() || ok.is_ok_and(|ok| ok.info.len() + ok.session_state.len() <= payload.len()));
        let _ = (parse_end_of_rows(&payload, flags), parse_err(&payload), PrepareOk::parse(&payload));
        let _ = (EofPacket::parse(&payload), parse_local_infile(&payload), ServerSays::parse(&payload));
        prop_assert!(SessionState::new(&payload).count() <= payload.len());
        for change in SessionState::new(&payload).flatten() {
            if let Change::Variables(variables) = change {
                prop_assert!(variables.iter().count() <= payload.len());
            }
        }
        let _ = (ColumnDefinition::parse(&payload, MariaDbCapabilities::empty()), ClientCommand::parse(&payload), Greeting::parse(&payload));
        let _ = (parse_text_row(&payload, columns.len()), parse_binary_row(&payload, &columns));
        if let Ok(execute) = Execute::parse(&payload, count % 20) {
            let _ = (execute.with_types(None), execute.parameters(None, |parameter| parameter % 2 == 0));
            let _ = execute.parameters(Some(&payload), |_| false);
        }
    }

    #[test]
    fn no_bytes_break_the_handshakes_parsers(fixed in vec(any::<u8>(), 32), payload in bytes(), flags in capabilities()) {
        let response = [fixed, payload.clone()].concat();
        let _ = HandshakeResponse::peek_capabilities(&payload);
        for read in [HandshakeResponse::parse(&response), HandshakeResponse::parse_change_user(&payload, flags, 0)] {
            let kept = read.map(|read| read.attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>());
            prop_assert!(kept.unwrap_or(0) <= ATTRIBUTES_BYTES_MAX);
        }
    }

    #[test]
    fn no_packets_break_the_result_reader(
        first in 1..4u8,
        packets in vec(prop_oneof![bytes(), column().prop_map(|column| { let mut out = Vec::new(); column.encode(&mut out, MariaDbCapabilities::empty()); out })], 0..12),
        deprecate_eof in any::<bool>(),
    ) {
        let mut capabilities = CapabilityFlags::empty();
        capabilities.set(CapabilityFlags::CLIENT_DEPRECATE_EOF, deprecate_eof);
        let mut reader = ResultReader::new(capabilities, LIMIT_BYTES);
        for payload in std::iter::once(&vec![first]).chain(&packets) {
            match reader.feed(payload) {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => break,
            }
        }
    }
}

#[test]
fn packets_of_16_mib_are_split_and_joined() {
    let limit_bytes = 3 * MAX_PAYLOAD_BYTES;
    for payload_bytes in [MAX_PAYLOAD_BYTES - 1, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1, 2 * MAX_PAYLOAD_BYTES] {
        let mut payload = vec![0; payload_bytes];
        payload.iter_mut().step_by(4099).enumerate().for_each(|(at, byte)| *byte = at as u8);
        let (mut stream, mut sequence) = (Vec::new(), 250);
        write_packet(&mut stream, &mut sequence, &payload);
        let frames = payload_bytes / MAX_PAYLOAD_BYTES + 1;
        assert_eq!(stream.len(), payload_bytes + 4 * frames, "an exact multiple is followed by an empty frame");
        assert_eq!(sequence, 250 + frames as u8);

        let (mut written, mut written_sequence) = (Vec::new(), 250);
        write_with(&mut written, &mut written_sequence, |out| out.extend_from_slice(&payload));
        assert!(written == stream && written_sequence == sequence, "both writers frame alike");

        let mut reader = PacketReader::new(limit_bytes);
        reader.expect_sequence(250);
        let mut joined = false;
        // Pieces that end within the first header, at the first frame's end, and within the second header.
        let ends = [2, MAX_PAYLOAD_BYTES + 4, MAX_PAYLOAD_BYTES + 6, stream.len()];
        let mut start = 0;
        for end in ends {
            let end = end.min(stream.len()).max(start);
            let mut piece = &stream[start..end];
            if let Some(packet) = reader.next(&mut piece).unwrap() {
                assert!(packet.payload == payload);
                assert_eq!(packet.last_sequence, sequence - 1);
                joined = true;
            }
            start = end;
        }
        assert!(joined);
    }
}

#[test]
fn frames_of_one_packet_count_together_against_the_limit() {
    let mut stream = Vec::new();
    write_packet(&mut stream, &mut 0, &vec![0; MAX_PAYLOAD_BYTES + 10]);
    let (packets, end) = read_in_pieces(&stream, &[], MAX_PAYLOAD_BYTES + 9);
    assert!(packets.is_empty());
    assert_eq!(end, format!("packet larger than {} bytes", MAX_PAYLOAD_BYTES + 9));
}
