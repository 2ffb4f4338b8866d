//! The server's bytes: whose they are, and what they say.

use super::flight::Purpose;
use super::infile::FileRelay;
use super::request::{Failure, Stage};
use super::{BackendConn, CloseReason, Event, HEARD_BYTES_MAX, Life, wait};
use crate::error::{Effect, Error};
use crate::link::{ClientFormat, Command, Reply};
use crate::mysql::ProtocolError;
use crate::mysql::capability::StatusFlags;
use crate::mysql::frame::{FrameHeader, HEADER_BYTES};
use crate::mysql::handshake::ClientEvent;
use crate::mysql::packet::{self, OkPacket, PrepareOk};
use std::sync::Arc;

/// ER_UNKNOWN_STMT_HANDLER.
const UNKNOWN_STATEMENT: u16 = 1243;
/// Weir's own commands are answered in this format.
const OWN_FORMAT: ClientFormat = ClientFormat { deprecate_eof: true };

impl BackendConn {
    pub(super) fn handshake_bytes(&mut self, input: &mut [u8]) -> usize {
        let Life::Connecting(handshake) = &mut self.life else { return 0 };
        let taken = handshake.handle_bytes(input);
        self.poll_handshake();
        if taken == 0 && matches!(self.life, Life::Connecting(_)) {
            // It waits for the driver, and a server that speaks meanwhile breaks the protocol.
            self.fail_protocol(ProtocolError::Malformed("handshake"));
        }
        self.replies.skip(taken);
        taken
    }

    pub(super) fn poll_handshake(&mut self) {
        while let Life::Connecting(handshake) = &mut self.life {
            handshake.poll_transmit(&mut self.out);
            match handshake.poll_event() {
                None => return,
                Some(ClientEvent::StartTls) => self.events.push_back(Event::StartTls),
                Some(ClientEvent::EncryptRsa { pem, plaintext }) => {
                    self.events.push_back(Event::EncryptRsa { pem, plaintext });
                }
                Some(ClientEvent::Failed(error)) => self.close_because(CloseReason::Refused(error)),
                Some(ClientEvent::Ready(server)) => {
                    self.tracked.absorb(&server.ok);
                    self.server = Some(server);
                    self.life = Life::SettingUp;
                    self.set_up();
                    self.ready_if_set_up();
                }
            }
        }
    }

    fn ready_if_set_up(&mut self) {
        if matches!(self.life, Life::SettingUp) && self.flight.is_empty() {
            self.life = Life::Idle;
            self.timer = None;
            self.events.push_back(Event::Ready);
        }
    }

    /// Bytes of an answer that is due.
    pub(super) fn answer_bytes(&mut self, input: &mut [u8]) -> usize {
        let (capabilities, status) = (self.capabilities(), self.tracked.status());
        let client = match &self.life {
            Life::Busy(busy) => busy.request.client,
            _ => OWN_FORMAT,
        };
        let Some((purpose, walker)) = self.flight.front(capabilities, client, status) else {
            // Everything asked has been answered.
            return self.unasked_bytes(input);
        };
        let taken = match walker.walk(input, &mut self.step) {
            Ok(taken) => taken,
            Err(error) => {
                self.step = crate::mysql::reply::Pieces::default();
                self.fail_protocol(error);
                return self.skip_all(input);
            }
        };
        let (done, file_shift) = (walker.is_done(), walker.awaits_file().then(|| walker.shift()));
        self.pass_on(purpose, &input[..taken]);
        if let (Life::Busy(busy), Some(shift)) = (&mut self.life, file_shift) {
            busy.file.get_or_insert_with(|| FileRelay::new(shift));
        }
        if done {
            self.flight.answered();
            self.answered(purpose);
        }
        taken
    }

    /// Passes the pieces of one step on, or swallows them.
    fn pass_on(&mut self, purpose: Purpose, bytes: &[u8]) {
        let mut at = 0;
        while let Some(piece) = self.step.pop() {
            let relays = self.relays(purpose);
            match piece {
                Reply::Forward { len } => {
                    if relays {
                        self.mark_answered();
                        self.replies.forward(len);
                    } else {
                        self.hear(purpose, &bytes[at..at + len]);
                        self.replies.skip(len);
                    }
                    at += len;
                }
                Reply::Skip { len } => {
                    self.replies.skip(len);
                    at += len;
                }
                Reply::Own(own) if relays => {
                    self.mark_answered();
                    self.replies.push(Reply::Own(own));
                }
                Reply::Own(own) => self.hear(purpose, &own),
                Reply::Ok { seq, ends_rows, rows, ok } => {
                    self.on_ok(purpose, &ok);
                    if relays {
                        self.mark_answered();
                        self.replies.push(Reply::Ok { seq, ends_rows, rows, ok });
                    }
                }
                Reply::Err { seq, error } => self.on_err(purpose, seq, error, relays),
                Reply::PrepareOk { seq, ok } => {
                    self.on_prepared(purpose, ok);
                    if relays {
                        self.mark_answered();
                        self.replies.push(Reply::PrepareOk { seq, ok });
                    }
                }
                Reply::LocalInfile { seq, filename } if relays => {
                    self.mark_answered();
                    self.replies.push(Reply::LocalInfile { seq, filename });
                }
                Reply::LocalInfile { .. } | Reply::Tracked(_) | Reply::End(_) => {}
            }
        }
    }

    /// The answer is the client's, and nothing has made it void.
    fn relays(&self, purpose: Purpose) -> bool {
        matches!(purpose, Purpose::Command(_)) && matches!(&self.life, Life::Busy(busy) if busy.failure.is_none())
    }

    fn mark_answered(&mut self) {
        if let Life::Busy(busy) = &mut self.life {
            busy.answered = true;
        }
    }

    /// Keeps the rows of the answer to a wait.
    fn hear(&mut self, purpose: Purpose, bytes: &[u8]) {
        if let Life::Busy(busy) = &mut self.life
            && purpose == Purpose::Wait
            && busy.heard.len() + bytes.len() <= HEARD_BYTES_MAX
        {
            busy.heard.extend_from_slice(bytes);
        }
    }

    fn on_ok(&mut self, purpose: Purpose, ok: &OkPacket) {
        match purpose {
            Purpose::Variables => match self.wished_variables.take() {
                Some(wished) => self.tracked.set_variables(&wished, ok.status),
                None => self.tracked.absorb(ok),
            },
            Purpose::Schema => {
                self.tracked.absorb(ok);
                if let Some(schema) = self.wished_schema.take() {
                    self.tracked.set_schema(&schema);
                }
            }
            Purpose::Status => {
                self.tracked.absorb(ok);
                self.replies.push(Reply::Tracked(ok.clone()));
            }
            Purpose::Command(_) => self.on_command_ok(ok),
            _ => self.tracked.absorb(ok),
        }
    }

    fn on_command_ok(&mut self, ok: &OkPacket) {
        let Life::Busy(busy) = &self.life else { return };
        if busy.request.restores_variables {
            self.tracked.absorb_restored(ok);
        } else {
            self.tracked.absorb(ok);
        }
        match &busy.request.command {
            Command::ResetConnection => {
                self.tracked.reset(ok.status);
                self.statements.clear();
            }
            Command::Execute { statement, .. } | Command::Fetch { statement, .. } => {
                let flag = |flag: StatusFlags| ok.status & flag.bits() != 0;
                let open =
                    flag(StatusFlags::SERVER_STATUS_CURSOR_EXISTS) && !flag(StatusFlags::SERVER_STATUS_LAST_ROW_SENT);
                self.statements.set_cursor(statement, open);
            }
            Command::Plain(payload) if payload.first() == Some(&packet_byte_init_db()) => {
                // Servers without trackers do not say so.
                let schema = payload[1..].to_vec();
                self.tracked.set_schema(&schema);
            }
            _ => {}
        }
    }

    fn on_err(&mut self, purpose: Purpose, seq: u8, error: Error, relays: bool) {
        let Life::Busy(busy) = &mut self.life else {
            // The setup was refused.
            return self.close_because(CloseReason::Refused(error));
        };
        match purpose {
            Purpose::Command(_) if relays => {
                let executed = match &busy.request.command {
                    Command::Execute { statement, .. } if error.code == UNKNOWN_STATEMENT && !busy.answered => {
                        Some(statement)
                    }
                    _ => None,
                };
                if let Some(statement) = executed.map(Arc::clone).filter(|_| !busy.prepared_anew) {
                    busy.prepared_anew = true;
                    busy.stage = Stage::StatementSettings;
                    self.statements.forget(&statement);
                    return;
                }
                busy.answered = true;
                busy.ask_status = true;
                self.replies.push(Reply::Err { seq, error });
            }
            Purpose::Command(_) | Purpose::Status => {}
            Purpose::Wait => _ = busy.failure.get_or_insert(Failure::Wait),
            _ => {
                self.wished_schema = None;
                self.wished_variables = None;
                _ = busy.failure.get_or_insert(Failure::Server(error.with_effect(Effect::None)));
            }
        }
    }

    fn on_prepared(&mut self, purpose: Purpose, ok: PrepareOk) {
        let Life::Busy(busy) = &self.life else { return };
        let statement = match &busy.request.command {
            Command::Prepare(statement) | Command::Execute { statement, .. } => Arc::clone(statement),
            _ => return,
        };
        if purpose != Purpose::Prepare {
            // The client's own PREPARE wants the definitions, so it is sent even when the statement is held: the newer one stays.
            if let Some(older) = self.statements.id(&statement) {
                self.statements.forget(&statement);
                self.close_statement(older);
            }
            match self.statements.make_room() {
                Ok(closed) => closed.into_iter().for_each(|id| self.close_statement(id)),
                // No room: the next execute prepares it again, or fails.
                Err(_) => return self.close_statement(ok.statement_id),
            }
        }
        self.statements.insert(statement, ok.statement_id);
    }

    fn close_statement(&mut self, statement_id: u32) {
        self.command(&crate::mysql::command::ClientCommand::CloseStatement { statement_id });
    }

    /// An answer is complete.
    fn answered(&mut self, purpose: Purpose) {
        if let Life::Busy(busy) = &mut self.life {
            if purpose == Purpose::Wait {
                let heard = core::mem::take(&mut busy.heard);
                if !wait::is_reached(&heard, HEARD_BYTES_MAX) {
                    busy.failure.get_or_insert(Failure::Wait);
                }
            }
            if matches!(purpose, Purpose::Command(_)) {
                busy.file = None;
            }
        }
        self.ready_if_set_up();
        self.advance();
    }

    /// A server speaks unasked only to say goodbye.
    pub(super) fn unasked_bytes(&mut self, input: &mut [u8]) -> usize {
        let payload = match FrameHeader::peek(input) {
            Some(header) => input.get(HEADER_BYTES..HEADER_BYTES + header.payload_bytes),
            None => None,
        };
        match payload.map(packet::parse_err) {
            Some(Ok(error)) => self.close_because(CloseReason::Dismissed(error)),
            _ => self.fail_protocol(ProtocolError::Malformed("answer to nothing")),
        }
        self.skip_all(input)
    }

    pub(super) fn skip_all(&mut self, input: &[u8]) -> usize {
        self.replies.skip(input.len());
        input.len()
    }
}

/// COM_INIT_DB.
const fn packet_byte_init_db() -> u8 {
    mysql_common::constants::Command::COM_INIT_DB as u8
}
