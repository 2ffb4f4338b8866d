//! The ids by which clients know each other, in the greeting, in `CONNECTION_ID()` and in KILL: which gateway's client one is, and
//! which number a gateway has among those of its shard.
//!
//! Owns the form of ids and how numbers are given out. It may not know where the last number is kept, or how a gateway is asked.
//!
//! ```text
//! 31          22 21                                0
//! gateway's number | a count of its clients, from 1 on
//! ```

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bits of an id that count a gateway's clients: it is used again after some four million others.
const COUNT_BITS: u32 = 22;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// A gateway, among those of its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GatewayNumber(u16);

impl GatewayNumber {
    /// It has none: there is no other gateway, or nobody could tell it one. Other gateways cannot reach its clients by their ids.
    pub const NONE: Self = Self(0);
    /// The highest.
    pub const MAX: Self = Self((u32::MAX >> COUNT_BITS) as u16);

    /// Whose client has this id.
    #[must_use]
    pub const fn of(id: u32) -> Self {
        // What is left of it has sixteen bits at most.
        Self((id >> COUNT_BITS) as u16)
    }
}

/// The last number that was given to a gateway of a shard, as it is kept.
///
/// A process keeps its number to its end, whatever it hears of others meanwhile. So a number is given again only after all others were,
/// and not while a gateway shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Numbers {
    /// It.
    pub last: GatewayNumber,
}

impl Numbers {
    /// The number for the next gateway; `None` when others show them all.
    #[must_use]
    pub fn next(self, shown: &BTreeSet<GatewayNumber>) -> Option<GatewayNumber> {
        let above = self.last.0.saturating_add(1)..=GatewayNumber::MAX.0;
        let up_to = 1..=self.last.0.min(GatewayNumber::MAX.0);
        above.chain(up_to).map(GatewayNumber).find(|number| !shown.contains(number))
    }
}

/// Gives out the ids of one gateway's clients.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    number: GatewayNumber,
    last: u32,
}

impl Ids {
    /// Of the gateway with this number.
    #[must_use]
    pub const fn new(number: GatewayNumber) -> Self {
        Self { number, last: 0 }
    }

    /// The gateway's number.
    #[must_use]
    pub const fn number(&self) -> GatewayNumber {
        self.number
    }

    /// An id for the next client, which none of those has that are there. They must be fewer than there are ids.
    pub fn next(&mut self, is_taken: impl Fn(u32) -> bool) -> u32 {
        for _ in 0..COUNT_MAX {
            self.last = if self.last == COUNT_MAX { 1 } else { self.last + 1 };
            if !is_taken(self.id()) {
                break;
            }
        }
        debug_assert!(!is_taken(self.id()), "a gateway takes no more clients than there are ids");
        self.id()
    }

    fn id(&self) -> u32 {
        u32::from(self.number.0) << COUNT_BITS | self.last
    }
}

/// Who is to be asked for a client that the gateway `own` does not have: the one gateway with the id's number. `None` when there is none,
/// or when more than one shows the number, for then nobody knows which is meant.
#[must_use]
pub fn whose<G>(id: u64, own: GatewayNumber, others: impl Iterator<Item = (G, GatewayNumber)>) -> Option<G> {
    let number = u32::try_from(id).map(GatewayNumber::of).ok()?;
    if number == GatewayNumber::NONE || number == own {
        return None;
    }
    let mut with_it = others.filter(|(_, shown)| *shown == number).map(|(gateway, _)| gateway);
    with_it.next().filter(|_| with_it.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_gateway_alone_are_small_and_those_of_others_say_whose_they_are() {
        let mut alone = Ids::new(GatewayNumber::NONE);
        assert_eq!([alone.next(|_| false), alone.next(|_| false)], [1, 2]);
        let mut third = Ids::new(GatewayNumber(3));
        let id = third.next(|_| false);
        assert_eq!((id, GatewayNumber::of(id)), ((3 << 22) + 1, GatewayNumber(3)));
        let mut last = Ids { number: GatewayNumber::MAX, last: COUNT_MAX - 1 };
        assert_eq!(last.next(|_| false), u32::MAX);
    }

    #[test]
    fn an_id_comes_again_only_after_all_others_and_never_while_somebody_has_it() {
        let number = GatewayNumber(3);
        let mut ids = Ids { number, last: COUNT_MAX - 1 };
        let first = Ids::new(number).next(|_| false);
        assert_eq!(ids.next(|_| false), first + COUNT_MAX - 1);
        assert_eq!(ids.next(|id| id < first + 2), first + 2);
        assert_eq!(GatewayNumber::of(first + 2), number);
    }

    #[test]
    fn a_number_is_given_again_only_after_all_others_and_never_while_it_is_shown() {
        let none = BTreeSet::new();
        let mut numbers = Numbers::default();
        for expected in 1..=GatewayNumber::MAX.0 {
            let last = numbers.next(&none).expect("a number");
            assert_eq!(last, GatewayNumber(expected));
            numbers = Numbers { last };
        }
        assert_eq!(numbers.next(&none), Some(GatewayNumber(1)));
        let shown = (1..7).map(GatewayNumber).collect();
        assert_eq!(numbers.next(&shown), Some(GatewayNumber(7)));
        assert_eq!(Numbers { last: GatewayNumber(3) }.next(&shown), Some(GatewayNumber(7)));
        let all = (1..=GatewayNumber::MAX.0).map(GatewayNumber).collect();
        assert_eq!(numbers.next(&all), None);
        assert_eq!(Numbers { last: GatewayNumber(u16::MAX) }.next(&none), Some(GatewayNumber(1)), "nobody wrote that");
    }

    #[test]
    fn only_the_one_gateway_with_the_number_is_asked() {
        let others = [('a', GatewayNumber(2)), ('b', GatewayNumber(3)), ('c', GatewayNumber(3))];
        let whose =
            |number: u32, own| super::whose(u64::from(number << 22 | 7), GatewayNumber(own), others.into_iter());
        assert_eq!(whose(2, 1), Some('a'));
        assert_eq!(whose(3, 1), None, "two show it");
        assert_eq!(whose(4, 1), None, "nobody does");
        assert_eq!(whose(2, 2), None, "it is the gateway's own, who knows that it has no such client");
        assert_eq!(whose(0, 1), None);
        assert_eq!(super::whose(1 << 32 | 2 << 22, GatewayNumber(1), others.into_iter()), None);
    }
}
