//! Somebody who records an orchestrator, and tells another the same: the two must decide the same, always.

use core::mem::discriminant;
use weir_core::orch::orchestrator::{Input, Orchestrator, Output};
use weir_core::recording::{Event, Line, Replay, Source};
use weir_core::time::Instant;

/// The machine is written down after so many inputs: often amid a change of primary.
const START_EVERY: u64 = 7;

/// See the module.
#[derive(Default)]
pub(super) struct Shadow {
    replay: Replay<Orchestrator>,
    number: u64,
}

impl Shadow {
    /// Has the orchestrator take an input, and its shadow the recording of that.
    ///
    /// # Panics
    /// When they differ, or what was recorded cannot be read.
    pub(super) fn decide(&mut self, machine: &mut Orchestrator, now: Instant, input: Input) -> Vec<Output> {
        if self.number.is_multiple_of(START_EVERY) {
            let source = Source { program: String::new(), name: String::new(), of: String::new(), run: 0 };
            self.tell(&Line::start(machine, source, self.number, (now, 0)));
        }
        let kind = discriminant(&input);
        let (decided, line) = Line::step(machine, now, input);
        self.number += 1;
        if let Event::Told { input, decided: read, .. } = self.tell(&line) {
            assert_eq!((discriminant(&input), &read), (kind, &decided), "a recording has what was");
        }
        decided
    }

    fn tell(&mut self, line: &Result<Line, serde_json::Error>) -> Event<Input, Output> {
        let line = line.as_ref().map(Line::text);
        let Ok(Ok(text)) = line else { panic!("it cannot be recorded: {line:?}") };
        let event = self.replay.take(&text);
        let Ok(Event::Started { differs: None, missed: 0, .. } | Event::Told { differs: None, .. }) = &event else {
            panic!("the shadow of an orchestrator differs: {event:?}")
        };
        event.unwrap_or_else(|why| panic!("{why}"))
    }
}
