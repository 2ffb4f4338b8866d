//! What is known of a request whose connection is lost: the one rule of what may be run again.

use super::Ended;
use crate::error::{Effect, Error, Kind};

/// How far a request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// It provably changes nothing.
    pub read_only: bool,
    /// It may be on its way to whoever runs it.
    pub handed_over: bool,
    /// A piece of its answer has come.
    pub begun: bool,
    /// All of its answer has: what is still asked is not for the client.
    pub answered: bool,
}

impl Progress {
    /// How the request ends with the connection. `error` makes an error of what follows "the connection".
    pub fn ended_by_loss(self, error: impl FnOnce(Kind, &str, Effect) -> Error) -> Ended {
        if self.answered { Ended::Answered } else { Ended::Failed(self.error_of_loss(error)) }
    }

    /// The error with which a request ends that is not answered.
    pub(super) fn error_of_loss(self, error: impl FnOnce(Kind, &str, Effect) -> Error) -> Error {
        if !self.handed_over {
            let what = "was lost before the statement was sent: it is safe to run it again";
            error(Kind::ServerLost, what, Effect::None)
        } else if self.read_only && !self.begun {
            let what = "was lost before the read was answered: it is safe to run it again";
            error(Kind::ServerLost, what, Effect::None)
        } else if self.read_only {
            let what =
                "was lost while the read was being answered: what has come is not all, and it is safe to run it again";
            error(Kind::ServerLost, what, Effect::Unknown)
        } else {
            let what = "was lost while the statement ran: whether it took effect is unknown";
            error(Kind::OutcomeUnknown, what, Effect::Unknown)
        }
    }
}
