//! Errands to a server about one of its connections: to end what runs there, or to find out what became of it.
//!
//! What is said comes from [`weir_core::tablet::killer`]; here is who waits for it, and until when.

use super::probe::given_up;
use std::collections::VecDeque;
use weir_core::error::Error;
use weir_core::link::Interrupt;
use weir_core::mysql::resultset::Answer;
use weir_core::tablet::killer::{self, Run};
use weir_core::time::Instant;

/// A server's own name of one of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) id: u32,
    pub(super) opened: Instant,
}

/// What is wanted of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// To end what runs on the connection.
    End(Interrupt),
    /// To know whether somebody has killed it. If not, it is ended: what it runs is for nobody.
    Fate,
}

/// A session's errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) session: u32,
    /// Which of the session's.
    pub(super) number: u64,
    pub(super) thread: Thread,
    pub(super) want: Want,
    /// When it is given up.
    pub(super) until: Instant,
}

/// What came of an errand; for [`Want::Fate`], whether the connection had been killed.
pub(super) type Verdict = Result<bool, Error>;

/// The statements of one errand.
#[derive(Debug)]
pub(super) struct Talk {
    errand: Errand,
    left: VecDeque<String>,
    said: Said,
    verdict: Verdict,
}

/// What the statement under way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Started,
    Inquiry,
    Kill,
}

impl Talk {
    pub(super) fn new(errand: Errand) -> Self {
        Self { errand, left: VecDeque::from([killer::STARTED.to_owned()]), said: Said::Started, verdict: Ok(false) }
    }

    /// The next statement; `None` when all is said.
    pub(super) fn next(&self) -> Option<&str> {
        self.left.front().map(String::as_str)
    }

    pub(super) fn answer(&mut self, now: Instant, answer: Answer) {
        self.left.pop_front();
        match self.said {
            Said::Started => match Run::read(now, &answer) {
                None => self.verdict = Err(given_up("it does not tell its uptime")),
                // Its id may be somebody else's by now.
                Some(run) if !run.may_have(self.errand.thread.opened) => {}
                Some(_) => match self.errand.want {
                    Want::End(interrupt) => self.say(Said::Kill, interrupt.sql(self.errand.thread.id)),
                    Want::Fate => self.say(Said::Inquiry, killer::inquiry(self.errand.thread.id)),
                },
            },
            Said::Inquiry if killer::was_killed(&answer) => self.verdict = Ok(true),
            Said::Inquiry => self.say(Said::Kill, Interrupt::CONNECTION.sql(self.errand.thread.id)),
            Said::Kill => self.verdict = killer::outcome(answer).map(|()| false),
        }
    }

    fn say(&mut self, what: Said, sql: String) {
        self.said = what;
        self.left.push_back(sql);
    }

    pub(super) fn finish(self) -> Verdict {
        self.verdict
    }
}
