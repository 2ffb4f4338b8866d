//! Values in the binary protocol: parameters of prepared statements, and the rows they answer with.
//!
//! Source: MySQL source documentation, "Binary Protocol Resultset: Binary Protocol Value".

use super::ProtocolError;
use super::capability::ColumnType;
use super::wire::{Reader, put_lenenc_str};
pub use mysql_common::Value;
use mysql_common::proto::MySerialize;

const MISMATCH: ProtocolError = ProtocolError::Malformed("value of another type than its column's");

/// How a type's values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Null,
    Integer { bytes: usize },
    Float,
    Double,
    Date,
    Time,
    Text,
}

impl Layout {
    /// `None` for types that never leave a server.
    const fn of(column_type: ColumnType) -> Option<Self> {
        Some(match column_type {
            ColumnType::MYSQL_TYPE_NULL => Self::Null,
            ColumnType::MYSQL_TYPE_TINY => Self::Integer { bytes: 1 },
            ColumnType::MYSQL_TYPE_SHORT | ColumnType::MYSQL_TYPE_YEAR => Self::Integer { bytes: 2 },
            ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24 => Self::Integer { bytes: 4 },
            ColumnType::MYSQL_TYPE_LONGLONG => Self::Integer { bytes: 8 },
            ColumnType::MYSQL_TYPE_FLOAT => Self::Float,
            ColumnType::MYSQL_TYPE_DOUBLE => Self::Double,
            ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_TIMESTAMP => {
                Self::Date
            }
            ColumnType::MYSQL_TYPE_TIME => Self::Time,
            ColumnType::MYSQL_TYPE_DECIMAL
            | ColumnType::MYSQL_TYPE_NEWDECIMAL
            | ColumnType::MYSQL_TYPE_VARCHAR
            | ColumnType::MYSQL_TYPE_BIT
            | ColumnType::MYSQL_TYPE_ENUM
            | ColumnType::MYSQL_TYPE_SET
            | ColumnType::MYSQL_TYPE_TINY_BLOB
            | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
            | ColumnType::MYSQL_TYPE_LONG_BLOB
            | ColumnType::MYSQL_TYPE_BLOB
            | ColumnType::MYSQL_TYPE_VAR_STRING
            | ColumnType::MYSQL_TYPE_STRING
            | ColumnType::MYSQL_TYPE_GEOMETRY
            | ColumnType::MYSQL_TYPE_VECTOR
            | ColumnType::MYSQL_TYPE_JSON => Self::Text,
            ColumnType::MYSQL_TYPE_NEWDATE
            | ColumnType::MYSQL_TYPE_TIMESTAMP2
            | ColumnType::MYSQL_TYPE_DATETIME2
            | ColumnType::MYSQL_TYPE_TIME2
            | ColumnType::MYSQL_TYPE_TYPED_ARRAY
            | ColumnType::MYSQL_TYPE_UNKNOWN => return None,
        })
    }
}

/// The type of a parameter by the two bytes that stand for it, and whether it is unsigned.
pub(super) fn type_of_pair(pair: [u8; 2]) -> Result<(ColumnType, bool), ProtocolError> {
    const UNSIGNED: u8 = 0x80;
    let column_type = ColumnType::try_from(pair[0]).map_err(|_| ProtocolError::Malformed("parameter type"))?;
    Ok((column_type, pair[1] & UNSIGNED != 0))
}

/// Reads one value that is not NULL.
///
/// # Errors
/// `Malformed` when it is cut short, or of a type that never leaves a server.
pub fn read_value(reader: &mut Reader<'_>, column_type: ColumnType, is_unsigned: bool) -> Result<Value, ProtocolError> {
    match Layout::of(column_type).ok_or(ProtocolError::Malformed("value type"))? {
        Layout::Null => Ok(Value::NULL),
        Layout::Integer { bytes } => {
            let mut wide = [0; 8];
            wide[..bytes].copy_from_slice(reader.bytes(bytes, "integer value")?);
            let value = u64::from_le_bytes(wide);
            let unused_bits = 64 - 8 * bytes as u32;
            Ok(if is_unsigned { Value::UInt(value) } else { Value::Int((value << unused_bits) as i64 >> unused_bits) })
        }
        Layout::Float => reader.u32("float value").map(|bits| Value::Float(f32::from_bits(bits))),
        Layout::Double => reader.u64("double value").map(|bits| Value::Double(f64::from_bits(bits))),
        Layout::Date => read_date(reader),
        Layout::Time => read_time(reader),
        Layout::Text => Ok(Value::Bytes(reader.lenenc_str("text value")?.to_vec())),
    }
}

fn read_date(reader: &mut Reader<'_>) -> Result<Value, ProtocolError> {
    const PART: &str = "date value";
    let len = reader.u8(PART)?;
    if !matches!(len, 0 | 4 | 7 | 11) {
        return Err(ProtocolError::Malformed(PART));
    }
    let (mut year, mut month, mut day) = (0, 0, 0);
    let (mut hour, mut minute, mut second, mut micros) = (0, 0, 0, 0);
    if len >= 4 {
        (year, month, day) = (reader.u16(PART)?, reader.u8(PART)?, reader.u8(PART)?);
    }
    if len >= 7 {
        (hour, minute, second) = (reader.u8(PART)?, reader.u8(PART)?, reader.u8(PART)?);
    }
    if len == 11 {
        micros = reader.u32(PART)?;
    }
    Ok(Value::Date(year, month, day, hour, minute, second, micros))
}

fn read_time(reader: &mut Reader<'_>) -> Result<Value, ProtocolError> {
    const PART: &str = "time value";
    let len = reader.u8(PART)?;
    match len {
        0 => return Ok(Value::Time(false, 0, 0, 0, 0, 0)),
        8 | 12 => {}
        _ => return Err(ProtocolError::Malformed(PART)),
    }
    let is_negative = reader.u8(PART)? != 0;
    let days = reader.u32(PART)?;
    let (hours, minutes, seconds) = (reader.u8(PART)?, reader.u8(PART)?, reader.u8(PART)?);
    let micros = if len == 12 { reader.u32(PART)? } else { 0 };
    Ok(Value::Time(is_negative, days, hours, minutes, seconds, micros))
}

/// Appends one value in the layout of `column_type`; NULL takes no bytes (a bitmap says so).
///
/// # Errors
/// `Malformed` when the value does not belong to that type. Integers are cut to the type's width.
pub fn put_value(out: &mut Vec<u8>, value: &Value, column_type: ColumnType) -> Result<(), ProtocolError> {
    match (Layout::of(column_type).ok_or(MISMATCH)?, value) {
        (_, Value::NULL) => {}
        (Layout::Integer { bytes }, Value::Int(value)) => out.extend_from_slice(&value.to_le_bytes()[..bytes]),
        (Layout::Integer { bytes }, Value::UInt(value)) => out.extend_from_slice(&value.to_le_bytes()[..bytes]),
        (Layout::Text, Value::Bytes(text)) => put_lenenc_str(out, text),
        (Layout::Float, Value::Float(_))
        | (Layout::Double, Value::Double(_))
        | (Layout::Date, Value::Date(..))
        | (Layout::Time, Value::Time(..)) => value.serialize(out),
        _ => return Err(MISMATCH),
    }
    Ok(())
}

/// The type that a parameter of this value is sent as, and whether it is unsigned.
#[must_use]
pub const fn type_of(value: &Value) -> (ColumnType, bool) {
    match value {
        Value::NULL => (ColumnType::MYSQL_TYPE_NULL, false),
        Value::Bytes(_) => (ColumnType::MYSQL_TYPE_VAR_STRING, false),
        Value::Int(_) => (ColumnType::MYSQL_TYPE_LONGLONG, false),
        Value::UInt(_) => (ColumnType::MYSQL_TYPE_LONGLONG, true),
        Value::Float(_) => (ColumnType::MYSQL_TYPE_FLOAT, false),
        Value::Double(_) => (ColumnType::MYSQL_TYPE_DOUBLE, false),
        Value::Date(..) => (ColumnType::MYSQL_TYPE_DATETIME, false),
        Value::Time(..) => (ColumnType::MYSQL_TYPE_TIME, false),
    }
}

/// Bits that say which values are NULL. A row's bitmap leaves its first two bits free, a statement's parameters do not.
#[derive(Clone, Copy, Debug)]
pub(super) struct NullBitmap {
    offset: usize,
}

impl NullBitmap {
    pub(super) const OF_PARAMETERS: Self = Self { offset: 0 };
    pub(super) const OF_ROW: Self = Self { offset: 2 };

    /// Length for `count` values.
    pub(super) const fn bytes(self, count: usize) -> usize {
        (count + self.offset).div_ceil(8)
    }

    pub(super) fn is_null(self, bitmap: &[u8], index: usize) -> bool {
        let bit = index + self.offset;
        bitmap.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
    }

    pub(super) fn put(self, out: &mut Vec<u8>, values: &[Value]) {
        let start = out.len();
        out.resize(start + self.bytes(values.len()), 0);
        for (index, _) in values.iter().enumerate().filter(|(_, value)| **value == Value::NULL) {
            let bit = index + self.offset;
            out[start + bit / 8] |= 1 << (bit % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_sign_at_every_width() {
        for column_type in [
            ColumnType::MYSQL_TYPE_TINY,
            ColumnType::MYSQL_TYPE_SHORT,
            ColumnType::MYSQL_TYPE_INT24,
            ColumnType::MYSQL_TYPE_LONGLONG,
        ] {
            for value in [Value::Int(-5), Value::Int(100), Value::UInt(200)] {
                let mut out = Vec::new();
                put_value(&mut out, &value, column_type).unwrap();
                let is_unsigned = matches!(value, Value::UInt(_));
                assert_eq!(read_value(&mut Reader::new(&out), column_type, is_unsigned), Ok(value));
            }
        }
    }

    #[test]
    fn a_date_of_a_length_that_there_is_not_is_malformed() {
        let read = |bytes| read_value(&mut Reader::new(bytes), ColumnType::MYSQL_TYPE_DATE, false);
        assert_eq!(read(b"\x05\xe8\x07\x01\x02\x03"), Err(ProtocolError::Malformed("date value")));
        assert_eq!(read(b"\x04\xe8\x07\x01\x02"), Ok(Value::Date(2024, 1, 2, 0, 0, 0, 0)));
    }

    #[test]
    fn a_value_goes_only_into_a_column_of_its_type() {
        let mut out = Vec::new();
        assert!(put_value(&mut out, &Value::Int(1), ColumnType::MYSQL_TYPE_VAR_STRING).is_err());
        assert!(put_value(&mut out, &Value::Int(1), ColumnType::MYSQL_TYPE_UNKNOWN).is_err());
        assert!(out.is_empty());
    }
}
