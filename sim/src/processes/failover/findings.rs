//! What the orchestrators of a run have found wrong, and from when to when, and which changes they declined, for checkers. They share it, and it outlives them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use weir_core::orch::analysis::Problem;
use weir_core::time::{Duration, Instant};

/// Who is found wrong again within this was wrong meanwhile: orchestrators look ten times a second.
const GAP_MAX: Duration = Duration::from_millis(250);

/// A time during which something was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// When it was found first.
    pub from: Instant,
    /// When it was found last.
    pub to: Instant,
}

/// The board.
#[derive(Clone, Debug, Default)]
pub struct Findings(Rc<RefCell<BTreeMap<Problem, Vec<Spell>>>>, Rc<RefCell<Vec<String>>>);

impl Findings {
    /// These are wrong now.
    pub fn note<'a>(&self, now: Instant, problems: impl Iterator<Item = &'a Problem>) {
        for problem in problems {
            let mut all = self.0.borrow_mut();
            if !all.contains_key(problem) {
                all.insert(problem.clone(), Vec::new());
            }
            let Some(spells) = all.get_mut(problem) else { continue };
            match spells.last_mut().filter(|last| now.since(last.to) <= GAP_MAX) {
                Some(last) => last.to = now,
                None => spells.push(Spell { from: now, to: now }),
            }
        }
    }

    /// A planned change did not come about.
    pub fn decline(&self, why: String) {
        self.1.borrow_mut().push(why);
    }

    /// Why planned changes did not come about.
    #[must_use]
    pub fn declined(&self) -> Vec<String> {
        self.1.borrow().clone()
    }

    /// When something was wrong.
    #[must_use]
    pub fn of(&self, problem: &Problem) -> Vec<Spell> {
        self.0.borrow().get(problem).cloned().unwrap_or_default()
    }
}
