//! The rules by which statements are classified: all of them, as data.
//!
//! Two tables make one. [`STATEMENTS`] is asked first, with a statement's first words; what the row found says of the rest
//! ([`Rest`]) decides how [`CONTENTS`] is asked, with every token that follows. A test runs every row's example against it.
//!
//! [`ASSIGNMENTS`] is the annex for SET.
//!
//! A statement goes to a replica only when its row has [`Rest::Read`] and no row of [`CONTENTS`] speaks up.

mod assignments;
mod contents;
mod names;
mod statements;

pub(super) use assignments::{ASSIGNMENTS, AssignmentRule, Target};
pub(super) use contents::{CONTENTS, ContentRule, Match};
pub(super) use names::{function_may_have_a_rule, word_may_have_a_rule};
pub(super) use statements::{STATEMENTS, StatementRule, UNKNOWN};

use super::classification::Effects;
use super::variable::is_one_of;

/// What the rest of a statement, behind its first words, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// A read, if all that it contains is harmless.
    Read,
    /// Expressions are evaluated: what they contain adds its effects.
    Evaluated,
    /// Like `Evaluated`, after a list of columns: `name (` is a call only behind VALUES, VALUE, SELECT or SET.
    Columns,
    /// Like `Evaluated`, and user variables in it may be assigned.
    Assigning,
    /// Both like `Columns` and like `Assigning`.
    Loaded,
    /// Names and options, or a body that does not run now: what it contains does not matter.
    Opaque,
    /// Assignments of a SET, each with rules of its own.
    Assignments,
    /// Another statement, perhaps after options, that is planned but not executed; without one, names.
    Explained,
    /// Another statement, perhaps after options, that is executed.
    Analyzed,
    /// Assignments, FOR, and another statement.
    Prefixed,
}

/// A row of the table, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleNote {
    /// The name that [`Classification::rule`](super::Classification::rule) shows.
    pub name: &'static str,
    /// Why the rule is, where that does not go without saying.
    pub why: &'static str,
    /// A statement that it decides.
    pub example: &'static str,
}

/// The whole table, for people.
pub fn rule_notes() -> impl Iterator<Item = RuleNote> {
    let statements = STATEMENTS.iter().map(|rule| RuleNote { name: rule.begins, why: rule.why, example: rule.example });
    let contents = CONTENTS.iter().map(|rule| RuleNote { name: rule.name, why: rule.why, example: rule.example });
    let assignments = ASSIGNMENTS.iter().map(|rule| RuleNote { name: "SET", why: rule.why, example: rule.example });
    statements.chain(contents).chain(assignments)
}

/// Whether `name`, in any case, is a schema of the servers' own. A session whose default schema is one reads about the server
/// without naming it, which its statements do not show.
#[must_use]
pub fn is_system_schema(name: &[u8]) -> bool {
    CONTENTS.iter().any(|rule| matches!(rule.matches, Match::Schemas(schemas) if is_one_of(name, schemas)))
}

/// Both of what two parts of one text do: everything either does, and READ_ONLY only if both are.
pub(super) fn both(a: Effects, b: Effects) -> Effects {
    let all = a | b;
    let read_only = (a & b).contains(Effects::READ_ONLY) && !all.contains(Effects::WRITES);
    if read_only { all } else { all - Effects::READ_ONLY }
}

#[cfg(test)]
mod tests;
