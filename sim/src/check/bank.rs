//! Transfers between accounts in transactions: the total never changes, and no account is seen half-way.

use super::Violation;
use super::history::{Tick, clock};

/// One reading of all accounts in one statement or one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whose.
    pub session: u64,
    /// When it was answered.
    pub at: Tick,
    /// The balances.
    pub balances: Vec<i64>,
}

/// Checks readings against the number of accounts and the total they began with.
#[must_use]
pub fn check(accounts: usize, total: i64, readings: &[Reading]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for reading in readings {
        let sum: i64 = reading.balances.iter().sum();
        if reading.balances.len() != accounts {
            let story =
                format!("{} of {accounts} accounts were there at {}", reading.balances.len(), clock(reading.at));
            violations
                .push(Violation::new("accounts neither appear nor vanish", story).seen(reading.session, reading.at));
        } else if sum != total {
            let story = format!("the accounts held {sum} instead of {total} at {}", clock(reading.at));
            violations.push(Violation::new("transfers keep the total", story).seen(reading.session, reading.at));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_seen_half_way_changes_the_total() {
        let reading = |balances: &[i64]| Reading { session: 0, at: 1, balances: balances.to_vec() };
        assert!(check(3, 30, &[reading(&[10, 10, 10]), reading(&[0, 25, 5])]).is_empty());
        assert_eq!(check(3, 30, &[reading(&[5, 10, 10])])[0].promise, "transfers keep the total");
        assert_eq!(check(3, 30, &[reading(&[20, 10])])[0].promise, "accounts neither appear nor vanish");
    }
}
