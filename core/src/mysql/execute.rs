//! COM_STMT_EXECUTE after its command byte and statement id: flags, iteration count and parameters.
//!
//! A client sends its parameters' types once and may leave them out afterwards. Another server connection has not seen
//! them, so that a session keeps them and puts them back in: [`Execute::with_types`].
//! Source: MySQL source documentation, "COM_STMT_EXECUTE".

use super::ProtocolError;
use super::binary::{NullBitmap, Value, put_value, read_value, type_of, type_of_pair};
use super::capability::StatusFlags;
use super::wire::Reader;

/// Flag: open a read-only cursor instead of sending the rows.
pub const CURSOR_READ_ONLY: u8 = 0x01;
/// Bytes of one parameter's type: the type, and a flag in the upper bit of the second byte.
pub const TYPE_BYTES: usize = 2;
const UNSIGNED: u8 = 0x80;
/// How many times to execute; the protocol knows no other number.
const ITERATIONS: u32 = 1;

/// Whether the execution with this body asks for a cursor.
#[must_use]
pub fn asks_for_cursor(body: &[u8]) -> bool {
    body.first().is_some_and(|flags| flags & CURSOR_READ_ONLY != 0)
}

/// Whether an execution that asked for a cursor has got one, by the status flags of its columns' end.
///
/// MariaDB raises the same flag in what a procedure or a function returns that has used a cursor of its own: there the rows follow,
/// and after a procedure's always more. Where no cursor was asked for, the flag means nothing.
#[must_use]
pub const fn got_cursor(status: u16) -> bool {
    const CURSOR: u16 = StatusFlags::SERVER_STATUS_CURSOR_EXISTS.bits();
    const MORE: u16 = StatusFlags::SERVER_MORE_RESULTS_EXISTS.bits();
    status & (CURSOR | MORE) == CURSOR
}

/// The parts of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Cursor flags.
    pub flags: u8,
    /// Iteration count, always 1.
    pub iterations: u32,
    /// One bit for each parameter that is NULL.
    pub null_bitmap: &'a [u8],
    /// The parameters' types ([`TYPE_BYTES`] each), when the client sent them this time.
    pub types: Option<&'a [u8]>,
    /// Values of those parameters that are neither NULL nor sent as long data.
    pub values: &'a [u8],
}

impl<'a> Execute<'a> {
    /// Reads the body of an execution of a statement with this number of parameters.
    ///
    /// # Errors
    /// `Malformed` when it is cut short.
    pub fn parse(body: &'a [u8], parameters: u16) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        let flags = reader.u8("execute flags")?;
        let iterations = reader.u32("execute iterations")?;
        if parameters == 0 {
            return Ok(Self { flags, iterations, null_bitmap: &[], types: None, values: &[] });
        }
        let parameters = usize::from(parameters);
        let null_bitmap = reader.bytes(NullBitmap::OF_PARAMETERS.bytes(parameters), "execute null bitmap")?;
        let types = match reader.u8("execute types flag")? {
            0 => None,
            _ => Some(reader.bytes(parameters * TYPE_BYTES, "execute types")?),
        };
        Ok(Self { flags, iterations, null_bitmap, types, values: reader.rest() })
    }

    /// The client asks for a cursor.
    #[must_use]
    pub const fn opens_cursor(&self) -> bool {
        self.flags & CURSOR_READ_ONLY != 0
    }

    /// The same execution as a body that any server connection understands: with the types in it, those that the client sent this
    /// time or else the ones it `bound` earlier. `None` when it never sent any, which a server refuses as well.
    #[must_use]
    pub fn with_types(&self, bound: Option<&[u8]>) -> Option<Vec<u8>> {
        let types = match self.types.or(bound) {
            Some(types) => types,
            None if self.null_bitmap.is_empty() => &[],
            None => return None,
        };
        let mut body = Vec::with_capacity(6 + self.null_bitmap.len() + types.len() + self.values.len());
        Execute { types: Some(types), ..*self }.encode(&mut body);
        Some(body)
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        out.extend_from_slice(&self.iterations.to_le_bytes());
        if self.null_bitmap.is_empty() {
            return;
        }
        out.extend_from_slice(self.null_bitmap);
        out.push(u8::from(self.types.is_some()));
        out.extend_from_slice(self.types.unwrap_or_default());
        out.extend_from_slice(self.values);
    }

    /// Reads the parameters' values, by the types sent this time or `bound` earlier. `is_long` says which were sent as long data:
    /// for those stands an empty string.
    ///
    /// # Errors
    /// `Malformed` when there are no types, one is not known, or a value is cut short.
    pub fn parameters(&self, bound: Option<&[u8]>, is_long: impl Fn(u16) -> bool) -> Result<Vec<Value>, ProtocolError> {
        if self.null_bitmap.is_empty() {
            return Ok(Vec::new());
        }
        let types = self.types.or(bound).ok_or(ProtocolError::Malformed("execute types"))?;
        let mut reader = Reader::new(self.values);
        let mut values = Vec::new();
        for (index, pair) in types.as_chunks::<TYPE_BYTES>().0.iter().enumerate() {
            values.push(if NullBitmap::OF_PARAMETERS.is_null(self.null_bitmap, index) {
                Value::NULL
            } else if is_long(index as u16) {
                Value::Bytes(Vec::new())
            } else {
                let (column_type, is_unsigned) = type_of_pair(*pair)?;
                read_value(&mut reader, column_type, is_unsigned)?
            });
        }
        Ok(values)
    }
}

/// Flag of a bulk: the parameters' types are in it.
pub const BULK_SENDS_TYPES: u16 = 0x80;

/// COM_STMT_BULK_EXECUTE after its command byte and statement id: flags, types, and sets of parameters, which stay unread.
/// Source: MariaDB manual, "COM_STMT_BULK_EXECUTE".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkExecute<'a> {
    flags: u16,
    /// Types, when they are sent, and sets.
    rest: &'a [u8],
}

impl<'a> BulkExecute<'a> {
    /// Reads the front of a body.
    ///
    /// # Errors
    /// `Malformed` when it is cut short.
    pub fn parse(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(body);
        Ok(Self { flags: reader.u16("bulk flags")?, rest: reader.rest() })
    }

    /// It wants nothing but the types to be read: a result of each set is not to be had.
    #[must_use]
    pub const fn is_served(&self) -> bool {
        self.flags & !BULK_SENDS_TYPES == 0
    }

    /// The types of this number of parameters ([`TYPE_BYTES`] each), when the client sent them this time.
    #[must_use]
    pub fn types(&self, parameters: usize) -> Option<&'a [u8]> {
        self.rest.get(..parameters * TYPE_BYTES).filter(|_| self.flags & BULK_SENDS_TYPES != 0)
    }

    /// As [`Execute::with_types`].
    #[must_use]
    pub fn with_types(&self, parameters: usize, bound: Option<&[u8]>) -> Option<Vec<u8>> {
        let types = match self.flags & BULK_SENDS_TYPES {
            0 if parameters > 0 => bound?,
            _ => &[],
        };
        let flags = (self.flags | BULK_SENDS_TYPES).to_le_bytes();
        Some([&flags[..], types, self.rest].concat())
    }
}

/// Appends the body of an execution with these parameters, each sent as the type of its value.
pub fn encode_parameters(flags: u8, values: &[Value], out: &mut Vec<u8>) {
    out.push(flags);
    out.extend_from_slice(&ITERATIONS.to_le_bytes());
    if values.is_empty() {
        return;
    }
    NullBitmap::OF_PARAMETERS.put(out, values);
    out.push(1);
    for value in values {
        let (column_type, is_unsigned) = type_of(value);
        out.extend_from_slice(&[column_type.into(), if is_unsigned { UNSIGNED } else { 0 }]);
    }
    for value in values {
        let put = put_value(out, value, type_of(value).0);
        debug_assert!(put.is_ok(), "a value fits its own type");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_were_left_out_are_put_back_in() {
        let values = [Value::Int(7), Value::NULL, Value::Bytes(b"x".to_vec())];
        let mut first = Vec::new();
        encode_parameters(CURSOR_READ_ONLY, &values, &mut first);
        let sent = Execute::parse(&first, 3).unwrap();
        assert!(sent.opens_cursor());
        assert_eq!(sent.with_types(None).unwrap(), first);

        let mut again = Vec::new();
        Execute { types: None, ..sent }.encode(&mut again);
        let left_out = Execute::parse(&again, 3).unwrap();
        assert_eq!(left_out.types, None);
        assert_eq!(left_out.with_types(None), None);
        assert_eq!(left_out.with_types(sent.types).unwrap(), first);
        assert_eq!(left_out.parameters(sent.types, |_| false).unwrap(), values);
    }

    #[test]
    fn long_data_has_no_value_in_the_body() {
        let mut body = Vec::new();
        encode_parameters(0, &[Value::Bytes(Vec::new()), Value::Int(1)], &mut body);
        // The client leaves the long one's value out: here its length byte.
        body.remove(body.len() - 9);
        let execute = Execute::parse(&body, 2).unwrap();
        let values = execute.parameters(None, |parameter| parameter == 0).unwrap();
        assert_eq!(values, [Value::Bytes(Vec::new()), Value::Int(1)]);
    }

    #[test]
    fn a_statement_without_parameters_needs_no_types() {
        let mut body = Vec::new();
        encode_parameters(0, &[], &mut body);
        let execute = Execute::parse(&body, 0).unwrap();
        assert_eq!(execute.with_types(None).unwrap(), body);
        assert!(execute.parameters(None, |_| false).unwrap().is_empty());
    }

    #[test]
    fn types_that_a_bulk_left_out_are_put_back_in() {
        let types = [8, 0, 253, 0];
        let sets = b"\x00\x01\0\0\0\0\0\0\0\x01";
        let first = [&[0x80, 0][..], &types, sets].concat();
        let bulk = BulkExecute::parse(&first).unwrap();
        assert_eq!((bulk.types(2), bulk.is_served()), (Some(&types[..]), true));
        assert_eq!(bulk.with_types(2, None).unwrap(), first);
        let again = [&[0, 0][..], sets].concat();
        let bulk = BulkExecute::parse(&again).unwrap();
        assert_eq!((bulk.types(2), bulk.with_types(2, None)), (None, None));
        assert_eq!(bulk.with_types(2, Some(&types)).unwrap(), first);
    }

    #[test]
    fn a_bulk_may_be_cut_short_and_want_what_is_not_served() {
        assert!(BulkExecute::parse(&[0x80]).is_err());
        let bulk = BulkExecute::parse(&[0x80, 0, 8, 0]).unwrap();
        assert_eq!(bulk.types(2), None, "the server says that it is malformed");
        assert!(!BulkExecute::parse(&[0xc0, 0]).unwrap().is_served());
    }

    #[test]
    fn a_body_that_is_cut_short_is_malformed() {
        let mut body = Vec::new();
        encode_parameters(0, &[Value::Int(1)], &mut body);
        for len in 0..8 {
            assert!(Execute::parse(&body[..len], 1).is_err(), "{len}");
        }
        assert!(Execute::parse(&body[..12], 1).unwrap().parameters(None, |_| false).is_err());
    }
}
