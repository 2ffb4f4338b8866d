//! Who becomes primary: of those that have promised, one that has everything.
//!
//! Positions alone do not tell which of two histories counts: a former primary may be ahead by writes that nobody
//! acknowledged. So the reports are compared by the term they have *followed* first, as Raft compares the term of the last
//! entry: whoever has all that a term began with has everything that was acknowledged before that term. What others have
//! besides is errant: never acknowledged, never merged.

use super::durability::Tablets;
use crate::gtid::{Divergence, Position};
use crate::tablet::orders::Report;
use crate::topo::TabletAlias;
use core::cmp::Reverse;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a tablet should be primary, as the operator says. Better ones first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Promotion {
    /// Rather than others that are as far.
    Prefer,
    /// Yes.
    #[default]
    Neutral,
    /// Never: it may be waited for to pass on what it has, but it takes no writes of clients.
    MustNot,
}

/// What the recruited have answered.
pub type Reports = BTreeMap<TabletAlias, Report>;

/// Who is to be primary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Choice {
    /// The candidate.
    pub tablet: TabletAlias,
    /// What the term begins with: everything that was ever acknowledged is in it.
    pub begins_at: Position,
    /// Who has transactions that are not in it, and which. Nobody acknowledged them.
    pub errant: BTreeMap<TabletAlias, Position>,
}

/// Why nobody can be chosen without a decision of the operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Undecided {
    /// Nobody has answered.
    Nobody,
    /// Two followed the same term, and each has what the other lacks.
    Incomparable(TabletAlias, TabletAlias),
    /// Only these have everything, and none of them may be primary.
    NoneMay(Vec<TabletAlias>),
    /// A position cannot be judged: flavours are mixed, or it is too large.
    Unreadable(TabletAlias),
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("no tablet has promised"),
            Self::Incomparable(one, other) => {
                write!(f, "{one} and {other} followed the same term, and each has transactions that the other lacks")
            }
            Self::NoneMay(tablets) => {
                write!(f, "only tablets that must not be primary have every transaction:")?;
                tablets.iter().try_for_each(|tablet| write!(f, " {tablet}"))
            }
            Self::Unreadable(tablet) => write!(f, "the position of {tablet} cannot be compared with the others'"),
        }
    }
}

/// Chooses among the recruited. `wanted` is whom the operator named; it still needs to have everything.
///
/// What was acknowledged is on those that are intact. One that may have lost something has everything as well if it has all that
/// they have, and what it has beyond that is better kept than left to be errant.
///
/// # Errors
/// Why there is no safe choice.
pub fn choose(
    reports: &Reports,
    promotion: &BTreeMap<TabletAlias, Promotion>,
    wanted: Option<&TabletAlias>,
) -> Result<Choice, Undecided> {
    let intact = || reports.iter().filter(|(_, report)| report.intact);
    let followed = intact().map(|(_, report)| report.followed).max().ok_or(Undecided::Nobody)?;
    let latest: Vec<_> = intact().filter(|(_, report)| report.followed == followed).collect();
    let rule = |tablet: &TabletAlias| promotion.get(tablet).copied().unwrap_or_default();
    let least = most_advanced(&latest)?;
    let begins_at = reports
        .iter()
        .filter(|(tablet, report)| !report.intact && report.followed == followed && rule(tablet) != Promotion::MustNot)
        .fold(least, |most, (_, report)| if has(report, &most) { report.position.clone() } else { most });
    let complete = reports.iter().filter(|(_, report)| report.followed == followed && has(report, &begins_at));
    let complete: Tablets = complete.map(|(tablet, _)| tablet.clone()).collect();
    let may = complete.iter().filter(|tablet| rule(tablet) != Promotion::MustNot);
    let best = may.min_by_key(|tablet| (Reverse(wanted == Some(*tablet)), rule(tablet)));
    let tablet = best.cloned().ok_or_else(|| Undecided::NoneMay(complete.into_iter().collect()))?;
    Ok(Choice { tablet, errant: errant(reports, &begins_at), begins_at })
}

/// It has all of a history, as far as positions tell.
fn has(report: &Report, history: &Position) -> bool {
    let diverges = matches!(report.position.divergence(history), Ok(Divergence::Proven));
    !diverges && report.position.contains(history).unwrap_or(false)
}

/// The position that contains all others'.
fn most_advanced(latest: &[(&TabletAlias, &Report)]) -> Result<Position, Undecided> {
    let (mut ahead, first) = latest.first().copied().ok_or(Undecided::Nobody)?;
    let mut position = &first.position;
    for (tablet, report) in latest {
        let unreadable = |_| Undecided::Unreadable((*tablet).clone());
        if position.divergence(&report.position).map_err(unreadable)? == Divergence::Proven {
            return Err(Undecided::Incomparable(ahead.clone(), (*tablet).clone()));
        }
        if !position.contains(&report.position).map_err(unreadable)? {
            (ahead, position) = (tablet, &report.position);
        }
    }
    Ok(position.clone())
}

/// Transactions that are on a tablet but not in the shard's history, found on every tablet that reports, whether it
/// replicates or not.
#[must_use]
pub fn errant(reports: &Reports, history: &Position) -> BTreeMap<TabletAlias, Position> {
    let extra = |report: &Report| match report.position.divergence(history) {
        // On MariaDB a position names only the end of what goes beyond.
        Ok(Divergence::Proven) if report.position.as_mariadb().is_some() => Some(report.position.clone()),
        _ => report.position.subtract(history).ok().filter(|extra| !extra.is_empty()),
    };
    reports.iter().filter_map(|(tablet, report)| Some((tablet.clone(), extra(report)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00000000-0000-0000-0000-00000000000a";
    const B: &str = "00000000-0000-0000-0000-00000000000b";

    fn alias(text: &str) -> TabletAlias {
        text.parse().expect("an alias")
    }

    fn reports(list: &[(&str, u64, &str)]) -> Reports {
        let report = |followed, position: &str| Report {
            promised: 9,
            followed,
            position: position.parse().expect("a position"),
            intact: true,
            ..Report::default()
        };
        list.iter().map(|(tablet, followed, position)| (alias(tablet), report(*followed, position))).collect()
    }

    fn chosen(
        list: &[(&str, u64, &str)],
        rules: &[(&str, Promotion)],
        wanted: Option<&str>,
    ) -> Result<Choice, Undecided> {
        let rules = rules.iter().map(|(tablet, rule)| (alias(tablet), *rule)).collect();
        choose(&reports(list), &rules, wanted.map(alias).as_ref())
    }

    fn name(choice: Result<Choice, Undecided>) -> String {
        choice.map_or_else(|why| why.to_string(), |choice| choice.tablet.to_string())
    }

    #[test]
    fn the_most_advanced_is_chosen_whatever_the_operator_prefers() {
        let ahead = format!("{A}:1-5");
        let behind = format!("{A}:1-4");
        let list = [("a-1", 1, behind.as_str()), ("a-2", 1, ahead.as_str())];
        assert_eq!(name(chosen(&list, &[("a-1", Promotion::Prefer)], Some("a-1"))), "a-0000000002");
        assert!(name(chosen(&list, &[("a-2", Promotion::MustNot)], None)).contains("must not be primary"));
        assert_eq!(chosen(&[], &[], None), Err(Undecided::Nobody));
    }

    #[test]
    fn among_equals_the_one_wanted_comes_first_then_the_rules() {
        let list = [("a-1", 1, "0-1-5"), ("a-2", 1, "0-1-5"), ("a-3", 1, "0-1-5")];
        assert_eq!(name(chosen(&list, &[], None)), "a-0000000001");
        assert_eq!(name(chosen(&list, &[("a-1", Promotion::MustNot)], None)), "a-0000000002");
        assert_eq!(name(chosen(&list, &[("a-2", Promotion::Prefer)], None)), "a-0000000002");
        assert_eq!(name(chosen(&list, &[("a-2", Promotion::Prefer)], Some("a-3"))), "a-0000000003");
        assert_eq!(name(chosen(&list, &[("a-3", Promotion::MustNot)], Some("a-3"))), "a-0000000001");
    }

    #[test]
    fn two_histories_of_one_term_stop_the_election() {
        let (one, other) = (format!("{A}:1-5,{B}:1"), format!("{A}:1-6"));
        let list = [("a-1", 1, one.as_str()), ("a-2", 1, other.as_str())];
        assert_eq!(chosen(&list, &[], None), Err(Undecided::Incomparable(alias("a-1"), alias("a-2"))));
        let list = [("a-1", 1, "0-1-5"), ("a-2", 1, "0-2-5")];
        assert_eq!(chosen(&list, &[], None), Err(Undecided::Incomparable(alias("a-1"), alias("a-2"))));
        let list = [("a-1", 1, "0-1-5"), ("a-2", 1, one.as_str())];
        assert_eq!(chosen(&list, &[], None), Err(Undecided::Unreadable(alias("a-2"))));
    }

    #[test]
    fn an_old_primary_that_is_ahead_of_its_successor_is_errant_and_not_chosen() {
        let (old, new) = (format!("{A}:1-9"), format!("{A}:1-5,{B}:1"));
        let choice = chosen(&[("a-1", 1, &old), ("a-2", 2, &new)], &[], Some("a-1")).expect("a choice");
        assert_eq!((choice.tablet, choice.begins_at.to_string()), (alias("a-2"), new));
        assert_eq!(choice.errant, BTreeMap::from([(alias("a-1"), format!("{A}:6-9").parse().expect("a position"))]));
    }

    #[test]
    fn one_that_may_have_lost_something_is_chosen_when_it_has_everything_and_more() {
        let choose_with = |position: &str, followed, rule| {
            let mut reports = reports(&[("a-1", 2, "0-1-5"), ("a-2", 2, "0-1-4"), ("a-3", followed, position)]);
            reports.get_mut(&alias("a-3")).expect("it is there").intact = false;
            choose(&reports, &BTreeMap::from([(alias("a-3"), rule)]), None).expect("a choice")
        };
        let choice = choose_with("0-1-6", 2, Promotion::Neutral);
        let ahead = (alias("a-3"), "0-1-6".to_owned(), BTreeMap::new());
        assert_eq!((choice.tablet, choice.begins_at.to_string(), choice.errant), ahead);
        let as_before = [
            ("0-1-4", 2, Promotion::Neutral, "it has too little"),
            ("0-2-5", 2, Promotion::Neutral, "it has something else"),
            ("0-1-6", 1, Promotion::Neutral, "what it has beyond is of an earlier term"),
            ("0-1-6", 2, Promotion::MustNot, "it may not"),
        ];
        for (position, followed, rule, why) in as_before {
            let choice = choose_with(position, followed, rule);
            assert_eq!((choice.tablet, choice.begins_at.to_string()), (alias("a-1"), "0-1-5".to_owned()), "{why}");
        }
    }

    #[test]
    fn errant_transactions_are_found_wherever_they_are() {
        let history = format!("{A}:1-5").parse().expect("a position");
        let (fine, bad) = (format!("{A}:1-3"), format!("{A}:1-3,{B}:7"));
        let found = errant(&reports(&[("a-1", 1, &fine), ("a-2", 0, &bad), ("a-3", 1, "")]), &history);
        assert_eq!(found, BTreeMap::from([(alias("a-2"), format!("{B}:7").parse().expect("a position"))]));
        let history = "0-1-5".parse().expect("a position");
        let found = errant(&reports(&[("a-1", 1, "0-1-4"), ("a-2", 1, "0-2-5"), ("a-3", 1, "0-1-6")]), &history);
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [alias("a-2"), alias("a-3")]);
    }
}
