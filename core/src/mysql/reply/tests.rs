//! The walk checked against encoders: what a server would have sent to the client itself is what the client must get.

use super::{HELD_ROW_BYTES_MAX, Pieces, ReplyWalker, Shape};
use crate::link::{ClientFormat, Reply};
use crate::mysql::ProtocolError;
use crate::mysql::capability::{CapabilityFlags, StatusFlags};
use crate::mysql::frame::{FrameHeader, HEADER_BYTES, MAX_PAYLOAD_BYTES, write_packet};
use crate::mysql::packet::{
    EofPacket, OkHeader, OkPacket, PrepareOk, encode_end_of_rows, encode_err, encode_local_infile,
};
use crate::mysql::wire::put_lenenc_int;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

const STATUS: u16 = StatusFlags::SERVER_STATUS_AUTOCOMMIT.bits();
const MORE: u16 = StatusFlags::SERVER_MORE_RESULTS_EXISTS.bits();
const CURSOR: u16 = StatusFlags::SERVER_STATUS_CURSOR_EXISTS.bits();

/// An answer as it is meant, whatever its format.
#[derive(Clone, Debug)]
enum Answer {
    Results { results: Vec<Outcome>, last: Last },
    Prepare { parameters: u16, columns: u16 },
    Rows { rows: Vec<Vec<u8>>, end: RowsEnd },
}

/// A result that is followed by another one.
#[derive(Clone, Debug)]
enum Outcome {
    Ok(OkPacket),
    Rows(Vec<Vec<u8>>, Vec<Vec<u8>>, OkPacket),
}

/// The last result of an answer.
#[derive(Clone, Debug)]
enum Last {
    Outcome(Outcome),
    Error,
    ErrorAfterRows(Vec<Vec<u8>>, Vec<Vec<u8>>),
    Cursor(Vec<Vec<u8>>),
}

#[derive(Clone, Debug)]
enum RowsEnd {
    Ok(OkPacket),
    Error,
}

/// Writes an answer as a server does for ends that agreed on `capabilities`.
struct Encoder {
    capabilities: CapabilityFlags,
    out: Vec<u8>,
    sequence: u8,
    /// Before which packets there is a report of progress; none before a mark.
    reports: VecDeque<bool>,
}

/// As MariaDB writes it: of one text, the first stage of two, half of which is done.
const REPORT: &[u8] = b"\xff\xff\xff\x01\x01\x02\x50\xc3\x00\x05stage";

impl Encoder {
    fn new(capabilities: CapabilityFlags) -> Self {
        Self::reporting(capabilities, &[])
    }

    fn reporting(capabilities: CapabilityFlags, before: &[bool]) -> Self {
        Self { capabilities, out: Vec::new(), sequence: 1, reports: before.iter().copied().collect() }
    }

    fn packet(&mut self, payload: &[u8]) {
        if self.reports.pop_front() == Some(true) {
            write_packet(&mut self.out, &mut self.sequence, REPORT);
        }
        write_packet(&mut self.out, &mut self.sequence, payload);
    }

    fn with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut payload = Vec::new();
        encode(&mut payload);
        self.packet(&payload);
    }

    fn deprecates_eof(&self) -> bool {
        self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF)
    }

    fn mark(&mut self) {
        if !self.deprecates_eof() {
            let mut payload = Vec::new();
            EofPacket { warnings: 0, status: STATUS }.encode(&mut payload);
            write_packet(&mut self.out, &mut self.sequence, &payload);
        }
    }

    fn ok(&mut self, ok: &OkPacket) {
        let capabilities = self.capabilities;
        self.with(|out| ok.encode(out, OkHeader::Ok, capabilities));
    }

    fn end(&mut self, ok: &OkPacket) {
        let capabilities = self.capabilities;
        self.with(|out| encode_end_of_rows(ok, out, capabilities));
    }

    fn error(&mut self) {
        self.packet(b"\xff\x28\x04#42000you have an error");
    }

    fn columns(&mut self, columns: &[Vec<u8>]) {
        self.with(|out| put_lenenc_int(out, columns.len() as u64));
        columns.iter().for_each(|column| self.packet(column));
    }

    fn rows(&mut self, rows: &[Vec<u8>]) {
        rows.iter().for_each(|row| self.packet(row));
    }

    fn outcome(&mut self, outcome: &Outcome, more: u16) {
        match outcome {
            Outcome::Ok(ok) => self.ok(&OkPacket { status: STATUS | more, ..ok.clone() }),
            Outcome::Rows(columns, rows, end) => {
                self.columns(columns);
                self.mark();
                self.rows(rows);
                self.end(&OkPacket { status: STATUS | more, ..end.clone() });
            }
        }
    }

    fn last(&mut self, last: &Last) {
        match last {
            Last::Outcome(outcome) => self.outcome(outcome, 0),
            Last::Error => self.error(),
            Last::ErrorAfterRows(columns, rows) => {
                self.columns(columns);
                self.mark();
                self.rows(rows);
                self.error();
            }
            Last::Cursor(columns) => {
                self.columns(columns);
                self.end(&OkPacket { status: STATUS | CURSOR, ..OkPacket::default() });
            }
        }
    }

    fn answer(mut self, answer: &Answer) -> Vec<u8> {
        match answer {
            Answer::Results { results, last } => {
                results.iter().for_each(|outcome| self.outcome(outcome, MORE));
                self.last(last);
            }
            Answer::Prepare { parameters, columns } => {
                let ok = PrepareOk { statement_id: 7, columns: *columns, parameters: *parameters, warnings: 0 };
                self.with(|out| ok.encode(out));
                for group in [*parameters, *columns].into_iter().filter(|group| *group > 0) {
                    (0..group).for_each(|_| self.packet(b"\x03def definition"));
                    self.mark();
                }
            }
            Answer::Rows { rows, end } => {
                self.rows(rows);
                match end {
                    RowsEnd::Ok(ok) => self.end(&OkPacket { status: STATUS, ..ok.clone() }),
                    RowsEnd::Error => self.error(),
                }
            }
        }
        self.out
    }
}

fn shape(answer: &Answer) -> Shape {
    match answer {
        Answer::Results { last: Last::Cursor(_), .. } => Shape::Cursor,
        Answer::Results { .. } => Shape::Results,
        Answer::Prepare { .. } => Shape::Prepare,
        Answer::Rows { .. } => Shape::Rows,
    }
}

/// Puts together what a client with `capabilities` reads: runs of the input as they stand, and packets encoded for it.
struct Client {
    capabilities: CapabilityFlags,
    read: Vec<u8>,
    rows: u64,
}

impl Client {
    /// Takes the pieces of one call, which must add up to the input walked over.
    fn take(&mut self, walked: &[u8], pieces: &mut Pieces) {
        let mut at = 0;
        while let Some(piece) = pieces.pop() {
            match piece {
                Reply::Forward { len } => {
                    self.read.extend_from_slice(&walked[at..at + len]);
                    at += len;
                }
                Reply::Skip { len } => at += len,
                Reply::Own(bytes) => self.read.extend_from_slice(&bytes),
                Reply::Between { seq } => {
                    assert!(pieces.is_empty(), "it comes last");
                    assert_eq!(sequence_after(&self.read), Some(seq), "what was read so far is whole");
                }
                other => self.packet(other),
            }
        }
        assert_eq!(at, walked.len(), "pieces add up to the input");
    }

    fn packet(&mut self, reply: Reply) {
        let mut payload = Vec::new();
        let mut sequence = match reply {
            Reply::Ok { seq, ends_rows, rows, ok } => {
                self.rows += rows;
                if ends_rows {
                    encode_end_of_rows(&ok, &mut payload, self.capabilities);
                } else {
                    ok.encode(&mut payload, OkHeader::Ok, self.capabilities);
                }
                seq
            }
            Reply::Err { seq, error } => {
                encode_err(&error, &mut payload, CapabilityFlags::CLIENT_PROTOCOL_41);
                seq
            }
            Reply::PrepareOk { seq, ok } => {
                ok.encode(&mut payload);
                seq
            }
            Reply::LocalInfile { seq, filename } => {
                encode_local_infile(&filename, &mut payload);
                seq
            }
            other => panic!("the walker does not say {other:?}"),
        };
        write_packet(&mut self.read, &mut sequence, &payload);
    }
}

/// The sequence id after the packets of an answer; `None` unless the last is whole.
fn sequence_after(mut packets: &[u8]) -> Option<u8> {
    let mut next = 1;
    while let Some(header) = FrameHeader::peek(packets) {
        packets = packets.get(HEADER_BYTES + header.payload_bytes..)?;
        next = header.sequence.wrapping_add(1);
    }
    packets.is_empty().then_some(next)
}

fn format(deprecate_eof: bool) -> CapabilityFlags {
    let tracking = CapabilityFlags::CLIENT_SESSION_TRACK | CapabilityFlags::CLIENT_PROTOCOL_41;
    if deprecate_eof { tracking | CapabilityFlags::CLIENT_DEPRECATE_EOF } else { tracking }
}

/// Walks over `bytes` in pieces that end at `cuts`.
fn walk(shape: Shape, server: bool, client: bool, bytes: &[u8], cuts: &[usize]) -> Result<Client, ProtocolError> {
    walk_for(shape, server, reads(client), bytes, cuts)
}

/// A client that is not told of progress.
fn reads(deprecate_eof: bool) -> ClientFormat {
    ClientFormat { deprecate_eof, progress: false }
}

fn walk_for(
    shape: Shape,
    server: bool,
    client: ClientFormat,
    bytes: &[u8],
    cuts: &[usize],
) -> Result<Client, ProtocolError> {
    let mut walker = ReplyWalker::new(shape, format(server), client, STATUS | MORE);
    let mut reader = Client { capabilities: format(client.deprecate_eof), read: Vec::new(), rows: 0 };
    let mut pieces = Pieces::default();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        let mut piece = bytes[start..end].to_vec();
        let walked = walker.walk(&mut piece, &mut pieces)?;
        reader.take(&piece[..walked], &mut pieces);
        start += walked;
        if walker.is_done() {
            break;
        }
    }
    assert_eq!(start, bytes.len(), "the answer ends where its bytes end");
    assert!(walker.is_done(), "the end is seen");
    Ok(reader)
}

const FORMATS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// In each of the four combinations of formats the client reads what the server would have sent to it itself.
fn relays_as_if_the_server_spoke_to_the_client(answer: &Answer, cuts: &[usize]) {
    for (server, client) in FORMATS {
        let sent = Encoder::new(format(server)).answer(answer);
        let wished = Encoder::new(format(client)).answer(&without_what_a_classic_eof_cannot_say(answer, server));
        let got = walk(shape(answer), server, client, &sent, cuts).expect("a sound answer");
        let differs = got.read.iter().zip(&wished).position(|(got, wished)| got != wished);
        assert_eq!(differs, None, "server deprecates EOF: {server}, client: {client}");
        assert_eq!(got.read.len(), wished.len(), "server deprecates EOF: {server}, client: {client}");
    }
}

/// A classic EOF has no room for affected rows, insert id, info and state.
fn without_what_a_classic_eof_cannot_say(answer: &Answer, server: bool) -> Answer {
    let mut answer = answer.clone();
    if server {
        return answer;
    }
    let strip = |ok: &mut OkPacket| *ok = OkPacket { warnings: ok.warnings, ..OkPacket::default() };
    let strip_outcome = |outcome: &mut Outcome| {
        if let Outcome::Rows(.., end) = outcome {
            strip(end);
        }
    };
    match &mut answer {
        Answer::Results { results, last } => {
            results.iter_mut().for_each(strip_outcome);
            if let Last::Outcome(outcome) = last {
                strip_outcome(outcome);
            }
        }
        Answer::Rows { end: RowsEnd::Ok(ok), .. } => strip(ok),
        Answer::Rows { .. } | Answer::Prepare { .. } => {}
    }
    answer
}

fn an_ok() -> impl Strategy<Value = OkPacket> {
    (0..70_000u64, any::<u16>(), vec(any::<u8>(), 0..4), vec(any::<u8>(), 0..6)).prop_map(
        |(affected_rows, warnings, info, session_state)| OkPacket {
            affected_rows,
            last_insert_id: affected_rows / 3,
            warnings,
            status: STATUS,
            info,
            session_state,
        },
    )
}

/// Rows of either protocol, some of which start with the first byte of another packet.
fn rows(most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let row = prop_oneof![
        vec(0u8..0xfc, 1..12),
        Just(vec![0xfb]),
        Just(vec![0]),
        vec(any::<u8>(), 1..6).prop_map(|tail| [&b"\xfc\x00\x01"[..], &tail].concat()),
    ];
    vec(row, 0..most)
}

fn columns() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..8).prop_map(|tail| [&b"\x03def"[..], &tail].concat()), 1..5)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        an_ok().prop_map(Outcome::Ok),
        (columns(), rows(20), an_ok()).prop_map(|(columns, rows, ok)| Outcome::Rows(columns, rows, ok)),
    ]
}

fn last() -> impl Strategy<Value = Last> {
    prop_oneof![
        4 => outcome().prop_map(Last::Outcome),
        1 => Just(Last::Error),
        1 => (columns(), rows(5)).prop_map(|(columns, rows)| Last::ErrorAfterRows(columns, rows)),
        1 => columns().prop_map(Last::Cursor),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => (vec(outcome(), 0..4), last()).prop_map(|(results, last)| Answer::Results { results, last }),
        1 => (0u16..4, 0u16..4).prop_map(|(parameters, columns)| Answer::Prepare { parameters, columns }),
        1 => (rows(20), prop_oneof![an_ok().prop_map(RowsEnd::Ok), Just(RowsEnd::Error)])
            .prop_map(|(rows, end)| Answer::Rows { rows, end }),
    ]
}

proptest! {
    #[test]
    fn any_answer_in_any_pieces_reads_as_if_the_server_spoke_to_the_client(
        answer in answer(),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        relays_as_if_the_server_spoke_to_the_client(&answer, &cuts);
    }

    #[test]
    fn reports_of_progress_are_for_those_who_read_them(
        answer in answer(),
        before in vec(any::<bool>(), 0..40),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        // A cursor's end may be a mark, before which there is no report.
        prop_assume!(shape(&answer) != Shape::Cursor);
        for (server, client) in FORMATS {
            let sent = Encoder::reporting(format(server), &before).answer(&answer);
            let answer = without_what_a_classic_eof_cannot_say(&answer, server);
            for (progress, reported) in [(true, &before[..]), (false, &[][..])] {
                let reads = ClientFormat { deprecate_eof: client, progress };
                let got = walk_for(shape(&answer), server, reads, &sent, &cuts).expect("a sound answer");
                let wished = Encoder::reporting(format(client), reported).answer(&answer);
                prop_assert_eq!(got.read, wished, "server {}, client {}, {}", server, client, progress);
            }
        }
    }

    #[test]
    fn byte_by_byte_is_the_same_as_at_once(answer in answer()) {
        let every_byte: Vec<usize> = (0..10_000).collect();
        relays_as_if_the_server_spoke_to_the_client(&answer, &every_byte);
    }

    #[test]
    fn garbage_is_refused_and_never_forwards_more_than_came(
        bytes in vec(any::<u8>(), 0..200),
        flip in any::<(bool, bool)>(),
        shape in prop_oneof![
            Just(Shape::Results), Just(Shape::Cursor), Just(Shape::Prepare), Just(Shape::Rows), Just(Shape::Text),
            Just(Shape::Simple)
        ],
    ) {
        let mut walker = ReplyWalker::new(shape, format(flip.0), reads(flip.1), 0);
        let mut pieces = Pieces::default();
        for piece in bytes.chunks(7) {
            let mut piece = piece.to_vec();
            let Ok(walked) = walker.walk(&mut piece, &mut pieces) else { return Ok(()) };
            Client { capabilities: format(flip.1), read: Vec::new(), rows: 0 }.take(&piece[..walked], &mut pieces);
        }
    }

    #[test]
    fn a_sound_answer_with_one_byte_changed_never_panics(
        answer in answer(), at in any::<usize>(), value in any::<u8>(), server in any::<bool>(), client in any::<bool>(),
    ) {
        let mut sent = Encoder::new(format(server)).answer(&answer);
        let at = at % sent.len();
        sent[at] = value;
        let mut walker = ReplyWalker::new(shape(&answer), format(server), reads(client), 0);
        let mut pieces = Pieces::default();
        if let Ok(walked) = walker.walk(&mut sent, &mut pieces) {
            Client { capabilities: format(client), read: Vec::new(), rows: 0 }.take(&sent[..walked], &mut pieces);
        }
    }
}

#[test]
fn sequence_ids_wrap_on_both_sides() {
    let rows = vec![vec![1, b'x']; 600];
    let result = Outcome::Rows(vec![b"\x03def".to_vec(); 3], rows, OkPacket::default());
    let answer = Answer::Results { results: vec![result.clone(), result.clone()], last: Last::Outcome(result) };
    relays_as_if_the_server_spoke_to_the_client(&answer, &[]);
    relays_as_if_the_server_spoke_to_the_client(&answer, &[1000, 1001, 1002, 5003]);
}

#[test]
fn rows_are_counted() {
    let result = |count| Outcome::Rows(vec![b"\x03def".to_vec()], vec![vec![0xfb]; count], OkPacket::default());
    let answer = Answer::Results { results: vec![result(3)], last: Last::Outcome(result(4)) };
    for (server, client) in FORMATS {
        let sent = Encoder::new(format(server)).answer(&answer);
        assert_eq!(walk(Shape::Results, server, client, &sent, &[30, 31, 40]).unwrap().rows, 7);
    }
}

#[test]
fn rows_over_a_frame_are_forwarded_whatever_their_bytes() {
    // A value of 16 MiB starts with 0xFE, and its second frame with what an ERR starts with.
    let mut row = vec![0xff; MAX_PAYLOAD_BYTES + 20];
    row[..9].copy_from_slice(b"\xfe\x13\x00\x00\x01\x00\x00\x00\x00");
    let exact = vec![0xfe; MAX_PAYLOAD_BYTES];
    let result = Outcome::Rows(vec![b"\x03def".to_vec()], vec![row, exact, vec![0]], OkPacket::default());
    let answer = Answer::Results { results: vec![], last: Last::Outcome(result) };
    relays_as_if_the_server_spoke_to_the_client(&answer, &[5, 100, MAX_PAYLOAD_BYTES + 20, 2 * MAX_PAYLOAD_BYTES]);
}

/// What the client has when the server's bytes break off amid the last row; cuts anywhere are the business of the properties above.
#[test]
fn short_rows_are_never_torn() {
    let short = vec![vec![b'a'; 300]; 3];
    let longest = vec![vec![b'b'; HELD_ROW_BYTES_MAX]];
    let longer = vec![vec![b'c'; HELD_ROW_BYTES_MAX + 1]];
    for (server, client) in FORMATS {
        for (rows, ends_between) in [(&short, true), (&longest, true), (&longer, false)] {
            let outcome = Outcome::Rows(vec![vec![b'x'; 9]], rows.clone(), OkPacket::default());
            let sent =
                Encoder::new(format(server)).answer(&Answer::Results { results: vec![], last: Last::Outcome(outcome) });
            let in_last_row = sent.len() - 40;
            let mut piece = sent[..in_last_row].to_vec();
            let mut walker = ReplyWalker::new(Shape::Results, format(server), reads(client), STATUS);
            let mut pieces = Pieces::default();
            assert_eq!(walker.walk(&mut piece, &mut pieces).expect("so far so good"), in_last_row);
            let told = pieces.iter().any(|piece| matches!(piece, Reply::Between { .. }));
            assert_eq!(told, ends_between, "{} bytes, server {server}, client {client}", rows[0].len());
        }
    }
}

/// A server that is lost after it has told of progress: the client is told with an error.
#[test]
fn an_error_can_follow_a_report() {
    let mut sent = Vec::new();
    write_packet(&mut sent, &mut 1, REPORT);
    let client = ClientFormat { deprecate_eof: true, progress: true };
    let mut walker = ReplyWalker::new(Shape::Results, format(true), client, STATUS);
    let mut pieces = Pieces::default();
    assert_eq!(walker.walk(&mut sent, &mut pieces), Ok(sent.len()));
    assert_eq!(pieces.iter().last(), Some(&Reply::Between { seq: 2 }));
}

#[test]
fn rows_that_lie_whole_are_one_piece() {
    let result = Outcome::Rows(vec![b"\x03def".to_vec()], vec![vec![0xfb]; 100], OkPacket::default());
    let answer = Answer::Results { results: vec![], last: Last::Outcome(result) };
    let mut sent = Encoder::new(format(true)).answer(&answer);
    let mut pieces = Pieces::default();
    let mut walker = ReplyWalker::new(Shape::Results, format(true), reads(true), 0);
    let walked = walker.walk(&mut sent, &mut pieces).unwrap();
    let end = 4 + 7;
    assert_eq!(pieces.pop(), Some(Reply::Forward { len: walked - end }));
    assert!(matches!(pieces.pop(), Some(Reply::Ok { ends_rows: true, rows: 100, .. })));
    assert_eq!(pieces.pop(), Some(Reply::Skip { len: end }));
    assert_eq!(pieces.pop(), None);
}

#[test]
fn the_end_of_columns_says_what_the_server_said_but_for_its_trackers() {
    const STATE_CHANGED: u16 = 0x4000;
    let sent = |status: u16| {
        let mut encoder = Encoder::new(format(false));
        encoder.columns(&[b"\x03def".to_vec()]);
        encoder.with(|out| EofPacket { warnings: 3, status }.encode(out));
        encoder.rows(&[vec![0xfb]]);
        encoder.end(&OkPacket { status: STATUS, ..OkPacket::default() });
        encoder.out
    };
    for status in [STATUS, STATUS | MORE, STATUS | 0x1020] {
        for cuts in [&[][..], &[20], &[21, 22, 23, 24]] {
            let heard = walk(Shape::Results, false, false, &sent(status | STATE_CHANGED), cuts).unwrap();
            assert_eq!(heard.read, sent(status), "{status:#x}");
        }
    }
}

/// MariaDB says so of results of a procedure, or a function, that has used a cursor of its own.
#[test]
fn rows_that_come_although_a_cursor_is_spoken_of_are_relayed() {
    let result = |more: u16| {
        let mut encoder = Encoder::new(format(false));
        encoder.columns(&[b"\x03def".to_vec()]);
        encoder.with(|out| EofPacket { warnings: 0, status: STATUS | CURSOR | more }.encode(out));
        encoder.rows(&[b"\x011".to_vec()]);
        encoder.end(&OkPacket { status: STATUS | CURSOR | more, ..OkPacket::default() });
        encoder
    };
    let of_function = result(0).out;
    assert_eq!(
        walk(Shape::Results, false, false, &of_function, &[]).expect("no cursor was asked for").read,
        of_function
    );
    let mut of_procedure = result(MORE);
    of_procedure.ok(&OkPacket { status: STATUS, ..OkPacket::default() });
    for shape in [Shape::Results, Shape::Cursor] {
        assert_eq!(
            walk(shape, false, false, &of_procedure.out, &[]).expect("a procedure's rows").read,
            of_procedure.out
        );
    }
}

#[test]
fn a_file_request_is_answered_out_of_the_usual_sequence() {
    let mut walker = ReplyWalker::new(Shape::Results, format(true), reads(true), 0);
    let mut pieces = Pieces::default();
    let mut request = b"\x05\x00\x00\x01\xfb/tmp".to_vec();
    walker.walk(&mut request, &mut pieces).unwrap();
    assert_eq!(pieces.pop(), Some(Reply::LocalInfile { seq: 1, filename: b"/tmp".to_vec() }));
    assert!(walker.awaits_file() && !walker.is_done());
    let mut ok = b"\x07\x00\x00\x09\x00\x02\x00\x02\x00\x00\x00".to_vec();
    assert_eq!(walker.walk(&mut ok, &mut Pieces::default()), Ok(ok.len()));
    assert!(walker.is_done());
}

#[test]
fn the_walk_stops_where_the_answer_ends() {
    let mut two = b"\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00".repeat(2);
    let mut walker = ReplyWalker::new(Shape::Simple, format(true), reads(true), 0);
    assert_eq!(walker.walk(&mut two, &mut Pieces::default()), Ok(11));
    assert!(walker.is_done());
}

#[test]
fn text_and_the_answer_to_set_option_are_single_packets() {
    let mut pieces = Pieces::default();
    let mut text = b"\x0a\x00\x00\x01Uptime: 12".to_vec();
    let mut walker = ReplyWalker::new(Shape::Text, format(true), reads(false), 0);
    assert_eq!(walker.walk(&mut text, &mut pieces), Ok(14));
    assert_eq!(pieces.pop(), Some(Reply::Forward { len: 14 }));
    let mut eof = b"\x05\x00\x00\x01\xfe\x00\x00\x02\x00".to_vec();
    let mut walker = ReplyWalker::new(Shape::Simple, format(false), reads(true), 0);
    assert_eq!(walker.walk(&mut eof, &mut pieces), Ok(9));
    assert!(matches!(pieces.pop(), Some(Reply::Ok { seq: 1, ends_rows: true, .. })));
}

#[test]
fn what_no_answer_holds_is_refused() {
    let refused = |shape, bytes: &[u8]| {
        let mut walker = ReplyWalker::new(shape, format(true), reads(true), 0);
        walker.walk(&mut bytes.to_vec(), &mut Pieces::default()).unwrap_err()
    };
    let empty = ProtocolError::Malformed("empty packet");
    assert_eq!(refused(Shape::Results, b"\x00\x00\x00\x01"), empty);
    assert_eq!(refused(Shape::Rows, b"\x00\x00\x00\x01"), empty);
    let order = ProtocolError::OutOfOrder { expected: 1, found: 2 };
    assert_eq!(refused(Shape::Rows, b"\x01\x00\x00\x02\xfb"), order);
    let large = ProtocolError::TooLarge { limit_bytes: super::HELD_PACKET_BYTES_MAX };
    assert_eq!(refused(Shape::Results, b"\xff\xff\xff\x01\x00"), large);
    let count = ProtocolError::Malformed("column count");
    assert_eq!(refused(Shape::Results, b"\x04\x00\x00\x01\xfd\xff\xff\xff"), count);
}

#[test]
fn the_ids_of_a_server_that_compresses_are_made_the_clients() {
    let eof = |id: u8, status: u8| [5, 0, 0, id, 0xfe, 0, 0, status, 0];
    let result = |first: u8, status: u8| {
        let mut bytes = vec![1, 0, 0, first, 1, 5, 0, 0, first + 1, 3, b'd', b'e', b'f', 0];
        bytes.extend_from_slice(&eof(first + 2, status));
        bytes.extend_from_slice(&[2, 0, 0, first + 3, 1, b'1']);
        bytes.extend_from_slice(&eof(first + 4, status));
        bytes
    };
    let sent = [result(1, 0x08), result(2, 0x02)].concat();
    let classic = reads(false);
    let walk = |capabilities| {
        let (mut sent, mut pieces) = (sent.clone(), Pieces::default());
        let mut walker = ReplyWalker::new(Shape::Results, capabilities, classic, 0);
        let walked = walker.walk(&mut sent, &mut pieces)?;
        let (mut ids, mut at) = (Vec::new(), 0);
        while let Some(piece) = pieces.pop() {
            match piece {
                Reply::Forward { len } => {
                    let mut rest = &sent[at..at + len];
                    while let [bytes, _, _, id, ..] = rest {
                        ids.push(*id);
                        rest = &rest[4 + usize::from(*bytes)..];
                    }
                    at += len;
                }
                Reply::Skip { len } => at += len,
                Reply::Ok { seq, .. } => ids.push(seq),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((walked, at), (sent.len(), sent.len()));
        Ok::<_, ProtocolError>(ids)
    };
    assert_eq!(walk(format(false) | CapabilityFlags::CLIENT_COMPRESS), Ok((1..=10).collect()));
    assert_eq!(walk(format(false)), Err(ProtocolError::OutOfOrder { expected: 6, found: 2 }));
}
