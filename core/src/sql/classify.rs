//! From text to verdict: cuts it into statements, judges each, and joins the verdicts.

use super::classification::{Classification, Effects, Kill, Kind, Own, Route, Victim};
use super::own;
use super::program;
use super::rules::both;
use super::statement::{Asks, Verdict, statement};
use super::stream::Tokens;
use super::token::Dialect;

/// Decides what `sql` is: one statement, or several with `;` between them.
///
/// Never fails: what is not understood goes to the primary. Does not allocate unless the gateway itself is asked.
#[must_use]
pub fn classify(sql: &[u8], dialect: Dialect) -> Classification<'_> {
    let mut tokens = Tokens::new(sql, dialect);
    let mut whole = Whole::default();
    while let Some(part) = statement(&mut tokens) {
        whole.add(part);
    }
    whole.stores_program = whole.statements > 1 && program::is_stored(sql, dialect);
    let doubt = doubt(sql, dialect, &tokens);
    let own = whole.own(sql, dialect, doubt.is_some());
    let Verdict { route, kind, effects, rule, .. } = whole.verdict(sql, doubt);
    let (route, effects) = if own.is_some() { (Route::Gateway, Effects::empty()) } else { (route, effects) };
    Classification {
        route,
        kind,
        effects,
        statements: whole.statements,
        rule,
        hint_role: tokens.role,
        hint: tokens.hint,
        own,
    }
}

/// The doubt about a text all of whose tokens are known, though not which of them a server passes over.
const EXECUTABLE_COMMENT: &str = "executable comment";

/// Why a server may read another statement in a text than its tokens tell.
fn doubt(sql: &[u8], dialect: Dialect, tokens: &Tokens<'_>) -> Option<&'static str> {
    if tokens.unterminated {
        Some("unterminated text")
    } else if tokens.has_executable_comment() {
        Some(EXECUTABLE_COMMENT)
    } else if dialect.may_misread(sql) {
        Some("character set")
    } else {
        None
    }
}

/// A text that cannot be read for certain and has the word in it may be a SET TRANSACTION, which no tracker reports.
fn hidden_transaction(sql: &[u8]) -> Effects {
    const WORDS: [&[u8]; 2] = [b"transaction", b"tx_"];
    let has = |word: &[u8]| sql.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    if WORDS.into_iter().any(has) { Effects::PINS_NEXT_TRANSACTION } else { Effects::empty() }
}

/// A text in which no place is certain, and which may set a variable that no tracker reports: a scope cannot be written into it.
fn hidden_settings(sql: &[u8]) -> Effects {
    let sets = || sql.windows(b"set".len()).any(|part| part.eq_ignore_ascii_case(b"set"));
    let may_set = memchr::memmem::find(sql, b"@@").is_some() && sets();
    if may_set { Effects::PINS_OTHER } else { Effects::empty() }
}

/// The verdicts on the statements of a text, joined.
#[derive(Default)]
struct Whole {
    statements: u32,
    joined: Option<Verdict>,
    /// A SET of own variables is among them, alone or mixed with others.
    sets_own: bool,
    /// A KILL is among them.
    kills: bool,
    /// They are, or may be, the body of a stored program.
    stores_program: bool,
}

/// Nothing to run: the server says so.
const EMPTY: Verdict = Verdict {
    route: Route::Primary,
    kind: Kind::Empty,
    effects: Effects::READ_ONLY,
    rule: "empty",
    asks: Asks::Server,
};

impl Whole {
    fn add(&mut self, part: Option<Verdict>) {
        let Some(part) = part else { return };
        self.statements = self.statements.saturating_add(1);
        self.sets_own |= matches!(part.asks, Asks::Gateway | Asks::Both);
        self.kills |= part.kind == Kind::Kill;
        self.joined = Some(match self.joined {
            None => part,
            Some(first) => join(first, part),
        });
    }

    /// What the gateway answers itself: a statement that stands alone and is beyond doubt.
    fn own<'a>(&self, sql: &'a [u8], dialect: Dialect, in_doubt: bool) -> Option<Own<'a>> {
        let verdict = self.joined?;
        let alone = self.statements == 1 && !in_doubt;
        match verdict.asks {
            _ if self.sets_own && !alone => Some(Own::MixedSet),
            Asks::Both => Some(Own::MixedSet),
            // A server would take the ids for those of its own connections, which are other clients'.
            _ if self.kills && !alone && !self.stores_program => {
                Some(Own::Kill(Kill { query: false, soft: false, victim: Victim::Unserved }))
            }
            Asks::Gateway | Asks::Perhaps if alone => own::answer(sql, dialect, verdict.kind),
            _ => None,
        }
    }

    fn verdict(&self, sql: &[u8], doubt: Option<&'static str>) -> Verdict {
        let mut verdict = self.joined.unwrap_or(EMPTY);
        if let Some(rule) = doubt {
            let hidden = if memchr::memchr(b';', sql).is_some() { Effects::MULTI } else { Effects::empty() };
            verdict.effects = both(verdict.effects, Effects::WRITES | hidden | hidden_transaction(sql));
            if rule != EXECUTABLE_COMMENT {
                verdict.effects = both(verdict.effects - Effects::LACKS_SCOPE, hidden_settings(sql));
            }
            verdict = Verdict { route: Route::Primary, rule, ..verdict };
        }
        if self.statements > 1 {
            verdict.effects |= Effects::MULTI;
        }
        if self.stores_program {
            verdict.effects -= Effects::NEEDS_DIAGNOSTICS | Effects::LACKS_SCOPE;
        }
        if verdict.effects.contains(Effects::MULTI) && !verdict.effects.contains(Effects::READ_ONLY) {
            // Only the last statement's OK packet tells of an id, and only the last failure is seen.
            verdict.effects |= Effects::MAY_SET_INSERT_ID;
            verdict.effects -= Effects::ENDS_TABLE_LOCK;
        }
        verdict
    }
}

/// One verdict on two statements that run one after the other on one connection: the more demanding, with both's effects.
fn join(first: Verdict, second: Verdict) -> Verdict {
    let demanding = if second.route > first.route { second } else { first };
    Verdict { effects: both(first.effects, second.effects), asks: Asks::Server, ..demanding }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(sql: &str) -> Route {
        classify(sql.as_bytes(), Dialect::default()).route
    }

    #[test]
    fn reads_go_to_replicas_and_writes_to_the_primary() {
        for sql in [
            "SELECT 1",
            "(select c from t where id in (1, 2)) union all (select count(*) from u)",
            "SELECT 1;",
            "SELECT 1; SELECT 2",
        ] {
            assert_eq!(route(sql), Route::Replica, "{sql}");
        }
        for sql in
            ["INSERT INTO t VALUES (1)", "SELECT f(1)", "SELECT 1; DELETE FROM t", "", "SELECT 'a", "SELECT /*!1*/ 1"]
        {
            assert_eq!(route(sql), Route::Primary, "{sql}");
        }
    }

    #[test]
    fn a_transaction_that_may_be_prepared_where_nobody_can_read_it_keeps_its_connection() {
        let effects = |sql: &str| classify(sql.as_bytes(), Dialect::default()).effects;
        let pin = Effects::PINS_NEXT_TRANSACTION;
        assert!(effects("/*!50000 SET Transaction ISOLATION LEVEL SERIALIZABLE */").contains(pin));
        assert!(effects("/*!50000 SET @@tx_isolation = 'SERIALIZABLE' */").contains(pin));
        assert!(!effects("/*!50000 SET NAMES utf8 */").contains(pin));
    }

    #[test]
    fn what_is_set_without_a_scope_is_known_wherever_a_scope_can_be_written() {
        let effects =
            |sql: &[u8], dialect| classify(sql, dialect).effects & (Effects::LACKS_SCOPE | Effects::PINS_OTHER);
        let (plain, gbk) = (Dialect::default(), Dialect { unsafe_charset: true, ..Dialect::default() });
        for sql in ["SET @@sql_mode = ''", "SELECT 1; set a = 1, @@b = 2", "/*!40101 SET @@sql_mode = '' */"] {
            assert_eq!(effects(sql.as_bytes(), plain), Effects::LACKS_SCOPE, "{sql}");
        }
        for sql in [
            "SET @@session.sql_mode = ''",
            "SET sql_mode = @@sql_mode",
            "SET @@global.max_connections = 5",
            "SET @@tx_isolation = 'SERIALIZABLE'",
            "SET @@hot.key_buffer_size = 1",
            "SELECT @@sql_mode = ''",
        ] {
            assert_eq!(effects(sql.as_bytes(), plain), Effects::empty(), "{sql}");
        }
        let stored = b"CREATE PROCEDURE p() BEGIN SET @@sql_mode = ''; SET @@sort_buffer_size = 1; END";
        assert!(!effects(stored, plain).contains(Effects::LACKS_SCOPE), "it is stored as it is written");
        assert_eq!(effects(b"SET @a = '\xbf\x5c', @@sql_mode = ''", gbk), Effects::PINS_OTHER);
        assert_eq!(effects(b"SELECT '\xbf\x5c', @@sql_mode", gbk), Effects::empty());
    }

    #[test]
    fn nesting_costs_no_stack() {
        for piece in
            ["EXPLAIN (", "(EXPLAIN ", "SET STATEMENT a = 1 FOR ", "SET STATEMENT a = 1 FOR EXPLAIN (", "ANALYZE "]
        {
            assert_eq!(route(&piece.repeat(100_000)), Route::Primary, "{piece}");
        }
    }
}
