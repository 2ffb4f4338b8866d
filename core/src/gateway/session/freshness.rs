//! How far a read must see: which position it needs, and of whom that is asked.
//!
//! A request to a replica gets its *floor* before it is placed: what this session wrote, what its gateway or anybody
//! acknowledged, as the level demands. It keeps the floor over every retry. A monotonic session reads on where it read last;
//! when it has to go elsewhere, it asks the primary how far that could have been.
//!
//! The primary has whatever its term acknowledged, and needs no floor. Where servers elect by themselves it may have been succeeded
//! without knowing: then a read at GLOBAL runs on the very primary that has told, with its group's consent, since the read began.

use super::job::{Job, Origin};
use super::{Event, Phase, Session};
use crate::error::{Component, Error, Kind};
use crate::gateway::balance::Pick;
use crate::gateway::buffer;
use crate::gateway::cluster::TabletId;
use crate::gateway::freshness::{Scope, Told};
use crate::gateway::variables::Consistency;
use crate::gtid::Position;
use crate::link::Command;
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::sql::Effects;
use crate::time::Instant;
use crate::topo::Role;

impl Session {
    /// Finds out what `job` must see, and then places it.
    pub(super) fn prepare_floor(&mut self, now: Instant, mut job: Box<Job>) {
        if !self.needs_floor(&job) {
            return self.place(now, job);
        }
        self.tally.seeks(now, self.level(&job));
        match self.scope(&job) {
            Some(scope) => self.freshen(job, scope),
            None => {
                job.floor = self.own_floor(&job);
                self.place(now, job);
            }
        }
    }

    /// Only what reads on a replica needs one, or on a group's primary.
    fn needs_floor(&self, job: &Job) -> bool {
        let role = self.lease.map_or(job.role, |lease| lease.role);
        (role != Role::Primary || self.asks_the_group(job)) && self.sees_anew(job)
    }

    /// Inside a transaction the snapshot is what it is, and what follows on a cursor was seen when it was opened. Diagnostics are
    /// about what was read already, and a wait would wipe them out.
    fn sees_anew(&self, job: &Job) -> bool {
        let about_the_past = job.effects.contains(Effects::NEEDS_DIAGNOSTICS)
            || matches!(job.command, Command::Fetch { .. } | Command::ResetStatement(_) | Command::ResetConnection);
        job.origin == Origin::Client && !about_the_past && !self.state.in_transaction()
    }

    /// `job` is not content with what a group's primary takes for the newest. What writes is: the group has its say when it commits.
    fn asks_the_group(&self, job: &Job) -> bool {
        let reads = job.read_only || job.effects.contains(Effects::OPENS_TRANSACTION);
        let in_group = || self.view.primary().is_some_and(|primary| primary.in_group);
        reads
            && self.level(job) == Consistency::Global
            && in_group()
            && !self.config.mutants.breaks(Mutant::TrustGroupPrimary)
    }

    /// Before `job` runs on the primary `tablet`, it has to hear from it.
    pub(super) fn must_ask(&self, job: &Job, tablet: TabletId) -> bool {
        let term = self.view.get(tablet).map(|tablet| tablet.term);
        let is_told = job.told_by.is_some_and(|by| by.tablet == tablet && Some(by.term) == term);
        !is_told && self.asks_the_group(job) && self.sees_anew(job)
    }

    pub(super) fn ask_primary(&mut self, job: Box<Job>) {
        self.freshen(job, Scope::Shard);
    }

    pub(super) fn level(&self, job: &Job) -> Consistency {
        job.hint.consistency.unwrap_or(self.state.variables.consistency)
    }

    /// Whose writes must be asked for.
    pub(super) fn scope(&self, job: &Job) -> Option<Scope> {
        match self.level(job) {
            Consistency::Eventual => None,
            Consistency::Instance if !self.config.mutants.breaks(Mutant::ForgetGateway) => Some(Scope::Gateway),
            Consistency::Session | Consistency::Instance => self.state.position_unknown.then_some(Scope::Shard),
            Consistency::Global => Some(Scope::Shard),
        }
    }

    pub(super) fn own_floor(&self, job: &Job) -> Position {
        if self.level(job) == Consistency::Eventual {
            Position::default()
        } else if self.config.mutants.breaks(Mutant::ForeignPosition) {
            self.view.primary().map_or_else(Position::default, |primary| primary.position.clone())
        } else {
            self.state.position.clone()
        }
    }

    fn freshen(&mut self, mut job: Box<Job>, scope: Scope) {
        Mark::ReadFreshens.hit();
        // What was read anywhere was written on the primary before.
        job.covers_reads |= scope == Scope::Shard;
        self.events.push_back(Event::Freshen(scope));
        self.phase = Phase::Freshening(job);
    }

    /// The answer to [`Event::Freshen`].
    pub fn freshened(&mut self, now: Instant, told: Told) {
        let mut job = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Freshening(job) => job,
            other => {
                self.phase = other;
                return;
            }
        };
        let Told { position, by } = told;
        job.told_by = by;
        let on_replica = self.lease.is_some_and(|lease| lease.role != Role::Primary);
        let own = self.own_floor(&job);
        let merge = |position: Position| job.floor.union(&own).and_then(|floor| floor.union(&position));
        match position.clone().map(merge) {
            Some(Ok(floor)) => {
                Mark::FreshnessKnown.hit();
                job.floor = floor;
            }
            _ if on_replica => return self.fail(now, &job, &bound_to_a_replica()),
            _ => {
                Mark::FreshnessUnknown.hit();
                self.tally.found(now);
                job.role = Role::Primary;
                if by.is_none() && self.asks_the_group(&job) {
                    return self.wait_for_the_group(now, job);
                }
            }
        }
        if self.state.position_unknown
            && let Some(position) = position
        {
            self.state.position_unknown = self.state.position.merge(&position).is_err();
        }
        self.place(now, job);
    }

    /// The primary has not answered, or there is none: nobody knows whether its group still has it.
    fn wait_for_the_group(&mut self, now: Instant, mut job: Box<Job>) {
        Mark::GroupSilent.hit();
        job.primary = buffer::Serving::in_view(&self.view).map(|serving| serving.primary);
        let what = "weir-gateway: the group did not say in time how far a read at GLOBAL must see";
        self.wait_or_fail(now, job, Error::unexecuted(Component::Gateway, Kind::Unavailable, what));
    }

    fn place(&mut self, now: Instant, mut job: Box<Job>) {
        if !job.floor.is_empty() {
            job.read_by.get_or_insert(now + self.state.variables.read_after_write_timeout);
            self.tally.found(now);
        }
        if self.lease.is_some() {
            self.stay(now, job);
        } else {
            self.choose(now, job);
        }
    }

    /// Runs `job` on the lease that the session keeps, once what it must see is known.
    pub(super) fn stay(&mut self, now: Instant, job: Box<Job>) {
        let primary = self.lease.and_then(|lease| lease.primary);
        match primary {
            Some(primary) if self.must_ask(&job, primary.tablet) && job.told_by.is_none() => self.ask_primary(job),
            Some(primary) if self.must_ask(&job, primary.tablet) => self.fail(now, &job, &bound_to_an_old_primary()),
            _ => self.go_on_with_lease(now, job),
        }
    }

    /// Where a monotonic session had better read again.
    pub(super) fn sticks_to(&self, job: &Job) -> Option<TabletId> {
        self.state.read_on.filter(|_| self.state.variables.monotonic_reads && !job.covers_reads)
    }

    /// Whether a read at `pick` could go back behind what this session has read.
    pub(super) fn could_go_back(&self, job: &Job, pick: Pick) -> bool {
        let elsewhere = self.sticks_to(job).is_some_and(|last| last != pick.tablet);
        let goes_back = elsewhere && pick.role != Role::Primary && self.needs_floor(job);
        goes_back && !self.config.mutants.breaks(Mutant::ForgetReads)
    }

    /// Before it is placed there, `job` finds out how far this session can have read.
    pub(super) fn cover_reads(&mut self, job: Box<Job>) {
        self.freshen(job, Scope::Shard);
    }

    /// Tells the gateway of the writes whose clients are about to be told.
    pub(super) fn report_written(&mut self) {
        if let Some(written) = self.state.written.take() {
            self.events.push_back(Event::Acknowledged(written));
        }
    }

    /// Notices a write of which the server does not say where it is: one that tracks no sessions, one without GTIDs, or one
    /// whose statement failed half-way (errors carry no position, and not even whether the transaction is over).
    pub(super) fn notice_untracked(&mut self, job: &mut Job) {
        let goes_on = self.state.in_transaction() && !(job.failed && job.effects.contains(Effects::ENDS_TRANSACTION));
        if job.read_only || job.prepares.is_some() || goes_on {
            return;
        }
        let tracks = self.lease.is_some_and(|lease| lease.tracks);
        let has_gtids = self.view.primary().is_some_and(|primary| !primary.position.is_empty());
        let told = !job.failed && tracks && (has_gtids || !self.state.position.is_empty());
        let may_write = Effects::WRITES | Effects::ENDS_TRANSACTION | Effects::RUNS_STORED_CODE;
        if job.effects.intersects(may_write) && !told && !job.noticed {
            Mark::PositionUnknown.hit();
            job.noticed = true;
            self.state.wrote_somewhere();
        }
    }

    /// A statement failed, and its client is about to hear of it: what it may have committed all the same (definitions commit before
    /// they fail) is acknowledged with that, not when the server has answered what the error leaves open.
    pub(super) fn notice_failed_write(&mut self) {
        let mut phase = std::mem::replace(&mut self.phase, Phase::Idle);
        if let Phase::Running(job) | Phase::Infile(job) = &mut phase {
            self.notice_untracked(job);
        }
        self.phase = phase;
        self.report_written();
    }

    /// The replica did not get there in time.
    pub(super) fn on_wait_timed_out(&mut self, now: Instant, mut job: Box<Job>) {
        debug_assert!(!job.answered, "a read that waits in vain shows nothing");
        if !self.state.pins.is_empty() {
            Mark::ReadBound.hit();
            return self.fail(now, &job, &bound_to_a_replica());
        }
        Mark::ReadFallsBack.hit();
        self.tally.found(now);
        self.release(super::Fate::Keep);
        job.role = Role::Primary;
        self.choose(now, job);
    }
}

/// What the session keeps on a primary that has a successor is lost.
fn bound_to_an_old_primary() -> Error {
    Error::unexecuted(
        Component::Gateway,
        Kind::Unavailable,
        "weir-gateway: the server that this session keeps a connection to (temporary table, cursor, lock, ...) is not the primary of \
         its group any more",
    )
}

/// What the session keeps on a replica cannot be taken to the primary.
fn bound_to_a_replica() -> Error {
    Error::unexecuted(
        Component::Gateway,
        Kind::Unavailable,
        "weir-gateway: the replica that this session keeps a connection to (temporary table, cursor, lock, ...) has not executed \
         yet what the read must see, and the session cannot move",
    )
}
