//! The session variables that are Weir's own, under the names that WeScale gave them.

use super::balance::Policy;
use crate::error::{Component, Error, Kind};
use crate::time::Duration;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consistency {
    /// A replica within the allowed lag.
    Eventual,
    /// Reads see this connection's earlier writes.
    Session,
    /// Reads see every write that this gateway acknowledged before they began.
    Instance,
    /// Reads see every write that any gateway acknowledged before they began.
    Global,
}

/// Whether, and by which policy, reads go to replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Splitting {
    /// Everything goes to the primary.
    Disable,
    /// Reads go to the replica that the policy chooses.
    By(Policy),
}

/// A session's values. The defaults are the gateway's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    /// `read_write_splitting_policy`.
    pub splitting: Splitting,
    /// `read_write_split_ratio`: percent of the splittable reads that go to replicas (0 to 100).
    pub split_ratio_percent: u8,
    /// `read_after_write_consistency`.
    pub consistency: Consistency,
    /// `read_after_write_timeout`: how long a replica may take to reach a position before the primary is asked.
    pub read_after_write_timeout: Duration,
    /// `monotonic_reads`: this connection never reads older data than it has read, at any level.
    pub monotonic_reads: bool,
    /// `enable_read_write_splitting_for_read_only_txn`.
    pub split_read_only_transactions: bool,
    /// `transaction_replay`: a transaction whose primary is lost is begun again on the next one.
    pub transaction_replay: bool,
}

impl Default for Variables {
    fn default() -> Self {
        Self {
            splitting: Splitting::By(Policy::Random),
            split_ratio_percent: 100,
            consistency: Consistency::Session,
            read_after_write_timeout: Duration::from_secs(1),
            monotonic_reads: false,
            split_read_only_transactions: false,
            transaction_replay: false,
        }
    }
}

/// The most that `read_after_write_timeout` may be, in seconds.
pub const READ_AFTER_WRITE_TIMEOUT_MAX_S: f64 = 3600.0;

/// Every variable of Weir's own.
pub const NAMES: [&str; 7] = [
    "read_write_splitting_policy",
    "read_write_split_ratio",
    "read_after_write_consistency",
    "read_after_write_timeout",
    "monotonic_reads",
    "enable_read_write_splitting_for_read_only_txn",
    "transaction_replay",
];

/// What a variable takes, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The values, as they are written.
    pub values: String,
    /// A sentence.
    pub meaning: &'static str,
}

/// What there is to know of a variable; `None` when the name is not Weir's.
#[must_use]
pub fn about(name: &str) -> Option<About> {
    const ON: &str = "ON or OFF";
    let (values, meaning) = match index_of(name)? {
        0 => (
            listed(&Splitting::NAMED),
            "By which policy a read chooses among replicas; disable sends all reads to the primary.",
        ),
        1 => ("0 to 100".to_owned(), "How many in a hundred of the reads that may go to replicas do."),
        2 => (listed(&Consistency::NAMED), "What a read must not miss."),
        3 => (
            format!("seconds, from 0 to {READ_AFTER_WRITE_TIMEOUT_MAX_S}, fractions too"),
            "How long a read may wait on a replica for what it must see, before it goes to the primary.",
        ),
        4 => (ON.to_owned(), "The session never reads older data than it has read, at any level."),
        5 => (ON.to_owned(), "Transactions that are declared READ ONLY go to replicas, too."),
        _ => (ON.to_owned(), "A transaction whose primary is lost is begun again on the next one."),
    };
    Some(About { values, meaning })
}

fn listed<T>(named: &[(&'static str, T)]) -> String {
    named.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl Splitting {
    /// Reads a policy's name, or `disable`, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        by_name(&Self::NAMED, name)
    }

    /// The name by which it is set.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&Self::NAMED, self)
    }

    const NAMED: [(&'static str, Self); 7] = [
        ("disable", Self::Disable),
        ("random", Self::By(Policy::Random)),
        ("round_robin", Self::By(Policy::RoundRobin)),
        ("least_connections", Self::By(Policy::LeastConnections)),
        ("least_rt", Self::By(Policy::LeastRt)),
        ("least_qps", Self::By(Policy::LeastQps)),
        ("least_behind_primary", Self::By(Policy::LeastBehindPrimary)),
    ];
}

impl Consistency {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Eventual, Self::Session, Self::Instance, Self::Global];

    const NAMED: [(&'static str, Self); 4] = [
        ("EVENTUAL", Self::Eventual),
        ("SESSION", Self::Session),
        ("INSTANCE", Self::Instance),
        ("GLOBAL", Self::Global),
    ];

    /// Reads a level's name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        by_name(&Self::NAMED, name)
    }

    /// The level's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&Self::NAMED, self)
    }
}

impl Variables {
    /// The value of a variable as `SELECT @@name` shows it; `None` when the name is not Weir's.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        Some(match index_of(name)? {
            0 => name_of(&Splitting::NAMED, self.splitting).to_owned(),
            1 => self.split_ratio_percent.to_string(),
            2 => name_of(&Consistency::NAMED, self.consistency).to_owned(),
            3 => self.read_after_write_timeout.as_secs_f64().to_string(),
            4 => u8::from(self.monotonic_reads).to_string(),
            5 => u8::from(self.split_read_only_transactions).to_string(),
            _ => u8::from(self.transaction_replay).to_string(),
        })
    }

    /// Sets a variable from the text of its value (quotes already taken off); `DEFAULT` takes it from `defaults`.
    ///
    /// # Errors
    /// The error a server gives for a wrong value, or for an unknown variable; nothing has changed then.
    pub fn set(&mut self, name: &str, value: &str, defaults: &Self) -> Result<(), Error> {
        let index = index_of(name).ok_or_else(|| wrong(name, value))?;
        if value.eq_ignore_ascii_case("default") {
            match index {
                0 => self.splitting = defaults.splitting,
                1 => self.split_ratio_percent = defaults.split_ratio_percent,
                2 => self.consistency = defaults.consistency,
                3 => self.read_after_write_timeout = defaults.read_after_write_timeout,
                4 => self.monotonic_reads = defaults.monotonic_reads,
                5 => self.split_read_only_transactions = defaults.split_read_only_transactions,
                _ => self.transaction_replay = defaults.transaction_replay,
            }
            return Ok(());
        }
        let refused = || wrong(name, value);
        match index {
            0 => self.splitting = by_name(&Splitting::NAMED, value).ok_or_else(refused)?,
            1 => {
                self.split_ratio_percent = value.parse().ok().filter(|percent| *percent <= 100).ok_or_else(refused)?;
            }
            2 => self.consistency = by_name(&Consistency::NAMED, value).ok_or_else(refused)?,
            3 => {
                let seconds: f64 = value.parse().map_err(|_| refused())?;
                if !(0.0..=READ_AFTER_WRITE_TIMEOUT_MAX_S).contains(&seconds) {
                    return Err(refused());
                }
                self.read_after_write_timeout = Duration::from_secs_f64(seconds);
            }
            4 => self.monotonic_reads = boolean(value).ok_or_else(refused)?,
            5 => self.split_read_only_transactions = boolean(value).ok_or_else(refused)?,
            _ => self.transaction_replay = boolean(value).ok_or_else(refused)?,
        }
        Ok(())
    }
}

fn index_of(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))
}

fn by_name<T: Copy>(named: &[(&'static str, T)], value: &str) -> Option<T> {
    named.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, value)| *value)
}

fn name_of<T: Copy + PartialEq>(named: &[(&'static str, T)], value: T) -> &'static str {
    named.iter().find(|(_, v)| *v == value).map_or("", |(name, _)| name)
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" => Some(true),
        "0" | "off" | "false" => Some(false),
        _ => None,
    }
}

fn wrong(name: &str, value: &str) -> Error {
    let message = format!("Variable '{name}' can't be set to the value of '{value}'");
    Error::new(Component::Gateway, Kind::WrongValueForVariable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_can_be_read_and_set_to_what_it_shows() {
        let defaults = Variables::default();
        let mut vars = defaults.clone();
        for name in NAMES {
            let shown = vars.get(name).unwrap();
            vars.set(name, &shown, &defaults).unwrap();
        }
        assert_eq!(vars, defaults);
    }

    #[test]
    fn a_wrong_value_is_refused_and_changes_nothing() {
        let defaults = Variables::default();
        let mut vars = defaults.clone();
        for (name, value) in [
            ("read_write_splitting_policy", "sometimes"),
            ("read_write_split_ratio", "101"),
            ("read_after_write_timeout", "-1"),
            ("read_after_write_timeout", "NaN"),
            ("enable_read_write_splitting_for_read_only_txn", "2"),
            ("no_such_variable", "1"),
        ] {
            assert_eq!(vars.set(name, value, &defaults).unwrap_err().code, 1231, "{name}={value}");
        }
        assert_eq!(vars, defaults);
    }

    #[test]
    fn every_variable_says_what_it_takes() {
        let defaults = Variables::default();
        for name in NAMES {
            let values = about(name).expect("it is Weir's").values;
            let shown = defaults.get(name).expect("it is Weir's");
            for value in values.split([' ', ',']).filter(|word| word.to_uppercase() == *word && !word.is_empty()) {
                assert_eq!(Variables::default().set(name, value, &defaults), Ok(()), "{name}={value}");
            }
            let is_listed = values.split(", ").any(|value| value == shown);
            assert!(is_listed || shown.parse::<u32>().is_ok(), "{name}={shown}: {values}");
        }
        assert_eq!(about("no_such_variable"), None);
    }

    #[test]
    fn default_restores_the_configured_value() {
        let defaults = Variables { split_ratio_percent: 40, ..Variables::default() };
        let mut vars = defaults.clone();
        vars.set("READ_WRITE_SPLIT_RATIO", "7", &defaults).unwrap();
        assert_eq!(vars.split_ratio_percent, 7);
        vars.set("read_write_split_ratio", "DEFAULT", &defaults).unwrap();
        assert_eq!(vars, defaults);
    }
}
