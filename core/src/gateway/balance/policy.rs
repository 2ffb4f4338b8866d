//! How to choose among tablets that are equally good.

use super::Wish;
use crate::gateway::cluster::{TabletId, TabletView};
use crate::rng::Rng;

/// How to choose among tablets that are equally good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// By chance.
    #[default]
    Random,
    /// In turn.
    RoundRobin,
    /// The one with the fewest connections in use, for its weight. By current numbers the very one; by what tablets told
    /// last the better of two drawn by chance, so that not every gateway runs to the same one until they tell again.
    LeastConnections,
}

/// Connections in use on each tablet, as the gateway knows it at this moment.
pub trait Loads {
    /// How many are in use.
    fn in_use(&self, tablet: TabletId) -> u64;
}

/// One chooser's luck and turn. Each session has its own; their turns start apart.
#[derive(Clone, Debug)]
pub struct Chooser {
    rng: Rng,
    turn: u64,
}

impl Chooser {
    /// A chooser whose choices are a function of its seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let turn = rng.next_u64();
        Self { rng, turn }
    }

    pub(super) fn choose<'a>(&mut self, wish: &Wish<'_>, candidates: &[&'a TabletView]) -> Option<&'a TabletView> {
        if candidates.len() < 2 {
            return candidates.first().copied();
        }
        match (wish.policy, wish.loads) {
            (Policy::Random, _) => self.draw(candidates),
            (Policy::RoundRobin, _) => self.next(candidates),
            (Policy::LeastConnections, Some(loads)) => self.least(candidates, loads),
            (Policy::LeastConnections, None) => self.better_of_two(candidates),
        }
    }

    /// Each with a probability proportional to its weight.
    fn draw<'a>(&mut self, candidates: &[&'a TabletView]) -> Option<&'a TabletView> {
        let slot = self.rng.below(total_weight(candidates).max(1));
        at_slot(candidates, slot, 1)
    }

    /// In a cycle of as many turns as the weights add up to, each has as many as its weight; the turns of one are
    /// spread over the cycle by a step that has no divisor in common with its length, near the golden section.
    fn next<'a>(&mut self, candidates: &[&'a TabletView]) -> Option<&'a TabletView> {
        let unit = candidates.iter().fold(0, |unit, tablet| gcd(unit, u64::from(tablet.weight))).max(1);
        let cycle = (total_weight(candidates) / unit).max(1);
        let golden = (cycle * 618 / 1000).max(1);
        let step = (golden..).find(|step| gcd(*step, cycle) == 1)?;
        self.turn = self.turn.wrapping_add(1);
        // Below 2^40 each: TABLETS_MAX times the greatest weight.
        let slot = u128::from(self.turn % cycle) * u128::from(step) % u128::from(cycle);
        at_slot(candidates, slot as u64, unit)
    }

    /// The least loaded, by chance among equals.
    fn least<'a>(&mut self, candidates: &[&'a TabletView], loads: &dyn Loads) -> Option<&'a TabletView> {
        let mut best: Option<(&TabletView, u64)> = None;
        let mut equals = 0;
        for tablet in candidates {
            let in_use = loads.in_use(tablet.id);
            let order = best.map(|(best, least)| relative(in_use, tablet, best).cmp(&relative(least, best, tablet)));
            match order {
                Some(std::cmp::Ordering::Greater) => continue,
                Some(std::cmp::Ordering::Equal) => equals += 1,
                _ => equals = 1,
            }
            if self.rng.below(equals) == 0 {
                best = Some((tablet, in_use));
            }
        }
        best.map(|(tablet, _)| tablet)
    }

    fn better_of_two<'a>(&mut self, candidates: &[&'a TabletView]) -> Option<&'a TabletView> {
        let (one, two) = (self.draw(candidates)?, self.draw(candidates)?);
        let load = |tablet: &TabletView| u64::from(tablet.load.connections_in_use) + u64::from(tablet.load.waiting);
        // The weights have had their say in the draw; a load is compared with the pool's size.
        let size = |tablet: &TabletView| u64::from(tablet.load.connections_max.max(1));
        let two_is_better = load(two) * size(one) < load(one) * size(two);
        Some(if two_is_better { two } else { one })
    }
}

/// For comparing load per weight of two tablets without dividing.
fn relative(in_use: u64, of: &TabletView, other: &TabletView) -> u128 {
    debug_assert!(of.weight > 0, "tablets without weight are no candidates");
    u128::from(in_use) * u128::from(other.weight)
}

fn total_weight(candidates: &[&TabletView]) -> u64 {
    candidates.iter().map(|tablet| u64::from(tablet.weight)).sum()
}

/// The tablet that owns a slot, when each owns `weight / unit` slots in a row.
fn at_slot<'a>(candidates: &[&'a TabletView], slot: u64, unit: u64) -> Option<&'a TabletView> {
    let mut end = 0;
    candidates.iter().copied().find(|tablet| {
        end += u64::from(tablet.weight) / unit;
        slot < end
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
