//! The walk itself: which packet comes next, what happens to its bytes, and what it means.

use super::{COLUMNS_MAX, HELD_PACKET_BYTES_MAX, HELD_ROW_BYTES_MAX, Pieces};
use crate::link::{ClientFormat, Reply};
use crate::mysql::ProtocolError;
use crate::mysql::capability::{CapabilityFlags, StatusFlags};
use crate::mysql::execute;
use crate::mysql::frame::{FrameHeader, HEADER_BYTES, write_with};
use crate::mysql::packet::{self, EOF, ERR, EofPacket, LOCAL_INFILE, OK, OkPacket, PrepareOk};
use crate::mysql::wire::Reader;

/// Status flags that outlive a result; the others describe the one they came with.
const OF_THE_SESSION: StatusFlags = StatusFlags::SERVER_STATUS_IN_TRANS
    .union(StatusFlags::SERVER_STATUS_AUTOCOMMIT)
    .union(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES)
    .union(StatusFlags::SERVER_STATUS_IN_TRANS_READONLY);

/// Bytes of an EOF packet with its header.
const EOF_FRAME_BYTES: usize = HEADER_BYTES + 5;

type Result<T> = core::result::Result<T, ProtocolError>;

/// What an answer to a command can look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// COM_QUERY and COM_STMT_EXECUTE: OK, ERR, a request for a local file, or a result set; possibly several.
    Results,
    /// COM_STMT_EXECUTE that asks for a cursor: the same, or columns and an end mark alone.
    Cursor,
    /// COM_STMT_PREPARE: PrepareOk, then parameter and column definitions.
    Prepare,
    /// COM_STMT_FETCH (rows) and COM_FIELD_LIST (definitions): packets up to an end mark.
    Rows,
    /// COM_STATISTICS: one packet of text.
    Text,
    /// Everything else: OK, EOF or ERR.
    Simple,
}

/// What the next packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first packet of an answer of [`Shape::Results`], or of a further result.
    First,
    /// The server waits for a file; what it says next answers that.
    LocalInfile,
    /// A column definition of a result set.
    Columns { left: u64 },
    /// The server's EOF after them.
    ColumnsEof,
    /// A row. `begun` once the client knows that the columns are complete.
    Rows { begun: bool },
    /// The first packet of an answer of [`Shape::Prepare`].
    PrepareFirst,
    /// A definition of a parameter (`columns` more definitions follow after a mark) or of a column (none follow).
    Definitions { left: u16, columns: u16 },
    /// The server's EOF after such a group.
    DefinitionsEof { columns: u16 },
    /// One packet of any content.
    Text,
    /// An OK, EOF or ERR.
    Simple,
    /// None: the answer is complete.
    Done,
}

/// What happens to a packet's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They go to the client.
    Forward,
    /// They do once they are all there: the input cuts them.
    HoldBack,
    /// The packet is read as a whole.
    Read,
}

/// What becomes of a packet that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes to the client as it is.
    Relay,
    /// It does not; what the client needs of it has been put out.
    Taken,
}

/// The front of a packet that the end of the input cut: header, and first byte of the payload.
#[derive(Debug, Default)]
struct Front {
    bytes: [u8; HEADER_BYTES + 1],
    len: usize,
}

/// An incremental walk over a server's answer to one command.
#[derive(Debug)]
pub struct ReplyWalker {
    phase: Phase,
    /// A cursor was asked for.
    may_open_cursor: bool,
    /// What was negotiated with the server.
    capabilities: CapabilityFlags,
    client: ClientFormat,
    /// What the server said last.
    status: u16,
    /// Rows of the current result set.
    rows: u64,
    /// The server's next sequence id.
    sequence: u8,
    /// How far the client's sequence ids are ahead of the server's, modulo 256.
    shift: u8,
    front: Front,
    /// Payload bytes of the current frame that are still to come, and what happens to them.
    left: usize,
    fate: Fate,
    /// The current frame is full: the next one continues its packet.
    continues: bool,
    /// The packet being read, when it did not lie whole in one piece of input.
    held: Vec<u8>,
    held_sequence: u8,
    /// How far the current frame's sequence id was ahead of its turn.
    ahead: u8,
    /// A report of progress is the last that the client was sent, and no part of the answer.
    reported: bool,
}

impl ReplyWalker {
    /// A walk over an answer of `shape` that starts with sequence id 1.
    ///
    /// `capabilities` are those of the server connection. `status` is what the server said last: an EOF that is put in
    /// before the rows carries it. A server's own would say more of the result that follows, so that clients who want one
    /// are better served by a connection that has it, too.
    #[must_use]
    pub fn new(shape: Shape, capabilities: CapabilityFlags, client: ClientFormat, status: u16) -> Self {
        let phase = match shape {
            Shape::Results | Shape::Cursor => Phase::First,
            Shape::Prepare => Phase::PrepareFirst,
            Shape::Rows => Phase::Rows { begun: true },
            Shape::Text => Phase::Text,
            Shape::Simple => Phase::Simple,
        };
        Self {
            phase,
            may_open_cursor: shape == Shape::Cursor,
            capabilities,
            client,
            status,
            rows: 0,
            sequence: 1,
            shift: 0,
            front: Front::default(),
            left: 0,
            fate: Fate::Forward,
            continues: false,
            held: Vec::new(),
            held_sequence: 0,
            ahead: 0,
            reported: false,
        }
    }

    /// The answer starts with another sequence id: that after the command's last packet, when it took several.
    #[must_use]
    pub fn starting_at(mut self, sequence: u8) -> Self {
        self.sequence = sequence;
        self
    }

    /// The client has sent packets of a file in between: what follows has this id, as the server counts.
    pub fn continue_at(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    fn server_deprecates_eof(&self) -> bool {
        self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF)
    }

    /// The answer is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done && self.left == 0 && !self.continues
    }

    /// The server waits for a file.
    #[must_use]
    pub fn awaits_file(&self) -> bool {
        self.phase == Phase::LocalInfile
    }

    /// How far the client's sequence ids are ahead of the server's, modulo 256.
    #[must_use]
    pub fn shift(&self) -> u8 {
        self.shift
    }

    /// The status flags of the server's last word.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Walks over `input`, up to the end of the answer, and returns how many bytes that were. Forwarded frames get the
    /// client's sequence ids in place. What is appended to `out` adds up to the bytes walked over.
    ///
    /// # Errors
    /// The bytes are no such answer. The server's stream cannot be read any further then.
    pub fn walk(&mut self, input: &mut [u8], out: &mut Pieces) -> Result<usize> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            at += self.step(&mut input[at..], out)?;
        }
        if let Some(seq) = self.between_rows() {
            out.push(Reply::Between { seq });
        }
        Ok(at)
    }

    /// The client's next sequence id, when what it has ends between two rows, or with a report ahead of the answer.
    fn between_rows(&self) -> Option<u8> {
        let amid = self.left > 0;
        let is_between = (self.reported || self.phase == (Phase::Rows { begun: true }))
            && !self.continues
            && (!amid || matches!(self.fate, Fate::HoldBack | Fate::Read));
        is_between.then(|| if amid { self.client_sequence() } else { self.sequence.wrapping_add(self.shift) })
    }

    /// Takes at least one byte.
    fn step(&mut self, input: &mut [u8], out: &mut Pieces) -> Result<usize> {
        if self.left > 0 {
            return self.payload(input, out);
        }
        match self.whole_rows(input, out) {
            0 => self.frame(input, out),
            taken => Ok(taken),
        }
    }

    /// The hot path: rows that lie whole in the input. Stops at anything else.
    fn whole_rows(&mut self, input: &mut [u8], out: &mut Pieces) -> usize {
        if self.phase != (Phase::Rows { begun: true }) || self.continues || self.front.len > 0 {
            return 0;
        }
        let mut at = 0;
        while let Some(&[a, b, c, sequence, first]) = input[at..].first_chunk() {
            let header = FrameHeader::decode([a, b, c, sequence]);
            let end = at + HEADER_BYTES + header.payload_bytes;
            let unusual = first >= EOF || header.payload_bytes == 0 || header.continues();
            if unusual || sequence != self.sequence || end > input.len() {
                break;
            }
            input[at + HEADER_BYTES - 1] = sequence.wrapping_add(self.shift);
            self.sequence = sequence.wrapping_add(1);
            self.rows += 1;
            at = end;
        }
        out.forward(at);
        at
    }

    /// The front of a frame: as much of it as decides what happens to the rest.
    fn frame(&mut self, input: &mut [u8], out: &mut Pieces) -> Result<usize> {
        if self.front.len == 0
            && let Some(header) = FrameHeader::peek(input)
            && input.len() >= HEADER_BYTES + self.lookahead(header)
        {
            return self.frame_in_place(header, input, out);
        }
        let header = FrameHeader::peek(&self.front.bytes[..self.front.len]);
        let wanted = HEADER_BYTES + header.map_or(0, |header| self.lookahead(header));
        let taken = input.len().min(wanted - self.front.len);
        self.front.bytes[self.front.len..][..taken].copy_from_slice(&input[..taken]);
        self.front.len += taken;
        out.skip(taken);
        if let Some(header) = FrameHeader::peek(&self.front.bytes[..self.front.len])
            && self.front.len == HEADER_BYTES + self.lookahead(header)
        {
            self.cut_frame(header, out)?;
        }
        Ok(taken)
    }

    /// How many payload bytes must be seen before the fate of a frame is known.
    fn lookahead(&self, header: FrameHeader) -> usize {
        usize::from(!self.continues && header.payload_bytes > 0)
    }

    fn frame_in_place(&mut self, header: FrameHeader, input: &mut [u8], out: &mut Pieces) -> Result<usize> {
        let first = input.get(HEADER_BYTES).copied().filter(|_| self.lookahead(header) > 0);
        self.open(header, first, out)?;
        let end = HEADER_BYTES + header.payload_bytes;
        let whole = self.held.is_empty() && !header.continues() && input.len() >= end;
        if self.fate == Fate::Read && whole {
            match self.read(&input[HEADER_BYTES..end], out)? {
                Verdict::Relay => {
                    input[HEADER_BYTES - 1] = self.client_sequence();
                    out.forward(end);
                }
                Verdict::Taken => out.skip(end),
            }
            return Ok(end);
        }
        if self.fate == Fate::HoldBack && whole {
            self.fate = Fate::Forward;
        }
        self.left = header.payload_bytes;
        match self.fate {
            Fate::Forward => {
                input[HEADER_BYTES - 1] = header.sequence.wrapping_add(self.shift);
                out.forward(HEADER_BYTES);
            }
            Fate::HoldBack | Fate::Read => out.skip(HEADER_BYTES),
        }
        self.close_if_complete(out)?;
        Ok(HEADER_BYTES)
    }

    /// A frame whose front is in `front`, its bytes already skipped.
    fn cut_frame(&mut self, header: FrameHeader, out: &mut Pieces) -> Result<()> {
        let seen = self.front.len - HEADER_BYTES;
        let first = (seen > 0).then_some(self.front.bytes[HEADER_BYTES]);
        self.front.len = 0;
        self.open(header, first, out)?;
        self.left = header.payload_bytes - seen;
        match self.fate {
            Fate::Forward => {
                let mut front = self.front.bytes[..HEADER_BYTES + seen].to_vec();
                front[HEADER_BYTES - 1] = header.sequence.wrapping_add(self.shift);
                out.push(Reply::Own(front));
            }
            Fate::HoldBack | Fate::Read => self.held.extend(first),
        }
        self.close_if_complete(out)
    }

    /// Decides the fate of a frame from its header and first byte.
    fn open(&mut self, header: FrameHeader, first: Option<u8>, out: &mut Pieces) -> Result<()> {
        // A server that gives up says so out of turn, and a file's packets are not counted here.
        let any_sequence = first == Some(ERR) || self.phase == Phase::LocalInfile;
        let compresses = self.capabilities.contains(CapabilityFlags::CLIENT_COMPRESS);
        self.ahead = if compresses { 0 } else { header.sequence.wrapping_sub(self.sequence) };
        if header.sequence != self.sequence && compresses {
            // Such a server goes on with the id of each compressed packet that it begins. The client's go on.
            self.shift = self.shift.wrapping_add(self.sequence).wrapping_sub(header.sequence);
        } else if header.sequence != self.sequence && !any_sequence {
            return Err(ProtocolError::OutOfOrder { expected: self.sequence, found: header.sequence });
        }
        self.sequence = header.sequence.wrapping_add(1);
        if !self.continues {
            let first = first.ok_or(ProtocolError::Malformed("empty packet"))?;
            self.fate = self.fate_of(first, header);
            self.held_sequence = header.sequence;
            self.reported = false;
            self.begin_rows_if_forwarded(header, out);
        }
        self.continues = header.continues();
        if self.fate == Fate::Read && self.held.len() + header.payload_bytes > HELD_PACKET_BYTES_MAX {
            return Err(ProtocolError::TooLarge { limit_bytes: HELD_PACKET_BYTES_MAX });
        }
        Ok(())
    }

    fn fate_of(&self, first: u8, header: FrameHeader) -> Fate {
        let forward = match self.phase {
            Phase::Columns { .. } | Phase::Definitions { .. } => first < EOF,
            Phase::Rows { .. } => !packet::ends_rows(first, header.payload_bytes, self.capabilities),
            Phase::Text => first != ERR,
            Phase::First
            | Phase::LocalInfile
            | Phase::ColumnsEof
            | Phase::PrepareFirst
            | Phase::DefinitionsEof { .. }
            | Phase::Simple
            | Phase::Done => false,
        };
        match self.phase {
            _ if !forward => Fate::Read,
            Phase::Rows { .. } if header.payload_bytes <= HELD_ROW_BYTES_MAX => Fate::HoldBack,
            _ => Fate::Forward,
        }
    }

    /// Counts a row, and tells the client before the first one that the columns are complete.
    fn begin_rows_if_forwarded(&mut self, header: FrameHeader, out: &mut Pieces) {
        let Phase::Rows { begun } = self.phase else { return };
        if self.fate == Fate::Read {
            return;
        }
        self.rows += 1;
        if !begun {
            self.put_eof(header.sequence, out);
            self.phase = Phase::Rows { begun: true };
        }
    }

    /// Payload of a frame whose fate is known.
    fn payload(&mut self, input: &[u8], out: &mut Pieces) -> Result<usize> {
        let taken = input.len().min(self.left);
        self.left -= taken;
        match self.fate {
            Fate::Forward => out.forward(taken),
            Fate::HoldBack | Fate::Read => {
                self.held.extend_from_slice(&input[..taken]);
                out.skip(taken);
            }
        }
        self.close_if_complete(out)?;
        Ok(taken)
    }

    /// At the end of a packet: on to the next one.
    fn close_if_complete(&mut self, out: &mut Pieces) -> Result<()> {
        if self.left > 0 || self.continues {
            return Ok(());
        }
        match self.fate {
            Fate::Forward => self.forwarded(out),
            Fate::HoldBack => {
                let held = core::mem::take(&mut self.held);
                self.relay(&held, out);
                self.forwarded(out);
            }
            Fate::Read => {
                let held = core::mem::take(&mut self.held);
                if self.read(&held, out)? == Verdict::Relay {
                    self.relay(&held, out);
                }
            }
        }
        Ok(())
    }

    /// A packet that was held goes to the client as it is.
    fn relay(&self, held: &[u8], out: &mut Pieces) {
        let header = FrameHeader { payload_bytes: held.len(), sequence: self.client_sequence() };
        out.push(Reply::Own([&header.encode()[..], held].concat()));
    }

    /// A packet has been forwarded.
    fn forwarded(&mut self, out: &mut Pieces) {
        self.phase = match self.phase {
            Phase::Columns { left } if left > 1 => Phase::Columns { left: left - 1 },
            Phase::Columns { .. } => self.after_columns(),
            Phase::Definitions { left, columns } if left > 1 => Phase::Definitions { left: left - 1, columns },
            Phase::Definitions { columns, .. } => self.after_definitions(columns, out),
            Phase::Text => Phase::Done,
            other => other,
        };
    }

    fn after_columns(&self) -> Phase {
        if self.server_deprecates_eof() {
            // Two clients that agree with the server need no mark between columns and rows.
            Phase::Rows { begun: self.client.deprecate_eof }
        } else {
            Phase::ColumnsEof
        }
    }

    fn after_definitions(&mut self, columns: u16, out: &mut Pieces) -> Phase {
        if !self.server_deprecates_eof() {
            return Phase::DefinitionsEof { columns };
        }
        if !self.client.deprecate_eof {
            self.put_eof(self.sequence, out);
        }
        definitions(0, columns)
    }

    /// Puts in an EOF ahead of the server's packet with sequence id `next`.
    fn put_eof(&mut self, next: u8, out: &mut Pieces) {
        let eof = EofPacket { warnings: 0, status: self.status & OF_THE_SESSION.bits() };
        Self::write_eof(eof, next.wrapping_add(self.shift), out);
        self.shift = self.shift.wrapping_add(1);
    }

    fn write_eof(eof: EofPacket, mut sequence: u8, out: &mut Pieces) {
        let mut framed = Vec::with_capacity(EOF_FRAME_BYTES);
        write_with(&mut framed, &mut sequence, |payload| eof.encode(payload));
        out.push(Reply::Own(framed));
    }

    /// Understands a packet.
    fn read(&mut self, payload: &[u8], out: &mut Pieces) -> Result<Verdict> {
        let kind = *payload.first().ok_or(ProtocolError::Malformed("empty packet"))?;
        match (self.phase, kind) {
            (_, ERR) if packet::is_progress(payload) => Ok(self.progress(out)),
            (_, ERR) => self.error(payload, out),
            (Phase::First, LOCAL_INFILE) => self.local_infile(&payload[1..], out),
            (Phase::First | Phase::LocalInfile | Phase::Simple, OK) => {
                let ok = OkPacket::parse(payload, self.capabilities)?;
                self.result_ended(ok, false, out)
            }
            (Phase::First, 1..LOCAL_INFILE | 0xfc..=0xfd) => self.column_count(payload),
            (Phase::ColumnsEof, EOF) => self.columns_eof(payload, out),
            (Phase::Rows { begun }, EOF) => self.end_of_rows(begun, payload, out),
            (Phase::Simple, EOF) => self.end_of_rows(true, payload, out),
            (Phase::PrepareFirst, OK) => self.prepared(payload, out),
            (Phase::DefinitionsEof { columns }, EOF) => self.definitions_eof(columns, payload),
            _ => Err(ProtocolError::Malformed("unexpected packet")),
        }
    }

    /// Sequence id of the packet being read, as the client counts.
    fn client_sequence(&self) -> u8 {
        self.held_sequence.wrapping_add(self.shift)
    }

    /// How far the statement is: what was due is still to come.
    fn progress(&mut self, out: &mut Pieces) -> Verdict {
        let before_rows = self.phase == (Phase::Rows { begun: false });
        // Whether a mark belongs before these rows is known when they begin.
        if !self.client.progress || (before_rows && self.may_open_cursor) {
            self.shift = self.shift.wrapping_sub(self.ahead).wrapping_sub(1);
            return Verdict::Taken;
        }
        if before_rows {
            self.put_eof(self.held_sequence, out);
            self.phase = Phase::Rows { begun: true };
        }
        self.reported = matches!(self.phase, Phase::First | Phase::Simple);
        Verdict::Relay
    }

    fn error(&mut self, payload: &[u8], out: &mut Pieces) -> Result<Verdict> {
        let error = packet::parse_err(payload)?;
        if self.phase == (Phase::Rows { begun: false }) {
            self.put_eof(self.held_sequence, out);
        }
        out.push(Reply::Err { seq: self.client_sequence(), error });
        self.phase = Phase::Done;
        Ok(Verdict::Taken)
    }

    fn end_of_rows(&mut self, begun: bool, payload: &[u8], out: &mut Pieces) -> Result<Verdict> {
        let ok = packet::parse_end_of_rows(payload, self.capabilities)?;
        if !begun && !self.opens_cursor(&ok) {
            self.put_eof(self.held_sequence, out);
        }
        self.result_ended(ok, true, out)
    }

    /// A result is complete; another one follows when the server says so.
    fn result_ended(&mut self, ok: OkPacket, ends_rows: bool, out: &mut Pieces) -> Result<Verdict> {
        let more = has(ok.status, StatusFlags::SERVER_MORE_RESULTS_EXISTS) && self.phase != Phase::Simple;
        self.status = ok.status;
        self.phase = if more { Phase::First } else { Phase::Done };
        let rows = core::mem::take(&mut self.rows);
        out.push(Reply::Ok { seq: self.client_sequence(), ends_rows, rows, ok });
        Ok(Verdict::Taken)
    }

    /// The rows are to be fetched.
    fn opens_cursor(&self, ok: &OkPacket) -> bool {
        self.may_open_cursor && execute::got_cursor(ok.status)
    }

    fn local_infile(&mut self, filename: &[u8], out: &mut Pieces) -> Result<Verdict> {
        out.push(Reply::LocalInfile { seq: self.client_sequence(), filename: filename.to_vec() });
        self.phase = Phase::LocalInfile;
        Ok(Verdict::Taken)
    }

    fn column_count(&mut self, payload: &[u8]) -> Result<Verdict> {
        let mut reader = Reader::new(payload);
        let left = reader.lenenc_int("column count")?;
        if !reader.is_empty() || left == 0 || left > COLUMNS_MAX {
            return Err(ProtocolError::Malformed("column count"));
        }
        self.phase = Phase::Columns { left };
        Ok(Verdict::Relay)
    }

    /// The server's EOF between columns and rows, or after the columns of a cursor.
    fn columns_eof(&mut self, payload: &[u8], out: &mut Pieces) -> Result<Verdict> {
        let eof = packet::parse_end_of_rows(payload, self.capabilities)?;
        if self.opens_cursor(&eof) {
            return self.result_ended(eof, true, out);
        }
        self.phase = Phase::Rows { begun: true };
        let announced = StatusFlags::SERVER_SESSION_STATE_CHANGED;
        if self.client.deprecate_eof || !has(eof.status, announced) {
            return Ok(self.pass_eof());
        }
        // What has changed is not in here, and the client may not want to hear of it.
        let eof = EofPacket { warnings: eof.warnings, status: eof.status & !announced.bits() };
        Self::write_eof(eof, self.client_sequence(), out);
        Ok(Verdict::Taken)
    }

    fn definitions_eof(&mut self, columns: u16, payload: &[u8]) -> Result<Verdict> {
        EofPacket::parse(payload)?;
        self.phase = definitions(0, columns);
        Ok(self.pass_eof())
    }

    /// The server's EOF after definitions is passed on, or taken out.
    fn pass_eof(&mut self) -> Verdict {
        if !self.client.deprecate_eof {
            return Verdict::Relay;
        }
        self.shift = self.shift.wrapping_sub(1);
        Verdict::Taken
    }

    fn prepared(&mut self, payload: &[u8], out: &mut Pieces) -> Result<Verdict> {
        let ok = PrepareOk::parse(payload)?;
        self.phase = definitions(ok.parameters, ok.columns);
        out.push(Reply::PrepareOk { seq: self.client_sequence(), ok });
        Ok(Verdict::Taken)
    }
}

/// The phase that expects a group of `left` definitions, then one of `columns`.
fn definitions(left: u16, columns: u16) -> Phase {
    match (left, columns) {
        (0, 0) => Phase::Done,
        (0, left) => Phase::Definitions { left, columns: 0 },
        (left, columns) => Phase::Definitions { left, columns },
    }
}

fn has(status: u16, flag: StatusFlags) -> bool {
    status & flag.bits() != 0
}
