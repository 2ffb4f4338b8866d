//! The lexer: cuts the text of a statement into tokens as MySQL's and MariaDB's own lexers do.
//!
//! It accepts any bytes, never fails, does not allocate, and takes time linear in the input (hint quotes and versions
//! included). It knows no grammar and no keywords.
//!
//! Where the two servers differ, or a version decides, it takes the reading in which more of the text is live, so
//! that nothing that might be run is ever taken for a comment:
//!
//! - The content of executable comments (`/*! … */`, `/*!50001 … */`, `/*M! … */`) is live whatever the version.
//!   A server may still skip it, and with it a word such as `EXPLAIN`: whoever decides something harmless from the
//!   tokens must ask [`Lexer::has_executable_comment`].
//! - Inside an executable comment a plain comment may stand and ends at its own `*/`; another executable comment may open,
//!   but the first live `*/` closes them all. Servers keep a flag, not a depth, and so does this lexer. A `*/` with
//!   no open executable comment is two operators.
//! - Servers cut white space and semicolons off the end of a text first; this lexer does not, so `--;` is no comment here.
//! - A line comment ends at a newline or at a NUL, a quoted name with a NUL in it is unterminated.
//!
//! Start reading at `Lexer::next_token`. How far a token reaches is decided by the pure functions in `extent`.

mod extent;

use super::token::{Dialect, Token, TokenKind};
pub(super) use extent::is_name_byte;
use extent::is_space;

/// An iterator over the tokens of a statement or of several.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    input: &'a [u8],
    at: usize,
    dialect: Dialect,
    trivia: bool,
    in_executable: bool,
    has_executable: bool,
    glue: Glue,
}

/// What the last token means for a dot or a digit right behind it: `t.1e5` is a column, `t .1e5` has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glue {
    None,
    AfterWord,
    AfterDot,
}

impl<'a> Lexer<'a> {
    /// Tokens of `sql` without white space and comments.
    #[must_use]
    pub fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        Self {
            input: sql,
            at: 0,
            dialect,
            trivia: false,
            in_executable: false,
            has_executable: false,
            glue: Glue::None,
        }
    }

    /// All tokens of `sql`. Their texts, joined, are `sql`.
    #[must_use]
    pub fn with_trivia(sql: &'a [u8], dialect: Dialect) -> Self {
        Self { trivia: true, ..Self::new(sql, dialect) }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether the tokens so far had an executable comment: servers of another version or make may skip its content, and
    /// then see a different statement than these tokens tell.
    #[must_use]
    pub fn has_executable_comment(&self) -> bool {
        self.has_executable
    }

    /// Leaves white space out: half of all tokens, if they were made.
    fn skip_space(&mut self) {
        let space = self.input.get(self.at..).map_or(0, |rest| extent::run(rest, is_space));
        if space > 0 {
            self.at += space;
            self.glue = Glue::None;
        }
    }

    /// The next token with trivia, `None` at the end of the input.
    fn next_token(&mut self) -> Option<Token<'a>> {
        let rest = self.input.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (kind, length) = self.measure(rest);
        debug_assert!((1..=rest.len()).contains(&length), "a token is neither empty nor longer than the input");
        let token = Token { kind, text: &rest[..length], start: self.at };
        self.at += length;
        self.remember(&token);
        Some(token)
    }

    fn remember(&mut self, token: &Token<'a>) {
        self.glue = match token.kind {
            TokenKind::Word => Glue::AfterWord,
            TokenKind::Dot => Glue::AfterDot,
            _ => Glue::None,
        };
        match token.kind {
            TokenKind::ExecutableOpen => (self.in_executable, self.has_executable) = (true, true),
            TokenKind::ExecutableClose => self.in_executable = false,
            _ => {}
        }
    }

    /// Kind and length of the token at the start of `rest`, which is not empty.
    fn measure(&self, rest: &[u8]) -> (TokenKind, usize) {
        match rest[0] {
            byte if is_space(byte) => (TokenKind::Whitespace, extent::run(rest, is_space)),
            b'\'' => self.string(rest, 0),
            b'"' if !self.dialect.ansi_quotes => self.string(rest, 0),
            b'"' | b'`' => closed(TokenKind::QuotedIdentifier, extent::quoted_name(rest), rest),
            b'n' | b'N' | b'x' | b'X' | b'b' | b'B' if rest.get(1) == Some(&b'\'') && self.glue != Glue::AfterDot => {
                self.string(rest, 1)
            }
            b'0'..=b'9' if self.glue != Glue::AfterDot => number_or_word(rest),
            byte if is_name_byte(byte) => (TokenKind::Word, extent::name(rest)),
            b'.' => self.dot(rest),
            b'@' => self.variable(rest),
            b'#' => (TokenKind::Comment, extent::line_comment(rest)),
            b'-' if starts_dash_comment(rest) => (TokenKind::Comment, extent::line_comment(rest)),
            b'/' if rest.starts_with(b"/*") => block_comment(rest),
            b'*' if self.in_executable && rest.starts_with(b"*/") => (TokenKind::ExecutableClose, 2),
            b',' => (TokenKind::Comma, 1),
            b'(' => (TokenKind::OpenParen, 1),
            b')' => (TokenKind::CloseParen, 1),
            b';' => (TokenKind::Semicolon, 1),
            b'?' => (TokenKind::Placeholder, 1),
            _ => (TokenKind::Operator, extent::operator(rest)),
        }
    }

    fn string(&self, rest: &[u8], prefix: usize) -> (TokenKind, usize) {
        let length = extent::string(&rest[prefix..], !self.dialect.no_backslash_escapes);
        closed(TokenKind::String, length.map(|length| prefix + length), rest)
    }

    /// A dot glued to a word before it and a name after it separates names; otherwise a digit makes it a number.
    fn dot(&self, rest: &[u8]) -> (TokenKind, usize) {
        match extent::number(rest) {
            Some(length) if self.glue != Glue::AfterWord && rest.get(1).is_some_and(u8::is_ascii_digit) => {
                (TokenKind::Number, length)
            }
            _ => (TokenKind::Dot, 1),
        }
    }

    fn variable(&self, rest: &[u8]) -> (TokenKind, usize) {
        match rest.get(1) {
            Some(b'@') => self.system_variable(rest),
            Some(&quote @ (b'`' | b'\'' | b'"')) => {
                let name = &rest[1..];
                let length = if quote == b'`' || (quote == b'"' && self.dialect.ansi_quotes) {
                    extent::quoted_name(name)
                } else {
                    extent::string(name, !self.dialect.no_backslash_escapes)
                };
                closed(TokenKind::UserVariable, length.map(|length| 1 + length), rest)
            }
            _ => match extent::run(&rest[1..], |byte| is_name_byte(byte) || byte == b'.') {
                0 => (TokenKind::Operator, 1),
                name => (TokenKind::UserVariable, 1 + name),
            },
        }
    }

    fn system_variable(&self, rest: &[u8]) -> (TokenKind, usize) {
        let mut length = 1;
        loop {
            // `length` is the offset of the second `@` or of a dot.
            let part = match rest.get(length + 1) {
                Some(b'`') => extent::quoted_name(&rest[length + 1..]),
                Some(&byte) if is_name_byte(byte) => Some(extent::name(&rest[length + 1..])),
                _ if length == 1 => return (TokenKind::Operator, 1),
                _ => return (TokenKind::SystemVariable, length),
            };
            let Some(part) = part else { return (TokenKind::Unterminated, rest.len()) };
            length += 1 + part;
            if rest.get(length) != Some(&b'.') {
                return (TokenKind::SystemVariable, length);
            }
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if !self.trivia {
                self.skip_space();
            }
            let token = self.next_token()?;
            if self.trivia || !token.kind.is_trivia() {
                return Some(token);
            }
        }
    }
}

impl std::iter::FusedIterator for Lexer<'_> {}

/// `kind` if the end was found, else the rest of the input.
fn closed(kind: TokenKind, length: Option<usize>, rest: &[u8]) -> (TokenKind, usize) {
    length.map_or((TokenKind::Unterminated, rest.len()), |length| (kind, length))
}

fn number_or_word(rest: &[u8]) -> (TokenKind, usize) {
    match extent::number(rest) {
        Some(length) => (TokenKind::Number, length),
        None => (TokenKind::Word, extent::name(rest)),
    }
}

/// `--` opens a comment only before white space, a control byte or the end, so that `5--1` is 6.
fn starts_dash_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"--") && rest.get(2).is_none_or(|&byte| byte == b' ' || byte.is_ascii_control())
}

fn block_comment(rest: &[u8]) -> (TokenKind, usize) {
    let executable = extent::executable_marker(rest);
    if executable > 0 {
        (TokenKind::ExecutableOpen, executable)
    } else if rest.starts_with(b"/*+") {
        closed(TokenKind::Hint, extent::hint(rest), rest)
    } else if rest.starts_with(b"/*vt+") {
        closed(TokenKind::WeirHint, extent::block_comment(rest, b"/*vt+".len()), rest)
    } else {
        closed(TokenKind::Comment, extent::block_comment(rest, b"/*".len()), rest)
    }
}

#[cfg(test)]
mod tests;
