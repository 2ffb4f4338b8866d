//! Recordings in words: what `weir-sim replay` and `weir ctl explain-failover` tell of them.
//!
//! [`tell`] tells a machine again what a recording has, and compares; [`story`] says it in words, a file for each kind of machine;
//! [`explanation`] picks one change of primary out of it, with what tablets and gateways have of the same time (`others`), and [`picture`]
//! draws it.

pub(crate) mod explanation;
mod lives;
mod others;
pub(crate) mod picture;
pub(crate) mod story;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use std::io;
use story::{Moment, OfGateway, OfOrchestrator, OfTablet, Story};
use time::OffsetDateTime;
use weir_core::gateway::cluster::Cluster;
use weir_core::orch::orchestrator::Orchestrator;
use weir_core::recording::{Difference, Event, Recorded, Replay, Start, Unreadable};
use weir_core::tablet::orders::Orders;
use weir_core::time::Instant;

/// What a recording says next.
#[derive(Debug)]
pub(crate) enum Told {
    /// The machine as it was, after so many inputs that are missing; what is worth telling of it, and a difference if it is not what it became.
    Start(Box<Start>, u64, Vec<Moment>, Option<Box<Difference>>),
    /// An input, and what was decided: what is worth telling of it.
    Step(Instant, Vec<Moment>, usize, Option<Box<Difference>>),
    /// It cannot be told again from here to the next start.
    Unreadable(Unreadable),
}

/// Tells a machine again what was recorded of one of its kind, whichever that is.
pub(crate) fn tell(lines: impl Iterator<Item = io::Result<String>>) -> impl Iterator<Item = io::Result<Told>> {
    let (mut teller, mut skips) = (None, false);
    lines.filter_map(move |line| {
        let told = match line.map(|line| take(&mut teller, &line)) {
            Ok(Ok(told)) => told,
            // That has been said.
            Ok(Err(_)) if skips => return None,
            Ok(Err(why)) => Told::Unreadable(why),
            Err(error) => return Some(Err(error)),
        };
        skips = matches!(told, Told::Unreadable(_));
        Some(Ok(told))
    })
}

/// Tells machines of one kind.
trait Teller {
    /// Its kind.
    fn kind(&self) -> &'static str;
    /// Takes the next line.
    fn take(&mut self, line: &str) -> Result<Told, Unreadable>;
}

/// How a line begins that has a machine.
const START: &str = "{\"start\":";

/// What it takes to know the kind of that.
#[derive(Deserialize)]
struct Head {
    start: HeadOfStart,
}

#[derive(Deserialize)]
struct HeadOfStart {
    kind: String,
}

/// Has a line taken by one for its kind; what is no start is of the kind of the start before it.
fn take(teller: &mut Option<Box<dyn Teller>>, line: &str) -> Result<Told, Unreadable> {
    if line.starts_with(START)
        && let Ok(Head { start: HeadOfStart { kind } }) = serde_json::from_str(line)
        && teller.as_ref().is_none_or(|teller| teller.kind() != kind)
    {
        *teller = teller_of(&kind);
        if teller.is_none() {
            return Err(Unreadable::Kind(kind));
        }
    }
    teller.as_mut().ok_or(Unreadable::NoStart)?.take(line)
}

fn teller_of(kind: &str) -> Option<Box<dyn Teller>> {
    Some(match kind {
        Orchestrator::KIND => Box::<Telling<OfOrchestrator>>::default(),
        Orders::KIND => Box::<Telling<OfTablet>>::default(),
        Cluster::KIND => Box::<Telling<OfGateway>>::default(),
        _ => return None,
    })
}

/// See [`Teller`].
struct Telling<S: Story> {
    replay: Replay<S::Machine>,
    story: S,
    run: Option<u64>,
}

impl<S: Story> Default for Telling<S> {
    fn default() -> Self {
        Self { replay: Replay::default(), story: S::default(), run: None }
    }
}

impl<S: Story> Teller for Telling<S> {
    fn kind(&self) -> &'static str {
        S::Machine::KIND
    }

    fn take(&mut self, line: &str) -> Result<Told, Unreadable> {
        let told = self.replay.take(line);
        Ok(match told.inspect_err(|_| self.run = None)? {
            Event::Started { start, missed, differs } => {
                let goes_on = self.run.replace(start.source.run) == Some(start.source.run) && missed == 0;
                // It was read once already.
                let machine = if goes_on { None } else { serde_json::from_value(start.machine.clone()).ok() };
                let moments = machine.map_or_else(Vec::new, |machine| self.story.begin(start.at, &machine));
                Told::Start(start, missed, moments, differs.map(Box::new))
            }
            Event::Told { at, input, decided, differs } => {
                Told::Step(at, self.story.tell(at, &input, &decided), decided.len(), differs.map(Box::new))
            }
        })
    }
}

/// A time of the machine's, by the calendar.
pub(crate) fn calendar(origin_ns: u64, at: Instant) -> String {
    let since = i128::from(origin_ns) + i128::from(at.0);
    let Ok(when) = OffsetDateTime::from_unix_timestamp_nanos(since) else { return "at an unknown time".to_owned() };
    let (date, time) = (when.date(), when.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03} UTC",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}
