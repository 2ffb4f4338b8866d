//! The tokens of a text with a look ahead, the names in it, and what was found so far.

use super::{Need, Right};
use crate::sql::stream::Tokens;
use crate::sql::token::{Dialect, Token, TokenKind};
use std::collections::{BTreeSet, VecDeque};

/// Longest name of a schema or a table, in bytes: 64 characters of up to three.
const NAME_BYTES_MAX: usize = 192;
/// Tables of one statement, each counted once for each right.
const NEEDS_MAX: usize = 4096;
/// How a server is told that what follows is the name of a file.
const FILE_PREFIX: &[u8] = b"#mysql50#";

/// Words that stand before a name and are none, unless a dot and a name follow right behind: `ignore.t` is a table, and `ignore .t` and
/// ``ignore.`t` `` are a table of the default schema.
const NO_NAMES: [&str; 57] = [
    "all",
    "analyze",
    "and",
    "as",
    "by",
    "cross",
    "delayed",
    "delete",
    "desc",
    "describe",
    "distinct",
    "explain",
    "except",
    "exists",
    "extended",
    "for",
    "force",
    "from",
    "full",
    "group",
    "having",
    "high_priority",
    "if",
    "ignore",
    "inner",
    "insert",
    "intersect",
    "into",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "local",
    "low_priority",
    "natural",
    "no_write_to_binlog",
    "on",
    "order",
    "partitions",
    "procedure",
    "quick",
    "recursive",
    "replace",
    "right",
    "select",
    "set",
    "share",
    "straight_join",
    "table",
    "tables",
    "to",
    "union",
    "using",
    "values",
    "where",
    "with",
];

/// `None` when the text is not understood.
pub(super) type Understood<T = ()> = Option<T>;

/// A table's name as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) schema: Option<Vec<u8>>,
    pub(super) table: Vec<u8>,
}

/// See the module.
pub(super) struct Reader<'a> {
    tokens: Tokens<'a>,
    ahead: VecDeque<Token<'a>>,
    previous: Option<Token<'a>>,
    needs: BTreeSet<Need>,
    /// Where what may call functions begins, when there is anything.
    expressions: Option<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        let tokens = Tokens::new(sql, dialect);
        Self { tokens, ahead: VecDeque::new(), previous: None, needs: BTreeSet::new(), expressions: None }
    }

    /// A server may read the text in another way. Known once all of it was read.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.tokens.unterminated || self.tokens.has_executable_comment()
    }

    /// What was found.
    pub(super) fn into_needs(self) -> Vec<Need> {
        self.needs.into_iter().collect()
    }

    /// Where expressions begin that may call stored functions.
    pub(super) const fn expressions_from(&self) -> Option<usize> {
        self.expressions
    }

    /// There are expressions from `start` on.
    pub(super) fn has_expressions(&mut self, start: usize) {
        self.expressions = self.expressions.or(Some(start));
    }

    /// The token after `skipped` others.
    pub(super) fn peek(&mut self, skipped: usize) -> Option<Token<'a>> {
        while self.ahead.len() <= skipped {
            let token = self.tokens.next()?;
            self.ahead.push_back(token);
        }
        self.ahead.get(skipped).copied()
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek(0)?;
        self.ahead.pop_front();
        self.previous = Some(token);
        Some(token)
    }

    /// Takes so many tokens.
    pub(super) fn skip(&mut self, tokens: usize) {
        for _ in 0..tokens {
            self.next();
        }
    }

    /// The token that was taken last.
    pub(super) const fn previous(&self) -> Option<Token<'a>> {
        self.previous
    }

    pub(super) fn peek_is(&mut self, skipped: usize, kind: TokenKind) -> bool {
        self.peek(skipped).is_some_and(|token| token.kind == kind)
    }

    /// The token after `skipped` others is this word, and no part of a longer name.
    pub(super) fn word_at(&mut self, skipped: usize, word: &str) -> bool {
        self.peek(skipped).is_some_and(|token| token.is_word(word)) && !self.peek_is(skipped + 1, TokenKind::Dot)
    }

    /// Takes the next token if it is this word.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let is_it = self.word_at(0, word);
        if is_it {
            self.next();
        }
        is_it
    }

    /// Takes the next token if it is one of these words.
    pub(super) fn accept_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.accept(word))
    }

    /// Takes as many of these words as there are.
    pub(super) fn skip_any(&mut self, words: &[&str]) {
        while self.accept_any(words) {}
    }

    pub(super) fn expect(&mut self, word: &str) -> Understood {
        self.accept(word).then_some(())
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn accept_kind(&mut self, kind: TokenKind) -> bool {
        let is_it = self.peek_is(0, kind);
        if is_it {
            self.next();
        }
        is_it
    }

    /// Takes `IF EXISTS` or `IF NOT EXISTS`, if it is there.
    pub(super) fn skip_if_exists(&mut self) -> Understood {
        if !self.accept("if") {
            return Some(());
        }
        self.accept("not");
        self.expect("exists")
    }

    /// The statement has ended.
    pub(super) fn at_end(&mut self) -> bool {
        self.peek(0).is_none_or(|token| token.kind == TokenKind::Semicolon)
    }

    /// A name of one part.
    pub(super) fn identifier(&mut self) -> Understood<Vec<u8>> {
        let token = self.next()?;
        let name = match token.kind {
            TokenKind::Word => token.text.to_vec(),
            TokenKind::QuotedIdentifier => unquoted(token.text)?,
            _ => return None,
        };
        is_certain(&name).then_some(name)
    }

    /// A table's name: `table` or `schema.table`.
    pub(super) fn name(&mut self) -> Understood<Name> {
        let [first, dot, second] =
            [self.peek(0)?, self.peek(1).unwrap_or(self.peek(0)?), self.peek(2).unwrap_or(self.peek(0)?)];
        let is_glued = dot.kind == TokenKind::Dot
            && second.kind == TokenKind::Word
            && (first.end(), dot.end()) == (dot.start, second.start);
        if NO_NAMES.iter().any(|word| first.is_word(word)) && !is_glued {
            return None;
        }
        let table = self.identifier()?;
        if !self.accept_kind(TokenKind::Dot) {
            return Some(Name { schema: None, table });
        }
        let name = Name { schema: Some(table), table: self.identifier()? };
        (!self.peek_is(0, TokenKind::Dot)).then_some(name)
    }

    /// A right to a table is needed.
    pub(super) fn need(&mut self, name: &Name, right: Right, command: &'static str) -> Understood {
        let Name { schema, table } = name.clone();
        self.needs.insert(Need { schema, table, right, command });
        (self.needs.len() <= NEEDS_MAX).then_some(())
    }

    /// The next name is that of a table to which a right is needed.
    pub(super) fn need_next(&mut self, right: Right, command: &'static str) -> Understood<Name> {
        let name = self.name()?;
        self.need(&name, right, command)?;
        Some(name)
    }
}

/// Servers take the name for what it is. They read `#mysql50#` as the beginning of a file's name, and know no characters of four bytes.
pub(super) fn is_certain(name: &[u8]) -> bool {
    let is_file =
        |name: &[u8]| name.get(..FILE_PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(FILE_PREFIX));
    let is_text = |name: &str| name.chars().all(|char| char != '\0' && char <= '\u{ffff}');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !is_file(name) && core::str::from_utf8(name).is_ok_and(is_text)
}

/// A quoted name without its quotes, those inside it once.
fn unquoted(text: &[u8]) -> Understood<Vec<u8>> {
    let (quote, inside) = match text {
        [first, inside @ .., last] if first == last => (*first, inside),
        _ => return None,
    };
    let mut name = Vec::with_capacity(inside.len().min(NAME_BYTES_MAX + 1));
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        name.push(*byte);
        if *byte == quote {
            bytes.next();
        }
    }
    Some(name)
}
