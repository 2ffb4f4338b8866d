//! What a drain is here: nothing new gets a connection, and it is told what is open on those that are lent.

use super::{Output, Tablet};
use crate::error::{Component, Error, Kind};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::tablet::drain::{Drain, HOLDERS_MAX, Open};
use crate::tablet::pool;
use crate::time::Instant;
use crate::topo::{NotServing, Role};

/// The drain under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draining {
    number: u64,
    pub(super) until: Instant,
}

impl Tablet {
    /// The server's own tablet says that it is drained, or not any more. A tablet that is no primary, or not yet, has nothing to drain.
    pub(super) fn told_of_drain(&mut self, now: Instant, drain: Option<Drain>) {
        let forever = self.config.pool.mutants.breaks(Mutant::DrainForever);
        let until = |drain: Drain| if forever { Instant::MAX } else { now + drain.left };
        if drain.is_some() || !forever {
            self.draining = drain.map(|drain| Draining { number: drain.number, until: until(drain) });
        }
    }

    /// Its time may be over, whoever has forgotten to say so.
    pub(super) fn look_at_drain(&mut self, now: Instant) {
        self.draining = self.draining.filter(|draining| draining.until > now);
    }

    /// Nothing new gets a connection.
    pub(super) fn is_drained(&self) -> bool {
        let holds = !self.config.pool.mutants.breaks(Mutant::DrainNothing);
        self.draining.is_some() && self.role == Role::Primary && self.is_open && holds
    }

    /// Has the pool grant or not as the drain demands.
    pub(super) fn mind_the_drain(&mut self, now: Instant) {
        let is_drained = self.is_drained();
        if core::mem::replace(&mut self.is_paused, is_drained) == is_drained {
            return;
        }
        if is_drained {
            Mark::TabletDrains.hit();
            let alias = &self.identity.alias;
            let what = format!("tablet {alias}: {}", NotServing::Draining);
            let error = Error::unexecuted(Component::Tablet, Kind::Unavailable, what);
            self.feed_pool(now, pool::Input::Pause { error });
        } else {
            self.feed_pool(now, pool::Input::Resume);
            // Whoever was refused waits until the server was looked at again.
            self.monitor.expect(now);
        }
    }

    /// Tells what is open, when that has changed.
    pub(super) fn tell_what_is_open(&mut self) {
        let Some(Draining { number, .. }) = self.draining else { return };
        let holders: Vec<u32> = if self.role == Role::Primary { self.pool.open().collect() } else { Vec::new() };
        let transactions = u32::try_from(holders.len()).unwrap_or(u32::MAX);
        let open =
            Open { drain: number, transactions, holders: holders.into_iter().take(HOLDERS_MAX).collect(), silent: 0 };
        if self.told_open.as_ref() != Some(&open) {
            self.told_open = Some(open.clone());
            self.outputs.push_back(Output::Open(open));
        }
    }
}
