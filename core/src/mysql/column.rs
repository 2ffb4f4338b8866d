//! Column definitions: what a result set's columns and a prepared statement's parameters look like.
//!
//! Source: MySQL source documentation, "Column Definition Packet".

use super::ProtocolError;
use super::capability::{ColumnFlags, ColumnType, MariaDbCapabilities};
use super::wire::{Reader, put_lenenc_int, put_lenenc_str};

/// Bytes of the fields of fixed length.
const FIXED_BYTES: u64 = 0x0c;
const CATALOG: &[u8] = b"def";
/// Collation id of utf8mb4_general_ci, which every server since MySQL 5.5 knows.
pub const COLLATION_UTF8MB4: u16 = 45;
/// Collation id of binary: numbers, dates and bytes.
pub const COLLATION_BINARY: u16 = 63;

/// A column of a result set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Schema.
    pub schema: Vec<u8>,
    /// Table, by its alias.
    pub table: Vec<u8>,
    /// Table, by its name.
    pub org_table: Vec<u8>,
    /// Column, by its alias.
    pub name: Vec<u8>,
    /// Column, by its name.
    pub org_name: Vec<u8>,
    /// Collation id.
    pub collation: u16,
    /// Longest value, in bytes.
    pub length_bytes: u32,
    /// Type.
    pub column_type: ColumnType,
    /// Flags.
    pub flags: ColumnFlags,
    /// Digits after the decimal point; 31 when not fixed.
    pub decimals: u8,
}

impl ColumnDefinition {
    /// A column that belongs to no table.
    #[must_use]
    pub fn new(name: impl Into<Vec<u8>>, column_type: ColumnType) -> Self {
        let text = matches!(column_type, ColumnType::MYSQL_TYPE_VAR_STRING | ColumnType::MYSQL_TYPE_STRING);
        Self {
            schema: Vec::new(),
            table: Vec::new(),
            org_table: Vec::new(),
            name: name.into(),
            org_name: Vec::new(),
            collation: if text { COLLATION_UTF8MB4 } else { COLLATION_BINARY },
            length_bytes: if text { 1024 } else { 21 },
            column_type,
            flags: if text { ColumnFlags::empty() } else { ColumnFlags::BINARY_FLAG },
            decimals: 0,
        }
    }

    /// A column of text in utf8mb4.
    #[must_use]
    pub fn text(name: impl Into<Vec<u8>>) -> Self {
        Self::new(name, ColumnType::MYSQL_TYPE_VAR_STRING)
    }

    /// A column of signed 64-bit numbers that are never NULL.
    #[must_use]
    pub fn integer(name: impl Into<Vec<u8>>) -> Self {
        let mut column = Self::new(name, ColumnType::MYSQL_TYPE_LONGLONG);
        column.flags |= ColumnFlags::NOT_NULL_FLAG;
        column
    }

    /// A column of unsigned counts, as `@@warning_count` is.
    #[must_use]
    pub fn count(name: impl Into<Vec<u8>>) -> Self {
        let mut column = Self::new(name, ColumnType::MYSQL_TYPE_LONGLONG);
        column.flags |= ColumnFlags::UNSIGNED_FLAG;
        column
    }

    /// Reads a definition as it is where this was agreed on. What may follow (COM_FIELD_LIST's default value) is not read, and what extended
    /// metadata say is not kept.
    ///
    /// # Errors
    /// `Malformed` when it is cut short, or of a type that is not known.
    pub fn parse(payload: &[u8], of_mariadb: MariaDbCapabilities) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload);
        reader.lenenc_str("column catalog")?;
        let schema = reader.lenenc_str("column schema")?.to_vec();
        let table = reader.lenenc_str("column table")?.to_vec();
        let org_table = reader.lenenc_str("column org_table")?.to_vec();
        let name = reader.lenenc_str("column name")?.to_vec();
        let org_name = reader.lenenc_str("column org_name")?.to_vec();
        if of_mariadb.contains(MariaDbCapabilities::EXTENDED_METADATA) {
            reader.lenenc_str("extended metadata")?;
        }
        if reader.lenenc_int("column fixed length")? < FIXED_BYTES {
            return Err(ProtocolError::Malformed("column fixed length"));
        }
        let collation = reader.u16("column collation")?;
        let length_bytes = reader.u32("column length")?;
        let column_type =
            ColumnType::try_from(reader.u8("column type")?).map_err(|_| ProtocolError::Malformed("column type"))?;
        let flags = ColumnFlags::from_bits_retain(reader.u16("column flags")?);
        let decimals = reader.u8("column decimals")?;
        reader.u16("column filler")?;
        Ok(Self { schema, table, org_table, name, org_name, collation, length_bytes, column_type, flags, decimals })
    }

    /// Appends the definition as it is where this was agreed on; its extended metadata say nothing.
    pub fn encode(&self, out: &mut Vec<u8>, of_mariadb: MariaDbCapabilities) {
        for text in [CATALOG, &self.schema, &self.table, &self.org_table, &self.name, &self.org_name] {
            put_lenenc_str(out, text);
        }
        if of_mariadb.contains(MariaDbCapabilities::EXTENDED_METADATA) {
            put_lenenc_str(out, b"");
        }
        put_lenenc_int(out, FIXED_BYTES);
        out.extend_from_slice(&self.collation.to_le_bytes());
        out.extend_from_slice(&self.length_bytes.to_le_bytes());
        out.push(self.column_type.into());
        out.extend_from_slice(&self.flags.bits().to_le_bytes());
        out.push(self.decimals);
        out.extend_from_slice(&[0; 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: MariaDbCapabilities = MariaDbCapabilities::empty();

    #[test]
    fn extended_metadata_are_between_the_names_and_the_rest() {
        // SELECT POINT(1, 2) AS g, by MariaDB 10.11.
        let payload =
            b"\x03def\x00\x00\x00\x01g\x00\x07\x00\x05point\x0c\x3f\x00\xff\xff\xff\xff\xff\x90\x00\x00\x00\x00";
        let column = ColumnDefinition::parse(payload, MariaDbCapabilities::EXTENDED_METADATA).unwrap();
        assert_eq!((column.name.as_slice(), column.column_type), (&b"g"[..], ColumnType::MYSQL_TYPE_GEOMETRY));
        assert!(ColumnDefinition::parse(payload, PLAIN).is_err(), "they are not taken for something else");
        let mut out = Vec::new();
        column.encode(&mut out, MariaDbCapabilities::EXTENDED_METADATA);
        assert_eq!(ColumnDefinition::parse(&out, MariaDbCapabilities::EXTENDED_METADATA), Ok(column));
        assert!(ColumnDefinition::parse(&out, PLAIN).is_err());
    }

    #[test]
    fn a_servers_definition_reads_and_writes_back() {
        // SELECT 1 on MariaDB 10.11.
        let payload = b"\x03def\x00\x00\x00\x011\x00\x0c\x3f\x00\x01\x00\x00\x00\x03\x81\x00\x00\x00\x00";
        let column = ColumnDefinition::parse(payload, PLAIN).unwrap();
        assert_eq!((column.name.as_slice(), column.column_type), (&b"1"[..], ColumnType::MYSQL_TYPE_LONG));
        let mut out = Vec::new();
        column.encode(&mut out, PLAIN);
        assert_eq!(out, payload);
    }

    #[test]
    fn a_type_that_is_not_known_is_malformed() {
        let mut out = Vec::new();
        ColumnDefinition::integer("n").encode(&mut out, PLAIN);
        let at = out.len() - 6;
        out[at] = 0x80;
        assert_eq!(ColumnDefinition::parse(&out, PLAIN), Err(ProtocolError::Malformed("column type")));
    }
}
