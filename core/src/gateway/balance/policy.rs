//! How to choose among tablets that are equally good.

use super::{LAG_TOLERANCE, Wish};
use crate::gateway::cluster::TabletView;
use crate::rng::Rng;
use crate::time::Duration;
use core::cmp::Ordering;

/// How to choose among tablets that are equally good. Numbers are those of this gateway, as they are at the moment of the
/// choice: who is chosen counts at once, so many that choose at the same time do not all run to the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// By chance.
    #[default]
    Random,
    /// In turn.
    RoundRobin,
    /// The one with the fewest connections in use, for its weight.
    LeastConnections,
    /// Of two drawn by chance the one that answers sooner, for the connections in use on it (peak-EWMA).
    LeastRt,
    /// Of two drawn by chance the one that gets fewer statements, for its weight.
    LeastQps,
    /// The one that is the least behind its primary; those within a second of it are equal.
    LeastBehindPrimary,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 6] = [
        Self::Random,
        Self::RoundRobin,
        Self::LeastConnections,
        Self::LeastRt,
        Self::LeastQps,
        Self::LeastBehindPrimary,
    ];
}

/// One chooser's luck and turn. Each session has its own; their turns start apart.
#[derive(Clone, Debug)]
pub struct Chooser {
    rng: Rng,
    turn: u64,
}

impl Chooser {
    /// A chooser whose choices are a function of its seed, the views and the meters.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let turn = rng.next_u64();
        Self { rng, turn }
    }

    /// Leaves out those that warm up, but for their share of the choices; never all.
    pub(super) fn spare_the_cold(&mut self, candidates: &mut Vec<&TabletView>) {
        if candidates.iter().all(|tablet| tablet.rotation.share_percent() >= 100) {
            return;
        }
        let drawn = self.rng.below(100);
        let mut warm = candidates.clone();
        warm.retain(|tablet| drawn < u64::from(tablet.rotation.share_percent()));
        if !warm.is_empty() {
            *candidates = warm;
        }
    }

    pub(super) fn choose<'a>(&mut self, wish: &Wish<'_>, candidates: &[&'a TabletView]) -> Option<&'a TabletView> {
        if candidates.len() < 2 {
            return candidates.first().copied();
        }
        match wish.policy {
            Policy::Random => self.draw(candidates),
            Policy::RoundRobin => self.next(candidates),
            Policy::LeastConnections => self.least(candidates),
            Policy::LeastRt => self.better_of_two(candidates, |tablet| {
                let latency = tablet.meter.latency(wish.now).as_micros() as u64;
                (latency + 1).saturating_mul(u64::from(tablet.meter.leases()) + 1)
            }),
            // A connection asked for is a statement to come.
            Policy::LeastQps => self.better_of_two(candidates, |tablet| {
                tablet.meter.rate_milli(wish.now) + 1000 * u64::from(tablet.meter.leases())
            }),
            Policy::LeastBehindPrimary => self.least_behind(candidates),
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

    /// The least used, by chance among equals.
    fn least<'a>(&mut self, candidates: &[&'a TabletView]) -> Option<&'a TabletView> {
        // Read once: others choose meanwhile.
        let used: Vec<_> = candidates.iter().map(|tablet| (*tablet, u64::from(tablet.meter.leases()))).collect();
        let least = used.iter().copied().min_by(|one, two| for_weight(*one, *two))?;
        let equals: Vec<_> = used.iter().filter(|other| for_weight(**other, least).is_eq()).map(|(t, _)| *t).collect();
        self.draw(&equals)
    }

    /// The power of two choices: nearly as good as the best of all, and nobody is the best for everybody at once.
    fn better_of_two<'a>(
        &mut self,
        candidates: &[&'a TabletView],
        cost: impl Fn(&TabletView) -> u64,
    ) -> Option<&'a TabletView> {
        let one = self.draw(candidates)?;
        let others: Vec<_> = candidates.iter().copied().filter(|tablet| tablet.id != one.id).collect();
        let two = self.draw(&others)?;
        Some(if for_weight((two, cost(two)), (one, cost(one))).is_lt() { two } else { one })
    }

    fn least_behind<'a>(&mut self, candidates: &[&'a TabletView]) -> Option<&'a TabletView> {
        let lag = |tablet: &TabletView| tablet.lag.unwrap_or(Duration::MAX);
        let limit = candidates.iter().map(|tablet| lag(tablet)).min()?.saturating_add(LAG_TOLERANCE);
        let nearest: Vec<_> = candidates.iter().copied().filter(|tablet| lag(tablet) <= limit).collect();
        self.draw(&nearest)
    }
}

/// Compares two costs, each for its tablet's weight, without dividing.
fn for_weight(one: (&TabletView, u64), two: (&TabletView, u64)) -> Ordering {
    debug_assert!(one.0.weight > 0 && two.0.weight > 0, "tablets without weight are no candidates");
    (u128::from(one.1) * u128::from(two.0.weight)).cmp(&(u128::from(two.1) * u128::from(one.0.weight)))
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
