//! The verdict on one statement: finds its row by its first words, then reads the rest as the row says.

use super::classification::{Effects, Kind, Route};
use super::rules::{Rest, STATEMENTS, StatementRule, UNKNOWN, both};
use super::scan::Scan;
use super::set;
use super::stream::Tokens;
use super::token::{Token, TokenKind};
use super::variable::{is_one_of, is_own, unquoted};

/// What is known of one statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) route: Route,
    pub(super) kind: Kind,
    pub(super) effects: Effects,
    pub(super) rule: &'static str,
    pub(super) asks: Asks,
}

/// Whether the gateway is asked, rather than a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// A server.
    Server,
    /// Perhaps the gateway: its form decides.
    Perhaps,
    /// The gateway, by an own SET.
    Gateway,
    /// Both, in one SET.
    Both,
}

/// Reads one statement and the semicolon behind it. `None` at the end of the text; `Some(None)` when there is nothing before
/// the semicolon.
pub(super) fn statement(tokens: &mut Tokens<'_>) -> Option<Option<Verdict>> {
    match tokens.clone().next() {
        Some(token) if token.kind != TokenKind::Semicolon => Some(Some(by_rule(tokens, rule_of(tokens)))),
        _ => tokens.next().map(|_| None),
    }
}

fn by_rule(tokens: &mut Tokens<'_>, rule: &'static StatementRule) -> Verdict {
    match rule.rest {
        Rest::Opaque => {
            tokens.skip_statement();
            verdict(rule, rule.effects)
        }
        Rest::Read | Rest::Evaluated | Rest::Columns | Rest::Assigning | Rest::Loaded => scanned(tokens, rule),
        Rest::Assignments => set::statement(tokens, rule),
        Rest::Explained | Rest::Analyzed => explained(tokens, rule),
        Rest::Prefixed => prefixed(tokens, rule),
    }
}

/// The primary's, unless it is shown to be a read.
pub(super) fn verdict(rule: &'static StatementRule, effects: Effects) -> Verdict {
    let asks = match rule.kind {
        Kind::Use | Kind::Show | Kind::Kill | Kind::Reload | Kind::ResetDigests => Asks::Perhaps,
        Kind::Explain if rule.rest == Rest::Opaque => Asks::Perhaps,
        _ => Asks::Server,
    };
    Verdict { route: Route::Primary, kind: rule.kind, effects, rule: rule.begins, asks }
}

fn scanned(tokens: &mut Tokens<'_>, rule: &'static StatementRule) -> Verdict {
    let mut scan = Scan::new(rule.rest, rule.effects, tokens.dialect());
    while let Some(token) = tokens.next_of_statement() {
        scan.push(token);
    }
    scan.end();
    let mut verdict = verdict(rule, scan.effects);
    if rule.rest == Rest::Read {
        verdict.kind = scan.kind.unwrap_or(rule.kind);
        match scan.decided_by {
            Some(content) => verdict.rule = content.name,
            None => verdict.route = Route::Replica,
        }
        if scan.asks_gateway {
            verdict.asks = Asks::Perhaps;
        }
    }
    debug_assert!(verdict.route == Route::Primary || verdict.effects == Effects::READ_ONLY);
    verdict
}

/// EXPLAIN, DESCRIBE and ANALYZE: options, then a statement; or names (DESCRIBE t, EXPLAIN FOR CONNECTION 5).
fn explained(tokens: &mut Tokens<'_>, rule: &'static StatementRule) -> Verdict {
    let options = explain_options(tokens, rule);
    let first = tokens.clone().next();
    let rule_within = rule_of(tokens);
    let explains =
        matches!(rule_within.kind, Kind::Select | Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete);
    let inner = if explains && first.is_some() {
        by_rule(tokens, rule_within)
    } else {
        let names = scanned(tokens, rule);
        Verdict { rule: rule.begins, ..names }
    };
    let kept = match options.runs {
        // Its answer is a plan, so no OK packet tells of an id.
        true if inner.effects.contains(Effects::WRITES) => inner.effects | Effects::MAY_SET_INSERT_ID,
        true => inner.effects,
        false => inner.effects - Effects::WRITES,
    };
    let (route, name) = match inner.route {
        Route::Replica if options.effects.contains(Effects::READ_ONLY) => (Route::Replica, rule.begins),
        _ => (Route::Primary, inner.rule),
    };
    Verdict { route, kind: Kind::Explain, effects: both(options.effects, kept), rule: name, asks: Asks::Server }
}

/// What stands between EXPLAIN and what it explains.
struct ExplainOptions {
    /// What is explained is also executed.
    runs: bool,
    effects: Effects,
}

fn explain_options(tokens: &mut Tokens<'_>, rule: &StatementRule) -> ExplainOptions {
    let mut options = ExplainOptions { runs: rule.rest == Rest::Analyzed, effects: rule.effects };
    let mut words: &[&str] = &["analyze", "desc", "describe", "explain"];
    loop {
        let mut ahead = tokens.clone();
        let Some(token) = ahead.next() else { return options };
        let option = match token.kind {
            TokenKind::Word => is_one_of(token.text, words),
            // MySQL 8.1: EXPLAIN FORMAT=JSON INTO @plan SELECT ...
            TokenKind::UserVariable => true,
            _ => token.text == b"=",
        };
        if !option {
            return options;
        }
        options.runs |= token.is_word("analyze");
        if token.kind == TokenKind::UserVariable {
            options.effects = both(options.effects, Effects::PINS_USER_VARIABLE);
        }
        words = match token.text {
            b"=" => &["json", "traditional", "tree"],
            _ => &["analyze", "extended", "format", "into", "partitions"],
        };
        *tokens = ahead;
    }
}

/// SET STATEMENT assignments FOR statement.
fn prefixed(tokens: &mut Tokens<'_>, rule: &'static StatementRule) -> Verdict {
    let mut scan = Scan::new(Rest::Evaluated, rule.effects, tokens.dialect());
    let mut own = false;
    let mut depth = 0_u32;
    loop {
        let Some(token) = tokens.next_of_statement() else { return verdict(&UNKNOWN, UNKNOWN.effects) };
        match token.kind {
            TokenKind::OpenParen => depth += 1,
            TokenKind::CloseParen => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 && token.is_word("for") => break,
            TokenKind::Word | TokenKind::QuotedIdentifier => own |= is_own(unquoted(token.text)),
            _ => {}
        }
        scan.push(token);
    }
    scan.end();
    let inner_rule = rule_of(tokens);
    // One prefix is all that servers take, and all that is followed here.
    let inner = if inner_rule.rest == Rest::Prefixed { scanned(tokens, &UNKNOWN) } else { by_rule(tokens, inner_rule) };
    let (route, name) = match scan.decided_by {
        Some(content) => (Route::Primary, content.name),
        None => (inner.route, inner.rule),
    };
    // What only might be for the gateway has a prefix for the server, and so is for the server.
    let both_are_asked = own || inner.kind == Kind::Kill || matches!(inner.asks, Asks::Gateway | Asks::Both);
    let asks = if both_are_asked { Asks::Both } else { Asks::Server };
    Verdict { route, rule: name, effects: both(scan.effects, inner.effects), asks, ..inner }
}

/// The first row that the statement's first words match. Parentheses before them do not count.
pub(super) fn rule_of(tokens: &Tokens<'_>) -> &'static StatementRule {
    let mut rest = tokens.clone();
    let first = rest.find(|token| token.kind != TokenKind::OpenParen);
    let Some(first) = first.filter(|token| token.kind == TokenKind::Word) else { return &UNKNOWN };
    STATEMENTS.iter().find(|rule| begins(rule, &first, &rest)).unwrap_or(&UNKNOWN)
}

/// Whether `first`, and then `rest`, are the words of `rule`.
fn begins(rule: &StatementRule, first: &Token<'_>, rest: &Tokens<'_>) -> bool {
    let Some((word, words)) = rule.begins.split_at_checked(first.text.len()) else { return false };
    if !first.is_word(word) || !(words.is_empty() || words.starts_with(' ')) {
        return false;
    }
    let mut rest = rest.clone();
    words.split(' ').skip(1).all(|word| match rest.next() {
        None => word == ";",
        Some(token) => token.kind != TokenKind::QuotedIdentifier && token.text.eq_ignore_ascii_case(word.as_bytes()),
    })
}
