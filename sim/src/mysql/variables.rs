//! System variables: one table of those the model knows, and their global and session values.
//!
//! Variables that the model only keeps and shows are marked by having no other use in this module's siblings.

use super::error::SqlError;
use super::sql::Scope;
use super::value::Value;
use std::borrow::Cow;
use weir_core::gtid::Flavor;

/// What a variable accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// ON or OFF.
    Bool,
    /// A number in a range; values outside it are cut to it, as servers do.
    Int(i64, i64),
    /// Any text.
    Text,
    /// One of these words.
    Enum(&'static [&'static str]),
}

/// Where a variable lives, and whether SET may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lives {
    /// Server and session have a value each.
    Both,
    /// Only the server has one.
    Global,
    /// Only the server has one, and it is fixed while it runs.
    Fixed,
    /// Only sessions have one.
    Session,
}

/// A known variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variable {
    /// Its name in lower case.
    pub(super) name: &'static str,
    /// Where it lives.
    pub(super) lives: Lives,
    /// What it accepts.
    pub(super) kind: Kind,
    /// Its value on a fresh server.
    pub(super) default: &'static str,
    /// The flavour that has it; both when `None`.
    pub(super) only: Option<Flavor>,
}

const ISOLATION: Kind = Kind::Enum(&["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"]);
const WAIT_POINT: Kind = Kind::Enum(&["AFTER_SYNC", "AFTER_COMMIT"]);
const MARIADB: Option<Flavor> = Some(Flavor::MariaDb);
const MYSQL: Option<Flavor> = Some(Flavor::MySql);

const fn variable(
    name: &'static str,
    lives: Lives,
    kind: Kind,
    default: &'static str,
    only: Option<Flavor>,
) -> Variable {
    Variable { name, lives, kind, default, only }
}

/// All known variables, in the order of their names.
#[rustfmt::skip]
static VARIABLES: [Variable; 77] = [
    variable("auto_increment_increment", Lives::Both, Kind::Int(1, 65535), "1", None),
    variable("auto_increment_offset", Lives::Both, Kind::Int(1, 65535), "1", None),
    variable("autocommit", Lives::Both, Kind::Bool, "1", None),
    variable("binlog_commit_wait_count", Lives::Global, Kind::Int(0, i64::MAX), "0", MARIADB),
    variable("binlog_commit_wait_usec", Lives::Global, Kind::Int(0, i64::MAX), "100000", MARIADB),
    variable("binlog_format", Lives::Both, Kind::Enum(&["MIXED", "STATEMENT", "ROW"]), "ROW", None),
    variable("binlog_group_commit_sync_delay", Lives::Global, Kind::Int(0, 1_000_000), "0", MYSQL),
    variable("binlog_group_commit_sync_no_delay_count", Lives::Global, Kind::Int(0, 1_000_000), "0", MYSQL),
    variable("character_set_client", Lives::Both, Kind::Text, "utf8mb4", None),
    variable("character_set_connection", Lives::Both, Kind::Text, "utf8mb4", None),
    variable("character_set_results", Lives::Both, Kind::Text, "utf8mb4", None),
    variable("character_set_server", Lives::Both, Kind::Text, "utf8mb4", None),
    variable("collation_connection", Lives::Both, Kind::Text, "utf8mb4_general_ci", None),
    variable("error_count", Lives::Session, Kind::Int(0, i64::MAX), "0", None),
    variable("foreign_key_checks", Lives::Both, Kind::Bool, "1", None),
    variable("group_replication_consistency", Lives::Both,
        Kind::Enum(&["EVENTUAL", "BEFORE_ON_PRIMARY_FAILOVER", "BEFORE", "AFTER", "BEFORE_AND_AFTER"]),
        "BEFORE_ON_PRIMARY_FAILOVER", MYSQL),
    variable("gtid_binlog_pos", Lives::Fixed, Kind::Text, "", MARIADB),
    variable("gtid_current_pos", Lives::Fixed, Kind::Text, "", MARIADB),
    variable("gtid_domain_id", Lives::Both, Kind::Int(0, u32::MAX as i64), "0", MARIADB),
    variable("gtid_executed", Lives::Fixed, Kind::Text, "", MYSQL),
    variable("gtid_mode", Lives::Fixed, Kind::Text, "ON", MYSQL),
    variable("gtid_owned", Lives::Fixed, Kind::Text, "", MYSQL),
    variable("gtid_purged", Lives::Global, Kind::Text, "", MYSQL),
    variable("gtid_slave_pos", Lives::Global, Kind::Text, "", MARIADB),
    variable("gtid_strict_mode", Lives::Global, Kind::Bool, "0", MARIADB),
    variable("hostname", Lives::Fixed, Kind::Text, "model", None),
    variable("innodb_flush_log_at_trx_commit", Lives::Global, Kind::Int(0, 3), "1", None),
    variable("innodb_lock_wait_timeout", Lives::Both, Kind::Int(0, 1_073_741_824), "50", None),
    variable("interactive_timeout", Lives::Both, Kind::Int(1, 31_536_000), "28800", None),
    variable("last_gtid", Lives::Session, Kind::Text, "", MARIADB),
    variable("last_insert_id", Lives::Session, Kind::Int(0, i64::MAX), "0", None),
    variable("lock_wait_timeout", Lives::Both, Kind::Int(0, 31_536_000), "86400", None),
    variable("log_bin", Lives::Fixed, Kind::Bool, "1", None),
    variable("log_slave_updates", Lives::Fixed, Kind::Bool, "1", None),
    variable("long_query_time", Lives::Both, Kind::Text, "10.000000", None),
    variable("max_allowed_packet", Lives::Both, Kind::Int(1024, 1_073_741_824), "16777216", None),
    variable("max_connections", Lives::Global, Kind::Int(10, 100_000), "151", None),
    variable("max_prepared_stmt_count", Lives::Global, Kind::Int(0, 4_294_967_295), "16382", None),
    variable("max_statement_time", Lives::Both, Kind::Text, "0.000000", MARIADB),
    variable("net_read_timeout", Lives::Both, Kind::Int(1, 31_536_000), "30", None),
    variable("net_write_timeout", Lives::Both, Kind::Int(1, 31_536_000), "60", None),
    variable("port", Lives::Fixed, Kind::Int(0, 65535), "3306", None),
    variable("query_cache_type", Lives::Both, Kind::Enum(&["OFF", "ON", "DEMAND"]), "OFF", MARIADB),
    variable("read_only", Lives::Global, Kind::Bool, "0", None),
    variable("rpl_semi_sync_master_enabled", Lives::Global, Kind::Bool, "0", None),
    variable("rpl_semi_sync_master_timeout", Lives::Global, Kind::Int(0, i64::MAX), "10000", None),
    variable("rpl_semi_sync_master_wait_for_slave_count", Lives::Global, Kind::Int(1, 65535), "1", MYSQL),
    variable("rpl_semi_sync_master_wait_no_slave", Lives::Global, Kind::Bool, "1", None),
    variable("rpl_semi_sync_master_wait_point", Lives::Global, WAIT_POINT, "AFTER_COMMIT", None),
    variable("rpl_semi_sync_slave_enabled", Lives::Global, Kind::Bool, "0", None),
    variable("server_id", Lives::Both, Kind::Int(0, u32::MAX as i64), "1", None),
    variable("server_uuid", Lives::Fixed, Kind::Text, "", MYSQL),
    variable("session_track_gtids", Lives::Both, Kind::Enum(&["OFF", "OWN_GTID", "ALL_GTIDS"]), "OFF", MYSQL),
    variable("session_track_schema", Lives::Both, Kind::Bool, "1", None),
    variable("session_track_state_change", Lives::Both, Kind::Bool, "0", None),
    variable("session_track_system_variables", Lives::Both, Kind::Text,
        "autocommit,character_set_client,character_set_connection,character_set_results,time_zone", None),
    variable("session_track_transaction_info", Lives::Both, Kind::Enum(&["OFF", "STATE", "CHARACTERISTICS"]), "OFF", None),
    variable("slave_net_timeout", Lives::Global, Kind::Int(0, 31_536_000), "60", None),
    variable("sql_auto_is_null", Lives::Both, Kind::Bool, "0", None),
    variable("sql_log_bin", Lives::Session, Kind::Bool, "1", None),
    variable("sql_mode", Lives::Both, Kind::Text,
        "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION", None),
    variable("sql_safe_updates", Lives::Both, Kind::Bool, "0", None),
    variable("sql_select_limit", Lives::Both, Kind::Text, "18446744073709551615", None),
    variable("super_read_only", Lives::Global, Kind::Bool, "0", MYSQL),
    variable("sync_binlog", Lives::Global, Kind::Int(0, 4_294_967_295), "1", None),
    variable("sync_relay_log", Lives::Global, Kind::Int(0, 4_294_967_295), "10000", None),
    variable("system_time_zone", Lives::Fixed, Kind::Text, "UTC", None),
    variable("time_zone", Lives::Both, Kind::Text, "SYSTEM", None),
    variable("transaction_isolation", Lives::Both, ISOLATION, "REPEATABLE-READ", MYSQL),
    variable("transaction_read_only", Lives::Both, Kind::Bool, "0", MYSQL),
    variable("tx_isolation", Lives::Both, ISOLATION, "REPEATABLE-READ", None),
    variable("tx_read_only", Lives::Both, Kind::Bool, "0", None),
    variable("unique_checks", Lives::Both, Kind::Bool, "1", None),
    variable("version", Lives::Fixed, Kind::Text, "", None),
    variable("version_comment", Lives::Fixed, Kind::Text, "model", None),
    variable("wait_timeout", Lives::Both, Kind::Int(1, 31_536_000), "28800", None),
    variable("warning_count", Lives::Session, Kind::Int(0, i64::MAX), "0", None),
];

/// Which of [`VARIABLES`] a name in this crate means, looked up while it is compiled.
///
/// # Panics
/// When there is no such variable.
#[must_use]
pub(super) const fn known(name: &str) -> Id {
    let mut index = 0;
    while index < VARIABLES.len() {
        if is_same(VARIABLES[index].name.as_bytes(), name.as_bytes()) {
            return Id(index);
        }
        index += 1;
    }
    panic!("an unknown variable");
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// A variable by its name in lower case.
#[must_use]
pub(super) fn find(flavor: Flavor, name: &str) -> Option<Id> {
    let name = match name {
        "transaction_isolation" => "tx_isolation",
        "transaction_read_only" => "tx_read_only",
        "log_replica_updates" => "log_slave_updates",
        "identity" => "last_insert_id",
        name => name,
    };
    let index = VARIABLES.binary_search_by(|variable| variable.name.cmp(name)).ok()?;
    Some(Id(index)).filter(|id| id.only.is_none_or(|only| only == flavor))
}

/// A known variable, by its place in [`VARIABLES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

impl core::ops::Deref for Id {
    type Target = Variable;

    fn deref(&self) -> &Variable {
        &VARIABLES[self.0]
    }
}

/// All variables that a flavour has, in the order of their names.
pub(super) fn all(flavor: Flavor) -> impl Iterator<Item = Id> {
    (0..VARIABLES.len()).map(Id).filter(move |id| id.only.is_none_or(|only| only == flavor))
}

impl Variable {
    /// The value that SET stores.
    ///
    /// # Errors
    /// 1231 or 1232 when the variable does not take it.
    pub(super) fn accept(&self, value: &Value) -> Result<Value, SqlError> {
        match (self.kind, value) {
            (Kind::Bool, Value::Int(n @ (0 | 1))) => Ok(Value::Int(*n)),
            (Kind::Bool, Value::Text(text))
                if text.eq_ignore_ascii_case(b"on") || text.eq_ignore_ascii_case(b"true") =>
            {
                Ok(Value::Int(1))
            }
            (Kind::Bool, Value::Text(text))
                if text.eq_ignore_ascii_case(b"off") || text.eq_ignore_ascii_case(b"false") =>
            {
                Ok(Value::Int(0))
            }
            (Kind::Int(min, max), Value::Int(n)) => Ok(Value::Int(*n.max(&min).min(&max))),
            (Kind::Int(..), _) => Err(SqlError::wrong_type(self.name)),
            (Kind::Enum(words), Value::Text(text)) => {
                let word = words.iter().find(|word| word.as_bytes().eq_ignore_ascii_case(text));
                word.map(Value::text).ok_or_else(|| SqlError::wrong_value(self.name, &value.display()))
            }
            (Kind::Enum(words), Value::Int(n)) => {
                let word = usize::try_from(*n).ok().and_then(|n| words.get(n));
                word.map(Value::text).ok_or_else(|| SqlError::wrong_value(self.name, &value.display()))
            }
            (Kind::Text, Value::Text(_)) => Ok(value.clone()),
            (Kind::Text, Value::Int(n)) => Ok(Value::text(n.to_string())),
            (_, Value::Null) => Err(SqlError::wrong_value(self.name, "NULL")),
            (Kind::Bool, _) => Err(SqlError::wrong_value(self.name, &value.display())),
        }
    }

    /// The value as SHOW VARIABLES and the session tracker write it.
    #[must_use]
    pub(super) fn show(&self, value: &Value) -> Value {
        match (self.kind, value) {
            (Kind::Bool, Value::Int(n)) => Value::text(if *n == 0 { "OFF" } else { "ON" }),
            _ => Value::text(value.to_bytes().unwrap_or_default()),
        }
    }

    fn fresh(&self) -> Value {
        match self.kind {
            Kind::Bool | Kind::Int(..) => Value::Int(self.default.parse().unwrap_or_default()),
            Kind::Text | Kind::Enum(_) => Value::text(self.default),
        }
    }
}

/// Values that differ from a fresh server's, or from the server's, by variable.
#[derive(Clone, Debug)]
pub(super) struct Values(Box<[Option<Value>]>);

impl Default for Values {
    fn default() -> Self {
        Self(vec![None; VARIABLES.len()].into())
    }
}

impl Values {
    /// The value set here, or else a fresh server's.
    #[must_use]
    pub(super) fn get(&self, variable: Id) -> Value {
        self.0[variable.0].clone().unwrap_or_else(|| variable.fresh())
    }

    /// Sets a value that the variable has accepted.
    pub(super) fn set(&mut self, variable: Id, value: Value) {
        self.0[variable.0] = Some(value);
    }

    /// A number or switch.
    #[must_use]
    pub(super) fn int(&self, variable: Id) -> i64 {
        match &self.0[variable.0] {
            Some(value) => value.to_int().unwrap_or(0),
            None => variable.default.parse().unwrap_or(0),
        }
    }

    /// A text.
    #[must_use]
    pub(super) fn text(&self, variable: Id) -> Cow<'_, str> {
        match &self.0[variable.0] {
            Some(Value::Text(text)) => String::from_utf8_lossy(text),
            Some(other) => other.display().into(),
            None => VARIABLES[variable.0].default.into(),
        }
    }
}

/// Whether SET with a scope may change a variable.
///
/// # Errors
/// 1228, 1229 or 1238.
pub(super) fn check_scope(variable: Id, scope: Scope) -> Result<(), SqlError> {
    match (variable.lives, scope) {
        (Lives::Fixed, _) => Err(SqlError::read_only_variable(variable.name)),
        (Lives::Global, Scope::Session) => Err(SqlError::global_only(variable.name)),
        (Lives::Session, Scope::Global) => Err(SqlError::session_only(variable.name)),
        _ if variable.name == "last_gtid" => Err(SqlError::read_only_variable(variable.name)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_accepted() {
        assert!(VARIABLES.windows(2).all(|pair| pair[0].name < pair[1].name));
        for variable in &VARIABLES {
            assert_eq!(variable.accept(&variable.fresh()).as_ref(), Ok(&variable.fresh()), "{}", variable.name);
        }
    }

    #[test]
    fn values_are_taken_as_servers_take_them() {
        let find = |name| find(Flavor::MariaDb, name).unwrap();
        assert_eq!(find("autocommit").accept(&Value::text("off")), Ok(Value::Int(0)));
        assert_eq!(find("autocommit").accept(&Value::Int(7)).unwrap_err().code, 1231);
        assert_eq!(find("wait_timeout").accept(&Value::Int(0)), Ok(Value::Int(1)));
        assert_eq!(find("wait_timeout").accept(&Value::text("x")).unwrap_err().code, 1232);
        assert_eq!(find("transaction_isolation").accept(&Value::text("serializable")), Ok(Value::text("SERIALIZABLE")));
    }

    #[test]
    fn flavours_have_variables_of_their_own() {
        assert!(find(Flavor::MySql, "gtid_slave_pos").is_none());
        assert!(find(Flavor::MySql, "gtid_executed").is_some());
        assert!(find(Flavor::MariaDb, "super_read_only").is_none());
    }
}
