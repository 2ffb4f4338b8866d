//! Which session changes the client asked to be told: the gateway's servers report everything, the client hears its choice.

use crate::error::{Component, Error, Kind};
use crate::mysql::capability::ColumnType;
use crate::mysql::collation::Names;
use crate::mysql::column::ColumnDefinition;
use crate::mysql::session_state::{Change, SessionState, SessionStateBuilder};

/// The `session_track_*` variables as this client set them; the defaults are a server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracking {
    schema: bool,
    state_change: bool,
    gtids: bool,
    transactions: Transactions,
    variables: Watched,
    /// `session_track_system_variables` as it was written.
    names: String,
}

/// `session_track_transaction_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Transactions {
    Off,
    /// The state of the open one.
    State,
    /// That, and the statements that set it up.
    Characteristics,
}

impl Transactions {
    const NAMES: [(Self, &str); 3] =
        [(Self::Off, "OFF"), (Self::State, "STATE"), (Self::Characteristics, "CHARACTERISTICS")];

    /// By name, or by number.
    fn parse(value: &str) -> Option<Self> {
        let named = |(number, (_, name)): &(usize, &(Self, &str))| {
            value.eq_ignore_ascii_case(name) || value.parse() == Ok(*number)
        };
        Self::NAMES.iter().enumerate().find(named).map(|(_, (transactions, _))| *transactions)
    }
}

/// The state that a server begins to track from: no transaction.
const NO_TRANSACTION: &[u8] = b"________";

/// `session_track_system_variables`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Watched {
    All,
    /// Lower-case names.
    Named(Vec<String>),
}

/// What servers track unless told otherwise (MySQL 8.0 and MariaDB 10.11 manuals).
const VARIABLES_BY_DEFAULT: [&str; 5] =
    ["autocommit", "character_set_client", "character_set_connection", "character_set_results", "time_zone"];

/// What servers put into definitions of columns of text that belong to no table.
const DECIMALS_OF_TEXT: u8 = 39;

/// Names in `session_track_system_variables`, at most.
const WATCHED_NAMES_MAX: usize = 1024;

impl Default for Tracking {
    fn default() -> Self {
        Self {
            schema: true,
            state_change: false,
            gtids: false,
            transactions: Transactions::Off,
            variables: Watched::Named(VARIABLES_BY_DEFAULT.map(str::to_owned).to_vec()),
            names: VARIABLES_BY_DEFAULT.join(","),
        }
    }
}

impl Tracking {
    /// The entries of a server's block that this client asked for, as a block; empty when there are none.
    pub(super) fn select(&self, changes: SessionState<'_>) -> Vec<u8> {
        let mut kept = SessionStateBuilder::default();
        for change in changes.flatten() {
            match change {
                Change::Variables(variables) => {
                    for (name, value) in variables.iter().filter(|(name, _)| self.watches(name)) {
                        kept.variable(name, value);
                    }
                }
                change if self.wants(change) => kept.push(change),
                _ => {}
            }
        }
        kept.finish()
    }

    fn wants(&self, change: Change<'_>) -> bool {
        match change {
            Change::Schema(_) => self.schema,
            Change::StateChange(_) => self.state_change,
            Change::Gtids(_) => self.gtids,
            Change::TransactionState(_) => self.transactions != Transactions::Off,
            Change::TransactionCharacteristics(_) => self.transactions == Transactions::Characteristics,
            Change::Variables(_) => false,
        }
    }

    fn watches(&self, name: &[u8]) -> bool {
        match &self.variables {
            Watched::All => true,
            Watched::Named(names) => names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)),
        }
    }

    /// What a server would report of these variables when they have been set from what was `before`: they are variables like
    /// any other, and transactions are told from their beginning.
    pub(super) fn report<'a>(&self, names: impl Iterator<Item = &'a str>, before: &Self) -> Vec<u8> {
        let mut block = SessionStateBuilder::default();
        let mut sets_transactions = false;
        for name in names {
            sets_transactions |= name == "session_track_transaction_info";
            if self.watches(name.as_bytes()) {
                block.variable(name.as_bytes(), self.value(name).as_bytes());
            }
        }
        let begins = before.transactions == Transactions::Off && self.transactions != Transactions::Off;
        if begins {
            block.push(Change::TransactionState(NO_TRANSACTION));
        }
        if sets_transactions && self.transactions == Transactions::Characteristics {
            block.push(Change::TransactionCharacteristics(b""));
        }
        block.finish()
    }

    /// A column of `SELECT @@name` for one of these variables, and its value, as servers make them.
    pub(super) fn selected(&self, name: &str, label: Vec<u8>, texts: &Names) -> (ColumnDefinition, Option<Vec<u8>>) {
        let switch = match name {
            "session_track_schema" => Some(self.schema),
            "session_track_state_change" => Some(self.state_change),
            _ => None,
        };
        if let Some(is_on) = switch {
            let mut column = ColumnDefinition::new(label, ColumnType::MYSQL_TYPE_LONGLONG);
            column.length_bytes = 1;
            return (column, Some(vec![if is_on { b'1' } else { b'0' }]));
        }
        let value = self.value(name).as_bytes().to_vec();
        let mut column = ColumnDefinition::text(label);
        column.length_bytes = u32::from(texts.character_bytes_max) * value.len() as u32;
        (column.collation, column.decimals) = (texts.id, DECIMALS_OF_TEXT);
        (column, Some(value))
    }

    /// What a server would report when it comes to this schema.
    pub(super) fn report_schema(&self, name: Option<&[u8]>) -> Vec<u8> {
        let mut block = SessionStateBuilder::default();
        if let Some(name) = name.filter(|_| self.schema) {
            block.push(Change::Schema(name));
        }
        block.finish()
    }

    /// As `SHOW VARIABLES` prints it.
    pub(super) fn value(&self, name: &str) -> &str {
        let on = |is_on: bool| if is_on { "ON" } else { "OFF" };
        match name {
            "session_track_schema" => on(self.schema),
            "session_track_state_change" => on(self.state_change),
            "session_track_gtids" if self.gtids => "OWN_GTID",
            "session_track_system_variables" => &self.names,
            "session_track_transaction_info" => Transactions::NAMES[self.transactions as usize].1,
            _ => "OFF",
        }
    }

    /// `SET name = value` for a `session_track_*` variable; the value's quotes are already taken off.
    ///
    /// # Errors
    /// The error a server gives for a wrong value.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let default = value.eq_ignore_ascii_case("default");
        match name {
            "session_track_schema" => self.schema = if default { true } else { switch(name, value)? },
            "session_track_state_change" => self.state_change = !default && switch(name, value)?,
            "session_track_gtids" if default || value.eq_ignore_ascii_case("off") => self.gtids = false,
            "session_track_gtids" if value.eq_ignore_ascii_case("own_gtid") => self.gtids = true,
            "session_track_system_variables" if default => {
                let Self { variables, names, .. } = Self::default();
                (self.variables, self.names) = (variables, names);
            }
            "session_track_system_variables" if value.trim() == "*" => {
                (self.variables, self.names) = (Watched::All, "*".to_owned());
            }
            "session_track_system_variables" => {
                let mut names: Vec<String> =
                    value.split(',').map(|n| n.trim().to_ascii_lowercase()).filter(|n| !n.is_empty()).collect();
                if names.len() > WATCHED_NAMES_MAX {
                    return Err(wrong(name, value));
                }
                // As servers tell it.
                names.sort();
                self.names = names.join(",");
                self.variables = Watched::Named(names);
            }
            "session_track_transaction_info" if default => self.transactions = Transactions::Off,
            "session_track_transaction_info" => {
                self.transactions = Transactions::parse(value).ok_or_else(|| wrong(name, value))?;
            }
            _ => return Err(wrong(name, value)),
        }
        Ok(())
    }
}

fn switch(name: &str, value: &str) -> Result<bool, Error> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" => Ok(true),
        "0" | "off" | "false" => Ok(false),
        _ => Err(wrong(name, value)),
    }
}

fn wrong(name: &str, value: &str) -> Error {
    let message = format!("Variable '{name}' can't be set to the value of '{value}'");
    Error::new(Component::Gateway, Kind::WrongValueForVariable, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::collation::FALLBACK;

    fn block() -> Vec<u8> {
        let mut b = SessionStateBuilder::default();
        b.push(Change::Schema(b"s"));
        b.variable(b"last_gtid", b"0-1-2");
        b.variable(b"time_zone", b"UTC");
        b.finish()
    }

    #[test]
    fn a_client_hears_what_a_server_would_tell_by_default() {
        let block = block();
        let kept = Tracking::default().select(SessionState::new(&block));
        let mut expected = SessionStateBuilder::default();
        expected.push(Change::Schema(b"s"));
        expected.variable(b"time_zone", b"UTC");
        assert_eq!(kept, expected.finish());
    }

    #[test]
    fn a_client_that_wants_nothing_hears_nothing() {
        let mut tracking = Tracking::default();
        tracking.set("session_track_schema", "OFF").unwrap();
        tracking.set("session_track_system_variables", "").unwrap();
        assert!(tracking.select(SessionState::new(&block())).is_empty());
    }

    #[test]
    fn its_own_variables_are_reported_to_who_watches_them() {
        let mut tracking = Tracking::default();
        let names = ["session_track_system_variables"];
        assert!(tracking.report(names.into_iter(), &Tracking::default()).is_empty());
        tracking.set(names[0], "*").unwrap();
        let mut expected = SessionStateBuilder::default();
        expected.variable(names[0].as_bytes(), b"*");
        assert_eq!(tracking.report(names.into_iter(), &Tracking::default()), expected.finish());
    }

    #[test]
    fn transactions_are_told_as_far_as_they_were_asked_for() {
        const INFO: &str = "session_track_transaction_info";
        let mut begun = SessionStateBuilder::default();
        begun.push(Change::TransactionState(b"T_______"));
        let state = begun.clone().finish();
        begun.push(Change::TransactionCharacteristics(b"START TRANSACTION;"));
        let all = begun.finish();
        for (value, kept, told) in [
            ("OFF", &[][..], &b""[..]),
            ("state", &state, b"\x05\x09\x08________"),
            ("1", &state, b"\x05\x09\x08________"),
            ("CHARACTERISTICS", &all, b"\x05\x09\x08________\x04\x01\0"),
        ] {
            let mut tracking = Tracking::default();
            tracking.set(INFO, value).unwrap();
            assert_eq!(tracking.select(SessionState::new(&all)), kept, "{value}");
            assert_eq!(tracking.report([INFO].into_iter(), &Tracking::default()), told, "{value}");
        }
        assert_eq!(Tracking::default().set(INFO, "7").unwrap_err().code, 1231);
    }

    #[test]
    fn they_are_selected_as_a_server_does() {
        let mut tracking = Tracking::default();
        tracking.set("session_track_schema", "OFF").unwrap();
        let (column, value) = tracking.selected("session_track_schema", b"a".to_vec(), &FALLBACK);
        assert_eq!((column.length_bytes, value), (1, Some(b"0".to_vec())));
        let (column, value) = tracking.selected("session_track_transaction_info", b"b".to_vec(), &FALLBACK);
        assert_eq!((column.length_bytes, value), (12, Some(b"OFF".to_vec())));
    }

    #[test]
    fn a_wrong_value_is_refused() {
        assert_eq!(Tracking::default().set("session_track_schema", "perhaps").unwrap_err().code, 1231);
    }
}
