//! A server connection that broke amid a request: what is lost with it, whose request goes on, and what the client is told.

use super::job::{BROKEN_MAX, Job, Origin};
use super::replay::{GoesOn, Loss};
use super::{Event, Fate, Phase, Pins, Reason, Session};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::cluster::TabletId;
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::mysql::packet::OkPacket;
use crate::sql::Effects;
use crate::time::Instant;

/// What broke off, and what it took along.
#[derive(Debug)]
struct Broken {
    tablet: Option<TabletId>,
    error: Error,
    loss: Loss,
    /// Somebody may have killed it: that has been asked.
    inquires: bool,
    /// What lived on the connection.
    pins: Pins,
    /// A transaction was open there.
    in_transaction: bool,
}

impl Broken {
    /// Nothing of the client's request has been executed.
    fn before_the_request(&mut self) {
        (self.error.effect, self.loss.effect) = (Effect::None, Effect::None);
    }

    /// `job` may have been executed, and that would show.
    fn is_unknown(&self, job: &Job) -> bool {
        self.error.effect != Effect::None && !job.read_only
    }
}

impl Session {
    /// The connection is gone, and with it whatever lived on it.
    pub(super) fn on_lost(&mut self, now: Instant, mut job: Box<Job>, error: Error) {
        Mark::ConnectionLost.hit();
        let mut broken = self.lose_connection(now, &job, error);
        let answered = job.answered && !(job.read_only && self.config.mutants.breaks(Mutant::RepeatHalfAnswered));
        if answered {
            let Some(next) = job.between else {
                Mark::LostInAnswer.hit();
                return self.leave(Reason::ServerLost);
            };
            Mark::LostBetweenRows.hit();
            self.sequence = next;
        }
        let Some(found) = self.request_of_client(now, job, &mut broken) else { return };
        job = found;
        match self.outlives(&job, broken.loss) {
            GoesOn::Not => {}
            GoesOn::RolledBack => return self.has_rolled_back(now),
            goes_on => {
                self.go_on_elsewhere(&mut job, broken.loss, goes_on);
                if Self::is_worn_out(&job) {
                    return self.fail(now, &job, &broken.error);
                }
                job.tried.extend(broken.tablet);
                return self.inquire_or_try_elsewhere(now, job, broken);
            }
        }
        let commits = !broken.in_transaction || job.effects.contains(Effects::ENDS_TRANSACTION);
        if broken.is_unknown(&job) && commits {
            // Should it have happened after all, whoever looks for it must find it.
            self.state.wrote_somewhere();
            self.report_written();
        }
        if broken.pins.is_empty() && !broken.in_transaction && !answered {
            self.run_once_more(now, job, broken);
        } else {
            self.tell_of_loss(now, &job, &broken);
        }
    }

    /// Takes leave of the connection and of what lived there.
    fn lose_connection(&mut self, now: Instant, job: &Job, error: Error) -> Broken {
        let tablet = self.lease.map(|lease| lease.key.tablet);
        let inquires = self.may_have_been_killed(now, job);
        if inquires {
            self.events.push_back(Event::Inquire);
        }
        let loss = self.loss(error.effect);
        self.notice_lost_insert_id(job, error.effect != Effect::None || self.state.in_transaction());
        self.release(Fate::Close);
        self.statements.lose_cursors();
        let in_transaction = self.state.in_transaction();
        let pins = std::mem::replace(&mut self.state.pins, Pins::empty());
        self.state.lose_transaction();
        Broken { tablet, error, loss, inquires, pins, in_transaction }
    }

    /// The request of the client's that was under way, or was to follow what was; `None` when the session goes on without one.
    fn request_of_client(&mut self, now: Instant, job: Box<Job>, broken: &mut Broken) -> Option<Box<Job>> {
        match job.origin {
            Origin::Clean => self.cleaned(Fate::Close),
            Origin::LearnInsertId
            | Origin::ClearDiagnostics
            | Origin::PrepareToTell
            | Origin::Mark
            | Origin::Replay
            | Origin::Settle
                if self.then.is_some() =>
            {
                broken.before_the_request();
                return self.then.take();
            }
            Origin::Client | Origin::Login | Origin::CheckAccount => return Some(job),
            _ if self.has_to_catch_up() => self.forsake(now),
            _ => {
                // What was to run in it was interrupted.
                self.transaction_lost |= broken.in_transaction;
                self.become_idle(now);
            }
        }
        None
    }

    /// It is not run again: state, a transaction, or a part of its answer is gone.
    fn tell_of_loss(&mut self, now: Instant, job: &Job, broken: &Broken) {
        let mutants = self.config.mutants;
        if !broken.pins.is_empty() {
            Mark::StateLost.hit();
            let error = state_lost(&broken.error, broken.pins, job.read_only);
            return self.break_off(&error, Reason::StateLost);
        }
        if broken.in_transaction {
            Mark::TransactionLost.hit();
            let ends = job.effects.contains(Effects::ENDS_TRANSACTION);
            if ends && mutants.breaks(Mutant::SwallowCommitFailure) {
                self.write_own_ok();
                return self.become_idle(now);
            }
            self.transaction_lost = !mutants.breaks(Mutant::HideTransactionLoss);
        } else if mutants.breaks(Mutant::EndTornRows) {
            self.write_end_of_rows(&OkPacket::default());
            return self.become_idle(now);
        }
        self.fail(now, job, &broken.error);
    }

    /// Unless it may have happened, or has broken too many connections.
    fn run_once_more(&mut self, now: Instant, mut job: Box<Job>, broken: Broken) {
        let replays = [Mutant::RetryUnknownWrite, Mutant::BufferReplaysUnknown];
        let replays = replays.into_iter().any(|mutant| self.config.mutants.breaks(mutant));
        if broken.is_unknown(&job) && !replays {
            Mark::OutcomeUnknown.hit();
            return self.fail(now, &job, &broken.error);
        }
        if !self.config.mutants.breaks(Mutant::RetryUnknownWrite) {
            job.tried.extend(broken.tablet);
        }
        job.broken += usize::from(broken.error.effect != Effect::None || job.read_only);
        if job.broken > BROKEN_MAX {
            return self.fail(now, &job, &broken.error);
        }
        self.inquire_or_try_elsewhere(now, job, broken);
    }

    fn inquire_or_try_elsewhere(&mut self, now: Instant, job: Box<Job>, broken: Broken) {
        if broken.inquires {
            self.phase = Phase::Inquiring(job, broken.error);
        } else {
            self.try_elsewhere(now, job, broken.error);
        }
    }
}

/// The client has to connect again, as after a server's shutdown. `harmless`: the statement changes nothing, whether it ran or not.
fn state_lost(error: &Error, pins: Pins, harmless: bool) -> Error {
    let names: Vec<String> = pins.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect();
    let message = format!(
        "weir-gateway: the server connection broke ({}), and with it state of this session that cannot be re-established: {}; \
         connect again",
        String::from_utf8_lossy(&error.message),
        names.join(", ")
    );
    let kind = if error.effect == Effect::Unknown && !harmless { Kind::OutcomeUnknown } else { Kind::Unavailable };
    Error::new(Component::Gateway, kind, message).with_effect(error.effect)
}
