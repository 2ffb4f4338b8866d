//! Whether orchestrators found what a scenario brings about, when they had to, and whether it was over in time.

use super::Stage;
use super::failover::Failover;
use crate::check::Violation;
use crate::processes::failover::findings::Spell;
use crate::processes::operator::Operator;
use crate::scenario::{Finds, Scenario};
use weir_core::orch::analysis::Problem;
use weir_core::time::Instant;

/// What was not found, and what was not put right. A scenario whose statements are refused brings nothing about.
pub(super) fn check(stage: &Stage, failover: &Failover, scenario: &Scenario) -> Vec<Violation> {
    let operator = stage.world.process::<Operator>(stage.operator);
    let refused = operator.map_or(&[][..], Operator::refused).iter();
    let refused = refused.map(|why| Violation::new("what somebody does to a server is done", why.clone()));
    let finds = scenario.finds.iter().filter_map(|finds| {
        let tablet = failover.aliases.get(usize::from(finds.tablet) - 1)?.clone();
        let spells = failover.findings.of(&Problem { code: finds.code, tablet });
        judge(finds, &spells, stage.begun)
    });
    refused.chain(finds).collect()
}

fn judge(finds: &Finds, spells: &[Spell], begun: Instant) -> Option<Violation> {
    let Finds { code, tablet, .. } = finds;
    let from = finds.by.map_or(Instant::ZERO, |_| begun + finds.from.0);
    let by = finds.by.map_or(Instant::MAX, |by| begun + by.0);
    let when = |at: Instant| format!("{:?}", at.since(begun));
    let told = || match spells {
        [] => "never".to_owned(),
        spells => {
            spells.iter().map(|s| format!("from {} to {}", when(s.from), when(s.to))).collect::<Vec<_>>().join(", ")
        }
    };
    if !spells.iter().any(|spell| spell.from <= by && spell.to >= from) {
        let story = format!("{code} of tablet {tablet} was to be found by {}, and was {}", when(by), told());
        return Some(Violation::new("what is wrong is found", story));
    }
    let until = finds.until.map(|until| begun + until.0)?;
    let stays = spells.iter().any(|spell| spell.to > until);
    stays.then(|| {
        let story = format!("{code} of tablet {tablet} was to be over after {}, and was there {}", when(until), told());
        Violation::new("what is wrong is put right in time", story)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Span;
    use weir_core::orch::analysis::Code;
    use weir_core::time::Duration;

    const BEGUN: Instant = Instant(10_000_000_000);

    fn span(ms: u64) -> Span {
        Span(Duration::from_millis(ms))
    }

    /// Judges a finding that has to be there from 1 s to 2 s, and over after 3 s.
    fn promise(spells: &[(u64, u64)]) -> Option<&'static str> {
        let at = |ms| BEGUN + Duration::from_millis(ms);
        let spells: Vec<Spell> = spells.iter().map(|(from, to)| Spell { from: at(*from), to: at(*to) }).collect();
        let (by, until) = (Some(span(2000)), Some(span(3000)));
        let finds = Finds { code: Code::DeadPrimary, tablet: 1, from: span(1000), by, until };
        judge(&finds, &spells, BEGUN).map(|violation| violation.promise)
    }

    #[test]
    fn what_comes_too_late_or_stays_is_told() {
        assert_eq!(promise(&[(1500, 2900)]), None);
        assert_eq!(promise(&[(0, 1000)]), None, "it was there when it had to be");
        assert_eq!(promise(&[(0, 900)]), Some("what is wrong is found"));
        assert_eq!(promise(&[(2100, 2200)]), Some("what is wrong is found"));
        assert_eq!(promise(&[]), Some("what is wrong is found"));
        assert_eq!(promise(&[(1500, 1600), (3500, 3600)]), Some("what is wrong is put right in time"));
    }

    #[test]
    fn without_a_time_it_may_have_been_found_before_clients_began() {
        let finds = Finds { code: Code::ClusterHasNoPrimary, tablet: 1, from: span(0), by: None, until: None };
        assert_eq!(judge(&finds, &[Spell { from: Instant::ZERO, to: Instant::ZERO }], BEGUN), None);
        assert!(judge(&finds, &[], BEGUN).is_some());
    }
}
