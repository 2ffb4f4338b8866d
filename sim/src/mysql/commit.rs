//! The commit pipeline: binary log, sync, semi-sync before, engine, semi-sync after, in binary-log order.

use super::error::SqlError;
use super::locks::{LockKey, Owner};
use super::server::{Output, Server};
use super::session::{Body, Session, SessionId, Tracked, Wait};
use super::storage::{Redo, Transaction, merge};
use super::tables::Change;
use super::variables::known;
use std::rc::Rc;
use weir_core::gtid::{Flavor, Position, mysql::Source};
use weir_core::time::{Duration, Instant};

/// How long the log that is not synced at each commit stays unsynced.
const BACKGROUND_SYNC: Duration = Duration::from_secs(1);

/// A transaction between COMMIT and its OK.
#[derive(Debug)]
pub(super) struct Pending {
    /// Who waits for it: a session, the applier (0), or nobody.
    owner: Option<Owner>,
    /// Whose it is, when it commits on the way to something else.
    passing: Option<SessionId>,
    transaction: Rc<Transaction>,
    binlog_end: Option<u64>,
    redo_end: u64,
    sync_binlog: bool,
    sync_redo: bool,
    replicated: bool,
    /// The engine has committed: others see it.
    visible: bool,
    locks: Vec<LockKey>,
    /// Since when it has waited for an acknowledgement.
    waits_since: Option<Instant>,
    body: Body,
}

/// What a commit is made of.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) owner: Option<Owner>,
    pub(super) passing: Option<SessionId>,
    pub(super) what: What,
    pub(super) locks: Vec<LockKey>,
    pub(super) logged: bool,
    pub(super) body: Body,
}

/// What is committed.
#[derive(Debug)]
pub(super) enum What {
    /// Changes of this server's own, which get their GTID now.
    Own(Vec<Change>),
    /// A transaction of the source.
    Received(Rc<Transaction>),
}

impl Server {
    /// Commits the session's transaction. `None` when the session must wait; the outcome follows as an output.
    pub(super) fn commit(&mut self, session: &mut Session, body: Body) -> Result<Option<Body>, SqlError> {
        let Some(mut trx) = session.trx.take() else { return Ok(Some(body)) };
        self.drop_snapshot(trx.snapshot.take());
        if trx.changes.is_empty() {
            self.release(session.id, &trx.locks);
            return Ok(Some(body));
        }
        if let Err(error) = self.check_writable(session) {
            self.release(session.id, &trx.locks);
            return Err(error);
        }
        let logged = session.values.int(const { known("sql_log_bin") }) != 0;
        self.submit(Commit {
            owner: Some(session.id),
            passing: None,
            what: What::Own(trx.changes),
            locks: trx.locks,
            logged,
            body,
        });
        Ok(None)
    }

    /// Rolls the session's transaction back.
    pub(super) fn rollback(&mut self, session: &mut Session) {
        if let Some(mut trx) = session.trx.take() {
            self.drop_snapshot(trx.snapshot.take());
            self.release(session.id, &trx.locks);
        }
    }

    pub(super) fn drop_snapshot(&mut self, snapshot: Option<u64>) {
        let Some(snapshot) = snapshot else { return };
        if let Some(readers) = self.snapshots.get_mut(&snapshot) {
            *readers -= 1;
            if *readers == 0 {
                self.snapshots.remove(&snapshot);
            }
        }
        if self.snapshots.is_empty() {
            self.tables.purge_dead();
        }
    }

    pub(super) fn release(&mut self, owner: Owner, locks: &[LockKey]) {
        for key in locks {
            self.ready.extend(self.locks.release(key, owner));
        }
    }

    /// Puts a transaction into the logs and the pipeline; one of a group's member waits for the group before.
    pub(super) fn submit(&mut self, mut commit: Commit) {
        let replicated = matches!(commit.what, What::Received(_));
        if let Some(group) = self.group.as_mut().filter(|_| commit.logged && !replicated) {
            group.push(commit);
            return;
        }
        let transaction = match core::mem::replace(&mut commit.what, What::Own(Vec::new())) {
            What::Received(transaction) => transaction,
            What::Own(changes) => {
                let gtid = if commit.logged { self.next_gtid() } else { Position::default() };
                Rc::new(Transaction { gtid, changes })
            }
        };
        self.log_and_queue(commit, transaction, replicated);
    }

    /// The group has decided a transaction of this server's own.
    pub(super) fn submit_decided(&mut self, commit: Commit, transaction: Rc<Transaction>) {
        self.log_and_queue(commit, transaction, false);
    }

    fn log_and_queue(&mut self, commit: Commit, transaction: Rc<Transaction>, replicated: bool) {
        let binlog_index = commit.logged.then(|| self.storage.binlog.append(Rc::clone(&transaction)));
        let prepared_first = matches!(self.globals.int(const { known("innodb_flush_log_at_trx_commit") }), 1 | 3);
        let redo = Redo { transaction: Rc::clone(&transaction), binlog_index, replicated, prepared_first };
        let redo_end = self.storage.redo.append(redo) + 1;
        self.pipeline.push_back(Pending {
            owner: commit.owner,
            passing: commit.passing,
            transaction,
            binlog_end: binlog_index.map(|index| index + 1),
            redo_end,
            sync_binlog: binlog_index.is_some() && self.globals.int(const { known("sync_binlog") }) == 1,
            sync_redo: prepared_first,
            replicated,
            visible: false,
            locks: commit.locks,
            waits_since: None,
            body: commit.body,
        });
    }

    /// A definition is being committed: as with a metadata lock, another waits for it.
    pub(super) fn is_defining(&self) -> bool {
        let defines = |change: &Change| {
            matches!(
                change,
                Change::CreateTable(_)
                    | Change::CreateTrigger(..)
                    | Change::CreateSchema(_)
                    | Change::DropTable(_)
                    | Change::DropSchema(_)
                    | Change::Truncate(_)
            )
        };
        let pending = self.pipeline.iter().filter(|pending| !pending.visible);
        let changes = pending.flat_map(|pending| &pending.transaction.changes);
        changes.chain(self.undecided_changes()).any(defines)
    }

    /// What the session committed on the way to something else is not there for others yet.
    pub(super) fn is_committing(&self, id: SessionId) -> bool {
        let mut undecided = self.group.iter().flat_map(|group| group.commits());
        self.pipeline.iter().any(|pending| !pending.visible && pending.passing == Some(id))
            || undecided.any(|commit| commit.passing == Some(id))
    }

    /// Lets the last commit in the pipeline answer for the session. False when that is not the session's own.
    pub(super) fn answer_with_last_commit(&mut self, session: &Session, body: Body) -> bool {
        if let Some(last) = self.group.as_mut().and_then(|group| group.last_commit()) {
            let is_own = last.owner.is_none() && last.passing == Some(session.id);
            if is_own {
                (last.owner, last.body) = (Some(session.id), body);
            }
            return is_own;
        }
        let is_own = |last: &&mut Pending| last.owner.is_none() && last.passing == Some(session.id);
        let Some(last) = self.pipeline.back_mut().filter(is_own) else { return false };
        last.owner = Some(session.id);
        last.body = body;
        true
    }

    /// The next GTID of this server's own.
    fn next_gtid(&mut self) -> Position {
        match self.config.flavor {
            Flavor::MariaDb => {
                self.last_seq += 1;
                Position::mariadb(0, self.config.server_id, self.last_seq)
            }
            Flavor::MySql => {
                self.last_seq += 1;
                Position::mysql(self.gtid_source(), self.last_seq)
            }
        }
    }

    /// Whose GTIDs it writes: MySQL's are the server's, or its group's.
    fn gtid_source(&self) -> Source {
        Source::new(self.config.group.as_ref().map_or(self.config.uuid, |group| group.name))
    }

    /// Notes the sequence numbers a replicated or recovered GTID uses up.
    pub(super) fn note_seq(&mut self, gtid: &Position) {
        let own = self.gtid_source();
        let seq = match (gtid.as_mariadb(), gtid.as_mysql()) {
            (Some(position), _) => position.of(0).map(|gtid| gtid.seq),
            (_, Some(set)) => set.last_of(&own),
            _ => None,
        };
        self.last_seq = self.last_seq.max(seq.unwrap_or(0));
    }

    /// Writes the logs out, and asks for a sync when a commit waits for one and none is under way.
    pub(super) fn flush_logs(&mut self, now: Instant) {
        if self.disk_full {
            return;
        }
        self.storage.binlog.write();
        if self.globals.int(const { known("innodb_flush_log_at_trx_commit") }) != 0 {
            self.storage.redo.write();
        }
        let (binlog, redo) = (self.storage.binlog.synced(), self.storage.redo.synced());
        let wants = |pending: &Pending| {
            (pending.sync_binlog && pending.binlog_end.is_some_and(|end| end > binlog))
                || (pending.sync_redo && pending.redo_end > redo)
        };
        if self.sync_under_way.is_none() && self.pipeline.iter().any(wants) {
            self.begin_group_sync(now);
        }
        let unsynced = self.storage.binlog.end() > binlog || self.storage.redo.end() > redo;
        if unsynced && self.background_sync_at.is_none() {
            self.background_sync_at = Some(now + BACKGROUND_SYNC);
        }
        self.advance(now);
    }

    /// At once, unless commits are to wait for others.
    fn begin_group_sync(&mut self, now: Instant) {
        let at = *self.group_sync_at.get_or_insert(now + self.group_wait());
        if at <= now {
            self.group_sync_at = None;
            self.begin_sync();
        }
    }

    fn group_wait(&self) -> Duration {
        let (count, us) = match self.config.flavor {
            Flavor::MariaDb => {
                (const { known("binlog_commit_wait_count") }, const { known("binlog_commit_wait_usec") })
            }
            Flavor::MySql => {
                let count = const { known("binlog_group_commit_sync_no_delay_count") };
                (count, const { known("binlog_group_commit_sync_delay") })
            }
        };
        let us = if self.globals.int(count) > 0 { self.globals.int(us) } else { 0 };
        Duration::from_micros(us.unsigned_abs())
    }

    fn begin_sync(&mut self) {
        self.storage.redo.write();
        let ends = (self.storage.binlog.end(), self.storage.redo.end(), self.storage.relay.end());
        self.sync_under_way = Some(ends);
        self.syncs += 1;
        self.outputs.push_back(Output::Sync { token: self.syncs });
    }

    /// The device has done the sync that [`Output::Sync`] asked for.
    pub fn synced(&mut self, now: Instant, token: u64) {
        let Some((binlog, redo, relay)) = self.sync_under_way.filter(|_| token == self.syncs) else { return };
        self.sync_under_way = None;
        self.storage.binlog.mark_synced(binlog.min(self.storage.binlog.end()));
        self.storage.redo.mark_synced(redo.min(self.storage.redo.end()));
        self.storage.relay.mark_synced(relay.min(self.storage.relay.end()));
        self.acknowledge_relay();
        self.storage.checkpoint();
        self.storage.expire(self.config.binlog_kept);
        self.flush_logs(now);
        self.settle(now);
    }

    /// The once-a-second sync of what no commit waited for.
    pub(super) fn background_sync(&mut self, now: Instant) {
        self.background_sync_at = None;
        if !self.disk_full && self.sync_under_way.is_none() {
            self.begin_sync();
        } else {
            self.background_sync_at = Some(now + BACKGROUND_SYNC);
        }
    }

    /// The device refuses writes.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.disk_full
    }

    /// The device refuses writes from now on, or takes them again.
    pub fn set_disk_full(&mut self, now: Instant, full: bool) {
        self.disk_full = full;
        self.flush_logs(now);
        self.settle(now);
    }

    /// What the binary log has: what was executed, and what waits to be, for an acknowledgement perhaps.
    pub(super) fn logged(&self) -> Position {
        self.executed_and(|_| true)
    }

    /// MySQL's gtid_owned: what is being committed, each GTID with the thread that commits it.
    pub(super) fn owned(&self) -> String {
        let mut owned = String::new();
        let mut last = String::new();
        for pending in self.pipeline.iter().filter(|pending| !pending.visible) {
            let gtid = pending.transaction.gtid.to_string();
            let Some((uuid, number)) = gtid.split_once(':') else { continue };
            if uuid != last {
                owned.push_str(uuid);
                uuid.clone_into(&mut last);
            }
            let thread = pending.owner.or(pending.passing).unwrap_or(0);
            owned.push_str(&format!(":{number}#{thread}"));
        }
        owned
    }

    /// MariaDB's gtid_current_pos: of what waits, what this server wrote itself.
    pub(super) fn current_position(&self) -> Position {
        let mut current = self.executed_and(|pending| !pending.replicated);
        merge(&mut current, &self.slave_pos);
        current
    }

    fn executed_and(&self, counts: impl Fn(&Pending) -> bool) -> Position {
        let mut position = self.executed.clone();
        let written = self.storage.binlog.written();
        let waiting = self.pipeline.iter().filter(|pending| pending.binlog_end.is_some_and(|end| end <= written));
        waiting.filter(|pending| counts(pending)).for_each(|pending| merge(&mut position, &pending.transaction.gtid));
        position
    }

    /// Moves commits on as far as they can go, in binary-log order.
    pub(super) fn advance(&mut self, now: Instant) {
        let had_commits = !self.pipeline.is_empty();
        if had_commits {
            self.move_commits_on(now);
        }
        if !self.is_busy() {
            if self.commit_waiters > 0 {
                self.wake(|wait| *wait == Wait::Commits);
            }
            if had_commits {
                self.wake_fences();
            }
        }
    }

    fn move_commits_on(&mut self, now: Instant) {
        let after_sync = self.globals.text(const { known("rpl_semi_sync_master_wait_point") }) == "AFTER_SYNC";
        while let Some(at) = self.pipeline.iter().position(|pending| !pending.visible) {
            if !self.is_logged(&self.pipeline[at]) || (after_sync && !self.is_acknowledged(now, at)) {
                break;
            }
            self.make_visible(at);
        }
        while self.pipeline.front().is_some_and(|pending| pending.visible) {
            if !self.is_acknowledged(now, 0) {
                break;
            }
            self.finish_commit();
        }
    }

    /// Commits have begun and are not over.
    pub(super) fn is_busy(&self) -> bool {
        !self.pipeline.is_empty() || self.group.as_ref().is_some_and(|group| group.commits().next().is_some())
    }

    /// Those who wait for commits look again: what has begun is over in another way.
    pub(super) fn wake_committed(&mut self) {
        if !self.is_busy() {
            self.wake(|wait| *wait == Wait::Commits);
            self.wake_fences();
        }
    }

    fn is_logged(&self, pending: &Pending) -> bool {
        let (binlog, redo) = (&self.storage.binlog, &self.storage.redo);
        let written = pending.binlog_end.is_none_or(|end| end <= binlog.written());
        let binlog_synced = !pending.sync_binlog || pending.binlog_end.is_none_or(|end| end <= binlog.synced());
        written && binlog_synced && (!pending.sync_redo || pending.redo_end <= redo.synced())
    }

    fn is_acknowledged(&mut self, now: Instant, at: usize) -> bool {
        let pending = &mut self.pipeline[at];
        let Some(end) = pending.binlog_end else { return true };
        if self.semi_sync.has(end) {
            return true;
        }
        let since = *pending.waits_since.get_or_insert(now);
        let patience = u64::try_from(self.globals.int(const { known("rpl_semi_sync_master_timeout") })).unwrap_or(0);
        let deadline = since + Duration::from_millis(patience);
        if now >= deadline {
            self.semi_sync.give_up();
            return true;
        }
        self.ack_deadline = Some(self.ack_deadline.map_or(deadline, |at| at.min(deadline)));
        false
    }

    fn make_visible(&mut self, at: usize) {
        self.commits += 1;
        let pending = &mut self.pipeline[at];
        pending.visible = true;
        let transaction = Rc::clone(&pending.transaction);
        let holder = pending.owner.or(pending.passing).unwrap_or(0);
        let (replicated, logged, locks) =
            (pending.replicated, pending.binlog_end.is_some(), core::mem::take(&mut pending.locks));
        let keep_old = !self.snapshots.is_empty();
        transaction.changes.iter().for_each(|change| self.tables.apply(change, self.commits, keep_old));
        if logged {
            merge(&mut self.executed, &transaction.gtid);
        }
        if replicated {
            merge(&mut self.slave_pos, &transaction.gtid);
        }
        self.release(holder, &locks);
        if self.position_waiters > 0 {
            self.wake_reached();
        }
    }

    fn finish_commit(&mut self) {
        let Some(pending) = self.pipeline.pop_front() else { return };
        match pending.owner {
            Some(0) => self.applied(),
            Some(owner) => {
                let Some(mut session) = self.sessions.take(owner) else { return };
                if pending.binlog_end.is_some() {
                    self.track_gtid(&mut session, &pending.transaction.gtid);
                }
                session.suspended = None;
                let outcome = session.outcome(pending.body);
                self.sessions.put(session);
                self.outputs.push_back(Output::Done { session: owner, outcome });
            }
            None => {
                let passing = pending.passing.filter(|_| pending.binlog_end.is_some());
                let Some(mut session) = passing.and_then(|id| self.sessions.take(id)) else { return };
                let told = core::mem::take(&mut session.tracked);
                self.track_gtid(&mut session, &pending.transaction.gtid);
                let news = core::mem::replace(&mut session.tracked, told);
                session.untold.extend(news);
                self.sessions.put(session);
            }
        }
    }

    fn track_gtid(&self, session: &mut Session, gtid: &Position) {
        let text = gtid.to_string();
        match self.config.flavor {
            Flavor::MariaDb => self.track_variable(session, "last_gtid", &text),
            Flavor::MySql => match session.values.text(const { known("session_track_gtids") }).as_ref() {
                "OWN_GTID" => session.tracked.push(Tracked::Gtids(text.clone())),
                "ALL_GTIDS" => session.tracked.push(Tracked::Gtids(self.executed.to_string())),
                _ => {}
            },
        }
        session.last_gtid = text;
    }
}
