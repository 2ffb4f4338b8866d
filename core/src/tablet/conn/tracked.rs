//! What holds on the server's side of a connection, as the server itself has said.

use crate::link::Settings;
use crate::mysql::ProtocolError;
use crate::mysql::capability::StatusFlags;
use crate::mysql::packet::OkPacket;
use crate::mysql::session_state::Change;
use std::sync::Arc;

/// Settings and transaction of a connection.
#[derive(Debug)]
pub(super) struct Tracked {
    settings: Arc<Settings>,
    status: u16,
    /// SET TRANSACTION has prepared the next transaction.
    next_transaction: bool,
    /// Something may hold that nobody has reported: an error came and nothing after it, or the server does not track.
    unknown: bool,
}

/// Variables that a client's command was reported to have changed and that are settings, by lower-case name.
pub(super) type Reported = Vec<String>;

impl Tracked {
    pub(super) fn new(schema: Option<Vec<u8>>) -> Self {
        let settings = Arc::new(Settings { schema, ..Settings::default() });
        Self { settings, status: 0, next_transaction: false, unknown: false }
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(super) fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    /// Takes over an equal value, so that the next comparison is one of pointers.
    pub(super) fn share(&mut self, settings: &Arc<Settings>) {
        if self.settings == *settings {
            self.settings = Arc::clone(settings);
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    pub(super) fn set_unknown(&mut self, unknown: bool) {
        self.unknown = unknown;
    }

    fn has(&self, flag: StatusFlags) -> bool {
        self.status & flag.bits() != 0
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.has(StatusFlags::SERVER_STATUS_IN_TRANS)
    }

    pub(super) fn autocommit(&self) -> bool {
        self.has(StatusFlags::SERVER_STATUS_AUTOCOMMIT)
    }

    pub(super) fn is_clean(&self) -> bool {
        !self.in_transaction() && !self.next_transaction && !self.unknown
    }

    /// COM_RESET_CONNECTION has been answered: all is as on a fresh connection, but for the schema.
    pub(super) fn reset(&mut self) {
        let schema = self.settings.schema.clone();
        *self = Self { status: self.status, ..Self::new(schema) };
    }

    /// Takes in an OK that answers a command of the client's; returns the settings it reports as changed. Variables that the
    /// command has `restored` by now are passed over.
    pub(super) fn absorb(&mut self, ok: &OkPacket, restored: bool) -> Result<Reported, ProtocolError> {
        self.status = ok.status;
        let mut reported = Reported::new();
        for change in ok.session_state() {
            match change? {
                Change::Schema(name) => self.absorb_schema(name),
                Change::Variables(_) if restored => {}
                Change::Variables(variables) => {
                    for (name, value) in variables.iter() {
                        self.absorb_variable(name, value, &mut reported);
                    }
                }
                Change::TransactionCharacteristics(text) => self.next_transaction = !text.is_empty(),
                Change::StateChange(_) | Change::Gtids(_) | Change::TransactionState(_) => {}
            }
        }
        Ok(reported)
    }

    /// Takes in an OK that answers a command of the connection's own, whose changes are known.
    pub(super) fn absorb_own(&mut self, ok: &OkPacket) {
        self.status = ok.status;
    }

    fn absorb_schema(&mut self, name: &[u8]) {
        if self.settings.schema.as_deref().unwrap_or_default() != name {
            self.settings_mut().schema = (!name.is_empty()).then(|| name.to_vec());
        }
    }

    fn absorb_variable(&mut self, name: &[u8], value: &[u8], reported: &mut Reported) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if !Settings::carries(&name) {
            return;
        }
        if self.settings.variables.get(&name).is_none_or(|known| known != value) {
            self.settings_mut().absorb(name.as_bytes(), value);
        }
        reported.push(name);
    }
}
