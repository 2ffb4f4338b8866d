//! Which request for a connection is passed on to the pool, and when.

#[cfg(test)]
mod tests;

use super::{Output, Tablet};
use crate::error::{Component, Error, Kind};
use crate::gtid::Position;
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::tablet::pool::{self, ConnId};
use crate::tablet::waits::{Reader, Waiter};
use crate::time::Instant;
use crate::topo::Role;

impl Tablet {
    /// A request is held back while another waits for what it needs; all others are the pool's.
    pub(super) fn acquire(&mut self, now: Instant, reader: Reader) {
        if let Some(error) = self.refusal(reader.role, reader.term) {
            return self.refuse(&reader.request, error);
        }
        let has_executed = self.executed.contains(&reader.needs).unwrap_or(false);
        let reader = if has_executed || !self.is_open { Some(reader) } else { self.waits.join(reader) };
        if let Some(reader) = reader {
            self.feed_pool(now, pool::Input::Acquire(reader.request));
            self.let_go(now);
        }
    }

    /// What was held back, and is not any more.
    pub(super) fn let_go(&mut self, now: Instant) {
        // The pool may refuse one who was to wait for others: then another one does.
        loop {
            let free = self.waits.release(&self.executed);
            if free.is_empty() {
                return;
            }
            for reader in free {
                match self.refusal(reader.role, reader.term) {
                    Some(error) => self.refuse(&reader.request, error),
                    None => self.feed_pool(now, pool::Input::Acquire(reader.request)),
                }
            }
        }
    }

    /// Refuses those held back whose deadline has come.
    pub(super) fn refuse_late(&mut self, now: Instant) {
        for ticket in self.waits.late(now) {
            Mark::WaitLate.hit();
            let what =
                format!("tablet {}: its server has not executed in time what the read must see", self.identity.alias);
            let error = Error::unexecuted(Component::Tablet, Kind::Busy, what);
            self.outputs.push_back(Output::Pool(pool::Output::Refused { ticket, error }));
        }
    }

    fn refuse(&mut self, request: &pool::Acquire, error: Error) {
        let ticket = request.ticket;
        self.waits.ended(Waiter::Queued(ticket));
        self.outputs.push_back(Output::Pool(pool::Output::Refused { ticket, error }));
    }

    /// A request is refused when it takes the tablet for what it is not. A tablet that does not serve refuses by its
    /// drained pool.
    pub(super) fn refusal(&self, role: Role, term: Option<u64>) -> Option<Error> {
        let alias = &self.identity.alias;
        let what = match term {
            _ if self.role != role => {
                Mark::TabletNotThatRole.hit();
                format!("tablet {alias} is {} in term {}, not {role}", self.role, self.term)
            }
            Some(asked) if asked < self.term => {
                Mark::TabletOldTerm.hit();
                format!("tablet {alias} was asked for {role} in term {asked}, but it is in term {}", self.term)
            }
            // It may have lost its role by the change it has not heard of.
            Some(asked) if asked > self.term && role == Role::Primary => {
                Mark::TabletNewTerm.hit();
                format!("tablet {alias} has not heard of term {asked} yet; it is in term {}", self.term)
            }
            _ => return None,
        };
        Some(Error::unexecuted(Component::Tablet, Kind::ReadOnly, what))
    }

    /// What the driver has for the pool.
    pub(super) fn pass_to_pool(&mut self, now: Instant, input: pool::Input) {
        debug_assert!(
            !matches!(
                input,
                pool::Input::Acquire(_)
                    | pool::Input::Drain { .. }
                    | pool::Input::Reopen
                    | pool::Input::Pause { .. }
                    | pool::Input::Resume
            ),
            "these are the tablet's to decide"
        );
        if matches!(input, pool::Input::OpenFailed { .. } | pool::Input::Lost { .. }) {
            self.monitor.suspect(now);
        }
        let broke = matches!(
            input,
            pool::Input::OpenFailed { .. }
                | pool::Input::Lost { .. }
                | pool::Input::Release { fate: pool::Fate::Close(pool::CloseReason::Broken), .. }
        );
        if broke {
            self.executed = Position::default();
        }
        match &input {
            pool::Input::CancelAcquire { ticket } => self.waits.cancel(*ticket),
            pool::Input::Release { conn, .. } | pool::Input::Lost { conn } => self.waits.ended(Waiter::On(*conn)),
            _ => {}
        }
        self.feed_pool(now, input);
        self.let_go(now);
        self.tell_what_is_open();
    }

    /// Has the pool do something, and notes who got a connection to wait on.
    pub(super) fn feed_pool(&mut self, now: Instant, input: pool::Input) {
        self.pool.handle(now, input);
        while let Some(output) = self.pool.poll_output() {
            match &output {
                pool::Output::Granted { ticket, conn } => self.waits.granted(*ticket, *conn),
                pool::Output::Refused { ticket, .. } => self.waits.ended(Waiter::Queued(*ticket)),
                _ => {}
            }
            self.outputs.push_back(Output::Pool(output));
        }
    }

    /// A wait was answered: whoever needs no more may run.
    pub(super) fn waited(&mut self, now: Instant, conn: ConnId, executed: &Position) {
        let waiter = Waiter::On(conn);
        self.learn(executed);
        if self.config.pool.mutants.breaks(Mutant::ShareTooMuch) {
            self.waits.needs_behind(waiter).iter().for_each(|needs| self.learn(needs));
        }
        self.waits.ended(waiter);
        self.let_go(now);
    }

    fn learn(&mut self, executed: &Position) {
        if self.executed.merge(executed).is_err() {
            self.executed = executed.clone();
        }
        self.waits.stir();
    }
}
