//! What is remembered of a statement whose trace is known: when it did what. Spans are made of it elsewhere.
//!
//! Of other statements there is nothing. The ids of spans are drawn here, since a server may be told of its own before it has anything.

use super::Session;
use super::commands::payload_of;
use super::outcome::Sight;
use crate::error::Error;
use crate::gateway::cluster::TabletId;
use crate::gateway::variables::Consistency;
use crate::mysql::ProtocolError;
use crate::mysql::attributes::{self, Attributes};
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::command::ClientCommand;
use crate::rng::Rng;
use crate::sql::commented;
use crate::time::Instant;
use crate::topo::Role;
use crate::trace::{Context, SpanId, TRACEPARENT, TraceId};

/// Steps of one statement that are remembered.
const STEPS_MAX: usize = 32;

/// A statement as a part of a trace.
#[derive(Debug)]
pub struct Trace {
    /// It, as what is under it names it. Unless it is sampled, nothing but this is known.
    pub context: Context,
    /// The span that it is under, of the client's.
    pub parent: Option<SpanId>,
    /// When it came.
    pub begun: Instant,
    /// When its answer was complete; `None` when nobody waited for that any more.
    pub ended: Option<Instant>,
    /// What it did, in the order in which that ended. More are left out.
    pub steps: Vec<Step>,
    /// How many were.
    pub steps_left_out: u32,
    /// The number of the error that the client read.
    pub error: Option<u16>,
    ids: Rng,
    /// Of what is sent to a server next, or runs there.
    next: SpanId,
    /// Whose connection was asked for last.
    asked: (TabletId, Role),
    /// Since when it waits for a primary.
    waits_since: Option<Instant>,
}

/// Something that a statement did, or that befell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its span.
    pub span: SpanId,
    /// When it began.
    pub from: Instant,
    /// When it ended; `None` when it had not, and nobody waited for the statement any more.
    pub to: Option<Instant>,
    /// What it was.
    pub what: Did,
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It waited for a connection.
    Connection {
        /// Whose.
        tablet: TabletId,
        /// What that was to be.
        role: Role,
        /// It got it.
        granted: bool,
    },
    /// It found out what it must see, and waited until it could be seen.
    Replication(Consistency, Sight),
    /// It waited in the gateway's buffer for a primary.
    Primary,
    /// A server had it.
    Server {
        /// Whose.
        tablet: TabletId,
        /// What it was.
        role: Role,
        /// It was answered: the connection did not break.
        answered: bool,
    },
    /// It was tried on another server, after this error if there was one: a moment.
    Retry(Option<u16>),
}

impl Trace {
    fn new(parent: Option<Context>, sampled: bool, begun: Instant, mut ids: Rng) -> Self {
        let trace = parent.map_or_else(|| TraceId::draw(&mut ids), |parent| parent.trace);
        Self {
            context: Context { trace, span: SpanId::draw(&mut ids), sampled },
            parent: parent.map(|parent| parent.span),
            begun,
            ended: None,
            steps: Vec::new(),
            steps_left_out: 0,
            error: None,
            next: SpanId::draw(&mut ids),
            ids,
            asked: (TabletId(0), Role::Unknown),
            waits_since: None,
        }
    }

    /// What a server is told it is under, if spans are made of it.
    pub(super) fn of_server(&self) -> Option<Context> {
        self.context.sampled.then_some(Context { span: self.next, ..self.context })
    }

    pub(super) const fn asked(&mut self, tablet: TabletId, role: Role) {
        self.asked = (tablet, role);
    }

    pub(super) fn granted(&mut self, from: Instant, to: Instant, granted: bool) {
        let (tablet, role) = self.asked;
        self.step(from, to, Did::Connection { tablet, role, granted });
    }

    pub(super) fn served(
        &mut self,
        from: Instant,
        to: Option<Instant>,
        (tablet, role): (TabletId, Role),
        answered: bool,
    ) {
        // Should it be sent once more, that is another span.
        let span = std::mem::replace(&mut self.next, SpanId::draw(&mut self.ids));
        self.add(Step { span, from, to, what: Did::Server { tablet, role, answered } });
    }

    pub(super) const fn buffered(&mut self, now: Instant) {
        self.waits_since = Some(now);
    }

    pub(super) fn resumed(&mut self, now: Instant) {
        if let Some(since) = self.waits_since.take() {
            self.step(since, now, Did::Primary);
        }
    }

    pub(super) fn retried(&mut self, now: Instant, error: Option<&Error>) {
        self.step(now, now, Did::Retry(error.map(|error| error.code)));
    }

    pub(super) fn saw(&mut self, from: Instant, to: Instant, level: Consistency, sight: Sight) {
        if to > from {
            self.step(from, to, Did::Replication(level, sight));
        }
    }

    fn step(&mut self, from: Instant, to: Instant, what: Did) {
        let span = SpanId::draw(&mut self.ids);
        self.add(Step { span, from, to: Some(to), what });
    }

    fn add(&mut self, step: Step) {
        if !self.context.sampled {
            return;
        }
        if self.steps.len() < STEPS_MAX {
            self.steps.push(step);
        } else {
            self.steps_left_out += 1;
        }
    }
}

impl Session {
    /// A statement begins. What its client says of its trace in an attribute comes before what its text says.
    pub(super) fn begin_trace(&mut self, now: Instant, in_text: impl FnOnce(&Self) -> Option<Context>) {
        let Some(sampler) = &self.config.traces else { return };
        let parent = self.tally.parent.or_else(|| in_text(self));
        let sampled = sampler.samples(now, parent, &mut self.rng);
        if sampled || parent.is_some() {
            self.tally.trace = Some(Box::new(Trace::new(parent, sampled, now, self.rng.fork())));
        }
    }

    /// The payload of a COM_QUERY without attributes, from a client that sends such.
    pub(super) fn without_attributes_of_query(&mut self, payload: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
        if !self.capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES) {
            return Ok(None);
        }
        let Ok(ClientCommand::Query(body)) = ClientCommand::parse(payload) else { return Ok(None) };
        let (attributes, sql) = attributes::split_query(body)?;
        self.note_parent(&attributes);
        Ok(Some(payload_of(&ClientCommand::Query(sql))))
    }

    /// The body of an execution of this statement without attributes, from a client that sends such.
    pub(super) fn without_attributes(&mut self, id: u32, body: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
        if !self.capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES) {
            return Ok(None);
        }
        let Some(prepared) = self.statements.get_mut(id) else { return Ok(None) };
        let is_long = |number| prepared.long_data.iter().any(|data| data.parameter == number);
        let (parameters, types) = (prepared.parameters, prepared.types.as_deref());
        let (bare, attributes) = attributes::split_execute(body, parameters, types, is_long)?;
        self.note_parent(&attributes);
        Ok(Some(bare))
    }

    /// What the client says of its trace in attributes.
    fn note_parent(&mut self, attributes: &Attributes<'_>) {
        self.tally.parent = attributes::text_of(attributes, TRACEPARENT).and_then(Context::parse);
    }

    /// What the client says in the comments around a text.
    pub(super) fn parent_in(&self, sql: &[u8]) -> Option<Context> {
        self.config.traces.as_ref()?;
        Context::in_comments(&commented(sql)?)
    }
}
