//! From the greeting to readiness: the handshake, then the setup of the session.

use super::flight::Purpose;
use super::request::Failure;
use super::{BackendConn, CloseReason, Event, Life, settings};
use crate::error::Error;
use crate::link::Ended;
use crate::mysql::ProtocolError;
use crate::mysql::command::ClientCommand;
use crate::mysql::handshake::ClientEvent;

impl BackendConn {
    pub(super) fn handshake_bytes(&mut self, input: &[u8]) -> usize {
        let Life::Connecting(handshake) = &mut self.life else { return self.skip_all(input) };
        let taken = handshake.handle_bytes(input);
        self.replies.skip(taken);
        self.poll_handshake();
        if taken == 0 && matches!(self.life, Life::Connecting(_)) {
            // It is the driver's turn, and a server that speaks before TLS is up may not be the server.
            self.fail_protocol(ProtocolError::Malformed("bytes ahead of the handshake"));
        }
        taken
    }

    pub(super) fn poll_handshake(&mut self) {
        let Life::Connecting(handshake) = &mut self.life else { return };
        handshake.poll_transmit(&mut self.out);
        match handshake.poll_event() {
            None => {}
            Some(ClientEvent::StartTls) => self.events.push_back(Event::StartTls),
            Some(ClientEvent::EncryptRsa { pem, plaintext }) => {
                self.events.push_back(Event::EncryptRsa { pem, plaintext });
            }
            Some(ClientEvent::Failed(error)) => self.close_because(CloseReason::Refused(error)),
            Some(ClientEvent::Ready(server)) => {
                self.tracked.set_status(server.ok.status);
                self.server = Some(server);
                self.life = Life::SettingUp;
                self.set_up();
            }
        }
    }

    /// Turns the trackers on; after a connect, and after a reset, which turns them off.
    pub(super) fn set_up(&mut self) {
        let mariadb = self.server.as_ref().is_some_and(|server| server.is_mariadb());
        let sql = if self.tracks_session() { settings::setup(mariadb) } else { settings::setup_untracked() };
        self.ask(&ClientCommand::Query(sql.as_bytes()), Purpose::Setup);
    }

    /// The setup has been answered: of a new connection, or of one that a request has reset.
    pub(super) fn set_up_done(&mut self, error: Option<Error>) {
        match (&self.life, error) {
            (Life::SettingUp, Some(error)) => self.close_because(CloseReason::Refused(error)),
            (Life::SettingUp, None) => {
                self.life = Life::Idle;
                self.timer = None;
                self.events.push_back(Event::Ready);
            }
            (_, Some(error)) => self.conclude_failed(Failure::Unsettled(error)),
            (_, None) => self.conclude(Ended::Answered),
        }
    }
}
