//! Digests: what statements of one form came to, for the forms that come most often.
//!
//! Owns a table of bounded size and its arithmetic. It may not know sessions, threads, or where the forms come from: a form is its
//! fingerprint, and a text for people that is asked for when the form gets a place.
//!
//! A form that has a place is counted exactly from then on. When all places are taken, a new form takes that of the least *weight*, whose
//! counts are added to those of the *others*: places and others together have all that was ever counted. The new form inherits the weight,
//! as in "space-saving" (Metwally, Agrawal, El Abbadi: Efficient computation of frequent and top-k elements in data streams, 2005). So
//! of `n` statements in front of `k` places, a form with more than `n / k` of them has a place, however many others come between.
//! What is lost is said with each: how many of its statements may be among the others, at most.

use crate::gateway::session::{Outcome, Sight, Verdict};
use crate::sql::Fingerprint;
use crate::time::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

/// What some statements came to together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many there were.
    pub count: u64,
    /// How many of them ended otherwise than well, for whatever reason.
    pub errors: u64,
    /// How long they took, from the client's side; of those that a client waited for to the end.
    pub time: Duration,
    /// How long the longest took.
    pub time_max: Duration,
    /// Rows that servers sent.
    pub rows_sent: u64,
    /// Rows that servers say were affected.
    pub rows_affected: u64,
    /// How many waited until a replica had what they must see, or went to the primary for that.
    pub waits: u64,
    /// For how long.
    pub wait_time: Duration,
}

impl Totals {
    fn count(&mut self, outcome: &Outcome) {
        self.count += 1;
        self.errors += u64::from(outcome.verdict != Verdict::Ok);
        let took = outcome.took.unwrap_or_default();
        self.time = self.time.saturating_add(took);
        self.time_max = self.time_max.max(took);
        self.rows_sent = self.rows_sent.saturating_add(outcome.rows_sent);
        self.rows_affected = self.rows_affected.saturating_add(outcome.rows_affected);
        if let Some((_, Sight::Waited | Sight::Fallback, waited)) = outcome.sight {
            self.waits += 1;
            self.wait_time = self.wait_time.saturating_add(waited);
        }
    }

    /// Adds what others came to.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.time = self.time.saturating_add(other.time);
        self.time_max = self.time_max.max(other.time_max);
        self.rows_sent = self.rows_sent.saturating_add(other.rows_sent);
        self.rows_affected = self.rows_affected.saturating_add(other.rows_affected);
        self.waits += other.waits;
        self.wait_time = self.wait_time.saturating_add(other.wait_time);
    }
}

/// A form that has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Its normal form, which has no values in it, or the beginning of that. Empty when nobody could tell it yet.
    pub text: Arc<[u8]>,
    /// What its statements came to since it got the place.
    pub totals: Totals,
    /// How many of them were counted before that, at most: they are among the others.
    pub missed_max: u64,
    /// When the first of them was counted.
    pub first_seen: Instant,
    /// When the last was.
    pub last_seen: Instant,
    /// How many statements were counted at this place, by whichever forms.
    weight: u64,
}

impl Digest {
    fn new(now: Instant, fingerprint: Fingerprint, missed_max: u64) -> Self {
        let (text, totals) = (Arc::default(), Totals::default());
        Self { fingerprint, text, totals, missed_max, first_seen: now, last_seen: now, weight: missed_max }
    }
}

/// The table of one thread. See the module.
#[derive(Debug)]
pub struct Digests {
    places_max: usize,
    places: Vec<Digest>,
    by_fingerprint: BTreeMap<Fingerprint, usize>,
    /// Each place once, with its weight or an earlier one: what is on top is brought up to date when it is looked at.
    lightest: BinaryHeap<Reverse<(u64, usize)>>,
    others: Totals,
    replaced: u64,
}

impl Digests {
    /// Nothing is counted yet.
    ///
    /// # Panics
    /// Without places.
    #[must_use]
    pub fn new(places_max: usize) -> Self {
        assert!(places_max > 0, "a table of digests has places");
        Self {
            places_max,
            places: Vec::new(),
            by_fingerprint: BTreeMap::new(),
            lightest: BinaryHeap::new(),
            others: Totals::default(),
            replaced: 0,
        }
    }

    /// Counts a statement that has ended; `text` tells its form's, which is asked for until it is known.
    pub fn count(
        &mut self,
        now: Instant,
        fingerprint: Fingerprint,
        outcome: &Outcome,
        text: impl FnOnce() -> Option<Vec<u8>>,
    ) {
        let at = self.by_fingerprint.get(&fingerprint).copied();
        let at = at.unwrap_or_else(|| self.give_place(now, fingerprint));
        let digest = &mut self.places[at];
        debug_assert_eq!(digest.fingerprint, fingerprint);
        if digest.text.is_empty()
            && let Some(text) = text()
        {
            digest.text = text.into();
        }
        digest.weight += 1;
        digest.last_seen = now;
        digest.totals.count(outcome);
    }

    fn give_place(&mut self, now: Instant, fingerprint: Fingerprint) -> usize {
        let at = if self.places.len() < self.places_max {
            self.places.push(Digest::new(now, fingerprint, 0));
            self.lightest.push(Reverse((0, self.places.len() - 1)));
            self.places.len() - 1
        } else {
            let (weight, at) = self.find_lightest();
            let before = std::mem::replace(&mut self.places[at], Digest::new(now, fingerprint, weight));
            self.by_fingerprint.remove(&before.fingerprint);
            self.others.add(&before.totals);
            self.replaced += 1;
            at
        };
        self.by_fingerprint.insert(fingerprint, at);
        debug_assert_eq!(self.by_fingerprint.len(), self.places.len());
        at
    }

    /// The least weight of a place, and which. Weights only grow: what is on top with its own weight is the lightest.
    fn find_lightest(&mut self) -> (u64, usize) {
        while let Some(mut top) = self.lightest.peek_mut() {
            let Reverse((known, at)) = *top;
            let weight = self.places[at].weight;
            if known == weight {
                return (weight, at);
            }
            *top = Reverse((weight, at));
        }
        unreachable!("there is a place, and the heap has it")
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        *self = Self::new(self.places_max);
    }

    /// What it has now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let lightest = self.places.iter().map(|digest| digest.weight).min().unwrap_or(0);
        Summary {
            digests: self.places.clone(),
            others: self.others,
            replaced: self.replaced,
            absent_max: if self.replaced > 0 { lightest } else { 0 },
        }
    }
}

/// What one table has, or several together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The forms that have places, each once, by fingerprint when they are of several tables.
    pub digests: Vec<Digest>,
    /// All other statements.
    pub others: Totals,
    /// How often a form lost its place.
    pub replaced: u64,
    /// How many statements a form may have had that has no place, at most.
    absent_max: u64,
}

impl Summary {
    /// Several tables as one: what is counted is added up.
    #[must_use]
    pub fn together(tables: impl IntoIterator<Item = Self>) -> Self {
        let mut all = BTreeMap::<Fingerprint, (Digest, u64)>::new();
        let mut together = Self::default();
        for table in tables {
            together.others.add(&table.others);
            together.replaced += table.replaced;
            together.absent_max += table.absent_max;
            for digest in table.digests {
                let missed_elsewhere = table.absent_max;
                match all.get_mut(&digest.fingerprint) {
                    Some((known, accounted)) => {
                        known.take_in(&digest);
                        *accounted += missed_elsewhere;
                    }
                    None => _ = all.insert(digest.fingerprint, (digest, missed_elsewhere)),
                }
            }
        }
        let absent_max = together.absent_max;
        together.digests = all.into_values().map(|(digest, accounted)| digest.missed(absent_max - accounted)).collect();
        together
    }
}

impl Digest {
    fn take_in(&mut self, other: &Self) {
        if self.text.is_empty() {
            self.text = Arc::clone(&other.text);
        }
        self.totals.add(&other.totals);
        self.missed_max += other.missed_max;
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }

    /// So many more may be among the others.
    fn missed(mut self, more: u64) -> Self {
        self.missed_max += more;
        self
    }
}

#[cfg(test)]
mod tests;
