//! Statements that wait: how they are suspended, what wakes them, and what becomes of them when time is up.
//!
//! A statement that has waited begins anew, with what its waiting functions have returned so far. Nothing it did before is left
//! but its locks.

use super::error::SqlError;
use super::server::{Output, Server};
use super::session::{Job, Session, SessionId, Suspended, Wait};
use super::value::Value;
use super::variables::known;
use weir_core::gtid::{Flavor, Position};
use weir_core::time::{Duration, Instant, earliest};

/// Idle sessions are looked for where the server's `wait_timeout` is shorter than this, in seconds: no run is as long.
pub(super) const WAIT_TIMEOUT_WATCHED_MAX: i64 = 3600;
/// How often.
pub(super) const IDLE_CHECK: Duration = Duration::from_secs(1);

impl Server {
    pub(super) fn suspend(&mut self, session: &mut Session, job: Job, wait: Wait, deadline: Option<Instant>) {
        if let Some(at) = deadline {
            self.deadlines.insert((at, session.id));
        }
        self.position_waiters += usize::from(matches!(wait, Wait::Position(_)));
        self.commit_waiters += usize::from(wait == Wait::Commits);
        self.fences += usize::from(wait == Wait::Writers);
        self.held_by_group += usize::from(matches!(wait, Wait::Round(_)));
        if matches!(&wait, Wait::UserLock(name) if !self.user_locks.contains_key(name)) {
            self.ready.push_back(session.id);
        }
        session.suspended = Some(Suspended { job, wait, deadline });
    }

    /// Ends a session's wait and returns what it was.
    pub(super) fn forget_wait(&mut self, session: &mut Session) -> Option<Suspended> {
        let suspended = session.suspended.take()?;
        if let Some(at) = suspended.deadline {
            self.deadlines.remove(&(at, session.id));
        }
        match suspended.wait {
            Wait::Lock(_) => {
                let next = self.locks.leave(session.id);
                self.ready.extend(next);
                self.wake_fences();
            }
            Wait::Position(_) => self.position_waiters -= 1,
            Wait::Commits => self.commit_waiters -= 1,
            Wait::Round(_) | Wait::Applied(_) => self.held_by_group -= 1,
            Wait::Writers => {
                self.fences -= 1;
                self.wake(|wait| *wait == Wait::Fence);
            }
            _ => {}
        }
        Some(suspended)
    }

    /// Makes the sessions go on whose waits `done` picks.
    pub(super) fn wake(&mut self, done: impl Fn(&Wait) -> bool) {
        let waiting = self.sessions.iter().filter(|s| s.suspended.as_ref().is_some_and(|s| done(&s.wait)));
        let ids: Vec<SessionId> = waiting.map(|session| session.id).collect();
        self.ready.extend(ids);
    }

    /// Makes those look again who wait until nobody writes.
    pub(super) fn wake_fences(&mut self) {
        if self.fences > 0 {
            self.wake(|wait| *wait == Wait::Writers);
        }
    }

    /// Makes the sessions go on whose position was reached.
    pub(super) fn wake_reached(&mut self) {
        let reached = self.reached();
        self.wake(|wait| matches!(wait, Wait::Position(wanted) if reached.contains(wanted).unwrap_or(false)));
    }

    /// What a wait for a position looks at: MariaDB's knows only what came from a source.
    pub(super) fn reached(&self) -> Position {
        match self.config.flavor {
            Flavor::MySql => self.executed.clone(),
            Flavor::MariaDb => self.slave_pos.clone(),
        }
    }

    /// Lets everything go on that can, until nothing can.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            if self.group.is_some() {
                self.run_group(now);
            }
            self.flush_logs(now);
            let Some(owner) = self.ready.pop_front() else { break };
            if owner == 0 {
                self.run_applier(now);
            } else {
                self.resume(now, owner);
            }
        }
        if self.snapshots.is_empty() {
            self.tables.purge_dead();
        }
    }

    /// Releases one or all named locks of a session.
    pub(super) fn release_user_locks(&mut self, id: SessionId, name: Option<&str>) {
        self.user_locks.retain(|held, holder| *holder != id || name.is_some_and(|name| name != held));
        let free = |wait: &Wait| matches!(wait, Wait::UserLock(name) if !self.user_locks.contains_key(name));
        let waiting = self.sessions.iter().filter(|s| s.suspended.as_ref().is_some_and(|s| free(&s.wait)));
        self.ready.extend(waiting.map(|session| session.id).collect::<Vec<_>>());
    }

    fn resume(&mut self, now: Instant, id: SessionId) {
        let Some(mut session) = self.sessions.take(id) else { return };
        let lost = |wait: &Wait| matches!(wait, Wait::UserLock(name) if self.user_locks.contains_key(name));
        if session.suspended.as_ref().is_some_and(|suspended| lost(&suspended.wait)) {
            // Another was faster.
            self.sessions.put(session);
            return;
        }
        let suspended = self.forget_wait(&mut session);
        let Some(Suspended { mut job, wait, .. }) = suspended else {
            self.sessions.put(session);
            return;
        };
        match wait {
            Wait::Position(_) => job.returned.push(Value::Int(0)),
            Wait::UserLock(name) => {
                self.user_locks.insert(name, id);
                job.returned.push(Value::Int(1));
            }
            Wait::Lock(key) => session.transaction().locks.push(key),
            Wait::Applied(_) => job.was_held = true,
            _ => {}
        }
        self.sessions.put(session);
        if let Some(outcome) = self.go_on(now, id, job) {
            self.outputs.push_back(Output::Done { session: id, outcome });
        }
    }

    /// The earliest time at which [`Server::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.deadlines.first().map(|(at, _)| *at);
        let replication = earliest(self.ack_deadline, self.applier_deadline());
        let sync = earliest(self.background_sync_at, self.group_sync_at);
        let replication = earliest(replication, self.group_deadline());
        earliest(earliest(session, earliest(sync, self.idle_check_at)), replication)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.background_sync_at.is_some_and(|at| at <= now) {
            self.background_sync(now);
        }
        if self.group_sync_at.is_some_and(|at| at <= now) {
            self.flush_logs(now);
            // Nobody waits for it any more, or the device refuses.
            self.group_sync_at = self.group_sync_at.filter(|at| *at > now);
        }
        if self.ack_deadline.is_some_and(|at| at <= now) {
            self.ack_deadline = None;
            self.advance(now);
        }
        self.tick_group(now);
        if self.applier_deadline().is_some_and(|at| at <= now) {
            self.run_applier(now);
        }
        while let Some((at, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, id));
            self.time_out(now, id);
        }
        if self.idle_check_at.is_some_and(|at| at <= now) {
            self.close_idle(now);
        }
        self.settle(now);
    }

    /// Closes sessions that were silent for longer than their `wait_timeout`, without a word.
    fn close_idle(&mut self, now: Instant) {
        self.idle_check_at = Some(now + IDLE_CHECK);
        let is_over = |session: &Session| {
            let seconds = u64::try_from(session.values.int(const { known("wait_timeout") })).unwrap_or(0);
            session.suspended.is_none()
                && session.idle_since.is_some_and(|since| since + Duration::from_secs(seconds) <= now)
        };
        let over: Vec<SessionId> =
            self.sessions.iter().filter(|session| is_over(session)).map(|session| session.id).collect();
        for id in over {
            self.end_session(id);
        }
    }

    fn end_session(&mut self, id: SessionId) {
        if let Some(mut session) = self.sessions.take(id) {
            self.rollback(&mut session);
            self.release_user_locks(id, None);
            self.outputs.push_back(Output::Close { session: id });
        }
    }

    fn time_out(&mut self, now: Instant, id: SessionId) {
        let Some(mut session) = self.sessions.take(id) else { return };
        let Some(Suspended { mut job, wait, .. }) = self.forget_wait(&mut session) else {
            self.sessions.put(session);
            return;
        };
        if matches!(wait, Wait::Lock(_) | Wait::Writers) {
            let keep = session.trx.as_ref().map_or(0, |trx| trx.changes.len());
            let too_long = wait == Wait::Writers && self.config.flavor == Flavor::MariaDb;
            let error = if too_long { SqlError::statement_timeout() } else { SqlError::lock_wait_timeout() };
            let outcome = self.fail(&mut session, keep, error);
            self.sessions.put(session);
            self.outputs.push_back(Output::Done { session: id, outcome });
            return;
        }
        job.returned.push(match wait {
            Wait::Sleep | Wait::UserLock(_) => Value::Int(0),
            Wait::Position(_) if self.config.flavor == Flavor::MySql => Value::Int(1),
            _ => Value::Int(-1),
        });
        self.sessions.put(session);
        if let Some(outcome) = self.go_on(now, id, job) {
            self.outputs.push_back(Output::Done { session: id, outcome });
        }
    }

    /// KILL: ends another session's statement, or the session.
    pub(super) fn kill(&mut self, killer: &Session, id: SessionId, query: bool) -> Result<(), SqlError> {
        if id == killer.id {
            return Err(if query { SqlError::interrupted() } else { SqlError::killed() });
        }
        let Some(mut session) = self.sessions.take(id) else { return Err(SqlError::unknown_thread(id)) };
        // A statement that is committing can no longer be stopped.
        let committing = session.suspended.as_ref().is_some_and(|s| s.wait == Wait::Commit);
        if !committing && self.forget_wait(&mut session).is_some() {
            let keep = session.trx.as_ref().map_or(0, |trx| trx.changes.len());
            let error = if query { SqlError::interrupted() } else { SqlError::killed() };
            let outcome = self.fail(&mut session, keep, error);
            self.outputs.push_back(Output::Done { session: id, outcome });
        }
        self.sessions.put(session);
        if !query {
            self.end_session(id);
        }
        Ok(())
    }
}
