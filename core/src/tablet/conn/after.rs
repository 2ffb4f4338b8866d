//! What is asked after the command's answer: what it left for others to ask for, and what trackers left out.

use super::BackendConn;
use super::flight::{Heard, Purpose};
use super::settings;
use super::tracked::Reported;
use crate::link::{Asks, Condition, Counts, Ended, Level, Reply};
use crate::mysql::collation;
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;
use crate::mysql::session_state::SessionStateBuilder;

/// Asks for what the command left; in its answer come status and trackers, too. It changes no warnings, and says so before
/// it has changed the counts.
const ASK_COUNTS: &[u8] = b"SELECT ROW_COUNT(), FOUND_ROWS(), @@session.warning_count, @@session.error_count LIMIT 1";
const ASK_CONDITIONS: &[u8] = b"SHOW WARNINGS";

impl BackendConn {
    pub(super) fn ask_what_the_answer_left_out(&mut self) {
        let (tracks, autocommit) = (self.tracks_session(), self.tracked.autocommit());
        let Some(busy) = self.busy() else { return };
        let (error, read_only, plain_set) = (busy.error, busy.request.read_only, busy.plain_set);
        let reported = core::mem::take(&mut busy.reported);
        let mut asks = busy.request.asks;
        if asks.contains(Asks::WHEN_WARNED) && (error || busy.warned) {
            asks |= Asks::COUNTS | Asks::CONDITIONS;
        }
        if !tracks && !read_only {
            self.tracked.set_unknown(true);
        }
        // Outside of a transaction an error of a read leaves nothing behind.
        if error && !(read_only && autocommit) {
            self.tracked.set_unknown(true);
            asks |= Asks::COUNTS;
        }
        if asks.contains(Asks::COUNTS) {
            self.ask(&ClientCommand::Query(ASK_COUNTS), Purpose::AskCounts);
        }
        if asks.contains(Asks::CONDITIONS) {
            self.ask(&ClientCommand::Query(ASK_CONDITIONS), Purpose::AskConditions);
        }
        self.ask_variables(reported, plain_set);
    }

    /// Asks for variables whose reported values may be wrong, or not all there is.
    fn ask_variables(&mut self, mut reported: Reported, lasting: bool) {
        if reported.is_empty() {
            return;
        }
        let charset = reported.iter().position(|name| name == "character_set_connection");
        if lasting && charset.is_none() {
            return;
        }
        if let Some(charset) = charset {
            "collation_connection".clone_into(&mut reported[charset]);
        }
        if let Some(sql) = settings::question(&reported) {
            self.ask(&ClientCommand::Query(sql.as_bytes()), Purpose::AskVariables(reported));
        }
    }

    pub(super) fn counts_told(&mut self, heard: Heard) {
        let told = counts(&heard);
        if let Some(busy) = self.busy() {
            busy.left.counts = told;
        }
        if let Some(ok) = heard.ok {
            match self.tracked.absorb(&ok, false) {
                Ok(reported) => self.ask_variables(reported, true),
                Err(error) => return self.fail_protocol(error),
            }
            if self.busy().is_some_and(|busy| busy.error) {
                self.tracked.set_unknown(!self.tracks_session());
                self.replies.push(Reply::Tracked(ok));
            }
        }
        self.conclude_if_all_told();
    }

    pub(super) fn conditions_told(&mut self, heard: &Heard) {
        let told = conditions(heard);
        if let Some(busy) = self.busy() {
            busy.left.conditions = told;
        }
        self.conclude_if_all_told();
    }

    pub(super) fn variables_told(&mut self, names: &[String], heard: &Heard) {
        let mut block = SessionStateBuilder::default();
        match heard.row() {
            Some(values) if values.len() == names.len() => names
                .iter()
                .zip(values)
                .for_each(|(name, value)| block.variable(name.as_bytes(), value.unwrap_or_default())),
            _ => self.tracked.set_unknown(true),
        }
        if let Some(results) = self.results_in_a_collation(heard) {
            block.variable(b"character_set_results", results.as_bytes());
        }
        let ok = OkPacket { status: self.tracked.status(), session_state: block.finish(), ..OkPacket::default() };
        if let Err(error) = self.tracked.absorb(&ok, false) {
            return self.fail_protocol(error);
        }
        self.replies.push(Reply::Tracked(ok));
        self.conclude_if_all_told();
    }

    /// Results' character set and collation, when that is not the character set's own: `SET NAMES ... COLLATE` has set it, no
    /// tracker reports it, and any result names it.
    fn results_in_a_collation(&self, heard: &Heard) -> Option<String> {
        let results = self.tracked.settings().variables.get("character_set_results")?;
        let names = collation::by_id(heard.text_collation()?);
        let set = results.split(|byte| *byte == b' ').next()?;
        let is_it = names.character_set.as_bytes() == set && !collation::is_default(&names);
        is_it.then(|| names.in_results())
    }

    fn conclude_if_all_told(&mut self) {
        if self.flight.is_empty() {
            self.conclude(Ended::Answered);
        }
    }
}

fn counts(heard: &Heard) -> Option<Counts> {
    let row = heard.row()?;
    let text = |at: usize| core::str::from_utf8((*row.get(at)?)?).ok();
    Some(Counts {
        row_count: text(0)?.parse().ok()?,
        found_rows: text(1)?.parse().ok()?,
        warnings: text(2)?.parse().ok()?,
        errors: text(3)?.parse().ok()?,
    })
}

fn conditions(heard: &Heard) -> Option<Vec<Condition>> {
    let condition = |row: &Vec<Option<&[u8]>>| {
        let [Some(level), Some(code), Some(message)] = row.as_slice() else { return None };
        let code = core::str::from_utf8(code).ok()?.parse().ok()?;
        Some(Condition { level: Level::parse(level)?, code, message: message.to_vec() })
    };
    heard.rows()?.iter().map(condition).collect()
}
