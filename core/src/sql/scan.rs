//! Reads what a statement contains, token by token, and asks the table of contents about each.
//!
//! Whether a word is a keyword, a name or a call shows only in its neighbours, so every token is judged once the next is
//! known, with the two before it at hand.

use super::classification::{Effects, Kind};
use super::functions;
use super::rules::{CONTENTS, ContentRule, Match, Rest, both, function_may_have_a_rule, word_may_have_a_rule};
use super::token::{Dialect, Token, TokenKind};
use super::variable::{OWN_VARIABLES, SERVER_NAMES, TRACKERS, is_one_of, system_variable, unquoted};

/// What has been found so far in one statement.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    dialect: Dialect,
    /// What the statement does, with what its contents add.
    pub(super) effects: Effects,
    /// The first content that keeps it from a replica.
    pub(super) decided_by: Option<&'static ContentRule>,
    /// What the contents say that it is instead.
    pub(super) kind: Option<Kind>,
    /// It asks for something that the gateway may know: an own variable, the connection's id.
    pub(super) asks_gateway: bool,
    /// `name (` may be a call by now: the list of columns is over.
    calls: bool,
    /// A user variable is assigned where it stands.
    assigning: bool,
    /// INTO has this meaning: what follows is assigned.
    into_assigns: bool,
    /// The tokens before the one to be judged, the nearest last.
    before: [Option<Token<'a>>; 2],
    current: Option<Token<'a>>,
    /// The current token was judged together with the one before it.
    judged: bool,
}

impl<'a> Scan<'a> {
    /// A statement with `effects` of its own, whose rest is `rest`.
    pub(super) fn new(rest: Rest, effects: Effects, dialect: Dialect) -> Self {
        Self {
            dialect,
            effects,
            decided_by: None,
            kind: None,
            asks_gateway: false,
            calls: !matches!(rest, Rest::Columns | Rest::Loaded),
            assigning: matches!(rest, Rest::Assigning | Rest::Loaded),
            into_assigns: rest == Rest::Read,
            before: [None; 2],
            current: None,
            judged: false,
        }
    }

    /// Takes in the next token.
    pub(super) fn push(&mut self, token: Token<'a>) {
        self.judge(Some(&token));
        self.before = [self.before[1], self.current];
        self.current = Some(token);
    }

    /// Takes in the end.
    pub(super) fn end(&mut self) {
        self.judge(None);
    }

    fn judge(&mut self, next: Option<&Token<'a>>) {
        let Some(current) = self.current else { return };
        if std::mem::take(&mut self.judged) {
            return;
        }
        match current.kind {
            TokenKind::Word => self.word(&current, next),
            TokenKind::QuotedIdentifier if is(next, TokenKind::Dot) => self.schema(current.text),
            TokenKind::OpenParen => self.call(&current, next),
            TokenKind::SystemVariable => self.system_variable(current.text),
            // `@@session . name`
            TokenKind::Dot if is(self.before[1].as_ref(), TokenKind::SystemVariable) => {
                self.system_variable(next.map_or(&[], |name| name.text));
            }
            TokenKind::UserVariable if self.assigning || next.is_some_and(|next| next.text == b":=") => {
                self.hit(|matches| matches!(matches, Match::AssignedVariable));
            }
            _ => {}
        }
    }

    fn word(&mut self, word: &Token<'a>, next: Option<&Token<'a>>) {
        self.calls = self.calls || is_one_of(word.text, &["select", "set", "value", "values"]);
        if !word_may_have_a_rule(word.text) {
            return;
        }
        if self.into_assigns && word.is_word("into") {
            self.assigning = true;
        }
        if is(next, TokenKind::Dot) {
            self.schema(word.text);
        }
        if is(next, TokenKind::OpenParen) && functions::is_built_in(word.text, self.dialect) {
            return;
        }
        let pair = |first: &str, second: &str| word.is_word(first) && next.is_some_and(|next| next.is_word(second));
        let paired = |matches: &Match| matches!(matches, Match::Pairs(pairs) if pairs.iter().any(|(a, b)| pair(a, b)));
        if self.hit(paired) {
            self.judged = true;
            return;
        }
        self.hit(|matches| matches!(matches, Match::Words(words) if is_one_of(word.text, words)));
    }

    fn schema(&mut self, name: &[u8]) {
        let name = unquoted(name);
        self.hit(|matches| matches!(matches, Match::Schemas(schemas) if is_one_of(name, schemas)));
    }

    fn system_variable(&mut self, text: &[u8]) {
        let (_, name) = system_variable(text);
        if is_one_of(name, &SERVER_NAMES) {
            return;
        }
        self.asks_gateway |= is_one_of(name, &OWN_VARIABLES) || is_one_of(name, &TRACKERS);
        self.hit(|matches| match matches {
            Match::Variables(names) => is_one_of(name, names),
            Match::AnyVariable => true,
            _ => false,
        });
    }

    /// Judges an opening parenthesis: whether the name before it is called, and what it is that is called.
    fn call(&mut self, paren: &Token<'a>, next: Option<&Token<'a>>) {
        let [before, Some(name)] = self.before else { return };
        if !self.calls || !may_be_called(before.as_ref(), &name, next) {
            return;
        }
        let called = unquoted(name.text);
        let qualified = is(before.as_ref(), TokenKind::Dot);
        let with_arguments = !is(next, TokenKind::CloseParen);
        let known = !qualified
            && function_may_have_a_rule(called)
            && self.hit(|matches| match matches {
                Match::Functions(names) => is_one_of(called, names),
                Match::WithArguments(known) => with_arguments && called.eq_ignore_ascii_case(known.as_bytes()),
                _ => false,
            });
        if known {
            self.asks_gateway |= called.eq_ignore_ascii_case(b"connection_id");
            return;
        }
        // Behind a space, or in backquotes, some names of the servers' functions are those of stored ones.
        let plain = name.kind == TokenKind::Word && !qualified;
        let harmless = functions::is_keyword(name.text)
            || (name.end() == paren.start && functions::is_built_in(name.text, self.dialect));
        if !(plain && harmless) {
            self.hit(|matches| matches!(matches, Match::StoredFunction));
        }
    }

    /// Applies the first row that matches, if there is one.
    fn hit(&mut self, matches: impl Fn(&Match) -> bool) -> bool {
        let Some(rule) = CONTENTS.iter().find(|rule| matches(&rule.matches)) else { return false };
        self.effects = both(self.effects, rule.effects);
        self.kind = self.kind.or(rule.kind);
        self.decided_by = self.decided_by.or(Some(rule));
        true
    }
}

fn is(token: Option<&Token<'_>>, kind: TokenKind) -> bool {
    token.is_some_and(|token| token.kind == kind)
}

/// Whether `name (` can be a call at all: not where a name follows an operand (`) OVER (`, `'$' COLUMNS (`), where one is
/// being given (`AS d (a)`, `WITH c (a)`), or where a query follows (`ANY (SELECT`).
fn may_be_called(before: Option<&Token<'_>>, name: &Token<'_>, next: Option<&Token<'_>>) -> bool {
    if !matches!(name.kind, TokenKind::Word | TokenKind::QuotedIdentifier) {
        return false;
    }
    let operand = before.is_some_and(|before| match before.kind {
        TokenKind::CloseParen | TokenKind::String | TokenKind::Number | TokenKind::Placeholder => true,
        TokenKind::UserVariable | TokenKind::SystemVariable => true,
        TokenKind::Word => is_one_of(before.text, &["as", "with", "recursive"]),
        _ => false,
    });
    let query = next.is_some_and(|next| next.is_word("select") || next.is_word("with"));
    !operand && !query
}
