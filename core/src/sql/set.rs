//! SET, assignment by assignment.

use super::asked::{Edit, edited};
use super::classification::Effects;
use super::rules::{ASSIGNMENTS, AssignmentRule, Rest, StatementRule, Target};
use super::scan::Scan;
use super::statement::{Asks, Verdict, verdict};
use super::stream::Tokens;
use super::token::{Dialect, Token, TokenKind};
use super::variable::{Scope, is_one_of, is_own, lower, system_variable, unquoted};
use crate::link::Settings;

/// One part of a SET, between commas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assignment<'a> {
    /// Its first two tokens.
    head: [Option<Token<'a>>; 2],
    /// Which value is set. A scope said before an earlier part holds on for those that say none, except `@@name`.
    pub(super) scope: Scope,
    /// The last name before `=`, without backquotes; `None` for parts that have no `=`.
    pub(super) name: Option<&'a [u8]>,
    /// First and last token of the value.
    pub(super) value: Option<(Token<'a>, Token<'a>)>,
    /// Its last two tokens.
    tail: [Option<Token<'a>>; 2],
}

/// Takes the tokens of a SET apart, which follow the word SET itself; hands every token and every part over as it is complete.
pub(super) fn parts<'a>(
    tokens: &mut Tokens<'a>,
    mut seen: impl FnMut(Token<'a>),
    mut part: impl FnMut(&Assignment<'a>),
) {
    let mut reader = Reader::default();
    let mut depth = 0_u32;
    while let Some(token) = tokens.next_of_statement() {
        seen(token);
        match token.kind {
            TokenKind::OpenParen => depth += 1,
            TokenKind::CloseParen => depth = depth.saturating_sub(1),
            TokenKind::Comma if depth == 0 => {
                reader.finish().iter().for_each(&mut part);
                continue;
            }
            _ => {}
        }
        reader.push(token);
    }
    reader.finish().iter().for_each(&mut part);
}

/// Collects one part.
#[derive(Default)]
struct Reader<'a> {
    head: [Option<Token<'a>>; 2],
    last_name: Option<Token<'a>>,
    equals: bool,
    value: Option<(Token<'a>, Token<'a>)>,
    said: Option<Scope>,
    tail: [Option<Token<'a>>; 2],
}

impl<'a> Reader<'a> {
    fn push(&mut self, token: Token<'a>) {
        self.tail = [self.tail[1], Some(token)];
        if self.equals {
            self.value = Some((self.value.map_or(token, |(first, _)| first), token));
            return;
        }
        if let Some(free) = self.head.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(token);
        }
        match token.kind {
            TokenKind::Operator if matches!(token.text, b"=" | b":=") => self.equals = true,
            TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::SystemVariable => self.last_name = Some(token),
            _ => {}
        }
    }

    /// The part that is complete, if there is one; the next begins.
    fn finish(&mut self) -> Option<Assignment<'a>> {
        let done = std::mem::replace(self, Self { said: self.said, ..Self::default() });
        let [Some(first), second] = done.head else { return None };
        let scope = if first.kind == TokenKind::SystemVariable {
            system_variable(first.text).0
        } else {
            let more = second.is_some_and(|second| second.kind != TokenKind::Operator);
            self.said = if more { Scope::parse(first.text) } else { None }.or(self.said);
            self.said.unwrap_or(Scope::Unsaid)
        };
        let name = done.last_name.filter(|_| done.equals).map(|name| system_variable(name.text).1);
        Some(Assignment { head: done.head, scope, name, value: done.value, tail: done.tail })
    }
}

impl<'a> Assignment<'a> {
    /// The row that holds for it.
    pub(super) fn rule(&self) -> &'static AssignmentRule {
        let found = ASSIGNMENTS.iter().find(|rule| self.matches(&rule.target));
        debug_assert!(found.is_some(), "the last row takes any");
        found.unwrap_or(&ASSIGNMENTS[ASSIGNMENTS.len() - 1])
    }

    fn matches(&self, target: &Target) -> bool {
        let name = self.name.unwrap_or_default();
        match target {
            Target::Words(words) => self.begins(words),
            Target::UserVariable => self.head[0].is_some_and(|token| token.kind == TokenKind::UserVariable),
            Target::Own => is_own(name),
            Target::Unscoped(names) => self.bare().is_some() && is_one_of(name, names),
            Target::UnlessOff(names) => is_one_of(name, names) && !self.is_off(),
            Target::Variables(names) => is_one_of(name, names),
            Target::Global => self.scope == Scope::Global,
            Target::NotCarried => self.name.is_some_and(|name| !Settings::carries(&lower(name))),
            Target::Any => true,
        }
    }

    /// `@@name`, with no scope and as no part of a structured variable.
    fn bare(&self) -> Option<Token<'a>> {
        let written = |token: &Token<'_>| token.kind == TokenKind::SystemVariable && !token.text.contains(&b'.');
        self.head[0].filter(written)
    }

    /// The name to which a scope is to be added, so that MariaDB reports what is set.
    fn lacks_scope(&self, rule: &AssignmentRule) -> Option<Token<'a>> {
        self.bare().filter(|_| rule.effects.contains(Effects::SETS_VARIABLES))
    }

    fn begins(&self, words: &str) -> bool {
        words.split(' ').zip(self.head).all(|(word, token)| token.is_some_and(|token| token.is_word(word)))
    }

    /// For NAMES, CHARSET and CHARACTER SET: the collation they name.
    fn names(&self) -> Option<Option<&'a [u8]>> {
        let first = self.head[0]?;
        let [before, last] = self.tail;
        let collates = first.is_word("names") && before.is_some_and(|before| before.is_word("collate"));
        let sets = is_one_of(first.text, &["names", "charset", "char", "character"]) && self.name.is_none();
        sets.then(|| last.filter(|_| collates).map(|last| unquoted(last.text)))
    }

    fn is_off(&self) -> bool {
        self.value.is_some_and(|(first, last)| first == last && is_one_of(unquoted(first.text), &["0", "off", "false"]))
    }
}

/// The verdict on a SET.
pub(super) fn statement(tokens: &mut Tokens<'_>, rule: &'static StatementRule) -> Verdict {
    let mut scan = Scan::new(Rest::Evaluated, rule.effects, tokens.dialect());
    let mut effects = Effects::empty();
    let (mut own, mut others) = (false, false);
    tokens.next();
    parts(
        tokens,
        |token| scan.push(token),
        |part| {
            let rule = part.rule();
            effects |= rule.effects;
            if part.lacks_scope(rule).is_some() {
                effects |= Effects::LACKS_SCOPE;
            }
            let is_own = matches!(rule.target, Target::Own);
            own |= is_own;
            others |= !is_own;
        },
    );
    scan.end();
    let asks = match (own, others) {
        (true, true) => Asks::Both,
        (true, false) => Asks::Gateway,
        (false, _) => Asks::Server,
    };
    Verdict { asks, ..verdict(rule, scan.effects | effects) }
}

/// The collation of the last `SET NAMES x COLLATE y` in `sql`, if no plain SET NAMES or SET CHARACTER SET comes after it.
///
/// Servers' trackers report the character sets that SET NAMES sets, but not this collation.
#[must_use]
pub fn set_names_collation(sql: &[u8], dialect: Dialect) -> Option<&[u8]> {
    let mut collation = None;
    each_part(sql, dialect, |part| {
        if let Some(chosen) = part.names() {
            // The character set's own is what holds without a word.
            collation = chosen.filter(|name| !name.eq_ignore_ascii_case(b"default"));
        }
    });
    collation
}

/// Writes `@@session.name = value` where `sql` sets `@@name = value`: it means the same, and MariaDB's trackers report it, too.
#[must_use]
pub fn with_scopes(sql: &[u8], dialect: Dialect) -> Vec<u8> {
    const SCOPE: &[u8] = b"session.";
    let mut edits = Vec::new();
    each_part(sql, dialect, |part| {
        if let Some(name) = part.lacks_scope(part.rule()) {
            let at = name.start + b"@@".len();
            edits.push(Edit { at: at..at, text: SCOPE.to_vec(), token: usize::MAX });
        }
    });
    edited(sql, edits)
}

/// The parts of each SET in `sql`.
fn each_part<'a>(sql: &'a [u8], dialect: Dialect, mut part: impl FnMut(&Assignment<'a>)) {
    let mut tokens = Tokens::new(sql, dialect);
    while let Some(token) = tokens.next() {
        if token.is_word("set") {
            parts(&mut tokens, |_| {}, &mut part);
        } else if token.kind != TokenKind::Semicolon {
            tokens.skip_statement();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_written_to_each_name_that_has_none() {
        for (sql, expected) in [
            ("SET @@sql_mode = ''", "SET @@session.sql_mode = ''"),
            ("set @@`sql_mode`:='', @@b = @@c", "set @@session.`sql_mode`:='', @@session.b = @@c"),
            ("SET GLOBAL a = 1, @@b = (2, 3)", "SET GLOBAL a = 1, @@session.b = (2, 3)"),
            ("SELECT @@a = 1; SET @@a = 1; SET @@b = 2;", "SELECT @@a = 1; SET @@session.a = 1; SET @@session.b = 2;"),
            ("/*!40101 SET @@a = 1 */", "/*!40101 SET @@session.a = 1 */"),
            ("SET @@transaction_isolation = 'SERIALIZABLE'", "SET @@transaction_isolation = 'SERIALIZABLE'"),
            (
                "SET @@local.a = 1, @@hot.key_buffer_size = 1, a = 1",
                "SET @@local.a = 1, @@hot.key_buffer_size = 1, a = 1",
            ),
        ] {
            let written = with_scopes(sql.as_bytes(), Dialect::default());
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }

    #[test]
    fn the_collation_of_set_names_is_found_wherever_it_stands() {
        for (sql, expected) in [
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", Some("utf8mb4_bin")),
            ("set names 'utf8mb4' collate 'utf8mb4_bin';", Some("utf8mb4_bin")),
            ("SET sql_mode = '', NAMES latin1 COLLATE `latin1_bin`, @a = (1, 2)", Some("latin1_bin")),
            ("SELECT 1; SET NAMES utf8 COLLATE utf8_bin; SELECT 2", Some("utf8_bin")),
            ("SET NAMES utf8 COLLATE utf8_bin, NAMES utf8", None),
            ("SET NAMES utf8 COLLATE utf8_bin; SET CHARACTER SET latin1", None),
            ("SET NAMES utf8", None),
            ("SET @a = 'x' COLLATE utf8_bin", None),
            ("SELECT NAMES COLLATE utf8_bin", None),
            ("", None),
        ] {
            let found = set_names_collation(sql.as_bytes(), Dialect::default());
            assert_eq!(found, expected.map(str::as_bytes), "{sql}");
        }
    }
}
