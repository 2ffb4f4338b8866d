//! What a member tells of its group, in tables of `performance_schema`.

use super::super::server::Server;
use super::super::sql::ColumnKind;
use super::super::value::{Row, Value};
use super::{Seat, State};
use weir_core::gtid::mysql::write_uuid;

const TEXT: ColumnKind = ColumnKind::Text(255);
/// Every row is of this channel.
const CHANNEL: &str = "group_replication_applier";
/// The part of a view's identifier that all views of a group have in common.
const GROUP_EPOCH: u64 = 15_900_000_000_000_000;

type Column = (&'static str, ColumnKind);
type Columns = &'static [Column];

const MEMBERS: Columns = &[
    ("CHANNEL_NAME", TEXT),
    ("MEMBER_ID", TEXT),
    ("MEMBER_HOST", TEXT),
    ("MEMBER_PORT", ColumnKind::BigInt),
    ("MEMBER_STATE", TEXT),
    ("MEMBER_ROLE", TEXT),
    ("MEMBER_VERSION", TEXT),
];
const STATS: Columns = &[
    ("CHANNEL_NAME", TEXT),
    ("VIEW_ID", TEXT),
    ("MEMBER_ID", TEXT),
    ("COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE", ColumnKind::BigInt),
];

const CONNECTION: Columns = &[("CHANNEL_NAME", TEXT), ("GROUP_NAME", TEXT), ("SERVICE_STATE", TEXT)];

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Offline => "OFFLINE",
            Self::Recovering => "RECOVERING",
            Self::Online => "ONLINE",
            Self::Error => "ERROR",
        }
    }
}

/// A server's UUID, which its number makes.
fn server_uuid(id: u32) -> Value {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&id.to_be_bytes());
    uuid(&bytes)
}

fn uuid(uuid: &[u8; 16]) -> Value {
    let mut text = String::new();
    let written = write_uuid(&mut text, uuid);
    debug_assert!(written.is_ok(), "a String takes everything");
    Value::text(text)
}

/// Rows of a left join by the columns that both have.
fn left_join((mut columns, rows): (Vec<Column>, Vec<Row>), right: Columns, others: &[Row]) -> (Vec<Column>, Vec<Row>) {
    let place = |name: &str| columns.iter().position(|(known, _)| *known == name);
    let places: Vec<Option<usize>> = right.iter().map(|(name, _)| place(name)).collect();
    let fits = |left: &Row, other: &Row| {
        places.iter().zip(other.iter()).all(|(place, value)| place.is_none_or(|place| left[place] == *value))
    };
    let joined = |left: &Row| -> Row {
        let other = others.iter().find(|other| fits(left, other));
        let new = places.iter().enumerate().filter(|(_, place)| place.is_none());
        let added = new.map(|(at, _)| other.map_or(Value::Null, |other| other[at].clone()));
        left.iter().cloned().chain(added).collect()
    };
    let rows = rows.iter().map(joined).collect();
    columns.extend(right.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(column, _)| *column));
    (columns, rows)
}

impl Server {
    /// A table of `performance_schema` about the group as this member sees it, with others joined to it.
    pub(in super::super) fn group_tables(&self, name: &str, joined: &[String]) -> Option<(Vec<Column>, Vec<Row>)> {
        let (columns, rows) = self.group_table(name)?;
        let mut all = (columns.to_vec(), rows);
        for name in joined {
            let (columns, rows) = self.group_table(name)?;
            all = left_join(all, columns, &rows);
        }
        Some(all)
    }

    fn group_table(&self, name: &str) -> Option<(Columns, Vec<Row>)> {
        let members = self.member().map(|member| {
            let seats = member.view().map_or_else(|| vec![member.seat()], |view| view.seats.clone());
            (member, seats)
        });
        let rows = |row: &dyn Fn(Seat) -> Row| -> Vec<Row> {
            members.iter().flat_map(|(_, seats)| seats).map(|seat| row(*seat)).collect()
        };
        match name.to_ascii_lowercase().as_str() {
            "replication_group_members" => Some((MEMBERS, rows(&|seat| self.member_row(seat)))),
            "replication_group_member_stats" => Some((STATS, rows(&|seat| self.stats_row(seat)))),
            "replication_connection_status" => {
                let group = self.config.group.as_ref();
                let row = |group: &super::Config| [Value::text(CHANNEL), uuid(&group.name), Value::text("ON")].into();
                Some((CONNECTION, group.map(row).into_iter().collect()))
            }
            _ => None,
        }
    }

    fn member_row(&self, seat: Seat) -> Row {
        let state = self.member().map(|member| member.state_of(seat));
        let primary = self.member().and_then(|member| member.view()).map(|view| view.primary);
        let role = match primary {
            None => "",
            Some(primary) if primary == seat => "PRIMARY",
            Some(_) => "SECONDARY",
        };
        Row::from(vec![
            Value::text(CHANNEL),
            server_uuid(seat.id),
            Value::text(format!("s{}", seat.id)),
            Value::Int(3306),
            Value::text(state.flatten().map_or("UNREACHABLE", State::name)),
            Value::text(role),
            Value::text(&self.config.version),
        ])
    }

    fn stats_row(&self, seat: Seat) -> Row {
        let view = self.member().and_then(|member| member.view()).map_or(0, |view| view.number);
        let view = if view == 0 { String::new() } else { format!("{GROUP_EPOCH}:{view}") };
        Row::from(vec![Value::text(CHANNEL), Value::text(view), server_uuid(seat.id), Value::Int(0)])
    }
}
