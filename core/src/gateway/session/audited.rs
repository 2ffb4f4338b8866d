//! What the audit log is told of this session: a line for its login, for each statement that the log wants, and for its end.
//!
//! A statement's line begins with the command, when it is decided whether there is one and what it tells of the text, and ends with the answer.
//! Without an audit log nothing is kept.

use super::outcome::Verdict;
use super::{Event, Reason, Session};
use crate::error::Error;
use crate::gateway::audit::{Audit, Line, Place, Refusal, What};
use crate::mysql::command::ClientCommand;
use crate::mysql::handshake::Transport;
use crate::sql::{Sorts, Told, look};
use std::sync::Arc;

/// What is remembered for the log.
#[derive(Debug, Default)]
pub(super) struct Audited {
    /// It has logged in.
    connected: bool,
    /// Its end was told.
    ended: bool,
    /// The statement under way.
    pending: Option<Box<Pending>>,
    login: Option<Box<Login>>,
}

/// Of a login, or a change of user, that is not over or was refused.
#[derive(Debug, Default)]
struct Login {
    /// Who the client says it is.
    claimed: Option<Vec<u8>>,
    refusal: Option<Refusal>,
}

/// A line that has begun.
#[derive(Debug)]
struct Pending {
    what: What,
    sorts: Sorts,
    told: Option<Told>,
    schema: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
    place: Place,
}

/// What a command says.
enum Said<'a> {
    /// A statement.
    Statement(&'a [u8]),
    /// A name or a number, and nothing else.
    Name(Sorts, Vec<u8>),
    Nothing(Sorts),
}

/// What a command is to the log; `None`: it is of no interest.
fn what<'a>(session: &'a Session, command: &ClientCommand<'a>) -> Option<(What, Said<'a>)> {
    Some(match command {
        ClientCommand::Query(sql) => (What::Query, Said::Statement(sql)),
        ClientCommand::Prepare(sql) => (What::Prepare, Said::Statement(sql)),
        ClientCommand::Execute { statement_id, .. } | ClientCommand::BulkExecute { statement_id, .. } => {
            (What::Execute, Said::Statement(session.statements.text(*statement_id)))
        }
        ClientCommand::InitDb(name) => (What::InitDb, Said::Name(Sorts::SESSION, name.to_vec())),
        ClientCommand::FieldList { table, .. } => (What::FieldList, Said::Name(Sorts::READ, table.to_vec())),
        ClientCommand::ProcessInfo => (What::ProcessInfo, Said::Nothing(Sorts::READ)),
        ClientCommand::ProcessKill { connection_id } => {
            (What::Kill, Said::Name(Sorts::ADMIN, connection_id.to_string().into_bytes()))
        }
        ClientCommand::ResetConnection => (What::ResetConnection, Said::Nothing(Sorts::SESSION)),
        ClientCommand::Refresh(_) => (What::Refresh, Said::Nothing(Sorts::ADMIN)),
        ClientCommand::Shutdown => (What::Shutdown, Said::Nothing(Sorts::ADMIN)),
        ClientCommand::Quit
        | ClientCommand::Ping
        | ClientCommand::Statistics
        | ClientCommand::SetOption(_)
        | ClientCommand::Fetch { .. }
        | ClientCommand::ResetStatement { .. }
        | ClientCommand::CloseStatement { .. }
        | ClientCommand::SendLongData { .. } => return None,
        ClientCommand::ChangeUser(_) => (What::ChangeUser, Said::Nothing(Sorts::empty())),
        _ => (What::Other, Said::Nothing(Sorts::ADMIN)),
    })
}

impl Session {
    /// A command has come: begins its line, if it gets one.
    ///
    /// # Errors
    /// When it must not run, because the line could not be written.
    pub(super) fn audit_command(&mut self, command: &ClientCommand<'_>) -> Result<(), Error> {
        let Some(audit) = self.config.audit.clone() else { return Ok(()) };
        if matches!(command, ClientCommand::ChangeUser(_)) {
            return self.audit_change(&audit);
        }
        if !audit.wants_statements_of(&self.user) {
            return Ok(());
        }
        let Some((what, said)) = what(self, command) else { return Ok(()) };
        let telling = audit.rules().telling;
        let (sorts, told) = match said {
            Said::Statement(sql) => {
                let in_grants = self.state.schema().is_some_and(|schema| schema.eq_ignore_ascii_case(b"mysql"));
                let look = look(sql, self.dialect(), telling.bytes_max, in_grants);
                (look.sorts, audit.wants(look.sorts).then(|| look.told(telling)))
            }
            Said::Name(sorts, name) => (sorts, Some(Told { text: name, reduced: false, cut: false })),
            Said::Nothing(sorts) => (sorts, None),
        };
        if !audit.wants(sorts) {
            return Ok(());
        }
        let place = audit.take(told.as_ref().map_or(0, |told| told.text.len()))?;
        let schema = self.state.schema().map(<[u8]>::to_vec);
        let pending = |place| Box::new(Pending { what, sorts, told, schema, before: None, place });
        self.audited.pending = place.map(pending);
        Ok(())
    }

    /// Who it will be is not known yet: whether anybody wants to know is looked at in the end.
    fn audit_change(&mut self, audit: &Arc<Audit>) -> Result<(), Error> {
        self.audited.login = None;
        if !audit.rules().events.connections {
            return Ok(());
        }
        let place = audit.take(0)?;
        let schema = self.state.schema().map(<[u8]>::to_vec);
        let before = Some(self.user.clone());
        let (what, sorts) = (What::ChangeUser, Sorts::empty());
        let pending = |place| Box::new(Pending { what, sorts, told: None, schema, before, place });
        self.audited.pending = place.map(pending);
        Ok(())
    }

    /// A login goes on, under this name.
    pub(super) fn audit_claim(&mut self, user: &[u8]) {
        if self.config.audit.is_some() {
            self.audited.login.get_or_insert_default().claimed = Some(user.to_vec());
        }
    }

    /// The client reads this error.
    pub(super) fn audit_error(&mut self, error: &Error) {
        let changes = |pending: &Pending| pending.what == What::ChangeUser;
        let logs_in = !self.audited.connected || self.audited.pending.as_deref().is_some_and(changes);
        if logs_in && self.config.audit.is_some() {
            let message = Some(error.message.clone());
            let refusal = Refusal { code: error.code, sqlstate: error.sqlstate, message };
            self.audited.login.get_or_insert_default().refusal = Some(refusal);
        }
    }

    /// It is about to be told that it is in.
    ///
    /// # Errors
    /// When it must not be, because that could not be logged.
    pub(super) fn audit_login(&mut self) -> Result<(), Error> {
        if self.audited.connected {
            return Ok(());
        }
        if let Some(audit) = self.config.audit.clone().filter(|audit| audit.wants_connections_of(&self.user))
            && let Some(place) = audit.take(0)?
        {
            let schema = self.state.schema().map(<[u8]>::to_vec);
            let line = Line { schema, ..self.line(What::Connect, place) };
            self.events.push_back(Event::Audited(Box::new(line)));
        }
        (self.audited.connected, self.audited.login) = (true, None);
        Ok(())
    }

    /// The statement under way has come to this, or there was none.
    pub(super) fn audit_ended(&mut self, ended: Option<&Event>) {
        let Some(pending) = self.audited.pending.take() else { return };
        let (Some(Event::Ended(outcome, trace)), Some(audit)) = (ended, self.config.audit.clone()) else { return };
        let Pending { what, sorts, told, schema, before, place } = *pending;
        let login = self.audited.login.take().filter(|_| what == What::ChangeUser).unwrap_or_default();
        // Nothing has run of what was only prepared.
        let is_told = match &before {
            None => what != What::Prepare || outcome.verdict != Verdict::Ok,
            Some(before) => [Some(before), Some(&self.user), login.claimed.as_ref()]
                .into_iter()
                .flatten()
                .any(|user| audit.wants_connections_of(user)),
        };
        if !is_told {
            return;
        }
        let (tablet, error) = self.tally.last();
        let ran_on = outcome.server.map(|role| (self.view.get(tablet).map(|tablet| tablet.alias.clone()), role));
        let line = Line {
            user: login.claimed.unwrap_or_else(|| self.user.clone()),
            before,
            schema,
            sorts,
            told,
            ran_on,
            result: if login.refusal.is_some() { Verdict::Refused.name() } else { outcome.verdict.name() },
            error: login.refusal.or_else(|| error.map(|(code, sqlstate)| Refusal { code, sqlstate, message: None })),
            rows_sent: outcome.rows_sent,
            rows_affected: outcome.rows_affected,
            took: outcome.took,
            trace: trace.as_ref().map(|trace| trace.context.trace),
            ..self.line(what, place)
        };
        self.events.push_back(Event::Audited(Box::new(line)));
    }

    /// The session ends. Who has said nothing and gone, as those do who look whether a port is open, is no event.
    pub(super) fn audit_end(&mut self, reason: Reason) {
        if std::mem::replace(&mut self.audited.ended, true) {
            return;
        }
        let Some(audit) = self.config.audit.clone() else { return };
        if self.audited.connected {
            if audit.wants_connections_of(&self.user)
                && let Some(place) = audit.take_for_end()
            {
                let line = Line { reason: Some(reason), ..self.line(What::Disconnect, place) };
                self.events.push_back(Event::Audited(Box::new(line)));
            }
            return;
        }
        let login = self.audited.login.take().unwrap_or_default();
        let was_nobody = login.claimed.is_none() && reason == Reason::ClientGone;
        if audit.rules().events.connections
            && !was_nobody
            && let Some(place) = audit.take_if_possible(0)
        {
            let line = Line {
                user: login.claimed.unwrap_or_default(),
                result: Verdict::Refused.name(),
                error: login.refusal,
                reason: Some(reason),
                ..self.line(What::Connect, place)
            };
            self.events.push_back(Event::Audited(Box::new(line)));
        }
    }

    /// A line about this client.
    fn line(&self, what: What, place: Place) -> Line {
        let tls = self.peer.transport == Transport::Tls;
        Line { user: self.user.clone(), tls, ..Line::new(what, self.peer.id, self.peer.host.clone(), place) }
    }
}
