//! Query attributes: names and values that a client of MySQL's sends with a statement, beside its text and its parameters.
//!
//! Where [`CLIENT_QUERY_ATTRIBUTES`](super::capability::CapabilityFlags::CLIENT_QUERY_ATTRIBUTES) holds, every COM_QUERY begins with them,
//! and those of a COM_STMT_EXECUTE stand among its parameters, behind the statement's own. Servers behind Weir are not asked for the
//! capability: what goes to them is made anew, as clients without it write it.
//! Source: MySQL source documentation, "COM_QUERY" and "COM_STMT_EXECUTE".

use super::ProtocolError;
use super::binary::{NullBitmap, Value, read_value, type_of_pair};
use super::execute::TYPE_BYTES;
use super::wire::Reader;

/// Flag of an execution: it says how many parameters it has.
const PARAMETER_COUNT_AVAILABLE: u8 = 0x08;

/// Attributes by their names, in their order.
pub type Attributes<'a> = Vec<(&'a [u8], Value)>;

/// Bytes of the attribute of this name, if there is such a one and it is text.
#[must_use]
pub fn text_of<'a>(attributes: &'a Attributes<'_>, name: &[u8]) -> Option<&'a [u8]> {
    attributes.iter().find_map(|(own, value)| match value {
        Value::Bytes(text) if *own == name => Some(&**text),
        _ => None,
    })
}

/// The text of a COM_QUERY, and its attributes; `body` is what follows the command byte.
///
/// # Errors
/// `Malformed` when it is cut short, or of several sets.
pub fn split_query(body: &[u8]) -> Result<(Attributes<'_>, &[u8]), ProtocolError> {
    const PART: &str = "query attributes";
    let mut reader = Reader::new(body);
    let count = usize::try_from(reader.lenenc_int(PART)?).map_err(|_| ProtocolError::Malformed(PART))?;
    if reader.lenenc_int(PART)? != 1 {
        return Err(ProtocolError::Malformed("sets of query attributes"));
    }
    if count == 0 {
        return Ok((Attributes::new(), reader.rest()));
    }
    // Each has more than one byte, so that no number makes the bitmap's length overflow.
    if count > reader.len() {
        return Err(ProtocolError::Malformed(PART));
    }
    let nulls = reader.bytes(NullBitmap::OF_PARAMETERS.bytes(count), PART)?;
    if reader.u8(PART)? != 1 {
        return Err(ProtocolError::Malformed("types of query attributes"));
    }
    let types = read_types(&mut reader, count)?;
    let mut attributes = Attributes::new();
    for (index, (pair, name)) in types.into_iter().enumerate() {
        attributes.push((name, read(&mut reader, nulls, index, pair)?));
    }
    Ok((attributes, reader.rest()))
}

/// The body of a COM_STMT_EXECUTE as clients without the capability write it, and its attributes. `parameters`: how many the statement has;
/// `bound`: their types, if they were sent before; `is_long`: which were sent as long data, and have no value here.
///
/// Attributes whose types are not sent with them are left out.
///
/// # Errors
/// `Malformed` when it is cut short, or has fewer parameters than the statement.
pub fn split_execute<'a>(
    body: &'a [u8],
    parameters: u16,
    bound: Option<&[u8]>,
    is_long: impl Fn(u16) -> bool,
) -> Result<(Vec<u8>, Attributes<'a>), ProtocolError> {
    const PART: &str = "execute parameters";
    let mut reader = Reader::new(body);
    let flags = reader.u8("execute flags")?;
    let iterations = reader.bytes(4, "execute iterations")?;
    let own = usize::from(parameters);
    let mut bare = vec![flags & !PARAMETER_COUNT_AVAILABLE];
    bare.extend_from_slice(iterations);
    if own == 0 && flags & PARAMETER_COUNT_AVAILABLE == 0 {
        return Ok((bare, Attributes::new()));
    }
    let count = usize::try_from(reader.lenenc_int(PART)?).map_err(|_| ProtocolError::Malformed(PART))?;
    if count < own || count > own + reader.len() {
        return Err(ProtocolError::Malformed("execute parameter count"));
    }
    if count == 0 {
        return Ok((bare, Attributes::new()));
    }
    let nulls = reader.bytes(NullBitmap::OF_PARAMETERS.bytes(count), PART)?;
    let sends_types = reader.u8("execute types flag")? != 0;
    let types = if sends_types { read_types(&mut reader, count)? } else { Vec::new() };
    let of_types: Vec<u8> = types.iter().take(own).flat_map(|(pair, _)| *pair).collect();
    let values = reader.peek();
    let known = if sends_types { Some(&*of_types) } else { bound };
    for (index, pair) in known.unwrap_or_default().as_chunks::<TYPE_BYTES>().0.iter().enumerate().take(own) {
        if !is_long(index as u16) {
            read(&mut reader, nulls, index, *pair)?;
        }
    }
    // Without types nobody can tell where the values end, nor what they are: the session refuses it.
    let values = if known.is_some() { &values[..values.len() - reader.len()] } else { values };
    let mut attributes = Attributes::new();
    for (index, (pair, name)) in types.into_iter().enumerate().skip(own) {
        attributes.push((name, read(&mut reader, nulls, index, pair)?));
    }
    if own > 0 {
        bare.extend_from_slice(&nulls[..NullBitmap::OF_PARAMETERS.bytes(own)]);
        if let (Some(last), false) = (bare.last_mut(), own % 8 == 0) {
            *last &= (1 << (own % 8)) - 1;
        }
        bare.push(u8::from(sends_types));
        bare.extend_from_slice(&of_types);
        bare.extend_from_slice(values);
    }
    Ok((bare, attributes))
}

type Type<'a> = ([u8; TYPE_BYTES], &'a [u8]);

fn read_types<'a>(reader: &mut Reader<'a>, count: usize) -> Result<Vec<Type<'a>>, ProtocolError> {
    let one = |_| Ok((reader.u16("a parameter's type")?.to_le_bytes(), reader.lenenc_str("a parameter's name")?));
    (0..count).map(one).collect()
}

fn read(reader: &mut Reader<'_>, nulls: &[u8], index: usize, pair: [u8; TYPE_BYTES]) -> Result<Value, ProtocolError> {
    if NullBitmap::OF_PARAMETERS.is_null(nulls, index) {
        return Ok(Value::NULL);
    }
    let (column_type, is_unsigned) = type_of_pair(pair)?;
    read_value(reader, column_type, is_unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::execute::Execute;

    const LONG: u8 = 3;
    const STRING: u8 = 254;

    fn parameter(out: &mut Vec<u8>, kind: u8, name: &str) {
        out.extend_from_slice(&[kind, 0, name.len() as u8]);
        out.extend_from_slice(name.as_bytes());
    }

    #[test]
    fn a_query_is_split_from_its_attributes() {
        assert_eq!(split_query(b"\x00\x01SELECT 1"), Ok((Vec::new(), &b"SELECT 1"[..])));
        let mut body = vec![3, 1, 0b010, 1];
        for (kind, name) in [(STRING, "traceparent"), (STRING, "none"), (LONG, "n")] {
            parameter(&mut body, kind, name);
        }
        body.extend_from_slice(b"\x02ab\x07\0\0\0SELECT 1");
        let (attributes, sql) = split_query(&body).unwrap();
        assert_eq!(sql, b"SELECT 1");
        assert_eq!(text_of(&attributes, b"traceparent"), Some(&b"ab"[..]));
        assert_eq!((text_of(&attributes, b"n"), text_of(&attributes, b"none")), (None, None));
        for broken in [
            &b""[..],
            b"\x00",
            b"\x00\x02SELECT 1",
            b"\x01\x01\0\0\xfe\0\0x",
            b"\x01\x01",
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert!(split_query(broken).is_err(), "{broken:?}");
        }
        for end in 4..body.len() - b"SELECT 1".len() {
            assert!(split_query(&body[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn an_execution_is_split_from_its_attributes() {
        // Two parameters of the statement's own, of which the second is NULL, and an attribute.
        let mut body = vec![PARAMETER_COUNT_AVAILABLE, 1, 0, 0, 0, 3, 0b010, 1];
        for (kind, name) in [(LONG, ""), (STRING, ""), (STRING, "traceparent")] {
            parameter(&mut body, kind, name);
        }
        body.extend_from_slice(b"\x07\0\0\0\x02ab");
        let (bare, attributes) = split_execute(&body, 2, None, |_| false).unwrap();
        assert_eq!(text_of(&attributes, b"traceparent"), Some(&b"ab"[..]));
        let execute = Execute::parse(&bare, 2).unwrap();
        assert_eq!((execute.flags, execute.null_bitmap, execute.values), (0, &[0b010][..], &[7, 0, 0, 0][..]));
        assert_eq!(execute.types, Some(&[LONG, 0, STRING, 0][..]));
        for end in 0..body.len() {
            assert!(split_execute(&body[..end], 2, None, |_| false).is_err(), "{end}");
        }
        assert!(split_execute(&body, 4, None, |_| false).is_err(), "it has fewer");
    }

    #[test]
    fn an_execution_without_types_goes_by_those_sent_before() {
        let body = [&[PARAMETER_COUNT_AVAILABLE, 1, 0, 0, 0, 2, 0, 0][..], b"\x07\0\0\0\x02ab"].concat();
        let (bare, attributes) = split_execute(&body, 1, Some(&[LONG, 0]), |_| false).unwrap();
        assert!(attributes.is_empty());
        let execute = Execute::parse(&bare, 1).unwrap();
        assert_eq!((execute.types, execute.values), (None, &[7, 0, 0, 0][..]));
    }

    #[test]
    fn what_was_sent_as_long_data_has_no_value() {
        let mut body = vec![PARAMETER_COUNT_AVAILABLE, 1, 0, 0, 0, 2, 0, 1];
        for (kind, name) in [(STRING, ""), (STRING, "traceparent")] {
            parameter(&mut body, kind, name);
        }
        body.extend_from_slice(b"\x02ab");
        let (bare, attributes) = split_execute(&body, 1, None, |index| index == 0).unwrap();
        assert_eq!(text_of(&attributes, b"traceparent"), Some(&b"ab"[..]));
        assert_eq!(Execute::parse(&bare, 1).unwrap().values, b"");
    }

    #[test]
    fn a_statement_without_parameters_may_have_attributes() {
        let plain = [0, 1, 0, 0, 0];
        assert_eq!(split_execute(&plain, 0, None, |_| false), Ok((plain.to_vec(), Vec::new())));
        assert_eq!(split_execute(&[8, 1, 0, 0, 0, 0], 0, None, |_| false), Ok((plain.to_vec(), Vec::new())));
        let mut body = vec![PARAMETER_COUNT_AVAILABLE, 1, 0, 0, 0, 1, 0, 1];
        parameter(&mut body, STRING, "traceparent");
        body.extend_from_slice(b"\x02ab");
        let (bare, attributes) = split_execute(&body, 0, None, |_| false).unwrap();
        assert_eq!((&*bare, text_of(&attributes, b"traceparent")), (&plain[..], Some(&b"ab"[..])));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_strange_to_be_read(
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            parameters in 0_u16..12,
        ) {
            let _ = split_query(&body);
            let _ = split_execute(&body, parameters, None, |index| index % 3 == 0);
            let _ = split_execute(&body, parameters, Some(&[LONG, 0, STRING, 0]), |_| false);
        }
    }
}
