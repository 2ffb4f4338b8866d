//! The consistency levels: how old what a read returns may be.
//!
//! The workload writes versions 1, 2, 3, … to each key from one session, so that the order of writes is known without
//! asking any server. A write whose outcome is unknown may count or not; the next one has a higher version all the same.

use super::Violation;
use super::history::{Action, Ended, Level, Operation, Tick, Who, clock};
use std::collections::BTreeMap;

/// What a read must not miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing that was not written, and nothing from the future.
    Eventual,
    /// The session's own earlier writes.
    Session,
    /// Writes acknowledged through the same gateway before the read began.
    Instance,
    /// Writes acknowledged through any gateway before the read began.
    Global,
    /// What the session has read before.
    Monotonic,
}

impl Promise {
    const fn name(self) -> &'static str {
        match self {
            Self::Eventual => "reads return what was written",
            Self::Session => "a session reads its own writes",
            Self::Instance => "reads see what their gateway acknowledged before",
            Self::Global => "reads see what any gateway acknowledged before",
            Self::Monotonic => "a session never reads older data than it has read",
        }
    }
}

/// Checks one promise over a history of versions, on the reads to which it was made.
#[must_use]
pub fn check(promise: Promise, history: &[Operation]) -> Vec<Violation> {
    let reads = reads(history).filter(|read| promise.is_made_to(read));
    if promise == Promise::Eventual {
        let sources = Sources::of(history);
        return reads.filter_map(|read| sources.check(read)).collect();
    }
    let floors = Floors::of(promise, history);
    reads.filter_map(|read| floors.check(promise, read)).collect()
}

/// Reads that missed a write acknowledged before them, by whomever.
pub fn stale(history: &[Operation]) -> impl Iterator<Item = &Operation> {
    let floors = Floors::of(Promise::Global, history);
    reads(history).filter(move |read| floors.check(Promise::Global, read).is_some())
}

/// Reads that were answered.
pub fn reads(history: &[Operation]) -> impl Iterator<Item = &Operation> {
    history.iter().filter(|op| matches!(op.action, Action::Read(_)) && op.ended == Ended::Ok)
}

impl Promise {
    /// A stronger level keeps what the weaker ones promise.
    fn is_made_to(self, read: &Operation) -> bool {
        match self {
            Self::Eventual => true,
            Self::Session => read.asked.level >= Level::Session,
            Self::Instance => read.asked.level >= Level::Instance,
            Self::Global => read.asked.level == Level::Global,
            Self::Monotonic => read.asked.monotonic,
        }
    }
}

fn version(op: &Operation) -> u64 {
    match op.action {
        Action::Write(version) => version,
        Action::Read(version) => version.unwrap_or(0),
    }
}

/// When each version of each key may have appeared first.
struct Sources(BTreeMap<(u64, u64), Tick>);

impl Sources {
    fn of(history: &[Operation]) -> Self {
        let written = history.iter().filter(|op| matches!(op.action, Action::Write(_)) && op.ended != Ended::Failed);
        Self(written.map(|op| ((op.key, version(op)), op.invoked)).collect())
    }

    fn check(&self, read: &Operation) -> Option<Violation> {
        let seen = version(read);
        let written = self.0.get(&(read.key, seen)).is_some_and(|invoked| *invoked < read.returned);
        (seen != 0 && !written).then(|| {
            let story = format!(
                "session {} read version {seen} of key {}, which nobody can have written",
                read.who.session, read.key
            );
            Violation::new(Promise::Eventual.name(), story).seen(read.who.session, read.returned)
        })
    }
}

/// For each scope and key: from which tick on, at least which version must be seen. Both grow.
struct Floors(BTreeMap<(u64, u64), Vec<(Tick, u64)>>);

impl Floors {
    fn of(promise: Promise, history: &[Operation]) -> Self {
        let counts = |op: &&Operation| {
            let is_read = matches!(op.action, Action::Read(_));
            op.ended == Ended::Ok && is_read == (promise == Promise::Monotonic)
        };
        let mut known: Vec<&Operation> = history.iter().filter(counts).collect();
        known.sort_by_key(|op| op.returned);
        let mut floors: BTreeMap<(u64, u64), Vec<(Tick, u64)>> = BTreeMap::new();
        for op in known {
            let steps = floors.entry((scope(promise, op.who), op.key)).or_default();
            let highest = steps.last().map_or(0, |(_, version)| *version);
            if version(op) > highest {
                steps.push((op.returned, version(op)));
            }
        }
        Self(floors)
    }

    fn check(&self, promise: Promise, read: &Operation) -> Option<Violation> {
        let steps = self.0.get(&(scope(promise, read.who), read.key))?;
        let before = steps.partition_point(|(tick, _)| *tick < read.invoked);
        let (tick, floor) = steps[..before].last()?;
        let seen = version(read);
        (seen < *floor).then(|| {
            let story = format!(
                "session {} through gateway {} read version {seen} of key {} after {}, although version {floor} was known at {}",
                read.who.session, read.who.gateway, read.key, clock(read.invoked), clock(*tick)
            );
            let broken = Violation::new(promise.name(), story);
            let own = matches!(promise, Promise::Session | Promise::Monotonic);
            let broken = if own { broken.seen(read.who.session, *tick) } else { broken };
            broken.seen(read.who.session, read.returned)
        })
    }
}

fn scope(promise: Promise, who: Who) -> u64 {
    match promise {
        Promise::Session | Promise::Monotonic => who.session,
        Promise::Instance => who.gateway.into(),
        Promise::Global | Promise::Eventual => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Asked;
    use super::super::history::build::{read, write};
    use super::*;

    const ALL: [Promise; 5] =
        [Promise::Eventual, Promise::Session, Promise::Instance, Promise::Global, Promise::Monotonic];

    fn broken(history: &[Operation]) -> Vec<Promise> {
        ALL.into_iter().filter(|promise| !check(*promise, history).is_empty()).collect()
    }

    #[test]
    fn a_history_on_one_copy_keeps_every_promise() {
        let history = [
            write(1, 7, 1, (1, 4)),
            read(2, 7, 0, (2, 3)),
            read(2, 7, 1, (3, 5)),
            write(1, 7, 2, (6, 9)),
            read(12, 7, 2, (7, 8)),
            read(12, 7, 1, (7, 8)).ended(Ended::Unknown),
            read(1, 7, 2, (10, 11)),
        ];
        assert_eq!(broken(&history), []);
    }

    #[test]
    fn each_promise_is_missed_by_the_reader_it_is_made_to() {
        let write = write(1, 7, 1, (1, 2));
        // Its own session; another of the same gateway; one of another gateway.
        assert_eq!(broken(&[write, read(1, 7, 0, (3, 4))]), [Promise::Session, Promise::Instance, Promise::Global]);
        assert_eq!(broken(&[write, read(2, 7, 0, (3, 4))]), [Promise::Instance, Promise::Global]);
        assert_eq!(broken(&[write, read(12, 7, 0, (3, 4))]), [Promise::Global]);
    }

    #[test]
    fn a_read_that_began_before_the_acknowledgement_may_miss_it() {
        assert_eq!(broken(&[write(1, 7, 1, (1, 5)), read(12, 7, 0, (4, 9))]), []);
    }

    #[test]
    fn going_back_in_time_is_noticed_even_when_nobody_acknowledged() {
        let unknown = write(1, 7, 1, (1, 9)).ended(Ended::Unknown);
        let history = [unknown, read(2, 7, 1, (2, 3)), read(2, 7, 0, (4, 5))];
        assert_eq!(broken(&history), [Promise::Monotonic]);
        let other_session = [unknown, read(2, 7, 1, (2, 3)), read(3, 7, 0, (4, 5))];
        assert_eq!(broken(&other_session), []);
    }

    #[test]
    fn a_version_that_was_refused_or_lies_in_the_future_comes_from_nowhere() {
        let refused = write(1, 7, 1, (1, 2)).ended(Ended::Failed);
        assert_eq!(broken(&[refused, read(2, 7, 1, (3, 4))]), [Promise::Eventual]);
        assert_eq!(broken(&[write(1, 7, 1, (5, 6)), read(2, 7, 1, (3, 4))]), [Promise::Eventual]);
    }

    #[test]
    fn keys_do_not_vouch_for_one_another() {
        assert_eq!(broken(&[write(1, 7, 5, (1, 2)), read(1, 8, 0, (3, 4))]), []);
    }

    #[test]
    fn a_promise_is_kept_to_those_who_asked_for_it() {
        let asking = |level| Asked { level, monotonic: false };
        let missed = |level| broken(&[write(1, 7, 1, (1, 2)), read(1, 7, 0, (3, 4)).asking(asking(level))]);
        assert_eq!(missed(Level::Eventual), []);
        assert_eq!(missed(Level::Session), [Promise::Session]);
        assert_eq!(missed(Level::Instance), [Promise::Session, Promise::Instance]);
        assert_eq!(missed(Level::Global), [Promise::Session, Promise::Instance, Promise::Global]);
        let history = [write(1, 7, 1, (1, 2)), read(12, 7, 0, (3, 4)).asking(asking(Level::Eventual))];
        assert_eq!((stale(&history).count(), reads(&history).count()), (1, 1), "it is old all the same");
    }
}
