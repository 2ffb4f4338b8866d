//! Outcomes as packets.

use super::super::error::SqlError;
use super::super::session::{Body, Column, Outcome, Rows, Tracked};
use super::super::sql::ColumnKind;
use super::super::value::Value;
use std::borrow::Cow;
use weir_core::error::{Component, Effect, Error};
use weir_core::mysql::binary;
use weir_core::mysql::capability::{Agreed, CapabilityFlags, ColumnType};
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::frame::write_with;
use weir_core::mysql::packet::{EofPacket, OkHeader, OkPacket, encode_err};
use weir_core::mysql::resultset::{write_binary_row, write_columns, write_end, write_prepare_answer, write_text_row};
use weir_core::mysql::session_state::{Change, SessionStateBuilder};

/// Another result follows.
const STATUS_MORE_RESULTS: u16 = 0x0008;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// Where the packets of one answer go.
pub(super) struct Answer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) sequence: u8,
    pub(super) agreed: Agreed,
    pub(super) format: Format,
}

impl Answer<'_> {
    pub(super) fn outcome(&mut self, outcome: &Outcome, more: bool) {
        let status = outcome.status | if more { STATUS_MORE_RESULTS } else { 0 };
        let mut ok = OkPacket {
            status,
            warnings: outcome.warnings,
            session_state: state_block(&outcome.tracked),
            ..OkPacket::default()
        };
        match &outcome.body {
            Body::Err(error) => self.error(error),
            Body::Rows(rows) => self.rows(rows, &ok),
            Body::Ok { affected, insert_id, info } => {
                (ok.affected_rows, ok.last_insert_id) = (*affected, *insert_id);
                ok.info = info.clone().into_bytes();
                self.ok(&ok);
            }
        }
    }

    pub(super) fn plain_ok(&mut self, status: u16) {
        self.ok(&OkPacket { status, ..OkPacket::default() });
    }

    pub(super) fn plain_eof(&mut self, status: u16) {
        write_with(self.out, &mut self.sequence, |out| EofPacket { warnings: 0, status }.encode(out));
    }

    fn ok(&mut self, ok: &OkPacket) {
        let capabilities = self.agreed.common;
        write_with(self.out, &mut self.sequence, |out| ok.encode(out, OkHeader::Ok, capabilities));
    }

    pub(super) fn error(&mut self, error: &SqlError) {
        let capabilities = self.agreed.common | CapabilityFlags::CLIENT_PROTOCOL_41;
        let mut sqlstate = *b"HY000";
        sqlstate.copy_from_slice(&error.state.as_bytes()[..5]);
        let error = Error {
            code: error.code,
            sqlstate,
            message: error.message.clone().into_bytes(),
            component: Component::Server,
            effect: Effect::Answered,
        };
        write_with(self.out, &mut self.sequence, |out| encode_err(&error, out, capabilities));
    }

    pub(super) fn prepared(&mut self, id: u32, parameters: u16, columns: &[Column], status: u16) {
        let parameters: Vec<ColumnDefinition> = (0..parameters).map(|_| ColumnDefinition::text("?")).collect();
        let columns: Vec<ColumnDefinition> = columns.iter().map(definition).collect();
        let (out, sequence) = (&mut *self.out, &mut self.sequence);
        write_prepare_answer(out, sequence, id, &parameters, &columns, status, self.agreed);
    }

    fn rows(&mut self, rows: &Rows, ok: &OkPacket) {
        let columns: Vec<ColumnDefinition> = rows.columns.iter().map(definition).collect();
        let (out, sequence) = (&mut *self.out, &mut self.sequence);
        write_columns(out, sequence, &columns, ok.status, self.agreed);
        for row in &rows.rows {
            match self.format {
                Format::Text => {
                    let texts: Vec<Option<Cow<'_, [u8]>>> = row.iter().map(Value::to_bytes).collect();
                    write_text_row(out, sequence, texts.iter().map(Option::as_deref));
                }
                Format::Binary => {
                    let values: Vec<binary::Value> =
                        row.iter().zip(&columns).map(|(value, column)| to_wire(value, column.column_type)).collect();
                    let written = write_binary_row(out, sequence, &columns, &values);
                    debug_assert!(written.is_ok(), "values were made for their columns");
                }
            }
        }
        write_end(out, sequence, ok, self.agreed.common);
    }
}

fn definition(column: &Column) -> ColumnDefinition {
    let kind = match column.kind {
        ColumnKind::Int => ColumnType::MYSQL_TYPE_LONG,
        ColumnKind::BigInt => ColumnType::MYSQL_TYPE_LONGLONG,
        ColumnKind::Text(_) => ColumnType::MYSQL_TYPE_VAR_STRING,
        ColumnKind::Decimal => ColumnType::MYSQL_TYPE_NEWDECIMAL,
    };
    ColumnDefinition::new(column.name.as_bytes(), kind)
}

fn to_wire(value: &Value, column_type: ColumnType) -> binary::Value {
    let integer = matches!(column_type, ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_LONGLONG);
    match value {
        Value::Null => binary::Value::NULL,
        value if integer => binary::Value::Int(value.to_int().unwrap_or(0)),
        value => binary::Value::Bytes(value.to_bytes().unwrap_or_default().into_owned()),
    }
}

/// A parameter's value. Types that the model has no columns for come as their text.
pub(super) fn from_wire(value: &binary::Value) -> Value {
    match value {
        binary::Value::NULL => Value::Null,
        binary::Value::Int(n) => Value::Int(*n),
        binary::Value::UInt(n) => i64::try_from(*n).map_or_else(|_| Value::text(n.to_string()), Value::Int),
        binary::Value::Bytes(bytes) => Value::text(bytes),
        binary::Value::Float(n) => Value::text(n.to_string()),
        binary::Value::Double(n) => Value::text(n.to_string()),
        other => Value::text(other.as_sql(true).trim_matches('\'')),
    }
}

fn state_block(tracked: &[Tracked]) -> Vec<u8> {
    let mut block = SessionStateBuilder::default();
    for change in tracked {
        match change {
            Tracked::Schema(name) => block.push(Change::Schema(name.as_bytes())),
            Tracked::Variable(name, value) => block.variable(name.as_bytes(), value.as_bytes()),
            Tracked::Gtids(gtids) => block.push(Change::Gtids(gtids.as_bytes())),
            Tracked::Transaction(state) => block.push(Change::TransactionState(state.as_bytes())),
            Tracked::StateChange => block.push(Change::StateChange(true)),
        }
    }
    block.finish()
}
