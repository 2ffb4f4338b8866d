//! A statement on a server that says nothing.
//!
//! A server that stands still takes bytes and looks as one that works on: only time tells. So a read is looked after once
//! it has been silent for a while. When nobody else hears of the server either, its tablet is asked to find out whether it lives; when it
//! does not, the tablet no longer serves, and a read of which the client has seen nothing goes on elsewhere.
//!
//! Whatever runs on the primary is waited for, unless nothing is heard of it any more and another tablet is the primary of a later term.
//! Nobody can go on with an answer that has begun: its client is told, by the end of its connection, once a server that its own
//! tablet does not reach has left it off for [`ANSWER_PATIENCE`].

use super::job::{BROKEN_MAX, Job, Origin};
use super::{Event, Fate, Phase, Pins, Session, Timer};
use crate::error::{Component, Effect, Error, Kind};
use crate::gateway::buffer::Primary;
use crate::gateway::cluster::{Serving, TabletView};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::sql::Effects;
use crate::time::{Duration, Instant};
use crate::topo::{NotServing, Role};

/// The shortest silence that says anything: whoever allows reads less time gets no answer sooner from a server that stands still.
const PATIENCE_MIN: Duration = Duration::from_millis(100);
/// The longest silence before it is looked whether the server lives.
const PATIENCE_MAX: Duration = Duration::from_secs(1);
/// The longest silence in the middle of an answer. A client that is slow to take its answer keeps the server silent as well: only
/// together with what the tablet says does it mean something.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    /// How long a server may say nothing: after that, and as long again, a read is elsewhere, which is within its limit.
    fn patience(&self) -> Duration {
        (self.state.variables.read_after_write_timeout / 2).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// `job` is on its way to a server, or waits for a connection there. Logins have a limit of their own.
    pub(super) fn watch(&mut self, now: Instant, job: &mut Job) {
        if !matches!(job.origin, Origin::Login | Origin::CheckAccount) {
            job.doubted = false;
            self.timer = Some((now + self.patience(), Timer::Silence));
        }
    }

    /// Until when a connection to a tablet of this role is of use to `job`.
    pub(super) fn limit_on(role: Role, job: &Job) -> Option<Instant> {
        job.read_by.filter(|_| role != Role::Primary)
    }

    /// Replicas have had their time.
    pub(super) fn is_late(now: Instant, job: &Job) -> bool {
        Self::limit_on(job.role, job).is_some_and(|limit| limit <= now)
    }

    /// Once replicas have had their time, `job` is for the primary.
    pub(super) fn mind_the_limit(&mut self, now: Instant, job: &mut Job) {
        if Self::is_late(now, job) {
            Mark::ReadFallsBack.hit();
            self.tally.found(now);
            job.role = Role::Primary;
        }
    }

    /// What is under way has been silent for a while.
    pub(super) fn look_for_life(&mut self, now: Instant) {
        if let Some(old) = self.runs_on_primary() {
            return self.look_for_successor(now, old);
        }
        if matches!(&self.phase, Phase::Running(job) if job.answered) {
            return self.look_for_the_rest(now);
        }
        let (tablet, waits_until, doubted) = match &self.phase {
            Phase::Waiting(job) if job.role != Role::Primary => {
                (job.asked, job.read_by.filter(|_| self.waits(job)), job.doubted)
            }
            Phase::Running(job) if self.is_unanswered(job) => {
                let tablet = self.lease.map(|lease| lease.key.tablet);
                (tablet, job.read_by.filter(|_| self.waits(job)), job.doubted)
            }
            _ => return,
        };
        let Some(tablet) = tablet.and_then(|id| self.view.get(id)) else { return };
        let patience = self.patience();
        let is_silent = is_silent(tablet, now, patience);
        if is_silent && is_lost(tablet) {
            return self.leave_silent(now);
        }
        // One that waits for a position is silent because it waits.
        if is_silent && !doubted && waits_until.is_none_or(|until| until <= now) {
            Mark::ServerDoubted.hit();
            self.events.push_back(Event::Doubt { tablet: tablet.id, within: patience / 2 });
            if let Phase::Waiting(job) | Phase::Running(job) = &mut self.phase {
                job.doubted = true;
            }
        }
        self.timer = Some((now + patience, Timer::Silence));
    }

    /// The primary that a statement runs on, of whose answer the client has seen nothing.
    fn runs_on_primary(&self) -> Option<Primary> {
        let Phase::Running(job) = &self.phase else { return None };
        self.lease.filter(|_| self.is_unanswered(job))?.primary
    }

    fn look_for_successor(&mut self, now: Instant, old: Primary) {
        if self.view.get(old.tablet).is_some_and(is_lost) && self.has_successor(old) {
            Mark::PrimaryGivenUp.hit();
            return self.leave_silent(now);
        }
        self.timer = Some((now + self.patience(), Timer::Silence));
    }

    fn look_for_the_rest(&mut self, now: Instant) {
        let is_lost = self.lease.and_then(|lease| self.view.get(lease.key.tablet)).is_some_and(is_lost);
        let is_silent = |job: &Job| job.heard_at.is_some_and(|at| now.since(at) >= ANSWER_PATIENCE);
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Running(job) if is_lost && is_silent(&job) => {
                Mark::AnswerLeftOff.hit();
                self.on_lost(now, job, fell_silent());
            }
            other => {
                self.phase = other;
                self.timer = Some((now + self.patience(), Timer::Silence));
            }
        }
    }

    /// The client has seen nothing of the answer to `job`, if it is for the client at all, and nobody is ending it.
    fn is_unanswered(&self, job: &Job) -> bool {
        let is_login = matches!(job.origin, Origin::Login | Origin::CheckAccount);
        !is_login && !job.answered && !job.killed && !self.interrupting
    }

    /// `job` changes nothing, a transaction that it begins can begin anywhere, and nothing of the session's lives where it runs.
    fn can_leave(&self, job: &Job) -> bool {
        let alone = self.state.pins.is_empty() && !self.state.in_transaction();
        alone && (job.read_only || job.effects.contains(Effects::OPENS_READ_ONLY))
    }

    /// The read goes on elsewhere; what cannot is given up. One that has lost a server before is suspected of having stopped them.
    fn leave_silent(&mut self, now: Instant) {
        if self.config.mutants.breaks(Mutant::StayOnSilent) {
            return;
        }
        let mut job = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Running(job) => job,
            // The tablet refuses those who wait.
            other => return self.phase = other,
        };
        if job.origin != Origin::Client {
            // The client's own is answered, or has not begun.
            return self.on_lost(now, job, fell_silent().with_effect(Effect::None));
        }
        if !self.can_leave(&job) {
            let on_primary = self.lease.is_some_and(|lease| lease.role == Role::Primary);
            let error = if on_primary { given_up() } else { fell_silent() };
            return self.on_lost(now, job, error);
        }
        Mark::ReadLeavesSilent.hit();
        job.tried.extend(self.lease.map(|lease| lease.key.tablet));
        self.notice_lost_insert_id(&job, false);
        self.release(Fate::Close);
        self.state.pins = Pins::empty();
        job.broken += 1;
        if job.broken > BROKEN_MAX {
            return self.fail(now, &job, &fell_silent());
        }
        self.try_elsewhere(now, job, fell_silent());
    }
}

/// Its server does not answer its own tablet.
fn is_lost(tablet: &TabletView) -> bool {
    matches!(tablet.serving, Serving::No(NotServing::Unreachable) | Serving::Silent)
}

/// Nothing that runs there has been answered lately.
fn is_silent(tablet: &TabletView, now: Instant, patience: Duration) -> bool {
    let sample = tablet.meter.sample(now);
    sample.running == 0 || sample.stalled >= patience
}

fn given_up() -> Error {
    let message =
        "weir-gateway: the server fell silent while the statement ran there; whether it took effect is unknown";
    Error::new(Component::Gateway, Kind::OutcomeUnknown, message).with_effect(Effect::Unknown)
}

fn fell_silent() -> Error {
    let message = "weir-gateway: the server fell silent while the statement ran there; a retry is safe";
    Error::new(Component::Gateway, Kind::ServerLost, message).with_effect(Effect::Unknown)
}
