//! What a server keeps on disk: the engine's redo log, the binary log, the relay log, and where it replicates from.
//!
//! A transaction is prepared in the redo log, then written to the binary log; after a crash it counts as committed
//! exactly when the binary log has it. Each log loses what was not synced, so settings that trade durability for speed
//! show here what they cost: an engine without transactions that its binary log has, or clients with an OK for nothing.

use super::tables::{Change, Tables};
use crate::world::disk::{Crash, Log};
use std::rc::Rc;
use weir_core::gtid::Position;

/// The redo log is folded into the tables on disk when it has this many records.
const CHECKPOINT_RECORDS: usize = 256;

/// A committed transaction, as the binary log carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Its own GTID alone.
    pub gtid: Position,
    /// What it changed, in order.
    pub changes: Vec<Change>,
}

/// A transaction as the redo log carries it.
#[derive(Clone, Debug)]
pub struct Redo {
    /// The transaction.
    pub transaction: Rc<Transaction>,
    /// Its index in the binary log, when it is to be there.
    pub binlog_index: Option<u64>,
    /// It came from a source, so it moves the replica's position.
    pub replicated: bool,
    /// The engine has it on the device before the binary log gets it, as `innodb_flush_log_at_trx_commit=1` says.
    pub prepared_first: bool,
}

/// Where a replica gets its transactions from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceConfig {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// MariaDB: `slave_pos`, `current_pos` or `no`; MySQL: auto-position or not.
    pub use_gtid: UseGtid,
    /// MASTER_DELAY in seconds.
    pub delay_s: u64,
}

/// What a replica tells its source about where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseGtid {
    /// What it has applied.
    #[default]
    SlavePos,
    /// What it has applied or written itself.
    CurrentPos,
}

/// Everything on disk.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// Tables as of the last checkpoint.
    base: Tables,
    base_slave_pos: Position,
    /// Engine log.
    pub redo: Log<Redo>,
    /// Binary log.
    pub binlog: Log<Rc<Transaction>>,
    /// What had been executed before the first transaction of the binary log.
    pub binlog_before: Position,
    /// Relay log.
    pub relay: Log<Rc<Transaction>>,
    /// Relay records before this index were applied.
    pub relay_applied: u64,
    /// Replication source, when configured.
    pub source: Option<SourceConfig>,
}

/// What a server finds when it starts.
#[derive(Debug)]
pub struct Recovered {
    /// Committed data.
    pub tables: Tables,
    /// What the binary log says was executed.
    pub executed: Position,
    /// What was applied from a source.
    pub slave_pos: Position,
}

impl Storage {
    /// Loses what a crash loses.
    pub fn crash(&mut self, crash: &mut Crash<'_>) {
        let prepared = self.redo.since(0).iter().zip(self.redo.first()..).filter(|(redo, _)| redo.prepared_first);
        let prepared: Vec<(u64, u64)> =
            prepared.filter_map(|(redo, index)| Some((index, redo.binlog_index?))).collect();
        self.redo.crash(crash);
        self.binlog.crash(crash);
        // What the engine has lost was not written to the binary log yet.
        if let Some((_, logged)) = prepared.into_iter().find(|(index, _)| *index >= self.redo.end()) {
            self.binlog.cut(logged);
        }
        self.relay.crash(crash);
        self.relay_applied = self.relay_applied.min(self.relay.end());
    }

    /// Crash recovery: commits what is prepared and in the binary log, rolls the rest back.
    pub fn recover(&mut self) -> Recovered {
        let mut tables = self.base.clone();
        let mut slave_pos = self.base_slave_pos.clone();
        let in_binlog = |redo: &Redo| redo.binlog_index.is_none_or(|index| index < self.binlog.end());
        for redo in self.redo.since(0).iter().filter(|redo| in_binlog(redo)) {
            fold(&mut tables, &mut slave_pos, redo);
        }
        let mut executed = self.binlog_before.clone();
        for transaction in self.binlog.since(0) {
            merge(&mut executed, &transaction.gtid);
        }
        (self.base, self.base_slave_pos) = (tables.clone(), slave_pos.clone());
        self.redo.clear();
        Recovered { tables, executed, slave_pos }
    }

    /// Purges what is durable, and settled in the redo log, from the binary log when that has twice as many transactions as
    /// are to be kept.
    pub fn expire(&mut self, kept: usize) {
        let count = self.binlog.since(0).len();
        if count < kept.saturating_mul(2) {
            return;
        }
        let unsettled = self.redo.since(0).iter().find_map(|redo| redo.binlog_index);
        let end = (self.binlog.end() - kept as u64).min(self.binlog.synced());
        let end = unsettled.map_or(end, |index| end.min(index));
        let count = end.saturating_sub(self.binlog.first()) as usize;
        for transaction in &self.binlog.since(0)[..count] {
            merge(&mut self.binlog_before, &transaction.gtid);
        }
        self.binlog.purge_before(end);
    }

    /// Folds what is durable and settled into the tables on disk, when the redo log has grown long.
    pub fn checkpoint(&mut self) {
        if self.redo.since(0).len() < CHECKPOINT_RECORDS {
            return;
        }
        let binlog_synced = self.binlog.synced();
        let settled = |redo: &&Redo| redo.binlog_index.is_none_or(|index| index < binlog_synced);
        let durable = self.redo.synced() - self.redo.first();
        let count = self.redo.since(0).iter().take(durable as usize).take_while(settled).count();
        for redo in &self.redo.since(0)[..count] {
            fold(&mut self.base, &mut self.base_slave_pos, redo);
        }
        self.redo.purge_before(self.redo.first() + count as u64);
    }

    /// A disk with a copy of another server's data, and nothing else. Its binary log begins after it.
    #[must_use]
    pub fn of_a_copy(copy: &Transaction) -> Self {
        let mut base = Tables::default();
        copy.changes.iter().for_each(|change| base.apply(change, 0, false));
        Self { base, base_slave_pos: copy.gtid.clone(), binlog_before: copy.gtid.clone(), ..Self::default() }
    }

    /// Sets the replica's position, as SET GLOBAL gtid_slave_pos does.
    pub fn set_slave_pos(&mut self, position: &Position) {
        self.base_slave_pos = position.clone();
    }
}

fn fold(tables: &mut Tables, slave_pos: &mut Position, redo: &Redo) {
    redo.transaction.changes.iter().for_each(|change| tables.apply(change, 0, false));
    if redo.replicated {
        merge(slave_pos, &redo.transaction.gtid);
    }
}

/// Adds a transaction to a position. A server never mixes flavours, and holds far fewer intervals than the limit.
pub(super) fn merge(position: &mut Position, gtid: &Position) {
    let merged = position.merge(gtid);
    debug_assert!(merged.is_ok(), "{position} cannot take {gtid}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::rng::Rng;

    fn transaction(seq: u64) -> Rc<Transaction> {
        let changes = vec![Change::CreateSchema(format!("s{seq}"))];
        Rc::new(Transaction { gtid: Position::mariadb(0, 1, seq), changes })
    }

    fn commit(storage: &mut Storage, seq: u64) {
        let transaction = transaction(seq);
        let index = storage.binlog.append(Rc::clone(&transaction));
        storage.redo.append(Redo { transaction, binlog_index: Some(index), replicated: false, prepared_first: false });
        storage.binlog.write();
        storage.redo.write();
    }

    fn lose_power(storage: &mut Storage) -> (Vec<String>, String) {
        storage.crash(&mut Crash { power_lost: true, rng: &mut Rng::new(1) });
        let found = storage.recover();
        (found.tables.schemas().map(str::to_owned).collect(), found.executed.to_string())
    }

    #[test]
    fn synced_transactions_survive() {
        let mut storage = Storage::default();
        (1..=3).for_each(|seq| commit(&mut storage, seq));
        storage.redo.mark_synced(3);
        storage.binlog.mark_synced(3);
        assert_eq!(lose_power(&mut storage), (vec!["s1".into(), "s2".into(), "s3".into()], "0-1-3".into()));
    }

    #[test]
    fn a_prepared_transaction_that_is_not_in_the_binary_log_is_rolled_back() {
        let mut storage = Storage::default();
        commit(&mut storage, 1);
        storage.binlog.mark_synced(1);
        storage.redo.append(Redo {
            transaction: transaction(2),
            binlog_index: Some(1),
            replicated: false,
            prepared_first: false,
        });
        storage.redo.write();
        storage.redo.mark_synced(2);
        assert_eq!(lose_power(&mut storage), (vec!["s1".into()], "0-1-1".into()));
    }

    #[test]
    fn the_binary_log_has_nothing_that_the_engine_had_to_have_first_and_lost() {
        for seed in 0..50 {
            let mut storage = Storage::default();
            for seq in 1..=4 {
                let transaction = transaction(seq);
                let index = storage.binlog.append(Rc::clone(&transaction));
                let redo = Redo { transaction, binlog_index: Some(index), replicated: false, prepared_first: true };
                storage.redo.append(redo);
                storage.redo.write();
                storage.binlog.write();
            }
            storage.crash(&mut Crash { power_lost: true, rng: &mut Rng::new(seed) });
            let Recovered { tables, executed, .. } = storage.recover();
            let last = executed.as_mariadb().and_then(|position| position.of(0)).map_or(0, |gtid| gtid.seq);
            assert_eq!(tables.schemas().count() as u64, last);
        }
    }

    #[test]
    fn without_redo_sync_the_engine_may_lack_what_the_binary_log_has() {
        let lost = (0..64).any(|seed| {
            let mut storage = Storage::default();
            (1..=3).for_each(|seq| commit(&mut storage, seq));
            storage.binlog.mark_synced(3);
            storage.crash(&mut Crash { power_lost: true, rng: &mut Rng::new(seed) });
            let found = storage.recover();
            found.executed.to_string() == "0-1-3" && found.tables.schemas().count() < 3
        });
        assert!(lost);
    }

    #[test]
    fn a_checkpoint_changes_nothing_that_recovery_finds() {
        let mut storage = Storage::default();
        for seq in 1..=CHECKPOINT_RECORDS as u64 {
            commit(&mut storage, seq);
        }
        storage.redo.mark_synced(100);
        storage.binlog.mark_synced(50);
        storage.checkpoint();
        assert_eq!(storage.redo.first(), 50);
        assert_eq!(storage.recover().tables.schemas().count(), CHECKPOINT_RECORDS);
    }

    #[test]
    fn what_expires_is_still_known_to_have_been_executed() {
        let mut storage = Storage::default();
        let (kept, written) = (500, 1000);
        for seq in 1..=written {
            commit(&mut storage, seq);
        }
        storage.expire(kept);
        assert_eq!(storage.binlog.first(), 0, "nothing is durable");
        storage.redo.mark_synced(written);
        storage.binlog.mark_synced(written);
        storage.expire(kept);
        assert_eq!(storage.binlog.first(), 0, "recovery needs it");
        storage.checkpoint();
        storage.expire(kept);
        assert_eq!(storage.binlog.first(), 500);
        assert_eq!(storage.recover().executed.to_string(), format!("0-1-{written}"));
    }
}
