//! The lives of machines, as recordings have them: from one start of the process to its end, by the clock of its machine.

use super::story::Moment;
use super::{Told, tell};
use std::io;
use weir_core::time::Instant;

/// One life.
pub(crate) struct Life {
    /// What kind of machine.
    pub(crate) kind: String,
    /// Of which process.
    pub(crate) name: String,
    pub(crate) shard: String,
    pub(crate) run: u64,
    pub(crate) moments: Vec<Moment>,
    /// Since when which Unix time is its clock's zero, in nanoseconds: a clock may have been set meanwhile.
    origins: Vec<(Instant, u64)>,
    /// As far as it is recorded.
    from: Instant,
    until: Instant,
}

impl Life {
    /// A time of the machine's, as Unix time in nanoseconds.
    pub(crate) fn unix_ns(&self, at: Instant) -> u64 {
        self.origin_ns(at).saturating_add(at.0)
    }

    /// The Unix time at which its clock was zero, as it was reckoned then, in nanoseconds.
    pub(crate) fn origin_ns(&self, at: Instant) -> u64 {
        let known = self.origins.iter().rev().find(|(since, _)| *since <= at);
        known.or(self.origins.first()).map_or(0, |(_, origin)| *origin)
    }

    /// From when to when it is recorded, as Unix time in nanoseconds.
    pub(crate) fn recorded_ns(&self) -> (u64, u64) {
        (self.unix_ns(self.from), self.unix_ns(self.until))
    }
}

/// All that there are in recordings.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn lives(
    recordings: impl Iterator<Item = impl Iterator<Item = io::Result<String>>>,
) -> Result<Vec<Life>, String> {
    let mut all = Vec::new();
    for lines in recordings {
        all.extend(lives_of(lines)?);
    }
    Ok(all)
}

fn lives_of(lines: impl Iterator<Item = io::Result<String>>) -> Result<Vec<Life>, String> {
    let mut lives: Vec<Life> = Vec::new();
    // A gateway and its successor may record at the same time.
    let mut now = 0;
    for told in tell(lines) {
        match told.map_err(|error| format!("a recording cannot be read: {error}"))? {
            Told::Start(start, _, moments, _) => {
                now = lives.iter().position(|life| life.run == start.source.run).unwrap_or(lives.len());
                if now == lives.len() {
                    let (shard, name, run) = (start.source.of, start.source.name, start.source.run);
                    let (origins, from, moments) = (Vec::new(), start.at, Vec::new());
                    lives.push(Life { kind: start.kind, name, shard, run, moments, origins, from, until: from });
                }
                let life = &mut lives[now];
                life.origins.push((start.at, start.origin_ns));
                life.until = life.until.max(start.at);
                life.moments.extend(moments);
            }
            Told::Step(at, moments, ..) => {
                if let Some(life) = lives.get_mut(now) {
                    life.until = life.until.max(at);
                    life.moments.extend(moments);
                }
            }
            // What follows can be, and is told.
            Told::Unreadable(_) => {}
        }
    }
    Ok(lives)
}
