//! Tokens as the classifier reads them: hints put aside, doubts remembered.

use super::lexer::Lexer;
use super::token::{Dialect, Token, TokenKind};
use super::variable::unquoted;
use crate::topo::Role;

/// The tokens of a text, in order. Cloning looks ahead.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    lexer: Lexer<'a>,
    /// From the first `/*vt+ ROLE=... */` so far.
    pub(super) role: Option<Role>,
    /// The body of the first `/*vt+ ... */` so far.
    pub(super) hint: Option<&'a [u8]>,
    /// A string, a quoted name or a comment has no end.
    pub(super) unterminated: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        Self { lexer: Lexer::new(sql, dialect), role: None, hint: None, unterminated: false }
    }

    /// How the text is read.
    pub(super) fn dialect(&self) -> Dialect {
        self.lexer.dialect()
    }

    /// See [`Lexer::has_executable_comment`].
    pub(super) fn has_executable_comment(&self) -> bool {
        self.lexer.has_executable_comment()
    }

    /// The next token of the statement that has begun; `None` at its end, whose semicolon is taken.
    pub(super) fn next_of_statement(&mut self) -> Option<Token<'a>> {
        self.next().filter(|token| token.kind != TokenKind::Semicolon)
    }

    /// Leaves the rest of the statement out.
    pub(super) fn skip_statement(&mut self) {
        while self.next_of_statement().is_some() {}
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let token = self.lexer.next()?;
            match token.kind {
                TokenKind::Hint => {}
                TokenKind::WeirHint => {
                    self.hint = self.hint.or_else(|| token.hint_body());
                    self.role = self.role.or_else(|| token.hint_body().and_then(role_of));
                }
                kind => {
                    self.unterminated |= kind == TokenKind::Unterminated;
                    return Some(token);
                }
            }
        }
    }
}

/// The role in a hint's body: `ROLE=REPLICA`, in any case, perhaps quoted, among other settings.
fn role_of(body: &[u8]) -> Option<Role> {
    body.split(|byte| byte.is_ascii_whitespace() || *byte == b',').find_map(|setting| {
        let equals = setting.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&setting[..equals], &setting[equals + 1..]);
        name.eq_ignore_ascii_case(b"role").then(|| Role::parse(unquoted(value)))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(sql: &str) -> Option<Role> {
        let mut tokens = Tokens::new(sql.as_bytes(), Dialect::default());
        while tokens.next().is_some() {}
        tokens.role
    }

    #[test]
    fn the_first_hint_names_the_role() {
        assert_eq!(role("/*vt+ ROLE=PRIMARY */ SELECT 1"), Some(Role::Primary));
        assert_eq!(role("SELECT /*vt+ MAX=5, role='rdonly' */ 1 /*vt+ ROLE=REPLICA */"), Some(Role::RdOnly));
        assert_eq!(role("/*vt+ ROLE=\"replica\"*/ SELECT 1"), Some(Role::Replica));
    }

    #[test]
    fn what_is_no_role_is_no_hint() {
        for sql in [
            "SELECT 1",
            "/*vt+ ROLE=boss */ SELECT 1",
            "/*vt+ ROLE */ SELECT 1",
            "/* ROLE=PRIMARY */ SELECT '/*vt+ ROLE=PRIMARY */'",
        ] {
            assert_eq!(role(sql), None, "{sql}");
        }
    }
}
