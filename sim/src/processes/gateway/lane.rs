//! What a gateway whose tablets are processes of their own says with a wish for a connection: see [`Session::ahead`].

use weir_core::error::Error;
use weir_core::gateway::session::{Lease, Session};
use weir_core::link::{Loan, Request};
use weir_core::rng::Rng;
use weir_core::time::Instant;

/// One in so many is lost with its answer.
const LANES_PER_LOSS: u64 = 16;

/// The way to the connection that a session wishes for or has.
#[derive(Default)]
pub(super) enum Lane {
    /// Nothing is ahead of the session.
    #[default]
    Quiet,
    /// This was sent with the wish.
    Wished(Box<Request>),
    /// It runs, and the session does not know yet that it has the connection.
    Runs { request: Box<Request>, lease: Lease, since: Instant, breaks: bool },
    /// The session knows, and is about to submit what was sent.
    Told(Box<Request>),
    /// It was lost with the answer.
    Lost,
}

impl Lane {
    /// What was sent with the wish runs on the connection.
    pub(super) fn run(request: Box<Request>, lease: Lease, now: Instant, rng: &mut Rng) -> Self {
        Self::Runs { request, lease, since: now, breaks: rng.below(LANES_PER_LOSS) == 0 }
    }

    /// A piece of an answer has come: tells the session first that it has the connection. False when nothing reaches it.
    pub(super) fn tell(&mut self, session: &mut Session, now: Instant) -> bool {
        *self = match std::mem::take(self) {
            Self::Runs { breaks: true, .. } | Self::Lost => Self::Lost,
            Self::Runs { request, lease, since, .. } => {
                session.lease_granted(now, Lease { ran: Some(now.since(since)), ..lease });
                Self::Told(request)
            }
            other => other,
        };
        !matches!(self, Self::Lost)
    }

    /// The session has just heard of the connection, on which nothing was changed.
    pub(super) fn is_told_of_read(&self) -> bool {
        matches!(self, Self::Told(sent) if sent.read_only)
    }

    /// The session submits this: whether it was sent already.
    pub(super) fn has_sent(&mut self, request: &Request) -> bool {
        let Self::Told(sent) = std::mem::take(self) else { return false };
        let text = |request: &Request| format!("{:?}", Request { wait: None, ..request.clone() });
        assert_eq!(text(&sent), text(request), "something else was sent ahead");
        assert!(sent.wait.is_some() || request.wait.is_none(), "what was sent ahead does not wait");
        true
    }
}

/// What the session is told of a lane that is lost.
pub(super) fn lost() -> Error {
    Loan::lost_ahead("of another process", "its lane broke")
}
