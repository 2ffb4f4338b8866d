//! What sessions of one process want of one another: KILL, on its way from session to session and to the servers.

use super::super::killer::{Errand, Verdict};
use super::{Driver, GatewayProcess};
use crate::world::Ctx;
use std::collections::VecDeque;
use weir_core::error::Error;
use weir_core::gateway::processes::{self, Powers};
use weir_core::link::Interrupt;

/// One session has another ended, or what that runs.
#[derive(Debug)]
struct Order {
    killer: u32,
    victim: u64,
    interrupt: Interrupt,
}

/// What is on its way.
#[derive(Debug, Default)]
pub(in super::super) struct Kills {
    orders: VecDeque<Order>,
    done: VecDeque<(Errand, Verdict)>,
    /// For sessions that said KILL.
    answers: VecDeque<(u32, Result<(), Error>)>,
}

impl Kills {
    /// A session says KILL.
    pub(super) fn order(&mut self, killer: u32, victim: u64, interrupt: Interrupt) {
        self.orders.push_back(Order { killer, victim, interrupt });
    }

    /// A server has done, or cannot do, what a session wanted of it.
    pub(in super::super) fn done(&mut self, errand: Errand, verdict: Verdict) {
        self.done.push_back((errand, verdict));
    }

    /// What came of a KILL.
    pub(super) fn answer(&mut self, killer: u32, outcome: Result<(), Error>) {
        self.answers.push_back((killer, outcome));
    }
}

impl GatewayProcess {
    /// Carries one thing to whom it concerns. False when there was nothing to carry.
    pub(super) fn settle_kills(&mut self, ctx: &mut Ctx<'_>) -> bool {
        if let Some(order) = self.kills.orders.pop_front() {
            self.execute(ctx, &order);
        } else if let Some((errand, verdict)) = self.kills.done.pop_front() {
            self.drive(ctx, errand.session, |driver, hands, shared| driver.errand_done(hands, shared, errand, verdict));
        } else if let Some((killer, outcome)) = self.kills.answers.pop_front() {
            self.drive(ctx, killer, |driver, hands, shared| driver.kill_answered(hands, shared, outcome));
        } else {
            return false;
        }
        true
    }

    fn execute(&mut self, ctx: &mut Ctx<'_>, order: &Order) {
        let victim = u32::try_from(order.victim).ok().filter(|id| self.sessions.contains_key(id));
        let user = |id: &u32| self.sessions.get(id).map(|driver| driver.user());
        let killer = user(&order.killer).unwrap_or_default();
        match (processes::may_kill(killer, Powers::default(), order.victim, victim.as_ref().and_then(user)), victim) {
            (Ok(()), Some(victim)) => {
                let (killer, interrupt) = (order.killer, order.interrupt);
                self.drive(ctx, victim, |driver: &mut Driver, hands, shared| {
                    driver.killed(hands, shared, killer, interrupt);
                });
            }
            (outcome, _) => self.kills.answer(order.killer, outcome),
        }
    }
}
