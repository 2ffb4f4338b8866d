//! What comes back from a server, and when its connection is given back.

use super::insert_id::InsertId;
use super::job::{Job, Origin};
use super::state::{CURSOR_EXISTS, LAST_ROW_SENT, MORE_RESULTS, State, names_schema, reports_change};
use super::waiting::takes_nothing;
use super::{Event, Fate, Phase, Pins, Reason, Session, Verdict};
use crate::error::{Component, Effect, Error, Kind};
use crate::link::{Command, Ended, Interrupt, Reply, Settings};
use crate::marks::Mark;
use crate::mutants::{Mutant, Mutants};
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::execute;
use crate::mysql::frame;
use crate::mysql::packet::{self, OkPacket};
use crate::sql::Effects;
use crate::time::Instant;
use crate::topo::Role;
use std::sync::Arc;

/// Errors by which a read-only server refuses a write: ER_OPTION_PREVENTS_STATEMENT,
/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE.
const fn refuses_writes(code: u16) -> bool {
    matches!(code, 1290 | 1792 | 1836)
}

/// Of statements that change the session by themselves. Where another one does, a trigger or a view has done it.
const CHANGES_SESSION: Effects = Effects::SETS_VARIABLES
    .union(Effects::RESTORES_VARIABLES)
    .union(Effects::CHANGES_SCHEMA)
    .union(Effects::RUNS_STORED_CODE)
    .union(Effects::PINS_TEMP_TABLE)
    .union(Effects::PINS_USER_VARIABLE)
    .union(Effects::PINS_PREPARE)
    .union(Effects::PINS_HANDLER)
    .union(Effects::PINS_NEXT_TRANSACTION)
    .union(Effects::PINS_OTHER);

/// ER_TRANSACTION_ROLLBACK_DURING_COMMIT. A member of a group says so when others contradict, and also when it has left its group
/// while the transaction was under way: then the others may have it all the same, and commit it.
const ROLLED_BACK_BY_PLUGIN: u16 = 3101;

/// What a client is told of an error of its server: nothing less than may have happened.
fn told(error: Error) -> Error {
    if error.code != ROLLED_BACK_BY_PLUGIN {
        return error;
    }
    let said = String::from_utf8_lossy(&error.message);
    let message = format!(
        "weir-gateway: the server has left its group, or others contradict, while the transaction was being committed ({said}); \
         the group may have committed it all the same: look before you repeat it"
    );
    Error::new(Component::Gateway, Kind::OutcomeUnknown, message).with_effect(Effect::Unknown)
}

impl Session {
    /// A piece of the answer to the request submitted last.
    pub fn handle_reply(&mut self, now: Instant, reply: Reply) {
        self.usage.take_in(now, &reply);
        self.tally.heard(now);
        let (Phase::Running(job) | Phase::Infile(job)) = &mut self.phase else {
            // The end has been told already; bytes that came with it are still counted.
            if let Reply::Forward { len } | Reply::Skip { len } = reply {
                self.out.skip(len);
            }
            return;
        };
        let for_client = job.origin == Origin::Client;
        job.heard_at = Some(now);
        match reply {
            Reply::Forward { len } if for_client => {
                (job.answered, job.between) = (true, None);
                self.out.forward(len);
            }
            Reply::Forward { len } | Reply::Skip { len } => self.out.skip(len),
            Reply::Own(bytes) if for_client => {
                (job.answered, job.between) = (true, None);
                self.out.write(|b| b.extend_from_slice(&bytes));
            }
            Reply::Own(_) => {}
            Reply::Between { seq } => job.between = Some(seq),
            Reply::Ok { seq, ends_rows, rows, ok } => self.on_ok(seq, ends_rows.then_some(rows), ok),
            Reply::Err { seq, error } => self.on_server_error(seq, error),
            Reply::PrepareOk { seq, ok } => self.on_prepared(seq, ok),
            Reply::LocalInfile { seq, filename } => self.on_local_infile(seq, &filename),
            Reply::Left(left) => job.left = left,
            Reply::Digest(digest) => {
                if let Some(kept) = &mut job.kept {
                    kept.result.take_digest(digest);
                }
            }
            Reply::Tracked(mut ok) => {
                job.asked_for_variables = true;
                absorb(&mut self.state, self.config.mutants, &mut ok, false);
                self.report_written();
            }
            Reply::End(ended) => self.on_end(now, ended),
        }
    }

    /// `rows`: how many the result set had that it ends.
    fn on_ok(&mut self, seq: u8, rows: Option<u64>, mut ok: OkPacket) {
        let (Phase::Running(job) | Phase::Infile(job)) = &mut self.phase else { return };
        job.warned |= ok.warnings > 0;
        // Rows of another schema's views look like a change, and so does, without DEPRECATE_EOF, what their end tells: that was asked for.
        let is_exact = self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) && !names_schema(&ok);
        let counts = rows.is_none() || is_exact || job.effects.contains(Effects::RUNS_STORED_CODE);
        job.changed_session |= counts && reports_change(&ok, self.state.schema());
        if let Some(kept) = &mut job.kept {
            kept.result.take_ok(rows, &ok);
        }
        if matches!(job.origin, Origin::Scrub | Origin::Clean) {
            // It tells what the connection is now, and nothing of the session.
            return;
        }
        let insert_id = super::state::reported_insert_id(&ok);
        if job.origin == Origin::LearnInsertId {
            job.reported_insert_id = insert_id;
            return;
        }
        let restores = job.effects.contains(Effects::RESTORES_VARIABLES);
        absorb(&mut self.state, self.config.mutants, &mut ok, restores);
        if rows.is_some()
            && job.origin == Origin::Client
            && let Some(lease) = &self.lease
        {
            self.state.read_on = Some(lease.key.tablet);
        }
        if let Some(written) = self.state.written.take() {
            self.events.push_back(Event::Acknowledged(written));
        }
        if job.origin == Origin::Settle {
            job.row_count = i64::try_from(ok.affected_rows).ok();
        }
        if job.origin != Origin::Client {
            return;
        }
        if insert_id == Some(0) {
            // The client has set it: when it is learnt, 0 will say that nothing was generated since.
            (self.state.last_insert_id, self.state.insert_id_lost) = (0, false);
        }
        if ok.last_insert_id != 0
            && let Some(lease) = &mut self.lease
        {
            lease.insert_id = InsertId::Dirty;
        }
        self.tally.counted(rows, ok.affected_rows);
        job.row_count = Some(if rows.is_some() { -1 } else { i64::try_from(ok.affected_rows).unwrap_or(i64::MAX) });
        job.sent_rows = rows.or(job.sent_rows);
        if rows.is_some() && job.statement.is_some() {
            let got_cursor = match &job.command {
                Command::Execute { payload, .. } => execute::asks_for_cursor(payload) && execute::got_cursor(ok.status),
                _ => ok.status & CURSOR_EXISTS != 0,
            };
            let open = got_cursor && ok.status & LAST_ROW_SENT == 0;
            if let Some(prepared) = job.statement.and_then(|id| self.statements.get_mut(id)) {
                prepared.cursor = open;
            }
            self.state.pins.set(Pins::CURSOR, self.statements.any_cursor());
        }
        job.answered = true;
        job.between = (ok.status & MORE_RESULTS != 0).then_some(seq.wrapping_add(1));
        self.sequence = seq;
        if rows.is_none() {
            self.write_ok(&ok);
            return;
        }
        debug_assert!(ok.status & MORE_RESULTS == 0 || job.origin == Origin::Client);
        self.write_end_of_rows(&ok);
    }

    pub(super) fn write_end_of_rows(&mut self, ok: &OkPacket) {
        let (capabilities, sequence) = (self.capabilities, &mut self.sequence);
        self.out.write(|b| frame::write_with(b, sequence, |b| packet::encode_end_of_rows(ok, b, capabilities)));
    }

    fn on_server_error(&mut self, seq: u8, error: Error) {
        let (Phase::Running(job) | Phase::Infile(job)) = &mut self.phase else { return };
        (job.failed, job.refused) = (true, error.component == Component::Tablet);
        if let Some(kept) = &mut job.kept {
            kept.result.take_error(error.code);
        }
        let on_replica = self.lease.is_some_and(|lease| lease.role != Role::Primary);
        let refuses = refuses_writes(error.code) || takes_nothing(&error);
        if job.origin == Origin::Client && on_replica && !job.answered && refuses && self.may_move() {
            // A view or a function that writes after all, or a server without its group: nothing was changed, and the primary will
            // take it.
            if let Phase::Running(job) = &mut self.phase {
                job.refused_write = true;
            }
            return;
        }
        if let Phase::Running(job) = &self.phase
            && job.origin == Origin::Client
            && !on_replica
            && self.is_refused_by_old_primary(job, &error)
        {
            if let Phase::Running(job) = &mut self.phase {
                (job.refused_write, job.last_error) = (true, Some(error));
            }
            return;
        }
        let (Phase::Running(job) | Phase::Infile(job)) = &mut self.phase else { return };
        if job.origin == Origin::Client && Self::asked_for_victim(job, &error) {
            job.failed = false;
            return;
        }
        match job.origin {
            Origin::Client => {
                job.error_code = Some(error.code);
                job.answered = true;
                self.sequence = seq;
                if !self.config.mutants.breaks(Mutant::AcknowledgeLate) {
                    self.notice_failed_write();
                }
                self.write_error(&told(error));
            }
            Origin::Login | Origin::CheckAccount => job.login_error = Some(error),
            Origin::Mark | Origin::Replay | Origin::Settle => job.last_error = Some(error),
            _ => {}
        }
    }

    fn on_local_infile(&mut self, seq: u8, filename: &[u8]) {
        let Phase::Running(mut job) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        (job.answered, job.infile) = (true, true);
        self.sequence = seq;
        let sequence = &mut self.sequence;
        self.out.write(|b| frame::write_with(b, sequence, |b| packet::encode_local_infile(filename, b)));
        self.reader.expect_sequence(self.sequence);
        self.phase = Phase::Infile(job);
    }

    /// A packet of the client's file; an empty one is its end.
    pub(super) fn on_file_data(&mut self, payload: &[u8]) {
        let packets = payload.len() / frame::MAX_PAYLOAD_BYTES + 1;
        let mut first = self.sequence.wrapping_sub(packets as u8);
        let mut framed = Vec::with_capacity(payload.len() + packets * frame::HEADER_BYTES);
        frame::write_packet(&mut framed, &mut first, payload);
        self.events.push_back(Event::ClientData(framed));
        if payload.is_empty() {
            let Phase::Infile(job) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
            self.phase = Phase::Running(job);
        }
    }

    pub(super) fn on_end(&mut self, now: Instant, ended: Ended) {
        self.note_end(now, &ended);
        let (Phase::Running(job) | Phase::Infile(job)) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        if self.interrupting && !self.config.mutants.breaks(Mutant::KillHitsNextUser) {
            self.phase = Phase::Held(job, ended);
            return;
        }
        match ended {
            Ended::Answered => self.on_answered(now, job),
            Ended::WaitTimedOut => self.on_wait_timed_out(now, job),
            Ended::Failed(error) => self.on_lost(now, job, error),
        }
    }

    fn on_answered(&mut self, now: Instant, mut job: Box<Job>) {
        if let (Some(id), Some(interrupt)) = (job.victim, job.kills) {
            return self.victim_told(now, id, interrupt);
        }
        match job.origin {
            Origin::Client if std::mem::take(&mut job.refused_write) => {
                job.failed = false;
                if let Some(error) = job.last_error.take() {
                    return self.leave_old_primary(now, job, error);
                }
                // It is not to be run twice, and where it writes may have to be asked for.
                job.read_only = false;
                job.effects |= Effects::RUNS_STORED_CODE;
                self.release(Fate::Keep);
                job.role = Role::Primary;
                self.tally.retried(now, None);
                self.choose(now, job);
            }
            Origin::Client => {
                self.take_in_what_is_left(&mut job);
                self.pin_for(&job);
                self.notice_untracked(&mut job);
                self.report_written();
                if !job.failed {
                    self.take_effect(&mut job);
                }
                self.keep(&mut job);
                self.settle(now);
            }
            Origin::CloseCursor => self.settle(now),
            Origin::Mark => self.marked(now, job),
            Origin::Replay => self.replayed(now, job),
            Origin::Settle => self.told_of_commit(now, job),
            Origin::ClearDiagnostics => {
                if let Some(lease) = &mut self.lease {
                    lease.holds_conditions = true;
                }
                self.prepared_to_tell(now, job.failed);
            }
            Origin::PrepareToTell => self.prepared_to_tell(now, job.failed),
            Origin::Login | Origin::CheckAccount => {
                self.release(Fate::Keep);
                match job.login_error.take() {
                    Some(error) => self.refuse_login(&error),
                    None => self.logged_in(now),
                }
            }
            Origin::LearnInsertId => self.insert_id_learnt(now, job.reported_insert_id),
            Origin::ClearInsertId => {
                if let Some(lease) = &mut self.lease {
                    lease.insert_id = InsertId::Zero;
                }
                self.settle(now);
            }
            Origin::Scrub => {
                if let Some(lease) = &mut self.lease {
                    lease.unclean = false;
                }
                self.settle(now);
            }
            Origin::Clean => self.cleaned(if job.failed { Fate::Close } else { Fate::Keep }),
        }
    }

    /// What the statement leaves on its connection that cannot be carried to another.
    fn pin_for(&mut self, job: &Job) {
        let tracks = self.lease.is_some_and(|lease| lease.tracks);
        // After an error the effect may still have happened, in an earlier statement of the same text.
        let happened = !job.failed || job.effects.contains(Effects::MULTI);
        for (effect, pin) in [
            (Effects::PINS_TEMP_TABLE, Pins::TEMPORARY_TABLE),
            (Effects::PINS_LOCK, Pins::USER_LOCK),
            (Effects::PINS_TABLE_LOCK, Pins::TABLE_LOCK),
            (Effects::PINS_USER_VARIABLE, Pins::USER_VARIABLE),
            (Effects::PINS_PREPARE, Pins::TEXT_STATEMENT),
            (Effects::PINS_HANDLER, Pins::HANDLER),
            (Effects::PINS_XA, Pins::XA),
            (Effects::PINS_NEXT_TRANSACTION, Pins::NEXT_TRANSACTION),
            (Effects::PINS_OTHER, Pins::OTHER),
        ] {
            if happened && job.effects.contains(effect) {
                self.state.pins |= pin;
            }
        }
        // One inside of a transaction goes with that, and with autocommit on none outlives its statement.
        let outside = !self.state.in_transaction() && !self.state.autocommit();
        if happened && outside && job.effects.contains(Effects::PINS_SAVEPOINT) {
            self.state.pins |= Pins::SAVEPOINT;
        }
        if !tracks && happened && job.effects.intersects(Effects::SETS_VARIABLES | Effects::WRITES) {
            self.state.pins |= Pins::UNTRACKED;
        }
        self.pin_for_code(job);
    }

    /// What stored code leaves: procedures, functions, triggers, and functions in views.
    fn pin_for_code(&mut self, job: &Job) {
        let is_statement = matches!(job.command, Command::Plain(_) | Command::Execute { .. });
        let is_named = job.effects.contains(Effects::RUNS_STORED_CODE);
        let by_another =
            !job.effects.intersects(CHANGES_SESSION) && !self.config.mutants.breaks(Mutant::IgnoreTriggers);
        let by_function = is_named && !self.config.mutants.breaks(Mutant::IgnoreFunctions);
        // Of what an error has left behind servers tell nothing, and most errors may come from within.
        let failed_within = is_named && job.error_code.is_some_and(|code| code != Kind::Parse.code().0);
        let may_have = job.changed_session || failed_within;
        let changed = is_statement && may_have && (by_function || by_another);
        let home = self.state.role.unwrap_or(Role::Primary);
        let Some(lease) = &mut self.lease else { return };
        if is_named && job.effects.contains(Effects::WRITES) || changed && lease.role == home {
            self.state.pins |= Pins::STORED_CODE;
        } else if is_named || changed {
            // Nobody else shall find what nobody tells, such as a lock; and who goes on elsewhere is not bound to a replica.
            lease.unclean = true;
        }
    }

    /// What a statement that succeeded has changed without the server's saying so.
    pub(super) fn take_effect(&mut self, job: &mut Job) {
        if matches!(job.command, Command::ResetConnection)
            && let Some(lease) = &mut self.lease
        {
            (lease.insert_id, lease.holds_conditions, lease.found_rows) = (InsertId::Zero, true, None);
            self.diagnostics.reset();
        }
        // A transaction has used up what SET TRANSACTION prepared.
        if job.effects.intersects(Effects::ENDS_TRANSACTION | Effects::WRITES) && !self.state.in_transaction() {
            self.state.pins -= Pins::NEXT_TRANSACTION;
        }
        let ended = job.effects.contains(Effects::ENDS_TRANSACTION) && !job.effects.contains(Effects::PINS_SAVEPOINT);
        if ended || self.state.autocommit() {
            self.state.pins -= Pins::SAVEPOINT;
        }
        if let Some(role) = job.role_after.take() {
            self.state.role = role;
        }
        if let Some(multi_statements) = job.multi_statements_after {
            self.capabilities.set(CapabilityFlags::CLIENT_MULTI_STATEMENTS, multi_statements);
        }
        if let Some(collation) = job.collation_after.take() {
            self.state.set_collation(&collation);
        }
        if job.effects.contains(Effects::ENDS_TABLE_LOCK) {
            self.state.pins -= Pins::TABLE_LOCK;
        }
    }

    /// Between two requests: keeps the lease while the session's state needs it, else gives it back.
    pub(super) fn settle(&mut self, now: Instant) {
        if let Some(lease) = &self.lease
            && self.state.pins.is_empty()
            && (!self.state.in_transaction() || self.config.mutants.breaks(Mutant::ReleaseInTransaction))
        {
            match lease.insert_id {
                InsertId::Dirty => return self.learn_insert_id(now, None),
                InsertId::Synced if !self.config.mutants.breaks(Mutant::KeepInsertId) => {
                    return self.clear_insert_id(now);
                }
                InsertId::Synced => self.release(Fate::Keep),
                InsertId::Zero if lease.unclean => return self.scrub(),
                InsertId::Zero => self.release(Fate::Keep),
            }
        }
        self.become_idle(now);
    }

    /// The statement runs on its own, and the client has not chosen the role itself.
    fn may_move(&self) -> bool {
        self.state.role.is_none() && self.state.pins.is_empty() && !self.state.in_transaction()
    }

    /// The session ends: what it holds is cleaned and given back, then it closes.
    pub(super) fn leave(&mut self, reason: Reason) {
        self.timer = None;
        self.abandon_statement(match reason {
            Reason::ServerLost | Reason::StateLost => Verdict::CutOff,
            Reason::Killed => Verdict::Interrupted,
            _ => Verdict::Abandoned,
        });
        self.audit_end(reason);
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closed => return,
            // Already on its way out.
            Phase::Running(job) if job.origin == Origin::Clean => {
                self.phase = Phase::Running(job);
                return;
            }
            Phase::Inquiring(..) => self.events.push_back(Event::CancelInquire),
            Phase::Freshening(_) => self.events.push_back(Event::CancelFreshen),
            Phase::Buffered(_) => self.events.push_back(Event::CancelBuffer),
            Phase::Waiting(_) => {
                Mark::LeftWaiting.hit();
                self.usage.release();
                self.events.push_back(Event::CancelAcquire);
            }
            Phase::Leaving => {
                self.phase = Phase::Leaving;
                return;
            }
            // Nothing is to run on for nobody.
            Phase::Running(job) | Phase::Infile(job) if job.origin == Origin::Client => {
                Mark::LeftInAnswer.hit();
                (self.phase, self.leaving) = (Phase::Leaving, reason);
                return self.interrupt(Interrupt::CONNECTION);
            }
            Phase::Held(..) => {
                (self.phase, self.leaving) = (Phase::Leaving, reason);
                return;
            }
            // The answer still under way cannot be told from the next session's.
            Phase::Running(_) | Phase::Infile(_) => self.release(Fate::Close),
            _ => {}
        }
        self.leaving = reason;
        if self.state.pins.contains(Pins::XA) {
            // What a prepared transaction has locked must not stay with the connection: others finish it.
            self.release(Fate::Close);
        }
        if self.lease.is_some() && self.config.mutants.breaks(Mutant::ReleaseUncleaned) {
            self.release(Fate::Keep);
        }
        if self.lease.is_some() {
            Mark::LeftClean.hit();
            let job = Box::new(Job::new(Command::ResetConnection, Origin::Clean));
            self.send(&job, None, None);
            self.phase = Phase::Running(job);
        } else {
            self.events.push_back(Event::Closed(reason));
        }
    }

    /// Resets the connection before it goes back.
    fn scrub(&mut self) {
        Mark::Scrubbed.hit();
        let job = Box::new(Job::new(Command::ResetConnection, Origin::Scrub));
        if let Some(lease) = &mut self.lease {
            (lease.holds_conditions, lease.found_rows) = (false, None);
        }
        self.send(&job, None, None);
        self.phase = Phase::Running(job);
    }

    pub(super) fn cleaned(&mut self, fate: Fate) {
        self.release(fate);
        self.phase = Phase::Closed;
        self.events.push_back(Event::Closed(self.leaving));
    }
}

/// Takes in what the server says has changed.
fn absorb(state: &mut State, mutants: Mutants, ok: &mut OkPacket, restores: bool) {
    let position = mutants.breaks(Mutant::IgnorePosition).then(|| state.position.clone());
    let settings = mutants.breaks(Mutant::IgnoreTracker).then(|| Arc::clone(&state.settings));
    state.absorb(ok, restores);
    if let Some(before) = position {
        state.position = before;
    }
    if let Some(before) = settings {
        let schema = state.settings.schema.clone();
        state.settings = Arc::new(Settings { schema, ..(*before).clone() });
    }
}
