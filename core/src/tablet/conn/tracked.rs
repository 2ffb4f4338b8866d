//! What holds on the connection, as the server said it.

use crate::link::Settings;
use crate::mysql::capability::StatusFlags;
use crate::mysql::packet::OkPacket;
use crate::mysql::session_state::Change;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct Tracked {
    settings: Arc<Settings>,
    status: u16,
    /// The server said something of its session that could not be read.
    unknown: bool,
}

impl Tracked {
    /// A connection that was opened with this schema. No variable is taken for granted: what a session wants is set.
    pub(super) fn new(schema: Option<Vec<u8>>) -> Self {
        let settings = Settings { schema, ..Settings::default() };
        Self { settings: Arc::new(settings), status: StatusFlags::SERVER_STATUS_AUTOCOMMIT.bits(), unknown: false }
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.status & StatusFlags::SERVER_STATUS_IN_TRANS.bits() != 0
    }

    pub(super) fn is_clean(&self) -> bool {
        !self.in_transaction() && !self.unknown
    }

    /// Takes in an OK that is not the answer to a `SET` of Weir's own.
    pub(super) fn absorb(&mut self, ok: &OkPacket) {
        self.absorb_all(ok, false);
    }

    /// Takes in an OK whose variables held for its statement only.
    pub(super) fn absorb_restored(&mut self, ok: &OkPacket) {
        self.absorb_all(ok, true);
    }

    fn absorb_all(&mut self, ok: &OkPacket, restored: bool) {
        self.status = ok.status;
        for change in ok.session_state() {
            match change {
                Ok(Change::Schema(name)) => self.set_schema(name),
                Ok(Change::Variables(_)) if restored => {}
                Ok(Change::Variables(variables)) => {
                    for (name, value) in variables.iter() {
                        if core::str::from_utf8(name).is_ok_and(Settings::carries) {
                            Arc::make_mut(&mut self.settings).absorb(name, value);
                        }
                    }
                }
                Ok(_) => {}
                Err(_) => self.unknown = true,
            }
        }
    }

    pub(super) fn set_schema(&mut self, name: &[u8]) {
        if self.settings.schema.as_deref().unwrap_or_default() != name {
            Arc::make_mut(&mut self.settings).schema = (!name.is_empty()).then(|| name.to_vec());
        }
    }

    /// A `SET` of Weir's own succeeded: these variables hold.
    pub(super) fn set_variables(&mut self, wished: &Arc<Settings>, status: u16) {
        self.status = status;
        if self.settings.schema == wished.schema {
            self.settings = Arc::clone(wished);
        } else {
            Arc::make_mut(&mut self.settings).variables = wished.variables.clone();
        }
    }

    /// Equal values become one value, so that the next comparison is of pointers.
    pub(super) fn share(&mut self, wished: &Arc<Settings>) -> bool {
        if Arc::ptr_eq(&self.settings, wished) {
            return true;
        }
        let equal = self.settings == *wished;
        if equal {
            self.settings = Arc::clone(wished);
        }
        equal
    }

    /// COM_RESET_CONNECTION: the schema stays, and no variable is known any more.
    pub(super) fn reset(&mut self, status: u16) {
        let settings = Settings { schema: self.settings.schema.clone(), ..Settings::default() };
        *self = Self { settings: Arc::new(settings), status, unknown: false };
    }
}
