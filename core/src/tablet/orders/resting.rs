//! A primary comes to rest: it is drained first, for as long as it was told.

use super::{Order, Orders, Refusal};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::tablet::drain::Drains;
use crate::time::Instant;

impl Orders {
    /// An order begins a drain, goes on with it, or ends it.
    pub(super) fn drain_for(&mut self, now: Instant, order: &Order) {
        match order {
            Order::Rest { drain } => {
                let forever = self.mutants.breaks(Mutant::DrainForever);
                self.drains.begin(if forever { Instant::MAX } else { now + *drain });
                self.tell(now);
            }
            Order::Reach(_) | Order::Copy { .. } => {}
            Order::Recruit | Order::Lead { .. } | Order::Follow { .. } | Order::Restore | Order::Vouch => {
                if self.drains.end() {
                    self.tell(now);
                }
            }
        }
    }

    /// The server is to rest, and something is open on it.
    pub(super) fn waits_for_drain(&self) -> bool {
        !self.drains.is_complete() && !self.mutants.breaks(Mutant::RestAtOnce)
    }

    pub(super) fn hear_what_is_open(&mut self, hear: impl FnOnce(&mut Drains)) {
        let waited = self.waits_for_drain();
        hear(&mut self.drains);
        if waited && !self.waits_for_drain() {
            Mark::DrainCompletes.hit();
            self.look_at = None;
        }
    }

    /// A drain has lasted for as long as it may. Once the server rests it is that which keeps writes away.
    pub(super) fn end_drain_in_time(&mut self, now: Instant) {
        let (in_vain, open) = (self.waits_for_drain(), self.drains.open());
        let is_resting = self.goal.as_ref().is_some_and(|goal| matches!(goal.order, Order::Rest { .. }));
        self.drains.end();
        self.tell(now);
        if in_vain && is_resting {
            Mark::DrainEndsInVain.hit();
            self.finish(now, Err(Refusal::Open(open)));
        }
    }
}
