//! `LAST_INSERT_ID()` belongs to the session, while servers keep it on the connection.
//!
//! Every connection in the pool rests at 0. After a statement that may have produced an id, and before the connection is
//! given back (or asked for the value), the server itself is asked: an OK packet alone cannot tell a generated id from one that
//! the client wrote out. A value of 0 then means that nothing was generated since.

use super::commands::payload_of;
use super::job::{Job, Origin};
use super::{Phase, Session};
use crate::error::{Component, Error, Kind};
use crate::link::Command;
use crate::marks::Mark;
use crate::mysql::command::ClientCommand;
use crate::sql::Effects;
use crate::time::Instant;

/// What is known of `LAST_INSERT_ID()` on the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InsertId {
    /// 0, as on every connection at rest.
    #[default]
    Zero,
    /// The session's own value.
    Synced,
    /// Perhaps changed by the last statement.
    Dirty,
}

/// Reports the value through the session tracker, and leaves it as it is.
const LEARN: &[u8] = b"SET last_insert_id=LAST_INSERT_ID()";
const CLEAR: &[u8] = b"SET last_insert_id=0";

impl Session {
    /// Asks the server for the value; the answer arrives as a tracked variable.
    pub(super) fn learn_insert_id(&mut self, now: Instant, then: Option<Box<Job>>) {
        Mark::InsertIdLearnt.hit();
        self.then = then;
        self.submit_internal(now, LEARN, Origin::LearnInsertId);
    }

    /// The value is learnt: goes on with the statement that reads it, or clears it so that the connection can rest.
    pub(super) fn insert_id_learnt(&mut self, now: Instant, reported: Option<u64>) {
        let Some(lease) = &mut self.lease else { return };
        if let Some(id) = reported.filter(|id| *id != 0) {
            self.state.last_insert_id = id;
            self.state.insert_id_lost = false;
            lease.insert_id = InsertId::Synced;
        } else {
            lease.insert_id = InsertId::Zero;
        }
        match self.then.take() {
            Some(job) => self.submit(now, job),
            None => self.settle(now),
        }
    }

    /// The lease is lost under `job`, whose connection may have generated an id that nobody has heard of.
    pub(super) fn notice_lost_insert_id(&mut self, job: &Job, may_have_run: bool) {
        // Before a statement reads the value it is learnt.
        let untold = self.lease.is_some_and(|lease| lease.insert_id == InsertId::Dirty)
            && !job.effects.contains(Effects::READS_LAST_INSERT_ID)
            && may_have_run;
        self.state.insert_id_lost |= untold || job.origin == Origin::LearnInsertId;
    }

    /// `job` asks for what is not known.
    pub(super) fn refuse_lost_insert_id(&mut self, now: Instant) {
        self.write_error(&Error::new(
            Component::Gateway,
            Kind::Untold,
            "weir-gateway: LAST_INSERT_ID() was lost with the server connection that knew it; nothing was executed. It is known again after \
             the next INSERT",
        ));
        self.settle(now);
    }

    pub(super) fn clear_insert_id(&mut self, now: Instant) {
        Mark::InsertIdCleared.hit();
        self.submit_internal(now, CLEAR, Origin::ClearInsertId);
    }

    pub(super) fn submit_internal(&mut self, now: Instant, sql: &[u8], origin: Origin) {
        if let Some(lease) = &mut self.lease {
            lease.holds_row_count = false;
            lease.holds_found_rows &= !matches!(origin, Origin::ClearDiagnostics | Origin::PrepareToTell);
        }
        let mut job = Box::new(Job::new(Command::Plain(payload_of(&ClientCommand::Query(sql))), origin));
        self.watch(now, &mut job);
        self.send(&job, None, None);
        self.phase = Phase::Running(job);
    }
}
