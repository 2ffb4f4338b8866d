//! Result sets that Weir makes itself or reads for itself. Those of clients are relayed, not decoded.
//!
//! [`write_columns`], then rows, then [`write_end`]; or [`TextResultSet::write`] for a small one at once.
//! [`ResultReader`] reads one back, within a limit.
//! Source: MySQL source documentation, "Text Resultset", "Binary Protocol Resultset".

use super::ProtocolError;
use super::binary::{NullBitmap, Value, put_value, read_value};
use super::capability::{Agreed, CapabilityFlags, ColumnFlags, ColumnType};
use super::column::ColumnDefinition;
use super::frame::write_with;
use super::packet::{
    EOF, ERR, EofPacket, LOCAL_INFILE, OK, OkPacket, PrepareOk, encode_end_of_rows, ends_rows, parse_end_of_rows,
    parse_err,
};
use super::wire::{Reader, put_lenenc_int, put_nullable_str};
use crate::error::Error;

/// The most columns a server's table or view can have.
pub const COLUMNS_MAX: usize = 4096;

/// About as long is a short definition, its header included.
const DEFINITION_BYTES: usize = 48;

/// A row of the text protocol: values as text, or NULL.
pub type TextRow = Vec<Option<Vec<u8>>>;

/// Appends what comes before the rows: how many columns, and each one's definition.
pub fn write_columns(
    out: &mut Vec<u8>,
    sequence: &mut u8,
    columns: &[ColumnDefinition],
    status: u16,
    agreed: impl Into<Agreed>,
) {
    write_with(out, sequence, |out| put_lenenc_int(out, columns.len() as u64));
    write_definitions(out, sequence, columns, status, agreed.into());
}

/// Appends the answer to COM_STMT_PREPARE.
pub fn write_prepare_answer(
    out: &mut Vec<u8>,
    sequence: &mut u8,
    statement_id: u32,
    parameters: &[ColumnDefinition],
    columns: &[ColumnDefinition],
    status: u16,
    agreed: impl Into<Agreed>,
) {
    let agreed = agreed.into();
    debug_assert!(parameters.len() <= usize::from(u16::MAX) && columns.len() <= COLUMNS_MAX);
    let counts = (columns.len() as u16, parameters.len() as u16);
    let ok = PrepareOk { statement_id, columns: counts.0, parameters: counts.1, warnings: 0 };
    write_with(out, sequence, |out| ok.encode(out));
    for definitions in [parameters, columns].into_iter().filter(|definitions| !definitions.is_empty()) {
        write_definitions(out, sequence, definitions, status, agreed);
    }
}

fn write_definitions(
    out: &mut Vec<u8>,
    sequence: &mut u8,
    definitions: &[ColumnDefinition],
    status: u16,
    agreed: Agreed,
) {
    out.reserve(definitions.len() * DEFINITION_BYTES);
    for definition in definitions {
        write_with(out, sequence, |out| definition.encode(out, agreed.of_mariadb));
    }
    if !agreed.common.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
        write_with(out, sequence, |out| EofPacket { warnings: 0, status }.encode(out));
    }
}

/// Appends a row of the text protocol.
pub fn write_text_row<'a>(out: &mut Vec<u8>, sequence: &mut u8, values: impl IntoIterator<Item = Option<&'a [u8]>>) {
    write_with(out, sequence, |out| values.into_iter().for_each(|value| put_nullable_str(out, value)));
}

/// Appends what comes after the rows.
pub fn write_end(out: &mut Vec<u8>, sequence: &mut u8, ok: &OkPacket, capabilities: CapabilityFlags) {
    write_with(out, sequence, |out| encode_end_of_rows(ok, out, capabilities));
}

/// A small result set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextResultSet {
    /// Columns.
    pub columns: Vec<ColumnDefinition>,
    /// Rows, each with as many values as there are columns.
    pub rows: Vec<TextRow>,
}

impl TextResultSet {
    /// The value in the row of this index and the column of this name, in any case; `None` also when it is NULL.
    #[must_use]
    pub fn value(&self, row: usize, column: &str) -> Option<&[u8]> {
        let index = self.columns.iter().position(|known| known.name.eq_ignore_ascii_case(column.as_bytes()))?;
        self.rows.get(row)?.get(index)?.as_deref()
    }

    /// Appends the whole answer; `ok` ends it.
    pub fn write(&self, out: &mut Vec<u8>, sequence: &mut u8, ok: &OkPacket, agreed: impl Into<Agreed>) {
        let agreed = agreed.into();
        write_columns(out, sequence, &self.columns, ok.status, agreed);
        for row in &self.rows {
            write_text_row(out, sequence, row.iter().map(Option::as_deref));
        }
        write_end(out, sequence, ok, agreed.common);
    }
}

/// A server's answer to COM_QUERY.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// No result set.
    Ok(OkPacket),
    /// It failed.
    Err(Error),
    /// A result set, and how it ended.
    Rows(TextResultSet, OkPacket),
}

/// Reads one answer to COM_QUERY, packet by packet. For a further result set ([`OkPacket::status`] says so) start another one.
#[derive(Debug)]
pub struct ResultReader {
    agreed: Agreed,
    limit_bytes: usize,
    left_bytes: usize,
    columns: usize,
    result: TextResultSet,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    First,
    Columns,
    ColumnsEof,
    Rows,
}

impl ResultReader {
    /// A reader that holds at most `limit_bytes` of definitions and rows, counting what each value costs in memory.
    #[must_use]
    pub fn new(agreed: impl Into<Agreed>, limit_bytes: usize) -> Self {
        let result = TextResultSet::default();
        Self { agreed: agreed.into(), limit_bytes, left_bytes: limit_bytes, columns: 0, result, state: State::First }
    }

    /// Takes the next packet's payload; returns the answer when this was its last.
    ///
    /// # Errors
    /// `Malformed` for anything that is no answer to a query (a request for a file included), `TooLarge` over the limit.
    pub fn feed(&mut self, payload: &[u8]) -> Result<Option<Answer>, ProtocolError> {
        match self.state {
            State::First => self.on_first(payload),
            State::Columns => self.on_column(payload),
            State::ColumnsEof => {
                EofPacket::parse(payload)?;
                self.state = State::Rows;
                Ok(None)
            }
            State::Rows => self.on_row(payload),
        }
    }

    fn on_first(&mut self, payload: &[u8]) -> Result<Option<Answer>, ProtocolError> {
        match payload.first() {
            Some(&OK) => Ok(Some(Answer::Ok(OkPacket::parse(payload, self.agreed.common)?))),
            Some(&ERR) => Ok(Some(Answer::Err(parse_err(payload)?))),
            None | Some(&(LOCAL_INFILE | EOF)) => Err(ProtocolError::Malformed("answer to a query")),
            Some(_) => {
                let columns = Reader::new(payload).lenenc_int("column count")?;
                self.columns = usize::try_from(columns)
                    .ok()
                    .filter(|columns| (1..=COLUMNS_MAX).contains(columns))
                    .ok_or(ProtocolError::Malformed("column count"))?;
                self.state = State::Columns;
                Ok(None)
            }
        }
    }

    fn on_column(&mut self, payload: &[u8]) -> Result<Option<Answer>, ProtocolError> {
        self.charge(payload.len() + size_of::<ColumnDefinition>())?;
        self.result.columns.push(ColumnDefinition::parse(payload, self.agreed.of_mariadb)?);
        if self.result.columns.len() == self.columns {
            let deprecate_eof = self.agreed.common.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
            self.state = if deprecate_eof { State::Rows } else { State::ColumnsEof };
        }
        Ok(None)
    }

    fn on_row(&mut self, payload: &[u8]) -> Result<Option<Answer>, ProtocolError> {
        if payload.first().is_some_and(|first| ends_rows(*first, payload.len(), self.agreed.common)) {
            return Ok(Some(if payload[0] == ERR {
                Answer::Err(parse_err(payload)?)
            } else {
                let ok = parse_end_of_rows(payload, self.agreed.common)?;
                Answer::Rows(core::mem::take(&mut self.result), ok)
            }));
        }
        self.charge(payload.len() + size_of::<TextRow>() + self.columns * size_of::<Option<Vec<u8>>>())?;
        self.result.rows.push(parse_text_row(payload, self.columns)?);
        Ok(None)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), ProtocolError> {
        let too_large = ProtocolError::TooLarge { limit_bytes: self.limit_bytes };
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or(too_large)?;
        Ok(())
    }
}

/// Reads a row of the text protocol.
///
/// # Errors
/// `Malformed` when it has not exactly as many values as there are columns.
pub fn parse_text_row(payload: &[u8], columns: usize) -> Result<TextRow, ProtocolError> {
    let mut reader = Reader::new(payload);
    // Each value takes a byte at least.
    let mut row = TextRow::with_capacity(columns.min(payload.len()));
    for _ in 0..columns {
        row.push(reader.nullable_str("row value")?.map(<[u8]>::to_vec));
    }
    if reader.is_empty() { Ok(row) } else { Err(ProtocolError::Malformed("row with more values than columns")) }
}

/// Appends a row of the binary protocol.
///
/// # Errors
/// `Malformed` when a value does not belong to its column's type; nothing is appended then.
pub fn write_binary_row(
    out: &mut Vec<u8>,
    sequence: &mut u8,
    columns: &[ColumnDefinition],
    values: &[Value],
) -> Result<(), ProtocolError> {
    debug_assert_eq!(columns.len(), values.len(), "a row has a value for each column");
    let mut payload = vec![OK];
    NullBitmap::OF_ROW.put(&mut payload, values);
    for (column, value) in columns.iter().zip(values) {
        put_value(&mut payload, value, column.column_type)?;
    }
    super::frame::write_packet(out, sequence, &payload);
    Ok(())
}

/// Reads a row of the binary protocol.
///
/// # Errors
/// `Malformed` when it has not exactly one value for each column.
pub fn parse_binary_row(payload: &[u8], columns: &[ColumnDefinition]) -> Result<Vec<Value>, ProtocolError> {
    let mut reader = Reader::new(payload);
    if reader.u8("binary row header")? != OK {
        return Err(ProtocolError::Malformed("binary row header"));
    }
    let bitmap = reader.bytes(NullBitmap::OF_ROW.bytes(columns.len()), "binary row null bitmap")?;
    let mut values = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let is_null = NullBitmap::OF_ROW.is_null(bitmap, index) || column.column_type == ColumnType::MYSQL_TYPE_NULL;
        let is_unsigned = column.flags.contains(ColumnFlags::UNSIGNED_FLAG);
        values.push(if is_null { Value::NULL } else { read_value(&mut reader, column.column_type, is_unsigned)? });
    }
    if reader.is_empty() { Ok(values) } else { Err(ProtocolError::Malformed("row with more values than columns")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::frame::PacketReader;

    const LIMIT_BYTES: usize = 4096;

    fn read(bytes: &[u8], capabilities: CapabilityFlags) -> Result<Answer, ProtocolError> {
        let mut packets = PacketReader::new(1 << 20);
        let mut reader = ResultReader::new(capabilities, LIMIT_BYTES);
        let mut input = bytes;
        while let Some(packet) = packets.next(&mut input).unwrap() {
            if let Some(answer) = reader.feed(packet.payload)? {
                assert!(input.is_empty(), "the answer ends with its last packet");
                return Ok(answer);
            }
        }
        panic!("the answer has no end");
    }

    fn small() -> TextResultSet {
        TextResultSet {
            columns: vec![ColumnDefinition::text("Variable_name"), ColumnDefinition::text("Value")],
            rows: vec![vec![Some(b"read_only".to_vec()), Some(b"ON".to_vec())], vec![Some(b"x".to_vec()), None]],
        }
    }

    #[test]
    fn what_was_written_is_read_in_either_style() {
        let ok = OkPacket { status: 2, warnings: 1, ..OkPacket::default() };
        for capabilities in [CapabilityFlags::empty(), CapabilityFlags::CLIENT_DEPRECATE_EOF] {
            let mut out = Vec::new();
            small().write(&mut out, &mut 0, &ok, capabilities);
            assert_eq!(read(&out, capabilities), Ok(Answer::Rows(small(), ok.clone())));
        }
    }

    #[test]
    fn values_are_found_by_column_name() {
        assert_eq!(small().value(0, "VALUE"), Some(&b"ON"[..]));
        assert_eq!(small().value(1, "value"), None);
        assert_eq!(small().value(0, "other"), None);
        assert_eq!(small().value(9, "value"), None);
    }

    #[test]
    fn a_prepare_answer_names_only_the_groups_it_has() {
        let parameter = [ColumnDefinition::text("?")];
        let packets = |parameters: &[_], columns: &[_], capabilities| {
            let (mut out, mut sequence) = (Vec::new(), 1);
            write_prepare_answer(&mut out, &mut sequence, 7, parameters, columns, 2, capabilities);
            assert_eq!(PrepareOk::parse(&out[4..16]).unwrap().statement_id, 7);
            sequence - 1
        };
        let (eof, no_eof) = (CapabilityFlags::empty(), CapabilityFlags::CLIENT_DEPRECATE_EOF);
        assert_eq!(packets(&[], &[], eof), 1);
        assert_eq!(packets(&parameter, &[], eof), 3);
        assert_eq!(packets(&parameter, &small().columns, eof), 6);
        assert_eq!(packets(&parameter, &small().columns, no_eof), 4);
    }

    #[test]
    fn an_error_among_the_rows_is_the_answer() {
        let capabilities = CapabilityFlags::CLIENT_DEPRECATE_EOF;
        let mut reader = ResultReader::new(capabilities, LIMIT_BYTES);
        let mut column = Vec::new();
        ColumnDefinition::integer("n").encode(&mut column, Agreed::from(capabilities).of_mariadb);
        assert_eq!(reader.feed(b"\x01"), Ok(None));
        assert_eq!(reader.feed(&column), Ok(None));
        assert_eq!(reader.feed(b"\x011"), Ok(None));
        let Ok(Some(Answer::Err(error))) = reader.feed(b"\xff\x25\x05#70100Query execution was interrupted") else {
            panic!("an error")
        };
        assert_eq!(error.code, 1317);
    }

    #[test]
    fn an_answer_over_the_limit_is_refused() {
        let mut rows = small();
        rows.rows = vec![vec![None, None]; LIMIT_BYTES / 10];
        let mut out = Vec::new();
        rows.write(&mut out, &mut 0, &OkPacket::default(), CapabilityFlags::empty());
        let too_large = ProtocolError::TooLarge { limit_bytes: LIMIT_BYTES };
        assert_eq!(read(&out, CapabilityFlags::empty()), Err(too_large));
    }

    #[test]
    fn a_request_for_a_file_is_no_answer() {
        let mut reader = ResultReader::new(CapabilityFlags::empty(), LIMIT_BYTES);
        assert!(reader.feed(b"\xfb/etc/passwd").is_err());
    }
}
