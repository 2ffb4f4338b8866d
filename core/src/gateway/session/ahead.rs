//! What is known of a request before there is a connection for it.
//!
//! To whom connections are far away, a wish and what will run on the connection may go as one message. Nobody knows how far that came when
//! its answer is lost: so only what changes nothing goes ahead.

use super::job::{Job, Origin};
use super::{Phase, Session};
use crate::link::{Command, Request};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::mysql::execute::asks_for_cursor;
use crate::sql::{Effects, Forgets, FoundRows};
use crate::time::Instant;

impl Session {
    /// What [`Session::lease_granted`] will have submitted first on the connection that is wished for, whichever that is; `None` when it
    /// depends, or may change something. Once it has been answered to the end, the session wants nothing more of a connection that is
    /// clean.
    ///
    /// Whoever has sent it says [`Session::lease_granted`] before any piece of its answer, does not send it again then, and may say
    /// [`Session::lease_refused`] instead, whatever became of it: with [`Loan::lost_ahead`](crate::link::Loan::lost_ahead) if it may have run.
    #[must_use]
    pub fn ahead(&self, now: Instant) -> Option<Request> {
        let Phase::Waiting(job) = &self.phase else { return None };
        let changes_nothing = job.read_only || self.config.mutants.breaks(Mutant::AheadOfWrites);
        if !changes_nothing || !self.is_submitted_as_it_is(job) {
            return None;
        }
        Mark::ReadAhead.hit();
        Some(self.request(job, None, self.wait_for(now, job)))
    }

    /// Nothing has to come before `job`, or is done for it, on a connection that this session did not have before.
    fn is_submitted_as_it_is(&self, job: &Job) -> bool {
        let (leaves, knows_insert_id) = (job.leaves, Effects::READS_LAST_INSERT_ID | Effects::MAY_SET_INSERT_ID);
        let tells_what_it_leaves = leaves.found_rows != FoundRows::Unsure
            && (leaves.forgets != Forgets::Unsure || self.diagnostics.is_clean());
        let leaves_no_cursor = match &job.command {
            Command::Plain(_) => true,
            Command::Execute { payload, .. } => !asks_for_cursor(payload),
            _ => false,
        };
        job.origin == Origin::Client
            && !job.effects.intersects(knows_insert_id | Effects::RUNS_STORED_CODE)
            && !job.needs_list
            && tells_what_it_leaves
            && leaves_no_cursor
            && self.state.pins.is_empty()
            && self.replay.is_none()
            && !self.state.variables.transaction_replay
    }
}
