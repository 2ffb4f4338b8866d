//! What may be told of a text to those who keep a record of what clients say: which sorts of statements it has, and its words without
//! what might be a secret.
//!
//! A text is told as it is only when it is shown to be harmless; everything else is told in its normal form, whose literals are `?`. Three
//! doubts stand against a text:
//!
//! - A word of it smells of a secret ([`smells`]), wherever that stands, in comments and strings, too. Then no literal is told. In statements
//!   that are not about data (accounts, replication, what Weir does not know) more is hidden: whatever follows such a word up to the next comma,
//!   some keywords apart, because a password without quotes, or in the wrong ones, is no literal.
//! - It has strings, and it is not known that these are harmless: a procedure's arguments may be anything.
//! - A server may read other tokens than the lexer does: a quote has no end or stands where none should, a comment may be executable. Then only
//!   that is told which comes before the first quote and the first word that smells.
//!
//! What this cannot know is what an application keeps in columns of harmless names. Start with [`look`].

use super::classification::{Effects, Kind};
use super::fingerprint::normalise_tokens;
use super::lexer::Lexer;
use super::rules::{Rest, StatementRule, UNKNOWN};
use super::statement::{rule_of, statement};
use super::stream::Tokens;
use super::token::{Dialect, Token, TokenKind};
use super::variable::{is_one_of, unquoted};
use bitflags::bitflags;

bitflags! {
    /// Sorts of statements, as far as a text tells. Of what cannot be known, all that it may be.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Sorts: u8 {
        /// Reads data or what is known of it: SELECT, SHOW, EXPLAIN, DO, HANDLER.
        const READ = 1;
        /// Changes data: INSERT, UPDATE, DELETE, REPLACE, LOAD, CALL; a SELECT of a stored function may.
        const WRITE = 1 << 1;
        /// Changes the schema: CREATE, ALTER, DROP, RENAME, TRUNCATE.
        const DDL = 1 << 2;
        /// About accounts: CREATE USER and its kin, GRANT, REVOKE, SET PASSWORD, SET ROLE.
        const ACCOUNT = 1 << 3;
        /// Begins or ends a transaction, or a part of one.
        const TRANSACTION = 1 << 4;
        /// About the session: SET, USE, LOCK TABLES.
        const SESSION = 1 << 5;
        /// About the server: KILL, FLUSH, SET GLOBAL, replication, shutdown, work on tables.
        const ADMIN = 1 << 6;
    }
}

impl Sorts {
    /// Their names, in order.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("read", Self::READ),
        ("write", Self::WRITE),
        ("ddl", Self::DDL),
        ("account", Self::ACCOUNT),
        ("transaction", Self::TRANSACTION),
        ("session", Self::SESSION),
        ("admin", Self::ADMIN),
    ];

    /// What they are called.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, sort)| self.contains(*sort)).map(|(name, _)| name)
    }
}

/// How texts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// As they are, where they are harmless; else always by their normal form.
    pub full: bool,
    /// Of longer ones so much of the beginning, in bytes.
    pub bytes_max: usize,
}

/// What is told of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Bytes as the client sent them, or a normal form: three times as long at most.
    pub text: Vec<u8>,
    /// Not as it is: without its literals, or less.
    pub reduced: bool,
    /// Of a longer text, the beginning.
    pub cut: bool,
}

/// What was seen of a text.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The sorts of its statements.
    pub sorts: Sorts,
    /// The text, or its beginning.
    sql: &'a [u8],
    dialect: Dialect,
    level: Level,
    cut: bool,
}

/// How much of a text may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// All.
    Full,
    /// No literals.
    Form,
    /// What comes before anything that may be one.
    Beginning,
}

/// What words have that speak of secrets, in lower case.
const SMELLS: [&[u8]; 15] = [
    b"passw",
    b"passphrase",
    b"pwd",
    b"secret",
    b"credential",
    b"identified",
    b"authentication",
    b"_auth",
    b"crypt",
    b"token",
    b"api_key",
    b"md5",
    b"sha1",
    b"sha2",
    b"encode(",
];

/// Whether these bytes have a word in them that speaks of secrets.
fn smells(bytes: &[u8]) -> bool {
    smell(bytes).is_some()
}

/// Where the first such word begins that speaks of secrets.
fn smell(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|at| {
        let rest = &bytes[*at..];
        let begins = |word: &&[u8]| rest.get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word));
        matches!(rest[0] | 0x20, b'p' | b's' | b'c' | b'i' | b'a' | b't' | b'm' | b'e' | 0x7f)
            && SMELLS.iter().any(begins)
    })
}

fn has(sql: &[u8], word: &[u8]) -> bool {
    sql.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// Looks at a text, or at the first `bytes_max` bytes of it. `in_grants`: its default schema is the servers' own, `mysql`, where rows are
/// accounts.
#[must_use]
pub fn look(sql: &[u8], dialect: Dialect, bytes_max: usize, in_grants: bool) -> Look<'_> {
    let cut = sql.len() > bytes_max;
    let sql = &sql[..sql.len().min(bytes_max)];
    let mut tokens = Tokens::new(sql, dialect);
    let (mut sorts, mut statements, mut harmless) = (Sorts::empty(), 0_u32, !in_grants && !smells(sql));
    loop {
        let before = tokens.clone();
        let Some(part) = statement(&mut tokens) else { break };
        let Some(verdict) = part else { continue };
        statements += 1;
        let rule = rule_of(&before);
        sorts |= sorts_of(rule, before.clone(), verdict.kind, verdict.effects);
        harmless &= is_harmless(rule, before, verdict.effects);
    }
    let level = if is_doubtful(sql, dialect, &tokens, statements, cut) {
        Level::Beginning
    } else if harmless {
        Level::Full
    } else {
        Level::Form
    };
    // What is not looked at may be anything.
    let sorts = if cut || level == Level::Beginning { Sorts::all() } else { sorts };
    Look { sorts, sql, dialect, level, cut }
}

impl Look<'_> {
    /// What may be told of it.
    #[must_use]
    pub fn told(&self, telling: Telling) -> Told {
        let level = if telling.full { self.level } else { self.level.max(Level::Form) };
        let mut text = Vec::new();
        match level {
            Level::Full => text.extend_from_slice(whole_characters(self.sql, self.cut)),
            Level::Form => normalise_tokens(Shown::new(self.sql, self.dialect), &mut text),
            Level::Beginning => {
                let quote = self.sql.iter().position(|byte| matches!(byte, b'\'' | b'"' | b'`'));
                let ends = [quote, smell(self.sql)].into_iter().flatten().min();
                let sound = &self.sql[..ends.unwrap_or(self.sql.len())];
                normalise_tokens(Shown::new(sound, self.dialect), &mut text);
                text.extend_from_slice(b" ...");
            }
        }
        Told { text, reduced: level != Level::Full, cut: self.cut }
    }
}

/// A text that was cut does not end within a character of UTF-8.
fn whole_characters(sql: &[u8], cut: bool) -> &[u8] {
    let is_begun = |at: &usize| sql.get(*at).is_some_and(|byte| *byte >= 0xc0);
    match (sql.len().saturating_sub(4)..sql.len()).rev().find(is_begun) {
        Some(at) if cut && str::from_utf8(&sql[at..]).is_err() => &sql[..at],
        _ => sql,
    }
}

/// Whether a server may see other tokens in it. `tokens`: those of the whole, all taken.
fn is_doubtful(sql: &[u8], dialect: Dialect, tokens: &Tokens<'_>, statements: u32, cut: bool) -> bool {
    let changes_quotes =
        || has(sql, b"sql_mode") || (!sql.is_ascii() && [&b"names"[..], b"char"].iter().any(|word| has(sql, word)));
    tokens.has_executable_comment()
        || dialect.may_misread(sql)
        || (statements > 1 && changes_quotes())
        || quotes_are_off(sql, dialect, cut)
}

/// A quoted thing has no end, unless the text was cut there; or it stands so close to a word that a quote may be one too many.
fn quotes_are_off(sql: &[u8], dialect: Dialect, cut: bool) -> bool {
    let mut last: Option<Token<'_>> = None;
    for token in Lexer::with_trivia(sql, dialect) {
        if token.kind == TokenKind::Unterminated {
            return !cut;
        }
        let touches = |last: Token<'_>| match (last.kind, token.kind) {
            (TokenKind::String, TokenKind::Word | TokenKind::Number | TokenKind::String) => true,
            // What names a character set may stand there.
            (TokenKind::Word, TokenKind::String) => !last.text.starts_with(b"_"),
            (TokenKind::Number, TokenKind::String) => true,
            _ => false,
        };
        if last.is_some_and(touches) {
            return true;
        }
        last = Some(token);
    }
    false
}

/// About data: what follows a word that smells is a column's name or an operator, and no password.
const fn is_of_data(kind: Kind) -> bool {
    matches!(kind, Kind::Select | Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete | Kind::Load)
        || matches!(kind, Kind::Show | Kind::Do | Kind::Handler)
}

/// Whether a statement may be told as it is, in a sound text in which no word smells.
fn is_harmless(rule: &StatementRule, tokens: Tokens<'_>, effects: Effects) -> bool {
    let of_transaction = matches!(rule.kind, Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Savepoint | Kind::Xa);
    let knows_strings = is_of_data(rule.kind) || of_transaction || rule.kind == Kind::Kill;
    let runs_code = effects.contains(Effects::RUNS_STORED_CODE);
    let changes_tables = defines_table(rule, tokens.clone());
    let (mut of_grants, mut strings) = (false, true);
    let mut last: Option<Token<'_>> = None;
    for token in of_statement(tokens) {
        of_grants |= is_name(&token) && unquoted(token.text).eq_ignore_ascii_case(b"mysql");
        strings &= !is_quoted_value(&token) || (changes_tables && last.as_ref().is_some_and(is_before_value));
        last = Some(token);
    }
    !of_grants && (strings || (knows_strings && !runs_code))
}

fn defines_table(rule: &StatementRule, tokens: Tokens<'_>) -> bool {
    let alters = || tokens.take(4).any(|token| token.is_word("table"));
    rule.kind == Kind::Ddl && (rule.rest == Rest::Columns || (rule.begins == "ALTER" && alters()))
}

/// Whether a string behind it, in a definition of a table, is a value of a column's: no option, comment or address.
fn is_before_value(token: &Token<'_>) -> bool {
    matches!(token.kind, TokenKind::OpenParen | TokenKind::Comma) || token.is_word("default")
}

fn is_name(token: &Token<'_>) -> bool {
    matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier)
}

/// A string, or what would be one in another SQL mode.
fn is_quoted_value(token: &Token<'_>) -> bool {
    token.kind == TokenKind::String || (token.kind == TokenKind::QuotedIdentifier && token.text.starts_with(b"\""))
}

fn of_statement(tokens: Tokens<'_>) -> impl Iterator<Item = Token<'_>> {
    tokens.take_while(|token| token.kind != TokenKind::Semicolon)
}

/// The words that an account's statement begins with, of which one names what it is about.
const CHANGES: &[&str] = &["alter", "create", "drop", "rename"];
const ACCOUNTS: &[&str] = &["role", "user"];
const BEFORE_ACCOUNTS: &[&str] = &["default", "if", "or", "public", "replace"];

fn is_about_accounts(rule: &StatementRule, tokens: Tokens<'_>) -> bool {
    let mut words = of_statement(tokens).filter(|token| token.kind != TokenKind::OpenParen);
    let Some(first) = words.next() else { return false };
    let mut about = words.skip_while(|token| is_one_of(token.text, BEFORE_ACCOUNTS));
    match rule.kind {
        Kind::Ddl if is_one_of(first.text, CHANGES) => {
            about.next().is_some_and(|token| is_one_of(token.text, ACCOUNTS))
        }
        Kind::Ddl => is_one_of(first.text, &["grant", "revoke"]),
        Kind::Set => about.next().is_some_and(|token| is_one_of(token.text, &["password", "role"])),
        _ => false,
    }
}

fn sorts_of(rule: &StatementRule, tokens: Tokens<'_>, kind: Kind, effects: Effects) -> Sorts {
    if is_about_accounts(rule, tokens.clone()) {
        return Sorts::ACCOUNT;
    }
    let may_write = effects.intersects(Effects::WRITES | Effects::RUNS_STORED_CODE);
    let is_unknown = std::ptr::eq(rule, &UNKNOWN) || rule.effects.contains(Effects::WRITES | Effects::RUNS_STORED_CODE);
    let sets_global = || of_statement(tokens).any(|token| has(token.text, b"global") || has(token.text, b"persist"));
    match kind {
        Kind::Empty => Sorts::empty(),
        Kind::Call => Sorts::WRITE,
        // The text that it runs, or will, is not looked into.
        Kind::Prepare if rule.begins.starts_with("PREPARE") => Sorts::all(),
        _ if rule.begins == "SET STATEMENT" || is_unknown => Sorts::all(),
        Kind::Select | Kind::Show | Kind::Explain | Kind::Do | Kind::Handler if may_write => Sorts::READ | Sorts::WRITE,
        Kind::Select | Kind::Show | Kind::Explain | Kind::Do | Kind::Handler => Sorts::READ,
        Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete | Kind::Load => Sorts::WRITE,
        Kind::Ddl => Sorts::DDL,
        Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Savepoint | Kind::Xa => Sorts::TRANSACTION,
        Kind::Set if sets_global() => Sorts::SESSION | Sorts::ADMIN,
        Kind::Set | Kind::Use | Kind::Lock | Kind::Prepare | Kind::Other => Sorts::SESSION,
        Kind::Admin | Kind::Kill | Kind::Reload | Kind::ResetDigests => Sorts::ADMIN,
    }
}

/// Keywords that are told although a word that smells stands before them.
const KEPT: &[&str] = &[
    "account",
    "and",
    "as",
    "by",
    "current",
    "default",
    "exists",
    "expire",
    "identified",
    "interval",
    "issuer",
    "lock",
    "never",
    "none",
    "old",
    "on",
    "option",
    "options",
    "or",
    "password",
    "replace",
    "require",
    "retain",
    "ssl",
    "subject",
    "to",
    "unlock",
    "using",
    "via",
    "with",
    "x509",
];
/// Behind these stands the name of an account.
const BEFORE_NAMES: &[&str] = &["exists", "for", "from", "role", "to", "user"];

/// The tokens of a text, with a placeholder for each that must not be told.
struct Shown<'a> {
    sql: &'a [u8],
    tokens: Tokens<'a>,
    /// Of the statement under way, once it has begun.
    about: Option<About>,
    depth: u32,
    /// A word that smells stood there, so deep in parentheses.
    hidden_at: Option<u32>,
    /// `SET PASSWORD FOR`: until the password itself.
    names_account: bool,
    last: Option<Token<'a>>,
}

#[derive(Clone, Copy)]
struct About {
    data: bool,
    accounts: bool,
    /// A SET, in which no more than `FOR` stands before a name.
    sets: bool,
}

impl<'a> Shown<'a> {
    fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        let tokens = Tokens::new(sql, dialect);
        Self { sql, tokens, about: None, depth: 0, hidden_at: None, names_account: false, last: None }
    }

    fn begin(&mut self) -> About {
        let rule = rule_of(&self.tokens);
        let accounts = is_about_accounts(rule, self.tokens.clone());
        (self.depth, self.hidden_at, self.names_account, self.last) = (0, None, false, None);
        About { data: is_of_data(rule.kind), accounts, sets: rule.kind == Kind::Set }
    }

    /// What hides the following tokens ends with this one.
    fn ends_hiding(&mut self, token: &Token<'_>) {
        match token.kind {
            TokenKind::OpenParen => self.depth += 1,
            TokenKind::CloseParen => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        let ends = |at: u32| match token.kind {
            TokenKind::Comma => self.depth <= at,
            TokenKind::CloseParen => self.depth < at,
            _ => false,
        };
        if self.hidden_at.is_some_and(ends) {
            self.hidden_at = None;
        }
    }

    /// A string that is the name of an account, with its host if one stands behind it.
    fn account(&mut self, about: About, token: Token<'a>) -> Option<Token<'a>> {
        let stands_there = self.last.is_some_and(|last| match last.kind {
            TokenKind::Comma => !about.sets,
            TokenKind::Word if about.sets => last.is_word("for"),
            TokenKind::Word => is_one_of(last.text, BEFORE_NAMES),
            _ => false,
        });
        if token.kind != TokenKind::String || !about.accounts || !stands_there || smells(token.text) {
            return None;
        }
        let host =
            self.tokens.clone().next().filter(|host| host.kind == TokenKind::UserVariable && host.start == token.end());
        if host.is_some() {
            self.tokens.next();
        }
        let end = host.map_or(token.end(), |host| host.end());
        Some(Token { kind: TokenKind::QuotedIdentifier, text: &self.sql[token.start..end], start: token.start })
    }

    /// What is told in place of a token; nothing for one of a row of hidden ones.
    fn show(&mut self, about: About, token: Token<'a>) -> Option<Token<'a>> {
        self.ends_hiding(&token);
        let hidden = Token { kind: TokenKind::Placeholder, text: b"?", ..token };
        if self.names_account && (token.text == b"=" || token.is_word("to")) {
            self.names_account = false;
            self.hidden_at = Some(self.depth);
            return Some(token);
        }
        if self.hidden_at.is_some() && about.sets && about.accounts && token.is_word("for") {
            (self.names_account, self.hidden_at) = (true, None);
            return Some(token);
        }
        if self.hidden_at.is_some() {
            let is_kept = token.kind == TokenKind::Word && is_one_of(token.text, KEPT);
            let goes_on = self.last.is_some_and(|last| last.kind == TokenKind::Placeholder);
            return if is_kept { Some(token) } else { (!goes_on).then_some(hidden) };
        }
        if let Some(account) = self.account(about, token) {
            return Some(account);
        }
        if !about.data && smells(token.text) {
            self.hidden_at = Some(self.depth);
        }
        let smells_as_variable = token.kind == TokenKind::UserVariable && !about.data && smells(token.text);
        Some(if is_quoted_value(&token) || smells_as_variable { hidden } else { token })
    }
}

impl<'a> Iterator for Shown<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let about = self.about.unwrap_or_else(|| self.begin());
            self.about = Some(about);
            let token = self.tokens.next()?;
            if token.kind == TokenKind::Semicolon {
                self.about = None;
                return Some(token);
            }
            if let Some(shown) = self.show(about, token) {
                self.last = Some(shown);
                return Some(shown);
            }
        }
    }
}

#[cfg(test)]
mod tests;
