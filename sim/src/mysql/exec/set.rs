//! SET.

use super::super::error::{Clause, SqlError};
use super::super::server::{Server, Stop};
use super::super::session::{Body, Session};
use super::super::sql::{Assignment, Expr, Scope};
use super::super::value::Value;
use super::super::variables::{self, Id};
use super::eval::Input;
use super::{Done, Turn};
use weir_core::gtid::{Flavor, Position};

/// What SET NAMES sets.
const CHARSETS: [&str; 3] = ["character_set_client", "character_set_connection", "character_set_results"];

impl Server {
    /// All values are computed and checked before the first is set, as servers do.
    pub(super) fn set(&mut self, turn: Turn<'_>, session: &mut Session, assignments: &[Assignment]) -> Done {
        let mut checked = Vec::new();
        for assignment in assignments {
            checked.push(self.check_assignment(turn, session, assignment)?);
        }
        for assignment in checked {
            self.assign(session, assignment)?;
        }
        Ok(Body::ok())
    }

    fn check_assignment(&self, turn: Turn<'_>, session: &Session, assignment: &Assignment) -> Result<Checked, Stop> {
        let env = self.env(turn, session, None, Clause::Select);
        match assignment {
            Assignment::User(name, expr) => Ok(Checked::User(name.clone(), env.eval(expr, Input::Nothing)?)),
            Assignment::Names(charset) => Ok(Checked::Names(charset.clone())),
            Assignment::System { scope, bare, name, value: expr } => {
                let variable =
                    variables::find(self.config.flavor, name).ok_or_else(|| SqlError::unknown_variable(name))?;
                variables::check_scope(variable, *scope)?;
                let privileged = *scope == Scope::Global || variable.name == "sql_log_bin";
                if privileged && !session.is_super {
                    return Err(SqlError::access_denied(privilege(self.config.flavor, variable.name)).into());
                }
                let value = match expr {
                    None if *scope == Scope::Session => self.globals.get(variable),
                    None => variables::Values::default().get(variable),
                    Some(Expr::Literal(value)) => variable.accept(value)?,
                    Some(expr) => variable.accept(&env.eval(expr, Input::Nothing)?)?,
                };
                if *scope == Scope::Global && variable.name == "read_only" {
                    self.wait_for_writers(turn, session, &value)?;
                }
                // MariaDB's trackers pass over what is set without a scope.
                let told = !*bare || self.config.flavor != Flavor::MariaDb;
                Ok(Checked::System { scope: *scope, variable, value, told })
            }
        }
    }

    fn assign(&mut self, session: &mut Session, assignment: Checked) -> Result<(), Stop> {
        match assignment {
            Checked::User(name, value) => {
                session.user_variables.insert(name, value);
                self.track_state(session);
                Ok(())
            }
            Checked::Names(charset) => {
                for name in CHARSETS {
                    if let Some(variable) = variables::find(self.config.flavor, name) {
                        session.values.set(variable, Value::text(&charset));
                    }
                    self.track_set(session, name, &charset);
                }
                Ok(())
            }
            Checked::System { scope: Scope::Session, variable, value, told } => {
                self.set_session(session, variable, value, told)
            }
            Checked::System { scope: Scope::Global, variable, value, .. } => self.set_global(variable, value),
        }
    }

    fn set_session(&mut self, session: &mut Session, variable: Id, value: Value, told: bool) -> Result<(), Stop> {
        match variable.name {
            "autocommit" => {
                let on = value.truth() == Some(true);
                if on && !session.autocommit {
                    if let Some(trx) = &session.trx {
                        // A quirk of MariaDB: the next transaction takes over what this one was told to be.
                        session.next_isolation = Some(trx.isolation);
                        session.next_read_only = Some(trx.read_only);
                    }
                    self.commit_implicitly(session)?;
                }
                session.autocommit = on;
            }
            "last_insert_id" => session.last_insert_id = value.to_int().unwrap_or(0),
            "sql_log_bin" if session.trx.as_ref().is_some_and(|trx| trx.lasting) => {
                return Err(SqlError::in_transaction().into());
            }
            _ => {}
        }
        let shown = variable.show(&value).display();
        session.values.set(variable, value);
        if told {
            self.track_set(session, variable.name, &shown);
        }
        Ok(())
    }

    fn set_global(&mut self, variable: Id, value: Value) -> Result<(), Stop> {
        match variable.name {
            "gtid_slave_pos" => {
                if self.replica.receiver_on || self.replica.applier_on {
                    return Err(SqlError::slave_running(self.config.flavor).into());
                }
                let position = self.parse_position(&value)?;
                self.storage.set_slave_pos(&position);
                self.slave_pos = position;
                self.purge_relay();
            }
            "gtid_purged" => {
                let position = self.parse_position(&value)?;
                self.executed = position.union(&self.executed).unwrap_or_default();
                self.storage.binlog_before = position;
            }
            _ => {}
        }
        let read_only_off = variable.name == "read_only" && value.truth() == Some(false);
        let super_on = variable.name == "super_read_only" && value.truth() == Some(true);
        self.globals.set(variable, value);
        if self.config.flavor == Flavor::MySql && (read_only_off || super_on) {
            // The two move together: super_read_only implies read_only.
            let (name, on) = if super_on { ("read_only", 1) } else { ("super_read_only", 0) };
            if let Some(other) = variables::find(self.config.flavor, name) {
                self.globals.set(other, Value::Int(on));
            }
        }
        self.apply_globals();
        Ok(())
    }

    fn parse_position(&self, value: &Value) -> Result<Position, SqlError> {
        let text = value.to_bytes().unwrap_or_default();
        Position::parse(self.config.flavor, text).map_err(|_| SqlError::gtid_text())
    }
}

enum Checked {
    User(String, Value),
    Names(String),
    System { scope: Scope, variable: Id, value: Value, told: bool },
}

/// The privilege that setting a global variable takes.
fn privilege(flavor: Flavor, name: &str) -> &'static str {
    match (flavor, name) {
        (Flavor::MySql, _) => "SUPER or SYSTEM_VARIABLES_ADMIN",
        (Flavor::MariaDb, "read_only") => "READ_ONLY ADMIN",
        (Flavor::MariaDb, "sql_log_bin") => "SUPER, BINLOG ADMIN",
        (Flavor::MariaDb, "sync_binlog" | "binlog_format") => "BINLOG ADMIN",
        (Flavor::MariaDb, name) if name.starts_with("rpl_semi_sync_master") => "REPLICATION MASTER ADMIN",
        (Flavor::MariaDb, "gtid_slave_pos" | "rpl_semi_sync_slave_enabled") => "REPLICATION SLAVE ADMIN",
        (Flavor::MariaDb, "max_connections") => "CONNECTION ADMIN",
        (Flavor::MariaDb, _) => "SUPER",
    }
}
