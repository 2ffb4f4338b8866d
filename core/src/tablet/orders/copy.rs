//! A copy of another server's data, made beside a tablet's own and put in its place.
//!
//! Making it changes nothing, takes long, and goes on beside everything else the tablet does; so the order to make one is answered
//! at once, and the driver tells how far it is. Putting it in place is an order like others: the promise is on disk as that of
//! a server which has lost everything before the data are, so that whoever dies in between counts for too little, never for too much.

use super::{Action, Busy, Goal, Order, Orders, Output, Promise, Refusal};
use crate::gtid::Position;
use crate::mutants::Mutant;
use crate::time::Instant;
use crate::topo::TabletAlias;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A copy, whole or not. While there is one its tablet is being rebuilt, whoever has ordered that and has died since.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Copy {
    /// Whose data.
    pub from: TabletAlias,
    /// The term in which it was ordered: what its source had of the shard's history then is not known to fit a later one.
    pub term: u64,
    /// How far it is.
    pub stage: Stage,
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// So many bytes have come.
    UnderWay(u64),
    /// It can take the place of the server's data.
    Ready,
    /// Nothing more comes of it, for this reason.
    Broken(String),
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, stage, .. } = self;
        match stage {
            Stage::UnderWay(bytes) => write!(f, "copies the data of {from}, {} MiB so far", bytes >> 20),
            Stage::Ready => write!(f, "has a copy of the data of {from}, to be put in place"),
            Stage::Broken(why) => write!(f, "could not copy the data of {from}: {why}"),
        }
    }
}

/// A copy that was ordered, and that the disk does not know of yet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ordered {
    from: TabletAlias,
    term: u64,
    /// The order to be answered.
    id: u64,
}

impl Orders {
    /// The same, whose disk has this copy.
    #[must_use]
    pub fn with_copy(self, copy: Option<Copy>) -> Self {
        Self { copy, ..self }
    }

    /// Begins to copy, unless that was done in this term. Answered once the disk knows, so that whoever starts next goes on.
    pub(super) fn copy_from(&mut self, now: Instant, id: u64, term: u64, from: TabletAlias) {
        let promised = self.promise.promised;
        if term < promised {
            return self.answer(id, Err(Refusal::OldTerm(promised)));
        }
        let goes_on = |copy: &Copy| copy.term == term && !matches!(copy.stage, Stage::Broken(_));
        if self.copy.as_ref().is_some_and(goes_on) {
            let report = self.report(now, Position::default());
            return self.answer(id, Ok(report));
        }
        let before = match &mut self.ordered_copy {
            Some(ordered) if ordered.term == term => Some(core::mem::replace(&mut ordered.id, id)),
            ordered => {
                self.outputs.push_back(Output::Copy { from: from.clone(), term });
                ordered.replace(Ordered { from, term, id }).map(|before| before.id)
            }
        };
        if let Some(before) = before {
            self.answer(before, Err(Refusal::Failed("it was ordered again".into())));
        }
    }

    /// The driver says how far it is. What it says of a copy that was given up since came late.
    pub(super) fn copied(&mut self, now: Instant, copy: Copy) {
        let is_it = |from: &TabletAlias, term| (from, term) == (&copy.from, copy.term);
        let ordered = self.ordered_copy.take_if(|ordered| is_it(&ordered.from, ordered.term));
        let is_own = self.copy.as_ref().is_some_and(|own| is_it(&own.from, own.term));
        if ordered.is_none() && (!is_own || self.ordered_copy.is_some()) {
            return;
        }
        self.copy = Some(copy);
        self.tell(now);
        if let Some(Ordered { id, .. }) = ordered {
            let report = self.report(now, Position::default());
            self.answer(id, Ok(report));
        }
    }

    /// Puts the copy in place. Returns false when that was done before, for then the order is met.
    pub(super) fn restore(&mut self, now: Instant) -> bool {
        let Some(Goal { order: Order::Restore, term, .. }) = self.goal else { return false };
        match &self.copy {
            None => return false,
            Some(copy) if copy.stage != Stage::Ready || copy.term != term => {
                self.finish(now, Err(Refusal::Failed("it has no copy of this term".into())));
            }
            Some(_) if self.leads => self.finish(now, Err(Refusal::Failed("it leads".into()))),
            Some(_) => {
                let rebuilt = self.rebuilt();
                self.change(|promise| *promise = rebuilt);
                if !self.dirty {
                    self.begin(Busy::Restoring, Output::Act(Action::Restore));
                }
            }
        }
        true
    }

    fn rebuilt(&self) -> Promise {
        if self.mutants.breaks(Mutant::RebuildForgetsPromise) {
            return Promise::default();
        }
        self.promise.of_a_rebuilt_server()
    }

    /// The data are another's from now on.
    pub(super) fn restored(&mut self) {
        (self.copy, self.seen) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, State};
    use super::*;
    use crate::mutants::Mutants;

    fn alias(uid: u32) -> TabletAlias {
        format!("a-{uid}").parse().expect("an alias")
    }

    fn promise() -> Promise {
        Promise { promised: 4, followed: 4, term: (4, Position::mariadb(0, 1, 7)), incarnation: Some(9), lost_in: None }
    }

    fn drain(machine: &mut Orders) -> Vec<Output> {
        core::iter::from_fn(|| machine.poll_output()).filter(|output| !matches!(output, Output::State(_))).collect()
    }

    fn ordered(machine: &mut Orders, term: u64, order: Order) -> Vec<Output> {
        machine.handle(Instant::ZERO, Input::Order { id: 1, term, order });
        drain(machine)
    }

    fn copied(machine: &mut Orders, copy: Copy) -> Vec<Output> {
        machine.handle(Instant::ZERO, Input::Copied(copy));
        drain(machine)
    }

    fn told(machine: &Orders) -> Option<Stage> {
        machine.state(Instant::ZERO).copy.map(|copy| copy.stage)
    }

    fn is_done(outputs: &[Output]) -> bool {
        matches!(outputs, [Output::Answer { outcome: Ok(_), .. }])
    }

    fn copy(term: u64, stage: Stage) -> Copy {
        Copy { from: alias(3), term, stage }
    }

    fn with(copy: Option<Copy>) -> Orders {
        Orders::new(promise(), None, Mutants::NONE).with_copy(copy)
    }

    #[test]
    fn a_copy_is_begun_once_in_a_term_and_again_when_it_broke() {
        let mut machine = with(None);
        let order = || Order::Copy { from: alias(3) };
        let begins = [Output::Copy { from: alias(3), term: 4 }];
        assert_eq!(ordered(&mut machine, 4, order()), begins);
        copied(&mut machine, copy(4, Stage::UnderWay(0)));
        assert!(is_done(&ordered(&mut machine, 4, order())), "it is at it");
        copied(&mut machine, copy(4, Stage::Broken("gone".into())));
        assert_eq!(ordered(&mut machine, 4, order()), begins);
        copied(&mut machine, copy(3, Stage::Ready));
        assert!(matches!(told(&machine), Some(Stage::Broken(_))), "that one was given up");
        let refused = ordered(&mut machine, 3, order());
        assert_eq!(refused, [Output::Answer { id: 1, outcome: Err(Refusal::OldTerm(4)) }]);
    }

    #[test]
    fn nobody_hears_of_a_copy_of_which_the_disk_does_not_know() {
        let mut machine = with(None);
        let order = || Order::Copy { from: alias(3) };
        ordered(&mut machine, 4, order());
        assert_eq!(told(&machine), None);
        let again = ordered(&mut machine, 4, order());
        assert!(matches!(again[..], [Output::Answer { outcome: Err(Refusal::Failed(_)), .. }]), "the first: {again:?}");
        assert!(is_done(&copied(&mut machine, copy(4, Stage::UnderWay(0)))), "the second");
        assert_eq!(told(&machine), Some(Stage::UnderWay(0)));
    }

    #[test]
    fn a_copy_is_put_in_place_after_the_promise_says_that_everything_else_is_lost() {
        let mut machine = with(Some(copy(5, Stage::Ready)));
        let raised = Promise { promised: 5, ..promise() };
        assert_eq!(ordered(&mut machine, 5, Order::Restore), [Output::Persist(raised.clone())]);
        machine.handle(Instant::ZERO, Input::Persisted);
        let rebuilt = raised.of_a_rebuilt_server();
        assert_eq!((rebuilt.promised, rebuilt.followed, rebuilt.is_intact()), (5, 0, false));
        assert_eq!(drain(&mut machine), [Output::Persist(rebuilt)]);
        machine.handle(Instant::ZERO, Input::Persisted);
        assert_eq!(drain(&mut machine), [Output::Act(Action::Restore)]);
        machine.handle(Instant::ZERO, Input::Acted(Ok(())));
        assert_eq!(machine.state(Instant::ZERO).copy, None);
        assert_eq!(drain(&mut machine), [Output::Look]);
    }

    #[test]
    fn only_a_whole_copy_of_the_term_is_put_in_place() {
        for copy in [copy(4, Stage::UnderWay(9)), copy(3, Stage::Ready), copy(4, Stage::Broken("gone".into()))] {
            let outputs = ordered(&mut with(Some(copy)), 4, Order::Restore);
            let refused = matches!(outputs[..], [Output::Answer { outcome: Err(Refusal::Failed(_)), .. }]);
            assert!(refused, "{outputs:?}");
        }
        assert_eq!(ordered(&mut with(None), 4, Order::Restore), [Output::Look], "it was done before");
    }

    #[test]
    fn a_copy_is_read_from_what_a_tablet_says() {
        let text = copy(4, Stage::UnderWay(5 << 20)).to_string();
        assert_eq!(text, "copies the data of a-0000000003, 5 MiB so far");
        assert_eq!(State::default().copy, None);
    }
}
