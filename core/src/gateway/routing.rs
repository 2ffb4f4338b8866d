//! Where a statement goes: one table, read from the top; the first row that holds decides.

use super::variables::{Splitting, Variables};
use crate::marks::Mark;
use crate::topo::Role;

/// What a routing rule looks at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The statement may run on a replica.
    pub may_use_replica: bool,
    /// The role in the statement's own hint, `/*vt+ ROLE=REPLICA */`.
    pub hint: Option<Role>,
    /// The role chosen by `USE db@ROLE`.
    pub target: Option<Role>,
    /// The session's `autocommit`.
    pub autocommit: bool,
    /// It begins a read-only transaction.
    pub begins_read_only: bool,
    /// Weir's variables of the session.
    pub variables: &'a Variables,
}

/// The outcome, and the row that decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where to.
    pub role: Role,
    /// The row's name, for `EXPLAIN` and traces.
    pub rule: &'static str,
}

struct Rule {
    name: &'static str,
    mark: Mark,
    holds: fn(&Facts<'_>) -> bool,
    role: fn(&Facts<'_>) -> Role,
}

const fn primary(_: &Facts<'_>) -> Role {
    Role::Primary
}

const fn replica(_: &Facts<'_>) -> Role {
    Role::Replica
}

/// A session that holds a connection (transaction, pin) is not asked: everything runs there.
const RULES: [Rule; 7] = [
    Rule {
        name: "hint",
        mark: Mark::RouteHint,
        holds: |f| f.hint.is_some(),
        role: |f| f.hint.unwrap_or(Role::Primary),
    },
    Rule {
        name: "use-target",
        mark: Mark::RouteTarget,
        holds: |f| f.target.is_some(),
        role: |f| f.target.unwrap_or(Role::Primary),
    },
    Rule {
        name: "read-only-transaction",
        mark: Mark::RouteReadOnlyTransaction,
        holds: |f| f.begins_read_only && f.variables.split_read_only_transactions,
        role: replica,
    },
    Rule { name: "not-a-plain-read", mark: Mark::RouteNotARead, holds: |f| !f.may_use_replica, role: primary },
    Rule {
        name: "splitting-disabled",
        mark: Mark::RouteNotSplit,
        holds: |f| f.variables.splitting == Splitting::Disable,
        role: primary,
    },
    // The statement would open a transaction, and the next one in it may write.
    Rule { name: "autocommit-off", mark: Mark::RouteAutocommitOff, holds: |f| !f.autocommit, role: primary },
    Rule { name: "read", mark: Mark::RouteRead, holds: |_| true, role: replica },
];

/// Where the statement goes.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    for rule in &RULES {
        if (rule.holds)(facts) {
            rule.mark.hit();
            return Decision { role: (rule.role)(facts), rule: rule.name };
        }
    }
    unreachable!("the last rule always holds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(variables: &Variables) -> Facts<'_> {
        Facts { may_use_replica: true, hint: None, target: None, autocommit: true, begins_read_only: false, variables }
    }

    fn rule(facts: &Facts<'_>) -> (&'static str, Role) {
        let decision = decide(facts);
        (decision.rule, decision.role)
    }

    #[test]
    fn each_rule_decides_when_it_is_the_first_that_holds() {
        let v = Variables::default();
        let off = Variables { splitting: Splitting::Disable, ..Variables::default() };
        let read_only = Variables { split_read_only_transactions: true, ..Variables::default() };
        let base = facts(&v);
        let begin = Facts { may_use_replica: false, begins_read_only: true, ..base };
        for (facts, expected) in [
            (base, ("read", Role::Replica)),
            (Facts { may_use_replica: false, ..base }, ("not-a-plain-read", Role::Primary)),
            (Facts { autocommit: false, ..base }, ("autocommit-off", Role::Primary)),
            (Facts { variables: &off, ..base }, ("splitting-disabled", Role::Primary)),
            (Facts { hint: Some(Role::Primary), ..base }, ("hint", Role::Primary)),
            (Facts { hint: Some(Role::RdOnly), may_use_replica: false, ..base }, ("hint", Role::RdOnly)),
            (Facts { target: Some(Role::Replica), may_use_replica: false, ..base }, ("use-target", Role::Replica)),
            (begin, ("not-a-plain-read", Role::Primary)),
            (Facts { variables: &read_only, ..begin }, ("read-only-transaction", Role::Replica)),
        ] {
            assert_eq!(rule(&facts), expected, "{facts:?}");
        }
    }
}
