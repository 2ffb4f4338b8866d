//! SHOW.

use super::super::error::SqlError;
use super::super::server::Server;
use super::super::session::{Body, Column, Condition, Rows, Session};
use super::super::sql::{ColumnKind, Scope, Show};
use super::super::value::{Row, Value};
use super::super::variables;
use super::Done;
use super::eval::count;
use weir_core::gtid::Flavor;
use weir_core::time::Instant;

const TEXT: ColumnKind = ColumnKind::Text(1024);

/// What SHOW STATUS knows, in the order of the names.
const STATUS: [&str; 6] = [
    "Rpl_semi_sync_master_clients",
    "Rpl_semi_sync_master_status",
    "Slaves_connected",
    "Threads_connected",
    "Threads_running",
    "Uptime",
];

fn rows<N: Into<String>>(columns: impl IntoIterator<Item = N>, rows: Vec<Vec<Value>>) -> Body {
    let columns = columns.into_iter().map(|name| Column { name: name.into(), kind: TEXT }).collect();
    Body::Rows(Rows { columns, rows: rows.into_iter().map(Row::from).collect() })
}

/// LIKE with `%` and `_`, whatever the case.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'%', rest @ ..], _) => (0..=text.len()).any(|skip| like(rest, &text[skip..])),
        ([b'\\', literal, rest @ ..], [first, tail @ ..]) => literal == first && like(rest, tail),
        ([b'_', rest @ ..], [_, tail @ ..]) => like(rest, tail),
        ([wanted, rest @ ..], [first, tail @ ..]) => wanted.eq_ignore_ascii_case(first) && like(rest, tail),
        _ => false,
    }
}

fn matches(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern == name || like(pattern.as_bytes(), name.as_bytes()))
}

fn on_off(on: bool) -> Value {
    Value::text(if on { "ON" } else { "OFF" })
}

fn yes_no(yes: bool) -> Value {
    Value::text(if yes { "Yes" } else { "No" })
}

impl Server {
    pub(super) fn show(&mut self, now: Instant, session: &Session, show: &Show) -> Done {
        Ok(match show {
            Show::Variables(scope, patterns) => self.show_variables(session, *scope, patterns),
            Show::Status(patterns) => self.show_status(now, patterns),
            Show::ReplicaStatus(new_words) => self.show_replica_status(now, *new_words),
            Show::MasterStatus => {
                let position = Value::text((self.storage.binlog.end() * 100 + 4).to_string());
                let mut columns = vec!["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB"];
                let mut row = vec![Value::text("binlog.000001"), position, Value::text(""), Value::text("")];
                if self.config.flavor == Flavor::MySql {
                    columns.push("Executed_Gtid_Set");
                    row.push(Value::text(self.executed.to_string()));
                }
                rows(columns, vec![row])
            }
            Show::Warnings => {
                let warning = |condition: &Condition| {
                    let code = Value::Int(i64::from(condition.code));
                    vec![Value::text(condition.level), code, Value::text(&condition.message)]
                };
                rows(["Level", "Code", "Message"], session.warnings.iter().map(warning).collect())
            }
            Show::WarningCount => rows(["@@session.warning_count"], vec![vec![count(session.warnings.len())]]),
            Show::Databases => {
                let mut names: Vec<&str> = self.tables.schemas().collect();
                names.extend(["information_schema", "mysql", "performance_schema"]);
                names.sort_unstable();
                names.dedup();
                rows(["Database"], names.into_iter().map(|name| vec![Value::text(name)]).collect())
            }
            Show::Tables => {
                let schema = session.schema.as_deref().ok_or_else(SqlError::no_database)?;
                let names = self.tables.names(schema).map(|name| vec![Value::text(name)]).collect();
                rows([format!("Tables_in_{schema}")], names)
            }
            Show::ProcessList => self.show_processes(session),
        })
    }

    fn show_variables(&self, session: &Session, scope: Scope, patterns: &[String]) -> Body {
        let mut shown = Vec::new();
        for variable in variables::all(self.config.flavor) {
            if !matches(patterns, variable.name) {
                continue;
            }
            let wanted = if scope == Scope::Global { Some(Scope::Global) } else { None };
            if let Ok(value) = self.variable(session, wanted, variable.name) {
                shown.push(vec![Value::text(variable.name), variable.show(&value)]);
            }
        }
        rows(["Variable_name", "Value"], shown)
    }

    fn show_status(&self, now: Instant, patterns: &[String]) -> Body {
        let shown = STATUS.iter().filter(|name| matches(patterns, name));
        rows(
            ["Variable_name", "Value"],
            shown.map(|name| vec![Value::text(name), self.status_value(now, name)]).collect(),
        )
    }

    fn status_value(&self, now: Instant, name: &str) -> Value {
        let running = || self.sessions.iter().filter(|session| session.suspended.is_some()).count() + 1;
        let number = match name {
            "Rpl_semi_sync_master_status" => return on_off(self.semi_sync.is_active()),
            "Rpl_semi_sync_master_clients" => self.semi_sync.replicas(),
            "Slaves_connected" => self.replicas_attached,
            "Threads_connected" => self.sessions.len() + 1,
            "Threads_running" => running(),
            _ => return Value::text(self.uptime(now).as_secs().to_string()),
        };
        Value::text(number.to_string())
    }

    fn show_processes(&self, asking: &Session) -> Body {
        let listed = self.processes(asking).into_iter().map(|row| row.to_vec()).collect();
        rows(["Id", "User", "db", "Command"], listed)
    }

    /// Number, user, schema and command of each session.
    pub(super) fn processes(&self, asking: &Session) -> Vec<Row> {
        let command = |session: &Session| if session.suspended.is_some() { "Query" } else { "Sleep" };
        let row = |session: &Session, command: &str| {
            Row::from(vec![
                Value::Int(i64::try_from(session.id).unwrap_or(i64::MAX)),
                Value::text(&session.user),
                session.schema.as_ref().map_or(Value::Null, Value::text),
                Value::text(command),
            ])
        };
        let mut listed: Vec<Row> = self.sessions.iter().map(|session| row(session, command(session))).collect();
        listed.push(row(asking, "Query"));
        listed
    }

    fn show_replica_status(&self, now: Instant, new_words: bool) -> Body {
        let Some(source) = &self.storage.source else { return rows(["Slave_IO_State"], Vec::new()) };
        let replica = &self.replica;
        let receiving = if replica.receiver_on && replica.connected {
            Value::text("Yes")
        } else if replica.receiver_on {
            Value::text("Connecting")
        } else {
            Value::text("No")
        };
        let code = |error: &Option<super::super::replica::ThreadError>| {
            Value::text(error.as_ref().map_or(0, |error| error.code).to_string())
        };
        let text = |error: &Option<super::super::replica::ThreadError>| {
            Value::text(error.as_ref().map_or("", |error| error.message.as_str()))
        };
        let behind = self.seconds_behind(now).map_or(Value::Null, |s| Value::text(s.to_string()));
        let mut shown = vec![
            ("Master_Host", Value::text(&source.host)),
            ("Master_User", Value::text(&source.user)),
            ("Master_Port", Value::text(source.port.to_string())),
            ("Slave_IO_Running", receiving),
            ("Slave_SQL_Running", yes_no(replica.applier_on)),
            ("Seconds_Behind_Master", behind),
            ("Last_IO_Errno", code(&replica.receiver_error)),
            ("Last_IO_Error", text(&replica.receiver_error)),
            ("Last_SQL_Errno", code(&replica.applier_error)),
            ("Last_SQL_Error", text(&replica.applier_error)),
            ("SQL_Delay", Value::text(source.delay_s.to_string())),
        ];
        match self.config.flavor {
            Flavor::MariaDb => shown.extend([
                ("Using_Gtid", Value::text("Slave_Pos")),
                ("Gtid_IO_Pos", Value::text(replica.received.to_string())),
                ("Gtid_Slave_Pos", Value::text(self.slave_pos.to_string())),
            ]),
            Flavor::MySql => shown.extend([
                ("Retrieved_Gtid_Set", Value::text(replica.received.to_string())),
                ("Executed_Gtid_Set", Value::text(self.executed.to_string())),
                ("Auto_Position", Value::text("1")),
            ]),
        }
        let name = |name: &str| {
            if new_words && self.config.flavor == Flavor::MySql {
                name.replace("Master", "Source").replace("Slave", "Replica")
            } else {
                name.to_owned()
            }
        };
        let (names, values): (Vec<String>, Vec<Value>) =
            shown.into_iter().map(|(column, value)| (name(column), value)).unzip();
        rows(names, vec![values])
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn like_knows_its_two_wildcards() {
        assert!(like(b"gtid%", b"gtid_slave_pos"));
        assert!(like(b"GTID\\_strict_mode", b"gtid_strict_mode"));
        assert!(!like(b"gtid\\_x", b"gtidax"));
        assert!(like(b"%", b"") && !like(b"_", b""));
    }
}
