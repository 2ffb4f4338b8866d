//! What clients did and saw, in the order in which it really happened.

use serde::{Deserialize, Serialize};

/// A point in the real order of a run: nanoseconds of true time, and a little more where needed, since no two are equal.
pub type Tick = u64;

/// A tick as a person reads it.
#[must_use]
pub fn clock(tick: Tick) -> String {
    format!("{:.6} s", tick as f64 / 1e9)
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// One client connection: sessions do not survive it.
    pub session: u64,
    /// The gateway it went through.
    pub gateway: u32,
}

/// How fresh a client asked its reads to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it comes.
    Eventual,
    /// Not older than what its own session wrote.
    #[default]
    Session,
    /// Not older than what its gateway acknowledged.
    Instance,
    /// Not older than what any gateway acknowledged.
    Global,
}

impl Level {
    /// All of them, the weakest first.
    pub const ALL: [Self; 4] = [Self::Eventual, Self::Session, Self::Instance, Self::Global];

    /// As clients write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eventual => "EVENTUAL",
            Self::Session => "SESSION",
            Self::Instance => "INSTANCE",
            Self::Global => "GLOBAL",
        }
    }
}

/// What a client asked of its reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The level.
    pub level: Level,
    /// Besides, none may be older than one before it.
    pub monotonic: bool,
}

/// How a request ended, as far as its client can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was answered with success.
    Ok,
    /// It was answered with an error that says that nothing happened.
    Failed,
    /// No answer came, or one that says that the outcome is unknown.
    Unknown,
}

/// What a request was, and what it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes a value that nobody else writes to this key.
    Write(u64),
    /// Reads the key; `None` when there was no row.
    Read(Option<u64>),
}

/// One request on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Whose.
    pub who: Who,
    /// Which row.
    pub key: u64,
    /// What.
    pub action: Action,
    /// When the client sent it.
    pub invoked: Tick,
    /// When the client had its answer; for one without, when it gave up.
    pub returned: Tick,
    /// How it ended.
    pub ended: Ended,
    /// What was asked of it, for reads.
    pub asked: Asked,
}

#[cfg(test)]
pub(super) mod build {
    //! Histories as tests write them.

    use super::{Action, Asked, Ended, Level, Operation, Who};

    /// Everything that can be asked.
    const ALL: Asked = Asked { level: Level::Global, monotonic: true };

    /// A write by session `session` through gateway `session / 10`, from and to these ticks.
    pub(in super::super) fn write(session: u64, key: u64, value: u64, ticks: (u64, u64)) -> Operation {
        operation(session, key, Action::Write(value), ticks)
    }

    /// A read likewise; 0 stands for no row.
    pub(in super::super) fn read(session: u64, key: u64, value: u64, ticks: (u64, u64)) -> Operation {
        operation(session, key, Action::Read((value > 0).then_some(value)), ticks)
    }

    fn operation(session: u64, key: u64, action: Action, (invoked, returned): (u64, u64)) -> Operation {
        let who = Who { session, gateway: (session / 10) as u32 };
        Operation { who, key, action, invoked, returned, ended: Ended::Ok, asked: ALL }
    }

    impl Operation {
        pub(in super::super) fn ended(self, ended: Ended) -> Self {
            Self { ended, ..self }
        }

        pub(in super::super) fn asking(self, asked: Asked) -> Self {
            Self { asked, ..self }
        }
    }
}
