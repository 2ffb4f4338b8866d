//! Messages of a trace: who sent what to whom, when it arrived, and what brought it about.

use crate::run::{Outcome, Part};
use crate::view::label::{self, Direction};
use crate::world::trace::What;
use crate::world::{ConnId, ProcessId};
use std::collections::{BTreeMap, VecDeque};
use weir_core::time::Instant;

/// One message. Positions are those of records in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was sent.
    pub sent: usize,
    /// Where it arrived, if it did.
    pub arrived: Option<usize>,
    /// Who sent it.
    pub from: ProcessId,
    /// To whom, where the trace says so.
    pub to: Option<ProcessId>,
    /// The sender's end of the connection.
    pub conn: ConnId,
    /// How long it is, in bytes.
    pub bytes: u32,
}

/// The messages of a run.
#[derive(Debug)]
pub struct Messages<'a> {
    outcome: &'a Outcome,
    all: Vec<Message>,
    /// Messages by the records of their arrivals.
    arrivals: BTreeMap<usize, usize>,
    /// Messages by the records of their sending.
    sendings: BTreeMap<usize, usize>,
}

impl<'a> Messages<'a> {
    /// The messages that a run's trace kept.
    #[must_use]
    pub fn of(outcome: &'a Outcome) -> Self {
        let mut owners: BTreeMap<ConnId, ProcessId> = BTreeMap::new();
        let mut under_way: BTreeMap<ConnId, VecDeque<usize>> = BTreeMap::new();
        let mut found = Self { outcome, all: Vec::new(), arrivals: BTreeMap::new(), sendings: BTreeMap::new() };
        for (index, record) in outcome.trace.records().iter().enumerate() {
            match record.what {
                What::Connecting(process, conn, ..) | What::Accepted(process, conn) => {
                    owners.insert(conn, process);
                }
                What::Sent(from, conn, bytes, _) => {
                    let to = owners.get(&conn.peer()).copied();
                    under_way.entry(conn.peer()).or_default().push_back(found.all.len());
                    found.sendings.insert(index, found.all.len());
                    found.all.push(Message { sent: index, arrived: None, from, to, conn, bytes });
                }
                What::Arrived(to, conn, _) => {
                    // Segments of a connection neither overtake one another nor merge.
                    let Some(message) = under_way.get_mut(&conn).and_then(VecDeque::pop_front) else { continue };
                    found.all[message].arrived = Some(index);
                    found.all[message].to = Some(to);
                    found.arrivals.insert(index, message);
                }
                _ => {}
            }
        }
        found
    }

    /// All of them, in the order of their sending.
    #[must_use]
    pub fn all(&self) -> &[Message] {
        &self.all
    }

    /// What process a process is.
    #[must_use]
    pub fn part(&self, process: ProcessId) -> Option<Part> {
        self.outcome.cast.get(process.0 as usize).map(|actor| actor.part)
    }

    /// Who a process is.
    #[must_use]
    pub fn name(&self, process: Option<ProcessId>) -> &str {
        process.and_then(|process| self.outcome.cast.get(process.0 as usize)).map_or("nobody", |actor| &actor.name)
    }

    /// True time of a record.
    #[must_use]
    pub fn at(&self, record: usize) -> Instant {
        self.outcome.trace.records().get(record).map_or(Instant::ZERO, |record| record.at)
    }

    /// The message in words.
    #[must_use]
    pub fn label(&self, message: &Message) -> String {
        let part = |process: Option<ProcessId>| process.and_then(|process| self.part(process));
        let direction = match (part(Some(message.from)), part(message.to)) {
            (Some(Part::Server), Some(Part::Server)) => Direction::Replication,
            (Some(Part::Server), _) | (Some(Part::Gateway), Some(Part::Client)) => Direction::Answer,
            _ => Direction::Request,
        };
        label::label(direction, self.outcome.trace.message(message.sent).unwrap_or_default(), message.bytes)
    }

    /// The message that arrived with a record.
    #[must_use]
    pub fn arrived_with(&self, record: usize) -> Option<&Message> {
        self.all.get(*self.arrivals.get(&record)?)
    }

    /// The last message that a process got, or sent, on one of its connections before a record.
    #[must_use]
    pub fn last_on(&self, conn: ConnId, before: usize, sent: bool) -> Option<&Message> {
        let index = if sent { &self.sendings } else { &self.arrivals };
        let own = |message: &Message| if sent { message.conn } else { message.conn.peer() };
        let mut earlier = index.range(..before).rev().map(|(_, message)| &self.all[*message]);
        earlier.find(|message| own(message) == conn)
    }

    /// The message whose arrival made a process send another, if it was one: everything that a process does in answer to an event stands
    /// right behind the event.
    #[must_use]
    pub fn cause(&self, message: &Message) -> Option<&Message> {
        let records = &self.outcome.trace.records()[..message.sent];
        let (index, record) =
            records.iter().enumerate().rev().find(|(_, record)| delivered_to(&record.what) == Some(message.from))?;
        match record.what {
            What::Arrived(..) => self.arrived_with(index),
            // A sync, or a timer: what it waited for is what was asked on this connection.
            _ if self.part(message.from) != Some(Part::Client) => self.last_on(message.conn, message.sent, false),
            _ => None,
        }
    }
}

/// Whom a record gives a turn.
fn delivered_to(what: &What) -> Option<ProcessId> {
    match what {
        What::Started(process)
        | What::Timer(process, _)
        | What::Accepted(process, _)
        | What::Connected(process, _)
        | What::ConnectFailed(process, _)
        | What::Arrived(process, ..)
        | What::Closed(process, _)
        | What::Synced(process, _)
        | What::Signal(process, ..) => Some(*process),
        _ => None,
    }
}
