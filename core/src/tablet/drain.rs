//! A primary that is to be succeeded in order: what is open on its server ends, and nothing else begins.
//!
//! Owns the words that tablets and those who lend connections to the server (the gateways' pools) use for it, and the account of who has
//! said what. It may not know statements, nor what a lender does about it: [`manager`](super::manager) holds back what begins,
//! [`orders`](super::orders) says when, and for how long at most.
//!
//! A drain ends by itself, at the tablet and with every lender: nobody has to be alive to end it. And it is not what keeps a write from
//! slipping past: that is the fence after it. A lender that does not hear of the drain makes it fail or its own clients read errors, not
//! more.

use crate::time::{Duration, Instant};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of sessions that are told to a person, at most.
pub const HOLDERS_MAX: usize = 8;
/// Lenders that one tablet minds, at most; others are as those that do not hear.
pub const LENDERS_MAX: usize = 1024;

/// A drain, as a tablet tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Drain {
    /// Tells it from the tablet's others. From 1.
    pub number: u64,
    /// When nobody says otherwise it is over after this.
    pub left: Duration,
}

/// What is open on the connections of a lender, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Open {
    /// For this drain nothing more begins there; 0: for none.
    pub drain: u64,
    /// Connections with an open transaction, or with a statement under way.
    pub transactions: u32,
    /// Whose they are, by what `CONNECTION_ID()` shows: the first [`HOLDERS_MAX`] of them.
    pub holders: Vec<u32>,
    /// Lenders that have not said yet that they hold back what begins.
    pub silent: u32,
}

impl Open {
    /// Takes in what is open with somebody else.
    fn add(&mut self, other: &Self) {
        self.transactions = self.transactions.saturating_add(other.transactions);
        let room = HOLDERS_MAX.saturating_sub(self.holders.len());
        self.holders.extend(other.holders.iter().take(room));
    }

    fn is_nothing(&self) -> bool {
        (self.transactions, self.silent) == (0, 0)
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |f: &mut fmt::Formatter<'_>, count: u32, one: &str, many: &str| match count {
            1 => write!(f, "1 {one}"),
            count => write!(f, "{count} {many}"),
        };
        count(f, self.transactions, "transaction is still open there", "transactions are still open there")?;
        let mut before = " (SHOW PROCESSLIST: ";
        for holder in &self.holders {
            write!(f, "{before}{holder}")?;
            before = ", ";
        }
        if !self.holders.is_empty() {
            f.write_str(if (self.transactions as usize) > self.holders.len() { ", ...)" } else { ")" })?;
        }
        if self.silent > 0 {
            f.write_str(", and ")?;
            count(f, self.silent, "gateway has not answered", "gateways have not answered")?;
        }
        Ok(())
    }
}

/// The drain under way.
#[derive(Debug, Serialize, Deserialize)]
struct UnderWay {
    until: Instant,
    /// At some time everybody had said that nothing was open.
    is_complete: bool,
}

/// A tablet's drains, one at a time, and who has said what of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Drains {
    /// How many have begun: the number of the last.
    begun: u64,
    under_way: Option<UnderWay>,
    lenders: BTreeMap<u64, Open>,
}

impl Drains {
    /// It goes on until then, or a new one begins.
    pub fn begin(&mut self, until: Instant) {
        match &mut self.under_way {
            Some(under_way) => under_way.until = until,
            None => {
                self.begun += 1;
                self.under_way = Some(UnderWay { until, is_complete: self.lenders.is_empty() });
            }
        }
    }

    /// It is over. False when there was none.
    pub fn end(&mut self) -> bool {
        self.under_way.take().is_some()
    }

    /// A lender says what is open with it. Whoever has never said anything is not waited for.
    pub fn heard(&mut self, lender: u64, open: Open) {
        if self.lenders.contains_key(&lender) || self.lenders.len() < LENDERS_MAX {
            self.lenders.insert(lender, open);
            self.look();
        }
    }

    /// A lender has gone, and its connections with it; or it cannot be heard any more.
    pub fn lost(&mut self, lender: u64) {
        self.lenders.remove(&lender);
        self.look();
    }

    fn look(&mut self) {
        let open = self.open();
        if let Some(under_way) = &mut self.under_way {
            under_way.is_complete |= open.is_nothing();
        }
    }

    /// Nothing is open any more; or there is no drain, and nothing to wait for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.under_way.as_ref().is_none_or(|under_way| under_way.is_complete)
    }

    /// What is open with all of them.
    #[must_use]
    pub fn open(&self) -> Open {
        let mut all = Open { drain: self.begun, ..Open::default() };
        for open in self.lenders.values() {
            all.silent += u32::from(open.drain != self.begun);
            all.add(open);
        }
        all
    }

    /// When it is over at the latest.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|under_way| under_way.until)
    }

    /// What there is to tell of it.
    #[must_use]
    pub fn told(&self, now: Instant) -> Option<Drain> {
        self.until().map(|until| Drain { number: self.begun, left: until.since(now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn open(drain: u64, holders: &[u32]) -> Open {
        Open { drain, transactions: holders.len() as u32, holders: holders.to_vec(), silent: 0 }
    }

    #[test]
    fn it_is_complete_when_everybody_who_lends_has_said_so_of_this_very_drain() {
        let mut drains = Drains::default();
        drains.heard(1, open(0, &[]));
        drains.heard(2, open(0, &[]));
        drains.begin(at(100));
        assert!(!drains.is_complete() && drains.open().silent == 2);
        drains.heard(1, open(1, &[7]));
        drains.heard(2, open(1, &[]));
        assert!(!drains.is_complete());
        drains.heard(1, open(1, &[]));
        assert!(drains.is_complete());
        assert!(drains.end() && !drains.end());
        drains.begin(at(300));
        assert!(!drains.is_complete(), "what was said of the first counts for nothing");
        drains.lost(2);
        drains.heard(1, open(2, &[]));
        assert!(drains.is_complete());
    }

    #[test]
    fn where_nobody_lends_there_is_nothing_to_wait_for() {
        let mut drains = Drains::default();
        drains.begin(at(100));
        assert!(drains.is_complete());
    }

    #[test]
    fn one_that_is_asked_for_again_is_the_same_and_lasts_longer() {
        let mut drains = Drains::default();
        drains.begin(at(100));
        drains.begin(at(200));
        assert_eq!(drains.told(at(150)), Some(Drain { number: 1, left: Duration::from_millis(50) }));
    }

    #[test]
    fn people_read_whose_transactions_are_open() {
        let mut drains = Drains::default();
        drains.heard(1, open(0, &[7]));
        drains.begin(at(100));
        drains.heard(1, open(1, &[7]));
        assert_eq!(drains.open().to_string(), "1 transaction is still open there (SHOW PROCESSLIST: 7)");
        drains.heard(2, open(0, &[1, 2, 3, 4, 5, 6, 7, 8]));
        let said = "9 transactions are still open there (SHOW PROCESSLIST: 7, 1, 2, 3, 4, 5, 6, 7, ...), \
                    and 1 gateway has not answered";
        assert_eq!(drains.open().to_string(), said);
    }

    #[test]
    fn lenders_beyond_the_limit_are_not_waited_for() {
        let mut drains = Drains::default();
        (0..=LENDERS_MAX as u64).for_each(|lender| drains.heard(lender, open(0, &[])));
        assert_eq!(drains.open().silent, 0);
        drains.begin(at(1));
        assert_eq!(drains.open().silent, LENDERS_MAX as u32);
    }
}
