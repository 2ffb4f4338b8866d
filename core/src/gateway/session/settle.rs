//! A COMMIT whose answer was lost: it is found out whether it was done, never guessed.
//!
//! Before a transaction that writes is committed, it writes a number of its own into the session's row of [`MARKS_TABLE`]. That
//! number is there exactly if the transaction is. When the answer to COMMIT is lost, the next primary is asked by a write to the
//! very row: it waits while the transaction is still under way there, and its own acknowledgement says that whatever the server
//! had before it is durable. Why that is evidence is told in `docs/src/decisions/transaction-replay.md`.

use super::follow::is_plain;
use super::job::{Job, Origin};
use super::replay::{Replayed, Stage, unsettled};
use super::waiting::takes_no_writes;
use super::{Event, Phase, Session};
use crate::link::{Asks, Command, Digesting, MARKS_TABLE, OWN_FORMAT, Request};
use crate::marks::Mark;
use crate::sql::{self, Effects};
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// How long after it was sent a COMMIT can be settled: long before anybody removes its row
/// ([`crate::link::MARKS_KEPT`]), whatever servers' clocks say.
const SETTLED_WITHIN: Duration = Duration::from_secs(3600);

/// The session's row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marker {
    number: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The open transaction has not marked itself.
    #[default]
    No,
    /// It has, and its COMMIT is sent.
    Set(Instant),
    /// It cannot.
    Refused,
}

impl Marker {
    /// The transaction is over.
    pub(super) fn clear(&mut self) {
        self.state = State::No;
    }

    pub(super) fn is_set(self) -> bool {
        matches!(self.state, State::Set(_))
    }
}

impl Session {
    /// `job` commits a transaction that has not marked itself yet.
    pub(super) fn marks_first(&self, job: &Job) -> bool {
        let Some(replay) = &self.replay else { return false };
        let may = replay.stage == Stage::Following && replay.marker.state == State::No;
        may && job.effects.contains(Effects::ENDS_TRANSACTION)
            && replay.history.writes()
            && is_plain(&self.state.settings, &job.command, sql::Kind::Commit)
    }

    /// Has the transaction mark itself; then `job` commits it.
    pub(super) fn mark(&mut self, now: Instant, job: Box<Job>) {
        let row = self.row();
        let Some(replay) = &mut self.replay else { return };
        replay.marker.number += 1;
        let number = replay.marker.number;
        let sql = format!(
            "INSERT INTO {MARKS_TABLE} (session, number, settled, at) VALUES ('{row}', {number}, 0, UNIX_TIMESTAMP()) \
             ON DUPLICATE KEY UPDATE number = {number}, at = UNIX_TIMESTAMP()"
        );
        self.then = Some(job);
        if let Some(lease) = &mut self.lease {
            lease.forget_diagnostics();
        }
        self.submit_internal(now, sql.as_bytes(), Origin::Mark);
    }

    /// The transaction has marked itself, or could not.
    pub(super) fn marked(&mut self, now: Instant, mut job: Box<Job>) {
        self.phase = Phase::Idle;
        // Interrupted, the transaction stays as it is.
        let Some(then) = self.then.take() else { return self.settle(now) };
        let Some(replay) = &mut self.replay else { return };
        match job.last_error.take() {
            None => {
                Mark::CommitMarked.hit();
                replay.marker.state = State::Set(now);
            }
            Some(error) if changes_nothing(error.code) => replay.marker.state = State::Refused,
            Some(error) if takes_no_writes(&error) => return self.leave_old_primary(now, then, error),
            // The server may have rolled the transaction back: COMMIT would succeed, and commit nothing.
            Some(error) => return self.end_replay(now, Replayed::GivenUp, &error),
        }
        self.submit(now, then);
    }

    /// Asks whether the COMMIT was done that waits to be settled.
    pub(super) fn ask_for_commit(&mut self, now: Instant) {
        let row = self.row();
        let Some(replay) = &self.replay else { return };
        let (number, state) = (replay.marker.number, replay.marker.state);
        let State::Set(sent) = state else {
            debug_assert!(false, "only a marked COMMIT can be settled");
            return;
        };
        if now.since(sent) > SETTLED_WITHIN {
            let why = format!("it was sent more than {} s ago", SETTLED_WITHIN.as_secs());
            return self.end_replay(now, Replayed::CommitUnknown, &unsettled(&why));
        }
        let sql =
            format!("UPDATE {MARKS_TABLE} SET settled = settled + 1 WHERE session = '{row}' AND number = {number}");
        // It commits by itself, whatever the client has chosen.
        let mut settings = (*self.state.settings).clone();
        settings.variables.insert("autocommit".to_owned(), b"ON".to_vec());
        let request = Request { client: OWN_FORMAT, read_only: false, ..Request::own(Arc::new(settings), &sql) };
        debug_assert_eq!(request.asks, Asks::empty());
        self.events.push_back(Event::Submit(Box::new(request)));
        self.phase = Phase::Running(Box::new(Job::new(Command::Plain(Vec::new()), Origin::Settle)));
    }

    /// The primary has said whether the COMMIT was done.
    pub(super) fn told_of_commit(&mut self, now: Instant, mut job: Box<Job>) {
        self.phase = Phase::Idle;
        let Some(mut commit) = self.then.take() else {
            debug_assert!(false, "somebody waits for it");
            return self.become_idle(now);
        };
        match job.last_error.take() {
            Some(error) if takes_no_writes(&error) => self.leave_old_primary(now, commit, error),
            Some(error) => {
                let why = String::from_utf8_lossy(&error.message).into_owned();
                self.end_replay(now, Replayed::CommitUnknown, &unsettled(&why));
            }
            None if job.row_count.unwrap_or(0) > 0 => {
                Mark::CommitSettledDone.hit();
                self.events.push_back(Event::Replayed(Replayed::CommitDone));
                self.return_to_before();
                self.report_written();
                self.write_own_ok();
                self.take_effect(&mut commit);
                self.keep(&mut commit);
                self.settle(now);
            }
            None => {
                Mark::CommitSettledLost.hit();
                self.events.push_back(Event::Replayed(Replayed::CommitLost));
                if let Some(replay) = &mut self.replay {
                    replay.marker.clear();
                    replay.stage = Stage::Lost;
                }
                self.catch_up(now, commit);
            }
        }
    }

    /// The key of the session's row: nobody else has it, before or after.
    fn row(&self) -> String {
        let mut digesting = Digesting::default();
        digesting.take(self.peer.nonce.bytes());
        digesting.take(&self.peer.id.to_be_bytes());
        digesting.finish().to_string()
    }
}

/// Errors of a statement that was not run at all, after which the transaction is what it was: ER_DBACCESS_DENIED_ERROR,
/// ER_BAD_DB_ERROR, ER_BAD_FIELD_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR, ER_NO_SUCH_TABLE,
/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION.
const fn changes_nothing(code: u16) -> bool {
    matches!(code, 1044 | 1049 | 1054 | 1142 | 1143 | 1146 | 1792)
}
