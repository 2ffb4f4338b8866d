//! Linearizability of single rows, whoever writes them.
//!
//! The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's memory of states already
//! tried ("Testing for linearizability", 2017): take any operation that no unfinished one precedes, apply it, go on, and go
//! back when stuck. A write of unknown outcome may take effect at any time after it was sent, or never.

use super::Violation;
use super::history::{Action, Ended, Operation, Tick};
use std::collections::{BTreeMap, BTreeSet};

/// Configurations tried for one key before the search gives up and says so.
const STATES_MAX: usize = 2_000_000;

/// What the search came to for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains what everyone saw.
    Linearizable,
    /// There is none.
    Violated,
    /// Too many operations overlap to tell.
    Undecided,
}

/// Checks every key of a history. Undecided keys are reported as violations of the test's own making: use fewer clients per key.
#[must_use]
pub fn check(history: &[Operation]) -> Vec<Violation> {
    let mut keys: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for op in history {
        keys.entry(op.key).or_default().push(*op);
    }
    let judge = |(key, operations): (u64, Vec<Operation>)| match check_key(&operations) {
        Verdict::Linearizable => None,
        Verdict::Violated => Some(Violation::new(
            "a row behaves like a single copy",
            format!("no order of the {} operations on key {key} explains what they saw", operations.len()),
        )),
        Verdict::Undecided => Some(Violation::new(
            "a history must be small enough to check",
            format!("key {key} has too many overlapping operations"),
        )),
    };
    keys.into_iter().filter_map(judge).collect()
}

/// Checks the operations of one key. The row does not exist at first.
#[must_use]
pub fn check_key(operations: &[Operation]) -> Verdict {
    let mut relevant: Vec<Op> = operations.iter().filter_map(Op::of).collect();
    relevant.sort_by_key(|op| op.invoked);
    Search::new(relevant).run()
}

struct Op {
    action: Action,
    invoked: Tick,
    /// By when it has taken effect; never for writes of unknown outcome.
    by: Tick,
    /// It must have taken effect in the end.
    certain: bool,
}

impl Op {
    fn of(op: &Operation) -> Option<Self> {
        let (invoked, certain) = (op.invoked, op.ended == Ended::Ok);
        match (op.action, op.ended) {
            (_, Ended::Failed) | (Action::Read(_), Ended::Unknown) => None,
            (action, Ended::Ok) => Some(Self { action, invoked, by: op.returned, certain }),
            (action, Ended::Unknown) => Some(Self { action, invoked, by: Tick::MAX, certain }),
        }
    }
}

struct Search {
    operations: Vec<Op>,
    done: BitSet,
    value: Option<u64>,
    tried: BTreeSet<(BitSet, Option<u64>)>,
    /// What was applied, with the value before it.
    path: Vec<(usize, Option<u64>)>,
}

impl Search {
    fn new(operations: Vec<Op>) -> Self {
        let done = BitSet::new(operations.len());
        Self { operations, done, value: None, tried: BTreeSet::new(), path: Vec::new() }
    }

    fn run(mut self) -> Verdict {
        let mut from = 0;
        loop {
            if self.operations.iter().enumerate().all(|(index, op)| !op.certain || self.done.has(index)) {
                return Verdict::Linearizable;
            }
            if self.tried.len() > STATES_MAX {
                return Verdict::Undecided;
            }
            if let Some(index) = self.next_candidate(from) {
                self.apply(index);
                from = 0;
            } else {
                let Some((index, before)) = self.path.pop() else { return Verdict::Violated };
                self.done.remove(index);
                self.value = before;
                from = index + 1;
            }
        }
    }

    /// The first operation at or after `from` that may come next, leads to a configuration not tried, and fits.
    fn next_candidate(&mut self, from: usize) -> Option<usize> {
        let pending = |(index, _): &(usize, &Op)| !self.done.has(*index);
        let deadline = self.operations.iter().enumerate().filter(pending).map(|(_, op)| op.by).min()?;
        for index in from..self.operations.len() {
            let op = &self.operations[index];
            if op.invoked > deadline {
                // Something else was finished before this one began, and so do all that follow.
                return None;
            }
            if self.done.has(index) {
                continue;
            }
            let after = match op.action {
                Action::Write(value) => Some(value),
                Action::Read(seen) if seen == self.value => seen,
                Action::Read(_) => continue,
            };
            let mut done = self.done.clone();
            done.insert(index);
            if self.tried.insert((done, after)) {
                return Some(index);
            }
        }
        None
    }

    fn apply(&mut self, index: usize) {
        self.path.push((index, self.value));
        self.done.insert(index);
        if let Action::Write(value) = self.operations[index].action {
            self.value = Some(value);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BitSet(Vec<u64>);

impl BitSet {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    fn insert(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn remove(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::build::{read, write};
    use super::*;
    use weir_core::rng::Rng;

    fn verdict(history: &[Operation]) -> Verdict {
        check_key(history)
    }

    #[test]
    fn overlapping_operations_may_take_effect_in_any_order() {
        let history = [write(1, 0, 1, (1, 10)), write(2, 0, 2, (2, 9)), read(3, 0, 2, (3, 4)), read(3, 0, 1, (5, 6))];
        assert_eq!(verdict(&history), Verdict::Linearizable);
    }

    #[test]
    fn a_stale_read_is_no_single_copy() {
        let history = [write(1, 0, 1, (1, 2)), write(1, 0, 2, (3, 4)), read(2, 0, 1, (5, 6))];
        assert_eq!(verdict(&history), Verdict::Violated);
        assert_eq!(check(&history).len(), 1);
    }

    #[test]
    fn two_readers_cannot_see_two_writes_in_opposite_orders() {
        let history = [
            write(1, 0, 1, (1, 20)),
            write(2, 0, 2, (1, 20)),
            read(3, 0, 1, (2, 3)),
            read(3, 0, 2, (4, 5)),
            read(4, 0, 2, (2, 3)),
            read(4, 0, 1, (4, 5)),
        ];
        assert_eq!(verdict(&history), Verdict::Violated);
    }

    #[test]
    fn an_unknown_write_may_show_late_or_never_but_not_twice() {
        let unknown = write(1, 0, 1, (1, 2)).ended(Ended::Unknown);
        let late = [unknown, read(2, 0, 0, (5, 6)), read(2, 0, 1, (7, 8))];
        assert_eq!(verdict(&late), Verdict::Linearizable);
        assert_eq!(verdict(&[unknown, read(2, 0, 0, (5, 6))]), Verdict::Linearizable);
        let twice = [unknown, read(2, 0, 1, (3, 4)), write(3, 0, 2, (5, 6)), read(2, 0, 1, (7, 8))];
        assert_eq!(verdict(&twice), Verdict::Violated);
    }

    #[test]
    fn a_refused_write_must_not_show() {
        let refused = write(1, 0, 1, (1, 2)).ended(Ended::Failed);
        assert_eq!(verdict(&[refused, read(2, 0, 1, (3, 4))]), Verdict::Violated);
    }

    /// A register that applies each operation at a random moment within it yields only good histories; one read changed at
    /// random to a value overwritten long before yields a bad one.
    #[test]
    fn simulated_registers_are_accepted_and_forged_reads_are_not() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let mut value = 0;
            let mut history = Vec::new();
            for n in 1..200u64 {
                // Windows overlap those of a few neighbours; effects happen in order of n at tick 100 n.
                let window = (100 * n - rng.below(350).min(100 * n - 1), 100 * n + 1 + rng.below(350));
                if rng.chance(0.4) {
                    value = n;
                    history.push(write(n, 0, n, window));
                } else {
                    history.push(read(n, 0, value, window));
                }
            }
            assert_eq!(verdict(&history), Verdict::Linearizable, "seed {seed}");
            let old = history.iter().position(|op| matches!(op.action, Action::Write(_))).unwrap();
            let Action::Write(old) = history[old].action else { unreachable!() };
            let last = history.iter().rposition(|op| matches!(op.action, Action::Read(_))).unwrap();
            history[last].action = Action::Read(Some(old));
            assert_eq!(verdict(&history), Verdict::Violated, "seed {seed}");
        }
    }
}
