//! The life of a request: its prefix, the command, what is asked after it, and how it ends.

use super::flight::Purpose;
use super::infile::FileRelay;
use super::tracked::Reported;
use super::{BackendConn, CloseReason, Life, TimerCause, settings};
use crate::error::{Component, Effect, Error, Kind};
use crate::link::{ClientFormat, Command, Digesting, Ended, Left, Progress, Reply, Request, Statement};
use crate::mutants::Mutant;
use crate::mysql::ProtocolError;
use crate::mysql::capability::StatusFlags;
use crate::mysql::command::ClientCommand;
use crate::mysql::execute;
use crate::mysql::frame::{MAX_PAYLOAD_BYTES, write_packet, write_with};
use crate::mysql::packet::OkPacket;
use crate::mysql::reply::Shape;
use crate::time::Instant;
use std::sync::Arc;

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) request: Request,
    /// When all of it must have been answered.
    pub(super) deadline: Option<(Instant, TimerCause)>,
    /// The id that the client expects an answer to start with: that after its command's last packet.
    answer_sequence: u8,
    pub(super) stage: Stage,
    /// The command is in the next write, or was sent.
    written: bool,
    /// The command was given to the transport.
    handed_over: bool,
    /// Why the command's answer is not what the client gets.
    pub(super) failure: Option<Failure>,
    /// Something of the answer was passed on.
    begun: bool,
    /// The server's error, when the answer ended with one.
    pub(super) error: bool,
    /// The answer told of warnings.
    pub(super) warned: bool,
    /// What the server said that the command left.
    pub(super) left: Left,
    /// Trackers have something to say since the answer's last OK, which nothing of it had room for.
    untold: bool,
    /// The end of the answer's rows, held back until that is known.
    pub(super) held_end: Option<HeldEnd>,
    /// Settings that the answer reported as changed.
    pub(super) reported: Reported,
    /// The command is a plain SET: what it was reported to change has changed for good.
    pub(super) plain_set: bool,
    /// The server's id of the statement that the command prepared.
    prepared: Option<u32>,
    /// The statement turned out to be gone.
    gone: Gone,
    /// The client's file on its way to the server.
    pub(super) file: Option<FileRelay>,
    /// The sum over what was forwarded, when it is asked for.
    pub(super) digesting: Option<Box<Digesting>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What must be true first is being made true.
    Prefix,
    /// The command's answer is due.
    Command,
    /// The client has its answer; what trackers left out is being asked.
    After,
}

/// Whether a server has said that it does not know a statement that the connection believed it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    No,
    /// It has just said so: the statement is prepared again.
    Now,
    /// It said so once. A second time is for the client.
    Before,
}

/// [`Reply::Ok`] of an end of rows.
#[derive(Debug)]
pub(super) struct HeldEnd {
    pub(super) seq: u8,
    pub(super) rows: u64,
    pub(super) ok: OkPacket,
}

/// Why a command is not run, or its answer thrown away.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused what the command needs: the client reads the server's error.
    Refused(Error),
    /// The position was not reached.
    WaitTimedOut,
    /// The connection cannot be brought to a known state.
    Unsettled(Error),
}

impl Busy {
    pub(super) fn new(request: Request, deadline: Option<(Instant, TimerCause)>) -> Self {
        let payload_bytes = match &request.command {
            Command::Plain(payload) | Command::Execute { payload, .. } => payload.len(),
            _ => 0,
        };
        Self {
            answer_sequence: (payload_bytes / MAX_PAYLOAD_BYTES + 1) as u8,
            digesting: request.digests.then(Box::default),
            request,
            deadline,
            stage: Stage::Prefix,
            written: false,
            handed_over: false,
            failure: None,
            begun: false,
            error: false,
            warned: false,
            left: Left::default(),
            untold: false,
            held_end: None,
            reported: Reported::new(),
            plain_set: false,
            prepared: None,
            gone: Gone::No,
            file: None,
        }
    }

    /// The statement to execute.
    fn executes(&self) -> Option<&Arc<Statement>> {
        match &self.request.command {
            Command::Execute { statement, .. } => Some(statement),
            _ => None,
        }
    }

    fn asks_for_cursor(&self) -> bool {
        matches!(&self.request.command, Command::Execute { payload, bulk: false, .. } if execute::asks_for_cursor(payload))
    }

    /// The command can be sent before it is known that its answer is wanted.
    fn may_be_in_vain(&self) -> bool {
        let command = &self.request.command;
        self.request.read_only && matches!(command, Command::Plain(_) | Command::Prepare(_) | Command::Execute { .. })
    }

    /// Notes whether an OK leaves something untold; true when it is the end of rows that must wait for it.
    fn leaves_untold(&mut self, ok: &OkPacket, ends_rows: bool) -> bool {
        let has = |flag: StatusFlags| ok.status & flag.bits() != 0;
        self.untold &= ok.session_state.is_empty();
        self.untold |= ends_rows && has(StatusFlags::SERVER_SESSION_STATE_CHANGED) && ok.session_state.is_empty();
        let writes = !self.request.read_only && !matches!(self.request.command, Command::Fetch { .. });
        self.untold && ends_rows && writes && !has(StatusFlags::SERVER_MORE_RESULTS_EXISTS)
    }

    pub(super) fn client(&self) -> ClientFormat {
        self.request.client
    }

    /// What is waiting to be sent is now the transport's.
    pub(super) fn handed_over(&mut self) {
        self.handed_over |= self.written;
    }

    /// How far it has come, for when the connection is lost.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            read_only: self.request.read_only,
            handed_over: self.handed_over,
            begun: self.begun,
            answered: self.stage == Stage::After && self.held_end.is_none(),
        }
    }
}

impl BackendConn {
    pub(super) fn busy(&mut self) -> Option<&mut Busy> {
        if let Life::Busy(busy) = &mut self.life { Some(busy) } else { None }
    }

    /// Sends the prefix, and the command behind it when it may be sent in vain.
    pub(super) fn begin(&mut self) {
        let Life::Busy(busy) = &self.life else { return };
        let to_prepare = busy.executes().filter(|statement| !self.statements.holds(statement)).cloned();
        let in_vain = busy.may_be_in_vain() && to_prepare.is_none();
        match self.send_prefix(to_prepare) {
            Err(failure) => self.give_up(failure),
            Ok(()) if in_vain || self.flight.is_empty() => self.send_command(),
            Ok(()) => {}
        }
    }

    pub(super) fn send_command(&mut self) {
        let Life::Busy(busy) = &mut self.life else { return };
        busy.written = true;
        if self.flight.is_empty() {
            busy.stage = Stage::Command;
            self.tracked.share(&busy.request.settings);
        }
        match &mut busy.request.command {
            Command::Plain(payload) => {
                let payload = core::mem::take(payload);
                busy.plain_set = payload.split_first().is_some_and(|(_, sql)| settings::is_plain_set(sql));
                let mut sequence = 0;
                write_packet(&mut self.out, &mut sequence, &payload);
                self.flight.expect_command(shape(&payload), sequence);
            }
            Command::Prepare(statement) => {
                let statement = Arc::clone(statement);
                let sequence = self.command(&ClientCommand::Prepare(&statement.sql));
                self.flight.expect_command(Shape::Prepare, sequence);
            }
            Command::Execute { .. } => self.send_execute(),
            Command::Fetch { statement, rows } => match self.statements.id(statement) {
                Some(statement_id) => {
                    let rows = *rows;
                    let sequence = self.command(&ClientCommand::Fetch { statement_id, rows });
                    self.flight.expect_command(Shape::Rows, sequence);
                }
                None => self.refuse(Error::new(
                    Component::Tablet,
                    Kind::UnknownStatement,
                    "weir-tablet: the prepared statement is not on this connection any more",
                )),
            },
            Command::ResetStatement(statement) => match self.statements.id(statement) {
                Some(statement_id) => {
                    let sequence = self.command(&ClientCommand::ResetStatement { statement_id });
                    self.flight.expect_command(Shape::Simple, sequence);
                }
                None => {
                    // What is not held has nothing to reset.
                    let ok = OkPacket { status: self.tracked.status(), ..OkPacket::default() };
                    self.replies.push(Reply::Ok { seq: 1, ends_rows: false, rows: 0, ok });
                    self.conclude(Ended::Answered);
                }
            },
            Command::ResetConnection => {
                let sequence = self.command(&ClientCommand::ResetConnection);
                self.flight.expect_command(Shape::Simple, sequence);
                self.set_up();
            }
        }
    }

    fn send_execute(&mut self) {
        let Life::Busy(busy) = &self.life else { return };
        let Command::Execute { statement, payload: body, long_data, bulk } = &busy.request.command else { return };
        let Some(mut statement_id) = self.statements.id(statement) else {
            debug_assert!(false, "prepared just before");
            return;
        };
        if self.config.mutants.breaks(Mutant::WrongStatement) {
            statement_id = 1;
        }
        let out = &mut self.out;
        for chunk in long_data {
            let command = ClientCommand::SendLongData { statement_id, parameter: chunk.parameter, data: &chunk.data };
            write_with(out, &mut 0, |payload| command.encode(payload));
        }
        let mut sequence = 0;
        let command = match bulk {
            false => ClientCommand::Execute { statement_id, body },
            true => ClientCommand::BulkExecute { statement_id, body },
        };
        write_with(out, &mut sequence, |packet| command.encode(packet));
        let shape = if busy.asks_for_cursor() { Shape::Cursor } else { Shape::Results };
        self.flight.expect_command(shape, sequence);
    }

    /// Pieces of the command's answer: to the client, or to nobody when the prefix failed.
    pub(super) fn route(&mut self, file: Option<u8>) -> Result<(), ProtocolError> {
        let untracked = self.rows_end_untracked();
        let Life::Busy(busy) = &mut self.life else { return Ok(()) };
        let in_vain = busy.failure.is_some();
        match file {
            Some(_) if in_vain => return Err(ProtocolError::Malformed("unasked file request")),
            Some(shift) if busy.file.is_none() => busy.file = Some(FileRelay::new(shift)),
            Some(_) => {}
            None => busy.file = None,
        }
        while let Some(piece) = self.step.pop() {
            let mut waits = false;
            match &piece {
                Reply::Ok { ok, ends_rows, .. } => {
                    waits = untracked && busy.leaves_untold(ok, *ends_rows);
                    let reported = self.tracked.absorb(ok, busy.request.restores_variables)?;
                    busy.reported.extend(reported);
                    busy.warned |= ok.warnings > 0;
                    if let Some(statement) = busy.executes() {
                        let open = busy.asks_for_cursor() && execute::got_cursor(ok.status);
                        self.statements.set_cursor(statement, open);
                    } else if let Command::Fetch { statement, .. } = &busy.request.command {
                        self.statements.set_cursor(statement, !ends_cursor(ok));
                    }
                }
                Reply::Err { error, .. } => {
                    busy.error = true;
                    if busy.executes().is_some() && is_gone(error) && busy.gone == Gone::No && !busy.begun {
                        busy.gone = Gone::Now;
                        continue;
                    }
                }
                Reply::PrepareOk { ok, .. } => {
                    busy.prepared = Some(ok.statement_id);
                    busy.warned |= ok.warnings > 0;
                }
                _ => {}
            }
            match piece {
                Reply::Skip { len } => self.replies.skip(len),
                Reply::Forward { len } if in_vain => self.replies.skip(len),
                _ if in_vain => {}
                Reply::Ok { seq, rows, ok, .. } if waits => busy.held_end = Some(HeldEnd { seq, rows, ok }),
                Reply::Forward { len } => {
                    busy.begun = true;
                    self.replies.forward(len);
                }
                piece @ Reply::Between { .. } => self.replies.push(piece),
                piece => {
                    busy.begun = true;
                    self.replies.push(piece);
                }
            }
        }
        Ok(())
    }

    /// The answer that was due is complete.
    pub(super) fn answered(&mut self) {
        let Some((purpose, heard)) = self.flight.finish() else { return };
        if let Some(ok) = &heard.ok {
            self.tracked.absorb_own(ok);
        }
        match purpose {
            Purpose::Setup => self.set_up_done(heard.error),
            Purpose::Command => self.command_answered(),
            Purpose::AskCounts => self.counts_told(heard),
            Purpose::AskConditions => self.conditions_told(&heard),
            Purpose::AskTrackers => self.trackers_told(heard),
            Purpose::ReportsAfter => self.reports_settled(&heard),
            Purpose::AskVariables(names) => self.variables_told(&names, &heard),
            purpose => {
                if let Err(failure) = self.prefix_answered(purpose, heard) {
                    self.note(failure);
                }
                self.after_prefix();
            }
        }
    }

    fn command_answered(&mut self) {
        let Life::Busy(busy) = &mut self.life else { return };
        if let Command::Prepare(statement) = &busy.request.command {
            let (statement, id) = (Arc::clone(statement), busy.prepared);
            self.keep_prepared(statement, id);
        }
        let Life::Busy(busy) = &mut self.life else { return };
        if let Some(failure) = busy.failure.take() {
            return self.conclude_failed(failure);
        }
        if busy.gone == Gone::Now {
            return self.prepare_again();
        }
        busy.stage = Stage::After;
        if matches!(busy.request.command, Command::ResetConnection) {
            // The answer to the setup is still due.
            if !busy.error {
                self.statements.clear();
                self.tracked.reset();
            }
            return;
        }
        self.ask_what_the_answer_left_out();
        if self.flight.is_empty() {
            self.conclude(Ended::Answered);
        }
    }

    fn prepare_again(&mut self) {
        let Life::Busy(busy) = &mut self.life else { return };
        (busy.gone, busy.error, busy.stage) = (Gone::Before, false, Stage::Prefix);
        (busy.written, busy.handed_over) = (false, false);
        if let Some(statement) = busy.executes() {
            self.statements.forget(statement);
        }
        self.begin();
    }

    /// Remembers the first failure; what follows from it comes when the answers that are due have come.
    pub(super) fn note(&mut self, failure: Failure) {
        if let Some(busy) = self.busy() {
            busy.failure.get_or_insert(failure);
        }
    }

    /// The command will not be sent.
    fn give_up(&mut self, failure: Failure) {
        if self.flight.is_empty() {
            self.conclude_failed(failure);
        } else {
            self.note(failure);
        }
    }

    pub(super) fn conclude_failed(&mut self, failure: Failure) {
        match failure {
            Failure::Refused(error) => self.refuse(error),
            Failure::WaitTimedOut => self.conclude(Ended::WaitTimedOut),
            Failure::Unsettled(error) => {
                self.conclude(Ended::Failed(error.clone().with_effect(Effect::None)));
                self.close_because(CloseReason::Unsettled(error));
            }
        }
    }

    /// The client reads an error in place of the command's answer.
    fn refuse(&mut self, error: Error) {
        let seq = self.busy().map_or(1, |busy| busy.answer_sequence);
        self.replies.push(Reply::Err { seq, error });
        self.conclude(Ended::Answered);
    }

    pub(super) fn conclude(&mut self, ended: Ended) {
        debug_assert!(self.flight.is_empty(), "answers are due");
        if let Some(busy) = self.busy() {
            let (left, digesting) = (core::mem::take(&mut busy.left), busy.digesting.take());
            if left != Left::default() {
                self.replies.push(Reply::Left(left));
            }
            if let Some(digesting) = digesting {
                self.replies.push(Reply::Digest(digesting.finish()));
            }
        }
        self.replies.push(Reply::End(ended));
        self.life = Life::Idle;
        self.timer = None;
    }
}

/// The server does not know the statement.
fn is_gone(error: &Error) -> bool {
    error.code == Kind::UnknownStatement.code().0
}

fn ends_cursor(ok: &OkPacket) -> bool {
    ok.status & StatusFlags::SERVER_STATUS_LAST_ROW_SENT.bits() != 0
}

/// The shape of the answer to a command that is passed on as it stands.
fn shape(payload: &[u8]) -> Shape {
    match ClientCommand::parse(payload) {
        Ok(ClientCommand::Query(_) | ClientCommand::ProcessInfo) => Shape::Results,
        Ok(ClientCommand::FieldList { .. }) => Shape::Rows,
        Ok(ClientCommand::Statistics) => Shape::Text,
        _ => Shape::Simple,
    }
}
