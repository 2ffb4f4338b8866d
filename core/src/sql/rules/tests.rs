//! Every row of the table catches its own example, and nothing before it does.

use super::{ASSIGNMENTS, AssignmentRule, CONTENTS, Rest, STATEMENTS};
use crate::sql::classification::{Effects, Route};
use crate::sql::scan::Scan;
use crate::sql::statement::rule_of;
use crate::sql::stream::Tokens;
use crate::sql::token::Dialect;
use crate::sql::{classify, set};
use std::ptr;

fn tokens(sql: &str) -> Tokens<'_> {
    Tokens::new(sql.as_bytes(), Dialect::default())
}

#[test]
fn every_statement_rule_catches_its_example() {
    for rule in STATEMENTS {
        let found = rule_of(&tokens(rule.example));
        assert!(ptr::eq(found, rule), "{}: caught by {}", rule.example, found.begins);
    }
}

#[test]
fn every_content_rule_catches_its_example() {
    for rule in CONTENTS {
        let mut scan = Scan::new(Rest::Read, Effects::READ_ONLY, Dialect::default());
        tokens(rule.example).for_each(|token| scan.push(token));
        scan.end();
        let found = scan.decided_by.unwrap_or_else(|| panic!("{}: nothing found", rule.example));
        assert!(ptr::eq(found, rule), "{}: caught by {}", rule.example, found.name);
        let verdict = classify(rule.example.as_bytes(), Dialect::default());
        assert_ne!(verdict.route, Route::Replica, "{}", rule.example);
        assert!(verdict.effects.contains(rule.effects - Effects::READ_ONLY), "{}: {verdict:?}", rule.example);
    }
}

#[test]
fn every_assignment_rule_catches_its_example() {
    for rule in ASSIGNMENTS {
        let mut found: Option<&AssignmentRule> = None;
        let mut rest = tokens(rule.example);
        rest.next();
        set::parts(&mut rest, |_| {}, |part| found = found.or(Some(part.rule())));
        let found = found.unwrap_or_else(|| panic!("{}: no assignment", rule.example));
        assert!(ptr::eq(found, rule), "{}: caught by {}", rule.example, found.example);
    }
}

#[test]
fn a_rule_that_writes_is_never_read_only() {
    let effects = STATEMENTS.iter().map(|rule| rule.effects).chain(CONTENTS.iter().map(|rule| rule.effects));
    for effects in effects {
        assert!(!effects.contains(Effects::READ_ONLY | Effects::WRITES));
        assert!(!effects.contains(Effects::PINS_TABLE_LOCK | Effects::ENDS_TABLE_LOCK));
    }
}
