//! What a session with `transaction_replay` keeps of its statements: which belong to its open transaction, and which make it one that
//! cannot be replayed. What is done with that is [`super::replay`]'s.

use super::history::{Kept, Sum};
use super::job::Job;
use super::{Pins, Session};
use crate::link::{Command, Settings};
use crate::mysql::command::ClientCommand;
use crate::sql::{self, Effects};
use crate::time::Instant;
use crate::topo::Role;
use std::sync::Arc;

impl Session {
    /// A transaction is open, or something belongs to the next one already.
    pub(super) fn is_open(&self) -> bool {
        self.state.in_transaction() || self.state.pins.intersects(Pins::OF_TRANSACTION)
    }

    /// `job` is about to be sent: if it belongs to a transaction, its answer is summed up, and it is kept.
    pub(super) fn follow(&mut self, now: Instant, job: &mut Job) {
        let open = self.is_open();
        let begun_before = open && self.replay.is_none();
        let replay = self.replay.get_or_insert_default();
        if begun_before {
            replay.history.give_up("it began before transaction_replay was set");
        } else if !open {
            replay.history.clear();
        }
        job.within = self.state.in_transaction();
        job.granted_at = Some(now);
        let begins = Effects::OPENS_TRANSACTION | Effects::PINS_NEXT_TRANSACTION;
        let belongs = open || !self.state.autocommit() || job.effects.intersects(begins);
        let limits = &self.config.limits;
        let bytes = job.command.bytes();
        let is_kept = belongs
            && is_statement(&job.command)
            && !job.effects.contains(Effects::ENDS_TRANSACTION)
            && replay.history.make_room(bytes, limits.replay_bytes_max, limits.replay_statements_max);
        job.kept = is_kept.then(|| {
            let asks = job.effects.contains(Effects::READS_LAST_INSERT_ID);
            Box::new(Kept {
                command: job.command.clone(),
                settings: Arc::clone(&self.state.settings),
                last_insert_id: asks.then_some(self.state.last_insert_id),
                effects: job.effects,
                result: Sum::default(),
            })
        });
    }

    /// `job` was answered, and what it did has been taken in.
    pub(super) fn keep(&mut self, job: &mut Job) {
        let open = self.is_open();
        let on_primary = self.lease.is_some_and(|lease| lease.role == Role::Primary);
        let Some(replay) = &mut self.replay else { return };
        let ends = job.effects.contains(Effects::ENDS_TRANSACTION);
        let begins_another = job.within && job.effects.contains(Effects::OPENS_TRANSACTION);
        if !open || ((ends || begins_another) && !job.failed) {
            replay.transaction_is_over();
        }
        if !open {
            return;
        }
        let kept = job.kept.take();
        if ends || (begins_another && job.failed) {
            replay.history.give_up("it was begun, or perhaps ended, by a statement that does more");
        } else if let Some(why) = why_unfit(job) {
            replay.history.give_up(why);
        } else if !on_primary {
            replay.history.give_up("it runs on a replica");
        } else if let Some(kept) = kept {
            replay.history.push(*kept, job.command.bytes());
        }
    }
}

impl Command {
    /// What it takes to keep it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Plain(payload) => payload.len(),
            Self::Prepare(statement) | Self::Fetch { statement, .. } | Self::ResetStatement(statement) => {
                statement.sql.len()
            }
            Self::Execute { payload, long_data, .. } => {
                payload.len() + long_data.iter().map(|chunk| chunk.data.len()).sum::<usize>()
            }
            Self::ResetConnection => 0,
        }
    }
}

/// It can be part of a transaction. Other commands change nothing, or are told by what settings later ones have.
fn is_statement(command: &Command) -> bool {
    match command {
        Command::Plain(payload) => text_of(payload).is_some(),
        Command::Execute { .. } => true,
        _ => false,
    }
}

fn text_of(payload: &[u8]) -> Option<&[u8]> {
    match ClientCommand::parse(payload) {
        Ok(ClientCommand::Query(sql)) => Some(sql),
        _ => None,
    }
}

/// Why a transaction with this statement in it cannot be replayed.
pub(super) fn why_unfit(job: &Job) -> Option<&'static str> {
    let runs_code = Effects::RUNS_STORED_CODE | Effects::WRITES;
    if job.effects.contains(Effects::MULTI) {
        Some("several statements came in one text")
    } else if job.effects.contains(runs_code) {
        Some("it ran stored code, which may have committed")
    } else if job.effects.contains(Effects::NEEDS_DIAGNOSTICS) {
        Some("it asked for what a statement had left")
    } else if job.infile {
        Some("it read a file of its client's")
    } else if matches!(job.command, Command::Fetch { .. }) {
        Some("it read from a cursor")
    } else {
        None
    }
}

/// The command is COMMIT or ROLLBACK, and does nothing besides.
pub(super) fn is_plain(settings: &Settings, command: &Command, kind: sql::Kind) -> bool {
    let text = match command {
        Command::Plain(payload) => text_of(payload),
        Command::Execute { statement, .. } => Some(&*statement.sql),
        _ => None,
    };
    let Some(text) = text else { return false };
    let does_more = |text: &[u8]| {
        let text = text.to_ascii_uppercase();
        [&b"CHAIN"[..], b"RELEASE"].iter().any(|word| text.windows(word.len()).any(|part| part == *word))
    };
    let completes =
        settings.variables.get("completion_type").is_none_or(|value| matches!(&**value, b"NO_CHAIN" | b"0"));
    completes && !does_more(text) && sql::classify(text, sql::Dialect::default()).kind == kind
}
