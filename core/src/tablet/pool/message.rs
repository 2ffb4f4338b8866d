//! What goes into a [`Pool`](super::Pool) and what comes out.

use crate::error::Error;
use crate::link::{ConnectionClass, Settings};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A connection of one pool. Never used twice, so a late report about one cannot hit another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u64);

/// One request for a connection, named by whoever asks. Answered exactly once, unless it is cancelled before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// A request for a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acquire {
    /// Names the request.
    pub ticket: Ticket,
    /// Who asks, by what `CONNECTION_ID()` shows: for people.
    pub holder: u32,
    /// Only connections of this class will do.
    pub class: ConnectionClass,
    /// What will have to hold on the connection: a hint, so that one on which it holds already is chosen.
    pub settings: Arc<Settings>,
    /// The connection this session had last, wanted again only when nobody has used it since.
    pub prefer: Option<Preferred>,
    /// An answer is worthless after this time; `wait_time_max` applies in any case.
    pub deadline: Option<Instant>,
}

/// A connection as a session left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Preferred {
    /// Which connection.
    pub conn: ConnId,
    /// The epoch it was released with.
    pub epoch: u64,
}

/// What a pool is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// A session needs a connection.
    Acquire(Acquire),
    /// A session no longer waits. Nothing happens when the ticket does not wait.
    CancelAcquire {
        /// Whose wait.
        ticket: Ticket,
    },
    /// A granted connection comes back. Ignored when the connection was reported lost meanwhile.
    Release {
        /// Which connection.
        conn: ConnId,
        /// What holds on it now.
        settings: Arc<Settings>,
        /// Changes with every use of the connection: see [`Preferred`].
        epoch: u64,
        /// Whether it can be used again.
        fate: Fate,
    },
    /// A connection that the pool asked for is logged in.
    Opened {
        /// Which connection.
        conn: ConnId,
    },
    /// A connection that the pool asked for could not be opened.
    OpenFailed {
        /// Which connection.
        conn: ConnId,
        /// Why, as the server or the network said it.
        error: Error,
    },
    /// An idle or granted connection broke; it is gone already. Ignored when the pool has closed it meanwhile.
    Lost {
        /// Which connection.
        conn: ConnId,
    },
    /// Grant nothing from now on: who waits or comes is refused with this error, idle connections are closed, and
    /// granted ones when they come back, even after a reopening.
    Drain {
        /// What to tell them.
        error: Error,
    },
    /// Grant again, on new connections.
    Reopen,
    /// Grant nothing for now: who waits or comes is refused with this error. Connections stay, and nothing is asked of those who have one.
    Pause {
        /// What to tell them.
        error: Error,
    },
    /// Grant again.
    Resume,
    /// Nothing is open any more on a granted connection, though whoever has it keeps it; or something is again. When it is granted,
    /// something is.
    Rest {
        /// Which connection.
        conn: ConnId,
        /// Nothing is.
        rests: bool,
    },
    /// The time of `poll_timeout` has come. At any other time it does nothing.
    Timeout,
}

/// What becomes of a released connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fate {
    /// It is clean and can be granted again.
    Keep,
    /// It must not be used again.
    Close(CloseReason),
}

/// What a pool wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The connection is the ticket's until it is released.
    Granted {
        /// Whose request.
        ticket: Ticket,
        /// What it got.
        conn: ConnId,
    },
    /// There is no connection for the ticket; nothing was executed.
    Refused {
        /// Whose request.
        ticket: Ticket,
        /// Why.
        error: Error,
    },
    /// Open a connection, and answer with `Opened` or `OpenFailed`.
    Open {
        /// Its name.
        conn: ConnId,
        /// What to negotiate.
        class: ConnectionClass,
        /// Why.
        reason: OpenReason,
    },
    /// Close the connection. It is no longer counted.
    Close {
        /// Which connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// A drain is complete: no connection is left.
    Drained,
}

/// Why a connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OpenReason {
    /// Somebody waits for it.
    Demand,
    /// Fewer than `idle_min` are idle.
    WarmUp,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CloseReason {
    /// Unused for `idle_time_max`.
    Idle,
    /// Older than its share of `connection_age_max`.
    Age,
    /// Made room for one of a class that is waited for.
    Exchanged,
    /// The pool is drained.
    Drained,
    /// The server or the network ended it.
    Lost,
    /// Its borrower met an error after which its state is unknown.
    Broken,
    /// Its borrower's client went away in the middle of something.
    ClientGone,
    /// Its borrower left state on it that cannot be undone for less than a new connection.
    Unclean,
}

impl CloseReason {
    /// Every reason, in the order of [`Counters`](super::Counters)' rows.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Age,
        Self::Exchanged,
        Self::Drained,
        Self::Lost,
        Self::Broken,
        Self::ClientGone,
        Self::Unclean,
    ];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Age => "age",
            Self::Exchanged => "exchanged",
            Self::Drained => "drained",
            Self::Lost => "lost",
            Self::Broken => "broken",
            Self::ClientGone => "client_gone",
            Self::Unclean => "unclean",
        }
    }
}

/// Why a pool wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Somebody may have waited too long.
    Deadline,
    /// An idle connection may have been unused too long.
    Idle,
    /// An idle connection may be too old.
    Age,
    /// Opening may be tried again after a failure.
    Retry,
}
