//! Lines of a gateway's sessions on their way to the audit log.

use super::Shared;
use crate::audit::Log;
use std::sync::Arc;
use weir_core::error::Error;
use weir_core::gateway::audit::{Audit, Line, Refusal, Rules, What};

/// What sessions go by, where there is a log.
pub(super) fn by(log: Option<&Log>, rules: &Rules) -> Option<Arc<Audit>> {
    log.map(|log| Arc::new(Audit::new(rules.clone(), Arc::clone(log.room()))))
}

impl Shared {
    pub(super) fn audit(&self, line: Box<Line>) {
        if let Some(log) = &self.audit {
            log.send(line);
        }
    }

    /// A client was turned away before it had a session. Without an error it was told nothing.
    pub(super) fn audit_turned_away(&self, client: String, error: Option<&Error>) {
        let config = self.session_config();
        let Some(audit) = config.audit.as_ref().filter(|audit| audit.rules().events.connections) else { return };
        let Some(place) = audit.take_if_possible(0) else { return };
        let refusal = |error: &Error| Refusal {
            code: error.code,
            sqlstate: error.sqlstate,
            message: Some(error.message.clone()),
        };
        let line = Line { result: "refused", error: error.map(refusal), ..Line::new(What::Connect, 0, client, place) };
        self.audit(Box::new(line));
    }
}
