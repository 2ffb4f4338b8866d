//! How far a read must see, as far as that is a matter of more than its own session.
//!
//! Owns two things a gateway knows about a shard: the position of every write that it has acknowledged (INSTANCE), and the
//! asking of the primary for its position (GLOBAL). It may not know sessions or connections: a reader is a [`Ticket`], and
//! the driver carries questions to the primary's tablet.
//!
//! **One question for many.** A question answers every reader that was waiting when it was sent; who comes later waits
//! for the next one, which is sent as soon as the answer to this one is there. So a reader waits for at most two round
//! trips, and there are never more questions under way than one.
//!
//! **Why the answer is enough.** Whatever was acknowledged before a reader came was committed on the primary before the
//! question was sent, and so is in a position read after that. The tablet answers only when it still is the primary of its
//! term *after* it has read the position; an answer under an older term is refused there, and not waited for here.
//!
//! **Who has told.** In a group that elects by itself the primary may have been succeeded without knowing: what it told is good, for
//! it told with the group's consent, but another that is taken for the primary proves nothing. So readers hear who it was ([`Told`]).
//!
//! **After a start.** What this gateway acknowledged before it was started is as good as unknown: the first reader of
//! [`Scope::Gateway`] asks, and so has it covered.
//!
//! Start with [`Input`]; the rules are `want` and `settle`.

#[cfg(test)]
mod tests;

pub use super::buffer::Primary;

use crate::gtid::Position;
use crate::marks::Mark;
use crate::mutants::{Mutant, Mutants};
use crate::time::{Duration, Instant};
use std::collections::{BTreeSet, VecDeque};

/// A reader that waits to know how far it must see. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A question to the primary. Ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Whose writes a reader must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Those that this gateway acknowledged.
    Gateway,
    /// Those that anybody acknowledged.
    Shard,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// A write went through, and its client is about to be told.
    Acknowledged(Written),
    /// A read begins.
    Want(Ticket, Scope),
    /// The reader has gone.
    Forget(Ticket),
    /// Who is primary now, as far as the gateway knows.
    Primary(Option<Primary>),
    /// The primary's position, read after the question had been sent.
    Answered(AskId, Position),
    /// The tablet refused, or did not answer.
    Failed(AskId),
    /// The time of `poll_timeout` has come. At any other time it does nothing.
    Timeout,
}

/// Where a write is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// Seen by every server that has executed this.
    At(Position),
    /// The server did not tell.
    Unknown,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask this tablet for its position.
    Ask {
        /// Names the question.
        ask: AskId,
        /// Whom, and the term in which it must be primary.
        primary: Primary,
    },
    /// The reader may run.
    Ready(Ticket, Told),
}

/// What a reader is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whoever has executed this is far enough; `None`: only the primary is sure to be.
    pub position: Option<Position>,
    /// The primary that was asked after the reader had come, and answered: it is far enough.
    pub by: Option<Primary>,
}

/// A question under way.
#[derive(Debug)]
struct Asked {
    ask: AskId,
    primary: Primary,
    readers: BTreeSet<Ticket>,
    deadline: Instant,
    /// Writes of unknown position that went through before it: its answer covers them.
    unknown: u64,
}

/// One shard's freshness. See the module.
#[derive(Debug)]
pub struct Freshness {
    /// How long an answer may take.
    ask_timeout: Duration,
    primary: Option<Primary>,
    /// Every acknowledged write whose position is known.
    acknowledged: Position,
    /// Acknowledged writes of unknown position, counted, and how many of them `acknowledged` covers by now.
    unknown: u64,
    unknown_covered: u64,
    asked: Option<Asked>,
    /// Readers of the next question.
    waiting: BTreeSet<Ticket>,
    last_ask: AskId,
    outputs: VecDeque<Output>,
    mutants: Mutants,
}

impl Freshness {
    /// No primary known, and nothing of what was written before; an answer may take `ask_timeout`.
    #[must_use]
    pub fn new(ask_timeout: Duration) -> Self {
        Self {
            ask_timeout,
            primary: None,
            acknowledged: Position::default(),
            unknown: 1,
            unknown_covered: 0,
            asked: None,
            waiting: BTreeSet::new(),
            last_ask: AskId(0),
            outputs: VecDeque::new(),
            mutants: Mutants::NONE,
        }
    }

    /// With rules broken on purpose.
    #[must_use]
    pub const fn breaking(mut self, mutants: Mutants) -> Self {
        self.mutants = mutants;
        self
    }

    /// Takes one input; then drain [`Freshness::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Acknowledged(written) => return self.acknowledge(written),
            Input::Want(reader, scope) => self.want(reader, scope),
            Input::Forget(reader) => self.forget(reader),
            Input::Primary(primary) => self.follow(primary),
            Input::Answered(ask, position) => self.settle(ask, Some(position)),
            Input::Failed(ask) => self.settle(ask, None),
            Input::Timeout => self.time_out(now),
        }
        self.ask(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`]: the question under way has taken too long then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.deadline)
    }

    /// Every write that this gateway acknowledged; `None` while the position of one is not known.
    fn acknowledged(&self) -> Option<&Position> {
        (self.unknown == self.unknown_covered).then_some(&self.acknowledged)
    }

    fn acknowledge(&mut self, written: Written) {
        let known = match written {
            Written::At(position) => self.acknowledged.merge(&position).is_ok(),
            Written::Unknown => false,
        };
        self.unknown += u64::from(!known);
    }

    fn want(&mut self, reader: Ticket, scope: Scope) {
        let own_will_do = scope == Scope::Gateway || self.mutants.breaks(Mutant::AnswerFromOwn);
        if let Some(position) = self.acknowledged().filter(|_| own_will_do) {
            self.outputs.push_back(Output::Ready(reader, Told { position: Some(position.clone()), by: None }));
        } else if let Some(asked) = self.asked.as_mut().filter(|_| self.mutants.breaks(Mutant::JoinQuestion)) {
            asked.readers.insert(reader);
        } else {
            self.waiting.insert(reader);
        }
    }

    fn forget(&mut self, reader: Ticket) {
        self.waiting.remove(&reader);
        if let Some(asked) = &mut self.asked {
            asked.readers.remove(&reader);
        }
    }

    /// Whoever waits for a primary that is none any more waits for the new one: its answer says more, not less.
    fn follow(&mut self, primary: Option<Primary>) {
        self.primary = primary;
        if let Some(asked) = self.asked.take_if(|asked| Some(asked.primary) != primary) {
            self.waiting.extend(asked.readers);
        }
    }

    /// An answer to a question that is not waited for any more says nothing of use.
    fn settle(&mut self, ask: AskId, position: Option<Position>) {
        let Some(asked) = self.asked.take_if(|asked| asked.ask == ask) else { return };
        let by = position.is_some().then_some(asked.primary);
        // A server without GTIDs has no position that a replica could reach.
        let position = position.filter(|position| !position.is_empty());
        if let Some(position) = &position
            && asked.unknown > self.unknown_covered
            && self.acknowledged.merge(position).is_ok()
        {
            self.unknown_covered = asked.unknown;
        }
        let told = Told { position, by };
        self.outputs.extend(asked.readers.into_iter().map(|reader| Output::Ready(reader, told.clone())));
    }

    fn time_out(&mut self, now: Instant) {
        if let Some(ask) = self.asked.as_ref().filter(|asked| asked.deadline <= now).map(|asked| asked.ask) {
            Mark::FreshnessLate.hit();
            self.settle(ask, None);
        }
    }

    /// Asks for everybody who waits, unless a question is under way.
    fn ask(&mut self, now: Instant) {
        if self.asked.is_some() || self.waiting.is_empty() {
            return;
        }
        let readers = std::mem::take(&mut self.waiting);
        if readers.len() > 1 {
            Mark::FreshnessShared.hit();
        }
        let Some(primary) = self.primary else {
            return self.outputs.extend(readers.into_iter().map(|reader| Output::Ready(reader, Told::default())));
        };
        self.last_ask.0 += 1;
        let (ask, deadline) = (self.last_ask, now + self.ask_timeout);
        self.asked = Some(Asked { ask, primary, readers, deadline, unknown: self.unknown });
        self.outputs.push_back(Output::Ask { ask, primary });
    }
}
