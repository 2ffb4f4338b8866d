//! `transaction_replay`: a transaction whose primary is lost is begun again on the next one.
//!
//! While it is open its statements are kept ([`super::history`]), each with a sum of its answer. When its primary is lost before
//! COMMIT was sent, the statement that was under way waits for the next primary like any other, and before it runs there the kept ones run
//! again, each under the settings that it had. What the client has been told must come out the same; a difference ends
//! the transaction, which is rolled back by closing its connection. The client's statement then gets the answer.
//!
//! Whatever lives on a connection besides the transaction cannot be taken along, and such a transaction ends as it does without
//! replay. A COMMIT that may have been done is [`super::settle`]'s. Start with [`Session::outlives`].

use super::follow::{is_plain, why_unfit};
use super::history::{History, Kept, Sum};
use super::job::{Job, Origin};
use super::settle::Marker;
use super::state::IN_TRANSACTION;
use super::waiting::takes_no_writes;
use super::{Event, Fate, Phase, Pins, Session};
use crate::error::{Component, Effect, Error, Kind};
use crate::link::{Asks, Request, Settings};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::sql::{self, Effects};
use crate::time::Instant;
use crate::topo::Role;
use std::sync::Arc;

/// How often one transaction is begun once more because it ran into a deadlock. Losses of primaries end by the time that
/// a statement may wait for one.
const DEADLOCKS_MAX: u32 = 8;
/// Connections that may break under one statement of a transaction before it is suspected of breaking them.
const BROKEN_MAX: usize = 2;
/// ER_LOCK_DEADLOCK: the server has rolled the transaction back, and it may be started again.
const DEADLOCK: u16 = 1213;

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $outcome:literal;)+) => {
        /// What became of a transaction, or a COMMIT, whose primary was lost while `transaction_replay` was on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Replayed {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Replayed {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The counter of those, in `SHOW WEIR STATUS`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// As metrics name it.
            #[must_use]
            pub const fn outcome(self) -> &'static str {
                match self { $(Self::$variant => $outcome,)+ }
            }
        }
    };
}

outcomes! {
    /// It was replayed, and goes on.
    Done = "Transactions_replayed", "replayed";
    /// A statement had another result than before.
    Different = "Transactions_replayed_differently", "different";
    /// It could not be replayed: a limit, or something that lives on one connection.
    Unfit = "Transactions_not_replayable", "unfit";
    /// No primary took it in time, or it was interrupted, or lost its primary too often.
    GivenUp = "Transactions_replay_given_up", "given_up";
    /// Its COMMIT had been done.
    CommitDone = "Commits_settled_done", "commit_done";
    /// Its COMMIT had not been done.
    CommitLost = "Commits_settled_lost", "commit_lost";
    /// Nobody can tell.
    CommitUnknown = "Commits_unsettled", "commit_unknown";
}

/// What a session does for its open transaction. See the module.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) history: History,
    pub(super) stage: Stage,
    pub(super) marker: Marker,
    deadlocks: u32,
    /// What the session was when it lost its primary.
    before: Option<Before>,
}

impl Replay {
    pub(super) fn transaction_is_over(&mut self) {
        self.history.clear();
        self.marker.clear();
        self.deadlocks = 0;
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// The transaction is where its statements run, if one is open.
    #[default]
    Following,
    /// Its primary is lost, and nothing runs before it was begun again.
    Lost,
    /// The statement of this number runs again.
    Replaying(usize),
    /// Its COMMIT may have been done: that is found out first.
    Settling,
}

#[derive(Debug)]
struct Before {
    settings: Arc<Settings>,
    status: u16,
    pins: Pins,
    insert_id_lost: bool,
}

/// How a session goes on that has lost its primary in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoesOn {
    /// It is told, as without replay.
    Not,
    /// The transaction is begun again.
    Again,
    /// First it is found out whether the COMMIT was done.
    Settles,
    /// What was asked for was its end.
    RolledBack,
}

/// A server connection as it was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    /// What became of the statement on it.
    pub(super) effect: Effect,
    /// A transaction was open, or prepared.
    pub(super) open: bool,
    /// It was open.
    pub(super) within: bool,
    /// `autocommit`.
    pub(super) autocommit: bool,
    pub(super) pins: Pins,
    pub(super) role: Option<Role>,
    pub(super) insert_id_lost: bool,
}

impl Session {
    /// How `job` goes on, whose connection was lost like this.
    pub(super) fn outlives(&mut self, job: &Job, loss: Loss) -> GoesOn {
        let Some(replay) = &mut self.replay else { return GoesOn::Not };
        match replay.stage {
            Stage::Settling => return GoesOn::Settles,
            Stage::Lost | Stage::Replaying(_) => return GoesOn::Again,
            Stage::Following => {}
        }
        let ends = job.effects.contains(Effects::ENDS_TRANSACTION);
        let is_plainly = |kind| ends && is_plain(&self.state.settings, &job.command, kind);
        let (commits, rolls_back) = (is_plainly(sql::Kind::Commit), is_plainly(sql::Kind::Rollback));
        let opens = job.effects.contains(Effects::OPENS_TRANSACTION);
        let belongs = loss.open || opens || commits || rolls_back || !loss.autocommit;
        if !belongs || job.origin != Origin::Client || loss.role != Some(Role::Primary) {
            return GoesOn::Not;
        }
        if job.answered {
            return self.is_unfit("a part of the statement's answer has gone to the client");
        }
        let lasting = loss.pins - Pins::OF_TRANSACTION;
        if !lasting.is_empty() || job.killed || job.infile {
            return self.is_unfit("it has state that lives on its connection");
        }
        if rolls_back {
            return GoesOn::RolledBack;
        }
        if let Some(why) = replay.history.unfit() {
            return self.is_unfit(why);
        }
        let may_have_run = loss.effect != Effect::None;
        if commits && may_have_run {
            return self.commit_outlives();
        }
        let may_end = ends || (loss.within && opens) || why_unfit(job).is_some();
        if (may_end && may_have_run) || job.effects.contains(Effects::NEEDS_DIAGNOSTICS) {
            return self.is_unfit("the statement that was under way may do more than belong to it");
        }
        GoesOn::Again
    }

    /// Its COMMIT was sent, and no answer came.
    fn commit_outlives(&mut self) -> GoesOn {
        let Some(replay) = &self.replay else { return GoesOn::Not };
        if self.config.mutants.breaks(Mutant::GuessCommitDone) {
            GoesOn::RolledBack
        } else if !replay.history.writes() || self.config.mutants.breaks(Mutant::GuessCommitLost) {
            GoesOn::Again
        } else if replay.marker.is_set() {
            GoesOn::Settles
        } else {
            self.is_unfit("its COMMIT was not marked")
        }
    }

    fn is_unfit(&mut self, why: &'static str) -> GoesOn {
        Mark::ReplayUnfit.hit();
        self.events.push_back(Event::Replayed(Replayed::Unfit));
        if let Some(replay) = &mut self.replay {
            replay.history.give_up(why);
        }
        GoesOn::Not
    }

    /// The transaction of `job` was lost like this, and goes on like that: `job` waits for a primary.
    pub(super) fn go_on_elsewhere(&mut self, job: &mut Job, loss: Loss, goes_on: GoesOn) {
        let settings = Arc::clone(&self.state.settings);
        let Some(replay) = &mut self.replay else { return };
        let Loss { pins, insert_id_lost, .. } = loss;
        replay.before.get_or_insert(Before { settings, status: self.state.status, pins, insert_id_lost });
        replay.stage = if goes_on == GoesOn::Settles { Stage::Settling } else { Stage::Lost };
        job.kept = None;
        (job.role, job.read_by) = (Role::Primary, None);
        job.broken += usize::from(loss.effect != Effect::None);
    }

    /// The open transaction can be begun again when a server refuses a statement of it.
    pub(super) fn could_begin_again(&self) -> bool {
        let lasting = self.state.pins - Pins::OF_TRANSACTION;
        let fit = self.replay.as_ref().is_some_and(|replay| replay.history.unfit().is_none());
        fit && lasting.is_empty() && self.is_open()
    }

    /// The server of the lease has refused `job`, which is of a transaction: that is begun again elsewhere.
    pub(super) fn leave_transaction(&mut self, job: &mut Job) {
        let settles = self.replay.as_ref().is_some_and(|replay| replay.stage == Stage::Settling);
        let loss = self.loss(Effect::None);
        self.state.pins = Pins::empty();
        self.state.lose_transaction();
        self.statements.lose_cursors();
        self.go_on_elsewhere(job, loss, if settles { GoesOn::Settles } else { GoesOn::Again });
    }

    /// The lease, if it is lost now.
    pub(super) fn loss(&self, effect: Effect) -> Loss {
        Loss {
            effect,
            open: self.is_open(),
            within: self.state.in_transaction(),
            autocommit: self.state.autocommit(),
            pins: self.state.pins,
            role: self.lease.map(|lease| lease.role),
            insert_id_lost: self.state.insert_id_lost,
        }
    }

    /// `job` has lost too many connections.
    pub(super) const fn is_worn_out(job: &Job) -> bool {
        job.broken > BROKEN_MAX
    }

    /// Something must be done on the lease before a statement of the client's may run there.
    pub(super) fn has_to_catch_up(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.stage != Stage::Following)
    }

    /// Does that; then `job` runs.
    pub(super) fn catch_up(&mut self, now: Instant, mut job: Box<Job>) {
        self.watch(now, &mut job);
        self.then = Some(job);
        let Some(replay) = &mut self.replay else { return };
        if replay.stage == Stage::Settling {
            return self.ask_for_commit(now);
        }
        Mark::ReplayBegins.hit();
        replay.stage = Stage::Replaying(0);
        // The mark was part of what is gone.
        replay.marker.clear();
        self.replay_next(now);
    }

    fn replay_next(&mut self, now: Instant) {
        let Some(replay) = &self.replay else { return };
        let Stage::Replaying(number) = replay.stage else { return };
        let Some(kept) = replay.history.get(number).cloned() else { return self.has_caught_up(now) };
        let mut job = Box::new(Job::new(kept.command.clone(), Origin::Replay));
        let request = Request {
            settings: Arc::clone(&kept.settings),
            last_insert_id: kept.last_insert_id,
            command: kept.command.clone(),
            read_only: kept.effects.contains(Effects::READ_ONLY),
            restores_variables: kept.effects.contains(Effects::RESTORES_VARIABLES),
            digests: true,
            asks: Asks::empty(),
            wait: None,
            client: self.format(),
            caller: self.caller(),
            trace: None,
        };
        job.kept = Some(Box::new(Kept { result: Sum::default(), ..kept }));
        self.events.push_back(Event::Submit(Box::new(request)));
        self.phase = Phase::Running(job);
    }

    /// A statement that ran again was answered.
    pub(super) fn replayed(&mut self, now: Instant, mut job: Box<Job>) {
        self.phase = Phase::Idle;
        let Some(replay) = &mut self.replay else { return };
        let Stage::Replaying(number) = replay.stage else { return };
        if self.then.is_none() {
            return self.forsake(now);
        }
        let then = replay.history.get(number).map(|kept| kept.result).unwrap_or_default();
        let result = job.kept.take().map(|kept| kept.result).unwrap_or_default();
        if then == result || self.config.mutants.breaks(Mutant::ReplayUnchecked) {
            replay.stage = Stage::Replaying(number + 1);
            return self.replay_next(now);
        }
        match job.last_error.take() {
            Some(error) if takes_no_writes(&error) => self.replay_elsewhere(now, error),
            Some(error) if error.code == DEADLOCK && replay.deadlocks < DEADLOCKS_MAX => {
                Mark::ReplayDeadlocks.hit();
                replay.deadlocks += 1;
                replay.stage = Stage::Replaying(0);
                self.replay_next(now);
            }
            _ => {
                Mark::ReplayDiffers.hit();
                let difference = then.difference(&result);
                let message = format!(
                    "weir-gateway: the transaction was rolled back: its primary was lost, and on the next one statement {} of it has \
                     another result ({difference}); start over",
                    number + 1
                );
                let error = Error::new(Component::Gateway, Kind::TransactionLost, message);
                self.end_replay(now, Replayed::Different, &error);
            }
        }
    }

    /// The server is no primary any more: what has run again there is rolled back, and runs on the next one.
    fn replay_elsewhere(&mut self, now: Instant, error: Error) {
        if let Some(replay) = &mut self.replay {
            replay.stage = Stage::Lost;
        }
        if let Some(then) = self.then.take() {
            self.leave_old_primary(now, then, error);
        }
    }

    /// The transaction is as it was: the client's statement runs.
    fn has_caught_up(&mut self, now: Instant) {
        Mark::ReplayDone.hit();
        self.events.push_back(Event::Replayed(Replayed::Done));
        self.return_to_before();
        if let Some(lease) = &mut self.lease {
            lease.insert_id = super::insert_id::InsertId::Dirty;
            lease.forget_diagnostics();
        }
        match self.then.take() {
            Some(job) => self.submit(now, job),
            None => self.forsake(now),
        }
    }

    /// The session is what it was before it lost its primary.
    pub(super) fn return_to_before(&mut self) {
        let Some(replay) = &mut self.replay else { return };
        replay.stage = Stage::Following;
        if let Some(before) = replay.before.take() {
            (self.state.settings, self.state.pins) = (before.settings, before.pins);
            self.state.status = (before.status & !IN_TRANSACTION) | (self.state.status & IN_TRANSACTION);
            self.state.insert_id_lost = before.insert_id_lost;
        }
    }

    /// Nobody waits for the statement any more: it was interrupted, and its client knows.
    pub(super) fn forsake(&mut self, now: Instant) {
        self.events.push_back(Event::Replayed(Replayed::GivenUp));
        self.lose_replay();
        self.become_idle(now);
    }

    /// `error` ends a statement that waits for its transaction to be begun again, or settled. What its client reads; `None`:
    /// that is not so.
    pub(super) fn ends_with(&mut self, error: &Error) -> Option<Error> {
        let stage = self.replay.as_ref()?.stage;
        let why = String::from_utf8_lossy(&error.message).into_owned();
        let (outcome, error) = match stage {
            Stage::Following => return None,
            Stage::Settling => (Replayed::CommitUnknown, unsettled(&why)),
            Stage::Lost | Stage::Replaying(_) => {
                let message = format!(
                    "weir-gateway: the transaction was rolled back: its primary was lost, and it was not replayed: {why}"
                );
                (Replayed::GivenUp, Error::new(Component::Gateway, Kind::TransactionLost, message))
            }
        };
        self.events.push_back(Event::Replayed(outcome));
        self.lose_replay();
        Some(error)
    }

    /// The transaction ends with an error. Whatever of it is on the lease is rolled back.
    pub(super) fn end_replay(&mut self, now: Instant, outcome: Replayed, error: &Error) {
        self.events.push_back(Event::Replayed(outcome));
        self.then = None;
        self.lose_replay();
        self.write_error(error);
        self.become_idle(now);
    }

    /// The transaction is gone, and the client must say that it knows.
    fn lose_replay(&mut self) {
        let settles = self.replay.as_ref().is_some_and(|replay| replay.stage == Stage::Settling);
        self.return_to_before();
        self.release(Fate::Close);
        self.state.pins = Pins::empty();
        self.state.lose_transaction();
        self.transaction_lost = true;
        if settles {
            // Should it have happened after all, whoever looks for it must find it.
            Mark::CommitUnsettled.hit();
            self.state.wrote_somewhere();
            self.report_written();
        }
        if let Some(replay) = &mut self.replay {
            **replay = Replay { marker: replay.marker, ..Replay::default() };
            replay.marker.clear();
        }
    }

    /// The transaction was rolled back because nothing else could be done, and that is what `job` was to do.
    pub(super) fn has_rolled_back(&mut self, now: Instant) {
        if let Some(replay) = &mut self.replay {
            replay.transaction_is_over();
        }
        self.write_own_ok();
        self.become_idle(now);
    }
}

pub(super) fn unsettled(why: &str) -> Error {
    let message = format!("weir-gateway: the primary was lost under COMMIT; whether it was done is unknown: {why}");
    Error::new(Component::Gateway, Kind::OutcomeUnknown, message).with_effect(Effect::Unknown)
}
