//! Recordings of orchestrators in words: what `weir-sim replay` and `weir ctl explain-failover` tell of them.
//!
//! [`tell`] tells a machine again what a recording has, and compares; [`story`] says it in words; [`explanation`] picks one
//! change of primary out of it, and [`picture`] draws it.

pub(crate) mod explanation;
pub(crate) mod picture;
pub(crate) mod story;
#[cfg(test)]
mod tests;

use story::{Moment, Story};
use time::OffsetDateTime;
use weir_core::orch::orchestrator::{Input, Orchestrator, Output};
use weir_core::recording::{Difference, Event, Replay, Start, Unreadable};
use weir_core::time::Instant;

/// What a recording says next.
#[derive(Debug)]
pub(crate) enum Told {
    /// The machine as it was, after so many inputs that are missing; a difference if it is not what it became.
    Start(Box<Start>, u64, Option<Box<Difference>>),
    /// An input, and what was decided: what is worth telling of it.
    Step(Instant, Vec<Moment>, usize, Option<Box<Difference>>),
    /// It cannot be told again from here to the next start.
    Unreadable(Unreadable),
}

/// Tells an orchestrator again what was recorded.
pub(crate) fn tell(
    lines: impl Iterator<Item = std::io::Result<String>>,
) -> impl Iterator<Item = std::io::Result<Told>> {
    let (mut replay, mut story, mut skips) = (Replay::<Orchestrator>::default(), Story::default(), false);
    lines.filter_map(move |line| {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let event: Result<Event<Input, Output>, Unreadable> = replay.take(&line);
        let told = match event {
            Ok(Event::Started { start, missed, differs }) => Told::Start(start, missed, differs.map(Box::new)),
            Ok(Event::Told { at, input, decided, differs }) => {
                Told::Step(at, story.tell(at, &input, &decided), decided.len(), differs.map(Box::new))
            }
            // That has been said.
            Err(_) if skips => return None,
            Err(why) => Told::Unreadable(why),
        };
        skips = matches!(told, Told::Unreadable(_));
        Some(Ok(told))
    })
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
