//! The life of one request: what it needs first, the command, and what came of them.
//!
//! A request goes through [`Stage`]s. Each stage sends all it can at once, and the next one begins when every answer has
//! come. The first failure ends the request once the answers that are due have been swallowed.

use super::flight::Purpose;
use super::infile::FileRelay;
use super::settings::set_statement;
use super::{BackendConn, Life, SET_BYTES_MAX, wait};
use crate::error::{Component, Effect, Error, Kind};
use crate::link::{Command, Ended, LongData, Reply, Request, Settings, Statement};
use crate::mysql::command::ClientCommand;
use crate::mysql::execute::CURSOR_READ_ONLY;
use crate::mysql::reply::Shape;
use std::sync::Arc;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The settings that the statement was prepared under.
    StatementSettings,
    /// The statement is prepared.
    Prepare,
    /// The settings that the session wants, and the position; a read's command with them.
    Settings,
    /// The command.
    Command,
    /// Trackers are turned on again after a reset, or the state is asked for after an error.
    Aftermath,
    /// Nothing is left to do.
    Done,
}

/// What kept a command from being executed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server would not make the connection ready: its own words are the answer.
    Server(Error),
    /// The position was not reached in time.
    Wait,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) request: Request,
    pub(super) stage: Stage,
    pub(super) failure: Option<Failure>,
    /// The command has been written.
    pub(super) sent: bool,
    /// It has been handed to the transport.
    handed_over: bool,
    /// Some of its answer has been passed on.
    pub(super) answered: bool,
    /// Its answer was an error, after which a server does not tell its state.
    pub(super) ask_status: bool,
    /// The server did not know a statement that it had prepared: once, it is prepared anew.
    pub(super) prepared_anew: bool,
    /// The client's file, while the server reads it.
    pub(super) file: Option<FileRelay>,
    /// What is kept of an answer that is not for the client.
    pub(super) heard: Vec<u8>,
}

impl Busy {
    pub(super) fn new(request: Request) -> Self {
        Self {
            request,
            stage: Stage::StatementSettings,
            failure: None,
            sent: false,
            handed_over: false,
            answered: false,
            ask_status: false,
            prepared_anew: false,
            file: None,
            heard: Vec::new(),
        }
    }

    pub(super) fn handed_over(&mut self) {
        self.handed_over |= self.sent;
    }

    /// The connection broke: what is known of the command.
    pub(super) fn ended_by_loss(&self, error: impl FnOnce(&str, Effect) -> Error) -> Ended {
        let harmless = self.request.read_only || !self.handed_over;
        Ended::Failed(if harmless {
            error("broke; nothing was changed, and a retry is safe", Effect::None)
        } else {
            error("broke while the statement ran; whether it was executed is not known", Effect::Unknown)
        })
    }

    /// The statement to execute, when the connection must hold it.
    fn executes(&self) -> Option<&Arc<Statement>> {
        match &self.request.command {
            Command::Execute { statement, .. } => Some(statement),
            _ => None,
        }
    }
}

impl BackendConn {
    /// Goes through the stages until answers are due, or the request is over.
    pub(super) fn advance(&mut self) {
        while self.flight.is_empty() {
            let Life::Busy(busy) = &mut self.life else { return };
            if busy.failure.is_some() && busy.stage < Stage::Aftermath {
                busy.stage = Stage::Done;
            }
            match busy.stage {
                Stage::StatementSettings => self.wish_statement_settings(),
                Stage::Prepare => self.prepare(),
                Stage::Settings => self.wish_settings(),
                Stage::Command => self.send_command(),
                Stage::Aftermath => self.clear_up(),
                Stage::Done => return self.finish(),
            }
        }
    }

    fn enter(&mut self, stage: Stage) {
        if let Life::Busy(busy) = &mut self.life {
            busy.stage = stage;
        }
    }

    /// A statement that the connection does not hold is prepared under the settings that it was first prepared under.
    fn wish_statement_settings(&mut self) {
        let Life::Busy(busy) = &self.life else { return };
        let missing = busy.executes().filter(|statement| !self.statements.holds(statement));
        match missing.map(|statement| Arc::clone(&statement.settings)) {
            Some(settings) => {
                self.enter(Stage::Prepare);
                self.wish(&settings);
            }
            None => self.enter(Stage::Settings),
        }
    }

    fn prepare(&mut self) {
        let Life::Busy(busy) = &self.life else { return };
        let Some(statement) = busy.executes().map(Arc::clone) else { return };
        self.enter(Stage::Settings);
        if self.make_room() {
            self.ask(&ClientCommand::Prepare(&statement.sql), Purpose::Prepare);
        }
    }

    /// Closes a statement when there are too many. False when none can be closed: the request has failed then.
    fn make_room(&mut self) -> bool {
        match self.statements.make_room() {
            Ok(None) => true,
            Ok(Some(id)) => {
                self.command(&ClientCommand::CloseStatement { statement_id: id });
                true
            }
            Err(_) => {
                let message = "weir-tablet: every prepared statement that this connection can keep has an open cursor";
                self.fail(Failure::Server(Error::new(Component::Tablet, Kind::TooManyStatements, message)));
                false
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        if let Life::Busy(busy) = &mut self.life {
            busy.failure.get_or_insert(failure);
        }
    }

    /// A read's command is sent along; one that may write waits until all is as it should be.
    fn wish_settings(&mut self) {
        let Life::Busy(busy) = &self.life else { return };
        let settings = Arc::clone(&busy.request.settings);
        let (insert_id, wait) = (busy.request.last_insert_id, busy.request.wait.clone());
        let read_only = busy.request.read_only;
        self.enter(Stage::Command);
        self.wish(&settings);
        if let Some(id) = insert_id {
            let sql = format!("SET last_insert_id={id}");
            self.ask(&ClientCommand::Query(sql.as_bytes()), Purpose::InsertId);
        }
        if let Some(wait) = wait {
            self.ask(&ClientCommand::Query(&wait::query(&wait)), Purpose::Wait);
        }
        if read_only || self.flight.is_empty() {
            self.send_command();
        }
    }

    /// Asks for these settings, as far as they do not hold.
    fn wish(&mut self, wished: &Arc<Settings>) {
        if self.tracked.share(wished) {
            return;
        }
        let current = Arc::clone(self.tracked.settings());
        match &wished.schema {
            Some(schema) if current.schema.as_ref() != Some(schema) => {
                self.ask(&ClientCommand::InitDb(schema), Purpose::Schema);
                self.wished_schema = Some(schema.clone());
            }
            // A statement that names no schema finds the session's own; the pool keeps connections without one apart.
            _ => {}
        }
        if let Some(sql) = set_statement(&current, wished) {
            if sql.len() > SET_BYTES_MAX {
                let message = "weir-tablet: the session's variables are too many to be set on another connection";
                return self.fail(Failure::Server(Error::new(Component::Tablet, Kind::PacketTooLarge, message)));
            }
            self.ask(&ClientCommand::Query(&sql), Purpose::Variables);
            self.wished_variables = Some(Arc::clone(wished));
        }
    }

    fn send_command(&mut self) {
        let Life::Busy(busy) = &mut self.life else { return };
        busy.stage = Stage::Aftermath;
        busy.sent = true;
        let command = busy.request.command.clone();
        match command {
            Command::Plain(payload) => self.ask_plain(&payload),
            Command::Prepare(statement) => {
                self.ask(&ClientCommand::Prepare(&statement.sql), Purpose::Command(Shape::Prepare))
            }
            Command::Execute { statement, payload, long_data } => self.execute(&statement, &payload, &long_data),
            Command::Fetch { statement, rows } => {
                let fetch = |statement_id| ClientCommand::Fetch { statement_id, rows };
                self.ask_about(&statement, Shape::Rows, fetch);
            }
            Command::ResetStatement(statement) => {
                let reset = |statement_id| ClientCommand::ResetStatement { statement_id };
                self.ask_about(&statement, Shape::Simple, reset);
                self.statements.set_cursor(&statement, false);
            }
            Command::ResetConnection => self.ask(&ClientCommand::ResetConnection, Purpose::Command(Shape::Simple)),
        }
    }

    fn ask_plain(&mut self, payload: &[u8]) {
        let shape = match ClientCommand::parse(payload) {
            Ok(ClientCommand::Query(_)) => Shape::Results,
            Ok(ClientCommand::FieldList { .. }) => Shape::Rows,
            Ok(ClientCommand::Statistics) => Shape::Text,
            _ => Shape::Simple,
        };
        let mut sequence = 0;
        crate::mysql::frame::write_packet(&mut self.out, &mut sequence, payload);
        self.flight.expect(Purpose::Command(shape), sequence);
    }

    fn execute(&mut self, statement: &Statement, payload: &[u8], long_data: &[LongData]) {
        let Some(statement_id) = self.statements.id(statement) else {
            debug_assert!(false, "a statement is prepared before it is executed");
            return;
        };
        for LongData { parameter, data } in long_data {
            self.command(&ClientCommand::SendLongData { statement_id, parameter: *parameter, data });
        }
        self.ask(&ClientCommand::Execute { statement_id, body: payload }, Purpose::Command(Shape::Results));
        let cursor = payload.first().is_some_and(|flags| flags & CURSOR_READ_ONLY != 0);
        self.statements.set_cursor(statement, cursor);
    }

    /// A command about a statement whose cursor is on this connection; without one it has lost its sense.
    fn ask_about<'a>(&mut self, statement: &Statement, shape: Shape, command: impl FnOnce(u32) -> ClientCommand<'a>) {
        match self.statements.id(statement) {
            Some(id) => self.ask(&command(id), Purpose::Command(shape)),
            None => {
                let message = "weir-tablet: the prepared statement is not on this connection any more";
                self.fail(Failure::Server(Error::new(Component::Tablet, Kind::UnknownStatement, message)));
                self.enter(Stage::Done);
            }
        }
    }

    /// What the server must be asked or told after the answer.
    fn clear_up(&mut self) {
        let Life::Busy(busy) = &mut self.life else { return };
        let reset = matches!(busy.request.command, Command::ResetConnection);
        let ask_status = core::mem::take(&mut busy.ask_status);
        busy.stage = Stage::Done;
        if reset {
            self.set_up();
        } else if ask_status {
            self.ask(&ClientCommand::Ping, Purpose::Status);
        }
    }

    fn finish(&mut self) {
        let Life::Busy(mut busy) = core::mem::replace(&mut self.life, Life::Idle) else { return };
        self.timer = None;
        let ended = match busy.failure.take() {
            None => Ended::Answered,
            Some(Failure::Wait) => Ended::WaitTimedOut,
            Some(Failure::Server(error)) => {
                self.replies.push(Reply::Err { seq: 1, error });
                Ended::Answered
            }
        };
        self.replies.push(Reply::End(ended));
    }

    /// Turns on what lets the server say what changes in its session.
    pub(super) fn set_up(&mut self) {
        if !self.tracks_session() {
            return;
        }
        let mut sql =
            b"SET session_track_schema=1,session_track_system_variables='*',session_track_state_change=0".to_vec();
        if self.server.as_ref().is_some_and(|server| !server.is_mariadb()) {
            sql.extend_from_slice(b",session_track_gtids='OWN_GTID'");
        }
        self.ask(&ClientCommand::Query(&sql), Purpose::SetUp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::ClientFormat;

    fn busy(read_only: bool) -> Busy {
        Busy::new(Request {
            settings: Arc::default(),
            last_insert_id: None,
            command: Command::Plain(b"\x03DO 1".to_vec()),
            read_only,
            restores_variables: false,
            wait: None,
            client: ClientFormat { deprecate_eof: true },
        })
    }

    #[test]
    fn only_a_write_that_was_handed_over_is_of_unknown_outcome() {
        let effect = |busy: &Busy| match busy
            .ended_by_loss(|what, effect| Error::new(Component::Tablet, Kind::ServerLost, what).with_effect(effect))
        {
            Ended::Failed(error) => error.effect,
            other => panic!("{other:?}"),
        };
        let mut write = busy(false);
        write.handed_over();
        assert_eq!(effect(&write), Effect::None);
        write.sent = true;
        assert_eq!(effect(&write), Effect::None, "it is still in our own buffer");
        write.handed_over();
        assert_eq!(effect(&write), Effect::Unknown);
        let mut read = busy(true);
        read.sent = true;
        read.handed_over();
        assert_eq!(effect(&read), Effect::None);
    }
}
