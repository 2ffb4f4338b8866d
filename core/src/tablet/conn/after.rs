//! What is asked after the command's answer, because trackers left it out.

use super::BackendConn;
use super::flight::{Heard, Purpose};
use super::settings;
use super::tracked::Reported;
use crate::link::{Ended, Reply};
use crate::mysql::command::ClientCommand;
use crate::mysql::packet::OkPacket;
use crate::mysql::session_state::SessionStateBuilder;

/// Asks for status and trackers, and changes neither warnings nor errors.
const ASK_STATE: &[u8] = b"SHOW COUNT(*) WARNINGS";

impl BackendConn {
    pub(super) fn ask_what_trackers_left_out(&mut self) {
        let (tracks, autocommit) = (self.tracks_session(), self.tracked.autocommit());
        let Some(busy) = self.busy() else { return };
        let (error, read_only, plain_set) = (busy.error, busy.request.read_only, busy.plain_set);
        let reported = core::mem::take(&mut busy.reported);
        if !tracks && !read_only {
            self.tracked.set_unknown(true);
        }
        // Outside of a transaction an error of a read leaves nothing behind.
        if error && !(read_only && autocommit) {
            self.tracked.set_unknown(true);
            self.ask(&ClientCommand::Query(ASK_STATE), Purpose::AskState);
        }
        self.ask_variables(reported, plain_set);
    }

    /// Asks for variables whose reported values may be wrong, or not all there is.
    fn ask_variables(&mut self, mut reported: Reported, lasting: bool) {
        let charset = reported.iter().position(|name| name == "character_set_connection");
        if lasting && charset.is_none() {
            return;
        }
        if let Some(charset) = charset {
            "collation_connection".clone_into(&mut reported[charset]);
        }
        if let Some(sql) = settings::question(&reported).filter(|_| !reported.is_empty()) {
            self.ask(&ClientCommand::Query(sql.as_bytes()), Purpose::AskVariables(reported));
        }
    }

    pub(super) fn state_told(&mut self, heard: Heard) {
        if let Some(ok) = heard.ok {
            match self.tracked.absorb(&ok, false) {
                Ok(reported) => self.ask_variables(reported, true),
                Err(error) => return self.fail_protocol(error),
            }
            self.tracked.set_unknown(!self.tracks_session());
            self.replies.push(Reply::Tracked(ok));
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
        let ok = OkPacket { status: self.tracked.status(), session_state: block.finish(), ..OkPacket::default() };
        if let Err(error) = self.tracked.absorb(&ok, false) {
            return self.fail_protocol(error);
        }
        self.replies.push(Reply::Tracked(ok));
        self.conclude_if_all_told();
    }

    fn conclude_if_all_told(&mut self) {
        if self.flight.is_empty() {
            self.conclude(Ended::Answered);
        }
    }
}
