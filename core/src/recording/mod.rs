//! Recordings: what a machine was told, when, and what it decided, so that it can be asked again.
//!
//! Owns the format, and the comparison of what was decided with what is decided when the same is told again. It may not know files,
//! threads or clocks: a driver keeps the lines and brings them back.
//!
//! A recording is lines of JSON, one [`Line`] each. A [`Start`] has the whole machine as it is then, so that what lies before it can be
//! forgotten and what is missing before it does not matter. Start with [`Recorded`], then [`Replay`].

pub mod pairs;
#[cfg(test)]
mod tests;

use crate::time::Instant;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// A control-plane machine whose work can be recorded. Serialised between two inputs, when its outputs are drained, it must go on from
/// there as it would have; nothing that it is told may be a secret.
pub trait Recorded: Serialize + DeserializeOwned {
    /// What recordings call it.
    const KIND: &'static str;
    /// What it is told.
    type Input: Clone + Serialize + DeserializeOwned;
    /// What it wants done.
    type Output: Serialize + DeserializeOwned;

    /// Take one input.
    fn handle(&mut self, now: Instant, input: Self::Input);
    /// The next thing to do, until there is none.
    fn poll_output(&mut self) -> Option<Self::Output>;

    /// Take one input, and say all that is to be done.
    fn decide(&mut self, now: Instant, input: Self::Input) -> Vec<Self::Output> {
        self.handle(now, input);
        core::iter::from_fn(|| self.poll_output()).collect()
    }
}

/// Whose recording it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The version of the program.
    pub program: String,
    /// What the process is called.
    pub name: String,
    /// What it works on: a shard.
    pub of: String,
    /// Tells one life of the machine from another: the Unix time at which its recording began, in nanoseconds.
    pub run: u64,
}

/// The machine itself, and what it takes to understand what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// See [`FORMAT`].
    pub format: u32,
    /// See [`Recorded::KIND`].
    pub kind: String,
    /// Whose.
    pub source: Source,
    /// How many inputs the machine had been told before, recorded or not.
    pub number: u64,
    /// When this was written, by the machine's clock.
    pub at: Instant,
    /// The Unix time at which that clock was zero, in nanoseconds.
    pub origin_ns: u64,
    /// The machine.
    pub machine: Value,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// From here on it can be asked again.
    Start(Box<Start>),
    /// It was told something.
    Step {
        /// When, by its clock.
        at: Instant,
        /// What.
        input: Value,
        /// What it decided.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outputs: Vec<Value>,
    },
}

impl Line {
    /// A machine as it is, after so many inputs.
    ///
    /// # Errors
    /// When it cannot be serialised, which is a mistake in its types.
    pub fn start<M: Recorded>(
        machine: &M,
        source: Source,
        number: u64,
        (at, origin_ns): (Instant, u64),
    ) -> serde_json::Result<Self> {
        let machine = serde_json::to_value(machine)?;
        Ok(Self::Start(Box::new(Start {
            format: FORMAT,
            kind: M::KIND.into(),
            source,
            number,
            at,
            origin_ns,
            machine,
        })))
    }

    /// Has a machine take one input; what it decides, and the line that says so.
    pub fn step<M: Recorded>(
        machine: &mut M,
        at: Instant,
        input: M::Input,
    ) -> (Vec<M::Output>, serde_json::Result<Self>) {
        let told = serde_json::to_value(&input);
        let decided = machine.decide(at, input);
        let said = decided.iter().map(serde_json::to_value).collect::<serde_json::Result<_>>();
        let line = told.and_then(|input| Ok(Self::Step { at, input, outputs: said? }));
        (decided, line)
    }

    /// As text without a line's end.
    ///
    /// # Errors
    /// Never in practice: all keys are texts.
    pub fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// Why a line cannot be told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is none.
    NoLine(String),
    /// It is of a format that this program does not know.
    Format(u32),
    /// It is of another kind of machine.
    Kind(String),
    /// The machine, or what it was told, is not as this program knows it.
    Content(String),
    /// There is no machine before it.
    NoStart,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLine(why) => write!(f, "it is no line of a recording: {why}"),
            Self::Format(format) => write!(f, "it is of format {format}, and this program reads {FORMAT}"),
            Self::Kind(kind) => write!(f, "it is of a machine of the kind {kind:?}"),
            Self::Content(why) => write!(f, "it was written by a program whose machine differs: {why}"),
            Self::NoStart => f.write_str("there is no machine before it"),
        }
    }
}

impl core::error::Error for Unreadable {}

/// What was recorded, and what comes of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What the recording has.
    pub recorded: Value,
    /// What came of the same.
    pub now: Value,
}

impl Difference {
    fn between(recorded: Value, now: Value) -> Option<Self> {
        (recorded != now).then_some(Self { recorded, now })
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<I, O> {
    /// The machine as it was then.
    Started {
        /// All about it.
        start: Box<Start>,
        /// Inputs between the last one recorded and this; 0 also for another life of the machine, and for the first line of all.
        missed: u64,
        /// It is not what the machine has become here.
        differs: Option<Difference>,
    },
    /// It was told something.
    Told {
        /// When, by its clock.
        at: Instant,
        /// What.
        input: I,
        /// What it decided then.
        decided: Vec<O>,
        /// It decides something else now.
        differs: Option<Difference>,
    },
}

/// A machine that is told again what a recording has.
#[derive(Debug)]
pub struct Replay<M> {
    running: Option<Running<M>>,
}

#[derive(Debug)]
struct Running<M> {
    run: u64,
    number: u64,
    machine: M,
}

impl<M> Default for Replay<M> {
    fn default() -> Self {
        Self { running: None }
    }
}

impl<M: Recorded> Replay<M> {
    /// Takes the next line.
    ///
    /// # Errors
    /// Why it cannot be told again. What follows can be, from the next [`Start`] on.
    pub fn take(&mut self, line: &str) -> Result<Event<M::Input, M::Output>, Unreadable> {
        match serde_json::from_str(line).map_err(|error| Unreadable::NoLine(error.to_string()))? {
            Line::Start(start) => self.start(start),
            Line::Step { at, input, outputs } => self.step(at, input, outputs),
        }
    }

    fn start(&mut self, start: Box<Start>) -> Result<Event<M::Input, M::Output>, Unreadable> {
        let before = self.running.take().filter(|running| running.run == start.source.run);
        if start.format != FORMAT {
            return Err(Unreadable::Format(start.format));
        }
        if start.kind != M::KIND {
            return Err(Unreadable::Kind(start.kind));
        }
        let missed = before.as_ref().map_or(0, |before| start.number.saturating_sub(before.number));
        let became = before.filter(|_| missed == 0).map(|before| serde_json::to_value(&before.machine));
        let became = became.transpose().map_err(content)?;
        let differs = became.and_then(|became| Difference::between(start.machine.clone(), became));
        let machine = serde_json::from_value(start.machine.clone()).map_err(content)?;
        let (run, number) = (start.source.run, start.number);
        self.running = Some(Running { run, number, machine });
        Ok(Event::Started { start, missed, differs })
    }

    fn step(
        &mut self,
        at: Instant,
        input: Value,
        outputs: Vec<Value>,
    ) -> Result<Event<M::Input, M::Output>, Unreadable> {
        // One that could not be told this is of no use any more.
        let mut running = self.running.take().ok_or(Unreadable::NoStart)?;
        let input: M::Input = serde_json::from_value(input).map_err(content)?;
        let now = serde_json::to_value(running.machine.decide(at, input.clone())).map_err(content)?;
        let recorded = Value::Array(outputs);
        let differs = Difference::between(recorded.clone(), now);
        let decided = serde_json::from_value(recorded).map_err(content)?;
        running.number += 1;
        self.running = Some(running);
        Ok(Event::Told { at, input, decided, differs })
    }
}

fn content(error: serde_json::Error) -> Unreadable {
    Unreadable::Content(error.to_string())
}
