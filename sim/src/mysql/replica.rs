//! Replication: the source's side of a dump, and a replica's receiver and applier.
//!
//! The receiver writes the relay log and acknowledges; the applier runs after it, with its own delay, and stops at what
//! does not fit. Neither knows how transactions travel.

use super::commit::{Commit, What};
use super::error::SqlError;
use super::locks::{Asked, LockKey, Mode};
use super::server::{Output, Server};
use super::session::Body;
use super::storage::{SourceConfig, Transaction, UseGtid, merge};
use super::tables::{Change, Misfit, TableRef};
use super::value::Value;
use super::variables::known;
use std::collections::BTreeMap;
use std::rc::Rc;
use weir_core::gtid::mariadb::Gtid;
use weir_core::gtid::{Flavor, Position};
use weir_core::time::{Duration, Instant};

/// An error of a replication thread, as SHOW SLAVE STATUS shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadError {
    /// Error number.
    pub code: u16,
    /// Text.
    pub message: String,
}

/// The replica's side.
#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) receiver_on: bool,
    pub(super) connected: bool,
    pub(super) receiver_error: Option<ThreadError>,
    pub(super) applier_on: bool,
    pub(super) applier_error: Option<ThreadError>,
    /// How long each transaction takes to apply.
    pub(super) apply_latency: Duration,
    /// The applier stands still, although it says that it runs.
    pub(super) stalled: bool,
    /// When the next transaction may be applied.
    apply_at: Option<Instant>,
    /// Its transaction is in the commit pipeline.
    committing: bool,
    locks: Vec<LockKey>,
    /// Received up to here.
    pub(super) received: Position,
    /// Acknowledgements owed once the relay log is synced: source's log end, relay end.
    owed: Option<(u64, u64)>,
    /// When the received transactions came, for lag.
    arrivals: BTreeMap<u64, Instant>,
}

impl Server {
    // The source's side.

    /// A replica asks for everything it lacks. Returns the index to begin at, and the number of the connection.
    ///
    /// # Errors
    /// 1236 when the binary log cannot serve it.
    pub fn attach_replica(
        &mut self,
        now: Instant,
        replica: u32,
        semi_sync: bool,
        has: &Position,
    ) -> Result<(u64, u64), ThreadError> {
        let fatal = |message: String| ThreadError { code: 1236, message };
        if !has.contains(&self.storage.binlog_before).unwrap_or(false) {
            return Err(fatal("Got fatal error 1236 from master when reading data from binary log: 'the master has purged binary logs containing GTIDs that the slave requires.'".into()));
        }
        if self.config.flavor == Flavor::MariaDb && !self.has_logged(has) {
            return Err(fatal(format!(
                "Got fatal error 1236 from master when reading data from binary log: 'Error: connecting slave requested to start from GTID {has}, which is not in the master's binlog'"
            )));
        }
        self.replicas_attached += 1;
        let connection = self.semi_sync.attach(replica, semi_sync);
        let log = &self.storage.binlog;
        let skipped = log.since(0).iter().take_while(|t| has.contains(&t.gtid).unwrap_or(false)).count();
        let begin = log.first() + skipped as u64;
        // What is skipped counts as acknowledged. MariaDB begins with the file that has the first of it, and waits on until
        // something after it is acknowledged.
        if self.config.flavor == Flavor::MySql {
            self.semi_sync.acknowledge(replica, begin, log.end());
            self.advance(now);
            self.settle(now);
        }
        Ok((begin, connection))
    }

    /// Whether the binary log has these very transactions. A number alone does not tell: MariaDB looks for one that is as late
    /// of the same server, or a replica could have another's in its place.
    fn has_logged(&self, has: &Position) -> bool {
        let log = self.storage.binlog.since(0).iter().map(|transaction| &transaction.gtid);
        let gtids = || log.clone().chain([&self.storage.binlog_before]).filter_map(Position::as_mariadb);
        has.as_mariadb().is_none_or(|has| {
            has.gtids().iter().all(|wanted| {
                let is_it = |gtid: Gtid| gtid.server == wanted.server && gtid.seq >= wanted.seq;
                gtids().any(|position| position.of(wanted.domain).is_some_and(is_it))
            })
        })
    }

    /// A connection over which a replica was attached has gone.
    pub fn detach_replica(&mut self, replica: u32, connection: u64) {
        self.semi_sync.detach(replica, connection);
        self.replicas_attached -= 1;
    }

    /// The binary log no longer has the transaction at this index.
    #[must_use]
    pub fn has_purged(&self, index: u64) -> bool {
        index < self.storage.binlog.first()
    }

    /// The transaction at an index of the binary log, once replicas may have it.
    #[must_use]
    pub fn dump(&self, index: u64) -> Option<&Rc<Transaction>> {
        let end = if self.globals.int(const { known("sync_binlog") }) == 1 {
            self.storage.binlog.synced()
        } else {
            self.storage.binlog.written()
        };
        if index < end { self.storage.binlog.get(index) } else { None }
    }

    /// A replica has everything up to (not including) an index of this server's binary log.
    pub fn acknowledge(&mut self, now: Instant, replica: u32, end: u64) {
        self.semi_sync.acknowledge(replica, end, self.storage.binlog.end());
        self.advance(now);
        self.settle(now);
    }

    // The receiver.

    /// Where the receiver wants to connect, and what it already has. `None` while it is off.
    #[must_use]
    pub fn receiver_wants(&self) -> Option<(&SourceConfig, &Position)> {
        let source = self.storage.source.as_ref()?;
        self.replica.receiver_on.then_some((source, &self.replica.received))
    }

    /// The receiver's connection stands, or is lost with an error.
    pub fn receiver_connected(&mut self, connected: bool, error: Option<ThreadError>) {
        self.replica.connected = connected;
        if error.as_ref().is_some_and(|error| error.code == 1236) {
            self.replica.receiver_on = false;
        }
        // The last error is shown until it is connected, or started, again.
        if connected || error.is_some() {
            self.replica.receiver_error = error;
        }
    }

    /// A transaction from the source; `source_end` is its index there plus one. [`Output::Acknowledge`] follows when
    /// the relay log holds it.
    pub fn receive(&mut self, now: Instant, transaction: Rc<Transaction>, source_end: u64) {
        debug_assert!(!self.disk_full, "the receiver waits for room");
        merge(&mut self.replica.received, &transaction.gtid);
        let index = self.storage.relay.append(transaction);
        self.replica.arrivals.insert(index, now);
        self.storage.relay.write();
        self.replica.owed = Some((source_end, index + 1));
        if self.globals.int(const { known("sync_relay_log") }) != 1 {
            self.pay_acknowledgement();
        } else if self.sync_under_way.is_none() {
            self.begin_relay_sync();
        }
        self.run_applier(now);
        self.settle(now);
    }

    /// A transaction that the group has decided, of another member.
    pub(super) fn receive_decided(&mut self, now: Instant, transaction: Rc<Transaction>) {
        merge(&mut self.replica.received, &transaction.gtid);
        let index = self.storage.relay.append(transaction);
        self.replica.arrivals.insert(index, now);
        self.storage.relay.write();
        self.run_applier(now);
    }

    fn begin_relay_sync(&mut self) {
        let ends = (self.storage.binlog.end(), self.storage.redo.end(), self.storage.relay.end());
        self.sync_under_way = Some(ends);
        self.syncs += 1;
        self.outputs.push_back(Output::Sync { token: self.syncs });
    }

    fn pay_acknowledgement(&mut self) {
        if let Some((end, _)) = self.replica.owed.take() {
            self.outputs.push_back(Output::Acknowledge { end });
        }
    }

    /// A sync is done: what it covers can be acknowledged; what came since needs another.
    pub(super) fn acknowledge_relay(&mut self) {
        let Some((_, relay_end)) = self.replica.owed else { return };
        if relay_end <= self.storage.relay.synced() {
            self.pay_acknowledgement();
        } else if self.sync_under_way.is_none() {
            self.begin_relay_sync();
        }
    }

    // The applier.

    /// How long each transaction takes to apply from now on.
    pub fn set_apply_latency(&mut self, now: Instant, latency: Duration) {
        self.replica.apply_latency = latency;
        self.replica.apply_at = None;
        self.run_applier(now);
        self.settle(now);
    }

    /// The applier hangs, or goes on.
    pub fn set_applier_stalled(&mut self, now: Instant, stalled: bool) {
        self.replica.stalled = stalled;
        self.run_applier(now);
        self.settle(now);
    }

    /// One that hangs waits for no time: it is told when to go on.
    pub(super) fn applier_deadline(&self) -> Option<Instant> {
        self.replica.apply_at.filter(|_| !self.replica.stalled)
    }

    /// Applies what can be applied now.
    pub(super) fn run_applier(&mut self, now: Instant) {
        while self.replica.applier_on && !self.replica.stalled && !self.replica.committing {
            let index = self.storage.relay_applied.max(self.storage.relay.first());
            let Some(transaction) = self.storage.relay.get(index).map(Rc::clone) else { return };
            if self.has_applied(&transaction.gtid) {
                self.skip_relay(index);
                continue;
            }
            let delay = Duration::from_secs(self.storage.source.as_ref().map_or(0, |source| source.delay_s));
            let arrived = self.replica.arrivals.get(&index).copied().unwrap_or(now);
            let due = (arrived + delay).max(now) + self.replica.apply_latency;
            let due = *self.replica.apply_at.get_or_insert(due);
            if now < due {
                return;
            }
            self.replica.apply_at = None;
            if !self.apply_one(&transaction) {
                return;
            }
        }
    }

    fn has_applied(&self, gtid: &Position) -> bool {
        let applied = match self.config.flavor {
            Flavor::MySql => &self.executed,
            Flavor::MariaDb => &self.slave_pos,
        };
        applied.contains(gtid).unwrap_or(false)
    }

    fn skip_relay(&mut self, index: u64) {
        self.storage.relay_applied = index + 1;
        self.storage.relay.purge_before(index + 1);
        self.replica.arrivals.remove(&index);
    }

    /// Returns false when the applier has to wait or has stopped.
    fn apply_one(&mut self, transaction: &Rc<Transaction>) -> bool {
        if !self.lock_rows(transaction) {
            // A session holds a row. The lock passes to the applier in its turn.
            self.replica.apply_at = None;
            return false;
        }
        if let Err((misfit, table)) = self.check_fit(transaction) {
            let locks = core::mem::take(&mut self.replica.locks);
            self.release(0, &locks);
            self.replica.applier_on = false;
            self.replica.applier_error = Some(misfit_error(misfit, &table));
            return false;
        }
        self.note_seq(&transaction.gtid);
        self.replica.committing = true;
        let locks = core::mem::take(&mut self.replica.locks);
        self.submit(Commit {
            owner: Some(0),
            passing: None,
            what: What::Received(Rc::clone(transaction)),
            locks,
            logged: true,
            body: Body::ok(),
        });
        true
    }

    fn lock_rows(&mut self, transaction: &Transaction) -> bool {
        for change in &transaction.changes {
            let (Change::Insert(table, key, _) | Change::Update(table, key, _) | Change::Delete(table, key)) = change
            else {
                continue;
            };
            let Some(id) = self.tables.get(&table.schema, &table.name).map(|table| table.id) else { continue };
            let lock = (id, key.clone());
            if self.replica.locks.contains(&lock) {
                continue;
            }
            match self.locks.ask(&lock, 0, Mode::Exclusive) {
                Asked::Granted => self.replica.locks.push(lock),
                // A deadlock with a session: the session's wait ends by its timeout, as the applier is never the victim.
                Asked::Queued | Asked::Deadlock => return false,
            }
        }
        true
    }

    /// Whether each change fits the data that the ones before it leave.
    fn check_fit(&self, transaction: &Transaction) -> Result<(), (Misfit, Rc<TableRef>)> {
        if let [change @ (Change::Insert(table, ..) | Change::Update(table, ..) | Change::Delete(table, _))] =
            &*transaction.changes
        {
            return self.tables.check(change).map_err(|misfit| (misfit, Rc::clone(table)));
        }
        let mut present: BTreeMap<(&TableRef, &Value), bool> = BTreeMap::new();
        for change in &transaction.changes {
            let (table, key, wants, leaves) = match change {
                Change::Insert(table, key, _) => (table, key, false, true),
                Change::Update(table, key, _) => (table, key, true, true),
                Change::Delete(table, key) => (table, key, true, false),
                other => {
                    let name = Rc::new(TableRef { schema: String::new(), name: String::new() });
                    self.tables.check(other).map_err(|misfit| (misfit, name))?;
                    continue;
                }
            };
            match present.insert((table, key), leaves) {
                Some(is) if is == wants => {}
                Some(true) => return Err((Misfit::Duplicate, Rc::clone(table))),
                Some(false) => return Err((Misfit::NoRow, Rc::clone(table))),
                None => self.tables.check(change).map_err(|misfit| (misfit, Rc::clone(table)))?,
            }
        }
        Ok(())
    }

    /// The applier's transaction has committed.
    pub(super) fn applied(&mut self) {
        self.replica.committing = false;
        let index = self.storage.relay_applied.max(self.storage.relay.first());
        self.skip_relay(index);
        self.ready.push_back(0);
    }

    /// Why replication does not go on, if it does not: the last error of the receiver's or the applier's.
    #[must_use]
    pub fn replication_error(&self) -> Option<String> {
        let error = self.replica.applier_error.as_ref().or(self.replica.receiver_error.as_ref())?;
        Some(format!("{} ({})", error.message, error.code))
    }

    /// It has been told to replicate from somebody.
    #[must_use]
    pub fn has_source(&self) -> bool {
        self.storage.source.is_some()
    }

    /// The host that it replicates from, connected and with both threads, for checkers.
    #[must_use]
    pub fn replicates_from(&self) -> Option<&str> {
        let Replica { receiver_on, connected, applier_on, .. } = self.replica;
        let source = self.storage.source.as_ref()?;
        (receiver_on && connected && applier_on).then_some(&*source.host)
    }

    /// Acknowledgements that a commit waits for; 0 when it waits for none.
    #[must_use]
    pub fn waits_for(&self) -> usize {
        self.semi_sync.waits_for()
    }

    /// START SLAVE, on a replica.
    pub fn resume_replica(&mut self, now: Instant) {
        // Without a source there is nothing to start.
        let _ = self.start_replica(now, true, true);
    }

    // Statements.

    pub(super) fn change_source(&mut self, options: &[(String, Value)]) -> Result<(), SqlError> {
        if self.replica.receiver_on || self.replica.applier_on {
            return Err(SqlError::slave_running(self.config.flavor));
        }
        let mut source = self.storage.source.clone().unwrap_or_default();
        for (name, value) in options {
            match name.as_str() {
                "MASTER_HOST" => source.host = value.display(),
                "MASTER_PORT" => source.port = value.to_int().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
                "MASTER_USER" => source.user = value.display(),
                "MASTER_DELAY" => source.delay_s = value.to_int().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
                "MASTER_USE_GTID" if value.display().eq_ignore_ascii_case("current_pos") => {
                    source.use_gtid = UseGtid::CurrentPos;
                }
                "MASTER_USE_GTID" => source.use_gtid = UseGtid::SlavePos,
                _ => {}
            }
        }
        self.storage.source = Some(source);
        self.purge_relay();
        Ok(())
    }

    /// Throws away what was received and not applied, as servers do that fetch it again by GTID.
    pub(super) fn purge_relay(&mut self) {
        self.storage.relay.clear();
        self.storage.relay_applied = 0;
        self.replica.arrivals.clear();
        self.replica.apply_at = None;
        self.replica.owed = None;
        self.replica.received = self.position_to_replicate_from();
    }

    fn position_to_replicate_from(&self) -> Position {
        let current = self.storage.source.as_ref().is_some_and(|source| source.use_gtid == UseGtid::CurrentPos);
        match self.config.flavor {
            Flavor::MySql => self.executed.clone(),
            Flavor::MariaDb if current => self.executed.union(&self.slave_pos).unwrap_or_default(),
            Flavor::MariaDb => self.slave_pos.clone(),
        }
    }

    pub(super) fn start_replica(&mut self, now: Instant, receiver: bool, applier: bool) -> Result<(), SqlError> {
        if self.storage.source.is_none() {
            return Err(SqlError::not_a_slave(self.config.flavor));
        }
        if self.config.flavor == Flavor::MariaDb && !self.replica.receiver_on && !self.replica.applier_on {
            self.purge_relay();
        }
        if receiver && !self.replica.receiver_on {
            self.replica.receiver_on = true;
            self.replica.receiver_error = None;
        }
        if applier && !self.replica.applier_on {
            self.replica.applier_on = true;
            self.replica.applier_error = None;
        }
        self.run_applier(now);
        Ok(())
    }

    pub(super) fn stop_replica(&mut self, receiver: bool, applier: bool) {
        if receiver {
            self.replica.receiver_on = false;
            self.replica.connected = false;
        }
        if applier {
            self.replica.applier_on = false;
            self.replica.apply_at = None;
        }
    }

    pub(super) fn reset_replica(&mut self, all: bool) -> Result<(), SqlError> {
        if self.replica.receiver_on || self.replica.applier_on {
            return Err(SqlError::slave_running(self.config.flavor));
        }
        if all {
            self.storage.source = None;
        }
        self.purge_relay();
        Ok(())
    }

    /// Seconds since the oldest received and unapplied transaction came; `None` when the applier does not run.
    pub(super) fn seconds_behind(&self, now: Instant) -> Option<u64> {
        let running = self.replica.applier_on && self.replica.receiver_on && self.replica.connected;
        let oldest = self.replica.arrivals.values().next();
        running.then(|| oldest.map_or(0, |arrived| now.since(*arrived).as_secs()))
    }
}

fn misfit_error(misfit: Misfit, table: &TableRef) -> ThreadError {
    let (code, what) = match misfit {
        Misfit::NoTable => (1146, "table doesn't exist"),
        Misfit::NoRow => (1032, "Can't find record"),
        Misfit::Duplicate => (1062, "Duplicate entry"),
        Misfit::Definition => (1007, "definition conflict"),
    };
    let message =
        format!("Could not execute rows event on table {}.{}; {what}, Error_code: {code}", table.schema, table.name);
    ThreadError { code, message }
}
