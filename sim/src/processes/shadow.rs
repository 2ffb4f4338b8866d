//! Somebody who records a machine of the control plane, and tells another the same: the two must decide the same, always.

use core::fmt::Debug;
use core::mem::discriminant;
use weir_core::recording::{Event, Line, Recorded, Replay, Source};
use weir_core::time::Instant;

/// The machine is written down after so many inputs: often amid a change of primary.
const START_EVERY: u64 = 7;

/// See the module.
#[derive(Debug)]
pub(super) struct Shadow<M> {
    /// None when nobody looks.
    replay: Option<Replay<M>>,
    number: u64,
}

impl<M> Shadow<M>
where
    M: Recorded<Input: Debug, Output: Debug + PartialEq>,
{
    /// One that looks, or not.
    pub(super) fn new(looks: bool) -> Self {
        Self { replay: looks.then(Replay::default), number: 0 }
    }

    /// Has the machine take an input, and its shadow the recording of that.
    ///
    /// # Panics
    /// When they differ, or what was recorded cannot be read.
    pub(super) fn decide(&mut self, machine: &mut M, now: Instant, input: M::Input) -> Vec<M::Output> {
        let Some(replay) = &mut self.replay else { return machine.decide(now, input) };
        if self.number.is_multiple_of(START_EVERY) {
            let source = Source { program: String::new(), name: String::new(), of: String::new(), run: 0 };
            tell(replay, &Line::start(machine, source, self.number, (now, 0)));
        }
        let kind = discriminant(&input);
        let (decided, line) = Line::step(machine, now, input);
        self.number += 1;
        if let Event::Told { input, decided: read, .. } = tell(replay, &line) {
            assert_eq!((discriminant(&input), &read), (kind, &decided), "a recording has what was");
        }
        decided
    }
}

fn tell<M>(replay: &mut Replay<M>, line: &Result<Line, serde_json::Error>) -> Event<M::Input, M::Output>
where
    M: Recorded<Input: Debug, Output: Debug>,
{
    let line = line.as_ref().map(Line::text);
    let Ok(Ok(text)) = line else { panic!("it cannot be recorded: {line:?}") };
    let event = replay.take(&text);
    let Ok(Event::Started { differs: None, missed: 0, .. } | Event::Told { differs: None, .. }) = &event else {
        panic!("the shadow of a machine of the kind {} differs: {event:?}", M::KIND)
    };
    event.unwrap_or_else(|why| panic!("{why}"))
}
