//! The framing of replication connections: a length, a kind, and fields in a fixed order.

use super::super::replica::ThreadError;
use super::super::sql::{ColumnDef, ColumnKind};
use super::super::storage::Transaction;
use super::super::tables::{Change, TableDef, TableRef, Trigger};
use super::super::value::{Row, Value};
use std::rc::Rc;
use weir_core::gtid::Position;
use weir_core::mysql::wire::{Reader, put_lenenc_int, put_lenenc_str};

/// A message may have this many bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the two ends say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// The replica's first message. When it hears nothing for `heartbeat_ms`, it wants to hear that there is nothing.
    Hello { replica: u32, semi_sync: bool, heartbeat_ms: u64, has: Position },
    /// A transaction, and its index in the source's binary log plus one.
    Transaction { end: u64, transaction: Rc<Transaction> },
    /// The replica has everything up to there.
    Acknowledge { end: u64 },
    /// The source has nothing new.
    Heartbeat,
    /// The source cannot serve the replica.
    Refused(ThreadError),
}

/// The table that was named last: most changes are of the same one.
pub(super) type LastTable = Option<Rc<TableRef>>;

/// Takes the first message off `input`, if it is whole. The inner `None` stands for bytes that are no message.
pub(super) fn take_message(input: &mut &[u8], last: &mut LastTable) -> Option<Option<Message>> {
    let (len, rest) = input.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > MESSAGE_BYTES_MAX {
        *input = &[];
        return Some(None);
    }
    let (body, rest) = rest.split_at_checked(len)?;
    *input = rest;
    Some(Message::decode(body, last))
}

impl Message {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Self::Hello { replica, semi_sync, heartbeat_ms, has } => {
                out.push(1);
                put_lenenc_int(out, (*replica).into());
                out.push(u8::from(*semi_sync));
                put_lenenc_int(out, *heartbeat_ms);
                put_position(out, has);
            }
            Self::Transaction { end, transaction } => {
                out.push(2);
                put_lenenc_int(out, *end);
                put_transaction(out, transaction);
            }
            Self::Acknowledge { end } => {
                out.push(3);
                put_lenenc_int(out, *end);
            }
            Self::Heartbeat => out.push(5),
            Self::Refused(error) => {
                out.push(4);
                put_lenenc_int(out, error.code.into());
                put_lenenc_str(out, error.message.as_bytes());
            }
        }
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    }

    fn decode(body: &[u8], last: &mut LastTable) -> Option<Self> {
        let mut reader = Reader::new(body);
        match reader.u8("kind").ok()? {
            1 => {
                let replica = u32::try_from(int(&mut reader)?).ok()?;
                let semi_sync = reader.u8("flag").ok()? != 0;
                let heartbeat_ms = int(&mut reader)?;
                Some(Self::Hello { replica, semi_sync, heartbeat_ms, has: position(&mut reader)? })
            }
            2 => {
                let end = int(&mut reader)?;
                Some(Self::Transaction { end, transaction: transaction(&mut reader, last)? })
            }
            3 => Some(Self::Acknowledge { end: int(&mut reader)? }),
            4 => {
                let code = u16::try_from(int(&mut reader)?).ok()?;
                Some(Self::Refused(ThreadError { code, message: text(&mut reader)? }))
            }
            5 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

pub(super) fn int(reader: &mut Reader<'_>) -> Option<u64> {
    reader.lenenc_int("number").ok()
}

fn text(reader: &mut Reader<'_>) -> Option<String> {
    Some(String::from_utf8_lossy(reader.lenenc_str("text").ok()?).into_owned())
}

pub(super) fn put_transaction(out: &mut Vec<u8>, transaction: &Transaction) {
    put_position(out, &transaction.gtid);
    put_lenenc_int(out, transaction.changes.len() as u64);
    transaction.changes.iter().for_each(|change| put_change(out, change));
}

pub(super) fn transaction(reader: &mut Reader<'_>, last: &mut LastTable) -> Option<Rc<Transaction>> {
    let gtid = position(reader)?;
    let count = int(reader)?;
    let changes = (0..count).map(|_| change(reader, last)).collect::<Option<Vec<Change>>>()?;
    Some(Rc::new(Transaction { gtid, changes }))
}

fn put_position(out: &mut Vec<u8>, position: &Position) {
    let mut bytes = Vec::new();
    position.encode(&mut bytes);
    put_lenenc_str(out, &bytes);
}

fn position(reader: &mut Reader<'_>) -> Option<Position> {
    Position::decode(reader.lenenc_str("position").ok()?).ok()
}

fn put_table(out: &mut Vec<u8>, table: &TableRef) {
    put_lenenc_str(out, table.schema.as_bytes());
    put_lenenc_str(out, table.name.as_bytes());
}

fn table(reader: &mut Reader<'_>, last: &mut LastTable) -> Option<Rc<TableRef>> {
    let (schema, name) = (reader.lenenc_str("schema").ok()?, reader.lenenc_str("table").ok()?);
    let is_it = |table: &&mut Rc<TableRef>| table.schema.as_bytes() == schema && table.name.as_bytes() == name;
    if let Some(table) = last.as_mut().filter(is_it) {
        return Some(Rc::clone(table));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Rc::clone(last.insert(Rc::new(TableRef { schema: text(schema), name: text(name) }))))
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Int(n) => {
            out.push(1);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(2);
            put_lenenc_str(out, text);
        }
    }
}

fn value(reader: &mut Reader<'_>) -> Option<Value> {
    Some(match reader.u8("value").ok()? {
        0 => Value::Null,
        1 => Value::Int(reader.u64("value").ok()?.cast_signed()),
        _ => Value::text(reader.lenenc_str("value").ok()?),
    })
}

fn put_row(out: &mut Vec<u8>, row: &Row) {
    put_lenenc_int(out, row.len() as u64);
    row.iter().for_each(|value| put_value(out, value));
}

fn row(reader: &mut Reader<'_>) -> Option<Row> {
    let count = int(reader)?;
    (0..count).map(|_| value(reader)).collect::<Option<Vec<Value>>>().map(Row::from)
}

fn put_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Insert(table, key, row) => {
            out.push(1);
            put_table(out, table);
            put_value(out, key);
            put_row(out, row);
        }
        Change::Update(table, key, row) => {
            out.push(2);
            put_table(out, table);
            put_value(out, key);
            put_row(out, row);
        }
        Change::Delete(table, key) => {
            out.push(3);
            put_table(out, table);
            put_value(out, key);
        }
        Change::CreateTable(def) => {
            out.push(4);
            put_def(out, def);
        }
        Change::CreateTrigger(table, trigger) => {
            out.push(10);
            put_table(out, table);
            put_trigger(out, trigger);
        }
        Change::DropTable(table) => {
            out.push(5);
            put_table(out, table);
        }
        Change::Truncate(table) => {
            out.push(6);
            put_table(out, table);
        }
        Change::CreateSchema(name) => {
            out.push(7);
            put_lenenc_str(out, name.as_bytes());
        }
        Change::DropSchema(name) => {
            out.push(8);
            put_lenenc_str(out, name.as_bytes());
        }
        Change::NoEffect => out.push(9),
    }
}

fn change(reader: &mut Reader<'_>, last: &mut LastTable) -> Option<Change> {
    Some(match reader.u8("change").ok()? {
        1 => Change::Insert(table(reader, last)?, value(reader)?, row(reader)?),
        2 => Change::Update(table(reader, last)?, value(reader)?, row(reader)?),
        3 => Change::Delete(table(reader, last)?, value(reader)?),
        4 => Change::CreateTable(Rc::new(def(reader, last)?)),
        5 => Change::DropTable(table(reader, last)?),
        6 => Change::Truncate(table(reader, last)?),
        7 => Change::CreateSchema(text(reader)?),
        8 => Change::DropSchema(text(reader)?),
        9 => Change::NoEffect,
        10 => Change::CreateTrigger(table(reader, last)?, trigger(reader)?),
        _ => return None,
    })
}

fn put_trigger(out: &mut Vec<u8>, trigger: &Trigger) {
    put_lenenc_str(out, trigger.variable.as_bytes());
    put_lenenc_int(out, trigger.column as u64);
}

fn trigger(reader: &mut Reader<'_>) -> Option<Trigger> {
    Some(Trigger { variable: text(reader)?, column: usize::try_from(int(reader)?).ok()? })
}

fn put_def(out: &mut Vec<u8>, def: &TableDef) {
    put_table(out, &def.reference);
    out.push(u8::from(def.trigger.is_some()));
    def.trigger.iter().for_each(|trigger| put_trigger(out, trigger));
    put_lenenc_int(out, def.primary_key.map_or(0, |key| key as u64 + 1));
    put_lenenc_int(out, def.columns.len() as u64);
    for column in &def.columns {
        put_lenenc_str(out, column.name.as_bytes());
        put_lenenc_int(
            out,
            match column.kind {
                ColumnKind::Int => 0,
                ColumnKind::BigInt => 1,
                ColumnKind::Decimal => 2,
                ColumnKind::Text(limit) => 3 + u64::from(limit),
            },
        );
        out.push(u8::from(column.nullable) | (u8::from(column.auto_increment) << 1));
        out.push(u8::from(column.default.is_some()));
        put_value(out, column.default.as_ref().unwrap_or(&Value::Null));
    }
}

fn def(reader: &mut Reader<'_>, last: &mut LastTable) -> Option<TableDef> {
    let reference = table(reader, last)?;
    let has_trigger = reader.u8("flag").ok()? != 0;
    let trigger = if has_trigger { Some(trigger(reader)?) } else { None };
    let primary_key = usize::try_from(int(reader)?).ok()?.checked_sub(1);
    let count = int(reader)?;
    let column = |_| {
        let name = text(reader)?;
        let kind = match int(reader)? {
            0 => ColumnKind::Int,
            1 => ColumnKind::BigInt,
            2 => ColumnKind::Decimal,
            limit => ColumnKind::Text(u32::try_from(limit - 3).ok()?),
        };
        let flags = reader.u8("flags").ok()?;
        let has_default = reader.u8("flag").ok()? != 0;
        let default = value(reader)?;
        let default = has_default.then_some(default);
        Some(ColumnDef { name, kind, nullable: flags & 1 != 0, auto_increment: flags & 2 != 0, default })
    };
    let columns = (0..count).map(column).collect::<Option<Vec<ColumnDef>>>()?;
    Some(TableDef { reference, columns, primary_key, trigger })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_from_any_pieces() {
        let name = Rc::new(TableRef { schema: "d".into(), name: "t".into() });
        let row: Row = Rc::from([Value::Int(-1), Value::text("x"), Value::Null]);
        let column = |name: &str, kind| ColumnDef {
            name: name.into(),
            kind,
            nullable: true,
            default: Some(Value::Int(3)),
            auto_increment: false,
        };
        let trigger = Trigger { variable: "v".into(), column: 1 };
        let columns = vec![column("a", ColumnKind::Int), column("b", ColumnKind::Text(20))];
        let changes = vec![
            Change::CreateSchema("d".into()),
            Change::CreateTable(Rc::new(TableDef {
                reference: Rc::clone(&name),
                columns,
                primary_key: Some(0),
                trigger: Some(trigger.clone()),
            })),
            Change::CreateTrigger(Rc::clone(&name), trigger),
            Change::Insert(Rc::clone(&name), Value::Int(-1), Rc::clone(&row)),
            Change::Update(Rc::clone(&name), Value::Int(-1), row),
            Change::Delete(Rc::clone(&name), Value::text("k")),
            Change::Truncate(Rc::clone(&name)),
            Change::DropTable(name),
            Change::DropSchema("d".into()),
            Change::NoEffect,
        ];
        let transaction = Rc::new(Transaction { gtid: Position::mariadb(0, 1, 7), changes });
        let messages = [
            Message::Hello { replica: 2, semi_sync: true, heartbeat_ms: 30_000, has: Position::default() },
            Message::Heartbeat,
            Message::Transaction { end: 9, transaction },
            Message::Acknowledge { end: 9 },
            Message::Refused(ThreadError { code: 1236, message: "purged".into() }),
        ];
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        for cut in 0..bytes.len() {
            let (mut first, mut last) = (&bytes[..cut], None);
            let mut decoded: Vec<_> = core::iter::from_fn(|| take_message(&mut first, &mut last)).flatten().collect();
            let mut rest = &bytes[cut - first.len()..];
            decoded.extend(core::iter::from_fn(|| take_message(&mut rest, &mut last)).flatten());
            assert_eq!(decoded, messages, "cut at {cut}");
        }
    }

    #[test]
    fn garbage_is_no_message() {
        assert_eq!(take_message(&mut &b"\x01\0\0\0\x09"[..], &mut None), Some(None));
        assert_eq!(take_message(&mut &b"\xff\xff\xff\xff"[..], &mut None), Some(None));
        assert_eq!(take_message(&mut &b"\x05\0"[..], &mut None), None);
    }
}
