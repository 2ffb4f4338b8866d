//! What is asked after the command's answer: what it left for others to ask for, and what trackers left out.

use super::flight::{Heard, Purpose};
use super::request::HeldEnd;
use super::tracked::Reported;
use super::{BackendConn, CloseReason, Life, settings};
use crate::error::{Effect, Kind};
use crate::link::{Asks, Condition, Counts, Ended, Level, Reply};
use crate::mysql::collation;
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;
use crate::mysql::session_state::SessionStateBuilder;

/// Asks for what the command left; in its answer come status and trackers, too. It changes no warnings, and says so before
/// it has changed the counts.
const ASK_COUNTS: &[u8] = b"SELECT ROW_COUNT(), FOUND_ROWS(), @@session.warning_count, @@session.error_count LIMIT 1";
const ASK_CONDITIONS: &[u8] = b"SHOW WARNINGS";
/// Is answered with all that trackers have not told yet: servers tell it with the next thing that changes, if only in name. It
/// changes no warnings.
const ASK_TRACKERS: &[u8] = b"SET session_track_schema = 1";

impl BackendConn {
    pub(super) fn ask_what_the_answer_left_out(&mut self) {
        let (tracks, autocommit) = (self.tracks_session(), self.tracked.autocommit());
        let rows_end_untracked = self.rows_end_untracked();
        let Some(busy) = self.busy() else { return };
        let held = busy.held_end.is_some();
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
        let unsure = error && !(read_only && autocommit);
        if unsure {
            self.tracked.set_unknown(true);
            asks |= Asks::COUNTS;
        }
        if asks.contains(Asks::COUNTS) {
            self.ask(&ClientCommand::Query(ASK_COUNTS), Purpose::AskCounts);
        }
        if asks.contains(Asks::CONDITIONS) {
            self.ask(&ClientCommand::Query(ASK_CONDITIONS), Purpose::AskConditions);
        }
        if rows_end_untracked && (held || unsure) {
            self.ask(&ClientCommand::Query(ASK_TRACKERS), Purpose::AskTrackers);
        }
        self.ask_variables(reported, plain_set);
    }

    /// Asks for variables whose reported values may be wrong, or not all there is.
    fn ask_variables(&mut self, mut reported: Reported, lasting: bool) {
        if reported.iter().any(|name| settings::decides_of_reports(name)) {
            self.ask(&ClientCommand::Query(settings::REPORT_TRANSACTIONS.as_bytes()), Purpose::ReportsAfter);
        }
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
            if !self.rows_end_untracked() && self.busy().is_some_and(|busy| busy.error) {
                self.tracked.set_unknown(!self.tracks_session());
                self.replies.push(Reply::Tracked(ok));
            }
        }
        self.conclude_if_all_told();
    }

    /// What the end of rows had no room for, which may now go to the client; or what was left untold by an error.
    pub(super) fn trackers_told(&mut self, heard: Heard) {
        let Some(ok) = heard.ok else {
            let error = heard.error.unwrap_or_else(|| self.error(Kind::ServerLost, "tells nothing", Effect::None));
            return self.close_because(CloseReason::Unsettled(error));
        };
        let Life::Busy(busy) = &mut self.life else { return };
        let (restored, plain_set) = (busy.request.restores_variables, busy.plain_set);
        let reported = match self.tracked.absorb(&ok, restored) {
            Ok(reported) => reported,
            Err(error) => return self.fail_protocol(error),
        };
        self.replies.push(match busy.held_end.take() {
            Some(HeldEnd { seq, rows, ok: end }) => {
                let ok = OkPacket { session_state: ok.session_state, ..end };
                Reply::Ok { seq, ends_rows: true, rows, ok }
            }
            None => {
                self.tracked.set_unknown(false);
                Reply::Tracked(ok)
            }
        });
        self.ask_variables(reported, plain_set);
        self.conclude_if_all_told();
    }

    /// Whether transactions are reported is settled, unless there was an error.
    pub(super) fn reports_settled(&mut self, heard: &Heard) {
        if heard.error.is_some() {
            self.tracked.set_unknown(true);
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
        let names = collation::by_id(heard.text_collation(self.config.handshake.of_mariadb)?);
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
